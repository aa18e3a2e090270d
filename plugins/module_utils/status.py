# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack is doing, in one document: release, session with the broker, engine, ledger, backup, units."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

from . import commands, ib_api, lease
from .activation import Activator
from .books import last_known
from .change import lock_path
from .control import read_soak, read_switch
from .hold import held
from .manifest import list_backups
from .readiness import Readiness, gateway_session
from .releases import ReleaseError
from .stack import SLOTS, Stack

# More stacks than this side by side are wider than a screen.
MOST_COLUMNS = 2
_ROW_HEADINGS = (
    "host",
    "stack",
    "environment",
    "release",
    "slot",
    "engine",
    "open orders",
    "positions",
    "healthy",
)
SCHEMA = 1
"""Rises when a field of the document changes its meaning or goes. Fields may be added at any time."""


def stack_status(stack: Stack) -> dict[str, Any]:
    """The status document of a stack. Never raises for a stack that is down: the document says so.

    ``healthy`` is true when gateway and engine run, the session is the release's account, and the engine trades.
    """
    activator = Activator(stack)
    slot = activator.active_slot()
    with ThreadPoolExecutor(max_workers=3) as pool:
        gateway = pool.submit(_gateway, activator)
        engine = pool.submit(_engine, activator, slot)
        units = pool.submit(_units, stack, slot)
    answer = engine.result()
    states, strays = units.result()
    data, orders, ledger = (_part(answer.document, name) for name in ("data", "orders", "ledger"))
    positions = answer.document.get("positions")
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "stack": stack.name,
        "host": socket.gethostname(),
        "environment": stack.environment,
        "release": activator.store.link("current"),
        "previous": activator.store.link("previous"),
        "slot": slot,
        "gateway": gateway.result(),
        "engine": {
            "role": answer.document.get("role", "down"),
            "healthy": answer.ready,
            "message": answer.message,
            "last_tick_age_seconds": data.get("last_tick_age_seconds"),
            "open_orders": orders.get("open"),
            "positions": positions if isinstance(positions, dict) else None,
        },
        "halt": _halt(stack, answer),
        "ledger": ledger,
        "lease": lease.describe(stack),
        "standby": _standby(activator),
        "switch": _switch(stack),
        "last_backup": _last_backup(stack),
        "units": states,
        "strays": strays,
    }
    in_session = document["gateway"]["state"] == "in session"
    running = all(states[unit] == "active" for unit in _needed_units(stack, slot))
    trades = answer.ready and answer.role in (None, "trading")
    interrupted = bool(document["switch"] and document["switch"]["interrupted"])
    document["healthy"] = in_session and trades and running and not strays and not interrupted
    return document


def _gateway(activator: Activator) -> dict[str, Any]:
    release_id = activator.store.link("active/gateway")
    if release_id is None:
        return {"state": "absent", "message": "no release is active"}
    try:
        probe = activator.store.get(release_id).service("gateway")["probe"]
        session = gateway_session(probe, 5.0)
    except (ReleaseError, OSError, ValueError, KeyError, ib_api.IbApiError) as error:
        return {"state": "no session", "message": str(error)}
    time = datetime.fromtimestamp(session.current_time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "state": "in session" if probe["account"] in session.accounts else "wrong account",
        "account": probe["account"],
        "accounts": session.accounts,
        "server_version": session.server_version,
        "time": time,
    }


def _engine(activator: Activator, slot: str | None) -> Readiness:
    if slot is None:
        return Readiness(alive=False, ready=False, message="no release is active")
    return activator.services.probe_engine(slot)


def _halt(stack: Stack, answer: Readiness) -> str | None:
    """Why nothing may trade. An engine that answers has just asked the ledger; without one we do."""
    if hold := held(stack):
        return hold
    if not answer.document:
        known = last_known(stack)
        return known.halt if known else None
    halt = _part(_part(answer.document, "trading"), "blocked_by").get("halt")
    return None if halt is None else str(halt)


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of what an engine says of itself; empty where it says something else than the contract asks."""
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _standby(activator: Activator) -> dict[str, Any] | None:
    """The old slot of the last switch, while it stays as a hot standby."""
    soak = read_soak(activator.stack)
    if soak is None:
        return None
    until = datetime.fromtimestamp(soak.until, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    role = activator.services.probe_engine(soak.slot).role or "down"
    return {"slot": soak.slot, "release": soak.release, "until": until, "role": role}


def _switch(stack: Stack) -> dict[str, Any] | None:
    """A switch that is under way, or was interrupted and is not mended yet."""
    interrupted = not lease.is_locked(lock_path(stack))
    try:
        switch = read_switch(stack)
    except ValueError as error:
        return {"release": None, "step": str(error), "began_at": None, "interrupted": interrupted}
    if switch is None:
        return None
    return {
        "release": switch.target,
        "step": switch.step,
        "began_at": switch.began_at,
        "interrupted": interrupted,
    }


def _units(stack: Stack, slot: str | None) -> tuple[dict[str, str], list[str]]:
    """States of the units that should run, and which of them should not though they do: they may be trading."""
    needed = _needed_units(stack, slot)
    soak, switch = read_soak(stack), _switch(stack)
    allowed = [*needed, *([stack.engine_unit(soak.slot)] if soak else [])]
    engines = [stack.engine_unit(each) for each in SLOTS]
    states = {unit: commands.unit(unit)["ActiveState"] for unit in dict.fromkeys([*allowed, *engines])}
    shown = {unit: state for unit, state in states.items() if unit in needed or state not in ("inactive", "failed")}
    under_way = switch is not None and not switch["interrupted"]
    return shown, [] if under_way else [unit for unit in shown if unit not in allowed]


def _needed_units(stack: Stack, slot: str | None) -> list[str]:
    return [stack.gateway_unit, *([stack.engine_unit(slot)] if slot else [])]


def lease_status(stack: Stack) -> dict[str, Any]:
    """Who has the right to trade: by ``active/trading``, by the lease, and by what both engines say."""
    activator = Activator(stack)
    answers = {slot: activator.services.probe_engine(slot) for slot in SLOTS}
    return {
        "stack": stack.name,
        "slot": activator.active_slot(),
        **lease.describe(stack),
        "engines": {slot: answer.role or ("up" if answer.alive else "down") for slot, answer in answers.items()},
    }


def lease_table(document: dict[str, Any]) -> str:
    """A lease document in lines for people."""
    rows = {
        "may trade": f"slot {document['slot']}" if document["slot"] else "no slot",
        "lease": _lease(document),
        **{f"engine {slot}": role for slot, role in document["engines"].items()},
    }
    return "\n".join(f"{name.ljust(12)}   {value}" for name, value in rows.items())


def _last_backup(stack: Stack) -> dict[str, Any] | None:
    """The newest snapshot of the ledger whose files fit their manifest."""
    newest = next((backup for backup in list_backups(stack.backups) if backup.problem is None), None)
    if newest is None:
        return None
    age = datetime.now(timezone.utc) - newest.created_at
    return {
        "created_at": newest.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "age_seconds": round(age.total_seconds()),
    }


def status_table(documents: list[dict[str, Any]], silent: Mapping[str, str] | None = None) -> str:
    """Status documents as a table. ``silent`` maps hosts that gave no document to the reason.

    Few stacks have a column each, with a row per fact. Many, and those of a host that is silent, have a row each.
    """
    if silent or len(documents) > MOST_COLUMNS:
        rows = [_ROW_HEADINGS, *(_row(document) for document in documents)]
        rows += [(host, *["?"] * (len(_ROW_HEADINGS) - 2), f"NO: {why}") for host, why in (silent or {}).items()]
        return aligned(rows)
    columns = [_column(document) for document in documents]
    return aligned([(fact, *(column[fact] for column in columns)) for fact in (columns[0] if columns else ())])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of as many cells each, as lines in which the cells of a column begin below each other."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _row(status: dict[str, Any]) -> tuple[str, ...]:
    gateway, engine = status["gateway"], status["engine"]
    faults = []
    if gateway["state"] != "in session":
        faults.append(f"gateway: {gateway['state']}")
    if not engine["healthy"]:
        faults.append(f"engine: {engine['message']}")
    strays = status["strays"]
    faults += [f"{unit} {state}" for unit, state in status["units"].items() if state != "active" and unit not in strays]
    faults += [f"{unit} should not run" for unit in strays]
    return (
        status["host"],
        status["stack"],
        status["environment"],
        status["release"] or "none",
        status["slot"] or "none",
        engine["role"] + (" (halted)" if status["halt"] else ""),
        _known(engine["open_orders"]),
        _positions(engine["positions"]),
        "yes" if status["healthy"] else f"NO: {'; '.join(faults)}",
    )


def _column(status: dict[str, Any]) -> dict[str, str]:
    gateway, engine = status["gateway"], status["engine"]
    if "accounts" in gateway:
        session = f"{', '.join(gateway['accounts'])}, server version {gateway['server_version']}, {gateway['time']}"
        if gateway["state"] != "in session":
            session = f"{gateway['state']}: {session}; wanted {gateway['account']}"
    else:
        session = f"{gateway['state']}: {gateway['message']}"
    tick_age = engine["last_tick_age_seconds"]
    rows = _part(status["ledger"], "rows")
    backup = status["last_backup"]
    return {
        "stack": f"{status['stack']} on {status['host']}",
        "environment": status["environment"],
        "release": status["release"] or "none",
        "slot": status["slot"] or "none",
        "gateway session": session,
        "engine role": engine["role"] if engine["healthy"] else f"{engine['role']} ({engine['message']})",
        "halt": status["halt"] or "none",
        "last tick": "none" if tick_age is None else f"{_formatted(tick_age, '.1f')} s ago",
        "open orders": _known(engine["open_orders"]),
        "positions": _positions(engine["positions"]),
        "ledger rows": ", ".join(f"{count} {table}" for table, count in rows.items()) or "unknown",
        "lease": _lease(status["lease"]),
        "standby": _hot(status["standby"]),
        "last backup": "never" if backup is None else f"{backup['created_at']} ({_age(backup['age_seconds'])} ago)",
        "units": ", ".join(
            f"{name.removesuffix('.service')} {state}" + (" BUT SHOULD NOT RUN" if name in status["strays"] else "")
            for name, state in status["units"].items()
        ),
        "switch": _under_way(status["switch"]),
        "healthy": "yes" if status["healthy"] else "NO",
    }


def _lease(document: dict[str, Any]) -> str:
    holder = document["holder"]
    held = "nobody" if holder is None else f"{holder.get('slot', 'somebody')} since {holder.get('since', 'unknown')}"
    token = f"token {document['token']} of {document['owner']}" if document["token"] else "no token yet"
    return f"held by {held}; {token}"


def _hot(standby: dict[str, Any] | None) -> str:
    if standby is None:
        return "none"
    return f"slot {standby['slot']} ({standby['role']}), release {standby['release']}, until {standby['until']}"


def _under_way(switch: dict[str, Any] | None) -> str:
    if switch is None:
        return "none"
    word = "INTERRUPTED" if switch["interrupted"] else "under way"
    return f"to {switch['release']}, {word} at step {switch['step']!r}, begun {switch['began_at']}"


def _positions(positions: dict[str, Any] | None) -> str:
    if positions is None:  # which is not the same as flat
        return "unknown"
    return ", ".join(f"{name} {_formatted(held, 'g')}" for name, held in sorted(positions.items())) or "none"


def _known(value: Any) -> str:
    return "unknown" if value is None else str(value)


def _formatted(value: Any, spec: str) -> str:
    return format(value, spec) if isinstance(value, (int, float)) else str(value)


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
