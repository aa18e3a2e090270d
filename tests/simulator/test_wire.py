# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes: what is read and written, and what a hostile or confused client cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from decimal import Decimal
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import IB, LimitOrder, Order

from gateway_simulator.messages import TextDialect, dialect_for
from gateway_simulator.model import ContractQuery, OrderTerms
from gateway_simulator.requests import PlaceOrder, Request
from gateway_simulator.wire import LARGEST_FRAME, FieldError, Fields, WireError, frame, read_frame, split_fields
from tests.simulator.support import AAPL, ACCOUNT, connected, running

HELLO = b"API\0" + struct.pack(">I", 9) + b"v157..178"
START = frame(71, 2, 50, "")


def stream(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


def test_a_frame_is_its_length_and_fields_that_end_in_nul() -> None:
    assert frame(71, 2, True, None, "é", Decimal("1E+2")) == b"\0\0\0\x0f71\x002\x001\0\0\xc3\xa9\x00100\0"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\0\0", "the stream ended inside a frame's length, after 2 bytes"),
        (b"\0\0\0\x05abc", "the stream ended after 3 of a frame's 5 bytes"),
        (b"\0\0\0\0", "frame length 0, wanted 1 to 1048576"),
        (b"GET / HTTP/1.1\r\n\r\n", "frame length 1195725856, wanted 1 to 1048576"),
    ],
)
async def test_a_bad_frame_says_what_is_wrong(data: bytes, text: str) -> None:
    with pytest.raises(WireError) as raised:
        await read_frame(stream(data))
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("text", "reader", "problem"),
    [
        ("x", "integer", "field 0 is 'x', wanted a whole number"),
        ("4294967296", "integer", "field 0 is '4294967296', wanted a number of 32 bits"),
        ("1,5", "decimal", "field 0 is '1,5', wanted a number"),
        ("nan", "decimal", "field 0 is 'nan', wanted a number"),
        ("Infinity", "decimal", "field 0 is 'Infinity', wanted a number"),
    ],
)
def test_a_bad_field_says_what_is_wrong(text: str, reader: str, problem: str) -> None:
    with pytest.raises(FieldError) as raised:
        getattr(Fields([text]), reader)()
    assert str(raised.value) == problem
    with pytest.raises(FieldError, match=r"^field 1 is missing$"):
        Fields([text]).skip(2)


def test_unset_numbers_read_as_none_and_empty_ones_as_nothing() -> None:
    assert Fields([""]).decimal() is None
    assert Fields(["1.7976931348623157E308"]).decimal() is None
    assert Fields([""]).integer() == 0
    assert Fields([""]).boolean() is False


def order_fields(order: Order) -> list[str]:
    """Return the fields of a placeOrder message as ib_async writes it."""
    written: list[str] = []
    client = IB().client
    client._serverVersion = 178
    with (
        mock.patch.object(client, "isConnected", return_value=True),
        mock.patch.object(client, "sendMsg", written.append),
    ):
        client.placeOrder(8, AAPL, order)
    return split_fields(written[0].encode())


def test_an_order_is_read_as_the_client_wrote_it() -> None:
    order = LimitOrder("SELL", 4, 1.25, orderRef="blue:1", account=ACCOUNT, tif="GTC", outsideRth=True, hidden=True)
    order.rule80A, order.displaySize = "I", 2
    assert TextDialect(178).decode_fields(Fields(order_fields(order))) == PlaceOrder(
        order_id=8,
        contract=ContractQuery(265598, "AAPL", "STK", "SMART", "", "USD"),
        action="SELL",
        quantity=Decimal(4),
        account=ACCOUNT,
        what_if=False,
        terms=OrderTerms(
            order_type="LMT",
            limit_price=Decimal("1.25"),
            tif="GTC",
            open_close="O",
            origin=0,
            order_ref="blue:1",
            outside_rth=True,
            hidden=True,
            given_back={"rule80A": "I", "displaySize": "2", "usePriceMgmtAlgo": "0"},
        ),
    )


_GOOD_ORDER = order_fields(LimitOrder("BUY", 1, 1.25))[1:]
_odd_fields = st.sampled_from(["", "0", "1", "-1", "x", "BAG", "1e400", "1e-400", "9" * 30, "nan", "\uffff", "MKT"])


@given(st.dictionaries(st.integers(0, 90), _odd_fields, max_size=4), st.integers(0, 120))
def test_an_order_with_odd_or_missing_fields_is_read_or_refused(odd: dict[int, str], length: int) -> None:
    fields = [odd.get(index, field) for index, field in enumerate(_GOOD_ORDER)][:length]
    with contextlib.suppress(FieldError):
        assert isinstance(TextDialect(178).decode_fields(Fields(["3", *fields])), PlaceOrder)


@given(st.integers(100, 225), st.integers(-1, 120), st.lists(_odd_fields, max_size=30))
def test_a_request_of_any_fields_at_any_version_is_read_or_refused(
    version: int, number: int, fields: list[str]
) -> None:
    body = frame(*fields)[4:]
    body = struct.pack(">i", number) + body if version > 200 else f"{number}\0".encode() + body
    with contextlib.suppress(FieldError):
        assert isinstance(dialect_for(version).decode(body), Request)


@given(st.binary(max_size=40))
def test_a_message_of_any_bytes_is_split_or_refused(body: bytes) -> None:
    with contextlib.suppress(WireError):
        assert "\0".join([*split_fields(body), ""]).encode() == body


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        b"API\0\xff\xff\xff\xff",
        b"API\0" + struct.pack(">I", 5) + b"hello",
        b"API\0" + struct.pack(">I", 9) + b"v050..099",
        b"API\0" + struct.pack(">I", 9) + b"v213..225",
        HELLO + b"\xff\xff\xff\xff",
        HELLO + struct.pack(">I", LARGEST_FRAME + 1),
        HELLO + struct.pack(">I", 3) + b"71\0",
        HELLO + struct.pack(">I", 4) + b"61\0" + b"1",
        HELLO + frame(61, 1),
        HELLO + START + struct.pack(">I", 4) + b"\xff\xfe1\0",
        HELLO + START + b"\0\0\0\0",
    ],
)
async def test_malformed_bytes_cost_only_their_own_connection(data: bytes) -> None:
    async with running() as simulator, connected(simulator.port) as client:
        # A short message leaves the server waiting for more, so the sender's end of file is part of each case.
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(data)
        writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 2)
        writer.close()
        assert await client.reqCurrentTimeAsync()
        async with connected(simulator.port, 50) as other:
            assert other.isConnected()


@pytest.mark.parametrize(
    ("request_frame", "text"),
    [
        (frame("x"), "Server error when reading an API client request: field 0 is 'x', wanted a whole number"),
        (
            frame(4, 1, "abc"),
            "Server error when reading an API client request: field 2 is 'abc', wanted a whole number",
        ),
        (frame(3, 1), "Server error when reading an API client request: field 2 is missing"),
    ],
)
async def test_a_request_that_cannot_be_read_is_error_320_and_the_session_goes_on(
    request_frame: bytes, text: str
) -> None:
    async with running() as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(HELLO + START + request_frame + frame(49, 1))
        answers: list[list[str]] = []
        while not answers or answers[-1][0] != "49":
            body = await asyncio.wait_for(read_frame(reader), 2)
            assert body is not None
            answers.append(split_fields(body))
        assert answers[-2] == ["4", "2", "-1", "320", text, ""]
        writer.close()


async def test_the_handshake_is_one_write_and_nothing_follows_before_the_api_starts() -> None:
    async with running() as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(HELLO)
        data = await reader.read(4096)
        assert data[:8] == b"\0\0\0\x1a178\0"
        assert len(data) == 4 + 0x1A
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        writer.close()
