# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing the right to trade from the engine of one slot to that of the other, both of which run.

One demote and one promote, over the engines' sockets. Nobody is promoted before it is proven that the other one cannot
trade: it confirmed that it has given the lease back, or it has ended. Where neither can be proven, a higher token takes
the right from both: then nothing trades.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any

from . import lease, unix_http
from .readiness import Readiness
from .services import NotHealthy, NotStopped, ServiceError, Services
from .stack import Stack

# The engine waits so long for the broker's answers to orders under way, and for its own reconciliation.
DEMOTE_SECONDS = 10.0
PROMOTE_SECONDS = 20.0
ANSWER_MARGIN_SECONDS = 3.0
# The one trades while the other is compared with it, so that a moment's difference means nothing.
AGREE_SECONDS = 10.0
POLL_SECONDS = 0.2
FENCER = "ballast"


class NotPromoted(ServiceError):
    """An engine did not take the right to trade. The text has its reason."""


class Handover:
    """Moves the lease between the slots of one stack. ``note`` receives a line for what was done."""

    def __init__(self, stack: Stack, services: Services, note: Callable[[str], None]) -> None:
        self.stack = stack
        self._services = services
        self._note = note

    def compare(self, old: str, new: str) -> None:
        """The standby must see the account and the positions of the engine that trades. Raises NotHealthy."""
        deadline = time.monotonic() + AGREE_SECONDS
        while True:
            before, standby, after = (self._services.probe_engine(slot) for slot in (old, new, old))
            seen = _view(standby)
            if seen is not None and seen in (_view(before), _view(after)):
                self._note(f"slot {new} sees what slot {old} sees: {_shown(standby)}")
                return
            if time.monotonic() > deadline:
                raise NotHealthy(
                    f"the standby does not see what the trading engine sees: it has {_shown(standby)},"
                    f" wanted {_shown(after)} as slot {old} has it. If slot {old} is the one that is wrong, stop it and"
                    " deploy again",
                    [],
                )
            time.sleep(POLL_SECONDS)

    def take(self, slot: str) -> float:
        """Take the right to trade from the engine of ``slot``, and prove it; a moment of time.monotonic().

        The moment is that of its confirmation; one that does not confirm is stopped, and counts as gone since it was
        asked. Raises NotStopped when neither can be proven: by then it was fenced out.
        """
        asked = time.monotonic()
        problem = self._ask(slot, "demote", DEMOTE_SECONDS, "standby")
        holder = lease.holder(self.stack)
        if problem is None and holder is not None and holder.get("slot") in (None, slot):
            problem = "it says that it has given the lease back, but its lock is held"
        if problem is None:
            self._note(f"slot {slot} has given the lease back")
            return time.monotonic()
        try:
            self._services.stop_engine(slot)
        except NotStopped as error:
            raise NotStopped(f"{error}; {self._fence(f'slot {slot} cannot be proven to have stopped')}") from error
        self._note(f"slot {slot} does not run: it could not be demoted ({problem})")
        return asked

    def give(self, slot: str, timeout: float = PROMOTE_SECONDS) -> float:
        """Give the right to trade to the engine of ``slot``; a moment of time.monotonic(). Raises NotPromoted.

        Only after ``take`` of the other slot has succeeded.
        """
        problem = self._ask(slot, "promote", timeout, "trading")
        if problem is not None:
            raise NotPromoted(f"the engine in slot {slot} was not promoted: {problem}")
        self._note(f"slot {slot} trades")
        return time.monotonic()

    def _ask(self, slot: str, what: str, timeout: float, role: str) -> str | None:
        """Why the engine of a slot is not in ``role`` after the call, or None when it says that it is."""
        path = str(self.stack.socket(slot))
        try:
            answer = unix_http.post(path, f"/lease/{what}", {"timeout": timeout}, timeout + ANSWER_MARGIN_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            return f"no answer on {path} ({error})"
        try:
            document: dict[str, Any] = dict(json.loads(answer.body))
        except (ValueError, TypeError):
            document = {}
        if answer.status == 200 and document.get("role") == role:
            return None
        reason = document.get("reason") or answer.body[:200].decode(errors="replace").strip()
        return f"{what} answered {answer.status} with role {document.get('role')}: {' '.join(str(reason).split())}"

    def _fence(self, why: str) -> str:
        try:
            token = lease.fence(self.stack, FENCER, why)
        except OSError as error:
            return f"and no higher token could be written to fence it out ({error})"
        return f"token {token.token} fences it out, so it sends nothing more once it looks"


def _view(answer: Readiness) -> tuple[Any, Any] | None:
    """What both engines must see alike; None where an engine does not tell."""
    account, positions = answer.document.get("account"), answer.document.get("positions")
    return (account, positions) if isinstance(positions, dict) else None


def _shown(answer: Readiness) -> str:
    positions = answer.document.get("positions")
    if not isinstance(positions, dict):
        return f"no positions ({answer.message})"
    held = ", ".join(f"{name} {quantity:g}" for name, quantity in sorted(positions.items())) or "no position"
    return f"{held} in account {answer.document.get('account')}"
