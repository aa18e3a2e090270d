# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module ``preflight``: judge the variables, then the host, and report both together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.validation import check_type_list
from ansible.plugins.action import ActionBase

from ..module_utils.host_facts import Problem
from ..module_utils.windows import UTC
from ..plugin_utils import configuration, neighbors

ROLES = Path(__file__).parents[2] / "roles"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Check the whole configuration and the host in one round trip."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return ``problems``, ``facts`` and a readable ``msg``; fail when there is any problem."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        host = variables.get("inventory_hostname", "the host")
        specifications = configuration.load_specifications(ROLES)
        roles = check_type_list(self._task.args.get("roles") or list(specifications))
        if unknown := set(roles) - specifications.keys():
            raise AnsibleActionFail(
                f"roles: seen {', '.join(sorted(unknown))}; wanted names among {', '.join(sorted(specifications))}"
            )
        inputs = self.inputs(specifications, variables)
        report = configuration.examine(specifications, roles, inputs)
        looked = self.look_at_host(host, report.values, variables)
        beside = self.beside(specifications, variables)
        elsewhere = [
            *configuration.shared_account(report.values, host, self.accounts(variables)),
            *configuration.code_of_engine(report.values, self.code(report.values)),
            *(Problem(**problem) for problem in looked["problems"]),
            *configuration.beyond_host(report.values, looked["facts"]),
            *neighbors.judge(report.values, looked["facts"], beside),
        ]
        if self.activates(roles, variables):
            closed = list(configuration.closed_at(report.values, datetime.now(UTC)))
            if self._task.check_mode:
                for problem in closed:
                    self._display.warning(f"{host}: this deploy would be refused now: {problem.seen}. {problem.fix}")
            else:
                elsewhere += closed
        problems = [*report.problems, *(configuration.finish(problem, inputs.sources) for problem in elsewhere)]
        if problems:
            result.update(failed=True, unreachable=looked["unreachable"])
        else:
            result.update(facts=looked["facts"], ansible_facts=standard_facts(looked["facts"]))
        if notes := neighbors.warnings(report.values, looked["facts"], beside):
            result["warnings"] = notes
        result.update(
            changed=False,
            problems=[asdict(problem) for problem in problems],
            msg=configuration.render(host, problems),
        )
        return result

    def activates(self, roles: list[str], variables: Mapping[str, Any]) -> bool:
        """Whether the play may activate a release, as far as tags tell, and has no reason to do so at any time."""
        tags = {"all", "trading_engine", "trading_engine_release"}
        wanted = tags & set(variables.get("ansible_run_tags", tags)) - set(variables.get("ansible_skip_tags", ()))
        return "trading_engine" in roles and bool(wanted) and not self._templar.template(variables.get("force_reason"))

    def inputs(
        self, specifications: Mapping[str, configuration.Options], variables: Mapping[str, Any]
    ) -> configuration.Inputs:
        """The variables that any role knows, evaluated for this host as the role itself would see them."""
        defaults = self.role_defaults(specifications)
        raw = {**defaults, **variables}
        templar = self._templar.copy_with_new_env(available_variables=raw)
        values: dict[str, Any] = {}
        failures: dict[str, configuration.Failure] = {}
        known = [name for options in specifications.values() for name in options if name in raw]
        for name in known:
            try:
                values[name] = templar.template(raw[name])
            except AnsibleError as error:
                # A default may lean on what its role finds out first; only what the user wrote is the user's to mend.
                if not same(raw[name], defaults.get(name)):
                    failures[name] = configuration.Failure(error.message, names_no_value(error))
        sources = {name: source_of(value) for name, value in variables.items() if not same(value, defaults.get(name))}
        return configuration.Inputs(names=variables.keys(), values=values, failures=failures, sources=sources)

    def role_defaults(self, roles: Iterable[str]) -> dict[str, Any]:
        """The defaults of the roles: those of a role that is included later are not among the host's variables yet."""
        defaults: dict[str, Any] = {}
        for role in roles:
            path = ROLES / role / "defaults" / "main.yml"
            if path.exists():
                defaults.update(self._loader.load_from_file(str(path), trusted_as_template=True) or {})
        return defaults

    def accounts(self, variables: Mapping[str, Any]) -> dict[str, str]:
        """The account of every host of the inventory's group, whatever --limit says, as far as it can be told."""
        found = {}
        for name in variables.get("groups", {}).get("trading_hosts", ()):
            with suppress(AnsibleError, KeyError):  # that host's own preflight says what is wrong with it
                found[name] = str(variables["hostvars"][name]["ballast_account"])
        return found

    def code(self, values: Mapping[str, Any]) -> Path:
        """The folder that the release will be given, as the action plugin of the module ``release`` finds it."""
        return Path(self._loader.path_dwim(str(values.get("trading_engine_files", ""))))

    def beside(
        self, specifications: Mapping[str, configuration.Options], variables: Mapping[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """The sound variables of the inventory's other names for this server."""
        hostvars = variables.get("hostvars", {})
        names = [name for name in variables.get("groups", {}).get("trading_hosts", ()) if name in hostvars]
        others = {name: hostvars[name] for name in names if name != variables.get("inventory_hostname")}
        found = {}
        for name in neighbors.same_server(variables, others):
            # As they are written: to evaluate all of them at once would stop at the first mistake.
            written = hostvars.raw_get(name) if hasattr(hostvars, "raw_get") else hostvars[name]
            inputs = self.inputs(specifications, written)
            found[name] = configuration.examine(specifications, list(specifications), inputs).values
        return found

    def ledger(self, values: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any] | None:
        """The ledger as its role wants it, by the role's own expressions; None where that makes no sense."""
        if values.get("ledger_state") != "present" or "ledger_owner" not in values:
            return None
        role = str(ROLES / "ledger")
        scope = {
            **self.role_defaults(["ledger"]),
            **variables,
            **self._loader.load_from_file(f"{role}/vars/main.yml", trusted_as_template=True),
            "role_path": role,
            "ansible_search_path": [role, *variables.get("ansible_search_path", ())],
        }
        templar = self._templar.copy_with_new_env(available_variables=scope)
        with suppress(AnsibleError):  # what the user wrote cannot be evaluated, which is reported already
            wanted: dict[str, Any] = templar.template(scope["__ledger_wanted"])
            return wanted
        return None

    def look_at_host(self, host: str, values: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Facts and problems of the host; a host that cannot be looked at is itself a problem."""
        arguments = {
            "min_free_gb": values.get("preflight_min_free_gb"),
            "min_memory_mb": values.get("preflight_min_memory_mb"),
            "ports": [asdict(port) for port in configuration.wanted_ports(values)],
            "ledger": self.ledger(values, variables),
            **self._task.args,
        }
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            answer = self._execute_module("ballast.trading.preflight", module_args=given, task_vars=variables)
        except AnsibleConnectionFailure as error:
            answer = {"failed": True, "unreachable": True, "msg": error.message}
        if answer.get("failed"):
            unreachable = bool(answer.get("unreachable"))
            problem = Problem(
                where="host: connection" if unreachable else "host: first command",
                seen=" ".join(str(answer.get("msg", "no answer")).split()),
                wanted="a host that answers" if unreachable else "a host that runs Python as root",
                fix=f"Check ansible_host, the key and the user with: ansible -m ping {host}",
            )
            return {"unreachable": unreachable, "facts": {}, "problems": [asdict(problem)]}
        return {"unreachable": False, "facts": answer["facts"], "problems": answer["problems"]}


def names_no_value(error: BaseException | None) -> bool:
    """Whether a failed evaluation names variables only; a filter, say, may quote the value it chokes on."""
    while error is not None:
        # Ansible has no public class for a value that cannot be decrypted inside a template.
        if isinstance(error, AnsibleUndefinedVariable) or "Vault" in type(error).__name__:
            return True
        error = error.__cause__
    return False


def same(value: object, default: object) -> bool:
    """Whether a variable is the default as it was written; an encrypted one is not, and comparing would decrypt it."""
    return type(value) is type(default) and value == default


def standard_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The host's facts under the names of ``setup`` and ``package_facts``, so that no role gathers them again."""
    found = facts["os"]
    return {
        "distribution": found["id"].capitalize(),
        "distribution_major_version": found["version"],
        "distribution_release": found["codename"],
        "packages": {
            name: [{"name": name, "version": version, "source": "apt"}] for name, version in facts["packages"].items()
        },
    }


def source_of(value: object) -> str:
    """The file and line that set a variable, relative to the current folder; empty when Ansible does not tell."""
    try:
        # The only place where Ansible keeps it; without it the report merely names no file.
        from ansible._internal._datatag._tags import Origin
    except ImportError:
        return ""
    origin = Origin.get_tag(value)
    if origin is None or not origin.path or not origin.line_num:
        return ""
    return f"{os.path.relpath(origin.path)}:{origin.line_num}"
