# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image's HEALTHCHECK: asks the engine's socket; exit 0 when it is ready (HTTP 200), else 1 with the reason."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys


def main() -> int:
    path = os.environ.get("BALLAST_SOCKET", "")
    connection = http.client.HTTPConnection("engine", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(5)
        connection.sock.connect(path)
        connection.request("GET", "/health")
        response = connection.getresponse()
        document = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"no health from socket {path!r}: {error}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(f"{document['status']}: {document.get('output', 'ready')}\n")
    return 0 if response.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
