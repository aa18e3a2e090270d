# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage that verification must see, and good databases at which it must not cry."""

from __future__ import annotations

import gzip
import lzma
import random
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import sqlite_verify
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import Snapshot, snapshot
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import Freshness, Verification, verify
from tests.unit.plugins.sqlite_samples import (
    NEWEST,
    ROWS,
    SCHEMA_VERSION,
    connected,
    holding,
    make_ledger,
    name_of,
    other_process,
)

PAGE = 4096
NOW = datetime(2026, 11, 22, 20, 45, tzinfo=UTC)
EXPECTED: dict[str, Any] = {
    "schema_version": SCHEMA_VERSION,
    "tables": ["orders", "fills"],
    "min_rows": {"orders": ROWS, "fills": ROWS},
    "freshness": Freshness("orders", "at", max_age=3600),
    "now": NOW,
}
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A published snapshot of the sample ledger, not compressed."""
    folder = tmp_path_factory.mktemp("original")
    (folder / "backups").mkdir()
    return snapshot(make_ledger(folder / "ledger.db"), folder / "backups", compress=False)


@pytest.fixture
def artefact(original: Snapshot, tmp_path: Path) -> Path:
    """A copy of that snapshot to damage; its manifest stays where it is."""
    return shutil.copy(original.path, tmp_path / "backup.db")


def failed(result: Verification) -> set[str]:
    return {check.name for check in result.checks if check.status == "failed"}


def detail(result: Verification, name: str) -> str:
    return next(check.detail for check in result.checks if check.name == name)


# --- Damage -----------------------------------------------------------------------------------------------------------


def write_at(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def page_with(path: Path, text: bytes, kind: int | None = None) -> int:
    """The offset of the first page that holds a text; `kind` is its first byte: 13 a table leaf, 10 an index leaf."""
    data = path.read_bytes()
    for offset in range(0, len(data), PAGE):
        page = data[offset : offset + PAGE]
        if text in page and (kind is None or page[0] == kind):
            return offset
    raise AssertionError(f"no page of kind {kind} holds {text!r}")


def overflow_pages(path: Path) -> list[int]:
    """Offsets of overflow pages that hold nothing but a note: they begin with the number of the next one."""
    data = path.read_bytes()
    pages = [data[offset : offset + PAGE] for offset in range(0, len(data), PAGE)]
    return [number * PAGE for number, page in enumerate(pages) if page.count(b"note-") > 300 and page[3] > 0]


def zero_page(text: bytes, kind: int) -> Damage:
    return lambda path: write_at(path, page_with(path, text, kind), bytes(PAGE))


def zero_overflow_page(path: Path) -> None:
    offset = overflow_pages(path)[0]
    write_at(path, offset + 4, bytes(PAGE - 4))


def swap_pages(path: Path, one: int, other: int, skip: int = 0) -> None:
    data = path.read_bytes()
    write_at(path, one + skip, data[other + skip : other + PAGE])
    write_at(path, other + skip, data[one + skip : one + PAGE])


def swap_leaf_pages(path: Path) -> None:
    swap_pages(path, page_with(path, b"reference-000003", 13), page_with(path, b"reference-000333", 13))


def swap_overflow_payloads(path: Path) -> None:
    pages = overflow_pages(path)
    swap_pages(path, pages[0], pages[-1], skip=4)


def flip_text(text: bytes, kind: int) -> Damage:
    def damage(path: Path) -> None:
        offset = page_with(path, text, kind)
        position = path.read_bytes().index(text, offset) + len(text) - 1
        write_at(path, position, bytes([text[-1] ^ 1]))

    return damage


def flip_price(path: Path) -> None:
    """The last bit of a REAL, found as the eight bytes that follow the text before it in the row."""
    text = b"reference-000012"
    position = path.read_bytes().index(text, page_with(path, text, 13)) + len(text)
    write_at(path, position + 7, bytes([path.read_bytes()[position + 7] ^ 1]))


def sql(*statements: str, checks: bool = True) -> Damage:
    """Damage that SQLite itself does, as a wrong program would."""

    def damage(path: Path) -> None:
        with connected(path) as connection:
            if not checks:
                connection.execute("PRAGMA ignore_check_constraints=1")
            for statement in statements:
                connection.execute(statement)

    return damage


def truncate(share: float = 1.0, less: int = 0) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share) - less])


def wal_of_another(path: Path) -> None:
    """A -wal that belongs to another database, as a restore that replaced only the main file leaves it."""
    other = make_ledger(path.with_name("other.db"), rows=50)
    connection = sqlite3.connect(other, isolation_level=None)
    connection.execute("UPDATE orders SET price = price + 1")
    shutil.copy(f"{other}-wal", f"{path}-wal")
    connection.close()


def replace_by_empty_database(path: Path) -> None:
    """What an interrupted copy leaves: quick_check says ok."""
    path.unlink()
    sql("PRAGMA user_version=3")(path)


def compress_in_place(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def leave_rows_in_wal(path: Path) -> None:
    """What `cp` of a live database's main file gets: the last rows are missing."""
    work = path.with_name("live.db")
    shutil.copy(path, work)
    with connected(work) as connection:
        connection.execute("DELETE FROM fills WHERE id > 200")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("INSERT INTO fills (order_id, quantity) SELECT id, 1 FROM orders WHERE id > 200")
        shutil.copy(work, path)


DAMAGE: list[tuple[str, Damage, set[str]]] = [
    ("missing file", lambda path: path.unlink(), {"file"}),
    ("zero-length file", lambda path: path.write_bytes(b""), {"file"}),
    ("empty database", replace_by_empty_database, {"tables", "min_rows", "freshness"}),
    ("error page saved as a database", lambda path: path.write_text("<html>404</html>" * 999), {"header", "opens"}),
    ("compressed data without extension", compress_in_place, {"header", "opens"}),
    ("header cut", lambda path: path.write_bytes(path.read_bytes()[:50]), {"header", "opens"}),
    ("truncated by a page", truncate(less=PAGE), {"header", "opens"}),
    ("truncated by a byte", truncate(less=1), {"header"}),
    ("truncated to half", truncate(share=0.5), {"header", "opens"}),
    ("garbage appended", lambda path: path.write_bytes(path.read_bytes() + b"\xff" * PAGE), {"header"}),
    ("table leaf zeroed", zero_page(b"reference-000200", 13), {"integrity", "foreign_keys"}),
    ("index leaf zeroed", zero_page(b"reference-000200", 10), {"integrity"}),
    ("overflow page zeroed", zero_overflow_page, set()),
    ("table leaves swapped", swap_leaf_pages, {"integrity", "foreign_keys"}),
    ("overflow payloads swapped", swap_overflow_payloads, set()),
    ("bit flipped in a number", flip_price, set()),
    ("bit flipped in a text", flip_text(b"note-000123", 13), set()),
    ("bit flipped in an indexed text", flip_text(b"reference-000123", 13), {"integrity"}),
    ("older schema version", sql("PRAGMA user_version=2"), {"schema_version"}),
    ("missing table", sql("DROP TABLE fills"), {"tables", "min_rows"}),
    ("missing index", sql("DROP INDEX orders_at"), set()),
    ("orphan row", sql("INSERT INTO fills (order_id, quantity) VALUES (9999, 1)"), {"foreign_keys"}),
    ("CHECK violated", sql("UPDATE orders SET quantity=-5 WHERE id=7", checks=False), {"integrity"}),
    ("one row absent", sql("DELETE FROM fills WHERE id=7"), {"min_rows"}),
    ("last rows absent", sql("DELETE FROM fills WHERE id > 300"), {"min_rows"}),
    ("one row twice", sql("INSERT INTO fills SELECT NULL, order_id, quantity FROM fills WHERE id=7"), set()),
    ("price altered", sql("UPDATE orders SET price = price + 1 WHERE id=7"), set()),
    ("prices swapped", sql("UPDATE orders SET price = 215.5 - price WHERE id IN (7, 8)"), set()),
    ("text stored as a blob", sql("UPDATE orders SET note = CAST(note AS BLOB) WHERE id=7"), set()),
    ("all rows deleted", sql("DELETE FROM fills", "DELETE FROM orders"), {"min_rows", "freshness"}),
    ("stale", sql("DELETE FROM fills WHERE id=400", "DELETE FROM orders WHERE id=400"), {"min_rows", "freshness"}),
    ("newest row in the future", sql("UPDATE orders SET at='2026-11-24T20:45:00.000Z' WHERE id=7"), {"freshness"}),
    ("newest time is no time", sql("UPDATE orders SET at='yesterday' WHERE id=7"), {"freshness"}),
    ("rows left in the WAL", leave_rows_in_wal, {"min_rows"}),
    ("WAL of another database beside it", wal_of_another, {"sidecars"}),
    ("empty journal beside it", lambda path: path.with_name(f"{path.name}-journal").touch(), {"sidecars"}),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "seen"), [pytest.param(damage, seen, id=name) for name, damage, seen in DAMAGE])
def test_damage_is_seen_by_the_checks_that_can_see_it(artefact: Path, damage: Damage, seen: set[str]) -> None:
    """Without a manifest some damage is invisible: that is what the empty sets document."""
    damage(artefact)
    assert failed(verify(artefact, **EXPECTED)) == seen


@pytest.mark.parametrize("damage", [pytest.param(damage, id=name) for name, damage, _seen in DAMAGE])
def test_no_damage_gets_past_the_manifest(original: Snapshot, artefact: Path, damage: Damage) -> None:
    damage(artefact)
    assert verify(artefact, mode="quick", manifest=original.manifest_path).status == "failed"


NOT_IN_THE_ROWS = {"index leaf zeroed", "truncated by a byte", "garbage appended"}
IN_THE_ROWS = [entry for entry in DAMAGE if entry[0] not in NOT_IN_THE_ROWS and entry[2] != {"sidecars"}]


@pytest.mark.parametrize("damage", [pytest.param(damage, id=name) for name, damage, _seen in IN_THE_ROWS])
def test_rows_and_schema_alone_tell_damage_of_content(original: Snapshot, artefact: Path, damage: Damage) -> None:
    """The hash of the rows, not only that of the file, sees every changed value: so copies can be compared, too."""
    damage(artefact)
    result = verify(artefact, mode="deep", manifest=original.manifest_path)
    assert {check.name for check in result.problems} & {"row_hash", "manifest_content"}


def test_every_flipped_bit_is_seen_with_a_manifest(original: Snapshot, artefact: Path) -> None:
    chance = random.Random(20261122)  # noqa: S311 - repeatable on purpose
    data = artefact.read_bytes()
    for _time in range(200):
        position = chance.randrange(len(data))
        write_at(artefact, position, bytes([data[position] ^ 1 << chance.randrange(8)]))
        result = verify(artefact, mode="quick", manifest=original.manifest_path)
        assert "manifest_file" in failed(result), f"byte {position}"
        write_at(artefact, position, data[position : position + 1])
    assert verify(artefact, mode="deep", manifest=original.manifest_path).status == "ok"


# --- Good databases ---------------------------------------------------------------------------------------------------


def vacuum_into(path: Path) -> Path:
    copy = path.with_name("vacuumed.db")
    sql(f"VACUUM INTO '{copy}'")(path)
    return copy


def backup_in_wal_mode(path: Path) -> Path:
    copy = path.with_name("copied.db")
    with connected(path) as source, connected(copy) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=WAL")
    return copy


@pytest.mark.parametrize(
    "copied", [vacuum_into, backup_in_wal_mode, lambda path: path], ids=["vacuum", "wal", "pristine"]
)
@pytest.mark.parametrize("mode", ["quick", "standard", "deep"])
def test_faithful_copies_pass(artefact: Path, mode: str, copied: Callable[[Path], Path]) -> None:
    result = verify(copied(artefact), mode=mode, **EXPECTED)
    assert result.problems == []
    assert (result.status, result.integrity) == ("ok", ["ok"])
    assert {name: table["rows"] for name, table in result.tables.items()} == {"orders": ROWS, "fills": ROWS, "empty": 0}


@pytest.mark.parametrize("copied", [vacuum_into, backup_in_wal_mode])
def test_hashes_of_rows_and_schema_do_not_depend_on_the_layout(
    original: Snapshot, artefact: Path, copied: Callable[[Path], Path]
) -> None:
    result = verify(copied(artefact), mode="deep", manifest=original.manifest_path)
    assert failed(result) == {"manifest_file"}


def test_tables_of_litestream_do_not_count(original: Snapshot, artefact: Path) -> None:
    sql("INSERT INTO _litestream_seq VALUES (1, 5)", "DROP TABLE _litestream_seq")(artefact)
    result = verify(artefact, mode="deep", manifest=original.manifest_path)
    assert failed(result) == {"manifest_file"}
    assert "_litestream_seq" not in result.tables


def test_the_result_tells_the_facts(original: Snapshot, artefact: Path) -> None:
    result = verify(artefact, mode="deep", **EXPECTED)
    facts = result.as_dict()
    assert (facts["status"], facts["failed_checks"]) == ("ok", [])
    assert facts["sha256"] == facts["content_sha256"] == original.manifest["artefact"]["sha256"]
    assert facts["size_bytes"] == facts["content_size_bytes"] == facts["page_size"] * facts["page_count"]
    assert (facts["page_size"], facts["user_version"], facts["journal_mode"]) == (PAGE, SCHEMA_VERSION, "delete")
    assert (facts["newest_row"], facts["age_seconds"]) == (NEWEST, 300.0)
    assert facts["tables"] == original.manifest["tables"]
    assert facts["sqlite_version"] == sqlite3.sqlite_version


def test_the_artefact_and_its_folder_stay_as_they_are(artefact: Path) -> None:
    before = (artefact.read_bytes(), artefact.stat().st_mtime_ns, artefact.stat().st_mode)
    for mode in sqlite_verify.MODES:
        verify(artefact, mode=mode)
    assert (artefact.read_bytes(), artefact.stat().st_mtime_ns, artefact.stat().st_mode) == before
    assert [path.name for path in artefact.parent.iterdir()] == [artefact.name]


def test_the_scratch_copy_is_private_and_removed(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    modes: list[int] = []
    look = sqlite_verify.check_foreign_keys

    def spy(connection: sqlite3.Connection) -> list[str]:
        modes.extend(path.stat().st_mode & 0o777 for path in scratch.iterdir())
        return look(connection)

    monkeypatch.setattr(sqlite_verify, "check_foreign_keys", spy)
    assert verify(artefact, scratch_directory=scratch).status == "ok"
    assert modes == [0o700]
    assert list(scratch.iterdir()) == []


# --- What is said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "check", "text"),
    [
        (lambda path: path.unlink(), "file", "{path} does not exist"),
        (lambda path: path.write_bytes(b""), "file", "{path} is empty (0 bytes)"),
        (lambda path: (path.unlink(), path.mkdir()), "file", "{path} is not a regular file"),
        (lambda path: path.write_text("<html>404</html>" * 99), "header",
         "{path} is not a SQLite database: it begins with b'<html>404</html>'"),
        (compress_in_place, "header",
         "{path} is not a SQLite database: gzip data without the file name extension"),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "header",
         "{path} is truncated: 50 bytes, not even a header"),
        (truncate(less=PAGE), "header",
         "{path} is truncated: the header says {pages} pages of 4096 bytes = {size} bytes, there are {size_less_page}"),
        (sql("PRAGMA user_version=2"), "schema_version", "schema version (user_version) is 2, expected 3"),
        (sql("DROP TABLE fills"), "tables", "missing tables: fills; found: empty, orders"),
        (sql("DELETE FROM fills WHERE id=7"), "min_rows", "fills has 399 rows, expected at least 400"),
        (sql("INSERT INTO fills (order_id, quantity) VALUES (9999, 1)"), "foreign_keys",
         "fills: row 401 has no parent in orders"),
        (sql("UPDATE orders SET quantity=-5 WHERE id=7", checks=False), "integrity",
         "integrity_check: CHECK constraint failed in orders"),
        (sql("UPDATE orders SET at='2026-11-22T09:00:00.000Z'"), "freshness",
         "the newest row of orders (2026-11-22T09:00:00.000Z) is 42300 s old, at most 3600 s are allowed"),
        (sql("UPDATE orders SET at='2026-11-22T21:00:00.000Z' WHERE id=7"), "freshness",
         "the newest row of orders (2026-11-22T21:00:00.000Z) lies 900 s in the future, at most 300 s are allowed:"
         " check the clocks"),
        (sql("UPDATE orders SET at='yesterday' WHERE id=7"), "freshness",
         "the newest at of orders is 'yesterday', no time of unit iso"),
        (lambda path: path.with_name(f"{path.name}-wal").touch(), "sidecars",
         "backup.db-wal beside {path}: SQLite would replay it into the database when it is opened. Move it away if the"
         " file is a backup; verify with live=true if this is a database in use"),
    ],
)  # fmt: skip
def test_a_failed_check_says_what_was_seen_and_what_was_wanted(
    artefact: Path, damage: Damage, check: str, text: str
) -> None:
    size = artefact.stat().st_size
    damage(artefact)
    words = {"path": artefact, "pages": size // PAGE, "size": size, "size_less_page": size - PAGE}
    assert detail(verify(artefact, **EXPECTED), check) == text.format(**words)


def test_checks_that_need_another_are_inconclusive_when_it_fails(artefact: Path) -> None:
    artefact.unlink()
    result = verify(artefact, **EXPECTED)
    assert result.status == "failed"
    assert detail(result, "copy") == "not tried, because the check file did not pass"
    assert {check.status for check in result.checks if check.name != "file"} == {"inconclusive"}


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("iso", "'2026-11-22T20:40:00Z'"),
        ("iso", "'2026-11-22 20:40:00'"),
        ("iso", "'2026-11-22T21:40:00.000+01:00'"),
        ("s", "1795380000"),
        ("s", "1795380000.0"),
        ("ms", "1795380000000"),
        ("us", "1795380000000000"),
        ("ns", "1795380000000000000"),
    ],
)
def test_times_are_understood_in_every_unit(artefact: Path, unit: str, value: str) -> None:
    sql("CREATE TABLE ticks (t)", f"INSERT INTO ticks VALUES ({value})")(artefact)  # noqa: S608 - ours
    result = verify(artefact, freshness=Freshness("ticks", "t", max_age=300, unit=unit), now=NOW)
    assert (result.newest_row, result.age_seconds, result.problems) == (NEWEST, 300.0, [])


@pytest.mark.parametrize(
    ("freshness", "text"),
    [
        (Freshness("trades", "at", 60), "table trades is missing"),
        (Freshness("fills", "at", 60), "table fills has no column at; it has id, order_id, quantity"),
        (Freshness("empty", "id", 60, "s"), "table empty has no row with a id"),
        (Freshness("orders", "note", 60, "s"), "the newest note of orders is"
         " 'note-000400 note-000400 note-000400 note-000400 note-000400, no time of unit s"),
    ],
)  # fmt: skip
def test_freshness_names_what_it_cannot_read(artefact: Path, freshness: Freshness, text: str) -> None:
    assert detail(verify(artefact, freshness=freshness), "freshness") == text


@pytest.mark.parametrize("given", [str.lower, str.upper])
def test_a_given_sha256_is_compared(original: Snapshot, artefact: Path, given: Callable[[str], str]) -> None:
    digest = original.manifest["artefact"]["sha256"]
    assert verify(artefact, sha256=given(digest)).status == "ok"
    wrong = verify(artefact, sha256="0" * 64)
    assert detail(wrong, "sha256") == f"sha256 of {artefact} is {digest}, expected {'0' * 64}"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "the manifest {path} does not exist: the backup was never finished"),
        ("null,", "the manifest {path} is not JSON: Extra data: line 1 column 5 (char 4)"),
        ('{"schema": 2}', "the manifest {path} is not of schema 1"),
        ("[]", "the manifest {path} is not of schema 1"),
        ('{"schema": 1}', "the manifest {path} is incomplete: artefact, content or tables are missing"),
        ('{"schema": 1, "artefact": {}, "content": {}, "tables": {"a": 1}}',
         "the manifest {path} is incomplete: artefact, content or tables are missing"),
    ],
)  # fmt: skip
def test_a_bad_manifest_is_a_failure(artefact: Path, tmp_path: Path, content: str | None, text: str) -> None:
    manifest = tmp_path / "x.manifest.json"
    if content is not None:
        manifest.write_text(content)
    result = verify(artefact, manifest=manifest)
    assert failed(result) == {"manifest"}
    assert detail(result, "manifest") == text.format(path=manifest)


def test_the_manifest_names_every_difference_of_content(original: Snapshot, artefact: Path) -> None:
    sql("DROP TABLE empty", "CREATE TABLE more (id)", "DELETE FROM fills WHERE id=7", "PRAGMA user_version=2")(artefact)
    result = verify(artefact, manifest=original.manifest_path)
    schema = original.manifest["schema_sha256"]
    assert detail(result, "manifest_content") == (
        f"user_version is 2, the manifest says 3; schema_sha256 is {result.schema_sha256}, the manifest says {schema};"
        " table empty is missing; rows of fills is 399, the manifest says 400; table more is not in the manifest"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"mode": "fast"}, "mode is 'fast' but must be one of quick, standard, deep"),
        ({"live": True, "sha256": "0"},
         "sha256 and manifest describe a file at rest: they cannot be compared with a live database"),
        ({"live": True, "manifest": Path("/x")},
         "sha256 and manifest describe a file at rest: they cannot be compared with a live database"),
    ],
)  # fmt: skip
def test_senseless_arguments_are_refused(artefact: Path, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        verify(artefact, **arguments)


# --- Compressed files -------------------------------------------------------------------------------------------------


def compress(path: Path, suffix: str) -> Path:
    data = path.read_bytes()
    packed = path.with_name(f"{path.name}{suffix}")
    if suffix == ".zst":
        data = subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    packed.write_bytes({".gz": gzip.compress, ".xz": lzma.compress, ".zst": bytes}[suffix](data))
    return packed


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_compressed_files_are_verified_by_their_content(original: Snapshot, artefact: Path, suffix: str) -> None:
    packed = compress(artefact, suffix)
    result = verify(packed, mode="deep", **EXPECTED)
    assert result.problems == []
    assert result.content_sha256 == original.manifest["content"]["sha256"]
    assert result.size_bytes == packed.stat().st_size
    assert result.size_bytes < (result.content_size_bytes or 0)
    assert result.sha256 == sqlite_verify.sha256_of(packed)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_no_flipped_bit_changes_compressed_content_unseen(original: Snapshot, artefact: Path, suffix: str) -> None:
    packed = compress(artefact, suffix)
    data = packed.read_bytes()
    chance = random.Random(20261122)  # noqa: S311 - repeatable on purpose
    for _time in range(40):
        position = chance.randrange(len(data))
        write_at(packed, position, bytes([data[position] ^ 1 << chance.randrange(8)]))
        result = verify(packed, mode="quick")
        # A bit of gzip's own header, such as its time, may flip without any harm.
        assert failed(result) or result.content_sha256 == original.manifest["content"]["sha256"], f"byte {position}"
        write_at(packed, position, data[position : position + 1])


@pytest.mark.parametrize(
    ("suffix", "reason"),
    [
        (".gz", "Compressed file ended before the end-of-stream marker was reached"),
        (".xz", "Compressed file ended before the end-of-stream marker was reached"),
        (".zst", "Read error (39) : premature end"),
    ],
)
def test_a_truncated_compressed_file_is_damaged(artefact: Path, suffix: str, reason: str) -> None:
    packed = compress(artefact, suffix)
    truncate(less=9)(packed)
    result = verify(packed)
    assert detail(result, "copy").startswith(f"the compressed data of {packed} is damaged: ")
    assert detail(result, "copy").endswith(reason)
    assert failed(result) == {"copy"}


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_plain_database_named_as_compressed_is_damaged(artefact: Path, suffix: str) -> None:
    packed = artefact.rename(f"{artefact}{suffix}")
    result = verify(packed)
    assert detail(result, "copy").startswith(f"the compressed data of {packed} is damaged: ")


def test_zst_without_the_program_is_inconclusive(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = compress(artefact, ".zst")
    monkeypatch.setenv("PATH", "/nowhere")
    result = verify(packed)
    assert result.status == "inconclusive"
    assert detail(result, "copy") == (
        f"{packed} cannot be decompressed: the program zstd is not installed on this host; install the package zstd"
    )


# --- Scratch space ----------------------------------------------------------------------------------------------------


def test_too_little_scratch_space_is_inconclusive_and_says_how_much(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_verify.shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(0, 0, 1000))  # type: ignore[attr-defined]
    result = verify(artefact, scratch_directory=tmp_path)
    assert result.status == "inconclusive"
    text = detail(result, "copy")
    assert text.startswith(f"{tmp_path}/ballast-verify-")
    assert text.endswith(f" has 1000 bytes free, {artefact.stat().st_size} are needed")


def test_a_missing_scratch_directory_is_inconclusive(artefact: Path, tmp_path: Path) -> None:
    result = verify(artefact, scratch_directory=tmp_path / "nowhere")
    assert result.status == "inconclusive"
    assert detail(result, "copy").startswith(f"No such file or directory ({tmp_path}/nowhere/ballast-verify-")


# --- Live databases ---------------------------------------------------------------------------------------------------


def test_a_live_database_is_read_with_its_wal_and_left_alone(tmp_path: Path) -> None:
    path = make_ledger(tmp_path / "live.db")
    wal = ["PRAGMA wal_autocheckpoint=0", "INSERT INTO fills (order_id, quantity) VALUES (1, 1)"]
    with other_process(holding(path, *wal)):
        before = {
            file.name: (file.read_bytes(), file.stat().st_ino) for file in tmp_path.iterdir() if "shm" not in file.name
        }
        result = verify(path, mode="deep", live=True, **EXPECTED)
        after = {
            file.name: (file.read_bytes(), file.stat().st_ino) for file in tmp_path.iterdir() if "shm" not in file.name
        }
    assert result.problems == []
    assert (result.tables["fills"]["rows"], result.journal_mode) == (ROWS + 1, "wal")
    assert after == before
    assert set(after) == {"live.db", "live.db-wal"}


def test_a_closed_wal_database_gets_no_litter(tmp_path: Path) -> None:
    """A read-only connection would leave -wal and -shm behind."""
    path = make_ledger(tmp_path / "live.db")
    before = path.read_bytes()
    assert verify(path, live=True, **EXPECTED).status == "ok"
    assert [file.name for file in tmp_path.iterdir()] == ["live.db"]
    assert path.read_bytes() == before


def test_a_snapshot_restored_beside_the_wal_of_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Opening it once would be enough to replace its pages by those of the -wal, for good."""
    path = make_ledger(tmp_path / "trades.db")
    restored = snapshot(path, tmp_path, compress=False).path.read_bytes()
    with other_process(holding(path, "PRAGMA wal_autocheckpoint=0", "UPDATE orders SET price = 1")):
        pass
    path.write_bytes(restored)
    result = verify(path, live=True)
    assert result.problems[0].detail == (
        f"{path}-wal does not belong to {path}, which is not in WAL mode: SQLite would replay it and destroy the"
        f" database. Move {path}-wal away"
    )
    assert (result.status, path.read_bytes()) == ("failed", restored)
    Path(f"{path}-wal").unlink()
    assert verify(path, live=True).problems == []


def test_a_locked_database_is_inconclusive_and_the_holder_is_named(tmp_path: Path) -> None:
    path = make_ledger(tmp_path / "live.db", journal_mode="delete")
    with other_process(holding(path, "BEGIN EXCLUSIVE")) as pid:
        result = verify(path, live=True, timeout=0.1)
        holder = name_of(pid)
    assert result.status == "inconclusive"
    assert detail(result, "copy") == (
        f"{path} is locked by another connection (database is locked); it is open in {holder}"
    )


def test_a_link_to_a_database_in_use_is_a_failure(tmp_path: Path) -> None:
    """Its file alone lacks the rows that are still in the -wal."""
    path = make_ledger(tmp_path / "live.db")
    (tmp_path / "latest.db").symlink_to(path)
    with other_process(holding(path, "INSERT INTO fills (order_id, quantity) VALUES (1, 1)")):
        result = verify(tmp_path / "latest.db")
    assert detail(result, "sidecars").startswith(f"live.db-wal, live.db-shm beside {path}: SQLite would replay it")


def test_a_live_file_that_is_no_database_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    path.write_text("<html>" * 999)
    result = verify(path, live=True)
    assert detail(result, "copy") == f"{path} is not a SQLite database (file is not a database)"
    assert failed(result) == {"copy"}


# --- Small parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "affected"),
    [((3, 6, 23), False), ((3, 7, 0), True), ((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False)],
)
def test_versions_with_the_wal_reset_bug_are_known(version: tuple[int, ...], affected: bool) -> None:
    assert sqlite_verify.has_wal_reset_bug(version) is affected


def test_the_default_clock_is_utc(artefact: Path) -> None:
    newest = (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    sql(f"UPDATE orders SET at='{newest}' WHERE id=7")(artefact)  # noqa: S608 - ours
    result = verify(artefact, freshness=Freshness("orders", "at", max_age=60))
    assert result.problems == []
