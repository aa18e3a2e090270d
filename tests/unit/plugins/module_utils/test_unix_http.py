# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP over Unix sockets: an answer is read to its end, however it comes."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import unix_http
from tests.unit.plugins.module_utils.fake_servers import serving, silent


def test_a_body_that_comes_after_the_headers_of_a_closing_answer_is_read_whole(tmp_path: Path) -> None:
    body = b"x" * 100_000
    path = str(tmp_path / "server.sock")
    headers_are_read = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _address = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n")
            headers_are_read.wait(0.2)  # there is no sign of that moment; the body only has to come later
            connection.sendall(body)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        answer = unix_http.get(path, "/", 5)
        server.join()
    assert (answer.status, answer.body) == (200, body)


def test_a_post_carries_its_document_as_json(tmp_path: Path) -> None:
    heard = b""
    path = tmp_path / "server.sock"

    def handler(connection: socket.socket, _ending: threading.Event) -> None:
        nonlocal heard
        while not heard.endswith(b"}"):
            heard += connection.recv(4096)
        connection.sendall(b"HTTP/1.1 503 Down\r\nContent-Length: 4\r\n\r\ndone")

    with serving(handler, path):
        answer = unix_http.post(str(path), "/lease/demote", {"timeout": 3}, 5)
    assert (answer.status, answer.body) == (503, b"done")
    head, _blank, body = heard.decode().partition("\r\n\r\n")
    assert head.startswith("POST /lease/demote HTTP/1.1\r\n")
    assert "Content-Type: application/json" in head
    assert json.loads(body) == {"timeout": 3}


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with serving(silent, path), pytest.raises(TimeoutError):
        unix_http.post(str(path), "/lease/demote", {}, 0.1)
