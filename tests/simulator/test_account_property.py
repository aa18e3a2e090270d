# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account adds up to the cent, in every currency, whatever is traded, corrected, and whenever the day changes.

The books are held against a second bookkeeping of the test's own, made from the executions that were told.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_simulator.account import AccountRules, StartingPosition
from gateway_simulator.model import Charged, Event, Executed, Execution, Instrument, Order, cents
from tests.simulator.exchange import (
    AAPL,
    CALL,
    ES,
    EURGBP,
    EURUSD,
    GBPUSD,
    IBM,
    PUT,
    SAP,
    SPX,
    USDJPY,
    Exchange,
    request,
)

TRADED = (AAPL, IBM, SAP, EURUSD, USDJPY, EURGBP, ES, CALL, PUT)
CASH = {"USD": Decimal("1000000.00"), "EUR": Decimal("50000.00"), "JPY": Decimal("-120000.00")}
HELD = {AAPL.con_id: (120, Decimal("210.50")), ES.con_id: (-2, Decimal("5850.25"))}
RULES = AccountRules(cash=CASH, positions=tuple(StartingPosition(con_id, *holding) for con_id, holding in HELD.items()))
UNITS = {"STK": 150, "CASH": 60_000, "FUT": 5, "OPT": 120}


class Audited(Exchange):
    """An exchange whose executions are kept in a second set of books."""

    def __init__(self) -> None:
        self.told: dict[str, Execution] = {}
        self.charged: set[str] = set()
        super().__init__([*TRADED, SPX, GBPUSD], rules=RULES)
        # What the account was worth, by currency, when the day began, at the close of the day before.
        self.worth_before = self.worth(at_close=True)

    def audit(self, events: list[Event]) -> None:
        """Take note of executions, corrected ones in place of the originals."""
        for event in events:
            if isinstance(event, Executed):
                self.told[event.execution.execution_id.rsplit(".", 1)[0]] = event.execution
            elif isinstance(event, Charged):
                self.charged.add(event.execution.execution_id.rsplit(".", 1)[0])

    def instrument(self, con_id: int) -> Instrument:
        """Return what has this contract id."""
        return self.broker.catalogue[con_id]

    def worth(self, at_close: bool = False) -> dict[str, Decimal]:
        """Return the worth of cash and holdings by currency, from the positions' units and unpaid parts."""
        worth = defaultdict(Decimal, self.broker.balances)
        for position in self.broker.positions.values():
            instrument = self.instrument(position.con_id)
            quote = self.quote(instrument)
            price = quote.close if at_close else quote.last
            worth[instrument.currency] += cents(price * position.quantity * instrument.multiplier) - position.unpaid
        return worth

    def assert_adds_up(self) -> None:
        """Check everything."""
        broker, valuation = self.broker, self.broker.valuation()
        assert set(self.told) == self.charged
        # Units are those of the start and of the executions.
        units = defaultdict(int, {con_id: quantity for con_id, (quantity, _) in HELD.items()})
        flows: dict[str, Decimal] = defaultdict(Decimal)
        realized: dict[str, Decimal] = defaultdict(Decimal)
        for execution in self.told.values():
            instrument = self.instrument(execution.con_id)
            units[execution.con_id] += execution.signed_quantity
            realized[instrument.currency] += execution.realized or 0
            flows[instrument.currency] -= execution.commission
            flows[instrument.currency] -= cents(execution.signed_quantity * execution.price * instrument.multiplier)
        held = {con_id: position.quantity for con_id, position in broker.positions.items()}
        assert held == dict(units)
        # Cash and the cost of what is held are the starting cash and holdings, what was realized, and nothing else.
        starting = defaultdict(Decimal, CASH)
        for con_id, (quantity, price) in HELD.items():
            if con_id != ES.con_id:
                starting[self.instrument(con_id).currency] += quantity * price
        for ledger in valuation.ledgers:
            paid = sum((value.position.cost - value.position.unpaid for value in ledger.positions), Decimal(0))
            assert ledger.cash == broker.balances.get(ledger.currency, 0)
            assert ledger.cash + paid == starting[ledger.currency] + realized[ledger.currency]
            assert ledger.realized == realized[ledger.currency]
            # Money that left or came, but for the price of futures, is all that changed the cash.
            unpaid = sum((value.position.unpaid for value in ledger.positions), Decimal(0))
            before = sum((cents(quantity * price * 50) for con_id, (quantity, price) in HELD.items()
                          if con_id == ES.con_id and ledger.currency == "USD"), Decimal(0))  # fmt: skip
            assert ledger.cash == CASH.get(ledger.currency, 0) + flows[ledger.currency] + unpaid - before
            # The worth of a currency, and the day's profit in it, down to the single position.
            assert ledger.net_liquidation == ledger.cash + ledger.equity == self.worth()[ledger.currency]
            assert ledger.pnl.daily == ledger.net_liquidation - self.worth_before[ledger.currency]
            assert ledger.pnl.daily == sum((value.pnl.daily for value in ledger.positions), Decimal(0))
            assert ledger.pnl.unrealized == ledger.unrealized
        assert valuation.net_liquidation == valuation.cash + valuation.market_value
        converted = [(ledger.cash + ledger.equity) * ledger.rate for ledger in valuation.ledgers]
        assert abs(valuation.net_liquidation - sum(converted)) <= Decimal("0.01") * len(converted)
        for amount in (valuation.cash, valuation.market_value, valuation.net_liquidation, *broker.balances.values()):
            assert amount == cents(amount)
        for position in broker.positions.values():
            assert position.quantity or position.cost == position.unpaid == 0
            assert position.unpaid == 0 or position.con_id == ES.con_id
        for order in broker.orders.values():
            self.assert_order_adds_up(order)

    def assert_order_adds_up(self, order: Order) -> None:
        """Check an order against its executions, as far as these are of today."""
        fills = [execution for execution in self.broker.executions if execution.perm_id == order.perm_id]
        assert sum(fill.quantity for fill in fills) <= order.filled <= order.quantity
        if sum(fill.quantity for fill in fills) == order.filled:
            assert sum((fill.quantity * fill.price for fill in fills), Decimal(0)) == order.filled_value
            assert sum((fill.commission for fill in fills), Decimal(0)) == order.commission
        assert (order.status == "Filled") == (order.filled == order.quantity)


_instruments = st.sampled_from(TRADED)
_offsets = st.integers(-12, 12)
_orders = st.tuples(
    st.sampled_from(["MKT", "MKT", "LMT", "STP", "STP LMT", "TRAIL", "TRAIL LIMIT"]),
    st.sampled_from(["BUY", "SELL"]),
    st.floats(0.001, 2),
    _offsets,
    st.sampled_from(["DAY", "GTC", "IOC", "FOK"]),
    st.sampled_from(["", "", "g", "h"]),
)
_steps = st.one_of(
    st.tuples(st.just("place"), _instruments, _orders),
    st.tuples(st.just("place"), _instruments, _orders),
    st.tuples(st.just("bracket"), _instruments, st.sampled_from(["BUY", "SELL"]), st.floats(0.001, 2)),
    st.tuples(st.just("by hand"), _instruments, st.sampled_from(["BUY", "SELL"])),
    st.tuples(st.just("modify"), st.integers(1, 30), st.floats(0.001, 2), _offsets),
    st.tuples(st.just("cancel"), st.integers(1, 30)),
    st.tuples(st.just("tick"), _instruments, _offsets),
    st.tuples(st.just("correct"), st.integers(0, 30), _offsets),
    st.tuples(st.just("link"), st.booleans()),
    st.tuples(st.just("day")),
    st.tuples(st.just("restart")),
)


def order_of(exchange: Exchange, order_id: int, instrument: Instrument, terms: tuple[Any, ...]) -> Any:
    """Return an order with prices around the market."""
    kind, action, size, offset, tif, group = terms
    price = (exchange.ticks[instrument.con_id] + offset) * instrument.min_tick
    distance = (abs(offset) + 1) * instrument.min_tick
    stops = kind.startswith(("STP", "TRAIL"))
    return request(
        order_id,
        action,
        max(1, int(UNITS[instrument.sec_type] * size)),
        str(price) if kind in ("LMT", "STP LMT") else "",
        instrument,
        order_type=kind,
        aux_price=None if not stops else str(distance if kind.startswith("TRAIL") else price),
        limit_price_offset=str(distance) if kind == "TRAIL LIMIT" else None,
        tif="GTC" if stops else tif,
        oca_group=group,
        oca_type=1 if group == "g" else 3,
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(_steps, max_size=40))
def test_the_account_adds_up_to_the_cent_whatever_is_traded(steps: list[tuple[Any, ...]]) -> None:
    exchange = Audited()
    order_id = 0
    for step in steps:
        broker = exchange.broker
        match step:
            case ("place", instrument, terms):
                order_id += 1
                exchange.audit(broker.place(order_of(exchange, order_id, instrument, terms)))
            case ("bracket", instrument, action, size):
                order_id += 3
                other = "SELL" if action == "BUY" else "BUY"
                family = [("MKT", action, size, 0, "DAY", ""), ("LMT", other, size, 3, "DAY", ""),
                          ("STP", other, size, -3, "GTC", "")]  # fmt: skip
                for number, terms in enumerate(family):
                    wanted = order_of(exchange, order_id - 2 + number, instrument, terms)
                    parent = {"parent_id": order_id - 2} if number else {}
                    exchange.audit(broker.place(replace(wanted, transmit=number == 2, **parent)))
            case ("by hand", instrument, action):
                exchange.audit(broker.place_by_hand(request(0, action, 1, instrument=instrument)))
            case ("modify", wanted, size, offset) if (1, wanted) in broker.orders:
                order = broker.orders[1, wanted]
                instrument = exchange.instrument(order.con_id)
                terms = (order.order_type, order.action, size, offset, order.tif, order.oca_group)
                exchange.audit(broker.place(order_of(exchange, wanted, instrument, terms)))
            case ("cancel", wanted):
                exchange.audit(broker.cancel(1, wanted))
            case ("tick", instrument, change):
                exchange.audit(exchange.tick(instrument, change))
            case ("correct", number, change) if broker.executions:
                execution = broker.executions[number % len(broker.executions)]
                tick = exchange.instrument(execution.con_id).min_tick
                price = max(tick, execution.price + change * tick)
                exchange.audit(broker.correct(execution.execution_id, price))
            case ("link", up):
                exchange.audit(broker.restore_link() if up else broker.lose_link() or [])
            case ("day",):
                exchange.now += timedelta(days=1)
                exchange.closes = dict(exchange.ticks)
                exchange.worth_before = exchange.worth(at_close=True)
                exchange.audit(exchange.match())
            case ("restart",):
                saved = json.loads(json.dumps(broker.to_state()))
                exchange.broker = exchange.new_broker()
                exchange.broker.restore_state(saved)
                assert json.loads(json.dumps(exchange.broker.to_state())) == saved
                exchange.audit(exchange.broker.restore_link())
        exchange.assert_adds_up()
