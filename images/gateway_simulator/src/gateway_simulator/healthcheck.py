# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shake hands with the simulator that runs beside this, as an API client would; that uses up no client id.

Exit status 0 when it answers with a server version, 1 when it does not, 64 when the environment is bad.
"""

from __future__ import annotations

import asyncio
import os
import sys

from .__main__ import EXIT_SETTINGS
from .messages import HIGHEST_VERSION, LOWEST_VERSION
from .settings import SettingsError, from_environment
from .wire import GREETING, WireError, frame, read_frame, split_fields

TIMEOUT_SECONDS = 3.0


async def shake_hands(host: str, port: int) -> str:
    """Return the server version that ``host:port`` answers with. Raises OSError, TimeoutError or WireError."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        # The range of versions is the one message without a NUL at its end.
        versions = frame(f"v{LOWEST_VERSION}..{HIGHEST_VERSION}")[4:-1]
        writer.write(GREETING + len(versions).to_bytes(4, "big") + versions)
        answer = split_fields(await read_frame(reader) or b"")
    finally:
        writer.close()
    if len(answer) != 2 or not answer[0].isdigit():
        raise WireError(f"answer {answer}, wanted a server version and a time")
    return answer[0]


def main() -> int:
    """Print one line and return the exit status."""
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_SETTINGS
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104 - compared, not listened on
    try:
        version = asyncio.run(asyncio.wait_for(shake_hands(host, settings.port), TIMEOUT_SECONDS))
    except (OSError, TimeoutError, WireError) as error:
        print(f"{host}:{settings.port}: no API handshake: {error!r}")
        return 1
    print(f"{host}:{settings.port}: server version {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
