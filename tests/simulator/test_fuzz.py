# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever bytes come, the simulator goes on: no traceback, no hang, other sessions and the saved state unharmed.

A case is one frame, or one way to leave off inside a frame. Real messages of a real client are mutated as text and as
protobuf. Hypothesis gives the bytes by which the cases of a batch are put together.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from ib_async import ExecutionFilter, LimitOrder, MarketOrder, Order, StopOrder

from gateway_simulator.line import Line
from gateway_simulator.protobuf import _DECODERS, OFFSET
from gateway_simulator.server import Simulator
from gateway_simulator.session import Session
from gateway_simulator.wire import GREETING, LARGEST_FRAME
from tests.simulator import support
from tests.simulator.support import AAPL, connected, running, until

# Of each version a batch of cases for every example: more than 100,000 cases in all.
VERSIONS = (157, 164, 176, 178, 201, 206, 213, 225)
EXAMPLES, CASES = 130, 100
BYTES_PER_CASE = 24

ODD_FIELDS = [
    b"", b"0", b"-1", b"1", b"2147483647", b"2147483648", b"-2147483648", b"9" * 40, b"1e308", b"1e999", b"-1e-999",
    b"NaN", b"sNaN", b"inf", b"-Infinity", b"1.7976931348623157E308", b"0x10", b"1_000", "\u0661".encode(), b"\xff\xfe",
    b"a" * 3000, b" ", b"\r\n", b"20261399 12:00:00", b"99991231 23:59:59 UTC", b"1 Y", b"1 secs", b"BUY", b"SELL",
    b"SSHORT", b"MKT", b"LMT", b"STP", b"TRAIL", b"MOC", b"GTD", b"AAPL", b"OPT", b"BAG", b"0.000000001", b"-0.0",
    b"100.000000001",
]  # fmt: skip
ODD_NUMBERS = [0, 1, -1, 7, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63)]


class Dice:
    """Choices, from bytes; the first choice for ever once they are used up."""

    def __init__(self, content: bytes) -> None:
        self._bytes = iter(content)

    def below(self, count: int) -> int:
        """Return a number below ``count``, at most 65536."""
        number = next(self._bytes, 0)
        if count > 256:
            number = number << 8 | next(self._bytes, 0)
        return number % count

    def pick(self, choices: Any) -> Any:
        """Return one of the choices."""
        return choices[self.below(len(choices))]

    def bytes(self, most: int) -> bytes:
        """Return up to ``most`` bytes."""
        return bytes(next(self._bytes, 0) for _ in range(self.below(most + 1)))


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def odd_text(dice: Dice, messages: list[bytes]) -> bytes:
    """A message of a real client with some of its fields changed, dropped, doubled, or in another one's place."""
    fields = dice.pick(messages)[:-1].split(b"\0")
    for _ in range(dice.below(4)):
        position = dice.below(len(fields)) if fields else 0
        match dice.below(6):
            case 0 | 1 | 2:
                fields[position : position + 1] = [dice.pick(ODD_FIELDS)]
            case 3:
                del fields[position : position + 1]
            case 4:
                fields.insert(position, dice.bytes(6))
            case _:
                del fields[position:]
    return b"\0".join(fields) + b"\0"


def odd_value(dice: Dice, field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return dice.pick(ODD_FIELDS).decode(errors="ignore")
        case FieldDescriptor.CPPTYPE_BOOL:
            return bool(dice.below(2))
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return dice.pick([0.0, -1.0, 1.5, 1e308, float("nan"), float("inf"), 1.7976931348623157e308])
    number = dice.pick(ODD_NUMBERS)
    bits = 63 if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64) else 31
    return max(-(1 << bits), min(number, (1 << bits) - 1))


def fill(dice: Dice, message: Message, depth: int = 0) -> None:
    """Set some fields of a protobuf message."""
    fields = message.DESCRIPTOR.fields
    for _ in range(dice.below(8) if fields else 0):
        field = dice.pick(fields)
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if is_map:
            getattr(message, field.name)[dice.pick(ODD_FIELDS).decode(errors="ignore")] = ""
        elif field.message_type is not None:
            part = getattr(message, field.name)
            if depth < 2:
                fill(dice, part.add() if field.is_repeated else part, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).append(odd_value(dice, field))
        else:
            setattr(message, field.name, odd_value(dice, field))


def odd_protobuf(dice: Dice) -> bytes:
    """A protobuf request with any fields, sometimes with bytes changed."""
    number = dice.pick(sorted(_DECODERS))
    message = _DECODERS[number][0]()
    fill(dice, message)
    body = bytearray(message.SerializeToString())
    for _ in range(dice.below(4) // 3 * dice.below(6)):
        if body:
            body[dice.below(len(body))] = dice.below(256)
    return struct.pack(">i", number + OFFSET) + bytes(body)


def with_number(body: bytes) -> bytes:
    """A text message in the newer framing."""
    number, _, rest = body.partition(b"\0")
    with suppress(ValueError, struct.error):
        return struct.pack(">i", int(number)) + rest
    return body


def case(dice: Dice, version: int, messages: list[bytes]) -> tuple[bytes, bool]:
    """Return the bytes of one case, and whether the connection ends inside them."""
    kind = dice.below(20)
    newer = version > 200
    if kind < 12:
        if newer and kind < 8:
            return frame(odd_protobuf(dice)), False
        body = odd_text(dice, messages)
        return frame(with_number(body) if newer else body), False
    if kind < 14:
        body = str(dice.below(65536) - 300).encode() + b"\0" + dice.bytes(20).replace(b"\xff", b"\0") + b"\0"
        return frame(with_number(body) if newer else body), False
    if kind < 16:
        return frame(dice.bytes(40)), False
    if kind < 17:
        return frame(dice.pick(messages)), False
    if kind < 18:
        length = dice.pick([0, LARGEST_FRAME + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
        return struct.pack(">I", length) + dice.bytes(30), False
    whole = frame(dice.pick(messages))
    return whole[: dice.below(len(whole))], True


class Wire(asyncio.Transport):
    """The other end of a connection, without a socket."""

    def __init__(self) -> None:
        super().__init__({"peername": ("fuzz", 0)})
        self.line: Line
        self.sent = bytearray()
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.line.connection_lost(None)

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def frames_of(sent: bytes | bytearray) -> list[bytes]:
    """The bodies of what was sent; fails when it is not whole frames."""
    bodies, start = [], 0
    while start < len(sent):
        (length,) = struct.unpack_from(">I", sent, start)
        assert 0 < length <= len(sent) - start - 4
        bodies.append(bytes(sent[start + 4 : start + 4 + length]))
        start += 4 + length
    return bodies


class Fuzz:
    """A simulator under fire, a client that wants nothing but to be served, and what was counted."""

    def __init__(self, simulator: Simulator, bystander: support.Client, messages: list[bytes]) -> None:
        self.simulator = simulator
        self.bystander = bystander
        self.messages = messages
        self.cases = 0
        self._client_ids = itertools.count(100)

    def connect(self, version: int) -> Wire:
        """Open a connection that has started the API."""
        wire = Wire()
        wire.line = self.simulator._connect()
        wire.line.connection_made(wire)
        client_id = b"%d" % next(self._client_ids)
        wire.line.data_received(GREETING + frame(b"v100..%d" % version))
        start = b"71\x002\x00" + client_id + b"\0\0"
        wire.line.data_received(frame(with_number(start) if version > 200 else start))
        assert not wire.line.is_ending
        return wire

    async def play(self, version: int, content: bytes) -> None:
        """Send a batch of cases, and see that everybody is served after it."""
        dice = Dice(content)
        wire = self.connect(version)
        for _ in range(CASES):
            data, ends = case(dice, version, self.messages)
            wire.line.data_received(data)
            self.cases += 1
            assert not wire.line.why.startswith("internal error"), (wire.line.why, version, data)
            if ends:
                wire.line.eof_received()
            # The others' turn, and this one's if it had to wait.
            await asyncio.sleep(0)
            if wire.line.is_ending:
                frames_of(wire.sent)
                wire = self.connect(version)
        await asyncio.sleep(0)
        frames_of(wire.sent)
        wire.line.abort("done")
        self.simulator.publish(self.simulator.broker.cancel_all())
        await asyncio.wait_for(self.bystander.reqCurrentTimeAsync(), 10)


async def record() -> list[bytes]:
    """Return the messages that a real client sends in a session that does what it can."""
    messages: list[bytes] = []
    receive = Session.receive

    def take(session: Session, body: bytes) -> None:
        if session.client_id is not None:
            messages.append(body)
        receive(session, body)

    Session.receive = take  # type: ignore[method-assign]
    try:
        async with running() as simulator, connected(simulator.port, 0) as client:
            client.reqMktData(AAPL)
            client.reqTickByTickData(AAPL, "Last")
            client.reqRealTimeBars(AAPL, 5, "TRADES", False)
            client.reqPnL(support.ACCOUNT)
            await client.reqHistoricalDataAsync(AAPL, "", "1 D", "1 hour", "TRADES", useRTH=False)
            await client.reqContractDetailsAsync(AAPL)
            await client.reqExecutionsAsync(ExecutionFilter(symbol="AAPL"))
            await client.reqAllOpenOrdersAsync()
            await client.accountSummaryAsync()
            orders = [
                MarketOrder("BUY", 100, orderRef="a"),
                LimitOrder("BUY", 5, 1.5, tif="GTC"),
                StopOrder("SELL", 5, 1.5),
                Order(action="SELL", totalQuantity=3, orderType="TRAIL", auxPrice=1.0),
                *client.bracketOrder("BUY", 10, 1.0, 2.0, 0.5),
            ]
            for order in orders:
                client.placeOrder(AAPL, order)
            client.cancelOrder(orders[1])
            client.cancelMktData(AAPL)
            client.reqGlobalCancel()
            await client.reqCurrentTimeAsync()
    finally:
        Session.receive = receive  # type: ignore[method-assign]
    return messages


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def messages(runner: asyncio.Runner) -> list[bytes]:
    """What a real client sends."""
    return runner.run(record())


async def test_connections_left_half_open_keep_nobody_from_being_served() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        writers = []
        for number in range(300):
            _, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            writer.write(
                [b"", b"AP", GREETING, GREETING + b"\0\0\0", GREETING + frame(b"v100..178") + b"\0\0\0\x08"][number % 5]
            )
            writers.append(writer)
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await until(trade.isDone)
        for writer in writers[::2]:
            writer.transport.abort()
        for writer in writers[1::2]:
            writer.close()
        await until(lambda: len(list(simulator.lines())) == 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_bytes_stop_the_simulator(
    runner: asyncio.Runner, messages: list[bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture, version: int
) -> None:
    caplog.set_level(logging.ERROR)
    state = tmp_path / "state.json"
    limits = {"SIMULATOR_SERVER_VERSION": "225", "SIMULATOR_MESSAGES_PER_SECOND": "0"}
    simulator = Simulator(support.settings(state, SIMULATOR_TICKS_PER_SECOND="2", **limits))
    runner.run(simulator.start())
    bystander = support.Client()
    runner.run(bystander.connectAsync("127.0.0.1", simulator.port, 1, timeout=5, raiseSyncErrors=True))
    fuzz = Fuzz(simulator, bystander, messages)

    @seed(version)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate,),  # what fails is shown case by case
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=CASES * BYTES_PER_CASE // 2, max_size=CASES * BYTES_PER_CASE))
    def attack(content: bytes) -> None:
        runner.run(fuzz.play(version, content))
        logged = [
            record for record in caplog.records if record.name.partition(".")[0] in ("gateway_simulator", "asyncio")
        ]
        assert [record.getMessage() for record in logged if record.levelno >= logging.ERROR] == []
        caplog.clear()

    attack()
    assert fuzz.cases == EXAMPLES * CASES
    assert {"order", "cancel", "fill", "order_end"} <= {entry["kind"] for entry in simulator.witness.entries}
    assert bystander.isConnected()
    trade = bystander.placeOrder(AAPL, MarketOrder("BUY", 1))
    runner.run(until(trade.isDone))
    bystander.disconnect()
    assert not simulator.market.done()
    runner.run(simulator.stop())
    again = runner.run(restored(state))
    assert again.broker.balances == simulator.broker.balances
    assert again.broker.positions == simulator.broker.positions
    assert list(again.broker.working_orders()) == list(simulator.broker.working_orders())


async def restored(state: Path) -> Simulator:
    return Simulator(support.settings(state))
