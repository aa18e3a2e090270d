# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prices: a seeded process that is a pure function of time, or bars that are played again.

The logarithm of a price is a sum of octaves of value noise, one per power of two from half a second to about 48
days, each with an amplitude that grows with the square root of its length, which looks like Brownian motion at any
scale in between. Since nothing is accumulated, history and present agree, every restart finds the market
where it would have been, and two simulators with one seed quote the same prices.

A future follows its underlying at a constant cost of carry, an option by the formula of Black and Scholes. While its
exchange is closed an instrument keeps the last quote of the session; what happens meanwhile shows at the opening.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Protocol

from .hours import NEVER, ExchangeHours
from .model import Bar, Instrument, Quote

SECONDS_PER_DAY = 86_400
TRADING_SECONDS_PER_YEAR = 252 * 6.5 * 3600
SECONDS_PER_YEAR = 365 * SECONDS_PER_DAY
INTEREST = 0.04

_MASK = (1 << 64) - 1
_OCTAVES = range(-1, 23)
_SHAPE = tuple((octave & 0xFF, 2.0**-octave, 2.0 ** (octave / 2)) for octave in _OCTAVES)
# The sum of the octaves moves by about 1.29 in a second; dividing makes that one standard deviation.
_UNIT_MOVE = 1.29
# Derivatives expire at this time of their last day, UTC.
_EXPIRY_SECONDS = 21 * 3600
_NO_INSTRUMENTS: Mapping[int, Instrument] = {}


class Instruments(Protocol):
    """Finds an instrument by its contract id."""

    def __getitem__(self, con_id: int, /) -> Instrument:
        """Return the instrument. Raises KeyError."""


class PriceSource(Protocol):
    """Prices of one instrument that do not come from the seeded process."""

    def price(self, seconds: float) -> float:
        """Return the price at ``seconds`` since the epoch."""

    def path(self, start: float, stop: float) -> list[float]:
        """Return the prices between two moments, at least the first and the last, with every extreme."""


class Market:
    """Quotes and history of every instrument, by seed and time.

    ``underlyings`` finds the instruments that derivatives are derived from, ``hours`` exchange hours by their name and
    ``sources`` the prices, by contract id, that are not the seeded process's.
    """

    def __init__(
        self,
        seed: int,
        ticks_per_second: float = 2.0,
        underlyings: Instruments = _NO_INSTRUMENTS,
        hours: Mapping[str, ExchangeHours] | None = None,
        sources: Mapping[int, PriceSource] | None = None,
    ) -> None:
        self.seed = seed
        self.ticks_per_second = ticks_per_second
        self._underlyings = underlyings
        self._hours = hours or {}
        self._sources = sources or {}
        self._latest: dict[int, tuple[int, Quote]] = {}
        self._noises: dict[int, _Noise] = {}
        self._closes: dict[int, tuple[float, Decimal]] = {}

    def price(self, instrument: Instrument, seconds: float) -> float:
        """Return the fair price at ``seconds`` since the epoch, not rounded to the tick."""
        return self._price(instrument, seconds, self._noises)

    def quote(self, instrument: Instrument, seconds: float) -> Quote:
        """Return the quote in force at ``seconds`` since the epoch: the same object until the next tick."""
        if instrument.hours:
            phase = self._hours[instrument.hours].phase(seconds, liquid=False)
            if not phase.is_open:
                seconds = max(phase.last_close - 1 / self.ticks_per_second, 0)
        tick = math.floor(seconds * self.ticks_per_second)
        known = self._latest.get(instrument.con_id)
        if known is not None and known[0] == tick:
            return known[1]
        quote = self._quote(instrument, tick)
        self._latest[instrument.con_id] = tick, quote
        return quote

    def bars(
        self, instrument: Instrument, end: float, duration: int, bar_seconds: int, regular_hours: bool = False
    ) -> Iterator[Bar]:
        """Yield the bars, oldest first, that cover ``duration`` seconds up to ``end`` (seconds since the epoch).

        There is none while the exchange is closed, nor outside its regular hours when only these are wanted. This may
        run in a thread of its own.
        """
        noises: dict[int, _Noise] = {}
        for start, stop in self._spans(instrument, end, duration, bar_seconds, regular_hours):
            source = self._sources.get(instrument.con_id)
            if source is None:
                path = [self._price(instrument, start + (stop - start) * part / 3, noises) for part in range(4)]
            else:
                path = source.path(start, stop)
            trades = max(1, int((stop - start) * (1.5 + _noise(_key(self.seed, instrument.con_id), 68, int(start)))))
            yield Bar(
                start=int(start),
                open=instrument.round_to_tick(path[0]),
                high=instrument.round_to_tick(max(path)),
                low=instrument.round_to_tick(min(path)),
                close=instrument.round_to_tick(path[-1]),
                volume=100 * trades,
                average=instrument.round_to_tick(sum(path) / len(path)),
                count=trades,
            )

    def _spans(
        self, instrument: Instrument, end: float, duration: int, bar_seconds: int, regular_hours: bool
    ) -> Iterator[tuple[float, float]]:
        first = math.ceil((end - duration) / bar_seconds) * bar_seconds
        if not instrument.hours:
            for start in range(first, math.ceil(end / bar_seconds) * bar_seconds, bar_seconds):
                yield start, min(start + bar_seconds, end)
            return
        hours = self._hours[instrument.hours]
        for opens, closes in hours.sessions_between(end - duration, end, liquid=regular_hours):
            if bar_seconds >= SECONDS_PER_DAY:
                yield opens, min(closes, end)
                continue
            start = math.floor(max(opens, end - duration) / bar_seconds) * bar_seconds
            while start < min(closes, end):
                yield max(start, opens), min(start + bar_seconds, closes, end)
                start += bar_seconds

    def _price(self, instrument: Instrument, seconds: float, noises: dict[int, _Noise]) -> float:
        source = self._sources.get(instrument.con_id)
        if source is not None:
            return source.price(seconds)
        if instrument.under_con_id:
            underlying = self._underlyings[instrument.under_con_id]
            price = self._price(underlying, seconds, noises)
            years = max(0.0, (_expiry(instrument.expiry) - seconds) / SECONDS_PER_YEAR)
            if instrument.sec_type == "OPT":
                return option_price(price, float(instrument.strike), years, instrument.volatility, instrument.right)
            return price * math.exp(INTEREST * years)
        noise = noises.get(instrument.con_id)
        if noise is None:
            noise = noises[instrument.con_id] = _Noise(_key(self.seed, instrument.con_id))
        deviation = instrument.volatility / math.sqrt(TRADING_SECONDS_PER_YEAR) / _UNIT_MOVE
        return float(instrument.reference_price) * math.exp(deviation * noise.level(seconds))

    def _quote(self, instrument: Instrument, tick: int) -> Quote:
        time = tick / self.ticks_per_second
        key = _key(self.seed, instrument.con_id)
        bid = instrument.round_to_tick(self.price(instrument, time))
        ask = bid + instrument.spread * instrument.min_tick
        sizes = [100 * (1 + int(4.5 * (1 + _noise(key, 64 + side, tick)))) for side in range(3)]
        opened, close = self._day(instrument, time)
        return Quote(
            bid=bid,
            ask=ask,
            last=ask if _noise(key, 67, tick) > 0 else bid,
            bid_size=sizes[0],
            ask_size=sizes[1],
            last_size=sizes[2],
            volume=100 * int((time - opened) * 5),
            close=close,
            time=int(time),
        )

    def _day(self, instrument: Instrument, time: float) -> tuple[float, Decimal]:
        """Return when the present trading day began and the price at which the one before ended."""
        if instrument.hours:
            phase = self._hours[instrument.hours].phase(time, liquid=False)
            opened = phase.opened if phase.opened != -NEVER else time
            closed = phase.last_close if phase.last_close != -NEVER else opened
        else:
            opened = closed = time - time % SECONDS_PER_DAY
        known = self._closes.get(instrument.con_id)
        if known is not None and known[0] == closed:
            return opened, known[1]
        close = instrument.round_to_tick(self._price(instrument, closed, {}))
        self._closes[instrument.con_id] = closed, close
        return opened, close


class _Noise:
    """The sum of octaves for one instrument; the lattice points around the last moment are kept: time mostly runs."""

    __slots__ = ("_key", "_lattice")

    def __init__(self, key: int) -> None:
        self._key = key
        self._lattice: list[list[float]] = [[-1.0, 0.0, 0.0] for _ in _SHAPE]

    def level(self, seconds: float) -> float:
        level = 0.0
        for kept, (octave, frequency, amplitude) in zip(self._lattice, _SHAPE, strict=True):
            position = seconds * frequency
            index = int(position)
            if kept[0] != index:
                kept[0] = index
                left = kept[1] = _noise(self._key, octave, index)
                kept[2] = _noise(self._key, octave, index + 1) - left
            level += amplitude * (kept[1] + kept[2] * (position - index))
        return level


def option_price(price: float, strike: float, years: float, volatility: float, right: str) -> float:
    """Return the price of a European option (right C or P) by the formula of Black and Scholes, without dividends."""
    deviation = volatility * math.sqrt(years)
    discounted = strike * math.exp(-INTEREST * years)
    if deviation == 0:
        call = max(0.0, price - discounted)
    else:
        upper = (math.log(price / discounted)) / deviation + deviation / 2
        call = price * _normal(upper) - discounted * _normal(upper - deviation)
    return call if right == "C" else max(0.0, call - price + discounted)


def _normal(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2))


@cache
def _expiry(expiry: str) -> float:
    return datetime.strptime(expiry, "%Y%m%d").replace(tzinfo=UTC).timestamp() + _EXPIRY_SECONDS


@cache
def _key(seed: int, con_id: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{con_id}".encode()).digest()[:8], "big")


def _noise(key: int, stream: int, index: int) -> float:
    """Return a fixed, evenly spread number in [-1, 1) for a lattice point (the finalizer of splitmix64)."""
    mixed = (key + (stream << 56) + index * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed ^ (mixed >> 31)) >> 10) / (1 << 53) - 1.0
