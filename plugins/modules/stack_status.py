#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_status
short_description: Report what a trading stack is doing
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - Reports release, slot, session with the broker, engine, ledger, newest backup and units of a stack in one document.
  - The session is a real one. The module connects to the gateway's API with the stack's probe client id.
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: This module only reads.
  diff_mode:
    support: none
    description: This module changes nothing.
  idempotent:
    support: full
    description: This module changes nothing.
seealso:
  - module: ballast.trading.health_probe
  - plugin: ballast.trading.status_table
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Ask a stack what it is doing
  ballast.trading.stack_status:
    stack: paper-main
  register: asked

- name: Show it as a table
  ansible.builtin.debug:
    msg: "{{ [asked.status] | ballast.trading.status_table }}"
"""

RETURN = r"""
status:
  description:
    - The status document. Its key C(healthy) is true when the units run, the session belongs to the stack's account,
      the engine trades, and no other engine of the stack runs.
    - V(null) when the stack is not deployed on this host.
  returned: success
  type: dict
  sample:
    stack: dev-main
    environment: dev
    release: 20261122T204501Z-3fa9c1d2
    slot: blue
    healthy: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ballast.trading.plugins.module_utils.commands import CommandError
from ansible_collections.ballast.trading.plugins.module_utils.stack import StackError, load_stack
from ansible_collections.ballast.trading.plugins.module_utils.status import stack_status


def main() -> None:
    module = AnsibleModule(argument_spec={"stack": {"type": "str", "required": True}}, supports_check_mode=True)
    try:
        module.exit_json(changed=False, status=stack_status(load_stack(module.params["stack"])))
    except StackError as error:
        if module.check_mode:
            module.exit_json(changed=False, status=None)
        module.fail_json(msg=str(error))
    except CommandError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
