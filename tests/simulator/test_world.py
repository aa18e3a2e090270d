# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worlds: scenario files, exchange hours, instruments, and bars that are played again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gateway_simulator.broker import Broker
from gateway_simulator.contracts import expiries, listed, strikes_around
from gateway_simulator.hours import NEVER, ExchangeHours, WeeklySession, always_open_text, parse_time
from gateway_simulator.market import Market, option_price
from gateway_simulator.model import ContractQuery, Instrument, Quote
from gateway_simulator.replay import Replay, ReplayError, read_bars
from gateway_simulator.scenario import ScenarioError, open_world, read_scenario
from gateway_simulator.world import World
from tests.simulator.exchange import CME, US_STOCKS
from tests.simulator.support import connected, running, settings, until
from tests.simulator.test_process import run

NOW = datetime(2026, 11, 25, 15, tzinfo=UTC)
README = Path(__file__).parents[2] / "images/gateway_simulator/README.md"


def example() -> str:
    found = re.search(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    return found[1]


def world(tmp_path: Path, text: str) -> World:
    path = tmp_path / "scenario.yml"
    path.write_text(text)
    return read_scenario(path, "DU1234567", 1, 2.0, NOW)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ScenarioError) as raised:
        world(tmp_path, text)
    prefix = f"{tmp_path / 'scenario.yml'}: "
    lines = str(raised.value).splitlines()
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# --- scenarios -------------------------------------------------------------------------------------------------------


def test_the_example_of_the_readme_is_a_world(tmp_path: Path) -> None:
    played = world(tmp_path, example())
    assert (played.account, played.seed, played.ticks_per_second) == ("DU7654321", 7, 4)
    assert str(played.zone) == "America/New_York"
    assert {instrument.symbol for instrument in played.catalogue} == {
        "AAPL", "SPY", "SAP", "ACME", "NESN", "EUR", "ES", "SPX",
    }  # fmt: skip
    (spy,) = played.catalogue.find(ContractQuery(symbol="SPY"))
    assert (spy.con_id, spy.reference_price, spy.hours, spy.time_zone) == (
        756733, 600, "us_stocks", "America/New_York",
    )  # fmt: skip
    options = played.catalogue.find(ContractQuery(symbol="AAPL", sec_type="OPT"))
    assert len(options) == 4 * 17 * 2
    futures = played.catalogue.find(ContractQuery(symbol="ES", sec_type="FUT"))
    assert [future.expiry for future in futures] == ["20261218", "20270319"]
    assert played.rules.cash == {"USD": 250_000, "EUR": 20_000}
    assert [(held.quantity, held.average_cost) for held in played.rules.positions] == [
        (100, Decimal("210.5")),
        (-40, None),
    ]
    assert [fault["fault"] for fault in played.faults] == ["link", "reject"]


async def test_a_client_sees_the_world_of_the_scenario(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text(example())
    async with running(SIMULATOR_SCENARIO=str(path)) as simulator, connected(simulator.port) as client:
        assert client.managedAccounts() == ["DU7654321"]
        await until(lambda: len(client.positions()) == 2)
        assert sorted(held.position for held in client.positions()) == [-40, 100]


def test_nothing_said_is_the_default_world(tmp_path: Path) -> None:
    played = world(tmp_path, "")
    assert [one.con_id for one in played.catalogue] == [one.con_id for one in listed(NOW.date())]
    assert (played.account, played.hours, played.faults) == ("DU1234567", {}, ())


def test_every_mistake_is_told_at_once_with_its_path(tmp_path: Path) -> None:
    text = """
    seed: -1
    weather: fine
    time_zone: Mars/Olympus
    account:
      id: me
      cash: {USD: 1.001, usd: 5}
      positions:
        - {symbol: NOPE, quantity: 5}
        - {symbol: ES, quantity: 0}
      initial_margin: 0
    hours:
      nyse: {time_zone: America/New_York, trading: {someday: "09:30-16:00"}, holidays: [soon]}
      arca: {trading: {mon: "9 to 5"}}
    instruments:
      - {symbol: AAPL, price: -5, hours: lse}
      - {symbol: AAPL}
      - {symbol: NEW, price: 5, strikes: {}}
      - {type: SWAP, symbol: X}
      - {symbol: XX, type: FUT, multiplier: 5}
      - {symbol: SPY, type: OPT, expiries: [2020-01-17]}
      - {symbol: MSFT, replay: {file: none.csv, speed: 0}}
      - {symbol: ES, type: FUT, expiries: {cycle: daily, count: 2}}
    faults:
      - {fault: flood}
      - quake
    """
    assert mistakes(tmp_path, text) == [
        "weather: saw an unknown key, wanted one of account, time_zone, seed, ticks_per_second, hours, instruments, "
        "faults",
        "time_zone: saw 'Mars/Olympus', wanted the name of a time zone",
        "seed: saw -1, wanted a whole number, 0 or more",
        "hours.nyse.trading.someday: saw 'someday', wanted days such as mon or mon-fri",
        "hours.nyse.holidays[0]: saw 'soon', wanted a day",
        "hours.arca: saw trading, wanted at least time_zone and trading",
        "hours.arca.trading.mon: saw '9 to 5', wanted a span of the day such as \"09:30-16:00\"",
        "instruments[0].price: saw -5, wanted a number above 0",
        "instruments[0].hours: saw 'lse', wanted one of nyse, arca",
        "instruments[3].type: saw 'SWAP', wanted one of STK, CASH, IND, FUT, OPT",
        "instruments[1]: saw contract id 265598 is given to AAPL and to AAPL, wanted each instrument once",
        "instruments[2].strikes: saw {}, wanted nothing: it does not belong to type STK",
        "instruments[2]: saw no exchange, volatility, wanted all of them: NEW is not among the broker's own",
        "instruments[3]: saw no exchange, price, volatility, wanted all of them: X is not among the broker's own",
        "instruments[6].replay.speed: saw 0, wanted a number above 0, at most 100000",
        f"instruments[6].replay: {tmp_path / 'none.csv'}: there is no such file",
        "instruments[4]: saw no exchange, min_tick, initial_margin, maintenance_margin, wanted all of them: "
        "XX is not among the broker's own",
        "instruments[7].expiries.cycle: saw 'daily', wanted one of weekly, monthly, quarterly",
        "instruments[5].symbol: saw 'SPY', wanted the symbol of one stock of this file",
        "account.id: saw 'me', wanted letters and digits, such as DU1234567",
        "account.cash.USD: saw 1.001, wanted an amount of whole cents",
        "account.cash.usd: saw 'usd', wanted a currency as key, three capital letters",
        "account.initial_margin: saw 0, wanted a part of 1, above 0",
        "account.positions[0]: saw what fits nothing, wanted exactly one instrument of this world",
        "account.positions[1]: saw what fits ESZ6, ESH7, wanted exactly one instrument of this world",
        "account.exchange_rates.usd: saw nothing, wanted the worth in USD of one usd, or a pair of both",
        "faults[0]: " + mistakes(tmp_path, "faults: [{fault: flood}]")[0].removeprefix("faults[0]: "),
        "faults[1]: " + mistakes(tmp_path, "faults: [quake]")[0].removeprefix("faults[0]: "),
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("- a", "the file: saw ['a'], wanted a mapping"),
        ("instruments: AAPL", "instruments: saw 'AAPL', wanted a list"),
        ("seed: 1\nseed: 2", "is not YAML: a key comes twice in one mapping"),
        ("seed: [", "is not YAML: while parsing a flow node"),
        ("instruments: [{symbol: ES, type: FUT, expiries: [0099-01-13]}]",
         "instruments[0].expiries[0]: saw 0099-01-13, wanted "),
        ("instruments: [{symbol: SAP}, {symbol: NESN, exchange: EBS, currency: CHF, price: 80, volatility: 0.2}]",
         "account.exchange_rates.CHF: saw nothing, wanted the worth in USD of one CHF, or a pair of both"),
    ],
)  # fmt: skip
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, mistake: str) -> None:
    assert mistakes(tmp_path, text)[0].startswith(mistake)


def test_a_bad_scenario_is_exit_64(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text("seed: x\n")
    answer = run(SIMULATOR_SCENARIO=str(path), SIMULATOR_PORT="0")
    assert answer.returncode == 64
    assert answer.stderr == f"{path}: seed: saw 'x', wanted a whole number, 0 or more\n"
    answer = run(SIMULATOR_SCENARIO=str(tmp_path / "none.yml"), SIMULATOR_PORT="0")
    assert answer.returncode == 64


# --- hours -----------------------------------------------------------------------------------------------------------


def test_hours_are_written_as_the_protocol_writes_them() -> None:
    now = moment("2026-11-25T15:00:00+00:00")
    assert US_STOCKS.text(now, liquid=True) == (
        "20261125:0930-20261125:1600;20261126:CLOSED;20261127:0930-20261127:1300;"
        "20261128:CLOSED;20261129:CLOSED;20261130:0930-20261130:1600"
    )
    assert US_STOCKS.text(now, liquid=False).split(";")[2] == "20261127:0400-20261127:1700"
    assert CME.text(now, liquid=False).split(";")[:4] == [
        "20261124:1700-20261125:1600", "20261125:1700-20261126:1600", "20261126:1700-20261127:1600", "20261128:CLOSED",
    ]  # fmt: skip
    assert always_open_text(now).split(";")[:2] == ["20261125:0000-20261126:0000", "20261126:0000-20261127:0000"]


@pytest.mark.parametrize(
    ("at", "is_open", "until"),
    [
        ("2026-11-25T14:29:59+00:00", False, "2026-11-25T14:30:00+00:00"),
        ("2026-11-25T14:30:00+00:00", True, "2026-11-25T21:00:00+00:00"),
        ("2026-11-25T21:00:00+00:00", False, "2026-11-27T14:30:00+00:00"),
        ("2026-11-27T17:59:00+00:00", True, "2026-11-27T18:00:00+00:00"),
        ("2026-11-27T18:00:00+00:00", False, "2026-11-30T14:30:00+00:00"),
    ],
)
def test_an_exchange_is_open_in_its_sessions_and_not_on_holidays(at: str, is_open: bool, until: str) -> None:
    phase = US_STOCKS.phase(moment(at), liquid=True)
    assert (phase.is_open, phase.until) == (is_open, moment(until))


def test_sessions_keep_local_time_when_the_clocks_change() -> None:
    before, after = moment("2027-03-12T15:00:00+00:00"), moment("2027-03-15T15:00:00+00:00")
    assert US_STOCKS.phase(before, liquid=True).opened == moment("2027-03-12T14:30:00+00:00")
    assert US_STOCKS.phase(after, liquid=True).opened == moment("2027-03-15T13:30:00+00:00")


def test_an_exchange_without_sessions_never_opens() -> None:
    closed = ExchangeHours("closed", "UTC", (), ())
    assert not closed.phase(0, liquid=True).is_open
    assert closed.session_end(0, liquid=True) == closed.next_open(0, liquid=True) == NEVER


def test_a_session_that_ends_at_midnight_belongs_to_the_day_that_ends() -> None:
    hours = ExchangeHours("day", "UTC", (WeeklySession(2, 0, 1440),), ())
    assert hours.text(moment("2026-11-25T12:00:00+00:00"), liquid=False).startswith("20261125:0000-20261126:0000;")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("20261125-14:30:00", "2026-11-25T14:30:00+00:00"),
        ("20261125-14:30:00Z", "2026-11-25T14:30:00+00:00"),
        ("20261125 09:30:00 America/New_York", "2026-11-25T14:30:00+00:00"),
        ("20261125 09:30", "2026-11-25T14:30:00+00:00"),
        ("20261125", "2026-11-26T05:00:00+00:00"),
    ],
)
def test_times_are_read_in_the_zone_that_they_are_meant_in(text: str, wanted: str) -> None:
    assert parse_time(text, "America/New_York") == datetime.fromisoformat(wanted)


@pytest.mark.parametrize("text", ["20261125 09:30:00Z", "20261125-14:30:00Z America/New_York", "20261125Z"])
def test_a_z_belongs_to_the_form_that_is_in_utc(text: str) -> None:
    with pytest.raises(ValueError, match="is not YYYYMMDD-HH:MM:SS in UTC or with a time zone"):
        parse_time(text)


# --- instruments -----------------------------------------------------------------------------------------------------


def test_a_query_finds_what_fits_and_all_of_it() -> None:
    catalogue = listed(date(2026, 11, 25))

    def find(**fields: Any) -> list[str]:
        return [one.local_symbol for one in catalogue.find(ContractQuery(**fields))]

    assert find(symbol="ES", sec_type="FUT") == ["ESZ6", "ESH7", "ESM7", "ESU7"]
    assert find(symbol="ES", sec_type="FUT", expiry="202703") == ["ESH7"]
    assert find(symbol="ES", sec_type="FUT", expiry="20270319", exchange="CME", multiplier="50") == ["ESH7"]
    assert find(symbol="ES", sec_type="FUT", exchange="NYMEX") == []
    assert find(local_symbol="ESZ6") == ["ESZ6"]
    call = {"symbol": "AAPL", "sec_type": "OPT", "expiry": "20261218", "strike": Decimal("230.0"), "right": "CALL"}
    assert find(**call) == ["AAPL  261218C00230000"]
    assert len(find(symbol="AAPL", sec_type="OPT")) == 3 * 21 * 2
    assert find(symbol="USD", sec_type="CASH", currency="JPY") == ["USD.JPY"]
    assert find(con_id=265598) == ["AAPL"]
    assert find(con_id=1) == find(symbol="NOPE") == find() == []


def test_contract_ids_are_unique_and_the_same_on_every_day() -> None:
    one, other = listed(date(2026, 11, 25)), listed(date(2026, 12, 1))
    assert len({instrument.con_id for instrument in one}) == len(one)
    ids = {instrument.local_symbol: instrument.con_id for instrument in one if instrument.expiry}
    again = {instrument.local_symbol: instrument.con_id for instrument in other if instrument.expiry}
    assert {name: ids[name] for name in ids.keys() & again.keys()} == {
        name: again[name] for name in ids.keys() & again.keys()
    }


def test_chains_and_symbols_can_be_looked_up() -> None:
    catalogue = listed(date(2026, 11, 25))
    smart, cboe = catalogue.option_parameters(265598)
    assert (smart.exchange, cboe.exchange, smart.multiplier) == ("SMART", "CBOE", "100")
    assert smart.expirations == ("20261218", "20270115", "20270219")
    assert (smart.strikes[0], smart.strikes[-1], len(smart.strikes)) == (180, 280, 21)
    assert [one.symbol for one in catalogue.search("aap")] == ["AAPL"]
    assert [one.symbol for one in catalogue.search("apple")] == ["AAPL"]
    assert catalogue.search("") == []
    assert catalogue.derivatives_of(265598) == ["OPT"]


def test_expiries_are_third_fridays_and_strikes_lie_around_the_price() -> None:
    assert expiries(date(2026, 12, 18), "quarterly", 2) == ["20261218", "20270319"]
    assert expiries(date(2026, 12, 19), "monthly", 2) == ["20270115", "20270219"]
    assert expiries(date(2026, 11, 25), "weekly", 3) == ["20261127", "20261204", "20261211"]
    assert strikes_around(Decimal(7), Decimal(5), 2) == [5, 10, 15]


def test_prices_of_calls_and_puts_keep_their_parity_and_end_at_their_worth() -> None:
    call, put = (option_price(100, 95, 0.5, 0.3, right) for right in "CP")
    assert call - put == pytest.approx(100 - 95 * 2.718281828 ** (-0.04 * 0.5))
    assert 5 < call < 15
    assert [option_price(100, strike, 0, 0.3, right) for strike, right in ((95, "C"), (95, "P"), (105, "P"))] == [
        5,
        0,
        5,
    ]


def test_derivatives_follow_their_underlying() -> None:
    catalogue = listed(NOW.date())
    market = Market(1, 2, catalogue)
    (es, *_), (spx,) = (
        catalogue.find(ContractQuery(symbol="ES", sec_type="FUT")),
        catalogue.find(ContractQuery(symbol="SPX")),
    )
    for hour in range(48):
        at = NOW.timestamp() + 3600 * hour
        assert 1 < market.price(es, at) / market.price(spx, at) < 1.01
    for option in catalogue.find(ContractQuery(symbol="AAPL", sec_type="OPT", expiry="20261218")):
        quote = market.quote(option, NOW.timestamp())
        stock = market.quote(catalogue[265598], NOW.timestamp()).last
        worth = stock - option.strike if option.right == "C" else option.strike - stock
        assert quote.bid >= max(worth, 0) - option.strike * Decimal("0.01")
        assert quote.ask == quote.bid + 2 * option.min_tick


def test_a_closed_exchange_keeps_its_last_quote_and_has_no_bars(tmp_path: Path) -> None:
    played = world(tmp_path, example())
    market, aapl = played.market(), played.catalogue[265598]
    closed = moment("2026-11-26T01:00:00+00:00")  # 20:00 in New York; then Thanksgiving
    quotes = {market.quote(aapl, closed + minutes * 60) for minutes in range(0, 1900, 90)}
    assert len(quotes) == 1
    opened = moment("2026-11-27T09:00:00+00:00")
    assert market.quote(aapl, opened + 1) not in quotes
    assert market.quote(aapl, opened + 1).close == market.quote(aapl, closed).bid
    bars = list(market.bars(aapl, moment("2026-11-28T15:00:00+00:00"), 4 * 86_400, 3600, regular_hours=True))
    days = [datetime.fromtimestamp(bar.start, UTC) for bar in bars]
    assert [f"{day:%d %H:%M}" for day in days[-4:]] == ["27 14:30", "27 15:00", "27 16:00", "27 17:00"]
    daily = list(market.bars(aapl, moment("2026-11-28T15:00:00+00:00"), 4 * 86_400, 86_400, regular_hours=True))
    assert [f"{datetime.fromtimestamp(bar.start, UTC):%d}" for bar in daily] == ["24", "25", "27"]
    assert played.trading_hours(aapl, closed)[1].startswith("20261125:0930-20261125:1600;20261126:CLOSED")


# --- replays ---------------------------------------------------------------------------------------------------------

HEADER = "time,open,high,low,close,volume\n"
ROWS = [
    "2026-11-20 14:30:00,100,102,99,101,500",
    "2026-11-20 14:31:00,103,104,100,100.5,500",
    "2026-11-20 14:32:00,100.5,101,100,100.75,500",
]


def bars_file(tmp_path: Path, rows: list[str] = ROWS, header: str = HEADER) -> Path:
    path = tmp_path / "bars.csv"
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_a_replay_plays_its_bars_exactly(tmp_path: Path, speed: float) -> None:
    series = read_bars(bars_file(tmp_path))[""]
    start = NOW.timestamp()
    replay = Replay("test", series, start, speed, "hold", history=0)
    aapl = listed(NOW.date())[265598]
    market = Market(1, 2, sources={aapl.con_id: replay})
    seconds = 60 / speed
    for number, bar in enumerate(series):
        path = replay.path(start + number * seconds, start + (number + 1) * seconds)
        assert (path[0], max(path), min(path), path[-1]) == (bar.open, bar.high, bar.low, bar.close)
        # The farther from the close first.
        turns = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
        assert path == [bar.open, *turns, bar.close]
    whole = replay.path(start, start + 3 * seconds)
    assert (whole[0], max(whole), min(whole), whole[-1]) == (100, 104, 99, 100.75)
    if speed == 1:
        played = list(market.bars(aapl, start + 180, 180, 60))
        assert [(float(bar.open), float(bar.high), float(bar.low), float(bar.close)) for bar in played] == [
            (bar.open, bar.high, bar.low, bar.close) for bar in series
        ]
    assert market.quote(aapl, start + 1.5 * seconds).bid == Decimal("102.00")


@pytest.mark.parametrize(("at_end", "price"), [("hold", 100.75), ("loop", 100.0)])
def test_a_replay_says_what_happens_at_its_end(
    tmp_path: Path, at_end: str, price: float, caplog: pytest.LogCaptureFixture
) -> None:
    replay = Replay("test", read_bars(bars_file(tmp_path))[""], 1000.0, 1.0, at_end, history=1)
    assert replay.price(1000.0) == 103  # the second bar: one lies before the start
    assert replay.price(0.0) == 100
    assert (replay.ends, caplog.records) == (1120.0, [])
    assert [replay.price(1120.0), replay.price(1120.0)] == [price, price]
    assert [record.message for record in caplog.records] == ["replay ended"]


@pytest.mark.parametrize(
    "times",
    [
        ["2026-11-20 14:30:00", "2026-11-20 14:31:00"],
        ["2026-11-20T14:30:00Z", "2026-11-20T14:31:00Z"],
        ["2026-11-20 09:30:00-05:00", "2026-11-20 09:31:00-05:00"],
        ["1795185000", "1795185060"],
        ["1795185000.0", "1795185060.0"],
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_times_of_bars_are_moments_in_utc_or_as_they_say(tmp_path: Path, times: list[str], kind: str) -> None:
    path = bars_file(tmp_path, [f"{time},1,1,1,1,1" for time in times])
    if kind == "parquet":
        duckdb.read_csv(str(path)).write_parquet(str(tmp_path / "bars.parquet"))
    starts = [bar.start for bar in read_bars(tmp_path / f"bars.{kind}")[""]]
    assert starts == [moment(f"2026-11-20T14:{minute}:00+00:00") for minute in (30, 31)]


def test_parquet_and_csv_files_are_the_same_bars(tmp_path: Path) -> None:
    rows = [f"AAPL,{row}" for row in ROWS] + [f"MSFT,{row}" for row in ROWS]
    path = bars_file(tmp_path, rows, f"symbol,{HEADER}")
    duckdb.read_csv(str(path)).write_parquet(str(tmp_path / "bars.parquet"))
    assert read_bars(path) == read_bars(tmp_path / "bars.parquet")
    assert [bar.start for bar in read_bars(path)["MSFT"]] == [
        moment(f"2026-11-20T14:{minute}:00+00:00") for minute in (30, 31, 32)
    ]


@pytest.mark.parametrize(
    ("header", "rows", "wrong"),
    [
        ("time,open,high,low,volume\n", ["2026-11-20 14:30:00,1,1,1,1"],
         "columns time, open, high, low, volume: close missing"),
        (HEADER, ["soon,1,1,1,1,1"], "column time is VARCHAR, wanted timestamps or seconds since the epoch"),
        (HEADER, ["2026-11-20 14:30:00,a,1,1,1,1"], "column open is VARCHAR, wanted numbers"),
        (HEADER, [], "column open is VARCHAR, wanted numbers"),
        (HEADER, ["2026-11-20 14:30:00,1,1,1,0,1"], "row 1: close is 0.0, wanted a number above 0"),
        (HEADER, ["2026-11-20 14:30:00,3,2,1,1,1"],
         "row 1: open 3.0, high 2.0, low 1.0, close 1.0: wanted low <= open, close <= high"),
        (HEADER, [ROWS[1], ROWS[0]],
         "bars: bar at 2026-11-20T14:30:00Z follows that at 2026-11-20T14:31:00Z, wanted the oldest first"),
        (HEADER, [*ROWS, "2026-11-20 14:35:00,1,1,1,1,1"],
         "bars: bar at 2026-11-20T14:35:00Z comes 180 s after the one before, wanted 60 s "
         "(gaps: join plays on without what is missing)"),
    ],
)  # fmt: skip
def test_bars_that_cannot_be_played_are_refused(tmp_path: Path, header: str, rows: list[str], wrong: str) -> None:
    path = bars_file(tmp_path, rows, header)
    with pytest.raises(ReplayError) as raised:
        read_bars(path)
    assert str(raised.value) == f"{path}: {wrong}"


def test_gaps_between_days_are_joined_and_others_when_asked(tmp_path: Path) -> None:
    assert len(read_bars(bars_file(tmp_path, [*ROWS, "2026-11-23 14:30:00,1,1,1,1,1"]))[""]) == 4
    assert len(read_bars(bars_file(tmp_path, [*ROWS, "2026-11-20 14:35:00,1,1,1,1,1"]), "join")[""]) == 4


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bars.parquet").write_text("not parquet")
    for name, wrong in (
        ("bars.txt", "a file ending in '.txt'"),
        ("none.csv", "no such file"),
        ("bars.parquet", "cannot be read"),
    ):
        with pytest.raises(ReplayError, match=re.escape(wrong)):
            read_bars(tmp_path / name)


async def test_a_replay_is_what_clients_are_quoted(tmp_path: Path) -> None:
    path = bars_file(tmp_path, [f"AAPL,{row}" for row in ROWS], f"symbol,{HEADER}")
    async with running(SIMULATOR_REPLAY=str(path), SIMULATOR_REPLAY_SPEED="1000") as simulator:
        aapl = simulator.catalogue[265598]
        await until(lambda: simulator.quote(aapl).bid == Decimal("100.75"))
        assert list(simulator.world.sources) == [aapl.con_id]


def test_a_scenario_plays_bars_with_its_past(tmp_path: Path) -> None:
    bars_file(tmp_path)
    played = world(
        tmp_path,
        "instruments: [{symbol: AAPL, replay: {file: bars.csv, history: 3, at_end: loop}}, {symbol: AAPL, type: OPT}]",
    )
    aapl = played.catalogue[265598]
    past = list(played.market().bars(aapl, NOW.timestamp(), 180, 60))
    assert [float(bar.close) for bar in past] == [101, 100.5, 100.75]


def test_a_replay_goes_with_a_world_and_not_with_a_scenario(tmp_path: Path) -> None:
    path = bars_file(tmp_path, [f"NOPE,{row}" for row in ROWS], f"symbol,{HEADER}")
    with pytest.raises(ReplayError, match="symbol 'NOPE' is not that of one listed stock or currency pair"):
        open_world(settings(SIMULATOR_REPLAY=str(path)), NOW)
    answer = run(SIMULATOR_REPLAY=str(path), SIMULATOR_SCENARIO="/some/scenario.yml")
    assert (answer.returncode, answer.stderr) == (
        64,
        f"SIMULATOR_REPLAY='{path}': wanted empty, for a scenario names its own replays\n",
    )


# --- anything at all -------------------------------------------------------------------------------------------------

EXAMPLE = yaml.safe_load(example())
_junk = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 10**20), st.floats(), st.text(max_size=8), st.dates(),
        st.sampled_from(["AAPL", "ES", "mon-sun", "00:00-24:00", "24:00", "25:61", "STK", "OPT", "us_stocks", "USD"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(0, 9)), inner, max_size=3),
    ),
    max_leaves=4,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every node of a document."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """Return a document with something else at one place."""
    if not path:
        return junk
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], junk)
    return copy


@examples(max_examples=100, deadline=None)
@given(st.data())
def test_a_scenario_with_anything_anywhere_is_played_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    document = EXAMPLE
    for _ in range(data.draw(st.integers(1, 3))):
        document = changed(document, data.draw(st.sampled_from(list(places(document)))), data.draw(_junk))
    path = tmp_path_factory.getbasetemp() / "scenario.yml"
    path.write_text(yaml.safe_dump(document))
    try:
        played = read_scenario(path, "DU1234567", 1, 2.0, NOW)
    except ScenarioError as error:
        refused = str(error).splitlines()
    else:
        refused = []
    assert all(line.startswith(f"{path}: ") for line in refused)
    if refused:
        return
    # What is not refused can be played.
    market = played.market()

    def quote(instrument: Instrument) -> Quote:
        return market.quote(instrument, NOW.timestamp())

    broker = Broker(played.account, played.catalogue, quote, lambda: NOW, played.rules, played.hours, played.zone)
    assert broker.valuation().net_liquidation == broker.valuation().cash + broker.valuation().market_value
    for instrument in list(played.catalogue)[::10]:
        assert quote(instrument).bid > 0
        assert all(played.trading_hours(instrument, NOW.timestamp()))
