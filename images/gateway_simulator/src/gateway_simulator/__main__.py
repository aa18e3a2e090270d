# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the simulator: settings from the environment; SIGTERM stops, SIGUSR1 breaks and SIGUSR2 mends the broker link."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from . import log
from .replay import ReplayError
from .scenario import ScenarioError
from .server import Simulator
from .settings import Settings, SettingsError, from_environment
from .store import StateError
from .witness import WitnessError

# sysexits.h
EXIT_SETTINGS = 64
EXIT_STATE = 65
EXIT_PORT = 69
EXIT_INTERNAL = 70
EXIT_SAVING = 74


async def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, or until it cannot go on; return the exit status."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop_signal, stopping.set)
    try:
        simulator = Simulator(settings)
        await simulator.start()
    except (ScenarioError, ReplayError) as error:
        print(error, file=sys.stderr)
        return EXIT_SETTINGS
    except (StateError, WitnessError) as error:
        print(error, file=sys.stderr)
        return EXIT_STATE
    except OSError as error:
        listen = f"{settings.host}:{settings.port}"
        if settings.control_port is not None:
            listen += f" or {settings.control_host}:{settings.control_port}"
        print(f"{listen}: cannot listen: {error}", file=sys.stderr)
        return EXIT_PORT
    loop.add_signal_handler(signal.SIGUSR1, simulator.faults.add, {"fault": "link"})
    loop.add_signal_handler(signal.SIGUSR2, simulator.faults.remove_all, "link")
    ends = [asyncio.create_task(event.wait()) for event in (stopping, simulator.over)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    failed = simulator.market.done()
    await simulator.stop()
    if simulator.failure is not None:
        print(simulator.failure, file=sys.stderr)
        return EXIT_SAVING
    return EXIT_INTERNAL if failed else 0


def main() -> int:
    """Return the exit status: 0 stopped, 64 environment or scenario, 65 state, 69 port, 70 unforeseen, 74 full disk."""
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_SETTINGS
    log.configure(settings.log_level)
    return asyncio.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
