# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ledger says, read without an engine."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.books import Books, last_known, spoken
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack
from tests.unit.plugins.module_utils.fake_host import deployed

MIGRATIONS = sorted((Path(__file__).parents[4] / "roles/ledger/files/migrations").glob("*.sql"))
NOW = "2026-11-22T20:45:01.123Z"


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return deployed(tmp_path)


def ledger(stack: Stack, **rows: Any) -> None:
    """Make the stack's ledger by the migrations, with a row in each table for each dict of columns."""
    stack.ledger.parent.mkdir(parents=True)
    connection = sqlite3.connect(stack.ledger)
    for migration in MIGRATIONS:
        connection.executescript(migration.read_text())
    for table, entries in rows.items():
        for entry in entries:
            names, values = ", ".join(entry), ", ".join(f":{name}" for name in entry)
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", entry)  # noqa: S608
    connection.commit()
    connection.close()


def order(status: str) -> dict[str, Any]:
    fixed = {"account": "DU1", "strategy": "demo", "slot": "blue", "release_id": "r", "symbol": "AAPL"}
    fixed |= {"security_type": "STK", "exchange": "SMART", "currency": "USD", "side": "BUY", "order_type": "MKT"}
    sent_at = None if status == "intent" else NOW
    times = {"created_at": NOW, "updated_at": NOW, "sent_at": sent_at}
    return {**fixed, **times, "order_ref": status, "status": status, "quantity": 1, "time_in_force": "DAY"}


def position(con_id: int, symbol: str, quantity: float) -> dict[str, Any]:
    fixed = {"account": "DU1", "currency": "USD", "average_cost": 10, "updated_at": NOW}
    return {**fixed, "con_id": con_id, "symbol": symbol, "quantity": quantity}


HALT = {"account": "DU1", "state": "halted", "reason": "emergency stop 1: x", "changed_by": "jane", "changed_at": NOW}


def test_open_orders_positions_and_the_halt_are_told(stack: Stack) -> None:
    ledger(
        stack,
        orders=[order(status) for status in ("intent", "filled", "submitted", "cancelled", "unresolved")],
        positions=[position(1, "MSFT", -2), position(2, "AAPL", 5)],
        trading_state=[HALT],
    )
    known = last_known(stack)
    assert known == Books("emergency stop 1: x", ["intent", "submitted"], {"MSFT": -2.0, "AAPL": 5.0})
    assert (spoken(known.orders), spoken(known.positions)) == ("intent, submitted", "AAPL 5, MSFT -2")


def test_a_fresh_ledger_knows_of_nothing(stack: Stack) -> None:
    ledger(stack)
    assert last_known(stack) == Books(None, [], {})
    assert (spoken([]), spoken({})) == ("none", "none")


@pytest.mark.parametrize("content", [None, b"", b"no database, but long enough to be taken for one"])
def test_no_ledger_and_one_that_cannot_be_read_are_unknown_not_empty(stack: Stack, content: bytes | None) -> None:
    if content is not None:
        stack.ledger.parent.mkdir(parents=True)
        stack.ledger.write_bytes(content)
    assert last_known(stack) is None
    assert spoken(None) == "unknown"
