# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.ballast.trading.plugins.filter.live_windows import FilterModule
from ansible_collections.ballast.trading.plugins.module_utils.windows import parse_window

live_windows = FilterModule().filters()["live_windows"]


@pytest.mark.parametrize(
    ("restart", "begin", "end"),
    [("11:45 PM", "23:40", "00:00"), ("12:02 AM", "23:57", "00:17"), ("12:30 PM", "12:25", "12:45")],
)
def test_a_live_stack_is_closed_in_market_hours_at_the_logout_and_around_the_restart(
    restart: str, begin: str, end: str
) -> None:
    windows = live_windows(restart)
    assert [(window["name"], window["from"], window["to"], window["timezone"]) for window in windows] == [
        ("market hours", "09:25", "16:05", "America/New_York"),
        ("weekly logout by the broker", "00:45", "01:30", "America/New_York"),
        ("nightly restart of the gateway", begin, end, "Etc/UTC"),
    ]
    assert [sorted(parse_window(window).days) for window in windows] == [[0, 1, 2, 3, 4], [6], [0, 1, 2, 3, 4, 5, 6]]


def test_a_gateway_that_does_not_restart_has_no_window_for_it() -> None:
    assert [window["name"] for window in live_windows("")] == ["market hours", "weekly logout by the broker"]


def test_a_time_in_another_form_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="'23:45' is no time of the day; wanted hh:mm AM or hh:mm PM"):
        live_windows("23:45")
