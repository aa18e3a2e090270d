# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the health document of the engine contract says of every engine, whether it trades or stands by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from .config import Deployment
from .gateway import BrokerWatch
from .model import iso

Checks = Mapping[str, tuple[str, str]]
"""Name -> (status, output) of every check; output is empty for a pass."""

_WORSE: Final = ("pass", "warn", "fail")


def compose(
    deployment: Deployment, strategy: str, role: str, link: BrokerWatch, age: float | None, checks: Checks
) -> dict[str, Any]:
    """Return the part of the document that is the same for all; ``age`` of the newest tick in seconds."""
    status = max((status for status, _ in checks.values()), key=_WORSE.index)
    document: dict[str, Any] = {"status": status}
    if status != "pass":
        document["output"] = "; ".join(f"{name}: {text}" for name, (_, text) in checks.items() if text)
    stale = link.state == "ready" and age is not None and checks["data"][0] == "fail"
    return document | {
        "releaseId": deployment.release,
        "stack": deployment.stack,
        "slot": deployment.slot,
        "account": deployment.account,
        "role": role,
        "strategy": strategy,
        "gateway": {
            "state": "data_stale" if stale else link.state,
            "server_version": link.server_version,
            "accounts": list(link.accounts),
            "connected_at": iso(link.connected_at) if link.connected_at else None,
        },
        "data": {"last_tick_age_seconds": None if age is None else round(age, 3)},
        "checks": {
            name: {"status": status, "output": text} if text else {"status": status}
            for name, (status, text) in checks.items()
        },
    }


def data_problem(age: float | None, limit: float | None, due_since: datetime | None, now: datetime) -> str | None:
    """Say why the data is too old (``limit`` in seconds), None when it is not, or when no ticks are due.

    Before the first tick of a session, or of the exchange's, that is missing.
    """
    if limit is None or due_since is None or (now - due_since).total_seconds() <= limit:
        return None
    if age is None:
        return "no tick yet"
    return f"last tick {age:.1f} s ago, wanted at most {limit:g} s" if age > limit else None
