# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations: applied once and in order, or not at all."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import sqlite_migrate
from ansible_collections.ballast.trading.plugins.module_utils.manifest import list_backups
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_migrate import (
    Migration,
    MigrationError,
    MigrationResult,
    Ownership,
    load_migrations,
    migrate,
)
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import verify
from tests.unit.plugins.sqlite_samples import connected, holding, name_of, only, other_process

ROOT = Path(__file__).parents[4]
ENGINE = 10001
FIRST = (
    "0001_initial.sql",
    """-- The first; with a semicolon; in a comment.
CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT NOT NULL DEFAULT 'a;b' CHECK (note <> ';'));
/* Another; of
   two lines. */
CREATE TABLE fills (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id));;
CREATE TRIGGER fills_stay BEFORE DELETE ON fills
BEGIN
    SELECT RAISE(ABORT, 'fills; stay');
    SELECT 1;
END;
INSERT INTO orders (note) VALUES ('one'), ('two');
INSERT INTO fills (order_id) VALUES (1)
""".rstrip()
    + ";\n",
)
SECOND = ("0002_price.sql", "ALTER TABLE orders ADD COLUMN price REAL;\nUPDATE orders SET price = 1.5;\n")
THIRD = ("0003_index.sql", "CREATE INDEX orders_price ON orders (price);\n")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "trades.db"


@pytest.fixture(autouse=True)
def directories(database: Path, tmp_path: Path) -> None:
    database.parent.mkdir()
    (tmp_path / "backups").mkdir()


def run(database: Path, *files: tuple[str, str], **options: Any) -> MigrationResult:
    return migrate(database, load_migrations(files), snapshot_directory=database.parents[1] / "backups", **options)


def refused(database: Path, *files: tuple[str, str], **options: Any) -> str:
    with pytest.raises(MigrationError) as caught:
        run(database, *files, **options)
    return str(caught.value)


def query(database: Path, statement: str) -> list[Any]:
    with connected(database) as connection:
        return connection.execute(statement).fetchall()


def content(database: Path) -> dict[str, Any] | None:
    """Every row and the schema of a database, to show that nothing has changed; None when there is none."""
    if not database.exists():
        return None
    result = verify(database, mode="deep", live=True)
    return {"schema": result.schema_sha256, "version": result.user_version, "tables": result.tables}


def files_of(database: Path) -> list[str]:
    return sorted(path.name for path in database.parent.iterdir())


# --- Applying ---------------------------------------------------------------------------------------------------------


def test_a_missing_database_is_created_in_wal_mode_with_all_migrations(database: Path) -> None:
    before = datetime.now(UTC)
    result = run(database, SECOND, FIRST)
    assert result == MigrationResult(0, 2, [], applied=["0001_initial.sql", "0002_price.sql"], created=True)
    assert result.changed
    assert query(database, "PRAGMA journal_mode") == [("wal",)]
    assert query(database, "PRAGMA user_version") == [(2,)]
    assert query(database, "SELECT id, note, price FROM orders") == [(1, "one", 1.5), (2, "two", 1.5)]
    rows = query(database, "SELECT version, name, checksum, applied_at FROM schema_migrations")
    assert [row[:3] for row in rows] == [
        (1, FIRST[0], hashlib.sha256(FIRST[1].encode()).hexdigest()),
        (2, SECOND[0], hashlib.sha256(SECOND[1].encode()).hexdigest()),
    ]
    assert before.isoformat()[:19] <= rows[0][3][:19] <= datetime.now(UTC).isoformat()[:19]
    assert len(rows[0][3]) == len("2026-11-22T20:45:01.123Z")
    assert files_of(database) == ["trades.db"]


def test_the_first_real_migration_applies(database: Path) -> None:
    path = ROOT / "roles/ledger/files/migrations/0001_initial.sql"
    run(database, (path.name, path.read_text(encoding="utf-8")))
    assert query(database, "SELECT checksum FROM schema_migrations") == [
        (hashlib.sha256(path.read_bytes()).hexdigest(),)
    ]
    assert verify(database, live=True, schema_version=1, tables=["orders", "events"]).problems == []


def test_an_empty_file_is_taken_for_a_new_database(database: Path) -> None:
    database.touch()
    result = run(database, FIRST)
    assert (result.created, result.version_before, result.snapshot) == (False, 0, None)
    assert query(database, "PRAGMA journal_mode") == [("wal",)]


def test_a_second_run_changes_nothing(database: Path, tmp_path: Path) -> None:
    run(database, FIRST, SECOND)
    before = database.read_bytes()
    result = run(database, FIRST, SECOND)
    assert result == MigrationResult(2, 2, ["0001_initial.sql", "0002_price.sql"])
    assert not result.changed
    assert database.read_bytes() == before
    assert list((tmp_path / "backups").iterdir()) == []


def test_only_the_missing_migrations_are_applied_after_a_verified_snapshot(database: Path, tmp_path: Path) -> None:
    run(database, FIRST)
    before = content(database)
    result = run(database, FIRST, SECOND, THIRD, stack="dev-main")
    assert result.applied == ["0002_price.sql", "0003_index.sql"]
    assert (result.version_before, result.version_after, result.created) == (1, 3, False)
    [taken] = list_backups(tmp_path / "backups")
    assert result.snapshot == str(taken.path)
    assert taken.path.name.endswith("Z-trades-before-0002.db.zst")
    assert taken.manifest["stack"] == "dev-main"
    copy = verify(taken.path, mode="deep", manifest=taken.manifest_path)
    assert copy.problems == []
    assert {"schema": copy.schema_sha256, "version": copy.user_version, "tables": copy.tables} == before


def test_the_snapshot_is_plain_where_zstd_is_missing(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(database, FIRST)
    only(monkeypatch, "sqlite3")
    assert str(run(database, FIRST, SECOND).snapshot).endswith("-trades-before-0002.db")


def test_white_space_at_the_end_and_line_ends_do_not_change_a_checksum(database: Path) -> None:
    """Ansible's file lookup drops the last newline, and an editor may add one."""
    run(database, FIRST)
    name, text = FIRST
    for variant in (text.rstrip(), text + "\n\n", text.replace("\n", "\r\n")):
        assert not run(database, (name, variant)).changed


def test_a_renamed_migration_is_the_same_migration(database: Path) -> None:
    run(database, FIRST)
    assert not run(database, ("0001_start.sql", FIRST[1])).changed


def test_a_table_with_children_can_be_rebuilt(database: Path) -> None:
    """Foreign keys are not enforced meanwhile: dropping the old table must not touch the rows that refer to it."""
    run(database, FIRST)
    rebuild = """
        CREATE TABLE orders_new (id INTEGER PRIMARY KEY, note TEXT NOT NULL, side TEXT NOT NULL);
        INSERT INTO orders_new SELECT id, note, 'BUY' FROM orders;
        DROP TABLE orders;
        ALTER TABLE orders_new RENAME TO orders;
    """
    run(database, FIRST, ("0002_side.sql", rebuild))
    assert query(database, "SELECT * FROM orders") == [(1, "one", "BUY"), (2, "two", "BUY")]
    assert query(database, "SELECT order_id FROM fills") == [(1,)]
    assert query(database, "PRAGMA foreign_key_list(fills)")[0][2:5] == ("orders", "order_id", "id")


def test_a_database_in_use_is_migrated_under_its_readers_and_writers(database: Path) -> None:
    run(database, FIRST)
    with connected(database) as engine:
        engine.execute("INSERT INTO orders (note) VALUES ('before')")
        with other_process(holding(database, "BEGIN", "SELECT * FROM orders")):
            assert run(database, FIRST, SECOND).applied == ["0002_price.sql"]
        engine.execute("INSERT INTO orders (note, price) VALUES ('after', 2)")
        assert engine.execute("SELECT note, price FROM orders WHERE id > 2").fetchall() == [
            ("before", 1.5),
            ("after", 2.0),
        ]


# --- Check mode -------------------------------------------------------------------------------------------------------


def test_checking_tells_what_would_be_done_and_does_nothing(database: Path, tmp_path: Path) -> None:
    assert run(database, FIRST, check=True) == MigrationResult(0, 1, [], applied=["0001_initial.sql"], created=True)
    assert files_of(database) == []
    run(database, FIRST)
    before = database.read_bytes()
    result = run(database, FIRST, SECOND, check=True)
    assert result == MigrationResult(1, 2, ["0001_initial.sql"], applied=["0002_price.sql"])
    assert database.read_bytes() == before
    assert files_of(database) == ["trades.db"]
    assert list((tmp_path / "backups").iterdir()) == []


def test_checking_works_before_the_directories_exist(tmp_path: Path) -> None:
    result = migrate(tmp_path / "no/t.db", load_migrations([FIRST]), snapshot_directory=tmp_path / "none", check=True)
    assert result.applied == ["0001_initial.sql"]


# --- Broken migrations ------------------------------------------------------------------------------------------------

BROKEN = [
    (
        "CREATE TABLE more (id);\n\nINSERT INTO absent VALUES (1);",
        "line 3: no such table: absent, in: INSERT INTO absent VALUES (1)",
    ),
    (
        "CREATE TABL more (id);",
        'line 1: near "TABL": syntax error, in: CREATE TABL more (id)',
    ),
    (
        "-- why\nUPDATE orders\n   SET note = ';';",
        "line 2: CHECK constraint failed: note <> ';', in: UPDATE orders SET note = ';'",
    ),
    (
        "DELETE FROM fills;",
        "line 1: fills; stay, in: DELETE FROM fills",
    ),
    (
        "CREATE TABLE more (id); CREATE TABLE more (id);",
        "line 1: table more already exists, in: CREATE TABLE more (id)",
    ),
    (
        "INSERT OR ROLLBACK INTO orders (id) VALUES (1);",
        "line 1: UNIQUE constraint failed: orders.id, in: INSERT OR ROLLBACK INTO orders (id) VALUES (1)",
    ),
]


@pytest.mark.parametrize(("text", "reason"), BROKEN)
@pytest.mark.parametrize("check", [True, False], ids=["check", "apply"])
def test_a_broken_migration_is_found_before_anything_is_touched(
    database: Path, tmp_path: Path, text: str, reason: str, check: bool
) -> None:
    run(database, FIRST)
    before = content(database)
    error = refused(database, FIRST, SECOND, ("0003_broken.sql", text), check=check)
    assert error == f"0003_broken.sql, {reason}; found on a scratch copy: {database} was not touched"
    assert content(database) == before
    assert list((tmp_path / "backups").iterdir()) == []


@pytest.mark.parametrize("check", [True, False], ids=["check", "apply"])
def test_a_broken_first_migration_creates_no_database(database: Path, check: bool) -> None:
    refused(database, ("0001_broken.sql", "CREATE TABLE a (id); CREATE TABLE a (id);"), check=check)
    assert files_of(database) == []


@pytest.mark.parametrize(("text", "reason"), BROKEN)
def test_what_breaks_only_on_the_real_database_leaves_nothing_of_itself(
    database: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    """The scratch copy may differ, as when a row is written meanwhile: one transaction each still holds."""
    run(database, FIRST)
    monkeypatch.setattr(sqlite_migrate, "_rehearse", lambda *_arguments: None)
    with pytest.raises(MigrationError) as caught:
        run(database, FIRST, SECOND, ("0003_broken.sql", text))
    snapshot = caught.value.snapshot
    assert str(caught.value) == f"0003_broken.sql, {reason}; applied before: 0002_price.sql; snapshot: {snapshot}"
    assert caught.value.applied == ["0002_price.sql"]
    assert query(database, "PRAGMA user_version") == [(2,)]
    assert query(database, "SELECT name FROM schema_migrations ORDER BY version") == [(FIRST[0],), (SECOND[0],)]
    assert query(database, "SELECT name FROM sqlite_master WHERE name = 'more'") == []
    assert query(database, "SELECT id, note FROM orders") == [(1, "one"), (2, "two")]
    assert run(database, FIRST, SECOND, THIRD).applied == ["0003_index.sql"]


def test_rows_left_without_their_parent_are_refused(database: Path) -> None:
    run(database, FIRST)
    before = content(database)
    assert refused(database, FIRST, ("0002_x.sql", "DELETE FROM orders WHERE id = 1;")) == (
        "0002_x.sql leaves rows without their parent: fills: row 1 has no parent in orders;"
        f" found on a scratch copy: {database} was not touched"
    )
    assert content(database) == before


def test_a_foreign_key_that_fits_no_key_of_its_parent_is_refused_and_its_migration_named(database: Path) -> None:
    run(database, FIRST)
    child = "CREATE TABLE notes (note TEXT REFERENCES orders (note));"
    assert refused(database, FIRST, ("0002_x.sql", child)) == (
        '0002_x.sql: foreign key mismatch - "notes" referencing "orders";'
        f" found on a scratch copy: {database} was not touched"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "CREATE TABLE notes (order_id INTEGER REFERENCES ordres (id));",
            "table notes refers to table ordres",
        ),
        (
            "CREATE TRIGGER orders_kept AFTER DELETE ON orders BEGIN INSERT INTO audit VALUES (OLD.id); END;",
            'no such table: main.audit, in: DELETE FROM "orders"',
        ),
        (
            "CREATE TRIGGER orders_kept AFTER UPDATE OF note ON orders BEGIN UPDATE fills SET price = NEW.id; END;",
            'no such column: price, in: UPDATE "orders" SET "id" = "id", "note" = "note"',
        ),
        (
            "CREATE TRIGGER orders_kept AFTER INSERT ON orders WHEN NEW.status = 1 BEGIN SELECT 1; END;",
            'no such column: NEW.status, in: INSERT INTO "orders" DEFAULT VALUES',
        ),
        (
            "CREATE VIEW open_orders AS SELECT id FROM orders WHERE status = 1;",
            'no such column: status, in: SELECT * FROM "open_orders"',
        ),
    ],
)
def test_references_to_what_does_not_exist_are_refused(database: Path, text: str, reason: str) -> None:
    """SQLite accepts them, and then the engine's next write fails."""
    run(database, FIRST)
    before = content(database)
    assert refused(database, FIRST, ("0002_x.sql", text)) == (
        f"0002_x.sql leaves references to what does not exist: {reason};"
        f" found on a scratch copy: {database} was not touched"
    )
    assert content(database) == before


def test_tables_of_every_kind_pass_as_they_are(database: Path) -> None:
    text = """
        CREATE TABLE "a ""b" (id INTEGER PRIMARY KEY AUTOINCREMENT, up REFERENCES "A ""B", o REFERENCES ORDERS);
        CREATE TABLE sums (a TEXT PRIMARY KEY, b REAL AS (a || 'x') STORED) WITHOUT ROWID;
        CREATE VIEW all_sums AS SELECT * FROM sums;
        CREATE TRIGGER all_sums_insert INSTEAD OF INSERT ON all_sums BEGIN SELECT RAISE(ABORT, 'never'); END;
        CREATE VIRTUAL TABLE words USING fts5 (word);
    """
    run(database, FIRST, ("0002_x.sql", text))
    assert query(database, "SELECT count(*) FROM orders") == [(2,)]


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ([], "there are no migrations"),
        ([("1_a.sql", "")], "the migration '1_a.sql' must be named like 0001_initial.sql"),
        ([("migrations/0001_a.sql", "")], "the migration 'migrations/0001_a.sql' must be named like 0001_initial.sql"),
        ([SECOND], "the migration with number 0001 is missing: the next file is 0002_price.sql"),
        ([FIRST, THIRD], "the migration with number 0002 is missing: the next file is 0003_index.sql"),
        ([("0000_zero.sql", "SELECT 1;")], "the migration with number 0001 is missing: the next file is 0000_zero.sql"),
        ([FIRST, ("0001_other.sql", "SELECT 1;")],
         "the migrations 0001_initial.sql and 0001_other.sql have the same number"),
        ([("0001_a.sql", "-- nothing;\n/* at all; */ ;")], "the migration 0001_a.sql has no statements"),
        ([("0001_a.sql", "SELECT 1;\n\nSELECT 2\n")],
         "0001_a.sql, line 3: the statement that begins here has no end: a ';', a closing quote or END; is missing"),
        ([("0001_a.sql", "SELECT 1;\nINSERT INTO a VALUES ('x);\n")],
         "0001_a.sql, line 2: the statement that begins here has no end: a ';', a closing quote or END; is missing"),
        ([("0001_a.sql", "CREATE TRIGGER a AFTER INSERT ON b BEGIN SELECT 1; SELECT 2;")],
         "0001_a.sql, line 1: the statement that begins here has no end: a ';', a closing quote or END; is missing"),
        ([("0001_a.sql", "SELECT 1; PRAGMA journal_mode=WAL;")],
         "0001_a.sql, line 1: PRAGMA journal_mode is not allowed: it has no effect inside a transaction, or it belongs"
         " to this module"),
        ([("0001_a.sql", "\npragma\n  user_version = 9;")],
         "0001_a.sql, line 2: PRAGMA user_version is not allowed: it has no effect inside a transaction, or it belongs"
         " to this module"),
        ([("0001_a.sql", "S\0E\0L\0")], "the migration 0001_a.sql holds a NUL character: save it as UTF-8 text"),
        ([("0001_a.sql", "\ufeffCOMMIT;")],
         "0001_a.sql, line 1: COMMIT is not allowed: every migration is run as one transaction already"),
        *(([("0001_a.sql", f"pragma{name} = 1;")],
           f"0001_a.sql, line 1: PRAGMA {name.split('/')[-1].strip()} is not allowed: it has no effect inside a"
           " transaction, or it belongs to this module")
          for name in ("/**/writable_schema", "/* application_id */user_version", ' "user_version"', "[user_version]")),
        *(([("0001_a.sql", f"SELECT 1;\n/* x */ {word.lower()} x;")],
           f"0001_a.sql, line 2: {word} is not allowed: every migration is run as one transaction already")
          for word in ("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM")),
    ],
)  # fmt: skip
def test_files_that_cannot_be_migrations_are_refused(files: list[tuple[str, str]], text: str) -> None:
    with pytest.raises(MigrationError) as caught:
        load_migrations(files)
    assert str(caught.value) == text


def test_statements_are_told_apart_with_their_lines() -> None:
    [migration] = load_migrations([FIRST])
    assert isinstance(migration, Migration)
    assert [(statement.line, statement.sql.split()[1]) for statement in migration.statements] == [
        (2, "TABLE"), (5, "TABLE"), (6, "TRIGGER"), (11, "INTO"), (12, "INTO"),
    ]  # fmt: skip


def test_the_application_id_may_be_set(database: Path) -> None:
    run(database, ("0001_a.sql", "PRAGMA application_id = 1000; CREATE TABLE a (id);"))
    assert query(database, "PRAGMA application_id") == [(1000,)]


# --- A past that does not fit -----------------------------------------------------------------------------------------


def test_an_edited_migration_is_refused(database: Path) -> None:
    run(database, FIRST, SECOND)
    [(applied_at, checksum)] = query(database, "SELECT applied_at, checksum FROM schema_migrations WHERE version = 2")
    edited = (SECOND[0], SECOND[1].replace("1.5", "2.5"))
    digest = hashlib.sha256(edited[1].encode()).hexdigest()
    assert refused(database, FIRST, edited, THIRD) == (
        f"the migration 0002_price.sql is not the one that was applied to {database} as 0002_price.sql on {applied_at}:"
        f" its checksum is {digest}, it was {checksum}; restore the file and put the change into a new migration"
    )


def test_a_downgrade_is_refused(database: Path) -> None:
    run(database, FIRST, SECOND)
    assert refused(database, FIRST) == (
        f"{database} is at schema version 2 (0002_price.sql), the newest migration here is 0001_initial.sql: migrations"
        " only go forward; deploy a release that has it, or restore a snapshot made before it"
    )


def test_a_database_of_somebody_else_is_refused(database: Path) -> None:
    with connected(database) as connection:
        connection.execute("CREATE TABLE notes (id)")
    assert refused(database, FIRST) == (
        f"{database} was not made by migrations: it has no row in schema_migrations but user_version 0 and 1 tables"
        " (notes); is it the right database?"
    )


@pytest.mark.parametrize(
    ("statement", "applied", "version"),
    [
        ("PRAGMA user_version = 7", "1, 2", 7),
        ("DELETE FROM schema_migrations WHERE version = 1", "2", 2),
        ("DELETE FROM schema_migrations WHERE version = 2", "1", 2),
    ],
)
def test_a_past_changed_by_hand_is_refused(database: Path, statement: str, applied: str, version: int) -> None:
    run(database, FIRST, SECOND)
    query(database, statement)
    assert refused(database, FIRST, SECOND, THIRD) == (
        f"{database} contradicts itself: schema_migrations has {applied} and user_version is {version};"
        " somebody has changed them by hand; restore a snapshot"
    )


# --- Trouble ----------------------------------------------------------------------------------------------------------


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "no" / "trades.db", FIRST) == (
        f"the directory {tmp_path}/no of the database does not exist: create it first; no migration was applied"
    )


@pytest.mark.parametrize("state", ["missing", "empty"])
@pytest.mark.parametrize("check", [True, False], ids=["check", "apply"])
def test_a_database_that_was_lost_is_not_replaced_by_an_empty_one(database: Path, state: str, check: bool) -> None:
    """What the -wal holds may be all that is left of the last trades."""
    run(database, FIRST)
    with other_process(holding(database, "INSERT INTO orders (note) VALUES ('last')")):
        pass
    database.unlink()
    if state == "empty":
        database.touch()
    before = Path(f"{database}-wal").read_bytes()
    assert refused(database, FIRST, check=check) == (
        f"{database} is {state}, but {database}-wal of a lost database is there, and SQLite would delete it: put that"
        " database back; for a snapshot or a new database, move the file away first"
    )
    assert Path(f"{database}-wal").read_bytes() == before


def test_a_file_that_is_no_database_is_refused(database: Path) -> None:
    database.write_text("<html>" * 999)
    text = f"{database} is not a SQLite database (file is not a database); no migration was applied"
    assert refused(database, FIRST) == text


def test_without_a_place_for_the_snapshot_nothing_is_applied(database: Path, tmp_path: Path) -> None:
    run(database, FIRST)
    (tmp_path / "backups").rmdir()
    text = f"the backup directory {tmp_path}/backups does not exist; no migration was applied"
    assert refused(database, FIRST, SECOND) == text
    assert query(database, "PRAGMA user_version") == [(1,)]


def test_a_writer_that_does_not_end_is_named(database: Path) -> None:
    run(database, FIRST)
    with other_process(holding(database, "BEGIN IMMEDIATE", "DELETE FROM orders WHERE id = 2")) as pid:
        error = refused(database, FIRST, SECOND, timeout=0.1)
        assert error.startswith(
            f"{database} is locked by another connection (database is locked); it is open in {name_of(pid)};"
            " no migration was applied; snapshot: "
        )
    assert query(database, "PRAGMA user_version") == [(1,)]


def test_a_migration_that_another_run_applied_meanwhile_is_not_applied_again(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(database, FIRST)
    rehearse = sqlite_migrate._rehearse

    def rehearse_and_be_overtaken(*arguments: Any) -> None:
        rehearse(*arguments)
        monkeypatch.setattr(sqlite_migrate, "_rehearse", rehearse)
        run(database, FIRST, SECOND)

    monkeypatch.setattr(sqlite_migrate, "_rehearse", rehearse_and_be_overtaken)
    error = refused(database, FIRST, SECOND)
    assert error.startswith(
        "another migration has brought the database to version 2 meanwhile: run again; no migration was applied"
    )
    assert query(database, "SELECT count(*) FROM schema_migrations") == [(2,)]


def test_a_file_made_by_another_run_meanwhile_is_left_alone(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_migrate, "_rehearse", lambda *_arguments: database.write_text("theirs"))
    assert refused(database, FIRST) == f"{database}: File exists; no migration was applied"
    assert database.read_text() == "theirs"


def test_a_killed_run_leaves_every_migration_whole_or_absent(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_migrate, "_rehearse", lambda *_arguments: None)
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
    insert = f"INSERT INTO orders (note) {numbers} SELECT 'x' FROM n;"  # noqa: S608 - ours
    files = [FIRST, *((f"000{number}_more.sql", insert) for number in range(2, 9))]
    chance = random.Random(20261122)  # noqa: S311 - repeatable on purpose
    versions = set()
    for _time in range(10):
        for path in database.parent.iterdir():
            path.unlink()
        child = os.fork()
        if child == 0:
            try:
                run(database, *files)
            finally:
                os._exit(0)
        kill_when_written(child, Path(f"{database}-wal"), chance.randrange(300_000))
        [(version,)] = query(database, "PRAGMA user_version")
        versions.add(version)
        if version:
            assert query(database, "SELECT count(*), max(version) FROM schema_migrations") == [(version, version)]
            assert query(database, "SELECT count(*) FROM orders") == [(2 + (version - 1) * 3000,)]
        assert run(database, *files).version_after == 8
        assert verify(database, live=True, schema_version=8).problems == []
    assert len(versions) >= 3, "the runs were not killed in their middle"


def kill_when_written(child: int, wal: Path, size: int) -> None:
    """Kills a child process as soon as its -wal has grown to a size, or waits for its end."""
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if wal.exists() and wal.stat().st_size >= size:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return


# --- Ownership --------------------------------------------------------------------------------------------------------


def owners(database: Path) -> dict[str, tuple[int, int, int]]:
    found = {path.name: path.stat() for path in database.parent.iterdir()}
    return {name: (status.st_uid, status.st_gid, status.st_mode & 0o777) for name, status in found.items()}


@pytest.fixture
def engine(database: Path) -> Ownership:
    os.chown(database.parent, ENGINE, ENGINE)
    for parent in (database.parent, *database.parents[1:4]):
        parent.chmod(0o755)
    return Ownership(ENGINE, ENGINE, 0o640)


@as_root
def test_a_new_database_belongs_to_the_engine(database: Path, engine: Ownership) -> None:
    run(database, FIRST, ownership=engine)
    assert owners(database) == {"trades.db": (ENGINE, ENGINE, 0o640)}


@as_root
def test_without_an_owner_a_new_database_is_ours_alone(database: Path) -> None:
    run(database, FIRST)
    assert owners(database) == {"trades.db": (0, 0, 0o600)}


@as_root
def test_files_that_sqlite_makes_for_root_belong_to_the_engine(database: Path, engine: Ownership) -> None:
    """Else the engine could not open its own ledger while, or after, root has looked at it."""

    def write_as_engine() -> sqlite3.Connection:
        os.setgid(ENGINE)
        os.setuid(ENGINE)
        return holding(database, "INSERT INTO orders (note) VALUES ('engine')")()

    run(database, FIRST, ownership=engine)
    with sqlite_migrate._writable(database, timeout=1) as connection:
        connection.execute("INSERT INTO orders (note) VALUES ('root')")
        assert owners(database) == dict.fromkeys(
            ["trades.db", "trades.db-shm", "trades.db-wal"], (ENGINE, ENGINE, 0o640)
        )
        with other_process(write_as_engine):
            connection.execute("INSERT INTO orders (note) VALUES ('root')")
    with other_process(write_as_engine):
        run(database, FIRST, SECOND, ownership=engine)
        assert owners(database) == dict.fromkeys(
            ["trades.db", "trades.db-shm", "trades.db-wal"], (ENGINE, ENGINE, 0o640)
        )


@as_root
@pytest.mark.parametrize("check", [True, False], ids=["check", "apply"])
def test_wrong_owners_of_the_database_and_its_sidecars_are_corrected(
    database: Path, engine: Ownership, check: bool
) -> None:
    run(database, FIRST)
    with other_process(holding(database, "INSERT INTO orders (note) VALUES ('x')")):
        before = owners(database)
        result = run(database, FIRST, ownership=engine, check=check)
        assert result.ownership_changed == [f"{database}", f"{database}-wal", f"{database}-shm"]
        assert (result.changed, result.applied) == (True, [])
        after = before if check else dict.fromkeys(before, (ENGINE, ENGINE, 0o640))
        assert owners(database) == after
        assert run(database, FIRST, ownership=engine).changed is check


@as_root
def test_an_owner_alone_leaves_group_and_mode(database: Path) -> None:
    run(database, FIRST)
    run(database, FIRST, ownership=Ownership(uid=ENGINE))
    assert owners(database) == {"trades.db": (ENGINE, 0, 0o600)}


@pytest.mark.parametrize("check", [True, False], ids=["check", "apply"])
def test_a_database_that_was_put_back_from_a_snapshot_is_in_wal_mode_again(database: Path, check: bool) -> None:
    def mode() -> str:
        with sqlite3.connect(database) as connection:
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])

    run(database, FIRST)
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    result = run(database, FIRST, check=check)
    assert (result.changed, result.applied, result.journal_mode_before) == (True, [], "delete")
    assert mode() == ("delete" if check else "wal")
    assert run(database, FIRST).changed is check
    assert mode() == "wal"
