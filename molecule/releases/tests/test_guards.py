# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be in the way of a change: another operator, a lock, a closed window, a hook; and an engine that hangs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

Status = Callable[[], dict[str, Any]]
Play = Callable[..., Any]
Eventually = Callable[..., None]

STACK = "/etc/ballast/dev-main/stack.json"
HOOKS = "/etc/ballast/dev-main/hooks"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
# All of the week but a minute of it, which no run of this test will meet twice.
CLOSED = {"name": "inventory", "days": DAYS, "from": "00:00", "to": "23:59", "timezone": "Etc/UTC"}


def journal(host: Host, act: str) -> list[dict[str, Any]]:
    lines = host.check_output("ballast journal dev-main --lines 0 --json").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["act"] == act]


@pytest.fixture(scope="module", autouse=True)
def releases(play: Play) -> None:
    """Three releases that differ in their engines alone: one runs, one stands by for a rollback, one does neither."""
    for quantity in (2, 1):
        parameters = {"symbol": "AAPL", "quantity": quantity, "interval_seconds": 2, "max_position": 20}
        done = play("deploy", trading_engine_config={"strategy": {"name": "demo", "parameters": parameters}})
        assert done.status == 0, done.output


@pytest.fixture
def unlocked(host: Host) -> Iterator[None]:
    """Whatever a test does, the stack is left unlocked."""
    yield
    host.check_output("ballast unlock dev-main")


@pytest.fixture
def hooks(host: Host) -> Iterator[None]:
    """The operator has folders for hooks of their own."""
    host.check_output(f"mkdir -p {HOOKS}/pre-deploy.d {HOOKS}/post-deploy.d")
    yield
    host.check_output(f"rm -rf {HOOKS}/pre-deploy.d {HOOKS}/post-deploy.d")


@pytest.fixture
def closed(host: Host) -> Iterator[None]:
    """The stack has a window that is closed."""
    before = host.check_output("cat %s", STACK)
    host.check_output("printf %%s %s >%s", json.dumps({**json.loads(before), "closed_windows": [CLOSED]}), STACK)
    yield
    host.check_output("printf '%%s\\n' %s >%s", before, STACK)


def elsewhere(host: Host, status: Status) -> str:
    """A release that neither runs nor stands by for a rollback, so that activating it is a deploy like any other."""
    runs = status()
    lines = host.check_output("ballast releases dev-main").splitlines()
    ids = [line.split()[0] for line in lines]
    standby = (runs["standby"] or {}).get("release")
    return next(release for release in ids[:3] if release not in (runs["release"], standby))


@pytest.mark.usefixtures("unlocked")
def test_a_locked_stack_is_left_alone_until_it_is_unlocked(host: Host, play: Play, status: Status) -> None:
    before = status()
    assert play("lock", reason="replacing the disk").status == 0
    done = play("deploy", ib_gateway_memory_limit="301m")
    assert done.status != 0
    assert done.changed == []
    assert "replacing the disk" in done.text
    refused = host.run("ballast rollback dev-main")
    assert refused.rc == 1
    assert "stack dev-main was locked by deploy from " in refused.stderr
    assert play("unlock").status == 0
    assert status()["release"] == before["release"]
    assert [journal(host, act)[-1]["result"] for act in ("lock", "unlock")] == ["done", "done"]


def test_a_deploy_in_a_closed_window_is_refused_before_anything_is_touched(play: Play) -> None:
    done = play("deploy", trading_engine_closed_windows=[CLOSED])
    assert done.status != 0
    assert done.changed == []
    assert "the window 'inventory' is closed; it opens at " in done.text


@pytest.mark.usefixtures("closed")
def test_a_closed_window_is_forced_with_a_reason_that_the_journal_keeps(host: Host, status: Status) -> None:
    before = status()["release"]
    other = elsewhere(host, status)
    refused = host.run(f"ballast activate dev-main {other}")
    assert refused.rc == 1
    assert "the window 'inventory' is closed; it opens at " in refused.stderr
    assert status()["release"] == before
    host.check_output(f"ballast activate dev-main {other} --force --reason 'it runs wild'")
    assert "forced: it runs wild" in journal(host, "activate")[-2]["text"]
    # What stands by is always there to return to.
    host.check_output("ballast rollback dev-main")
    assert status()["release"] == before


@pytest.mark.usefixtures("hooks")
def test_a_hook_may_refuse_a_release_and_another_is_told_when_it_runs(host: Host, status: Status) -> None:
    before = status()["release"]
    host.check_output(f"printf '#!/bin/sh\\necho nobody is awake; exit 3\\n' >{HOOKS}/pre-deploy.d/10-check")
    script = 'echo "$BALLAST_ACT $BALLAST_RESULT $BALLAST_PREVIOUS" >/run/told'
    host.check_output(f"printf '%%s\\n' '#!/bin/sh' %s >{HOOKS}/post-deploy.d/10-tell", script)
    host.check_output(f"chmod 0700 {HOOKS}/*/*")
    refused = host.run("ballast rollback dev-main")
    assert refused.rc == 1
    hook = f"{HOOKS}/pre-deploy.d/10-check failed with status 3; it said last: nobody is awake"
    assert f"stack dev-main was not changed: hook {hook}" in refused.stderr
    assert status()["release"] == before
    host.check_output(f"rm {HOOKS}/pre-deploy.d/10-check")
    host.check_output("ballast rollback dev-main")
    assert host.check_output("cat /run/told") == f"activate done {before}"


def test_of_two_operators_one_waits_for_the_other(host: Host, status: Status) -> None:
    both = host.check_output(
        "ballast rollback dev-main >/run/first 2>&1 & sleep 0.3;"
        " ballast rollback dev-main --wait 120 2>&1; wait; cat /run/first"
    )
    assert "stack dev-main is being changed by deploy from " in both
    assert "; waiting" in both
    assert status()["healthy"]
    assert [entry["result"] for entry in journal(host, "activate")[-4:]] == ["begun", "done"] * 2


def test_an_engine_that_hangs_is_started_again_and_a_person_is_told(
    host: Host, status: Status, eventually: Eventually
) -> None:
    slot = status()["slot"]
    unit = f"ballast-engine@dev-main-{slot}.service"
    dropin = f"/run/systemd/system/{unit}.d"
    # The same watchdog, with less patience than in earnest.
    host.check_output(f"mkdir -p {dropin} && printf '[Service]\\nWatchdogSec=20\\n' >{dropin}/impatient.conf")
    host.check_output(f"systemctl daemon-reload && systemctl restart {unit}")
    alerts = len(journal(host, "alert"))
    inspect = f"docker inspect --format '{{{{.State.Pid}}}}' ballast-dev-main-engine-{slot}"
    host.check_output(f"kill -STOP $({inspect})")
    eventually(lambda: host.check_output(f"systemctl show --value --property NRestarts {unit}") != "0", 150)
    eventually(lambda: status()["healthy"], 60)
    eventually(lambda: len(journal(host, "alert")) > alerts, 30)
    assert f"{unit} failed and is started again (result watchdog, status 137)" in journal(host, "alert")[-1]["text"]
    host.check_output(f"rm -r {dropin} && systemctl daemon-reload && systemctl restart {unit}")
