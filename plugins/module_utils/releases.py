# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of a stack on disk: staged once, verified by checksum, never changed afterwards.

A release is ``/opt/ballast/<stack>/releases/<id>/``: one folder per service (compose.yaml, .env, service.json, config/)
and ``release.json``, the manifest. Its id is the UTC time of staging and the first 8 hex digits of its content's
SHA-256, so the same content is the same release. Beside it ``current`` and ``previous`` name releases, and
``active/<gateway|blue|green>`` the one that each service runs; ``active/trading`` is the slot with the right to trade.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .commands import CommandError, compose, image_digest, pull_image
from .host_files import sync_directory
from .readiness import probe_mistakes
from .stack import SLOTS, Stack

SERVICES = ("gateway", "engine")
LINKS = ("current", "previous", "active/gateway", *(f"active/{slot}" for slot in SLOTS))
EMERGENCY = "emergency"
"""The image, and the service of the engine's compose.yaml, that an emergency stop uses in the engine's place."""
SERVICE_KEYS = frozenset({"image", "probe", "ready_timeout_seconds", "stable_seconds", "stop_grace_seconds"})
RELEASE_ID = re.compile(r"^\d{8}T\d{6}Z-[0-9a-f]{8}$")
MANIFEST_TYPES = {"content": str, "created_at": str, "origin": dict, "images": dict, "files": dict}
# Longer than any pull: what is older was left behind, what is younger may be another's work in progress.
LITTER_SECONDS = 3600


class ReleaseError(Exception):
    """A release cannot be staged, found or trusted. Nothing has been changed."""


@dataclass(frozen=True)
class Release:
    """One staged release; ``manifest`` is its release.json."""

    path: Path
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        return self.path.name

    def service(self, name: str) -> dict[str, Any]:
        """How the service is run: its service.json."""
        document: dict[str, Any] = json.loads((self.path / name / "service.json").read_text(encoding="utf-8"))
        return document

    def fingerprint(self, service: str) -> str:
        """A hash of everything that makes up a service; equal fingerprints need no restart."""
        files = {path: entry for path, entry in self.manifest["files"].items() if path.startswith(f"{service}/")}
        return _sha256(json.dumps(files, sort_keys=True).encode())


def content_hash(files: Mapping[str, bytes]) -> str:
    """The identity of a release: SHA-256 over the paths and contents of its rendered files."""
    return _sha256(json.dumps({path: _sha256(data) for path, data in files.items()}, sort_keys=True).encode())


class ReleaseStore:
    """Stages, lists, verifies and prunes the releases of one stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.folder = stack.opt / "releases"

    # ---- reading ----

    def ids(self) -> list[str]:
        """Ids of all releases, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if RELEASE_ID.match(path.name))

    def get(self, release_id: str) -> Release:
        """A release by id; raises ReleaseError that lists those that exist."""
        if release_id not in self.ids():
            known = ", ".join(reversed(self.ids())) or "none"
            raise ReleaseError(
                f"release {release_id!r} of stack {self.stack.name} does not exist;"
                f" releases here, newest first: {known}"
            )
        path = self.folder / release_id
        try:
            manifest = json.loads((path / "release.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ReleaseError(self._damaged(path, [f"release.json cannot be read ({error})"])) from error
        if not isinstance(manifest, dict) or not all(
            isinstance(manifest.get(key), kind) for key, kind in MANIFEST_TYPES.items()
        ):
            raise ReleaseError(self._damaged(path, ["release.json is not a release's manifest"]))
        return Release(path, manifest)

    def verify(self, release: Release) -> None:
        """Raises ReleaseError that names every file which was changed, removed or added by hand."""
        expected = release.manifest["files"]
        present = {
            str(path.relative_to(release.path)): _sha256(path.read_bytes())
            for path in release.path.rglob("*")
            if path.is_file() and path != release.path / "release.json"
        }
        problems = [f"{path} is missing" for path in sorted(expected.keys() - present.keys())]
        problems += [f"{path} was added" for path in sorted(present.keys() - expected.keys())]
        problems += [
            f"{path} was changed"
            for path in sorted(expected.keys() & present.keys())
            if expected[path] != present[path]
        ]
        if problems:
            raise ReleaseError(self._damaged(release.path, problems))

    def link(self, name: str) -> str | None:
        """The release id that ``current``, ``previous`` or ``active/<service>`` names, or None."""
        try:
            return (self.stack.opt / name).readlink().name
        except OSError:
            return None

    def trading_slot(self) -> str | None:
        """The slot that ``active/trading`` names: the one with the right to trade. None: no slot in particular."""
        slot = self.link("active/trading")
        return slot if slot in SLOTS else None

    def linked(self, name: str) -> Release | None:
        """The release that a link names, or None when there is no link or what it names is gone or damaged."""
        release_id = self.link(name)
        try:
            return self.get(release_id) if release_id else None
        except ReleaseError:
            return None

    def find_content(self, digest: str) -> Release | None:
        """The newest undamaged release with this content, so that staging the same content twice changes nothing."""
        for release_id in reversed(self.ids()):
            if not release_id.endswith(digest[:8]):
                continue
            try:
                release = self.get(release_id)
                self.verify(release)
            except ReleaseError:
                continue
            if release.manifest["content"] == digest:
                return release
        return None

    # ---- writing ----

    def set_link(self, name: str, release_id: str | None) -> None:
        """Point ``name`` at a release in one step, or remove it. What comes next may rely on it after a power loss."""
        self._point(self.stack.opt / name, self.folder / release_id if release_id else None)

    def set_trading(self, slot: str | None) -> None:
        """Give the right to trade to a slot, or to none in particular: then to whichever is started."""
        path = self.stack.opt / "active/trading"
        self._point(path, path.with_name(slot) if slot else None)

    @staticmethod
    def _point(path: Path, target: Path | None) -> None:
        if target is None:
            if not path.is_symlink():
                return
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.new")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(os.path.relpath(target, path.parent))
            temporary.replace(path)
        # systemd keeps what is enabled on another file system, perhaps: that must not be on disk before this is.
        sync_directory(path.parent)

    def stage(self, files: Mapping[str, bytes], origin: Mapping[str, Any]) -> Release:
        """Write a release from its rendered ``files`` (relative path -> content) and return it.

        Pulls the images that are not on the host, pins them by digest, and has docker compose check every compose file
        before the release appears under its id. ``origin`` (who, from where, commit) goes into the manifest.
        """
        digest = content_hash(files)
        known = self.find_content(digest)
        if known is not None:
            return known
        self.folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=self.folder))
        try:
            images = self._write(staging, files)
            manifest = {
                "schema": 1,
                "stack": self.stack.name,
                "environment": self.stack.environment,
                "content": digest,
                "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "origin": dict(origin),
                "images": images,
                "files": {
                    str(path.relative_to(staging)): _sha256(path.read_bytes())
                    for path in sorted(staging.rglob("*"))
                    if path.is_file()
                },
            }
            _write_file(staging / "release.json", json.dumps(manifest, indent=2).encode() + b"\n")
            for folder in (staging, *filter(Path.is_dir, staging.rglob("*"))):
                folder.chmod(0o755)  # whatever the umask: the services' users must get in
            release_id = self._new_id(digest)
            os.sync()
            staging.rename(self.folder / release_id)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return Release(self.folder / release_id, manifest)

    def superfluous(self, keep: int) -> list[str]:
        """Ids of all but the newest ``keep`` releases, without those that run or that a rollback would return to."""
        needed = {self.link(name) for name in LINKS}
        return [release_id for release_id in self.ids()[: -keep or None] if release_id not in needed]

    def prune(self, keep: int) -> list[str]:
        """Remove the ``superfluous`` releases, and return their ids."""
        removed = self.superfluous(keep)
        for release_id in removed:
            shutil.rmtree(self.folder / release_id)
        for litter in self.folder.glob(".staging-*"):
            with suppress(FileNotFoundError):
                if time.time() - litter.stat().st_mtime > LITTER_SECONDS:
                    shutil.rmtree(litter, ignore_errors=True)
        return removed

    def _write(self, staging: Path, files: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
        for relative, data in files.items():
            _write_file(staging / relative, data)
        images: dict[str, dict[str, str]] = {}
        for service in SERVICES:
            reference = _settings(service, files)["image"]
            pinned = self._pinned(reference)
            images[service] = {"reference": reference, "pinned": pinned}
            variables = f"BALLAST_IMAGE={pinned}\n"
            if emergency := _settings(service, files).get("emergency_image"):
                images[EMERGENCY] = {"reference": emergency, "pinned": self._pinned(emergency)}
                variables += f"BALLAST_EMERGENCY_IMAGE={images[EMERGENCY]['pinned']}\n"
            _write_file(staging / service / ".env", variables.encode())
            try:
                compose(
                    staging / service,
                    "ballast-check",
                    "config",
                    "--quiet",
                    env={"BALLAST_SLOT": "blue", "BALLAST_RELEASE": "check", "BALLAST_ROLE": "standby"},
                )
            except CommandError as error:
                raise ReleaseError(f"{service}/compose.yaml of the new release is not valid: {error}") from error
        return images

    @staticmethod
    def _pinned(reference: str) -> str:
        pinned = image_digest(reference)
        if pinned is None:
            try:
                pull_image(reference)
            except CommandError as error:
                raise ReleaseError(f"image {reference} is not on this host and could not be pulled: {error}") from error
            pinned = image_digest(reference)
        if pinned is None:
            raise ReleaseError(f"image {reference} was pulled but docker does not know it")
        return pinned

    def _new_id(self, digest: str) -> str:
        """Ids sort by age; where a damaged release has taken the id of this second, the next second is used."""
        moment = int(time.time())
        while True:
            release_id = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(moment))}-{digest[:8]}"
            if not (self.folder / release_id).exists():
                return release_id
            moment += 1

    def _damaged(self, path: Path, problems: list[str]) -> str:
        return (
            f"release {path.name} of stack {self.stack.name} is damaged: {'; '.join(problems)}."
            f" A release is never edited in place: remove {path} and deploy again, or choose another release"
        )


def _settings(service: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """A service.json that is about to be staged: with all its keys, so that activating the release cannot miss one."""
    path = f"{service}/service.json"
    try:
        settings: dict[str, Any] = json.loads(files[path])
        missing = SERVICE_KEYS - settings.keys()
    except KeyError:
        raise ReleaseError(f"{path} of the new release is missing; a release has a gateway and an engine") from None
    except (AttributeError, ValueError) as error:
        raise ReleaseError(f"{path} of the new release is not a JSON object: {error}") from error
    if missing:
        raise ReleaseError(f"{path} of the new release lacks {', '.join(sorted(missing))}")
    probe = settings["probe"]
    if not (isinstance(probe, dict) and probe.get("kind") in ("ib_api", "contract")):
        for where, seen, wanted in probe_mistakes(probe):
            raise ReleaseError(f"{path} of the new release: {where} is {seen}; wanted {wanted}")
    return settings


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o644)
