# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack, StackError, load_stack, stack_names
from tests.unit.plugins.module_utils.fake_host import deployed


def test_everything_of_a_stack_carries_its_name(tmp_path: Path) -> None:
    stack = deployed(tmp_path, "paper-main")
    places = (stack.etc, stack.opt, stack.run, stack.state, stack.backups)
    assert [str(place.relative_to(tmp_path)) for place in places] == [
        "etc/ballast/paper-main",
        "opt/ballast/paper-main",
        "run/ballast/paper-main",
        "var/lib/ballast/paper-main",
        "var/backups/ballast/paper-main",
    ]
    assert stack.ledger == stack.state / "ledger/trades.db"
    assert stack.socket("blue") == stack.run / "blue.sock"
    assert stack.gateway_unit == "ballast-gateway@paper-main.service"
    assert stack.engine_unit("green") == "ballast-engine@paper-main-green.service"


def test_an_unknown_stack_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    deployed(tmp_path, "paper-main")
    deployed(tmp_path, "dev-main")
    assert stack_names(tmp_path) == ["dev-main", "paper-main"]
    with pytest.raises(StackError) as refused:
        load_stack("live-main", tmp_path)
    assert str(refused.value) == (
        f"stack 'live-main' does not exist on this host ({tmp_path}/etc/ballast/live-main/stack.json is missing);"
        " stacks here: dev-main, paper-main"
    )


def test_on_a_blank_host_there_are_no_stacks(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"stacks here: none$"):
        load_stack("dev-main", tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "TypeError: list indices must be integers or slices, not str"),
        ('{"stack": "dev-main"}', "KeyError: 'environment'"),
        ('{"stack": "paper-main"}', "ValueError: it describes stack 'paper-main'"),
    ],
)
def test_a_damaged_description_is_named_with_the_problem(tmp_path: Path, text: str, problem: str) -> None:
    path = deployed(tmp_path).etc / "stack.json"
    path.write_text(text)
    with pytest.raises(StackError) as refused:
        load_stack("dev-main", tmp_path)
    assert str(refused.value) == f"{path} is damaged ({problem}); deploy the stack again to restore it"


@pytest.mark.parametrize("name", ["dev-main", "a", "paper2", "blue", "a" * 31])
def test_a_name_may_be(name: str) -> None:
    assert Stack(name, "dev", 5).opt == Path("/opt/ballast", name)


@pytest.mark.parametrize(
    "name", ["", "Dev", "2nd", "dev_main", "dev-blue", "dev-green", "a" * 32, "..", "../etc", "a/b", "dev\n"]
)
def test_a_name_may_not_be(name: str) -> None:
    with pytest.raises(StackError) as refused:
        Stack(name, "dev", 5)
    assert str(refused.value) == (
        f"{name!r} cannot be the name of a stack; wanted 1 to 31 lower-case letters, digits and dashes, a letter first,"
        " not ending in -blue or -green, such as paper-main"
    )
