# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are compared, validated and written as a whole: all that stands in the way is told, nothing is left behind."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import host_files
from ansible_collections.ballast.trading.plugins.module_utils.host_files import (
    Directory,
    File,
    HostFilesError,
    HostTree,
    Plan,
    Rule,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty host."""
    (tmp_path / "host").mkdir()
    return tmp_path / "host"


def tree(root: Path, name: str = "a") -> HostTree:
    return HostTree(name, root.parent / "manifests")


def file(path: Path, content: bytes = b"new\n", mode: int = 0o644, *, secret: bool = False) -> File:
    return File(str(path), content, os.geteuid(), os.getegid(), mode, secret)


def directory(path: Path, mode: int = 0o755, *, purge: bool = False) -> Directory:
    return Directory(str(path), os.geteuid(), os.getegid(), mode, purge)


def put(
    root: Path,
    files: Iterable[File] = (),
    directories: Iterable[Directory] = (),
    *,
    name: str = "a",
    absent: bool = False,
    request: str | None = None,
) -> list[tuple[str, str]]:
    """Bring a tree onto the host. What was done: action and path relative to the host's root."""
    host_tree = tree(root, name)
    with host_files.locked(host_tree.manifests):
        plan = host_tree.plan(files, directories, keep_manifest=not absent)
        host_tree.apply(plan, request)
    return steps(plan, root)


def steps(plan: Plan, root: Path) -> list[tuple[str, str]]:
    return [(change.action, os.path.relpath(change.path, root)) for change in plan.changes]


def problems(
    root: Path, files: Iterable[File] = (), directories: Iterable[Directory] = (), name: str = "a"
) -> list[str]:
    with pytest.raises(HostFilesError) as refused:
        tree(root, name).plan(files, directories)
    return [problem.replace(str(root), "") for problem in refused.value.problems]


def left(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("/etc/x", "/etc/x", True),
        ("/etc/x", "/etc/xy", False),
        ("/etc/*", "/etc/x", True),
        ("/etc/*", "/etc/x/y", False),
        ("/etc/**", "/etc/x/y", True),
        ("/etc/*/secrets/*", "/etc/dev/secrets/pw", True),
        ("/etc/?.conf", "/etc/a.conf", True),
        ("/etc/a.conf", "/etc/aXconf", False),
        ("/**/*.service", "/etc/systemd/system/x.service", True),
    ],
)
def test_a_star_stays_within_one_directory_and_two_do_not(glob: str, path: str, matches: bool) -> None:
    assert host_files.path_matches(glob, path) is matches


@pytest.mark.parametrize(("mode", "bits"), [("0644", 0o644), ("755", 0o755), ("2750", 0o2750), ("02750", 0o2750)])
def test_a_mode_is_an_octal_text(mode: str, bits: int) -> None:
    assert host_files.parse_mode(mode, "/x") == bits


@pytest.mark.parametrize("mode", [420, "u=rw", "0888", "", None, "64"])
def test_any_other_mode_is_refused_by_name(mode: object) -> None:
    with pytest.raises(ValueError, match="mode of /x is") as refused:
        host_files.parse_mode(mode, "/x")
    assert str(refused.value) == f'mode of /x is {mode!r}; wanted an octal number in quotes, such as "0644"'


def test_what_is_packed_comes_back_whole() -> None:
    document = [{"path": "/é", "content": host_files.content_to_json(b"\x00\xff")}, {"n": 1}]
    payload = host_files.pack(document)
    assert payload.isascii()
    assert host_files.unpack(payload) == document


@pytest.mark.parametrize("content", [b"", b"text\n", "é".encode(), b"\x00\xff\xfe"])
def test_any_bytes_travel_as_json(content: bytes) -> None:
    assert host_files.content_from_json(host_files.content_to_json(content)) == content


def test_a_file_has_the_checksum_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 1_000_000)
    assert host_files.sha256_of_file(tmp_path / "x") == host_files.sha256(b"abc" * 1_000_000)


def test_an_atomic_write_sets_owner_and_mode_and_leaves_nothing_beside(root: Path) -> None:
    (root / "x").write_text("old")
    host_files.write_atomically(root / "x", b"new", uid=1000, gid=1001, mode=0o2640)
    status = (root / "x").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1001, 0o2640)
    assert (root / "x").read_text() == "new"
    assert left(root) == ["x"]


def test_an_atomic_write_that_fails_keeps_the_old_content(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (root / "x").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        host_files.write_atomically(root / "x", b"new")
    assert (root / "x").read_text() == "old"
    assert left(root) == ["x"]


def test_what_a_killed_write_left_is_written_over_and_never_followed(root: Path) -> None:
    (root / "elsewhere").write_text("mine")
    (root / ".x.ballast").symlink_to(root / "elsewhere")
    host_files.write_atomically(root / "x", b"new")
    assert (root / "elsewhere").read_text() == "mine"
    assert left(root) == ["elsewhere", "x"]


def test_a_blank_host_gets_files_and_their_parents_and_a_second_run_changes_nothing(root: Path) -> None:
    files = [file(root / "etc/b/two"), file(root / "etc/one", mode=0o400)]
    directories = [directory(root / "var/lib/x", 0o700)]
    assert put(root, files, directories) == [
        ("created", "etc"),
        ("created", "etc/b"),
        ("created", "var"),
        ("created", "var/lib"),
        ("created", "var/lib/x"),
        ("created", "etc/b/two"),
        ("created", "etc/one"),
    ]
    assert stat.S_IMODE((root / "etc/one").stat().st_mode) == 0o400
    assert stat.S_IMODE((root / "var/lib/x").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "etc").stat().st_mode) == 0o755
    assert put(root, files, directories) == []


def test_a_plan_touches_nothing(root: Path) -> None:
    plan = tree(root).plan([file(root / "etc/x")], [directory(root / "d")])
    assert steps(plan, root) == [("created", "d"), ("created", "etc"), ("created", "etc/x")]
    assert left(root.parent) == ["host"]


def test_only_what_differs_is_touched(root: Path) -> None:
    put(root, [file(root / "content"), file(root / "mode"), file(root / "same")], [directory(root / "d")])
    (root / "content").write_text("by hand")
    (root / "mode").chmod(0o777)
    (root / "d").chmod(0o777)
    inode = (root / "mode").stat().st_ino
    assert put(root, [file(root / "content"), file(root / "mode"), file(root / "same")], [directory(root / "d")]) == [
        ("attributes", "d"),
        ("changed", "content"),
        ("attributes", "mode"),
    ]
    assert (root / "content").read_text() == "new\n"
    assert (root / "mode").stat().st_ino == inode
    assert put(root, [file(root / "content"), file(root / "mode"), file(root / "same")], [directory(root / "d")]) == []


def test_what_is_no_longer_shipped_goes_with_the_directories_made_for_it(root: Path) -> None:
    (root / "etc").mkdir()
    put(root, [file(root / "etc/a/b/x"), file(root / "etc/y")])
    assert put(root, [file(root / "etc/y")]) == [("removed", "etc/a/b/x"), ("removed", "etc/a/b"), ("removed", "etc/a")]
    assert put(root, absent=True) == [("removed", "etc/y")]
    assert left(root.parent) == ["host", "host/etc"]
    assert put(root, absent=True) == []


def test_a_moved_file_is_written_before_the_old_one_goes(root: Path) -> None:
    put(root, [file(root / "old/x")])
    assert put(root, [file(root / "new/x")]) == [
        ("created", "new"),
        ("created", "new/x"),
        ("removed", "old/x"),
        ("removed", "old"),
    ]


def test_a_file_may_become_a_directory(root: Path) -> None:
    put(root, [file(root / "x")])
    assert put(root, [file(root / "x/y")]) == [("removed", "x"), ("created", "x"), ("created", "x/y")]


def test_directories_with_other_peoples_files_stay(root: Path) -> None:
    put(root, [file(root / "a/x")], [directory(root / "kept"), directory(root / "purged", purge=True)])
    for folder in ("a", "kept", "purged"):
        (root / folder / "theirs").write_text("")
    assert put(root, absent=True) == [("removed", "a/x"), ("removed", "purged")]
    assert left(root) == ["a", "a/theirs", "kept", "kept/theirs"]


def test_a_directory_that_was_there_before_is_never_purged(root: Path) -> None:
    (root / "d").mkdir()
    put(root, directories=[directory(root / "d", purge=True)])
    assert put(root, absent=True) == []
    assert left(root) == ["d"]


def test_a_directory_left_for_a_strangers_file_goes_once_that_is_gone(root: Path) -> None:
    put(root, [file(root / "d/x")])
    (root / "d/theirs").write_text("")
    assert put(root, []) == [("removed", "d/x")]
    (root / "d/theirs").unlink()
    assert put(root, []) == [("removed", "d")]


def test_two_trees_share_directories_and_the_last_one_removes_them(root: Path) -> None:
    put(root, [file(root / "shared/a")], name="a")
    put(root, [file(root / "shared/b")], name="b")
    assert put(root, name="a", absent=True) == [("removed", "shared/a")]
    assert put(root, name="b", absent=True) == [("removed", "shared/b"), ("removed", "shared")]
    assert left(root.parent) == ["host"]


def test_files_removed_by_hand_are_not_missed(root: Path) -> None:
    put(root, [file(root / "d/x")])
    (root / "d/x").unlink()
    (root / "d").rmdir()
    assert put(root, absent=True) == []


def test_a_file_of_another_tree_is_refused_with_both_names(root: Path) -> None:
    put(root, [file(root / "x")], name="a")
    assert problems(root, [file(root / "x")], name="b") == [
        "/x belongs to the tree 'a' and 'b' ships it too: ship it from one of them only"
        " (state=absent of 'a' gives up everything it owns)"
    ]


def test_everything_in_the_way_is_told_at_once(root: Path) -> None:
    (root / "full").mkdir()
    (root / "full/theirs").write_text("")
    (root / "dangling").symlink_to(root / "nowhere")
    (root / "plain").write_text("")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    files = [
        file(root / "full"),
        file(root / "socket"),
        file(root / "dangling/x"),
        file(root / "plain/x"),
        file(root / "both"),
        file(root / "both/x"),
        file(root / "twice"),
        file(root / "twice"),
        file(Path("relative")),
        file(root / "c" / ".." / "d"),
    ]
    assert problems(root, files) == [
        "relative is not a plain absolute path; wanted /relative",
        "/c/../d is not a plain absolute path; wanted /d",
        "/twice is wanted twice",
        "/both is wanted both as a file and as a directory",
        "/dangling is a link that leads nowhere; wanted a directory: move it away",
        "/plain is a file; wanted a directory: move it away",
        "/full is a directory that is not empty; wanted a file: move it away",
        "/socket is a device, socket or pipe; wanted a file: move it away",
    ]
    assert not (root.parent / "manifests").exists()


def test_links_and_empty_directories_give_way_to_files(root: Path) -> None:
    (root / "target").write_text("theirs")
    (root / "link").symlink_to(root / "target")
    (root / "empty").mkdir()
    assert put(root, [file(root / "link"), file(root / "empty")]) == [("changed", "empty"), ("changed", "link")]
    assert (root / "target").read_text() == "theirs"
    assert (root / "link").is_file()
    assert not (root / "link").is_symlink()
    assert (root / "empty").read_text() == "new\n"


def test_a_link_to_a_directory_serves_as_one(root: Path) -> None:
    (root / "disk").mkdir()
    (root / "data").symlink_to(root / "disk")
    assert put(root, [file(root / "data/x")], [directory(root / "data")]) == [("created", "data/x")]
    assert (root / "disk/x").exists()


def test_a_full_disk_changes_no_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync
    calls = iter([False, False, False, True])  # both writes of the manifest ahead, the first file, then the second

    def full(descriptor: int) -> None:
        if next(calls, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    (root / "one").write_text("old")
    host_tree = tree(root)
    with host_files.locked(host_tree.manifests):
        plan = host_tree.plan([file(root / "one"), file(root / "two")], [])
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            host_tree.apply(plan)
    assert (root / "one").read_text() == "old"
    assert left(root) == ["one"]
    assert (host_tree.done, host_tree.at) == ([], str(root / "two"))


def test_a_disk_too_full_for_the_manifest_is_told_as_such(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    host_tree = tree(root)
    with host_files.locked(host_tree.manifests):
        plan = host_tree.plan([file(root / "x")], [])
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            host_tree.apply(plan)
    assert (host_tree.done, host_tree.at, left(root)) == ([], str(host_tree.manifest_path), [])


def test_a_killed_run_leaves_nothing_that_cannot_be_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if Path(target).name == "two":
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        put(root, [file(root / "d/one"), file(root / "d/two")])
    monkeypatch.undo()
    (root / "d/.two.ballast").write_text("written and never renamed")
    assert put(root, absent=True) == [("removed", "d/one"), ("removed", "d")]
    assert left(root.parent) == ["host"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "TypeError: list indices must be integers or slices, not str"),
        ('{"schema": 9}', "ValueError: schema is 9, wanted 1"),
        ('{"schema": 1}', "KeyError: 'name'"),
    ],
)
def test_a_damaged_manifest_is_named_with_the_way_out(root: Path, text: str, reason: str) -> None:
    manifest = root.parent / "manifests/b.json"
    manifest.parent.mkdir()
    manifest.write_text(text)
    assert problems(root) == [
        f"manifest {manifest} cannot be understood ({reason}): restore it, or delete it and remove by hand the files"
        " it stood for"
    ]


def test_a_run_waits_for_the_lock_even_when_the_other_one_takes_the_folder_away(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    waiting, entered = threading.Event(), threading.Event()

    def second() -> None:
        waiting.set()
        with host_files.locked(folder):
            assert folder.is_dir()
            entered.set()

    with host_files.locked(folder):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait()
        assert not entered.wait(0.1)
        folder.rmdir()
    thread.join(10)
    assert entered.is_set()
    assert folder.is_dir()


def sealed(root: Path) -> dict[str, str]:
    return host_files.sealed_trees(root.parent / "manifests")


BY_HAND = {
    "the content of a file": lambda root: (root / "etc/a.conf").write_text("old\n"),
    "the mode of a file": lambda root: (root / "etc/a.conf").chmod(0o600),
    "a file that is gone": lambda root: (root / "etc/a.conf").unlink(),
    "the mode of a directory": lambda root: (root / "data").chmod(0o777),
    "a directory that is gone": lambda root: (root / "data").rmdir(),
}


@pytest.mark.parametrize("change", BY_HAND.values(), ids=BY_HAND)
def test_a_seal_holds_until_anything_is_changed_by_hand(root: Path, change: Callable[[Path], object]) -> None:
    wanted = ([file(root / "etc/a.conf")], [directory(root / "data", 0o700)])
    put(root, *wanted, request="first")
    put(root, [file(root / "b.conf")], name="b")
    assert sealed(root) == {"a": "first"}
    manifest = (root.parent / "manifests/a.json").read_bytes()
    put(root, *wanted, request="first")
    assert (root.parent / "manifests/a.json").read_bytes() == manifest

    change(root)
    assert sealed(root) == {}
    put(root, *wanted, request="second")
    assert sealed(root) == {"a": "second"}
    put(root, absent=True)
    assert sealed(root) == {}


def test_a_directory_that_was_there_before_is_under_the_seal_as_well(root: Path) -> None:
    (root / "log").mkdir(mode=0o755)
    put(root, [], [directory(root / "log", 0o750)], request="r")
    assert sealed(root) == {"a": "r"}
    (root / "log").chmod(0o755)
    assert sealed(root) == {}


def test_a_run_that_is_killed_leaves_no_seal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, [file(root / "a.conf")], request="old")

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(HostTree, "_settle", killed)
    with pytest.raises(KeyboardInterrupt):
        put(root, [file(root / "a.conf", b"newer\n")], request="new")
    assert sealed(root) == {}


def test_a_tree_is_not_sealed_while_a_directory_that_it_has_left_is_not_empty(root: Path) -> None:
    put(root, [file(root / "old/a.conf")], request="old")
    (root / "old/of-somebody").touch()
    put(root, [file(root / "new/a.conf")], request="new")
    assert sealed(root) == {}
    (root / "old/of-somebody").unlink()
    assert put(root, [file(root / "new/a.conf")], request="new") == [("removed", "old")]
    assert sealed(root) == {"a": "new"}


@pytest.mark.parametrize("seal", ["{}", '{"request": "r", "directories": null, "state": "s"}', "null"])
def test_a_damaged_manifest_is_no_seal(root: Path, seal: str) -> None:
    put(root, [file(root / "a.conf")], request="r")
    text = '{"schema": 1, "name": "a", "files": {}, "directories": {}, "seal": ' + seal + "}"
    (root.parent / "manifests/a.json").write_text(text)
    assert sealed(root) == {}


def test_what_stands_for_a_request_differs_when_anything_does() -> None:
    requests = [("p", []), ("q", []), ("p", [{"path": "/a", "mode": "0755"}]), ("p", [{"path": "/a", "mode": "0700"}])]
    assert len({host_files.request_digest(*request) for request in requests}) == len(requests)


def difference(root: Path, *files: File) -> list[dict[str, str]]:
    found = host_files.differences(tree(root).plan(files, []).changes)
    return [{key: text.replace(str(root), "") for key, text in entry.items()} for entry in found]


def test_a_difference_shows_content_and_attributes(root: Path) -> None:
    (root / "x").write_text("old\n")
    (root / "x").chmod(0o600)
    assert difference(root, file(root / "x"), file(root / "y")) == [
        {
            "before_header": "/x (owner=0 group=0 mode=0600)",
            "after_header": "/x (owner=0 group=0 mode=0644)",
            "before": "old\n",
            "after": "new\n",
        },
        {
            "before_header": "/y (missing)",
            "after_header": "/y (owner=0 group=0 mode=0644)",
            "before": "",
            "after": "new\n",
        },
    ]


@pytest.mark.parametrize(
    ("content", "secret", "reason"),
    [
        (b"hunter2", True, ", content not shown: it is a secret"),
        (b"\xff\xfe", False, ", content not shown: it is not text"),
        (b"a\0b", False, ", content not shown: it is not text"),
        (b"x" * 100_001, False, ", content not shown: it is larger than 100000 bytes"),
        (b"", False, ""),
    ],
)
def test_a_difference_tells_why_content_is_not_shown(root: Path, content: bytes, secret: bool, reason: str) -> None:
    assert difference(root, file(root / "x", content, secret=secret)) == [
        {"prepared": f"file /x created: missing -> owner=0 group=0 mode=0644{reason}\n"}
    ]


def test_what_was_a_secret_is_not_shown_when_it_goes_or_is_one_no_longer(root: Path) -> None:
    put(root, [file(root / "gone", b"hunter2", secret=True), file(root / "opened", b"hunter2", secret=True)])
    assert difference(root, file(root / "opened")) == [
        {
            "prepared": "file /opened changed: owner=0 group=0 mode=0644 -> owner=0 group=0 mode=0644,"
            " content not shown: it is a secret\n"
        },
        {"prepared": "file /gone removed: owner=0 group=0 mode=0644 -> missing, content not shown: it is a secret\n"},
    ]


def test_a_difference_of_attributes_is_one_line(root: Path) -> None:
    (root / "x").write_text("new\n")
    (root / "x").chmod(0o600)
    assert difference(root, File(str(root / "x"), b"new\n", "trader", 0, 0o644)) == [
        {"prepared": "file /x attributes: owner=0 group=0 mode=0600 -> owner=trader group=0 mode=0644\n"}
    ]


def test_a_replaced_link_shows_where_it_led(root: Path) -> None:
    (root / "x").symlink_to("/dev/null")
    assert [entry["before"] for entry in difference(root, file(root / "x"))] == ["link to /dev/null"]


def verdict(root: Path, files: list[File], *rules: Rule) -> host_files.Verdict:
    return host_files.validate(tree(root).plan(files, []), files, rules)


def test_a_refused_file_is_named_with_command_and_output(root: Path) -> None:
    found = verdict(root, [file(root / "x.conf", b"bad\n")], Rule(f"{root}/*.conf", "sh -c 'cat %s; echo %s; exit 3'"))
    assert found.failures == [
        f"{root}/x.conf is refused by \"sh -c 'cat %s; echo %s; exit 3'\" (exit code 3): bad\n{root}/x.conf"
    ]
    assert found.unavailable == []
    assert left(root) == []


def test_the_output_about_a_secret_is_hidden(root: Path) -> None:
    found = verdict(root, [file(root / "x", b"hunter2", secret=True)], Rule("/**", "grep -v nothing %s --and-fail"))
    assert found.failures == [
        f"{root}/x is refused by 'grep -v nothing %s --and-fail' (exit code 2): output hidden, the file is a secret"
    ]


def test_a_silent_refusal_says_so(root: Path) -> None:
    found = verdict(root, [file(root / "x")], Rule("/**", "false %s"))
    assert found.failures == [f"{root}/x is refused by 'false %s' (exit code 1): no output"]


def test_only_changed_content_is_checked(root: Path) -> None:
    put(root, [file(root / "same")])
    (root / "same").chmod(0o600)
    found = verdict(root, [file(root / "same"), file(root / "new")], Rule("/**", "false %s"))
    assert found.failures == [f"{root}/new is refused by 'false %s' (exit code 1): no output"]


def test_a_checker_sees_the_files_beside_but_no_secrets(root: Path) -> None:
    files = [file(root / "d/main"), file(root / "d/part"), file(root / "d/password", secret=True)]
    found = verdict(root, files, Rule(f"{root}/d/main", "sh -c 'ls $(dirname %s); exit 1'"))
    assert [failure.partition(": ")[2] for failure in found.failures] == ["main\npart"]


def test_a_checker_that_is_not_installed_is_told_apart(root: Path) -> None:
    found = verdict(root, [file(root / "x")], Rule("/**", "no-such-checker --file %s"))
    assert found.failures == []
    assert found.unavailable == [
        f"{root}/x cannot be checked: 'no-such-checker' (of 'no-such-checker --file %s') is not installed"
    ]
