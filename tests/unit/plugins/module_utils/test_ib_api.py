# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import ib_api
from tests.unit.plugins.module_utils.fake_servers import (
    ACCOUNTS,
    FARM_OK,
    HELLO,
    NEXT_ID,
    TIME,
    Handler,
    closing,
    frame,
    free_port,
    gateway,
    saying,
    serving,
    silent,
)

HOST = "127.0.0.1"
VERSIONS = b"API\0\0\0\0\x09v100..178"
START_API_7 = b"\0\0\0\x0871\x002\x007\0\0"
REQUEST_TIME = b"\0\0\0\x0549\x001\0"
FARM_OK_MESSAGE = (2104, "Market data farm connection is OK:usfarm")


def test_handshake_tells_version_and_time_and_takes_no_client_id() -> None:
    heard: list[bytes] = []
    with serving(gateway(heard=heard)) as port:
        hello = ib_api.handshake(HOST, port, 5)
    assert hello[:2] == (178, "20261122 18:47:03 GMT")
    assert 0 < hello.seconds < 5
    assert heard == [VERSIONS, b""], "the client must say nothing after the handshake, and close its side"


def test_session_tells_accounts_order_id_time_and_messages() -> None:
    heard: list[bytes] = []
    with serving(gateway(heard=heard)) as port:
        session = ib_api.session(HOST, port, 7, 5)
    assert session[:-1] == (178, ["DU1234567"], 1, 1795373223, [FARM_OK_MESSAGE])
    assert 0 < session.seconds < 5
    assert heard == [VERSIONS, START_API_7, REQUEST_TIME, b""]


@pytest.mark.parametrize(
    ("opening", "accounts"),
    [
        pytest.param(NEXT_ID + ACCOUNTS, ["DU1234567"], id="order id first"),
        pytest.param(frame(15, 1, "") + NEXT_ID + ACCOUNTS, ["DU1234567"], id="no accounts at first"),
        pytest.param(frame(15, 1, "DU1,DU2,") + NEXT_ID, ["DU1", "DU2"], id="several accounts"),
        pytest.param(frame(102) + frame(61, 3, "DU1") + ACCOUNTS + NEXT_ID, ["DU1234567"], id="unasked messages"),
        pytest.param(frame(49, 1, 5) + ACCOUNTS + NEXT_ID, ["DU1234567"], id="a time nobody asked for"),
    ],
)
def test_session_accepts_the_opening_in_any_shape(opening: bytes, accounts: list[str]) -> None:
    with serving(gateway(opening)) as port:
        session = ib_api.session(HOST, port, 7, 5)
    assert (session.accounts, session.next_order_id, session.current_time) == (accounts, 1, 1795373223)


def test_session_reads_a_server_that_sends_single_bytes() -> None:
    with serving(gateway(bytewise=True)) as port:
        session = ib_api.session(HOST, port, 7, 5)
    assert (session.accounts, session.messages) == (["DU1234567"], [FARM_OK_MESSAGE])


def test_session_collects_messages_until_the_time_is_told() -> None:
    late = frame(4, 2, -1, 1100, "Connectivity between IB and TWS has been lost.", "") + TIME
    with serving(gateway(time_answer=late)) as port:
        session = ib_api.session(HOST, port, 7, 5)
    assert session.messages == [FARM_OK_MESSAGE, (1100, "Connectivity between IB and TWS has been lost.")]


def test_unreachable_is_told_apart() -> None:
    port = free_port()
    with pytest.raises(ib_api.Unreachable) as failure:
        ib_api.handshake(HOST, port, 5)
    assert failure.value.state == "unreachable"
    assert str(failure.value) == (
        f"127.0.0.1:{port} cannot be reached ([Errno 111] Connection refused); wanted the API port of an IB gateway. "
        "Start the gateway, or correct host and port."
    )


WANTED = "wanted an API handshake with a server version from 100 to 178"
OTHER_SERVICE = "Another service listens there: correct host and port."
OTHER_VERSION = (
    "Another service or an incompatible gateway listens there: correct host and port, or the gateway's version."
)
HANGS = "Only a port forwarder may be up, or the gateway hangs: look at the gateway's log."
STARTING = (
    "The gateway may still be starting, or does not trust this address: "
    "look at the gateway's log and its trusted addresses."
)


@pytest.mark.parametrize(
    ("handler", "seen", "advice"),
    [
        pytest.param(silent, "accepted the connection but sent nothing in 0.5 s", HANGS, id="silent"),
        pytest.param(
            saying(HELLO[:7]), f"accepted the connection but sent {HELLO[:7]!r} and no more in 0.5 s", HANGS, id="half"
        ),
        pytest.param(closing, "accepted the connection and closed it", STARTING, id="closing"),
        pytest.param(
            saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            r"answered b'HTTP/1.1 400 Bad Request\r\n\r\n'",
            OTHER_SERVICE,
            id="web server",
        ),
        pytest.param(saying(struct.pack(">I", 2**32 - 1)), r"answered b'\xff\xff\xff\xff'", OTHER_SERVICE, id="long"),
        pytest.param(saying(frame("hello", "you")), "answered ['hello', 'you']", OTHER_VERSION, id="no number"),
        pytest.param(saying(frame(178)), "answered ['178']", OTHER_VERSION, id="one field"),
        pytest.param(saying(frame()), "answered []", OTHER_VERSION, id="no field"),
        pytest.param(saying(frame(201, "now")), "answered ['201', 'now']", OTHER_VERSION, id="protobuf version"),
    ],
)
def test_no_handshake_is_told_apart(handler: Handler, seen: str, advice: str) -> None:
    with serving(handler) as port, pytest.raises(ib_api.NoHandshake) as failure:
        ib_api.session(HOST, port, 7, 0.5 if advice == HANGS else 5)
    assert failure.value.state == "no_handshake"
    assert str(failure.value) == f"127.0.0.1:{port} {seen}; {WANTED}. {advice}"


@pytest.mark.parametrize(
    ("opening", "hang_up", "seen", "said"),
    [
        pytest.param(b"", False, "accounts none, next order id none in 0.5 s", "", id="nothing"),
        pytest.param(NEXT_ID, False, "accounts none, next order id 1 in 0.5 s", "", id="no accounts"),
        pytest.param(ACCOUNTS, False, "accounts DU1234567, next order id none in 0.5 s", "", id="no order id"),
        pytest.param(frame(15, 1, "") + NEXT_ID, False, "accounts none, next order id 1 in 0.5 s", "", id="empty"),
        pytest.param(b"", True, "accounts none, next order id none and closed the connection", "", id="hung up"),
        pytest.param(
            FARM_OK,
            False,
            "accounts none, next order id none in 0.5 s",
            " It said 2104: Market data farm connection is OK:usfarm.",
            id="only messages",
        ),
    ],
)
def test_not_logged_in_is_told_apart(opening: bytes, hang_up: bool, seen: str, said: str) -> None:
    with serving(gateway(opening, hang_up=hang_up)) as port, pytest.raises(ib_api.NotLoggedIn) as failure:
        ib_api.session(HOST, port, 7, 0.5)
    assert failure.value.state == "not_logged_in"
    assert str(failure.value) == (
        f"127.0.0.1:{port} (server version 178) sent {seen}; wanted both. The gateway is up but not logged in to the "
        f"broker: complete the login, and do not restart it in a loop.{said}"
    )


def test_client_id_in_use_is_told_apart_at_once() -> None:
    refusal = frame(4, 2, -1, 326, "Unable to connect as the client id is already in use.", "")
    started = time.monotonic()
    with serving(gateway(refusal, hang_up=True)) as port, pytest.raises(ib_api.ClientIdInUse) as failure:
        ib_api.session(HOST, port, 7, 30)
    assert time.monotonic() - started < 10
    assert failure.value.state == "client_id_in_use"
    assert str(failure.value) == (
        f"127.0.0.1:{port} refused client id 7 (326: Unable to connect as the client id is already in use.); "
        "wanted a free client id. Stop the client that holds it, or use another id."
    )


@pytest.mark.parametrize(
    ("time_answer", "hang_up", "end"),
    [
        pytest.param(b"", False, "in 0.5 s", id="nothing"),
        pytest.param(TIME[:6], False, "in 0.5 s", id="half an answer"),
        pytest.param(frame(53, 1), False, "in 0.5 s", id="another answer"),
        pytest.param(b"", True, "and closed the connection", id="hung up"),
    ],
)
def test_a_session_that_hangs_is_told_apart(time_answer: bytes, hang_up: bool, end: str) -> None:
    with (
        serving(gateway(time_answer=time_answer, hang_up=hang_up)) as port,
        pytest.raises(ib_api.SessionBroken) as failure,
    ):
        ib_api.session(HOST, port, 7, 0.5)
    assert failure.value.state == "session_broken"
    assert str(failure.value) == (
        f"127.0.0.1:{port} opened a session for client id 7 but did not tell the time {end}; wanted an answer to "
        "reqCurrentTime. The gateway hangs: look at its log. It said 2104: Market data farm connection is OK:usfarm."
    )


@pytest.mark.parametrize(
    "opening",
    [
        pytest.param(struct.pack(">I", 0x1000000) + b"15", id="oversized"),
        pytest.param(frame(), id="no field"),
        pytest.param(frame("hello"), id="no number"),
        pytest.param(frame(9, 1), id="field missing"),
        pytest.param(frame(9, 1, "x"), id="order id no number"),
        pytest.param(frame(4, 2, -1, "x", ""), id="code no number"),
    ],
)
def test_garbage_in_a_session_is_told_apart(opening: bytes) -> None:
    with serving(gateway(opening)) as port, pytest.raises(ib_api.SessionBroken) as failure:
        ib_api.session(HOST, port, 7, 5)
    assert str(failure.value) == (
        f"127.0.0.1:{port} (server version 178) sent a message that is not the API's; wanted text messages of at most "
        "16777215 bytes. Check what listens there."
    )


def test_one_deadline_holds_against_a_server_that_drips() -> None:
    def drip(connection: socket.socket, ending: threading.Event) -> None:
        connection.sendall(struct.pack(">I", 4095))
        while not ending.wait(0.002):
            connection.sendall(b"x")

    started = time.monotonic()
    with serving(drip) as port, pytest.raises(ib_api.NoHandshake) as failure:
        ib_api.handshake(HOST, port, 0.3)
    assert time.monotonic() - started < 2
    assert str(failure.value) == (
        f"127.0.0.1:{port} accepted the connection but sent "
        rf"b'\x00\x00\x0f\xffxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' and no more in 0.3 s; {WANTED}. {HANGS}"
    )


def test_a_server_that_never_stops_talking_does_not_hold_the_goodbye() -> None:
    def talks_on(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(HELLO)
        while not ending.wait(0.1):
            connection.sendall(FARM_OK)

    with serving(talks_on) as port:
        answers: list[ib_api.Handshake] = []
        asking = threading.Thread(target=lambda: answers.append(ib_api.handshake(HOST, port, 1)), daemon=True)
        asking.start()
        asking.join(5)
        assert [answer.server_version for answer in answers] == [178]
