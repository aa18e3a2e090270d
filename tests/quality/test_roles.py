# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every role owes its users: argument specs that tell the truth about its defaults, and names of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.parent for path in (ROOT / "roles").glob("*/tasks"))
# Shared by all roles: they say which stack is meant, and have no default on purpose.
SHARED = ("ballast_stack", "ballast_environment", "ballast_account", "ballast_confirm_live", "ballast_batch")

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)


def load(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, empty when there is no such file."""
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def options_of(role: Path) -> dict[str, dict[str, Any]]:
    """All options that the role's entry points document."""
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for spec in specs.values() for name, option in spec.get("options", {}).items()}


@each_role
def test_a_documented_default_is_the_one_in_force(role: Path) -> None:
    documented = {name: option["default"] for name, option in options_of(role).items() if "default" in option}
    assert documented == load(role / "defaults" / "main.yml")


@each_role
def test_an_option_without_default_says_whether_it_is_required(role: Path) -> None:
    silent = [name for name, option in options_of(role).items() if "default" not in option and "required" not in option]
    assert silent == []


@each_role
def test_every_option_is_described(role: Path) -> None:
    assert [name for name, option in options_of(role).items() if not option.get("description")] == []


@each_role
def test_names_carry_the_role(role: Path) -> None:
    public = {name for name in options_of(role) if name not in SHARED}
    internal = set(load(role / "vars" / "main.yml"))
    assert {name for name in public if not name.startswith(f"{role.name}_")} == set()
    assert {name for name in internal if not name.startswith(f"__{role.name}_")} == set()


@pytest.mark.parametrize("role", [role for role in ROLES if role.name != "preflight"], ids=lambda path: path.name)
def test_a_role_can_be_taken_away_again(role: Path) -> None:
    state = options_of(role).get(f"{role.name}_state", {})
    assert state.get("choices") == ["present", "absent"]


@each_role
def test_a_role_has_a_readme(role: Path) -> None:
    assert (role / "README.md").is_file()


def gateway_compose(**variables: Any) -> dict[str, Any]:
    """The gateway's compose file for the simulator, as a deploy with these variables renders it."""
    role = ROOT / "roles" / "ib_gateway"
    stack = {"ballast_stack": "dev-main", "ballast_environment": "dev", "ballast_account": "DU1234567"}
    given = stack | {"ib_gateway_kind": "simulator", "ansible_managed": "by hand"} | variables
    loader = DataLoader()
    files = [
        loader.load_from_file(str(role / name / "main.yml"), trusted_as_template=True) for name in ("defaults", "vars")
    ]
    template = trust_as_template((role / "templates/release/gateway/compose.yaml.j2").read_text())
    rendered = Templar(loader=loader, variables=files[0] | given | files[1]).template(template)
    document: dict[str, Any] = yaml.safe_load(rendered)
    return document


def test_a_scenario_in_the_release_is_mounted_for_the_gateway_that_is_told_to_play_it() -> None:
    plain = gateway_compose()["services"]["gateway"]
    told = {"SIMULATOR_SCENARIO": "/etc/gateway/scenario.yml", "SIMULATOR_CONTROL_PORT": "7000"}
    playing = gateway_compose(ib_gateway_environment=told)["services"]["gateway"]
    assert playing["environment"] == plain["environment"] | told
    (mount,) = [volume for volume in playing["volumes"] if volume not in plain["volumes"]]
    # Docker would make a folder that is missing, in the release.
    wanted = {"source": "./config", "target": "/etc/gateway", "read_only": True, "bind": {"create_host_path": False}}
    assert mount == {"type": "bind", **wanted}
