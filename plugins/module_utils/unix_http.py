# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP with a deadline for the whole exchange, over a Unix socket or a connected one, from the standard library.

``http.client`` alone limits each read, so a server that sends a byte now and then holds its caller for ever; here
every read gets only what is left of the one deadline.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import time
import typing as t
from urllib.parse import quote

DOCKER_SOCKET = "/var/run/docker.sock"
MAX_BODY_BYTES = 4 * 1024 * 1024


class Response(t.NamedTuple):
    """An HTTP answer; `body` is cut at MAX_BODY_BYTES, `content_type` is without its parameters."""

    status: int
    body: bytes
    content_type: str = ""


def get(socket_path: str, path: str, timeout: float, host: str = "localhost") -> Response:
    """GET `path` from the server that listens on the Unix socket `socket_path`.

    Raises OSError (no socket, nobody listens, TimeoutError after `timeout` seconds) or http.client.HTTPException (the
    answer is not HTTP). Any HTTP status is an answer.
    """
    deadline = time.monotonic() + timeout
    return exchange(_connected(socket_path, timeout), host, path, deadline)


def post(socket_path: str, path: str, document: t.Mapping[str, t.Any], timeout: float) -> Response:
    """POST `document` as JSON, and otherwise as `get`. After an error the server may have done it all the same."""
    deadline = time.monotonic() + timeout
    return exchange(_connected(socket_path, timeout), "localhost", path, deadline, json.dumps(document).encode())


def exchange(connection: socket.socket, host: str, path: str, deadline: float, body: bytes | None = None) -> Response:
    """One GET, or POST of a JSON `body`, on a connected socket, which is closed at the end.

    `deadline` is on the time.monotonic() clock.
    """
    client = http.client.HTTPConnection(host)
    client.sock = t.cast(socket.socket, _DeadlineSocket(connection, deadline))
    headers = {"Connection": "close", "Accept": "*/*"}
    try:
        if body is None:
            client.request("GET", path, headers=headers)
        else:
            client.request("POST", path, body, {**headers, "Content-Type": "application/json"})
        answer = client.getresponse()
        return Response(answer.status, answer.read(MAX_BODY_BYTES), answer.headers.get_content_type())
    except socket.timeout as problem:  # an alias of TimeoutError only from Python 3.10 on
        raise TimeoutError("timed out") from problem
    finally:
        client.close()
        connection.close()


def docker_inspect(name: str, timeout: float = 5.0, socket_path: str = DOCKER_SOCKET) -> dict[str, t.Any] | None:
    """What the Docker Engine knows of the container `name` (GET /containers/<name>/json), or None when there is none.

    Raises OSError when the engine does not answer, RuntimeError with the engine's own words when it answers an error.
    """
    answer = get(socket_path, f"/containers/{quote(name, safe='')}/json", timeout, host="docker")
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise RuntimeError(
            f"the Docker Engine at {socket_path} answered {answer.status} for container {name!r}; wanted 200: "
            f"{answer.body[:200].decode('utf-8', 'replace').strip()}"
        )
    return t.cast("dict[str, t.Any]", json.loads(answer.body))


def _connected(path: str, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


class _DeadlineSocket:
    """The part of a socket that http.client uses, every call limited by what is left until the deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline

    def limit(self) -> socket.socket:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.connection.settimeout(left)
        return self.connection

    def sendall(self, data: bytes) -> None:
        self.limit().sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 -- http.client asks for 'rb'
        return io.BufferedReader(_DeadlineReader(self))

    def close(self) -> None:
        """Nothing: http.client calls this after the headers of a last answer, when its body is still to be read."""


class _DeadlineReader(io.RawIOBase):
    def __init__(self, source: _DeadlineSocket) -> None:
        self.source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        return self.source.limit().recv_into(buffer)
