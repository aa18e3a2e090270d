# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario file: a world in YAML. The README lists its keys.

Everything is checked before anything is played, and every mistake is told at once, by its path in the file, with what
was seen and what was wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import yaml

from . import contracts
from .account import BASE_CURRENCY, AccountRules, StartingPosition
from .contracts import FUTURES, LISTED, Catalogue
from .faults import FaultError, read_fault
from .hours import EarlyClose, ExchangeHours, WeeklySession
from .market import PriceSource
from .model import ContractQuery, Instrument
from .replay import AT_END, GAPS, Replay, ReplayError, read_bars
from .settings import Settings
from .world import World

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CYCLES = ("weekly", "monthly", "quarterly")
_TYPES = ("STK", "CASH", "IND", "FUT", "OPT")
_MOST_EXPIRIES = 60
_MOST_STRIKES = 200

_Value = TypeVar("_Value")


class ScenarioError(Exception):
    """A scenario cannot be played; the text has one line for each mistake."""


def open_world(settings: Settings, now: datetime) -> World:
    """Return the world of the settings: a scenario's, or the default one, with recorded bars if there are any.

    Raises ScenarioError or ReplayError.
    """
    if settings.scenario is not None:
        return read_scenario(settings.scenario, settings.account, settings.seed, settings.ticks_per_second, now)
    world = World.default(settings.account, settings.seed, settings.ticks_per_second, now)
    if settings.replay is None:
        return world
    sources: dict[int, PriceSource] = {}
    for symbol, bars in read_bars(settings.replay).items():
        found = [one for one in world.catalogue if one.symbol == symbol and one.sec_type in ("STK", "CASH")]
        if len(found) != 1:
            raise ReplayError(f"{settings.replay}: symbol {symbol!r} is not that of one listed stock or currency pair")
        name = f"{symbol} from {settings.replay}"
        sources[found[0].con_id] = Replay(name, bars, now.timestamp(), settings.replay_speed, "hold", 0)
    return replace(world, sources=sources)


def read_scenario(path: Path, account: str, seed: int, ticks_per_second: float, now: datetime) -> World:
    """Return the world of a scenario file; what it does not say is as given. Raises ScenarioError."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    reader = _Scenario(path, now)
    world = reader.world(document, account, seed, ticks_per_second)
    if reader.problems or world is None:
        raise ScenarioError("\n".join(f"{path}: {problem}" for problem in reader.problems))
    return world


class _Loader(yaml.SafeLoader):
    """YAML in which no key comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key comes twice in one mapping", node.start_mark)
        return mapping


# --- single values ---------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError from None
    if not amount.is_finite() or abs(amount) > 10**12:
        raise ValueError
    return amount


def _money(value: Any) -> Decimal:
    amount = _amount(value)
    if amount != amount.quantize(Decimal("0.01")):
        raise ValueError
    return amount.quantize(Decimal("0.01"))


def _price(value: Any) -> Decimal:
    amount = _amount(value)
    if amount <= 0:
        raise ValueError
    return amount


def _rate(value: Any) -> Decimal:
    amount = _amount(value)
    if not 0 < amount <= 1:
        raise ValueError
    return amount


def _number(lowest: float, highest: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        number = float(_amount(value))
        if not lowest < number <= highest:
            raise ValueError
        return number

    return read


def _whole(lowest: int, highest: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise ValueError
        return value

    return read


def _choice(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return read


def _zone(value: Any) -> str:
    try:
        ZoneInfo(_text(value))
    except (KeyError, OSError):
        raise ValueError from None
    return str(value)


def _day(value: Any) -> date:
    if isinstance(value, datetime):
        raise ValueError
    return value if isinstance(value, date) else date.fromisoformat(_text(value))


def _account(value: Any) -> str:
    if not re.fullmatch(r"[A-Z]{1,3}[0-9]{4,10}", _text(value)):
        raise ValueError
    return str(value)


def _currency(value: Any) -> str:
    if not re.fullmatch(r"[A-Z]{3}", _text(value)):
        raise ValueError
    return str(value)


def _minutes(value: Any) -> int:
    """Read a time of day as minutes; YAML itself reads 13:00 without quotes as 780."""
    if type(value) is int and 0 <= value <= 1440:
        return value
    match = re.fullmatch(r"(\d\d?):(\d\d)", _text(value))
    if match is None or int(match[2]) > 59 or int(match[1]) * 60 + int(match[2]) > 1440:
        raise ValueError
    return int(match[1]) * 60 + int(match[2])


def _span(value: Any) -> tuple[int, int]:
    opens, dash, closes = _text(value).partition("-")
    if not dash:
        raise ValueError
    return _minutes(opens.strip()), _minutes(closes.strip())


def _weekdays(value: Any) -> list[int]:
    first, dash, last = _text(value).lower().partition("-")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise ValueError
    start, stop = _DAYS.index(first), _DAYS.index(last if dash else first)
    return [day % 7 for day in range(start, (stop if stop >= start else stop + 7) + 1)]


_SPAN = 'a span of the day such as "09:30-16:00"'
# key -> how it is read, and what is wanted
_INSTRUMENT_KEYS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "symbol": (_text, "a symbol"),
    "type": (_choice(*_TYPES), f"one of {', '.join(_TYPES)}"),
    "con_id": (_whole(1, 1_499_999_999), "a whole number of 1 to 1499999999"),
    "exchange": (_text, "an exchange"),
    "currency": (_currency, "three capital letters"),
    "name": (_text, "a name"),
    "price": (_price, "a number above 0"),
    "volatility": (_number(0, 10), "a number above 0, at most 10"),
    "min_tick": (_price, "a number above 0"),
    "spread": (_whole(1, 1000), "a whole number of ticks, 1 to 1000"),
    "hours": (_text, "the name of exchange hours"),
    "multiplier": (_whole(1, 1_000_000), "a whole number of 1 to 1000000"),
    "initial_margin": (_money, "an amount per contract"),
    "maintenance_margin": (_money, "an amount per contract"),
    "commission": (_money, "an amount per contract"),
    "underlying": (_text, "the symbol of an index"),
}


class _Scenario:
    """Reads one document, and collects what is wrong with it."""

    def __init__(self, path: Path, now: datetime) -> None:
        self.problems: list[str] = []
        self._folder = path.parent
        self._now = now
        self._catalogue = Catalogue([])
        self._sources: dict[int, PriceSource] = {}

    def world(self, document: Any, account: str, seed: int, ticks_per_second: float) -> World | None:
        """Return the world, None when the document is no mapping; it is of no use when there are problems."""
        known = ("account", "time_zone", "seed", "ticks_per_second", "hours", "instruments", "faults")
        top = self._mapping("", document, known)
        if document is not None and not isinstance(document, dict):
            return None
        zone: tzinfo = ZoneInfo(self._read("time_zone", top, _zone, "the name of a time zone", "UTC"))
        seed = self._read("seed", top, _whole(0, 2**63), "a whole number, 0 or more", seed)
        rate = self._read("ticks_per_second", top, _number(0, 100), "a number above 0, at most 100", ticks_per_second)
        today = self._now.astimezone(zone).date()
        hours = dict(self._hours(top.get("hours")))
        self._instruments(top, hours, today)
        settings = self._mapping(
            "account",
            top.get("account"),
            ("id", "cash", "positions", "initial_margin", "maintenance_margin", "exchange_rates", "partial_fill_from"),
        )
        account = self._read("id", settings, _account, "letters and digits, such as DU1234567", account, "account")
        rules = self._rules(settings)
        faults = top.get("faults")
        for number, fault in enumerate(self._list("faults", faults)):
            try:
                read_fault(fault)
            except FaultError as error:
                self.problems.append(f"faults[{number}]: {error}")
        timeline = tuple(faults) if isinstance(faults, list) else ()
        return World(account, seed, rate, self._catalogue, hours, self._sources, rules, zone, timeline)

    # --- exchange hours ---------------------------------------------------------------------------------------------

    def _hours(self, document: Any) -> Iterator[tuple[str, ExchangeHours]]:
        for name, value in self._mapping("hours", document).items():
            path = f"hours.{name}"
            entry = self._mapping(path, value, ("time_zone", "trading", "liquid", "holidays", "early_closes"))
            if "time_zone" not in entry or "trading" not in entry:
                self._problem(path, _keys(entry), "at least time_zone and trading")
            zone = self._read("time_zone", entry, _zone, "the name of a time zone", "UTC", path)
            trading = self._week(f"{path}.trading", entry.get("trading"))
            liquid = self._week(f"{path}.liquid", entry["liquid"]) if "liquid" in entry else trading
            holidays = set()
            for number, day in enumerate(self._list(f"{path}.holidays", entry.get("holidays"))):
                holidays.add(self._value(f"{path}.holidays[{number}]", day, _day, "a day", date.min))
            early_closes = {}
            for day, close in self._mapping(f"{path}.early_closes", entry.get("early_closes")).items():
                where = f"{path}.early_closes.{day}"
                at = self._value(where, day, _day, "a day", date.min)
                early_closes[at] = self._early_close(where, close)
            yield str(name), ExchangeHours(str(name), zone, trading, liquid, frozenset(holidays), early_closes)

    def _week(self, path: str, document: Any) -> tuple[WeeklySession, ...]:
        sessions = []
        for days, spans in self._mapping(path, document).items():
            where = f"{path}.{days}"
            weekdays = self._value(where, days, _weekdays, "days such as mon or mon-fri", [])
            for span in spans if isinstance(spans, list) else [spans]:
                opens, closes = self._value(where, span, _span, _SPAN, (0, 1))
                # What closes no later than it opens closes on the next day.
                closes += 1440 if closes <= opens else 0
                sessions += [WeeklySession(day, opens, closes) for day in weekdays]
        return tuple(sessions)

    def _early_close(self, path: str, value: Any) -> EarlyClose:
        wanted = 'a time of day such as "13:00"'
        if not isinstance(value, dict):
            minutes = self._value(path, value, _minutes, f"{wanted}, or one for trading and one for liquid", 0)
            return EarlyClose(minutes, minutes)
        both = self._mapping(path, value, ("trading", "liquid"))
        times = [self._value(f"{path}.{key}", both.get(key), _minutes, wanted, 0) for key in ("trading", "liquid")]
        return EarlyClose(*times)

    # --- instruments ------------------------------------------------------------------------------------------------

    def _instruments(self, top: Mapping[str, Any], hours: Mapping[str, ExchangeHours], today: date) -> None:
        if "instruments" not in top:
            for instrument in contracts.listed(today):
                self._catalogue.add(instrument)
            return
        entries = self._list("instruments", top["instruments"])
        keys = (*_INSTRUMENT_KEYS, "expiries", "strikes", "replay")
        read = []
        for number, document in enumerate(entries):
            path = f"instruments[{number}]"
            entry = self._mapping(path, document, keys)
            values = {
                key: self._value(f"{path}.{key}", entry[key], parse, wanted, None)
                for key, (parse, wanted) in _INSTRUMENT_KEYS.items()
                if key in entry
            }
            if "symbol" not in entry:
                self._problem(path, _keys(entry), "a symbol")
            if values.get("hours") is not None and values["hours"] not in hours:
                self._problem(
                    f"{path}.hours", repr(values["hours"]), f"one of {', '.join(hours) or 'none: there are none'}"
                )
                values["hours"] = None
            values["time_zone"] = hours[values["hours"]].time_zone if values.get("hours") else "UTC"
            read.append((path, entry, {key: value for key, value in values.items() if value is not None}))
        # What others are derived from comes first.
        for path, entry, values in sorted(read, key=lambda one: _TYPES.index(one[2].get("type", "STK"))):
            if "symbol" in values:
                self._instrument(path, entry, values, today)

    def _instrument(self, path: str, entry: Mapping[str, Any], values: dict[str, Any], today: date) -> None:
        kind = values.get("type", "STK")
        unwanted = {"FUT": {"strikes"}, "OPT": {"con_id", "exchange", "price", "underlying"}}.get(
            kind,
            {"expiries", "strikes", "underlying", "multiplier", "initial_margin", "maintenance_margin", "commission"},
        )
        for key in sorted(unwanted & set(entry)):
            self._problem(f"{path}.{key}", repr(entry[key]), f"nothing: it does not belong to type {kind}")
        made = {"FUT": self._futures, "OPT": self._options}.get(kind, self._plain)(path, entry, values, today)
        for instrument in made:
            try:
                self._catalogue.add(instrument)
            except ValueError as error:
                self._problem(path, str(error), "each instrument once")
        if "replay" in entry:
            self._replay(f"{path}.replay", entry["replay"], made)

    def _plain(self, path: str, _entry: Mapping[str, Any], values: dict[str, Any], _today: date) -> list[Instrument]:
        """Return a stock, a pair of currencies or an index; what the broker itself lists may be left out."""
        kind, symbol = values.get("type", "STK"), values["symbol"]
        query = ContractQuery(symbol=symbol, sec_type=kind, currency=values.get("currency", ""))
        listed = LISTED.find(query)
        if len(listed) > 1:
            self._problem(path, f"{symbol} without a currency", f"one of {', '.join(one.currency for one in listed)}")
            return []
        if listed:
            instrument = listed[0]
        else:
            needed = {"price", "volatility"} | ({"exchange"} if kind != "CASH" else {"currency"})
            if missing := sorted(needed - set(values)):
                self._problem(path, f"no {', '.join(missing)}", f"all of them: {symbol} is not among the broker's own")
                return []
            con_id = values.get("con_id") or contracts.derived_con_id(kind, symbol, values.get("currency", "USD"))
            if kind == "CASH":
                instrument = contracts.currency_pair(con_id, symbol, values["currency"], "1")
            elif kind == "IND":
                instrument = contracts.index(con_id, symbol, values["exchange"], symbol, "1", 1)
            else:
                instrument = contracts.stock(con_id, symbol, values["exchange"], symbol, "1", 1)
        return [_changed(instrument, values)]

    def _futures(self, path: str, entry: Mapping[str, Any], values: dict[str, Any], today: date) -> list[Instrument]:
        symbol = values["symbol"]
        terms = {**FUTURES.get(symbol, {"underlying": symbol, "name": symbol, "commission": "0.85"}), **values}
        needed = ("exchange", "multiplier", "min_tick", "initial_margin", "maintenance_margin")
        if missing := [key for key in needed if key not in terms]:
            self._problem(path, f"no {', '.join(missing)}", f"all of them: {symbol} is not among the broker's own")
            return []
        query = ContractQuery(symbol=str(terms["underlying"]), sec_type="IND")
        if not self._catalogue.find(query):
            index = {"symbol": terms["underlying"], "type": "IND", "exchange": terms["exchange"]}
            index |= {key: values[key] for key in ("price", "volatility") if key in values}
            for underlying in self._plain(path, {}, index, today):
                self._catalogue.add(underlying)
        if not self._catalogue.find(query):
            return []
        days = self._expiries(path, entry, today, "quarterly")
        made = [contracts.listed_future(self._catalogue, symbol, day, terms) for day in days]
        common: dict[str, Any] = {key: values[key] for key in ("hours", "time_zone", "spread", "name") if key in values}
        return [_changed(instrument, common) for instrument in made]

    def _options(self, path: str, entry: Mapping[str, Any], values: dict[str, Any], today: date) -> list[Instrument]:
        query = ContractQuery(symbol=values["symbol"], sec_type="STK", currency=values.get("currency", ""))
        found = self._catalogue.find(query)
        if len(found) != 1:
            self._problem(f"{path}.symbol", repr(values["symbol"]), "the symbol of one stock of this file")
            return []
        underlying = found[0]
        strikes = self._mapping(f"{path}.strikes", entry.get("strikes"), ("step", "each_side"))
        step = self._read("step", strikes, _price, "a number above 0", Decimal(5), f"{path}.strikes")
        wanted = f"a whole number of 1 to {_MOST_STRIKES}"
        each_side = self._read("each_side", strikes, _whole(1, _MOST_STRIKES), wanted, 10, f"{path}.strikes")
        return [
            _changed(contracts.option(underlying, day, strike, right), values | {"name": underlying.long_name})
            for day in self._expiries(path, entry, today, "monthly")
            for strike in contracts.strikes_around(underlying.reference_price, step, each_side)
            for right in "CP"
        ]

    def _expiries(self, path: str, entry: Mapping[str, Any], today: date, cycle: str) -> list[str]:
        value = entry.get("expiries")
        path = f"{path}.expiries"
        if isinstance(value, list):
            days = [self._value(f"{path}[{number}]", day, _day, "a day", today) for number, day in enumerate(value)]
            for number, day in enumerate(days):
                if day < today:
                    self._problem(f"{path}[{number}]", str(day), f"{today} or later")
            # What has expired is told, and stands for today meanwhile: a year below 1000 has no four digits.
            return [f"{max(day, today):%Y%m%d}" for day in days]
        rule = self._mapping(path, value, ("cycle", "count"))
        cycle = self._read("cycle", rule, _choice(*_CYCLES), f"one of {', '.join(_CYCLES)}", cycle, path)
        wanted = f"a whole number of 1 to {_MOST_EXPIRIES}"
        return contracts.expiries(today, cycle, self._read("count", rule, _whole(1, _MOST_EXPIRIES), wanted, 4, path))

    def _replay(self, path: str, document: Any, made: list[Instrument]) -> None:
        entry = self._mapping(path, document, ("file", "symbol", "start", "speed", "at_end", "history", "gaps"))
        if len(made) != 1 or made[0].is_derivative:
            self._problem(path, "a replay of several instruments", "one stock, pair of currencies or index")
            return
        file = self._read("file", entry, _text, "the path of a CSV or Parquet file", "", path)
        start = self._read("start", entry, _moment, "a moment such as 2026-11-25T14:30:00Z", self._now, path)
        speed = self._read("speed", entry, _number(0, 100_000), "a number above 0, at most 100000", 1.0, path)
        at_end = self._read("at_end", entry, _choice(*AT_END), f"one of {', '.join(AT_END)}", "hold", path)
        history = self._read("history", entry, _whole(0, 10**9), "a whole number of bars", 0, path)
        gaps = self._read("gaps", entry, _choice(*GAPS), f"one of {', '.join(GAPS)}", "refuse", path)
        symbol = self._read("symbol", entry, _text, "a symbol of the file", made[0].symbol, path)
        if not file:
            if "file" not in entry:
                self._problem(path, _keys(entry), "a file")
            return
        try:
            series = read_bars(self._folder / file, gaps)
        except ReplayError as error:
            self.problems += [f"{path}: {line}" for line in str(error).splitlines()]
            return
        bars = series.get(symbol, series.get(""))
        if bars is None:
            self._problem(f"{path}.symbol", repr(symbol), f"one of {', '.join(sorted(series))}")
        elif history > len(bars):
            self._problem(f"{path}.history", str(history), f"at most the {len(bars)} bars of the file")
        else:
            name = f"{symbol} from {file}"
            self._sources[made[0].con_id] = Replay(name, bars, start.timestamp(), speed, at_end, history)

    # --- the account ------------------------------------------------------------------------------------------------

    def _rules(self, settings: Mapping[str, Any]) -> AccountRules:
        defaults = AccountRules()
        cash = dict(self._amounts("account.cash", settings.get("cash"), _money, "an amount of whole cents"))
        rates = dict(
            self._amounts("account.exchange_rates", settings.get("exchange_rates"), _price, "a number above 0")
        )
        initial = self._read(
            "initial_margin", settings, _rate, "a part of 1, above 0", defaults.initial_margin, "account"
        )
        maintenance = self._read(
            "maintenance_margin", settings, _rate, "a part of 1, above 0", min(initial, Decimal("0.25")), "account"
        )
        if maintenance > initial:
            self._problem("account.maintenance_margin", str(maintenance), f"no more than initial_margin, {initial}")
        partial = self._read(
            "partial_fill_from", settings, _whole(2, 10**9), "a whole number, 2 or more", 100, "account"
        )
        positions = list(self._positions(settings.get("positions")))
        currencies = {one.currency for one in self._catalogue if one.sec_type != "IND"} | set(cash)
        priced = {BASE_CURRENCY, *rates}
        for pair in self._catalogue:
            if pair.sec_type == "CASH" and BASE_CURRENCY in (pair.symbol, pair.currency):
                priced |= {pair.symbol, pair.currency}
        for currency in sorted(currencies - priced):
            self._problem(
                f"account.exchange_rates.{currency}",
                "nothing",
                f"the worth in {BASE_CURRENCY} of one {currency}, or a pair of both",
            )
        return AccountRules(
            cash=cash or defaults.cash,
            positions=tuple(positions),
            initial_margin=initial,
            maintenance_margin=maintenance,
            exchange_rates=rates,
            partial_fill_from=partial,
        )

    def _amounts(
        self, path: str, document: Any, parse: Callable[[Any], Decimal], wanted: str
    ) -> Iterator[tuple[str, Decimal]]:
        for currency, amount in self._mapping(path, document).items():
            self._value(f"{path}.{currency}", currency, _currency, "a currency as key, three capital letters", "")
            yield str(currency), self._value(f"{path}.{currency}", amount, parse, wanted, Decimal(1))

    def _positions(self, document: Any) -> Iterator[StartingPosition]:
        for number, value in enumerate(self._list("account.positions", document)):
            path = f"account.positions[{number}]"
            keys = ("symbol", "type", "currency", "expiry", "strike", "right", "con_id", "quantity", "average_cost")
            entry = self._mapping(path, value, keys)
            found = self._catalogue.find(
                ContractQuery(
                    con_id=self._read("con_id", entry, _whole(0, 2**31), "a contract id", 0, path),
                    symbol=self._read("symbol", entry, _text, "a symbol", "", path),
                    sec_type=self._read("type", entry, _choice(*_TYPES), f"one of {', '.join(_TYPES)}", "", path),
                    currency=self._read("currency", entry, _currency, "three capital letters", "", path),
                    expiry=str(entry.get("expiry", "")).replace("-", ""),
                    strike=self._read("strike", entry, _price, "a number above 0", Decimal(0), path),
                    right=self._read("right", entry, _choice("C", "P"), "C or P", "", path),
                )
            )
            found = [one for one in found if one.sec_type != "IND"]
            if len(found) != 1:
                fits = ", ".join(one.local_symbol for one in found[:5]) or "nothing"
                self._problem(path, f"what fits {fits}", "exactly one instrument of this world")
                continue
            wanted = "a whole number that is not 0"
            if "quantity" not in entry:
                self._problem(path, "no quantity", wanted)
            quantity = self._read("quantity", entry, _units, wanted, 1, path)
            cost = self._read("average_cost", entry, _price, "a price above 0", None, path)
            yield StartingPosition(found[0].con_id, quantity, cost)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _problem(self, path: str, seen: str, wanted: str) -> None:
        message = f"{path or 'the file'}: saw {seen}, wanted {wanted}"
        # A key may hold anything, and a message has one line.
        self.problems.append("".join(one if one.isprintable() else repr(one)[1:-1] for one in message))

    def _mapping(self, path: str, value: Any, known: tuple[str, ...] | None = None) -> dict[Any, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._problem(path, repr(value), "a mapping")
            return {}
        for key in value:
            if known is not None and key not in known:
                self._problem(f"{path}.{key}".lstrip("."), "an unknown key", f"one of {', '.join(known)}")
        return value

    def _list(self, path: str, value: Any) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self._problem(path, repr(value), "a list")
            return []
        return value

    def _read(
        self,
        key: str,
        mapping: Mapping[str, Any],
        parse: Callable[[Any], _Value],
        wanted: str,
        default: Any,
        path: str = "",
    ) -> Any:
        """Return the value of ``key``, the default when there is none or it cannot be used."""
        if key not in mapping:
            return default
        return self._value(f"{path}.{key}".lstrip("."), mapping[key], parse, wanted, default)

    def _value(self, path: str, value: Any, parse: Callable[[Any], _Value], wanted: str, default: Any) -> Any:
        try:
            return parse(value)
        except (ValueError, TypeError):
            self._problem(path, repr(value), wanted)
            return default


def _keys(mapping: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, mapping)) or "nothing"


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _units(value: Any) -> int:
    if type(value) is not int or value == 0 or abs(value) > 10**9:
        raise ValueError
    return value


def _changed(instrument: Instrument, values: Mapping[str, Any]) -> Instrument:
    """Return the instrument with what a scenario says about it."""
    names = {"price": "reference_price", "name": "long_name"}
    own = (
        "con_id",
        "currency",
        "price",
        "volatility",
        "min_tick",
        "spread",
        "hours",
        "time_zone",
        "name",
        "multiplier",
    )
    return replace(instrument, **{names.get(key, key): values[key] for key in own if key in values})
