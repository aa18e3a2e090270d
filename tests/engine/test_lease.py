# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process holds the lease; who cannot have it learns who does, and who lost it is told so before its next order."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reference_engine import lease as lease_module
from reference_engine.config import Deployment
from reference_engine.lease import Lease, LeaseHeldError, LeaseLostError, raise_token, read_token
from tests.engine.support import RELEASE, Place


@contextlib.contextmanager
def holding(deployment: Deployment) -> Iterator[Lease]:
    lease = Lease(deployment)
    lease.acquire()
    try:
        yield lease
    finally:
        lease.release()


def test_holder_is_named_to_whoever_comes_second(place: Place) -> None:
    deployment, _ = place.load()
    with holding(deployment):
        holder = json.loads((place.path / "lease/lock").read_text())
        assert (holder["slot"], holder["release"], holder["pid"]) == ("blue", RELEASE, os.getpid())
        with pytest.raises(LeaseHeldError) as caught:
            Lease(replace(deployment, slot="green", release="other")).acquire()
    assert str(caught.value) == (
        f"the lease {place.path}/lease/lock is held by slot blue, release {RELEASE}, pid {os.getpid()}, "
        f"since {holder['since']}; stop that engine first: two engines must never trade one account"
    )


def test_lease_can_be_had_again_after_it_was_given_back(place: Place) -> None:
    deployment, _ = place.load()
    with holding(deployment):
        pass
    assert (place.path / "lease/lock").read_text() == ""
    with holding(deployment):
        pass


def test_text_left_by_a_killed_holder_holds_nothing(place: Place) -> None:
    deployment, _ = place.load()
    (place.path / "lease/lock").write_text('{"slot": "green", "release": "old", "pid": 1, "since": "long ago"}' * 3)
    with holding(deployment):
        assert json.loads((place.path / "lease/lock").read_text())["slot"] == "blue"


def test_holder_without_a_name_is_reported_as_such(place: Place) -> None:
    deployment, _ = place.load()
    with holding(deployment):
        (place.path / "lease/lock").write_text("someone")
        with pytest.raises(
            LeaseHeldError, match=r"is held by a process that left no name \(the file says 'someone'\);"
        ):
            Lease(deployment).acquire()


def test_lock_is_not_kept_by_who_could_not_write_its_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, _ = place.load()

    def full(_descriptor: int, _data: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    unlucky = Lease(deployment)
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            unlucky.acquire()
    with holding(replace(deployment, slot="green")):
        assert unlucky.lost() == "the lease is not held"


@pytest.fixture
def held(place: Place) -> Iterator[Lease]:
    deployment, _ = place.load()
    with holding(deployment) as lease:
        lease.raise_token(0)
        yield lease


def test_token_rises_with_every_holder_and_stays_when_the_lease_is_given_back(place: Place) -> None:
    deployment, _ = place.load()
    for wanted in (1, 2, 3):
        with holding(deployment) as lease:
            assert lease.raise_token(0) == wanted
        newest = read_token(place.path / "lease")
        assert newest is not None
        assert (newest.token, newest.owner, newest.release) == (wanted, "blue", RELEASE)


def test_token_rises_above_what_the_ledger_remembers(place: Place) -> None:
    deployment, _ = place.load()
    with holding(deployment) as lease:
        assert lease.raise_token(41) == 42


def test_token_that_cannot_be_read_is_replaced_by_the_next_holder(place: Place) -> None:
    (place.path / "lease/token").write_text('{"token": "many"}')
    with pytest.raises(ValueError, match=r"lease/token: saw '.*many.*', wanted token, owner, release and since"):
        read_token(place.path / "lease")
    deployment, _ = place.load()
    with holding(deployment) as lease:
        assert lease.raise_token(7) == 8


def test_token_is_not_raised_without_the_lock(place: Place) -> None:
    deployment, _ = place.load()
    with pytest.raises(LeaseLostError, match="the lease's lock is not held"):
        Lease(deployment).raise_token(0)
    assert read_token(place.path / "lease") is None


def test_lease_is_proven_until_it_is_given_back(place: Place, held: Lease) -> None:
    assert (held.lost(), held.token) == (None, 1)
    held.release()
    assert (held.lost(), held.token) == ("the lease is not held", 0)


def fence(directory: Path) -> None:
    raise_token(directory, "operator", "fenced by hand")


def replace_lock(directory: Path) -> None:
    (directory / "lock.new").touch()
    (directory / "lock.new").replace(directory / "lock")


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (fence, r"fenced out: token 2 is operator's since .*Z, ours is 1"),
        (replace_lock, r".*/lease/lock is no longer the file that this engine locked"),
        (lambda directory: (directory / "lock").unlink(), r"the lease cannot be proven: .*/lease/lock'"),
        (lambda directory: (directory / "token").unlink(), r".*/lease/token is gone"),
        (
            lambda directory: (directory / "token").write_text("7"),
            r"the lease cannot be proven: .*/lease/token: saw '7'",
        ),
    ],
)
def test_lost_lease_is_noticed_and_named(place: Place, held: Lease, act: Callable[[Path], None], reason: str) -> None:
    act(place.path / "lease")
    lost = held.lost()
    assert lost is not None
    assert re.match(reason, lost), lost


def test_tokens_of_writers_that_write_at_once_differ(place: Place) -> None:
    tokens: list[int] = []

    def write(name: str) -> None:
        for _ in range(10):
            tokens.append(raise_token(place.path / "lease", name, "").token)  # noqa: PERF401 each at its own time

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tokens) == list(range(1, 41))


def test_writer_does_not_wait_for_ever_for_another(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_WRITER_PATIENCE_SECONDS", 0.05)
    directory = os.open(place.path / "lease", os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    try:
        with pytest.raises(BlockingIOError):
            fence(place.path / "lease")
    finally:
        os.close(directory)
    assert raise_token(place.path / "lease", "blue", "").token == 1
