# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups in a directory: each is an artefact and its manifest, two files of mode 0600.

An artefact is `<time>-<name>.db` (a snapshot of a database) or `<time>-<name>.tar` (an archive of a stack), with .zst
when compressed and .age when encrypted: a listing by name is one by time. The manifest has the same name and
`.manifest.json` added, and is written last: a backup exists exactly when its manifest does, and whatever a killed run
leaves behind has none. It says what is inside and what lies on disk, so that years later it can be proved that nothing
has changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from .content import private, program, sha256_of
from .host_files import sync_directory
from .sqlite_read import has_wal_reset_bug, holders

# Whatever their age, of each class: a clock that is ahead makes all that is there look old.
ALWAYS_KEPT = 7
KEEP_DAYS = {"snapshot": 30, "daily": 30, "monthly": 366, "audit": 2557}
"""How long a backup of each class is kept, if nothing else is said."""
MANIFEST_SCHEMA = 2
MANIFEST_SUFFIX = ".manifest.json"
PARTIAL = ".partial-"
_ARTEFACT = re.compile(r"(?P<time>\d{8}T\d{6}\.\d{3})Z-.+\.(?P<kind>db|tar)(\.zst)?(\.age)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RECIPIENT = re.compile(r"age1[0-9a-z]{58}")
_TIME_FORMAT = "%Y%m%dT%H%M%S.%f"


class BackupError(Exception):
    """The run failed; the message says why and what to do.

    No backup was made, and nothing that looks like one was left behind, unless the message names the published one:
    then only those too old could not be removed.
    """


@dataclass(frozen=True)
class Backup:
    """A published backup.

    `problem` is None, or why its files are not what the manifest says; only their size is looked at. `removed` names
    the older backups that the run which made this one removed because of their age.
    """

    path: Path
    manifest_path: Path
    created_at: datetime
    size_bytes: int
    manifest: dict[str, Any]
    problem: str | None = None
    removed: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """`snapshot` (a database) or `archive` (a stack)."""
        return kind_of(self.path.name)

    @property
    def retention_class(self) -> str:
        """What decides how long it is kept: one of KEEP_DAYS, `unknown` when the manifest cannot be read."""
        return str(self.manifest.get("class", "unknown"))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "file": self.path.name,
            "kind": self.kind,
            "class": self.retention_class,
            "created_at": self.manifest.get("created_at"),
            "size_bytes": self.size_bytes,
            "encrypted": self.path.suffix == ".age",
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Draft:
    """A backup under way: the time, the name and the directory that it will have."""

    directory: Path
    name: str
    moment: datetime

    @property
    def stem(self) -> str:
        return f"{self.moment.strftime(_TIME_FORMAT)[:-3]}Z-{self.name}"

    def partial(self, suffix: str) -> Path:
        """Where to write something that is not finished."""
        return self.directory / f"{PARTIAL}{self.stem}{suffix}"

    def refuse_existing(self) -> None:
        """BackupError when there is one of this time and name."""
        for suffix in ("db", "tar"):
            for path in sorted(self.directory.glob(f"{self.stem}.{suffix}*")):
                raise BackupError(f"{path} exists already: has the clock been set back?")

    def publish(self, partial: Path, manifest: Mapping[str, Any]) -> Backup:
        """Gives the finished file `partial` its name, then writes its manifest, with what all of them say."""
        path = self.directory / partial.name[len(PARTIAL) :]
        _sync(partial)
        whole = {
            "schema": MANIFEST_SCHEMA,
            "name": self.name,
            "host": socket.gethostname(),
            "created_at": self.moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "artefact": {"file": path.name, "size_bytes": partial.stat().st_size, "sha256": sha256_of(partial)},
            "sqlite_version": sqlite3.sqlite_version,
            "wal_reset_bug": has_wal_reset_bug(sqlite3.sqlite_version_info),
            **manifest,
        }
        manifest_partial = self.directory / f"{PARTIAL}manifest"
        with open(manifest_partial, "x", encoding="utf-8", opener=private) as file:
            json.dump(whole, file, indent=2)
            file.write("\n")
        _sync(manifest_partial)
        partial.rename(path)
        sync_directory(self.directory)
        manifest_path = Path(f"{path}{MANIFEST_SUFFIX}")
        manifest_partial.rename(manifest_path)
        sync_directory(self.directory)
        return Backup(path, manifest_path, self.moment, path.stat().st_size, whole)


def require_name(name: str) -> None:
    """BackupError for what cannot be part of a backup's file name."""
    if not _NAME.fullmatch(name):
        raise BackupError(f"the backup name is {name!r} but may only hold letters, digits, '.', '_' and '-'")


def require_recipient(recipient: str | None) -> None:
    """BackupError for what is no public key; above all for a private one, which has no business here."""
    if recipient is not None and not _RECIPIENT.fullmatch(recipient):
        raise BackupError(
            "the recipient is not the public key of age: wanted age1 and 58 letters and digits, as age-keygen prints it"
        )


def encrypt(path: Path, recipient: str) -> Path:
    """Encrypts a partial file with age, removes it, and returns the new file, which has .age added to its name."""
    sealed = Path(f"{path}.age")
    with path.open("rb") as plain, open(sealed, "xb", opener=private) as target:
        command = [program("age"), "-e", "-r", recipient]
        done = subprocess.run(command, stdin=plain, stdout=target, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise BackupError(f"age could not encrypt {path}: {done.stderr.decode(errors='replace').strip()}")
    path.unlink()
    return sealed


@contextlib.contextmanager
def workplace(directory: Path) -> Iterator[None]:
    """The only run in a directory of backups: what is partial is swept away before and after it.

    The kernel drops the lock however this process ends. BackupError when another run is at work, or no directory there.
    """
    if not directory.is_dir():
        raise BackupError(f"the backup directory {directory} does not exist")
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            others = ", ".join(holders(directory)) or "another process"
            raise BackupError(f"another backup is being made in {directory} by {others}") from None
        _sweep(directory)
        try:
            yield
        finally:
            _sweep(directory)
    finally:
        os.close(descriptor)


def _sweep(directory: Path) -> None:
    for path in directory.glob(f"{PARTIAL}*"):  # SQLite's journal of a copy too
        path.unlink()


def list_backups(directory: Path) -> list[Backup]:
    """The backups in a directory, newest first; one whose files do not fit its manifest has a `problem`."""
    found = [load_backup(path) for path in directory.glob(f"[!.]*{MANIFEST_SUFFIX}")]
    return sorted((one for one in found if one is not None), key=lambda one: (one.created_at, one.path), reverse=True)


def load_backup(manifest_path: Path) -> Backup | None:
    """The backup of a manifest; None when the manifest is not one of ours."""
    path = Path(str(manifest_path)[: -len(MANIFEST_SUFFIX)])
    created = _time_of(path)
    if created is None:
        return None
    problem, manifest, size = None, {}, 0
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        size = path.stat().st_size
        expected = manifest["artefact"]["size_bytes"]
        if size != expected:
            problem = f"{path} has {size} bytes, its manifest says {expected}"
    except FileNotFoundError:
        problem = f"{path} does not exist, only its manifest"
    except (ValueError, KeyError, TypeError) as error:
        problem, manifest = f"{manifest_path} is not a manifest: {error!r}", {}
    return Backup(path, manifest_path, created, size, manifest, problem)


def kind_of(name: str) -> str:
    """The kind of a backup, from its file's name."""
    match = _ARTEFACT.fullmatch(name)
    return "archive" if match and match["kind"] == "tar" else "snapshot"


def _time_of(artefact: Path) -> datetime | None:
    """When a backup was made, from its file name; None when this is not a backup's file name."""
    match = _ARTEFACT.fullmatch(artefact.name)
    return datetime.strptime(match["time"], _TIME_FORMAT).replace(tzinfo=timezone.utc) if match else None


def expired(backups: Sequence[Backup], keep_days: Mapping[str, int], now: datetime) -> list[Backup]:
    """Those of `backups` (newest first) that are older than their class is kept, but not the newest good ones of it.

    A class that `keep_days` does not name is kept for ever.
    """
    kept: dict[str, int] = {}
    found = []
    for one in backups:
        good = kept.get(one.retention_class, 0)
        if one.problem is None and good < ALWAYS_KEPT:
            kept[one.retention_class] = good + 1
        elif one.created_at < now - timedelta(days=keep_days.get(one.retention_class, 365_000)):
            found.append(one)
    return found


def prune(directory: Path, keep_days: Mapping[str, int], now: datetime, dry_run: bool = False) -> list[str]:
    """Removes the expired backups of a directory and returns their names; manifests first: none may stand alone."""
    paths = [one.path for one in expired(list_backups(directory), keep_days, now)]
    # A run killed just before its manifest leaves an artefact without one: whole, never counted, removed in its time.
    oldest = now - timedelta(days=min(keep_days.values(), default=365_000))
    for path in directory.glob("[!.]*"):
        created = _time_of(path)
        if created is not None and created < oldest and not Path(f"{path}{MANIFEST_SUFFIX}").exists():
            paths.append(path)
    for path in [] if dry_run else paths:
        Path(f"{path}{MANIFEST_SUFFIX}").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    return sorted(path.name for path in paths)


def pruned(backup: Backup, keep_days: Mapping[str, int]) -> Backup:
    """The backup just made, after those too old beside it were removed."""
    directory = backup.path.parent
    try:
        backup.removed.extend(prune(directory, keep_days, backup.created_at))
    except OSError as error:
        raise BackupError(
            f"{backup.path} was made and is good, but older ones could not be removed:"
            f" {error.filename or directory}: {error.strerror or error}"
        ) from error
    return backup


def _sync(path: Path) -> None:
    """Waits until a file is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
