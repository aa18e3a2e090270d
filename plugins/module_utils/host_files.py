# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a host: compare what is there with what is wanted, validate, write atomically, remove what is left over.

`HostTree.plan` computes the whole difference and touches nothing; `HostTree.apply` carries it out. What a tree has put
on the host stands in its manifest: files it no longer ships are removed, and two trees cannot claim one file. The
manifest's seal tells later whether everything still lies there as it was put.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import grp
import hashlib
import json
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Union

LARGEST_DIFF = 100_000
MANIFEST_SCHEMA = 1
# An account that does not exist yet keeps its name: that is how check mode speaks about a blank host.
Account = Union[int, str]


class HostFilesError(Exception):
    """The wanted state cannot be reached; `problems` lists every reason. Nothing has been changed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class File:
    """A wanted file. `mode` holds permission bits; the content of a secret is never shown."""

    path: str
    content: bytes
    owner: Account
    group: Account
    mode: int
    secret: bool = False


@dataclass(frozen=True)
class Directory:
    """A wanted directory. One that is `implied` is only a parent: created when missing, otherwise left as it is."""

    path: str
    owner: Account
    group: Account
    mode: int
    purge: bool = False
    implied: bool = False


@dataclass(frozen=True)
class Seen:
    """What lies at a path: kind `missing`, `file`, `directory`, `link`, `other`; content of files, target of links."""

    kind: str
    owner: int = -1
    group: int = -1
    mode: int = 0
    content: bytes = b""


@dataclass(frozen=True)
class Change:
    """One step of a plan: action `created`, `changed`, `attributes` or `removed`; `wanted` is None for a removal."""

    action: str
    path: str
    seen: Seen
    wanted: File | Directory | None = None
    is_directory: bool = False
    secret: bool = False
    purge: bool = False


@dataclass(frozen=True)
class Seal:
    """How a tree was left: the digest of what was asked for, every directory that matters to it, and its state."""

    request: str
    directories: list[str]
    state: str


@dataclass
class Manifest:
    """What a tree has put on the host: files (path -> secret) and directories made by trees (path -> purge)."""

    name: str
    files: dict[str, bool] = field(default_factory=dict)
    directories: dict[str, bool] = field(default_factory=dict)
    seal: Seal | None = None

    def to_bytes(self) -> bytes:
        document: dict[str, Any] = {
            "schema": MANIFEST_SCHEMA,
            "name": self.name,
            "files": {path: {"secret": secret} for path, secret in sorted(self.files.items())},
            "directories": {path: {"purge": purge} for path, purge in sorted(self.directories.items())},
        }
        if self.seal:
            document["seal"] = asdict(self.seal)
        return (json.dumps(document, indent=1) + "\n").encode()


@dataclass
class Plan:
    """The whole difference between host and wish, in the order it is carried out.

    `preparation` makes room and directories, `cleaning` removes what is left over. `before` and `after` are the
    manifest as it is and as it will be; None stands for none at all. `folders` are all directories that are needed.
    """

    preparation: list[Change]
    files: list[Change]
    cleaning: list[Change]
    before: Manifest
    after: Manifest | None
    folders: list[str]

    @property
    def changes(self) -> list[Change]:
        return [*self.preparation, *self.files, *self.cleaning]

    @property
    def new_files(self) -> list[File]:
        """The files whose content is put in place, in order."""
        return [
            change.wanted for change in self.files if isinstance(change.wanted, File) and change.action != "attributes"
        ]


def pack(document: Any) -> str:
    """JSON document as one short printable string: zlib, base64. The inverse is `unpack`."""
    return base64.b64encode(zlib.compress(json.dumps(document).encode(), 6)).decode()


def unpack(payload: str) -> Any:
    """The document of a string made by `pack`."""
    return json.loads(zlib.decompress(base64.b64decode(payload)))


def content_to_json(content: bytes) -> dict[str, str]:
    """Bytes as JSON can carry them: as text where they are text. The inverse is `content_from_json`."""
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def content_from_json(entry: dict[str, str]) -> bytes:
    """The bytes that `content_to_json` was given."""
    return entry["text"].encode() if "text" in entry else base64.b64decode(entry["base64"])


def sha256(content: bytes) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@functools.cache
def _pattern(glob: str) -> re.Pattern[str]:
    wildcards = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wildcards.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", glob)))


def path_matches(glob: str, path: str) -> bool:
    """Whether a glob matches a whole path: `*` and `?` stay within one component, `**` spans several."""
    return _pattern(glob).fullmatch(path) is not None


def parse_mode(mode: object, path: str) -> int:
    """Permission bits of an octal string such as "0644". Raises ValueError for anything else, numbers included."""
    if isinstance(mode, str) and re.fullmatch(r"0?[0-7]{3,4}", mode):
        return int(mode, 8)
    raise ValueError(f'mode of {path} is {mode!r}; wanted an octal number in quotes, such as "0644"')


def user_id(owner: str | None) -> int:
    """Number of a user given by name or number; None is whoever runs this. Raises KeyError for an unknown one."""
    if owner is None:
        return os.geteuid()
    return int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid


def group_id(group: str | None) -> int:
    """Number of a group given by name or number; None is that of whoever runs this. Raises KeyError if unknown."""
    if group is None:
        return os.getegid()
    return int(group) if group.isdigit() else grp.getgrnam(group).gr_gid


def look(path: str, *, follow: bool = False, read: bool = True) -> Seen:
    """What lies at a path. `follow` looks through links, `read` fetches the content of a regular file."""
    try:
        status = Path(path).stat() if follow else Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Seen("missing")
    attributes = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
    if stat.S_ISREG(status.st_mode):
        return Seen("file", *attributes, Path(path).read_bytes() if read else b"")
    if stat.S_ISLNK(status.st_mode):
        return Seen("link", *attributes, os.fsencode(os.readlink(path)))  # noqa: PTH115 - a Path would have to be turned back into text
    return Seen("directory" if stat.S_ISDIR(status.st_mode) else "other", *attributes)


def stage(path: str, content: bytes, *, uid: int = -1, gid: int = -1, mode: int = 0o644) -> Path:
    """Write `content` beside `path`, complete, on disk, with owner and mode. Returns the file, ready to be renamed.

    Its name is always the same, so that one left by a killed run is overwritten by the next.
    """
    temporary = _beside(path)
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)  # after fchown, which clears set-id bits
            os.fsync(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _beside(path: str) -> Path:
    return Path(path).with_name(f".{Path(path).name}.ballast")


def sync_directory(path: str | Path) -> None:
    """Make renames and removals in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: str | Path, content: bytes, *, uid: int = -1, gid: int = -1, mode: int = 0o644) -> None:
    """Replace a file so that readers and crashes see the old content or the new one, never a part. Raises OSError."""
    stage(str(path), content, uid=uid, gid=gid, mode=mode).replace(path)
    sync_directory(Path(path).parent)


def read_manifest(path: Path) -> Manifest:
    """One manifest. Raises HostFilesError when it cannot be understood."""
    try:
        document = json.loads(path.read_bytes())
        if document["schema"] != MANIFEST_SCHEMA:
            raise ValueError(f"schema is {document['schema']!r}, wanted {MANIFEST_SCHEMA}")
        return Manifest(
            document["name"],
            {file: entry["secret"] for file, entry in document["files"].items()},
            {directory: entry["purge"] for directory, entry in document["directories"].items()},
            Seal(**document["seal"]) if "seal" in document else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        advice = "restore it, or delete it and remove by hand the files it stood for"
        raise HostFilesError([f"manifest {path} cannot be understood ({reason}): {advice}"]) from error


def request_digest(payload: str, directories: list[dict[str, Any]]) -> str:
    """What stands for all that a task asks for: its packed files and its directories, as this schema reads them."""
    return sha256(json.dumps([MANIFEST_SCHEMA, payload, directories], sort_keys=True).encode())


def _state(files: Iterable[str], directories: Iterable[str]) -> str:
    """A digest of what lies at the paths: kinds, owners, modes, and the content of files."""
    seen = [look(path) for path in sorted(files)] + [
        look(path, follow=True, read=False) for path in sorted(directories)
    ]
    return sha256(
        json.dumps([(each.kind, each.owner, each.group, each.mode, sha256(each.content)) for each in seen]).encode()
    )


def sealed_trees(manifests: Path) -> dict[str, str]:
    """The digest of what was last asked for, by name, of every tree that lies on the host exactly as it was put."""
    found = {}
    for path in manifests.glob("*.json"):
        with contextlib.suppress(HostFilesError, OSError, TypeError):  # for the task that wants this tree to report
            manifest = read_manifest(path)
            if manifest.seal and manifest.seal.state == _state(manifest.files, manifest.seal.directories):
                found[manifest.name] = manifest.seal.request
    return found


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the manifests of this folder for one run; waits for another one to end. Creates the folder."""
    while True:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:  # the run before us may have removed the folder with its last manifest
                yield
                return
        finally:
            os.close(descriptor)


def _ancestors(path: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(path).parents if str(parent) != "/"]


class HostTree:
    """The files and directories one name owns on this host."""

    def __init__(self, name: str, manifests: str | Path) -> None:
        self.name = name
        self.manifests = Path(manifests)
        self.done: list[Change] = []
        self.at = ""
        self._staged: dict[str, Path] = {}

    @property
    def manifest_path(self) -> Path:
        return self.manifests / f"{self.name}.json"

    def plan(self, files: Iterable[File], directories: Iterable[Directory], *, keep_manifest: bool = True) -> Plan:
        """The whole difference. Nothing is touched. Raises HostFilesError with everything that stands in the way."""
        files, directories = list(files), list(directories)
        wanted = {file.path: file for file in files}
        explicit = {directory.path: directory for directory in directories}
        known = {manifest.name: manifest for manifest in map(read_manifest, sorted(self.manifests.glob("*.json")))}
        before = known.pop(self.name, Manifest(self.name))
        problems = _contradictions([file.path for file in files], [directory.path for directory in directories])
        problems += [
            f"{path} belongs to the tree {other.name!r} and {self.name!r} ships it too: ship it from one of them only"
            f" (state=absent of {other.name!r} gives up everything it owns)"
            for other in known.values()
            for path in wanted
            if path in other.files
        ]
        stale = {path: look(path) for path in before.files if path not in wanted}
        stale = {path: seen for path, seen in stale.items() if seen.kind in ("file", "link")}
        removals = [Change("removed", path, seen, secret=before.files[path]) for path, seen in sorted(stale.items())]

        parents = {parent for path in (*wanted, *explicit) for parent in _ancestors(path)} - set(explicit)
        needed = [Directory(path, os.geteuid(), os.getegid(), 0o755, implied=True) for path in parents - set(wanted)]
        folders = sorted([*needed, *explicit.values()], key=lambda directory: directory.path)
        folder_changes = [change for folder in folders for change in _compare_directory(folder, set(stale), problems)]
        file_changes = [
            change
            for _path, file in sorted(wanted.items())
            for change in _compare_file(file, before.files.get(file.path, False), problems)
        ]
        if problems:
            raise HostFilesError(problems)

        # Only directories made by trees are ever removed, by the last tree that needs them.
        others = {path for other in known.values() for path in other.directories}
        made = {change.path for change in folder_changes if change.action == "created"}
        ours = {
            folder.path: folder.purge
            for folder in folders
            if folder.path in made or folder.path in before.directories or folder.path in others
        }
        leaving = {path: purge for path, purge in before.directories.items() if path not in ours and path not in others}
        emptied = _removable(leaving, {*stale, *(str(_beside(path)) for path in before.files)})
        kept = {path: purge for path, purge in leaving.items() if path not in {change.path for change in emptied}}
        after = Manifest(self.name, {path: file.secret for path, file in wanted.items()}, {**ours, **kept})

        # A file that becomes a directory goes first. Other removals come last: a file that moves is never missing.
        in_the_way = [change for change in removals if change.path in parents or change.path in explicit]
        rest = [change for change in removals if change not in in_the_way]
        return Plan(
            [*in_the_way, *folder_changes],
            file_changes,
            [*rest, *emptied],
            before,
            after if keep_manifest else None,
            [folder.path for folder in folders],
        )

    def apply(self, plan: Plan, request: str | None = None) -> None:
        """Carry out a plan. When OSError ends it half way, `done` tells what has been done and `at` where it stopped.

        With `request`, the digest of what was asked for, the tree is sealed.
        All new content lies beside its destination before the first file is replaced: a full disk changes no file.
        """
        self.at = str(self.manifest_path)
        if plan.changes and plan.after:
            # Written ahead: a run that is killed half way still knows everything it may have made.
            self._write(
                Manifest(
                    self.name,
                    {**plan.before.files, **plan.after.files},
                    {**plan.before.directories, **plan.after.directories},
                )
            )
        for path in plan.before.files:  # what a killed run has left
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                _beside(path).unlink()
        try:
            self._carry_out(plan.preparation)
            for file in plan.new_files:
                self.at = file.path
                self._staged[file.path] = _stage_file(file)
            self._carry_out([*plan.files, *plan.cleaning])
        finally:
            for temporary in self._staged.values():
                temporary.unlink(missing_ok=True)
        self.at = str(self.manifest_path)
        self._settle(plan, request)

    def _carry_out(self, changes: list[Change]) -> None:
        for change in changes:
            self.at = change.path
            self._carry_out_one(change)
            self.done.append(change)
        for folder in {Path(change.path).parent for change in changes}:
            if folder.is_dir():
                sync_directory(folder)

    def _carry_out_one(self, change: Change) -> None:
        path = Path(change.path)
        wanted = change.wanted
        if wanted is None:
            if not change.is_directory:
                path.unlink(missing_ok=True)
            elif change.purge:
                shutil.rmtree(path)
            else:
                path.rmdir()
        elif change.path in self._staged:
            if change.seen.kind == "directory":
                path.rmdir()
            self._staged[change.path].replace(path)
        else:
            if change.action == "created":
                path.mkdir(mode=0o700)
            os.chown(path, _number(wanted.owner), _number(wanted.group))
            path.chmod(wanted.mode)

    def _settle(self, plan: Plan, request: str | None) -> None:
        """Write the manifest that is true now, or remove it together with the folder of the last one."""
        if plan.after:
            # A directory that was left and is not empty yet is to go as soon as it is: somebody has to look.
            final = plan.after.directories.keys() <= set(plan.folders)
            seal = Seal(request, plan.folders, _state(plan.after.files, plan.folders)) if request and final else None
            after = replace(plan.after, seal=seal)
            if not self.manifest_path.exists() or self.manifest_path.read_bytes() != after.to_bytes():
                self._write(after)
            return
        self.manifest_path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other trees still have theirs
            self.manifests.rmdir()

    def _write(self, manifest: Manifest) -> None:
        write_atomically(self.manifest_path, manifest.to_bytes())


def _contradictions(files: list[str], directories: list[str]) -> list[str]:
    paths = files + directories
    parents = {parent for path in paths for parent in _ancestors(path)}
    return [
        *(
            f"{path} is not a plain absolute path; wanted {plain}"
            for path in paths
            if (plain := os.path.normpath("/" + path.lstrip("/"))) != path
        ),
        *(
            f"{path} is wanted twice"
            for listed in (files, directories)
            for path, count in Counter(listed).items()
            if count > 1
        ),
        *(
            f"{path} is wanted both as a file and as a directory"
            for path in files
            if path in directories or path in parents
        ),
    ]


def _compare_directory(wanted: Directory, leaving: set[str], problems: list[str]) -> list[Change]:
    seen = look(wanted.path, follow=True, read=False)
    if seen.kind == "directory":
        if wanted.implied or (seen.owner, seen.group, seen.mode) == (wanted.owner, wanted.group, wanted.mode):
            return []
        return [Change("attributes", wanted.path, seen, wanted, is_directory=True)]
    if wanted.path in leaving or look(wanted.path, read=False).kind == "missing":
        return [Change("created", wanted.path, Seen("missing"), wanted, is_directory=True)]
    kind = "link that leads nowhere" if seen.kind == "missing" else seen.kind
    problems.append(f"{wanted.path} is a {kind}; wanted a directory: move it away")
    return []


def _compare_file(wanted: File, was_secret: bool, problems: list[str]) -> list[Change]:
    seen = look(wanted.path)
    secret = wanted.secret or was_secret
    if seen.kind == "missing":
        return [Change("created", wanted.path, seen, wanted, secret=secret)]
    if seen.kind == "other" or (seen.kind == "directory" and any(Path(wanted.path).iterdir())):
        kind = "directory that is not empty" if seen.kind == "directory" else "device, socket or pipe"
        problems.append(f"{wanted.path} is a {kind}; wanted a file: move it away")
        return []
    if seen.kind != "file" or seen.content != wanted.content:
        return [Change("changed", wanted.path, seen, wanted, secret=secret)]
    if (seen.owner, seen.group, seen.mode) != (wanted.owner, wanted.group, wanted.mode):
        return [Change("attributes", wanted.path, seen, wanted, secret=secret)]
    return []


def _removable(leaving: dict[str, bool], removed: set[str]) -> list[Change]:
    """Directories nobody wants any longer that are empty, or will be once `removed` is gone, or are to be purged."""
    gone = set(removed)
    changes = []
    for path, purge in sorted(leaving.items(), reverse=True):  # children before their parents
        seen = look(path)
        if seen.kind == "directory" and (purge or all(str(entry) in gone for entry in Path(path).iterdir())):
            gone.add(path)
            changes.append(Change("removed", path, seen, is_directory=True, purge=purge))
    return changes


def _number(account: Account) -> int:
    if isinstance(account, str):
        raise HostFilesError([f"account {account!r} does not exist"])
    return account


def _stage_file(file: File) -> Path:
    return stage(file.path, file.content, uid=_number(file.owner), gid=_number(file.group), mode=file.mode)


def differences(changes: Iterable[Change]) -> list[dict[str, str]]:
    """What `--diff` shows of a plan, in Ansible's form. Secrets, binaries and very large files are not shown."""
    return [_difference(change) for change in changes]


def _difference(change: Change) -> dict[str, str]:
    attributes = [_attributes(side) for side in (change.seen, change.wanted)]
    headers = [f"{change.path} ({text or 'missing'})" for text in attributes]
    before = change.seen.content
    after = change.wanted.content if isinstance(change.wanted, File) else b""
    reason = "" if change.is_directory or before == after else _reason_to_hide(change, before, after)
    if change.is_directory or before == after or reason:
        kind = "directory" if change.is_directory else "file"
        hidden = f", content not shown: it is {reason}" if reason else ""
        steps = " -> ".join(text or "missing" for text in attributes)
        return {"prepared": f"{kind} {change.path} {change.action}: {steps}{hidden}\n"}
    link = "link to " if change.seen.kind == "link" else ""
    return {
        "before_header": headers[0],
        "after_header": headers[1],
        "before": link + before.decode(),
        "after": after.decode(),
    }


def _attributes(side: Seen | File | Directory | None) -> str:
    if side is None or (isinstance(side, Seen) and side.kind == "missing"):
        return ""
    return f"owner={side.owner} group={side.group} mode={side.mode:04o}"


def _reason_to_hide(change: Change, before: bytes, after: bytes) -> str:
    if change.secret:
        return "a secret"
    if max(len(before), len(after)) > LARGEST_DIFF:
        return f"larger than {LARGEST_DIFF} bytes"
    try:
        if "\0" not in before.decode() + after.decode():
            return ""
    except UnicodeDecodeError:
        pass
    return "not text"


@dataclass(frozen=True)
class Rule:
    """Files that match the glob `path` are checked by `command`, in which `%s` stands for the candidate file."""

    path: str
    command: str


@dataclass(frozen=True)
class Verdict:
    """What the validation of a plan found: `failures` forbid the plan, `unavailable` commands are not installed."""

    failures: list[str]
    unavailable: list[str]


def validate(plan: Plan, files: Iterable[File], rules: Iterable[Rule]) -> Verdict:
    """Run every rule on every file whose content the plan changes, before any of them is touched.

    The candidates lie in a private folder under their own names and beside the tree's other files (without secrets that
    no rule asks for), so that a checker that follows relative includes finds them.
    """
    verdict = Verdict([], [])
    checks = [(file, rule) for rule in rules for file in plan.new_files if path_matches(rule.path, file.path)]
    if not checks:
        return verdict
    with tempfile.TemporaryDirectory(prefix="ballast-validate-") as folder:
        checked = {file.path for file, _rule in checks}
        for file in files:
            if file.path in checked or not file.secret:
                candidate = Path(folder + file.path)
                candidate.parent.mkdir(parents=True, exist_ok=True)
                candidate.write_bytes(file.content)
                candidate.chmod(file.mode | 0o400)
        for file, rule in checks:
            _check(file, rule, folder, verdict)
    return verdict


def _check(file: File, rule: Rule, folder: str, verdict: Verdict) -> None:
    command = shlex.split(rule.command)
    search_path = (
        f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"  # checkers of daemons live there
    )
    if not shutil.which(command[0], path=search_path):
        verdict.unavailable.append(
            f"{file.path} cannot be checked: {command[0]!r} (of {rule.command!r}) is not installed"
        )
        return
    result = subprocess.run(
        [part.replace("%s", folder + file.path) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": search_path},
    )
    if result.returncode:
        output = "output hidden, the file is a secret"
        if not file.secret:
            output = result.stdout.decode(errors="replace").replace(folder, "").strip() or "no output"
        verdict.failures.append(f"{file.path} is refused by {rule.command!r} (exit code {result.returncode}): {output}")
