# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verified snapshots of a SQLite database that may be in use.

A snapshot is two files of mode 0600, `<time>-<name>.db[.zst]` and the same with `.manifest.json` added, so that a
listing by name is one by time. The manifest is written last: a snapshot exists exactly when its manifest does, and
whatever a killed run leaves behind has none. It says what was in the database (rows and hash of every table) and what
lies on disk (size and sha256), so that `sqlite_verify` can prove years later that nothing has changed.
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
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from .content import FileProblem, content_sha256_of, private, program, require_space, sha256_of
from .sqlite_read import (
    check_foreign_keys,
    check_structure,
    copy_online,
    count_rows,
    has_wal_reset_bug,
    hash_schema,
    hash_tables,
    holders,
    opened,
    pragma,
    table_names,
)
from .sqlite_verify import MANIFEST_SCHEMA

# Whatever their age: a clock that is ahead makes all that is there look old.
ALWAYS_KEPT = 7
MANIFEST_SUFFIX = ".manifest.json"
_PARTIAL = ".partial-"
_ARTEFACT = re.compile(r"(?P<time>\d{8}T\d{6}\.\d{3})Z-.+\.db(\.zst)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TIME_FORMAT = "%Y%m%dT%H%M%S.%f"


class SnapshotError(Exception):
    """The run failed; the message says why and what to do.

    No snapshot was made, and nothing that looks like one was left behind, unless the message names the published one:
    then only those too old could not be removed.
    """


@dataclass(frozen=True)
class Snapshot:
    """A published snapshot.

    `problem` is None, or why its files are not what the manifest says; only their size is looked at. `removed` names
    the older snapshots that the run which made this one removed because of their age.
    """

    path: Path
    manifest_path: Path
    created_at: datetime
    size_bytes: int
    manifest: dict[str, Any]
    problem: str | None = None
    removed: list[str] = field(default_factory=list)


def snapshot(
    source: Path,
    directory: Path,
    *,
    name: str = "ledger",
    stack: str | None = None,
    keep_days: int | None = None,
    compress: bool = True,
    timeout: float = 30.0,
    now: datetime | None = None,
) -> Snapshot:
    """Makes a verified snapshot of the database `source` in the existing `directory`, then removes those too old.

    The copy is one moment of the database, made while others write. It is published only after it proved to be whole
    (structure, foreign keys), to hold the rows and the schema that the source had in that very moment, and, with
    `compress` (zstd), to decompress to the same bytes. Everything is synced before the manifest appears. Snapshots
    older than `keep_days` days are removed, but never the ALWAYS_KEPT newest good ones; None removes none. `timeout` is
    the wait for a lock of the database in seconds. Only one run per directory at a time. Raises SnapshotError.
    """
    moment = now or datetime.now(timezone.utc)
    if not _NAME.fullmatch(name):
        raise SnapshotError(f"the snapshot name is {name!r} but may only hold letters, digits, '.', '_' and '-'")
    try:
        for needed in ["sqlite3", "zstd"] if compress else ["sqlite3"]:
            program(needed)
        with _locked(directory):
            _sweep(directory)
            try:
                taken = _take(source, directory, name, stack, compress, timeout, moment)
            finally:
                _sweep(directory)
            if keep_days is not None:
                try:
                    taken.removed.extend(_prune(directory, moment - timedelta(days=keep_days)))
                except OSError as error:
                    raise SnapshotError(
                        f"{taken.path} was made and is good, but snapshots older than {keep_days} days could not be"
                        f" removed: {error.filename or directory}: {error.strerror or error}"
                    ) from error
            return taken
    except FileProblem as error:
        raise SnapshotError(f"no snapshot of {source} was made: {error}") from error
    except OSError as error:
        where = error.filename or directory
        raise SnapshotError(f"no snapshot of {source} was made: {where}: {error.strerror or error}") from error


def list_snapshots(directory: Path) -> list[Snapshot]:
    """The snapshots in a directory, newest first; one whose files do not fit its manifest has a `problem`."""
    found = [_load(path) for path in directory.glob(f"[!.]*{MANIFEST_SUFFIX}")]
    return sorted((one for one in found if one is not None), key=lambda one: (one.created_at, one.path), reverse=True)


def _load(manifest_path: Path) -> Snapshot | None:
    """The snapshot of a manifest; None when the manifest is not one of ours."""
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
        problem = f"{manifest_path} is not a manifest: {error!r}"
    return Snapshot(path, manifest_path, created, size, manifest, problem)


def _time_of(artefact: Path) -> datetime | None:
    """When a snapshot was made, from its file name; None when this is not a snapshot's file name."""
    match = _ARTEFACT.fullmatch(artefact.name)
    return datetime.strptime(match["time"], _TIME_FORMAT).replace(tzinfo=timezone.utc) if match else None


def _take(
    source: Path, directory: Path, name: str, stack: str | None, compress: bool, timeout: float, moment: datetime
) -> Snapshot:
    stamp = moment.strftime(_TIME_FORMAT)[:-3]
    content = directory / f"{_PARTIAL}{stamp}Z-{name}.db"
    path = directory / f"{stamp}Z-{name}.db{'.zst' if compress else ''}"
    if path.exists():
        raise SnapshotError(f"{path} exists already: has the clock been set back?")

    with opened(source, timeout) as connection:
        size = pragma(connection, "page_size") * pragma(connection, "page_count")
        require_space(directory, int(size * (2.1 if compress else 1.1)))  # the compressed copy may save nothing
        connection.execute("BEGIN")  # what is counted and what is copied are one moment
        expected = _describe(connection)
        if not expected["tables"]:
            raise SnapshotError(f"{source} has no tables: there is nothing to back up; is it the right database?")
        copy_online(connection, content, timeout)
        connection.execute("COMMIT")
    described = _verify_copy(content, expected)

    partial = _compress(content) if compress else content
    _sync(partial)
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "name": name,
        "stack": stack,
        "host": socket.gethostname(),
        "source": str(source),
        "created_at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "artefact": {"file": path.name, "size_bytes": partial.stat().st_size, "sha256": sha256_of(partial)},
        "content": {"size_bytes": content.stat().st_size, "sha256": sha256_of(content)},
        "sqlite_version": sqlite3.sqlite_version,
        "wal_reset_bug": has_wal_reset_bug(sqlite3.sqlite_version_info),
        **described,
    }
    if compress and content_sha256_of(partial) != manifest["content"]["sha256"]:
        raise SnapshotError(f"{partial} does not decompress to what was compressed: check this host's memory and disk")

    manifest_path = Path(f"{path}{MANIFEST_SUFFIX}")
    manifest_partial = directory / f"{_PARTIAL}manifest"
    with open(manifest_partial, "x", encoding="utf-8", opener=private) as file:
        json.dump(manifest, file, indent=2)
        file.write("\n")
    _sync(manifest_partial)
    partial.rename(path)
    _sync(directory)
    manifest_partial.rename(manifest_path)
    _sync(directory)
    return Snapshot(path, manifest_path, moment, path.stat().st_size, manifest)


def _describe(connection: sqlite3.Connection) -> dict[str, Any]:
    """What must be equal in a database and in its copy, in the manifest's words."""
    return {
        "user_version": pragma(connection, "user_version"),
        "application_id": pragma(connection, "application_id"),
        "schema_sha256": hash_schema(connection),
        "tables": {table: {"rows": count_rows(connection, table)} for table in table_names(connection)},
    }


def _verify_copy(content: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Describes the copy, with a hash of every table's rows; SnapshotError unless it is sound and as expected."""
    with opened(content, scratch=True) as connection:
        problems = check_structure(connection, thorough=True) + check_foreign_keys(connection)
        if problems:
            raise SnapshotError(f"no snapshot was made, because the database itself is damaged: {'; '.join(problems)}")
        described = _describe(connection)
        if described != expected:
            raise SnapshotError(f"the copy is not what the database was: expected {expected}, copied {described}")
    for table, digest in hash_tables(content, described["tables"]).items():
        described["tables"][table]["row_hash"] = digest
    return described


def _compress(content: Path) -> Path:
    """Compresses with zstd, which adds a checksum (Python's zstandard would not), and returns the new file."""
    compressed = Path(f"{content}.zst")
    with content.open("rb") as plain, open(compressed, "xb", opener=private) as target:
        command = ["zstd", "-q", "-3", "--check", "-c"]
        done = subprocess.run(command, stdin=plain, stdout=target, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SnapshotError(f"zstd could not compress {content}: {done.stderr.decode(errors='replace').strip()}")
    return compressed


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Holds the directory's lock, which the kernel drops however this process ends; SnapshotError if another has it."""
    if not directory.is_dir():
        raise SnapshotError(f"the snapshot directory {directory} does not exist")
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            others = ", ".join(holders(directory)) or "another process"
            raise SnapshotError(f"another snapshot is being made in {directory} by {others}") from None
        yield
    finally:
        os.close(descriptor)


def _sweep(directory: Path) -> None:
    """Removes what an unfinished run left, SQLite's journal of a copy too. Under the lock: no other run is at work."""
    for path in directory.glob(f"{_PARTIAL}*"):
        path.unlink()


def _prune(directory: Path, oldest: datetime) -> list[str]:
    """Removes snapshots made before `oldest`, but not the newest good ones; manifests first: none may stand alone."""
    snapshots = list_snapshots(directory)
    kept = [one.path for one in snapshots if one.problem is None][:ALWAYS_KEPT]
    expired = [one.path for one in snapshots if one.created_at < oldest and one.path not in kept]
    # A run killed just before its manifest leaves an artefact without one: whole, never counted, removed in its time.
    for path in directory.glob("[!.]*"):
        created = _time_of(path)
        if created is not None and created < oldest and not Path(f"{path}{MANIFEST_SUFFIX}").exists():
            expired.append(path)
    for path in expired:
        Path(f"{path}{MANIFEST_SUFFIX}").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    return sorted(path.name for path in expired)


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a directory, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
