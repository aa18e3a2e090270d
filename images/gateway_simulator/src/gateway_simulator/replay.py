# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prices from recorded bars, which are played again from a moment on, at their own speed or faster.

A file has one row per bar, oldest first, all of one length, with the columns ``time`` (a timestamp, in UTC unless it
says otherwise, or seconds since the epoch), ``open``, ``high``, ``low``, ``close`` and, when it holds more than one
instrument, ``symbol``; other columns are not looked at. Within a bar the price goes from the open by way of both
extremes, the farther from the close first, to the close. What lies between days is not waited for.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

COLUMNS = ("time", "open", "high", "low", "close")
AT_END = ("hold", "loop")
GAPS = ("refuse", "join")
_MOST_PROBLEMS = 5
_DAY = 86_400

_logger = logging.getLogger(__name__)


class ReplayError(Exception):
    """A file of bars cannot be played; the text has one line for each thing that is wrong, up to five."""


@dataclass(frozen=True, slots=True)
class RecordedBar:
    """One recorded bar; ``start`` in seconds since the epoch."""

    start: float
    open: float
    high: float
    low: float
    close: float

    @property
    def path(self) -> tuple[float, float, float, float]:
        """The prices at the start, after each third and at the end."""
        extremes = (self.low, self.high) if self.close >= self.open else (self.high, self.low)
        return self.open, *extremes, self.close


class Replay:
    """Bars that are played from ``start`` (seconds since the epoch) on, ``speed`` times as fast as they were recorded.

    The first ``history`` bars lie before the start, as the past of what is played. At its end a replay keeps the last
    price (``hold``) or begins again with the first bar (``loop``).
    """

    def __init__(
        self, name: str, bars: Sequence[RecordedBar], start: float, speed: float, at_end: str, history: int
    ) -> None:
        self.bar_seconds = min((after.start - before.start for before, after in pairwise(bars)), default=60.0)
        self._name = name
        self._bars = bars
        self._speed = speed
        self._at_end = at_end
        self._start = start - history * self.bar_seconds / speed
        self._has_ended = False

    @property
    def ends(self) -> float:
        """When the last bar ends, in seconds since the epoch."""
        return self._start + len(self._bars) * self.bar_seconds / self._speed

    def price(self, seconds: float) -> float:
        """Return the price at ``seconds`` since the epoch."""
        if seconds >= self.ends and not self._has_ended:
            self._has_ended = True
            then = {"hold": "the last price is kept", "loop": "it begins again"}[self._at_end]
            _logger.warning("replay ended", extra={"replay": self._name, "bars": len(self._bars), "then": then})
        return self._at((seconds - self._start) * self._speed / self.bar_seconds)

    def path(self, start: float, stop: float) -> list[float]:
        """Return the prices between two moments: the first, the last, and every turn between."""
        first, last = ((moment - self._start) * self._speed / self.bar_seconds for moment in (start, stop))
        turns = range(math.floor(first * 3) + 1, math.ceil(last * 3))
        # What ends with a bar closes with it: the next one may open elsewhere.
        ending = self._at(last, closing=True)
        return [self._at(first), *(price for turn in turns for price in self._around(turn / 3, turn)), ending]

    def _around(self, position: float, turn: int) -> tuple[float, ...]:
        return (self._at(position, closing=True), self._at(position)) if turn % 3 == 0 else (self._at(position),)

    def _at(self, position: float, closing: bool = False) -> float:
        """Return the price at a position counted in bars; at the end of a bar its close, when ``closing``."""
        if self._at_end == "loop" and position >= 0:
            whole = math.fmod(position, len(self._bars))
            position = len(self._bars) if closing and whole == 0 and position > 0 else whole
        if position < 0:
            return self._bars[0].open
        index = int(position)
        if index >= len(self._bars):
            return self._bars[-1].close
        part = (position - index) * 3
        if closing and part == 0 and index:
            return self._bars[index - 1].close
        path = self._bars[index].path
        left = min(int(part), 2)
        return path[left] + (path[left + 1] - path[left]) * (part - left)


def read_bars(path: Path, gaps: str = "refuse") -> dict[str, list[RecordedBar]]:
    """Return the bars of a CSV or Parquet file by symbol, which is empty when there is no such column.

    Within one UTC day no bar may be missing, unless ``gaps`` is "join". Raises ReplayError that names the file, the row
    and what is wrong with it.
    """
    import duckdb  # loaded by who replays bars only: it is large

    readers = {".csv": "read_csv", ".parquet": "read_parquet"}
    reader = readers.get(path.suffix)
    if reader is None:
        raise ReplayError(f"{path}: a file ending in {path.suffix!r} is not read, wanted {' or '.join(readers)}")
    if not path.is_file():
        raise ReplayError(f"{path}: there is no such file")
    with duckdb.connect() as connection:
        try:
            rows = _rows(connection, path, reader)
        except duckdb.Error as error:
            raise ReplayError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not rows:
        raise ReplayError(f"{path}: there are no rows, wanted at least one bar")
    problems: list[str] = []
    bars: dict[str, list[RecordedBar]] = {}
    for number, (symbol, *values) in enumerate(rows, 1):
        wrong = _wrong(values)
        if wrong:
            problems.append(f"{path}: row {number}: {wrong}")
        else:
            bars.setdefault(symbol, []).append(RecordedBar(*values))
    for symbol, series in bars.items():
        problems += [f"{path}: {symbol or 'bars'}: {wrong}" for wrong in _breaks(series, gaps)]
    if problems:
        more = [f"{path}: and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        raise ReplayError("\n".join([*problems[:_MOST_PROBLEMS], *more]))
    return bars


def _rows(connection: duckdb.DuckDBPyConnection, path: Path, reader: str) -> list[tuple[Any, ...]]:
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}(?)", [str(path)]).fetchall()  # noqa: S608 - one of two names
    types = {name.lower(): kind for name, kind, *_ in described}
    missing = [name for name in COLUMNS if name not in types]
    if missing:
        raise ReplayError(f"{path}: columns {', '.join(types)}: {', '.join(missing)} missing")
    for name in COLUMNS[1:]:
        if not types[name].startswith(("DOUBLE", "FLOAT", "DECIMAL", "BIGINT", "INTEGER", "HUGEINT", "UBIGINT")):
            raise ReplayError(f"{path}: column {name} is {types[name]}, wanted numbers")
    if types["time"].startswith(("TIMESTAMP", "DATE")):
        time = "epoch(time)"
    elif types["time"] in ("BIGINT", "INTEGER", "DOUBLE"):
        time = "CAST(time AS DOUBLE)"
    else:
        raise ReplayError(f"{path}: column time is {types['time']}, wanted timestamps or seconds since the epoch")
    symbol = "CAST(symbol AS VARCHAR)" if "symbol" in types else "''"
    prices = ", ".join(f"CAST({name} AS DOUBLE)" for name in COLUMNS[1:])
    statement = f"SELECT {symbol}, {time}, {prices} FROM {reader}(?)"  # noqa: S608 - names of our own
    connection.execute("SET preserve_insertion_order = true; SET threads = 1; SET TimeZone = 'UTC'")
    return connection.execute(statement, [str(path)]).fetchall()


def _wrong(values: Sequence[float | None]) -> str:
    """Return what is wrong with a row's time and prices, empty when nothing is."""
    for name, value in zip(COLUMNS, values, strict=True):
        if value is None or not math.isfinite(value) or (name != "time" and value <= 0):
            return f"{name} is {value}, wanted a number above 0"
    _, opening, high, low, close = (float(value or 0) for value in values)
    if not low <= min(opening, close) <= max(opening, close) <= high:
        return f"open {opening}, high {high}, low {low}, close {close}: wanted low <= open, close <= high"
    return ""


def _breaks(bars: Sequence[RecordedBar], gaps: str) -> list[str]:
    """Return where the bars are not one after another."""
    found = []
    steps = [after.start - before.start for before, after in pairwise(bars)]
    length = min((step for step in steps if step > 0), default=60.0)
    for before, after in pairwise(bars):
        step = after.start - before.start
        if step <= 0:
            found.append(f"bar at {_text(after.start)} follows that at {_text(before.start)}, wanted the oldest first")
        elif step != length and gaps == "refuse" and before.start // _DAY == after.start // _DAY:
            found.append(
                f"bar at {_text(after.start)} comes {step:.0f} s after the one before, wanted {length:.0f} s "
                "(gaps: join plays on without what is missing)"
            )
    return found


def _text(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
