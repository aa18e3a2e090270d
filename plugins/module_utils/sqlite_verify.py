# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this file a good SQLite database, and is it the one we mean?

`integrity_check` alone answers neither: it misses two thirds of the byte flips that change a row, and it calls the
empty database that an interrupted backup leaves behind `ok`. So :func:`verify` looks at the file first, works on a
scratch copy, and then asks for structure, schema version, tables, rows, freshness and the manifest written when the
file was made.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .content import FileProblem, content_of, require_space, scratch, sha256_of
from .manifest import MANIFEST_SCHEMA
from .sqlite_read import (
    IGNORED_TABLES,
    SIDECARS,
    TimeLimit,
    check_foreign_keys,
    check_structure,
    copy_online,
    count_rows,
    has_wal_reset_bug,
    hash_queries,
    hash_schema,
    hash_tables,
    opened,
    pragma,
    problem_of,
    quoted,
    row_query,
    table_names,
)

MODES = ("quick", "standard", "deep")
SCRATCH = "ballast-verify-"
TIME_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

_MAGIC = b"SQLite format 3\x00"
_OTHER_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"age-encryption.org/": "age",
}


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
class Source:
    """The database that a copy was made from, perhaps in use, to compare the copy with.

    Every table must have equal rows; with `append_only`, only those tables, and only up to the copy's newest row:
    what the copy has must be in the source, unchanged. That holds while the source goes on growing.
    """

    path: Path
    append_only: Sequence[str] = ()


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


class CheckFailed(Exception):
    """A check looked and found something wrong."""


class CheckInconclusive(Exception):
    """A check could not look."""


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
    manifest: Path | Mapping[str, Any] | None = None,
    source: Source | None = None,
    identity: Path | None = None,
    ignore_tables: Sequence[str] = IGNORED_TABLES,
    scratch_directory: Path | None = None,
    timeout: float = 10.0,
    time_limit: float | None = None,
    memory_limit: int | None = None,
    now: datetime | None = None,
) -> Verification:
    """Verifies a SQLite file, plain or packed (.gz, .xz, .zst and .age by name), and says everything wrong with it.

    All checks run on a private copy in `scratch_directory` (default: the system's), so nothing is written to or
    beside `path`. `live` reads a database that may be in use through SQLite instead of copying its file: a copy of
    the file alone would be torn. `mode`: quick (quick_check), standard (integrity_check), deep (also hashes every
    row). The other arguments say what is expected; what is not given is not checked. `identity` is the private key of
    an encrypted file. `timeout` is the wait for a lock in seconds, `time_limit` how many seconds all of it may take,
    `memory_limit` how many bytes this process, and each program that it starts, may allocate: what did not fit in is
    inconclusive. Never raises for a bad file: that is what the result says. ValueError for senseless arguments.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r} but must be one of {', '.join(MODES)}")
    if live and (sha256 or manifest):
        raise ValueError("sha256 and manifest describe a file at rest: they cannot be compared with a live database")
    started = time.monotonic()
    bug = has_wal_reset_bug(sqlite3.sqlite_version_info)
    result = Verification(path=str(path), mode=mode, wal_reset_bug=bug)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_memory_limited(memory_limit))
        run = _Run(result, path, list(ignore_tables), TimeLimit(time_limit))
        run.check("file", run.file_is_there)
        if not live:
            run.check("sidecars", run.no_sidecars, "file")
            run.check("checksum", lambda: run.has_sha256(sha256), "file")
        if manifest is not None:
            run.check("manifest", lambda: run.read_manifest(manifest))
            run.check("manifest_file", run.manifest_file, "checksum", "manifest")

        def make_copy() -> str:
            run.folder = stack.enter_context(scratch(SCRATCH, scratch_directory))
            return run.copy_live(timeout) if live else run.copy_file(identity)

        run.check("copy", make_copy, "file")
        if manifest is not None:
            run.check("manifest_copy", run.manifest_copy, "copy", "manifest")
        run.check("header", run.header_is_sane, "copy")
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
        if source is not None:
            run.check("source", lambda: run.is_copy_of(source, timeout), "rows")
        if freshness is not None:
            moment = now or datetime.now(timezone.utc)
            run.check("freshness", lambda: run.is_fresh(freshness, moment), "opens")
    result.duration_seconds = round(time.monotonic() - started, 3)
    return result


def check(result: Verification, limit: TimeLimit, name: str, look: Callable[[], str], *needs: str) -> None:
    """Runs one check and records it; one whose `needs` are not ok is recorded as inconclusive.

    `look` returns its detail when all is well, and raises otherwise.
    """
    started = time.monotonic()
    unmet = [one.name for one in result.checks if one.name in needs and one.status != "ok"]
    status = "ok"
    try:
        if unmet:
            raise CheckInconclusive(f"not tried, because the check {unmet[0]} did not pass")
        limit.look()
        detail = look()
    except CheckFailed as error:
        status, detail = "failed", str(error)
    except CheckInconclusive as error:
        status, detail = "inconclusive", str(error)
    except (sqlite3.Error, FileProblem) as error:
        problem = problem_of(error, Path(result.path)) if isinstance(error, sqlite3.Error) else error
        # A lock, a limit or a full scratch disk says nothing about the database.
        status = "inconclusive" if problem.kind in ("locked", "no_space", "unusable") else "failed"
        detail = str(problem)
    except MemoryError:
        status, detail = "inconclusive", "the memory limit was reached"
    except OSError as error:
        status, detail = "inconclusive", f"{error.strerror or error} ({error.filename or result.path})"
    result.checks.append(Check(name, status, detail, round(time.monotonic() - started, 3)))


def load_manifest(path: Path) -> dict[str, Any]:
    """A backup's manifest; CheckFailed when it is not there or none."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckFailed(f"the manifest {path} does not exist: the backup was never finished") from None
    except ValueError as error:
        raise CheckFailed(f"the manifest {path} is not JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != MANIFEST_SCHEMA:
        raise CheckFailed(f"the manifest {path} is not of schema {MANIFEST_SCHEMA}")
    return manifest


@contextlib.contextmanager
def _memory_limited(limit: int | None) -> Iterator[None]:
    """Lets this process and its children allocate no more than `limit` bytes; mapped files do not count."""
    if limit is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


class _Run:
    """The checks of one verification of a database."""

    def __init__(self, result: Verification, path: Path, ignore: list[str], limit: TimeLimit) -> None:
        self.result = result
        self.path = path
        self.ignore = ignore
        self.limit = limit
        self.folder = Path()
        self.manifest: dict[str, Any] = {}
        self._connection: sqlite3.Connection | None = None

    @property
    def scratch(self) -> Path:
        return self.folder / "content.db"

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("a check that reads the database must need the check 'opens'")
        return self._connection

    def check(self, name: str, look: Callable[[], str], *needs: str) -> None:
        check(self.result, self.limit, name, look, *needs)

    # The file

    def file_is_there(self) -> str:
        if not self.path.exists():
            raise CheckFailed(f"{self.path} does not exist")
        if not self.path.is_file():
            raise CheckFailed(f"{self.path} is not a regular file")
        self.result.size_bytes = self.path.stat().st_size
        if self.result.size_bytes == 0:
            raise CheckFailed(f"{self.path} is empty (0 bytes)")
        return f"{self.result.size_bytes} bytes"

    def no_sidecars(self) -> str:
        real = self.path.resolve()  # SQLite looks beside the file itself, not beside a link to it
        found = [f"{real.name}{suffix}" for suffix in SIDECARS if Path(f"{real}{suffix}").exists()]
        if found:
            raise CheckFailed(
                f"{', '.join(found)} beside {real}: SQLite would replay it into the database when it is opened."
                " Move it away if the file is a backup; verify with live=true if this is a database in use"
            )
        return "no -wal, -shm or -journal beside it"

    def copy_live(self, timeout: float) -> str:
        # The copy is in rollback-journal mode whatever the source is in.
        self.result.journal_mode = _copy_live(self.path, self.scratch, timeout, self.limit)
        return f"copied {self.scratch.stat().st_size} bytes through SQLite"

    def copy_file(self, identity: Path | None) -> str:
        require_space(self.folder, self.path.stat().st_size)
        digest = hashlib.sha256()
        try:
            with self.scratch.open("xb") as target:
                for chunk in content_of(self.path, identity):
                    digest.update(chunk)
                    target.write(chunk)
                    self.limit.look()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            text = f"{self.folder} has no space left for the content of {self.path}"
            raise FileProblem("no_space", text) from error
        self.result.content_sha256 = digest.hexdigest()
        self.result.content_size_bytes = self.scratch.stat().st_size
        return f"read {self.result.content_size_bytes} bytes of content"

    def header_is_sane(self) -> str:
        """Bytes 0, 16, 28 of https://sqlite.org/fileformat2.html#the_database_header against the real size."""
        size = self.scratch.stat().st_size
        with self.scratch.open("rb") as file:
            header = file.read(100)
        if not header.startswith(_MAGIC):
            kind = next((name for magic, name in _OTHER_MAGIC.items() if header.startswith(magic)), None)
            seen = f"{kind} data without the file name extension" if kind else f"it begins with {header[:16]!r}"
            raise CheckFailed(
                f"{self.path} is not a SQLite database: {seen}" if size else f"{self.path} holds an empty database file"
            )
        if len(header) < 100:
            raise CheckFailed(f"{self.path} is truncated: {size} bytes, not even a header")
        page_size = int.from_bytes(header[16:18], "big")
        page_size = 65536 if page_size == 1 else page_size
        page_count = int.from_bytes(header[28:32], "big")
        self.result.page_size, self.result.page_count = page_size, page_count
        if size != page_size * page_count:
            state = "truncated" if size < page_size * page_count else "longer than it should be"
            raise CheckFailed(
                f"{self.path} is {state}: the header says {page_count} pages of {page_size} bytes ="
                f" {page_size * page_count} bytes, there are {size}"
            )
        return f"{page_count} pages of {page_size} bytes"

    def has_sha256(self, expected: str | None) -> str:
        self.result.sha256 = sha256_of(self.path)
        if expected is not None and self.result.sha256 != expected.strip().lower():
            raise CheckFailed(f"sha256 of {self.path} is {self.result.sha256}, expected {expected}")
        return str(self.result.sha256)

    # The manifest

    def read_manifest(self, given: Path | Mapping[str, Any]) -> str:
        manifest = load_manifest(given) if isinstance(given, Path) else dict(given)
        parts = [manifest.get(name) for name in ("artefact", "content", "tables")]
        if isinstance(parts[-1], dict):
            parts += parts[-1].values()
        if not all(isinstance(part, dict) for part in parts):
            where = f" {given}" if isinstance(given, Path) else ""
            raise CheckFailed(f"the manifest{where} is incomplete: artefact, content or tables are missing")
        self.manifest = manifest
        return f"made {manifest.get('created_at')} on {manifest.get('host')}"

    def manifest_file(self) -> str:
        seen = {"size_bytes": self.result.size_bytes, "sha256": self.result.sha256}
        self._compare_part("artefact", seen)
        return "size and sha256 are those of the manifest"

    def manifest_copy(self) -> str:
        seen = {"size_bytes": self.result.content_size_bytes, "sha256": self.result.content_sha256}
        self._compare_part("content", seen)
        return "size and sha256 of the content are those of the manifest"

    def _compare_part(self, part: str, seen: Mapping[str, Any]) -> None:
        for name, value in seen.items():
            expected = self.manifest.get(part, {}).get(name)
            if value != expected:
                raise CheckFailed(f"{part} {name} of {self.path} is {value}, the manifest says {expected}")

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
            raise CheckFailed("; ".join(differences))
        return f"schema and rows of {len(expected_tables)} tables are those of the manifest"

    # The database

    def opens(self, stack: contextlib.ExitStack) -> str:
        self._connection = connection = stack.enter_context(opened(self.scratch, scratch=True, limit=self.limit))
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
            raise CheckFailed(f"{name}: {'; '.join(self.result.integrity)}")
        self.result.integrity = ["ok"]
        return f"{name} ok"

    def foreign_keys(self) -> str:
        self.result.foreign_key_violations = check_foreign_keys(self.connection)
        if self.result.foreign_key_violations:
            raise CheckFailed("; ".join(self.result.foreign_key_violations))
        return "every row has its parent"

    def has_tables(self, expected: Sequence[str]) -> str:
        names = table_names(self.connection, self.ignore)
        self.result.tables = {name: {} for name in names}
        if not names:
            raise CheckFailed("the database has no tables: this is what an interrupted backup leaves behind")
        missing = sorted(set(expected) - set(names))
        if missing:
            raise CheckFailed(f"missing tables: {', '.join(missing)}; found: {', '.join(names)}")
        return f"{len(names)} tables"

    def count_all_rows(self) -> str:
        problems = []
        for name, table in self.result.tables.items():
            try:
                table["rows"] = count_rows(self.connection, name)
            except sqlite3.Error as error:  # noqa: PERF203 - one damaged table must not hide the others
                problems.append(f"{name} cannot be counted ({error})")
        if problems:
            raise CheckFailed("; ".join(problems))
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
            raise CheckFailed("; ".join(problems))
        return f"at least as many rows as expected in {len(minimum)} tables"

    def hash_all_rows(self) -> str:
        for name, digest in hash_tables(self.scratch, self.result.tables, self.limit).items():
            self.result.tables[name]["row_hash"] = digest
        return f"{len(self.result.tables)} tables"

    def is_copy_of(self, source: Source, timeout: float) -> str:
        other = self.folder / "source.db"
        _copy_live(source.path, other, timeout, self.limit)
        with opened(other, scratch=True, limit=self.limit) as connection:
            schema, names = hash_schema(connection, self.ignore), table_names(connection, self.ignore)
        if schema != self.result.schema_sha256:
            raise CheckFailed(f"schema_sha256 is {self.result.schema_sha256}, that of {source.path} is {schema}")
        unknown = sorted(set(source.append_only) - set(names))
        if unknown:
            raise CheckFailed(f"{source.path} has no table {', '.join(unknown)}; it has {', '.join(names)}")
        queries = {}
        for table in source.append_only or names:
            newest = None
            if source.append_only:
                newest = self.connection.execute(f"SELECT max(rowid) FROM {quoted(table)}").fetchone()[0] or 0  # noqa: S608 - quoted
            queries[table] = row_query(table, newest)
        seen, expected = (hash_queries(path, queries, self.limit) for path in (self.scratch, other))
        differing = [table for table in queries if seen[table] != expected[table]]
        if differing:
            raise CheckFailed(f"rows of {', '.join(differing)} are not those of {source.path}")
        return f"rows of {len(queries)} tables are those of {source.path}"

    def has_schema_version(self, expected: int) -> str:
        if self.result.user_version != expected:
            raise CheckFailed(f"schema version (user_version) is {self.result.user_version}, expected {expected}")
        return f"schema version {expected}"

    def is_fresh(self, freshness: Freshness, now: datetime) -> str:
        table, column = quoted(freshness.table), quoted(freshness.column)
        if freshness.table not in self.result.tables:
            raise CheckFailed(f"table {freshness.table} is missing")
        known = [row[1] for row in self.connection.execute(f"PRAGMA table_info({table})")]
        if freshness.column not in known:
            # Asked for an unknown column in double quotes, SQLite would answer with its name.
            raise CheckFailed(f"table {freshness.table} has no column {freshness.column}; it has {', '.join(known)}")
        value = self.connection.execute(f"SELECT max({column}) FROM {table}").fetchone()[0]  # noqa: S608 - quoted
        if value is None:
            raise CheckFailed(f"table {freshness.table} has no row with a {freshness.column}")
        moment = _moment(value, freshness)
        age = (now - moment).total_seconds()
        self.result.newest_row = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.result.age_seconds = round(age, 3)
        newest = f"the newest row of {freshness.table} ({self.result.newest_row})"
        if age > freshness.max_age:
            raise CheckFailed(f"{newest} is {age:.0f} s old, at most {freshness.max_age:.0f} s are allowed")
        if -age > freshness.max_future:
            raise CheckFailed(
                f"{newest} lies {-age:.0f} s in the future, at most {freshness.max_future:.0f} s are allowed:"
                " check the clocks"
            )
        return f"{newest} is {age:.0f} s old"


def _copy_live(path: Path, target: Path, timeout: float, limit: TimeLimit) -> str:
    """Copies a database that may be in use, and returns its journal mode."""
    with opened(path, timeout, limit=limit) as connection:
        require_space(target.parent, pragma(connection, "page_size") * pragma(connection, "page_count"))
        journal_mode = str(pragma(connection, "journal_mode"))
        copy_online(connection, target, timeout)
    return journal_mode


def _moment(value: Any, freshness: Freshness) -> datetime:
    """The time that a column's value means, UTC; CheckFailed when it means none."""
    try:
        if freshness.unit == "iso":
            moment = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
            return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
        return datetime.fromtimestamp(value / TIME_UNITS[freshness.unit], timezone.utc)
    except (ValueError, TypeError, AttributeError, OverflowError, OSError):
        raise CheckFailed(
            f"the newest {freshness.column} of {freshness.table} is {value!r:.60}, no time of unit {freshness.unit}"
        ) from None
