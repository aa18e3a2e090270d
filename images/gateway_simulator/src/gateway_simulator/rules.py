# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker's rules for one order by itself: which terms it takes, and when a stop is touched (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from .hours import parse_time
from .model import (
    AT_CLOSE,
    LIMITED,
    NO_CENTS,
    ORDER_TYPES,
    STOPS,
    TIMES_IN_FORCE,
    TRAILING,
    Instrument,
    Order,
    OrderRequest,
    Quote,
)

LARGEST_QUANTITY = 1_000_000_000
LARGEST_PRICE = 1_000_000_000


def objections(request: OrderRequest, instrument: Instrument, account: str, now: datetime, today: str) -> Iterator[str]:
    """Yield what of an order cannot be played; ``today`` is the broker's day as YYYYMMDD."""
    kind, tif = request.order_type, request.tif
    if request.unsupported:
        yield f"{request.unsupported} is not simulated"
    if request.account not in ("", account):
        yield f"account {request.account} is not {account}"
    if request.action not in ("BUY", "SELL"):
        yield f"action {request.action!r} is neither BUY nor SELL"
    if kind not in ORDER_TYPES:
        yield f"order type {kind!r} is not simulated, only {', '.join(sorted(ORDER_TYPES))}"
    if tif not in TIMES_IN_FORCE:
        yield f"time in force {tif!r} is not simulated, only {', '.join(sorted(TIMES_IN_FORCE))}"
    if not 0 < request.quantity <= LARGEST_QUANTITY or request.quantity != int(request.quantity):
        yield f"quantity {request.quantity} is not a whole number of 1 to {LARGEST_QUANTITY}"
    if instrument.sec_type == "IND":
        yield f"{instrument.symbol} is an index, which cannot be traded"
    if instrument.expiry and instrument.expiry < today:
        yield f"{instrument.local_symbol} expired on {instrument.expiry}"
    if request.oca_type not in (0, 1, 2, 3):
        yield f"OCA type {request.oca_type} is not one of 1, 2, 3"
    if kind in LIMITED - {"TRAIL LIMIT"} and not _is_price(request.limit_price):
        yield f"limit price {request.limit_price} is not between 0 and {LARGEST_PRICE}"
    if kind in STOPS and not _is_price(request.aux_price):
        yield f"stop price {request.aux_price} is not between 0 and {LARGEST_PRICE}"
    if kind in TRAILING and _is_price(request.aux_price) == _is_percent(request.trailing_percent):
        yield f"one of trailing amount {request.aux_price} and percent {request.trailing_percent} is wanted"
    if kind == "TRAIL LIMIT":
        if (request.limit_price_offset is None) == (request.limit_price is None):
            yield f"one of limit price {request.limit_price} and its offset {request.limit_price_offset} is wanted"
        if request.limit_price is not None and request.trail_stop_price is None:
            yield "a trailing limit order with a limit price wants a trailing stop price"
    if (kind in AT_CLOSE or tif == "OPG") and not instrument.hours:
        yield f"{tif} {kind} wants an exchange that opens and closes, this one never does"
    if kind in AT_CLOSE and tif != "DAY":
        yield f"time in force of {kind} is {tif}, wanted DAY"
    if kind in STOPS | TRAILING and tif in ("IOC", "FOK", "OPG"):
        yield f"time in force {tif} does not go with order type {kind}"
    if tif == "GTD":
        try:
            end = parse_time(request.good_till_date, instrument.time_zone)
        except ValueError as error:
            yield f"good till date: {error}"
        else:
            if end <= now:
                yield f"good till date {request.good_till_date} is over"


def terms_of(request: OrderRequest) -> dict[str, Any]:
    """Return the terms of a checked request as fields of Order; prices that its type does not have are left out."""
    kind = request.order_type
    terms = request.terms
    terms["limit_price"] = request.limit_price if kind in LIMITED else None
    terms["aux_price"] = request.aux_price if kind in STOPS | TRAILING else None
    if kind not in TRAILING:
        terms |= {"trail_stop_price": None, "trailing_percent": None}
    if kind != "TRAIL LIMIT":
        terms["limit_price_offset"] = None
    elif request.limit_price is not None and request.trail_stop_price is not None:
        terms["limit_price_offset"] = abs(request.trail_stop_price - request.limit_price)
    return terms


def watched(order: Order, instrument: Instrument, quote: Quote) -> tuple[Order, bool]:
    """Return a stop order as the quote leaves it, its stop price moved if it trails, and whether it is triggered.

    Stops watch the last price, those of currencies the side of the book that they would trade against.
    """
    buying = order.action == "BUY"
    price = quote.last
    if instrument.sec_type == "CASH":
        price = quote.ask if buying else quote.bid
    stop = order.aux_price
    limit = order.limit_price
    if order.order_type in TRAILING:
        percent = order.trailing_percent
        distance = (order.aux_price or NO_CENTS) if percent is None else price * percent / 100
        trailed = _whole_ticks(price + distance if buying else price - distance, instrument.min_tick, up=buying)
        start = order.trail_stop_price if order.stop_price is None else order.stop_price
        stop = trailed if start is None else min(start, trailed) if buying else max(start, trailed)
        if order.order_type == "TRAIL LIMIT":
            offset = order.limit_price_offset or NO_CENTS
            limit = stop + offset if buying else stop - offset
    if stop != order.stop_price or limit != order.limit_price:
        order = order.changed(stop_price=stop, limit_price=limit)
    return order, stop is not None and (price >= stop if buying else price <= stop)


def _whole_ticks(price: Decimal, tick: Decimal, *, up: bool) -> Decimal:
    return (price / tick).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR) * tick


def _is_price(price: Decimal | None) -> bool:
    return price is not None and 0 < price <= LARGEST_PRICE


def _is_percent(percent: Decimal | None) -> bool:
    return percent is not None and 0 < percent < 100
