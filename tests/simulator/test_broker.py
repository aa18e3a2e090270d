# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker's books: they add up to the cent whatever is traded, and survive being written down."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_simulator.account import STARTING_CASH, commission_of
from gateway_simulator.contracts import LISTED
from gateway_simulator.model import (
    Charged,
    Executed,
    Instrument,
    OrderChanged,
    OrderFailed,
    PositionChanged,
    Quote,
    cents,
)
from tests.simulator.exchange import AAPL, CALL, ES, EURUSD, IBM, SAP, Exchange


def assert_books_add_up(exchange: Exchange) -> None:
    """Check the account against its executions, one by one, from the starting cash on."""
    broker = exchange.broker
    valuation = broker.valuation()
    cash = STARTING_CASH
    units: dict[int, int] = {}
    for execution in broker.executions:
        signed = execution.quantity if execution.side == "BOT" else -execution.quantity
        cash -= cents(signed * execution.price) + execution.commission
        units[execution.con_id] = units.get(execution.con_id, 0) + signed
        assert execution.commission >= 0
    realized = sum((execution.realized or Decimal(0) for execution in broker.executions), Decimal(0))
    cost = sum((position.cost for position in broker.positions.values()), Decimal(0))
    assert broker.cash == cash
    assert {con_id: position.quantity for con_id, position in broker.positions.items()} == units
    assert valuation.realized == realized
    assert broker.cash + cost == STARTING_CASH + realized
    assert valuation.net_liquidation == STARTING_CASH + valuation.realized + valuation.unrealized
    for position in broker.positions.values():
        assert position.quantity or not position.cost
        assert position.cost == cents(position.cost)
    for order in broker.orders.values():
        fills = [execution for execution in broker.executions if execution.perm_id == order.perm_id]
        assert sum(fill.quantity for fill in fills) == order.filled <= order.quantity
        assert sum((fill.quantity * fill.price for fill in fills), Decimal(0)) == order.filled_value
        assert sum((fill.commission for fill in fills), Decimal(0)) == order.commission
        assert (order.status == "Filled") == (order.filled == order.quantity)
    assert len({execution.execution_id for execution in broker.executions}) == len(broker.executions)


_instruments = st.sampled_from([AAPL, IBM, EURUSD])
_steps = st.one_of(
    st.tuples(
        st.just("place"),
        _instruments,
        st.sampled_from(["BUY", "SELL"]),
        st.one_of(st.integers(1, 250), st.integers(1, 20_000)),
        st.one_of(st.none(), st.integers(-20, 20)),
    ),
    st.tuples(st.just("modify"), st.integers(1, 30), st.integers(1, 300), st.integers(-20, 20)),
    st.tuples(st.just("cancel"), st.integers(1, 30)),
    st.tuples(st.just("tick"), _instruments, st.integers(-15, 15)),
    st.tuples(st.just("link"), st.booleans()),
    st.tuples(st.just("restart")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_steps, max_size=40))
def test_the_books_add_up_to_the_cent_whatever_is_traded(steps: list[tuple[object, ...]]) -> None:
    exchange = Exchange()
    order_id = 0
    for step in steps:
        broker = exchange.broker
        match step:
            case ("place", Instrument() as instrument, str(action), int(quantity), offset):
                order_id += 1
                limit = ""
                if isinstance(offset, int):
                    limit = str((exchange.ticks[instrument.con_id] + offset) * instrument.min_tick)
                exchange.place(order_id, action, quantity, limit, instrument)
            case ("modify", int(wanted), int(quantity), int(offset)) if (1, wanted) in broker.orders:
                order = broker.orders[1, wanted]
                instrument = LISTED[order.con_id]
                limit = str((exchange.ticks[order.con_id] + offset) * instrument.min_tick)
                exchange.place(wanted, order.action, quantity, limit, instrument)
            case ("cancel", int(wanted)):
                broker.cancel(1, wanted)
            case ("tick", Instrument() as instrument, int(change)):
                exchange.tick(instrument, change)
            case ("link", bool(up)):
                if up:
                    broker.restore_link()
                else:
                    broker.lose_link()
            case ("restart",):
                saved = json.loads(json.dumps(broker.to_state()))
                exchange.broker = exchange.new_broker()
                exchange.broker.restore_state(saved)
                assert exchange.broker.to_state() == broker.to_state()
                exchange.broker.restore_link()
        assert_books_add_up(exchange)


def test_a_fill_is_told_as_execution_then_order_then_commission_then_position() -> None:
    events = Exchange().place(1, "BUY", 10)
    kinds = [type(event) for event in events]
    assert kinds == [OrderChanged, OrderChanged, Executed, OrderChanged, Charged, PositionChanged]
    statuses = [event.order.status for event in events if isinstance(event, OrderChanged)]
    assert statuses == ["PreSubmitted", "Submitted", "Filled"]


@pytest.mark.parametrize(("quantity", "parts"), [(1, [1]), (99, [99]), (100, [50, 50]), (101, [51, 50])])
def test_large_orders_fill_in_two_parts(quantity: int, parts: list[int]) -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", quantity)
    assert [execution.quantity for execution in exchange.broker.executions] == parts[:1]
    exchange.tick(AAPL, 0)
    exchange.tick(AAPL, 0)
    assert [execution.quantity for execution in exchange.broker.executions] == parts


@pytest.mark.parametrize(
    ("action", "limit", "change", "price"),
    [
        ("BUY", "230.00", 0, None),
        ("BUY", "230.01", 0, "230.01"),
        ("BUY", "230.00", -1, "230.00"),
        ("BUY", "230.00", -50, "229.51"),
        ("SELL", "230.01", 0, None),
        ("SELL", "230.00", 0, "230.00"),
        ("SELL", "230.01", 1, "230.01"),
        ("SELL", "230.01", 50, "230.50"),
    ],
)
def test_a_limit_order_fills_at_the_quote_once_that_is_no_worse(
    action: str, limit: str, change: int, price: str | None
) -> None:
    exchange = Exchange()  # 230.00 bid, 230.01 asked
    exchange.place(1, action, 1, limit)
    exchange.tick(AAPL, change)
    assert exchange.executions() == ([] if price is None else [Decimal(price)])


def test_profit_is_realized_net_of_the_commissions_of_both_sides() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 10)
    exchange.tick(AAPL, 100)
    exchange.place(2, "SELL", 4)
    exchange.place(3, "SELL", 6)
    # Bought 10 at 230.01 for 1.00, sold 4 and 6 at 231.00 for 1.00 each: 0.99 * 10 - 3.00 = 6.90
    assert [execution.realized for execution in exchange.broker.executions] == [None, Decimal("2.56"), Decimal("4.34")]
    assert exchange.broker.cash == STARTING_CASH + Decimal("6.90")


def test_an_order_through_zero_closes_and_opens() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 10)
    exchange.place(2, "SELL", 30)
    position = exchange.broker.positions[AAPL.con_id]
    # A third of the second order's 1.00 closes, the rest opens 20 short at 230.00.
    assert exchange.broker.executions[1].realized == Decimal("-1.43")
    assert (position.quantity, position.cost) == (-20, Decimal("-4599.33"))


@pytest.mark.parametrize(
    ("instrument", "quantity", "value", "commission"),
    [
        (AAPL, 1, "230.00", "1.00"),
        (AAPL, 1000, "230000.00", "5.00"),
        (AAPL, 10, "12.00", "0.12"),
        (EURUSD, 20_000, "21000.00", "2.00"),
        (EURUSD, 1_000_000, "1050000.00", "21.00"),
        (CALL, 1, "700.00", "1.00"),
        (CALL, 10, "7000.00", "6.50"),
        (ES, 3, "885000.00", "2.55"),
        (SAP, 10, "2200.00", "3.00"),
        (SAP, 1000, "220000.00", "110.00"),
    ],
)
def test_commissions_follow_the_fixed_schedule(
    instrument: Instrument, quantity: int, value: str, commission: str
) -> None:
    assert commission_of(instrument, quantity, Decimal(value)) == Decimal(commission)


def test_a_position_can_be_closed_without_any_buying_power() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 17_000)
    exchange.tick(AAPL, -6000)
    assert exchange.broker.valuation().buying_power < 0
    assert isinstance(exchange.place(2, "BUY", 1)[0], OrderFailed)
    exchange.place(3, "SELL", 17_000)
    exchange.tick(AAPL, 0)
    assert exchange.broker.positions[AAPL.con_id].quantity == 0


def test_an_orders_terms_change_but_not_its_contract_side_or_filled_part() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 100)
    text = "Order being modified does not match original order"
    assert exchange.place(1, "SELL", 100)[0] == OrderFailed(1, 1, 105, text)
    assert exchange.place(1, "BUY", 100, instrument=IBM)[0] == OrderFailed(1, 1, 105, text)
    text = "Order being modified has 50 filled, quantity 50 is too low"
    assert exchange.place(1, "BUY", 50)[0] == OrderFailed(1, 1, 105, text)
    exchange.place(1, "BUY", 60)
    assert [execution.quantity for execution in exchange.broker.executions] == [50, 10]


def test_a_new_day_forgets_executions_and_finished_orders_but_not_their_ids() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 10)
    exchange.place(2, "BUY", 10, "1.00")
    saved = exchange.broker.to_state()
    exchange.now += timedelta(days=1)
    exchange.broker = exchange.new_broker()
    exchange.broker.restore_state(saved)
    assert [order.order_id for order in exchange.broker.orders.values()] == [2]
    assert exchange.broker.executions == []
    assert exchange.broker.positions[AAPL.con_id].quantity == 10
    assert exchange.place(1, "BUY", 10) == [OrderFailed(1, 1, 103, "Duplicate order id")]
    assert exchange.broker.next_order_id == 3


def test_the_running_broker_forgets_earlier_days_once_the_day_changes() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 10)
    exchange.place(2, "BUY", 10, "1.00")
    before = exchange.broker.valuation()
    exchange.broker.forget_finished()
    assert len(exchange.broker.executions) == 1
    exchange.now += timedelta(days=1)
    exchange.broker.forget_finished()
    assert [order.order_id for order in exchange.broker.orders.values()] == [2]
    assert exchange.broker.executions == []
    after = exchange.broker.valuation()
    assert (after.cash, after.net_liquidation, after.realized) == (before.cash, before.net_liquidation, before.realized)
    # The commission was paid on the day before.
    assert (before.pnl.daily, after.pnl.daily) == (Decimal("-1.10"), 0)
    assert exchange.place(1, "BUY", 10) == [OrderFailed(1, 1, 103, "Duplicate order id")]


def test_only_the_latest_finished_orders_are_kept_and_the_books_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway_simulator.broker.FINISHED_ORDERS_KEPT", 3)
    exchange, keeping = Exchange(), Exchange()
    for world in (exchange, keeping):
        world.place(1, "BUY", 1, "1.00")
    for order_id in range(2, 12):
        for world in (exchange, keeping):
            world.place(order_id, "BUY" if order_id % 3 else "SELL", order_id)
            world.tick(AAPL, 7)
        exchange.broker.forget_finished()
        assert exchange.broker.valuation() == keeping.broker.valuation()
    assert_books_add_up(keeping)
    assert [order.order_id for order in exchange.broker.orders.values()] == [1, 9, 10, 11]
    assert [execution.order_id for execution in exchange.broker.executions] == [9, 10, 11]
    assert exchange.broker.next_order_id == 12


def test_order_ids_belong_to_their_client() -> None:
    exchange = Exchange()
    exchange.place(5, "BUY", 1, "1.00", client=1)
    exchange.place(3, "BUY", 1, "1.00", client=2)
    assert [order.key for order in exchange.broker.working_orders()] == [(1, 5), (2, 3)]


def test_nobody_asks_for_the_price_of_what_was_closed_on_an_earlier_day(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = Exchange()
    for order_id, (instrument, action) in enumerate([(AAPL, "BUY"), (AAPL, "SELL"), (IBM, "BUY")], 1):
        exchange.place(order_id, action, 10, instrument=instrument)
    exchange.now += timedelta(days=1)
    exchange.tick(IBM, 1)
    worth = exchange.broker.valuation()
    exchange.restart()
    assert exchange.broker.valuation() == worth
    asked: list[int] = []
    quote = exchange.quote

    def counted(instrument: Instrument) -> Quote:
        asked.append(instrument.con_id)
        return quote(instrument)

    monkeypatch.setattr(exchange, "quote", counted)
    exchange.restart()
    assert exchange.broker.valuation().realized == worth.realized == Decimal("-2.10")
    assert set(asked) == {IBM.con_id}
    exchange.place(4, "BUY", 10)
    assert exchange.broker.valuation().unrealized == Decimal("-2.10")
