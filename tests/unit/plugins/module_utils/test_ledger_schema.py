# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release runs only where its engine works with the ledger as it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.activation import ActivationError, Activator
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed

SCHEMAS = {"oldest": 2, "newest": 99}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(deployed(tmp_path), monkeypatch)


def write_ledger(host: FakeHost, version: int) -> None:
    host.stack.ledger.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(host.stack.ledger)) as ledger:
        ledger.execute(f"PRAGMA user_version={version}")


@pytest.mark.parametrize("version", [2, 99])
def test_a_schema_that_is_declared_is_no_hindrance(host: FakeHost, version: int) -> None:
    write_ledger(host, version)
    assert Activator(host.stack).activate(host.stage(ledger_schemas=SCHEMAS)).changed


@pytest.mark.parametrize("schemas", [None, {}, {"oldest": 2}])
def test_what_declares_no_schemas_is_not_judged(host: FakeHost, schemas: object) -> None:
    write_ledger(host, 150)
    assert Activator(host.stack).activate(host.stage(ledger_schemas=schemas)).changed


@pytest.mark.parametrize("damage", [None, b"no database at all"])
def test_a_ledger_that_cannot_be_read_is_for_others_to_report(host: FakeHost, damage: bytes | None) -> None:
    if damage:
        write_ledger(host, 150)
        host.stack.ledger.write_bytes(damage)
    assert Activator(host.stack).activate(host.stage(ledger_schemas=SCHEMAS)).changed


def test_a_rollback_over_a_migration_is_refused_with_the_way_out(host: FakeHost) -> None:
    first, second = (
        host.stage("one", ledger_schemas=SCHEMAS),
        host.stage("two", ledger_schemas=SCHEMAS | {"newest": 199}),
    )
    activator = Activator(host.stack)
    activator.activate(first)
    activator.activate(second)
    write_ledger(host, 101)
    host.events.clear()
    with pytest.raises(ActivationError) as refused:
        activator.activate(activator.resolve("previous"))
    assert str(refused.value) == (
        f"release {first.id} of stack dev-main was not activated: the ledger has schema 101, and the engine of release"
        f" {first.id} works with 2 to 99; deploy a release that declares schema 101, or restore the snapshot that was"
        f" taken before migration 0100 ({host.stack.backups}/*-before-0100*, see docs/operations.md), which loses what"
        f" was written since; release {second.id} was left as it is"
    )
    assert host.events == []
    assert activator.is_running(second)


def test_a_ledger_that_is_too_old_wants_a_deploy(host: FakeHost) -> None:
    write_ledger(host, 1)
    with pytest.raises(
        ActivationError, match=r"has schema 1, .* works with 2 to 99; deploy, which migrates the ledger"
    ):
        Activator(host.stack).activate(host.stage(ledger_schemas=SCHEMAS))


def test_a_failed_release_does_not_give_way_to_one_that_cannot_read_the_ledger(host: FakeHost) -> None:
    first = host.stage("one", ledger_schemas=SCHEMAS)
    activator = Activator(host.stack)
    activator.activate(first)
    write_ledger(host, 101)
    broken = host.stage("two", engine_is="crashes", ledger_schemas=SCHEMAS | {"newest": 199})
    with pytest.raises(ActivationError, match=r"NOTHING TRADES: .* \(the ledger has schema 101, and"):
        activator.activate(broken)
    assert host.running == {"ballast-dev-main-gateway"}
