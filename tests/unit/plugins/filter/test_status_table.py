# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.filter.status_table import FilterModule
from ansible_collections.ballast.trading.plugins.module_utils.status import stack_status, status_table
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed


def test_stacks_that_are_not_deployed_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = stack_status(FakeHost(deployed(tmp_path), monkeypatch).stack)
    render = FilterModule().filters()["status_table"]
    assert render([None, document, None]) == status_table([document])
    assert render([None]) == ""
