# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a process, as systemd runs it, and what is asked of it from outside."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.engine.books import Record, differences
from tests.engine.support import Place
from tests.engine.venue import SOURCES, Venue


def until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait until the condition holds; fails with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


class Process:
    """The engine process in a place; ``arguments`` run another program instead, ``prepare`` is called in it before."""

    def __init__(self, place: Place, *arguments: str, prepare: Callable[[], None] | None = None) -> None:
        self.place = place
        with (place.path / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *(arguments or ("-m", "reference_engine"))],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES, **place.environment},
                stdout=log,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=prepare,
            )

    def ask(self, path: str) -> tuple[int, bytes]:
        """Return the HTTP status and the body of a path of the control socket; (0, b"") while nobody answers."""
        connection = http.client.HTTPConnection("engine", timeout=5)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.place.socket))
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return HTTP status and document; (0, {}) while nobody answers."""
        code, body = self.ask("/health")
        return code, json.loads(body) if body else {}

    def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        _, body = self.ask("/metrics")
        return next(float(line.split()[1]) for line in body.decode().splitlines() if line.startswith(f"{name} "))

    def wait_for(self, status: int, state: str, seconds: float = 15.0) -> dict[str, Any]:
        """Wait until health answers with the HTTP status and the gateway's state; return the document."""
        seen: list[tuple[int, dict[str, Any]]] = []

        def arrived() -> bool:
            seen.append(self.health())
            code, document = seen[-1]
            return code == status and document["gateway"]["state"] == state

        try:
            until(arrived, f"health {status} {state}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; last {seen[-1]}\n{self.log()}") from None
        return seen[-1][1]

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def log(self) -> str:
        """What it has written to its log."""
        return (self.place.path / "engine.log").read_text()

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> tuple[int, str]:
        """Send the signal, wait, and return exit code and standard error."""
        if number is not None:
            self._process.send_signal(number)
        _, errors = self._process.communicate(timeout=30)
        return self._process.returncode, errors

    def kill(self) -> None:
        """Kill it if it runs, and wait."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def count(place: Place, table: str) -> int:
    """How many rows the ledger has in a table."""
    ((rows,),) = place.query(f"SELECT count(*) FROM {table}")  # noqa: S608 the tests' own words
    return int(str(rows))


def assert_books_agree(place: Place, venue: Venue) -> None:
    """The ledger has everything that the venue has on record, exactly once, and nobody has to look at anything."""
    found = differences(Record.of(venue.witness()), place.ledger, settled=True)
    # What waited for the pace when a session was lost was refused, which is over by itself.
    found += [str(row) for row in place.query("SELECT kind, message FROM risk_events WHERE kind <> 'stopped'")]
    if found:
        raise AssertionError("\n".join(found))
