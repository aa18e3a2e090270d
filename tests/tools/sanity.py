# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test's sanity tests on this collection: ``python -m tests.tools.sanity [option of ansible-test ...]``.

ansible-test accepts a collection only at ``.../ansible_collections/<namespace>/<name>``, and follows no link to get
there. So the files that git knows (and new ones it does not ignore) are copied below ``.cache/sanity`` and tested
there, with a home of its own. Images and tests are not part of what is published, and stay behind: the stage ``lint``
checks them.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "sanity"
HOME = CACHE / "home"
COLLECTION = CACHE / "ansible_collections" / "ballast" / "trading"
LEFT_OUT = ("collections/", "images/", "molecule/", "tests/")
KEPT = ("tests/config.yml", "tests/sanity/")
# The name under which ansible-core 2.19 looks for the script with which it bootstraps pip in its environments.
GET_PIP = HOME / ".ansible" / "test" / "cache" / "get_pip_24_2.py"


def copy_collection() -> None:
    """Lay the collection out anew at ``COLLECTION``."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    shutil.rmtree(COLLECTION, ignore_errors=True)
    COLLECTION.mkdir(parents=True)
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, COLLECTION / name
        if name.startswith(LEFT_OUT) and not name.startswith(KEPT):
            continue
        if not source.exists():  # a deleted file is listed until the deletion is committed
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    # Without a repository of its own, ansible-test would ask the enclosing one, which ignores everything below .cache.
    subprocess.run(["git", "init", "--quiet"], cwd=COLLECTION, check=True)


def prepare_home() -> None:
    """Make the home that ansible-test keeps its environments in.

    It passes neither ``PIP_*`` nor ``XDG_*`` on, so the pip settings in force here are written down there; and it would
    download pip, which every Python brings along.
    """
    GET_PIP.parent.mkdir(parents=True, exist_ok=True)
    GET_PIP.write_text('import ensurepip\nensurepip._main(["--upgrade", "--default-pip"])\n')
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    options = {"quiet": "2"}
    for line in settings.splitlines():  # global.find-links='/opt/wheels'
        key, _, value = line.partition("=")
        options[key.rpartition(".")[2]] = " ".join(ast.literal_eval(value).split())
    config = HOME / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))


def main(arguments: list[str]) -> int:
    """Run the tests that this machine can run, on the Python that runs this. Return ansible-test's exit status."""
    copy_collection()
    prepare_home()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--color", "no", "--python", version]
    environment = os.environ | {"HOME": str(HOME)}
    return subprocess.run([*command, *arguments], cwd=COLLECTION, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
