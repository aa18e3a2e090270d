# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker: one account's orders, from their arrival to their matching against quotes.

Nothing here does I/O: prices and time come in through two functions, and every method returns the events that its
call caused, in the order in which a client must learn of them. The money is in ``account``.

An order goes through these hands, and may stay in each:

    gateway     PendingSubmit, until it is to be transmitted and the link to the broker is up
    broker      PreSubmitted, until its parent has filled, its stop price is touched, its exchange is open
    exchange    Submitted, until it is filled, cancelled or expires
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from .account import BASE_CURRENCY, Account, AccountRules, commission_of
from .contracts import Catalogue
from .hours import NEVER, ExchangeHours, Phase, parse_time
from .model import (
    AT_CLOSE,
    LIMITED,
    NO_CENTS,
    STOPS,
    TRAILING,
    Charged,
    Event,
    Executed,
    Execution,
    Instrument,
    Order,
    OrderBound,
    OrderChanged,
    OrderFailed,
    OrderPreviewed,
    OrderRequest,
    Position,
    PositionChanged,
    Quote,
    Valuation,
)
from .orderbook import OrderBook
from .rules import objections, terms_of, watched

FIRST_PERM_ID = 1_000_000_001
# There must be a next one of 32 bits.
LARGEST_ORDER_ID = (1 << 31) - 2
# Of the day's finished orders as many are kept, with their executions.
FINISHED_ORDERS_KEPT = 10_000

_NO_HOURS: Mapping[str, ExchangeHours] = {}
_NOT_FOUND = "No security definition has been found for the request"


class Broker:
    """The account and its orders.

    ``quote`` gives the present quote of an instrument and ``clock`` the present moment (aware, UTC); ``hours`` has the
    exchange hours by the names that the instruments use. The broker's day begins at midnight in ``zone``.
    """

    def __init__(
        self,
        account: str,
        catalogue: Catalogue,
        quote: Callable[[Instrument], Quote],
        clock: Callable[[], datetime],
        rules: AccountRules | None = None,
        hours: Mapping[str, ExchangeHours] = _NO_HOURS,
        zone: tzinfo = UTC,
    ) -> None:
        self.account = account
        self.catalogue = catalogue
        self.linked = True
        # Whether orders made by hand get order ids of client 0 as they are made.
        self.auto_bind = False
        self._book = OrderBook()
        self._books = Account(catalogue, quote, rules or AccountRules())
        self._quote = quote
        self._clock = clock
        self._hours = hours
        self._zone = zone
        self._last_order_id: dict[int, int] = {}
        self._next_perm_id = FIRST_PERM_ID
        self._next_execution = 1
        self._last_by_hand = 0
        self._day = ""
        self._day_ends = 0.0
        # What the beginning of the day brought, told at the next tick.
        self._news: list[Event] = []
        # What else must be saved since the last call of changes().
        self._changed: set[tuple[str, Any]] = set()
        self._begin_day()

    # --- what clients ask -------------------------------------------------------------------------------------------

    @property
    def cash(self) -> Decimal:
        """Cash in the account's base currency."""
        return self._books.balances[BASE_CURRENCY]

    @property
    def balances(self) -> Mapping[str, Decimal]:
        """Cash by currency."""
        return self._books.balances

    @property
    def positions(self) -> Mapping[int, Position]:
        """Positions by contract id, also those that were closed."""
        return self._books.positions

    @property
    def orders(self) -> Mapping[tuple[int, int], Order]:
        """The working orders and the day's finished ones, by (client id, order id)."""
        return self._book.orders

    @property
    def executions(self) -> list[Execution]:
        """The executions of the day, oldest first; a corrected one in place of the original."""
        return list(self._book.executions.values())

    @property
    def next_order_id(self) -> int:
        """The lowest order id that no client has used."""
        return max(self._last_order_id.values(), default=0) + 1

    def working_orders(self) -> Iterator[Order]:
        """Yield the orders that can still be filled, oldest first."""
        return self._book.working()

    def completed_orders(self, api_only: bool = False) -> list[Order]:
        """Return the day's finished orders, oldest first; ``api_only`` leaves out those made by hand."""
        return [order for order in self._book.finished() if not (api_only and order.order_id < 0)]

    def valuation(self) -> Valuation:
        """Return the account at the current prices; market values are whole cents at the last price."""
        return self._books.valuation()

    # --- what clients do --------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest) -> list[Event]:
        """Accept, modify, preview or reject an order, and fill what the present quote fills."""
        self._begin_day()
        if request.what_if:
            return self._preview(request)
        working = self.orders.get((request.client_id, request.order_id))
        if working is not None and working.is_working:
            return self._modify(working, request)
        if request.order_id <= self._last_order_id.get(request.client_id, 0):
            return [OrderFailed(request.client_id, request.order_id, 103, "Duplicate order id")]
        if request.order_id > LARGEST_ORDER_ID:
            return [_failed(request, 321, f"Error validating request: order id above {LARGEST_ORDER_ID}")]
        self._last_order_id[request.client_id] = request.order_id
        self._changed.add(("last_order_id", request.client_id))
        return self._enter(request)

    def place_by_hand(self, request: OrderRequest) -> list[Event]:
        """Play an order made at the broker's own terminal: client 0 owns it once it is bound."""
        self._begin_day()
        self._last_by_hand -= 1
        self._changed.add(("last_order_id", 0))
        return self._enter(
            replace(request, client_id=0, order_id=self._last_by_hand, what_if=False, transmit=True),
            bound=self.auto_bind,
        )

    def bind_orders(self) -> list[Event]:
        """Give client 0 the working orders that were made by hand."""
        events: list[Event] = []
        for order in list(self.working_orders()):
            if not order.bound:
                bound = order.changed(bound=True)
                events += [OrderBound(bound), self._put(bound)]
        return events

    def reject(self, request: OrderRequest, code: int, text: str) -> list[Event]:
        """Refuse an order as the broker would, and remember it as Inactive; a working order stays as it was."""
        working = self.orders.get((request.client_id, request.order_id))
        if working is not None and working.is_working:
            return [_failed(request, code, text), OrderChanged(working)]
        self._last_order_id[request.client_id] = max(request.order_id, self._last_order_id.get(request.client_id, 0))
        self._changed.add(("last_order_id", request.client_id))
        if request.instrument is None or request.quantity != int(request.quantity):
            return [_failed(request, code, text)]
        order = self._order(request, request.instrument)
        return [_failed(request, code, text), self._finish(order, "Inactive", "Rejected")]

    def cancel(self, client_id: int, order_id: int) -> list[Event]:
        """Cancel a client's own order; while the link is down the request waits for it."""
        order = self.orders.get((client_id, order_id))
        if order is None:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            return [OrderFailed(client_id, order_id, 10147, text)]
        if not order.is_working:
            text = (
                "Cancel attempted when order is not in a cancellable state. "
                f"Order permId = {order.perm_id}, its state is {order.status}."
            )
            return [OrderFailed(client_id, order_id, 161, text)]
        if not self.linked:
            return [self._put(order.changed(status="PendingCancel"))]
        return self._cancel(order, "Cancelled by Trader")

    def cancel_all(self) -> list[Event]:
        """Cancel every working order of every client."""
        return [
            event
            for order in list(self.working_orders())
            if self.orders[order.key].is_working  # not any more when its parent was cancelled just now
            for event in self.cancel(*order.key)
        ]

    def cancel_by_perm_id(self, perm_id: int) -> list[Event]:
        """Cancel an order as the broker's own staff could. Raises KeyError when there is no such working order."""
        for order in self.working_orders():
            if order.perm_id == perm_id:
                return self._cancel(order, "Cancelled by System")
        raise KeyError(perm_id)

    # --- what the market and the broker's own network do ------------------------------------------------------------

    def match(self) -> list[Event]:
        """Fill what the present quotes fill, and expire what is due; called once per tick of the market."""
        now = self._begin_day()
        events, self._news = self._news, []
        if not self.linked:
            return events
        events += self._expire_due(now)
        for con_id in self._book.live_contracts():
            instrument = self.catalogue[con_id]
            if instrument.hours and not self._phase(instrument, now, liquid=False).is_open:
                continue
            quote = self._quote(instrument)
            for order in self._book.live(con_id):
                # By far the most orders rest at their limit: they are passed over here.
                limit = order.limit_price
                if (
                    limit is not None
                    and order.status == "Submitted"
                    and (quote.ask > limit if order.action == "BUY" else quote.bid < limit)
                ):
                    continue
                order = self.orders[order.key]  # as the fill of another may have left it
                if order.is_working:
                    events += self._advance(order, instrument, quote, now)
        return events

    def lose_link(self) -> None:
        """The gateway loses the broker: nothing fills, and orders and cancellations wait."""
        self.linked = False

    def restore_link(self) -> list[Event]:
        """The gateway finds the broker again: what waited goes through."""
        self.linked = True
        events = self._expire_due(self._begin_day())
        for waiting in list(self.working_orders()):
            order = self.orders[waiting.key]
            if order.status == "PendingSubmit" and order.transmit:
                events += self._accept(order)
            elif order.status == "PendingCancel":
                events += self.cancel(*order.key)
        return events

    def correct(self, execution_id: str, price: Decimal) -> list[Event]:
        """Correct the price of an execution of the day. Raises KeyError when there is no such execution."""
        old = self._book.executions[execution_id]
        instrument = self.catalogue[old.con_id]
        position, realized = self._books.correct(instrument, old, price)
        stem, number = execution_id.rsplit(".", 1)
        new = replace(old, execution_id=f"{stem}.{int(number) + 1:02d}", price=price, realized=realized)
        order = next((order for order in self.orders.values() if order.perm_id == old.perm_id), None)
        events: list[Event] = [Executed(new)]
        if order is not None:
            changed = order.changed(filled_value=order.filled_value + old.quantity * (price - old.price))
            new = replace(new, average_price=changed.average_fill_price)
            events = [Executed(new), self._put(changed)]
        self._book.replace(old, new)
        self._note_books(instrument)
        return [*events, Charged(new), PositionChanged(position)]

    # --- state ------------------------------------------------------------------------------------------------------

    def forget_finished(self) -> None:
        """Forget earlier days once the broker's day changes, and the oldest finished orders with their executions.

        Cash and positions, with what was realized on them, are totals of their own and stay as they are.
        """
        self._begin_day()
        self._book.keep_finished(FINISHED_ORDERS_KEPT)

    def changes(self) -> dict[str, Any]:
        """Return what changed since the last call as records by key, JSON values; None for a record that is gone."""
        changed = self._changed | self._book.changed
        self._changed.clear()
        self._book.changed.clear()
        return {f"{kind}:{_text(key)}": self._record(kind, key) for kind, key in changed}

    def to_state(self) -> dict[str, Any]:
        """Return everything that must survive a restart: records by key, as ``changes`` gives them."""
        keys: list[tuple[str, Any]] = [("day", ""), ("next", "")]
        keys += [("last_order_id", client) for client in self._last_order_id]
        keys += [("last_order_id", 0)] if self._last_by_hand else []
        keys += [("cash", currency) for currency in self._books.balances]
        keys += [("position", con_id) for con_id in self._books.positions]
        keys += [("order", key) for key in self.orders]
        keys += [("execution", execution_id) for execution_id in self._book.executions]
        keys += [("instrument", con_id) for con_id in self._derivatives()]
        return {f"{kind}:{_text(key)}": self._record(kind, key) for kind, key in keys}

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Take over what ``to_state`` returned, but for the finished orders and the executions of earlier days.

        Raises KeyError, TypeError, ValueError or ArithmeticError when the state is not of that shape.
        """
        records: dict[str, dict[str, Any]] = {}
        for name, record in state.items():
            kind, _, key = name.partition(":")
            records.setdefault(kind, {})[key] = record
        counters = records["next"][""]
        self._next_perm_id = int(counters["perm_id"])
        self._next_execution = int(counters["execution"])
        self._last_by_hand = int(counters["by_hand"])
        last_ids = {int(client): int(order_id) for client, order_id in records.get("last_order_id", {}).items()}
        self._last_order_id = {client: order_id for client, order_id in last_ids.items() if order_id}
        for document in records.get("instrument", {}).values():
            instrument = Instrument.from_json(document)
            if instrument.con_id not in self.catalogue:
                self.catalogue.add(instrument)
        positions = [Position.from_json(document) for document in records.get("position", {}).values()]
        orders = [Order.from_json(document) for document in records.get("order", {}).values()]
        executions = [Execution.from_json(document) for document in records.get("execution", {}).values()]
        for con_id in [entry.con_id for entries in (positions, orders, executions) for entry in entries]:
            if con_id not in self.catalogue:
                raise ValueError(f"contract id {con_id} is not listed")
        balances = {currency: Decimal(amount) for currency, amount in records["cash"].items()}
        self._books.restore(balances, {position.con_id: position for position in positions})
        self._book.restore(orders, executions)
        self._changed.clear()
        self._day = str(records["day"][""])
        self._day_ends = 0.0
        self._begin_day()

    # --- inside: the order's way ------------------------------------------------------------------------------------

    def _enter(self, request: OrderRequest, bound: bool = True) -> list[Event]:
        """Take a new order in, or refuse it."""
        if request.instrument is None:
            return [_failed(request, 200, _NOT_FOUND)]
        problem = self._problem(request, request.instrument) or self._family_problem(request)
        if problem is None:
            problem = self._funds_problem(request, request.instrument)
            if problem is not None:
                return self.reject(request, *problem)
        if problem is not None:
            return [_failed(request, *problem)]
        order = self._order(request, request.instrument).changed(bound=bound)
        if request.parent_id:
            parent = self.orders[request.client_id, request.parent_id]
            if not order.oca_group:
                # The children of one order are a group of their own, as if the client had said so.
                order = order.changed(oca_group=str(parent.perm_id), oca_type=3)
        if not order.transmit:
            return [self._put(order)]
        self._put(order)
        return self._transmit(order)

    def _order(self, request: OrderRequest, instrument: Instrument) -> Order:
        order = Order(
            **terms_of(request),
            client_id=request.client_id,
            order_id=request.order_id,
            perm_id=self._next_perm_id,
            con_id=instrument.con_id,
            exchange=request.exchange or instrument.valid_exchanges[0],
            action=request.action,
            quantity=int(request.quantity),
            placed_at=_timestamp(self._clock()),
            status="PendingSubmit",
        )
        self._next_perm_id += 1
        self._changed.add(("next", ""))
        self._note_derivative(instrument)
        return order

    def _transmit(self, order: Order) -> list[Event]:
        """Send an order with its whole family, parents first, as far as it was not sent yet."""
        events: list[Event] = []
        for key in self._book.family(order):
            member = self.orders[key]
            # One may be cancelled by now, by the fill of another.
            if member.is_working and (key == order.key or not member.transmit):
                sent = member.changed(transmit=True)
                events += self._accept(sent) if self.linked else [self._put(sent)]
        return events

    def _accept(self, order: Order) -> list[Event]:
        """The broker has the order: hold it for its parent, or pass it on."""
        parent = self.orders.get((order.client_id, order.parent_id)) if order.parent_id else None
        if parent is not None and parent.status in ("Cancelled", "Inactive"):
            return self._cancel(order, "Cancelled by System")
        order = self._with_expiry(order)
        if order.expires_at is not None and order.expires_at <= self._clock().timestamp():
            return self._cancel(order, "Expired")
        held = ["child"] if parent is not None and parent.status != "Filled" else []
        trigger = ["trigger"] if order.order_type in STOPS | TRAILING else []
        events: list[Event] = [self._put(order.changed(status="PreSubmitted", why_held=",".join(held + trigger)))]
        return events if held else [*events, *self._release(order.key)]

    def _release(self, key: tuple[int, int]) -> list[Event]:
        """Pass an order that nothing holds any more to its exchange; say so when that is closed."""
        order = self.orders[key]
        instrument = self.catalogue[order.con_id]
        now = self._clock().timestamp()
        if self._is_open(instrument, order, now):
            if order.tif == "OPG":
                return self._cancel(order, "OPG orders are taken before the opening only")
            return self._advance(order, instrument, self._quote(instrument), now)
        if order.tif in ("IOC", "FOK"):
            return self._cancel(order, "the exchange is closed")
        opens = self._hours[instrument.hours].next_open(now, self._is_liquid_only(instrument, order))
        if opens == NEVER:
            return self._cancel(order, "the exchange does not open any more")
        text = (
            f"Order Message:\n{order.action} {order.quantity} {instrument.local_symbol} {instrument.primary_exchange}\n"
            "Warning: Your order will not be placed at the exchange until "
            f"{self._local(instrument, opens):%Y-%m-%d %H:%M:%S} {instrument.time_zone}."
        )
        return [OrderFailed(*order.key, 399, text)]

    def _advance(self, order: Order, instrument: Instrument, quote: Quote, now: float) -> list[Event]:
        """Bring a released order as far as the present quote takes it."""
        if not self._is_open(instrument, order, now):
            return []
        events: list[Event] = []
        if order.order_type in STOPS | TRAILING and not order.triggered:
            order, triggered = watched(order, instrument, quote)
            if not triggered:
                if order is not self.orders[order.key]:
                    self._put(order)
                return events
            order = order.changed(triggered=True, status="Submitted", why_held="")
            events.append(self._put(order))
        elif order.status == "PreSubmitted":
            order = order.changed(status="Submitted", why_held="")
            events.append(self._put(order))
        if order.order_type in AT_CLOSE:
            return events
        events += self._fill(order, instrument, quote)
        if order.tif in ("IOC", "FOK", "OPG"):
            rest = self.orders[order.key]
            if rest.is_working:
                events += self._cancel(rest, f"{order.tif} order is not filled")
        return events

    def _fill(self, order: Order, instrument: Instrument, quote: Quote, closing: bool = False) -> list[Event]:
        """Fill as much of a submitted order as the present quote fills: all, half, or nothing."""
        buying = order.action == "BUY"
        price = quote.last if closing else quote.ask if buying else quote.bid
        limit = order.limit_price
        if limit is not None and (price > limit if buying else price < limit):
            return []
        units = order.remaining
        whole = order.all_or_none or order.tif == "FOK" or closing
        if not order.filled and order.quantity >= self._books.rules.partial_fill_from and not whole:
            units = (order.quantity + 1) // 2
        return self._trade(order, instrument, units, price)

    def _trade(self, order: Order, instrument: Instrument, units: int, price: Decimal) -> list[Event]:
        """Fill ``units`` of an order at ``price``, with all that follows from it for other orders."""
        filled = order.filled + units
        filled_value = order.filled_value + units * price
        commission = commission_of(
            instrument, filled, filled_value * instrument.multiplier, self._books.rate(instrument.currency)
        )
        changed = order.changed(
            filled=filled,
            filled_value=filled_value,
            last_fill_price=price,
            commission=commission,
        )
        execution, position = self._execute(
            instrument,
            units if order.action == "BUY" else -units,
            price,
            commission - order.commission,
            client_id=order.client_id,
            order_id=order.order_id,
            perm_id=order.perm_id,
            cumulative_quantity=filled,
            average_price=changed.average_fill_price,
            order_ref=order.order_ref,
        )
        if filled == order.quantity:
            told = self._finish(changed, "Filled", f"Filled Size: {filled}")
        else:
            told = self._put(changed)
        events: list[Event] = [Executed(execution), told, Charged(execution), PositionChanged(position)]
        if changed.oca_group:
            events += self._reduce_group(changed, units, order.remaining)
        if filled == order.quantity:
            for key in [child.key for child in self._book.working_children(changed)]:
                child = self.orders[key]  # as the fill of its sibling may have left it
                if child.status == "PreSubmitted" and child.is_held:
                    self._put(child.changed(why_held=child.why_held.removeprefix("child").lstrip(",")))
                    events += self._release(child.key)
        return events

    def _execute(
        self, instrument: Instrument, signed: int, price: Decimal, commission: Decimal, **fields: Any
    ) -> tuple[Execution, Position]:
        """Book a fill of ``signed`` units and make its execution."""
        now = self._clock()
        position, realized = self._books.book(instrument, signed, price, commission)
        execution = Execution(
            execution_id=f"{now:%Y%m%d}.{self._next_execution:08x}.01.01",
            con_id=instrument.con_id,
            exchange=instrument.primary_exchange,
            side="BOT" if signed > 0 else "SLD",
            quantity=abs(signed),
            price=price,
            time=_timestamp(now),
            commission=commission,
            realized=realized,
            **fields,
        )
        self._next_execution += 1
        self._book.add(execution)
        self._changed.add(("next", ""))
        self._note_books(instrument)
        return execution, position

    def _reduce_group(self, order: Order, units: int, of_units: int) -> list[Event]:
        """Let the fill of ``units`` of an order's ``of_units`` cancel (type 1) or reduce the others of its group."""
        events: list[Event] = []
        for key in [other.key for other in self._book.group(order)]:
            other = self.orders[key]
            if not other.is_working:
                continue  # it was cancelled with its parent, another of the group
            if order.oca_type == 1:
                events += self._cancel(other, "Cancelled by OCA group")
                continue
            reduced = other.remaining - math.ceil(other.remaining * units / of_units)
            if reduced > 0:
                events.append(self._put(other.changed(quantity=other.filled + reduced)))
            else:
                events += self._cancel(other, "Cancelled by OCA group")
        return events

    def _cancel(self, order: Order, reason: str) -> list[Event]:
        """Cancel a working order and the children that wait for it."""
        events: list[Event] = [
            self._finish(order, "Cancelled", reason),
            OrderFailed(order.client_id, order.order_id, 202, "Order Canceled - reason:"),
        ]
        for child in self._book.working_children(order):
            events += self._cancel(child, "Cancelled with its parent")
        return events

    def _expire_due(self, now: float) -> list[Event]:
        """End the orders whose time is over."""
        return [event for order in self._book.take_due(now) for event in self._expire(order)]

    def _expire(self, order: Order) -> list[Event]:
        """End an order whose time is over; what is to be filled at the close is filled now."""
        events: list[Event] = []
        if order.order_type in AT_CLOSE and order.status == "Submitted":
            instrument = self.catalogue[order.con_id]
            events += self._fill(order, instrument, self._quote(instrument), closing=True)
            order = self.orders[order.key]
        return [*events, *(self._cancel(order, "Expired") if order.is_working else [])]

    def _modify(self, order: Order, request: OrderRequest) -> list[Event]:
        instrument = self.catalogue[order.con_id]
        if request.instrument != instrument or request.action != order.action:
            problem: tuple[int, str] | None = (105, "Order being modified does not match original order")
        elif order.status == "PendingCancel":
            problem = 105, "Order being modified is being cancelled"
        elif order.transmit and not request.transmit:
            problem = 105, "a change that is not to be transmitted is not simulated"
        else:
            problem = self._problem(request, instrument) or self._funds_problem(request, instrument, order.filled)
            if problem is None and request.quantity <= order.filled:
                problem = 105, f"Order being modified has {order.filled} filled, quantity {request.quantity} is too low"
            elif problem is not None and problem[0] == 201:
                # 201 would tell the client that the order is dead, and it is not.
                problem = 105, problem[1]
        if problem is not None:
            # The unchanged order follows, so that the client's view of it is the broker's again.
            return [_failed(request, *problem), OrderChanged(order)]
        terms = terms_of(request) | {"parent_id": order.parent_id, "transmit": order.transmit}
        if order.parent_id and not request.oca_group:
            terms |= {"oca_group": order.oca_group, "oca_type": order.oca_type}
        changed = order.changed(**terms, quantity=int(request.quantity))
        if changed.order_type != order.order_type or not order.triggered:
            changed = changed.changed(triggered=False, stop_price=None)
        if not order.transmit:
            self._put(changed)
            return self._transmit(changed) if request.transmit else [OrderChanged(changed)]
        if order.status == "PendingSubmit":
            return [self._put(changed)]
        stops = changed.order_type in STOPS | TRAILING and not changed.triggered
        held = ["child"] if order.is_held else []
        changed = self._with_expiry(changed.changed(why_held=",".join([*held, *(["trigger"] if stops else [])])))
        now = self._clock().timestamp()
        if held or stops or not self._is_open(instrument, changed, now):
            changed = changed.changed(status="PreSubmitted")
        events: list[Event] = [self._put(changed)]
        if not held and self.linked:
            events += self._advance(changed, instrument, self._quote(instrument), now)
        return events

    def _preview(self, request: OrderRequest) -> list[Event]:
        """Tell what an order would do, without one."""
        if request.instrument is None:
            return [_failed(request, 200, _NOT_FOUND)]
        problem = self._problem(request, request.instrument)
        if problem is not None:
            return [_failed(request, *problem)]
        quantity = int(request.quantity)
        order = Order(
            **terms_of(request),
            client_id=request.client_id,
            order_id=request.order_id,
            perm_id=0,
            con_id=request.instrument.con_id,
            exchange=request.exchange or request.instrument.valid_exchanges[0],
            action=request.action,
            quantity=quantity,
            placed_at=_timestamp(self._clock()),
        )
        price = order.limit_price or self._quote(request.instrument).ask
        margin = self._books.preview(request.instrument, quantity if order.action == "BUY" else -quantity, price)
        return [OrderPreviewed(order, margin)]

    # --- inside: refusals -------------------------------------------------------------------------------------------

    def _problem(self, request: OrderRequest, instrument: Instrument) -> tuple[int, str] | None:
        """Return the error code and text that refuses the request's terms, or None."""
        reason = next(objections(request, instrument, self.account, self._clock(), self._day.replace("-", "")), None)
        if reason is not None:
            return 201, f"Order rejected - reason:{reason}"
        prices = [request.limit_price if request.order_type in LIMITED else None, request.trail_stop_price]
        prices.append(request.aux_price if request.order_type in STOPS | TRAILING else None)
        if any(price % instrument.min_tick for price in prices if price is not None):
            return 110, "The price does not conform to the minimum price variation for this contract."
        return None

    def _family_problem(self, request: OrderRequest) -> tuple[int, str] | None:
        if not request.parent_id:
            return None
        parent = self.orders.get((request.client_id, request.parent_id))
        if parent is None:
            return 10006, f"Missing parent order: {request.parent_id}"
        if not parent.is_working and parent.status != "Filled":
            return 201, f"Order rejected - reason:parent order {request.parent_id} is {parent.status}"
        return None

    def _funds_problem(self, request: OrderRequest, instrument: Instrument, filled: int = 0) -> tuple[int, str] | None:
        """Return what refuses an order that the account cannot carry. A child closes what its parent opens."""
        if request.parent_id:
            return None
        held = self._books.held(instrument)
        units = int(request.quantity) - filled
        signed = units if request.action == "BUY" else -units
        if abs(held + signed) <= abs(held):
            return None
        price = request.limit_price if request.order_type in LIMITED else None
        reason = self._books.lacks(instrument, signed, price or self._quote(instrument).ask)
        return (201, f"Order rejected - reason:{reason}") if reason else None

    # --- inside: hours ----------------------------------------------------------------------------------------------

    def _phase(self, instrument: Instrument, now: float, liquid: bool) -> Phase:
        return self._hours[instrument.hours].phase(now, liquid)

    def _is_liquid_only(self, instrument: Instrument, order: Order) -> bool:
        """Tell whether an order waits for the regular hours: those of stocks and options do, unless told otherwise."""
        if instrument.sec_type == "OPT":
            return True
        return instrument.sec_type == "STK" and not (order.outside_rth and order.order_type in LIMITED - AT_CLOSE)

    def _is_open(self, instrument: Instrument, order: Order, now: float) -> bool:
        if not instrument.hours:
            return True
        return self._phase(instrument, now, self._is_liquid_only(instrument, order)).is_open

    def _with_expiry(self, order: Order) -> Order:
        """Return the order with the moment at which it ends by itself."""
        instrument = self.catalogue[order.con_id]
        expires_at: int | None = None
        if order.tif == "GTD":
            expires_at = int(parse_time(order.good_till_date, instrument.time_zone).timestamp())
        elif order.tif in ("DAY", "OPG") and instrument.hours:
            end = self._hours[instrument.hours].session_end(
                self._clock().timestamp(), self._is_liquid_only(instrument, order)
            )
            expires_at = None if end == NEVER else int(end)
        return order if order.expires_at == expires_at else order.changed(expires_at=expires_at)

    def _local(self, instrument: Instrument, moment: float) -> datetime:
        return datetime.fromtimestamp(moment, ZoneInfo(instrument.time_zone))

    # --- inside: keeping --------------------------------------------------------------------------------------------

    def _put(self, order: Order) -> OrderChanged:
        self._book.put(order)
        return OrderChanged(order)

    def _finish(self, order: Order, status: str, reason: str) -> OrderChanged:
        """Keep an order in its final state."""
        return self._put(
            order.changed(status=status, why_held="", completed_at=_timestamp(self._clock()), completed_status=reason)
        )

    def _begin_day(self) -> float:
        """Return the present moment, in seconds; at the first of a new day, part with the day before."""
        moment = self._clock()
        now = moment.timestamp()
        if now < self._day_ends:
            return now
        local = moment.astimezone(self._zone)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        self._day_ends = (midnight + timedelta(days=1)).timestamp()
        today = f"{local:%Y-%m-%d}"
        if self._day and self._day != today:
            # What was working and done, or executed, before this day.
            began = _timestamp(midnight)
            self._news += self._settle_expired(today.replace("-", ""))
            self._book.forget_before(began)
            for con_id in self._books.begin_day():
                self._changed.add(("position", con_id))
        self._day = today
        self._changed.add(("day", ""))
        return now

    def _settle_expired(self, today: str) -> list[Event]:
        """Settle in cash what expired before ``today``, and end its orders."""
        events: list[Event] = []
        for position in list(self._books.positions.values()):
            instrument = self.catalogue[position.con_id]
            if position.quantity and instrument.expiry and instrument.expiry < today:
                perm_id = self._next_perm_id
                self._next_perm_id += 1
                price = self._books.settlement_price(instrument)
                execution, settled = self._execute(
                    instrument,
                    -position.quantity,
                    price,
                    NO_CENTS,
                    client_id=0,
                    order_id=0,
                    perm_id=perm_id,
                    cumulative_quantity=abs(position.quantity),
                    average_price=price,
                    order_ref="",
                )
                events += [Executed(execution), Charged(execution), PositionChanged(settled)]
        for order in list(self.working_orders()):
            expiry = self.catalogue[order.con_id].expiry
            if expiry and expiry < today and self.orders[order.key].is_working:
                events += self._cancel(order, "Expired")
        return events

    def _note_books(self, instrument: Instrument) -> None:
        self._changed |= {("cash", instrument.currency), ("position", instrument.con_id)}
        self._note_derivative(instrument)

    def _note_derivative(self, instrument: Instrument) -> None:
        # What expires may be listed no more when its orders and positions are restored.
        if instrument.expiry:
            self._changed.add(("instrument", instrument.con_id))

    def _derivatives(self) -> set[int]:
        used = set(self._books.positions)
        used |= {order.con_id for order in self.orders.values()}
        used |= {execution.con_id for execution in self._book.executions.values()}
        return {con_id for con_id in used if self.catalogue[con_id].expiry}

    def _record(self, kind: str, key: Any) -> Any:
        """Return what is to be saved of one thing, None when it is gone."""
        match kind:
            case "order":
                order = self.orders.get(key)
                return None if order is None else order.to_json()
            case "execution":
                execution = self._book.executions.get(key)
                return None if execution is None else execution.to_json()
            case "position":
                return self._books.positions[key].to_json()
            case "cash":
                return str(self._books.balances[key])
            case "last_order_id":
                return self._last_order_id.get(key, 0)
            case "instrument":
                return self.catalogue[key].to_json()
            case "day":
                return self._day
        return {"perm_id": self._next_perm_id, "execution": self._next_execution, "by_hand": self._last_by_hand}


def _failed(request: OrderRequest, code: int, text: str) -> OrderFailed:
    return OrderFailed(request.client_id, request.order_id, code, text)


def _timestamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).isoformat()[:19]}Z"


def _text(key: object) -> str:
    """Return a key of a saved record as text."""
    return ":".join(str(part) for part in key) if isinstance(key, tuple) else str(key)
