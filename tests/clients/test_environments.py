# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environments have the clients that the simulator is for, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

PROGRAM = """
import importlib.metadata, json, sys
print(json.dumps([importlib.metadata.version(sys.argv[1]), sys.prefix]))
"""


@pytest.mark.parametrize(
    ("client", "version"),
    [("ib_async", "2.1.0"), ("ib_insync", "0.9.86"), ("ibapi", "9.81.1.post1"), ("nautilus_ibapi", "10.46.1")],
)
def test_every_client_is_installed_in_an_environment_of_its_own(
    pythons: Mapping[str, Path], client: str, version: str
) -> None:
    python = pythons[client]
    done = subprocess.run([python, "-I", "-c", PROGRAM, client], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [version, str(python.parent.parent)]
