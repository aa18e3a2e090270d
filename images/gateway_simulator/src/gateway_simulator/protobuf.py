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
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Concatenate, ParamSpec, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from . import ib_pb2 as ib
from . import requests
from .messages import NO_REQUEST, TextDialect
from .model import (
    Bar,
    ContractQuery,
    Execution,
    Instrument,
    MarginChange,
    OptionParameters,
    Order,
    Pnl,
    Position,
    PositionValue,
    Quote,
)
from .requests import Request
from .terms import order_fields, read_order
from .wire import UNSET_DOUBLE, UNSET_INTEGER, FieldError, Value, encode_field, parse_decimal

# Values that a message goes without.
_UNSET = frozenset({"", "None", UNSET_DOUBLE})

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
NEWS = 209
PNL = 210
COMMISSIONS = 211
REFERENCE_DATA = 212
SESSION = 213

_Arguments = ParamSpec("_Arguments")
_Reply = TypeVar("_Reply")
_Message = TypeVar("_Message", bound=Message)
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
    def error(self, request_id: int, code: int, text: str, reject_json: str = "") -> bytes:
        """An error, a warning or a notice; ``request_id`` is -1 when it belongs to no request."""
        return _frame(
            4,
            ib.ErrorMessage(
                id=request_id,
                errorTime=int(self.clock().timestamp() * 1000),
                errorCode=code,
                errorMsg=text,
                advancedOrderRejectJson=reject_json or None,
            ),
        )

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

    @_since(SESSION)
    def current_time_in_milliseconds(self, milliseconds: int) -> bytes:
        """The server's time in milliseconds since the epoch."""
        return _frame(109, ib.CurrentTimeInMillis(currentTimeInMillis=milliseconds))

    @_since(REFERENCE_DATA)
    def family_codes(self, accounts: Sequence[str]) -> bytes:
        """The accounts' family codes: none has one."""
        return _frame(78, ib.FamilyCodes(familyCodes=[ib.FamilyCode(accountId=account) for account in accounts]))

    @_since(REFERENCE_DATA)
    def user_info(self, request_id: int) -> bytes:
        """The user's white branding: none."""
        return _frame(107, ib.UserInfo(reqId=request_id))

    @_since(REFERENCE_DATA)
    def soft_dollar_tiers(self, request_id: int) -> bytes:
        """The soft dollar tiers: none."""
        return _frame(77, ib.SoftDollarTiers(reqId=request_id))

    @_since(NEWS)
    def news_providers(self) -> bytes:
        """The news providers: none."""
        return _frame(85, ib.NewsProviders())

    @_since(SESSION)
    def market_depth_exchanges(self) -> bytes:
        """The exchanges that offer market depth: none."""
        return _frame(80, ib.MarketDepthExchanges())

    @_since(SESSION)
    def display_groups(self, request_id: int) -> bytes:
        """The display groups of the terminal: none."""
        return _frame(67, ib.DisplayGroupList(reqId=request_id))

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
    def position_multi(self, request_id: int, account: str, instrument: Instrument, held: Position) -> bytes:
        """One position, by request."""
        return _frame(
            71,
            ib.PositionMulti(
                reqId=request_id,
                account=account,
                contract=_contract(instrument, instrument.primary_exchange),
                position=_decimal(held.quantity),
                avgCost=float(held.average_cost),
            ),
        )

    @_since(ACCOUNTS)
    def position_multi_end(self, request_id: int) -> bytes:
        """The end of the positions of a request."""
        return _frame(72, ib.PositionMultiEnd(reqId=request_id))

    @_since(ACCOUNTS)
    def account_value(self, key: str, value: str, currency: str, account: str) -> bytes:
        """One value of the account."""
        return _frame(6, ib.AccountValue(key=key, value=value, currency=currency or None, accountName=account))

    @_since(ACCOUNTS)
    def portfolio_value(self, account: str, instrument: Instrument, value: PositionValue) -> bytes:
        """One position with its present value."""
        contract = _contract(instrument, "")
        contract.primaryExch = instrument.primary_exchange
        return _frame(
            7,
            ib.PortfolioValue(
                contract=contract,
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

    @_since(PNL)
    def pnl(self, request_id: int, pnl: Pnl) -> bytes:
        """The account's profit and loss."""
        return _frame(
            94,
            ib.PnL(
                reqId=request_id,
                dailyPnL=float(pnl.daily),
                unrealizedPnL=float(pnl.unrealized),
                realizedPnL=float(pnl.realized),
            ),
        )

    @_since(PNL)
    def pnl_single(self, request_id: int, value: PositionValue) -> bytes:
        """One position's profit and loss."""
        pnl = value.pnl
        return _frame(
            95,
            ib.PnLSingle(
                reqId=request_id,
                position=_decimal(value.position.quantity),
                dailyPnL=float(pnl.daily),
                unrealizedPnL=float(pnl.unrealized),
                realizedPnL=float(pnl.realized),
                value=float(value.market_value),
            ),
        )

    # --- instruments -------------------------------------------------------------------------------------------------

    @_since(CONTRACTS)
    def contract_details(
        self, request_id: int, instrument: Instrument, order_types: str, rules: str, hours: tuple[str, str]
    ) -> bytes:
        """Everything about one instrument; ``hours`` are the trading hours and the liquid hours of the next days."""
        contract = _contract(instrument, instrument.valid_exchanges[0])
        if instrument.sec_type == "STK":
            contract.primaryExch = instrument.primary_exchange
        if instrument.is_derivative:
            contract.lastTradeDate = instrument.expiry
        details = ib.ContractDetails(
            marketName=instrument.market_name,
            minTick=_decimal(instrument.min_tick),
            orderTypes=order_types,
            validExchanges=",".join(instrument.valid_exchanges),
            priceMagnifier=1,
            longName=instrument.long_name,
            industry=instrument.industry or None,
            category=instrument.category or None,
            underConId=instrument.under_con_id or None,
            underSymbol=instrument.under_symbol or None,
            underSecType=instrument.under_sec_type or None,
            contractMonth=instrument.contract_month or None,
            realExpirationDate=instrument.expiry or None,
            marketRuleIds=rules or None,
            timeZoneId=instrument.time_zone,
            tradingHours=hours[0] or None,
            liquidHours=hours[1] or None,
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

    @_since(REFERENCE_DATA)
    def symbol_samples(self, request_id: int, found: Sequence[tuple[Instrument, Sequence[str]]]) -> bytes:
        """Instruments whose symbol or name fits, each with the types of its derivatives."""
        rows = [
            ib.ContractDescription(
                contract=ib.Contract(
                    conId=instrument.con_id,
                    symbol=instrument.symbol,
                    secType=instrument.sec_type,
                    primaryExch=instrument.primary_exchange,
                    currency=instrument.currency,
                    description=instrument.long_name,
                ),
                derivativeSecTypes=derivatives,
            )
            for instrument, derivatives in found
        ]
        return _frame(79, ib.SymbolSamples(reqId=request_id, contractDescriptions=rows))

    @_since(REFERENCE_DATA)
    def option_parameters(self, request_id: int, chain: OptionParameters) -> bytes:
        """The expirations and strikes of an underlying's options at one exchange."""
        return _frame(
            75,
            ib.SecDefOptParameter(
                reqId=request_id,
                exchange=chain.exchange,
                underlyingConId=chain.under_con_id,
                tradingClass=chain.trading_class,
                multiplier=chain.multiplier,
                expirations=chain.expirations,
                strikes=map(float, chain.strikes),
            ),
        )

    @_since(REFERENCE_DATA)
    def option_parameters_end(self, request_id: int) -> bytes:
        """The end of the option parameters of a request."""
        return _frame(76, ib.SecDefOptParameterEnd(reqId=request_id))

    @_since(REFERENCE_DATA)
    def market_rule(self, rule_id: int, increments: Sequence[tuple[Decimal, Decimal]]) -> bytes:
        """A rule's price increments: from which price on, and how large."""
        rows = [ib.PriceIncrement(lowEdge=float(edge), increment=float(step)) for edge, step in increments]
        return _frame(93, ib.MarketRule(marketRuleId=rule_id, priceIncrements=rows))

    @_since(REFERENCE_DATA)
    def smart_components(self, request_id: int, exchanges: Sequence[str]) -> bytes:
        """The exchanges behind the letters of a best-bid-and-offer exchange."""
        rows = [
            ib.SmartComponent(bitNumber=number, exchange=exchange, exchangeLetter=chr(ord("A") + number))
            for number, exchange in enumerate(exchanges)
        ]
        return _frame(82, ib.SmartComponents(reqId=request_id, smartComponents=rows))

    # --- prices ------------------------------------------------------------------------------------------------------

    @_since(MARKET_DATA)
    def market_data_type(self, request_id: int, kind: int) -> bytes:
        """Which data a subscription sends: 1 live, 3 delayed."""
        return _frame(58, ib.MarketDataType(reqId=request_id, marketDataType=kind))

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
    def tick_price(self, request_id: int, kind: int, price: Decimal, size: int, attributes: int = 0) -> bytes:
        """One price of a tick, with its size where it has one; attributes: 1 can be executed automatically."""
        tick = ib.TickPrice(reqId=request_id, tickType=kind, price=float(price), size=str(size), attrMask=attributes)
        return _frame(1, tick)

    @_since(MARKET_DATA)
    def tick_size(self, request_id: int, kind: int, size: int) -> bytes:
        """One size of a tick."""
        return _frame(2, ib.TickSize(reqId=request_id, tickType=kind, size=str(size)))

    @_since(MARKET_DATA)
    def tick_string(self, request_id: int, kind: int, text: str) -> bytes:
        """One text of a tick."""
        return _frame(46, ib.TickString(reqId=request_id, tickType=kind, value=text))

    @_since(MARKET_DATA)
    def tick_generic(self, request_id: int, kind: int, value: Decimal) -> bytes:
        """One number of a tick."""
        return _frame(45, ib.TickGeneric(reqId=request_id, tickType=kind, value=float(value)))

    @_since(MARKET_DATA)
    def snapshot_end(self, request_id: int) -> bytes:
        """The end of a snapshot."""
        return _frame(57, ib.TickSnapshotEnd(reqId=request_id))

    @_since(HISTORY)
    def tick_by_tick_last(self, request_id: int, kind: int, quote: Quote, exchange: str) -> bytes:
        """One trade; ``kind`` is 1 for Last and 2 for AllLast."""
        tick = _trade(quote, exchange)
        return _frame(99, ib.TickByTickData(reqId=request_id, tickType=kind, historicalTickLast=tick))

    @_since(HISTORY)
    def tick_by_tick_bid_ask(self, request_id: int, quote: Quote) -> bytes:
        """One change of bid or ask."""
        tick = _bid_ask(quote)
        return _frame(99, ib.TickByTickData(reqId=request_id, tickType=3, historicalTickBidAsk=tick))

    @_since(HISTORY)
    def tick_by_tick_midpoint(self, request_id: int, quote: Quote) -> bytes:
        """One change of the midpoint."""
        tick = _midpoint(quote)
        return _frame(99, ib.TickByTickData(reqId=request_id, tickType=4, historicalTickMidPoint=tick))

    @_since(HISTORY)
    def historical_ticks_last(self, request_id: int, ticks: Sequence[Quote], exchange: str) -> bytes:
        """Past trades, oldest first."""
        rows = [_trade(quote, exchange) for quote in ticks]
        return _frame(98, ib.HistoricalTicksLast(reqId=request_id, historicalTicksLast=rows, isDone=True))

    @_since(HISTORY)
    def historical_ticks_bid_ask(self, request_id: int, ticks: Sequence[Quote]) -> bytes:
        """Past bids and asks, oldest first."""
        rows = [_bid_ask(quote) for quote in ticks]
        return _frame(97, ib.HistoricalTicksBidAsk(reqId=request_id, historicalTicksBidAsk=rows, isDone=True))

    @_since(HISTORY)
    def historical_ticks_midpoint(self, request_id: int, ticks: Sequence[Quote]) -> bytes:
        """Past midpoints, oldest first."""
        rows = [_midpoint(quote) for quote in ticks]
        return _frame(96, ib.HistoricalTicks(reqId=request_id, historicalTicks=rows, isDone=True))

    @_since(HISTORY)
    def real_time_bar(self, request_id: int, bar: Bar) -> bytes:
        """One bar of five seconds."""
        return _frame(
            50,
            ib.RealTimeBarTick(
                reqId=request_id,
                time=bar.start,
                open=float(bar.open),
                high=float(bar.high),
                low=float(bar.low),
                close=float(bar.close),
                volume=_decimal(bar.volume),
                WAP=_decimal(bar.average),
                count=bar.count,
            ),
        )

    @_since(HISTORY)
    def historical_data(self, request_id: int, bars: Sequence[tuple[str, Bar]], start: str, end: str) -> list[bytes]:
        """A request's bars, each with its date as the client wants it, and their end."""
        rows = [_bar(date, bar) for date, bar in bars]
        return [
            _frame(17, ib.HistoricalData(reqId=request_id, historicalDataBars=rows)),
            _frame(108, ib.HistoricalDataEnd(reqId=request_id, startDateStr=start, endDateStr=end)),
        ]

    @_since(HISTORY)
    def historical_data_update(self, request_id: int, date: str, bar: Bar) -> bytes:
        """The present state of the last bar, or a new one."""
        return _frame(90, ib.HistoricalDataUpdate(reqId=request_id, historicalDataBar=_bar(date, bar)))

    @_since(HISTORY)
    def head_timestamp(self, request_id: int, moment: str) -> bytes:
        """The moment at which an instrument's history begins."""
        return _frame(88, ib.HeadTimestamp(reqId=request_id, headTimestamp=moment))

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
    def open_order(
        self, account: str, instrument: Instrument, order: Order, margin: MarginChange | None = None
    ) -> bytes:
        """A working order's terms and state; with ``margin``, the answer to what an order would do."""
        values = order_fields(order, account, margin)
        terms = _order(values)
        terms.ClearField("filledQuantity")
        return _frame(
            5,
            ib.OpenOrder(
                orderId=order.visible_id,
                contract=_contract(instrument, order.exchange),
                order=terms,
                orderState=_filled(ib.OrderState(), values),
            ),
        )

    @_since(ORDER_LISTS)
    def open_order_end(self) -> bytes:
        """The end of the list of open orders."""
        return _frame(53, ib.OpenOrdersEnd())

    @_since(ORDER_LISTS)
    def order_bound(self, order: Order) -> bytes:
        """The order id that an order made by hand has from now on."""
        return _frame(100, ib.OrderBound(permId=order.perm_id, clientId=order.client_id, orderId=order.order_id))

    @_since(ORDER_LISTS)
    def completed_order(self, account: str, instrument: Instrument, order: Order) -> bytes:
        """The terms of an order that is done, and how it ended; as in text, it goes by its perm id alone."""
        values = order_fields(order, account)
        terms = _order(values)
        for name in ("orderId", "clientId", "parentId"):
            terms.ClearField(name)
        return _frame(
            101,
            ib.CompletedOrder(
                contract=_contract(instrument, order.exchange),
                order=terms,
                orderState=_filled(ib.OrderState(), values),
            ),
        )

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


def _bar(date: str, bar: Bar) -> ib.HistoricalDataBar:
    return ib.HistoricalDataBar(
        date=date,
        open=float(bar.open),
        high=float(bar.high),
        low=float(bar.low),
        close=float(bar.close),
        volume=_decimal(bar.volume),
        WAP=_decimal(bar.average),
        barCount=bar.count,
    )


def _trade(quote: Quote, exchange: str) -> ib.HistoricalTickLast:
    return ib.HistoricalTickLast(
        time=quote.time,
        tickAttribLast=ib.TickAttribLast(),
        price=float(quote.last),
        size=_decimal(quote.last_size),
        exchange=exchange,
    )


def _bid_ask(quote: Quote) -> ib.HistoricalTickBidAsk:
    return ib.HistoricalTickBidAsk(
        time=quote.time,
        tickAttribBidAsk=ib.TickAttribBidAsk(),
        priceBid=float(quote.bid),
        priceAsk=float(quote.ask),
        sizeBid=_decimal(quote.bid_size),
        sizeAsk=_decimal(quote.ask_size),
    )


def _midpoint(quote: Quote) -> ib.HistoricalTick:
    return ib.HistoricalTick(time=quote.time, price=float((quote.bid + quote.ask) / 2), size="0")


def _order(values: Mapping[str, Value]) -> ib.Order:
    order = _filled(ib.Order(), values)
    for field in _converters(ib.SoftDollarTier.DESCRIPTOR):
        text = values[f"softDollarTier{field[0].upper()}{field[1:]}"]
        if text:
            setattr(order.softDollarTier, field, text)
    return order


@functools.cache
def _converters(message: Descriptor) -> dict[str, Callable[[Value], object]]:
    """Return of each plain field of a message, by its name, what makes its value of a value of ours."""
    by_type: dict[int, Callable[[Any], object]] = {
        FieldDescriptor.CPPTYPE_DOUBLE: float,
        FieldDescriptor.CPPTYPE_STRING: encode_field,
        FieldDescriptor.CPPTYPE_INT32: int,
        FieldDescriptor.CPPTYPE_INT64: int,
        # A flag that was given back is a text.
        FieldDescriptor.CPPTYPE_BOOL: lambda value: value not in (0, "0", "False"),
    }
    return {field.name: by_type[field.cpp_type] for field in message.fields if field.cpp_type in by_type}


def _filled(message: _Message, values: Mapping[str, Value]) -> _Message:
    """Return ``message`` with those of ``values`` that it has a field for and that are set; absent is False."""
    converters = _converters(message.DESCRIPTOR)
    for name, value in values.items():
        if name in converters and value is not None and value is not False and value not in _UNSET:
            setattr(message, name, converters[name](value))
    return message


# --- from the client -------------------------------------------------------------------------------------------------

# What a request that starts with it cannot be without: absent is not 0, which is a request or client of its own.
_IDS = frozenset({"reqId", "orderId", "clientId", "marketRuleId"})


def _parse(message_type: type[Message], body: bytes) -> Any:
    """Return the message. Raises FieldError when the bytes are none, its id is missing or a text has a NUL."""
    kind = message_type.DESCRIPTOR
    try:
        message = message_type.FromString(body)
    except DecodeError as error:
        raise FieldError(f"{len(body)} bytes are no {kind.name}: {error}") from None
    first = kind.fields[0].name if kind.fields else ""
    if first in _IDS and not message.HasField(first):
        raise FieldError(f"{first} is missing in a {kind.name}")
    if b"\0" in body:
        _refuse_nul(message)
    return message


def _refuse_nul(message: Message) -> None:
    """Raise FieldError when a text has a NUL: told to another client as text, it would end a field in its middle."""
    for field, value in message.ListFields():
        if isinstance(value, Message):
            _refuse_nul(value)
        elif isinstance(value, str) and "\0" in value:
            raise FieldError(f"{field.name} is {value[:40]!r}, wanted a text without NUL")


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


def _number(message: Message, name: str) -> Decimal | None:
    """Return a double as the decimal that its writer meant, None when it is unset. Raises FieldError."""
    return parse_decimal(repr(getattr(message, name)), name) if message.HasField(name) else None


def _contract_query(contract: ib.Contract) -> ContractQuery:
    multiplier = _number(contract, "multiplier")
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
        strike=_number(contract, "strike") or Decimal(0),
        right=contract.right,
        multiplier=format(multiplier.normalize(), "f") if multiplier else "",
    )


def _place_order(message: ib.PlaceOrderRequest) -> Request:
    order = message.order
    given: dict[str, str] = {}
    for field, value in [*order.ListFields(), *message.attachedOrders.ListFields()]:
        if isinstance(value, bool):
            given[field.name] = "1" if value else "0"
        elif isinstance(value, float):
            given[field.name] = repr(value)
        else:
            given[field.name] = str(value)
    for field, value in order.softDollarTier.ListFields():
        given[f"softDollarTier{field.name[0].upper()}{field.name[1:]}"] = str(value)
    if message.contract.comboLegs:
        given["comboLegs"] = "1"
    if _unknown_fields(order):
        given["unknownField"] = str(_unknown_fields(order)[0].field_number)
    return read_order(message.orderId, _contract_query(message.contract), given)


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
