# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The newer dialect: which messages are protobuf at which server version, and what malformed ones lead to."""

from __future__ import annotations

import asyncio
import inspect
import re
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from gateway_simulator import ib_pb2 as ib
from gateway_simulator import messages, protobuf, requests, terms
from gateway_simulator.contracts import LISTED
from gateway_simulator.messages import HIGHEST_VERSION, TextDialect, dialect_for
from gateway_simulator.model import ContractQuery, Order
from gateway_simulator.protobuf import ProtobufDialect
from gateway_simulator.wire import FieldError, WireError, read_frame
from tests.simulator.support import ACCOUNT, PATIENCE_SECONDS, running

_Reply = TypeVar("_Reply", bound=Message)


def body_of(text_id: int, message: Message | bytes) -> bytes:
    """The body of a frame with the protobuf edition of a message."""
    content = message if isinstance(message, bytes) else message.SerializeToString()
    return struct.pack(">i", 200 + text_id) + content


def order(order_id: int = 1, **terms: object) -> ib.PlaceOrderRequest:
    """A request to buy ten AAPL at the market, with further terms."""
    request = ib.PlaceOrderRequest(orderId=order_id)
    request.contract.CopyFrom(ib.Contract(symbol="AAPL", secType="STK", exchange="SMART", currency="USD"))
    request.order.CopyFrom(
        ib.Order(action="BUY", totalQuantity="10", orderType="MKT", tif="DAY", transmit=True, exemptCode=-1)
    )
    request.order.MergeFrom(ib.Order(**terms))  # type: ignore[arg-type]
    return request


# --- the two dialects ------------------------------------------------------------------------------------------------


def test_every_reply_of_the_text_dialect_has_a_protobuf_edition() -> None:
    replies = {name for name, member in vars(TextDialect).items() if callable(member) and not name.startswith("_")}
    assert replies - {"decode", "decode_fields", "encode"} - vars(ProtobufDialect).keys() == set()


def test_every_request_that_is_read_as_text_is_read_as_protobuf() -> None:
    assert protobuf._DECODERS.keys() | protobuf._IGNORED == messages._DECODERS.keys()


def test_the_older_protocol_does_not_load_the_newer() -> None:
    program = (
        "import sys; from gateway_simulator import server; from gateway_simulator.messages import dialect_for;"
        "dialect_for(178); assert not [name for name in sys.modules if name.startswith('google')];"
        "dialect_for(201); assert 'google.protobuf' in sys.modules"
    )
    source = str(messages.__file__).rsplit("/", 2)[0]
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": source})


@pytest.mark.parametrize(
    ("reply", "since"),
    [
        (lambda dialect: dialect.execution_end(1), 201),
        (lambda dialect: dialect.open_order_end(), 204),
        (lambda dialect: dialect.contract_details_end(1), 205),
        (lambda dialect: dialect.snapshot_end(1), 206),
        (lambda dialect: dialect.position_end(), 207),
        (lambda dialect: dialect.next_valid_id(1), 213),
    ],
    ids=["executions", "order lists", "contracts", "market data", "accounts", "session"],
)
def test_a_reply_is_protobuf_from_its_version_on(reply: object, since: int) -> None:
    def number_at(version: int) -> int:
        frame: bytes = reply(dialect_for(version))  # type: ignore[operator]
        return int.from_bytes(frame[4:8], "big")

    numbers = {version: number_at(version) for version in range(201, HIGHEST_VERSION + 1)}
    assert {version for version, number in numbers.items() if number > 200} == set(range(since, HIGHEST_VERSION + 1))
    assert len({number % 200 for number in numbers.values()}) == 1


@pytest.mark.parametrize("version", [201, 213, HIGHEST_VERSION])
def test_either_edition_of_a_request_is_understood_at_every_version(version: int) -> None:
    dialect = dialect_for(version)
    assert dialect.decode(body_of(71, ib.StartApiRequest(clientId=7))) == requests.StartApi(7)
    assert dialect.decode(struct.pack(">i", 71) + b"2\x007\0\0") == requests.StartApi(7)


def test_a_text_request_without_fields_is_its_number_alone() -> None:
    assert dialect_for(201).decode(struct.pack(">i", 105)) == requests.RequestCurrentTimeInMilliseconds()


# --- orders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "unsupported"),
    [
        ({}, ""),
        ({"discretionaryAmt": 0, "usePriceMgmtAlgo": 0, "softDollarTier": ib.SoftDollarTier()}, ""),
        ({"algoStrategy": "Adaptive", "algoParams": {"adaptivePriority": "Normal"}}, "algoParams, an algorithm"),
        ({"conditions": [ib.OrderCondition(type=1)]}, "a condition"),
        ({"exemptCode": 3, "softDollarTier": ib.SoftDollarTier(name="tier")}, ""),
        ({"whatIfType": 1}, "whatIfType"),
    ],
)
def test_an_order_names_what_is_not_played(terms: dict[str, object], unsupported: str) -> None:
    placed = dialect_for(225).decode(body_of(3, order(**terms)))
    assert isinstance(placed, requests.PlaceOrder)
    assert placed.unsupported == unsupported


@pytest.mark.parametrize(("terms", "transmit"), [({}, True), ({"transmit": False}, False)])
def test_an_order_is_transmitted_only_when_it_says_so(terms: dict[str, object], transmit: bool) -> None:
    request = order(**terms)
    placed = dialect_for(225).decode(body_of(3, request))
    assert isinstance(placed, requests.PlaceOrder)
    assert placed.terms.transmit is transmit
    # This is how clients write False.
    request.order.ClearField("transmit")
    placed = dialect_for(225).decode(body_of(3, request))
    assert isinstance(placed, requests.PlaceOrder)
    assert not placed.terms.transmit


def test_an_order_of_a_protocol_to_come_is_not_played_without_its_new_terms() -> None:
    request = order()
    # Field 500, a number: no client of today has it.
    request.order.MergeFromString(b"\xa0\x1f\x01")
    request.attachedOrders.slOrderId = 2
    placed = dialect_for(225).decode(body_of(3, request))
    assert isinstance(placed, requests.PlaceOrder)
    assert placed.unsupported == "an attached order, an unknown field"


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ({"totalQuantity": "ten"}, "totalQuantity is 'ten', wanted a number"),
        ({"totalQuantity": "NaN"}, "totalQuantity is 'NaN', wanted a number"),
        ({"lmtPrice": float("inf")}, "lmtPrice is 'inf', wanted a number"),
    ],
)
def test_an_order_whose_numbers_are_none_is_an_error(terms: dict[str, object], error: str) -> None:
    with pytest.raises(FieldError, match=error):
        dialect_for(225).decode(body_of(3, order(**terms)))


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 1e300])
@pytest.mark.parametrize("name", ["strike", "multiplier"])
def test_a_contract_whose_numbers_make_no_sense_is_an_error(name: str, number: float) -> None:
    request = ib.ContractDataRequest(reqId=1, contract=ib.Contract(**{name: number}))  # type: ignore[arg-type]
    with pytest.raises(FieldError, match=f"{name} is '.*', wanted a number"):
        dialect_for(225).decode(body_of(9, request))


@pytest.mark.parametrize("name", sorted(terms._GIVEN_BACK))
def test_what_one_edition_lets_in_the_other_can_say(name: str) -> None:
    def placed(text: str) -> Order:
        request = terms.read_order(1, ContractQuery(con_id=265598), {"action": "BUY", name: text})
        rest = {"client_id": 7, "perm_id": 1, "con_id": 265598, "exchange": "SMART", "quantity": 1, "placed_at": ""}
        return Order(order_id=1, action="BUY", **rest, **request.terms.terms)  # type: ignore[arg-type]

    for text in ("2147483646", "-2147483648", "1.5", "1e29", "9" * 20, "NaN", "caf\u00e9", "True"):
        with suppress(FieldError):
            assert dialect_for(225).open_order(ACCOUNT, LISTED[265598], placed(text))


def test_no_text_can_end_a_field_of_another_client_in_its_middle() -> None:
    with pytest.raises(FieldError, match=r"^orderRef is 'key\\x00201', wanted a text without NUL$"):
        dialect_for(225).decode(body_of(3, order(orderRef="key\x00201")))


# --- conversations ---------------------------------------------------------------------------------------------------


class ProtobufClient:
    """A client that knows protobuf alone: any other body is an error."""

    REPLIES: ClassVar[dict[int, type[Message]]] = {
        1: ib.TickPrice, 2: ib.TickSize, 3: ib.OrderStatus, 4: ib.ErrorMessage, 5: ib.OpenOrder, 6: ib.AccountValue,
        7: ib.PortfolioValue, 8: ib.AccountUpdateTime, 9: ib.NextValidId, 10: ib.ContractData, 11: ib.ExecutionDetails,
        15: ib.ManagedAccounts, 17: ib.HistoricalData, 45: ib.TickGeneric, 46: ib.TickString, 49: ib.CurrentTime,
        50: ib.RealTimeBarTick, 52: ib.ContractDataEnd, 53: ib.OpenOrdersEnd, 54: ib.AccountDataEnd,
        55: ib.ExecutionDetailsEnd, 57: ib.TickSnapshotEnd, 58: ib.MarketDataType, 59: ib.CommissionAndFeesReport,
        61: ib.Position, 62: ib.PositionEnd, 63: ib.AccountSummary, 64: ib.AccountSummaryEnd, 67: ib.DisplayGroupList,
        71: ib.PositionMulti, 72: ib.PositionMultiEnd, 73: ib.AccountUpdateMulti, 74: ib.AccountUpdateMultiEnd,
        75: ib.SecDefOptParameter, 76: ib.SecDefOptParameterEnd, 77: ib.SoftDollarTiers, 78: ib.FamilyCodes,
        79: ib.SymbolSamples, 80: ib.MarketDepthExchanges, 81: ib.TickReqParams, 82: ib.SmartComponents,
        85: ib.NewsProviders, 88: ib.HeadTimestamp, 90: ib.HistoricalDataUpdate, 93: ib.MarketRule, 94: ib.PnL,
        95: ib.PnLSingle, 96: ib.HistoricalTicks, 97: ib.HistoricalTicksBidAsk, 98: ib.HistoricalTicksLast,
        99: ib.TickByTickData, 100: ib.OrderBound, 101: ib.CompletedOrder, 102: ib.CompletedOrdersEnd,
        107: ib.UserInfo, 108: ib.HistoricalDataEnd, 109: ib.CurrentTimeInMillis,
    }  # fmt: skip

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received: list[Any] = []

    def send(self, text_id: int, message: Message | bytes) -> None:
        """Send a request."""
        body = body_of(text_id, message)
        self.writer.write(struct.pack(">I", len(body)) + body)

    async def wait_for(self, kind: type[_Reply], **wanted: object) -> _Reply:
        """Read until a message of a kind with the ``wanted`` fields has arrived, and return it."""
        seen = 0
        while True:
            for message in self.received[seen:]:
                if isinstance(message, kind) and all(getattr(message, name) == wanted[name] for name in wanted):
                    return message
            seen = len(self.received)
            body = await asyncio.wait_for(read_frame(self.reader), 2 * PATIENCE_SECONDS)
            assert body is not None, "the connection was closed"
            number = int.from_bytes(body[:4], "big")
            assert number > 200, f"message {number} came as text"
            received = self.REPLIES[number - 200].FromString(body[4:])
            assert received.SerializeToString() == body[4:]
            self.received.append(received)


@asynccontextmanager
async def protobuf_client(port: int, client_id: int = 7) -> AsyncIterator[ProtobufClient]:
    """Connect a client that knows protobuf alone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    versions = f"v213..{HIGHEST_VERSION}".encode()
    writer.write(b"API\0" + struct.pack(">I", len(versions)) + versions)
    handshake = await read_frame(reader)
    assert handshake is not None
    assert handshake.startswith(b"%d\0" % HIGHEST_VERSION)
    client = ProtobufClient(reader, writer)
    client.send(71, ib.StartApiRequest(clientId=client_id))
    try:
        yield client
    finally:
        writer.close()


def test_the_client_knows_every_reply() -> None:
    written = set(re.findall(r"_frame\(\s*(\d+),", inspect.getsource(protobuf)))
    assert set(map(int, written)) == ProtobufClient.REPLIES.keys()


async def test_a_client_that_knows_protobuf_alone_learns_of_account_and_instruments() -> None:
    async with running(SIMULATOR_SERVER_VERSION="225") as simulator, protobuf_client(simulator.port) as client:
        assert (await client.wait_for(ib.ManagedAccounts)).accountsList == ACCOUNT
        await client.wait_for(ib.NextValidId)
        client.send(49, ib.CurrentTimeRequest())
        client.send(105, ib.CurrentTimeInMillisRequest())
        seconds = (await client.wait_for(ib.CurrentTime)).currentTime
        assert 0 <= (await client.wait_for(ib.CurrentTimeInMillis)).currentTimeInMillis - 1000 * seconds < 60_000
        client.send(6, ib.AccountDataRequest(subscribe=True, acctCode=ACCOUNT))
        await client.wait_for(ib.AccountDataEnd)
        await client.wait_for(ib.AccountValue, key="NetLiquidation", value="1000000.00", currency="USD")
        client.send(62, ib.AccountSummaryRequest(reqId=1, group="All", tags="NetLiquidation"))
        await client.wait_for(ib.AccountSummaryEnd, reqId=1)
        client.send(76, ib.AccountUpdatesMultiRequest(reqId=2, account=ACCOUNT))
        await client.wait_for(ib.AccountUpdateMultiEnd, reqId=2)
        client.send(74, ib.PositionsMultiRequest(reqId=3, account=ACCOUNT))
        await client.wait_for(ib.PositionMultiEnd, reqId=3)
        client.send(92, ib.PnLRequest(reqId=4, account=ACCOUNT))
        await client.wait_for(ib.PnL, reqId=4, dailyPnL=0)
        client.send(9, ib.ContractDataRequest(reqId=5, contract=ib.Contract(symbol="ES", secType="FUT")))
        await client.wait_for(ib.ContractDataEnd, reqId=5)
        future = await client.wait_for(ib.ContractData, reqId=5)
        assert (future.contract.multiplier, future.contractDetails.underSymbol) == (50, "SPX")
        client.send(9, ib.ContractDataRequest(reqId=6, contract=ib.Contract(symbol="ZZZZ", secType="STK")))
        await client.wait_for(ib.ErrorMessage, id=6, errorCode=200)
        client.send(81, ib.MatchingSymbolsRequest(reqId=7, pattern="AAP"))
        assert (await client.wait_for(ib.SymbolSamples, reqId=7)).contractDescriptions[0].contract.symbol == "AAPL"
        client.send(78, ib.SecDefOptParamsRequest(reqId=8, underlyingSymbol="AAPL", underlyingConId=265598))
        await client.wait_for(ib.SecDefOptParameterEnd, reqId=8)
        assert (await client.wait_for(ib.SecDefOptParameter, reqId=8)).strikes


async def test_a_client_that_knows_protobuf_alone_sees_prices() -> None:
    async with running(SIMULATOR_SERVER_VERSION="225") as simulator, protobuf_client(simulator.port) as client:
        stock = ib.Contract(conId=265598, exchange="SMART")
        history = ib.HistoricalDataRequest(contract=stock, whatToShow="TRADES", formatDate=2)
        client.send(50, ib.RealTimeBarsRequest(reqId=1, contract=stock, barSize=5, whatToShow="TRADES"))
        history.MergeFrom(ib.HistoricalDataRequest(reqId=2, barSizeSetting="5 secs", duration="60 S"))
        history.keepUpToDate = True
        client.send(20, history)
        client.send(1, ib.MarketDataRequest(reqId=3, contract=stock))
        client.send(1, ib.MarketDataRequest(reqId=4, contract=stock, snapshot=True))
        for number, kind in enumerate(("AllLast", "BidAsk", "MidPoint"), 5):
            client.send(97, ib.TickByTickRequest(reqId=number, contract=stock, tickType=kind))
        past = ib.HistoricalTicksRequest(reqId=8, contract=stock, endDateTime="20261120-16:00:00", numberOfTicks=3)
        for number, kind in enumerate(("TRADES", "BID_ASK", "MIDPOINT"), 8):
            past.MergeFrom(ib.HistoricalTicksRequest(reqId=number, whatToShow=kind))
            client.send(96, past)
        client.send(87, ib.HeadTimestampRequest(reqId=11, contract=stock, whatToShow="TRADES", formatDate=1))
        bid, ask = [await client.wait_for(ib.TickPrice, reqId=3, tickType=kind) for kind in (1, 2)]
        assert 0 < bid.price < ask.price
        await client.wait_for(ib.TickSnapshotEnd, reqId=4)
        await client.wait_for(ib.TickByTickData, reqId=5, tickType=2)
        await client.wait_for(ib.TickByTickData, reqId=6, tickType=3)
        await client.wait_for(ib.TickByTickData, reqId=7, tickType=4)
        assert len((await client.wait_for(ib.HistoricalTicksLast, reqId=8)).historicalTicksLast) == 3
        assert len((await client.wait_for(ib.HistoricalTicksBidAsk, reqId=9)).historicalTicksBidAsk) == 3
        assert len((await client.wait_for(ib.HistoricalTicks, reqId=10)).historicalTicks) == 3
        await client.wait_for(ib.HeadTimestamp, reqId=11)
        bars = (await client.wait_for(ib.HistoricalData, reqId=2)).historicalDataBars
        await client.wait_for(ib.HistoricalDataEnd, reqId=2)
        update = await client.wait_for(ib.HistoricalDataUpdate, reqId=2)
        assert int(update.historicalDataBar.date) >= int(bars[-1].date)
        assert (await client.wait_for(ib.RealTimeBarTick, reqId=1)).time % 5 == 0


async def test_a_client_that_knows_protobuf_alone_trades() -> None:
    async with (
        running(SIMULATOR_SERVER_VERSION="225") as simulator,
        protobuf_client(simulator.port) as client,
        protobuf_client(simulator.port, 8) as other,
    ):
        client.send(61, ib.PositionsRequest())
        await client.wait_for(ib.PositionEnd)
        client.send(3, order(totalQuantity="100", orderRef="key:1"))
        await client.wait_for(ib.OrderStatus, orderId=1, status="Filled")
        report = await client.wait_for(ib.CommissionAndFeesReport)
        client.send(7, ib.ExecutionRequest(reqId=5))
        await client.wait_for(ib.ExecutionDetailsEnd)
        fills = [message for message in client.received if isinstance(message, ib.ExecutionDetails)]
        told, asked = ([fill for fill in fills if fill.reqId == number] for number in (-1, 5))
        assert [fill.execution for fill in told] == [fill.execution for fill in asked]
        assert report.execId == told[0].execution.execId
        assert {fill.execution.orderRef for fill in told} == {"key:1"}
        assert sum(Decimal(fill.execution.shares) for fill in told) == 100
        await client.wait_for(ib.Position, position="100")

        client.send(3, order(2, orderType="LMT", lmtPrice=1, transmit=False))
        client.send(3, order(3, orderType="STP", auxPrice=0.5, action="SELL", parentId=2))
        child = await client.wait_for(ib.OrderStatus, orderId=3, status="PreSubmitted")
        assert (child.parentId, child.whyHeld) == (2, "child,trigger")
        await client.wait_for(ib.OrderStatus, orderId=2, status="Submitted")
        # A modification by what was told of the order.
        working = [
            message for message in client.received if isinstance(message, ib.OpenOrder) and message.orderId == 2
        ][-1]
        assert working.order.transmit
        change = ib.PlaceOrderRequest(orderId=2, contract=working.contract, order=working.order)
        change.order.lmtPrice = 2
        client.send(3, change)
        while (await client.wait_for(ib.OpenOrder, orderId=2)).order.lmtPrice != 2:
            client.received = []
        other.send(16, ib.AllOpenOrdersRequest())
        await other.wait_for(ib.OpenOrdersEnd)
        assert (await other.wait_for(ib.OpenOrder, orderId=2)).order.clientId == 7
        client.send(4, ib.CancelOrderRequest(orderId=2))
        await client.wait_for(ib.OrderStatus, orderId=3, status="Cancelled")
        await client.wait_for(ib.ErrorMessage, id=2, errorCode=202)
        client.send(3, order(4, whatIf=True))
        preview = (await client.wait_for(ib.OpenOrder, orderId=4)).orderState
        assert preview.initMarginAfter > preview.initMarginBefore
        client.send(99, ib.CompletedOrdersRequest(apiOnly=True))
        await client.wait_for(ib.CompletedOrdersEnd)
        done = [message for message in client.received if isinstance(message, ib.CompletedOrder)]
        assert {message.orderState.status for message in done} == {"Filled", "Cancelled"}


async def test_a_client_id_in_use_is_refused_in_protobuf() -> None:
    async with running(SIMULATOR_SERVER_VERSION="225") as simulator, protobuf_client(simulator.port) as client:
        await client.wait_for(ib.NextValidId)
        async with protobuf_client(simulator.port) as second:
            await second.wait_for(ib.ErrorMessage, errorCode=326)


async def test_a_malformed_request_is_an_error_and_the_conversation_goes_on() -> None:
    async with running(SIMULATOR_SERVER_VERSION="225") as simulator, protobuf_client(simulator.port) as client:
        client.send(3, b"\x12\xff\xff\xff\x7f")
        error = await client.wait_for(ib.ErrorMessage, errorCode=320)
        assert error.errorMsg.startswith(
            "Server error when reading an API client request: 5 bytes are no PlaceOrderReq"
        )
        assert error.errorTime > 0
        client.send(49, ib.CurrentTimeRequest())
        assert (await client.wait_for(ib.CurrentTime)).currentTime > 0


# --- malformed messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"\x08",  # field 1 without its value
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a number of more than ten bytes
        b"\x12\xff\xff\xff\x7f",  # a contract of 256 MiB
        b"\x12\x05\x08",  # a contract that ends early
        b"\x0b\x0b\x0b",  # groups that never end
        b"\x12\x03\x12\x01\xff",  # a symbol that is no UTF-8
        b"\x00\x01",  # field 0
    ],
)
def test_bytes_that_are_no_message_are_an_error(content: bytes) -> None:
    with pytest.raises(FieldError, match=r"bytes are no \w+: "):
        dialect_for(225).decode(body_of(3, content))


@pytest.mark.parametrize("content", [b"", b"\x0a\x01x"], ids=["absent", "of the wrong wire type"])
@pytest.mark.parametrize(("text_id", "name"), [(71, "clientId"), (3, "orderId"), (1, "reqId"), (91, "marketRuleId")])
def test_a_request_without_its_id_is_an_error(text_id: int, name: str, content: bytes) -> None:
    with pytest.raises(FieldError, match=f"^{name} is missing in a "):
        dialect_for(225).decode(body_of(text_id, content))


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\1"])
def test_a_body_without_a_whole_message_number_is_malformed(body: bytes) -> None:
    with pytest.raises(WireError, match="too short for a message id"):
        dialect_for(225).decode(body)


def test_a_request_that_is_not_played_is_refused_by_its_number() -> None:
    dialect = dialect_for(225)
    assert dialect.decode(body_of(88, b"\x08\x2a")) == requests.NotServed(42, "message 88")
    assert dialect.decode(body_of(18, b"\x08\x01")) == requests.NotServed(-1, "message 18")
    assert dialect.decode(body_of(65, b"\x0a\x01x")) == requests.NotServed(-1, "message 65")


@given(message_id=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 320), content=st.binary(max_size=200))
def test_whatever_comes_is_a_request_or_an_error(message_id: int, content: bytes) -> None:
    try:
        request = dialect_for(225).decode(struct.pack(">i", message_id) + content)
    except (FieldError, WireError):
        return
    assert isinstance(request, requests.Request)
