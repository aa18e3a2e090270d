# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's rules: intent first, every fill once, the broker's word wins, and nothing of the story is rewritten."""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from reference_engine.ledger import (
    Difference,
    FillChange,
    Ledger,
    LedgerSchemaError,
    RowCounter,
    TradingHaltedError,
    look,
)
from reference_engine.model import Instrument, OrderReport, OrderRequest, Snapshot, iso, utc_now
from tests.engine.support import AAPL, ACCOUNT, NOON, Place, execution, position, report


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    ledger = Ledger(place.load()[0])
    yield ledger
    ledger.close()


def intend(ledger: Ledger, order_ref: str = "dev-main:1", quantity: float = 5) -> str:
    request = OrderRequest(AAPL, "BUY", quantity)
    ledger.record_intent(order_ref, request, strategy="demo", client_id=1, broker_order_id=7)
    return order_ref


def age(place: Place, seconds: float) -> None:
    moment = iso(utc_now() - timedelta(seconds=seconds))
    place.execute(
        "UPDATE orders SET created_at = ?, sent_at = CASE WHEN sent_at IS NULL THEN NULL ELSE ? END", moment, moment
    )


def status(place: Place, order_ref: str = "dev-main:1") -> object:
    return place.query("SELECT status FROM orders WHERE order_ref = ?", order_ref)[0][0]


# -- the schema


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE events SET message = 'other'", "events is append-only: rows cannot be updated"),
        ("DELETE FROM events", "events is append-only: rows cannot be deleted"),
        ("INSERT OR REPLACE INTO events SELECT * FROM events", "events is append-only: rows cannot be replaced"),
        (
            "INSERT INTO events (at, kind, source, release_id, message) VALUES ('yesterday', 'a', 'b', 'c', 'd')",
            "CHECK constraint failed: at LIKE '____-__-__T__:__:__.___Z'",
        ),
        (
            "UPDATE orders SET status = 'sent'",
            "CHECK constraint failed: status NOT IN ('sent', 'submitted', 'cancelling') OR sent_at IS NOT NULL",
        ),
    ],
)
def test_schema_refuses_what_must_not_be(place: Place, ledger: Ledger, statement: str, message: str) -> None:
    intend(ledger)
    with pytest.raises(sqlite3.IntegrityError) as caught:
        place.execute(statement)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("question", "index"),
    [
        (
            "SELECT * FROM orders WHERE status IN ('intent', 'sent', 'submitted', 'cancelling') ORDER BY created_at",
            "orders_open",
        ),
        ("SELECT * FROM executions WHERE executed_at >= '2026-11-22' ORDER BY executed_at", "executions_executed"),
        ("SELECT * FROM daily_summaries WHERE day >= '2026-11-01' ORDER BY day", "PRIMARY KEY"),
        ("SELECT * FROM risk_events WHERE resolved_at IS NULL ORDER BY severity, at", "risk_events_unresolved"),
        ("SELECT * FROM events WHERE at >= '2026-11-22' ORDER BY at", "events_at"),
    ],
)
def test_operators_questions_are_answered_by_an_index(place: Place, question: str, index: str) -> None:
    (plan,) = place.query(f"EXPLAIN QUERY PLAN {question}")
    assert index in str(plan[3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: path.unlink(),
            "ledger {path}: unable to open database file; wanted a ledger made by the ledger's migrations, "
            "readable and writable",
        ),
        (
            lambda path: path.write_bytes(b"not a database" * 100),
            "ledger {path}: file is not a database; wanted a ledger made by the ledger's migrations, "
            "readable and writable",
        ),
        (
            lambda path: path.write_bytes(b""),
            "ledger {path}: schema version is 0, wanted at least 2; run the ledger's migrations first",
        ),
    ],
)
def test_ledger_that_is_missing_or_too_old_is_refused(place: Place, make: object, message: str) -> None:
    make(place.ledger)  # type: ignore[operator]
    with pytest.raises(LedgerSchemaError) as caught:
        Ledger(place.load()[0])
    assert str(caught.value) == message.format(path=place.ledger)


# -- orders


def test_intent_is_committed_before_the_order_may_leave(place: Place, ledger: Ledger) -> None:
    intend(ledger)
    assert place.query("SELECT order_ref, status, sent_at, side, quantity, account FROM orders") == [
        ("dev-main:1", "intent", None, "BUY", 5.0, ACCOUNT)
    ]
    assert ledger.rows["orders"] == 1


def test_order_ref_cannot_be_used_twice(ledger: Ledger) -> None:
    intend(ledger)
    with pytest.raises(sqlite3.IntegrityError, match=r"^UNIQUE constraint failed: orders\.order_ref$"):
        intend(ledger)
    assert ledger.rows["orders"] == 1


def test_halted_account_takes_no_intent(place: Place, ledger: Ledger) -> None:
    place.execute(
        "INSERT INTO trading_state VALUES (?, 'halted', 'too fast', 'ann', '2026-11-22T20:45:01.123Z', 0)", ACCOUNT
    )
    with pytest.raises(TradingHaltedError) as caught:
        intend(ledger)
    assert str(caught.value) == "too fast (by ann, since 2026-11-22T20:45:01.123Z)"
    ledger.set_trading_state("trading", "a new release")
    assert place.query("SELECT state FROM trading_state") == [("halted",)]
    assert place.query("SELECT count(*) FROM orders") == [(0,)]


@pytest.mark.parametrize(
    ("reports", "final"),
    [
        (["PendingSubmit"], "sent"),
        (["PendingSubmit", "PreSubmitted", "Submitted"], "submitted"),
        (["Submitted", "PendingSubmit"], "submitted"),
        (["Submitted", "PendingCancel"], "cancelling"),
        (["Submitted", "PendingCancel", "Cancelled"], "cancelled"),
        (["Submitted", "Filled", "Submitted"], "filled"),
        (["Cancelled", "Submitted"], "cancelled"),
        (["Cancelled", "Filled"], "filled"),
        (["Inactive", "Cancelled"], "rejected"),
        (["Inactive", "Submitted"], "submitted"),
        (["Submitted", "SomethingNew"], "submitted"),
    ],
)
def test_status_follows_the_broker_and_final_is_final(
    place: Place, ledger: Ledger, reports: list[str], final: str
) -> None:
    ledger.mark_sent(intend(ledger))
    for word in reports:
        assert ledger.record_order(report("dev-main:1", word)) is not None
    assert status(place) == final


@pytest.mark.parametrize("ended", ["Cancelled", "Inactive"])
def test_order_that_works_at_the_broker_after_all_is_taken_back_by_a_reconciliation(
    place: Place, ledger: Ledger, ended: str
) -> None:
    ledger.mark_sent(intend(ledger))
    ledger.record_order(report("dev-main:1", ended))
    was = status(place)
    ledger.reconcile(Snapshot((report("dev-main:1", "Submitted"),), (), ()))
    assert status(place) == "submitted"
    assert place.query("SELECT kind, order_ref, message FROM risk_events") == [
        (
            "order_revived",
            "dev-main:1",
            f"order dev-main:1 was {was} in the ledger and works at the broker (Submitted)",
        )
    ]


@pytest.mark.parametrize(("perm_id", "final"), [(0, "sent"), (900, "submitted")])
def test_refused_message_is_an_order_only_when_the_broker_has_numbered_it(
    place: Place, ledger: Ledger, perm_id: int, final: str
) -> None:
    ledger.mark_sent(intend(ledger))
    ledger.record_order(report("dev-main:1", "ValidationError", perm_id=perm_id, error_code=321))
    assert status(place) == final


@pytest.mark.parametrize(
    ("code", "final"), [(0, "cancelled"), (202, "cancelled"), (201, "rejected"), (200, "rejected")]
)
def test_cancel_for_a_reason_of_the_brokers_is_a_rejection(place: Place, ledger: Ledger, code: int, final: str) -> None:
    ledger.mark_sent(intend(ledger))
    ledger.record_order(report("dev-main:1", "Cancelled", error_code=code))
    assert status(place) == final


def test_order_of_somebody_else_is_not_invented(place: Place, ledger: Ledger) -> None:
    assert ledger.record_order(report("by hand", "Submitted")) is None
    assert place.query("SELECT count(*) FROM orders") == [(0,)]


def test_every_change_of_status_is_in_the_story_once(place: Place, ledger: Ledger) -> None:
    ledger.mark_sent(intend(ledger))
    for word in ("PreSubmitted", "Submitted", "Submitted", "Filled"):
        ledger.record_order(report("dev-main:1", word))
    assert place.query("SELECT kind, message FROM events ORDER BY id") == [
        ("order_intent", "BUY 5 AAPL MKT"),
        ("order_status", "sent -> submitted"),
        ("order_status", "submitted -> filled"),
    ]


# -- fills


def test_execution_counts_once(place: Place, ledger: Ledger) -> None:
    ledger.mark_sent(intend(ledger))
    fill = execution("e1", "BUY", 5, 100.0, order_ref="dev-main:1")
    assert [ledger.record_execution(fill), ledger.record_execution(fill)] == [FillChange(5), None]
    assert ledger.reconcile(Snapshot((), (fill,), (position(5),))).new_executions == 0
    assert place.query("SELECT count(*), sum(quantity) FROM executions") == [(1, 5.0)]
    assert place.query("SELECT executions, volume, turnover FROM daily_summaries") == [(1, 5.0, 500.0)]
    assert ledger.rows == {"orders": 1, "executions": 1, "trades": 1}


def test_executions_fill_their_order_even_when_the_status_never_comes(place: Place, ledger: Ledger) -> None:
    ledger.mark_sent(intend(ledger))
    ledger.record_order(report("dev-main:1", "Submitted", perm_id=77))
    ledger.record_execution(execution("e1", "BUY", 2, 100.0, order_ref="dev-main:1"))
    assert status(place) == "submitted"
    ledger.record_execution(execution("e2", "BUY", 3, 110.0, perm_id=77))
    assert place.query("SELECT status, filled_quantity, average_fill_price FROM orders") == [("filled", 5.0, 106.0)]


def test_fill_of_an_order_placed_by_hand_has_no_order(place: Place, ledger: Ledger) -> None:
    ledger.record_execution(execution("e1", "BUY", 5, 100.0))
    assert place.query("SELECT order_id, order_ref FROM executions") == [(None, None)]


def test_commission_is_added_once(place: Place, ledger: Ledger) -> None:
    fill = execution("e1", "BUY", 5, 100.0)
    ledger.record_execution(fill)
    reported = replace(fill, commission=1.25, commission_currency="USD", realized_pnl=0.0)
    ledger.record_commission(reported)
    ledger.record_commission(reported)
    ledger.reconcile(Snapshot((), (reported,), (position(5),)))
    assert place.query("SELECT commission FROM executions") == [(1.25,)]
    assert place.query("SELECT commission FROM trades") == [(1.25,)]
    assert place.query("SELECT commission FROM daily_summaries") == [(1.25,)]


def test_commission_in_another_currency_is_not_added_to_the_instruments(place: Place, ledger: Ledger) -> None:
    fill = execution(
        "e1", "BUY", 20000, 150.0, instrument=Instrument("USD", "CASH", "IDEALPRO", "JPY", con_id=15016059)
    )
    ledger.record_execution(fill)
    ledger.record_commission(replace(fill, commission=2.0, commission_currency="USD"))
    assert place.query("SELECT currency, executions, turnover, commission FROM daily_summaries ORDER BY currency") == [
        ("JPY", 1, 3e6, 0.0),
        ("USD", 0, 0.0, 2.0),
    ]
    assert place.query("SELECT currency, commission FROM trades") == [("JPY", 0.0)]
    assert place.query("SELECT commission, commission_currency FROM executions") == [(2.0, "USD")]


def test_round_trip_becomes_a_closed_trade_with_its_profit(place: Place, ledger: Ledger) -> None:
    for number, (side, quantity, price) in enumerate(
        [("BUY", 10, 100.0), ("BUY", 10, 110.0), ("SELL", 5, 120.0), ("SELL", 15, 100.0)]
    ):
        at = NOON + timedelta(seconds=number)
        ledger.record_execution(execution(f"e{number}", side, quantity, price, at=at))  # type: ignore[arg-type]
    assert place.query(
        "SELECT direction, open_quantity, entry_quantity, average_entry_price, exit_quantity, average_exit_price, "
        "realized_pnl, opened_at, closed_at FROM trades"
    ) == [("long", 0.0, 20.0, 105.0, 20.0, 105.0, 0.0, "2026-11-23T12:00:00.000Z", "2026-11-23T12:00:03.000Z")]
    assert place.query("SELECT realized_pnl FROM executions ORDER BY id") == [(0.0,), (0.0,), (75.0,), (-75.0,)]
    assert place.query("SELECT day, executions, trades_closed, realized_pnl FROM daily_summaries") == [
        ("2026-11-23", 4, 1, 0.0)
    ]


def test_fill_that_turns_the_position_closes_one_trade_and_opens_the_next(place: Place, ledger: Ledger) -> None:
    ledger.record_execution(execution("e1", "SELL", 5, 100.0))
    ledger.record_execution(execution("e2", "BUY", 8, 90.0))
    assert place.query("SELECT direction, open_quantity, entry_quantity, realized_pnl FROM trades ORDER BY id") == [
        ("short", 0.0, 5.0, 50.0),
        ("long", 3.0, 3.0, 0.0),
    ]


def test_profit_counts_the_multiplier(place: Place, ledger: Ledger) -> None:
    future = replace(AAPL, symbol="ES", security_type="FUT", con_id=5, multiplier=50.0)
    ledger.record_execution(execution("e1", "BUY", 1, 6000.0, instrument=future))
    ledger.record_execution(execution("e2", "SELL", 1, 6001.5, instrument=future))
    assert place.query("SELECT realized_pnl FROM trades") == [(75.0,)]
    assert place.query("SELECT turnover FROM daily_summaries") == [(600075.0,)]


def test_fractions_close_to_exactly_nothing(place: Place, ledger: Ledger) -> None:
    for number, (side, quantity) in enumerate([("BUY", 0.1), ("BUY", 0.2), ("SELL", 0.3)]):
        ledger.record_execution(execution(f"e{number}", side, quantity, 100.0))  # type: ignore[arg-type]
    assert place.query("SELECT open_quantity, closed_at IS NOT NULL FROM trades") == [(0.0, 1)]


def test_profit_is_right_when_a_position_is_added_to_after_a_part_was_sold(place: Place, ledger: Ledger) -> None:
    for number, (side, quantity, price) in enumerate(
        [("BUY", 10, 100.0), ("SELL", 5, 110.0), ("BUY", 5, 120.0), ("SELL", 10, 120.0)]
    ):
        ledger.record_execution(execution(f"e{number}", side, quantity, price))  # type: ignore[arg-type]
    # Held after the third: 5 at 100 and 5 at 120, together 10 at 110.
    assert place.query("SELECT realized_pnl FROM executions ORDER BY id") == [(0.0,), (50.0,), (0.0,), (100.0,)]
    assert place.query("SELECT realized_pnl, open_quantity FROM trades") == [(150.0, 0.0)]


@pytest.mark.parametrize("seed", range(3))
def test_books_balance_whatever_the_fills(place: Place, ledger: Ledger, seed: int) -> None:
    fills = list(itertools.product(("BUY", "SELL"), (1, 3, 7), (90.0, 100.0, 120.0)))
    random.Random(seed).shuffle(fills)  # noqa: S311 an order of fills is no secret
    for number, (side, quantity, price) in enumerate(fills):
        ledger.record_execution(execution(f"e{number}", side, quantity, price))  # type: ignore[arg-type]
    ((held, spent, pnl),) = place.query(
        "SELECT sum(signed), sum(-signed * price), sum(realized_pnl) FROM "
        "(SELECT CASE side WHEN 'BUY' THEN quantity ELSE -quantity END AS signed, price, realized_pnl FROM executions)"
    )
    ((open_quantity, open_value, trade_pnl),) = place.query(
        "SELECT sum(open_quantity), sum(open_quantity * average_entry_price), sum(realized_pnl) FROM trades"
    )
    assert open_quantity == held == 0
    assert pnl == pytest.approx(trade_pnl)
    assert pnl == pytest.approx(spent + open_value)
    assert place.query("SELECT realized_pnl FROM daily_summaries") == [(pytest.approx(pnl),)]


# -- positions and reconciliation


def test_position_has_a_history_and_no_row_when_closed(place: Place, ledger: Ledger) -> None:
    for quantity in (5.0, 5.0, 10.0, 0.0):
        ledger.record_position(position(quantity))
    assert place.query("SELECT count(*) FROM positions") == [(0,)]
    assert place.query("SELECT quantity, source FROM position_history ORDER BY id") == [
        (5.0, "broker"),
        (10.0, "broker"),
        (0.0, "broker"),
    ]


def test_reconciliation_closes_the_gap_of_a_lost_session(place: Place, ledger: Ledger) -> None:
    ledger.mark_sent(intend(ledger))
    ledger.record_position(position(3))
    fill = execution("e1", "BUY", 5, 100.0, order_ref="dev-main:1")
    found = ledger.reconcile(Snapshot((report("dev-main:1", "Filled"),), (fill,), (position(5),)))
    assert (found.new_executions, found.orders_settled, found.differences) == (1, [], [])
    assert status(place) == "filled"
    assert place.query("SELECT quantity FROM positions") == [(5.0,)]


def test_position_that_the_broker_no_longer_names_is_closed(place: Place, ledger: Ledger) -> None:
    ledger.record_position(position(3))
    ledger.reconcile(Snapshot((), (), ()))
    assert place.query("SELECT count(*) FROM positions") == [(0,)]
    assert place.query("SELECT quantity, source FROM position_history") == [(3.0, "broker"), (0.0, "reconciliation")]


def test_order_without_an_answer_may_be_on_its_way_for_a_while(place: Place, ledger: Ledger) -> None:
    ledger.mark_sent(intend(ledger))
    found = ledger.reconcile(Snapshot((), (), ()))
    assert (found.orders_in_flight, found.orders_settled) == (["dev-main:1"], [])
    age(place, 11)
    found = ledger.reconcile(Snapshot((), (), ()))
    assert (found.orders_in_flight, found.orders_settled) == ([], ["dev-main:1"])
    assert place.query("SELECT status, broker_message FROM orders") == [("not_sent", "the broker never had this order")]
    assert ledger.open_orders() == []


def test_order_of_an_earlier_session_that_the_broker_does_not_name_never_arrived(place: Place, ledger: Ledger) -> None:
    ledger.mark_sent(intend(ledger))
    nothing = Snapshot((), (), ())
    assert ledger.reconcile(nothing, sent_now=["dev-main:1"]).orders_in_flight == ["dev-main:1"]
    assert ledger.reconcile(nothing, sent_now=[]).orders_settled == ["dev-main:1"]
    assert status(place) == "not_sent"


def test_order_of_another_client_is_not_judged_by_this_session(place: Place, ledger: Ledger) -> None:
    ledger.mark_sent(intend(ledger))
    place.execute("UPDATE orders SET client_id = 99")
    assert ledger.reconcile(Snapshot((), (), ()), sent_now=[]).orders_in_flight == ["dev-main:1"]


def test_rows_for_a_reader_are_counted_once_a_minute(place: Place, ledger: Ledger) -> None:
    now = 0.0
    counter = RowCounter(lambda: now)
    deployment = place.load()[0]
    assert look(deployment, counter).rows["orders"] == 0
    intend(ledger)
    now = 59.0
    assert look(deployment, counter).rows["orders"] == 0
    now = 60.0
    assert look(deployment, counter).rows["orders"] == 1


def test_order_given_up_keeps_what_the_broker_said_of_it(place: Place, ledger: Ledger) -> None:
    ledger.mark_sent(intend(ledger))
    ledger.record_order(report("dev-main:1", "ValidationError", perm_id=0, error_code=321))
    age(place, 11)
    ledger.reconcile(Snapshot((), (), ()))
    reason = "the broker never had this order: code 321"
    assert place.query("SELECT status, broker_message FROM orders") == [("not_sent", reason)]
    assert place.query("SELECT message FROM events ORDER BY id DESC LIMIT 1") == [(reason,)]


def test_order_given_up_comes_back_when_the_broker_has_it_after_all(place: Place, ledger: Ledger) -> None:
    intend(ledger)
    age(place, 11)
    ledger.reconcile(Snapshot((), (), ()))
    assert status(place) == "not_sent"
    ledger.record_order(report("dev-main:1", "Submitted"))
    assert status(place) == "submitted"


def test_acknowledged_order_that_the_broker_forgot_asks_for_a_person(place: Place, ledger: Ledger) -> None:
    ledger.mark_sent(intend(ledger))
    ledger.record_order(report("dev-main:1", "Submitted"))
    found = ledger.reconcile(Snapshot((), (), ()))
    assert found.orders_settled == ["dev-main:1"]
    assert status(place) == "unresolved"
    assert place.query("SELECT kind, severity, order_ref, message FROM risk_events") == [
        (
            "order_unresolved",
            "warning",
            "dev-main:1",
            "order dev-main:1 (AAPL) was working at the broker, which no longer knows it",
        )
    ]


def test_working_order_that_the_ledger_does_not_know_is_reported_once(place: Place, ledger: Ledger) -> None:
    stranger = OrderReport("dev-main:lost", "Submitted", 4, 901, 1, 0.0, 0.0)
    for _ in range(2):
        ledger.reconcile(Snapshot((stranger,), (), ()))
    assert place.query("SELECT kind, message FROM risk_events") == [
        (
            "unknown_order",
            "an order that the ledger does not know works at the broker: perm id 901, order ref 'dev-main:lost'",
        )
    ]


@pytest.mark.parametrize("held", [7.0, -7.0, 0.0, 12.0])
def test_brokers_position_wins_and_leaves_a_trace(place: Place, ledger: Ledger, held: float) -> None:
    ledger.record_execution(execution("e1", "BUY", 5, 100.0))
    positions = (position(held, 90.0),) if held else ()
    differences = ledger.reconcile(Snapshot((), (), positions)).differences
    assert differences == [Difference(AAPL.con_id, "AAPL", 5.0, held)]
    ledger.adopt_positions(differences, positions)
    assert ledger.reconcile(Snapshot((), (), positions)).differences == []
    message = (
        f"AAPL: the ledger's trades add up to 5, the broker holds {held:g}; the ledger was set to the broker's quantity"
    )
    assert place.query("SELECT kind, message FROM risk_events") == [("position_mismatch", message)]
    assert place.query("SELECT message FROM events WHERE kind = 'position_adopted'") == [(message,)]
    assert place.query("SELECT max(adjusted) FROM trades") == [(1,)]


def test_profit_of_an_adopted_quantity_is_reckoned_with_the_brokers_cost(place: Place, ledger: Ledger) -> None:
    ledger.record_execution(execution("e1", "BUY", 5, 100.0))
    positions = (position(12, 90.0),)
    ledger.adopt_positions(ledger.reconcile(Snapshot((), (), positions)).differences, positions)
    ledger.record_execution(execution("e2", "SELL", 12, 100.0))
    assert place.query("SELECT realized_pnl, open_quantity FROM trades") == [(120.0, 0.0)]


def test_new_ledger_adopts_what_the_account_holds_without_alarm(place: Place, ledger: Ledger) -> None:
    positions = (position(20, 95.0),)
    ledger.adopt_positions(ledger.reconcile(Snapshot((), (), positions)).differences, positions)
    assert place.query("SELECT direction, open_quantity, average_entry_price, adjusted FROM trades") == [
        ("long", 20.0, 95.0, 1)
    ]
    assert place.query("SELECT count(*) FROM risk_events") == [(0,)]


def test_failed_write_leaves_nothing_behind(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reference_engine.ledger._BUSY_TIMEOUT_MS", 10)
    ledger = Ledger(place.load()[0])
    blocker = sqlite3.connect(place.ledger, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$"):
        intend(ledger)
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$"):
        ledger.check_writable()
    blocker.execute("ROLLBACK")
    blocker.close()
    ledger.check_writable()
    assert ledger.rows["orders"] == 0
    assert ledger.open_orders() == []
    ledger.close()


def test_burst_of_writes_waits_once_for_a_ledger_that_another_keeps(place: Place, ledger: Ledger) -> None:
    blocker = sqlite3.connect(place.ledger, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    for number in range(5):
        with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$"):
            ledger.record_execution(execution(f"e{number}", "BUY", 5, 100.0))
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$"):
        ledger.check_writable()
    # The contract's limit for an answer of /health, which may come behind all of them.
    assert time.monotonic() - started < 3
    blocker.execute("ROLLBACK")
    ledger.check_writable()
    blocker.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, blocker.execute, ["ROLLBACK"]).start()
    assert ledger.record_execution(execution("e1", "BUY", 5, 100.0)), "it waits again once the ledger was free"
    blocker.close()


def test_what_is_committed_outlives_a_power_cut(ledger: Ledger) -> None:
    # SQLite, "PRAGMA synchronous": only FULL (2) waits for the disk at every commit of a write-ahead log.
    asked = [ledger._connection.execute(f"PRAGMA {name}").fetchone() for name in ("synchronous", "journal_mode")]
    assert asked == [(2,), ("wal",)]


def test_closed_ledger_is_one_file(place: Place) -> None:
    ledger = Ledger(place.load()[0])
    intend(ledger)
    ledger.close()
    assert not place.ledger.with_name("trades.db-wal").exists()


@pytest.mark.parametrize("last_word", ["Submitted", "Cancelled"])
def test_a_part_of_an_order_that_was_sent_but_not_noted_as_sent_is_counted(
    ledger: Ledger, place: Place, last_word: str
) -> None:
    """The engine was killed, or the ledger locked, between the sending and its note."""
    order_ref = intend(ledger)
    fill = execution("x1", "BUY", 2, 100.0, order_ref=order_ref)
    found = ledger.reconcile(Snapshot((report(order_ref, last_word, filled=2),), (fill,), (position(2),)))
    assert (found.new_executions, found.differences) == (1, [])
    assert status(place) == last_word.lower()


def test_a_word_of_the_broker_that_is_not_known_leaves_an_intent_an_intent(ledger: Ledger, place: Place) -> None:
    order_ref = intend(ledger)
    ledger.record_order(report(order_ref, "ValidationError", perm_id=0, error_code=321))
    assert place.query("SELECT status, sent_at, broker_message FROM orders") == [("intent", None, "code 321")]


def test_a_commission_report_without_a_commission_is_not_counted(ledger: Ledger, place: Place) -> None:
    fill = execution("x1", "BUY", 2, 100.0)
    ledger.record_execution(fill)
    ledger.record_commission(fill)
    assert place.query("SELECT commission FROM trades") == [(0.0,)]
