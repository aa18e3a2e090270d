# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator: every client's session, the market's clock, and the link to the broker."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from .broker import Broker
from .control import ControlServer
from .faults import Faults, owner_of
from .line import Line
from .model import (
    Bar,
    Event,
    Executed,
    Execution,
    Instrument,
    OrderChanged,
    OrderFailed,
    OrderRequest,
    PositionChanged,
    Quote,
)
from .scenario import open_world
from .session import Session
from .settings import Settings
from .store import StateError, Store
from .terminal import Terminal
from .witness import Witness

CLOSE_SECONDS = 2.0

# Failures of a request that are not the end of an order: a duplicate order id, and what cannot be cancelled.
_NO_END = frozenset({103, 161, 10147, 10148})

_logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


class Simulator:
    """An IB API server on one port. Raises StateError or WitnessError when what was saved cannot be used."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self.now = clock
        self.server_version = settings.server_version
        self.world = open_world(settings, clock())
        self.catalogue = self.world.catalogue
        self._market = self.world.market()
        self.broker = Broker(
            self.world.account, self.catalogue, self.quote, clock, self.world.rules, self.world.hours, self.world.zone
        )
        self.settings = settings
        self._store = Store.at(settings.state, self.world.account)
        self._sessions: dict[int, Session] = {}
        self._lines: dict[Line, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.faults = Faults(self, settings.seed)
        self._control: ControlServer | None = None
        self._restore()
        self.over = asyncio.Event()
        """Set when it cannot go on."""
        self.failure: Exception | None = None
        """Why what happens cannot be saved any more."""
        self.witness = Witness(self._store.beside("witness.jsonl"))
        self.witness.record("simulator", event="started", account=self.broker.account)
        for execution in self.broker.executions:
            # The broker's books were saved and then the process was killed.
            if not self.witness.knows(execution.execution_id):
                self._witness_fill(execution)
        self.witness.on_failure = self.fail

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and let the market run in the task ``market``. Raises OSError when the port cannot be had."""
        # The port stays ours while nothing listens on it.
        self._address = _bind(self.settings.host, self.settings.port)
        self.port = int(self._address.getsockname()[1])
        await self._listen()
        if self.settings.control_port is not None:
            self._control = ControlServer(self.settings.control_host, self.settings.control_port, Terminal(self).routes)
        # Orders that waited for the broker when the simulator stopped go through now.
        self.publish(self.broker.restore_link())
        self.market = self._start_task(self._run_market())
        self.market.add_done_callback(lambda _task: self.over.set())
        for document in self.world.faults:
            self.faults.add(document)
        if self.settings.fault:
            self.faults.add({"fault": self.settings.fault})
        _logger.info(
            "listening",
            extra={
                "host": self.settings.host,
                "port": self.port,
                "control_port": self.control_port,
                "account": self.broker.account,
                "server_version": self.server_version,
                "fault": self.settings.fault,
            },
        )

    @property
    def is_listening(self) -> bool:
        """Tell whether connections are accepted."""
        return self._server is not None

    @property
    def control_port(self) -> int | None:
        """The port of the control API, None when it is off."""
        return self._control.port if self._control else None

    def fail(self, error: Exception) -> None:
        """End every connection at once: clients must not be told what a restarted simulator would not know."""
        if self.failure is not None:
            return
        self.failure = error
        _logger.critical("nothing can be saved", extra={"reason": str(error)})
        self.stop_listening()
        for line in list(self._lines):
            line.abort("nothing can be saved")
        self.over.set()

    async def stop(self) -> None:
        """Close the port and every connection, after what is waiting has been sent."""
        self.faults.stop()
        self.stop_listening()
        lines = self.close_connections("the simulator stops")
        if lines:
            await asyncio.wait([asyncio.create_task(line.wait_gone()) for line in lines], timeout=CLOSE_SECONDS)
        for line in list(self._lines):
            line.abort("the simulator stops")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._control is not None:
            await self._control.stop()
        self._address.close()
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
            self.faults.start(session.line, client_id)
        return admitted

    def forget(self, session: Session, why: str) -> None:
        """Take note that a session's connection is over."""
        self.witness.record("disconnected", connection=session.line.number, client_id=session.client_id, why=why)
        del self._lines[session.line]
        self.faults.forget(session.line)
        if session.client_id is not None:
            del self._sessions[session.client_id]

    def place(self, session: Session, request: OrderRequest) -> None:
        """Place or modify an order."""
        self._witness_order(session.line.number, request)
        if request.what_if:
            self.publish(self.broker.place(request))
            return
        if self.faults.begin_order(session.line, request):
            session.line.close("closed before the acknowledgement of an order")
        rejection = self.faults.reject(request)
        self.publish(self.broker.reject(request, *rejection) if rejection else self.broker.place(request))

    def place_by_hand(self, request: OrderRequest) -> tuple[int, int]:
        """Play an order made at the broker's own terminal; return its client id, which is 0, and its order id."""
        events = self.broker.place_by_hand(request)
        key = next((event.order.key for event in events if isinstance(event, OrderChanged)), (0, 0))
        self._witness_order(None, replace(request, client_id=key[0], order_id=key[1]))
        self.publish(events)
        return key

    def cancel_by_hand(self, perm_id: int) -> None:
        """Play a cancellation by the broker. Raises KeyError when there is no such working order."""
        self.publish(self.broker.cancel_by_perm_id(perm_id))

    def correct(self, execution_id: str, ticks: int) -> None:
        """Play the broker's correction of an execution's price, unless it is no longer of this day."""
        execution = next((each for each in self.broker.executions if each.execution_id == execution_id), None)
        if execution is not None:
            price = execution.price + ticks * self.catalogue[execution.con_id].min_tick
            self.publish(self.broker.correct(execution_id, price))

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

    def quote_at(self, instrument: Instrument, seconds: float) -> Quote:
        """Return the quote of an instrument at ``seconds`` since the epoch."""
        return self._market.quote(instrument, seconds)

    def bars(
        self, instrument: Instrument, end: float, duration: int, bar_seconds: int, regular_hours: bool
    ) -> list[Bar]:
        """Return the bars, oldest first, of the ``duration`` seconds up to ``end``; hundreds take a while."""
        return list(self._market.bars(instrument, end, duration, bar_seconds, regular_hours))

    def compute_bars(
        self,
        instrument: Instrument,
        end: float,
        duration: int,
        bar_seconds: int,
        regular_hours: bool,
        done: Callable[[list[Bar]], None],
    ) -> None:
        """Compute historical bars beside the event loop, for they take up to a second, and hand them to ``done``."""

        async def compute() -> None:
            done(await asyncio.to_thread(self.bars, instrument, end, duration, bar_seconds, regular_hours))

        self._start_task(compute())

    def publish(self, events: list[Event]) -> None:
        """Save the broker's state, then tell the clients: what a client was told, a restarted broker knows."""
        if not events or self.failure is not None:
            return
        self.broker.forget_finished()
        try:
            self._store.save(self.broker.changes())
        except StateError as error:
            self.fail(error)
            return
        reasons = {(event.client_id, event.order_id): event for event in events if isinstance(event, OrderFailed)}
        for event in events:
            self._witness_event(event, reasons)
            _log_event(event)
        owners = {owner[0] for owner in map(owner_of, events) if owner is not None}
        moves_account = any(isinstance(event, PositionChanged) for event in events)
        for client_id, session in list(self._sessions.items()):
            if client_id in owners or (moves_account and session.follows_account):
                self.faults.tell(session, events)
        self.faults.follow(events)

    # --- what faults do ---------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[tuple[Line, int | None]]:
        """Give every connection, with its client id once it has one."""
        for line, session in list(self._lines.items()):
            yield line, session.client_id

    def symbol(self, con_id: int) -> str:
        """Return the symbol of a contract id."""
        return self.catalogue[con_id].symbol

    def gateway_time(self) -> datetime:
        """Return the time by the gateway's own clock."""
        return self.now() + self.faults.clock_skew

    def listen(self) -> None:
        """Accept connections again."""
        self._start_task(self._listen())

    def stop_listening(self) -> None:
        """Refuse connections; those that exist stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def close_connections(self, why: str) -> list[Line]:
        """Close every connection and return them."""
        lines = list(self._lines)
        for line in lines:
            line.close(why)
        return lines

    def lose_link(self) -> None:
        """Lose the broker: no ticks, no fills, orders wait (1100)."""
        if self.broker.linked:
            self.broker.lose_link()
            self.notify(1100, "Connectivity between IBKR and Trader Workstation has been lost.")

    def restore_link(self, *, data_lost: bool = False) -> None:
        """Find the broker again, with market data maintained (1102) or lost until asked for again (1101)."""
        if self.broker.linked:
            return
        text = "Connectivity between IBKR and Trader Workstation has been restored - data "
        if data_lost:
            for session in self._sessions.values():
                session.lose_data()
            self.notify(1101, f"{text}lost. Please resubscribe.")
        else:
            self.notify(1102, f"{text}maintained. All data farms are connected: usfarm; ushmds; secdefnj.")
        self.publish(self.broker.restore_link())

    def log_in(self) -> None:
        """Be logged in again: clients that waited get their accounts."""
        for session in list(self._sessions.values()):
            session.welcome()

    def notify(self, code: int, text: str) -> None:
        """Tell every client something that belongs to no request."""
        _logger.warning("notice", extra={"code": code, "reason": text})
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
            raise StateError(f"{self.settings.state}: {reason}; move it away to start afresh") from error
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
        return Line(self.witness.last_connection, self._attach, self.faults.chance)

    async def _listen(self) -> None:
        listener = _bind(*self._address.getsockname()[:2])
        self._server = await asyncio.get_running_loop().create_server(self._connect, sock=listener)

    def _attach(self, line: Line) -> Session:
        self._lines[line] = session = Session(self, line)
        self.witness.record("connected", connection=line.number, peer=line.peer)
        self.faults.attach(line)
        return session

    def _witness_order(self, connection: int | None, request: OrderRequest) -> None:
        self.witness.order(
            connection,
            request.client_id,
            request.order_id,
            con_id=request.instrument.con_id if request.instrument else None,
            symbol=request.instrument.symbol if request.instrument else None,
            action=request.action,
            quantity=request.quantity,
            what_if=request.what_if,
            **request.terms,
        )

    def _witness_event(self, event: Event, reasons: dict[tuple[int, int], OrderFailed]) -> None:
        match event:
            case Executed(execution):
                self._witness_fill(execution)
            case OrderChanged(order) if not order.is_working:
                status = "Rejected" if order.status == "Inactive" else order.status
                self._witness_end(order.key, status, reasons.get(order.key))
            case OrderFailed(code=code) if code not in _NO_END:
                key = (event.client_id, event.order_id)
                if key not in self.broker.orders:
                    self._witness_end(key, "Rejected", event)

    def _witness_end(self, key: tuple[int, int], status: str, reason: OrderFailed | None) -> None:
        why = {"code": reason.code, "text": reason.text} if reason else {}
        self.witness.record("order_end", client_id=key[0], order_id=key[1], status=status, **why)

    def _witness_fill(self, execution: Execution) -> None:
        # The last part of an execution's id counts its editions.
        self.witness.record(
            "fill" if execution.execution_id.endswith(".01") else "correction",
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

    async def _run_market(self) -> None:
        """Match orders and send ticks, once per tick of the market."""
        loop = asyncio.get_running_loop()
        interval = 1 / self.settings.ticks_per_second
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


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket that has the port but does not listen. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _log_event(event: Event) -> None:
    match event:
        case OrderChanged(order):
            details: dict[str, object] = {"order_id": order.order_id, "client_id": order.client_id}
            details |= {"status": order.status, "filled": order.filled, "quantity": order.quantity}
            details |= {"action": order.action, "order_ref": order.order_ref}
            _logger.debug("order", extra=details)
        case OrderFailed(client_id, order_id, code, text):
            _logger.debug("order", extra={"order_id": order_id, "client_id": client_id, "code": code, "reason": text})
        case Executed(execution):
            details = {"order_id": execution.order_id, "client_id": execution.client_id}
            details |= {"execution_id": execution.execution_id, "side": execution.side}
            details |= {"quantity": execution.quantity, "price": str(execution.price)}
            _logger.debug("execution", extra=details)
