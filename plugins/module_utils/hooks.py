# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks: the operator's own programs, run as root before and after a deploy, after its failure, and on an alert.

They lie in ``/etc/ballast/<stack>/hooks/<name>.d/`` and run in the order of their names, each with no input, few
variables beside ``BALLAST_*``, the folder ``/``, and 60 seconds.
"""

from __future__ import annotations

import os
import re
import select
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .journal import Journal, JournalError, Operator
from .stack import Stack

HOOKS = ("pre-deploy", "post-deploy", "on-failure", "on-alert")
TIME_LIMIT_SECONDS = 60.0
# As run-parts(8) has it: what editors and packages leave beside a file is no hook.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?<!\.bak)(?<!\.swp)")
SHOWN_LINES = 5
POLL_SECONDS = 0.02
_TAIL_BYTES = 2048
_PIPE_BYTES = 65536
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Occasion:
    """What a hook is told, each as variable ``BALLAST_<NAME>``; what is not known is empty.

    ``act`` is the journal's word for what is done, ``previous`` the release that ran before, ``slot`` the one with the
    right to trade, ``result`` is ``begun``, ``done`` or ``failed``, ``reason`` why: of a force, a failure or an alert.
    """

    act: str
    release: str = ""
    previous: str = ""
    slot: str = ""
    result: str = ""
    reason: str = ""
    user: str = ""
    origin: str = ""
    seconds: str = ""


def folder(stack: Stack, name: str) -> Path:
    """Where the hooks called ``name`` lie."""
    return stack.etc / "hooks" / f"{name}.d"


def run_hooks(stack: Stack, name: str, occasion: Occasion, *, stop_at_failure: bool = False) -> list[str]:
    """Run all hooks called ``name``; returns one problem for each that failed: which, how, and what it said last."""
    problems = []
    for path in _files(folder(stack, name)):
        problem = _run(path, _environment(stack, occasion))
        if problem:
            problems.append(f"hook {path} {problem}")
            if stop_at_failure:
                break
    return problems


def run_noted_hooks(stack: Stack, name: str, occasion: Occasion, by: Operator, say: Callable[[str], None]) -> None:
    """Run all hooks called ``name``; those that fail are noted in the journal and told to ``say``. Never raises.

    They come after the fact: what they could not do changes nothing about it.
    """
    try:
        problems = run_hooks(stack, name, occasion)
    except OSError as error:
        problems = [f"the hooks {name} could not be run: {error}"]
    for problem in problems:
        say(problem)
        try:
            Journal(stack).append("hook", by, result="failed", text=problem, release=occasion.release or None)
        except JournalError as error:
            say(str(error))


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if FILE_NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []


def _environment(stack: Stack, occasion: Occasion) -> dict[str, str]:
    told = {f"BALLAST_{name.upper()}": value for name, value in vars(occasion).items()}
    told.update(BALLAST_STACK=stack.name, BALLAST_ENVIRONMENT=stack.environment)
    # A NUL cannot be part of a variable, and what a hook is told may come from a program's output.
    told = {name: value.replace("\0", "") for name, value in told.items()}
    return {"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", **told}


def _run(path: Path, environment: dict[str, str]) -> str | None:
    """How a hook failed, in words, or None."""
    try:
        seen = path.stat()
    except OSError as error:
        return f"cannot be run: {error}"
    if not stat.S_ISREG(seen.st_mode) or not seen.st_mode & 0o100:
        return "is no executable file: make it one (chmod 0700), or remove it"
    if seen.st_uid not in (0, os.geteuid()) or seen.st_mode & 0o022:
        return "can be changed by others than root: make it root's own (chown root, chmod 0700)"
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            [path],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        os.close(reader)
        return f"cannot be run: {error}"
    finally:
        os.close(writer)
    try:
        status, said = _follow(process, reader)
    except BaseException:
        _kill(process)
        raise
    finally:
        os.close(reader)
    if status is None:
        _kill(process)
        return f"did not end within {TIME_LIMIT_SECONDS:g} s and was killed{_last_words(said)}"
    if status < 0:
        return f"was killed by signal {-status}{_last_words(said)}"
    return f"failed with status {status}{_last_words(said)}" if status else None


def _follow(process: subprocess.Popen[bytes], reader: int) -> tuple[int | None, bytes]:
    """The exit status of a hook, None when its time is over, and the end of what it said.

    Its own end counts, not that of its output: something that it leaves running may hold that open.
    """
    deadline = time.monotonic() + TIME_LIMIT_SECONDS
    said, more = b"", True
    while True:
        status = process.poll()
        over = status is not None or time.monotonic() > deadline
        if more and select.select([reader], [], [], 0 if over else POLL_SECONDS)[0]:
            data = os.read(reader, _PIPE_BYTES)
            said, more = (said + data)[-_TAIL_BYTES:], bool(data)
        elif not more and not over:
            time.sleep(POLL_SECONDS)
        if over:
            return status, said


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a hook with everything it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").split("\n") if line.strip()]
    return f"; it said last: {' | '.join(lines[-SHOWN_LINES:])}" if lines else "; it said nothing"
