# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator: every client's session, the market's clock, and the link to the broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime

from .broker import Broker
from .contracts import LISTED
from .market import Market
from .model import Bar, Event, Executed, Instrument, OrderChanged, OrderFailed, Quote
from .session import Session
from .settings import Settings
from .store import StateError, Store

CLOSE_SECONDS = 2.0

_logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


class Simulator:
    """An IB API server on one port. Raises StateError when the saved state cannot be used."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self.now = clock
        self.server_version = settings.server_version
        self.catalogue = LISTED
        self.broker = Broker(settings.account, self.catalogue, self.quote, clock)
        self._settings = settings
        self._market = Market(settings.seed, settings.ticks_per_second)
        self._store = Store.at(settings.state)
        self._sessions: dict[int, Session] = {}
        self._connections: set[Session] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._restore()

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and let the market run in the task ``market``. Raises OSError when the port cannot be had."""
        serve = self._stay_silent if self._settings.fault == "silent" else self._serve
        self._server = await asyncio.start_server(serve, self._settings.host, self._settings.port)
        # Orders that waited for the broker when the simulator stopped go through now.
        self.publish(self.broker.restore_link())
        self.market = self._start_task(self._run_market())
        _logger.info(
            "listening",
            extra={
                "host": self._settings.host,
                "port": self.port,
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

    async def stop(self) -> None:
        """Close the port and every connection, after what is waiting has been sent."""
        if self._server is not None:
            self._server.close()
        connections = list(self._connections)
        for session in connections:
            session.close()
        if connections:
            await asyncio.wait(
                [asyncio.create_task(session.wait_closed()) for session in connections], timeout=CLOSE_SECONDS
            )
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _logger.info("stopped", extra={"clients": len(connections)})

    # --- what sessions ask ------------------------------------------------------------------------------------------

    def admit(self, client_id: int, session: Session) -> bool:
        """Give ``client_id`` to ``session``, unless another connection has it."""
        return self._sessions.setdefault(client_id, session) is session

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
        self._store.save(self.broker.to_state())
        for event in events:
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
            return
        try:
            if state["account"] != self.broker.account:
                raise ValueError(f"it belongs to account {state['account']}, wanted {self.broker.account}")
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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self, reader, writer)
        self._connections.add(session)
        try:
            await session.run()
        finally:
            self._connections.discard(session)
            if session.client_id is not None:
                del self._sessions[session.client_id]
                _logger.info("client disconnected", extra={"client_id": session.client_id})

    async def _stay_silent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play a gateway that hangs: take what comes and never answer."""
        while await reader.read(4096):
            pass
        writer.close()

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
