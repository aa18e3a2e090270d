# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a ledger back from a backup: beside the present one to look at it, or in its place.

In its place means the whole folder: the new ledger is made ready in a folder of its own, proved there, and the two
folders change places in one step. So the old database and its `-wal` and `-shm` leave together (a WAL that stays
behind destroys the database that takes the place of its own), there is a whole ledger at every moment, and the old one
is kept.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .archive import verify_backup, write_content
from .change import ORDINARY, ChangeRefused, Permit, change
from .content import FileProblem, private
from .host_files import sync_directory
from .journal import Operator
from .lease import holder, is_held
from .manifest import Backup, BackupError
from .sqlite_read import holders, opened
from .sqlite_verify import verify
from .stack import Stack

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
# In the new folder until it is in its place: elsewhere, what has it was never finished. Nothing else is ever removed.
_MARK = ".restoring"


@dataclass(frozen=True)
class Restored:
    """`ledger` is where it is now, `replaced` the folder with what was there before, if there was anything.

    `kept` says, for people, which states of accounts were carried over. `seconds` is how long all of it took.
    """

    ledger: Path
    replaced: Path | None
    kept: list[str]
    seconds: float


def restore_beside(backup: Backup, target: Path, identity: Path | None = None) -> Restored:
    """Writes the ledger of a proved backup to the new file `target`, mode 0600. Raises BackupError."""
    started = time.monotonic()
    if target.exists():
        raise BackupError(f"{target} exists already; name a new file")
    _prove(backup, target.parent, identity)
    partial = target.with_name(f".{target.name}.partial")
    try:
        _extract(backup, partial, identity)
        partial.rename(target)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
    return Restored(target, None, [], time.monotonic() - started)


def restore(
    stack: Stack,
    backup: Backup,
    by: Operator,
    *,
    say: Callable[[str], None],
    identity: Path | None = None,
    permit: Permit = ORDINARY,
) -> Restored:
    """Puts the ledger of a proved backup in the place of a stopped stack's, and keeps the old one beside it.

    An account that the old ledger says is halted or stopped stays so: a restore must not lift an emergency stop. What
    happened after the backup is missing; the engine reconciles with the broker when it starts. Raises ChangeRefused
    while anything has the lease or the ledger, BackupError when the backup is not proved; then nothing was touched.
    """
    started = time.monotonic()
    with change(stack, "restore", by, say=say, text=backup.path.name, permit=permit) as act:
        _refuse_in_use(stack)
        folder = stack.ledger.parent
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        _sweep(folder)
        staging = folder.with_name(f"{folder.name}-{stamp}")
        _prove(backup, stack.state, identity)
        staging.mkdir(mode=0o700)
        (staging / _MARK).touch()
        try:
            ledger = staging / stack.ledger.name
            _extract(backup, ledger, identity)
            kept = _carry_over(stack.ledger, ledger)
            _dress(stack, staging)
            sync_directory(staging)
            _refuse_in_use(stack)
            replaced = _exchange(staging, folder)
        finally:
            _sweep(folder)
        sync_directory(folder.parent)
        where = f"; what was there before is in {staging}" if replaced else ""
        done = f"{backup.path.name}: the ledger is as of {backup.manifest.get('created_at')}{where}"
        act.text = "; ".join([done, *kept])
        say(act.text)
    return Restored(stack.ledger, staging if replaced else None, kept, time.monotonic() - started)


def _refuse_in_use(stack: Stack) -> None:
    """ChangeRefused while an engine has the lease, or any program the ledger."""
    stop = f"stop it first: sudo ballast stop {stack.name}"
    if is_held(stack):
        who = holder(stack) or {}
        raise ChangeRefused(f"the engine in slot {who.get('slot', '?')} holds the lease of {stack.name}; {stop}")
    others = holders(stack.ledger)
    if others:
        raise ChangeRefused(f"{stack.ledger} is open in {', '.join(others)}; {stop}")


def _prove(backup: Backup, scratch_directory: Path, identity: Path | None) -> None:
    result = verify_backup(backup, mode="deep", identity=identity, scratch_directory=scratch_directory)
    if result.status != "ok":
        details = "; ".join(f"{one.name}: {one.detail}" for one in result.problems if one.status == result.status)
        raise BackupError(f"{backup.path} is {result.status}, and was not restored: {details}")


def _extract(backup: Backup, target: Path, identity: Path | None) -> None:
    """Writes the ledger in a backup to a new file, synced, in WAL mode, and proves once more that it is what it was."""
    try:
        with open(target, "xb", opener=private) as file:
            write_content(backup, file, identity)
            file.flush()
            os.fsync(file.fileno())
    except FileProblem as error:
        raise BackupError(f"{backup.path} was not restored: {error}") from error
    expected: dict[str, Any] = backup.manifest.get("ledger", backup.manifest)
    result = verify(target, mode="quick", schema_version=expected["user_version"], scratch_directory=target.parent)
    rows = {name: facts["rows"] for name, facts in expected["tables"].items()}
    if result.status != "ok" or {name: facts["rows"] for name, facts in result.tables.items()} != rows:
        raise BackupError(f"{target} is not what {backup.path} holds; check this host's memory and disk")
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _carry_over(old: Path, new: Path) -> list[str]:
    """Halts and stops of the old ledger's accounts, and its newest token, written into the new one."""
    columns = "account, state, reason, changed_by, changed_at, fencing_token"
    try:
        with opened(old) as connection:
            rows = connection.execute(f"SELECT {columns} FROM trading_state").fetchall()  # noqa: S608 - ours
    except FileProblem as error:
        # It is lost or damaged, and that is why it is replaced. A person must know.
        return [f"whether an account was halted since then is not known ({error})"]
    kept = []
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            for account, state, reason, changed_by, changed_at, token in rows:
                if state != "trading":
                    insert = f"INSERT OR REPLACE INTO trading_state ({columns}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
                    connection.execute(insert, (account, state, reason, changed_by, changed_at, token))
                    kept.append(f"account {account} stays {state}")
                newest = "UPDATE trading_state SET fencing_token = max(fencing_token, ?) WHERE account = ?"
                connection.execute(newest, (token, account))
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise BackupError(f"the state of trading could not be carried over to {new}: {error}") from error
    return kept


def _dress(stack: Stack, staging: Path) -> None:
    """Gives the new folder and ledger the owners and modes of the old ones; where they are lost, the engine's."""
    folder = stack.ledger.parent
    around = (folder if folder.exists() else stack.lease).stat()
    before = stack.ledger.stat() if stack.ledger.exists() else around
    for path in staging.iterdir():
        os.chown(path, before.st_uid, before.st_gid)
        path.chmod(0o640 if before is around else stat.S_IMODE(before.st_mode))
    os.chown(staging, around.st_uid, around.st_gid)
    staging.chmod(stat.S_IMODE(around.st_mode))


def _exchange(staging: Path, folder: Path) -> bool:
    """Lets two folders change places, in one step where the file system can; whether there was anything in `folder`."""
    if not folder.exists():
        staging.rename(folder)
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(staging), os.fsencode(folder))
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number), str(folder))
    aside = staging.with_name(f"{staging.name}-old")
    folder.rename(aside)
    staging.rename(folder)
    aside.rename(staging)
    return True


def _sweep(folder: Path) -> None:
    """Removes what a restore left unfinished; what one replaced stays."""
    with suppress(FileNotFoundError):
        (folder / _MARK).unlink()
    for one in folder.parent.glob(f"{folder.name}-*"):
        if (one / _MARK).exists():
            shutil.rmtree(one)
        elif not any(one.iterdir()):
            one.rmdir()
