# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of backups elsewhere: a folder, and a real S3 endpoint with faults between it and us."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from ansible_collections.ballast.trading.plugins.module_utils import stores
from ansible_collections.ballast.trading.plugins.module_utils.archive import verify_backup
from ansible_collections.ballast.trading.plugins.module_utils.manifest import KEEP_DAYS, Backup, list_backups
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import snapshot
from ansible_collections.ballast.trading.plugins.module_utils.stores import (
    Store,
    StoreError,
    copies,
    fetch,
    open_store,
    prove,
    stored_names,
    sync,
)
from tests.unit.plugins.faulty_proxy import FaultyProxy
from tests.unit.plugins.sqlite_samples import make_ledger

moto_server = pytest.importorskip("moto.server", reason="moto is not installed: make setup")

NOW = datetime(2026, 11, 22, 20, 45, 1, 123000, tzinfo=UTC)
BUCKET = "offsite"
PREFIX = "ballast/dev-main/"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """An S3 endpoint on loopback."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def proxy(port: int) -> Iterator[FaultyProxy]:
    with FaultyProxy(port) as proxy:
        yield proxy


@pytest.fixture
def client(port: int) -> Iterator[Any]:
    """What somebody else does in the bucket; it begins empty."""
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
                          aws_access_key_id="x", aws_secret_access_key="x")  # fmt: skip
    client.create_bucket(Bucket=BUCKET)
    yield client
    boto3.session.Session()
    for one in client.list_object_versions(Bucket=BUCKET).get("Versions", []):
        client.delete_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"], BypassGovernanceRetention=True)
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def settings(proxy: FaultyProxy, tmp_path: Path) -> dict[str, Any]:
    credentials = tmp_path / "s3.env"
    credentials.write_text("offsite.AWS_ACCESS_KEY_ID=key\noffsite.AWS_SECRET_ACCESS_KEY=secret\n")
    return {
        "name": "offsite", "kind": "s3", "bucket": BUCKET, "prefix": "ballast", "region": "us-east-1",
        "endpoint": f"http://127.0.0.1:{proxy.port}", "credentials": str(credentials), "encryption": "AES256",
    }  # fmt: skip


@pytest.fixture
def s3(settings: dict[str, Any], client: Any) -> Store:
    return open_store(settings, "dev-main")


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    (tmp_path / "nas").mkdir()
    return open_store({"name": "nas", "kind": "directory", "path": str(tmp_path / "nas")}, "dev-main")


@pytest.fixture(params=["s3", "folder"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each kind of store."""
    found: Store = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """A directory with one backup of some 12 MB, more than a part of a multipart upload."""
    place = tmp_path / "backups"
    place.mkdir()
    ledger = make_ledger(tmp_path / "trades.db", rows=2000, note_size=6000)
    snapshot(ledger, place, compress=False, now=NOW)
    return place


@pytest.fixture(autouse=True)
def quick_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attempts as ever, with shorter waits."""
    monkeypatch.setattr(stores, "_ATTEMPTS", 2)
    monkeypatch.setattr(stores, "_SECONDS", 3)


def only(backups: Path) -> Backup:
    (one,) = list_backups(backups)
    return one


def state(store: Store, backups: Path) -> str:
    return copies(store, [only(backups)])[only(backups).path.name].state


# --- Copies that are good ---------------------------------------------------------------------------------------------


def test_a_backup_is_copied_proved_listed_and_brought_back(store: Store, backups: Path, tmp_path: Path) -> None:
    one = only(backups)
    assert state(store, backups) == "missing"
    assert sync(store, backups, KEEP_DAYS, NOW) == [one.path.name]
    assert state(store, backups) == "verified"
    assert stored_names(store) == [one.path.name]
    (tmp_path / "elsewhere").mkdir()
    back = fetch(store, one.path.name, tmp_path / "elsewhere")
    assert (back.manifest, back.problem) == (one.manifest, None)
    assert verify_backup(back, mode="deep").status == "ok"
    assert sorted(os.listdir(tmp_path / "elsewhere")) == sorted([one.path.name, one.manifest_path.name])  # noqa: PTH208


def test_what_is_there_is_not_put_there_again(store: Store, backups: Path) -> None:
    sync(store, backups, KEEP_DAYS, NOW)
    assert sync(store, backups, KEEP_DAYS, NOW) == []


def test_what_is_older_than_it_is_kept_is_not_put_there_any_more(store: Store, backups: Path) -> None:
    assert sync(store, backups, KEEP_DAYS, NOW + timedelta(days=31)) == []


def test_a_damaged_backup_is_never_copied(store: Store, backups: Path) -> None:
    only(backups).path.write_bytes(b"x")
    assert sync(store, backups, KEEP_DAYS, NOW) == []


def test_objects_are_encrypted_and_carry_a_checksum(s3: Store, backups: Path, client: Any) -> None:
    sync(s3, backups, KEEP_DAYS, NOW)
    head = client.head_object(Bucket=BUCKET, Key=PREFIX + only(backups).path.name, ChecksumMode="ENABLED")
    assert head["ServerSideEncryption"] == "AES256"
    assert head["ChecksumSHA256"]
    assert head["ETag"].endswith('-2"'), "it was no multipart upload"
    assert head["Metadata"] == {"class": "snapshot"}


def test_an_audit_archive_is_locked_for_its_time_and_nothing_else_is(
    settings: dict[str, Any], backups: Path, port: int
) -> None:
    admin = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
                         aws_access_key_id="x", aws_secret_access_key="x")  # fmt: skip
    admin.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    store = open_store({**settings, "bucket": "locked", "object_lock": "COMPLIANCE"}, "dev-main")
    sync(store, backups, KEEP_DAYS, NOW)
    one = only(backups)
    assert "ObjectLockMode" not in admin.head_object(Bucket="locked", Key=PREFIX + one.path.name)
    audit = {**one.manifest, "class": "audit"}
    one.manifest_path.write_text(json.dumps(audit))
    assert sync(store, backups, KEEP_DAYS, NOW) == [one.path.name]
    for name in (one.path.name, one.manifest_path.name):
        head = admin.head_object(Bucket="locked", Key=PREFIX + name)
        assert head["ObjectLockMode"] == "COMPLIANCE"
        assert head["ObjectLockRetainUntilDate"].date() == (NOW + timedelta(days=KEEP_DAYS["audit"])).date()


# --- Behind our back --------------------------------------------------------------------------------------------------


def tamper(store: Store, name: str, harm: Callable[[bytes], bytes | None], tmp_path: Path) -> None:
    """Changes a file in a store as somebody else would."""
    data = harm(b"".join(store.read(name)))
    if data is None:
        store.delete(name)
        return
    changed = tmp_path / "changed" / name
    changed.parent.mkdir(exist_ok=True)
    changed.write_bytes(data)
    store.put(changed, Backup(changed, changed, NOW, 0, {}), None)


@pytest.mark.parametrize(
    ("harm", "seen"),
    [(lambda _data: None, "missing"), (lambda data: data[:-1], "differs")],
    ids=["deleted", "cut"],
)
def test_what_was_deleted_or_cut_is_listed_as_such_and_put_there_again(
    store: Store, backups: Path, tmp_path: Path, harm: Callable[[bytes], bytes | None], seen: str
) -> None:
    name = only(backups).path.name
    sync(store, backups, KEEP_DAYS, NOW)
    tamper(store, name, harm, tmp_path)
    assert state(store, backups) == seen
    assert sync(store, backups, KEEP_DAYS, NOW) == [name]
    prove(store, only(backups))


def test_a_deleted_manifest_makes_a_copy_count_for_nothing(store: Store, backups: Path) -> None:
    sync(store, backups, KEEP_DAYS, NOW)
    store.delete(only(backups).manifest_path.name)
    assert (state(store, backups), stored_names(store)) == ("incomplete", [])


def test_a_changed_byte_is_found_by_reading_it(store: Store, backups: Path, tmp_path: Path) -> None:
    one = only(backups)
    sync(store, backups, KEEP_DAYS, NOW)
    tamper(store, one.path.name, lambda data: data[:9000] + b"!" + data[9001:], tmp_path)
    with pytest.raises(StoreError, match="is not there what it is here"):
        prove(store, one)
    (tmp_path / "elsewhere").mkdir()
    assert verify_backup(fetch(store, one.path.name, tmp_path / "elsewhere")).status == "failed"


# --- Faults -----------------------------------------------------------------------------------------------------------


def test_an_outage_in_the_middle_of_an_upload_leaves_nothing_that_counts_and_the_next_run_catches_up(
    s3: Store, backups: Path, proxy: FaultyProxy, client: Any
) -> None:
    proxy.cut_after(9 << 20)
    with pytest.raises(StoreError, match=r"^store offsite \(s3://offsite/ballast/dev-main/\): .* cannot be put "):
        sync(s3, backups, KEEP_DAYS, NOW)
    assert proxy.resets > 0
    assert copies(s3, [only(backups)])[only(backups).path.name].state == "unreachable"
    assert only(backups).problem is None, "the copy here must stay"
    proxy.heal()
    assert stored_names(s3) == []
    assert sync(s3, backups, KEEP_DAYS, NOW) == [only(backups).path.name]
    assert state(s3, backups) == "verified"
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == [], "parts were left over"


def test_a_short_outage_is_sat_out(
    s3: Store, backups: Path, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_ATTEMPTS", 5)
    reset = proxy._reset

    def heal_after_reset(client: Any) -> None:
        reset(client)
        proxy.heal()

    monkeypatch.setattr(proxy, "_reset", heal_after_reset)
    proxy.cut_after(9 << 20)
    assert sync(s3, backups, KEEP_DAYS, NOW) == [only(backups).path.name]
    assert (proxy.resets, state(s3, backups)) == (1, "verified")


def test_a_killed_upload_is_done_again_and_its_parts_are_removed(
    s3: Store, backups: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = os.fork()
    if child == 0:
        try:
            s3.client.meta.events.register("before-call.s3.UploadPart", lambda params, **_more: (
                os.kill(os.getpid(), signal.SIGKILL) if "partNumber=2" in params["url"] else None))  # fmt: skip
            sync(s3, backups, KEEP_DAYS, NOW)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]) == 1
    assert state(s3, backups) == "missing"
    sync(s3, backups, KEEP_DAYS, NOW)
    assert state(s3, backups) == "verified"
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_what_is_not_read_back_as_it_is_does_not_count(
    store: Store, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = type(store).read
    monkeypatch.setattr(type(store), "read", lambda self, name: (part.swapcase() for part in read(self, name)))
    with pytest.raises(StoreError, match="is not there what it is here"):
        sync(store, backups, KEEP_DAYS, NOW)
    assert (state(store, backups), stored_names(store)) == ("incomplete", [])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bucket": "nobody"}, "store offsite (s3://nobody/ballast/dev-main/): cannot be listed: the bucket does not"
         " exist; create it, or correct its name (NoSuchBucket)"),
        ({"endpoint": "http://127.0.0.1:1"}, "store offsite (s3://offsite/ballast/dev-main/): cannot be listed:"
         ' Could not connect to the endpoint URL: "http://127.0.0.1:1/offsite'),
        ({"credentials": "/nowhere.env"},
         "store offsite: its credentials /nowhere.env cannot be read: No such file or directory"),
        ({"kind": "ftp"}, "store offsite is of kind 'ftp'; wanted directory or s3"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_store_is_said(
    settings: dict[str, Any], client: Any, change: dict[str, Any], text: str
) -> None:
    with pytest.raises(StoreError) as caught:
        open_store({**settings, **change}, "dev-main").sizes()
    assert str(caught.value).startswith(text)


def test_another_prefix_is_another_place(settings: dict[str, Any], s3: Store, backups: Path) -> None:
    sync(s3, backups, KEEP_DAYS, NOW)
    assert open_store({**settings, "prefix": "balast"}, "dev-main").sizes() == {}
    assert open_store(settings, "dev").sizes() == {}, "another stack"


def test_credentials_without_a_key_are_refused(settings: dict[str, Any]) -> None:
    Path(settings["credentials"]).write_text("offsite.AWS_ACCESS_KEY_ID=key\n")
    with pytest.raises(StoreError, match=r"lack offsite.AWS_SECRET_ACCESS_KEY$"):
        open_store(settings, "dev-main").sizes()


def test_a_disk_that_is_not_mounted_is_not_taken_for_one_that_is(folder: Store, backups: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "nas")
    with pytest.raises(StoreError, match=f"^store nas: {tmp_path}/nas does not exist; is its disk mounted"):
        sync(folder, backups, KEEP_DAYS, NOW)


def test_what_a_killed_run_left_in_a_folder_is_removed(folder: Store, backups: Path, tmp_path: Path) -> None:
    (tmp_path / "nas/dev-main").mkdir()
    (tmp_path / "nas/dev-main/.partial-old.db").touch()
    sync(folder, backups, KEEP_DAYS, NOW)
    assert sorted(os.listdir(tmp_path / "nas/dev-main")) == sorted(path.name for path in backups.iterdir())  # noqa: PTH208
