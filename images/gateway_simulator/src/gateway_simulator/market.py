# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prices: a seeded process that is a pure function of time.

The logarithm of a price is a sum of octaves of value noise, one per power of two from half a second to about 48
days, each with an amplitude that grows with the square root of its length, which looks like Brownian motion at any
scale in between. Since nothing is accumulated, history and present agree, every restart finds the market
where it would have been, and two simulators with one seed quote the same prices.

The market never closes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import cache

from .model import Bar, Instrument, Quote

SECONDS_PER_DAY = 86_400
TRADING_SECONDS_PER_YEAR = 252 * 6.5 * 3600

_MASK = (1 << 64) - 1
_OCTAVES = range(-1, 23)
_SHAPE = tuple((octave & 0xFF, 2.0**-octave, 2.0 ** (octave / 2)) for octave in _OCTAVES)
# The sum of the octaves moves by about 1.29 in a second; dividing makes that one standard deviation.
_UNIT_MOVE = 1.29


class Market:
    """Quotes and history of every instrument, by seed and time."""

    def __init__(self, seed: int, ticks_per_second: float = 2.0) -> None:
        self.seed = seed
        self.ticks_per_second = ticks_per_second
        self._latest: dict[int, tuple[int, Quote]] = {}

    def price(self, instrument: Instrument, seconds: float) -> float:
        """Return the fair price at ``seconds`` since the epoch, not rounded to the tick."""
        key = _key(self.seed, instrument.con_id)
        level = 0.0
        for octave, frequency, amplitude in _SHAPE:
            position = seconds * frequency
            index = int(position)
            left = _noise(key, octave, index)
            level += amplitude * (left + (_noise(key, octave, index + 1) - left) * (position - index))
        deviation = instrument.volatility / math.sqrt(TRADING_SECONDS_PER_YEAR) / _UNIT_MOVE
        return float(instrument.reference_price) * math.exp(deviation * level)

    def quote(self, instrument: Instrument, seconds: float) -> Quote:
        """Return the quote in force at ``seconds`` since the epoch: it changes once per tick, not between."""
        tick = math.floor(seconds * self.ticks_per_second)
        known, quote = self._latest.get(instrument.con_id, (None, None))
        if quote is None or known != tick:
            quote = self._quote(instrument, tick)
            self._latest[instrument.con_id] = tick, quote
        return quote

    def bars(self, instrument: Instrument, end: float, duration: int, bar_seconds: int) -> Iterator[Bar]:
        """Yield the bars, oldest first, that cover ``duration`` seconds up to ``end`` (seconds since the epoch)."""
        key = _key(self.seed, instrument.con_id)
        first = math.ceil((end - duration) / bar_seconds) * bar_seconds
        opening = self.price(instrument, first)
        for start in range(first, math.ceil(end / bar_seconds) * bar_seconds, bar_seconds):
            stop = min(start + bar_seconds, end)
            closing = self.price(instrument, stop)
            path = [opening, *(self.price(instrument, start + (stop - start) * part / 3) for part in (1, 2)), closing]
            trades = max(1, int(bar_seconds * (1.5 + _noise(key, 68, start))))
            yield Bar(
                start=start,
                open=instrument.round_to_tick(opening),
                high=instrument.round_to_tick(max(path)),
                low=instrument.round_to_tick(min(path)),
                close=instrument.round_to_tick(closing),
                volume=100 * trades,
                average=instrument.round_to_tick(sum(path) / len(path)),
                count=trades,
            )
            opening = closing

    def _quote(self, instrument: Instrument, tick: int) -> Quote:
        time = tick / self.ticks_per_second
        key = _key(self.seed, instrument.con_id)
        bid = instrument.round_to_tick(self.price(instrument, time))
        ask = bid + instrument.spread * instrument.min_tick
        sizes = [100 * (1 + int(4.5 * (1 + _noise(key, 64 + side, tick)))) for side in range(3)]
        elapsed = time % SECONDS_PER_DAY
        return Quote(
            bid=bid,
            ask=ask,
            last=ask if _noise(key, 67, tick) > 0 else bid,
            bid_size=sizes[0],
            ask_size=sizes[1],
            last_size=sizes[2],
            volume=100 * int(elapsed * 5),
            close=instrument.round_to_tick(self.price(instrument, time - elapsed)),
            time=int(time),
        )


@cache
def _key(seed: int, con_id: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{con_id}".encode()).digest()[:8], "big")


def _noise(key: int, stream: int, index: int) -> float:
    """Return a fixed, evenly spread number in [-1, 1) for a lattice point (the finalizer of splitmix64)."""
    mixed = (key + (stream << 56) + index * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed ^ (mixed >> 31)) >> 10) / (1 << 53) - 1.0
