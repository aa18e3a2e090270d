# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker's state on disk: one JSON file, always whole."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

SCHEMA = 1

_logger = logging.getLogger(__name__)


class StateError(Exception):
    """A state file exists but cannot be used; starting without it would forget orders and positions."""


class Store:
    """Keeps the state in ``path``, or in memory only when ``path`` is None."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def at(cls, path: Path | None) -> Store:
        """Return a store for ``path``; without a directory that can be written, one in memory, and a log line."""
        if path is not None and not os.access(path.parent, os.W_OK):
            _logger.warning(
                "state is kept in memory only", extra={"path": str(path), "reason": "no writable directory"}
            )
            return cls(None)
        return cls(path)

    def beside(self, suffix: str) -> Path | None:
        """Return the path of a file of this name's own beside the state, None for a store in memory."""
        return None if self._path is None else self._path.with_name(f"{self._path.stem}.{suffix}")

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, None when there is none. Raises StateError when the file is not of this schema."""
        if self._path is None or not self._path.exists():
            return None
        try:
            document: object = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StateError(f"{self._path}: cannot be read ({error}); move it away to start afresh") from error
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise StateError(f"{self._path}: not a state of schema {SCHEMA}; move it away to start afresh")
        return document

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state; a reader, or a process killed half-way, finds the old file or the new one."""
        if self._path is None:
            return
        temporary = self._path.with_name(f"{self._path.name}.new")
        temporary.write_text(json.dumps({"schema": SCHEMA, **state}), encoding="utf-8")
        temporary.replace(self._path)
