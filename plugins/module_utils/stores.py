# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores: where copies of backups go, away from the disk that they were made on.

A store is a folder (another disk, a mounted share) or S3-compatible storage. In it a backup is again an artefact and
its manifest. The manifest is put there last, and only after the artefact was read back from the store and found to be
what it is: so a backup that has its manifest in a store was proved there. Nothing is remembered on the host: what is
in a store is what the store says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any, Protocol

from .backup_settings import BackupSettings
from .content import private
from .host_files import sync_directory
from .manifest import MANIFEST_SUFFIX, PARTIAL, Backup, BackupError, list_backups, load_backup, prune
from .stack import Stack

_CHUNK = 1 << 20
_PART = 8 << 20  # of a multipart upload; at most 10,000 of them are 80 GB
_ATTEMPTS = 5
_SECONDS = 20


class StoreError(Exception):
    """A store cannot be used; the message names it, what happened and what to do."""


class Store(Protocol):
    """A place for files by name."""

    name: str

    def sizes(self) -> dict[str, int]:
        """The size of every file, by its name."""

    def put(self, path: Path, backup: Backup, keep_days: int | None) -> None:
        """Puts one file of a backup there, in one piece or not at all. `keep_days`: how long nobody may delete it."""

    def read(self, name: str) -> Iterator[bytes]:
        """The content of a file in chunks."""

    def delete(self, name: str) -> None:
        """Deletes a file; one that is not there is fine."""


@dataclass(frozen=True)
class Copy:
    """A backup in a store. `state`: verified, incomplete (not proved yet), differs, missing or unreachable."""

    store: str
    state: str
    detail: str = ""


def open_store(settings: Mapping[str, Any], stack: str) -> Store:
    """The store of a stack that some settings describe; StoreError when they make no sense.

    `name` and `kind` are for all. Of kind `directory`: `path`. Of kind `s3`: `bucket`, and as needed `prefix`,
    `region`, `endpoint` (of storage that is not Amazon's), `credentials` (a file of lines that begin with the store's
    name, `offsite.AWS_ACCESS_KEY_ID=...`; without it boto3 finds its own), `encryption` (AES256 or aws:kms), `kms_key`,
    and `object_lock` (GOVERNANCE or COMPLIANCE: until its time is over, nobody can delete an audit archive).
    """
    try:
        kind, name = settings["kind"], str(settings["name"])
        if kind == "directory":
            return DirectoryStore(name, Path(settings["path"]) / stack)
        if kind == "s3":
            return S3Store(name, settings, stack)
    except KeyError as error:
        raise StoreError(f"the settings of store {settings.get('name')!r} lack {error}") from None
    raise StoreError(f"store {name} is of kind {kind!r}; wanted directory or s3")


# --- A folder ---------------------------------------------------------------------------------------------------------


class DirectoryStore:
    """A folder for each stack below one that exists: a disk that is not mounted must not be taken for one that is."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder

    def _require(self) -> None:
        if not self._folder.parent.is_dir():
            raise StoreError(f"store {self.name}: {self._folder.parent} does not exist; is its disk mounted?")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename or self._folder
            raise StoreError(f"store {self.name}: {where}: {error.strerror or error}") from error

    def sizes(self) -> dict[str, int]:
        self._require()
        with self._explained():
            if not self._folder.is_dir():
                return {}
            return {path.name: path.stat().st_size for path in self._folder.iterdir() if path.name[0] != "."}

    def put(self, path: Path, backup: Backup, keep_days: int | None) -> None:  # noqa: ARG002 - nothing protects a file
        self._require()
        partial = self._folder / f"{PARTIAL}{path.name}"
        with self._explained():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for old in self._folder.glob(f"{PARTIAL}*"):
                old.unlink()
            try:
                with path.open("rb") as source, open(partial, "xb", opener=private) as target:
                    shutil.copyfileobj(source, target, _CHUNK)
                    target.flush()
                    os.fsync(target.fileno())
                partial.replace(self._folder / path.name)
                sync_directory(self._folder)
            finally:
                partial.unlink() if partial.exists() else None

    def read(self, name: str) -> Iterator[bytes]:
        with self._explained(), (self._folder / name).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def prune(self, keep_days: Mapping[str, int]) -> None:
        """Removes what is older than its class is kept, but never the newest good ones."""
        with self._explained():
            prune(self._folder, keep_days, datetime.now(timezone.utc))

    def delete(self, name: str) -> None:
        with self._explained():
            path = self._folder / name
            if path.exists():
                path.unlink()


# --- S3 ---------------------------------------------------------------------------------------------------------------

_MEANING = {
    "NoSuchBucket": "the bucket does not exist; create it, or correct its name",
    "AccessDenied": "the credentials may not do this; they need s3:ListBucket, s3:GetObject and s3:PutObject",
    "403": "the credentials may not do this; they need s3:ListBucket, s3:GetObject and s3:PutObject",
    "InvalidAccessKeyId": "the access key is unknown; correct the credentials",
    "SignatureDoesNotMatch": "the secret key is wrong; correct the credentials",
    "SlowDown": "the storage asked us to slow down, again and again; the next run goes on",
    "RequestTimeTooSkewed": "this host's clock is wrong; correct it",
    "NoSuchKey": "the object is not there",
    "404": "the object is not there",
}


class S3Store:
    """Objects below `<prefix>/<stack>/`. Uploads are checked by the storage with SHA-256, part by part."""

    def __init__(self, name: str, settings: Mapping[str, Any], stack: str) -> None:
        self.name = name
        self._settings = settings
        self._bucket = str(settings["bucket"])
        self._prefix = "/".join(part for part in (str(settings.get("prefix") or "").strip("/"), stack) if part) + "/"
        self._client: Any = None

    @property
    def client(self) -> Any:
        if self._client is None:
            try:
                import boto3
                from botocore.config import Config
            except ImportError:
                raise StoreError(
                    f"store {self.name} needs boto3 for this host's Python; install the package python3-boto3"
                ) from None
            config = Config(
                retries={"mode": "standard", "max_attempts": _ATTEMPTS},
                connect_timeout=_SECONDS,
                read_timeout=_SECONDS,
                s3={"addressing_style": "path" if self._settings.get("endpoint") else "auto"},
            )
            session = boto3.session.Session(**self._credentials(), region_name=self._settings.get("region") or None)
            self._client = session.client("s3", endpoint_url=self._settings.get("endpoint") or None, config=config)
        return self._client

    def _credentials(self) -> dict[str, str]:
        path = self._settings.get("credentials")
        if not path:
            return {}
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise StoreError(f"store {self.name}: its credentials {path} cannot be read: {error.strerror}") from error
        values = {name.strip(): value.strip() for name, _sign, value in (line.partition("=") for line in lines)}
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        wanted = {name.lower(): f"{self.name}.{name}" for name in names}
        missing = [name for name in wanted.values() if not values.get(name)]
        if missing:
            raise StoreError(f"store {self.name}: its credentials {path} lack {', '.join(missing)}")
        return {argument: values[name] for argument, name in wanted.items()}

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Raises StoreError for every error of boto3 and of the network."""
        _client = self.client  # says itself what is wrong
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError, HTTPClientError, OSError) as error:
            response = getattr(error, "response", None) or {}
            code = str(response.get("Error", {}).get("Code", ""))
            # Of a multipart upload, boto3 has packed the error of the storage into a text.
            packed = (text for name, text in _MEANING.items() if f"({name})" in str(error))
            reason = _MEANING.get(code) or next(packed, "")
            where = f"s3://{self._bucket}/{self._prefix}"
            text = f"store {self.name} ({where}): {what}: {reason or error}"
            raise StoreError(text + (f" ({code})" if code and reason else "")) from error

    def sizes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        with self._explained("cannot be listed"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for page in pages:
                found.update({one["Key"][len(self._prefix) :]: one["Size"] for one in page.get("Contents", [])})
        return found

    def put(self, path: Path, backup: Backup, keep_days: int | None) -> None:
        from boto3.s3.transfer import TransferConfig

        arguments: dict[str, Any] = {"ChecksumAlgorithm": "SHA256", "Metadata": {"class": backup.retention_class}}
        if self._settings.get("encryption"):
            arguments["ServerSideEncryption"] = self._settings["encryption"]
        if self._settings.get("kms_key"):
            arguments["SSEKMSKeyId"] = self._settings["kms_key"]
        lock = self._settings.get("object_lock") if keep_days is not None else None
        until = backup.created_at + timedelta(days=keep_days or 0)
        if lock:
            arguments.update(ObjectLockMode=lock, ObjectLockRetainUntilDate=until)
        with self._explained(f"{path.name} cannot be put there"):
            self._abort_left_over(path.name)
            # One part at a time: little memory, and the engine's network stays free.
            config = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, use_threads=False)
            where = {"Bucket": self._bucket, "Key": self._prefix + path.name}
            self.client.upload_file(str(path), *where.values(), ExtraArgs=arguments, Config=config)
            if lock and self.client.head_object(**where).get("ObjectLockMode") != lock:
                # Some storages take the lock of an upload in parts only when it is over.
                self.client.put_object_retention(**where, Retention={"Mode": lock, "RetainUntilDate": until})

    def _abort_left_over(self, name: str) -> None:
        """Ends the multipart uploads of this file that a killed run began, where the credentials may."""
        from botocore.exceptions import ClientError

        with contextlib.suppress(ClientError):
            key = self._prefix + name
            answer = self.client.list_multipart_uploads(Bucket=self._bucket, Prefix=key)
            for one in answer.get("Uploads", []):
                self.client.abort_multipart_upload(Bucket=self._bucket, Key=one["Key"], UploadId=one["UploadId"])

    def read(self, name: str) -> Iterator[bytes]:
        with self._explained(f"{name} cannot be read"):
            body = self.client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"]
            with contextlib.closing(body):
                yield from body.iter_chunks(_CHUNK)

    def delete(self, name: str) -> None:
        with self._explained(f"{name} cannot be deleted"):
            self.client.delete_object(Bucket=self._bucket, Key=self._prefix + name)


# --- Keeping copies ---------------------------------------------------------------------------------------------------


def sync(
    store: Store, directory: Path, keep_days: Mapping[str, int], now: datetime | None = None, newest_only: bool = False
) -> list[str]:
    """Puts every good backup of a directory into a store that is not there as it should be, and returns their names.

    Newest first. What an earlier run did not finish is done again; what is older than its class is kept is not put
    there any more. Each is read back before its manifest follows. Raises StoreError; what was done until then stays.
    """
    moment = now or datetime.now(timezone.utc)
    there = store.sizes()
    done = []
    for backup in list_backups(directory):
        days = keep_days.get(backup.retention_class)
        old = days is not None and backup.created_at < moment - timedelta(days=days)
        if backup.problem is None and not old and _state(backup, there).state != "verified":
            _put(store, backup, days if backup.retention_class == "audit" else None)
            done.append(backup.path.name)
        if newest_only:
            break
    return done


def _put(store: Store, backup: Backup, keep_days: int | None) -> None:
    store.put(backup.path, backup, keep_days)
    prove(store, backup)
    store.put(backup.manifest_path, backup, keep_days)


def prove(store: Store, backup: Backup) -> None:
    """Reads an artefact from a store; StoreError unless it is what the manifest says."""
    digest, size = hashlib.sha256(), 0
    for chunk in store.read(backup.path.name):
        digest.update(chunk)
        size += len(chunk)
    expected = backup.manifest["artefact"]
    if (size, digest.hexdigest()) != (expected["size_bytes"], expected["sha256"]):
        raise StoreError(
            f"store {store.name}: {backup.path.name} is not there what it is here: {size} bytes with sha256"
            f" {digest.hexdigest()}, the manifest says {expected['size_bytes']} with {expected['sha256']}"
        )


def copies(store: Store, backups: Iterable[Backup]) -> dict[str, Copy]:
    """How each of some backups is in a store, by its file's name; one listing, nothing is read."""
    try:
        there = store.sizes()
    except StoreError as error:
        return {backup.path.name: Copy(store.name, "unreachable", str(error)) for backup in backups}
    return {backup.path.name: _state(backup, there, store.name) for backup in backups}


def _state(backup: Backup, there: Mapping[str, int], store: str = "") -> Copy:
    size = there.get(backup.path.name)
    if size is None:
        return Copy(store, "missing")
    expected = backup.manifest.get("artefact", {}).get("size_bytes")
    if size != expected:
        return Copy(store, "differs", f"it has {size} bytes there, its manifest says {expected}")
    manifest_size = there.get(backup.manifest_path.name)
    if manifest_size is None:
        return Copy(store, "incomplete", "its manifest is not there yet")
    if backup.manifest_path.exists() and manifest_size != backup.manifest_path.stat().st_size:
        return Copy(store, "differs", "its manifest is another one there")
    return Copy(store, "verified")


def stored_names(store: Store) -> list[str]:
    """The finished backups of a store, newest first."""
    there = store.sizes()
    manifests = (name for name in there if name.endswith(MANIFEST_SUFFIX))
    return sorted((name for name in (one[: -len(MANIFEST_SUFFIX)] for one in manifests) if name in there), reverse=True)


def fetch(store: Store, name: str, directory: Path) -> Backup:
    """Brings a backup of a store into a directory, unless it is there. Raises StoreError, BackupError."""
    target = directory / name
    manifest_path = Path(f"{target}{MANIFEST_SUFFIX}")
    if not manifest_path.exists():
        partials = [directory / f"{PARTIAL}fetch-{name}", directory / f"{PARTIAL}fetch-{name}{MANIFEST_SUFFIX}"]
        try:
            for partial, wanted in zip(partials, (name, f"{name}{MANIFEST_SUFFIX}")):
                with open(partial, "wb", opener=private) as file:
                    _write(file, store.read(wanted))
            expected = json.loads(partials[1].read_text(encoding="utf-8"))["artefact"]["size_bytes"]
            if partials[0].stat().st_size != expected:
                raise StoreError(
                    f"store {store.name}: {name} has {partials[0].stat().st_size} bytes, its manifest says {expected}"
                )
            partials[0].rename(target)
            partials[1].rename(manifest_path)
            sync_directory(directory)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"store {store.name}: the manifest of {name} is none: {error!r}") from error
        finally:
            for partial in partials:
                if partial.exists():
                    partial.unlink()
    backup = load_backup(manifest_path)
    if backup is None or backup.problem is not None:
        raise BackupError(backup.problem if backup and backup.problem else f"{name} is no name of a backup")
    return backup


def _write(file: IO[bytes], chunks: Iterator[bytes]) -> None:
    for chunk in chunks:
        file.write(chunk)
    file.flush()
    os.fsync(file.fileno())


def find_store(settings: Sequence[Mapping[str, Any]], stack: str, name: str) -> Store:
    """The store of that name; StoreError that lists the known ones."""
    for one in settings:
        if one.get("name") == name:
            return open_store(one, stack)
    known = ", ".join(str(one.get("name")) for one in settings) or "none"
    raise StoreError(f"stack {stack} has no store {name!r}; it has: {known}")


def copy_to_stores(stack: Stack, settings: BackupSettings) -> tuple[list[str], list[str]]:
    """Brings every store of a stack up to date, and returns what was done and what is wrong, a line for each store.

    One that fails keeps none of the others from being served. A folder is also freed of what is too old; in S3 that is
    for a rule of the bucket, since credentials of a host should not be able to delete.
    """
    done, problems = [], []
    for one in settings.stores:
        try:
            store = open_store(one, stack.name)
            names = sync(store, stack.backups, settings.keep_days)
            if isinstance(store, DirectoryStore):
                store.prune(settings.keep_days)
            done.append(f"store {store.name}: {len(names)} copied and proved")
        except StoreError as error:  # noqa: PERF203 - the other stores are to be served
            problems.append(str(error))
    return done, problems


def open_stores(settings: Sequence[Mapping[str, Any]], stack: str) -> list[Store]:
    """All stores of a stack; StoreError when the settings of one make no sense."""
    return [open_store(one, stack) for one in settings]
