# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import hold, ib_api, services, status
from ansible_collections.ballast.trading.plugins.module_utils.activation import Activator
from ansible_collections.ballast.trading.plugins.module_utils.books import Books
from ansible_collections.ballast.trading.plugins.module_utils.control import Soak, Switch, write_soak, write_switch
from ansible_collections.ballast.trading.plugins.module_utils.journal import Operator
from ansible_collections.ballast.trading.plugins.module_utils.readiness import Readiness
from ansible_collections.ballast.trading.plugins.module_utils.releases import ReleaseStore
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import snapshot
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack
from ansible_collections.ballast.trading.plugins.module_utils.status import stack_status, status_table
from tests.unit.plugins.module_utils.fake_host import FakeHost, Killed, deployed

HEALTH: dict[str, Any] = {
    "role": "trading",
    "data": {"last_tick_age_seconds": 0.42},
    "orders": {"open": 2},
    "positions": {"MSFT": -1.5, "AAPL": 3.0},
    "ledger": {"schema_version": 1, "rows": {"orders": 12, "executions": 9}},
}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost(deployed(tmp_path), monkeypatch)
    says(monkeypatch, HEALTH)
    return fake


def says(monkeypatch: pytest.MonkeyPatch, document: dict[str, Any], ready: bool = True) -> None:
    """Let the engine say this of itself."""
    answer = Readiness(True, ready, f"engine is {document['role']}", document)
    monkeypatch.setattr(services, "probe_service", lambda _probe, _socket: answer)


def test_a_healthy_stack_tells_everything(host: FakeHost) -> None:
    first, second = host.stage("one"), host.stage("two")
    for release in (first, second):
        Activator(host.stack).activate(release)
    assert stack_status(host.stack) == {
        "schema": 1,
        "stack": "dev-main",
        "host": socket.gethostname(),
        "environment": "dev",
        "release": second.id,
        "previous": first.id,
        "slot": "green",
        "gateway": {
            "state": "in session",
            "account": "DU1234567",
            "accounts": ["DU1234567"],
            "server_version": 178,
            "time": "2026-11-22T18:47:03Z",
        },
        "engine": {
            "role": "trading",
            "healthy": True,
            "message": "engine is trading",
            "last_tick_age_seconds": 0.42,
            "open_orders": 2,
            "positions": {"MSFT": -1.5, "AAPL": 3.0},
        },
        "halt": None,
        "ledger": {"schema_version": 1, "rows": {"orders": 12, "executions": 9}},
        "lease": {"token": None, "owner": None, "since": None, "holder": None},
        "standby": None,
        "switch": None,
        "last_backup": None,
        "units": {"ballast-gateway@dev-main.service": "active", "ballast-engine@dev-main-green.service": "active"},
        "strays": [],
        "healthy": True,
    }


def fields(value: dict[str, Any], under: str = "") -> set[str]:
    """The fields of a document as its description names them: with a dot for what lies in another."""
    found = set()
    for name, each in value.items():
        path = f"{under}{name}"
        found.add(path)
        if isinstance(each, dict) and path not in KEYED_BY_NAME:
            found |= fields(each, f"{path}.")
    return found


# Their keys are symbols, tables and units, not fields.
KEYED_BY_NAME = {"engine.positions", "ledger.rows", "units", "lease.holder"}
REFERENCE = Path(__file__).parents[4] / "docs" / "reference.md"


def test_every_field_of_the_document_is_described_and_no_other(host: FakeHost) -> None:
    down = stack_status(host.stack)
    Activator(host.stack).activate(host.stage())
    take_backup(host.stack, 1)
    Activator(host.stack).activate(second := host.stage("two"))
    write_soak(host.stack, Soak("green", second.id, 0))
    write_switch(host.stack, Switch(second.id, "recreate", "blue", "green", {}, [], False, "then", ""), "start")
    section = REFERENCE.read_text().partition("## The status document")[2].partition("\n## ")[0]
    # A field has a row of its own, or is told with the object that it is a part of.
    cells = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    described = {name for row in cells for name in re.findall(r"`([a-z_.]+)`", row[0])}
    described |= {name for row in cells for name in re.findall(r"`([a-z]+[.][a-z_]+)`", row[2])}
    seen = fields(down) | fields(stack_status(host.stack))
    objects = {path.rpartition(".")[0] for path in seen}
    assert described - objects == seen - objects


def test_a_stack_without_a_release_is_down_not_an_error(host: FakeHost) -> None:
    document = stack_status(host.stack)
    assert document["gateway"] == {"state": "absent", "message": "no release is active"}
    assert (document["engine"]["role"], document["engine"]["message"]) == ("down", "no release is active")
    assert document["units"] == {"ballast-gateway@dev-main.service": "inactive"}
    assert (document["release"], document["slot"], document["healthy"]) == (None, None, False)


def test_an_engine_that_a_killed_switch_left_running_is_shown_and_not_healthy(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    Activator(host.stack).activate(host.stage())
    says(monkeypatch, HEALTH)
    stray = "ballast-engine@dev-main-green.service"
    ReleaseStore(host.stack).set_link("active/green", host.stage("two").id)
    host.systemctl("start", stray)
    document = stack_status(host.stack)
    assert (document["slot"], document["strays"], document["healthy"]) == ("blue", [stray], False)
    assert "ballast-engine@dev-main-green activating BUT SHOULD NOT RUN" in status_table([document])


def stop_the_engine(host: FakeHost, _monkeypatch: pytest.MonkeyPatch) -> None:
    host._stop("ballast-engine@dev-main-blue.service")


def log_in_elsewhere(host: FakeHost, _monkeypatch: pytest.MonkeyPatch) -> None:
    host.account = "U7654321"


def lose_the_session(host: FakeHost, _monkeypatch: pytest.MonkeyPatch) -> None:
    host.session_problem = ib_api.NotLoggedIn("no accounts")


def halt(_host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, {**HEALTH, "role": "standby"}, ready=False)


@pytest.mark.parametrize("trouble", [stop_the_engine, log_in_elsewhere, lose_the_session, halt])
def test_whatever_is_amiss_is_not_healthy(host: FakeHost, trouble: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Activator(host.stack).activate(host.stage())
    assert stack_status(host.stack)["healthy"] is True
    trouble(host, monkeypatch)
    assert stack_status(host.stack)["healthy"] is False


def test_a_lost_session_is_told_in_the_gateways_words(host: FakeHost) -> None:
    Activator(host.stack).activate(host.stage())
    host.session_problem = ib_api.NotLoggedIn("no accounts")
    assert stack_status(host.stack)["gateway"] == {"state": "no session", "message": "no accounts"}


def test_a_running_release_that_is_gone_is_told(host: FakeHost) -> None:
    release = host.stage()
    Activator(host.stack).activate(release)
    shutil.rmtree(release.path)
    problem = f"release '{release.id}' of stack dev-main does not exist; releases here, newest first: none"
    document = stack_status(host.stack)
    assert document["gateway"] == {"state": "no session", "message": problem}
    assert document["engine"]["message"] == f"release {release.id} of stack dev-main cannot be run: {problem}"
    assert not document["healthy"]


@pytest.mark.parametrize("part", [None, [], "much", 3])
def test_an_engine_that_says_less_than_the_contract_does_not_break_the_report(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, part: Any
) -> None:
    Activator(host.stack).activate(host.stage())
    says(monkeypatch, {"role": "trading", "data": part, "orders": part, "positions": part, "ledger": part})
    document = stack_status(host.stack)
    assert document["engine"]["last_tick_age_seconds"] is None
    assert (document["engine"]["positions"], document["ledger"]) == (None, {})
    assert "positions         unknown\n" in status_table([document])
    assert "ledger rows       unknown\n" in status_table([document])


def test_a_halt_is_told_by_the_engine_or_without_one_by_the_ledger_and_the_host(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    Activator(host.stack).activate(host.stage())
    says(monkeypatch, {**HEALTH, "trading": {"blocked_by": {"halt": "trading is halted: drawdown"}}})
    document = stack_status(host.stack)
    assert (document["halt"], document["healthy"]) == ("trading is halted: drawdown", True)
    monkeypatch.setattr(services, "probe_service", lambda _probe, _socket: Readiness(False, False, "no answer"))
    monkeypatch.setattr(status, "last_known", lambda _stack: Books("tilt: x", [], {}))
    assert stack_status(host.stack)["halt"] == "tilt: x"
    hold.place(host.stack, Operator("jane", "desk"), "why")
    assert str(stack_status(host.stack)["halt"]).startswith("stack dev-main is held after an emergency stop by jane")


def take_backup(stack: Stack, hours: float) -> Path:
    stack.ledger.parent.mkdir(parents=True, exist_ok=True)
    stack.backups.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(stack.ledger) as database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER)")
    database.close()
    moment = datetime.now(UTC) - timedelta(hours=hours)
    return snapshot(stack.ledger, stack.backups, compress=False, now=moment).manifest_path


def test_the_last_backup_is_the_newest_whose_files_fit_their_manifest(host: FakeHost) -> None:
    good = take_backup(host.stack, 5)
    take_backup(host.stack, 3).write_text("{")
    damaged = take_backup(host.stack, 1)
    Path(str(damaged).removesuffix(".manifest.json")).write_bytes(b"cut")
    backup = stack_status(host.stack)["last_backup"]
    assert backup["created_at"] == json.loads(good.read_text())["created_at"]
    assert backup["age_seconds"] == pytest.approx(5 * 3600, abs=30)


# ---- the table ----


def document(**changes: Any) -> dict[str, Any]:
    return {
        "stack": "dev-main",
        "host": "dev1",
        "environment": "dev",
        "release": "20261122T204501Z-3fa9c1d2",
        "slot": "blue",
        "gateway": {
            "state": "in session",
            "account": "DU1",
            "accounts": ["DU1"],
            "server_version": 178,
            "time": "2026-11-22T18:47:03Z",
        },
        "engine": {
            "role": "trading",
            "healthy": True,
            "message": "engine is trading",
            "last_tick_age_seconds": 0.42,
            "open_orders": 2,
            "positions": {"MSFT": -1.5, "AAPL": 3.0},
        },
        "halt": None,
        "ledger": {"rows": {"orders": 12, "executions": 9}},
        "lease": {"token": 4, "owner": "blue", "since": "then", "holder": {"slot": "blue", "since": "then"}},
        "standby": {"slot": "green", "role": "standby", "release": "old", "until": "later"},
        "switch": None,
        "last_backup": {"created_at": "2026-11-22T02:15:00.000Z", "age_seconds": 66_000},
        "units": {"ballast-gateway@dev-main.service": "active", "ballast-engine@dev-main-blue.service": "active"},
        "strays": [],
        "healthy": True,
        **changes,
    }


DOWN = {
    "stack": "paper",
    "release": None,
    "slot": None,
    "gateway": {"state": "absent", "message": "no release is active"},
    "engine": {
        "role": "down",
        "healthy": False,
        "message": "no release is active",
        "last_tick_age_seconds": None,
        "open_orders": None,
        "positions": None,
    },
    "halt": "drawdown: 12 %",
    "ledger": {},
    "lease": {"token": None, "owner": None, "since": None, "holder": None},
    "standby": None,
    "switch": {"release": "new", "step": "demote", "began_at": "earlier", "interrupted": True},
    "last_backup": None,
    "units": {"ballast-gateway@paper.service": "inactive"},
    "strays": [],
    "healthy": False,
}


FAULTS = "gateway: absent; engine: no release is active; ballast-gateway@paper.service inactive"


def test_a_table_has_a_row_for_every_fact() -> None:
    assert status_table([document()]).splitlines() == [
        "stack             dev-main on dev1",
        "environment       dev",
        "release           20261122T204501Z-3fa9c1d2",
        "slot              blue",
        "gateway session   DU1, server version 178, 2026-11-22T18:47:03Z",
        "engine role       trading",
        "halt              none",
        "last tick         0.4 s ago",
        "open orders       2",
        "positions         AAPL 3, MSFT -1.5",
        "ledger rows       12 orders, 9 executions",
        "lease             held by blue since then; token 4 of blue",
        "standby           slot green (standby), release old, until later",
        "last backup       2026-11-22T02:15:00.000Z (18 h ago)",
        "units             ballast-gateway@dev-main active, ballast-engine@dev-main-blue active",
        "switch            none",
        "healthy           yes",
    ]


def test_stacks_stand_side_by_side_and_what_is_missing_is_said() -> None:
    lines = status_table([document(), document(**DOWN)]).splitlines()
    assert lines[0].split() == ["stack", "dev-main", "on", "dev1", "paper", "on", "dev1"]
    assert [line.split("   ")[-1].strip() for line in lines] == [
        "paper on dev1",
        "dev",
        "none",
        "none",
        "absent: no release is active",
        "down (no release is active)",
        "drawdown: 12 %",
        "none",
        "unknown",
        "unknown",
        "unknown",
        "held by nobody; no token yet",
        "none",
        "never",
        "ballast-gateway@paper inactive",
        "to new, INTERRUPTED at step 'demote', begun earlier",
        "NO",
    ]
    assert len({line.rindex("   ") for line in lines}) == 1


def test_many_stacks_have_a_row_each_that_says_what_is_wrong() -> None:
    stray = "ballast-engine@dev-main-green.service"
    wrong = document(stack="two", units={stray: "activating"}, strays=[stray], healthy=False)
    lines = status_table([document(), document(**DOWN), wrong]).splitlines()
    release, unknown = "20261122T204501Z-3fa9c1d2", ["unknown", "unknown"]
    assert [re.split(" {3,}", line) for line in lines] == [
        ["host", "stack", "environment", "release", "slot", "engine", "open orders", "positions", "healthy"],
        ["dev1", "dev-main", "dev", release, "blue", "trading", "2", "AAPL 3, MSFT -1.5", "yes"],
        [*["dev1", "paper", "dev", "none", "none", "down (halted)"], *unknown, f"NO: {FAULTS}"],
        ["dev1", "two", "dev", release, "blue", "trading", "2", "AAPL 3, MSFT -1.5", f"NO: {stray} should not run"],
    ]


def test_a_host_that_is_silent_has_a_row_of_its_own() -> None:
    lines = status_table([document()], {"dev2": "cannot be reached"}).splitlines()
    assert [line.split()[0] for line in lines] == ["host", "dev1", "dev2"]
    assert lines[2].endswith("NO: cannot be reached")
    assert len({line.index(word) for line, word in zip(lines, ("healthy", "yes", "NO"), strict=True)}) == 1


def test_no_stacks_are_an_empty_table() -> None:
    assert status_table([]) == ""


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (3600, "1 h"), (86_399, "24 h"), (200_000, "2 d")],
)
def test_ages_are_told_in_the_unit_an_operator_would_use(seconds: int, age: str) -> None:
    backup = {"created_at": "then", "age_seconds": seconds}
    assert f"last backup       then ({age} ago)\n" in status_table([document(last_backup=backup)])


def test_values_that_are_no_numbers_are_shown_as_they_are() -> None:
    engine = {**document()["engine"], "last_tick_age_seconds": "long", "positions": {"AAPL": "many"}}
    table = status_table([document(engine=engine)])
    assert "last tick         long s ago\n" in table
    assert "positions         AAPL many\n" in table


def test_a_hot_standby_is_shown_and_is_no_stray(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "probe_service", host.probe)
    first, second = (host.stage(word, strategy="blue_green") for word in ("one", "two"))
    for release in (first, second):
        Activator(host.stack).activate(release)
    document = stack_status(host.stack)
    standby = document["standby"]
    assert (standby["slot"], standby["role"], standby["release"]) == ("blue", "standby", first.id)
    assert (document["slot"], document["strays"], document["healthy"]) == ("green", [], True)
    assert "ballast-engine@dev-main-blue active" in status_table([document])
    host._stop("ballast-engine@dev-main-blue.service")
    document = stack_status(host.stack)
    assert (document["standby"]["role"], document["healthy"]) == ("down", True)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_switch_is_shown_with_its_step(host: FakeHost, monkeypatch: pytest.MonkeyPatch, interrupted: bool) -> None:
    monkeypatch.setattr(services, "probe_service", host.probe)
    first, second = (host.stage(word, strategy="blue_green") for word in ("one", "two"))
    Activator(host.stack).activate(first)
    documents = []

    def look(_slot: str, what: str) -> None:
        if what == "promote":
            if not interrupted:
                documents.append(stack_status(host.stack))
            raise Killed

    host.on_post = look
    with pytest.raises(Killed):
        Activator(host.stack).activate(second)
    document = documents[0] if documents else stack_status(host.stack)
    switch = document["switch"]
    assert (switch["release"], switch["step"], switch["interrupted"]) == (second.id, "promote", interrupted)
    stray = ["ballast-engine@dev-main-green.service"] if interrupted else []
    assert (document["strays"], document["engine"]["role"], document["healthy"]) == (stray, "standby", False)


def test_a_damaged_record_of_a_switch_is_told(host: FakeHost) -> None:
    Activator(host.stack).activate(host.stage())
    path = host.stack.control / "switch.json"
    path.write_text("{")
    document = stack_status(host.stack)
    assert document["switch"]["step"].startswith(f"{path} is damaged: ")
    assert document["healthy"] is False
