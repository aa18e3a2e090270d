# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emergency stop makes the account flat, with a living engine, a dead one or no ledger, or says what is left."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reference_engine import app
from reference_engine.flatten import Report, _Books, _Stop
from reference_engine.gateway import Holdings, LinkError, Listener
from reference_engine.model import OpenOrder, Position
from tests.contract.stage import CLIENT_ID, FLATTEN_CLIENT_ID, Answer, Ended, Engine, ProcessStage, until
from tests.engine.books import Record, differences
from tests.engine.support import AAPL, ACCOUNT, Place, report
from tests.engine.venue import Venue

COMMAND = [sys.executable, "-m", "reference_engine"]
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
HELD = ["{symbol: AAPL, type: STK, quantity: 7}", "{symbol: MSFT, type: STK, quantity: -7}"]
MIXED = """\
from reference_engine.model import Instrument, OrderRequest
from reference_engine.strategy import Strategy


class Mixed(Strategy):
    '''Is long of one, short of another, and has an order resting in each.'''

    def instruments(self):
        return [Instrument("AAPL"), Instrument("MSFT")]

    def on_tick(self, tick, account):
        held, orders = account.position(tick.instrument), account.orders(tick.instrument)
        side = "BUY" if tick.instrument.symbol == "AAPL" else "SELL"
        if not held and not orders:
            yield OrderRequest(tick.instrument, side, 7)
        elif held and not orders:
            away = 0.98 if side == "BUY" else 1.02
            yield OrderRequest(tick.instrument, side, 3, "LMT", round(tick.price * away, 2))
"""


@pytest.fixture
def stage() -> Iterator[ProcessStage]:
    with ProcessStage(COMMAND) as stage:
        (stage.config_dir / "mixed.py").write_text(MIXED, encoding="utf-8")
        (stage.config_dir / "engine.yaml").write_text("strategy: {name: 'mixed:Mixed'}\n", encoding="utf-8")
        yield stage


class HeldStage(ProcessStage):
    """A stage on which the account holds both from the start, and no engine ever ran."""

    def __init__(self, scenario: str = "") -> None:
        self._scenario = f"{scenario}account: {{positions: [{', '.join(HELD)}]}}\n"
        super().__init__(COMMAND)

    def _make_venue(self, ticks_per_second: float) -> Venue:
        scenario = self.path / "scenario.yml"
        scenario.write_text(self._scenario, encoding="utf-8")
        environment = {"SIMULATOR_SCENARIO": str(scenario)}
        return Venue(self.path, ticks_per_second=ticks_per_second, environment=environment)


@pytest.fixture
def held() -> Iterator[HeldStage]:
    with HeldStage() as stage:
        yield stage


def mixed(stage: ProcessStage) -> Engine:
    """Start an engine and wait until it has two positions and two orders that rest."""
    engine = stage.start("blue")
    engine.wait_for(200, "trading")

    def rests() -> bool:
        limits = [order for order in stage.orders() if order["order_type"] == "LMT"]
        return len(limits) == 2 and engine.health().document["orders"]["open"] == 2

    until(rests, "two orders to rest", seen=lambda: engine.health())
    assert stage.positions() == {"AAPL": 7.0, "MSFT": -7.0}
    return engine


def flatten(stage: ProcessStage, *arguments: str, **environment: str) -> tuple[Ended, dict[str, Any]]:
    words = ("flatten", "--reason", "drill", "--requested-by", "ops", "--json", *arguments)
    ended = stage.run(*words, timeout=60.0, **environment)
    return ended, json.loads(ended.output) if ended.output else {}


def working(stage: ProcessStage) -> int:
    """Return how many orders the venue says have not ended."""
    entries = stage.venue.witness()
    placed = {(e["client_id"], e["order_id"]) for e in entries if e["kind"] == "order"}
    return len(placed - {(e["client_id"], e["order_id"]) for e in entries if e["kind"] == "order_end"})


def assert_flat(stage: ProcessStage) -> None:
    assert working(stage) == 0
    assert [p for p in stage.venue.call("GET", "state")["positions"].values() if float(p["quantity"])] == []


def assert_each_position_was_closed_by_one_order(stage: ProcessStage) -> None:
    closing = [order for order in stage.orders() if order["client_id"] == FLATTEN_CLIENT_ID]
    assert sorted((o["symbol"], o["action"], float(o["quantity"])) for o in closing) == [
        ("AAPL", "SELL", 7.0),
        ("MSFT", "BUY", 7.0),
    ]
    assert all(order["order_ref"].startswith("dev-main:flatten:") for order in closing)


class Interrupted:
    """A broker that loses the answer to what is asked after a wish, though it carries the wish out, order by order."""

    state, reason, accounts = "ready", "", (ACCOUNT,)

    def __init__(self) -> None:
        terms = (AAPL.con_id, "submitted", "AAPL", "BUY", 1.0, 0.0, 99.0)
        self.orders = [OpenOrder(f"dev-main:{number}", *terms) for number in (1, 2)]  # type: ignore[arg-type]
        self.held = [Position(ACCOUNT, AAPL, 7.0, 100.0), Position(ACCOUNT, AAPL, -7.0, 100.0)]
        self.lost, self.cancels = 0, False

    async def run(self, listener: Listener) -> None:
        self.listener = listener
        await asyncio.Event().wait()

    async def look(self) -> Holdings:
        self._answer()
        seen = Holdings(tuple(self.orders), tuple(self.held))
        del self.orders[: int(self.cancels)]
        return seen

    def cancel_everything(self) -> None:
        self.lost, self.cancels = 1, True

    async def find_venue(self, position: Position) -> None:  # noqa: ARG002 the broker's interface
        self._answer()

    def close(self, order_ref: str, position: Position) -> None:
        self.held.remove(position)
        self.listener.on_order(report(order_ref, "Filled"))
        self.lost = len(self.held)

    def _answer(self) -> None:
        if self.lost:
            self.lost -= 1
            raise LinkError("the answer is lost")


async def test_what_was_done_is_counted_though_the_answers_are_lost(place: Place) -> None:
    deployment, _ = place.load()
    broker, told = Interrupted(), Report(ACCOUNT, "drill", "ops")
    stop = _Stop(deployment, broker, _Books(deployment, told, None), told, time.monotonic() + 20.0)  # type: ignore[arg-type]
    await stop.run()
    assert (told.flat, told.problems) == (True, [])
    assert (told.orders_cancelled, told.positions_closed, len(told.orders_sent)) == (2, 2, 2)


def test_account_of_a_dead_engine_is_flattened_and_the_ledger_knows_it(stage: ProcessStage) -> None:
    engine = mixed(stage)
    engine.signal(signal.SIGKILL)
    engine.wait()
    ended, report = flatten(stage)
    assert (ended.code, report["flat"], report["halted"], report["problems"]) == (0, True, True, [])
    assert (report["orders_cancelled"], report["positions_closed"]) == (2, 2)
    assert (report["orders_left"], report["positions_left"]) == ([], {})
    assert_flat(stage)
    assert_each_position_was_closed_by_one_order(stage)
    assert stage.query(
        "SELECT requested_by, reason, status, orders_cancelled, positions_closed, orders_left, positions_left "
        "FROM emergency_stops"
    ) == [("ops", "drill", "completed", 2, 2, 0, 0)]
    assert stage.query("SELECT state, changed_by, reason FROM trading_state") == [
        ("halted", "ops", "emergency stop 1: drill")
    ]
    assert stage.query("SELECT strategy, status, count(*) FROM orders GROUP BY 1, 2 ORDER BY 1, 2")[0] == (
        "flatten",
        "filled",
        2,
    )
    # The next engine learns what it has missed, finds the books in order, and sends nothing until the halt is lifted.
    before = len(stage.orders())
    engine = stage.start("blue")
    document = engine.wait_for(200, "trading")
    assert document["status"] == "warn"
    assert "halt" in document["trading"]["blocked_by"]
    assert stage.run("resume", "--reason", "over", "--requested-by", "ops").code == 0
    until(lambda: len(stage.orders()) >= before + 2, "orders after the halt")
    assert stage.query("SELECT message FROM events WHERE kind = 'trading_resumed'")[0][0].startswith(
        "ops lifted the halt (over): emergency stop 1: drill (by ops, since "
    )
    assert engine.stop() == 0
    assert differences(Record.of(stage.venue.witness()), stage.ledger, settled=True) == []


def test_living_engine_stops_at_once_and_does_not_trade_against_it(stage: ProcessStage) -> None:
    engine = mixed(stage)
    _, report = flatten(stage)
    assert (report["flat"], report["problems"]) == (True, [])
    until(lambda: engine.health().document["positions"] == {}, "the engine to see it")
    assert_flat(stage)
    assert_each_position_was_closed_by_one_order(stage)
    assert engine.health().document["status"] == "warn"
    assert engine.stop() == 0
    assert_flat(stage)
    assert differences(Record.of(stage.venue.witness()), stage.ledger, settled=True) == []


def test_engine_flattens_itself_when_its_socket_is_asked(stage: ProcessStage) -> None:
    engine = mixed(stage)
    answer = engine.ask("POST", "/flatten", {"reason": "drill", "requested_by": "ops"}, timeout=60)
    assert (answer.status, answer.document["flat"], answer.document["problems"]) == (200, True, [])
    assert_flat(stage)
    assert_each_position_was_closed_by_one_order(stage)
    assert engine.wait_for(200, "trading")["status"] == "warn"
    assert engine.stop() == 0
    assert_flat(stage)
    assert differences(Record.of(stage.venue.witness()), stage.ledger, settled=True) == []


STOPS = "SELECT status, outcome FROM emergency_stops"


@contextmanager
def unfinished_stop(stage: ProcessStage) -> Iterator[tuple[Engine, Future[Answer]]]:
    """Ask an engine to flatten itself while the venue rejects what closes its positions."""
    engine = mixed(stage)
    stage.venue.call("POST", "faults", {"fault": "reject", "clients": [FLATTEN_CLIENT_ID], "code": 201})
    with ThreadPoolExecutor() as pool:
        call = pool.submit(engine.ask, "POST", "/flatten", {"reason": "drill"}, 60)
        stage.wait_for_orders(1, FLATTEN_CLIENT_ID)
        assert stage.query(STOPS) == [("requested", None)]
        yield engine, call


def test_stop_goes_on_through_a_demotion_and_its_end_is_in_the_ledger(stage: ProcessStage) -> None:
    with unfinished_stop(stage) as (engine, call):
        assert engine.ask("POST", "/lease/demote", {}, timeout=30).status == 200
        stage.venue.call("DELETE", "faults")
        answer = call.result(timeout=60)
    assert (answer.status, answer.document["flat"], answer.document["problems"]) == (200, True, [])
    assert stage.query(STOPS) == [("completed", "flat")]
    assert_flat(stage)


def test_stop_that_ends_with_its_engine_is_failed_in_the_ledger(stage: ProcessStage) -> None:
    with unfinished_stop(stage) as (engine, call):
        assert engine.stop() == 0
        assert call.result(timeout=30).status == 0  # nobody is left to answer
    ((status, outcome),) = stage.query(STOPS)
    assert status == "failed"
    assert outcome.startswith("not flat; ")
    assert "the process ended before it was done" in outcome
    assert working(stage) == 0
    assert flatten(stage, "--timeout", "1")[1]["flat"] is False
    stage.venue.call("DELETE", "faults")
    assert flatten(stage)[1]["flat"] is True
    assert_flat(stage)


def test_second_run_finds_nothing_to_do(held: HeldStage) -> None:
    assert flatten(held)[0].code == 0
    orders = len(held.orders())
    ended, report = flatten(held)
    assert (ended.code, report["flat"], report["orders_cancelled"], report["positions_closed"]) == (0, True, 0, 0)
    assert len(held.orders()) == orders


@pytest.mark.parametrize("trouble", ["missing", "locked"])
def test_without_the_ledger_the_engines_are_fenced_out_instead(stage: ProcessStage, trouble: str) -> None:
    engine = mixed(stage)
    other = sqlite3.connect(stage.ledger, isolation_level=None)
    if trouble == "locked":
        other.execute("BEGIN IMMEDIATE")
    elsewhere = {"BALLAST_LEDGER": str(stage.path / "nowhere.db")} if trouble == "missing" else {}
    ended, report = flatten(stage, **elsewhere)
    other.close()
    assert (ended.code, report["flat"], report["fenced"]) == (0, True, 2)
    assert any(problem.startswith("the ledger is not written: ") for problem in report["problems"])
    assert engine.wait() == 77
    assert_flat(stage)
    assert_each_position_was_closed_by_one_order(stage)
    (client,) = {order["client_id"] for order in stage.orders()} - {CLIENT_ID}
    assert client == FLATTEN_CLIENT_ID


def test_gateway_that_comes_back_in_time_is_waited_for(held: HeldStage) -> None:
    held.venue.kill()
    ended: list[tuple[Ended, dict[str, Any]]] = []
    thread = threading.Thread(target=lambda: ended.append(flatten(held)))
    thread.start()
    until(lambda: held.query("SELECT status FROM emergency_stops") == [("requested",)], "the halt")
    held.venue.start()
    thread.join()
    assert (ended[0][0].code, ended[0][1]["flat"]) == (0, True)
    assert_flat(held)


def test_gateway_that_stays_away_is_reported_and_what_is_left_is_unknown(held: HeldStage) -> None:
    held.venue.kill()
    ended, report = flatten(held, "--timeout", "1")
    assert (ended.code, report["flat"], report["orders_left"], report["positions_left"]) == (75, False, None, None)
    assert report["halted"]
    assert report["problems"][0] == "the time is over"
    assert ": nothing accepts connections at 127.0.0.1:" in report["problems"][1]
    assert held.query("SELECT status, orders_left, positions_left FROM emergency_stops") == [("failed", None, None)]
    text = held.run("flatten", "--reason", "drill", "--timeout", "1").output
    assert "NOT FLAT" in text
    assert "orders left: unknown" in text


def test_position_that_the_broker_will_not_close_is_reported_and_no_order_is_left(held: HeldStage) -> None:
    held.venue.call("POST", "faults", {"fault": "reject", "clients": [FLATTEN_CLIENT_ID], "code": 201})
    ended, report = flatten(held, "--timeout", "4")
    assert (ended.code, report["flat"], report["orders_left"]) == (75, False, [])
    assert report["positions_left"] == {"AAPL": 7.0, "MSFT": -7.0}
    assert any("201" in problem for problem in report["problems"])
    assert working(held) == 0
    assert held.query("SELECT status, orders_left, positions_left FROM emergency_stops") == [("failed", 0, 2)]


def test_closed_market_is_reported_and_what_is_open_is_closed() -> None:
    now = datetime.now(UTC)
    day, weekday = now + timedelta(days=2), WEEKDAYS[(now.weekday() + 2) % 7]
    hours = f"hours: {{rare: {{time_zone: UTC, trading: {{{weekday}: '10:00-11:00'}}}}}}\n"
    with HeldStage(f"{hours}instruments: [{{symbol: AAPL, hours: rare}}, {{symbol: MSFT}}]\n") as stage:
        ended, report = flatten(stage)
        assert (ended.code, report["flat"]) == (75, False)
        assert report["positions_left"] == {"AAPL": 7.0}
        assert report["problems"] == [f"AAPL: its market is closed until {day:%Y-%m-%d}T10:00:00.000Z"]
        assert report["seconds"] < 30, "it did not wait for the market"
        assert [(order["symbol"], order["action"]) for order in stage.orders()] == [("MSFT", "BUY")]
        assert working(stage) == 0


def test_two_at_once_close_each_position_once(held: HeldStage) -> None:
    ended: list[tuple[Ended, dict[str, Any]]] = []
    threads = [threading.Thread(target=lambda: ended.append(flatten(held))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(end.code, report["flat"]) for end, report in ended] == [(0, True)] * 2
    assert_flat(held)
    assert_each_position_was_closed_by_one_order(held)


@pytest.mark.parametrize("signals", [1, 3])
def test_killed_stop_can_be_run_again(stage: ProcessStage, signals: int) -> None:
    """It is killed when the venue has seen so much of it: its cancel, or its orders."""
    mixed(stage).signal(signal.SIGKILL)
    process = subprocess.Popen(
        [*COMMAND, "flatten", "--reason", "drill"],
        env=stage.variables("blue"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def seen() -> int:
        return sum(
            e.get("client_id") == FLATTEN_CLIENT_ID and e["kind"] in ("cancel", "order", "fill")
            for e in stage.venue.witness()
        )

    until(lambda: seen() >= signals or process.poll() is not None, "the first stop to come that far")
    process.kill()
    process.wait()
    ended, report = flatten(stage)
    assert (ended.code, report["flat"]) == (0, True)
    assert_flat(stage)
    engine = stage.start("blue")
    engine.wait_for(200, "trading")
    assert engine.stop() == 0
    assert differences(Record.of(stage.venue.witness()), stage.ledger, settled=True) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("flatten",), "the following arguments are required: --reason"),
        (("flatten", "--reason", " "), "argument --reason: wanted a text"),
        (("flatten", "--reason", "r", "--timeout", "soon"), "'soon': wanted seconds above 0, at most 3600"),
        (("sell",), "invalid choice: 'sell'"),
    ],
)
def test_wrong_use_exits_64_with_the_reason(
    place: Place, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        app.main(place.environment, arguments)
    assert caught.value.code == 64
    assert text in capsys.readouterr().err


def test_wrong_environment_exits_64_and_nothing_is_touched(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.environment["BALLAST_ACCOUNT"] = ""
    assert app.main(place.environment, ("flatten", "--reason", "r")) == 64
    assert capsys.readouterr().err.startswith("reference_engine: configuration error: BALLAST_ACCOUNT: saw ''")
    assert place.query("SELECT count(*) FROM emergency_stops") == [(0,)]


def test_live_account_in_a_paper_environment_is_not_touched(stage: ProcessStage) -> None:
    ended, report = flatten(stage, BALLAST_ACCOUNT="U1234567")
    assert (ended.code, report["flat"], report["halted"]) == (75, False, False)
    assert report["problems"] == [
        "account U1234567 in environment dev: wanted an account starting with D; correct the account or the environment"
    ]
    assert stage.sessions() == []


def test_nothing_of_engine_yaml_or_of_a_folder_keeps_it_from_its_work(stage: ProcessStage) -> None:
    (stage.config_dir / "engine.yaml").write_text("strategy: {name: broken")
    ended, report = flatten(
        stage, BALLAST_SOCKET="/nowhere/blue.sock", BALLAST_LEASE_DIR="/nowhere", BALLAST_LEDGER="/nowhere/trades.db"
    )
    assert (ended.code, report["flat"], report["halted"], report["fenced"]) == (0, True, False, None)
    assert report["problems"][1].startswith("no engine could be fenced out: ")
    assert (
        "could NOT be halted"
        in stage.run(
            "flatten", "--reason", "r", BALLAST_LEASE_DIR="/nowhere", BALLAST_LEDGER="/nowhere/trades.db"
        ).output
    )


def test_status_tells_lease_trading_state_and_engine(stage: ProcessStage) -> None:
    assert stage.run("status").output.splitlines() == [
        "lease     never taken",
        "trading   not halted",
        f"engine    no answer on {stage.socket_dir}/blue.sock",
    ]
    engine = stage.start("blue")
    engine.wait_for(200, "trading")
    document = json.loads(stage.run("status", "--json").output)
    assert (document["lease"]["token"], document["lease"]["owner"], document["trading"]) == (1, "blue", "not halted")
    assert document["engine"]["role"] == "trading"
    assert stage.run("resume", "--reason", "r").output == "account DU1234567: it was not halted\n"
    with socket.socket(socket.AF_UNIX) as other:  # the engine's is in use; the command does not take it
        other.connect(str(engine.socket))
    assert "engine    trading: " in stage.run("status").output
