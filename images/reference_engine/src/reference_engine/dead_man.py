# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead man's switch: an engine that has not heard of its broker for a while must not trade on as if nothing was."""

from __future__ import annotations

import time
from collections.abc import Callable


class DeadManSwitch:
    """Trips when there was no usable link for ``after_seconds``; stays tripped until `reset`."""

    def __init__(self, after_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.tripped = False
        self.trips = 0
        self._after_seconds = after_seconds
        self._clock = clock
        self._alone_since: float | None = clock()

    def look(self, usable: bool) -> float | None:
        """Note whether the link is usable now; return the seconds without it when the switch trips by that."""
        now = self._clock()
        if usable:
            self._alone_since = None
            return None
        if self._alone_since is None:
            self._alone_since = now
        alone = now - self._alone_since
        if self.tripped or alone < self._after_seconds:
            return None
        self.tripped = True
        self.trips += 1
        return alone

    def reset(self) -> None:
        """Let the switch be armed again."""
        self.tripped = False
