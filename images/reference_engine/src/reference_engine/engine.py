# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: reconciles with the broker, hands ticks to the strategy, sends its orders, tells its health, drains."""

from __future__ import annotations

import asyncio
import functools
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from . import health, log
from .breaker import CircuitBreaker
from .config import Deployment, EngineConfig
from .containment import Containment
from .dead_man import DeadManSwitch
from .gateway import USABLE_STATES, BrokerLink, LinkError, SessionState, UnknownInstrumentError
from .guard import Guard, Refusal
from .ledger import Difference, FencedError, Ledger, TradingHaltedError
from .metrics import Metrics
from .model import (
    AccountValues,
    Cancel,
    Execution,
    Instrument,
    OpenOrder,
    OrderReport,
    OrderRequest,
    Position,
    Snapshot,
    Tick,
    iso,
    utc_now,
)
from .refusals import Refusals

Role = Literal["starting", "trading", "standby", "stopping"]

EXIT_DRAINED: Final = 0
EXIT_INTERNAL_ERROR: Final = 70

_RECONCILE_EVERY_SECONDS: Final = 60.0
_RECONCILE_SOON_SECONDS: Final = 5.0
# So old must a session be before an order of an earlier one, which the broker does not name, counts as never arrived.
# The gateway has read the earlier session to its end then; this is for what it passes on to the broker.
_EARLIER_SESSION_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 1.0
# Half of the 30 s between SIGTERM and SIGKILL; the rest is for closing.
_DRAIN_LIMIT_SECONDS: Final = 15.0
_DUTY_EVERY_SECONDS: Final = 1.0
# An order without an answer for so long is asked for: the broker may have it, and its acknowledgement is lost.
_ANSWER_SECONDS: Final = 5.0
# So often the fills of an order that the broker calls filled are asked for; then a person must look.
_FILLS_ASKED_FOR: Final = 2
# So many orders may wait for the pace; at 45 messages a second that is some two seconds.
_MOST_HELD_ORDERS: Final = 100
# The file is no sound database (SQLite, "Result and Error Codes"): the primary code is the lowest byte.
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


async def _nothing(_: Instrument) -> None:
    """Wait for nothing."""


def _told(method: Callable[..., None]) -> Callable[..., None]:
    """Guard what the broker link calls: an event library would swallow the exception and trading would go on."""

    @functools.wraps(method)
    def guarded(self: Engine, *told: object) -> None:
        try:
            method(self, *told)
        except sqlite3.Error as error:
            self._ledger_failed(error)
        except Exception as error:  # noqa: BLE001 whatever it is, an engine that does not understand stops
            self._fail(error)

    return guarded


class Engine:
    """One engine of one account. `run` is its life; the rest is what the control socket asks and the link tells."""

    def __init__(self, deployment: Deployment, config: EngineConfig, ledger: Ledger, link: BrokerLink) -> None:
        self.role: Role = "starting"
        self.metrics = Metrics()
        self._deployment = deployment
        self._config = config
        self._ledger = ledger
        self._link = link
        self._open: list[OpenOrder] = ledger.open_orders()
        self._positions: dict[int, tuple[str, float]] = {}
        self._strategy = Containment(config.strategy, config.containment, self._strategy_failed)
        self._instruments = config.instruments
        # Rises whenever the broker may have done things unseen; a reconciliation begun before that is no longer true.
        self._epoch = 0
        self._last_tick: float | None = None
        self._reconciled = False
        self._last_reconciliation: datetime | None = None
        self._reconcile_at = 0.0
        self._reconciling: asyncio.Task[None] | None = None
        self._superseded = False
        self._ledger_error: str | None = None
        self._data_error: str | None = None
        self._failure: Exception | None = None
        self._sent_at: dict[str, float] = {}
        # The link's present session: its number, when it began, and the orders that it was given.
        self._session = 0
        self._session_began = 0.0
        self._sent_now: set[str] = set()
        # Orders that the broker called filled before their fills came: since when, and how often they were asked for.
        self._fills_due: dict[str, tuple[float, int]] = {}
        self._ask_anew = False
        self._cancel_asked: set[str] = set()
        # By con_id: the strategy's instruments as the broker knows them, and the newest tick of each.
        self.known: dict[int, Instrument] = {}
        self.ticks: dict[int, Tick] = {}
        self._account_values = AccountValues()
        # Why this engine does not trade now, by who says so; `block` and `unblock` keep it.
        self._blocks: dict[str, str] = {}
        # Why nothing may be opened now, though positions may be closed; `restrict` and `unrestrict` keep it.
        self._restrictions: dict[str, str] = {}
        self.breaker = CircuitBreaker(config.breaker)
        self._dead_man = DeadManSwitch(config.dead_man.after_seconds)
        # Wishes that wait for the pace; they count as open orders, so that the strategy does not wish again.
        self._held: deque[OrderRequest] = deque()
        self._held_timer: asyncio.TimerHandle | None = None
        self.guards: list[Guard] = [self.breaker]
        """What every order must pass, in this order."""
        self.lease_check: Callable[[], Refusal | None] = lambda: None
        """Asked last, when an order is about to leave: does this engine still have the right to trade?"""
        self._refusals = Refusals(ledger)
        self.duties: list[Callable[[datetime], None]] = [self._refusals.write, self._watch_link, self._miss_answers]
        """What is to be done once a second, trading or not; an exception there stops the engine as any other does."""
        self.trades = asyncio.Event()
        """Set when it is first reconciled and its role is trading."""
        self.working_orders_on_stop = config.working_orders_on_stop
        """What the drain does with orders that work at the broker; a hand-over to another engine keeps them."""
        self.drain_limit_seconds = _DRAIN_LIMIT_SECONDS
        self.companions: list[Callable[[], Coroutine[Any, Any, None]]] = []
        """What runs as long as the engine does; one that ends stops the engine."""
        self.on_known: Callable[[Instrument], Awaitable[None]] = _nothing
        """Awaited with every instrument of the strategy's before anything is ordered."""
        self.ticks_due_since: Callable[[datetime], datetime | None] = lambda _: _LONG_AGO
        """Since when ticks must come in, None while they need not: the exchange is closed."""
        self.figures: Callable[[], Mapping[str, tuple[float, str]]] = dict
        """Figures of risk to show: value and unit by name."""
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._over = asyncio.Event()

    # -- life

    async def run(self, stop: asyncio.Event) -> int:
        """Trade until ``stop`` is set (or something breaks), drain, and return the exit code."""
        self._ledger.on_failure = self._ledger_failed
        try:
            self._ledger.record_event("engine_started", f"strategy {self._config.strategy_name}")
        except sqlite3.Error as error:
            self._ledger_failed(error)
        log.info(
            "engine_started",
            stack=self._deployment.stack,
            slot=self._deployment.slot,
            release=self._deployment.release,
            account=self._deployment.account,
            strategy=self._config.strategy_name,
        )
        tasks: list[asyncio.Task[None]] = [
            asyncio.create_task(self._link.run(self)),
            asyncio.create_task(self._keep_reconciled()),
            asyncio.create_task(self._do_duties()),
            *(asyncio.create_task(companion()) for companion in self.companions),
        ]
        waits = [asyncio.create_task(event.wait()) for event in (stop, self._over)]
        try:
            await asyncio.wait([*tasks, *waits], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                # A part of the engine that ends did so by an exception.
                if task.done() and isinstance(broken := task.exception(), Exception):
                    self._fail(broken)
            drained = await self._drain()
        finally:
            for running in [*tasks, *waits]:
                running.cancel()
            await asyncio.gather(*tasks, *waits, return_exceptions=True)
        if self._failure is not None:
            raise self._failure
        return EXIT_DRAINED if drained else EXIT_INTERNAL_ERROR

    async def _keep_reconciled(self) -> None:
        while True:
            self._wake.clear()
            pause = self._reconcile_at - time.monotonic()
            if pause > 0 or not self._may_reconcile():
                try:
                    async with asyncio.timeout(max(pause, 0.0) or _RECONCILE_EVERY_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                continue
            self._reconciling = asyncio.create_task(self._reconcile())
            try:
                await self._reconciling
                self._reconcile_at = max(self._reconcile_at, time.monotonic() + _RETRY_SECONDS)
            except asyncio.CancelledError:
                if not self._superseded:
                    self._reconciling.cancel()
                    raise
                self._superseded = False
            except sqlite3.Error as error:
                self._ledger_failed(error)
            except LinkError as error:
                log.warning("reconciliation_failed", reason=error)
                self._reconcile_at = time.monotonic() + _RETRY_SECONDS
            finally:
                self._reconciling = None

    async def _do_duties(self) -> None:
        while True:
            now = utc_now()
            for duty in self.duties:
                try:
                    duty(now)
                except sqlite3.Error as error:
                    self._ledger_failed(error)
            await asyncio.sleep(_DUTY_EVERY_SECONDS)

    def _may_reconcile(self) -> bool:
        return self._link.state in USABLE_STATES and self._account_problem() is None

    def _want_reconciliation(self, seconds: float) -> None:
        self._reconcile_at = min(self._reconcile_at, time.monotonic() + seconds)
        self._wake.set()

    async def _reconcile(self) -> None:
        epoch = self._epoch
        self._reconcile_at = time.monotonic() + _RECONCILE_EVERY_SECONDS
        anew, self._ask_anew = self._ask_anew, False
        tells = time.monotonic() - self._session_began >= _EARLIER_SESSION_SECONDS
        try:
            snapshot = await self._snapshot(anew=anew)
        except BaseException:
            self._ask_anew = self._ask_anew or anew
            raise
        found = self._ledger.reconcile(snapshot, self._sent_now if tells else None)
        executions = found.new_executions
        if not found.differences:
            self._take_positions(snapshot)
        elif not await self._settle_positions(found.differences):
            self._reconcile_at = time.monotonic() + _RETRY_SECONDS
            return
        if found.orders_in_flight:
            self._reconcile_at = time.monotonic() + _RECONCILE_SOON_SECONDS
            if not tells and not self._sent_now.issuperset(found.orders_in_flight):
                # The executions again: what is settled next must be in none of the broker's answers.
                self._ask_anew = True
                self._reconcile_at = self._session_began + _EARLIER_SESSION_SECONDS
        await self._subscribe()
        if epoch != self._epoch or self._link.state not in USABLE_STATES:
            self._reconcile_at = 0.0
            return
        self._ledger_error = None
        self._open = self._ledger.open_orders()
        self._link.forget_finished()
        self._last_reconciliation = utc_now()
        self.metrics.reconciliations += 1
        self._changed.set()
        settled = found.orders_settled
        if not self._reconciled or executions or settled:
            log.info("reconciled", executions=executions, settled=len(settled), open=len(self._open))
            self._ledger.record_event(
                "reconciled", f"{executions} new executions, {len(settled)} orders settled", {"settled": settled}
            )
        self._reconciled = True
        self._forget_answered(settled)
        if self._dead_man.tripped:
            self._return_to_life()
        if self.role == "starting":
            self.role = "trading"
            self.trades.set()
            self._ledger.set_trading_state("trading", f"release {self._deployment.release} trades")
            log.info("role", role=self.role)

    def _forget_answered(self, settled: Sequence[str]) -> None:
        """After a reconciliation: an order that the broker never answered for has failed; others need no watching."""
        working = {order.order_ref for order in self._open}
        self._cancel_asked &= working
        self._sent_now &= working
        unanswered = {order.order_ref for order in self._open if not order.acknowledged}
        for order_ref in [order_ref for order_ref in self._sent_at if order_ref not in unanswered]:
            del self._sent_at[order_ref]
            if order_ref in settled:
                self._order_failed(order_ref, "the broker did not answer for it")
            else:
                self._order_succeeded(order_ref)

    async def _snapshot(self, *, anew: bool) -> Snapshot:
        return await self._link.snapshot([order.order_ref for order in self._open], anew=anew)

    async def _settle_positions(self, differences: list[Difference]) -> bool:
        """Adopt the broker's positions where they still differ on a second look without a fill in between.

        A fill and the position it makes come in two messages; between them ledger and broker differ for a moment, in
        which the strategy goes on seeing what the fills make: with the broker's old number it would order twice.
        """
        executions = self._ledger.rows["executions"]
        await asyncio.sleep(_SETTLE_SECONDS)
        # What explains the difference may be a fill of which the news got lost.
        snapshot = await self._snapshot(anew=True)
        again = self._ledger.reconcile(snapshot).differences
        if not again:
            self._take_positions(snapshot)
            return True
        if self._ledger.rows["executions"] != executions or again != differences:
            return False
        self._ledger.adopt_positions(differences, snapshot.positions)
        self._take_positions(snapshot)
        for difference in differences:
            log.warning(
                "position_adopted",
                symbol=difference.symbol,
                ledger=difference.ledger_quantity,
                broker=difference.broker_quantity,
            )
        return True

    def _take_positions(self, snapshot: Snapshot) -> None:
        self._positions = {p.instrument.con_id: (p.instrument.symbol, p.quantity) for p in snapshot.positions}

    async def _subscribe(self) -> None:
        try:
            for instrument in self._instruments:
                known = await self._link.subscribe(instrument)
                self.known[known.con_id] = known
                await self.on_known(known)
        except UnknownInstrumentError as error:
            if self._data_error is None:
                log.error("unknown_instrument", reason=error)
            self._data_error = str(error)
            return
        self._data_error = None

    async def _drain(self) -> bool:
        """No new orders; working ones are cancelled or kept; True when the broker has answered for all of them."""
        self.role = "stopping"
        log.info("role", role=self.role, open=len(self._open))
        deadline = time.monotonic() + self.drain_limit_seconds
        while (waiting := self._to_wait_for()) and (left := deadline - time.monotonic()) > 0:
            self._changed.clear()
            self._cancel_working()
            try:
                async with asyncio.timeout(min(left, _RETRY_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        kept = len(self._open) - len(waiting)
        reason = f"drained, {kept} orders kept working" if kept else "drained"
        if waiting:
            reason = f"stopped with {len(waiting)} orders that the broker did not confirm as ended"
            self._ledger.record_risk_event(
                "drain_incomplete", "warning", f"{reason}: {', '.join(order.order_ref for order in waiting)}"
            )
        self._refusals.close()
        self._ledger.set_trading_state("stopped", reason)
        self._ledger.record_event("engine_stopped", reason)
        self._ledger.commit()
        log.info("engine_stopped", reason=reason)
        return not waiting

    def _to_wait_for(self) -> list[OpenOrder]:
        if self.working_orders_on_stop == "cancel":
            return self._open
        return [order for order in self._open if not order.acknowledged]

    def _cancel_working(self) -> None:
        if self.working_orders_on_stop == "cancel":
            self._cancel_all()

    def _cancel_all(self) -> None:
        """Ask for every open order to be cancelled that this was not asked for yet."""
        self.cancel(order.order_ref for order in self._open)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            log.error("failed", reason=f"{type(error).__name__}: {error}")
            self._failure = error
            self._over.set()

    def _ledger_failed(self, error: sqlite3.Error) -> None:
        """Stop sending; what was missed is read again from the broker once the ledger can be written."""
        if self._ledger_error is None:
            log.error("ledger_failed", reason=error)
        self._ledger_error = str(error)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            # That later writes go through again does not heal it.
            self.block("ledger", f"the ledger is damaged ({error}): restore it and start the engine again")
        self._reconciled = False
        self._reconcile_at = time.monotonic() + _RETRY_SECONDS
        self._wake.set()

    # -- duties

    def _watch_link(self, now: datetime) -> None:  # noqa: ARG002 a duty's form
        alone = self._dead_man.look(self._link.state in USABLE_STATES)
        if alone is None:
            return
        settings = self._config.dead_man
        orders = "will be cancelled" if settings.working_orders == "cancel" else "are kept"
        reason = f"no usable link for {alone:.0f} s ({self._link.state}: {self._link.reason}); working orders {orders}"
        self.block("dead_man_switch", reason)
        log.error("dead_man_switch", seconds=round(alone, 1), reason=self._link.reason)
        if settings.resume == "manual":
            self._ledger.halt_trading("dead_man_switch", reason)
        else:
            self._ledger.record_risk_event("dead_man_switch", "critical", reason)

    def _return_to_life(self) -> None:
        """Reconciled after the dead man's switch: end the working orders if that is the policy, then trade again."""
        if self._config.dead_man.working_orders == "cancel" and self._open:
            self._cancel_all()
            self._want_reconciliation(_RECONCILE_SOON_SECONDS)
            return
        self._dead_man.reset()
        self.unblock("dead_man_switch")
        if self._config.dead_man.resume == "automatic":
            self._ledger.resolve_risk_events("dead_man_switch", "reconciled with the broker again")

    def _miss_answers(self, now: datetime) -> None:  # noqa: ARG002 a duty's form
        oldest = next(iter(self._sent_at.values()), None)
        missing = oldest is not None and time.monotonic() - oldest > _ANSWER_SECONDS
        clock = time.monotonic()
        due = {ref: asked for ref, (since, asked) in self._fills_due.items() if clock - since > _ANSWER_SECONDS}
        for order_ref in due:
            del self._fills_due[order_ref]
        lost = self._ledger.without_fills(due)
        for order_ref in lost:
            if due[order_ref] < _FILLS_ASKED_FOR:
                self._fills_due[order_ref] = (clock, due[order_ref] + 1)
            else:
                asked = due[order_ref]
                text = f"the broker calls order {order_ref} filled; asked {asked} times, it does not name all its fills"
                log.error("fill_missing", order_ref=order_ref)
                self._ledger.record_risk_event("fill_missing", "critical", text)
        if missing or any(order_ref in self._fills_due for order_ref in lost):
            self._ask_anew = True
            self._want_reconciliation(0.0)

    # -- what the broker link tells

    @_told
    def on_state(self, state: SessionState, reason: str) -> None:
        (log.info if state == "ready" else log.warning)("gateway", state=state, reason=reason or "connected")
        self._ledger.record_event("gateway_state", reason or "connected", {"state": state})

    @_told
    def on_session(self) -> None:
        self._epoch += 1
        if self._session != self._link.sessions:
            self._session, self._session_began = self._link.sessions, time.monotonic()
            self._sent_now.clear()
        self._reconciled = False
        self._last_tick = None
        self._cancel_asked.clear()
        if self._reconciling is not None and not self._reconciling.done():
            # What it waits for was asked before the broker was away: nobody need wait for that answer.
            self._superseded = self._reconciling.cancel()
        problem = self._account_problem()
        if problem:
            log.error("account_refused", reason=problem)
        self._reconcile_at = 0.0
        self._wake.set()

    @_told
    def on_tick(self, tick: Tick) -> None:
        self._last_tick = time.monotonic()
        self.ticks[tick.instrument.con_id] = tick
        self.metrics.ticks += 1
        if not self._may_trade():
            return
        for wish in self._strategy.on_tick(tick, self):
            if isinstance(wish, Cancel):
                self._carry_cancel(wish)
            elif self._held or self._link.order_wait() > 0:
                self._hold(wish)
            else:
                self.submit(wish)

    def _strategy_failed(self, text: str, too_many: bool) -> None:
        """Note an exception of the strategy's; with too many it is not asked again, and its working orders end."""
        self._ledger.record_risk_event("strategy_error", "warning", text)
        if not too_many or "strategy" in self._blocks:
            return
        limits = self._config.containment
        reason = (
            f"the strategy failed {limits.max_errors} times in {limits.error_window_seconds:g} s, "
            f"the last time in {text}; correct it and start the engine again"
        )
        self.block("strategy", reason)
        self._ledger.record_risk_event("strategy_stopped", "critical", reason)
        self._cancel_working()

    @_told
    def on_order(self, report: OrderReport) -> None:
        sent_at = self._sent_at.get(report.order_ref)
        if sent_at is not None and report.status != "PendingSubmit":
            del self._sent_at[report.order_ref]
            self.metrics.acknowledgements += 1
            self.metrics.acknowledgement_seconds += time.monotonic() - sent_at
        change = self._ledger.record_order(report)
        if change is None:
            self._want_reconciliation(_RECONCILE_SOON_SECONDS)
        elif change.new != change.old:
            log.info("order", order_ref=report.order_ref, status=change.new, filled=report.filled, text=report.message)
            self._orders_changed()
            if change.new == "filled":
                self._fills_due[report.order_ref] = (time.monotonic(), 0)
            if change.new == "rejected":
                self._order_failed(report.order_ref, report.message)
            elif change.new != "sent":
                self._order_succeeded(report.order_ref)
            if "strategy" not in self._blocks:
                self._strategy.on_order(report, self)

    @_told
    def on_refused(self, order_ref: str, code: int, text: str) -> None:
        log.warning("change_refused", order_ref=order_ref, code=code, reason=text)
        self.metrics.changes_refused += 1
        self._cancel_asked.discard(order_ref)
        self._want_reconciliation(_RECONCILE_SOON_SECONDS)

    @_told
    def on_execution(self, execution: Execution) -> None:
        change = self._ledger.record_execution(execution)
        if change is None:
            return
        self.metrics.executions += not change.corrects
        self.metrics.corrections += bool(change.corrects)
        instrument = execution.instrument
        held = self._positions.get(instrument.con_id, ("", 0.0))[1]
        self._positions[instrument.con_id] = (instrument.symbol, round(held + change.quantity, 9))
        log.info(
            "execution_corrected" if change.corrects else "execution",
            order_ref=execution.order_ref,
            side=execution.side,
            quantity=execution.quantity,
            symbol=instrument.symbol,
            price=execution.price,
            exec_id=execution.exec_id,
        )
        self._orders_changed()
        self._order_succeeded(execution.order_ref)
        if "strategy" not in self._blocks:
            self._strategy.on_fill(execution, self)

    @_told
    def on_commission(self, execution: Execution) -> None:
        if execution.commission is not None:
            self._ledger.record_commission(execution)

    @_told
    def on_position(self, position: Position) -> None:
        self._ledger.record_position(position)
        if position.quantity != self.position(position.instrument):
            # A trade made by hand, or a fill of ours that is still on its way.
            self._want_reconciliation(_RECONCILE_SOON_SECONDS)

    @_told
    def on_account(self, values: AccountValues) -> None:
        self._account_values = values

    def _orders_changed(self) -> None:
        self._open = self._ledger.open_orders()
        self._changed.set()

    # -- orders

    def block(self, name: str, reason: str) -> None:
        """Stop trading for a reason, until `unblock`; /health shows it under the name."""
        if name not in self._blocks:
            log.warning("trading_blocked", by=name, reason=reason)
        self._blocks[name] = reason

    def unblock(self, name: str) -> None:
        """Take a reason back; trading goes on when it was the last."""
        if self._blocks.pop(name, None) is not None:
            log.info("trading_unblocked", by=name)

    def restrict(self, name: str, reason: str) -> None:
        """Let /health show why only closing is allowed, until `unrestrict`; a guard refuses the rest."""
        if name not in self._restrictions:
            log.warning("trading_restricted", by=name, reason=reason)
        self._restrictions[name] = reason

    def unrestrict(self, name: str) -> None:
        """Take a reason back."""
        if self._restrictions.pop(name, None) is not None:
            log.info("trading_unrestricted", by=name)

    def blockers(self) -> Iterator[tuple[str, str]]:
        """Yield every reason why no order is sent now, as (name, text). The strategy is asked only without any."""
        if self.role != "trading":
            yield "role", f"role is {self.role}"
        if self._failure is not None:
            yield "failure", f"{type(self._failure).__name__}: {self._failure}"
        if self._link.state != "ready":
            yield "gateway", f"{self._link.state}: {self._link.reason}"
        if problem := self._account_problem():
            yield "account", problem
        if not self._reconciled:
            yield "reconciliation", "not reconciled with the broker since the session began"
        if halt := self._ledger.halt():
            yield "halt", f"trading is halted: {halt}"
        if reason := self.breaker.reason():
            yield "circuit_breaker", reason
        yield from self._blocks.items()

    def _may_trade(self) -> bool:
        return next(self.blockers(), None) is None

    def _hold(self, request: OrderRequest) -> None:
        """Let a wish wait until the pace allows its order; only then the guards are asked."""
        if len(self._held) >= _MOST_HELD_ORDERS:
            text = f"{len(self._held)} orders wait already to be sent at the allowed pace, wanted at most as many"
            self._refuse(request, Refusal("pacing", text))
            return
        self._held.append(request)
        self.metrics.orders_held += 1
        if self._held_timer is None:
            self._held_timer = asyncio.get_running_loop().call_later(self._link.order_wait(), self._send_held)

    @_told
    def _send_held(self) -> None:
        self._held_timer = None
        while self._held and self._link.order_wait() <= 0:
            if blocker := next(self.blockers(), None):
                dropped, self._held = self._held, deque()
                why = Refusal("stopped", "trading stopped while it waited for the pace: {}: {}".format(*blocker))
                for wish in dropped:
                    self._refuse(wish, why)
                return
            self.submit(self._held.popleft())
        if self._held:
            self._held_timer = asyncio.get_running_loop().call_later(self._link.order_wait(), self._send_held)

    def _carry_cancel(self, wish: Cancel) -> None:
        if not any(order.order_ref == wish.order_ref for order in self._open):
            log.warning("cancel_refused", order_ref=wish.order_ref, reason="no open order of that order_ref")
        elif self.lease_check() is None:
            self.cancel([wish.order_ref])

    def submit(self, request: OrderRequest, by: str = "") -> str | None:
        """Carry a wish to the broker: guards, lease, intent committed, bytes leave, marked sent.

        ``by``: whose wish it is, empty for the strategy's. Returns the order_ref of a new order that left, or None.
        """
        request = self._with_known_instrument(request)
        if refusal := self._refusal_of(request):
            self._refuse(request, refusal)
            return None
        if request.replaces:
            self._change(request)
            return None
        order_ref = f"{self._deployment.stack}:{secrets.token_hex(8)}"
        try:
            broker_order_id = self._link.next_order_id()
        except LinkError as error:
            log.warning("order_not_sent", reason=error)
            return None
        if refusal := self.lease_check():
            self._refuse(request, refusal)
            return None
        try:
            self._ledger.record_intent(
                order_ref,
                request,
                strategy=by or self._config.strategy_name,
                client_id=self._deployment.client_id,
                broker_order_id=broker_order_id,
            )
        except TradingHaltedError as error:
            self._refuse(request, Refusal("halted", f"trading is halted: {error}"))
            return None
        except FencedError as error:
            self.block("lease", str(error))
            self._refuse(request, Refusal("fenced", str(error), "critical"))
            return None
        # Asked again: the commit takes a disk's time, or all of a freeze.
        if refusal := self.lease_check():
            self._ledger.mark_not_sent(order_ref, refusal.message)
            self._refuse(request, refusal)
            return None
        try:
            self._link.place(order_ref, broker_order_id, request)
        except LinkError as error:
            self._ledger.mark_not_sent(order_ref, str(error))
            self._order_failed(order_ref, str(error))
            log.warning("order_not_sent", order_ref=order_ref, reason=error)
            return None
        self.breaker.sent(order_ref)
        self._sent_now.add(order_ref)
        self._sent_at[order_ref] = time.monotonic()
        self.metrics.orders_sent += 1
        self._ledger.mark_sent(order_ref)
        self._orders_changed()
        log.info(
            "order_sent",
            order_ref=order_ref,
            side=request.side,
            quantity=request.quantity,
            symbol=request.instrument.symbol,
            type=request.order_type,
        )
        return order_ref

    def _change(self, request: OrderRequest) -> None:
        """Carry a wish for other terms of a working order to the broker: as for a new order, with the order it has."""
        order_ref = request.replaces
        if refusal := self.lease_check():
            self._refuse(request, refusal)
            return
        try:
            self._ledger.record_change(order_ref, request)
            if refusal := self.lease_check():
                self._refuse(request, refusal)
                return
            if self._link.change(order_ref, request):
                self.metrics.changes_sent += 1
                log.info("order_change", order_ref=order_ref, quantity=request.quantity, type=request.order_type)
        except TradingHaltedError as error:
            self._refuse(request, Refusal("halted", f"trading is halted: {error}"))
        except FencedError as error:
            self.block("lease", str(error))
            self._refuse(request, Refusal("fenced", str(error), "critical"))
        except LinkError as error:
            log.warning("order_not_changed", order_ref=order_ref, reason=error)

    def _with_known_instrument(self, request: OrderRequest) -> OrderRequest:
        """Return the request with the instrument as the broker knows it, where the strategy names it by its symbol."""
        known = self.known.get(self._con_id(request.instrument))
        outside = self._config.trading_hours.session != "liquid"
        return replace(request, instrument=known or request.instrument, outside_regular_hours=outside)

    def _order_succeeded(self, order_ref: str) -> None:
        if self.breaker.succeeded(order_ref):
            log.info("circuit_breaker", state="closed", order_ref=order_ref)
            self._ledger.resolve_risk_events("circuit_breaker", f"order {order_ref} was acknowledged")

    def _order_failed(self, order_ref: str, reason: str) -> None:
        if self.breaker.failed(order_ref, reason):
            text = self.breaker.reason() or reason
            log.error("circuit_breaker", state="open", reason=text)
            self._ledger.record_risk_event("circuit_breaker", "warning", text)

    def _refusal_of(self, request: OrderRequest) -> Refusal | None:
        if request.replaces and not any(o.order_ref == request.replaces and o.acknowledged for o in self._open):
            return Refusal("not_working", f"order {request.replaces} does not work at the broker: it cannot be changed")
        if request.instrument.con_id not in self.known:
            symbol = request.instrument.symbol
            return Refusal("unknown_instrument", f"{symbol} is none of the instruments that the strategy asked for")
        now = utc_now()
        for guard in self.guards:
            if refusal := guard.refusal(request, now):
                return refusal
        return None

    def _refuse(self, request: OrderRequest, refusal: Refusal) -> None:
        """Leave every trace of an order that is not sent."""
        self.metrics.refusals[refusal.kind] += 1
        self._refusals.note(request, refusal, utc_now())
        if "strategy" not in self._blocks:
            self._strategy.on_refusal(request, refusal, self)

    def cancel(self, order_refs: Iterable[str]) -> None:
        """Ask the broker to end working orders; asked once for each in a session."""
        try:
            for order_ref in order_refs:
                if order_ref not in self._cancel_asked and self._link.cancel(order_ref):
                    self._cancel_asked.add(order_ref)
                    self.metrics.cancels_sent += 1
                    log.info("order_cancel", order_ref=order_ref)
        except LinkError as error:
            log.warning("cancel_not_sent", reason=error)

    # -- what a strategy may know (AccountView)

    @property
    def open(self) -> Sequence[OpenOrder]:
        """Every order without a final status, oldest first."""
        return self._open

    @property
    def positions(self) -> Mapping[int, tuple[str, float]]:
        """Symbol and signed quantity by con_id; what was closed is there with 0.0, or not at all."""
        return self._positions

    @property
    def reconciled(self) -> bool:
        """Whether ledger and broker agreed since the session began."""
        return self._reconciled

    def _con_id(self, instrument: Instrument) -> int:
        """Return the broker's number, also of an instrument as the strategy named it, which has none; 0 if unknown."""
        if instrument.con_id:
            return instrument.con_id
        return next((con_id for con_id, known in self.known.items() if known.is_named(instrument)), 0)

    def position(self, instrument: Instrument) -> float:
        return self._positions.get(self._con_id(instrument), ("", 0.0))[1]

    def open_orders(self, instrument: Instrument) -> int:
        waiting = sum(self._con_id(wish.instrument) == self._con_id(instrument) for wish in self._held)
        return len(self.orders(instrument)) + waiting

    def orders(self, instrument: Instrument) -> Sequence[OpenOrder]:
        con_id = self._con_id(instrument)
        return [order for order in self._open if order.con_id == con_id]

    def price(self, instrument: Instrument) -> float | None:
        tick = self.ticks.get(self._con_id(instrument))
        return None if tick is None else tick.price

    @property
    def account_values(self) -> AccountValues:
        return self._account_values

    # -- health

    def _account_problem(self) -> str | None:
        return self._deployment.account_problem(self._link.accounts)

    def _last_tick_age(self) -> float | None:
        return None if self._last_tick is None else time.monotonic() - self._last_tick

    def _data_problem(self) -> str | None:
        if not self._instruments:
            return None
        now = utc_now()
        limit = self._config.max_tick_age_seconds
        return health.data_problem(self._last_tick_age(), limit, self.ticks_due_since(now), now)

    def _checks(self) -> dict[str, tuple[str, str]]:
        """Return name -> (status, output) of every check; output is empty for a pass."""
        checks = dict.fromkeys(("account", "gateway", "ledger", "reconciliation", "data", "trading"), ("pass", ""))
        problem = self._account_problem()
        if problem:
            checks["account"] = ("fail", problem)
        if self._link.state not in USABLE_STATES:
            checks["gateway"] = ("fail", f"{self._link.state}: {self._link.reason}")
        halt = None
        try:
            self._ledger.check_writable()
            halt = self._ledger.halt()
            if self._ledger_error:
                checks["ledger"] = ("fail", f"a write failed, reconciling: {self._ledger_error}")
        except sqlite3.Error as error:
            checks["ledger"] = ("fail", f"cannot be written: {error}")
        if not self._reconciled:
            checks["reconciliation"] = ("fail", "not reconciled with the broker since the session began")
        if self._link.state == "data_stale":
            checks["data"] = ("fail", self._link.reason)
        elif self._data_error:
            checks["data"] = ("fail", self._data_error)
        elif problem := self._data_problem():
            checks["data"] = ("fail", problem)
        if self.role != "trading":
            checks["trading"] = ("fail", f"role is {self.role}")
        elif halt:
            checks["trading"] = ("warn", f"trading is halted: {halt}")
        elif self._blocks or self._restrictions or self.breaker.state != "closed":
            reasons = self._blocks | self._restrictions
            reasons |= {"circuit_breaker": reason} if (reason := self.breaker.reason()) else {}
            if not reasons:
                reasons = {"circuit_breaker": "orders failed repeatedly; the next one is a probe"}
            checks["trading"] = ("warn", "; ".join(f"{name}: {text}" for name, text in reasons.items()))
        return checks

    def health(self) -> dict[str, Any]:
        """Return the health document of the engine contract (docs/engine-contract.md)."""
        reconciled_at = self._last_reconciliation
        document = health.compose(
            self._deployment,
            self._config.strategy_name,
            self.role,
            self._link,
            self._last_tick_age(),
            self._checks(),
        )
        return document | {
            "trading": {
                "blocked_by": dict(self.blockers()),
                "restricted_by": dict(self._restrictions),
                "circuit_breaker": self.breaker.state,
            },
            "risk": {name: value for name, (value, _) in self.figures().items()},
            "orders": {"open": len(self._open)},
            "positions": {symbol: quantity for symbol, quantity in self._positions.values() if quantity},
            "ledger": {"schema_version": self._ledger.schema_version, "rows": dict(self._ledger.rows)},
            "last_reconciliation": iso(reconciled_at) if reconciled_at else None,
        }

    def refresh_metrics(self) -> None:
        """Take over into `metrics` what others count."""
        metrics, strategy = self.metrics, self._strategy
        metrics.gateway_attempts, metrics.gateway_codes = self._link.attempts, self._link.codes
        metrics.gateway_clock_skew_seconds = self._link.clock_skew_seconds
        metrics.breaker_state, metrics.breaker_opened = self.breaker.state, self.breaker.opened
        metrics.dead_man_tripped, metrics.dead_man_trips = self._dead_man.tripped, self._dead_man.trips
        metrics.ledger_commits, metrics.ledger_commit_seconds = self._ledger.commits, self._ledger.commit_seconds
        metrics.strategy_calls, metrics.strategy_call_seconds = strategy.calls, strategy.seconds
        metrics.strategy_slow_calls, metrics.strategy_errors = strategy.slow_calls, strategy.errors
        metrics.strategy_values = strategy.values() if "strategy" not in self._blocks else {}

    def metrics_text(self) -> str:
        """Return the Prometheus exposition of this engine."""
        self.refresh_metrics()
        return self.metrics.render(self.health(), self._link.sessions, self._link.sessions_not_understood)
