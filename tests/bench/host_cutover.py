# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure changes of a release on a lab host, under load: ``python -m tests.bench.host_cutover [--times 100]``.

The engine orders as fast as the gateway lets it. A gap is the venue's own: from the last order of the old engine to the
first of the new one; beside it stands what the host tool says. Never two traders, and books that agree, or no figures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from tests.bench.bench import BenchError, lab, output_of
from tests.bench.figure import Figure
from tests.cutover.rig import STACK, Changed, Rig, variables

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".cache" / "bench"
INVENTORY = WORK / "cutover"
HOST = "bench-cutover"
# What the tool says of a gap: "no engine traded for 92 ms", or "for 3.1 s".
TOLD = re.compile(r"no engine traded for ([\d.]+) (ms|s)\b")
UNITS = {"ms": 1.0, "s": 1000.0}


def play(playbook: str, **extra: Any) -> float:
    """Run a playbook against the host, and return how many seconds it took."""
    started = time.monotonic()
    output_of("ansible-playbook", playbook, "-i", str(INVENTORY), "-e", json.dumps(variables() | extra))
    return time.monotonic() - started


def make_host() -> Rig:
    """Make a blank host, deploy the stack, and return it."""
    lab("down", HOST)
    lab("up", HOST)
    INVENTORY.mkdir(parents=True, exist_ok=True)
    (INVENTORY / "lab.yml").write_text(lab("inventory", HOST))
    shared = INVENTORY / "group_vars"
    shared.unlink(missing_ok=True)
    shared.symlink_to(ROOT / "inventories" / "dev" / "group_vars")
    play("playbooks/deploy.yml")
    return Rig(HOST)


def milliseconds(output: str) -> float:
    """Return the gap that the tool tells."""
    if not (told := TOLD.search(output)):
        raise BenchError(f"the tool did not say for how long no engine traded:\n{output}")
    return float(told[1]) * UNITS[told[2]]


def changed(done: Changed) -> Changed:
    """Return a change that went well."""
    if done.status:
        raise BenchError(f"the tool ended with {done.status}:\n{done.output}")
    return done


def judged(rig: Rig) -> list[float]:
    """Return the venue's gaps, in milliseconds; ``BenchError`` for anything that must never happen."""
    verdict = rig.judge()
    if verdict["problems"]:
        raise BenchError("the judge found:\n" + "\n".join(verdict["problems"]))
    return [gap["seconds"] * 1000 for gap in verdict["gaps"]]


def spread(name: str, values: list[float]) -> Iterator[Figure]:
    """Median, 99th percentile and worst of many."""
    yield Figure(name, "ms", values)
    yield Figure(f"{name}, p99", "ms", [statistics.quantiles(values, n=100, method="inclusive")[98]])


def twins(rig: Rig, count: int, **settings: Any) -> list[str]:
    """Releases that differ in nothing but a comment, and from the deployed one in ``settings`` of its service.json."""
    configuration = yaml.safe_dump(variables()["trading_engine_config"])
    return [
        rig.stage({"engine.yaml": f"{configuration}# twin {number} {settings}\n"}, **settings)
        for number in range(count)
    ]


def measure_cutovers(rig: Rig, times: int) -> Iterator[Figure]:
    """Changes to a release that runs nowhere yet: a standby is started, warmed up, and takes over."""
    releases = itertools.cycle(twins(rig, 3))
    before = len(judged(rig))
    told, seconds = [], []
    for number, release in zip(range(times), releases, strict=False):
        done = changed(rig.activate(release))
        told.append(milliseconds(done.output))
        seconds.append(done.seconds)
        if number % 10 == 9:
            print(f"{number + 1} cutovers", file=sys.stderr, flush=True)
            judged(rig)
    gaps = judged(rig)[before:]
    if len(gaps) != times:
        raise BenchError(f"the venue saw {len(gaps)} changes of its trader in {times} cutovers")
    yield Figure("cutover, whole command", "s", seconds)
    yield from spread("cutover, gap by the venue", gaps)
    yield from spread("cutover, gap by the tool", told)


def measure_rollbacks(rig: Rig, times: int) -> Iterator[Figure]:
    """Rollbacks while the other release is a hot standby: on the host, and from the controller."""
    before = len(judged(rig))
    seconds = [changed(rig.change("rollback", STACK)).seconds for _ in range(times)]
    yield Figure("rollback in the soak, command on the host", "s", seconds)
    yield Figure("rollback in the soak, gap by the venue", "ms", judged(rig)[before:])
    yield Figure(
        "rollback in the soak, playbook on the controller",
        "s",
        [play("playbooks/rollback.yml") for _ in range(min(times, 5))],
    )


def measure_recreate(rig: Rig, times: int) -> Iterator[Figure]:
    """Changes for engines without the contract: stop, prove, start."""
    releases = itertools.cycle(twins(rig, 2, strategy="recreate"))
    changed(rig.activate(next(releases)))
    before = len(judged(rig))
    told = [milliseconds(changed(rig.activate(next(releases))).output) for _ in range(times)]
    yield Figure("recreate, gap by the venue", "ms", judged(rig)[before:])
    yield Figure("recreate, gap by the tool", "ms", told)


def measure_supervisors(rig: Rig, seconds: float) -> Iterator[Figure]:
    """What the process of each unit costs while nothing happens."""
    for unit, used in rig.call("supervisors", "--amount", str(seconds)).items():
        yield Figure(f"memory of {unit}", "MB", [used["memory"] / 1e6])
        yield Figure(f"CPU of {unit}, of one core", "%", [used["cpu_seconds"] / seconds * 100])


def main() -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="host_cutover", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=100, help="cutovers (%(default)s); of the rest a tenth")
    parser.add_argument("--seconds", type=float, default=60, help="to watch the supervisors (%(default)s)")
    parser.add_argument("--output", type=Path, default=WORK / "cutover.json", help="default: .cache/bench/cutover.json")
    arguments = parser.parse_args()
    tenth = max(2, arguments.times // 10)
    figures = []
    try:
        rig = make_host()
        for measure, amount in (
            (measure_cutovers, arguments.times),
            (measure_rollbacks, tenth),
            (measure_supervisors, arguments.seconds),
            (measure_recreate, tenth),
        ):
            for figure in measure(rig, amount):
                print(figure.line(), flush=True)
                figures.append(figure)
    except (BenchError, RuntimeError) as error:
        print(f"host_cutover: {error}", file=sys.stderr)
        return 1
    finally:
        lab("down", HOST)
    arguments.output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
