# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An algorithm that the stand-in for LEAN finds in the release; it needs its neighbor."""

import runpy
from pathlib import Path

LIMIT = runpy.run_path(str(Path(__file__).with_name("limit.py")))["LIMIT"]


class Counting:
    """Counts to nothing."""

    limit = LIMIT
