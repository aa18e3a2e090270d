# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack's services wrote, as journald has it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.commands import CommandError
from ansible_collections.ballast.trading.plugins.module_utils.logs import SERVICES, read
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack
from tests.unit.plugins.module_utils.fake_host import deployed

ENGINE = "ballast-engine@dev-main-blue.service"
GATEWAY = "ballast-gateway@dev-main.service"
Journald = Callable[..., Path]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return deployed(tmp_path)


@pytest.fixture
def journald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journald:
    """A journalctl that knows these entries, oldest first, and those that ``follow``; returns what it was asked."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(*entries: dict[str, Any], follow: tuple[dict[str, Any], ...] = (), end: str = "exit 0") -> Path:
        lines = [json.dumps(entry) for entry in reversed(entries)]
        (tmp_path / "past").write_text("".join(f"{line}\n" for line in lines))
        (tmp_path / "coming").write_text("".join(f"{json.dumps(entry)}\n" for entry in follow))
        asked = tmp_path / "asked"
        path = tmp_path / "journalctl"
        path.write_text(
            f'#!/bin/sh\necho "$*" >>{asked}\necho $$ >{tmp_path}/pid\ncase "$*" in *--follow*) cat {tmp_path}/coming;;'
            f" *) cat {tmp_path}/past;; esac\n{end}\n"
        )
        path.chmod(0o755)
        return asked

    return make


def entry(seconds: float, message: Any, unit: str = ENGINE, **fields: str) -> dict[str, Any]:
    stamp = {"__REALTIME_TIMESTAMP": str(int((1_795_373_223 + seconds) * 1e6)), "__CURSOR": f"cursor-{seconds:g}"}
    return {**stamp, "MESSAGE": message, "_SYSTEMD_UNIT": unit, "_PID": "77", **fields}


def messages(lines: Iterable[str]) -> list[str]:
    return [line[len("2026-11-22T18:47:03.000Z  engine-green  ") :] for line in lines]


def test_all_services_are_merged_by_time_and_named(stack: Stack, journald: Journald) -> None:
    asked = journald(
        entry(0, "up", GATEWAY),
        entry(1, "2026-11-22T18:47:04.002Z info order_sent symbol=AAPL"),
        entry(2, "Stopped.", "init.scope", UNIT="ballast-engine@dev-main-green.service", _PID="1"),
        entry(3.25, "snapshot taken", "cron.service", SYSLOG_IDENTIFIER="ballast-backup-dev-main"),
    )
    assert list(read(stack)) == [
        "2026-11-22T18:47:03.000Z  gateway       up",
        "2026-11-22T18:47:04.000Z  engine-blue   info order_sent symbol=AAPL",
        "2026-11-22T18:47:05.000Z  engine-green  Stopped.",
        "2026-11-22T18:47:06.250Z  backup        snapshot taken",
    ]
    command = asked.read_text()
    assert command.startswith("--output=json --all --no-pager --quiet --reverse _SYSTEMD_UNIT=")
    for match in (f"_SYSTEMD_UNIT={GATEWAY}", f"UNIT={ENGINE} _PID=1", "SYSLOG_IDENTIFIER=ballast-backup-dev-main"):
        assert match in command.partition("--reverse ")[2].strip().split(" + ")


def test_one_service_a_time_and_a_number_of_lines_can_be_asked_for(stack: Stack, journald: Journald) -> None:
    asked = journald(*(entry(second, f"tick {second}") for second in range(5)))
    lines = list(read(stack, services=["gateway"], since="-15min", lines=2))
    assert messages(lines) == ["tick 3", "tick 4"]
    assert asked.read_text() == (
        "--output=json --all --no-pager --quiet --reverse --since=-15min"
        f" _SYSTEMD_UNIT={GATEWAY} + UNIT={GATEWAY} _PID=1\n"
    )


def test_only_messages_that_fit_count(stack: Stack, journald: Journald) -> None:
    journald(entry(0, "order 1"), entry(1, "tick"), entry(2, "order 2"), entry(3, "tick"), entry(4, "order 3"))
    lines = list(read(stack, pattern="order [12]", lines=5))
    assert messages(lines) == ["order 1", "order 2"]
    assert messages(read(stack, pattern="^order", lines=2)) == ["order 2", "order 3"]


def test_following_goes_on_behind_the_newest_entry(stack: Stack, journald: Journald) -> None:
    asked = journald(
        entry(0, "old"), entry(1, "new"), follow=(entry(2, "newer"), entry(3, "other"), entry(4, "newest"))
    )
    lines = list(read(stack, lines=1, pattern="new|old", follow=True))
    assert messages(lines) == ["new", "newer", "newest"]
    assert "--follow --no-tail --after-cursor=cursor-1 _SYSTEMD_UNIT=" in asked.read_text()


def test_following_an_empty_journal_begins_now(stack: Stack, journald: Journald) -> None:
    asked = journald(follow=(entry(2, "first"),))
    assert len(list(read(stack, follow=True))) == 1
    assert "--follow --no-tail --since=now" in asked.read_text()


@pytest.mark.parametrize(
    ("message", "shown"),
    [([104, 105, 255], "hi\ufffd"), (["one", "two"], "one two"), (None, "")],
    ids=["bytes", "several", "none"],
)
def test_a_message_that_is_no_text_is_shown_all_the_same(
    stack: Stack, journald: Journald, message: Any, shown: str
) -> None:
    journald(entry(0, message))
    assert list(read(stack)) == [f"2026-11-22T18:47:03.000Z  engine-blue   {shown}"]


def test_a_reader_that_has_enough_ends_journalctl(stack: Stack, journald: Journald, tmp_path: Path) -> None:
    journald(entry(0, "one"), entry(1, "two"), end="exec sleep 60")
    assert len(list(read(stack, lines=1))) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_journalctl_refuses_is_told(stack: Stack, journald: Journald, monkeypatch: pytest.MonkeyPatch) -> None:
    journald(end="echo Failed to parse timestamp: x >&2; exit 1")
    with pytest.raises(CommandError) as refused:
        list(read(stack, since="x"))
    assert str(refused.value) == "journalctl failed with status 1: Failed to parse timestamp: x"
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandError, match="journalctl cannot be run"):
        list(read(stack))


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_something_to_look_for(stack: Stack, journald: Journald, service: str) -> None:
    asked = journald()
    assert list(read(stack, services=[service])) == []
    assert "dev-main" in asked.read_text().partition("--reverse ")[2]
