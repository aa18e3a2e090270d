# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks: which are run, in what order, with what, and what is told of those that fail."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import hooks
from ansible_collections.ballast.trading.plugins.module_utils.hooks import Occasion, folder, run_hooks
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack

OCCASION = Occasion("activate", release="r2", previous="r1", slot="blue", result="done", user="jane", origin="desk")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack("dev-main", "dev", 5, tmp_path)


def hook(stack: Stack, file: str, script: str, mode: int = 0o700, name: str = "pre-deploy") -> Path:
    path = folder(stack, name) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)
    return path


def test_without_hooks_nothing_happens(stack: Stack) -> None:
    assert run_hooks(stack, "pre-deploy", OCCASION) == []


def test_hooks_run_in_the_order_of_their_names(stack: Stack, tmp_path: Path) -> None:
    for file in ("20-second", "10-first", "notify.sh"):
        hook(stack, file, f"echo {file} >>{tmp_path}/ran")
    hook(stack, "10-other-name", f"echo other >>{tmp_path}/ran", name="on-alert")
    assert run_hooks(stack, "pre-deploy", OCCASION) == []
    assert (tmp_path / "ran").read_text().split() == ["10-first", "20-second", "notify.sh"]


def test_a_hook_is_told_what_happens_and_nothing_else(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD", "secret")
    hook(stack, "10-look", f"env >{tmp_path}/seen; pwd >>{tmp_path}/seen; cat >>{tmp_path}/seen")
    assert run_hooks(stack, "pre-deploy", OCCASION) == []
    seen = set((tmp_path / "seen").read_text().splitlines()) - {"_=/usr/bin/env", "SHLVL=0", "OLDPWD=/", "PWD=/"}
    assert seen == {
        "/", "HOME=/root", "LC_ALL=C.UTF-8", f"PATH={hooks._PATH}", "BALLAST_STACK=dev-main", "BALLAST_ENVIRONMENT=dev",
        "BALLAST_ACT=activate", "BALLAST_RELEASE=r2", "BALLAST_PREVIOUS=r1", "BALLAST_SLOT=blue",
        "BALLAST_RESULT=done", "BALLAST_REASON=", "BALLAST_USER=jane", "BALLAST_ORIGIN=desk", "BALLAST_SECONDS=",
    }  # fmt: skip


def test_a_failing_hook_is_named_with_its_status_and_last_words(stack: Stack) -> None:
    path = hook(stack, "10-check", "seq 9; echo no room >&2; exit 3")
    said = "5 | 6 | 7 | 8 | 9 | no room".partition(" | ")[2]
    assert run_hooks(stack, "pre-deploy", OCCASION) == [f"hook {path} failed with status 3; it said last: {said}"]


@pytest.mark.parametrize(("stop", "ran"), [(False, True), (True, False)])
def test_the_next_hook_runs_unless_the_first_failure_decides(
    stack: Stack, tmp_path: Path, stop: bool, ran: bool
) -> None:
    path = hook(stack, "10-fails", "exit 1")
    hook(stack, "20-next", f"touch {tmp_path}/ran")
    problems = run_hooks(stack, "pre-deploy", OCCASION, stop_at_failure=stop)
    assert problems == [f"hook {path} failed with status 1; it said nothing"]
    assert (tmp_path / "ran").exists() is ran


def test_a_hook_that_does_not_end_is_killed_with_all_it_started(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "TIME_LIMIT_SECONDS", 0.5)
    path = hook(stack, "10-hangs", f"echo begun; sleep 300 & echo $! >{tmp_path}/pid; wait")
    (problem,) = run_hooks(stack, "pre-deploy", OCCASION)
    assert problem == f"hook {path} did not end within 0.5 s and was killed; it said last: begun"
    status = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    deadline = time.monotonic() + 10
    while status.exists() and ") Z " not in status.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not status.exists() or ") Z " in status.read_text()


def test_what_a_hook_leaves_running_is_not_waited_for(stack: Stack, tmp_path: Path) -> None:
    hook(stack, "10-daemon", f"sleep 300 & echo $! >{tmp_path}/pid")
    began = time.monotonic()
    assert run_hooks(stack, "pre-deploy", OCCASION) == []
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert time.monotonic() - began < 30


def test_a_hook_that_says_without_end_does_not_stop_itself(stack: Stack) -> None:
    path = hook(stack, "10-talks", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last; exit 1")
    (problem,) = run_hooks(stack, "pre-deploy", OCCASION)
    assert problem.startswith(f"hook {path} failed with status 1; it said last: ")
    assert problem.endswith("x | last")


def test_a_killed_hook_is_told_so(stack: Stack) -> None:
    path = hook(stack, "10-dies", "kill -9 $$")
    assert run_hooks(stack, "pre-deploy", OCCASION) == [f"hook {path} was killed by signal 9; it said nothing"]


@pytest.mark.parametrize(
    ("mode", "problem"),
    [
        (0o600, "is no executable file: make it one (chmod 0700), or remove it"),
        (0o720, "can be changed by others than root: make it root's own (chown root, chmod 0700)"),
        (0o702, "can be changed by others than root: make it root's own (chown root, chmod 0700)"),
    ],
)
def test_a_hook_that_cannot_be_trusted_is_a_problem_and_is_not_run(
    stack: Stack, tmp_path: Path, mode: int, problem: str
) -> None:
    path = hook(stack, "10-check", f"touch {tmp_path}/ran", mode)
    assert run_hooks(stack, "pre-deploy", OCCASION) == [f"hook {path} {problem}"]
    assert not (tmp_path / "ran").exists()


def test_a_hook_that_is_no_program_is_a_problem(stack: Stack) -> None:
    path = hook(stack, "10-check", "")
    path.write_text("no program")
    (folder(stack, "pre-deploy") / "20-dangles").symlink_to("nowhere")
    first, second = run_hooks(stack, "pre-deploy", OCCASION)
    assert first.startswith(f"hook {path} cannot be run: [Errno 8] Exec format error")
    assert "20-dangles cannot be run: [Errno 2]" in second


@pytest.mark.parametrize("file", [".hidden", "10-check~", "10-check.bak", "10 check", "#10-check#", ".10-check.swp"])
def test_what_an_editor_leaves_is_no_hook(stack: Stack, tmp_path: Path, file: str) -> None:
    hook(stack, file, f"touch {tmp_path}/ran")
    assert run_hooks(stack, "pre-deploy", OCCASION) == []
    assert not (tmp_path / "ran").exists()


def test_a_reason_with_a_nul_still_reaches_the_hook(stack: Stack, tmp_path: Path) -> None:
    hook(stack, "10-look", f'echo "$BALLAST_REASON" >{tmp_path}/seen', name="on-failure")
    assert run_hooks(stack, "on-failure", Occasion("activate", reason="bad\0 news")) == []
    assert (tmp_path / "seen").read_text() == "bad news\n"


def test_an_interruption_kills_the_hook(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook(stack, "10-slow", f"echo $$ >{tmp_path}/pid; exec sleep 300")
    real = hooks.select.select

    def select(*arguments: object) -> object:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(hooks.select, "select", select)
    with pytest.raises(KeyboardInterrupt):
        run_hooks(stack, "pre-deploy", OCCASION)
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
