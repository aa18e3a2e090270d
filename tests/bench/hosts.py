# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how a deploy grows with its hosts: ``python -m tests.bench.hosts [--hosts 1 2 4 8] [--runs 3]``.

Lab hosts that carry the stack already get a new release, and then nothing new, in one play for so many of them.
Preparing is side by side and activating one by one: a further host costs its activation, and its share of this machine,
which carries them all: servers of their own are faster.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from dataclasses import asdict
from itertools import count
from pathlib import Path

from tests.bench.bench import ROOT, WORK, BenchError, configuration, lab, output_of
from tests.bench.figure import Figure

INVENTORY = WORK / "hosts"


def make_hosts(names: list[str]) -> None:
    """Make blank hosts, and the inventory that names them."""
    lab("down", *names)
    lab("up", *names)
    shutil.rmtree(INVENTORY, ignore_errors=True)
    INVENTORY.mkdir(parents=True)
    (INVENTORY / "lab.yml").write_text(lab("inventory", *names))
    (INVENTORY / "group_vars").symlink_to(ROOT / "inventories" / "dev" / "group_vars")


def deploy(names: list[str], quantity: int) -> float:
    """Deploy the configuration with that quantity to these hosts; return how many seconds it took."""
    variables = json.dumps({"trading_engine_config": configuration(quantity)})
    command = ["ansible-playbook", "playbooks/deploy.yml", "-i", str(INVENTORY), "--limit", ",".join(names)]
    started = time.monotonic()
    output_of(*command, "-e", variables)
    return time.monotonic() - started


def measure(counts: list[int], runs: int) -> list[Figure]:
    """A new release and nothing new, for each number of hosts; the ratios are to the fewest hosts of the same run."""
    names = [f"bench{number}" for number in range(1, max(counts) + 1)]
    try:
        make_hosts(names)
        first = deploy(names, 1)
        quantities = count(2)
        seconds: dict[tuple[str, int], list[float]] = {}
        for _ in range(runs):
            for number in counts:
                # All hosts get each quantity once, so that it is new to all of them.
                quantity = next(quantities)
                seconds.setdefault(("new release", number), []).append(deploy(names[:number], quantity))
                seconds.setdefault(("nothing to do", number), []).append(deploy(names[:number], quantity))
    finally:
        lab("down", *names)
    figures = [Figure(f"first deploy, {len(names)} blank hosts", "s", [first])]
    for (kind, number), values in seconds.items():
        least = statistics.median(seconds[kind, counts[0]])
        figures += [
            Figure(f"{kind}, {number} hosts", "s", values),
            Figure(f"{kind}, {number} hosts, each", "s", [value / number for value in values]),
            Figure(f"{kind}, {number} hosts, to {counts[0]}", "x", [value / least for value in values]),
        ]
    return figures


def main() -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="hosts", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 4, 8], help="how many, each (default: 1 2 4 8)")
    parser.add_argument("--runs", type=int, default=3, help="of each measurement (default: 3)")
    parser.add_argument("--output", type=Path, default=WORK / "hosts.json", help="default: .cache/bench/hosts.json")
    arguments = parser.parse_args()
    try:
        figures = measure(sorted(arguments.hosts), arguments.runs)
    except BenchError as error:
        print(f"hosts: {error}", file=sys.stderr)
        return 1
    for figure in figures:
        print(figure.line())
    arguments.output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
