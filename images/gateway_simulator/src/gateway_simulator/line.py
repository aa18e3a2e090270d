# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection's bytes: frames in, bytes out, and the reason of its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from .wire import GREETING, WireError, frame_length

HANDSHAKE_SECONDS = 30.0
# A client that lets this many bytes pile up does not read any more.
LARGEST_BACKLOG = 8 << 20
# So many frames of one client are served before it is the others' turn.
FRAMES_PER_TURN = 64

_logger = logging.getLogger(__name__)


class Receiver(Protocol):
    """What a line delivers to: a session."""

    def receive(self, body: bytes) -> None:
        """Take the body of one frame. Raises WireError when the connection cannot go on."""

    def ended(self, why: str) -> None:
        """Learn that the connection is over; called once."""


class Line(asyncio.Protocol):
    """A client's connection. ``number`` counts them; ``why`` says why it ended, empty while it has not.

    One that ``is_deaf`` takes what comes and does not answer, as a gateway that hangs.
    """

    def __init__(self, number: int, attach: Callable[[Line], Receiver]) -> None:
        self.number = number
        self.peer = ""
        self.why = ""
        self.is_deaf = False
        self._attach = attach
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._greeted = False
        self._waiting = False
        self._gone = self._loop.create_future()

    # --- what a session and the server do -----------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes, unless the connection is ending. A client that does not read is cut off."""
        if self.is_ending:
            return
        self._transport.write(data)
        backlog = self._transport.get_write_buffer_size()
        if backlog > LARGEST_BACKLOG:
            self.abort(f"the client does not read: {backlog} bytes wait")

    def close(self, why: str) -> None:
        """Send what is waiting, then close."""
        if not self.is_ending:
            self.why = why
            self._transport.close()

    def abort(self, why: str) -> None:
        """Close at once; what is waiting is lost."""
        self.why = self.why or why
        self._transport.abort()

    @property
    def is_ending(self) -> bool:
        """Tell whether nothing can be sent any more."""
        return bool(self.why)

    async def wait_gone(self) -> None:
        """Return when the connection is over."""
        await asyncio.shield(self._gone)

    # --- what the event loop calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: a client has HANDSHAKE_SECONDS for its greeting."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP connection has no other
        self._transport = transport
        self.peer = "{}:{}".format(*transport.get_extra_info("peername")[:2])
        self._timeout = self._loop.call_later(HANDSHAKE_SECONDS, self.close, "no handshake in time")
        self._receiver = self._attach(self)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if self.is_deaf:
            return
        self._buffer += data
        if not self._waiting:
            self._serve()

    def eof_received(self) -> None:
        """The client will send no more: close, after what is waiting has been sent."""
        if self._buffer and not self.is_ending:
            self.close(f"the stream ended inside a frame, after {len(self._buffer)} bytes")
        else:
            self.close("closed by the client")

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._timeout.cancel()
        self.why = self.why or (f"connection lost: {error!r}" if error else "closed by the client")
        self._buffer.clear()
        self._gone.set_result(None)
        self._receiver.ended(self.why)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Deliver whole frames; after FRAMES_PER_TURN of them let others have a turn."""
        self._waiting = False
        buffer = self._buffer
        start = 0
        try:
            for _ in range(FRAMES_PER_TURN):
                if self.is_ending:
                    start = len(buffer)
                    break
                if not self._greeted:
                    if not GREETING.startswith(buffer[:4]):
                        raise WireError(f"greeting {bytes(buffer[:4])!r}, wanted {GREETING!r}")
                    if len(buffer) < len(GREETING):
                        break
                    self._greeted = True
                    start = len(GREETING)
                if len(buffer) < start + 4:
                    break
                end = start + 4 + frame_length(buffer[start : start + 4])
                if len(buffer) < end:
                    break
                body = bytes(buffer[start + 4 : end])
                start = end
                self._timeout.cancel()
                self._receiver.receive(body)
            else:
                self._waiting = True
                self._transport.pause_reading()
                self._loop.call_soon(self._resume)
        except WireError as error:
            start = len(buffer)
            self.close(f"malformed bytes: {error}")
        except Exception as error:
            start = len(buffer)
            _logger.exception("request failed, connection closed", extra={"peer": self.peer})
            self.close(f"internal error: {error!r}")
        del buffer[:start]

    def _resume(self) -> None:
        if self._gone.done():
            return
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self._serve()
