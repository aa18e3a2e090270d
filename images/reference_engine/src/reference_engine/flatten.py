# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emergency stop: halt trading, cancel every order, close every position; with or without an engine.

First the halt, so that an engine that lives sends nothing more; then the cancels; then, when nothing works any more,
the positions, as the broker has them by then. It goes round until the account is flat or the time is over, so it can be
killed and run again. Only one runs at a time: its client id is its lock, for two would close every position twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from . import log
from .config import Deployment, LinkSettings
from .gateway import GatewayAddress, IbEmergency, LinkError, QuietListener, SessionState, UnknownInstrumentError
from .lease import raise_token
from .ledger import EmergencyOutcome, Ledger, LedgerSchemaError
from .model import Execution, OrderReport, OrderRequest, Position, iso, utc_now

STRATEGY: Final = "flatten"
"""What the ledger says sent these orders."""

_LOOK_SECONDS: Final = 0.2
_CANCEL_AGAIN_SECONDS: Final = 3.0
_FILL_SECONDS: Final = 10.0
# After this long without an order or a position nothing that was under way has turned up.
_SETTLED_SECONDS: Final = 0.5
_LINK: Final = LinkSettings(backoff_limit_seconds=2.0, login_wait_seconds=2.0, attempts_per_minute=60)
_FINAL: Final = ("Filled", "Cancelled", "ApiCancelled", "Inactive")


@dataclass
class Report:
    """What an emergency stop did, and what is left. ``None`` is: could not be learned."""

    account: str
    reason: str
    requested_by: str
    flat: bool = False
    """The broker has said that no order works and nothing is held."""
    halted: bool = False
    """Trading is halted in the ledger."""
    fenced: int | None = None
    """The token that fenced every engine out, where the ledger could not halt them."""
    stop: int | None = None
    orders_cancelled: int = 0
    orders_sent: list[str] = field(default_factory=list)
    positions_closed: int = 0
    orders_left: list[str] | None = None
    positions_left: dict[str, float] | None = None
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """Return the report for people, a line for each thing."""
        lines = [
            f"emergency stop of account {self.account}: {'flat' if self.flat else 'NOT FLAT'}, {self.seconds:.1f} s"
        ]
        if self.halted:
            lines.append(f"trading is halted until 'resume' (stop {self.stop} in the ledger)")
        elif self.fenced:
            lines.append(f"the ledger could not halt trading; engines were fenced out with token {self.fenced}")
        else:
            lines.append("trading could NOT be halted: stop the engine by other means")
        lines.append(f"orders ended: {self.orders_cancelled}, positions closed: {self.positions_closed}")
        if not self.flat:
            orders = "unknown" if self.orders_left is None else ", ".join(self.orders_left) or "none"
            positions = "unknown" if self.positions_left is None else _quantities(self.positions_left) or "none"
            lines += [f"orders left: {orders}", f"positions left: {positions}"]
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join(lines)

    def outcome(self) -> EmergencyOutcome:
        return EmergencyOutcome(
            self.flat,
            self.orders_cancelled,
            self.positions_closed,
            None if self.orders_left is None else len(self.orders_left),
            None if self.positions_left is None else len(self.positions_left),
            "; ".join(["flat" if self.flat else "not flat", *self.problems]),
        )


def _quantities(positions: dict[str, float]) -> str:
    return ", ".join(f"{quantity:g} {symbol}" for symbol, quantity in positions.items())


async def flatten(
    deployment: Deployment, reason: str, requested_by: str, timeout: float, ledger: Ledger | None = None
) -> Report:
    """Make the account flat within ``timeout`` seconds; whatever keeps it from that is in the report.

    ``ledger`` is the engine's own, where it runs in an engine; otherwise it is opened, if that can be done.
    """
    started = time.monotonic()
    report = Report(deployment.account, reason, requested_by)
    log.warning("emergency_stop", requested_by=requested_by, reason=reason, timeout=timeout)
    if problem := deployment.account_problem(()):
        report.problems.append(problem)
        return report
    books = _Books(deployment, report, ledger)
    books.begin()
    try:
        address = GatewayAddress(deployment.gateway_host, deployment.gateway_port)
        link = IbEmergency(address, deployment.flatten_client_id, deployment.account, _LINK)
        await _Stop(deployment, link, books, report, started + timeout).run()
    except asyncio.CancelledError:
        report.problems.append("the process ended before it was done")
        raise
    finally:
        report.seconds = round(time.monotonic() - started, 3)
        books.end()
    log.warning("emergency_stop_ended", flat=report.flat, seconds=report.seconds, problems="; ".join(report.problems))
    return report


class _Books:
    """The ledger, as far as it can be had: what cannot be written is a problem of the report and stops nothing."""

    def __init__(self, deployment: Deployment, report: Report, ledger: Ledger | None) -> None:
        self._deployment = deployment
        self._report = report
        self._ledger = ledger
        self._is_ours = ledger is None

    def begin(self) -> None:
        """Halt trading; where the ledger cannot, fence the engines out: none may trade against this."""
        try:
            self._ledger = self._ledger or Ledger(self._deployment)
            self._report.stop = self._ledger.begin_emergency_stop(self._report.reason, self._report.requested_by)
            self._report.halted = True
            return
        except (LedgerSchemaError, sqlite3.Error) as error:
            self._note(f"the ledger is not written: {error}")
        try:
            token = raise_token(self._deployment.lease_dir, "emergency stop", self._deployment.release)
            self._report.fenced = token.token
        except OSError as error:
            self._note(f"no engine could be fenced out: {error}")

    def write(self, act: Callable[[Ledger], object]) -> None:
        if self._ledger is None:
            return
        try:
            if self._ledger.is_closed:
                # The engine's own, and the engine has been demoted or is ending.
                self._ledger, self._is_ours = Ledger(self._deployment), True
            act(self._ledger)
        except (LedgerSchemaError, sqlite3.Error) as error:
            self._note(f"a write to the ledger failed: {error}")

    def end(self) -> None:
        """Note how it ended, also where the ledger could not be written at the beginning."""
        if self._ledger is None:
            return
        if self._report.stop is None:
            with contextlib.suppress(sqlite3.Error):
                self._report.stop = self._ledger.begin_emergency_stop(self._report.reason, self._report.requested_by)
                self._report.halted = True
        if (stop := self._report.stop) is not None:
            self.write(lambda ledger: ledger.end_emergency_stop(stop, self._report.outcome()))
        if self._is_ours:
            self.write(Ledger.close)

    def _note(self, problem: str) -> None:
        log.error("emergency_stop_problem", reason=problem)
        if problem not in self._report.problems:
            self._report.problems.append(problem)


class _Stop(QuietListener):
    """The rounds at the broker. It is the session's listener as well."""

    def __init__(
        self, deployment: Deployment, link: IbEmergency, books: _Books, report: Report, deadline: float
    ) -> None:
        self._deployment = deployment
        self._link = link
        self._books = books
        self._report = report
        self._deadline = deadline
        self._orders: dict[str, str] = {}
        self._answers: dict[str, str] = {}
        self._told = asyncio.Event()
        self._unable: dict[str, str] = {}
        # What was seen to work, by its order_ref, or how many of what has none.
        self._worked: Counter[str] = Counter()

    async def run(self) -> None:
        session = asyncio.create_task(self._link.run(self))
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                while not await self._round():
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            self._report.problems.append("the time is over")
        finally:
            await self._look_back()
            session.cancel()
            await asyncio.gather(session, return_exceptions=True)

    async def _round(self) -> bool:
        """Go round once; True when there is nothing more to do."""
        if self._link.state != "ready":
            await self._next_word()
            return False
        if problem := self._deployment.account_problem(self._link.accounts):
            self._report.problems.append(problem)
            return True
        try:
            await self._cancel_everything()
            positions = await self._held()
            if not positions:
                await asyncio.sleep(_SETTLED_SECONDS)
                return not await self._held() and not await self._working()
            return await self._close(positions)
        except LinkError as error:
            log.warning("emergency_stop_interrupted", reason=error)
            return False

    async def _cancel_everything(self) -> None:
        """Return when no order of any client works any more."""
        asked_at = 0.0
        while working := await self._working():
            self._worked |= Counter(working)
            if time.monotonic() - asked_at > _CANCEL_AGAIN_SECONDS:
                asked_at = time.monotonic()
                log.warning("cancel_everything", orders=len(working))
                self._link.cancel_everything()
            await asyncio.sleep(_LOOK_SECONDS)
        self._report.orders_cancelled = self._worked.total()

    async def _close(self, positions: list[Position]) -> bool:
        """Close what can be closed; True when nothing of what is held can be."""
        sent = [order_ref for position in positions if (order_ref := await self._close_one(position))]
        if not sent:
            return set(self._unable) >= {position.instrument.symbol for position in positions}
        limit = time.monotonic() + _FILL_SECONDS
        while not all(self._orders[order_ref] in _FINAL for order_ref in sent) and time.monotonic() < limit:
            await self._next_word()
        for order_ref in sent:
            if answer := self._answers.get(order_ref):
                log.warning("close_refused", order_ref=order_ref, reason=answer)
        return False

    async def _close_one(self, position: Position) -> str | None:
        symbol = position.instrument.symbol
        try:
            hours = await self._link.find_venue(position)
        except UnknownInstrumentError as error:
            self._unable[symbol] = str(error)
            return None
        now = utc_now()
        # Where the hours are not known the broker will tell.
        if hours is not None and hours.is_known(now) and not hours.is_open(now):
            opens = hours.opens_at(now)
            self._unable[symbol] = f"{symbol}: its market is closed" + (f" until {iso(opens)}" if opens else "")
            return None
        self._unable.pop(symbol, None)
        order_ref = f"{self._deployment.stack}:{STRATEGY}:{secrets.token_hex(6)}"
        request = OrderRequest(
            position.instrument, "SELL" if position.quantity > 0 else "BUY", abs(position.quantity), "MKT"
        )
        self._books.write(
            lambda ledger: ledger.record_intent(
                order_ref,
                request,
                strategy=STRATEGY,
                client_id=self._deployment.flatten_client_id,
                broker_order_id=0,
                emergency=True,
            )
        )
        self._orders[order_ref] = ""
        self._report.orders_sent.append(order_ref)
        log.warning("close", order_ref=order_ref, symbol=symbol, quantity=-position.quantity)
        self._link.close(order_ref, position)
        self._books.write(lambda ledger: ledger.mark_sent(order_ref))
        return order_ref

    async def _look_back(self) -> None:
        """Leave no order of ours behind, and say what is left."""
        self._report.orders_left = self._report.positions_left = None
        self._report.positions_closed = sum(status == "Filled" for status in self._orders.values())
        try:
            async with asyncio.timeout(2.0):
                if self._orders and await self._working():
                    self._link.cancel_everything()
                    while await self._working():
                        await asyncio.sleep(_LOOK_SECONDS)
        except (LinkError, TimeoutError):
            pass
        try:
            async with asyncio.timeout(2.0):
                working, held = await self._working(), await self._held()
        except (LinkError, TimeoutError) as error:
            reason = str(error) or f"{self._link.state}: {self._link.reason}"
            self._report.problems.append(f"what is left could not be learned: {reason}")
            return
        self._report.orders_left = working
        self._report.orders_cancelled = (self._worked - Counter(working)).total()
        self._report.positions_left = {position.instrument.symbol: position.quantity for position in held}
        self._report.flat = not working and not held and not self._deployment.account_problem(self._link.accounts)
        symbols = set(self._report.positions_left)
        self._report.problems += [text for symbol, text in self._unable.items() if symbol in symbols]
        if held:
            self._report.problems += sorted(set(self._answers.values()))

    async def _working(self) -> list[str]:
        return [order.order_ref or f"an order in {order.symbol}" for order in (await self._link.look()).orders]

    async def _held(self) -> list[Position]:
        return [position for position in (await self._link.look()).positions if position.quantity]

    async def _next_word(self) -> None:
        """Wait for the session to say something, or a moment."""
        self._told.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._told.wait()

    # -- what the session tells

    def on_state(self, state: SessionState, reason: str) -> None:
        log.warning("gateway", state=state, reason=reason or "connected")
        self._told.set()

    def on_session(self) -> None:
        self._told.set()

    def on_order(self, report: OrderReport) -> None:
        if report.order_ref in self._orders:
            self._orders[report.order_ref] = report.status
            if report.error_code:
                self._answers[report.order_ref] = f"{report.order_ref} {report.status}: {report.message}"
            self._books.write(lambda ledger: ledger.record_order(report))
            self._told.set()

    def on_execution(self, execution: Execution) -> None:
        self._books.write(lambda ledger: ledger.record_execution(execution))

    def on_commission(self, execution: Execution) -> None:
        self._books.write(lambda ledger: ledger.record_commission(execution))
