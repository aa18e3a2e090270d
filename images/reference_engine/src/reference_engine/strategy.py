# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides the orders: the base class, the two strategies that ship with the engine, and the loader of others.

A strategy is asked on every tick and answers with the orders it wants. It never talks to the broker, keeps no clock of
its own and may not block: all it may know comes in through ``tick`` and ``account``, so it is tested by calling it.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from .model import AccountValues, Instrument, OpenOrder, OrderRequest, Side, Tick


class ParameterError(ValueError):
    """A strategy refuses its parameters. ``problems`` are tuples of (parameter, value seen, wanted, fix)."""

    def __init__(self, problems: Sequence[tuple[str, object, str, str]]) -> None:
        super().__init__("; ".join(f"{name}: saw {seen!r}, wanted {wanted}" for name, seen, wanted, _ in problems))
        self.problems = problems


class StrategyNotFoundError(LookupError):
    """No strategy of that name; the text says why."""


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
    """Base class: override `instruments` and `on_tick`. ``parameters`` is `strategy.parameters` of engine.yaml."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """Check and keep the parameters; raise `ParameterError` with every problem at once."""
        if parameters:
            raise ParameterError([(name, value, "no parameters", "remove it") for name, value in parameters.items()])

    def instruments(self) -> Sequence[Instrument]:
        """Return the instruments to receive ticks of. Asked once, before the first tick."""
        return ()

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[OrderRequest]:  # noqa: ARG002 for subclasses
        """Return the orders wanted now. An exception stops the engine: working orders are handled as on any stop."""
        return ()


class NoStrategy(Strategy):
    """Trades nothing; with `symbol` it still watches that stock, so that the health of the data feed shows."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        reader = _Reader(parameters)
        self._symbol = reader.text("symbol", default="")
        reader.finish()

    def instruments(self) -> Sequence[Instrument]:
        return (Instrument(self._symbol),) if self._symbol else ()


class DemoStrategy(Strategy):
    """Buys below the running mean and sells above it, a few shares at a time. It shows that the machinery works.

    Every `interval_seconds` it sends one market order of `quantity` shares of `symbol`, while the position stays
    between 0 and `max_position`; where the mean points beyond a limit it trades the other way. Not meant to make money.
    """

    _PRICES_OF_MEAN = 50

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        reader = _Reader(parameters)
        self._instrument = Instrument(reader.text("symbol", default="AAPL"))
        self._quantity = reader.number("quantity", default=5)
        self._interval_seconds = reader.number("interval_seconds", default=2)
        self._max_position = reader.number("max_position", default=20)
        if self._max_position < self._quantity:
            reader.refuse("max_position", self._max_position, f"at least quantity ({self._quantity:g})", "raise it")
        reader.finish()
        self._prices: deque[float] = deque(maxlen=self._PRICES_OF_MEAN)
        self._last_order_at: datetime | None = None

    def instruments(self) -> Sequence[Instrument]:
        return (self._instrument,)

    def on_tick(self, tick: Tick, account: AccountView) -> Iterable[OrderRequest]:
        self._prices.append(tick.price)
        if account.open_orders(tick.instrument):
            return ()
        if self._last_order_at and (tick.at - self._last_order_at).total_seconds() < self._interval_seconds:
            return ()
        self._last_order_at = tick.at
        position = account.position(tick.instrument)
        may_buy = position + self._quantity <= self._max_position
        may_sell = position >= self._quantity
        cheap = tick.price <= sum(self._prices) / len(self._prices)
        side: Side = "BUY" if may_buy and (cheap or not may_sell) else "SELL"
        if side == "SELL" and not may_sell:
            return ()
        return (OrderRequest(tick.instrument, side, self._quantity),)


BUILT_IN: Mapping[str, type[Strategy]] = {"demo": DemoStrategy, "none": NoStrategy}


def load_strategy(name: str, folder: Path) -> type[Strategy]:
    """Return the strategy class of that name: a built-in one, or `module:Class` with `module.py` in the folder.

    Raises `StrategyNotFoundError` with the reason when there is none.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    match = re.fullmatch(r"([A-Za-z_]\w*):([A-Za-z_]\w*)", name)
    if match is None:
        raise StrategyNotFoundError(f"{', '.join(BUILT_IN)} or module:Class")
    module_name, class_name = match.groups()
    path = folder / f"{module_name}.py"
    if not path.is_file():
        raise StrategyNotFoundError(f"a module at {path}")
    # Appended, so that a user's file never hides one of the engine's own modules.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise StrategyNotFoundError(f"a module that imports ({path}: {type(error).__name__}: {error})") from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise StrategyNotFoundError(f"a class {class_name} derived from Strategy in {path}")
    return found


class _Reader:
    """Takes parameters one by one, and at the end refuses every one that was wrong or not asked for."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._left = dict(parameters)
        self._problems: list[tuple[str, object, str, str]] = []

    def refuse(self, name: str, seen: object, wanted: str, fix: str) -> None:
        self._problems.append((name, seen, wanted, fix))

    def text(self, name: str, default: str) -> str:
        value = self._left.pop(name, default)
        if isinstance(value, str):
            return value
        self.refuse(name, value, "a text", "quote it")
        return default

    def number(self, name: str, default: float) -> float:
        value = self._left.pop(name, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
        self.refuse(name, value, "a number above 0", "correct it or remove it")
        return default

    def finish(self) -> None:
        """Raise `ParameterError` when anything was refused or left over."""
        for name, value in self._left.items():
            self.refuse(name, value, "a parameter that this strategy has", "remove it")
        if self._problems:
            raise ParameterError(self._problems)
