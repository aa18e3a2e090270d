# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills that the broker corrects: the ledger must end as if the right fill had come at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from reference_engine.ledger import FillChange, Ledger
from reference_engine.model import Execution, OrderRequest, Side, Snapshot
from tests.engine.support import AAPL, NOON, Place, execution, position, report

# Everything that follows from fills. Not the rows' ids: what is corrected keeps its row.
FOLLOWS = {
    "executions": "exec_id, side, quantity, price, round(realized_pnl, 6), closed_quantity, commission, executed_at",
    "trades": "direction, open_quantity, round(average_entry_price, 6), entry_quantity, exit_quantity, "
    "round(average_exit_price, 6), round(realized_pnl, 6), round(commission, 6), opened_at, closed_at, adjusted",
    "daily_summaries": "day, currency, executions, volume, round(turnover, 4), trades_closed, round(realized_pnl, 6), "
    "round(commission, 6)",
}


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    ledger = Ledger(place.load()[0])
    yield ledger
    ledger.close()


def books(place: Place) -> dict[str, list[tuple[object, ...]]]:
    """Return what the ledger has of fills and of all that follows from them."""
    return {
        table: place.query(f"SELECT {columns} FROM {table} ORDER BY {columns.split(',')[0]}, 2, 3")  # noqa: S608
        for table, columns in FOLLOWS.items()
    }


def charged(fill: Execution, commission: float = 1.0, realized: float | None = None) -> Execution:
    return replace(fill, commission=commission, commission_currency="USD", realized_pnl=realized)


def test_correction_takes_the_place_of_the_fill_and_leaves_a_trace(place: Place, ledger: Ledger) -> None:
    first = execution("0001.aa.01.01", "BUY", 5, 100.0)
    assert ledger.record_execution(first) == FillChange(5)
    ledger.record_commission(charged(first))
    second = replace(first, exec_id="0001.aa.01.02", quantity=4, price=99.0)
    assert ledger.record_execution(second) == FillChange(-1, "0001.aa.01.01")
    assert place.query("SELECT exec_id, quantity, price, commission FROM executions") == [
        ("0001.aa.01.02", 4.0, 99.0, 1.0)
    ]
    assert place.query("SELECT exec_id, replaced_by, quantity, price, commission FROM execution_corrections") == [
        ("0001.aa.01.01", "0001.aa.01.02", 5.0, 100.0, 1.0)
    ]
    assert place.query("SELECT open_quantity, average_entry_price FROM trades") == [(4.0, 99.0)]
    assert place.query("SELECT executions, volume, turnover, commission FROM daily_summaries") == [(1, 4.0, 396.0, 1.0)]
    assert place.query("SELECT message FROM events") == [("AAPL: BUY 5 at 100 was corrected to BUY 4 at 99",)]
    assert ledger.rows == {"orders": 0, "executions": 1, "trades": 1}


@pytest.mark.parametrize("order", [("01", "02", "01"), ("01", "02", "02"), ("02", "01"), ("01", "03", "02", "01")])
def test_revisions_may_come_in_any_order_and_again(place: Place, ledger: Ledger, order: tuple[str, ...]) -> None:
    newest = max(order)
    for revision in order:
        ledger.record_execution(execution(f"0001.aa.01.{revision}", "BUY", 5, 100.0 + int(revision)))
    assert place.query("SELECT exec_id, price FROM executions") == [(f"0001.aa.01.{newest}", 100.0 + int(newest))]
    assert place.query("SELECT average_entry_price, open_quantity FROM trades") == [(100.0 + int(newest), 5.0)]


@pytest.mark.parametrize("other", ["0001.aa.02.01", "0001.ab.01.02", "0001.aa.01.01.02", "0001.aa.011.01", "e1"])
def test_other_fills_are_not_taken_for_corrections(place: Place, ledger: Ledger, other: str) -> None:
    ledger.record_execution(execution("0001.aa.01.01", "BUY", 5, 100.0))
    assert ledger.record_execution(execution(other, "BUY", 5, 100.0)) == FillChange(5)
    assert place.query("SELECT count(*) FROM executions") == [(2,)]
    assert place.query("SELECT count(*) FROM execution_corrections") == [(0,)]


def test_corrected_order_has_what_its_fills_add_up_to(place: Place, ledger: Ledger) -> None:
    ledger.record_intent("dev-main:1", OrderRequest(AAPL, "BUY", 10), strategy="demo", client_id=1, broker_order_id=1)
    ledger.mark_sent("dev-main:1")
    ledger.record_order(report("dev-main:1", "Submitted"))
    ledger.record_execution(execution("0001.aa.01.01", "BUY", 6, 100.0, order_ref="dev-main:1"))
    ledger.record_execution(execution("0001.ab.01.01", "BUY", 2, 110.0, order_ref="dev-main:1"))
    ledger.record_execution(execution("0001.aa.01.02", "BUY", 2, 90.0, order_ref="dev-main:1"))
    assert place.query("SELECT status, filled_quantity, average_fill_price FROM orders") == [("submitted", 4.0, 100.0)]


def test_commission_of_the_correction_replaces_the_earlier_one(place: Place, ledger: Ledger) -> None:
    first = execution("0001.aa.01.01", "BUY", 5, 100.0)
    ledger.record_execution(first)
    ledger.record_commission(charged(first, 1.0))
    second = replace(first, exec_id="0001.aa.01.02", price=99.0)
    ledger.record_execution(second)
    for _ in range(2):
        ledger.record_commission(charged(second, 1.5))
    ledger.record_commission(charged(first, 1.0))
    for table in ("executions", "trades", "daily_summaries"):
        assert place.query(f"SELECT commission FROM {table}") == [(1.5,)]  # noqa: S608


def test_correction_seen_first_in_a_reconciliation_counts_once(place: Place, ledger: Ledger) -> None:
    first = execution("0001.aa.01.01", "BUY", 5, 100.0)
    second = replace(first, exec_id="0001.aa.01.02", quantity=4)
    ledger.record_execution(first)
    for _ in range(2):
        found = ledger.reconcile(Snapshot((), (first, second), (position(4),)))
        assert found.differences == []
    assert place.query("SELECT sum(quantity) FROM executions") == [(4.0,)]


def test_position_that_the_broker_corrected_is_not_corrected_again_by_an_adopted_quantity(
    place: Place, ledger: Ledger
) -> None:
    """The broker's position changes first, is adopted, and then the correction that explains it comes."""
    ledger.record_execution(execution("0001.aa.01.01", "BUY", 5, 100.0))
    broker = (position(4, 100.0),)
    ledger.adopt_positions(ledger.reconcile(Snapshot((), (), broker)).differences, broker)
    ledger.record_execution(execution("0001.aa.01.02", "BUY", 4, 100.0))
    assert ledger.reconcile(Snapshot((), (), broker)).differences == []
    ledger.record_execution(execution("0001.ab.01.01", "SELL", 4, 101.0))
    assert place.query("SELECT open_quantity, realized_pnl, adjusted FROM trades") == [(0.0, 4.0, 1)]


@pytest.mark.parametrize("seed", range(12))
def test_corrected_books_are_those_of_fills_that_were_right_at_once(place: Place, seed: int) -> None:
    """Random fills over three days with turns of the position, each as it was first told and as it truly was."""
    chance = random.Random(seed)  # noqa: S311 repeatable by intention
    told, true = [], []
    for number in range(40):
        at = NOON + timedelta(hours=2 * number)
        side: Side = chance.choice(("BUY", "SELL"))
        fill = execution(f"0001.{number:04x}.01.01", side, chance.randint(1, 9), chance.randint(90, 110), at=at)
        told.append(charged(fill, chance.randint(1, 3)))
        true.append(told[-1])
        if chance.random() < 0.3:
            true[-1] = replace(
                told[-1],
                exec_id=f"0001.{number:04x}.01.02",
                quantity=chance.randint(1, 9),
                price=chance.randint(90, 110),
            )
    late = Place()
    late.make_ledger()
    try:
        for where, steps in ((place, true), (late, _with_late_corrections(told, true, chance))):
            ledger = Ledger(where.load()[0])
            for fill in steps:
                ledger.record_execution(fill)
                ledger.record_commission(fill)
            ledger.close()
        assert books(late) == books(place)
        assert late.query("PRAGMA foreign_key_check") == []
        opened = [row[0] for row in late.query("SELECT opened_at FROM trades ORDER BY id")]
        assert all(before <= after for before, after in pairwise(map(str, opened)))
    finally:
        late.close()


def _with_late_corrections(told: list[Execution], true: list[Execution], chance: random.Random) -> list[Execution]:
    """Return the fills as told, each correction at a random later moment."""
    steps: list[tuple[float, Execution]] = [(number, fill) for number, fill in enumerate(told)]
    for number, (before, after) in enumerate(zip(told, true, strict=True)):
        if before is not after:
            steps.append((number + chance.uniform(0.5, 20.0), after))
    return [fill for _, fill in sorted(steps, key=lambda step: step[0])]


@pytest.mark.parametrize(("realized", "kept"), [(0.0, None), (None, None), (7.0, None)])
def test_opening_fill_has_no_profit_of_the_brokers(
    place: Place, ledger: Ledger, realized: float | None, kept: float | None
) -> None:
    fill = execution("e1", "BUY", 5, 100.0)
    ledger.record_execution(fill)
    ledger.record_commission(charged(fill, 1.0, realized))
    assert place.query("SELECT closed_quantity, broker_realized_pnl FROM executions") == [(0.0, kept)]


def test_closing_fill_has_the_profit_that_the_broker_names(place: Place, ledger: Ledger) -> None:
    ledger.record_execution(execution("e1", "BUY", 5, 100.0))
    fill = execution("e2", "SELL", 8, 101.0)
    ledger.record_execution(fill)
    ledger.record_commission(charged(fill, 1.0, 0.0))
    assert place.query("SELECT closed_quantity, broker_realized_pnl FROM executions WHERE exec_id = 'e2'") == [
        (5.0, 0.0)
    ]
