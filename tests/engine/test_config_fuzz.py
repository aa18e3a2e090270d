# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is configured: it is read, or every problem is told with its place and its fix, and the exit code is 64."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference_engine import app
from reference_engine.config import ConfigurationError, Problem
from tests.engine.support import Place

# Every key of engine.yaml with a value that is right.
WHOLE: dict[str, Any] = {
    "strategy": {
        "name": "demo",
        "parameters": {"symbol": "AAPL", "quantity": 5, "interval_seconds": 2, "max_position": 20},
        "max_errors": 5,
        "error_window_seconds": 300,
        "slow_call_milliseconds": 100,
    },
    "risk": {
        "max_position": 100,
        "max_position_value": 1e6,
        "max_order_size": 50,
        "max_order_value": 1e5,
        "price_collar_percent": 5,
        "instruments": {"AAPL": {"max_position": 10}},
        "allowed_instruments": ["AAPL"],
        "long_only": True,
        "max_open_orders": 5,
        "max_orders_per_second": 5,
        "max_orders_per_minute": 60,
        "max_gross_exposure": 1e6,
        "max_concentration_percent": 50,
        "max_daily_loss": 1000,
        "max_drawdown_percent": 10,
        "max_losing_streak": 5,
    },
    "trading_hours": {"session": "liquid", "close_positions_minutes_before_close": 10},
    "link": {
        "connect_timeout_seconds": 5,
        "request_timeout_seconds": 10,
        "heartbeat_seconds": 10,
        "backoff_first_seconds": 0.5,
        "backoff_limit_seconds": 15,
        "login_wait_seconds": 60,
        "attempts_per_minute": 10,
        "messages_per_second": 45,
    },
    "breaker": {"max_failures": 5, "window_seconds": 60, "open_seconds": 30, "open_limit_seconds": 600},
    "dead_man": {"after_seconds": 60, "working_orders": "cancel", "resume": "automatic"},
    "on_stop": {"working_orders": "cancel"},
    "health": {"max_tick_age_seconds": 10},
    "log_level": "info",
}

# None of these is right anywhere but where `RIGHT_AFTER_ALL` says so.
WRONG: tuple[Any, ...] = (
    *(-1, -0.5, 0, True, "", "soon", "5", "1e3", [], [1], {"a": 1}, math.nan, math.inf, -math.inf, 10**400),
    *("x" * 10_000, "\x00", "\u2028", "${HOME}", {"": None}, [[]]),
)
RIGHT_AFTER_ALL: dict[tuple[str, ...], list[object]] = {
    ("risk", "long_only"): [True],
    ("strategy", "parameters", "symbol"): [value for value in WRONG if isinstance(value, str)],
}


def leaves(document: dict[str, Any], *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the path of everything in a document that is no mapping."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from leaves(value, *path, name)
        else:
            yield (*path, name)


LEAVES = sorted(leaves(WHOLE))


@pytest.fixture(scope="module")
def home() -> Iterator[Place]:
    place = Place()
    yield place
    place.close()


def problems(home: Place) -> list[Problem]:
    """Return what is wrong with the configuration; fails on any other exception."""
    found: list[Problem] = []
    try:
        home.load()
    except ConfigurationError as error:
        found = error.problems
        told = bool(found)
    else:
        told = True
    assert told, "a configuration error without a problem"
    assert all(problem.path and problem.wanted and problem.fix for problem in found), found
    return found


def write(home: Place, document: object) -> None:
    # JSON is YAML, but for the numbers that it does not have.
    text = json.dumps(document)
    for ours, theirs in (("-Infinity", "-.inf"), ("Infinity", ".inf"), ("NaN", ".nan")):
        text = text.replace(ours, theirs)
    home.config.write_text(text, encoding="utf-8")


def test_whole_document_is_right(home: Place) -> None:
    write(home, WHOLE)
    assert problems(home) == []


quickly = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), max_examples=500)


@quickly
@given(changes=st.dictionaries(st.sampled_from(LEAVES), st.sampled_from(range(len(WRONG))), min_size=1, max_size=6))
def test_every_wrong_value_is_told_by_its_name(home: Place, changes: dict[tuple[str, ...], int]) -> None:
    document = copy.deepcopy(WHOLE)
    expected = set()
    for path, number in changes.items():
        section = document
        for name in path[:-1]:
            section = section[name]
        section[path[-1]] = WRONG[number]
        if not any(WRONG[number] is right for right in RIGHT_AFTER_ALL.get(path, ())):
            expected.add(".".join(path))
    if ("strategy", "name") in changes:
        # Nobody knows the parameters of a strategy that does not exist.
        expected = {path for path in expected if not path.startswith("strategy.parameters")}
    write(home, document)
    told = {path for path, *_ in problems(home)}
    assert {path for path in expected if not any(each.startswith(path) for each in told)} == set()


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([v for v in WRONG if v]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from(list(WHOLE)), inner)
    ),
    max_leaves=8,
)


@quickly
@given(document=st.one_of(_values, st.fixed_dictionaries({}, optional=dict.fromkeys(WHOLE, _values))))
def test_any_document_is_read_or_its_problems_are_told(home: Place, document: object) -> None:
    write(home, document)
    problems(home)


_fragments = st.sampled_from(
    [
        *(
            "strategy: {name: none}\n",
            "strategy:\n",
            "  name: demo\n",
            "- ",
            "&a ",
            "*a",
            "<<: *a\n",
            "!!python/name:os.system",
            "? ",
        ),
        *(
            "2026-13-45",
            "1:99:99",
            "0o9",
            "9" * 5000,
            "'",
            '"',
            "{",
            "}",
            "[",
            "]",
            ":",
            "#",
            "|\n",
            ">\n",
            "\t",
            "%YAML 9\n",
            "---\n",
            "...\n",
        ),
        *(
            "[" * 2000,
            "{a: " * 1500,
            "- " * 1500,
            "\x00",
            "\ufeff",
            "\u2028",
            "!!binary abc\n",
            "!!timestamp x\n",
            "!!int x\n",
            "!!float y\n",
        ),
        *(
            "!!set {a}\n",
            "!!omap [a]\n",
            "!!bool z\n",
            "!!null x\n",
            "=",
            "~",
            ".nan",
            "null: null\n",
            "? [a]\n: b\n",
            "? {a: b}\n: c\n",
        ),
    ]
)


@quickly
@given(
    content=st.lists(_fragments | st.text(max_size=8), max_size=8).map("".join).map(str.encode)
    | st.binary(max_size=300)
)
def test_any_file_is_read_or_its_problems_are_told(home: Place, content: bytes) -> None:
    home.config.write_bytes(content)
    problems(home)


_texts = st.text(st.characters(exclude_characters="\x00"), max_size=40) | st.sampled_from(
    [
        *(
            "",
            " ",
            "0",
            "-1",
            "65536",
            "9" * 5000,
            "\u0661",
            "\u00b2",
            "1.0",
            "blue",
            "standby",
            "DU1",
            "U1",
            "/",
            "/etc",
            "relative",
        ),
        *("/" + "x" * 300, "/" + "x/" * 3000, "\udcff", "gateway", "trading", "dev-main", "../..", "1"),
    ]
)
_NAMES = sorted(
    (
        *("STACK", "SLOT", "RELEASE", "ENVIRONMENT", "ACCOUNT", "GATEWAY_HOST", "GATEWAY_PORT", "CLIENT_ID", "ROLE"),
        *("STANDBY_CLIENT_ID", "FLATTEN_CLIENT_ID", "LEDGER", "LEASE_DIR", "SOCKET"),
    )
)


@quickly
@given(given_values=st.dictionaries(st.sampled_from(_NAMES), st.none() | _texts, min_size=1))
def test_any_environment_is_read_or_its_problems_are_told(home: Place, given_values: dict[str, str | None]) -> None:
    write(home, WHOLE)
    before = dict(home.environment)
    for name, value in given_values.items():
        home.environment.pop(f"BALLAST_{name}", None)
        if value is not None:
            home.environment[f"BALLAST_{name}"] = value
    try:
        told = {path for path, *_ in problems(home)}
    finally:
        home.environment.clear()
        home.environment.update(before)
    missing = {f"BALLAST_{name}" for name, value in given_values.items() if value is None}
    assert missing - told <= {"BALLAST_ROLE", "BALLAST_FLATTEN_CLIENT_ID"}, "what has a default"


def test_program_says_every_problem_and_exits_64(home: Place, capsys: pytest.CaptureFixture[str]) -> None:
    home.config.write_text("strategy: {name: none}\nlog_level: loud\nrsk: {}\n", encoding="utf-8")
    environment = home.environment | {"BALLAST_SLOT": "red", "BALLAST_GATEWAY_PORT": "9" * 5000}
    assert app.main(environment) == app.EXIT_CONFIGURATION
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:3] for line in lines] == [
        ["reference_engine", "configuration error", name]
        for name in ("BALLAST_SLOT", "BALLAST_GATEWAY_PORT", "log_level", "rsk")
    ]
