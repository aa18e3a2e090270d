# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits, hours and losses of an engine that trades with the simulator, judged by what the simulator saw."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from tests.engine.books import Record, differences
from tests.engine.process import Process, until
from tests.engine.support import ROOT, Place
from tests.engine.venue import SOURCES, Venue

# Buys, or buys and sells in turn, as often as it is asked; after a refusal for the day's loss it sells.
STRATEGY = """
from reference_engine.model import Instrument, OrderRequest
from reference_engine.strategy import Parameters, Strategy


class Eager(Strategy):
    def __init__(self, parameters):
        taken = Parameters(parameters)
        self._quantity = taken.number("quantity", default=10)
        self._returns = taken.text("returns", default="no") == "yes"
        taken.finish()
        self._selling = False

    def instruments(self):
        return [Instrument("AAPL")]

    def on_refusal(self, request, refusal, account):
        self._selling = self._selling or refusal.kind == "daily_loss"

    def on_tick(self, tick, account):
        if account.open_orders(tick.instrument):
            return
        held = account.position(tick.instrument)
        if (self._returns or self._selling) and held > 0:
            yield OrderRequest(tick.instrument, "SELL", min(held, self._quantity))
        else:
            yield OrderRequest(tick.instrument, "BUY", self._quantity)
"""


def falling(place: Place) -> dict[str, Any]:
    """Return an instrument whose price begins at 100 and falls by one percent in every second for two minutes."""
    lines = ["time,open,high,low,close,volume"]
    price, at = 100.0, datetime(2026, 11, 2, 14, 30, tzinfo=UTC)
    for _ in range(120):
        close = round(price * 0.99, 2)
        lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{price},{price},{close},{close},1000")
        price, at = close, at + timedelta(minutes=1)
    (place.path / "falling.csv").write_text("\n".join(lines), encoding="utf-8")
    return {"symbol": "AAPL", "replay": {"file": "falling.csv", "speed": 60}}


def midday() -> tuple[str, datetime]:
    """Return a time zone where it is about noon, and the time there: tests of hours stay within one day."""
    hours = 12 - datetime.now(UTC).hour
    zone = f"Etc/GMT{-hours:+d}"
    return zone, datetime.now(ZoneInfo(zone))


class Trading:
    """An engine, the venue it trades with, and what both say."""

    def __init__(self, place: Place, world: dict[str, Any], config: dict[str, Any], strategy: str, **parameters: Any):
        self.place = place
        scenario = place.path / "scenario.yml"
        scenario.write_text(yaml.safe_dump(world), encoding="utf-8")
        self.venue = Venue(
            place.path,
            environment={"SIMULATOR_SCENARIO": str(scenario), "SIMULATOR_ACCOUNT_UPDATE_SECONDS": "1"},
        )
        (place.path / "eager.py").write_text(STRATEGY, encoding="utf-8")
        config = {"strategy": {"name": strategy, "parameters": parameters}, **config}
        place.config.write_text(yaml.safe_dump(config), encoding="utf-8")
        place.environment["BALLAST_GATEWAY_PORT"] = str(self.venue.port)
        self.engine: Process | None = None

    def start(self) -> Process:
        self.engine = Process(self.place)
        self.engine.wait_for(200, "ready", 30.0)
        return self.engine

    def orders(self) -> list[dict[str, Any]]:
        return [entry for entry in self.venue.witness() if entry["kind"] == "order"]

    def sides(self) -> list[str]:
        return [entry["action"] for entry in self.orders()]

    def ticks(self) -> float:
        assert self.engine
        return self.engine.metric("ballast_engine_ticks_total")

    def after_more_ticks(self, count: int = 20) -> None:
        """Wait until the strategy was asked, or could have been, so many times more."""
        begin = self.ticks()
        until(lambda: self.ticks() >= begin + count, f"{count} more ticks", 30.0)

    def risk_events(self, kind: str) -> list[str]:
        return [str(text) for (text,) in self.place.query("SELECT message FROM risk_events WHERE kind = ?", kind)]

    def end(self) -> None:
        """Stop the engine and compare the books."""
        assert self.engine
        assert self.engine.end() == (0, "")
        assert differences(Record.of(self.venue.witness()), self.place.ledger, settled=True) == []

    def kill(self) -> None:
        if self.engine:
            self.engine.kill()
        self.venue.kill()


@pytest.fixture
def trade(place: Place) -> Iterator[Callable[..., Trading]]:
    """Start a venue with a world and an engine with a configuration."""
    made: list[Trading] = []

    def trade(
        world: dict[str, Any], config: dict[str, Any], strategy: str = "eager:Eager", **parameters: Any
    ) -> Trading:
        made.append(Trading(place, world, config, strategy, **parameters))
        made[-1].venue.start()
        made[-1].start()
        return made[-1]

    yield trade
    for each in made:
        each.kill()


def test_loss_of_the_day_leaves_only_selling_and_outlives_a_restart(
    place: Place, trade: Callable[..., Trading]
) -> None:
    trading = trade({"instruments": [falling(place)]}, {"risk": {"max_daily_loss": 150}})
    until(lambda: trading.sides().count("SELL") > 0, "a sale after the stop", 40.0)
    (stop,) = trading.risk_events("daily_loss")[:1]
    assert "the day's loss is " in stop
    trading.after_more_ticks()
    sides = trading.sides()
    assert sides == sorted(sides), "BUY comes before SELL: nothing was bought after the first sale"
    document = trading.engine.health()[1]  # type: ignore[union-attr]
    assert document["trading"]["restricted_by"].keys() == {"daily_loss"}
    until(lambda: place.query("SELECT * FROM positions") == [], "everything to be sold", 60.0)
    trading.end()
    bought = trading.sides().count("BUY")
    trading.start()
    trading.after_more_ticks()
    assert trading.sides().count("BUY") == bought
    trading.end()


def test_losing_streak_halts_until_somebody_resumes(place: Place, trade: Callable[..., Trading]) -> None:
    trading = trade({"instruments": [falling(place)]}, {"risk": {"max_losing_streak": 3}}, returns="yes")
    until(lambda: trading.risk_events("tilt") != [], "the halt", 40.0)
    trading.after_more_ticks()
    assert trading.sides() == ["BUY", "SELL"] * 3
    assert trading.risk_events("tilt") == ["3 losing trades in a row, and 3 is the limit"]
    ((state, reason),) = place.query("SELECT state, reason FROM trading_state")
    assert (state, reason) == ("halted", "tilt: 3 losing trades in a row, and 3 is the limit")
    done = subprocess.run(
        [sys.executable, "-m", "reference_engine", "resume", "--reason", "looked at it", "--requested-by", "ann"],
        env={"PYTHONPATH": SOURCES, **place.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    until(lambda: len(trading.sides()) == 12, "three more losing trades", 40.0)
    until(lambda: len(place.query("SELECT 1 FROM trading_state WHERE state = 'halted'")) == 1, "the second halt")
    trading.after_more_ticks()
    assert len(trading.sides()) == 12
    assert place.query("SELECT resolved_by FROM risk_events WHERE kind = 'tilt' ORDER BY id") == [("ann",), (None,)]
    trading.end()


def test_drawdown_halts(place: Place, trade: Callable[..., Trading]) -> None:
    trading = trade(
        {"instruments": [falling(place)], "account": {"cash": {"USD": 100_000}}},
        {"risk": {"max_drawdown_percent": 2}},
        "buy_and_hold",
        symbol="AAPL",
        quantity=500,
    )
    until(lambda: trading.risk_events("drawdown") != [], "the halt", 60.0)
    ((state, reason),) = place.query("SELECT state, reason FROM trading_state")
    assert (state, str(reason).split(":")[0]) == ("halted", "drawdown")
    worth = float(trading.venue.call("GET", "state")["net_liquidation"])
    assert worth <= 98_000, "the venue says so too"
    assert trading.sides() == ["BUY"]
    trading.end()


@pytest.mark.parametrize("why", ["early close", "holiday", "regular close"])
def test_nothing_is_ordered_while_the_exchange_is_closed(trade: Callable[..., Trading], why: str) -> None:
    zone, now = midday()
    closed = f"{now - timedelta(minutes=2):%H:%M}"
    sessions: dict[str, dict[str, Any]] = {
        "early close": {"early_closes": {now.date(): {"trading": "23:59", "liquid": closed}}},
        "holiday": {"holidays": [now.date()]},
        "regular close": {"liquid": {"mon-sun": f"00:00-{closed}"}},
    }
    world = {
        "hours": {
            "exchange": {
                "time_zone": zone,
                "trading": {"mon-sun": "00:00-23:59"},
                "liquid": {"mon-sun": "00:00-23:59"},
                **sessions[why],
            }
        },
        "instruments": [{"symbol": "AAPL", "price": 100, "hours": "exchange"}],
    }
    trading = trade(world, {})
    document = trading.engine.health()[1]  # type: ignore[union-attr]
    assert document["status"] == "pass", "that the exchange is closed is no fault"
    if why != "holiday":  # in the extended session there are ticks
        until(lambda: trading.risk_events("trading_hours") != [], "a refusal")
        trading.after_more_ticks()
        assert "the exchange of AAPL is closed" in trading.risk_events("trading_hours")[0]
    assert trading.orders() == []
    trading.end()


def test_positions_are_closed_before_an_early_close(place: Place, trade: Callable[..., Trading]) -> None:
    zone, now = midday()
    closes = (now + timedelta(minutes=20)).replace(second=0, microsecond=0)
    minutes = (closes - datetime.now(UTC)).total_seconds() / 60 - 6 / 60
    world = {
        "hours": {
            "exchange": {
                "time_zone": zone,
                "trading": {"mon-sun": "00:00-23:59"},
                "liquid": {"mon-sun": "00:00-23:59"},
                "early_closes": {now.date(): {"trading": f"{closes:%H:%M}", "liquid": f"{closes:%H:%M}"}},
            }
        },
        "instruments": [{"symbol": "AAPL", "price": 100, "hours": "exchange"}],
    }
    config = {"trading_hours": {"close_positions_minutes_before_close": minutes}, "risk": {"max_position": 50}}
    trading = trade(world, config)
    until(lambda: "SELL" in trading.sides(), "the sale at the end of the day", 40.0)
    until(lambda: place.query("SELECT * FROM positions") == [], "nothing to be held")
    trading.after_more_ticks()
    orders = trading.orders()
    begins = closes.astimezone(UTC) - timedelta(minutes=minutes)
    sold = [order for order in orders if order["action"] == "SELL"]
    assert all(order["order_type"] == "MKT" for order in sold)
    assert all(datetime.fromisoformat(order["time"]) >= begins for order in sold)
    assert all(datetime.fromisoformat(order["time"]) <= begins for order in orders if order["action"] == "BUY")
    assert trading.risk_events("end_of_day") != [], "the strategy went on wishing"
    assert place.query("SELECT DISTINCT strategy FROM orders WHERE side = 'SELL'") == [("end_of_day",)]
    trading.end()


def test_close_of_the_day_is_noted_with_what_the_venue_says(place: Place, trade: Callable[..., Trading]) -> None:
    zone, now = midday()
    closed = (now - timedelta(minutes=2)).replace(second=0, microsecond=0)
    world = {
        "account": {"positions": [{"symbol": "AAPL", "quantity": 100, "average_cost": 90}]},
        "hours": {
            "exchange": {
                "time_zone": zone,
                "trading": {"mon-sun": f"00:00-{closed:%H:%M}"},
            }
        },
        "instruments": [{"symbol": "AAPL", "price": 100, "hours": "exchange"}],
    }
    trading = trade(world, {})
    query = "SELECT closed_at, net_liquidation, positions FROM daily_summaries WHERE closed_at IS NOT NULL"
    until(lambda: place.query(query) != [], "the close of the day")
    ((closed_at, worth, positions),) = place.query(query)
    assert datetime.fromisoformat(str(closed_at)) == closed
    assert worth == float(trading.venue.call("GET", "state")["net_liquidation"])
    assert positions == 1
    assert trading.engine
    trading.engine.end(signal.SIGTERM)
    trading.start()
    until(lambda: "net_liquidation" in trading.engine.health()[1]["risk"], "figures")  # type: ignore[union-attr]
    assert place.query(query) == [(closed_at, worth, positions)]


def test_clock_that_differs_from_the_gateways_stops_orders_at_the_edge_of_the_hours(
    trade: Callable[..., Trading],
) -> None:
    zone, now = midday()
    world = {
        "hours": {
            "exchange": {
                "time_zone": zone,
                "trading": {"mon-sun": "00:00-23:59"},
                "liquid": {"mon-sun": f"00:00-{now + timedelta(hours=1):%H:%M}"},
            }
        },
        "instruments": [{"symbol": "AAPL", "price": 100, "hours": "exchange"}],
    }
    trading = trade(world, {"link": {"heartbeat_seconds": 0.2}}, quantity=1)
    until(lambda: len(trading.orders()) > 2, "orders")
    fault = trading.venue.call("POST", "faults", {"fault": "clock_skew", "seconds": 2 * 3600})
    until(lambda: trading.risk_events("trading_hours") != [], "a refusal", 30.0)
    before = len(trading.orders())
    trading.after_more_ticks()
    assert len(trading.orders()) == before
    trading.venue.call("DELETE", f"faults/{fault['id']}")
    until(lambda: len(trading.orders()) > before, "orders again", 30.0)
    trading.end()


def test_failing_strategy_stops_trading_and_never_the_process(place: Place, trade: Callable[..., Trading]) -> None:
    (place.path / "failing.py").write_text(
        STRATEGY.replace("Eager", "Failing").replace(
            "        held = ",
            "        if account.position(tick.instrument) >= 20:\n            exit(3)\n        held = ",
        ),
        encoding="utf-8",
    )
    trading = trade({"instruments": [{"symbol": "AAPL"}]}, {}, "failing:Failing", quantity=10)
    assert trading.engine
    until(lambda: trading.risk_events("strategy_stopped") != [], "the stop")
    (reason,) = trading.risk_events("strategy_stopped")
    assert reason.startswith("the strategy failed 5 times in 300 s, the last time in on_tick: SystemExit: 3; ")
    status, document = trading.engine.health()
    assert (status, document["status"], document["output"]) == (200, "warn", f"trading: strategy: {reason}")
    trading.after_more_ticks()
    assert trading.sides() == ["BUY", "BUY"]
    assert trading.engine.metric("ballast_engine_strategy_errors_total") == 5
    trading.end()


def test_strategy_file_that_does_not_import_exits_64_with_the_reason(place: Place) -> None:
    (place.path / "broken.py").write_text("from reference_engine.strategy import Strategie\n", encoding="utf-8")
    place.config.write_text("strategy: {name: 'broken:Mine'}", encoding="utf-8")
    code, errors = Process(place).end(None)
    assert code == 64
    assert errors == (
        f"reference_engine: configuration error: strategy.name: saw 'broken:Mine', wanted a module that imports "
        f"({place.path}/broken.py: ImportError: cannot import name 'Strategie' from 'reference_engine.strategy' "
        f"({ROOT}/images/reference_engine/src/reference_engine/strategy.py)); fix: name one that exists\n"
    )
