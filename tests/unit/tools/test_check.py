# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the checks are run."""

from __future__ import annotations

from tests.tools import check


def test_every_scenario_works_in_a_folder_of_its_own_within_the_checkout() -> None:
    jobs = check.jobs_of("molecule", [])
    folders = {word.partition("=")[2] for job in jobs for word in job.command if "EPHEMERAL_DIRECTORY=" in word}
    assert len(folders) == len(jobs) > 0
    assert all(folder.startswith(f"{check.ROOT}/.cache/") for folder in folders)
