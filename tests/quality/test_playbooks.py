# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks refuse before they speak to any host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("options", [[], ["--tags", "ledger"]], ids=["whole", "tagged"])
@pytest.mark.parametrize(("playbook", "environment"), [("dev", "paper"), ("paper", "live"), ("live", "paper")])
def test_a_playbook_refuses_the_inventory_of_another_environment(
    playbook: str, environment: str, options: list[str], tmp_path: Path
) -> None:
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(f"[trading_hosts]\ntrader1 ballast_environment={environment}\n")
    command = ["ansible-playbook", f"playbooks/{playbook}.yml", "--inventory", str(inventory), *options]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    message = f"ballast_environment of trader1 is '{environment}', wanted '{playbook}'"
    assert message in " ".join(done.stdout.split())
    assert "Deploy the stack" not in done.stdout
