# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger as the engine writes it. The engine is its one writer of trading data; the schema is the ledger role's.

Rules kept here: the intent is committed before an order may leave; an execution counts once, by ``exec_id``; what the
broker says in a reconciliation wins, and every correction leaves a trace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from . import round_trip
from .config import Deployment
from .model import Execution, OpenOrder, OrderReport, OrderRequest, Position, Snapshot, iso, utc_now
from .round_trip import DECIMALS, RoundTrip

REQUIRED_SCHEMA_VERSION = 2
OPEN_STATUSES = ("intent", "sent", "submitted", "cancelling")
COUNTED_TABLES = ("orders", "executions", "trades")

_OPEN = "('intent', 'sent', 'submitted', 'cancelling')"
_BUSY_TIMEOUT_MS = 2000
# How long a write may wait for others to share its transaction: what a broker answers within a few milliseconds.
_BATCH_SECONDS = 0.005
_COUNT_EVERY_SECONDS = 60.0
# How long an order that the broker has not acknowledged may still be on its way in the session that sent it.
_IN_FLIGHT = timedelta(seconds=10)
# The broker's order terms (IB API, orderStatus) and the ledger's. Terms that are not here leave the status alone.
_STATUS_OF_BROKER = {
    "ApiPending": "sent",
    "PendingSubmit": "sent",
    "PreSubmitted": "submitted",
    "Submitted": "submitted",
    "ValidationError": "submitted",
    "ApiUpdate": "submitted",
    "PendingCancel": "cancelling",
    "Filled": "filled",
    "Cancelled": "cancelled",
    "ApiCancelled": "cancelled",
    "Inactive": "rejected",
}
_ORDER_CANCELLED_CODE = 202
# The broker corrects a fill by sending it again under an id whose last part is higher (TWS API, "Execution").
_CORRECTABLE_ID = re.compile(r"(.+)\.(\d+)")


class LedgerSchemaError(Exception):
    """The ledger is not there, or its schema is older than this engine needs."""


class TradingHaltedError(Exception):
    """Trading of the account was halted in the ledger; the text says by whom and why."""


class FencedError(Exception):
    """The ledger has seen a newer lease than this engine's: another one trades, or did."""


class LedgerGlance(NamedTuple):
    """What a reader sees of the ledger: the schema, the rows, why trading is halted (None: it is not)."""

    schema_version: int
    rows: dict[str, int]
    halt: str | None


class RowCounter:
    """Counts the rows of a ledger that others write, once a minute: with a million rows that takes tens of ms."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = -math.inf
        self._file: tuple[int, int] | None = None
        self._rows: dict[str, int] = {}

    def count(self, path: Path, connection: sqlite3.Connection) -> dict[str, int]:
        """Return the rows of each of `COUNTED_TABLES`, at most a minute old; raises sqlite3.Error."""
        file = _identity(path)
        if self._clock() >= self._due or file != self._file:
            self._rows = {table: _count(connection, table) for table in COUNTED_TABLES}
            self._due, self._file = self._clock() + _COUNT_EVERY_SECONDS, file
        return dict(self._rows)


def look(deployment: Deployment, counter: RowCounter | None = None) -> LedgerGlance:
    """Look at the ledger without writing; raises `LedgerSchemaError` when an engine could not use it, sqlite3.Error."""
    path = deployment.ledger
    with contextlib.closing(_open(path, "ro")) as connection:
        schema_version = _schema_version(path, connection)
        try:
            rows = (counter or RowCounter()).count(path, connection)
            return LedgerGlance(schema_version, rows, _halt_of(connection, deployment.account))
        except sqlite3.Error as error:
            raise _unusable(path, error) from error


class OrderChange(NamedTuple):
    """The ledger's status of an order before and after the broker's word; the same twice when nothing changed."""

    old: str
    new: str


class FillChange(NamedTuple):
    """What a fill changed: the signed quantity it added, or by which a correction changed what was added."""

    quantity: float
    corrects: str = ""
    """The id of the execution that this one replaced, empty for a new one."""


class Difference(NamedTuple):
    """A position on which ledger and broker disagree (quantities signed)."""

    con_id: int
    symbol: str
    ledger_quantity: float
    broker_quantity: float


class EmergencyOutcome(NamedTuple):
    """How an emergency stop ended; what is left is None where it could not be learned."""

    completed: bool
    orders_cancelled: int
    positions_closed: int
    orders_left: int | None
    positions_left: int | None
    text: str


@dataclass
class Reconciliation:
    """What a reconciliation found."""

    new_executions: int = 0
    orders_settled: list[str] = field(default_factory=list)
    """Orders the broker no longer knows (or never knew), with a final status given to them now."""
    orders_in_flight: list[str] = field(default_factory=list)
    """Orders without an answer that may still arrive: look again soon."""
    differences: list[Difference] = field(default_factory=list)
    """Positions that differ; they may be a fill on its way, so look twice before `Ledger.adopt_positions`."""


class Ledger:
    """One connection, used from one thread. sqlite3.Error of a method means that nothing of it is written.

    Batched, the writes of a few milliseconds share a transaction: the disk is waited for once, not for each. An intent
    never waits: it is committed with everything before it. Reads see what is written, committed or not.
    """

    def __init__(self, deployment: Deployment, *, batched: bool = False) -> None:
        """Open the database; raises `LedgerSchemaError` when it is missing or too old."""
        self._account = deployment.account
        self._slot = deployment.slot
        self._release = deployment.release
        self._client_id = deployment.client_id
        self._path = path = deployment.ledger
        self.is_closed = False
        self._connection = _open(path)
        self._file = _identity(path)
        self._patience_ms = _BUSY_TIMEOUT_MS
        self.fencing_token = 0
        """The token of the lease this engine holds; every intent is checked against the newest one in the ledger."""
        self.on_failure: Callable[[sqlite3.Error], None] | None = None
        """Told when writes that seemed done could not be committed: all of one batch."""
        self.commits = 0
        self.commit_seconds = 0.0
        try:
            self.schema_version = _schema_version(path, self._connection)
        except LedgerSchemaError:
            self._connection.close()
            raise
        # Counted once here and kept up in _transaction: counting a million rows on every look would cost.
        try:
            self.rows: dict[str, int] = {table: _count(self._connection, table) for table in COUNTED_TABLES}
        except sqlite3.Error as error:
            self._connection.close()
            raise _unusable(path, error) from error
        self._batched = batched
        self._commit_due = False
        self._uncommitted_rows = dict.fromkeys(COUNTED_TABLES, 0)

    def check_writable(self) -> None:
        """Take and give back the write lock; raises sqlite3.Error when the ledger cannot be written."""
        if not self._connection.in_transaction:
            self._begin()
            self._connection.execute("ROLLBACK")

    def commit(self) -> None:
        """Commit what waits for the end of the batch; raises sqlite3.Error, and then all of it is undone."""
        if not self._connection.in_transaction:
            return
        started = time.monotonic()
        try:
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self.commits += 1
        self.commit_seconds += time.monotonic() - started
        self._uncommitted_rows = dict.fromkeys(COUNTED_TABLES, 0)

    def close(self) -> None:
        """Move everything from the write-ahead log into the database file and close."""
        self._commit_due = False
        try:
            self.commit()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self.is_closed = True
            self._connection.close()

    # -- orders

    def record_intent(
        self,
        order_ref: str,
        request: OrderRequest,
        *,
        strategy: str,
        client_id: int,
        broker_order_id: int,
        emergency: bool = False,
    ) -> None:
        """Commit the order before it is sent.

        Raises `TradingHaltedError` when the account is halted, `FencedError` when a newer lease has traded it; neither
        keeps back an order of an ``emergency`` stop.
        """
        now = iso(utc_now())
        instrument = request.instrument
        with self._transaction(at_once=True) as connection:
            if not emergency:
                if halt := self._halt(connection):
                    raise TradingHaltedError(halt)
                self._check_fence(connection)
            self._insert(
                connection,
                "orders",
                {
                    "order_ref": order_ref,
                    "account": self._account,
                    "strategy": strategy,
                    "slot": self._slot,
                    "release_id": self._release,
                    "con_id": instrument.con_id or None,
                    "symbol": instrument.symbol,
                    "security_type": instrument.security_type,
                    "exchange": instrument.exchange,
                    "currency": instrument.currency,
                    "side": request.side,
                    "quantity": request.quantity,
                    "order_type": request.order_type,
                    "limit_price": request.limit_price,
                    "stop_price": request.stop_price,
                    "trail_amount": request.trail_amount,
                    "trail_percent": request.trail_percent,
                    "time_in_force": request.time_in_force,
                    "status": "intent",
                    "client_id": client_id,
                    "broker_order_id": broker_order_id,
                    "created_at": now,
                    "updated_at": now,
                },
            )
            self._event(
                connection,
                "order_intent",
                f"{request.side} {request.quantity:g} {instrument.symbol} {request.order_type}",
                {"order_ref": order_ref},
            )

    def record_change(self, order_ref: str, request: OrderRequest) -> None:
        """Commit a wish to change a working order before it is sent. The order's terms stay the broker's word.

        Raises as `record_intent`.
        """
        with self._transaction(at_once=True) as connection:
            if halt := self._halt(connection):
                raise TradingHaltedError(halt)
            self._check_fence(connection)
            wanted = {
                name: value
                for name in ("quantity", "limit_price", "stop_price", "trail_amount", "trail_percent")
                if (value := getattr(request, name)) is not None
            }
            self._event(
                connection, "order_change_intent", "change of a working order", {"order_ref": order_ref, **wanted}
            )

    def mark_sent(self, order_ref: str) -> None:
        """The order was handed to the gateway."""
        with self._transaction() as connection:
            now = iso(utc_now())
            connection.execute(
                "UPDATE orders SET status = 'sent', sent_at = ?, updated_at = ? "
                "WHERE order_ref = ? AND status = 'intent'",
                (now, now, order_ref),
            )

    def mark_not_sent(self, order_ref: str, reason: str) -> None:
        """The order certainly did not leave: the connection was gone."""
        with self._transaction() as connection:
            self._settle(connection, order_ref, "not_sent", reason)

    def record_order(self, report: OrderReport) -> OrderChange | None:
        """Note what the broker says of an order; None when the ledger has no such order."""
        with self._transaction() as connection:
            return self._record_order(connection, report)

    def open_orders(self) -> list[OpenOrder]:
        """Return every order of the account that has no final status yet, oldest first."""
        rows = self._connection.execute(
            "SELECT order_ref, con_id, status, symbol, side, quantity, filled_quantity, limit_price FROM orders "  # noqa: S608
            f"WHERE status IN {_OPEN} AND account = ? ORDER BY created_at",
            (self._account,),
        )
        return [OpenOrder(*row) for row in rows]

    def without_fills(self, order_refs: Collection[str]) -> list[str]:
        """Return those of the orders that have more filled, by the broker's word, than the executions add up to."""
        return [
            order_ref
            for order_ref in order_refs
            if self._connection.execute(
                "SELECT 1 FROM orders AS o WHERE order_ref = ? AND round(filled_quantity - "
                "(SELECT COALESCE(sum(quantity), 0) FROM executions WHERE order_id = o.id), ?) > 0",
                (order_ref, DECIMALS),
            ).fetchone()
        ]

    # -- fills and positions

    def record_execution(self, execution: Execution) -> FillChange | None:
        """Note a fill, or the correction of one, with all that follows from it; None when it was known already."""
        with self._transaction() as connection:
            return self._record_execution(connection, execution)

    def record_commission(self, execution: Execution) -> None:
        """Note the commission that the broker reports after the fill; told again, the last word counts."""
        with self._transaction() as connection:
            self._record_commission(connection, execution)

    def record_position(self, position: Position) -> None:
        """Note what the broker says the account holds."""
        with self._transaction() as connection:
            self._record_position(connection, position, "broker")

    # -- reconciliation

    def reconcile(self, snapshot: Snapshot, sent_now: Collection[str] | None = None) -> Reconciliation:
        """Bring the ledger to what the broker says: fills first, then orders, then positions.

        ``sent_now``: the orders of the present session, None while that is too young to tell. What this client id sent
        in an earlier one and the broker does not name can no longer arrive.
        """
        found = Reconciliation()
        now = utc_now()
        with self._transaction(at_once=True) as connection:
            for execution in sorted(snapshot.executions, key=lambda e: (e.executed_at, e.exec_id)):
                found.new_executions += self._record_execution(connection, execution) is not None
                if execution.commission is not None:
                    self._record_commission(connection, execution)
            for report in snapshot.orders:
                change = self._record_order(connection, report, authoritative=True)
                if change and change.old not in OPEN_STATUSES and change.new in OPEN_STATUSES:
                    self._revived_order(connection, report, change)
                if not change and report.status in _STATUS_OF_BROKER:
                    self._unknown_order(connection, report)
            known = {report.order_ref for report in snapshot.orders}
            self._settle_forgotten_orders(connection, known, now, sent_now, found)
            self._record_positions(connection, snapshot.positions)
            found.differences = self._differences(connection, snapshot.positions)
        return found

    def adopt_positions(self, differences: list[Difference], positions: tuple[Position, ...]) -> None:
        """Let the broker's quantities win where the ledger's trades do not add up to them."""
        by_con_id = {position.instrument.con_id: position for position in positions}
        with self._transaction() as connection:
            first_time = connection.execute("SELECT count(*) FROM executions").fetchone()[0] == 0
            for difference in differences:
                held = by_con_id.get(difference.con_id)
                self._adjust_trade(connection, difference, held)
                message = (
                    f"{difference.symbol}: the ledger's trades add up to {difference.ledger_quantity:g}, "
                    f"the broker holds {difference.broker_quantity:g}; the ledger was set to the broker's quantity"
                )
                self._event(connection, "position_adopted", message, difference._asdict())
                if not first_time:
                    self._risk_event(
                        connection,
                        "position_mismatch",
                        "warning",
                        message,
                        symbol=difference.symbol,
                        details=difference._asdict(),
                    )

    # -- state and story

    def set_trading_state(self, state: str, reason: str) -> None:
        """Note that this engine trades or stopped; a halt made by somebody else stays."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO trading_state (account, state, reason, changed_by, changed_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (account) DO UPDATE SET state = excluded.state, reason = excluded.reason, "
                "changed_by = excluded.changed_by, changed_at = excluded.changed_at WHERE state <> 'halted'",
                (self._account, state, reason, self._source, iso(utc_now())),
            )

    def begin_emergency_stop(self, reason: str, requested_by: str) -> int:
        """Halt trading of the account and note the stop, in one transaction; returns the stop's number."""
        with self._transaction(at_once=True) as connection:
            now = iso(utc_now())
            number = self._insert(
                connection,
                "emergency_stops",
                {"requested_at": now, "requested_by": requested_by, "reason": reason, "account": self._account},
            )
            connection.execute(
                "INSERT INTO trading_state (account, state, reason, changed_by, changed_at) "
                "VALUES (?, 'halted', ?, ?, ?) ON CONFLICT (account) DO UPDATE SET state = excluded.state, "
                "reason = excluded.reason, changed_by = excluded.changed_by, changed_at = excluded.changed_at",
                (self._account, f"emergency stop {number}: {reason}", requested_by, now),
            )
            self._event(connection, "emergency_stop", f"requested by {requested_by}: {reason}", {"stop": number})
            return number

    def end_emergency_stop(self, number: int, outcome: EmergencyOutcome) -> None:
        """Note how an emergency stop ended. The halt stays until `resume`."""
        with self._transaction(at_once=True) as connection:
            connection.execute(
                "UPDATE emergency_stops SET status = ?, orders_cancelled = ?, positions_closed = ?, orders_left = ?, "
                "positions_left = ?, outcome = ?, finished_at = ? WHERE id = ?",
                (
                    "completed" if outcome.completed else "failed",
                    outcome.orders_cancelled,
                    outcome.positions_closed,
                    outcome.orders_left,
                    outcome.positions_left,
                    outcome.text,
                    iso(utc_now()),
                    number,
                ),
            )
            self._event(connection, "emergency_stop_ended", outcome.text, {"stop": number, **outcome._asdict()})

    def resume(self, reason: str, requested_by: str) -> str | None:
        """Lift the halt of the account, resolve what had made it, and return that; None when it was not halted."""
        with self._transaction(at_once=True) as connection:
            halt = self._halt(connection)
            if halt:
                connection.execute(
                    "UPDATE trading_state SET state = 'stopped', reason = ?, changed_by = ?, changed_at = ? "
                    "WHERE account = ?",
                    (f"halt lifted: {reason}", requested_by, iso(utc_now()), self._account),
                )
                connection.execute(
                    "UPDATE risk_events SET resolved_at = ?, resolved_by = ?, resolution = ? WHERE resolved_at IS NULL "
                    "AND account = ? AND kind IN ('tilt', 'drawdown', 'dead_man_switch')",
                    (iso(utc_now()), requested_by, reason, self._account),
                )
                message = f"{requested_by} lifted the halt ({reason}): {halt}"
                self._event(connection, "trading_resumed", message, {"requested_by": requested_by, "reason": reason})
            return halt

    def take_over(self, raise_token: Callable[[int], int]) -> None:
        """Fence out every engine before this one: ``raise_token`` is given the newest token seen, returns a higher one.

        In one transaction: an intent of theirs is either committed before, or refused.
        """
        with self._transaction(at_once=True) as connection:
            row = connection.execute(
                "SELECT fencing_token FROM trading_state WHERE account = ?", (self._account,)
            ).fetchone()
            token = raise_token(row[0] if row else 0)
            connection.execute(
                "INSERT INTO trading_state (account, state, reason, changed_by, changed_at, fencing_token) "
                "VALUES (?, 'stopped', 'the lease was taken', ?, ?, ?) "
                "ON CONFLICT (account) DO UPDATE SET fencing_token = excluded.fencing_token",
                (self._account, self._source, iso(utc_now()), token),
            )
            self._event(connection, "lease_taken", f"token {token}", {"token": token})
        self.fencing_token = token

    def halt(self) -> str | None:
        """Return why trading of the account is halted, None when it is not."""
        return self._halt(self._connection)

    def record_event(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Append to the event log."""
        with self._transaction(at_once=True) as connection:
            self._event(connection, kind, message, data or {})

    def record_risk_event(
        self,
        kind: str,
        severity: str,
        message: str,
        *,
        symbol: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Note something that a person may have to resolve; once, while the same is unresolved."""
        with self._transaction() as connection:
            self._risk_event(connection, kind, severity, message, symbol=symbol, details=details)

    def resolve_risk_events(self, kind: str, resolution: str) -> None:
        """Note that what had raised the account's events of a kind is over, by itself."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE risk_events SET resolved_at = ?, resolved_by = ?, resolution = ? "
                "WHERE resolved_at IS NULL AND kind = ? AND account = ?",
                (iso(utc_now()), self._source, resolution, kind, self._account),
            )

    # -- risk

    def halt_trading(self, kind: str, reason: str) -> None:
        """Halt the account: it gets no order until a person lifts that. A halt that is there already stays."""
        with self._transaction(at_once=True) as connection:
            if self._halt(connection):
                return
            connection.execute(
                "INSERT INTO trading_state (account, state, reason, changed_by, changed_at) "
                "VALUES (?, 'halted', ?, ?, ?) ON CONFLICT (account) DO UPDATE SET state = excluded.state, "
                "reason = excluded.reason, changed_by = excluded.changed_by, changed_at = excluded.changed_at",
                (self._account, f"{kind}: {reason}", self._source, iso(utc_now())),
            )
            self._event(connection, "trading_halted", reason, {"kind": kind})
            self._risk_event(connection, kind, "critical", reason)

    def resumed_at(self) -> str:
        """Return when a halt was last lifted, an empty text when none was."""
        (at,) = self._connection.execute("SELECT max(at) FROM events WHERE kind = 'trading_resumed'").fetchone()
        return at or ""

    def losing_streak(self, since: str, most: int) -> int:
        """Return how many of the newest ``most`` closed trades lost money in a row, commissions included.

        Only trades that this ledger saw end after ``since`` count: the broker's own times have whole seconds.
        """
        streak = 0
        for profit, seen in self._connection.execute(
            "SELECT realized_pnl - commission, (SELECT max(recorded_at) FROM executions WHERE trade_id = trades.id) "
            "FROM trades WHERE account = ? AND closed_at IS NOT NULL AND adjusted = 0 "
            "ORDER BY closed_at DESC, id DESC LIMIT ?",
            (self._account, most),
        ):
            if profit >= 0 or (seen or "") <= since:
                break
            streak += 1
        return streak

    def profit_of_day(self, day: str, currency: str) -> float:
        """Return what the fills of a day made in that currency, less commissions; what is still held does not count."""
        row = self._connection.execute(
            "SELECT realized_pnl - commission FROM daily_summaries WHERE day = ? AND account = ? AND currency = ?",
            (day, self._account, currency),
        ).fetchone()
        return float(row[0]) if row else 0.0

    def standing_stop(self, kind: str) -> tuple[str, str] | None:
        """Return the day and the message of the newest critical risk event of a kind that is not resolved."""
        row = self._connection.execute(
            "SELECT substr(at, 1, 10), message FROM risk_events "
            "WHERE resolved_at IS NULL AND severity = 'critical' AND kind = ? AND account = ? ORDER BY at DESC LIMIT 1",
            (kind, self._account),
        ).fetchone()
        return (row[0], row[1]) if row else None

    def profits_of_fills(self, day: str, most: int) -> tuple[float, float, float]:
        """Return what the broker and what the ledger say that the newest fills of a day made, and their commissions.

        The broker's profit of a fill is after the commissions of entry and exit, the ledger's is before.
        """
        return self._connection.execute(  # type: ignore[no-any-return]  # three sums
            "SELECT COALESCE(sum(broker_realized_pnl), 0.0), COALESCE(sum(realized_pnl), 0.0), "
            "COALESCE(sum(commission), 0.0) FROM (SELECT * FROM executions WHERE executed_at >= ? "
            "AND executed_at < ? || 'U' AND account = ? AND broker_realized_pnl IS NOT NULL "
            "ORDER BY executed_at DESC LIMIT ?)",
            (day, day, self._account, most),
        ).fetchone()

    def record_risk_metrics(self, at: datetime, values: Mapping[str, tuple[float, str]]) -> None:
        """Note measured values (value, unit) by name."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO risk_metrics (account, name, at, value, unit) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (account, name, at) DO UPDATE SET value = excluded.value, unit = excluded.unit",
                [(self._account, name, iso(at), value, unit) for name, (value, unit) in values.items()],
            )

    def newest_risk_metric(self, name: str, since: str) -> float | None:
        """Return the newest value of that name after a time, None when there is none."""
        row = self._connection.execute(
            "SELECT value FROM risk_metrics WHERE account = ? AND name = ? AND at > ? ORDER BY at DESC LIMIT 1",
            (self._account, name, since),
        ).fetchone()
        return float(row[0]) if row else None

    def close_day(
        self, day: str, currency: str, closed_at: datetime, *, net_liquidation: float, unrealized: float, positions: int
    ) -> bool:
        """Note what the account was worth at a close; False when that close, or a later one of the day, is noted."""
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO daily_summaries (day, account, currency, net_liquidation, unrealized_pnl, positions, "
                "closed_at, updated_at) "
                "VALUES (:day, :account, :currency, :net, :unrealized, :positions, :closed, :now) "
                "ON CONFLICT (day, account, currency) DO UPDATE SET net_liquidation = :net, "
                "unrealized_pnl = :unrealized, positions = :positions, closed_at = :closed, updated_at = :now "
                "WHERE closed_at IS NULL OR closed_at < :closed",
                {
                    "day": day,
                    "account": self._account,
                    "currency": currency,
                    "net": net_liquidation,
                    "unrealized": unrealized,
                    "positions": positions,
                    "closed": iso(closed_at),
                    "now": iso(utc_now()),
                },
            )
            return cursor.rowcount > 0

    def begin_refusals(self, kind: str, severity: str, message: str, symbol: str, details: Mapping[str, Any]) -> int:
        """Note the first refusal of an episode and return its row's id."""
        with self._transaction(at_once=True) as connection:
            return self._insert(
                connection,
                "risk_events",
                {
                    "at": iso(utc_now()),
                    "kind": kind,
                    "severity": severity,
                    "account": self._account,
                    "symbol": symbol,
                    "message": message,
                    "details": json.dumps({**details, "refused": 1}, sort_keys=True),
                },
            )

    def count_refusals(self, episodes: Mapping[int, tuple[int, bool]]) -> None:
        """Write how many orders were refused in each episode (by id), and whether it is over: then it is resolved."""
        with self._transaction() as connection:
            for row_id, (count, over) in episodes.items():
                connection.execute(
                    "UPDATE risk_events SET details = json_set(details, '$.refused', ?) WHERE id = ?", (count, row_id)
                )
                if over:
                    self._end_refusals(connection, "id = ?", row_id)

    def end_refusals(self) -> None:
        """Resolve the episodes that an engine before this one left open."""
        with self._transaction() as connection:
            self._end_refusals(connection, "account = ?", self._account)

    def _end_refusals(self, connection: sqlite3.Connection, which: str, value: object) -> None:
        # What is critical waits for a person.
        connection.execute(
            f"UPDATE risk_events SET resolved_at = ?, resolved_by = ?, "  # noqa: S608 the words are ours
            f"resolution = 'orders refused: ' || json_extract(details, '$.refused') WHERE {which} "
            "AND resolved_at IS NULL AND severity <> 'critical' AND json_extract(details, '$.refused') IS NOT NULL",
            (iso(utc_now()), self._source, value),
        )

    # -- inside a transaction

    @property
    def _source(self) -> str:
        return f"engine-{self._slot}"

    def _begin(self) -> None:
        """Take the write lock. While another has it, only the first attempt waits.

        The engine has one thread: if each of a burst of messages waited, nobody would be told its health meanwhile.
        """
        # What is written to a file that was moved away or removed, the next engine does not find.
        if _identity(self._path) != self._file:
            raise sqlite3.OperationalError(
                f"{self._path} is not the file any more that was opened: put that back, or start the engine again"
            )
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            self._set_patience(0)
            raise
        self._set_patience(_BUSY_TIMEOUT_MS)

    def _set_patience(self, milliseconds: int) -> None:
        if milliseconds != self._patience_ms:
            self._connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
            self._patience_ms = milliseconds

    @contextmanager
    def _transaction(self, *, at_once: bool = False) -> Iterator[sqlite3.Connection]:
        """Do all of the body or nothing; with ``at_once`` it is on the disk when this returns."""
        connection = self._connection
        joins = connection.in_transaction
        if joins:
            connection.execute("SAVEPOINT step")
        else:
            self._begin()
        rows = dict(self.rows)
        try:
            yield connection
            if joins:
                connection.execute("RELEASE step")
        except BaseException:
            # SQLite itself may have undone the whole transaction, as when the disk is full.
            if joins and connection.in_transaction:
                connection.execute("ROLLBACK TO step")
                connection.execute("RELEASE step")
                self._count_back(rows)
            else:
                self._roll_back()
            raise
        if at_once or not self._batched:
            self.commit()
        elif not self._commit_due:
            self._commit_due = True
            asyncio.get_running_loop().call_later(_BATCH_SECONDS, self._commit_batch)

    def _commit_batch(self) -> None:
        if not self._commit_due:  # closed since
            return
        self._commit_due = False
        try:
            self.commit()
        except sqlite3.Error as error:
            if self.on_failure is None:
                raise
            self.on_failure(error)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._count_back({table: self.rows[table] - self._uncommitted_rows[table] for table in COUNTED_TABLES})

    def _count_back(self, rows: Mapping[str, int]) -> None:
        for table in COUNTED_TABLES:
            self._uncommitted_rows[table] -= self.rows[table] - rows[table]
            self.rows[table] = rows[table]

    def _count_rows(self, table: str, count: int) -> None:
        if table in self.rows:
            self.rows[table] += count
            self._uncommitted_rows[table] += count

    def _insert(self, connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> int:
        marks = ", ".join("?" * len(row))
        cursor = connection.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 names are ours
            tuple(row.values()),
        )
        self._count_rows(table, 1)
        return int(cursor.lastrowid or 0)

    def _event(self, connection: sqlite3.Connection, kind: str, message: str, data: Mapping[str, Any]) -> None:
        self._insert(
            connection,
            "events",
            {
                "at": iso(utc_now()),
                "kind": kind,
                "source": self._source,
                "release_id": self._release,
                "message": message,
                "data": json.dumps(data, sort_keys=True),
            },
        )

    def _risk_event(
        self,
        connection: sqlite3.Connection,
        kind: str,
        severity: str,
        message: str,
        *,
        symbol: str | None = None,
        order_ref: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        known = connection.execute(
            "SELECT 1 FROM risk_events WHERE resolved_at IS NULL AND kind = ? AND message = ?", (kind, message)
        ).fetchone()
        if known:
            return
        self._insert(
            connection,
            "risk_events",
            {
                "at": iso(utc_now()),
                "kind": kind,
                "severity": severity,
                "account": self._account,
                "symbol": symbol,
                "order_ref": order_ref,
                "message": message,
                "details": json.dumps(details or {}, sort_keys=True),
            },
        )

    def _halt(self, connection: sqlite3.Connection) -> str | None:
        return _halt_of(connection, self._account)

    def _check_fence(self, connection: sqlite3.Connection) -> None:
        row = connection.execute(
            "SELECT fencing_token FROM trading_state WHERE account = ?", (self._account,)
        ).fetchone()
        newest = row[0] if row else 0
        if newest > self.fencing_token:
            raise FencedError(
                f"this engine's lease has token {self.fencing_token}, the ledger has seen token {newest}: "
                "another engine has the right to trade"
            )
        if newest < self.fencing_token:
            connection.execute(
                "INSERT INTO trading_state (account, state, reason, changed_by, changed_at, fencing_token) "
                "VALUES (?, 'trading', 'first order of a lease', ?, ?, ?) "
                "ON CONFLICT (account) DO UPDATE SET fencing_token = excluded.fencing_token",
                (self._account, self._source, iso(utc_now()), self.fencing_token),
            )

    def _record_order(
        self, connection: sqlite3.Connection, report: OrderReport, *, authoritative: bool = False
    ) -> OrderChange | None:
        row = connection.execute(
            "SELECT status, broker_status, perm_id, filled_quantity, COALESCE(broker_message, ''), quantity, "
            "limit_price, stop_price FROM orders WHERE order_ref = ?",
            (report.order_ref,),
        ).fetchone()
        if row is None:
            return None
        old, broker_status, perm_id, filled, message, *terms = row
        new = _next_status(old, report, authoritative=authoritative)
        told = [report.quantity, report.limit_price, report.stop_price]
        changed = [now if now is not None else before for now, before in zip(told, terms, strict=True)]
        if (
            (new, report.status, changed) == (old, broker_status, terms)
            and report.perm_id in (0, perm_id)
            and report.filled <= filled
            and report.message in ("", message)
        ):
            return OrderChange(old, new)
        now = iso(utc_now())
        connection.execute(
            "UPDATE orders SET status = :status, broker_status = :broker_status, "
            "broker_message = COALESCE(NULLIF(:message, ''), broker_message), "
            "broker_order_id = COALESCE(NULLIF(:broker_order_id, 0), broker_order_id), "
            "perm_id = COALESCE(NULLIF(:perm_id, 0), perm_id), "
            "client_id = COALESCE(NULLIF(:client_id, 0), client_id), "
            "filled_quantity = :filled, quantity = :quantity, limit_price = :limit_price, stop_price = :stop_price, "
            "average_fill_price = COALESCE(NULLIF(:average_price, 0.0), average_fill_price), "
            "sent_at = CASE WHEN :status = 'intent' THEN NULL ELSE COALESCE(sent_at, :now) END, updated_at = :now "
            "WHERE order_ref = :order_ref",
            {
                "status": new,
                "broker_status": report.status,
                "message": report.message,
                "broker_order_id": report.broker_order_id,
                "perm_id": report.perm_id,
                "client_id": report.client_id,
                "filled": max(filled, report.filled),
                "quantity": changed[0],
                "limit_price": changed[1],
                "stop_price": changed[2],
                "average_price": report.average_price,
                "now": now,
                "order_ref": report.order_ref,
            },
        )
        if changed != terms:
            names = ("quantity", "limit_price", "stop_price")
            difference = {
                name: [before, after]
                for name, before, after in zip(names, terms, changed, strict=True)
                if before != after
            }
            self._event(
                connection, "order_changed", "the broker has other terms", {"order_ref": report.order_ref, **difference}
            )
        if new != old:
            data = {"order_ref": report.order_ref, "from": old, "to": new, "perm_id": report.perm_id}
            self._event(connection, "order_status", report.message or f"{old} -> {new}", data)
        return OrderChange(old, new)

    def _settle(self, connection: sqlite3.Connection, order_ref: str, status: str, reason: str) -> None:
        connection.execute(
            "UPDATE orders SET status = ?, broker_message = ?, updated_at = ? WHERE order_ref = ?",
            (status, reason, iso(utc_now()), order_ref),
        )
        self._event(connection, "order_status", reason, {"order_ref": order_ref, "to": status})

    def _settle_forgotten_orders(
        self,
        connection: sqlite3.Connection,
        known: set[str],
        now: datetime,
        sent_now: Collection[str] | None,
        found: Reconciliation,
    ) -> None:
        rows = connection.execute(
            f"SELECT order_ref, symbol, perm_id, broker_message, COALESCE(sent_at, created_at), client_id FROM orders "  # noqa: S608
            f"WHERE status IN {_OPEN} AND account = ?",
            (self._account,),
        ).fetchall()
        for order_ref, symbol, perm_id, answer, since, client_id in rows:
            if order_ref in known:
                continue
            # A gateway gives a client id to a new session only when it has read the old one's bytes to their end.
            over = sent_now is not None and client_id == self._client_id and order_ref not in sent_now
            if perm_id is not None:
                message = f"order {order_ref} ({symbol}) was working at the broker, which no longer knows it"
                self._settle(connection, order_ref, "unresolved", message)
                self._risk_event(connection, "order_unresolved", "warning", message, symbol=symbol, order_ref=order_ref)
                found.orders_settled.append(order_ref)
            elif not over and since > iso(now - _IN_FLIGHT):
                found.orders_in_flight.append(order_ref)
            else:
                reason = "the broker never had this order" + (f": {answer}" if answer else "")
                self._settle(connection, order_ref, "not_sent", reason)
                found.orders_settled.append(order_ref)

    def _revived_order(self, connection: sqlite3.Connection, report: OrderReport, change: OrderChange) -> None:
        self._risk_event(
            connection,
            "order_revived",
            "warning",
            f"order {report.order_ref} was {change.old} in the ledger and works at the broker ({report.status})",
            order_ref=report.order_ref,
            details={"perm_id": report.perm_id, "from": change.old, "to": change.new},
        )

    def _unknown_order(self, connection: sqlite3.Connection, report: OrderReport) -> None:
        if _STATUS_OF_BROKER[report.status] in OPEN_STATUSES:
            self._risk_event(
                connection,
                "unknown_order",
                "warning",
                f"an order that the ledger does not know works at the broker: perm id {report.perm_id}, "
                f"order ref {report.order_ref!r}",
                details={"perm_id": report.perm_id, "order_ref": report.order_ref},
            )

    def _record_execution(self, connection: sqlite3.Connection, execution: Execution) -> FillChange | None:
        exec_id = execution.exec_id
        if connection.execute(
            "SELECT 1 FROM executions WHERE exec_id = :id UNION ALL "
            "SELECT 1 FROM execution_corrections WHERE exec_id = :id",
            {"id": exec_id},
        ).fetchone():
            return None
        if corrected := self._corrected_by(connection, exec_id):
            return self._correct_execution(connection, corrected, execution)
        instrument = execution.instrument
        order = connection.execute(
            "SELECT id, status, quantity FROM orders "
            "WHERE order_ref = ? OR (perm_id = ? AND ? <> 0) ORDER BY order_ref = ? DESC LIMIT 1",
            (execution.order_ref, execution.perm_id, execution.perm_id, execution.order_ref),
        ).fetchone()
        executed_at = iso(execution.executed_at)
        signed = _signed(execution.side, execution.quantity)
        held = self._open_trade(connection, execution.account, instrument.con_id)
        applied = round_trip.apply_fill(
            held.trip if held else None, signed, execution.price, instrument.multiplier, executed_at
        )
        identity = {
            "account": execution.account,
            "con_id": instrument.con_id,
            "symbol": instrument.symbol,
            "currency": instrument.currency,
        }
        trade_id = self._save_trade(connection, applied.trade, identity, held.id if held else None)
        if applied.following:
            self._save_trade(connection, applied.following, identity)
        self._insert(
            connection,
            "executions",
            {
                **identity,
                "exec_id": exec_id,
                "order_id": order[0] if order else None,
                "trade_id": trade_id,
                "order_ref": execution.order_ref or None,
                "perm_id": execution.perm_id or None,
                "client_id": execution.client_id,
                "broker_order_id": execution.broker_order_id,
                "security_type": instrument.security_type,
                "exchange": execution.exchange,
                "multiplier": instrument.multiplier,
                "side": execution.side,
                "quantity": execution.quantity,
                "price": execution.price,
                "realized_pnl": applied.realized_pnl,
                "closed_quantity": applied.closed_quantity,
                "executed_at": executed_at,
                "recorded_at": iso(utc_now()),
            },
        )
        connection.execute(
            "INSERT INTO daily_summaries (day, account, currency, executions, volume, turnover, trades_closed, "
            "realized_pnl, updated_at) VALUES (:day, :account, :currency, 1, :volume, :turnover, :closed, :pnl, :now) "
            "ON CONFLICT (day, account, currency) DO UPDATE SET executions = executions + 1, "
            "volume = volume + :volume, turnover = turnover + :turnover, trades_closed = trades_closed + :closed, "
            "realized_pnl = realized_pnl + :pnl, updated_at = :now",
            {
                "day": executed_at[:10],
                "account": execution.account,
                "currency": instrument.currency,
                "volume": execution.quantity,
                "turnover": execution.quantity * execution.price * instrument.multiplier,
                "closed": int(applied.trade.closed_at is not None),
                "pnl": applied.realized_pnl,
                "now": iso(utc_now()),
            },
        )
        if order:
            self._add_fill_to_order(connection, *order)
        return FillChange(signed)

    def _add_fill_to_order(self, connection: sqlite3.Connection, order_id: int, status: str, quantity: float) -> None:
        filled, value = connection.execute(
            "SELECT sum(quantity), sum(quantity * price) FROM executions WHERE order_id = ?", (order_id,)
        ).fetchone()
        done = round(filled - quantity, DECIMALS) >= 0
        now = iso(utc_now())
        connection.execute(
            "UPDATE orders SET filled_quantity = max(filled_quantity, ?), average_fill_price = ?, "
            # A fill proves that the order was sent, though the engine was killed before it could note that.
            "status = CASE WHEN ? THEN 'filled' WHEN status = 'intent' THEN 'sent' ELSE status END, "
            "sent_at = COALESCE(sent_at, ?), updated_at = ? "
            "WHERE id = ?",
            (filled, value / filled, done, now, now, order_id),
        )
        if done and status != "filled":
            data = {"order_id": order_id, "from": status, "to": "filled"}
            self._event(connection, "order_status", f"{status} -> filled", data)

    # -- corrections

    def _corrected_by(self, connection: sqlite3.Connection, exec_id: str) -> sqlite3.Row | None:
        """Return the execution (id, exec_id and more) of which this id is another revision, None when it is new."""
        match = _CORRECTABLE_ID.fullmatch(exec_id)
        if match is None:
            return None
        base = match[1]
        cursor = connection.cursor()
        cursor.row_factory = sqlite3.Row
        # '/' is the character after '.': all ids that begin with the base and a dot, by the index.
        rows = cursor.execute(
            "SELECT id, exec_id, order_id, account, con_id, side, quantity, price, commission, executed_at "
            "FROM executions WHERE exec_id > ? AND exec_id < ?",
            (f"{base}.", f"{base}/"),
        ).fetchall()
        return next((row for row in rows if _revision(row["exec_id"])[0] == base), None)

    def _correct_execution(
        self, connection: sqlite3.Connection, old: sqlite3.Row, execution: Execution
    ) -> FillChange | None:
        """Put a correction in the place of what it corrects, and work out again all that followed from that."""
        if _revision(old["exec_id"])[1] > _revision(execution.exec_id)[1]:
            return None
        now, executed_at = iso(utc_now()), iso(execution.executed_at)
        self._insert(
            connection,
            "execution_corrections",
            {
                "at": now,
                "execution_id": old["id"],
                "exec_id": old["exec_id"],
                "replaced_by": execution.exec_id,
                "side": old["side"],
                "quantity": old["quantity"],
                "price": old["price"],
                "commission": old["commission"],
                "executed_at": old["executed_at"],
            },
        )
        # The commission stays until the broker names the correction's own.
        connection.execute(
            "UPDATE executions SET exec_id = ?, side = ?, quantity = ?, price = ?, executed_at = ?, "
            # It will be worked out below, and must not be above the new quantity in between.
            "closed_quantity = NULL WHERE id = ?",
            (execution.exec_id, execution.side, execution.quantity, execution.price, executed_at, old["id"]),
        )
        days = self._rebuild_trades(connection, old["account"], old["con_id"], old["id"])
        self._rebuild_days(connection, old["account"], days | {old["executed_at"][:10], executed_at[:10]})
        if old["order_id"] is not None:
            connection.execute(
                "UPDATE orders SET (filled_quantity, average_fill_price) = "
                "(SELECT sum(quantity), sum(quantity * price) / sum(quantity) FROM executions "
                "WHERE order_id = orders.id), updated_at = ? WHERE id = ?",
                (now, old["order_id"]),
            )
        self._event(
            connection,
            "execution_corrected",
            f"{execution.instrument.symbol}: {old['side']} {old['quantity']:g} at {old['price']:g} was corrected to "
            f"{execution.side} {execution.quantity:g} at {execution.price:g}",
            {"exec_id": execution.exec_id, "replaces": old["exec_id"]},
        )
        change = _signed(execution.side, execution.quantity) - _signed(old["side"], old["quantity"])
        return FillChange(round(change, DECIMALS), old["exec_id"])

    def _rebuild_trades(self, connection: sqlite3.Connection, account: str, con_id: int, since: int) -> set[str]:
        """Work out the round trips of an instrument again, from its fills and adjustments.

        Returns the days of the fills from ``since`` (a row's id) on: a correction may change every profit after it.
        """
        cursor = connection.cursor()
        cursor.row_factory = sqlite3.Row
        fills = cursor.execute(
            "SELECT id, trade_id, symbol, currency, side, quantity, price, multiplier, realized_pnl, closed_quantity, "
            "executed_at FROM executions WHERE account = ? AND con_id = ? ORDER BY id",
            (account, con_id),
        ).fetchall()
        adjustments = cursor.execute(
            "SELECT at, quantity, price, after_execution FROM trade_adjustments "
            "WHERE account = ? AND con_id = ? ORDER BY after_execution, id",
            (account, con_id),
        ).fetchall()
        trips: list[RoundTrip] = []
        held: RoundTrip | None = None

        def hold(trip: RoundTrip | None) -> None:
            nonlocal held
            if trip is not None and not (trips and trips[-1] is trip):
                trips.append(trip)
            held = None if trip is None or trip.closed_at else trip

        outcome: list[tuple[sqlite3.Row, RoundTrip, round_trip.Applied]] = []
        for fill in fills:
            while adjustments and adjustments[0]["after_execution"] < fill["id"]:
                adjustment = adjustments.pop(0)
                hold(round_trip.adjust(held, adjustment["quantity"], adjustment["price"], adjustment["at"]))
            signed = _signed(fill["side"], fill["quantity"])
            applied = round_trip.apply_fill(held, signed, fill["price"], fill["multiplier"], fill["executed_at"])
            hold(applied.trade)
            if applied.following:
                hold(applied.following)
            outcome.append((fill, applied.trade, applied))
        for adjustment in adjustments:
            hold(round_trip.adjust(held, adjustment["quantity"], adjustment["price"], adjustment["at"]))
        ids = self._save_trades(connection, trips, account, con_id, fills[-1]["symbol"], fills[-1]["currency"])
        for fill, trip, applied in outcome:
            new = (ids[id(trip)], applied.realized_pnl, applied.closed_quantity)
            if new != (fill["trade_id"], fill["realized_pnl"], fill["closed_quantity"]):
                connection.execute(
                    "UPDATE executions SET trade_id = ?, realized_pnl = ?, closed_quantity = ? WHERE id = ?",
                    (*new, fill["id"]),
                )
        self._drop_surplus_trades(connection, account, con_id, set(ids.values()))
        connection.execute(
            "UPDATE trades SET commission = (SELECT COALESCE(sum(commission), 0) FROM executions "
            "WHERE trade_id = trades.id AND COALESCE(commission_currency, currency) = trades.currency) "
            "WHERE account = ? AND con_id = ?",
            (account, con_id),
        )
        return {fill["executed_at"][:10] for fill in fills if fill["id"] >= since}

    def _save_trades(
        self,
        connection: sqlite3.Connection,
        trips: list[RoundTrip],
        account: str,
        con_id: int,
        symbol: str,
        currency: str,
    ) -> dict[int, int]:
        """Write the trades over those that are there, in order; return the row of each by the object's id()."""
        identity = {"account": account, "con_id": con_id, "symbol": symbol, "currency": currency}
        # At most one trade may be open at a time: none is while they are rewritten.
        connection.execute(
            "UPDATE trades SET open_quantity = 0, closed_at = opened_at "
            "WHERE account = ? AND con_id = ? AND closed_at IS NULL",
            (account, con_id),
        )
        rows = [
            row_id
            for (row_id,) in connection.execute(
                "SELECT id FROM trades WHERE account = ? AND con_id = ? ORDER BY id", (account, con_id)
            )
        ]
        return {
            id(trip): self._save_trade(connection, trip, identity, rows[i] if i < len(rows) else None)
            for i, trip in enumerate(trips)
        }

    def _drop_surplus_trades(self, connection: sqlite3.Connection, account: str, con_id: int, kept: set[int]) -> None:
        rows = connection.execute(
            "SELECT id FROM trades WHERE account = ? AND con_id = ?", (account, con_id)
        ).fetchall()
        for (row_id,) in rows:
            if row_id not in kept:
                connection.execute("DELETE FROM trades WHERE id = ?", (row_id,))
                self._count_rows("trades", -1)

    def _rebuild_days(self, connection: sqlite3.Connection, account: str, days: set[str]) -> None:
        """Work out what the daily summaries say of fills again."""
        for day in days:
            connection.execute(
                "UPDATE daily_summaries SET executions = 0, volume = 0, turnover = 0, trades_closed = 0, "
                "realized_pnl = 0, commission = 0, updated_at = :now WHERE account = :account AND day = :day",
                {"account": account, "day": day, "now": iso(utc_now())},
            )
            connection.execute(
                "INSERT INTO daily_summaries "
                "(day, account, currency, executions, volume, turnover, realized_pnl, trades_closed, updated_at) "
                "SELECT :day, account, currency, count(*), sum(quantity), sum(quantity * price * multiplier), "
                "sum(realized_pnl), (SELECT count(*) FROM trades AS t WHERE t.account = :account "
                "AND t.currency = executions.currency AND t.closed_at >= :day AND t.closed_at < :day || 'U' AND EXISTS "
                "(SELECT 1 FROM executions AS e WHERE e.trade_id = t.id AND e.executed_at = t.closed_at)), :now "
                "FROM executions WHERE account = :account AND executed_at >= :day AND executed_at < :day || 'U' "
                "GROUP BY account, currency ON CONFLICT (day, account, currency) DO UPDATE SET "
                "executions = excluded.executions, volume = excluded.volume, turnover = excluded.turnover, "
                "realized_pnl = excluded.realized_pnl, trades_closed = excluded.trades_closed",
                {"account": account, "day": day, "now": iso(utc_now())},
            )
            connection.execute(
                "INSERT INTO daily_summaries (day, account, currency, commission, updated_at) "
                "SELECT :day, account, COALESCE(commission_currency, currency), sum(commission), :now FROM executions "
                "WHERE account = :account AND executed_at >= :day AND executed_at < :day || 'U' "
                "AND commission IS NOT NULL GROUP BY account, COALESCE(commission_currency, currency) "
                "ON CONFLICT (day, account, currency) DO UPDATE SET commission = excluded.commission",
                {"account": account, "day": day, "now": iso(utc_now())},
            )

    # -- trades and commissions

    def _save_trade(
        self, connection: sqlite3.Connection, trip: RoundTrip, identity: Mapping[str, Any], row_id: int | None = None
    ) -> int:
        """Write a trade, into the row that is given or a new one; return the row's id."""
        row = {field.name: getattr(trip, field.name) for field in fields(trip)} | {"adjusted": int(trip.adjusted)}
        if row_id is None:
            return self._insert(connection, "trades", {**identity, **row})
        assignments = ", ".join(f"{name} = :{name}" for name in row)
        connection.execute(f"UPDATE trades SET {assignments} WHERE id = :id", {**row, "id": row_id})  # noqa: S608
        return row_id

    def _open_trade(self, connection: sqlite3.Connection, account: str, con_id: int) -> _OpenTrade | None:
        row = connection.execute(
            f"SELECT id, {', '.join(_TRIP_COLUMNS)} FROM trades "  # noqa: S608 names are ours
            "WHERE account = ? AND con_id = ? AND closed_at IS NULL",
            (account, con_id),
        ).fetchone()
        if row is None:
            return None
        trip = RoundTrip(**dict(zip(_TRIP_COLUMNS, row[1:], strict=True)))
        trip.adjusted = bool(trip.adjusted)
        return _OpenTrade(row[0], trip)

    def _adjust_trade(self, connection: sqlite3.Connection, difference: Difference, held: Position | None) -> None:
        now = iso(utc_now())
        before = self._open_trade(connection, self._account, difference.con_id)
        price = held.average_cost / held.instrument.multiplier if held else 0.0
        quantity = held.quantity if held else 0.0
        trip = before.trip if before else None
        after = round_trip.adjust(trip, quantity, price, now)
        identity = {
            "account": self._account,
            "con_id": difference.con_id,
            "symbol": difference.symbol,
        }
        if before:
            self._save_trade(connection, before.trip, {}, before.id)
        if held and after is not None and after is not trip:
            self._save_trade(connection, after, {**identity, "currency": held.instrument.currency})
        (newest,) = connection.execute("SELECT COALESCE(max(id), 0) FROM executions").fetchone()
        self._insert(
            connection,
            "trade_adjustments",
            {**identity, "at": now, "quantity": quantity, "price": price, "after_execution": newest},
        )

    def _record_commission(self, connection: sqlite3.Connection, execution: Execution) -> None:
        if execution.commission is None:
            return
        row = connection.execute(
            "SELECT id, trade_id, executed_at, account, currency, commission, commission_currency, closed_quantity, "
            "broker_realized_pnl FROM executions WHERE exec_id = ?",
            (execution.exec_id,),
        ).fetchone()
        if row is None:
            return
        row_id, trade_id, executed_at, account, currency, charged, charged_in, closed_quantity, broker_pnl = row
        # The broker names no profit where there can be none; the library makes it zero when it is told again.
        realized = execution.realized_pnl if closed_quantity != 0 else None
        if (charged, charged_in, broker_pnl) == (execution.commission, execution.commission_currency, realized):
            return
        connection.execute(
            "UPDATE executions SET commission = ?, commission_currency = ?, broker_realized_pnl = ? WHERE id = ?",
            (execution.commission, execution.commission_currency, realized, row_id),
        )
        # Currencies are not added up: a trade has the commissions in its own, the day one row for each.
        changes: dict[str, float] = defaultdict(float)
        changes[charged_in or currency] -= charged or 0.0
        changes[execution.commission_currency or currency] += execution.commission
        for name, change in changes.items():
            if not change:
                continue
            if name == currency:
                connection.execute("UPDATE trades SET commission = commission + ? WHERE id = ?", (change, trade_id))
            connection.execute(
                "INSERT INTO daily_summaries (day, account, currency, commission, updated_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (day, account, currency) DO UPDATE SET commission = commission + excluded.commission, "
                "updated_at = excluded.updated_at",
                (executed_at[:10], account, name, change, iso(utc_now())),
            )

    def _record_position(self, connection: sqlite3.Connection, position: Position, source: str) -> None:
        instrument = position.instrument
        known = connection.execute(
            "SELECT quantity, average_cost FROM positions WHERE account = ? AND con_id = ?",
            (position.account, instrument.con_id),
        ).fetchone()
        if known == (position.quantity, position.average_cost) or (known is None and position.quantity == 0):
            return
        now = iso(utc_now())
        if position.quantity == 0:
            connection.execute(
                "DELETE FROM positions WHERE account = ? AND con_id = ?", (position.account, instrument.con_id)
            )
        else:
            connection.execute(
                "INSERT INTO positions (account, con_id, symbol, currency, quantity, average_cost, updated_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, con_id) DO UPDATE SET "
                "quantity = excluded.quantity, average_cost = excluded.average_cost, updated_at = excluded.updated_at",
                (
                    position.account,
                    instrument.con_id,
                    instrument.symbol,
                    instrument.currency,
                    position.quantity,
                    position.average_cost,
                    now,
                ),
            )
        self._history(
            connection, instrument.con_id, instrument.symbol, position.quantity, position.average_cost, source
        )

    def _history(
        self,
        connection: sqlite3.Connection,
        con_id: int,
        symbol: str,
        quantity: float,
        average_cost: float,
        source: str,
    ) -> None:
        self._insert(
            connection,
            "position_history",
            {
                "at": iso(utc_now()),
                "account": self._account,
                "con_id": con_id,
                "symbol": symbol,
                "quantity": quantity,
                "average_cost": average_cost,
                "source": source,
            },
        )

    def _record_positions(self, connection: sqlite3.Connection, positions: tuple[Position, ...]) -> None:
        held = {position.instrument.con_id for position in positions}
        for position in positions:
            self._record_position(connection, position, "reconciliation")
        gone = connection.execute("SELECT con_id, symbol FROM positions WHERE account = ?", (self._account,)).fetchall()
        for con_id, symbol in gone:
            if con_id not in held:
                connection.execute("DELETE FROM positions WHERE account = ? AND con_id = ?", (self._account, con_id))
                self._history(connection, con_id, symbol, 0.0, 0.0, "reconciliation")

    def _differences(self, connection: sqlite3.Connection, positions: tuple[Position, ...]) -> list[Difference]:
        broker = {p.instrument.con_id: (p.instrument.symbol, p.quantity) for p in positions}
        ledger = {
            con_id: (symbol, quantity)
            for con_id, symbol, quantity in connection.execute(
                "SELECT con_id, symbol, open_quantity FROM trades WHERE account = ? AND closed_at IS NULL",
                (self._account,),
            )
        }
        differences = [
            Difference(
                con_id,
                (broker.get(con_id) or ledger[con_id])[0],
                ledger.get(con_id, ("", 0.0))[1],
                broker.get(con_id, ("", 0.0))[1],
            )
            for con_id in sorted(broker.keys() | ledger.keys())
        ]
        return [d for d in differences if round(d.ledger_quantity - d.broker_quantity, 9)]


_TRIP_COLUMNS = tuple(column.name for column in fields(RoundTrip))


class _OpenTrade(NamedTuple):
    id: int
    trip: RoundTrip


def _signed(side: str, quantity: float) -> float:
    return quantity if side == "BUY" else -quantity


def _revision(exec_id: str) -> tuple[str, int]:
    """Return the part of an execution's id that its corrections share, and which of them it is."""
    base, _, revision = exec_id.rpartition(".")
    return (base, int(revision)) if revision.isdecimal() else (exec_id, 0)


def _halt_of(connection: sqlite3.Connection, account: str) -> str | None:
    row = connection.execute(
        "SELECT reason, changed_by, changed_at FROM trading_state WHERE account = ? AND state = 'halted'", (account,)
    ).fetchone()
    return f"{row[0]} (by {row[1]}, since {row[2]})" if row else None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from every other at the same path, None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 names are ours


def _schema_version(path: Path, connection: sqlite3.Connection) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version < REQUIRED_SCHEMA_VERSION:
        raise LedgerSchemaError(
            f"ledger {path}: schema version is {version}, wanted at least {REQUIRED_SCHEMA_VERSION}; "
            "run the ledger's migrations first"
        )
    return version


def _open(path: Path, mode: Literal["rw", "ro"] = "rw") -> sqlite3.Connection:
    # Never rwc: an engine that made its own empty ledger would hide that the real one is not mounted.
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    # FULL: the intent must survive a power cut, not only a crash.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _unusable(path: Path, error: sqlite3.Error) -> LedgerSchemaError:
    return LedgerSchemaError(
        f"ledger {path}: {error}; wanted a ledger made by the ledger's migrations, readable and writable"
    )


def _next_status(old: str, report: OrderReport, *, authoritative: bool = False) -> str:
    new = _STATUS_OF_BROKER.get(report.status, old)
    # The library calls a refused message so too: without the broker's own id there is no order to be working.
    if report.status == "ValidationError" and not report.perm_id:
        return old
    if authoritative and old in ("cancelled", "rejected") and new in ("submitted", "cancelling"):
        return new
    if new == "cancelled" and report.error_code not in (0, _ORDER_CANCELLED_CODE) and not report.filled:
        new = "rejected"
    if old == "filled" or (old == "cancelled" and new != "filled"):
        return old
    # A rejected order may come back to life (IB: Inactive -> Submitted), but no late word makes it merely cancelled.
    if old == "rejected" and new not in ("filled", "submitted"):
        return old
    # The broker's acknowledgement is not taken back by a repeated 'pending'.
    if new == "sent" and old in ("submitted", "cancelling"):
        return old
    return new
