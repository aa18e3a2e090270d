# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: outcome_table
short_description: Render what a deploy or a rollback of several hosts came to
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - Renders one row for every host of a play, with its stack, what became of it, what it runs, and why it failed.
  - A host is C(done) when it runs the wanted release, C(failed), C(unreachable), or C(not reached) when the play ended
    before its turn. The last runs what it ran before.
positional: hostvars, reachable
options:
  _input:
    description: Names of the hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts, as Ansible knows them.
    type: dict
    required: true
  reachable:
    description: Names of the hosts that answer.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what became of every host
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | ballast.trading.outcome_table(hostvars, ansible_play_hosts) }}"
"""

RETURN = r"""
_value:
  description: The table.
  type: str
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ansible_collections.ballast.trading.plugins.module_utils.status import aligned

HEADINGS = ("host", "stack", "outcome", "runs", "why")


def outcome_table(names: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], reachable: Collection[str]) -> str:
    """One row for every host, by what the playbook has registered of it."""
    return aligned([HEADINGS, *(_row(name, hostvars[name], name in reachable) for name in names)])


def _row(name: str, variables: Mapping[str, Any], reachable: bool) -> tuple[str, ...]:
    stack = str(variables.get("ballast_stack", "?"))
    # From the latest to the earliest: what activating left, what staging saw, what preflight saw.
    activated = variables.get("__trading_engine_activated") or {}
    wanted = variables.get("__trading_engine_wanted") or {}
    facts = (variables.get("preflight") or {}).get("facts") or {}
    before = {"running": ((facts.get("stacks") or {}).get(stack) or {}).get("release")} if facts else {}
    known = next((each["running"] for each in (activated, wanted, before) if "running" in each), "?")
    failure = variables.get("__failure")
    if failure is not None:
        outcome = "failed"
    elif not reachable:
        outcome = "unreachable"
    elif wanted.get("active") or ("running" in activated and not activated.get("failed")):
        outcome = "done"
    else:
        outcome = "not reached"
    why = str(failure).strip().partition("\n")[0] if failure is not None else ""
    return name, stack, outcome, known or "nothing", why


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"outcome_table": outcome_table}
