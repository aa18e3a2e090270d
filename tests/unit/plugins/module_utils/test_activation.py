# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching between releases, on a host in memory."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import activation, ib_api
from ansible_collections.ballast.trading.plugins.module_utils.activation import ActivationError, Activator
from ansible_collections.ballast.trading.plugins.module_utils.change import ChangeRefused, deploy_lock
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, Operator
from ansible_collections.ballast.trading.plugins.module_utils.releases import LINKS, Release, ReleaseError
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed

GATEWAY = "ballast-gateway@dev-main"
BLUE, GREEN = "ballast-engine@dev-main-blue", "ballast-engine@dev-main-green"
BLUE_CONTAINER, GREEN_CONTAINER = "ballast-dev-main-engine-blue", "ballast-dev-main-engine-green"
GATEWAY_CONTAINER = "ballast-dev-main-gateway"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """A host on which no test, whatever it is about, may see two engines."""
    fake = FakeHost(deployed(tmp_path), monkeypatch)
    yield fake
    assert fake.two_engines == []


@pytest.fixture
def activator(host: FakeHost) -> Activator:
    return Activator(host.stack)


@pytest.fixture
def first(host: FakeHost, activator: Activator) -> Release:
    """A release that runs in slot blue."""
    release = host.stage()
    activator.activate(release)
    host.events.clear()
    return release


def links(activator: Activator) -> dict[str, str | None]:
    return {name: activator.store.link(name) for name in LINKS}


def refusal(activator: Activator, release: Release) -> str:
    with pytest.raises(ActivationError) as refused:
        activator.activate(release)
    return str(refused.value)


def failed(release: Release, reason: str, now: str, unit: str | None = GREEN) -> str:
    last = f"last words of {unit}.service" if unit else "(no output)"
    return f"release {release.id} of stack dev-main failed: {reason}\nits last log lines:\n  | {last}\nnow: {now}"


def restored(release: Release) -> str:
    return f"release {release.id} was started again in slot blue and is healthy"


# ---- the switch ----


def test_the_first_release_starts_gateway_and_engine_and_survives_a_reboot(
    host: FakeHost, activator: Activator
) -> None:
    release = host.stage()
    said: list[str] = []
    done = Activator(host.stack, said.append).activate(release)
    assert (done.changed, done.release, done.previous, done.slot) == (True, release.id, None, "blue")
    assert done.gap_ms is None
    assert host.events == [f"start {GATEWAY}", f"start {BLUE}", f"enable {GATEWAY} {BLUE}"]
    assert links(activator) == {
        "current": release.id,
        "previous": None,
        "active/gateway": release.id,
        "active/blue": release.id,
        "active/green": None,
    }
    assert done.steps == said
    assert said[-1] == f"release {release.id} runs in slot blue"
    assert said[0].startswith(f"{GATEWAY}.service is healthy after ")


def test_the_old_engine_is_proven_stopped_before_the_new_one_starts_in_the_other_slot(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = host.stage("two")
    done = activator.activate(second)
    assert host.events == [f"stop {BLUE}", f"start {GREEN}", f"enable {GATEWAY} {GREEN}", f"disable {BLUE}"]
    assert host.running == {GATEWAY_CONTAINER, GREEN_CONTAINER}
    assert (done.slot, done.previous) == ("green", first.id)
    assert done.gap_ms == pytest.approx(1000, abs=500)
    assert links(activator) == {
        "current": second.id,
        "previous": first.id,
        "active/gateway": first.id,
        "active/blue": None,
        "active/green": second.id,
    }


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_without_an_engine_that_ran_there_is_no_gap_to_tell(
    host: FakeHost, activator: Activator, first: Release, state: str
) -> None:
    host._stop(f"{BLUE}.service")
    host.units[f"{BLUE}.service"]["ActiveState"] = state
    done = activator.activate(host.stage("two"))
    assert (done.slot, done.previous, done.gap_ms) == ("green", first.id, None)


def test_a_gateway_that_differs_is_replaced_while_no_engine_runs(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = host.stage("two", gateway="two")
    activator.activate(second)
    switch = [f"stop {BLUE}", f"stop {GATEWAY}", f"start {GATEWAY}", f"start {GREEN}"]
    assert host.events[:4] == switch
    assert activator.store.link("active/gateway") == second.id
    assert activator.store.link("previous") == first.id


def test_a_gateway_whose_secrets_were_changed_is_started_again_with_them(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    secret = host.stack.etc / "secrets/gateway/tws_password"
    secret.parent.mkdir(parents=True)
    secret.write_text("old")
    os.utime(secret, (host.now - 60, host.now - 60))
    assert activator.activate(first).changed is False
    os.utime(secret, (host.now + 60, host.now + 60))
    assert activator.activate(first).changed
    switch = [f"stop {BLUE}", f"stop {GATEWAY}", f"start {GATEWAY}", f"start {GREEN}"]
    assert host.events[:4] == switch
    assert activator.store.link("current") == first.id


def test_an_engine_whose_secrets_were_changed_is_started_again_with_them_and_the_gateway_is_not(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    secret = host.stack.etc / "secrets/engine/engine.env"
    secret.parent.mkdir(parents=True)
    secret.write_text("old")
    os.utime(secret, (host.now - 60, host.now - 60))
    assert activator.activate(first).changed is False
    os.utime(secret, (host.now + 60, host.now + 60))
    assert activator.activate(first).changed
    assert host.events[:2] == [f"stop {BLUE}", f"start {GREEN}"]
    assert activator.store.link("current") == first.id


def test_a_rollback_is_an_activation_and_can_be_rolled_back(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = host.stage("two", gateway="two")
    activator.activate(second)
    assert activator.activate(activator.resolve("previous")).release == first.id
    assert (activator.store.link("current"), activator.store.link("previous")) == (first.id, second.id)
    assert activator.store.link("active/gateway") == first.id
    assert activator.activate(activator.resolve("previous")).release == second.id


def test_activating_what_runs_changes_nothing(host: FakeHost, activator: Activator, first: Release) -> None:
    done = activator.activate(first)
    assert (done.changed, done.release, done.slot, done.steps) == (False, first.id, "blue", [])
    assert host.events == []


@pytest.mark.parametrize("unit", [GATEWAY, BLUE])
@pytest.mark.parametrize(("key", "value"), [("ActiveState", "failed"), ("UnitFileState", "disabled")])
def test_what_runs_only_in_part_or_only_until_a_reboot_is_activated_again(
    host: FakeHost, activator: Activator, first: Release, unit: str, key: str, value: str
) -> None:
    host.started_at.clear()
    host.units[f"{unit}.service"][key] = value
    assert not activator.is_running(first)
    done = activator.activate(first)
    assert (done.changed, done.slot, done.previous) == (True, "green", None)
    assert activator.is_running(first)


def test_images_that_are_gone_are_refused_before_anything_is_touched(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    before = links(activator)
    second = host.stage("two")
    del host.images["ballast/engine:1"]
    with pytest.raises(ReleaseError) as refused:
        activator.activate(second)
    assert str(refused.value) == (
        f"image ballast/engine@sha256:bb of release {second.id} is gone from this host and cannot be pulled:"
        " `docker pull --quiet ballast/engine@sha256:bb` failed with status 1: not found"
    )
    assert (host.events, links(activator)) == ([], before)


def test_earlier_failures_and_restarts_of_a_unit_are_not_held_against_a_new_start(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = host.stage("two")
    host.units[f"{GREEN}.service"] = {"ActiveState": "failed", "Result": "exit-code", "NRestarts": "3"}
    assert activator.activate(second).slot == "green"
    assert activator.store.link("previous") == first.id


# ---- choosing a release ----


def test_there_may_be_nothing_to_return_to(activator: Activator, first: Release) -> None:
    with pytest.raises(ReleaseError) as refused:
        activator.resolve("previous")
    assert str(refused.value) == (
        f"stack dev-main has no previous release to return to; releases here, newest first: {first.id}"
    )


@pytest.mark.parametrize("wanted", ["its id", "previous"])
def test_a_release_edited_by_hand_is_not_chosen(
    host: FakeHost, activator: Activator, first: Release, wanted: str
) -> None:
    activator.activate(host.stage("two"))
    (first.path / "engine/config/engine.yaml").write_text("by hand")
    with pytest.raises(ReleaseError, match=r"is damaged: engine/config/engine\.yaml was changed"):
        activator.resolve(first.id if wanted == "its id" else wanted)


# ---- engines that fail ----

FAILURES = {
    "crashes": "the engine exited (result exit-code, status 64) before it was healthy",
    "dies soon": "the engine exited (result exit-code, status 64) soon after it became healthy",
    "hangs": "the engine was not healthy within 60 s: engine does not answer",
    "waits": "the engine was not healthy within 60 s: engine is starting",
    "gives up": "the engine was not healthy within 60 s: engine is starting",
}


@pytest.mark.parametrize(("behaviour", "reason"), FAILURES.items())
@pytest.mark.parametrize("gateway", ["one", "two"])
def test_a_release_that_fails_gives_way_to_the_one_before(
    host: FakeHost, activator: Activator, first: Release, behaviour: str, reason: str, gateway: str
) -> None:
    before = links(activator)
    second = host.stage("two", gateway, engine_is=behaviour)
    assert refusal(activator, second) == failed(second, reason, restored(first))
    assert links(activator) == before
    assert host.running == {GATEWAY_CONTAINER, BLUE_CONTAINER}
    assert activator.is_running(first)


@pytest.mark.parametrize(("behaviour", "reason"), FAILURES.items())
def test_a_first_release_that_fails_leaves_nothing_running(
    host: FakeHost, activator: Activator, behaviour: str, reason: str
) -> None:
    release = host.stage(engine_is=behaviour)
    expected = failed(release, reason, "nothing runs: there was no release before it", BLUE)
    assert refusal(activator, release) == expected
    assert set(links(activator).values()) == {None}
    assert host.running == set()


def test_without_a_limit_a_slow_start_is_waited_for(host: FakeHost, activator: Activator) -> None:
    release = host.stage(ready_timeout_seconds=0, engine_is="hangs")
    hours = 3600.0

    def recover(_host: float) -> None:
        host.now += hours
        host.engines.clear()

    host.sleep = recover  # type: ignore[method-assign]
    assert activator.activate(release).changed


def test_an_engine_that_was_stopped_before_is_not_started_by_a_failed_switch(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    host._stop(f"{BLUE}.service")
    second = host.stage("two", engine_is="crashes")
    now = f"nothing trades: the engine of release {first.id} had been stopped before, and was left so"
    assert refusal(activator, second) == failed(second, FAILURES["crashes"], now)
    assert host.running == {GATEWAY_CONTAINER}
    assert activator.store.link("active/blue") == first.id


def test_it_says_when_the_release_before_does_not_start_again_either(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = host.stage("two", engine_is="crashes")
    host.engines[f"blue {first.id}"] = "crashes"
    now = (
        "NOTHING TRADES: the release that ran before could not be restored either"
        " (the engine exited (result exit-code, status 64) before it was healthy)"
    )
    assert refusal(activator, second) == failed(second, FAILURES["crashes"], now)


def test_a_log_that_cannot_be_read_does_not_hide_the_reason(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = host.stage("two", engine_is="crashes")
    host.failing["journalctl"] = "no space"
    expected = failed(second, FAILURES["crashes"], restored(first))
    assert refusal(activator, second) == expected.replace(
        f"last words of {GREEN}.service", "`journalctl` failed with status 1: no space"
    )


# ---- never two engines ----


def test_an_engine_that_does_not_stop_means_that_nothing_starts(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = host.stage("two")
    host.unstoppable.add(BLUE_CONTAINER)
    before = links(activator)
    assert refusal(activator, second) == (
        f"release {second.id} of stack dev-main was not started: container {BLUE_CONTAINER} still runs after its unit"
        f" {BLUE}.service was stopped. Nothing was started in its place; ballast-recover@dev-main.service puts back"
        " what ran as soon as that can be proven"
    )
    assert host.events == [f"stop {BLUE}", f"docker stop {BLUE_CONTAINER} within 30 s"]
    assert links(activator) == before
    assert before["active/blue"] == first.id


@pytest.mark.parametrize("what", ["systemctl stop", "docker inspect"])
def test_an_engine_of_which_nobody_can_tell_whether_it_stopped_means_that_nothing_starts(
    host: FakeHost, activator: Activator, first: Release, what: str
) -> None:
    second = host.stage("two")
    host.failing[what] = "no answer"
    unit = BLUE if what == "systemctl stop" else GREEN  # the idle slot is looked at first
    then = "when it has stopped, deploy again or activate another release"
    if unit == BLUE:
        then = "ballast-recover@dev-main.service puts back what ran as soon as that can be proven"
    assert refusal(activator, second) == (
        f"release {second.id} of stack dev-main was not started: it cannot be proven that {unit}.service has stopped"
        f" (`{what}` failed with status 1: no answer). Nothing was started in its place; {then}"
    )
    assert not [event for event in host.events if event.startswith("start")]
    assert activator.store.link("current") == first.id


def test_an_engine_left_behind_by_a_killed_supervisor_is_stopped_first(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    host.running.add(GREEN_CONTAINER)
    activator.activate(host.stage("two"))
    assert host.events[:4] == [
        f"stop {GREEN}",
        f"stop {BLUE}",
        f"start {GREEN}",
        f"enable {GATEWAY} {GREEN}",
    ]
    assert activator.store.link("previous") == first.id


@pytest.mark.parametrize("engine_is", ["healthy", "crashes"])
def test_an_engine_whose_start_waits_its_turn_at_boot_does_not_start_beside_the_new_one(
    host: FakeHost, activator: Activator, first: Release, engine_is: str
) -> None:
    host._stop(f"{BLUE}.service")
    host.units[f"{BLUE}.service"]["Job"] = "17"

    def boot_goes_on(unit: str) -> None:
        if unit.startswith(GREEN) and host.units[f"{BLUE}.service"].get("Job"):
            host._start(f"{BLUE}.service")

    host.on_start = boot_goes_on
    second = host.stage("two", engine_is=engine_is)
    if engine_is == "healthy":
        assert activator.activate(second).slot == "green"
        assert host.running == {GATEWAY_CONTAINER, GREEN_CONTAINER}
    else:  # and what boot would have started is started again
        assert refusal(activator, second) == failed(second, FAILURES["crashes"], restored(first))


def test_one_left_behind_that_does_not_stop_is_found_before_the_running_engine_is_touched(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    host.running.add(GREEN_CONTAINER)
    host.unstoppable.add(GREEN_CONTAINER)
    text = refusal(activator, host.stage("two"))
    assert f"container {GREEN_CONTAINER} still runs after its unit {GREEN}.service was stopped." in text
    assert BLUE_CONTAINER in host.running
    assert activator.is_running(first)


def test_a_failed_engine_that_does_not_stop_keeps_the_old_one_from_starting(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = host.stage("two", engine_is="hangs")
    host.unstoppable.add(GREEN_CONTAINER)
    now = (
        f"nothing was started in its place: container {GREEN_CONTAINER} still runs after its unit {GREEN}.service"
        " was stopped"
    )
    assert refusal(activator, second) == failed(second, FAILURES["hangs"], now)
    assert BLUE_CONTAINER not in host.running
    assert activator.store.link("current") == first.id


def test_the_old_slot_has_lost_its_right_before_the_new_one_is_enabled(
    host: FakeHost, activator: Activator, first: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled_beside: list[str | None] = []
    systemctl = activation.commands.systemctl

    def watched(verb: str, *arguments: str, **options: float) -> None:
        if verb == "enable":
            enabled_beside.append(activator.store.link("active/blue"))
        systemctl(verb, *arguments, **options)

    monkeypatch.setattr(activation.commands, "systemctl", watched)
    activator.activate(host.stage("two"))
    assert enabled_beside == [None]
    assert activator.store.link("previous") == first.id


# ---- interruptions ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_switch_puts_back_what_ran(
    host: FakeHost, activator: Activator, first: Release, number: signal.Signals
) -> None:
    before = links(activator)
    second = host.stage("two")
    host.on_start = lambda unit: os.kill(os.getpid(), number) if unit.startswith(GREEN) else None
    assert refusal(activator, second) == failed(second, "it was interrupted", restored(first), None)
    assert links(activator) == before
    assert activator.is_running(first)


def test_an_impatient_operator_still_learns_what_was_left(host: FakeHost, activator: Activator, first: Release) -> None:
    second = host.stage("two")
    host.on_start = lambda _engine: os.kill(os.getpid(), signal.SIGINT)
    try:
        text = refusal(activator, second)
    except KeyboardInterrupt:
        pytest.fail("the interruption came out instead of what it left")
    now = (
        "perhaps nothing trades: putting back the release that ran before was interrupted as well;"
        " ballast-recover@dev-main.service goes on with that, look with `ballast status dev-main`"
    )
    assert text == failed(second, "it was interrupted", now, None)
    host.on_start = lambda _engine: None
    assert activator.activate(first).changed
    assert activator.is_running(first)


def test_a_lost_terminal_does_not_end_a_switch(host: FakeHost, activator: Activator, first: Release) -> None:
    second = host.stage("two")
    host.on_start = lambda _unit: os.kill(os.getpid(), signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)]
    assert activator.activate(second).previous == first.id
    assert [signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)] == handlers


@pytest.mark.parametrize("what", ["systemctl enable", "systemctl disable", "systemctl start"])
def test_a_command_that_fails_half_way_undoes_the_switch(
    host: FakeHost, activator: Activator, first: Release, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = links(activator)
    second = host.stage("two")
    host.failing[what] = "disk full"
    restore = activator._restore

    def mended(*arguments: object) -> ActivationError:
        host.failing.clear()
        return restore(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(activator, "_restore", mended)
    assert refusal(activator, second) == failed(
        second, f"`{what}` failed with status 1: disk full", restored(first), None
    )
    assert links(activator) == before
    assert activator.is_running(first)
    assert host.unit(f"{GREEN}.service")["UnitFileState"] == "disabled"


def test_a_full_disk_undoes_the_switch(
    host: FakeHost, activator: Activator, first: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = host.stage("two")
    set_link = activator.store.set_link

    def full(name: str, release_id: str | None) -> None:
        if release_id == second.id:
            raise OSError(28, "No space left on device", name)
        set_link(name, release_id)

    monkeypatch.setattr(activator.store, "set_link", full)
    reason = "[Errno 28] No space left on device: 'active/green'"
    assert refusal(activator, second) == failed(second, reason, restored(first), None)
    assert activator.is_running(first)


@pytest.mark.parametrize("stage", ["before it settled", "between links and units"])
def test_a_switch_that_was_killed_is_completed_by_the_next(
    host: FakeHost, activator: Activator, first: Release, stage: str
) -> None:
    second = host.stage("two")
    host._stop(f"{BLUE}.service")
    activator.store.set_link("active/green", second.id)
    host._start(f"{GREEN}.service")
    assert activator.active_slot() == "blue"  # enabled, and what a reboot would bring back
    if stage == "between links and units":
        activator.store.set_link("active/blue", None)
        activator.store.set_link("previous", first.id)
        activator.store.set_link("current", second.id)
        assert activator.active_slot() == "green"
    done = activator.activate(second)
    assert done.changed
    assert len(host.running) == 2
    assert activator.is_running(second)
    assert activator.store.link("previous") == first.id
    assert activator.activate(activator.resolve("previous")).release == first.id


def test_only_one_switch_at_a_time_and_the_other_learns_who_holds_it(
    host: FakeHost, activator: Activator, first: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    second = host.stage("two")
    with deploy_lock(host.stack):
        with pytest.raises(ChangeRefused) as refused:
            activator.activate(second)
        with pytest.raises(ChangeRefused, match="is being changed by"):
            activator.remove()
    text = str(refused.value)
    assert text.startswith(f"stack dev-main is being changed by alice, process {os.getpid()}, since ")
    assert text.endswith("Z; try again later, or wait: --wait SECONDS, or with a playbook -e wait_seconds=SECONDS")
    assert host.events == []
    assert activator.activate(second).previous == first.id


def test_the_lock_is_out_of_the_engines_reach(host: FakeHost) -> None:
    with deploy_lock(host.stack):
        assert (host.stack.run.parent / "dev-main.lock").is_file()
        assert not host.stack.run.exists()


# ---- the account ----

WRONG_ACCOUNT = (
    "the gateway's session is for account U7654321, but the release is for DU1234567;"
    " correct ballast_account or the gateway's login"
)


def test_a_wrong_account_is_refused_before_anything_is_touched(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    before = links(activator)
    host.account = "U7654321"
    second = host.stage("two")
    assert refusal(activator, second) == (
        f"release {second.id} of stack dev-main was not activated: {WRONG_ACCOUNT};"
        f" release {first.id} was left as it is"
    )
    assert (host.events, links(activator)) == ([], before)


def test_a_new_gateway_with_a_wrong_account_never_gets_an_engine(host: FakeHost, activator: Activator) -> None:
    host.account = "U7654321"
    release = host.stage()
    now = "nothing runs: there was no release before it"
    assert refusal(activator, release) == failed(release, WRONG_ACCOUNT, now, None)
    assert host.events == [f"start {GATEWAY}", f"stop {GATEWAY}"]
    assert host.running == set()


def test_a_login_to_a_wrong_account_gets_no_engine_back_either(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    secret = host.stack.etc / "secrets/gateway/tws_password"
    secret.parent.mkdir(parents=True)
    secret.touch()
    os.utime(secret, (host.now + 60, host.now + 60))
    second = host.stage("two")
    host.on_start = lambda _gateway: setattr(host, "account", "U7654321")
    now = f"NOTHING TRADES: the release that ran before could not be restored either ({WRONG_ACCOUNT})"
    assert refusal(activator, second) == failed(second, WRONG_ACCOUNT, now, None)
    assert host.running == {GATEWAY_CONTAINER}
    assert activator.store.link("current") == first.id


def test_a_session_lost_during_a_switch_does_not_keep_the_engine_before_from_waiting_for_it(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    second = host.stage("two", engine_is="waits")

    def lose_the_session(_engine: str) -> None:
        host.session_problem = ib_api.NotLoggedIn("127.0.0.1:4002 sent accounts none")

    host.on_start = lose_the_session
    assert refusal(activator, second) == failed(second, FAILURES["waits"], restored(first))


def test_a_gateway_without_a_session_keeps_the_running_engine_untouched(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    host.session_problem = ib_api.NotLoggedIn("127.0.0.1:4002 sent accounts none")
    second = host.stage("two")
    assert refusal(activator, second) == (
        f"release {second.id} of stack dev-main was not activated: the gateway has no session with the broker:"
        f" 127.0.0.1:4002 sent accounts none; release {first.id} was left as it is"
    )
    assert host.events == []


def test_another_probe_with_the_same_client_id_is_waited_for(
    host: FakeHost, activator: Activator, first: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = host.stage("two")
    session = ib_api.session
    held_until = host.now + 3

    def held(*arguments: object) -> ib_api.Session:
        if host.now < held_until:
            raise ib_api.ClientIdInUse("127.0.0.1:4002 refused client id 990")
        return session(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ib_api, "session", held)
    assert activator.activate(second).previous == first.id


def test_a_client_id_that_stays_taken_is_reported(host: FakeHost, activator: Activator, first: Release) -> None:
    host.session_problem = ib_api.ClientIdInUse("127.0.0.1:4002 refused client id 990")
    text = refusal(activator, host.stage("two"))
    assert "has no session with the broker: 127.0.0.1:4002 refused client id 990; " in text
    assert activator.is_running(first)


# ---- damage to what runs ----


def lose_the_folder(release: Release) -> None:
    shutil.rmtree(release.path)


def break_the_manifest(release: Release) -> None:
    (release.path / "release.json").write_text("{")


@pytest.mark.parametrize("damage", [lose_the_folder, break_the_manifest])
def test_a_running_release_that_was_damaged_can_be_replaced(
    host: FakeHost, activator: Activator, first: Release, damage: Callable[[Release], None]
) -> None:
    second = host.stage("two")
    damage(first)
    assert not activator.is_running(second)
    assert activator.activate(second).release == second.id
    assert activator.store.link("active/gateway") == second.id
    assert len(host.running) == 2


# ---- removing ----


def test_removing_stops_everything_and_takes_away_what_a_stack_had(
    host: FakeHost, activator: Activator, first: Release
) -> None:
    assert activator.exists()
    steps = activator.remove()
    assert host.running == set()
    assert host.events == [
        f"stop {BLUE}",
        f"stop {GATEWAY}",
        f"disable {GATEWAY}",
        f"disable {BLUE}",
        "remove network ballast-dev-main-trading",
        "remove network ballast-dev-main-egress",
    ]
    assert steps[-1] == "removed every release of stack dev-main"
    assert not activator.exists()
    assert not first.path.exists()
    assert (host.stack.etc / "stack.json").exists()


@pytest.mark.parametrize("container", [GATEWAY_CONTAINER, BLUE_CONTAINER])
def test_a_stack_that_does_not_stop_is_not_removed(
    host: FakeHost, activator: Activator, first: Release, container: str
) -> None:
    host.unstoppable.add(container)
    unit = GATEWAY if "gateway" in container else BLUE
    with pytest.raises(ActivationError) as refused:
        activator.remove()
    assert str(refused.value) == (
        f"stack dev-main was not removed: container {container} still runs after its unit {unit}.service was stopped"
    )
    assert first.path.exists()


# ---- the journal ----


def test_a_switch_is_in_the_journal_with_who_what_and_how_it_ended(host: FakeHost) -> None:
    release, broken = host.stage("one"), host.stage("two", engine_is="crashes")
    jane = Operator("deploy", "jane@laptop")
    Activator(host.stack, by=jane).activate(release)
    with pytest.raises(ActivationError) as refused:
        Activator(host.stack, by=jane).activate(broken)
    begun, done, begun_again, failed_again = Journal(host.stack).entries()
    assert (begun["act"], begun["result"], begun["release"]) == ("activate", "begun", release.id)
    assert (done["result"], done["text"], done["user"], done["origin"]) == (
        "done", "runs in slot blue", "deploy", "jane@laptop"
    )  # fmt: skip
    assert begun_again["text"] == f"instead of {release.id}"
    assert (failed_again["result"], failed_again["text"]) == ("failed", str(refused.value))
    assert Journal(host.stack).verify().problems == []


def test_what_changes_nothing_is_not_in_the_journal(host: FakeHost, activator: Activator) -> None:
    release = host.stage()
    activator.activate(release)
    activator.activate(release)
    assert [entry["result"] for entry in Journal(host.stack).entries()] == ["begun", "done"]
