# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP over Unix sockets: an answer is read to its end, however it comes."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from ansible_collections.ballast.trading.plugins.module_utils import unix_http


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
