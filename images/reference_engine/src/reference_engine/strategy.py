# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides the orders: the base class of every strategy, and what a strategy is told.

A strategy is asked on every tick and answers with what it wants. It never talks to the broker, keeps no clock of its
own and may not block: all it may know comes in through ``tick`` and ``account``, so it is tested by calling it. The
built-in ones and the loader of others are in ``strategies/``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from .guard import Refusal
from .model import AccountValues, Cancel, Execution, Instrument, OpenOrder, OrderReport, OrderRequest, Tick

Wish = OrderRequest | Cancel
"""What a strategy may want: a new order, new terms for a working one (``replaces``), or the end of one."""


class ParameterError(ValueError):
    """A strategy refuses its parameters. ``problems`` are tuples of (parameter, value seen, wanted, fix)."""

    def __init__(self, problems: Sequence[tuple[str, object, str, str]]) -> None:
        super().__init__("; ".join(f"{name}: saw {seen!r}, wanted {wanted}" for name, seen, wanted, _ in problems))
        self.problems = problems


class AccountView(Protocol):
    """What a strategy may know about its account at the moment it is asked."""

    def position(self, instrument: Instrument) -> float:
        """Return the signed quantity held, 0.0 when there is none."""

    def open_orders(self, instrument: Instrument) -> int:
        """Return how many orders for the instrument have no final state yet."""

    def orders(self, instrument: Instrument) -> Sequence[OpenOrder]:
        """Return the orders for the instrument that have no final state yet, oldest first."""

    def price(self, instrument: Instrument) -> float | None:
        """Return the price of the newest tick, None before the first."""

    @property
    def account_values(self) -> AccountValues:
        """What the broker last said the account is worth."""


class Strategy:
    """Base class: override `instruments` and `on_tick`, and what else is of use.

    An exception in any of these methods is caught, counted, logged with its traceback and a risk event in the ledger;
    some of them within a while stop trading until the engine is started again (``strategy.max_errors``).
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """Check and keep ``strategy.parameters`` of engine.yaml; raise `ParameterError` with every problem at once."""
        if parameters:
            raise ParameterError([(name, value, "no parameters", "remove it") for name, value in parameters.items()])

    def instruments(self) -> Sequence[Instrument]:
        """Return the instruments to receive ticks of and to trade. Asked once, at the start."""
        return ()

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[Wish]:  # noqa: ARG002 for subclasses
        """Return what is wanted now. Asked only while the engine may trade, not during a halt or without the broker.

        A standby is asked as well, so that it is warm when it takes over; what it wants is discarded.
        """
        return ()

    def on_order(self, report: OrderReport, account: AccountView) -> None:
        """Take note of what the broker says of an order of this engine, after it is in the ledger."""

    def on_fill(self, execution: Execution, account: AccountView) -> None:
        """Take note of a fill, after it is in the ledger; the position of ``account`` has it already."""

    def on_refusal(self, request: OrderRequest, refusal: Refusal, account: AccountView) -> None:
        """Take note that an order wanted was not sent, and why. It is not kept for later."""

    def values(self) -> Mapping[str, float]:
        """Return figures to show in /metrics, by name: ``ballast_engine_strategy_value{name="..."}``."""
        return {}


class Parameters:
    """Takes parameters one by one, and at the end refuses every one that was wrong or not asked for."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._left = dict(parameters)
        self._problems: list[tuple[str, object, str, str]] = []

    def refuse(self, name: str, seen: object, wanted: str, fix: str) -> None:
        """Note a problem of the strategy's own."""
        self._problems.append((name, seen, wanted, fix))

    def text(self, name: str, default: str) -> str:
        value = self._left.pop(name, default)
        if isinstance(value, str):
            return value
        self.refuse(name, value, "a text", "quote it")
        return default

    def number(self, name: str, default: float) -> float:
        """Take a number above 0."""
        value = self._left.pop(name, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= sys.float_info.max:
            return float(value)
        self.refuse(name, value, "a number above 0", "correct it or remove it")
        return default

    def count(self, name: str, default: int) -> int:
        """Take a whole number of 1 or more."""
        value = self._left.pop(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        self.refuse(name, value, "a whole number, 1 or more", "correct it or remove it")
        return default

    def finish(self) -> None:
        """Raise `ParameterError` when anything was refused or left over."""
        for name, value in self._left.items():
            self.refuse(name, value, "a parameter that this strategy has", "remove it")
        if self._problems:
            raise ParameterError(self._problems)
