# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on demand: what a gateway, its network and its broker do to a client on a bad day.

A fault is a JSON object: ``fault`` names it, the rest says when, for how long, to whom and how. The simulator's README
has the whole list. Nothing here is random without the simulator's seed.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .line import CALM, Line
from .model import Charged, Event, Executed, OrderBound, OrderChanged, OrderFailed, OrderPreviewed, OrderRequest

if TYPE_CHECKING:
    from .server import Simulator
    from .session import Session

# How often a fault that begins at a moment of the world looks at the world's clock.
CLOCK_SECONDS = 0.05


class FaultError(ValueError):
    """A fault that cannot be played; the text names every problem, the value seen and the value wanted."""


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of a fault: how its value is read (ValueError, TypeError), what is wanted, what it is without one."""

    read: Callable[[Any], Any]
    wanted: str
    default: Any = None
    required: bool = False


def _number(lowest: float, highest: float = 1e9) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
            raise ValueError
        return float(value)

    return read


def _whole(lowest: int, highest: int = 1 << 31) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError
        return value

    return read


def _choice(*choices: str) -> _Parameter:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return _Parameter(read, f"one of {', '.join(choices)}", choices[0])


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _set_of(kind: type) -> Callable[[Any], frozenset[Any]]:
    def read(value: Any) -> frozenset[Any]:
        if not isinstance(value, list) or not value or not all(type(each) is kind for each in value):
            raise ValueError
        return frozenset(value)

    return read


def _moment(value: Any) -> str | datetime:
    if isinstance(value, datetime):
        moment = value
    elif re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", value):
        return str(value)
    else:
        moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _seconds(default: float | None = None, lowest: float = 0.0) -> _Parameter:
    return _Parameter(_number(lowest, 1e6), f"seconds, {lowest:g} or more", default, required=default is None)


_WHEN = {
    "at": _Parameter(_moment, "a moment of the world's clock, ISO 8601, or HH:MM[:SS] in UTC for the next such time"),
    "after": _Parameter(_number(0), "seconds from now, 0 or more"),
    "every": _Parameter(_number(0.01), "seconds from one beginning to the next, above 0"),
}
_FOR = {"for": _Parameter(_number(0), "seconds, 0 or more")}
_CLIENTS = {"clients": _Parameter(_set_of(int), "a list of client ids")}
_CHANCE = {
    "count": _Parameter(_whole(1), "how many times, 1 or more"),
    "share": _Parameter(_number(0, 1), "a share of the cases, 0 to 1", 1.0),
}
_SYMBOLS = {"symbols": _Parameter(_set_of(str), "a list of symbols")}
_ORDERS = {**_FOR, **_CLIENTS, **_CHANCE, **_SYMBOLS}

FAULTS: dict[str, dict[str, _Parameter]] = {
    # the port and the connections
    "refuse": {**_FOR},
    "silent": {**_FOR, **_CLIENTS, "from": _choice("handshake", "start", "now")},
    "close": {**_CLIENTS, "how": _choice("clean", "mid-frame", "reset")},
    "latency": {
        **_FOR,
        **_CLIENTS,
        "seconds": _seconds(),
        "jitter": _seconds(0.0),
        "way": _choice("both", "in", "out"),
    },
    "slow_reader": {**_FOR, **_CLIENTS, "bytes_per_second": _Parameter(_number(1), "1 or more", required=True)},
    "slow_writer": {**_FOR, **_CLIENTS, "bytes_per_second": _Parameter(_number(1), "1 or more", required=True)},
    "pacing": {**_FOR, **_CLIENTS, **_CHANCE},
    # the gateway and its broker
    "restart": {"for": _Parameter(_number(0), "seconds, 0 or more", 5.0)},
    "logout": {**_FOR},
    "link": {**_FOR, "data": _choice("maintained", "lost")},
    "farm": {**_FOR, "farm": _choice("market", "history")},
    "freeze": {**_FOR, "symbols": replace(_SYMBOLS["symbols"], required=True)},
    "clock_skew": {**_FOR, "seconds": _Parameter(_number(-1e9), "a number of seconds", required=True)},
    # orders
    "reject": {
        **_ORDERS,
        "code": _Parameter(_whole(100, 99999), "an error code", 201),
        "text": _Parameter(_text, "a text", "Order rejected - reason:rejected on demand"),
    },
    "delay_acknowledgements": {**_ORDERS, "seconds": _seconds()},
    "lose_acknowledgement": {
        **_ORDERS,
        "what": _choice("acknowledgement", "everything"),
        "then": _choice("go on", "close"),
    },
    "repeat_status": {**_ORDERS, "seconds": _seconds(0.0)},
    "duplicate_execution": {**_ORDERS, "seconds": _seconds(0.0)},
    "correct_execution": {
        **_ORDERS,
        "seconds": _seconds(0.0),
        "ticks": _Parameter(_whole(-1000, 1000), "ticks, -1000 to 1000", 1),
    },
    "late_commission": {**_ORDERS, "seconds": _Parameter(_number(0), "seconds, 0 or more; none: not until asked for")},
}
# What begins and is over.
_INSTANT = frozenset({"close"})
_FARMS = {
    "market": (
        (2103, "Market data farm connection is broken:usfarm"),
        (2104, "Market data farm connection is OK:usfarm"),
    ),
    "history": ((2105, "HMDS data farm connection is broken:ushmds"), (2106, "HMDS data farm connection is OK:ushmds")),
}
_SECURITY_FARM = (2158, "Sec-def data farm connection is OK:secdefnj")
PACING = (100, "Max rate of messages per second has been exceeded:max=50 rec=51 (1)")


@dataclass(eq=False, slots=True)
class Fault:
    """A fault that was asked for. ``state`` is waiting, active or over; ``played`` counts what it did to clients.

    ``lines`` are the numbers of the connections that it silences.
    """

    id: int
    name: str
    document: dict[str, Any]
    parameters: dict[str, Any]
    state: str = "waiting"
    played: int = 0
    lines: set[int] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None
    _left: int | None = None

    def begin(self) -> None:
        """Be at work from now on."""
        self.state = "active"
        self._left = self.parameters.get("count")

    def play(self) -> bool:
        """Count one case; tell whether it was the last one."""
        self.played += 1
        if self._left is None:
            return False
        self._left -= 1
        return self._left == 0

    def concerns(self, client_id: int | None, symbol: str | None = None) -> bool:
        """Tell whether the fault is for this client and instrument."""
        clients, symbols = self.parameters.get("clients"), self.parameters.get("symbols")
        return (clients is None or client_id in clients) and (symbols is None or symbol in symbols)

    def to_json(self) -> dict[str, Any]:
        """Return what the control API tells of it."""
        return {**self.document, "id": self.id, "state": self.state, "played": self.played}


@dataclass(slots=True)
class _Fate:
    """What becomes of the news of one order on one connection: what is ``lost``, and by how many seconds it is late."""

    lost: str = ""
    delay: float = 0.0


def read_fault(document: Any) -> tuple[str, dict[str, Any]]:
    """Return a fault's name and its parameters, all of them. Raises FaultError."""
    if not isinstance(document, dict):
        raise FaultError(f"fault {document!r}: wanted an object")
    name = document.get("fault")
    if not isinstance(name, str) or name not in FAULTS:
        raise FaultError(f"fault {name!r}: wanted one of {', '.join(FAULTS)}")
    known = _WHEN | FAULTS[name]
    problems = [
        f"{key!r} is not its parameter, wanted one of {', '.join(known)}"
        for key in document
        if key not in known and key != "fault"
    ]
    parameters = {}
    for key, parameter in known.items():
        value = document.get(key)
        if value is None:
            parameters[key] = parameter.default
            if parameter.required:
                problems.append(f"{key} is missing: wanted {parameter.wanted}")
            continue
        try:
            parameters[key] = parameter.read(value)
        except (ValueError, TypeError):
            problems.append(f"{key}={value!r}: wanted {parameter.wanted}")
    if parameters.get("at") is not None and parameters.get("after") is not None:
        problems.append("at and after: wanted one of them")
    if name == "silent" and parameters.get("from") == "handshake" and parameters.get("clients"):
        problems.append("clients: a handshake does not tell the client id, wanted from=start or from=now")
    every, lasts = parameters.get("every"), parameters.get("for")
    if every is not None and name not in _INSTANT and (lasts is None or lasts >= every):
        problems.append(f"for={lasts}: wanted less than every={every:g}")
    if problems:
        raise FaultError(f"fault {name}: {'; '.join(problems)}")
    return name, parameters


class Faults:
    """The faults of one simulator, and what they do at the moment."""

    def __init__(self, simulator: Simulator, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - repeatable by intention
        self._simulator = simulator
        self._faults: dict[int, Fault] = {}
        self._last_id = 0
        # connection -> order id -> what becomes of its news
        self._fates: dict[int, dict[int, _Fate]] = {}

    # --- what the control API does ------------------------------------------------------------------------------------

    def add(self, document: Any) -> Fault:
        """Let a fault happen, at once or when it says. Raises FaultError."""
        name, parameters = read_fault(document)
        self._last_id += 1
        fault = Fault(self._last_id, name, dict(document), parameters)
        self._faults[fault.id] = fault
        if isinstance(parameters["at"], str):
            parameters["at"] = _next_time_of_day(parameters["at"], self._simulator.now())
        if parameters["after"]:
            self._wait(fault, parameters["after"])
        else:
            self._begin_when_due(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """End a fault, now and for good."""
        self._cancel_timer(fault)
        self._faults.pop(fault.id, None)
        if fault.state == "active":
            self._end(fault)
        fault.state = "over"

    def remove_all(self, name: str | None = None) -> list[Fault]:
        """End every fault of a name, or every fault, and return them."""
        chosen = [fault for fault in self if name in (None, fault.name)]
        for fault in chosen:
            self.remove(fault)
        return chosen

    def get(self, fault_id: int) -> Fault | None:
        """Return a fault that is not over."""
        return self._faults.get(fault_id)

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._faults.values()))

    def stop(self) -> None:
        """Let nothing happen any more."""
        for fault in self:
            self._cancel_timer(fault)

    # --- what the simulator asks --------------------------------------------------------------------------------------

    def active(self, *names: str) -> list[Fault]:
        """Return the faults of these names that are at work now."""
        return [fault for fault in self._faults.values() if fault.name in names and fault.state == "active"]

    @property
    def refuses_connections(self) -> bool:
        """Tell whether nothing listens on the port."""
        return bool(self.active("refuse", "restart"))

    @property
    def is_logged_out(self) -> bool:
        """Tell whether the gateway waits for a human to log in."""
        return bool(self.active("logout"))

    @property
    def clock_skew(self) -> timedelta:
        """How far the gateway's clock is ahead of the world's."""
        return timedelta(seconds=sum(fault.parameters["seconds"] for fault in self.active("clock_skew")))

    @property
    def farm_notices(self) -> list[tuple[int, str]]:
        """The codes and texts that tell a client of the data farms."""
        broken = {fault.parameters["farm"] for fault in self.active("farm")}
        return [*(texts[farm not in broken] for farm, texts in _FARMS.items()), _SECURITY_FARM]

    def hides_ticks(self, symbol: str) -> bool:
        """Tell whether an instrument's ticks do not arrive."""
        return bool(self._faults) and (
            any(fault.parameters["farm"] == "market" for fault in self.active("farm"))
            or any(fault.concerns(None, symbol) for fault in self.active("freeze"))
        )

    @property
    def hides_history(self) -> bool:
        """Tell whether historical data cannot be had."""
        return any(fault.parameters["farm"] == "history" for fault in self.active("farm"))

    def refuses_request(self, client_id: int) -> bool:
        """Tell whether a client's request is lost to the pacing rule."""
        return bool(self._faults) and self._hit("pacing", client_id) is not None

    def reject(self, request: OrderRequest) -> tuple[int, str] | None:
        """Return the code and text by which an order is rejected on demand, None for one that is not."""
        fault = self._hit("reject", request.client_id, _symbol(request), order_id=request.order_id)
        return None if fault is None else (fault.parameters["code"], fault.parameters["text"])

    def begin_order(self, line: Line, request: OrderRequest) -> bool:
        """Decide what becomes of an order's news; tell whether its connection closes before there is any."""
        if not self._faults:
            return False
        who = (request.client_id, _symbol(request))
        loses = self._hit("lose_acknowledgement", *who, order_id=request.order_id)
        delays = self._hit("delay_acknowledgements", *who, order_id=request.order_id)
        if loses is None and delays is None:
            return False
        fate = self._fates.setdefault(line.number, {}).setdefault(request.order_id, _Fate())
        if loses is not None:
            fate.lost = loses.parameters["what"]
        if delays is not None:
            fate.delay = delays.parameters["seconds"]
        return loses is not None and loses.parameters["then"] == "close"

    # --- what clients are told ----------------------------------------------------------------------------------------

    def tell(self, session: Session, events: Sequence[Event]) -> None:
        """Tell a client the broker's news, with what the faults make of them."""
        if not self._faults and not self._fates:
            session.tell(events)
            return
        now: list[Event] = []
        later: defaultdict[float, list[Event]] = defaultdict(list)
        for event in events:
            owner = owner_of(event)
            if owner is None or owner[0] != session.client_id:
                now.append(event)
                continue
            for seconds, told in self._distort(session.line, owner, event):
                (later[seconds] if seconds else now).append(told)
        if now:
            session.tell(now)
        for seconds, delayed in later.items():
            asyncio.get_running_loop().call_later(seconds, session.tell, delayed)

    def follow(self, events: Sequence[Event]) -> None:
        """Let the broker correct executions that it has told."""
        if not self._faults:
            return
        for event in events:
            if isinstance(event, Executed) and event.execution.execution_id.endswith(".01"):
                execution = event.execution
                who = (execution.client_id, self._simulator.symbol(execution.con_id))
                fault = self._hit("correct_execution", *who, execution_id=execution.execution_id)
                if fault is not None:
                    correction = (execution.execution_id, fault.parameters["ticks"])
                    asyncio.get_running_loop().call_later(
                        fault.parameters["seconds"], self._simulator.correct, *correction
                    )

    def _distort(self, line: Line, owner: tuple[int, int, int | None], event: Event) -> Iterator[tuple[float, Event]]:
        """Give what is told for an event of an order's, and in how many seconds."""
        client_id, order_id, con_id = owner
        symbol = self._simulator.symbol(con_id) if con_id else None
        fate = self._fates.get(line.number, {}).get(order_id)
        wait = 0.0
        if fate is not None:
            if fate.lost == "everything" or (fate.lost and isinstance(event, OrderChanged) and not event.order.filled):
                return
            wait = fate.delay
        match event:
            case Charged():
                late = self._hit("late_commission", client_id, symbol, order_id=order_id)
                if late is None:
                    yield wait, event
                elif late.parameters["seconds"] is not None:
                    yield wait + late.parameters["seconds"], event
            case Executed(execution):
                yield wait, event
                again = self._hit("duplicate_execution", client_id, symbol, execution_id=execution.execution_id)
                if again is not None:
                    yield wait + again.parameters["seconds"], event
            case OrderChanged(order):
                yield wait, event
                again = self._hit("repeat_status", client_id, symbol, order_id=order_id, status=order.status)
                if again is not None:
                    yield wait + again.parameters["seconds"], event
            case _:
                yield wait, event

    # --- connections --------------------------------------------------------------------------------------------------

    def attach(self, line: Line) -> None:
        """Take note of a new connection."""
        for fault in self.active("silent"):
            if fault.parameters["from"] == "handshake" or (
                fault.parameters["from"] == "now" and fault.parameters["clients"] is None
            ):
                fault.lines.add(line.number)
        self._set_weather(line, None)

    def start(self, line: Line, client_id: int) -> None:
        """Take note of the client id of a connection."""
        for fault in self.active("silent"):
            if fault.parameters["from"] != "handshake" and fault.concerns(client_id):
                fault.lines.add(line.number)
        self._set_weather(line, client_id)

    def forget(self, line: Line) -> None:
        """Forget what concerns a connection that is over."""
        self._fates.pop(line.number, None)

    def _set_weather(self, line: Line, client_id: int | None) -> None:
        """Let the active faults hold up a line's bytes, or nothing."""
        incoming = outgoing = CALM
        for fault in self._faults.values():
            if fault.state != "active":
                continue
            if fault.name == "silent":
                if line.number in fault.lines:
                    incoming = outgoing = replace(incoming, blocked=True)
            elif fault.concerns(client_id):
                parameters = fault.parameters
                if fault.name == "latency":
                    slow = replace(CALM, delay=parameters["seconds"], jitter=parameters["jitter"])
                    incoming = incoming if parameters["way"] == "out" else slow
                    outgoing = outgoing if parameters["way"] == "in" else slow
                elif fault.name == "slow_reader":
                    incoming = replace(incoming, rate=parameters["bytes_per_second"])
                elif fault.name == "slow_writer":
                    outgoing = replace(outgoing, rate=parameters["bytes_per_second"])
        line.change_weather(incoming, outgoing)

    def _set_weathers(self) -> None:
        for line, client_id in self._simulator.lines():
            self._set_weather(line, client_id)

    # --- beginning and end --------------------------------------------------------------------------------------------

    def _wait(self, fault: Fault, seconds: float) -> None:
        fault.state = "waiting"
        fault.timer = asyncio.get_running_loop().call_later(seconds, self._begin_when_due, fault)

    def _begin_when_due(self, fault: Fault) -> None:
        at = fault.parameters["at"]
        if at is not None and self._simulator.now() < at:
            self._wait(fault, CLOCK_SECONDS)
        else:
            self._begin(fault)

    def _begin(self, fault: Fault) -> None:
        fault.begin()
        self._record(fault, "begins", **{name: value for name, value in fault.document.items() if name != "fault"})
        self._cancel_timer(fault)
        lasts, every = fault.parameters.get("for"), fault.parameters["every"]
        if fault.name in _INSTANT:
            lasts = 0.0
        if lasts is not None:
            fault.timer = asyncio.get_running_loop().call_later(lasts, self._finish, fault, every and every - lasts)
        match fault.name:
            case "refuse":
                self._simulator.stop_listening()
            case "restart":
                self._simulator.stop_listening()
                self._simulator.close_connections("the gateway restarts")
            case "logout":
                self._simulator.close_connections("the gateway is logged out")
            case "link":
                self._simulator.lose_link()
            case "farm":
                self._simulator.notify(*_FARMS[fault.parameters["farm"]][0])
            case "close":
                for line, client_id in self._simulator.lines():
                    if fault.concerns(client_id):
                        self._close(fault, line)
            case "silent" if fault.parameters["from"] == "now":
                fault.lines = {line.number for line, client in self._simulator.lines() if fault.concerns(client)}
                self._set_weathers()
            case "latency" | "slow_reader" | "slow_writer":
                self._set_weathers()

    def _close(self, fault: Fault, line: Line) -> None:
        match fault.parameters["how"]:
            case "clean":
                line.close("closed on demand")
            case "reset":
                line.reset("reset on demand")
            case _:
                line.cut_next_frame()
        self._play(fault, connection=line.number)

    def _finish(self, fault: Fault, pause: float | None = None) -> None:
        """End a fault; it begins again after ``pause`` seconds, None for never."""
        self._cancel_timer(fault)
        if pause is None:
            self.remove(fault)
        else:
            self._end(fault)
            self._wait(fault, pause)

    def _end(self, fault: Fault) -> None:
        fault.state = "over"
        self._record(fault, "ends")
        fault.lines.clear()
        match fault.name:
            case "refuse" | "restart" if not self.refuses_connections:
                self._simulator.listen()
            case "logout" if not self.is_logged_out:
                self._simulator.log_in()
            case "link" if not self.active("link"):
                self._simulator.restore_link(data_lost=fault.parameters["data"] == "lost")
            case "farm" if fault.parameters["farm"] not in [other.parameters["farm"] for other in self.active("farm")]:
                self._simulator.notify(*_FARMS[fault.parameters["farm"]][1])
            case "silent" | "latency" | "slow_reader" | "slow_writer":
                self._set_weathers()

    def _hit(self, name: str, client_id: int, symbol: str | None = None, **details: object) -> Fault | None:
        """Return the fault of that name which strikes here, after counting it; None when none does."""
        for fault in self.active(name):
            if fault.concerns(client_id, symbol) and self.chance.random() < fault.parameters["share"]:
                self._play(fault, client_id=client_id, **details)
                return fault
        return None

    def _play(self, fault: Fault, **details: object) -> None:
        used_up = fault.play()
        self._record(fault, "played", **details)
        if used_up:
            self._finish(fault, fault.parameters["every"])

    def _record(self, fault: Fault, event: str, **details: object) -> None:
        self._simulator.witness.record("fault", **{"id": fault.id, "fault": fault.name, "event": event, **details})

    def _cancel_timer(self, fault: Fault) -> None:
        if fault.timer is not None:
            fault.timer.cancel()
            fault.timer = None


def owner_of(event: Event) -> tuple[int, int, int | None] | None:
    """Return client id, order id and, if known, contract id of the order that an event belongs to."""
    match event:
        case OrderChanged(order) | OrderPreviewed(order) | OrderBound(order):
            return order.client_id, order.order_id, order.con_id
        case Executed(execution) | Charged(execution):
            return execution.client_id, execution.order_id, execution.con_id
        case OrderFailed(client_id, order_id):
            return client_id, order_id, None
    return None


def _symbol(request: OrderRequest) -> str | None:
    return request.instrument.symbol if request.instrument else None


def _next_time_of_day(text: str, now: datetime) -> datetime:
    """Return the next moment at which a clock in UTC shows ``HH:MM[:SS]``."""
    hour, minute, second = (int(part) for part in (*text.split(":"), "0")[:3])
    moment = now.astimezone(UTC).replace(hour=hour, minute=minute, second=second, microsecond=0)
    return moment if moment >= now else moment + timedelta(days=1)
