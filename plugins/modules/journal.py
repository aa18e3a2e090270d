#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: journal
short_description: Append to the journal of a trading stack
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - The journal of a stack is what operators and automation did to it, one line per act. It lies on the stack's host, is
    only ever appended to, and every line holds the hash of the line before it.
  - What the collection itself does, such as activating a release, is noted without this module. Use it for acts of
    your own, for example a change of the server or the reason for an intervention.
  - On the host, C(ballast journal) shows the journal and C(ballast journal STACK verify) proves that it is whole.
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  act:
    description: What kind of act it was, in one word.
    type: str
    default: note
  text:
    description: What was done, and why. Never put a secret here.
    type: str
    required: true
  result:
    description: How it ended.
    type: str
    choices: [done, failed]
    default: done
  release:
    description: Id of the release that the act was about.
    type: str
  seconds:
    description: How long it took.
    type: float
  origin:
    description: Who acts, and from which controller. Set by the action plugin, never by hand.
    type: dict
attributes:
  check_mode:
    support: full
    description: Says that a line would be appended, and appends none.
  diff_mode:
    support: none
    description: A journal has no earlier state that would be replaced.
  idempotent:
    support: none
    description: Every call is an act of its own and appends a line.
seealso:
  - module: ballast.trading.release
"""

EXAMPLES = r"""
- name: Note why trading was interrupted
  ballast.trading.journal:
    stack: paper-main
    act: maintenance
    text: Replaced the second disk of the mirror
    seconds: 840
"""

RETURN = r"""
entry:
  description: The line that was appended. Null in check mode.
  returned: success
  type: dict
  sample:
    sequence: 42
    at: "2026-11-22T21:47:45.104Z"
    act: maintenance
    result: done
    text: Replaced the second disk of the mirror
    user: deploy
    origin: jane@laptop (192.0.2.7)
    release: null
    seconds: 840.0
    previous: 8a1f2bce65d0a2a1e7a1a2d7a3bfc0a1d1f9a3b0b0d63b9c5a2a1b7d6e5f4c3b
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, JournalError, operator
from ansible_collections.ballast.trading.plugins.module_utils.stack import StackError, load_stack


def run(module: AnsibleModule) -> dict[str, Any]:
    wanted = module.params
    journal = Journal(load_stack(wanted["stack"]))
    if module.check_mode:
        return {"changed": True, "entry": None}
    entry = journal.append(
        wanted["act"],
        operator(wanted["origin"]),
        result=wanted["result"],
        text=wanted["text"],
        release=wanted["release"],
        seconds=wanted["seconds"],
    )
    return {"changed": True, "entry": entry}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "act": {"type": "str", "default": "note"},
            "text": {"type": "str", "required": True},
            "result": {"type": "str", "choices": ["done", "failed"], "default": "done"},
            "release": {"type": "str"},
            "seconds": {"type": "float"},
            "origin": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except (JournalError, StackError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
