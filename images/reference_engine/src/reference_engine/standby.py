# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby: sees what a trading engine sees, keeps the strategy warm, and can send nothing.

It is read-only by construction: its session has no way to an order, and the ledger is opened for reading, each time it
is looked at, so that nothing of a standby is ever in the trading engine's way.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from . import health, ledger, log
from .config import Deployment, EngineConfig
from .containment import Containment
from .gateway import USABLE_STATES, BrokerWatch, LinkError, QuietListener, SessionState, UnknownInstrumentError
from .hours import Calendar, HoursError
from .metrics import Metrics
from .model import AccountValues, Instrument, OpenOrder, Position, Tick, iso, utc_now

# The positions are told as they change; the orders of other clients are not.
_LOOK_EVERY_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 1.0


class Standby(QuietListener):
    """The life of an engine without the lease. What it has to say is asked by the slot and told by the session."""

    role: Final = "standby"

    def __init__(self, deployment: Deployment, config: EngineConfig, watch: BrokerWatch, metrics: Metrics) -> None:
        self._deployment = deployment
        self._config = config
        self._watch = watch
        self._metrics = metrics
        self._strategy = Containment(config.strategy, config.containment, self._strategy_failed)
        self._instruments = tuple(config.strategy.instruments())
        self._calendar = Calendar(config.trading_hours)
        self._row_counter = ledger.RowCounter()
        self._asked_hours: set[int] = set()
        self._orders: tuple[OpenOrder, ...] = ()
        self._positions: dict[int, Position] = {}
        self._prices: dict[int, float] = {}
        self._account_values = AccountValues()
        self._last_tick: float | None = None
        self._looked_at: datetime | None = None
        self._data_error: str | None = None
        self._strategy_error: str | None = None
        self._wake = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    @property
    def sessions(self) -> int:
        return self._watch.sessions

    @property
    def sessions_not_understood(self) -> int:
        return self._watch.sessions_not_understood

    def begin(self) -> asyncio.Task[None]:
        """Watch; the task ends by itself only when something broke."""
        self._life = asyncio.create_task(self._run())
        return self._life

    async def end(self) -> int:
        """Close the session; returns the exit code. Raises what it broke by, if it did."""
        assert self._life is not None  # noqa: S101 it has begun
        if self._life.done():
            self._life.result()
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)
        return 0

    async def _run(self) -> None:
        log.info("role", role=self.role, slot=self._deployment.slot, release=self._deployment.release)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run(self))
            tasks.create_task(self._keep_looking())

    async def _keep_looking(self) -> None:
        while True:
            self._wake.clear()
            pause = _LOOK_EVERY_SECONDS
            if self._watch.state in USABLE_STATES and self._deployment.account_problem(self._watch.accounts) is None:
                try:
                    await self._look()
                except LinkError as error:
                    log.warning("look_failed", reason=error)
                    pause = _RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        connected_at = self._watch.connected_at
        seen = await self._watch.look()
        try:
            for instrument in self._instruments:
                await self._learn_hours(await self._watch.subscribe(instrument))
            self._data_error = None
        except UnknownInstrumentError as error:
            self._data_error = str(error)
        if self._watch.connected_at != connected_at:
            return
        self._orders = seen.orders
        self._positions = {position.instrument.con_id: position for position in seen.positions}
        self._looked_at = utc_now()

    async def _learn_hours(self, instrument: Instrument) -> None:
        """Ask for an exchange's hours, once in a session."""
        if instrument.con_id in self._asked_hours:
            return
        self._asked_hours.add(instrument.con_id)
        try:
            self._calendar.learn(instrument.con_id, await self._watch.exchange_hours(instrument))
        except HoursError as error:
            log.warning("exchange_hours_unknown", symbol=instrument.symbol, reason=error)

    # -- what the session tells

    def on_state(self, state: SessionState, reason: str) -> None:
        (log.info if state == "ready" else log.warning)("gateway", state=state, reason=reason or "connected")

    def on_session(self) -> None:
        self._looked_at = None
        self._last_tick = None
        self._asked_hours.clear()
        self._wake.set()

    def on_tick(self, tick: Tick) -> None:
        self._last_tick = time.monotonic()
        self._prices[tick.instrument.con_id] = tick.price
        self._metrics.ticks += 1
        if self._looked_at is None:
            return
        # What it would order now is no concern of a standby's.
        self._strategy.on_tick(tick, self)

    def _strategy_failed(self, reason: str, too_many: bool) -> None:
        if too_many:
            self._strategy_error = reason

    def on_position(self, position: Position) -> None:
        self._positions[position.instrument.con_id] = position

    def on_account(self, values: AccountValues) -> None:
        self._account_values = values

    # -- what a strategy may know (AccountView)

    def position(self, instrument: Instrument) -> float:
        held = self._positions.get(instrument.con_id)
        return held.quantity if held else 0.0

    def open_orders(self, instrument: Instrument) -> int:
        return len(self.orders(instrument))

    def orders(self, instrument: Instrument) -> Sequence[OpenOrder]:
        return [order for order in self._orders if order.con_id == instrument.con_id]

    def price(self, instrument: Instrument) -> float | None:
        return self._prices.get(instrument.con_id)

    @property
    def account_values(self) -> AccountValues:
        return self._account_values

    # -- health

    def health(self) -> dict[str, Any]:
        """Return the health document of the engine contract: passing means ready to be promoted."""
        names = ("account", "gateway", "ledger", "reconciliation", "data", "strategy", "trading")
        checks = dict.fromkeys(names, ("pass", ""))
        if problem := self._deployment.account_problem(self._watch.accounts):
            checks["account"] = ("fail", problem)
        if self._watch.state not in USABLE_STATES:
            checks["gateway"] = ("fail", f"{self._watch.state}: {self._watch.reason}")
        seen = None
        try:
            seen = ledger.look(self._deployment, self._row_counter)
            if seen.halt:
                checks["trading"] = ("warn", f"trading is halted: {seen.halt}")
        except (sqlite3.Error, ledger.LedgerSchemaError) as error:
            checks["ledger"] = ("fail", str(error))
        if self._looked_at is None:
            checks["reconciliation"] = ("fail", "orders and positions not seen since the session began")
        age = None if self._last_tick is None else time.monotonic() - self._last_tick
        now = utc_now()
        if self._watch.state == "data_stale":
            checks["data"] = ("fail", self._watch.reason)
        elif self._data_error:
            checks["data"] = ("fail", self._data_error)
        elif self._instruments and (
            problem := health.data_problem(age, self._config.max_tick_age_seconds, self._ticks_due_since(now), now)
        ):
            checks["data"] = ("fail", problem)
        if self._strategy_error:
            checks["strategy"] = ("fail", self._strategy_error)
        document = health.compose(self._deployment, self._config.strategy_name, self.role, self._watch, age, checks)
        return document | {
            "trading": {"blocked_by": {"role": f"role is {self.role}"}, "restricted_by": {}},
            "orders": {"open": len(self._orders)},
            "positions": {p.instrument.symbol: p.quantity for p in self._positions.values() if p.quantity},
            "ledger": {"schema_version": seen.schema_version if seen else None, "rows": seen.rows if seen else {}},
            "last_reconciliation": iso(self._looked_at) if self._looked_at else None,
        }

    def _ticks_due_since(self, now: datetime) -> datetime | None:
        if self._config.trading_hours.session == "always":
            return datetime.min.replace(tzinfo=UTC)
        return self._calendar.ticks_due_since(now)
