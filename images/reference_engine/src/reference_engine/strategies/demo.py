# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows that the machinery works."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..model import Instrument, OrderRequest, Side, Tick
from ..strategy import AccountView, Parameters, Strategy


class DemoStrategy(Strategy):
    """Buys below the running mean and sells above it, a few shares at a time. It shows that the machinery works.

    Every `interval_seconds` it sends one market order of `quantity` shares of `symbol`, while the position stays
    between 0 and `max_position`; where the mean points beyond a limit it trades the other way. Not meant to make money.
    """

    _PRICES_OF_MEAN = 50

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        taken = Parameters(parameters)
        self._instrument = Instrument(taken.text("symbol", default="AAPL"))
        self._quantity = taken.number("quantity", default=5)
        self._interval_seconds = taken.number("interval_seconds", default=2)
        self._max_position = taken.number("max_position", default=20)
        if self._max_position < self._quantity:
            taken.refuse("max_position", self._max_position, f"at least quantity ({self._quantity:g})", "raise it")
        taken.finish()
        self._prices: deque[float] = deque(maxlen=self._PRICES_OF_MEAN)
        self._last_order_at: datetime | None = None

    def instruments(self) -> Sequence[Instrument]:
        return (self._instrument,)

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[OrderRequest]:
        self._prices.append(tick.price)
        if account.open_orders(tick.instrument):
            return ()
        if self._last_order_at and (tick.at - self._last_order_at).total_seconds() < self._interval_seconds:
            return ()
        self._last_order_at = tick.at
        position = account.position(tick.instrument)
        may_buy = position + self._quantity <= self._max_position
        may_sell = position >= self._quantity
        cheap = tick.price <= sum(self._prices) / len(self._prices)
        side: Side = "BUY" if may_buy and (cheap or not may_sell) else "SELL"
        if side == "SELL" and not may_sell:
            return ()
        return (OrderRequest(tick.instrument, side, self._quantity),)
