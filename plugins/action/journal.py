# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module ``journal``: say who acts."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.origin import origin


class ActionModule(ActionBase):  # type: ignore[misc]
    """Adds ``origin`` to the module's arguments."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        if "origin" in self._task.args:
            raise AnsibleActionFail("origin is set by the action plugin")
        arguments = {**self._task.args, "origin": origin(self._loader.get_basedir())}
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result
