# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One task judges variables and host together; tried with ansible-playbook against this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible.utils.display import Display

from ansible_collections.ballast.trading.plugins.action import preflight
from ansible_collections.ballast.trading.plugins.action.preflight import ActionModule

ROOT = Path(__file__).parents[4]
PAPER: dict[str, Any] = {
    "ballast_stack": "paper-main",
    "ballast_environment": "paper",
    "ballast_account": "DU1234567",
    "ib_gateway_username": "trader77",
    "ib_gateway_password": "correct horse",
    "trading_engine_image": "ballast/reference-engine:0.1.0-0123456789ab",
}


FACTS = {
    "os": {"id": "debian", "version": "13", "codename": "trixie"},
    "cpus": 4,
    "docker": {"compose": ""},
    "memory": {"total_bytes": 16 * 1024**3},
    "stacks": {},
    "packages": {"zstd": "1.5.7+dfsg-1"},
}
GOOD_HOST = {"changed": False, "facts": FACTS, "problems": []}


class Host:
    """A host that answers the module with ``answer`` (or by raising it), and remembers what it was asked."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.answer = answer
        self.asked: dict[str, Any] = {}

    def execute(self, name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Stand in for ActionBase._execute_module."""
        assert name == "ballast.trading.preflight"
        assert task_vars["inventory_hostname"] == "trader1"
        self.asked = module_args
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def judge(variables: dict[str, Any], host: Host, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run the action plugin in this process, with ``host`` at the other end."""
    task = Task()
    task.check_mode = check
    task.args = arguments
    loader = DataLoader()
    task_vars = {"inventory_hostname": "trader1", **variables}
    plugin = ActionModule(task, Mock(), None, loader, Templar(loader=loader, variables=task_vars), None)
    plugin._execute_module = host.execute
    result: dict[str, Any] = plugin.run(task_vars=task_vars)
    return result


def test_code_that_is_not_on_the_controller_is_a_problem_like_any_other(tmp_path: Path) -> None:
    folder = tmp_path / "mean"
    lean = {"trading_engine_kind": "lean", "trading_engine_image": "quantconnect/lean:17000"}
    lean |= {"trading_engine_config": {"algorithm-type-name": "Mean"}, "trading_engine_files": str(folder)}
    facts = FACTS | {"architecture": "amd64"}
    seen = judge(PAPER | lean, Host(GOOD_HOST | {"facts": facts}))
    assert [(problem["where"], problem["seen"]) for problem in seen["problems"]] == [
        ("trading_engine_files", f"{folder}, which is no folder here")
    ]
    folder.mkdir()
    (folder / "main.py").write_text("class Mean: ...")
    assert judge(PAPER | lean, Host(GOOD_HOST | {"facts": facts}))["problems"] == []


def test_a_good_configuration_on_a_good_host_returns_the_facts() -> None:
    assert judge(PAPER, Host(GOOD_HOST)) == {
        "changed": False,
        "facts": FACTS,
        "ansible_facts": {
            "distribution": "Debian",
            "distribution_major_version": "13",
            "distribution_release": "trixie",
            "packages": {"zstd": [{"name": "zstd", "version": "1.5.7+dfsg-1", "source": "apt"}]},
        },
        "problems": [],
        "msg": "Preflight found no problem on trader1.",
    }


def test_the_host_is_asked_for_what_the_configuration_needs() -> None:
    host = Host(GOOD_HOST)
    judge({**PAPER, "preflight_min_free_gb": "7", "ib_gateway_api_port": 4102}, host)
    assert host.asked == {
        "min_free_gb": 7.0,
        "min_memory_mb": 1500,
        "ports": [
            {
                "port": 4102,
                "address": "127.0.0.1",
                "variable": "ib_gateway_api_port",
                "containers": ["ballast-paper-main-gateway"],
            }
        ],
    }


def test_an_option_of_the_task_comes_before_the_variable() -> None:
    host = Host(GOOD_HOST)
    judge({**PAPER, "preflight_min_free_gb": 7}, host, min_free_gb=10, ports=[])
    assert host.asked == {"min_free_gb": 10, "min_memory_mb": 1500, "ports": []}


def test_what_the_host_cannot_give_is_a_problem_of_the_configuration() -> None:
    old = {
        **FACTS,
        "os": {"id": "debian", "version": "12", "codename": "bookworm"},
        "cpus": 1,
        "packages": {"docker.io": "20.10.24"},
    }
    problems = judge(PAPER, Host({**GOOD_HOST, "facts": old}))["problems"]
    assert [(problem["where"], problem["seen"]) for problem in problems] == [
        ("ib_gateway_cpus", "2"),
        ("host: docker compose", "docker.io of Debian 12, which has no Compose v2"),
    ]
    assert problems[0]["wanted"] == "at most 1, the processors of the host"


def test_a_setting_that_is_itself_wrong_leaves_the_modules_default() -> None:
    host = Host(GOOD_HOST)
    result = judge({**PAPER, "preflight_min_memory_mb": "much"}, host)
    assert [problem["where"] for problem in result["problems"]] == ["preflight_min_memory_mb"]
    assert "min_memory_mb" not in host.asked


def test_other_names_of_the_same_server_are_judged_with_their_own_variables_and_the_roles_defaults() -> None:
    twin = {"ansible_host": "10.0.0.1", "ballast_stack": "paper-next", "ballast_environment": "paper"}
    hostvars = {
        "trader1": {**PAPER, "ansible_host": "10.0.0.1"},
        "twin": {**PAPER, **twin, "ballast_account": "DU2222222"},
        "elsewhere": {**PAPER, **twin, "ballast_account": "DU3333333", "ansible_host": "10.0.0.2"},
    }
    variables = {"hostvars": hostvars, "groups": {"trading_hosts": list(hostvars)}, **hostvars["trader1"]}
    result = judge(variables, Host(GOOD_HOST))
    assert [(problem["where"], problem["seen"]) for problem in result["problems"]] == [
        ("ib_gateway_api_port", "4002, which stack paper-next wants on the same server"),
    ]
    hostvars["twin"]["ib_gateway_api_port"] = 4102
    result = judge(variables, Host(GOOD_HOST))
    assert "failed" not in result
    (warning,) = result["warnings"]
    assert "8 processors together (paper-main 4, paper-next 4) and it has 4" in warning


def test_the_default_port_follows_from_the_environment() -> None:
    host = Host(GOOD_HOST)
    live = {**PAPER, "ballast_environment": "live", "ballast_account": "U1", "ballast_confirm_live": "paper-main"}
    judge(live, host)
    assert host.asked["ports"][0]["port"] == 4001


def test_problems_of_configuration_and_host_are_reported_together() -> None:
    problem = {"where": "host: memory", "seen": "512 MiB", "wanted": "1500 MiB", "fix": "Add some.", "source": ""}
    result = judge({**PAPER, "ballast_account": "U1234567"}, Host({**GOOD_HOST, "problems": [problem]}))
    assert result["failed"] is True
    assert "facts" not in result
    assert [found["where"] for found in result["problems"]] == ["ballast_account", "host: memory"]
    assert result["msg"].splitlines()[0] == "Preflight found 2 problems on trader1; nothing was touched."


def test_a_host_out_of_reach_does_not_hide_the_problems_of_the_configuration() -> None:
    host = Host(AnsibleConnectionFailure("ssh: connect to host trader1 port 22: Connection refused"))
    result = judge({**PAPER, "ballast_account": "U1234567"}, host)
    assert (result["failed"], result["unreachable"]) == (True, True)
    assert [problem["where"] for problem in result["problems"]] == ["ballast_account", "host: connection"]
    assert result["problems"][1] == {
        "where": "host: connection",
        "seen": "ssh: connect to host trader1 port 22: Connection refused",
        "wanted": "a host that answers",
        "fix": "Check ansible_host, the key and the user with: ansible -m ping trader1",
        "source": "",
    }


def test_a_module_that_cannot_run_is_a_problem_of_the_host() -> None:
    result = judge(PAPER, Host({"failed": True, "msg": "Missing sudo\n password"}))
    assert result["problems"] == [
        {
            "where": "host: first command",
            "seen": "Missing sudo password",
            "wanted": "a host that runs Python as root",
            "fix": "Check ansible_host, the key and the user with: ansible -m ping trader1",
            "source": "",
        }
    ]


def test_a_role_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AnsibleActionFail) as refused:
        judge(PAPER, Host(GOOD_HOST), roles=["backup_cron", "backup"])
    names = ", ".join(sorted(path.parents[1].name for path in ROOT.glob("roles/*/meta/argument_specs.yml")))
    assert str(refused.value) == f"roles: seen backup; wanted names among {names}"


class Controller:
    """An inventory with one host, which is this machine, and ansible-playbook."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host: dict[str, Any] = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        self.output = ""

    def run(
        self, variables: dict[str, Any] | str, *options: str, arguments: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run the role, or with ``arguments`` the bare module, and return the result of its only task."""
        play: dict[str, Any] = {"hosts": "all", "gather_facts": False}
        if arguments is None:
            play["roles"] = ["ballast.trading.preflight"]
        else:
            play["tasks"] = [{"ballast.trading.preflight": arguments}]
        output = self.play(play, variables, *options)
        result: dict[str, Any] = json.loads(output[output.rindex("=> {") + 3 :])
        return result

    def play(self, play: dict[str, Any], variables: dict[str, Any] | str, *options: str) -> str:
        """Run a play, and return what it printed to stdout."""
        self.write("play.yml", yaml.safe_dump([play]))
        self.write("inventory/hosts.yml", yaml.safe_dump({"all": {"hosts": {"trader1": self.host}}}))
        text = variables if isinstance(variables, str) else yaml.safe_dump(variables, sort_keys=False)
        self.write("inventory/group_vars/all.yml", text)
        command = ["-m", "ansible", "playbook", "-i", "inventory", "play.yml", *options]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
        }
        done = subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        self.output = done.stdout + done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> None:
        """Write a file below the controller's folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture(name="controller")
def controller_in_a_folder(tmp_path: Path) -> Controller:
    """A controller with its own folder."""
    return Controller(tmp_path)


EVALUATE = (
    "Define what it refers to, correct it, or give the vault password (--ask-vault-pass). "
    "See roles/ib_gateway/README.md."
)


def of_variables(result: dict[str, Any]) -> list[dict[str, str]]:
    """The problems of the variables: this machine need not be a good host."""
    return [problem for problem in result["problems"] if not problem["where"].startswith("host: ")]


def test_every_problem_of_an_inventory_is_listed_with_its_place(controller: Controller) -> None:
    variables = """ballast_stack: paper-main
ballast_environment: prod
ballast_acount: DU1234567
ib_gateway_username: trader77
ib_gateway_password: "{{ vault_password }}"
ib_gateway_vnc_password: "{{ vault_vnc_password }}"
vault_vnc_password: CHANGE_ME
ib_gateway_environment: {TWS_COLD_RESTART: "{{ nowhere.at_all }}"}
trading_engine_image: lean:latest
preflight_min_free_gb: "{{ 'lots' }}"
"""
    result = controller.run(variables)
    all_yml = "inventory/group_vars/all.yml"
    assert of_variables(result) == [
        {
            "where": "ballast_acount",
            "source": f"{all_yml}:3",
            "seen": "a variable that no role reads",
            "wanted": "did you mean ballast_account?",
            "fix": "Rename it to ballast_account.",
        },
        {
            "where": "ballast_environment",
            "source": f"{all_yml}:2",
            "seen": "'prod'",
            "wanted": "one of dev, paper, live",
            "fix": "Correct the value. See roles/preflight/README.md.",
        },
        {
            "where": "ballast_account",
            "source": "",
            "seen": "not set",
            "wanted": "a string",
            "fix": "Set it. See roles/preflight/README.md.",
        },
        {
            "where": "preflight_min_free_gb",
            "source": f"{all_yml}:10",
            "seen": "'lots'",
            "wanted": "a number",
            "fix": "Correct the value. See roles/preflight/README.md.",
        },
        {
            "where": "ib_gateway_password",
            "source": f"{all_yml}:5",
            "seen": "'vault_password' is undefined",
            "wanted": "a value that can be evaluated",
            "fix": EVALUATE,
        },
        {
            "where": "ib_gateway_environment",
            "source": f"{all_yml}:8",
            "seen": "'nowhere' is undefined",
            "wanted": "a value that can be evaluated",
            "fix": EVALUATE,
        },
        {
            "where": "trading_engine_image",
            "source": f"{all_yml}:9",
            "seen": "'lean:latest'",
            "wanted": "an exact tag or a digest, such as registry/name:1.4.2 or registry/name@sha256:...",
            "fix": "Pin the image: 'docker image inspect --format \"{{.RepoDigests}}\" IMAGE' shows its digest.",
        },
        {
            "where": "ib_gateway_vnc_password",
            "source": f"{all_yml}:6",
            "seen": "(hidden), a placeholder",
            "wanted": "the real value, or none",
            "fix": "Put it into an encrypted file: ansible-vault edit <inventory>/group_vars/trading_hosts/vault.yml",
        },
    ]
    assert result["changed"] is False


def test_a_good_inventory_has_no_problem_in_check_mode(controller: Controller) -> None:
    result = controller.run(PAPER, "--check", "--diff")
    assert of_variables(result) == []
    assert result["changed"] is False


def test_no_secret_is_printed_however_loud_ansible_is(controller: Controller) -> None:
    variables = {
        **PAPER,
        "ballast_stack": "Wrong",
        "ib_gateway_password": ["hunter22", "hunter22"],
        "ib_gateway_vnc_password": "{{ 'hunter22' | int('x') | fail_hunter22 }}",
        "ib_gateway_pasword": "hunter22",
    }
    result = controller.run(variables, "-vvv", arguments={})
    assert [problem["where"] for problem in of_variables(result)] == [
        "ib_gateway_pasword",
        "ib_gateway_password",
        "ib_gateway_vnc_password",
        "ballast_stack",
    ]
    assert "hunter22" not in controller.output


def test_an_encrypted_variable_without_its_password_is_a_problem(controller: Controller) -> None:
    variables = yaml.safe_dump({name: value for name, value in PAPER.items() if name != "ib_gateway_password"})
    vaulted = "ib_gateway_password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3338\n"
    assert of_variables(controller.run(variables + vaulted)) == [
        {
            "where": "ib_gateway_password",
            "source": "inventory/group_vars/all.yml:6",
            "seen": "Error rendering template: Attempt to use undecryptable variable: "
            "Attempting to decrypt but no vault secrets found.",
            "wanted": "a value that can be evaluated",
            "fix": EVALUATE,
        }
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks at the ledger")
def test_migrations_that_do_not_fit_the_ledger_are_found_among_the_other_problems(controller: Controller) -> None:
    assert of_variables(controller.run(PAPER)) == []
    controller.write("migrations/0001_own.sql", "CREATE TABLE own (id INTEGER);\n")
    controller.write("migrations/0002_fees.sql", "INSERT INTO fees VALUES (1);\n")
    folder = str(controller.folder / "migrations")
    problems = of_variables(controller.run({**PAPER, "ballast_account": "U1234567", "ledger_migrations": folder}))
    assert [problem["where"] for problem in problems] == ["ballast_account", "ledger_migrations"]
    assert problems[1]["source"] == "inventory/group_vars/all.yml:7"
    assert "0002_fees.sql" in problems[1]["seen"]
    assert "no such table: fees" in problems[1]["seen"]
    assert of_variables(controller.run({**PAPER, "ledger_migrations": folder, "ledger_state": "absent"})) == []
    wrong = controller.run({**PAPER, "ledger_migrations": folder, "ledger_owner": "nobody"})
    assert [problem["where"] for problem in of_variables(wrong)] == ["ledger_owner"]
    assert "host: first command" not in controller.output


@pytest.mark.parametrize(
    ("own", "asked"),
    [({}, False), ({"ballast_stack": "paper-other"}, True), ({"ledger_owner": 1}, True)],
    ids=["the same ledger", "that of another stack", "one of another owner"],
)
def test_what_preflight_has_seen_of_a_ledger_says_nothing_of_another_one(
    controller: Controller, own: dict[str, Any], asked: bool
) -> None:
    files = sorted((ROOT / "roles/ledger/files/migrations").glob("*.sql"))
    wanted = {
        "path": "/var/lib/ballast/paper-main/ledger/trades.db",
        "owner": 10001,
        "group": 10001,
        "mode": "0640",
        "migrations": [{"name": path.name, "content": path.read_text()} for path in files],
        "stack": "paper-main",
        "no_rollback": False,
    }
    seen = {"preflight": {"facts": {"ledger": {"up_to_date": True, "wanted": wanted}}}}
    play = {"hosts": "all", "gather_facts": False, "roles": [{"role": "ballast.trading.ledger", "vars": own}]}
    output = controller.play(play, {**PAPER, **seen}, "--check")
    made, migrated = '"changed_groups"' in output, '"schema_version"' in output
    assert (made, migrated) == (True, asked)


ALWAYS_CLOSED = [
    {"name": "first half", "days": ["mon", "tue", "wed", "thu", "fri", "sat"], "from": "00:00", "to": "00:00"},
    {"name": "sunday", "days": ["sun"], "from": "00:00", "to": "23:59"},
]
CLOSED = {**PAPER, "trading_engine_closed_windows": [{**window, "timezone": "Etc/UTC"} for window in ALWAYS_CLOSED]}


@pytest.fixture
def monday(monkeypatch: pytest.MonkeyPatch) -> None:
    class Monday(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 11, 30, 12, tzinfo=tz)

    monkeypatch.setattr(preflight, "datetime", Monday)


@pytest.mark.usefixtures("monday")
@pytest.mark.parametrize(
    ("variables", "refused"),
    [
        ({}, True),
        ({"ansible_run_tags": ["all"]}, True),
        ({"ansible_run_tags": ["trading_engine_release", "ledger"]}, True),
        ({"ansible_run_tags": ["ledger"]}, False),
        ({"ansible_run_tags": ["all"], "ansible_skip_tags": ["trading_engine"]}, True),
        ({"force_reason": "it runs wild"}, False),
        ({"force_reason": ""}, True),
        ({"trading_engine_state": "absent"}, False),
    ],
    ids=str,
)
def test_what_would_activate_in_a_closed_window_is_refused(variables: dict[str, Any], refused: bool) -> None:
    answer = judge({**CLOSED, **variables}, Host(GOOD_HOST))
    assert [problem["where"] for problem in answer["problems"]] == ["trading_engine_closed_windows"] * refused
    assert answer.get("failed", False) is refused
    if refused:
        assert answer["problems"][0]["seen"].startswith("the window 'first half' is closed; it opens at 2026-12-06 ")


@pytest.mark.usefixtures("monday")
def test_check_mode_warns_of_a_closed_window(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _display, text: warnings.append(text))
    assert judge(CLOSED, Host(GOOD_HOST), check=True)["problems"] == []
    (warning,) = warnings
    assert warning.startswith("trader1: this deploy would be refused now: the window 'first half' is closed; it opens ")
    assert "-e force_reason='...'" in warning
