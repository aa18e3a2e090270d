# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The circuit breaker of the order path: when order after order fails, stop sending and try again with a single one.

closed -> open: as many failures within the window as the settings allow. open -> half-open: the cool-down is over.
half-open -> closed: the one order that may pass, the probe, was acknowledged. half-open -> open: it was not; the
cool-down doubles, up to a ceiling.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from .config import BreakerSettings
from .guard import Refusal
from .model import OrderRequest

BreakerState = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """A `Guard`. The engine tells it what became of each order; cancels never ask it."""

    def __init__(self, settings: BreakerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.opened = 0
        """How often it opened."""
        self._settings = settings
        self._clock = clock
        self._failures: deque[float] = deque()
        self._last_failure = ""
        self._open = False
        self._open_until = 0.0
        self._cool_down = settings.open_seconds
        self._probe: str | None = None

    @property
    def state(self) -> BreakerState:
        if not self._open:
            return "closed"
        return "half_open" if self._clock() >= self._open_until else "open"

    def reason(self) -> str | None:
        """Say why no order may be sent now; None when one may, be it only a probe."""
        state = self.state
        if state == "open":
            return (
                f"orders fail repeatedly, the last one: {self._last_failure}; "
                f"the next is tried in {self._open_until - self._clock():.0f} s"
            )
        if state == "half_open" and self._probe is not None:
            return f"orders failed repeatedly; waiting for what becomes of the order {self._probe} that was tried"
        return None

    def refusal(self, request: OrderRequest, now: datetime) -> Refusal | None:  # noqa: ARG002 it looks at no order
        reason = self.reason()
        return Refusal("circuit_breaker", reason) if reason else None

    def sent(self, order_ref: str) -> None:
        """Note an order that left: while half-open it is the probe."""
        if self._open and self._probe is None:
            self._probe = order_ref

    def succeeded(self, order_ref: str) -> bool:
        """Note an order that the broker acknowledged; True when that closed the breaker."""
        if not self._open or order_ref != self._probe:
            return False
        self._open, self._probe = False, None
        self._failures.clear()
        self._cool_down = self._settings.open_seconds
        return True

    def failed(self, order_ref: str, reason: str) -> bool:
        """Note an order that was rejected or could not be sent; True when that opened the breaker."""
        now = self._clock()
        self._last_failure = reason
        if self._open:
            if order_ref != self._probe:
                return False
            self._cool_down = min(self._cool_down * 2.0, self._settings.open_limit_seconds)
        else:
            self._failures.append(now)
            while now - self._failures[0] > self._settings.window_seconds:
                self._failures.popleft()
            if len(self._failures) < self._settings.max_failures:
                return False
        self._open, self._probe = True, None
        self._failures.clear()
        self._open_until = now + self._cool_down
        self.opened += 1
        return True
