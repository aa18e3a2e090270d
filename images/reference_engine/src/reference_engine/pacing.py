# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the engine speaks: messages to the gateway under IB's limit, orders first; attempts to connect, spread out.

IB cuts a client off that sends more than 50 messages in a second (TWS API, "Pacing limitations").
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final

# Of the tokens, so many only orders and cancels may take: a burst of data requests never makes an order wait a second.
_RESERVED_SHARE: Final = 0.25


class Bucket:
    """So many tokens; each comes back ``seconds`` after it was taken. So no window of that length sees more."""

    def __init__(self, tokens: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._taken: deque[float] = deque()
        self._tokens = tokens
        self._seconds = seconds
        self._clock = clock

    def wait(self, reserve: int = 0) -> float:
        """Return the seconds until a token can be taken with ``reserve`` others left; 0.0 when now."""
        now = self._clock()
        while self._taken and now - self._taken[0] >= self._seconds:
            self._taken.popleft()
        missing = len(self._taken) + reserve + 1 - self._tokens
        return 0.0 if missing <= 0 else self._taken[missing - 1] + self._seconds - now

    def take(self) -> None:
        """Take a token, whether there is one or not."""
        self._taken.append(self._clock())


class Pacer:
    """At most ``per_second`` messages leave in any second: urgent ones first, the others while there is room."""

    def __init__(self, per_second: int) -> None:
        self._bucket = Bucket(per_second, 1.0)
        self._reserve = int(per_second * _RESERVED_SHARE)
        self._urgent: deque[Callable[[], None]] = deque()
        self._patient: deque[Callable[[], None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.delayed = 0
        """How many messages had to wait."""

    @property
    def waiting(self) -> int:
        """How many messages wait now."""
        return len(self._urgent) + len(self._patient)

    def urgent_wait(self) -> float:
        """Return the seconds until an urgent message would leave; 0.0 when at once."""
        return self._bucket.wait(len(self._urgent))

    def send(self, message: Callable[[], None], *, urgent: bool) -> None:
        """Call ``message``, which writes one message, as soon as the pace allows."""
        (self._urgent if urgent else self._patient).append(message)
        before = self.waiting
        self._pump()
        self.delayed += self.waiting == before

    def clear(self) -> None:
        """Forget what waits: the session it was meant for is over. What was sent still counts."""
        self._urgent.clear()
        self._patient.clear()

    def _pump(self) -> None:
        while self._urgent and not self._bucket.wait():
            self._bucket.take()
            self._urgent.popleft()()
        while not self._urgent and self._patient and not self._bucket.wait(self._reserve):
            self._bucket.take()
            self._patient.popleft()()
        if self.waiting and self._timer is None:
            pause = self._bucket.wait(0 if self._urgent else self._reserve)
            self._timer = asyncio.get_running_loop().call_later(pause, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        self._pump()


class Backoff:
    """The pauses between attempts to connect: exponential, with full jitter and a ceiling, at most so many a minute.

    Full jitter (a pause from 0 to the whole of it) spreads the clients of one gateway after it was restarted.
    """

    def __init__(self, first_seconds: float, attempts_per_minute: int) -> None:
        self._first = first_seconds
        self._failures = 0
        self._attempts = Bucket(attempts_per_minute, 60.0)

    def attempt(self) -> None:
        """Note that an attempt begins."""
        self._attempts.take()

    def succeeded(self) -> None:
        """Begin with short pauses again."""
        self._failures = 0

    def pause(self, ceiling_seconds: float) -> float:
        """Return the seconds to wait before the next attempt."""
        most = min(ceiling_seconds, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return max(random.uniform(0.0, most), self._attempts.wait())  # noqa: S311 jitter is no secret
