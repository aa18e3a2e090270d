# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness: an append-only record of every connection, order and fill, by which clients are judged.

It is written apart from what clients are told and from the broker's books. An entry is a JSON object: ``sequence`` (1,
2, ...), ``time`` (wall clock, ISO 8601, UTC, microseconds), ``kind``, and what belongs to that kind. The kinds and
their fields are listed in the simulator's README. Amounts and quantities are decimal numbers, written as text.
"""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Any

Entry = dict[str, Any]

_Key = tuple[int, int]


class WitnessError(Exception):
    """A record cannot be continued or written; going on without it would forget what happened."""


def _raise(error: WitnessError) -> None:
    raise error


class Witness:
    """The record, in memory and, with a ``path``, as JSON lines in that file. Raises WitnessError, OSError."""

    def __init__(self, path: Path | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.entries: list[Entry] = []
        self._clock = clock
        self.on_failure: Callable[[WitnessError], None] = _raise
        """Is told when the file cannot be written, as on a full disk; the file is whole, and gets no more."""
        self._file: FileIO | None = None
        self._seen: set[_Key] = set()
        self._ended: set[_Key] = set()
        self._executions: set[str] = set()
        if path is not None:
            if path.exists():
                self._load(path)
            # Unbuffered: what was recorded is the system's, however this process ends.
            self._file = path.open("ab", buffering=0)
        self.last_connection = max(
            (entry["connection"] for entry in self.entries if entry.get("connection")), default=0
        )

    def record(self, kind: str, **details: object) -> None:
        """Append an entry, to the file first. ``details`` are JSON values and decimals."""
        time = _timestamp(self._clock())
        entry: Entry = {"sequence": len(self.entries) + 1, "time": time, "kind": kind}
        for name, value in details.items():
            entry[name] = _text(value) if isinstance(value, Decimal) else value
        if self._file is not None:
            self._write(self._file, _encode(entry).encode() + b"\n")
        self._take(entry)

    def order(self, connection: int | None, client_id: int, order_id: int, *, what_if: bool, **terms: object) -> None:
        """Record one placeOrder as it was received; whether it is new is told from this record alone."""
        key = (client_id, order_id)
        kind = "new"
        if not what_if and key in self._seen:
            kind = "duplicate" if key in self._ended else "modification"
        ids = {"connection": connection, "client_id": client_id, "order_id": order_id}
        self.record("order", **ids, **{"as": kind}, what_if=what_if, **terms)

    def knows(self, execution_id: str) -> bool:
        """Tell whether a fill was recorded."""
        return execution_id in self._executions

    def since(self, sequence: int) -> list[Entry]:
        """Return the entries after ``sequence``, 0 for all."""
        return self.entries[max(sequence, 0) :]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def summary(self) -> dict[str, Any]:
        """Return what cutovers are judged by; see ``summarize``."""
        return summarize(self.entries)

    def _write(self, file: FileIO, line: bytes) -> None:
        written = 0
        try:
            written = file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            file.truncate(file.seek(0, os.SEEK_END) - written)
            file.close()
            self._file = None
            self.on_failure(WitnessError(f"{file.name}: cannot be written ({error})"))

    def _take(self, entry: Entry) -> None:
        self.entries.append(entry)
        match entry["kind"]:
            case "order" if not entry["what_if"]:
                self._seen.add((entry["client_id"], entry["order_id"]))
            case "order_end":
                self._ended.add((entry["client_id"], entry["order_id"]))
            case "fill" | "correction":
                self._executions.add(entry["execution_id"])

    def _load(self, path: Path) -> None:
        """Continue a file; a last line that a killed process has not finished is removed from it."""
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        taken = 0
        try:
            while taken < len(lines):
                self._take(json.loads(lines[taken]))
                taken += 1
        except (ValueError, KeyError, TypeError) as error:
            raise WitnessError(
                f"{path}: line {taken + 1} cannot be read ({error!r}); move it away to start afresh"
            ) from error
        if whole != content:
            with path.open("rb+") as file:
                file.truncate(len(whole))


def summarize(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return what cutovers are judged by, from the entries of one record:

    ``connections``: every connection that started the API: connection, client_id, peer, version, from, to (null: open),
    why, orders (new ones), first_order and last_order (times, null without orders);
    ``overlaps``: pairs of connections that both placed orders and were open at the same time, with ``interleaved``: one
    placed an order while the other was not yet done with its own;
    ``gaps``: for connections that placed orders, by their first order: from the last order of one to the first of the
    next, in seconds;
    ``repeated_order_refs``: orderRef -> the (client id, order id) pairs of the new orders that carried it, if several;
    ``counts``: entries of each kind.
    """
    connections: dict[int, dict[str, Any]] = {}
    peers: dict[int, str] = {}
    references: dict[str, list[list[int]]] = {}
    counts: Counter[str] = Counter()
    for entry in entries:
        counts[entry["kind"]] += 1
        number = entry.get("connection") or 0
        match entry["kind"]:
            case "simulator":
                # Connections that a killed simulator never saw end have ended with it.
                for open_connection in connections.values():
                    if open_connection["to"] is None:
                        open_connection |= {"to": entry["time"], "why": "the simulator ended"}
            case "connected":
                peers[number] = entry["peer"]
            case "started":
                connections[number] = {
                    "connection": number,
                    "client_id": entry["client_id"],
                    "peer": peers.get(number, ""),
                    "version": entry["version"],
                    "from": entry["time"],
                    "to": None,
                    "why": None,
                    "orders": 0,
                    "first_order": None,
                    "last_order": None,
                }
            case "disconnected" if number in connections:
                connections[number] |= {"to": entry["time"], "why": entry["why"]}
            case "order" if entry["as"] == "new" and not entry["what_if"]:
                if entry.get("order_ref"):
                    references.setdefault(entry["order_ref"], []).append([entry["client_id"], entry["order_id"]])
                if number in connections:
                    trading = connections[number]
                    trading["orders"] += 1
                    trading["first_order"] = trading["first_order"] or entry["time"]
                    trading["last_order"] = entry["time"]
    traders = sorted((each for each in connections.values() if each["orders"]), key=lambda each: each["first_order"])
    return {
        "connections": list(connections.values()),
        "overlaps": [
            {
                "connections": [first["connection"], second["connection"]],
                "client_ids": [first["client_id"], second["client_id"]],
                "peers": [first["peer"], second["peer"]],
                "interleaved": second["first_order"] < first["last_order"],
            }
            for position, first in enumerate(traders)
            for second in traders[position + 1 :]
            if (first["to"] is None or first["to"] > second["from"])
            and (second["to"] is None or second["to"] > first["from"])
        ],
        "gaps": [
            {
                "connections": [before["connection"], after["connection"]],
                "client_ids": [before["client_id"], after["client_id"]],
                "last_order": before["last_order"],
                "first_order": after["first_order"],
                "seconds": _seconds(before["last_order"], after["first_order"]),
            }
            for before, after in pairwise(traders)
        ],
        "repeated_order_refs": {reference: keys for reference, keys in references.items() if len(keys) > 1},
        "counts": dict(counts),
    }


# What a fault's document from a scenario holds beyond JSON, such as a moment, is written as text.
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def _text(value: Decimal) -> str:
    """Return a decimal without exponent and without zeros at its end: 3.00 is 3."""
    return format(value.normalize(), "f")


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
