#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_lock
short_description: Lock a trading stack against changes, and unlock it
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - While a stack is locked nobody deploys, rolls back, starts or stops it, from a controller or on the host, not even
    who has locked it. Whoever tries is told who holds the lock, from where, since when and why.
  - The lock is for a person's own work at the server or the broker. It stays over a reboot. An emergency stop, and the
    recovery of a switch that was broken off, are not stopped by it.
  - On the host, C(ballast lock) and C(ballast unlock) do the same.
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  state:
    description:
      - V(present) locks the stack, and fails when somebody else has locked it.
      - V(absent) takes the lock away, whoever holds it.
    type: str
    choices: [present, absent]
    default: present
  reason:
    description: Why. Required for V(present).
    type: str
  origin:
    description: Who acts, and from which controller. Set by the action plugin, never by hand.
    type: dict
attributes:
  check_mode:
    support: full
    description: Says whether the lock would change, and fails where somebody else holds it.
  diff_mode:
    support: full
    description: Shows who holds the lock before and after.
  idempotent:
    support: full
    description: Who locks a stack again for the same reason changes nothing.
seealso:
  - module: ballast.trading.release
"""

EXAMPLES = r"""
- name: Keep everybody away
  ballast.trading.stack_lock:
    stack: paper-main
    reason: replacing the second disk

- name: Let them change it again
  ballast.trading.stack_lock:
    stack: paper-main
    state: absent
"""

RETURN = r"""
lock:
  description: Who holds the lock. Null when nobody does.
  returned: success
  type: dict
  sample:
    user: deploy
    origin: jane@laptop (192.0.2.7)
    at: "2026-11-22T21:47:45Z"
    reason: replacing the second disk
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ballast.trading.plugins.module_utils.journal import JournalError, Operator, operator
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack, StackError, load_stack
from ansible_collections.ballast.trading.plugins.module_utils.stack_lock import (
    StackLock,
    StackLocked,
    lock,
    read_lock,
    unlock,
)


def wanted_lock(module: AnsibleModule, stack: Stack, by: Operator, held: StackLock | None) -> StackLock | None:
    """The lock as it is to be; ``at`` is empty in one that is not held yet. Raises StackLocked."""
    if module.params["state"] == "absent":
        return None
    reason = module.params["reason"].strip()
    if held is None:
        return StackLock(by.user, by.origin, "", reason)
    if (held.user, held.origin, held.reason) != (by.user, by.origin, reason):
        raise StackLocked(f"stack {stack.name} was locked already by {held}")
    return held


def run(module: AnsibleModule) -> dict[str, Any]:
    stack = load_stack(module.params["stack"])
    by = operator(module.params["origin"])
    held = read_lock(stack)
    wanted = wanted_lock(module, stack, by, held)
    changed = wanted != held
    if changed and not module.check_mode:
        if wanted:
            wanted = lock(stack, by, wanted.reason)
        else:
            unlock(stack, by)
    return {
        "changed": changed,
        "lock": asdict(wanted) if wanted else None,
        "diff": {"before": f"locked by {held}\n" if held else "", "after": f"locked by {wanted}\n" if wanted else ""},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "reason": {"type": "str"},
            "origin": {"type": "dict"},
        },
        required_if=[("state", "present", ("reason",))],
        supports_check_mode=True,
    )
    if module.params["state"] == "present" and not module.params["reason"].strip():
        module.fail_json(msg="reason is empty; say in a few words why the stack is locked")
    try:
        module.exit_json(**run(module))
    except (JournalError, StackError, StackLocked, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
