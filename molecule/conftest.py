# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests share: the hosts under test, their stacks, and a way to run playbooks against them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from testinfra.host import Host

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
INVENTORY = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent


@dataclass(frozen=True)
class Playbook:
    """The outcome of an ansible-playbook run."""

    status: int
    output: str = field(repr=False)

    @property
    def text(self) -> str:
        """The output as one line, so that wrapping and indentation do not matter."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> list[str]:
        """Names of the tasks that changed something."""
        tasks = re.split(r"^TASK \[(.+)\] \*+$", self.output, flags=re.MULTILINE)[1:]
        return [name for name, results in zip(tasks[::2], tasks[1::2], strict=True) if "\nchanged: " in results]


@pytest.fixture(scope="session")
def lab_hosts() -> dict[str, dict[str, Any]]:
    """The scenario's hosts: how the lab reaches each, and what it gives it to run."""
    inventory = yaml.safe_load((INVENTORY / "lab.yml").read_text())
    return dict(inventory["all"]["children"]["trading_hosts"]["hosts"])


@pytest.fixture(scope="session")
def name(lab_hosts: dict[str, dict[str, Any]]) -> str:
    """The host of a scenario that has only one."""
    (only,) = lab_hosts
    return only


@pytest.fixture(scope="session")
def host_variables(name: str, lab_hosts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How the lab reaches the only host, and what it gives it to run."""
    return lab_hosts[name]


def connect(name: str) -> Host:
    """A host of the lab, over ssh and as root."""
    configuration = str(PROJECT / ".lab" / "ssh_config")
    return testinfra.get_host(f"ssh://{name}", ssh_config=configuration, sudo=True, controlpersist=60)


@pytest.fixture(scope="session")
def host(name: str) -> Host:
    """The only host."""
    return connect(name)


@pytest.fixture(scope="session")
def hosts(lab_hosts: dict[str, dict[str, Any]]) -> dict[str, Host]:
    """Every host of the scenario by its name."""
    return {name: connect(name) for name in lab_hosts}


@pytest.fixture(scope="session")
def play() -> Callable[..., Playbook]:
    """Runs a playbook against the scenario's inventory: play("rollback", "--check", release="...")."""

    def run(playbook: str, *options: str, inventory: str = str(INVENTORY), **variables: Any) -> Playbook:
        command = ["ansible-playbook", f"playbooks/{playbook}.yml", "--inventory", inventory, *options]
        done = subprocess.run(
            [*command, "--extra-vars", json.dumps(variables)],
            cwd=PROJECT,
            env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        return Playbook(done.returncode, done.stdout + done.stderr)

    return run


@pytest.fixture(scope="session")
def module() -> Callable[..., dict[str, Any]]:
    """Runs a module of the collection ad hoc, as `ansible -m` does, and returns its result."""

    def run(name: str, **arguments: Any) -> dict[str, Any]:
        command = ["ansible", "trading_hosts", "--inventory", str(INVENTORY), "--become", "--one-line"]
        done = subprocess.run(
            [*command, "--module-name", f"ballast.trading.{name}", "--args", json.dumps(arguments)],
            cwd=PROJECT,
            env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        return dict(json.loads(done.stdout.partition("=>")[2]))

    return run


@pytest.fixture(scope="session")
def status(host: Host) -> Callable[[], dict[str, Any]]:
    """Asks the host tool for the status of the only stack."""

    def ask() -> dict[str, Any]:
        (document,) = json.loads(host.run("ballast status --json").stdout)
        return dict(document)

    return ask


def eventually(check: Callable[[], object], seconds: float) -> None:
    """Repeats a check until it is true, at most for ``seconds``; then its last value is shown."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds:g} s"
        time.sleep(0.2)


@pytest.fixture(scope="session", name="eventually")
def eventually_fixture() -> Callable[[Callable[[], object], float], None]:
    return eventually


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A test that fails on hosts shows the journal of our units."""
    outcome = yield
    report = outcome.get_result()
    arguments = getattr(item, "funcargs", {})
    targets = arguments.get("hosts") or ({"the host": arguments["host"]} if "host" in arguments else {})
    if report.when != "call" or not report.failed:
        return
    for name, target in targets.items():
        try:
            journal = target.run("journalctl --unit 'ballast-*' --lines 30 --no-pager").stdout
        except RuntimeError as error:
            journal = f"the host cannot be reached: {error}"
        report.sections.append((f"journal of the units on {name}", journal))
