# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's lock: who holds it, that the first one gets it, and that it is noted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, JournalError, Operator
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack
from ansible_collections.ballast.trading.plugins.module_utils.stack_lock import StackLocked, lock, read_lock, unlock

JANE, BOB = Operator("jane", "desk"), Operator("bob", "192.0.2.7")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack("dev-main", "dev", 5, tmp_path)


def noted(stack: Stack) -> list[tuple[str, str, str]]:
    return [(entry["act"], entry["user"], entry["text"]) for entry in Journal(stack).entries()]


def test_a_lock_says_who_holds_it_and_why(stack: Stack) -> None:
    assert read_lock(stack) is None
    held = lock(stack, JANE, "replacing the disk")
    assert read_lock(stack) == held
    assert str(held) == f"jane from desk at {held.at}: replacing the disk"
    assert noted(stack) == [("lock", "jane", "replacing the disk")]
    assert stack.control.stat().st_mode & 0o777 == 0o750
    assert [path.name for path in stack.control.iterdir()] == ["lock.json"]


def test_anybody_may_unlock_and_the_journal_says_whose_it_was(stack: Stack) -> None:
    held = lock(stack, JANE, "replacing the disk")
    assert unlock(stack, BOB) == held
    assert read_lock(stack) is None
    assert noted(stack)[1:] == [("unlock", "bob", f"of {held}")]


def test_what_is_not_locked_is_unlocked_already(stack: Stack) -> None:
    assert unlock(stack, BOB) is None
    assert noted(stack) == []


def test_a_second_lock_is_refused_with_the_holders_name(stack: Stack) -> None:
    held = lock(stack, JANE, "replacing the disk")
    with pytest.raises(StackLocked) as refused:
        lock(stack, BOB, "me too")
    assert str(refused.value) == f"stack dev-main was locked already by {held}"
    assert read_lock(stack) == held
    assert [path.name for path in stack.control.iterdir()] == ["lock.json"]


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"user": "jane"}', "no json"])
def test_a_damaged_lock_still_is_one_and_can_be_taken_away(stack: Stack, damage: str) -> None:
    lock(stack, JANE, "replacing the disk")
    (stack.control / "lock.json").write_text(damage)
    held = read_lock(stack)
    assert held is not None
    assert held.reason.startswith(f"{stack.control}/lock.json cannot be read (")
    unlock(stack, BOB)
    assert read_lock(stack) is None


def test_a_lock_that_cannot_be_noted_is_neither_put_nor_taken_away(stack: Stack) -> None:
    stack.journal.mkdir(parents=True)
    with pytest.raises(JournalError):
        lock(stack, JANE, "replacing the disk")
    assert read_lock(stack) is None
    stack.journal.rmdir()
    held = lock(stack, JANE, "replacing the disk")
    stack.journal.unlink()
    stack.journal.mkdir()
    with pytest.raises(JournalError):
        unlock(stack, BOB)
    assert read_lock(stack) == held
