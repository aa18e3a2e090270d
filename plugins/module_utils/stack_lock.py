# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's lock on a stack: nobody changes it, not even its holder, until somebody takes the lock away.

It is for a person's own work at the server or the broker, and stays over reboots. What only undoes or ends something,
the recovery of a broken switch and an emergency stop, is not stopped by it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .host_files import sync_directory
from .journal import Journal, Operator
from .stack import Stack


class StackLocked(Exception):
    """A stack cannot be locked because it is. The text says by whom."""


@dataclass(frozen=True)
class StackLock:
    """Who holds the lock, from where, since when (UTC) and why."""

    user: str
    origin: str
    at: str
    reason: str

    def __str__(self) -> str:
        return f"{self.user} from {self.origin} at {self.at}: {self.reason}"


def read_lock(stack: Stack) -> StackLock | None:
    """The lock on a stack, None when there is none. One that cannot be read still is one."""
    try:
        return StackLock(**json.loads(_path(stack).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError) as error:
        return StackLock("somebody", "an unknown place", "an unknown time", f"{_path(stack)} cannot be read ({error})")


def lock(stack: Stack, by: Operator, reason: str) -> StackLock:
    """Lock a stack. Raises StackLocked, JournalError; then it has not been locked."""
    wanted = StackLock(by.user, by.origin, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), reason)
    path = _path(stack)
    path.parent.mkdir(parents=True, mode=0o750, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix=".lock-", dir=path.parent) as file:
        file.write(json.dumps(asdict(wanted)))
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)  # unlike a rename it never replaces the lock of another who was faster
        except FileExistsError:
            raise StackLocked(f"stack {stack.name} was locked already by {read_lock(stack)}") from None
    sync_directory(path.parent)
    try:
        Journal(stack).append("lock", by, text=reason)
    except BaseException:
        path.unlink()
        raise
    return wanted


def unlock(stack: Stack, by: Operator) -> StackLock | None:
    """Take the lock away, whoever holds it; returns it, None when there was none. Raises JournalError before that."""
    held = read_lock(stack)
    if held:
        Journal(stack).append("unlock", by, text=f"of {held}")
        _path(stack).unlink(missing_ok=True)
    return held


def _path(stack: Stack) -> Path:
    return stack.control / "lock.json"
