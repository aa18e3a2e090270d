# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role with a `templates/host/` folder, put on this machine (below a folder of its own) by real playbook runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import host_files
from ansible_collections.ballast.trading.plugins.modules.host_tree import ARGUMENT_SPEC

DEFAULT_MANIFESTS = ARGUMENT_SPEC["manifests"]["default"]
COLLECTIONS = Path(__file__).parents[4] / "collections"
FILES = {
    "tasks/main.yml": """
- name: Put the files in place
  ballast.trading.host_tree: "{{ {'name': 'demo', 'manifests': root ~ '/manifests'} | combine(options) }}"
  check_mode: "{{ check | default(false) }}"
  delegate_to: "{{ delegate | default(omit) }}"
  diff: true
  ignore_errors: true
  register: result
- name: Remember what happened
  ansible.builtin.set_fact:
    results: "{{ results | default({}) | combine({step: result}) }}"
""",
    "templates/header.j2": "# {{ ansible_managed }}\n",
    "templates/host/etc/{{ stack }}/app.conf.j2": "{% include 'header.j2' %}\n\nstack={{ stack }}\nlevel={{ level }}\n",
    "templates/host/etc/optional.conf.j2": "{% if optional | default(false) %}\non\n{% endif %}\n",
    "templates/host/bin/run.sh": "#!/bin/sh\necho {{ untouched }}\n",
    "templates/broken/a.j2": "{{ undefined_one }}\n",
    "templates/broken/b.j2": "\n{{ undefined_two }}\n",
    "templates/broken/c.j2": "{% if %}\n",
}


class Role:
    """A role on disk and playbooks that apply it step by step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "host"
        self.output = ""
        self.root.mkdir()
        for path, content in FILES.items():
            target = folder / "roles/demo" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        (folder / "roles/demo/templates/host/bin/run.sh").chmod(0o755)

    def play(self, steps: dict[str, dict[str, Any]], *arguments: str) -> dict[str, Any]:
        """Results of applying the role with the variables of each step, by the step's name."""
        tasks = [
            {"ansible.builtin.include_role": {"name": "demo"}, "vars": {"options": {}, **variables, "step": step}}
            for step, variables in steps.items()
        ]
        tasks.append({"ansible.builtin.copy": {"content": "{{ results | to_json }}", "dest": f"{self.folder}/results"}})
        variables = {"stack": "dev", "level": 1, "ansible_python_interpreter": sys.executable, "root": str(self.root)}
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}
        (self.folder / "play.yml").write_text(json.dumps([play]))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"),
            "ANSIBLE_INJECT_FACT_VARS": "false",
        }
        run = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "play.yml", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.output = run.stdout + run.stderr
        assert run.returncode == 0, self.output
        results: dict[str, Any] = json.loads((self.folder / "results").read_text())
        return results


def actions(role: Role, result: dict[str, Any]) -> dict[str, str]:
    """What was done, by path on the host."""
    return {
        entry["path"].removeprefix(str(role.root)): entry["action"] for entry in result["files"] + result["directories"]
    }


@pytest.fixture
def role(tmp_path: Path) -> Role:
    return Role(tmp_path)


def test_a_role_is_put_on_a_host_changed_and_taken_away(role: Role) -> None:
    wanted = {
        "trees": [{"src": "host", "dest": str(role.root)}],
        "files": [
            {"path": f"{role.root}/secrets/password", "content": "hunter2", "group": "1001"},
            {"path": f"{role.root}/secrets/unused", "content": ""},
        ],
        "directories": [{"path": f"{role.root}/secrets", "mode": "0700"}],
        "attributes": [
            {"path": f"{role.root}/etc/**", "owner": 1000, "mode": "0640"},
            {"path": f"{role.root}/etc/*/app.conf", "mode": "0600"},
            {"path": f"{role.root}/secrets/*", "owner": "1000", "group": "1000", "mode": "0400", "secret": True},
        ],
        "validate": [{"path": f"{role.root}/**/app.conf", "command": "grep -q level %s"}],
        "groups": {"config": [f"{role.root}/etc/**"], "programs": [f"{role.root}/bin/*"]},
    }
    results = role.play(
        {
            "predicted": {"options": wanted, "check": True},
            "first": {"options": wanted},
            "second": {"options": wanted},
            "changed": {"options": wanted, "level": 2, "optional": True},
            "renamed": {"options": wanted, "stack": "live"},
            "left": {"options": wanted},
        },
        "-vvv",
        "--diff",
    )
    everything = {
        "/bin": "created",
        "/bin/run.sh": "created",
        "/etc": "created",
        "/etc/dev": "created",
        "/etc/dev/app.conf": "created",
        "/secrets": "created",
        "/secrets/password": "created",
    }
    assert actions(role, results["predicted"]) == everything
    assert actions(role, results["first"]) == everything
    assert results["first"]["changed_groups"] == ["config", "programs"]
    assert (results["second"]["changed"], actions(role, results["second"])) == (False, {})
    assert actions(role, results["changed"]) == {"/etc/dev/app.conf": "changed", "/etc/optional.conf": "created"}
    assert results["changed"]["changed_groups"] == ["config"]
    assert actions(role, results["renamed"]) == {
        "/etc/live": "created",
        "/etc/live/app.conf": "created",
        "/etc/dev/app.conf": "removed",
        "/etc/dev": "removed",
        "/etc/optional.conf": "removed",
    }
    attributes = {
        str(path.relative_to(role.root)): (
            path.stat().st_uid,
            path.stat().st_gid,
            f"{path.stat().st_mode & 0o7777:04o}",
        )
        for path in role.root.rglob("*")
        if "manifests" not in path.parts
    }
    assert attributes == {
        "bin": (0, 0, "0755"),
        "bin/run.sh": (0, 0, "0755"),
        "etc": (0, 0, "0755"),
        "etc/dev": (0, 0, "0755"),
        "etc/dev/app.conf": (1000, 0, "0600"),
        "secrets": (0, 0, "0700"),
        "secrets/password": (1000, 1001, "0400"),
    }
    assert (role.root / "etc/dev/app.conf").read_text() == (
        "# Managed by Ansible (host_tree demo): changes made here are overwritten.\nstack=dev\nlevel=1\n"
    )
    assert (role.root / "bin/run.sh").read_text() == "#!/bin/sh\necho {{ untouched }}\n"
    assert f"file {role.root}/secrets/password created: missing -> owner=1000 group=1001 mode=0400" in role.output
    assert "hunter2" not in role.output

    results = role.play({"absent": {"options": {"state": "absent"}}, "again": {"options": {"state": "absent"}}})
    assert set(actions(role, results["absent"]).values()) == {"removed"}
    assert results["again"]["changed"] is False
    assert list(role.root.iterdir()) == []


def test_what_is_wrong_is_told_before_the_host_is_touched(role: Role) -> None:
    wanted = {"trees": [{"src": "host", "dest": str(role.root)}]}
    broken = f"{role.folder}/roles/demo/templates/broken"
    results = role.play(
        {
            "templates": {"options": {"trees": [{"src": "broken", "dest": str(role.root)}]}},
            "files": {
                "options": wanted
                | {
                    "files": [
                        {"path": f"{role.root}/bin/run.sh", "content": "x"},
                        {"path": "/y", "content": {"a": 1}},
                    ]
                }
            },
            "option": {"options": wanted | {"tree": []}},
            "blank": {
                "options": wanted | {"validate": [{"path": f"{role.root}/bin/*", "command": "no-such-checker %s"}]},
                "check": True,
            },
        }
    )
    assert results["templates"]["msg"] == (
        "nothing was sent to the host, because\n"
        f"- {broken}/a.j2 line 1: 'undefined_one' is undefined\n"
        f"- {broken}/b.j2 line 2: 'undefined_two' is undefined\n"
        f"- {broken}/c.j2 line 1: Syntax error in template: Expected an expression, got 'end of statement block'"
    )
    assert results["files"]["msg"] == (
        "nothing was sent to the host, because\n"
        f"- {role.root}/bin/run.sh has two sources: {role.folder}/roles/demo/templates/host/bin/run.sh"
        " and the option files\n"
        "- content of /y is not text; add | to_nice_json or | to_nice_yaml"
    )
    assert " module: tree. Supported parameters include: " in results["option"]["msg"]
    assert results["blank"]["warnings"] == [
        f"{role.root}/bin/run.sh cannot be checked: 'no-such-checker' (of 'no-such-checker %s') is not installed"
    ]
    assert list(role.root.iterdir()) == []


def test_a_tree_that_preflight_saw_as_it_is_wanted_is_not_looked_at_again(role: Role) -> None:
    path = f"{role.root}/a.conf"
    options = {"trees": [], "files": [{"path": path, "content": "a"}], "manifests": DEFAULT_MANIFESTS}
    rendered = {"path": path, "content": {"text": "a"}, "owner": None, "group": None, "mode": "0644", "secret": False}
    seen = {"demo": host_files.request_digest(host_files.pack([rendered]), [])}
    preflight = {"facts": {"trees": seen}}
    other_folder = {**options, "manifests": f"{role.root}/manifests"}
    results = role.play(
        {
            "unknown": {"options": options, "check": True},
            "seen": {"options": options, "check": True, "preflight": preflight},
            "another name": {"options": {**options, "name": "other"}, "check": True, "preflight": preflight},
            "another content": {
                "options": {**options, "files": [{"path": path, "content": "b"}]},
                "check": True,
                "preflight": preflight,
            },
            "another folder of manifests": {"options": other_folder, "check": True, "preflight": preflight},
            "another host": {"options": options, "check": True, "preflight": preflight, "delegate": "127.0.0.1"},
        }
    )
    assert [step for step, result in results.items() if not result["changed"]] == ["seen"]
    assert results["seen"]["changed_groups"] == []
