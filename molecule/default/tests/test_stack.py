# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack that was just deployed: it trades, it is hardened, it explains itself, and it comes back after a reboot."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

from testinfra.host import Host

Status = Callable[[], dict[str, Any]]
Module = Callable[..., dict[str, Any]]
Eventually = Callable[..., None]
LEDGER = "/var/lib/ballast/dev-main/ledger/trades.db"


def ledger(host: Host, query: str) -> int:
    return int(host.check_output("sqlite3 file:%s?mode=ro %s", LEDGER, query))


def test_the_engine_trades_and_its_fills_reach_the_ledger(host: Host, eventually: Eventually) -> None:
    fills = "SELECT count(*) FROM executions"
    before = ledger(host, fills)
    eventually(lambda: ledger(host, fills) > before, 60)


def test_every_order_is_in_the_ledger_under_its_own_key(host: Host) -> None:
    assert ledger(host, "SELECT count(*) FROM orders") > 0
    assert ledger(host, "SELECT count(*) - count(DISTINCT order_ref) FROM orders") == 0


def test_status_tells_what_runs(status: Status) -> None:
    document = status()
    assert document["healthy"], document
    assert document["gateway"]["accounts"] == ["DU1234567"]
    assert document["gateway"]["server_version"] == 178
    assert document["engine"]["role"] == "trading"
    assert document["engine"]["last_tick_age_seconds"] < 10
    assert document["ledger"]["rows"]["orders"] > 0
    assert document["last_backup"]["age_seconds"] < 3600
    assert set(document["units"].values()) == {"active"}


def test_status_is_readable_without_a_controller(host: Host) -> None:
    table = host.check_output("ballast status")
    for fact in ("release", "slot", "gateway session", "engine role", "last tick", "positions", "last backup", "units"):
        assert fact in table


def test_a_second_deploy_and_check_mode_change_nothing(play: Callable[..., Any], status: Status) -> None:
    release = status()["release"]
    for options in ([], ["--check", "--diff"]):
        done = play("deploy", *options)
        assert done.status == 0, done.output
        assert done.changed == []
    assert status()["release"] == release


def test_containers_have_least_privilege(host: Host) -> None:
    names = host.check_output("docker ps --filter name=ballast- --format '{{.Names}}'").split()
    assert len(names) == 2
    for container in json.loads(host.check_output(f"docker inspect {' '.join(names)}")):
        settings = container["HostConfig"]
        assert container["Config"]["User"] not in ("", "0", "root")
        assert settings["ReadonlyRootfs"]
        assert settings["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in settings["SecurityOpt"]
        assert settings["RestartPolicy"]["Name"] in ("", "no")
        assert settings["Memory"] > 0
        assert settings["PidsLimit"] > 0


def test_nothing_but_ssh_listens_beyond_the_host(host: Host) -> None:
    listening = host.check_output("ss --listening --tcp --numeric --no-header | awk '{print $4}'").split()
    public = [address for address in listening if not address.startswith(("127.", "[::1]"))]
    assert all(address.endswith(":22") for address in public), public


def test_the_engine_has_no_way_out_but_the_gateway(host: Host) -> None:
    network = json.loads(host.check_output("docker network inspect ballast-dev-main-trading"))[0]
    assert network["Internal"]
    engine = host.check_output("docker ps --filter name=-engine- --format '{{.Names}}'")
    networks = json.loads(host.check_output(f"docker inspect {engine}"))[0]["NetworkSettings"]["Networks"]
    assert list(networks) == ["ballast-dev-main-trading"]


def test_only_the_engine_may_read_the_ledger(host: Host) -> None:
    for path in (LEDGER, f"{LEDGER}-wal"):
        file = host.file(path)
        assert (file.uid, file.gid) == (10001, 10001)
        assert file.mode & 0o007 == 0


def test_the_ledger_has_a_verified_snapshot(host: Host) -> None:
    host.check_output("ballast backup dev-main --ledger")
    newest = host.check_output("ls -1 /var/backups/ballast/dev-main/*.db.zst.manifest.json | tail -n 1")
    manifest = json.loads(host.check_output(f"cat {newest}"))
    artefact = host.file(newest.removesuffix(".manifest.json"))
    assert artefact.sha256sum == manifest["artefact"]["sha256"]
    assert artefact.mode == 0o600
    assert manifest["tables"]["orders"]["rows"] > 0


def test_what_cron_runs_makes_an_archive_that_can_be_verified(host: Host) -> None:
    assert host.service("cron").is_running
    count = "ls /var/backups/ballast/dev-main/*.manifest.json | wc -l"
    before = int(host.check_output(count))
    lines = host.check_output(
        "grep 'ballast backup' /etc/cron.d/ballast-dev-main | grep -o 'systemd-cat.*'"
    ).splitlines()
    command = re.sub(" --delay [0-9]+", "", lines[0])
    host.check_output("env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c %s", command)
    assert int(host.check_output(count)) == before + 1
    (made,) = host.check_output("ls /var/backups/ballast/dev-main/*.tar.zst").splitlines()
    assert ": ok, " in host.check_output(f"ballast verify dev-main {made.rpartition('/')[2]} --mode deep")


def test_every_kind_of_check_can_be_asked_ad_hoc(module: Module, status: Status) -> None:
    slot = status()["slot"]
    asked = module(
        "health_probe",
        wait=60,  # Docker asks the engine for its health only every half minute
        checks=[
            {"kind": "tcp", "port": 4002},
            {"kind": "ib_api", "port": 4002, "level": "session", "account": "DU1234567"},
            {"kind": "http", "url": "http://engine/health", "socket": f"/run/ballast/dev-main/{slot}.sock"},
            {"kind": "container", "container": f"ballast-dev-main-engine-{slot}"},
            {"kind": "systemd", "unit": f"ballast-engine@dev-main-{slot}.service"},
            {"kind": "process", "pattern": "reference_engine"},
            {"kind": "disk", "path": "/var/lib"},
            {"kind": "memory"},
            {"kind": "load", "warn": 50, "fail": 100},  # the machine under test is busy
            {"kind": "file_age", "path": "/var/backups/ballast/dev-main/*.manifest.json", "fail": 86400},
            {"kind": "sqlite", "path": LEDGER},
        ],
    )
    assert {check["kind"]: check["status"] for check in asked["checks"]} == dict.fromkeys(
        [check["kind"] for check in asked["checks"]], "pass"
    ), asked
    assert len(asked["checks"]) == 11


def test_a_snapshot_is_proven_against_its_manifest_and_damage_is_seen(host: Host, module: Module) -> None:
    newest = host.check_output("ls -1 /var/backups/ballast/dev-main/*.db.zst.manifest.json | tail -n 1")
    artefact = newest.removesuffix(".manifest.json")
    good = module("sqlite_verify", path=artefact, manifest=newest, mode="deep", schema_version=2)
    assert good["status"] == "ok", good
    damaged = "/var/tmp/damaged.db"  # noqa: S108
    host.check_output(f"zstd --decompress --force --quiet {artefact} -o {damaged}")
    host.check_output(f"printf X | dd of={damaged} bs=1 seek=20000 conv=notrunc status=none")
    bad = module("sqlite_verify", path=damaged, manifest=newest, mode="deep")
    host.check_output(f"rm {damaged}")
    assert bad["status"] == "failed"
    assert "damaged.db" in bad["msg"]


def test_a_killed_engine_is_started_again(host: Host, status: Status, eventually: Eventually) -> None:
    name = host.check_output("docker ps --filter name=-engine- --format '{{.Names}}'")
    host.check_output(f"docker kill {name}")
    eventually(lambda: not status()["healthy"], 20)
    eventually(lambda: status()["healthy"], 60)


def test_a_restart_of_docker_leaves_the_containers_running(host: Host, status: Status, eventually: Eventually) -> None:
    before = host.check_output("docker ps --quiet --no-trunc").split()
    host.check_output("systemctl restart docker")
    eventually(lambda: status()["healthy"], 60)
    assert host.check_output("docker ps --quiet --no-trunc").split() == before


def test_a_reboot_brings_the_same_stack_back(host: Host, status: Status, eventually: Eventually) -> None:
    def booted_at() -> str:
        try:
            return host.run("stat --format %Y /run/systemd/system").stdout.strip()
        except RuntimeError:  # the host is down
            return ""

    before, boot = status(), booted_at()
    with contextlib.suppress(RuntimeError):  # it takes the connection with it
        host.run("systemctl reboot")
    eventually(lambda: booted_at() not in ("", boot), 90)
    eventually(lambda: status()["healthy"], 90)
    after = status()
    assert (after["release"], after["slot"]) == (before["release"], before["slot"])
