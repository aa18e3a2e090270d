# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes that share a transaction: what is on the disk when, and what a failure undoes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reference_engine.ledger import FencedError, Ledger, TradingHaltedError
from reference_engine.model import OrderRequest, Snapshot
from tests.engine.support import AAPL, ACCOUNT, Place, eventually, execution, position, report


@pytest.fixture
async def ledger(place: Place) -> AsyncIterator[Ledger]:
    ledger = Ledger(place.load()[0], batched=True)
    yield ledger
    ledger.close()


def intend(ledger: Ledger, order_ref: str = "dev-main:1") -> None:
    ledger.record_intent(order_ref, OrderRequest(AAPL, "BUY", 5), strategy="demo", client_id=1, broker_order_id=7)


async def over(ledger: Ledger) -> None:
    """Wait for the end of the batch."""
    await eventually(lambda: not ledger._connection.in_transaction)


def on_disk(place: Place) -> tuple[object, ...]:
    return (
        *place.query("SELECT count(*) FROM orders")[0],
        *place.query("SELECT count(*) FROM executions")[0],
        *place.query("SELECT count(*) FROM risk_events")[0],
    )


async def test_writes_of_one_batch_are_one_commit(place: Place, ledger: Ledger) -> None:
    for number in range(50):
        ledger.record_execution(execution(f"e{number}", "BUY", 1, 100.0))
        ledger.record_position(position(number + 1))
    assert (on_disk(place), ledger.commits) == ((0, 0, 0), 0)
    assert ledger.rows["executions"] == 50, "the engine sees what it wrote at once"
    await over(ledger)
    assert (on_disk(place), ledger.commits) == ((0, 50, 0), 1)


async def test_intent_is_on_the_disk_at_once_with_everything_before_it(place: Place, ledger: Ledger) -> None:
    ledger.record_execution(execution("e1", "BUY", 1, 100.0))
    ledger.record_risk_event("test", "info", "before the intent")
    assert on_disk(place) == (0, 0, 0)
    intend(ledger)
    assert on_disk(place) == (1, 1, 1)
    ledger.mark_sent("dev-main:1")
    assert place.query("SELECT status FROM orders") == [("intent",)]
    await over(ledger)
    assert place.query("SELECT status FROM orders") == [("sent",)]


async def test_change_of_a_working_order_is_on_the_disk_before_it_leaves(place: Place, ledger: Ledger) -> None:
    ledger.record_change("dev-main:1", OrderRequest(AAPL, "BUY", 7, "LMT", 99.5))
    assert place.query("SELECT kind, data FROM events") == [
        ("order_change_intent", '{"limit_price": 99.5, "order_ref": "dev-main:1", "quantity": 7}')
    ]


async def test_refused_intent_takes_nothing_else_with_it(place: Place, ledger: Ledger) -> None:
    place.execute(
        "INSERT INTO trading_state VALUES (?, 'halted', 'too fast', 'ann', '2026-11-22T20:45:01.123Z', 0)", ACCOUNT
    )
    ledger.record_execution(execution("e1", "BUY", 1, 100.0))
    with pytest.raises(TradingHaltedError):
        intend(ledger)
    await over(ledger)
    assert on_disk(place) == (0, 1, 0)
    assert ledger.rows == {"orders": 0, "executions": 1, "trades": 1}


async def test_step_that_fails_leaves_the_other_writes_of_the_batch(place: Place, ledger: Ledger) -> None:
    ledger.record_execution(execution("e1", "BUY", 1, 100.0))
    with pytest.raises(sqlite3.IntegrityError):
        ledger.record_risk_event("test", "no such severity", "x")
    ledger.record_execution(execution("e2", "BUY", 1, 100.0))
    await over(ledger)
    assert place.query("SELECT exec_id FROM executions") == [("e1",), ("e2",)]
    assert ledger.rows["executions"] == 2


async def test_full_disk_undoes_the_whole_batch(place: Place, ledger: Ledger) -> None:
    ledger.record_execution(execution("e1", "BUY", 1, 100.0))
    await over(ledger)
    # A disk that is full: a real one, limited to the pages it has.
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    fills = [execution(f"e{number}", "BUY", 1, 100.0) for number in range(2, 3000)]
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
        list(map(ledger.record_execution, fills))
    await over(ledger)
    assert place.query("SELECT exec_id FROM executions") == [("e1",)]
    assert ledger.rows["executions"] == 1
    ledger._connection.execute("PRAGMA max_page_count = 1000000")
    ledger.record_execution(fills[0])
    await over(ledger)
    assert place.query("SELECT exec_id FROM executions") == [("e1",), ("e2",)]


class FailingOnce:
    """A connection whose next COMMIT fails."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._fails = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and self._fails:
            self._fails = False
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(sql, *values)


async def test_commit_that_fails_is_told_and_undoes_the_whole_batch(
    place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    ledger.on_failure = lambda error: told.append(str(error))
    monkeypatch.setattr(ledger, "_connection", FailingOnce(ledger._connection))
    ledger.record_execution(execution("e1", "BUY", 1, 100.0))
    await eventually(lambda: told == ["disk I/O error"])
    assert (ledger.rows["executions"], on_disk(place)) == (0, (0, 0, 0))
    ledger.record_execution(execution("e1", "BUY", 1, 100.0))
    await over(ledger)
    assert on_disk(place) == (0, 1, 0)


async def test_reconciliation_is_on_the_disk_when_it_is_done(place: Place, ledger: Ledger) -> None:
    ledger.reconcile(Snapshot((), (execution("e1", "BUY", 1, 100.0),), (position(1),)))
    assert on_disk(place) == (0, 1, 0)


async def test_closing_writes_what_waits(place: Place) -> None:
    ledger = Ledger(place.load()[0], batched=True)
    ledger.record_execution(execution("e1", "BUY", 1, 100.0))
    ledger.close()
    assert on_disk(place) == (0, 1, 0)
    await asyncio.sleep(0.02)  # the batch's own commit finds nothing to do


# -- the fence


async def test_intent_of_an_older_lease_is_refused(place: Place, ledger: Ledger) -> None:
    ledger.fencing_token = 7
    intend(ledger, "dev-main:1")
    assert place.query("SELECT fencing_token FROM trading_state") == [(7,)]
    place.execute("UPDATE trading_state SET fencing_token = 8")
    with pytest.raises(FencedError) as caught:
        intend(ledger, "dev-main:2")
    assert str(caught.value) == (
        "this engine's lease has token 7, the ledger has seen token 8: another engine has the right to trade"
    )
    with pytest.raises(FencedError):
        ledger.record_change("dev-main:1", OrderRequest(AAPL, "BUY", 7))
    assert place.query("SELECT order_ref FROM orders") == [("dev-main:1",)]


async def test_newer_lease_raises_the_token(place: Place, ledger: Ledger) -> None:
    ledger.fencing_token = 7
    intend(ledger, "dev-main:1")
    ledger.fencing_token = 9
    intend(ledger, "dev-main:2")
    assert place.query("SELECT fencing_token FROM trading_state") == [(9,)]


# -- terms


async def test_terms_that_the_broker_has_are_the_ledgers(place: Place, ledger: Ledger) -> None:
    intend(ledger)
    ledger.mark_sent("dev-main:1")
    ledger.record_order(report("dev-main:1", "Submitted", quantity=8, limit_price=99.5, stop_price=98.0))
    ledger.record_order(report("dev-main:1", "Submitted"))
    await over(ledger)
    assert place.query("SELECT quantity, limit_price, stop_price FROM orders") == [(8.0, 99.5, 98.0)]
    assert place.query("SELECT data FROM events WHERE kind = 'order_changed'") == [
        ('{"limit_price": [null, 99.5], "order_ref": "dev-main:1", "quantity": [5.0, 8], "stop_price": [null, 98.0]}',)
    ]
