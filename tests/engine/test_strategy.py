# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in strategies keep what they promise; an order that makes no sense cannot be made."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta

import pytest

from reference_engine.model import AccountValues, Instrument, OpenOrder, OrderRequest, OrderType, Tick
from reference_engine.strategies.buy_and_hold import BuyAndHold
from reference_engine.strategies.demo import DemoStrategy
from reference_engine.strategies.moving_average_cross import MovingAverageCross
from reference_engine.strategy import ParameterError
from tests.engine.support import AAPL, NOON


class Account:
    """An account that fills every order at once."""

    account_values = AccountValues()

    def __init__(self) -> None:
        self.held = 0.0
        self.working = 0

    def orders(self, instrument: Instrument) -> Sequence[OpenOrder]:
        raise NotImplementedError

    def price(self, instrument: Instrument) -> float | None:
        raise NotImplementedError

    def position(self, instrument: Instrument) -> float:
        assert instrument == AAPL
        return self.held

    def open_orders(self, instrument: Instrument) -> int:
        assert instrument == AAPL
        return self.working


@pytest.mark.parametrize("drift", [-0.5, 0.0, 0.5])
def test_demo_orders_in_every_interval_and_never_leaves_its_limits(drift: float) -> None:
    strategy = DemoStrategy({"quantity": 5, "interval_seconds": 2, "max_position": 20})
    account, price, orders = Account(), 500.0, 0
    walk = random.Random(1)  # noqa: S311 a price, no secret
    for second in range(400):
        price += drift + walk.uniform(-1, 1)
        for order in strategy.on_tick(Tick(AAPL, price, NOON + timedelta(seconds=second)), account):
            orders += 1
            account.held += order.quantity if order.side == "BUY" else -order.quantity
            assert 0 <= account.held <= 20
    assert orders == 200


def test_demo_waits_for_its_working_order() -> None:
    strategy, account = DemoStrategy({}), Account()
    account.working = 1
    assert list(strategy.on_tick(Tick(AAPL, 100.0, NOON), account)) == []


@pytest.mark.parametrize("held", [-40.0, -3.0])
def test_demo_buys_back_a_short_position_it_finds(held: float) -> None:
    strategy, account = DemoStrategy({}), Account()
    account.held = held
    assert [order.side for order in strategy.on_tick(Tick(AAPL, 100.0, NOON), account)] == ["BUY"]


def test_demo_sells_when_it_finds_more_than_its_limit() -> None:
    strategy, account = DemoStrategy({}), Account()
    account.held = 100.0
    assert [order.side for order in strategy.on_tick(Tick(AAPL, 100.0, NOON), account)] == ["SELL"]


@pytest.mark.parametrize(
    ("quantity", "order_type", "limit_price", "message"),
    [
        (0.0, "MKT", None, "order quantity is 0.0, wanted a number above 0"),
        (float("nan"), "MKT", None, "order quantity is nan, wanted a number above 0"),
        (1.0, "LMT", None, "LMT order with no price: wanted limit_price"),
        (1.0, "MKT", 5.0, "MKT order with limit_price: wanted no price"),
    ],
)
def test_order_that_makes_no_sense_cannot_be_made(
    quantity: float, order_type: OrderType, limit_price: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        OrderRequest(AAPL, "BUY", quantity, order_type, limit_price)


# -- buy and hold


def test_buy_and_hold_buys_once_and_then_only_beats() -> None:
    strategy, account = BuyAndHold({"symbol": "AAPL", "quantity": 3, "beat_seconds": 10}), Account()
    ordered = []
    for second in range(200):
        for order in strategy.on_tick(Tick(AAPL, 100.0, NOON + timedelta(seconds=second)), account):
            ordered.append((second, order.side, order.quantity))
            account.held = order.quantity
        if second == 150:
            account.held = 0.0  # sold by hand, or at the end of the day
    assert ordered == [(0, "BUY", 3.0)]
    assert strategy.values() == {"beats": 20.0, "last_beat": (NOON + timedelta(seconds=190)).timestamp()}


def test_buy_and_hold_keeps_what_it_finds() -> None:
    strategy, account = BuyAndHold({"symbol": "AAPL"}), Account()
    account.held = 7.0
    assert list(strategy.on_tick(Tick(AAPL, 100.0, NOON), account)) == []


def test_buy_and_hold_tries_again_a_minute_after_an_order_that_came_to_nothing() -> None:
    strategy, account = BuyAndHold({"symbol": "AAPL"}), Account()
    ordered = [
        second
        for second in range(130)
        for _ in strategy.on_tick(Tick(AAPL, 100.0, NOON + timedelta(seconds=second)), account)
    ]
    assert ordered == [0, 60, 120]


# -- moving averages


def test_moving_average_cross_holds_exactly_while_the_fast_average_is_above_the_slow() -> None:
    strategy = MovingAverageCross({"symbol": "AAPL", "quantity": 4, "bar_seconds": 10, "fast": 2, "slow": 4})
    account, prices, held = Account(), [], []
    for bar, price in enumerate([100, 101, 102, 103, 104, 103, 101, 98, 95, 96, 99, 103, 108]):
        for part in range(10):
            at = NOON + timedelta(seconds=10 * bar + part)
            # Whatever happens within a bar does not matter.
            noise = 0.0 if part == 9 else (-1) ** part * 5.0
            for order in strategy.on_tick(Tick(AAPL, price + noise, at), account):
                assert part == 0, "it decides when a bar ends"
                account.held += order.quantity if order.side == "BUY" else -order.quantity
        prices.append(price)
        held.append(account.held)
    expected = [
        4.0 if bar > 4 and sum(prices[bar - 2 : bar]) / 2 > sum(prices[bar - 4 : bar]) / 4 else 0.0
        for bar in range(len(prices))
    ]
    expected[4] = 4.0  # the first decision, after four bars
    assert held == expected
    assert {0.0, 4.0} <= set(held)


def test_moving_average_cross_waits_for_its_working_order() -> None:
    strategy = MovingAverageCross({"symbol": "AAPL", "bar_seconds": 1, "fast": 1, "slow": 2})
    account = Account()
    account.working = 1
    for second in range(10):
        assert list(strategy.on_tick(Tick(AAPL, 100.0 + second, NOON + timedelta(seconds=second)), account)) == []


def test_averages_in_the_wrong_order_are_refused_with_every_other_problem() -> None:
    with pytest.raises(ParameterError) as caught:
        MovingAverageCross({"fast": 5, "slow": 5, "bar_seconds": 0, "colour": "red"})
    assert [(name, seen, wanted) for name, seen, wanted, _ in caught.value.problems] == [
        ("bar_seconds", 0, "a number above 0"),
        ("slow", 5, "more bars than fast (5)"),
        ("colour", "red", "a parameter that this strategy has"),
    ]
