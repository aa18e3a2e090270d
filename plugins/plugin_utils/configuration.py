# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the whole configuration of a host: every variable of every role, and the rules that span variables.

Pure: it is given the argument specifications and the evaluated variables, and returns every problem at once. A variable
that already has a problem is left out of the later rules, so one mistake is reported once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load

from ..module_utils.hooks import FILE_NAME
from ..module_utils.host_facts import Problem, WantedPort
from ..module_utils.readiness import probe_mistakes
from ..module_utils.windows import CLOCK, UTC, closed_now, parse_window, time_zone

Options = Mapping[str, Mapping[str, Any]]

SHARED_ROLE = "preflight"
SHARED_PREFIX = "ballast_"
HIDDEN = "(hidden)"
TYPE_WORDS: Mapping[str, str] = {
    "bool": "true or false",
    "dict": "a dictionary",
    "float": "a number",
    "int": "an integer",
    "list": "a list",
    "path": "a path",
    "str": "a string",
}
LONGEST_SEEN = 120

# Variables that have a new name: old -> new.
RENAMED: Mapping[str, str] = {}

# How similar names must be (1 is the same) for a suggestion; outside our prefixes only a slip of the pen is meant.
SIMILAR = 0.6
NEARLY_THE_SAME = 0.95

STACK_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,30}")
SLOT_SUFFIXES = ("-blue", "-green")
PAPER_ACCOUNT = re.compile(r"D[UF][A-Z]?[0-9]{4,10}")
LIVE_ACCOUNT = re.compile(r"[UF][A-Z]?[0-9]{4,10}")
PLACEHOLDER_ACCOUNT = re.compile(r"D?[UF][A-Z]?0+")

# What the API listens on by convention: behind one of these, a gateway of the other mode is the likeliest to be found.
PAPER_PORTS = (4002, 4004, 7497, 7499)
LIVE_PORTS = (4001, 4003, 7496, 7498)

PLACEHOLDER_PATTERN = re.compile(
    r"<.*>|\[.*\]|x{3,}|\*{3,}|\.{3}|.*change[ _-]?me.*|(your|replace|fill|insert|enter)[ _-].*"
    r"|todo|fixme|tbd|none|null|example|placeholder|secret|password",
    re.IGNORECASE,
)
IMAGE_PATTERN = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._:/-]*?)(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
PINNED_IMAGE = "an exact tag or a digest, such as registry/name:1.4.2 or registry/name@sha256:..."
PLACEHOLDER_REGISTRY = re.compile(r"([a-z0-9-]+\.)*example\.(com|net|org)[:/]")
MOVING_TAGS = ("latest", "stable", "edge", "nightly", "main", "master", "rolling", "testing")

# Inclusive limits of numbers, which argument specifications cannot express.
LIMITS: Mapping[str, tuple[float, float]] = {
    "ballast_batch": (1, 1000),
    "backup_cron_hour": (0, 23),
    "backup_cron_keep_days": (1, 36500),
    "backup_cron_minute": (0, 59),
    "ib_gateway_api_port": (1024, 65535),
    "ib_gateway_cpus": (0.1, 1024),
    "ib_gateway_java_heap_mb": (256, 65536),
    "ib_gateway_probe_client_id": (1, 2**31 - 1),
    "ib_gateway_ready_timeout_seconds": (1, 1000),
    "ib_gateway_session_alert_seconds": (0, 86400),
    "ib_gateway_start_delay_seconds": (0, 3600),
    "ib_gateway_stop_grace_seconds": (1, 3600),
    "ib_gateway_vnc_port": (1024, 65535),
    "preflight_max_memory_percent": (1, 1000),
    "preflight_min_free_gb": (0, 1024**2),
    "preflight_min_memory_mb": (0, 1024**3),
    "trading_engine_client_id": (1, 2**31 - 1),
    "trading_engine_cpus": (0.1, 1024),
    "trading_engine_flatten_client_id": (1, 2**31 - 1),
    "trading_engine_ready_timeout_seconds": (1, 86400),
    "trading_engine_releases_keep": (2, 1000),  # the one that runs and the one to roll back to
    "trading_engine_stable_seconds": (0, 86400),
    "trading_engine_standby_client_id": (1, 2**31 - 1),
    "trading_engine_start_delay_seconds": (0, 3600),
    "trading_engine_stop_grace_seconds": (1, 3600),
    "trading_engine_uid": (0, 2**31 - 1),
}
MEMORY_PATTERN = re.compile(r"(?P<count>[0-9]+)(?P<unit>[kmg])b?", re.IGNORECASE)
MEMORY_UNITS: Mapping[str, int] = {"k": 1024, "m": 1024**2, "g": 1024**3}
GATEWAY_OVERHEAD_MB = 256
# Variables whose text has a form: pattern and words.
FORMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "ib_gateway_auto_restart_time": (
        re.compile(r"(0[1-9]|1[0-2]):[0-5][0-9] [AP]M|"),
        "hh:mm AM or hh:mm PM, such as 11:45 PM",
    ),
    "ib_gateway_memory_limit": (MEMORY_PATTERN, "a size such as 512m or 2g"),
    "trading_engine_memory_limit": (MEMORY_PATTERN, "a size such as 512m or 2g"),
}
CLIENT_IDS = (
    "trading_engine_client_id",
    "trading_engine_standby_client_id",
    "trading_engine_flatten_client_id",
    "ib_gateway_probe_client_id",
)

GATEWAY_CREDENTIALS = ("ib_gateway_username", "ib_gateway_password")

# What the roles put into the containers' environment: by hand it contradicts them, or puts a secret in plain sight.
ENVIRONMENT_OWNERS: Mapping[str, Mapping[str, str]] = {
    "ib_gateway_environment": {
        "AUTO_RESTART_TIME": "ib_gateway_auto_restart_time",
        "JAVA_HEAP_SIZE": "ib_gateway_java_heap_mb",
        "SIMULATOR_ACCOUNT": "ballast_account",
        "TRADING_MODE": "ballast_environment",
        "TWS_PASSWORD": "ib_gateway_password",
        "TWS_PASSWORD_FILE": "ib_gateway_password",
        "TWS_USERID": "ib_gateway_username",
        "TWS_USERID_FILE": "ib_gateway_username",
        "VNC_SERVER_PASSWORD": "ib_gateway_vnc_password",
        "VNC_SERVER_PASSWORD_FILE": "ib_gateway_vnc_password",
    },
    "trading_engine_environment": {
        "BALLAST_ACCOUNT": "ballast_account",
        "BALLAST_CLIENT_ID": "trading_engine_client_id",
        "BALLAST_ENVIRONMENT": "ballast_environment",
        "BALLAST_FLATTEN_CLIENT_ID": "trading_engine_flatten_client_id",
        "BALLAST_STACK": "ballast_stack",
        "BALLAST_STANDBY_CLIENT_ID": "trading_engine_standby_client_id",
    },
}
# The same for kinds of engines that do not keep the contract, and for LEAN's settings, none of which may be secret.
KIND_ENVIRONMENT_OWNERS: Mapping[str, Mapping[str, str]] = {
    "nautilus": {"TWS_ACCOUNT": "ballast_account"},
    "rustybt": {
        "IB_ACCOUNT": "ballast_account",
        "IB_CLIENT_ID": "trading_engine_client_id",
        "IB_HOST": "the stack's gateway",
        "IB_PORT": "the stack's gateway",
    },
}
LEAN_OWNERS: Mapping[str, str] = {
    "environment": "the kind, which trades through the stack's gateway",
    "ib-account": "ballast_account",
    "ib-host": "the stack's gateway",
    "ib-password": "the stack's gateway, which holds the login",
    "ib-port": "the stack's gateway",
    "ib-trading-mode": "ballast_environment",
    "ib-user-name": "the stack's gateway, which holds the login",
    "data-folder": "the kind, whose folders are mounted there",
    "object-store-root": "the kind, whose folders are mounted there",
    "results-destination-folder": "the kind, whose folders are mounted there",
}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SETTABLE = re.compile(r"[a-z0-9_]+")
LEAN_CODE = "/LeanCLI/"
# What is larger than any code is data, and data belongs into the engine's folder.
MOST_CODE_MB = 4


@dataclass(frozen=True)
class Failure:
    """A variable whose template could not be evaluated; the message names variables, ``secret_free`` says no value."""

    message: str
    secret_free: bool = False


@dataclass(frozen=True)
class Inputs:
    """What the controller knows of a host.

    ``names`` are the names of all variables, ``values`` the evaluated ones that a role knows (role defaults included),
    ``failures`` those that could not be evaluated, ``sources`` the file and line each was set in.
    """

    names: Collection[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """The problems of a configuration, and its ``values`` that have none, converted to their types."""

    problems: list[Problem]
    values: dict[str, Any]


def load_specifications(roles: Path) -> dict[str, Options]:
    """The options, by role, of all entry points of every role below ``roles`` that has an argument specification."""
    return {
        path.parents[1].name: {
            name: option
            for entry_point in yaml_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
            for name, option in entry_point.get("options", {}).items()
        }
        for path in sorted(roles.glob("*/meta/argument_specs.yml"))
    }


def examine(specifications: Mapping[str, Options], roles: Collection[str], inputs: Inputs) -> Report:
    """Every problem of the variables of ``roles`` and of the shared ones, and of all names that look like ours."""
    problems = list(unknown_names(specifications, inputs.names))
    values: dict[str, Any] = {}
    secrets: set[str] = set()
    for role in sorted({SHARED_ROLE, *roles} & specifications.keys(), key=lambda role: (role != SHARED_ROLE, role)):
        options = specifications[role]
        absent = inputs.values.get(f"{role}_state") == "absent"
        for name, option in options.items():
            secrets |= secret_strings(option, inputs.values.get(name))
            found = list(judge_variable(name, {**option, "required": False} if absent else option, inputs, values))
            problems += [replace(problem, fix=f"{problem.fix} See roles/{role}/README.md.") for problem in found]
    faulty = {variable_of(problem) for problem in problems}
    for rule in RULES:
        problems += rule(values)
    problems += confirmed_in_passing(values, inputs.sources)
    problems += batch_in_a_file(values, inputs.sources)
    problems += placeholder_secrets(specifications, values, faulty)
    return Report([finish(problem, inputs.sources, secrets) for problem in problems], values)


def finish(problem: Problem, sources: Mapping[str, str], secrets: Collection[str] = ()) -> Problem:
    """The problem with its source, and without any secret that slipped in through a template or a nested value."""
    texts = {"seen": problem.seen, "wanted": problem.wanted, "fix": problem.fix}
    for secret in sorted(secrets, key=len, reverse=True):
        texts = {name: text.replace(secret, HIDDEN) for name, text in texts.items()}
    return replace(problem, source=sources.get(variable_of(problem), ""), **texts)


def variable_of(problem: Problem) -> str:
    """The variable that a problem is in, whatever path within its value it names."""
    return re.split(r"[.\[]", problem.where, maxsplit=1)[0]


def secret_strings(option: Mapping[str, Any], value: Any) -> set[str]:
    """The strings in ``value`` that the specification marks ``no_log``; short ones would blot out innocent text."""
    if option.get("no_log"):
        return {str(value)} if isinstance(value, (str, int)) and len(str(value)) > 3 else set()
    found: set[str] = set()
    for element in value if isinstance(value, list) else [value]:
        if isinstance(element, Mapping):
            for name, suboption in option.get("options", {}).items():
                found |= secret_strings(suboption, element.get(name))
    return found


# ---------------------------------------------------------------------------------------------------------------- names


def unknown_names(specifications: Mapping[str, Options], names: Collection[str]) -> Iterator[Problem]:
    """Variables in a role's name space, or a letter away from it, that no role reads."""
    known = {name for options in specifications.values() for name in options}
    roles = {f"{role}_": role for role in specifications} | {SHARED_PREFIX: SHARED_ROLE}
    for name in sorted(set(names) - known):
        prefix = next(filter(name.startswith, roles), "")
        if not prefix and name.startswith(("_", "ansible_")):
            continue
        new_name = RENAMED.get(name) or closest(name, known, prefix)
        if new_name:
            yield Problem(
                where=name,
                seen="a variable that no role reads",
                wanted=f"{new_name} (renamed)" if name in RENAMED else f"did you mean {new_name}?",
                fix=f"Rename it to {new_name}.",
            )
        elif prefix:
            yield Problem(
                where=name,
                seen="a variable that no role reads",
                wanted=f"one of the variables in roles/{roles[prefix]}/README.md",
                fix="Correct the name, or remove the variable.",
            )


def closest(name: str, known: Collection[str], prefix: str) -> str | None:
    """The known name that was probably meant: within a role by what follows its prefix, else nearly the same name."""
    rests = {candidate[len(prefix) :]: candidate for candidate in known if candidate.startswith(prefix)}
    cutoff = SIMILAR if prefix else NEARLY_THE_SAME
    found = difflib.get_close_matches(name[len(prefix) :], rests, n=1, cutoff=cutoff)
    return rests[found[0]] if found else None


# ---------------------------------------------------------------------------------------------------------------- types


def judge_variable(name: str, option: Mapping[str, Any], inputs: Inputs, values: dict[str, Any]) -> Iterator[Problem]:
    """The problems of one variable; when it has none, its converted value is put into ``values``."""
    failure = inputs.failures.get(name)
    if failure:
        yield Problem(
            where=name,
            seen=HIDDEN if option.get("no_log") and not failure.secret_free else shorten(failure.message),
            wanted="a value that can be evaluated",
            fix="Define what it refers to, correct it, or give the vault password (--ask-vault-pass).",
        )
        return
    problems: list[Problem] = []
    value = convert(name, option, inputs.values, name, problems)
    yield from problems
    if not problems and value is not None:
        values[name] = value


def convert(path: str, option: Mapping[str, Any], holder: Mapping[str, Any], key: str, problems: list[Problem]) -> Any:
    """The value of ``key`` in ``holder``, converted as its specification says; what is wrong is added to ``problems``.

    None when there is no value or a wrong one.
    """
    value = holder.get(key)
    if value is None or (value == "" and option.get("required")):
        seen = "empty" if key in holder else "not set"
        if option.get("required"):
            problems.append(Problem(where=path, seen=seen, wanted=wanted(option), fix="Set it."))
        elif key in holder and option.get("default") is not None:
            fix = "Give it a value, or remove it to get the default."
            problems.append(Problem(where=path, seen=seen, wanted=wanted(option), fix=fix))
        return None
    # One value at a time: the validator's messages name no path, and stop at the first mistake of a nested value.
    leaf = {key: option[key] for key in ("type", "elements", "choices") if key in option}
    result = ArgumentSpecValidator({"value": leaf}).validate({"value": value})
    if result.error_messages or disguised(option, value):
        seen = HIDDEN if option.get("no_log") else describe(value)
        problems.append(Problem(where=path, seen=seen, wanted=wanted(option), fix="Correct the value."))
        return None
    converted = result.validated_parameters["value"]
    if "options" not in option:
        return converted
    if option["type"] == "dict":
        return convert_dict(path, option["options"], converted, problems)
    return [convert_dict(f"{path}[{index}]", option["options"], item, problems) for index, item in enumerate(converted)]


def disguised(option: Mapping[str, Any], value: Any) -> bool:
    """Whether Ansible would quietly convert what is surely a mistake: a container, a boolean or nothing."""
    if "elements" in option and isinstance(value, list):
        return any(disguised({"type": option["elements"]}, element) for element in value)
    kind = option.get("type", "str")
    return (kind in ("str", "path") and (value is None or isinstance(value, (bool, dict, list)))) or (
        kind in ("int", "float") and isinstance(value, bool)
    )


def convert_dict(path: str, options: Options, value: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """A dictionary with every known key converted and defaulted; unknown keys are problems."""
    for key in sorted(value.keys() - options.keys()):
        close = difflib.get_close_matches(key, options, n=1)
        problems.append(
            Problem(
                where=f"{path}.{key}",
                seen="an unknown key",
                wanted=f"did you mean {close[0]}?" if close else f"one of {', '.join(sorted(options))}",
                fix=f"Rename it to {close[0]}." if close else "Correct the key, or remove it.",
            )
        )
    defaults = {key: option["default"] for key, option in options.items() if "default" in option}
    return {
        key: convert(f"{path}.{key}", option, {**defaults, **value}, key, problems) for key, option in options.items()
    }


def wanted(option: Mapping[str, Any]) -> str:
    """What a specification asks for, in words."""
    if "choices" in option:
        return f"one of {', '.join(str(choice) for choice in option['choices'])}"
    words = TYPE_WORDS.get(option.get("type", "str"), option.get("type", "str"))
    return f"{words}, each element {wanted({'type': option['elements']})}" if "elements" in option else words


def describe(value: Any) -> str:
    """A value as it may be shown: scalars as they are, with their type, and containers by size only."""
    if isinstance(value, (list, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, str):
        return shorten(repr(str(value)))
    return f"{value} ({type(value).__name__})"


def shorten(text: str) -> str:
    """The text on one line, cut at a readable length."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_SEEN else f"{text[: LONGEST_SEEN - 3]}..."


# -------------------------------------------------------------------------------------------------------------- secrets


def placeholder_secrets(
    specifications: Mapping[str, Options], values: Mapping[str, Any], faulty: Collection[str]
) -> Iterator[Problem]:
    """Secrets that are missing though the gateway needs them, or that still hold the text of a template.

    ``faulty`` are variables that already have a problem: they have no value, but were not forgotten.
    """
    needs_credentials = values.get("ib_gateway_kind") == "ib_gateway" and values.get("ib_gateway_state") != "absent"
    for options in specifications.values():
        for name, option in options.items():
            of_gateway = name.startswith("ib_gateway_")
            required = name in GATEWAY_CREDENTIALS and needs_credentials
            if name in faulty or (of_gateway and not needs_credentials) or not (option.get("no_log") or required):
                continue
            value = str(values.get(name, "")).strip()
            if (not value and required) or PLACEHOLDER_PATTERN.fullmatch(value):
                yield Problem(
                    where=name,
                    seen=f"{HIDDEN}, a placeholder" if value else "not set",
                    wanted="the real value" if required else "the real value, or none",
                    fix="Put it into an encrypted file: ansible-vault edit "
                    "<inventory>/group_vars/trading_hosts/vault.yml",
                )


# ---------------------------------------------------------------------------------------------------------------- rules


def stack_name(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The name becomes part of units, containers, networks and paths."""
    stack = values.get("ballast_stack")
    if stack is not None and (not STACK_PATTERN.fullmatch(stack) or stack.endswith(SLOT_SUFFIXES)):
        yield Problem(
            where="ballast_stack",
            seen=describe(stack),
            wanted="1 to 31 lower-case letters, digits and dashes, a letter first, not ending in -blue or -green",
            fix="Choose a name such as paper-main.",
        )


def account_of_environment(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Paper accounts begin with D, live ones do not: the one check that keeps a test away from real money."""
    account, environment = values.get("ballast_account"), values.get("ballast_environment")
    if account is None or environment is None:
        return
    live = environment == "live"
    pattern, other_pattern = (LIVE_ACCOUNT, PAPER_ACCOUNT) if live else (PAPER_ACCOUNT, LIVE_ACCOUNT)
    if PLACEHOLDER_ACCOUNT.fullmatch(account):
        kind = "a placeholder"
    elif pattern.fullmatch(account):
        return
    elif other_pattern.fullmatch(account):
        kind = "a paper account" if live else "a LIVE account"
    else:
        kind = "not an account number"
    yield Problem(
        where="ballast_account",
        seen=f"{describe(account)}, {kind}",
        wanted=f"a {'live account (U1234567 or F1234567)' if live else 'paper account (DU1234567 or DF1234567)'} "
        f"because ballast_environment is {environment}",
        fix="Correct the account, or use the inventory of the other environment.",
    )


def live_confirmed(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Nothing runs against a live account unless its stack was named on the command line."""
    stack, confirmed = values.get("ballast_stack"), values.get("ballast_confirm_live", "")
    if values.get("ballast_environment") == "live" and stack is not None and confirmed != stack:
        yield Problem(
            where="ballast_confirm_live",
            seen=describe(confirmed) if confirmed else "not set",
            wanted=f"{stack}, because ballast_environment is live",
            fix=f"If you mean the live account {values.get('ballast_account', '')}, "
            f"re-run with -e ballast_confirm_live={stack}",
        )


def confirmed_in_passing(values: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[Problem]:
    """A confirmation that stands in a file confirms every deploy to come."""
    source, stack = sources.get("ballast_confirm_live"), values.get("ballast_stack")
    if values.get("ballast_environment") == "live" and source and values.get("ballast_confirm_live") == stack:
        yield Problem(
            where="ballast_confirm_live",
            seen=f"{describe(stack)}, in a file",
            wanted="the name of the stack on the command line, each time",
            fix=f"Remove it there, and re-run with -e ballast_confirm_live={stack}",
        )


def batch_in_a_file(values: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[Problem]:
    """Ansible cuts a play into batches before it knows the variables of any host."""
    if sources.get("ballast_batch"):
        batch = values.get("ballast_batch")
        yield Problem(
            where="ballast_batch",
            seen=f"{batch}, in a file, where it has no effect",
            wanted="a number on the command line, each time",
            fix=f"Remove it there, and re-run with -e ballast_batch={batch}",
        )


def shared_account(values: Mapping[str, Any], host: str, accounts: Mapping[str, str]) -> Iterator[Problem]:
    """No other host of the play trades the same account. Only in dev has every host a broker of its own."""
    account = values.get("ballast_account")
    others = [name for name, other in accounts.items() if name != host and other == account]
    if others and values.get("ballast_environment") != "dev":
        yield Problem(
            where="ballast_account",
            seen=f"{account}, which {', '.join(others)} would trade as well",
            wanted="an account that only one host trades",
            fix="Give each host an account of its own, or take the other hosts out of trading_hosts.",
        )


def gateway_of_environment(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Kind and port of the gateway agree with the trading mode, which follows from the environment."""
    environment, port = values.get("ballast_environment"), values.get("ib_gateway_api_port")
    if environment == "live" and values.get("ib_gateway_kind") == "simulator":
        yield Problem(
            where="ib_gateway_kind",
            seen="simulator",
            wanted="ib_gateway, because ballast_environment is live",
            fix="Set ib_gateway_kind: ib_gateway, or use the dev inventory.",
        )
    if environment is not None and port in (PAPER_PORTS if environment == "live" else LIVE_PORTS):
        live = environment == "live"
        yield Problem(
            where="ib_gateway_api_port",
            seen=f"{port}, the usual port of {'paper' if live else 'LIVE'} trading",
            wanted=f"{4001 if live else 4002}, or another free port, because ballast_environment is {environment}",
            fix="Correct the port, or use the inventory of the other environment.",
        )


def image_of_gateway(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The image is of the kind that the role drives: the two take different settings and keep state in other places."""
    kind, image = values.get("ib_gateway_kind"), values.get("ib_gateway_image", "")
    if (kind == "simulator" and "ib-gateway" in image) or (kind == "ib_gateway" and "simulator" in image):
        other = "an IB Gateway" if kind == "simulator" else "a simulator"
        yield Problem(
            where="ib_gateway_image",
            seen=f"{describe(image)}, {other}",
            wanted=f"an image for ib_gateway_kind: {kind}",
            fix="Change one of the two.",
        )


def environments_unowned(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Free environment variables do not override what a role sets from a checked variable."""
    for variable, owners in ENVIRONMENT_OWNERS.items():
        yield from unowned(variable, values.get(variable, {}), owners)


def unowned(variable: str, settings: Mapping[str, Any], owners: Mapping[str, str]) -> Iterator[Problem]:
    """A problem for each of these settings that has an owner already."""
    for name in sorted(settings.keys() & owners.keys()):
        owner = owners[name]
        fix = f"Remove it and set {owner}." if SETTABLE.fullmatch(owner) else "Remove it."
        yield Problem(
            where=f"{variable}.{name}",
            seen=HIDDEN,
            wanted=f"not set here, because it follows from {owner}",
            fix=fix,
        )


def images_pinned(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The same artefact moves from dev to paper to live, and a rollback gets what ran before."""
    for name, image in values.items():
        if not name.endswith("_image") or not image:
            continue
        match = IMAGE_PATTERN.fullmatch(image)
        if not match:
            wish, fix = PINNED_IMAGE, "Correct the reference."
        elif PLACEHOLDER_REGISTRY.match(image):
            wish, fix = "a registry that exists", "Name your own registry."
        elif not match["digest"] and (not match["tag"] or match["tag"] in MOVING_TAGS):
            wish = PINNED_IMAGE
            fix = "Pin the image: 'docker image inspect --format \"{{.RepoDigests}}\" IMAGE' shows its digest."
        else:
            continue
        yield Problem(where=name, seen=describe(image), wanted=wish, fix=fix)


def numbers_within_limits(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Ports, ids, times and floors that make sense."""
    for name, (least, most) in LIMITS.items():
        found = values.get(name)
        numbers = (
            {f"{name}.{key}": each for key, each in found.items()} if isinstance(found, Mapping) else {name: found}
        )
        for where, value in numbers.items():
            if value is not None and not (isinstance(value, (int, float)) and least <= value <= most):
                wish = f"a number from {least} to {most}"
                yield Problem(where=where, seen=str(value), wanted=wish, fix="Correct the value.")


def texts_in_form(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Sizes and times that the program which reads them will understand."""
    for name, (pattern, words) in FORMS.items():
        value = values.get(name)
        if value is not None and not pattern.fullmatch(value):
            yield Problem(where=name, seen=describe(value), wanted=words, fix="Correct the value.")


def heap_below_limit(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Beside its heap the JVM needs room for itself, Xvfb and socat, or the kernel kills the gateway."""
    heap, limit = values.get("ib_gateway_java_heap_mb"), values.get("ib_gateway_memory_limit", "")
    match = MEMORY_PATTERN.fullmatch(limit)
    if heap is None or not match or values.get("ib_gateway_kind") != "ib_gateway":
        return
    limit_mb = int(match["count"]) * MEMORY_UNITS[match["unit"].lower()] // MEMORY_UNITS["m"]
    if heap + GATEWAY_OVERHEAD_MB > limit_mb:
        yield Problem(
            where="ib_gateway_memory_limit",
            seen=f"{describe(limit)}, {limit_mb} MiB",
            wanted=f"at least {heap + GATEWAY_OVERHEAD_MB}m, {GATEWAY_OVERHEAD_MB} more than ib_gateway_java_heap_mb",
            fix="Raise the limit, or lower ib_gateway_java_heap_mb.",
        )


def client_ids_distinct(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The gateway refuses a second connection with the same id (error 326): that fence must not hit ourselves."""
    yield from distinct(values, CLIENT_IDS, "a client id of its own")


def ports_distinct(values: Mapping[str, Any]) -> Iterator[Problem]:
    """All ports are published on the host's loopback address."""
    yield from distinct(values, [name for name in values if name.endswith("_port")], "a port of its own")


def distinct(values: Mapping[str, Any], names: Collection[str], wish: str) -> Iterator[Problem]:
    """A problem for each variable whose value an earlier one of ``names`` has as well."""
    holders: dict[Any, str] = {}
    for name in names:
        value = values.get(name)
        if value is None:
            continue
        holder = holders.setdefault(value, name)
        if holder != name:
            yield Problem(where=name, seen=f"{value}, the same as {holder}", wanted=wish, fix="Change one of the two.")


def image_of_engine(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The image is of the kind that the role drives, as far as a name can tell."""
    kind, image = values.get("trading_engine_kind"), values.get("trading_engine_image", "")
    other = {"reference-engine": "reference", "quantconnect/lean": "lean", "nautilus_trader": "nautilus"}
    for name, of_kind in other.items():
        if name in image and kind is not None and kind not in (of_kind, "plain"):
            yield Problem(
                where="trading_engine_kind",
                seen=kind,
                wanted=f"{of_kind}, because trading_engine_image is {image}",
                fix="Change one of the two.",
            )


def root_for_lean_only(values: Mapping[str, Any]) -> Iterator[Problem]:
    """LEAN's image is made to run as root; nothing else needs to."""
    if values.get("trading_engine_uid") == 0 and values.get("trading_engine_kind", "lean") != "lean":
        yield Problem(
            where="trading_engine_uid",
            seen="0, which is root",
            wanted="a user of the engine's own, such as 10001",
            fix="Give it the user id that the engine's image runs as.",
        )


def probe_of_engine(values: Mapping[str, Any]) -> Iterator[Problem]:
    """An engine that keeps the contract is asked; any other is observed, in a way that can be understood."""
    kind, probe = values.get("trading_engine_kind"), values.get("trading_engine_probe")
    if not probe or kind is None:
        return
    if kind == "reference":
        yield Problem(
            where="trading_engine_probe",
            seen=describe(probe),
            wanted="none, because an engine that keeps the contract says itself how it is",
            fix="Remove it, or set trading_engine_kind to what the engine is.",
        )
        return
    for where, seen, wish in probe_mistakes(probe, "trading_engine_probe"):
        yield Problem(where=where, seen=seen, wanted=wish, fix="Correct the probe. See docs/engines.md.")


def environment_of_kind(values: Mapping[str, Any]) -> Iterator[Problem]:
    """As environments_unowned, for what only one kind of engine reads."""
    owners = KIND_ENVIRONMENT_OWNERS.get(values.get("trading_engine_kind", ""), {})
    yield from unowned("trading_engine_environment", values.get("trading_engine_environment", {}), owners)


def secrets_of_engine(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Secret environment variables, which LEAN's settings are not, have names and values that such a file can hold."""
    if values.get("trading_engine_kind") == "lean":
        return
    for name, value in values.get("trading_engine_secrets", {}).items():
        if not VARIABLE.fullmatch(name):
            wish = "the name of an environment variable, such as API_TOKEN"
        elif set(str(value)) & set("'\n\r"):
            wish = "a value of one line without '"
        else:
            continue
        yield Problem(where=f"trading_engine_secrets.{name}", seen=HIDDEN, wanted=wish, fix="Correct it in the vault.")


def settings_of_lean(values: Mapping[str, Any]) -> Iterator[Problem]:
    """LEAN's settings name an algorithm that is there, and leave to the stack what the stack decides."""
    config = values.get("trading_engine_config")
    if values.get("trading_engine_kind") != "lean" or config is None:
        return
    yield from unowned("trading_engine_config", config, LEAN_OWNERS)
    yield from unowned("trading_engine_secrets", values.get("trading_engine_secrets", {}), LEAN_OWNERS)
    if not config.get("algorithm-type-name"):
        yield Problem(
            where="trading_engine_config.algorithm-type-name",
            seen="not set",
            wanted="the class of the algorithm",
            fix="Set it to the name of the class in your algorithm's file.",
        )
    location = str(config.get("algorithm-location", f"{LEAN_CODE}main.py"))
    if location.startswith(LEAN_CODE) and not values.get("trading_engine_files"):
        yield Problem(
            where="trading_engine_files",
            seen="not set",
            wanted=f"the folder with your algorithm, because algorithm-location is {location}",
            fix="Set it to the folder of your LEAN project; or name an algorithm in the image by algorithm-location.",
        )


def code_of_engine(values: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    """The engine's code is there, on the controller; ``folder`` is what trading_engine_files means."""
    files = values.get("trading_engine_files")
    if not files:
        return
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1024**2
    config = values.get("trading_engine_config", {})
    location = str(config.get("algorithm-location", f"{LEAN_CODE}main.py"))
    missing = location.removeprefix(LEAN_CODE) if location.startswith(LEAN_CODE) else ""
    if not folder.is_dir():
        seen, wish = f"{files}, which is no folder here", "a folder on the controller"
    elif size > MOST_CODE_MB:
        seen, wish = (
            f"{files}, {size:.1f} MiB",
            f"at most {MOST_CODE_MB} MiB of text; data goes into the engine's folder",
        )
    elif values.get("trading_engine_kind") == "lean" and missing and not (folder / missing).is_file():
        seen, wish = f"{files}, without {missing}", f"a folder that holds {missing}, which is algorithm-location"
    else:
        return
    yield Problem(where="trading_engine_files", seen=seen, wanted=wish, fix="Correct the path.")


Rule = Callable[[Mapping[str, Any]], Iterator[Problem]]


def ledger_of_engine(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The engine's user owns the ledger, or the engine could not write it. Only one that keeps the contract does."""
    owner, engine = values.get("ledger_owner"), values.get("trading_engine_uid")
    reference = values.get("trading_engine_kind", "reference") == "reference"
    if None not in (owner, engine) and owner != engine and reference:
        yield Problem(
            where="ledger_owner",
            seen=describe(owner),
            wanted=f"{engine}, which is trading_engine_uid",
            fix="Give both the user id that the engine's image runs as.",
        )


def windows_in_form(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What the host would not understand counts there as closed for ever."""
    windows = []
    for index, document in enumerate(values.get("trading_engine_closed_windows", [])):
        where = f"trading_engine_closed_windows[{index}]"
        clocks = {key: document[key] for key in ("from", "to") if not CLOCK.fullmatch(document[key])}
        for key, clock in clocks.items():
            fix = "Write it with two digits each and in quotes: YAML takes 16:05 without them for a number."
            yield Problem(where=f"{where}.{key}", seen=describe(clock), wanted='"HH:MM"', fix=fix)
        try:
            zone = time_zone(document["timezone"])
        except ValueError:
            wish = "the name of a time zone, such as America/New_York"
            yield Problem(
                where=f"{where}.timezone", seen=describe(document["timezone"]), wanted=wish, fix="Correct the name."
            )
        else:
            windows += [] if clocks else [parse_window({**document, "timezone": zone.key})]
    closed = closed_now(windows, datetime.now(UTC))
    if closed and closed.opens is None:
        yield Problem(
            where="trading_engine_closed_windows",
            seen="windows that leave no time in the week",
            wanted="some time at which a release may be activated",
            fix="Shorten or remove one of them.",
        )


def closed_at(values: Mapping[str, Any], now: datetime) -> Iterator[Problem]:
    """That the host would refuse to activate a release at ``now``, told before anything is touched."""
    windows = values.get("trading_engine_closed_windows", [])
    if values.get("trading_engine_state") != "present" or any(windows_in_form(values)):
        return
    closed = closed_now(map(parse_window, windows), now)
    if closed:
        yield Problem(
            where="trading_engine_closed_windows",
            seen=f"{closed}, in the time of this controller",
            wanted="a time at which no window is closed",
            fix="Wait, or do it all the same and say why: -e force_reason='...'; the journal keeps the reason.",
        )


def hooks_in_form(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Hooks that would not be run, or could not."""
    for point, hooks in values.get("trading_engine_hooks", {}).items():
        names: set[str] = set()
        for index, hook in enumerate(hooks or []):
            where = f"trading_engine_hooks.{point}[{index}]"
            if not FILE_NAME.fullmatch(hook["name"]) or hook["name"] in names:
                yield Problem(
                    where=f"{where}.name",
                    seen=describe(hook["name"]) + (", a second time" if hook["name"] in names else ""),
                    wanted="a name of its own of letters, digits, dots, dashes and underscores, such as 10-notify",
                    fix="Rename it.",
                )
            names.add(hook["name"])
            if not hook["content"].startswith("#!"):
                yield Problem(
                    where=f"{where}.content",
                    seen=f"{HIDDEN}, without a first line that names what runs it",
                    wanted="a program that begins with a line such as #!/bin/sh",
                    fix="Add that line.",
                )


RULES: tuple[Rule, ...] = (
    stack_name,
    account_of_environment,
    live_confirmed,
    gateway_of_environment,
    image_of_gateway,
    images_pinned,
    environments_unowned,
    numbers_within_limits,
    texts_in_form,
    heap_below_limit,
    client_ids_distinct,
    ports_distinct,
    ledger_of_engine,
    image_of_engine,
    root_for_lean_only,
    probe_of_engine,
    environment_of_kind,
    secrets_of_engine,
    settings_of_lean,
    windows_in_form,
    hooks_in_form,
)


# ----------------------------------------------------------------------------------------------------------------- host


def wanted_ports(values: Mapping[str, Any]) -> list[WantedPort]:
    """The ports that the stack will publish on the host, and the containers of the stack that may hold them already."""
    stack = values.get("ballast_stack")
    if stack is None or values.get("ib_gateway_state") == "absent":
        return []
    names = ["ib_gateway_api_port", *(["ib_gateway_vnc_port"] if values.get("ib_gateway_vnc_password") else [])]
    containers = [f"ballast-{stack}-gateway"]
    return [WantedPort(port=values[name], variable=name, containers=containers) for name in names if name in values]


def beyond_host(values: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Problem]:
    """What the configuration asks of the host and the host cannot give; ``facts`` are empty when it did not answer."""
    if facts:
        yield from unlocked(values, facts)
        yield from cpus_of_host(values, facts)
        yield from compose_of_host(values, facts)
        yield from lean_on_host(values, facts)


def unlocked(values: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Problem]:
    """A person's lock, which the host would heed only when much is prepared already."""
    stack = values.get("ballast_stack")
    lock = facts.get("stacks", {}).get(stack, {}).get("lock")
    if lock:
        yield Problem(
            where=f"host: lock of stack {stack}",
            seen=f"locked by {lock.get('user')} from {lock.get('origin')} at {lock.get('at')}: {lock.get('reason')}",
            wanted="a stack that nobody has locked",
            fix=f"Ask there. When the work is done: playbook unlock.yml, or sudo ballast unlock {stack} on the host.",
        )


def cpus_of_host(values: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Problem]:
    """Docker does not start a container that may use more processors than there are."""
    for role in ("ib_gateway", "trading_engine"):
        name = f"{role}_cpus"
        if values.get(f"{role}_state") == "present" and values.get(name, 0) > facts["cpus"]:
            yield Problem(
                where=name,
                seen=f"{values[name]:g}",
                wanted=f"at most {facts['cpus']}, the processors of the host",
                fix=f"Lower {name}, or use a larger host.",
            )


def lean_on_host(values: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Problem]:
    """LEAN refuses to trade through Interactive Brokers on ARM."""
    if values.get("trading_engine_kind") == "lean" and facts["architecture"] != "amd64":
        yield Problem(
            where="trading_engine_kind",
            seen=f"lean, on {facts['architecture']}",
            wanted="amd64, because LEAN does not trade through Interactive Brokers on any other",
            fix="Use another host, or another engine.",
        )


def compose_of_host(values: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Problem]:
    """Debian 12's own Docker has no Compose v2, and cannot be replaced under the containers that it runs."""
    if values.get("docker_host_state") != "present" or values.get("docker_host_packages"):
        return
    if facts["os"]["version"] == "12" and "docker.io" in facts["packages"] and not facts["docker"]["compose"]:
        yield Problem(
            where="host: docker compose",
            seen="docker.io of Debian 12, which has no Compose v2",
            wanted="Docker with Compose v2 (2.20 or newer)",
            fix="Remove docker.io: then Docker's own packages are installed. Or install Compose v2 as a plugin.",
        )


# ---------------------------------------------------------------------------------------------------------------- words


def render(host: str, problems: Collection[Problem]) -> str:
    """All problems as text for an operator."""
    if not problems:
        return f"Preflight found no problem on {host}."
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"Preflight found {count} on {host}; nothing was touched."]
    for number, problem in enumerate(problems, start=1):
        source = f"  ({problem.source})" if problem.source else ""
        lines += [
            "",
            f"{f'{number}.':<3} {problem.where}{source}",
            f"    seen:   {problem.seen}",
            f"    wanted: {problem.wanted}",
            f"    fix:    {problem.fix}",
        ]
    return "\n".join(lines)
