# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a file that may be compressed and encrypted, as the end of its name says, and its checksum.

Nothing here holds more than a few chunks in memory: the programs zstd and age work beside this one, through pipes.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

_CHUNK = 1 << 20
_ZSTD_MEMORY = "--memory=128MB"  # a window that takes more was not written by us


class FileProblem(Exception):
    """A file cannot be used.

    `kind` is missing, not_a_database, damaged, locked, no_space or unusable; the message is for the operator.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def program(name: str) -> str:
    """The path of a program; FileProblem (unusable) that names the package when it is not installed."""
    found = shutil.which(name)
    if found is None:
        raise FileProblem("unusable", f"the program {name} is not installed on this host; install the package {name}")
    return found


def private(path: str, flags: int) -> int:
    """An opener for files that only the owner may read, whatever the umask."""
    return os.open(path, flags, 0o600)


def sha256_of(path: Path) -> str:
    """SHA-256 hex of a file."""
    return _sha256(_chunks(path))


def content_sha256_of(path: Path, identity: Path | None = None) -> str:
    """SHA-256 hex of what :func:`content_of` yields."""
    return _sha256(content_of(path, identity))


def _sha256(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def plain_name(name: str) -> str:
    """A file name without the endings that say how the content is packed: `a.db.zst.age` is `a.db`."""
    for endings in ((".age",), (".gz", ".xz", ".zst")):
        name = next((name[: -len(ending)] for ending in endings if name.endswith(ending)), name)
    return name


def content_of(path: Path, identity: Path | None = None) -> Iterator[bytes]:
    """The content of a file in chunks: decrypted when its name ends in .age, decompressed after .gz, .xz or .zst.

    `identity` is the file with the private key for .age. A file that ends too early, or does not fit the checksum it
    carries, is an error: FileProblem (damaged); a key that does not fit says nothing of the file (unusable). Only age
    and gzip always carry checksums. The programs xz and zstd add them unless told not to, but libraries write .zst
    without: in such a file a changed byte is found only by what looks at the content.
    """
    name = path.name
    with contextlib.ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(path.open("rb"))
        filters: list[_Filter] = []
        if name.endswith(".age"):
            if identity is None:
                raise FileProblem("unusable", f"{path} is encrypted, and no identity file (the private key) was given")
            if not identity.is_file():
                raise FileProblem("unusable", f"{path} is encrypted, and the identity file {identity} does not exist")
            filters.append(stack.enter_context(_Filter([program("age"), "-d", "-i", str(identity)], stream)))
            stream, name = filters[-1].output, name[: -len(".age")]
        if name.endswith(".zst"):
            filters.append(stack.enter_context(_Filter([program("zstd"), "-dcq", _ZSTD_MEMORY], stream)))
            stream = filters[-1].output
        elif name.endswith((".gz", ".xz")):
            opener: Callable[..., Any] = gzip.open if name.endswith(".gz") else lzma.open
            stream = stack.enter_context(opener(stream))
        while True:
            try:
                chunk = stream.read(_CHUNK)
            except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
                _complain(filters, path)
                raise FileProblem("damaged", f"the compressed data of {path} is damaged: {error}") from error
            if not chunk:
                break
            yield chunk
        _complain(filters, path)


def _complain(filters: Sequence[_Filter], path: Path) -> None:
    """FileProblem for the first program of the row that did not like what it was given."""
    for one in filters:
        complaint = one.complaint()
        if complaint is not None and "no identity matched" in complaint:
            raise FileProblem("unusable", f"{path} was encrypted for another key than the one given ({complaint})")
        if complaint is not None:
            state = "encrypted" if one.name == "age" else "compressed"
            raise FileProblem("damaged", f"the {state} data of {path} is damaged: {complaint}")


class _Filter:
    """A program that reads `source` and whose standard output is read here; its end ends with the block."""

    def __init__(self, command: list[str], source: IO[bytes]) -> None:
        self.name = Path(command[0]).name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=self._errors)
        self.output = cast("IO[bytes]", self._process.stdout)  # it is a pipe

    def __enter__(self) -> _Filter:
        return self

    def __exit__(self, *_error: object) -> None:
        self.output.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def complaint(self) -> str | None:
        """What the program said when it failed; None when it did not. Its output was read to the end."""
        # The next one in the row, if it failed, has left output unread: this one would wait for ever to write it.
        self.output.close()
        if self._process.wait() in (0, -13, 141):  # ended well, or by nobody reading on
            return None
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        said = [line for line in lines if line.strip() and "report unexpected" not in line]
        return "; ".join(line.strip() for line in said) or f"status {self._process.returncode}"


@contextlib.contextmanager
def scratch(prefix: str, directory: Path | None = None) -> Iterator[Path]:
    """A private folder for the time of the block; what killed runs left under the same `prefix` is removed first.

    A folder is locked while its process lives, and the kernel drops the lock however that ends.
    """
    parent = Path(directory or tempfile.gettempdir())
    for old in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), _locked(old):
            shutil.rmtree(old)
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            # Another run may have taken it for an old one before the lock: then it is gone, and the next is tried.
            with contextlib.suppress(OSError):
                stack.enter_context(_locked(folder))
                if folder.exists():
                    break
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder; OSError when another process has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def require_space(folder: Path, needed: int) -> None:
    """FileProblem (no_space) when the file system of `folder` has less than `needed` bytes left."""
    available = shutil.disk_usage(folder).free
    if available < needed:
        raise FileProblem("no_space", f"{folder} has {available} bytes free, {needed} are needed")
