# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: refused with the thing, the value and the fix, while the release that runs keeps running."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

Play = Callable[..., Any]
Status = Callable[[], dict[str, Any]]
MIGRATIONS = Path(__file__).parents[3] / "roles/ledger/files/migrations"


@pytest.fixture(autouse=True)
def nothing_changes(status: Status) -> Iterator[None]:
    """What runs before a test runs after it, in the same slot."""
    before = status()
    yield
    after = status()
    assert after["healthy"], after
    assert all(after[fact] == before[fact] for fact in ("release", "previous", "slot"))
    assert of_the_slot(after) == of_the_slot(before)


def of_the_slot(document: dict[str, Any]) -> dict[str, str]:
    """The units and their states, but for a hot standby's: the next change, whatever it is, may end it."""
    standby = document["standby"]
    ended = f"-{standby['slot']}.service" if standby else None
    return {unit: state for unit, state in document["units"].items() if not ended or not unit.endswith(ended)}


def test_every_wrong_variable_is_named_in_one_go_before_anything_is_touched(play: Play) -> None:
    done = play(
        "deploy",
        ib_gateway_kind="ib_gateway",
        ib_gateway_password="CHANGE_ME",
        ib_gateway_image="registry:5000/ballast/gateway:latest",
        ballast_account="U1234567",
        trading_engine_imag="registry:5000/ballast/engine:1",
        trading_engine_cpus="many",
        ib_gateway_cpus=1000,
        trading_engine_standby_client_id=1,
        preflight_min_free_gb=100000,
    )
    assert done.status != 0
    assert done.changed == []
    for problem in (
        "trading_engine_imag seen: a variable that no role reads wanted: did you mean trading_engine_image?",
        "trading_engine_cpus seen: 'many' wanted: a number",
        "ballast_account seen: 'U1234567', a LIVE account wanted: a paper account",
        "ib_gateway_image seen: 'registry:5000/ballast/gateway:latest' wanted: an exact tag or a digest",
        "trading_engine_standby_client_id seen: 1, the same as trading_engine_client_id wanted: a client id of its own",
        "ib_gateway_username seen: not set wanted: the real value",
        "ib_gateway_password seen: (hidden), a placeholder wanted: the real value",
        "ib_gateway_cpus seen: 1000 wanted: at most ",
        "host: disk space on / ",
        "GiB free wanted: at least 100000 GiB free",
    ):
        assert problem in done.text
    assert "CHANGE_ME" not in done.output


def test_a_live_environment_wants_to_be_confirmed(play: Play) -> None:
    done = play("deploy", ballast_environment="live", ballast_account="U1234567")
    assert done.status != 0
    assert done.changed == []
    assert "ballast_confirm_live" in done.text
    assert "-e ballast_confirm_live=dev-main" in done.text


def test_a_playbook_of_another_environment_is_refused(play: Play) -> None:
    done = play("live")
    assert done.status != 0
    assert done.changed == []
    assert "ballast_environment of molecule-releases is 'dev', wanted 'live'" in done.text


def test_an_unsupported_distribution_is_refused(host: Host, play: Play) -> None:
    host.check_output("cp /etc/os-release /root/; rm /etc/os-release; sed s/13/11/g /root/os-release > /etc/os-release")
    done = play("deploy")
    host.check_output("mv /root/os-release /etc/os-release")
    assert done.status != 0
    assert done.changed == []
    assert "host: operating system seen: Debian GNU/Linux 11 (trixie) wanted: Debian 12 or Debian 13" in done.text


def test_a_port_that_another_program_holds_is_named_with_its_holder(host: Host, play: Play) -> None:
    host.check_output("systemd-run --unit squatter python3 -m http.server --bind 127.0.0.1 4102")
    done = play("deploy", ib_gateway_api_port=4102)
    host.check_output("systemctl stop squatter")
    assert done.status != 0
    assert done.changed == []
    assert "host: port 127.0.0.1:4102 seen: taken by process python3" in done.text


def test_a_broken_migration_leaves_ledger_and_engine_alone(host: Host, play: Play, tmp_path: Path) -> None:
    version = "sqlite3 /var/lib/ballast/dev-main/ledger/trades.db 'PRAGMA user_version'"
    before = host.check_output(version)
    for migration in MIGRATIONS.iterdir():
        (tmp_path / migration.name).write_text(migration.read_text())
    number = max(int(path.name[:4]) for path in MIGRATIONS.iterdir()) + 1
    broken = tmp_path / f"{number:04}_broken.sql"
    broken.write_text("CREATE TABLE fees (id INTEGER PRIMARY KEY);\nINSERT INTO fee VALUES (1);\n")
    done = play("deploy", ledger_migrations=str(tmp_path), docker_host_daemon_options={"debug": True})
    assert done.status != 0
    assert done.changed == []
    assert broken.name in done.text
    assert "no such table: fee" in done.text
    assert host.check_output(version) == before


def test_a_gateway_that_accepts_connections_but_does_not_speak_is_replaced_by_the_one_before(play: Play) -> None:
    done = play(
        "deploy",
        ib_gateway_environment={"SIMULATOR_SEED": "1", "SIMULATOR_FAULT": "silent"},
        ib_gateway_ready_timeout_seconds=8,
    )
    assert done.status != 0
    assert "the gateway was not healthy within 8 s: 127.0.0.1:4002" in done.text
    assert "is healthy" in done.text


def test_a_gateway_that_serves_another_account_gets_no_engine(host: Host, play: Play) -> None:
    done = play("deploy", ballast_account="DU7777777")
    assert done.status != 0
    assert "DU7777777" in done.text
    assert "was started again in slot" in done.text
    assert "DU7777777" not in host.check_output("docker inspect $(docker ps --quiet)")
