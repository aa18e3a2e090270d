# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a SQLite database forward through numbered SQL files, `0001_initial.sql`, `0002_...`.

Every migration is one transaction, together with its row in `schema_migrations` and the database's `user_version`. All
pending ones are first applied to a scratch copy of the real data, so a broken one is found before anything is touched;
then a verified snapshot is taken; then they are applied. There is no way back but that snapshot: migrations go forward.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .content import FileProblem, require_space
from .manifest import BackupError
from .sqlite_read import (
    SIDECARS,
    check_foreign_keys,
    copy_online,
    opened,
    pragma,
    problem_of,
    quoted,
    table_names,
)
from .sqlite_snapshot import snapshot

TABLE = "schema_migrations"

_NAME = re.compile(r"(?P<version>\d{4})_[a-z0-9][a-z0-9_]*\.sql")
_BLANK = re.compile(r"(?:[\s\ufeff]|--[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_OURS = ("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM")
_STATEMENT_SHOWN = 200
WAL = "wal"
# How a module is given them; load_migrations() takes (name, content) of each.
MIGRATIONS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {"name": {"type": "str", "required": True}, "content": {"type": "str", "required": True}},
}


class MigrationError(Exception):
    """A migration was refused or broke; the message names it and says what is true of the database now.

    `applied` names the migrations that this run did commit before, `snapshot` the file to go back to, if one was made.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.applied: list[str] = []
        self.snapshot: str | None = None


@dataclass(frozen=True)
class Statement:
    """One SQL statement and the line of its file on which it begins (from 1)."""

    line: int
    sql: str


@dataclass(frozen=True)
class Migration:
    """One numbered file. `checksum` is the SHA-256 hex of its content, ending in exactly one newline."""

    version: int
    name: str
    checksum: str
    statements: list[Statement]


@dataclass(frozen=True)
class Ownership:
    """Who owns the database and its sidecars, as numbers, and the mode of both; None leaves that as it is."""

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


@dataclass
class MigrationResult:
    """What a run did or, when checking, would do. The versions are numbers of migrations, 0 for an empty database."""

    version_before: int
    version_after: int
    names_before: list[str]
    applied: list[str] = field(default_factory=list)
    created: bool = False
    ownership_changed: list[str] = field(default_factory=list)
    journal_mode_before: str = WAL
    snapshot: str | None = None

    @property
    def changed(self) -> bool:
        return bool(self.applied or self.ownership_changed or self.journal_mode_before != WAL)


@dataclass(frozen=True)
class _Applied:
    """A row of `schema_migrations`."""

    name: str
    checksum: str
    applied_at: str


@dataclass(frozen=True)
class _State:
    """What a database says of itself; `tables` are those that hold data, without `schema_migrations`."""

    exists: bool = False
    journal_mode: str = WAL
    user_version: int = 0
    tables: list[str] = field(default_factory=list)
    applied: dict[int, _Applied] = field(default_factory=dict)


# --- The files --------------------------------------------------------------------------------------------------------


def load_migrations(files: Iterable[tuple[str, str]]) -> list[Migration]:
    """Migrations of (file name, content) pairs, in order; MigrationError when they are not 0001, 0002, ... without gap.

    The content must be plain statements: transactions, ATTACH, VACUUM and PRAGMAs but application_id are refused.
    """
    migrations: list[Migration] = []
    for name, content in sorted(files):
        match = _NAME.fullmatch(name)
        if match is None:
            raise MigrationError(f"the migration {name!r} must be named like 0001_initial.sql")
        version, wanted = int(match["version"]), len(migrations) + 1
        if migrations and version == migrations[-1].version:
            raise MigrationError(f"the migrations {migrations[-1].name} and {name} have the same number")
        if version != wanted:
            raise MigrationError(f"the migration with number {wanted:04} is missing: the next file is {name}")
        if "\0" in content:
            raise MigrationError(f"the migration {name} holds a NUL character: save it as UTF-8 text")
        text = content.replace("\r\n", "\n").rstrip() + "\n"
        checksum = hashlib.sha256(text.encode()).hexdigest()
        migrations.append(Migration(version, name, checksum, list(_statements(name, text))))
        if not migrations[-1].statements:
            raise MigrationError(f"the migration {name} has no statements")
    if not migrations:
        raise MigrationError("there are no migrations")
    return migrations


def _statements(name: str, text: str) -> Iterator[Statement]:
    """The statements of a file, each checked to be one that may run inside our transaction."""
    start = _skip_blank(text, 0)
    while start < len(text):
        line = text.count("\n", 0, start) + 1
        end = text.find(";", start) + 1
        while end and not sqlite3.complete_statement(text[start:end]):
            end = text.find(";", end) + 1
        if not end:
            raise MigrationError(
                f"{name}, line {line}: the statement that begins here has no end:"
                " a ';', a closing quote or END; is missing"
            )
        statement = Statement(line, text[start:end])
        if statement.sql != ";":
            _refuse_ours(name, statement)
            yield statement
        start = _skip_blank(text, end)


def _skip_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _refuse_ours(name: str, statement: Statement) -> None:
    word = re.split(r"\W", statement.sql, maxsplit=1)[0].upper()
    if word in _OURS:
        raise MigrationError(
            f"{name}, line {statement.line}: {word} is not allowed: every migration is run as one transaction already"
        )
    setting = re.split(r"[\s=(;]", statement.sql[_skip_blank(statement.sql, len(word)) :], maxsplit=1)[0]
    if word == "PRAGMA" and setting.lower() != "application_id":
        raise MigrationError(
            f"{name}, line {statement.line}: PRAGMA {setting} is not allowed:"
            " it has no effect inside a transaction, or it belongs to this module"
        )


# --- Migrating --------------------------------------------------------------------------------------------------------


def migrate(
    path: Path,
    migrations: Sequence[Migration],
    *,
    snapshot_directory: Path,
    ownership: Ownership = Ownership(),
    check: bool = False,
    stack: str | None = None,
    scratch_directory: Path | None = None,
    timeout: float = 10.0,
) -> MigrationResult:
    """Applies the migrations that the database `path` does not have yet; creates it when it is missing, in WAL mode.

    With `check` nothing is changed, but the pending migrations are still tried on a scratch copy (in
    `scratch_directory`, default: the system's). A database with tables is snapshotted to `snapshot_directory` first.
    The parent directory must exist. `timeout` is the wait for another writer in seconds. Raises MigrationError; a
    migration that breaks leaves the database as it was before that migration, and `applied` of the error names those
    of this run that had been committed.
    """
    try:
        state = _read_state(path, timeout)
        pending = _pending(path, state, migrations)
        result = MigrationResult(
            version_before=state.user_version,
            version_after=pending[-1].version if pending else state.user_version,
            names_before=[row.name for row in state.applied.values()],
            applied=[migration.name for migration in pending],
            created=not state.exists,
            ownership_changed=_wrongly_owned(path, ownership),
            journal_mode_before=state.journal_mode if state.tables else WAL,
        )
        if pending:
            _rehearse(path, state, pending, scratch_directory, timeout)
        if check:
            return result
        for wrong in result.ownership_changed:
            _own(wrong, ownership)
        if result.journal_mode_before != WAL:
            # A snapshot that was put back is not: every reader would then keep the writer waiting.
            with _writable(path, timeout) as connection:
                _switch_to_wal(connection, path)
        if pending and state.tables:
            result.snapshot = _snapshot(path, snapshot_directory, state, stack, timeout)
        if pending:
            _apply_all(path, state, pending, ownership, result.snapshot, timeout)
        return result
    except FileProblem as error:
        raise MigrationError(f"{error}; no migration was applied") from error
    except OSError as error:
        raise MigrationError(
            f"{error.filename or path}: {error.strerror or error}; no migration was applied"
        ) from error


def _read_state(path: Path, timeout: float) -> _State:
    log = Path(f"{path}-wal")
    if log.exists() and (not path.exists() or path.stat().st_size == 0):
        raise MigrationError(
            f"{path} is {'empty' if path.exists() else 'missing'}, but {log} of a lost database is there, and SQLite"
            " would delete it: put that database back; for a snapshot or a new database, move the file away first"
        )
    if not path.exists():
        return _State()
    with opened(path, timeout) as connection:
        tables = table_names(connection)
        applied = {}
        if TABLE in tables:
            tables.remove(TABLE)
            query = f"SELECT version, name, checksum, applied_at FROM {TABLE} ORDER BY version"  # noqa: S608 - ours
            applied = {version: _Applied(*row) for version, *row in connection.execute(query)}
        return _State(True, pragma(connection, "journal_mode"), pragma(connection, "user_version"), tables, applied)


def _pending(path: Path, state: _State, migrations: Sequence[Migration]) -> list[Migration]:
    """The migrations to apply; MigrationError when the database's past is not the one that the files tell."""
    newest = max(state.applied, default=0)
    if not state.applied and (state.tables or state.user_version):
        raise MigrationError(
            f"{path} was not made by migrations: it has no row in {TABLE} but user_version {state.user_version} and"
            f" {len(state.tables)} tables ({', '.join(state.tables)}); is it the right database?"
        )
    if list(state.applied) != list(range(1, newest + 1)) or state.user_version != newest:
        raise MigrationError(
            f"{path} contradicts itself: {TABLE} has {', '.join(map(str, state.applied))} and user_version is"
            f" {state.user_version}; somebody has changed them by hand; restore a snapshot"
        )
    if newest > len(migrations):
        raise MigrationError(
            f"{path} is at schema version {newest} ({state.applied[newest].name}), the newest migration here is"
            f" {migrations[-1].name}: migrations only go forward; deploy a release that has it,"
            " or restore a snapshot made before it"
        )
    for migration in migrations[:newest]:
        row = state.applied[migration.version]
        if row.checksum != migration.checksum:
            raise MigrationError(
                f"the migration {migration.name} is not the one that was applied to {path} as {row.name} on"
                f" {row.applied_at}: its checksum is {migration.checksum}, it was {row.checksum};"
                " restore the file and put the change into a new migration"
            )
    return list(migrations[newest:])


def _rehearse(
    path: Path, state: _State, pending: Sequence[Migration], scratch_directory: Path | None, timeout: float
) -> None:
    """Applies the pending migrations to a scratch copy; MigrationError when one breaks there."""
    with tempfile.TemporaryDirectory(prefix="ballast-migrate-", dir=scratch_directory) as folder:
        scratch = Path(folder) / "rehearsal.db"
        if state.exists:
            with opened(path, timeout) as source:
                require_space(scratch.parent, 2 * pragma(source, "page_size") * pragma(source, "page_count"))
                copy_online(source, scratch, timeout)
        else:
            scratch.touch()
        with _writable(scratch, timeout) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            try:
                for migration in pending:
                    _apply(connection, migration)
            except MigrationError as error:
                raise MigrationError(f"{error}; found on a scratch copy: {path} was not touched") from error


def _snapshot(path: Path, directory: Path, state: _State, stack: str | None, timeout: float) -> str:
    name = f"{path.stem}-before-{state.user_version + 1:04}"
    compress = shutil.which("zstd") is not None
    try:
        taken = snapshot(path, directory, name=name, stack=stack, compress=compress, timeout=timeout)
    except BackupError as error:
        raise MigrationError(f"{error}; no migration was applied") from error
    return str(taken.path)


def _apply_all(
    path: Path,
    state: _State,
    pending: Sequence[Migration],
    ownership: Ownership,
    snapshot_path: str | None,
    timeout: float,
) -> None:
    applied: list[str] = []
    try:
        if not state.exists:
            _create(path, ownership)
        with _writable(path, timeout) as connection:
            if not state.tables:
                _switch_to_wal(connection, path)
            for migration in pending:
                _apply(connection, migration)
                applied.append(migration.name)
    except (MigrationError, FileProblem) as error:
        done = f"applied before: {', '.join(applied)}" if applied else "no migration was applied"
        failure = MigrationError(f"{error}; {done}" + (f"; snapshot: {snapshot_path}" if snapshot_path else ""))
        failure.applied, failure.snapshot = applied, snapshot_path
        raise failure from error


def _switch_to_wal(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != WAL:
        raise MigrationError(f"{path} cannot be in WAL mode, only {mode}: is it on a network file system?")


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    """One migration in one transaction; MigrationError when it breaks, and then nothing of it remains."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = pragma(connection, "user_version")
        if version != migration.version - 1:
            raise MigrationError(
                f"another migration has brought the database to version {version} meanwhile: run again"
            )
        for statement in migration.statements:
            try:
                connection.execute(statement.sql).fetchall()
            except sqlite3.Error as error:  # noqa: PERF203 - the error must name its statement
                shown = " ".join(statement.sql.rstrip(";").split())[:_STATEMENT_SHOWN]
                raise MigrationError(f"{migration.name}, line {statement.line}: {error}, in: {shown}") from error
        try:
            orphans = check_foreign_keys(connection)
        except sqlite3.Error as error:  # a foreign key that fits no key of its parent
            raise MigrationError(f"{migration.name}: {error}") from error
        if orphans:
            raise MigrationError(f"{migration.name} leaves rows without their parent: {'; '.join(orphans)}")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {TABLE} (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
            " checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
        )
        applied_at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        connection.execute(
            f"INSERT INTO {TABLE} VALUES (?, ?, ?, ?)",  # noqa: S608 - ours
            (migration.version, migration.name, migration.checksum, applied_at),
        )
        dangling = _dangling_references(connection)
        if dangling:
            raise MigrationError(f"{migration.name} leaves references to what does not exist: {'; '.join(dangling)}")
        connection.execute(f"PRAGMA user_version={migration.version}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _dangling_references(connection: sqlite3.Connection) -> list[str]:
    """What the schema refers to and does not have. SQLite itself complains only when a program writes the first row."""
    found = [
        f"table {child} refers to table {parent}"
        for child, parent in connection.execute(
            'SELECT child.name, key."table" FROM sqlite_master AS child, pragma_foreign_key_list(child.name) AS key'
            " WHERE child.type = 'table' AND NOT EXISTS"
            " (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = key.\"table\" COLLATE NOCASE)"
        )
    ]
    # Explaining a statement compiles it with every trigger that it would fire, and runs nothing.
    views = connection.execute("SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name")
    statements = [f"SELECT * FROM {quoted(view)}" for (view,) in views]  # noqa: S608 - quoted
    for table in map(quoted, table_names(connection)):
        columns = [quoted(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
        changes = ", ".join(f"{column} = {column}" for column in columns)
        statements += [
            f"INSERT INTO {table} DEFAULT VALUES",
            f"UPDATE {table} SET {changes}",  # noqa: S608 - quoted
            f"DELETE FROM {table}",  # noqa: S608 - quoted
        ]
    for statement in statements:
        try:
            connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        except sqlite3.Error as error:  # noqa: PERF203 - the error must name its statement
            found.append(f"{error}, in: {statement}")
    return found


@contextlib.contextmanager
def _writable(path: Path, timeout: float) -> Iterator[sqlite3.Connection]:
    """A connection that changes the schema; DatabaseFileError for every other error of SQLite inside the block.

    Foreign keys are not enforced while a table is rebuilt (https://sqlite.org/lang_altertable.html): they are checked
    as a whole before each commit. The files that SQLite makes beside the database get its owner and mode, also by root.
    """
    connection = None
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
        connection.execute("PRAGMA foreign_keys=OFF")
        yield connection
    except sqlite3.Error as error:
        raise problem_of(error, path) from error
    finally:
        if connection is not None:
            connection.close()


# --- Ownership --------------------------------------------------------------------------------------------------------


def _create(path: Path, ownership: Ownership) -> None:
    """An empty file of the right owner before SQLite sees it: so its sidecars are right from the first moment."""
    if not path.parent.is_dir():
        raise MigrationError(f"the directory {path.parent} of the database does not exist: create it first")
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    _own(str(path), ownership)


def _own(path: str, ownership: Ownership) -> None:
    os.chown(path, -1 if ownership.uid is None else ownership.uid, -1 if ownership.gid is None else ownership.gid)
    if ownership.mode is not None:
        Path(path).chmod(ownership.mode)


def _wrongly_owned(path: Path, ownership: Ownership) -> list[str]:
    """Which of the database and its sidecars have another owner, group or mode than wanted."""
    wrong = []
    for suffix in ("", *SIDECARS):
        with contextlib.suppress(FileNotFoundError):
            status = Path(f"{path}{suffix}").stat()
            seen = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
            wanted = (ownership.uid, ownership.gid, ownership.mode)
            if any(value is not None and value != found for value, found in zip(wanted, seen)):
                wrong.append(f"{path}{suffix}")
    return wrong
