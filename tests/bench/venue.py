# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the gateway simulator on one core: ``python -m tests.bench.venue [--runs N]``.

The simulator has a core for itself and a state file; the load comes from another core, over the loopback interface.
Rates are per second that its process was at work. Machines differ, so an echo server of the same event loop, which
answers every frame with itself, is measured in the same run, as a yardstick.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "images/gateway_simulator/src"))

from gateway_simulator.wire import GREETING, Value, frame  # noqa: E402
from tests.bench.dialects import ORDER_178  # noqa: E402
from tests.bench.figure import Figure  # noqa: E402
from tests.simulator.witness import Venue, venue  # noqa: E402

REQUESTS = 20_000
ORDERS = 3_000
ROUND_TRIPS = 500
CLIENTS = 50
CROWD_SECONDS = 3.0
PATIENCE_SECONDS = 60.0

CURRENT_TIME = frame(49, 1)
ALL_OPEN_ORDERS = frame(16, 1)
CANCEL_ALL = frame(58, 1)
# A request whose answer tells that all before it is done: for the accounts.
LAST = frame(17, 1)
TICKS_OF_AAPL = frame(1, 11, 7, 265598, "AAPL", "STK", "", "0", "", "", "SMART", "", "USD", "", "", 0, "", 0, 0, "")


class Echo(asyncio.Protocol):
    """Answers every frame with itself."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP connection has no other
        self._transport = transport
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        self._buffer += data
        start = 0
        while len(self._buffer) >= start + 4:
            end = start + 4 + int.from_bytes(self._buffer[start : start + 4], "big")
            if len(self._buffer) < end:
                break
            self._transport.write(bytes(self._buffer[start:end]))
            start = end
        del self._buffer[:start]


async def echo() -> None:
    """Run an echo server and print its port."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Client:
    """A connection that reads whole frames and looks at no more of them than it must."""

    def __init__(self, port: int, client_id: int | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(PATIENCE_SECONDS)
        self._buffer = bytearray()
        self.next_id = 1
        if client_id is not None:
            versions = b"v157..178"
            self.socket.sendall(GREETING + struct.pack(">I", len(versions)) + versions)
            next(self.bodies())
            self.socket.sendall(frame(71, 2, client_id, ""))
            ready = next(body for body in self.bodies() if body.startswith(b"9\0"))
            self.next_id = int(ready.split(b"\0")[2])

    def read(self) -> list[bytes]:
        """Wait for bytes; return the bodies that are whole."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the simulator closed the connection")
        self._buffer += data
        found, start = [], 0
        while len(self._buffer) >= start + 4:
            end = start + 4 + int.from_bytes(self._buffer[start : start + 4], "big")
            if len(self._buffer) < end:
                break
            found.append(bytes(self._buffer[start + 4 : end]))
            start = end
        del self._buffer[:start]
        return found

    def bodies(self) -> Iterator[bytes]:
        """Give every message that comes."""
        while True:
            yield from self.read()

    def count(self, wanted: int, kind: bytes = b"") -> int:
        """Read until ``wanted`` messages of a kind have come; return how many came in all."""
        total = 0
        while wanted > 0:
            bodies = self.read()
            total += len(bodies)
            wanted -= sum(1 for body in bodies if body.startswith(kind))
        return total

    def order(self, action: str, order_type: str = "MKT", price: Value = "") -> bytes:
        """Return a message that places the next order, of one share."""
        fields = [self.next_id, *ORDER_178[1:]]
        fields[15:19] = [action, 1, order_type, price]
        self.next_id += 1
        return frame(3, *fields, *[""] * 80)

    def is_filled(self, body: bytes) -> bool:
        """Tell whether a message says that the latest order is filled."""
        return body.startswith(b"3\0%d\0Filled\0" % (self.next_id - 1))


class Server:
    """A server with the first core for itself. Rates are per second that it was at work, whatever else the core did."""

    def __init__(self, port: int, process: int) -> None:
        self.port = port
        self._process = process

    def busy_seconds(self) -> float:
        """Return for how long its main thread has been at work. Source: proc(5), schedstat."""
        return int(Path(f"/proc/{self._process}/schedstat").read_text().split()[0]) / 1e9

    def rate(self, client: Client, request: bytes, end: bytes, count: int = 0) -> float:
        """Send all at once, read up to an answer of kind ``end``; return what was read, or ``count``, per second."""
        began = self.busy_seconds()
        client.socket.sendall(request)
        answers = client.count(1, end)
        return (count or answers) / (self.busy_seconds() - began)


def resting_orders(client: Client) -> bytes:
    """Messages that place orders which are not filled."""
    return b"".join(client.order("BUY", "LMT", 1) for _ in range(ORDERS))


def round_trips(client: Client, count: int) -> list[float]:
    """Milliseconds from a market order to its fill, one order after the other."""
    durations = []
    for number in range(count):
        began = time.perf_counter()
        client.socket.sendall(client.order(("BUY", "SELL")[number % 2]))
        next(body for body in client.bodies() if client.is_filled(body))
        durations.append((time.perf_counter() - began) * 1000)
    return durations


def measure_crowd(server: Server) -> tuple[float, float, float]:
    """Fills and messages per second of all clients together, and the 99th percentile of milliseconds to a fill."""
    clients = [Client(server.port, 100 + number) for number in range(CLIENTS)]
    by_socket = {client.socket.fileno(): client for client in clients}
    poll = select.epoll()
    began = dict.fromkeys(by_socket, 0.0)
    trips: list[float] = []
    messages = 0
    for descriptor, client in by_socket.items():
        poll.register(descriptor, select.EPOLLIN)
        client.socket.sendall(TICKS_OF_AAPL)
        began[descriptor] = time.perf_counter()
        client.socket.sendall(client.order("BUY"))
    start, busy = time.perf_counter(), server.busy_seconds()
    while (now := time.perf_counter()) - start < CROWD_SECONDS:
        for descriptor, _ in poll.poll(1):
            client = by_socket[descriptor]
            bodies = client.read()
            messages += len(bodies)
            if any(client.is_filled(body) for body in bodies):
                now = time.perf_counter()
                trips.append((now - began[descriptor]) * 1000)
                began[descriptor] = now
                client.socket.sendall(client.order("SELL" if client.next_id % 2 else "BUY"))
    busy = server.busy_seconds() - busy
    poll.close()
    for client in clients:
        client.socket.close()
    return len(trips) / busy, messages / busy, percentile(trips, 99)


def percentile(values: list[float], percent: int) -> float:
    """Return a percentile."""
    return statistics.quantiles(values, n=100)[percent - 1]


@contextmanager
def one_core(runs: Venue | None = None) -> Iterator[Server]:
    """Keep this process off the first core, and the simulator or an echo server on it."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[1:]) or set(cores))
    server = None
    try:
        if runs is not None:
            os.sched_setaffinity(runs.process.pid, {cores[0]})
            yield Server(runs.port, runs.process.pid)
        else:
            command = [sys.executable, "-m", "tests.bench.venue", "--echo"]
            server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            os.sched_setaffinity(server.pid, {cores[0]})
            assert server.stdout is not None  # noqa: S101 - it is a pipe
            yield Server(int(server.stdout.readline()), server.pid)
    finally:
        os.sched_setaffinity(0, cores)
        if server is not None:
            server.kill()
            server.communicate()


def measure_venue(runs: int) -> list[Figure]:
    """The simulator, and the yardstick."""
    values: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, value in measure_once().items():
            values.setdefault(name, []).append(value)
    figures = []
    for name, measured in values.items():
        what, _, unit = name.partition("|")
        figures.append(Figure(what, unit, measured))
    return figures


def measure_once() -> dict[str, float]:
    """One run: name|unit -> value."""
    measured: dict[str, float] = {}
    requests = CURRENT_TIME * (REQUESTS - 1) + LAST
    with one_core() as server:
        echoed = server.rate(Client(server.port), requests, LAST[4:])
        measured["echo server, the yardstick|/s"] = echoed
    with TemporaryDirectory() as directory:
        variables = {"SIMULATOR_STATE": str(Path(directory) / "state.json"), "SIMULATOR_MESSAGES_PER_SECOND": "0"}
        with venue(**variables) as running, one_core(running) as server:
            client = Client(server.port, 1)
            answered = server.rate(client, requests, b"15\0")
            measured["requests answered, one client|/s"] = answered
            measured["requests answered, part of the yardstick|x"] = answered / echoed
            placed = server.rate(client, resting_orders(client) + LAST, b"15\0", ORDERS)
            measured["orders placed and acknowledged, one client|/s"] = placed
            measured["messages sent, one client|/s"] = server.rate(client, ALL_OPEN_ORDERS, b"53\0")
            client.socket.sendall(CANCEL_ALL + LAST)
            client.count(1, b"15\0")
            began = server.busy_seconds()
            trips = round_trips(client, ROUND_TRIPS)
            measured["market orders filled one by one, one client|/s"] = ROUND_TRIPS / (server.busy_seconds() - began)
            measured["market order to fill, one client, median|ms"] = statistics.median(trips)
            measured["market order to fill, one client, 99 %|ms"] = percentile(trips, 99)
            fills, messages, slowest = measure_crowd(server)
            measured[f"market orders filled one by one, {CLIENTS} clients|/s"] = fills
            measured[f"messages sent, {CLIENTS} clients|/s"] = messages
            measured[f"market order to fill, {CLIENTS} clients, 99 %|ms"] = slowest
            greedy = Client(server.port, 2)
            greedy.socket.settimeout(0.2)
            with suppress(TimeoutError, ConnectionError):
                # Until its own bytes wait, for it reads nothing.
                while True:
                    greedy.socket.sendall(CURRENT_TIME * 10_000)
            beside = round_trips(client, ROUND_TRIPS)
            measured["market order to fill, beside one that reads not, 99 %|ms"] = percentile(beside, 99)
    return measured


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="venue", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="of each measurement (default: 3)")
    parser.add_argument("--echo", action="store_true", help="be the yardstick")
    arguments = parser.parse_args()
    if arguments.echo:
        asyncio.run(echo())
    for figure in measure_venue(arguments.runs):
        print(figure.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
