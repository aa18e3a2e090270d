# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hold: no engine of the stack starts, whoever asks, until a person resumes.

It is the host's own halt, for engines that no ledger can halt. It lies where no engine can write.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from .host_files import sync_directory, write_atomically
from .journal import Operator
from .stack import Stack


def path_of(stack: Stack) -> Path:
    return stack.control / "hold.json"


def place(stack: Stack, by: Operator, reason: str) -> None:
    """From here on no engine starts. One that runs is not touched. Raises OSError."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    document = {"user": by.user, "origin": by.origin, "since": since, "reason": reason}
    stack.control.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_atomically(path_of(stack), json.dumps(document).encode() + b"\n", mode=0o600)


def lift(stack: Stack) -> bool:
    """Take the hold away; whether there was one. Raises OSError."""
    try:
        path_of(stack).unlink()
    except FileNotFoundError:
        return False
    sync_directory(stack.control)
    return True


def held(stack: Stack) -> str | None:
    """Why no engine may start, in words, or None. A hold that cannot be read is one."""
    try:
        hold = json.loads(path_of(stack).read_text(encoding="utf-8"))
        who = f"by {hold['user']} from {hold['origin']} since {hold['since']}: {hold['reason']}"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        who = f"but {path_of(stack)} cannot be read ({error})"
    lift_it = f"`ballast resume {stack.name} --reason TEXT` lifts it"
    return f"stack {stack.name} is held after an emergency stop {who}; {lift_it}"
