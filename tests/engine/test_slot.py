# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two engines on one account: the lease goes from one to the other and back, and there are never two traders.

What happened is taken from the venue's own record, never from an engine's word alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sqlite3
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reference_engine import slot
from reference_engine.lease import raise_token
from reference_engine.ledger import Ledger
from reference_engine.model import Snapshot
from tests.contract.stage import CLIENT_ID, STANDBY_CLIENT_ID, Answer, Engine, ProcessStage, until
from tests.engine.books import Record, differences
from tests.engine.support import FakeLink, Place, eventually, report, tick

COMMAND = [sys.executable, "-m", "reference_engine"]


@pytest.fixture
def stage() -> Iterator[ProcessStage]:
    with ProcessStage(COMMAND) as stage:
        yield stage


@contextlib.contextmanager
def asking(*calls: Callable[[], Answer]) -> Iterator[list[Future[Answer]]]:
    """Make the calls at once, each in a thread; the context ends when all are answered."""
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        yield [pool.submit(call) for call in calls]


def promote(engine: Engine, timeout: float = 20.0) -> Answer:
    return engine.ask("POST", "/lease/promote", {"timeout": timeout}, timeout=timeout + 10)


def demote(engine: Engine, **fields: object) -> Answer:
    return engine.ask("POST", "/lease/demote", fields, timeout=30)


def trader_and_standby(stage: ProcessStage) -> tuple[Engine, Engine]:
    trader, standby = stage.start("blue"), stage.start("green", "standby")
    trader.wait_for(200, "trading")
    standby.wait_for(200, "standby")
    stage.wait_for_orders(1)
    return trader, standby


def assert_never_two_traders(stage: ProcessStage) -> None:
    summary = stage.venue.call("GET", "witness/summary")
    assert summary["overlaps"] == []
    assert summary["repeated_order_refs"] == {}
    assert {order["client_id"] for order in stage.orders()} <= {CLIENT_ID}


def lock_is_free(stage: ProcessStage) -> bool:
    return (stage.lease_dir / "lock").read_text() == ""


@contextlib.contextmanager
def client_in_the_way(stage: ProcessStage) -> Iterator[None]:
    """Hold the trading client id with a session of somebody else's (IB API: handshake, then startApi)."""
    with socket.create_connection((stage.venue.host, stage.venue.port), timeout=10) as client:
        versions = b"v157..178"
        client.sendall(b"API\0" + struct.pack(">I", len(versions)) + versions)
        client.recv(100)
        start = f"71\0002\000{CLIENT_ID}\000\0".encode()
        client.sendall(struct.pack(">I", len(start)) + start)
        client.recv(100)
        until(lambda: stage.connections(CLIENT_ID) == 1, "the other client's session")
        yield


def test_lease_goes_to_the_standby_and_back_and_no_order_is_lost_or_doubled(stage: ProcessStage) -> None:
    blue, green = trader_and_standby(stage)
    assert green.health().document["positions"].keys() <= {"AAPL"}
    for token, (old, new) in enumerate([(blue, green), (green, blue), (blue, green)], 2):
        answer = demote(old)
        assert (answer.status, answer.document["role"], answer.document["changed"]) == (200, "standby", True)
        assert answer.document["orders_unconfirmed"] == []
        assert stage.connections(CLIENT_ID) == 0
        answer = promote(new)
        assert (answer.status, answer.document["role"], answer.document["changed"]) == (200, "trading", True)
        assert answer.document["lease"] == {"held": True, "token": token, "owner": new.slot}
        stage.wait_for_orders(2)
        assert new.wait_for(200, "trading")["lease"]["held"]
        assert old.wait_for(200, "standby")["lease"] == {"held": False, "token": token, "owner": new.slot}
    assert (blue.stop(), green.stop()) == (0, 0)
    assert_never_two_traders(stage)
    assert len(stage.venue.call("GET", "witness/summary")["gaps"]) == 3
    assert differences(Record.of(stage.venue.witness()), stage.ledger, settled=True) == []
    assert stage.query("SELECT fencing_token FROM trading_state") == [(4,)]


def test_standby_sends_nothing_and_writes_nothing(stage: ProcessStage) -> None:
    before = stage.ledger.read_bytes()
    standby = stage.start("green", "standby")
    document = standby.wait_for(200, "standby")
    assert (document["status"], document["lease"]) == ("pass", {"held": False, "token": None, "owner": None})
    assert document["trading"]["blocked_by"] == {"role": "role is standby"}
    ticks = "ballast_engine_ticks_total "

    def received() -> float:
        lines = standby.ask("GET", "/metrics").text.splitlines()
        return next(float(line.removeprefix(ticks)) for line in lines if line.startswith(ticks))

    until(lambda: received() > 20, "twenty ticks: the strategy would have ordered")
    answer = standby.ask("POST", "/flatten", {"reason": "test"})
    assert (answer.status, answer.document["role"]) == (409, "standby")
    assert standby.stop() == 0
    assert stage.orders() == []
    assert stage.ledger.read_bytes() == before
    assert {session["client_id"] for session in stage.sessions()} == {STANDBY_CLIENT_ID}
    assert [path.name for path in stage.lease_dir.iterdir()] == []


def test_strategy_is_warm_when_its_standby_is_promoted(stage: ProcessStage) -> None:
    (stage.config_dir / "slow.py").write_text(
        "from reference_engine.model import Instrument, OrderRequest\n"
        "from reference_engine.strategy import Strategy\n\n\n"
        "class Slow(Strategy):\n"
        "    seen = 0\n\n"
        "    def instruments(self):\n"
        "        return [Instrument('AAPL')]\n\n"
        "    def on_tick(self, tick, account):\n"
        "        self.seen += 1\n"
        "        if self.seen > 40 and not account.orders(tick.instrument):\n"
        "            yield OrderRequest(tick.instrument, 'BUY', 1)\n",
        encoding="utf-8",
    )
    (stage.config_dir / "engine.yaml").write_text("strategy: {name: 'slow:Slow'}\n", encoding="utf-8")
    standby = stage.start("green", "standby")
    standby.wait_for(200, "standby")

    def seen() -> int:
        lines = standby.ask("GET", "/metrics").text.splitlines()
        return next(
            (int(float(line.split()[-1])) for line in lines if line.startswith("ballast_engine_ticks_total ")), 0
        )

    until(lambda: seen() > 45, "the strategy to be warm")
    assert stage.orders() == []
    assert promote(standby).status == 200
    promoted_at = seen()
    stage.wait_for_orders(1 - len(stage.orders()))
    assert seen() - promoted_at < 30, "it ordered on what it had seen before"


def test_promotion_while_the_other_holds_the_lease_names_the_holder(stage: ProcessStage) -> None:
    _, standby = trader_and_standby(stage)
    answer = promote(standby)
    assert answer.status == 409
    assert answer.document["role"] == "standby"
    assert "/lease/lock is held by slot blue, release " in answer.document["reason"]
    assert standby.wait_for(200, "standby")["lease"] == {"held": False, "token": 1, "owner": "blue"}
    stage.wait_for_orders(2)
    assert_never_two_traders(stage)


def test_calls_that_ask_for_what_is_already_so_change_nothing(stage: ProcessStage) -> None:
    trader, standby = trader_and_standby(stage)
    sessions = len(stage.sessions())
    answer = promote(trader)
    assert (answer.status, answer.document["role"], answer.document["changed"]) == (200, "trading", False)
    answer = demote(standby)
    assert (answer.status, answer.document["role"], answer.document["changed"]) == (200, "standby", False)
    assert len(stage.sessions()) == sessions


def test_calls_made_at_once_are_carried_out_once(stage: ProcessStage) -> None:
    standby = stage.start("green", "standby")
    standby.wait_for(200, "standby")
    with asking(*[lambda: promote(standby)] * 3) as answers:
        pass
    assert sorted((a.result().status, a.result().document["changed"]) for a in answers) == [
        (200, False),
        (200, False),
        (200, True),
    ]
    stage.wait_for_orders(1)
    with asking(*[lambda: demote(standby)] * 3) as answers:
        pass
    assert sorted((a.result().status, a.result().document["changed"]) for a in answers) == [
        (200, False),
        (200, False),
        (200, True),
    ]
    assert [s["client_id"] for s in stage.sessions()].count(CLIENT_ID) == 1


def test_of_two_standbys_promoted_at_once_one_trades(stage: ProcessStage) -> None:
    engines = [stage.start("blue", "standby", BALLAST_STANDBY_CLIENT_ID="3"), stage.start("green", "standby")]
    for engine in engines:
        engine.wait_for(200, "standby")
    with asking(*[lambda engine=engine: promote(engine) for engine in engines]) as answers:
        pass
    assert sorted(answer.result().status for answer in answers) == [200, 409]
    stage.wait_for_orders(2)
    assert sorted(engine.health().document["role"] for engine in engines) == ["standby", "trading"]
    assert [s["client_id"] for s in stage.sessions()].count(CLIENT_ID) == 1


def test_failed_promotion_gives_everything_back_and_can_be_made_again(stage: ProcessStage) -> None:
    standby = stage.start("green", "standby")
    standby.wait_for(200, "standby")
    stage.venue.kill()
    standby.wait_for(503, "standby")
    answer = promote(standby, timeout=1.0)
    assert (answer.status, answer.document["role"]) == (503, "standby")
    assert answer.document["reason"].startswith("it does not trade yet: gateway: unreachable: nothing accepts")
    assert not answer.document["lease"]["held"]
    assert lock_is_free(stage)
    stage.venue.start()
    standby.wait_for(200, "standby")
    with client_in_the_way(stage):
        answer = promote(standby, timeout=2.0)
        assert (answer.status, answer.document["role"]) == (503, "standby")
        assert f"refuses client id {CLIENT_ID}: " in answer.document["reason"]
        assert lock_is_free(stage)
    standby.wait_for(200, "standby")
    assert promote(standby).status == 200
    stage.wait_for_orders(1)
    assert_never_two_traders(stage)


@pytest.mark.parametrize("trouble", ["locked", "missing"])
def test_promotion_without_a_usable_ledger_leaves_the_standby_as_it_is(stage: ProcessStage, trouble: str) -> None:
    standby = stage.start("green", "standby")
    standby.wait_for(200, "standby")
    sessions = len(stage.sessions())
    if trouble == "locked":
        other = sqlite3.connect(stage.ledger, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = promote(standby)
        other.close()
        wanted = "database is locked"
    else:
        stage.ledger.rename(stage.path / "away.db")
        answer = promote(standby)
        (stage.path / "away.db").rename(stage.ledger)
        wanted = "unable to open database file"
    assert (answer.status, answer.document["role"]) == (503, "standby")
    assert wanted in answer.document["reason"]
    assert lock_is_free(stage)
    assert len(stage.sessions()) == sessions, "its session went on"
    assert promote(standby).status == 200


def test_demotion_gives_up_a_promotion_that_is_not_through(stage: ProcessStage) -> None:
    standby = stage.start("green", "standby")
    standby.wait_for(200, "standby")
    with client_in_the_way(stage), asking(lambda: promote(standby, timeout=30.0)) as (promotion,):
        until(lambda: standby.health().document["role"] == "starting", "the promotion to be under way")
        answer = demote(standby)
        assert (answer.status, answer.document["role"], answer.document["changed"]) == (200, "standby", False)
        given_up = promotion.result(timeout=5)
        assert (given_up.status, given_up.document["reason"]) == (503, "given up: demoted meanwhile")
        assert lock_is_free(stage)
    assert stage.orders() == []


def test_stop_in_the_middle_of_a_promotion_ends_it_and_the_process(stage: ProcessStage) -> None:
    standby = stage.start("green", "standby")
    standby.wait_for(200, "standby")
    with client_in_the_way(stage), asking(lambda: promote(standby, timeout=30.0)) as (promotion,):
        until(lambda: standby.health().document["role"] == "starting", "the promotion to be under way")
        standby.signal(signal.SIGTERM)
        given_up = promotion.result(timeout=10)
        assert (given_up.status, given_up.document["reason"]) == (503, "given up: the engine is stopping")
        assert standby.wait() == 0
    assert lock_is_free(stage)
    assert stage.orders() == []


def test_stop_in_the_middle_of_a_demotion_lets_it_end_first(stage: ProcessStage) -> None:
    trader, _ = trader_and_standby(stage)
    # The venue takes orders and says nothing more: the demotion waits for an answer that does not come.
    stage.venue.call("POST", "faults", {"fault": "delay_acknowledgements", "seconds": 60, "clients": [CLIENT_ID]})
    stage.wait_for_orders(1)
    with asking(lambda: demote(trader, timeout=2.0)) as (demotion,):
        until(lambda: trader.health().document["role"] == "stopping", "the demotion to be under way")
        trader.signal(signal.SIGTERM)
        answer = demotion.result(timeout=15)
        assert (answer.status, answer.document["changed"]) == (200, True)
        assert len(answer.document["orders_unconfirmed"]) == 1
        assert trader.wait() == 0
    assert lock_is_free(stage)


def test_promoted_engine_takes_over_the_orders_that_work(stage: ProcessStage) -> None:
    (stage.config_dir / "resting.py").write_text(
        "from reference_engine.model import Instrument, OrderRequest\n"
        "from reference_engine.strategy import Strategy\n\n\n"
        "class Resting(Strategy):\n"
        "    def instruments(self):\n"
        "        return [Instrument('AAPL')]\n\n"
        "    def on_tick(self, tick, account):\n"
        "        if not account.open_orders(tick.instrument):\n"
        "            yield OrderRequest(tick.instrument, 'BUY', 1, 'LMT', round(tick.price * 0.98, 2))\n",
        encoding="utf-8",
    )
    (stage.config_dir / "engine.yaml").write_text("strategy: {name: 'resting:Resting'}\n", encoding="utf-8")
    trader, standby = stage.start("blue"), stage.start("green", "standby")
    trader.wait_for(200, "trading")
    standby.wait_for(200, "standby")
    until(lambda: trader.health().document["orders"]["open"] == 1, "the order to rest")
    until(lambda: standby.health().document["orders"]["open"] == 1, "the standby to see it")
    (order,) = stage.orders()
    until(lambda: stage.query("SELECT status FROM orders") == [("submitted",)], "the acknowledgement")
    assert demote(trader).document["orders_kept"] == [order["order_ref"]]
    assert promote(standby).status == 200
    assert standby.health().document["orders"]["open"] == 1
    assert demote(standby, working_orders="cancel").document["orders_kept"] == []
    assert stage.query("SELECT status FROM orders") == [("cancelled",)]
    assert len(stage.orders()) == 1


def later(stage: ProcessStage, clock: str) -> float:
    """Return the seconds by which the venue's clock is later than that."""
    now = datetime.fromisoformat(stage.venue.call("GET", "state")["now"])
    return (now - datetime.fromisoformat(clock)).total_seconds()


def fence(directory: Path) -> None:
    raise_token(directory, "operator", "by hand")


def replace_lock(directory: Path) -> None:
    (directory / "new").touch()
    (directory / "new").replace(directory / "lock")


@pytest.mark.parametrize(
    ("act", "reason"),
    [(fence, "fenced out: token 2 is operator"), (replace_lock, "no longer the file that this engine locked")],
)
def test_engine_that_lost_its_lease_sends_nothing_more_and_ends(
    stage: ProcessStage, act: Callable[[Path], None], reason: str
) -> None:
    trader = stage.start("blue")
    trader.wait_for(200, "trading")
    stage.wait_for_orders(1)
    # While it is frozen the lease is lost: the first thing it could do when it wakes up is to send an order.
    trader.signal(signal.SIGSTOP)
    act(stage.lease_dir)
    clock = stage.venue.call("GET", "state")["now"]
    until(lambda: later(stage, clock) > 0.3, "several ticks to wait for it")
    before = len(stage.venue.witness())
    trader.signal(signal.SIGCONT)
    assert trader.wait() == 77
    assert reason in trader.output()
    said = [entry["kind"] for entry in stage.venue.witness()[before:]]
    assert not {"order", "cancel"} & set(said)
    assert stage.query("SELECT count(*) FROM events WHERE kind = 'lease_lost'") == [(1,)]


def test_engine_fenced_out_during_its_drain_sends_no_cancel(stage: ProcessStage) -> None:
    trader = stage.start("blue")
    trader.wait_for(200, "trading")
    stage.venue.call("POST", "faults", {"fault": "delay_acknowledgements", "seconds": 60, "clients": [CLIENT_ID]})
    stage.wait_for_orders(1)
    trader.signal(signal.SIGTERM)
    until(lambda: trader.health().document["role"] == "stopping", "the drain")
    fence(stage.lease_dir)
    assert trader.wait(10.0) == 77


def test_engine_fenced_out_during_its_demotion_sends_no_cancel_says_so_and_ends(stage: ProcessStage) -> None:
    trader = stage.start("blue")
    trader.wait_for(200, "trading")
    stage.venue.call("POST", "faults", {"fault": "delay_acknowledgements", "seconds": 60, "clients": [CLIENT_ID]})
    stage.wait_for_orders(1)
    with asking(lambda: demote(trader, working_orders="cancel")) as (demotion,):
        until(lambda: trader.health().document["role"] == "stopping", "the demotion to be under way")
        before = len(stage.venue.witness())
        fence(stage.lease_dir)
        answer = demotion.result(timeout=15)
    assert answer.status == 503
    assert answer.document["reason"] == "the lease was lost meanwhile: nothing more was sent, and the engine ends"
    assert trader.wait() == 77
    assert not {"order", "cancel"} & {entry["kind"] for entry in stage.venue.witness()[before:]}


def test_engine_without_the_lease_exits_69_and_one_that_takes_over_a_dead_one_trades(stage: ProcessStage) -> None:
    first = stage.start("blue")
    first.wait_for(200, "trading")
    second = stage.start("green")
    assert second.wait() == 69
    assert "is held by slot blue" in second.output()
    first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    third = stage.start("green")
    assert third.wait_for(200, "trading")["lease"] == {"held": True, "token": 2, "owner": "green"}
    stage.wait_for_orders(1)
    assert_never_two_traders(stage)


def test_health_answers_all_through_a_cutover(stage: ProcessStage) -> None:
    blue, green = trader_and_standby(stage)
    over, bad = threading.Event(), []

    def look() -> None:
        while not over.is_set():
            for engine in (blue, green):
                answer = engine.health()
                if answer.status not in (200, 503) or "lease" not in answer.document:
                    bad.append(answer)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for old, new in ((blue, green), (green, blue)):
            assert demote(old).status == 200
            assert promote(new).status == 200
    finally:
        over.set()
        looking.join()
    assert bad == []


async def test_client_id_that_another_keeps_is_told_and_trading_goes_on_when_it_is_free(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot, "CLIENT_ID_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(slot, "_WATCH_SECONDS", 0.01)
    link = FakeLink()
    deployment, config = place.load()
    stop = asyncio.Event()
    engine = slot.Slot(deployment, config, lambda: link, lambda: link)
    life = asyncio.create_task(engine.run(stop))
    listener = await link.connect()
    await eventually(lambda: engine.health()["role"] == "trading")
    link.tell_state("client_id_in_use", "the gateway refuses client id 1")
    await eventually(lambda: "client_id" in engine.health()["trading"]["blocked_by"])
    assert engine.health()["lease"]["held"], "lock and token are still its own"
    told = "SELECT severity FROM risk_events WHERE kind = 'client_id_lost'"
    await eventually(lambda: place.query(told) == [("critical",)])
    link.tell_state("ready", "")
    listener.on_session()
    await eventually(lambda: engine.health()["trading"]["blocked_by"] == {})
    listener.on_tick(tick())
    assert len(link.placed) == 1
    link.known = Snapshot((report(link.placed[0][0], "Cancelled"),), (), ())
    listener.on_order(report(link.placed[0][0], "Cancelled"))
    stop.set()
    assert await life == 0


async def test_order_is_refused_in_the_moment_in_which_the_lease_is_lost(place: Place) -> None:
    """Not only when somebody looks: between two looks at the lease a tick asks for an order."""
    link = FakeLink()
    deployment, config = place.load()
    engine = slot.Slot(deployment, config, lambda: link, lambda: link)
    life = asyncio.create_task(engine.run(asyncio.Event()))
    listener = await link.connect()
    await eventually(lambda: engine.health()["role"] == "trading")
    fence(place.path / "lease")
    listener.on_tick(tick())
    assert link.placed == []
    assert await life == slot.EXIT_LEASE_LOST
    assert link.cancelled == []
    assert place.query("SELECT kind, severity FROM risk_events") == [("lease_lost", "critical")]


async def test_order_whose_intent_is_committed_while_the_lease_is_lost_does_not_leave(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit takes a disk's time, or all of a freeze."""
    link = FakeLink()
    deployment, config = place.load()
    engine = slot.Slot(deployment, config, lambda: link, lambda: link)
    life = asyncio.create_task(engine.run(asyncio.Event()))
    listener = await link.connect()
    await eventually(lambda: engine.health()["role"] == "trading")
    record = Ledger.record_intent

    def fence_meanwhile(ledger: Ledger, *arguments: Any, **named: Any) -> None:
        record(ledger, *arguments, **named)
        fence(place.path / "lease")

    monkeypatch.setattr(Ledger, "record_intent", fence_meanwhile)
    listener.on_tick(tick())
    assert link.placed == []
    assert await life == slot.EXIT_LEASE_LOST
    assert place.query("SELECT status FROM orders") == [("not_sent",)]
