# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program: the engine when it is given no command, and the commands beside it."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import http.client
import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import config, control, log
from .config import ConfigurationError, Deployment, EngineConfig
from .engine import EXIT_INTERNAL_ERROR
from .flatten import flatten
from .gateway import GatewayAddress, IbLink, IbWatch
from .lease import LeaseHeldError, read_token
from .ledger import Ledger, LedgerSchemaError, look
from .slot import Slot

# From sysexits.h, as the engine contract has them.
EXIT_DONE = 0
EXIT_CONFIGURATION = 64
EXIT_LEDGER = 65
EXIT_LEASE_HELD = 69
EXIT_NOT_FLAT = 75


def main(environment: Mapping[str, str], arguments: Sequence[str] = ()) -> int:
    """Run the engine to its end, or one command, and return the exit code."""
    given = _parser().parse_args(arguments)
    command: Callable[[Mapping[str, str], argparse.Namespace], int] = given.run
    try:
        return command(environment, given)
    except ConfigurationError as error:
        for problem in error.problems:
            _complain(f"configuration error: {problem}")
        return EXIT_CONFIGURATION
    except LedgerSchemaError as error:
        _complain(str(error))
        return EXIT_LEDGER
    except LeaseHeldError as error:
        _complain(str(error))
        return EXIT_LEASE_HELD
    except Exception as error:  # noqa: BLE001 the last resort: the log says what happened
        log.error("internal_error", traceback=True, reason=f"{type(error).__name__}: {error}")
        return EXIT_INTERNAL_ERROR


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        _complain(message)
        sys.exit(EXIT_CONFIGURATION)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m reference_engine", description="Runs the engine; with a command, only that.")
    parser.set_defaults(run=_engine)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)

    def add(
        name: str, run: Callable[[Mapping[str, str], argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    def add_who(command: argparse.ArgumentParser) -> None:
        command.add_argument("--reason", required=True, type=_text, help="why; it is recorded")
        command.add_argument(
            "--requested-by", default=_who(), type=_text, help="who; it is recorded (now: %(default)s)"
        )

    command = add("flatten", _flatten, "Halt trading, cancel every order and close every position of the account.")
    add_who(command)
    command.add_argument("--timeout", type=_seconds, default=60.0, help="seconds until it gives up (%(default)g)")
    command.add_argument("--json", action="store_true", help="report in JSON")
    command = add("resume", _resume, "Lift the halt of the account: the engine that holds the lease trades again.")
    add_who(command)
    command = add("status", _status, "Show the lease, the trading state and the engine of this slot.")
    command.add_argument("--json", action="store_true", help="show it in JSON")
    return parser


def _text(value: str) -> str:
    if not value.strip():
        raise argparse.ArgumentTypeError("wanted a text")
    return value


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{value!r}: wanted seconds above 0, at most 3600")
    return seconds


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user has a number only
        return f"user {os.getuid()}"


# -- the engine


def _engine(environment: Mapping[str, str], _: argparse.Namespace) -> int:
    deployment, engine_config = config.load(
        environment, Path(environment.get("BALLAST_CONFIG", config.DEFAULT_CONFIG_PATH))
    )
    log.configure(engine_config.log_level)
    return asyncio.run(_run(deployment, engine_config))


async def _run(deployment: Deployment, engine_config: EngineConfig) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    address = GatewayAddress(deployment.gateway_host, deployment.gateway_port)
    slot = Slot(
        deployment,
        engine_config,
        lambda: IbLink(address, deployment.client_id, deployment.account, engine_config.link),
        lambda: IbWatch(address, deployment.standby_client_id, deployment.account, engine_config.link),
    )
    async with control.serve(deployment.socket, slot):
        return await slot.run(stop)


# -- the commands


def _flatten(environment: Mapping[str, str], given: argparse.Namespace) -> int:
    deployment = config.load_deployment(environment)
    log.configure("warning", sys.stderr)
    report = asyncio.run(flatten(deployment, given.reason, given.requested_by, given.timeout))
    print(json.dumps(report.document(), indent=2) if given.json else report.text())
    return EXIT_DONE if report.flat else EXIT_NOT_FLAT


def _resume(environment: Mapping[str, str], given: argparse.Namespace) -> int:
    deployment = config.load_deployment(environment)
    log.configure("warning", sys.stderr)
    ledger = Ledger(deployment)
    try:
        halt = ledger.resume(given.reason, given.requested_by)
    finally:
        ledger.close()
    print(f"account {deployment.account}: " + (f"the halt is lifted; it was: {halt}" if halt else "it was not halted"))
    return EXIT_DONE


def _status(environment: Mapping[str, str], given: argparse.Namespace) -> int:
    deployment = config.load_deployment(environment)
    log.configure("warning", sys.stderr)
    document = _gather_status(deployment)
    if given.json:
        print(json.dumps(document, indent=2))
        return EXIT_DONE
    lease, engine = document["lease"], document["engine"]
    print(
        f"lease     token {lease['token']}, {lease['owner']}, since {lease['since']}"
        if lease
        else "lease     never taken"
    )
    print(f"trading   {document['trading']}")
    print(
        f"engine    {engine['role']}: {engine['status']}" if engine else f"engine    no answer on {deployment.socket}"
    )
    if engine and engine.get("output"):
        print(f"          {engine['output']}")
    return EXIT_DONE


def _gather_status(deployment: Deployment) -> dict[str, Any]:
    try:
        token = read_token(deployment.lease_dir)
        lease = vars(token) if token else None
    except (OSError, ValueError) as error:
        lease = {"token": None, "owner": str(error), "since": None}
    try:
        halt = look(deployment).halt
        trading = f"halted: {halt}" if halt else "not halted"
    except (LedgerSchemaError, sqlite3.Error) as error:
        trading = f"unknown: {error}"
    return {"account": deployment.account, "lease": lease, "trading": trading, "engine": _ask_health(deployment.socket)}


def _ask_health(path: Path) -> dict[str, Any] | None:
    connection = http.client.HTTPConnection("engine", timeout=3)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(3)
        connection.sock.connect(str(path))
        connection.request("GET", "/health")
        document: dict[str, Any] = json.loads(connection.getresponse().read())
        return document
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _complain(text: str) -> None:
    sys.stderr.write(f"reference_engine: {text}\n")
