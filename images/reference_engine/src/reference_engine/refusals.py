# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The traces of orders that were not sent. A strategy may want the same on every tick: the ledger is told once.

An episode is the refusals of one kind, instrument and side, as long as they follow each other. It is one risk event
whose ``details.refused`` counts them, resolved when none came for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from . import log
from .guard import Refusal
from .ledger import Ledger
from .model import OrderRequest

_QUIET = timedelta(seconds=60)
_WRITE_EVERY = timedelta(seconds=60)


@dataclass
class _Episode:
    id: int
    last: datetime
    count: int = 1
    written: int = 1


class Refusals:
    """Notes every refusal; `write` is to be called now and then, and `close` at the end."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._episodes: dict[tuple[str, str, str], _Episode] = {}
        self._written_at: datetime | None = None
        ledger.end_refusals()

    def note(self, request: OrderRequest, refusal: Refusal, now: datetime) -> None:
        """Leave the trace of an order that is not sent."""
        key = (refusal.kind, request.instrument.symbol, request.side)
        episode = self._episodes.get(key)
        (log.debug if episode else log.warning)(
            "order_refused",
            kind=refusal.kind,
            side=request.side,
            quantity=request.quantity,
            symbol=request.instrument.symbol,
            reason=refusal.message,
        )
        if episode:
            episode.count += 1
            episode.last = now
            return
        details = {"side": request.side, "quantity": request.quantity, **refusal.details}
        row_id = self._ledger.begin_refusals(
            refusal.kind, refusal.severity, refusal.message, request.instrument.symbol, details
        )
        self._episodes[key] = _Episode(row_id, now)

    def write(self, now: datetime) -> None:
        """Write the counts that grew, once a minute, and end the episodes that are over."""
        over = {key for key, episode in self._episodes.items() if now - episode.last >= _QUIET}
        if over or self._written_at is None or now - self._written_at >= _WRITE_EVERY:
            self._written_at = now
            self._write(over)

    def close(self) -> None:
        """End every episode."""
        self._write(set(self._episodes))

    def _write(self, over: set[tuple[str, str, str]]) -> None:
        told = {
            episode.id: (episode.count, key in over)
            for key, episode in self._episodes.items()
            if key in over or episode.count > episode.written
        }
        if told:
            self._ledger.count_refusals(told)
        for key, episode in list(self._episodes.items()):
            episode.written = episode.count
            if key in over:
                del self._episodes[key]
