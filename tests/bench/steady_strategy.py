# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategy that measurements are made with: market orders at a steady rate, long and flat in turn."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reference_engine.model import Instrument, OrderRequest, Tick
from reference_engine.strategy import AccountView, Strategy, Wish


class Steady(Strategy):
    """Orders one unit ``per_second`` times a second, of the first of ``symbols``; it watches the others."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._pause = 1 / float(parameters["per_second"])
        self._instruments = tuple(Instrument(symbol) for symbol in parameters["symbols"])
        self._due = 0.0
        self._buys = True

    def instruments(self) -> Sequence[Instrument]:
        return self._instruments

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[Wish]:  # noqa: ARG002 the clock decides
        now = time.monotonic()
        if now < self._due:
            return ()
        # The rate is kept over late ticks; after a pause, as without the gateway, it is not made up for.
        self._due = max(self._due, now - self._pause) + self._pause
        self._buys = not self._buys
        return (OrderRequest(self._instruments[0], "BUY" if self._buys else "SELL", 1),)
