# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no stream of orders can bring about, judged by the events that were told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_simulator.model import WORKING, Event, Executed, Order, OrderChanged
from tests.simulator.exchange import AAPL, ES, HOURS, Exchange, request

STOCK = replace(AAPL, hours="us_stocks", time_zone="America/New_York")
FUTURE = replace(ES, hours="cme", time_zone="America/Chicago")
# Those may be filled outside the regular hours.
LIMITED = ("LMT", "STP LMT")


class Judged(Exchange):
    """An exchange that judges every event against what was told before."""

    def __init__(self) -> None:
        super().__init__([STOCK, FUTURE], datetime(2026, 11, 24, 13, tzinfo=UTC))
        self.known: dict[tuple[int, int], Order] = {}
        self.filled: dict[int, int] = {}
        self.ended: set[tuple[int, int]] = set()

    def judge(self, events: list[Event]) -> None:
        """Check the events, one after another."""
        for event in events:
            if isinstance(event, OrderChanged):
                self.judge_order(event.order)
            elif isinstance(event, Executed):
                self.judge_fill(event)
        for order in self.broker.orders.values():
            # Nothing happens to an order that is not told.
            told = self.known[order.key]
            assert (order.status, order.filled, order.quantity) == (told.status, told.filled, told.quantity)
            if order.is_working and order.expires_at is not None and self.broker.linked:
                assert order.expires_at > self.now.timestamp()

    def judge_order(self, order: Order) -> None:
        """Check where an order is said to stand."""
        assert order.key not in self.ended, "an order that had ended lives again"
        assert order.filled == self.filled.get(order.perm_id, 0) <= order.quantity
        assert (order.status == "Filled") == (order.filled == order.quantity)
        assert (order.status in WORKING) == (not order.completed_at) == (not order.completed_status)
        if order.status not in WORKING:
            self.ended.add(order.key)
        if order.status == "Submitted":
            self.assert_open(order)
            assert not order.why_held
            parent = self.broker.orders.get((order.client_id, order.parent_id))
            assert parent is None or parent.status == "Filled"
        self.known[order.key] = order

    def judge_fill(self, event: Executed) -> None:
        """Check a fill against the order that was told last."""
        fill = event.execution
        order = self.known[fill.client_id, fill.order_id]
        assert self.broker.linked
        assert order.status == "Submitted"
        assert (fill.side == "BOT") == (order.action == "BUY")
        if order.limit_price is not None:
            assert fill.price <= order.limit_price if order.action == "BUY" else fill.price >= order.limit_price
        self.filled[fill.perm_id] = self.filled.get(fill.perm_id, 0) + fill.quantity
        assert fill.cumulative_quantity == self.filled[fill.perm_id]
        if order.tif == "FOK" or order.all_or_none:
            assert fill.quantity == order.quantity

    def assert_open(self, order: Order) -> None:
        """Check that an order at its exchange is there while that is open, but for those that wait for its close."""
        known = self.known.get(order.key)
        if known is not None and known.status == "Submitted":
            return  # it was there before, and rests until the next session
        instrument = self.broker.catalogue[order.con_id]
        liquid = instrument is STOCK and not (order.outside_rth and order.order_type in LIMITED)
        assert HOURS[instrument.hours].phase(self.now.timestamp(), liquid).is_open


_orders = st.fixed_dictionaries(
    {
        "instrument": st.sampled_from([STOCK, FUTURE]),
        "action": st.sampled_from(["BUY", "SELL"]),
        "quantity": st.sampled_from([1, 5, 100, 101, 160]),
        "order_type": st.sampled_from(["MKT", "LMT", "STP", "STP LMT", "TRAIL", "MOC", "LOC"]),
        "offset": st.integers(-6, 6),
        "tif": st.sampled_from(["DAY", "DAY", "GTC", "IOC", "FOK", "OPG", "GTD"]),
        "outside_rth": st.booleans(),
        "all_or_none": st.booleans(),
        "oca_group": st.sampled_from(["", "", "g"]),
        "oca_type": st.sampled_from([1, 2, 3]),
        "transmit": st.sampled_from([True, True, False]),
        "parent": st.integers(0, 4),
    }
)
_steps = st.one_of(
    st.tuples(st.just("place"), _orders),
    st.tuples(st.just("place"), _orders),
    st.tuples(st.just("modify"), st.integers(1, 20), _orders),
    st.tuples(st.just("cancel"), st.integers(1, 20)),
    st.tuples(st.just("tick"), st.sampled_from([STOCK, FUTURE]), st.integers(-8, 8)),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 90, 400, 1500])),
    st.tuples(st.just("link"), st.booleans()),
    st.tuples(st.just("cancel all")),
    st.tuples(st.just("restart")),
)


def order_of(exchange: Exchange, order_id: int, wanted: dict[str, Any]) -> Any:
    """Return an order with prices around the market."""
    terms = dict(wanted)
    instrument, offset, parent = terms.pop("instrument"), terms.pop("offset"), terms.pop("parent")
    kind = terms["order_type"]
    price = str((exchange.ticks[instrument.con_id] + offset) * instrument.min_tick)
    distance = str((abs(offset) + 1) * instrument.min_tick)
    return request(
        order_id,
        terms.pop("action"),
        terms.pop("quantity"),
        price if kind in ("LMT", "STP LMT", "LOC") else "",
        instrument,
        **terms,
        aux_price={"STP": price, "STP LMT": price, "TRAIL": distance}.get(kind),
        parent_id=max(0, order_id - parent) if parent else 0,
        good_till_date=f"{exchange.now + timedelta(hours=3):%Y%m%d-%H:%M:%S}",
    )


@settings(max_examples=250, deadline=None)
@given(st.lists(_steps, max_size=40))
def test_no_stream_of_orders_breaks_the_rules(steps: list[tuple[Any, ...]]) -> None:
    exchange = Judged()
    order_id = 0
    for step in steps:
        broker = exchange.broker
        match step:
            case ("place", wanted):
                order_id += 1
                exchange.judge(broker.place(order_of(exchange, order_id, wanted)))
            case ("modify", number, wanted) if (1, number) in broker.orders:
                order = broker.orders[1, number]
                same = {"instrument": broker.catalogue[order.con_id], "action": order.action}
                exchange.judge(broker.place(order_of(exchange, number, wanted | same)))
            case ("cancel", number):
                exchange.judge(broker.cancel(1, number))
            case ("tick", instrument, change):
                exchange.judge(exchange.tick(instrument, change))
            case ("wait", minutes):
                exchange.now += timedelta(minutes=minutes)
                exchange.judge(exchange.match())
            case ("link", up):
                exchange.judge(broker.restore_link() if up else broker.lose_link() or [])
            case ("cancel all",):
                exchange.judge(broker.cancel_all())
                assert not broker.linked or not list(broker.working_orders())
            case ("restart",):
                exchange.restart()
                exchange.judge(exchange.broker.restore_link())
    assert exchange.broker.cash == exchange.broker.cash.quantize(Decimal("0.01"))
