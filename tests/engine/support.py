# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's tests share: a place to run in, a ledger made by the real migration, a broker in memory."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reference_engine.config import Deployment, EngineConfig, load
from reference_engine.engine import Engine
from reference_engine.gateway import Holdings, LinkError, Listener, SessionState, UnknownInstrumentError
from reference_engine.guard import Refusal
from reference_engine.hours import ExchangeHours
from reference_engine.ledger import Ledger
from reference_engine.model import (
    Execution,
    Instrument,
    OrderReport,
    OrderRequest,
    Position,
    Side,
    Snapshot,
    Tick,
)
from reference_engine.strategy import AccountView, Strategy, Wish

ROOT = Path(__file__).parents[2]
MIGRATIONS = sorted((ROOT / "roles/ledger/files/migrations").glob("*.sql"))
ACCOUNT = "DU1234567"
RELEASE = "20261122T204501Z-deadbeef"
NEVER_CLOSED = ExchangeHours("UTC", "20200101:0000-20400101:0000", "20200101:0000-20400101:0000")
AAPL = Instrument("AAPL", con_id=265598, primary_exchange="NASDAQ")
NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DEMO = """
strategy: {name: demo, parameters: {symbol: AAPL, quantity: 5, interval_seconds: 0.05, max_position: 20}}
risk: {max_orders_per_second: null, max_orders_per_minute: null}
"""


@functools.cache
def new_ledger() -> bytes:
    """Return the file of a ledger that the ledger role's migrator has just made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trades.db")
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            for migration in MIGRATIONS:
                connection.executescript(migration.read_text(encoding="utf-8"))
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        return path.read_bytes()


class Place:
    """A directory with everything an engine is given: ledger, lease directory, socket path, engine.yaml."""

    def __init__(self, config: str = DEMO) -> None:
        # Not pytest's tmp_path: its length does not fit a unix socket's path everywhere.
        self._directory = tempfile.TemporaryDirectory(prefix="engine")
        self.path = Path(self._directory.name)
        self.ledger = self.path / "trades.db"
        self.socket = self.path / "blue.sock"
        self.config = self.path / "engine.yaml"
        (self.path / "lease").mkdir()
        self.config.write_text(config, encoding="utf-8")
        self.environment = {
            "BALLAST_STACK": "dev-main",
            "BALLAST_SLOT": "blue",
            "BALLAST_RELEASE": RELEASE,
            "BALLAST_ENVIRONMENT": "dev",
            "BALLAST_ACCOUNT": ACCOUNT,
            "BALLAST_GATEWAY_HOST": "127.0.0.1",
            "BALLAST_GATEWAY_PORT": "4004",
            "BALLAST_CLIENT_ID": "1",
            "BALLAST_STANDBY_CLIENT_ID": "2",
            "BALLAST_LEDGER": str(self.ledger),
            "BALLAST_LEASE_DIR": str(self.path / "lease"),
            "BALLAST_SOCKET": str(self.socket),
            "BALLAST_CONFIG": str(self.config),
        }

    def make_ledger(self) -> None:
        """Make the ledger as the ledger role's migrator does."""
        self.ledger.write_bytes(new_ledger())

    def load(self) -> tuple[Deployment, EngineConfig]:
        return load(self.environment, self.config)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the ledger from outside, as an operator would."""
        connection = sqlite3.connect(self.ledger, timeout=5)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def execute(self, sql: str, *values: object) -> None:
        """Change the ledger from outside."""
        connection = sqlite3.connect(self.ledger, timeout=5)
        with connection:
            connection.execute(sql, values)
        connection.close()

    def close(self) -> None:
        self._directory.cleanup()


def execution(
    exec_id: str,
    side: Side,
    quantity: float,
    price: float,
    *,
    order_ref: str = "",
    perm_id: int = 0,
    at: datetime = NOON,
    instrument: Instrument = AAPL,
) -> Execution:
    return Execution(
        exec_id=exec_id,
        order_ref=order_ref,
        perm_id=perm_id,
        client_id=1,
        broker_order_id=1,
        account=ACCOUNT,
        instrument=instrument,
        exchange="NASDAQ",
        side=side,
        quantity=quantity,
        price=price,
        executed_at=at,
    )


def report(
    order_ref: str,
    status: str,
    *,
    perm_id: int = 900,
    filled: float = 0.0,
    error_code: int = 0,
    **terms: float,
) -> OrderReport:
    text = f"code {error_code}" * bool(error_code)
    return OrderReport(order_ref, status, 1, perm_id, 1, filled, 0.0, error_code, text, **terms)


def position(quantity: float, average_cost: float = 100.0) -> Position:
    return Position(ACCOUNT, AAPL, quantity, average_cost)


class FakeLink:
    """A broker in memory. It tells what a test lets it tell, and looks at the world when an order arrives."""

    def __init__(self) -> None:
        self.state: SessionState = "unreachable"
        self.reason = "not tried yet"
        self.accounts: Sequence[str] = ()
        self.server_version: int | None = None
        self.connected_at: datetime | None = None
        self.sessions = 0
        self.sessions_not_understood = 0
        self.known = Snapshot((), (), ())
        self.placed: list[tuple[str, OrderRequest]] = []
        self.cancelled: list[str] = []
        self.changed: list[tuple[str, OrderRequest]] = []
        self.wait = 0.0
        self.asked_anew = 0
        self.attempts = 0
        self.codes: Counter[int] = Counter()
        self.clock_skew_seconds: float | None = None
        self.hours: ExchangeHours | Exception = NEVER_CLOSED
        self.on_place: Callable[[], object] = lambda: None
        self.on_change: Callable[[], object] = lambda: None
        self.refuses_orders = False
        self._told: asyncio.Future[Listener] = asyncio.get_running_loop().create_future()

    async def run(self, listener: Listener) -> None:
        self._told.set_result(listener)
        await asyncio.Event().wait()

    async def connect(self, accounts: Sequence[str] = (ACCOUNT,)) -> Listener:
        """Begin a session; returns who is to be told things."""
        listener = await self._told
        self.sessions += 1
        self.accounts, self.server_version, self.connected_at = accounts, 178, NOON
        self.tell_state("ready", "")
        listener.on_session()
        return listener

    def tell_state(self, state: SessionState, reason: str) -> None:
        self.state, self.reason = state, reason
        self._told.result().on_state(state, reason)

    async def subscribe(self, instrument: Instrument) -> Instrument:
        if instrument.symbol != AAPL.symbol:
            raise UnknownInstrumentError(f"the broker has no {instrument.symbol}")
        return replace(instrument, con_id=AAPL.con_id)

    async def exchange_hours(self, instrument: Instrument) -> ExchangeHours:  # noqa: ARG002 the broker's interface
        if isinstance(self.hours, Exception):
            raise self.hours
        return self.hours

    async def look(self) -> Holdings:
        return Holdings((), self.known.positions)

    async def snapshot(self, expected: Collection[str], *, anew: bool = False) -> Snapshot:  # noqa: ARG002
        self.asked_anew += anew
        return self.known

    def forget_finished(self) -> None:
        pass

    def next_order_id(self) -> int:
        return len(self.placed) + 1

    def place(self, order_ref: str, broker_order_id: int, request: OrderRequest) -> None:
        if broker_order_id != self.next_order_id():
            raise ValueError(f"order id {broker_order_id}, wanted {self.next_order_id()}")
        if self.refuses_orders:
            raise LinkError("the connection is gone")
        self.on_place()
        self.placed.append((order_ref, request))

    def order_wait(self) -> float:
        return self.wait

    def cancel(self, order_ref: str) -> bool:
        self.cancelled.append(order_ref)
        return True

    def change(self, order_ref: str, request: OrderRequest) -> bool:
        self.on_change()
        self.changed.append((order_ref, request))
        return True

    @property
    def listener(self) -> Listener:
        """Who is told things."""
        return self._told.result()

    def tick(self) -> None:
        """Tell a price."""
        self.listener.on_tick(tick())


def tick(price: float = 100.0) -> Tick:
    return Tick(AAPL, price, datetime.now(UTC))


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until the condition holds; fails after that many seconds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Wishing(Strategy):
    """A strategy that wishes what a test lets it: ``wishes`` at the next tick, once."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.refused: list[Refusal] = []
        self.asked = 0

    def instruments(self) -> Sequence[Instrument]:
        return (replace(AAPL, con_id=0),)

    def on_tick(self, tick: Tick, account: AccountView) -> Sequence[Wish]:  # noqa: ARG002 the strategy's interface
        self.asked += 1
        wishes, self.wishes = self.wishes, []
        return wishes

    def on_refusal(self, request: OrderRequest, refusal: Refusal, account: AccountView) -> None:  # noqa: ARG002
        self.refused.append(refusal)


class Running:
    """An engine that runs, with the broker it talks to."""

    def __init__(self, place: Place, strategy: Strategy | None = None) -> None:
        deployment, config = place.load()
        if strategy:
            config = replace(config, strategy=strategy)
        self.place = place
        self.ledger = Ledger(deployment)
        self.link = FakeLink()
        self.engine = Engine(deployment, config, self.ledger, self.link)
        self._stop = asyncio.Event()
        self.life = asyncio.create_task(self.engine.run(self._stop))

    async def trade(self, accounts: tuple[str, ...] = (ACCOUNT,)) -> Listener:
        """Connect and wait for the first reconciliation."""
        listener = await self.link.connect(accounts)
        await eventually(lambda: self.engine.role == "trading")
        return listener

    async def stop(self) -> int:
        self._stop.set()
        return await self.life

    def check(self, name: str) -> tuple[str, str]:
        check = self.engine.health()["checks"][name]
        return check["status"], check.get("output", "")


@contextlib.asynccontextmanager
async def running(place: Place, strategy: Strategy | None = None) -> AsyncIterator[Running]:
    """Let an engine run while the context lasts, with the configured strategy or the one that is given."""
    world = Running(place, strategy)
    try:
        async with asyncio.timeout(20):
            yield world
    finally:
        world.life.cancel()
        await asyncio.gather(world.life, return_exceptions=True)
        world.ledger.close()
