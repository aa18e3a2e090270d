# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing the lease from one running engine to the other, and what becomes of it when something fails in between."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.activation import ActivationError, Activator
from ansible_collections.ballast.trading.plugins.module_utils.change import ChangeRefused
from ansible_collections.ballast.trading.plugins.module_utils.control import read_soak, read_switch
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal
from ansible_collections.ballast.trading.plugins.module_utils.releases import LINKS, Release, ReleaseError
from ansible_collections.ballast.trading.plugins.module_utils.services import ServiceError
from tests.unit.plugins.module_utils.fake_host import FakeHost, Killed, deployed

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


def test_an_engine_that_cannot_hand_over_is_stopped_before_the_next_is_started_and_comes_back_if_that_fails(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    observed = {"probe": {"kind": "container"}, "strategy": "recreate"}
    lean, better = host.stage("lean", **observed), host.stage("better lean", **observed)
    for release, old, new in ((lean, BLUE, GREEN), (better, GREEN, BLUE), (first, BLUE, GREEN)):
        host.events.clear()
        done = activator.activate(release)
        assert done.strategy == "recreate"
        assert [event for event in host.events if "engine" in event][:2] == [f"stop {old}", f"start {new}"]
        assert activator.is_running(release)
        assert read_soak(host.stack) is None
    bad = host.stage("bad lean", engine_is="crashes", **observed)
    activator.activate(lean)
    assert f"release {lean.id} was started again" in refusal(activator, bad)
    assert activator.is_running(lean)
    assert host.two_engines == []


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
        "the engine was not healthy within 30 s: the engine answers, but cannot trade: circuit_breaker: open"
    ),
    "sees something else": (
        "the standby does not see what the trading engine sees: it has AAPL 99 in account DU1234567, wanted AAPL 3 in"
        " account DU1234567 as slot blue has it. If slot blue is the one that is wrong, stop it and deploy again"
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
    assert done.gap_ms == 13_050  # since it was asked: nobody knows whether it traded then
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


# ---- killed at every moment ----


def settled(host: FakeHost, releases: list[Release]) -> None:
    """One engine trades, it is the one that a reboot would bring back, and the next deploy works."""
    activator = Activator(host.stack)
    slot = activator.active_slot()
    assert trading(host) == [slot]
    assert read_switch(host.stack) is None
    assert activator.store.trading_slot() == slot
    assert activator.store.link("current") == activator.store.link(f"active/{slot}")
    enabled = {name for name, unit in host.units.items() if unit.get("UnitFileState") == "enabled"}
    assert enabled == {f"{GATEWAY}.service", f"ballast-engine@dev-main-{slot}.service"}
    assert len(host.running) <= 3
    if len(host.running) == 3:  # the other one is the hot standby
        assert read_soak(host.stack) is not None
    host.now += 5
    current = activator.store.link("current")
    assert activator.is_running(activator.store.get(str(current)))
    wanted = next(release for release in releases if release.id != current)
    assert activator.activate(wanted).changed
    assert trading(host) == [activator.active_slot()]
    assert Journal(host.stack).verify().problems == []


@pytest.mark.parametrize("reboot", [False, True], ids=["killed", "rebooted"])
@pytest.mark.parametrize("hot", [False, True], ids=["deploy", "rollback in the soak"])
@pytest.mark.parametrize("strategy", ["blue_green", "recreate"])
def test_whatever_is_left_of_a_switch_is_finished_or_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, hot: bool, reboot: bool
) -> None:
    steps = set()
    for moment in itertools.count():
        host = FakeHost(deployed(tmp_path / str(moment)), monkeypatch)
        first, second = (host.stage(word, strategy=strategy) for word in ("one", "two"))
        Activator(host.stack).activate(first)
        if hot:
            Activator(host.stack).activate(second)
        target = first if hot else second
        host.effects_left = moment
        try:
            Activator(host.stack).activate(target)
        except Killed:
            pass
        else:
            break
        host.effects_left = None
        switch = read_switch(host.stack)
        steps.add(switch.step if switch else None)
        if reboot:
            host.reboot()
        # The recovery may be killed as well, wherever it is.
        for again in range(0, 8, 2):
            host.effects_left = again
            with contextlib.suppress(Killed):
                Activator(host.stack).recover()
            host.effects_left = None
        Activator(host.stack).recover()
        settled(host, [first, second])
        assert host.two_engines == []
    blue_green = {"compare", "demote", "promote", "watch", *(() if hot else ("start standby",))}
    assert steps >= {"settle", *(blue_green if strategy == "blue_green" else {"stop", "start"})}


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_there_are_never_two_traders(host: FakeHost, activator: Activator, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 it draws what a test does
    kinds = ["healthy", *FAILURES, "is deaf"]
    releases = [stage(host, f"good {number}") for number in range(3)]
    releases += [stage(host, f"bad {number}", engine_is=chance.choice(kinds)) for number in range(3)]
    activator.activate(releases[0])
    for _turn in range(25):
        what = chance.choice(["activate", "activate", "rollback", "move", "settle", "reboot", "die", "stick", "loosen"])
        host.effects_left = chance.choice([None, chance.randrange(25)])
        with contextlib.suppress(Killed, ActivationError, ChangeRefused, ServiceError, ReleaseError):
            if what == "activate":
                Activator(host.stack).activate(chance.choice(releases))
            elif what == "rollback":
                Activator(host.stack).activate(activator.resolve("previous"))
            elif what == "move":
                Activator(host.stack).move()
            elif what == "settle":
                host.now += chance.choice([10, 1000])
                Activator(host.stack).settle()
            elif what == "reboot":
                host.effects_left = None
                host.reboot()
            elif what == "die":
                host.running -= {chance.choice([BLUE_CONTAINER, GREEN_CONTAINER])}
            elif what == "stick":
                host.unstoppable.add(chance.choice([BLUE_CONTAINER, GREEN_CONTAINER]))
            elif what == "loosen":
                host.unstoppable.clear()
        host.effects_left = None
        with contextlib.suppress(ServiceError):
            Activator(host.stack).recover()
    host.unstoppable.clear()
    host.engines.clear()
    host.reboot()
    host.now += 5
    Activator(host.stack).recover()
    good = next(release for release in releases[:3] if release.id != activator.store.link("current"))
    assert Activator(host.stack).activate(good).changed
    settled(host, releases[:3])


@pytest.mark.parametrize(("holder", "stopped"), [("blue", True), ("green", False), (None, True)])
def test_an_engine_that_still_holds_the_lock_has_not_given_the_lease_back(
    host: FakeHost, activator: Activator, first: Release, holder: str | None, stopped: bool
) -> None:
    """Where the other one holds it, as after a promotion, there is nothing to doubt."""
    second = stage(host, "two")
    host.stack.lease.mkdir(parents=True)
    path = host.stack.lease / "lock"
    path.write_text(json.dumps({"slot": holder}) if holder else "")
    with path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert activator.activate(second).slot == "green"
    assert (f"stop {BLUE}" in host.events) is stopped
    assert trading(host) == ["green"]
