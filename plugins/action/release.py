# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module ``release``: render the release's folders and say who acts."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.validation import check_type_dict, check_type_list
from ansible.plugins.action import ActionBase

from ..plugin_utils.origin import origin
from ..plugin_utils.tree import TreeFile, plain_files, render_trees

MANAGED = "Part of a release of ballast.trading: never edit it here, change the inventory and deploy again"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Says who acts, renders ``trees``, if any, and hands both to the module in one call."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if "payload" in arguments:
            raise AnsibleActionFail("payload is set by the action plugin; use trees")
        document: dict[str, Any] = {"origin": origin(self._loader.get_basedir())}
        if arguments.get("trees"):
            trees = [{"src": tree, "dest": ""} for tree in check_type_list(arguments["trees"])]
            files = render_trees(self, task_vars or {}, trees, MANAGED)
            for destination, folder in check_type_dict(arguments.get("files") or {}).items():
                added = plain_files(self, folder, f"/{destination}")
                if twice := sorted(files.keys() & added.keys()):
                    raise AnsibleActionFail(f"{twice[0]} has two sources: {files[twice[0]].source} and {folder}")
                files |= added
            document["files"] = {path.lstrip("/"): _text(file) for path, file in files.items()}
        arguments["payload"] = base64.b64encode(zlib.compress(json.dumps(document).encode())).decode()
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result


def _text(file: TreeFile) -> str:
    try:
        return file.content.decode()
    except UnicodeDecodeError as error:
        raise AnsibleActionFail(f"{file.source} is not UTF-8 text, and a release holds text files only") from error
