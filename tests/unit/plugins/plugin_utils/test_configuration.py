# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole configuration is judged at once; every problem says where, what was seen, what was wanted and the fix."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils.host_facts import Problem, WantedPort
from ansible_collections.ballast.trading.plugins.plugin_utils import configuration
from ansible_collections.ballast.trading.plugins.plugin_utils.configuration import Failure, Inputs, examine

ROLES = Path(__file__).parents[4] / "roles"
SPECIFICATIONS = configuration.load_specifications(ROLES)

DEV: dict[str, Any] = {
    "ballast_stack": "dev-main",
    "ballast_environment": "dev",
    "ballast_account": "DU1234567",
    "ballast_confirm_live": "",
    "ib_gateway_kind": "simulator",
    "ib_gateway_image": "ballast/gateway-simulator:0.1.0-0123456789ab",
    "ib_gateway_api_port": 4002,
    "ib_gateway_vnc_port": 5900,
    "ib_gateway_memory_limit": "2g",
    "ib_gateway_java_heap_mb": 768,
    "ib_gateway_probe_client_id": 990,
    "trading_engine_image": "ballast/reference-engine:0.1.0-0123456789ab",
    "trading_engine_client_id": 1,
    "trading_engine_standby_client_id": 2,
    "trading_engine_flatten_client_id": 911,
}
PAPER: dict[str, Any] = {
    **DEV,
    "ballast_stack": "paper-main",
    "ballast_environment": "paper",
    "ib_gateway_kind": "ib_gateway",
    "ib_gateway_image": "ghcr.io/gnzsnz/ib-gateway:10.45.1j",
    "ib_gateway_username": "trader77",
    "ib_gateway_password": "correct horse",
}
LIVE: dict[str, Any] = {
    **PAPER,
    "ballast_stack": "live-main",
    "ballast_environment": "live",
    "ballast_account": "U1234567",
    "ballast_confirm_live": "live-main",
    "ib_gateway_api_port": 4001,
}
ENVIRONMENTS = {"dev": DEV, "paper": PAPER, "live": LIVE}


def problems_of(values: dict[str, Any], *names: str, **more: Any) -> list[Problem]:
    """All problems of a configuration; ``names`` are further variables that no role may know."""
    return examine(
        SPECIFICATIONS, list(SPECIFICATIONS), Inputs(names=[*values, *names], values=values, **more)
    ).problems


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_good_configuration_has_no_problem(environment: str) -> None:
    assert problems_of(ENVIRONMENTS[environment]) == []


LEAN: dict[str, Any] = {
    "trading_engine_kind": "lean",
    "trading_engine_image": "quantconnect/lean:17000",
    "trading_engine_uid": 0,
    "trading_engine_files": "algorithms/mean",
    "trading_engine_config": {"algorithm-type-name": "Mean"},
}

GOOD = [
    ("paper", LEAN),
    (
        "paper",
        LEAN
        | {
            "trading_engine_files": "",
            "trading_engine_config": {"algorithm-type-name": "Mean", "algorithm-location": "Mean.dll"},
        },
    ),
    ("paper", LEAN | {"trading_engine_secrets": {"api-access-token": "o'clock"}}),
    ("paper", {"trading_engine_kind": "plain", "trading_engine_uid": 1000, "ledger_owner": 10001}),
    ("paper", {"trading_engine_kind": "plain", "trading_engine_environment": {"IB_PORT": "4004"}}),
    ("dev", {"ballast_stack": "a"}),
    ("dev", {"ballast_stack": "a" * 31}),
    ("dev", {"ballast_stack": "bluebell"}),
    ("paper", {"ballast_account": "DF1234567"}),
    ("paper", {"ballast_account": "DUK123456"}),
    ("live", {"ballast_account": "F7654321"}),
    ("paper", {"ib_gateway_api_port": 4102}),
    ("paper", {"ib_gateway_image": "registry.example:5000/ib-gateway@sha256:" + "0" * 64}),
    ("paper", {"ib_gateway_image": "ghcr.io/gnzsnz/ib-gateway:10.45.1j@sha256:" + "0" * 64}),
    ("paper", {"ib_gateway_api_port": "4002"}),
    ("paper", {"ib_gateway_vnc_password": ""}),
    ("dev", {"ib_gateway_password": "CHANGE_ME"}),  # the simulator has no login
    ("paper", {"ib_gateway_environment": {"TWS_COLD_RESTART": "02:00"}}),
    ("paper", {"ib_gateway_auto_restart_time": ""}),
    ("paper", {"ib_gateway_memory_limit": "1024M"}),
    ("paper", {"backup_cron_hour": 0, "backup_cron_minute": 59, "backup_cron_keep_days": {"daily": 1}}),
    ("paper", {"preflight_min_free_gb": 0.5}),
]


@pytest.mark.parametrize(("environment", "changes"), GOOD, ids=str)
def test_an_allowed_value_is_no_problem(environment: str, changes: dict[str, Any]) -> None:
    assert problems_of({**ENVIRONMENTS[environment], **changes}) == []


STACK_FORM = "1 to 31 lower-case letters, digits and dashes, a letter first, not ending in -blue or -green"
STACK_FIX = "Choose a name such as paper-main."
PAPER_ACCOUNT = "a paper account (DU1234567 or DF1234567) because ballast_environment is"
LIVE_ACCOUNT = "a live account (U1234567 or F1234567) because ballast_environment is live"
OTHER_INVENTORY = "use the inventory of the other environment."
PINNED = "an exact tag or a digest, such as registry/name:1.4.2 or registry/name@sha256:..."
PIN = "Pin the image: 'docker image inspect --format \"{{.RepoDigests}}\" IMAGE' shows its digest."
CORRECT = "Correct the value."
VAULT = "Put it into an encrypted file: ansible-vault edit <inventory>/group_vars/trading_hosts/vault.yml"


def see(role: str) -> str:
    """The pointer that ends the fix of whatever an argument specification says."""
    return f"See roles/{role}/README.md."


BAD: list[tuple[str, dict[str, Any], tuple[str, str, str, str]]] = [
    *(
        ("paper", {"ballast_stack": name}, ("ballast_stack", repr(name), STACK_FORM, STACK_FIX))
        for name in ("Paper", "1st", "paper_main", "paper-blue", "paper-green", "a" * 32, "paper\n")
    ),
    (
        "paper",
        {"ballast_account": "U1234567"},
        (
            "ballast_account",
            "'U1234567', a LIVE account",
            f"{PAPER_ACCOUNT} paper",
            f"Correct the account, or {OTHER_INVENTORY}",
        ),
    ),
    (
        "dev",
        {"ballast_account": "F1234567"},
        (
            "ballast_account",
            "'F1234567', a LIVE account",
            f"{PAPER_ACCOUNT} dev",
            f"Correct the account, or {OTHER_INVENTORY}",
        ),
    ),
    (
        "live",
        {"ballast_account": "DU1234567"},
        ("ballast_account", "'DU1234567', a paper account", LIVE_ACCOUNT, f"Correct the account, or {OTHER_INVENTORY}"),
    ),
    (
        "paper",
        {"ballast_account": "DU-123"},
        (
            "ballast_account",
            "'DU-123', not an account number",
            f"{PAPER_ACCOUNT} paper",
            f"Correct the account, or {OTHER_INVENTORY}",
        ),
    ),
    (
        "paper",
        {"ballast_account": "DU0000000"},
        (
            "ballast_account",
            "'DU0000000', a placeholder",
            f"{PAPER_ACCOUNT} paper",
            f"Correct the account, or {OTHER_INVENTORY}",
        ),
    ),
    (
        "live",
        {"ballast_confirm_live": ""},
        (
            "ballast_confirm_live",
            "not set",
            "live-main, because ballast_environment is live",
            "If you mean the live account U1234567, re-run with -e ballast_confirm_live=live-main",
        ),
    ),
    (
        "live",
        {"ballast_confirm_live": "true"},
        (
            "ballast_confirm_live",
            "'true'",
            "live-main, because ballast_environment is live",
            "If you mean the live account U1234567, re-run with -e ballast_confirm_live=live-main",
        ),
    ),
    (
        "live",
        {"ib_gateway_kind": "simulator", "ib_gateway_image": "ballast/gateway-simulator:0.1.0"},
        (
            "ib_gateway_kind",
            "simulator",
            "ib_gateway, because ballast_environment is live",
            "Set ib_gateway_kind: ib_gateway, or use the dev inventory.",
        ),
    ),
    (
        "paper",
        {"ib_gateway_api_port": 4001},
        (
            "ib_gateway_api_port",
            "4001, the usual port of LIVE trading",
            "4002, or another free port, because ballast_environment is paper",
            f"Correct the port, or {OTHER_INVENTORY}",
        ),
    ),
    (
        "live",
        {"ib_gateway_api_port": 7497},
        (
            "ib_gateway_api_port",
            "7497, the usual port of paper trading",
            "4001, or another free port, because ballast_environment is live",
            f"Correct the port, or {OTHER_INVENTORY}",
        ),
    ),
    (
        "paper",
        {"ib_gateway_kind": "simulator"},
        (
            "ib_gateway_image",
            "'ghcr.io/gnzsnz/ib-gateway:10.45.1j', an IB Gateway",
            "an image for ib_gateway_kind: simulator",
            "Change one of the two.",
        ),
    ),
    (
        "paper",
        {"ib_gateway_image": "ballast/gateway-simulator:0.1.0"},
        (
            "ib_gateway_image",
            "'ballast/gateway-simulator:0.1.0', a simulator",
            "an image for ib_gateway_kind: ib_gateway",
            "Change one of the two.",
        ),
    ),
    *(
        ("paper", {"trading_engine_image": image}, ("trading_engine_image", repr(image), PINNED, PIN))
        for image in ("lean", "lean:latest", "registry.example:5000/lean", "ghcr.io/x/lean:stable")
    ),
    (
        "paper",
        {"trading_engine_image": "registry.example.com/lean:1.0"},
        (
            "trading_engine_image",
            "'registry.example.com/lean:1.0'",
            "a registry that exists",
            "Name your own registry.",
        ),
    ),
    (
        "paper",
        {"trading_engine_image": "Lean :1"},
        ("trading_engine_image", "'Lean :1'", PINNED, "Correct the reference."),
    ),
    (
        "paper",
        {"ib_gateway_environment": {"TWS_PASSWORD": "hunter22"}},
        (
            "ib_gateway_environment.TWS_PASSWORD",
            "(hidden)",
            "not set here, because it follows from ib_gateway_password",
            "Remove it and set ib_gateway_password.",
        ),
    ),
    (
        "paper",
        {"trading_engine_environment": {"BALLAST_ACCOUNT": "U1"}},
        (
            "trading_engine_environment.BALLAST_ACCOUNT",
            "(hidden)",
            "not set here, because it follows from ballast_account",
            "Remove it and set ballast_account.",
        ),
    ),
    (
        "paper",
        {"trading_engine_standby_client_id": 1},
        (
            "trading_engine_standby_client_id",
            "1, the same as trading_engine_client_id",
            "a client id of its own",
            "Change one of the two.",
        ),
    ),
    (
        "paper",
        {"ib_gateway_probe_client_id": 2},
        (
            "ib_gateway_probe_client_id",
            "2, the same as trading_engine_standby_client_id",
            "a client id of its own",
            "Change one of the two.",
        ),
    ),
    (
        "paper",
        {"ib_gateway_vnc_port": 4002},
        ("ib_gateway_vnc_port", "4002, the same as ib_gateway_api_port", "a port of its own", "Change one of the two."),
    ),
    (
        "paper",
        {"ib_gateway_api_port": 80},
        ("ib_gateway_api_port", "80", "a number from 1024 to 65535", CORRECT),
    ),
    (
        "paper",
        {"trading_engine_client_id": 0},
        ("trading_engine_client_id", "0", "a number from 1 to 2147483647", CORRECT),
    ),
    (
        "paper",
        {"backup_cron_keep_days": {"snapshot": 0, "daily": 30}},
        ("backup_cron_keep_days.snapshot", "0", "a number from 1 to 36500", CORRECT),
    ),
    ("paper", {"backup_cron_hour": 24}, ("backup_cron_hour", "24", "a number from 0 to 23", CORRECT)),
    ("paper", {"trading_engine_uid": -1}, ("trading_engine_uid", "-1", "a number from 0 to 2147483647", CORRECT)),
    (
        "paper",
        {"trading_engine_kind": "plain", "trading_engine_uid": 0},
        (
            "trading_engine_uid",
            "0, which is root",
            "a user of the engine's own, such as 10001",
            "Give it the user id that the engine's image runs as.",
        ),
    ),
    (
        "paper",
        {"trading_engine_kind": "zipline"},
        (
            "trading_engine_kind",
            "'zipline'",
            "one of reference, lean, nautilus, rustybt, plain",
            f"{CORRECT} {see('trading_engine')}",
        ),
    ),
    (
        "paper",
        LEAN | {"trading_engine_kind": "nautilus", "trading_engine_uid": 10001},
        (
            "trading_engine_kind",
            "nautilus",
            "lean, because trading_engine_image is quantconnect/lean:17000",
            "Change one of the two.",
        ),
    ),
    (
        "paper",
        {"trading_engine_kind": "reference", "trading_engine_probe": {"kind": "container"}},
        (
            "trading_engine_probe",
            "a dict of 1",
            "none, because an engine that keeps the contract says itself how it is",
            "Remove it, or set trading_engine_kind to what the engine is.",
        ),
    ),
    (
        "paper",
        {"trading_engine_kind": "plain", "trading_engine_probe": {"kind": "log"}},
        (
            "trading_engine_probe.ready",
            "not set",
            "a value, because the kind is log",
            "Correct the probe. See docs/engines.md.",
        ),
    ),
    (
        "paper",
        {
            "trading_engine_kind": "rustybt",
            "trading_engine_image": "me/rustybt:1",
            "trading_engine_environment": {"IB_PORT": "7496"},
        },
        (
            "trading_engine_environment.IB_PORT",
            "(hidden)",
            "not set here, because it follows from the stack's gateway",
            "Remove it.",
        ),
    ),
    (
        "paper",
        LEAN | {"trading_engine_config": {"algorithm-type-name": "Mean", "ib-password": "correct horse"}},
        (
            "trading_engine_config.ib-password",
            "(hidden)",
            "not set here, because it follows from the stack's gateway, which holds the login",
            "Remove it.",
        ),
    ),
    (
        "paper",
        LEAN | {"trading_engine_secrets": {"ib-password": "correct horse"}},
        (
            "trading_engine_secrets.ib-password",
            "(hidden)",
            "not set here, because it follows from the stack's gateway, which holds the login",
            "Remove it.",
        ),
    ),
    (
        "paper",
        {"trading_engine_kind": "plain", "trading_engine_image": "me/e:1", "trading_engine_secrets": {"a b": "x"}},
        (
            "trading_engine_secrets.a b",
            "(hidden)",
            "the name of an environment variable, such as API_TOKEN",
            "Correct it in the vault.",
        ),
    ),
    (
        "paper",
        {"trading_engine_kind": "plain", "trading_engine_image": "me/e:1", "trading_engine_secrets": {"A": "o'clock"}},
        ("trading_engine_secrets.A", "(hidden)", "a value of one line without '", "Correct it in the vault."),
    ),
    (
        "paper",
        LEAN | {"trading_engine_config": {}},
        (
            "trading_engine_config.algorithm-type-name",
            "not set",
            "the class of the algorithm",
            "Set it to the name of the class in your algorithm's file.",
        ),
    ),
    (
        "paper",
        LEAN | {"trading_engine_files": ""},
        (
            "trading_engine_files",
            "not set",
            "the folder with your algorithm, because algorithm-location is /LeanCLI/main.py",
            "Set it to the folder of your LEAN project; or name an algorithm in the image by algorithm-location.",
        ),
    ),
    (
        "paper",
        {"ib_gateway_auto_restart_time": "23:45"},
        ("ib_gateway_auto_restart_time", "'23:45'", "hh:mm AM or hh:mm PM, such as 11:45 PM", CORRECT),
    ),
    (
        "paper",
        {"trading_engine_memory_limit": "lots"},
        ("trading_engine_memory_limit", "'lots'", "a size such as 512m or 2g", CORRECT),
    ),
    (
        "paper",
        {"ib_gateway_memory_limit": "1g", "ib_gateway_java_heap_mb": 1000},
        (
            "ib_gateway_memory_limit",
            "'1g', 1024 MiB",
            "at least 1256m, 256 more than ib_gateway_java_heap_mb",
            "Raise the limit, or lower ib_gateway_java_heap_mb.",
        ),
    ),
    # What argument specifications say.
    (
        "paper",
        {"ballast_environment": "prod"},
        ("ballast_environment", "'prod'", "one of dev, paper, live", f"{CORRECT} {see('preflight')}"),
    ),
    (
        "paper",
        {"ballast_account": None},
        ("ballast_account", "empty", "a string", f"Set it. {see('preflight')}"),
    ),
    (
        "paper",
        {"trading_engine_image": ""},
        ("trading_engine_image", "empty", "a string", f"Set it. {see('trading_engine')}"),
    ),
    (
        "paper",
        {"ib_gateway_api_port": "http"},
        ("ib_gateway_api_port", "'http'", "an integer", f"{CORRECT} {see('ib_gateway')}"),
    ),
    (
        "paper",
        {"trading_engine_config": [1, 2]},
        ("trading_engine_config", "a list of 2", "a dictionary", f"{CORRECT} {see('trading_engine')}"),
    ),
    (
        "paper",
        {"trading_engine_command": [{"run": 1}, None]},
        (
            "trading_engine_command",
            "a list of 2",
            "a list, each element a string",
            f"{CORRECT} {see('trading_engine')}",
        ),
    ),
    (
        "paper",
        {"backup_cron_keep_days": None},
        (
            "backup_cron_keep_days",
            "empty",
            "a dictionary",
            f"Give it a value, or remove it to get the default. {see('backup_cron')}",
        ),
    ),
    (
        "paper",
        {"backup_cron_keep_days": True},
        ("backup_cron_keep_days", "True (bool)", "a dictionary", f"{CORRECT} {see('backup_cron')}"),
    ),
    (
        "paper",
        {"ballast_stack": False},
        ("ballast_stack", "False (bool)", "a string", f"{CORRECT} {see('preflight')}"),
    ),
    (
        "paper",
        {"ib_gateway_image": {"name": "x"}},
        ("ib_gateway_image", "a dict of 1", "a string", f"{CORRECT} {see('ib_gateway')}"),
    ),
    # Secrets.
    ("paper", {"ib_gateway_password": ""}, ("ib_gateway_password", "not set", "the real value", VAULT)),
    *(
        (
            "paper",
            {"ib_gateway_password": text},
            ("ib_gateway_password", "(hidden), a placeholder", "the real value", VAULT),
        )
        for text in ("CHANGE_ME", "changeme", "please-change-me", "<password>", "your_password", "xxxx", "****", "TODO")
    ),
    (
        "paper",
        {"ib_gateway_username": "your_username"},
        ("ib_gateway_username", "(hidden), a placeholder", "the real value", VAULT),
    ),
    (
        "paper",
        {"ib_gateway_vnc_password": "CHANGE_ME"},
        ("ib_gateway_vnc_password", "(hidden), a placeholder", "the real value, or none", VAULT),
    ),
]


@pytest.mark.parametrize(("environment", "changes", "expected"), BAD, ids=lambda value: str(value)[:60])
def test_a_wrong_value_is_one_problem_with_its_fix(
    environment: str, changes: dict[str, Any], expected: tuple[str, str, str, str]
) -> None:
    assert problems_of({**ENVIRONMENTS[environment], **changes}) == [Problem(*expected)]


UNKNOWN = "a variable that no role reads"


@pytest.mark.parametrize(
    ("name", "wanted", "fix"),
    [
        ("ballast_acount", "did you mean ballast_account?", "Rename it to ballast_account."),
        ("trading_engine_imge", "did you mean trading_engine_image?", "Rename it to trading_engine_image."),
        ("ib_gatway_password", "did you mean ib_gateway_password?", "Rename it to ib_gateway_password."),
        (
            "ledger_zzz",
            "one of the variables in roles/ledger/README.md",
            "Correct the name, or remove the variable.",
        ),
        (
            "ballast_zzzzzzzzzzz",
            "one of the variables in roles/preflight/README.md",
            "Correct the name, or remove the variable.",
        ),
    ],
)
def test_a_name_that_no_role_reads_gets_a_suggestion(name: str, wanted: str, fix: str) -> None:
    assert problems_of(PAPER, name) == [Problem(name, UNKNOWN, wanted, fix)]


@pytest.mark.parametrize(
    "name",
    [
        "my_own",
        "vault_ib_gateway_password",
        "ansible_user",
        "__ib_gateway_secrets",
        "preflight",
        "ballast",
        "trading_engines",
        "secret_ib_gateway_username",
    ],
)
def test_a_name_of_the_users_own_is_no_problem(name: str) -> None:
    assert problems_of(PAPER, name) == []


def test_a_renamed_variable_is_reported_with_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "RENAMED", {"ib_gateway_tws_user": "ib_gateway_username"})
    assert problems_of(PAPER, "ib_gateway_tws_user") == [
        Problem(
            "ib_gateway_tws_user",
            UNKNOWN,
            "ib_gateway_username (renamed)",
            "Rename it to ib_gateway_username.",
        )
    ]


def test_what_is_not_set_is_reported_for_every_required_variable() -> None:
    problems = problems_of({"ib_gateway_kind": "simulator"})
    assert [(problem.where, problem.seen) for problem in problems] == [
        ("ballast_stack", "not set"),
        ("ballast_environment", "not set"),
        ("ballast_account", "not set"),
        ("trading_engine_image", "not set"),
    ]


def test_all_problems_are_reported_at_once() -> None:
    values = {
        **LIVE,
        "ballast_account": "DU1",
        "ib_gateway_api_port": "x",
        "ib_gateway_password": "",
        "backup_cron_hour": 99,
    }
    assert [problem.where for problem in problems_of(values, "ballast_stak")] == [
        "ballast_stak",
        "ib_gateway_api_port",
        "ballast_account",
        "backup_cron_hour",
        "ib_gateway_password",
    ]


def test_only_the_variables_of_the_wanted_roles_are_judged() -> None:
    values = {**PAPER, "backup_cron_hour": "never", "ib_gateway_api_port": "x"}
    inputs = Inputs(names=[*values, "ib_gateway_pasword"], values=values)
    assert [problem.where for problem in examine(SPECIFICATIONS, ["backup_cron"], inputs).problems] == [
        "ib_gateway_pasword",
        "backup_cron_hour",
    ]


@pytest.mark.parametrize("role", ["ib_gateway", "trading_engine"])
def test_a_role_that_is_to_be_removed_requires_nothing(role: str) -> None:
    needed = {"ib_gateway": "ib_gateway_password", "trading_engine": "trading_engine_image"}[role]
    values = {**PAPER, needed: ""}
    assert [problem.where for problem in problems_of(values)] == [needed]
    assert problems_of({**values, f"{role}_state": "absent"}) == []


def test_a_problem_names_the_file_that_set_the_variable() -> None:
    source = "inventories/paper/group_vars/all.yml:7"
    values = {**PAPER, "ib_gateway_environment": {"TRADING_MODE": "live"}}
    problems = problems_of(values, sources={"ib_gateway_environment": source})
    assert [problem.source for problem in problems] == [source]


FAILURE_FIX = (
    f"Define what it refers to, correct it, or give the vault password (--ask-vault-pass). {see('ib_gateway')}"
)
EVALUATED = "a value that can be evaluated"


@pytest.mark.parametrize(
    ("name", "failure", "seen"),
    [
        ("ib_gateway_api_port", Failure("'port' is undefined", secret_free=True), "'port' is undefined"),
        ("ib_gateway_api_port", Failure("bad \n filter: " + "x" * 130), "bad filter: " + "x" * 105 + "..."),
        ("ib_gateway_vnc_password", Failure("'vault_pw' is undefined", secret_free=True), "'vault_pw' is undefined"),
        ("ib_gateway_vnc_password", Failure("cannot convert 'hunter22'"), "(hidden)"),
    ],
)
def test_a_template_that_cannot_be_evaluated_is_a_problem(name: str, failure: Failure, seen: str) -> None:
    values = {key: value for key, value in PAPER.items() if key != name}
    assert problems_of(values, failures={name: failure}) == [Problem(name, seen, EVALUATED, FAILURE_FIX)]


def test_a_secret_is_hidden_wherever_it_turns_up() -> None:
    values = {**PAPER, "ib_gateway_password": "hunter22", "ib_gateway_auto_restart_time": "at hunter22 o'clock"}
    assert [problem.seen for problem in problems_of(values)] == ['"at (hidden) o\'clock"']


NESTED: dict[str, configuration.Options] = {
    "preflight": {
        "preflight_hosts": {
            "type": "list",
            "elements": "dict",
            "options": {
                "port": {"type": "int", "required": True},
                "mode": {"type": "str", "choices": ["a", "b"], "default": "a"},
                "token": {"type": "str", "no_log": True, "choices": ["left", "right"]},
            },
        },
        "preflight_box": {"type": "dict", "options": {"size": {"type": "int", "default": 3}}},
    }
}


def test_a_problem_within_a_nested_value_names_its_path() -> None:
    values = {
        "preflight_hosts": [{"port": 1}, {"mode": "c", "prot": 2, "token": "hunter22"}],
        "preflight_box": {"size": "big"},
    }
    problems = examine(NESTED, ["preflight"], Inputs(names=values, values=values)).problems
    assert problems == [
        Problem(
            "preflight_hosts[1].prot", "an unknown key", "did you mean port?", f"Rename it to port. {see('preflight')}"
        ),
        Problem("preflight_hosts[1].port", "not set", "an integer", f"Set it. {see('preflight')}"),
        Problem("preflight_hosts[1].mode", "'c'", "one of a, b", f"{CORRECT} {see('preflight')}"),
        Problem("preflight_hosts[1].token", "(hidden)", "one of left, right", f"{CORRECT} {see('preflight')}"),
        Problem("preflight_box.size", "'big'", "an integer", f"{CORRECT} {see('preflight')}"),
    ]


def test_good_values_are_converted_and_nested_ones_get_their_defaults() -> None:
    values = {"preflight_hosts": [{"port": "1"}], "preflight_box": {}}
    report = examine(NESTED, ["preflight"], Inputs(names=values, values=values))
    assert report.problems == []
    assert report.values == {"preflight_hosts": [{"port": 1, "mode": "a", "token": None}], "preflight_box": {"size": 3}}


@pytest.mark.parametrize(
    ("changes", "variables"),
    [
        ({}, ["ib_gateway_api_port"]),
        ({"ib_gateway_vnc_password": "secret sauce"}, ["ib_gateway_api_port", "ib_gateway_vnc_port"]),
        ({"ib_gateway_state": "absent"}, []),
    ],
    ids=str,
)
def test_the_ports_of_the_stack_may_be_held_by_its_own_gateway(changes: dict[str, Any], variables: list[str]) -> None:
    values = {**PAPER, **changes}
    assert configuration.wanted_ports(values) == [
        WantedPort(values[name], variable=name, containers=["ballast-paper-main-gateway"]) for name in variables
    ]


def test_two_hosts_never_trade_one_account() -> None:
    accounts = {"trader1": "DU1234567", "trader2": "DU1234567", "trader3": "DU7654321"}
    values = {"ballast_environment": "paper", "ballast_account": "DU1234567"}
    assert list(configuration.shared_account(values, "trader1", accounts)) == [
        Problem(
            "ballast_account",
            "DU1234567, which trader2 would trade as well",
            "an account that only one host trades",
            "Give each host an account of its own, or take the other hosts out of trading_hosts.",
        )
    ]


@pytest.mark.parametrize(
    ("environment", "account", "host"), [("paper", "DU7654321", "trader3"), ("dev", "DU1234567", "trader1")]
)
def test_hosts_with_accounts_or_simulators_of_their_own_share_nothing(
    environment: str, account: str, host: str
) -> None:
    accounts = {"trader1": "DU1234567", "trader2": "DU1234567", "trader3": "DU7654321"}
    values = {"ballast_environment": environment, "ballast_account": account}
    assert list(configuration.shared_account(values, host, accounts)) == []


def test_no_port_is_wanted_while_the_stack_has_no_name() -> None:
    assert configuration.wanted_ports({"ib_gateway_api_port": 4002}) == []


def test_the_report_is_readable() -> None:
    problems = [
        Problem("ballast_environment", "'prod'", "one of dev, paper, live", CORRECT, "group_vars/all.yml:7"),
        Problem("host: memory", "512 MiB", "at least 1500 MiB", "Use a larger host."),
    ]
    assert configuration.render("trader1", problems) == (
        "Preflight found 2 problems on trader1; nothing was touched.\n"
        "\n"
        "1.  ballast_environment  (group_vars/all.yml:7)\n"
        "    seen:   'prod'\n"
        "    wanted: one of dev, paper, live\n"
        "    fix:    Correct the value.\n"
        "\n"
        "2.  host: memory\n"
        "    seen:   512 MiB\n"
        "    wanted: at least 1500 MiB\n"
        "    fix:    Use a larger host."
    )


def test_the_report_counts_a_single_problem_and_none() -> None:
    problem = Problem("host: memory", "512 MiB", "at least 1500 MiB", "Use a larger host.")
    first_line = configuration.render("trader1", [problem]).splitlines()[0]
    assert first_line == "Preflight found 1 problem on trader1; nothing was touched."
    assert configuration.render("trader1", []) == "Preflight found no problem on trader1."


# ---- closed windows, locks, hooks ----

MARKET = {"name": "m", "days": ["mon"], "from": "09:25", "to": "16:05", "timezone": "America/New_York"}
NEW_YORK = "the name of a time zone, such as America/New_York"
QUOTES = "Write it with two digits each and in quotes: YAML takes 16:05 without them for a number."


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"to": 965}, [("trading_engine_closed_windows[0].to", "'965'", '"HH:MM"', QUOTES)]),
        ({"from": "9:25"}, [("trading_engine_closed_windows[0].from", "'9:25'", '"HH:MM"', QUOTES)]),
        (
            {"from": "24:00", "timezone": "New York"},
            [
                ("trading_engine_closed_windows[0].from", "'24:00'", '"HH:MM"', QUOTES),
                ("trading_engine_closed_windows[0].timezone", "'New York'", NEW_YORK, "Correct the name."),
            ],
        ),
        (
            {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "00:00"},
            [
                (
                    "trading_engine_closed_windows",
                    "windows that leave no time in the week",
                    "some time at which a release may be activated",
                    "Shorten or remove one of them.",
                )
            ],
        ),
    ],
    ids=str,
)
def test_a_window_that_the_host_would_not_understand_is_a_problem(
    changes: dict[str, Any], expected: list[tuple[str, str, str, str]]
) -> None:
    values = {**PAPER, "trading_engine_closed_windows": [{**MARKET, **changes}]}
    assert problems_of(values) == [Problem(*each) for each in expected]


def test_a_window_with_a_wrong_day_or_none_is_a_problem() -> None:
    values = {**PAPER, "trading_engine_closed_windows": [{**MARKET, "days": ["monday"]}, {"name": "m"}]}
    wheres = [problem.where.removeprefix("trading_engine_closed_windows") for problem in problems_of(values)]
    assert wheres == ["[0].days", "[1].days", "[1].from", "[1].to", "[1].timezone"]


TUESDAY = datetime.fromisoformat("2026-12-01T15:00:00+00:00")


def test_a_deploy_in_a_closed_window_is_refused_before_anything_is_touched() -> None:
    values = {"trading_engine_state": "present", "trading_engine_closed_windows": [{**MARKET, "days": ["tue"]}]}
    (problem,) = configuration.closed_at(values, TUESDAY)
    assert problem.seen.startswith("the window 'm' is closed; it opens at 2026-12-01 ")
    assert problem.seen.endswith("(2026-12-01T21:05:00Z), in the time of this controller")
    assert problem.fix == (
        "Wait, or do it all the same and say why: -e force_reason='...'; the journal keeps the reason."
    )
    assert list(configuration.closed_at({**values, "trading_engine_state": "absent"}, TUESDAY)) == []
    assert list(configuration.closed_at({**values, "trading_engine_closed_windows": [MARKET]}, TUESDAY)) == []
    assert list(configuration.closed_at({"trading_engine_state": "present"}, TUESDAY)) == []


def test_a_locked_stack_is_a_problem_of_its_host() -> None:
    lock = {"user": "jane", "origin": "desk", "at": "2026-12-01T15:00:00Z", "reason": "new disk"}
    values = {"ballast_stack": "paper-main"}
    assert list(configuration.unlocked(values, {"stacks": {"paper-main": {"lock": lock}}})) == [
        Problem(
            "host: lock of stack paper-main",
            "locked by jane from desk at 2026-12-01T15:00:00Z: new disk",
            "a stack that nobody has locked",
            "Ask there. When the work is done: playbook unlock.yml, or sudo ballast unlock paper-main on the host.",
        )
    ]
    assert list(configuration.unlocked(values, {"stacks": {"paper-main": {"lock": {}}, "b": {"lock": lock}}})) == []
    assert list(configuration.unlocked(values, {"stacks": {}})) == []


SHELL = "#!/bin/sh\ncurl --silent https://hooks.example/secret-token\n"
OWN_NAME = "a name of its own of letters, digits, dots, dashes and underscores, such as 10-notify"


@pytest.mark.parametrize(
    ("hooks", "expected"),
    [
        ([{"name": "10-notify", "content": SHELL}], []),
        ([{"name": "a/b", "content": SHELL}], [("[0].name", "'a/b'", OWN_NAME, "Rename it.")]),
        ([{"name": ".hidden", "content": SHELL}], [("[0].name", "'.hidden'", OWN_NAME, "Rename it.")]),
        (
            [{"name": "10-notify", "content": SHELL}] * 2,
            [("[1].name", "'10-notify', a second time", OWN_NAME, "Rename it.")],
        ),
        (
            [{"name": "10-notify", "content": "curl https://hooks.example/secret-token"}],
            [
                (
                    "[0].content",
                    "(hidden), without a first line that names what runs it",
                    "a program that begins with a line such as #!/bin/sh",
                    "Add that line.",
                )
            ],
        ),
    ],
    ids=str,
)
def test_a_hook_that_would_not_run_is_a_problem(
    hooks: list[dict[str, str]], expected: list[tuple[str, str, str, str]]
) -> None:
    problems = problems_of({**PAPER, "trading_engine_hooks": {"on-alert": hooks}})
    assert problems == [Problem(f"trading_engine_hooks.on-alert{where}", *rest) for where, *rest in expected]


def test_every_rule_speaks_of_variables_that_a_role_has() -> None:
    known = {name for options in SPECIFICATIONS.values() for name in options}
    owners = {name for names in configuration.ENVIRONMENT_OWNERS.values() for name in names.values()}
    named = {
        *configuration.LIMITS,
        *configuration.FORMS,
        *configuration.CLIENT_IDS,
        *configuration.GATEWAY_CREDENTIALS,
        *configuration.ENVIRONMENT_OWNERS,
        *owners,
    }
    assert named - known == set()


def test_a_confirmation_that_stands_in_a_file_is_none() -> None:
    source = "inventories/live/group_vars/trading_hosts/main.yml:5"
    assert problems_of(LIVE, sources={"ballast_confirm_live": source}) == [
        Problem(
            where="ballast_confirm_live",
            source=source,
            seen="'live-main', in a file",
            wanted="the name of the stack on the command line, each time",
            fix="Remove it there, and re-run with -e ballast_confirm_live=live-main",
        )
    ]
    assert problems_of(PAPER, sources={"ballast_confirm_live": source}) == []


def test_a_number_of_hosts_at_a_time_that_stands_in_a_file_has_no_effect() -> None:
    source = "inventories/paper/group_vars/trading_hosts/main.yml:5"
    assert problems_of({**PAPER, "ballast_batch": 2}, sources={"ballast_batch": source}) == [
        Problem(
            where="ballast_batch",
            source=source,
            seen="2, in a file, where it has no effect",
            wanted="a number on the command line, each time",
            fix="Remove it there, and re-run with -e ballast_batch=2",
        )
    ]
    assert problems_of({**PAPER, "ballast_batch": 2}) == []


@pytest.mark.parametrize(
    ("name", "text", "seen", "wanted"),
    [
        ("main.py", "class Mean: ...", None, None),
        ("other.py", "", "mean, without main.py", "a folder that holds main.py, which is algorithm-location"),
        (
            "main.py",
            "#" * 5 * 1024**2,
            "mean, 5.0 MiB",
            "at most 4 MiB of text; data goes into the engine's folder",
        ),
        (None, "", "mean, which is no folder here", "a folder on the controller"),
    ],
)
def test_the_code_of_an_engine_is_there_before_anything_is_touched(
    tmp_path: Path, name: str | None, text: str, seen: str | None, wanted: str | None
) -> None:
    if name:
        (tmp_path / "mean").mkdir()
        (tmp_path / "mean" / name).write_text(text)
    values = LEAN | {"trading_engine_files": "mean"}
    found = [(problem.seen, problem.wanted) for problem in configuration.code_of_engine(values, tmp_path / "mean")]
    assert found == ([(seen, wanted)] if seen else [])


@pytest.mark.parametrize(("architecture", "good"), [("amd64", True), ("arm64", False)])
def test_lean_needs_the_architecture_that_it_trades_on(architecture: str, good: bool) -> None:
    facts = {"cpus": 4, "architecture": architecture}
    found = [problem.seen for problem in configuration.beyond_host(LEAN, facts)]
    assert found == ([] if good else ["lean, on arm64"])
