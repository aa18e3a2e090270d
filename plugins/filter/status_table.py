# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: status_table
short_description: Render status documents as a table
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - Renders the documents of M(ballast.trading.stack_status) as text, one column per stack and one row per fact.
options:
  _input:
    description: Status documents. Null ones, of stacks that are not deployed yet, are left out.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the stacks of all hosts
  ansible.builtin.debug:
    msg: "{{ documents | ballast.trading.status_table }}"
"""

RETURN = r"""
_value:
  description: The table.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.ballast.trading.plugins.module_utils.status import status_table


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_table": lambda documents: status_table([document for document in documents if document])}
