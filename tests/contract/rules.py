# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of docs/engine-contract.md, and the stories that show whether an engine keeps them.

A story is a life on one stage; it shows several rules, for starting an engine for each would take its time. What a rule
says of orders is judged by the venue's witness. A rule that no story came to is not shown.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import signal
import socket
import sqlite3
import stat
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from reference_engine.lease import raise_token, read_token
from tests.engine.books import Record, differences
from tests.engine.support import ACCOUNT

from .stage import (
    CLIENT_ID,
    FLATTEN_CLIENT_ID,
    STANDBY_CLIENT_ID,
    Answer,
    ContainerStage,
    Engine,
    Stage,
    WaitedInVainError,
    until,
)

Verdict = Literal["kept", "broken", "not shown"]

RULES: Final[Mapping[str, str]] = {
    "health-early": "GET /health answers within 10 s of the start, and 200 with role trading within 60 s",
    "health-document": "the health document has every field of the contract, in its type",
    "metrics": "GET /metrics has every metric of the contract, in the Prometheus text format",
    "socket": "the socket has mode 0660; a file left over in its place is replaced",
    "lease-lock": "who trades holds flock on <lease>/lock and the newest token in <lease>/token",
    "lease-exclusive": "a second engine exits 69, names the holder and sends nothing",
    "order-ref": "every order at the venue is the trading client's, with an orderRef of its own that the ledger has",
    "intent-first": "no order leaves while its intent cannot be committed; when it can again, trading goes on",
    "halt": "an account halted in trading_state gets no order until the halt is lifted; health warns meanwhile",
    "gateway-away": "a gateway that is away is told from the engine's own faults, and trading goes on when it is back",
    "client-id": "where another client has the trading client id, no other id is taken instead",
    "account": "an account that the gateway does not serve gets no order; health fails and says why",
    "kill": "killed by SIGKILL and started again, it loses no fill and sends no order twice",
    "drain": "SIGTERM: no new order, none left working, socket removed, lock free, exit 0 within 30 s",
    "exit-configuration": "a wrong configuration exits 64 and is told on standard error; nothing was touched",
    "exit-ledger": "a missing ledger exits 65, is told on standard error, and is not made",
    "standby": "a standby is healthy, holds no lease, writes no ledger and sends nothing, over its own client id",
    "promote-held": "POST /lease/promote while another holds the lease answers 409, names it, and leaves a standby",
    "demote": "POST /lease/demote answers 200 when the session with the trading client id is closed and the lock free",
    "promote": "POST /lease/promote answers 200 when the engine trades, under a higher token",
    "lease-calls-again": "promote on a trading engine and demote on a standby answer 200 and change nothing",
    "never-two": "the venue saw never two traders and no orderRef twice, over all hand-overs",
    "promote-fails": "a promotion that fails answers 503 in its time-out and leaves a standby without the lease",
    "fenced": "a higher token in <lease>/token stops trading at once: not even a cancel, exit 77",
    "flatten-call": "POST /flatten halts, cancels every order, closes every position, and answers 200 when it is flat",
    "flatten-command": "the flatten command does so without an engine, exits 0, and notes it in emergency_stops",
    "resume-command": "the resume command lifts the halt, says so in events, and trading goes on",
    "no-port": "no port is listened on",
    "read-only": "the root file system is read-only and nothing of the engine's fails for it",
    "logs": "standard output is one line for each event, beginning with its time in UTC",
    "no-secret": "nothing secret in the environment is in logs, health or metrics",
}

_SECRET = "canary-5e2d9b"  # noqa: S105 made up, to be looked for
_HEALTH_FIELDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "status": str,
    "releaseId": str,
    "stack": str,
    "slot": str,
    "account": str,
    "strategy": str,
    "role": str,
    "gateway.state": str,
    "gateway.server_version": int,
    "gateway.accounts": list,
    "gateway.connected_at": str,
    "data.last_tick_age_seconds": (int, float, type(None)),
    "orders.open": int,
    "positions": dict,
    "ledger.schema_version": int,
    "ledger.rows": dict,
    "last_reconciliation": str,
    "lease.held": bool,
    "lease.token": int,
    "lease.owner": str,
    "checks": dict,
}
_METRICS: Final = (
    "ballast_engine_info",
    "ballast_engine_health",
    "ballast_engine_role",
    "ballast_engine_gateway_state",
    "ballast_engine_gateway_sessions_total",
    "ballast_engine_ticks_total",
    "ballast_engine_last_tick_age_seconds",
    "ballast_engine_orders_sent_total",
    "ballast_engine_executions_total",
    "ballast_engine_orders_open",
    "ballast_engine_order_acknowledgement_seconds_count",
    "ballast_engine_order_acknowledgement_seconds_sum",
    "ballast_engine_reconciliations_total",
    "ballast_engine_last_reconciliation_timestamp_seconds",
    "ballast_engine_ledger_rows",
    "ballast_engine_lease_held",
    "ballast_engine_lease_token",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_start_time_seconds",
)
_SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(\{(?:\w+="(?:[^"\\]|\\.)*",?)*\})? (\S+)')


class BrokenError(AssertionError):
    """The rule was broken; the text says what was seen."""


class NotShownError(Exception):
    """The rule could not be shown here; the text says why."""


class _OverError(Exception):
    """The story cannot go on after this."""


@dataclass
class Verdicts:
    """What was found of each rule: the verdict, and what was seen.

    ``told``, if any, hears of each as it is found. A story is over when it has come to rule ``last``.
    """

    told: Callable[[str, Verdict, str], None] | None = None
    last: str = ""
    found: dict[str, tuple[Verdict, str]] = field(default_factory=dict)

    @contextlib.contextmanager
    def rule(self, name: str, *, vital: bool = False) -> Iterator[list[str]]:
        """Judge a rule by what happens inside; what was seen is appended to the list. ``vital``: else it is over."""
        seen: list[str] = []
        try:
            yield seen
        except NotShownError as error:
            self._note(name, "not shown", str(error))
        except (AssertionError, sqlite3.Error, OSError, KeyError, ValueError) as error:
            text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            self._note(name, "broken", " ".join(text.split()))
            if vital:
                raise _OverError from error
        else:
            self._note(name, "kept", "; ".join(seen))
        if name == self.last:
            raise _OverError

    def _note(self, name: str, verdict: Verdict, seen: str) -> None:
        if self.found.get(name, ("kept", ""))[0] == "kept":  # a rule that was broken once is broken
            self.found[name] = (verdict, seen)
        if self.told:
            self.told(name, verdict, seen)

    def of(self, name: str) -> tuple[Verdict, str]:
        """Return verdict and what was seen."""
        return self.found.get(name, ("not shown", "no story came to it"))


def judge(make_stage: Callable[[], Stage], verdicts: Verdicts, only: tuple[str, ...] = ()) -> Verdicts:
    """Play the stories, each on a stage of its own; ``only`` those by name."""
    for story in STORIES:
        if only and story.__name__ not in only:
            continue
        with contextlib.suppress(_OverError), make_stage() as stage:
            story(stage, verdicts)
    return verdicts


def _wanted(condition: object, seen: str) -> None:
    if not condition:
        raise BrokenError(f"saw {seen}")


def _trading(stage: Stage, slot: str = "blue", **environment: str) -> Engine:
    engine = stage.start(slot, **environment)
    try:
        engine.wait_for(200, "trading", 60.0)
    except WaitedInVainError as error:
        raise _OverError from error
    return engine


def _orders(stage: Stage, more: int = 1) -> None:
    try:
        stage.wait_for_orders(more)
    except WaitedInVainError as error:
        raise NotShownError(f"it sends no orders: {error}; give it a configuration that trades at once") from error


# -- a life


def life(stage: Stage, verdicts: Verdicts) -> None:
    """One engine, from the start to the drain."""
    leftover = stage.socket_dir / "blue.sock"
    leftover.touch()
    started = time.monotonic()
    engine = stage.start("blue", BALLAST_TEST_PASSWORD=_SECRET)
    with verdicts.rule("health-early", vital=True) as seen:
        until(lambda: engine.health().status != 0, "an answer", 10.0, engine.health)
        seen.append(f"answered after {time.monotonic() - started:.1f} s")
        engine.wait_for(200, "trading", 60.0)
        seen.append(f"trading after {time.monotonic() - started:.1f} s")
    with verdicts.rule("health-document") as seen:
        answer = engine.health()
        _wanted(answer.content_type == "application/health+json", f"content type {answer.content_type!r}")
        wrong = [
            f"{name} {_field(answer.document, name)!r}"
            for name, kind in _HEALTH_FIELDS.items()
            if not isinstance(_field(answer.document, name), kind)
        ]
        _wanted(not wrong, ", ".join(wrong))
        _wanted(answer.document["status"] == "pass", f"status {answer.document['status']}")
        _wanted(answer.document["gateway"]["accounts"] == [ACCOUNT], f"accounts {answer.document['gateway']}")
        seen.append(f"{len(_HEALTH_FIELDS)} fields")
    with verdicts.rule("metrics") as seen:
        answer = engine.ask("GET", "/metrics")
        _wanted((answer.status, answer.content_type) == (200, "text/plain"), f"{answer.status} {answer.content_type}")
        lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
        malformed = [line for line in lines if not _SAMPLE.fullmatch(line)]
        _wanted(not malformed, f"lines that are no samples: {malformed[:3]}")
        missing = set(_METRICS) - {line.partition("{")[0].partition(" ")[0] for line in lines}
        _wanted(not missing, f"no {', '.join(sorted(missing))}")
        seen.append(f"{len(lines)} samples")
    with verdicts.rule("socket") as seen:
        mode = engine.socket.stat().st_mode
        _wanted(stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660, stat.filemode(mode))
        seen.append(stat.filemode(mode))
    with verdicts.rule("lease-lock") as seen:
        _wanted(not _lock_is_free(stage), "a lock that is free while it trades")
        token = read_token(stage.lease_dir)
        _wanted(token is not None and token.owner == "blue", f"token {token}")
        seen.append(str(token))
    with verdicts.rule("lease-exclusive") as seen:
        second = stage.start("green")
        code = second.wait(30.0)
        _wanted(code == 69 and "blue" in second.output(), f"exit {code}: {second.output()[-300:]}")
        _wanted(stage.connections(CLIENT_ID) == 1, f"{stage.connections(CLIENT_ID)} sessions of the trading client id")
        seen.append(second.output().strip().splitlines()[-1])
    with verdicts.rule("order-ref") as seen:
        _orders(stage, 3)
        _judge_order_refs(stage)
        seen.append(f"{len(stage.orders())} orders")
    with verdicts.rule("intent-first") as seen:
        seen.append(_judge_intent_first(stage))
    with verdicts.rule("halt") as seen:
        seen.append(_judge_halt(stage, engine))
    with verdicts.rule("gateway-away") as seen:
        stage.venue.kill()
        document = engine.wait_for(503, "trading")
        state = document["gateway"]["state"]
        _wanted(state in ("unreachable", "no_handshake"), f"gateway.state {state}")
        stage.venue.start()
        engine.wait_for(200, "trading", 90.0)
        _orders(stage)
        seen.append(f"{state}, then trading again")
    told = engine.health().text + engine.ask("GET", "/metrics").text
    with verdicts.rule("drain") as seen:
        started = time.monotonic()
        code = engine.stop()
        seconds = time.monotonic() - started
        orders = len(stage.orders())
        _wanted(code == 0, f"exit {code}")
        _wanted(not engine.socket.exists(), "the socket left behind")
        _wanted(_lock_is_free(stage), "a lock that is still held")
        _wanted(_working(stage) == 0, f"{_working(stage)} orders that still work")
        _wanted(stage.connections(CLIENT_ID) == 0, "a session that is still open")
        books = differences(Record.of(stage.venue.witness()), stage.ledger, settled=True)
        _wanted(not books, "; ".join(books))
        seen.append(f"exit 0 after {seconds:.1f} s, {orders} orders, ledger and venue agree")
    with verdicts.rule("logs") as seen:
        lines = engine.output().splitlines()
        timed = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z \w+ \w+")
        other = [line for line in lines if not timed.match(line)]
        _wanted(lines and not other, f"{other[:2] or 'no line'}")
        seen.append(f"{len(lines)} lines")
    with verdicts.rule("no-secret") as seen:
        _wanted(_SECRET not in engine.output(), "the canary in the log")
        _wanted(_SECRET not in told, "the canary in health or metrics")
        seen.append("the canary is nowhere")


def _field(document: Mapping[str, Any], name: str) -> object:
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _lock_is_free(stage: Stage) -> bool:
    path = stage.lease_dir / "lock"
    if not path.exists():
        return True
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _working(stage: Stage) -> int:
    entries = stage.venue.witness()
    placed = {(e["client_id"], e["order_id"]) for e in entries if e["kind"] == "order"}
    return len(placed - {(e["client_id"], e["order_id"]) for e in entries if e["kind"] == "order_end"})


def _judge_order_refs(stage: Stage) -> None:
    orders = stage.orders()
    known = {order_ref for (order_ref,) in stage.query("SELECT order_ref FROM orders")}
    twice = [order_ref for order_ref, times in Counter(order["order_ref"] for order in orders).items() if times > 1]
    _wanted(not twice, f"orderRef {twice[:3]} more than once")
    unknown = [order["order_ref"] for order in orders if order["order_ref"] not in known]
    _wanted(not unknown, f"orderRef {unknown[:3]} at the venue and not in the ledger")
    clients = {order["client_id"] for order in orders}
    _wanted(clients == {CLIENT_ID}, f"orders of clients {clients}")


def _judge_intent_first(stage: Stage) -> str:
    """Hold the ledger's write lock for a while in which the engine would send orders."""
    connection = sqlite3.connect(stage.ledger, timeout=10, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        committed = {order_ref for (order_ref,) in connection.execute("SELECT order_ref FROM orders")}
        # As long as several orders took before, and longer than an engine may wait for the lock.
        deadline = time.monotonic() + 3.0
        while time.monotonic() < deadline:
            sent = {order["order_ref"] for order in stage.orders()}
            _wanted(sent <= committed, f"order {min(sent - committed, default='')} at the venue without an intent")
            time.sleep(0.05)
    finally:
        connection.close()
    _orders(stage)
    return "none left in 3 s without the ledger, then they did again"


def _judge_halt(stage: Stage, engine: Engine) -> str:
    until(lambda: engine.health().status == 200, "health after the ledger was held", 30.0)
    with contextlib.closing(sqlite3.connect(stage.ledger, timeout=10)) as connection, connection:
        connection.execute("UPDATE trading_state SET state = 'halted', reason = 'drill', changed_by = 'contract'")
        # In this transaction no intent can be committed: what is there now may leave, and nothing else.
        committed = {order_ref for (order_ref,) in connection.execute("SELECT order_ref FROM orders")}

    def warns() -> bool:
        sent = {order["order_ref"] for order in stage.orders()}
        _wanted(sent <= committed, f"order {min(sent - committed, default='')} sent during the halt")
        return engine.health().document.get("status") == "warn"

    until(warns, "health to warn", 10.0, engine.health)
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        _wanted(warns(), "health that no longer warns")
        time.sleep(0.05)
    (state,) = stage.query("SELECT state FROM trading_state")[0]
    _wanted(state == "halted", f"state {state}: the engine has lifted the halt")
    stage.execute("UPDATE trading_state SET state = 'stopped' WHERE state = 'halted'")
    _orders(stage)
    return "warned and sent nothing for 2 s, then went on"


# -- refusals and ends


def refusals(stage: Stage, verdicts: Verdicts) -> None:
    """Engines that must not trade."""
    with verdicts.rule("exit-configuration") as seen:
        engine = stage.start("blue", BALLAST_CLIENT_ID="none")
        code = engine.wait(60.0)
        _wanted(code == 64 and "BALLAST_CLIENT_ID" in engine.output(), f"exit {code}: {engine.output()[-300:]}")
        _wanted(not list(stage.lease_dir.iterdir()), "a lease that was taken")
        seen.append(engine.output().strip().splitlines()[0])
    with verdicts.rule("exit-ledger") as seen:
        name = "trades.db"
        variables = stage.environment("blue", "", {"ledger": "", "lease": "", "run": ""}, "", 1)
        _wanted(variables["BALLAST_LEDGER"].endswith(name), "another ledger's name")
        stage.ledger.rename(stage.path / name)
        engine = stage.start("blue")
        code = engine.wait(60.0)
        made = stage.ledger.exists()
        (stage.path / name).rename(stage.ledger)
        _wanted(code == 65 and "ledger" in engine.output(), f"exit {code}: {engine.output()[-300:]}")
        _wanted(not made, "a ledger that it made itself")
        seen.append(engine.output().strip().splitlines()[-1])
    with verdicts.rule("account") as seen:
        engine = stage.start("blue", BALLAST_ACCOUNT="DU7654321")
        until(lambda: engine.health().status == 503 and "DU7654321" in engine.health().text, "health to say so", 30.0)
        until(lambda: bool(engine.health().document["gateway"]["accounts"]), "a session", 30.0)
        _wanted(stage.orders() == [], "an order")
        seen.append(str(engine.health().document.get("output"))[:120])
        engine.remove()
    with verdicts.rule("client-id") as seen, _client_in_the_way(stage):
        engine = stage.start("blue")
        document = {}

        def refused() -> bool:
            document.update(engine.health().document)
            return bool(document) and document["gateway"]["state"] == "client_id_in_use"

        until(refused, "gateway.state client_id_in_use", 30.0, engine.health)
        started = {entry["client_id"] for entry in stage.sessions()}
        _wanted(started == {CLIENT_ID}, f"sessions of clients {started}")
        _wanted(stage.orders() == [], "an order")
        seen.append("client_id_in_use, and no other id was taken")


@contextlib.contextmanager
def _client_in_the_way(stage: Stage) -> Iterator[None]:
    """Hold the trading client id with a session of somebody else's (IB API: handshake, then startApi)."""
    until(lambda: stage.connections(CLIENT_ID) == 0, "the trading client id to be free")
    with socket.create_connection((stage.venue.host, stage.venue.port), timeout=10) as client:
        versions = b"v157..178"
        client.sendall(b"API\0" + struct.pack(">I", len(versions)) + versions)
        client.recv(100)
        start = f"71\0002\000{CLIENT_ID}\000\0".encode()
        client.sendall(struct.pack(">I", len(start)) + start)
        until(lambda: stage.connections(CLIENT_ID) == 1, "the other client's session")
        yield


def kill(stage: Stage, verdicts: Verdicts) -> None:
    """Killed in the middle of its work, several times."""
    with verdicts.rule("kill") as seen:
        kills = 3
        for _ in range(kills):
            engine = _trading(stage)
            _orders(stage, 2)
            engine.signal(signal.SIGKILL)
            engine.wait(30.0)
        engine = _trading(stage)
        _orders(stage)
        engine.stop()
        books = differences(Record.of(stage.venue.witness()), stage.ledger, settled=True)
        _wanted(not books, "; ".join(books))
        seen.append(f"{kills} kills, {len(stage.orders())} orders, ledger and venue agree")


# -- the lease


def hand_over(stage: Stage, verdicts: Verdicts) -> None:
    """The lease goes from one slot to the other and back."""
    green = stage.start("green", "standby")
    with verdicts.rule("standby", vital=True) as seen:
        before = stage.ledger.read_bytes()
        document = green.wait_for(200, "standby", 60.0)
        _wanted(document["lease"]["held"] is False, f"lease {document['lease']}")
        _wanted(_lock_is_free(stage), "a lock that is held")
        _wanted(stage.ledger.read_bytes() == before, "a ledger that was written")
        clients = {session["client_id"] for session in stage.sessions()}
        _wanted(clients == {STANDBY_CLIENT_ID}, f"sessions of clients {clients}")
    blue = _trading(stage)
    with verdicts.rule("promote-held") as seen:
        answer = _promote(green, 10.0)
        _wanted(answer.status == 409 and "blue" in answer.text, f"{answer.status} {answer.text}")
        green.wait_for(200, "standby")
        seen.append(str(answer.document.get("reason"))[:100])
    gaps = []
    for old, new in ((blue, green), (green, blue), (blue, green)):
        _orders(stage)
        with verdicts.rule("demote") as seen:
            answer = old.ask("POST", "/lease/demote", {"timeout": 15}, timeout=30)
            _wanted(answer.status == 200 and answer.document.get("role") == "standby", f"{answer.status} {answer.text}")
            _wanted(stage.connections(CLIENT_ID) == 0, "a session of the trading client id that is open")
            _wanted(_lock_is_free(stage), "a lock that is held")
            seen.append(f"{answer.document['milliseconds']} ms")
        with verdicts.rule("promote", vital=True) as seen:
            token = read_token(stage.lease_dir)
            answer = _promote(new, 30.0)
            _wanted(answer.status == 200 and answer.document.get("role") == "trading", f"{answer.status} {answer.text}")
            higher = read_token(stage.lease_dir)
            _wanted(token and higher and higher.token > token.token and higher.owner == new.slot, f"token {higher}")
            gaps.append(answer.document["milliseconds"])
            seen.append(f"{gaps[-1]} ms")
    _orders(stage)
    with verdicts.rule("lease-calls-again") as seen:
        sessions = len(stage.sessions())
        again = _promote(green, 10.0)
        other = blue.ask("POST", "/lease/demote", {"timeout": 10})
        _wanted((again.status, again.document.get("role")) == (200, "trading"), f"{again.status} {again.text}")
        _wanted((other.status, other.document.get("role")) == (200, "standby"), f"{other.status} {other.text}")
        blue.wait_for(200, "standby")
        new_traders = [s for s in stage.sessions()[sessions:] if s["client_id"] == CLIENT_ID]
        _wanted(not new_traders, f"new sessions {new_traders}")
    with verdicts.rule("never-two") as seen:
        for engine in (blue, green):
            _wanted(_is_sent_by_trader_only(stage), "an order of another client")
            engine.stop()
        summary = stage.venue.call("GET", "witness/summary")
        _wanted(summary["overlaps"] == [], f"overlaps {summary['overlaps']}")
        _wanted(summary["repeated_order_refs"] == {}, f"orderRefs twice: {summary['repeated_order_refs']}")
        books = differences(Record.of(stage.venue.witness()), stage.ledger, settled=True)
        _wanted(not books, "; ".join(books))
        seconds = [round(gap["seconds"], 3) for gap in summary["gaps"]]
        seen.append(f"{len(seconds)} hand-overs, last order to first order {seconds} s, ledger and venue agree")


def _is_sent_by_trader_only(stage: Stage) -> bool:
    return {order["client_id"] for order in stage.orders()} <= {CLIENT_ID}


def _promote(engine: Engine, timeout: float) -> Answer:
    return engine.ask("POST", "/lease/promote", {"timeout": timeout}, timeout=timeout + 15)


def lost_lease(stage: Stage, verdicts: Verdicts) -> None:
    """A promotion that cannot succeed, and an engine that is fenced out in its sleep."""
    engine = stage.start("blue", "standby")
    with verdicts.rule("promote-fails") as seen:
        engine.wait_for(200, "standby", 60.0)
        with _client_in_the_way(stage):
            answer = _promote(engine, 2.0)
            _wanted(answer.status == 503, f"{answer.status} {answer.text}")
            _wanted(answer.document.get("role") == "standby", f"{answer.text}")
            _wanted(_lock_is_free(stage), "a lock that is held")
        engine.wait_for(200, "standby", 60.0)
        seen.append(str(answer.document.get("reason"))[:100])
    answer = _promote(engine, 30.0)
    if answer.status != 200:
        raise _OverError
    with verdicts.rule("fenced") as seen:
        _orders(stage)
        engine.signal(signal.SIGSTOP)
        raise_token(stage.lease_dir, "contract", "fenced out to see it stop")
        began = stage.venue.call("GET", "state")["now"]
        until(lambda: stage.venue.call("GET", "state")["now"][:19] > began[:19], "ticks that wait for it")
        before = len(stage.venue.witness())
        engine.signal(signal.SIGCONT)

        def ended() -> bool:
            sent = [e for e in stage.venue.witness()[before:] if e["kind"] in ("order", "cancel")]
            _wanted(not sent, f"{len(sent)} orders or cancels after it was fenced out")
            return engine.exit_code() is not None

        until(ended, "its end", 30.0)
        _wanted(engine.exit_code() == 77, f"exit {engine.exit_code()}")
        seen.append("nothing more was sent, exit 77")


# -- the emergency stop


def emergency(stage: Stage, verdicts: Verdicts) -> None:
    """Everything ends, with the engine and without it."""
    engine = _trading(stage)
    with verdicts.rule("flatten-call") as seen:
        until(lambda: bool(stage.positions()), "a position", 60.0)
        answer = engine.ask("POST", "/flatten", {"reason": "contract", "requested_by": "suite"}, timeout=90)
        _wanted(answer.status == 200 and answer.document.get("flat") is True, f"{answer.status} {answer.text}")
        seen.append(_judge_flat(stage))
    with verdicts.rule("resume-command") as seen:
        ended = stage.run("resume", "--reason", "contract", "--requested-by", "suite")
        _wanted(ended.code == 0, f"exit {ended.code}: {ended.errors[-300:]}")
        until(lambda: engine.health().document.get("status") == "pass", "health to pass", 30.0, engine.health)
        _orders(stage)
        _wanted(stage.query("SELECT count(*) FROM events WHERE kind = 'trading_resumed'") == [(1,)], "no event of it")
        seen.append(ended.output.strip()[:100])
    with verdicts.rule("flatten-command") as seen:
        until(lambda: bool(stage.positions()), "a position", 60.0)
        engine.signal(signal.SIGKILL)
        engine.wait(30.0)
        ended = stage.run("flatten", "--reason", "contract", "--requested-by", "suite", timeout=120.0)
        _wanted(ended.code == 0, f"exit {ended.code}: {ended.output[-300:]} {ended.errors[-300:]}")
        seen.append(_judge_flat(stage))
        stops = stage.query("SELECT requested_by, status FROM emergency_stops")
        _wanted(set(stops) == {("suite", "completed")}, f"emergency_stops {stops}")


def _judge_flat(stage: Stage) -> str:
    _wanted(_working(stage) == 0, f"{_working(stage)} orders that work")
    _wanted(stage.positions() == {}, f"positions {stage.positions()}")
    (state,) = stage.query("SELECT state FROM trading_state")[0]
    _wanted(state == "halted", f"trading_state {state}")
    closing = [order for order in stage.orders() if order["client_id"] == FLATTEN_CLIENT_ID]
    return f"flat and halted, {len(closing)} closing orders"


# -- the container


def container(stage: Stage, verdicts: Verdicts) -> None:
    """What only a container can show."""
    if not isinstance(stage, ContainerStage):
        for name in ("no-port", "read-only"):
            with verdicts.rule(name):
                raise NotShownError("it was not run in a container")
        return
    engine = _trading(stage)
    with verdicts.rule("no-port") as seen:
        listening = stage.listening(engine)
        _wanted(not listening, f"ports {listening}")
        exposed = stage.exposed()
        _wanted(not exposed, f"EXPOSE {exposed} in the image")
        seen.append("none")
    with verdicts.rule("read-only") as seen:
        written = stage.try_to_write(engine)
        _wanted(not written, f"{written} can be written")
        errors = [line for line in engine.output().splitlines() if "Read-only file system" in line]
        _wanted(not errors, f"{errors[0] if errors else ''}")
        seen.append("it trades on a read-only root")


STORIES: Final[tuple[Callable[[Stage, Verdicts], None], ...]] = (
    life,
    refusals,
    kill,
    hand_over,
    lost_lease,
    emergency,
    container,
)
