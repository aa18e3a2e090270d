# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What orders do beyond being filled at a limit: stops, trails, families, groups, times in force, exchange hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway_simulator.broker import Broker
from gateway_simulator.model import (
    Charged,
    Executed,
    OrderBound,
    OrderChanged,
    OrderFailed,
    OrderPreviewed,
    PositionChanged,
)
from tests.simulator.exchange import AAPL, CALL, ES, EURUSD, IBM, PUT, SPX, Exchange, codes, request, statuses

LISTED_STOCK = replace(AAPL, hours="us_stocks", time_zone="America/New_York")
LISTED_FUTURE = replace(ES, hours="cme", time_zone="America/Chicago")


def at_the_exchange(hour: int = 15, minute: int = 0, day: int = 25) -> Exchange:
    """Return a world whose stock is traded in New York's hours: 14:30 to 21:00 UTC, longer from 9:00 to 1:00."""
    return Exchange([LISTED_STOCK, LISTED_FUTURE], datetime(2026, 11, day, hour, minute, tzinfo=UTC))


# --- stops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "stop", "moves", "prices"),
    [
        ("SELL", "229.95", [-4], []),
        ("SELL", "229.95", [-5], ["229.95"]),
        ("SELL", "229.95", [-50], ["229.50"]),
        ("BUY", "230.05", [4], []),
        ("BUY", "230.05", [5], ["230.06"]),
        ("BUY", "229.00", [], ["230.01"]),
    ],
)
def test_a_stop_order_fills_at_the_market_once_its_price_is_touched(
    action: str, stop: str, moves: list[int], prices: list[str]
) -> None:
    exchange = Exchange()
    exchange.place(1, action, 1, order_type="STP", aux_price=stop)
    assert exchange.order(1).why_held == ("" if not moves else "trigger")
    for move in moves:
        exchange.tick(AAPL, move)
    assert exchange.executions() == [Decimal(price) for price in prices]
    assert exchange.status(1) == ["Filled" if prices else "PreSubmitted"]


def test_a_stop_limit_order_rests_at_its_limit_once_its_stop_is_touched() -> None:
    exchange = Exchange()
    exchange.place(1, "SELL", 1, "229.97", order_type="STP LMT", aux_price="229.95")
    exchange.tick(AAPL, -10)
    assert (exchange.status(1), exchange.executions()) == (["Submitted"], [])
    exchange.tick(AAPL, 7)
    assert exchange.executions() == [Decimal("229.97")]


@pytest.mark.parametrize(
    ("terms", "stops"),
    [
        ({"aux_price": "0.10"}, ["229.90", "230.10", "230.10", "230.20"]),
        ({"aux_price": "0.10", "trail_stop_price": "229.80"}, ["229.90", "230.10", "230.10", "230.20"]),
        ({"trailing_percent": "1"}, ["227.70", "227.89", "227.89", "227.99"]),
    ],
)
def test_a_trailing_stop_follows_the_market_up_and_never_down(terms: dict[str, Any], stops: list[str]) -> None:
    exchange = Exchange()
    exchange.place(1, "SELL", 1, order_type="TRAIL", **terms)
    seen = [exchange.order(1).stop_price]
    for move in (20, -9, 19):
        exchange.tick(AAPL, move)
        seen.append(exchange.order(1).stop_price)
    assert seen == [Decimal(stop) for stop in stops]
    exchange.tick(AAPL, -2000)
    assert exchange.status(1) == ["Filled"]


def test_a_trailing_stop_to_buy_follows_the_market_down() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 1, order_type="TRAIL", aux_price="0.10")
    exchange.tick(AAPL, -20)
    assert exchange.order(1).stop_price == Decimal("229.90")
    exchange.tick(AAPL, 10)
    assert exchange.executions() == [Decimal("229.91")]


@pytest.mark.parametrize(
    "terms",
    [{"limit_price_offset": "0.05"}, {"limit": "229.75", "trail_stop_price": "229.80"}],
    ids=["offset", "price"],
)
def test_a_trailing_limit_order_takes_its_limit_along(terms: dict[str, Any]) -> None:
    exchange = Exchange()
    exchange.place(1, "SELL", 1, order_type="TRAIL LIMIT", aux_price="0.10", **terms)
    exchange.tick(AAPL, 20)
    assert (exchange.order(1).stop_price, exchange.order(1).limit_price) == (Decimal("230.10"), Decimal("230.05"))
    exchange.tick(AAPL, -20)
    assert (exchange.status(1), exchange.executions()) == (["Submitted"], [])
    exchange.tick(AAPL, 5)
    assert exchange.executions() == [Decimal("230.05")]


def test_a_stop_moves_with_a_modification_and_survives_a_restart() -> None:
    exchange = Exchange()
    exchange.place(1, "SELL", 1, order_type="STP", aux_price="229.95")
    exchange.place(1, "SELL", 1, order_type="STP", aux_price="229.90")
    exchange.restart()
    exchange.tick(AAPL, -5)
    assert exchange.status(1) == ["PreSubmitted"]
    exchange.tick(AAPL, -5)
    assert exchange.executions() == [Decimal("229.90")]


# --- families --------------------------------------------------------------------------------------------------------


def bracket(exchange: Exchange, limit: str = "230.01", quantity: int = 10) -> None:
    exchange.place(1, "BUY", quantity, limit, transmit=False)
    exchange.place(2, "SELL", quantity, "231.00", parent_id=1, transmit=False)
    exchange.place(3, "SELL", quantity, order_type="STP", aux_price="229.00", parent_id=1)


def test_nothing_of_a_family_moves_until_one_of_it_is_to_be_transmitted() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 10, "230.01", transmit=False)
    exchange.place(2, "SELL", 10, "231.00", parent_id=1, transmit=False)
    exchange.tick(AAPL, 0)
    assert exchange.status(1, 2) == ["PendingSubmit", "PendingSubmit"]
    events = exchange.place(3, "SELL", 10, order_type="STP", aux_price="229.00", parent_id=1)
    assert exchange.status(1, 2, 3) == ["Filled", "Submitted", "PreSubmitted"]
    assert statuses(events)[:2] == [(1, "PreSubmitted"), (1, "Submitted")]


def test_an_order_kept_back_is_transmitted_by_placing_it_again() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 10, "230.01", transmit=False)
    exchange.place(1, "BUY", 5, "230.01")
    assert (exchange.status(1), exchange.order(1).quantity) == (["Filled"], 5)


def test_children_wait_for_their_parent_and_the_fill_of_one_cancels_the_other() -> None:
    exchange = Exchange()
    bracket(exchange, "229.90")
    assert exchange.status(1, 2, 3) == ["Submitted", "PreSubmitted", "PreSubmitted"]
    assert [exchange.order(child).why_held for child in (2, 3)] == ["child", "child,trigger"]
    exchange.tick(AAPL, 200)  # the children's prices are touched, and nothing happens
    assert exchange.executions() == []
    exchange.tick(AAPL, -211)
    assert exchange.status(1, 2, 3) == ["Filled", "Submitted", "PreSubmitted"]
    events = exchange.tick(AAPL, 200)
    assert exchange.status(1, 2, 3) == ["Filled", "Filled", "Cancelled"]
    assert codes(events) == [(3, 202)]
    assert exchange.broker.positions[AAPL.con_id].quantity == 0


def test_the_partial_fill_of_a_child_reduces_its_sibling() -> None:
    exchange = Exchange()
    bracket(exchange, quantity=150)
    exchange.tick(AAPL, 0)
    assert exchange.status(1) == ["Filled"]
    exchange.tick(AAPL, 100)
    assert (exchange.order(2).filled, exchange.order(3).quantity) == (75, 75)
    exchange.tick(AAPL, -300)
    assert exchange.status(2, 3) == ["Cancelled", "Filled"]
    assert exchange.broker.positions[AAPL.con_id].quantity == 0


def test_cancelling_the_parent_cancels_its_children() -> None:
    exchange = Exchange()
    bracket(exchange, "229.00")
    events = exchange.broker.cancel(1, 1)
    assert exchange.status(1, 2, 3) == ["Cancelled"] * 3
    assert codes(events) == [(1, 202), (2, 202), (3, 202)]


def test_a_family_survives_a_restart_in_every_state() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 10, "230.01", transmit=False)
    exchange.place(2, "SELL", 10, "231.00", parent_id=1, transmit=False)
    exchange.restart()
    exchange.place(3, "SELL", 10, order_type="STP", aux_price="229.00", parent_id=1)
    exchange.restart()
    exchange.tick(AAPL, -100)
    assert exchange.status(1, 2, 3) == ["Filled", "Cancelled", "Filled"]


def test_a_child_wants_a_parent_that_lives() -> None:
    exchange = Exchange()
    assert exchange.place(2, "SELL", 1, "231.00", parent_id=1) == [OrderFailed(1, 2, 10006, "Missing parent order: 1")]
    exchange.place(3, "BUY", 1, "1.00")
    exchange.broker.cancel(1, 3)
    assert codes(exchange.place(4, "SELL", 1, "231.00", parent_id=3)) == [(4, 201)]


def test_a_family_placed_while_the_link_is_down_goes_through_when_it_is_back() -> None:
    exchange = Exchange()
    exchange.broker.lose_link()
    bracket(exchange)
    assert exchange.status(1, 2, 3) == ["PendingSubmit"] * 3
    exchange.broker.restore_link()
    assert exchange.status(1, 2, 3) == ["Filled", "Submitted", "PreSubmitted"]


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "quantity"), [(1, "Cancelled", 200), (2, "Submitted", 100), (3, "Submitted", 100)]
)
def test_a_fill_cancels_or_reduces_the_others_of_its_group(kind: int, status: str, quantity: int) -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 200, "229.00", oca_group="g", oca_type=kind)
    exchange.place(2, "BUY", 200, "229.00", oca_group="other", oca_type=kind)
    exchange.place(3, "BUY", 200, "229.90", IBM, oca_group="g", oca_type=kind)
    assert (exchange.order(3).filled, exchange.status(1)) == (100, [status])
    assert (exchange.order(1).quantity, exchange.order(2).quantity) == (quantity, 200)
    exchange.tick(IBM, 0)
    assert exchange.status(1, 2, 3) == ["Cancelled", "Submitted", "Filled"]


def test_cancelling_one_of_a_group_leaves_the_others() -> None:
    exchange = Exchange()
    for order_id in (1, 2):
        exchange.place(order_id, "BUY", 10, "229.00", oca_group="g", oca_type=1)
    exchange.broker.cancel(1, 1)
    exchange.tick(AAPL, -101)
    assert exchange.status(1, 2) == ["Cancelled", "Filled"]


# --- times in force --------------------------------------------------------------------------------------------------


def test_what_an_immediate_order_does_not_get_at_once_is_cancelled() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 200, "230.01", tif="IOC")
    exchange.place(2, "BUY", 200, "230.01", tif="FOK")
    exchange.place(3, "BUY", 200, "230.00", tif="FOK")
    assert exchange.status(1, 2, 3) == ["Cancelled", "Filled", "Cancelled"]
    assert [exchange.order(order_id).filled for order_id in (1, 2, 3)] == [100, 200, 0]


def test_an_order_for_all_or_none_fills_in_one() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 200, "230.01", all_or_none=True)
    assert [execution.quantity for execution in exchange.broker.executions] == [200]


def test_an_order_good_till_a_date_ends_then() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 1, "1.00", tif="GTD", good_till_date="20261123 10:30:00 America/New_York")
    exchange.at(15, 29, day=23)
    assert exchange.status(1) == ["Submitted"]
    events = exchange.at(15, 30, day=23)
    assert (statuses(events), codes(events)) == ([(1, "Cancelled")], [(1, 202)])


@pytest.mark.parametrize(
    ("tif", "date", "reason"),
    [
        ("GTD", "soon", "good till date: time 'soon' is not YYYYMMDD-HH:MM:SS in UTC or with a time zone"),
        ("GTD", "20261122", "good till date 20261122 is over"),
        ("OPG", "", "OPG LMT wants an exchange that opens and closes, this one never does"),
        ("FOREVER", "", "time in force 'FOREVER' is not simulated, only DAY, FOK, GTC, GTD, IOC, OPG"),
    ],
)
def test_a_time_in_force_that_cannot_be_is_refused(tif: str, date: str, reason: str) -> None:
    events = Exchange().place(1, "BUY", 1, "1.00", tif=tif, good_till_date=date)
    assert events == [OrderFailed(1, 1, 201, f"Order rejected - reason:{reason}")]


# --- exchange hours --------------------------------------------------------------------------------------------------


def test_an_order_placed_while_the_exchange_is_closed_waits_for_its_opening() -> None:
    exchange = at_the_exchange(13)
    events = exchange.place(1, "BUY", 1, instrument=LISTED_STOCK)
    assert [type(event) for event in events] == [OrderChanged, OrderFailed]
    assert codes(events) == [(1, 399)]
    assert isinstance(events[1], OrderFailed)
    assert events[1].text.endswith("at the exchange until 2026-11-25 09:30:00 America/New_York.")
    exchange.at(14, 29)
    assert exchange.status(1) == ["PreSubmitted"]
    assert statuses(exchange.at(14, 30)) == [(1, "Submitted"), (1, "Filled")]


def test_an_order_for_all_hours_fills_before_the_regular_ones_when_it_has_a_limit() -> None:
    exchange = at_the_exchange(13)
    exchange.place(1, "BUY", 1, "230.01", LISTED_STOCK, outside_rth=True)
    exchange.place(2, "BUY", 1, "230.01", LISTED_STOCK)
    exchange.place(3, "BUY", 1, instrument=LISTED_STOCK, outside_rth=True)
    assert exchange.status(1, 2, 3) == ["Filled", "PreSubmitted", "PreSubmitted"]


def test_a_future_is_traded_around_the_clock() -> None:
    exchange = at_the_exchange(7)
    exchange.place(1, "BUY", 1, instrument=LISTED_FUTURE)
    assert exchange.status(1) == ["Filled"]
    exchange.at(22, 30)
    exchange.place(2, "BUY", 1, instrument=LISTED_FUTURE)
    assert exchange.status(2) == ["PreSubmitted"]


def test_an_order_for_the_day_ends_with_its_session_and_another_does_not() -> None:
    exchange = at_the_exchange()
    exchange.place(1, "BUY", 1, "1.00", LISTED_STOCK)
    exchange.place(2, "BUY", 1, "1.00", LISTED_STOCK, outside_rth=True)
    exchange.place(3, "BUY", 1, "1.00", LISTED_STOCK, tif="GTC")
    exchange.at(21)
    assert exchange.status(1, 2, 3) == ["Cancelled", "Submitted", "Submitted"]
    exchange.at(1, day=26)
    assert exchange.status(2, 3) == ["Cancelled", "Submitted"]
    # Nothing is traded on the holiday, and on the day after only until 13:00.
    exchange.tick(LISTED_STOCK, -22_990)
    exchange.at(15, day=26)
    assert exchange.status(3) == ["Submitted"]
    exchange.at(18, day=27)
    assert exchange.status(3) == ["Submitted"]
    exchange.at(15, day=30)
    assert exchange.status(3) == ["Filled"]


def test_orders_for_the_close_fill_then_at_the_last_price() -> None:
    exchange = at_the_exchange()
    exchange.place(1, "BUY", 300, instrument=LISTED_STOCK, order_type="MOC")
    exchange.place(2, "BUY", 1, "229.00", LISTED_STOCK, order_type="LOC")
    exchange.at(20, 59)
    assert exchange.status(1, 2) == ["Submitted", "Submitted"]
    exchange.at(21)
    assert (exchange.status(1, 2), exchange.executions()) == (["Filled", "Cancelled"], [Decimal("230.00")])


def test_orders_for_the_opening_fill_then_or_not_at_all() -> None:
    exchange = at_the_exchange(13)
    exchange.place(1, "BUY", 1, instrument=LISTED_STOCK, tif="OPG")
    exchange.place(2, "BUY", 1, "1.00", LISTED_STOCK, tif="OPG")
    exchange.at(14, 30)
    exchange.place(3, "BUY", 1, instrument=LISTED_STOCK, tif="OPG")
    assert exchange.status(1, 2, 3) == ["Filled", "Cancelled", "Cancelled"]


def test_what_waits_for_an_opening_survives_a_restart() -> None:
    exchange = at_the_exchange(13)
    exchange.place(1, "BUY", 1, instrument=LISTED_STOCK)
    exchange.place(2, "BUY", 1, "1.00", LISTED_STOCK)
    exchange.restart()
    exchange.at(14, 30)
    assert exchange.status(1, 2) == ["Filled", "Submitted"]
    exchange.restart()
    exchange.at(21)
    assert exchange.status(2) == ["Cancelled"]


# --- previews, refusals, ownership -----------------------------------------------------------------------------------


def test_a_preview_says_what_an_order_would_cost_and_makes_none() -> None:
    exchange = Exchange([AAPL, ES, SPX])
    (event,) = exchange.place(7, "BUY", 2, instrument=ES, what_if=True)
    assert isinstance(event, OrderPreviewed)
    margin = event.margin
    assert (margin.initial_before, margin.initial_change, margin.initial_after) == (0, 36_000, 36_000)
    assert (margin.maintenance_change, margin.commission, margin.equity_change) == (
        32_000,
        Decimal("1.70"),
        Decimal("-1.70"),
    )
    assert (exchange.broker.orders, exchange.broker.next_order_id) == ({}, 1)
    exchange.place(7, "BUY", 2, instrument=ES)
    valuation = exchange.broker.valuation()
    assert (valuation.initial_margin, valuation.maintenance_margin) == (36_000, 32_000)


def test_an_order_beyond_the_account_is_refused_and_remembered_as_inactive() -> None:
    exchange = Exchange([AAPL, ES, SPX, CALL])
    for order_id, instrument, quantity in ((1, AAPL, 20_000), (2, ES, 60), (3, CALL, 2000)):
        events = exchange.place(order_id, "BUY", quantity, instrument=instrument)
        assert codes(events) == [(order_id, 201)]
        assert statuses(events) == [(order_id, "Inactive")]
    assert exchange.broker.valuation().cash == 1_000_000
    assert [order.status for order in exchange.broker.completed_orders()] == ["Inactive"] * 3
    exchange.place(4, "SELL", 100, instrument=CALL, all_or_none=True)  # 100 x 100 x (20 % of 230) are bound
    assert exchange.broker.valuation().initial_margin == 460_000


def test_an_index_and_what_has_expired_cannot_be_traded() -> None:
    exchange = Exchange([SPX, replace(CALL, expiry="20261120")])
    for order_id, instrument in enumerate(exchange.instruments, 1):
        assert codes(exchange.place(order_id, "BUY", 1, instrument=instrument)) == [(order_id, 201)]


def test_an_order_of_another_client_can_be_neither_modified_nor_cancelled() -> None:
    exchange = Exchange()
    exchange.place(5, "BUY", 1, "1.00", client=1)
    assert exchange.broker.cancel(2, 5)[0] == OrderFailed(
        2, 5, 10147, "OrderId 5 that needs to be cancelled is not found."
    )
    exchange.place(5, "BUY", 7, "2.00", client=2)
    assert exchange.order(5).quantity == 1


def test_an_order_made_by_hand_belongs_to_client_0_once_it_is_bound() -> None:
    exchange = Exchange()
    (made, *_) = exchange.broker.place_by_hand(request(99, "BUY", 1, "1.00", client=4))
    assert isinstance(made, OrderChanged)
    assert (made.order.client_id, made.order.visible_id) == (0, 0)
    bound, told = exchange.broker.bind_orders()
    assert isinstance(bound, OrderBound)
    assert isinstance(told, OrderChanged)
    assert bound.order.visible_id == told.order.visible_id == -1
    assert exchange.broker.bind_orders() == []
    exchange.broker.auto_bind = True
    exchange.broker.place_by_hand(request(99, "BUY", 1, "1.00"))
    assert exchange.order(-2, client=0).visible_id == -2
    exchange.restart()
    exchange.place(-2, "BUY", 3, "1.00", client=0)
    exchange.broker.cancel(0, -2)
    assert (exchange.order(-2, 0).quantity, exchange.order(-2, 0).status) == (3, "Cancelled")
    exchange.broker.place_by_hand(request(99, "BUY", 1, "1.00"))
    assert exchange.order(-3, client=0).is_working
    assert exchange.broker.completed_orders(api_only=True) == []
    assert len(exchange.broker.completed_orders()) == 1


def test_completed_orders_say_how_and_when_they_ended() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 2)
    exchange.place(2, "BUY", 2, "1.00")
    exchange.broker.cancel(1, 2)
    exchange.place(3, "BUY", 2, "1.00")
    ended = [(order.order_id, order.completed_status) for order in exchange.broker.completed_orders()]
    assert ended == [(1, "Filled Size: 2"), (2, "Cancelled by Trader")]
    assert {order.completed_at for order in exchange.broker.completed_orders()} == {"2026-11-23T15:00:00Z"}
    exchange.at(15, day=24)
    assert exchange.broker.completed_orders() == []


def test_every_order_of_every_client_is_cancelled_at_once() -> None:
    exchange = Exchange()
    bracket(exchange, "229.00")
    exchange.place(9, "BUY", 1, "1.00", client=2)
    events = exchange.broker.cancel_all()
    assert codes(events) == [(1, 202), (2, 202), (3, 202), (9, 202)]
    assert list(exchange.broker.working_orders()) == []


def test_a_corrected_execution_replaces_the_original_in_the_books() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 10)
    (original,) = exchange.broker.executions
    events = exchange.broker.correct(original.execution_id, Decimal("229.01"))
    assert [type(event) for event in events] == [Executed, OrderChanged, Charged, PositionChanged]
    (corrected,) = exchange.broker.executions
    assert corrected.execution_id == original.execution_id.removesuffix("01") + "02"
    assert (corrected.price, corrected.average_price) == (Decimal("229.01"), Decimal("229.01"))
    assert exchange.broker.positions[AAPL.con_id].cost == Decimal("2291.10")
    assert exchange.broker.cash == Decimal("997708.90")
    exchange.place(2, "SELL", 10)
    exchange.broker.correct(exchange.broker.executions[1].execution_id, Decimal("231.00"))
    # Bought 10 at 229.01, sold at 231.00, for 1.00 each.
    assert exchange.broker.valuation().realized == Decimal("17.90")
    assert exchange.broker.cash == Decimal("1000017.90")
    exchange.restart()
    assert [execution.price for execution in exchange.broker.executions] == [Decimal("229.01"), Decimal("231.00")]
    with pytest.raises(KeyError):
        exchange.broker.correct(original.execution_id, Decimal(1))


@pytest.mark.parametrize(
    ("price", "instrument", "realized"), [(240, CALL, "298.00"), (240, PUT, "-602.00"), (220, CALL, "-702.00")]
)
def test_what_expired_is_settled_in_cash_and_told(price: int, instrument: Any, realized: str) -> None:
    exchange = Exchange([AAPL, instrument], datetime(2026, 12, 18, 15, tzinfo=UTC))
    exchange.place(1, "BUY", 1, instrument=instrument)
    exchange.place(2, "BUY", 1, "1.00", instrument)
    exchange.ticks[AAPL.con_id] = price * 100
    exchange.now = datetime(2026, 12, 19, 0, 0, tzinfo=UTC)
    events = exchange.match()
    kinds = [type(event) for event in events]
    assert kinds == [Executed, Charged, PositionChanged, OrderChanged, OrderFailed]
    assert exchange.broker.positions[instrument.con_id].quantity == 0
    assert exchange.broker.valuation().realized == Decimal(realized)
    assert exchange.broker.cash == 1_000_000 + exchange.broker.valuation().realized


def test_stops_of_currencies_watch_the_book_and_not_the_last_price() -> None:
    exchange = Exchange()
    exchange.place(1, "BUY", 20_000, order_type="STP", aux_price="1.05005", instrument=EURUSD)
    assert exchange.executions() == [Decimal("1.05005")]


def test_the_day_begins_at_midnight_where_the_broker_is() -> None:
    exchange = Exchange()
    new_york = ZoneInfo("America/New_York")
    exchange.broker = Broker("DU1", exchange.broker.catalogue, exchange.quote, lambda: exchange.now, zone=new_york)
    exchange.at(23, 0, day=24)
    exchange.place(1, "BUY", 10)
    exchange.ticks[AAPL.con_id] += 100
    exchange.at(4, 59, day=25)
    pnl = exchange.broker.valuation().pnl
    assert (pnl.daily, pnl.unrealized, len(exchange.broker.executions)) == (Decimal("8.90"), Decimal("8.90"), 1)
    exchange.at(5, 0, day=25)
    exchange.ticks[AAPL.con_id] += 50
    exchange.place(2, "SELL", 4)
    pnl = exchange.broker.valuation().pnl
    # Half a dollar on ten, of which four were sold for 1.00; they had cost 230.11 each with their commission.
    assert (pnl.daily, pnl.realized, len(exchange.broker.executions)) == (Decimal("4.00"), Decimal("4.56"), 1)
