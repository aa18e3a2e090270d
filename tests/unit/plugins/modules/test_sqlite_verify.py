# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import snapshot
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import Verification
from ansible_collections.ballast.trading.plugins.modules import sqlite_verify
from tests.unit.plugins.sqlite_samples import ROWS, SCHEMA_VERSION, make_ledger, run_module


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_ledger(tmp_path / "trades.db")


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_good_database_passes_and_nothing_changes(
    path: Path, capsys: pytest.CaptureFixture[str], check_mode: bool
) -> None:
    arguments = {
        "path": str(path),
        "schema_version": SCHEMA_VERSION,
        "tables": ["orders"],
        "min_rows": {"orders": ROWS, "fills": str(ROWS)},
        "freshness": {"table": "orders", "column": "at", "max_age": 10**9, "max_future": 10**9},
    }
    result = run_module(sqlite_verify, arguments, capsys, check_mode)
    assert (result["status"], result["changed"], result["failed_checks"]) == ("ok", False, [])
    assert {name: table["rows"] for name, table in result["tables"].items()} == {
        "orders": ROWS,
        "fills": ROWS,
        "empty": 0,
    }
    assert [check["name"] for check in result["checks"]] == [
        "file", "sidecars", "checksum", "copy", "header", "opens", "integrity", "foreign_keys", "tables", "rows",
        "min_rows", "schema_version", "freshness",
    ]  # fmt: skip


def test_a_snapshot_is_compared_with_its_manifest(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = snapshot(path, tmp_path)
    arguments = {"path": str(taken.path), "manifest": str(taken.manifest_path), "mode": "deep"}
    result = run_module(sqlite_verify, arguments, capsys)
    assert result["status"] == "ok"
    assert result["tables"] == taken.manifest["tables"]


def test_a_bad_database_fails_the_task_with_every_problem_and_the_whole_result(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"path": str(path), "schema_version": 9, "min_rows": {"fills": 500}}
    result = run_module(sqlite_verify, arguments, capsys)
    assert (result["failed"], result["status"]) == (True, "failed")
    assert result["failed_checks"] == ["min_rows", "schema_version"]
    assert result["msg"] == (
        f"{path} is bad, 2 of 12 checks failed: min_rows: fills has 400 rows, expected at least 500;"
        " schema_version: schema version (user_version) is 3, expected 9"
    )
    assert result["size_bytes"] == path.stat().st_size


@pytest.mark.parametrize("name", ["missing.db", "page.db"])
def test_a_bad_database_is_only_reported_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "page.db").write_text("<html>" * 999)
    result = run_module(sqlite_verify, {"path": str(tmp_path / name), "fail": False}, capsys)
    assert (result.get("failed", False), result["status"], result["changed"]) == (False, "failed", False)


def test_what_could_not_be_tried_fails_the_task_too(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"path": str(path), "scratch_directory": str(path.parent / "no")}
    result = run_module(sqlite_verify, arguments, capsys)
    assert (result["failed"], result["status"], result["failed_checks"]) == (True, "inconclusive", [])
    assert result["msg"].startswith(
        f"{path} is not verified, 7 of 10 checks inconclusive: copy: No such file or directory ({path.parent}/no/"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"min_rows": {"orders": "many"}}, "min_rows of table orders is 'many' but must be a whole number"),
        ({"live": True, "sha256": "0"},
         "sha256 and manifest describe a file at rest: they cannot be compared with a live database"),
    ],
)  # fmt: skip
def test_senseless_arguments_fail(
    path: Path, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], text: str
) -> None:
    result = run_module(sqlite_verify, {"path": str(path), **arguments}, capsys)
    assert (result["failed"], result["msg"]) == (True, text)


def test_every_value_that_is_returned_is_documented() -> None:
    documented = set(yaml.safe_load(sqlite_verify.RETURN))
    assert documented == {field.name for field in fields(Verification)} | {"status", "failed_checks"}
