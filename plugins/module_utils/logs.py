# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services of a stack and the tools around it wrote: journald's entries of all of them, merged by time."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

from .commands import CommandError
from .stack import SLOTS, Stack

SERVICES = ("gateway", "engine", "recover", "soak", "alert", "backup")
_CURSOR = "__CURSOR"
# An engine's line begins with its time, which the journal has as well.
_OWN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def read(
    stack: Stack,
    *,
    services: Sequence[str] = SERVICES,
    lines: int | None = None,
    since: str = "",
    pattern: str = "",
    follow: bool = False,
) -> Iterator[str]:
    """One line for each entry, oldest first: time, service, message.

    ``lines``: so many of the newest at most. ``since``: as journalctl has it, such as ``-15min``. ``pattern``: a
    regular expression that the message must hold. ``follow``: go on with what comes, for ever. Raises CommandError
    when journalctl cannot be run or refuses.
    """
    wanted = re.compile(pattern)
    select = _matches(stack, services)
    command = ["journalctl", "--output=json", "--all", "--no-pager", "--quiet"]
    newest: list[str] = []
    cursor = ""
    # Backwards: where few lines are wanted, and few fit, the rest of a large journal is neither read nor kept.
    past = [*command, "--reverse", *([f"--since={since}"] if since else []), *select]
    with closing(_entries(past)) as entries:
        for entry in entries:
            cursor = cursor or entry[_CURSOR]
            if lines is not None and len(newest) >= lines:
                break
            if wanted.search(_message(entry)):
                newest.append(_line(stack, entry))
    yield from reversed(newest)
    if follow:
        begin = f"--after-cursor={cursor}" if cursor else "--since=now"
        with closing(_entries([*command, "--follow", "--no-tail", begin, *select])) as entries:
            yield from (_line(stack, entry) for entry in entries if wanted.search(_message(entry)))


def _units(stack: Stack, service: str) -> list[str]:
    engines = [stack.engine_unit(slot) for slot in SLOTS]
    return {
        "gateway": [stack.gateway_unit],
        "engine": engines,
        "recover": [f"ballast-recover@{stack.name}.service"],
        "soak": [f"ballast-soak-{stack.name}.service"],
        "alert": [f"ballast-alert@{unit}.service" for unit in (stack.gateway_unit, *engines)],
    }.get(service, [])


def _backup_identifier(stack: Stack) -> str:
    return f"ballast-backup-{stack.name}"


def _matches(stack: Stack, services: Sequence[str]) -> list[str]:
    """As journalctl takes them: what the units' processes wrote, or what systemd says of the units, or ..."""
    groups: list[list[str]] = []
    for unit in (unit for service in services for unit in _units(stack, service)):
        groups += [[f"_SYSTEMD_UNIT={unit}"], [f"UNIT={unit}", "_PID=1"]]
    if "backup" in services:
        groups.append([f"SYSLOG_IDENTIFIER={_backup_identifier(stack)}"])
    return [word for group in groups for word in ("+", *group)][1:]


def _entries(command: list[str]) -> Generator[dict[str, Any], None, None]:
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise CommandError(f"journalctl cannot be run: {error}") from error
    with process:
        try:
            for text in process.stdout or ():
                yield json.loads(text)
            complaints = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
            if process.wait():
                raise CommandError(f"journalctl failed with status {process.returncode}: {complaints}")
        finally:
            process.terminate()


def _message(entry: dict[str, Any]) -> str:
    """Text that is not UTF-8 comes as a list of bytes; a field that an entry has several times as a list of texts."""
    message = entry.get("MESSAGE")
    if isinstance(message, list):
        numbers = all(isinstance(part, int) for part in message)
        message = bytes(message).decode(errors="replace") if numbers else " ".join(map(str, message))
    return _OWN_TIME.sub("", message or "", count=1) if _OWN_TIME.match(message or "") else (message or "")


def _line(stack: Stack, entry: dict[str, Any]) -> str:
    moment = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, timezone.utc)
    at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{at}  {_service(stack, entry):12}  {_message(entry)}"


def _service(stack: Stack, entry: dict[str, Any]) -> str:
    unit = entry.get("UNIT") if entry.get("_PID") == "1" else entry.get("_SYSTEMD_UNIT")
    for slot in SLOTS:
        if unit == stack.engine_unit(slot):
            return f"engine-{slot}"
    return next((service for service in SERVICES if unit in _units(stack, service)), "backup")
