# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategy of the kill harness: as many kinds of orders as there are, as fast as ticks come."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reference_engine.model import Cancel, Instrument, OrderRequest, Side, Tick
from reference_engine.strategy import AccountView, Strategy, Wish

_MOST_OPEN = 60
_MOST_HELD = 1000


class Busy(Strategy):
    """Market orders small and so large that they fill in parts; limits that fill soon or never, are changed, and end.

    With ``orders`` false it only watches. ``seed`` makes the choice of orders repeatable.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._orders = bool(parameters["orders"])
        self._rng = random.Random(int(parameters["seed"]))  # noqa: S311 a test's dice
        self._instrument = Instrument("AAPL")

    def instruments(self) -> Sequence[Instrument]:
        return (self._instrument,)

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[Wish]:
        if not self._orders:
            return
        working = [order for order in account.orders(tick.instrument) if order.acknowledged and order.limit_price]
        if working and self._rng.random() < 0.4:
            order = self._rng.choice(working)
            if self._rng.random() < 0.5:
                yield Cancel(order.order_ref)
            else:
                yield self._limit(tick, order.side, order.quantity, replaces=order.order_ref)
        if account.open_orders(tick.instrument) >= _MOST_OPEN:
            return
        held = account.position(tick.instrument)
        side: Side = self._rng.choice(("BUY", "SELL")) if abs(held) < _MOST_HELD else "SELL" if held > 0 else "BUY"
        quantity = self._rng.choice((1, 5, 7, 100, 150))
        if self._rng.random() < 0.5:
            yield OrderRequest(tick.instrument, side, quantity)
        else:
            yield self._limit(tick, side, quantity)

    def _limit(self, tick: Tick, side: Side, quantity: float, replaces: str = "") -> OrderRequest:
        """A limit away from the market by less than it moves in a second, or by so much that it is never reached."""
        away = self._rng.uniform(-0.0002, 0.0005) if self._rng.random() < 0.7 else 0.03
        price = round(tick.price * (1 - away if side == "BUY" else 1 + away), 2)
        return OrderRequest(tick.instrument, side, quantity, "LMT", price, replaces=replaces)
