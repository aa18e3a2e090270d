# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as its users get it: built, installed somewhere else, and read with ansible-doc."""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py") if path.stem != "__init__")
ROLES = sorted(path.parent.name for path in (ROOT / "roles").glob("*/tasks"))


class Installed:
    """The installed collection, in a folder that knows nothing of this repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
        }

    def run(self, *command: str) -> str:
        """Run a command there and return what it prints."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def documentation(self, kind: str, names: list[str]) -> dict[str, Any]:
        """What ansible-doc says about the plugins or roles of these names."""
        found: dict[str, Any] = json.loads(self.run("ansible-doc", "--json", "--type", kind, *names))
        return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "home").mkdir()
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (artefact,) = folder.glob("ballast-trading-*.tar.gz")
    collection = Installed(folder)
    collection.run("ansible-galaxy", "collection", "install", "--offline", "-p", "collections", str(artefact))
    return collection


def test_the_artefact_holds_no_more_than_its_users_need(installed: Installed) -> None:
    content = installed.folder / "collections" / "ansible_collections" / "ballast" / "trading"
    wanted = {"plugins", "roles", "playbooks", "meta", "docs", "inventories", "changelogs"}
    assert {path.name for path in content.iterdir() if path.is_dir()} <= wanted


def test_the_artefact_takes_no_secrets_along() -> None:
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text())["build_ignore"]
    for example in (ROOT / "inventories").rglob("vault.yml.example"):
        vault = str(example.with_suffix("").relative_to(ROOT))
        assert any(fnmatch.fnmatch(vault, pattern) for pattern in ignored), vault


def test_ansible_doc_renders_every_module(installed: Installed) -> None:
    names = [f"ballast.trading.{name}" for name in MODULES]
    documentation = installed.documentation("module", names)
    assert sorted(documentation) == names
    assert [name for name, text in documentation.items() if not text["examples"] or not text["return"]] == []


def test_ansible_doc_renders_every_role(installed: Installed) -> None:
    names = [f"ballast.trading.{name}" for name in ROLES]
    documentation = installed.documentation("role", names)
    assert sorted(documentation) == names
    assert [name for name, text in documentation.items() if "main" not in text["entry_points"]] == []


def test_every_playbook_is_found_by_its_full_name(installed: Installed) -> None:
    playbooks = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
    for name in playbooks:
        installed.run("ansible-playbook", "--syntax-check", "-i", "localhost,", f"ballast.trading.{name}")


def test_the_version_is_the_one_that_the_modules_were_added_in_or_newer(installed: Installed) -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    documentation = installed.documentation("module", [f"ballast.trading.{name}" for name in MODULES])
    assert [name for name, text in documentation.items() if text["doc"]["version_added"] > version] == []
