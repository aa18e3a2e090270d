# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a release's engine works with the ledger as it is by now.

A release declares as ``ledger_schemas`` of its service.json the ``oldest`` and ``newest`` schema that its engine works
with; what declares nothing has no ledger of ours, or is older than this rule, and is not judged.
"""

from __future__ import annotations

from .releases import Release
from .sqlite_read import DatabaseFileError, opened, pragma
from .stack import Stack

BUSY_SECONDS = 5.0


def declared(release: Release) -> tuple[int, int] | None:
    """The oldest and newest schema that a release's engine works with, or None when it does not say."""
    try:
        schemas = release.service("engine").get("ledger_schemas")
        return (int(schemas["oldest"]), int(schemas["newest"])) if schemas else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def misfit(stack: Stack, release: Release) -> str | None:
    """Why the engine of a release cannot work with the stack's ledger, and the way out, or None when it can.

    A ledger that cannot be read is the engine's to report, and that of the ledger's own checks.
    """
    schemas = declared(release)
    if schemas is None or not stack.ledger.exists():
        return None
    try:
        with opened(stack.ledger, timeout=BUSY_SECONDS) as connection:
            version = int(pragma(connection, "user_version"))
    except (DatabaseFileError, OSError, ValueError):
        return None
    oldest, newest = schemas
    if oldest <= version <= newest:
        return None
    found = f"the ledger has schema {version}, and the engine of release {release.id} works with {oldest} to {newest}"
    if version < oldest:
        return f"{found}; deploy, which migrates the ledger"
    return (
        f"{found}; deploy a release that declares schema {version}, or restore the snapshot that was taken before"
        f" migration {newest + 1:04} ({stack.backups}/*-before-{newest + 1:04}*, see docs/operations.md), which loses"
        " what was written since"
    )
