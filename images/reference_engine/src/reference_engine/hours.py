# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an instrument's exchange is open: the broker's own calendar, with its early closes and holidays.

The broker sends it with the contract details, as text in the exchange's time zone (IB API, ``ContractDetails``:
``timeZoneId``, ``tradingHours``, ``liquidHours``). What it does not say is unknown, and unknown counts as closed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .model import iso

Session = Literal["liquid", "trading", "always"]


@dataclass(frozen=True)
class HoursSettings:
    """Section ``trading_hours`` of engine.yaml; minutes None: positions are held over the close."""

    session: Session = "liquid"
    close_positions_minutes_before_close: float | None = None


class HoursError(ValueError):
    """The broker's text does not tell hours; the message names what was wrong with it."""


class ExchangeHours(NamedTuple):
    """What the broker says of an instrument's hours, word for word; see `parse`."""

    zone: str
    trading: str
    liquid: str


class Span(NamedTuple):
    """A time from ``start`` (included) to ``end`` (not included), aware, in UTC."""

    start: datetime
    end: datetime


# Names that IB has used and the time zone database has not.
_ZONES = {"EST (Eastern Standard Time)": "America/New_York", "CST (Central Standard Time)": "America/Chicago"}
_DAY = re.compile(r"(\d{8}):(.+)")
_MOMENT = re.compile(r"(?:(\d{8}):)?(\d{2})(\d{2})")


class Hours:
    """The open times of one instrument for the days that the broker told. It answers for a moment, given aware.

    ``spans`` are ordered and apart: what overlaps or touches is one. Outside ``known`` nothing can be said.
    """

    def __init__(self, spans: Sequence[Span], known: Span) -> None:
        self.spans: tuple[Span, ...] = _joined(spans)
        self.known = known

    def is_known(self, now: datetime) -> bool:
        return self.known.start <= now < self.known.end

    def is_open(self, now: datetime) -> bool:
        """Tell whether the exchange is open; False too when that is not known."""
        return self.is_known(now) and self._around(now) is not None

    def opened_at(self, now: datetime) -> datetime | None:
        """Return since when the exchange has been open; None when it is not open."""
        span = self._around(now)
        return None if span is None else span.start

    def closes_at(self, now: datetime) -> datetime | None:
        """Return when the exchange that is open now closes; None when it is not open, or no close is in sight."""
        span = self._around(now)
        return None if span is None or span.end >= self.known.end else span.end

    def opens_at(self, now: datetime) -> datetime | None:
        """Return when the exchange that is closed now opens; None when it is open, or no opening is in sight."""
        if self._around(now) is not None:
            return None
        return next((span.start for span in self.spans if span.start > now), None)

    def closed_at(self, now: datetime) -> datetime | None:
        """Return the newest close at or before now; None when none is known."""
        ends = [span.end for span in self.spans if span.end <= now and span.end < self.known.end]
        return ends[-1] if ends else None

    def _around(self, now: datetime) -> Span | None:
        return next((span for span in self.spans if span.start <= now < span.end), None)


class Calendar:
    """The hours of the instruments that the engine trades, by con_id, kept from the broker's newest word.

    A broker that cannot be asked today leaves what it said yesterday, which holds as long as it reaches.
    """

    def __init__(self, settings: HoursSettings) -> None:
        self._session = settings.session
        self._liquid: dict[int, Hours] = {}
        self._trading: dict[int, Hours] = {}
        self._hours = self._trading if settings.session == "trading" else self._liquid
        self._problems: dict[int, str] = {}

    def learn(self, con_id: int, told: ExchangeHours) -> None:
        """Take what the broker says. Raises `HoursError`, and keeps what was known before."""
        try:
            liquid, trading = parse(told.liquid, told.zone), parse(told.trading, told.zone)
        except HoursError as error:
            self._problems[con_id] = str(error)
            raise
        self._liquid[con_id], self._trading[con_id] = liquid, trading
        self._problems.pop(con_id, None)

    def liquid(self, con_id: int) -> Hours | None:
        """Return the regular session's hours, None when they are not known."""
        return self._liquid.get(con_id)

    def unknown(self, con_id: int, symbol: str, now: datetime) -> str:
        """Say why an instrument's hours are not known; empty when they are, or when nobody asks for them."""
        if self._session == "always":
            return ""
        hours = self._hours.get(con_id)
        if hours is not None and hours.is_known(now):
            return ""
        problem = self._problems.get(con_id, "the broker has not told them for today")
        return f"the exchange hours of {symbol} are not known, so it counts as closed: {problem}"

    def closed(self, con_id: int, symbol: str, now: datetime) -> str:
        """Say why an instrument must not be traded now, by the session that is configured; empty when it may."""
        hours = self._hours.get(con_id)
        if self._session == "always":
            return ""
        if hours is None or not hours.is_known(now):
            return self.unknown(con_id, symbol, now)
        if hours.is_open(now):
            return ""
        opens = hours.opens_at(now)
        return f"the exchange of {symbol} is closed" + (f" until {iso(opens)}" if opens else "")

    def ticks_due_since(self, now: datetime) -> datetime | None:
        """Return since when ticks of a regular session should come, None when every exchange is known to be closed."""
        if not self._liquid or not all(hours.is_known(now) for hours in self._liquid.values()):
            return datetime.min.replace(tzinfo=UTC)
        return max(filter(None, (hours.opened_at(now) for hours in self._liquid.values())), default=None)

    def closed_at(self, now: datetime) -> datetime | None:
        """Return the newest close of a regular session at or before now, None when none is known."""
        return max(filter(None, (hours.closed_at(now) for hours in self._liquid.values())), default=None)

    def never_closes(self, now: datetime) -> bool:
        """Tell whether a session is open with no close in sight, or whether there is none to go by."""
        return not self._liquid or any(
            hours.is_open(now) and hours.closes_at(now) is None for hours in self._liquid.values()
        )


def parse(text: str, zone: str) -> Hours:
    """Return the hours that ``tradingHours`` or ``liquidHours`` tell in the time zone ``timeZoneId``.

    Both forms are read: ``20260703:0930-20260703:1300;20260704:CLOSED`` and the older ``20260703:0700-1830,1830-2330``,
    where an end before its start is on the next day. Raises `HoursError`.
    """
    place = _zone(zone)
    spans: list[Span] = []
    days: list[datetime] = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = _DAY.fullmatch(part)
        if match is None:
            raise HoursError(f"hours {text!r}: saw {part!r}, wanted YYYYMMDD:HHMM-YYYYMMDD:HHMM or YYYYMMDD:CLOSED")
        day, rest = match.groups()
        days.append(_moment(day, "00", "00", place, text))
        if rest == "CLOSED":
            continue
        for piece in rest.split(","):
            start, end = _span(piece, day, place, text)
            spans.append(Span(start, end))
    if not days:
        raise HoursError(f"hours {text!r}: saw no day, wanted at least one")
    last = _moment(_following(max(days), place), "00", "00", place, text)
    return Hours(
        spans,
        Span(min([*days, *(span.start for span in spans)]), max([last, *(span.end for span in spans)])),
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(_ZONES.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise HoursError(f"time zone: saw {name!r}, wanted a name of the time zone database") from None


def _span(piece: str, day: str, place: ZoneInfo, text: str) -> Span:
    start_text, dash, end_text = piece.partition("-")
    start_match, end_match = _MOMENT.fullmatch(start_text), _MOMENT.fullmatch(end_text)
    if not dash or start_match is None or end_match is None:
        raise HoursError(f"hours {text!r}: saw {piece!r}, wanted HHMM-HHMM or YYYYMMDD:HHMM-YYYYMMDD:HHMM")
    start = _moment(start_match[1] or day, start_match[2], start_match[3], place, text)
    end = _moment(end_match[1] or day, end_match[2], end_match[3], place, text)
    if end <= start and end_match[1] is None:
        end = _moment(_following(start, place), end_match[2], end_match[3], place, text)
    if end <= start:
        raise HoursError(f"hours {text!r}: {piece!r} ends before it starts")
    return Span(start, end)


def _moment(day: str, hour: str, minute: str, place: ZoneInfo, text: str) -> datetime:
    """Return the local time as a moment in UTC; hour 24 is the end of the day."""
    try:
        date = datetime.strptime(day, "%Y%m%d").date()  # noqa: DTZ007 the zone follows
        if (hour, minute) == ("24", "00"):
            date, hour = date + timedelta(days=1), "00"
        return datetime.combine(date, time(int(hour), int(minute)), place).astimezone(UTC)
    except (ValueError, OverflowError):
        raise HoursError(f"hours {text!r}: saw {day}:{hour}{minute}, wanted a date and a time of day") from None


def _following(moment: datetime, place: ZoneInfo) -> str:
    try:
        return (moment.astimezone(place).date() + timedelta(days=1)).strftime("%Y%m%d")
    except OverflowError:
        raise HoursError("hours: saw the last day of the calendar, wanted an earlier one") from None


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return tuple(joined)
