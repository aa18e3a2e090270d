# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Buys once and holds: the smallest strategy that proves the whole way to the broker, and then that it lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..model import Instrument, OrderRequest, Tick
from ..strategy import AccountView, Parameters, Strategy

_RETRY_SECONDS = 60.0


class BuyAndHold(Strategy):
    """Buys `quantity` shares of `symbol` with one market order and never trades again.

    It buys nothing when it finds a position. From then on it only beats, once in `beat_seconds` while prices come in:
    `beats` and `last_beat` (Unix time) in /metrics rise as long as data, engine and strategy work.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        taken = Parameters(parameters)
        self._instrument = Instrument(taken.text("symbol", default="SPY"))
        self._quantity = taken.number("quantity", default=1)
        self._beat_seconds = taken.number("beat_seconds", default=10)
        taken.finish()
        self._held = False
        self._ordered_at: datetime | None = None
        self._beat_at: datetime | None = None
        self._beats = 0

    def instruments(self) -> Sequence[Instrument]:
        return (self._instrument,)

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[OrderRequest]:
        if self._beat_at is None or (tick.at - self._beat_at).total_seconds() >= self._beat_seconds:
            self._beat_at = tick.at
            self._beats += 1
        # Once held, never bought again: who sells it by hand, or at the end of the day, wants it sold.
        self._held = self._held or account.position(tick.instrument) != 0
        if self._held or account.open_orders(tick.instrument):
            return ()
        if self._ordered_at and (tick.at - self._ordered_at).total_seconds() < _RETRY_SECONDS:
            return ()
        self._ordered_at = tick.at
        return (OrderRequest(tick.instrument, "BUY", self._quantity),)

    def values(self) -> Mapping[str, float]:
        last = {} if self._beat_at is None else {"last_beat": self._beat_at.timestamp()}
        return {"beats": float(self._beats), **last}
