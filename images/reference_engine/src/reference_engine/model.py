# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine, the ledger and a strategy say to each other: plain values, free of any broker library.

Quantities are units of the instrument (signed where a position is meant: short < 0), prices are in its currency,
times are aware datetimes in UTC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Side = Literal["BUY", "SELL"]
OrderType = Literal["MKT", "LMT", "STP", "STP LMT", "TRAIL"]


def utc_now() -> datetime:
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """Return the moment as the ledger and the logs write it: ``2026-11-22T20:45:01.123Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


# Beyond these a number is no quantity, price or id of a market: a message came damaged.
_MOST: Final = 1e15
_MOST_ID: Final = 2**63


def _check(what: str, numbers: Mapping[str, float | None], ids: Mapping[str, int] = MappingProxyType({})) -> None:
    """Raise ValueError when a number that came from outside cannot be one: the ledger must never see it."""
    for name, number in numbers.items():
        if number is not None and not abs(number) <= _MOST:
            raise ValueError(f"{name} of {what} is {number}, wanted a number within {_MOST:g}")
    for name, number in ids.items():
        if not -_MOST_ID <= number < _MOST_ID:
            raise ValueError(f"{name} of {what} is {number}, wanted a number of 64 bits")


@dataclass(frozen=True)
class Instrument:
    """What is traded. A strategy names it; the gateway link adds ``con_id``, the broker's number for it."""

    symbol: str
    security_type: str = "STK"
    exchange: str = "SMART"
    currency: str = "USD"
    primary_exchange: str = ""
    expiry: str = ""
    con_id: int = 0
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        _check(f"instrument {self.symbol}", {"multiplier": self.multiplier}, {"con id": self.con_id})
        if not self.multiplier > 0:
            raise ValueError(f"multiplier of instrument {self.symbol} is {self.multiplier}, wanted a number above 0")

    def is_named(self, wanted: Instrument) -> bool:
        """Tell whether this is the instrument that a strategy named, which may leave fields empty."""
        mine = (self.symbol, self.security_type, self.exchange, self.currency)
        theirs = (wanted.symbol, wanted.security_type, wanted.exchange, wanted.currency)
        return (
            mine == theirs
            and wanted.primary_exchange in ("", self.primary_exchange)
            and wanted.expiry in ("", self.expiry)
        )


@dataclass(frozen=True)
class Tick:
    """The latest price of an instrument; ``bid`` and ``ask`` None while nobody bids or asks."""

    instrument: Instrument
    price: float
    at: datetime
    bid: float | None = None
    ask: float | None = None


_PRICES_OF: dict[str, tuple[frozenset[str], ...]] = {
    "MKT": (frozenset(),),
    "LMT": (frozenset({"limit_price"}),),
    "STP": (frozenset({"stop_price"}),),
    "STP LMT": (frozenset({"stop_price", "limit_price"}),),
    "TRAIL": tuple(
        frozenset({distance, *start})
        for distance in ("trail_amount", "trail_percent")
        for start in ((), ("stop_price",))
    ),
}


@dataclass(frozen=True)
class OrderRequest:
    """An order as a strategy wishes it.

    Each type has its prices: LMT ``limit_price``; STP ``stop_price``; STP LMT both; TRAIL one of ``trail_amount`` (in
    the instrument's currency) and ``trail_percent``, with ``stop_price`` as the first stop if wanted; MKT none.
    ``outside_regular_hours`` is the engine's to set, by the session that is configured.
    With ``replaces``, the ``order_ref`` of a working order, that order gets these terms: no new one is sent.
    """

    instrument: Instrument
    side: Side
    quantity: float
    order_type: OrderType = "MKT"
    limit_price: float | None = None
    time_in_force: str = "DAY"
    stop_price: float | None = None
    trail_amount: float | None = None
    trail_percent: float | None = None
    replaces: str = ""
    outside_regular_hours: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.quantity < math.inf:
            raise ValueError(f"order quantity is {self.quantity}, wanted a number above 0")
        if self.order_type not in _PRICES_OF:
            raise ValueError(f"order type is {self.order_type!r}, wanted one of {', '.join(_PRICES_OF)}")
        prices = {
            "limit_price": self.limit_price,
            "stop_price": self.stop_price,
            "trail_amount": self.trail_amount,
            "trail_percent": self.trail_percent,
        }
        given = {name: price for name, price in prices.items() if price is not None}
        if given.keys() not in _PRICES_OF[self.order_type]:
            wanted = " or ".join(", ".join(sorted(names)) or "no price" for names in _PRICES_OF[self.order_type])
            raise ValueError(f"{self.order_type} order with {', '.join(given) or 'no price'}: wanted {wanted}")
        for name, price in given.items():
            if not math.isfinite(price):
                raise ValueError(f"{name} is {price}, wanted a finite number")


@dataclass(frozen=True)
class Cancel:
    """A strategy's wish that a working order of its own ends."""

    order_ref: str


class OpenOrder(NamedTuple):
    """An order without a final status, as the ledger has it. Quantities in units, without sign."""

    order_ref: str
    con_id: int | None
    status: str
    symbol: str
    side: Side
    quantity: float
    filled: float
    limit_price: float | None

    @property
    def acknowledged(self) -> bool:
        """Whether the broker has said that it has the order."""
        return self.status not in ("intent", "sent")

    @property
    def remaining(self) -> float:
        """What may still be filled."""
        return max(0.0, round(self.quantity - self.filled, 9))


@dataclass(frozen=True)
class OrderReport:
    """The broker's word on an order. ``status`` is the broker's own term.

    ``error_code`` is 0 when there is none; ``message`` may also be a warning's. Terms that it does not tell are None.
    """

    order_ref: str
    status: str
    broker_order_id: int
    perm_id: int
    client_id: int
    filled: float
    average_price: float
    error_code: int = 0
    message: str = ""
    quantity: float | None = None
    limit_price: float | None = None
    stop_price: float | None = None

    def __post_init__(self) -> None:
        numbers = {"filled": self.filled, "average price": self.average_price, "quantity": self.quantity}
        prices = {"limit price": self.limit_price, "stop price": self.stop_price}
        ids = {"order id": self.broker_order_id, "perm id": self.perm_id, "client id": self.client_id}
        _check(f"order {self.order_ref}", numbers | prices, ids)


@dataclass(frozen=True)
class Execution:
    """One fill. ``exec_id`` is unique at the broker. Commission fields stay None until the broker reports them."""

    exec_id: str
    order_ref: str
    perm_id: int
    client_id: int
    broker_order_id: int
    account: str
    instrument: Instrument
    exchange: str
    side: Side
    quantity: float
    price: float
    executed_at: datetime
    commission: float | None = None
    commission_currency: str | None = None
    realized_pnl: float | None = None

    def __post_init__(self) -> None:
        what = f"execution {self.exec_id!r}"
        amounts = {"price": self.price, "commission": self.commission, "realized profit": self.realized_pnl}
        ids = {"perm id": self.perm_id, "client id": self.client_id, "order id": self.broker_order_id}
        _check(what, {"quantity": self.quantity, **amounts}, ids)
        if not self.exec_id or not self.quantity > 0:
            raise ValueError(f"quantity of {what} is {self.quantity}, wanted an id and a quantity above 0")
        if self.executed_at.tzinfo is None or self.executed_at.year < 2000:
            raise ValueError(f"time of {what} is {self.executed_at}, wanted one with a time zone, from 2000 on")


@dataclass(frozen=True)
class Position:
    """What the account holds of an instrument. ``average_cost`` is per unit, times the multiplier, as IB has it."""

    account: str
    instrument: Instrument
    quantity: float
    average_cost: float

    def __post_init__(self) -> None:
        what = f"position {self.instrument.symbol}"
        _check(what, {"quantity": self.quantity, "average cost": self.average_cost})


@dataclass(frozen=True)
class AccountValues:
    """What the broker says the account is worth, in the account's base currency. None: not told (yet).

    ``daily_pnl`` is realized and unrealized since the broker's day began. ``currency`` is the base currency, and
    ``rates`` is what one unit of another is worth in it.
    """

    net_liquidation: float | None = None
    cash: float | None = None
    unrealized_pnl: float | None = None
    realized_pnl: float | None = None
    daily_pnl: float | None = None
    maintenance_margin: float | None = None
    available_funds: float | None = None
    currency: str = ""
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A limit that is compared with NaN lets everything pass.
        numbers = {name: value for name, value in vars(self).items() if isinstance(value, float)}
        _check("the account", {**numbers, **self.rates})


@dataclass(frozen=True)
class Snapshot:
    """Everything the broker says about the account at one moment; what a reconciliation compares the ledger with."""

    orders: tuple[OrderReport, ...]
    executions: tuple[Execution, ...]
    positions: tuple[Position, ...]
