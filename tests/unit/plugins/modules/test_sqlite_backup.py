# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.manifest import list_backups
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import verify
from ansible_collections.ballast.trading.plugins.modules import sqlite_backup
from tests.unit.plugins.sqlite_samples import connected, make_ledger, run_module


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    """A database, and a directory for its snapshots, as arguments."""
    (tmp_path / "backups").mkdir()
    return {"path": str(make_ledger(tmp_path / "trades.db", rows=20)), "directory": str(tmp_path / "backups")}


def test_a_snapshot_is_made_and_told(place: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    result = run_module(sqlite_backup, {**place, "name": "trial"}, capsys)
    assert (result["changed"], result["removed"]) == (True, [])
    assert result["path"].endswith("Z-trial.db.zst")
    assert result["manifest"]["tables"]["orders"]["rows"] == 20
    assert verify(Path(result["path"]), mode="deep", manifest=Path(result["manifest_path"])).status == "ok"


def test_check_mode_makes_nothing(place: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_module(sqlite_backup, place, capsys, check_mode=True)["changed"] is True
    assert os.listdir(place["directory"]) == []  # noqa: PTH208


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_missing_database_fails(
    place: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], check_mode: bool
) -> None:
    missing = tmp_path / "no.db"
    result = run_module(sqlite_backup, {**place, "path": str(missing)}, capsys, check_mode)
    assert result["failed"]
    assert result["msg"].endswith(f"{missing} does not exist")


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_missing_directory_fails(
    place: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], check_mode: bool
) -> None:
    result = run_module(sqlite_backup, {**place, "directory": str(tmp_path / "no")}, capsys, check_mode)
    assert result["msg"] == f"the backup directory {tmp_path / 'no'} does not exist"


def test_an_empty_database_is_no_backup(
    place: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with connected(tmp_path / "empty.db") as connection:
        connection.execute("PRAGMA user_version=1")
    result = run_module(sqlite_backup, {**place, "path": str(tmp_path / "empty.db")}, capsys, check_mode=True)
    assert result["msg"] == f"{tmp_path / 'empty.db'} has no tables: there is nothing to back up"


def test_a_retention_that_would_lose_what_was_just_made_is_refused(
    place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_module(sqlite_backup, {**place, "keep_days": 0}, capsys)
    assert result["msg"] == "keep_days is 0 but must be 1 or more"


def test_old_snapshots_are_removed(place: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    for _time in range(9):
        run_module(sqlite_backup, {**place, "compress": False}, capsys)
        time.sleep(0.002)  # a snapshot is named by its millisecond
    folder = Path(place["directory"])
    for one in list_backups(folder)[-2:]:
        for path in (one.path, one.manifest_path):
            path.rename(folder / path.name.replace(path.name[:4], "2020"))
    result = run_module(sqlite_backup, {**place, "keep_days": 30}, capsys)
    assert [name[:4] for name in result["removed"]] == ["2020", "2020"]
