# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every role owes its users: argument specs that tell the truth about its defaults, and names of its own."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.ballast.trading.plugins.module_utils.readiness import probe_mistakes

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


def rendered(role: str, template: str, **variables: Any) -> str:
    """A template of a role's release, as a deploy of the stack dev-main with these variables renders it."""
    folder = ROOT / "roles" / role
    stack = {"ballast_stack": "dev-main", "ballast_environment": "dev", "ballast_account": "DU1234567"}
    loader = DataLoader()
    defaults, internal = (
        loader.load_from_file(str(folder / name / "main.yml"), trusted_as_template=True)
        for name in ("defaults", "vars")
    )
    given = defaults | stack | {"ansible_managed": "by hand"} | variables | internal
    source = trust_as_template((folder / "templates/release" / template).read_text())
    return str(Templar(loader=loader, variables=given).template(source))


def gateway_compose(**variables: Any) -> dict[str, Any]:
    """The gateway's compose file for the simulator."""
    text = rendered("ib_gateway", "gateway/compose.yaml.j2", ib_gateway_kind="simulator", **variables)
    document: dict[str, Any] = yaml.safe_load(text)
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


def engine(kind: str, **variables: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container of an engine of this kind, and its service.json."""
    given = {"trading_engine_kind": kind, "trading_engine_image": "me/engine:1", **variables}
    compose = yaml.safe_load(rendered("trading_engine", "engine/compose.yaml.j2", **given))
    # A text that is a single expression yields the value itself.
    service = ast.literal_eval(rendered("trading_engine", "engine/service.json.j2", **given))
    return compose["services"]["engine"], service


STATE = "/var/lib/ballast/dev-main/engine"
KINDS = options_of(ROOT / "roles/trading_engine")["trading_engine_kind"]["choices"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_engine_is_confined_and_can_be_probed(kind: str) -> None:
    container, service = engine(kind)
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["networks"] == (["trading", "egress"] if kind == "lean" else ["trading"])
    assert service["kind"] == kind
    if kind != "reference":
        assert list(probe_mistakes(service["probe"])) == []
        assert not any(word in str(container["volumes"]) for word in ("ledger", "lease", "/run/ballast/dev-main:"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_an_engine_is_mounted_when_there_is_any(kind: str) -> None:
    without, _service = engine(kind)
    container, _service = engine(kind, trading_engine_files="mean_reversion")
    (mount,) = set(container["volumes"]) - set(without["volumes"])
    assert mount == ("./files:/LeanCLI:ro" if kind == "lean" else "./files:/opt/engine:ro")


def test_lean_is_run_as_its_own_tool_runs_it() -> None:
    container, service = engine("lean")
    assert container["volumes"] == [
        "/run/ballast/dev-main.secrets/${BALLAST_SLOT}.json:/Lean/Launcher/bin/Debug/config.json:ro",
        f"{STATE}/data:/Lean/Data",
        f"{STATE}/results:/Results",
        f"{STATE}/storage:/Storage",
    ]
    assert (container["stop_signal"], container["stop_grace_period"]) == ("SIGINT", "60s")
    assert (container["user"], container["read_only"]) == ("0:0", False)
    assert (service["stop_signal"], service["stop_grace_seconds"], service["uid"]) == ("SIGINT", 60, 0)


@pytest.mark.parametrize(("environment", "mode", "port"), [("paper", "paper", "4004"), ("live", "live", "4003")])
def test_lean_uses_the_gateway_of_the_stack_and_knows_no_password(environment: str, mode: str, port: str) -> None:
    mine = {"algorithm-type-name": "Mean", "environments": {"live-interactive": {"history-provider": ["Mine"]}}}
    text = rendered(
        "trading_engine",
        "engine/config/config.json.j2",
        trading_engine_kind="lean",
        ballast_environment=environment,
        trading_engine_config=mine,
    )
    config = json.loads(text)
    stack = {"ib-host": "gateway", "ib-port": port, "ib-trading-mode": mode, "ib-account": "DU1234567"}
    assert stack.items() <= config.items()
    assert (config["ib-user-name"], config["ib-password"]) == ("", "")
    assert config["algorithm-type-name"] == "Mean"
    live = config["environments"]["live-interactive"]
    assert (live["live-mode-brokerage"], live["history-provider"]) == ("InteractiveBrokersBrokerage", ["Mine"])


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_has_one_configuration_file(kind: str) -> None:
    names = ("engine.yaml", "config.json")
    texts = {name: rendered("trading_engine", f"engine/config/{name}.j2", trading_engine_kind=kind) for name in names}
    assert [name for name, text in texts.items() if text.strip() not in ("", "None")] == [
        "config.json" if kind == "lean" else "engine.yaml"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_is_not_part_of_a_release(kind: str) -> None:
    secrets = {"api-access-token" if kind == "lean" else "API_TOKEN": "s3cret"}
    container, service = engine(kind, trading_engine_secrets=secrets)
    config = rendered(
        "trading_engine",
        "engine/config/config.json.j2",
        trading_engine_kind=kind,
        trading_engine_secrets=secrets,
    )
    assert "s3cret" not in f"{container}{service}{config}"
    if kind == "lean":
        assert service["secret_settings"] == "config.json"
    else:
        assert container["env_file"] == "/etc/ballast/dev-main/secrets/engine/engine.env"


def test_a_probe_of_ones_own_takes_the_place_of_the_kinds() -> None:
    mine = {"kind": "log", "ready": "up"}
    assert engine("plain", trading_engine_probe=mine)[1]["probe"] == mine
