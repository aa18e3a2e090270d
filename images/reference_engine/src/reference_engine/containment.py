# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A strategy is a stranger's code: what goes wrong in it ends here and is told, and never harms the engine.

An exception can be contained; a call that never returns cannot, for the engine has one thread. The health socket then
stays silent, and whoever watches it (the supervisor, the image's health check) restarts the engine.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import log
from .config import ContainmentSettings
from .guard import Refusal
from .model import Cancel, Execution, OrderReport, OrderRequest, Tick
from .strategy import AccountView, Strategy, Wish

_TELL_SLOW_EVERY_SECONDS = 60.0


@dataclass
class Containment:
    """Calls a strategy's methods. ``failed`` is told of every exception (its text) and whether it was one too many."""

    strategy: Strategy
    settings: ContainmentSettings
    failed: Callable[[str, bool], None]
    calls: int = 0
    seconds: float = 0.0
    slow_calls: int = 0
    errors: int = 0
    _failed_at: deque[float] = field(default_factory=deque)
    _told_slow_at: float = -_TELL_SLOW_EVERY_SECONDS

    def on_tick(self, tick: Tick, account: AccountView) -> list[Wish]:
        """Return what the strategy wants: all of it, or nothing when it fails half-way."""
        wishes: list[Wish] = []

        def ask() -> None:
            for wish in self.strategy.on_tick(tick, account):
                if not isinstance(wish, (OrderRequest, Cancel)):
                    raise TypeError(f"on_tick gave {wish!r}, wanted OrderRequest or Cancel")
                wishes.append(wish)

        return wishes if self._call("on_tick", ask) else []

    def on_order(self, report: OrderReport, account: AccountView) -> None:
        self._call("on_order", lambda: self.strategy.on_order(report, account))

    def on_fill(self, execution: Execution, account: AccountView) -> None:
        self._call("on_fill", lambda: self.strategy.on_fill(execution, account))

    def on_refusal(self, request: OrderRequest, refusal: Refusal, account: AccountView) -> None:
        self._call("on_refusal", lambda: self.strategy.on_refusal(request, refusal, account))

    def values(self) -> Mapping[str, float]:
        values: dict[str, float] = {}

        def ask() -> None:
            values.update({str(name): float(value) for name, value in self.strategy.values().items()})

        return values if self._call("values", ask) else {}

    def _call(self, name: str, method: Callable[[], None]) -> bool:
        """Call it; False when it raised."""
        started = time.monotonic()
        try:
            method()
        except KeyboardInterrupt:
            raise
        # SystemExit too: a strategy that calls exit() must not take the engine, and its working orders, with it.
        except BaseException as error:  # noqa: BLE001 a stranger's code may raise anything
            self._note_error(f"{name}: {type(error).__name__}: {error}")
            return False
        finally:
            self._note_time(name, time.monotonic() - started)
        return True

    def _note_time(self, name: str, seconds: float) -> None:
        self.calls += 1
        self.seconds += seconds
        if seconds * 1000.0 <= self.settings.slow_call_milliseconds:
            return
        self.slow_calls += 1
        now = time.monotonic()
        if now - self._told_slow_at >= _TELL_SLOW_EVERY_SECONDS:
            self._told_slow_at = now
            log.warning(
                "strategy_slow",
                method=name,
                milliseconds=seconds * 1000.0,
                limit=self.settings.slow_call_milliseconds,
                slow_calls=self.slow_calls,
            )

    def _note_error(self, text: str) -> None:
        self.errors += 1
        now = time.monotonic()
        self._failed_at.append(now)
        while now - self._failed_at[0] > self.settings.error_window_seconds:
            self._failed_at.popleft()
        log.error("strategy_failed", traceback=True, reason=text, errors=self.errors)
        self.failed(text, len(self._failed_at) >= self.settings.max_errors)
