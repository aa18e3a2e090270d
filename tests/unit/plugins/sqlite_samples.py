# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small ledger for the tests of the SQLite modules, and helpers to run the modules and to be another process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

ROWS = 400
SCHEMA_VERSION = 3
NEWEST = "2026-11-22T20:40:00.000Z"
SCHEMA = """
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    reference TEXT NOT NULL UNIQUE,
    price REAL NOT NULL,
    quantity REAL NOT NULL CHECK (quantity > 0),
    note TEXT NOT NULL,
    data TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(data)),
    at TEXT NOT NULL
);
CREATE INDEX orders_at ON orders (at);
CREATE TABLE fills (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), quantity REAL NOT NULL);
CREATE TABLE empty (id INTEGER PRIMARY KEY);
CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
"""


def make_ledger(path: Path, rows: int = ROWS, note_size: int = 60, journal_mode: str = "wal") -> Path:
    """A ledger with `rows` orders and fills; every tenth note is long enough to fill overflow pages."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT INTO orders (id, reference, price, quantity, note, at) VALUES (?, ?, ?, ?, ?, ?)",
            [_order(number, rows, note_size) for number in range(1, rows + 1)],
        )
        connection.executemany(
            "INSERT INTO fills (order_id, quantity) VALUES (?, 1)", [(number,) for number in range(1, rows + 1)]
        )
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.commit()
    return path


def _order(number: int, rows: int, note_size: int) -> tuple[int, str, float, int, str, str]:
    note = f"note-{number:06} " * (900 if number % 10 == 0 else note_size // 12)
    at = NEWEST if number == rows else f"2026-11-22T10:{number // 60 % 60:02}:{number % 60:02}.000Z"
    return number, f"reference-{number:06}", 100.25 + number, 1 + number % 7, note, at


@contextlib.contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection without implicit transactions that is closed at the end."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def run_module(
    module: ModuleType, arguments: Mapping[str, Any], capsys: pytest.CaptureFixture[str], check_mode: bool = False
) -> dict[str, Any]:
    """The result of a module's main()."""
    with patch_module_args({**arguments, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit):
        module.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@contextlib.contextmanager
def other_process(work: Callable[[], object]) -> Iterator[int]:
    """Runs `work` in a child process, yields its pid when `work` has returned, and kills it at the end.

    What `work` returns is kept alive until then, so that a connection stays open.
    """
    heard, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _kept = work()
            os.write(say, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(say)
    try:
        if os.read(heard, 1) != b"x":
            raise AssertionError("the other process failed")
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(heard)


def holding(path: Path, *statements: str) -> Callable[[], sqlite3.Connection]:
    """Work for :func:`other_process`: opens a database, runs the statements and keeps the connection open."""

    def work() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        return connection

    return work


def only(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    """Makes it a host on which no other programs are installed than these."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: which(name) if name in programs else None)


def name_of(pid: int) -> str:
    """How error messages name a process."""
    return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"
