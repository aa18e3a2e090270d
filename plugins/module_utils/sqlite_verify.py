# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this file a good SQLite database, and is it the one we mean?

`integrity_check` alone answers neither: it misses two thirds of the byte flips that change a row, and it calls the
empty database that an interrupted backup leaves behind `ok`. So :func:`verify` looks at the file first, works on a
scratch copy, and then asks for structure, schema version, tables, rows, freshness and the manifest written when the
file was made.

The other functions are the small reading steps it is built from; snapshots and migrations use the same ones.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote

IGNORED_TABLES = ("_litestream_%", "sqlite_%")
MANIFEST_SCHEMA = 1
MODES = ("quick", "standard", "deep")
SIDECARS = ("-wal", "-shm", "-journal")
TIME_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

_MAGIC = b"SQLite format 3\x00"
_OTHER_MAGIC = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_BUSY = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
_CHUNK = 1 << 20
_ROWS_PER_FETCH = 1000
_PROBLEMS_SHOWN = 20
ZSTD_MISSING = "the program zstd is not installed on this host; install the package zstd"


class DatabaseFileError(Exception):
    """A database or its file cannot be used.

    `kind` is missing, not_a_database, damaged, locked, no_space or unusable; the message is for the operator.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Freshness:
    """How old the newest row may be.

    `unit` says what `column` holds: iso (ISO 8601 text, UTC when it names no zone) or a number of s, ms, us or ns
    since 1970. `max_age` and `max_future` are seconds; a newest row further ahead than `max_future` means that a clock
    is wrong.
    """

    table: str
    column: str
    max_age: float
    unit: str = "iso"
    max_future: float = 300.0


@dataclass(frozen=True)
class Check:
    """One check: `status` is ok, failed, or inconclusive (it could not be tried, so nothing is known)."""

    name: str
    status: str
    detail: str
    seconds: float


@dataclass
class Verification:
    """What :func:`verify` found. A value is None (or empty) when the step that would have told it could not run.

    `sha256` and `size_bytes` are of the file as it lies there, `content_sha256` and `content_size_bytes` of the
    database in it; the two differ when the file is compressed. `tables` is `{name: {"rows": int, "row_hash": str}}`,
    the hash only in mode deep. `newest_row` is ISO 8601 UTC; `age_seconds` is negative when it lies in the future.
    """

    path: str
    mode: str
    sqlite_version: str = sqlite3.sqlite_version
    wal_reset_bug: bool = False
    checks: list[Check] = field(default_factory=list)
    size_bytes: int | None = None
    sha256: str | None = None
    content_size_bytes: int | None = None
    content_sha256: str | None = None
    page_size: int | None = None
    page_count: int | None = None
    freelist_count: int | None = None
    journal_mode: str | None = None
    user_version: int | None = None
    application_id: int | None = None
    schema_sha256: str | None = None
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    integrity: list[str] = field(default_factory=list)
    foreign_key_violations: list[str] = field(default_factory=list)
    newest_row: str | None = None
    age_seconds: float | None = None
    duration_seconds: float = 0.0

    @property
    def status(self) -> str:
        """The worst of all checks: failed, else inconclusive, else ok."""
        found = {check.status for check in self.checks}
        return next((status for status in ("failed", "inconclusive") if status in found), "ok")

    @property
    def problems(self) -> list[Check]:
        """The checks that are not ok, in the order in which they ran."""
        return [check for check in self.checks if check.status != "ok"]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: every field, `status`, and the names of the failed checks."""
        failed = [check.name for check in self.checks if check.status == "failed"]
        return {"status": self.status, "failed_checks": failed, **asdict(self)}


class _FailedError(Exception):
    """A check looked and found something wrong."""


class _InconclusiveError(Exception):
    """A check could not look."""


# --- Reading a database ---------------------------------------------------------------------------------------------


def quoted(identifier: str) -> str:
    """`identifier` as SQL, whatever characters it holds."""
    return '"' + identifier.replace('"', '""') + '"'


def has_wal_reset_bug(version: Sequence[int]) -> bool:
    """Whether this SQLite can corrupt a WAL database that two connections write or checkpoint at once.

    SQLite 3.7.0 to 3.51.2; see "the WAL-reset bug" in https://sqlite.org/wal.html.
    """
    return (3, 7, 0) <= tuple(version) < (3, 51, 3)


def problem_of(error: sqlite3.Error, path: Path) -> DatabaseFileError:
    """What an error of SQLite means for the operator, with the kind that code can act on."""
    text = str(error)
    if "locked" in text:
        others = holders(path)
        who = f"; it is open in {', '.join(others)}" if others else ""
        return DatabaseFileError("locked", f"{path} is locked by another connection ({text}){who}")
    if "not a database" in text:
        return DatabaseFileError("not_a_database", f"{path} is not a SQLite database ({text})")
    if "malformed" in text or "UTF-8" in text:
        return DatabaseFileError("damaged", f"{path} is damaged ({text})")
    if "is full" in text:
        return DatabaseFileError("no_space", f"no space is left for {path} ({text})")
    return DatabaseFileError("unusable", f"{path} cannot be used: {text}")


def holders(path: Path) -> list[str]:
    """The other processes that have this file open, as `name (pid 12)`: those of containers too, when we are root."""
    found = []
    # Processes end and their files may not be ours to see: what cannot be read is not named.
    with contextlib.suppress(OSError):
        wanted = path.stat()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if process.name != str(os.getpid()) and any(
                    _is_file(entry, wanted) for entry in (process / "fd").iterdir()
                ):
                    found.append(f"{(process / 'comm').read_text().strip()} (pid {process.name})")
    return sorted(found)


def _is_file(descriptor: Path, wanted: os.stat_result) -> bool:
    """Whether this entry of /proc/<pid>/fd is the wanted file, whatever path the process knows it by."""
    try:
        return os.path.samestat(descriptor.stat(), wanted)
    except OSError:
        return False


@contextlib.contextmanager
def opened(path: Path, timeout: float = 10.0, scratch: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that reads an existing database; DatabaseFileError for every error of SQLite inside the block.

    It is opened read-write with `query_only`, never `mode=ro`: a read-only connection does not verify CHECK
    constraints, and one that is the last to leave a WAL database litters `-wal` and `-shm` beside it. `timeout` is
    how many seconds to wait for a lock. `scratch` is for copies that nobody else touches: memory-mapped, with every
    page's cells checked. The schema stays trusted (there is no function here that it could abuse): without that,
    SQLite 3.40 refuses every database with json_valid() in a CHECK.
    """
    if not path.exists():
        raise DatabaseFileError("missing", f"{path} does not exist")
    _refuse_foreign_wal(path)
    connection = None
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=timeout, isolation_level=None
        )
        connection.execute("PRAGMA query_only=1")
        if scratch:
            connection.execute("PRAGMA cell_size_check=1")
            connection.execute(f"PRAGMA mmap_size={path.stat().st_size}")
        yield connection
    except sqlite3.Error as error:
        raise problem_of(error, path) from error
    finally:
        if connection is not None:
            connection.close()


def _refuse_foreign_wal(path: Path) -> None:
    """DatabaseFileError when the -wal beside a database cannot be its own: a snapshot was put in the place of another.

    SQLite would replay it, and destroy the file. Only a database in WAL mode has a -wal; one in another mode (as every
    snapshot) has 1 in bytes 18 and 19 of https://sqlite.org/fileformat2.html#the_database_header.
    """
    log = Path(f"{path.resolve()}-wal")
    if log.exists() and log.stat().st_size:
        with path.open("rb") as file:
            versions = file.read(20)[18:]
        if versions == b"\x01\x01":
            raise DatabaseFileError(
                "damaged",
                f"{log} does not belong to {path}, which is not in WAL mode: SQLite would replay it and destroy the"
                f" database. Move {log} away",
            )


def pragma(connection: sqlite3.Connection, name: str) -> Any:
    """The value of a pragma that answers with one value."""
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def table_names(connection: sqlite3.Connection, ignore: Iterable[str] = IGNORED_TABLES) -> list[str]:
    """The tables that hold rows of their own, sorted; `ignore` are SQL LIKE patterns. Virtual tables are left out."""
    patterns = list(ignore)
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
    query += " AND name NOT LIKE ?" * len(patterns)
    return sorted(name for (name,) in connection.execute(query, patterns))


def count_rows(connection: sqlite3.Connection, table: str) -> int:
    """How many rows a table has."""
    return int(connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0])  # noqa: S608 - quoted


def hash_rows(connection: sqlite3.Connection, table: str) -> str:
    """SHA-256 hex of every value of every row, in the order of the table's own tree.

    Equal for every faithful copy, however its pages are laid out; differs when any value, type or row differs.
    """
    digest = hashlib.sha256()
    # Text as bytearray: what is not valid UTF-8 counts too, and is told from a BLOB of the same bytes.
    text_factory, connection.text_factory = connection.text_factory, bytearray
    try:
        # NOT INDEXED: the order is that of the rows, not of an index that happens to hold all columns.
        rows = connection.execute(f"SELECT * FROM {quoted(table)} NOT INDEXED")  # noqa: S608 - quoted
        while chunk := rows.fetchmany(_ROWS_PER_FETCH):
            digest.update("".join(map(repr, chunk)).encode())
    finally:
        connection.text_factory = text_factory
    return digest.hexdigest()


def hash_schema(connection: sqlite3.Connection, ignore: Iterable[str] = IGNORED_TABLES) -> str:
    """SHA-256 hex of the SQL of all tables, indexes, triggers and views; `ignore` as for :func:`table_names`."""
    patterns = list(ignore)
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE 1"
    query += " AND name NOT LIKE ? AND tbl_name NOT LIKE ?" * len(patterns)
    doubled = [pattern for pattern in patterns for _twice in range(2)]
    return hashlib.sha256(repr(sorted(connection.execute(query, doubled), key=repr)).encode()).hexdigest()


def check_structure(connection: sqlite3.Connection, thorough: bool) -> list[str]:
    """What `integrity_check` (thorough) or `quick_check` complains of, at most 20 lines; empty when it is ok.

    quick_check reads every page once; integrity_check also compares every index with its table: some 14 times slower.
    """
    name = "integrity_check" if thorough else "quick_check"
    lines = [str(line) for (line,) in connection.execute(f"PRAGMA {name}({_PROBLEMS_SHOWN})")]
    return [] if lines == ["ok"] else lines


def check_foreign_keys(connection: sqlite3.Connection) -> list[str]:
    """Rows whose parent is missing, as `fills: row 12 has no parent in orders`; at most 20."""
    rows = connection.execute("PRAGMA foreign_key_check").fetchmany(_PROBLEMS_SHOWN)
    return [f"{table}: row {rowid} has no parent in {parent}" for table, rowid, parent, _key in rows]


def copy_online(source: sqlite3.Connection, target: Path, timeout: float = 10.0) -> None:
    """Copies a database that others may be writing into the new file `target` (mode 0600), all pages in one step.

    One step (`pages=-1`) because a copy in portions starts over at every commit of another process and may never
    end. An open read transaction of `source` is honored: the copy is exactly what it sees. The copy is in
    rollback-journal mode, so that it is one self-contained file, and is not yet synced to disk. Use inside
    :func:`opened`, which explains errors.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    deadline = time.monotonic() + timeout

    def give_up_when_locked(status: int, _remaining: int, _total: int) -> None:
        if status in _BUSY and time.monotonic() > deadline:  # backup() itself would wait for the lock for ever
            raise sqlite3.OperationalError("database is locked")

    try:
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous=OFF")
            source.backup(copy, pages=-1, progress=give_up_when_locked, sleep=0.05)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        if "is full" in str(error):
            raise problem_of(error, target) from error
        raise


# --- Verifying a file -----------------------------------------------------------------------------------------------


def verify(
    path: Path,
    *,
    mode: str = "standard",
    live: bool = False,
    schema_version: int | None = None,
    tables: Sequence[str] = (),
    min_rows: Mapping[str, int] | None = None,
    freshness: Freshness | None = None,
    sha256: str | None = None,
    manifest: Path | None = None,
    ignore_tables: Sequence[str] = IGNORED_TABLES,
    scratch_directory: Path | None = None,
    timeout: float = 10.0,
    now: datetime | None = None,
) -> Verification:
    """Verifies a SQLite file, plain or compressed (.gz, .xz, .zst by name), and says everything that is wrong with it.

    All checks run on a private copy in `scratch_directory` (default: the system's), so nothing is written to or
    beside `path`. `live` reads a database that may be in use through SQLite instead of copying its file: a copy of
    the file alone would be torn. `mode`: quick (quick_check), standard (integrity_check), deep (also hashes every
    row). The other arguments say what is expected; what is not given is not checked. `timeout` is the wait for a
    lock in seconds. Never raises for a bad file: that is what the result says. ValueError for senseless arguments.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r} but must be one of {', '.join(MODES)}")
    if live and (sha256 or manifest):
        raise ValueError("sha256 and manifest describe a file at rest: they cannot be compared with a live database")
    started = time.monotonic()
    bug = has_wal_reset_bug(sqlite3.sqlite_version_info)
    result = Verification(path=str(path), mode=mode, wal_reset_bug=bug)
    with contextlib.ExitStack() as stack:
        run = _Run(result, path, list(ignore_tables))
        run.check("file", run.file_is_there)
        if not live:
            run.check("sidecars", run.no_sidecars, "file")

        def make_copy() -> str:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="ballast-verify-", dir=scratch_directory))
            )
            return run.copy_live(folder, timeout) if live else run.copy_file(folder)

        run.check("copy", make_copy, "file")
        run.check("header", run.header_is_sane, "copy")
        if sha256 is not None:
            run.check("sha256", lambda: run.has_sha256(sha256), "copy")
        if manifest is not None:
            run.check("manifest", lambda: run.read_manifest(manifest))
            run.check("manifest_file", run.manifest_file, "copy", "manifest")

        run.check("opens", lambda: run.opens(stack), "copy")
        run.check("integrity", lambda: run.structure(mode != "quick"), "opens")
        run.check("foreign_keys", run.foreign_keys, "opens")
        run.check("tables", lambda: run.has_tables(tables), "opens")
        run.check("rows", run.count_all_rows, "opens")
        if min_rows:
            run.check("min_rows", lambda: run.has_min_rows(min_rows), "rows")
        if mode == "deep":
            run.check("row_hash", run.hash_all_rows, "rows")
        if schema_version is not None:
            run.check("schema_version", lambda: run.has_schema_version(schema_version), "opens")
        if manifest is not None:
            run.check("manifest_content", run.manifest_content, "rows", "manifest")
        if freshness is not None:
            moment = now or datetime.now(timezone.utc)
            run.check("freshness", lambda: run.is_fresh(freshness, moment), "opens")
    result.duration_seconds = round(time.monotonic() - started, 3)
    return result


class _Run:
    """The checks of one verification: each returns its detail when all is well, and raises otherwise."""

    def __init__(self, result: Verification, path: Path, ignore: list[str]) -> None:
        self.result = result
        self.path = path
        self.ignore = ignore
        self.scratch = Path()
        self.manifest: dict[str, Any] = {}
        self._connection: sqlite3.Connection | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("a check that reads the database must need the check 'opens'")
        return self._connection

    def check(self, name: str, look: Callable[[], str], *needs: str) -> None:
        """Runs one check and records it; one whose `needs` are not ok is recorded as inconclusive."""
        started = time.monotonic()
        unmet = [check.name for check in self.result.checks if check.name in needs and check.status != "ok"]
        status = "ok"
        try:
            if unmet:
                raise _InconclusiveError(f"not tried, because the check {unmet[0]} did not pass")
            detail = look()
        except _FailedError as error:
            status, detail = "failed", str(error)
        except _InconclusiveError as error:
            status, detail = "inconclusive", str(error)
        except sqlite3.Error as error:
            status, detail = "failed", str(problem_of(error, self.path))
        except DatabaseFileError as error:
            # A lock or a full scratch disk says nothing about the database.
            status = "inconclusive" if error.kind in ("locked", "no_space", "unusable") else "failed"
            detail = str(error)
        except OSError as error:
            status, detail = "inconclusive", f"{error.strerror or error} ({error.filename or self.path})"
        self.result.checks.append(Check(name, status, detail, round(time.monotonic() - started, 3)))

    # The file

    def file_is_there(self) -> str:
        if not self.path.exists():
            raise _FailedError(f"{self.path} does not exist")
        if not self.path.is_file():
            raise _FailedError(f"{self.path} is not a regular file")
        self.result.size_bytes = self.path.stat().st_size
        if self.result.size_bytes == 0:
            raise _FailedError(f"{self.path} is empty (0 bytes)")
        return f"{self.result.size_bytes} bytes"

    def no_sidecars(self) -> str:
        real = self.path.resolve()  # SQLite looks beside the file itself, not beside a link to it
        found = [f"{real.name}{suffix}" for suffix in SIDECARS if Path(f"{real}{suffix}").exists()]
        if found:
            raise _FailedError(
                f"{', '.join(found)} beside {real}: SQLite would replay it into the database when it is opened."
                " Move it away if the file is a backup; verify with live=true if this is a database in use"
            )
        return "no -wal, -shm or -journal beside it"

    def copy_live(self, folder: Path, timeout: float) -> str:
        self.scratch = folder / "content.db"
        with opened(self.path, timeout) as connection:
            require_space(folder, pragma(connection, "page_size") * pragma(connection, "page_count"))
            # The copy is in rollback-journal mode whatever the source is in.
            self.result.journal_mode = pragma(connection, "journal_mode")
            copy_online(connection, self.scratch, timeout)
        return f"copied {self.scratch.stat().st_size} bytes through SQLite"

    def copy_file(self, folder: Path) -> str:
        self.scratch = folder / "content.db"
        require_space(folder, self.path.stat().st_size)
        digest = hashlib.sha256()
        try:
            with self.scratch.open("xb") as target:
                for chunk in decompressed(self.path):
                    digest.update(chunk)
                    target.write(chunk)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DatabaseFileError("no_space", f"{folder} has no space left for the content of {self.path}") from error
        self.result.content_sha256 = digest.hexdigest()
        self.result.content_size_bytes = self.scratch.stat().st_size
        compressed = self.path.suffix in COMPRESSED
        self.result.sha256 = sha256_of(self.path) if compressed else self.result.content_sha256
        return f"read {self.result.content_size_bytes} bytes of content"

    def header_is_sane(self) -> str:
        """Bytes 0, 16, 28 of https://sqlite.org/fileformat2.html#the_database_header against the real size."""
        size = self.scratch.stat().st_size
        with self.scratch.open("rb") as file:
            header = file.read(100)
        if not header.startswith(_MAGIC):
            kind = next((name for magic, name in _OTHER_MAGIC.items() if header.startswith(magic)), None)
            seen = f"{kind} data without the file name extension" if kind else f"it begins with {header[:16]!r}"
            raise _FailedError(
                f"{self.path} is not a SQLite database: {seen}" if size else f"{self.path} holds an empty database file"
            )
        if len(header) < 100:
            raise _FailedError(f"{self.path} is truncated: {size} bytes, not even a header")
        page_size = int.from_bytes(header[16:18], "big")
        page_size = 65536 if page_size == 1 else page_size
        page_count = int.from_bytes(header[28:32], "big")
        self.result.page_size, self.result.page_count = page_size, page_count
        if size != page_size * page_count:
            state = "truncated" if size < page_size * page_count else "longer than it should be"
            raise _FailedError(
                f"{self.path} is {state}: the header says {page_count} pages of {page_size} bytes ="
                f" {page_size * page_count} bytes, there are {size}"
            )
        return f"{page_count} pages of {page_size} bytes"

    def has_sha256(self, expected: str) -> str:
        if self.result.sha256 != expected.strip().lower():
            raise _FailedError(f"sha256 of {self.path} is {self.result.sha256}, expected {expected}")
        return str(self.result.sha256)

    # The manifest

    def read_manifest(self, path: Path) -> str:
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise _FailedError(f"the manifest {path} does not exist: the backup was never finished") from None
        except ValueError as error:
            raise _FailedError(f"the manifest {path} is not JSON: {error}") from None
        if not isinstance(manifest, dict) or manifest.get("schema") != MANIFEST_SCHEMA:
            raise _FailedError(f"the manifest {path} is not of schema {MANIFEST_SCHEMA}")
        parts = [manifest.get(name) for name in ("artefact", "content", "tables")]
        if isinstance(parts[-1], dict):
            parts += parts[-1].values()
        if not all(isinstance(part, dict) for part in parts):
            raise _FailedError(f"the manifest {path} is incomplete: artefact, content or tables are missing")
        self.manifest = manifest
        return f"made {manifest.get('created_at')} on {manifest.get('host')}"

    def manifest_file(self) -> str:
        result = self.result
        seen = {
            "artefact": {"size_bytes": result.size_bytes, "sha256": result.sha256},
            "content": {"size_bytes": result.content_size_bytes, "sha256": result.content_sha256},
        }
        for part, values in seen.items():
            for name, value in values.items():
                expected = self.manifest.get(part, {}).get(name)
                if value != expected:
                    raise _FailedError(f"{part} {name} of {self.path} is {value}, the manifest says {expected}")
        return "size and sha256 of file and content are those of the manifest"

    def manifest_content(self) -> str:
        result = self.result
        differences = [
            f"{name} is {getattr(result, name)}, the manifest says {self.manifest.get(name)}"
            for name in ("user_version", "application_id", "schema_sha256")
            if getattr(result, name) != self.manifest.get(name)
        ]
        expected_tables = self.manifest.get("tables", {})
        for table in sorted(set(result.tables) | set(expected_tables)):
            seen, expected = result.tables.get(table), expected_tables.get(table)
            if seen is None or expected is None:
                differences.append(f"table {table} is {'missing' if seen is None else 'not in the manifest'}")
                continue
            differences += [
                f"{name} of {table} is {value}, the manifest says {expected.get(name)}"
                for name, value in seen.items()
                if value != expected.get(name)
            ]
        if differences:
            raise _FailedError("; ".join(differences))
        return f"schema and rows of {len(expected_tables)} tables are those of the manifest"

    # The database

    def opens(self, stack: contextlib.ExitStack) -> str:
        self._connection = connection = stack.enter_context(opened(self.scratch, scratch=True))
        result = self.result
        result.user_version = pragma(connection, "user_version")
        result.application_id = pragma(connection, "application_id")
        result.freelist_count = pragma(connection, "freelist_count")
        result.journal_mode = result.journal_mode or pragma(connection, "journal_mode")
        result.schema_sha256 = hash_schema(connection, self.ignore)
        return f"SQLite {sqlite3.sqlite_version}"

    def structure(self, thorough: bool) -> str:
        name = "integrity_check" if thorough else "quick_check"
        self.result.integrity = check_structure(self.connection, thorough)
        if self.result.integrity:
            raise _FailedError(f"{name}: {'; '.join(self.result.integrity)}")
        self.result.integrity = ["ok"]
        return f"{name} ok"

    def foreign_keys(self) -> str:
        self.result.foreign_key_violations = check_foreign_keys(self.connection)
        if self.result.foreign_key_violations:
            raise _FailedError("; ".join(self.result.foreign_key_violations))
        return "every row has its parent"

    def has_tables(self, expected: Sequence[str]) -> str:
        names = table_names(self.connection, self.ignore)
        self.result.tables = {name: {} for name in names}
        if not names:
            raise _FailedError("the database has no tables: this is what an interrupted backup leaves behind")
        missing = sorted(set(expected) - set(names))
        if missing:
            raise _FailedError(f"missing tables: {', '.join(missing)}; found: {', '.join(names)}")
        return f"{len(names)} tables"

    def count_all_rows(self) -> str:
        problems = []
        for name, table in self.result.tables.items():
            try:
                table["rows"] = count_rows(self.connection, name)
            except sqlite3.Error as error:  # noqa: PERF203 - one damaged table must not hide the others
                problems.append(f"{name} cannot be counted ({error})")
        if problems:
            raise _FailedError("; ".join(problems))
        return f"{sum(table['rows'] for table in self.result.tables.values())} rows"

    def has_min_rows(self, minimum: Mapping[str, int]) -> str:
        problems = []
        for name, wanted in minimum.items():
            rows = self.result.tables.get(name, {}).get("rows")
            if rows is None:
                problems.append(f"{name} is missing, expected at least {wanted} rows")
            elif rows < wanted:
                problems.append(f"{name} has {rows} rows, expected at least {wanted}")
        if problems:
            raise _FailedError("; ".join(problems))
        return f"at least as many rows as expected in {len(minimum)} tables"

    def hash_all_rows(self) -> str:
        for name, table in self.result.tables.items():
            table["row_hash"] = hash_rows(self.connection, name)
        return f"{len(self.result.tables)} tables"

    def has_schema_version(self, expected: int) -> str:
        if self.result.user_version != expected:
            raise _FailedError(f"schema version (user_version) is {self.result.user_version}, expected {expected}")
        return f"schema version {expected}"

    def is_fresh(self, freshness: Freshness, now: datetime) -> str:
        table, column = quoted(freshness.table), quoted(freshness.column)
        if freshness.table not in self.result.tables:
            raise _FailedError(f"table {freshness.table} is missing")
        known = [row[1] for row in self.connection.execute(f"PRAGMA table_info({table})")]
        if freshness.column not in known:
            # Asked for an unknown column in double quotes, SQLite would answer with its name.
            raise _FailedError(f"table {freshness.table} has no column {freshness.column}; it has {', '.join(known)}")
        value = self.connection.execute(f"SELECT max({column}) FROM {table}").fetchone()[0]  # noqa: S608 - quoted
        if value is None:
            raise _FailedError(f"table {freshness.table} has no row with a {freshness.column}")
        moment = _moment(value, freshness)
        age = (now - moment).total_seconds()
        self.result.newest_row = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.result.age_seconds = round(age, 3)
        newest = f"the newest row of {freshness.table} ({self.result.newest_row})"
        if age > freshness.max_age:
            raise _FailedError(f"{newest} is {age:.0f} s old, at most {freshness.max_age:.0f} s are allowed")
        if -age > freshness.max_future:
            raise _FailedError(
                f"{newest} lies {-age:.0f} s in the future, at most {freshness.max_future:.0f} s are allowed:"
                " check the clocks"
            )
        return f"{newest} is {age:.0f} s old"


def _moment(value: Any, freshness: Freshness) -> datetime:
    """The time that a column's value means, UTC; _FailedError when it means none."""
    try:
        if freshness.unit == "iso":
            moment = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
            return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
        return datetime.fromtimestamp(value / TIME_UNITS[freshness.unit], timezone.utc)
    except (ValueError, TypeError, AttributeError, OverflowError, OSError):
        raise _FailedError(
            f"the newest {freshness.column} of {freshness.table} is {value!r:.60}, no time of unit {freshness.unit}"
        ) from None


def require_space(folder: Path, needed: int) -> None:
    """DatabaseFileError (no_space) when the file system of `folder` has less than `needed` bytes left."""
    available = shutil.disk_usage(folder).free
    if available < needed:
        raise DatabaseFileError("no_space", f"{folder} has {available} bytes free, {needed} are needed")


# --- Compressed files -----------------------------------------------------------------------------------------------


def sha256_of(path: Path) -> str:
    """SHA-256 hex of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def content_sha256_of(path: Path) -> str:
    """SHA-256 hex of what :func:`decompressed` yields."""
    digest = hashlib.sha256()
    for chunk in decompressed(path):
        digest.update(chunk)
    return digest.hexdigest()


def decompressed(path: Path) -> Iterator[bytes]:
    """The content of a file in chunks: decompressed when its name ends in .gz, .xz or .zst, else as it is.

    A file that ends too early, or does not fit the checksum it carries, is an error: DatabaseFileError (damaged). Only
    gzip always carries one. The programs xz and zstd add it unless told not to, but libraries write .zst without: in
    such a file a changed byte is found only by the database's checks, or by a manifest or sha256 to compare with.
    """
    return COMPRESSED.get(path.suffix, _plain)(path)


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _gzip_or_xz(path: Path) -> Iterator[bytes]:
    opener: Callable[[Path], IO[bytes]] = gzip.open if path.suffix == ".gz" else lzma.open  # type: ignore[assignment]
    with opener(path) as file:
        while True:
            try:
                chunk = file.read(_CHUNK)
            except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
                raise DatabaseFileError("damaged", f"the compressed data of {path} is damaged: {error}") from error
            if not chunk:
                return
            yield chunk


def _zstd(path: Path) -> Iterator[bytes]:
    if shutil.which("zstd") is None:
        raise DatabaseFileError("unusable", f"{path} cannot be decompressed: {ZSTD_MISSING}")
    with (
        path.open("rb") as file,
        subprocess.Popen(["zstd", "-dcq"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        output, errors = cast("IO[bytes]", process.stdout), cast("IO[bytes]", process.stderr)  # both are pipes
        while chunk := output.read(_CHUNK):
            yield chunk
        complaint = errors.read().decode(errors="replace").strip()
    if process.returncode != 0:
        raise DatabaseFileError("damaged", f"the compressed data of {path} is damaged: {complaint}")


COMPRESSED: dict[str, Callable[[Path], Iterator[bytes]]] = {".gz": _gzip_or_xz, ".xz": _gzip_or_xz, ".zst": _zstd}
