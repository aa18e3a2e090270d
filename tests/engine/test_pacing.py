# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the engine may speak, and how often it may knock."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from reference_engine.pacing import Backoff, Pacer, TokenBucket


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("per_second", "most"), [(45, 48), (40, 48), (10, 20), (1, 2)])
@pytest.mark.parametrize("sessions", [False, True])
async def test_no_second_sees_more_than_the_pace_and_a_burst(per_second: int, most: int, sessions: bool) -> None:
    clock = Clock()
    pacer = Pacer(per_second, clock)
    sent: list[float] = []
    for turn in range(5000):
        if sessions and turn % 700 == 0:
            pacer.begin()
        if not pacer.urgent_wait():
            pacer.send(lambda: sent.append(clock.now), urgent=True)
        clock.now += 0.001
    assert max(sum(1 for other in sent if at <= other < at + 1.0) for at in sent) <= most
    assert len(sent) == pytest.approx(per_second * 5, abs=most)


async def test_session_that_begins_may_send_half_of_a_second_at_once() -> None:
    pacer, sent = Pacer(45), list[int]()
    pacer.begin()
    for number in range(30):
        pacer.send(partial(sent.append, number), urgent=False)
    assert len(sent) == 23, "24 at once, and one of them is kept for orders"
    pacer.send(partial(sent.append, 100), urgent=True)
    assert sent[-1] == 100


def test_wait_is_until_the_token_comes_back() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, 2.0, clock)
    for _ in range(2):
        assert bucket.wait() == 0.0
        bucket.take()
    assert bucket.wait() == pytest.approx(0.5)
    assert bucket.wait(reserve=1) == pytest.approx(1.0)
    clock.now += 0.5
    assert bucket.wait() == 0.0
    assert bucket.wait(reserve=1) == pytest.approx(0.5)
    clock.now += 100
    assert bucket.wait(reserve=2) > 0.0, "tokens do not pile up"


async def test_orders_overtake_data_requests_that_wait() -> None:
    pacer, sent = Pacer(40), list[str]()
    for number in range(12):
        pacer.send(partial(sent.append, f"data {number}"), urgent=False)
    assert sent == [f"data {number}" for number in range(7)], "of a burst of 8, one is kept for orders"
    assert pacer.urgent_wait() == 0.0
    for number in range(4):
        pacer.send(partial(sent.append, f"order {number}"), urgent=True)
    assert sent[7:] == ["order 0"]
    assert pacer.urgent_wait() > 0.0
    async with asyncio.timeout(10):
        while pacer.waiting:
            await asyncio.sleep(0.01)
    assert sent[8:11] == ["order 1", "order 2", "order 3"]
    assert sent[11:] == [f"data {number}" for number in range(7, 12)]
    assert pacer.delayed == 8


async def test_messages_of_a_lost_session_are_forgotten_and_still_count() -> None:
    pacer, sent = Pacer(4), list[int]()
    for number in range(6):
        pacer.send(partial(sent.append, number), urgent=True)
    pacer.clear()
    assert pacer.urgent_wait() > 0.0
    started = time.monotonic()
    pacer.send(partial(sent.append, 6), urgent=True)
    async with asyncio.timeout(10):
        while 6 not in sent:
            await asyncio.sleep(0.01)
    assert sent == [0, 1, 2, 3, 6]
    assert time.monotonic() - started > 0.2


def test_pauses_grow_to_the_ceiling_and_are_spread_over_all_of_it() -> None:
    first, later = [], []
    for _ in range(300):
        backoff = Backoff(0.5, attempts_per_minute=1000)
        first.append(backoff.pause(15.0))
        for _ in range(7):
            pause = backoff.pause(15.0)
        later.append(pause)
    assert max(first) <= 0.5
    assert max(later) <= 15.0
    # Full jitter: some knock at once, some wait for long; nobody knocks with the others.
    assert min(later) < 2.0
    assert max(later) > 13.0
    assert sorted(later)[150] == pytest.approx(7.5, abs=2.0)


def test_pauses_begin_short_again_after_a_good_session() -> None:
    backoff = Backoff(0.5, attempts_per_minute=1000)
    for _ in range(10):
        backoff.pause(15.0)
    backoff.succeeded()
    assert backoff.pause(15.0) <= 0.5


def test_attempts_of_a_minute_are_limited_however_short_the_pauses() -> None:
    clock = Clock()
    backoff = Backoff(0.001, 3, clock)
    attempts: list[float] = []
    while clock.now < 400:
        backoff.attempt()
        attempts.append(clock.now)
        clock.now += backoff.pause(0.001)
    assert max(sum(1 for other in attempts if at <= other < at + 60.0) for at in attempts) == 3
    assert len(attempts) >= 15
