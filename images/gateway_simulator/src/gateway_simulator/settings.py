# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator's settings, read from the environment."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .messages import DEFAULT_VERSION, HIGHEST_VERSION, LOWEST_VERSION

# The ports of the usual gateway image, inside its container.
PORTS = {"paper": 4004, "live": 4003}
MARKET_DATA = ("live", "delayed")
FAULTS = ("", "silent")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_Value = TypeVar("_Value")


class SettingsError(Exception):
    """One or more variables cannot be used; the text has one line for each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the simulator is told. ``fault`` is "silent" for a gateway that accepts connections and never speaks.

    ``control_port`` is None for no control API, 0 for a free port. ``messages_per_second`` is what a client may send, 0
    for as much as it likes, and it is cut off after ``disconnect_after`` messages beyond that, 0 for never.
    ``market_data`` is "live" or "delayed". ``account_update_seconds`` says how often the account is told unchanged.
    """

    account: str
    trading_mode: str
    host: str
    port: int
    seed: int
    ticks_per_second: float
    server_version: int
    state: Path | None
    fault: str
    log_level: int
    control_host: str = "127.0.0.1"
    control_port: int | None = None
    scenario: Path | None = None
    replay: Path | None = None
    replay_speed: float = 1.0
    read_only: bool = False
    market_data: str = "live"
    messages_per_second: int = 50
    disconnect_after: int = 0
    account_update_seconds: float = 180.0


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises SettingsError that names every variable at fault, its value and the value wanted."""
    problems: list[str] = []

    def read(name: str, default: str, parse: Callable[[str], _Value], wanted: str) -> _Value | None:
        value = environment.get(name, default)
        try:
            return parse(value)
        except ValueError:
            problems.append(f"{name}={value!r}: wanted {wanted}")
            return None

    trading_mode = read("TRADING_MODE", "paper", _choice(PORTS), "paper or live")
    settings = {
        "account": read("SIMULATOR_ACCOUNT", "DU1234567", _account, "letters and digits, such as DU1234567"),
        "trading_mode": trading_mode,
        "host": read("SIMULATOR_HOST", "0.0.0.0", _not_empty, "an address to listen on"),  # noqa: S104 - a container's only interface
        "port": read("SIMULATOR_PORT", str(PORTS[trading_mode or "paper"]), _whole(0, 65535), "a port, 0 to 65535"),
        "seed": read("SIMULATOR_SEED", "1", _whole(0, 2**63), "a whole number, 0 or more"),
        "ticks_per_second": read("SIMULATOR_TICKS_PER_SECOND", "2", _rate, "a number above 0, at most 100"),
        "server_version": read(
            "SIMULATOR_SERVER_VERSION",
            str(DEFAULT_VERSION),
            _whole(LOWEST_VERSION, HIGHEST_VERSION),
            f"a server version, {LOWEST_VERSION} to {HIGHEST_VERSION}",
        ),
        "state": read(
            "SIMULATOR_STATE",
            "/var/lib/simulator/state.json",
            _path,
            "the absolute path of a file, or empty for memory only",
        ),
        "scenario": read("SIMULATOR_SCENARIO", "", _path, "the absolute path of a scenario file, or empty"),
        "replay": read("SIMULATOR_REPLAY", "", _path, "the absolute path of a CSV or Parquet file, or empty"),
        "replay_speed": read("SIMULATOR_REPLAY_SPEED", "1", _speed, "a number above 0, at most 100000"),
        "fault": read("SIMULATOR_FAULT", "", _choice(FAULTS), "empty or silent"),
        "control_host": read("SIMULATOR_CONTROL_HOST", "127.0.0.1", _not_empty, "an address to listen on"),
        "control_port": read("SIMULATOR_CONTROL_PORT", "", _optional_port, "a port, 0 to 65535, or empty for none"),
        "read_only": read("READ_ONLY_API", "no", _yes_or_no, "yes or no"),
        "market_data": read("SIMULATOR_MARKET_DATA", "live", _choice(MARKET_DATA), "live or delayed"),
        "messages_per_second": read(
            "SIMULATOR_MESSAGES_PER_SECOND", "50", _whole(0, 1_000_000), "a whole number, 0 for no limit"
        ),
        "disconnect_after": read(
            "SIMULATOR_DISCONNECT_AFTER", "0", _whole(0, 1_000_000), "a number of messages, 0 for never"
        ),
        "account_update_seconds": read(
            "SIMULATOR_ACCOUNT_UPDATE_SECONDS", "180", _seconds, "a number of seconds, above 0 and at most 86400"
        ),
        "log_level": read("SIMULATOR_LOG_LEVEL", "INFO", _log_level, f"one of {', '.join(LOG_LEVELS)}"),
    }
    if settings["scenario"] and settings["replay"]:
        problems.append(
            f"SIMULATOR_REPLAY={environment['SIMULATOR_REPLAY']!r}: wanted empty, for a scenario names its own replays"
        )
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(**settings)  # type: ignore[arg-type]  # no value is missing when there is no problem


def _choice(values: Mapping[str, int] | tuple[str, ...]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in values:
            raise ValueError
        return value

    return parse


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value)
        if not lowest <= number <= highest:
            raise ValueError
        return number

    return parse


def _optional_port(value: str) -> int | None:
    return _whole(0, 65535)(value) if value else None


def _rate(value: str) -> float:
    number = float(value)
    if not 0 < number <= 100:
        raise ValueError
    return number


def _speed(value: str) -> float:
    number = float(value)
    if not 0 < number <= 100_000:
        raise ValueError
    return number


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 < number <= 86_400:
        raise ValueError
    return number


def _yes_or_no(value: str) -> bool:
    return _choice(("yes", "no"))(value) == "yes"


def _account(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{1,3}[0-9]{4,10}", value):
        raise ValueError
    return value


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError
    return value


def _path(value: str) -> Path | None:
    if not value:
        return None
    path = Path(value)
    if not path.is_absolute():
        raise ValueError
    return path


def _log_level(value: str) -> int:
    return logging.getLevelNamesMapping()[_choice(LOG_LEVELS)(value.upper())]
