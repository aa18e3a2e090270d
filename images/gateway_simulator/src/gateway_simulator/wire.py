# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames and fields of the gateway's socket protocol.

A frame is a big-endian unsigned 32-bit length and that many bytes; the bytes of a message are text fields, each ended
by a NUL. The first four bytes that a client sends are ``API\\0``, then a frame with its range of versions.
"""

from __future__ import annotations

import asyncio
import re
import struct
from decimal import Decimal

GREETING = b"API\0"
# Far above any request; a longer frame is a client that speaks another protocol.
LARGEST_FRAME = 1 << 20
UNSET_DOUBLE = "1.7976931348623157E308"
UNSET_INTEGER = 2**31 - 1

LARGEST_EXPONENT = 30

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,4})?")
_VERSION_RANGE = re.compile(r"v(\d{1,6})(?:\.\.(\d{1,6}))?(?: .*)?", re.DOTALL)

Value = str | int | Decimal | None


class WireError(Exception):
    """Bytes that are not the protocol; the connection cannot go on."""


class FieldError(Exception):
    """A well-framed message with a field that is missing or of the wrong kind."""


def encode_field(value: Value) -> str:
    """Return a field's text: booleans as 1 and 0, decimals without exponent, None as the empty field."""
    kind = value.__class__
    if kind is str:
        return value  # type: ignore[return-value]
    if kind is int:
        return str(value)
    if value is None:
        return ""
    if kind is bool:
        return "1" if value else "0"
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def frame(*values: Value) -> bytes:
    """Return the frame of one message."""
    # The empty field at the end is the last one's NUL.
    body = "\0".join([*map(encode_field, values), ""]).encode()
    return struct.pack(">I", len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Read one frame's body; None at the end of the stream between frames. Raises WireError."""
    try:
        header = await reader.readexactly(4)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise WireError(f"the stream ended inside a frame's length, after {len(error.partial)} bytes") from error
        return None
    length = frame_length(header)
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise WireError(f"the stream ended after {len(error.partial)} of a frame's {length} bytes") from error


def frame_length(header: bytes | bytearray) -> int:
    """Return the length that a frame's first four bytes announce. Raises WireError."""
    length = int.from_bytes(header, "big")
    if not 0 < length <= LARGEST_FRAME:
        raise WireError(f"frame length {length}, wanted 1 to {LARGEST_FRAME}")
    return length


def parse_version_range(body: bytes) -> tuple[int, int]:
    """Return a client's lowest and highest version, of the frame that follows its greeting. Raises WireError."""
    match = _VERSION_RANGE.fullmatch(body.decode("ascii", errors="replace"))
    if match is None:
        raise WireError(f"version range {body[:40]!r}, wanted v<lowest>..<highest>")
    lowest, highest = match.groups()
    return int(lowest), int(highest or lowest)


def split_fields(body: bytes) -> list[str]:
    """Return a message's fields. Raises WireError when it is not NUL-terminated UTF-8 text."""
    if not body.endswith(b"\0"):
        raise WireError(f"message {body[:40]!r} does not end in NUL")
    try:
        return body[:-1].decode().split("\0")
    except UnicodeDecodeError as error:
        raise WireError(f"message {body[:40]!r} is not UTF-8 text") from error


def parse_integer(text: str, name: str) -> int:
    """Return a field's text as a whole number of 32 bits, 0 when it is empty. Raises FieldError that says ``name``."""
    if not text:
        return 0
    if not _INTEGER.fullmatch(text):
        raise FieldError(f"{name} is {text[:40]!r}, wanted a whole number")
    number = int(text)
    if not -(1 << 31) <= number < 1 << 31:
        raise FieldError(f"{name} is {text[:40]!r}, wanted a number of 32 bits")
    return number


def parse_decimal(text: str, name: str) -> Decimal | None:
    """Return a field's text as a number; None when it is empty or "unset". Raises FieldError that says ``name``."""
    if text in ("", UNSET_DOUBLE, "1.7976931348623157e+308"):
        return None
    number = Decimal(text) if _NUMBER.fullmatch(text) else None
    # Beyond this no price or quantity makes sense, and their digits alone would fill the memory.
    if number is None or (number and abs(number.adjusted()) > LARGEST_EXPONENT):
        raise FieldError(f"{name} is {text[:40]!r}, wanted a number")
    return number


class Fields:
    """Reads a message's fields one after another; every reader raises FieldError."""

    def __init__(self, fields: list[str]) -> None:
        self._fields = fields
        self._next = 0

    def text(self) -> str:
        """Return the next field as it is."""
        if self._next >= len(self._fields):
            raise FieldError(f"field {self._next} is missing")
        self._next += 1
        return self._fields[self._next - 1]

    def texts(self, count: int) -> list[str]:
        """Return the next ``count`` fields as they are."""
        first, self._next = self._next, self._next + count
        if self._next > len(self._fields):
            raise FieldError(f"field {len(self._fields)} is missing")
        return self._fields[first : self._next]

    def decimal(self) -> Decimal | None:
        """Return the next field as a number; None when it is empty or the protocol's "unset"."""
        return parse_decimal(self.text(), f"field {self._next - 1}")

    def integer(self) -> int:
        """Return the next field as a whole number of 32 bits, 0 when it is empty."""
        return parse_integer(self.text(), f"field {self._next - 1}")

    def optional_integer(self) -> int | None:
        """Return the next field as a whole number; None when it is empty or the protocol's "unset"."""
        unset = not self._peek()
        number = self.integer()
        return None if unset or number == UNSET_INTEGER else number

    def count(self) -> int:
        """Return the next field as the number of entries that follow it."""
        number = self.integer()
        # Every entry has a field at least: a number beyond the message's end is no reason to start reading.
        left = len(self._fields) - self._next
        if not 0 <= number <= left:
            raise FieldError(f"field {self._next - 1} is {number}, wanted a count of 0 to {left}")
        return number

    def boolean(self) -> bool:
        """Return the next field as a truth value, False when it is empty."""
        return self.integer() != 0

    def skip(self, count: int) -> None:
        """Pass over ``count`` fields."""
        for _ in range(count):
            self.text()

    def _peek(self) -> str:
        return self._fields[self._next] if self._next < len(self._fields) else ""
