# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text dialect: the layout of every message that the simulator sends or understands, at server versions 100 to 225.

Layouts follow the official clients' decoders and encoders; the versions at which a field came or went are named below.
A dialect belongs to one connection. ``decode`` turns a frame's body into a request, and there is one method for every
reply, which returns its frame; whoever speaks another dialect overrides the methods whose messages it writes otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from . import order_layout, requests
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
from .wire import UNSET_DOUBLE, Fields, Value, WireError, frame, split_fields

LOWEST_VERSION = 100
HIGHEST_VERSION = 225
# What every client tried understands: the newest protocol of text alone that they have in common.
DEFAULT_VERSION = 178

# Server versions at which layouts changed.
_SIZE_MULTIPLIER = 110
_REGULATORY_SNAPSHOT = 114
_AGGREGATED_GROUP = 121
_UNDERLYING = 122
_REAL_TIME_HISTORY = 124
_MARKET_RULES = 126
_UNREALIZED_PNL = 129
_MARKET_CAP_PRICE = 131
_REAL_EXPIRATION = 134
_REALIZED_PNL = 135
_LAST_LIQUIDITY = 136
_TICK_BY_TICK_HISTORY = 140
_ORDER_CONTAINER = 145
_STOCK_TYPE = 152
_ASCII = 153
_FRACTIONAL_SIZE = 163
_SIZE_RULES = 164
_REJECT_JSON = 166
_MANUAL_ORDER_TIME = 169
_BOND_ISSUER = 176
_PENDING_PRICE_REVISION = 178
_LAST_TRADE_DATE = 182
_INELIGIBILITY = 186
_CME_TAGGING = 192
_ERROR_TIME = 194
_HISTORICAL_DATA_END = 196
_SUBMITTER = 198
_LAST_DAYS_OF_EXECUTIONS = 200
# From here a frame's body starts with the message's number, as a big-endian int32, instead of a text field.
_BINARY_MESSAGE_ID = 201

NO_REQUEST = -1
LIVE = 1
DELAYED = 3


def _utc_now() -> datetime:
    return datetime.now(UTC)


def handshake(version: int, now: datetime) -> bytes:
    """The answer to the greeting: two text fields in every dialect, always in one write."""
    return frame(version, f"{now:%Y%m%d %H:%M:%S} GMT")


class TextDialect:
    """Messages as text fields, at one server version; ``clock`` gives the present moment (aware, UTC)."""

    def __init__(self, version: int, clock: Callable[[], datetime] = _utc_now) -> None:
        self.version = version
        self.clock = clock

    def decode(self, body: bytes) -> Request:
        """Return what a frame's body asks for.

        Raises WireError when the body is not a message, and FieldError when it is one with a field that cannot be read.
        """
        if self.version < _BINARY_MESSAGE_ID:
            return self.decode_fields(Fields(split_fields(body)))
        if len(body) < 4:
            raise WireError(f"message {body!r} is too short for a message id")
        (message_id,) = struct.unpack(">i", body[:4])
        fields = split_fields(body[4:]) if len(body) > 4 else []
        return self.decode_fields(Fields([str(message_id), *fields]))

    def decode_fields(self, fields: Fields) -> Request:
        """Return what the fields of a message ask for. Raises FieldError."""
        message_id = fields.integer()
        decoder = _DECODERS.get(message_id)
        if decoder is not None:
            return decoder(self, fields)
        where = _NOT_SERVED.get(message_id)
        if where is not None:
            fields.skip(where - 1)
        request_id = NO_REQUEST if where is None else fields.integer()
        return requests.NotServed(request_id, f"message {message_id}")

    def encode(self, message_id: int, *values: Value) -> bytes:
        """Return the frame of a message."""
        if self.version < _BINARY_MESSAGE_ID:
            return frame(message_id, *values)
        body = frame(*values)[4:]
        return struct.pack(">Ii", 4 + len(body), message_id) + body

    # --- to the client: session -------------------------------------------------------------------------------------

    def error(self, request_id: int, code: int, text: str, reject_json: str = "") -> bytes:
        """An error, a warning or a notice; ``request_id`` is -1 when it belongs to no request."""
        if self.version < _ERROR_TIME:
            rejection = [self._ascii(reject_json)] if self.version >= _REJECT_JSON else []
            return self.encode(4, 2, request_id, code, self._ascii(text), *rejection)
        milliseconds = int(self.clock().timestamp() * 1000)
        return self.encode(4, request_id, code, self._ascii(text), self._ascii(reject_json), milliseconds)

    def managed_accounts(self, account: str) -> bytes:
        """The accounts of this login."""
        return self.encode(15, 1, account)

    def next_valid_id(self, order_id: int) -> bytes:
        """The lowest order id to use."""
        return self.encode(9, 1, order_id)

    def current_time(self, seconds: int) -> bytes:
        """The server's time in seconds since the epoch."""
        return self.encode(49, 1, seconds)

    def current_time_in_milliseconds(self, milliseconds: int) -> bytes:
        """The server's time in milliseconds since the epoch."""
        return self.encode(109, milliseconds)

    def family_codes(self, accounts: Sequence[str]) -> bytes:
        """The accounts' family codes: none has one."""
        return self.encode(78, len(accounts), *(value for account in accounts for value in (account, "")))

    def user_info(self, request_id: int) -> bytes:
        """The user's white branding: none."""
        return self.encode(107, request_id, "")

    def soft_dollar_tiers(self, request_id: int) -> bytes:
        """The soft dollar tiers: none."""
        return self.encode(77, request_id, 0)

    def news_providers(self) -> bytes:
        """The news providers: none."""
        return self.encode(85, 0)

    def market_depth_exchanges(self) -> bytes:
        """The exchanges that offer market depth: none."""
        return self.encode(80, 0)

    def display_groups(self, request_id: int) -> bytes:
        """The display groups of the terminal: none."""
        return self.encode(67, 1, request_id, "")

    # --- to the client: account -------------------------------------------------------------------------------------

    def position(self, account: str, instrument: Instrument, held: Position) -> bytes:
        """One position."""
        contract = _contract(instrument, instrument.primary_exchange)
        return self.encode(61, 3, account, *contract, held.quantity, _rounded(held.average_cost))

    def position_end(self) -> bytes:
        """The end of the list of positions."""
        return self.encode(62, 1)

    def position_multi(self, request_id: int, account: str, instrument: Instrument, held: Position) -> bytes:
        """One position, by request."""
        contract = _contract(instrument, instrument.primary_exchange)
        return self.encode(71, 1, request_id, account, *contract, held.quantity, _rounded(held.average_cost), "")

    def position_multi_end(self, request_id: int) -> bytes:
        """The end of the positions of a request."""
        return self.encode(72, 1, request_id)

    def account_value(self, key: str, value: str, currency: str, account: str) -> bytes:
        """One value of the account."""
        return self.encode(6, 2, key, value, currency, account)

    def portfolio_value(self, account: str, instrument: Instrument, value: PositionValue) -> bytes:
        """One position with its present value."""
        return self.encode(
            7,
            8,
            *_contract(instrument, instrument.primary_exchange),
            value.position.quantity,
            value.price,
            value.market_value,
            _rounded(value.position.average_cost),
            value.unrealized,
            value.position.realized,
            account,
        )

    def account_time(self, now: datetime) -> bytes:
        """When the account values were made."""
        return self.encode(8, 1, f"{now:%H:%M}")

    def account_download_end(self, account: str) -> bytes:
        """The end of the account values and portfolio."""
        return self.encode(54, 1, account)

    def account_update_multi(self, request_id: int, account: str, key: str, value: str, currency: str) -> bytes:
        """One value of the account, by request."""
        return self.encode(73, 1, request_id, account, "", key, value, currency)

    def account_update_multi_end(self, request_id: int) -> bytes:
        """The end of the account values of a request."""
        return self.encode(74, 1, request_id)

    def account_summary(self, request_id: int, account: str, tag: str, value: str, currency: str) -> bytes:
        """One tag of the account's summary."""
        return self.encode(63, 1, request_id, account, tag, value, currency)

    def account_summary_end(self, request_id: int) -> bytes:
        """The end of the account's summary."""
        return self.encode(64, 1, request_id)

    def pnl(self, request_id: int, pnl: Pnl) -> bytes:
        """The account's profit and loss."""
        return self.encode(94, request_id, *self._pnl(pnl))

    def pnl_single(self, request_id: int, value: PositionValue) -> bytes:
        """One position's profit and loss."""
        return self.encode(95, request_id, value.position.quantity, *self._pnl(value.pnl), value.market_value)

    # --- to the client: instruments ---------------------------------------------------------------------------------

    def contract_details(
        self, request_id: int, instrument: Instrument, order_types: str, rules: str, hours: tuple[str, str]
    ) -> bytes:
        """Everything about one instrument; ``hours`` are the trading hours and the liquid hours of the next days."""
        version = self.version
        return self.encode(
            10,
            *([8] if version < _SIZE_RULES else []),
            request_id,
            instrument.symbol,
            instrument.sec_type,
            instrument.expiry,
            *([instrument.expiry] if version >= _LAST_TRADE_DATE else []),
            instrument.strike,
            instrument.right,
            instrument.valid_exchanges[0],
            instrument.currency,
            instrument.local_symbol,
            instrument.market_name,
            instrument.trading_class,
            instrument.con_id,
            instrument.min_tick,
            *([1] if _SIZE_MULTIPLIER <= version < _SIZE_RULES else []),
            instrument.multiplier_text,
            order_types,
            ",".join(instrument.valid_exchanges),
            1,  # price magnifier
            instrument.under_con_id,
            self._ascii(instrument.long_name),
            instrument.primary_exchange if instrument.sec_type == "STK" else "",
            instrument.contract_month,
            instrument.industry,
            instrument.category,
            "",  # subcategory
            instrument.time_zone,
            *hours,
            "",  # economic value rule
            "",  # economic value multiplier
            0,  # number of security ids
            *([1] if version >= _AGGREGATED_GROUP else []),
            *([instrument.under_symbol, instrument.under_sec_type] if version >= _UNDERLYING else []),
            *([rules] if version >= _MARKET_RULES else []),
            *([instrument.expiry] if version >= _REAL_EXPIRATION else []),
            *([instrument.stock_type] if version >= _STOCK_TYPE else []),
            *([1] if version == _FRACTIONAL_SIZE else []),  # smallest size, in this version only
            *([1, 1, 1] if version >= _SIZE_RULES else []),  # smallest size, size increment, suggested increment
            *([0] if version >= _INELIGIBILITY else []),  # number of reasons for which it cannot be traded
        )

    def contract_details_end(self, request_id: int) -> bytes:
        """The end of the instruments that fit a request."""
        return self.encode(52, 1, request_id)

    def symbol_samples(self, request_id: int, found: Sequence[tuple[Instrument, Sequence[str]]]) -> bytes:
        """Instruments whose symbol or name fits, each with the types of its derivatives."""
        rows: list[Value] = []
        for instrument, derivatives in found:
            rows += [instrument.con_id, instrument.symbol, instrument.sec_type, instrument.primary_exchange]
            rows += [instrument.currency, len(derivatives), *derivatives]
            rows += [self._ascii(instrument.long_name), ""] if self.version >= _BOND_ISSUER else []
        return self.encode(79, request_id, len(found), *rows)

    def option_parameters(self, request_id: int, chain: OptionParameters) -> bytes:
        """The expirations and strikes of an underlying's options at one exchange."""
        return self.encode(
            75,
            request_id,
            chain.exchange,
            chain.under_con_id,
            chain.trading_class,
            chain.multiplier,
            len(chain.expirations),
            *chain.expirations,
            len(chain.strikes),
            *chain.strikes,
        )

    def option_parameters_end(self, request_id: int) -> bytes:
        """The end of the option parameters of a request."""
        return self.encode(76, request_id)

    def market_rule(self, rule_id: int, increments: Sequence[tuple[Decimal, Decimal]]) -> bytes:
        """A rule's price increments: from which price on, and how large."""
        return self.encode(93, rule_id, len(increments), *(value for increment in increments for value in increment))

    def smart_components(self, request_id: int, exchanges: Sequence[str]) -> bytes:
        """The exchanges behind the letters of a best-bid-and-offer exchange."""
        rows: list[Value] = []
        for number, exchange in enumerate(exchanges):
            rows += [number, exchange, chr(ord("A") + number)]
        return self.encode(82, request_id, len(exchanges), *rows)

    # --- to the client: prices --------------------------------------------------------------------------------------

    def market_data_type(self, request_id: int, kind: int) -> bytes:
        """Which data a subscription sends: 1 live, 3 delayed."""
        return self.encode(58, 1, request_id, kind)

    def tick_parameters(self, request_id: int, instrument: Instrument) -> bytes:
        """The first message of a subscription."""
        return self.encode(81, request_id, instrument.min_tick, "9c0001", 3)

    def tick_price(self, request_id: int, kind: int, price: Decimal, size: int, attributes: int = 0) -> bytes:
        """One price of a tick, with its size where it has one; attributes: 1 can be executed automatically."""
        return self.encode(1, 6, request_id, kind, price, size, attributes)

    def tick_size(self, request_id: int, kind: int, size: int) -> bytes:
        """One size of a tick."""
        return self.encode(2, 6, request_id, kind, size)

    def tick_string(self, request_id: int, kind: int, text: str) -> bytes:
        """One text of a tick."""
        return self.encode(46, 6, request_id, kind, text)

    def tick_generic(self, request_id: int, kind: int, value: Decimal) -> bytes:
        """One number of a tick."""
        return self.encode(45, 6, request_id, kind, value)

    def snapshot_end(self, request_id: int) -> bytes:
        """The end of a snapshot."""
        return self.encode(57, 1, request_id)

    def tick_by_tick_last(self, request_id: int, kind: int, quote: Quote, exchange: str) -> bytes:
        """One trade; ``kind`` is 1 for Last and 2 for AllLast."""
        return self.encode(99, request_id, kind, quote.time, quote.last, quote.last_size, 0, exchange, "")

    def tick_by_tick_bid_ask(self, request_id: int, quote: Quote) -> bytes:
        """One change of bid or ask."""
        sizes = (quote.bid_size, quote.ask_size)
        return self.encode(99, request_id, 3, quote.time, quote.bid, quote.ask, *sizes, 0)

    def tick_by_tick_midpoint(self, request_id: int, quote: Quote) -> bytes:
        """One change of the midpoint."""
        return self.encode(99, request_id, 4, quote.time, (quote.bid + quote.ask) / 2)

    def historical_ticks_last(self, request_id: int, ticks: Sequence[Quote], exchange: str) -> bytes:
        """Past trades, oldest first."""
        rows: list[Value] = []
        for quote in ticks:
            rows += [quote.time, 0, quote.last, quote.last_size, exchange, ""]
        return self.encode(98, request_id, len(ticks), *rows, True)

    def historical_ticks_bid_ask(self, request_id: int, ticks: Sequence[Quote]) -> bytes:
        """Past bids and asks, oldest first."""
        rows: list[Value] = []
        for quote in ticks:
            rows += [quote.time, 0, quote.bid, quote.ask, quote.bid_size, quote.ask_size]
        return self.encode(97, request_id, len(ticks), *rows, True)

    def historical_ticks_midpoint(self, request_id: int, ticks: Sequence[Quote]) -> bytes:
        """Past midpoints, oldest first."""
        rows: list[Value] = []
        for quote in ticks:
            rows += [quote.time, 0, (quote.bid + quote.ask) / 2, 0]
        return self.encode(96, request_id, len(ticks), *rows, True)

    def real_time_bar(self, request_id: int, bar: Bar) -> bytes:
        """One bar of five seconds."""
        prices = (bar.open, bar.high, bar.low, bar.close)
        return self.encode(50, 3, request_id, bar.start, *prices, bar.volume, bar.average, bar.count)

    def historical_data(self, request_id: int, bars: Sequence[tuple[str, Bar]], start: str, end: str) -> list[bytes]:
        """A request's bars, each with its date as the client wants it, and their end."""
        gaps = ["false"] if self.version < _REAL_TIME_HISTORY else []
        rows: list[Value] = []
        for date, bar in bars:
            rows += [date, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, *gaps, bar.count]
        if self.version >= _HISTORICAL_DATA_END:
            data = self.encode(17, request_id, len(bars), *rows)
            return [data, self.encode(108, request_id, start, end)]
        version = [3] if self.version < _REAL_TIME_HISTORY else []
        return [self.encode(17, *version, request_id, start, end, len(bars), *rows)]

    def historical_data_update(self, request_id: int, date: str, bar: Bar) -> bytes:
        """The present state of the last bar, or a new one."""
        prices = (bar.open, bar.close, bar.high, bar.low)
        return self.encode(90, request_id, bar.count, date, *prices, bar.average, bar.volume)

    def head_timestamp(self, request_id: int, moment: str) -> bytes:
        """The moment at which an instrument's history begins."""
        return self.encode(88, request_id, moment)

    # --- to the client: orders --------------------------------------------------------------------------------------

    def order_status(self, order: Order) -> bytes:
        """Where an order stands."""
        return self.encode(
            3,
            *([6] if self.version < _MARKET_CAP_PRICE else []),
            order.visible_id,
            order.status,
            order.filled,
            order.remaining,
            _rounded(order.average_fill_price),
            order.perm_id,
            order.parent_id,
            order.last_fill_price,
            order.client_id,
            order.why_held,
            *([0] if self.version >= _MARKET_CAP_PRICE else []),
        )

    def open_order(
        self, account: str, instrument: Instrument, order: Order, margin: MarginChange | None = None
    ) -> bytes:
        """A working order's terms and state; with ``margin``, the answer to what an order would do."""
        values = _contract_fields(instrument, order.exchange) | order_fields(order, account, margin)
        return self.encode(5, *order_layout.lay_out(order_layout.OPEN_ORDER, self.version, values))

    def open_order_end(self) -> bytes:
        """The end of the list of open orders."""
        return self.encode(53, 1)

    def order_bound(self, order: Order) -> bytes:
        """The order id that an order made by hand has from now on."""
        return self.encode(100, order.perm_id, order.client_id, order.order_id)

    def completed_order(self, account: str, instrument: Instrument, order: Order) -> bytes:
        """The terms of an order that is done, and how it ended."""
        values = _contract_fields(instrument, order.exchange) | order_fields(order, account)
        return self.encode(101, *order_layout.lay_out(order_layout.COMPLETED_ORDER, self.version, values))

    def completed_orders_end(self) -> bytes:
        """The end of the list of completed orders."""
        return self.encode(102)

    def execution_details(self, request_id: int, account: str, instrument: Instrument, execution: Execution) -> bytes:
        """One fill; ``request_id`` is -1 when it happened just now."""
        return self.encode(
            11,
            *([10] if self.version < _LAST_LIQUIDITY else []),
            request_id,
            execution.order_id,
            *_contract(instrument, execution.exchange),
            execution.execution_id,
            f"{datetime.fromisoformat(execution.time):%Y%m%d %H:%M:%S} UTC",
            account,
            execution.exchange,
            execution.side,
            execution.quantity,
            execution.price,
            execution.perm_id,
            execution.client_id,
            0,  # liquidation
            execution.cumulative_quantity,
            _rounded(execution.average_price),
            execution.order_ref,
            "",  # economic value rule
            None,  # economic value multiplier
            *([""] if self.version >= order_layout.MODELS else []),
            *([2] if self.version >= _LAST_LIQUIDITY else []),  # removed liquidity
            *([False] if self.version >= _PENDING_PRICE_REVISION else []),
            *([""] if self.version >= _SUBMITTER else []),
        )

    def execution_end(self, request_id: int) -> bytes:
        """The end of the executions that fit a request."""
        return self.encode(55, 1, request_id)

    def commission_report(self, instrument: Instrument, execution: Execution) -> bytes:
        """What a fill cost and realized."""
        return self.encode(
            59,
            1,
            execution.execution_id,
            execution.commission,
            instrument.currency,
            UNSET_DOUBLE if execution.realized is None else execution.realized,
            UNSET_DOUBLE,  # yield
            "",  # yield redemption date
        )

    # --- inside -----------------------------------------------------------------------------------------------------

    def _ascii(self, text: str) -> str:
        """Return a text as this version carries it: from 153 on, escaped to ASCII."""
        return text.encode("unicode_escape").decode() if self.version >= _ASCII else text

    def _pnl(self, pnl: Pnl) -> list[Value]:
        return [
            pnl.daily,
            *([pnl.unrealized] if self.version >= _UNREALIZED_PNL else []),
            *([pnl.realized] if self.version >= _REALIZED_PNL else []),
        ]


def _contract(instrument: Instrument, exchange: str) -> tuple[Value, ...]:
    return tuple(_contract_fields(instrument, exchange).values())


def _contract_fields(instrument: Instrument, exchange: str) -> dict[str, Value]:
    """Return the eleven fields of a contract by name, in the order in which most messages have them."""
    return {
        "conId": instrument.con_id,
        "symbol": instrument.symbol,
        "secType": instrument.sec_type,
        "lastTradeDateOrContractMonth": instrument.expiry,
        "strike": instrument.strike,
        "right": instrument.right,
        "multiplier": instrument.multiplier_text,
        "exchange": exchange,
        "currency": instrument.currency,
        "localSymbol": instrument.local_symbol,
        "tradingClass": instrument.trading_class,
    }


def _rounded(average: Decimal) -> Decimal:
    return average.quantize(Decimal("0.00000001"))


def dialect_for(version: int, clock: Callable[[], datetime] = _utc_now) -> TextDialect:
    """Return the dialect that a connection of this server version speaks."""
    if version < _BINARY_MESSAGE_ID:
        return TextDialect(version, clock)
    # Only who offers the newer protocol pays for it.
    from .protobuf import ProtobufDialect

    return ProtobufDialect(version, clock)


# --- from the client -------------------------------------------------------------------------------------------------

# Requests that the simulator does not play -> in which field their request id stands, None when they have none.
_NOT_SERVED = {
    10: 2, 18: None, 19: None, 21: 2, 22: 1, 24: None, 52: 2, 54: 2, 55: 2, 65: None, 66: None, 68: 2, 69: 2, 72: None,
    73: None, 84: 1, 86: 1, 88: 1, 100: 1, 102: 1, 108: None, 109: None,
}  # fmt: skip


def _contract_query(fields: Fields) -> ContractQuery:
    """Read the twelve contract fields that start most requests."""
    return ContractQuery(
        con_id=fields.integer(),
        symbol=fields.text(),
        sec_type=fields.text(),
        expiry=fields.text(),
        strike=fields.decimal() or Decimal(0),
        right=fields.text(),
        multiplier=fields.text(),
        exchange=fields.text(),
        primary_exchange=fields.text(),
        currency=fields.text(),
        local_symbol=fields.text(),
        trading_class=fields.text(),
    )


def _combo_legs(query: ContractQuery, fields: Fields) -> None:
    """Pass over the legs of a combination; none is listed."""
    if query.sec_type == "BAG":
        for _ in range(fields.count()):
            fields.skip(4)


def _market_data(dialect: TextDialect, fields: Fields) -> Request:
    fields.skip(1)  # version of the message
    request_id, query = fields.integer(), _contract_query(fields)
    _combo_legs(query, fields)
    if fields.boolean():
        fields.skip(3)  # delta neutral contract
    generic_ticks, snapshot = fields.text(), fields.boolean()
    regulatory = fields.boolean() if dialect.version >= _REGULATORY_SNAPSHOT else False
    return requests.RequestMarketData(request_id, query, generic_ticks, snapshot, regulatory)


def _historical_data(dialect: TextDialect, fields: Fields) -> Request:
    if dialect.version < _REAL_TIME_HISTORY:
        fields.skip(1)  # version of the message
    request_id, query = fields.integer(), _contract_query(fields)
    fields.skip(1)  # include expired
    end, bar_size, duration = fields.text(), fields.text(), fields.text()
    regular_hours, what_to_show, date_format = fields.boolean(), fields.text(), fields.integer()
    _combo_legs(query, fields)
    keep_up_to_date = fields.boolean() if dialect.version >= _REAL_TIME_HISTORY else False
    return requests.RequestHistoricalData(
        request_id, query, end, bar_size, duration, regular_hours, what_to_show, date_format, keep_up_to_date
    )


def _real_time_bars(_dialect: TextDialect, fields: Fields) -> Request:
    fields.skip(1)  # version of the message
    request_id, query, bar_seconds = fields.integer(), _contract_query(fields), fields.integer()
    return requests.RequestRealTimeBars(request_id, query, bar_seconds, fields.text(), fields.boolean())


def _tick_by_tick(dialect: TextDialect, fields: Fields) -> Request:
    request_id, query, kind = fields.integer(), _contract_query(fields), fields.text()
    if dialect.version < _TICK_BY_TICK_HISTORY:
        return requests.RequestTickByTick(request_id, query, kind, 0, ignore_size=False)
    return requests.RequestTickByTick(request_id, query, kind, fields.integer(), fields.boolean())


def _head_timestamp(_dialect: TextDialect, fields: Fields) -> Request:
    request_id, query = fields.integer(), _contract_query(fields)
    fields.skip(1)  # include expired
    return requests.RequestHeadTimestamp(request_id, query, fields.boolean(), fields.text(), fields.integer())


def _historical_ticks(_dialect: TextDialect, fields: Fields) -> Request:
    request_id, query = fields.integer(), _contract_query(fields)
    fields.skip(1)  # include expired
    return requests.RequestHistoricalTicks(
        request_id,
        query,
        fields.text(),
        fields.text(),
        fields.integer(),
        fields.text(),
        fields.boolean(),
        fields.boolean(),
    )


def _contract_details(_dialect: TextDialect, fields: Fields) -> Request:
    fields.skip(1)  # version of the message
    return requests.RequestContractDetails(fields.integer(), _contract_query(fields))


def _executions(dialect: TextDialect, fields: Fields) -> Request:
    fields.skip(1)  # version of the message
    request_id, client_id, account, since = fields.integer(), fields.integer(), fields.text(), fields.text()
    symbol, sec_type, exchange, side = fields.text(), fields.text(), fields.text(), fields.text()
    last_days: int | None = None
    dates: tuple[str, ...] = ()
    if dialect.version >= _LAST_DAYS_OF_EXECUTIONS:
        last_days = fields.optional_integer()
        dates = tuple(fields.text() for _ in range(fields.count()))
    return requests.RequestExecutions(
        request_id, client_id, account, since, symbol, sec_type, exchange, side, last_days, dates
    )


def _cancel_order(dialect: TextDialect, fields: Fields) -> Request:
    if dialect.version < _CME_TAGGING:
        fields.skip(1)  # version of the message
    order_id = fields.integer()
    return requests.CancelOrder(order_id, fields.text() if dialect.version >= _MANUAL_ORDER_TIME else "")


def _place_order(dialect: TextDialect, fields: Fields) -> Request:
    if dialect.version < _ORDER_CONTAINER:
        fields.skip(1)  # version of the message
    order_id, query = fields.integer(), _contract_query(fields)
    order = order_layout.read_order_fields(dialect.version, query.sec_type, query.exchange, fields)
    return read_order(order_id, query, order)


def _after_version(make: Callable[[Fields], Request]) -> Callable[[TextDialect, Fields], Request]:
    """Return a decoder for a message whose first field is its own version."""

    def decode(_dialect: TextDialect, fields: Fields) -> Request:
        fields.skip(1)
        return make(fields)

    return decode


def _plain(make: Callable[[Fields], Request]) -> Callable[[TextDialect, Fields], Request]:
    """Return a decoder for a message that is the same at every server version."""
    return lambda _dialect, fields: make(fields)


_DECODERS: dict[int, Callable[[TextDialect, Fields], Request]] = {
    1: _market_data,
    2: _after_version(lambda fields: requests.CancelMarketData(fields.integer())),
    3: _place_order,
    4: _cancel_order,
    5: _plain(lambda _fields: requests.RequestOpenOrders()),
    6: _after_version(lambda fields: requests.RequestAccountUpdates(fields.boolean(), fields.text())),
    7: _executions,
    8: _plain(lambda _fields: requests.RequestIds()),
    9: _contract_details,
    11: _plain(lambda _fields: requests.Ignored()),  # no more market depth: it is never sent
    12: _plain(lambda _fields: requests.RequestNewsBulletins()),
    13: _plain(lambda _fields: requests.CancelNewsBulletins()),
    14: _after_version(lambda fields: requests.SetServerLogLevel(fields.integer())),
    15: _after_version(lambda fields: requests.RequestAutoOpenOrders(fields.boolean())),
    16: _plain(lambda _fields: requests.RequestAllOpenOrders()),
    17: _plain(lambda _fields: requests.RequestManagedAccounts()),
    20: _historical_data,
    23: _plain(lambda _fields: requests.Ignored()),  # no more of a scanner
    25: _after_version(lambda fields: requests.CancelHistoricalData(fields.integer())),
    49: _plain(lambda _fields: requests.RequestCurrentTime()),
    50: _real_time_bars,
    51: _after_version(lambda fields: requests.CancelRealTimeBars(fields.integer())),
    53: _plain(lambda _fields: requests.Ignored()),  # no more fundamental data
    56: _plain(lambda _fields: requests.Ignored()),  # no more of an implied volatility
    57: _plain(lambda _fields: requests.Ignored()),  # no more of an option price
    58: _plain(lambda _fields: requests.CancelAllOrders()),
    59: _after_version(lambda fields: requests.RequestMarketDataType(fields.integer())),
    61: _plain(lambda _fields: requests.RequestPositions()),
    62: _after_version(lambda fields: requests.RequestAccountSummary(fields.integer(), fields.text(), fields.text())),
    63: _after_version(lambda fields: requests.CancelAccountSummary(fields.integer())),
    64: _plain(lambda _fields: requests.CancelPositions()),
    67: _after_version(lambda fields: requests.QueryDisplayGroups(fields.integer())),
    70: _plain(lambda _fields: requests.Ignored()),  # no more of a display group
    71: _after_version(lambda fields: requests.StartApi(fields.integer())),
    74: _after_version(lambda fields: requests.RequestPositionsMulti(fields.integer(), fields.text(), fields.text())),
    75: _after_version(lambda fields: requests.CancelPositionsMulti(fields.integer())),
    76: _after_version(
        lambda fields: requests.RequestAccountUpdatesMulti(
            fields.integer(), fields.text(), fields.text(), fields.boolean()
        )
    ),
    77: _after_version(lambda fields: requests.CancelAccountUpdatesMulti(fields.integer())),
    78: _plain(
        lambda fields: requests.RequestOptionParameters(
            fields.integer(), fields.text(), fields.text(), fields.text(), fields.integer()
        )
    ),
    79: _plain(lambda fields: requests.RequestSoftDollarTiers(fields.integer())),
    80: _plain(lambda _fields: requests.RequestFamilyCodes()),
    81: _plain(lambda fields: requests.RequestMatchingSymbols(fields.integer(), fields.text())),
    82: _plain(lambda _fields: requests.RequestMarketDepthExchanges()),
    83: _plain(lambda fields: requests.RequestSmartComponents(fields.integer(), fields.text())),
    85: _plain(lambda _fields: requests.RequestNewsProviders()),
    87: _head_timestamp,
    89: _plain(lambda _fields: requests.Ignored()),  # no more of a histogram
    90: _plain(lambda fields: requests.CancelHeadTimestamp(fields.integer())),
    91: _plain(lambda fields: requests.RequestMarketRule(fields.integer())),
    92: _plain(lambda fields: requests.RequestPnl(fields.integer(), fields.text(), fields.text())),
    93: _plain(lambda fields: requests.CancelPnl(fields.integer())),
    94: _plain(
        lambda fields: requests.RequestPnlSingle(fields.integer(), fields.text(), fields.text(), fields.integer())
    ),
    95: _plain(lambda fields: requests.CancelPnlSingle(fields.integer())),
    96: _historical_ticks,
    97: _tick_by_tick,
    98: _plain(lambda fields: requests.CancelTickByTick(fields.integer())),
    99: _plain(lambda fields: requests.RequestCompletedOrders(fields.boolean())),
    101: _plain(lambda _fields: requests.Ignored()),  # no more of the event calendar's description
    103: _plain(lambda _fields: requests.Ignored()),  # no more of the event calendar
    104: _plain(lambda fields: requests.RequestUserInfo(fields.integer())),
    105: _plain(lambda _fields: requests.RequestCurrentTimeInMilliseconds()),
    106: _plain(lambda fields: requests.CancelContractDetails(fields.integer())),
    107: _plain(lambda fields: requests.CancelHistoricalTicks(fields.integer())),
}
