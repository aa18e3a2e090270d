# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Risk limits: what an order must not do to the account. Pure: everything they judge comes in as a value.

An order that only reduces a position is never refused by a limit on opening one. A limit that cannot be judged, because
a figure is missing, refuses what would open. Every open order counts as if it were filled.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from .guard import Refusal
from .model import OrderRequest, Side


@dataclass(frozen=True)
class InstrumentLimits:
    """Limits of one instrument; None: no limit. ``given`` names those that stand under ``instruments``, None included.

    Positions and sizes in units of the instrument, values in its currency (units x price x multiplier), the collar in
    percent of the market's price.
    """

    max_position: float | None = None
    max_position_value: float | None = None
    max_order_size: float | None = None
    max_order_value: float | None = None
    price_collar_percent: float | None = 5.0
    given: frozenset[str] = frozenset()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(name for name in cls.__dataclass_fields__ if name != "given")


@dataclass(frozen=True)
class RiskLimits:
    """Section ``risk`` of engine.yaml; None: no limit. Money is in the account's base currency.

    ``each`` holds for every instrument, ``instruments`` (by symbol) says otherwise for one.
    """

    each: InstrumentLimits = field(default_factory=InstrumentLimits)
    instruments: Mapping[str, InstrumentLimits] = field(default_factory=dict)
    allowed_instruments: frozenset[str] | None = None
    long_only: bool = False
    max_open_orders: int | None = 50
    max_orders_per_second: int | None = 10
    max_orders_per_minute: int | None = 120
    max_gross_exposure: float | None = None
    max_concentration_percent: float | None = None
    max_daily_loss: float | None = None
    max_drawdown_percent: float | None = None
    max_losing_streak: int | None = None

    @property
    def stops_trading(self) -> bool:
        """Whether any loss stops trading."""
        return any(
            limit is not None for limit in (self.max_daily_loss, self.max_drawdown_percent, self.max_losing_streak)
        )

    def of(self, symbol: str) -> InstrumentLimits:
        """Return the limits that hold for one instrument."""
        own = self.instruments.get(symbol)
        if own is None:
            return self.each
        return InstrumentLimits(
            **{name: getattr(own if name in own.given else self.each, name) for name in InstrumentLimits.names()}
        )


@dataclass(frozen=True)
class Line:
    """One instrument as the account has it. Quantities in units; ``quantity`` is signed, short < 0.

    ``buying`` and ``selling`` are what open orders may still fill. ``price``, ``bid`` and ``ask`` are the market's,
    None while unknown. ``rate`` is what one unit of the instrument's currency is worth in the base currency.
    """

    symbol: str = ""
    quantity: float = 0.0
    buying: float = 0.0
    selling: float = 0.0
    price: float | None = None
    bid: float | None = None
    ask: float | None = None
    multiplier: float = 1.0
    rate: float | None = 1.0

    def only_reduces(self, side: Side, quantity: float) -> bool:
        """Tell whether an order, with every open one on its side, can do no more than close the position."""
        if side == "SELL":
            return not is_above(quantity + self.selling, self.quantity)
        return not is_above(quantity + self.buying, -self.quantity)

    def worst(self, side: Side | None = None, quantity: float = 0.0) -> float:
        """Return the largest position, in units without sign, that open orders and one more may make."""
        long = self.quantity + self.buying + (quantity if side == "BUY" else 0.0)
        short = self.quantity - self.selling - (quantity if side == "SELL" else 0.0)
        return max(abs(self.quantity), long, -short)

    @property
    def mark(self) -> float | None:
        """Return the price that values are made with: the last trade's, or else the middle of bid and ask."""
        if self.price is not None:
            return self.price
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2

    @property
    def exposure(self) -> float | None:
        """Return the worst position's value in base currency, without sign; nothing is worth nothing at any price."""
        quantity, price = self.worst(), self.mark
        if quantity == 0:
            return 0.0
        return None if price is None or self.rate is None else quantity * abs(price) * self.multiplier * self.rate


@dataclass(frozen=True)
class Book:
    """The account at the moment that an order is judged. ``lines`` are by con_id, ``net_liquidation`` in base currency.

    ``closed`` says why nothing may be ordered now, ``reduce_only`` why nothing may be opened; empty: neither.
    """

    lines: Mapping[int, Line] = field(default_factory=dict)
    open_orders: int = 0
    net_liquidation: float | None = None
    closed: str = ""
    reduce_only: Refusal | None = None


class OrderRate:
    """How many orders were let through in the last second and the last minute. Times in seconds, rising."""

    def __init__(self, limits: RiskLimits) -> None:
        self._limits = tuple(
            (name, limit, span)
            for name, limit, span in (
                ("max_orders_per_second", limits.max_orders_per_second, 1.0),
                ("max_orders_per_minute", limits.max_orders_per_minute, 60.0),
            )
            if limit is not None
        )
        # As many as the largest limit needs: the oldest of the last n tells whether one more is too many.
        self._sent: deque[float] = deque(maxlen=max((limit for _, limit, _ in self._limits), default=1))

    def refusal(self, now: float) -> Refusal | None:
        for name, limit, span in self._limits:
            if len(self._sent) >= limit and now - self._sent[-limit] < span:
                return Refusal(name, f"{limit} orders were sent in the last {span:g} s, and {limit} is the limit")
        return None

    def count(self, now: float) -> None:
        """Count an order that is being sent."""
        self._sent.append(now)


def refusal(limits: RiskLimits, request: OrderRequest, book: Book) -> Refusal | None:
    """Return why the order must not be sent, by the first rule that says so; None when it may."""
    return next(_refusals(limits, request, book), None)


def _refusals(limits: RiskLimits, request: OrderRequest, book: Book) -> Iterator[Refusal]:
    symbol = request.instrument.symbol
    line = book.lines.get(request.instrument.con_id, Line(symbol, multiplier=request.instrument.multiplier, rate=None))
    reduces = line.only_reduces(request.side, request.quantity)
    if book.closed:
        yield Refusal("trading_hours", book.closed)
    yield from _collar(limits.of(symbol), request, line, reduces=reduces)
    if reduces:
        return
    if book.reduce_only:
        yield book.reduce_only
    if limits.allowed_instruments is not None and symbol not in limits.allowed_instruments:
        allowed = ", ".join(sorted(limits.allowed_instruments))
        yield Refusal("allowed_instruments", f"{symbol} is not among the instruments allowed: {allowed}")
    if limits.long_only and request.side == "SELL":
        left = line.quantity - line.selling - request.quantity
        yield Refusal("long_only", f"{_told(request)} could make the position {left:g}, and shorts are not allowed")
    if limits.max_open_orders is not None and book.open_orders >= limits.max_open_orders:
        yield Refusal(
            "max_open_orders", f"{book.open_orders} orders are open, and {limits.max_open_orders} is the limit"
        )
    yield from _sizes(limits.of(symbol), request, line)
    yield from _shares(limits, request, line, book)


def _collar(limits: InstrumentLimits, request: OrderRequest, line: Line, *, reduces: bool) -> Iterator[Refusal]:
    """Compare the price that an order asks for, or would get, with the market's.

    A stop is not judged, for it works at a price still to come, and a stop-limit only by how far its two prices are
    apart. Closing a position at the market is not judged either: to be stuck in it is worse than a wide spread.
    """
    percent = limits.price_collar_percent
    if percent is None or request.order_type in ("STP", "TRAIL") or (reduces and request.limit_price is None):
        return
    market = line.mark if request.stop_price is None else request.stop_price
    if market is None:
        if not reduces:
            yield Refusal("price_collar", f"no price of {request.instrument.symbol} is known to judge it by")
        return
    if request.limit_price is not None:
        what, price = "limit", request.limit_price
    elif request.side == "BUY":
        what, price = "ask", line.ask if line.ask is not None else market
    else:
        what, price = "bid", line.bid if line.bid is not None else market
    away = abs(price - market) / abs(market) * 100.0 if market else math.inf
    if is_above(away, percent):
        yield Refusal(
            "price_collar",
            f"{_told(request)}: its {what} {price:g} is {away:.2f} % away from {market:g}, "
            f"and {percent:g} % is the limit",
        )


def _sizes(limits: InstrumentLimits, request: OrderRequest, line: Line) -> Iterator[Refusal]:
    position = line.worst(request.side, request.quantity)
    price = next((p for p in (request.limit_price, request.stop_price, line.mark) if p is not None), None)
    value = None if price is None else price * line.multiplier
    for name, units, limit in (
        ("max_order_size", request.quantity, limits.max_order_size),
        ("max_position", position, limits.max_position),
    ):
        if limit is not None and is_above(units, limit):
            yield Refusal(name, f"{_told(request)}: {_MEANS[name]} {units:g} units, and {limit:g} is the limit")
    for name, units, limit in (
        ("max_order_value", request.quantity, limits.max_order_value),
        ("max_position_value", position, limits.max_position_value),
    ):
        if limit is None:
            continue
        if value is None:
            yield Refusal(name, f"no price of {request.instrument.symbol} is known to judge it by")
        elif is_above(units * abs(value), limit):
            yield Refusal(
                name,
                f"{_told(request)}: {_MEANS[name]} {units * abs(value):.2f} {request.instrument.currency}, "
                f"and {limit:g} is the limit",
            )


_MEANS = {
    "max_order_size": "it is for",
    "max_order_value": "it is for",
    "max_position": "the position could become",
    "max_position_value": "the position could become",
}


def _shares(limits: RiskLimits, request: OrderRequest, line: Line, book: Book) -> Iterator[Refusal]:
    """Judge what the account as a whole could come to."""
    if limits.max_gross_exposure is None and limits.max_concentration_percent is None:
        return
    if line.mark is None:
        line = replace(line, price=request.limit_price)
    after = replace(
        line,
        buying=line.buying + (request.quantity if request.side == "BUY" else 0.0),
        selling=line.selling + (request.quantity if request.side == "SELL" else 0.0),
    )
    if limits.max_gross_exposure is not None:
        lines = {**book.lines, request.instrument.con_id: after}
        exposure = gross_exposure(lines.values())
        if exposure is None:
            unknown = ", ".join(sorted(other.symbol or "?" for other in lines.values() if other.exposure is None))
            yield Refusal("max_gross_exposure", f"a price or an exchange rate is not known of {unknown}")
        elif is_above(exposure, limits.max_gross_exposure):
            yield Refusal(
                "max_gross_exposure",
                f"{_told(request)}: all positions together could become {exposure:.2f}, "
                f"and {limits.max_gross_exposure:g} is the limit",
            )
    if limits.max_concentration_percent is not None:
        exposure = after.exposure
        if exposure is None or not book.net_liquidation or book.net_liquidation < 0:
            unknown = "what the account is worth" if exposure is not None else "a price or an exchange rate"
            yield Refusal("max_concentration", f"{unknown} is not known to judge {request.instrument.symbol} by")
        elif is_above(share := exposure / book.net_liquidation * 100.0, limits.max_concentration_percent):
            yield Refusal(
                "max_concentration",
                f"{_told(request)}: the position could become {share:.2f} % of the account, "
                f"and {limits.max_concentration_percent:g} % is the limit",
            )


def gross_exposure(lines: Iterable[Line]) -> float | None:
    """Return what positions and open orders may add up to, without sign, in base currency; None when not known."""
    total = 0.0
    for line in lines:
        exposure = line.exposure
        if exposure is None:
            return None
        total += exposure
    return total


def is_above(seen: float, limit: float) -> bool:
    """Compare quantities and money; binary fractions that differ in the ninth digit are the same."""
    return round(seen - limit, 9) > 0


def _told(request: OrderRequest) -> str:
    return f"{request.side} {request.quantity:g} {request.instrument.symbol}"


# -- what stops trading


@dataclass(frozen=True)
class Figures:
    """The account's state of risk. Money in base currency; None: not known. ``losing_streak`` counts closed trades."""

    net_liquidation: float | None = None
    peak: float | None = None
    daily_pnl: float | None = None
    losing_streak: int = 0

    @property
    def drawdown_percent(self) -> float | None:
        """Return how far net liquidation is below its peak, 0 at the peak."""
        if self.net_liquidation is None or self.peak is None or self.peak <= 0:
            return None
        return max(0.0, (self.peak - self.net_liquidation) / self.peak * 100.0)


class Stop(NamedTuple):
    """Why trading must stop: ``daily_loss`` until the next day, ``tilt`` and ``drawdown`` until a person lifts it."""

    kind: Literal["daily_loss", "tilt", "drawdown"]
    message: str


def stops(limits: RiskLimits, figures: Figures) -> list[Stop]:
    """Return every reason to stop trading that the figures give."""
    found: list[Stop] = []
    loss, limit = figures.daily_pnl, limits.max_daily_loss
    if limit is not None and loss is not None and not is_above(limit, -loss):
        found.append(Stop("daily_loss", f"the day's loss is {-loss:.2f}, and {limit:g} is the limit"))
    streak = limits.max_losing_streak
    if streak is not None and figures.losing_streak >= streak:
        found.append(Stop("tilt", f"{figures.losing_streak} losing trades in a row, and {streak} is the limit"))
    drawdown, percent = figures.drawdown_percent, limits.max_drawdown_percent
    if percent is not None and drawdown is not None and not is_above(percent, drawdown):
        found.append(
            Stop(
                "drawdown",
                f"net liquidation {figures.net_liquidation:.2f} is {drawdown:.2f} % below its peak {figures.peak:.2f}, "
                f"and {percent:g} % is the limit",
            )
        )
    return found
