# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who acts from a controller, for release.json and the journal."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from typing import Any


def origin(folder: str) -> dict[str, Any]:
    """The user, the controller, and the commit of the playbook's repository at ``folder`` (None outside of one)."""
    return {"user": _user(), "controller": socket.gethostname(), "commit": _commit(folder)}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return f"uid {os.getuid()}"


def _commit(folder: str) -> str | None:
    """The commit, with ``+changes`` when files differ from it."""
    try:
        git = ["git", "-C", folder]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changes else commit
