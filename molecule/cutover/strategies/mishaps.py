# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A strategy that is well as a standby, and fails in one way or another when it is to trade."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from reference_engine.model import Instrument, OrderRequest, Tick
from reference_engine.strategies.demo import DemoStrategy
from reference_engine.strategy import AccountView


class Mishap(DemoStrategy):
    """The demo strategy, until its engine holds the lease: then what the parameter ``mishap`` names happens."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        given = dict(parameters)
        mishaps: dict[str, Callable[[], Iterable[OrderRequest]]] = {
            "crash": self._crash,
            "eat memory": self._eat_memory,
            "raise": self._raise,
            "hang": self._hang,
            "order what is refused": self._order_what_is_refused,
        }
        self._mishap = mishaps[given.pop("mishap")]
        self._eaten: list[bytes] = []
        super().__init__(given)

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[OrderRequest]:
        token = json.loads((Path(os.environ["BALLAST_LEASE_DIR"]) / "token").read_text())
        if token["release"] == os.environ["BALLAST_RELEASE"]:
            return self._mishap()
        return super().on_tick(tick, account)

    def _crash(self) -> Iterable[OrderRequest]:
        os._exit(1)

    def _eat_memory(self) -> Iterable[OrderRequest]:
        self._eaten.append(os.urandom(32 << 20))
        return ()

    def _raise(self) -> Iterable[OrderRequest]:
        raise RuntimeError("this strategy raises as soon as it trades")

    def _hang(self) -> Iterable[OrderRequest]:
        while True:
            time.sleep(1)

    def _order_what_is_refused(self) -> Iterable[OrderRequest]:
        # More than the account has margin for.
        return (OrderRequest(Instrument("AAPL"), "BUY", 1_000_000),)
