# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and stopping a stack as it is, on a host in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import books, hold, operate
from ansible_collections.ballast.trading.plugins.module_utils.activation import Activator
from ansible_collections.ballast.trading.plugins.module_utils.books import Books
from ansible_collections.ballast.trading.plugins.module_utils.change import ChangeFailed, ChangeRefused, deploy_lock
from ansible_collections.ballast.trading.plugins.module_utils.control import read_soak
from ansible_collections.ballast.trading.plugins.module_utils.ib_api import NotLoggedIn
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, Operator
from ansible_collections.ballast.trading.plugins.module_utils.operate import (
    Operation,
    is_started,
    is_stopped,
    start,
    stop,
)
from ansible_collections.ballast.trading.plugins.module_utils.releases import Release
from ansible_collections.ballast.trading.plugins.module_utils.stack_lock import lock
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed

JANE = Operator("jane", "desk")
GATEWAY = "ballast-gateway@dev-main"
BLUE, GREEN = "ballast-engine@dev-main-blue", "ballast-engine@dev-main-green"
LEFT = "open orders left: none; positions left: AAPL 5"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    fake = FakeHost(deployed(tmp_path), monkeypatch)
    monkeypatch.setattr(operate, "time", fake)
    monkeypatch.setattr(books, "last_known", lambda _stack: Books(None, [], {"AAPL": 5.0}))
    yield fake
    assert fake.two_engines == []


@pytest.fixture
def release(host: FakeHost) -> Release:
    """A release that runs in slot blue."""
    release = host.stage()
    Activator(host.stack).activate(release)
    host.events.clear()
    return release


def stopped(host: FakeHost, gateway: bool = False) -> Operation:
    done = stop(host.stack, JANE, say=lambda _text: None, gateway=gateway)
    host.events.clear()
    return done


# ---- stop ----


def test_a_stop_ends_the_engine_for_good_and_says_what_is_left(host: FakeHost, release: Release) -> None:
    said: list[str] = []
    done = stop(host.stack, JANE, say=said.append)
    assert done == Operation(True, [f"stopped {BLUE}.service", LEFT], [], {"AAPL": 5.0})
    assert said == done.steps
    # Disabled first: a power cut in between must not bring it back.
    assert host.events == [f"disable {BLUE} {GREEN}", f"stop {BLUE}"]
    assert (is_stopped(host.stack, gateway=False), is_started(host.stack)) == (True, False)
    assert not is_stopped(host.stack, gateway=True)
    entry = Journal(host.stack).entries()[-1]
    assert (entry["act"], entry["result"], entry["text"], entry["user"]) == ("stop", "done", LEFT, "jane")


def test_a_second_stop_changes_nothing(host: FakeHost, release: Release) -> None:
    stopped(host)
    assert stop(host.stack, JANE, say=print) == Operation(False)
    assert host.events == []


def test_the_gateway_is_stopped_last_and_only_when_it_is_asked_for(host: FakeHost, release: Release) -> None:
    stop(host.stack, JANE, say=print, gateway=True)
    assert host.events == [f"disable {BLUE} {GREEN} {GATEWAY}", f"stop {BLUE}", f"stop {GATEWAY}"]
    assert host.running == set()
    assert is_stopped(host.stack, gateway=True)


def test_a_stop_ends_a_soak_the_standby_first(host: FakeHost) -> None:
    for word in ("one", "two"):
        Activator(host.stack).activate(host.stage(word, strategy="blue_green"))
    assert read_soak(host.stack) is not None
    host.events.clear()
    stop(host.stack, JANE, say=print)
    assert [event for event in host.events if event.startswith("stop ballast-engine")] == [
        f"stop {BLUE}",
        f"stop {GREEN}",
    ]
    assert read_soak(host.stack) is None


def test_a_stop_heeds_no_persons_lock_but_waits_its_turn(host: FakeHost, release: Release) -> None:
    with deploy_lock(host.stack), pytest.raises(ChangeRefused, match="is being changed by"):
        stop(host.stack, JANE, say=print)
    assert host.events == []
    lock(host.stack, JANE, "away")
    assert stop(host.stack, JANE, say=print).changed


def test_an_engine_that_cannot_be_proven_to_have_stopped_is_no_success(host: FakeHost, release: Release) -> None:
    host.unstoppable = {"ballast-dev-main-engine-blue"}
    with pytest.raises(ChangeFailed, match=r"stack dev-main was not stopped: container .* still runs"):
        stop(host.stack, JANE, say=print, gateway=True)
    assert f"stop {GATEWAY}" not in host.events
    assert Journal(host.stack).entries()[-1]["result"] == "failed"


def test_a_ledger_that_cannot_be_read_is_said_to_be_so(
    host: FakeHost, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "last_known", lambda _stack: None)
    done = stop(host.stack, JANE, say=print)
    assert (done.orders_left, done.positions_left) == (None, None)
    assert done.steps[-1] == "open orders left: unknown; positions left: unknown"


# ---- start ----


def test_a_start_brings_the_gateway_then_the_engine_and_a_reboot_would_too(host: FakeHost, release: Release) -> None:
    stopped(host, gateway=True)
    done = start(host.stack, JANE, say=print)
    assert host.events == [f"enable {GATEWAY} {BLUE}", f"start {GATEWAY}", f"start {BLUE}"]
    assert [step.partition(" is healthy")[0] for step in done.steps] == [
        f"{GATEWAY}.service",
        f"{BLUE}.service",
        f"release {release.id} runs in slot blue",
    ]
    assert is_started(host.stack)
    entry = Journal(host.stack).entries()[-1]
    assert (entry["act"], entry["result"], entry["release"]) == ("start", "done", release.id)


def test_a_start_leaves_a_gateway_that_runs_alone(host: FakeHost, release: Release) -> None:
    stopped(host)
    start(host.stack, JANE, say=print)
    assert host.events == [f"enable {GATEWAY} {BLUE}", f"start {BLUE}"]


def test_a_start_of_what_runs_changes_nothing(host: FakeHost, release: Release) -> None:
    assert start(host.stack, JANE, say=print) == Operation(False)
    assert host.events == []


def test_a_start_says_that_a_halt_still_stands(
    host: FakeHost, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(host)
    monkeypatch.setattr(books, "last_known", lambda _stack: Books("drawdown: 12 %", [], {}))
    assert start(host.stack, JANE, say=print).steps[-1] == (
        "it trades nothing: drawdown: 12 %; `ballast resume dev-main --reason TEXT` lifts that"
    )


def test_an_engine_that_does_not_start_is_left_stopped_and_the_gateway_running(
    host: FakeHost, release: Release
) -> None:
    stopped(host, gateway=True)
    host.engines[f"blue {release.id}"] = "crashes"
    with pytest.raises(ChangeFailed) as failed:
        start(host.stack, JANE, say=print)
    assert str(failed.value) == (
        "stack dev-main was not started: the engine exited (result exit-code, status 64) before it was healthy\n"
        f"its last log lines:\n  | last words of {BLUE}.service\nnow: no engine runs"
    )
    assert is_stopped(host.stack, gateway=False)
    assert not is_stopped(host.stack, gateway=True)
    assert Journal(host.stack).entries()[-1]["result"] == "failed"


def test_no_engine_starts_without_the_accounts_session(host: FakeHost, release: Release) -> None:
    stopped(host)
    host.session_problem = NotLoggedIn("no accounts")
    with pytest.raises(ChangeFailed, match="the gateway has no session with the broker: no accounts"):
        start(host.stack, JANE, say=print)
    assert f"start {BLUE}" not in host.events
    assert is_stopped(host.stack, gateway=False)


def test_neither_a_hold_nor_a_missing_release_lets_it_start(host: FakeHost) -> None:
    with pytest.raises(ChangeFailed, match="stack dev-main has no release to start: deploy it"):
        start(host.stack, JANE, say=print)
    Activator(host.stack).activate(host.stage())
    stopped(host)
    hold.place(host.stack, JANE, "why")
    with pytest.raises(ChangeRefused, match="is held after an emergency stop"):
        start(host.stack, JANE, say=print)
    assert host.events == []


def test_nobody_deploys_while_a_hold_stands(host: FakeHost, release: Release) -> None:
    hold.place(host.stack, JANE, "why")
    with pytest.raises(ChangeRefused, match="is held after an emergency stop by jane"):
        Activator(host.stack).activate(host.stage("two"))
    assert host.events == []


def test_a_release_that_is_activated_starts_a_stopped_stack_and_says_so(host: FakeHost, release: Release) -> None:
    stopped(host)
    said: list[str] = []
    Activator(host.stack, said.append).activate(release)
    assert f"the engine in slot blue had been stopped; release {release.id} is started" in said
    assert is_started(host.stack)
