# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP proxy on loopback that fails as networks do."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from types import TracebackType


class FaultyProxy:
    """Passes bytes on to a port of this machine until it is told to fail.

    `cut_after(n)`: once n more bytes have gone up, every connection is reset, and every new one, until `heal()`.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._left: int | None = None
        self.resets = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(self, _type: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def cut_after(self, size: int) -> None:
        self._left = size

    def heal(self) -> None:
        self._left = None

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._target)) as server,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while self._pass_on(selector, client):
                pass

    def _pass_on(self, selector: selectors.BaseSelector, client: socket.socket) -> bool:
        """Passes on what has come; False at the end of the connection."""
        for key, _events in selector.select(timeout=0.1):
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
            if not data:
                return False
            if key.fileobj is client and self._left is not None:
                self._left -= len(data)
            if self._left is not None and self._left <= 0:
                self._reset(client)
                return False
            key.data.sendall(data)
        return True

    def _reset(self, client: socket.socket) -> None:
        self.resets += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
