# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A measured quantity, and how it is shown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured quantity: its name, its unit and every value."""

    name: str
    unit: str
    values: list[float]

    def line(self) -> str:
        """One row of the table."""
        median, fastest, slowest = statistics.median(self.values), min(self.values), max(self.values)
        spread = f"{fastest:.2f} .. {slowest:.2f}, {len(self.values)} runs" if len(self.values) > 1 else ""
        return f"{self.name:<52}{median:>11.2f} {self.unit:<4}{spread}"
