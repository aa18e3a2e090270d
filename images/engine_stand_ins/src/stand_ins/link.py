# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to the gateway that holds a client id, as any client of the IB API does; nothing is asked through it."""

from __future__ import annotations

import select
import socket
import struct
import time

NEXT_VALID_ID = b"9"
CLIENT_ID_IN_USE = b"326"


class ClientIdInUseError(Exception):
    """Another client has the id."""


class Link:
    """An open session; raises OSError where none can be had within ``timeout`` seconds."""

    def __init__(self, host: str, port: int, client_id: int, timeout: float = 15) -> None:
        self.socket = socket.create_connection((host, port), timeout)
        self._received = b""
        self.socket.sendall(b"API\0" + self._frame(b"v100..178"))
        self._read()
        self.socket.sendall(self._frame(f"71\0002\0{client_id}\0\0".encode()))
        deadline = time.monotonic() + timeout
        while (fields := self._read())[0] != NEXT_VALID_ID:
            if CLIENT_ID_IN_USE in fields:
                raise ClientIdInUseError(f"client id {client_id} is in use")
            if time.monotonic() > deadline:
                raise TimeoutError("no order id came")

    def is_open(self) -> bool:
        """Whether the gateway still holds the session; reads away what it has said."""
        while select.select([self.socket], [], [], 0)[0]:
            if not self.socket.recv(65536):
                return False
        return True

    def close(self) -> None:
        self.socket.close()

    @staticmethod
    def _frame(payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + payload

    def _read(self) -> list[bytes]:
        (length,) = struct.unpack(">I", self._exactly(4))
        return self._exactly(length).split(b"\0")

    def _exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the gateway closed the connection")
            self._received += more
        taken, self._received = self._received[:count], self._received[count:]
        return taken
