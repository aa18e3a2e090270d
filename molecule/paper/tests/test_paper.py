# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper inventory: its secrets stay secret, it describes a real gateway, and it can be removed again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

Play = Callable[..., Any]
PASSWORD = "a-password-to-look-for"


def test_the_paper_stack_runs(status: Callable[[], dict[str, Any]]) -> None:
    document = status()
    assert document["healthy"], document
    assert (document["stack"], document["environment"]) == ("paper-main", "paper")
    assert document["gateway"]["accounts"] == ["DU7654321"]


def test_a_secret_is_a_file_that_only_its_container_may_read(host: Host) -> None:
    secret = host.file("/etc/ballast/paper-main/secrets/gateway/tws_password")
    assert (secret.uid, secret.gid, secret.mode) == (1000, 1000, 0o400)
    assert secret.content_string == PASSWORD
    assert host.file("/etc/ballast/paper-main/secrets").mode == 0o700
    assert host.file("/etc/ballast/paper-main/secrets/gateway").mode == 0o500


@pytest.mark.parametrize(
    "place",
    [
        "grep -r --files-with-matches %s /opt /etc/systemd /etc/cron.d /var/lib/ballast /var/log /run/ballast",
        "journalctl --no-pager | grep %s",
        "ps -eo args | grep %s | grep -v grep",
        "docker inspect $(docker ps --all --quiet) | grep %s",
        "docker logs ballast-paper-main-gateway 2>&1 | grep %s",
    ],
)
def test_a_secret_is_nowhere_else(place: str, host: Host) -> None:
    # The sudo that testinfra uses logs its own command line, so the password is not spelled out in it.
    found = host.run(place.replace("%s", "a-pass[w]ord-to-look-for"))
    assert found.stdout == ""


def test_a_secret_is_not_in_what_ansible_prints(play: Play) -> None:
    done = play("deploy", "--check", "--diff", "-vvv", vault_ib_gateway_password=f"{PASSWORD}-2")
    assert done.status == 0, done.output
    assert PASSWORD not in done.output


def test_the_real_gateway_is_described_as_its_image_wants_it(play: Play) -> None:
    image = "ghcr.io/gnzsnz/ib-gateway:10.45.1j"
    done = play("deploy", "--check", "--diff", ib_gateway_kind="ib_gateway", ib_gateway_image=image)
    assert done.status == 0, done.output
    for line in (
        'TRADING_MODE: "paper"',
        '+ TWS_PASSWORD_FILE: "/run/secrets/tws_password"',
        '+ TWS_SETTINGS_PATH: "/home/ibgateway/tws_settings"',
        "+ - /var/lib/ballast/paper-main/gateway:/home/ibgateway/tws_settings",
        "+ read_only: false",
        "- tmpfs: [/tmp]",
        f'+ "image": "{image}"',
    ):
        assert line in done.text


def test_a_new_password_reaches_the_gateway(host: Host, play: Play, status: Callable[[], dict[str, Any]]) -> None:
    started = "docker inspect --format '{{.State.StartedAt}}' ballast-paper-main-gateway"
    before, release = host.check_output(started), status()["release"]
    predicted = play("deploy", "--check", vault_ib_gateway_password=f"{PASSWORD}-3")
    done = play("deploy", vault_ib_gateway_password=f"{PASSWORD}-3")
    assert done.status == 0, done.output
    assert predicted.changed == done.changed
    assert host.file("/etc/ballast/paper-main/secrets/gateway/tws_password").content_string == f"{PASSWORD}-3"
    assert host.check_output(started) > before
    assert status()["release"] == release
    assert play("deploy", vault_ib_gateway_password=f"{PASSWORD}-3").changed == []


def test_the_live_inventory_is_complete(host_variables: dict[str, Any], play: Play) -> None:
    mine = {
        **host_variables,
        "ballast_account": "U7654321",
        "ballast_confirm_live": "live-main",
        "ib_gateway_kind": "ib_gateway",
        "ib_gateway_image": "ghcr.io/gnzsnz/ib-gateway:10.45.1j",
        "vault_ib_gateway_username": "a-user-name",
        "vault_ib_gateway_password": PASSWORD,
    }
    done = play("live", "--check", "--diff", inventory="inventories/live", **mine)
    assert done.status == 0, done.output
    assert "127.0.0.1:4001:4003" in done.text
    assert 'TRADING_MODE: "live"' in done.text
    assert "name: none" in done.text


def test_decommissioning_removes_what_every_role_made(host: Host, play: Play) -> None:
    predicted = play("decommission", "--check", decommission_host=True)
    assert predicted.status == 0, predicted.output
    done = play("decommission", decommission_host=True)
    assert done.status == 0, done.output
    assert predicted.changed == done.changed
    assert host.check_output("docker ps --all --quiet") == ""
    assert "ballast" not in host.check_output("docker network ls --format '{{.Name}}'")
    made = "/etc/ballast /etc/cron.d/ballast* /opt/ballast /usr/local/*/ballast /var/lib/ballast/*/lease"
    assert host.check_output(f"ls -d {made} /etc/docker/daemon.json 2>/dev/null; true") == ""
    assert host.check_output("systemctl list-unit-files 'ballast*' --no-legend; true") == ""
    again = play("decommission", decommission_host=True)
    assert again.status == 0, again.output
    assert again.changed == []


def test_ledger_and_backups_outlive_the_removal(host: Host) -> None:
    assert host.file("/var/lib/ballast/paper-main/ledger/trades.db").exists
    assert host.check_output("ls /var/backups/ballast/paper-main/*.manifest.json")


def test_the_ledger_goes_when_its_stack_is_named_and_its_backups_stay(host: Host, play: Play) -> None:
    done = play("decommission", ledger_remove_data="paper-main")
    assert done.status == 0, done.output
    assert not host.file("/var/lib/ballast/paper-main/ledger").exists
    assert host.check_output("ls /var/backups/ballast/paper-main/*.manifest.json")
