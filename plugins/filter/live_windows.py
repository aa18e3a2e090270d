# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: live_windows
short_description: The closed windows that a live stack has by default
version_added: 0.1.0
author:
  - Ballast contributors (@ballast-trading)
description:
  - The hours of the New York exchanges (Monday to Friday, 09:25 to 16:05), the broker's weekly logout (Sunday, 00:45 to
    01:30 in New York), and the gateway's nightly restart, from 5 minutes before it to 15 after.
options:
  _input:
    description: When the gateway restarts, as C(hh:mm AM) or C(hh:mm PM) in UTC. Empty where it does not.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show them, and one more
  ansible.builtin.debug:
    msg: "{{ (ib_gateway_auto_restart_time | ballast.trading.live_windows) + [european_morning] }}"
  vars:
    european_morning:
      name: European morning
      days: [mon, tue, wed, thu, fri]
      from: "08:55"
      to: "10:00"
      timezone: Europe/Berlin
"""

RETURN = r"""
_value:
  description: The windows, as in the variable C(trading_engine_closed_windows).
  type: list
  elements: dict
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.ballast.trading.plugins.module_utils.windows import DAYS, UTC

NEW_YORK = "America/New_York"


def live_windows(restart_time: str) -> list[dict[str, Any]]:
    return [
        window("market hours", DAYS[:5], "09:25", "16:05", NEW_YORK),
        window("weekly logout by the broker", ("sun",), "00:45", "01:30", NEW_YORK),
        *([around_restart(restart_time)] if restart_time else []),
    ]


def around_restart(restart_time: str) -> dict[str, Any]:
    try:
        moment = datetime.strptime(restart_time, "%I:%M %p").replace(tzinfo=UTC)
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"{restart_time!r} is no time of the day; wanted hh:mm AM or hh:mm PM") from error
    begin, end = (f"{moment + timedelta(minutes=minutes):%H:%M}" for minutes in (-5, 15))
    return window("nightly restart of the gateway", DAYS, begin, end, "Etc/UTC")


def window(name: str, days: tuple[str, ...], begin: str, end: str, zone: str) -> dict[str, Any]:
    return {"name": name, "days": list(days), "from": begin, "to": end, "timezone": zone}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"live_windows": live_windows}
