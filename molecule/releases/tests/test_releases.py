# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: changed, broken, rolled back. Each test leaves a healthy stack behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

PARAMETERS = {"symbol": "AAPL", "quantity": 5, "interval_seconds": 2, "max_position": 20}
Status = Callable[[], dict[str, Any]]

Play = Callable[..., Any]


def demo(**parameters: Any) -> dict[str, Any]:
    return {"strategy": {"name": "demo", "parameters": PARAMETERS | parameters}}


def test_a_changed_configuration_becomes_a_new_release_in_the_other_slot(play: Play, status: Status) -> None:
    before = status()
    predicted = play("deploy", "--check", "--diff", trading_engine_config=demo(quantity=3))
    assert predicted.status == 0, predicted.output
    assert "+    quantity: 3" in predicted.output
    assert status()["release"] == before["release"]

    done = play("deploy", trading_engine_config=demo(quantity=3))
    assert done.status == 0, done.output
    after = status()
    assert after["healthy"], after
    assert after["release"] != before["release"]
    assert after["previous"] == before["release"]
    assert after["slot"] != before["slot"]


def test_the_gateway_keeps_its_session_while_only_the_engine_changes(host: Host, play: Play) -> None:
    started = "docker inspect --format '{{.State.StartedAt}}' ballast-dev-main-gateway"
    before = host.check_output(started)
    assert play("deploy", trading_engine_config=demo(quantity=4)).status == 0
    assert host.check_output(started) == before


def test_a_changed_gateway_is_part_of_the_release_and_of_its_rollback(host: Host, play: Play, status: Status) -> None:
    memory = "docker inspect --format '{{.HostConfig.Memory}}' ballast-dev-main-gateway"
    before = host.check_output(memory)
    done = play("deploy", ib_gateway_memory_limit="300m")
    assert done.status == 0, done.output
    assert host.check_output(memory) == str(300 * 1024 * 1024)
    assert play("rollback").status == 0
    assert host.check_output(memory) == before
    assert status()["healthy"]


BROKEN = {
    "crashes": (
        {"trading_engine_config": {"strategy": {"name": "no-such-strategy"}}},
        "the engine exited (result exit-code, status 64) before it was healthy",
    ),
    "hangs": (
        {
            "trading_engine_command": ["sleep", "600"],
            "trading_engine_ready_timeout_seconds": 8,
            "trading_engine_stop_grace_seconds": 2,
        },
        "the engine was not healthy within 8 s: engine does not answer on /run/ballast/dev-main/",
    ),
    "never gets healthy": (
        {
            "trading_engine_config": demo() | {"health": {"max_tick_age_seconds": 0.001}},
            "trading_engine_ready_timeout_seconds": 8,
        },
        "the engine was not healthy within 8 s: engine is ",
    ),
}


@pytest.mark.parametrize(("variables", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_release_that_fails_is_rolled_back_and_the_play_says_why(
    variables: dict[str, Any], reason: str, host: Host, play: Play, status: Status
) -> None:
    before = status()
    done = play("deploy", **variables)
    assert done.status != 0
    assert reason in done.text
    assert "its last log lines" in done.text
    assert f"release {before['release']} trades in slot {before['slot']}, where it had stayed" in done.text
    after = status()
    assert after["healthy"], after
    assert all(after[fact] == before[fact] for fact in ("release", "previous", "slot"))
    assert len(host.check_output("docker ps --filter name=-engine- --format '{{.Names}}'").split()) == 1


def test_rollback_returns_to_the_previous_release_and_back(play: Play, status: Status) -> None:
    before = status()
    assert play("rollback").status == 0
    assert (status()["release"], status()["previous"]) == (before["previous"], before["release"])
    done = play("rollback", release=before["release"])
    assert done.status == 0, done.output
    assert status()["release"] == before["release"]
    assert status()["healthy"]


def test_rollback_works_on_the_host_itself(host: Host, status: Status) -> None:
    before = status()
    assert "no engine traded for" in host.check_output("ballast rollback dev-main")
    assert status()["release"] == before["previous"]
    assert "previous" in host.check_output("ballast releases dev-main")


def test_a_rollback_to_an_unknown_release_lists_those_that_exist(host: Host, play: Play, status: Status) -> None:
    before = status()
    done = play("rollback", release="20200101T000000Z-00000000")
    assert done.status != 0
    assert (
        "release '20200101T000000Z-00000000' of stack dev-main does not exist; releases here, newest first: "
        in done.text
    )
    for release in host.check_output("ls /opt/ballast/dev-main/releases").split():
        assert release in done.text
    after = status()
    assert all(after[fact] == before[fact] for fact in ("release", "previous", "slot", "units", "healthy"))


def test_a_release_damaged_by_hand_is_refused_and_the_running_one_stays(host: Host, play: Play, status: Status) -> None:
    before = status()
    path = f"/opt/ballast/dev-main/releases/{before['previous']}/engine/config/engine.yaml"
    host.check_output(f"cp --preserve {path} /root/engine.yaml; echo '# by hand' >> {path}")
    done = play("rollback")
    host.check_output(f"mv /root/engine.yaml {path}")
    assert done.status != 0
    damage = f"release {before['previous']} of stack dev-main is damaged: engine/config/engine.yaml was changed."
    assert damage in done.text
    assert status()["release"] == before["release"]
    assert status()["healthy"]


def test_a_release_edited_by_hand_is_not_started_again_until_that_is_undone(
    host: Host, status: Status, eventually: Callable[..., None]
) -> None:
    before = status()
    unit = f"ballast-engine@dev-main-{before['slot']}"
    path = "/opt/ballast/dev-main/current/engine/config/engine.yaml"
    host.check_output(f"cp --preserve {path} /root/engine.yaml; echo '# by hand' >> {path}")
    assert host.run(f"systemctl restart {unit}").rc != 0
    assert host.check_output(f"systemctl show --property ExecMainStatus --value {unit}") == "78"
    assert "engine/config/engine.yaml was changed" in host.check_output(f"journalctl --unit {unit} --lines 5")
    assert "positions         unknown" in host.run("ballast status").stdout
    host.check_output(f"mv /root/engine.yaml {path}; systemctl reset-failed {unit}; systemctl start {unit}")
    eventually(lambda: status()["healthy"], 30)
    assert status()["release"] == before["release"]


def test_a_second_change_at_the_same_time_is_refused_with_the_holder(host: Host, status: Status) -> None:
    other = status()["previous"]
    lock = "/run/ballast/dev-main.lock"
    done = host.run(f"echo -n 'alice, since noon' > {lock}; flock {lock} ballast activate dev-main {other}")
    assert done.rc == 1
    assert "stack dev-main is being changed by alice, since noon; try again later" in done.stderr
    assert status()["healthy"]


def test_old_releases_are_pruned_but_never_those_a_rollback_needs(host: Host, play: Play, status: Status) -> None:
    for quantity in (6, 7):
        assert play("deploy", trading_engine_config=demo(quantity=quantity), trading_engine_releases_keep=2).status == 0
    kept = host.check_output("ls /opt/ballast/dev-main/releases").split()
    after = status()
    assert {after["release"], after["previous"]} <= set(kept)
    assert len(kept) <= 3


def test_every_switch_is_in_the_journal_with_who_did_it_and_how_it_ended(
    host: Host, play: Play, status: Status
) -> None:
    before = status()
    assert play("rollback").status == 0
    host.check_output(f"ballast rollback dev-main {before['release']}")
    entries = [json.loads(line) for line in host.check_output("ballast journal dev-main --json --lines 4").splitlines()]
    assert [(entry["act"], entry["result"], entry["release"]) for entry in entries] == [
        ("activate", result, release)
        for release in (before["previous"], before["release"])
        for result in ("begun", "done")
    ]
    assert "@" in entries[0]["origin"]
    assert all(entry["user"] == "deploy" for entry in entries[:2])
    assert all(entry["seconds"] > 0 for entry in entries if entry["result"] == "done")
    assert "the chain is whole" in host.check_output("ballast journal dev-main verify")
