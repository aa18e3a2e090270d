# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a gateway sends: the link does not raise, passes nothing over in silence, and tells no nonsense.

The messages of a real session with the simulator are recorded once and then damaged, many times over: fields of the
wrong type, missing and too many, NaN and numbers beyond all bounds, unknown kinds, lengths that lie, bytes at random,
cut anywhere. Whatever the link does tell is written to a real ledger, which must accept it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ib_async import IB, Contract, LimitOrder, MarketOrder, Stock
from ib_async.connection import Connection

from reference_engine.gateway import GatewayAddress, IbLink, SessionState
from reference_engine.ib import IbSession
from reference_engine.ledger import Ledger
from reference_engine.model import AccountValues, Execution, OrderReport, Position, Tick
from tests.engine.support import AAPL, ACCOUNT, Place
from tests.engine.venue import Venue

EXAMPLES, CASES = 250, 420
"""Batches that hypothesis draws, and damaged messages in each: more than 100,000 together."""
CASES_OF_A_SESSION = 60

OUTCOMES: Counter[str] = Counter()
"""What became of the damaged messages, over all batches, and what the listener was told."""

_NASTY = (
    *(
        "",
        "x",
        "-",
        "NaN",
        "nan",
        "inf",
        "-inf",
        "Infinity",
        "1e400",
        "-1e400",
        "1e308",
        "-1",
        "-7",
        "0",
        "0.0",
        "-0.0",
    ),
    *("1.7976931348623157E308", "2147483647", "2147483648", "9" * 25, "-" + "9" * 25, "1e25", "1_000", " 5 ", "0x10"),
    *(
        "true",
        "None",
        "BUY",
        "BOT",
        "SLD",
        "DU1234567",
        "Filled",
        "Cancelled",
        "20261125-00:00:00",
        "99991231 00:00:00",
    ),
    *("\u0661\u0662", "\u00e9", ";", ",", "a" * 5000, "AAPL", "00000000 00:00:00 UTC", "20261399 25:61:61 UTC"),
)


def _noted(method: Callable[..., None]) -> Callable[..., None]:
    """Note an exception: the link takes one for a message not understood, and here it must not come to that."""

    @functools.wraps(method)
    def noted(self: Listener, *told: object) -> None:
        self.told[method.__name__] += 1
        try:
            method(self, *told)
        except Exception as error:
            self.failures.append(f"{method.__name__}: {error!r}, told {told}")
            raise

    return noted


# What a short session does not see: the broker's link and the farms go and come, the socket's port is reset, a change
# of a working order is refused.
_SELDOM = [
    *((4, 2, -1, code, f"Connectivity: {code}", "") for code in (1100, 1101, 1102, 1300, 2110)),
    *((4, 2, -1, code, f"Market data farm connection:{code}", "") for code in (2103, 2104, 2105, 2106)),
    *((4, 2, order_id, 105, "Order being modified does not match original order", "") for order_id in range(1, 9)),
]


class Listener:
    """Writes what the link tells into a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.told: Counter[str] = Counter()
        self.failures: list[str] = []

    @_noted
    def on_state(self, state: SessionState, reason: str) -> None:  # noqa: ARG002 the link's interface
        self.told[state] += 1

    @_noted
    def on_session(self) -> None:
        pass

    @_noted
    def on_tick(self, tick: Tick) -> None:
        assert all(price is None or 0 < price < math.inf for price in (tick.price, tick.bid, tick.ask))

    @_noted
    def on_order(self, report: OrderReport) -> None:
        self._ledger.record_order(report)

    @_noted
    def on_refused(self, order_ref: str, code: int, text: str) -> None:
        pass

    @_noted
    def on_execution(self, execution: Execution) -> None:
        self._ledger.record_execution(execution)

    @_noted
    def on_commission(self, execution: Execution) -> None:
        self._ledger.record_commission(execution)

    @_noted
    def on_position(self, position: Position) -> None:
        self._ledger.record_position(position)

    @_noted
    def on_account(self, values: AccountValues) -> None:
        numbers = [value for value in (*vars(values).values(), *values.rates.values()) if isinstance(value, float)]
        assert all(map(math.isfinite, numbers))


class Wire:
    """A link whose gateway is this test: bytes are fed to a session as the socket would."""

    def __init__(self, listener: Listener, recorded: Sequence[bytes]) -> None:
        self.reasons: list[str] = []
        link = IbLink(GatewayAddress("127.0.0.1", 1), 1, ACCOUNT)
        link._listener = listener
        self._session = IbSession(link._pacer, link._on_refused, self.reasons.append)
        self._client = self._session.client
        self._client.conn.transport = _Sink()
        self._client.connState = self._client.CONNECTING
        self._client.clientId = self._session.wrapper.clientId = 1
        contract = Contract(conId=AAPL.con_id, symbol=AAPL.symbol)
        link._contracts[AAPL.con_id] = contract
        link._subscribed[AAPL.con_id] = AAPL
        link._ib = self._session
        link._listen(self._session)
        kinds = _kinds(recorded)
        # The handshake, what makes the session ready, the orders that other messages are about, and a subscription.
        for frame in [recorded[0], *kinds[b"15"], *kinds[b"9"], *kinds[b"5"]]:
            self.feed(frame)
        request = int(_fields(kinds[b"1"][0])[2])
        self._session.wrapper.startTicker(request, contract, "mktData")
        assert self._session.isConnected()
        assert not self.reasons, self.reasons

    def feed(self, data: bytes) -> None:
        """Receive bytes."""
        self._client.conn.data_received(data)

    def end_of_case(self) -> str:
        """Say what became of what was fed, and be ready for more: as a new session, without the cost of one."""
        outcome = "broken" if self._session.broken else "waiting" if self._client._data else "understood"
        self._session.broken = ""
        self._client._data = b""
        return outcome


class _Sink:
    """A transport that leads nowhere."""

    def write(self, data: bytes) -> None:
        pass

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        pass


class Swallowed(logging.Handler):
    """Collects what libraries log of exceptions that they do not pass on."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.records.append(self.format(record))


@pytest.fixture(scope="module")
def recorded() -> list[bytes]:
    """The frames of a session with the simulator in which everything comes that an engine sees."""
    place = Place()
    venue = Venue(place.path, ticks_per_second=50)
    venue.start()
    try:
        return asyncio.run(_record(venue.port))
    finally:
        venue.kill()
        place.close()


async def _record(port: int) -> list[bytes]:
    stream = bytearray()

    class Recorder(Connection):
        def data_received(self, data: bytes) -> None:
            stream.extend(data)
            super().data_received(data)  # type: ignore[no-untyped-call]

    ib = IB()
    ib.client.conn = Recorder()  # type: ignore[no-untyped-call]
    ib.client.conn.hasData += ib.client._onSocketHasData
    ib.client.conn.disconnected += ib.client._onSocketDisconnected
    await ib.connectAsync("127.0.0.1", port, 1)
    contract = Stock("AAPL", "SMART", "USD")
    await ib.qualifyContractsAsync(contract)
    ib.reqMktData(contract)
    ib.reqPnL(ACCOUNT)
    orders = [MarketOrder("BUY", 5), MarketOrder("BUY", 150), LimitOrder("BUY", 10, 1.0), LimitOrder("SELL", 5, 1e5)]
    for number, order in enumerate(orders):
        order.orderRef = f"dev-main:{number}"
        ib.placeOrder(contract, order)
    bad = MarketOrder("BUY", 2_000_000_000)
    bad.orderRef = "dev-main:bad"
    ib.placeOrder(contract, bad)
    async with asyncio.timeout(20):
        while len(ib.fills()) < 3 or any(not fill.commissionReport.execId for fill in ib.fills()):
            await asyncio.sleep(0.02)
        for trade in ib.openTrades():
            ib.cancelOrder(trade.order)
        while ib.openTrades():
            await asyncio.sleep(0.02)
        await ib.reqExecutionsAsync()
        await ib.reqCompletedOrdersAsync(False)
        await ib.reqAllOpenOrdersAsync()
        await ib.reqPositionsAsync()
        await ib.reqCurrentTimeAsync()
    ib.disconnect()
    return [*_frames(bytes(stream)), *(_frame(*fields) for fields in _SELDOM)]


def _frame(*fields: object) -> bytes:
    body = "".join(f"{field}\0" for field in fields).encode()
    return struct.pack(">I", len(body)) + body


def _frames(stream: bytes) -> list[bytes]:
    found = []
    while len(stream) >= 4:
        end = 4 + struct.unpack(">I", stream[:4])[0]
        found.append(stream[:end])
        stream = stream[end:]
    return found


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    deployment, _ = place.load()
    ledger = Ledger(deployment)
    # What is tried here is what may be written, not whether it survives a power cut.
    ledger._connection.execute("PRAGMA synchronous = OFF")
    yield ledger
    ledger.close()


@pytest.fixture
def swallowed() -> Iterator[Swallowed]:
    handler = Swallowed()
    loggers = [logging.getLogger(name) for name in ("ib_async", "eventkit", "asyncio")]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
        logger.addHandler(handler)
    quiet = logging.getLogger("reference_engine")
    quiet.setLevel(logging.CRITICAL)
    yield handler
    quiet.setLevel(logging.NOTSET)
    for logger in loggers:
        logger.removeHandler(handler)


def _fields(frame: bytes) -> list[str]:
    return frame[4:-1].decode().split("\0")


def _kinds(recorded: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    """The frames after the handshake, those of a kind together: there are many more of some than of others."""
    kinds: dict[bytes, list[bytes]] = {}
    for frame in recorded[1:]:
        kinds.setdefault(frame[4:].split(b"\0", 1)[0], []).append(frame)
    return kinds


def damage(frame: bytes, rng: random.Random) -> bytes:
    """Return the frame with something wrong, and perhaps with more than the frame."""
    fields = _fields(frame)
    at = rng.randrange(len(fields))
    kind = rng.randrange(12)
    if kind < 4:
        fields[at] = rng.choice(_NASTY)
    elif kind == 4:
        del fields[at : at + rng.randint(1, 3)]
    elif kind == 5:
        fields[at:at] = [rng.choice(_NASTY) for _ in range(rng.randint(1, 3))]
    elif kind == 6:
        fields[0] = str(rng.choice((rng.randrange(130), rng.randrange(-10, 0), rng.randrange(10**12))))
    elif kind == 7:
        rng.shuffle(fields)
    body = "".join(f"{field}\0" for field in fields).encode()
    if kind == 8:
        body = body[: rng.randrange(len(body) + 1)]
    elif kind == 9:
        spoilt = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        body = bytes(spoilt)
    elif kind == 10:
        body = rng.randbytes(rng.randrange(200))
    length = len(body)
    if kind == 11:
        length = rng.choice((0, 1, length - 1, length + 1, 2 * length, 0xFFFFFF, 0x1000000, 0x7FFFFFFF, 0xFFFFFFFF))
    return struct.pack(">I", length) + bytes(body)


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**64 - 1))
def test_link_understands_or_ends_the_session_whatever_the_gateway_sends(
    recorded: list[bytes], ledger: Ledger, swallowed: Swallowed, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 a test's dice
    listener = Listener(ledger)
    kinds = list(_kinds(recorded).values())
    for number in range(CASES):
        if number % CASES_OF_A_SESSION == 0:
            wire = Wire(listener, recorded)
        if rng.random() < 0.3:
            wire.feed(rng.choice(rng.choice(kinds)))
        data = damage(rng.choice(rng.choice(kinds)), rng)
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(3)))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            wire.feed(data[start:end])
        assert swallowed.records == [], (number, data)
        OUTCOMES[wire.end_of_case()] += 1
        assert all(wire.reasons)
        assert listener.failures == []
    OUTCOMES.update(listener.told)


def test_every_kind_of_outcome_was_among_the_damaged_messages() -> None:
    assert sum(OUTCOMES[outcome] for outcome in ("broken", "waiting", "understood")) >= 100_000
    assert min(OUTCOMES[outcome] for outcome in ("broken", "waiting", "understood")) > 1000
    told = [name for name in vars(Listener) if name.startswith("on_")] + ["broker_link_lost", "data_stale", "ready"]
    assert [name for name in told if not OUTCOMES[name]] == []
