# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket speaks HTTP, to its owner and group only."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from reference_engine import control
from tests.engine.support import Place


class Engine:
    """What the socket asks."""

    def __init__(self, status: str) -> None:
        self._status = status

    def health(self) -> dict[str, object]:
        return {"status": self._status}

    def metrics_text(self) -> str:
        return "ballast_engine_ticks_total 1\n"


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
        (b"GET /other HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", "no /other; there are /health and /metrics\n"),
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
