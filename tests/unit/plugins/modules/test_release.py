# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules release, release_info and stack_status, through main() on a host in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.change import deploy_lock
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal
from ansible_collections.ballast.trading.plugins.module_utils.releases import LINKS, content_hash
from ansible_collections.ballast.trading.plugins.modules import release
from tests.unit.plugins.module_utils.fake_host import ORIGIN, FakeHost, rendered, trees

Call = Callable[..., dict[str, Any]]


def changes(answer: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {diff["after_header"]: (diff["before"], diff["after"]) for diff in answer["diff"]}


def everything(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


# ---- deploying ----


def test_a_deploy_stages_activates_and_then_changes_nothing(host: FakeHost, call: Call, store: Any) -> None:
    first = call(release, **trees())
    assert first["changed"] is True
    assert first["release"] == store.link("current") == store.ids()[0]
    assert (first["previous"], first["slot"], first["gap_ms"], first["pruned"]) == (None, "blue", None, [])
    assert first["steps"][0] == f"staged release {first['release']}"
    assert first["steps"][-1] == f"release {first['release']} runs in slot blue"
    assert store.get(first["release"]).manifest["origin"] == ORIGIN
    assert changes(first)["engine/config/engine.yaml"] == ("", "one")

    second = call(release, **trees())
    assert second["changed"] is False
    assert (second["release"], second["steps"], second["diff"]) == (first["release"], [], [])


def test_the_diff_shows_what_differs_from_the_running_release_and_nothing_else(call: Call, host: FakeHost) -> None:
    call(release, **trees("one"))
    answer = call(release, **trees("two"))
    assert changes(answer) == {"engine/config/engine.yaml": ("one", "two")}
    assert (answer["slot"], answer["gap_ms"]) == ("green", pytest.approx(1000, abs=500))
    assert host.two_engines == []


def test_old_releases_are_pruned_after_an_activation(call: Call, store: Any) -> None:
    ids = [call(release, **trees(word), keep=1)["release"] for word in ("one", "two")]
    answer = call(release, **trees("three", gateway="three"), keep=1)
    assert answer["pruned"] == [ids[0]]
    assert sorted(store.ids()) == sorted([ids[1], answer["release"]])


def test_removing_an_old_release_is_a_change_and_predicted(call: Call, store: Any) -> None:
    ids = [call(release, **trees(word, gateway=word))["release"] for word in ("one", "two", "three")]
    last = trees("three", gateway="three")
    assert call(release, check=True, **last)["changed"] is False
    assert call(release, check=True, **last, keep=2)["changed"] is True
    assert sorted(store.ids()) == sorted(ids)
    answer = call(release, **last, keep=2)
    assert (answer["changed"], answer["pruned"]) == (True, [ids[0]])
    assert call(release, **last, keep=2)["changed"] is False


def test_a_deploy_that_fails_says_what_runs_now(host: FakeHost, call: Call, store: Any) -> None:
    first = call(release, **trees())["release"]
    host.failing["systemctl enable"] = "disk full"
    answer = call(release, **trees("two"))
    assert answer["failed"] is True
    assert answer["msg"].startswith(
        f"release {next(one for one in store.ids() if one != first)} of stack dev-main failed:"
    )
    assert "now: NOTHING TRADES: the release that ran before could not be restored either" in answer["msg"]


def test_a_full_disk_is_told_in_one_line(call: Call, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(release.ReleaseStore, "stage", full)
    assert call(release, **trees())["msg"] == "[Errno 28] No space left on device"
    assert host.events == []


def test_a_release_can_be_staged_without_touching_what_runs(host: FakeHost, call: Call, store: Any) -> None:
    call(release, **trees("one"))
    host.events.clear()
    answer = call(release, state="staged", **trees("two"))
    assert answer["changed"] is True
    assert answer["steps"] == [f"staged release {answer['release']}"]
    assert answer["release"] in store.ids()
    assert store.link("current") != answer["release"]
    assert host.events == []
    assert call(release, state="staged", **trees("two"))["changed"] is False
    assert call(release, release=answer["release"])["changed"] is True


def test_staging_says_whether_activating_would_change_anything(call: Call) -> None:
    staged = call(release, state="staged", **trees("one"))
    assert (staged["active"], staged["running"]) == (False, None)
    call(release, release=staged["release"])
    again = call(release, state="staged", **trees("one"))
    assert (again["active"], again["running"], again["changed"]) == (True, staged["release"], False)
    other = call(release, state="staged", **trees("two"))
    assert (other["active"], other["running"]) == (False, staged["release"])


def test_a_release_to_prune_is_work_for_the_activation(call: Call) -> None:
    for word in ("one", "two", "three"):
        call(release, **trees(word, gateway=word))
    last = trees("three", gateway="three")
    assert call(release, state="staged", **last)["active"] is True
    assert call(release, state="staged", **last, keep=2)["active"] is False


def test_check_mode_predicts_the_activation_of_a_release_that_it_has_only_predicted(call: Call, store: Any) -> None:
    first = call(release, **trees("one"))["release"]
    staged = call(release, check=True, state="staged", **trees("two"))
    assert (staged["changed"], staged["active"]) == (True, False)
    assert call(release, check=True, release=staged["release"]) == {
        "changed": True,
        "diff": [],
        "release": staged["release"],
        "previous": first,
        "running": first,
        "steps": [],
    }
    assert store.ids() == [first]
    assert "does not exist" in call(release, release=staged["release"])["msg"]


def test_new_secrets_are_work_for_the_activation_in_check_mode(call: Call) -> None:
    first = call(release, **trees("one"))["release"]
    staged = call(release, check=True, state="staged", secrets_changed=True, **trees("one"))
    assert (staged["changed"], staged["active"]) == (False, False)
    assert call(release, check=True, release=first, secrets_changed=True)["changed"] is True


# ---- rolling back ----


def test_a_rollback_says_what_it_changes(call: Call, store: Any) -> None:
    first = call(release, **trees("one"))["release"]
    second = call(release, **trees("two"))["release"]
    answer = call(release, release="previous")
    assert (answer["changed"], answer["release"], answer["previous"]) == (True, first, second)
    assert changes(answer) == {"engine/config/engine.yaml": ("two", "one")}
    assert call(release, release=first) == {
        "changed": False,
        "diff": [],
        "strategy": None,
        "gap_ms": None,
        "previous": second,
        "pruned": [],
        "release": first,
        "running": first,
        "slot": "blue",
        "steps": [],
    }
    assert store.link("current") == first


def test_a_rollback_without_a_previous_release_is_refused(call: Call) -> None:
    first = call(release, **trees())["release"]
    answer = call(release, release="previous")
    assert answer["msg"] == (
        f"stack dev-main has no previous release to return to; releases here, newest first: {first}"
    )


@pytest.mark.parametrize("damage", [shutil.rmtree, lambda path: (path / "engine/config/engine.yaml").unlink()])
def test_a_damaged_running_release_does_not_keep_a_deploy_from_replacing_it(
    call: Call, store: Any, damage: Callable[[Path], None]
) -> None:
    damage(store.folder / call(release, **trees("one"))["release"])
    answer = call(release, **trees("two"))
    assert (answer["changed"], answer["slot"]) == (True, "green")
    assert changes(answer)["engine/config/engine.yaml"] == ("", "two")


# ---- check mode ----


def test_on_a_blank_host_check_mode_predicts_a_first_release(
    host: FakeHost, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host.stack.etc / "stack.json").unlink()
    before = everything(tmp_path)
    answer = call(release, check=True, **trees())
    assert answer["changed"] is True
    assert answer["release"] == f"{content_hash(rendered())[:8]}-new"
    assert set(changes(answer)) == set(rendered())
    assert (answer["previous"], answer["steps"]) == (None, [])
    assert everything(tmp_path) == before


def test_without_check_mode_a_blank_host_is_refused(host: FakeHost, call: Call) -> None:
    (host.stack.etc / "stack.json").unlink()
    assert call(release, **trees())["msg"] == (
        f"stack 'dev-main' does not exist on this host ({host.stack.etc}/stack.json is missing); stacks here: none"
    )


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (trees("two"), False),
        (trees("three"), True),
        (trees("one"), True),
        ({"release": "previous"}, True),
        ({"state": "staged", **trees("one")}, False),
        ({"state": "staged", **trees("three")}, True),
        ({"state": "absent"}, True),
    ],
)
def test_check_mode_predicts_what_a_run_would_change_and_changes_nothing(
    host: FakeHost, call: Call, store: Any, arguments: dict[str, Any], changed: bool
) -> None:
    for word in ("one", "two"):
        call(release, **trees(word))
    host.events.clear()
    before = everything(host.stack.root), {name: store.link(name) for name in LINKS}, set(host.running)
    predicted = call(release, check=True, **arguments)
    assert (everything(host.stack.root), {name: store.link(name) for name in LINKS}, host.running) == before
    assert host.events == []
    real = call(release, **arguments)
    assert (predicted["changed"], real["changed"]) == (changed, changed)
    assert predicted.get("diff") == real.get("diff")


def test_check_mode_sees_that_what_should_run_does_not(host: FakeHost, call: Call) -> None:
    call(release, **trees())
    host._stop("ballast-engine@dev-main-blue.service")
    assert call(release, check=True, **trees())["changed"] is True


def test_check_mode_predicts_the_restart_for_a_secret_that_it_did_not_write(call: Call) -> None:
    call(release, **trees())
    assert call(release, check=True, **trees(), secrets_changed=True)["changed"] is True
    assert call(release, **trees(), secrets_changed=True)["changed"] is False


def test_check_mode_refuses_what_a_run_would_refuse(call: Call) -> None:
    answer = call(release, check=True, release="20200101T000000Z-00000000")
    assert answer["msg"] == (
        "release '20200101T000000Z-00000000' of stack dev-main does not exist; releases here, newest first: none"
    )


# ---- removing ----


@pytest.mark.parametrize("described", [True, False])
def test_a_stack_is_removed_once(host: FakeHost, call: Call, described: bool) -> None:
    call(release, **trees())
    if not described:
        (host.stack.etc / "stack.json").unlink()
    answer = call(release, state="absent")
    assert (answer["changed"], answer["steps"][-1]) == (True, "removed every release of stack dev-main")
    assert host.running == set()
    assert not host.stack.opt.exists()
    assert call(release, state="absent") == {"changed": False, "steps": []}


def test_a_stack_that_does_not_stop_is_not_removed(host: FakeHost, call: Call) -> None:
    call(release, **trees())
    host.unstoppable.add("ballast-dev-main-engine-blue")
    assert call(release, state="absent")["msg"] == (
        "stack dev-main was not removed: container ballast-dev-main-engine-blue still runs after its unit"
        " ballast-engine@dev-main-blue.service was stopped"
    )


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", ["", ".."])
def test_what_cannot_be_a_stack_takes_nothing_away(host: FakeHost, call: Call, name: str, check: bool) -> None:
    call(release, **trees())
    before = everything(host.stack.root)
    assert call(release, check, stack=name, state="absent")["msg"].startswith(
        f"{name!r} cannot be the name of a stack;"
    )
    assert everything(host.stack.root) == before


# ---- arguments ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "state is active but any of the following are missing: trees, release"),
        ({"state": "staged"}, "state is staged but all of the following are missing: trees"),
        ({"trees": ["a"], "release": "previous"}, "parameters are mutually exclusive: trees|release"),
    ],
)
def test_arguments_that_do_not_belong_together_are_refused(call: Call, arguments: dict[str, Any], message: str) -> None:
    assert call(release, **arguments)["msg"] == message


# ---- what is in the way ----


def test_a_closed_window_is_forced_with_a_reason(host: FakeHost, call: Call) -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    window = {"name": "inventory", "days": days, "from": "00:00", "to": "00:00", "timezone": "Etc/UTC"}
    path = host.stack.etc / "stack.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "closed_windows": [window]}))
    assert call(release, check=True, **trees())["changed"] is True
    refused = call(release, **trees(), force_reason=" ")["msg"]
    assert refused.startswith("stack dev-main is not to be changed now: the window 'inventory' is closed")
    assert host.events == []
    assert call(release, **trees(), force_reason="it runs wild")["slot"] == "blue"
    assert Journal(host.stack).entries()[0]["text"] == "forced: it runs wild"


def test_a_deploy_waits_for_another_and_then_names_it(host: FakeHost, call: Call) -> None:
    with deploy_lock(host.stack, "bob from 192.0.2.7", "rollback"):
        refused = call(release, **trees(), wait=1)["msg"]
    assert refused.startswith("stack dev-main is being changed by bob from 192.0.2.7, process ")
    assert ", rollback, and still is after 1 s; try again later" in refused
    assert host.events == []
