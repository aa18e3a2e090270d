# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real clients, each in a virtual environment of its own, made once from its pinned requirements."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
CACHE = Path(__file__).parent.parent.parent / ".cache" / "clients"
# client -> what is installed, one after the other: a source distribution needs the tool that builds it.
CLIENTS = {
    "ib_async": ("ib_async",),
    "ib_insync": ("ib_insync",),
    "ibapi": ("setuptools", "ibapi"),
    "nautilus_ibapi": ("nautilus_ibapi",),
}


def python_of(client: str) -> Path:
    """Return the Python of a client's environment, which is made when there is none of these requirements.

    Of two processes that need it at once, one makes it and the other waits. Raises RuntimeError with pip's words.
    """
    steps = [REQUIREMENTS / f"{step}.txt" for step in CLIENTS[client]]
    content = b"".join(step.read_bytes() for step in steps)
    key = hashlib.sha256(content + f"{sys.implementation.cache_tag} {sys.base_prefix}".encode()).hexdigest()
    home = CACHE / f"{client}-{key[:12]}"
    ready = home / "ready"
    if not ready.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / f"{home.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists():
                # One that was half made, by a process that was killed, is begun anew.
                venv.create(home, clear=True, symlinks=True)
                for step in steps:
                    _install(home, step)
                ready.touch()
    return home / "bin" / "python"


def _install(home: Path, requirements: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet"]
    command += ["--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--require-hashes"]
    done = subprocess.run([*command, "-r", str(requirements)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{home.name} cannot be made:\n{done.stderr}")
