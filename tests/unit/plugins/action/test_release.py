# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.ballast.trading.plugins.action import release as action
from ansible_collections.ballast.trading.plugins.modules.release import unpack
from ansible_collections.ballast.trading.plugins.plugin_utils.tree import TreeFile

Run = Callable[..., dict[str, Any]]
RENDERED = {"/engine/config/engine.yaml": b"level: \xc3\xa9\n", "/gateway/compose.yaml": b"services: {}\n"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the action in a play below tmp_path; returns the arguments that reach the module."""
    rendered_with: list[Any] = []

    def call(rendered: dict[str, bytes] = RENDERED, **arguments: Any) -> dict[str, Any]:
        def render(_action: object, variables: object, trees: object, managed: str) -> dict[str, TreeFile]:
            rendered_with.extend([variables, trees, managed])
            return {path: TreeFile(path, content, False, f"templates{path}.j2") for path, content in rendered.items()}

        monkeypatch.setattr(action, "render_trees", render)
        monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
        plugin = action.ActionModule.__new__(action.ActionModule)
        plugin._task = SimpleNamespace(args=arguments)
        plugin._loader = SimpleNamespace(get_basedir=lambda: str(tmp_path), path_dwim=lambda path: str(tmp_path / path))
        plugin._execute_module = lambda module_args, **_: {"sent": module_args, "changed": True}
        result = plugin.run(task_vars={"level": 3})
        assert result["changed"] is True
        return {"rendered_with": rendered_with, **result["sent"]}

    return call


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Alice", "-c", "user.email=alice@example.org", "-c", "commit.gpgsign=false"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


def test_the_rendered_files_travel_in_one_call_with_the_arguments(run: Run) -> None:
    sent = run(stack="dev-main", trees=["../ib_gateway/templates/release", "release"], keep=3)
    assert (sent["stack"], sent["keep"]) == ("dev-main", 3)
    assert unpack(sent["payload"])["files"] == {
        "engine/config/engine.yaml": "level: é\n",
        "gateway/compose.yaml": "services: {}\n",
    }
    variables, trees, managed = sent["rendered_with"]
    assert variables == {"level": 3}
    assert trees == [{"src": "../ib_gateway/templates/release", "dest": ""}, {"src": "release", "dest": ""}]
    assert managed == (
        "Part of a release of ballast.trading: never edit it here, change the inventory and deploy again"
    )


def test_a_folder_of_code_becomes_part_of_the_release_as_it_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mean/lib/__pycache__").mkdir(parents=True)
    for name, text in {"main.py.j2": "{{ no template }}", "lib/a.py": "a = 1", "lib/__pycache__/a.pyc": "-"}.items():
        (tmp_path / "mean" / name).write_text(text)
    sent = run(stack="dev-main", trees=["release"], files={"engine/files": "mean"})
    assert unpack(sent["payload"])["files"].keys() - {path.lstrip("/") for path in RENDERED} == {
        "engine/files/main.py.j2",
        "engine/files/lib/a.py",
    }
    assert unpack(sent["payload"])["files"]["engine/files/main.py.j2"] == "{{ no template }}"


def test_a_folder_of_code_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        AnsibleActionFail, match=f"^folder {tmp_path}/mean cannot become part of the release: it is not"
    ):
        run(stack="dev-main", trees=["release"], files={"engine/files": "mean"})
    (tmp_path / "mean").mkdir()
    with pytest.raises(AnsibleActionFail, match=r"it holds no file$"):
        run(stack="dev-main", trees=["release"], files={"engine/files": "mean"})


def test_a_file_of_the_release_has_one_source(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mean").mkdir()
    (tmp_path / "mean/engine.yaml").write_text("-")
    with pytest.raises(AnsibleActionFail, match=r"^/engine/config/engine\.yaml has two sources: templates/engine/"):
        run(stack="dev-main", trees=["release"], files={"engine/config": "mean"})


def test_trees_may_be_written_as_any_list_of_a_module(run: Run) -> None:
    trees = run(stack="dev-main", trees="release,more")["rendered_with"][1]
    assert trees == [{"src": "release", "dest": ""}, {"src": "more", "dest": ""}]


@pytest.mark.parametrize("arguments", [{"release": "previous"}, {"state": "absent"}, {"trees": []}])
def test_without_trees_nothing_is_rendered_and_only_who_acts_is_sent(run: Run, arguments: dict[str, Any]) -> None:
    sent = run(stack="dev-main", **arguments)
    assert list(unpack(sent.pop("payload"))) == ["origin"]
    assert sent == {"rendered_with": [], "stack": "dev-main", **arguments}


def test_a_payload_by_hand_is_refused(run: Run) -> None:
    with pytest.raises(AnsibleActionFail) as refused:
        run(stack="dev-main", payload="x")
    assert refused.value.message == "payload is set by the action plugin; use trees"


def test_a_file_that_is_no_text_is_refused_by_name(run: Run) -> None:
    with pytest.raises(AnsibleActionFail) as refused:
        run({"/engine/logo": b"\x89PNG"}, stack="dev-main", trees=["release"])
    assert refused.value.message == (
        "templates/engine/logo.j2 is not UTF-8 text, and a release holds text files only:"
        " 'utf-8' codec can't decode byte 0x89 in position 0: invalid start byte"
    )


# ---- where a release comes from ----


def origin(run: Run) -> dict[str, Any]:
    document = unpack(run(stack="dev-main", trees=["release"])["payload"])["origin"]
    assert isinstance(document, dict)
    return document


def test_outside_a_repository_the_origin_is_who_and_where(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert origin(run) == {"user": getpass.getuser(), "controller": socket.gethostname(), "commit": None}


def test_the_origin_names_the_commit_and_whether_files_differ_from_it(run: Run, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert origin(run)["commit"] is None  # nothing was committed yet
    (tmp_path / "playbook.yml").write_text("---\n")
    git(tmp_path, "add", "playbook.yml")
    git(tmp_path, "commit", "--quiet", "--message", "One")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert origin(run)["commit"] == commit
    (tmp_path / "notes").touch()
    assert origin(run)["commit"] == commit
    (tmp_path / "playbook.yml").write_text("--- # changed\n")
    assert origin(run)["commit"] == f"{commit}+changes"


def test_without_git_the_commit_is_unknown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert origin(run)["commit"] is None


def test_a_user_without_a_name_is_told_by_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4242")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert origin(run)["user"] == f"uid {os.getuid()}"
