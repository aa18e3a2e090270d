# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stacks of one server would share by accident."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.host_facts import GIBIBYTE, Problem
from ansible_collections.ballast.trading.plugins.plugin_utils import neighbors

LIVE: dict[str, Any] = {
    "ballast_stack": "live-main",
    "ballast_environment": "live",
    "ballast_account": "U1234567",
    "docker_host_daemon_options": {},
    "ib_gateway_api_port": 4001,
    "ib_gateway_cpus": 1.0,
    "ib_gateway_memory_limit": "2g",
    "preflight_max_memory_percent": 100,
    "trading_engine_cpus": 0.5,
    "trading_engine_memory_limit": "512m",
}
PAPER = {**LIVE, "ballast_stack": "paper-main", "ballast_environment": "paper", "ballast_account": "DU1234567"} | {
    "ib_gateway_api_port": 4002
}
THERE: dict[str, Any] = {
    "release": "20261122T204501Z-3fa9c1d2",
    "environment": "live",
    "account": "U1234567",
    "ports": [4001],
    "memory_bytes": 3 * GIBIBYTE,
    "cpus": 2.0,
}
FACTS: dict[str, Any] = {"cpus": 4, "memory": {"total_bytes": 8 * GIBIBYTE}, "ports": [], "stacks": {}}


def on_server(**stacks: dict[str, Any]) -> dict[str, Any]:
    """The facts of a server that has these stacks."""
    return {**FACTS, "stacks": {name.replace("_", "-"): THERE | stack for name, stack in stacks.items()}}


def judged(values: dict[str, Any], facts: dict[str, Any], **others: dict[str, Any]) -> list[Problem]:
    return list(neighbors.judge(values, facts, others))


def test_paper_and_live_share_a_server_without_a_problem() -> None:
    assert judged(PAPER, on_server(live_main={}, paper_main={"ports": [4002], "account": "DU1234567"})) == []
    assert judged(PAPER, FACTS, live1=LIVE) == []
    assert judged(LIVE, on_server(live_main={}), paper1=PAPER) == []


def test_a_host_that_did_not_answer_is_judged_by_the_inventory_alone() -> None:
    assert judged(PAPER, {}, live1=LIVE) == []
    assert [problem.where for problem in judged(PAPER, {}, live1=LIVE | {"ib_gateway_api_port": 4002})] == [
        "ib_gateway_api_port"
    ]


def test_a_stack_that_is_removed_collides_with_nothing() -> None:
    gone = PAPER | {"trading_engine_state": "absent", "ballast_account": "U1234567"}
    assert judged(gone, on_server(live_main={"memory_bytes": 9 * GIBIBYTE}), live1=LIVE) == []
    assert neighbors.warnings(gone, on_server(live_main={"cpus": 9.0}), {}) == []


def test_a_name_belongs_to_one_stack_of_a_server() -> None:
    assert judged(PAPER, FACTS, twin=PAPER) == [
        Problem(
            where="ballast_stack",
            seen="paper-main, which twin would deploy to the same server",
            wanted="a name that only one stack of the server has",
            fix="Rename one of them, or take one name of the server out of the inventory.",
        )
    ]


def test_a_port_of_a_stopped_stack_is_not_taken_from_it() -> None:
    stopped = on_server(next={"ports": [4002], "environment": "paper"})
    assert judged(PAPER, stopped) == [
        Problem(
            where="ib_gateway_api_port",
            seen="4002, which stack next has on the same server",
            wanted="a port that only one stack of the server has",
            fix="Choose another port with ib_gateway_api_port.",
        )
    ]
    # While it listens the host's own judgment names it.
    assert judged(PAPER, {**stopped, "ports": [{"port": 4002}]}) == []


def test_a_port_that_another_name_of_the_server_is_about_to_take_is_refused() -> None:
    twin = PAPER | {"ballast_stack": "paper-next", "ballast_account": "DU2222222"}
    (problem,) = judged(PAPER, FACTS, twin=twin)
    assert problem.seen == "4002, which stack paper-next wants on the same server"
    (problem,) = judged(PAPER, on_server(paper_next={"ports": [4102], "account": ""}), twin=twin)
    assert problem.seen == "4002, which stack paper-next wants on the same server"


def test_an_account_is_traded_by_one_stack_of_a_server_unless_its_broker_is_a_simulator() -> None:
    twin = {"account": "DU1234567", "ports": [4102]}
    (problem,) = judged(PAPER, on_server(paper_next=twin))
    assert (problem.where, problem.seen) == (
        "ballast_account",
        "DU1234567, which stack paper-next of the server trades",
    )
    assert judged(PAPER | {"ballast_environment": "dev"}, on_server(paper_next=twin)) == []


def test_what_all_stacks_share_is_set_to_one_value() -> None:
    other = LIVE | {"docker_host_daemon_options": {"debug": True}}
    (problem,) = judged(PAPER, FACTS, live1=other)
    assert (problem.where, problem.seen) == (
        "docker_host_daemon_options",
        "another value than live1 has, which is the same server",
    )


def test_the_memory_limits_of_all_stacks_fit_the_server_with_two_engines_each() -> None:
    small = {**on_server(live_main={}), "memory": {"total_bytes": 6 * GIBIBYTE}}
    assert judged(PAPER, small) == []
    (problem,) = judged(PAPER | {"trading_engine_memory_limit": "513m"}, small)
    assert problem.where == "host: memory of all stacks"
    assert problem.seen == "limits of 6146 MiB (live-main 3072 MiB, paper-main 3074 MiB)"
    assert problem.wanted == "at most 6144 MiB, 100 % of what the server has"
    assert judged(PAPER | {"trading_engine_memory_limit": "513m", "preflight_max_memory_percent": 101}, small) == []


def test_an_engine_that_is_never_beside_another_counts_once() -> None:
    facts = {**on_server(live_main={}), "memory": {"total_bytes": int(5.5 * GIBIBYTE)}}
    assert [problem.where for problem in judged(PAPER, facts)] == ["host: memory of all stacks"]
    assert judged(PAPER | {"trading_engine_strategy": "recreate"}, facts) == []


def test_a_stack_that_has_the_server_for_itself_may_have_limits_above_it() -> None:
    tiny = {**FACTS, "memory": {"total_bytes": 1 * GIBIBYTE}, "stacks": {"paper-main": THERE}}
    assert judged(PAPER, tiny) == []


def test_processors_that_stacks_may_fight_for_are_a_warning() -> None:
    (note,) = neighbors.warnings(PAPER, on_server(live_main={"cpus": 2.5}), {})
    assert note.startswith(
        "the stacks of this server may use 4.5 processors together (live-main 2.5, paper-main 2) and it has 4"
    )
    assert neighbors.warnings(PAPER, on_server(live_main={}), {}) == []
    assert neighbors.warnings(PAPER, {**FACTS, "cpus": 1}, {}) == []
    assert neighbors.warnings(PAPER, {}, {"live1": LIVE}) == []
    assert len(neighbors.warnings(PAPER, {**FACTS, "cpus": 3}, {"live1": LIVE})) == 1


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ({"ansible_host": "trader.example.com"}, True),
        ({"ansible_host": "trader.example.com", "ansible_port": 22}, True),
        ({"ansible_host": "trader.example.com", "ansible_port": 2222}, False),
        ({"ansible_host": "other.example.com"}, False),
        ({}, False),
    ],
)
def test_a_server_is_known_by_address_and_port(address: dict[str, Any], same: bool) -> None:
    mine = {"inventory_hostname": "paper1", "ansible_host": "trader.example.com"}
    assert neighbors.same_server(mine, {"live1": address}) == (["live1"] if same else [])


def test_without_an_address_the_name_is_the_address() -> None:
    assert neighbors.same_server({"inventory_hostname": "paper1"}, {"live1": {"ansible_host": "paper1"}}) == ["live1"]
