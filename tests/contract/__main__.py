# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does an image keep the engine contract? ``python -m tests.contract IMAGE``: one line for each rule.

Exit status: 0 every rule is kept, 1 one is broken, 2 none is broken but not every one was shown, 3 it could not be run.
"""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab import engine as docker_engine
from tests.lab.checkout import LabError

from .rules import RULES, STORIES, Verdict, Verdicts, judge
from .stage import ContainerStage, ProcessStage, Stage

KEPT, BROKEN, NOT_SHOWN, NOT_RUN = range(4)
_WORDS = {"kept": "kept", "broken": "BROKEN", "not shown": "not shown"}


def main(arguments: list[str] | None = None) -> int:
    """Run the suite and return the exit status."""
    given = _parser().parse_args(arguments)
    try:
        make_stage = _stage_maker(given)
        started = time.monotonic()
        verdicts = judge(make_stage, Verdicts(_progress if given.verbose else None), tuple(given.story))
    except (LabError, RuntimeError, OSError) as error:
        print(f"contract: {error}", file=sys.stderr)
        return NOT_RUN
    return report(verdicts, time.monotonic() - started)


def report(verdicts: Verdicts, seconds: float) -> int:
    """Print a line for each rule and return the exit status."""
    count = dict.fromkeys(_WORDS, 0)
    for name, text in RULES.items():
        verdict, seen = verdicts.of(name)
        count[verdict] += 1
        label = "wanted" if verdict == "broken" else "rule"
        print(f"{_WORDS[verdict]:<10}{name:<20}{label}: {text}")
        if seen:
            print(f"{'':<30}{seen if verdict == 'broken' else f'seen: {seen}'}")
    print(f"\n{count['kept']} kept, {count['broken']} broken, {count['not shown']} not shown, {seconds:.0f} s")
    return BROKEN if count["broken"] else NOT_SHOWN if count["not shown"] else KEPT


def _progress(name: str, verdict: Verdict, seen: str) -> None:
    print(f"... {name}: {verdict}: {seen}", file=sys.stderr, flush=True)


def _stage_maker(given: argparse.Namespace) -> Callable[[], Stage]:
    command = shlex.split(given.command)
    if given.process:
        return functools.partial(ProcessStage, command or shlex.split(given.image), given.config)
    docker_engine.ensure()
    if docker_engine.connect().images.list(given.image) == []:
        raise LabError(f"the Docker Engine has no image {given.image}; build or pull it first")
    return functools.partial(ContainerStage, given.image, command, given.config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.contract", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("image", help="the image, by a name that the Docker Engine knows")
    parser.add_argument("--command", default="", help="what to run in it, if not the image's own command")
    parser.add_argument("--config", type=Path, help="a folder for /etc/engine, with which the engine trades at once")
    parser.add_argument("--process", action="store_true", help="IMAGE is a command of this machine, not an image")
    names = [story.__name__ for story in STORIES]
    parser.add_argument("--story", action="append", default=[], choices=names, help="only this one; may be repeated")
    parser.add_argument("--verbose", action="store_true", help="tell each verdict as it is found")
    return parser


if __name__ == "__main__":
    sys.exit(main())
