# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of every message that the simulator sends or understands, at server versions 157 to 178.

Layouts follow the official clients' decoders and encoders; the versions at which a field came or went are named below.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from .broker import Execution, Order, OrderRequest, Position, PositionValue, Valuation
from .contracts import Catalogue, ContractQuery, Instrument
from .market import Bar, Quote
from .wire import UNSET_DOUBLE, Fields, Value, frame

LOWEST_VERSION = 157
HIGHEST_VERSION = 178

# Server versions at which layouts changed.
_FRACTIONAL_SIZE = 163
_SIZE_RULES = 164
_REJECT_JSON = 166
_PEG_BEST = 170
_FA_PROFILE_GONE = 177
_PENDING_PRICE_REVISION = 178

NO_REQUEST = -1


# --- to the client ---------------------------------------------------------------------------------------------------


def handshake(version: int, now: datetime) -> bytes:
    """The answer to the greeting: two fields, always in one write."""
    return frame(version, f"{now:%Y%m%d %H:%M:%S} GMT")


def error(version: int, request_id: int, code: int, text: str) -> bytes:
    """An error, a warning or a notice; ``request_id`` is -1 when it belongs to no request."""
    return frame(4, 2, request_id, code, text, *([""] if version >= _REJECT_JSON else []))


def managed_accounts(account: str) -> bytes:
    """The accounts of this login."""
    return frame(15, 1, account)


def next_valid_id(order_id: int) -> bytes:
    """The lowest order id to use."""
    return frame(9, 1, order_id)


def current_time(seconds: int) -> bytes:
    """The server's time in seconds since the epoch."""
    return frame(49, 1, seconds)


def position(account: str, instrument: Instrument, held: Position) -> bytes:
    """One position."""
    return frame(
        61,
        3,
        account,
        *_contract(instrument, instrument.primary_exchange),
        held.quantity,
        _rounded(held.average_cost),
    )


def position_end() -> bytes:
    """The end of the list of positions."""
    return frame(62, 1)


def account_values(valuation: Valuation) -> list[tuple[str, str, str]]:
    """Return the account as (key, value, currency); what a currency's ledger holds comes for USD and for BASE."""
    general = {
        "AvailableFunds": valuation.available_funds,
        "BuyingPower": valuation.buying_power,
        "EquityWithLoanValue": valuation.net_liquidation,
        "ExcessLiquidity": valuation.available_funds,
        "FullAvailableFunds": valuation.available_funds,
        "FullInitMarginReq": valuation.margin,
        "GrossPositionValue": valuation.gross_value,
        "InitMarginReq": valuation.margin,
        "MaintMarginReq": valuation.margin,
        "NetLiquidation": valuation.net_liquidation,
        "TotalCashValue": valuation.cash,
    }
    return [
        ("AccountType", "INDIVIDUAL", ""),
        *((key, str(amount), "USD") for key, amount in general.items()),
        *ledger_values(valuation),
    ]


def ledger_values(valuation: Valuation) -> list[tuple[str, str, str]]:
    """Return the one currency's ledger as (key, value, currency), for USD and for BASE."""
    ledger = {
        "CashBalance": valuation.cash,
        "NetLiquidationByCurrency": valuation.net_liquidation,
        "RealizedPnL": valuation.realized,
        "StockMarketValue": valuation.market_value,
        "TotalCashBalance": valuation.cash,
        "UnrealizedPnL": valuation.unrealized,
    }
    return [(key, str(amount), currency) for currency in ("USD", "BASE") for key, amount in ledger.items()]


def account_value(key: str, value: str, currency: str, account: str) -> bytes:
    """One value of the account."""
    return frame(6, 2, key, value, currency, account)


def portfolio_value(account: str, instrument: Instrument, value: PositionValue) -> bytes:
    """One position with its present value."""
    return frame(
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


def account_time(now: datetime) -> bytes:
    """When the account values were made."""
    return frame(8, 1, f"{now:%H:%M}")


def account_download_end(account: str) -> bytes:
    """The end of the account values and portfolio."""
    return frame(54, 1, account)


def account_update_multi(request_id: int, account: str, key: str, value: str, currency: str) -> bytes:
    """One value of the account, by request."""
    return frame(73, 1, request_id, account, "", key, value, currency)


def account_update_multi_end(request_id: int) -> bytes:
    """The end of the account values of a request."""
    return frame(74, 1, request_id)


def account_summary(request_id: int, account: str, tag: str, value: str, currency: str) -> bytes:
    """One tag of the account's summary."""
    return frame(63, 1, request_id, account, tag, value, currency)


def account_summary_end(request_id: int) -> bytes:
    """The end of the account's summary."""
    return frame(64, 1, request_id)


def contract_details(version: int, request_id: int, instrument: Instrument) -> bytes:
    """Everything about one instrument."""
    size_rules = version >= _SIZE_RULES
    return frame(
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
        *([1] if version == _FRACTIONAL_SIZE else []),  # smallest size, in this version only
        *([1, 1, 1] if size_rules else []),  # smallest size, size increment, suggested increment
    )


def contract_details_end(request_id: int) -> bytes:
    """The end of the instruments that fit a request."""
    return frame(52, 1, request_id)


def market_data_type(request_id: int) -> bytes:
    """Says that the data of a subscription are live."""
    return frame(58, 1, request_id, 1)


def tick_parameters(request_id: int, instrument: Instrument) -> bytes:
    """The first message of a subscription."""
    return frame(81, request_id, instrument.min_tick, "9c0001", 3)


def close_price(request_id: int, quote: Quote) -> bytes:
    """The previous close."""
    return frame(1, 6, request_id, 9, quote.close, 0, 0)


def ticks(request_id: int, quote: Quote) -> list[bytes]:
    """One tick of the market: bid, ask, last, the time of the last trade and the day's volume."""
    return [
        frame(1, 6, request_id, 1, quote.bid, quote.bid_size, 1),
        frame(1, 6, request_id, 2, quote.ask, quote.ask_size, 1),
        frame(1, 6, request_id, 4, quote.last, quote.last_size, 0),
        frame(46, 6, request_id, 45, quote.time),
        frame(2, 6, request_id, 8, quote.volume),
    ]


def snapshot_end(request_id: int) -> bytes:
    """The end of a snapshot."""
    return frame(57, 1, request_id)


def historical_data(request_id: int, bars: Iterable[Bar], start: int, end: int, as_epoch: bool, daily: bool) -> bytes:
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
    return frame(17, request_id, *boundaries, count, *rows)


def order_status(order: Order) -> bytes:
    """Where an order stands."""
    return frame(
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


def open_order(version: int, account: str, instrument: Instrument, order: Order) -> bytes:
    """An order's terms; what the simulator does not play has the protocol's defaults."""
    return frame(
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
        *([""] if version < _FA_PROFILE_GONE else []),
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
        *([None] if version >= 159 else []),  # duration
        *([None] if version >= 160 else []),  # post to ATS
        *([False] if version >= 162 else []),  # cancelled with its parent
        *([None] * 5 if version >= _PEG_BEST else []),
    )


def open_order_end() -> bytes:
    """The end of the list of open orders."""
    return frame(53, 1)


def completed_orders_end() -> bytes:
    """The end of the list of completed orders."""
    return frame(102)


def execution_details(
    version: int, request_id: int, account: str, instrument: Instrument, execution: Execution
) -> bytes:
    """One fill; ``request_id`` is -1 when it happened just now."""
    return frame(
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
        *([False] if version >= _PENDING_PRICE_REVISION else []),
    )


def execution_end(request_id: int) -> bytes:
    """The end of the executions that fit a request."""
    return frame(55, 1, request_id)


def commission_report(instrument: Instrument, execution: Execution) -> bytes:
    """What a fill cost and realized."""
    return frame(
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


# --- from the client -------------------------------------------------------------------------------------------------


def read_contract(fields: Fields) -> ContractQuery:
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


def read_order(version: int, client_id: int, catalogue: Catalogue, fields: Fields) -> OrderRequest:
    """Read a placeOrder message; what it asks for beyond the simulator's means is named in ``unsupported``."""
    order_id = fields.integer()
    query = read_contract(fields)
    found = catalogue.find(query)
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
    return OrderRequest(
        client_id=client_id,
        order_id=order_id,
        instrument=found[0] if len(found) == 1 else None,
        exchange=query.exchange,
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
