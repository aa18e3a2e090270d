# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The day's orders and executions, kept so that a moment costs what it concerns, however many there are."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

from .model import Execution, Order

Key = tuple[int, int]


_Name = TypeVar("_Name")


class OrderBook:
    """Orders by (client id, order id) and executions by their id, with the indexes over them.

    ``changed`` has what was put in, changed or taken out since it was last cleared, as ("order", key) and
    ("execution", id).
    """

    def __init__(self) -> None:
        self.orders: dict[Key, Order] = {}
        self.executions: dict[str, Execution] = {}
        self.changed: set[tuple[str, Key | str]] = set()
        self._executions_of: dict[int, list[str]] = {}
        # Working orders that nothing holds back, by contract id; children by their parent; OCA groups by name; the
        # finished ones, in order; and what expires next, where an order may stand more than once.
        self._live: dict[int, dict[Key, None]] = {}
        self._children: dict[Key, list[Key]] = {}
        self._groups: dict[str, dict[Key, None]] = {}
        self._finished: deque[Key] = deque()
        self._expiries: list[tuple[int, Key]] = []

    # --- finding ----------------------------------------------------------------------------------------------------

    def working(self) -> Iterator[Order]:
        """Yield the orders that can still be filled, oldest first."""
        return (order for order in self.orders.values() if order.is_working)

    def finished(self) -> Iterator[Order]:
        """Yield the orders that are done, in the order in which they ended."""
        return (self.orders[key] for key in self._finished)

    def live_contracts(self) -> list[int]:
        """Return the contract ids for which an order is at the exchange, or waits for its price or its opening."""
        return list(self._live)

    def live(self, con_id: int) -> list[Order]:
        """Return the orders of a contract at the exchange, or waiting for its price or its opening."""
        return [self.orders[key] for key in self._live.get(con_id, ())]

    def working_children(self, order: Order) -> list[Order]:
        """Return the children of an order that are working."""
        children = (self.orders[key] for key in self._children.get(order.key, ()) if key in self.orders)
        return [child for child in children if child.is_working]

    def group(self, order: Order) -> list[Order]:
        """Return the other working orders of an order's OCA group."""
        return [self.orders[key] for key in self._groups.get(order.oca_group, ()) if key != order.key]

    def family(self, order: Order) -> list[Key]:
        """Return the keys of the working orders of an order's family, parents before children."""
        root = order
        while root.parent_id and (root.client_id, root.parent_id) in self.orders:
            root = self.orders[root.client_id, root.parent_id]
        found: list[Key] = []
        waiting = deque([root])
        while waiting:
            member = waiting.popleft()
            if member.is_working:
                found.append(member.key)
            waiting.extend(self.orders[key] for key in self._children.get(member.key, ()) if key in self.orders)
        return found

    def take_due(self, now: float) -> Iterator[Order]:
        """Yield the working orders whose time is over, once each."""
        while self._expiries and self._expiries[0][0] <= now:
            order = self.orders.get(heapq.heappop(self._expiries)[1])
            if order is not None and order.is_working and order.expires_at is not None and order.expires_at <= now:
                yield order

    # --- keeping ----------------------------------------------------------------------------------------------------

    def put(self, order: Order) -> None:
        """Keep an order, a new one or one that changed."""
        old = self.orders.get(order.key)
        self.orders[order.key] = order
        self.changed.add(("order", order.key))
        self._index(order, old)

    def add(self, execution: Execution) -> None:
        """Keep an execution."""
        self.executions[execution.execution_id] = execution
        self._executions_of.setdefault(execution.perm_id, []).append(execution.execution_id)
        self.changed.add(("execution", execution.execution_id))

    def replace(self, old: Execution, new: Execution) -> None:
        """Keep a corrected execution in the place of the original."""
        kept = (new if execution is old else execution for execution in self.executions.values())
        self.executions = {execution.execution_id: execution for execution in kept}
        ids = self._executions_of[old.perm_id]
        ids[ids.index(old.execution_id)] = new.execution_id
        self.changed |= {("execution", old.execution_id), ("execution", new.execution_id)}

    def keep_finished(self, count: int) -> None:
        """Forget all but the latest ``count`` finished orders, with their executions."""
        while len(self._finished) > count:
            self._forget(self._finished.popleft())

    def forget_before(self, began: str) -> None:
        """Forget the orders that ended, and the executions that happened, before a moment (ISO 8601 UTC)."""
        while self._finished and self.orders[self._finished[0]].completed_at < began:
            self._forget(self._finished.popleft())
        for execution in [execution for execution in self.executions.values() if execution.time < began]:
            self._drop(execution.execution_id)
            ids = self._executions_of[execution.perm_id]
            ids.remove(execution.execution_id)
            if not ids:
                del self._executions_of[execution.perm_id]

    def restore(self, orders: Iterable[Order], executions: Iterable[Execution]) -> None:
        """Take over saved orders and executions in place of what is kept."""
        self.orders, self.executions, self._executions_of = {}, {}, {}
        self._live, self._children, self._groups, self._expiries = {}, {}, {}, []
        self._finished.clear()
        for order in sorted(orders, key=lambda order: (order.completed_at, order.perm_id)):
            self.put(order)
        self.orders = dict(sorted(self.orders.items(), key=lambda entry: entry[1].perm_id))
        for execution in executions:
            self.add(execution)
        self.changed.clear()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _index(self, order: Order, old: Order | None) -> None:
        key = order.key
        if old is None and order.parent_id:
            self._children.setdefault((order.client_id, order.parent_id), []).append(key)
        if old is not None and old.oca_group != order.oca_group:
            _leave(self._groups, old.oca_group, key)
        if not order.is_working:
            _leave(self._live, order.con_id, key)
            _leave(self._groups, order.oca_group, key)
            if old is None or old.is_working:
                self._finished.append(key)
            return
        if order.status == "Submitted" or (order.status == "PreSubmitted" and not order.is_held):
            self._live.setdefault(order.con_id, {})[key] = None
        else:
            _leave(self._live, order.con_id, key)
        if order.oca_group:
            self._groups.setdefault(order.oca_group, {})[key] = None
        if order.expires_at is not None and (old is None or old.expires_at != order.expires_at):
            heapq.heappush(self._expiries, (order.expires_at, key))

    def _forget(self, key: Key) -> None:
        order = self.orders.pop(key)
        self.changed.add(("order", key))
        self._children.pop(key, None)
        for execution_id in self._executions_of.pop(order.perm_id, ()):
            self._drop(execution_id)

    def _drop(self, execution_id: str) -> None:
        del self.executions[execution_id]
        self.changed.add(("execution", execution_id))


def _leave(index: dict[_Name, dict[Key, None]], name: _Name, key: Key) -> None:
    """Take a key out of what an index has under a name."""
    keys = index.get(name)
    if keys is not None and key in keys:
        del keys[key]
        if not keys:
            del index[name]
