# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small steps in which SQLite databases are read, copied and judged: what verification is built from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .content import FileProblem, program

IGNORED_TABLES = ("_litestream_%", "sqlite_%")
SIDECARS = ("-wal", "-shm", "-journal")

_BUSY = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
_PROBLEMS_SHOWN = 20
_STEPS_BETWEEN_LOOKS = 100_000
_HASH = re.compile(r"(\d+)\|([0-9a-f]{64})")


class DatabaseFileError(FileProblem):
    """A database cannot be used, for one of the kinds that :class:`FileProblem` knows."""


class TimeLimit:
    """How long something may take; `seconds` None is without end. Raises FileProblem (unusable) when time is up."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds left, None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def over(self) -> bool:
        return self.left == 0.0

    def look(self) -> None:
        if self.over():
            raise self.reached()

    def reached(self) -> FileProblem:
        return FileProblem("unusable", f"the time limit of {self.seconds:g} s was reached")


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
    if "interrupted" in text:
        return DatabaseFileError("unusable", f"the time limit was reached while {path} was read")
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
def opened(
    path: Path, timeout: float = 10.0, scratch: bool = False, limit: TimeLimit | None = None
) -> Iterator[sqlite3.Connection]:
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
        if limit is not None and limit.seconds is not None:
            connection.set_progress_handler(limit.over, _STEPS_BETWEEN_LOOKS)
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


def row_query(table: str, upto: int | None = None) -> str:
    """The query whose answer is hashed for a table: all rows in the order of its own tree, or those up to a rowid.

    NOT INDEXED: the order is that of the rows, not of an index that happens to hold all columns.
    """
    return f"SELECT * FROM {quoted(table)} NOT INDEXED" + ("" if upto is None else f" WHERE rowid <= {upto}")  # noqa: S608 - quoted


def hash_queries(path: Path, queries: Mapping[str, str], limit: TimeLimit | None = None) -> dict[str, str]:
    """The SHA3-256 hex of what each query answers, by the query's key: every value of every row, with its type.

    Equal for every faithful copy, however its pages are laid out. It is what `sqlite3 FILE "SELECT
    lower(hex(sha3_query('...', 256)))"` prints: that program does the work, five times as fast as Python could, and
    anybody can repeat it. The definition is at the head of https://sqlite.org/src/file/ext/misc/shathree.c. A page that
    cannot be read just ends it: :func:`check_structure` tells of those.
    Use on copies that nobody writes. Raises DatabaseFileError.
    """
    keys = list(queries)
    script = "".join(
        f"SELECT {number}, lower(hex(sha3_query({_literal(queries[key])}, 256)));\n" for number, key in enumerate(keys)
    )
    command = [program("sqlite3"), "-batch", "-noheader", "-list", "-separator", "|", "-init", os.devnull]
    command += ["-mmap", str(path.stat().st_size), "-cmd", "PRAGMA query_only=1", "-cmd", "PRAGMA cell_size_check=1"]
    command.append(str(path.absolute()))
    try:
        done = subprocess.run(
            command,
            input=script,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=limit.left if limit else None,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise (limit or TimeLimit()).reached() from None
    found = {keys[int(number)]: digest for number, digest in _HASH.findall(done.stdout)}
    missing = [key for key in keys if key not in found]
    if missing:
        said = "; ".join(line.strip() for line in done.stderr.splitlines()) or f"sqlite3 ended with {done.returncode}"
        if "out of memory" in said or done.returncode < 0:
            raise DatabaseFileError("unusable", f"{path} could not be read by the program sqlite3: {said}")
        raise DatabaseFileError("damaged", f"rows of {', '.join(missing)} cannot be read ({said})")
    return found


def hash_tables(path: Path, tables: Iterable[str], limit: TimeLimit | None = None) -> dict[str, str]:
    """The hash of all rows of each table, by :func:`hash_queries`."""
    return hash_queries(path, {table: row_query(table) for table in tables}, limit)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


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
