# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's configuration: environment variables from the deployment, engine.yaml from the release.

Everything is checked before anything is touched, and every problem is told at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from .strategy import ParameterError, Strategy, StrategyNotFoundError, load_strategy

DEFAULT_CONFIG_PATH = Path("/etc/engine/engine.yaml")
# A unix socket's path must fit the kernel's sockaddr_un (unix(7)): 108 bytes with the closing NUL.
_SOCKET_PATH_BYTES = 107


class Problem(NamedTuple):
    """One thing wrong with the configuration."""

    path: str
    seen: str
    wanted: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}: saw {self.seen}, wanted {self.wanted}; fix: {self.fix}"


class ConfigurationError(Exception):
    """The configuration cannot be used; ``problems`` lists everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class Deployment:
    """Who this engine is and where things are: the environment of the engine contract."""

    stack: str
    slot: str
    release: str
    environment: Literal["dev", "paper", "live"]
    account: str
    gateway_host: str
    gateway_port: int
    client_id: int
    standby_client_id: int
    ledger: Path
    lease_dir: Path
    socket: Path


@dataclass(frozen=True)
class EngineConfig:
    """engine.yaml. ``max_tick_age_seconds`` None: the age of the data is reported and not judged."""

    strategy_name: str
    strategy: Strategy
    working_orders_on_stop: Literal["cancel", "keep"]
    max_tick_age_seconds: float | None
    log_level: Literal["debug", "info", "warning", "error"]


def load(environment: Mapping[str, str], config_path: Path) -> tuple[Deployment, EngineConfig]:
    """Read and check everything; raises `ConfigurationError` with every problem of both sources."""
    problems: list[Problem] = []
    deployment = _read_environment(environment, problems)
    config = _read_file(config_path, problems)
    if problems or deployment is None or config is None:
        raise ConfigurationError(problems)
    return deployment, config


def _read_environment(environment: Mapping[str, str], problems: list[Problem]) -> Deployment | None:
    def take(name: str, wanted: str, accept: Callable[[str], bool]) -> str:
        value = environment.get(name)
        if value is None:
            problems.append(Problem(name, "nothing", wanted, "set it in the engine's environment"))
        elif not accept(value):
            problems.append(Problem(name, repr(value), wanted, "correct it in the engine's environment"))
        else:
            return value
        return ""

    def take_integer(name: str, low: int, high: int) -> int:
        value = take(
            name, f"an integer from {low} to {high}", lambda text: text.isdecimal() and low <= int(text) <= high
        )
        return int(value or low)

    def take_path(name: str, wanted: str, accept: Callable[[Path], bool]) -> Path:
        return Path(take(name, wanted, lambda text: Path(text).is_absolute() and accept(Path(text))))

    before = len(problems)
    stack = take("BALLAST_STACK", "a name like dev-main", lambda v: bool(re.fullmatch(r"[a-z][a-z0-9-]{0,30}", v)))
    slot = take("BALLAST_SLOT", "blue or green", {"blue", "green"}.__contains__)
    release = take("BALLAST_RELEASE", "the id of the release", lambda v: bool(v.strip()))
    mode = take("BALLAST_ENVIRONMENT", "dev, paper or live", {"dev", "paper", "live"}.__contains__)
    account = take("BALLAST_ACCOUNT", "an account like DU1234567", lambda v: bool(re.fullmatch(r"[A-Z]+[0-9]+", v)))
    host = take("BALLAST_GATEWAY_HOST", "a host name or address", lambda v: bool(v.strip()))
    port = take_integer("BALLAST_GATEWAY_PORT", 1, 65535)
    # Client id 0 would take over manual orders of the account (ib-gateway: reqAutoOpenOrders).
    client_id = take_integer("BALLAST_CLIENT_ID", 1, 2**31 - 1)
    standby_client_id = take_integer("BALLAST_STANDBY_CLIENT_ID", 1, 2**31 - 1)
    if len(problems) == before and client_id == standby_client_id:
        problems.append(
            Problem(
                "BALLAST_STANDBY_CLIENT_ID",
                repr(str(standby_client_id)),
                "an id other than BALLAST_CLIENT_ID",
                "give the standby an id of its own",
            )
        )
    ledger = take_path("BALLAST_LEDGER", "the absolute path of the ledger's database", lambda _: True)
    lease_dir = take_path("BALLAST_LEASE_DIR", "the absolute path of an existing directory", Path.is_dir)
    socket = take_path(
        "BALLAST_SOCKET",
        f"an absolute path of at most {_SOCKET_PATH_BYTES} bytes in an existing directory",
        lambda path: path.parent.is_dir() and len(bytes(path)) <= _SOCKET_PATH_BYTES,
    )
    if len(problems) > before:
        return None
    return Deployment(
        stack=stack,
        slot=slot,
        release=release,
        environment=mode,  # type: ignore[arg-type]  # one of the three, checked above
        account=account,
        gateway_host=host,
        gateway_port=port,
        client_id=client_id,
        standby_client_id=standby_client_id,
        ledger=ledger,
        lease_dir=lease_dir,
        socket=socket,
    )


def _read_file(path: Path, problems: list[Problem]) -> EngineConfig | None:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)  # noqa: S506 it derives from SafeLoader
    except OSError as error:
        problems.append(Problem(str(path), error.strerror or str(error), "a readable file", "mount engine.yaml there"))
        return None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.append(Problem(str(path), " ".join(str(error).split()), "valid YAML", "correct the file"))
        return None
    before = len(problems)
    root = _Section("", document, problems)
    strategy_section = root.section("strategy")
    strategy_name = strategy_section.text("name")
    parameters = strategy_section.mapping("parameters")
    strategy_section.finish()
    on_stop = root.section("on_stop")
    working_orders = on_stop.choice("working_orders", ("cancel", "keep"), default="cancel")
    on_stop.finish()
    health = root.section("health")
    max_tick_age_seconds = health.positive_number_or_none("max_tick_age_seconds", default=10.0)
    health.finish()
    log_level = root.choice("log_level", ("debug", "info", "warning", "error"), default="info")
    root.finish()
    strategy = _make_strategy(strategy_name, parameters, path.parent, problems) if strategy_name else None
    if len(problems) > before or strategy is None:
        return None
    return EngineConfig(
        strategy_name=strategy_name,
        strategy=strategy,
        working_orders_on_stop=working_orders,  # type: ignore[arg-type]  # a checked choice
        max_tick_age_seconds=max_tick_age_seconds,
        log_level=log_level,  # type: ignore[arg-type]  # a checked choice
    )


def _make_strategy(name: str, parameters: Mapping[str, Any], folder: Path, problems: list[Problem]) -> Strategy | None:
    try:
        return load_strategy(name, folder)(parameters)
    except StrategyNotFoundError as error:
        problems.append(Problem("strategy.name", repr(name), str(error), "name one that exists"))
    except ParameterError as error:
        problems.extend(
            Problem(f"strategy.parameters.{parameter}", repr(seen), wanted, fix)
            for parameter, seen, wanted, fix in error.problems
        )
    except Exception as error:  # noqa: BLE001 a user's strategy may raise anything
        problems.append(
            Problem(
                "strategy.parameters",
                f"{type(error).__name__}: {error}",
                f"parameters that strategy {name} accepts",
                "correct them, or let the strategy raise ParameterError",
            )
        )
    return None


class _Section:
    """One mapping of engine.yaml: values are taken from it by name, what is left over is refused."""

    def __init__(self, path: str, value: object, problems: list[Problem]) -> None:
        self._path = path
        self._problems = problems
        self._left: dict[Any, Any] = {}
        if isinstance(value, dict):
            self._left = dict(value)
        elif value is not None:
            self._refuse("", value, "a mapping")

    def _refuse(self, name: str, seen: object, wanted: str, fix: str = "correct engine.yaml") -> None:
        path = ".".join(part for part in (self._path, name) if part) or "engine.yaml"
        self._problems.append(Problem(path, repr(seen) if seen is not None else "nothing", wanted, fix))

    def section(self, name: str) -> _Section:
        return _Section(name, self._left.pop(name, None), self._problems)

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._left.pop(name, None) or {}
        if isinstance(value, dict):
            return value
        self._refuse(name, value, "a mapping")
        return {}

    def text(self, name: str) -> str:
        value = self._left.pop(name, None)
        if isinstance(value, str) and value:
            return value
        self._refuse(name, value, "a text")
        return ""

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self._left.pop(name, default)
        if value not in choices:
            self._refuse(name, value, " or ".join(choices))
            return default
        return str(value)

    def positive_number_or_none(self, name: str, default: float) -> float | None:
        value = self._left.pop(name, default)
        if value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
        self._refuse(name, value, "seconds above 0, or null to not judge the age")
        return default

    def finish(self) -> None:
        for name, value in self._left.items():
            self._refuse(str(name), value, "a key of engine.yaml", "remove it")


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice: YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a name", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is there twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
