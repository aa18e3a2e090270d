# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the venue's own record with the ledger: every order and every fill, once, at the right price.

The venue is the judge. An engine that is down may have fills to learn of and orders without an answer; a *settled*
one, which has reconciled and drained, may not.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

# Half of a tenth of a cent: sums of many rounded prices, never a lost fill.
_NEAR = 0.0005
# What a person would have to look at: in a run without trades by hand there must be none.
_ALARMS = ("position_mismatch", "unknown_order", "order_unresolved", "order_revived")


@dataclass(frozen=True)
class Fill:
    """An execution as the venue made it."""

    exec_id: str
    order_ref: str
    con_id: int
    side: str
    quantity: float
    price: float
    commission: float

    @property
    def signed(self) -> float:
        """The quantity, negative for a sale."""
        return self.quantity if self.side == "BUY" else -self.quantity


@dataclass(frozen=True)
class Placed:
    """An order as it came to the venue. ``forgotten``: the venue was killed before it could do anything about it."""

    order_ref: str
    at: datetime
    forgotten: bool


@dataclass(frozen=True)
class Record:
    """What the venue saw."""

    placed: list[Placed] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)
    """How often each order was sent again under its own id: to change it, whether or not it still worked then."""
    fills: list[Fill] = field(default_factory=list)

    @classmethod
    def of(cls, witness: Sequence[Mapping[str, Any]]) -> Record:
        """Read the simulator's witness."""
        taken = {(e["client_id"], e["order_id"]) for e in witness if e["kind"] in ("fill", "order_end")}
        started = max((e["sequence"] for e in witness if e["kind"] == "simulator"), default=0)
        orders = [e for e in witness if e["kind"] == "order" and not e["what_if"]]
        return cls(
            placed=[
                Placed(
                    e["order_ref"],
                    datetime.fromisoformat(e["time"]),
                    e["sequence"] < started and (e["client_id"], e["order_id"]) not in taken,
                )
                for e in orders
                if e["as"] == "new"
            ],
            changes=Counter(e["order_ref"] for e in orders if e["as"] != "new"),
            fills=[
                Fill(
                    exec_id=e["execution_id"],
                    order_ref=e["order_ref"],
                    con_id=e["con_id"],
                    side="BUY" if e["side"] == "BOT" else "SELL",
                    quantity=float(e["quantity"]),
                    price=float(e["price"]),
                    commission=float(e["commission"]),
                )
                for e in witness
                if e["kind"] == "fill"
            ],
        )

    @property
    def positions(self) -> dict[int, float]:
        """What the fills add up to."""
        added: dict[int, float] = {}
        for fill in self.fills:
            added[fill.con_id] = round(added.get(fill.con_id, 0.0) + fill.signed, 9)
        return {con_id: quantity for con_id, quantity in added.items() if quantity}


def differences(record: Record, ledger: Path, *, settled: bool) -> list[str]:
    """Return everything on which ledger and venue disagree, one line each; none means nothing lost, nothing twice."""
    connection = sqlite3.connect(ledger, timeout=30)
    connection.row_factory = sqlite3.Row
    try:
        found = [*_orders(record, connection, settled=settled), *_fills(record, connection, settled=settled)]
        found += _integrity(connection)
        if settled:
            found += _positions(record, connection)
            found += _profit(record, connection)
    finally:
        connection.close()
    return found


def _orders(record: Record, connection: sqlite3.Connection, *, settled: bool) -> Iterator[str]:
    intents = {row["order_ref"]: row for row in connection.execute("SELECT * FROM orders")}
    for order_ref, times in Counter(order.order_ref for order in record.placed).items():
        if times > 1:
            yield f"order {order_ref} was sent {times} times"
    for order in record.placed:
        if order.order_ref not in intents:
            yield f"order {order.order_ref} is at the venue and has no intent in the ledger"
        elif datetime.fromisoformat(created := intents[order.order_ref]["created_at"]) > order.at:
            yield f"order {order.order_ref} was at the venue at {order.at}, its intent is of {created}"
    wanted = Counter(
        order_ref
        for (order_ref,) in connection.execute(
            "SELECT json_extract(data, '$.order_ref') FROM events WHERE kind = 'order_change_intent'"
        )
    )
    for order_ref, times in record.changes.items():
        if times > wanted[order_ref]:
            yield f"order {order_ref} was changed {times} times at the venue, with {wanted[order_ref]} intents"
    placed = {order.order_ref for order in record.placed}
    known = {order.order_ref for order in record.placed if not order.forgotten}
    for order_ref, row in intents.items():
        status = row["status"]
        if status == "not_sent" and order_ref in known:
            yield f"order {order_ref} is not_sent in the ledger and was at the venue"
        if status in ("filled", "cancelled", "rejected", "unresolved", "submitted") and order_ref not in placed:
            yield f"order {order_ref} is {status} in the ledger and never was at the venue"
        if settled and status not in ("filled", "cancelled", "rejected", "not_sent"):
            yield f"order {order_ref} is {status} in a settled ledger"
    if settled:
        filled: Counter[str] = Counter()
        for fill in record.fills:
            filled[fill.order_ref] += fill.quantity  # type: ignore[assignment]  # quantities are floats
        for order_ref, row in intents.items():
            if abs(row["filled_quantity"] - filled[order_ref]) > _NEAR:
                yield f"order {order_ref} has {row['filled_quantity']:g} filled, {filled[order_ref]:g} at the venue"
            if (row["status"] == "filled") != (abs(filled[order_ref] - row["quantity"]) < _NEAR):
                yield f"order {order_ref} is {row['status']} with {filled[order_ref]:g} of {row['quantity']:g} filled"


def _fills(record: Record, connection: sqlite3.Connection, *, settled: bool) -> Iterator[str]:
    rows = {
        row["exec_id"]: row
        for row in connection.execute(
            "SELECT executions.*, orders.order_ref AS of_order FROM executions "
            "LEFT JOIN orders ON orders.id = executions.order_id"
        )
    }
    fills = {fill.exec_id: fill for fill in record.fills}
    for exec_id in rows.keys() - fills.keys():
        yield f"fill {exec_id} is in the ledger and never was at the venue"
    for exec_id, fill in fills.items():
        row = rows.get(exec_id)
        if row is None:
            if settled:
                yield f"fill {exec_id} of order {fill.order_ref} is lost: it is not in the ledger"
            continue
        told = (row["of_order"], row["con_id"], row["side"], row["quantity"], row["price"])
        true = (fill.order_ref, fill.con_id, fill.side, fill.quantity, fill.price)
        if told != true:
            yield f"fill {exec_id} is {told} in the ledger, {true} at the venue"
        if settled and row["commission"] != fill.commission:
            yield f"fill {exec_id} has commission {row['commission']} in the ledger, {fill.commission} at the venue"


def _positions(record: Record, connection: sqlite3.Connection) -> Iterator[str]:
    told = dict(connection.execute("SELECT con_id, quantity FROM positions").fetchall())
    trades = dict(connection.execute("SELECT con_id, open_quantity FROM trades WHERE closed_at IS NULL").fetchall())
    for what, quantities in (("positions", told), ("open trades", trades)):
        if quantities != record.positions:
            yield f"the {what} are {quantities}, the venue's fills add up to {record.positions}"


def _profit(record: Record, connection: sqlite3.Connection) -> Iterator[str]:
    """Profit is what came in, less what went out, plus what is still held at its entry price: in any order of fills."""
    ((held,),) = connection.execute("SELECT COALESCE(sum(open_quantity * average_entry_price), 0) FROM trades")
    true = held - sum(fill.signed * fill.price for fill in record.fills)
    charged = sum(fill.commission for fill in record.fills)
    for table in ("executions", "trades", "daily_summaries"):
        profit, commission = connection.execute(
            f"SELECT COALESCE(sum(realized_pnl), 0), COALESCE(sum(commission), 0) FROM {table}"  # noqa: S608
        ).fetchone()
        if abs(profit - true) > _NEAR * max(1, len(record.fills)):
            yield f"{table} add up to a profit of {profit:.4f}, the venue's fills to {true:.4f}"
        if abs(commission - charged) > _NEAR:
            yield f"{table} add up to commissions of {commission:.4f}, the venue's to {charged:.4f}"


def _integrity(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"integrity_check: {line}"
    for row in connection.execute("PRAGMA foreign_key_check"):
        yield f"foreign_key_check: {tuple(row)}"
    marks = ", ".join("?" * len(_ALARMS))
    for kind, message in connection.execute(
        f"SELECT kind, message FROM risk_events WHERE kind IN ({marks})",  # noqa: S608 names are ours
        _ALARMS,
    ):
        yield f"risk event {kind}: {message}"
