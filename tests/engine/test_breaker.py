# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The circuit breaker: when it opens, what it lets through, how it closes; and the dead man's switch."""

from __future__ import annotations

import pytest

from reference_engine.breaker import CircuitBreaker
from reference_engine.config import BreakerSettings
from reference_engine.dead_man import DeadManSwitch
from reference_engine.model import OrderRequest
from tests.engine.support import AAPL, NOON
from tests.engine.test_pacing import Clock

WISH = OrderRequest(AAPL, "BUY", 1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(BreakerSettings(3, 60.0, 30.0, 100.0), clock)


def fail(breaker: CircuitBreaker, *names: str) -> list[bool]:
    return [breaker.failed(name, f"{name} was rejected") for name in names]


def test_it_opens_when_failures_come_within_the_window(breaker: CircuitBreaker, clock: Clock) -> None:
    assert fail(breaker, "a", "b") == [False, False]
    clock.now += 61
    assert fail(breaker, "c", "d") == [False, False], "the first two are too long ago"
    assert breaker.refusal(WISH, NOON) is None
    assert fail(breaker, "e") == [True]
    refusal = breaker.refusal(WISH, NOON)
    assert refusal is not None
    assert (refusal.kind, refusal.message) == (
        "circuit_breaker",
        "orders fail repeatedly, the last one: e was rejected; the next is tried in 30 s",
    )


def test_half_open_lets_one_order_through_and_closes_when_it_is_acknowledged(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, "a", "b", "c")
    clock.now += 30
    assert (breaker.state, breaker.refusal(WISH, NOON)) == ("half_open", None)
    breaker.sent("probe")
    assert breaker.reason() == "orders failed repeatedly; waiting for what becomes of the order probe that was tried"
    assert breaker.succeeded("an order sent before") is False
    assert breaker.succeeded("probe") is True
    assert (breaker.state, breaker.reason(), breaker.opened) == ("closed", None, 1)
    assert fail(breaker, "d", "e") == [False, False], "what failed before it closed no longer counts"


def test_every_probe_that_fails_doubles_the_cool_down_to_the_ceiling(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, "a", "b", "c")
    waits = []
    for number in range(4):
        opened = clock.now
        while breaker.state == "open":
            clock.now += 1
        waits.append(clock.now - opened)
        breaker.sent(f"probe {number}")
        assert fail(breaker, f"probe {number}") == [True]
    assert waits == [30, 60, 100, 100]
    clock.now += 100
    breaker.sent("good")
    assert breaker.succeeded("good")
    fail(breaker, "d", "e", "f")
    clock.now += 30
    assert breaker.state == "half_open", "after it closed, the cool-down is short again"


def test_late_failures_of_other_orders_do_not_prolong_an_open_breaker(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, "a", "b", "c")
    clock.now += 20
    assert fail(breaker, "d") == [False]
    clock.now += 10
    assert breaker.state == "half_open"


def test_dead_man_trips_once_when_the_link_was_gone_for_long_enough(clock: Clock) -> None:
    switch = DeadManSwitch(60.0, clock)
    assert switch.look(True) is None
    clock.now += 1000
    assert switch.look(False) is None, "it was usable until just now"
    clock.now += 59
    assert switch.look(False) is None
    clock.now += 1
    assert switch.look(False) == 60
    clock.now += 1
    assert (switch.look(False), switch.tripped, switch.trips) == (None, True, 1)
    switch.reset()
    assert switch.look(True) is None
    clock.now += 30
    assert switch.look(False) is None


def test_dead_man_counts_from_the_start_when_there_never_was_a_link(clock: Clock) -> None:
    switch = DeadManSwitch(60.0, clock)
    clock.now += 61
    assert switch.look(False) == 61
