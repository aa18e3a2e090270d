# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease as the host sees it, on real files and real locks."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import lease
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack
from tests.unit.plugins.module_utils.fake_host import deployed


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    stack = deployed(tmp_path)
    stack.lease.mkdir(parents=True)
    return stack


def write_token(stack: Stack, number: int) -> None:
    document = {"token": number, "owner": "blue", "release": "r", "since": "2026-11-22T20:45:01.123Z"}
    (stack.lease / "token").write_text(json.dumps(document))


def test_before_the_first_engine_there_is_nothing_to_tell(stack: Stack) -> None:
    assert lease.describe(stack) == {"token": None, "owner": None, "since": None, "holder": None}


def test_the_holder_is_found_without_touching_the_lock(stack: Stack) -> None:
    write_token(stack, 7)
    lock = stack.lease / "lock"
    lock.write_text('{"slot": "blue", "release": "r", "pid": 1, "since": "then"}\n')
    assert lease.holder(stack) is None
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lease.describe(stack) == {
            "token": 7,
            "owner": "blue",
            "since": "2026-11-22T20:45:01.123Z",
            "holder": {"slot": "blue", "release": "r", "pid": 1, "since": "then"},
        }
    assert not lease.is_held(stack)


def test_a_holder_that_left_no_name_is_one_all_the_same(stack: Stack) -> None:
    with (stack.lease / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lease.holder(stack) == {}


def test_a_lock_of_another_file_is_nobodys_lease(stack: Stack) -> None:
    (stack.lease / "lock").touch()
    with (stack.lease / "other").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not lease.is_held(stack)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"token": "many"}', '{"token": 3}'])
def test_a_token_that_is_none_is_replaced(stack: Stack, content: str) -> None:
    (stack.lease / "token").write_text(content)
    assert lease.read_token(stack) is None
    assert lease.fence(stack, "ballast", "why").token == 1


def test_a_fence_is_a_higher_token_that_the_engine_can_read(stack: Stack) -> None:
    write_token(stack, 7)
    if os.geteuid() == 0:
        os.chown(stack.lease, 10001, 10002)
    fenced = lease.fence(stack, "ballast", "it hangs")
    assert (fenced.token, fenced.owner, fenced.release) == (8, "ballast", "it hangs")
    assert lease.read_token(stack) == fenced
    folder, file = stack.lease.stat(), (stack.lease / "token").stat()
    assert (file.st_uid, file.st_gid, file.st_mode & 0o777) == (folder.st_uid, folder.st_gid, 0o640)
    assert sorted(path.name for path in stack.lease.iterdir()) == ["token"]


def test_a_fence_is_above_what_the_ledger_has_seen(stack: Stack) -> None:
    write_token(stack, 7)
    stack.ledger.parent.mkdir(parents=True)
    with closing(sqlite3.connect(stack.ledger)) as ledger:
        ledger.execute("CREATE TABLE trading_state (account TEXT, fencing_token INTEGER)")
        ledger.execute("INSERT INTO trading_state VALUES ('DU1', 41)")
        ledger.commit()
    assert lease.fence(stack, "ballast", "why").token == 42


def test_a_writer_that_was_frozen_does_not_keep_a_fence_from_being_written(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "WRITER_PATIENCE_SECONDS", 0.1)
    descriptor = os.open(stack.lease, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert lease.fence(stack, "ballast", "why").token == 1
    finally:
        os.close(descriptor)


def test_a_link_that_an_engine_left_in_the_way_is_not_followed(stack: Stack, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (stack.lease / "token.host").symlink_to(victim)
    assert lease.fence(stack, "ballast", "why").token == 1
    assert victim.read_text() == "mine"


def test_a_lease_that_is_gone_cannot_be_fenced(stack: Stack) -> None:
    stack.lease.rmdir()
    with pytest.raises(FileNotFoundError):
        lease.fence(stack, "ballast", "why")
