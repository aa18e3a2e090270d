# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

Play = Callable[..., Any]
Status = Callable[[], dict[str, Any]]

# What each role makes, in the order of a deploy. Ledger and backups are data: their role's removal leaves them.
MADE = {
    "docker_host": ["/etc/docker/daemon.json"],
    "host_tools": ["/usr/local/bin/ballast", "/usr/local/lib/ballast/ballast/cli.py"],
    "systemd_units": [
        "/etc/systemd/system/ballast-engine@.service",
        "/etc/systemd/system/ballast-gateway@.service",
    ],
    "ledger": [],
    "ib_gateway": ["/etc/ballast/dev-main/secrets/gateway"],
    "trading_engine": ["/etc/ballast/dev-main/stack.json", "/opt/ballast/dev-main/current"],
    "backup_cron": ["/etc/cron.d/ballast-dev-main", "/etc/ballast/dev-main/backup.json"],
}
LEDGER = "/var/lib/ballast/dev-main/ledger/trades.db"


def present(host: Host) -> set[str]:
    """The roles all of whose files are there; fails when one left some of them."""
    found = set()
    for role, paths in MADE.items():
        there = [path for path in paths if host.file(path).exists]
        assert there in ([], paths), f"of what {role} makes only this is there: {there}"
        if there:
            found.add(role)
    return found


@pytest.mark.parametrize("role", MADE)
def test_a_role_alone_has_nothing_to_do_where_it_was_applied(role: str, play: Play) -> None:
    done = play("deploy", "--tags", role)
    assert done.status == 0, done.output
    assert f"ballast.trading.{role} : " in done.output
    assert done.changed == []


def test_what_was_changed_by_hand_is_put_right(host: Host, play: Play) -> None:
    unit, description = MADE["systemd_units"][0], MADE["trading_engine"][0]
    before = [host.file(path).content for path in (unit, description)]
    host.check_output(f"echo '# by hand' >> {unit} && chmod 0666 {description}")
    done = play("deploy")
    assert done.status == 0, done.output
    roles = [name.split(" : ")[0] for name in done.changed]
    assert roles == ["ballast.trading.systemd_units", "ballast.trading.trading_engine"]
    assert [host.file(path).content for path in (unit, description)] == before
    assert host.file(description).mode == 0o644
    assert play("deploy").changed == []


def test_a_first_snapshot_that_could_not_be_taken_is_taken_by_the_next_deploy(host: Host, play: Play) -> None:
    host.check_output("rm /var/backups/ballast/dev-main/*")
    done = play("deploy")
    assert done.status == 0, done.output
    assert len(done.changed) == 1, done.changed
    assert host.check_output("ls /var/backups/ballast/dev-main/*.manifest.json")


@pytest.mark.parametrize("role", reversed(MADE))
def test_a_role_that_is_switched_off_takes_with_it_what_it_made_and_nothing_else(
    role: str, host: Host, play: Play
) -> None:
    before = present(host)
    off = {f"{role}_state": "absent"}
    predicted = play("deploy", "--check", "--tags", role, **off)
    assert predicted.status == 0, predicted.output
    assert present(host) == before

    done = play("deploy", "--tags", role, **off)
    assert done.status == 0, done.output
    assert done.changed == predicted.changed
    assert present(host) == before - {role}
    assert host.file(LEDGER).exists

    again = play("deploy", "--tags", role, **off)
    assert again.status == 0, again.output
    assert again.changed == []


def test_nothing_of_the_stack_is_left_running(host: Host) -> None:
    assert host.check_output("docker ps --all --quiet") == ""
    assert host.check_output("systemctl list-units 'ballast*' --all --no-legend --plain") == ""


@pytest.mark.parametrize("role", MADE)
def test_a_role_alone_puts_back_what_it_made(role: str, host: Host, play: Play) -> None:
    before = present(host)
    predicted = play("deploy", "--check", "--diff", "--tags", role)
    assert predicted.status == 0, predicted.output
    assert present(host) == before

    done = play("deploy", "--tags", role)
    assert done.status == 0, done.output
    assert done.changed == predicted.changed
    assert present(host) == (before | {role} if MADE[role] else before)


def test_the_stack_runs_again(status: Status, play: Play) -> None:
    assert status()["healthy"], status()
    assert play("deploy").changed == []
