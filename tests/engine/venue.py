# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway simulator as a process of its own: it outlives the engines that trade with it, and it is their judge."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway_simulator import control
from tests.engine.support import ACCOUNT, ROOT

SOURCES = os.pathsep.join(str(ROOT / "images" / name / "src") for name in ("reference_engine", "gateway_simulator"))


class Venue:
    """A simulator on a free port. It keeps its state over kills."""

    def __init__(
        self,
        folder: Path,
        *,
        ticks_per_second: float = 20.0,
        seed: int = 1,
        host: str = "127.0.0.1",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.host = host
        self.port, self.control_port = _free_ports()
        self._folder = folder
        self._ticks_per_second = ticks_per_second
        self._seed = seed
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._witness: list[dict[str, Any]] = []

    @property
    def pid(self) -> int:
        """The process id of the simulator that runs."""
        if self._process is None:
            raise RuntimeError("the simulator does not run")
        return self._process.pid

    def start(self, seconds: float = 30.0) -> None:
        """Start the simulator and wait until it listens."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": SOURCES,
            "SIMULATOR_HOST": self.host,
            "SIMULATOR_PORT": str(self.port),
            "SIMULATOR_CONTROL_PORT": str(self.control_port),
            "SIMULATOR_STATE": str(self._folder / "simulator.json"),
            "SIMULATOR_SEED": str(self._seed),
            "SIMULATOR_TICKS_PER_SECOND": f"{self._ticks_per_second:g}",
            "SIMULATOR_ACCOUNT": ACCOUNT,
            "SIMULATOR_LOG_LEVEL": "WARNING",
            **self._environment,
        }
        with (self._folder / "simulator.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway_simulator"], env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + seconds
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the simulator does not listen:\n{(self._folder / 'simulator.log').read_text()}")
            time.sleep(0.01)

    def witness(self) -> list[dict[str, Any]]:
        """Return every entry of the simulator's own record, oldest first."""
        self._witness += self.call("GET", f"witness?since={len(self._witness)}")["entries"]
        return self._witness

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Do one call of the control API."""
        return control.call(self.control_port, method, path, body)

    def kill(self) -> None:
        """Kill the simulator, as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe, socket.socket() as other:
            return not any(
                each.connect_ex(address)
                for each, address in ((probe, (self.host, self.port)), (other, ("127.0.0.1", self.control_port)))
            )


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return int(first.getsockname()[1]), int(second.getsockname()[1])
