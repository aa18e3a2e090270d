# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts: what a person must know now. Noted in the stack's journal and the system's log, and given to its hooks."""

from __future__ import annotations

import os
import syslog

from . import commands
from .hooks import Occasion, run_noted_hooks
from .journal import Journal, JournalError, Operator
from .releases import ReleaseStore
from .stack import SLOTS, Stack, StackError, load_stack

HOST_TOOL = "/usr/local/bin/ballast"
SANDBOXED = "BALLAST_SANDBOXED"
"""Set by the units that may do no more than their own work."""
IN_UNIT_OF_ITS_OWN = ("systemd-run", "--quiet", "--collect", "--no-block")
UNIT_OPERATOR = Operator("root", "this host")


def alert(stack: Stack, text: str, by: Operator = UNIT_OPERATOR) -> list[str]:
    """Tell whoever is to know that ``text`` is the case; returns what went wrong with that, in words.

    Never raises: who has something to tell has something else to do. Out of a unit's sandbox, in which a hook could not
    do its work, it is systemd that is told to do it, and nobody waits for the end.
    """
    problems: list[str] = []

    def say(problem: str) -> None:
        problems.append(problem)
        _log(f"stack {stack.name}: {problem}")

    if os.environ.get(SANDBOXED):
        try:
            commands.run([*IN_UNIT_OF_ITS_OWN, HOST_TOOL, "alert", f"ballast-recover@{stack.name}.service", text])
            return []
        except commands.CommandError as error:
            say(str(error))
    _log(f"stack {stack.name}: {text}")
    release = ReleaseStore(stack).link("current")
    try:
        Journal(stack).append("alert", by, text=text, release=release)
    except JournalError as error:
        say(str(error))
    occasion = Occasion("alert", release=release or "", reason=text, user=by.user, origin=by.origin)
    run_noted_hooks(stack, "on-alert", occasion, by, say)
    return problems


def stack_of_unit(unit: str) -> Stack:
    """The stack that a unit such as ``ballast-engine@paper-main-blue.service`` belongs to. Raises StackError."""
    name = unit.partition("@")[2].removesuffix(".service")
    if unit.startswith("ballast-engine@"):
        name, _dash, slot = name.rpartition("-")
        name = name if slot in SLOTS else ""
    if not unit.startswith("ballast-") or not name:
        raise StackError(f"{unit!r} is no unit of a stack; wanted one such as ballast-gateway@paper-main.service")
    return load_stack(name)


def failure_of_unit(unit: str) -> str:
    """How a unit has failed, in words. Never raises.

    systemd tells it to what it starts for the failure (MONITOR_*, see systemd.exec(5)): the unit itself may run again.
    """
    try:
        state = commands.unit(unit)
    except commands.CommandError as error:
        return f"{unit} failed ({error})"
    result = os.environ.get("MONITOR_SERVICE_RESULT") or state["Result"]
    status = os.environ.get("MONITOR_EXIT_STATUS") or state["ExecMainStatus"]
    how = f"result {result}" + (f", status {status}" if status not in ("", "0") else "")
    if state["ActiveState"] not in ("failed", "inactive"):
        return f"{unit} failed and is started again ({how})"
    said = f": {state['StatusText']}" if state["StatusText"] else ""
    return f"{unit} failed and is not started again ({how}){said}"


def _log(text: str) -> None:
    syslog.openlog("ballast", 0, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_CRIT, text.replace("\0", ""))
