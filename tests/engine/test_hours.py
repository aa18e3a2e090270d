# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker's hours are read as it writes them, and what it does not tell counts as closed."""

from __future__ import annotations

import string
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_engine.hours import Calendar, ExchangeHours, HoursError, HoursSettings, Session, parse

# The week of Thanksgiving 2026: Thursday closed, Friday closes early.
WEEK = (
    "20261125:0930-20261125:1600;20261126:CLOSED;20261127:0930-20261127:1300;20261128:CLOSED;20261129:CLOSED;"
    "20261130:0930-20261130:1600"
)
EXTENDED = "20261125:0400-20261125:2000;20261126:CLOSED;20261127:0400-20261127:1700;20261130:0400-20261130:2000"
NEW_YORK = ExchangeHours("America/New_York", EXTENDED, WEEK)
ALWAYS = ";".join(f"202611{day}:0000-202611{day + 1}:0000" for day in range(24, 30))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "is_open", "closes", "opens"),
    [
        ("2026-11-25T14:29:59.999", False, None, "2026-11-25T14:30"),
        ("2026-11-25T14:30", True, "2026-11-25T21:00", None),
        ("2026-11-25T20:59:59.999", True, "2026-11-25T21:00", None),
        ("2026-11-25T21:00", False, None, "2026-11-27T14:30"),  # over the holiday
        ("2026-11-26T16:00", False, None, "2026-11-27T14:30"),
        ("2026-11-27T17:59", True, "2026-11-27T18:00", None),  # the early close
        ("2026-11-27T18:00", False, None, "2026-11-30T14:30"),
        ("2026-11-30T21:00", False, None, None),
        ("2026-12-01T15:00", False, None, None),  # nobody has told
        ("2026-11-24T15:00", False, None, "2026-11-25T14:30"),
    ],
)
def test_holiday_and_early_close_of_the_broker_are_kept(
    now: str, is_open: bool, closes: str | None, opens: str | None
) -> None:
    hours = parse(WEEK, "US/Eastern")
    moment = at(now)
    assert hours.is_open(moment) is is_open
    assert hours.closes_at(moment) == (at(closes) if closes else None)
    assert hours.opens_at(moment) == (at(opens) if opens else None)


def test_newest_close_is_told_also_after_a_holiday() -> None:
    hours = parse(WEEK, "America/New_York")
    assert hours.closed_at(at("2026-11-25T20:59")) is None
    assert hours.closed_at(at("2026-11-25T21:00")) == at("2026-11-25T21:00")
    assert hours.closed_at(at("2026-11-27T17:00")) == at("2026-11-25T21:00")
    assert hours.closed_at(at("2026-11-28T00:00")) == at("2026-11-27T18:00")


def test_older_form_with_a_break_and_a_night_session_is_read() -> None:
    hours = parse("20261125:0845-1345,1500-0500;20261126:CLOSED", "Asia/Tokyo")
    tokyo = timedelta(hours=9)
    assert [(span.start + tokyo, span.end + tokyo) for span in hours.spans] == [
        (at("2026-11-25T08:45"), at("2026-11-25T13:45")),
        (at("2026-11-25T15:00"), at("2026-11-26T05:00")),
    ]


def test_newer_form_with_a_break_is_read() -> None:
    hours = parse("20261125:0930-20261125:1200,20261125:1300-20261125:1600", "Asia/Hong_Kong")
    assert not hours.is_open(at("2026-11-25T04:30"))
    assert hours.is_open(at("2026-11-25T05:00"))


def test_session_that_begins_on_the_evening_before_is_known() -> None:
    hours = parse("20261129:1715-20261130:1700;20261130:1715-20261201:1700", "US/Eastern")
    assert hours.is_open(at("2026-11-29T22:15"))
    assert hours.closes_at(at("2026-11-29T22:15")) == at("2026-11-30T22:00")


def test_days_that_touch_are_one_session_without_a_close_in_sight() -> None:
    hours = parse(ALWAYS, "UTC")
    assert hours.is_open(at("2026-11-26T00:00"))
    assert hours.closes_at(at("2026-11-26T00:00")) is None
    assert not hours.is_open(at("2026-11-30T00:00"))


def test_clocks_are_set_back_and_forth_by_the_exchanges_zone() -> None:
    hours = parse("20270312:0930-20270312:1600;20270315:0930-20270315:1600", "America/New_York")
    assert hours.closes_at(at("2027-03-12T15:00")) == at("2027-03-12T21:00")
    assert hours.closes_at(at("2027-03-15T15:00")) == at("2027-03-15T20:00")


@pytest.mark.parametrize(
    ("text", "zone", "message"),
    [
        ("", "UTC", "hours '': saw no day, wanted at least one"),
        (
            "20261125 0930-1600",
            "UTC",
            "hours '20261125 0930-1600': saw '20261125 0930-1600', "
            "wanted YYYYMMDD:HHMM-YYYYMMDD:HHMM or YYYYMMDD:CLOSED",
        ),
        (
            "20261125:0930",
            "UTC",
            "hours '20261125:0930': saw '0930', wanted HHMM-HHMM or YYYYMMDD:HHMM-YYYYMMDD:HHMM",
        ),
        (
            "20261325:CLOSED",
            "UTC",
            "hours '20261325:CLOSED': saw 20261325:0000, wanted a date and a time of day",
        ),
        (
            "20261125:0930-20261125:2460",
            "UTC",
            "hours '20261125:0930-20261125:2460': saw 20261125:2460, wanted a date and a time of day",
        ),
        (
            "20261125:1600-20261125:0930",
            "UTC",
            "hours '20261125:1600-20261125:0930': '1600-20261125:0930' ends before it starts",
        ),
        (WEEK, "Mars/Olympus", "time zone: saw 'Mars/Olympus', wanted a name of the time zone database"),
        (WEEK, "", "time zone: saw '', wanted a name of the time zone database"),
        (WEEK, "../etc/passwd", "time zone: saw '../etc/passwd', wanted a name of the time zone database"),
    ],
)
def test_text_that_tells_no_hours_is_refused_by_name(text: str, zone: str, message: str) -> None:
    with pytest.raises(HoursError) as caught:
        parse(text, zone)
    assert str(caught.value) == message


@given(st.text(alphabet=string.digits + ":;,-CLOSED ", max_size=80), st.sampled_from(["UTC", "US/Eastern", "x"]))
def test_any_text_is_read_or_refused(text: str, zone: str) -> None:
    try:
        hours = parse(text, zone)
    except HoursError:
        return
    for span in hours.spans:
        assert hours.known.start <= span.start < span.end <= hours.known.end


_TIMES = st.integers(0, 24 * 60 - 2)


@given(
    start=st.dates(date(2024, 1, 1), date(2030, 12, 1)),
    days=st.lists(st.none() | st.tuples(_TIMES, _TIMES), min_size=1, max_size=8),
    zone=st.sampled_from(["UTC", "US/Eastern", "Europe/London", "Asia/Tokyo", "Australia/Sydney", "Asia/Kolkata"]),
    minute=st.integers(0, 8 * 24 * 60),
)
def test_hours_written_as_the_broker_does_are_read_back(
    start: date, days: list[tuple[int, int] | None], zone: str, minute: int
) -> None:
    place = ZoneInfo(zone)
    parts, spans = [], []
    for number, session in enumerate(days):
        day = start + timedelta(days=number)
        if session is None or session[0] == session[1]:
            parts.append(f"{day:%Y%m%d}:CLOSED")
            continue
        opens, closes = (
            datetime.combine(day, time(minutes // 60, minutes % 60), place).astimezone(UTC)
            for minutes in sorted(session)
        )
        if opens >= closes:  # an hour that the clocks skip
            parts.append(f"{day:%Y%m%d}:CLOSED")
            continue
        local = [f"{day:%Y%m%d}:{minutes // 60:02d}{minutes % 60:02d}" for minutes in sorted(session)]
        parts.append("-".join(local))
        spans.append((opens, closes))
    hours = parse(";".join(parts), zone)
    first = datetime.combine(start, time(), place).astimezone(UTC)
    now = first + timedelta(minutes=minute)
    known = now < datetime.combine(start + timedelta(days=len(days)), time(), place).astimezone(UTC)
    assert hours.is_known(now) is known
    assert hours.is_open(now) is any(opens <= now < closes for opens, closes in spans)
    if hours.is_open(now):
        ends = hours.closes_at(now)
        assert ends is None or ends > now
        assert hours.opened_at(now) <= now  # type: ignore[operator]  # it is open


# -- the calendar


def calendar(session: Session, told: ExchangeHours | None = NEW_YORK) -> Calendar:
    calendar = Calendar(HoursSettings(session))
    if told:
        calendar.learn(1, told)
    return calendar


@pytest.mark.parametrize(
    ("session", "now", "closed"),
    [
        ("liquid", "2026-11-25T14:30", ""),
        ("liquid", "2026-11-25T10:00", "the exchange of AAPL is closed until 2026-11-25T14:30:00.000Z"),
        ("trading", "2026-11-25T10:00", ""),
        ("trading", "2026-11-25T08:59", "the exchange of AAPL is closed until 2026-11-25T09:00:00.000Z"),
        ("always", "2026-11-26T10:00", ""),
        ("always", "2030-01-01T10:00", ""),
        ("liquid", "2026-11-30T21:30", "the exchange of AAPL is closed"),
        (
            "liquid",
            "2026-12-01T15:00",
            "the exchange hours of AAPL are not known, so it counts as closed: the broker has not told them for today",
        ),
    ],
)
def test_exchange_is_closed_by_the_session_that_is_configured(session: Session, now: str, closed: str) -> None:
    assert calendar(session).closed(1, "AAPL", at(now)) == closed


def test_hours_that_cannot_be_read_leave_yesterdays() -> None:
    known = calendar("liquid")
    with pytest.raises(HoursError):
        known.learn(1, ExchangeHours("Mars/Olympus", EXTENDED, WEEK))
    assert known.closed(1, "AAPL", at("2026-11-25T15:00")) == ""
    unknown = calendar("liquid", None)
    with pytest.raises(HoursError):
        unknown.learn(1, ExchangeHours("Mars/Olympus", EXTENDED, WEEK))
    assert unknown.closed(1, "AAPL", at("2026-11-25T15:00")) == (
        "the exchange hours of AAPL are not known, so it counts as closed: "
        "time zone: saw 'Mars/Olympus', wanted a name of the time zone database"
    )


def test_ticks_are_due_while_a_regular_session_is_open_or_nobody_knows() -> None:
    known = calendar("liquid")
    assert known.ticks_due_since(at("2026-11-25T15:00")) == at("2026-11-25T14:30")
    assert known.ticks_due_since(at("2026-11-25T22:00")) is None
    long_ago = known.ticks_due_since(at("2026-12-02T15:00"))
    assert long_ago is not None
    assert long_ago < at("2000-01-01")


def test_a_day_ends_with_the_last_regular_session_or_never() -> None:
    known = calendar("liquid")
    known.learn(2, ExchangeHours("UTC", ALWAYS, "20261125:0900-20261125:1700"))
    assert known.closed_at(at("2026-11-25T18:00")) == at("2026-11-25T17:00")
    assert known.closed_at(at("2026-11-25T21:00")) == at("2026-11-25T21:00")
    assert not known.never_closes(at("2026-11-25T15:00"))
    assert calendar("liquid", ExchangeHours("UTC", ALWAYS, ALWAYS)).never_closes(at("2026-11-25T15:00"))
