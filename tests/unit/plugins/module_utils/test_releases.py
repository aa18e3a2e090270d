# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import releases
from ansible_collections.ballast.trading.plugins.module_utils.releases import (
    LITTER_SECONDS,
    Release,
    ReleaseError,
    ReleaseStore,
    content_hash,
)
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed, rendered

ORIGIN = {"user": "alice", "controller": "desk", "commit": "abc"}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return deployed(tmp_path)


@pytest.fixture
def host(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(stack, monkeypatch)


@pytest.fixture
def store(host: FakeHost) -> ReleaseStore:
    return ReleaseStore(host.stack)


def message(call: Callable[..., object], *arguments: object) -> str:
    """What a call that must be refused says."""
    with pytest.raises(ReleaseError) as refused:
        call(*arguments)
    return str(refused.value)


def damaged(release: Release, problem: str) -> str:
    return (
        f"release {release.id} of stack dev-main is damaged: {problem}. A release is never edited in place:"
        f" remove {release.path} and deploy again, or choose another release"
    )


# ---- staging ----


def test_a_staged_release_holds_what_was_rendered_its_images_and_its_manifest(store: ReleaseStore) -> None:
    release = store.stage(rendered(), ORIGIN)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", release.id)
    assert store.ids() == [release.id]
    files = {str(path.relative_to(release.path)): path for path in release.path.rglob("*") if path.is_file()}
    assert sorted(files) == sorted([*rendered(), "engine/.env", "gateway/.env", "release.json"])
    assert {path: files[path].read_bytes() for path in rendered()} == rendered()
    assert files["engine/.env"].read_text() == "BALLAST_IMAGE=ballast/engine@sha256:bb\n"
    manifest = json.loads(files["release.json"].read_text())
    assert manifest == release.manifest == store.get(release.id).manifest
    assert manifest["images"]["gateway"] == {"reference": "ballast/gateway:1", "pinned": "ballast/gateway@sha256:aa"}
    assert (manifest["stack"], manifest["environment"], manifest["origin"]) == ("dev-main", "dev", ORIGIN)
    assert manifest["content"] == content_hash(rendered())
    store.verify(release)


def test_everybody_may_read_a_release_whatever_the_umask(store: ReleaseStore) -> None:
    before = os.umask(0o077)
    try:
        release = store.stage({**rendered(), "engine/config/strategies/daily/mean.yaml": b"window: 20\n"}, ORIGIN)
    finally:
        os.umask(before)
    paths = [release.path, *release.path.rglob("*")]
    assert {(path.is_dir(), path.stat().st_mode & 0o777) for path in paths} == {(True, 0o755), (False, 0o644)}


def test_the_same_content_is_the_same_release_whoever_sends_it(store: ReleaseStore) -> None:
    first = store.stage(rendered(), ORIGIN)
    assert store.stage(dict(reversed(rendered().items())), {"user": "bob"}).id == first.id
    assert store.get(first.id).manifest["origin"] == ORIGIN
    assert store.stage(rendered("two"), ORIGIN).id != first.id
    assert len(store.ids()) == 2


def test_only_the_service_that_differs_has_another_fingerprint(store: ReleaseStore) -> None:
    one, two = store.stage(rendered("one"), ORIGIN), store.stage(rendered("two"), ORIGIN)
    assert one.fingerprint("gateway") == two.fingerprint("gateway")
    assert one.fingerprint("engine") != two.fingerprint("engine")


def test_content_that_was_damaged_on_the_host_is_staged_again_beside_it(store: ReleaseStore) -> None:
    first = store.stage(rendered(), ORIGIN)
    (first.path / "engine/config/engine.yaml").write_text("by hand")
    again = store.stage(rendered(), ORIGIN)
    assert again.id > first.id
    assert store.stage(rendered(), ORIGIN).id == again.id


def test_an_image_that_is_not_on_the_host_is_pulled(host: FakeHost, store: ReleaseStore) -> None:
    del host.images["ballast/engine:1"]
    host.pullable.add("ballast/engine:1")
    release = store.stage(rendered(), ORIGIN)
    assert release.manifest["images"]["engine"]["pinned"] == "ballast/engine@sha256:cc"


def refuse_a_pull(host: FakeHost) -> str:
    del host.images["ballast/engine:1"]
    return (
        "image ballast/engine:1 is not on this host and could not be pulled:"
        " `docker pull --quiet ballast/engine:1` failed with status 1: not found"
    )


def refuse_the_compose_file(host: FakeHost) -> str:
    host.failing["compose engine"] = "services.engine Additional property imagee is not allowed"
    return (
        "engine/compose.yaml of the new release is not valid: `compose engine` failed with status 1:"
        " services.engine Additional property imagee is not allowed"
    )


@pytest.mark.parametrize("refuse", [refuse_a_pull, refuse_the_compose_file])
def test_a_release_that_is_refused_leaves_nothing_behind(
    host: FakeHost, store: ReleaseStore, refuse: Callable[[FakeHost], str]
) -> None:
    expected = refuse(host)
    assert message(store.stage, rendered(), ORIGIN) == expected
    assert list(store.folder.iterdir()) == []


def test_an_engine_that_could_not_be_probed_is_refused(store: ReleaseStore) -> None:
    files = rendered(probe={"kind": "log", "redy": "RUNNING"})
    assert message(store.stage, files, ORIGIN) == (
        "engine/service.json of the new release: probe.ready is not set; wanted a value, because the kind is log"
    )


@pytest.mark.parametrize(
    ("service", "problem"),
    [
        (None, "is missing; a release has a gateway and an engine"),
        (b"[]", "is not a JSON object: 'list' object has no attribute 'keys'"),
        (b"{", "is not a JSON object: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"image": "x", "probe": {}}', "lacks ready_timeout_seconds, stable_seconds, stop_grace_seconds"),
    ],
)
def test_a_service_without_its_settings_is_refused(store: ReleaseStore, service: bytes | None, problem: str) -> None:
    files = {path: data for path, data in rendered().items() if path != "engine/service.json"}
    if service is not None:
        files["engine/service.json"] = service
    assert message(store.stage, files, ORIGIN) == f"engine/service.json of the new release {problem}"
    assert list(store.folder.iterdir()) == []


def test_a_killed_staging_leaves_nothing_behind(
    host: FakeHost, store: ReleaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(releases, "image_digest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.stage(rendered(), ORIGIN)
    assert list(store.folder.iterdir()) == []
    assert host.events == []


# ---- damage ----


def change(release: Release) -> str:
    (release.path / "engine/config/engine.yaml").write_text("by hand")
    return "engine/config/engine.yaml was changed"


def remove(release: Release) -> str:
    (release.path / "engine/.env").unlink()
    return "engine/.env is missing"


def add(release: Release) -> str:
    (release.path / "gateway/compose.override.yaml").touch()
    return "gateway/compose.override.yaml was added"


def everything(release: Release) -> str:
    return "; ".join([remove(release), add(release), change(release)])


@pytest.mark.parametrize("damage", [change, remove, add, everything])
def test_every_edit_by_hand_is_found_and_named(store: ReleaseStore, damage: Callable[[Release], str]) -> None:
    release = store.stage(rendered(), ORIGIN)
    problem = damage(release)
    assert message(store.verify, release) == damaged(release, problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "release.json cannot be read (Expecting value: line 1 column 1 (char 0))"),
        (None, "release.json cannot be read ([Errno 2] No such file or directory: '{path}/release.json')"),
        ("[]", "release.json is not a release's manifest"),
        ('{"files": {}}', "release.json is not a release's manifest"),
        (
            '{"content": "", "created_at": "", "origin": {}, "images": {}, "files": null}',
            "release.json is not a release's manifest",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used_is_damage(store: ReleaseStore, text: str | None, problem: str) -> None:
    release = store.stage(rendered(), ORIGIN)
    manifest = release.path / "release.json"
    manifest.unlink() if text is None else manifest.write_text(text)
    store.set_link("current", release.id)
    assert message(store.get, release.id) == damaged(release, problem.format(path=release.path))
    assert store.linked("current") is None
    assert store.find_content(content_hash(rendered())) is None


def test_an_unknown_release_is_refused_with_those_that_exist_newest_first(store: ReleaseStore) -> None:
    unknown = "20200101T000000Z-00000000"
    refusal = f"release '{unknown}' of stack dev-main does not exist; releases here, newest first:"
    assert message(store.get, unknown) == f"{refusal} none"
    ids = sorted(store.stage(rendered(word), ORIGIN).id for word in ("one", "two"))
    assert message(store.get, unknown) == f"{refusal} {ids[1]}, {ids[0]}"


@pytest.mark.parametrize("name", ["..", "current", "20261122T204501Z-3fa9c1d2/../x"])
def test_only_an_id_names_a_release(store: ReleaseStore, name: str) -> None:
    store.set_link("current", store.stage(rendered(), ORIGIN).id)
    assert message(store.get, name).startswith(f"release {name!r} of stack dev-main does not exist;")


# ---- links ----


def test_a_link_names_a_release_and_follows_a_moved_tree(store: ReleaseStore, stack: Stack) -> None:
    release = store.stage(rendered(), ORIGIN)
    for name, target in (("current", "releases"), ("active/blue", "../releases")):
        assert store.link(name) is None
        store.set_link(name, release.id)
        assert store.link(name) == release.id
        assert (stack.opt / name).readlink() == Path(target) / release.id
    store.set_link("current", None)
    store.set_link("current", None)
    assert store.link("current") is None


def test_a_link_is_never_missing_while_it_moves(store: ReleaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (store.stage(rendered(word), ORIGIN).id for word in ("one", "two"))
    store.set_link("current", old)
    seen = []
    replace = Path.replace

    def watched(path: Path, target: Path) -> Path:
        seen.append(store.link("current"))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    store.set_link("current", new)
    assert (seen, store.link("current")) == ([old], new)


def test_a_link_is_on_disk_before_anything_relies_on_it(
    store: ReleaseStore, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = store.stage(rendered(), ORIGIN)
    on_disk = []
    monkeypatch.setattr(releases, "sync_directory", lambda folder: on_disk.append((folder, store.link("active/blue"))))
    for target in (release.id, None, None):
        store.set_link("active/blue", target)
    assert on_disk == [(stack.opt / "active", release.id), (stack.opt / "active", None)]


def test_a_link_half_made_by_a_killed_run_is_in_nobodys_way(store: ReleaseStore, stack: Stack) -> None:
    release = store.stage(rendered(), ORIGIN)
    (stack.opt / ".current.new").symlink_to("nowhere")
    store.set_link("current", release.id)
    assert store.link("current") == release.id
    assert not (stack.opt / ".current.new").is_symlink()


# ---- pruning ----


@pytest.mark.parametrize("name", ["current", "previous", "active/gateway", "active/blue", "active/green"])
@pytest.mark.parametrize("keep", [0, 1])
def test_pruning_spares_what_runs_and_what_a_rollback_needs(store: ReleaseStore, name: str, keep: int) -> None:
    for word in ("one", "two", "three"):
        store.stage(rendered(word), ORIGIN)
    oldest, middle, newest = store.ids()
    store.set_link(name, oldest)
    assert store.prune(keep) == ([middle] if keep else [middle, newest])
    assert oldest in store.ids()


def test_pruning_keeps_the_newest(store: ReleaseStore) -> None:
    for word in ("one", "two", "three"):
        store.stage(rendered(word), ORIGIN)
    before = store.ids()
    assert store.prune(5) == []
    assert store.prune(2) == before[:1]
    assert store.ids() == before[1:]


def test_pruning_clears_old_litter_but_not_what_another_run_is_staging(host: FakeHost, store: ReleaseStore) -> None:
    store.stage(rendered(), ORIGIN)
    old, young = store.folder / ".staging-old", store.folder / ".staging-young"
    for folder in (old, young):
        folder.mkdir()
        os.utime(folder, (host.now, host.now))
    host.now += LITTER_SECONDS + 1
    os.utime(young, (host.now, host.now))
    assert store.prune(5) == []
    assert (old.exists(), young.exists()) == (False, True)
