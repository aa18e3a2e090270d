# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease as the host sees it: the newest token, who holds the lock, and how to fence the engines out.

The rules are the engine contract's (docs/engine-contract.md). The lock is only ever looked at, in /proc/locks: trying
to take it, even for a moment, could make the promotion of an engine fail.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .sqlite_read import DatabaseFileError, opened
from .stack import Stack

PROC_LOCKS = Path("/proc/locks")
# Another writer of the token is done within milliseconds, unless it was frozen with the folder's lock in its hands.
WRITER_PATIENCE_SECONDS = 5.0
RETRY_SECONDS = 0.02


@dataclass(frozen=True)
class Token:
    """The newest fencing token: ``owner`` is the slot that took the lease, or who fenced the slots out."""

    token: int
    owner: str
    release: str
    since: str


def read_token(stack: Stack) -> Token | None:
    """The newest token; None when there is none, or none that can be read."""
    try:
        fields = json.loads((stack.lease / "token").read_text(encoding="utf-8"))
        return Token(int(fields["token"]), str(fields["owner"]), str(fields["release"]), str(fields["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_held(stack: Stack) -> bool:
    """Whether any process of this host holds the lease's lock."""
    return is_locked(stack.lease / "lock")


def is_locked(path: Path) -> bool:
    """Whether any process of this host has a file locked with flock(2). Looks only, and takes nothing."""
    try:
        lock = path.stat()
        lines = PROC_LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    wanted = (os.major(lock.st_dev), os.minor(lock.st_dev), lock.st_ino)
    # "1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF"; one that waits has "->" behind its number. See proc_locks(5).
    for fields in map(str.split, lines):
        if fields[1] == "FLOCK":
            major, minor, inode = fields[5].split(":")
            if (int(major, 16), int(minor, 16), int(inode)) == wanted:
                return True
    return False


def holder(stack: Stack) -> dict[str, Any] | None:
    """Who holds the lock, as it says: ``slot``, ``release``, ``pid`` in its container, ``since``. None: nobody does."""
    if not is_held(stack):
        return None
    try:
        said = json.loads((stack.lease / "lock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = None
    return said if isinstance(said, dict) else {}


def describe(stack: Stack) -> dict[str, Any]:
    """The lease for the status: ``token``, ``owner``, ``since`` (null before the first one) and ``holder``."""
    token = read_token(stack)
    return {
        "token": token.token if token else None,
        "owner": token.owner if token else None,
        "since": token.since if token else None,
        "holder": holder(stack),
    }


def fence(stack: Stack, by: str, why: str) -> Token:
    """Take the right to trade from whoever has it: nothing with an older token sends anything more. Raises OSError.

    It does not keep an engine from taking the lease anew, so start none before you mean it.
    """
    with _writing(stack.lease) as folder:
        newest = read_token(stack)
        moment = time.time()
        token = Token(
            token=max(newest.token if newest else 0, _ledger_token(stack)) + 1,
            owner=by,
            release=why,
            since=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z",
        )
        _write(folder, json.dumps(asdict(token)).encode() + b"\n")
    return token


def _ledger_token(stack: Stack) -> int:
    """The newest token that the ledger has seen, 0 when it cannot be asked."""
    with suppress(OSError, sqlite3.Error, DatabaseFileError), opened(stack.ledger, timeout=1.0) as connection:
        row = connection.execute("SELECT max(fencing_token) FROM trading_state").fetchone()
        return int(row[0] or 0)
    return 0


@contextmanager
def _writing(folder: Path) -> Iterator[int]:
    """The folder, opened and locked as every writer of a token does it; what was written is on disk at the end."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + WRITER_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # Whoever was frozen in the middle of it must not keep us from fencing it out: a token is one rename.
                if time.monotonic() > deadline:
                    break
                time.sleep(RETRY_SECONDS)
        yield descriptor
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(folder: int, data: bytes) -> None:
    """Replace the token. The folder is the engine's, so nothing that it may have put there is followed."""
    temporary = "token.host"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o640, dir_fd=folder), "wb") as file:
        owner = os.fstat(folder)
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, "token", src_dir_fd=folder, dst_dir_fd=folder)
