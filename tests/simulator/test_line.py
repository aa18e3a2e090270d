# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections: frames in any pieces, everyone in turn, and the reason of every end."""

from __future__ import annotations

import asyncio
import struct
import time

import pytest
from ib_async import LimitOrder, MarketOrder

from gateway_simulator.server import Simulator
from gateway_simulator.wire import GREETING, LARGEST_FRAME, frame
from tests.simulator.support import AAPL, connected, running, until

VERSIONS = struct.pack(">I", 9) + b"v157..178"
START = frame(71, 2, 9, "")
CURRENT_TIME = frame(49, 1)
ALL_OPEN_ORDERS = frame(16, 1)
NO_LIMIT = {"SIMULATOR_MESSAGES_PER_SECOND": "0"}


async def started(simulator: Simulator) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a raw connection, with client id 9."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(GREETING + VERSIONS + START)
    await asyncio.wait_for(reader.readuntil(b"9\x001\x00"), 5)
    return reader, writer


def reason(simulator: Simulator) -> str:
    """Why the latest connection ended, empty while none has."""
    ends = [entry["why"] for entry in simulator.witness.entries if entry["kind"] == "disconnected"]
    return str(ends[-1]) if ends else ""


async def test_frames_may_come_byte_by_byte() -> None:
    async with running() as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        for position in range(len(data := GREETING + VERSIONS + START + CURRENT_TIME)):
            writer.write(data[position : position + 1])
            await asyncio.sleep(0)
        await asyncio.wait_for(reader.readuntil(b"49\x001\x00"), 5)
        writer.close()


async def test_a_client_that_asks_much_at_once_waits_for_the_others() -> None:
    requests = 50_000
    async with running(**NO_LIMIT) as simulator, connected(simulator.port) as client:
        reader, writer = await started(simulator)
        writer.write(CURRENT_TIME * requests)
        await writer.drain()
        for _ in range(3):
            await client.reqCurrentTimeAsync()
        answered = len(await reader.read(1 << 24)) // len(frame(49, 1, 1_700_000_000))
        assert answered < requests
        writer.transport.abort()


async def test_a_client_that_does_not_read_is_cut_off_and_delays_nobody() -> None:
    async with running(**NO_LIMIT) as simulator, connected(simulator.port) as client:
        resting = [client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00)) for _ in range(30)]
        await until(lambda: all(trade.orderStatus.status == "Submitted" for trade in resting))
        _, writer = await started(simulator)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(ALL_OPEN_ORDERS * 5_000)
        slowest = 0.0
        deadline = time.monotonic() + 30
        while not reason(simulator):
            began = time.monotonic()
            await until(client.placeOrder(AAPL, MarketOrder("BUY", 1)).isDone)
            slowest = max(slowest, time.monotonic() - began)
            assert time.monotonic() < deadline
        assert reason(simulator).startswith("the client does not read: ")
        assert slowest < 2
        writer.transport.abort()


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"", "closed by the client"),
        (b"AP", "closed by the client inside a frame, after 2 bytes of it"),
        (b"GET / HTTP/1.1\r\n", "malformed bytes: greeting b'GET ', wanted b'API\\x00'"),
        (GREETING + b"\0\0\0\0", f"malformed bytes: frame length 0, wanted 1 to {LARGEST_FRAME}"),
        (GREETING + b"\xff" * 4, f"malformed bytes: frame length 4294967295, wanted 1 to {LARGEST_FRAME}"),
        (GREETING + b"\0\0\0\x04v1", "closed by the client inside a frame, after 6 bytes of it"),
        (GREETING + b"\0\0\0\x04when", "malformed bytes: version range b'when', wanted v<lowest>..<highest>"),
        (GREETING + VERSIONS, "closed by the client"),
        (GREETING + VERSIONS + CURRENT_TIME, "malformed bytes: RequestCurrentTime before StartApi"),
    ],
)
async def test_the_witness_knows_why_a_connection_ended(sent: bytes, why: str) -> None:
    async with running() as simulator:
        _, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(sent)
        writer.write_eof()
        await until(lambda: reason(simulator))
        assert reason(simulator) == why
        writer.close()
