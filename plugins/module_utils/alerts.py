# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts: what a person must know now. Noted in the stack's journal and the system's log, and given to its hooks."""

from __future__ import annotations

import syslog

from . import commands
from .hooks import Occasion, run_noted_hooks
from .journal import Journal, JournalError, Operator
from .releases import ReleaseStore
from .stack import SLOTS, Stack, StackError, load_stack

HOST_TOOL = "/usr/local/bin/ballast"
UNIT_OPERATOR = Operator("root", "this host")


def alert(stack: Stack, text: str, by: Operator = UNIT_OPERATOR) -> list[str]:
    """Tell whoever is to know that ``text`` is the case; returns what went wrong with that, in words.

    Never raises: who has something to tell has something else to do.
    """
    problems: list[str] = []

    def say(problem: str) -> None:
        problems.append(problem)
        _log(f"stack {stack.name}: {problem}")

    _log(f"stack {stack.name}: {text}")
    release = ReleaseStore(stack).link("current")
    try:
        Journal(stack).append("alert", by, text=text, release=release)
    except JournalError as error:
        say(str(error))
    occasion = Occasion("alert", release=release or "", reason=text, user=by.user, origin=by.origin)
    run_noted_hooks(stack, "on-alert", occasion, by, say)
    return problems


def alert_from_unit(unit: str, text: str) -> None:
    """Have systemd call alert(): out of a unit's sandbox, in which a hook could not do its work, and without waiting.

    Raises CommandError.
    """
    commands.run(["systemd-run", "--quiet", "--collect", "--no-block", HOST_TOOL, "alert", unit, text])


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
    """How a unit has failed, in words. Never raises."""
    try:
        state = commands.unit(unit)
    except commands.CommandError as error:
        return f"{unit} failed ({error})"
    status = f", status {state['ExecMainStatus']}" if state["ExecMainStatus"] not in ("", "0") else ""
    said = f": {state['StatusText']}" if state["StatusText"] else ""
    return f"{unit} failed and is not started again (result {state['Result']}{status}){said}"


def _log(text: str) -> None:
    syslog.openlog("ballast", 0, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_CRIT, text.replace("\0", ""))
