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
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, Protocol

from ib_async import Contract, Order, OrderStatus, StartupFetchNONE

from . import log
from .config import LinkSettings
from .hours import ExchangeHours, Hours, HoursError, parse
from .ib import UNSET, IbSession, perm_id
from .model import (
    AccountValues,
    Execution,
    Instrument,
    OpenOrder,
    OrderReport,
    OrderRequest,
    Position,
    Side,
    Snapshot,
    Tick,
    utc_now,
)
from .pacing import Backoff, Pacer

SessionState = Literal[
    "unreachable", "no_handshake", "not_logged_in", "client_id_in_use", "broker_link_lost", "data_stale", "ready"
]
# In these the broker answers: it can be reconciled with, and orders can be cancelled. Only `ready` is for new orders.
USABLE_STATES: Final = frozenset[SessionState]({"data_stale", "ready"})

_FINISHED_ORDERS_KEPT_SECONDS: Final = 300.0
# A session that lasted so long was a good one: after it the pauses between attempts begin short again.
_STEADY_SECONDS: Final = 10.0
# How long it takes at most until a port that refused is tried again for nothing but whether it accepts.
_KNOCK_SECONDS: Final = 1.0
# Message codes of the IB API (TWS API, "Message Codes").
_CLIENT_ID_IN_USE: Final = 326
_BROKER_LINK_LOST: Final = {1100, 2110}
_BROKER_LINK_BACK_DATA_LOST: Final = 1101
_BROKER_LINK_BACK: Final = {_BROKER_LINK_BACK_DATA_LOST, 1102}
_SOCKET_RESET: Final = 1300
# Market data farms; the farm's name follows the last colon of the text. A farm that is merely inactive (2108) serves
# again when asked. History (2105) is nothing that an order needs: prices come from the market data farms.
_FARM_BROKEN: Final = 2103
_FARM_BACK: Final = {2104, 2108}
_HISTORY_BROKEN: Final = 2105
_NO_REQUEST: Final = -1
_ACCOUNT_VALUES: Final = {
    "NetLiquidation": "net_liquidation",
    "TotalCashValue": "cash",
    "MaintMarginReq": "maintenance_margin",
    "AvailableFunds": "available_funds",
}
# Told for each currency, and for all of them in the base currency under this one.
_LEDGER_VALUES: Final = {"UnrealizedPnL": "unrealized_pnl", "RealizedPnL": "realized_pnl"}
_BASE: Final = "BASE"


class Listener(Protocol):
    """Who is told what the broker says. Called in the event loop; must not block and must not raise."""

    def on_state(self, state: SessionState, reason: str) -> None: ...
    def on_session(self) -> None: ...
    def on_tick(self, tick: Tick) -> None: ...
    def on_order(self, report: OrderReport) -> None: ...
    def on_refused(self, order_ref: str, code: int, text: str) -> None:
        """The broker refused to cancel or to change an order; the order goes on as the broker has it."""

    def on_execution(self, execution: Execution) -> None: ...
    def on_commission(self, execution: Execution) -> None: ...
    def on_position(self, position: Position) -> None: ...
    def on_account(self, values: AccountValues) -> None: ...


class QuietListener:
    """A `Listener` that takes no note of anything: the base of those who need some of it only."""

    def on_state(self, state: SessionState, reason: str) -> None: ...

    def on_session(self) -> None: ...

    def on_tick(self, tick: Tick) -> None: ...

    def on_order(self, report: OrderReport) -> None: ...

    def on_refused(self, order_ref: str, code: int, text: str) -> None: ...

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
    sessions_not_understood: int
    attempts: int
    codes: Counter[int]
    clock_skew_seconds: float | None

    async def run(self, listener: Listener) -> None:
        """Keep a session until cancelled, telling the listener everything."""

    async def subscribe(self, instrument: Instrument) -> Instrument:
        """Start the ticks of an instrument and return it as the broker knows it. Raises the errors above."""

    async def exchange_hours(self, instrument: Instrument) -> ExchangeHours:
        """Return when the exchange of an instrument is open, as the broker words it. Raises the errors above."""

    async def look(self) -> Holdings:
        """Return what works and what is held in the account, whoever's client it is. Raises `LinkError`."""


class BrokerLink(BrokerWatch, Protocol):
    """What the engine needs of a broker; the tests have a second one."""

    async def snapshot(self, expected: Collection[str], *, anew: bool = False) -> Snapshot:
        """Return what the broker says of the account, surely of the ``expected`` order_refs. Raises `LinkError`.

        ``anew``: ask for the day's executions again, though later ones come by themselves: one may have got lost.
        """

    def forget_finished(self) -> None:
        """Drop what the session remembers of orders long finished; call it when the ledger has them."""

    def next_order_id(self) -> int:
        """Return the broker's id for the next order. Raises `LinkError`."""

    def place(self, order_ref: str, broker_order_id: int, request: OrderRequest) -> None:
        """Send an order. Raises `LinkError` when it certainly did not leave."""

    def order_wait(self) -> float:
        """Return the seconds until the pace allows another order; 0.0 when now."""

    def cancel(self, order_ref: str) -> bool:
        """Ask for an order to be cancelled; False when this session does not know it (yet). Raises `LinkError`."""

    def change(self, order_ref: str, request: OrderRequest) -> bool:
        """Ask for a working order to get other terms; False and `LinkError` as for a cancel."""


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


async def _accepts(address: GatewayAddress, timeout: float = 3.0) -> bool:
    """Tell whether connections are accepted; nothing is said, and the connection is closed again."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


class IbWatch:
    """One session after another that only watch, through ib_async: no way to an order leads through this class.

    Every session is a fresh IB object: nothing of a lost one can linger.
    """

    _READ_ONLY = True

    def __init__(
        self, address: GatewayAddress, client_id: int, account: str, settings: LinkSettings | None = None
    ) -> None:
        settings = settings or LinkSettings()
        self.state: SessionState = "unreachable"
        self.reason = "not tried yet"
        self.accounts: Sequence[str] = ()
        self.server_version: int | None = None
        self.connected_at: datetime | None = None
        self.sessions = 0
        self.sessions_not_understood = 0
        """How many were ended, by us, because of a message that could not be understood."""
        self.attempts = 0
        """How often a session was tried for."""
        self.codes: Counter[int] = Counter()
        """How often the gateway sent each message code."""
        self.clock_skew_seconds: float | None = None
        """How far the gateway's clock is ahead of ours, as of the newest heartbeat; its clock has whole seconds."""
        self._address = address
        self._client_id = client_id
        self._account = account
        self._listener: Listener | None = None
        self._settings = settings
        self._pacer = Pacer(settings.messages_per_second)
        self._ib: IbSession | None = None
        self._lost: asyncio.Event | None = None
        # Why the broker cannot be reached, empty when it can; and the text about each market data farm that is down.
        self._broker_lost = ""
        self._broken_farms: dict[str, str] = {}
        self._values = AccountValues()
        self._has_pnl = False
        self._contracts: dict[int, Contract] = {}
        self._subscribed: dict[int, Instrument] = {}
        # Later ones come by themselves; a new session, or a broker link that was away, asks for all of them again.
        self._executions_fetched = False
        # How often the broker link came back: an answer begun before that does not tell what happened meanwhile.
        self._absences = 0

    # -- the session

    async def run(self, listener: Listener) -> None:
        self._listener = listener
        backoff = Backoff(self._settings.backoff_first_seconds, self._settings.attempts_per_minute)
        while True:
            backoff.attempt()
            self.attempts += 1
            refused = False
            try:
                async with self._session() as (ib, lost):
                    began = time.monotonic()
                    listener.on_session()
                    await self._watch(ib, lost)
                    if time.monotonic() - began > _STEADY_SECONDS:
                        backoff.succeeded()
            except LinkError as error:
                log.debug("gateway_attempt_failed", reason=error)
                refused = self.state == "unreachable"
            # A log-in is a person's doing: nothing is gained by asking for it often.
            waits_for_person = self.state == "not_logged_in"
            settings = self._settings
            ceiling = settings.login_wait_seconds if waits_for_person else settings.backoff_limit_seconds
            pause = backoff.pause(ceiling)
            if refused:
                await self._await_port(pause, backoff.least)
            else:
                await asyncio.sleep(pause)

    async def _await_port(self, seconds: float, least: Callable[[], float]) -> None:
        """Wait so long, or until the port accepts and an attempt is allowed.

        A port that refuses is knocked at more often than sessions are tried for: whoever is behind it sees nothing of
        that, and it accepts one knock at most. Each knock is put off by chance, so clients do not come together.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            pause = random.uniform(_KNOCK_SECONDS / 2, _KNOCK_SECONDS)  # noqa: S311 jitter is no secret
            await asyncio.sleep(min(left, pause))
            if least() == 0.0 and deadline > time.monotonic() and await _accepts(self._address):
                return

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[IbSession, asyncio.Event]]:
        lost = asyncio.Event()
        codes: list[tuple[int, str]] = []

        def break_off(reason: str) -> None:
            self.sessions_not_understood += 1
            log.error("gateway_not_understood", reason=reason)
            self._set_state("no_handshake", f"{self._where} sent what is not of the IB API: {reason}")
            lost.set()

        ib = IbSession(self._pacer, self._on_refused, break_off)
        self._pacer.begin()

        def note(request_id: int, code: int, text: str, contract: Any) -> None:  # noqa: ARG001
            codes.append((code, text))

        ib.errorEvent += note
        ib.client.apiError += lambda message: lost.set()  # noqa: ARG005
        ib.disconnectedEvent += lost.set
        try:
            await self._connect(ib, lost, codes)
            ib.errorEvent -= note
            self._ib = ib
            self._lost = lost
            self.accounts = tuple(ib.client.getAccounts())
            self.server_version = ib.client.serverVersion()
            self.connected_at = utc_now()
            self.sessions += 1
            self._listen(ib)
            # A gateway without its broker, or without its data, says so once, in the burst that begins a session.
            for code, text in codes:
                self._note_service(code, text)
            self._judge_session()
            if self._account in self.accounts:
                ib.client.reqAccountUpdates(True, self._account)
                ib.reqPnL(self._account)
            yield ib, lost
        finally:
            self._ib = self._lost = None
            self.connected_at = None
            self._contracts.clear()
            self._subscribed.clear()
            self._broker_lost = ""
            self._broken_farms.clear()
            self._values = AccountValues()
            self._has_pnl = False
            self._executions_fetched = False
            self._pacer.clear()
            if ib.isConnected():
                # Whoever waits for an answer in a session that we end hears of it now, not after a time-out.
                ib.wrapper.connectionClosed()
            ib.disconnect()
        if not ib.broken:
            self._set_state("unreachable", f"the connection to {self._where} was lost")

    @property
    def _where(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    async def _connect(self, ib: IbSession, lost: asyncio.Event, codes: list[tuple[int, str]]) -> None:
        attempt = asyncio.ensure_future(
            ib.connectAsync(
                self._address.host,
                self._address.port,
                self._client_id,
                timeout=self._settings.connect_timeout_seconds,
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
        if ib.broken:
            raise LinkError(ib.broken)
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

    async def _watch(self, ib: IbSession, lost: asyncio.Event) -> None:
        """Return when the session is lost. A gateway that hangs keeps its socket open, so it is asked for the time."""
        settings = self._settings
        while not lost.is_set():
            try:
                async with asyncio.timeout(settings.heartbeat_seconds):
                    await lost.wait()
            except TimeoutError:
                try:
                    async with asyncio.timeout(settings.request_timeout_seconds):
                        their_time = await ib.reqCurrentTimeAsync()
                        self.clock_skew_seconds = (their_time - utc_now()).total_seconds()
                except (TimeoutError, ConnectionError):
                    log.warning("gateway_silent", seconds=settings.request_timeout_seconds)
                    return

    def _set_state(self, state: SessionState, reason: str) -> None:
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self._tell.on_state(state, reason)

    def _note_service(self, code: int, text: str) -> None:
        """Note what a message says of the broker and of the data farms."""
        farm = text.rpartition(":")[2].strip()
        if code in _BROKER_LINK_LOST:
            self._broker_lost = f"the gateway lost its link to the broker ({code}: {text})"
        elif code in _BROKER_LINK_BACK:
            self._broker_lost = ""
        elif code == _FARM_BROKEN:
            self._broken_farms[farm] = f"{code}: {text}"
        elif code in _FARM_BACK:
            self._broken_farms.pop(farm, None)
        elif code == _HISTORY_BROKEN:
            log.warning("history_unavailable", code=code, text=text)

    def _judge_session(self) -> None:
        if self._broker_lost:
            self._set_state("broker_link_lost", self._broker_lost)
        elif self._broken_farms:
            self._set_state("data_stale", "; ".join(self._broken_farms.values()))
        else:
            self._set_state("ready", "")

    @property
    def _tell(self) -> Listener:
        assert self._listener is not None  # noqa: S101 run() sets it before anything can be told
        return self._listener

    # -- what the broker says

    def _listen(self, ib: IbSession) -> None:
        ib.errorEvent += self._on_error
        ib.pendingTickersEvent += self._on_tickers
        ib.openOrderEvent += self._on_trade
        ib.orderStatusEvent += self._on_trade
        ib.execDetailsEvent += lambda trade, fill: self._on_fill(fill, self._tell.on_execution)  # noqa: ARG005
        ib.commissionReportEvent += lambda trade, fill, report: self._on_fill(  # noqa: ARG005
            fill, self._tell.on_commission
        )
        ib.positionEvent += self._on_position
        ib.accountValueEvent += self._on_account_value
        ib.pnlEvent += self._on_pnl

    def _on_error(self, request_id: int, code: int, text: str, contract: Any) -> None:  # noqa: ARG002
        self.codes[code] += 1
        self._note_service(code, text)
        if code in _BROKER_LINK_BACK:
            if code == _BROKER_LINK_BACK_DATA_LOST and self._ib:
                for con_id, instrument in self._subscribed.items():
                    log.info("resubscribe", symbol=instrument.symbol, code=code)
                    self._ib.cancelMktData(self._contracts[con_id])
                    self._ib.reqMktData(self._contracts[con_id])
            self._judge_session()
            self._executions_fetched = False
            self._absences += 1
            # Fills and cancels may have happened meanwhile: as after a new connection, reconcile before trading.
            self._tell.on_session()
        elif code in _BROKER_LINK_LOST or code == _FARM_BROKEN or code in _FARM_BACK:
            if self._ib:
                self._judge_session()
        elif code == _SOCKET_RESET and self._lost:
            log.warning("gateway_message", code=code, text=text)
            self._lost.set()
        else:
            # About a request of ours it tells why data do not come or an order does not work; the rest is chatter.
            tell = log.debug if request_id == _NO_REQUEST else log.info
            tell("gateway_message", request=request_id, code=code, text=text)

    def _on_tickers(self, tickers: Any) -> None:
        for ticker in tickers:
            instrument = self._subscribed.get(ticker.contract.conId)
            price = ticker.marketPrice()
            if instrument and math.isfinite(price) and price > 0:
                self._tell.on_tick(
                    Tick(instrument, float(price), utc_now(), _price_or_none(ticker.bid), _price_or_none(ticker.ask))
                )

    def _on_trade(self, trade: Any) -> None:
        if trade.order.orderRef:
            self._tell.on_order(_order_report(trade))

    def _on_refused(self, trade: Any, code: int, text: str) -> None:
        if trade.order.orderRef:
            self._tell.on_refused(trade.order.orderRef, code, text)

    def _on_account_value(self, value: Any) -> None:
        if value.account != self._account:
            return
        try:
            number = float(value.value)
        except ValueError:
            return
        if value.tag == "ExchangeRate":
            if value.currency != _BASE:
                self._tell_values(rates={**self._values.rates, value.currency: number})
        elif value.tag in _ACCOUNT_VALUES:
            self._tell_values(currency=value.currency, **{_ACCOUNT_VALUES[value.tag]: number})
        # The profit-and-loss subscription is newer: account values come every three minutes.
        elif value.tag in _LEDGER_VALUES and value.currency == _BASE and not self._has_pnl:
            self._tell_values(**{_LEDGER_VALUES[value.tag]: number})

    def _on_pnl(self, pnl: Any) -> None:
        if pnl.account == self._account:
            self._has_pnl = True
            self._tell_values(
                daily_pnl=_set_or_none(pnl.dailyPnL),
                unrealized_pnl=_set_or_none(pnl.unrealizedPnL),
                realized_pnl=_set_or_none(pnl.realizedPnL),
            )

    def _tell_values(self, **changed: Any) -> None:
        values = replace(self._values, **changed)
        if values != self._values:
            self._values = values
            self._tell.on_account(values)

    def _on_fill(self, fill: Any, tell: Callable[[Execution], None]) -> None:
        if fill.execution.acctNumber == self._account:
            tell(_execution(fill))

    def _on_position(self, position: Any) -> None:
        if position.account == self._account:
            self._tell.on_position(_position(position))

    # -- what the engine asks

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """End the session, and raise `LinkError`, when an answer has values that cannot be."""
        try:
            yield
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            reason = f"{what}: {type(error).__name__}: {error}"
            if self._ib is not None:
                self._ib.fail(reason)
            raise LinkError(reason) from error

    @property
    def _session_or_fail(self) -> IbSession:
        if self._ib is None or not self._ib.isConnected():
            raise LinkError(f"no session with the gateway at {self._where}: {self.reason}")
        return self._ib

    async def _answer(self, request: Any, what: str) -> Any:
        limit = self._settings.request_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                return await request
        except TimeoutError as error:
            raise LinkError(f"no answer to the request for {what} in {limit:g} s") from error
        except ConnectionError as error:
            raise LinkError(f"the connection broke during the request for {what}: {error}") from error

    async def subscribe(self, instrument: Instrument) -> Instrument:
        ib = self._session_or_fail
        contract = _contract(instrument)
        found = await self._answer(ib.qualifyContractsAsync(contract), "contract details")
        if not found or found[0] is None:
            raise UnknownInstrumentError(
                f"the broker has no single {instrument.security_type} {instrument.symbol} "
                f"on {instrument.exchange} in {instrument.currency}"
            )
        con_id = int(contract.conId)
        with self._reading("contract details"):
            known = replace(instrument, con_id=con_id, multiplier=_multiplier(contract))
        self._contracts[con_id] = contract
        if con_id not in self._subscribed:
            self._subscribed[con_id] = known
            ib.reqMktData(contract)
        return known

    async def exchange_hours(self, instrument: Instrument) -> ExchangeHours:
        ib = self._session_or_fail
        found = await self._answer(ib.reqContractDetailsAsync(_contract(instrument)), "contract details")
        if len(found) != 1:
            raise UnknownInstrumentError(f"the broker has {len(found)} contracts for {instrument.symbol}, wanted one")
        return ExchangeHours(found[0].timeZoneId, found[0].tradingHours, found[0].liquidHours)

    async def look(self) -> Holdings:
        """Return what works and what is held in the account, whoever's client it is. Raises `LinkError`."""
        ib = self._session_or_fail
        trades = await self._answer(ib.reqAllOpenOrdersAsync(), "all open orders")
        await self._answer(ib.reqPositionsAsync(), "positions")
        with self._reading("orders and positions"):
            return Holdings(
                tuple(_open_order(trade) for trade in trades if trade.order.account in ("", self._account)),
                tuple(_position(position) for position in ib.positions(self._account)),
            )


class IbLink(IbWatch):
    """`BrokerLink` through ib_async: watches, and trades."""

    _READ_ONLY = False

    async def snapshot(self, expected: Collection[str], *, anew: bool = False) -> Snapshot:
        ib = self._session_or_fail
        open_before = {id(trade) for trade in ib.openTrades() if perm_id(trade)}
        still_open = {id(trade) for trade in await self._answer(ib.reqOpenOrdersAsync(), "open orders")}
        if anew or not self._executions_fetched:
            absences = self._absences
            await self._answer(ib.reqExecutionsAsync(), "executions")
            self._executions_fetched = absences == self._absences
        gone = {id(trade) for trade in ib.openTrades() if id(trade) in open_before - still_open}

        def is_vouched_for(trade: Any) -> bool:
            # An order that the broker has neither acknowledged nor listed is only this session's own wish.
            return trade.isDone() or (id(trade) not in gone and bool(perm_id(trade) or id(trade) in still_open))

        known = {trade.order.orderRef for trade in ib.trades() if is_vouched_for(trade)}
        completed = []
        # The day's completed orders may be many: asked for only when they can tell something.
        if not known.issuperset(expected):
            completed = await self._answer(ib.reqCompletedOrdersAsync(False), "completed orders")
        await self._answer(ib.reqPositionsAsync(), "positions")
        # From here on nothing is awaited: these are the states of one moment.
        trades = [trade for trade in ib.trades() if is_vouched_for(trade)]
        with self._reading("orders, executions and positions"):
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

    def order_wait(self) -> float:
        return self._pacer.urgent_wait()

    def cancel(self, order_ref: str) -> bool:
        ib, trade = self._session_or_fail, self._working(order_ref)
        if trade is None:
            return False
        # Not through the library's own cancel: that would call the order cancelled before the broker does.
        ib.client.cancelOrder(trade.order.orderId, "")
        return True

    def change(self, order_ref: str, request: OrderRequest) -> bool:
        ib, trade = self._session_or_fail, self._working(order_ref)
        if trade is None:
            return False
        order = _order(request)
        order.orderId, order.clientId, order.permId = trade.order.orderId, trade.order.clientId, trade.order.permId
        order.orderRef, order.account = order_ref, self._account
        # As above: what the order is stays the broker's word.
        ib.client.placeOrder(order.orderId, trade.contract, order)
        return True

    def _working(self, order_ref: str) -> Any:
        trades = self._session_or_fail.openTrades()
        return next((trade for trade in trades if trade.order.orderRef == order_ref), None)


class IbEmergency(IbWatch):
    """A session that ends things: cancels every order there is and closes positions at the market."""

    _READ_ONLY = False

    def cancel_everything(self) -> None:
        """Ask for the end of every order of the login, whoever's it is. Raises `LinkError`."""
        self._session_or_fail.client.reqGlobalCancel()

    async def find_venue(self, position: Position) -> Hours | None:
        """Learn where a position can be closed, and return when; None where the broker does not tell hours.

        Raises `UnknownInstrumentError`, `LinkError`.
        """
        instrument = position.instrument
        asked = Contract(conId=instrument.con_id)
        found = await self._answer(self._session_or_fail.reqContractDetailsAsync(asked), "contract details")
        if not found:
            raise UnknownInstrumentError(f"the broker has no contract {instrument.con_id} ({instrument.symbol})")
        details = found[0]
        exchanges = str(details.validExchanges or "").split(",")
        contract = details.contract
        if "SMART" in exchanges:
            contract.exchange = "SMART"
        self._contracts[instrument.con_id] = contract
        # Stocks and options trade at the market in regular hours only; futures and currencies whenever they trade.
        regular = contract.secType in ("STK", "OPT")
        try:
            return parse(details.liquidHours if regular else details.tradingHours, details.timeZoneId)
        except HoursError as error:
            log.warning("exchange_hours_unknown", symbol=instrument.symbol, reason=error)
            return None

    def close(self, order_ref: str, position: Position) -> int:
        """Send the market order that closes a position whose venue is known; returns its id. Raises `LinkError`."""
        ib = self._session_or_fail
        contract = self._contracts.get(position.instrument.con_id)
        if contract is None:
            raise LinkError(f"the venue of {position.instrument.symbol} was not asked for in this session")
        order = Order(
            action="SELL" if position.quantity > 0 else "BUY",
            totalQuantity=abs(position.quantity),
            orderType="MKT",
            tif="DAY",
            outsideRth=contract.secType not in ("STK", "OPT"),
            orderRef=order_ref,
            account=self._account,
        )
        try:
            return int(ib.placeOrder(contract, order).order.orderId)
        except ConnectionError as error:
            raise LinkError(str(error)) from error


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
        # IB ignores it, with a warning (2109), for orders without a limit.
        order.outsideRth = request.outside_regular_hours
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


_SIDES: Final[dict[str, Side]] = {"BOT": "BUY", "SLD": "SELL"}


def _multiplier(contract: Any) -> float:
    return float(contract.multiplier or 1.0) or 1.0


def _order_report(trade: Any) -> OrderReport:
    notes = [entry for entry in trade.log if entry.errorCode]
    # The library logs the broker's warnings, such as 399, under this status: they are not why an order ended later.
    errors = [entry for entry in notes if entry.status != OrderStatus.ValidationError]
    return OrderReport(
        order_ref=trade.order.orderRef,
        status=trade.orderStatus.status,
        broker_order_id=int(trade.order.orderId),
        perm_id=perm_id(trade),
        client_id=int(trade.order.clientId),
        # A completed order comes without a status line of its own; its filled quantity is on the order.
        filled=max(float(trade.orderStatus.filled), _set_or_none(trade.order.filledQuantity) or 0.0),
        average_price=float(trade.orderStatus.avgFillPrice),
        error_code=int(errors[-1].errorCode) if errors else 0,
        message=notes[-1].message if notes else "",
        quantity=float(trade.order.totalQuantity) or None,
        limit_price=_set_or_none(trade.order.lmtPrice) if "LMT" in trade.order.orderType else None,
        stop_price=_set_or_none(trade.order.auxPrice) if trade.order.orderType in ("STP", "STP LMT") else None,
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
        side=_SIDES[execution.side],
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
    """Return None for the API's unset value, and for what the library has not been told (NaN)."""
    return float(value) if value < UNSET else None


def _price_or_none(value: float) -> float | None:
    return float(value) if 0 < value < UNSET else None
