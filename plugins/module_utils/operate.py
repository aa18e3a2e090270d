# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts and stops a stack as it is: no release changes. What a person stopped stays so over a reboot, until it is
started, or deployed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from . import books, commands
from .activation import Activator
from .books import spoken
from .change import ORDINARY, ChangeFailed, ChangeRefused, Permit, change
from .control import read_switch
from .emergency import halt_of
from .hold import held
from .journal import Operator
from .services import NotHealthy, NotStopped
from .stack import SLOTS, Stack, StackError

Say = Callable[[str], None]


@dataclass
class Operation:
    """What was done. ``orders_left``, ``positions_left``: by the ledger, after a stop; None where it cannot be read."""

    changed: bool
    steps: list[str] = field(default_factory=list)
    orders_left: list[str] | None = None
    positions_left: dict[str, float] | None = None


def is_started(stack: Stack) -> bool:
    """Whether gateway and engine run healthy, and would run again after a reboot."""
    activator = Activator(stack)
    slot = activator.active_slot()
    units = [stack.gateway_unit, stack.engine_unit(slot)] if slot else []
    if slot is None or not all(_is(unit, ("active",), "enabled") for unit in units):
        return False
    try:
        return activator.services.probe_engine(slot).ready
    except StackError:
        return False


def is_stopped(stack: Stack, gateway: bool) -> bool:
    """Whether no engine runs or would run after a reboot; with ``gateway`` that one neither."""
    units = [stack.engine_unit(slot) for slot in SLOTS] + ([stack.gateway_unit] if gateway else [])
    return all(_is(unit, ("inactive", "failed"), "disabled") for unit in units)


def start(stack: Stack, by: Operator, *, say: Say, permit: Permit = ORDINARY) -> Operation:
    """Start the gateway, then the engine of the slot with the right to trade, each until it is healthy.

    Raises ChangeFailed; then no engine runs. ChangeRefused, StackError, ReleaseError.
    """
    steps, note = _steps(say)
    activator = Activator(stack, say=note, by=by)
    store, services = activator.store, activator.services
    slot = activator.active_slot()
    gateway, release = store.linked("active/gateway"), store.linked(f"active/{slot}")
    if slot is None or gateway is None or release is None:
        raise ChangeFailed(f"stack {stack.name} has no release to start: deploy it, or activate a release")
    if reason := held(stack):
        raise ChangeRefused(reason)
    for one in (gateway, release):
        store.verify(one)
    if is_started(stack):
        return Operation(False)
    with change(stack, "start", by, say=note, release=release.id, permit=permit) as act:
        began = time.time()
        try:
            # Enabled from the beginning: who wants it to run wants that after a power cut too.
            commands.systemctl("enable", "--quiet", stack.gateway_unit, stack.engine_unit(slot))
            if commands.unit(stack.gateway_unit)["ActiveState"] != "active":
                services.replace_gateway(gateway)
            services.guard_account(gateway)
            if commands.unit(stack.engine_unit(slot))["ActiveState"] != "active":
                services.launch_engine(slot)
            services.await_engine(slot, "trading", began)
        except (NotHealthy, NotStopped, commands.CommandError, KeyboardInterrupt) as error:
            raise _not_started(activator, slot, error) from error
        note(f"release {release.id} runs in slot {slot}")
        if halt := halt_of(stack):
            note(f"it trades nothing: {halt}; `ballast resume {stack.name} --reason TEXT` lifts that")
        act.text = steps[-1]
    return Operation(True, steps)


def stop(stack: Stack, by: Operator, *, say: Say, permit: Permit = ORDINARY, gateway: bool = False) -> Operation:
    """Stop the engine, which drains, prove it, and let it not come back with a reboot; then the ``gateway``, if asked.

    Positions stay open. Raises ChangeFailed when a service cannot be proven to have stopped, ChangeRefused.
    """
    steps, note = _steps(say)
    activator = Activator(stack, say=note, by=by)
    if is_stopped(stack, gateway):
        return Operation(False)
    if read_switch(stack) is not None:
        activator.recover()
    with change(stack, "stop", by, say=note, permit=permit, urgent=True) as act:
        units = [stack.engine_unit(slot) for slot in SLOTS] + ([stack.gateway_unit] if gateway else [])
        # First: a power cut in the middle must not bring back what a person wanted to end.
        commands.systemctl("disable", "--quiet", *units)
        try:
            activator.end_soak()
            for slot in SLOTS:
                activator.services.stop_engine(slot)
            if gateway:
                activator.services.stop_gateway()
        except NotStopped as error:
            raise ChangeFailed(f"stack {stack.name} was not stopped: {error}") from error
        left = books.last_known(stack)
        orders, positions = (left.orders, left.positions) if left else (None, None)
        note(f"open orders left: {spoken(orders)}; positions left: {spoken(positions)}")
        act.text = steps[-1]
    return Operation(True, steps, orders, positions)


def _not_started(activator: Activator, slot: str, error: BaseException) -> ChangeFailed:
    """Leave it as a stopped stack, but for the gateway: its session may have cost somebody a login."""
    reason = "it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    log = "\n".join(f"  | {line}" for line in error.log) if isinstance(error, NotHealthy) else ""
    now = "no engine runs"
    try:
        commands.systemctl("disable", "--quiet", activator.stack.engine_unit(slot))
        activator.services.stop_engine(slot)
        commands.forget_failures(activator.stack.engine_unit(slot))
    except (NotStopped, commands.CommandError) as worse:
        now = f"AN ENGINE MAY RUN: {worse}"
    said = f"\nits last log lines:\n{log}" if log else ""
    return ChangeFailed(f"stack {activator.stack.name} was not started: {reason}{said}\nnow: {now}")


def _is(unit: str, states: tuple[str, ...], at_boot: str) -> bool:
    seen = commands.unit(unit)
    return (
        seen["ActiveState"] in states
        and not seen["Job"]
        and (seen["UnitFileState"] == "enabled") == (at_boot == "enabled")
    )


def _steps(say: Say) -> tuple[list[str], Say]:
    steps: list[str] = []

    def note(text: str) -> None:
        steps.append(text)
        say(text)

    return steps, note
