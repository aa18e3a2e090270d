# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's process on every bad day that the venue can play: it trades again, and the venue is the judge."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.books import Record, differences
from tests.engine.process import Process, until
from tests.engine.support import Place
from tests.engine.venue import Venue

PATIENCE_SECONDS = 40.0
CONFIG = """
strategy: {name: demo, parameters: {symbol: AAPL, quantity: 5, interval_seconds: 0.05, max_position: 20}}
risk: {max_orders_per_second: null, max_orders_per_minute: null}
link:
  connect_timeout_seconds: 2
  request_timeout_seconds: 2
  heartbeat_seconds: 0.5
  backoff_limit_seconds: 0.5
  login_wait_seconds: 0.5
  attempts_per_minute: 600
breaker: {max_failures: 4, window_seconds: 10, open_seconds: 0.5}
health: {max_tick_age_seconds: 2}
"""


class Day:
    """An engine that trades, and the venue that has a bad day."""

    def __init__(self, place: Place, venue: Venue, engine: Process) -> None:
        self.place, self.venue, self.engine = place, venue, engine
        self._alarms = 0

    def fault(self, name: str, **parameters: object) -> int:
        return int(self.venue.call("POST", "faults", {"fault": name, **parameters})["id"])

    def end(self, *faults: int) -> None:
        for fault in faults:
            self.venue.call("DELETE", f"faults/{fault}")

    def fills(self) -> int:
        return len(Record.of(self.venue.witness()).fills)

    def orders(self) -> list[dict[str, Any]]:
        return [entry for entry in self.venue.witness() if entry["kind"] == "order"]

    def attempts(self) -> int:
        """How many connections the venue has seen, those too that never said who they are."""
        return sum(entry["kind"] == "connected" for entry in self.venue.witness())

    def until_it_trades(self, more: int = 3) -> None:
        """Wait until the venue has so many fills more."""
        before = self.fills()
        until(lambda: self.fills() >= before + more, f"{more} more fills; {self.engine.health()[1]}", PATIENCE_SECONDS)

    def until_it_says(self, text: str) -> dict[str, Any]:
        """Wait until health says something; return the document."""
        seen: list[dict[str, Any]] = [{}]

        def says() -> bool:
            seen[0] = self.engine.health()[1]
            return text in f"{seen[0].get('gateway', {}).get('state')} {seen[0].get('output', '')}"

        until(says, f"health to say {text!r}, it says {seen[0]}", PATIENCE_SECONDS)
        return seen[0]

    def is_whole(self, *, alarms: tuple[str, ...] = ()) -> None:
        """Nothing is lost and nothing was sent twice, and only the alarms that must be were raised meanwhile."""
        record = Record.of(self.venue.witness())

        def has_every_fill() -> bool:
            known = {exec_id for (exec_id,) in self.place.query("SELECT exec_id FROM executions")}
            return known.issuperset(fill.exec_id for fill in record.fills)

        until(has_every_fill, "the ledger to have every fill of the venue's", PATIENCE_SECONDS)
        assert differences(Record.of(self.venue.witness()), self.place.ledger, settled=False) == []
        raised = self.place.query("SELECT id, kind FROM risk_events WHERE id > ? AND kind <> 'stopped'", self._alarms)
        self._alarms = max([self._alarms, *(int(str(number)) for number, _ in raised)])
        assert {kind for _, kind in raised} == set(alarms)

    def ends_well(self) -> None:
        """Stop the engine: everything adds up."""
        assert self.engine.end() == (0, "")
        assert differences(Record.of(self.venue.witness()), self.place.ledger, settled=True) == []


@contextlib.contextmanager
def new_day(config: str = CONFIG) -> Iterator[Day]:
    place = Place(config)
    place.make_ledger()
    venue = Venue(place.path, ticks_per_second=50)
    place.environment["BALLAST_GATEWAY_PORT"] = str(venue.port)
    venue.start()
    engine = Process(place)
    try:
        day = Day(place, venue, engine)
        day.until_it_trades()
        yield day
    finally:
        engine.kill()
        venue.kill()
        place.close()


@pytest.fixture(scope="module")
def life() -> Iterator[Day]:
    """One engine that lives through all of it. At its end everything adds up."""
    with new_day() as day:
        yield day
        day.ends_well()


@pytest.fixture
def day(life: Day) -> Iterator[Day]:
    """A day of the engine's life, after which it trades and its books are whole."""
    life.until_it_trades(1)
    yield life
    life.venue.call("DELETE", "faults")


# -- the port and the connections


def test_refused_connections(day: Day) -> None:
    fault = day.fault("refuse")
    day.fault("close")
    day.until_it_says("unreachable")
    day.end(fault)
    day.until_it_trades()
    day.is_whole()


@pytest.mark.parametrize(("since", "state"), [("handshake", "no_handshake"), ("start", "not_logged_in")])
def test_silence_of_a_new_session(day: Day, since: str, state: str) -> None:
    fault = day.fault("silent", **{"from": since})
    day.fault("close")
    day.until_it_says(state)
    day.end(fault)
    day.until_it_trades()
    day.is_whole()


def test_silence_in_mid_session(day: Day) -> None:
    fault = day.fault("silent", **{"from": "now"})
    until(lambda: day.engine.health()[0] == 503, "the engine to notice", PATIENCE_SECONDS)
    day.end(fault)
    day.until_it_trades()
    day.is_whole()


@pytest.mark.parametrize("how", ["clean", "mid-frame", "reset"])
def test_connections_that_end_again_and_again(day: Day, how: str) -> None:
    fault = day.fault("close", how=how, every=0.3)
    attempts = day.attempts()
    until(lambda: day.attempts() >= attempts + 5, "five connections", PATIENCE_SECONDS)
    day.end(fault)
    day.until_it_trades()
    day.is_whole()


def test_slow_and_uneven_network(day: Day) -> None:
    fault = day.fault("latency", seconds=0.1, jitter=0.1)
    day.until_it_trades()
    day.end(fault)
    day.until_it_trades()
    day.is_whole()


# -- the gateway and its broker


def test_nightly_restart(day: Day) -> None:
    day.fault("restart", **{"for": 2})
    day.until_it_says("unreachable")
    day.until_it_trades()
    day.is_whole()


def test_weekly_log_out_that_needs_a_person(day: Day) -> None:
    day.fault("logout")
    day.until_it_says("not_logged_in")
    orders = len(day.orders())
    day.venue.call("POST", "login")
    day.until_it_trades()
    assert len(day.orders()) > orders
    day.is_whole()


@pytest.mark.parametrize("data", ["maintained", "lost"])
def test_broker_link_lost_and_found(day: Day, data: str) -> None:
    fault = day.fault("link", data=data)
    day.until_it_says("broker_link_lost")
    orders = len(day.orders())
    sessions = day.attempts()
    day.end(fault)
    day.until_it_trades()
    assert day.attempts() == sessions, "the session was kept"
    assert len(day.orders()) > orders
    day.is_whole()


def test_history_farm_down(day: Day) -> None:
    fault = day.fault("farm", farm="history")
    day.until_it_trades()
    day.end(fault)
    day.is_whole()


def test_market_data_farm_down(day: Day) -> None:
    fault = day.fault("farm", farm="market")
    day.until_it_says("data_stale")
    until(lambda: day.engine.health()[1]["orders"]["open"] == 0, "no order on its way", PATIENCE_SECONDS)
    orders = len(day.orders())
    day.until_it_says("data_stale")
    assert len(day.orders()) == orders, "no order on stale data"
    day.end(fault)
    day.until_it_trades()
    day.is_whole()


def test_clock_of_the_gateway_an_hour_ahead(day: Day) -> None:
    fault = day.fault("clock_skew", seconds=3600)
    day.until_it_trades()
    day.end(fault)
    day.is_whole()


# -- orders


def test_rejects_open_the_breaker_and_a_probe_closes_it(day: Day) -> None:
    before = len(day.orders())
    fault = day.fault("reject")
    day.until_it_says("circuit_breaker")
    rejected = len(day.orders()) - before
    day.end(fault)
    day.until_it_trades()
    assert 1 <= rejected <= 8, "a storm of rejects is stopped after four failures, then come single probes"
    assert day.engine.health()[1]["trading"]["circuit_breaker"] == "closed"
    day.is_whole(alarms=("circuit_breaker",))


@pytest.mark.parametrize("what", ["acknowledgement", "everything"])
def test_lost_acknowledgements(day: Day, what: str) -> None:
    fault = day.fault("lose_acknowledgement", what=what, count=3)
    until(lambda: not any(f["id"] == fault for f in day.venue.call("GET", "faults")), "three cases", PATIENCE_SECONDS)
    day.until_it_trades()
    day.is_whole()


def test_connection_that_ends_before_the_acknowledgement(day: Day) -> None:
    day.fault("lose_acknowledgement", what="everything", then="close", count=3)
    until(lambda: not day.venue.call("GET", "faults"), "three cases", PATIENCE_SECONDS)
    day.until_it_trades()
    day.is_whole()


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "delay_acknowledgements", "seconds": 0.5},
        {"fault": "duplicate_execution", "seconds": 0.05},
        {"fault": "repeat_status", "seconds": 0.05},
        {"fault": "late_commission", "seconds": 0.3},
    ],
    ids=lambda fault: str(fault["fault"]),
)
def test_news_that_come_late_or_twice(day: Day, fault: dict[str, object]) -> None:
    played = int(day.venue.call("POST", "faults", fault)["id"])
    day.until_it_trades(5)
    day.end(played)
    day.until_it_trades()
    day.is_whole()


def test_venue_that_crashes_and_comes_back(day: Day) -> None:
    for _ in range(3):
        day.venue.kill()
        day.until_it_says("unreachable")
        day.venue.start()
        day.until_it_trades()
    day.is_whole()


# -- the dead man's switch


def test_long_absence_stops_trading_until_reconciled_with_the_working_orders_ended() -> None:
    with new_day(CONFIG.replace("breaker:", "dead_man: {after_seconds: 1}\nbreaker:")) as day:
        fault = day.fault("link")
        until(
            lambda: day.place.query("SELECT kind, severity FROM risk_events") == [("dead_man_switch", "critical")],
            "the critical risk event",
            PATIENCE_SECONDS,
        )
        assert "dead_man_switch" in day.engine.health()[1]["trading"]["blocked_by"]
        day.end(fault)
        day.until_it_trades()
        assert day.place.query("SELECT count(*) FROM risk_events WHERE resolved_at IS NULL") == [(0,)]
        day.ends_well()


def test_corrected_executions_and_a_stop_in_mid_outage() -> None:
    with new_day() as day:
        fault = day.fault("correct_execution", seconds=0.05, ticks=7)
        day.until_it_trades(6)
        day.end(fault)
        day.until_it_trades()
        day.fault("refuse")
        day.fault("close")
        day.until_it_says("unreachable")
        code, _ = day.engine.end(signal.SIGTERM)
        assert code in (0, 70)
        corrected = {
            entry["execution_id"]: float(entry["price"])
            for entry in day.venue.witness()
            if entry["kind"] == "correction"
        }
        assert len(corrected) >= 3
        told = dict(day.place.query("SELECT exec_id, price FROM executions"))
        assert {exec_id: told.get(exec_id) for exec_id in corrected} == corrected
        assert day.place.query("SELECT count(*) FROM execution_corrections") == [(len(corrected),)]
        assert day.place.query(
            "SELECT round(sum(e.realized_pnl), 6) = round((SELECT sum(realized_pnl) FROM trades), 6), "
            "round(sum(e.realized_pnl), 6) = round((SELECT sum(realized_pnl) FROM daily_summaries), 6) "
            "FROM executions e"
        ) == [(1, 1)]
