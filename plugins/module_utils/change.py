# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame around everything that changes a stack: one at a time, only when it may, noted, ended in good order."""

from __future__ import annotations

import fcntl
import getpass
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import FrameType

from .hold import held
from .hooks import Occasion, run_hooks, run_noted_hooks
from .journal import Act, Journal, Operator, reason_of
from .releases import ReleaseStore
from .stack import Stack
from .stack_lock import read_lock
from .windows import UTC, closed_now, parse_window

LOCK_POLL_SECONDS = 0.1
# After every change the recovery looks, under the lock and for a moment, whether something was left half-way.
PATIENCE_SECONDS = 0.5


class ChangeRefused(Exception):
    """A stack may not be changed now; nothing was touched. The text says who or what is in the way, and until when."""


class ChangeFailed(Exception):
    """A change was begun and could not be done. The text says why, and what runs now."""


@dataclass(frozen=True)
class Permit:
    """What whoever wants a change says to what is in its way.

    ``wait_seconds``: how long to wait for another change to end. ``force_reason``: why it is to be done now, even in a
    closed window.
    """

    wait_seconds: float = 0.0
    force_reason: str = ""


ORDINARY = Permit()
"""Waits for nobody and forces nothing."""


@contextmanager
def change(
    stack: Stack,
    act: str,
    by: Operator,
    *,
    say: Callable[[str], None],
    text: str = "",
    release: str | None = None,
    permit: Permit = ORDINARY,
    deploys: bool = False,
    any_time: bool = False,
    urgent: bool = False,
) -> Iterator[Act]:
    """Change ``stack``: under its deploy lock, with a beginning and an end in its journal.

    ``deploys``: another release is to trade, so closed windows count, unless at ``any_time``, and the hooks run.
    ``urgent``: what only undoes or ends something is not stopped by a person's lock. ``say`` receives one line for each
    thing that could not be done as it should. Raises ChangeRefused before anything is touched.
    """
    doing = f"{act} {release}" if release else act
    with deploy_lock(stack, f"{by.user} from {by.origin}", doing, wait_seconds=permit.wait_seconds, say=say):
        if not urgent:
            _heed_person(stack)
        if deploys and (reason := held(stack)):
            raise ChangeRefused(reason)
        if deploys and not any_time:
            _heed_windows(stack, permit)
        if permit.force_reason:
            text = "; ".join(filter(None, [text, f"forced: {permit.force_reason}"]))
        hooks = _Hooks(stack, act, by, release, permit.force_reason, say)
        with in_good_order():
            try:
                with Journal(stack).act(act, by, complain=say, text=text, release=release) as under_way:
                    if deploys:
                        hooks.before()
                    yield under_way
            except ChangeRefused:
                raise
            except BaseException as error:
                if deploys:
                    hooks.after("on-failure", "failed", reason_of(error))
                raise
            if deploys:
                hooks.after("post-deploy", "done")


@contextmanager
def deploy_lock(
    stack: Stack,
    holder: str = "",
    doing: str = "",
    *,
    wait_seconds: float = 0.0,
    say: Callable[[str], None] = lambda _text: None,
) -> Iterator[None]:
    """One change at a time. Raises ChangeRefused that names the holder when it is not free within ``wait_seconds``.

    The kernel holds it, so it ends with its process, however that ends; what the file says counts only until then.
    """
    path = lock_path(stack)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + max(wait_seconds, PATIENCE_SECONDS)
    with path.open("a+", encoding="utf-8") as handle:
        waited = False
        while not _locked(handle.fileno()):
            handle.seek(0)
            held = f"stack {stack.name} is being changed by {handle.read().strip() or 'somebody else'}"
            if time.monotonic() >= deadline:
                after = f", and still is after {wait_seconds:g} s" if wait_seconds else ""
                wait = "--wait SECONDS, or with a playbook -e wait_seconds=SECONDS"
                raise ChangeRefused(f"{held}{after}; try again later, or wait: {wait}")
            if wait_seconds and not waited:
                say(f"{held}; waiting")
                waited = True
            time.sleep(LOCK_POLL_SECONDS)
        handle.truncate(0)
        holder = holder or os.environ.get("SUDO_USER") or getpass.getuser()
        parts = [holder, f"process {os.getpid()}", f"since {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}", doing]
        handle.write(", ".join(filter(None, parts)))
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


def lock_path(stack: Stack) -> Path:
    """The file of the deploy lock."""
    # Beside the stack's own folder, which the engine owns: root must not write to a file that an engine can replace.
    return stack.run.with_name(f"{stack.name}.lock")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _heed_person(stack: Stack) -> None:
    held = read_lock(stack)
    if held:
        raise ChangeRefused(
            f"stack {stack.name} was locked by {held}. Ask there; when the work is done: ballast unlock {stack.name}"
        )


def _heed_windows(stack: Stack, permit: Permit) -> None:
    if permit.force_reason or not stack.closed_windows:
        return
    force = "To do it now all the same: --force --reason TEXT, or with a playbook -e force_reason=TEXT"
    try:
        closed = closed_now(map(parse_window, stack.closed_windows), datetime.now(UTC))
    except ValueError as error:
        raise ChangeRefused(
            f"the closed windows of stack {stack.name} cannot be judged: {error}. Correct trading_engine_closed_windows"
            f" and deploy. {force}"
        ) from error
    if closed:
        raise ChangeRefused(f"stack {stack.name} is not to be changed now: {closed}. {force}")


class _Hooks:
    """The operator's hooks around one deploy."""

    def __init__(
        self,
        stack: Stack,
        act: str,
        by: Operator,
        release: str | None,
        reason: str,
        say: Callable[[str], None],
    ) -> None:
        self._stack, self._by, self._say = stack, by, say
        self._store = ReleaseStore(stack)
        self._began = time.monotonic()
        self._occasion = Occasion(
            act=act,
            release=release or "",
            previous=self._store.link("current") or "",
            reason=reason,
            user=by.user,
            origin=by.origin,
        )

    def before(self) -> None:
        """Raises ChangeRefused when one of them is against it."""
        try:
            problems = run_hooks(self._stack, "pre-deploy", self._now("begun"), stop_at_failure=True)
        except OSError as error:
            problems = [f"the hooks pre-deploy could not be run: {error}"]
        if problems:
            raise ChangeRefused(f"stack {self._stack.name} was not changed: {problems[0]}")

    def after(self, name: str, result: str, reason: str = "") -> None:
        occasion = self._now(result)
        occasion = replace(occasion, reason=reason) if reason else occasion
        run_noted_hooks(self._stack, name, occasion, self._by, self._say)

    def _now(self, result: str) -> Occasion:
        return replace(
            self._occasion,
            slot=self._store.link("active/trading") or "",
            result=result,
            seconds=f"{time.monotonic() - self._began:.1f}",
        )


@contextmanager
def in_good_order() -> Iterator[None]:
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
