# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits refuse what would go beyond them, and never what only closes a position."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_engine.guard import Refusal
from reference_engine.model import OrderRequest, Side
from reference_engine.risk import (
    Book,
    Figures,
    InstrumentLimits,
    Line,
    OrderRate,
    RiskLimits,
    gross_exposure,
    refusal,
    stops,
)
from tests.engine.support import AAPL

NO_LIMITS = RiskLimits(
    each=InstrumentLimits(price_collar_percent=None),
    max_open_orders=None,
    max_orders_per_second=None,
    max_orders_per_minute=None,
)
LINE = Line(symbol="AAPL", price=100.0, bid=99.9, ask=100.1)


def order(side: Side = "BUY", quantity: float = 10, **terms: Any) -> OrderRequest:
    return OrderRequest(AAPL, side, quantity, **terms)


def limits(**given: Any) -> RiskLimits:
    """Return no limits but these."""
    each = {name: given.pop(name) for name in InstrumentLimits.names() if name in given}
    return replace(NO_LIMITS, each=replace(NO_LIMITS.each, **each), **given)


def judge(limits: RiskLimits, request: OrderRequest, line: Line = LINE, **book: Any) -> str:
    """Return the refusal as ``kind: message``, an empty text when the order may be sent."""
    lines = {AAPL.con_id: line, **book.pop("others", {})}
    found = refusal(limits, request, Book(lines=lines, **book))
    return f"{found.kind}: {found.message}" if found else ""


@pytest.mark.parametrize(
    ("given", "request_", "line", "book", "refused"),
    [
        # size of an order
        ({"max_order_size": 10}, order(quantity=10), LINE, {}, ""),
        (
            {"max_order_size": 10},
            order(quantity=11),
            LINE,
            {},
            "max_order_size: BUY 11 AAPL: it is for 11 units, and 10 is the limit",
        ),
        (
            {"max_order_value": 1000},
            order(quantity=11),
            LINE,
            {},
            "max_order_value: BUY 11 AAPL: it is for 1100.00 USD, and 1000 is the limit",
        ),
        ({"max_order_value": 1000}, order(quantity=11, order_type="LMT", limit_price=90.0), LINE, {}, ""),
        (
            {"max_order_value": 1000},
            order(),
            Line(),
            {},
            "max_order_value: no price of AAPL is known to judge it by",
        ),
        # size of a position: what works counts as if it were filled
        ({"max_position": 30}, order(), replace(LINE, quantity=10, buying=10), {}, ""),
        (
            {"max_position": 30},
            order(),
            replace(LINE, quantity=15, buying=10),
            {},
            "max_position: BUY 10 AAPL: the position could become 35 units, and 30 is the limit",
        ),
        (
            {"max_position": 30},
            order("SELL", 50),
            replace(LINE, quantity=10),
            {},
            "max_position: SELL 50 AAPL: the position could become 40 units, and 30 is the limit",
        ),
        (
            {"max_position_value": 1500},
            order(),
            replace(LINE, quantity=2, multiplier=5),
            {},
            "max_position_value: BUY 10 AAPL: the position could become 6000.00 USD, and 1500 is the limit",
        ),
        # collar
        ({"price_collar_percent": 5}, order(order_type="LMT", limit_price=105.0), LINE, {}, ""),
        (
            {"price_collar_percent": 5},
            order(order_type="LMT", limit_price=105.1),
            LINE,
            {},
            "price_collar: BUY 10 AAPL: its limit 105.1 is 5.10 % away from 100, and 5 % is the limit",
        ),
        (
            {"price_collar_percent": 5},
            order("SELL", order_type="LMT", limit_price=10.0),
            replace(LINE, quantity=10),
            {},
            "price_collar: SELL 10 AAPL: its limit 10 is 90.00 % away from 100, and 5 % is the limit",
        ),
        (
            {"price_collar_percent": 5},
            order(),
            replace(LINE, ask=106.0),
            {},
            "price_collar: BUY 10 AAPL: its ask 106 is 6.00 % away from 100, and 5 % is the limit",
        ),
        ({"price_collar_percent": 5}, order(), replace(LINE, bid=90.0), {}, ""),
        ({"price_collar_percent": 5}, order(), replace(LINE, price=None), {}, ""),  # by the middle of bid and ask
        ({"price_collar_percent": 5}, order(), Line(), {}, "price_collar: no price of AAPL is known to judge it by"),
        ({"price_collar_percent": 5}, order(order_type="STP", stop_price=150.0), LINE, {}, ""),
        (
            {"price_collar_percent": 5},
            order(order_type="STP LMT", stop_price=150.0, limit_price=160.0),
            LINE,
            {},
            "price_collar: BUY 10 AAPL: its limit 160 is 6.67 % away from 150, and 5 % is the limit",
        ),
        # what closes a position is sold at any market
        ({"price_collar_percent": 5}, order("SELL"), replace(LINE, quantity=10, bid=50.0), {}, ""),
        # long only
        (
            {"long_only": True},
            order("SELL"),
            replace(LINE, quantity=15, selling=10),
            {},
            "long_only: SELL 10 AAPL could make the position -5, and shorts are not allowed",
        ),
        ({"long_only": True}, order("SELL"), replace(LINE, quantity=15), {}, ""),
        # instruments
        (
            {"allowed_instruments": frozenset({"MSFT", "IBM"})},
            order(),
            LINE,
            {},
            "allowed_instruments: AAPL is not among the instruments allowed: IBM, MSFT",
        ),
        ({"allowed_instruments": frozenset({"AAPL"})}, order(), LINE, {}, ""),
        # open orders
        ({"max_open_orders": 3}, order(), LINE, {"open_orders": 2}, ""),
        (
            {"max_open_orders": 3},
            order(),
            LINE,
            {"open_orders": 3},
            "max_open_orders: 3 orders are open, and 3 is the limit",
        ),
        # the account as a whole
        (
            {"max_gross_exposure": 5000},
            order(),
            replace(LINE, quantity=10, buying=10),
            {"others": {1: Line("IBM", quantity=-9, price=250.0, rate=1.0)}},
            "max_gross_exposure: BUY 10 AAPL: all positions together could become 5250.00, and 5000 is the limit",
        ),
        (
            {"max_gross_exposure": 5000},
            order(),
            replace(LINE, quantity=10, buying=10),
            {"others": {1: Line("IBM", quantity=-8, price=250.0, rate=1.0)}},
            "",
        ),
        (
            {"max_gross_exposure": 5000},
            order(),
            LINE,
            {"others": {1: Line("SAP", quantity=1, price=100.0, rate=None), 2: Line("IBM", quantity=1)}},
            "max_gross_exposure: a price or an exchange rate is not known of IBM, SAP",
        ),
        ({"max_gross_exposure": 1100}, order(), replace(LINE, rate=1.1), {}, ""),
        (
            {"max_concentration_percent": 10},
            order(),
            replace(LINE, quantity=1),
            {"net_liquidation": 10_000.0},
            "max_concentration: BUY 10 AAPL: the position could become 11.00 % of the account, and 10 % is the limit",
        ),
        ({"max_concentration_percent": 10}, order(), LINE, {"net_liquidation": 10_000.0}, ""),
        (
            {"max_concentration_percent": 10},
            order(),
            LINE,
            {},
            "max_concentration: what the account is worth is not known to judge AAPL by",
        ),
        # the exchange, and the end of the day
        ({}, order(), LINE, {"closed": "the exchange is closed"}, "trading_hours: the exchange is closed"),
        (
            {},
            order("SELL"),
            replace(LINE, quantity=10),
            {"closed": "the exchange is closed"},
            "trading_hours: the exchange is closed",
        ),
        ({}, order(), LINE, {"reduce_only": Refusal("daily_loss", "enough")}, "daily_loss: enough"),
        ({}, order("SELL"), replace(LINE, quantity=10), {"reduce_only": Refusal("daily_loss", "enough")}, ""),
    ],
)
def test_order_is_refused_by_the_limit_it_would_break(
    given: dict[str, Any], request_: OrderRequest, line: Line, book: dict[str, Any], refused: str
) -> None:
    assert judge(limits(**given), request_, line, **book) == refused


def test_who_sets_nothing_has_a_collar_and_a_rate_and_no_other_limit() -> None:
    nothing = RiskLimits()
    assert judge(nothing, order(quantity=1e6), net_liquidation=1.0) == ""
    assert judge(nothing, order("SELL", 1e6)) == ""
    assert judge(nothing, order(order_type="LMT", limit_price=110.0)).startswith("price_collar: ")
    assert judge(nothing, order(), open_orders=50).startswith("max_open_orders: ")
    assert (nothing.max_orders_per_second, nothing.max_orders_per_minute) == (10, 120)
    assert stops(nothing, Figures(1.0, 1e9, -1e9, 1000)) == []


def test_limits_of_an_instrument_win_and_leave_the_others() -> None:
    own = InstrumentLimits(max_position=None, max_order_size=5, given=frozenset({"max_position", "max_order_size"}))
    both = replace(limits(max_position=10, max_order_value=500), instruments={"AAPL": own})
    assert both.of("AAPL") == InstrumentLimits(None, None, 5, 500, None)
    assert both.of("MSFT") == InstrumentLimits(10, None, None, 500, None)
    assert judge(both, order(quantity=6)).startswith("max_order_size: ")
    assert judge(both, order(quantity=5), replace(LINE, quantity=100)) == ""


STRICT = RiskLimits(
    each=InstrumentLimits(1, 1, 1, 1, 0.001),
    allowed_instruments=frozenset({"MSFT"}),
    long_only=True,
    max_open_orders=1,
    max_gross_exposure=1,
    max_concentration_percent=0.001,
)


@given(
    held=st.integers(1, 10_000),
    working=st.integers(0, 10_000),
    quantity=st.integers(1, 10_000),
    short=st.booleans(),
    known=st.booleans(),
)
def test_what_only_closes_a_position_passes_every_limit_and_what_opens_passes_none(
    held: int, working: int, quantity: int, short: bool, known: bool
) -> None:
    line = Line(
        "AAPL",
        quantity=-held if short else held,
        buying=working if short else 0,
        selling=0 if short else working,
        price=100.0 if known else None,
    )
    book = {"open_orders": 9, "net_liquidation": 1e9 if known else None, "reduce_only": Refusal("daily_loss", "")}
    closing = judge(STRICT, order("BUY" if short else "SELL", quantity), line, **book)
    assert (closing == "") is (quantity + working <= held)
    assert judge(STRICT, order("SELL" if short else "BUY", quantity), line, **book) != ""


@given(st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 60)), max_size=40), st.integers(0, 2**20))
def test_no_sequence_of_orders_and_fills_leads_beyond_the_position_limit(
    wishes: list[tuple[Side, int]], luck: int
) -> None:
    """Every order that passes works, and any of them may be filled at any time: the worst case stays within."""
    limit = limits(max_position=100)
    line, working = LINE, list[OrderRequest]()
    for number, (side, quantity) in enumerate(wishes):
        request = order(side, quantity)
        if judge(limit, request, line) == "":
            working.append(request)
        if working and luck >> number & 1:
            filled = working.pop(0)
            signed = filled.quantity if filled.side == "BUY" else -filled.quantity
            line = replace(line, quantity=line.quantity + signed)
        line = replace(
            line,
            buying=sum(o.quantity for o in working if o.side == "BUY"),
            selling=sum(o.quantity for o in working if o.side == "SELL"),
        )
        assert line.worst() <= 100
    assert gross_exposure([line]) == line.worst() * 100.0


def test_rate_counts_orders_in_the_second_and_in_the_minute() -> None:
    rate = OrderRate(replace(NO_LIMITS, max_orders_per_second=2, max_orders_per_minute=3))
    sent = []
    for now in (0.0, 0.5, 0.9, 1.0, 1.4, 2.0, 59.9, 60.0, 60.5, 60.9):
        if rate.refusal(now) is None:
            rate.count(now)
            sent.append(now)
    assert sent == [0.0, 0.5, 1.0, 60.0, 60.5]
    assert rate.refusal(60.9) == Refusal(
        "max_orders_per_second", "2 orders were sent in the last 1 s, and 2 is the limit"
    )
    assert rate.refusal(61.4) is None
    assert OrderRate(NO_LIMITS).refusal(0.0) is None


@pytest.mark.parametrize(
    ("given", "figures", "found"),
    [
        ({"max_daily_loss": 100}, Figures(daily_pnl=-99.99), []),
        (
            {"max_daily_loss": 100},
            Figures(daily_pnl=-100.0),
            [("daily_loss", "the day's loss is 100.00, and 100 is the limit")],
        ),
        ({"max_daily_loss": 100}, Figures(daily_pnl=None), []),
        ({"max_losing_streak": 3}, Figures(losing_streak=2), []),
        (
            {"max_losing_streak": 3},
            Figures(losing_streak=3),
            [("tilt", "3 losing trades in a row, and 3 is the limit")],
        ),
        ({"max_drawdown_percent": 10}, Figures(901.0, 1000.0), []),
        (
            {"max_drawdown_percent": 10},
            Figures(900.0, 1000.0),
            [("drawdown", "net liquidation 900.00 is 10.00 % below its peak 1000.00, and 10 % is the limit")],
        ),
        ({"max_drawdown_percent": 10}, Figures(None, 1000.0), []),
    ],
)
def test_losses_stop_trading_at_their_limit(
    given: dict[str, Any], figures: Figures, found: list[tuple[str, str]]
) -> None:
    assert stops(limits(**given), figures) == found
