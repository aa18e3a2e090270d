# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module stack_lock, through main()."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.action import journal as journal_action
from ansible_collections.ballast.trading.plugins.action import stack_lock as action
from ansible_collections.ballast.trading.plugins.module_utils.journal import Operator
from ansible_collections.ballast.trading.plugins.module_utils.stack_lock import read_lock
from ansible_collections.ballast.trading.plugins.modules import stack_lock
from tests.unit.plugins.module_utils.fake_host import FakeHost

Call = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def jane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_lock, "operator", lambda origin: Operator((origin or {"user": "jane"})["user"], "desk"))


def test_a_stack_is_locked_once_and_unlocked_once(host: FakeHost, call: Call) -> None:
    answer = call(stack_lock, reason="new disk")
    held = read_lock(host.stack)
    assert held is not None
    assert answer == {
        "changed": True,
        "lock": {"user": "jane", "origin": "desk", "at": held.at, "reason": "new disk"},
        "diff": {"before": "", "after": f"locked by jane from desk at {held.at}: new disk\n"},
    }
    assert call(stack_lock, reason=" new disk ")["changed"] is False
    assert read_lock(host.stack) == held
    answer = call(stack_lock, state="absent", origin={"user": "bob"})
    assert answer == {"changed": True, "lock": None, "diff": {"before": f"locked by {held}\n", "after": ""}}
    assert read_lock(host.stack) is None
    assert call(stack_lock, state="absent")["changed"] is False


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("arguments", [{"reason": "another"}, {"reason": "new disk", "origin": {"user": "bob"}}])
def test_a_lock_of_somebody_else_or_for_something_else_stays(
    host: FakeHost, call: Call, check: bool, arguments: dict[str, Any]
) -> None:
    call(stack_lock, reason="new disk")
    held = read_lock(host.stack)
    assert call(stack_lock, check=check, **arguments)["msg"] == f"stack dev-main was locked already by {held}"
    assert read_lock(host.stack) == held


def test_check_mode_says_what_would_change(host: FakeHost, call: Call) -> None:
    assert call(stack_lock, check=True, reason="new disk")["changed"] is True
    assert read_lock(host.stack) is None
    call(stack_lock, reason="new disk")
    assert call(stack_lock, check=True, reason="new disk")["changed"] is False
    assert call(stack_lock, check=True, state="absent")["changed"] is True
    assert read_lock(host.stack) is not None


def test_a_lock_wants_a_reason(call: Call) -> None:
    assert call(stack_lock)["msg"] == "state is present but all of the following are missing: reason"
    assert call(stack_lock, reason=" ")["msg"] == "reason is empty; say in a few words why the stack is locked"


def test_a_lock_that_cannot_be_noted_is_not_held(host: FakeHost, call: Call) -> None:
    host.stack.journal.mkdir(parents=True)
    assert call(stack_lock, reason="new disk")["msg"].startswith(f"the journal {host.stack.journal} cannot be written")
    assert read_lock(host.stack) is None


def test_the_controller_says_who_acts() -> None:
    assert action.ActionModule is journal_action.ActionModule
