# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a soak says of the memory that it has looked at."""

from __future__ import annotations

import pytest

from tests.bench.soak import Sample, figures_of, verdict


def samples(minutes: int, growth: float, every: int = 1) -> list[Sample]:
    """Return the looks of a run: memory fills for ten minutes, then it grows by so many MB an hour."""
    return [
        Sample(
            hours=minute / 60,
            engine_mb=60.0 + 4.0 * min(minute, 10) + growth * max(0, minute - 10) / 60,
            venue_mb=80.0,
            ledger_mb=1.0,
            orders=120 * minute,
            ticks=24_000.0 * minute,
            cpu_seconds=10.0 * minute,
        )
        for minute in range(every, minutes + 1, every)
    ]


@pytest.mark.parametrize(
    ("seen", "code", "text"),
    [
        (samples(60, 0.5), 0, "the engine's memory does not grow: 0.50 MB/h, wanted at most 2"),
        (samples(60, 5.0), 1, "the engine's memory GROWS: 5.00 MB/h, wanted at most 2"),
        (samples(30, 1.5), 0, "the engine's memory does not grow: 1.50 MB/h, wanted at most 2"),
        (samples(29, 0.5), 2, "the engine's memory is NOT JUDGED: 29 samples in 0.48 h, wanted at least 20 in 0.5 h"),
        (
            samples(60, 0.5, 10),
            2,
            "the engine's memory is NOT JUDGED: 6 samples in 1.00 h, wanted at least 20 in 0.5 h",
        ),
        ([], 2, "the engine's memory is NOT JUDGED: 0 samples in 0.00 h, wanted at least 20 in 0.5 h"),
    ],
)
def test_memory_is_judged_only_when_it_was_looked_at_for_long_enough(seen: list[Sample], code: int, text: str) -> None:
    assert verdict(seen) == (code, text)
    told = any("growth" in figure.name for figure in figures_of(seen))
    assert told is (code != 2), "no number is told that is not measured"
