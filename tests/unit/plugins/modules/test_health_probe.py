# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import sqlite3
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.ballast.trading.plugins.module_utils import probe_kinds, probes
from ansible_collections.ballast.trading.plugins.modules import health_probe
from tests.unit.plugins.module_utils.fake_servers import free_port, gateway, http, serving, silent

ANYTHING = {"warn": 1e6, "fail": 1e6}  # limits that no load reaches


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> t.Callable[..., dict[str, t.Any]]:
    """Run the module with the given arguments and return what it prints."""

    def call(**arguments: t.Any) -> dict[str, t.Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            health_probe.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))

    return call


# --- what it returns


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_returns_results_a_table_and_never_a_change(
    run: t.Callable[..., dict[str, t.Any]], tmp_path: Path, check_mode: bool
) -> None:
    (tmp_path / "backup").touch()
    answer = run(
        checks=[
            {"name": "CPU", "kind": "load", **ANYTHING},
            {"name": "backup", "kind": "file_age", "path": f"{tmp_path}/backup", "warn": 0, "fail": 60},
        ],
        _ansible_check_mode=check_mode,
    )
    assert (answer["changed"], answer["status"], answer["failing"]) == (False, "warn", [])
    assert [result["name"] for result in answer["checks"]] == ["CPU", "backup"]
    assert [line.split()[:2] for line in answer["summary"].splitlines()] == [
        ["STATUS", "CHECK"],
        ["pass", "CPU"],
        ["warn", "backup"],
    ]
    assert 0 <= answer["seconds"] < 5
    assert "msg" not in answer


def test_the_failure_names_every_failing_check_with_value_and_limit(
    run: t.Callable[..., dict[str, t.Any]], tmp_path: Path
) -> None:
    port = free_port()
    database = tmp_path / "trades.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.close()
    count = "SELECT count(*) FROM orders"
    answer = run(
        checks=[
            {"kind": "load", **ANYTHING},
            {"kind": "tcp", "port": port},
            {"name": "orders", "kind": "sqlite", "path": str(database), "query": count, "min": 1},
        ]
    )
    assert answer["failing"] == [f"tcp 127.0.0.1:{port}", "orders"]
    assert answer["msg"] == (
        "2 of 3 checks failed:\n"
        f"tcp 127.0.0.1:{port}: 127.0.0.1:{port} cannot be reached ([Errno 111] Connection refused); wanted a "
        "listening port. Start what listens there.\n"
        f"orders: {database} answered 0 to '{count}'; wanted at least 1. See why the data is not as it should be."
    )
    assert (answer["changed"], answer["status"], len(answer["checks"])) == (False, "fail", 3)


def test_a_failing_check_is_only_reported_when_told_so(run: t.Callable[..., dict[str, t.Any]]) -> None:
    answer = run(checks=[{"kind": "tcp", "port": free_port()}], fail=False)
    assert (answer.get("failed"), answer["status"], len(answer["failing"])) == (None, "fail", 1)
    assert "msg" not in answer


def test_twelve_checks_take_one_short_call(run: t.Callable[..., dict[str, t.Any]], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with serving(gateway()) as port, serving(http("fine")) as web:
        answer = run(
            checks=[
                {"kind": "tcp", "port": port},
                {"kind": "http", "url": f"http://127.0.0.1:{web}/"},
                {"kind": "ib_api", "port": port},
                {"kind": "ib_api", "port": port, "level": "session", "account_prefix": "DU"},
                {"kind": "disk", "path": "/", "warn": 0, "fail": 0},
                {"kind": "memory", "warn": 0, "fail": 0},
                {"kind": "load", **ANYTHING},
                *[{"kind": "file_age", "path": f"{tmp_path}/file"}] * 5,
            ]
        )
    assert answer["status"] == "pass"
    assert len(answer["checks"]) == 12
    assert answer["seconds"] < 2


# --- arguments


def test_values_are_converted_and_a_check_may_be_written_as_pairs(run: t.Callable[..., dict[str, t.Any]]) -> None:
    with serving(gateway()) as port:
        answer = run(checks=f"kind=ib_api port={port},kind=load warn=1000000 fail=1000000 name=CPU", timeout="3")
    assert [(result["name"], result["status"]) for result in answer["checks"]] == [
        (f"ib_api 127.0.0.1:{port}", "pass"),
        ("CPU", "pass"),
    ]


def test_every_wrong_argument_is_named_at_once(run: t.Callable[..., dict[str, t.Any]]) -> None:
    answer = run(
        checks=[{"kind": "tcp", "query": "x"}, {"kind": "load"}, {"kind": "disk", "path": "var", "warn": 1, "fail": 2}],
        timeout=0,
        interval=-1,
        wait="soon",
    )
    assert answer["failed"] is True
    assert answer["msg"] == (
        "nothing was checked, for the arguments are wrong:\n"
        "checks[0].port is missing from kind tcp; wanted a whole number from 1 to 65535\n"
        "checks[0].query is unknown to kind tcp; wanted one of name, port, host\n"
        "checks[2].path is 'var'; wanted an absolute path\n"
        "checks[2].warn is 1 with fail 2; wanted fail below warn, or equal to it\n"
        "timeout is 0; wanted a number of seconds above 0\n"
        "interval is -1; wanted a number of seconds above 0\n"
        "wait is 'soon'; wanted true, false or a number of seconds, 0 or more"
    )


@pytest.mark.parametrize(
    ("wait", "timeout", "expected"),
    [
        (False, 5, (0.0, 5)),
        ("no", 5, (0.0, 5)),
        (True, 5, (5, 5)),
        (True, 180, (180, 10.0)),
        ("yes", 180, (180, 10.0)),
        (180, 5, (180.0, 5)),
        ("2.5", 30, (2.5, 30)),
        (0, 5, (0.0, 5)),
    ],
)
def test_waiting_time(wait: t.Any, timeout: float, expected: tuple[float, float]) -> None:
    assert health_probe.waiting_time(wait, timeout) == expected


@pytest.mark.parametrize("wait", ["soon", -1, "-1", "nan", None, [1]])
def test_waiting_time_refuses_what_is_no_time(wait: t.Any) -> None:
    with pytest.raises(ValueError) as failure:  # noqa: PT011 -- the whole message is asserted
        health_probe.waiting_time(wait, 5)
    assert str(failure.value) == f"wait is {wait!r}; wanted true, false or a number of seconds, 0 or more"


def test_it_waits_for_what_becomes_ready(
    run: t.Callable[..., dict[str, t.Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    monkeypatch.setattr(time, "sleep", lambda _seconds: ready.touch())
    answer = run(checks=[{"kind": "file_age", "path": str(ready)}], wait=True, timeout=30)
    assert answer["status"] == "pass"


def test_an_attempt_leaves_time_for_another(
    run: t.Callable[..., dict[str, t.Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_probe, "ATTEMPT_SECONDS", 0.1)
    connections: list[float] = []

    def silent_at_first(connection: t.Any, ending: t.Any) -> None:
        connections.append(time.monotonic())
        (silent if len(connections) == 1 else gateway())(connection, ending)

    with serving(silent_at_first) as port:
        answer = run(checks=[{"kind": "ib_api", "port": port}], wait=True, timeout=30, interval=0.01)
    assert answer["status"] == "pass"
    assert len(connections) == 2


# --- documentation


def documented(values: t.Iterable[str]) -> str:
    return ", ".join(f"V({value})" for value in values)


def description_of(name: str) -> list[str]:
    """The description of a suboption, as PARAMETERS and KINDS have it."""

    def default(value: t.Any) -> str:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return "" if value is None else f" (default V({text.lower() if isinstance(value, bool) else text}))"

    kinds = probe_kinds.KINDS
    required = [kind for kind in kinds if name in kinds[kind].required]
    optional = [f"V({kind}){default(kinds[kind].optional[name])}" for kind in kinds if name in kinds[kind].optional]
    lines = [probe_kinds.PARAMETERS[name].description]
    lines += [f"Required for {documented(required)}."] if required else []
    lines += [f"Optional for {', '.join(optional)}."] if optional else []
    for kind in kinds:
        if name in kinds[kind].needs:
            other, value = kinds[kind].needs[name]
            option = f"O(checks[].{other}={value})" if value else f"O(checks[].{other})"
            lines.append(f"For V({kind}) only together with {option}.")
    return lines


def test_the_documentation_is_what_the_kinds_say() -> None:
    options = yaml.safe_load(health_probe.DOCUMENTATION)["options"]["checks"]["suboptions"]
    assert options["kind"]["description"] == [
        "What to check.",
        *(f"V({name}) - {kind.description}" for name, kind in probe_kinds.KINDS.items()),
    ]
    assert options["kind"]["choices"] == list(probe_kinds.KINDS)
    assert list(options) == ["name", "kind", *probe_kinds.PARAMETERS]
    for name, parameter in probe_kinds.PARAMETERS.items():
        wanted = {
            "description": description_of(name),
            "type": parameter.type,
            "elements": parameter.elements,
            "choices": list(parameter.choices) if parameter.choices else None,
        }
        assert options[name] == {key: value for key, value in wanted.items() if value is not None}, name


def test_the_examples_are_rightly_written() -> None:
    tasks = [task for task in yaml.safe_load(health_probe.EXAMPLES) if "ballast.trading.health_probe" in task]
    for task in tasks:
        assert probes.validate(task["ballast.trading.health_probe"]["checks"]) == []
    assert len(tasks) == 2
