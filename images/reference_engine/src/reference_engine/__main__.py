# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m reference_engine``."""

from __future__ import annotations

import os
import signal
import sys


def _leave(number: int, frame: object) -> None:  # noqa: ARG001 what a signal handler gets
    sys.exit(0)


if __name__ == "__main__":
    # As a container's first process Python ignores signals without a handler, and the imports below take a while:
    # a stop in that time would wait for the kill. Nothing is held yet, so leaving is all there is to do.
    signal.signal(signal.SIGTERM, _leave)
    from .app import main

    sys.exit(main(os.environ, sys.argv[1:]))
