# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control API does: reads the witness and the world, plays faults, and what people do at a terminal."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .control import ControlError, Routes
from .faults import Fault, FaultError
from .model import ContractQuery, OrderRequest

if TYPE_CHECKING:
    from .server import Simulator

_ORDER = {"symbol", "sec_type", "con_id", "action", "quantity", "order_type", "limit_price", "tif", "order_ref"}


class Terminal:
    """The calls of one simulator's control API, which run in its event loop."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    @property
    def routes(self) -> Routes:
        """The calls by method and path."""
        return {
            ("GET", "witness"): self._get_witness,
            ("GET", "state"): self._get_state,
            ("GET", "faults"): self._get_faults,
            ("POST", "faults"): self._post_fault,
            ("DELETE", "faults"): self._delete_faults,
            ("POST", "restart"): self._restart,
            ("POST", "login"): self._log_in,
            ("POST", "orders"): self._post_order,
            ("DELETE", "orders"): self._delete_order,
        }

    def _get_witness(self, rest: str, query: dict[str, str], _body: Any) -> Any:
        witness = self._simulator.witness
        if rest == "summary":
            return witness.summary()
        if rest:
            raise ControlError(f"/witness/{rest}: no such path, wanted /witness or /witness/summary")
        since, kind = query.get("since", "0"), query.get("kind")
        if not since.isdecimal():
            raise ControlError(f"since={since!r}: wanted the sequence number of an entry, or 0")
        entries = [entry for entry in witness.since(int(since)) if kind in (None, entry["kind"])]
        return {"last": len(witness.entries), "entries": entries}

    def _get_state(self, _rest: str, _query: dict[str, str], _body: Any) -> Any:
        simulator = self._simulator
        broker, valuation = simulator.broker, simulator.broker.valuation()
        return {
            "account": broker.account,
            "cash": valuation.cash,
            "net_liquidation": valuation.net_liquidation,
            "linked": broker.linked,
            "logged_in": not simulator.faults.is_logged_out,
            "listening": simulator.is_listening,
            "now": simulator.now().isoformat(),
            "clients": [
                {"client_id": client_id, "connection": line.number, "peer": line.peer}
                for line, client_id in simulator.lines()
                if client_id is not None
            ],
            "positions": {
                str(position.con_id): {
                    "symbol": simulator.symbol(position.con_id),
                    "quantity": position.quantity,
                    "average_cost": position.average_cost,
                }
                for position in broker.positions.values()
                if position.quantity
            },
            "working_orders": [order.to_json() for order in broker.working_orders()],
        }

    def _get_faults(self, rest: str, _query: dict[str, str], _body: Any) -> Any:
        return self._fault(rest).to_json() if rest else [fault.to_json() for fault in self._simulator.faults]

    def _post_fault(self, _rest: str, _query: dict[str, str], body: Any) -> Any:
        try:
            return self._simulator.faults.add(body).to_json()
        except FaultError as error:
            raise ControlError(str(error)) from error

    def _delete_faults(self, rest: str, _query: dict[str, str], _body: Any) -> Any:
        if not rest:
            return [fault.to_json() for fault in self._simulator.faults.remove_all()]
        fault = self._fault(rest)
        self._simulator.faults.remove(fault)
        return fault.to_json()

    def _restart(self, rest: str, query: dict[str, str], body: Any) -> Any:
        return self._post_fault(rest, query, {**_object(body or {}), "fault": "restart"})

    def _log_in(self, _rest: str, _query: dict[str, str], _body: Any) -> Any:
        ended = self._simulator.faults.remove_all("logout")
        if not ended:
            raise ControlError("login: the gateway is logged in", HTTPStatus.CONFLICT)
        return [fault.to_json() for fault in ended]

    def _post_order(self, _rest: str, _query: dict[str, str], body: Any) -> Any:
        order = _object(body)
        unknown = sorted(order.keys() - _ORDER)
        if unknown:
            raise ControlError(f"order: {', '.join(unknown)}: wanted some of {', '.join(sorted(_ORDER))}")
        con_id = order.get("con_id", 0)
        query = ContractQuery(
            con_id=con_id if isinstance(con_id, int) else -1,
            symbol=str(order.get("symbol", "")),
            sec_type=str(order.get("sec_type", "" if con_id else "STK")),
        )
        found = self._simulator.catalogue.find(query)
        if len(found) != 1:
            raise ControlError(f"order: {len(found)} instruments fit {query.symbol or con_id!r}, wanted one")
        limit = order.get("limit_price")
        request = OrderRequest(
            client_id=0,
            order_id=0,
            instrument=found[0],
            exchange="SMART",
            action=str(order.get("action", "")),
            quantity=_decimal("quantity", order.get("quantity")),
            order_type=str(order.get("order_type", "MKT" if limit is None else "LMT")),
            limit_price=None if limit is None else _decimal("limit_price", limit),
            tif=str(order.get("tif", "DAY")),
            account=self._simulator.broker.account,
            open_close="O",
            origin=0,
            order_ref=str(order.get("order_ref", "")),
            outside_rth=False,
            hidden=False,
        )
        key = self._simulator.place_by_hand(request)
        placed = self._simulator.broker.orders.get(key)
        if placed is None:
            raise ControlError("order: the broker refuses it, see the witness", HTTPStatus.CONFLICT)
        return placed.to_json()

    def _delete_order(self, rest: str, _query: dict[str, str], _body: Any) -> Any:
        try:
            self._simulator.cancel_by_hand(int(rest))
        except (ValueError, KeyError) as error:
            raise ControlError(f"order {rest}: wanted the perm id of a working order", HTTPStatus.NOT_FOUND) from error
        return {"perm_id": int(rest), "status": "Cancelled"}

    def _fault(self, fault_id: str) -> Fault:
        fault = self._simulator.faults.get(int(fault_id)) if fault_id.isdecimal() else None
        if fault is None:
            there = ", ".join(str(fault.id) for fault in self._simulator.faults) or "none"
            raise ControlError(f"fault {fault_id}: there is none, there are: {there}", HTTPStatus.NOT_FOUND)
        return fault


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ControlError(f"body {body!r}: wanted an object")
    return body


def _decimal(name: str, value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ControlError(f"order: {name}={value!r}: wanted a number")
    return number
