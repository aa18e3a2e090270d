# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module journal, through main()."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.ballast.trading.plugins.action import journal as action
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal
from ansible_collections.ballast.trading.plugins.modules import journal
from tests.unit.plugins.module_utils.fake_host import ORIGIN, FakeHost

Call = Callable[..., dict[str, Any]]


def test_a_line_is_appended_with_who_acts_from_where(host: FakeHost, call: Call) -> None:
    answer = call(journal, act="maintenance", text="new disk", seconds=840, origin=ORIGIN)
    (entry,) = Journal(host.stack).entries()
    assert answer == {"changed": True, "entry": entry}
    assert (entry["act"], entry["result"], entry["text"], entry["seconds"]) == ("maintenance", "done", "new disk", 840)
    assert entry["origin"].startswith("alice@desk")


def test_check_mode_appends_nothing(host: FakeHost, call: Call) -> None:
    assert call(journal, check=True, text="new disk") == {"changed": True, "entry": None}
    assert not host.stack.journal.exists()


def test_a_journal_that_cannot_be_written_fails_the_task(host: FakeHost, call: Call) -> None:
    host.stack.journal.mkdir(parents=True)
    assert call(journal, text="new disk")["msg"] == (
        f"the journal {host.stack.journal} cannot be written: [Errno 21] Is a directory: '{host.stack.journal}'"
    )


def test_the_controller_says_who_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    monkeypatch.setattr(action, "origin", lambda folder: {"user": "alice", "controller": folder, "commit": None})
    plugin = action.ActionModule.__new__(action.ActionModule)
    plugin._loader = SimpleNamespace(get_basedir=lambda: "desk")
    plugin._execute_module = lambda module_args, **_: module_args
    plugin._task = SimpleNamespace(args={"stack": "dev-main", "text": "new disk"})
    assert plugin.run() == {
        "stack": "dev-main",
        "text": "new disk",
        "origin": {"user": "alice", "controller": "desk", "commit": None},
    }
    plugin._task.args["origin"] = {}
    with pytest.raises(AnsibleActionFail) as refused:
        plugin.run()
    assert refused.value.message == "origin is set by the action plugin"
