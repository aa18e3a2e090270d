# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.filter.status_table import FilterModule
from ansible_collections.ballast.trading.plugins.module_utils.status import stack_status, status_table
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed


def test_stacks_that_are_not_deployed_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = stack_status(FakeHost(deployed(tmp_path), monkeypatch).stack)
    render = FilterModule().filters()["status_table"]
    assert render([None, document, None]) == status_table([document])
    assert render([None]) == ""


def test_results_of_hosts_are_shown_by_their_names_in_the_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = stack_status(FakeHost(deployed(tmp_path), monkeypatch).stack)
    render = FilterModule().filters()["status_table"]
    table = render({"paper1": {"changed": False, "status": document}, "paper2": {"status": None}})
    assert table == status_table([{**document, "host": "paper1"}])


def test_a_host_that_could_not_be_asked_has_a_row_that_says_why() -> None:
    render = FilterModule().filters()["status_table"]
    last = render({"paper1": {"unreachable": True, "msg": "Failed to connect:\n  no route"}, "paper2": {}}).splitlines()
    assert last[1].startswith("paper1 ")
    assert last[1].endswith("NO: Failed to connect: no route")
    assert last[2].endswith("NO: no answer")
