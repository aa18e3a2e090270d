# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's questions of docs/ledger.md, asked of a ledger with a day's trading in it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from reference_engine.ledger import Ledger
from reference_engine.model import OrderRequest, Snapshot, utc_now
from tests.engine.support import AAPL, ACCOUNT, ROOT, Place, execution, position, report

PAGE = (ROOT / "docs/ledger.md").read_text(encoding="utf-8")
REF = "paper-main:0123456789abcdef"


def questions() -> dict[str, str]:
    """Return the page's queries by their heading; a heading's second one has a number."""
    found: dict[str, str] = {}
    for part in PAGE.split("\n### ")[1:]:
        heading = part.splitlines()[0]
        for number, query in enumerate(re.findall(r"```sql\n(.*?)```", part, re.DOTALL)):
            found[f"{heading} ({number + 1})" if number else heading] = query
    return found


QUESTIONS = questions()


@pytest.fixture(scope="module")
def traded() -> Iterator[Place]:
    """A ledger after a day: a round trip, a corrected fill, a rejected and an open order, something to resolve."""
    place = Place()
    place.make_ledger()
    ledger = Ledger(place.load()[0])
    now = utc_now()
    buy = OrderRequest(AAPL, "BUY", 5)
    for number, ref in enumerate((REF, "paper-main:rejected", "paper-main:open"), 1):
        ledger.record_intent(ref, buy, strategy="demo", client_id=1, broker_order_id=number)
        ledger.mark_sent(ref)
    first = execution("0001.aa.01.01", "BUY", 5, 100.0, order_ref=REF, at=now)
    ledger.record_order(report(REF, "Submitted", perm_id=901))
    ledger.record_execution(first)
    ledger.record_commission(replace(first, commission=1.0, commission_currency="USD"))
    ledger.record_execution(replace(first, exec_id="0001.aa.01.02", price=101.0))
    last = execution("0001.ab.01.01", "SELL", 3, 105.0, at=now + timedelta(milliseconds=5))
    ledger.record_execution(last)
    ledger.record_commission(replace(last, commission=1.0, commission_currency="USD", realized_pnl=15.0))
    ledger.record_execution(execution("0001.ac.01.01", "SELL", 2, 102.0, at=now + timedelta(milliseconds=9)))
    ledger.record_order(report("paper-main:rejected", "Inactive", perm_id=902, error_code=201))
    ledger.record_order(report("paper-main:open", "Submitted", perm_id=903))
    ledger.record_position(position(4))
    ledger.record_risk_event("position_mismatch", "warning", "look at it")
    ledger.record_risk_event("dead_man_switch", "critical", "no usable link")
    ledger.set_trading_state("trading", "release r1 trades")
    ledger.reconcile(Snapshot((report("paper-main:open", "Submitted", perm_id=903),), (), (position(4),)))
    ledger.close()
    yield place
    place.close()


ANSWERS: dict[str, list[tuple[object, ...]]] = {
    "What did I make today?": [(ACCOUNT, "USD", 3, 1, 14.0, 2.0, 12.0)],
    "Which round trips won and lost the most this month?": [("AAPL", "long", 5.0, 101.0, 103.8, 12.0)],
    "Which orders are open?": [("paper-main:open", "submitted", "BUY", 5.0, 0.0, "AAPL", "MKT", None, None)],
    "What became of an order, with all its fills?": [(REF, "filled", "0001.aa.01.02", 5.0, 101.0)],
    "Which orders were refused, rejected or lost today, and why?": [("paper-main:rejected", "rejected", "code 201")],
    "What do I hold?": [(ACCOUNT, "AAPL", 4.0, 100.0)],
    "Does the ledger add up to what the broker holds?": [("AAPL", 0.0, 4.0)],
    "What is there to resolve?": [("critical", "dead_man_switch"), ("warning", "position_mismatch")],
    "May the account trade, and who said so?": [(ACCOUNT, "trading", "release r1 trades", "engine-blue", 0)],
    "What did the broker correct?": [("0001.aa.01.01", "0001.aa.01.02", 100.0, 101.0)],
    "Where do the broker and the ledger differ on a profit?": [("0001.ab.01.01", 11.0, 15.0)],
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_answered_without_reading_a_whole_table_of_orders_or_events(
    traded: Place, question: str
) -> None:
    query = QUESTIONS[question]
    if query.startswith("UPDATE"):
        return
    connection = sqlite3.connect(f"{traded.ledger.as_uri()}?mode=ro", uri=True)
    try:
        rows = connection.execute(query.replace("'2026-11-23T21:00:00.000Z'", "'2999-01-01T00:00:00.000Z'")).fetchall()
        assert len(rows) >= 1, "the day has an answer to every question"
        plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    finally:
        connection.close()
    assert not any(re.match(r"SCAN (o|orders|events)$", step) for step in plan), plan


@pytest.mark.parametrize("question", ANSWERS)
def test_answer_is_right(traded: Place, question: str) -> None:
    rows = traded.query(QUESTIONS[question])
    assert len(rows) == len(ANSWERS[question])
    for row, wanted in zip(rows, ANSWERS[question], strict=True):
        for value in wanted:
            assert value in row, f"{row} has no {value!r}"


def test_holdings_of_a_moment_are_those_of_then(traded: Place) -> None:
    query = QUESTIONS["What did I hold at a moment?"]
    assert traded.query(query) == []
    (row,) = traded.query(query.replace("2026-11-23T21:00:00.000Z", "2999-01-01T00:00:00.000Z"))
    assert row[:3] == ("AAPL", 4.0, 100.0)


def test_what_was_resolved_is_no_longer_there_to_resolve(traded: Place) -> None:
    traded.execute(QUESTIONS["What is there to resolve? (2)"])
    left = traded.query("SELECT kind, resolved_by FROM risk_events ORDER BY id")
    assert left == [("position_mismatch", "ann"), ("dead_man_switch", None)]
