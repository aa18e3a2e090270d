# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module ``release``: render the release's folders and say who sends them."""

from __future__ import annotations

import base64
import getpass
import json
import os
import socket
import subprocess
import zlib
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.validation import check_type_list
from ansible.plugins.action import ActionBase

from ..plugin_utils.tree import TreeFile, render_trees

MANAGED = "Part of a release of ballast.trading: never edit it here, change the inventory and deploy again"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Renders ``trees``, if any, and hands them to the module in one call."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if "payload" in arguments:
            raise AnsibleActionFail("payload is set by the action plugin; use trees")
        if arguments.get("trees"):
            trees = [{"src": tree, "dest": ""} for tree in check_type_list(arguments["trees"])]
            files = render_trees(self, task_vars or {}, trees, MANAGED)
            document = {
                "files": {path.lstrip("/"): _text(file) for path, file in files.items()},
                "origin": self.origin(),
            }
            arguments["payload"] = base64.b64encode(zlib.compress(json.dumps(document).encode())).decode()
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result

    def origin(self) -> dict[str, Any]:
        """Who deploys, from which host, and from which commit of the playbook's repository (None outside of one)."""
        return {
            "user": _user(),
            "controller": socket.gethostname(),
            "commit": _commit(self._loader.get_basedir()),
        }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return f"uid {os.getuid()}"


def _text(file: TreeFile) -> str:
    try:
        return file.content.decode()
    except UnicodeDecodeError as error:
        raise AnsibleActionFail(f"{file.source} is not UTF-8 text, and a release holds text files only") from error


def _commit(folder: str) -> str | None:
    """The commit, with ``+changes`` when files differ from it."""
    try:
        git = ["git", "-C", folder]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changes else commit
