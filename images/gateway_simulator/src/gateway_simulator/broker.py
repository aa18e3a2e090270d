# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker: one account, its orders, their matching against quotes, executions and commissions.

Nothing here does I/O: prices and time come in through two functions, and every method returns the events that its
call caused, in the order in which a client must learn of them.

Money is whole cents. The cost of a position includes the commissions paid to open it, as at the real broker, and
is kept as a total, so that at any moment, to the cent,

    cash + sum of position costs == starting cash + realized profit and loss

with the cost of a short position negative. Whatever an average price is rounded to on the wire, the books hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .contracts import Catalogue
from .model import (
    NO_CENTS,
    Charged,
    CurrencyLedger,
    Event,
    Executed,
    Execution,
    Instrument,
    Order,
    OrderChanged,
    OrderFailed,
    OrderRequest,
    Position,
    PositionChanged,
    PositionValue,
    Quote,
    Valuation,
    cents,
)

STARTING_CASH = Decimal("1000000.00")
# An order this large is filled in two executions, at two ticks of the market.
PARTIAL_FILL_FROM = 100
# Positions may be worth this many times the account, as with intraday margin on stocks.
LEVERAGE = 4
LARGEST_QUANTITY = 1_000_000_000
LARGEST_PRICE = 1_000_000_000
FIRST_PERM_ID = 1_000_000_001
# The whole state is written at every event: what is kept of the past is what every event costs.
FINISHED_ORDERS_KEPT = 1000

ORDER_TYPES = frozenset({"MKT", "LMT"})
TIMES_IN_FORCE = frozenset({"DAY", "GTC"})


def commission_of(instrument: Instrument, quantity: int, value: Decimal) -> Decimal:
    """Return the commission in dollars for ``quantity`` units worth ``value`` of one order.

    Interactive Brokers' fixed schedule: stocks 0.005 per share, at least 1.00, at most 1 % of the value;
    currencies 0.2 basis points of the value, at least 2.00.
    """
    if instrument.sec_type == "CASH":
        return cents(max(Decimal("2.00"), value * Decimal("0.00002")))
    return cents(min(max(Decimal("1.00"), quantity * Decimal("0.005")), value * Decimal("0.01")))


class Broker:
    """The account and its orders.

    ``quote`` gives the present quote of an instrument and ``clock`` the present moment (aware, UTC).
    """

    def __init__(
        self,
        account: str,
        catalogue: Catalogue,
        quote: Callable[[Instrument], Quote],
        clock: Callable[[], datetime],
        starting_cash: Decimal = STARTING_CASH,
    ) -> None:
        self.account = account
        self.catalogue = catalogue
        self.cash = starting_cash
        self.orders: dict[tuple[int, int], Order] = {}
        self.executions: list[Execution] = []
        self.positions: dict[int, Position] = {}
        self.linked = True
        self._quote = quote
        self._clock = clock
        self._last_order_id: dict[int, int] = {}
        self._next_perm_id = FIRST_PERM_ID
        self._next_execution = 1
        self._day = self._today()

    # --- what clients ask -------------------------------------------------------------------------------------------

    @property
    def next_order_id(self) -> int:
        """The lowest order id that no client has used."""
        return max(self._last_order_id.values(), default=0) + 1

    def working_orders(self) -> Iterator[Order]:
        """Yield the orders that can still be filled, oldest first."""
        return (order for order in self.orders.values() if order.is_working)

    def valuation(self) -> Valuation:
        """Return the account at the current prices; market values are whole cents at the last price."""
        values = []
        for position in self.positions.values():
            price = self._quote(self.catalogue[position.con_id]).last
            market_value = cents(price * position.quantity)
            values.append(PositionValue(position, price, market_value, market_value - position.cost))
        margin = cents(sum((abs(held.market_value) for held in values), NO_CENTS) / LEVERAGE)
        ledger = CurrencyLedger("USD", Decimal(1), self.cash, tuple(values))
        return Valuation("USD", (ledger,), margin, margin, positions=tuple(values))

    # --- what clients do --------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest) -> list[Event]:
        """Accept, modify or reject an order, and fill what the present quote fills."""
        working = self.orders.get((request.client_id, request.order_id))
        if working is not None and working.is_working:
            return self._modify(working, request)
        if request.order_id <= self._last_order_id.get(request.client_id, 0):
            return [OrderFailed(request.client_id, request.order_id, 103, "Duplicate order id")]
        self._last_order_id[request.client_id] = request.order_id
        if request.instrument is None:
            return [_failed(request, 200, "No security definition has been found for the request")]
        problem = self._problem(request, request.instrument)
        if problem is not None:
            return [_failed(request, *problem)]
        order = Order(
            client_id=request.client_id,
            order_id=request.order_id,
            perm_id=self._next_perm_id,
            con_id=request.instrument.con_id,
            exchange=request.exchange or request.instrument.valid_exchanges[0],
            placed_at=_timestamp(self._clock()),
            status="PreSubmitted" if self.linked else "PendingSubmit",
            **_terms(request),
        )
        self._next_perm_id += 1
        events: list[Event] = [self._put(order)]
        if self.linked:
            events += self._submit(order)
        return events

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
            return [self._put(replace(order, status="PendingCancel"))]
        return [
            self._put(replace(order, status="Cancelled")),
            OrderFailed(client_id, order_id, 202, "Order Canceled - reason:"),
        ]

    def cancel_all(self) -> list[Event]:
        """Cancel every working order of every client."""
        return [event for order in list(self.working_orders()) for event in self.cancel(*order.key)]

    # --- what the market and the broker's own network do ------------------------------------------------------------

    def match(self) -> list[Event]:
        """Fill what the present quotes fill; called once per tick of the market."""
        if not self.linked:
            return []
        return [event for order in list(self.working_orders()) for event in self._fill(order)]

    def lose_link(self) -> None:
        """The gateway loses the broker: nothing fills, and orders and cancellations wait."""
        self.linked = False

    def restore_link(self) -> list[Event]:
        """The gateway finds the broker again: what waited goes through."""
        self.linked = True
        events: list[Event] = []
        for order in list(self.working_orders()):
            if order.status == "PendingSubmit":
                events += self._submit(order)
            elif order.status == "PendingCancel":
                events += self.cancel(*order.key)
        return events

    # --- state ------------------------------------------------------------------------------------------------------

    def forget_finished(self) -> None:
        """Forget earlier days once the UTC day changes, and the oldest finished orders with their executions.

        Cash and positions, with what was realized on them, are totals of their own and stay as they are.
        """
        if self._day != (today := self._today()):
            self._day = today
            self._forget_earlier_days()
        finished = [order for order in self.orders.values() if not order.is_working]
        oldest = finished[:-FINISHED_ORDERS_KEPT]
        if oldest:
            for order in oldest:
                del self.orders[order.key]
            gone = {order.perm_id for order in oldest}
            self.executions = [execution for execution in self.executions if execution.perm_id not in gone]

    def to_state(self) -> dict[str, Any]:
        """Return everything that must survive a restart, as JSON values (amounts as decimal strings)."""
        return {
            "account": self.account,
            "cash": str(self.cash),
            "next_perm_id": self._next_perm_id,
            "next_execution": self._next_execution,
            "last_order_id": {str(client): order_id for client, order_id in self._last_order_id.items()},
            "positions": [position.to_json() for position in self.positions.values()],
            "orders": [order.to_json() for order in self.orders.values()],
            "executions": [execution.to_json() for execution in self.executions],
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take over what ``to_state`` returned, but for the finished orders and the executions of earlier days.

        Raises KeyError, TypeError, ValueError or ArithmeticError when the state is not of that shape.
        """
        self.cash = Decimal(state["cash"])
        self._next_perm_id = int(state["next_perm_id"])
        self._next_execution = int(state["next_execution"])
        self._last_order_id = {int(client): int(order_id) for client, order_id in state["last_order_id"].items()}
        positions = [Position.from_json(document) for document in state["positions"]]
        orders = [Order.from_json(document) for document in state["orders"]]
        executions = [Execution.from_json(document) for document in state["executions"]]
        for con_id in [entry.con_id for entries in (positions, orders, executions) for entry in entries]:
            if con_id not in self.catalogue:
                raise ValueError(f"contract id {con_id} is not listed")
        self.positions = {position.con_id: position for position in positions}
        self.orders = {order.key: order for order in orders}
        self.executions = executions
        self._forget_earlier_days()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _today(self) -> str:
        return _timestamp(self._clock())[:10]

    def _forget_earlier_days(self) -> None:
        today = self._today()
        self.orders = {
            key: order for key, order in self.orders.items() if order.is_working or order.placed_at[:10] == today
        }
        self.executions = [execution for execution in self.executions if execution.time[:10] == today]

    def _put(self, order: Order) -> OrderChanged:
        self.orders[order.key] = order
        return OrderChanged(order)

    def _problem(self, request: OrderRequest, instrument: Instrument) -> tuple[int, str] | None:
        """Return the error code and text that refuses the request's terms, or None."""
        reason = ""
        if request.unsupported:
            reason = f"{request.unsupported} is not simulated"
        elif request.account not in ("", self.account):
            reason = f"account {request.account} is not {self.account}"
        elif request.action not in ("BUY", "SELL"):
            reason = f"action {request.action!r} is neither BUY nor SELL"
        elif request.order_type not in ORDER_TYPES:
            reason = f"order type {request.order_type!r} is not simulated, only MKT and LMT"
        elif request.tif not in TIMES_IN_FORCE:
            reason = f"time in force {request.tif!r} is not simulated, only DAY and GTC"
        elif not 0 < request.quantity <= LARGEST_QUANTITY or request.quantity != int(request.quantity):
            reason = f"quantity {request.quantity} is not a whole number of 1 to {LARGEST_QUANTITY}"
        elif request.order_type == "LMT" and not 0 < (request.limit_price or 0) <= LARGEST_PRICE:
            reason = f"limit price {request.limit_price} is not between 0 and {LARGEST_PRICE}"
        if reason:
            return 201, f"Order rejected - reason:{reason}"
        limit_price = request.limit_price if request.order_type == "LMT" else None
        if limit_price is not None and limit_price % instrument.min_tick:
            return 110, "The price does not conform to the minimum price variation for this contract."
        held = self.positions.get(instrument.con_id, Position(instrument.con_id)).quantity
        after = held + (request.quantity if request.action == "BUY" else -request.quantity)
        added = cents((abs(after) - abs(held)) * (limit_price or self._quote(instrument).ask))
        power = self.valuation().buying_power
        if added > max(power, NO_CENTS):
            return 201, f"Order rejected - reason:order adds {added} to positions, buying power is {power}"
        return None

    def _modify(self, order: Order, request: OrderRequest) -> list[Event]:
        instrument = self.catalogue[order.con_id]
        if request.instrument != instrument or request.action != order.action:
            problem: tuple[int, str] | None = (105, "Order being modified does not match original order")
        elif order.status == "PendingCancel":
            problem = 105, "Order being modified is being cancelled"
        else:
            problem = self._problem(request, instrument)
            if problem is None and request.quantity <= order.filled:
                problem = 105, f"Order being modified has {order.filled} filled, quantity {request.quantity} is too low"
            elif problem is not None and problem[0] == 201:
                # 201 would tell the client that the order is dead, and it is not.
                problem = 105, problem[1]
        if problem is not None:
            # The unchanged order follows, so that the client's view of it is the broker's again.
            return [_failed(request, *problem), OrderChanged(order)]
        changed = replace(order, **_terms(request))
        return [self._put(changed), *(self._fill(changed) if self.linked else [])]

    def _submit(self, order: Order) -> list[Event]:
        submitted = replace(order, status="Submitted")
        return [self._put(submitted), *self._fill(submitted)]

    def _fill(self, order: Order) -> list[Event]:
        """Fill as much of a submitted order as the present quote fills: all, half, or nothing."""
        instrument = self.catalogue[order.con_id]
        quote = self._quote(instrument)
        buying = order.action == "BUY"
        price = quote.ask if buying else quote.bid
        limit = order.limit_price
        if limit is not None and (price > limit if buying else price < limit):
            return []
        units = order.remaining
        if not order.filled and order.quantity >= PARTIAL_FILL_FROM:
            units = (order.quantity + 1) // 2
        filled = order.filled + units
        filled_value = order.filled_value + units * price
        commission = commission_of(instrument, filled, filled_value)
        changed = replace(
            order,
            filled=filled,
            filled_value=filled_value,
            last_fill_price=price,
            commission=commission,
            status="Filled" if filled == order.quantity else order.status,
        )
        signed = units if buying else -units
        position, realized = self._book(instrument, signed, price, commission - order.commission)
        now = self._clock()
        execution = Execution(
            execution_id=f"{now:%Y%m%d}.{self._next_execution:08x}.01.01",
            client_id=order.client_id,
            order_id=order.order_id,
            perm_id=order.perm_id,
            con_id=order.con_id,
            exchange=instrument.primary_exchange,
            side="BOT" if buying else "SLD",
            quantity=units,
            price=price,
            cumulative_quantity=filled,
            average_price=changed.average_fill_price,
            order_ref=order.order_ref,
            time=_timestamp(now),
            commission=commission - order.commission,
            realized=realized,
        )
        self._next_execution += 1
        self.executions.append(execution)
        return [Executed(execution), self._put(changed), Charged(execution), PositionChanged(position)]

    def _book(
        self, instrument: Instrument, signed: int, price: Decimal, commission: Decimal
    ) -> tuple[Position, Decimal | None]:
        """Book a fill of ``signed`` units; return the position and what was realized, None if nothing was closed."""
        old = self.positions.get(instrument.con_id, Position(instrument.con_id))
        amount = cents(signed * price)
        self.cash -= amount + commission
        closing = 0 if old.quantity * signed >= 0 else min(abs(signed), abs(old.quantity))
        share = Decimal(closing) / abs(signed)
        closing_amount, closing_commission = cents(amount * share), cents(commission * share)
        quantity, cost, realized = old.quantity, old.cost, None
        if closing:
            released = cents(cost * closing / abs(quantity))
            realized = -closing_amount - closing_commission - released
            quantity += closing if signed > 0 else -closing
            cost -= released
        opening = abs(signed) - closing
        if opening:
            quantity += opening if signed > 0 else -opening
            cost += amount - closing_amount + commission - closing_commission
        position = Position(instrument.con_id, quantity, cost, old.realized + (realized or NO_CENTS))
        self.positions[instrument.con_id] = position
        return position, realized


def _failed(request: OrderRequest, code: int, text: str) -> OrderFailed:
    return OrderFailed(request.client_id, request.order_id, code, text)


def _terms(request: OrderRequest) -> dict[str, Any]:
    """Return the terms of a checked request that a modification may change, as fields of Order."""
    return {
        **request.terms,
        "action": request.action,
        "quantity": int(request.quantity),
        "limit_price": request.limit_price if request.order_type == "LMT" else None,
    }


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
