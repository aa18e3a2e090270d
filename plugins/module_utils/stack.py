# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack on this host: its identity (``stack.json``) and where everything it owns lives."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SLOTS = ("blue", "green")
ENVIRONMENTS = ("dev", "paper", "live")
SOAK_SECONDS = 900
NAME = re.compile(r"(?!.*-(?:blue|green)$)[a-z][a-z0-9-]{0,30}")


class StackError(Exception):
    """A stack is unknown or cannot be one, or its description on this host is missing or damaged."""


@dataclass(frozen=True)
class Stack:
    """One broker account in one mode, as this host knows it.

    ``root`` is the file system the paths are taken from: ``/``, or a scratch directory in tests; ``closed_windows`` are
    documents as module windows has them. Raises StackError for what cannot be a name.
    """

    name: str
    environment: str
    releases_keep: int
    root: Path = Path("/")
    closed_windows: Sequence[Mapping[str, Any]] = ()
    soak_seconds: int = SOAK_SECONDS

    def __post_init__(self) -> None:
        # The name becomes part of paths that are removed: of `..` that would be all of /opt.
        if not NAME.fullmatch(self.name):
            raise StackError(
                f"{self.name!r} cannot be the name of a stack; wanted 1 to 31 lower-case letters, digits and dashes,"
                " a letter first, not ending in -blue or -green, such as paper-main"
            )

    @property
    def etc(self) -> Path:
        return self.root / "etc/ballast" / self.name

    @property
    def opt(self) -> Path:
        return self.root / "opt/ballast" / self.name

    @property
    def run(self) -> Path:
        return self.root / "run/ballast" / self.name

    @property
    def secrets(self) -> Path:
        """Settings of an engine with its secrets among them, made when it starts. Not in ``run``, which it owns."""
        return self.run.with_name(f"{self.name}.secrets")

    @property
    def state(self) -> Path:
        return self.root / "var/lib/ballast" / self.name

    @property
    def control(self) -> Path:
        """What this tool remembers of the stack: root's own, out of the engine's reach."""
        return self.state / "control"

    @property
    def ledger(self) -> Path:
        return self.state / "ledger" / "trades.db"

    @property
    def engine(self) -> Path:
        """What an engine that does not keep the contract writes; it owns the folder."""
        return self.state / "engine"

    @property
    def lease(self) -> Path:
        """The engine's folder: root only reads there, and writes a token by the contract's rule."""
        return self.state / "lease"

    @property
    def backups(self) -> Path:
        return self.root / "var/backups/ballast" / self.name

    @property
    def journal(self) -> Path:
        return self.root / "var/log/ballast" / self.name / "journal.jsonl"

    def socket(self, slot: str) -> Path:
        return self.run / f"{slot}.sock"

    @property
    def gateway_unit(self) -> str:
        return f"ballast-gateway@{self.name}.service"

    def engine_unit(self, slot: str) -> str:
        return f"ballast-engine@{self.name}-{slot}.service"

    @property
    def recover_unit(self) -> str:
        return f"ballast-recover@{self.name}.service"

    @property
    def soak_unit(self) -> str:
        """The transient timer that ends a soak, without its suffix."""
        return f"ballast-soak-{self.name}"


def load_stack(name: str, root: Path = Path("/")) -> Stack:
    """The stack called ``name``; raises StackError that lists the stacks that do exist."""
    path = root / "etc/ballast" / name / "stack.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["stack"] != name:
            raise ValueError(f"it describes stack {document['stack']!r}")
        return Stack(
            name=document["stack"],
            environment=document["environment"],
            releases_keep=int(document["releases"]["keep"]),
            soak_seconds=int(document.get("soak_seconds", SOAK_SECONDS)),
            root=root,
            closed_windows=tuple(document.get("closed_windows", [])),
        )
    except FileNotFoundError:
        known = ", ".join(stack_names(root)) or "none"
        raise StackError(
            f"stack {name!r} does not exist on this host ({path} is missing); stacks here: {known}"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise StackError(
            f"{path} is damaged ({type(error).__name__}: {error}); deploy the stack again to restore it"
        ) from error


def stack_names(root: Path = Path("/")) -> list[str]:
    """Names of the stacks deployed on this host, sorted."""
    return sorted(path.parent.name for path in (root / "etc/ballast").glob("*/stack.json"))
