# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the engine against the simulator: ``python -m tests.bench.engine [--seconds N] [--runs N] [--output FILE]``.

A round trip is from the strategy's wish to the broker's answer in the ledger: guards, lease, the intent on the disk,
the simulator, the answer recorded. The yardstick is a bare ib_async client in the same run: the same orders, at the
same rate, of the same simulator, from placeOrder to the answer's event, without guards and ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import json
import os
import shutil
import signal
import statistics
import struct
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from ib_async import IB, MarketOrder, Stock

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "images" / name / "src") for name in ("reference_engine", "gateway_simulator")]

from reference_engine import app  # noqa: E402
from reference_engine.engine import Engine  # noqa: E402
from tests.bench.bench import WORK, BenchError  # noqa: E402
from tests.bench.figure import Figure  # noqa: E402
from tests.engine.books import Record, differences  # noqa: E402
from tests.engine.process import Process, until  # noqa: E402
from tests.engine.support import Place  # noqa: E402
from tests.engine.venue import Venue  # noqa: E402

RATES = (10, 40)
"""Orders a second; IB lets a client send 50 messages."""
STRATEGY = ROOT / "tests" / "bench" / "steady_strategy.py"
_TICKS_PER_SECOND = 100.0
_PATIENCE_SECONDS = 600
_ANSWERED = {"PreSubmitted", "Submitted", "Filled"}


class Stage:
    """A place, a venue, and engines on them, one after the other."""

    def __init__(self) -> None:
        self.place = Place(config="")
        self.place.make_ledger()
        self.venue = Venue(self.place.path, ticks_per_second=_TICKS_PER_SECOND)
        self.place.environment["BALLAST_GATEWAY_PORT"] = str(self.venue.port)
        shutil.copy(STRATEGY, self.place.path / "steady.py")
        self.venue.start()

    def configure(self, per_second: float, *symbols: str, **sections: Any) -> None:
        """Let the next engine order at this rate, without limits."""
        document = {
            "strategy": {"name": "steady:Steady", "parameters": {"per_second": per_second, "symbols": list(symbols)}},
            "risk": dict.fromkeys(("max_open_orders", "max_orders_per_second", "max_orders_per_minute")),
            "trading_hours": {"session": "always"},
            **sections,
        }
        self.place.config.write_text(json.dumps(document), encoding="utf-8")

    def close(self) -> None:
        """Stop the venue and remove the place; ``BenchError`` when ledger and venue differ."""
        found = differences(Record.of(self.venue.witness()), self.place.ledger, settled=True)
        self.venue.kill()
        self.place.close()
        if found:
            raise BenchError("\n".join(["ledger and venue differ after the measurement:", *found]))


def in_child(work: Callable[[], object]) -> Any:
    """Run the work in a forked process, which can replace what it likes, and return its result, a JSON value."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work_and_leave(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as results:
        content = results.read()
    _, status = os.waitpid(pid, 0)
    if status or not content:
        raise BenchError(f"the measured process ended with status {status}")
    return json.loads(content)


def _work_and_leave(work: Callable[[], object], writing: int) -> NoReturn:
    code = 1
    try:
        content = json.dumps(work()).encode()
        with os.fdopen(writing, "wb") as results:
            results.write(content)
        code = 0
    finally:
        os._exit(code)


# --- round trips


def engine_round_trips(stage: Stage, orders: int) -> list[float]:
    """Run a whole engine until so many orders were answered; return the milliseconds of each round trip."""
    started: dict[str, float] = {}
    took: list[float] = []
    submit, on_order = Engine.submit, Engine.on_order

    def timed_submit(engine: Engine, *arguments: Any, **named: Any) -> str | None:
        began = time.perf_counter()
        order_ref = submit(engine, *arguments, **named)
        if order_ref:
            started[order_ref] = began
        return order_ref

    def timed_on_order(engine: Engine, report: Any) -> None:
        on_order(engine, report)
        # In the same turn of the event loop the writes are committed.
        if report.status in _ANSWERED and report.order_ref in started:
            engine._ledger.commit()
            took.append((time.perf_counter() - started.pop(report.order_ref)) * 1000)
            if len(took) == orders:
                os.kill(os.getpid(), signal.SIGTERM)

    setattr(Engine, "submit", timed_submit)  # noqa: B010 for mypy: a method is replaced
    setattr(Engine, "on_order", timed_on_order)  # noqa: B010
    log = os.open(stage.place.path / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    signal.alarm(_PATIENCE_SECONDS)
    if code := app.main(stage.place.environment):
        raise BenchError(f"the engine ended with {code}")
    return took[:orders]


def bare_round_trips(port: int, per_second: float, orders: int) -> list[float]:
    """Send the same orders with ib_async alone."""
    return asyncio.run(_bare_round_trips(port, per_second, orders))


async def _bare_round_trips(port: int, per_second: float, orders: int) -> list[float]:
    ib = IB()
    await ib.connectAsync("127.0.0.1", port, 9)
    contract = Stock("AAPL", "SMART", "USD")
    await ib.qualifyContractsAsync(contract)
    ib.reqMktData(contract)
    started: dict[int, float] = {}
    took: list[float] = []

    def answered(trade: Any) -> None:
        if trade.orderStatus.status in _ANSWERED and trade.order.orderId in started:
            took.append((time.perf_counter() - started.pop(trade.order.orderId)) * 1000)

    ib.orderStatusEvent += answered
    begin = time.monotonic()
    for number in range(orders):
        await asyncio.sleep(max(0.0, begin + number / per_second - time.monotonic()))
        order = MarketOrder("BUY" if number % 2 else "SELL", 1)
        order.orderRef = f"bare:{port}:{number}"
        order.orderId = ib.client.getReqId()
        started[order.orderId] = time.perf_counter()
        ib.placeOrder(contract, order)
    async with asyncio.timeout(10):
        while started:
            await asyncio.sleep(0.05)
    ib.disconnect()
    return took


def percentile(values: list[float], percent: int) -> float:
    """The value that so many percent of the values do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def measure_round_trips(seconds: float) -> list[Figure]:
    """Round trips at every rate, of the engine and of the yardstick."""
    figures = []
    for rate in RATES:
        stage = Stage()
        stage.configure(rate, "AAPL")
        orders = int(rate * seconds)
        took = in_child(functools.partial(engine_round_trips, stage, orders))
        stage.close()
        stage = Stage()
        bare = in_child(functools.partial(bare_round_trips, stage.venue.port, rate, orders))
        stage.venue.kill()
        stage.place.close()
        for percent in (50, 99):
            name = f"order round trip at {rate} orders/s, p{percent}"
            engine, yardstick = percentile(took, percent), percentile(bare, percent)
            figures += [
                Figure(f"{name}, {orders} orders", "ms", [engine]),
                Figure(f"{name}, bare ib_async", "ms", [yardstick]),
                Figure(f"{name}, engine over bare", "x", [engine / yardstick]),
            ]
    return figures


# --- ticks


class Flood:
    """Between engine and venue: passes everything on, and adds ticks as fast as the engine takes them."""

    def __init__(self, venue_port: int) -> None:
        self._venue_port = venue_port
        self.ticks = 0
        self.is_open = False

    async def serve(self) -> asyncio.Server:
        """Listen on a free port."""
        return await asyncio.start_server(self._join, "127.0.0.1", 0)

    async def _join(self, engine_in: asyncio.StreamReader, engine_out: asyncio.StreamWriter) -> None:
        venue_in, venue_out = await asyncio.open_connection("127.0.0.1", self._venue_port)
        request: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def up() -> None:
            while data := await engine_in.read(65536):
                # reqMktData: version 11, then the id that the ticks are to bear.
                if not request.done() and (at := data.find(b"1\x0011\x00")) >= 0:
                    request.set_result(data[at:].split(b"\0", 3)[2])
                venue_out.write(data)
            venue_out.close()

        async def down() -> None:
            while True:
                head = await venue_in.readexactly(4)
                engine_out.write(head + await venue_in.readexactly(struct.unpack(">I", head)[0]))

        async def flood() -> None:
            number = await request
            frames = []
            for cents in range(200):
                body = b"1\0006\000" + number + f"\0001\000{200 + cents / 100:.2f}\000100\0000\000".encode()
                frames.append(struct.pack(">I", len(body)) + body)
            # The engine sees the newest price of those that come together, as any client of the API does.
            while True:
                if not self.is_open:
                    await asyncio.sleep(0.01)
                    continue
                for frame in frames:
                    engine_out.write(frame)
                    self.ticks += 1
                await engine_out.drain()
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(part()) for part in (up, down, flood)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        engine_out.close()


def measure_ticks(seconds: float) -> list[Figure]:
    """Ticks that the engine takes while it trades once a second and says how it is."""
    stage = Stage()
    flood = Flood(stage.venue.port)

    async def run() -> tuple[float, float, list[float]]:
        server = await flood.serve()
        stage.place.environment["BALLAST_GATEWAY_PORT"] = str(server.sockets[0].getsockname()[1])
        stage.configure(1, "AAPL")
        engine = Process(stage.place)
        try:
            await asyncio.to_thread(engine.wait_for, 200, "ready", 30.0)
            flood.is_open = True
            await asyncio.sleep(1)
            health: list[float] = []
            ticks, seen, began = flood.ticks, await asyncio.to_thread(ticks_of, engine), time.monotonic()
            while time.monotonic() - began < seconds:
                asked = time.monotonic()
                code, _ = await asyncio.to_thread(engine.health)
                if code != 200:
                    raise BenchError(f"health is {code} under a flood of ticks: {engine.health()}")
                health.append((time.monotonic() - asked) * 1000)
                await asyncio.sleep(0.5)
            took = time.monotonic() - began
            sent, told = flood.ticks - ticks, await asyncio.to_thread(ticks_of, engine) - seen
            flood.is_open = False
            if (await asyncio.to_thread(engine.end))[0]:
                raise BenchError("the engine did not drain after a flood of ticks")
            return sent / took, told / took, health
        finally:
            engine.kill()
            server.close()

    sent, told, health = asyncio.run(run())
    stage.close()
    return [
        Figure("tick messages taken, one instrument", "/s", [sent]),
        Figure("ticks to the strategy then", "/s", [told]),
        Figure("answer of /health then", "ms", health),
    ]


def ticks_of(engine: Process) -> float:
    """The engine's own count of ticks."""
    return engine.metric("ballast_engine_ticks_total")


# --- coming back


def measure_returns(runs: int) -> list[Figure]:
    """From the moment the link is back, by the venue's record, to the next order that arrives there.

    A new engine each time: one that has lost its gateway often waits longer, so as not to storm it.
    """
    stage = Stage()
    stage.configure(40, "AAPL")
    ready, links, restarts = [], [], []
    for _ in range(runs):
        started = time.monotonic()
        engine = Process(stage.place)
        try:
            engine.wait_for(200, "ready", 30.0)
            ready.append(time.monotonic() - started)
            fault = stage.venue.call("POST", "faults", {"fault": "link", "data": "maintained", "for": 1.0})
            links.append(_next_order_after(stage.venue, functools.partial(_is_end_of, fault["id"])))
            stage.venue.kill()
            engine.wait_for(503, "unreachable", 30.0)
            stage.venue.start()
            restarts.append(_next_order_after(stage.venue, lambda e: bool(e["kind"] == "simulator")))
            if engine.end()[0]:
                raise BenchError("the engine did not drain after its links had come and gone")
        finally:
            engine.kill()
    stage.close()
    return [
        Figure("engine's start to ready", "s", ready),
        Figure("broker link back (1102) to the next order", "s", links),
        Figure("gateway back after a kill to the next order", "s", restarts),
    ]


def _is_end_of(fault: int, entry: dict[str, Any]) -> bool:
    return bool(entry["kind"] == "fault" and entry["id"] == fault and entry["event"] == "ends")


def _next_order_after(venue: Venue, is_it: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> float:
    """Wait for an order that the venue received after the newest such entry, and return the seconds in between."""
    found: list[float] = []

    def has_come() -> bool:
        moments = [entry for entry in venue.witness() if is_it(entry)]
        orders = [
            e for e in venue.witness() if moments and e["kind"] == "order" and e["sequence"] > moments[-1]["sequence"]
        ]
        if orders:
            began, came = (datetime.fromisoformat(entry["time"]) for entry in (moments[-1], orders[0]))
            found.append((came - began).total_seconds())
        return bool(orders)

    until(has_come, "an order after the link came back", seconds)
    return found[-1]


def measure_connects(runs: int) -> list[Figure]:
    """The time that a bare ib_async client takes to connect, all its start-up requests included."""
    stage = Stage()

    async def connect() -> float:
        ib = IB()
        began = time.perf_counter()
        await ib.connectAsync("127.0.0.1", stage.venue.port, 9)
        took = (time.perf_counter() - began) * 1000
        ib.disconnect()
        return took

    took = [in_child(lambda: asyncio.run(connect())) for _ in range(runs)]
    stage.venue.kill()
    stage.place.close()
    return [Figure("connect, bare ib_async", "ms", took)]


def main() -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="engine", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement of a rate (default: 30)")
    parser.add_argument("--runs", type=int, default=5, help="of each other measurement (default: 5)")
    parser.add_argument("--output", type=Path, default=WORK / "engine.json", help="default: .cache/bench/engine.json")
    chosen = parser.parse_args()
    figures: list[Figure] = []
    parts: tuple[Callable[[], list[Figure]], ...] = (
        lambda: measure_connects(chosen.runs),
        lambda: measure_round_trips(chosen.seconds),
        lambda: measure_ticks(chosen.seconds / 3),
        lambda: measure_returns(chosen.runs),
    )
    try:
        for part in parts:
            for figure in part():
                print(figure.line(), flush=True)
                figures.append(figure)
    except (BenchError, AssertionError) as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps([dataclasses.asdict(figure) for figure in figures], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
