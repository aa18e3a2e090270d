# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plain data that the simulator's parts share: instruments, prices, orders, fills, holdings, the broker's news.

Amounts of money are decimals in the currency that is named beside them, prices are per unit of the instrument's
underlying (one share, one index point), moments are ISO 8601 in UTC unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from enum import IntEnum
from typing import Any, ClassVar, Self

NO_CENTS = Decimal("0.00")
_CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    """Round an amount of money to whole cents, half to even."""
    return amount.quantize(_CENT, ROUND_HALF_EVEN)


class Record:
    """What is part of the saved state: a dataclass of JSON values, tuples of them, and decimals, saved as strings."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: str(value) if type(value) is Decimal else value for name, value in values.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the record of ``to_json``. Raises TypeError or ArithmeticError for anything else."""
        values = {name: tuple(value) if type(value) is list else value for name, value in document.items()}
        for name, entry in cls.__dataclass_fields__.items():
            # What an earlier version did not save has its default.
            if "Decimal" in str(entry.type) and values.get(name) is not None:
                values[name] = Decimal(values[name])
        return cls(**values)


# --- instruments -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Instrument(Record):
    """One listed instrument.

    ``reference_price`` is what the price process swings around and ``volatility`` its yearly standard deviation
    (0.25 = 25 %); ``spread`` counts ticks. Amounts are in ``currency``.

    ``expiry`` is the last trading day as YYYYMMDD, ``contract_month`` its month as YYYYMM, ``right`` C or P; all three
    are empty, and ``strike`` is 0, for what has none. ``multiplier`` is the number of units of one contract.
    ``under_con_id`` is the contract id of what a derivative is derived from: its prices follow that one's.
    ``hours`` names exchange hours of the world, empty for never closed, and ``time_zone`` is theirs.
    The margins, and ``commission``, are amounts per contract of a future.
    """

    con_id: int
    symbol: str
    sec_type: str
    currency: str
    primary_exchange: str
    valid_exchanges: tuple[str, ...]
    long_name: str
    min_tick: Decimal
    reference_price: Decimal
    volatility: float
    local_symbol: str
    trading_class: str
    market_name: str
    stock_type: str = ""
    industry: str = ""
    category: str = ""
    spread: int = 1
    expiry: str = ""
    strike: Decimal = Decimal(0)
    right: str = ""
    multiplier: int = 1
    under_con_id: int = 0
    under_symbol: str = ""
    under_sec_type: str = ""
    contract_month: str = ""
    hours: str = ""
    time_zone: str = "UTC"
    initial_margin: Decimal = NO_CENTS
    maintenance_margin: Decimal = NO_CENTS
    commission: Decimal = NO_CENTS

    @property
    def is_derivative(self) -> bool:
        """Tell whether the instrument expires."""
        return bool(self.expiry)

    @property
    def multiplier_text(self) -> str:
        """The multiplier as the protocol gives it: empty for stocks and currencies."""
        return str(self.multiplier) if self.expiry else ""

    def round_to_tick(self, price: float) -> Decimal:
        """Return ``price`` as the nearest multiple of the minimum tick, at least one tick."""
        ticks = max(1, round(price / float(self.min_tick)))
        return ticks * self.min_tick


@dataclass(frozen=True, slots=True)
class ContractQuery:
    """The contract fields of a client's request; an empty field, a strike of 0 and a con_id of 0 do not restrict.

    ``expiry`` is a day as YYYYMMDD or a month as YYYYMM; ``right`` C, CALL, P or PUT. Security ids are not looked at.
    """

    con_id: int = 0
    symbol: str = ""
    sec_type: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""
    expiry: str = ""
    strike: Decimal = Decimal(0)
    right: str = ""
    multiplier: str = ""

    def matches(self, instrument: Instrument) -> bool:
        """Tell whether ``instrument`` fits every field that the client filled in."""
        wanted_exchanges = {self.exchange, self.primary_exchange} - {"", "IBKRATS"}
        return (
            self.con_id in (0, instrument.con_id)
            and bool(self.con_id or self.symbol or self.local_symbol)
            and self.symbol in ("", instrument.symbol)
            and self.sec_type in ("", instrument.sec_type)
            and self.currency in ("", instrument.currency)
            and self.local_symbol in ("", instrument.local_symbol)
            and self.trading_class in ("", instrument.trading_class)
            and wanted_exchanges <= set(instrument.valid_exchanges)
            and (not self.expiry or self.expiry in (instrument.expiry, instrument.contract_month))
            and (not self.strike or self.strike == instrument.strike)
            and self.right.strip("?0")[:1] in ("", instrument.right)
            and self.multiplier in ("", instrument.multiplier_text)
        )


@dataclass(frozen=True, slots=True)
class OptionParameters:
    """The chain of one underlying at one exchange; expirations as YYYYMMDD and strikes are sorted."""

    exchange: str
    under_con_id: int
    trading_class: str
    multiplier: str
    expirations: tuple[str, ...]
    strikes: tuple[Decimal, ...]


# --- prices ----------------------------------------------------------------------------------------------------------


class TickKind(IntEnum):
    """The kinds of ticks that the simulator sends, by their numbers in the protocol."""

    BID_SIZE = 0
    BID = 1
    ASK = 2
    ASK_SIZE = 3
    LAST = 4
    LAST_SIZE = 5
    VOLUME = 8
    CLOSE = 9
    LAST_TIME = 45
    RT_VOLUME = 48
    HALTED = 49
    RT_TRADE_VOLUME = 77


@dataclass(frozen=True, slots=True)
class Quote:
    """The top of the book at one tick; prices in the instrument's currency, sizes in units (shares).

    ``time`` is in seconds since the epoch, ``close`` the close of the day before.
    """

    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: int
    ask_size: int
    last_size: int
    volume: int
    close: Decimal
    time: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One historical bar; ``start`` in seconds since the epoch."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    average: Decimal
    count: int


# --- orders ----------------------------------------------------------------------------------------------------------

# PendingSubmit   on its way to the broker, or kept by the gateway because it is not to be transmitted yet
# PreSubmitted    at the broker, not yet at the exchange: waits for its parent, its trigger or the exchange's hours
# Submitted       at the exchange
# PendingCancel   its cancellation is on its way to the broker
# Filled, Cancelled and Inactive (refused) are final.
WORKING = frozenset({"PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel"})

# Order types that carry a limit price, a stop price, and those that trail the market.
LIMITED = frozenset({"LMT", "STP LMT", "TRAIL LIMIT", "LOC"})
STOPS = frozenset({"STP", "STP LMT"})
TRAILING = frozenset({"TRAIL", "TRAIL LIMIT"})
AT_CLOSE = frozenset({"MOC", "LOC"})
ORDER_TYPES = frozenset({"MKT"}) | LIMITED | STOPS | TRAILING | AT_CLOSE
TIMES_IN_FORCE = frozenset({"DAY", "GTC", "IOC", "FOK", "GTD", "OPG"})


@dataclass(frozen=True, kw_only=True)
class OrderTerms:
    """What a client decides about an order beside its contract, side and quantity. None is a price that is not given.

    ``aux_price`` is the stop price of a stop order and the trailing amount of a trailing one, which may have
    ``trailing_percent`` (1 = 1 %) instead; ``trail_stop_price`` is where a trailing stop starts.
    ``good_till_date`` is as the client sent it. ``parent_id`` is an order id of the same client, 0 for no parent.
    ``given_back`` has the terms without an effect here, by their names in the protocol, as texts.
    """

    order_type: str
    limit_price: Decimal | None
    aux_price: Decimal | None = None
    trail_stop_price: Decimal | None = None
    trailing_percent: Decimal | None = None
    limit_price_offset: Decimal | None = None
    tif: str
    good_till_date: str = ""
    oca_group: str = ""
    oca_type: int = 0
    parent_id: int = 0
    transmit: bool = True
    open_close: str
    origin: int
    order_ref: str
    outside_rth: bool
    hidden: bool
    all_or_none: bool = False
    given_back: Mapping[str, str] = field(default_factory=dict)

    @property
    def terms(self) -> dict[str, Any]:
        """The terms, by name."""
        return {name: getattr(self, name) for name in OrderTerms.__dataclass_fields__}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest(OrderTerms):
    """What a client asked for in one placeOrder; ``instrument`` is None when its contract fits not exactly one.

    ``unsupported`` names what the order uses that the simulator does not play: it is rejected rather than played wrong.
    """

    client_id: int
    order_id: int
    instrument: Instrument | None
    exchange: str
    action: str
    quantity: Decimal
    account: str
    what_if: bool = False
    unsupported: str = ""


@dataclass(frozen=True, kw_only=True)
class Order(OrderTerms, Record):
    """An order as the broker knows it; a change makes a new one. ``filled_value`` is the sum of price x units.

    ``stop_price`` is where a stop order triggers now; a trailing one moves it. ``why_held`` says what an order in
    PreSubmitted waits for: ``child`` its parent, ``trigger`` its stop price, empty the exchange's hours.
    An order made by hand, at the broker's own terminal, belongs to client 0 and has a negative order id, which clients
    see as 0 until client 0 binds it. ``expires_at`` is in seconds since the epoch, None for never. ``completed_at``
    and ``completed_status`` are empty while the order is working.
    """

    client_id: int
    order_id: int
    perm_id: int
    con_id: int
    exchange: str
    action: str
    quantity: int
    placed_at: str
    status: str = "PreSubmitted"
    filled: int = 0
    filled_value: Decimal = Decimal(0)
    last_fill_price: Decimal = Decimal(0)
    commission: Decimal = NO_CENTS
    stop_price: Decimal | None = None
    triggered: bool = False
    why_held: str = ""
    bound: bool = True
    expires_at: int | None = None
    completed_at: str = ""
    completed_status: str = ""

    def changed(self, **values: Any) -> Self:
        """Return the order with other values: ``dataclasses.replace``, which orders are too large for."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **values)
        return copy

    @property
    def key(self) -> tuple[int, int]:
        """The identity of the order for its client: (client id, order id)."""
        return self.client_id, self.order_id

    @property
    def visible_id(self) -> int:
        """The order id that clients are told: 0 for an order made by hand that is not bound."""
        return self.order_id if self.bound else 0

    @property
    def remaining(self) -> int:
        """Units not yet filled."""
        return self.quantity - self.filled

    @property
    def average_fill_price(self) -> Decimal:
        """Average price of the fills, 0 when there are none."""
        return self.filled_value / self.filled if self.filled else Decimal(0)

    @property
    def is_held(self) -> bool:
        """Tell whether the order waits for its parent."""
        return self.why_held.startswith("child")

    @property
    def is_working(self) -> bool:
        """Tell whether the order can still be filled, modified or cancelled."""
        return self.status in WORKING


@dataclass(frozen=True, slots=True)
class MarginChange:
    """What an order would do to the account, in its base currency: before, by how much, after; and what it costs."""

    initial_before: Decimal
    initial_after: Decimal
    maintenance_before: Decimal
    maintenance_after: Decimal
    equity_before: Decimal
    equity_after: Decimal
    commission: Decimal
    commission_currency: str
    warning: str = ""

    @property
    def initial_change(self) -> Decimal:
        """By how much the initial margin changes."""
        return self.initial_after - self.initial_before

    @property
    def maintenance_change(self) -> Decimal:
        """By how much the maintenance margin changes."""
        return self.maintenance_after - self.maintenance_before

    @property
    def equity_change(self) -> Decimal:
        """By how much the equity with loan value changes."""
        return self.equity_after - self.equity_before


# --- fills and holdings ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Execution(Record):
    """One fill. ``realized`` is None when it only opened or added to a position; ``time`` is ISO 8601 UTC.

    The last of the id's parts between periods counts corrections: a later one with all other parts alike replaces it.
    """

    execution_id: str
    client_id: int
    order_id: int
    perm_id: int
    con_id: int
    exchange: str
    side: str
    quantity: int
    price: Decimal
    cumulative_quantity: int
    average_price: Decimal
    order_ref: str
    time: str
    commission: Decimal
    realized: Decimal | None

    @property
    def signed_quantity(self) -> int:
        """Units bought, negative when sold."""
        return self.quantity if self.side == "BOT" else -self.quantity


@dataclass(frozen=True, slots=True)
class Position(Record):
    """Units held (negative = short), what they cost with commissions (same sign), and what was realized on them.

    Amounts are in the instrument's currency. ``unpaid`` is the part of the cost that never left the cash: the whole
    price of futures. ``day_profit`` is what was realized and unrealized on it when the broker's day began.
    """

    con_id: int
    quantity: int = 0
    cost: Decimal = NO_CENTS
    realized: Decimal = NO_CENTS
    unpaid: Decimal = NO_CENTS
    realized_before: Decimal = NO_CENTS
    day_profit: Decimal = NO_CENTS

    @property
    def is_current(self) -> bool:
        """Tell whether anything is held, or something was closed during the day."""
        return bool(self.quantity) or self.realized != self.realized_before

    @property
    def average_cost(self) -> Decimal:
        """Cost per contract or share, 0 when nothing is held."""
        return self.cost / self.quantity if self.quantity else Decimal(0)


@dataclass(frozen=True, slots=True)
class PositionValue:
    """A position at the current price, in the instrument's currency, 1 of which is worth ``rate`` in the base one.

    Nobody asks for the price of a position that is not current: it is 0.
    """

    position: Position
    price: Decimal
    market_value: Decimal
    unrealized: Decimal
    currency: str = "USD"
    sec_type: str = "STK"
    rate: Decimal = Decimal(1)

    @property
    def equity(self) -> Decimal:
        """What the position adds to the account's worth: its value, or the profit on it where it was never paid for."""
        return self.market_value - self.position.unpaid

    @property
    def pnl(self) -> Pnl:
        """The position's profit and loss, in the instrument's currency."""
        held = self.position
        daily = self.unrealized + held.realized - held.day_profit
        return Pnl(daily, self.unrealized, held.realized - held.realized_before)


@dataclass(frozen=True, slots=True)
class Pnl:
    """Profit and loss: of the day so far, of what is held, and what was realized during the day."""

    daily: Decimal
    unrealized: Decimal
    realized: Decimal


@dataclass(frozen=True, slots=True)
class CurrencyLedger:
    """What the account has in one currency, in that currency, 1 of which is worth ``rate`` in the base one."""

    currency: str
    rate: Decimal
    cash: Decimal
    positions: tuple[PositionValue, ...] = ()

    @property
    def realized(self) -> Decimal:
        """Realized profit and loss since the account began."""
        return sum((held.position.realized for held in self.positions), NO_CENTS)

    @property
    def unrealized(self) -> Decimal:
        """Profit and loss of what is held."""
        return sum((held.unrealized for held in self.positions), NO_CENTS)

    @property
    def equity(self) -> Decimal:
        """What the positions add to the account's worth."""
        return sum((held.equity for held in self.positions), NO_CENTS)

    def value_of(self, *sec_types: str) -> Decimal:
        """What the positions in instruments of these types add to the account's worth."""
        return sum((held.equity for held in self.positions if held.sec_type in sec_types), NO_CENTS)

    @property
    def net_liquidation(self) -> Decimal:
        """What the account is worth in this currency."""
        return self.cash + self.equity

    @property
    def pnl(self) -> Pnl:
        """Profit and loss in this currency: the sum of the positions'."""
        parts = [held.pnl for held in self.positions]
        return Pnl(
            sum((part.daily for part in parts), NO_CENTS),
            sum((part.unrealized for part in parts), NO_CENTS),
            sum((part.realized for part in parts), NO_CENTS),
        )


@dataclass(frozen=True, slots=True)
class Valuation:
    """The account at the current prices, in its base currency but for the ledgers, each of which is in its own.

    ``ledgers`` has the base currency first. Amounts in other currencies are converted to whole cents, one by one.
    """

    base_currency: str
    ledgers: tuple[CurrencyLedger, ...]
    initial_margin: Decimal
    maintenance_margin: Decimal
    leverage: Decimal = Decimal(4)
    positions: tuple[PositionValue, ...] = ()

    def _sum(self, amounts: list[tuple[Decimal, Decimal]]) -> Decimal:
        return sum((amount if rate == 1 else cents(amount * rate) for amount, rate in amounts), NO_CENTS)

    @property
    def cash(self) -> Decimal:
        """Cash of all currencies."""
        return self._sum([(ledger.cash, ledger.rate) for ledger in self.ledgers])

    @property
    def realized(self) -> Decimal:
        """Realized profit and loss since the account began."""
        return self._sum([(ledger.realized, ledger.rate) for ledger in self.ledgers])

    @property
    def unrealized(self) -> Decimal:
        """Profit and loss of what is held."""
        return self._sum([(ledger.unrealized, ledger.rate) for ledger in self.ledgers])

    @property
    def market_value(self) -> Decimal:
        """What the positions add to the account's worth: the signed value of what was paid for, profit on futures."""
        return self._sum([(ledger.equity, ledger.rate) for ledger in self.ledgers])

    @property
    def gross_value(self) -> Decimal:
        """Value of everything held but futures, short positions counted as positive."""
        return self._sum([(abs(held.market_value), held.rate) for held in self.positions if held.sec_type != "FUT"])

    @property
    def net_liquidation(self) -> Decimal:
        """What the account is worth."""
        return self.cash + self.market_value

    @property
    def available_funds(self) -> Decimal:
        """What the initial margin leaves free for new positions."""
        return self.net_liquidation - self.initial_margin

    @property
    def excess_liquidity(self) -> Decimal:
        """What the maintenance margin leaves free."""
        return self.net_liquidation - self.maintenance_margin

    @property
    def buying_power(self) -> Decimal:
        """What new positions in stocks may be worth."""
        return self.leverage * self.available_funds

    @property
    def pnl(self) -> Pnl:
        """The account's profit and loss."""
        parts = [(ledger.pnl, ledger.rate) for ledger in self.ledgers]
        return Pnl(
            self._sum([(pnl.daily, rate) for pnl, rate in parts]),
            self._sum([(pnl.unrealized, rate) for pnl, rate in parts]),
            self._sum([(pnl.realized, rate) for pnl, rate in parts]),
        )


# --- what the broker tells -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """The order's owner is told its terms and its status."""

    order: Order


@dataclass(frozen=True, slots=True)
class OrderFailed:
    """The order's owner is told an error code and text; the order itself may live on (399 is a warning)."""

    client_id: int
    order_id: int
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class OrderPreviewed:
    """The client is told what its order would do; there is no such order. ``order`` has the terms, perm id 0."""

    order: Order
    margin: MarginChange


@dataclass(frozen=True, slots=True)
class OrderBound:
    """Client 0 is told the order id that an order made by hand has from now on."""

    order: Order


@dataclass(frozen=True, slots=True)
class Executed:
    """The order's owner is told of a fill, or of a correction of one."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class Charged:
    """The order's owner is told the commission of a fill."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class PositionChanged:
    """Everyone who follows the account is told of a position."""

    position: Position


Event = OrderChanged | OrderFailed | OrderPreviewed | OrderBound | Executed | Charged | PositionChanged
