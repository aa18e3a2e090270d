# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of a stack: what is in them, that they can be opened without us, and that no bad one is ever there."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import archive as archives
from ansible_collections.ballast.trading.plugins.module_utils.archive import archive, verify_archive, verify_backup
from ansible_collections.ballast.trading.plugins.module_utils.journal import Journal, Operator
from ansible_collections.ballast.trading.plugins.module_utils.manifest import Backup, BackupError, expired, list_backups
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_snapshot import snapshot
from ansible_collections.ballast.trading.plugins.module_utils.sqlite_verify import SCRATCH
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack
from tests.unit.plugins.sqlite_samples import connected, make_ledger

NOW = datetime(2026, 11, 22, 20, 45, 1, 123000, tzinfo=UTC)
STEM = "20261122T204501.123Z-dev-main"
HOST = f"{STEM}/host"
PASSWORD = "correct-horse"  # made up


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """A stack with something of everything that a host has of it."""
    stack = Stack("dev-main", "dev", 5, root=tmp_path / "host")
    for folder in (stack.ledger.parent, stack.backups, stack.journal.parent, stack.etc / "secrets/gateway"):
        folder.mkdir(parents=True)
    make_ledger(stack.ledger, rows=40)
    files = {
        stack.etc / "stack.json": "{}",
        stack.etc / "secrets/gateway/login.env": f"TWS_USERID=user\nTWS_PASSWORD='{PASSWORD}'\n",
        stack.etc / "secrets/token": "t0ken-of-alerts\n",
        stack.opt / "releases/r1/config/engine.yaml": "strategy: demo\n",
        stack.opt / "releases/r1/compose.yaml": "services: {}\n",
        stack.state / "gateway/jts.ini": "[Logon]\nlocale=en\n",
        stack.state / "lease/token": "{}",
        stack.state / "control/switch.json": "{}",
        stack.journal.parent / "engine.log": "started\n",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (stack.opt / "current").symlink_to("releases/r1")
    Journal(stack).append("deploy", Operator("jane", "here"))
    return stack


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key.txt"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path


def recipient_of(identity: Path) -> str:
    found = re.search("age1[a-z0-9]+", identity.read_text())
    assert found is not None
    return found[0]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(stack: Stack, **options: object) -> str:
    with pytest.raises(BackupError) as caught:
        archive(stack, now=NOW, **options)  # type: ignore[arg-type]
    return str(caught.value)


# --- What is in it ----------------------------------------------------------------------------------------------------


def test_an_archive_holds_the_whole_stack_but_its_secrets(stack: Stack) -> None:
    made = archive(stack, now=NOW)
    assert names(stack.backups) == [f"{STEM}.tar.zst", f"{STEM}.tar.zst.manifest.json"]
    assert sorted(made.manifest["files"]) == [
        f"{HOST}/{path}"
        for path in (
            "etc/ballast/dev-main/stack.json",
            "opt/ballast/dev-main/releases/r1/compose.yaml",
            "opt/ballast/dev-main/releases/r1/config/engine.yaml",
            "var/lib/ballast/dev-main/gateway/jts.ini",
            "var/lib/ballast/dev-main/ledger/trades.db",
            "var/log/ballast/dev-main/engine.log",
            "var/log/ballast/dev-main/journal.jsonl",
        )
    ]
    assert made.manifest["secrets"] == ["gateway/login.env:TWS_PASSWORD", "token"]
    assert made.manifest["release"] == "r1"
    assert made.manifest["left_out"] == []
    assert made.manifest["journal_head"] == Journal(stack).verify().head
    assert made.manifest["ledger"]["tables"]["orders"]["rows"] == 40
    assert json.loads(made.manifest_path.read_text()) == made.manifest
    assert {path.stat().st_mode & 0o777 for path in stack.backups.iterdir()} == {0o600}


def test_what_holds_a_secret_is_left_out_and_named(stack: Stack) -> None:
    log = stack.journal.parent / "engine.log"
    log.write_text("x" * (archives._CHUNK - 5) + PASSWORD)
    made = archive(stack, now=NOW)
    reason = "it holds the secret gateway/login.env:TWS_PASSWORD"
    assert made.manifest["left_out"] == [{"file": f"{HOST}/{log.relative_to(stack.root)}", "reason": reason}]
    plain = subprocess.run(["zstd", "-dcq", made.path], capture_output=True, check=True).stdout
    assert PASSWORD.encode() not in plain
    assert verify_archive(made).status == "ok"


def test_more_paths_of_the_host_can_be_added(stack: Stack) -> None:
    code = stack.root / "srv/algorithms"
    code.mkdir(parents=True)
    (code / "cross.py").write_text("pass\n")
    socket.socket(socket.AF_UNIX).bind(str(code / "s"))
    made = archive(stack, parts=["journal"], paths=[code], now=NOW)
    assert sorted(made.manifest["files"]) == [
        f"{HOST}/srv/algorithms/cross.py",
        f"{HOST}/var/lib/ballast/dev-main/ledger/trades.db",
        f"{HOST}/var/log/ballast/dev-main/journal.jsonl",
    ]


def test_the_standard_programs_open_and_prove_it(stack: Stack, identity: Path, tmp_path: Path) -> None:
    made = archive(stack, recipient=recipient_of(identity), now=NOW)
    script = 'age -d -i "$1" "$2" | zstd -d | tar -x -C "$3" && cd "$3"/* && sha256sum --check --quiet SHA256SUMS && ls'
    (tmp_path / "opened").mkdir()
    command = ["sh", "-ec", script, "sh", identity, made.path, tmp_path / "opened"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == [
        "SHA256SUMS",
        "host",
        "manifest.json",
    ]
    host = tmp_path / "opened" / HOST
    with connected(host / "var/lib/ballast/dev-main/ledger/trades.db") as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (40,)
    assert (host / "opt/ballast/dev-main/current").readlink() == Path("releases/r1")
    inner = json.loads((tmp_path / "opened" / STEM / "manifest.json").read_text())
    assert {name: made.manifest[name] for name in inner} == inner


def test_a_line_of_the_journal_that_is_being_written_is_not_in_it(stack: Stack) -> None:
    head = Journal(stack).verify().head
    size = stack.journal.stat().st_size
    with stack.journal.open("a") as file:
        file.write('{"half')
    made = archive(stack, now=NOW)
    assert made.manifest["journal_head"] == head
    assert made.manifest["files"][f"{HOST}/var/log/ballast/dev-main/journal.jsonl"]["size_bytes"] == size


# --- Verifying --------------------------------------------------------------------------------------------------------


def test_a_good_archive_is_proved_down_to_its_rows(stack: Stack) -> None:
    result = verify_archive(archive(stack, now=NOW), mode="deep")
    assert result.problems == []
    assert [check.name for check in result.checks][:4] == ["file", "manifest", "manifest_file", "files"]
    assert {"ledger_integrity", "ledger_row_hash", "ledger_manifest_content"} <= {one.name for one in result.checks}


def test_an_encrypted_archive_is_proved_with_its_key_and_inconclusive_without(stack: Stack, identity: Path) -> None:
    made = archive(stack, recipient=recipient_of(identity), now=NOW)
    assert names(stack.backups) == [f"{STEM}.tar.zst.age", f"{STEM}.tar.zst.age.manifest.json"]
    assert verify_archive(made, mode="deep", identity=identity).status == "ok"
    without = verify_archive(made)
    assert [(one.name, one.status) for one in without.checks] == [
        ("file", "ok"), ("manifest", "ok"), ("manifest_file", "ok"), ("files", "inconclusive"),
    ]  # fmt: skip


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    plain = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout
    path.write_bytes(subprocess.run(["zstd", "-qc"], input=change(plain), capture_output=True, check=True).stdout)


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda path: path.unlink(), "{path} does not exist"),
        (lambda path: os.truncate(path, 500), "the compressed data of {path} is damaged: "),
        (lambda path: rewrite(path, lambda plain: plain[:5000]), "{path} is no whole tar file: "),
        (lambda path: rewrite(path, lambda plain: plain.replace(b"strategy: demo", b"strategy: evil")),
         "{host}/opt/ballast/dev-main/releases/r1/config/engine.yaml is not what the manifest says"),
    ],
)  # fmt: skip
def test_harm_is_seen_even_where_the_file_would_fit_its_checksum(
    stack: Stack, harm: Callable[[Path], object], text: str
) -> None:
    made = archive(stack, now=NOW)
    harm(made.path)
    if made.path.exists():
        facts = {"size_bytes": made.path.stat().st_size, "sha256": archives.sha256_of(made.path)}
        made.manifest_path.write_text(json.dumps({**made.manifest, "artefact": facts}))
    result = verify_archive(made)
    assert result.status == "failed"
    assert result.problems[0].detail.startswith(text.format(path=made.path, host=HOST))


def test_a_file_that_the_manifest_does_not_name_is_seen(stack: Stack) -> None:
    made = archive(stack, now=NOW)
    name = f"{HOST}/var/log/ballast/dev-main/engine.log"
    files = {path: facts for path, facts in made.manifest["files"].items() if path != name}
    made.manifest_path.write_text(json.dumps({**made.manifest, "files": files}))
    assert verify_archive(made).problems[0].detail == f"{name} is not in the manifest"


def test_every_flipped_bit_of_the_file_is_seen(stack: Stack) -> None:
    made = archive(stack, now=NOW)
    data = made.path.read_bytes()
    chance = random.Random(20261122)  # noqa: S311 - repeatable on purpose
    for _time in range(30):
        position = chance.randrange(len(data))
        made.path.write_bytes(
            data[:position] + bytes([data[position] ^ 1 << chance.randrange(8)]) + data[position + 1 :]
        )
        assert "manifest_file" in {one.name for one in verify_archive(made, mode="quick").problems}


def test_an_archive_without_manifest_was_never_finished(stack: Stack) -> None:
    made = archive(stack, now=NOW)
    made.manifest_path.unlink()
    assert verify_archive(made).problems[0].detail.endswith("does not exist: the backup was never finished")


def test_snapshots_are_verified_by_the_same_call(stack: Stack) -> None:
    assert verify_backup(snapshot(stack.ledger, stack.backups), mode="deep").status == "ok"


# --- How long they are kept -------------------------------------------------------------------------------------------


def test_the_first_of_a_quarter_is_for_the_audit_and_the_first_of_a_month_for_a_year(stack: Stack) -> None:
    days = ["2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02", "2026-12-01", "2027-01-01", "2027-01-02"]
    made = [archive(stack, parts=[], now=datetime.fromisoformat(f"{day}T02:00:00+00:00")) for day in days]
    expected = ["audit", "daily", "monthly", "daily", "monthly", "audit", "daily"]
    assert [one.retention_class for one in made] == expected


def test_each_class_is_kept_for_its_time(tmp_path: Path) -> None:
    def made(days: int, retention_class: str) -> Backup:
        path = tmp_path / f"{days}.tar"
        return Backup(path, path, NOW - timedelta(days=days), 1, {"class": retention_class})

    ages = [
        *((day, "daily") for day in range(40)),
        *((day, "monthly") for day in range(40, 700, 30)),
        *((day, "audit") for day in range(700, 3600, 90)),
        (3600, "unknown"),
    ]
    keep = {"daily": 30, "monthly": 366, "audit": 2557}
    gone = [(NOW - one.created_at).days for one in expired([made(*age) for age in ages], keep, NOW)]
    assert gone == [
        *range(31, 40),
        *(day for day in range(40, 700, 30) if day > 366),
        *(day for day in range(700, 3600, 90) if day > 2557),
    ]


# --- Trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"parts": ["ledgers"]},
         "'ledgers' is no part of an archive; wanted some of configuration, releases, journal, logs, state"),
        ({"paths": [Path("/nowhere")]}, "the path /nowhere to archive does not exist, or is not absolute"),
        ({"recipient": "AGE-SECRET-KEY-1QQ"},
         "the recipient is not the public key of age: wanted age1 and 58 letters and digits, as age-keygen prints it"),
    ],
)  # fmt: skip
def test_senseless_settings_are_refused(stack: Stack, options: dict[str, object], text: str) -> None:
    assert refused(stack, **options) == text
    assert names(stack.backups) == []


def test_a_missing_ledger_is_refused(stack: Stack) -> None:
    stack.ledger.unlink()
    assert refused(stack) == f"no archive of dev-main was made: {stack.ledger} does not exist"


def test_an_archive_that_cannot_be_read_back_is_not_published(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    real = archives.content_of

    def harmed(path: Path, key: Path | None) -> Iterator[bytes]:
        return (part.replace(b"demo", b"evil") for part in real(path, key))

    monkeypatch.setattr(archives, "content_of", harmed)
    assert "config/engine.yaml is not what the manifest says" in refused(stack)
    assert names(stack.backups) == []


def test_killed_runs_leave_nothing_that_looks_good_and_the_next_run_cleans_up(stack: Stack) -> None:
    started = time.monotonic()
    archive(stack, now=NOW)
    usual = time.monotonic() - started
    chance = random.Random(20261122)  # noqa: S311 - repeatable on purpose
    for _time in range(12):
        child = os.fork()
        if child == 0:
            try:
                archive(stack)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for one in list_backups(stack.backups):
        assert verify_archive(one, mode="quick").status == "ok"
    last = archive(stack)
    assert not any(name.startswith((".partial", SCRATCH)) for name in names(stack.backups))
    assert verify_archive(last, mode="deep").status == "ok"
    shutil.rmtree(stack.root)
