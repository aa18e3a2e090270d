# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what the stacks of one server would share by accident: names, ports, accounts, settings, memory, processors.

Two kinds of neighbors: those that are on the server (the facts have them), and other names of the inventory for the
same server, which may be about to be deployed for the first time together with this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..module_utils.host_facts import MEBIBYTE, Problem
from .configuration import MEMORY_PATTERN, MEMORY_UNITS, wanted_ports

Values = Mapping[str, Any]

# The roles that prepare a server for all its stacks.
SHARED_ROLES = ("docker_host", "host_tools", "systemd_units")
# The names that make two inventory names one server, with the value where there is none.
ADDRESS = {"ansible_host": None, "ansible_port": 22}


def same_server(variables: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The names among ``others`` that have the address of the host with these variables."""

    def address(name: str, of: Mapping[str, Any]) -> list[Any]:
        return [of.get(key, default or name) for key, default in ADDRESS.items()]

    mine = address(str(variables.get("inventory_hostname")), variables)
    return [name for name, other in others.items() if address(name, other) == mine]


def judge(values: Values, facts: Mapping[str, Any], others: Mapping[str, Values]) -> Iterator[Problem]:
    """Every collision of a stack with those beside it; ``others`` are the values of the server's other names."""
    if values.get("trading_engine_state") == "absent" or "ballast_stack" not in values:
        return
    stacks = {name: stack for name, stack in facts.get("stacks", {}).items() if name != values["ballast_stack"]}
    yield from _names(values, others)
    yield from _ports(values, facts, stacks, others)
    yield from _accounts(values, stacks)
    yield from _settings(values, others)
    yield from _memory(values, facts, others)


def warnings(values: Values, facts: Mapping[str, Any], others: Mapping[str, Values]) -> list[str]:
    """What is no problem but worth knowing: stacks that may use more processors than there are slow each other."""
    if values.get("trading_engine_state") == "absent" or "ballast_stack" not in values or not facts:
        return []
    shares = _shares(values, facts, others, _cpus, "cpus")
    if len(shares) < 2 or sum(shares.values()) <= facts["cpus"]:
        return []
    return [
        f"the stacks of this server may use {sum(shares.values()):g} processors together ({_listed(shares, '{:g}')})"
        f" and it has {facts['cpus']}: under load they slow each other;"
        " lower ib_gateway_cpus and trading_engine_cpus, or use a larger host"
    ]


def _names(values: Values, others: Mapping[str, Values]) -> Iterator[Problem]:
    twins = [name for name, other in others.items() if other.get("ballast_stack") == values["ballast_stack"]]
    if twins:
        yield Problem(
            where="ballast_stack",
            seen=f"{values['ballast_stack']}, which {', '.join(twins)} would deploy to the same server",
            wanted="a name that only one stack of the server has",
            fix="Rename one of them, or take one name of the server out of the inventory.",
        )


def _ports(
    values: Values, facts: Mapping[str, Any], stacks: Mapping[str, Any], others: Mapping[str, Values]
) -> Iterator[Problem]:
    """What somebody listens on is judged with the host: here are the ports of stacks that are stopped, or to come."""
    listening = {entry["port"] for entry in facts.get("ports", ())}
    for wanted in wanted_ports(values):
        if wanted.port in listening:
            continue
        holders = {name: "has" for name, stack in stacks.items() if wanted.port in stack["ports"]}
        for other in others.values():
            if any(port.port == wanted.port for port in wanted_ports(other)):
                holders.setdefault(other["ballast_stack"], "wants")
        holders.pop(values["ballast_stack"], None)
        if holders:
            listed = " and ".join(f"stack {name} {verb}" for name, verb in holders.items())
            yield Problem(
                where=wanted.variable,
                seen=f"{wanted.port}, which {listed} on the same server",
                wanted="a port that only one stack of the server has",
                fix=f"Choose another port with {wanted.variable}.",
            )


def _accounts(values: Values, stacks: Mapping[str, Any]) -> Iterator[Problem]:
    account = values.get("ballast_account")
    holders = [name for name, stack in stacks.items() if account and stack["account"] == account]
    if holders and values.get("ballast_environment") != "dev":
        yield Problem(
            where="ballast_account",
            seen=f"{account}, which stack {', '.join(holders)} of the server trades",
            wanted="an account that only one stack trades",
            fix="Correct the account, or decommission the other stack.",
        )


def _settings(values: Values, others: Mapping[str, Values]) -> Iterator[Problem]:
    """What one name would set up for all is set up otherwise by the next deploy of the other."""
    for variable in sorted(values):
        if variable.startswith(tuple(f"{role}_" for role in SHARED_ROLES)):
            differing = [name for name, other in others.items() if other.get(variable) != values[variable]]
            if differing:
                yield Problem(
                    where=variable,
                    seen=f"another value than {', '.join(differing)} has, which is the same server",
                    wanted="one value, because all stacks of a server share what it sets up",
                    fix="Set it in group_vars, or to the same for all names of the server.",
                )


def _memory(values: Values, facts: Mapping[str, Any], others: Mapping[str, Values]) -> Iterator[Problem]:
    """A stack that leaks is stopped at its limit, and not at the cost of another, only while all limits fit."""
    if not facts:
        return
    shares = _shares(values, facts, others, _memory_bytes, "memory_bytes")
    percent = values.get("preflight_max_memory_percent", 100)
    most = facts["memory"]["total_bytes"] * percent / 100
    if len(shares) > 1 and sum(shares.values()) > most:
        listed = _listed({name: share // MEBIBYTE for name, share in shares.items()}, "{} MiB")
        yield Problem(
            where="host: memory of all stacks",
            seen=f"limits of {sum(shares.values()) // MEBIBYTE} MiB ({listed})",
            wanted=f"at most {int(most // MEBIBYTE)} MiB, {percent} % of what the server has",
            fix="Lower ib_gateway_memory_limit and trading_engine_memory_limit, use a larger server, or raise"
            " preflight_max_memory_percent: then the kernel may kill one stack for the memory of another.",
        )


def _shares(
    values: Values, facts: Mapping[str, Any], others: Mapping[str, Values], of: Any, key: str
) -> dict[str, Any]:
    """What each stack of the server may take: by its containers, or where it is in the inventory by its variables."""
    shares = {name: stack[key] for name, stack in facts["stacks"].items()}
    shares.update({str(other["ballast_stack"]): of(other) for other in others.values() if "ballast_stack" in other})
    return {**shares, values["ballast_stack"]: of(values)}


def _engines(values: Values) -> int:
    """How many run while a release is switched."""
    return 1 if values.get("trading_engine_strategy") == "recreate" else 2


def _memory_bytes(values: Values) -> int:
    return _bytes(values.get("ib_gateway_memory_limit")) + _engines(values) * _bytes(
        values.get("trading_engine_memory_limit")
    )


def _cpus(values: Values) -> float:
    return float(values.get("ib_gateway_cpus", 0)) + _engines(values) * float(values.get("trading_engine_cpus", 0))


def _bytes(limit: object) -> int:
    match = MEMORY_PATTERN.fullmatch(str(limit))
    return int(match["count"]) * MEMORY_UNITS[match["unit"].lower()] if match else 0


def _listed(shares: Mapping[str, Any], form: str) -> str:
    return ", ".join(f"{name} {form.format(share)}" for name, share in sorted(shares.items()))
