# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots: what is published is good, and nothing else looks as if it were."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import content, sqlite_read, sqlite_snapshot
from ansible_collections.ballast.trading.plugins.module_utils import manifest as manifests
from ansible_collections.ballast.trading.plugins.module_utils.manifest import BackupError, list_backups
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import snapshot
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import verify
from tests.unit.plugins.sqlite_samples import (
    ROWS,
    SCHEMA_VERSION,
    connected,
    holding,
    make_ledger,
    name_of,
    only,
    other_process,
)

NOW = datetime(2026, 11, 22, 20, 45, 1, 123456, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return make_ledger(tmp_path / "trades.db")


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- A good snapshot --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("compress", "suffix"), [(True, ".zst"), (False, "")])
def test_a_snapshot_is_an_artefact_and_a_manifest_that_verify_deeply(
    ledger: Path, backups: Path, compress: bool, suffix: str
) -> None:
    taken = snapshot(ledger, backups, compress=compress, now=NOW)
    artefact = f"20261122T204501.123Z-ledger.db{suffix}"
    assert names(backups) == [artefact, f"{artefact}.manifest.json"]
    assert (taken.path, taken.size_bytes) == (backups / artefact, (backups / artefact).stat().st_size)
    result = verify(taken.path, mode="deep", manifest=taken.manifest_path)
    assert result.problems == []
    assert result.journal_mode == "delete"
    assert result.page_size == 4096


def test_the_manifest_says_what_was_in_the_database_and_what_lies_on_disk(ledger: Path, backups: Path) -> None:
    taken = snapshot(ledger, backups, name="trades", stack="dev-main", now=NOW)
    manifest = json.loads(taken.manifest_path.read_text())
    assert manifest == taken.manifest
    tables = manifest.pop("tables")
    assert {name: table["rows"] for name, table in tables.items()} == {"orders": ROWS, "fills": ROWS, "empty": 0}
    assert {len(table["row_hash"]) for table in tables.values()} == {64}
    assert manifest == {
        "schema": 2,
        "name": "trades",
        "class": "snapshot",
        "stack": "dev-main",
        "host": os.uname().nodename,
        "source": str(ledger),
        "created_at": "2026-11-22T20:45:01.123Z",
        "artefact": {
            "file": "20261122T204501.123Z-trades.db.zst",
            "size_bytes": taken.size_bytes,
            "sha256": content.sha256_of(taken.path),
        },
        "content": {"size_bytes": ledger.stat().st_size, "sha256": content.content_sha256_of(taken.path)},
        "sqlite_version": sqlite3.sqlite_version,
        "wal_reset_bug": sqlite_read.has_wal_reset_bug(sqlite3.sqlite_version_info),
        "user_version": SCHEMA_VERSION,
        "application_id": 0,
        "schema_sha256": manifest["schema_sha256"],
    }


def test_only_the_owner_can_read_it_whatever_the_umask(ledger: Path, backups: Path) -> None:
    before = os.umask(0)
    try:
        snapshot(ledger, backups)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in backups.iterdir()} == {0o600}


def test_the_source_and_its_folder_stay_as_they_are(ledger: Path, backups: Path) -> None:
    before = ledger.read_bytes()
    snapshot(ledger, backups)
    assert ledger.read_bytes() == before
    assert names(ledger.parent) == ["backups", "trades.db"]


def test_rows_that_are_still_in_the_wal_are_in_the_snapshot(ledger: Path, backups: Path) -> None:
    with other_process(holding(ledger, "PRAGMA wal_autocheckpoint=0", "INSERT INTO empty VALUES (7)")):
        assert snapshot(ledger, backups).manifest["tables"]["empty"]["rows"] == 1


def write_pairs(ledger: Path) -> None:
    """Commits one order and its fill at a time, until killed."""
    with connected(ledger) as connection:
        for number in range(ROWS + 1, 10_000_000):
            connection.execute("BEGIN IMMEDIATE")
            order = (number, f"reference-{number:06}", number)
            connection.execute("INSERT INTO orders VALUES (?, ?, ?, 1, '', '{}', '')", order)
            connection.execute("INSERT INTO fills (order_id, quantity) VALUES (?, 1)", (number,))
            connection.execute("COMMIT")


def test_a_snapshot_is_one_moment_of_a_database_that_is_being_written(ledger: Path, backups: Path) -> None:
    writer = multiprocessing.get_context("fork").Process(target=write_pairs, args=(ledger,), daemon=True)
    writer.start()
    try:
        rows = []
        for _time in range(8):
            tables = snapshot(ledger, backups, compress=False).manifest["tables"]
            assert tables["orders"]["rows"] == tables["fills"]["rows"]
            rows.append(tables["orders"]["rows"])
        assert writer.is_alive(), "the writer was disturbed"
    finally:
        writer.kill()
        writer.join()
    assert rows == sorted(rows)
    assert rows[0] < rows[-1], "the writer was blocked"


# --- Retention --------------------------------------------------------------------------------------------------------


def test_snapshots_are_listed_newest_first_with_what_is_wrong_with_them(ledger: Path, backups: Path) -> None:
    taken = [snapshot(ledger, backups, name=name, now=NOW + timedelta(days=day)) for day, name in enumerate("zab")]
    other = snapshot(ledger, backups, name="c", now=NOW + timedelta(days=3))
    taken[0].path.write_bytes(b"short")
    taken[1].path.unlink()
    taken[2].manifest_path.write_text("{}")
    (backups / "notes.manifest.json").write_text("{}")
    assert [(one.path, one.created_at, one.problem) for one in list_backups(backups)] == [
        (other.path, datetime(2026, 11, 25, 20, 45, 1, 123000, tzinfo=UTC), None),
        (taken[2].path, datetime(2026, 11, 24, 20, 45, 1, 123000, tzinfo=UTC),
         f"{taken[2].manifest_path} is not a manifest: KeyError('artefact')"),
        (taken[1].path, datetime(2026, 11, 23, 20, 45, 1, 123000, tzinfo=UTC),
         f"{taken[1].path} does not exist, only its manifest"),
        (taken[0].path, datetime(2026, 11, 22, 20, 45, 1, 123000, tzinfo=UTC),
         f"{taken[0].path} has 5 bytes, its manifest says {taken[0].size_bytes}"),
    ]  # fmt: skip


@pytest.fixture
def only_the_newest_is_always_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "ALWAYS_KEPT", 1)


@pytest.mark.usefixtures("only_the_newest_is_always_kept")
def test_snapshots_older_than_the_retention_are_removed(ledger: Path, backups: Path) -> None:
    days = {days: snapshot(ledger, backups, now=NOW - timedelta(days=days)).path.name for days in (40, 31, 29, 1)}
    taken = snapshot(ledger, backups, keep_days={"snapshot": 30}, now=NOW)
    assert taken.removed == [days[40], days[31]]
    assert [one.path.name for one in list_backups(backups)] == [taken.path.name, days[1], days[29]]
    assert len(names(backups)) == 6


def test_without_a_retention_nothing_is_removed(ledger: Path, backups: Path) -> None:
    snapshot(ledger, backups, now=NOW - timedelta(days=4000))
    assert snapshot(ledger, backups, now=NOW).removed == []
    assert len(list_backups(backups)) == 2


def test_a_clock_that_is_ahead_leaves_a_week_of_snapshots(ledger: Path, backups: Path) -> None:
    days = [snapshot(ledger, backups, now=NOW - timedelta(days=days)).path for days in range(9)]
    ahead = snapshot(ledger, backups, keep_days={"snapshot": 30}, now=NOW + timedelta(days=365))
    assert [one.path for one in list_backups(backups)] == [ahead.path, *days[:6]]


@pytest.mark.usefixtures("only_the_newest_is_always_kept")
def test_the_newest_good_snapshot_is_kept_whatever_its_age(ledger: Path, backups: Path) -> None:
    """A clock that was years behind and jumps forward must not leave us with nothing."""
    old = snapshot(ledger, backups, now=NOW - timedelta(days=400))
    older = snapshot(ledger, backups, now=NOW - timedelta(days=500))
    assert manifests.prune(backups, {"snapshot": 30}, NOW) == [older.path.name]
    assert [one.path for one in list_backups(backups)] == [old.path]


@pytest.mark.usefixtures("only_the_newest_is_always_kept")
def test_a_damaged_snapshot_does_not_count_as_the_newest_good_one(ledger: Path, backups: Path) -> None:
    good = snapshot(ledger, backups, now=NOW - timedelta(days=500))
    damaged = snapshot(ledger, backups, now=NOW - timedelta(days=400))
    damaged.path.write_bytes(b"")
    assert manifests.prune(backups, {"snapshot": 30}, NOW) == [damaged.path.name]
    assert [one.path for one in list_backups(backups)] == [good.path]


def test_an_artefact_without_manifest_is_removed_in_its_time_and_strangers_never(ledger: Path, backups: Path) -> None:
    for name in ("20261001T000000.000Z-ledger.db.zst", "20261121T000000.000Z-ledger.db", "notes.txt", "old.db"):
        (backups / name).write_text("x")
    taken = snapshot(ledger, backups, keep_days={"snapshot": 30}, now=NOW)
    assert taken.removed == ["20261001T000000.000Z-ledger.db.zst"]
    strangers = ["20261121T000000.000Z-ledger.db", "notes.txt", "old.db"]
    assert names(backups) == sorted([*strangers, taken.path.name, taken.manifest_path.name])


@pytest.mark.usefixtures("only_the_newest_is_always_kept")
def test_a_snapshot_that_was_made_is_named_when_older_ones_cannot_be_removed(
    ledger: Path, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = snapshot(ledger, backups, now=NOW - timedelta(days=40))
    unlink = Path.unlink

    def fail(path: Path, missing_ok: bool = False) -> None:
        if path == old.manifest_path:
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    published = backups / "20261122T204501.123Z-ledger.db.zst"
    assert refused(ledger, backups, keep_days={"snapshot": 30}, now=NOW) == (
        f"{published} was made and is good, but older ones could not be removed:"
        f" {old.manifest_path}: Operation not permitted"
    )
    assert [one.path for one in list_backups(backups)] == [published, old.path]


# --- Refusals ---------------------------------------------------------------------------------------------------------


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(BackupError) as caught:
        snapshot(*arguments, **options)
    return str(caught.value)


def test_a_missing_source_is_refused(tmp_path: Path, backups: Path) -> None:
    path = tmp_path / "nothing.db"
    assert refused(path, backups) == f"no snapshot of {path} was made: {path} does not exist"
    assert names(tmp_path) == ["backups"], "an empty database must not be made"


def test_an_empty_database_is_refused(tmp_path: Path, backups: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    text = f"{path} has no tables: there is nothing to back up; is it the right database?"
    assert refused(path, backups) == text


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, backups: Path) -> None:
    path = tmp_path / "page.db"
    path.write_text("<html>" * 999)
    text = f"no snapshot of {path} was made: {path} is not a SQLite database (file is not a database)"
    assert refused(path, backups) == text


def test_a_damaged_source_is_refused(ledger: Path, backups: Path) -> None:
    with connected(ledger) as connection:
        connection.execute("PRAGMA ignore_check_constraints=1")
        connection.execute("UPDATE orders SET quantity=-5 WHERE id=7")
        connection.execute("INSERT INTO fills (order_id, quantity) VALUES (9999, 1)")
    assert refused(ledger, backups) == (
        "no snapshot was made, because the database itself is damaged:"
        " CHECK constraint failed in orders; fills: row 401 has no parent in orders"
    )
    assert names(backups) == []


def test_a_source_whose_index_does_not_fit_its_table_is_refused(ledger: Path, backups: Path) -> None:
    with connected(ledger) as connection:
        connection.execute("PRAGMA writable_schema=1")
        connection.execute(
            "UPDATE sqlite_master SET sql='CREATE INDEX orders_at ON orders (note)' WHERE name='orders_at'"
        )
    text = "no snapshot was made, because the database itself is damaged: row 1 missing from index orders_at; "
    assert refused(ledger, backups).startswith(text)
    assert names(backups) == []


def test_a_missing_directory_is_refused(ledger: Path, tmp_path: Path) -> None:
    assert refused(ledger, tmp_path / "no") == f"the backup directory {tmp_path / 'no'} does not exist"


def test_a_name_that_is_no_file_name_is_refused(ledger: Path, backups: Path) -> None:
    text = "the backup name is '../x' but may only hold letters, digits, '.', '_' and '-'"
    assert refused(ledger, backups, name="../x") == text


def test_an_existing_snapshot_is_never_overwritten(ledger: Path, backups: Path) -> None:
    taken = snapshot(ledger, backups, now=NOW)
    assert refused(ledger, backups, now=NOW) == f"{taken.path} exists already: has the clock been set back?"
    assert verify(taken.path, manifest=taken.manifest_path).status == "ok"


def test_a_missing_zstd_is_refused_and_not_needed_without_compression(
    ledger: Path, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "sqlite3")
    assert (
        refused(ledger, backups)
        == f"no snapshot of {ledger} was made: the program zstd is not installed on this host; install the package zstd"
    )
    assert snapshot(ledger, backups, compress=False).path.exists()


def test_two_snapshots_at_once_are_refused_and_the_other_is_named(ledger: Path, backups: Path) -> None:
    def lock() -> int:
        descriptor = os.open(backups, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    with other_process(lock) as pid:
        assert refused(ledger, backups) == f"another backup is being made in {backups} by {name_of(pid)}"
    assert snapshot(ledger, backups).path.exists(), "the lock of a killed process must be gone"


def test_a_locked_database_is_refused_and_its_holder_named(tmp_path: Path, backups: Path) -> None:
    path = make_ledger(tmp_path / "trades.db", journal_mode="delete")
    with other_process(holding(path, "BEGIN EXCLUSIVE")) as pid:
        assert refused(path, backups, timeout=0.1) == (
            f"no snapshot of {path} was made: {path} is locked by another connection (database is locked);"
            f" it is open in {name_of(pid)}"
        )


@pytest.mark.parametrize(("compress", "factor"), [(True, 2.1), (False, 1.1)])
def test_too_little_space_is_refused_before_anything_is_written(
    ledger: Path, backups: Path, monkeypatch: pytest.MonkeyPatch, compress: bool, factor: float
) -> None:
    monkeypatch.setattr(content.shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(0, 0, 1000))
    monkeypatch.setattr(sqlite_snapshot, "copy_online", None)
    needed = int(ledger.stat().st_size * factor)
    assert refused(ledger, backups, compress=compress) == (
        f"no snapshot of {ledger} was made: {backups} has 1000 bytes free, {needed} are needed"
    )


# --- Trouble in the middle --------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory with room for half a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (3000, "no snapshot of {ledger} was made: no space is left for {content} (database or disk is full)"),
        (500, "zstd could not compress {content}: "),
    ],
    ids=["while copying", "while compressing"],
)
def test_a_full_disk_leaves_nothing_and_says_so(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, rows: int, text: str
) -> None:
    ledger = make_ledger(tmp_path / "trades.db", rows=rows, note_size=0)
    with connected(ledger) as connection:
        connection.execute("UPDATE orders SET note = hex(randomblob(300))")
        connection.execute("VACUUM")
    monkeypatch.setattr(sqlite_snapshot, "require_space", lambda _directory, _needed: None)
    content = small_disk / ".partial-20261122T204501.123Z-ledger.db"
    assert refused(ledger, small_disk, now=NOW).startswith(text.format(ledger=ledger, content=content))
    assert names(small_disk) == []


@pytest.mark.parametrize("step", ["hash_tables", "_compress", "sha256_of", "content_sha256_of"])
def test_an_error_at_any_step_leaves_nothing(
    ledger: Path, backups: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(5, "Input/output error", "/dev/sda")

    monkeypatch.setattr(sqlite_snapshot, step, fail)
    assert refused(ledger, backups) == f"no snapshot of {ledger} was made: /dev/sda: Input/output error"
    assert names(backups) == []


def test_a_compressed_copy_that_does_not_decompress_to_the_same_is_refused(
    ledger: Path, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_snapshot, "content_sha256_of", lambda _path: "0" * 64)
    assert refused(ledger, backups, now=NOW) == (
        f"{backups}/.partial-20261122T204501.123Z-ledger.db.zst does not decompress to what was compressed:"
        " check this host's memory and disk"
    )
    assert names(backups) == []


def test_a_copy_that_lacks_rows_is_refused(ledger: Path, backups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = sqlite_read.copy_online

    def copy_without_last_row(source: sqlite3.Connection, target: Path, timeout: float) -> None:
        copy(source, target, timeout)
        with connected(target) as connection:
            connection.execute("DELETE FROM fills WHERE id=400")

    monkeypatch.setattr(sqlite_snapshot, "copy_online", copy_without_last_row)
    assert refused(ledger, backups).startswith("the copy is not what the database was: expected {'user_version': 3,")
    assert names(backups) == []


def test_killed_runs_leave_nothing_that_looks_good_and_the_next_run_cleans_up(tmp_path: Path, backups: Path) -> None:
    ledger = make_ledger(tmp_path / "trades.db", rows=1500)
    started = time.monotonic()
    snapshot(ledger, backups)
    usual = time.monotonic() - started
    chance = random.Random(20261122)  # noqa: S311 - repeatable on purpose
    litter = 0
    for _time in range(16):
        child = os.fork()
        if child == 0:
            try:
                snapshot(ledger, backups)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        litter += any(name.startswith(".partial-") for name in names(backups))
    for one in list_backups(backups):
        assert verify(one.path, mode="quick", manifest=one.manifest_path).status == "ok"
    assert litter >= 3, "the runs were not killed in their middle"
    last = snapshot(ledger, backups)
    assert not any(name.startswith(".") for name in names(backups))
    assert verify(last.path, mode="deep", manifest=last.manifest_path, min_rows={"orders": 1500}).status == "ok"


@pytest.mark.parametrize("step", ["compressing", "renamed"])
def test_a_run_killed_at_a_late_step_publishes_nothing(
    ledger: Path, backups: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The last moments are short: there the run is killed by a step of its own."""

    def die(*_arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            if step == "compressing":
                monkeypatch.setattr(sqlite_snapshot, "content_sha256_of", die)
            else:  # the artefact has its name, the manifest does not
                monkeypatch.setattr(manifests, "sync_directory", die)
            snapshot(ledger, backups, now=NOW)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert list_backups(backups) == []
    manifest = backups / "20261122T204501.123Z-ledger.db.zst.manifest.json"
    assert verify(Path(str(manifest)[:-14]), manifest=manifest).status == "failed"
    taken = snapshot(ledger, backups, now=NOW + timedelta(seconds=1))
    assert [one.path for one in list_backups(backups)] == [taken.path]
    assert not any(name.startswith(".") for name in names(backups))
