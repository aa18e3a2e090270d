# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person at the broker's terminal does, over the simulator's control API; also for the clients' own Pythons."""

from __future__ import annotations

import http.client
import json
from typing import Any

HOST = "127.0.0.1"
PATIENCE_SECONDS = 15.0


def call(control_port: int, method: str, path: str, body: Any = None) -> Any:
    """Return the answer to one call. Raises RuntimeError with the simulator's words when it is an error."""
    connection = http.client.HTTPConnection(HOST, control_port, timeout=PATIENCE_SECONDS)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path}: {answer.status} {text}")
    return json.loads(text)
