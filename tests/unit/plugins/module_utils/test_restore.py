# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore gives what was backed up, loses nothing that was there, and is refused while somebody trades."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import restore as restores
from ansible_collections.ballast.trading.plugins.module_utils.archive import archive
from ansible_collections.ballast.trading.plugins.module_utils.change import ChangeRefused
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, Operator
from ansible_collections.ballast.trading.plugins.module_utils.manifest import Backup, BackupError
from ansible_collections.ballast.trading.plugins.module_utils.restore import Restored, restore, restore_beside
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import snapshot
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import verify
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack
from tests.unit.plugins.sqlite_samples import connected, holding, make_ledger, name_of, other_process

JANE = Operator("jane", "desk")
STATE = """
CREATE TABLE trading_state (account TEXT PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL,
    changed_by TEXT NOT NULL, changed_at TEXT NOT NULL, fencing_token INTEGER NOT NULL) STRICT, WITHOUT ROWID
"""


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    stack = Stack("dev-main", "dev", 5, root=tmp_path)
    for folder in (stack.ledger.parent, stack.backups, stack.lease, stack.journal.parent, stack.etc):
        folder.mkdir(parents=True)
    make_ledger(stack.ledger, rows=40)
    with connected(stack.ledger) as connection:
        connection.execute(STATE)
        connection.execute("INSERT INTO trading_state VALUES ('DU1', 'trading', '', 'engine', 'then', 3)")
    stack.ledger.parent.chmod(0o750)
    stack.ledger.chmod(0o640)
    return stack


@pytest.fixture(params=["snapshot", "archive"])
def backup(request: pytest.FixtureRequest, stack: Stack) -> Backup:
    """A backup of each kind, after which the ledger went on."""
    made = archive(stack) if request.param == "archive" else snapshot(stack.ledger, stack.backups)
    with connected(stack.ledger) as connection:
        connection.execute("DELETE FROM fills")
        connection.execute("UPDATE trading_state SET fencing_token = 9")
    return made


def restored(stack: Stack, backup: Backup) -> Restored:
    return restore(stack, backup, JANE, say=lambda _text: None)


def rows(path: Path, query: str = "SELECT count(*) FROM fills") -> Any:
    with connected(path) as connection:
        return connection.execute(query).fetchone()


def folders(stack: Stack) -> list[str]:
    return sorted(path.name for path in stack.state.iterdir())


def test_the_ledger_is_as_it_was_and_the_old_one_is_kept(stack: Stack, backup: Backup) -> None:
    done = restored(stack, backup)
    assert rows(stack.ledger) == (40,)
    assert done.replaced is not None
    assert folders(stack) == ["lease", "ledger", done.replaced.name]
    assert rows(done.replaced / "trades.db") == (0,)
    assert (stack.ledger.stat().st_mode & 0o777, stack.ledger.parent.stat().st_mode & 0o777) == (0o640, 0o750)
    assert [path.name for path in stack.ledger.parent.iterdir()] == ["trades.db"], "a mark or a sidecar is left"
    assert rows(stack.ledger, "PRAGMA journal_mode") == ("wal",)
    assert verify(stack.ledger, mode="deep", live=True).status == "ok"
    assert [one["result"] for one in Journal(stack).entries() if one["act"] == "restore"] == ["begun", "done"]


def test_a_wal_that_was_left_behind_leaves_with_its_database(stack: Stack, backup: Backup) -> None:
    """Whoever replaces only the main file gets a destroyed ledger."""
    wal = Path(f"{stack.ledger}-wal")

    def leave_a_wal() -> object:
        return holding(stack.ledger, "PRAGMA wal_autocheckpoint=0", "UPDATE orders SET price = 1")()

    with other_process(leave_a_wal):
        assert wal.stat().st_size > 0
    assert wal.exists(), "the killed process must leave it"
    done = restored(stack, backup)
    assert done.replaced is not None
    assert (rows(stack.ledger), wal.exists()) == ((40,), False)


def test_a_halt_and_the_newest_token_outlive_a_restore(stack: Stack, backup: Backup) -> None:
    with connected(stack.ledger) as connection:
        connection.execute("UPDATE trading_state SET state = 'halted', reason = 'lost', changed_by = 'jane'")
    done = restored(stack, backup)
    assert done.kept == ["account DU1 stays halted"]
    query = "SELECT state, reason, changed_by, fencing_token FROM trading_state"
    assert rows(stack.ledger, query) == ("halted", "lost", "jane", 9)


def test_a_lost_ledger_is_restored_and_said_to_have_told_nothing(stack: Stack, backup: Backup) -> None:
    shutil.rmtree(stack.ledger.parent)
    done = restored(stack, backup)
    assert (rows(stack.ledger), done.replaced) == ((40,), None)
    assert done.kept[0].startswith("whether an account was halted since then is not known (")


def test_it_is_refused_while_an_engine_has_the_lease(stack: Stack, backup: Backup) -> None:
    (stack.lease / "lock").write_text('{"slot": "blue"}')

    def hold() -> object:
        file = (stack.lease / "lock").open()
        fcntl.flock(file, fcntl.LOCK_EX)
        return file

    with other_process(hold), pytest.raises(ChangeRefused) as caught:
        restored(stack, backup)
    assert str(caught.value) == (
        "the engine in slot blue holds the lease of dev-main; stop it first: sudo ballast stop dev-main"
    )
    assert rows(stack.ledger) == (0,)


def test_it_is_refused_while_a_program_has_the_ledger_open(stack: Stack, backup: Backup) -> None:
    with other_process(holding(stack.ledger, "SELECT 1 FROM fills")) as pid:
        holder = name_of(pid)
        with pytest.raises(ChangeRefused) as caught:
            restored(stack, backup)
    stop = "stop it first: sudo ballast stop dev-main"
    assert str(caught.value) == f"{stack.ledger} is open in {holder}; {stop}"
    assert rows(stack.ledger) == (0,)


def test_a_damaged_backup_is_never_restored(stack: Stack, backup: Backup) -> None:
    backup.path.write_bytes(backup.path.read_bytes()[:-1] + b"?")
    with pytest.raises(BackupError, match="is failed, and was not restored: manifest_file: "):
        restored(stack, backup)
    assert (rows(stack.ledger), folders(stack)) == ((0,), ["lease", "ledger"])


def test_an_error_before_the_exchange_leaves_everything_as_it_was(
    stack: Stack, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restores, "_exchange", fail)
    with pytest.raises(OSError, match="No space left"):
        restored(stack, backup)
    assert (rows(stack.ledger), folders(stack)) == ((0,), ["lease", "ledger"])


def test_a_file_system_that_cannot_exchange_folders_is_served_too(
    stack: Stack, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Libc:
        def __init__(self, *_arguments: object, **_options: object) -> None:
            self.renameat2 = lambda *_given: -1

    monkeypatch.setattr(restores.ctypes, "CDLL", Libc)
    monkeypatch.setattr(restores.ctypes, "get_errno", lambda: restores.errno.EINVAL)
    done = restored(stack, backup)
    assert done.replaced is not None
    assert (rows(stack.ledger), rows(done.replaced / "trades.db")) == ((40,), (0,))


def test_a_killed_restore_loses_no_ledger_and_the_next_one_cleans_up(stack: Stack, backup: Backup) -> None:
    chance = random.Random(20261122)  # noqa: S311 - repeatable on purpose
    started = time.monotonic()
    restored(stack, backup)
    usual = time.monotonic() - started
    for _time in range(8):
        child = os.fork()
        if child == 0:
            try:
                restored(stack, backup)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert verify(stack.ledger, live=True, tables=["orders", "fills"]).status == "ok"
    time.sleep(1)  # a replaced folder is named by its second
    restored(stack, backup)
    assert rows(stack.ledger) == (40,)
    for folder in stack.state.glob("ledger-*"):
        assert verify(folder / "trades.db", live=True, tables=["orders", "fills"]).status == "ok"
    assert not list(stack.state.glob("*/.restoring"))


def test_beside_writes_a_file_and_touches_nothing(stack: Stack, backup: Backup, tmp_path: Path) -> None:
    target = tmp_path / "look.db"
    assert restore_beside(backup, target).ledger == target
    assert (rows(target), rows(stack.ledger)) == ((40,), (0,))
    with pytest.raises(BackupError, match=r"look.db exists already; name a new file$"):
        restore_beside(backup, target)
