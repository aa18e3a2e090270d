# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases change under an engine that trades without a pause. After every test the venue's own record is the judge."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cutover.rig import STACK, Changed, Rig, variables

MATRIX = bool(os.environ.get("CUTOVER_MATRIX"))
CUTOVERS = 6
CONFIGURATION = variables()["trading_engine_config"]
MISHAPS = Path(__file__).parents[1] / "strategies" / "mishaps.py"


@pytest.fixture(scope="session")
def rig(name: str) -> Rig:
    """The scenario's host."""
    return Rig(name)


@pytest.fixture(scope="session")
def twins(rig: Rig) -> list[str]:
    """Three releases that differ in nothing but a comment: one may run, one be the hot standby, one be new."""
    return [rig.stage({"engine.yaml": f"{yaml.safe_dump(CONFIGURATION)}# twin {number}\n"}) for number in range(3)]


@pytest.fixture
def fresh(rig: Rig, twins: list[str]) -> Callable[[], str]:
    """Tells a release that neither trades nor stands by."""

    def choose() -> str:
        status = rig.status()
        taken = {status["release"], (status["standby"] or {}).get("release")}
        return next(release for release in twins if release not in taken)

    return choose


@pytest.fixture(autouse=True)
def in_order(rig: Rig) -> Iterator[None]:
    """After every test: healthy, never two traders, nothing lost or sent twice, and the journal's chain is whole."""
    yield
    rig.forgive()
    status = rig.await_order(90)
    assert status.get("healthy"), status
    assert rig.judge()["problems"] == []


def done(changed: Changed) -> Changed:
    """A change that went well."""
    assert changed.status == 0, changed
    return changed


# ---- without faults --------------------------------------------------------------------------------------------------


def test_cutovers_under_load_are_as_short_for_the_tool_as_for_the_venue(rig: Rig, fresh: Callable[[], str]) -> None:
    before, told = len(rig.judge()["gaps"]), []
    for _ in range(CUTOVERS // 2):
        # To a release that ran nowhere, and back to the one that stands by.
        for changed in (rig.activate(fresh()), rig.change("rollback", STACK)):
            gap = re.search(r"no engine traded for (\d+) ms", done(changed).output)
            assert gap, changed
            told.append(int(gap[1]) / 1000)
    verdict = rig.judge()
    seen = [gap["seconds"] for gap in verdict["gaps"][before:]]
    assert verdict["problems"] == []
    assert len(seen) == CUTOVERS
    # Each has something that the other has not: the strategy's pause, the answers on their way.
    assert all(abs(tool - venue) < 0.5 + venue / 2 for tool, venue in zip(told, seen, strict=True)), (told, seen)


# ---- faults at a step ------------------------------------------------------------------------------------------------

# In the order in which a switch comes to them: before each is done, and when it is committed.
STEPS = {
    "start standby": "^step start standby$",
    "compare": "^step compare$",
    "demote": "^step demote$",
    "promote": "^step promote$",
    "watch": "^step watch$",
    "settle": "^step settle$",
    "committed": "stays as a hot standby",
}
# Each with the seconds after which it ends; 0: with the tool, and a fault that is over at once.
FAULTS = {
    "old engine killed": 0,
    "new engine killed": 0,
    "tool killed": 0,
    "dockerd killed": 0,
    "partition": 8,
    "gateway restarted": 0,
    "old engine frozen": 0,
    "new engine frozen": 0,
    "reboot": 0,
    "power cut": 0,
}
CHOSEN = {
    ("tool killed", "demote"),
    ("tool killed", "promote"),
    ("tool killed", "committed"),
    ("old engine killed", "compare"),
    ("new engine killed", "promote"),
    ("old engine frozen", "demote"),
    ("power cut", "promote"),
}
# There is no new engine before it is started.
IMPOSSIBLE = {("new engine killed", "start standby"), ("new engine frozen", "start standby")}


def cases(faults: Iterable[str], steps: Iterable[str], chosen: set[tuple[str, str]]) -> list[Any]:
    """Every fault at every step; those that are not chosen run only when all are asked for."""

    def case(fault: str, step: str) -> Any:
        skipped = pytest.mark.skipif(not MATRIX and (fault, step) not in chosen, reason="runs with CUTOVER_MATRIX=1")
        return pytest.param(fault, step, marks=skipped, id=f"{fault} at {step}")

    both = itertools.product(faults, steps)
    return [case(fault, step) for fault, step in both if (fault, step) not in IMPOSSIBLE]


@pytest.mark.parametrize(("fault", "step"), cases(FAULTS, STEPS, CHOSEN))
def test_a_fault_in_a_cutover_leaves_one_trader_and_a_stack_that_changes_again(
    rig: Rig, fresh: Callable[[], str], fault: str, step: str
) -> None:
    before, target = rig.status()["release"], fresh()
    changed = rig.activate(target, at=STEPS[step], fault=fault, seconds=FAULTS[fault])
    assert changed.struck, changed
    status = rig.await_order(90)
    assert status.get("healthy"), (changed, status)
    assert status["release"] in (before, target), (changed, status)
    assert not status["strays"], (changed, status)
    assert rig.judge()["problems"] == [], changed
    done(rig.activate(fresh()))


@pytest.mark.parametrize(("fault", "step"), cases(FAULTS, [*STEPS][1:], {("tool killed", "promote")}))
def test_a_fault_in_a_rollback_to_the_hot_standby_does_no_harm_either(
    rig: Rig, fresh: Callable[[], str], fault: str, step: str
) -> None:
    done(rig.activate(fresh()))
    changed = rig.change("rollback", STACK, at=STEPS[step], fault=fault, seconds=FAULTS[fault])
    assert changed.struck, changed
    status = rig.await_order(90)
    assert status.get("healthy"), (changed, status)
    assert rig.judge()["problems"] == [], changed


@pytest.mark.parametrize(("fault", "step"), cases(["disk full"], STEPS, {("disk full", "promote")}))
def test_a_full_disk_in_a_cutover_ends_well_once_there_is_room_again(
    rig: Rig, fresh: Callable[[], str], fault: str, step: str
) -> None:
    target = fresh()
    rig.call("disk", "--amount", "64")
    try:
        assert rig.await_order()["healthy"]
        changed = rig.activate(target, at=STEPS[step], fault=fault, seconds=10)
        assert changed.struck, changed
        status = rig.await_order(30)
        # An engine that could not even open its ledger waits for a person, and is not passed over in silence.
        assert status["healthy"] or "NOTHING TRADES" in changed.output, (changed, status)
        rig.forgive()
        done(rig.activate(fresh()))
        assert rig.await_order()["healthy"]
    finally:
        rig.call("disk")


# ---- releases that fail ----------------------------------------------------------------------------------------------


def staged(rig: Rig, mishap: str) -> str:
    """A release whose strategy is well until it is to trade."""
    strategy = {"name": "mishaps:Mishap", "parameters": CONFIGURATION["strategy"]["parameters"] | {"mishap": mishap}}
    return rig.stage(
        {"engine.yaml": yaml.safe_dump(CONFIGURATION | {"strategy": strategy}), "mishaps.py": MISHAPS.read_text()}
    )


@pytest.mark.parametrize("mishap", ["crash", "eat memory", "raise", "hang", "order what is refused"])
def test_a_release_that_fails_when_it_is_to_trade_gives_the_lease_back(rig: Rig, mishap: str) -> None:
    before = rig.status()
    changed = rig.activate(staged(rig, mishap))
    assert changed.status == 1, changed
    after = rig.await_order()
    assert after["healthy"], (changed, after)
    assert (after["release"], after["slot"]) == (before["release"], before["slot"]), changed


def test_a_release_that_never_gets_healthy_does_not_touch_the_one_that_trades(rig: Rig) -> None:
    never = yaml.safe_dump(CONFIGURATION | {"health": {"max_tick_age_seconds": 0.001}})
    before, gaps = rig.status(), len(rig.judge()["gaps"])
    changed = rig.activate(rig.stage({"engine.yaml": never}, ready_timeout_seconds=6))
    assert changed.status == 1, changed
    after = rig.status()
    assert after["healthy"], (changed, after)
    assert (after["release"], after["slot"]) == (before["release"], before["slot"])
    assert len(rig.judge()["gaps"]) == gaps


# ---- the soak --------------------------------------------------------------------------------------------------------


def test_a_reboot_in_the_soak_brings_back_the_slot_that_traded_and_no_other(rig: Rig, fresh: Callable[[], str]) -> None:
    done(rig.activate(fresh()))
    before = rig.status()
    assert before["standby"]
    rig.reboot()
    after = rig.await_order(90)
    assert after["healthy"], after
    assert (after["release"], after["slot"]) == (before["release"], before["slot"])
    assert after["standby"] is None
    assert not after["strays"]
    done(rig.change("rollback", STACK))
