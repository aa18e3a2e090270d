# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of a stack: everything that a blank host needs to be that stack again, but its secrets.

An archive is a tar file, compressed by zstd with a checksum and encrypted by age when there is a recipient. Its one
folder has the name of the archive; below `host` lie the files at the paths that they have on the host, the ledger among
them as a verified snapshot; beside it `SHA256SUMS`, for `sha256sum --check`, and `manifest.json`, which says the same
as the manifest beside the archive. So `age`, `zstd`, `tar` and `sha256sum` are all it takes to open and prove one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, cast

from .content import FileProblem, content_of, private, program, require_space, scratch, sha256_of
from .manifest import Backup, BackupError, Draft, encrypt, list_backups, require_recipient, workplace
from .sqlite_read import TimeLimit
from .sqlite_snapshot import copy_verified
from .sqlite_verify import SCRATCH, CheckFailed, Verification, check, load_manifest, verify
from .stack import Stack

PARTS = ("configuration", "releases", "journal", "logs", "state")
"""What is in an archive beside the ledger, unless settings say otherwise."""
CLASSES = ("daily", "monthly", "audit")
_CHUNK = 1 << 20
_LEAST_SECRET = 6  # a shorter value is in many a file by chance
_NO_SECRETS = ("USER", "USERID", "USERNAME", "LOGIN", "TWOFA_DEVICE", "TRADING_MODE")


def archive(
    stack: Stack,
    *,
    parts: Iterable[str] = PARTS,
    paths: Iterable[Path] = (),
    recipient: str | None = None,
    retention_class: str | None = None,
    timeout: float = 30.0,
    now: datetime | None = None,
) -> Backup:
    """Makes a verified archive of a stack that may be running, in its directory of backups.

    `parts` are some of PARTS, `paths` more files or folders on the host, such as the code of algorithms. It is
    published only after every file in it was read back and found to be as it was read, and the ledger to be what it
    was. Files that hold a secret of the stack are left out and named in the manifest, as are all secrets, by name
    only. `retention_class` is one of CLASSES; None makes the first archive of a quarter `audit`, the first of a month
    `monthly` and every other one `daily`. Raises BackupError, with nothing left behind.
    """
    require_recipient(recipient)
    draft = Draft(stack.backups, stack.name, now or datetime.now(timezone.utc))
    try:
        for needed in ["sqlite3", "zstd", *(["age"] if recipient else [])]:
            program(needed)
        with workplace(stack.backups):
            draft.refuse_existing()
            chosen = retention_class or _class_of(draft.moment, list_backups(stack.backups))
            ledger = draft.partial(".db")
            described = copy_verified(stack.ledger, ledger, timeout, space_factor=2.2)
            with _Writer(draft.partial(".tar.zst"), draft.stem) as tar:
                tar.add_ledger(stack, ledger)
                secrets = _secrets(stack)
                for root, skip in _roots(stack, parts, paths):
                    tar.add_tree(stack.root, root, skip, secrets)
                manifest = {
                    "class": chosen,
                    "stack": stack.name,
                    "release": _release(stack),
                    "parts": sorted(parts),
                    "secrets": sorted(secrets),
                    "left_out": tar.left_out,
                    "files": tar.files,
                    "ledger": {"file": tar.ledger, **described},
                    "journal_head": tar.journal_head,
                    "tool_versions": _tool_versions(),
                }
                tar.finish(manifest)
            manifest["content"] = {"size_bytes": tar.size_bytes, "sha256": tar.sha256}
            ledger.unlink()
            problems = [one.detail for one in _read_back(tar.path, manifest).problems]
            if problems:
                raise BackupError(f"no archive of {stack.name} was made: it cannot be read back: {'; '.join(problems)}")
            return draft.publish(encrypt(tar.path, recipient) if recipient else tar.path, manifest)
    except FileProblem as error:
        raise BackupError(f"no archive of {stack.name} was made: {error}") from error
    except OSError as error:
        where = error.filename or stack.backups
        raise BackupError(f"no archive of {stack.name} was made: {where}: {error.strerror or error}") from error


def _class_of(moment: datetime, backups: Iterable[Backup]) -> str:
    archives = [one for one in backups if one.kind == "archive" and one.problem is None]

    def first(retention_classes: Iterable[str], same: Callable[[datetime], tuple[int, int]]) -> bool:
        return not any(
            one.retention_class in retention_classes and same(one.created_at) == same(moment) for one in archives
        )

    if first(["audit"], lambda at: (at.year, (at.month - 1) // 3)):
        return "audit"
    return "monthly" if first(["audit", "monthly"], lambda at: (at.year, at.month)) else "daily"


def _release(stack: Stack) -> str | None:
    """The release that the stack runs."""
    with contextlib.suppress(OSError):
        return (stack.opt / "current").readlink().name if hasattr(Path, "readlink") else None
    return None


def _tool_versions() -> dict[str, str]:
    """What wrote the archive, for whoever must open it in seven years."""
    versions = {}
    for name, argument in (("zstd", "--version"), ("age", "--version"), ("sqlite3", "--version")):
        with contextlib.suppress(FileProblem, OSError):
            done = subprocess.run([program(name), argument], capture_output=True, text=True, check=False)
            versions[name] = done.stdout.strip()
    return versions


# --- What goes in -----------------------------------------------------------------------------------------------------


def _roots(stack: Stack, parts: Iterable[str], paths: Iterable[Path]) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """The files and folders that go in, each with what below it does not."""
    logs = stack.journal.parent
    known: dict[str, tuple[Path, tuple[Path, ...]]] = {
        "configuration": (stack.etc, (stack.etc / "secrets",)),
        "releases": (stack.opt, ()),
        "journal": (stack.journal, ()),
        "logs": (logs, (stack.journal,)),
        # What the lease and a switch under way say is true of this moment alone.
        "state": (stack.state, tuple(stack.state / name for name in ("ledger", "lease", "control"))),
    }
    for part in parts:
        if part not in known:
            raise BackupError(f"{part!r} is no part of an archive; wanted some of {', '.join(known)}")
        yield known[part]
    for path in paths:
        if not path.is_absolute() or not path.exists():
            raise BackupError(f"the path {path} to archive does not exist, or is not absolute")
        yield path, (stack.etc / "secrets",)


def _secrets(stack: Stack) -> dict[str, bytes]:
    """The stack's secrets by name: of a file its content, of one of NAME=VALUE lines every value that is a secret."""
    found = {}
    folder = stack.etc / "secrets"
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if not path.is_file():
            continue
        name = str(path.relative_to(folder))
        lines = path.read_bytes().splitlines()
        pairs = [line.partition(b"=") for line in lines if line.strip()]
        if path.suffix == ".env":
            values = {f"{name}:{key.decode(errors='replace')}": value.strip(b"\"'") for key, _sign, value in pairs}
            found.update({key: value for key, value in values.items() if not key.endswith(_NO_SECRETS)})
        else:
            found[name] = path.read_bytes().strip()
    return found


def _secret_in(path: Path, size: int, secrets: Mapping[str, bytes]) -> str | None:
    """The name of a secret that the first `size` bytes of a file hold."""
    wanted = {name: value for name, value in secrets.items() if len(value) >= _LEAST_SECRET}
    longest = max(map(len, wanted.values()), default=0)
    tail = b""
    with path.open("rb") as file:
        while wanted and size > 0 and (chunk := file.read(min(_CHUNK, size))):
            size -= len(chunk)
            window = tail + chunk
            for name, value in wanted.items():
                if value in window:
                    return name
            tail = window[-longest:]
    return None


class _Hashing(io.RawIOBase):
    """Passes on what is read from, or written to, a file, and knows its checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()
        self.discard = False

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._count(chunk)
        return chunk

    def write(self, data: Any) -> int:
        if not self.discard:
            self._file.write(data)
        self._count(data)
        return len(data)

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)


class _Writer:
    """Writes one archive, a file after the other, through zstd."""

    def __init__(self, path: Path, stem: str) -> None:
        self.path = path
        self.files: dict[str, dict[str, Any]] = {}
        self.left_out: list[dict[str, str]] = []
        self.ledger = ""
        self.journal_head: str | None = None
        self._stem = stem

    def __enter__(self) -> _Writer:
        self._target = open(self.path, "xb", opener=private)
        command = [program("zstd"), "-q", "-3", "--check", "-c"]
        self._zstd = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._target, stderr=subprocess.PIPE)
        self._stream = _Hashing(cast("IO[bytes]", self._zstd.stdin))
        self._tar = tarfile.open(fileobj=self._stream, mode="w|", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self._zstd.kill()
            self._stream.discard = True
        self._tar.close()
        _output, said = self._zstd.communicate()
        self._target.close()
        if error[0] is None and self._zstd.returncode != 0:
            raise BackupError(f"zstd could not compress {self.path}: {said.decode(errors='replace').strip()}")

    @property
    def size_bytes(self) -> int:
        """Of the tar file, when it is complete."""
        return self._stream.size

    @property
    def sha256(self) -> str:
        return self._stream.digest.hexdigest()

    def add_ledger(self, stack: Stack, copy: Path) -> None:
        """Adds a copy of the ledger in the ledger's place."""
        owner = stack.ledger.stat()
        info = self._info(copy, stack.root, stack.ledger)
        info.uid, info.gid, info.mode = owner.st_uid, owner.st_gid, stat.S_IMODE(owner.st_mode)
        self.ledger = info.name
        self._add_file(copy, info)

    def add_tree(self, host: Path, root: Path, skip: tuple[Path, ...], secrets: Mapping[str, bytes]) -> None:
        """Adds a file, or a folder with all that is below it, but `skip` and what holds a secret."""
        for path in [root, *sorted(root.rglob("*"))] if root.exists() else []:
            if any(path == one or one in path.parents for one in skip):
                continue
            try:
                self._add(host, path, secrets)
            except FileNotFoundError:
                continue  # it was there when the folder was read: a log that was rotated away

    def _add(self, host: Path, path: Path, secrets: Mapping[str, bytes]) -> None:
        info = self._info(path, host, path)
        if info.isfile():
            if path.name == "journal.jsonl":
                info.size, self.journal_head = _whole_lines(path, info.size)
            held = _secret_in(path, info.size, secrets)
            if held is not None:
                self.left_out.append({"file": info.name, "reason": f"it holds the secret {held}"})
            else:
                self._add_file(path, info)
        elif info.isdir() or info.issym():
            self._tar.addfile(info)

    def _info(self, path: Path, host: Path, place: Path) -> tarfile.TarInfo:
        """The head of a file that belongs to `place` on the host. Of one kind with a file: nothing is a hard link."""
        name = f"{self._stem}/host/{place.relative_to(host)}"
        status = path.lstat()
        info = tarfile.TarInfo(name)
        info.mode, info.uid, info.gid, info.mtime = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, 0
        info.mtime = int(status.st_mtime)
        if stat.S_ISREG(status.st_mode):
            info.size = status.st_size
        elif stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(status.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)  # noqa: PTH115 - Python 3.9
        else:
            info.type = tarfile.FIFOTYPE  # a socket or the like: not added
        return info

    def _add_file(self, path: Path, info: tarfile.TarInfo) -> None:
        with path.open("rb") as file:
            hashing = _Hashing(file)
            # Of a file that grows, as many bytes as it had; one that shrank is an error of tarfile.
            self._tar.addfile(info, hashing)
        self.files[info.name] = {"size_bytes": info.size, "sha256": hashing.digest.hexdigest()}

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Adds the checksums and the manifest, and ends the tar file."""
        sums = "".join(
            f"{facts['sha256']}  {name[len(self._stem) + 1 :]}\n" for name, facts in sorted(self.files.items())
        )
        for name, text in (("SHA256SUMS", sums), ("manifest.json", json.dumps(manifest, indent=2) + "\n")):
            info = tarfile.TarInfo(f"{self._stem}/{name}")
            data = text.encode()
            info.size, info.mode, info.mtime = len(data), 0o600, int(time.time())
            self._tar.addfile(info, io.BytesIO(data))
        self._tar.close()


def _whole_lines(path: Path, size: int) -> tuple[int, str | None]:
    """How many of the first `size` bytes of a journal are whole lines, and the head of its chain there."""
    with path.open("rb") as file:
        file.seek(max(0, size - _CHUNK))
        tail = file.read(min(size, _CHUNK))
    whole, _end, torn = tail.rpartition(b"\n")
    last = whole.rpartition(b"\n")[2]
    return size - len(torn), hashlib.sha256(last).hexdigest() if last else None


# --- Reading back -----------------------------------------------------------------------------------------------------


def members(path: Path, identity: Path | None = None) -> Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]:
    """Every file in an archive with its content in chunks, in the order of the archive; FileProblem when damaged."""
    chunks = content_of(path, identity)
    with contextlib.closing(chunks), _explained(path):  # type: ignore[type-var]
        with tarfile.open(fileobj=cast("IO[bytes]", _Reader(chunks)), mode="r|") as tar:
            for info in tar:
                yield info, _content(tar, info, path)
        for _rest in chunks:  # to the end, where the checksum is
            pass


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> Iterator[bytes]:
    with _explained(path):
        file = tar.extractfile(info) if info.isfile() else None
        while file is not None and (chunk := file.read(_CHUNK)):
            yield chunk


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise FileProblem("damaged", f"{path} is no whole tar file: {error}") from error


class _Reader:
    """Chunks as a file that can be read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (chunk := next(self._chunks, b"")):
            self._left += chunk
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def _read_back(
    path: Path,
    manifest: Mapping[str, Any],
    identity: Path | None = None,
    limit: TimeLimit | None = None,
    extract: Path | None = None,
) -> Verification:
    """Compares every file in an archive with the manifest; `extract` is where the ledger is written to."""
    limit = limit or TimeLimit()
    result = Verification(path=str(path), mode="quick")

    def compare() -> str:
        problems, missing, size = [], dict(manifest["files"]), 0
        for info, content in members(path, identity):
            if not info.isfile():
                continue
            digest = hashlib.sha256()
            wanted = extract is not None and info.name == manifest["ledger"]["file"]
            with open(extract if wanted and extract else os.devnull, "wb", opener=private) as target:
                for chunk in content:
                    digest.update(chunk)
                    target.write(chunk)
                    limit.look()
            expected = missing.pop(info.name, None)
            size += info.size
            if expected is None:
                if info.name.count("/") > 1:
                    problems.append(f"{info.name} is not in the manifest")
            elif expected != {"size_bytes": info.size, "sha256": digest.hexdigest()}:
                problems.append(f"{info.name} is not what the manifest says")
        problems += [f"{name} is missing" for name in missing]
        if problems:
            raise CheckFailed("; ".join(problems[:20]))
        return f"{len(manifest['files'])} files, {size} bytes, are those of the manifest"

    check(result, limit, "files", compare)
    return result


def verify_archive(
    backup: Backup,
    *,
    mode: str = "standard",
    identity: Path | None = None,
    scratch_directory: Path | None = None,
    time_limit: float | None = None,
    memory_limit: int | None = None,
) -> Verification:
    """Verifies an archive against its manifest: the file, every file in it, and the ledger as :func:`verify` does.

    The checks of the ledger have `ledger_` before their names. Without the `identity` of an encrypted archive, only the
    file itself is compared, and what is inside is inconclusive.
    """
    started = time.monotonic()
    limit = TimeLimit(time_limit)
    result = Verification(path=str(backup.path), mode=mode)
    manifest: dict[str, Any] = {}

    def file() -> str:
        if not backup.path.is_file():
            raise CheckFailed(f"{backup.path} does not exist")
        result.size_bytes = backup.path.stat().st_size
        return f"{result.size_bytes} bytes"

    def read_manifest() -> str:
        manifest.update(load_manifest(backup.manifest_path))
        if not all(isinstance(manifest.get(name), dict) for name in ("artefact", "content", "files", "ledger")):
            raise CheckFailed(f"the manifest {backup.manifest_path} is incomplete")
        return f"made {manifest.get('created_at')} on {manifest.get('host')}"

    def same_file() -> str:
        result.sha256 = sha256_of(backup.path)
        for name, value in (("size_bytes", result.size_bytes), ("sha256", result.sha256)):
            if value != manifest["artefact"].get(name):
                raise CheckFailed(
                    f"{name} of {backup.path} is {value}, the manifest says {manifest['artefact'].get(name)}"
                )
        return "size and sha256 are those of the manifest"

    check(result, limit, "file", file)
    check(result, limit, "manifest", read_manifest)
    check(result, limit, "manifest_file", same_file, "file", "manifest")
    if any(one.status != "ok" for one in result.checks[:2]):
        return result
    with scratch(SCRATCH, scratch_directory) as folder:
        ledger = folder / "ledger.db"

        def files() -> str:
            facts = manifest["files"].get(manifest["ledger"]["file"], {})
            require_space(folder, 2 * int(facts.get("size_bytes", 0)))
            (found,) = _read_back(backup.path, manifest, identity, limit, ledger).checks
            if found.status == "failed":
                raise CheckFailed(found.detail)
            if found.status == "inconclusive":
                raise FileProblem("unusable", found.detail)
            return found.detail

        check(result, limit, "files", files)
        if result.checks[-1].status == "ok":
            inner = _ledger_manifest(manifest)
            found = verify(
                ledger,
                mode=mode,
                manifest=inner,
                scratch_directory=folder,
                time_limit=limit.left,
                memory_limit=memory_limit,
            )
            result.checks += [
                type(one)(f"ledger_{one.name}", one.status, one.detail, one.seconds) for one in found.checks
            ]
            result.tables, result.user_version = found.tables, found.user_version
            result.schema_sha256, result.integrity = found.schema_sha256, found.integrity
    result.duration_seconds = round(time.monotonic() - started, 3)
    return result


def _ledger_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest that a snapshot of the ledger in an archive would have."""
    facts = manifest["files"][manifest["ledger"]["file"]]
    general = {name: manifest.get(name) for name in ("schema", "created_at", "host")}
    return {**general, "artefact": facts, "content": facts, **manifest["ledger"]}


def write_content(backup: Backup, target: IO[bytes], identity: Path | None = None) -> None:
    """Writes the database in a backup, of an archive the ledger, to a file. FileProblem when it is damaged."""
    if backup.kind != "archive":
        for chunk in content_of(backup.path, identity):
            target.write(chunk)
        return
    wanted = backup.manifest["ledger"]["file"]
    for info, content in members(backup.path, identity):
        if info.name == wanted:
            for chunk in content:
                target.write(chunk)


def verify_backup(backup: Backup, **options: Any) -> Verification:
    """Verifies a snapshot or an archive against its manifest; `options` as for :func:`verify_archive`."""
    if backup.kind == "archive":
        return verify_archive(backup, **options)
    return verify(backup.path, manifest=backup.manifest_path, **options)
