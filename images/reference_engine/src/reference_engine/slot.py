# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in a slot: a standby or a trading engine, never both; and how the one becomes the other.

Calls are carried out one after another in the order they came. Only a promotion that is not through yet is given up for
a demotion or the end of the process: when in doubt, nobody trades.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from . import flatten, ledger, log
from .config import Deployment, EngineConfig, WorkingOrders
from .control import Outcome
from .engine import Engine
from .gateway import BrokerLink, BrokerWatch
from .guard import Refusal
from .lease import Lease, LeaseHeldError, read_token
from .ledger import Ledger, LedgerSchemaError
from .metrics import Metrics
from .model import OpenOrder
from .standby import Standby
from .supervision import Supervision

EXIT_LEASE_LOST: Final = 77

_WATCH_SECONDS: Final = 0.5
# A gateway goes on holding a client id for a while when a connection breaks without a word.
CLIENT_ID_GRACE_SECONDS = 30.0


class _Trader:
    """A trading engine with all that it holds: the lease, the ledger, the session with the trading client id."""

    def __init__(self, deployment: Deployment, config: EngineConfig, link: BrokerLink, metrics: Metrics) -> None:
        """Take the lease and open the ledger inside it: the next holder writes too.

        Raises `LeaseHeldError`, `LedgerSchemaError`, sqlite3.Error, OSError; nothing is held then.
        """
        self.lease = Lease(deployment)
        self.lost = asyncio.Event()
        """Set when the lease is lost: nothing was sent from then on, nor will be."""
        self.left: list[OpenOrder] = []
        """The orders without a final status when everything was given back."""
        self._link = link
        self._stop = asyncio.Event()
        self._refused_since: float | None = None
        self._life: asyncio.Task[int] | None = None
        self.lease.acquire()
        try:
            self.ledger = Ledger(deployment, batched=True)
            try:
                self.ledger.take_over(self.lease.raise_token)
                self.engine = Engine(deployment, config, self.ledger, link)
                Supervision(config, self.ledger, self.engine, link).attach()
            except BaseException:
                self.ledger.close()
                raise
        except BaseException:
            self.lease.release()
            raise
        self.engine.metrics = metrics
        self.engine.lease_check = self._refusal
        log.info("lease_taken", token=self.lease.token)

    @property
    def role(self) -> str:
        return self.engine.role

    @property
    def sessions(self) -> int:
        return self._link.sessions

    @property
    def sessions_not_understood(self) -> int:
        return self._link.sessions_not_understood

    def health(self) -> dict[str, Any]:
        return self.engine.health()

    def begin(self) -> asyncio.Task[int]:
        """Connect, reconcile, trade; the task ends by itself only when something broke."""
        self._life = asyncio.create_task(self.engine.run(self._stop))
        return self._life

    def watch(self) -> None:
        """Look whether the lease and the client id are still ours; called every now and then."""
        if reason := self.lease.lost():
            self._lose(reason)
        if self._link.state != "client_id_in_use":
            self._refused_since = None
            self.engine.unblock("client_id")
            return
        self._refused_since = self._refused_since or time.monotonic()
        if self.engine.trades.is_set() and time.monotonic() - self._refused_since > CLIENT_ID_GRACE_SECONDS:
            reason = f"another client has had it for more than {CLIENT_ID_GRACE_SECONDS:g} s: {self._link.reason}"
            self.engine.block("client_id", reason)
            with contextlib.suppress(sqlite3.Error):
                self.ledger.record_risk_event("client_id_lost", "critical", reason)

    def _refusal(self) -> Refusal | None:
        reason = self.lease.lost()
        if reason is None:
            return None
        self._lose(reason)
        return Refusal("lease_lost", reason, "critical")

    def _lose(self, reason: str) -> None:
        if not self.lost.is_set():
            log.error("lease_lost", reason=reason, token=self.lease.token)
            self.engine.block("lease", reason)
            self.lost.set()

    async def end(self) -> int:
        """End as asked: no new orders, the broker's answers are awaited, everything is given back; the exit code.

        Raises what the engine broke by, if it did.
        """
        assert self._life is not None  # noqa: S101 it has begun
        self._stop.set()
        lost = asyncio.create_task(self.lost.wait())
        await asyncio.wait({self._life, lost}, return_when=asyncio.FIRST_COMPLETED)
        lost.cancel()
        if self.lost.is_set():
            await self.abandon("lease_lost", "stopped at once: the lease was lost")
            return EXIT_LEASE_LOST
        try:
            return self._life.result()
        finally:
            self._give_back()

    async def abandon(self, kind: str, reason: str) -> None:
        """End at once: close the session as it is, send nothing more, not even a cancel; give everything back."""
        assert self._life is not None  # noqa: S101 it has begun
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)
        try:
            self.ledger.record_event(kind, reason)
        except sqlite3.Error as error:
            log.error("ledger_failed", reason=error)
        self._give_back()

    def _give_back(self) -> None:
        try:
            self.left = self.ledger.open_orders()
            self.ledger.close()
        except sqlite3.Error as error:
            log.error("ledger_close_failed", reason=error)
        finally:
            self.lease.release()
        log.info("lease_given_back", open=len(self.left))


class Slot:
    """One process of the engine. `run` is its life; the rest is what the control socket asks."""

    def __init__(
        self,
        deployment: Deployment,
        config: EngineConfig,
        make_link: Callable[[], BrokerLink],
        make_watch: Callable[[], BrokerWatch],
    ) -> None:
        """Begin in the deployment's role.

        Raises `LeaseHeldError` (only a trading engine), `LedgerSchemaError`, sqlite3.Error, OSError.
        """
        self._deployment = deployment
        self._config = config
        self._make_link = make_link
        self._make_watch = make_watch
        self._metrics = Metrics()
        self._turn = asyncio.Lock()
        self._over = asyncio.Event()
        self._stopping = False
        self._lost_lease = False
        # Gives up a promotion that is not through yet, and says why.
        self._interrupt = asyncio.Event()
        self._interrupted_by = ""
        self._promoting = False
        self._life: asyncio.Task[Any] | None = None
        self._now: _Trader | Standby
        if deployment.role == "trading":
            self._now = self._new_trader()
        else:
            ledger.look(deployment)
            self._now = self._new_standby()

    # -- life

    async def run(self, stop: asyncio.Event) -> int:
        """Live until ``stop`` is set, or something breaks, or the lease is lost; return the exit code."""
        self._begin(self._now)
        watch = asyncio.create_task(self._watch())
        waits = [asyncio.create_task(event.wait()) for event in (stop, self._over)]
        try:
            await asyncio.wait([watch, *waits], return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            self._stopping = True
            self._give_up_promotion("the engine is stopping")
            async with self._turn:
                code = await self._now.end()
                return EXIT_LEASE_LOST if self._lost_lease else code
        finally:
            for task in (watch, *waits):
                task.cancel()
            await asyncio.gather(watch, *waits, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            if isinstance(self._now, _Trader):
                self._now.watch()
                if self._now.lost.is_set() and not self._promoting:
                    self._over.set()
            await asyncio.sleep(_WATCH_SECONDS)

    def _new_trader(self) -> _Trader:
        return _Trader(self._deployment, self._config, self._make_link(), self._metrics)

    def _new_standby(self) -> Standby:
        return Standby(self._deployment, self._config, self._make_watch(), self._metrics)

    def _begin(self, life: _Trader | Standby) -> None:
        self._now = life
        self._life = life.begin()
        self._life.add_done_callback(self._ended)

    def _ended(self, life: asyncio.Task[Any]) -> None:
        # A life that ends by itself ends the process; a promotion looks after the one that it has begun.
        if life is self._life and not self._promoting:
            self._over.set()

    def _give_up_promotion(self, reason: str) -> None:
        self._interrupted_by = reason
        self._interrupt.set()

    # -- the calls

    async def promote(self, timeout: float) -> Outcome:
        """Become the trading engine: lease, trading client id, reconciled. If that fails, all is as it was before."""
        started = time.monotonic()
        async with self._turn:
            self._interrupt.clear()
            if self._stopping:
                return self._outcome(HTTPStatus.SERVICE_UNAVAILABLE, started, reason="the engine is stopping")
            if isinstance(self._now, _Trader):
                reason = await self._until_it_trades(self._now, started + timeout)
                changed = False
            else:
                try:
                    trader = self._new_trader()
                except LeaseHeldError as error:
                    return self._outcome(HTTPStatus.CONFLICT, started, reason=str(error))
                except (LedgerSchemaError, sqlite3.Error, OSError) as error:
                    return self._outcome(HTTPStatus.SERVICE_UNAVAILABLE, started, reason=str(error))
                self._promoting = changed = True
                try:
                    await self._end_standby()
                    self._begin(trader)
                    reason = await self._until_it_trades(trader, started + timeout)
                    if reason is not None:
                        await trader.abandon("promotion_failed", reason)
                        self._begin(self._new_standby())
                finally:
                    self._promoting = False
            if reason is None:
                return self._outcome(HTTPStatus.OK, started, changed=changed)
            log.warning("promotion_failed", reason=reason)
            return self._outcome(HTTPStatus.SERVICE_UNAVAILABLE, started, reason=reason)

    async def _end_standby(self) -> None:
        try:
            await self._now.end()
        except Exception as error:  # noqa: BLE001 whatever it broke by, it is over, and another life begins
            log.error("standby_broke", traceback=True, reason=f"{type(error).__name__}: {error}")

    async def _until_it_trades(self, trader: _Trader, deadline: float) -> str | None:
        """Wait until the engine trades; otherwise return why it does not."""
        assert self._life is not None  # noqa: S101 the trader's, begun
        events = (trader.engine.trades, self._interrupt, trader.lost)
        waits = [asyncio.create_task(event.wait()) for event in events]
        left = max(0.0, deadline - time.monotonic())
        await asyncio.wait({*waits, self._life}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self._interrupt.is_set():
            return f"given up: {self._interrupted_by}"
        if self._life.done():
            error = self._life.exception()
            return f"the engine broke: {type(error).__name__}: {error}" if error else "the engine ended"
        if trader.lost.is_set():
            return f"the lease was lost: {trader.lease.lost()}"
        if trader.engine.trades.is_set():
            return None
        return f"it does not trade yet: {trader.health().get('output', 'no reason known')}"

    async def demote(self, timeout: float, working_orders: WorkingOrders) -> Outcome:
        """Stop trading, give the lease back, go on as a standby; ``timeout`` limits the wait for the broker."""
        started = time.monotonic()
        self._give_up_promotion("demoted meanwhile")
        async with self._turn:
            if self._stopping:
                return self._outcome(HTTPStatus.SERVICE_UNAVAILABLE, started, reason="the engine is stopping")
            if isinstance(self._now, Standby):
                return self._outcome(HTTPStatus.OK, started, changed=False)
            trader = self._now
            trader.engine.working_orders_on_stop = working_orders
            trader.engine.drain_limit_seconds = timeout
            self._life = None
            fields: dict[str, object] = {"changed": True}
            try:
                if await trader.end() == EXIT_LEASE_LOST:
                    self._lost_lease = True
                    self._over.set()
            except Exception as error:  # noqa: BLE001 whatever it broke by, it has ended and all is given back
                log.error("engine_broke", traceback=True, reason=f"{type(error).__name__}: {error}")
                fields["failure"] = f"{type(error).__name__}: {error}"
            self._begin(self._new_standby())
            fields["orders_kept"] = [order.order_ref for order in trader.left if order.acknowledged]
            fields["orders_unconfirmed"] = [order.order_ref for order in trader.left if not order.acknowledged]
            if self._lost_lease:
                reason = "the lease was lost meanwhile: nothing more was sent, and the engine ends"
                return self._outcome(HTTPStatus.SERVICE_UNAVAILABLE, started, reason=reason, **fields)
            return self._outcome(HTTPStatus.OK, started, **fields)

    async def flatten(self, reason: str, requested_by: str, timeout: float) -> Outcome:
        """Halt trading, cancel every order and close every position of the account, over a client id of its own."""
        if isinstance(self._now, Standby):
            text = "a standby sends no orders: ask the trading slot, or run the image's flatten command"
            return Outcome(HTTPStatus.CONFLICT, {"role": self._now.role, "reason": text})
        report = await flatten.flatten(self._deployment, reason, requested_by, timeout, self._now.ledger)
        return Outcome(HTTPStatus.OK if report.flat else HTTPStatus.SERVICE_UNAVAILABLE, report.document())

    def _outcome(self, status: HTTPStatus, started: float, **fields: object) -> Outcome:
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        document = {"role": self._now.role, **fields, "lease": self._lease(), "milliseconds": milliseconds}
        return Outcome(status, document)

    # -- what it tells

    def _lease(self) -> dict[str, Any]:
        try:
            newest = read_token(self._deployment.lease_dir)
        except (OSError, ValueError):
            newest = None
        return {
            "held": isinstance(self._now, _Trader) and self._now.lease.lost() is None,
            "token": newest.token if newest else None,
            "owner": newest.owner if newest else None,
        }

    def health(self) -> dict[str, Any]:
        """Return the health document of the engine contract (docs/engine-contract.md)."""
        return self._now.health() | {"lease": self._lease()}

    def metrics_text(self) -> str:
        """Return the Prometheus exposition of this process."""
        if isinstance(self._now, _Trader):
            self._now.engine.refresh_metrics()
        return self._metrics.render(self.health(), self._now.sessions, self._now.sessions_not_understood)
