# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration is checked whole before anything is touched, and every problem is told with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_engine.config import ConfigurationError
from reference_engine.model import Instrument
from reference_engine.strategies import WANTED
from reference_engine.strategies.demo import DemoStrategy
from reference_engine.strategies.nothing import NoStrategy
from tests.engine.support import Place


def problems(place: Place) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        place.load()
    return list(map(str, caught.value.problems))


def test_complete_configuration_is_read(place: Place) -> None:
    place.config.write_text(
        """
strategy: {name: demo, parameters: {symbol: MSFT, quantity: 5, interval_seconds: 2, max_position: 20}}
on_stop: {working_orders: keep}
health: {max_tick_age_seconds: 3}
log_level: warning
"""
    )
    deployment, config = place.load()
    assert (deployment.slot, deployment.gateway_port, deployment.client_id) == ("blue", 4004, 1)
    assert isinstance(config.strategy, DemoStrategy)
    assert list(config.strategy.instruments()) == [Instrument("MSFT")]
    assert (config.working_orders_on_stop, config.max_tick_age_seconds, config.log_level) == ("keep", 3.0, "warning")


def test_only_the_strategy_name_is_required(place: Place) -> None:
    place.config.write_text("strategy: {name: none}")
    _, config = place.load()
    assert isinstance(config.strategy, NoStrategy)
    assert (config.working_orders_on_stop, config.max_tick_age_seconds, config.log_level) == ("cancel", 10.0, "info")


def test_null_tick_age_means_not_judged(place: Place) -> None:
    place.config.write_text("strategy: {name: none}\nhealth: {max_tick_age_seconds: null}")
    assert place.load()[1].max_tick_age_seconds is None


def test_every_problem_of_both_sources_is_told_at_once(place: Place) -> None:
    place.environment |= {"BALLAST_SLOT": "red", "BALLAST_CLIENT_ID": "0", "BALLAST_LEASE_DIR": "/nowhere/lease"}
    del place.environment["BALLAST_ACCOUNT"]
    place.config.write_text(
        """
strategy: {name: demo, parameters: {quantity: -1, colour: red}}
on_stop: {working_orders: forget}
health: {max_tick_age_seconds: soon, max_tick_age: 3}
risk: {max_positon: 5, max_daily_loss: -1, max_open_orders: 2.5, long_only: perhaps, instruments: {AAPL: {size: 1}}}
rsk: {}
"""
    )
    assert problems(place) == [
        "BALLAST_SLOT: saw 'red', wanted blue or green; fix: correct it in the engine's environment",
        "BALLAST_ACCOUNT: saw nothing, wanted an account like DU1234567; fix: set it in the engine's environment",
        "BALLAST_CLIENT_ID: saw '0', wanted an integer from 1 to 2147483647; "
        "fix: correct it in the engine's environment",
        "BALLAST_LEASE_DIR: saw '/nowhere/lease', wanted the absolute path of an existing directory; "
        "fix: correct it in the engine's environment",
        "risk.instruments.AAPL.size: saw 1, wanted a key of engine.yaml; fix: remove it",
        "risk.long_only: saw 'perhaps', wanted true or false; fix: correct engine.yaml",
        "risk.max_open_orders: saw 2.5, wanted a whole number from 1 to 1000000, or null for no limit; "
        "fix: correct engine.yaml",
        "risk.max_daily_loss: saw -1, wanted a number above 0, or null for no limit; fix: correct engine.yaml",
        "risk.max_positon: saw 5, wanted a key of engine.yaml; fix: write max_position, or remove it",
        "on_stop.working_orders: saw 'forget', wanted cancel or keep; fix: correct engine.yaml",
        "health.max_tick_age_seconds: saw 'soon', wanted seconds above 0, or null to not judge the age; "
        "fix: correct engine.yaml",
        "health.max_tick_age: saw 3, wanted a key of engine.yaml; fix: write max_tick_age_seconds, or remove it",
        "rsk: saw {}, wanted a key of engine.yaml; fix: write risk, or remove it",
        "strategy.parameters.quantity: saw -1, wanted a number above 0; fix: correct it or remove it",
        "strategy.parameters.colour: saw 'red', wanted a parameter that this strategy has; fix: remove it",
    ]


@pytest.mark.parametrize(
    ("name", "other", "value"),
    [
        ("BALLAST_STANDBY_CLIENT_ID", "BALLAST_CLIENT_ID", "1"),
        ("BALLAST_FLATTEN_CLIENT_ID", "BALLAST_CLIENT_ID", "1"),
        ("BALLAST_FLATTEN_CLIENT_ID", "BALLAST_STANDBY_CLIENT_ID", "2"),
    ],
)
def test_every_client_id_is_another(place: Place, name: str, other: str, value: str) -> None:
    place.environment[name] = value
    assert problems(place) == [f"{name}: saw '{value}', wanted an id other than {other}; fix: give it an id of its own"]


def test_engine_trades_unless_told_to_stand_by(place: Place) -> None:
    assert place.load()[0].role == "trading"
    place.environment["BALLAST_ROLE"] = "standby"
    assert place.load()[0].role == "standby"
    place.environment["BALLAST_ROLE"] = "leader"
    assert problems(place) == [
        "BALLAST_ROLE: saw 'leader', wanted trading or standby; fix: correct it in the engine's environment"
    ]


def test_socket_path_must_fit_the_kernel(place: Place) -> None:
    path = f"{place.path}/{'x' * 120}.sock"
    place.environment["BALLAST_SOCKET"] = path
    assert problems(place) == [
        f"BALLAST_SOCKET: saw '{path}', wanted an absolute path of at most 107 bytes in an existing directory; "
        "fix: correct it in the engine's environment"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "strategy.name: saw nothing, wanted a text; fix: correct engine.yaml"),
        ("[]", "engine.yaml: saw [], wanted a mapping; fix: correct engine.yaml"),
        ("strategy: demo", "strategy: saw 'demo', wanted a mapping; fix: correct engine.yaml"),
        (
            "strategy: {name: none, parameters: [1]}",
            "strategy.parameters: saw [1], wanted a mapping; fix: correct engine.yaml",
        ),
        (
            "strategy: {name: nope}",
            f"strategy.name: saw 'nope', wanted {WANTED}; fix: name one that exists",
        ),
    ],
)
def test_unusable_document_is_refused(place: Place, text: str, problem: str) -> None:
    place.config.write_text(text)
    assert problems(place)[0] == problem


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("log_level: debug", "key 'log_level' is there twice"),
        ("[demo]: debug", "key ['demo'] is not a name"),
        ("<<: {log_level: debug}", "a merge key '<<', which engine.yaml does not have"),
    ],
)
def test_key_that_yaml_lets_pass_is_refused(place: Place, line: str, problem: str) -> None:
    place.config.write_text(f"strategy: {{name: none}}\nlog_level: info\n{line}\n")
    assert problems(place) == [
        f'{place.config}: saw {problem} in "<unicode string>", line 3, column 1: {line} ^, wanted valid YAML; '
        "fix: correct the file"
    ]


def test_symbols_that_yaml_takes_for_something_else_are_told_with_the_fix(place: Place) -> None:
    place.config.write_text(
        "strategy: {name: none}\nrisk: {allowed_instruments: [ON, AAPL], instruments: {NO: {max_position: 1}}}"
    )
    assert problems(place) == [
        "risk.instruments.False: saw False, wanted a symbol as text, such as AAPL; fix: quote it",
        "risk.allowed_instruments: saw [True, 'AAPL'], wanted a list of symbols as texts, such as [AAPL, MSFT], "
        "or null for all; fix: quote what YAML takes for something else, such as 'ON'",
    ]


def test_missing_file_is_named(place: Place) -> None:
    place.config.unlink()
    assert problems(place) == [
        f"{place.config}: saw No such file or directory, wanted a readable file; fix: mount engine.yaml there"
    ]


def test_max_position_below_quantity_is_refused(place: Place) -> None:
    place.config.write_text("strategy: {name: demo, parameters: {quantity: 50}}")
    assert problems(place) == [
        "strategy.parameters.max_position: saw 20.0, wanted at least quantity (50); fix: raise it"
    ]


def write_module(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def test_users_class_is_loaded_from_beside_the_configuration(place: Place) -> None:
    write_module(
        place.path, "quiet_strategy", "from reference_engine.strategy import Strategy\nclass Quiet(Strategy): pass\n"
    )
    place.config.write_text("strategy: {name: 'quiet_strategy:Quiet'}")
    assert type(place.load()[1].strategy).__name__ == "Quiet"


@pytest.mark.parametrize(
    ("module", "text", "wanted"),
    [
        ("absent_strategy", None, "a module at {folder}/absent_strategy.py"),
        (
            "broken_strategy",
            "raise RuntimeError('no luck')",
            "a module that imports ({folder}/broken_strategy.py: RuntimeError: no luck)",
        ),
        (
            "other_strategy",
            "class Mine: pass",
            "a class Mine derived from Strategy in {folder}/other_strategy.py",
        ),
    ],
)
def test_users_class_that_cannot_be_used_is_refused(place: Place, module: str, text: str | None, wanted: str) -> None:
    if text is not None:
        write_module(place.path, module, text)
    place.config.write_text(f"strategy: {{name: '{module}:Mine'}}")
    assert problems(place) == [
        f"strategy.name: saw '{module}:Mine', wanted {wanted.format(folder=place.path)}; fix: name one that exists"
    ]


def test_users_class_that_raises_on_its_parameters_is_reported(place: Place) -> None:
    write_module(
        place.path,
        "raising_strategy",
        "from reference_engine.strategy import Strategy\n"
        "class Mine(Strategy):\n    def __init__(self, parameters):\n        parameters['window']\n",
    )
    place.config.write_text("strategy: {name: 'raising_strategy:Mine'}")
    assert problems(place) == [
        "strategy.parameters: saw KeyError: 'window', wanted parameters that strategy raising_strategy:Mine accepts; "
        "fix: correct them, or let the strategy raise ParameterError"
    ]


@pytest.mark.parametrize(
    ("instruments", "seen"), [("[1]", "1"), ("1 / 0", "ZeroDivisionError: division by zero"), ("None", "TypeError: ")]
)
def test_users_class_without_usable_instruments_is_refused(place: Place, instruments: str, seen: str) -> None:
    write_module(
        place.path,
        "watching_strategy",
        "from reference_engine.strategy import Strategy\n"
        f"class Mine(Strategy):\n    def instruments(self):\n        return {instruments}\n",
    )
    place.config.write_text("strategy: {name: 'watching_strategy:Mine'}")
    (problem,) = problems(place)
    assert problem.startswith(f"strategy.name: saw {seen}")
    assert problem.endswith("wanted instruments() that returns a sequence of Instrument; fix: correct the strategy")


def test_module_with_the_name_of_another_is_the_one_that_is_loaded(place: Place) -> None:
    write_module(
        place.path, "json", "from reference_engine.strategy import Strategy\nclass Mine(Strategy):\n    pass\n"
    )
    place.config.write_text("strategy: {name: 'json:Mine'}")
    assert type(place.load()[1].strategy).__name__ == "Mine"


def test_module_that_ends_the_process_while_imported_is_refused(place: Place) -> None:
    write_module(place.path, "leaving_strategy", "import sys\nsys.exit(3)\n")
    place.config.write_text("strategy: {name: 'leaving_strategy:Mine'}")
    assert problems(place) == [
        f"strategy.name: saw 'leaving_strategy:Mine', wanted a module that imports "
        f"({place.path}/leaving_strategy.py: SystemExit: 3); fix: name one that exists"
    ]
