# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo strategy trades regularly and stays inside its limits; an order that makes no sense cannot be made."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from reference_engine.model import Instrument, OrderRequest, OrderType, Tick
from reference_engine.strategies.demo import DemoStrategy
from tests.engine.support import AAPL, NOON


class Account:
    """An account that fills every order at once."""

    def __init__(self) -> None:
        self.held = 0.0
        self.working = 0

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
