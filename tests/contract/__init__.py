# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine contract's test suite: whether an image keeps docs/engine-contract.md, rule by rule."""

import sys
from pathlib import Path

# The simulator is the judge and the reference engine has the lease's rules; neither is installed here.
sys.path[:0] = [
    str(Path(__file__).parents[2] / "images" / name / "src") for name in ("gateway_simulator", "reference_engine")
]
