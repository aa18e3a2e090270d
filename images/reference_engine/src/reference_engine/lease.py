# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease: the right to trade the account. A kernel lock that ends with its process, and a number that only rises.

Two files in the lease directory. ``lock``: who holds flock on it has the lease; its text only tells people who that is.
``token``: the fencing token of the newest holder, one JSON object. The lock keeps a second engine from starting to
trade; the token stops one that goes on although it should not: whoever writes a higher one fences out all before it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import log
from .config import Deployment
from .model import iso, utc_now

LOCK = "lock"
TOKEN = "token"  # noqa: S105 a file's name
# Another writer is done within milliseconds, unless it was frozen.
_WRITER_PATIENCE_SECONDS = 2.0


class LeaseHeldError(Exception):
    """Another process holds the lease."""


class LeaseLostError(Exception):
    """This process no longer has the right to trade; the text says why."""


@dataclass(frozen=True)
class Token:
    """The file ``token``: the number, whose it is (a slot, or who fenced the slots out), its release, since when."""

    token: int
    owner: str
    release: str
    since: str


def read_token(directory: Path) -> Token | None:
    """Return the newest token, None when there has been none. Raises ValueError when the file is not a token."""
    path = directory / TOKEN
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        fields = json.loads(text)
        token, names = fields["token"], [fields[name] for name in ("owner", "release", "since")]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: saw {text[:100]!r}, wanted token, owner, release and since in JSON") from error
    if type(token) is not int or token < 1 or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: saw {text[:100]!r}, wanted a token of 1 or more and texts")
    return Token(token, *names)


def raise_token(directory: Path, owner: str, release: str, floor: int = 0) -> Token:
    """Write a token above the newest one and above ``floor``, durably, and return it: all before it are fenced out.

    Whoever takes the lease calls this with the lock held; whoever fences an engine out without the lock (it hangs, and
    cannot be proven dead) calls it just so. Writers take turns by flock on the directory itself. A file that is not a
    token is replaced; ``floor``, the ledger's own record of the token, keeps the number rising. Raises OSError.
    """
    with _writing(directory):
        try:
            newest = read_token(directory)
        except ValueError as error:
            log.error("lease_token_replaced", reason=error)
            newest = None
        token = Token(max(newest.token if newest else 0, floor) + 1, owner, release, iso(utc_now()))
        path = directory / TOKEN
        temporary = path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(token)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    return token


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _WRITER_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Lease:
    """The lease as one engine takes it, proves it before every order, and gives it back."""

    def __init__(self, deployment: Deployment) -> None:
        self._directory = deployment.lease_dir
        self._slot = deployment.slot
        self._release = deployment.release
        self._descriptor: int | None = None
        self._token: Token | None = None

    @property
    def token(self) -> int:
        """The fencing token of this holder; 0 before the lease was had."""
        return self._token.token if self._token else 0

    def acquire(self) -> None:
        """Take the lock; raises `LeaseHeldError` naming the holder, OSError when the file cannot be opened or written.

        The token is raised by `raise_token`, once the ledger can be asked for the newest one it has seen.
        """
        path = self._directory / LOCK
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 4096).decode(errors="replace").strip()
            os.close(descriptor)
            raise LeaseHeldError(
                f"the lease {path} is held by {_describe(holder)}; stop that engine first: two engines must "
                "never trade one account"
            ) from None
        holder = json.dumps({"slot": self._slot, "release": self._release, "pid": os.getpid(), "since": iso(utc_now())})
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{holder}\n".encode(), 0)
        except OSError:  # a full disk: a lock that nobody knows to give back would keep everybody else from trading
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def raise_token(self, floor: int) -> int:
        """Fence out every holder before this one and return the new token; ``floor`` is the ledger's record of it."""
        if self._descriptor is None:
            raise LeaseLostError("the lease's lock is not held")
        self._token = raise_token(self._directory, self._slot, self._release, floor)
        return self._token.token

    def lost(self) -> str | None:
        """Say why this process has no right to trade, None when it has. Cheap: asked before every order.

        The lock is lost when its file is another one by now, for then somebody else can lock that one.
        """
        if self._descriptor is None:
            return "the lease is not held"
        mine = os.fstat(self._descriptor)
        path = self._directory / LOCK
        try:
            present = path.stat()
            newest = read_token(self._directory)
        except (OSError, ValueError) as error:
            return f"the lease cannot be proven: {error}"
        if (present.st_dev, present.st_ino) != (mine.st_dev, mine.st_ino):
            return f"{path} is no longer the file that this engine locked"
        if newest is None:
            return f"{self._directory / TOKEN} is gone"
        if newest != self._token:
            return f"fenced out: token {newest.token} is {newest.owner}'s since {newest.since}, ours is {self.token}"
        return None

    def release(self) -> None:
        """Give the lock back. The empty file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
            self._token = None


def _describe(holder: str) -> str:
    try:
        fields = json.loads(holder)
        return f"slot {fields['slot']}, release {fields['release']}, pid {fields['pid']}, since {fields['since']}"
    except (ValueError, KeyError, TypeError):
        return f"a process that left no name (the file says {holder!r})"
