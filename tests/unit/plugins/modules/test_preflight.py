# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module looks at the host it runs on, changes nothing and leaves the verdict to its caller."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.ballast.trading.plugins.module_utils.activation import Activator
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_migrate import Ownership, load_migrations, migrate
from ansible_collections.ballast.trading.plugins.modules import preflight
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed

LEDGER = {"owner": os.geteuid(), "group": os.getegid(), "mode": "0640", "stack": "dev-main", "no_rollback": False}
GOOD = {"name": "0001_initial.sql", "content": "CREATE TABLE orders (id INTEGER PRIMARY KEY);"}


def run(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of the module."""
    with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
        preflight.main()
    assert ended.value.code == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_is_asked_for_is_judged_and_nothing_changes(capsys: pytest.CaptureFixture[str], check_mode: bool) -> None:
    result = run(capsys, {"_ansible_check_mode": check_mode, "paths": ["/"], "min_free_gb": 1e9, "min_memory_mb": 0})
    assert result["changed"] is False
    assert result["facts"]["disks"].keys() == {"/"}
    free = result["facts"]["disks"]["/"]["free_bytes"] / 1024**3
    assert {
        "where": "host: disk space on / (holds /)",
        "seen": f"{free:.1f} GiB free",
        "wanted": "at least 1e+09 GiB free",
        "fix": "Free or add space ('docker system df' shows what images hold), or lower preflight_min_free_gb.",
        "source": "",
    } in result["problems"]


def test_the_defaults_look_at_the_folders_of_a_stack(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, {})["facts"]["disks"].keys() == {"/var/lib", "/opt", "/var/backups"}


@pytest.mark.parametrize(
    ("migrations", "seen"),
    [
        ([GOOD], None),
        ([], "there are no migrations"),
        (
            [{**GOOD, "name": "0002_more.sql"}],
            "the migration with number 0001 is missing: the next file is 0002_more.sql",
        ),
        ([GOOD, {"name": "0002_fees.sql", "content": "INSERT INTO fees VALUES (1);"}], "no such table: fees"),
    ],
)
def test_migrations_that_do_not_fit_the_ledger_are_a_problem(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    migrations: list[dict[str, str]],
    seen: str | None,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    path = tmp_path / "ledger" / "trades.db"
    ledger = {**LEDGER, "path": str(path), "migrations": migrations}
    result = run(capsys, {"ledger": ledger})
    found = [problem["seen"] for problem in result["problems"] if problem["where"] == "ledger_migrations"]
    assert result["facts"].get("ledger") == (None if seen else {"up_to_date": False, "wanted": ledger})
    assert len(found) == (seen is not None)
    assert all(seen in text for text in found if seen)
    assert not path.parent.exists()


def test_only_root_looks_at_the_ledger(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = run(capsys, {"ledger": {**LEDGER, "path": "/var/lib/ballast/trades.db", "migrations": []}})
    assert [problem["where"] for problem in result["problems"] if problem["where"] == "ledger_migrations"] == []
    assert "ledger" not in result["facts"]


def test_a_ledger_is_up_to_date_when_it_has_every_migration_and_its_owner(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "trades.db"
    migrations = load_migrations([(GOOD["name"], GOOD["content"])])
    migrate(path, migrations, snapshot_directory=tmp_path, ownership=Ownership(os.geteuid(), os.getegid(), 0o640))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    ledger = {**LEDGER, "path": str(path), "migrations": [GOOD]}
    assert run(capsys, {"ledger": ledger})["facts"]["ledger"] == {"up_to_date": True, "wanted": ledger}
    path.chmod(0o644)
    assert run(capsys, {"ledger": ledger})["facts"]["ledger"] == {"up_to_date": False, "wanted": ledger}


@pytest.mark.parametrize(
    ("newest", "confirmed", "wanted"),
    [
        ("0003_more.sql", False, None),
        ("0101_other.sql", True, None),
        ("0101_other.sql", False, "at most 99, the newest schema that the running release {} works with"),
    ],
)
def test_a_migration_without_a_way_back_wants_to_be_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: str, confirmed: bool, wanted: str | None
) -> None:
    host = FakeHost(deployed(tmp_path), monkeypatch)
    ledger = {**LEDGER, "no_rollback": confirmed, "migrations": [{**GOOD, "name": newest}]}
    assert preflight.judge_way_back(ledger, tmp_path) is None  # nothing runs yet
    release = host.stage(ledger_schemas={"oldest": 2, "newest": 99})
    Activator(host.stack).activate(release)
    problem = preflight.judge_way_back(ledger, tmp_path)
    assert (problem.wanted if problem else None) == (wanted.format(release.id) if wanted else None)
    if problem:
        assert problem.fix.endswith("-e ledger_confirm_no_rollback=dev-main")
