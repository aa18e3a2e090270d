# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The newer dialect: from server version 201 on, more messages with every version have a protobuf body.

Such a message's number is that of its text edition plus 200. Requests are told apart by their number alone, so a client
may write either edition; a reply is written in protobuf from the server version on that ``_since`` names, and as text
below. ``ib.proto`` has the messages; in them, what is absent is unset.
"""

from __future__ import annotations

import functools
import struct
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Concatenate, ParamSpec, TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from . import ib_pb2 as ib
from . import requests
from .messages import NO_REQUEST, TextDialect
from .model import Bar, ContractQuery, Execution, Instrument, Order, Position, PositionValue, Quote
from .requests import Request
from .wire import UNSET_INTEGER, FieldError

# What is added to the number of a message whose body is protobuf.
OFFSET = 200

# The server versions from which on a group of messages is protobuf.
EXECUTIONS = 201
ORDERS = 203
ORDER_LISTS = 204
CONTRACTS = 205
MARKET_DATA = 206
ACCOUNTS = 207
HISTORY = 208
PNL = 210
COMMISSIONS = 211
REFERENCE_DATA = 212
SESSION = 213

_Arguments = ParamSpec("_Arguments")
_Reply = TypeVar("_Reply")
_Method = Callable[Concatenate["ProtobufDialect", _Arguments], _Reply]


def _since(version: int) -> Callable[[_Method[_Arguments, _Reply]], _Method[_Arguments, _Reply]]:
    """Let a method write its reply from ``version`` on, and leave it to the text dialect below."""

    def decorate(method: _Method[_Arguments, _Reply]) -> _Method[_Arguments, _Reply]:
        as_text: _Method[_Arguments, _Reply] = getattr(TextDialect, method.__name__)

        @functools.wraps(method)
        def choose(self: ProtobufDialect, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Reply:
            write = method if self.version >= version else as_text
            return write(self, *args, **kwargs)

        return choose

    return decorate


class ProtobufDialect(TextDialect):
    """Messages as text or protobuf, at one server version of 201 and above."""

    def decode(self, body: bytes) -> Request:
        """Return what a frame's body asks for; raises as the text dialect does."""
        message_id = int.from_bytes(body[:4], "big", signed=True) - OFFSET
        if len(body) < 4 or message_id <= 0:
            return super().decode(body)
        if message_id in _IGNORED:
            return requests.Ignored()
        if message_id in _DECODERS:
            message_type, decoder = _DECODERS[message_id]
            return decoder(_parse(message_type, body[4:]))
        return requests.NotServed(_request_id_of(message_id, body[4:]), f"message {message_id}")

    # --- session -----------------------------------------------------------------------------------------------------

    @_since(ORDERS)
    def error(self, request_id: int, code: int, text: str) -> bytes:
        """An error, a warning or a notice; ``request_id`` is -1 when it belongs to no request."""
        return _frame(4, ib.ErrorMessage(id=request_id, errorCode=code, errorMsg=text))

    @_since(ACCOUNTS)
    def managed_accounts(self, account: str) -> bytes:
        """The accounts of this login."""
        return _frame(15, ib.ManagedAccounts(accountsList=account))

    @_since(SESSION)
    def next_valid_id(self, order_id: int) -> bytes:
        """The lowest order id to use."""
        return _frame(9, ib.NextValidId(orderId=order_id))

    @_since(SESSION)
    def current_time(self, seconds: int) -> bytes:
        """The server's time in seconds since the epoch."""
        return _frame(49, ib.CurrentTime(currentTime=seconds))

    # --- account -----------------------------------------------------------------------------------------------------

    @_since(ACCOUNTS)
    def position(self, account: str, instrument: Instrument, held: Position) -> bytes:
        """One position."""
        return _frame(
            61,
            ib.Position(
                account=account,
                contract=_contract(instrument, instrument.primary_exchange),
                position=_decimal(held.quantity),
                avgCost=float(held.average_cost),
            ),
        )

    @_since(ACCOUNTS)
    def position_end(self) -> bytes:
        """The end of the list of positions."""
        return _frame(62, ib.PositionEnd())

    @_since(ACCOUNTS)
    def account_value(self, key: str, value: str, currency: str, account: str) -> bytes:
        """One value of the account."""
        return _frame(6, ib.AccountValue(key=key, value=value, currency=currency or None, accountName=account))

    @_since(ACCOUNTS)
    def portfolio_value(self, account: str, instrument: Instrument, value: PositionValue) -> bytes:
        """One position with its present value."""
        return _frame(
            7,
            ib.PortfolioValue(
                contract=_contract(instrument, instrument.primary_exchange),
                position=_decimal(value.position.quantity),
                marketPrice=float(value.price),
                marketValue=float(value.market_value),
                averageCost=float(value.position.average_cost),
                unrealizedPNL=float(value.unrealized),
                realizedPNL=float(value.position.realized),
                accountName=account,
            ),
        )

    @_since(ACCOUNTS)
    def account_time(self, now: datetime) -> bytes:
        """When the account values were made."""
        return _frame(8, ib.AccountUpdateTime(timeStamp=f"{now:%H:%M}"))

    @_since(ACCOUNTS)
    def account_download_end(self, account: str) -> bytes:
        """The end of the account values and portfolio."""
        return _frame(54, ib.AccountDataEnd(accountName=account))

    @_since(ACCOUNTS)
    def account_update_multi(self, request_id: int, account: str, key: str, value: str, currency: str) -> bytes:
        """One value of the account, by request."""
        message = ib.AccountUpdateMulti(reqId=request_id, account=account, key=key, value=value)
        if currency:
            message.currency = currency
        return _frame(73, message)

    @_since(ACCOUNTS)
    def account_update_multi_end(self, request_id: int) -> bytes:
        """The end of the account values of a request."""
        return _frame(74, ib.AccountUpdateMultiEnd(reqId=request_id))

    @_since(ACCOUNTS)
    def account_summary(self, request_id: int, account: str, tag: str, value: str, currency: str) -> bytes:
        """One tag of the account's summary."""
        message = ib.AccountSummary(reqId=request_id, account=account, tag=tag, value=value)
        if currency:
            message.currency = currency
        return _frame(63, message)

    @_since(ACCOUNTS)
    def account_summary_end(self, request_id: int) -> bytes:
        """The end of the account's summary."""
        return _frame(64, ib.AccountSummaryEnd(reqId=request_id))

    # --- instruments and prices --------------------------------------------------------------------------------------

    @_since(CONTRACTS)
    def contract_details(self, request_id: int, instrument: Instrument) -> bytes:
        """Everything about one instrument."""
        contract = _contract(instrument, instrument.valid_exchanges[0])
        if instrument.sec_type == "STK":
            contract.primaryExch = instrument.primary_exchange
        details = ib.ContractDetails(
            marketName=instrument.market_name,
            minTick=_decimal(instrument.min_tick),
            orderTypes="LMT,MKT",
            validExchanges=",".join(instrument.valid_exchanges),
            priceMagnifier=1,
            longName=instrument.long_name,
            industry=instrument.industry or None,
            category=instrument.category or None,
            timeZoneId="UTC",
            aggGroup=1,
            stockType=instrument.stock_type or None,
            minSize="1",
            sizeIncrement="1",
            suggestedSizeIncrement="1",
        )
        return _frame(10, ib.ContractData(reqId=request_id, contract=contract, contractDetails=details))

    @_since(CONTRACTS)
    def contract_details_end(self, request_id: int) -> bytes:
        """The end of the instruments that fit a request."""
        return _frame(52, ib.ContractDataEnd(reqId=request_id))

    @_since(MARKET_DATA)
    def market_data_type(self, request_id: int) -> bytes:
        """Says that the data of a subscription are live."""
        return _frame(58, ib.MarketDataType(reqId=request_id, marketDataType=1))

    @_since(MARKET_DATA)
    def tick_parameters(self, request_id: int, instrument: Instrument) -> bytes:
        """The first message of a subscription."""
        return _frame(
            81,
            ib.TickReqParams(
                reqId=request_id, minTick=_decimal(instrument.min_tick), bboExchange="9c0001", snapshotPermissions=3
            ),
        )

    @_since(MARKET_DATA)
    def close_price(self, request_id: int, quote: Quote) -> bytes:
        """The previous close."""
        return _tick_price(request_id, 9, quote.close, 0, 0)

    @_since(MARKET_DATA)
    def ticks(self, request_id: int, quote: Quote) -> list[bytes]:
        """One tick of the market: bid, ask, last, the time of the last trade and the day's volume."""
        return [
            _tick_price(request_id, 1, quote.bid, quote.bid_size, 1),
            _tick_price(request_id, 2, quote.ask, quote.ask_size, 1),
            _tick_price(request_id, 4, quote.last, quote.last_size, 0),
            _frame(46, ib.TickString(reqId=request_id, tickType=45, value=str(quote.time))),
            _frame(2, ib.TickSize(reqId=request_id, tickType=8, size=_decimal(quote.volume))),
        ]

    @_since(MARKET_DATA)
    def snapshot_end(self, request_id: int) -> bytes:
        """The end of a snapshot."""
        return _frame(57, ib.TickSnapshotEnd(reqId=request_id))

    @_since(HISTORY)
    def historical_data(
        self, request_id: int, bars: Iterable[Bar], start: int, end: int, as_epoch: bool, daily: bool
    ) -> bytes:
        """A request's bars, then their end; daily bars are dated by day whatever the format."""

        def label(seconds: int) -> str:
            moment = datetime.fromtimestamp(seconds, UTC)
            if daily:
                return f"{moment:%Y%m%d}"
            return str(seconds) if as_epoch else f"{moment:%Y%m%d %H:%M:%S} UTC"

        rows = [
            ib.HistoricalDataBar(
                date=label(bar.start),
                open=float(bar.open),
                high=float(bar.high),
                low=float(bar.low),
                close=float(bar.close),
                volume=_decimal(bar.volume),
                WAP=_decimal(bar.average),
                barCount=bar.count,
            )
            for bar in bars
        ]
        first, last = (f"{datetime.fromtimestamp(moment, UTC):%Y%m%d %H:%M:%S} UTC" for moment in (start, end))
        return _frame(17, ib.HistoricalData(reqId=request_id, historicalDataBars=rows)) + _frame(
            108, ib.HistoricalDataEnd(reqId=request_id, startDateStr=first, endDateStr=last)
        )

    # --- orders ------------------------------------------------------------------------------------------------------

    @_since(ORDERS)
    def order_status(self, order: Order) -> bytes:
        """Where an order stands."""
        return _frame(
            3,
            ib.OrderStatus(
                orderId=order.visible_id,
                status=order.status,
                filled=_decimal(order.filled),
                remaining=_decimal(order.remaining),
                avgFillPrice=float(order.average_fill_price),
                permId=order.perm_id,
                parentId=order.parent_id,
                lastFillPrice=float(order.last_fill_price),
                clientId=order.client_id,
                whyHeld=order.why_held or None,
                mktCapPrice=0,
            ),
        )

    @_since(ORDERS)
    def open_order(self, account: str, instrument: Instrument, order: Order) -> bytes:
        """An order's terms."""
        return _frame(
            5,
            ib.OpenOrder(
                orderId=order.visible_id,
                contract=_contract(instrument, order.exchange),
                order=_order(account, order),
                orderState=ib.OrderState(status=order.status),
            ),
        )

    @_since(ORDER_LISTS)
    def open_order_end(self) -> bytes:
        """The end of the list of open orders."""
        return _frame(53, ib.OpenOrdersEnd())

    @_since(ORDER_LISTS)
    def completed_orders_end(self) -> bytes:
        """The end of the list of completed orders."""
        return _frame(102, ib.CompletedOrdersEnd())

    @_since(EXECUTIONS)
    def execution_details(self, request_id: int, account: str, instrument: Instrument, execution: Execution) -> bytes:
        """One fill; ``request_id`` is -1 when it happened just now."""
        return _frame(
            11,
            ib.ExecutionDetails(
                reqId=request_id,
                contract=_contract(instrument, execution.exchange),
                execution=ib.Execution(
                    orderId=execution.order_id,
                    execId=execution.execution_id,
                    time=f"{datetime.fromisoformat(execution.time):%Y%m%d %H:%M:%S} UTC",
                    acctNumber=account,
                    exchange=execution.exchange,
                    side=execution.side,
                    shares=_decimal(execution.quantity),
                    price=float(execution.price),
                    permId=execution.perm_id,
                    clientId=execution.client_id,
                    isLiquidation=False,
                    cumQty=_decimal(execution.cumulative_quantity),
                    avgPrice=float(execution.average_price),
                    orderRef=execution.order_ref or None,
                    lastLiquidity=2,
                    isPriceRevisionPending=False,
                ),
            ),
        )

    @_since(EXECUTIONS)
    def execution_end(self, request_id: int) -> bytes:
        """The end of the executions that fit a request."""
        return _frame(55, ib.ExecutionDetailsEnd(reqId=request_id))

    @_since(COMMISSIONS)
    def commission_report(self, instrument: Instrument, execution: Execution) -> bytes:
        """What a fill cost and realized."""
        return _frame(
            59,
            ib.CommissionAndFeesReport(
                execId=execution.execution_id,
                commissionAndFees=float(execution.commission),
                currency=instrument.currency,
                realizedPNL=sys.float_info.max if execution.realized is None else float(execution.realized),
                bondYield=sys.float_info.max,
            ),
        )


def _frame(message_id: int, message: Message) -> bytes:
    body = message.SerializeToString()
    return struct.pack(">Ii", 4 + len(body), OFFSET + message_id) + body


def _decimal(number: Decimal | int) -> str:
    return format(number, "f") if isinstance(number, Decimal) else str(number)


def _double(number: Decimal | None) -> float | None:
    return None if number is None else float(number)


def _contract(instrument: Instrument, exchange: str) -> ib.Contract:
    return ib.Contract(
        conId=instrument.con_id,
        symbol=instrument.symbol,
        secType=instrument.sec_type,
        exchange=exchange or None,
        currency=instrument.currency,
        localSymbol=instrument.local_symbol,
        tradingClass=instrument.trading_class,
        lastTradeDateOrContractMonth=instrument.expiry or None,
        strike=float(instrument.strike) if instrument.strike else None,
        right=instrument.right or None,
        multiplier=float(instrument.multiplier) if instrument.is_derivative else None,
    )


def _order(account: str, order: Order) -> ib.Order:
    return ib.Order(
        clientId=order.client_id,
        orderId=order.visible_id,
        permId=order.perm_id,
        parentId=order.parent_id,
        action=order.action,
        totalQuantity=_decimal(order.quantity),
        orderType=order.order_type,
        lmtPrice=_double(order.limit_price or Decimal(0)),
        auxPrice=_double(order.aux_price or Decimal(0)),
        trailStopPrice=_double(order.trail_stop_price),
        trailingPercent=_double(order.trailing_percent),
        lmtPriceOffset=_double(order.limit_price_offset),
        tif=order.tif,
        goodTillDate=order.good_till_date or None,
        ocaGroup=order.oca_group or None,
        ocaType=order.oca_type,
        account=account,
        allOrNone=order.all_or_none or None,
        hidden=order.hidden or None,
        outsideRth=order.outside_rth or None,
        transmit=order.transmit or None,
        orderRef=order.order_ref or None,
        openClose=order.open_close or None,
        origin=order.origin,
        clearingIntent="IB",
    )


def _tick_price(request_id: int, tick_type: int, price: Decimal, size: Decimal | int, mask: int) -> bytes:
    return _frame(
        1,
        ib.TickPrice(reqId=request_id, tickType=tick_type, price=float(price), size=_decimal(size), attrMask=mask),
    )


# --- from the client -------------------------------------------------------------------------------------------------

# What a request that starts with it cannot be without: absent is not 0, which is a request or client of its own.
_IDS = frozenset({"reqId", "orderId", "clientId", "marketRuleId"})


def _parse(message_type: type[Message], body: bytes) -> Any:
    """Return the message. Raises FieldError when the bytes are none, or when its id is missing."""
    kind = message_type.DESCRIPTOR
    try:
        message = message_type.FromString(body)
    except DecodeError as error:
        raise FieldError(f"{len(body)} bytes are no {kind.name}: {error}") from None
    first = kind.fields[0].name if kind.fields else ""
    if first in _IDS and not message.HasField(first):
        raise FieldError(f"{first} is missing in a {kind.name}")
    return message


def _unknown_fields(message: Message) -> list[Any]:
    """Return what a message holds beyond its definition: each with field_number, wire_type and data."""
    fields = UnknownFieldSet(message)
    return [fields[index] for index in range(len(fields))]


def _request_id_of(message_id: int, body: bytes) -> int:
    """Return the request id of a message that is not known further: all but one have it as field 1, or have none."""
    if message_id == _REQUEST_FA:
        return NO_REQUEST
    numbers = [
        field.data
        for field in _unknown_fields(_parse(ib.PositionsRequest, body))
        if field.field_number == 1 and isinstance(field.data, int)
    ]
    return numbers[-1] if numbers and numbers[-1] < UNSET_INTEGER else NO_REQUEST


def _price(message: Message, name: str) -> Decimal | None:
    """Return a double as the decimal that its writer meant, None when it is unset. Raises FieldError."""
    number: float = getattr(message, name)
    if not message.HasField(name) or number == sys.float_info.max:
        return None
    price = Decimal(repr(number))
    if not price.is_finite():
        raise FieldError(f"{name} is {number}, wanted a number")
    return price


def _quantity(text: str) -> Decimal:
    """Return a decimal that came as text, 0 when it is empty. Raises FieldError."""
    try:
        number = Decimal(text or 0)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise FieldError(f"totalQuantity is {text[:40]!r}, wanted a number")
    return number


def _contract_query(contract: ib.Contract) -> ContractQuery:
    multiplier = _price(contract, "multiplier")
    return ContractQuery(
        con_id=contract.conId,
        symbol=contract.symbol,
        sec_type=contract.secType,
        exchange=contract.exchange,
        primary_exchange=contract.primaryExch,
        currency=contract.currency,
        local_symbol=contract.localSymbol,
        trading_class=contract.tradingClass,
        expiry=contract.lastTradeDateOrContractMonth,
        strike=_price(contract, "strike") or Decimal(0),
        right=contract.right,
        multiplier=format(multiplier.normalize(), "f") if multiplier else "",
    )


# Terms of an order that the simulator plays, or that change nothing that it plays.
_PLAYED = frozenset(
    {"action", "totalQuantity", "orderType", "lmtPrice", "tif", "account", "orderRef", "openClose", "origin"}
    | {"outsideRth", "hidden", "transmit", "clientId", "orderId", "permId"}
)
# What clients send of a term that they do not use, besides 0 and the empty text.
_UNUSED = {"exemptCode": -1}


def _unsupported(message: ib.PlaceOrderRequest) -> str:
    """Name what an order uses that the simulator does not play."""
    order = message.order
    names = [] if order.transmit else ["transmit=False"]
    for field, value in order.ListFields():
        name = field.name
        used = value.ByteSize() > 0 if isinstance(value, Message) else bool(value)
        if name not in _PLAYED and used and value != _UNUSED.get(name):
            names.append(name)
    names += [field.name for field, _value in message.attachedOrders.ListFields()]
    names += [f"field {field.field_number}" for field in _unknown_fields(order)]
    return ", ".join(names)


def _place_order(message: ib.PlaceOrderRequest) -> Request:
    order = message.order
    return requests.PlaceOrder(
        order_id=message.orderId,
        contract=_contract_query(message.contract),
        action=order.action,
        quantity=_quantity(order.totalQuantity),
        order_type=order.orderType,
        limit_price=_price(order, "lmtPrice"),
        tif=order.tif or "DAY",
        account=order.account,
        open_close=order.openClose,
        origin=order.origin,
        order_ref=order.orderRef,
        outside_rth=order.outsideRth,
        hidden=order.hidden,
        unsupported=_unsupported(message),
    )


def _executions(message: ib.ExecutionRequest) -> Request:
    wanted = message.executionFilter
    days = wanted.lastNDays if wanted.HasField("lastNDays") else UNSET_INTEGER
    return requests.RequestExecutions(
        message.reqId,
        wanted.clientId,
        wanted.acctCode,
        wanted.time,
        wanted.symbol,
        wanted.secType,
        wanted.exchange,
        wanted.side,
        None if days == UNSET_INTEGER else days,
        tuple(str(date) for date in wanted.specificDates),
    )


def _historical_data(message: ib.HistoricalDataRequest) -> Request:
    return requests.RequestHistoricalData(
        message.reqId,
        _contract_query(message.contract),
        message.endDateTime,
        message.barSizeSetting,
        message.duration,
        message.useRTH,
        message.whatToShow,
        message.formatDate,
        message.keepUpToDate,
    )


def _market_data(message: ib.MarketDataRequest) -> Request:
    return requests.RequestMarketData(
        message.reqId,
        _contract_query(message.contract),
        message.genericTickList,
        message.snapshot,
        message.regulatorySnapshot,
    )


def _real_time_bars(message: ib.RealTimeBarsRequest) -> Request:
    query = _contract_query(message.contract)
    return requests.RequestRealTimeBars(message.reqId, query, message.barSize, message.whatToShow, message.useRTH)


def _head_timestamp(message: ib.HeadTimestampRequest) -> Request:
    query = _contract_query(message.contract)
    return requests.RequestHeadTimestamp(message.reqId, query, message.useRTH, message.whatToShow, message.formatDate)


def _tick_by_tick(message: ib.TickByTickRequest) -> Request:
    query = _contract_query(message.contract)
    return requests.RequestTickByTick(message.reqId, query, message.tickType, message.numberOfTicks, message.ignoreSize)


def _historical_ticks(message: ib.HistoricalTicksRequest) -> Request:
    return requests.RequestHistoricalTicks(
        message.reqId,
        _contract_query(message.contract),
        message.startDateTime,
        message.endDateTime,
        message.numberOfTicks,
        message.whatToShow,
        message.useRTH,
        message.ignoreSize,
    )


def _option_parameters(message: ib.SecDefOptParamsRequest) -> Request:
    return requests.RequestOptionParameters(
        message.reqId,
        message.underlyingSymbol,
        message.futFopExchange,
        message.underlyingSecType,
        message.underlyingConId,
    )


def _account_updates_multi(message: ib.AccountUpdatesMultiRequest) -> Request:
    return requests.RequestAccountUpdatesMulti(message.reqId, message.account, message.modelCode, message.ledgerAndNLV)


def _numbered(make: type[requests.NumberedRequest]) -> Callable[[Any], Request]:
    """Return a decoder for a message of a request id alone."""
    return lambda message: make(message.reqId)


# Requests that end what is never begun, by the number of their text edition.
_IGNORED = frozenset({11, 23, 53, 56, 57, 70, 89, 101, 103})
# The one request whose field 1 is a number, but no request id.
_REQUEST_FA = 18

# By the number of their text edition: how a request is parsed, and what is made of it.
_DECODERS: dict[int, tuple[type[Message], Callable[[Any], Request]]] = {
    1: (ib.MarketDataRequest, _market_data),
    2: (ib.CancelMarketData, _numbered(requests.CancelMarketData)),
    3: (ib.PlaceOrderRequest, _place_order),
    4: (
        ib.CancelOrderRequest,
        lambda message: requests.CancelOrder(message.orderId, message.orderCancel.manualOrderCancelTime),
    ),
    5: (ib.OpenOrdersRequest, lambda _message: requests.RequestOpenOrders()),
    6: (
        ib.AccountDataRequest,
        lambda message: requests.RequestAccountUpdates(message.subscribe, message.acctCode),
    ),
    7: (ib.ExecutionRequest, _executions),
    8: (ib.IdsRequest, lambda _message: requests.RequestIds()),
    9: (
        ib.ContractDataRequest,
        lambda message: requests.RequestContractDetails(message.reqId, _contract_query(message.contract)),
    ),
    12: (ib.NewsBulletinsRequest, lambda _message: requests.RequestNewsBulletins()),
    13: (ib.CancelNewsBulletins, lambda _message: requests.CancelNewsBulletins()),
    14: (ib.SetServerLogLevelRequest, lambda message: requests.SetServerLogLevel(message.logLevel)),
    15: (ib.AutoOpenOrdersRequest, lambda message: requests.RequestAutoOpenOrders(message.autoBind)),
    16: (ib.AllOpenOrdersRequest, lambda _message: requests.RequestAllOpenOrders()),
    17: (ib.ManagedAccountsRequest, lambda _message: requests.RequestManagedAccounts()),
    20: (ib.HistoricalDataRequest, _historical_data),
    25: (ib.CancelHistoricalData, _numbered(requests.CancelHistoricalData)),
    49: (ib.CurrentTimeRequest, lambda _message: requests.RequestCurrentTime()),
    50: (ib.RealTimeBarsRequest, _real_time_bars),
    51: (ib.CancelRealTimeBars, _numbered(requests.CancelRealTimeBars)),
    58: (ib.GlobalCancelRequest, lambda _message: requests.CancelAllOrders()),
    59: (ib.MarketDataTypeRequest, lambda message: requests.RequestMarketDataType(message.marketDataType)),
    61: (ib.PositionsRequest, lambda _message: requests.RequestPositions()),
    62: (
        ib.AccountSummaryRequest,
        lambda message: requests.RequestAccountSummary(message.reqId, message.group, message.tags),
    ),
    63: (ib.CancelAccountSummary, _numbered(requests.CancelAccountSummary)),
    64: (ib.CancelPositions, lambda _message: requests.CancelPositions()),
    67: (ib.QueryDisplayGroupsRequest, _numbered(requests.QueryDisplayGroups)),
    71: (ib.StartApiRequest, lambda message: requests.StartApi(message.clientId)),
    74: (
        ib.PositionsMultiRequest,
        lambda message: requests.RequestPositionsMulti(message.reqId, message.account, message.modelCode),
    ),
    75: (ib.CancelPositionsMulti, _numbered(requests.CancelPositionsMulti)),
    76: (ib.AccountUpdatesMultiRequest, _account_updates_multi),
    77: (ib.CancelAccountUpdatesMulti, _numbered(requests.CancelAccountUpdatesMulti)),
    78: (ib.SecDefOptParamsRequest, _option_parameters),
    79: (ib.SoftDollarTiersRequest, _numbered(requests.RequestSoftDollarTiers)),
    80: (ib.FamilyCodesRequest, lambda _message: requests.RequestFamilyCodes()),
    81: (
        ib.MatchingSymbolsRequest,
        lambda message: requests.RequestMatchingSymbols(message.reqId, message.pattern),
    ),
    82: (ib.MarketDepthExchangesRequest, lambda _message: requests.RequestMarketDepthExchanges()),
    83: (
        ib.SmartComponentsRequest,
        lambda message: requests.RequestSmartComponents(message.reqId, message.bboExchange),
    ),
    85: (ib.NewsProvidersRequest, lambda _message: requests.RequestNewsProviders()),
    87: (ib.HeadTimestampRequest, _head_timestamp),
    90: (ib.CancelHeadTimestamp, _numbered(requests.CancelHeadTimestamp)),
    91: (ib.MarketRuleRequest, lambda message: requests.RequestMarketRule(message.marketRuleId)),
    92: (
        ib.PnLRequest,
        lambda message: requests.RequestPnl(message.reqId, message.account, message.modelCode),
    ),
    93: (ib.CancelPnL, _numbered(requests.CancelPnl)),
    94: (
        ib.PnLSingleRequest,
        lambda message: requests.RequestPnlSingle(message.reqId, message.account, message.modelCode, message.conId),
    ),
    95: (ib.CancelPnLSingle, _numbered(requests.CancelPnlSingle)),
    96: (ib.HistoricalTicksRequest, _historical_ticks),
    97: (ib.TickByTickRequest, _tick_by_tick),
    98: (ib.CancelTickByTick, _numbered(requests.CancelTickByTick)),
    99: (ib.CompletedOrdersRequest, lambda message: requests.RequestCompletedOrders(message.apiOnly)),
    104: (ib.UserInfoRequest, _numbered(requests.RequestUserInfo)),
    105: (ib.CurrentTimeInMillisRequest, lambda _message: requests.RequestCurrentTimeInMilliseconds()),
    106: (ib.CancelContractData, _numbered(requests.CancelContractDetails)),
    107: (ib.CancelHistoricalTicks, _numbered(requests.CancelHistoricalTicks)),
}
