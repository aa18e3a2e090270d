# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the simulator's tests share: a running simulator, real clients, and waiting for conditions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ib_async import IB, Stock

from gateway_simulator.server import Simulator
from gateway_simulator.settings import Settings, from_environment

AAPL = Stock(conId=265598, symbol="AAPL", exchange="SMART", currency="USD")
ACCOUNT = "DU1234567"
PATIENCE_SECONDS = 5.0


def settings(state: Path | None = None, **environment: str) -> Settings:
    """Return settings for a test: a free port of the loopback interface and a fast market."""
    return from_environment(
        {
            "SIMULATOR_HOST": "127.0.0.1",
            "SIMULATOR_PORT": "0",
            "SIMULATOR_TICKS_PER_SECOND": "20",
            "SIMULATOR_STATE": str(state or ""),
            **environment,
        }
    )


@asynccontextmanager
async def running(state: Path | None = None, **environment: str) -> AsyncIterator[Simulator]:
    """Run a simulator in this event loop."""
    simulator = Simulator(settings(state, **environment))
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


class Client(IB):
    """An ib_async client that keeps the errors it was sent, as (request id, code, text)."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[tuple[int, int, str]] = []
        self.errorEvent += lambda request_id, code, text, _contract: self.errors.append((request_id, code, text))

    @property
    def codes(self) -> list[int]:
        """The codes of the errors, in order."""
        return [code for _, code, _ in self.errors]


@asynccontextmanager
async def connected(
    port: int, client_id: int = 1, *, readonly: bool = False, version: int = 178
) -> AsyncIterator[Client]:
    """Connect an ib_async client that fails when any of its start-up requests goes unanswered."""
    client = Client()
    client.client.MaxClientVersion = version
    await client.connectAsync("127.0.0.1", port, client_id, timeout=2, readonly=readonly, raiseSyncErrors=True)
    try:
        yield client
    finally:
        client.disconnect()


async def until(condition: Callable[[], object]) -> None:
    """Return when ``condition`` holds; fail when it does not within the tests' patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"  # noqa: S101 - a test's own
        await asyncio.sleep(0.005)
