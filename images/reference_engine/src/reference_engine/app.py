# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program: check everything, take the lease, trade until SIGTERM, give everything back."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from . import config, control, log
from .config import ConfigurationError, Deployment, EngineConfig
from .engine import EXIT_INTERNAL_ERROR, Engine
from .gateway import GatewayAddress, IbLink
from .lease import Lease, LeaseHeldError
from .ledger import Ledger, LedgerSchemaError

# From sysexits.h, as the engine contract has them.
EXIT_CONFIGURATION = 64
EXIT_LEDGER = 65
EXIT_LEASE_HELD = 69


def main(environment: Mapping[str, str]) -> int:
    """Run the engine to its end and return the exit code."""
    try:
        deployment, engine_config = config.load(
            environment, Path(environment.get("BALLAST_CONFIG", config.DEFAULT_CONFIG_PATH))
        )
    except ConfigurationError as error:
        for problem in error.problems:
            _complain(f"configuration error: {problem}")
        return EXIT_CONFIGURATION
    log.configure(engine_config.log_level)
    try:
        # The ledger is opened and closed inside the lease: closing it writes, and the next holder writes too.
        with Lease(deployment) as lease, _opened(deployment) as ledger:
            lease.raise_token(0)
            return asyncio.run(_run(deployment, engine_config, ledger))
    except LedgerSchemaError as error:
        _complain(str(error))
        return EXIT_LEDGER
    except LeaseHeldError as error:
        _complain(str(error))
        return EXIT_LEASE_HELD
    except Exception as error:  # noqa: BLE001 the last resort: the log says what happened
        log.error("internal_error", traceback=True, reason=f"{type(error).__name__}: {error}")
        return EXIT_INTERNAL_ERROR


@contextlib.contextmanager
def _opened(deployment: Deployment) -> Iterator[Ledger]:
    ledger = Ledger(deployment)
    try:
        yield ledger
    finally:
        try:
            ledger.close()
        except sqlite3.Error as error:
            log.error("ledger_close_failed", reason=error)


async def _run(deployment: Deployment, engine_config: EngineConfig, ledger: Ledger) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    link = IbLink(
        GatewayAddress(deployment.gateway_host, deployment.gateway_port),
        deployment.client_id,
        deployment.account,
        engine_config.link,
    )
    engine = Engine(deployment, engine_config, ledger, link)
    async with control.serve(deployment.socket, engine):
        return await engine.run(stop)


def _complain(text: str) -> None:
    sys.stderr.write(f"reference_engine: {text}\n")
