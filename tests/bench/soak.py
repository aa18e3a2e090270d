# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let an engine trade for hours on a stream 100 times the normal: ``python -m tests.bench.soak [--hours N]``.

IB sends at most four quotes a second for a stock; here are five stocks with up to a hundred each. Orders go out at two
a second. Once a minute the memory of engine and simulator is looked at. Growth is the slope of a straight line (least
squares) through the second half of the samples, by when caches are full and kept orders are as many as they get; the
verdict is that this slope, in MB an hour, stays below a limit. A run that is too short for that, or has too few
samples, is not judged. At the end the engine drains, and the ledger must equal the venue's record.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path

from tests.bench.bench import WORK, BenchError
from tests.bench.engine import Stage
from tests.bench.figure import Figure
from tests.engine.process import Process, count

SYMBOLS = ("AAPL", "AMZN", "MSFT", "NVDA", "TSLA")
ORDERS_PER_SECOND = 2.0
NORMAL_QUOTES_PER_SECOND = 4.0
MOST_GROWTH_MB_PER_HOUR = 2.0
# The half that is judged must not be the one in which memory fills: finished orders are kept for five minutes.
SHORTEST_HOURS = 0.5
FEWEST_SAMPLES = 20
NOT_JUDGED = 2


@dataclasses.dataclass(frozen=True)
class Sample:
    """One look: hours since the start, resident MB of both processes, the ledger's MB, orders and ticks so far."""

    hours: float
    engine_mb: float
    venue_mb: float
    ledger_mb: float
    orders: int
    ticks: float
    cpu_seconds: float

    def line(self) -> str:
        """One row of the log."""
        memory = f"engine {self.engine_mb:6.2f} MB  simulator {self.venue_mb:6.2f} MB  ledger {self.ledger_mb:6.2f} MB"
        return f"{self.hours * 60:6.1f} min  {memory}  {self.orders} orders  {self.ticks:.0f} ticks"


def resident_mb(pid: int) -> float:
    """Resident memory of a process (proc(5), VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise BenchError(f"process {pid} has no resident memory: it has ended")


def slope(samples: list[Sample], name: str) -> float:
    """MB per hour, by least squares, over the second half of the samples."""
    later = samples[len(samples) // 2 :]
    return statistics.linear_regression([s.hours for s in later], [getattr(s, name) for s in later]).slope


def verdict(samples: list[Sample]) -> tuple[int, str]:
    """Return the exit code and what it means: 0 it does not grow, 1 it grows, 2 that cannot be told."""
    hours = samples[-1].hours if samples else 0.0
    if hours < SHORTEST_HOURS or len(samples) < FEWEST_SAMPLES:
        return NOT_JUDGED, (
            f"the engine's memory is NOT JUDGED: {len(samples)} samples in {hours:.2f} h, "
            f"wanted at least {FEWEST_SAMPLES} in {SHORTEST_HOURS:g} h"
        )
    growth = slope(samples, "engine_mb")
    grows = growth > MOST_GROWTH_MB_PER_HOUR
    word = "GROWS" if grows else "does not grow"
    return int(grows), (f"the engine's memory {word}: {growth:.2f} MB/h, wanted at most {MOST_GROWTH_MB_PER_HOUR:g}")


def look(stage: Stage, engine: Process, started: float) -> Sample:
    """Take a sample."""
    files = stage.place.path.glob("trades.db*")
    return Sample(
        hours=(time.monotonic() - started) / 3600,
        engine_mb=resident_mb(engine.pid),
        venue_mb=resident_mb(stage.venue.pid),
        ledger_mb=sum(file.stat().st_size for file in files) / 1e6,
        orders=count(stage.place, "orders"),
        ticks=engine.metric("ballast_engine_ticks_total"),
        cpu_seconds=engine.metric("process_cpu_seconds_total"),
    )


def soak(hours: float, every_seconds: float) -> list[Sample]:
    """Run, look, drain; raises ``BenchError`` when the engine is not well on the way or the books differ at the end."""
    stage = Stage()
    stage.configure(ORDERS_PER_SECOND, *SYMBOLS, log_level="warning")
    engine = Process(stage.place)
    samples: list[Sample] = []
    try:
        engine.wait_for(200, "ready", 60.0)
        started = time.monotonic()
        while time.monotonic() - started < hours * 3600:
            time.sleep(every_seconds)
            samples.append(look(stage, engine, started))
            print(samples[-1].line(), flush=True)
            code, document = engine.health()
            if code != 200:
                raise BenchError(f"health is {code}: {document.get('output')}\n{engine.log()[-2000:]}")
        ended = engine.end()
        if ended[0]:
            raise BenchError(f"the engine ended with {ended}")
    finally:
        engine.kill()
        stage.close()
    return samples


def figures_of(samples: list[Sample]) -> list[Figure]:
    """What is worth telling of the samples."""
    if len(samples) < 2:
        return []
    last, hours = samples[-1], samples[-1].hours
    quotes = last.ticks / hours / 3600
    growth = []
    if verdict(samples)[0] != NOT_JUDGED:
        growth = [
            Figure(f"memory of the {who}, growth", "MB/h", [slope(samples, name)])
            for who, name in (("engine", "engine_mb"), ("simulator", "venue_mb"))
        ]
    return [
        Figure("soak", "h", [hours]),
        Figure("ticks to the engine", "/s", [quotes]),
        Figure("ticks, times a normal stream of one stock", "x", [quotes / NORMAL_QUOTES_PER_SECOND]),
        Figure("orders", "", [last.orders]),
        Figure("processor time of the engine, share of a core", "%", [100 * last.cpu_seconds / hours / 3600]),
        Figure("memory of the engine, first and last sample", "MB", [samples[0].engine_mb, last.engine_mb]),
        Figure("memory of the simulator, first and last sample", "MB", [samples[0].venue_mb, last.venue_mb]),
        Figure("ledger, per 1000 orders", "MB", [1000 * last.ledger_mb / last.orders]),
        *growth,
    ]


def main() -> int:
    """Soak, print the figures and the verdict, write the JSON; 1 when memory grows or anything went wrong, 2 untold."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=1.0, help="default: 1")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between samples (default: 60)")
    parser.add_argument("--output", type=Path, default=WORK / "soak.json", help="default: .cache/bench/soak.json")
    chosen = parser.parse_args()
    try:
        samples = soak(chosen.hours, chosen.every)
    except (BenchError, AssertionError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    figures = figures_of(samples)
    for figure in figures:
        print(figure.line())
    document = {"figures": figures, "samples": samples}
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps(document, default=dataclasses.asdict, indent=2) + "\n", encoding="utf-8")
    code, text = verdict(samples)
    print(f"{text}; ledger and venue agree")
    return code


if __name__ == "__main__":
    sys.exit(main())
