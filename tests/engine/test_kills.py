# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine under kill -9: no order lost, none sent twice, no fill missed; and that the harness would notice."""

from __future__ import annotations

import re

import pytest

from tests.engine import kills

KILLS = 520
LEAST = 500


def test_engine_killed_at_every_step_loses_no_order_and_sends_none_twice() -> None:
    report = kills.run_lanes(KILLS, lanes=4, seed=1)
    assert report.problems == []
    assert report.kills.total() >= LEAST, report.missed
    assert [step.name for step in kills.STEPS if not report.kills[step.name]] == []
    assert report.venue_kills >= 10
    assert report.fills >= KILLS
    assert len(report.faults) == 8, report.faults
    assert report.settlements >= 8


@pytest.mark.parametrize(
    ("mutation", "found"),
    [
        ("send_before_recording", "order .* is at the venue and has no intent in the ledger"),
        ("send_again", "order .* was sent 2 times"),
        ("forget_fills", "fill .* is lost|risk event position_mismatch"),
        ("count_twice", "fill .* is in the ledger and never was at the venue"),
    ],
)
def test_harness_finds_what_is_wrong_with_an_engine_that(mutation: str, found: str) -> None:
    report = kills.run_lanes(6, lanes=1, seed=1, mutation=mutation)
    assert any(re.search(found, problem) for problem in report.problems), report.problems
