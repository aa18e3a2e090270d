#!/usr/bin/python
# -*- coding: utf-8 -*-

# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: List the releases of a trading stack
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - Lists the releases of a stack, newest first, and checks every file of each against its manifest.
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
  - module: ballast.trading.release
"""

EXAMPLES = r"""
- name: List the releases of a stack
  ballast.trading.release_info:
    stack: paper-main
  register: known

- name: Show what a rollback would return to
  ansible.builtin.debug:
    var: known.previous
"""

RETURN = r"""
current:
  description: Id of the release that runs, or null.
  returned: success
  type: str
previous:
  description: Id of the release that a rollback would return to, or null.
  returned: success
  type: str
releases:
  description: All releases, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the release.
      type: str
    created_at:
      description: UTC time of staging.
      type: str
    origin:
      description: Who staged it, from which host and commit.
      type: dict
    images:
      description: Reference and pinned digest of each service's image.
      type: dict
    damage:
      description: What was changed in it by hand. Empty for a release that can be activated.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ballast.trading.plugins.module_utils.releases import ReleaseError, ReleaseStore
from ansible_collections.ballast.trading.plugins.module_utils.stack import StackError, load_stack


def describe(store: ReleaseStore, release_id: str) -> dict[str, Any]:
    """One entry of the list."""
    try:
        release = store.get(release_id)
    except ReleaseError as error:
        return {"id": release_id, "created_at": None, "origin": {}, "images": {}, "damage": str(error)}
    damage = ""
    try:
        store.verify(release)
    except ReleaseError as error:
        damage = str(error)
    manifest = release.manifest
    return {"id": release_id, "damage": damage, **{key: manifest[key] for key in ("created_at", "origin", "images")}}


def main() -> None:
    module = AnsibleModule(argument_spec={"stack": {"type": "str", "required": True}}, supports_check_mode=True)
    try:
        store = ReleaseStore(load_stack(module.params["stack"]))
    except StackError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        current=store.link("current"),
        previous=store.link("previous"),
        releases=[describe(store, release_id) for release_id in reversed(store.ids())],
    )


if __name__ == "__main__":
    main()
