#!/usr/bin/python
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check the whole configuration and the host before anything is touched
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - Checks every variable of the collection's roles on the controller, then the host in a single round trip, and lists
    B(every) problem at once. Each comes with the place, the value seen, the value wanted and the fix.
  - "The configuration: unknown variable names (with a suggestion), missing values, types, choices and limits of every
    role's argument specification, templates that cannot be evaluated, missing or placeholder secrets, and the rules
    that span variables: account, port and trading mode agree with the environment, a live stack is confirmed, images
    are pinned, client ids and ports are distinct."
  - "The host: operating system, architecture, service manager, privileges, disk space, memory, processors, Docker's
    Compose, the ports that the stack will publish, and whether the migrations fit its ledger, tried on a copy."
  - The value of a secret is never shown.
  - The facts it returns make fact gathering unnecessary in the plays of this collection.
options:
  roles:
    description:
      - The roles whose variables are checked, besides the variables all roles share. All roles of the collection when
        omitted.
      - A name that looks like a variable of any role is checked in either case.
    type: list
    elements: str
  paths:
    description: The folders whose file systems need free space. They do not have to exist yet.
    type: list
    elements: path
    default:
      - /var/lib
      - /opt
      - /var/backups
  min_free_gb:
    description:
      - Free space, in GiB, that each of those file systems must have.
      - The variable C(preflight_min_free_gb) when omitted.
    type: float
    default: 2
  min_memory_mb:
    description:
      - Memory, in MiB, that the host must have.
      - The variable C(preflight_min_memory_mb) when omitted.
    type: int
    default: 1500
  ports:
    description:
      - TCP ports that must be free, or be held by the stack's own containers.
      - The ports that the roles publish when omitted.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      address:
        description: The address it will be published on.
        type: str
        default: 127.0.0.1
      variable:
        description: The variable to name in the advice to choose another port.
        type: str
        required: true
      containers:
        description: Names of the containers that may already hold the port.
        type: list
        elements: str
        default: []
  ledger:
    description:
      - The ledger as it is to be. Migrations that it does not have yet are tried on a copy.
      - What the role C(ledger) wants when omitted. Not looked at by another user than root.
    type: dict
    suboptions:
      path:
        description: The database. It need not exist.
        type: path
        required: true
      owner:
        description: Number of the user that it is to belong to.
        type: int
        required: true
      group:
        description: Number of the group that it is to belong to.
        type: int
        required: true
      mode:
        description: Its permissions as an octal number in quotes.
        type: str
        required: true
      stack:
        description: The stack that it belongs to. The release that runs must work with the ledger as it is to be.
        type: str
      no_rollback:
        description: Whether it is confirmed that there may be no way back to the release that runs.
        type: bool
        default: false
      migrations:
        description: As O(ballast.trading.sqlite_migrate#module:migrations).
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: The name of the file, such as V(0001_initial.sql).
            type: str
            required: true
          content:
            description: Its text.
            type: str
            required: true
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
notes:
  - Nothing is ever changed, so check mode does the same as a real run, also on a blank host.
  - The variables are looked at by an action plugin on the controller; the module itself only looks at the host.
"""

EXAMPLES = r"""
- name: Check the whole configuration and the host
  ballast.trading.preflight:
  register: preflight

- name: Show the operating system, without gathering facts
  ansible.builtin.debug:
    msg: "{{ preflight.facts.os.id }} {{ preflight.facts.os.version }} on {{ preflight.facts.architecture }}"

- name: Check only what a backup needs
  ballast.trading.preflight:
    roles: [backup_cron]
    min_free_gb: 10
"""

RETURN = r"""
msg:
  description: Every problem as readable text, or one sentence when there is none.
  returned: always
  type: str
  sample: Preflight found no problem on trader1.
problems:
  description: Every problem. The task has failed when there is one.
  returned: always
  type: list
  elements: dict
  contains:
    where:
      description: The path of the variable, or C(host:) and the thing.
      type: str
      sample: ballast_environment
    source:
      description: The file and line that set the variable, where that can be told.
      type: str
      sample: inventories/paper/group_vars/all.yml:7
    seen:
      description: The value seen; C((hidden)) for a secret.
      type: str
      sample: prod
    wanted:
      description: The value wanted.
      type: str
      sample: one of dev, paper, live
    fix:
      description: What to do.
      type: str
facts:
  description: What the host is.
  returned: success
  type: dict
  contains:
    os:
      description: Identity of the distribution.
      type: dict
      sample: {"id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"}
    architecture:
      description: The architecture by its Debian name.
      type: str
      sample: amd64
    kernel:
      description: Release of the kernel.
      type: str
    user:
      description: The user that the module ran as.
      type: dict
      sample: {"uid": 0, "name": "root"}
    init:
      description: The name of process 1, and whether the host was booted with systemd.
      type: dict
      sample: {"name": "systemd", "systemd": true}
    cpus:
      description: How many processors there are.
      type: int
    memory:
      description: Total and available memory in bytes.
      type: dict
      sample: {"total_bytes": 4123168768, "available_bytes": 3221225472}
    disks:
      description: Mount point, size and free bytes of the file system under each of O(paths), by path.
      type: dict
      sample: {"/opt": {"mount": "/", "total_bytes": 42949672960, "free_bytes": 21474836480}}
    docker:
      description:
        - Paths of client and Compose plugin, and the version of the running engine; empty where there is none.
        - Whether systemd starts the engine at boot, and whether it is outdated, started before its settings were last
          written.
        - The names of those of its settings that this collection has not written.
      type: dict
      sample:
        client: /usr/bin/docker
        version: 26.1.5
        enabled: true
        outdated: false
        compose: /usr/libexec/docker/cli-plugins/docker-compose
        foreign_settings: []
    ports:
      description: Every listening TCP port, with the process and the container that own it where that can be told.
      type: list
      elements: dict
      sample:
        - port: 4002
          address: 127.0.0.1
          pid: 812
          process: docker-proxy
          container: ballast-paper-main-gateway
    ledger:
      description:
        - The ledger that was asked about, and whether it is as it is to be.
        - Not there when nobody asked or could look.
      type: dict
      sample: {"up_to_date": true, "wanted": {"path": "/var/lib/ballast/paper-main/ledger/trades.db"}}
    server:
      description: What tells the server from every other, whatever names the inventory has for it.
      type: str
    stacks:
      description:
        - The stacks that are on the host, by name, each with the release that runs, its environment and account, a
          person's lock on it, the ports that its containers publish, and the memory and processors that they may use.
        - While a release is switched two engines run side by side, which is counted in.
      type: dict
      sample:
        paper-main:
          release: 20261122T204501Z-3fa9c1d2
          environment: paper
          account: DU1234567
          lock: {}
          ports: [4002]
          memory_bytes: 3221225472
          cpus: 4.0
    packages:
      description: Version of every installed Debian package.
      type: dict
      sample: {"docker.io": "26.1.5+dfsg1-9+b4"}
    trees:
      description:
        - The trees of M(ballast.trading.host_tree) that lie on the host exactly as they were put there, each with what
          stands for the request.
      type: dict
      sample: {"docker_host": "5f70bf18a0860070..."}
    backups:
      description: The stacks that have a snapshot of their ledger.
      type: list
      elements: str
      sample: [paper-main]
ansible_facts:
  description:
    - The distribution and the installed packages, under the names that M(ansible.builtin.setup) and
      M(ansible.builtin.package_facts) give them, so that no role gathers them again.
  returned: success
  type: dict
"""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.host_facts import Problem, Requirements, WantedPort, gather, judge
from ..module_utils.ledger_schema import declared
from ..module_utils.releases import ReleaseStore
from ..module_utils.sqlite_migrate import MIGRATIONS, MigrationError, Ownership, load_migrations, migrate
from ..module_utils.stack import StackError, load_stack

ARGUMENT_SPEC = {
    "roles": {"type": "list", "elements": "str"},
    "paths": {"type": "list", "elements": "path", "default": ["/var/lib", "/opt", "/var/backups"]},
    "min_free_gb": {"type": "float", "default": 2},
    "min_memory_mb": {"type": "int", "default": 1500},
    "ports": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "port": {"type": "int", "required": True},
            "address": {"type": "str", "default": "127.0.0.1"},
            "variable": {"type": "str", "required": True},
            "containers": {"type": "list", "elements": "str", "default": []},
        },
    },
    "ledger": {
        "type": "dict",
        "options": {
            "path": {"type": "path", "required": True},
            "owner": {"type": "int", "required": True},
            "group": {"type": "int", "required": True},
            "mode": {"type": "str", "required": True},
            "stack": {"type": "str"},
            "no_rollback": {"type": "bool", "default": False},
            "migrations": MIGRATIONS,
        },
    },
}


def look_at_ledger(ledger: dict[str, Any], scratch_directory: Path) -> bool:
    """Whether the ledger is up to date; MigrationError when it cannot be brought there, found out on a copy."""
    path = Path(ledger["path"])
    return not migrate(
        path,
        load_migrations((entry["name"], entry["content"]) for entry in ledger["migrations"]),
        snapshot_directory=path.parent,
        ownership=Ownership(ledger["owner"], ledger["group"], int(ledger["mode"], 8)),
        check=True,
        scratch_directory=scratch_directory,
    ).changed


def judge_way_back(ledger: dict[str, Any], root: Path = Path("/")) -> Problem | None:
    """The problem when the engine that runs, to which a failed deploy returns, would not work with the new schema."""
    if not ledger["stack"] or ledger["no_rollback"] or not ledger["migrations"]:
        return None
    try:
        stack = load_stack(ledger["stack"], root)
    except StackError:
        return None
    running = ReleaseStore(stack).linked("current")
    schemas = declared(running) if running else None
    newest = max(int(entry["name"][:4]) for entry in ledger["migrations"])
    if running is None or schemas is None or newest <= schemas[1]:
        return None
    return Problem(
        where="ledger_migrations",
        seen=f"a migration to schema {newest}, which has not been applied yet",
        wanted=f"at most {schemas[1]}, the newest schema that the running release {running.id} works with",
        fix="Deploy an engine first that works with both (trading_engine_ledger_schemas). Or do without a way back to"
        f" the running release: -e ledger_confirm_no_rollback={ledger['stack']}",
    )


def main() -> None:
    """Return the host's facts and problems; whether they fail the task is for the action plugin to say."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    wanted = module.params
    requirements = Requirements(
        paths=wanted["paths"],
        min_free_gb=wanted["min_free_gb"],
        min_memory_mb=wanted["min_memory_mb"],
        ports=[WantedPort(**port) for port in wanted["ports"]],
    )
    facts = gather(requirements.paths)
    problems = judge(facts, requirements)
    ledger = wanted["ledger"]
    if ledger and os.geteuid() == 0:
        try:
            facts["ledger"] = {"wanted": ledger, "up_to_date": look_at_ledger(ledger, Path(module.tmpdir))}
            problem = None if facts["ledger"]["up_to_date"] else judge_way_back(ledger)
            problems += [problem] if problem else []
        except MigrationError as error:
            problems.append(
                Problem(
                    where="ledger_migrations",
                    seen=str(error),
                    wanted=f"migrations that {ledger['path']} can be brought up to date with",
                    fix="Mend what that says. A migration that was applied somewhere is never changed: add another.",
                )
            )
    module.exit_json(changed=False, facts=facts, problems=[asdict(problem) for problem in problems])


if __name__ == "__main__":
    main()
