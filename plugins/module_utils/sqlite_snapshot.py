# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verified snapshots of a SQLite database that may be in use."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .content import FileProblem, content_sha256_of, private, program, require_space, sha256_of
from .manifest import Backup, BackupError, Draft, encrypt, pruned, require_name, require_recipient, workplace
from .sqlite_read import (
    check_foreign_keys,
    check_structure,
    copy_online,
    count_rows,
    hash_schema,
    hash_tables,
    opened,
    pragma,
    table_names,
)


def snapshot(
    source: Path,
    directory: Path,
    *,
    name: str = "ledger",
    stack: str | None = None,
    keep_days: Mapping[str, int] | None = None,
    compress: bool = True,
    recipient: str | None = None,
    timeout: float = 30.0,
    now: datetime | None = None,
) -> Backup:
    """Makes a verified snapshot of the database `source` in the existing `directory`, then removes those too old.

    The copy is one moment of the database, made while others write. It is published only after it proved to be whole
    (structure, foreign keys), to hold the rows and the schema that the source had in that very moment, and, with
    `compress` (zstd), to decompress to the same bytes. Then it is encrypted for the `recipient`, a public key of
    age, if there is one. Everything is synced before the manifest appears. `keep_days` is what :func:`prune` takes;
    None removes none. `timeout` is the wait for a lock of the database in seconds. Only one run per directory at a
    time. Raises BackupError.
    """
    require_name(name)
    require_recipient(recipient)
    draft = Draft(directory, name, now or datetime.now(timezone.utc))
    try:
        for needed in ["sqlite3", *(["zstd"] if compress else []), *(["age"] if recipient else [])]:
            program(needed)
        with workplace(directory):
            draft.refuse_existing()
            content = draft.partial(".db")
            described = copy_verified(source, content, timeout, space_factor=2.1 if compress else 1.1)
            manifest = {
                "class": "snapshot",
                "stack": stack,
                "source": str(source),
                "content": {"size_bytes": content.stat().st_size, "sha256": sha256_of(content)},
                **described,
            }
            partial = _compress(content) if compress else content
            if compress and content_sha256_of(partial) != manifest["content"]["sha256"]:
                raise BackupError(
                    f"{partial} does not decompress to what was compressed: check this host's memory and disk"
                )
            taken = draft.publish(encrypt(partial, recipient) if recipient else partial, manifest)
        return pruned(taken, keep_days) if keep_days is not None else taken
    except FileProblem as error:
        raise BackupError(f"no snapshot of {source} was made: {error}") from error
    except OSError as error:
        where = error.filename or directory
        raise BackupError(f"no snapshot of {source} was made: {where}: {error.strerror or error}") from error


def copy_verified(source: Path, copy: Path, timeout: float, *, space_factor: float = 1.1) -> dict[str, Any]:
    """Copies a database that may be in use into the new file `copy`, and returns what is in it, in a manifest's words.

    `space_factor`: how many times the size of the database must be free beside the copy. BackupError when the source is
    empty or damaged, or the copy not the same; FileProblem when one cannot be used.
    """
    with opened(source, timeout) as connection:
        size = pragma(connection, "page_size") * pragma(connection, "page_count")
        require_space(copy.parent, int(size * space_factor))  # a compressed copy may save nothing
        connection.execute("BEGIN")  # what is counted and what is copied are one moment
        expected = _describe(connection)
        if not expected["tables"]:
            raise BackupError(f"{source} has no tables: there is nothing to back up; is it the right database?")
        copy_online(connection, copy, timeout)
        connection.execute("COMMIT")
    return _verify_copy(copy, expected)


def _describe(connection: sqlite3.Connection) -> dict[str, Any]:
    """What must be equal in a database and in its copy, in the manifest's words."""
    return {
        "user_version": pragma(connection, "user_version"),
        "application_id": pragma(connection, "application_id"),
        "schema_sha256": hash_schema(connection),
        "tables": {table: {"rows": count_rows(connection, table)} for table in table_names(connection)},
    }


def _verify_copy(content: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Describes the copy, with a hash of every table's rows; BackupError unless it is sound and as expected."""
    with opened(content, scratch=True) as connection:
        problems = check_structure(connection, thorough=True) + check_foreign_keys(connection)
        if problems:
            raise BackupError(f"no snapshot was made, because the database itself is damaged: {'; '.join(problems)}")
        described = _describe(connection)
    if described != expected:
        raise BackupError(f"the copy is not what the database was: expected {expected}, copied {described}")
    for table, digest in hash_tables(content, described["tables"]).items():
        described["tables"][table]["row_hash"] = digest
    return described


def _compress(content: Path) -> Path:
    """Compresses with zstd, which adds a checksum (Python's zstandard would not), and returns the new file."""
    compressed = Path(f"{content}.zst")
    with content.open("rb") as plain, open(compressed, "xb", opener=private) as target:
        command = [program("zstd"), "-q", "-3", "--check", "-c"]
        done = subprocess.run(command, stdin=plain, stdout=target, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise BackupError(f"zstd could not compress {content}: {done.stderr.decode(errors='replace').strip()}")
    return compressed
