# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator as a process: environment, signals, exit codes, health check, and what survives being killed."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ib_async import LimitOrder, MarketOrder

from gateway_simulator.__main__ import run as serve
from gateway_simulator.settings import SettingsError, from_environment
from tests.simulator.support import AAPL, connected, settings, until

SOURCE = Path(__file__).parents[2] / "images/gateway_simulator/src"


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**inherited, "PYTHONPATH": str(SOURCE), "SIMULATOR_HOST": "127.0.0.1", "SIMULATOR_STATE": "", **variables}


def run(module: str = "gateway_simulator", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a module to its end."""
    command = [sys.executable, "-m", module]
    return subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, timeout=20, check=False
    )


@contextmanager
def started(**variables: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the simulator in a process of its own; give it and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway_simulator"],
        env=environment(SIMULATOR_PORT="0", SIMULATOR_TICKS_PER_SECOND="20", **variables),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            record = json.loads(line)
            if record["message"] == "listening":
                yield process, record["port"]
                break
        else:
            pytest.fail(f"the simulator ended with {process.wait()}")
    finally:
        process.kill()
        process.communicate()


async def test_sigterm_closes_the_clients_and_ends_the_process_at_once() -> None:
    with started() as (process, port):
        async with connected(port) as client:
            gone = asyncio.Event()
            client.disconnectedEvent += gone.set
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(gone.wait(), 2)
            assert await asyncio.to_thread(process.wait, 5) == 0
            assert time.monotonic() - began < 2


async def test_signals_break_and_mend_the_link_to_the_broker() -> None:
    with started() as (process, port):
        async with connected(port) as client:
            process.send_signal(signal.SIGUSR1)
            await until(lambda: 1100 in client.codes)
            process.send_signal(signal.SIGUSR2)
            await until(lambda: 1102 in client.codes)


async def test_what_a_client_was_told_survives_a_kill(tmp_path: Path) -> None:
    state = str(tmp_path / "state.json")
    with started(SIMULATOR_STATE=state) as (process, port):
        async with connected(port) as client:
            bought = client.placeOrder(AAPL, MarketOrder("BUY", 7))
            resting = client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00, orderRef="blue:1"))
            await until(lambda: bought.isDone() and resting.orderStatus.status == "Submitted")
            process.kill()
            await until(lambda: not client.isConnected())
    with started(SIMULATOR_STATE=state) as (_, port):
        async with connected(port) as client:
            assert [position.position for position in client.positions()] == [7]
            assert [trade.order.orderRef for trade in client.openTrades()] == ["blue:1"]
            assert [fill.execution.shares for fill in client.fills()] == [7]


def test_the_health_check_tells_a_gateway_that_speaks_from_one_that_does_not() -> None:
    with started() as (_, port):
        answer = run("gateway_simulator.healthcheck", SIMULATOR_PORT=str(port))
        assert (answer.returncode, answer.stdout) == (0, f"127.0.0.1:{port}: server version 178\n")
    refused = run("gateway_simulator.healthcheck", SIMULATOR_PORT=str(port))
    assert refused.returncode == 1
    assert refused.stdout.startswith(f"127.0.0.1:{port}: no API handshake: ConnectionRefusedError(")


@pytest.mark.parametrize(("by", "file"), [("a request", "state.witness.jsonl"), ("the market", "state.json")])
async def test_a_disk_that_is_full_ends_the_process_before_a_client_is_told(
    tmp_path: Path, by: str, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.json"
    with started(SIMULATOR_STATE=str(state)) as (process, port):
        async with connected(port) as client:
            resting = client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00, orderRef="blue:1"))
            soon = f"{datetime.now(UTC) + timedelta(seconds=3):%Y%m%d-%H:%M:%S}"
            ending = client.placeOrder(
                AAPL, LimitOrder("BUY", 1, 1.00, orderRef="blue:2", tif="GTD", goodTillDate=soon)
            )
            await until(lambda: [each.orderStatus.status for each in (resting, ending)] == ["Submitted"] * 2)
            written = state.read_bytes()
            # Not a byte more; the witness's file is larger already.
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (len(written), len(written)))
            late = client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00, orderRef="blue:3")) if by == "a request" else None
            await until(lambda: not client.isConnected())
            assert late is None or late.orderStatus.status == "PendingSubmit"
            assert ending.orderStatus.status == "Submitted"
        assert await asyncio.to_thread(process.wait, 10) == 74
    assert f"{tmp_path / file}: cannot be written (" in capfd.readouterr().err
    assert state.read_bytes() == written
    with started(SIMULATOR_STATE=str(state)) as (_, port):
        async with connected(port) as client:
            assert "blue:1" in [trade.order.orderRef for trade in client.openTrades()]
            assert "blue:3" not in [trade.order.orderRef for trade in client.trades()]


def test_a_silent_gateway_accepts_and_never_speaks() -> None:
    with started(SIMULATOR_FAULT="silent") as (process, port):
        answer = run("gateway_simulator.healthcheck", SIMULATOR_PORT=str(port))
        assert (answer.returncode, answer.stdout) == (1, f"127.0.0.1:{port}: no API handshake: TimeoutError()\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_every_bad_variable_is_named_with_its_value_and_what_is_wanted() -> None:
    bad = {
        "TRADING_MODE": "both",
        "SIMULATOR_ACCOUNT": "me",
        "SIMULATOR_HOST": "",
        "SIMULATOR_PORT": "70000",
        "SIMULATOR_SEED": "-1",
        "SIMULATOR_TICKS_PER_SECOND": "nan",
        "SIMULATOR_SERVER_VERSION": "226",
        "SIMULATOR_STATE": "state.json",
        "SIMULATOR_FAULT": "loud",
        "SIMULATOR_LOG_LEVEL": "chatty",
    }
    wanted = [
        "TRADING_MODE='both': wanted paper or live",
        "SIMULATOR_ACCOUNT='me': wanted letters and digits, such as DU1234567",
        "SIMULATOR_HOST='': wanted an address to listen on",
        "SIMULATOR_PORT='70000': wanted a port, 0 to 65535",
        "SIMULATOR_SEED='-1': wanted a whole number, 0 or more",
        "SIMULATOR_TICKS_PER_SECOND='nan': wanted a number above 0, at most 100",
        "SIMULATOR_SERVER_VERSION='226': wanted a server version, 100 to 225",
        "SIMULATOR_STATE='state.json': wanted the absolute path of a file, or empty for memory only",
        "SIMULATOR_FAULT='loud': wanted empty or silent",
        "SIMULATOR_LOG_LEVEL='chatty': wanted one of DEBUG, INFO, WARNING, ERROR",
    ]
    with pytest.raises(SettingsError) as raised:
        from_environment(bad)
    assert str(raised.value).splitlines() == wanted
    answer = run(**bad)
    assert (answer.returncode, answer.stdout, answer.stderr.splitlines()) == (64, "", wanted)


@pytest.mark.parametrize(("mode", "port"), [("paper", 4004), ("live", 4003)])
def test_the_trading_mode_decides_the_port(mode: str, port: int) -> None:
    assert from_environment({"TRADING_MODE": mode}).port == port
    assert from_environment({"TRADING_MODE": mode, "SIMULATOR_PORT": "5"}).port == 5


def test_a_port_in_use_is_exit_69() -> None:
    with started() as (_, port):
        answer = run(SIMULATOR_PORT=str(port))
        assert answer.returncode == 69
        assert answer.stderr.startswith(f"127.0.0.1:{port}: cannot listen: [Errno 98] ")


def test_a_state_without_a_directory_is_kept_in_memory(tmp_path: Path) -> None:
    with started(SIMULATOR_STATE=str(tmp_path / "missing/state.json")) as (process, port):
        answer = run("gateway_simulator.healthcheck", SIMULATOR_PORT=str(port))
        assert answer.returncode == 0
        process.terminate()
        assert process.wait(5) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be read (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ("[]", "its schema is None, wanted 2"),
        (
            '{"schema": 1, "account": "DU1234567", "cash": "1.00"}',
            "is not a whole state of schema 1 (KeyError('next_perm_id'))",
        ),
        ('{"schema": 3, "account": "DU1234567"}', "its schema is 3, wanted 2"),
        ('{"schema": 2, "account": "DU9"}', "it belongs to account DU9, wanted DU1234567"),
        ('{"schema": 2, "account": "DU1234567"}\n', "KeyError('next')"),
        (
            '{"schema": 2, "account": "DU1234567"}\n{\n',
            "line 2 cannot be read (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
        ),
    ],
)
def test_an_unusable_state_is_exit_65_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, reason: str
) -> None:
    state = tmp_path / "state.json"
    state.write_text(content)
    assert asyncio.run(serve(settings(state))) == 65
    assert capsys.readouterr().err == f"{state}: {reason}; move it away to start afresh\n"
    assert state.read_text() == content
