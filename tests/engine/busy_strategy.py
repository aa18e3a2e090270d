# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategy of the kill harness: as many kinds of orders as there are, as fast as ticks come."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reference_engine.model import Instrument, OrderRequest, Side, Tick
from reference_engine.strategy import AccountView, Strategy

_MOST_OPEN = 60
_MOST_HELD = 1000


class Busy(Strategy):
    """Market orders small and so large that they fill in parts, limits that fill soon, later or never.

    With ``orders`` false it only watches. ``seed`` makes the choice of orders repeatable.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._orders = bool(parameters["orders"])
        self._rng = random.Random(int(parameters["seed"]))  # noqa: S311 a test's dice
        self._instrument = Instrument("AAPL")

    def instruments(self) -> Sequence[Instrument]:
        return (self._instrument,)

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[OrderRequest]:
        if not self._orders or account.open_orders(tick.instrument) >= _MOST_OPEN:
            return ()
        held = account.position(tick.instrument)
        side: Side = self._rng.choice(("BUY", "SELL")) if abs(held) < _MOST_HELD else "SELL" if held > 0 else "BUY"
        quantity = self._rng.choice((1, 5, 7, 100, 150))
        kind = self._rng.random()
        if kind < 0.5:
            return (OrderRequest(tick.instrument, side, quantity),)
        # Away from the market by less than it moves in a second, or by so much that only a drain ends the order.
        away = self._rng.uniform(-0.0002, 0.0005) if kind < 0.9 else 0.05
        price = round(tick.price * (1 - away if side == "BUY" else 1 + away), 2)
        return (OrderRequest(tick.instrument, side, quantity, "LMT", price),)
