# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emergency stop, whatever else is broken, and the way back from it; on a host in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import books, emergency, hold
from ansible_collections.ballast.trading.plugins.module_utils.activation import Activator
from ansible_collections.ballast.trading.plugins.module_utils.books import Books
from ansible_collections.ballast.trading.plugins.module_utils.change import ChangeFailed, ChangeRefused, deploy_lock
from ansible_collections.ballast.trading.plugins.module_utils.commands import CommandError, Outcome
from ansible_collections.ballast.trading.plugins.module_utils.emergency import (
    EmergencyError,
    Report,
    emergency_stop,
    halt_of,
    resume,
)
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, Operator
from ansible_collections.ballast.trading.plugins.module_utils.releases import Release, ReleaseStore
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed

JANE = Operator("jane", "desk")
BLUE, GREEN = "ballast-engine@dev-main-blue", "ballast-engine@dev-main-green"
FLAT = {
    "flat": True,
    "halted": True,
    "fenced": None,
    "orders_cancelled": 2,
    "positions_closed": 1,
    "orders_left": [],
    "positions_left": {},
    "problems": [],
}
NOT_FLAT = {**FLAT, "flat": False, "orders_left": None, "positions_left": None, "problems": ["the time is over"]}
FOREIGN: dict[str, Any] = {"probe": {"kind": "container"}}
BY_HAND = (
    "in the broker's app, or by telephone with its trade desk, for account DU1234567:"
    " cancel every order, close every position"
)
AGAIN = "when what is named above is mended: `ballast emergency-stop dev-main --reason TEXT` again, until it says FLAT"


def ends(document: dict[str, Any]) -> Outcome:
    return Outcome(0 if document["flat"] else 75, json.dumps(document), "2026-11-22T20:45:01.123Z warning ...")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost(deployed(tmp_path), monkeypatch)
    monkeypatch.setattr(emergency, "probe_service", fake.probe)
    monkeypatch.setattr(emergency, "time", fake)
    monkeypatch.setattr(books, "last_known", lambda _stack: Books(None, ["a"], {"AAPL": 5.0}))
    return fake


@pytest.fixture
def release(host: FakeHost) -> Release:
    """A release that runs in slot blue."""
    release = host.stage()
    Activator(host.stack).activate(release)
    host.events.clear()
    return release


def stop(host: FakeHost, said: list[str] | None = None) -> Report:
    """The report of an emergency stop, whether or not it left something."""
    try:
        return emergency_stop(host.stack, "why", JANE, say=(said if said is not None else []).append)
    except EmergencyError as error:
        return error.report


def asked(host: FakeHost) -> list[list[str]]:
    """What engines' images were told to do."""
    return [command[command.index("flatten") :] for command in host.commands if "flatten" in command]


# ---- with an engine of the contract ----


def test_an_engine_that_lives_does_it_itself_at_once(host: FakeHost, release: Release) -> None:
    host.flatten_answer = FLAT
    said: list[str] = []
    assert stop(host, said).done
    assert said[0] == "cancelling every order and closing every position, by the engine in slot blue"
    assert (host.events, host.commands) == ([], [])


def test_an_engine_that_does_not_get_it_done_is_not_relied_upon(host: FakeHost, release: Release) -> None:
    host.flatten_answer = {**NOT_FLAT, "problems": ["mine"]}
    host.command_ends = [ends(FLAT)]
    report = stop(host)
    assert (report.done, report.problems) == (True, [])


def test_what_an_engine_said_counts_where_the_command_cannot_be_run(host: FakeHost, release: Release) -> None:
    host.flatten_answer = {**NOT_FLAT, "positions_left": {"AAPL": 2.0}}
    break_docker(host)
    report = stop(host)
    assert (report.trading, report.positions_left) == ("halted", {"AAPL": 2.0})


def test_an_engine_that_does_not_come_back_from_it_is_killed(host: FakeHost, release: Release) -> None:
    host.engines[f"blue {release.id}"] = "is deaf"
    host.command_ends = [ends(FLAT)]
    report = stop(host)
    assert report.done
    assert host.events == ["docker kill ballast-dev-main-engine-blue"]
    assert report.problems[1] == "the engine in slot blue did not do it: timed out"


def test_without_a_word_of_the_engine_the_command_does_it_all(host: FakeHost, release: Release) -> None:
    host.command_ends = [ends(FLAT)]
    said: list[str] = []
    report = stop(host, said)
    assert asked(host) == [
        ["flatten", "--reason", "why", "--requested-by", "jane from desk", "--timeout", "60", "--json"]
    ]
    assert host.flatten_wishes == [{"reason": "why", "requested_by": "jane from desk", "timeout": 60.0}]
    assert (report.done, report.flat, report.trading) == (True, True, "halted")
    assert said[1:] == [
        f"cancelling every order and closing every position, with the engine of release {release.id}",
        "emergency stop of stack dev-main: FLAT after 0.0 s\n"
        "trading is halted: every order is refused, until `ballast resume dev-main --reason TEXT`\n"
        "orders cancelled: 2, positions closed: 1",
    ]
    assert host.events == []
    assert hold.held(host.stack) is None
    acts = [(entry["act"], entry["result"], entry["user"]) for entry in Journal(host.stack).entries()[-3:]]
    assert acts == [("emergency-stop", "begun", "jane"), ("alert", "done", "jane"), ("emergency-stop", "done", "jane")]


def test_it_does_not_wait_for_a_switch_that_is_under_way(host: FakeHost, release: Release) -> None:
    host.command_ends = [ends(FLAT)]
    with deploy_lock(host.stack):
        assert stop(host).done


def test_what_could_not_be_closed_is_told_with_what_to_do_by_hand(host: FakeHost, release: Release) -> None:
    host.command_ends = [ends(NOT_FLAT)]
    report = stop(host)
    assert report.todo == [BY_HAND, AGAIN]
    assert report.text() == (
        "emergency stop of stack dev-main: NOT KNOWN TO BE FLAT after 0.0 s\n"
        "trading is halted: every order is refused, until `ballast resume dev-main --reason TEXT`\n"
        "orders cancelled: 2, positions closed: 1\n"
        "orders left: unknown; the ledger's last word: a\n"
        "positions left: unknown; the ledger's last word: AAPL 5\n"
        "problem: the time is over\n"
        f"DO NOW 1: {BY_HAND}\n"
        f"DO NOW 2: {AGAIN}"
    )
    assert Journal(host.stack).entries()[-1]["result"] == "failed"
    assert host.events == []  # a halted engine may go on


def test_what_is_left_is_told_as_the_broker_said_it(host: FakeHost, release: Release) -> None:
    host.command_ends = [ends({**NOT_FLAT, "orders_left": ["x", "y"], "positions_left": {"AAPL": 3.0}})]
    lines = stop(host).text().splitlines()
    assert lines[3:5] == ["orders left: x, y", "positions left: AAPL 3"]


def test_an_engine_that_does_not_answer_is_killed_first(host: FakeHost, release: Release) -> None:
    host.silent = {"blue"}
    host.command_ends = [ends(FLAT)]
    report = stop(host)
    assert report.done
    assert host.events == ["docker kill ballast-dev-main-engine-blue"]
    assert report.problems == ["the engine in slot blue did not answer and was killed; systemd starts it again"]


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_a_gateway_that_does_not_run_is_started(host: FakeHost, release: Release, state: str) -> None:
    host._stop("ballast-gateway@dev-main.service")
    host.units["ballast-gateway@dev-main.service"]["ActiveState"] = state
    host.command_ends = [ends(FLAT)]
    assert stop(host).problems == [f"the gateway did not run (it was {state}) and was started"]
    assert host.events == ["start ballast-gateway@dev-main"]


def test_an_image_that_cannot_be_used_is_replaced_by_that_of_another_release(host: FakeHost, release: Release) -> None:
    second = host.stage("two")
    Activator(host.stack).activate(second)
    host.command_ends = [Outcome(125, "", "no such image"), ends(FLAT)]
    report = stop(host)
    assert report.done
    assert report.problems == [
        f"flatten of release {second.id} ended with status 125 and no report: no such image",
    ]


# ---- when nothing can be halted ----


def break_docker(host: FakeHost) -> None:
    host.command_ends = [CommandError("`docker compose` failed")]


def answer_nonsense(host: FakeHost) -> None:
    host.command_ends = [Outcome(0, "[]", "")]


def lose_ledger(host: FakeHost) -> None:
    host.command_ends = [ends({**NOT_FLAT, "halted": False})]


@pytest.mark.parametrize("trouble", [break_docker, answer_nonsense, lose_ledger])
def test_where_trading_cannot_be_halted_the_engines_are_stopped_and_held(
    host: FakeHost, release: Release, trouble: Callable[[FakeHost], None]
) -> None:
    trouble(host)
    report = stop(host)
    assert (report.flat, report.trading, report.todo) == (False, "stopped", [BY_HAND, AGAIN])
    assert host.events[-3:] == [f"disable {BLUE}", f"stop {BLUE}", f"disable {GREEN}"]
    assert "why" in str(hold.held(host.stack))
    assert "no engine runs, and none is started, until" in report.text()


def test_an_engine_that_cannot_be_stopped_is_an_alarm(host: FakeHost, release: Release) -> None:
    break_docker(host)
    host.unstoppable = {"ballast-dev-main-engine-blue"}
    report = stop(host)
    assert report.trading == "not stopped"
    assert report.todo[1] == "an engine may still trade: cut the server off from its network, or switch it off"
    assert "TRADING COULD NOT BE STOPPED" in report.text()
    assert any("still runs after its unit" in problem for problem in report.problems)


def test_nothing_on_the_host_keeps_it_from_telling_what_to_do(host: FakeHost, release: Release) -> None:
    for what in ("systemctl show", "systemctl disable", "docker inspect", "docker image inspect"):
        host.failing[what] = "broken"
    host.stack.control.rmdir()
    host.stack.control.write_text("no folder")
    report = stop(host)
    assert (report.flat, report.trading) == (False, "not stopped")
    assert len(report.todo) == 3
    assert any("the hold could not be written" in problem for problem in report.problems)


def test_a_stack_without_a_release_has_nothing_to_ask_the_broker_with(host: FakeHost) -> None:
    report = stop(host)
    assert report.problems == ["no release is on this host: there is nothing to ask the broker with"]
    assert report.account is None
    assert report.todo[0].startswith("in the broker's app, or by telephone with its trade desk, for the account:")


# ---- with another engine ----


def test_an_engine_without_the_contract_is_stopped_and_what_is_left_is_unknown(host: FakeHost) -> None:
    release = host.stage(**FOREIGN)
    Activator(host.stack).activate(release)
    host.events.clear()
    report = stop(host)
    assert (report.flat, report.trading, report.orders_left, report.todo) == (False, "stopped", None, [BY_HAND, AGAIN])
    assert host.events[:2] == [f"disable {BLUE}", f"stop {BLUE}"]
    assert report.problems == [
        f"the engine of release {release.id} cannot be told to halt: engines are stopped instead",
        "no engine image of this stack can cancel orders and close positions",
    ]


def test_the_image_of_a_release_before_it_closes_what_another_engine_held(host: FakeHost, release: Release) -> None:
    Activator(host.stack).activate(host.stage("two", **FOREIGN))
    host.events.clear()
    host.command_ends = [ends(FLAT)]
    report = stop(host)
    assert (report.flat, report.trading) == (True, "stopped")
    assert host.events[:2] == [f"disable {BLUE}", f"disable {GREEN}"]


# ---- and back ----


def test_a_resume_lifts_the_halt_in_the_ledger(host: FakeHost, release: Release) -> None:
    host.command_ends = [Outcome(0, "account DU1234567: the halt is lifted; it was: x\n", "")]
    assert resume(host.stack, "all is well", JANE, say=print) == "account DU1234567: the halt is lifted; it was: x"
    assert host.commands[0][-5:] == ["resume", "--reason", "all is well", "--requested-by", "jane from desk"]
    entry = Journal(host.stack).entries()[-1]
    assert (entry["act"], entry["result"], entry["text"]) == (
        "resume",
        "done",
        "all is well: account DU1234567: the halt is lifted; it was: x",
    )


def test_a_resume_lifts_the_hold_last_and_says_that_no_engine_runs(host: FakeHost, release: Release) -> None:
    break_docker(host)
    stop(host)
    host.command_ends = [Outcome(65, "", "no ledger"), Outcome(0, "lifted", "")]
    with pytest.raises(ChangeFailed) as refused:
        resume(host.stack, "x", JANE, say=print)
    assert str(refused.value) == "the halt of stack dev-main was not lifted: resume ended with status 65: no ledger"
    assert hold.held(host.stack)
    assert resume(host.stack, "x", JANE, say=print) == (
        "lifted; engines may start again; no engine runs: `ballast start dev-main` starts it"
    )
    assert hold.held(host.stack) is None


def test_a_resume_of_another_engine_lifts_the_hold_alone(host: FakeHost) -> None:
    Activator(host.stack).activate(host.stage(**FOREIGN))
    stop(host)
    assert resume(host.stack, "x", JANE, say=print).startswith("engines may start again; no engine runs")
    assert host.commands == []


def test_a_resume_waits_its_turn_and_needs_a_release(host: FakeHost) -> None:
    with pytest.raises(ChangeFailed, match="stack dev-main has no release, so nothing trades: deploy it"):
        resume(host.stack, "x", JANE, say=print)
    with deploy_lock(host.stack), pytest.raises(ChangeRefused):
        resume(host.stack, "x", JANE, say=print)


def test_a_halt_is_known_from_the_ledger_and_from_the_host(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    assert halt_of(host.stack) is None
    monkeypatch.setattr(books, "last_known", lambda _stack: Books("drawdown: x", [], {}))
    assert halt_of(host.stack) == "drawdown: x"
    hold.place(host.stack, JANE, "x")
    assert str(halt_of(host.stack)).startswith("stack dev-main is held")
    shutil.rmtree(host.stack.control)
    monkeypatch.setattr(books, "last_known", lambda _stack: None)
    assert halt_of(host.stack) is None


def test_a_damaged_release_is_still_used_to_stop(host: FakeHost, release: Release) -> None:
    (release.path / "engine/service.json").write_text("{")
    host.command_ends = [ends(FLAT)]
    assert ReleaseStore(host.stack).link("active/blue") == release.id
    assert stop(host).done
