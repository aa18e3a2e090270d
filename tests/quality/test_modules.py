# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module owes its users: documentation, the action group and a unit test."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for path in (ROOT / "plugins" / "modules").glob("*.py") if path.stem != "__init__")

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)


def texts_of(module: Path) -> dict[str, Any]:
    """The constants that the module's top level assigns: DOCUMENTATION, EXAMPLES, RETURN."""
    assignments = (node for node in ast.parse(module.read_text()).body if isinstance(node, ast.Assign))
    return {
        target.id: yaml.safe_load(node.value.value)
        for node in assignments
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper() and isinstance(node.value, ast.Constant)
        if target.id in ("DOCUMENTATION", "EXAMPLES", "RETURN")
    }


@each_module
def test_a_module_has_examples_and_describes_what_it_returns(module: Path) -> None:
    texts = texts_of(module)
    assert texts["EXAMPLES"], "no example"
    assert texts["RETURN"], "no return value"


@each_module
def test_a_module_says_how_it_supports_check_mode_diff_and_idempotence(module: Path) -> None:
    attributes = texts_of(module)["DOCUMENTATION"].get("attributes", {})
    assert {"check_mode", "diff_mode", "idempotent"} <= attributes.keys()


@each_module
def test_an_example_calls_its_own_module_by_the_full_name(module: Path) -> None:
    tasks = texts_of(module)["EXAMPLES"]
    assert any(f"ballast.trading.{module.stem}" in task for task in tasks)


@each_module
def test_a_module_has_a_unit_test(module: Path) -> None:
    tests = ROOT / "tests" / "unit" / "plugins"
    places = [tests / kind / f"test_{module.stem}.py" for kind in ("modules", "action")]
    assert any(place.is_file() for place in places), f"none of {', '.join(str(p.relative_to(ROOT)) for p in places)}"


def test_the_action_group_holds_exactly_the_modules() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    assert runtime["action_groups"]["trading"] == [module.stem for module in MODULES]


def test_an_action_plugin_has_the_module_that_documents_it() -> None:
    actions = {path.stem for path in (ROOT / "plugins" / "action").glob("*.py")} - {"__init__"}
    assert actions <= {module.stem for module in MODULES}
