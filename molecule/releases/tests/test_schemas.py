# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollback over a migration of the ledger. The last tests of the scenario: a ledger only goes forward."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Play = Callable[..., Any]
Status = Callable[[], dict[str, Any]]
MIGRATIONS = Path(__file__).parents[3] / "roles/ledger/files/migrations"
PRESENT = max(int(path.name[:4]) for path in MIGRATIONS.iterdir())


def engine(quantity: int, newest: int) -> dict[str, Any]:
    """The variables of a release of its own, whose engine works with schemas up to ``newest``."""
    parameters = {"symbol": "AAPL", "quantity": quantity, "interval_seconds": 2, "max_position": 20}
    return {
        "trading_engine_config": {"strategy": {"name": "demo", "parameters": parameters}},
        "trading_engine_ledger_schemas": {"oldest": 2, "newest": newest},
    }


@pytest.fixture(scope="module")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with one migration more than there is."""
    folder = tmp_path_factory.mktemp("migrations")
    for migration in MIGRATIONS.iterdir():
        (folder / migration.name).write_text(migration.read_text())
    (folder / f"{PRESENT + 1:04}_fees.sql").write_text("CREATE TABLE fees (id INTEGER PRIMARY KEY);\n")
    return str(folder)


def test_a_migration_without_a_way_back_is_refused_until_it_is_confirmed(
    play: Play, status: Status, migrations: str
) -> None:
    done = play("deploy", **engine(6, newest=PRESENT))
    assert done.status == 0, done.output
    narrow = status()["release"]
    wide = engine(7, newest=99)

    done = play("deploy", ledger_migrations=migrations, **wide)
    assert done.status != 0
    assert done.changed == []
    assert f"the newest schema that the running release {narrow} works with" in done.text
    assert status()["release"] == narrow

    done = play("deploy", ledger_migrations=migrations, ledger_confirm_no_rollback="dev-main", **wide)
    assert done.status == 0, done.output
    after = status()
    assert after["healthy"], after
    assert after["previous"] == narrow


def test_a_rollback_to_a_release_that_does_not_know_the_schema_is_refused_with_the_way_out(
    play: Play, status: Status
) -> None:
    before = status()
    done = play("rollback")
    assert done.status != 0
    assert (
        f"the ledger has schema {PRESENT + 1}, and the engine of release {before['previous']} works with 2" in done.text
    )
    assert f"restore the snapshot that was taken before migration {PRESENT + 1:04}" in done.text
    assert all(status()[fact] == before[fact] for fact in ("release", "previous", "slot", "units"))


def test_a_rollback_to_a_release_that_declares_the_schema_works(play: Play, status: Status, migrations: str) -> None:
    before = status()
    assert play("deploy", ledger_migrations=migrations, **engine(8, newest=99)).status == 0
    done = play("rollback")
    assert done.status == 0, done.output
    assert (status()["release"], status()["healthy"]) == (before["release"], True)
