# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack is doing, as a module tells it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import services
from ansible_collections.ballast.trading.plugins.module_utils.readiness import Readiness
from ansible_collections.ballast.trading.plugins.modules import release, stack_status
from tests.unit.plugins.module_utils.fake_host import FakeHost, trees

Call = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("check", [False, True])
def test_status_only_reads(host: FakeHost, call: Call, monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    answer = Readiness(True, True, "engine is trading", {"role": "trading"})
    monkeypatch.setattr(services, "probe_service", lambda _probe, _socket: answer)
    first = call(release, **trees())["release"]
    host.events.clear()
    told = call(stack_status, check=check)
    assert told["changed"] is False
    assert (told["status"]["release"], told["status"]["healthy"]) == (first, True)
    assert host.events == []


def test_the_status_of_a_stack_that_is_not_deployed_is_null_in_check_mode_only(call: Call, tmp_path: Path) -> None:
    assert call(stack_status, check=True, stack="paper") == {"changed": False, "status": None}
    assert call(stack_status, stack="paper")["msg"] == (
        f"stack 'paper' does not exist on this host ({tmp_path}/etc/ballast/paper/stack.json is missing);"
        " stacks here: dev-main"
    )


def test_a_host_without_systemd_is_told_as_such(host: FakeHost, call: Call) -> None:
    host.failing["systemctl show"] = "no systemd"
    assert call(stack_status)["msg"] == "`systemctl show` failed with status 1: no systemd"
