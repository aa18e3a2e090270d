#!/usr/bin/python
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_tree
short_description: Make a host's files look like a folder of the role
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - The folder C(templates/host/) of a role mirrors the file system of the host. One task renders it on the
    controller and puts all of it in place, instead of dozens of template, copy and file tasks.
  - Everything is compared first. If anything stands in the way - a template that cannot be rendered, a file
    another tree owns, an unknown user, content its validator refuses - all of it is reported together and
    nothing on the host is changed.
  - Then all new content is written beside its destination, with owner and mode, and the files are replaced one
    by one by renaming.
  - What the tree has put on the host stands in a manifest. Files that are no longer shipped are removed, and so
    are directories made for them once they are empty.
notes:
  - A name that ends in C(.j2) is rendered as a template and loses the ending. Other files are copied byte by
    byte.
  - Names of files and directories may contain expressions, for example C(templates/host/etc/ballast/{{
    ballast_stack }}/stack.json.j2).
  - A template that renders to nothing but white space is not installed, and removed if it was. So is everything
    below a name that renders to nothing. A template switches itself off with a condition around its text.
  - Templates see the variables of the task, plus an C(ansible_managed) that names this tree
    and never varies. They may include and import files of the role's C(templates/) folder.
  - A file is owned by the user that runs the task. Its mode is V(0755) when the source is executable, V(0600)
    when it is a secret, otherwise V(0644). O(attributes) and O(files) say otherwise.
  - Missing parent directories are created with mode V(0755). Existing ones are not touched unless
    O(directories) lists them.
  - "When the role C(preflight) has looked at the host earlier in the same run, and found the tree exactly as this task
    wants it, the host is not asked again. A run that changes or removes a tree and then puts it back needs preflight in
    between. Trees with secrets are always looked at: what stands for their content would be a clue to it. So are those
    with a user or group by name: the number behind it may have changed."
  - Files changed by hand are overwritten, as are symbolic links in the place of a file. A directory that is not
    empty is never replaced by a file.
options:
  name:
    description:
      - Whose files these are. Names the manifest, so it must be unique on the host, for example
        V(trading_engine-dev-main).
    type: str
    required: true
  state:
    description:
      - V(absent) removes every file in the manifest, and the directories made for them as far as they are empty
        or flagged C(purge).
    type: str
    choices: [present, absent]
    default: present
  trees:
    description:
      - Folders to put on the host.
    type: list
    elements: dict
    default: [{src: host}]
    suboptions:
      src:
        description:
          - Folder, looked for in the role's C(templates/), then beside the playbook. May be absolute.
        type: str
        required: true
      dest:
        description:
          - Where the folder's content goes.
        type: str
        default: /
  files:
    description:
      - Further files by content, for example secrets. An empty content means that the file is not installed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the file goes.
        type: str
        required: true
      content:
        description: The text of the file.
        type: raw
        required: true
      owner:
        description: User, by name or number.
        type: str
      group:
        description: Group, by name or number.
        type: str
      mode:
        description: Permissions, an octal number in quotes.
        type: raw
      secret:
        description: Never show the content.
        type: bool
  attributes:
    description:
      - Owner, group, mode and secrecy of files, by glob on the destination. Every entry that matches applies,
        in order. A later one overrides an earlier one, option by option, and what a file says in O(files)
        overrides them all.
      - In all globs V(*) and V(?) stay within one directory, V(**) spans several.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Glob on the destination.
        type: str
        required: true
      owner:
        description: User, by name or number.
        type: str
      group:
        description: Group, by name or number.
        type: str
      mode:
        description: Permissions, an octal number in quotes.
        type: raw
      secret:
        description: Never show the content.
        type: bool
  directories:
    description:
      - Directories to create, or whose owner and mode matter.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The directory. It may be a symbolic link to one.
        type: str
        required: true
      owner:
        description: User, by name or number. The default is the user that runs the task.
        type: str
      group:
        description: Group, by name or number. The default is the group of the user that runs the task.
        type: str
      mode:
        description: Permissions, an octal number in quotes.
        type: raw
        default: "0755"
      purge:
        description:
          - When the directory is no longer wanted, remove it with everything in it. Only a directory that
            host_tree created is ever removed.
        type: bool
        default: false
  validate:
    description:
      - Checks of new content, all run before anything is written.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Glob on the destination. Files that match and whose content changes are checked.
        type: str
        required: true
      command:
        description:
          - Command, run without a shell. C(%s) stands for the candidate, which has its own name and lies in a
            copy of the tree.
          - In check mode a command that is not installed yet is a warning, otherwise an error.
        type: str
        required: true
  groups:
    description:
      - Names for sets of files, each a list of globs, to be told which of them changed.
    type: dict
    default: {}
  manifests:
    description:
      - Folder on the host where the manifests are.
    type: path
    default: /var/lib/ballast/host_tree
  payload:
    description:
      - The rendered files, filled in on the controller. Not for playbooks.
    type: str
attributes:
  check_mode:
    description: Reports what would change, also on a host where users and validators do not exist yet.
    support: full
  diff_mode:
    description: Returns what changed, or would change, without the content of secrets.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: configure | put the files of this role in place
  ballast.trading.host_tree:
    name: "trading_engine-{{ ballast_stack }}"
    directories:
      - {path: "/etc/ballast/{{ ballast_stack }}/secrets", mode: "0700"}
    files:
      - path: "/etc/ballast/{{ ballast_stack }}/secrets/password"
        content: "{{ ib_gateway_password }}"
        secret: true
    attributes:
      - {path: "/etc/ballast/*/secrets/*", owner: 1000, group: 1000, mode: "0400"}
    validate:
      - {path: /etc/docker/daemon.json, command: dockerd --validate --config-file %s}
    groups:
      units: [/etc/systemd/system/**]
      docker: [/etc/docker/daemon.json]
  register: tree

- name: configure | let systemd read its units again
  ansible.builtin.systemd_service:
    daemon_reload: true
  when: "'units' in tree.changed_groups"

- name: remove | take the files of this role away
  ballast.trading.host_tree:
    name: "trading_engine-{{ ballast_stack }}"
    state: absent
"""

RETURN = r"""
files:
  description: Files that changed, each with the action C(created), C(changed), C(attributes) or C(removed).
  returned: always
  type: list
  elements: dict
  sample: [{"path": "/etc/docker/daemon.json", "action": "changed"}]
directories:
  description: Directories that changed, in the same form.
  returned: always
  type: list
  elements: dict
  sample: [{"path": "/etc/ballast", "action": "created"}]
changed_groups:
  description: Names from O(groups) of which at least one file or directory changed.
  returned: always
  type: list
  elements: str
  sample: [units]
"""

import contextlib
import re
from collections.abc import Iterable
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import host_files

_OWNERSHIP = {"owner": {"type": "str"}, "group": {"type": "str"}, "mode": {"type": "raw"}}

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "trees": {
        "type": "list",
        "elements": "dict",
        "default": [{"src": "host"}],
        "options": {"src": {"type": "str", "required": True}, "dest": {"type": "str", "default": "/"}},
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "content": {"type": "raw", "required": True, "no_log": True},
            **_OWNERSHIP,
            "secret": {"type": "bool", "no_log": False},
        },
    },
    "attributes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            **_OWNERSHIP,
            "secret": {"type": "bool", "no_log": False},
        },
    },
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            **_OWNERSHIP,
            "mode": {"type": "raw", "default": "0755"},
            "purge": {"type": "bool", "default": False},
        },
    },
    "validate": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"path": {"type": "str", "required": True}, "command": {"type": "str", "required": True}},
    },
    "groups": {"type": "dict", "default": {}},
    "manifests": {"type": "path", "default": "/var/lib/ballast/host_tree"},
    "payload": {"type": "str", "no_log": True},
}


class Accounts:
    """Turns names of users and groups into numbers and collects what does not exist."""

    def __init__(self, *, may_be_missing: bool) -> None:
        self.may_be_missing = may_be_missing
        self.problems: list[str] = []

    def owner(self, name: str | None, path: str) -> host_files.Account:
        return self._number("user", host_files.user_id, name, path)

    def group(self, name: str | None, path: str) -> host_files.Account:
        return self._number("group", host_files.group_id, name, path)

    def mode(self, mode: Any, path: str) -> int:
        try:
            return host_files.parse_mode(mode, path)
        except ValueError as error:
            self.problems.append(str(error))
            return 0

    def _number(self, kind: str, find: Callable[[str | None], int], name: str | None, path: str) -> host_files.Account:
        try:
            return find(name)
        except KeyError:
            if not self.may_be_missing:
                self.problems.append(
                    f"{path} is to belong to {kind} {name!r}, who does not exist: create the {kind} before this task"
                )
            return name or ""


def wanted_state(
    parameters: dict[str, Any], *, check_mode: bool
) -> tuple[list[host_files.File], list[host_files.Directory], list[str]]:
    """Files, directories and problems of the task's parameters."""
    if parameters["state"] == "absent":
        return [], [], []
    accounts = Accounts(may_be_missing=check_mode)
    files = [
        host_files.File(
            entry["path"],
            host_files.content_from_json(entry["content"]),
            accounts.owner(entry["owner"], entry["path"]),
            accounts.group(entry["group"], entry["path"]),
            accounts.mode(entry["mode"], entry["path"]),
            entry["secret"],
        )
        for entry in host_files.unpack(parameters["payload"])
    ]
    directories = [
        host_files.Directory(
            entry["path"],
            accounts.owner(entry["owner"], entry["path"]),
            accounts.group(entry["group"], entry["path"]),
            accounts.mode(entry["mode"], entry["path"]),
            entry["purge"],
        )
        for entry in parameters["directories"]
    ]
    return files, directories, accounts.problems


def report(changes: Iterable[host_files.Change], groups: dict[str, list[str]]) -> dict[str, Any]:
    """The result of a task that made these changes."""
    changes = list(changes)
    return {
        "changed": bool(changes),
        "files": [{"path": change.path, "action": change.action} for change in changes if not change.is_directory],
        "directories": [{"path": change.path, "action": change.action} for change in changes if change.is_directory],
        "changed_groups": [
            name
            for name, globs in groups.items()
            if any(host_files.path_matches(glob, change.path) for glob in globs for change in changes)
        ],
    }


def message(name: str, outcome: str, points: list[str]) -> str:
    """One message with every point on a line of its own."""
    return "\n- ".join([f"host_tree {name!r}: {outcome}", *points])


def check_parameters(parameters: dict[str, Any]) -> list[str]:
    """What the argument specification cannot say. Also gives every group its list of globs."""
    problems = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]*", parameters["name"]):
        problems.append(f"name is {parameters['name']!r}; wanted letters, digits and . _ @ - only, as it names a file")
    if parameters["state"] == "present" and parameters["payload"] is None:
        problems.append("payload is missing: host_tree works through its action plugin, not as a bare module")
    for name, globs in parameters["groups"].items():
        if not isinstance(globs, list) or not all(isinstance(glob, str) for glob in globs):
            problems.append(f"groups.{name} is {globs!r}; wanted a list of globs")
    problems += [
        f"validate command {rule['command']!r} of {rule['path']} has no %s to stand for the file"
        for rule in parameters["validate"]
        if "%s" not in rule["command"]
    ]
    return problems


def run(module: AnsibleModule) -> dict[str, Any]:
    """Plan, validate and, outside check mode, apply. Returns the task's result, or ends it with all problems found."""
    parameters = module.params
    name = parameters["name"]

    def refuse(problems: list[str]) -> None:
        if problems:
            module.fail_json(msg=message(name, "nothing was changed, because", problems))

    refuse(check_parameters(parameters))
    files, directories, problems = wanted_state(parameters, check_mode=module.check_mode)
    tree = host_files.HostTree(name, parameters["manifests"])
    with contextlib.nullcontext() if module.check_mode else host_files.locked(tree.manifests):
        try:
            plan = tree.plan(files, directories, keep_manifest=parameters["state"] == "present")
        except host_files.HostFilesError as error:
            refuse(problems + error.problems)
        refuse(problems)
        verdict = host_files.validate(plan, files, [host_files.Rule(**rule) for rule in parameters["validate"]])
        refuse(verdict.failures + ([] if module.check_mode else verdict.unavailable))
        for note in verdict.unavailable:
            module.warn(note)
        if not module.check_mode:
            apply(module, tree, plan, request_of(parameters))
    result = report(plan.changes, parameters["groups"])
    if module._diff:
        result["diff"] = host_files.differences(plan.changes)
    return result


def request_of(parameters: dict[str, Any]) -> str | None:
    """What the tree is sealed with; None when it is to be removed, or must be looked at each time."""
    if parameters["state"] == "absent":
        return None
    files, directories = host_files.unpack(parameters["payload"]), parameters["directories"]
    accounts = [entry[kind] for entry in [*files, *directories] for kind in ("owner", "group")]
    # The digest of a secret would be a clue to it, and the number behind a name may change.
    if any(file["secret"] for file in files) or any(account and not account.isdigit() for account in accounts):
        return None
    return host_files.request_digest(parameters["payload"], directories)


def apply(module: AnsibleModule, tree: host_files.HostTree, plan: host_files.Plan, request: str | None) -> None:
    """Carry out the plan. If that fails half way, the task ends with exactly what has been done."""
    try:
        tree.apply(plan, request)
    except OSError as error:
        done = [f"{change.action} {change.path}" for change in tree.done] or ["nothing"]
        outcome = f"stopped at {tree.at} by {error.strerror}; mend that and run it again. Done so far:"
        module.fail_json(msg=message(tree.name, outcome, done), **report(tree.done, module.params["groups"]))


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        module.exit_json(**run(module))
    except OSError as error:  # before the first change
        module.fail_json(msg=message(module.params["name"], "nothing was changed, because", [str(error)]))


if __name__ == "__main__":
    main()
