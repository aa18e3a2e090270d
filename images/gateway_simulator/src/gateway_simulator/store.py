# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker's state on disk: one file, always whole.

The file is a journal: a first line that says what it is, then one JSON object per change, of records by key; a record
that is null is gone. A change costs what it changes, however much is kept. Once most lines are out of date the file is
written anew. A last line that a killed process left half-written was told to no client, and is dropped.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .model import WORKING

SCHEMA = 2
# The journal is written anew when it has this many records for each that is kept, but not while it is short.
COMPACT_AT = 4
COMPACT_FROM = 20_000

_logger = logging.getLogger(__name__)


class StateError(Exception):
    """A state file exists but cannot be used; starting without it would forget orders and positions."""


class Store:
    """Keeps the state of ``account`` in ``path``, or in memory only when ``path`` is None."""

    def __init__(self, path: Path | None, account: str) -> None:
        self._path = path
        self._account = account
        self._records: dict[str, str] = {}
        self._written = 0
        self._journal: BinaryIO | None = None

    @classmethod
    def at(cls, path: Path | None, account: str) -> Store:
        """Return a store for ``path``; without a directory that can be written, one in memory, and a log line."""
        if path is not None and not os.access(path.parent, os.W_OK):
            _logger.warning(
                "state is kept in memory only", extra={"path": str(path), "reason": "no writable directory"}
            )
            return cls(None, account)
        return cls(path, account)

    def beside(self, suffix: str) -> Path | None:
        """Return the path of a file of this name's own beside the state, None for a store in memory."""
        return None if self._path is None else self._path.with_name(f"{self._path.stem}.{suffix}")

    def load(self) -> dict[str, Any] | None:
        """Return the saved records by key, None when there are none. Raises StateError when they cannot be used."""
        if self._path is None or not self._path.exists():
            return None
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise self._error(f"cannot be read ({error})") from error
        head, _, body = content.partition(b"\n")
        earlier = self._check(head)
        if earlier is not None:
            return self._take_over(self._path, earlier)
        *lines, torn = body.split(b"\n")
        if torn:
            _logger.warning("half-written change dropped", extra={"path": str(self._path), "bytes": len(torn)})
        records: dict[str, Any] = {}
        for number, line in enumerate(lines, 2):
            try:
                records.update(json.loads(line))
            except (ValueError, TypeError) as error:
                raise self._error(f"line {number} cannot be read ({error})") from error
        kept = {key: record for key, record in records.items() if record is not None}
        self._records = {key: json.dumps(record) for key, record in kept.items()}
        self._rewrite(self._path)
        return kept

    def save(self, changes: Mapping[str, Any]) -> None:
        """Add changed records. A process killed half-way leaves the state with all of them or with none.

        Raises StateError when they cannot be written, as on a full disk; the next call then writes them, too.
        """
        if self._path is None or not changes:
            return
        texts = {key: json.dumps(record) for key, record in changes.items()}
        for key, text in texts.items():
            if text == "null":
                self._records.pop(key, None)
            else:
                self._records[key] = text
        self._written += len(texts)
        if self._journal is None or self._written > max(COMPACT_FROM, COMPACT_AT * len(self._records)):
            self._rewrite(self._path)
            return
        self._append(self._journal, _line(texts))

    def close(self) -> None:
        """Close the file."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _take_over(self, path: Path, document: dict[str, Any]) -> dict[str, Any]:
        """Return the records of a state of schema 1, and write them as this schema has them."""
        try:
            records = _from_schema_1(document)
        except (KeyError, TypeError, AttributeError) as error:
            raise self._error(f"is not a whole state of schema 1 ({error!r})") from error
        _logger.warning("state of an earlier schema taken over", extra={"path": str(path), "schema": 1})
        self._records = {key: json.dumps(record) for key, record in records.items()}
        self._rewrite(path)
        return records

    def _check(self, head: bytes) -> dict[str, Any] | None:
        """Raise StateError unless the first line is that of a state of this account and of a schema that is known.

        Return the document when it is a state of schema 1, which has but this line.
        """
        try:
            document: object = json.loads(head)
        except ValueError as error:
            raise self._error(f"cannot be read ({error})") from error
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema not in (1, SCHEMA):
            raise self._error(f"its schema is {schema}, wanted {SCHEMA}")
        assert isinstance(document, dict)  # noqa: S101 - it has a schema
        if document.get("account") != self._account:
            raise self._error(f"it belongs to account {document.get('account')}, wanted {self._account}")
        return document if schema == 1 else None

    def _append(self, journal: BinaryIO, line: bytes) -> None:
        """Add a line, or leave the file as it was, to be written anew by the next change."""
        size = journal.seek(0, os.SEEK_END)
        try:
            if journal.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            journal.truncate(size)
            self.close()
            raise StateError(f"{self._path}: cannot be written ({error})") from error

    def _rewrite(self, path: Path) -> None:
        """Write the file anew; a reader, or a process killed half-way, finds the old file or the new one."""
        self.close()
        temporary = path.with_name(f"{path.name}.new")
        try:
            with temporary.open("wb") as file:
                file.write(json.dumps({"schema": SCHEMA, "account": self._account}).encode() + b"\n")
                if self._records:
                    file.write(_line(self._records))
            temporary.replace(path)
            # Unbuffered: what was saved is the system's, however this process ends.
            self._journal = path.open("ab", buffering=0)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StateError(f"{path}: cannot be written ({error})") from error
        self._written = len(self._records)

    def _error(self, reason: str) -> StateError:
        return StateError(f"{self._path}: {reason}; move it away to start afresh")


def _line(texts: Mapping[str, str]) -> bytes:
    return f"{{{','.join(f'{json.dumps(key)}:{text}' for key, text in texts.items())}}}\n".encode()


def _from_schema_1(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the records of a state that was one JSON object. Raises KeyError, TypeError or AttributeError."""
    records: dict[str, Any] = {
        # It does not say of which day it is: a new one begins.
        "day:": "1970-01-01",
        "next:": {"perm_id": state["next_perm_id"], "execution": state["next_execution"], "by_hand": 0},
        "cash:USD": state["cash"],
    }
    records |= {f"last_order_id:{client}": order_id for client, order_id in state["last_order_id"].items()}
    records |= {f"position:{position['con_id']}": position for position in state["positions"]}
    for order in state["orders"]:
        done = {} if order["status"] in WORKING else {"completed_at": order["placed_at"]}
        records[f"order:{order['client_id']}:{order['order_id']}"] = {**order, **done}
    return records | {f"execution:{execution['execution_id']}": execution for execution in state["executions"]}
