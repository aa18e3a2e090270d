# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several stacks: deployed together, apart from each other on one host, and removed one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

Hosts = dict[str, Host]
Play = Callable[..., Any]
Eventually = Callable[..., None]

FIRST, PAPER, SECOND = "molecule-stacks1", "molecule-stacks1-paper", "molecule-stacks2"
STACKS = {FIRST: "dev-main", PAPER: "paper-main", SECOND: "dev-main"}
STRATEGY = {"name": "demo", "parameters": {"symbol": "AAPL", "quantity": 3, "interval_seconds": 2, "max_position": 20}}


@pytest.fixture
def status(hosts: Hosts) -> Callable[[str], dict[str, Any]]:
    """Asks the host tool for the stack behind a name of the inventory."""

    def ask(name: str) -> dict[str, Any]:
        host = hosts[FIRST if name == PAPER else name]
        (document,) = json.loads(host.run(f"ballast status {STACKS[name]} --json").stdout)
        return dict(document)

    return ask


Status = Callable[[str], dict[str, Any]]


def releases(status: Status) -> dict[str, str]:
    """What every stack runs; all of them are healthy."""
    documents = {name: status(name) for name in STACKS}
    assert all(document["healthy"] for document in documents.values()), documents
    return {name: document["release"] for name, document in documents.items()}


def table(done: Any) -> dict[str, list[str]]:
    """The rows of the last table that a playbook has shown: the cells after the name, by the name."""
    rows = [line.split() for line in done.output.rpartition("host  ")[2].splitlines()]
    return {row[0]: row[1:] for row in rows if row and row[0] in STACKS and ":" not in row}


def at(name: str, here: object, elsewhere: object) -> str:
    """A value that differs for one name of the inventory."""
    return f"{{{{ {here!r} if inventory_hostname == {name!r} else {elsewhere!r} }}}}"


def containers(host: Host, stack: str) -> list[dict[str, Any]]:
    names = host.check_output(f"docker ps --filter name=^ballast-{stack}- --format '{{{{.Names}}}}'").split()
    assert len(names) >= 2
    return list(json.loads(host.check_output(f"docker inspect {' '.join(names)}")))


def fills(host: Host, stack: str) -> int:
    ledger = f"file:/var/lib/ballast/{stack}/ledger/trades.db?mode=ro"
    return int(host.check_output("sqlite3 %s %s", ledger, "SELECT count(*) FROM executions"))


# ---- nothing is shared ----


def test_the_stacks_of_a_host_share_no_mount_network_or_port(hosts: Hosts) -> None:
    owned: dict[str, set[str]] = {}
    for stack in ("dev-main", "paper-main"):
        found = owned.setdefault(stack, set())
        for container in containers(hosts[FIRST], stack):
            found |= {mount["Source"] for mount in container["Mounts"] if mount["Type"] == "bind"}
            found |= set(container["NetworkSettings"]["Networks"])
            found |= {one["HostPort"] for some in container["HostConfig"]["PortBindings"].values() for one in some}
        assert {f"ballast-{stack}-trading", f"ballast-{stack}-egress", f"/run/ballast/{stack}"} <= found
        assert all(stack in each for each in found if not each.isdigit()), found
    assert owned["dev-main"] & owned["paper-main"] == set()
    assert {"4002", "4102"} <= owned["dev-main"] | owned["paper-main"]


def test_the_networks_of_the_stacks_have_subnets_of_their_own(hosts: Hosts) -> None:
    names = hosts[FIRST].check_output("docker network ls --filter name=ballast- --format '{{.Name}}'").split()
    networks = json.loads(hosts[FIRST].check_output(f"docker network inspect {' '.join(names)}"))
    subnets = [network["IPAM"]["Config"][0]["Subnet"] for network in networks]
    assert len(names) == len(set(subnets)) == 4


def test_the_secrets_of_a_stack_are_in_no_file_of_the_other(hosts: Hosts) -> None:
    places = "/etc/ballast /opt/ballast /var/lib/ballast /run/ballast"
    found = hosts[FIRST].run(f"grep -rl a-pass[w]ord-of-paper {places}").stdout.split()
    assert found == ["/etc/ballast/paper-main/secrets/gateway/tws_password"]


def test_each_stack_has_a_schedule_and_a_journal_of_its_own(hosts: Hosts) -> None:
    assert hosts[FIRST].check_output("ls /etc/cron.d/ballast-* /var/log/ballast/*/journal.jsonl").split() == [
        "/etc/cron.d/ballast-dev-main",
        "/etc/cron.d/ballast-paper-main",
        "/var/log/ballast/dev-main/journal.jsonl",
        "/var/log/ballast/paper-main/journal.jsonl",
    ]


def test_a_stack_that_is_stopped_or_killed_leaves_the_other_trading(
    hosts: Hosts, status: Status, eventually: Eventually
) -> None:
    host, before = hosts[FIRST], status(PAPER)
    slot = status(FIRST)["slot"]
    started = [container["State"]["StartedAt"] for container in containers(host, "paper-main")]
    host.check_output(f"docker kill ballast-dev-main-engine-{slot}")
    host.check_output(f"systemctl stop ballast-engine@dev-main-{slot} ballast-gateway@dev-main")
    traded = fills(host, "paper-main")
    eventually(lambda: fills(host, "paper-main") > traded, 60)
    after = status(PAPER)
    assert after["healthy"], after
    assert (after["release"], after["slot"]) == (before["release"], before["slot"])
    assert [container["State"]["StartedAt"] for container in containers(host, "paper-main")] == started
    assert not status(FIRST)["healthy"]
    host.check_output(f"systemctl start ballast-gateway@dev-main ballast-engine@dev-main-{slot}")
    eventually(lambda: status(FIRST)["healthy"], 60)


# ---- several hosts ----


def test_a_deploy_of_all_changes_nothing_when_there_is_nothing_new(play: Play, status: Status) -> None:
    before = releases(status)
    done = play("deploy")
    assert done.status == 0, done.output
    assert done.changed == []
    assert {name: cells[2] for name, cells in table(done).items()} == before


def test_one_problem_anywhere_and_nothing_is_touched_anywhere(play: Play, status: Status) -> None:
    before = releases(status)
    done = play(
        "deploy",
        trading_engine_config={"strategy": STRATEGY},
        ib_gateway_api_port=at(PAPER, 4102, 4002),
        trading_engine_cpus=at(PAPER, 1000, 1),
        ansible_port=at(SECOND, 2, 22),
    )
    assert done.status != 0
    assert done.changed == []
    assert "host: connection seen: " in done.text
    assert table(done) == {
        FIRST: ["dev-main", "not", "reached", before[FIRST]],
        PAPER: ["paper-main", "failed", "?", *f"Preflight found 1 problem on {PAPER}; nothing was touched.".split()],
        SECOND: ["dev-main", "failed", "?", *f"Preflight found 1 problem on {SECOND}; nothing was touched.".split()],
    }
    assert releases(status) == before


def test_what_a_neighbor_has_is_refused_by_the_name_of_its_stack(play: Play, status: Status) -> None:
    before = releases(status)
    done = play("deploy", "--limit", FIRST, ib_gateway_api_port=4102)
    assert done.status != 0
    assert "host: port 127.0.0.1:4102 seen: taken by stack paper-main" in done.text
    assert releases(status) == before


def test_a_host_that_fails_ends_a_deploy_and_a_rollback_takes_back_what_went_before(play: Play, status: Status) -> None:
    before = releases(status)
    strategy = at(SECOND, {"name": "no-such-strategy"}, STRATEGY)
    done = play("deploy", trading_engine_config={"strategy": strategy})
    assert done.status != 0
    after = releases(status)
    assert after == {**before, FIRST: after[FIRST]}
    assert after[FIRST] != before[FIRST]
    rows = table(done)
    assert rows[FIRST] == ["dev-main", "done", after[FIRST]]
    assert rows[SECOND][:3] == ["dev-main", "failed", before[SECOND]]
    assert " ".join(rows[SECOND]).endswith("the engine exited (result exit-code, status 64) before it was healthy")
    assert rows[PAPER] == ["paper-main", "not", "reached", before[PAPER]]

    refused = play("rollback")
    assert refused.status != 0
    assert "has no previous release to return to" in refused.text
    assert {name: cells[1] for name, cells in table(refused).items()} == {
        FIRST: "not",
        PAPER: "failed",
        SECOND: "failed",
    }
    assert releases(status) == after

    done = play("rollback", "--limit", FIRST)
    assert done.status == 0, done.output
    assert releases(status) == before


def test_the_status_of_all_has_a_row_for_a_host_that_does_not_answer(play: Play) -> None:
    done = play("status", ansible_port=at(SECOND, 2, 22))
    assert done.status != 0
    rows = table(done)
    assert [rows[name][-1] for name in (FIRST, PAPER)] == ["yes", "yes"]
    assert "NO:" in rows[SECOND]


# ---- removed one by one ----


def test_removing_a_stack_leaves_its_neighbor_alone(hosts: Hosts, play: Play, status: Status) -> None:
    host, before = hosts[FIRST], status(FIRST)
    started = [container["State"]["StartedAt"] for container in containers(host, "dev-main")]
    refused = play("decommission", "--limit", PAPER, "--check", decommission_host=True)
    assert refused.status != 0
    assert f"{PAPER} still has dev-main: decommission those first" in refused.text

    done = play("decommission", "--limit", PAPER)
    assert done.status == 0, done.output
    left = "/etc/ballast/paper-main /opt/ballast/paper-main /run/ballast/paper-main /etc/cron.d/ballast-paper-main"
    assert host.run(f"ls -d {left} 2>/dev/null").stdout == ""
    assert "paper-main" not in host.check_output("docker ps --all --format '{{.Names}}'; docker network ls")
    assert host.file("/var/lib/ballast/paper-main/ledger/trades.db").exists
    after = status(FIRST)
    assert after["healthy"], after
    assert (after["release"], after["slot"]) == (before["release"], before["slot"])
    assert [container["State"]["StartedAt"] for container in containers(host, "dev-main")] == started
