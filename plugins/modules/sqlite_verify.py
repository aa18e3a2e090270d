#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_verify
short_description: Verify that a SQLite database or backup is whole, complete and recent
version_added: 0.1.0
description:
  - Answers whether a file is a good SQLite database and whether it is the one that is meant. C(PRAGMA integrity_check)
    alone answers neither. It misses two of three damaged bytes that change a row, and it finds nothing wrong with the
    empty database that an interrupted backup leaves behind.
  - Everything is read from a private scratch copy. Nothing is written to the file or beside it, and nothing is ever
    reported as changed.
  - All checks run, and the result names each with its status, so that one look shows everything that is wrong. A check
    is V(inconclusive) when it could not be tried, for example because a lock was not free or the scratch disk is full.
    Only when every check is V(ok) is the result.
  - Without further options the module checks the file's size and header against each other, that no C(-wal), C(-shm)
    or C(-journal) lies beside it, that it can be opened, its structure, its foreign keys, and that it has tables whose
    rows can be counted. What should be in it is told by the options.
  - Files whose names end in C(.gz), C(.xz) or C(.zst) are decompressed first, and those that end in C(.age) are
    decrypted before. C(.zst) needs the program C(zstd), C(.age) the program C(age), and O(mode=deep) the program
    C(sqlite3).
  - Which damage is seen, measured with one flipped byte or bit at a random place. The checks of O(mode=standard) see
    two of five, and one of three of those that change a row. O(manifest) or O(sha256) sees all, in every mode.
    With neither, O(mode=deep) and O(source) see all that change a row.
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
    support: full
options:
  path:
    description:
      - The file to verify.
    type: path
    required: true
  mode:
    description:
      - How deep to look. Rough times are for a database of 1 GB on one core.
      - V(quick) runs C(quick_check), which reads every page once (4 s). Right after every backup.
      - V(standard) runs C(integrity_check), which also compares every index with its table (20 s). Every day.
      - V(deep) also hashes every row, and compares with the hashes in O(manifest) (another 8 s). It is the only
        mode that sees a changed value inside a row without the file's own checksum. Before a restore, and every month.
    type: str
    choices: [quick, standard, deep]
    default: standard
  live:
    description:
      - Whether O(path) is a database that programs may be using. It is then read through SQLite in one moment instead
        of being copied as a file, and a C(-wal) beside it is part of it.
      - If nobody has the database open and its last user was killed, SQLite moves the content of the C(-wal) into the
        database file when it is read, as it would for any reader.
      - Cannot be used together with O(sha256) or O(manifest), which describe a file at rest.
    type: bool
    default: false
  schema_version:
    description:
      - The schema version (C(user_version)) that the database must have.
    type: int
  tables:
    description:
      - Tables that must exist.
    type: list
    elements: str
    default: []
  min_rows:
    description:
      - The number of rows that tables must have at least, by table.
    type: dict
    default: {}
  freshness:
    description:
      - How old the newest row of a table may be. This is what tells a stale backup from a good one.
    type: dict
    suboptions:
      table:
        description:
          - The table.
        type: str
        required: true
      column:
        description:
          - The column that holds the time at which a row was written.
        type: str
        required: true
      unit:
        description:
          - What the column holds. V(iso) is ISO 8601 text, in UTC when it names no zone. The others are numbers of
            seconds, milliseconds, microseconds or nanoseconds since 1970.
        type: str
        choices: [iso, s, ms, us, ns]
        default: iso
      max_age:
        description:
          - How many seconds old the newest row may be.
        type: float
        required: true
      max_future:
        description:
          - How many seconds the newest row may lie in the future, where only a wrong clock can have put it.
        type: float
        default: 300
  sha256:
    description:
      - The SHA-256 of the file as it lies there, compressed or not, in hexadecimal digits.
    type: str
  manifest:
    description:
      - The manifest that was written when the file was made. Sizes, checksums, schema and row counts must be the same,
        with O(mode=deep) also the hashes of all rows.
      - A missing manifest is a failure, because manifests are written last. A backup without one was never finished.
    type: path
  source:
    description:
      - The database that the file is a copy of, to compare their rows. It may be in use, and is read as with O(live).
    type: dict
    suboptions:
      path:
        description:
          - The database.
        type: path
        required: true
      append_only:
        description:
          - Tables that only ever grow. Given, only these are compared, and only up to the newest row of the copy. So an
            old backup can be compared with a ledger that has gone on.
          - Without it all tables must be equal, as they are while nothing writes.
        type: list
        elements: str
        default: []
  identity:
    description:
      - The file with the private key for a file that ends in C(.age). Keep it away from the hosts that make backups.
    type: path
  ignore_tables:
    description:
      - Tables to leave out, as SQL C(LIKE) patterns.
    type: list
    elements: str
    default: ["_litestream_%", "sqlite_%"]
  scratch_directory:
    description:
      - Where the scratch copy is made. Needs as much space as the uncompressed database. The default is Ansible's own
        temporary directory on the host, because C(/tmp) may be in memory.
    type: path
  timeout:
    description:
      - How many seconds to wait for a lock of a live database.
    type: float
    default: 10
  time_limit:
    description:
      - How many seconds all of it may take. Checks that did not fit in are V(inconclusive).
    type: float
  memory_limit:
    description:
      - How much memory this module may take, and each of the programs that it runs, such as V(200M). Checks that did
        not fit in are V(inconclusive). 100 MB are enough for a database of any size.
    type: str
  fail:
    description:
      - Whether the module fails when the result is not V(ok). The result has all values either way.
    type: bool
    default: true
seealso:
  - module: ballast.trading.sqlite_migrate
author:
  - Ballast contributors (@ballast-trading)
"""

EXAMPLES = r"""
- name: Verify a backup against its manifest, every row of it
  ballast.trading.sqlite_verify:
    path: /var/backups/ballast/paper-main/20261122T204501.123Z-ledger.db.zst
    manifest: /var/backups/ballast/paper-main/20261122T204501.123Z-ledger.db.zst.manifest.json
    mode: deep

- name: Look at the ledger while the engine trades
  ballast.trading.sqlite_verify:
    path: /var/lib/ballast/paper-main/ledger/trades.db
    live: true
    mode: quick
    schema_version: 1
    tables: [orders, executions, positions]

- name: See whether a backup from elsewhere is complete and from today, and go on in any case
  ballast.trading.sqlite_verify:
    path: /mnt/offsite/trades.db.gz
    min_rows:
      orders: 1000
    freshness:
      table: events
      column: at
      max_age: 86400
    fail: false
  register: offsite

- name: See whether yesterday's backup has what the ledger has, while the engine trades
  ballast.trading.sqlite_verify:
    path: /var/backups/ballast/paper-main/20261122T204501.123Z-ledger.db.zst
    source:
      path: /var/lib/ballast/paper-main/ledger/trades.db
      append_only: [events, position_history]
    time_limit: 600
    memory_limit: 200M

- name: Say what is wrong
  ansible.builtin.debug:
    msg: "{{ offsite.checks | rejectattr('status', 'eq', 'ok') | map(attribute='detail') }}"
  when: offsite.status != 'ok'
"""

RETURN = r"""
status:
  description: V(failed) when a check failed, else V(inconclusive) when one could not be tried, else V(ok).
  returned: always
  type: str
  sample: ok
checks:
  description: All checks in the order in which they ran.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description:
        - What was checked. Always V(file), V(copy), V(header), V(opens), V(integrity), V(foreign_keys), V(tables) and
          V(rows); V(sidecars) and V(checksum) unless O(live=true); V(row_hash) with O(mode=deep).
        - When asked for V(min_rows), V(schema_version), V(source), V(freshness), and V(manifest), V(manifest_file),
          V(manifest_copy) and V(manifest_content).
      type: str
      sample: header
    status:
      description: V(ok), V(failed) or V(inconclusive).
      type: str
      sample: failed
    detail:
      description: What was seen, and what was expected.
      type: str
      sample: "trades.db is truncated: the header says 39 pages of 4096 bytes = 159744 bytes, there are 155648"
    seconds:
      description: How long it took.
      type: float
      sample: 0.003
failed_checks:
  description: The names of the checks that failed.
  returned: always
  type: list
  elements: str
  sample: []
path:
  description: The file.
  returned: always
  type: str
  sample: /mnt/offsite/trades.db.gz
mode:
  description: The mode.
  returned: always
  type: str
  sample: standard
size_bytes:
  description: The size of the file.
  returned: always, null when the file is missing
  type: int
  sample: 3595
sha256:
  description: The SHA-256 of the file.
  returned: always, null when O(live=true) or the file could not be read
  type: str
  sample: be835b140e7eef59151379d87ad2045c2ced902f9628ea53fb638d4741cf649f
content_size_bytes:
  description: The size of the database in the file, which differs from RV(size_bytes) when it is compressed.
  returned: always, null when O(live=true) or the file could not be read
  type: int
  sample: 159744
content_sha256:
  description: The SHA-256 of the database in the file.
  returned: always, null when O(live=true) or the file could not be read
  type: str
  sample: abc6e2ffec0ba239174bcfd4e83f86dc6b701c2788af7b85f830fad0901a9af5
page_size:
  description: The size of a page in bytes, from the header.
  returned: always, null when there is no header
  type: int
  sample: 4096
page_count:
  description: The number of pages, from the header.
  returned: always, null when there is no header
  type: int
  sample: 39
freelist_count:
  description: The number of unused pages.
  returned: always, null when the database cannot be opened
  type: int
  sample: 0
journal_mode:
  description: The journal mode. A backup should be in V(delete); one in V(wal) cannot be opened on read-only media.
  returned: always, null when the database cannot be opened
  type: str
  sample: delete
user_version:
  description: The schema version.
  returned: always, null when the database cannot be opened
  type: int
  sample: 1
application_id:
  description: The application id.
  returned: always, null when the database cannot be opened
  type: int
  sample: 0
schema_sha256:
  description: A hash of the SQL of all tables, indexes, triggers and views.
  returned: always, null when the database cannot be opened
  type: str
  sample: 7ae68fe90ba4c6fec006c467d6b42bce8cf6deaf17f744ec0047c7a0494884fa
tables:
  description: The number of C(rows) of each table, and in O(mode=deep) their C(row_hash).
  returned: always
  type: dict
  sample: {orders: {rows: 12}, executions: {rows: 9}}
integrity:
  description: What C(quick_check) or C(integrity_check) said, at most 20 lines.
  returned: always
  type: list
  elements: str
  sample: [ok]
foreign_key_violations:
  description: Rows whose parent is missing, at most 20.
  returned: always
  type: list
  elements: str
  sample: []
newest_row:
  description: The time of the newest row, UTC.
  returned: always, null without O(freshness)
  type: str
  sample: "2026-11-22T20:45:01.123Z"
age_seconds:
  description: The age of the newest row, negative when it lies in the future.
  returned: always, null without O(freshness)
  type: float
  sample: 12.5
sqlite_version:
  description: The version of the SQLite library that the host's Python uses.
  returned: always
  type: str
  sample: 3.46.1
wal_reset_bug:
  description:
    - Whether that SQLite can corrupt a WAL database which two connections write or checkpoint in the same moment
      (3.7.0 to 3.51.2).
  returned: always
  type: bool
  sample: true
duration_seconds:
  description: How long all of it took.
  returned: always
  type: float
  sample: 0.009
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.formatters import human_to_bytes

from ansible_collections.ballast.trading.plugins.module_utils.sqlite_read import IGNORED_TABLES
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import (
    MODES,
    TIME_UNITS,
    Freshness,
    Source,
    Verification,
    verify,
)


def whole_number_by_table(value: dict[str, Any]) -> dict[str, int]:
    """`min_rows` with numbers, which a template may have made text; ValueError names the one that is none."""
    numbers = {}
    for table, rows in value.items():
        if not str(rows).isdigit():
            raise ValueError(f"min_rows of table {table} is {rows!r} but must be a whole number")
        numbers[table] = int(rows)
    return numbers


def message_of(result: Verification) -> str:
    """What is wrong, in one line: the failed checks, or when none failed those that could not be tried."""
    decisive = [check for check in result.problems if check.status == result.status]
    details = "; ".join(f"{check.name}: {check.detail}" for check in decisive)
    state = "bad" if result.status == "failed" else "not verified"
    return f"{result.path} is {state}, {len(decisive)} of {len(result.checks)} checks {result.status}: {details}"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "mode": {"type": "str", "choices": list(MODES), "default": "standard"},
            "live": {"type": "bool", "default": False},
            "schema_version": {"type": "int"},
            "tables": {"type": "list", "elements": "str", "default": []},
            "min_rows": {"type": "dict", "default": {}},
            "freshness": {
                "type": "dict",
                "options": {
                    "table": {"type": "str", "required": True},
                    "column": {"type": "str", "required": True},
                    "unit": {"type": "str", "choices": ["iso", *TIME_UNITS], "default": "iso"},
                    "max_age": {"type": "float", "required": True},
                    "max_future": {"type": "float", "default": 300.0},
                },
            },
            "sha256": {"type": "str"},
            "manifest": {"type": "path"},
            "source": {
                "type": "dict",
                "options": {
                    "path": {"type": "path", "required": True},
                    "append_only": {"type": "list", "elements": "str", "default": []},
                },
            },
            "identity": {"type": "path"},
            "ignore_tables": {"type": "list", "elements": "str", "default": list(IGNORED_TABLES)},
            "scratch_directory": {"type": "path"},
            "timeout": {"type": "float", "default": 10.0},
            "time_limit": {"type": "float"},
            "memory_limit": {"type": "str"},
            "fail": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    source = params["source"]
    try:
        result = verify(
            Path(params["path"]),
            mode=params["mode"],
            live=params["live"],
            schema_version=params["schema_version"],
            tables=params["tables"],
            min_rows=whole_number_by_table(params["min_rows"]),
            freshness=Freshness(**params["freshness"]) if params["freshness"] else None,
            sha256=params["sha256"],
            manifest=Path(params["manifest"]) if params["manifest"] else None,
            source=Source(Path(source["path"]), source["append_only"]) if source else None,
            identity=Path(params["identity"]) if params["identity"] else None,
            ignore_tables=params["ignore_tables"],
            scratch_directory=Path(params["scratch_directory"] or module.tmpdir),
            timeout=params["timeout"],
            time_limit=params["time_limit"],
            memory_limit=human_to_bytes(params["memory_limit"]) if params["memory_limit"] else None,
        )
    except ValueError as error:
        module.fail_json(msg=str(error))
    if result.status != "ok" and params["fail"]:
        module.fail_json(msg=message_of(result), changed=False, **result.as_dict())
    module.exit_json(changed=False, **result.as_dict())


if __name__ == "__main__":
    main()
