# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine, the ledger and a strategy say to each other: plain values, free of any broker library.

Quantities are units of the instrument (signed where a position is meant: short < 0), prices are in its currency,
times are aware datetimes in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Side = Literal["BUY", "SELL"]
OrderType = Literal["MKT", "LMT"]


def utc_now() -> datetime:
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """Return the moment as the ledger and the logs write it: ``2026-11-22T20:45:01.123Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


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


@dataclass(frozen=True)
class Tick:
    """The latest price of an instrument."""

    instrument: Instrument
    price: float
    at: datetime


@dataclass(frozen=True)
class OrderRequest:
    """An order as a strategy wishes it. ``limit_price`` is required for LMT and refused for MKT."""

    instrument: Instrument
    side: Side
    quantity: float
    order_type: OrderType = "MKT"
    limit_price: float | None = None
    time_in_force: str = "DAY"

    def __post_init__(self) -> None:
        if not self.quantity > 0:
            raise ValueError(f"order quantity is {self.quantity}, wanted a number above 0")
        if (self.order_type == "LMT") != (self.limit_price is not None):
            raise ValueError(
                f"{self.order_type} order with limit_price {self.limit_price}: LMT needs one, MKT has none"
            )


@dataclass(frozen=True)
class OrderReport:
    """The broker's word on an order. ``status`` is the broker's own term.

    ``error_code`` is 0 when there is none; ``message`` may also be a warning's.
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


@dataclass(frozen=True)
class Position:
    """What the account holds of an instrument. ``average_cost`` is per unit, times the multiplier, as IB has it."""

    account: str
    instrument: Instrument
    quantity: float
    average_cost: float


@dataclass(frozen=True)
class Snapshot:
    """Everything the broker says about the account at one moment; what a reconciliation compares the ledger with."""

    orders: tuple[OrderReport, ...]
    executions: tuple[Execution, ...]
    positions: tuple[Position, ...]
