# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side: a lab host on which releases are changed, disturbed and judged."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
# What goes to the host, to a place that a reboot leaves alone.
SHIPPED = ("tests/cutover/on_host.py", "tests/engine/books.py")
THERE = "/root/cutover"
STACK = "dev-main"
SSH_LOST = 255
BOOT_SECONDS = 90.0


class HostLost(Exception):
    """The connection to the host ended in the middle of a call."""


def variables() -> dict[str, Any]:
    """What the stack of the scenario ``cutover`` is deployed with: an engine that trades without a pause."""
    scenario = yaml.safe_load((ROOT / "molecule/cutover/molecule.yml").read_text())
    (platform,) = scenario["platforms"]
    return dict(platform["vars"])


@dataclass(frozen=True)
class Changed:
    """How the host tool ended. ``status``: negative for a signal, None when the host went down under it.

    ``struck`` is the step at which the fault came, None when it never did; ``seconds`` is what the tool took.
    """

    status: int | None
    output: str
    steps: tuple[str, ...]
    struck: str | None
    seconds: float


class Rig:
    """A lab host with the stack ``dev-main``, whose gateway is a simulator with a control API."""

    def __init__(self, host: str) -> None:
        self.host = host
        # One connection for all calls, which ends by itself, and soon when its host went down.
        control = ["ControlMaster=auto", f"ControlPath={ROOT}/.lab/cutover-%C", "ControlPersist=60"]
        alive = ["ServerAliveInterval=2", "ServerAliveCountMax=5"]
        options = [word for option in (*control, *alive) for word in ("-o", option)]
        self._ssh = ["ssh", "-F", str(ROOT / ".lab/ssh_config"), *options, host]
        self.install()

    def install(self) -> None:
        """Put what runs on the host there."""
        packed = subprocess.run(["tar", "--create", *SHIPPED], check=True, capture_output=True, cwd=ROOT).stdout
        unpack = f"sudo sh -c 'mkdir -p {THERE} && tar --extract --directory {THERE}'"
        subprocess.run([*self._ssh, unpack], check=True, input=packed, capture_output=True)

    def run(self, *command: str, stdin: str = "", check: bool = True) -> str:
        """Run a command on the host as root, and return what it prints."""
        done = subprocess.run(
            [*self._ssh, "sudo", shlex.join(command)], check=False, input=stdin, capture_output=True, text=True
        )
        if done.returncode == SSH_LOST:
            raise HostLost(done.stderr)
        if check and done.returncode:
            raise RuntimeError(f"{shlex.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def call(self, verb: str, *arguments: str, stdin: str = "") -> Any:
        """Run a verb of ``on_host.py``, and return its answer."""
        module = ["env", f"--chdir={THERE}", "python3", "-m", "tests.cutover.on_host"]
        return json.loads(self.run(*module, verb, *arguments, stdin=stdin))

    # ---- releases ----

    def stage(self, files: Mapping[str, str], **settings: Any) -> str:
        """Stage a copy of the release that runs; returns its id.

        ``files`` of ``engine/config/`` are changed or added; ``settings`` replace those of the engine's service.json.
        """
        changes = {f"engine/config/{path}": text for path, text in files.items()}
        return str(self.call("stage", stdin=json.dumps({"changes": changes, "settings": settings})))

    def change(self, *command: str, at: str = "", fault: str = "", seconds: float = 0) -> Changed:
        """Run the host tool with ``command``, and strike with ``fault`` at the first step that ``at`` (a pattern) fits.

        The fault ends after ``seconds``, whether or not the tool has; with 0, when the tool has.
        """
        started, boot = time.monotonic(), self._booted_at()
        options = ["--at", at, "--fault", fault, "--seconds", str(seconds)]
        try:
            told = self.call("change", *options, "--", *command)
        except HostLost:
            self._await_boot(boot)
            return Changed(None, "", (), at, time.monotonic() - started)
        return Changed(told["status"], told["output"], tuple(told["steps"]), told["struck"], told["seconds"])

    def activate(self, release: str, *, at: str = "", fault: str = "", seconds: float = 0) -> Changed:
        """Run ``ballast activate``."""
        return self.change("activate", STACK, release, at=at, fault=fault, seconds=seconds)

    # ---- what it came to ----

    def status(self) -> dict[str, Any]:
        """The host tool's status document."""
        (document,) = json.loads(self.run("ballast", "status", STACK, "--json", check=False))
        return dict(document)

    def await_order(self, seconds: float = 60) -> dict[str, Any]:
        """Wait until the stack is healthy and no switch is under way; returns its last status, whether or not it is."""
        return dict(self.call("await", "--amount", str(seconds)))

    def judge(self) -> dict[str, Any]:
        """``problems``, the venue's ``gaps`` and the number of ``orders`` since the beginning."""
        return dict(self.call("judge"))

    def reboot(self) -> None:
        """Restart the host in good order, and wait until it can be reached again."""
        boot = self._booted_at()
        with suppress(HostLost):
            self.run("systemctl", "reboot")
        self._await_boot(boot)

    def _booted_at(self) -> str:
        return self.run("stat", "--format=%y", "/run/systemd/system")

    def _await_boot(self, before: str) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            with suppress(HostLost, RuntimeError):
                if self._booted_at() != before:
                    return
            time.sleep(0.2)
        raise RuntimeError(f"{self.host} did not come back within {BOOT_SECONDS:g} s")

    def forgive(self) -> None:
        """Let systemd forget how often services were started: the faults break them more often than any day does."""
        self.run("systemctl", "reset-failed")
