# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame around everything that changes a stack: one at a time, noted in the journal, ended in good order."""

from __future__ import annotations

import fcntl
import getpass
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .journal import Act, Journal, Operator
from .stack import Stack


class ChangeRefused(Exception):
    """A stack may not be changed now; nothing was touched. The text says who or what is in the way, and until when."""


@contextmanager
def change(
    stack: Stack, act: str, by: Operator, *, say: Callable[[str], None], text: str = "", release: str | None = None
) -> Iterator[Act]:
    """Change ``stack``: under its deploy lock, with a beginning and an end in its journal.

    ``say`` receives one line for each thing that could not be done as it should. Raises ChangeRefused before anything.
    """
    with (
        deploy_lock(stack),
        _in_good_order(),
        Journal(stack).act(act, by, complain=say, text=text, release=release) as under_way,
    ):
        yield under_way


@contextmanager
def deploy_lock(stack: Stack) -> Iterator[None]:
    """One change at a time; raises ChangeRefused that names the holder."""
    # Beside the stack's own folder, which the engine owns: root must not write to a file that an engine can replace.
    path = stack.run.with_name(f"{stack.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "somebody else"
            raise ChangeRefused(f"stack {stack.name} is being changed by {holder}; try again later") from None
        handle.truncate(0)
        who = os.environ.get("SUDO_USER") or getpass.getuser()
        handle.write(f"{who}, process {os.getpid()}, since {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


@contextmanager
def _in_good_order() -> Iterator[None]:
    """Let SIGTERM end a change as Ctrl-C does, so that what ran is put back; a lost terminal does not end it."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    handlers = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
