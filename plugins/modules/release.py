#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Stage, activate, roll back and prune the releases of a trading stack
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - A release is an immutable folder on the host with everything a stack needs to run. It holds the compose files, the
    configuration, the digests of the images, and who staged it from which commit.
  - Staging renders template folders on the controller and writes them as one release. The same content is the same
    release, so staging twice changes nothing.
  - Activating an engine that keeps the engine contract starts it as a standby in the idle slot, waits until it is
    healthy and sees what the running engine sees, hands the lease over, and keeps the old engine as a hot standby for a
    while.
  - Any other engine that runs is stopped with its own signal and grace and proven stopped, before the wanted release is
    started.
  - When the wanted release does not become healthy, the one that ran before is put back and the module fails with the
    reason, the last log lines, and what runs now.
  - Nothing is touched, and the module fails, while somebody else changes the stack, somebody has locked it
    (M(ballast.trading.stack_lock)), one of its windows is closed, or one of its hooks C(pre-deploy) refuses.
  - Rolling back is activating an earlier release.
notes:
  - The gateway is restarted only when something about it differs between the two releases. A restart costs its
    session with the broker.
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  state:
    description:
      - V(staged) writes a release and does not touch what runs.
      - V(active) makes the stack run a release, staging it first when O(trees) is given.
      - V(absent) stops the stack for good and removes its containers, networks and releases. The ledger, the backups
        and the secrets stay.
    type: str
    choices: [staged, active, absent]
    default: active
  trees:
    description:
      - Folders, searched among the role's templates, that together make up the release. Each mirrors the release's
        folder. Files that end in C(.j2) are rendered. Required for V(staged).
      - Mutually exclusive with O(release).
    type: list
    elements: path
  files:
    description:
      - Folders of the controller that become part of the release as they are, beside the O(trees), each by the place
        that it takes in the release. Relative ones are searched beside the playbook.
      - Text files only.
    type: dict
    default: {}
    version_added: 0.1.0
  release:
    description:
      - Id of a release that exists on the host, or V(previous), to activate instead of staging one.
      - In check mode also the id that check mode has predicted for a release that is not staged yet.
    type: str
  keep:
    description:
      - Number of releases to keep. Older ones are removed after a successful activation.
      - The default is what the stack's description on the host says.
    type: int
  force_reason:
    description:
      - Why the release cannot wait until the stack's closed windows are over. With it they do not count.
      - It goes to the journal.
    type: str
    default: ""
  wait:
    description: Seconds to wait while somebody else changes the stack. Then the module fails with their name.
    type: int
    default: 0
  secrets_changed:
    description:
      - Whether an earlier task of the run changed a secret of the gateway, or would have in check mode.
      - Only check mode must be told, to predict the restart. Otherwise it shows in the files.
    type: bool
    default: false
  payload:
    description: Who acts, and the rendered trees. Set by the action plugin, never by hand.
    type: str
attributes:
  check_mode:
    support: full
    description: Says which release would be staged or activated, and changes nothing.
  diff_mode:
    support: full
    description: Shows the files that differ between the release that runs and the wanted one.
  idempotent:
    support: full
    description: A second run with the same content changes nothing.
seealso:
  - module: ballast.trading.release_info
  - module: ballast.trading.stack_status
"""

EXAMPLES = r"""
- name: Deploy what the templates say
  ballast.trading.release:
    stack: paper-main
    trees:
      - release

- name: Deploy an engine with code of its own
  ballast.trading.release:
    stack: paper-main
    trees:
      - release
    files:
      engine/files: "{{ inventory_dir }}/../../algorithms/mean_reversion"

- name: Return to the previous release
  ballast.trading.release:
    stack: paper-main
    release: previous

- name: Return to a given release
  ballast.trading.release:
    stack: paper-main
    release: 20261122T204501Z-3fa9c1d2
"""

RETURN = r"""
release:
  description: Id of the release that was staged or activated. Ends in C(-new) when check mode predicts a release.
  returned: success, unless state is absent
  type: str
  sample: 20261122T204501Z-3fa9c1d2
previous:
  description: Id of the release that a rollback would return to.
  returned: success, unless state is absent
  type: str
running:
  description: Id of the release that runs now, also after a failure. Null when none does.
  returned: unless state is absent
  type: str
active:
  description: Whether the stack runs the staged release already, and activating it would change nothing.
  returned: when state is staged
  type: bool
slot:
  description: Slot that the engine runs in.
  returned: when activated
  type: str
  sample: blue
strategy:
  description:
    - How the switch was made. With V(blue_green) the lease went from one running engine to another, with V(recreate)
      the old engine was stopped before the new one was started. Null when nothing had to be done.
  returned: when activated
  type: str
  sample: blue_green
gap_ms:
  description: Milliseconds without a trading engine during the switch. Null when none was running before.
  returned: when activated
  type: int
  sample: 92
steps:
  description: What was done, in order.
  returned: success
  type: list
  elements: str
pruned:
  description: Ids of the old releases that were removed.
  returned: when activated
  type: list
  elements: str
"""

import base64
import json
import zlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ballast.trading.plugins.module_utils.activation import ActivationError, Activator
from ansible_collections.ballast.trading.plugins.module_utils.change import ChangeRefused, Permit
from ansible_collections.ballast.trading.plugins.module_utils.commands import CommandError
from ansible_collections.ballast.trading.plugins.module_utils.journal import operator
from ansible_collections.ballast.trading.plugins.module_utils.releases import (
    Release,
    ReleaseError,
    ReleaseStore,
    content_hash,
)
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack, StackError, load_stack

# What the id ends in of a release that check mode can only predict.
PREDICTED = "-new"


def unpack(payload: str) -> dict[str, Any]:
    """The action plugin's payload: ``origin`` says who acts, ``files``, if any, maps paths in the release to text."""
    document: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(payload)))
    return document


def contents(release: Release | None) -> dict[str, str]:
    """The rendered files of a release, as far as they can be read, without those that staging added."""
    if release is None:
        return {}
    added = {f"{service}/.env" for service in release.manifest["images"]}
    paths = [path for path in release.manifest["files"] if path not in added and (release.path / path).is_file()]
    return {path: (release.path / path).read_text(errors="replace") for path in paths}


def differences(old: dict[str, str], new: dict[str, str]) -> list[dict[str, str]]:
    """Ansible diffs between the files of the release that runs and the wanted ones."""
    return [
        {"before_header": path, "after_header": path, "before": old.get(path, ""), "after": new.get(path, "")}
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def load_or_predict(module: AnsibleModule) -> Stack:
    """The stack on this host; on a blank host in check mode, one that has nothing yet."""
    try:
        return load_stack(module.params["stack"])
    except StackError:
        if module.check_mode or module.params["state"] == "absent":
            return Stack(module.params["stack"], "dev", module.params["keep"] or 0)
        raise


def stage(module: AnsibleModule, store: ReleaseStore, payload: dict[str, Any]) -> tuple[Release | None, dict[str, Any]]:
    """The staged release, or None when check mode can only predict it, and the result so far."""
    files = {path: text.encode() for path, text in payload["files"].items()}
    known = store.find_content(content_hash(files))
    diff = differences(contents(store.linked("current")), payload["files"])
    result: dict[str, Any] = {"changed": known is None, "diff": diff, "steps": []}
    if known is None and not module.check_mode:
        known = store.stage(files, payload["origin"])
        result["steps"].append(f"staged release {known.id}")
    result.update(
        release=known.id if known else f"{content_hash(files)[:8]}{PREDICTED}", previous=store.link("previous")
    )
    return known, result


def run(module: AnsibleModule) -> dict[str, Any]:
    stack = load_or_predict(module)
    payload = unpack(module.params["payload"]) if module.params["payload"] else {}
    permit = Permit(wait_seconds=module.params["wait"], force_reason=module.params["force_reason"].strip())
    activator = Activator(stack, by=operator(payload.get("origin")), permit=permit)
    state = module.params["state"]
    if state == "absent":
        if not activator.exists():
            return {"changed": False, "steps": []}
        return {"changed": True, "steps": [] if module.check_mode else activator.remove()}

    current = activator.store.link("current")
    release: Release | None = None
    if "files" in payload:
        release, result = stage(module, activator.store, payload)
    elif module.check_mode and module.params["release"].endswith(PREDICTED):
        result = {"diff": [], "release": module.params["release"], "previous": current, "steps": []}
    else:
        release = activator.resolve(module.params["release"])
        result = {
            "changed": False,
            "diff": differences(contents(activator.store.linked("current")), contents(release)),
            "release": release.id,
            "previous": activator.store.link("previous"),
            "steps": [],
        }
    result["running"] = current
    keep = module.params["keep"] or stack.releases_keep
    if release is None or module.check_mode or state == "staged":
        # A release that is not on the host yet cannot be running.
        runs = release is not None and activator.is_running(release) and not module.params["secrets_changed"]
        active = runs and not activator.store.superfluous(keep)
        if state == "staged":
            return {**result, "active": active}
        return {**result, "changed": not active}

    done = activator.activate(release)
    pruned = activator.store.prune(keep)
    result.update(
        changed=result["changed"] or done.changed or bool(pruned),
        previous=done.previous,
        running=done.release,
        slot=done.slot,
        strategy=done.strategy,
        gap_ms=done.gap_ms,
        steps=result["steps"] + done.steps,
        pruned=pruned,
    )
    return result


def running(stack: str) -> dict[str, str | None]:
    """The release that runs after a failure, where that can be told."""
    try:
        return {"running": ReleaseStore(load_stack(stack)).link("current")}
    except (StackError, OSError):
        return {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["staged", "active", "absent"], "default": "active"},
            "trees": {"type": "list", "elements": "path"},
            "files": {"type": "dict", "default": {}},
            "release": {"type": "str"},
            "keep": {"type": "int"},
            "force_reason": {"type": "str", "default": ""},
            "wait": {"type": "int", "default": 0},
            "secrets_changed": {"type": "bool", "default": False, "no_log": False},
            "payload": {"type": "str", "no_log": True},
        },
        mutually_exclusive=[("trees", "release")],
        required_if=[("state", "staged", ("trees",)), ("state", "active", ("trees", "release"), True)],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except (ActivationError, ChangeRefused, StackError, ReleaseError, CommandError, OSError) as error:
        module.fail_json(msg=str(error), **running(module.params["stack"]))


if __name__ == "__main__":
    main()
