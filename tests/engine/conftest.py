# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place to run an engine in, with a ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.engine.process import Process
from tests.engine.support import Place
from tests.engine.venue import Venue


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    place.make_ledger()
    yield place
    place.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's waits, made short."""
    for name, seconds in {
        "_RETRY_SECONDS": 0.02,
        "_SETTLE_SECONDS": 0.02,
        "_RECONCILE_SOON_SECONDS": 0.05,
        "_DRAIN_LIMIT_SECONDS": 0.3,
    }.items():
        monkeypatch.setattr(f"reference_engine.engine.{name}", seconds)


@pytest.fixture
def simulator(place: Place) -> Iterator[Venue]:
    simulator = Venue(place.path)
    place.environment["BALLAST_GATEWAY_PORT"] = str(simulator.port)
    simulator.start()
    yield simulator
    simulator.kill()


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def start(*arguments: str) -> Process:
        processes.append(Process(place, *arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
