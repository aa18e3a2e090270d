# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a stack: what operators and automation did on this host, one line per act, only ever appended to.

A line of ``/var/log/ballast/<stack>/journal.jsonl`` is a JSON object that holds, as ``previous``, the SHA-256 of the
line before it: a line that was changed, removed, inserted or moved breaks the chain from there on. The hash of the
newest line is the head. Who knows an earlier head can also prove that nothing was cut off the end.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .host_files import sync_directory
from .stack import Stack

FIRST = "0" * 64
"""What the first line names as its predecessor."""
RESULTS = ("begun", "done", "failed")
KEYS = ("sequence", "at", "act", "result", "text", "user", "origin", "release", "seconds", "previous")
_TAIL_BYTES = 1 << 16


class JournalError(Exception):
    """The journal cannot be read or written. The text names the file and why."""


@dataclass(frozen=True)
class Operator:
    """Who acts: the user on this host, and where the command came from, such as ``192.0.2.7`` or ``jane@laptop``."""

    user: str
    origin: str


def operator(controller: Mapping[str, Any] | None = None) -> Operator:
    """Whoever runs this process; ``controller`` (user, controller) is what an Ansible controller says of itself."""
    user = os.environ.get("SUDO_USER") or _user()
    address = _ssh_address(os.getpid())
    if controller:
        origin = f"{controller['user']}@{controller['controller']}"
        return Operator(user, f"{origin} ({address})" if address else origin)
    return Operator(user, address or "this host")


@dataclass
class Verification:
    """What checking the chain found. It is whole when there are no problems; ``head`` is None for an empty journal."""

    lines: int = 0
    head: str | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Journal:
    """The journal of one stack. Every call opens the file anew: nobody holds it."""

    def __init__(self, stack: Stack) -> None:
        self.path: Path = stack.journal

    # ---- writing ----

    def append(
        self,
        act: str,
        by: Operator,
        *,
        result: str = "done",
        text: str = "",
        release: str | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """Append one line, on disk when this returns, and return it. Raises JournalError; then nothing was added."""
        if result not in RESULTS:
            raise ValueError(f"result is {result!r}, wanted one of {', '.join(RESULTS)}")
        try:
            with self._locked() as file:
                last, torn = _last_line(file)
                sequence = 1 + _sequence(last, file)
                entry: dict[str, Any] = {
                    "sequence": sequence,
                    "at": _now(),
                    "act": act,
                    "result": result,
                    "text": text,
                    "user": by.user,
                    "origin": by.origin,
                    "release": release,
                    "seconds": None if seconds is None else round(seconds, 3),
                    "previous": _hash(last) if last else FIRST,
                }
                if torn:
                    # The end of an earlier write is missing, as after a power cut. It stays as a line of its own.
                    entry["after_torn_line"] = True
                data = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
                file.write(b"\n" + data if torn else data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise JournalError(f"the journal {self.path} cannot be written: {error}") from error
        return entry

    @contextmanager
    def act(
        self, act: str, by: Operator, *, complain: Callable[[str], None], text: str = "", release: str | None = None
    ) -> Iterator[Act]:
        """Note the beginning of an act and its end, whatever ends it. An act that was killed has no end here.

        What stops or mends trading must work on a full disk too: a line that cannot be written goes to ``complain``.
        """

        def note(result: str, said: str, seconds: float | None = None) -> None:
            try:
                self.append(act, by, result=result, text=said, release=release, seconds=seconds)
            except JournalError as error:
                complain(str(error))

        note("begun", text)
        began = time.monotonic()
        under_way = Act(text)
        try:
            yield under_way
        except BaseException as error:
            note("failed", reason_of(error), time.monotonic() - began)
            raise
        note("done", under_way.text, time.monotonic() - began)

    # ---- reading ----

    def entries(self) -> list[dict[str, Any]]:
        """Every line that can be read, oldest first. Raises JournalError when the file cannot be."""
        entries = []
        for line in self._lines():
            with suppress(ValueError):
                entries.append(_parse(line))
        return entries

    def verify(self, head: str | None = None) -> Verification:
        """Check the chain, and that ``head`` (the hash of some line, known from before) is part of it."""
        found = Verification()
        previous, sequence = FIRST, 0
        unread: str | None = None
        known_head = head is None
        for number, line in enumerate(self._lines(), start=1):
            found.lines = number
            try:
                entry = _parse(line)
            except ValueError as error:
                if unread:
                    found.problems.append(unread)
                unread = f"line {number} is no entry: {error}"
            else:
                if unread and entry.get("after_torn_line") is True:
                    found.notes.append(_cut_off(number - 1))
                elif unread:
                    found.problems.append(unread)
                unread = None
                if entry["previous"] != previous:
                    found.problems.append(
                        f"line {number} names {entry['previous'][:12]}... as the hash of the line before it, which has"
                        f" {previous[:12]}...: a line was changed, added or removed there"
                    )
                if entry["sequence"] != sequence + 1:
                    found.problems.append(f"line {number} has sequence {entry['sequence']}, wanted {sequence + 1}")
                sequence = entry["sequence"]
            previous = _hash(line)
            known_head = known_head or previous == head
        if unread:
            found.notes.append(_cut_off(found.lines))
        if not known_head:
            found.problems.append(f"no line has the hash {head}: lines were cut off or changed after that was noted")
        found.head = previous if found.lines else None
        return found

    # ---- inside ----

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(parents=True, mode=0o750)
            sync_directory(self.path.parent.parent)
        created = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        # Unbuffered: what one call is given is one write, and a reader never sees half a line.
        with os.fdopen(descriptor, "ab+", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if created:
                sync_directory(self.path.parent)
            yield file

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                for line in file:
                    yield line.rstrip(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"the journal {self.path} cannot be read: {error}") from error


@dataclass
class Act:
    """An act under way; ``text`` is what its end will say."""

    text: str


def reason_of(error: BaseException) -> str:
    """Why something failed, in words."""
    return "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or repr(error)


def describe(entry: Mapping[str, Any]) -> str:
    """One entry as one line for people."""
    seconds = "" if entry["seconds"] is None else f" in {entry['seconds']:.1f} s"
    parts = [entry["at"], entry["act"], f"{entry['result']}{seconds}"]
    parts += [entry["release"]] if entry["release"] else []
    parts += [f"by {entry['user']} from {entry['origin']}"]
    text = " ".join(entry["text"].split())
    return "  ".join(parts) + (f": {text}" if text else "")


def _cut_off(number: int) -> str:
    return f"line {number} was cut off when it was written, as by a power cut"


def _parse(line: bytes) -> dict[str, Any]:
    """Raises ValueError that says why the line is no entry."""
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise ValueError("it is not a JSON object")
    missing = [key for key in KEYS if key not in entry]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    if not isinstance(entry["sequence"], int) or not isinstance(entry["previous"], str):
        raise ValueError("its sequence is no number, or its previous no text")
    return entry


def _last_line(file: IO[bytes]) -> tuple[bytes, bool]:
    """The last line without its end, and whether that end is missing. Lines are far shorter than what is read."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read()
    torn = bool(tail) and not tail.endswith(b"\n")
    return tail.rstrip(b"\n").rpartition(b"\n")[2], torn


def _sequence(last: bytes, file: IO[bytes]) -> int:
    """The sequence of the newest line that can be read, 0 for none."""
    with suppress(ValueError):
        return int(_parse(last)["sequence"])
    file.seek(0)
    sequence = 0
    for line in file.read().splitlines():
        with suppress(ValueError):
            sequence = int(_parse(line)["sequence"])
    return sequence


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _now() -> str:
    moment = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _ssh_address(pid: int) -> str | None:
    """The address that the ssh session of a process came from. sudo drops the variable, so its parents are asked."""
    while pid > 1:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            # "pid (name) state ppid ...", and a name may hold anything.
            parent = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return None
        for variable in environment:
            if variable.startswith(b"SSH_CONNECTION="):
                return variable.partition(b"=")[2].split(b" ")[0].decode(errors="replace")
        pid = parent
    return None
