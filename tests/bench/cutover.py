# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the hand-over of the lease between two running engines: ``python -m tests.bench.cutover [--times 50]``.

Two engines that order on every tick (50 a second), as processes on one simulator. The gap is the venue's own: from the
last order of the old session to the first of the new one. It has the strategy's next tick in it, up to 20 ms.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.contract.stage import ProcessStage, Stage  # first: it knows where the programs are

from tests.engine.books import Record, differences  # isort: skip

TICKS_PER_SECOND = 50.0
CONFIG = """\
strategy: {name: demo, parameters: {symbol: AAPL, quantity: 1, interval_seconds: 0.001, max_position: 10}}
risk: {max_orders_per_minute: 100000}
log_level: warning
"""


def measure(stage: Stage, times: int) -> tuple[list[float], list[float], list[float]]:
    """Hand the lease over so many times; return gaps, demotions and promotions, each in milliseconds."""
    engines = [stage.start("blue"), stage.start("green", "standby")]
    engines[0].wait_for(200, "trading")
    demotions, promotions = [], []
    for turn in range(times):
        old, new = engines[turn % 2], engines[1 - turn % 2]
        new.wait_for(200, "standby")
        stage.wait_for_orders(3)
        answer = old.ask("POST", "/lease/demote")
        demotions.append(float(answer.document["milliseconds"]))
        answer = new.ask("POST", "/lease/promote", timeout=60)
        if answer.status != 200:
            raise RuntimeError(f"hand-over {turn}: {answer.status} {answer.text}")
        promotions.append(float(answer.document["milliseconds"]))
    stage.wait_for_orders(3)
    for engine in engines:
        engine.stop()
    summary = stage.venue.call("GET", "witness/summary")
    if summary["overlaps"] or summary["repeated_order_refs"]:
        raise RuntimeError(f"two traders: {summary}")
    if found := differences(Record.of(stage.venue.witness()), stage.ledger, settled=True):
        raise RuntimeError("ledger and venue differ:\n" + "\n".join(found))
    return [gap["seconds"] * 1000 for gap in summary["gaps"]], demotions, promotions


def line(name: str, milliseconds: Sequence[float]) -> str:
    """Return a line of the table: p50, p99 and the worst."""
    p99 = statistics.quantiles(milliseconds, n=100, method="inclusive")[98]
    return f"{name:<12}{statistics.median(milliseconds):>10.1f}{p99:>10.1f}{max(milliseconds):>10.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="cutover", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="hand-overs (%(default)s)")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "engine.yaml").write_text(CONFIG, encoding="utf-8")
        command = [sys.executable, "-m", "reference_engine"]
        with ProcessStage(command, Path(folder), TICKS_PER_SECOND) as stage:
            gaps, demotions, promotions = measure(stage, times)
            orders = len(stage.orders())
    print(f"{times} hand-overs, {orders} orders, never two traders, ledger and venue agree")
    print(f"{'ms':<12}{'p50':>10}{'p99':>10}{'worst':>10}")
    print("\n".join((line("gap", gaps), line("demote", demotions), line("promote", promotions))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
