# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack's ledger says of the account, read without an engine. It is as old as the ledger's last write."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from .sqlite_read import DatabaseFileError, opened
from .stack import Stack

TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Books:
    """``halt`` says why trading is halted, ``orders`` are the order_refs of those that have not ended."""

    halt: str | None
    orders: list[str]
    positions: dict[str, float]


def last_known(stack: Stack) -> Books | None:
    """None when there is no ledger, or it cannot be read."""
    try:
        with opened(stack.ledger, timeout=TIMEOUT_SECONDS) as ledger:
            halts = ledger.execute("SELECT reason FROM trading_state WHERE state = 'halted'").fetchall()
            orders = ledger.execute(
                "SELECT order_ref FROM orders WHERE status IN ('intent', 'sent', 'submitted', 'cancelling') ORDER BY id"
            ).fetchall()
            held = ledger.execute("SELECT symbol, sum(quantity) FROM positions GROUP BY symbol").fetchall()
    except (DatabaseFileError, sqlite3.Error, OSError):
        return None
    return Books("; ".join(reason for (reason,) in halts) or None, [ref for (ref,) in orders], dict(held))


def spoken(names: list[str] | dict[str, float] | None) -> str:
    """Orders or positions for people. None means that they are not known, which is not the same as none."""
    if names is None:
        return "unknown"
    if isinstance(names, dict):
        return ", ".join(f"{symbol} {quantity:g}" for symbol, quantity in sorted(names.items())) or "none"
    return ", ".join(names) or "none"
