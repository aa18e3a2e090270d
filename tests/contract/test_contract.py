# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference engine keeps the contract, and the suite finds out engines that do not."""

from __future__ import annotations

import re
import sys

import pytest

from tests.contract.__main__ import BROKEN, KEPT, NOT_SHOWN, main, report
from tests.contract.rules import RULES, Verdicts, judge
from tests.contract.stage import ProcessStage
from tests.engine.support import ROOT

# Engines that break one rule each: the reference engine with one of its functions replaced. They run in the command's
# own process, so the command line is Python's.
MUTANTS = {
    "sends before it records": (
        "life",
        "intent-first",
        "links, place, record, begin = [], IbLink.place, Ledger.record_intent, IbLink.__init__\n"
        "def remember(self, *given):\n"
        "    links.append(self)\n"
        "    begin(self, *given)\n"
        "def early(self, order_ref, request, **more):\n"
        "    place(links[-1], order_ref, more['broker_order_id'], request)\n"
        "    record(self, order_ref, request, **more)\n"
        "IbLink.__init__, Ledger.record_intent, IbLink.place = remember, early, lambda *order: None\n",
        "at the venue without an intent",
    ),
    "ignores a halt": (
        "life",
        "halt",
        "Ledger.halt = lambda self: None\nLedger._halt = lambda self, connection: None\n",
        "",
    ),
    "does not hold the lock": (
        "life",
        "lease-lock",
        "import fcntl\nfcntl.flock = lambda *given: None\n",
        "saw a lock that is free while it trades",
    ),
    "goes on when it is fenced out": (
        "lost_lease",
        "fenced",
        "Lease.lost = lambda self: None\nLedger._check_fence = lambda self, connection: None\n",
        "",
    ),
    "keeps its session after a demotion": (
        "hand_over",
        "demote",
        "from ib_async import IB\nIB.disconnect = lambda self: None\n",
        "",
    ),
    "forgets what it has filled": (
        "kill",
        "kill",
        "Ledger._record_execution = lambda self, connection, execution: None\n",
        "",
    ),
}
PREAMBLE = """\
import asyncio, os, sys
from reference_engine import app
from reference_engine.engine import Engine
from reference_engine.gateway import IbLink
from reference_engine.lease import Lease
from reference_engine.ledger import Ledger
"""


def test_reference_engine_keeps_every_rule_that_a_process_can_show(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--process", f"{sys.executable} -m reference_engine"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("BROKEN")] == []
    not_shown = [line.split()[2] for line in lines if line.startswith("not shown")]
    assert (status, not_shown) == (NOT_SHOWN, ["no-port", "read-only"])


@pytest.mark.parametrize("name", MUTANTS)
def test_engine_that_breaks_a_rule_is_found_out(name: str) -> None:
    story, rule, code, seen = MUTANTS[name]
    command = [sys.executable, "-c", f"{PREAMBLE}{code}sys.exit(app.main(os.environ, sys.argv[1:]))"]
    verdicts = judge(lambda: ProcessStage(command), Verdicts(last=rule), (story,))
    verdict, text = verdicts.of(rule)
    assert verdict == "broken", verdicts.found
    assert seen in text


def test_every_rule_has_a_line_and_the_worst_verdict_is_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = Verdicts()
    for name in RULES:
        with verdicts.rule(name) as seen:
            seen.append("it did")
    assert report(verdicts, 1.0) == KEPT
    assert len(re.findall("^kept ", capsys.readouterr().out, re.MULTILINE)) == len(RULES)
    del verdicts.found["kill"]
    assert report(verdicts, 1.0) == NOT_SHOWN
    assert "\nnot shown kill  " in capsys.readouterr().out
    with verdicts.rule("drain"):
        raise AssertionError("saw exit 1")
    with verdicts.rule("drain"):  # kept later: what was broken once is broken
        pass
    assert report(verdicts, 1.0) == BROKEN
    assert f"\nBROKEN    drain               wanted: {RULES['drain']}\n{'':<30}saw exit 1\n" in capsys.readouterr().out


def test_every_rule_of_the_suite_is_in_the_document() -> None:
    document = (ROOT / "docs/engine-contract.md").read_text(encoding="utf-8")
    assert [name for name in RULES if f"`{name}`" not in document] == []
