# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: HTTP/1.1 on a unix socket, one request per connection. GET /health and GET /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, Protocol

from . import metrics

_REQUEST_LIMIT_BYTES = 8192
_REQUEST_TIMEOUT_SECONDS = 5.0


class Source(Protocol):
    """What the socket serves."""

    def health(self) -> dict[str, object]: ...
    def metrics_text(self) -> str: ...


class _Answer(NamedTuple):
    status: HTTPStatus
    content_type: str
    body: str


@contextlib.asynccontextmanager
async def serve(path: Path, source: Source) -> AsyncIterator[None]:
    """Serve on the socket while the context lasts. A socket file left by a killed engine is replaced.

    The file is 0660: its owner and group may ask, nobody else.
    """
    path.unlink(missing_ok=True)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(_respond(head, source)))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away or talks something else; there is nobody to tell
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, path, limit=_REQUEST_LIMIT_BYTES)
    path.chmod(0o660)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def _respond(head: bytes, source: Source) -> _Answer:
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3:
        return _Answer(HTTPStatus.BAD_REQUEST, "text/plain", "not an HTTP request\n")
    method, target, _ = words
    if target not in ("/health", "/metrics"):
        return _Answer(HTTPStatus.NOT_FOUND, "text/plain", f"no {target}; there are /health and /metrics\n")
    if method != "GET":
        return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", f"{target} answers GET only\n")
    if target == "/metrics":
        return _Answer(HTTPStatus.OK, metrics.CONTENT_TYPE, source.metrics_text())
    document = source.health()
    status = HTTPStatus.SERVICE_UNAVAILABLE if document["status"] == "fail" else HTTPStatus.OK
    return _Answer(status, "application/health+json", json.dumps(document) + "\n")


def _response(answer: _Answer) -> bytes:
    body = answer.body.encode()
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
