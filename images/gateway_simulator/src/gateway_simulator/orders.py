# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders: placed, modified, cancelled, and told of, with their executions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from . import requests
from .hours import parse_time
from .messages import NO_REQUEST
from .model import (
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
)
from .requests import Request
from .service import Service

READ_ONLY = "Error validating request:-'{}' : cause - The API interface is currently in Read-Only mode."
_REFUSED_READ_ONLY = (
    requests.PlaceOrder,
    requests.CancelOrder,
    requests.CancelAllOrders,
    requests.RequestOpenOrders,
    requests.RequestAllOpenOrders,
    requests.RequestAutoOpenOrders,
    requests.RequestCompletedOrders,
)
# The client that may own the orders that were made by hand.
DEFAULT_CLIENT = 0
SIDES = {"": ("BOT", "SLD"), "BUY": ("BOT",), "BOT": ("BOT",), "SELL": ("SLD",), "SLD": ("SLD",), "SSHORT": ("SLD",)}


class OrderService(Service):
    """Takes a client's orders to the broker, and tells it what became of them."""

    @property
    def handlers(self) -> Mapping[type[Request], Callable[[Any], None]]:
        """What is done at each kind of request; a read-only gateway tells of executions alone."""
        if self._simulator.settings.read_only:
            return dict.fromkeys(_REFUSED_READ_ONLY, self._refuse) | {
                requests.RequestExecutions: self._request_executions
            }
        return {
            requests.PlaceOrder: self._place_order,
            requests.CancelOrder: self._cancel_order,
            requests.CancelAllOrders: self._cancel_all_orders,
            requests.RequestOpenOrders: self._request_open_orders,
            requests.RequestAllOpenOrders: self._request_all_open_orders,
            requests.RequestAutoOpenOrders: self._request_auto_open_orders,
            requests.RequestCompletedOrders: self._request_completed_orders,
            requests.RequestExecutions: self._request_executions,
        }

    def news(self, events: Sequence[Event]) -> list[bytes]:
        """Tell of this client's own orders."""
        client_id = self._session.client_id
        dialect, account = self._dialect, self._account
        frames: list[bytes] = []
        for event in events:
            match event:
                case OrderChanged(order) if order.client_id == client_id:
                    frames += self._order(order)
                case OrderFailed(owner, order_id, code, text) if owner == client_id:
                    frames.append(dialect.error(order_id, code, text))
                case OrderPreviewed(order, margin) if order.client_id == client_id:
                    frames.append(dialect.open_order(account, self._instrument(order), order, margin))
                case OrderBound(order) if order.client_id == client_id:
                    frames.append(dialect.order_bound(order))
                case Executed(execution) if execution.client_id == client_id:
                    frames.append(self._execution(NO_REQUEST, execution))
                case Charged(execution) if execution.client_id == client_id:
                    frames.append(dialect.commission_report(self._instrument(execution), execution))
        return frames

    # --- doing ------------------------------------------------------------------------------------------------------

    def _place_order(self, request: requests.PlaceOrder) -> None:
        assert self._session.client_id is not None  # noqa: S101 - a request is only received after startApi
        found = self._simulator.catalogue.find(request.contract)
        order = OrderRequest(
            client_id=self._session.client_id,
            order_id=request.order_id,
            instrument=found[0] if len(found) == 1 else None,
            exchange=request.contract.exchange,
            action=request.action,
            quantity=request.quantity,
            account=request.account,
            what_if=request.what_if,
            unsupported=request.unsupported,
            **request.terms.terms,
        )
        self._simulator.place(self._session, order)

    def _cancel_order(self, request: requests.CancelOrder) -> None:
        self._simulator.cancel(self._session, request.order_id)

    def _cancel_all_orders(self, _request: Request) -> None:
        self._simulator.cancel_all(self._session)

    # --- telling ----------------------------------------------------------------------------------------------------

    def _request_open_orders(self, _request: Request) -> None:
        if self._session.client_id == DEFAULT_CLIENT:
            self._simulator.publish(self._simulator.broker.bind_orders())
        self._send_open_orders(
            order for order in self._simulator.broker.working_orders() if order.client_id == self._session.client_id
        )

    def _request_all_open_orders(self, _request: Request) -> None:
        self._send_open_orders(self._simulator.broker.working_orders())

    def _request_auto_open_orders(self, request: requests.RequestAutoOpenOrders) -> None:
        if self._session.client_id != DEFAULT_CLIENT:
            text = f"Only the default client (i.e {DEFAULT_CLIENT}) can auto bind orders."
            self._fail(NO_REQUEST, 327, text)
        else:
            self._simulator.broker.auto_bind = request.bind

    def _request_completed_orders(self, request: requests.RequestCompletedOrders) -> None:
        orders = self._simulator.broker.completed_orders(request.api_only)
        self._send(
            *(self._dialect.completed_order(self._account, self._instrument(order), order) for order in orders),
            self._dialect.completed_orders_end(),
        )

    def _request_executions(self, request: requests.RequestExecutions) -> None:
        request_id = request.request_id
        try:
            earliest = parse_time(request.since).timestamp() if request.since else 0.0
        except ValueError as error:
            self._fail(request_id, 322, f"Error processing request: {error}")
            return
        if request.side not in SIDES:
            text = f"Error processing request: side {request.side!r} is none of BUY, SELL"
            self._fail(request_id, 322, text)
            return
        frames = []
        for execution in self._simulator.broker.executions:
            if self._fits(request, earliest, execution):
                frames.append(self._execution(request_id, execution))
                frames.append(self._dialect.commission_report(self._instrument(execution), execution))
        self._send(*frames, self._dialect.execution_end(request_id))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _instrument(self, entry: Order | Execution) -> Instrument:
        return self._simulator.catalogue[entry.con_id]

    def _refuse(self, request: Request) -> None:
        order_id = request.order_id if isinstance(request, requests.PlaceOrder | requests.CancelOrder) else NO_REQUEST
        self._fail(order_id, 321, READ_ONLY.format(type(request).__name__))

    def _order(self, order: Order) -> list[bytes]:
        terms = self._dialect.open_order(self._account, self._instrument(order), order)
        return [terms, self._dialect.order_status(order)]

    def _send_open_orders(self, orders: Iterable[Order]) -> None:
        self._send(*(part for order in orders for part in self._order(order)), self._dialect.open_order_end())

    def _execution(self, request_id: int, execution: Execution) -> bytes:
        return self._dialect.execution_details(request_id, self._account, self._instrument(execution), execution)

    def _fits(self, request: requests.RequestExecutions, earliest: float, execution: Execution) -> bool:
        instrument = self._instrument(execution)
        moment = datetime.fromisoformat(execution.time)
        today = self._simulator.now().date()
        first_day = today - timedelta(days=max(0, (request.last_days or 1) - 1))
        return (
            moment.timestamp() >= earliest
            and (f"{moment:%Y%m%d}" in request.dates or (not request.dates and moment.date() >= first_day))
            and request.client_id in (0, execution.client_id)
            and request.account in ("", self._account)
            and request.symbol in ("", instrument.symbol)
            and request.sec_type in ("", instrument.sec_type)
            and request.exchange in ("", "SMART", execution.exchange)
            and execution.side in SIDES[request.side]
        )
