# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a process: its exit codes, and its life against the gateway simulator."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reference_engine import app
from reference_engine.engine import Engine
from reference_engine.ledger import Ledger
from reference_engine.strategies import WANTED
from tests.engine.books import Record, differences
from tests.engine.support import ACCOUNT, Place
from tests.engine.venue import SOURCES, Venue


def until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait until the condition holds; fails with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)


class Process:
    """The engine process in a place."""

    def __init__(self, place: Place, *arguments: str) -> None:
        self.place = place
        with (place.path / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *(arguments or ("-m", "reference_engine"))],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES, **place.environment},
                stdout=log,
                stderr=subprocess.PIPE,
                text=True,
            )

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return HTTP status and document; (0, {}) while nobody answers."""
        connection = http.client.HTTPConnection("engine", timeout=5)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.place.socket))
            connection.request("GET", "/health")
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except OSError:
            return 0, {}
        finally:
            connection.close()

    def wait_for(self, status: int, state: str, seconds: float = 15.0) -> dict[str, Any]:
        """Wait until health answers with the HTTP status and the gateway's state; return the document."""
        seen: list[tuple[int, dict[str, Any]]] = []

        def arrived() -> bool:
            seen.append(self.health())
            code, document = seen[-1]
            return code == status and document["gateway"]["state"] == state

        try:
            until(arrived, f"health {status} {state}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; last {seen[-1]}\n{self.log()}") from None
        return seen[-1][1]

    def log(self) -> str:
        return (self.place.path / "engine.log").read_text()

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> tuple[int, str]:
        """Send the signal, wait, and return exit code and standard error."""
        if number is not None:
            self._process.send_signal(number)
        _, errors = self._process.communicate(timeout=30)
        return self._process.returncode, errors

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@pytest.fixture
def simulator(place: Place) -> Iterator[Venue]:
    simulator = Venue(place.path)
    place.environment["BALLAST_GATEWAY_PORT"] = str(simulator.port)
    simulator.start()
    yield simulator
    simulator.kill()


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def start(*arguments: str) -> Process:
        processes.append(Process(place, *arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def count(place: Place, table: str) -> int:
    ((rows,),) = place.query(f"SELECT count(*) FROM {table}")  # noqa: S608 the tests' own words
    return int(str(rows))


def assert_books_agree(place: Place, simulator: Venue) -> None:
    """The ledger has everything that the venue has on record, exactly once, and nobody has to look at anything."""
    assert differences(Record.of(simulator.witness()), place.ledger, settled=True) == []
    assert place.query("SELECT kind, message FROM risk_events") == []


def test_engine_trades_survives_a_lost_gateway_and_drains(
    place: Place, simulator: Venue, start: Callable[..., Process]
) -> None:
    engine = start()
    document = engine.wait_for(200, "ready")
    assert (document["status"], document["role"], document["gateway"]["accounts"]) == ("pass", "trading", [ACCOUNT])
    until(lambda: count(place, "executions") >= 5, "five executions")
    assert count(place, "trades") >= 1
    assert count(place, "daily_summaries") == 1

    simulator.kill()
    document = engine.wait_for(503, "unreachable")
    assert document["role"] == "trading", "the lease is kept while the gateway is away"
    assert document["output"].startswith("gateway: unreachable: ")
    executions = count(place, "executions")

    simulator.start()
    document = engine.wait_for(200, "ready")
    until(lambda: count(place, "executions") >= executions + 3, "executions of the second session")

    assert engine.end() == (0, "")
    assert not place.socket.exists()
    assert place.query("SELECT state, reason FROM trading_state") == [("stopped", "drained")]
    assert not place.ledger.with_name("trades.db-wal").exists()
    assert_books_agree(place, simulator)


@pytest.mark.parametrize(
    ("step", "first_order"),
    [
        ("gateway.IbLink.place", "not_sent"),
        ("ledger.Ledger.mark_sent", "filled"),
        ("ledger.Ledger.record_order", "filled"),
        ("ledger.Ledger.record_execution", "filled"),
    ],
)
def test_engine_killed_at_any_step_of_an_order_loses_and_doubles_nothing(
    place: Place, simulator: Venue, start: Callable[..., Process], step: str, first_order: str
) -> None:
    module, rest = step.split(".", 1)
    killed_there = (
        f"import os; from reference_engine import app, {module}; "
        f"{module}.{rest} = lambda *told, **more: os.kill(os.getpid(), 9); app.main(os.environ)"
    )
    assert start("-c", killed_there).end(None) == (-signal.SIGKILL, "")
    assert count(place, "orders") == 1
    # As if the restart came later: an order without an answer is waited for, for a while.
    then = "2026-11-22T20:45:01.123Z"
    place.execute(
        "UPDATE orders SET created_at = ?, sent_at = CASE WHEN sent_at IS NULL THEN NULL ELSE ? END", then, then
    )
    engine = start()
    engine.wait_for(200, "ready")
    until(lambda: count(place, "executions") >= 3, "three executions")
    assert engine.end() == (0, "")
    assert place.query("SELECT status FROM orders ORDER BY id LIMIT 1") == [(first_order,)]
    assert_books_agree(place, simulator)


def test_lost_broker_link_is_remembered_though_the_socket_stays_open(
    place: Place, simulator: Venue, start: Callable[..., Process]
) -> None:
    engine = start()
    engine.wait_for(200, "ready")
    link = simulator.call("POST", "faults", {"fault": "link"})["id"]
    engine.wait_for(503, "broker_link_lost")
    executions = count(place, "executions")
    simulator.call("DELETE", f"faults/{link}")
    engine.wait_for(200, "ready")
    until(lambda: count(place, "executions") > executions, "executions after the link is back")
    assert engine.end() == (0, "")


def test_engine_that_connects_while_the_broker_is_away_waits_for_it(
    place: Place, simulator: Venue, start: Callable[..., Process]
) -> None:
    link = simulator.call("POST", "faults", {"fault": "link"})["id"]
    engine = start()
    document = engine.wait_for(503, "broker_link_lost")
    assert (document["role"], count(place, "orders")) == ("starting", 0)
    simulator.call("DELETE", f"faults/{link}")
    engine.wait_for(200, "ready")
    assert engine.end() == (0, "")


def test_second_engine_on_the_client_id_says_what_is_wrong(simulator: Venue, start: Callable[..., Process]) -> None:
    start().wait_for(200, "ready")
    other = Place()
    other.make_ledger()
    other.environment["BALLAST_GATEWAY_PORT"] = str(simulator.port)
    second = Process(other)
    try:
        document = second.wait_for(503, "client_id_in_use")
        assert f"127.0.0.1:{simulator.port} refuses client id 1: " in document["output"]
        assert second.end() == (0, "")
    finally:
        second.kill()
        other.close()


def test_port_that_accepts_and_says_nothing_is_told_from_a_gateway(place: Place, start: Callable[..., Process]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place.environment["BALLAST_GATEWAY_PORT"] = str(silent.getsockname()[1])
        engine = start()
        document = engine.wait_for(503, "no_handshake", 20)
        assert "accepts connections but does not speak the IB API" in document["output"]
        assert engine.end() == (0, "")


def test_unknown_strategy_exits_64_with_one_line(place: Place, start: Callable[..., Process]) -> None:
    place.config.write_text("strategy: {name: nope}")
    assert start().end(None) == (
        64,
        f"reference_engine: configuration error: strategy.name: saw 'nope', wanted {WANTED}; "
        "fix: name one that exists\n",
    )


def test_ledger_without_schema_exits_65(place: Place, start: Callable[..., Process]) -> None:
    place.ledger.write_bytes(b"")
    assert start().end(None) == (
        65,
        f"reference_engine: ledger {place.ledger}: schema version is 0, wanted at least 2; "
        "run the ledger's migrations first\n",
    )


def test_ledger_that_claims_a_schema_it_does_not_have_exits_65(place: Place, start: Callable[..., Process]) -> None:
    place.ledger.write_bytes(b"")
    place.execute("PRAGMA user_version = 2")
    assert start().end(None) == (
        65,
        f"reference_engine: ledger {place.ledger}: no such table: orders; wanted a ledger made by the ledger's "
        "migrations, readable and writable\n",
    )


def test_ledger_is_closed_before_the_lease_is_given_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    holders: list[bool] = []

    def close(ledger: Ledger) -> None:
        with (place.path / "lease" / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holders.append(True)
            else:
                holders.append(False)
        really_close(ledger)

    async def run(*_: object) -> int:
        return 0

    really_close = Ledger.close
    monkeypatch.setattr(Ledger, "close", close)
    monkeypatch.setattr(Engine, "run", run)
    assert app.main(place.environment) == 0
    assert holders == [True]


@pytest.mark.usefixtures("simulator")
def test_lease_held_by_another_exits_69(place: Place, start: Callable[..., Process]) -> None:
    first = start()
    first.wait_for(200, "ready")
    code, errors = start().end(None)
    assert code == 69
    assert errors.startswith(f"reference_engine: the lease {place.path}/lease/lock is held by slot blue, release ")
    assert first.health()[0] == 200
    assert first.end() == (0, "")


def test_healthcheck_of_the_image_follows_the_engine(
    place: Place, simulator: Venue, start: Callable[..., Process]
) -> None:
    def healthcheck() -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "reference_engine.healthcheck"],
            env={"PYTHONPATH": SOURCES, "BALLAST_SOCKET": str(place.socket)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    assert healthcheck() == (1, f"no health from socket '{place.socket}': [Errno 2] No such file or directory\n")
    engine = start()
    engine.wait_for(200, "ready")
    assert healthcheck() == (0, "pass: ready\n")
    simulator.kill()
    engine.wait_for(503, "unreachable")
    code, text = healthcheck()
    assert (code, text.split(":")[0]) == (1, "fail")
