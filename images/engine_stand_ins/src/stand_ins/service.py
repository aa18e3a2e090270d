# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-ins that end on SIGTERM share: hold the link, do something every so often, say which signal came."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from .link import Link


def serve(link: Link, work: Callable[[], None], seconds: float, say: Callable[[str], None]) -> int:
    """Work until SIGTERM (0) or until the gateway is gone (1)."""
    stopped = threading.Event()

    def stop(number: int, _frame: object) -> None:
        say(f"received {signal.Signals(number).name}")
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    work()
    while not stopped.wait(seconds):
        if not link.is_open():
            say("the gateway closed the connection")
            return 1
        work()
    link.close()
    return 0
