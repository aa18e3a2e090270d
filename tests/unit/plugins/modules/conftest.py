# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that act on a stack, run against a host in memory."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.ballast.trading.plugins.module_utils.activation import Activator
from ansible_collections.ballast.trading.plugins.module_utils.stack import load_stack
from ansible_collections.ballast.trading.plugins.modules import (
    journal,
    release,
    release_info,
    stack,
    stack_lock,
    stack_status,
)
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(deployed(tmp_path), monkeypatch)


@pytest.fixture
def store(host: FakeHost) -> Any:
    return Activator(host.stack).store


@pytest.fixture
def call(host: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a module for stack dev-main and return what it prints."""
    for module in (journal, release, release_info, stack, stack_lock, stack_status):
        monkeypatch.setattr(module, "load_stack", functools.partial(load_stack, root=host.stack.root))
    monkeypatch.setattr(release, "Stack", functools.partial(release.Stack, root=host.stack.root))

    def run(module: ModuleType, check: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"stack": "dev-main", "_ansible_check_mode": check, **arguments}
        with patch_module_args(given), pytest.raises(SystemExit) as ended:
            module.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert ended.value.code == (1 if answer.get("failed") else 0)
        answer.pop("invocation", None)
        return answer

    return run
