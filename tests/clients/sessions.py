# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One client's whole session against a simulator of its own, both in processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import terminal
from tests.clients.terminal import HOST

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "images/gateway_simulator/src"
# Of one session; it takes a few seconds, most of which it waits for bars of five seconds.
PATIENCE_SECONDS = 90.0


@dataclass(frozen=True)
class Case:
    """A client, the script that speaks with it, the highest version of the simulator, and what is agreed on."""

    client: str
    script: str
    offered: int
    agreed: int

    def __str__(self) -> str:
        return f"{self.client}-{self.agreed}"


@dataclass(frozen=True)
class Outcome:
    """What a client was told, what the simulator's witness has seen, and what either wrote besides."""

    status: int
    told: dict[str, Any]
    witness: list[dict[str, Any]]
    errors: str
    log: str
    seconds: float

    def seen(self, kind: str) -> list[dict[str, Any]]:
        """Return the witness's entries of a kind."""
        return [entry for entry in self.witness if entry["kind"] == kind]


def play(case: Case, python: Path, directory: Path) -> Outcome:
    """Run a session to its end."""
    began = time.monotonic()
    log = directory / "simulator.log"
    with simulator(log, SIMULATOR_SERVER_VERSION=str(case.offered)) as (port, control_port):
        with simulator(directory / "read-only.log", READ_ONLY_API="yes") as (read_only_port, _):
            command = [str(python), str(HERE / case.script), case.client]
            done = subprocess.run(
                [*command, str(port), str(control_port), str(read_only_port)],
                env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )
        witness = terminal.call(control_port, "GET", "/witness")["entries"]
    told = json.loads(done.stdout) if done.stdout.strip() else {}
    seconds = time.monotonic() - began
    return Outcome(done.returncode, told, witness, done.stderr, log.read_text(encoding="utf-8"), seconds)


@contextmanager
def simulator(log: Path, **variables: str) -> Iterator[tuple[int, int]]:
    """Run a simulator in a process of its own; give its ports for clients and for control."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(SOURCE),
        "SIMULATOR_HOST": HOST,
        "SIMULATOR_PORT": "0",
        "SIMULATOR_CONTROL_PORT": "0",
        "SIMULATOR_STATE": "",
        "SIMULATOR_TICKS_PER_SECOND": "20",
        **variables,
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway_simulator"], env=environment, stdout=sink, stderr=subprocess.STDOUT
        )
        try:
            yield _ports(process, log)
        finally:
            process.terminate()
            process.wait(10)


def _ports(process: subprocess.Popen[bytes], log: Path) -> tuple[int, int]:
    deadline = time.monotonic() + 30
    while True:
        for line in log.read_text(encoding="utf-8").splitlines():
            record = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
            if record.get("message") == "listening":
                return record["port"], record["control_port"]
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the simulator does not listen:\n{log.read_text(encoding='utf-8')}")
        time.sleep(0.01)
