# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over a gateway's session: whom it asks, when it tells, and that it tells once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import ib_api, session_watch
from ansible_collections.ballast.trading.plugins.module_utils.readiness import Readiness
from ansible_collections.ballast.trading.plugins.module_utils.session_watch import SessionWatch
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack

UP = Readiness(alive=True, ready=True, message="gateway speaks the API")
DOWN = Readiness(alive=False, ready=False, message="127.0.0.1:4002 cannot be reached")
PROBE = {"kind": "ib_api", "port": 4002, "client_id": 990}


class World:
    """A gateway, its engine and a clock. ``engine`` is the state the engine reports, None where none answers."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.engine: str | None = None
        self.session: ib_api.IbApiError | None = None
        self.asked: list[float] = []
        self.told: list[str] = []
        self.stack = stack
        stack.run.mkdir(parents=True)
        stack.socket("green").touch()
        monkeypatch.setattr(session_watch, "time", self)
        monkeypatch.setattr(session_watch, "probe_service", self.probe)
        monkeypatch.setattr(session_watch, "gateway_session", self.gateway_session)
        self.watch = SessionWatch(stack, PROBE, 300, self.told.append)

    def monotonic(self) -> float:
        return self.now

    def probe(self, probe: dict[str, Any], socket: Path) -> Readiness:
        assert (probe, socket) == ({"kind": "contract"}, self.stack.socket("green"))
        document = {"gateway": {"state": self.engine}} if self.engine else {}
        return Readiness(alive=bool(self.engine), ready=False, message="", document=document)

    def gateway_session(self, probe: dict[str, Any], _timeout: float) -> None:
        assert probe == PROBE
        self.asked.append(self.now)
        if self.session:
            raise self.session

    def passes(self, seconds: float, gateway: Readiness = UP) -> None:
        """Look once a minute, as a supervisor does."""
        end = self.now + seconds
        while self.now < end:
            self.now += 60
            self.watch.look(gateway)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(Stack("dev-main", "dev", 5, tmp_path), monkeypatch)


@pytest.mark.parametrize("state", ["ready", "data_stale", "client_id_in_use"])
def test_a_session_is_nothing_to_tell_of_and_costs_the_gateway_nothing(world: World, state: str) -> None:
    world.engine = state
    world.passes(3600)
    assert (world.told, world.asked) == ([], [])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("not_logged_in", "it is not logged in"),
        ("broker_link_lost", "it has lost the broker"),
        ("no_handshake", "it does not speak the API yet"),
        ("unreachable", "nothing accepts connections"),
    ],
)
def test_an_outage_is_told_once_when_it_has_lasted_and_once_when_it_is_over(
    world: World, state: str, words: str
) -> None:
    world.engine = state
    world.passes(300)
    assert world.told == []
    world.passes(3600)
    assert world.told == [
        f"the gateway has had no session with the broker for 5 min: {words}."
        " It is not restarted: a login may wait for its second factor"
    ]
    world.engine = "ready"
    world.passes(300)
    assert world.told[1:] == ["the gateway has a session with the broker again, after 65 min"]
    world.engine = state
    world.passes(360)
    assert len(world.told) == 3
    assert world.asked == []


def test_a_short_outage_is_not_told(world: World) -> None:
    for engine, gateway in (("broker_link_lost", UP), ("ready", UP), ("ready", DOWN), ("ready", UP)):
        world.engine = engine
        world.passes(300, gateway)
    assert world.told == []


def test_a_gateway_that_does_not_answer_has_no_session(world: World) -> None:
    world.engine = "ready"
    world.passes(360, DOWN)
    assert world.told == [
        "the gateway has had no session with the broker for 5 min: 127.0.0.1:4002 cannot be reached."
        " It is not restarted: a login may wait for its second factor"
    ]


def test_without_an_engine_the_gateway_is_asked_and_rarely(world: World) -> None:
    world.passes(1800)
    assert (world.asked, world.told) == ([60, 360, 660, 960, 1260, 1560], [])
    world.session = ib_api.NotLoggedIn("sent accounts none")
    world.passes(900)
    assert world.told[0].startswith("the gateway has had no session with the broker for 5 min: sent accounts none.")
    world.session = None
    world.passes(300)
    assert [text.partition(", after")[0] for text in world.told[1:]] == [
        "the gateway has a session with the broker again"
    ]
    assert len(world.asked) == 10


def test_an_engine_that_answers_again_is_believed_at_once(world: World) -> None:
    world.session = ib_api.NotLoggedIn("sent accounts none")
    world.passes(600)
    world.engine = "ready"
    world.passes(60)
    assert len(world.told) == 2
    world.engine, world.session = None, None
    world.passes(60)
    assert len(world.asked) == 3


def test_a_client_id_that_is_taken_is_a_session(world: World) -> None:
    world.session = ib_api.ClientIdInUse("refused client id 990")
    world.passes(1800)
    assert world.told == []
