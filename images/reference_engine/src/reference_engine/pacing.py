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

# IB's limit is 50. Messages sent evenly may arrive together, so a few of them are left to the network.
_MOST_IN_A_SECOND: Final = 48
# A second, and what messages may come closer to each other on their way.
_WINDOW_SECONDS: Final = 1.05


class TokenBucket:
    """Tokens come back evenly, ``rate`` a second, up to ``capacity``; so no second sees more than both together."""

    def __init__(self, rate: float, capacity: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._capacity = capacity
        self._clock = clock
        self._tokens = capacity
        self._counted_at = clock()

    def wait(self, reserve: float = 0.0) -> float:
        """Return the seconds until a token can be taken with ``reserve`` others left; 0.0 when now."""
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now
        # A clock's last digit must not make a token late by a turn of the event loop.
        missing = reserve + 1.0 - self._tokens
        return missing / self._rate if missing > 1e-6 else 0.0

    def take(self) -> None:
        """Take a token; call `wait` first."""
        self._tokens -= 1.0


class Pacer:
    """Sends ``per_second`` messages a second and no burst above IB's limit: urgent ones first, then the others.

    A burst is what the limit leaves above the steady pace. One token of it is kept for urgent messages: data requests
    that wait never let an order wait for longer than for the next token. A session that begins has sent nothing yet, so
    half of what a second may see leaves at once: reconciliation waits for it. That too stays below the limit.
    """

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        burst = max(1, min(per_second, _MOST_IN_A_SECOND - per_second))
        self._bucket = TokenBucket(per_second, burst, clock)
        self._clock = clock
        self._reserve = min(1, burst - 1)
        self._most = per_second + burst
        # When the last messages left, of whatever session: no second sees more than the most.
        self._left: deque[float] = deque(maxlen=self._most)
        self._first = max(0, self._most // 2 - burst)
        self._ahead = 0
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
        return self._wait(len(self._urgent))

    def begin(self) -> None:
        """A session begins: let its first messages leave at once."""
        self._ahead = self._first

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
        while self._urgent and not self._wait():
            self._take()
            self._urgent.popleft()()
        while not self._urgent and self._patient and not self._wait(self._reserve):
            self._take()
            self._patient.popleft()()
        if self.waiting and self._timer is None:
            pause = self._wait(0 if self._urgent else self._reserve)
            self._timer = asyncio.get_running_loop().call_later(pause, self._go_on)

    def _wait(self, reserve: int = 0) -> float:
        token = 0.0 if self._ahead > reserve else self._bucket.wait(reserve)
        if (full := len(self._left) + reserve - self._most) < 0:
            return token
        return max(token, self._left[min(full, len(self._left) - 1)] + _WINDOW_SECONDS - self._clock())

    def _take(self) -> None:
        self._left.append(self._clock())
        if self._ahead:
            self._ahead -= 1
        else:
            self._bucket.take()

    def _go_on(self) -> None:
        self._timer = None
        self._pump()


class Backoff:
    """The pauses between attempts to connect: exponential, with full jitter and a ceiling, at most so many a minute.

    Full jitter (a pause from 0 to the whole of it) spreads the clients of one gateway after it was restarted.
    """

    def __init__(
        self, first_seconds: float, attempts_per_minute: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first = first_seconds
        self._failures = 0
        self._attempts: deque[float] = deque(maxlen=attempts_per_minute)
        self._clock = clock

    def attempt(self) -> None:
        """Note that an attempt begins."""
        self._attempts.append(self._clock())

    def succeeded(self) -> None:
        """Begin with short pauses again."""
        self._failures = 0

    def pause(self, ceiling_seconds: float) -> float:
        """Return the seconds to wait before the next attempt."""
        most = min(ceiling_seconds, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return max(random.uniform(0.0, most), self.least())  # noqa: S311 jitter is no secret

    def least(self) -> float:
        """Return the seconds until the limit of a minute allows an attempt; 0.0 when now."""
        if len(self._attempts) < (self._attempts.maxlen or 0):
            return 0.0
        return max(0.0, self._attempts[0] + 60.0 - self._clock())
