# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a service of a stack alive, and is it ready? One answer for the supervisor, the activation gate and the status.

A gateway is asked over its API, an engine that keeps the contract over its socket. Any other engine cannot be asked: it
is judged by what can be observed of it, its container, its output, and the files that it writes.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import commands, ib_api, unix_http

PROBE_TIMEOUT_SECONDS = 3.0
RETRY_SECONDS = 0.2
# How far back an engine's output is read: to find that it has started, and that it has met its end.
START_LINES, FATAL_LINES = 5000, 200
# The kinds of probes that observe an engine, and their keys: (required, optional).
OBSERVED: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "container": (frozenset(), frozenset()),
    "log": (frozenset({"ready"}), frozenset({"fatal"})),
    "file_age": (frozenset({"path", "max_age_seconds"}), frozenset()),
    "all": (frozenset({"probes"}), frozenset()),
}
# All that is known of what such an engine does.
RUNNING = {"role": "running"}


@dataclass(frozen=True)
class Readiness:
    """``alive``: it answers at all, so restarting it would not help. ``ready``: it can do its work in the role it has.

    ``role`` is what an engine of the contract says that it is: ``trading`` only while it has the right to trade.
    ``waits``: it is not ready because of something outside it, its gateway or a login, which a restart would not mend.
    ``message`` says why not, in words for an operator; ``document`` is the engine's health document where there is one.
    """

    alive: bool
    ready: bool
    message: str
    document: dict[str, Any] = field(default_factory=dict)
    waits: bool = False
    role: str | None = None


def probe_service(probe: dict[str, Any], socket: Path | None, *, started: bool = True) -> Readiness:
    """Ask a service by its probe, as supervisor.open_service() completes the one of its service.json.

    Kind ``ib_api`` is a gateway on ``port``, kind ``contract`` an engine on ``socket``. The other kinds observe the
    engine in ``container``, whose files are in ``folder``: ``container`` (it runs, and its health check, if it has one,
    says healthy), ``log`` (its output has matched ``ready`` since the start, and not ``fatal``), ``file_age`` (the
    newest file that matches the glob ``path`` is at most ``max_age_seconds`` old), ``all`` (all of ``probes``).
    ``started`` is whether the service has been ready since its start: then it need not say so again.
    """
    if probe["kind"] == "ib_api":
        return _gateway(int(probe["port"]))
    if probe["kind"] == "contract" and socket is not None:
        return _engine(socket)
    if probe["kind"] in OBSERVED:
        return _observed(probe, started)
    raise ValueError(f"probe kind {probe['kind']!r} is not known; wanted ib_api, contract, {', '.join(OBSERVED)}")


def probe_mistakes(probe: Any, where: str = "probe", *, within: bool = False) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a probe that observes an engine: place, what was seen there, what was wanted.

    ``within`` is for a probe that is part of another.
    """
    kind = probe.get("kind") if isinstance(probe, dict) else None
    kinds = [each for each in OBSERVED if not (within and each == "all")]
    if kind not in kinds:
        yield f"{where}.kind", repr(kind), f"one of {', '.join(kinds)}"
        return
    required, optional = OBSERVED[kind]
    keys = probe.keys() - {"kind"}
    for key in sorted(required - keys):
        yield f"{where}.{key}", "not set", f"a value, because the kind is {kind}"
    for key in sorted(keys - required - optional):
        yield f"{where}.{key}", "an unknown key", f"one of {', '.join(sorted(required | optional)) or 'none'}"
    for key in sorted({"ready", "fatal"} & keys & (required | optional)):
        problem = _regex_problem(probe[key])
        if problem:
            yield f"{where}.{key}", repr(probe[key]), f"a regular expression ({problem})"
    if kind == "file_age" and required <= keys:
        path, seconds = probe["path"], probe["max_age_seconds"]
        if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
            yield f"{where}.path", repr(path), "a path below the engine's folder, such as results/*"
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0:
            yield f"{where}.max_age_seconds", repr(seconds), "a number of seconds above 0"
    if kind == "all" and required <= keys:
        probes = probe["probes"]
        if not isinstance(probes, list) or not probes:
            yield f"{where}.probes", repr(probes), "a list of probes"
        else:
            for number, each in enumerate(probes):
                yield from probe_mistakes(each, f"{where}.probes[{number}]", within=True)


def _regex_problem(pattern: Any) -> str | None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        return str(error)
    return None


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
        # Behind a port that is open it may wait for a login, which takes as long as its human takes.
        waits = isinstance(error, ib_api.NoHandshake)
        return Readiness(alive=False, ready=False, message=str(error), waits=waits)
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
        ready=response.status == 200 and role in ("trading", "standby"),
        message=f"engine is {role}" + (f": {output}" if output else ""),
        document=document,
        waits=isinstance(gateway, dict) and gateway.get("state") != "ready",
        role=role,
    )


def _observed(probe: dict[str, Any], started: bool) -> Readiness:
    name = probe["container"]
    try:
        container = commands.container(name)
        state = container["State"] if container else {"Status": "missing", "Running": False}
        if not state["Running"]:
            return Readiness(False, False, f"container {name} is {state['Status']}; wanted running")
        return _looked(probe, state, started)
    except commands.CommandError as error:
        # Docker restarts, perhaps. The container lives on meanwhile: that is no reason to kill it.
        return Readiness(alive=True, ready=False, message=f"docker does not say how the engine is: {_line(error)}")


def _looked(probe: dict[str, Any], state: dict[str, Any], started: bool) -> Readiness:
    """What was observed, each as (alive, ready, message), as one answer: the worst of all, in words."""
    look = {"container": _container, "log": _log, "file_age": _file_age}
    shared = {key: probe[key] for key in ("container", "folder")}
    probes = probe["probes"] if probe["kind"] == "all" else [probe]
    seen = [look[each["kind"]]({**each, **shared}, state, started) for each in probes]
    ready = all(each[1] for each in seen)
    words = "; ".join(message for _alive, good, message in seen if good == ready)
    return Readiness(
        alive=all(each[0] for each in seen), ready=ready, message=f"engine is running: {words}", document=dict(RUNNING)
    )


def _container(_probe: dict[str, Any], state: dict[str, Any], _started: bool) -> tuple[bool, bool, str]:
    health = state.get("Health") or {}
    status = health.get("Status", "none")
    if status in ("none", ""):
        return True, True, "it has no health check"
    output = next((_line(entry.get("Output", "")) for entry in reversed(health.get("Log") or [])), "")
    said = f" ({output[-200:]})" if output and status != "healthy" else ""
    return status != "unhealthy", status == "healthy", f"its health check says {status}{said}"


def _log(probe: dict[str, Any], state: dict[str, Any], started: bool) -> tuple[bool, bool, str]:
    since, lines = state["StartedAt"], FATAL_LINES if started else START_LINES
    output = commands.container_log(probe["container"], since, lines)
    fatal = re.search(probe["fatal"], output, re.MULTILINE) if probe.get("fatal") else None
    if fatal:
        line = output[output.rfind("\n", 0, fatal.start()) + 1 :].split("\n", 1)[0]
        return False, False, f"its output says {_line(line)[:200]!r}, which matches '{probe['fatal']}'"
    if started:
        return True, True, "its output says nothing fatal"
    if re.search(probe["ready"], output, re.MULTILINE):
        return True, True, f"its output has matched '{probe['ready']}'"
    return True, False, f"its output has not matched '{probe['ready']}' since the start"


def _file_age(probe: dict[str, Any], state: dict[str, Any], started: bool) -> tuple[bool, bool, str]:
    pattern, limit = probe["path"], float(probe["max_age_seconds"])
    written = max(_written(Path(probe["folder"]), pattern), default=None)
    # What an earlier engine wrote says nothing of this one.
    if written is None or written < int(commands.started_at(state)):
        return not started, False, f"it has written no {pattern} since the start; wanted one every {limit:g} s"
    age = max(0.0, time.time() - written)
    if age > limit:
        return not started, False, f"it wrote {pattern} {age:.0f} s ago; wanted at most {limit:g} s"
    return True, True, f"it wrote {pattern} at most {limit:g} s ago"


def _written(folder: Path, pattern: str) -> Iterator[float]:
    for path in folder.glob(pattern):
        with suppress(OSError):  # one that the engine has just removed
            yield path.lstat().st_mtime


def _line(text: Any) -> str:
    """What an engine says of itself on one line and in valid text: it goes into systemd's status and into logs."""
    return " ".join(str(text).encode(errors="replace").decode().split())
