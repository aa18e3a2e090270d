# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease: the right to trade the account, a kernel lock that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType

from .config import Deployment
from .model import iso, utc_now


class LeaseHeldError(Exception):
    """Another process holds the lease."""


class Lease:
    """flock on ``<lease directory>/lock``, held until `release` or the end of the process.

    The file's text only tells people who holds it (slot, release, pid, since); the lock alone decides.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._path: Path = deployment.lease_dir / "lock"
        self._holder = {
            "slot": deployment.slot,
            "release": deployment.release,
            "pid": os.getpid(),
            "since": iso(utc_now()),
        }
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises `LeaseHeldError` naming the holder, OSError when the file cannot be opened."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 4096).decode(errors="replace").strip()
            os.close(descriptor)
            raise LeaseHeldError(
                f"the lease {self._path} is held by {_describe(holder)}; stop that engine first: two engines must "
                "never trade one account"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(self._holder) + "\n").encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. The empty file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Lease:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _describe(holder: str) -> str:
    try:
        fields = json.loads(holder)
        return f"slot {fields['slot']}, release {fields['release']}, pid {fields['pid']}, since {fields['since']}"
    except (ValueError, KeyError, TypeError):
        return f"a process that left no name (the file says {holder!r})"
