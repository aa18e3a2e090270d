# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import cli, commands, logs, services, supervisor
from ansible_collections.ballast.trading.plugins.module_utils.activation import Activator
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, Operator
from ansible_collections.ballast.trading.plugins.module_utils.readiness import Readiness
from ansible_collections.ballast.trading.plugins.module_utils.releases import Release
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack, load_stack, stack_names
from tests.unit.plugins.module_utils.fake_host import FakeHost, Killed, deployed
from tests.unit.plugins.sqlite_samples import make_ledger

Ballast = Callable[..., tuple[int, str, str]]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost(deployed(tmp_path), monkeypatch)
    answer = Readiness(True, True, "engine is trading", {"role": "trading"})
    monkeypatch.setattr(services, "probe_service", lambda _probe, _socket: answer)
    return fake


@pytest.fixture
def ballast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ballast:
    """Run the tool as root on a host below a scratch folder; returns exit status, output and complaints."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cli, "load_stack", functools.partial(load_stack, root=tmp_path))
    monkeypatch.setattr(cli, "stack_names", functools.partial(stack_names, root=tmp_path))
    monkeypatch.setattr(supervisor, "service_of", functools.partial(supervisor.service_of, root=tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        exit_status = cli.main(arguments)
        captured = capsys.readouterr()
        return exit_status, captured.out, captured.err

    return run


# ---- who may, and how ----


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["status"], "status"),
        (["rollback", "dev-main"], "rollback dev-main"),
        (["backup", "dev main", "--ledger"], "backup 'dev main' --ledger"),
    ],
)
def test_without_root_it_says_how_to_run_it(
    ballast: Ballast, monkeypatch: pytest.MonkeyPatch, arguments: list[str], command: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert ballast(*arguments) == (1, "", f"ballast needs root: run sudo ballast {command}\n")


def test_anybody_may_ask_for_help(
    ballast: Ballast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as ended:
        ballast("--help")
    assert ended.value.code == 0
    assert "Operate the trading stacks of this host." in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["fly"], ["activate", "dev-main"], ["backup"], ["run", "x", "y"]])
def test_wrong_usage_is_refused(ballast: Ballast, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ballast(*arguments)
    assert ended.value.code == 2
    assert "usage: ballast" in capsys.readouterr().err


def test_by_default_it_reads_the_command_line(
    ballast: Ballast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ballast", "status"])
    assert cli.main() == 0
    assert capsys.readouterr().out == "no stack is deployed on this host\n"
    assert ballast("status")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["releases"],
        ["activate", "x"],
        ["rollback"],
        ["backup"],
        ["backups"],
        ["verify"],
        ["run", "gateway"],
    ],
    ids=" ".join,
)
def test_an_unknown_stack_is_a_configuration_error(
    host: FakeHost, ballast: Ballast, tmp_path: Path, arguments: list[str]
) -> None:
    verb, *rest = arguments
    assert ballast(verb, "paper", *rest) == (
        78,
        "",
        f"ballast: stack 'paper' does not exist on this host ({tmp_path}/etc/ballast/paper/stack.json is missing);"
        " stacks here: dev-main\n",
    )


def test_what_has_no_right_to_run_is_a_configuration_error(host: FakeHost, ballast: Ballast) -> None:
    assert ballast("run", "dev-main-blue", "engine") == (
        78,
        "",
        f"ballast: {host.stack.opt}/active/blue does not exist: no release has the right to run as blue of stack"
        " dev-main\n",
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_end_that_nobody_expected_is_told_in_one_line(
    host: FakeHost, ballast: Ballast, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(Activator, "resolve", fail)
    text = "interrupted" if isinstance(error, KeyboardInterrupt) else "[Errno 28] No space left on device"
    assert ballast("rollback", "dev-main") == (1, "", f"ballast: {text}\n")
    assert host.events == []


# ---- releases ----


def test_releases_are_listed_newest_first_with_what_they_are(host: FakeHost, ballast: Ballast) -> None:
    ids = {}
    for word in ("one", "two", "three"):
        release = host.stage(word)
        ids[release.id] = ""
        if word != "three":
            Activator(host.stack).activate(release)
    store = Activator(host.stack).store
    ids |= {store.link("current"): "current", store.link("previous"): "previous"}
    spare = next(release_id for release_id, mark in ids.items() if not mark)
    (store.folder / spare / "engine/compose.yaml").unlink()
    images = "ballast/gateway:1, ballast/engine:1"
    expected = [
        f"{release_id}  {ids[release_id]:8}  {'damaged' if release_id == spare else images}"
        for release_id in reversed(store.ids())
    ]
    assert ballast("releases", "dev-main") == (0, "\n".join(expected) + "\n", "")


def test_an_activation_says_what_it_does(host: FakeHost, ballast: Ballast) -> None:
    first, second = host.stage("one"), host.stage("two")
    status_code, output, complaints = ballast("activate", "dev-main", first.id)
    assert (status_code, complaints) == (0, "")
    assert output.splitlines()[-1] == f"release {first.id} runs in slot blue"
    ballast("activate", "dev-main", second.id)
    status_code, output, _none = ballast("rollback", "dev-main")
    assert status_code == 0
    assert output.splitlines()[0] == "stopped ballast-engine@dev-main-green.service"
    assert output.splitlines()[-2] == f"release {first.id} runs in slot blue"
    assert output.splitlines()[-1] == "no engine traded for 1000 ms"
    assert ballast("rollback", "dev-main", first.id) == (
        0,
        f"release {first.id} runs already; nothing was changed\n",
        "",
    )


def test_an_activation_that_fails_says_why(host: FakeHost, ballast: Ballast) -> None:
    unknown = "20200101T000000Z-00000000"
    assert ballast("activate", "dev-main", unknown) == (
        1,
        "",
        f"ballast: release '{unknown}' of stack dev-main does not exist; releases here, newest first: none\n",
    )
    host.failing["systemctl show"] = "Failed to connect to bus"
    release = host.stage()
    status_code, _output, complaints = ballast("activate", "dev-main", release.id)
    assert (status_code, complaints) == (
        1,
        f"ballast: release {release.id} of stack dev-main was not started: it cannot be proven that"
        " ballast-engine@dev-main-blue.service has stopped (`systemctl show` failed with status 1: Failed to connect to"
        " bus). Nothing was started in its place; when it has stopped, deploy again or activate another release\n",
    )


@pytest.mark.parametrize("verb", ["activate", "rollback"])
def test_a_closed_window_is_forced_with_a_reason(host: FakeHost, ballast: Ballast, verb: str) -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    path = host.stack.etc / "stack.json"
    window = {"name": "inventory", "days": days, "from": "00:00", "to": "00:00", "timezone": "Etc/UTC"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "closed_windows": [window]}))
    release = host.stage().id
    status_, _said, complaint = ballast(verb, "dev-main", release)
    assert status_ == 1
    assert complaint.startswith("ballast: stack dev-main is not to be changed now: the window 'inventory' is closed")
    assert host.events == []
    assert ballast(verb, "dev-main", release, "--force", "--reason", "it runs wild")[0] == 0
    (begun, _done) = Journal(host.stack).entries()
    assert begun["text"] == "forced: it runs wild"


@pytest.mark.parametrize("options", [["--force"], ["--reason", "why"]])
def test_force_and_reason_go_together(
    host: FakeHost, ballast: Ballast, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        ballast("rollback", "dev-main", *options)
    assert end.value.code == 2
    assert capsys.readouterr().err == "ballast: --force and --reason go together: say why it cannot wait\n"
    assert host.events == []


def test_a_person_locks_and_unlocks_a_stack(host: FakeHost, ballast: Ballast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "operator", lambda: Operator("jane", "desk"))
    status_, said, _complaint = ballast("lock", "dev-main", "--reason", " new disk ")
    assert status_ == 0
    assert said.startswith("locked by jane from desk at ")
    assert said.endswith(": new disk. To unlock it: ballast unlock dev-main\n")
    status_, _said, complaint = ballast("lock", "dev-main", "--reason", "me too")
    assert status_ == 1
    assert complaint.startswith("ballast: stack dev-main was locked already by jane from desk at ")
    status_, _said, complaint = ballast("rollback", "dev-main", host.stage().id)
    assert status_ == 1
    assert complaint.startswith("ballast: stack dev-main was locked by jane from desk at ")
    status_, said, _complaint = ballast("unlock", "dev-main")
    assert (status_, said.startswith("unlocked; it was locked by jane from desk at ")) == (0, True)
    assert ballast("unlock", "dev-main") == (0, "it was not locked; nothing was changed\n", "")


def test_a_terminal_that_is_gone_does_not_stop_an_activation(
    host: FakeHost, ballast: Ballast, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def write(self, _text: str) -> int:
            raise OSError(5, "Input/output error")

        def flush(self) -> None:
            raise OSError(5, "Input/output error")

    release = host.stage()
    with monkeypatch.context() as terminal:
        terminal.setattr(sys, "stdout", Gone())
        assert cli.main(["activate", "dev-main", release.id]) == 0
    assert Activator(host.stack).is_running(release)
    assert ballast("activate", "dev-main", release.id)[0] == 0


# ---- status ----


def test_status_tells_of_every_stack_and_fails_when_one_is_not_healthy(
    host: FakeHost, ballast: Ballast, tmp_path: Path
) -> None:
    status_code, output, _none = ballast("status")
    assert (status_code, output.splitlines()[-1].split()) == (1, ["healthy", "NO"])
    Activator(host.stack).activate(host.stage())
    assert ballast("status", "dev-main")[0] == 0
    deployed(tmp_path, "paper")
    status_code, output, _none = ballast("status")
    assert status_code == 1
    assert output.splitlines()[0].split()[1::3] == ["dev-main", "paper"]


def test_a_damaged_stack_does_not_hide_the_others(host: FakeHost, ballast: Ballast, tmp_path: Path) -> None:
    (tmp_path / "etc/ballast/broken").mkdir()
    (tmp_path / "etc/ballast/broken/stack.json").write_text("{")
    exit_status, output, complaint = ballast("status")
    assert exit_status == 1
    assert "dev-main" in output
    assert "etc/ballast/broken/stack.json is damaged" in complaint


def test_status_is_to_be_had_for_programs(host: FakeHost, ballast: Ballast) -> None:
    Activator(host.stack).activate(host.stage())
    status_code, output, _none = ballast("status", "--json")
    documents: list[dict[str, Any]] = json.loads(output)
    assert status_code == 0
    assert [(document["stack"], document["healthy"]) for document in documents] == [("dev-main", True)]


# ---- the journal ----


def test_the_journal_shows_its_newest_entries(host: FakeHost, ballast: Ballast) -> None:
    assert ballast("journal", "dev-main") == (0, "", "")
    journal = Journal(host.stack)
    entries = [journal.append("note", Operator("jane", "desk"), text=text) for text in ("one", "two", "three")]
    assert ballast("journal", "dev-main", "--lines", "2") == (
        0,
        "".join(f"{entry['at']}  note  done  by jane from desk: {entry['text']}\n" for entry in entries[1:]),
        "",
    )
    status_code, output, _complaints = ballast("journal", "dev-main", "--lines", "0", "--json")
    assert (status_code, [json.loads(line) for line in output.splitlines()]) == (0, entries)


def test_a_whole_journal_is_called_whole_and_a_changed_one_is_not(host: FakeHost, ballast: Ballast) -> None:
    journal = Journal(host.stack)
    for text in ("one", "two"):
        journal.append("note", Operator("jane", "desk"), text=text)
    head = journal.verify().head
    whole = f"{journal.path}: 2 lines, the chain is whole, head {head}\n"
    assert ballast("journal", "dev-main", "verify") == (0, whole, "")
    assert ballast("journal", "dev-main", "verify", "--head", str(head)) == (0, whole, "")
    journal.path.write_bytes(journal.path.read_bytes().replace(b"one", b"won"))
    status_code, output, complaints = ballast("journal", "dev-main", "verify")
    assert (status_code, output) == (1, "")
    assert complaints.startswith(f"ballast: {journal.path}: line 2 names ")


# ---- the emergency stop, and the logs ----


def test_an_emergency_stop_tells_all_of_it_and_fails_when_something_is_left(host: FakeHost, ballast: Ballast) -> None:
    release = host.stage()
    Activator(host.stack).activate(release)
    report = {"flat": True, "halted": True, "orders_cancelled": 0, "positions_closed": 1}
    host.command_ends = [
        commands.Outcome(0, json.dumps(report), ""),
        commands.Outcome(75, json.dumps({**report, "flat": False}), ""),
    ]
    status_code, output, complaints = ballast("emergency-stop", "dev-main", "--reason", "why", "--timeout", "5")
    assert (status_code, complaints) == (0, "")
    assert "emergency stop of stack dev-main: FLAT after" in output
    assert host.commands[0][-3:] == ["--timeout", "5", "--json"]
    status_code, output, complaints = ballast("emergency-stop", "dev-main", "--reason", "why")
    assert (status_code, complaints) == (1, "")
    assert "DO NOW 1: in the broker's app" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("emergency-stop",),
        ("emergency-stop", "dev-main", "--reason", " "),
        ("emergency-stop", "dev-main", "--reason", "x", "--timeout", "0"),
        ("resume", "dev-main"),
        ("logs", "dev-main", "--grep", "("),
        ("logs", "dev-main", "--service", "kitchen"),
        ("logs", "dev-main", "--lines", "-1"),
    ],
)
def test_wrong_usage_does_nothing(host: FakeHost, ballast: Ballast, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        ballast(*arguments)
    assert ended.value.code == 2
    assert host.commands == []


def test_a_resume_says_what_it_lifted_or_why_it_did_not(host: FakeHost, ballast: Ballast) -> None:
    Activator(host.stack).activate(host.stage())
    host.command_ends = [commands.Outcome(0, "the halt is lifted\n", ""), commands.Outcome(65, "", "no ledger")]
    assert ballast("resume", "dev-main", "--reason", "ok") == (0, "the halt is lifted\n", "")
    assert ballast("resume", "dev-main", "--reason", "ok") == (
        1,
        "",
        "ballast: the halt of stack dev-main was not lifted: resume ended with status 65: no ledger\n",
    )


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ([], {"lines": 100}),
        (["--since", "15min"], {"since": "-15min"}),
        (["--since", "2026-11-22 20:45"], {"since": "2026-11-22 20:45"}),
        (["--since", "today", "--lines", "3"], {"since": "today", "lines": 3}),
        (["--lines", "0", "--follow", "--grep", "a|b"], {"follow": True, "pattern": "a|b"}),
        (["--service", "gateway", "--service", "backup"], {"lines": 100, "services": ["gateway", "backup"]}),
    ],
)
def test_logs_are_asked_for_as_wished(
    host: FakeHost, ballast: Ballast, monkeypatch: pytest.MonkeyPatch, arguments: list[str], asked: dict[str, Any]
) -> None:
    heard: dict[str, Any] = {}

    def read(stack: Stack, **options: Any) -> list[str]:
        assert stack == host.stack
        heard.update(options)
        return ["one", "two"]

    monkeypatch.setattr(logs, "read", read)
    assert ballast("logs", "dev-main", *arguments) == (0, "one\ntwo\n", "")
    everything = {"services": logs.SERVICES, "lines": None, "since": "", "pattern": "", "follow": False}
    assert heard == {**everything, **asked}


# ---- backups and units ----


def test_a_backup_is_taken_and_named(host: FakeHost, ballast: Ballast) -> None:
    stack = host.stack
    assert ballast("backup", "dev-main", "--ledger")[::2] == (
        1,
        f"ballast: the backup directory {stack.backups} does not exist\n",
    )
    stack.ledger.parent.mkdir(parents=True)
    stack.backups.mkdir(parents=True)
    with sqlite3.connect(stack.ledger) as database:
        database.execute("CREATE TABLE orders (id INTEGER)")
    database.close()
    status_code, output, complaints = ballast("backup", "dev-main", "--ledger")
    assert (status_code, complaints) == (0, "")
    taken = next(stack.backups.glob("*.db.zst"))
    assert output == f"{taken}: {taken.stat().st_size} bytes, snapshot, verified\n"
    assert [(entry["act"], entry["result"], entry["text"]) for entry in Journal(stack).entries()] == [
        ("backup", "begun", "ledger"),
        ("backup", "failed", f"the backup directory {stack.backups} does not exist"),
        ("backup", "begun", "ledger"),
        ("backup", "done", output.strip()),
    ]


def test_an_archive_is_made_listed_and_verified(host: FakeHost, ballast: Ballast) -> None:
    stack = host.stack
    assert ballast("verify", "dev-main") == (
        1, "", f"ballast: there is no backup 'newest' in {stack.backups}; ballast backups lists them\n"
    )  # fmt: skip
    stack.ledger.parent.mkdir(parents=True)
    stack.backups.mkdir(parents=True)
    make_ledger(stack.ledger, rows=20)
    status_code, output, complaints = ballast("backup", "dev-main")
    assert (status_code, complaints) == (0, "")
    made = next(stack.backups.glob("*.tar.zst"))
    assert output == f"{made}: {made.stat().st_size} bytes, audit, verified\n"
    assert made.name in ballast("backups", "dev-main")[1]
    (listed,) = json.loads(ballast("backups", "dev-main", "--json")[1])
    assert (listed["file"], listed["kind"], listed["class"]) == (made.name, "archive", "audit")
    status_code, output, complaints = ballast("verify", "dev-main", "--mode", "deep")
    assert (status_code, complaints) == (0, "")
    assert output.startswith(f"{made.name}: ok, ")
    made.write_bytes(made.read_bytes()[:-9] + b"damaged!!")
    status_code, output, complaints = ballast("verify", "dev-main", made.name)
    assert (status_code, complaints) == (1, f"ballast: {made.name} is failed\n")
    assert "\n  failed: manifest_file: sha256 of " in output


def test_copies_are_made_listed_and_verified_and_a_store_that_fails_is_told(
    host: FakeHost, ballast: Ballast, tmp_path: Path
) -> None:
    stack = host.stack
    stack.ledger.parent.mkdir(parents=True)
    stack.backups.mkdir(parents=True)
    make_ledger(stack.ledger, rows=20)
    stores = [{"name": name, "kind": "directory", "path": str(tmp_path / name)} for name in ("nas", "disk")]
    (stack.etc / "backup.json").write_text(json.dumps({"stores": stores}))
    (tmp_path / "nas").mkdir()
    status_code, output, complaints = ballast("backup", "dev-main", "--ledger")
    (made,) = stack.backups.glob("*.db.zst")
    assert (status_code, output.splitlines()[1]) == (1, "store nas: 1 copied and proved")
    assert complaints.startswith(f"ballast: {made}: ")
    assert complaints.endswith(f"; store disk: {tmp_path}/disk does not exist; is its disk mounted?\n")
    assert ballast("backups", "dev-main")[1].endswith(f"  {made.name}  nas: verified  disk: unreachable\n")
    (tmp_path / "disk").mkdir()
    assert ballast("backup", "dev-main", "--ledger")[0] == 0
    (_newest, oldest) = json.loads(ballast("backups", "dev-main", "--json")[1])
    assert {name: copy["state"] for name, copy in oldest["copies"].items()} == {"nas": "verified", "disk": "verified"}
    copy = tmp_path / "disk/dev-main" / made.name
    assert ballast("verify", "dev-main", "all", "--store", "disk")[0] == 0
    copy.write_bytes(copy.read_bytes()[:-1] + b"?")
    assert ballast("verify", "dev-main", made.name, "--store", "disk")[0] == 1
    assert ballast("verify", "dev-main", made.name)[0] == 0
    assert ballast("verify", "dev-main", "--store", "tape")[2] == (
        "ballast: stack dev-main has no store 'tape'; it has: nas, disk\n"
    )


def test_a_ledger_is_restored_in_place_or_beside(host: FakeHost, ballast: Ballast, tmp_path: Path) -> None:
    stack = host.stack
    stack.ledger.parent.mkdir(parents=True)
    stack.backups.mkdir(parents=True)
    make_ledger(stack.ledger, rows=20)
    (stack.etc / "backup.json").write_text(
        json.dumps({"stores": [{"name": "nas", "kind": "directory", "path": str(tmp_path)}]})
    )
    assert ballast("restore", "dev-main")[::2] == (
        1,
        f"ballast: there is no backup 'newest' in {stack.backups}; ballast backups lists them\n",
    )
    assert ballast("backup", "dev-main", "--ledger")[0] == 0
    (made,) = stack.backups.glob("*.db.zst")
    beside = tmp_path / "look.db"
    status_code, output, complaints = ballast("restore", "dev-main", made.name, "--beside", str(beside))
    assert (status_code, complaints) == (0, "")
    assert output.startswith(f"{beside} is the ledger of {made.name}\ndone in ")
    made.unlink()
    status_code, output, complaints = ballast("restore", "dev-main", "--store", "nas")
    assert (status_code, complaints) == (0, "")
    assert "sudo ballast start dev-main starts it" in output
    assert [entry["result"] for entry in Journal(stack).entries() if entry["act"] == "restore"] == ["begun", "done"]


def test_the_settings_of_a_stack_decide_what_is_kept_and_for_whom(host: FakeHost, ballast: Ballast) -> None:
    settings = host.stack.etc / "backup.json"
    settings.write_text('{"parts": ["journal"], "keep_days": {"snapshot": 3}, "recipient": "nobody"}')
    assert ballast("backup", "dev-main")[2].startswith("ballast: the recipient is not the public key of age: ")
    settings.write_text('{"parts": 5}')
    assert ballast("backup", "dev-main")[::2] == (
        78,
        f"ballast: {settings} is damaged (TypeError: 'int' object is not iterable);"
        " deploy the stack again to restore it\n",
    )


def test_a_units_exit_status_is_that_of_its_supervisor(
    host: FakeHost, ballast: Ballast, monkeypatch: pytest.MonkeyPatch
) -> None:
    Activator(host.stack).activate(host.stage())
    ran: list[str] = []

    def run(one: supervisor.Supervisor) -> int:
        ran.append(one.service.container)
        return 65

    monkeypatch.setattr(supervisor.Supervisor, "run", run)
    assert ballast("run", "dev-main-blue", "engine") == (65, "", "")
    assert ran == ["ballast-dev-main-engine-blue"]


# ---- the lease ----


def contract(host: FakeHost, word: str) -> Release:
    return host.stage(word, strategy="blue_green")


def test_the_lease_is_shown_and_handed_to_the_hot_standby(
    host: FakeHost, ballast: Ballast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "probe_service", host.probe)
    assert ballast("lease", "dev-main", "move") == (
        1,
        "",
        "ballast: stack dev-main has no hot standby that could trade: there is one only for a while after a deploy;"
        " `ballast rollback dev-main` starts the previous release\n",
    )
    for word in ("one", "two"):
        assert ballast("activate", "dev-main", contract(host, word).id)[0] == 0
    status_code, output, _none = ballast("lease", "dev-main", "move")
    assert (status_code, output.splitlines()[-1]) == (0, "slot blue trades, no engine traded for 50 ms")
    assert ballast("lease", "dev-main")[1].splitlines() == [
        "may trade      slot blue",
        "lease          held by nobody; no token yet",
        "engine blue    trading",
        "engine green   standby",
    ]
    document = json.loads(ballast("lease", "dev-main", "--json")[1])
    assert document == {
        "stack": "dev-main",
        "slot": "blue",
        "token": None,
        "owner": None,
        "since": None,
        "holder": None,
        "engines": {"blue": "trading", "green": "standby"},
    }


def test_a_recovery_is_tried_until_it_succeeds(
    host: FakeHost, ballast: Ballast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "probe_service", host.probe)
    first, second = contract(host, "one"), contract(host, "two")
    Activator(host.stack).activate(first)
    host.effects_left = 3
    with pytest.raises(Killed):
        Activator(host.stack).activate(second)
    host.effects_left = None
    host.failing["docker version"] = "Cannot connect to the Docker daemon"
    pauses = []

    def docker_comes_back(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            host.failing.clear()

    monkeypatch.setattr(cli.time, "sleep", docker_comes_back)
    status_code, output, complaints = ballast("recover", "dev-main")
    assert (status_code, pauses) == (0, [1.0, 2.0, 4.0])
    assert complaints.splitlines()[0] == (
        "ballast: `docker version` failed with status 1: Cannot connect to the Docker daemon; trying again in 1 s"
    )
    assert f"a switch to release {second.id} was interrupted" in output
    assert ballast("recover", "dev-main") == (0, "", "")
    assert ballast("settle", "dev-main") == (0, "no soak is over; nothing was changed\n", "")


def test_a_soak_that_is_over_is_ended(host: FakeHost, ballast: Ballast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "probe_service", host.probe)
    for word in ("one", "two"):
        Activator(host.stack).activate(contract(host, word))
    host.now += 1000
    assert ballast("settle", "dev-main")[1].splitlines()[0] == "stopped ballast-engine@dev-main-blue.service"
    assert host.running == {"ballast-dev-main-gateway", "ballast-dev-main-engine-green"}
