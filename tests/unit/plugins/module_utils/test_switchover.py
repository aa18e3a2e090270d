# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing the lease from one running engine to the other, and what becomes of it when something fails in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.activation import ActivationError, Activator
from ansible_collections.ballast.trading.plugins.module_utils.change import ChangeRefused
from ansible_collections.ballast.trading.plugins.module_utils.control import read_soak, read_switch
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal
from ansible_collections.ballast.trading.plugins.module_utils.releases import LINKS, Release
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed

GATEWAY = "ballast-gateway@dev-main"
BLUE, GREEN = "ballast-engine@dev-main-blue", "ballast-engine@dev-main-green"
BLUE_CONTAINER, GREEN_CONTAINER = "ballast-dev-main-engine-blue", "ballast-dev-main-engine-green"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """A host on which no test, whatever it is about, may see two engines trade."""
    fake = FakeHost(deployed(tmp_path), monkeypatch)
    yield fake
    assert fake.two_engines == []


@pytest.fixture
def activator(host: FakeHost) -> Activator:
    return Activator(host.stack)


def stage(host: FakeHost, word: str, engine_is: str = "healthy") -> Release:
    return host.stage(word, engine_is=engine_is, strategy="blue_green")


@pytest.fixture
def first(host: FakeHost, activator: Activator) -> Release:
    """A release of an engine that keeps the contract, trading in slot blue."""
    release = stage(host, "one")
    activator.activate(release)
    host.events.clear()
    return release


def trading(host: FakeHost) -> list[str]:
    """The slots whose engines run and trade."""
    return [
        slot
        for slot, role in sorted(host.roles.items())
        if role == "trading" and f"ballast-dev-main-engine-{slot}" in host.running
    ]


def refusal(activator: Activator, release: Release) -> str:
    with pytest.raises(ActivationError) as refused:
        activator.activate(release)
    return str(refused.value)


def soak_timer() -> str:
    return (
        "systemd-run --quiet --collect --on-active=900 --unit ballast-soak-dev-main --timer-property AccuracySec=1s"
        " /usr/local/bin/ballast settle dev-main"
    )


# ---- the switch ----


def test_the_lease_goes_to_a_standby_that_was_proven_healthy_and_the_old_engine_stays_as_one(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = stage(host, "two")
    done = activator.activate(second)
    assert host.events == [
        f"start {GREEN}",
        "demote blue",
        "promote green",
        "stop ballast-soak-dev-main.timer",
        soak_timer(),
        f"enable {GATEWAY} {GREEN}",
        f"disable {BLUE}",
    ]
    assert (done.slot, done.previous, done.strategy, done.gap_ms) == ("green", first.id, "blue_green", 50)
    assert trading(host) == ["green"]
    assert host.roles["blue"] == "standby"
    assert {name: activator.store.link(name) for name in LINKS} == {
        "current": second.id,
        "previous": first.id,
        "active/gateway": first.id,
        "active/blue": first.id,
        "active/green": second.id,
    }
    assert activator.store.trading_slot() == activator.active_slot() == "green"
    assert read_switch(host.stack) is None
    soak = read_soak(host.stack)
    assert soak is not None
    assert (soak.slot, soak.release) == ("blue", first.id)
    assert activator.is_running(second)


def test_a_rollback_in_the_soak_is_one_demote_and_one_promote(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = stage(host, "two")
    activator.activate(second)
    host.events.clear()
    done = activator.activate(activator.resolve("previous"))
    assert host.events[:2] == ["demote green", "promote blue"]
    assert not [event for event in host.events if event.startswith(("start", f"stop {BLUE}", f"stop {GREEN}"))]
    assert (done.slot, done.strategy, activator.store.link("previous")) == ("blue", "blue_green", second.id)
    assert trading(host) == ["blue"]
    soak = read_soak(host.stack)
    assert soak is not None
    assert (soak.slot, soak.release) == ("green", second.id)


def test_a_deploy_in_the_soak_ends_it_first(host: FakeHost, activator: Activator, first: Release) -> None:
    activator.activate(stage(host, "two"))
    host.events.clear()
    third = stage(host, "three")
    assert activator.activate(third).slot == "blue"
    assert host.events[:5] == [
        f"stop {BLUE}",
        "stop ballast-soak-dev-main.timer",
        f"start {BLUE}",
        "demote green",
        "promote blue",
    ]


def test_a_soak_that_is_over_stops_the_standby(host: FakeHost, activator: Activator, first: Release) -> None:
    second = stage(host, "two")
    activator.activate(second)
    assert not activator.settle()
    host.now += 900
    assert activator.settle()
    assert host.running == {"ballast-dev-main-gateway", GREEN_CONTAINER}
    assert activator.store.link("active/blue") is None
    assert read_soak(host.stack) is None
    assert activator.activate(activator.resolve("previous")).strategy == "blue_green"


def test_the_lease_can_be_handed_to_the_hot_standby(host: FakeHost, activator: Activator, first: Release) -> None:
    with pytest.raises(ChangeRefused, match="has no hot standby that could trade"):
        activator.move()
    second = stage(host, "two")
    activator.activate(second)
    assert activator.move().release == first.id
    assert activator.move().release == second.id
    assert trading(host) == ["green"]


# ---- what goes wrong ----

FAILURES = {
    "crashes": "the engine exited (result exit-code, status 64) before it was healthy",
    "hangs": "the engine was not healthy within 60 s: engine does not answer",
    "waits": "the engine was not healthy within 60 s: engine is starting",
    "is not promoted": (
        "the engine in slot green was not promoted: promote answered 503 with role standby:"
        " it does not trade yet: gateway"
    ),
    "dies promoted": "the engine exited (result exit-code, status 64) soon after it became healthy",
    "cannot trade": (
        "the engine was not healthy within 15 s: the engine answers, but cannot trade: circuit_breaker: open"
    ),
    "sees something else": (
        "the standby does not see what the trading engine sees: it has AAPL 99 in account DU1234567, wanted AAPL 3 in"
        " account DU1234567 as slot blue has it"
    ),
}


@pytest.mark.parametrize(("behaviour", "reason"), FAILURES.items())
def test_the_old_engine_trades_again_without_having_been_stopped(
    host: FakeHost, activator: Activator, first: Release, behaviour: str, reason: str
) -> None:
    before = {name: activator.store.link(name) for name in LINKS}
    second = stage(host, "two", engine_is=behaviour)
    text = refusal(activator, second)
    assert f"release {second.id} of stack dev-main failed: {reason}\n" in text
    assert text.endswith(f"now: release {first.id} trades in slot blue, where it had stayed")
    assert f"stop {BLUE}" not in host.events
    assert trading(host) == ["blue"]
    assert {name: activator.store.link(name) for name in LINKS} == before
    assert read_switch(host.stack) is None
    assert activator.is_running(first)


def test_what_stopped_the_old_engine_from_trading_is_not_held_against_the_new_one(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    host.halted = True
    assert activator.activate(stage(host, "two")).strategy == "blue_green"


def test_an_engine_that_does_not_confirm_is_stopped_before_the_other_is_promoted(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = stage(host, "two")
    host.engines[f"blue {first.id}"] = "is deaf"
    done = activator.activate(second)
    assert host.events[:4] == [f"start {GREEN}", "demote blue", f"stop {BLUE}", "promote green"]
    assert (done.strategy, trading(host)) == ("blue_green", ["green"])
    assert read_soak(host.stack) is None
    assert activator.store.link("active/blue") is None


def test_an_engine_that_cannot_be_proven_stopped_is_fenced_out_and_nobody_is_promoted(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = stage(host, "two")
    host.engines[f"blue {first.id}"] = "is deaf"
    host.unstoppable.add(BLUE_CONTAINER)
    host.stack.lease.mkdir(parents=True)
    text = refusal(activator, second)
    assert "token 1 fences it out" in text
    assert "promote green" not in host.events
    token = json.loads((host.stack.lease / "token").read_text())
    assert (token["token"], token["owner"]) == (1, "ballast")
    assert [entry["act"] for entry in Journal(host.stack).entries() if entry["act"] == "alert"] == ["alert"]
    # Later it has ended after all: what ran is put back.
    host.unstoppable.clear()
    host.engines.clear()
    Activator(host.stack).recover()
    assert trading(host) == ["blue"]
    assert read_switch(host.stack) is None
