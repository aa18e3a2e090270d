# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closed windows: over midnight, over changes of the clock, and when they open again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.windows import Closed, closed_now, parse_window

WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]
EVERY_DAY = [*WEEKDAYS, "sat", "sun"]
MARKET = {"name": "market", "days": WEEKDAYS, "from": "09:25", "to": "16:05", "timezone": "America/New_York"}
LOGOUT = {"name": "logout", "days": ["sun"], "from": "00:45", "to": "01:30", "timezone": "America/New_York"}
NIGHT = {"name": "night", "days": EVERY_DAY, "from": "23:40", "to": "00:15", "timezone": "Etc/UTC"}


def window(begin: str, end: str, days: list[str] | None = None, zone: str = "America/New_York") -> dict[str, Any]:
    return {"name": "w", "days": days or EVERY_DAY, "from": begin, "to": end, "timezone": zone}


def at(moment: str) -> datetime:
    return datetime.strptime(moment, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def opens(moment: str, *documents: dict[str, Any]) -> str | None:
    """When the windows that are closed at ``moment`` (UTC) open again; None when they are open."""
    closed = closed_now(map(parse_window, documents), at(moment))
    if closed is None:
        return None
    return closed.opens.strftime("%Y-%m-%d %H:%M") if closed.opens else "never"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-12-01 14:24", None),  # a Tuesday, 09:24 EST
        ("2026-12-01 14:25", "2026-12-01 21:05"),
        ("2026-12-01 21:04", "2026-12-01 21:05"),
        ("2026-12-01 21:05", None),
        ("2026-12-05 15:00", None),  # a Saturday
        ("2026-07-01 13:25", "2026-07-01 20:05"),  # 09:25 EDT
        ("2026-07-01 13:24", None),
        # The Mondays after the clock changed in New York, which Europe does two weeks later, or one earlier.
        ("2026-03-09 13:25", "2026-03-09 20:05"),
        ("2026-10-26 13:25", "2026-10-26 20:05"),
        ("2026-11-02 13:25", None),
        ("2026-11-02 14:25", "2026-11-02 21:05"),
    ],
)
def test_market_hours_follow_the_clock_of_the_market(moment: str, expected: str | None) -> None:
    assert opens(moment, MARKET) == expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-12-01 23:39", None),
        ("2026-12-01 23:40", "2026-12-02 00:15"),
        ("2026-12-02 00:14", "2026-12-02 00:15"),
        ("2026-12-02 00:15", None),
    ],
)
def test_a_window_may_go_over_midnight(moment: str, expected: str | None) -> None:
    assert opens(moment, NIGHT) == expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-12-04 22:59", None),
        ("2026-12-04 23:00", "2026-12-05 01:00"),  # Friday
        ("2026-12-05 00:30", "2026-12-05 01:00"),  # Saturday, still of Friday's
        ("2026-12-05 23:30", None),
        ("2026-12-04 00:30", None),  # not of Thursday's
    ],
)
def test_the_day_of_a_window_is_that_on_which_it_begins(moment: str, expected: str | None) -> None:
    assert opens(moment, window("23:00", "01:00", ["fri"], "Etc/UTC")) == expected


def test_a_window_that_ends_when_it_begins_is_a_whole_day() -> None:
    weekend = window("00:00", "00:00", ["sat", "sun"], "Etc/UTC")
    assert opens("2026-12-05 00:00", weekend) == "2026-12-07 00:00"
    assert opens("2026-12-06 23:59", weekend) == "2026-12-07 00:00"
    assert opens("2026-12-04 23:59", weekend) is None
    assert opens("2026-12-07 00:00", weekend) is None


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        # 2026-11-01: 01:00 to 02:00 comes twice. The window lasts until 01:30 has come for the second time.
        ("2026-11-01 04:44", None),
        ("2026-11-01 04:45", "2026-11-01 06:30"),
        ("2026-11-01 05:45", "2026-11-01 06:30"),
        ("2026-11-01 06:30", None),
        # 2026-03-08: 02:00 to 03:00 does not come; this window is before that.
        ("2026-03-08 05:45", "2026-03-08 06:30"),
        ("2026-03-08 06:30", None),
    ],
)
def test_the_weekly_logout_is_closed_as_long_as_the_clock_may_mean(moment: str, expected: str | None) -> None:
    assert opens(moment, LOGOUT) == expected


@pytest.mark.parametrize(
    ("begin", "end"), [("02:15", "02:45"), ("01:30", "02:30"), ("02:30", "03:30"), ("02:30", "03:15")]
)
def test_a_window_whose_time_the_clock_skips_is_closed_all_the_same(begin: str, end: str) -> None:
    closed = [minute for minute in range(1440) if opens_at(minute, window(begin, end))]
    assert len(closed) >= 30
    assert closed == list(range(closed[0], closed[-1] + 1))


def opens_at(minute: int, document: dict[str, Any]) -> str | None:
    moment = at("2026-03-08 00:00") + timedelta(minutes=minute)
    return opens(moment.strftime("%Y-%m-%d %H:%M"), document)


def test_windows_that_meet_open_when_the_last_one_does() -> None:
    chain = [window("10:00", "12:00", zone="Etc/UTC"), window("11:30", "13:00", zone="Etc/UTC")]
    assert opens("2026-12-01 10:30", *chain, window("13:00", "14:00", zone="Etc/UTC")) == "2026-12-01 14:00"
    assert opens("2026-12-01 10:30", *chain, window("13:01", "14:00", zone="Etc/UTC")) == "2026-12-01 13:00"


def test_windows_that_leave_no_time_never_open() -> None:
    assert opens("2026-12-01 10:30", window("00:00", "00:00", zone="Etc/UTC")) == "never"
    halves = [window("00:00", "12:00", zone="Etc/UTC"), window("12:00", "00:00", zone="Etc/UTC")]
    assert opens("2026-12-01 10:30", *halves) == "never"


def test_the_window_that_ends_last_is_named() -> None:
    documents = [MARKET, {**window("14:00", "15:00", zone="Etc/UTC"), "name": "short"}]
    closed = closed_now(map(parse_window, documents), at("2026-12-01 14:30"))
    assert closed is not None
    assert closed.window.name == "market"


def test_without_windows_it_is_always_open() -> None:
    assert closed_now([], at("2026-12-01 14:30")) is None


@pytest.fixture
def vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("vienna")
def test_it_is_told_in_the_time_of_this_machine_and_in_utc() -> None:
    closed = closed_now([parse_window(MARKET)], at("2026-12-01 14:30"))
    assert str(closed) == "the window 'market' is closed; it opens at 2026-12-01 22:05 CET (2026-12-01T21:05:00Z)"
    assert str(Closed(parse_window(MARKET), None)) == (
        "the window 'market' is closed, and with the others it never opens"
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"days": []}, "days of window 'market' are [], wanted some of mon, tue, wed, thu, fri, sat, sun"),
        ({"days": ["monday"]}, "days of window 'market' are ['monday'], wanted some of mon, tue, wed, thu, fri"),
        ({"from": "24:00"}, "window 'market' has the time '24:00', wanted HH:MM"),
        ({"to": 965}, "window 'market' has the time 965, wanted HH:MM"),
        ({"to": "9:25"}, "window 'market' has the time '9:25', wanted HH:MM"),
        ({"timezone": "New York"}, "'New York' is not known here as a time zone; wanted one such as America/New_York"),
        ({"timezone": "../etc/passwd"}, "'../etc/passwd' is not known here as a time zone"),
        ({"timezone": None}, "None is not known here as a time zone"),
        ({"timezone": ""}, "'' is not known here as a time zone"),
    ],
)
def test_what_is_no_window_is_told(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        parse_window({**MARKET, **changes})


def test_a_window_without_a_key_is_told() -> None:
    with pytest.raises(ValueError, match="is no window: it lacks 'timezone'"):
        parse_window({key: value for key, value in MARKET.items() if key != "timezone"})
