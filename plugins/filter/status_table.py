# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: status_table
short_description: Render what stacks are doing as a table
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - Renders the documents of M(ballast.trading.stack_status) as text. One or two stacks have a column each, with a row
    per fact. More have a row each.
options:
  _input:
    description:
      - Status documents. Null ones, of stacks that are not deployed yet, are left out.
      - Or a dictionary of what M(ballast.trading.stack_status) has returned, by host. A host that could not be asked
        has a row that says why.
    type: raw
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

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.ballast.trading.plugins.module_utils.status import status_table


def render(asked: Sequence[Mapping[str, Any] | None] | Mapping[str, Mapping[str, Any]]) -> str:
    """The table of documents, or of the module's results by host."""
    if not isinstance(asked, Mapping):
        return status_table([dict(document) for document in asked if document])
    # By the name that the operator's inventory has for the host.
    documents = [{**answer["status"], "host": host} for host, answer in asked.items() if answer.get("status")]
    silent = {
        host: " ".join(str(answer.get("msg", "no answer")).split())
        for host, answer in asked.items()
        if "status" not in answer
    }
    return status_table(documents, silent)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_table": render}
