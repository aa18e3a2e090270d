# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator's protobuf code is what its definition gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tools import protobuf


def test_the_committed_code_is_what_the_definition_gives() -> None:
    assert protobuf.main(["--check"]) == 0, "run make protobuf"


def test_check_tells_of_a_changed_definition_and_writing_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "gateway_simulator"
    package.mkdir()
    for name in (protobuf.DEFINITION, *protobuf.GENERATED):
        shutil.copy(protobuf.SOURCES / name, tmp_path / name)
    with (tmp_path / protobuf.DEFINITION).open("a") as definition:
        definition.write("message Addition {}\n")
    assert protobuf.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: out of date; run make protobuf" for name in protobuf.GENERATED
    ]
    assert protobuf.main([], tmp_path) == 0
    assert "class Addition(" in (package / "ib_pb2.pyi").read_text()
    assert protobuf.main(["--check"], tmp_path) == 0
