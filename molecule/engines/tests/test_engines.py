# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that do not keep the contract, by stand-ins that behave so. Each test but the last leaves a healthy stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

FOLDER = "/var/lib/ballast/dev-main/engine"
ALGORITHMS = Path(__file__).parents[1] / "algorithms"
# By kind: what its stand-in says when it is told to stop, and the file that it writes.
OTHERS = {
    "plain": ("received SIGTERM", "."),
    "nautilus": ("TradingNode: DISPOSED", "account"),
    "rustybt": ("received SIGTERM", ".rustybt/state/mean_checkpoint.json"),
}
TOKEN = "a-token-to-look-for"
Status = Callable[[], dict[str, Any]]
Play = Callable[..., Any]


def unit(slot: str) -> str:
    return f"ballast-engine@dev-main-{slot}.service"


def words(host: Host, slot: str) -> str:
    """What an engine has said in this slot."""
    return host.check_output(f"journalctl --unit {unit(slot)} --output cat --no-pager")


def starts(host: Host) -> int:
    """How often LEAN has started, as it counts in its storage."""
    return int(host.check_output(f"cat {FOLDER}/storage/starts"))


def test_lean_is_healthy_and_what_cannot_be_known_is_unknown(host: Host, status: Status) -> None:
    now = status()
    assert now["healthy"], now
    assert now["engine"]["role"] == "running"
    assert now["engine"]["message"] == (
        "engine is running: its output says nothing fatal; it wrote results/* at most 300 s ago"
    )
    assert now["engine"]["positions"] is None
    assert now["engine"]["open_orders"] is None
    assert "positions         unknown" in host.check_output("ballast status")


def test_lean_has_its_settings_and_its_code_from_the_release_and_no_secret_is_in_it(host: Host, status: Status) -> None:
    release = f"/opt/ballast/dev-main/releases/{status()['release']}/engine"
    settings = json.loads(host.check_output(f"cat {release}/config/config.json"))
    assert (settings["ib-account"], settings["ib-host"], settings["ib-password"]) == ("DU1234567", "gateway", "")
    mounts = json.loads(
        host.check_output(f"docker inspect --format '{{{{json .Mounts}}}}' ballast-dev-main-engine-{status()['slot']}")
    )
    secrets = "/run/ballast/dev-main.secrets"
    assert {mount["Destination"]: (mount["Source"], mount["RW"]) for mount in mounts} == {
        "/Lean/Launcher/bin/Debug/config.json": (f"{secrets}/{status()['slot']}.json", False),
        "/LeanCLI": (f"{release}/files", False),
        "/Lean/Data": (f"{FOLDER}/data", True),
        "/Results": (f"{FOLDER}/results", True),
        "/Storage": (f"{FOLDER}/storage", True),
    }
    result = json.loads(host.check_output(f"cat {FOLDER}/results/L-1.json"))
    assert result == {"account": "DU1234567", "token": TOKEN}
    assert host.run(f"grep -r {TOKEN} /opt/ballast /var/log/ballast").rc == 1
    assert host.run(f"sudo -u deploy find {secrets}").rc == 1
    assert host.check_output(f"stat --format '%U %a' {secrets}/*.json") == "root 400"


def test_lean_that_crashes_is_started_again(host: Host, status: Status, eventually: Callable[..., None]) -> None:
    before, slot = starts(host), status()["slot"]
    host.check_output(f"docker kill ballast-dev-main-engine-{slot}")
    eventually(lambda: starts(host) == before + 1 and status()["healthy"], 60)
    assert host.check_output(f"systemctl show --property NRestarts --value {unit(slot)}") == "1"


def test_a_new_release_of_lean_takes_over_after_the_old_has_ended_in_order(
    host: Host, play: Play, status: Status
) -> None:
    before, count = status(), starts(host)
    done = play("deploy", trading_engine_config={"algorithm-type-name": "Counting", "ib-response-timeout": "60"})
    assert done.status == 0, done.output
    after = status()
    assert after["healthy"], after
    assert after["slot"] != before["slot"]
    assert starts(host) == count + 1
    old = words(host, before["slot"])
    # Told by Ctrl-C, which it heeds, and not killed: it took its time.
    assert "Lean instance has been cancelled, shutting down safely now" in old
    assert "Exiting Lean..." in old
    assert [line for line in old.splitlines() if "exited with status" in line][-1].endswith("status 0")


def test_an_algorithm_that_fails_is_replaced_by_the_release_before(play: Play, status: Status) -> None:
    before = status()
    done = play("deploy", trading_engine_files=str(ALGORITHMS / "broken"))
    assert done.status != 0
    assert "Algorithm.Initialize() Error: ValueError: no symbol of that name" in done.text
    assert f"release {before['release']} was started again in slot {before['slot']} and is healthy" in done.text
    after = status()
    assert after["healthy"], after
    assert all(after[fact] == before[fact] for fact in ("release", "previous", "slot"))


def test_a_rollback_keeps_what_lean_has_stored(host: Host, play: Play, status: Status) -> None:
    before, count = status(), starts(host)
    done = play("rollback")
    assert done.status == 0, done.output
    after = status()
    assert after["healthy"], after
    assert after["release"] == before["previous"]
    assert starts(host) == count + 1


def test_the_image_of_lean_is_all_that_is_missing(host: Host, play: Play, status: Status) -> None:
    before = status()
    done = play("deploy", trading_engine_image="quantconnect/lean:17000", trading_engine_command=[])
    assert done.status != 0
    assert "image quantconnect/lean:17000 is not on this host and could not be pulled" in done.text
    assert status() | {"gateway": None, "last_backup": None} == before | {"gateway": None, "last_backup": None}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_engine_is_deployed_watched_and_stopped_as_its_kind_says(
    kind: str, host: Host, play: Play, status: Status, eventually: Callable[..., None]
) -> None:
    before = status()
    done = play(
        "deploy",
        trading_engine_kind=kind,
        trading_engine_command=["python3", "-m", f"stand_ins.{kind}"],
        trading_engine_config={"strategy": kind},
        trading_engine_secrets={"API_TOKEN": TOKEN},
        trading_engine_files="",
    )
    assert done.status == 0, done.output
    after = status()
    assert after["healthy"], after
    assert after["engine"]["role"] == "running"
    container = f"ballast-dev-main-engine-{after['slot']}"
    assert host.check_output(f"docker exec {container} cat /etc/engine/engine.yaml").endswith(f"strategy: {kind}")
    assert host.check_output(f"docker exec {container} printenv API_TOKEN") == TOKEN
    inspected = json.loads(host.check_output(f"docker inspect {container}"))[0]
    assert inspected["HostConfig"]["ReadonlyRootfs"]
    assert inspected["Config"]["User"] == "10001:10001"

    host.check_output(f"docker kill {container}")
    eventually(lambda: host.check_output(f"docker inspect --format '{{{{.State.Running}}}}' {container}") == "true", 30)
    eventually(lambda: status()["healthy"], 60)

    back = play("rollback", release=before["release"])
    assert back.status == 0, back.output
    assert status()["healthy"]
    farewell, file = OTHERS[kind]
    assert farewell in words(host, after["slot"])
    assert host.file(f"{FOLDER}/{file}").exists


def test_a_stack_that_is_taken_away_leaves_what_its_engine_has_written(host: Host, play: Play) -> None:
    count = starts(host)
    done = play("decommission")
    assert done.status == 0, done.output
    assert host.check_output("docker ps --all --quiet --filter name=ballast-dev-main") == ""
    assert starts(host) == count
