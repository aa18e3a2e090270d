# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What watches over the engine: limits, hours, losses that stop trading, the end of the day, the figures of risk."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reference_engine.engine import Engine
from reference_engine.gateway import LinkError, Listener, _order
from reference_engine.hours import ExchangeHours
from reference_engine.ledger import Ledger
from reference_engine.model import AccountValues, OrderRequest, Side, Snapshot, Tick
from reference_engine.supervision import Supervision
from tests.engine.support import AAPL, ACCOUNT, NEVER_CLOSED, FakeLink, Place, eventually, execution, position, report

# A Friday with an early close at 13:00 in New York, 18:00 UTC.
FRIDAY = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)
EARLY = ExchangeHours(
    "US/Eastern",
    "20261127:0400-20261127:1700;20261128:CLOSED;20261129:CLOSED;20261130:0400-20261130:2000",
    "20261127:0930-20261127:1300;20261128:CLOSED;20261129:CLOSED;20261130:0930-20261130:1600",
)
CONFIG = """
strategy: {name: 'wishes:Wishes'}
trading_hours: {%s}
risk: {%s}
"""
# Orders what the tick's price says: 101 buys 1, 105 buys 5, 95 sells 5.
STRATEGY = """
from reference_engine.model import Instrument, OrderRequest
from reference_engine.strategy import Strategy

class Wishes(Strategy):
    refused = []

    def instruments(self):
        return [Instrument("AAPL")]

    wishes = 0

    def values(self):
        return {"wishes": self.wishes}

    def on_tick(self, tick, account):
        self.wishes += 1
        wanted = round(tick.price - 100)
        if wanted:
            yield OrderRequest(tick.instrument, "BUY" if wanted > 0 else "SELL", abs(wanted))

    def on_refusal(self, request, refusal, account):
        self.refused.append(refusal.kind)
"""


class World:
    """An engine with its supervision, which sees the time that the test says and is called by the test."""

    def __init__(self, place: Place) -> None:
        deployment, config = place.load()
        self.place = place
        self.now = FRIDAY
        self.strategy = config.strategy
        self.ledger = Ledger(deployment)
        self.link = FakeLink()
        self.link.hours = EARLY
        self.engine = Engine(deployment, config, self.ledger, self.link)
        self.supervision = Supervision(config, self.ledger, self.engine, self.link)
        self.supervision.attach()
        self.engine.duties.remove(self.supervision.watch)
        self.life = asyncio.create_task(self.engine.run(asyncio.Event()))
        self.listener: Listener | None = None
        self._fills = 0

    async def trade(self) -> None:
        self.listener = await self.link.connect()
        await eventually(lambda: self.engine.role == "trading")
        self.values(100_000.0)

    def pass_time(self, **span: float) -> None:
        """Let time pass, and the supervision look once."""
        self.now += timedelta(**span)
        self.supervision.watch(self.now)

    def values(self, worth: float, **more: Any) -> None:
        assert self.listener
        self.listener.on_account(AccountValues(net_liquidation=worth, currency="USD", **more))

    def wish(self, quantity: int) -> int:
        """Let the strategy order; returns how many orders have left so far."""
        assert self.listener
        self.listener.on_tick(Tick(AAPL, 100.0 + quantity, self.now))
        return len(self.link.placed)

    def fill(
        self, side: Side, quantity: float, price: float, *, commission: float = 0.0, broker_profit: float | None = None
    ) -> None:
        """Fill the newest order, or, without one, what somebody ordered by hand."""
        assert self.listener
        self._fills += 1
        order_ref = self.link.placed[-1][0] if self.link.placed else ""
        fill = execution(f"{id(self)}-{self._fills}", side, quantity, price, order_ref=order_ref, at=self.now)
        self.listener.on_execution(fill)
        self.listener.on_commission(
            replace(fill, commission=commission, commission_currency="USD", realized_pnl=broker_profit)
        )

    def risk_events(self) -> list[tuple[object, ...]]:
        return self.place.query("SELECT kind, severity, message FROM risk_events ORDER BY id")

    def metrics(self) -> dict[object, object]:
        return dict(self.place.query("SELECT name, value FROM risk_metrics ORDER BY at"))

    def check(self, name: str) -> tuple[str, str]:
        check = self.engine.health()["checks"][name]
        return check["status"], check.get("output", "")


@contextlib.asynccontextmanager
async def watched(
    place: Place, monkeypatch: pytest.MonkeyPatch, risk: str = "", hours: str = "session: liquid"
) -> AsyncIterator[World]:
    (place.path / "wishes.py").write_text(STRATEGY, encoding="utf-8")
    place.config.write_text(CONFIG % (hours, risk or "price_collar_percent: null"), encoding="utf-8")
    world = World(place)
    for module in ("engine", "ledger", "refusals"):
        monkeypatch.setattr(f"reference_engine.{module}.utc_now", lambda: world.now, raising=False)
    try:
        async with asyncio.timeout(20):
            yield world
    finally:
        world.life.cancel()
        await asyncio.gather(world.life, return_exceptions=True)
        world.ledger.close()


# -- refusals


async def test_refusals_of_one_kind_are_one_risk_event_that_counts_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch, "max_order_size: 4, price_collar_percent: null") as world:
        await world.trade()
        for _ in range(3):
            assert world.wish(5) == 0
        assert world.wish(1) == 1
        assert world.wish(-6) == 1
        assert getattr(world.strategy, "refused") == ["max_order_size"] * 4  # noqa: B009 the test's own class
        assert world.engine.metrics.refusals == {"max_order_size": 4}
        assert world.risk_events() == [
            ("max_order_size", "warning", "BUY 5 AAPL: it is for 5 units, and 4 is the limit"),
            ("max_order_size", "warning", "SELL 6 AAPL: it is for 6 units, and 4 is the limit"),
        ]
        world.now += timedelta(seconds=61)
        for duty in world.engine.duties:
            duty(world.now)
        told = place.query("SELECT details, resolution, resolved_by FROM risk_events ORDER BY id")
        assert [(json.loads(str(details))["refused"], *rest) for details, *rest in told] == [
            (3, "orders refused: 3", "engine-blue"),
            (1, "orders refused: 1", "engine-blue"),
        ]
        world.wish(5)
        assert len(world.risk_events()) == 3, "a new episode after a quiet minute"


def buy(quantity: float, limit_price: float | None = None) -> OrderRequest:
    return OrderRequest(AAPL, "BUY", quantity, "MKT" if limit_price is None else "LMT", limit_price)


@pytest.mark.parametrize(
    ("kind", "risk", "fits", "too_much"),
    [
        ("max_order_size", "max_order_size: 3", buy(3), buy(4)),
        ("max_order_value", "max_order_value: 600", buy(3), buy(4)),
        ("max_position", "max_position: 10", buy(3), buy(4)),
        ("max_position", "max_position: 10", OrderRequest(AAPL, "SELL", 14), OrderRequest(AAPL, "SELL", 15)),
        ("max_position_value", "max_position_value: 2000", buy(3), buy(4)),
        ("max_gross_exposure", "max_gross_exposure: 3000", buy(3), buy(4)),
        ("max_concentration", "max_concentration_percent: 3", buy(3), buy(4)),
        ("long_only", "long_only: true", OrderRequest(AAPL, "SELL", 4), OrderRequest(AAPL, "SELL", 5)),
        ("price_collar", "price_collar_percent: 5", buy(1, 105.0), buy(1, 105.1)),
        ("price_collar", "price_collar_percent: 5", buy(1, 100.0), buy(1)),
        ("price_collar", "price_collar_percent: 5", OrderRequest(AAPL, "SELL", 4), OrderRequest(AAPL, "SELL", 5)),
    ],
)
async def test_each_limit_is_judged_by_the_account_as_it_is_and_its_refusal_is_a_risk_event(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str, risk: str, fits: OrderRequest, too_much: OrderRequest
) -> None:
    collar = "" if kind == "price_collar" else ", price_collar_percent: null"
    async with watched(place, monkeypatch, risk + collar) as world:
        await world.trade()
        assert world.listener
        # Five are held, two more are ordered and one is on its way out: at 100 USD, times two, and in EUR once more
        # times 1.5. What a market order would pay, or get, is ten percent away.
        world.fill("BUY", 5, 100.0)
        world.engine.known[AAPL.con_id] = replace(AAPL, multiplier=2.0)
        world.listener.on_account(AccountValues(net_liquidation=100_000.0, currency="EUR", rates={"USD": 1.5}))
        world.listener.on_tick(Tick(AAPL, 100.0, world.now, 90.0, 110.0))
        assert world.engine.submit(buy(2, 100.0))
        assert world.engine.submit(OrderRequest(AAPL, "SELL", 1, "LMT", 100.0))
        assert world.engine.submit(too_much) is None
        assert world.engine.submit(fits)
        assert [found for found, *_ in world.risk_events()] == [kind]


@pytest.mark.parametrize("kind", ["max_open_orders", "max_orders_per_minute"])
async def test_orders_beyond_a_number_are_refused_with_a_risk_event(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with watched(place, monkeypatch, f"{kind}: 2, price_collar_percent: null") as world:
        await world.trade()
        assert [bool(world.engine.submit(buy(1))) for _ in range(3)] == [True, True, False]
        assert [found for found, *_ in world.risk_events()] == [kind]


async def test_order_for_an_instrument_named_only_by_its_symbol_is_judged_as_the_brokers(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch, "max_position: 5, price_collar_percent: null") as world:
        await world.trade()
        named = type(AAPL)("AAPL")
        assert world.engine.submit(OrderRequest(named, "BUY", 5))
        assert world.engine.open_orders(named) == 1
        assert world.engine.submit(OrderRequest(named, "BUY", 1)) is None
        assert [kind for kind, *_ in world.risk_events()] == ["max_position"]


async def test_change_of_a_working_order_is_judged_without_what_it_replaces(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch, "max_position: 10, price_collar_percent: null") as world:
        await world.trade()
        world.wish(8)
        ((order_ref, _),) = world.link.placed
        assert world.listener
        world.listener.on_order(report(order_ref, "Submitted", filled=3))
        judge = world.supervision.refusal
        assert judge(OrderRequest(AAPL, "BUY", 10, replaces=order_ref), world.now) is None
        refused = judge(OrderRequest(AAPL, "BUY", 14, replaces=order_ref), world.now)
        assert refused
        assert refused.kind == "max_position"


# -- hours


@pytest.mark.parametrize(
    ("session", "moment", "refused"),
    [
        ("liquid", "2026-11-27T17:59:59", ""),
        ("liquid", "2026-11-27T18:00", "the exchange of AAPL is closed until 2026-11-30T14:30:00.000Z"),
        ("trading", "2026-11-27T18:00", ""),
        ("trading", "2026-11-27T22:00", "the exchange of AAPL is closed until 2026-11-30T09:00:00.000Z"),
        ("always", "2026-11-28T12:00", ""),
    ],
)
async def test_orders_leave_only_in_the_exchanges_hours(
    place: Place, monkeypatch: pytest.MonkeyPatch, session: str, moment: str, refused: str
) -> None:
    async with watched(place, monkeypatch, hours=f"session: {session}") as world:
        await world.trade()
        world.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        assert world.wish(5) == (0 if refused else 1)
        assert world.risk_events() == ([("trading_hours", "warning", refused)] if refused else [])


@pytest.mark.parametrize(("session", "outside"), [("liquid", False), ("trading", True), ("always", True)])
async def test_limit_orders_work_outside_the_regular_session_where_that_is_wanted(
    place: Place, monkeypatch: pytest.MonkeyPatch, session: str, outside: bool
) -> None:
    async with watched(place, monkeypatch, hours=f"session: {session}") as world:
        await world.trade()
        assert world.engine.submit(OrderRequest(AAPL, "BUY", 1, "LMT", limit_price=100.0))
        ((_, request),) = world.link.placed
        assert request.outside_regular_hours is outside
        assert _order(request).outsideRth is outside
        assert _order(replace(request, order_type="MKT", limit_price=None)).outsideRth is False


@pytest.mark.parametrize("hours", [ExchangeHours("", "", ""), LinkError("no answer")])
async def test_unknown_hours_count_as_closed_and_health_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch, hours: ExchangeHours | Exception
) -> None:
    async with watched(place, monkeypatch) as world:
        world.link.hours = hours
        await world.trade()
        assert world.wish(5) == 0
        world.pass_time(seconds=1)
        status, output = world.check("trading")
        assert status == "warn"
        assert output.startswith("trading_hours: the exchange hours of AAPL are not known, so it counts as closed: ")


@pytest.mark.parametrize("skew", [timedelta(hours=4), timedelta(hours=-1)])
async def test_clocks_that_disagree_on_the_hours_keep_it_closed(
    place: Place, monkeypatch: pytest.MonkeyPatch, skew: timedelta
) -> None:
    async with watched(place, monkeypatch) as world:
        await world.trade()
        world.link.clock_skew_seconds = skew.total_seconds()
        assert world.wish(5) == 0
        world.link.clock_skew_seconds = 1.5
        assert world.wish(5) == 1


async def test_old_data_is_no_fault_while_the_exchange_is_closed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(place, monkeypatch) as world:
        await world.trade()
        assert world.check("data") == ("fail", "no tick yet")
        world.now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
        assert world.check("data") == ("pass", "")
        world.now = datetime(2026, 11, 30, 14, 30, 9, tzinfo=UTC)
        assert world.check("data") == ("pass", ""), "the first tick of the day has as long as any other"
        world.now += timedelta(seconds=2)
        assert world.check("data") == ("fail", "no tick yet")


# -- losses


async def test_loss_of_the_day_leaves_only_closing_until_the_next_day(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch, "max_daily_loss: 500, price_collar_percent: null") as world:
        await world.trade()
        world.wish(5)
        world.fill("BUY", 5, 100.0)
        world.wish(3)
        opening = world.link.placed[-1][0]
        world.wish(-2)
        closing = world.link.placed[-1][0]
        world.values(99_501.0, daily_pnl=-499.0)
        world.pass_time(seconds=1)
        assert world.check("trading") == ("pass", "")
        world.values(99_499.0, daily_pnl=-501.0)
        world.pass_time(seconds=1)
        reason = "the day's loss is 501.00, and 500 is the limit"
        assert world.check("trading") == ("warn", f"daily_loss: {reason}; nothing is opened before the next day")
        assert world.link.cancelled == [opening], f"{closing} only closes"
        world.values(100_000.0, daily_pnl=0.0)
        world.pass_time(seconds=1)
        assert world.wish(1) == 3, "a day that was stopped stays stopped"
        assert world.wish(-3) == 4
        assert world.risk_events()[0] == ("daily_loss", "critical", reason)
        # The next day begins at midnight, UTC; on Monday the exchange is open again.
        world.pass_time(days=3)
        assert world.wish(1) == 5
        assert world.check("trading") == ("pass", "")
        assert place.query("SELECT resolution FROM risk_events WHERE severity = 'critical'") == [
            ("another day has begun",)
        ]


async def test_loss_of_the_day_stands_until_the_brokers_day_is_over_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    risk = "max_daily_loss: 500, price_collar_percent: null"
    async with watched(place, monkeypatch, risk, hours="session: always") as world:
        await world.trade()
        world.values(99_000.0, daily_pnl=-1000.0)
        world.pass_time(seconds=1)
        world.pass_time(days=1)
        assert world.wish(5) == 0
    async with watched(place, monkeypatch, risk, hours="session: always") as world:
        await world.trade()
        world.now = FRIDAY + timedelta(days=1, hours=1)
        world.values(99_000.0, daily_pnl=-1000.0)
        world.pass_time(seconds=1)
        assert world.wish(5) == 0
        world.values(99_000.0, daily_pnl=0.0)  # the broker's new day
        assert world.wish(5) == 1
        assert place.query("SELECT count(*) FROM risk_events WHERE severity = 'critical'") == [(1,)], (
            "one stop, one day"
        )
        world.values(98_400.0, daily_pnl=-600.0)
        assert world.wish(5) == 1


async def test_loss_of_the_day_outlives_a_restart(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    risk = "max_daily_loss: 500, price_collar_percent: null"
    async with watched(place, monkeypatch, risk) as world:
        await world.trade()
        world.values(99_000.0, daily_pnl=-1000.0)
        world.pass_time(seconds=1)
    async with watched(place, monkeypatch, risk) as world:
        await world.trade()
        world.pass_time(seconds=1)
        assert world.wish(5) == 0
        assert [kind for kind, *_ in world.risk_events()] == ["daily_loss", "daily_loss"], "the stop, and the refusal"


async def test_ledger_stands_in_where_the_broker_tells_no_loss_of_the_day(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch, "max_daily_loss: 50, price_collar_percent: null") as world:
        await world.trade()
        world.fill("BUY", 5, 100.0)
        world.fill("SELL", 5, 91.0, commission=5.0)
        world.pass_time(seconds=1)
        assert world.check("trading")[1].startswith("daily_loss: the day's loss is 50.00, and 50 is the limit")


async def test_losing_streak_halts_until_a_person_lifts_it_and_then_counts_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch, "max_losing_streak: 2, price_collar_percent: null") as world:
        await world.trade()
        for exit_price, streak in ((99.0, 1), (101.0, 0), (99.0, 1)):
            world.fill("BUY", 5, 100.0)
            world.fill("SELL", 5, exit_price)
            world.pass_time(seconds=1)
            assert world.supervision.figures.losing_streak == streak
        world.fill("BUY", 5, 100.0)
        world.fill("SELL", 5, 100.1, commission=1.0)  # the commission makes it a loss
        world.pass_time(seconds=1)
        ((state, reason, by),) = place.query("SELECT state, reason, changed_by FROM trading_state")
        assert (state, reason, by) == ("halted", "tilt: 2 losing trades in a row, and 2 is the limit", "engine-blue")
        assert world.check("trading")[0] == "warn"
        assert world.wish(5) == 0
        assert world.risk_events() == [("tilt", "critical", "2 losing trades in a row, and 2 is the limit")]

        world.now += timedelta(seconds=5)
        other = Ledger(place.load()[0])
        halt = other.resume("looked at the losses", "ann")
        other.close()
        assert halt
        assert halt.startswith("tilt: ")
        world.pass_time(seconds=1)
        assert world.check("trading") == ("pass", "")
        assert place.query("SELECT resolved_by, resolution FROM risk_events") == [("ann", "looked at the losses")]
        assert place.query("SELECT state FROM trading_state") == [("trading",)]
        assert world.wish(5) == 1
        world.fill("BUY", 5, 100.0)
        world.fill("SELL", 5, 99.0)
        world.pass_time(seconds=1)
        assert (world.supervision.figures.losing_streak, world.check("trading")[0]) == (1, "pass")


async def test_drawdown_from_the_peak_halts_also_over_a_restart(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    risk = "max_drawdown_percent: 10, price_collar_percent: null"
    async with watched(place, monkeypatch, risk) as world:
        await world.trade()
        world.values(120_000.0)
        world.pass_time(seconds=61)
        world.values(110_000.0)
        world.pass_time(seconds=61)
        assert world.check("trading") == ("pass", "")
        assert world.metrics()["peak_net_liquidation"] == 120_000.0
    async with watched(place, monkeypatch, risk) as world:
        await world.trade()
        world.values(108_000.0)
        world.pass_time(seconds=1)
        reason = "net liquidation 108000.00 is 10.00 % below its peak 120000.00, and 10 % is the limit"
        assert world.risk_events() == [("drawdown", "critical", reason)]
        assert place.query("SELECT state, reason FROM trading_state") == [("halted", f"drawdown: {reason}")]
        world.now += timedelta(seconds=5)
        assert world.ledger.resume("looked at the losses", "ann")
        world.pass_time(seconds=1)
        assert world.check("trading") == ("pass", ""), "who lifts the halt has seen the loss"
        world.values(97_000.0)
        world.pass_time(seconds=1)
        assert world.risk_events()[1][2] == (
            "net liquidation 97000.00 is 10.19 % below its peak 108000.00, and 10 % is the limit"
        )


@pytest.mark.parametrize("told", [-7.0, -30.0])
async def test_profit_of_fills_that_differs_from_the_brokers_is_told_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, told: float
) -> None:
    async with watched(place, monkeypatch) as world:
        await world.trade()
        world.fill("BUY", 5, 100.0, commission=1.0)
        world.fill("SELL", 5, 99.0, commission=1.0, broker_profit=told)
        for _ in range(3):
            world.pass_time(seconds=61)
        mismatch = (
            "pnl_mismatch",
            "warning",
            "2026-11-27: the broker and the ledger differ in what the day's fills made",
        )
        # The ledger's loss is 5, the broker's 7 with both commissions.
        assert world.risk_events() == ([] if told == -7.0 else [mismatch])


# -- the end of the day


async def test_positions_are_closed_before_the_early_close_and_nothing_is_opened(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch, hours="session: liquid, close_positions_minutes_before_close: 15") as world:
        await world.trade()
        world.wish(5)
        world.fill("BUY", 5, 100.0)
        world.wish(3)
        working = world.link.placed[-1][0]
        world.now = datetime(2026, 11, 27, 17, 44, 59, tzinfo=UTC)
        world.pass_time(seconds=0)
        assert (world.link.cancelled, len(world.link.placed)) == ([], 2)
        world.pass_time(seconds=1)
        assert (world.link.cancelled, len(world.link.placed)) == ([working], 2), "first the working order must end"
        assert world.wish(1) == 2
        assert world.listener
        world.listener.on_order(report(working, "Cancelled"))
        world.pass_time(seconds=1)
        assert [(r.side, r.quantity, r.order_type) for _, r in world.link.placed[2:]] == [("SELL", 5.0, "MKT")]
        world.pass_time(seconds=1)
        assert len(world.link.placed) == 3, "its own order is waited for"
        assert world.link.cancelled == [working]
        assert place.query("SELECT strategy FROM orders ORDER BY id DESC LIMIT 1") == [("end_of_day",)]
        world.fill("SELL", 5, 99.0)
        world.pass_time(seconds=10)
        assert len(world.link.placed) == 3
        world.now = datetime(2026, 11, 27, 18, 0, 1, tzinfo=UTC)
        world.pass_time(seconds=0)
        assert [kind for kind, *_ in world.risk_events()] == ["end_of_day"], "the one order that was refused"


@pytest.mark.parametrize(
    ("told", "moment", "refused"),
    [
        (EARLY, "2026-11-27T17:40", ""),
        (EARLY, "2026-11-27T17:50", "positions in AAPL are closed before the close at 2026-11-27T18:00:00.000Z"),
        (EARLY, "2026-11-27T20:00", "the regular session of AAPL is closed"),  # the extended one is open
        (NEVER_CLOSED, "2026-11-27T17:50", ""),
    ],
)
async def test_nothing_is_opened_from_the_end_of_the_day_until_the_next_regular_session(
    place: Place, monkeypatch: pytest.MonkeyPatch, told: ExchangeHours, moment: str, refused: str
) -> None:
    async with watched(place, monkeypatch, hours="session: trading, close_positions_minutes_before_close: 15") as world:
        world.link.hours = told
        await world.trade()
        world.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        assert world.wish(5) == (0 if refused else 1)
        assert world.risk_events() == ([("end_of_day", "warning", refused)] if refused else [])


async def test_position_that_is_still_held_after_the_close_is_told_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch, hours="session: liquid, close_positions_minutes_before_close: 15") as world:
        await world.trade()
        world.fill("BUY", 5, 100.0)
        world.engine.block("test", "somebody says so")
        world.now = datetime(2026, 11, 27, 17, 50, tzinfo=UTC)
        world.pass_time(seconds=0)
        assert world.link.placed == []
        world.now = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
        for _ in range(3):
            world.pass_time(seconds=1)
        assert world.risk_events() == [
            (
                "end_of_day_incomplete",
                "critical",
                "5 AAPL are still held after the close at 2026-11-27T18:00:00.000Z",
            )
        ]


def summaries(place: Place) -> list[tuple[object, ...]]:
    return place.query(
        "SELECT day, executions, net_liquidation, unrealized_pnl, positions, closed_at "
        "FROM daily_summaries ORDER BY day"
    )


async def test_close_of_the_day_is_noted_once_over_restarts_and_late_fills_still_count(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = ("2026-11-27", 1, 100_000.0, 12.5, 1, "2026-11-27T18:00:00.000Z")
    async with watched(place, monkeypatch) as world:
        await world.trade()
        world.fill("BUY", 5, 100.0)
        world.values(100_000.0, unrealized_pnl=12.5)
        world.now = datetime(2026, 11, 27, 17, 59, 59, tzinfo=UTC)
        world.pass_time(seconds=0)
        assert summaries(place) == [("2026-11-27", 1, None, None, None, None)]
        world.pass_time(seconds=1)
        assert summaries(place) == [closed]
    async with watched(place, monkeypatch) as world:
        world.now = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
        world.link.known = Snapshot((), (), (position(5),))
        await world.trade()
        world.values(90_000.0, unrealized_pnl=-1.0)
        world.pass_time(seconds=1)
        assert summaries(place) == [closed]
        world.fill("SELL", 2, 100.0)
        assert summaries(place) == [("2026-11-27", 2, *closed[2:])]


async def test_day_of_a_world_that_never_closes_ends_at_midnight(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    always = ";".join(f"202611{day}:0000-202611{day + 1}:0000" for day in range(26, 30))
    async with watched(place, monkeypatch) as world:
        world.link.hours = ExchangeHours("UTC", always, always)
        await world.trade()
        world.now = datetime(2026, 11, 27, 23, 59, 59, tzinfo=UTC)
        world.pass_time(seconds=0)
        assert summaries(place) == []
        world.pass_time(seconds=1)
        assert summaries(place) == [("2026-11-27", 0, 100_000.0, 0.0, 0, "2026-11-28T00:00:00.000Z")]
        world.values(90_000.0)
        world.pass_time(seconds=5)
        assert len(summaries(place)) == 1
        assert summaries(place)[0][2] == 100_000.0


async def test_engine_that_was_not_there_at_midnight_invents_no_close(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch, hours="session: always") as world:
        world.link.hours = LinkError("not told")
        world.now = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
        await world.trade()
        world.pass_time(seconds=1)
        assert summaries(place) == []


# -- figures


async def test_figures_are_kept_once_a_minute_when_they_change_and_all_at_a_new_day(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(place, monkeypatch) as world:
        await world.trade()
        world.fill("BUY", 5, 100.0)
        assert world.listener
        world.listener.on_tick(Tick(AAPL, 100.0, world.now))
        world.values(100_000.0, daily_pnl=10.0)
        world.pass_time(seconds=0)
        for _ in range(59):
            world.pass_time(seconds=1)
        assert place.query("SELECT name, value, unit FROM risk_metrics ORDER BY name") == [
            ("daily_pnl", 10.0, "USD"),
            ("drawdown_percent", 0.0, "percent"),
            ("gross_exposure", 500.0, "USD"),
            ("losing_streak", 0.0, "trades"),
            ("net_liquidation", 100_000.0, "USD"),
            ("peak_net_liquidation", 100_000.0, "USD"),
        ]
        world.values(99_000.0, daily_pnl=10.0)
        world.pass_time(seconds=1)
        changed = place.query("SELECT name, value FROM risk_metrics ORDER BY at DESC, name LIMIT 2")
        assert changed == [("drawdown_percent", 1.0), ("net_liquidation", 99_000.0)]
        world.pass_time(days=1)
        assert place.query("SELECT count(*) FROM risk_metrics") == [(6 + 2 + 6,)]


async def test_account_is_named_in_every_figure(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(place, monkeypatch) as world:
        await world.trade()
        world.pass_time(seconds=1)
        assert place.query("SELECT DISTINCT account FROM risk_metrics") == [(ACCOUNT,)]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("ballast_engine_net_liquidation ", 99_000.0),
        ("ballast_engine_peak_net_liquidation ", 100_000.0),
        ("ballast_engine_drawdown_percent ", 1.0),
        ("ballast_engine_daily_pnl ", -1000.0),
        ("ballast_engine_gross_exposure ", 500.0),
        ("ballast_engine_losing_streak ", 0.0),
        ('ballast_engine_orders_refused_total{kind="max_order_size"} ', 1.0),
        ('ballast_engine_trading_restricted{by="daily_loss"} ', 1.0),
        ("ballast_engine_strategy_call_seconds_count ", 4.0),  # two ticks, a fill, a refusal
        ("ballast_engine_strategy_errors_total ", 0.0),
        ('ballast_engine_strategy_value{name="wishes"} ', 2.0),
    ],
)
async def test_metrics_tell_what_the_supervision_knows(
    place: Place, monkeypatch: pytest.MonkeyPatch, line: str, value: float
) -> None:
    async with watched(
        place, monkeypatch, "max_order_size: 6, max_daily_loss: 900, price_collar_percent: null"
    ) as world:
        await world.trade()
        world.wish(5)
        world.fill("BUY", 5, 100.0)
        world.wish(7)
        assert world.listener
        world.engine.ticks[AAPL.con_id] = Tick(AAPL, 100.0, world.now)
        world.values(100_000.0)
        world.pass_time(seconds=1)
        world.values(99_000.0, daily_pnl=-1000.0)
        world.pass_time(seconds=1)
        (found,) = (text for text in world.engine.metrics_text().splitlines() if text.startswith(line))
        assert float(found.removeprefix(line)) == value
        assert world.engine.health()["risk"]["drawdown_percent"] == 1.0
