# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closed windows: the times of the week at which no other release may begin to trade, such as market hours.

A window is a document ``{name, days, from, to, timezone}``: the days (mon to sun) on which it begins, and the clock of
its time zone. One that ends at or before the time it begins at ends on the next day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
UTC = timezone.utc
# What is closed for longer than this without a gap is closed for ever: windows repeat every week.
HORIZON = timedelta(days=8)


@dataclass(frozen=True)
class Window:
    """One closed window; ``days`` are numbers, Monday is 0."""

    name: str
    days: frozenset[int]
    begin: time
    end: time
    zone: ZoneInfo

    def closed_until(self, moment: datetime) -> datetime | None:
        """When the window that ``moment`` (aware) lies in ends, in UTC; None when it lies in none."""
        today = moment.astimezone(self.zone).date()
        ends = (self._on(today + timedelta(days=offset), moment) for offset in (-1, 0, 1))
        return max((end for end in ends if end), default=None)

    def _on(self, day: date, moment: datetime) -> datetime | None:
        if day.weekday() not in self.days:
            return None
        # A time that a change of the clock skips or repeats is read so that the window is the longer one.
        begin = min(self._readings(day, self.begin))
        last_day = day if self.end > self.begin else day + timedelta(days=1)
        end = max(self._readings(last_day, self.end))
        return end if begin <= moment < end else None

    def _readings(self, day: date, clock: time) -> list[datetime]:
        local = datetime.combine(day, clock, self.zone)
        return [local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]


def parse_window(document: Mapping[str, Any]) -> Window:
    """A window from its document. Raises ValueError that says what is wrong with which key."""
    try:
        name, days, zone = str(document["name"]), document["days"], document["timezone"]
        clocks = [document["from"], document["to"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{document!r} is no window: it lacks {error}") from error
    if not days or not set(days) <= set(DAYS):
        raise ValueError(f"days of window {name!r} are {days!r}, wanted some of {', '.join(DAYS)}")
    for clock in clocks:
        if not isinstance(clock, str) or not CLOCK.fullmatch(clock):
            raise ValueError(f"window {name!r} has the time {clock!r}, wanted HH:MM")
    begin, end = (time(int(clock[:2]), int(clock[3:])) for clock in clocks)
    return Window(name, frozenset(map(DAYS.index, days)), begin, end, time_zone(zone))


def time_zone(name: str) -> ZoneInfo:
    """The time zone of this name. Raises ValueError for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, TypeError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(
            f"{name!r} is not known here as a time zone; wanted one such as America/New_York (package tzdata)"
        ) from error


@dataclass(frozen=True)
class Closed:
    """It is closed now, by ``window``. ``opens`` is when no window is closed any more, in UTC; None for never."""

    window: Window
    opens: datetime | None

    def __str__(self) -> str:
        begun = f"the window {self.window.name!r} is closed"
        if self.opens is None:
            return f"{begun}, and with the others it never opens"
        here, utc = self.opens.astimezone(), self.opens.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{begun}; it opens at {here.strftime('%Y-%m-%d %H:%M %Z')} ({utc})"


def closed_now(windows: Iterable[Window], now: datetime) -> Closed | None:
    """Whether any window is closed at ``now`` (aware): the one that ends last, and when it opens again."""
    windows = list(windows)
    end, closing = _last_end(windows, now)
    if end is None or closing is None:
        return None
    opens: datetime | None = end
    while opens and (later := _last_end(windows, opens)[0]):
        opens = later if later - now < HORIZON else None
    return Closed(closing, opens)


def _last_end(windows: list[Window], moment: datetime) -> tuple[datetime | None, Window | None]:
    ends = [(end, window) for window in windows if (end := window.closed_until(moment))]
    return max(ends, key=lambda entry: entry[0], default=(None, None))
