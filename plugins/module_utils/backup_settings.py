# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a stack is backed up: ``/etc/ballast/<stack>/backup.json``, which role backup_cron writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .archive import PARTS
from .manifest import KEEP_DAYS
from .stack import Stack, StackError


@dataclass(frozen=True)
class BackupSettings:
    """`recipient` is the public key of age, None for no encryption; `keep_days` is by class of backup.

    `paths` go into archives too. `stores` say where copies go; what they hold is in :mod:`stores`.
    """

    recipient: str | None = None
    parts: Sequence[str] = PARTS
    paths: Sequence[Path] = ()
    keep_days: Mapping[str, int] = field(default_factory=lambda: dict(KEEP_DAYS))
    stores: Sequence[Mapping[str, Any]] = ()


def load_settings(stack: Stack) -> BackupSettings:
    """The settings of a stack, the defaults where it has none; StackError when they cannot be understood."""
    path = stack.etc / "backup.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return BackupSettings(
            recipient=document.get("recipient") or None,
            parts=tuple(document.get("parts", PARTS)),
            paths=tuple(map(Path, document.get("paths", ()))),
            keep_days={**KEEP_DAYS, **{str(name): int(days) for name, days in document.get("keep_days", {}).items()}},
            stores=tuple(dict(store) for store in document.get("stores", ())),
        )
    except FileNotFoundError:
        return BackupSettings()
    except (AttributeError, TypeError, ValueError) as error:
        raise StackError(
            f"{path} is damaged ({type(error).__name__}: {error}); deploy the stack again to restore it"
        ) from error
