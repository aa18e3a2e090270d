# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against a broker in memory: when it trades, when it must not, what it says of itself, how it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Collection

import pytest

from reference_engine.gateway import SessionState
from reference_engine.ledger import Reconciliation
from reference_engine.model import Snapshot
from tests.engine.support import (
    AAPL,
    ACCOUNT,
    RELEASE,
    Place,
    eventually,
    execution,
    position,
    report,
    running,
    tick,
)

pytestmark = pytest.mark.usefixtures("hasty")


# -- sending


async def test_intent_is_in_the_ledger_before_the_bytes_leave(place: Place) -> None:
    async with running(place) as world:
        seen: list[object] = []
        world.link.on_place = lambda: seen.extend(
            place.query("SELECT order_ref, status, sent_at, broker_order_id, client_id FROM orders")
        )
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
        assert seen == [(order_ref, "intent", None, 1, 1)]
        assert order_ref.startswith("dev-main:")
        assert place.query("SELECT status FROM orders") == [("sent",)]


async def test_order_whose_intent_cannot_be_written_does_not_leave(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reference_engine.ledger._BUSY_TIMEOUT_MS", 10)
    async with running(place) as world:
        listener = await world.trade()
        blocker = sqlite3.connect(place.ledger, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        listener.on_tick(tick())
        assert world.link.placed == []
        assert world.check("ledger") == ("fail", "cannot be written: database is locked")
        assert world.check("reconciliation")[0] == "fail"
        blocker.execute("ROLLBACK")
        blocker.close()
        await eventually(lambda: world.check("reconciliation")[0] == "pass")
        assert world.check("ledger") == ("pass", "")
        await asyncio.sleep(0.06)  # the strategy's own interval
        listener.on_tick(tick())
        assert len(world.link.placed) == 1


async def test_engine_whose_ledger_is_damaged_does_not_trade_again_by_itself(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = place.path / "broken.db"
    broken.write_bytes(b"SQLite format 3\0" + bytes(84) + b"\x5a" * 8092)

    def fail(*_: object) -> None:
        with contextlib.closing(sqlite3.connect(broken)) as connection:
            connection.execute("SELECT * FROM sqlite_master")

    async with running(place) as world:
        listener = await world.trade()
        with monkeypatch.context() as damaged:
            damaged.setattr("reference_engine.ledger.Ledger.record_order", fail)
            listener.on_order(report("dev-main:0", "Submitted"))
        await eventually(lambda: world.check("reconciliation")[0] == "pass")
        status, output = world.check("trading")
        assert (status, "the ledger is damaged (" in output) == ("warn", True)
        listener.on_tick(tick())
        assert world.link.placed == []


async def test_fill_missed_while_the_ledger_could_not_be_written_is_read_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reference_engine.ledger._BUSY_TIMEOUT_MS", 10)
    async with running(place) as world:
        listener = await world.trade()
        fill = execution("e1", "BUY", 5, 100.0)
        blocker = sqlite3.connect(place.ledger, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        listener.on_execution(fill)
        blocker.execute("ROLLBACK")
        blocker.close()
        world.link.known = Snapshot((), (fill,), (position(5),))
        await eventually(lambda: world.engine.health()["status"] == "fail" and world.check("ledger")[0] == "pass")
        assert place.query("SELECT exec_id FROM executions") == [("e1",)]
        assert world.engine.position(AAPL) == 5.0


async def test_order_that_could_not_be_sent_is_marked_so(place: Place) -> None:
    async with running(place) as world:
        listener = await world.trade()
        world.link.refuses_orders = True
        listener.on_tick(tick())
        assert place.query("SELECT status, broker_message FROM orders") == [("not_sent", "the connection is gone")]
        assert world.engine.health()["orders"] == {"open": 0}


async def test_strategy_sees_its_position_as_soon_as_the_fill_is_known(place: Place) -> None:
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
        assert (world.engine.open_orders(AAPL), world.engine.position(AAPL)) == (1, 0.0)
        listener.on_execution(execution("e1", "BUY", 5, 100.0, order_ref=order_ref))
        assert (world.engine.open_orders(AAPL), world.engine.position(AAPL)) == (0, 5.0)
        listener.on_position(position(5))
        assert world.engine.health()["positions"] == {"AAPL": 5.0}


@pytest.mark.parametrize("state", ["unreachable", "broker_link_lost"])
async def test_nothing_is_sent_until_reconciled_again_after_a_loss(place: Place, state: SessionState) -> None:
    async with running(place) as world:
        listener = await world.trade()
        world.link.tell_state(state, "the cable was cut")
        listener.on_tick(tick())
        assert world.link.placed == []
        assert world.check("gateway") == ("fail", f"{state}: the cable was cut")
        await world.link.connect()
        listener.on_tick(tick())
        assert world.link.placed == [], "the session is there, the reconciliation is not"
        await eventually(lambda: world.check("reconciliation")[0] == "pass")
        listener.on_tick(tick())
        assert len(world.link.placed) == 1


async def test_reconciliation_during_which_the_broker_was_away_is_given_up_for_a_new_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(place) as world:
        listener = await world.trade()
        asked: list[asyncio.Future[Snapshot]] = []

        async def snapshot(expected: object, *, anew: bool) -> Snapshot:
            asked.append(asyncio.get_running_loop().create_future())
            return await asked[-1]

        monkeypatch.setattr(world.link, "snapshot", snapshot)
        listener.on_session()
        await eventually(lambda: len(asked) == 1)
        world.link.tell_state("broker_link_lost", "1100")
        world.link.tell_state("ready", "")
        listener.on_session()
        await eventually(lambda: len(asked) == 2)
        assert asked[0].cancelled(), "what it was answered would be from before"
        assert world.check("reconciliation")[0] == "fail"
        asked[1].set_result(world.link.known)
        await eventually(lambda: world.check("reconciliation")[0] == "pass")


async def test_orders_of_a_killed_engine_are_settled_before_trading(place: Place) -> None:
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
    fill = execution("e1", "BUY", 5, 100.0, order_ref=order_ref)
    async with running(place) as world:
        assert world.engine.health()["orders"] == {"open": 1}
        world.link.known = Snapshot((report(order_ref, "Filled"),), (fill,), (position(5),))
        await world.trade()
        assert world.engine.health()["orders"] == {"open": 0}
        assert world.engine.position(AAPL) == 5.0
        assert place.query("SELECT order_ref, status, filled_quantity FROM orders") == [(order_ref, "filled", 5.0)]


async def test_order_that_may_still_be_on_its_way_blocks_the_next(place: Place) -> None:
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        assert world.link.placed == []
        assert world.engine.health()["orders"] == {"open": 1}


async def test_differing_position_is_adopted_only_after_a_second_look(place: Place) -> None:
    async with running(place) as world:
        fill = execution("e1", "BUY", 5, 100.0)
        # The fill is known, its position is still on its way: no difference to adopt.
        world.link.known = Snapshot((), (fill,), ())
        listener = await world.link.connect()
        await eventually(lambda: bool(place.query("SELECT 1 FROM executions")))
        world.link.known = Snapshot((), (fill,), (position(5),))
        await eventually(lambda: world.engine.role == "trading")
        assert place.query("SELECT count(*) FROM risk_events") == [(0,)]
        assert world.engine.position(AAPL) == 5.0
        # A trade made by hand: no fill that we are told of, but a position that stays.
        world.link.known = Snapshot((), (fill,), (position(9),))
        listener.on_position(position(9))
        await eventually(lambda: world.engine.position(AAPL) == 9.0)
        await eventually(lambda: place.query("SELECT kind FROM risk_events") == [("position_mismatch",)])


async def test_strategy_sees_a_fill_while_its_position_is_still_on_its_way(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reference_engine.engine._SETTLE_SECONDS", 60)
    async with running(place) as world:
        listener = await world.trade()
        fill = execution("e1", "BUY", 5, 100.0)
        listener.on_execution(fill)
        world.link.known = Snapshot((), (fill,), ())
        compared = asyncio.Event()
        reconcile = world.ledger.reconcile

        def tell(snapshot: Snapshot, sent_now: Collection[str] | None = None) -> Reconciliation:
            compared.set()
            return reconcile(snapshot, sent_now)

        monkeypatch.setattr(world.ledger, "reconcile", tell)
        # Not what the fill makes, so ledger and broker are compared.
        listener.on_position(position(0))
        await compared.wait()
        await asyncio.sleep(0)  # the reconciliation waits for its second look
        assert world.engine.position(AAPL) == 5.0


async def test_halted_account_is_left_alone(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with running(place) as world:
        listener = await world.trade()
        place.execute(
            "UPDATE trading_state SET state = 'halted', reason = 'too fast', changed_by = 'ann', "
            "changed_at = '2026-11-22T20:45:01.123Z'"
        )
        listener.on_tick(tick())
        assert world.link.placed == []
        assert "order_refused" not in caplog.messages, "the strategy is not even asked"
        health = world.engine.health()
        assert health["status"] == "warn"
        assert health["output"] == ("trading: trading is halted: too fast (by ann, since 2026-11-22T20:45:01.123Z)")


# -- whose account


@pytest.mark.parametrize(
    ("environment", "account", "served", "problem"),
    [
        (
            "paper",
            "U1234567",
            ("U1234567",),
            "account U1234567 in environment paper: wanted an account starting with D; "
            "correct the account or the environment",
        ),
        (
            "live",
            "DU1234567",
            ("DU1234567",),
            "account DU1234567 in environment live: wanted a live account, which does not start with D; "
            "correct the account or the environment",
        ),
        (
            "dev",
            "DU1234567",
            ("DU7654321", "DU7654322"),
            "account DU1234567 is not served by this gateway, which has DU7654321, DU7654322; "
            "correct the account or log the gateway in to it",
        ),
    ],
)
async def test_wrong_account_is_never_traded(
    place: Place, environment: str, account: str, served: tuple[str, ...], problem: str
) -> None:
    place.environment |= {"BALLAST_ENVIRONMENT": environment, "BALLAST_ACCOUNT": account}
    async with running(place) as world:
        listener = await world.link.connect(served)
        world.link.known = Snapshot((), (execution("e1", "BUY", 5, 100.0),), ())
        listener.on_tick(tick())
        await asyncio.sleep(0.1)  # as long as a first reconciliation would take many times over
        assert (world.engine.role, world.link.placed) == ("starting", [])
        assert world.check("account") == ("fail", problem)
        assert world.engine.health()["status"] == "fail"
        assert place.query("SELECT count(*) FROM executions") == [(0,)]


async def test_gateway_that_comes_back_with_another_account_is_not_traded(place: Place) -> None:
    async with running(place) as world:
        listener = await world.trade()
        world.link.tell_state("unreachable", "restarting")
        await world.link.connect(("DU7654321",))
        await asyncio.sleep(0.1)  # as above
        listener.on_tick(tick())
        assert world.link.placed == []
        assert world.check("account")[0] == world.check("reconciliation")[0] == "fail"


async def test_live_account_is_traded_in_live(place: Place) -> None:
    place.environment |= {"BALLAST_ENVIRONMENT": "live", "BALLAST_ACCOUNT": "U1234567"}
    async with running(place) as world:
        listener = await world.trade(("U1234567",))
        listener.on_tick(tick())
        assert len(world.link.placed) == 1


# -- health


async def test_health_document_of_a_trading_engine_is_whole(place: Place) -> None:
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        health = world.engine.health()
        age = health["data"].pop("last_tick_age_seconds")
        assert 0 <= age < 1
        assert str(health.pop("last_reconciliation")).endswith("Z")
        assert health == {
            "status": "pass",
            "releaseId": RELEASE,
            "stack": "dev-main",
            "slot": "blue",
            "account": ACCOUNT,
            "role": "trading",
            "strategy": "demo",
            "gateway": {
                "state": "ready",
                "server_version": 178,
                "accounts": [ACCOUNT],
                "connected_at": "2026-11-23T12:00:00.000Z",
            },
            "data": {},
            "trading": {"blocked_by": {}, "restricted_by": {}, "circuit_breaker": "closed"},
            "risk": {},
            "orders": {"open": 1},
            "positions": {},
            "ledger": {"schema_version": 2, "rows": {"orders": 1, "executions": 0, "trades": 0}},
            "checks": {
                name: {"status": "pass"}
                for name in ("account", "gateway", "ledger", "reconciliation", "data", "trading")
            },
        }


async def test_engine_without_a_gateway_says_everything_that_is_missing(place: Place) -> None:
    async with running(place) as world:
        health = world.engine.health()
        assert (health["status"], health["role"], health["gateway"]["state"]) == ("fail", "starting", "unreachable")
        assert health["output"] == (
            "gateway: unreachable: not tried yet; "
            "reconciliation: not reconciled with the broker since the session began; "
            "data: no tick yet; trading: role is starting"
        )


@pytest.mark.parametrize(("limit", "status"), [("0.05", "fail"), ("null", "pass")])
async def test_old_data_is_judged_as_configured(place: Place, limit: str, status: str) -> None:
    place.config.write_text(f"{place.config.read_text()}\nhealth: {{max_tick_age_seconds: {limit}}}")
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        assert world.engine.health()["status"] == "pass"
        await asyncio.sleep(0.11)
        health = world.engine.health()
        assert health["status"] == status
        assert health["gateway"]["state"] == ("data_stale" if status == "fail" else "ready")
        if status == "fail":
            assert health["output"] == "data: last tick 0.1 s ago, wanted at most 0.05 s"


async def test_instrument_that_the_broker_does_not_have_fails_the_data_check(place: Place) -> None:
    place.config.write_text("strategy: {name: demo, parameters: {symbol: NOPE}}")
    async with running(place) as world:
        await world.trade()
        assert world.check("data") == ("fail", "the broker has no NOPE")


async def test_engine_that_trades_nothing_is_healthy_without_data(place: Place) -> None:
    place.config.write_text("strategy: {name: none}")
    async with running(place) as world:
        await world.trade()
        assert world.engine.health()["status"] == "pass"


# -- leaving


async def test_drain_cancels_working_orders_and_waits_for_the_answer(place: Place) -> None:
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
        stopping = asyncio.create_task(world.stop())
        await eventually(lambda: world.link.cancelled == [order_ref])
        assert world.engine.health()["role"] == "stopping"
        listener.on_tick(tick())
        assert len(world.link.placed) == 1
        assert not stopping.done()
        listener.on_order(report(order_ref, "Cancelled", error_code=202))
        assert await stopping == 0
        assert place.query("SELECT status FROM orders") == [("cancelled",)]
        assert place.query("SELECT state, reason FROM trading_state") == [("stopped", "drained")]
        assert place.query("SELECT kind FROM events ORDER BY id DESC LIMIT 1") == [("engine_stopped",)]


async def test_drain_asks_again_for_the_cancel_in_a_new_session(place: Place) -> None:
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
        stopping = asyncio.create_task(world.stop())
        await eventually(lambda: world.link.cancelled == [order_ref])
        world.link.tell_state("unreachable", "the cable was cut")
        world.link.known = Snapshot((report(order_ref, "Submitted"),), (), ())
        await world.link.connect()
        await eventually(lambda: world.link.cancelled == [order_ref, order_ref])
        listener.on_order(report(order_ref, "Cancelled"))
        assert await stopping == 0


async def test_drain_keeps_working_orders_when_told_to(place: Place) -> None:
    place.config.write_text(f"{place.config.read_text()}\non_stop: {{working_orders: keep}}")
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
        stopping = asyncio.create_task(world.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done(), "an order without an answer is waited for"
        listener.on_order(report(order_ref, "Submitted"))
        assert await stopping == 0
        assert world.link.cancelled == []
        assert place.query("SELECT reason FROM trading_state") == [("drained, 1 orders kept working",)]


async def test_drain_that_gets_no_answer_ends_in_time_and_says_so(place: Place) -> None:
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
        assert await world.stop() == 70
        assert place.query("SELECT kind, message FROM risk_events") == [
            (
                "drain_incomplete",
                f"stopped with 1 orders that the broker did not confirm as ended: {order_ref}",
            )
        ]


async def test_engine_that_never_connected_stops_at_once(place: Place) -> None:
    async with running(place) as world:
        await asyncio.sleep(0)
        assert await world.stop() == 0


def write_strategy(place: Place, body: str, settings: str = "") -> None:
    """Let the engine run a strategy of AAPL with these methods."""
    lines = [
        "from reference_engine.model import *",
        "from reference_engine.strategy import Strategy",
        "class Mine(Strategy):",
        "    def instruments(self):",
        "        return [Instrument('AAPL')]",
        *(f"    {line}" for line in body.splitlines()),
    ]
    (place.path / "my_strategy.py").write_text("\n".join(lines), encoding="utf-8")
    place.config.write_text(f"strategy: {{name: 'my_strategy:Mine', {settings}}}", encoding="utf-8")


FAILS_ABOVE_100 = """
def on_tick(self, tick, account):
    if tick.price > 100:
        raise {error}('no')
    yield OrderRequest(tick.instrument, 'BUY', 1)
"""


@pytest.mark.parametrize("error", ["ZeroDivisionError", "SystemExit"])
async def test_exceptions_of_the_strategy_are_contained_until_they_are_too_many(place: Place, error: str) -> None:
    write_strategy(place, FAILS_ABOVE_100.format(error=error), "max_errors: 2")
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick(101))
        listener.on_tick(tick(100))
        ((order_ref, _),) = world.link.placed
        assert world.check("trading") == ("pass", "")
        listener.on_tick(tick(101))
        reason = (
            f"the strategy failed 2 times in 300 s, the last time in on_tick: {error}: no; "
            "correct it and start the engine again"
        )
        assert world.check("trading") == ("warn", f"strategy: {reason}")
        assert world.link.cancelled == [order_ref], "nobody looks after the working orders any more"
        listener.on_tick(tick(100))
        assert len(world.link.placed) == 1
        assert place.query("SELECT kind, severity, message FROM risk_events ORDER BY id") == [
            ("strategy_error", "warning", f"on_tick: {error}: no"),
            ("strategy_stopped", "critical", reason),
        ]
        assert not world.life.done()


async def test_exceptions_far_apart_do_not_stop_trading(place: Place) -> None:
    write_strategy(place, FAILS_ABOVE_100.format(error="KeyError"), "max_errors: 2, error_window_seconds: 0.05")
    async with running(place) as world:
        listener = await world.trade()
        for _ in range(3):
            listener.on_tick(tick(101))
            await asyncio.sleep(0.06)  # longer than the window
        assert world.check("trading") == ("pass", "")
        listener.on_tick(tick(100))
        assert len(world.link.placed) == 1


async def test_strategy_that_fails_half_way_through_its_orders_sends_none_of_them(place: Place) -> None:
    write_strategy(
        place, "def on_tick(self, tick, account):\n    yield OrderRequest(tick.instrument, 'BUY', 1)\n    yield 'buy'"
    )
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        assert world.link.placed == []
        assert place.query("SELECT message FROM risk_events") == [
            ("on_tick: TypeError: on_tick gave 'buy', wanted OrderRequest or Cancel",)
        ]


async def test_strategy_is_told_of_orders_and_fills_and_its_exceptions_there_are_contained(place: Place) -> None:
    write_strategy(
        place,
        "def on_tick(self, tick, account):\n    yield OrderRequest(tick.instrument, 'BUY', 5)\n"
        "def on_order(self, report, account):\n    raise ValueError(report.status)\n"
        "def on_fill(self, execution, account):\n    raise ValueError(account.position(execution.instrument))",
    )
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
        listener.on_order(report(order_ref, "Submitted"))
        listener.on_execution(execution("e1", "BUY", 5, 100.0, order_ref=order_ref))
        assert place.query("SELECT message FROM risk_events ORDER BY id") == [
            ("on_order: ValueError: Submitted",),
            ("on_fill: ValueError: 5.0",),
        ]
        assert place.query("SELECT exec_id FROM executions") == [("e1",)]


async def test_strategy_that_was_stopped_is_asked_and_told_nothing_more(place: Place) -> None:
    write_strategy(
        place,
        "def on_tick(self, tick, account):\n    yield OrderRequest(tick.instrument, 'BUY', 5)\n"
        "def on_order(self, report, account):\n    raise ValueError(report.status)\n"
        "def on_fill(self, execution, account):\n    raise ValueError('fill')\n"
        "def values(self):\n    return {'mine': 1}",
        "max_errors: 1",
    )
    async with running(place) as world:
        listener = await world.trade()
        assert 'ballast_engine_strategy_value{name="mine"} 1' in world.engine.metrics_text()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
        listener.on_order(report(order_ref, "Submitted"))
        assert world.check("trading")[0] == "warn"
        listener.on_order(report(order_ref, "PendingCancel"))
        listener.on_execution(execution("e1", "BUY", 5, 100.0, order_ref=order_ref))
        listener.on_tick(tick())
        text = world.engine.metrics_text()
        assert metric(text, "ballast_engine_strategy_errors_total") == 1
        assert "ballast_engine_strategy_value{" not in text
        assert place.query("SELECT exec_id FROM executions") == [("e1",)]


async def test_figures_of_the_strategy_that_fail_leave_the_others(place: Place) -> None:
    write_strategy(place, "def values(self):\n    return {'mine': 'no number'}")
    async with running(place) as world:
        await world.trade()
        text = world.engine.metrics_text()
        assert metric(text, 'ballast_engine_role{role="trading"}') == 1
        assert "ballast_engine_strategy_value{" not in text
        ((message,),) = place.query("SELECT message FROM risk_events")
        assert message.startswith("values: ValueError: could not convert string to float")


async def test_slow_strategy_is_told_but_goes_on(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    write_strategy(
        place,
        "def on_tick(self, tick, account):\n    sum(range(100_000))\n    yield OrderRequest(tick.instrument, 'BUY', 5)",
        "slow_call_milliseconds: 0.01",
    )
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        assert len(world.link.placed) == 1
        assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["strategy_slow"]


async def test_exception_of_any_other_part_stops_the_engine_with_its_orders_cancelled(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed

        async def snapshot(expected: object, *, anew: bool) -> Snapshot:
            raise ZeroDivisionError("no")

        monkeypatch.setattr(world.link, "snapshot", snapshot)
        listener.on_session()
        await eventually(lambda: world.link.cancelled == [order_ref])
        listener.on_order(report(order_ref, "Cancelled"))
        with pytest.raises(ZeroDivisionError, match=r"^no$"):
            await world.life
        assert place.query("SELECT state FROM trading_state") == [("stopped",)]


# -- metrics


def metric(page: str, name: str) -> float:
    (value,) = (line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith(f"{name} "))
    return float(value)


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ('ballast_engine_health{status="pass"}', lambda value: value == 1),
        ('ballast_engine_role{role="trading"}', lambda value: value == 1),
        ('ballast_engine_role{role="starting"}', lambda value: value == 0),
        ('ballast_engine_gateway_state{state="ready"}', lambda value: value == 1),
        ("ballast_engine_gateway_sessions_total", lambda value: value == 1),
        ("ballast_engine_ticks_total", lambda value: value == 1),
        ("ballast_engine_orders_sent_total", lambda value: value == 1),
        ("ballast_engine_orders_open", lambda value: value == 0),
        ("ballast_engine_executions_total", lambda value: value == 1),
        ("ballast_engine_order_acknowledgement_seconds_count", lambda value: value == 1),
        ("ballast_engine_order_acknowledgement_seconds_sum", lambda value: 0 < value < 1),
        ('ballast_engine_position{symbol="AAPL"}', lambda value: value == 5),
        ('ballast_engine_ledger_rows{table="executions"}', lambda value: value == 1),
        ("ballast_engine_reconciliations_total", lambda value: value >= 1),
        ("ballast_engine_last_reconciliation_timestamp_seconds", lambda value: value > 1.7e9),
        ("ballast_engine_last_tick_age_seconds", lambda value: 0 <= value < 5),
        ("process_resident_memory_bytes", lambda value: 10e6 < value < 500e6),
        ("process_cpu_seconds_total", lambda value: value > 0),
    ],
)
async def test_metrics_tell_what_happened(place: Place, name: str, holds: Callable[[float], bool]) -> None:
    async with running(place) as world:
        listener = await world.trade()
        listener.on_tick(tick())
        ((order_ref, _),) = world.link.placed
        listener.on_order(report(order_ref, "Submitted"))
        listener.on_execution(execution("e1", "BUY", 5, 100.0, order_ref=order_ref))
        assert holds(metric(world.engine.metrics_text(), name))
