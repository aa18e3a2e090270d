# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When exchanges are open, in their own time zone, and how the protocol writes that down.

A session belongs to the day on which it closes: what opens on Sunday evening is Monday's, and a holiday or an early
close of that day concerns it. Moments are seconds since the epoch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

NEVER = math.inf
# No exchange is closed for longer; a search for the next or the last session ends after as many days.
_LONGEST_CLOSE_DAYS = 30
_SHOWN_DAYS = 6


@dataclass(frozen=True, slots=True)
class WeeklySession:
    """A session of every week: ``weekday`` (0 = Monday) on which it opens, local times as minutes of that day.

    ``closes`` is more than 1440 when it closes on the next day.
    """

    weekday: int
    opens: int
    closes: int


@dataclass(frozen=True, slots=True)
class EarlyClose:
    """The local times, as minutes of the day, at which a day's trading and regular hours end."""

    trading: int
    liquid: int


@dataclass(frozen=True, slots=True)
class Phase:
    """What an exchange is in until ``until``, its next close when open and its next opening when closed.

    ``opened`` is when the present session opened, or the last one when closed, and ``last_close`` when the one before
    the present closed, or the last one when closed; -NEVER when there was none in a month.
    """

    is_open: bool
    until: float
    opened: float
    last_close: float


@dataclass(frozen=True)
class ExchangeHours:
    """The hours of one exchange: ``trading`` all of them, ``liquid`` the regular ones."""

    name: str
    time_zone: str
    trading: tuple[WeeklySession, ...]
    liquid: tuple[WeeklySession, ...]
    holidays: frozenset[date] = frozenset()
    early_closes: Mapping[date, EarlyClose] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", ZoneInfo(self.time_zone))
        object.__setattr__(self, "_phases", {})
        object.__setattr__(self, "_days", {})

    _zone: ZoneInfo = field(init=False, repr=False, compare=False)
    _phases: dict[bool, tuple[float, Phase]] = field(init=False, repr=False, compare=False)
    _days: dict[tuple[date, bool], tuple[tuple[float, float], ...]] = field(init=False, repr=False, compare=False)

    def phase(self, moment: float, liquid: bool) -> Phase:
        """Return what the exchange is in at ``moment``, by its regular hours or by all of them."""
        known = self._phases.get(liquid)
        if known is not None and known[0] <= moment < known[1].until:
            return known[1]
        opened = last_close = -NEVER
        day = self._day(moment)
        longest = timedelta(days=_LONGEST_CLOSE_DAYS)
        for opens, closes in self._between(day - longest, day + longest, liquid):
            if closes <= moment:
                opened, last_close = opens, closes
            elif opens <= moment:
                phase = Phase(True, closes, opens, last_close)
                break
            else:
                phase = Phase(False, opens, opened, last_close)
                break
        else:
            # Closed for long: look again in a day, whenever it opens.
            phase = Phase(False, moment + 86_400, opened, last_close)
        self._phases[liquid] = moment, phase
        return phase

    def session_end(self, moment: float, liquid: bool) -> float:
        """Return when the present session closes, or the next one when closed; NEVER when there is none."""
        day = self._day(moment)
        for _, closes in self._between(day, day + timedelta(days=_LONGEST_CLOSE_DAYS), liquid):
            if closes > moment:
                return closes
        return NEVER

    def next_open(self, moment: float, liquid: bool) -> float:
        """Return when the next session opens, NEVER when there is none."""
        day = self._day(moment)
        for opens, _ in self._between(day, day + timedelta(days=_LONGEST_CLOSE_DAYS), liquid):
            if opens > moment:
                return opens
        return NEVER

    def sessions(self, day: date, liquid: bool) -> tuple[tuple[float, float], ...]:
        """Return the (opening, close) of every session that belongs to ``day``."""
        known = self._days.get((day, liquid))
        if known is None:
            known = self._days[day, liquid] = tuple(self._sessions(day, liquid))
        return known

    def sessions_between(self, start: float, end: float, liquid: bool) -> Iterator[tuple[float, float]]:
        """Yield the sessions, oldest first, that are open at some moment between two."""
        for opens, closes in self._between(self._day(start), self._day(end) + timedelta(days=1), liquid):
            if closes > start and opens < end:
                yield opens, closes

    def text(self, moment: float, liquid: bool) -> str:
        """Return the hours from today on, as ``20261125:0930-20261125:1600;20261126:CLOSED``."""
        today = self._day(moment)
        parts = []
        for day in (today + timedelta(days=number) for number in range(_SHOWN_DAYS)):
            sessions = self.sessions(day, liquid)
            parts.append(
                ",".join(f"{self._label(opens)}-{self._label(closes)}" for opens, closes in sessions)
                or f"{day:%Y%m%d}:CLOSED"
            )
        return ";".join(parts)

    def _label(self, moment: float) -> str:
        return f"{datetime.fromtimestamp(moment, self._zone):%Y%m%d:%H%M}"

    def _day(self, moment: float) -> date:
        return datetime.fromtimestamp(moment, self._zone).date()

    def _between(self, first: date, last: date, liquid: bool) -> Iterator[tuple[float, float]]:
        day = first
        while day <= last:
            yield from self.sessions(day, liquid)
            day += timedelta(days=1)

    def _sessions(self, day: date, liquid: bool) -> Iterator[tuple[float, float]]:
        if day in self.holidays:
            return
        early = self.early_closes.get(day)
        weekly = self.liquid if liquid else self.trading
        for session in sorted(weekly, key=lambda session: session.closes % 1440 or 1440):
            # A session that ends at midnight belongs to the day that ends then.
            overnight = session.closes > 1440
            opening_day = day - timedelta(days=1) if overnight else day
            if session.weekday != opening_day.weekday():
                continue
            closes = session.closes
            if early is not None:
                closes = min(closes, (early.liquid if liquid else early.trading) + 1440 * overnight)
            if closes > session.opens:
                yield self._moment(opening_day, session.opens), self._moment(opening_day, closes)

    def _moment(self, day: date, minutes: int) -> float:
        local = datetime.combine(day + timedelta(days=minutes // 1440), time(minutes % 1440 // 60, minutes % 60))
        return local.replace(tzinfo=self._zone).timestamp()


def always_open_text(moment: float) -> str:
    """Return the hours, in UTC, of an exchange that never closes."""
    today = datetime.fromtimestamp(moment, UTC).date()
    days = [today + timedelta(days=number) for number in range(_SHOWN_DAYS + 1)]
    return ";".join(f"{day:%Y%m%d}:0000-{after:%Y%m%d}:0000" for day, after in pairwise(days))


def parse_time(text: str, zone: str = "UTC") -> datetime:
    """Parse ``20261122 20:45:00``, ``20261122-20:45:00``, or either with a time zone's name after a space, to UTC.

    A time without a zone is in ``zone``, but for the form with a dash, which is in UTC and may end in a Z, as from
    server version 214 on. A day alone is its end.
    Raises ValueError that names the text and the wanted form.
    """
    match = re.fullmatch(r"(\d{8})(?:([ -]+)(\d\d:\d\d(?::\d\d)?)(Z?))?(?: (\S+))?", text)
    try:
        if match is None:
            raise ValueError
        day, separator, clock, z, named = match.groups()
        if z and (separator != "-" or named):
            raise ValueError
        # A name that is not in the time zone database raises ZoneInfoNotFoundError, a KeyError, and the name of a
        # group of zones an OSError; at the ends of the calendar there is no moment before or after (OverflowError).
        place = ZoneInfo(named or ("UTC" if separator == "-" else zone))
        if clock is None:
            moment = datetime.strptime(day, "%Y%m%d").replace(tzinfo=place) + timedelta(days=1)
        else:
            seconds = clock if len(clock) == 8 else f"{clock}:00"
            moment = datetime.strptime(f"{day} {seconds}", "%Y%m%d %H:%M:%S").replace(tzinfo=place)
        return moment.astimezone(UTC)
    except (ValueError, KeyError, OSError, OverflowError):
        raise ValueError(f"time {text!r} is not YYYYMMDD-HH:MM:SS in UTC or with a time zone") from None
