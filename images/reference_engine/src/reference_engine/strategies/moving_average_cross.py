# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows a trend: the textbook's crossing of two moving averages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..model import Instrument, OrderRequest, Side, Tick
from ..strategy import AccountView, Parameters, Strategy


class MovingAverageCross(Strategy):
    """Holds `quantity` shares of `symbol` while the fast average is above the slow one, and nothing while it is not.

    The averages are of the last prices of `fast` and `slow` bars of `bar_seconds`. It decides once, when a bar ends,
    with a market order for what is missing or too much; the first decision is after `slow` bars.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        taken = Parameters(parameters)
        self._instrument = Instrument(taken.text("symbol", default="SPY"))
        self._quantity = taken.number("quantity", default=1)
        self._bar_seconds = taken.number("bar_seconds", default=60)
        self._fast_bars = taken.count("fast", default=10)
        slow = taken.count("slow", default=30)
        if slow <= self._fast_bars:
            taken.refuse("slow", slow, f"more bars than fast ({self._fast_bars})", "raise it")
        taken.finish()
        self._closes: deque[float] = deque(maxlen=slow)
        self._bar: int | None = None
        self._last = 0.0

    def instruments(self) -> Sequence[Instrument]:
        return (self._instrument,)

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[OrderRequest]:
        bar, self._bar = self._bar, int(tick.at.timestamp() // self._bar_seconds)
        last, self._last = self._last, tick.price
        if bar is None or bar == self._bar:
            return ()
        self._closes.append(last)
        averages = self._averages()
        if averages is None or account.open_orders(tick.instrument):
            return ()
        fast, slow = averages
        missing = round((self._quantity if fast > slow else 0.0) - account.position(tick.instrument), 9)
        if not missing:
            return ()
        side: Side = "BUY" if missing > 0 else "SELL"
        return (OrderRequest(tick.instrument, side, abs(missing)),)

    def values(self) -> Mapping[str, float]:
        averages = self._averages()
        return {} if averages is None else {"fast_average": averages[0], "slow_average": averages[1]}

    def _averages(self) -> tuple[float, float] | None:
        if len(self._closes) < (self._closes.maxlen or 0):
            return None
        closes = list(self._closes)
        return sum(closes[-self._fast_bars :]) / self._fast_bars, sum(closes) / len(closes)
