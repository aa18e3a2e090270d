# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module turns a task into a plan, reports it truthfully and refuses with everything it found."""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.ballast.trading.plugins.module_utils import host_files
from ansible_collections.ballast.trading.plugins.modules import host_tree


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, capsys)


class Host:
    """A folder that stands for a host, and runs of the module on it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = folder / "host"
        self.root.mkdir()
        self.manifests = folder / "manifests"
        self._capsys = capsys

    def run(self, *files: dict[str, Any], fails: bool = False, **arguments: Any) -> dict[str, Any]:
        payload = [
            {"owner": None, "group": None, "mode": "0644", "secret": False}
            | entry
            | {"path": f"{self.root}{entry['path']}", "content": host_files.content_to_json(entry["content"].encode())}
            for entry in files
        ]
        parameters = {"name": "a", "manifests": str(self.manifests), "payload": host_files.pack(payload), **arguments}
        with patch_module_args(parameters), pytest.raises(SystemExit) as ended:
            host_tree.main()
        assert bool(ended.value.code) is fails
        result: dict[str, Any] = json.loads(self._capsys.readouterr().out.replace(str(self.root), ""))
        return result

    def refuses(self, *files: dict[str, Any], **arguments: Any) -> list[str]:
        result = self.run(*files, fails=True, **arguments)
        first, *points = result["msg"].split("\n- ")
        assert first == f"host_tree {arguments.get('name', 'a')!r}: nothing was changed, because"
        return list(points)


def file(path: str, content: str = "new\n", **attributes: Any) -> dict[str, Any]:
    return {"path": path, "content": content, **attributes}


def test_a_first_run_reports_what_it_did_and_a_second_one_nothing(host: Host) -> None:
    first = host.run(file("/etc/x"), groups={"etc": [f"{host.root}/etc/*"], "var": [f"{host.root}/var/**"]})
    assert {key: first[key] for key in ("changed", "files", "directories", "changed_groups")} == {
        "changed": True,
        "files": [{"path": "/etc/x", "action": "created"}],
        "directories": [{"path": "/etc", "action": "created"}],
        "changed_groups": ["etc"],
    }
    assert (host.root / "etc/x").read_text() == "new\n"
    second = host.run(file("/etc/x"), groups={"etc": [f"{host.root}/etc/*"]})
    assert (second["changed"], second["files"], second["changed_groups"]) == (False, [], [])


def test_a_group_changes_when_one_of_its_files_goes(host: Host) -> None:
    host.run(file("/units/x.service"))
    result = host.run(groups={"units": [f"{host.root}/units/*"]})
    assert result["files"] == [{"path": "/units/x.service", "action": "removed"}]
    assert result["changed_groups"] == ["units"]


def test_absent_removes_everything_and_the_manifest(host: Host) -> None:
    host.run(file("/etc/x"), directories=[{"path": f"{host.root}/d"}])
    result = host.run(state="absent")
    assert result["files"] == [{"path": "/etc/x", "action": "removed"}]
    assert result["directories"] == [{"path": "/etc", "action": "removed"}, {"path": "/d", "action": "removed"}]
    assert list(host.root.iterdir()) == []
    assert not host.manifests.exists()
    assert host.run(state="absent")["changed"] is False


def test_check_mode_on_a_blank_host_predicts_and_touches_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings = []
    monkeypatch.setattr(host_tree.AnsibleModule, "warn", lambda _self, text: warnings.append(text))
    owned = {"owner": "nobody-yet", "group": "none-yet"}
    result = host.run(
        file("/etc/x", **owned),
        directories=[{"path": f"{host.root}/d", "mode": "0700", **owned}],
        validate=[{"path": f"{host.root}/etc/*", "command": "no-such-checker %s"}],
        _ansible_check_mode=True,
        _ansible_diff=True,
    )
    assert result["changed"] is True
    assert result["diff"] == [
        {"prepared": "directory /d created: missing -> owner=nobody-yet group=none-yet mode=0700\n"},
        {"prepared": "directory /etc created: missing -> owner=0 group=0 mode=0755\n"},
        {
            "before_header": "/etc/x (missing)",
            "after_header": "/etc/x (owner=nobody-yet group=none-yet mode=0644)",
            "before": "",
            "after": "new\n",
        },
    ]
    assert warnings == [
        f"{host.root}/etc/x cannot be checked: 'no-such-checker' (of 'no-such-checker %s') is not installed"
    ]
    assert list(host.root.iterdir()) == []
    assert not host.manifests.exists()


def test_check_mode_predicts_what_happens_then(host: Host) -> None:
    host.run(file("/etc/old"), file("/etc/x", "old\n"))
    predicted = host.run(file("/etc/x"), _ansible_check_mode=True)
    happened = host.run(file("/etc/x"))
    for key in ("changed", "files", "directories", "changed_groups"):
        assert predicted[key] == happened[key]


def test_outside_check_mode_all_that_is_missing_is_refused_at_once(host: Host) -> None:
    (host.root / "etc/x/full").mkdir(parents=True)
    assert host.refuses(
        file("/etc/x", owner="nobody-yet"),
        file("/etc/y", group="none-yet", mode=420),
        directories=[{"path": f"{host.root}/d", "owner": "nobody-yet", "mode": "u=rwx"}],
    ) == [
        "/etc/x is to belong to user 'nobody-yet', who does not exist: create the user before this task",
        "/etc/y is to belong to group 'none-yet', who does not exist: create the group before this task",
        'mode of /etc/y is 420; wanted an octal number in quotes, such as "0644"',
        "/d is to belong to user 'nobody-yet', who does not exist: create the user before this task",
        "mode of /d is 'u=rwx'; wanted an octal number in quotes, such as \"0644\"",
        "/etc/x is a directory that is not empty; wanted a file: move it away",
    ]
    assert not (host.root / "etc/y").exists()


def test_every_validator_is_asked_before_anything_is_written(host: Host) -> None:
    host.run(file("/etc/good", "old\n"))
    assert host.refuses(
        file("/etc/good"),
        file("/etc/one", "bad one\n"),
        file("/etc/two", "bad two\n"),
        validate=[
            {"path": f"{host.root}/etc/*", "command": "grep -v bad %s"},
            {"path": f"{host.root}/etc/good", "command": "no-such-checker %s"},
        ],
    ) == [
        "/etc/one is refused by 'grep -v bad %s' (exit code 1): no output",
        "/etc/two is refused by 'grep -v bad %s' (exit code 1): no output",
        "/etc/good cannot be checked: 'no-such-checker' (of 'no-such-checker %s') is not installed",
    ]
    assert (host.root / "etc/good").read_text() == "old\n"
    assert not (host.root / "etc/one").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"name": "../a"}, "name is '../a'; wanted letters, digits and . _ @ - only, as it names a file"),
        ({"payload": None}, "payload is missing: host_tree works through its action plugin, not as a bare module"),
        ({"groups": {"units": "/etc/*"}}, "groups.units is '/etc/*'; wanted a list of globs"),
        (
            {"validate": [{"path": "/x", "command": "true"}]},
            "validate command 'true' of /x has no %s to stand for the file",
        ),
    ],
)
def test_parameters_that_make_no_sense_are_refused(host: Host, arguments: dict[str, Any], problem: str) -> None:
    assert host.refuses(**arguments) == [problem]


def test_a_failure_half_way_tells_exactly_what_was_done(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.replace

    def broken(self: Path, target: Path) -> Path:
        if Path(target).name == "two":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", broken)
    result = host.run(file("/etc/one"), file("/etc/two"), groups={"one": [f"{host.root}/**/one"]}, fails=True)
    assert result["msg"] == (
        "host_tree 'a': stopped at /etc/two by Read-only file system; mend that and run it again. Done so far:\n"
        "- created /etc\n"
        "- created /etc/one"
    )
    assert (result["changed"], result["changed_groups"]) == (True, ["one"])
    assert result["files"] == [{"path": "/etc/one", "action": "created"}]
    monkeypatch.undo()
    assert host.run(file("/etc/one"), file("/etc/two"))["files"] == [{"path": "/etc/two", "action": "created"}]


def test_an_unusable_manifest_folder_is_an_error_and_no_traceback(host: Host) -> None:
    host.manifests.write_text("")
    assert host.refuses() == [f"[Errno 17] File exists: '{host.manifests}'"]


def test_a_secret_is_in_no_part_of_the_result(host: Host) -> None:
    result = host.run(
        file("/pw", "hunter2", secret=True),
        validate=[{"path": "/**", "command": "sh -c 'cat %s; exit 1'"}],
        _ansible_diff=True,
        fails=True,
    )
    assert "hunter2" not in json.dumps(result)
    result = host.run(file("/pw", "hunter2", secret=True), _ansible_diff=True)
    assert "hunter2" not in json.dumps(result)
    assert result["invocation"]["module_args"]["payload"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_a_tree_is_sealed_unless_it_holds_a_secret_or_is_only_predicted(host: Host) -> None:
    def sealed() -> set[str]:
        return set(host_files.sealed_trees(host.manifests))

    host.run(file("/etc/x"), _ansible_check_mode=True)
    assert sealed() == set()
    host.run(file("/etc/x"), directories=[{"path": f"{host.root}/etc", "mode": "0700"}])
    host.run(file("/etc/password", secret=True), name="b")
    assert sealed() == {"a"}
    host.run(file("/etc/x", secret=True), directories=[{"path": f"{host.root}/etc", "mode": "0700"}])
    assert sealed() == set()


def test_a_tree_of_accounts_by_name_is_not_sealed_for_the_names_may_change_their_meaning(host: Host) -> None:
    def sealed(*files: dict[str, Any], **arguments: Any) -> set[str]:
        host.run(*files, **arguments)
        return set(host_files.sealed_trees(host.manifests))

    owner, group = (pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name)
    assert sealed(file("/x", owner=str(os.geteuid()))) == {"a"}
    assert sealed(file("/x", owner=owner)) == set()
    assert sealed(directories=[{"path": f"{host.root}/d", "group": str(os.getegid())}]) == {"a"}
    assert sealed(directories=[{"path": f"{host.root}/d", "group": group}]) == set()
