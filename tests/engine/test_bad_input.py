# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole engine on bad days: a gateway that sends damaged messages, a ledger that cannot be written or read.

Each time the engine says what is wrong, sends nothing meanwhile, goes on by itself where it can, and in the end the
ledger equals the venue's own record.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from reference_engine import app
from tests.engine.books import Record
from tests.engine.process import Process, assert_books_agree, count, until
from tests.engine.support import ROOT, Place
from tests.engine.venue import Venue

Start = Callable[..., Process]

# Where a number stands that nobody may guess, by message (IB API at server version 178): a status's filled quantity,
# an order's own id, an execution's shares and price, a commission, a position.
_NUMBERS = {b"3": (3, 5), b"5": (1,), b"11": (19, 20), b"59": (3,), b"61": (14, 15)}
_NO_NUMBERS = ("x", "NaN", "inf", "-inf", "1e400", "--1", "\u0661x")
_CAP_DAC_OVERRIDE, _PR_CAPBSET_DROP = 1, 24


class Meddler:
    """Between engine and venue: passes everything on, and damages ``share`` of the venue's messages."""

    def __init__(self, venue_port: int, seed: int) -> None:
        self.share = 0.0
        self.damaged = 0
        self.port = 0
        self._venue_port = venue_port
        self._rng = random.Random(seed)  # noqa: S311 a test's dice
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """Close every connection and the port."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        joined: set[asyncio.Task[None]] = set()

        def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            joined.add(asyncio.create_task(self._join(reader, writer)))

        server = await asyncio.start_server(join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in joined:
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)

    async def _join(self, engine_in: asyncio.StreamReader, engine_out: asyncio.StreamWriter) -> None:
        venue_in, venue_out = await asyncio.open_connection("127.0.0.1", self._venue_port)

        async def up() -> None:
            while data := await engine_in.read(65536):
                venue_out.write(data)

        async def down() -> None:
            while True:
                head = await venue_in.readexactly(4)
                frame = head + await venue_in.readexactly(struct.unpack(">I", head)[0])
                if self._rng.random() < self.share:
                    self.damaged += 1
                    frame, goes_on = self._damage(frame)
                    engine_out.write(frame)
                    if not goes_on:
                        return
                else:
                    engine_out.write(frame)

        tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            engine_out.close()
            venue_out.close()

    def _damage(self, frame: bytes) -> tuple[bytes, bool]:
        """Return what is sent instead, and whether anything follows. Nothing that could be taken for the truth."""
        fields = frame[4:-1].split(b"\0")
        kind = self._rng.randrange(6)
        if kind == 0:
            return frame[: self._rng.randrange(len(frame))], False
        if kind == 1:
            return struct.pack(">I", self._rng.choice((0xFFFFFFFF, 0x7FFFFFFF, 0x1000000))) + frame[4:], True
        if kind == 2:
            return frame + _framed(b"99999\0001\000"), True
        if kind == 3:
            return frame + _framed(b"\xff" + self._rng.randbytes(40)), True
        if kind == 4 and (places := _NUMBERS.get(fields[0])):
            fields[self._rng.choice(places)] = self._rng.choice(_NO_NUMBERS).encode()
            return _framed(b"".join(field + b"\0" for field in fields)), True
        return _framed(b"x" + frame[4:]), True


def _framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.fixture
def meddler(simulator: Venue) -> Iterator[Meddler]:
    meddler = Meddler(simulator.port, seed=1)
    yield meddler
    meddler.close()


def configure(place: Place, *, orders: bool = True) -> None:
    """Let the engine order as fast as it may, and come back at once."""
    shutil.copy(ROOT / "tests/engine/busy_strategy.py", place.path / "busy.py")
    document = {
        "strategy": {"name": "busy:Busy", "parameters": {"orders": orders, "seed": 1}},
        "risk": dict.fromkeys(("max_open_orders", "max_orders_per_second", "max_orders_per_minute")),
        "trading_hours": {"session": "always"},
        "link": {"backoff_first_seconds": 0.01, "backoff_limit_seconds": 0.05, "attempts_per_minute": 100_000},
    }
    place.config.write_text(json.dumps(document), encoding="utf-8")


def begin(place: Place, start: Start, *, executions: int = 3) -> Process:
    """Let an engine trade, and return it when it has so many executions."""
    configure(place)
    engine = start()
    engine.wait_for(200, "ready", 30)
    until(lambda: count(place, "executions") >= executions, "executions", 30)
    return engine


def sends_nothing(engine: Process, venue: Venue, seconds: float = 2.0) -> str:
    """Wait until health tells of the ledger; for so long nothing is sent then. Return what it tells."""
    told: list[str] = []

    def troubled() -> bool:
        code, document = engine.health()
        told.append(str(document.get("output")))
        return code == 503 and "ledger" in told[-1]

    until(troubled, "health to tell of the ledger", 30)
    text, sent = told[-1], _orders_at(venue)
    later = time.monotonic() + seconds
    until(lambda: time.monotonic() > later and troubled(), f"{seconds:g} seconds more of the same", 10)
    assert _orders_at(venue) == sent
    return text


def goes_on(place: Place, venue: Venue, engine: Process, start: Start) -> None:
    """Wait until the engine trades again; nothing was lost."""
    engine.wait_for(200, "ready", 30)
    sent = _orders_at(venue)
    until(lambda: _orders_at(venue) > sent, "orders again", 30)
    assert engine.end() == (0, "")
    settle(place, start)
    assert_books_agree(place, venue)


def settle(place: Place, start: Start) -> None:
    """Let an engine that wants no orders find out everything and end."""
    configure(place, orders=False)
    engine = start()
    engine.wait_for(200, "ready", 60)
    until(
        lambda: place.query("SELECT count(*) FROM orders WHERE status IN ('intent', 'sent')") == [(0,)],
        "every order to be answered for",
        60,
    )
    assert engine.end() == (0, "")


def test_engine_outlives_a_gateway_that_sends_damaged_messages(
    place: Place, simulator: Venue, meddler: Meddler, start: Start
) -> None:
    configure(place)
    place.environment["BALLAST_GATEWAY_PORT"] = str(meddler.port)
    engine = start()
    engine.wait_for(200, "ready", 60)
    meddler.share = 0.02
    until(lambda: meddler.damaged >= 60, "sixty damaged messages", 120)
    meddler.share = 0.0
    engine.wait_for(200, "ready", 60)
    executions = count(place, "executions")
    until(lambda: count(place, "executions") > executions, "an execution after all that", 60)
    assert engine.metric("ballast_engine_gateway_sessions_not_understood_total") >= 10
    assert "sent what is not of the IB API" in engine.log()
    assert engine.end() == (0, "")
    settle(place, start)
    assert_books_agree(place, simulator)


def test_engine_waits_while_another_process_holds_the_ledger_and_goes_on(
    place: Place, simulator: Venue, start: Start
) -> None:
    engine = begin(place, start)
    other = sqlite3.connect(place.ledger, isolation_level=None)
    other.execute("PRAGMA busy_timeout = 20000")
    other.execute("BEGIN IMMEDIATE")
    # Also when it has stopped waiting for the lock, it answers and sends nothing.
    assert "database is locked" in sends_nothing(engine, simulator, seconds=3.0)
    other.execute("ROLLBACK")
    other.close()
    goes_on(place, simulator, engine, start)


def test_engine_sends_nothing_on_a_full_disk_and_goes_on_when_there_is_room(
    place: Place, simulator: Venue, start: Start
) -> None:
    engine = begin(place, start)
    log = place.ledger.with_name("trades.db-wal")
    # No file of the process may grow beyond what the write-ahead log has now: writes fail, as on a full disk.
    resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, resource.RLIM_INFINITY))
    sends_nothing(engine, simulator)
    resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    goes_on(place, simulator, engine, start)


def _obey_permissions() -> None:
    """As root, lose the right to write what is read-only; in the child, before it becomes the engine."""
    ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)


def test_read_only_ledger_is_told_and_nothing_is_sent(place: Place, simulator: Venue) -> None:
    configure(place)
    for path in [*place.path.glob("trades.db*"), place.path]:
        path.chmod(0o500 if path == place.path else 0o400)
    engine = Process(place, prepare=_obey_permissions)
    try:
        code, errors = engine.end(None)
    finally:
        engine.kill()
        place.path.chmod(0o700)
    assert code == 65
    assert errors.startswith(f"reference_engine: ledger {place.ledger}: ")
    assert "readable and writable" in errors
    assert _orders_at(simulator) == 0


@pytest.mark.parametrize("damage", ["missing", "truncated", "pages", "text"])
def test_ledger_that_cannot_be_used_is_told_at_the_start(
    place: Place, simulator: Venue, start: Start, damage: str
) -> None:
    configure(place)
    content = bytearray(place.ledger.read_bytes())
    if damage == "missing":
        place.ledger.unlink()
    elif damage == "truncated":
        place.ledger.write_bytes(content[: len(content) // 3])
    elif damage == "pages":
        content[4096 : 4096 * 20] = random.Random(1).randbytes(4096 * 19)  # noqa: S311
        place.ledger.write_bytes(content)
    else:
        place.ledger.write_text("this is no database, and it is long enough to be looked at\n" * 100)
    code, errors = start().end(None)
    assert code == 65, errors
    assert errors.startswith(f"reference_engine: ledger {place.ledger}: ")
    assert "Traceback" not in errors
    assert _orders_at(simulator) == 0


def test_restored_ledger_learns_everything_that_happened_since_its_backup(
    place: Place, simulator: Venue, start: Start
) -> None:
    engine = begin(place, start, executions=5)
    backup = sqlite3.connect(place.path / "backup.db")
    with contextlib.closing(sqlite3.connect(place.ledger)) as live:
        live.backup(backup)
    backup.close()
    until(lambda: count(place, "executions") >= 10, "executions that the backup does not have", 30)
    # The write-ahead log too: every page from now on is read from what is broken.
    for name in ("trades.db", "trades.db-wal"):
        with (place.path / name).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            for page in range(4096, size - 4096, 4096):
                file.seek(page)
                file.write(b"\x5a" * 2048)
    # When it reads a broken page depends on what it has in memory; whatever it does, it does not die.
    later = time.monotonic() + 2
    until(lambda: time.monotonic() > later and engine.health()[0] != 0, "two seconds with a broken ledger", 10)
    assert engine.is_alive
    engine.end()
    for path in place.path.glob("trades.db*"):
        path.unlink()
    (place.path / "backup.db").rename(place.ledger)
    settle(place, start)
    # Orders sent after the backup are not in it; every fill is, and what the account holds.
    record = Record.of(simulator.witness())
    fills = [(fill.exec_id, fill.side, fill.quantity, fill.price, fill.commission) for fill in record.fills]
    assert len(fills) >= 10
    told = place.query("SELECT exec_id, side, quantity, price, commission FROM executions ORDER BY exec_id")
    assert told == sorted(fills)
    assert dict(place.query("SELECT con_id, quantity FROM positions")) == record.positions
    assert place.query("PRAGMA integrity_check") == [("ok",)]


def test_ledger_that_is_replaced_while_trading_stops_trading(place: Place, simulator: Venue, start: Start) -> None:
    engine = begin(place, start)
    kept = place.path / "kept"
    kept.mkdir()
    for path in place.path.glob("trades.db*"):
        path.rename(kept / path.name)
    place.make_ledger()
    assert f"{place.ledger} is not the file any more that was opened" in sends_nothing(engine, simulator)
    engine.end(signal.SIGKILL)
    # What was in the way goes, the ledger comes back: nothing is lost.
    for path in [*place.path.glob("trades.db*")]:
        path.unlink()
    for path in [*kept.iterdir()]:
        path.rename(place.path / path.name)
    settle(place, start)
    assert_books_agree(place, simulator)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("raise RuntimeError('not today')\n", "RuntimeError: not today"),
        ("def broken(:\n", "SyntaxError: "),
        ("x = 1\n", "a class Mine derived from Strategy"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("import os\nclass Mine: pass\n", "a class Mine derived from Strategy"),
        ("\x00", "ource code"),
    ],
)
def test_strategy_file_that_cannot_be_used_exits_64_and_says_why(
    place: Place, capsys: pytest.CaptureFixture[str], source: str, told: str
) -> None:
    (place.path / "mine.py").write_text(source)
    place.config.write_text("strategy: {name: 'mine:Mine'}", encoding="utf-8")
    code, errors = app.main(place.environment), capsys.readouterr().err
    assert (code, errors.count("\n")) == (64, 1), errors
    assert errors.startswith("reference_engine: configuration error: strategy.name: saw 'mine:Mine'")
    assert told in errors


def _orders_at(venue: Venue) -> int:
    """How many orders and changes the venue has received."""
    return sum(entry["kind"] == "order" for entry in venue.witness())
