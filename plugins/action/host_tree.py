# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.host_files import content_to_json, pack, path_matches, request_digest
from ..modules.host_tree import ARGUMENT_SPEC
from ..plugin_utils.tree import render_trees

_CONTROLLER_ONLY = ("trees", "files", "attributes")


class ActionModule(ActionBase):  # type: ignore[misc] # ansible-core has no types
    """Renders the trees here and hands everything to the module in one call."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = self.validate_argument_spec(ARGUMENT_SPEC)[1]
        module_arguments = {name: value for name, value in arguments.items() if name not in _CONTROLLER_ONLY}
        module_arguments["payload"] = pack(self._files(arguments, task_vars or {}))
        if self._lies_there(module_arguments, task_vars or {}):
            return {"changed": False, "files": [], "directories": [], "changed_groups": []}
        result: dict[str, Any] = self._execute_module(
            module_name="ballast.trading.host_tree",
            module_args=module_arguments,
            task_vars=task_vars,
            wrap_async=self._task.async_val,
        )
        return result

    def _lies_there(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> bool:
        """Whether preflight saw, in this run, that the tree lies on the host exactly as it is wanted."""
        if self._task.delegate_to:  # preflight has looked at the host of the inventory
            return False
        # A registered variable: unlike a fact it is never of an earlier run.
        seen = task_vars.get("preflight", {}).get("facts", {}).get("trees", {})
        if arguments["state"] == "absent" or arguments["manifests"] != ARGUMENT_SPEC["manifests"]["default"]:
            return False
        wanted = request_digest(arguments["payload"], arguments["directories"])
        return bool(seen.get(arguments["name"]) == wanted)

    def _files(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> list[dict[str, Any]]:
        """The files as the module wants them: path, content, owner, group, mode, secret."""
        if arguments["state"] == "absent":
            return []
        managed = f"Managed by Ansible (host_tree {arguments['name']}): changes made here are overwritten."
        trees = render_trees(self, task_vars, arguments["trees"], managed)
        files = [
            _with_attributes(
                {"path": file.path, "content": content_to_json(file.content)},
                {},
                arguments["attributes"],
                "0755" if file.executable else "0644",
            )
            for file in trees.values()
        ]
        problems = []
        for entry in arguments["files"]:
            path, content = entry["path"], entry["content"]
            if not isinstance(content, str):
                problems.append(f"content of {path} is not text; add | to_nice_json or | to_nice_yaml")
            elif path in trees:
                problems.append(f"{path} has two sources: {trees[path].source} and the option files")
            elif content.strip():
                file = {"path": path, "content": content_to_json(content.encode())}
                files.append(_with_attributes(file, entry, arguments["attributes"], "0644"))
        if problems:
            raise AnsibleActionFail("\n- ".join(["nothing was sent to the host, because", *problems]))
        return files


def _with_attributes(
    file: dict[str, Any], own: dict[str, Any], rules: list[dict[str, Any]], mode: str
) -> dict[str, Any]:
    """`file` with owner, group, mode and secrecy: by the rules, in their order, and over them its own."""
    attributes: dict[str, Any] = {"owner": None, "group": None, "mode": None, "secret": None}
    for source in [*(rule for rule in rules if path_matches(rule["path"], file["path"])), own]:
        attributes.update({name: source[name] for name in attributes if source.get(name) is not None})
    attributes["secret"] = bool(attributes["secret"])
    if attributes["mode"] is None:
        attributes["mode"] = "0600" if attributes["secret"] else mode
    return {**file, **attributes}
