# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting, stopping, and stopping in an emergency, judged by the simulator's own record.

Each test leaves a stack behind that trades.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from testinfra.host import Host

STACK = "dev-main"
GATEWAY = "ballast-dev-main-gateway"
Status = Callable[[], dict[str, Any]]
Play = Callable[..., Any]
Eventually = Callable[..., None]


class Venue:
    """The simulated broker, asked past everything that is tested."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def call(self, *words: str) -> Any:
        command = f"docker exec {GATEWAY} python3 -m gateway_simulator.control {' '.join(words)}"
        return json.loads(self._host.check_output(command))

    def left(self) -> tuple[Any, Any]:
        """What is held and which orders work."""
        state = self.call("get", "state")
        return state["positions"], state["working_orders"]

    def rest_an_order(self) -> None:
        """An order that does not fill, made by hand at the broker's terminal."""
        self.call("post", "orders", "symbol=AAPL action=BUY quantity=1 order_type=LMT limit_price=1")

    def orders(self) -> int:
        """How many orders clients have sent."""
        return int(self.call("get", "witness/summary")["counts"].get("order", 0))

    def now(self) -> datetime:
        return datetime.fromisoformat(self.call("get", "state")["now"])


@pytest.fixture(scope="module")
def venue(host: Host) -> Venue:
    return Venue(host)


@pytest.fixture
def trading(host: Host, venue: Venue, status: Status, eventually: Eventually) -> Iterator[str]:
    """The slot of a stack that trades, holds something, and has an order working; it trades again afterwards."""
    eventually(lambda: status()["healthy"] and venue.left()[0], 60)
    venue.rest_an_order()
    yield str(status()["slot"])
    host.run(f"ballast resume {STACK} --reason 'the test is over'")
    host.check_output(f"ballast start {STACK} --wait 60")
    before = venue.orders()
    eventually(lambda: status()["healthy"] and venue.orders() > before, 60)


def acts(host: Host) -> list[tuple[str, str]]:
    lines = host.check_output(f"ballast journal {STACK} --lines 0 --json").splitlines()
    return [(entry["act"], entry["result"]) for entry in map(json.loads, lines)]


# ---- start and stop ----


def test_a_stopped_stack_trades_nothing_says_what_is_left_and_starts_again(
    host: Host, venue: Venue, status: Status, trading: str
) -> None:
    said = host.check_output(f"ballast stop {STACK}")
    held = sum(map(float, venue.left()[0].values()))
    assert f"open orders left: none; positions left: {f'AAPL {held:g}' if held else 'none'}" in said
    document = status()
    assert not document["healthy"]
    assert document["engine"]["role"] == "down"
    assert document["gateway"]["state"] == "in session"
    unit = f"ballast-engine@{STACK}-{trading}"
    assert host.run(f"systemctl is-enabled {unit}").stdout.strip() == "disabled"
    assert venue.call("get", "witness/summary")["connections"][-1]["to"] is not None
    assert host.check_output(f"ballast stop {STACK}") == "it is stopped already; nothing was changed"

    assert f"runs in slot {trading}" in host.check_output(f"ballast start {STACK}")
    assert status()["healthy"]
    assert host.check_output(f"systemctl is-enabled {unit}") == "enabled"
    assert host.check_output(f"ballast start {STACK}") == "it runs already; nothing was changed"
    assert [act for act in acts(host) if act[0] in ("stop", "start")][-4:] == [
        ("stop", "begun"),
        ("stop", "done"),
        ("start", "begun"),
        ("start", "done"),
    ]


def test_the_gateway_stops_after_the_engine_and_starts_before_it(host: Host, status: Status, trading: str) -> None:
    said = host.check_output(f"ballast stop {STACK} --gateway").splitlines()
    assert said[:2] == [
        f"stopped ballast-engine@{STACK}-{trading}.service",
        f"stopped ballast-gateway@{STACK}.service",
    ]
    assert host.check_output("docker ps --quiet") == ""
    said = host.check_output(f"ballast start {STACK}").splitlines()
    assert [line.partition(" is healthy")[0] for line in said[:2]] == [
        f"ballast-gateway@{STACK}.service",
        f"ballast-engine@{STACK}-{trading}.service",
    ]
    assert status()["healthy"]


def test_playbooks_stop_and_start_and_a_stopped_stack_is_no_failure_of_stop(play: Play, status: Status) -> None:
    assert play("stop", "--check").changed == ["Stop the engine"]
    assert status()["healthy"]
    done = play("stop")
    assert done.status == 0, done.output
    assert "positions left: " in done.text
    assert not status()["healthy"]
    done = play("start")
    assert done.status == 0, done.output
    assert done.changed == ["Start gateway and engine"]
    assert status()["healthy"]


def test_a_release_that_is_activated_makes_a_stopped_stack_run(host: Host, status: Status, trading: str) -> None:
    release = status()["release"]
    host.check_output(f"ballast stop {STACK}")
    assert "had been stopped" in host.check_output(f"ballast activate {STACK} {release}")
    assert status()["healthy"]


# ---- logs ----


def test_logs_of_all_services_are_one(host: Host, play: Play) -> None:
    lines = host.check_output(f"ballast logs {STACK} --lines 0").splitlines()
    assert {line.split()[1].partition("-")[0] for line in lines} >= {"gateway", "engine"}
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    sent = host.check_output(f"ballast logs {STACK} --grep order_sent --lines 3 --since 1h").splitlines()
    assert len(sent) == 3
    assert all(" order_sent " in line for line in sent)
    assert "Started ballast-gateway@" in host.check_output(f"ballast logs {STACK} --service gateway --since 1h")
    followed = host.run(f"timeout 10 ballast logs {STACK} --follow --grep order_sent | head -n 102").stdout
    assert len(followed.splitlines()) == 102
    done = play("logs", lines=2, grep="order_sent", service="engine")
    assert done.status == 0, done.output
    assert done.output.count(" order_sent ") == 2


# ---- the emergency stop ----


def stopped(host: Host, venue: Venue, *options: str) -> str:
    """The report of an emergency stop that has left nothing."""
    done = host.run(f"ballast emergency-stop {STACK} --reason test {' '.join(options)}")
    assert done.rc == 0, done.stdout + done.stderr
    assert venue.left() == ({}, [])
    assert f"emergency stop of stack {STACK}: FLAT" in done.stdout
    return str(done.stdout)


def stays_flat(venue: Venue, eventually: Eventually) -> None:
    """Nothing is ordered while the market goes on: the strategy orders every two seconds, unless it is halted."""
    before, began = venue.orders(), venue.now()
    eventually(lambda: venue.now() - began > timedelta(seconds=5), 30)
    assert venue.orders() == before
    assert venue.left() == ({}, [])


def test_a_playbook_makes_flat_and_resumes(
    play: Play, venue: Venue, status: Status, eventually: Eventually, trading: str
) -> None:
    done = play("emergency_stop", reason="it buys what it should sell")
    assert done.status == 0, done.output
    assert "FLAT after" in done.text
    assert venue.left() == ({}, [])
    stays_flat(venue, eventually)
    document = status()
    assert document["healthy"]
    assert "it buys what it should sell" in document["halt"]
    done = play("resume", reason="corrected")
    assert done.status == 0, done.output
    assert done.changed == ["Lift the halt"]
    assert status()["halt"] is None
    assert play("resume", reason="corrected").changed == []


def kill(host: Host, slot: str) -> None:
    host.check_output(f"docker kill ballast-{STACK}-engine-{slot}")


def stop_unit(host: Host, slot: str) -> None:
    host.check_output(f"systemctl stop ballast-engine@{STACK}-{slot}")


def freeze(host: Host, slot: str) -> None:
    host.check_output(f"docker kill --signal STOP ballast-{STACK}-engine-{slot}")


def stop_gateway(host: Host, _slot: str) -> None:
    host.check_output(f"docker stop --time 1 {GATEWAY}")


@pytest.mark.parametrize("trouble", [kill, stop_unit, freeze, stop_gateway])
def test_it_makes_flat_whatever_is_dead(
    host: Host, venue: Venue, eventually: Eventually, trading: str, trouble: Callable[[Host, str], None]
) -> None:
    trouble(host, trading)
    done = host.run(f"ballast emergency-stop {STACK} --reason test")
    assert done.rc == 0, done.stdout + done.stderr
    assert f"emergency stop of stack {STACK}: FLAT" in done.stdout
    stays_flat(venue, eventually)


def test_without_any_gateway_it_halts_and_says_what_to_do_by_hand(
    host: Host, venue: Venue, status: Status, eventually: Eventually, trading: str
) -> None:
    host.check_output(f"systemctl mask --runtime --now ballast-gateway@{STACK}")
    done = host.run(f"ballast emergency-stop {STACK} --reason test --timeout 3")
    host.check_output(f"systemctl unmask --runtime ballast-gateway@{STACK}")
    assert done.rc == 1
    assert "NOT KNOWN TO BE FLAT" in done.stdout
    assert "trading is halted" in done.stdout
    assert "positions left: unknown; the ledger's last word: AAPL " in done.stdout
    assert "DO NOW 1: in the broker's app, or by telephone with its trade desk, for account DU1234567" in done.stdout
    assert status()["halt"]
    assert ("emergency-stop", "failed") in acts(host)[-1:]
    stopped(host, venue)  # which starts the gateway


def test_it_does_not_wait_for_a_deploy_and_the_new_engine_is_halted_too(
    host: Host, venue: Venue, status: Status, eventually: Eventually, play: Play, trading: str
) -> None:
    parameters = {"symbol": "AAPL", "quantity": 3, "interval_seconds": 2, "max_position": 20}
    assert play("deploy", trading_engine_config={"strategy": {"name": "demo", "parameters": parameters}}).status == 0
    release = status()["previous"]
    host.check_output(f"systemd-run --quiet --collect --unit switch ballast activate {STACK} {release}")
    eventually(lambda: acts(host)[-1] == ("activate", "begun"), 20)
    done = host.run(f"ballast emergency-stop {STACK} --reason test")
    assert done.rc == 0, done.stdout + done.stderr
    eventually(lambda: acts(host)[-1] in (("activate", "done"), ("activate", "failed")) or not_running(host), 90)
    assert ("activate", "done") in acts(host)[-4:], acts(host)[-6:]
    stays_flat(venue, eventually)
    assert status()["release"] == release
    assert status()["halt"]


def not_running(host: Host) -> bool:
    return host.run("systemctl is-active switch").stdout.strip() in ("inactive", "failed")


def test_the_journal_is_whole(host: Host) -> None:
    assert "the chain is whole" in host.check_output(f"ballast journal {STACK} verify")


def test_a_decommissioned_stack_leaves_its_ledger_and_backups(host: Host, play: Play) -> None:
    done = play("decommission")
    assert done.status == 0, done.output
    assert host.file(f"/var/lib/ballast/{STACK}/ledger/trades.db").exists
    assert host.check_output(f"ls /var/backups/ballast/{STACK}")
    for path in (
        f"/opt/ballast/{STACK}",
        f"/etc/ballast/{STACK}",
        f"/run/ballast/{STACK}",
        f"/var/lib/ballast/{STACK}/control",
    ):
        assert not host.file(path).exists, path
    units = host.check_output("systemctl list-units --all --plain --no-legend 'ballast-*'")
    assert STACK not in units
    assert host.check_output("docker ps --all --quiet") == ""
