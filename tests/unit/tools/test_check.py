# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the checks are run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools import check


def test_every_scenario_works_in_a_folder_of_its_own_within_the_checkout() -> None:
    jobs = check.jobs_of("molecule", [])
    folders = {word.partition("=")[2] for job in jobs for word in job.command if "EPHEMERAL_DIRECTORY=" in word}
    assert len(folders) == len(jobs) > 0
    assert all(folder.startswith(f"{check.ROOT}/.cache/") for folder in folders)


SCENARIOS = ("first", "second", "third", "fourth")


@pytest.fixture
def scenarios(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[check.Job]]:
    """Makes the stage molecule of shell commands, one a scenario."""
    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "LOGS", tmp_path)

    def make(**commands: str) -> list[check.Job]:
        jobs = [
            check.Job("molecule", name, ["sh", "-c", command], re.compile("shown"), f"{name}: ")
            for name, command in commands.items()
        ]
        monkeypatch.setattr(check, "jobs_of", lambda _stage, _options: jobs)
        return jobs

    return make


def test_scenarios_run_two_at_a_time(scenarios: Callable[..., object], tmp_path: Path) -> None:
    # The first two wait for one another; each tells how many there are.
    told = "set -- running-*; echo $#; sleep 0.2; rmdir running-$$"
    meet = (
        f"mkdir running-$$; for _ in $(seq 200); do set -- running-*; [ $# -ge 2 ] && break; sleep 0.05; done; {told}"
    )
    scenarios(first=meet, second=meet, third=f"mkdir running-$$; {told}", fourth=f"mkdir running-$$; {told}")
    assert [result.status for result in check.run_stages(["molecule"], [])] == [0] * 4
    first, second, *others = ((tmp_path / f"molecule-{name}.log").read_text() for name in SCENARIOS)
    assert first == second == "2\n"
    assert {*others} <= {"1\n", "2\n"}


def test_what_scenarios_show_is_told_apart_by_their_names(
    scenarios: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    scenarios(first="echo shown 1; echo kept", second="echo shown 2")
    check.run_stages(["molecule"], [])
    lines = capsys.readouterr().out.splitlines()
    assert {"first: shown 1", "second: shown 2"} <= set(lines)
    assert "kept" not in " ".join(lines)


def test_no_scenario_begins_after_one_that_failed(
    scenarios: Callable[..., object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "AT_A_TIME", 1)
    scenarios(first="echo why it failed; exit 1", second="echo shown")
    results = check.run_stages(["molecule"], [])
    output = capsys.readouterr().out
    assert [result.job.name for result in results] == ["first"]
    assert "why it failed" in output
    assert "molecule: second: not run, because something before it failed" in output
