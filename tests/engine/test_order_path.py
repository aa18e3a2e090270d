# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wish's way to the broker: what stops it, what lets it wait, and what stops all wishes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reference_engine.guard import Refusal
from reference_engine.model import Cancel, Instrument, OrderRequest, Snapshot
from tests.engine.support import AAPL, Place, Running, Wishing, eventually, execution, position, report, running

pytestmark = pytest.mark.usefixtures("hasty")

BUY = OrderRequest(AAPL, "BUY", 5)


def configure(place: Place, text: str) -> None:
    place.config.write_text(f"{place.config.read_text()}\n{text}\n")


@contextlib.asynccontextmanager
async def wishing(place: Place) -> AsyncIterator[tuple[Running, Wishing]]:
    """Let an engine trade what a test wishes."""
    strategy = Wishing()
    async with running(place, strategy) as world:
        await world.trade()
        yield world, strategy


def wish(world: Running, strategy: Wishing, *wishes: OrderRequest | Cancel) -> None:
    """Let the strategy wish something at the next tick, which comes now."""
    strategy.wishes = list(wishes)
    world.link.tick()


async def send(world: Running, strategy: Wishing) -> str:
    """Send an order that the broker acknowledges; return its order_ref."""
    before = len(world.link.placed)
    wish(world, strategy, BUY)
    order_ref = world.link.placed[before][0]
    world.link.listener.on_order(report(order_ref, "Submitted"))
    return order_ref


# -- guards


class Refusing:
    def __init__(self, kind: str = "", *, seen: list[str] | None = None) -> None:
        self.kind, self.seen = kind, seen if seen is not None else []

    def refusal(self, request: OrderRequest, now: datetime) -> Refusal | None:  # noqa: ARG002 a guard's interface
        self.seen.append(self.kind)
        return Refusal(self.kind, f"{self.kind} says no") if self.kind else None


async def test_first_guard_that_refuses_ends_the_wish_with_every_trace(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        seen: list[str] = []
        world.engine.guards = [Refusing(seen=seen), Refusing("order_size", seen=seen), Refusing("later", seen=seen)]
        wish(world, strategy, BUY)
        assert (world.link.placed, seen) == ([], ["", "order_size"])
        assert place.query("SELECT kind, severity, symbol, message FROM risk_events") == [
            ("order_size", "warning", "AAPL", "order_size says no")
        ]
        assert place.query("SELECT count(*) FROM orders") == [(0,)]
        assert [refusal.kind for refusal in strategy.refused] == ["order_size"]
        assert 'ballast_engine_orders_refused_total{kind="order_size"} 1' in world.engine.metrics_text()


async def test_lease_is_asked_last_and_leaves_no_intent(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        world.engine.lease_check = lambda: Refusal("lease_lost", "the lock is gone", "critical")
        wish(world, strategy, BUY)
        assert world.link.placed == []
        assert place.query("SELECT count(*) FROM orders") == [(0,)]
        assert place.query("SELECT kind, severity FROM risk_events") == [("lease_lost", "critical")]


async def test_order_that_a_halt_overtakes_is_refused_with_every_trace(place: Place) -> None:
    class Halting(Refusing):
        def refusal(self, request: OrderRequest, now: datetime) -> Refusal | None:
            place.execute("UPDATE trading_state SET state = 'halted', reason = 'enough', changed_by = 'ann'")
            return super().refusal(request, now)

    async with wishing(place) as (world, strategy):
        working = await send(world, strategy)
        for request in (BUY, replace(BUY, quantity=6, replaces=working)):
            place.execute("UPDATE trading_state SET state = 'trading'")
            world.engine.guards = [Halting()]
            wish(world, strategy, request)
        assert (len(world.link.placed), world.link.changed) == (1, [])
        assert [refusal.kind for refusal in strategy.refused] == ["halted"] * 2
        ((kind, message),) = place.query("SELECT kind, message FROM risk_events")
        assert (kind, str(message)[:33]) == ("halted", "trading is halted: enough (by ann")


async def test_engine_that_is_fenced_out_stops_trading_and_says_why(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        place.execute("UPDATE trading_state SET fencing_token = 8")
        wish(world, strategy, BUY)
        asked = strategy.asked
        wish(world, strategy, BUY)
        assert (world.link.placed, strategy.asked) == ([], asked)
        blocked = world.engine.health()["trading"]["blocked_by"]
        assert blocked["lease"].endswith("another engine has the right to trade")
        assert place.query("SELECT kind, severity FROM risk_events") == [("fenced", "critical")]


async def test_instrument_that_was_not_asked_for_is_refused_before_there_is_an_intent(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        wish(world, strategy, OrderRequest(replace(AAPL, symbol="MSFT", con_id=272093), "BUY", 1))
        assert [refusal.kind for refusal in strategy.refused] == ["unknown_instrument"]
        assert place.query("SELECT count(*) FROM orders") == [(0,)]


async def test_instrument_named_by_its_symbol_is_the_brokers(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        wish(world, strategy, OrderRequest(Instrument("AAPL"), "BUY", 1))
        assert place.query("SELECT con_id, status FROM orders") == [(AAPL.con_id, "sent")]


# -- pacing


async def test_wish_that_must_wait_counts_as_an_open_order_and_is_sent_in_turn(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        world.link.wait = 0.05
        wish(world, strategy, BUY, replace(BUY, quantity=6))
        assert (world.link.placed, world.engine.open_orders(AAPL)) == ([], 2)
        assert place.query("SELECT count(*) FROM orders") == [(0,)], "no intent before the bytes may leave"
        world.link.wait = 0.0
        await eventually(lambda: len(world.link.placed) == 2)
        assert [request.quantity for _, request in world.link.placed] == [5, 6]
        assert world.engine.open_orders(AAPL) == 2


async def test_wish_that_waited_until_trading_stopped_is_not_sent(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        world.link.wait = 0.05
        wish(world, strategy, BUY)
        world.engine.block("test", "a reason")
        world.link.wait = 0.0
        await eventually(lambda: world.engine.open_orders(AAPL) == 0)
        assert world.link.placed == []
        message = "trading stopped while it waited for the pace: test: a reason"
        assert [(refusal.kind, refusal.message) for refusal in strategy.refused] == [("stopped", message)]
        assert place.query("SELECT kind, message FROM risk_events") == [("stopped", message)]


async def test_more_wishes_than_may_wait_are_refused(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        world.link.wait = 60.0
        wish(world, strategy, *[BUY] * 103)
        assert [refusal.kind for refusal in strategy.refused] == ["pacing"] * 3
        assert world.engine.open_orders(AAPL) == 100


# -- cancels and changes


async def test_strategy_cancels_its_order_once(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        order_ref = await send(world, strategy)
        for _ in range(2):
            wish(world, strategy, Cancel(order_ref), Cancel("somebody else's"))
        assert world.link.cancelled == [order_ref]


async def test_cancel_that_the_broker_refused_may_be_asked_for_again(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        order_ref = await send(world, strategy)
        before = world.engine.metrics.reconciliations
        wish(world, strategy, Cancel(order_ref))
        world.link.known = Snapshot((report(order_ref, "Submitted"),), (), ())
        world.link.listener.on_refused(order_ref, 10148, "OrderId cannot be cancelled, state: PendingSubmit")
        await eventually(lambda: world.engine.metrics.reconciliations > before)
        assert place.query("SELECT status FROM orders") == [("submitted",)]
        wish(world, strategy, Cancel(order_ref))
        assert world.link.cancelled == [order_ref, order_ref]


async def test_change_of_a_working_order_is_in_the_ledger_before_it_leaves(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        order_ref = await send(world, strategy)
        seen: list[object] = []
        world.link.on_change = lambda: seen.extend(
            place.query("SELECT kind FROM events WHERE kind = 'order_change_intent'")
        )
        other = OrderRequest(AAPL, "BUY", 5, "LMT", 99.5, replaces=order_ref)
        wish(world, strategy, other)
        assert [(changed, request.limit_price) for changed, request in world.link.changed] == [(order_ref, 99.5)]
        assert seen == [("order_change_intent",)]
        assert len(world.link.placed) == 1, "no new order"
        world.link.listener.on_order(report(order_ref, "Submitted", limit_price=99.5))
        assert place.query("SELECT limit_price FROM orders") == [(99.5,)]


async def test_change_passes_the_guards_and_the_lease(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        order_ref = await send(world, strategy)
        larger = OrderRequest(AAPL, "BUY", 500, replaces=order_ref)
        world.engine.guards = [Refusing("order_size")]
        wish(world, strategy, larger)
        world.engine.guards = []
        world.engine.lease_check = lambda: Refusal("lease_lost", "the lock is gone", "critical")
        wish(world, strategy, larger)
        assert world.link.changed == []
        assert [refusal.kind for refusal in strategy.refused] == ["order_size", "lease_lost"]


async def test_order_that_does_not_work_cannot_be_changed(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        wish(world, strategy, BUY)
        ((unanswered, _),) = world.link.placed
        wish(world, strategy, replace(BUY, replaces=unanswered), replace(BUY, replaces="nothing"))
        assert world.link.changed == []
        assert [refusal.kind for refusal in strategy.refused] == ["not_working"] * 2


# -- answers that do not come


async def test_order_without_an_answer_is_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reference_engine.engine._ANSWER_SECONDS", 0.05)
    monkeypatch.setattr("reference_engine.engine._DUTY_EVERY_SECONDS", 0.02)
    async with wishing(place) as (world, strategy):
        wish(world, strategy, BUY)
        ((order_ref, _),) = world.link.placed
        world.link.known = Snapshot((report(order_ref, "Submitted"),), (), ())
        await eventually(lambda: place.query("SELECT status FROM orders") == [("submitted",)])


async def test_acknowledgement_that_is_lost_while_the_order_fills_loses_nothing(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        wish(world, strategy, BUY)
        ((order_ref, _),) = world.link.placed
        world.link.listener.on_execution(execution("0001.aa.01.01", "BUY", 5, 100.0, order_ref=order_ref))
        assert place.query("SELECT status, filled_quantity FROM orders") == [("filled", 5.0)]
        assert world.engine.open_orders(AAPL) == 0


async def test_fill_of_which_the_news_got_lost_is_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reference_engine.engine._ANSWER_SECONDS", 0.05)
    monkeypatch.setattr("reference_engine.engine._DUTY_EVERY_SECONDS", 0.02)
    async with wishing(place) as (world, strategy):
        order_ref = await send(world, strategy)
        fill = execution("0001.aa.01.01", "BUY", 5, 100.0, order_ref=order_ref)
        world.link.listener.on_order(report(order_ref, "Filled", filled=5))
        world.link.known = Snapshot((report(order_ref, "Filled", filled=5),), (fill,), (position(5),))
        await eventually(lambda: place.query("SELECT exec_id FROM executions") == [("0001.aa.01.01",)])
        assert world.link.asked_anew >= 1


async def test_fill_that_the_broker_names_and_never_tells_is_for_a_person(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reference_engine.engine._ANSWER_SECONDS", 0.05)
    monkeypatch.setattr("reference_engine.engine._DUTY_EVERY_SECONDS", 0.02)
    monkeypatch.setattr("reference_engine.engine._RETRY_SECONDS", 0.01)
    async with wishing(place) as (world, strategy):
        order_ref = await send(world, strategy)
        filled = report(order_ref, "Filled", filled=5)
        world.link.listener.on_order(filled)
        world.link.known = Snapshot((filled,), (), ())
        events = "SELECT severity, message LIKE ? FROM risk_events WHERE kind = 'fill_missing'"
        await eventually(lambda: place.query(events, f"%{order_ref}%") == [("critical", 1)])
        assert world.link.asked_anew == 2, "asked for twice before a person is called"


async def test_order_lost_with_its_session_is_given_up_soon_after_the_next_began(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reference_engine.engine._EARLIER_SESSION_SECONDS", 0.3)
    monkeypatch.setattr("reference_engine.engine._RETRY_SECONDS", 0.01)
    async with wishing(place) as (world, strategy):
        wish(world, strategy, BUY)
        world.link.listener.on_session()  # the broker's link came back, the session is the same
        await asyncio.sleep(0.5)
        assert place.query("SELECT status FROM orders") == [("sent",)], "it may still arrive in its own session"
        await world.link.connect()
        await eventually(lambda: world.engine.reconciled)
        assert world.engine.open_orders(AAPL) == 1, "at first the broker may be about to tell of it"
        await eventually(lambda: place.query("SELECT status FROM orders") == [("not_sent",)])
        assert world.link.asked_anew >= 1


async def test_corrected_execution_changes_the_position_by_the_difference(place: Place) -> None:
    async with wishing(place) as (world, _):
        world.link.listener.on_execution(execution("0001.aa.01.01", "BUY", 5, 100.0))
        world.link.listener.on_execution(execution("0001.aa.01.01", "BUY", 5, 100.0))
        world.link.listener.on_execution(execution("0001.aa.01.02", "BUY", 3, 100.0))
        assert world.engine.position(AAPL) == 3.0
        assert (world.engine.metrics.executions, world.engine.metrics.corrections) == (1, 1)


# -- the circuit breaker


async def test_repeated_rejects_stop_the_strategy_until_a_probe_is_acknowledged(place: Place) -> None:
    configure(place, "breaker: {max_failures: 3, open_seconds: 0.2}")
    async with wishing(place) as (world, strategy):
        for _ in range(3):
            wish(world, strategy, BUY)
            world.link.listener.on_order(report(world.link.placed[-1][0], "Inactive", error_code=201))
        asked = strategy.asked
        wish(world, strategy, BUY)
        assert (len(world.link.placed), strategy.asked) == (3, asked)
        assert world.engine.health()["trading"]["circuit_breaker"] == "open"
        assert world.check("trading")[0] == "warn"
        assert place.query("SELECT kind, resolved_at FROM risk_events") == [("circuit_breaker", None)]
        await eventually(lambda: world.engine.breaker.state == "half_open")
        wish(world, strategy, BUY, BUY)
        assert len(world.link.placed) == 4, "one probe and no more"
        assert [refusal.kind for refusal in strategy.refused] == ["circuit_breaker"]
        world.link.listener.on_order(report(world.link.placed[-1][0], "Submitted"))
        assert world.engine.health()["trading"]["circuit_breaker"] == "closed"
        assert place.query(
            "SELECT count(*) FROM risk_events WHERE kind = 'circuit_breaker' AND resolved_at IS NULL"
        ) == [(0,)]
        wish(world, strategy, BUY)
        assert len(world.link.placed) == 5


async def test_orders_that_cannot_be_sent_open_the_breaker_too(place: Place) -> None:
    configure(place, "breaker: {max_failures: 2}")
    async with wishing(place) as (world, strategy):
        world.link.refuses_orders = True
        for state in ("closed", "open"):
            wish(world, strategy, BUY)
            assert world.engine.breaker.state == state
        assert place.query("SELECT kind FROM risk_events") == [("circuit_breaker",)]


async def test_probe_that_the_broker_never_answers_for_opens_it_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(place, "breaker: {max_failures: 1, open_seconds: 0.05}")
    async with wishing(place) as (world, strategy):
        wish(world, strategy, BUY)
        world.link.listener.on_order(report(world.link.placed[-1][0], "Inactive", error_code=201))
        await eventually(lambda: world.engine.breaker.state == "half_open")
        wish(world, strategy, BUY)
        monkeypatch.setattr("reference_engine.ledger._IN_FLIGHT", timedelta(seconds=-1))
        world.link.listener.on_session()
        await eventually(lambda: world.engine.breaker.opened == 2)


async def test_cancel_is_never_kept_back_by_the_breaker(place: Place) -> None:
    configure(place, "breaker: {max_failures: 1}")
    async with wishing(place) as (world, strategy):
        working = await send(world, strategy)
        wish(world, strategy, BUY)
        world.link.listener.on_order(report(world.link.placed[-1][0], "Inactive", error_code=201))
        assert world.engine.breaker.state == "open"
        stopping = asyncio.create_task(world.stop())
        await eventually(lambda: world.link.cancelled == [working])
        world.link.listener.on_order(report(working, "Cancelled", error_code=202))
        assert await stopping == 0


# -- the dead man's switch


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reference_engine.engine._DUTY_EVERY_SECONDS", 0.02)


@pytest.mark.usefixtures("impatient")
async def test_dead_man_stops_trading_and_ends_working_orders_as_soon_as_the_link_allows(place: Place) -> None:
    configure(place, "dead_man: {after_seconds: 0.1}")
    async with wishing(place) as (world, strategy):
        order_ref = await send(world, strategy)
        world.link.tell_state("broker_link_lost", "1100")
        await eventually(lambda: "dead_man_switch" in world.engine.health()["trading"]["blocked_by"])
        assert place.query("SELECT kind, severity, resolved_at FROM risk_events") == [
            ("dead_man_switch", "critical", None)
        ]
        assert world.link.cancelled == [], "there is nobody to ask"
        assert "ballast_engine_dead_man_tripped 1" in world.engine.metrics_text()
        world.link.known = Snapshot((report(order_ref, "Submitted"),), (), ())
        await world.link.connect()
        await eventually(lambda: world.link.cancelled == [order_ref])
        wish(world, strategy, BUY)
        assert len(world.link.placed) == 1, "not before the working orders have ended"
        world.link.known = Snapshot((report(order_ref, "Cancelled", error_code=202),), (), ())
        await eventually(lambda: world.engine.health()["trading"]["blocked_by"] == {})
        assert place.query("SELECT resolved_by, resolution FROM risk_events") == [
            ("engine-blue", "reconciled with the broker again")
        ]
        wish(world, strategy, BUY)
        assert len(world.link.placed) == 2


@pytest.mark.usefixtures("impatient")
async def test_dead_man_keeps_working_orders_when_told_to(place: Place) -> None:
    configure(place, "dead_man: {after_seconds: 0.1, working_orders: keep}")
    async with wishing(place) as (world, strategy):
        order_ref = await send(world, strategy)
        world.link.tell_state("unreachable", "the cable was cut")
        await eventually(lambda: "dead_man_switch" in world.engine.health()["trading"]["blocked_by"])
        world.link.known = Snapshot((report(order_ref, "Submitted"),), (), ())
        await world.link.connect()
        await eventually(lambda: world.engine.health()["trading"]["blocked_by"] == {})
        assert world.link.cancelled == []
        world.link.tell_state("unreachable", "the cable was cut again")
        await eventually(lambda: "dead_man_switch" in world.engine.health()["trading"]["blocked_by"])
        assert "ballast_engine_dead_man_trips_total 2" in world.engine.metrics_text()


@pytest.mark.usefixtures("impatient")
async def test_dead_man_waits_for_a_person_when_told_to(place: Place) -> None:
    configure(place, "dead_man: {after_seconds: 0.1, resume: manual}")
    async with wishing(place) as (world, _):
        world.link.tell_state("unreachable", "the cable was cut")
        await eventually(lambda: place.query("SELECT state FROM trading_state") == [("halted",)])
        await world.link.connect()
        await eventually(lambda: world.check("reconciliation")[0] == "pass")
        assert list(world.engine.health()["trading"]["blocked_by"]) == ["halt"]
        assert world.ledger.resume("looked at it", "ann") is not None
        assert world.engine.health()["trading"]["blocked_by"] == {}
        assert place.query("SELECT resolved_by FROM risk_events WHERE kind = 'dead_man_switch'") == [("ann",)]


@pytest.mark.usefixtures("impatient")
async def test_short_absence_does_not_trip_the_dead_man(place: Place) -> None:
    configure(place, "dead_man: {after_seconds: 60}")
    async with wishing(place) as (world, _):
        world.link.tell_state("broker_link_lost", "1100")
        await asyncio.sleep(0.1)  # a few of its looks
        assert place.query("SELECT count(*) FROM risk_events") == [(0,)]


# -- data


async def test_broken_data_farm_stops_new_orders_but_not_the_reconciliation(place: Place) -> None:
    async with wishing(place) as (world, strategy):
        before = world.engine.metrics.reconciliations
        world.link.tell_state("data_stale", "2103: Market data farm connection is broken:usfarm")
        wish(world, strategy, BUY)
        assert (world.link.placed, strategy.asked) == ([], 0)
        assert world.check("data") == ("fail", "2103: Market data farm connection is broken:usfarm")
        assert world.check("gateway") == ("pass", "")
        assert world.engine.health()["gateway"]["state"] == "data_stale"
        world.link.listener.on_session()
        await eventually(lambda: world.engine.metrics.reconciliations > before)
        world.link.tell_state("ready", "")
        wish(world, strategy, BUY)
        assert len(world.link.placed) == 1


# -- metrics


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("ballast_engine_cancels_sent_total", lambda value: value == 1),
        ("ballast_engine_changes_refused_total", lambda value: value == 1),
        ("ballast_engine_orders_held_total", lambda value: value == 1),
        ("ballast_engine_execution_corrections_total", lambda value: value == 1),
        ('ballast_engine_circuit_breaker{state="closed"}', lambda value: value == 1),
        ("ballast_engine_circuit_breaker_opened_total", lambda value: value == 0),
        ("ballast_engine_dead_man_trips_total", lambda value: value == 0),
        ("ballast_engine_ledger_commit_seconds_count", lambda value: value > 5),
        ("ballast_engine_ledger_commit_seconds_sum", lambda value: 0 < value < 5),
        ("ballast_engine_gateway_attempts_total", lambda value: value == 3),
        ('ballast_engine_gateway_messages_total{code="2104"}', lambda value: value == 2),
        ("ballast_engine_gateway_clock_skew_seconds", lambda value: value == 1.5),
    ],
)
async def test_metrics_tell_what_happened(place: Place, name: str, holds: Callable[[float], bool]) -> None:
    async with wishing(place) as (world, strategy):
        world.link.attempts, world.link.clock_skew_seconds = 3, 1.5
        world.link.codes[2104] = 2
        world.link.wait = 0.01
        wish(world, strategy, BUY)
        world.link.wait = 0.0
        await eventually(lambda: len(world.link.placed) == 1)
        ((order_ref, _),) = world.link.placed
        world.link.listener.on_order(report(order_ref, "Submitted"))
        wish(world, strategy, Cancel(order_ref))
        world.link.listener.on_refused(order_ref, 10148, "no")
        world.link.listener.on_execution(execution("0001.aa.01.01", "BUY", 5, 100.0, order_ref=order_ref))
        world.link.listener.on_execution(execution("0001.aa.01.02", "BUY", 5, 101.0, order_ref=order_ref))
        (line,) = (each for each in world.engine.metrics_text().splitlines() if each.startswith(f"{name} "))
        assert holds(float(line.rsplit(" ", 1)[1]))
