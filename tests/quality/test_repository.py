# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every file: its license stands in it, and nothing in it binds it to one machine or one mirror."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SPDX = "SPDX-License-Identifier: GPL-3.0-or-later"
# Cannot carry a comment, or are the license itself.
WITHOUT_SPDX = re.compile(r"^LICENSE$|\.(json|db|gz|zst|png|svg)$|/\.gitkeep$")
# Where packages come from is the machine's own setting. (An image's registry is part of the image's name.)
# Written so that this file does not hold what it looks for.
HOSTS = re.compile(
    r"\b(py[p]i\.org|pythonhosted\.[o]rg|(deb|security|snapshot|ftp)\S*\.debian\.[o]rg|registry-1\.docker\.[i]o"
    r"|npm[j]s\.(org|com)|galaxy\.ansible\.[c]om)\b"
)
MACHINE_PATHS = re.compile(r"(?<![\w./}$-])/(work|root/\.\w+|tmp/w)/\w")


def tracked_texts() -> dict[str, str]:
    """The text of every file that git tracks, by its name. Links and binary files are left out."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    texts = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if b"\0" not in content:
                texts[name] = content.decode()
    return texts


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    """Where in the repository the pattern matches, as ``file:line: match``."""
    return [
        f"{name}:{number}: {match.group()}"
        for name, text in tracked_texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]


def test_every_file_names_its_license() -> None:
    texts = tracked_texts()
    assert [name for name, text in texts.items() if SPDX not in text and not WITHOUT_SPDX.search(name)] == []


def test_no_package_index_or_mirror_is_named() -> None:
    assert lines_matching(HOSTS) == []


def test_no_path_of_one_machine_is_named() -> None:
    assert lines_matching(MACHINE_PATHS) == []


def test_roles_and_playbooks_use_no_collection_but_their_own() -> None:
    used = {
        match.group(1)
        for folder in ("roles", "playbooks")
        for path in (ROOT / folder).rglob("*.yml")
        for match in re.finditer(r"^\s*(?:- )?([a-z_]+\.[a-z_]+)\.[a-z_]+:", path.read_text(), re.MULTILINE)
    }
    assert used <= {"ansible.builtin", "ballast.trading"}, "galaxy.yml declares no dependency"


def test_the_changelog_has_no_release_newer_than_the_collection() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    releases = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text())["releases"]
    assert [name for name in releases if name > version] == []
