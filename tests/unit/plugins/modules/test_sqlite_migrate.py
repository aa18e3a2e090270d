# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import grp
import os
import pwd
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.sqlite_read import has_wal_reset_bug
from ansible_collections.ballast.trading.plugins.modules import sqlite_migrate
from tests.unit.plugins.sqlite_samples import connected, run_module

FIRST = {"name": "0001_initial.sql", "content": "CREATE TABLE orders (id INTEGER PRIMARY KEY);"}
SECOND = {"name": "0002_side.sql", "content": "ALTER TABLE orders ADD COLUMN side TEXT;"}
BROKEN = {"name": "0002_side.sql", "content": "ALTER TABLE order ADD COLUMN side TEXT;"}
LIBRARY = {
    "sqlite_version": sqlite3.sqlite_version,
    "wal_reset_bug": has_wal_reset_bug(sqlite3.sqlite_version_info),
}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    return {"path": str(tmp_path / "trades.db"), "snapshot_directory": str(tmp_path), "migrations": [FIRST]}


def run(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], check_mode: bool = False) -> dict[str, Any]:
    result = run_module(sqlite_migrate, arguments, capsys, check_mode)
    result.pop("invocation")
    return result


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_new_database_is_reported_the_same_in_check_mode(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str], check_mode: bool
) -> None:
    result = run(capsys, arguments, check_mode)
    facts = {"path": arguments["path"], "created": True, "applied": ["0001_initial.sql"], "ownership_changed": []}
    assert {name: result[name] for name in (*facts, *LIBRARY)} == {**facts, **LIBRARY}
    assert (result["changed"], result["schema_version_before"], result["schema_version"]) == (True, 0, 1)
    assert result["diff"] == {
        "before": {"exists": False, "schema_version": 0, "migrations": []},
        "after": {"exists": True, "schema_version": 1, "migrations": ["0001_initial.sql"]},
    }
    assert "snapshot" not in result
    assert Path(arguments["path"]).exists() is not check_mode


def test_a_second_run_changes_nothing(arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, arguments)
    result = run(capsys, arguments)
    assert (result["changed"], result["applied"], result["created"]) == (False, [], False)
    assert result["diff"]["before"] == result["diff"]["after"]


def test_an_upgrade_tells_its_snapshot(arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, arguments)
    result = run(capsys, {**arguments, "migrations": [SECOND, FIRST]})
    assert (result["changed"], result["applied"]) == (True, ["0002_side.sql"])
    assert (result["schema_version_before"], result["schema_version"]) == (1, 2)
    assert Path(result["snapshot"]).exists()


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_broken_migration_fails_the_task_in_check_mode_too(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str], check_mode: bool
) -> None:
    run(capsys, arguments)
    result = run(capsys, {**arguments, "migrations": [FIRST, BROKEN]}, check_mode)
    assert (result["failed"], result["changed"], result["applied"]) == (True, False, [])
    assert result["msg"] == (
        '0002_side.sql, line 1: near "order": syntax error, in: ALTER TABLE order ADD COLUMN side TEXT;'
        f" found on a scratch copy: {arguments['path']} was not touched"
    )


def test_a_failure_on_the_way_tells_what_was_done(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, arguments)
    monkeypatch.setitem(sqlite_migrate.migrate.__globals__, "_rehearse", lambda *_arguments: None)
    third = {"name": "0003_x.sql", "content": "DROP TABLE nothing_here;"}
    result = run(capsys, {**arguments, "migrations": [FIRST, SECOND, third]})
    assert (result["failed"], result["changed"], result["applied"]) == (True, True, ["0002_side.sql"])
    assert Path(result["snapshot"]).exists()
    assert result["msg"] == (
        "0003_x.sql, line 1: no such table: nothing_here, in: DROP TABLE nothing_here;"
        f" applied before: 0002_side.sql; snapshot: {result['snapshot']}"
    )


@as_root
@pytest.mark.parametrize(
    ("owner", "group", "mode"),
    [("10001", "10001", "0640"), ("nobody", "nogroup", "640"), (10001, 10001, 0o640)],
    ids=["numbers in text", "names", "numbers"],
)
def test_owner_group_and_mode_are_understood(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str], owner: Any, group: Any, mode: Any
) -> None:
    run(capsys, {**arguments, "owner": owner, "group": group, "mode": mode})
    status = Path(arguments["path"]).stat()
    uid = pwd.getpwnam("nobody").pw_uid if owner == "nobody" else 10001
    gid = grp.getgrnam("nogroup").gr_gid if group == "nogroup" else 10001
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (uid, gid, 0o640)


@as_root
def test_a_corrected_owner_is_a_change_with_a_diff(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, arguments)
    result = run(capsys, {**arguments, "owner": "10001"}, check_mode=True)
    assert (result["changed"], result["ownership_changed"]) == (True, [arguments["path"]])
    assert result["diff"]["before"]["wrong_ownership"] == [arguments["path"]]
    assert result["diff"]["after"]["wrong_ownership"] == []


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("owner", "no_such_user", "the owner 'no_such_user' does not exist on this host"),
        ("group", "no_such_group", "the group 'no_such_group' does not exist on this host"),
        ("mode", "u=rw", "mode is 'u=rw' but must be octal digits in quotes, like '0640'"),
        ("migrations", [SECOND], "the migration with number 0001 is missing: the next file is 0002_side.sql"),
    ],
)
def test_wrong_arguments_fail_and_are_named(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str], option: str, value: Any, text: str
) -> None:
    result = run(capsys, {**arguments, option: value})
    assert (result["failed"], result["msg"]) == (True, text)
    assert not Path(arguments["path"]).exists()


def test_an_owner_that_is_yet_to_be_made_is_no_error_in_check_mode(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, {**arguments, "owner": "no_such_user"}, check_mode=True)["changed"] is True


def test_a_stack_is_named_in_the_manifest(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(capsys, arguments)
    run(capsys, {**arguments, "migrations": [FIRST, SECOND], "stack": "dev-main", "scratch_directory": str(tmp_path)})
    [manifest] = tmp_path.glob("*.manifest.json")
    assert '"stack": "dev-main"' in manifest.read_text()
    with connected(Path(arguments["path"])) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
