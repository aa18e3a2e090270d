# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection's bytes: frames in, bytes out, what holds them up on the way, and the reason of its end."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .wire import GREETING, WireError, frame_length

HANDSHAKE_SECONDS = 30.0
# A client that lets this many bytes pile up does not read any more.
LARGEST_BACKLOG = 8 << 20
# With so many bytes on their way in, no more are read.
LARGEST_INTAKE = 1 << 18
# One client is served for so long before it is the others' turn.
TURN_SECONDS = 0.002
# A slow pipe lets pieces through so many times a second.
PIECES_PER_SECOND = 20

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Weather:
    """What holds up bytes in one direction.

    ``delay`` and, evenly distributed, up to ``jitter`` are seconds; ``rate`` is bytes per second, 0 for as fast as can
    be; nothing passes what is ``blocked``. The order of the bytes never changes.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    blocked: bool = False


CALM = Weather()


class Receiver(Protocol):
    """What a line delivers to: a session."""

    def receive(self, body: bytes) -> None:
        """Take the body of one frame. Raises WireError when the connection cannot go on."""

    def ended(self, why: str) -> None:
        """Learn that the connection is over; called once."""


class _Pipe:
    """Passes pieces of bytes on, in order, each when the weather lets it. ``None`` is the end of the bytes."""

    def __init__(self, deliver: Callable[[bytes | None], None], chance: random.Random) -> None:
        self.waiting = 0
        self._deliver = deliver
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._weather = CALM
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_blocked(self) -> bool:
        return self._weather.blocked

    def push(self, piece: bytes | None) -> None:
        if self._weather is CALM and not self._queue:
            self._deliver(piece)
            return
        weather = self._weather
        due = self._loop.time() + weather.delay + self._chance.uniform(0, weather.jitter)
        size = max(1, int(weather.rate / PIECES_PER_SECOND)) if weather.rate and piece else 0
        parts: list[bytes | None] = [piece]
        if size and piece:
            parts = [piece[start : start + size] for start in range(0, len(piece), size)]
        for part in parts:
            length = len(part or b"")
            self._last_due = max(due, self._last_due) + (length / weather.rate if weather.rate else 0.0)
            self._queue.append((self._last_due, part))
            self.waiting += length
        self._arm()

    def change(self, weather: Weather) -> None:
        """Change the weather; what waits is let through when nothing holds it up any more."""
        self._weather = weather
        if weather == CALM:
            self._weather = CALM
            self._last_due = 0.0
            self._queue = deque((0.0, piece) for _, piece in self._queue)
        self._arm()

    def clear(self) -> None:
        """Drop what waits."""
        self._queue.clear()
        self.waiting = 0
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue and not self.is_blocked:
            self._timer = self._loop.call_at(self._queue[0][0], self._run)

    def _run(self) -> None:
        self._timer = None
        now = self._loop.time()
        while True:
            _, piece = self._queue.popleft()
            self.waiting -= len(piece or b"")
            self._deliver(piece)
            if not self._queue or self._queue[0][0] > now or self.is_blocked:
                break
        self._arm()


class Line(asyncio.Protocol):
    """A client's connection. ``number`` counts them; ``why`` says why it ended, empty while it has not."""

    def __init__(self, number: int, attach: Callable[[Line], Receiver], chance: random.Random) -> None:
        self.number = number
        self.peer = ""
        self.why = ""
        self._attach = attach
        self._loop = asyncio.get_running_loop()
        self._in = _Pipe(self._take, chance)
        self._out = _Pipe(self._put, chance)
        # What is to be sent in one piece at the end of this turn of the event loop.
        self._unsent: list[bytes] = []
        self._buffer = bytearray()
        self._greeted = False
        self._yielding = False
        self._ended_by_client = False
        self._cuts_next_frame = False
        self._gone = self._loop.create_future()

    # --- what a session and the server do -----------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send whole frames, unless the connection is ending. A client that does not read is cut off."""
        if self.is_ending:
            return
        if self._cuts_next_frame:
            self._flush()
            self._out.push(data[: (4 + int.from_bytes(data[:4], "big")) // 2])
            self.close("closed in the middle of a frame")
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def close(self, why: str) -> None:
        """Send what is waiting, then close; at once when nothing can be sent."""
        if self._out.is_blocked:
            self.abort(why)
        elif not self.is_ending:
            self._flush()
            self.why = self.why or why
            self._out.push(None)

    def abort(self, why: str) -> None:
        """Close at once; what is waiting is lost."""
        self.why = self.why or why
        self._transport.abort()

    def reset(self, why: str) -> None:
        """Close at once, in a way that the client's next read fails (RST)."""
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort(why)

    def cut_next_frame(self) -> None:
        """Send the next frame only by half, and close."""
        self._cuts_next_frame = True

    def change_weather(self, incoming: Weather, outgoing: Weather) -> None:
        """Hold bytes up, or not any more."""
        self._in.change(incoming)
        self._out.change(outgoing)

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
        # A client that was gone before it was accepted has no name.
        self.peer = "{}:{}".format(*(transport.get_extra_info("peername") or ("", 0))[:2])
        self._timeout = self._loop.call_later(HANDSHAKE_SECONDS, self._time_out)
        self._receiver = self._attach(self)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._in.push(data)
        if self._in.waiting > LARGEST_INTAKE:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client will send no more: close, after what it sent has been served and what is waiting has been sent."""
        self._in.push(None)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._timeout.cancel()
        self.why = self.why or (f"connection lost: {error!r}" if error else "closed by the client")
        self._in.clear()
        self._out.clear()
        self._buffer.clear()
        self._gone.set_result(None)
        self._receiver.ended(self.why)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if not self._unsent or self._transport.is_closing():
            return
        data = b"".join(self._unsent)
        self._unsent.clear()
        self._out.push(data)
        backlog = self._transport.get_write_buffer_size() + self._out.waiting
        if backlog > LARGEST_BACKLOG:
            self.abort(f"the client does not read: {backlog} bytes wait")

    def _time_out(self) -> None:
        # A gateway that hangs has no patience that could end.
        if not self._out.is_blocked:
            self.close("no handshake in time")

    def _put(self, data: bytes | None) -> None:
        if data is None:
            self._transport.close()
        else:
            self._transport.write(data)

    def _take(self, data: bytes | None) -> None:
        if data is None:
            self._ended_by_client = True
        else:
            self._buffer += data
        if not self._yielding:
            self._serve()

    def _serve(self) -> None:
        """Deliver whole frames, for TURN_SECONDS; then let others have a turn."""
        self._yielding = False
        buffer = self._buffer
        start = 0
        turn_ends = self._loop.time() + TURN_SECONDS
        try:
            while True:
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
                if self._loop.time() > turn_ends:
                    self._yielding = start < len(buffer)
                    break
        except WireError as error:
            start = len(buffer)
            self.close(f"malformed bytes: {error}")
        except Exception as error:
            # A mistake of the simulator's costs this connection, never the others.
            start = len(buffer)
            _logger.exception("request failed, connection closed", extra={"peer": self.peer})
            self.close(f"internal error: {error!r}")
        del buffer[:start]
        self._flush()
        if self._yielding:
            self._transport.pause_reading()
            self._loop.call_soon(self._resume)
        elif self._ended_by_client:
            inside = f" inside a frame, after {len(buffer)} bytes of it" if buffer else ""
            self.close(f"closed by the client{inside}")
        elif self._in.waiting < LARGEST_INTAKE:
            self._transport.resume_reading()

    def _resume(self) -> None:
        if not self._gone.done():
            self._serve()
