# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage that verification must see, and good databases at which it must not cry."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import random
import re
import resource
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import content, sqlite_verify
from ansible_collections.ballast.trading.plugins.module_utils.manifest import Backup
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_read import (
    TimeLimit,
    has_wal_reset_bug,
    hash_queries,
    hash_tables,
    opened,
)
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import snapshot
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import (
    Freshness,
    Source,
    Verification,
    verify,
)
from tests.unit.plugins.sqlite_damage import (
    DAMAGE,
    PAGE,
    Damage,
    compress_in_place,
    flip_price,
    flip_text,
    sql,
    swap_overflow_payloads,
    truncate,
    write_at,
)
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

NOW = datetime(2026, 11, 22, 20, 45, tzinfo=UTC)
EXPECTED: dict[str, Any] = {
    "schema_version": SCHEMA_VERSION,
    "tables": ["orders", "fills"],
    "min_rows": {"orders": ROWS, "fills": ROWS},
    "freshness": Freshness("orders", "at", max_age=3600),
    "now": NOW,
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """A published snapshot of the sample ledger, not compressed."""
    folder = tmp_path_factory.mktemp("original")
    (folder / "backups").mkdir()
    return snapshot(make_ledger(folder / "ledger.db"), folder / "backups", compress=False)


@pytest.fixture
def artefact(original: Backup, tmp_path: Path) -> Path:
    """A copy of that snapshot to damage; its manifest stays where it is."""
    return shutil.copy(original.path, tmp_path / "backup.db")


def failed(result: Verification) -> set[str]:
    return {check.name for check in result.checks if check.status == "failed"}


def detail(result: Verification, name: str) -> str:
    return next(check.detail for check in result.checks if check.name == name)


# --- Damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("damage", "seen"), [pytest.param(damage, seen, id=name) for name, damage, seen in DAMAGE])
def test_damage_is_seen_by_the_checks_that_can_see_it(artefact: Path, damage: Damage, seen: set[str]) -> None:
    """Without a manifest some damage is invisible: that is what the empty sets document."""
    damage(artefact)
    assert failed(verify(artefact, **EXPECTED)) == seen


@pytest.mark.parametrize("damage", [pytest.param(damage, id=name) for name, damage, _seen in DAMAGE])
def test_no_damage_gets_past_the_manifest(original: Backup, artefact: Path, damage: Damage) -> None:
    damage(artefact)
    assert verify(artefact, mode="quick", manifest=original.manifest_path).status == "failed"


NOT_IN_THE_ROWS = {"index leaf zeroed", "truncated by a byte", "garbage appended"}
IN_THE_ROWS = [entry for entry in DAMAGE if entry[0] not in NOT_IN_THE_ROWS and entry[2] != {"sidecars"}]


@pytest.mark.parametrize("damage", [pytest.param(damage, id=name) for name, damage, _seen in IN_THE_ROWS])
def test_rows_and_schema_alone_tell_damage_of_content(original: Backup, artefact: Path, damage: Damage) -> None:
    """The hash of the rows, not only that of the file, sees every changed value: so copies can be compared, too."""
    damage(artefact)
    result = verify(artefact, mode="deep", manifest=original.manifest_path)
    assert {check.name for check in result.problems} & {"row_hash", "manifest_content"}


def test_every_flipped_bit_is_seen_with_a_manifest(original: Backup, artefact: Path) -> None:
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
    original: Backup, artefact: Path, copied: Callable[[Path], Path]
) -> None:
    result = verify(copied(artefact), mode="deep", manifest=original.manifest_path)
    assert failed(result) == {"manifest_file", "manifest_copy"}


def test_tables_of_litestream_do_not_count(original: Backup, artefact: Path) -> None:
    sql("INSERT INTO _litestream_seq VALUES (1, 5)", "DROP TABLE _litestream_seq")(artefact)
    result = verify(artefact, mode="deep", manifest=original.manifest_path)
    assert failed(result) == {"manifest_file", "manifest_copy"}
    assert "_litestream_seq" not in result.tables


def test_the_result_tells_the_facts(original: Backup, artefact: Path) -> None:
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
def test_a_given_sha256_is_compared(original: Backup, artefact: Path, given: Callable[[str], str]) -> None:
    digest = original.manifest["artefact"]["sha256"]
    assert verify(artefact, sha256=given(digest)).status == "ok"
    wrong = verify(artefact, sha256="0" * 64)
    assert detail(wrong, "checksum") == f"sha256 of {artefact} is {digest}, expected {'0' * 64}"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "the manifest {path} does not exist: the backup was never finished"),
        ("null,", "the manifest {path} is not JSON: Extra data: line 1 column 5 (char 4)"),
        ('{"schema": 1}', "the manifest {path} is not of schema 2"),
        ("[]", "the manifest {path} is not of schema 2"),
        ('{"schema": 2}', "the manifest {path} is incomplete: artefact, content or tables are missing"),
        ('{"schema": 2, "artefact": {}, "content": {}, "tables": {"a": 1}}',
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


def test_the_manifest_names_every_difference_of_content(original: Backup, artefact: Path) -> None:
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
def test_compressed_files_are_verified_by_their_content(original: Backup, artefact: Path, suffix: str) -> None:
    packed = compress(artefact, suffix)
    result = verify(packed, mode="deep", **EXPECTED)
    assert result.problems == []
    assert result.content_sha256 == original.manifest["content"]["sha256"]
    assert result.size_bytes == packed.stat().st_size
    assert result.size_bytes < (result.content_size_bytes or 0)
    assert result.sha256 == content.sha256_of(packed)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_no_flipped_bit_changes_compressed_content_unseen(original: Backup, artefact: Path, suffix: str) -> None:
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


# --- Encrypted files --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key; the public one is in a comment of its file."""
    path = tmp_path_factory.mktemp("keys") / "key.txt"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path


def encrypt(path: Path, identity: Path) -> Path:
    recipient = re.search("age1[a-z0-9]+", identity.read_text())
    assert recipient is not None
    sealed = path.with_name(f"{path.name}.age")
    subprocess.run(["age", "-r", recipient[0], "-o", sealed, path], check=True)
    return sealed


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_encrypted_files_are_verified_by_their_content(
    original: Backup, artefact: Path, identity: Path, suffix: str
) -> None:
    sealed = encrypt(compress(artefact, suffix) if suffix else artefact, identity)
    result = verify(sealed, mode="deep", identity=identity, **EXPECTED)
    assert result.problems == []
    assert result.content_sha256 == original.manifest["content"]["sha256"]


def test_without_its_key_an_encrypted_file_is_known_by_its_checksum_alone(artefact: Path, identity: Path) -> None:
    sealed = encrypt(artefact, identity)
    result = verify(sealed, sha256=content.sha256_of(sealed))
    assert (result.status, failed(result)) == ("inconclusive", set())
    assert detail(result, "checksum") == content.sha256_of(sealed)
    assert detail(result, "copy") == f"{sealed} is encrypted, and no identity file (the private key) was given"


def test_a_key_that_does_not_fit_says_nothing_of_the_file(artefact: Path, identity: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    sealed = encrypt(artefact, identity)
    result = verify(sealed, identity=other)
    assert (result.status, failed(result)) == ("inconclusive", set())
    assert detail(result, "copy").startswith(f"{sealed} was encrypted for another key than the one given (")


@pytest.mark.parametrize("suffix", ["", ".zst"])
@pytest.mark.parametrize("damage", [truncate(share=0.6), lambda path: write_at(path, 5000, b"?")])
def test_a_damaged_encrypted_file_is_damaged(artefact: Path, identity: Path, damage: Damage, suffix: str) -> None:
    sealed = encrypt(compress(artefact, suffix) if suffix else artefact, identity)
    damage(sealed)
    result = verify(sealed, identity=identity)
    assert failed(result) == {"copy"}
    assert detail(result, "copy").startswith(f"the encrypted data of {sealed} is damaged: ")


# --- Against the source -----------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(artefact: Path, tmp_path: Path) -> Path:
    """The ledger that the artefact was taken from, in use."""
    return shutil.copy(artefact, tmp_path / "trades.db")


@pytest.mark.parametrize("damage", [flip_price, flip_text(b"note-000123", 13), swap_overflow_payloads])
def test_comparing_with_the_source_tells_what_nothing_else_can(artefact: Path, ledger: Path, damage: Damage) -> None:
    assert verify(artefact, source=Source(ledger)).status == "ok"
    damage(artefact)
    result = verify(artefact, source=Source(ledger))
    assert failed(result) == {"source"}
    assert detail(result, "source") == f"rows of orders are not those of {ledger}"


def test_a_source_that_went_on_is_compared_up_to_the_newest_row_of_the_copy(artefact: Path, ledger: Path) -> None:
    sql("INSERT INTO fills (order_id, quantity) VALUES (7, 1)", "UPDATE orders SET note='' WHERE id=7")(ledger)
    with other_process(holding(ledger, "INSERT INTO fills (order_id, quantity) VALUES (8, 1)")):
        assert verify(artefact, source=Source(ledger, ["fills"])).status == "ok"
        assert failed(verify(artefact, source=Source(ledger))) == {"source"}
    sql("UPDATE fills SET quantity=2 WHERE id=7")(ledger)
    assert failed(verify(artefact, source=Source(ledger, ["fills"]))) == {"source"}


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda path: path.unlink(), "{path} does not exist"),
        (sql("DROP TABLE empty"), "schema_sha256 is {schema}, that of {path} is "),
    ],
)
def test_a_source_that_cannot_be_compared_is_a_failure(
    original: Backup, artefact: Path, ledger: Path, damage: Damage, text: str
) -> None:
    damage(ledger)
    words = {"path": ledger, "schema": original.manifest["schema_sha256"]}
    assert detail(verify(artefact, source=Source(ledger)), "source").startswith(text.format(**words))


def test_a_table_that_the_source_does_not_have_is_named(artefact: Path, ledger: Path) -> None:
    result = verify(artefact, source=Source(ledger, ["trades"]))
    assert detail(result, "source") == f"{ledger} has no table trades; it has empty, fills, orders"


# --- The hash of rows -------------------------------------------------------------------------------------------------


def sha3_of(query: str, rows: Sequence[tuple[Any, ...]]) -> str:
    """The definition at the head of SQLite's shathree.c, once more."""
    digest = hashlib.sha3_256(f"S{len(query)}:{query}".encode())
    for row in rows:
        digest.update(b"R")
        for value in row:
            if value is None:
                digest.update(b"N")
            elif isinstance(value, int):
                digest.update(b"I" + value.to_bytes(8, "big", signed=True))
            elif isinstance(value, float):
                digest.update(b"F" + struct.pack(">d", value))
            else:
                data = value.encode() if isinstance(value, str) else value
                digest.update(f"{'T' if isinstance(value, str) else 'B'}{len(data)}:".encode() + data)
    return digest.hexdigest()


def test_the_hash_of_rows_is_the_one_that_sqlite_defines(tmp_path: Path) -> None:
    rows = [(1, None, 1.5, "a\0b", b"\x00\xff"), (2, -(2**63), 1e300, "it's", b"it's"), (3, "ü", -0.0, "", b"")]
    path = tmp_path / "kinds.db"
    with connected(path) as connection:
        connection.execute("""CREATE TABLE "it's ""odd""\" (id INTEGER PRIMARY KEY, a, b, c, d)""")
        connection.executemany("""INSERT INTO "it's ""odd""\" VALUES (?, ?, ?, ?, ?)""", rows)
    query = """SELECT * FROM "it's ""odd""\" NOT INDEXED"""
    assert hash_tables(path, ['it\'s "odd"']) == {'it\'s "odd"': sha3_of(query, rows)}


def test_tables_whose_rows_cannot_be_read_are_named(artefact: Path) -> None:
    with pytest.raises(content.FileProblem, match=r"^rows of more, trades cannot be read \(.*no such table: trades"):
        hash_tables(artefact, ["fills", "more", "trades"])


# --- Limits -----------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_into_the_time_is_inconclusive(artefact: Path) -> None:
    result = verify(artefact, mode="deep", time_limit=0.0)
    assert (result.status, failed(result)) == ("inconclusive", set())
    assert detail(result, "file") == "the time limit of 0 s was reached"


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000000) SELECT count(*) FROM n"


def test_a_query_ends_when_the_time_is_over(artefact: Path) -> None:
    limit = TimeLimit(0.2)
    with (
        pytest.raises(content.FileProblem, match=r"^the time limit was reached while "),
        opened(artefact, limit=limit) as one,
    ):
        one.execute(ENDLESS).fetchone()
    with pytest.raises(content.FileProblem, match=r"^the time limit of 0.2 s was reached$"):
        hash_queries(artefact, {"endless": ENDLESS}, TimeLimit(0.2))


def verified_in_memory(path: Path, limit: int) -> str:
    """The status of a deep verification by a process of its own, which may allocate so many bytes."""
    script = (
        "import sys; from pathlib import Path; from module_utils.sqlite_verify import verify;"
        f" print(verify(Path(sys.argv[1]), mode='deep', memory_limit={limit}).status)"
    )
    plugins = Path(sqlite_verify.__file__).resolve().parents[1]
    command = [sys.executable, "-c", script, path]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(plugins)}, capture_output=True, check=False)
    assert done.stderr == b""
    return done.stdout.decode().strip()


def test_what_does_not_fit_into_the_memory_is_inconclusive(artefact: Path) -> None:
    assert verified_in_memory(compress(artefact, ".xz"), 1 << 20) == "inconclusive"


def test_the_memory_that_is_enough_does_not_grow_with_the_database(tmp_path: Path) -> None:
    limit = 50 << 20
    large = make_ledger(tmp_path / "large.db", rows=8_000, note_size=6_000, journal_mode="delete")
    assert large.stat().st_size > limit
    assert verified_in_memory(compress(large, ".zst"), limit) == "ok"


def test_a_memory_limit_ends_with_the_verification(artefact: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    assert verify(artefact, memory_limit=1 << 40).status == "ok"
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


# --- Scratch space ----------------------------------------------------------------------------------------------------


def test_too_little_scratch_space_is_inconclusive_and_says_how_much(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content.shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(0, 0, 1000))
    result = verify(artefact, scratch_directory=tmp_path)
    assert result.status == "inconclusive"
    text = detail(result, "copy")
    assert text.startswith(f"{tmp_path}/ballast-verify-")
    assert text.endswith(f" has 1000 bytes free, {artefact.stat().st_size} are needed")


def test_what_a_killed_run_left_is_removed_by_the_next_one_and_nothing_of_a_living_one(
    artefact: Path, tmp_path: Path
) -> None:
    def work() -> object:
        holder = content.scratch(sqlite_verify.SCRATCH, tmp_path)
        (holder.__enter__() / "content.db").touch()
        return holder

    def left() -> int:
        return len(list(tmp_path.glob(f"{sqlite_verify.SCRATCH}*")))

    with other_process(work):
        assert verify(artefact, scratch_directory=tmp_path).status == "ok"
        assert left() == 1
    assert left() == 1, "a killed run cleans nothing"
    assert verify(artefact, scratch_directory=tmp_path).status == "ok"
    assert left() == 0


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
    assert has_wal_reset_bug(version) is affected


def test_the_default_clock_is_utc(artefact: Path) -> None:
    newest = (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    sql(f"UPDATE orders SET at='{newest}' WHERE id=7")(artefact)  # noqa: S608 - ours
    result = verify(artefact, freshness=Freshness("orders", "at", max_age=60))
    assert result.problems == []
