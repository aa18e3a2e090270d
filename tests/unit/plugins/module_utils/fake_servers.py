# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small servers on real sockets that behave well or badly, for the tests of the probes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import typing as t
from pathlib import Path

Handler = t.Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def serving(handler: Handler, path: Path | None = None) -> t.Iterator[int]:
    """Give every connection to `handler`, in a thread of its own, and yield the port (0 on a Unix socket at `path`).

    The event that a handler gets is set at the end; the handler then returns. It may fail with OSError, as when the
    client hangs up.
    """
    listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    listener.bind(str(path) if path else ("127.0.0.1", 0))
    listener.listen()
    ending = threading.Event()
    workers: list[threading.Thread] = []

    def work(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            handler(connection, ending)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _peer = listener.accept()
                workers.append(threading.Thread(target=work, args=(connection,), daemon=True))
                workers[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield 0 if path else listener.getsockname()[1]
    finally:
        ending.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [acceptor, *workers]:
            thread.join(5)
            if thread.is_alive():
                raise RuntimeError("a fake server did not end")


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return t.cast(int, probe.getsockname()[1])


def silent(_connection: socket.socket, ending: threading.Event) -> None:
    """Accept and never say a word, like a port forwarder without its gateway."""
    ending.wait()


def closing(connection: socket.socket, _ending: threading.Event) -> None:
    """Accept, hear the client out, and hang up."""
    connection.recv(65536)


def saying(data: bytes) -> Handler:
    """Answer the first words of the client with `data`, then say no more."""

    def handler(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(data)
        ending.wait()

    return handler


def http(
    body: bytes | str, status: str = "200 OK", content_type: str = "text/plain", requests: list[str] | None = None
) -> Handler:
    """Answer every GET alike; the request lines and headers are put on `requests`."""

    def handler(connection: socket.socket, _ending: threading.Event) -> None:
        request = _read_until(connection, b"\r\n\r\n")
        if requests is not None:
            requests.append(request.decode())
        content = body.encode() if isinstance(body, str) else body
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)

    return handler


def frame(*fields: object) -> bytes:
    """A message of the IB API in text: length, then NUL-terminated fields."""
    body = b"".join(str(field).encode() + b"\0" for field in fields)
    return struct.pack(">I", len(body)) + body


HELLO = frame(178, "20261122 18:47:03 GMT")
ACCOUNTS = frame(15, 1, "DU1234567")
NEXT_ID = frame(9, 1, 1)
FARM_OK = frame(4, 2, -1, 2104, "Market data farm connection is OK:usfarm", "")
TIME = frame(49, 1, 1795373223)


def gateway(
    opening: bytes = ACCOUNTS + NEXT_ID + FARM_OK,
    time_answer: bytes = TIME,
    hello: bytes = HELLO,
    bytewise: bool = False,
    hang_up: bool = False,
    heard: list[bytes] | None = None,
) -> Handler:
    """An IB gateway: versions, then `opening` after startApi, then `time_answer` after reqCurrentTime.

    What the client sends is put on `heard`, the end of its side as b"". With `hang_up` it closes after `opening`.
    """

    def handler(connection: socket.socket, _ending: threading.Event) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = heard if heard is not None else []

        def send(data: bytes) -> None:
            for part in [data[at : at + 1] for at in range(len(data))] if bytewise else [data]:
                connection.sendall(part)

        said.append(_read_exactly(connection, 4) + _read_frame(connection))
        send(hello)
        for answer in (opening, time_answer):
            said.append(_read_frame(connection))
            if not said[-1]:
                return
            send(answer)
            if hang_up:
                return
        said.append(connection.recv(1))

    return handler


def _read_frame(connection: socket.socket) -> bytes:
    length = _read_exactly(connection, 4)
    return length + _read_exactly(connection, struct.unpack(">I", length)[0]) if length else b""


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            return b""
        data += part
    return data


def _read_until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the client hung up")
        data += part
    return data
