# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text dialect: the layout of every message that the simulator sends or understands, by server version.

Layouts follow the official clients' decoders and encoders; the versions at which a field came or went are named below.
A dialect belongs to one connection. ``decode`` turns a frame's body into a request, and there is one method for every
reply, which returns its frame; whoever speaks another dialect overrides the methods whose messages it writes otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal

from . import requests
from .model import Bar, ContractQuery, Execution, Instrument, Order, Position, PositionValue, Quote
from .requests import Request
from .wire import UNSET_DOUBLE, Fields, Value, WireError, frame, split_fields

LOWEST_VERSION = 157
HIGHEST_VERSION = 225
# What every client tried understands: the newest protocol of text alone that they have in common.
DEFAULT_VERSION = 178

# Server versions at which layouts changed.
_REGULATORY_SNAPSHOT = 114
_REAL_TIME_HISTORY = 124
_TICK_BY_TICK_HISTORY = 140
_FRACTIONAL_SIZE = 163
_SIZE_RULES = 164
_REJECT_JSON = 166
_MANUAL_ORDER_TIME = 169
_PEG_BEST = 170
_FA_PROFILE_GONE = 177
_PENDING_PRICE_REVISION = 178
_CME_TAGGING = 192
_LAST_DAYS_OF_EXECUTIONS = 200
# From here a frame's body starts with the message's number, as a big-endian int32, instead of a text field.
_BINARY_MESSAGE_ID = 201

NO_REQUEST = -1


def handshake(version: int, now: datetime) -> bytes:
    """The answer to the greeting: two text fields in every dialect, always in one write."""
    return frame(version, f"{now:%Y%m%d %H:%M:%S} GMT")


class TextDialect:
    """Messages as text fields, at one server version."""

    def __init__(self, version: int) -> None:
        self.version = version

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

    # --- to the client -----------------------------------------------------------------------------------------------

    def error(self, request_id: int, code: int, text: str) -> bytes:
        """An error, a warning or a notice; ``request_id`` is -1 when it belongs to no request."""
        return self.encode(4, 2, request_id, code, text, *([""] if self.version >= _REJECT_JSON else []))

    def managed_accounts(self, account: str) -> bytes:
        """The accounts of this login."""
        return self.encode(15, 1, account)

    def next_valid_id(self, order_id: int) -> bytes:
        """The lowest order id to use."""
        return self.encode(9, 1, order_id)

    def current_time(self, seconds: int) -> bytes:
        """The server's time in seconds since the epoch."""
        return self.encode(49, 1, seconds)

    def position(self, account: str, instrument: Instrument, held: Position) -> bytes:
        """One position."""
        return self.encode(
            61,
            3,
            account,
            *_contract(instrument, instrument.primary_exchange),
            held.quantity,
            _rounded(held.average_cost),
        )

    def position_end(self) -> bytes:
        """The end of the list of positions."""
        return self.encode(62, 1)

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

    def contract_details(self, request_id: int, instrument: Instrument) -> bytes:
        """Everything about one instrument."""
        size_rules = self.version >= _SIZE_RULES
        return self.encode(
            10,
            *([] if size_rules else [8]),
            request_id,
            instrument.symbol,
            instrument.sec_type,
            "",  # last trade date
            0,  # strike
            "",  # right
            instrument.valid_exchanges[0],
            instrument.currency,
            instrument.local_symbol,
            instrument.market_name,
            instrument.trading_class,
            instrument.con_id,
            instrument.min_tick,
            *([] if size_rules else [1]),  # market data size multiplier
            "",  # multiplier
            "LMT,MKT",
            ",".join(instrument.valid_exchanges),
            1,  # price magnifier
            0,  # underlying's contract id
            instrument.long_name,
            instrument.primary_exchange if instrument.sec_type == "STK" else "",
            "",  # contract month
            instrument.industry,
            instrument.category,
            "",  # subcategory
            "UTC",
            "",  # trading hours: the simulated market never closes
            "",  # liquid hours
            "",  # economic value rule
            "",  # economic value multiplier
            0,  # number of security ids
            1,  # aggregated group
            "",  # underlying symbol
            "",  # underlying security type
            "",  # market rule ids
            "",  # real expiration date
            instrument.stock_type,
            *([1] if self.version == _FRACTIONAL_SIZE else []),  # smallest size, in this version only
            *([1, 1, 1] if size_rules else []),  # smallest size, size increment, suggested increment
        )

    def contract_details_end(self, request_id: int) -> bytes:
        """The end of the instruments that fit a request."""
        return self.encode(52, 1, request_id)

    def market_data_type(self, request_id: int) -> bytes:
        """Says that the data of a subscription are live."""
        return self.encode(58, 1, request_id, 1)

    def tick_parameters(self, request_id: int, instrument: Instrument) -> bytes:
        """The first message of a subscription."""
        return self.encode(81, request_id, instrument.min_tick, "9c0001", 3)

    def close_price(self, request_id: int, quote: Quote) -> bytes:
        """The previous close."""
        return self.encode(1, 6, request_id, 9, quote.close, 0, 0)

    def ticks(self, request_id: int, quote: Quote) -> list[bytes]:
        """One tick of the market: bid, ask, last, the time of the last trade and the day's volume."""
        return [
            self.encode(1, 6, request_id, 1, quote.bid, quote.bid_size, 1),
            self.encode(1, 6, request_id, 2, quote.ask, quote.ask_size, 1),
            self.encode(1, 6, request_id, 4, quote.last, quote.last_size, 0),
            self.encode(46, 6, request_id, 45, quote.time),
            self.encode(2, 6, request_id, 8, quote.volume),
        ]

    def snapshot_end(self, request_id: int) -> bytes:
        """The end of a snapshot."""
        return self.encode(57, 1, request_id)

    def historical_data(
        self, request_id: int, bars: Iterable[Bar], start: int, end: int, as_epoch: bool, daily: bool
    ) -> bytes:
        """A request's bars; daily bars are dated by day whatever the format."""

        def label(seconds: int) -> str:
            moment = datetime.fromtimestamp(seconds, UTC)
            if daily:
                return f"{moment:%Y%m%d}"
            return str(seconds) if as_epoch else f"{moment:%Y%m%d %H:%M:%S} UTC"

        rows: list[Value] = []
        count = 0
        for bar in bars:
            count += 1
            rows += [label(bar.start), bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.count]
        boundaries = [f"{datetime.fromtimestamp(moment, UTC):%Y%m%d %H:%M:%S} UTC" for moment in (start, end)]
        return self.encode(17, request_id, *boundaries, count, *rows)

    def order_status(self, order: Order) -> bytes:
        """Where an order stands."""
        return self.encode(
            3,
            order.order_id,
            order.status,
            order.filled,
            order.remaining,
            _rounded(order.average_fill_price),
            order.perm_id,
            0,  # parent id
            order.last_fill_price,
            order.client_id,
            "",  # why held
            0,  # market cap price
        )

    def open_order(self, account: str, instrument: Instrument, order: Order) -> bytes:
        """An order's terms; what the simulator does not play has the protocol's defaults."""
        return self.encode(
            5,
            order.order_id,
            *_contract(instrument, order.exchange),
            order.action,
            order.quantity,
            order.order_type,
            order.limit_price or 0,
            0,  # auxiliary price
            order.tif,
            "",  # OCA group
            account,
            order.open_close,
            order.origin,
            order.order_ref,
            order.client_id,
            order.perm_id,
            order.outside_rth,
            order.hidden,
            0,  # discretionary amount
            "",  # good after time
            "",  # shares allocation
            "",  # advisor group
            "",  # advisor method
            "",  # advisor percentage
            *([""] if self.version < _FA_PROFILE_GONE else []),
            "",  # model code
            "",  # good till date
            "",  # rule 80A
            None,  # percent offset
            "",  # settling firm
            0,  # short sale slot
            "",  # designated location
            -1,  # exempt code
            0,  # auction strategy
            None,  # starting price
            None,  # stock reference price
            None,  # delta
            None,  # lower end of the stock's range
            None,  # upper end of the stock's range
            0,  # display size
            False,  # block order
            False,  # sweep to fill
            False,  # all or none
            None,  # minimum quantity
            0,  # OCA type
            False,  # electronic trade only
            False,  # firm quote only
            None,  # NBBO price cap
            0,  # parent id
            0,  # trigger method
            None,  # volatility
            0,  # volatility type
            "",  # delta neutral order type
            None,  # delta neutral auxiliary price
            False,  # continuous update
            0,  # reference price type
            None,  # trail stop price
            None,  # trailing percent
            None,  # basis points
            None,  # basis points type
            "",  # description of combo legs
            0,  # number of combo legs
            0,  # number of order combo legs
            0,  # number of smart combo routing parameters
            None,  # scale: initial level size
            None,  # scale: subsequent level size
            None,  # scale: price increment
            "",  # hedge type
            False,  # opt out of smart routing
            "",  # clearing account
            "IB",  # clearing intent
            False,  # not held
            False,  # delta neutral contract present
            "",  # algorithm
            False,  # solicited
            False,  # what-if
            order.status,
            *[UNSET_DOUBLE] * 9,  # margins before, change, after
            None,  # commission
            None,  # lowest commission
            None,  # highest commission
            "",  # commission currency
            "",  # warning
            False,  # randomize size
            False,  # randomize price
            0,  # number of conditions
            "None",  # adjusted order type
            UNSET_DOUBLE,  # trigger price
            UNSET_DOUBLE,  # trail stop price
            UNSET_DOUBLE,  # limit price offset
            UNSET_DOUBLE,  # adjusted stop price
            UNSET_DOUBLE,  # adjusted stop limit price
            UNSET_DOUBLE,  # adjusted trailing amount
            0,  # adjustable trailing unit
            "",  # soft dollar tier: name
            "",  # soft dollar tier: value
            "",  # soft dollar tier: display name
            0,  # cash quantity
            False,  # do not use automatic price for hedge
            False,  # order container
            False,  # discretionary up to limit price
            None,  # price management algorithm
            *([None] if self.version >= 159 else []),  # duration
            *([None] if self.version >= 160 else []),  # post to ATS
            *([False] if self.version >= 162 else []),  # cancelled with its parent
            *([None] * 5 if self.version >= _PEG_BEST else []),
        )

    def open_order_end(self) -> bytes:
        """The end of the list of open orders."""
        return self.encode(53, 1)

    def completed_orders_end(self) -> bytes:
        """The end of the list of completed orders."""
        return self.encode(102)

    def execution_details(self, request_id: int, account: str, instrument: Instrument, execution: Execution) -> bytes:
        """One fill; ``request_id`` is -1 when it happened just now."""
        return self.encode(
            11,
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
            "",  # model code
            2,  # removed liquidity
            *([False] if self.version >= _PENDING_PRICE_REVISION else []),
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


def _contract(instrument: Instrument, exchange: str) -> tuple[Value, ...]:
    return (
        instrument.con_id,
        instrument.symbol,
        instrument.sec_type,
        "",  # last trade date
        0,  # strike
        "",  # right
        "",  # multiplier
        exchange,
        instrument.currency,
        instrument.local_symbol,
        instrument.trading_class,
    )


def _rounded(average: Decimal) -> Decimal:
    return average.quantize(Decimal("0.00000001"))


def dialect_for(version: int) -> TextDialect:
    """Return the dialect that a connection of this server version speaks."""
    if version < _BINARY_MESSAGE_ID:
        return TextDialect(version)
    # Only who offers the newer protocol pays for it.
    from .protobuf import ProtobufDialect

    return ProtobufDialect(version)


# --- from the client -------------------------------------------------------------------------------------------------

# Requests that the simulator does not play -> in which field their request id stands, None when they have none.
_NOT_SERVED = {
    10: 2, 18: None, 19: None, 21: 2, 22: 1, 24: None, 52: 2, 54: 2, 55: 2, 65: None, 66: None, 68: 2, 69: 2, 72: None,
    73: None, 84: 1, 86: 1, 88: 1, 100: 1, 102: 1, 108: None, 109: None,
}  # fmt: skip


def _contract_query(fields: Fields) -> ContractQuery:
    """Read the twelve contract fields that start most requests."""
    con_id, symbol, sec_type = fields.integer(), fields.text(), fields.text()
    fields.skip(4)  # last trade date, strike, right, multiplier
    return ContractQuery(
        con_id=con_id,
        symbol=symbol,
        sec_type=sec_type,
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


def _place_order(version: int, fields: Fields) -> Request:
    """Read a placeOrder message; what it asks for beyond the simulator's means is named in ``unsupported``."""
    order_id = fields.integer()
    query = _contract_query(fields)
    fields.skip(2)  # security id and its type
    unsupported = []
    action, quantity, order_type = fields.text(), fields.decimal(), fields.text()
    limit_price = fields.decimal()
    fields.skip(1)  # auxiliary price
    tif = fields.text()
    if fields.text():
        unsupported.append("an OCA group")
    account, open_close, origin, order_ref = fields.text(), fields.text(), fields.integer(), fields.text()
    if not fields.boolean():
        unsupported.append("transmit=False")
    if fields.integer():
        unsupported.append("a parent order")
    fields.skip(4)  # block order, sweep to fill, display size, trigger method
    outside_rth, hidden = fields.boolean(), fields.boolean()
    if query.sec_type == "BAG":
        unsupported.append("a combination")
    else:
        unsupported += _read_special_terms(version, order_type, fields)
    return requests.PlaceOrder(
        order_id=order_id,
        contract=query,
        action=action,
        quantity=quantity or Decimal(0),
        order_type=order_type,
        limit_price=limit_price,
        tif=tif or "DAY",
        account=account,
        open_close=open_close,
        origin=origin,
        order_ref=order_ref,
        outside_rth=outside_rth,
        hidden=hidden,
        unsupported=", ".join(unsupported),
    )


def _read_special_terms(version: int, order_type: str, fields: Fields) -> list[str]:
    """Read from the shares allocation to the number of conditions; return the terms that are not simulated."""
    unsupported = []
    fields.skip(2)  # shares allocation, discretionary amount
    if fields.text():
        unsupported.append("good after time")
    fields.skip(1)  # good till date: only with a time in force that is refused
    fields.skip(3 if version >= _FA_PROFILE_GONE else 4)  # advisor allocation
    fields.skip(7)  # model code, short sale slot, location, exempt code, OCA type, rule 80A, settling firm
    if fields.boolean():
        unsupported.append("all or none")
    fields.skip(14)  # minimum quantity ... volatility type
    if fields.text():
        unsupported.append("delta neutral")
        return unsupported
    fields.skip(1)  # delta neutral auxiliary price
    fields.skip(6)  # continuous update ... scale: subsequent level size
    if fields.decimal():
        unsupported.append("scale")
        return unsupported
    fields.skip(3)  # scale table, active start time, active stop time
    if fields.text():
        unsupported.append("hedge")
        return unsupported
    fields.skip(4)  # opt out of smart routing, clearing account, clearing intent, not held
    if fields.boolean():
        unsupported.append("delta neutral")
        return unsupported
    if fields.text():
        unsupported.append("an algorithm")
        return unsupported
    fields.skip(1)  # algorithm id
    if fields.boolean():
        unsupported.append("what-if")
    fields.skip(4)  # options, solicited, randomize size, randomize price
    if order_type not in ("PEG BENCH", "PEGBENCH") and fields.integer():
        unsupported.append("a condition")
    return unsupported


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
    3: lambda dialect, fields: _place_order(dialect.version, fields),
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
