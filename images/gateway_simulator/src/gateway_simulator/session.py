# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One client's conversation: handshake, requests and their answers, and the news it subscribed to."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from . import accounts, requests
from .hours import always_open_text
from .line import Line
from .market import SECONDS_PER_DAY
from .messages import LIVE, LOWEST_VERSION, NO_REQUEST, TextDialect, dialect_for, handshake
from .model import (
    Bar,
    Charged,
    ContractQuery,
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
    Quote,
    TickKind,
    Valuation,
)
from .requests import NumberedRequest, Request
from .wire import FieldError, WireError, parse_version_range

if TYPE_CHECKING:
    from .server import Simulator

MOST_BARS = 5000

LINK_DOWN = (2110, "Connectivity between Trader Workstation and server is broken. It will be restored automatically.")

PACED = (100, "Max rate of messages per second has been exceeded: max=50")
LOGGED_OUT = (504, "Not connected: the gateway is not logged in")

_logger = logging.getLogger(__name__)


class Session:
    """One connection. ``client_id`` is None until the client has started the API."""

    def __init__(self, simulator: Simulator, line: Line) -> None:
        self.client_id: int | None = None
        self.version = 0
        self.dialect = TextDialect(LOWEST_VERSION, simulator.now)
        self.line = line
        self._simulator = simulator
        self._follows_positions = False
        self._follows_account = False
        self._updates: set[int] = set()
        self._summaries: dict[int, frozenset[str]] = {}
        self._subscriptions: dict[int, Instrument] = {}

    def receive(self, body: bytes) -> None:
        """Take one frame: the range of versions first, then messages. Raises WireError when it is not the protocol."""
        if self.version:
            self._receive(body)
        else:
            self._shake_hands(body)

    def ended(self, why: str) -> None:
        """Learn that the connection is over."""
        self._log(logging.INFO, "connection ended", reason=why)
        self._simulator.forget(self, why)

    @property
    def instruments(self) -> set[Instrument]:
        """The instruments whose ticks the client subscribed to."""
        return set(self._subscriptions.values())

    # --- news -------------------------------------------------------------------------------------------------------

    def notice(self, code: int, text: str) -> None:
        """Tell the client something that belongs to no request."""
        self._send(self.dialect.error(NO_REQUEST, code, text))

    def tick(self) -> None:
        """Send the present quote of every subscription."""
        frames = []
        for request_id, instrument in self._subscriptions.items():
            if not self._simulator.faults.hides_ticks(instrument.symbol):
                frames += self._ticks(request_id, self._simulator.quote(instrument))
        self._send(*frames)

    def lose_data(self) -> None:
        """Forget the subscriptions to market data, as after 1101: the client has to ask again."""
        self._subscriptions.clear()

    def tell(self, events: Sequence[Event]) -> None:
        """Send what of ``events`` concerns this client: its own orders, and the account if it follows that."""
        frames: list[bytes] = []
        account_changed = False
        for event in events:
            match event:
                case OrderChanged(order) if order.client_id == self.client_id:
                    frames += self._order(order)
                case OrderFailed(client_id, order_id, code, text) if client_id == self.client_id:
                    frames.append(self.dialect.error(order_id, code, text))
                case Executed(execution) if execution.client_id == self.client_id:
                    frames.append(self._execution(NO_REQUEST, execution))
                case Charged(execution) if execution.client_id == self.client_id:
                    frames.append(self.dialect.commission_report(self._instrument(execution), execution))
                case PositionChanged(position):
                    account_changed = True
                    if self._follows_positions:
                        frames.append(self.dialect.position(self._account, self._instrument(position), position))
        if account_changed and (self._follows_account or self._updates or self._summaries):
            frames += self._account_news(self._simulator.broker.valuation())
        self._send(*frames)

    # --- conversation -----------------------------------------------------------------------------------------------

    def _shake_hands(self, body: bytes) -> None:
        lowest, highest = parse_version_range(body)
        if highest < LOWEST_VERSION:
            self.line.close(f"the client is too old: versions {lowest} to {highest}, wanted {LOWEST_VERSION}")
            return
        self.version = min(highest, self._simulator.server_version)
        self.dialect = dialect_for(self.version, self._simulator.gateway_time)
        self._send(handshake(self.version, self._simulator.gateway_time()))
        self._log(logging.DEBUG, "handshake", lowest=lowest, highest=highest, version=self.version)

    def _receive(self, body: bytes) -> None:
        try:
            request = self.dialect.decode(body)
        except FieldError as error:
            self._log(logging.WARNING, "request cannot be read", reason=str(error), body=repr(body[:80]))
            self.notice(320, f"Server error when reading an API client request: {error}")
            return
        self._log(logging.DEBUG, "received", request=repr(request))
        if self.client_id is not None:
            if self._simulator.faults.refuses_request(self.client_id):
                self.notice(*PACED)
                return
            if self._simulator.faults.is_logged_out and not isinstance(request, requests.RequestCurrentTime):
                self.notice(*LOGGED_OUT)
                return
            _HANDLERS.get(type(request), Session._refuse)(self, request)
        elif isinstance(request, requests.StartApi):
            self._start(request)
        else:
            raise WireError(f"{type(request).__name__} before StartApi")

    def _start(self, request: requests.StartApi) -> None:
        client_id = request.client_id
        if not self._simulator.admit(client_id, self):
            self.notice(326, "Unable to connect as the client id is already in use. Retry with a unique client id.")
            self.line.close(f"client id {client_id} is in use")
            return
        self.client_id = client_id
        self._log(logging.INFO, "client connected", version=self.version)
        if self._simulator.faults.is_logged_out:
            self._send(self.dialect.managed_accounts(""))
            self.notice(*LOGGED_OUT)
        else:
            self.welcome()

    def welcome(self) -> None:
        """Send what a client that has started the API waits for: its accounts and the first order id."""
        notices = self._simulator.faults.farm_notices if self._simulator.broker.linked else [LINK_DOWN]
        self._send(
            self.dialect.managed_accounts(self._account),
            self.dialect.next_valid_id(self._simulator.broker.next_order_id),
            *(self.dialect.error(NO_REQUEST, code, text) for code, text in notices),
        )

    def _refuse(self, request: Request) -> None:
        request_id = request.request_id if isinstance(request, NumberedRequest) else NO_REQUEST
        what = request.what if isinstance(request, requests.NotServed) else type(request).__name__
        self._fail(request_id, 322, f"Error processing request: {what} is not simulated")

    # --- requests: session ------------------------------------------------------------------------------------------

    def _ignore(self, _request: Request) -> None:
        """Accept a request that has no answer and no effect here."""

    def _request_ids(self, _request: Request) -> None:
        self._send(self.dialect.next_valid_id(self._simulator.broker.next_order_id))

    def _request_managed_accounts(self, _request: Request) -> None:
        self._send(self.dialect.managed_accounts(self._account))

    def _request_current_time(self, _request: Request) -> None:
        self._send(self.dialect.current_time(int(self._simulator.gateway_time().timestamp())))

    # --- requests: account ------------------------------------------------------------------------------------------

    def _request_positions(self, _request: Request) -> None:
        self._follows_positions = True
        held = (position for position in self._simulator.broker.positions.values() if position.quantity)
        self._send(
            *(self.dialect.position(self._account, self._instrument(position), position) for position in held),
            self.dialect.position_end(),
        )

    def _cancel_positions(self, _request: Request) -> None:
        self._follows_positions = False

    def _request_account_updates(self, request: requests.RequestAccountUpdates) -> None:
        if not self._is_ours(NO_REQUEST, request.account):
            return
        self._follows_account = request.subscribe
        if request.subscribe:
            valuation = self._simulator.broker.valuation()
            self._send(*self._account_download(valuation), self.dialect.account_download_end(self._account))

    def _request_account_updates_multi(self, request: requests.RequestAccountUpdatesMulti) -> None:
        request_id = request.request_id
        if not self._is_ours(request_id, request.account):
            return
        self._updates.add(request_id)
        valuation = self._simulator.broker.valuation()
        self._send(*self._updates_of(request_id, valuation), self.dialect.account_update_multi_end(request_id))

    def _cancel_account_updates_multi(self, request: NumberedRequest) -> None:
        self._updates.discard(request.request_id)

    def _request_account_summary(self, request: requests.RequestAccountSummary) -> None:
        request_id = request.request_id
        # The one account is in every group.
        self._summaries[request_id] = frozenset(request.tags.split(","))
        valuation = self._simulator.broker.valuation()
        self._send(*self._summary_of(request_id, valuation), self.dialect.account_summary_end(request_id))

    def _cancel_account_summary(self, request: NumberedRequest) -> None:
        self._summaries.pop(request.request_id, None)

    # --- requests: instruments and prices ---------------------------------------------------------------------------

    def _request_contract_details(self, request: requests.RequestContractDetails) -> None:
        request_id = request.request_id
        found = self._simulator.catalogue.find(request.contract)
        if not found:
            self._fail(request_id, 200, "No security definition has been found for the request")
            return
        always = always_open_text(time.time())
        self._send(
            *(
                self.dialect.contract_details(request_id, instrument, "LMT,MKT", "", (always, always))
                for instrument in found
            ),
            self.dialect.contract_details_end(request_id),
        )

    def _request_market_data(self, request: requests.RequestMarketData) -> None:
        request_id = request.request_id
        instrument = self._find_one(request_id, request.contract)
        if instrument is None:
            return
        if request_id in self._subscriptions:
            self._fail(request_id, 322, "Error processing request: Duplicate ticker id")
            return
        quote = self._simulator.quote(instrument)
        frames = [
            self.dialect.tick_parameters(request_id, instrument),
            self.dialect.market_data_type(request_id, LIVE),
            self.dialect.tick_price(request_id, TickKind.CLOSE, quote.close, 0),
            *self._ticks(request_id, quote),
        ]
        if request.snapshot:
            frames.append(self.dialect.snapshot_end(request_id))
        else:
            self._subscriptions[request_id] = instrument
        self._send(*frames)

    def _cancel_market_data(self, request: NumberedRequest) -> None:
        request_id = request.request_id
        if self._subscriptions.pop(request_id, None) is None:
            self._fail(request_id, 300, f"Can't find EId with tickerId:{request_id}")

    def _request_historical_data(self, request: requests.RequestHistoricalData) -> None:
        request_id = request.request_id
        instrument = self._find_one(request_id, request.contract)
        if instrument is None:
            return
        # The simulated market never closes, and has one price for all that can be shown.
        now = self._simulator.now()
        if self._simulator.faults.hides_history:
            self._fail(request_id, 162, "Historical Market Data Service error message:HMDS connection is broken")
            return
        try:
            end = min(parse_time(request.end) if request.end else now, now)
            bar_seconds, duration = parse_bar_size(request.bar_size), parse_duration(request.duration)
            if request.keep_up_to_date:
                raise ValueError("keeping bars up to date is not simulated")
            if duration > MOST_BARS * bar_seconds:
                raise ValueError(f"{duration // bar_seconds} bars, at most {MOST_BARS} are served at once")
        except ValueError as error:
            self._fail(request_id, 162, f"Historical Market Data Service error message:{error}")
            return

        def send(bars: list[Bar]) -> None:
            stop = int(end.timestamp())
            as_epoch, daily = request.date_format == 2, bar_seconds >= SECONDS_PER_DAY
            rows = [(_date(bar.start, as_epoch, daily), bar) for bar in bars]
            limits = (_date(stop - duration, False, False), _date(stop, False, False))
            self._send(*self.dialect.historical_data(request_id, rows, *limits))

        self._simulator.compute_bars(instrument, end.timestamp(), duration, bar_seconds, send)

    # --- requests: orders -------------------------------------------------------------------------------------------

    def _place_order(self, request: requests.PlaceOrder) -> None:
        assert self.client_id is not None  # noqa: S101 - a request is only received after startApi
        found = self._simulator.catalogue.find(request.contract)
        order = OrderRequest(
            client_id=self.client_id,
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
        self._simulator.place(self, order)

    def _cancel_order(self, request: requests.CancelOrder) -> None:
        assert self.client_id is not None  # noqa: S101 - a request is only received after startApi
        self._simulator.cancel(self, request.order_id)

    def _cancel_all_orders(self, _request: Request) -> None:
        self._simulator.cancel_all(self)

    def _request_open_orders(self, _request: Request) -> None:
        self._send_open_orders([order for order in self._working() if order.client_id == self.client_id])

    def _request_all_open_orders(self, _request: Request) -> None:
        self._send_open_orders(self._working())

    def _request_completed_orders(self, _request: Request) -> None:
        self._send(self.dialect.completed_orders_end())

    def _request_executions(self, request: requests.RequestExecutions) -> None:
        request_id = request.request_id
        try:
            earliest = f"{parse_time(request.since):%Y-%m-%dT%H:%M:%SZ}" if request.since else ""
        except ValueError as error:
            self._fail(request_id, 322, f"Error processing request: {error}")
            return
        sides = {"": ("BOT", "SLD"), "BUY": ("BOT",), "SELL": ("SLD",)}.get(request.side, ())
        today = f"{self._simulator.now():%Y-%m-%d}"
        frames = []
        for execution in self._simulator.broker.executions:
            instrument = self._instrument(execution)
            if (
                execution.time >= max(today, earliest)
                and request.client_id in (0, execution.client_id)
                and request.account in ("", self._account)
                and request.symbol in ("", instrument.symbol)
                and request.sec_type in ("", instrument.sec_type)
                and request.exchange in ("", "SMART", execution.exchange)
                and execution.side in sides
            ):
                frames.append(self._execution(request_id, execution))
                frames.append(self.dialect.commission_report(instrument, execution))
        self._send(*frames, self.dialect.execution_end(request_id))

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _account(self) -> str:
        return self._simulator.broker.account

    def _working(self) -> list[Order]:
        return list(self._simulator.broker.working_orders())

    def _instrument(self, entry: Order | Execution | Position) -> Instrument:
        return self._simulator.catalogue[entry.con_id]

    def _is_ours(self, request_id: int, account: str) -> bool:
        if account in ("", self._account):
            return True
        self._fail(request_id, 321, f"Error validating request: Invalid account code {account!r}")
        return False

    def _find_one(self, request_id: int, contract: ContractQuery) -> Instrument | None:
        found = self._simulator.catalogue.find(contract)
        if len(found) != 1:
            self._fail(request_id, 200, "No security definition has been found for the request")
            return None
        return found[0]

    def _fail(self, request_id: int, code: int, text: str) -> None:
        self._log(logging.INFO, "request refused", request_id=request_id, code=code, reason=text)
        self._send(self.dialect.error(request_id, code, text))

    def _order(self, order: Order) -> list[bytes]:
        instrument = self._instrument(order)
        return [self.dialect.open_order(self._account, instrument, order), self.dialect.order_status(order)]

    def _send_open_orders(self, orders: list[Order]) -> None:
        self._send(*(part for order in orders for part in self._order(order)), self.dialect.open_order_end())

    def _execution(self, request_id: int, execution: Execution) -> bytes:
        instrument = self._instrument(execution)
        return self.dialect.execution_details(request_id, self._account, instrument, execution)

    def _ticks(self, request_id: int, quote: Quote) -> list[bytes]:
        return [
            self.dialect.tick_price(request_id, TickKind.BID, quote.bid, quote.bid_size, 1),
            self.dialect.tick_price(request_id, TickKind.ASK, quote.ask, quote.ask_size, 1),
            self.dialect.tick_price(request_id, TickKind.LAST, quote.last, quote.last_size),
            self.dialect.tick_string(request_id, TickKind.LAST_TIME, str(quote.time)),
            self.dialect.tick_size(request_id, TickKind.VOLUME, quote.volume),
        ]

    def _account_news(self, valuation: Valuation) -> list[bytes]:
        frames = self._account_download(valuation) if self._follows_account else []
        for request_id in self._updates:
            frames += self._updates_of(request_id, valuation)
        for request_id in self._summaries:
            frames += self._summary_of(request_id, valuation)
        return frames

    def _account_download(self, valuation: Valuation) -> list[bytes]:
        return [
            *(self.dialect.account_value(*value, self._account) for value in accounts.account_values(valuation)),
            *(
                self.dialect.portfolio_value(self._account, self._instrument(value.position), value)
                for value in valuation.positions
            ),
            self.dialect.account_time(self._simulator.gateway_time()),
        ]

    def _updates_of(self, request_id: int, valuation: Valuation) -> list[bytes]:
        values = accounts.account_values(valuation)
        return [self.dialect.account_update_multi(request_id, self._account, *value) for value in values]

    def _summary_of(self, request_id: int, valuation: Valuation) -> list[bytes]:
        tags = self._summaries[request_id]
        ledger = accounts.ledger_values(valuation)
        wants_ledger = any(tag.startswith("$LEDGER") for tag in tags)
        values = [value for value in accounts.account_values(valuation) if value not in ledger and value[0] in tags]
        values += ledger if wants_ledger else []
        return [self.dialect.account_summary(request_id, self._account, *value) for value in values]

    def _send(self, *frames: bytes) -> None:
        if frames:
            self.line.write(b"".join(frames))

    def _log(self, level: int, text: str, **details: object) -> None:
        _logger.log(level, text, extra={"peer": self.line.peer, "client_id": self.client_id, **details})


_HANDLERS: dict[type[Request], Callable[[Session, Any], None]] = {
    requests.CancelAccountSummary: Session._cancel_account_summary,
    requests.CancelAccountUpdatesMulti: Session._cancel_account_updates_multi,
    requests.CancelAllOrders: Session._cancel_all_orders,
    requests.CancelHistoricalData: Session._ignore,  # they are sent at once
    requests.CancelMarketData: Session._cancel_market_data,
    requests.CancelOrder: Session._cancel_order,
    requests.CancelPositions: Session._cancel_positions,
    requests.Ignored: Session._ignore,
    requests.PlaceOrder: Session._place_order,
    requests.RequestAccountSummary: Session._request_account_summary,
    requests.RequestAccountUpdates: Session._request_account_updates,
    requests.RequestAccountUpdatesMulti: Session._request_account_updates_multi,
    requests.RequestAllOpenOrders: Session._request_all_open_orders,
    requests.RequestAutoOpenOrders: Session._ignore,  # there is no terminal that could place any
    requests.RequestCompletedOrders: Session._request_completed_orders,
    requests.RequestContractDetails: Session._request_contract_details,
    requests.RequestCurrentTime: Session._request_current_time,
    requests.RequestExecutions: Session._request_executions,
    requests.RequestHistoricalData: Session._request_historical_data,
    requests.RequestIds: Session._request_ids,
    requests.RequestManagedAccounts: Session._request_managed_accounts,
    requests.RequestMarketData: Session._request_market_data,
    requests.RequestMarketDataType: Session._ignore,  # the data are always live
    requests.RequestOpenOrders: Session._request_open_orders,
    requests.RequestPositions: Session._request_positions,
    requests.SetServerLogLevel: Session._ignore,
}


def _date(seconds: int, as_epoch: bool, daily: bool) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    if daily:
        return f"{moment:%Y%m%d}"
    return str(seconds) if as_epoch else f"{moment:%Y%m%d %H:%M:%S} UTC"


def parse_time(text: str) -> datetime:
    """Parse ``20261122 20:45:00``, ``20261122-20:45:00`` (UTC), or either with a time zone's name after a space.

    Raises ValueError that names the text and the wanted form.
    """
    match = re.fullmatch(r"(\d{8})[ -]+(\d\d:\d\d:\d\d)(?: (\S+))?", text)
    try:
        if match is None:
            raise ValueError
        day, time, zone = match.groups()
        # A name that is not in the time zone database raises ZoneInfoNotFoundError, a KeyError.
        moment = datetime.strptime(f"{day} {time}", "%Y%m%d %H:%M:%S").replace(tzinfo=ZoneInfo(zone) if zone else UTC)
    except (ValueError, KeyError):
        raise ValueError(f"time {text!r} is not YYYYMMDD-HH:MM:SS in UTC or with a time zone") from None
    return moment.astimezone(UTC)


def parse_bar_size(text: str) -> int:
    """Return the seconds of a bar size such as ``1 min`` or ``5 mins``. Raises ValueError."""
    units = {"sec": 1, "secs": 1, "min": 60, "mins": 60, "hour": 3600, "hours": 3600, "day": SECONDS_PER_DAY}
    return _parse_span(text, units, "bar size")


def parse_duration(text: str) -> int:
    """Return the seconds of a duration such as ``3600 S``, ``2 D``, ``1 W``, ``1 M`` or ``1 Y``. Raises ValueError."""
    days = {"D": 1, "W": 7, "M": 30, "Y": 365}
    units = {"S": 1, **{unit: count * SECONDS_PER_DAY for unit, count in days.items()}}
    return _parse_span(text, units, "duration")


def _parse_span(text: str, units: dict[str, int], what: str) -> int:
    match = re.fullmatch(r"(\d{1,6}) (\w+)", text)
    if match is None or match[2] not in units or not int(match[1]):
        raise ValueError(f"{what} {text!r} is not a number and one of {', '.join(units)}")
    return int(match[1]) * units[match[2]]
