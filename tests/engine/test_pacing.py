# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the engine may speak, and how often it may knock."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from reference_engine.pacing import Backoff, Bucket, Pacer


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_no_second_sees_more_than_the_tokens() -> None:
    clock = Clock()
    bucket = Bucket(45, 1.0, clock)
    taken: list[float] = []
    for _ in range(4000):
        if not bucket.wait():
            bucket.take()
            taken.append(clock.now)
        clock.now += 0.001
    assert max(sum(1 for other in taken if at <= other < at + 1.0) for at in taken) == 45
    assert len(taken) == 45 * 4


def test_wait_is_exactly_until_the_token_comes_back() -> None:
    clock = Clock()
    bucket = Bucket(2, 1.0, clock)
    bucket.take()
    clock.now += 0.25
    bucket.take()
    assert bucket.wait() == pytest.approx(0.75)
    assert bucket.wait(reserve=1) == pytest.approx(1.0)
    clock.now += 0.75
    assert bucket.wait() == 0.0
    assert bucket.wait(reserve=1) == pytest.approx(0.25)


async def test_orders_overtake_data_requests_that_wait() -> None:
    pacer, sent = Pacer(8), list[str]()
    for number in range(12):
        pacer.send(partial(sent.append, f"data {number}"), urgent=False)
    assert sent == [f"data {number}" for number in range(6)], "a quarter of the tokens is kept for orders"
    assert pacer.urgent_wait() == 0.0
    for number in range(4):
        pacer.send(partial(sent.append, f"order {number}"), urgent=True)
    assert sent[6:] == ["order 0", "order 1"]
    assert pacer.urgent_wait() > 0.0
    async with asyncio.timeout(10):
        while pacer.waiting:
            await asyncio.sleep(0.01)
    assert sent[8:10] == ["order 2", "order 3"]
    assert sent[10:] == [f"data {number}" for number in range(6, 12)]
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
    assert time.monotonic() - started > 0.5


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
    backoff = Backoff(0.001, attempts_per_minute=3)
    for _ in range(3):
        assert backoff.pause(0.001) <= 0.001
        backoff.attempt()
    assert backoff.pause(0.001) > 50.0
