# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services of a session have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .messages import TextDialect
from .model import ContractQuery, Event, Instrument
from .requests import Request

if TYPE_CHECKING:
    from .session import Session

NOT_FOUND = "No security definition has been found for the request"


class Service:
    """Serves one kind of a client's requests, and sends the news that they subscribed to."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._simulator = session.simulator

    @property
    def handlers(self) -> Mapping[type[Request], Callable[[Any], None]]:
        """What is done at each kind of request."""
        raise NotImplementedError

    def news(self, events: Sequence[Event]) -> list[bytes]:
        """Return what the client is told of the broker's ``events``."""
        del events
        return []

    def tick(self) -> list[bytes]:
        """Return what the client is told at a tick of the market."""
        return []

    # --- for services -----------------------------------------------------------------------------------------------

    @property
    def _dialect(self) -> TextDialect:
        return self._session.dialect

    @property
    def _account(self) -> str:
        return self._simulator.broker.account

    @property
    def _now(self) -> float:
        """The present moment in seconds since the epoch."""
        return self._simulator.now().timestamp()

    def _send(self, *frames: bytes) -> None:
        self._session.send(*frames)

    def _fail(self, request_id: int, code: int, text: str) -> None:
        self._session.fail(request_id, code, text)

    def _find_one(self, request_id: int, contract: ContractQuery) -> Instrument | None:
        """Return the one instrument that fits; fail the request and return None when it is none or several."""
        found = self._simulator.catalogue.find(contract)
        if len(found) == 1:
            return found[0]
        reason = f": the description is ambiguous, {len(found)} contracts fit" if found else ""
        self._fail(request_id, 200, f"{NOT_FOUND}{reason}")
        return None
