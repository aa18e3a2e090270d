# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environments have the clients that the simulator is for, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients import environments

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


def test_an_environment_is_made_once_by_whoever_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Path] = []
    monkeypatch.setattr(environments, "CACHE", tmp_path)
    monkeypatch.setattr(environments, "_install", lambda home, _requirements: made.append(home))
    with ThreadPoolExecutor(4) as pool:
        pythons = list(pool.map(environments.python_of, ["ib_async"] * 4))
    assert len(set(pythons)) == len(made) == 1
    assert pythons[0].exists()


def test_an_environment_that_was_half_made_is_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environments, "CACHE", tmp_path)

    def fail(home: Path, _requirements: Path) -> None:
        (home / "leftover").touch()
        raise RuntimeError("no index")

    monkeypatch.setattr(environments, "_install", fail)
    with pytest.raises(RuntimeError, match="no index"):
        environments.python_of("ib_async")
    monkeypatch.setattr(environments, "_install", lambda _home, _requirements: None)
    python = environments.python_of("ib_async")
    assert python.exists()
    assert not (python.parent.parent / "leftover").exists()
