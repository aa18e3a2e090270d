# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator: every client's session, the market's clock, and the link to the broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .broker import Broker
from .control import ControlError, ControlServer, Routes
from .line import Line
from .model import Bar, Event, Executed, Execution, Instrument, Order, OrderChanged, OrderFailed, OrderRequest, Quote
from .session import Session
from .settings import Settings
from .store import StateError, Store
from .witness import Witness
from .world import World

CLOSE_SECONDS = 2.0

_logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


class Simulator:
    """An IB API server on one port. Raises StateError or WitnessError when what was saved cannot be used."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self.now = clock
        self.server_version = settings.server_version
        self.world = World.default(settings.account, settings.seed, settings.ticks_per_second, clock())
        self.catalogue = self.world.catalogue
        self._market = self.world.market()
        self.broker = Broker(
            self.world.account, self.catalogue, self.quote, clock, self.world.rules, self.world.hours, self.world.zone
        )
        self._settings = settings
        self._store = Store.at(settings.state, self.world.account)
        self._sessions: dict[int, Session] = {}
        self._lines: set[Line] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._control: ControlServer | None = None
        self._restore()
        self.witness = Witness(self._store.beside("witness.jsonl"))
        self.witness.record("simulator", event="started", account=self.broker.account)
        for execution in self.broker.executions:
            # The broker's books were saved and then the process was killed.
            if not self.witness.knows(execution.execution_id):
                self._witness_fill(execution)

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and let the market run in the task ``market``. Raises OSError when the port cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, self._settings.host, self._settings.port)
        if self._settings.control_port is not None:
            self._control = ControlServer(self._settings.control_host, self._settings.control_port, self._routes())
        # Orders that waited for the broker when the simulator stopped go through now.
        self.publish(self.broker.restore_link())
        self.market = self._start_task(self._run_market())
        _logger.info(
            "listening",
            extra={
                "host": self._settings.host,
                "port": self.port,
                "control_port": self.control_port,
                "account": self.broker.account,
                "server_version": self.server_version,
                "fault": self._settings.fault,
            },
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None  # noqa: S101 - there is no port before start()
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def control_port(self) -> int | None:
        """The port of the control API, None when it is off."""
        return self._control.port if self._control else None

    async def stop(self) -> None:
        """Close the port and every connection, after what is waiting has been sent."""
        if self._server is not None:
            self._server.close()
        lines = list(self._lines)
        for line in lines:
            line.close("the simulator stops")
        if lines:
            await asyncio.wait([asyncio.create_task(line.wait_gone()) for line in lines], timeout=CLOSE_SECONDS)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._control is not None:
            await self._control.stop()
        self.witness.record("simulator", event="stopped")
        self.witness.close()
        self._store.close()
        _logger.info("stopped", extra={"clients": len(lines)})

    # --- what sessions ask ------------------------------------------------------------------------------------------

    def admit(self, client_id: int, session: Session) -> bool:
        """Give ``client_id`` to ``session``, unless another connection has it."""
        admitted = self._sessions.setdefault(client_id, session) is session
        if admitted:
            self.witness.record("started", connection=session.line.number, client_id=client_id, version=session.version)
        return admitted

    def forget(self, session: Session, why: str) -> None:
        """Take note that a session's connection is over."""
        self.witness.record("disconnected", connection=session.line.number, client_id=session.client_id, why=why)
        self._lines.discard(session.line)
        if session.client_id is not None:
            del self._sessions[session.client_id]

    def place(self, session: Session, request: OrderRequest) -> None:
        """Place or modify an order."""
        instrument = request.instrument
        self.witness.order(
            session.line.number,
            request.client_id,
            request.order_id,
            what_if=False,
            order_ref=request.order_ref,
            con_id=instrument.con_id if instrument else None,
            symbol=instrument.symbol if instrument else None,
            action=request.action,
            quantity=request.quantity,
            order_type=request.order_type,
            limit_price=request.limit_price,
            tif=request.tif,
        )
        self.publish(self.broker.place(request))

    def cancel(self, session: Session, order_id: int) -> None:
        """Cancel an order of the session's client."""
        assert session.client_id is not None  # noqa: S101 - a request is only received after startApi
        self.witness.record("cancel", connection=session.line.number, client_id=session.client_id, order_id=order_id)
        self.publish(self.broker.cancel(session.client_id, order_id))

    def cancel_all(self, session: Session) -> None:
        """Cancel every order of every client."""
        self.witness.record("cancel", connection=session.line.number, client_id=session.client_id, order_id=None)
        self.publish(self.broker.cancel_all())

    def quote(self, instrument: Instrument) -> Quote:
        """Return the present quote of an instrument."""
        return self._market.quote(instrument, self.now().timestamp())

    def compute_bars(
        self, instrument: Instrument, end: float, duration: int, bar_seconds: int, done: Callable[[list[Bar]], None]
    ) -> None:
        """Compute historical bars beside the event loop, for they take up to a second, and hand them to ``done``."""

        async def compute() -> None:
            done(await asyncio.to_thread(lambda: list(self._market.bars(instrument, end, duration, bar_seconds))))

        self._start_task(compute())

    def publish(self, events: list[Event]) -> None:
        """Save the broker's state, then tell the clients: what a client was told, a restarted broker knows."""
        if not events:
            return
        self.broker.forget_finished()
        self._store.save(self.broker.changes())
        for event in events:
            self._witness_event(event)
            _log_event(event)
        for session in list(self._sessions.values()):
            session.tell(events)

    # --- the link to the broker -------------------------------------------------------------------------------------

    def lose_link(self) -> None:
        """Play the loss of the broker: no ticks, no fills, orders wait (1100)."""
        if self.broker.linked:
            self.broker.lose_link()
            self._notify(1100, "Connectivity between IBKR and Trader Workstation has been lost.")

    def restore_link(self) -> None:
        """Play the return of the broker, with data maintained (1102)."""
        if not self.broker.linked:
            text = "Connectivity between IBKR and Trader Workstation has been restored - data maintained."
            self._notify(1102, f"{text} All data farms are connected: usfarm; ushmds; secdefnj.")
            self.publish(self.broker.restore_link())

    def _notify(self, code: int, text: str) -> None:
        _logger.warning("broker link", extra={"code": code, "reason": text})
        for session in list(self._sessions.values()):
            session.notice(code, text)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        state = self._store.load()
        if state is None:
            self._store.save(self.broker.to_state())
            return
        try:
            self.broker.restore_state(state)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            reason = error if type(error) is ValueError else repr(error)
            raise StateError(f"{self._settings.state}: {reason}; move it away to start afresh") from error
        _logger.info(
            "state restored",
            extra={
                "working_orders": len(list(self.broker.working_orders())),
                "positions": len(self.broker.positions),
                "executions": len(self.broker.executions),
            },
        )

    def _connect(self) -> Line:
        self.witness.last_connection += 1
        return Line(self.witness.last_connection, self._attach)

    def _attach(self, line: Line) -> Session:
        self._lines.add(line)
        line.is_deaf = self._settings.fault == "silent"
        self.witness.record("connected", connection=line.number, peer=line.peer)
        return Session(self, line)

    def _witness_event(self, event: Event) -> None:
        match event:
            case Executed(execution):
                self._witness_fill(execution)
            case OrderChanged(order) if not order.is_working:
                self._witness_end(order)
            case OrderFailed(client_id, order_id, code, text) if (client_id, order_id) not in self.broker.orders:
                self.witness.record(
                    "order_end", client_id=client_id, order_id=order_id, status="Rejected", code=code, text=text
                )

    def _witness_fill(self, execution: Execution) -> None:
        self.witness.record(
            "fill",
            client_id=execution.client_id,
            order_id=execution.order_id,
            order_ref=execution.order_ref,
            perm_id=execution.perm_id,
            execution_id=execution.execution_id,
            side=execution.side,
            quantity=Decimal(execution.quantity),
            price=execution.price,
            commission=execution.commission,
            con_id=execution.con_id,
            symbol=self.catalogue[execution.con_id].symbol,
            broker_time=execution.time,
        )

    def _witness_end(self, order: Order) -> None:
        self.witness.record("order_end", client_id=order.client_id, order_id=order.order_id, status=order.status)

    # --- the control API --------------------------------------------------------------------------------------------

    def _routes(self) -> Routes:
        return {
            ("GET", "witness"): self._get_witness,
            ("GET", "state"): self._get_state,
        }

    def _get_witness(self, rest: str, query: dict[str, str], _body: Any) -> Any:
        if rest == "summary":
            return self.witness.summary()
        if rest:
            raise ControlError(f"/witness/{rest}: no such path, wanted /witness or /witness/summary")
        since, kind = query.get("since", "0"), query.get("kind")
        if not since.isdecimal():
            raise ControlError(f"since={since!r}: wanted the sequence number of an entry, or 0")
        entries = [entry for entry in self.witness.since(int(since)) if kind in (None, entry["kind"])]
        return {"last": len(self.witness.entries), "entries": entries}

    def _get_state(self, _rest: str, _query: dict[str, str], _body: Any) -> Any:
        valuation = self.broker.valuation()
        return {
            "account": self.broker.account,
            "cash": valuation.cash,
            "net_liquidation": valuation.net_liquidation,
            "linked": self.broker.linked,
            "now": self.now().isoformat(),
            "clients": [
                {"client_id": client_id, "peer": session.line.peer, "version": session.version}
                for client_id, session in sorted(self._sessions.items())
            ],
            "positions": {
                self.catalogue[position.con_id].symbol: position.quantity
                for position in self.broker.positions.values()
                if position.quantity
            },
            "working_orders": [order.to_json() for order in self.broker.working_orders()],
        }

    async def _run_market(self) -> None:
        """Match orders and send ticks, once per tick of the market."""
        loop = asyncio.get_running_loop()
        interval = 1 / self._settings.ticks_per_second
        due = loop.time()
        while True:
            # After a stall the clock goes on from now: missed ticks are not made up for.
            due = max(due + interval, loop.time())
            await asyncio.sleep(due - loop.time())
            if self.broker.linked:
                self.publish(self.broker.match())
                for session in list(self._sessions.values()):
                    session.tick()

    def _start_task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish_task)
        return task

    def _finish_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("task failed", exc_info=task.exception())


def _log_event(event: Event) -> None:
    match event:
        case OrderChanged(order):
            details: dict[str, object] = {"order_id": order.order_id, "client_id": order.client_id}
            details |= {"status": order.status, "filled": order.filled, "quantity": order.quantity}
            details |= {"action": order.action, "order_ref": order.order_ref}
            _logger.info("order", extra=details)
        case OrderFailed(client_id, order_id, code, text):
            _logger.info("order", extra={"order_id": order_id, "client_id": client_id, "code": code, "reason": text})
        case Executed(execution):
            details = {"order_id": execution.order_id, "client_id": execution.client_id}
            details |= {"execution_id": execution.execution_id, "side": execution.side}
            details |= {"quantity": execution.quantity, "price": str(execution.price)}
            _logger.info("execution", extra=details)
