# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a service of a stack alive, and is it ready? One answer for the supervisor, the activation gate and the status."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import ib_api, unix_http

PROBE_TIMEOUT_SECONDS = 3.0
RETRY_SECONDS = 0.2


@dataclass(frozen=True)
class Readiness:
    """``alive``: it answers at all, so restarting it would not help. ``ready``: it can do its work.

    ``waits``: it is not ready because of something outside it, its gateway, that restarting it would not mend.
    ``message`` says why not, in words for an operator; ``document`` is the engine's health document where there is one.
    """

    alive: bool
    ready: bool
    message: str
    document: dict[str, Any] = field(default_factory=dict)
    waits: bool = False


def probe_service(probe: dict[str, Any], socket: Path | None) -> Readiness:
    """Ask a service by the ``probe`` of its service.json.

    Kind ``ib_api`` is a gateway on ``port``, kind ``contract`` an engine on ``socket``.
    """
    if probe["kind"] == "ib_api":
        return _gateway(int(probe["port"]))
    if probe["kind"] == "contract" and socket is not None:
        return _engine(socket)
    raise ValueError(f"probe kind {probe['kind']!r} is not known; wanted ib_api or contract")


def gateway_session(probe: dict[str, Any], timeout: float) -> ib_api.Session:
    """The gateway's session with the broker, asked for with the probe's client id. Raises IbApiError.

    Only one connection may hold a client id: while another probe has it, this one waits its turn, up to ``timeout``.
    """
    port, client_id = int(probe["port"]), int(probe["client_id"])
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with suppress(ib_api.ClientIdInUse):
            return ib_api.session("127.0.0.1", port, client_id, timeout)
        time.sleep(RETRY_SECONDS)
    return ib_api.session("127.0.0.1", port, client_id, timeout)


def _gateway(port: int) -> Readiness:
    # The handshake alone: it takes no client id, and a full session every few seconds would wear the gateway out.
    try:
        answer = ib_api.handshake("127.0.0.1", port, PROBE_TIMEOUT_SECONDS)
    except ib_api.IbApiError as error:
        return Readiness(alive=False, ready=False, message=str(error))
    return Readiness(
        alive=True, ready=True, message=f"gateway speaks the API at server version {answer.server_version}"
    )


def _engine(socket: Path) -> Readiness:
    try:
        response = unix_http.get(str(socket), "/health", PROBE_TIMEOUT_SECONDS)
    except (OSError, http.client.HTTPException) as error:
        return Readiness(alive=False, ready=False, message=f"engine does not answer on {socket} ({_line(error)})")
    try:
        document = json.loads(response.body)
        role, output = _line(document["role"]), _line(document.get("output") or "")
    except (ValueError, KeyError, TypeError):
        shown = response.body[:80].decode(errors="replace")
        return Readiness(
            alive=True, ready=False, message=f"engine answered {response.status} with no health document: {shown!r}"
        )
    gateway = document.get("gateway")
    return Readiness(
        alive=True,
        ready=response.status == 200 and role == "trading",
        message=f"engine is {role}" + (f": {output}" if output else ""),
        document=document,
        waits=isinstance(gateway, dict) and gateway.get("state") != "ready",
    )


def _line(text: Any) -> str:
    """What an engine says of itself on one line and in valid text: it goes into systemd's status and into logs."""
    return " ".join(str(text).encode(errors="replace").decode().split())
