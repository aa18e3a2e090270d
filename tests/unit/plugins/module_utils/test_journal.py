# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what it holds, that it is only appended to, and what its chain shows."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import journal as journal_module
from ansible_collections.ballast.trading.plugins.module_utils.journal import (
    FIRST,
    Journal,
    JournalError,
    Operator,
    describe,
    operator,
)
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack

JANE = Operator("deploy", "jane@laptop (192.0.2.7)")
RELEASE = "20261122T204501Z-3fa9c1d2"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Stack("dev-main", "dev", 5, tmp_path))


def three(journal: Journal) -> list[bytes]:
    """Three acts; returns their lines."""
    for text in ("one", "two", "three"):
        journal.append("note", JANE, text=text)
    return journal.path.read_bytes().splitlines()


def write(journal: Journal, lines: list[bytes]) -> None:
    journal.path.write_bytes(b"".join(line + b"\n" for line in lines))


def head(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def test_a_line_says_who_did_what_from_where_and_how_it_ended(journal: Journal, tmp_path: Path) -> None:
    entry = journal.append("activate", JANE, text="runs in slot blue", release=RELEASE, seconds=7.31234)
    assert journal.path == tmp_path / "var/log/ballast/dev-main/journal.jsonl"
    assert json.loads(journal.path.read_bytes()) == entry
    assert entry.pop("at")[10] == "T"
    assert entry == {
        "sequence": 1, "act": "activate", "result": "done", "text": "runs in slot blue", "user": "deploy",
        "origin": "jane@laptop (192.0.2.7)", "release": RELEASE, "seconds": 7.312, "previous": FIRST,
    }  # fmt: skip
    assert (journal.path.stat().st_mode & 0o777, journal.path.parent.stat().st_mode & 0o777) == (0o640, 0o750)


def test_every_line_holds_the_hash_of_the_line_before_it(journal: Journal) -> None:
    lines = three(journal)
    assert [json.loads(line)["previous"] for line in lines] == [FIRST, head(lines[0]), head(lines[1])]
    assert [entry["sequence"] for entry in journal.entries()] == [1, 2, 3]
    found = journal.verify()
    assert (found.lines, found.head, found.problems, found.notes) == (3, head(lines[2]), [], [])


def test_a_journal_that_nobody_has_written_to_is_whole(journal: Journal) -> None:
    found = journal.verify()
    assert (found.lines, found.head, found.problems) == (0, None, [])
    assert journal.entries() == []


@pytest.mark.parametrize("number", [0, 1])
def test_a_changed_line_breaks_the_chain_after_it(journal: Journal, number: int) -> None:
    lines = three(journal)
    lines[number] = lines[number].replace(b'"user": "deploy"', b'"user": "nobody"')
    write(journal, lines)
    (problem,) = journal.verify().problems
    assert problem.startswith(f"line {number + 2} names ")
    assert problem.endswith("a line was changed, added or removed there")


def test_a_removed_line_breaks_the_chain(journal: Journal) -> None:
    lines = three(journal)
    write(journal, [lines[0], lines[2]])
    assert [problem.split(" names ")[0] for problem in journal.verify().problems] == [
        "line 2",
        "line 2 has sequence 3, wanted 2",
    ]


def test_lines_cut_off_the_end_are_missed_by_who_knows_an_earlier_head(journal: Journal) -> None:
    lines = three(journal)
    assert journal.verify(head(lines[1])).problems == []
    write(journal, lines[:1])
    assert journal.verify().problems == []
    assert journal.verify(head(lines[1])).problems == [
        f"no line has the hash {head(lines[1])}: lines were cut off or changed after that was noted"
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not JSON", "Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "it is not a JSON object"),
        (b"{}", "it lacks sequence, at, act, result, text, user, origin, release, seconds, previous"),
    ],
)
def test_a_line_that_is_no_entry_is_named(journal: Journal, line: bytes, reason: str) -> None:
    lines = three(journal)
    write(journal, [lines[0], line, *lines[1:]])
    problems = journal.verify().problems
    assert problems[0] == f"line 2 is no entry: {reason}"
    assert problems[1].startswith("line 3 names ")


def test_a_line_that_a_power_cut_tore_is_kept_and_the_chain_goes_on(journal: Journal) -> None:
    lines = three(journal)
    journal.path.write_bytes(b"\n".join(lines)[:-20])
    assert journal.verify().notes == ["line 3 was cut off when it was written, as by a power cut"]
    entry = journal.append("note", JANE, text="four")
    assert (entry["sequence"], entry["after_torn_line"]) == (3, True)
    found = journal.verify()
    assert (found.lines, found.problems) == (4, [])
    assert found.notes == ["line 3 was cut off when it was written, as by a power cut"]
    assert [entry["text"] for entry in journal.entries()] == ["one", "two", "four"]


def test_a_torn_line_in_the_middle_is_no_power_cut(journal: Journal) -> None:
    lines = three(journal)
    write(journal, [lines[0], lines[1][:-20], lines[2]])
    assert journal.verify().problems[0].startswith("line 2 is no entry: ")


def _append(root: Path, text: str) -> None:
    for _ in range(20):
        Journal(Stack("dev-main", "dev", 5, root)).append("note", JANE, text=text)


def test_two_that_append_at_once_keep_one_chain(journal: Journal, tmp_path: Path) -> None:
    processes = [multiprocessing.Process(target=_append, args=(tmp_path, text)) for text in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    found = journal.verify()
    assert (found.lines, found.problems) == (40, [])


def test_an_act_is_noted_when_it_begins_and_when_it_ends(journal: Journal) -> None:
    complaints: list[str] = []
    with journal.act("backup", JANE, complain=complaints.append, release=RELEASE, text="daily") as act:
        assert [entry["result"] for entry in journal.entries()] == ["begun"]
        act.text = "verified"
    begun, done = journal.entries()
    assert (begun["text"], begun["seconds"]) == ("daily", None)
    assert (done["result"], done["text"], done["release"]) == ("done", "verified", RELEASE)
    assert 0 <= done["seconds"] < 5
    assert complaints == []


@pytest.mark.parametrize(
    ("error", "text"),
    [(OSError(28, "No space left"), "[Errno 28] No space left"), (KeyboardInterrupt(), "interrupted")],
)
def test_an_act_that_fails_is_noted_with_its_reason(journal: Journal, error: BaseException, text: str) -> None:
    with pytest.raises(type(error)), journal.act("backup", JANE, complain=print):
        raise error
    assert [(entry["result"], entry["text"]) for entry in journal.entries()] == [("begun", ""), ("failed", text)]


def test_an_act_goes_on_when_it_cannot_be_noted(journal: Journal) -> None:
    journal.path.parent.mkdir(parents=True)
    journal.path.mkdir()
    complaints: list[str] = []
    with journal.act("activate", JANE, complain=complaints.append) as act:
        act.text = "done all the same"
    problem = f"the journal {journal.path} cannot be written: [Errno 21] Is a directory: '{journal.path}'"
    assert complaints == [problem, problem]
    with pytest.raises(JournalError) as refused:
        journal.append("note", JANE)
    assert str(refused.value) == problem
    with pytest.raises(JournalError) as refused:
        journal.entries()
    assert str(refused.value) == (
        f"the journal {journal.path} cannot be read: [Errno 21] Is a directory: '{journal.path}'"
    )


def test_no_other_result_is_written(journal: Journal) -> None:
    with pytest.raises(ValueError, match=r"^result is 'fine', wanted one of begun, done, failed$"):
        journal.append("note", JANE, result="fine")
    assert not journal.path.exists()


def test_an_entry_is_one_line_for_people(journal: Journal) -> None:
    entry = journal.append("activate", JANE, result="failed", text="two\nlines", release=RELEASE, seconds=7.31)
    assert describe(entry) == (
        f"{entry['at']}  activate  failed in 7.3 s  {RELEASE}  by deploy from jane@laptop (192.0.2.7): two lines"
    )
    entry = journal.append("note", Operator("root", "this host"))
    assert describe(entry) == f"{entry['at']}  note  done  by root from this host"


# ---- who acts ----


def test_behind_sudo_it_is_the_user_who_called_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_ssh_address", lambda _pid: None)
    monkeypatch.setenv("SUDO_USER", "jane")
    assert operator() == Operator("jane", "this host")
    origin = {"user": "jim", "controller": "desk", "commit": None}
    assert operator(origin) == Operator("jane", "jim@desk")
    monkeypatch.setattr(journal_module, "_ssh_address", lambda _pid: "192.0.2.7")
    assert operator() == Operator("jane", "192.0.2.7")
    assert operator(origin) == Operator("jane", "jim@desk (192.0.2.7)")


def test_the_address_of_an_ssh_session_is_found_behind_a_parent_that_lost_it() -> None:
    code = (
        "from ansible_collections.ballast.trading.plugins.module_utils.journal import operator;print(operator().origin)"
    )
    root = Path(__file__).parents[4]
    inner = f"env -u SSH_CONNECTION PYTHONPATH={root}/collections {sys.executable} -c '{code}'; true"
    done = subprocess.run(
        ["sh", "-c", f"{inner}"],
        env={**os.environ, "SSH_CONNECTION": "192.0.2.7 50122 192.0.2.1 22"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "192.0.2.7\n"
