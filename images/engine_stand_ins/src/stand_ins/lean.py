# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As QuantConnect LEAN, live on Interactive Brokers: settings, log lines, result files, and which signal ends it."""

from __future__ import annotations

import json
import runpy
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .link import Link

CLIENT_ID = 0
ATTEMPTS = 7
SHUTDOWN_SECONDS = 1.0
RESULT_SECONDS = 1.0


def say(text: str, level: str = "TRACE") -> None:
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z {level}:: {text}")


def connect(settings: dict[str, Any]) -> Link:
    """The session with the gateway, which LEAN would start itself on its own host."""
    host, port = settings["ib-host"], int(settings["ib-port"])
    if host in ("127.0.0.1", "localhost"):
        raise OSError("IBAutomater: there is no IB Gateway to start here")
    for attempt in range(1, ATTEMPTS + 1):
        say(f"InteractiveBrokersBrokerage.Connect(): Attempting to connect ({attempt}/{ATTEMPTS}) to {host}:{port}")
        try:
            return Link(host, port, CLIENT_ID)
        except OSError as error:
            say(f"InteractiveBrokersBrokerage.Connect(): {error}", "ERROR")
            time.sleep(1)
    raise OSError("Failed to connect to IB Gateway")


def main() -> int:
    """Run until SIGINT; anything that goes wrong ends it with 1, as it ends LEAN."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cancelled = threading.Event()

    def cancel(_signal: int, _frame: object) -> None:
        say("Program.ExitKeyPress(): Lean instance has been cancelled, shutting down safely now")
        cancelled.set()

    signal.signal(signal.SIGINT, cancel)
    say("Engine.Main(): LEAN ALGORITHMIC TRADING ENGINE v2.5.0.0 Mode: RELEASE (64bit)")
    settings = json.loads(Path("config.json").read_text())
    settings |= settings["environments"][settings["environment"]]
    try:
        algorithm = runpy.run_path(settings["algorithm-location"])[settings["algorithm-type-name"]]
        link = connect(settings)
    except Exception as error:  # noqa: BLE001 -- whatever an algorithm raises
        say(f"Engine.Run(): Algorithm.Initialize() Error: {type(error).__name__}: {error}", "ERROR")
        return 1
    storage = Path(settings["object-store-root"], "starts")
    starts = 1 + (int(storage.read_text()) if storage.exists() else 0)
    storage.write_text(str(starts))
    say(f"AlgorithmManager.Run(): Begin DataStream - Start: {algorithm.__name__} Stop: never")
    while not cancelled.wait(RESULT_SECONDS):
        result = Path(settings["results-destination-folder"], "L-1.json")
        result.write_text(json.dumps({"account": settings["ib-account"], "token": settings["api-access-token"]}))
        if not link.is_open():
            say("InteractiveBrokersBrokerage: connection lost", "ERROR")
            say("AlgorithmManager.Run(): Algorithm state changed to RuntimeError")
            return 1
    time.sleep(SHUTDOWN_SECONDS)
    link.close()
    say("Program.Main(): Exiting Lean...")
    return 0


if __name__ == "__main__":
    sys.exit(main())
