# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands around every change: its lock, a person's lock, closed windows, hooks and the journal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import change as change_module
from ansible_collections.ballast.trading.plugins.module_utils.change import ChangeRefused, Permit, change, deploy_lock
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, Operator
from ansible_collections.ballast.trading.plugins.module_utils.releases import ReleaseStore
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack
from ansible_collections.ballast.trading.plugins.module_utils.stack_lock import lock, unlock
from tests.unit.plugins.module_utils.test_hooks import hook

JANE, BOB = Operator("jane", "desk"), Operator("bob", "192.0.2.7")
RELEASE, OLD = "20261122T204501Z-3fa9c1d2", "20261121T204501Z-aaaaaaaa"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ALWAYS = {"name": "inventory", "days": DAYS, "from": "00:00", "to": "00:00", "timezone": "Etc/UTC"}
COLLECTIONS = Path(__file__).parents[4] / "collections"


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack("dev-main", "dev", 5, tmp_path)


@pytest.fixture
def closed(stack: Stack) -> Stack:
    return replace(stack, closed_windows=(ALWAYS,))


@contextmanager
def changing(stack: Stack, act: str = "activate", **options: Any) -> Iterator[list[str]]:
    said: list[str] = []
    options = {"release": RELEASE, **options}
    with change(stack, act, JANE, say=said.append, **options):
        yield said


def refusal(stack: Stack, **options: Any) -> str:
    with pytest.raises(ChangeRefused) as refused, changing(stack, **options):
        pytest.fail("it was let through")
    return str(refused.value)


def noted(stack: Stack) -> list[tuple[str, str, str]]:
    return [(entry["act"], entry["result"], entry["text"]) for entry in Journal(stack).entries()]


# ---- one at a time ----


def test_the_second_one_learns_who_is_at_it_since_when_and_doing_what(stack: Stack) -> None:
    with change(stack, "activate", BOB, say=print, release=RELEASE):
        text = refusal(stack)
    first, _comma, rest = text.partition(", since ")
    assert first == f"stack dev-main is being changed by bob from 192.0.2.7, process {os.getpid()}"
    assert rest[:20].endswith("Z")
    assert rest[20:] == (
        f", activate {RELEASE}; try again later, or wait: --wait SECONDS, or with a playbook -e wait_seconds=SECONDS"
    )
    assert [entry[1] for entry in noted(stack)] == ["begun", "done"]


def test_who_waits_comes_next(stack: Stack) -> None:
    waiting, order = threading.Event(), []

    def second() -> None:
        with deploy_lock(stack, "bob", wait_seconds=60, say=lambda _text: waiting.set()):
            order.append("second")

    thread = threading.Thread(target=second)
    with deploy_lock(stack, "jane"):
        thread.start()
        assert waiting.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_who_waits_in_vain_is_refused(stack: Stack) -> None:
    with deploy_lock(stack, "bob"):
        text = refusal(stack, permit=Permit(wait_seconds=0.3))
    assert "is being changed by bob, process" in text
    assert ", and still is after 0.3 s; try again later" in text


def test_what_a_killed_holder_left_is_no_lock(stack: Stack, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from ansible_collections.ballast.trading.plugins.module_utils.change import deploy_lock\n"
        "from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack\n"
        "with deploy_lock(Stack('dev-main', 'dev', 5, Path(sys.argv[1])), 'the dead one'):\n"
        "    print('holds it', flush=True)\n"
        "    time.sleep(300)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holds it\n"
        assert "is being changed by the dead one, process" in refusal(stack)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert "the dead one" in (stack.run.parent / "dev-main.lock").read_text()
    with changing(stack):
        pass


# ---- a person's lock ----


def test_a_locked_stack_is_changed_by_nobody(stack: Stack) -> None:
    held = lock(stack, JANE, "replacing the disk")
    assert refusal(stack) == (
        f"stack dev-main was locked by jane from desk at {held.at}: replacing the disk."
        " Ask there; when the work is done: ballast unlock dev-main"
    )
    assert "was locked by" in refusal(stack, permit=Permit(force_reason="I want it"))
    unlock(stack, BOB)
    with changing(stack):
        pass
    assert [entry[0] for entry in noted(stack)] == ["lock", "unlock", "activate", "activate"]


def test_what_only_ends_or_undoes_something_is_not_stopped_by_a_lock(stack: Stack) -> None:
    lock(stack, JANE, "replacing the disk")
    with changing(stack, "recover", urgent=True):
        pass
    assert noted(stack)[-1][:2] == ("recover", "done")


# ---- closed windows ----


def test_a_closed_window_stops_a_deploy_and_says_how_to_do_it_all_the_same(closed: Stack) -> None:
    assert refusal(closed, deploys=True) == (
        "stack dev-main is not to be changed now: the window 'inventory' is closed, and with the others it never opens."
        " To do it now all the same: --force --reason TEXT, or with a playbook -e force_reason=TEXT"
    )
    assert noted(closed) == []


def test_a_forced_deploy_is_noted_with_its_reason(closed: Stack) -> None:
    with changing(closed, deploys=True, text="instead of that", permit=Permit(force_reason="the strategy runs wild")):
        pass
    assert noted(closed)[0] == ("activate", "begun", "instead of that; forced: the strategy runs wild")


def test_windows_are_for_deploys_and_not_for_a_return_that_is_prepared(closed: Stack) -> None:
    with changing(closed, "stop"):
        pass
    with changing(closed, deploys=True, any_time=True):
        pass
    assert [entry[1] for entry in noted(closed)] == ["begun", "done"] * 2


def test_windows_that_cannot_be_judged_count_as_closed(stack: Stack) -> None:
    damaged = replace(stack, closed_windows=({**ALWAYS, "timezone": "Mars/Base"},))
    text = refusal(damaged, deploys=True)
    assert text.startswith("the closed windows of stack dev-main cannot be judged: 'Mars/Base' is not known here")
    assert text.endswith("-e force_reason=TEXT")
    with changing(damaged, deploys=True, permit=Permit(force_reason="no matter")):
        pass


# ---- hooks ----


def told(tmp_path: Path) -> list[str]:
    path = tmp_path / "told"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def hooks(stack: Stack, tmp_path: Path) -> None:
    """Hooks that note what they are told."""
    ReleaseStore(stack).set_link("current", OLD)
    for name in ("pre-deploy", "post-deploy", "on-failure"):
        script = f'echo "{name} $BALLAST_ACT $BALLAST_RELEASE $BALLAST_PREVIOUS $BALLAST_RESULT $BALLAST_REASON"'
        hook(stack, "10-tell", f"{script} >>{tmp_path}/told", name=name)


@pytest.mark.usefixtures("hooks")
def test_hooks_run_before_and_after_a_deploy(stack: Stack, tmp_path: Path) -> None:
    with changing(stack, deploys=True, permit=Permit(force_reason="hurry")):
        assert told(tmp_path) == [f"pre-deploy activate {RELEASE} {OLD} begun hurry"]
        ReleaseStore(stack).set_link("current", RELEASE)
    assert told(tmp_path)[1:] == [f"post-deploy activate {RELEASE} {OLD} done hurry"]


@pytest.mark.usefixtures("hooks")
def test_hooks_run_after_a_failure_which_stays_what_it_is(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), changing(stack, deploys=True):
        raise ZeroDivisionError("by zero")
    assert told(tmp_path)[1:] == [f"on-failure activate {RELEASE} {OLD} failed by zero"]


@pytest.mark.usefixtures("hooks")
def test_hooks_are_for_deploys(stack: Stack, tmp_path: Path) -> None:
    with changing(stack, "stop"):
        pass
    with suppress(ZeroDivisionError), changing(stack, "stop"):
        raise ZeroDivisionError
    assert told(tmp_path) == []


@pytest.mark.usefixtures("hooks")
def test_a_hook_before_the_deploy_may_refuse_it(stack: Stack, tmp_path: Path) -> None:
    path = hook(stack, "05-check", "echo nobody is awake; exit 4")
    text = refusal(stack, deploys=True)
    assert text == (f"stack dev-main was not changed: hook {path} failed with status 4; it said last: nobody is awake")
    assert told(tmp_path) == []  # neither the hooks after it nor those of a failure: nothing was begun
    assert noted(stack) == [("activate", "begun", ""), ("activate", "failed", text)]


def test_a_hook_after_the_deploy_changes_nothing_about_it(stack: Stack) -> None:
    path = hook(stack, "10-tell", "exit 1", name="post-deploy")
    with changing(stack, deploys=True) as said:
        pass
    problem = f"hook {path} failed with status 1; it said nothing"
    assert said == [problem]
    assert noted(stack)[1:] == [("activate", "done", ""), ("hook", "failed", problem)]


def test_a_hook_may_not_change_the_stack_itself(stack: Stack, tmp_path: Path) -> None:
    hook(
        stack, "10-try", f"flock -n {stack.run.parent}/dev-main.lock true; echo $? >{tmp_path}/told", name="on-failure"
    )
    with suppress(ZeroDivisionError), changing(stack, deploys=True):
        raise ZeroDivisionError
    assert told(tmp_path) == ["1"]


def test_an_interruption_in_a_hook_ends_the_deploy(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_options: object) -> list[str]:
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("it went on")

    monkeypatch.setattr(change_module, "run_hooks", interrupt)
    with pytest.raises(KeyboardInterrupt), changing(stack, deploys=True):
        pytest.fail("it was let through")
    assert noted(stack)[-1] == ("activate", "failed", "interrupted")
