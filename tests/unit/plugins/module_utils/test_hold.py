# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hold keeps every engine of a stack from being started."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import hold
from ansible_collections.ballast.trading.plugins.module_utils.activation import Activator
from ansible_collections.ballast.trading.plugins.module_utils.journal import Operator
from ansible_collections.ballast.trading.plugins.module_utils.stack import StackError
from ansible_collections.ballast.trading.plugins.module_utils.supervisor import service_of
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed

JANE = Operator("jane", "desk")
LIFT = "`ballast resume dev-main --reason TEXT` lifts it"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(deployed(tmp_path), monkeypatch)


def test_no_engine_starts_while_a_hold_stands_but_a_gateway_does(host: FakeHost, tmp_path: Path) -> None:
    Activator(host.stack).activate(host.stage())
    assert hold.held(host.stack) is None
    hold.place(host.stack, JANE, "what is this")
    with pytest.raises(StackError) as refused:
        service_of("dev-main-blue", "engine", tmp_path)
    assert re.fullmatch(
        r"stack dev-main is held after an emergency stop by jane from desk since \S+Z: what is this; " + LIFT,
        str(refused.value),
    )
    assert service_of("dev-main", "gateway", tmp_path).container == "ballast-dev-main-gateway"
    assert hold.lift(host.stack)
    assert service_of("dev-main-blue", "engine", tmp_path).container == "ballast-dev-main-engine-blue"
    assert not hold.lift(host.stack)


@pytest.mark.parametrize("content", ["", "{}", "[]", "null"])
def test_a_hold_that_cannot_be_read_holds(host: FakeHost, content: str) -> None:
    hold.place(host.stack, JANE, "x")
    path = host.stack.control / "hold.json"
    path.write_text(content)
    text = str(hold.held(host.stack))
    assert text.startswith(f"stack dev-main is held after an emergency stop but {path} cannot be read (")
    assert text.endswith(LIFT)


def test_only_root_reads_a_hold(host: FakeHost) -> None:
    hold.place(host.stack, JANE, "x")
    assert (host.stack.control / "hold.json").stat().st_mode & 0o077 == 0
    assert host.stack.control.stat().st_mode & 0o007 == 0
