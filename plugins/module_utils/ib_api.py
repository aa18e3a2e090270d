# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A minimal synchronous client of the Interactive Brokers API socket, for probes.

It asks two questions and trades nothing:

* ``handshake``: does an API server answer at all? Uses up no client id.
* ``session``: is it logged in, and to which accounts? Occupies one client id for a moment.

Wire format (TWS API, text dialect, server versions 100 to 178): the client sends ``API\\0`` and the range of versions
it speaks; every message after that, in both directions, is a big-endian uint32 length followed by that many bytes of
NUL-terminated fields. From version 201 on bodies are protobuf, so the range sent here ends at 178.

Every failure is an `IbApiError` whose class (and ``state``) names the cause and whose text says what to do.
"""

from __future__ import annotations

import socket
import struct
import time
import typing as t

# The exceptions are named after the cause they stand for.

MIN_VERSION = 100
MAX_VERSION = 178
# The length limits are sanity checks: an answer that is not the API's reads as a length of a gigabyte.
MAX_HELLO_BYTES = 4096
MAX_FRAME_BYTES = 0xFFFFFF
# How long to wait, after the answer is in, for the server to close its side too.
CLOSE_SECONDS = 1.0

START_API = 71
REQUEST_CURRENT_TIME = 49
ERROR = 4
NEXT_VALID_ID = 9
MANAGED_ACCOUNTS = 15
CURRENT_TIME = 49

CLIENT_ID_IN_USE = 326


class IbApiError(Exception):
    """The API did not give what was asked of it. `state` is a stable word for the cause."""

    state = "error"


class Unreachable(IbApiError):
    """No TCP connection."""

    state = "unreachable"


class NoHandshake(IbApiError):
    """The port accepts TCP, but nothing behind it speaks the API: often a forwarder that is up before its gateway."""

    state = "no_handshake"


class NotLoggedIn(IbApiError):
    """The API answers, but there is no session with the broker: no accounts or no next order id."""

    state = "not_logged_in"


class ClientIdInUse(IbApiError):
    """Error 326: another connection holds the client id."""

    state = "client_id_in_use"


class SessionBroken(IbApiError):
    """The session opened and then broke the protocol, closed, or left a request unanswered."""

    state = "session_broken"


class Handshake(t.NamedTuple):
    """What the server said of itself; `seconds` is the time from connect to answer."""

    server_version: int
    server_time: str
    seconds: float


class Session(t.NamedTuple):
    """An opened session: `current_time` is the gateway's clock in epoch seconds, `messages` are (code, text) pairs."""

    server_version: int
    accounts: list[str]
    next_order_id: int
    current_time: int
    messages: list[tuple[int, str]]
    seconds: float


def handshake(host: str, port: int, timeout: float) -> Handshake:
    """Connect and exchange versions. Raises Unreachable or NoHandshake within `timeout` seconds."""
    with _Connection(host, port, timeout) as connection:
        hello = _shake_hands(connection)
        connection.close_cleanly()
    return hello


def session(host: str, port: int, client_id: int, timeout: float) -> Session:
    """Open a session as `client_id`, ask for the time, and close.

    When it returns, the server has normally closed its side as well, so that the client id is free again. Raises any
    IbApiError within `timeout` seconds (which cover connecting, handshake and session together).
    """
    with _Connection(host, port, timeout) as connection:
        hello = _shake_hands(connection)
        opened = _open_session(connection, hello, client_id)
        connection.close_cleanly()
    return opened


class _Closed(Exception):
    """The server closed the connection."""


class _TimedOut(Exception):
    """The time for the whole conversation is over."""


class _Oversized(Exception):
    """A length prefix promises more bytes than any real message has."""


class _Connection:
    """A TCP connection that reads whole frames, however they are cut, under one deadline for everything."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self.address = f"{host}:{port}"
        self.timeout = timeout
        self.started = time.monotonic()
        self.received = b""
        try:
            self.socket = socket.create_connection((host, port), timeout)
        except OSError as problem:
            raise Unreachable(
                f"{self.address} cannot be reached ({problem}); wanted the API port of an IB gateway. "
                "Start the gateway, or correct host and port."
            ) from problem

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    @property
    def seconds(self) -> float:
        """Time since the connection was asked for."""
        return time.monotonic() - self.started

    def send(self, data: bytes) -> None:
        self._limit()
        try:
            self.socket.sendall(data)
        except OSError as problem:
            raise _Closed from problem

    def read_frame(self, limit: int) -> list[str]:
        """The fields of the next frame."""
        while True:
            if len(self.received) >= 4:
                (length,) = struct.unpack_from(">I", self.received)
                if length > limit:
                    raise _Oversized
                if len(self.received) >= 4 + length:
                    body, self.received = self.received[4 : 4 + length], self.received[4 + length :]
                    return body.decode("utf-8", "replace").split("\0")[:-1]
            self._receive()

    def close_cleanly(self) -> None:
        """Say goodbye and let the server close first, so that neither side is left half open."""
        deadline = time.monotonic() + CLOSE_SECONDS
        self.socket.settimeout(CLOSE_SECONDS)
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(65536) and time.monotonic() < deadline:
                pass
        except OSError:
            pass  # the answer is in already: how the other side hangs up changes nothing

    def _receive(self) -> None:
        self._limit()
        try:
            data = self.socket.recv(65536)
        except socket.timeout as problem:  # an alias of TimeoutError only from Python 3.10 on
            raise _TimedOut from problem
        except OSError as problem:
            raise _Closed from problem
        if not data:
            raise _Closed
        self.received += data

    def _limit(self) -> None:
        left = self.timeout - self.seconds
        if left <= 0:
            raise _TimedOut
        self.socket.settimeout(left)


def _frame(*fields: object) -> bytes:
    body = "".join(f"{field}\0" for field in fields).encode()
    return struct.pack(">I", len(body)) + body


def _shake_hands(connection: _Connection) -> Handshake:
    wanted = f"wanted an API handshake with a server version from {MIN_VERSION} to {MAX_VERSION}"
    versions = f"v{MIN_VERSION}..{MAX_VERSION}".encode()
    try:
        connection.send(b"API\0" + struct.pack(">I", len(versions)) + versions)
        fields = connection.read_frame(MAX_HELLO_BYTES)
    except _TimedOut as problem:
        seen = f"{connection.received[:40]!r} and no more" if connection.received else "nothing"
        raise NoHandshake(
            f"{connection.address} accepted the connection but sent {seen} in {connection.timeout:g} s; {wanted}. "
            "Only a port forwarder may be up, or the gateway hangs: look at the gateway's log."
        ) from problem
    except _Closed as problem:
        raise NoHandshake(
            f"{connection.address} accepted the connection and closed it; {wanted}. The gateway may still be starting, "
            "or does not trust this address: look at the gateway's log and its trusted addresses."
        ) from problem
    except _Oversized as problem:
        raise NoHandshake(
            f"{connection.address} answered {connection.received[:40]!r}; {wanted}. "
            "Another service listens there: correct host and port."
        ) from problem
    if len(fields) != 2 or not _is_number(fields[0]) or not MIN_VERSION <= int(fields[0]) <= MAX_VERSION:
        raise NoHandshake(
            f"{connection.address} answered {fields!r}; {wanted}. "
            "Another service or an incompatible gateway listens there: correct host and port, or the gateway's version."
        )
    return Handshake(int(fields[0]), fields[1], connection.seconds)


def _open_session(connection: _Connection, hello: Handshake, client_id: int) -> Session:
    messages: list[tuple[int, str]] = []
    try:
        accounts, next_order_id = _await_login(connection, hello, client_id, messages)
        current_time = _ask_time(connection, client_id, messages)
    except (_Oversized, ValueError) as problem:
        raise SessionBroken(
            f"{connection.address} (server version {hello.server_version}) sent a message that is not the API's; "
            f"wanted text messages of at most {MAX_FRAME_BYTES} bytes. Check what listens there."
        ) from problem
    return Session(hello.server_version, accounts, next_order_id, current_time, messages, connection.seconds)


def _await_login(
    connection: _Connection, hello: Handshake, client_id: int, messages: list[tuple[int, str]]
) -> tuple[list[str], int]:
    accounts: list[str] = []
    next_order_id: int | None = None
    try:
        connection.send(_frame(START_API, 2, client_id, ""))
        while not accounts or next_order_id is None:
            kind, fields = _next_message(connection, client_id, messages)
            if kind == MANAGED_ACCOUNTS:
                accounts = [account for account in fields[2].split(",") if account]
            elif kind == NEXT_VALID_ID:
                next_order_id = int(fields[2])
    except (_TimedOut, _Closed) as problem:
        raise NotLoggedIn(
            f"{connection.address} (server version {hello.server_version}) sent accounts "
            f"{','.join(accounts) or 'none'}, next order id {'none' if next_order_id is None else next_order_id} "
            f"{_ending(connection, problem)}; wanted both. The gateway is up but not logged in to the broker: "
            f"complete the login, and do not restart it in a loop.{_said(messages)}"
        ) from problem
    return accounts, next_order_id


def _ask_time(connection: _Connection, client_id: int, messages: list[tuple[int, str]]) -> int:
    try:
        connection.send(_frame(REQUEST_CURRENT_TIME, 1))
        while True:
            kind, fields = _next_message(connection, client_id, messages)
            if kind == CURRENT_TIME:
                return int(fields[2])
    except (_TimedOut, _Closed) as problem:
        raise SessionBroken(
            f"{connection.address} opened a session for client id {client_id} but did not tell the time "
            f"{_ending(connection, problem)}; wanted an answer to reqCurrentTime. "
            f"The gateway hangs: look at its log.{_said(messages)}"
        ) from problem


def _next_message(connection: _Connection, client_id: int, messages: list[tuple[int, str]]) -> tuple[int, list[str]]:
    """The next message that is no notice; notices go to `messages`, except 326, which ends the session."""
    while True:
        fields = connection.read_frame(MAX_FRAME_BYTES)
        kind = int(fields[0]) if fields else 0
        if len(fields) < {ERROR: 5, MANAGED_ACCOUNTS: 3, NEXT_VALID_ID: 3, CURRENT_TIME: 3}.get(kind, 1):
            raise ValueError(fields)
        if kind != ERROR:
            return kind, fields
        code, text = int(fields[3]), fields[4]
        if code == CLIENT_ID_IN_USE:
            raise ClientIdInUse(
                f"{connection.address} refused client id {client_id} (326: {text}); wanted a free client id. "
                "Stop the client that holds it, or use another id."
            )
        messages.append((code, text))


def _ending(connection: _Connection, problem: Exception) -> str:
    return "and closed the connection" if isinstance(problem, _Closed) else f"in {connection.timeout:g} s"


def _said(messages: list[tuple[int, str]]) -> str:
    return "".join(f" It said {code}: {text}." for code, text in messages)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
