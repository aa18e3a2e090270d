# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host tool remembers of a stack between two of its runs: a switch under way, and a soak.

Each is a small JSON file in ``Stack.control``, replaced in one step and on disk when writing returns, so that whoever
comes next, after a kill or a power cut, knows what was about to be done.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .host_files import sync_directory, write_atomically
from .stack import Stack


@dataclass(frozen=True)
class Switch:
    """A switch under way: what it wants, what there was before it, and the step it was about to take.

    ``old`` and ``new`` are slots, ``old`` None where nothing ran. ``links`` are the release links before. ``stopped``
    are the units that had been stopped by somebody. ``keeps_gateway``: the gateway's session is left alone, and its
    account was seen before anything was touched.
    """

    target: str
    strategy: str
    old: str | None
    new: str
    links: dict[str, str | None]
    stopped: list[str]
    keeps_gateway: bool
    began_at: str
    step: str


@dataclass(frozen=True)
class Soak:
    """The old slot after a switch: it stays as a hot standby of its release until the epoch second ``until``."""

    slot: str
    release: str
    until: float


def read_switch(stack: Stack) -> Switch | None:
    """The switch that is under way or was interrupted, or None. Raises ValueError when its record is damaged."""
    document = _read(_switch_path(stack))
    try:
        return Switch(**document) if document is not None else None
    except TypeError as error:
        raise ValueError(f"{_switch_path(stack)} is damaged: {error}") from error


def write_switch(stack: Stack, switch: Switch, step: str) -> Switch:
    """Record that ``step`` is about to be taken."""
    switch = replace(switch, step=step)
    _write(_switch_path(stack), asdict(switch))
    return switch


def forget_switch(stack: Stack) -> None:
    _remove(_switch_path(stack))


def read_soak(stack: Stack) -> Soak | None:
    """The soak under way, or None. A damaged record is none: then the slot is one that should not run."""
    try:
        document = _read(_soak_path(stack))
        return Soak(**document) if document is not None else None
    except (TypeError, ValueError):
        return None


def write_soak(stack: Stack, soak: Soak) -> None:
    _write(_soak_path(stack), asdict(soak))


def forget_soak(stack: Stack) -> None:
    _remove(_soak_path(stack))


def _switch_path(stack: Stack) -> Path:
    return stack.control / "switch.json"


def _soak_path(stack: Stack) -> Path:
    return stack.control / "soak.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} is damaged: it is not a JSON object")
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    write_atomically(path, json.dumps(document, indent=2).encode() + b"\n", mode=0o640)


def _remove(path: Path) -> None:
    if path.exists():
        path.unlink()
        sync_directory(path.parent)
