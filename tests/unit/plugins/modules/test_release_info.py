# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of a stack's releases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.ballast.trading.plugins.modules import release, release_info
from tests.unit.plugins.module_utils.fake_host import ORIGIN, FakeHost, trees

Call = Callable[..., dict[str, Any]]


def test_releases_are_listed_newest_first_with_their_damage(host: FakeHost, call: Call, store: Any) -> None:
    for word in ("one", "two"):
        call(release, **trees(word))
    newest, oldest = reversed(store.ids())
    assert call(release_info)["releases"] == [
        {
            "id": release_id,
            "created_at": store.get(release_id).manifest["created_at"],
            "origin": ORIGIN,
            "images": store.get(release_id).manifest["images"],
            "damage": "",
        }
        for release_id in (newest, oldest)
    ]
    (store.folder / newest / "engine/compose.yaml").unlink()
    (store.folder / oldest / "release.json").write_text("{}")
    answer = call(release_info, check=True)
    assert (answer["changed"], answer["current"], answer["previous"]) == (
        False,
        store.link("current"),
        store.link("previous"),
    )
    prose = "A release is never edited in place: remove {} and deploy again, or choose another release"
    assert [entry["damage"] for entry in answer["releases"]] == [
        f"release {release_id} of stack dev-main is damaged: {problem}. {prose.format(store.folder / release_id)}"
        for release_id, problem in (
            (newest, "engine/compose.yaml is missing"),
            (oldest, "release.json is not a release's manifest"),
        )
    ]
    assert host.two_engines == []


def test_the_releases_of_an_unknown_stack_cannot_be_listed(call: Call, tmp_path: Path) -> None:
    assert call(release_info, stack="paper")["msg"] == (
        f"stack 'paper' does not exist on this host ({tmp_path}/etc/ballast/paper/stack.json is missing);"
        " stacks here: dev-main"
    )
