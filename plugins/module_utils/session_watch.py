# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches whether a gateway has a session with the broker, and tells a person once when it has had none for a while.

A login may need a second factor that only a human has: starting the gateway again would not help, and a loop of logins
locks the account. Every connection costs the gateway, so whoever knows is asked first: the engine. Only where none
answers is the gateway itself asked for a session, and rarely.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from . import ib_api
from .readiness import Readiness, gateway_session, probe_service
from .stack import SLOTS, Stack

ALERT_SECONDS = 300.0
"""After how long without a session a person is told, where the release does not say."""
ASK_SECONDS = 300.0
SESSION_TIMEOUT_SECONDS = 10.0
# What an engine calls a gateway without a session; see docs/engine-contract.md.
NO_SESSION = {
    "unreachable": "nothing accepts connections",
    "no_handshake": "it does not speak the API yet",
    "not_logged_in": "it is not logged in",
    "broker_link_lost": "it has lost the broker",
}


class SessionWatch:
    """The watch over one gateway. ``tell`` gets one text when an outage has lasted ``after_seconds``, one at its end.

    ``probe`` is that of the gateway's service.json.
    """

    def __init__(self, stack: Stack, probe: dict[str, Any], after_seconds: float, tell: Callable[[str], None]) -> None:
        self._stack, self._probe = stack, probe
        self._after_seconds = after_seconds
        self._tell = tell
        self._since: float | None = None
        self._told = False
        self._asked_at: float | None = None
        self._answer: str | None = None

    def look(self, gateway: Readiness) -> None:
        """Look once; ``gateway`` is what it has just answered to its own probe."""
        problem = self._problem() if gateway.ready else gateway.message
        now = time.monotonic()
        if problem is None:
            if self._told and self._since is not None:
                self._tell(f"the gateway has a session with the broker again, after {_minutes(now - self._since)}")
            self._since, self._told = None, False
            return
        if self._since is None:
            self._since = now
        if not self._told and now - self._since >= self._after_seconds:
            self._told = True
            self._tell(
                f"the gateway has had no session with the broker for {_minutes(now - self._since)}: {problem}."
                " It is not restarted: a login may wait for its second factor"
            )

    def _problem(self) -> str | None:
        """Why there is no session, None when there is one."""
        for slot in SLOTS:
            state = self._state_by_engine(slot)
            if state is not None:
                self._asked_at = None
                return NO_SESSION.get(state)
        now = time.monotonic()
        if self._asked_at is None or now - self._asked_at >= ASK_SECONDS:
            self._asked_at, self._answer = now, self._ask()
        return self._answer

    def _state_by_engine(self, slot: str) -> str | None:
        socket = self._stack.socket(slot)
        if not socket.exists():
            return None
        gateway = probe_service({"kind": "contract"}, socket).document.get("gateway")
        state = gateway.get("state") if isinstance(gateway, dict) else None
        return state if isinstance(state, str) else None

    def _ask(self) -> str | None:
        try:
            gateway_session(self._probe, SESSION_TIMEOUT_SECONDS)
        except ib_api.ClientIdInUse:
            return None  # somebody else asks just now, in a session
        except ib_api.IbApiError as error:
            return str(error)
        return None


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
