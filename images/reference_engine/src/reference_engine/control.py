# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: HTTP/1.1 on a unix socket, one request per connection. The calls are those of the contract."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from . import log, metrics
from .config import WorkingOrders

_REQUEST_LIMIT_BYTES: Final = 8192
_REQUEST_TIMEOUT_SECONDS: Final = 5.0
_TIMEOUT_LIMIT_SECONDS: Final = 600.0


class Outcome(NamedTuple):
    """What a call has come to: ``status`` 200 when it is as asked, else the document has ``reason``."""

    status: HTTPStatus
    document: Mapping[str, Any]


class Source(Protocol):
    """What the socket serves. ``timeout`` is in seconds."""

    def health(self) -> dict[str, Any]: ...
    def metrics_text(self) -> str: ...
    async def promote(self, timeout: float) -> Outcome: ...
    async def demote(self, timeout: float, working_orders: WorkingOrders) -> Outcome: ...
    async def flatten(self, reason: str, requested_by: str, timeout: float) -> Outcome: ...


class BadRequestError(Exception):
    """The request cannot be carried out as it is written; the text says what was seen and wanted."""


@dataclass(frozen=True)
class _Answer:
    status: HTTPStatus
    content_type: str
    body: str


@contextlib.asynccontextmanager
async def serve(path: Path, source: Source) -> AsyncIterator[None]:
    """Serve on the socket while the context lasts. A socket file left by a killed engine is replaced.

    The file is 0660: its owner and group may ask, nobody else. What was asked for is carried out to its end, whether
    or not the asker waits for the answer.
    """
    path.unlink(missing_ok=True)
    calls: set[asyncio.Task[_Answer]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_SECONDS):
                request = await _read(reader)
            call = asyncio.create_task(_respond(request, source))
            calls.add(call)
            call.add_done_callback(calls.discard)
            writer.write(_response(await asyncio.shield(call)))
            async with asyncio.timeout(_REQUEST_TIMEOUT_SECONDS):
                await writer.drain()
        except BadRequestError as error:
            writer.write(_response(_text(HTTPStatus.BAD_REQUEST, str(error))))
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
        if calls:
            # Their answers have been decided by what ended the engine; a moment is enough to give them.
            await asyncio.wait(calls, timeout=1.0)


class _Request(NamedTuple):
    method: str
    target: str
    body: bytes


async def _read(reader: asyncio.StreamReader) -> _Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:
        raise BadRequestError("not an HTTP request")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > _REQUEST_LIMIT_BYTES or "transfer-encoding" in headers:
        raise BadRequestError(
            f"Content-Length is {length!r}, wanted the length of a body of at most {_REQUEST_LIMIT_BYTES} bytes"
        )
    return _Request(words[0], words[1], await reader.readexactly(int(length)))


async def _respond(request: _Request, source: Source) -> _Answer:
    if request.target not in _CALLS:
        known = " and ".join((", ".join(list(_CALLS)[:-1]), list(_CALLS)[-1]))
        return _text(HTTPStatus.NOT_FOUND, f"no {request.target}; there are {known}")
    method, call = _CALLS[request.target]
    if request.method != method:
        return _text(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.target} answers {method} only")
    try:
        return await call(source, request.body)
    except BadRequestError as error:
        return _text(HTTPStatus.BAD_REQUEST, f"{request.target}: {error}")
    except Exception as error:  # noqa: BLE001 who asked must be told, whatever it was
        log.error("call_failed", traceback=True, call=request.target, reason=f"{type(error).__name__}: {error}")
        return _json(Outcome(HTTPStatus.INTERNAL_SERVER_ERROR, {"reason": f"{type(error).__name__}: {error}"}))


async def _health(source: Source, _: bytes) -> _Answer:
    document = source.health()
    status = HTTPStatus.SERVICE_UNAVAILABLE if document["status"] == "fail" else HTTPStatus.OK
    return _json(Outcome(status, document), "application/health+json")


async def _metrics(source: Source, _: bytes) -> _Answer:
    return _Answer(HTTPStatus.OK, metrics.CONTENT_TYPE, source.metrics_text())


async def _promote(source: Source, body: bytes) -> _Answer:
    fields = _Fields(body)
    timeout = fields.seconds("timeout", 30.0)
    fields.finish()
    return _json(await source.promote(timeout))


async def _demote(source: Source, body: bytes) -> _Answer:
    fields = _Fields(body)
    timeout = fields.seconds("timeout", 15.0)
    working_orders = fields.text("working_orders", "keep")
    if working_orders not in ("keep", "cancel"):
        raise BadRequestError(f"working_orders is {working_orders!r}, wanted keep or cancel")
    fields.finish()
    return _json(await source.demote(timeout, working_orders))  # type: ignore[arg-type]  # one of the two


async def _flatten(source: Source, body: bytes) -> _Answer:
    fields = _Fields(body)
    reason = fields.text("reason")
    requested_by = fields.text("requested_by", "control socket")
    timeout = fields.seconds("timeout", 60.0)
    fields.finish()
    return _json(await source.flatten(reason, requested_by, timeout))


_CALLS: Final[Mapping[str, tuple[str, Callable[[Source, bytes], Awaitable[_Answer]]]]] = {
    "/health": ("GET", _health),
    "/metrics": ("GET", _metrics),
    "/lease/promote": ("POST", _promote),
    "/lease/demote": ("POST", _demote),
    "/flatten": ("POST", _flatten),
}


class _Fields:
    """The JSON object of a request's body (none is an empty one): fields are taken by name, the rest is refused."""

    def __init__(self, body: bytes) -> None:
        try:
            fields = json.loads(body or b"{}")
        except ValueError as error:
            raise BadRequestError(f"the body is not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise BadRequestError(f"the body is {fields!r}, wanted a JSON object")
        self._left: dict[str, Any] = fields

    def seconds(self, name: str, default: float) -> float:
        value = self._left.pop(name, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _TIMEOUT_LIMIT_SECONDS:
            return float(value)
        raise BadRequestError(f"{name} is {value!r}, wanted seconds above 0, at most {_TIMEOUT_LIMIT_SECONDS:g}")

    def text(self, name: str, default: str = "") -> str:
        value = self._left.pop(name, default)
        if isinstance(value, str) and value.strip():
            return value
        raise BadRequestError(f"{name} is {value!r}, wanted a text")

    def finish(self) -> None:
        if self._left:
            raise BadRequestError(f"{', '.join(map(repr, self._left))}: not a field of this call")


def _text(status: HTTPStatus, text: str) -> _Answer:
    return _Answer(status, "text/plain", f"{text}\n")


def _json(outcome: Outcome, content_type: str = "application/json") -> _Answer:
    return _Answer(outcome.status, content_type, json.dumps(outcome.document) + "\n")


def _response(answer: _Answer) -> bytes:
    body = answer.body.encode()
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
