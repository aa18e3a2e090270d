#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_migrate
short_description: Create a SQLite database and bring its schema forward
version_added: 0.1.0
description:
  - Applies numbered SQL files to a SQLite database, each exactly once and in order, and creates the database
    when it does not exist.
  - Each migration is one transaction, together with its row in the table C(schema_migrations) and the database's
    C(user_version). A migration that breaks leaves the database as it was before it.
  - All pending migrations are first tried on a scratch copy of the real data, in check mode too. A broken one is
    therefore found, with its file, line and reason, before the database is touched. Broken is also one that leaves a
    foreign key, trigger or view which refers to what does not exist, or rows without their parent.
  - Before an existing database is changed, a verified snapshot of it is written to O(snapshot_directory).
  - The database may be in use meanwhile. Programs that hold a write transaction longer than O(timeout) make the
    module fail, and the message names them.
  - Refuses to run when an applied migration has been edited, when numbers are missing or double, when the database is
    newer than the files, when it was not made by migrations at all, or when it is gone but its C(-wal) is not.
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details:
      - The pending migrations are applied to a scratch copy, so a migration that would break fails in check mode.
      - Works on a host where the directory, the database and its owner do not exist yet.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates
      no change.
    support: full
options:
  path:
    description:
      - The database file. One that does not exist is created, and one that is not in WAL mode is switched to it. Its
        directory must exist.
    type: path
    required: true
  migrations:
    description:
      - All migrations, the applied ones too. Their order in the list does not matter.
      - Pass the files' contents from the controller, so that no file has to be copied and check mode works on a
        blank host. See the examples.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The file's name, four digits and a name like V(0001_initial.sql). Numbers begin at 0001 and have no gaps.
        type: str
        required: true
      content:
        description:
          - SQL statements, each with its C(;) at the end. White space at the end of the file does not count for the
            checksum.
          - Transactions, C(ATTACH), C(VACUUM) and C(PRAGMA) other than C(application_id) are refused. Foreign keys are
            not enforced while a migration runs, so that tables can be rebuilt; they are checked before it is committed.
        type: str
        required: true
  snapshot_directory:
    description:
      - Where the snapshot is written before an existing database is changed. Must exist then.
      - The snapshot is compressed when the program C(zstd) is installed. Go back to it by stopping the writers and
        putting it in the place of the database, with no C(-wal) beside it.
    type: path
    required: true
  owner:
    description:
      - The user (name or number) who owns the database and the C(-wal) and C(-shm) files beside it.
    type: str
  group:
    description:
      - The group (name or number) of the same files.
    type: str
  mode:
    description:
      - The permissions of the same files, an octal number as a quoted string.
      - Without it a new database gets V(0600).
    type: raw
  stack:
    description:
      - The name of the stack, written to the snapshot's manifest.
    type: str
  scratch_directory:
    description:
      - Where migrations are tried. Needs twice the size of the database. The default is Ansible's own temporary
        directory on the host, because C(/tmp) may be in memory.
    type: path
  timeout:
    description:
      - How many seconds to wait for another writer.
    type: float
    default: 10
seealso:
  - module: ballast.trading.sqlite_verify
author:
  - Ballast contributors (@ballast-trading)
"""

EXAMPLES = r"""
# In a role, the files are in files/migrations/.
- name: Bring the ledger to the newest schema
  ballast.trading.sqlite_migrate:
    path: /var/lib/ballast/paper-main/ledger/trades.db
    migrations: "{{ contents | dict2items(key_name='name', value_name='content') }}"
    snapshot_directory: /var/backups/ballast/paper-main
    owner: "10001"
    group: "10001"
    mode: "0640"
  vars:
    files: "{{ query('ansible.builtin.fileglob', 'migrations/*.sql') }}"
    contents: "{{ dict(files | map('basename') | zip(query('ansible.builtin.file', *files))) }}"

- name: Write the migrations into the playbook
  ballast.trading.sqlite_migrate:
    path: /srv/notes/notes.db
    snapshot_directory: /srv/notes/snapshots
    migrations:
      - name: 0001_initial.sql
        content: |
          CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
      - name: 0002_when.sql
        content: |
          ALTER TABLE notes ADD COLUMN written_at TEXT;
          CREATE INDEX notes_written ON notes (written_at);
"""

RETURN = r"""
path:
  description: The database.
  returned: always
  type: str
  sample: /var/lib/ballast/paper-main/ledger/trades.db
applied:
  description:
    - The migrations that this run has applied, in order. In check mode those that it would apply.
    - When the module fails, those that had been committed before the failure.
  returned: always
  type: list
  elements: str
  sample: [0002_when.sql]
created:
  description: Whether the database did not exist before.
  returned: success
  type: bool
  sample: false
schema_version:
  description: The schema version of the database, in check mode the one it would have.
  returned: success
  type: int
  sample: 2
schema_version_before:
  description: The schema version before this run, V(0) for a new or empty database.
  returned: success
  type: int
  sample: 1
snapshot:
  description: The snapshot taken before the first migration, if there was anything to lose. Not in check mode.
  returned: when a snapshot was taken
  type: str
  sample: /var/backups/ballast/paper-main/20261122T204501.123Z-trades-before-0002.db.zst
journal_mode_before:
  description: The journal mode that the database had. It is always C(wal) afterwards.
  returned: success
  type: str
  sample: wal
ownership_changed:
  description: The files whose owner, group or mode was, or would be, corrected.
  returned: success
  type: list
  elements: str
  sample: []
sqlite_version:
  description: The version of the SQLite library that the host's Python uses.
  returned: success
  type: str
  sample: 3.46.1
wal_reset_bug:
  description:
    - Whether that SQLite can corrupt a WAL database which two connections write or checkpoint in the same moment
      (3.7.0 to 3.51.2).
  returned: success
  type: bool
  sample: true
"""

import grp
import pwd
import sqlite3
from pathlib import Path
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ballast.trading.plugins.module_utils.sqlite_migrate import (
    MIGRATIONS,
    WAL,
    MigrationError,
    MigrationResult,
    Ownership,
    load_migrations,
    migrate,
)
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_read import has_wal_reset_bug


def number_of(name: str | None, option: str, look_up: Callable[[str], int], check_mode: bool) -> int | None:
    """The number of a user or group; None, which compares nothing, for one that check mode does not know yet."""
    if name is None or name.isdigit():
        return None if name is None else int(name)
    try:
        return look_up(name)
    except KeyError:
        if check_mode:
            return None
        raise MigrationError(f"the {option} {name!r} does not exist on this host") from None


def mode_of(value: Any) -> int | None:
    """A file mode: an int as YAML makes of a bare 0640, or octal digits."""
    if value is None or isinstance(value, int):
        return value
    try:
        return int(str(value), 8)
    except ValueError:
        raise MigrationError(f"mode is {value!r} but must be octal digits in quotes, like '0640'") from None


def diff_of(result: MigrationResult) -> dict[str, Any]:
    """The schema before and after, in the form that Ansible shows as a diff."""
    before = {"exists": not result.created, "schema_version": result.version_before, "migrations": result.names_before}
    after = {
        "exists": True,
        "schema_version": result.version_after,
        "migrations": [*result.names_before, *result.applied],
    }
    if result.journal_mode_before != WAL:
        before["journal_mode"], after["journal_mode"] = result.journal_mode_before, WAL
    if result.ownership_changed:
        before["wrong_ownership"], after["wrong_ownership"] = result.ownership_changed, []
    return {"before": before, "after": after}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "migrations": MIGRATIONS,
            "snapshot_directory": {"type": "path", "required": True},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "mode": {"type": "raw"},
            "stack": {"type": "str"},
            "scratch_directory": {"type": "path"},
            "timeout": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = migrate(
            Path(params["path"]),
            load_migrations((entry["name"], entry["content"]) for entry in params["migrations"]),
            snapshot_directory=Path(params["snapshot_directory"]),
            ownership=Ownership(
                uid=number_of(params["owner"], "owner", lambda name: pwd.getpwnam(name).pw_uid, module.check_mode),
                gid=number_of(params["group"], "group", lambda name: grp.getgrnam(name).gr_gid, module.check_mode),
                mode=mode_of(params["mode"]),
            ),
            check=module.check_mode,
            stack=params["stack"],
            scratch_directory=Path(params["scratch_directory"] or module.tmpdir),
            timeout=params["timeout"],
        )
    except MigrationError as error:
        module.fail_json(
            msg=str(error),
            path=params["path"],
            applied=error.applied,
            changed=bool(error.applied),
            **({"snapshot": error.snapshot} if error.snapshot else {}),
        )
    module.exit_json(
        changed=result.changed,
        path=params["path"],
        applied=result.applied,
        created=result.created,
        schema_version=result.version_after,
        schema_version_before=result.version_before,
        journal_mode_before=result.journal_mode_before,
        ownership_changed=result.ownership_changed,
        sqlite_version=sqlite3.sqlite_version,
        wal_reset_bug=has_wal_reset_bug(sqlite3.sqlite_version_info),
        diff=diff_of(result),
        **({"snapshot": result.snapshot} if result.snapshot else {}),
    )


if __name__ == "__main__":
    main()
