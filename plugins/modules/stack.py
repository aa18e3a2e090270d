#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack
short_description: Start, stop, flatten and resume a trading stack
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - Starts and stops the stack as it is, without a change of its release, and stops trading in an emergency.
  - Everything it does is noted in the stack's journal.
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  state:
    description:
      - V(started) starts the gateway, then the engine of the slot with the right to trade, and waits until each is
        healthy. When the engine does not become healthy it is stopped again and the module fails.
      - V(stopped) stops the engine, which drains, and proves that it has stopped. It stays stopped over a reboot, until
        it is started or deployed. Positions stay open.
      - V(flat) is the emergency stop. It halts trading, cancels every order, closes every position, waits for nobody,
        and works with a dead engine. It fails when anything is left, with a report of what, and what to do by hand.
      - V(resumed) lifts the halt of an emergency stop or of a limit. An engine that runs trades again at once.
    type: str
    choices: [started, stopped, flat, resumed]
    required: true
  gateway:
    description:
      - With V(stopped), whether to stop the gateway too. Its next start costs a login at the broker.
    type: bool
    default: false
  reason:
    description:
      - Why, for the journal and the ledger. Required for V(resumed).
      - For V(flat) it may be left out, since an emergency stop asks for nothing.
    type: str
  timeout:
    description: With V(flat), how many seconds the broker has for cancels and fills.
    type: float
    default: 60
  wait:
    description:
      - How many seconds to wait while somebody else changes the stack, before it is refused with their name.
      - Not for V(flat), which waits for nobody.
    type: int
    default: 0
  origin:
    description: Who acts, and from which controller. Set by the action plugin, never by hand.
    type: dict
attributes:
  check_mode:
    support: full
    description: Says whether anything would be done, and does nothing. For V(flat) that is always so.
  diff_mode:
    support: full
    description: Shows the state before and after, as far as it can be told beforehand.
  idempotent:
    support: partial
    description: Every V(flat) is a stop of its own. The other states change nothing where they hold already.
seealso:
  - module: ballast.trading.release
  - module: ballast.trading.stack_status
"""

EXAMPLES = r"""
- name: Stop trading for the night, orderly
  ballast.trading.stack:
    stack: paper-main
    state: stopped

- name: Go on in the morning
  ballast.trading.stack:
    stack: paper-main
    state: started

- name: Cancel every order and close every position, now
  ballast.trading.stack:
    stack: paper-main
    state: flat
    reason: the strategy buys what it should sell

- name: Trade again
  ballast.trading.stack:
    stack: paper-main
    state: resumed
    reason: corrected and deployed
"""

RETURN = r"""
steps:
  description: What was done, in order.
  returned: always
  type: list
  elements: str
orders_left:
  description: Keys of the orders that have not ended, by the ledger. Null when that cannot be read.
  returned: when the stack was stopped
  type: list
  elements: str
positions_left:
  description: What is held, quantity by symbol, by the ledger. Null when that cannot be read.
  returned: when the stack was stopped
  type: dict
report:
  description:
    - What an emergency stop did, and what is left. C(done) is true when nobody needs to do anything more.
    - C(flat) is what the broker said, C(trading) is V(halted), V(stopped) or V(not stopped), C(todo) is what a person
      must do by hand, first things first.
  returned: with O(state=flat)
  type: dict
  sample:
    done: true
    flat: true
    trading: halted
    orders_cancelled: 2
    positions_closed: 1
    orders_left: []
    positions_left: {}
    problems: []
    todo: []
    seconds: 2.1
report_text:
  description: The same report as text.
  returned: with O(state=flat)
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ballast.trading.plugins.module_utils.activation import ActivationError
from ansible_collections.ballast.trading.plugins.module_utils.change import ChangeFailed, ChangeRefused, Permit
from ansible_collections.ballast.trading.plugins.module_utils.commands import CommandError
from ansible_collections.ballast.trading.plugins.module_utils.emergency import (
    NO_REASON,
    EmergencyError,
    Report,
    emergency_stop,
    halt_of,
    resume,
)
from ansible_collections.ballast.trading.plugins.module_utils.journal import Operator, operator
from ansible_collections.ballast.trading.plugins.module_utils.operate import (
    is_started,
    is_stopped,
    start,
    stop,
)
from ansible_collections.ballast.trading.plugins.module_utils.releases import ReleaseError
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack, StackError, load_stack


class Verbs:
    """The module's states, as the library has them; ``steps`` grows with what is done."""

    def __init__(self, module: AnsibleModule, stack: Stack, by: Operator) -> None:
        self.module, self.stack, self.by = module, stack, by
        self.steps: list[str] = []
        self.permit = Permit(wait_seconds=module.params["wait"])

    def started(self) -> dict[str, Any]:
        if self.module.check_mode:
            return self._done(not is_started(self.stack), "not started", "started")
        done = start(self.stack, self.by, say=self.steps.append, permit=self.permit)
        return self._done(done.changed, "not started", "started")

    def stopped(self) -> dict[str, Any]:
        gateway = self.module.params["gateway"]
        if self.module.check_mode:
            return self._done(not is_stopped(self.stack, gateway), "not stopped", "stopped")
        done = stop(self.stack, self.by, say=self.steps.append, permit=self.permit, gateway=gateway)
        left = {"orders_left": done.orders_left, "positions_left": done.positions_left} if done.changed else {}
        return {**self._done(done.changed, "not stopped", "stopped"), **left}

    def flat(self) -> dict[str, Any]:
        changed = self._done(True, "not known to be flat", "flat")
        if self.module.check_mode:
            return changed
        reason, timeout = self.module.params["reason"] or NO_REASON, self.module.params["timeout"]
        try:
            report = emergency_stop(self.stack, reason, self.by, say=self.steps.append, timeout=timeout)
        except EmergencyError as error:
            self.module.fail_json(msg=str(error), changed=True, steps=self.steps, **told(error.report))
        return {**changed, **told(report)}

    def resumed(self) -> dict[str, Any]:
        halt = halt_of(self.stack)
        changed = self._done(halt is not None, f"halted: {halt}", "not halted")
        if halt is not None and not self.module.check_mode:
            reason = self.module.params["reason"]
            self.steps.append(resume(self.stack, reason, self.by, say=self.steps.append, permit=self.permit))
        return changed

    def _done(self, changed: bool, before: str, after: str) -> dict[str, Any]:
        diff = {"before": f"{before if changed else after}\n", "after": f"{after}\n"}
        return {"changed": changed, "diff": diff, "steps": self.steps}


def told(report: Report) -> dict[str, Any]:
    return {"report": report.document(), "report_text": report.text()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped", "flat", "resumed"], "required": True},
            "gateway": {"type": "bool", "default": False},
            "reason": {"type": "str"},
            "timeout": {"type": "float", "default": 60},
            "wait": {"type": "int", "default": 0},
            "origin": {"type": "dict"},
        },
        required_if=[("state", "resumed", ("reason",))],
        supports_check_mode=True,
    )
    try:
        verbs = Verbs(module, load_stack(module.params["stack"]), operator(module.params["origin"]))
        module.exit_json(**getattr(verbs, module.params["state"])())
    except (
        ActivationError,
        ChangeFailed,
        ChangeRefused,
        CommandError,
        ReleaseError,
        StackError,
        OSError,
    ) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
