# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's configuration: environment variables from the deployment, engine.yaml from the release.

Everything is checked before anything is touched, and every problem is told at once. The keys of engine.yaml are the
fields of the settings classes, defaults and units included; the image's README lists them for people.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from .hours import HoursSettings
from .model import Instrument
from .risk import InstrumentLimits, RiskLimits
from .strategies import StrategyNotFoundError, load_strategy
from .strategy import ParameterError, Strategy

DEFAULT_CONFIG_PATH = Path("/etc/engine/engine.yaml")
DEFAULT_FLATTEN_CLIENT_ID = 911
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
    flatten_client_id: int
    role: Literal["trading", "standby"]
    ledger: Path
    lease_dir: Path
    socket: Path

    def account_problem(self, served: Sequence[str]) -> str | None:
        """Say why this account must not be traded, None when it may be; ``served``: what the gateway has, if known."""
        account, mode = self.account, self.environment
        if (mode == "live") == account.startswith("D"):
            wanted = "a live account, which does not start with D" if mode == "live" else "an account starting with D"
            return f"account {account} in environment {mode}: wanted {wanted}; correct the account or the environment"
        if served and account not in served:
            return (
                f"account {account} is not served by this gateway, which has {', '.join(served)}; "
                "correct the account or log the gateway in to it"
            )
        return None


WorkingOrders = Literal["cancel", "keep"]
Resume = Literal["automatic", "manual"]
LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class ContainmentSettings:
    """How much a strategy may misbehave: ``strategy.max_errors`` exceptions within the window stop trading."""

    max_errors: int = 5
    error_window_seconds: float = 300.0
    slow_call_milliseconds: float = 100.0


@dataclass(frozen=True)
class LinkSettings:
    """The session with the gateway: its waits, and how many messages it may be sent.

    ``login_wait_seconds`` is the ceiling of the pauses while the gateway is up and not logged in: a person does that.
    """

    connect_timeout_seconds: float = 5.0
    request_timeout_seconds: float = 10.0
    heartbeat_seconds: float = 10.0
    backoff_first_seconds: float = 0.5
    backoff_limit_seconds: float = 15.0
    login_wait_seconds: float = 60.0
    attempts_per_minute: int = 10
    messages_per_second: int = 45


@dataclass(frozen=True)
class BreakerSettings:
    """``max_failures`` rejects or errors within the window open the breaker; it probes after ``open_seconds``.

    Every probe that fails doubles that, up to ``open_limit_seconds``.
    """

    max_failures: int = 5
    window_seconds: float = 60.0
    open_seconds: float = 30.0
    open_limit_seconds: float = 600.0


@dataclass(frozen=True)
class DeadManSettings:
    """Without a usable link for ``after_seconds`` trading stops; ``working_orders`` says what becomes of those.

    ``resume``: by itself after the next reconciliation, or only when a person lifts the halt of the account.
    """

    after_seconds: float = 60.0
    working_orders: WorkingOrders = "cancel"
    resume: Resume = "automatic"


@dataclass(frozen=True)
class EngineConfig:
    """engine.yaml. ``max_tick_age_seconds`` None: the age of the data is reported and not judged.

    ``instruments`` are the strategy's, asked once.
    """

    strategy_name: str
    strategy: Strategy
    instruments: tuple[Instrument, ...] = ()
    containment: ContainmentSettings = field(default_factory=ContainmentSettings)
    risk: RiskLimits = field(default_factory=RiskLimits)
    trading_hours: HoursSettings = field(default_factory=HoursSettings)
    link: LinkSettings = field(default_factory=LinkSettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    dead_man: DeadManSettings = field(default_factory=DeadManSettings)
    working_orders_on_stop: WorkingOrders = "cancel"
    max_tick_age_seconds: float | None = 10.0
    log_level: LogLevel = "info"


def load(environment: Mapping[str, str], config_path: Path) -> tuple[Deployment, EngineConfig]:
    """Read and check everything; raises `ConfigurationError` with every problem of both sources."""
    problems: list[Problem] = []
    deployment = _read_environment(environment, problems)
    config = _read_file(config_path, problems)
    if problems or deployment is None or config is None:
        raise ConfigurationError(problems)
    return deployment, config


def load_deployment(environment: Mapping[str, str]) -> Deployment:
    """Read the environment alone, for the commands beside the engine; raises `ConfigurationError`.

    An emergency stop must not fail for a missing folder or a broken strategy: no engine.yaml, no folder is looked at.
    """
    problems: list[Problem] = []
    deployment = _read_environment(environment, problems, look=False)
    if deployment is None:
        raise ConfigurationError(problems)
    return deployment


def _read_environment(
    environment: Mapping[str, str], problems: list[Problem], *, look: bool = True
) -> Deployment | None:
    def take(name: str, wanted: str, accept: Callable[[str], bool], default: str | None = None) -> str:
        value = environment.get(name, default)
        if value is None:
            problems.append(Problem(name, "nothing", wanted, "set it in the engine's environment"))
        elif not accept(value):
            problems.append(Problem(name, repr(value), wanted, "correct it in the engine's environment"))
        else:
            return value
        return ""

    def take_integer(name: str, low: int, high: int, default: int | None = None) -> int:
        value = take(
            name,
            f"an integer from {low} to {high}",
            # No longer than the largest: Python refuses to read a number of thousands of digits.
            lambda text: text.isdecimal() and len(text) <= len(str(high)) and low <= int(text) <= high,
            None if default is None else str(default),
        )
        return int(value or low)

    def take_path(name: str, wanted: str, accept: Callable[[Path], bool]) -> Path:
        def is_right(text: str) -> bool:
            try:
                return Path(text).is_absolute() and accept(Path(text))
            except OSError:  # a name that is too long for the file system
                return False

        return Path(take(name, wanted, is_right))

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
    flatten_client_id = take_integer("BALLAST_FLATTEN_CLIENT_ID", 1, 2**31 - 1, DEFAULT_FLATTEN_CLIENT_ID)
    role = take("BALLAST_ROLE", "trading or standby", {"trading", "standby"}.__contains__, "trading")
    taken = {client_id: "BALLAST_CLIENT_ID"}
    for name, value in (
        ("BALLAST_STANDBY_CLIENT_ID", standby_client_id),
        ("BALLAST_FLATTEN_CLIENT_ID", flatten_client_id),
    ):
        if len(problems) == before and value in taken:
            problems.append(
                Problem(name, repr(str(value)), f"an id other than {taken[value]}", "give it an id of its own")
            )
        taken.setdefault(value, name)
    ledger = take_path("BALLAST_LEDGER", "the absolute path of the ledger's database", lambda _: True)
    lease_dir = take_path(
        "BALLAST_LEASE_DIR", "the absolute path of an existing directory", lambda path: not look or path.is_dir()
    )
    socket = take_path(
        "BALLAST_SOCKET",
        f"an absolute path of at most {_SOCKET_PATH_BYTES} bytes in an existing directory",
        lambda path: not look or (path.parent.is_dir() and len(bytes(path)) <= _SOCKET_PATH_BYTES),
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
        flatten_client_id=flatten_client_id,
        role=role,  # type: ignore[arg-type]  # one of the two, checked above
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
    # PyYAML's own error is not all: a scalar of a tag that it does not fit raises whatever its conversion does.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        text = str(error) if isinstance(error, (yaml.YAMLError, ValueError)) else f"{type(error).__name__}: {error}"
        seen = " ".join(text.split())
        problems.append(Problem(str(path), seen, "valid YAML", "correct the file"))
        return None
    before = len(problems)
    root = _Section("", document, problems)
    strategy_section = root.section("strategy")
    strategy_name = strategy_section.text("name")
    parameters = strategy_section.mapping("parameters")
    containment = ContainmentSettings(
        max_errors=strategy_section.count("max_errors", ContainmentSettings.max_errors),
        error_window_seconds=strategy_section.number("error_window_seconds", ContainmentSettings.error_window_seconds),
        slow_call_milliseconds=strategy_section.number(
            "slow_call_milliseconds", ContainmentSettings.slow_call_milliseconds
        ),
    )
    strategy_section.finish()
    risk = _read_risk(root.section("risk"))
    trading_hours = _read_trading_hours(root.section("trading_hours"))
    link = _read_link(root.section("link"))
    breaker = _read_breaker(root.section("breaker"))
    dead_man = _read_dead_man(root.section("dead_man"))
    on_stop = root.section("on_stop")
    working_orders = on_stop.choice("working_orders", _WORKING_ORDERS, EngineConfig.working_orders_on_stop)
    on_stop.finish()
    health = root.section("health")
    max_tick_age_seconds = health.number_or_none(
        "max_tick_age_seconds", EngineConfig.max_tick_age_seconds, "to not judge the age"
    )
    health.finish()
    log_level = root.choice("log_level", ("debug", "info", "warning", "error"), EngineConfig.log_level)
    root.finish()
    strategy = _make_strategy(strategy_name, parameters, path.parent, problems) if strategy_name else None
    instruments = _ask_instruments(strategy, problems) if strategy else ()
    if len(problems) > before or strategy is None:
        return None
    return EngineConfig(
        strategy_name=strategy_name,
        strategy=strategy,
        instruments=instruments,
        containment=containment,
        risk=risk,
        trading_hours=trading_hours,
        link=link,
        breaker=breaker,
        dead_man=dead_man,
        working_orders_on_stop=working_orders,  # type: ignore[arg-type]  # a checked choice
        max_tick_age_seconds=max_tick_age_seconds,
        log_level=log_level,  # type: ignore[arg-type]  # a checked choice
    )


_WORKING_ORDERS = ("cancel", "keep")
_NO_LIMIT = "for no limit"
# No count of orders, errors or attempts is larger.
_MOST = 1_000_000


def _read_risk(section: _Section) -> RiskLimits:
    default = RiskLimits()
    limits = RiskLimits(
        each=_read_instrument_limits(section, default.each),
        instruments={
            symbol: _read_instrument_limits(part, default.each, only_given=True)
            for symbol, part in section.sections("instruments")
        },
        allowed_instruments=section.symbols_or_none("allowed_instruments"),
        long_only=section.switch("long_only", default.long_only),
        max_open_orders=section.count_or_none("max_open_orders", default.max_open_orders, _NO_LIMIT),
        max_orders_per_second=section.count_or_none("max_orders_per_second", default.max_orders_per_second, _NO_LIMIT),
        max_orders_per_minute=section.count_or_none("max_orders_per_minute", default.max_orders_per_minute, _NO_LIMIT),
        max_gross_exposure=section.number_or_none("max_gross_exposure", default.max_gross_exposure, _NO_LIMIT),
        max_concentration_percent=section.number_or_none(
            "max_concentration_percent", default.max_concentration_percent, _NO_LIMIT
        ),
        max_daily_loss=section.number_or_none("max_daily_loss", default.max_daily_loss, _NO_LIMIT),
        max_drawdown_percent=section.number_or_none(
            "max_drawdown_percent", default.max_drawdown_percent, _NO_LIMIT, limit=100.0
        ),
        max_losing_streak=section.count_or_none("max_losing_streak", default.max_losing_streak, _NO_LIMIT),
    )
    section.finish()
    return limits


def _read_instrument_limits(
    section: _Section, default: InstrumentLimits, *, only_given: bool = False
) -> InstrumentLimits:
    """Read the limits of one instrument. ``only_given``: keys that are not there are left to the general limits."""
    values = {
        name: section.number_or_none(name, getattr(default, name), _NO_LIMIT)
        for name in InstrumentLimits.names()
        if not only_given or section.has(name)
    }
    if only_given:
        section.finish()
    return InstrumentLimits(**values, given=frozenset(values) if only_given else frozenset())


def _read_trading_hours(section: _Section) -> HoursSettings:
    default = HoursSettings()
    settings = HoursSettings(
        session=section.choice("session", ("liquid", "trading", "always"), default.session),  # type: ignore[arg-type]
        close_positions_minutes_before_close=section.number_or_none(
            "close_positions_minutes_before_close",
            default.close_positions_minutes_before_close,
            "to hold positions over the close",
            limit=720.0,
        ),
    )
    if settings.session == "always" and settings.close_positions_minutes_before_close is not None:
        section.refuse(
            "close_positions_minutes_before_close",
            settings.close_positions_minutes_before_close,
            "null where trading_hours.session is always: there is no close",
        )
    section.finish()
    return settings


def _read_link(section: _Section) -> LinkSettings:
    default = LinkSettings()
    settings = LinkSettings(
        connect_timeout_seconds=section.number("connect_timeout_seconds", default.connect_timeout_seconds),
        request_timeout_seconds=section.number("request_timeout_seconds", default.request_timeout_seconds),
        heartbeat_seconds=section.number("heartbeat_seconds", default.heartbeat_seconds),
        backoff_first_seconds=section.number("backoff_first_seconds", default.backoff_first_seconds),
        backoff_limit_seconds=section.number("backoff_limit_seconds", default.backoff_limit_seconds),
        login_wait_seconds=section.number("login_wait_seconds", default.login_wait_seconds),
        attempts_per_minute=section.count("attempts_per_minute", default.attempts_per_minute),
        messages_per_second=section.count("messages_per_second", default.messages_per_second, 47),
    )
    if settings.backoff_limit_seconds < settings.backoff_first_seconds:
        section.refuse(
            "backoff_limit_seconds",
            settings.backoff_limit_seconds,
            f"at least backoff_first_seconds ({settings.backoff_first_seconds:g})",
        )
    section.finish()
    return settings


def _read_breaker(section: _Section) -> BreakerSettings:
    default = BreakerSettings()
    settings = BreakerSettings(
        max_failures=section.count("max_failures", default.max_failures),
        window_seconds=section.number("window_seconds", default.window_seconds),
        open_seconds=section.number("open_seconds", default.open_seconds),
        open_limit_seconds=section.number("open_limit_seconds", default.open_limit_seconds),
    )
    if settings.open_limit_seconds < settings.open_seconds:
        section.refuse(
            "open_limit_seconds", settings.open_limit_seconds, f"at least open_seconds ({settings.open_seconds:g})"
        )
    section.finish()
    return settings


def _read_dead_man(section: _Section) -> DeadManSettings:
    default = DeadManSettings()
    settings = DeadManSettings(
        after_seconds=section.number("after_seconds", default.after_seconds),
        working_orders=section.choice("working_orders", _WORKING_ORDERS, default.working_orders),  # type: ignore[arg-type]
        resume=section.choice("resume", ("automatic", "manual"), default.resume),  # type: ignore[arg-type]
    )
    section.finish()
    return settings


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


def _ask_instruments(strategy: Strategy, problems: list[Problem]) -> tuple[Instrument, ...]:
    try:
        instruments = tuple(strategy.instruments())
        seen = next((f"{other!r}" for other in instruments if not isinstance(other, Instrument)), None)
    except Exception as error:  # noqa: BLE001 a user's strategy may raise anything
        seen = f"{type(error).__name__}: {error}"
    if seen is None:
        return instruments
    problems.append(
        Problem("strategy.name", seen, "instruments() that returns a sequence of Instrument", "correct the strategy")
    )
    return ()


class _Section:
    """One mapping of engine.yaml: values are taken from it by name, what is left over is refused."""

    def __init__(self, path: str, value: object, problems: list[Problem]) -> None:
        self._path = path
        self._problems = problems
        self._left: dict[Any, Any] = {}
        self._names: list[str] = []
        if isinstance(value, dict):
            self._left = dict(value)
        elif value is not None:
            self.refuse("", value, "a mapping")

    def refuse(self, name: str, seen: object, wanted: str, fix: str = "correct engine.yaml") -> None:
        """Note a problem with a value of this section, or with the section itself (no name)."""
        path = ".".join(part for part in (self._path, name) if part) or "engine.yaml"
        self._problems.append(Problem(path, repr(seen) if seen is not None else "nothing", wanted, fix))

    def has(self, name: str) -> bool:
        self._names.append(name)
        return name in self._left

    def _take(self, name: str, default: object = None) -> Any:
        self._names.append(name)
        return self._left.pop(name, default)

    def section(self, name: str) -> _Section:
        return _Section(f"{self._path}.{name}".lstrip("."), self._take(name), self._problems)

    def sections(self, name: str) -> list[tuple[str, _Section]]:
        """Take a mapping of symbols to sections."""
        parts = self.section(name)
        symbols = [symbol for symbol in parts._left if _is_symbol(symbol)]
        found = [(symbol, parts.section(symbol)) for symbol in symbols]
        for other in parts._left:
            parts.refuse(str(other), other, "a symbol as text, such as AAPL", "quote it")
        return found

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._take(name) or {}
        if isinstance(value, dict):
            return value
        self.refuse(name, value, "a mapping")
        return {}

    def text(self, name: str) -> str:
        value = self._take(name)
        if isinstance(value, str) and value:
            return value
        self.refuse(name, value, "a text")
        return ""

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self._take(name, default)
        if value not in choices:
            *rest, last = choices
            self.refuse(name, value, f"{', '.join(rest)} or {last}")
            return default
        return str(value)

    def switch(self, name: str, default: bool) -> bool:
        value = self._take(name, default)
        if isinstance(value, bool):
            return value
        self.refuse(name, value, "true or false")
        return default

    def symbols_or_none(self, name: str) -> frozenset[str] | None:
        value = self._take(name)
        if value is None:
            return None
        if isinstance(value, list) and value and all(map(_is_symbol, value)):
            return frozenset(value)
        fix = "quote what YAML takes for something else, such as 'ON'"
        self.refuse(name, value, "a list of symbols as texts, such as [AAPL, MSFT], or null for all", fix)
        return None

    def number(self, name: str, default: float, limit: float = math.inf) -> float:
        """Take a number above 0 and at most ``limit``; ``default`` where it is absent or refused."""
        value = self._take(name, default)
        if _is_number(value) and 0 < value <= limit:
            return float(value)
        self.refuse(name, value, _range(name, limit))
        return default

    def number_or_none(
        self, name: str, default: float | None, null_means: str, limit: float = math.inf
    ) -> float | None:
        """Take a number as above, or null, which means what the text says."""
        value = self._take(name, default)
        if value is None:
            return None
        if _is_number(value) and 0 < value <= limit:
            return float(value)
        self.refuse(name, value, f"{_range(name, limit)}, or null {null_means}")
        return default

    def count(self, name: str, default: int, limit: int = _MOST) -> int:
        """Take a whole number of 1 or more, and at most ``limit``."""
        value = self._take(name, default)
        if _is_count(value, limit):
            return int(value)
        self.refuse(name, value, f"a whole number from 1 to {limit}")
        return default

    def count_or_none(self, name: str, default: int | None, null_means: str) -> int | None:
        """Take a whole number as above, or null, which means what the text says."""
        value = self._take(name, default)
        if value is None:
            return None
        if _is_count(value, _MOST):
            return int(value)
        self.refuse(name, value, f"a whole number from 1 to {_MOST}, or null {null_means}")
        return default

    def finish(self) -> None:
        """Refuse what nobody has taken."""
        for name, value in self._left.items():
            close = difflib.get_close_matches(str(name), self._names, n=1)
            fix = f"write {close[0]}, or remove it" if close else "remove it"
            self.refuse(str(name), value, "a key of engine.yaml", fix)


def _is_symbol(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _is_count(value: object, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= limit


def _range(name: str, limit: float) -> str:
    unit = next((unit for unit in ("seconds", "milliseconds", "minutes") if unit in name.split("_")), "a number")
    return f"{unit} above 0" + ("" if math.isinf(limit) else f" and at most {limit:g}")


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, of which YAML would silently keep the last, and merge keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, "a merge key '<<', which engine.yaml does not have", key_node.start_mark
                )
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a name", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is there twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
