# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a process: its exit codes, and its life against the gateway simulator."""

from __future__ import annotations

import fcntl
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from reference_engine import app
from reference_engine.engine import Engine
from reference_engine.ledger import Ledger
from reference_engine.strategies import WANTED
from tests.engine.process import Process, assert_books_agree, count, until
from tests.engine.support import ACCOUNT, Place
from tests.engine.venue import SOURCES, Venue


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
