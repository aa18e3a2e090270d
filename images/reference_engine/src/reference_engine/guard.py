# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may refuse an order: the one shape that risk limits, the circuit breaker and the lease share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from .model import OrderRequest

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True)
class Refusal:
    """Why an order may not be sent. It becomes a log line, a count by ``kind``, and a risk event in the ledger.

    ``kind`` is a word that stays the same (`order_size`); ``message`` names the value seen and the value wanted.
    """

    kind: str
    message: str
    severity: Severity = "warning"
    details: Mapping[str, Any] = field(default_factory=dict)


class Guard(Protocol):
    """One rule that every order must pass. Asked in the event loop before each order: it must be quick."""

    def refusal(self, request: OrderRequest, now: datetime) -> Refusal | None:
        """Return why the order may not be sent, None when this guard lets it pass.

        ``request.replaces`` names the working order whose terms these would become, empty for a new order.
        """
