# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what the project costs: ``python -m tests.bench.bench [--runs N] [--output FILE]``.

Everything is measured on a lab host of its own, made anew for each first deploy, with the real playbooks, from the
start of ``ansible-playbook`` to its end; but for the simulator, which is measured first and here. Shown are medians,
with the fastest and the slowest run; the JSON holds all.
Machines differ, and one machine from hour to hour, so a ``ping`` task is measured in the same run, as a yardstick.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.figure import Figure
from tests.bench.venue import measure_venue

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".cache" / "bench"
INVENTORY = WORK / "inventory"
HOST = "bench"
PINGS = 20
STACK = "dev-main"


class BenchError(Exception):
    """Something that was to be measured did not work."""


def output_of(*command: str) -> str:
    """Run a command at the root of the checkout and return what it prints; ``BenchError`` when it fails."""
    environment = os.environ | {"NO_COLOR": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def lab(*arguments: str) -> str:
    """Run a verb of the lab."""
    return output_of(sys.executable, "-m", "tests.lab", *arguments)


def on_host(script: str) -> str:
    """Run a shell script on the host as root."""
    return lab("ssh", HOST, f"sudo sh -c '{script}'")


def play(playbook: str, **variables: Any) -> float:
    """Run a playbook against the host and return how many seconds it took."""
    started = time.monotonic()
    output_of("ansible-playbook", playbook, "-i", str(INVENTORY), "-e", json.dumps(variables))
    return time.monotonic() - started


def status() -> dict[str, Any]:
    """The stack's status, from the host tool."""
    (stack,) = json.loads(on_host("ballast status --json"))
    return dict(stack)


def renew_host() -> None:
    """Make a blank host, and the inventory that names it."""
    lab("down", HOST)
    lab("up", HOST)
    INVENTORY.mkdir(parents=True, exist_ok=True)
    (INVENTORY / "lab.yml").write_text(lab("inventory", HOST))
    variables = INVENTORY / "group_vars"
    variables.unlink(missing_ok=True)
    variables.symlink_to(ROOT / "inventories" / "dev" / "group_vars")


def configuration(quantity: int) -> dict[str, Any]:
    """An engine configuration that differs from every other quantity's."""
    parameters = {"symbol": "AAPL", "quantity": quantity, "interval_seconds": 2, "max_position": 20}
    return {"strategy": {"name": "demo", "parameters": parameters}}


def measure_deploys(runs: int) -> list[Figure]:
    """First deploys, deploys of nothing new, deploys of a new configuration, and rollbacks."""
    deploy, rollback = "playbooks/deploy.yml", "playbooks/rollback.yml"
    fresh, gaps = [], []
    for _ in range(runs):
        renew_host()
        fresh.append(play(deploy))
    nothing, pings = [], []
    for _ in range(runs):
        nothing.append(play(deploy))
        empty = play("tests/bench/ping.yml", pings=0)
        pings.append((play("tests/bench/ping.yml", pings=PINGS) - empty) / PINGS)
    loud = output_of("ansible-playbook", deploy, "-i", str(INVENTORY), "-vvv")
    changed = [play(deploy, trading_engine_config=configuration(number)) for number in range(1, runs + 1)]
    back = [play(rollback) for _ in range(runs)]
    for _ in range(runs):
        report = on_host(f"ballast rollback {STACK}")
        match = re.search(r"no engine traded for ([\d.]+) (ms|s)", report)
        if not match:
            raise BenchError(f"the rollback did not say for how long no engine traded:\n{report}")
        gaps.append(float(match[1]) / (1000 if match[2] == "ms" else 1))
    return [
        Figure("first deploy, blank host, images in registry", "s", fresh),
        Figure("deploy, nothing to do", "s", nothing),
        Figure("a ping task, the yardstick", "s", pings),
        Figure(
            "deploy, nothing to do, in ping tasks",
            "x",
            [whole / ping for whole, ping in zip(nothing, pings, strict=True)],
        ),
        Figure("deploy, nothing to do, round trips to the host", "", [loud.count("SSH: EXEC")]),
        Figure("deploy, new configuration", "s", changed),
        Figure("rollback", "s", back),
        Figure("no engine trades during a rollback", "s", gaps),
    ]


def measure_probes(runs: int) -> list[Figure]:
    """Twelve checks, by our module and by those of ansible-core."""
    slot = status()["slot"]
    none, ours, theirs = [], [], []
    for _ in range(runs):
        none.append(play("tests/bench/ping.yml", pings=0))
        ours.append(play("tests/bench/health_probe.yml", slot=slot))
        theirs.append(play("tests/bench/builtin.yml", slot=slot))
    whole = list(zip(none, ours, theirs, strict=True))
    return [
        Figure("a play without a task", "s", none),
        Figure("a play of 12 checks, health_probe", "s", ours),
        Figure("a play of 12 checks, a task each", "s", theirs),
        Figure("the play, how many times faster", "x", [slow / fast for _, fast, slow in whole]),
        Figure("the checks alone, how many times faster", "x", [(slow - no) / (fast - no) for no, fast, slow in whole]),
    ]


def measure_footprint() -> list[Figure]:
    """Sizes of the images, and resident memory of every process that runs for the stack."""
    slot = status()["slot"]
    figures = []
    for service in ("gateway", f"engine-{slot}"):
        container = f"ballast-{STACK}-{service}"
        image = on_host(f'docker inspect --format "{{{{.Image}}}}" {container}').strip()
        size = int(on_host(f'docker image inspect --format "{{{{.Size}}}}" {image}'))
        figures.append(Figure(f"image of {service}", "MB", [size / 1e6]))
        process = on_host(f'docker inspect --format "{{{{.State.Pid}}}}" {container}').strip()
        figures.append(Figure(f"memory of {service}", "MB", [resident(process)]))
    for unit in (f"ballast-gateway@{STACK}", f"ballast-engine@{STACK}-{slot}"):
        main = on_host(f"systemctl show --property=MainPID --value {unit}").strip()
        for line in on_host(f"ps -o pid=,comm= --pid {main} --ppid {main}").splitlines():
            process, command = line.split()
            figures.append(Figure(f"memory of {unit}, {command}", "MB", [resident(process)]))
    return figures


def resident(process: str) -> float:
    """Resident memory of a process on the host, in MB."""
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", on_host(f"cat /proc/{process}/status"))
    return int(kilobytes) * 1024 / 1e6


def main() -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--output", type=Path, default=WORK / "results.json", help="default: .cache/bench/results.json")
    arguments = parser.parse_args()
    try:
        figures = []
        for measure in (measure_venue, measure_deploys, measure_probes):
            for figure in measure(arguments.runs):
                print(figure.line(), flush=True)
                figures.append(figure)
        for figure in measure_footprint():
            print(figure.line(), flush=True)
            figures.append(figure)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        lab("down", HOST)
    arguments.output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
