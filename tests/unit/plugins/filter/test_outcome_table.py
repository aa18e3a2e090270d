# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.filter.outcome_table import FilterModule

OLD, NEW = "20261122T204501Z-0000000a", "20261122T204501Z-0000000b"
SEEN = {"preflight": {"facts": {"stacks": {"paper-main": {"release": OLD}}}}}
STAGED = {**SEEN, "__trading_engine_wanted": {"release": NEW, "running": OLD, "active": False}}


def row(variables: dict[str, Any], reachable: bool = True) -> list[str]:
    """The cells of the only host."""
    outcome_table = FilterModule().filters()["outcome_table"]
    hostvars = {"paper1": {"ballast_stack": "paper-main", **variables}}
    heading, line = outcome_table(["paper1"], hostvars, ["paper1"] if reachable else []).splitlines()
    starts = [heading.index(word) for word in heading.split()]
    return [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]


@pytest.mark.parametrize(
    ("variables", "cells"),
    [
        (SEEN, ["not reached", OLD]),
        ({"preflight": {"facts": {"stacks": {}}}}, ["not reached", "nothing"]),
        ({}, ["not reached", "?"]),
        (STAGED, ["not reached", OLD]),
        ({**STAGED, "__trading_engine_wanted": {"running": NEW, "active": True}}, ["done", NEW]),
        ({**STAGED, "__trading_engine_activated": {"skipped": True}}, ["not reached", OLD]),
        ({**STAGED, "__trading_engine_activated": {"release": NEW, "running": NEW}}, ["done", NEW]),
    ],
)
def test_a_host_is_done_when_it_runs_the_wanted_release(variables: dict[str, Any], cells: list[str]) -> None:
    assert row(variables) == ["paper1", "paper-main", *cells, ""]


def test_a_host_that_failed_says_what_it_runs_now_and_why_in_one_line() -> None:
    failed = {"__trading_engine_activated": {"failed": True, "running": OLD}, "__failure": "it crashed\nits log: ..."}
    assert row({**STAGED, **failed}) == ["paper1", "paper-main", "failed", OLD, "it crashed"]


def test_what_a_host_that_is_gone_runs_is_what_it_ran_last() -> None:
    assert row({**STAGED, "__trading_engine_activated": {"unreachable": True}}, reachable=False) == [
        "paper1",
        "paper-main",
        "unreachable",
        OLD,
        "",
    ]
