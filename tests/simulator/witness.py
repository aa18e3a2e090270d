# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulator in a process of its own, and the calls of its control API: what tests judge clients by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from gateway_simulator.control import call

SOURCE = Path(__file__).parents[2] / "images/gateway_simulator/src"
PATIENCE_SECONDS = 20.0

Entry = dict[str, Any]


class Venue:
    """A simulator process. ``port`` is the API's and ``control_port`` the control API's; both outlive a restart."""

    def __init__(self, environment: dict[str, str], log: BinaryIO) -> None:
        self._environment = environment
        self._log = log
        self.port = self.control_port = 0
        self.start()

    def start(self) -> None:
        """Start the process and wait until it listens; again on the same ports when it had some."""
        began = self._log.seek(0, os.SEEK_END)
        ports = {"SIMULATOR_PORT": self.port, "SIMULATOR_CONTROL_PORT": self.control_port} if self.port else {}
        environment = self._environment | {name: str(port) for name, port in ports.items()}
        command = [sys.executable, "-m", "gateway_simulator"]
        self.process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (listening := [line for line in self.log(began) if line["message"] == "listening"]):
            assert self.process.poll() is None, f"the simulator ended: {self.text(began)}"  # noqa: S101 - a test's own
            assert time.monotonic() < deadline, f"the simulator does not listen: {self.text(began)}"  # noqa: S101
            time.sleep(0.005)
        self.port, self.control_port = listening[0]["port"], listening[0]["control_port"]

    def kill(self) -> None:
        """Kill the process, as a power cut would, and wait for its end."""
        self.process.kill()
        self.process.wait()

    def text(self, since: int = 0) -> str:
        """Return what the process has printed, from a byte on."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size - since, since).decode(errors="replace")

    def log(self, since: int = 0) -> list[Entry]:
        """Return the records that the process has logged, from a byte on."""
        lines = self.text(since).splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Do one call of the control API. Raises ControlError with the simulator's reason."""
        return call(self.control_port, method, path, body)

    def witness(self, kind: str | None = None, *, since: int = 0) -> list[Entry]:
        """Return the witness's entries, of one kind or all, after one of them or from the first."""
        query = f"witness?since={since}" + (f"&kind={kind}" if kind else "")
        return list(self.call("GET", query)["entries"])

    def summary(self) -> dict[str, Any]:
        """Return what cutovers are judged by."""
        return dict(self.call("GET", "witness/summary"))

    def state(self) -> dict[str, Any]:
        """Return account, clients, positions and working orders."""
        return dict(self.call("GET", "state"))

    def wait_for(self, condition: Callable[[Venue], Any]) -> Any:
        """Return what ``condition`` gives once that is true; fail when it does not become so in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (value := condition(self)):
            assert time.monotonic() < deadline, f"the condition did not come true; the witness: {self.witness()[-20:]}"  # noqa: S101 - a test's own
            time.sleep(0.01)
        return value


@contextmanager
def venue(**variables: str) -> Iterator[Venue]:
    """Run a simulator process with free ports and a fast market, unless ``variables`` differ; kill it at the end."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TZ") if name in os.environ}
    environment = {
        **inherited,
        "PYTHONPATH": str(SOURCE),
        "SIMULATOR_HOST": "127.0.0.1",
        "SIMULATOR_PORT": "0",
        "SIMULATOR_CONTROL_PORT": "0",
        "SIMULATOR_STATE": "",
        "SIMULATOR_TICKS_PER_SECOND": "20",
        **variables,
    }
    with TemporaryFile() as log:
        running = Venue(environment, log)
        try:
            yield running
        finally:
            running.kill()
