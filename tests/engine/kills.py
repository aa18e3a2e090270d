# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill the engine at every step of its work, hundreds of times, and let the venue's record judge what is left.

    python -m tests.engine.kills [--kills 520] [--lanes 4] [--seed 1]

A lane is a venue that lives on, and one ledger. Its process has the engine's imports and forks a child for each run:
a whole engine on that ledger, in which one function is wrapped so that the n-th passage ends in SIGKILL. Step and n are
drawn from the seed; the next child finds what the last one left. Some runs are killed from outside at a moment drawn,
and in some the venue is killed too. After every run nothing may be sent twice or without an intent; when the lane has
settled (one engine reconciles, drains and ends by itself) ledger and venue must be equal.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import inspect
import json
import os
import pkgutil
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from ib_async.connection import Connection

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "images" / name / "src") for name in ("reference_engine", "gateway_simulator")]

from reference_engine import app  # noqa: E402
from reference_engine.gateway import IbLink  # noqa: E402
from tests.engine.books import Record, differences  # noqa: E402
from tests.engine.support import Place  # noqa: E402
from tests.engine.venue import Venue  # noqa: E402

Where = Literal["before", "inside", "after"]
Cut = Literal["before", "half", "after"]

_STRATEGY = "tests/engine/busy_strategy.py"
# How long a run may need to come to its step on a loaded machine; then it is killed where it is.
_REACH_SECONDS = 20.0
_SETTLE_SECONDS = 60.0
_RUNS_TO_A_SETTLEMENT = 70
_MESSAGE_PLACE, _MESSAGE_CANCEL = 3, 4


# --- steps: where a run is killed


class Passage:
    """Kills this process when it is passed for the ``nth`` time."""

    def __init__(self, nth: int, number: signal.Signals = signal.SIGKILL) -> None:
        self._left = nth
        self._number = number

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._number)

    @property
    def is_next(self) -> bool:
        """Whether the next passage is the one."""
        return self._left == 1


@dataclass(frozen=True)
class Step:
    """A point in the engine's work. ``passages``: how often a run surely comes by; ``drains``: only while stopping."""

    name: str
    install: Callable[[Passage], None]
    passages: int = 1
    drains: bool = False
    target: str = ""

    def check(self) -> None:
        """Raise AttributeError when the engine has no such step any more."""
        if self.target:
            pkgutil.resolve_name(self.target)


def _call(target: str, where: Where, passages: int = 1, *, drains: bool = False) -> Step:
    """Before, inside (all is written and not yet committed) or after the call of a function, ``module:Class.name``."""
    name = f"{where} {target.split(':')[1]}"
    return Step(name, functools.partial(_wrap, target, where), passages, drains, target)


def _put(owner: object, name: str, value: object) -> None:
    """Replace what ``owner`` calls ``name``, in this process."""
    setattr(owner, name, value)


def _wrap(target: str, where: Where, passage: Passage) -> None:
    owner_name, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    real = getattr(owner, name)

    async def wrapped_coroutine(*arguments: Any, **named: Any) -> Any:
        with _around(where, passage):
            return await real(*arguments, **named)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        with _around(where, passage):
            return real(*arguments, **named)

    _put(owner, name, functools.wraps(real)(wrapped_coroutine if inspect.iscoroutinefunction(real) else wrapped))


@contextlib.contextmanager
def _around(where: Where, passage: Passage) -> Iterator[None]:
    if where == "before":
        passage()
    elif where == "inside":
        _Commits.passage = passage
    try:
        yield
    finally:
        _Commits.passage = None
    if where == "after":
        passage()


class _Commits(sqlite3.Connection):
    """A connection that passes ``passage``, when there is one, before each commit."""

    passage: Passage | None = None

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if _Commits.passage and sql == "COMMIT":
            _Commits.passage()
        return super().execute(sql, *arguments)


def _frame(message: int, name: str, where: Cut, passages: int = 1, *, change: bool = False) -> Step:
    """Before the bytes of a message leave, after half of them, or after all; they go to the kernel at once.

    With ``change`` only what a change of a working order sends.
    """
    return Step(f"{where} the bytes of {name}", functools.partial(_cut, message, where, change), passages)


def _cut(message: int, where: Cut, change: bool, passage: Passage) -> None:
    real: Callable[[Any, bytes], None] = Connection.sendMsg
    start = f"{message}\0".encode()
    changing = 0

    def send(connection: Any, frame: bytes) -> None:
        ours = frame[4:].startswith(start) and (bool(changing) or not change)
        if ours and where == "half" and passage.is_next:
            connection.transport.write(frame[: len(frame) // 2])
        if ours and where != "after":
            passage()
        real(connection, frame)
        if ours and where == "after":
            passage()

    def note_change(*arguments: Any) -> Any:
        nonlocal changing
        changing += 1
        try:
            return really_change(*arguments)
        finally:
            changing -= 1

    really_change = IbLink.change
    _put(IbLink, "change", note_change)
    _put(Connection, "sendMsg", send)


def _steps() -> list[Step]:
    """Every step, in the order in which an engine comes by."""
    engine, link, ledger = (
        "reference_engine.engine:Engine",
        "reference_engine.gateway:IbLink",
        "reference_engine.ledger:Ledger",
    )
    around: tuple[Literal["before"], Literal["after"]] = ("before", "after")
    whole: tuple[Where, Where, Where] = ("before", "inside", "after")
    cuts: tuple[Cut, ...] = ("before", "half", "after")
    return [
        _call(f"{ledger}.take_over", "after"),
        *(_frame(71, "startApi", where) for where in cuts),
        *(_call(f"{link}._connect", where) for where in around),
        _call(f"{engine}.on_session", "after"),
        # reconciliation
        *(_call(f"{engine}._reconcile", where) for where in around),
        *(_frame(5, "reqOpenOrders", where) for where in around),
        *(_frame(7, "reqExecutions", where) for where in around),
        *(_frame(61, "reqPositions", where) for where in around),
        *(_call(f"{link}.snapshot", where) for where in around),
        *(_call(f"{ledger}.reconcile", where) for where in whole),
        _call(f"{ledger}._settle_forgotten_orders", "before"),
        _call(f"{ledger}._record_positions", "before"),
        *(_call(f"{link}.subscribe", where) for where in around),
        _call(f"{link}.forget_finished", "after"),
        _call(f"{ledger}.set_trading_state", "after"),
        # an order's way out
        *(_call(f"{engine}.submit", where, 6) for where in around),
        *(_call(f"{engine}._refusal_of", where, 6) for where in around),
        _call(f"{link}.next_order_id", "after", 6),
        *(_call(f"{ledger}.record_intent", where, 6) for where in whole),
        *(_call(f"{link}.place", where, 6) for where in around),
        *(_frame(_MESSAGE_PLACE, "placeOrder", where, 6) for where in cuts),
        *(_call(f"{ledger}.mark_sent", where, 6) for where in around),
        # and what comes back
        *(_call(f"{engine}.on_order", where, 8) for where in around),
        *(_call(f"{ledger}.record_order", where, 8) for where in around),
        *(_call(f"{engine}.on_execution", where, 4) for where in around),
        *(_call(f"{ledger}.record_execution", where, 4) for where in around),
        *(_call(f"{ledger}._add_fill_to_order", where, 4) for where in around),
        *(_call(f"{ledger}.record_commission", where, 4) for where in around),
        *(_call(f"{ledger}.record_position", where, 4) for where in around),
        # what was written in one turn of the event loop
        *(_call(f"{ledger}._commit_batch", where, 12) for where in whole),
        # a change and a cancel of a working order
        *(_call(f"{engine}._change", where, 2) for where in around),
        *(_call(f"{ledger}.record_change", where, 2) for where in whole),
        *(_call(f"{link}.change", where, 2) for where in around),
        *(_frame(_MESSAGE_PLACE, "placeOrder for a change", where, 2, change=True) for where in cuts),
        *(_call(f"{link}.cancel", where, 2) for where in around),
        *(_frame(_MESSAGE_CANCEL, "cancelOrder", where, 2) for where in cuts),
        # the drain
        *(_call(f"{engine}._drain", where, drains=True) for where in around),
        *(_call(f"{engine}._cancel_working", where, drains=True) for where in around),
        *(_call(f"{ledger}.close", where, drains=True) for where in around),
    ]


STEPS = _steps()


# --- mutations: wrong engines, which show that the comparison finds what they do


def _send_before_recording() -> None:
    """The bytes leave before the intent is written."""
    from reference_engine.ledger import Ledger

    record, place = Ledger.record_intent, IbLink.place
    waiting: list[Callable[[], None]] = []

    def record_later(*arguments: Any, **named: Any) -> None:
        waiting.append(functools.partial(record, *arguments, **named))

    def place_first(*arguments: Any, **named: Any) -> None:
        place(*arguments, **named)
        waiting.pop()()

    _put(Ledger, "record_intent", record_later)
    _put(IbLink, "place", place_first)


def _send_again() -> None:
    """After a start, orders without an answer are sent once more."""
    from reference_engine.engine import Engine
    from reference_engine.model import Instrument, OrderRequest

    reconcile = Engine._reconcile

    async def reconcile_and_send(self: Any) -> None:
        waiting = [order for order in self._open if not order.acknowledged]
        await reconcile(self)
        for order in waiting:
            request = OrderRequest(Instrument("AAPL", con_id=order.con_id), "BUY", 1)
            self._link.place(order.order_ref, self._link.next_order_id(), request)

    _put(Engine, "_reconcile", reconcile_and_send)


def _forget_fills() -> None:
    """A reconciliation does not ask which fills were made while the engine was away."""
    snapshot = IbLink.snapshot

    async def without_fills(*arguments: Any, **named: Any) -> Any:
        return dataclasses.replace(await snapshot(*arguments, **named), executions=())

    _put(IbLink, "snapshot", without_fills)


def _count_twice() -> None:
    """A fill that is told again, after a restart, counts again."""
    from reference_engine.ledger import Ledger

    record = Ledger._record_execution

    def record_as_new(ledger: Any, connection: sqlite3.Connection, execution: Any) -> Any:
        return record(ledger, connection, dataclasses.replace(execution, exec_id=f"{os.getpid()}-{execution.exec_id}"))

    _put(Ledger, "_record_execution", record_as_new)


@dataclass(frozen=True)
class Mutation:
    """A wrong engine, and the steps at which kills show what is wrong with it."""

    apply: Callable[[], None]
    steps: Sequence[str]


MUTATIONS = {
    "send_before_recording": Mutation(_send_before_recording, ("after the bytes of placeOrder",)),
    "send_again": Mutation(_send_again, ("before Ledger.record_order",)),
    "forget_fills": Mutation(_forget_fills, ("before Ledger.record_execution",)),
    "count_twice": Mutation(_count_twice, ("after Ledger.record_execution",)),
}


# --- runs


def _weather(rng: random.Random) -> list[dict[str, Any]]:
    """What the venue and the network do meanwhile, in part of the runs: news late, lost, twice; connections cut."""
    if rng.random() < 0.5:
        return []
    few = {"share": round(rng.uniform(0.1, 0.6), 2), "for": 2.0}
    faults: list[dict[str, Any]] = [
        {"fault": "latency", "seconds": rng.choice((0.005, 0.02, 0.05)), "jitter": 0.02, "for": 2.0},
        {"fault": "delay_acknowledgements", "seconds": rng.choice((0.02, 0.1, 0.3)), **few},
        {"fault": "lose_acknowledgement", "what": rng.choice(("acknowledgement", "everything")), **few},
        {"fault": "repeat_status", **few},
        {"fault": "duplicate_execution", "seconds": rng.choice((0.0, 0.05)), **few},
        {"fault": "late_commission", **few, **rng.choice(({}, {"seconds": 0.05}))},
        {"fault": "close", "how": rng.choice(("clean", "mid-frame", "reset")), "after": rng.uniform(0.1, 0.5)},
        {"fault": "link", "data": rng.choice(("maintained", "lost")), "after": rng.uniform(0.0, 0.4), "for": 0.1},
    ]
    return rng.sample(faults, rng.choice((1, 1, 2)))


@dataclass(frozen=True)
class Run:
    """What is done to one engine. ``outside`` kills after that many seconds; ``venue`` is killed after as many."""

    step: Step | None
    nth: int
    outside: float | None = None
    venue: float | None = None

    @property
    def name(self) -> str:
        """What the report counts it under."""
        who = "" if self.venue is None else " and venue"
        return f"any moment, from outside{who}" if self.step is None else f"{self.step.name}{who}"


@dataclass
class Report:
    """What a lane did: kills per step, runs whose step was not come to in time, faults played, all found wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    venue_kills: int = 0
    orders: int = 0
    fills: int = 0
    settlements: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take up what another lane did."""
        self.kills += other.kills
        self.missed += other.missed
        self.faults += other.faults
        self.problems += other.problems
        self.venue_kills += other.venue_kills
        self.orders += other.orders
        self.fills += other.fills
        self.settlements += other.settlements
        self.seconds = max(self.seconds, other.seconds)


def plan(kills: int, rng: random.Random, steps: Sequence[Step]) -> Iterator[Run]:
    """Yield the runs: all steps in turn, in an order drawn anew each time, and between them the other kinds."""
    made = 0
    while made < kills:
        runs = [Run(step, rng.randint(1, step.passages)) for step in steps]
        if len(steps) == len(STEPS):
            runs += [Run(None, 0, outside=rng.uniform(0.0, 1.0)) for _ in range(8)]
            runs += [Run(None, 0, outside=rng.uniform(0.2, 1.0), venue=rng.uniform(0.1, 0.8)) for _ in range(2)]
            runs += [Run(step, 1, venue=rng.uniform(0.05, 0.4)) for step in rng.sample(steps, 2)]
        rng.shuffle(runs)
        for run in runs[: kills - made]:
            made += 1
            yield run


class Lane:
    """A venue, a ledger, and one engine after the other."""

    def __init__(self, seed: str, mutation: str = "") -> None:
        self._rng = random.Random(seed)  # noqa: S311 a test's dice
        self._mutation = mutation
        self._place = Place(config="")
        self._place.make_ledger()
        self._venue = Venue(self._place.path, ticks_per_second=50, seed=self._rng.randrange(2**32))
        self._place.environment["BALLAST_GATEWAY_PORT"] = str(self._venue.port)
        (self._place.path / "busy.py").write_text((ROOT / _STRATEGY).read_text())
        self.report = Report()

    def run(self, kills: int, steps: Sequence[Step] = STEPS) -> Report:
        """Do the runs and settle; the first run after which something is wrong is the last."""
        started = time.monotonic()
        for step in steps:
            step.check()
        try:
            self._venue.start()
            since_settlement = 0
            for run in plan(kills, self._rng, steps):
                self._kill(run)
                self._judge(run.name, settled=False)
                since_settlement += 1
                if since_settlement == _RUNS_TO_A_SETTLEMENT and not self.report.problems:
                    self._settle()
                    since_settlement = 0
                if self.report.problems:
                    break
            if not self.report.problems:
                self._settle()
            record = self._record()
            self.report.orders, self.report.fills = len(record.placed), len(record.fills)
        finally:
            self.report.seconds = time.monotonic() - started
            self._venue.kill()
            if self.report.problems:
                kept = Path(tempfile.mkdtemp(prefix="kills"))
                shutil.copytree(self._place.path, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
                self.report.problems.append(f"ledger, logs and the venue's state are kept in {kept}")
            self._place.close()
        return self.report

    def _kill(self, run: Run) -> None:
        self._venue.call("DELETE", "faults")
        for fault in _weather(self._rng):
            self._venue.call("POST", "faults", fault)
            self.report.faults[fault["fault"]] += 1
        child = self._fork(run, orders=True)
        venue_at = None if run.venue is None else time.monotonic() + run.venue
        deadline = time.monotonic() + (_REACH_SECONDS if run.outside is None else run.outside)
        if venue_at is not None and venue_at < deadline and not child.wait(venue_at):
            self._venue.kill()
            self._venue.start()
            self.report.venue_kills += 1
        if not child.wait(deadline):
            child.kill()
            (self.report.kills if run.step is None else self.report.missed)[run.name] += 1
        elif child.status == -signal.SIGKILL:
            self.report.kills[run.name] += 1
        else:
            self.report.problems.append(f"{run.name}: the engine ended by itself with {child.status}\n{self._log()}")

    def _settle(self) -> None:
        """Let an engine that wants no orders find out everything, drain, and end."""
        self._venue.call("DELETE", "faults")
        ((before,),) = self._place.query("SELECT COALESCE(max(id), 0) FROM events")
        child = self._fork(None, orders=False)
        deadline = time.monotonic() + _SETTLE_SECONDS
        while not child.wait(time.monotonic() + 0.05) and time.monotonic() < deadline:
            if self._is_settled(before):
                os.kill(child.pid, signal.SIGTERM)
                child.wait(deadline)
        if not child.ended:
            child.kill()
        if child.status != 0:
            self.report.problems.append(f"the settling engine ended with {child.status}\n{self._log()}")
        self.report.settlements += 1
        self._judge("settlement", settled=True)

    def _is_settled(self, before: object) -> bool:
        # By the engine that began after that event: an earlier one, which was killed, may have been reconciled too.
        ((reconciled,),) = self._place.query(
            "SELECT count(*) FROM events WHERE kind = 'reconciled' AND id > "
            "(SELECT max(id) FROM events WHERE kind = 'engine_started' AND id > ?)",
            before,
        )
        ((waiting,),) = self._place.query("SELECT count(*) FROM orders WHERE status IN ('intent', 'sent')")
        return bool(reconciled) and not waiting

    def _judge(self, after: str, *, settled: bool) -> None:
        for problem in differences(self._record(), self._place.ledger, settled=settled):
            self.report.problems.append(f"after {after}: {problem}")

    def _record(self) -> Record:
        return Record.of(self._venue.witness())

    def _log(self) -> str:
        return "\n".join((self._place.path / "engine.log").read_text().splitlines()[-40:])

    def _fork(self, run: Run | None, *, orders: bool) -> Child:
        parameters = {"orders": orders, "seed": self._rng.randrange(2**32)}
        document = {
            "strategy": {"name": "busy:Busy", "parameters": parameters},
            "risk": dict.fromkeys(("max_open_orders", "max_orders_per_second", "max_orders_per_minute")),
            "trading_hours": {"session": "always"},
        }
        # JSON is YAML.
        self._place.config.write_text(json.dumps(document))
        pid = os.fork()
        if pid == 0:
            self._be_the_engine(run)
        return Child(pid)

    def _be_the_engine(self, run: Run | None) -> NoReturn:
        code = 99
        try:
            log = os.open(self._place.path / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            random.seed()
            _put(sqlite3, "connect", functools.partial(sqlite3.connect, factory=_Commits))
            if self._mutation:
                MUTATIONS[self._mutation].apply()
            if run and run.step:
                run.step.install(Passage(run.nth))
                if run.step.drains:
                    _wrap("reference_engine.ledger:Ledger.record_order", "after", Passage(8, signal.SIGTERM))
            code = app.main(self._place.environment)
        except BaseException:  # noqa: BLE001 nothing may return to the lane's own code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)


class Child:
    """A forked engine."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status = 0
        self.ended = False
        self._poll = select.poll()
        self._descriptor = os.pidfd_open(pid)
        self._poll.register(self._descriptor, select.POLLIN)

    def wait(self, deadline: float) -> bool:
        """Wait for the end until the deadline; True when it has ended: ``status`` is the code, or minus the signal."""
        if not self.ended and self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            _, status = os.waitpid(self.pid, 0)
            os.close(self._descriptor)
            self.status = os.waitstatus_to_exitcode(status)
            self.ended = True
        return self.ended

    def kill(self) -> None:
        """Kill it and wait."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait(time.monotonic() + 30)


# --- the program


def run_lanes(kills: int, lanes: int, seed: int, mutation: str = "") -> Report:
    """Run the lanes side by side, each in a process of its own, and return what they did together."""
    shares = [kills // lanes + (number < kills % lanes) for number in range(lanes)]
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.engine.kills"),
                *("--lane", f"{seed}:{number}", "--kills", str(share), "--mutation", mutation),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for number, share in enumerate(shares)
    ]
    report = Report()
    for process in processes:
        output, _ = process.communicate()
        if process.returncode:
            report.problems.append(f"a lane ended with {process.returncode}")
        else:
            told = json.loads(output)
            report.add(Report(**told | {name: Counter(told[name]) for name in ("kills", "missed", "faults")}))
    return report


def main(arguments: list[str] | None = None) -> int:
    """Run, print the kills of every step, and return 1 when anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(prog="kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=520, help="default: 520")
    parser.add_argument("--lanes", type=int, default=4, help="venues with a ledger each, side by side (default: 4)")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--mutation", default="", choices=["", *MUTATIONS], help="a wrong engine instead of ours")
    parser.add_argument("--lane", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.lane:
        names = MUTATIONS[chosen.mutation].steps if chosen.mutation else [step.name for step in STEPS]
        steps = [step for step in STEPS if step.name in names]
        print(json.dumps(vars(Lane(chosen.lane, chosen.mutation).run(chosen.kills, steps))))
        return 0
    report = run_lanes(chosen.kills, chosen.lanes, chosen.seed, chosen.mutation)
    for name in dict.fromkeys([*(step.name for step in STEPS), *sorted(report.kills | report.missed)]):
        missed = f", {report.missed[name]} did not come to it" if report.missed[name] else ""
        print(f"{name:<60}{report.kills[name]:>5}{missed}")
    print(
        f"{report.kills.total()} kills of the engine, {report.venue_kills} of the venue, {report.orders} orders, "
        f"{report.fills} fills, {report.settlements} settlements in {report.seconds:.0f} s; "
        f"{len(report.problems)} problems"
    )
    print("faults played: " + ", ".join(f"{name} {count}" for name, count in sorted(report.faults.items())))
    for problem in report.problems:
        print(problem)
    return bool(report.problems)


if __name__ == "__main__":
    sys.exit(main())
