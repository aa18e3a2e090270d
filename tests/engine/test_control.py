# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket speaks HTTP, to its owner and group only."""

from __future__ import annotations

import asyncio
import json
import stat
from http import HTTPStatus
from pathlib import Path

import pytest

from reference_engine import control
from reference_engine.control import Outcome
from tests.engine.support import Place, eventually

CALLS = "/health, /metrics, /lease/promote, /lease/demote and /flatten"


class Engine:
    """What the socket asks. It notes what it was asked for; with ``holds`` it answers only when that is set."""

    def __init__(self, status: str = "pass", holds: asyncio.Event | None = None) -> None:
        self._status = status
        self._holds = holds
        self.asked: list[tuple[object, ...]] = []

    def health(self) -> dict[str, object]:
        return {"status": self._status}

    def metrics_text(self) -> str:
        return "ballast_engine_ticks_total 1\n"

    async def promote(self, timeout: float) -> Outcome:
        self.asked.append(("promote", timeout))
        if self._holds:
            await self._holds.wait()
        self.asked.append(("promoted",))
        return Outcome(HTTPStatus.CONFLICT, {"role": "standby", "reason": "green holds it"})

    async def demote(self, timeout: float, working_orders: str) -> Outcome:
        self.asked.append(("demote", timeout, working_orders))
        return Outcome(HTTPStatus.OK, {"role": "standby"})

    async def flatten(self, reason: str, requested_by: str, timeout: float) -> Outcome:
        self.asked.append(("flatten", reason, requested_by, timeout))
        raise RuntimeError("it broke")


async def ask(path: Path, request: bytes) -> tuple[str, dict[str, str], str]:
    """Return status line, headers and body."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request)
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    first, *lines = head.split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


async def exchange(place: Place, request: bytes, status: str = "pass") -> tuple[str, dict[str, str], str]:
    async with control.serve(place.socket, Engine(status)):
        return await ask(place.socket, request)


@pytest.mark.parametrize(
    ("status", "line"),
    [("pass", "HTTP/1.1 200 OK"), ("warn", "HTTP/1.1 200 OK"), ("fail", "HTTP/1.1 503 Service Unavailable")],
)
async def test_health_answers_200_unless_it_fails(place: Place, status: str, line: str) -> None:
    first, headers, body = await exchange(place, b"GET /health HTTP/1.1\r\nHost: engine\r\n\r\n", status)
    assert first == line
    assert headers == {
        "Content-Type": "application/health+json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "Connection": "close",
    }
    assert json.loads(body) == {"status": status}


async def test_metrics_answer_in_the_prometheus_format(place: Place) -> None:
    first, headers, body = await exchange(place, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert (first, body) == ("HTTP/1.1 200 OK", "ballast_engine_ticks_total 1\n")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("request_bytes", "line", "body"),
    [
        (b"GET /other HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", f"no /other; there are {CALLS}\n"),
        (b"POST /health HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed", "/health answers GET only\n"),
        (b"hello\r\n\r\n", "HTTP/1.1 400 Bad Request", "not an HTTP request\n"),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", "", ""),
    ],
)
async def test_other_requests_are_refused(place: Place, request_bytes: bytes, line: str, body: str) -> None:
    async with control.serve(place.socket, Engine("pass")):
        try:
            first, _, answer = await ask(place.socket, request_bytes)
        except ConnectionResetError:
            first, answer = "", ""
        assert (first, answer) == (line, body)
        assert (await ask(place.socket, b"GET /health HTTP/1.1\r\n\r\n"))[0] == "HTTP/1.1 200 OK"


async def test_socket_replaces_a_stale_one_and_is_for_owner_and_group(place: Place) -> None:
    place.socket.write_text("left by a killed engine")
    async with control.serve(place.socket, Engine("pass")):
        mode = place.socket.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660
    assert not place.socket.exists()


def post(path: str, body: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("request_bytes", "asked"),
    [
        (post("/lease/promote"), ("promote", 30.0)),
        (post("/lease/promote", '{"timeout": 2.5}'), ("promote", 2.5)),
        (post("/lease/demote"), ("demote", 15.0, "keep")),
        (post("/lease/demote", '{"timeout": 1, "working_orders": "cancel"}'), ("demote", 1.0, "cancel")),
        (post("/flatten", '{"reason": "r"}'), ("flatten", "r", "control socket", 60.0)),
        (
            post("/flatten", '{"reason": "r", "requested_by": "ops", "timeout": 9}'),
            ("flatten", "r", "ops", 9.0),
        ),
    ],
)
async def test_calls_are_handed_on_with_their_fields(
    place: Place, request_bytes: bytes, asked: tuple[object, ...]
) -> None:
    engine = Engine()
    async with control.serve(place.socket, engine):
        await ask(place.socket, request_bytes)
    assert engine.asked[0] == asked


async def test_outcome_of_a_call_is_status_and_document(place: Place) -> None:
    async with control.serve(place.socket, Engine()):
        first, headers, body = await ask(place.socket, post("/lease/promote"))
        assert (first, headers["Content-Type"]) == ("HTTP/1.1 409 Conflict", "application/json")
        assert json.loads(body) == {"role": "standby", "reason": "green holds it"}
        first, _, body = await ask(place.socket, post("/flatten", '{"reason": "r"}'))
        assert first == "HTTP/1.1 500 Internal Server Error"
        assert json.loads(body) == {"reason": "RuntimeError: it broke"}


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/lease/promote", "{", "the body is not JSON: "),
        ("/lease/promote", "[]", "the body is [], wanted a JSON object"),
        ("/lease/promote", '{"timeout": 0}', "timeout is 0, wanted seconds above 0, at most 600"),
        ("/lease/promote", '{"timeout": NaN}', "timeout is nan, wanted seconds above 0, at most 600"),
        ("/lease/promote", '{"timeout": true}', "timeout is True, wanted seconds above 0, at most 600"),
        ("/lease/promote", '{"force": 1, "now": 2}', "'force', 'now': not a field of this call"),
        ("/lease/demote", '{"working_orders": "sell"}', "working_orders is 'sell', wanted keep or cancel"),
        ("/flatten", "", "reason is '', wanted a text"),
        ("/flatten", '{"reason": "  "}', "reason is '  ', wanted a text"),
    ],
)
async def test_call_that_is_written_wrong_does_nothing(place: Place, path: str, body: str, text: str) -> None:
    engine = Engine()
    async with control.serve(place.socket, engine):
        first, _, answer = await ask(place.socket, post(path, body))
    assert first == "HTTP/1.1 400 Bad Request"
    assert answer.startswith(f"{path}: {text}")
    assert engine.asked == []


@pytest.mark.parametrize("length", ["-1", "many", "9000"])
async def test_body_of_no_known_or_too_great_length_is_refused(place: Place, length: str) -> None:
    async with control.serve(place.socket, Engine()):
        request = f"POST /lease/promote HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()
        first, _, answer = await ask(place.socket, request)
    assert (first, answer) == (
        "HTTP/1.1 400 Bad Request",
        f"Content-Length is '{length}', wanted the length of a body of at most 8192 bytes\n",
    )


async def test_call_goes_on_when_the_asker_has_left_and_health_answers_meanwhile(place: Place) -> None:
    holds = asyncio.Event()
    engine = Engine(holds=holds)
    async with control.serve(place.socket, engine):
        _, writer = await asyncio.open_unix_connection(place.socket)
        writer.write(post("/lease/promote"))
        await eventually(lambda: engine.asked == [("promote", 30.0)])
        writer.close()
        assert (await ask(place.socket, b"GET /health HTTP/1.1\r\n\r\n"))[0] == "HTTP/1.1 200 OK"
        holds.set()
        await eventually(lambda: engine.asked[-1] == ("promoted",))
