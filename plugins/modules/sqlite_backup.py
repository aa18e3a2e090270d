#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_backup
short_description: Make a verified snapshot of a SQLite database that may be in use
version_added: 0.1.0
description:
  - Copies a database in one step, as it was at one moment, while programs go on writing it. The copy is published only
    after its structure, its foreign keys, its schema and its rows proved to be what the database had in that moment,
    and the compressed file to give it back.
  - A snapshot is a file and a manifest beside it, both of mode C(0600). The manifest is written last, so a file without
    one was never finished. Whatever a killed or failed run leaves behind is removed by the next one, and never looks
    like a snapshot.
  - Every run makes a snapshot, so every run reports a change.
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates
      no change.
    support: none
options:
  path:
    description:
      - The database.
    type: path
    required: true
  directory:
    description:
      - Where the snapshot goes. It must exist, and have as much space free as twice the database.
    type: path
    required: true
  name:
    description:
      - What the file's name ends in, after the time.
    type: str
    default: ledger
  compress:
    description:
      - Whether to compress with C(zstd), which must be installed.
    type: bool
    default: true
  recipient:
    description:
      - The public key of C(age), C(age1...), for which to encrypt. C(age) must be installed. Keep the private key away
        from the host.
    type: str
  keep_days:
    description:
      - Remove the snapshots of O(directory) that are older than so many days, but never the seven newest good ones.
        Without it none are removed.
    type: int
  timeout:
    description:
      - How many seconds to wait for a lock of the database.
    type: float
    default: 30
seealso:
  - module: ballast.trading.sqlite_verify
author:
  - Ballast contributors (@ballast-trading)
"""

EXAMPLES = r"""
- name: Save the ledger before something is tried
  ballast.trading.sqlite_backup:
    path: /var/lib/ballast/paper-main/ledger/trades.db
    directory: /var/backups/ballast/paper-main
    name: before-the-trial
  register: saved

- name: Prove that it is still what it was
  ballast.trading.sqlite_verify:
    path: "{{ saved.path }}"
    manifest: "{{ saved.manifest_path }}"
    mode: deep
"""

RETURN = r"""
path:
  description: The snapshot.
  returned: success, and not in check mode
  type: str
  sample: /var/backups/ballast/paper-main/20261122T204501.123Z-before-the-trial.db.zst
manifest_path:
  description: Its manifest.
  returned: success, and not in check mode
  type: str
  sample: /var/backups/ballast/paper-main/20261122T204501.123Z-before-the-trial.db.zst.manifest.json
manifest:
  description:
    - What the manifest says. C(artefact) is the file as it lies there, C(content) the database in
      it, C(tables) the number and the hash of the rows of every table.
  returned: success, and not in check mode
  type: dict
  sample: {user_version: 2, tables: {orders: {rows: 12, row_hash: 2a6f2b00ed0950e87cb1fc29...}}}
removed:
  description: The names of the older snapshots that were removed.
  returned: success, and not in check mode
  type: list
  elements: str
  sample: []
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ballast.trading.plugins.module_utils.content import FileProblem, require_space
from ansible_collections.ballast.trading.plugins.module_utils.manifest import BackupError
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_read import opened, table_names
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import snapshot


def predict(path: Path, directory: Path) -> None:
    """FileProblem when a snapshot could not be made."""
    if not directory.is_dir():
        raise FileProblem("missing", f"the backup directory {directory} does not exist")
    with opened(path) as connection:
        if not table_names(connection):
            raise FileProblem("unusable", f"{path} has no tables: there is nothing to back up")
    require_space(directory, int(path.stat().st_size * 2.1))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "directory": {"type": "path", "required": True},
            "name": {"type": "str", "default": "ledger"},
            "compress": {"type": "bool", "default": True},
            "recipient": {"type": "str"},
            "keep_days": {"type": "int"},
            "timeout": {"type": "float", "default": 30.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    source, directory, days = Path(params["path"]), Path(params["directory"]), params["keep_days"]
    if days is not None and days < 1:
        module.fail_json(msg=f"keep_days is {days} but must be 1 or more")
    try:
        if module.check_mode:
            predict(source, directory)
            module.exit_json(changed=True)
        taken = snapshot(
            source,
            directory,
            name=params["name"],
            compress=params["compress"],
            recipient=params["recipient"],
            keep_days=None if days is None else {"snapshot": days},
            timeout=params["timeout"],
        )
    except (BackupError, FileProblem) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=True,
        path=str(taken.path),
        manifest_path=str(taken.manifest_path),
        manifest=taken.manifest,
        removed=taken.removed,
    )


if __name__ == "__main__":
    main()
