# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts: noted, logged and given to the hooks, whatever of that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import alerts, cli, commands, hooks
from ansible_collections.ballast.trading.plugins.module_utils.alerts import (
    alert,
    failure_of_unit,
    stack_of_unit,
)
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, Operator
from ansible_collections.ballast.trading.plugins.module_utils.releases import ReleaseStore
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack, StackError
from tests.unit.plugins.module_utils.fake_host import STOPPED, deployed
from tests.unit.plugins.module_utils.test_hooks import hook

RELEASE = "20261122T204501Z-3fa9c1d2"
UNIT = "ballast-engine@dev-main-blue.service"


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    stack = deployed(tmp_path)
    ReleaseStore(stack).set_link("current", RELEASE)
    return stack


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(alerts, "_log", lines.append)
    return lines


def test_an_alert_is_noted_logged_and_given_to_the_hooks(stack: Stack, tmp_path: Path, logged: list[str]) -> None:
    hook(stack, "10-tell", f'echo "$BALLAST_REASON $BALLAST_USER $BALLAST_RELEASE" >{tmp_path}/told', name="on-alert")
    assert alert(stack, "no session for 5 min", Operator("jane", "desk")) == []
    (entry,) = Journal(stack).entries()
    assert (entry["act"], entry["result"], entry["text"]) == ("alert", "done", "no session for 5 min")
    assert (entry["user"], entry["origin"], entry["release"]) == ("jane", "desk", RELEASE)
    assert (tmp_path / "told").read_text() == f"no session for 5 min jane {RELEASE}\n"
    assert logged == ["stack dev-main: no session for 5 min"]


def test_a_hook_that_fails_is_noted(stack: Stack, logged: list[str]) -> None:
    path = hook(stack, "10-tell", "echo no mail; exit 1", name="on-alert")
    problem = f"hook {path} failed with status 1; it said last: no mail"
    assert alert(stack, "trouble") == [problem]
    assert [(entry["act"], entry["result"], entry["text"]) for entry in Journal(stack).entries()] == [
        ("alert", "done", "trouble"),
        ("hook", "failed", problem),
    ]
    assert logged == ["stack dev-main: trouble", f"stack dev-main: {problem}"]


def test_an_alert_reaches_the_hooks_though_the_journal_cannot_be_written(stack: Stack, tmp_path: Path) -> None:
    hook(stack, "10-tell", f"touch {tmp_path}/told", name="on-alert")
    stack.journal.mkdir(parents=True)
    (problem,) = alert(stack, "trouble")
    assert problem.startswith(f"the journal {stack.journal} cannot be written: ")
    assert (tmp_path / "told").exists()


def test_hooks_that_cannot_be_run_do_not_stop_who_tells(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> list[str]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(hooks, "run_hooks", fail)
    assert alert(stack, "trouble") == ["the hooks on-alert could not be run: [Errno 24] Too many open files"]


@pytest.mark.parametrize(
    "unit",
    [
        UNIT,
        "ballast-engine@dev-main-green.service",
        "ballast-gateway@dev-main.service",
        "ballast-recover@dev-main.service",
    ],
)
def test_a_unit_tells_its_stack(stack: Stack, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    monkeypatch.setattr(alerts, "load_stack", lambda name: Stack(name, "dev", 5))
    assert stack_of_unit(unit).name == "dev-main"


@pytest.mark.parametrize("unit", ["cron.service", "ballast-engine@dev-main.service", "ballast-gateway@.service"])
def test_another_unit_has_no_stack(unit: str) -> None:
    with pytest.raises(StackError, match="is no unit of a stack; wanted one such as"):
        stack_of_unit(unit)


def test_how_a_unit_failed_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {**STOPPED, "Result": "exit-code", "ExecMainStatus": "64", "StatusText": "engine is starting"}
    monkeypatch.setattr(commands, "unit", lambda _name: state)
    assert failure_of_unit(UNIT) == (
        f"{UNIT} failed and is not started again (result exit-code, status 64): engine is starting"
    )
    state.update(Result="watchdog", ExecMainStatus="0", StatusText="")
    assert failure_of_unit(UNIT) == f"{UNIT} failed and is not started again (result watchdog)"


def test_a_unit_that_is_started_again_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {**STOPPED, "ActiveState": "activating", "Result": "success", "StatusText": "engine is starting"}
    monkeypatch.setattr(commands, "unit", lambda _name: state)
    monkeypatch.setenv("MONITOR_SERVICE_RESULT", "watchdog")
    monkeypatch.setenv("MONITOR_EXIT_STATUS", "137")
    assert failure_of_unit(UNIT) == f"{UNIT} failed and is started again (result watchdog, status 137)"


def test_how_a_unit_failed_may_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str) -> dict[str, str]:
        raise commands.CommandError("systemctl is not installed")

    monkeypatch.setattr(commands, "unit", fail)
    assert failure_of_unit(UNIT) == f"{UNIT} failed (systemctl is not installed)"


def test_out_of_a_sandbox_systemd_is_told_to_do_it(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(commands, "run", lambda command: called.append(command) or "")
    monkeypatch.setenv("BALLAST_SANDBOXED", "1")
    hook(stack, "10-tell", f"touch {tmp_path}/told", name="on-alert")
    assert alert(stack, "hangs") == []
    tool = ["/usr/local/bin/ballast", "alert", "ballast-recover@dev-main.service", "hangs"]
    assert called == [["systemd-run", "--quiet", "--collect", "--no-block", *tool]]
    assert not (tmp_path / "told").exists()
    assert (logged, Journal(stack).entries()) == ([], [])


def test_where_systemd_does_not_do_it_it_is_done_as_far_as_possible(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_command: list[str]) -> str:
        raise commands.CommandError("systemd-run failed")

    monkeypatch.setattr(commands, "run", fail)
    monkeypatch.setenv("BALLAST_SANDBOXED", "1")
    assert alert(stack, "hangs") == ["systemd-run failed"]
    assert [entry["text"] for entry in Journal(stack).entries()] == ["hangs"]


@pytest.mark.parametrize(("arguments", "text"), [([], "it failed"), (["no session"], "no session")])
def test_the_command_ends_well_though_a_hook_fails(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    path = hook(stack, "10-tell", "exit 1", name="on-alert")
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    monkeypatch.setattr(alerts, "load_stack", lambda _name: stack)
    monkeypatch.setattr(alerts, "failure_of_unit", lambda _unit: "it failed")
    assert cli.main(["alert", UNIT, *arguments]) == 0
    assert Journal(stack).entries()[0]["text"] == text
    assert capsys.readouterr().err == f"ballast: hook {path} failed with status 1; it said nothing\n"
