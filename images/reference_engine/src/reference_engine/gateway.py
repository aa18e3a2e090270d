# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The link to the broker: one session at a time with the trading client id, made again whenever it is lost.

All knowledge of ib_async is in this file; to the rest of the engine the broker speaks in the words of model.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import random
import struct
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, Protocol

from ib_async import IB, Contract, Order, OrderStatus, StartupFetchNONE

from . import log
from .model import (
    AccountValues,
    Execution,
    Instrument,
    OpenOrder,
    OrderReport,
    OrderRequest,
    Position,
    Snapshot,
    Tick,
    utc_now,
)

SessionState = Literal["unreachable", "no_handshake", "not_logged_in", "client_id_in_use", "broker_link_lost", "ready"]

_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_REQUEST_TIMEOUT_SECONDS: Final = 10.0
_HEARTBEAT_SECONDS: Final = 10.0
_BACKOFF_FIRST_SECONDS: Final = 0.5
_BACKOFF_LIMIT_SECONDS: Final = 15.0
_FINISHED_ORDERS_KEPT_SECONDS: Final = 300.0
# Message codes of the IB API (TWS API, "Message Codes").
_CLIENT_ID_IN_USE: Final = 326
_BROKER_LINK_LOST: Final = {1100, 2110}
_BROKER_LINK_BACK_DATA_LOST: Final = 1101
_BROKER_LINK_BACK: Final = {_BROKER_LINK_BACK_DATA_LOST, 1102}
_NO_REQUEST: Final = -1
_UNSET: Final = 1.7976931348623157e308


class Listener(Protocol):
    """Who is told what the broker says. Called in the event loop; must not block and must not raise."""

    def on_state(self, state: SessionState, reason: str) -> None: ...
    def on_session(self) -> None: ...
    def on_tick(self, tick: Tick) -> None: ...
    def on_order(self, report: OrderReport) -> None: ...
    def on_execution(self, execution: Execution) -> None: ...
    def on_commission(self, execution: Execution) -> None: ...
    def on_position(self, position: Position) -> None: ...
    def on_account(self, values: AccountValues) -> None: ...


class LinkError(Exception):
    """The broker did not answer, or there is no session."""


class UnknownInstrumentError(Exception):
    """The broker has no such instrument, or more than one."""


class BrokerWatch(Protocol):
    """What a standby needs of a broker: it sees everything and can send nothing."""

    state: SessionState
    reason: str
    accounts: Sequence[str]
    server_version: int | None
    connected_at: datetime | None
    sessions: int

    async def run(self, listener: Listener) -> None:
        """Keep a session until cancelled, telling the listener everything."""

    async def subscribe(self, instrument: Instrument) -> Instrument:
        """Start the ticks of an instrument and return it as the broker knows it. Raises the errors above."""

    async def look(self) -> Holdings:
        """Return what works and what is held in the account, whoever's client it is. Raises `LinkError`."""


class BrokerLink(BrokerWatch, Protocol):
    """What the engine needs of a broker; the tests have a second one."""

    async def snapshot(self, expected: Collection[str]) -> Snapshot:
        """Return what the broker says of the account, surely of the ``expected`` order_refs. Raises `LinkError`."""

    def forget_finished(self) -> None:
        """Drop what the session remembers of orders long finished; call it when the ledger has them."""

    def next_order_id(self) -> int:
        """Return the broker's id for the next order. Raises `LinkError`."""

    def place(self, order_ref: str, broker_order_id: int, request: OrderRequest) -> None:
        """Send an order. Raises `LinkError` when it certainly did not leave."""

    def cancel(self, order_ref: str) -> bool:
        """Ask for an order to be cancelled; False when this session does not know it (yet)."""


class Holdings(NamedTuple):
    """What a watcher sees of the account, whoever made it: the orders that work and the positions."""

    orders: tuple[OpenOrder, ...]
    positions: tuple[Position, ...]


@dataclass(frozen=True)
class GatewayAddress:
    host: str
    port: int


async def probe(address: GatewayAddress, timeout: float = 3.0) -> Literal["unreachable", "no_handshake", "handshake"]:
    """Say how far a gateway lets a client come, without using up a client id.

    Only the API's opening exchange (IB API, connection handshake) is done. A library's timeout looks the same for a
    forwarder with no gateway behind it, a gateway that is not logged in and a client id in use; this tells the first.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(address.host, address.port)
    except (OSError, TimeoutError):
        return "unreachable"
    try:
        async with asyncio.timeout(timeout):
            versions = b"v157..178"
            writer.write(b"API\0" + struct.pack(">I", len(versions)) + versions)
            (length,) = struct.unpack(">I", await reader.readexactly(4))
            if length > 1024:
                return "no_handshake"
            fields = (await reader.readexactly(length)).split(b"\0")
            return "handshake" if fields[0].isdigit() else "no_handshake"
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return "no_handshake"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class IbWatch:
    """One session after another that only watch, through ib_async: no way to an order leads through this class.

    Every session is a fresh IB object: nothing of a lost one can linger.
    """

    _READ_ONLY = True

    def __init__(self, address: GatewayAddress, client_id: int, account: str) -> None:
        self.state: SessionState = "unreachable"
        self.reason = "not tried yet"
        self.accounts: Sequence[str] = ()
        self.server_version: int | None = None
        self.connected_at: datetime | None = None
        self.sessions = 0
        self._address = address
        self._client_id = client_id
        self._account = account
        self._listener: Listener | None = None
        self._ib: IB | None = None
        self._contracts: dict[int, Contract] = {}
        self._subscribed: dict[int, Instrument] = {}
        # Later ones come by themselves; a new session, or a broker link that was away, asks for all of them again.
        self._executions_fetched = False
        # How often the broker link came back: an answer begun before that does not tell what happened meanwhile.
        self._absences = 0

    # -- the session

    async def run(self, listener: Listener) -> None:
        self._listener = listener
        delay = _BACKOFF_FIRST_SECONDS
        while True:
            try:
                async with self._session() as (ib, lost):
                    delay = _BACKOFF_FIRST_SECONDS
                    listener.on_session()
                    await self._watch(ib, lost)
            except LinkError as error:
                log.debug("gateway_attempt_failed", reason=error)
            pause = delay * random.uniform(0.5, 1.0)  # noqa: S311 jitter is no secret
            delay = min(delay * 2, _BACKOFF_LIMIT_SECONDS)
            await asyncio.sleep(pause)

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[IB, asyncio.Event]]:
        ib = IB()
        lost = asyncio.Event()
        codes: list[tuple[int, str]] = []

        def note(request_id: int, code: int, text: str, contract: Any) -> None:  # noqa: ARG001
            codes.append((code, text))

        ib.errorEvent += note
        ib.client.apiError += lambda message: lost.set()  # noqa: ARG005
        ib.disconnectedEvent += lost.set
        try:
            await self._connect(ib, lost, codes)
            ib.errorEvent -= note
            self._ib = ib
            self.accounts = tuple(ib.client.getAccounts())
            self.server_version = ib.client.serverVersion()
            self.connected_at = utc_now()
            self.sessions += 1
            self._listen(ib)
            # A gateway without its broker says so once, in the burst of messages that begins a session.
            link = [(code, text) for code, text in codes if code in _BROKER_LINK_LOST | _BROKER_LINK_BACK]
            if link and link[-1][0] in _BROKER_LINK_LOST:
                self._set_link_lost(*link[-1])
            else:
                self._set_state("ready", "")
            yield ib, lost
        finally:
            self._ib = None
            self.connected_at = None
            self._contracts.clear()
            self._subscribed.clear()
            self._executions_fetched = False
            ib.disconnect()
        self._set_state("unreachable", f"the connection to {self._where} was lost")

    @property
    def _where(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    async def _connect(self, ib: IB, lost: asyncio.Event, codes: list[tuple[int, str]]) -> None:
        attempt = asyncio.ensure_future(
            ib.connectAsync(
                self._address.host,
                self._address.port,
                self._client_id,
                timeout=_CONNECT_TIMEOUT_SECONDS,
                readonly=self._READ_ONLY,
                fetchFields=StartupFetchNONE,
            )
        )
        closed = asyncio.ensure_future(lost.wait())
        try:
            # The library waits out its timeout when the peer closes at once; the event comes right away.
            await asyncio.wait({attempt, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (attempt, closed):
                task.cancel()
            await asyncio.gather(attempt, closed, return_exceptions=True)
        # Asked only now: a session that was made may have been lost again by the time we hear of it.
        if ib.isConnected():
            return
        reached = await probe(self._address)
        in_use = [text for code, text in codes if code == _CLIENT_ID_IN_USE]
        if reached == "unreachable":
            self._set_state("unreachable", f"nothing accepts connections at {self._where}")
        elif reached == "no_handshake":
            self._set_state("no_handshake", f"{self._where} accepts connections but does not speak the IB API")
        elif in_use:
            self._set_state("client_id_in_use", f"{self._where} refuses client id {self._client_id}: {in_use[-1]}")
        else:
            self._set_state(
                "not_logged_in", f"the gateway at {self._where} answers but serves no account: is it logged in?"
            )
        raise LinkError(self.reason)

    async def _watch(self, ib: IB, lost: asyncio.Event) -> None:
        """Return when the session is lost. A gateway that hangs keeps its socket open, so it is asked for the time."""
        while not lost.is_set():
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await lost.wait()
            except TimeoutError:
                try:
                    async with asyncio.timeout(_REQUEST_TIMEOUT_SECONDS):
                        await ib.reqCurrentTimeAsync()
                except (TimeoutError, ConnectionError):
                    log.warning("gateway_silent", seconds=_REQUEST_TIMEOUT_SECONDS)
                    return

    def _set_state(self, state: SessionState, reason: str) -> None:
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self._tell.on_state(state, reason)

    def _set_link_lost(self, code: int, text: str) -> None:
        self._set_state("broker_link_lost", f"the gateway lost its link to the broker ({code}: {text})")

    @property
    def _tell(self) -> Listener:
        assert self._listener is not None  # noqa: S101 run() sets it before anything can be told
        return self._listener

    # -- what the broker says

    def _listen(self, ib: IB) -> None:
        ib.errorEvent += self._on_error
        ib.pendingTickersEvent += self._on_tickers
        ib.openOrderEvent += self._on_trade
        ib.orderStatusEvent += self._on_trade
        ib.execDetailsEvent += lambda trade, fill: self._on_fill(fill, self._tell.on_execution)  # noqa: ARG005
        ib.commissionReportEvent += lambda trade, fill, report: self._on_fill(  # noqa: ARG005
            fill, self._tell.on_commission
        )
        ib.positionEvent += self._on_position

    def _on_error(self, request_id: int, code: int, text: str, contract: Any) -> None:  # noqa: ARG002
        if code in _BROKER_LINK_LOST:
            self._set_link_lost(code, text)
        elif code in _BROKER_LINK_BACK:
            if code == _BROKER_LINK_BACK_DATA_LOST and self._ib:
                for con_id, instrument in self._subscribed.items():
                    log.info("resubscribe", symbol=instrument.symbol, code=code)
                    self._ib.cancelMktData(self._contracts[con_id])
                    self._ib.reqMktData(self._contracts[con_id])
            self._set_state("ready", "")
            self._executions_fetched = False
            self._absences += 1
            # Fills and cancels may have happened meanwhile: as after a new connection, reconcile before trading.
            self._tell.on_session()
        else:
            # About a request of ours it tells why data do not come or an order does not work; the rest is chatter.
            tell = log.debug if request_id == _NO_REQUEST else log.info
            tell("gateway_message", request=request_id, code=code, text=text)

    def _on_tickers(self, tickers: Any) -> None:
        for ticker in tickers:
            instrument = self._subscribed.get(ticker.contract.conId)
            price = ticker.marketPrice()
            if instrument and math.isfinite(price) and price > 0:
                self._tell.on_tick(Tick(instrument, float(price), utc_now()))

    def _on_trade(self, trade: Any) -> None:
        if trade.order.orderRef:
            self._tell.on_order(_order_report(trade))

    def _on_fill(self, fill: Any, tell: Callable[[Execution], None]) -> None:
        if fill.execution.acctNumber == self._account:
            tell(_execution(fill))

    def _on_position(self, position: Any) -> None:
        if position.account == self._account:
            self._tell.on_position(_position(position))

    # -- what the engine asks

    @property
    def _session_or_fail(self) -> IB:
        if self._ib is None or not self._ib.isConnected():
            raise LinkError(f"no session with the gateway at {self._where}: {self.reason}")
        return self._ib

    async def subscribe(self, instrument: Instrument) -> Instrument:
        ib = self._session_or_fail
        contract = _contract(instrument)
        found = await _answer(ib.qualifyContractsAsync(contract), "contract details")
        if not found or found[0] is None:
            raise UnknownInstrumentError(
                f"the broker has no single {instrument.security_type} {instrument.symbol} "
                f"on {instrument.exchange} in {instrument.currency}"
            )
        con_id = int(contract.conId)
        known = replace(instrument, con_id=con_id, multiplier=_multiplier(contract))
        self._contracts[con_id] = contract
        if con_id not in self._subscribed:
            self._subscribed[con_id] = known
            ib.reqMktData(contract)
        return known

    async def look(self) -> Holdings:
        """Return what works and what is held in the account, whoever's client it is. Raises `LinkError`."""
        ib = self._session_or_fail
        trades = await _answer(ib.reqAllOpenOrdersAsync(), "all open orders")
        await _answer(ib.reqPositionsAsync(), "positions")
        return Holdings(
            tuple(_open_order(trade) for trade in trades if trade.order.account in ("", self._account)),
            tuple(_position(position) for position in ib.positions(self._account)),
        )


class IbLink(IbWatch):
    """`BrokerLink` through ib_async: watches, and trades."""

    _READ_ONLY = False

    async def snapshot(self, expected: Collection[str]) -> Snapshot:
        ib = self._session_or_fail
        open_before = {id(trade) for trade in ib.openTrades() if _perm_id(trade)}
        still_open = {id(trade) for trade in await _answer(ib.reqOpenOrdersAsync(), "open orders")}
        if not self._executions_fetched:
            absences = self._absences
            await _answer(ib.reqExecutionsAsync(), "executions")
            self._executions_fetched = absences == self._absences
        gone = {id(trade) for trade in ib.openTrades() if id(trade) in open_before - still_open}

        def is_vouched_for(trade: Any) -> bool:
            # An order that the broker has neither acknowledged nor listed is only this session's own wish.
            return trade.isDone() or (id(trade) not in gone and bool(_perm_id(trade) or id(trade) in still_open))

        known = {trade.order.orderRef for trade in ib.trades() if is_vouched_for(trade)}
        completed = []
        # The day's completed orders may be many: asked for only when they can tell something.
        if not known.issuperset(expected):
            completed = await _answer(ib.reqCompletedOrdersAsync(False), "completed orders")
        await _answer(ib.reqPositionsAsync(), "positions")
        # From here on nothing is awaited: these are the states of one moment.
        trades = [trade for trade in ib.trades() if is_vouched_for(trade)]
        reports = {trade.order.orderRef: _order_report(trade) for trade in [*completed, *trades]}
        return Snapshot(
            orders=tuple(report for order_ref, report in reports.items() if order_ref),
            executions=tuple(_execution(fill) for fill in ib.fills() if fill.execution.acctNumber == self._account),
            positions=tuple(_position(position) for position in ib.positions(self._account)),
        )

    def forget_finished(self) -> None:
        if self._ib is None:
            return
        wrapper = self._ib.wrapper
        limit = datetime.fromtimestamp(time.time() - _FINISHED_ORDERS_KEPT_SECONDS, UTC)
        for key, trade in list(wrapper.trades.items()):
            if trade.isDone() and (not trade.log or trade.log[-1].time < limit):
                del wrapper.trades[key]
                wrapper.permId2Trade.pop(trade.order.permId, None)
        for exec_id, fill in list(wrapper.fills.items()):
            # The library drops the commission of a fill that it does not remember.
            if fill.time < limit and fill.commissionReport.execId:
                del wrapper.fills[exec_id]
        # The library's orders are circles of references: left to the interpreter's own pace they pile up to megabytes.
        gc.collect()

    def next_order_id(self) -> int:
        return int(self._session_or_fail.client.getReqId())

    def place(self, order_ref: str, broker_order_id: int, request: OrderRequest) -> None:
        ib = self._session_or_fail
        contract = self._contracts.get(request.instrument.con_id)
        if contract is None:
            raise LinkError(f"{request.instrument.symbol} is not subscribed in this session")
        order = _order(request)
        order.orderId = broker_order_id
        order.orderRef = order_ref
        order.account = self._account
        try:
            ib.placeOrder(contract, order)
        except ConnectionError as error:
            raise LinkError(str(error)) from error

    def cancel(self, order_ref: str) -> bool:
        for trade in self._session_or_fail.openTrades():
            if trade.order.orderRef == order_ref:
                self._session_or_fail.cancelOrder(trade.order)
                return True
        return False


async def _answer(request: Any, what: str) -> Any:
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT_SECONDS):
            return await request
    except TimeoutError as error:
        raise LinkError(f"no answer to the request for {what} in {_REQUEST_TIMEOUT_SECONDS:g} s") from error
    except ConnectionError as error:
        raise LinkError(f"the connection broke during the request for {what}: {error}") from error


def _contract(instrument: Instrument) -> Contract:
    return Contract(
        conId=instrument.con_id,
        symbol=instrument.symbol,
        secType=instrument.security_type,
        exchange=instrument.exchange,
        currency=instrument.currency,
        primaryExchange=instrument.primary_exchange,
        lastTradeDateOrContractMonth=instrument.expiry,
    )


def _order(request: OrderRequest) -> Order:
    """Return the library's order. IB keeps a stop's price and a trail's distance in one field, auxPrice."""
    order = Order(
        action=request.side, totalQuantity=request.quantity, orderType=request.order_type, tif=request.time_in_force
    )
    if request.limit_price is not None:
        order.lmtPrice = request.limit_price
    if request.order_type == "TRAIL":
        if request.stop_price is not None:
            order.trailStopPrice = request.stop_price
        if request.trail_percent is not None:
            order.trailingPercent = request.trail_percent
        else:
            order.auxPrice = request.trail_amount
    elif request.stop_price is not None:
        order.auxPrice = request.stop_price
    return order


def _instrument(contract: Any) -> Instrument:
    return Instrument(
        symbol=contract.symbol,
        security_type=contract.secType,
        exchange=contract.exchange,
        currency=contract.currency,
        primary_exchange=contract.primaryExchange,
        expiry=contract.lastTradeDateOrContractMonth,
        con_id=int(contract.conId),
        multiplier=_multiplier(contract),
    )


def _multiplier(contract: Any) -> float:
    return float(contract.multiplier or 1.0) or 1.0


def _perm_id(trade: Any) -> int:
    return int(trade.order.permId or trade.orderStatus.permId)


def _order_report(trade: Any) -> OrderReport:
    notes = [entry for entry in trade.log if entry.errorCode]
    # The library logs the broker's warnings, such as 399, under this status: they are not why an order ended later.
    errors = [entry for entry in notes if entry.status != OrderStatus.ValidationError]
    return OrderReport(
        order_ref=trade.order.orderRef,
        status=trade.orderStatus.status,
        broker_order_id=int(trade.order.orderId),
        perm_id=_perm_id(trade),
        client_id=int(trade.order.clientId),
        # A completed order comes without a status line of its own; its filled quantity is on the order.
        filled=max(float(trade.orderStatus.filled), _set_or_none(trade.order.filledQuantity) or 0.0),
        average_price=float(trade.orderStatus.avgFillPrice),
        error_code=int(errors[-1].errorCode) if errors else 0,
        message=notes[-1].message if notes else "",
    )


def _open_order(trade: Any) -> OpenOrder:
    order = trade.order
    return OpenOrder(
        order_ref=order.orderRef,
        con_id=int(trade.contract.conId),
        status="submitted",
        symbol=trade.contract.symbol,
        side=order.action,
        quantity=float(order.totalQuantity),
        filled=float(trade.orderStatus.filled),
        limit_price=_set_or_none(order.lmtPrice),
    )


def _execution(fill: Any) -> Execution:
    execution, report = fill.execution, fill.commissionReport
    reported = bool(report.execId)
    return Execution(
        exec_id=execution.execId,
        order_ref=execution.orderRef,
        perm_id=int(execution.permId),
        client_id=int(execution.clientId),
        broker_order_id=int(execution.orderId),
        account=execution.acctNumber,
        instrument=_instrument(fill.contract),
        exchange=execution.exchange,
        side="BUY" if execution.side == "BOT" else "SELL",
        quantity=float(execution.shares),
        price=float(execution.price),
        executed_at=execution.time,
        commission=_set_or_none(report.commission) if reported else None,
        commission_currency=(report.currency or None) if reported else None,
        realized_pnl=_set_or_none(report.realizedPNL) if reported else None,
    )


def _position(position: Any) -> Position:
    return Position(position.account, _instrument(position.contract), float(position.position), float(position.avgCost))


def _set_or_none(value: float) -> float | None:
    return None if value >= _UNSET else float(value)
