# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module stack, run against a host in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import books, emergency, hold
from ansible_collections.ballast.trading.plugins.module_utils.books import Books
from ansible_collections.ballast.trading.plugins.module_utils.commands import Outcome
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, Operator
from ansible_collections.ballast.trading.plugins.modules import release, stack
from tests.unit.plugins.module_utils.fake_host import ORIGIN, FakeHost, trees

Call = Callable[..., dict[str, Any]]
REPORT = {"flat": True, "halted": True, "orders_cancelled": 1, "positions_closed": 2}


@pytest.fixture(autouse=True)
def runs(host: FakeHost, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release runs in slot blue."""
    monkeypatch.setattr(emergency, "probe_service", host.probe)
    monkeypatch.setattr(books, "last_known", lambda _stack: Books(None, [], {"AAPL": 5.0}))
    call(release, **trees())
    host.events.clear()


def test_a_stack_is_stopped_and_started_once(host: FakeHost, call: Call) -> None:
    done = call(stack, state="stopped", origin=ORIGIN)
    assert (done["changed"], done["orders_left"], done["positions_left"]) == (True, [], {"AAPL": 5.0})
    assert done["diff"] == {"before": "not stopped\n", "after": "stopped\n"}
    assert done["steps"][-1] == "open orders left: none; positions left: AAPL 5"
    assert "alice@desk" in Journal(host.stack).entries()[-1]["origin"]
    assert call(stack, state="stopped")["changed"] is False
    assert call(stack, state="stopped", gateway=True)["changed"] is True
    assert call(stack, state="started")["changed"] is True
    again = call(stack, state="started")
    assert (again["changed"], again["diff"]) == (False, {"before": "started\n", "after": "started\n"})


@pytest.mark.parametrize(("state", "changed"), [("stopped", True), ("started", False), ("flat", True)])
def test_check_mode_says_what_would_be_done_and_does_nothing(
    host: FakeHost, call: Call, state: str, changed: bool
) -> None:
    told = call(stack, check=True, state=state)
    assert told["changed"] is changed
    assert (host.events, host.commands, host.flatten_wishes) == ([], [], [])


def test_an_emergency_stop_reports(host: FakeHost, call: Call) -> None:
    host.flatten_answer = REPORT
    done = call(stack, state="flat", timeout=5)
    assert (done["changed"], done["report"]["done"], done["report"]["todo"]) == (True, True, [])
    assert "FLAT after" in done["report_text"]
    assert host.flatten_wishes[0]["reason"] == "no reason was given"
    assert host.flatten_wishes[0]["timeout"] == 5


def test_an_emergency_stop_that_leaves_something_fails_with_its_report(host: FakeHost, call: Call) -> None:
    host.command_ends = [Outcome(75, '{"flat": false, "halted": true, "positions_left": {"AAPL": 5}}', "")]
    done = call(stack, state="flat", reason="why")
    assert (done["failed"], done["changed"]) == (True, True)
    assert done["report"]["positions_left"] == {"AAPL": 5}
    assert done["report"]["todo"][0].startswith("in the broker's app")
    assert done["msg"] == "; ".join(done["report_text"].splitlines())


def test_a_halt_is_lifted_once(host: FakeHost, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(stack, state="resumed", reason="x")["changed"] is False
    monkeypatch.setattr(books, "last_known", lambda _stack: Books("drawdown: x", [], {}))
    told = call(stack, check=True, state="resumed", reason="x")
    assert (told["changed"], told["diff"]) == (True, {"before": "halted: drawdown: x\n", "after": "not halted\n"})
    assert host.commands == []
    host.command_ends = [Outcome(0, "the halt is lifted", "")]
    done = call(stack, state="resumed", reason="x")
    assert (done["changed"], done["steps"]) == (True, ["the halt is lifted"])


def test_what_is_refused_is_told(host: FakeHost, call: Call) -> None:
    assert "state is resumed but all of the following are missing: reason" in call(stack, state="resumed")["msg"]
    call(stack, state="stopped")
    hold.place(host.stack, Operator("jane", "desk"), "why")
    assert "is held after an emergency stop by jane" in call(stack, state="started")["msg"]
    assert "does not exist on this host" in call(stack, stack="other", state="started")["msg"]
