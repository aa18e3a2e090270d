# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of health checks: which parameters each takes, and how it is carried out.

`PARAMETERS` and `KINDS` are their only description: `probes` validates by them, and module health_probe takes its
argument spec and documentation from them. A new kind is one function under ``@kind``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
import typing as t
from concurrent.futures import Future
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from . import ib_api, unix_http
from .sqlite_read import DatabaseFileError, opened

PASS, WARN, FAIL = "pass", "warn", "fail"

# The client id of session probes, apart from the ids that engines use.
PROBE_CLIENT_ID = 999
# Message codes of the IB API.
BROKER_LINK_LOST = (1100, 2110)
BROKER_LINK_BACK = (1101, 1102)
FARM_BROKEN = (2103, 2105, 2157)

MIB = 1024 * 1024

if t.TYPE_CHECKING:
    Check = dict[str, t.Any]
    CheckFunction = t.Callable[["Check", "Run"], "Verdict"]


class Parameter(t.NamedTuple):
    """A parameter of checks: its `type` in Ansible's words, and which values of that type are good."""

    type: str
    description: str
    wanted: str
    accepts: t.Callable[[t.Any], bool] = lambda _: True
    choices: tuple[str, ...] | None = None
    elements: str | None = None


class Verdict(t.NamedTuple):
    """What a check found out."""

    status: str
    value: t.Any
    threshold: str
    message: str
    unit: str = ""


class Kind(t.NamedTuple):
    """A kind of check; the fields are those of `kind`."""

    function: CheckFunction
    description: str
    label: str
    required: tuple[str, ...]
    optional: dict[str, t.Any]
    needs: dict[str, tuple[str, str | None]]
    worse: str | None


def _matches(pattern: str) -> t.Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value) is not None


def _is_regex(value: str) -> bool:
    try:
        re.compile(value)
    except re.error:
        return False
    return True


def _at_least(minimum: float) -> t.Callable[[float], bool]:
    return lambda value: value >= minimum


def _text(description: str) -> Parameter:
    return Parameter("str", description, "a text", bool)


def _number(description: str) -> Parameter:
    return Parameter("float", description, "a number, 0 or more", _at_least(0))


def _count(description: str) -> Parameter:
    return Parameter("int", description, "a whole number, 0 or more", _at_least(0))


def _path(description: str) -> Parameter:
    return Parameter("str", description, "an absolute path", _matches(r"/.*"))


def _regex(description: str) -> Parameter:
    return Parameter("str", description, "a regular expression of Python", _is_regex)


def _choice(description: str, *choices: str) -> Parameter:
    return Parameter("str", description, f"one of {', '.join(choices)}", choices.__contains__, choices)


PARAMETERS = {
    "account": _text("Account that the session must serve."),
    "account_prefix": _text("What every account of the session must begin with. Paper accounts begin with V(DU)."),
    "active_state": _text("State that the unit must be in, as C(systemctl show --property=ActiveState) names it."),
    "body": _regex("Regular expression that must be found in the body."),
    "client_id": _count("Client id of the session. It must be free."),
    "container": _text("Name or id of the container."),
    "fail": _number("Limit beyond which the check fails."),
    "host": _text("Name or address of the host to connect to."),
    "image": _text("Image reference, or image id, that the container must have been made from."),
    "json": Parameter("dict", "Values that the JSON body must have, by dotted path.", "paths with their values", bool),
    "level": _choice(
        "How deep to ask. V(handshake) takes no client id. V(session) takes one for a moment, and shows whether the "
        "gateway is logged in and its link to the broker is up.",
        "handshake",
        "session",
    ),
    "max": Parameter("float", "Largest value that passes.", "a number"),
    "max_age": _number(
        "Largest age that passes, in seconds, of the time that O(checks[].query) returns. The time is ISO 8601, in UTC "
        "if it names no zone, or epoch seconds."
    ),
    "max_restarts": _count("Largest number of automatic restarts that passes."),
    "measured_in": _choice("What O(checks[].warn) and O(checks[].fail) count.", "percent", "MiB"),
    "min": Parameter("float", "Smallest value that passes.", "a number"),
    "path": _path("Absolute path. Of a glob of V(file_age) the newest match counts."),
    "pattern": _regex("Regular expression that must be found in the command line of a process."),
    "port": Parameter("int", "TCP port.", "a whole number from 1 to 65535", lambda value: 1 <= value <= 65535),
    "query": _text("SQL that returns one value."),
    "socket": _path("Unix socket to connect through, as with C(curl --unix-socket)."),
    "status": Parameter(
        "list",
        "HTTP status codes that pass.",
        "a list of whole numbers from 100 to 599",
        lambda codes: bool(codes) and all(100 <= code <= 599 for code in codes),
        elements="int",
    ),
    "sub_state": _text("Sub-state that the unit must be in, for example V(running) or V(waiting)."),
    "unit": Parameter(
        "str",
        "Name of a systemd unit.",
        "the name of one unit, without wildcards",
        _matches(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*"),
    ),
    "url": Parameter(
        "str",
        "Address to get. Redirects are not followed.",
        "an address like http://host:port/path, without a user",
        _matches(r"https?://([^\s/@?#:\[]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?([/?#]\S*)?"),
    ),
    "validate_certs": Parameter("bool", "Whether the certificate of an https address must be valid.", "true or false"),
    "warn": _number("Limit beyond which the check warns."),
}

KINDS: dict[str, Kind] = {}


def kind(
    name: str,
    label: str,
    required: tuple[str, ...] = (),
    optional: dict[str, t.Any] | None = None,
    needs: dict[str, tuple[str, str | None]] | None = None,
    worse: str | None = None,
) -> t.Callable[[CheckFunction], CheckFunction]:
    """Register a function as the kind `name`; its docstring is the kind's description.

    The function gets a check with its `optional` parameters filled in (None: not limited) and the Run it belongs to.
    Whatever it raises fails the check. `label` is the name of a check that was given none. `needs` says which other
    parameter, with which value (None: any), a parameter is meaningless without. `worse` is the side, below or above,
    on which a value is beyond its limits `warn` and `fail`.
    """

    def register(function: CheckFunction) -> CheckFunction:
        description = " ".join((function.__doc__ or "").split())
        KINDS[name] = Kind(function, description, label, required, optional or {}, needs or {}, worse)
        return function

    return register


class Run:
    """What the checks of one round share: `timeout` in seconds, and answers that serve several checks."""

    def __init__(self, checks: list[Check], timeout: float) -> None:
        self.checks = checks
        self.timeout = timeout
        self._answers: dict[t.Any, Future[t.Any]] = {}
        self._lock = threading.Lock()

    def once(self, function: t.Callable[[Run], t.Any]) -> t.Any:
        """What `function(run)` returns or raises; it is called by the first check that asks, the others wait."""
        with self._lock:
            first = function not in self._answers
            answer = self._answers.setdefault(function, Future())
        if first:
            try:
                answer.set_result(function(self))
            except Exception as problem:  # noqa: BLE001 -- handed on to every check that asks
                answer.set_exception(problem)
        return answer.result()


def _against_limits(check: Check, value: float, unit: str, seen: str, fix: str) -> Verdict:
    """Weigh a value against the limits `warn` and `fail`; `seen` is a sentence about the value, without its end."""
    worse = t.cast(str, KINDS[check["kind"]].worse)
    limits = {status: check[status] for status in (FAIL, WARN) if check[status] is not None}
    status = next((status for status, limit in limits.items() if is_beyond(value, limit, worse)), PASS)
    threshold = ", ".join(f"{status} {worse} {limit:g}" for status, limit in reversed(limits.items()))
    message = f"{seen}." if status == PASS else f"{seen}; wanted no value {worse} {limits[status]:g} {unit}. {fix}"
    return Verdict(status, round(value, 2), threshold or "any", message, unit)


def is_beyond(value: float, limit: float, worse: str) -> bool:
    return value < limit if worse == "below" else value > limit


# One function per kind. Each sentence it returns names the thing, what was seen, what was wanted and what to do.


@kind("tcp", "tcp {host}:{port}", required=("port",), optional={"host": "127.0.0.1"})
def _tcp(check: Check, run: Run) -> Verdict:
    """A TCP port accepts connections. For a gateway use V(ib_api): its port may be open while nothing answers."""
    address = f"{check['host']}:{check['port']}"
    try:
        socket.create_connection((check["host"], check["port"]), run.timeout).close()
    except OSError as problem:
        message = f"{address} cannot be reached ({problem}); wanted a listening port. Start what listens there."
        return Verdict(FAIL, "closed", "open", message)
    return Verdict(PASS, "open", "open", f"{address} accepts connections.")


@kind(
    "http",
    "http {url}",
    required=("url",),
    optional={"socket": None, "status": [200], "body": None, "json": None, "validate_certs": True},
)
def _http(check: Check, run: Run) -> Verdict:
    """A GET answers as wanted. If it answers C(application/health+json), the status in there counts as well."""
    place = f"{check['url']} through {check['socket']}" if check["socket"] else check["url"]
    paths = check["json"] or {}
    wishes = [f"status {' or '.join(map(str, check['status']))}", *(f"{path} {paths[path]!r}" for path in paths)]
    if check["body"]:
        wishes.append(f"a body with {check['body']!r}")
    threshold = ", ".join(wishes)
    try:
        answer = _get(check, run.timeout)
    except (OSError, http.client.HTTPException) as problem:
        reason = str(problem) or type(problem).__name__
        message = f"{place} gave no answer ({reason}); wanted {threshold}. Start the service, or look at its log."
        return Verdict(FAIL, "no answer", threshold, message)

    body = answer.body.decode("utf-8", "replace")
    document = _json_or_none(body)
    faults = [] if answer.status in check["status"] else [f"status {answer.status}"]
    faults += [f"{path} {_look_up(document, path)!r}" for path in paths if _look_up(document, path) != paths[path]]
    if check["body"] and not re.search(check["body"], body):
        faults.append(f"the body {body[:80]!r}")

    is_health = answer.content_type == "application/health+json" and isinstance(document, dict)
    health = document.get("status") if is_health else PASS
    said = "" if health == PASS else f" It says {health}: {document.get('output', 'no reason given')}."
    if faults:
        message = f"{place} answered {', '.join(faults)}; wanted {threshold}.{said or ' Look at its log.'}"
        return Verdict(FAIL, answer.status, threshold, message)
    status = health if health in (PASS, WARN) else FAIL
    return Verdict(status, answer.status, threshold, f"{place} answered {answer.status}.{said}")


def _get(check: Check, timeout: float) -> unix_http.Response:
    url = urlsplit(check["url"])
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    if check["socket"]:
        return unix_http.get(check["socket"], path, timeout, host=url.netloc)
    deadline = time.monotonic() + timeout
    connection = socket.create_connection((url.hostname, url.port or (443 if url.scheme == "https" else 80)), timeout)
    if url.scheme == "https":
        context = ssl.create_default_context()
        if not check["validate_certs"]:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        connection = context.wrap_socket(connection, server_hostname=url.hostname)
    return unix_http.exchange(connection, url.netloc, path, deadline)


def _json_or_none(text: str) -> t.Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _look_up(document: t.Any, path: str) -> t.Any:
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


@kind(
    "ib_api",
    "ib_api {host}:{port}",
    required=("port",),
    optional={
        "host": "127.0.0.1",
        "level": "handshake",
        "client_id": PROBE_CLIENT_ID,
        "account": None,
        "account_prefix": None,
    },
    needs=dict.fromkeys(("client_id", "account", "account_prefix"), ("level", "session")),
)
def _ib_api(check: Check, run: Run) -> Verdict:
    """An IB gateway or TWS answers on its API port. Warns when one of the broker's data farms is broken."""
    host, port = check["host"], check["port"]
    try:
        if check["level"] == "handshake":
            version = ib_api.handshake(host, port, run.timeout).server_version
            return Verdict(PASS, version, "a handshake", f"{host}:{port} speaks the API, server version {version}.")
        session = ib_api.session(host, port, check["client_id"], run.timeout)
    except ib_api.IbApiError as problem:
        return Verdict(FAIL, problem.state, f"a {check['level']}", str(problem))

    accounts = ", ".join(session.accounts)
    wanted = ["a session"]
    faults = []
    if check["account"]:
        wanted.append(f"account {check['account']}")
        if check["account"] not in session.accounts:
            faults.append(f"wanted account {check['account']}")
    if check["account_prefix"]:
        wanted.append(f"accounts {check['account_prefix']}*")
        if not all(account.startswith(check["account_prefix"]) for account in session.accounts):
            faults.append(f"wanted only accounts that begin with {check['account_prefix']}")
    threshold = ", ".join(wanted)
    if faults:
        fix = "Correct host and port, or the gateway's login: trade on no other account."
        return Verdict(FAIL, accounts, threshold, f"{host}:{port} serves {accounts}; {' and '.join(faults)}. {fix}")

    link = next((said for said in reversed(session.messages) if said[0] in BROKER_LINK_LOST + BROKER_LINK_BACK), None)
    if link and link[0] in BROKER_LINK_LOST:
        message = f"{host}:{port} serves {accounts} but its link to the broker is down ({link[0]}: {link[1]})"
        fix = "wanted it up. Check the host's network and the broker's system status; the gateway reconnects by itself."
        return Verdict(FAIL, "broker_link_lost", threshold, f"{message}; {fix}")
    broken = [f"{code}: {text}" for code, text in session.messages if code in FARM_BROKEN]
    if broken:
        message = (
            f"{host}:{port} serves {accounts} with broken data farms ({'; '.join(broken)}); wanted all of them up."
        )
        return Verdict(WARN, accounts, threshold, f"{message} Check the broker's system status.")
    return Verdict(PASS, accounts, threshold, f"{host}:{port} serves {accounts}.")


@kind(
    "container",
    "container {container}",
    required=("container",),
    optional={"image": None, "max_restarts": None, "socket": unix_http.DOCKER_SOCKET},
)
def _container(check: Check, run: Run) -> Verdict:
    """A Docker container runs and, if it has a health check, is healthy."""
    name = check["container"]
    wanted = ["running, healthy if it has a health check"]
    if check["image"]:
        wanted.append(f"image {check['image']}")
    if check["max_restarts"] is not None:
        wanted.append(f"at most {check['max_restarts']} restarts")
    threshold = ", ".join(wanted)
    try:
        found = unix_http.docker_inspect(name, run.timeout, check["socket"])
    except (OSError, http.client.HTTPException, RuntimeError) as problem:
        message = f"container {name}: the Docker Engine at {check['socket']} gave no answer ({problem}); wanted one."
        return Verdict(FAIL, "unknown", threshold, f"{message} Start docker, or run as a user who may use its socket.")
    if found is None:
        message = f"container {name} does not exist; wanted it {threshold}. Start the service that owns it."
        return Verdict(FAIL, "absent", threshold, message)

    state = found["State"]
    health = (state.get("Health") or {}).get("Status", "none")
    value = state["Status"] if health == "none" else f"{state['Status']}, {health}"
    seen = [value]
    good = state["Status"] == "running" and health in ("none", "healthy")
    if state["Status"] == "exited":
        seen.append(f"exit code {state['ExitCode']}{', out of memory' if state.get('OOMKilled') else ''}")
    if check["image"] and check["image"] not in (found["Config"]["Image"], found["Image"]):
        seen.append(f"image {found['Config']['Image']}")
        good = False
    if check["max_restarts"] is not None and found["RestartCount"] > check["max_restarts"]:
        seen.append(f"{found['RestartCount']} restarts")
        good = False
    if good:
        return Verdict(PASS, value, threshold, f"container {name} is {value}.")
    message = f"container {name} is {', '.join(seen)}; wanted {threshold}. See its log: docker logs {name}."
    return Verdict(FAIL, value, threshold, message)


@kind(
    "systemd",
    "{unit}",
    required=("unit",),
    optional={"active_state": "active", "sub_state": None, "max_restarts": None},
)
def _systemd(check: Check, run: Run) -> Verdict:
    """A systemd unit is in the wanted state. All units of a call are looked up with one C(systemctl)."""
    unit = check["unit"]
    state_wanted = check["active_state"] + (f" ({check['sub_state']})" if check["sub_state"] else "")
    limit = check["max_restarts"]
    threshold = state_wanted if limit is None else f"{state_wanted}, at most {limit} restarts"
    try:
        found = run.once(_show_units)[unit]
    except (OSError, RuntimeError, subprocess.SubprocessError) as problem:
        message = f"{unit} could not be looked up ({problem}); wanted it {threshold}. Does systemd run this host?"
        return Verdict(FAIL, "unknown", threshold, message)
    if found["LoadState"] != "loaded":
        message = f"{unit} is {found['LoadState']} in systemd; wanted it {threshold}. Correct its name, or install it."
        return Verdict(FAIL, found["LoadState"], threshold, message)
    value = f"{found['ActiveState']} ({found['SubState']})"
    restarts = int(found.get("NRestarts") or 0)  # only services have it
    seen = [value]
    good = found["ActiveState"] == check["active_state"] and check["sub_state"] in (None, found["SubState"])
    if found.get("Result", "success") not in ("", "success"):
        seen.append(f"result {found['Result']}")
    if limit is not None and restarts > limit:
        seen.append(f"{restarts} restarts")
        good = False
    if good:
        return Verdict(PASS, value, threshold, f"{unit} is {value}.")
    message = f"{unit} is {', '.join(seen)}; wanted {threshold}. See its log: journalctl -u {unit}."
    return Verdict(FAIL, value, threshold, message)


def _show_units(run: Run) -> dict[str, dict[str, str]]:
    units = sorted({check["unit"] for check in run.checks if check["kind"] == "systemd"})
    command = ["systemctl", "show", "--property=LoadState,ActiveState,SubState,Result,NRestarts", "--", *units]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=run.timeout, check=False)
    # One block of lines per unit, in the order asked for: a unit's Id may be another name of it.
    blocks = answer.stdout.strip().split("\n\n")
    if answer.returncode or len(blocks) != len(units):
        seen = answer.stderr.strip() or answer.stdout.strip()
        raise RuntimeError(f"systemctl show answered {seen!r} with exit code {answer.returncode}")
    return {unit: dict(line.split("=", 1) for line in block.splitlines()) for unit, block in zip(units, blocks)}


@kind(
    "process",
    "process {pattern}",
    required=("pattern",),
    optional={"min": 1, "max": None, "warn": None, "fail": None},
    worse="above",
)
def _process(check: Check, run: Run) -> Verdict:
    """Processes run, as many as wanted. O(checks[].warn) and O(checks[].fail) limit their resident memory, in MiB.

    Needs the Python package psutil on the target.
    """
    pattern, least, most = check["pattern"], check["min"], check["max"]
    threshold = f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
    try:
        listed = run.once(_list_processes)
    except ImportError:
        message = "process checks need psutil for the target's Python; it is not there. Install python3-psutil."
        return Verdict(FAIL, "unknown", threshold, message)
    sizes = [resident for command, resident in listed if re.search(pattern, command)]
    seen = f"processes that match {pattern!r}: {len(sizes)}"
    if len(sizes) < least or (most is not None and len(sizes) > most):
        fix = "Start or stop them, or correct the pattern."
        return Verdict(FAIL, len(sizes), threshold, f"{seen}; wanted {threshold}. {fix}", "processes")
    if check["warn"] is None and check["fail"] is None:
        return Verdict(PASS, len(sizes), threshold, f"{seen}.", "processes")
    memory = sum(sizes) / MIB
    return _against_limits(
        check, memory, "MiB", f"{seen}, holding {memory:.0f} MiB", "Look for a leak, or restart them."
    )


def _list_processes(_run: Run) -> list[tuple[str, int]]:
    """Command line (or name, where there is none) and resident bytes of every process but this one and its parents.

    Those are left out because the probe's own command may contain the pattern.
    """
    import psutil  # only this kind needs it

    this = psutil.Process()
    own = {this.pid, *(parent.pid for parent in this.parents())}
    return [
        (" ".join(process.info["cmdline"] or [process.info["name"]]), process.info["memory_info"].rss)
        for process in psutil.process_iter(["cmdline", "name", "memory_info"])
        if process.pid not in own and process.info["memory_info"]
    ]


@kind(
    "disk",
    "disk {path}",
    required=("path",),
    optional={"measured_in": "percent", "warn": 15, "fail": 5},
    worse="below",
)
def _disk(check: Check, _run: Run) -> Verdict:
    """Free space of the file system that holds a path, as an unprivileged user sees it."""
    try:
        usage = shutil.disk_usage(check["path"])
    except OSError as problem:
        message = f"disk {check['path']} could not be measured ({problem}); wanted a path that exists. Correct it."
        return Verdict(FAIL, "unknown", "a path that exists", message)
    return _free(check, f"disk {check['path']}", usage.free, usage.total, "Remove what is not needed, or grow it.")


@kind("memory", "memory", optional={"measured_in": "percent", "warn": 10, "fail": 5}, worse="below")
def _memory(check: Check, _run: Run) -> Verdict:
    """Memory that can be had without swapping (MemAvailable of Linux)."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    kib = {fields[0]: int(fields[1]) for fields in lines}
    return _free(
        check, "memory", kib["MemAvailable:"] * 1024, kib["MemTotal:"] * 1024, "Stop what is not needed, or add memory."
    )


def _free(check: Check, thing: str, free: int, total: int, fix: str) -> Verdict:
    percent = 100 * free / total
    value = percent if check["measured_in"] == "percent" else free / MIB
    seen = f"{thing} has {percent:.1f} percent free ({free / MIB:.0f} MiB of {total / MIB:.0f} MiB)"
    return _against_limits(check, value, check["measured_in"], seen, fix)


@kind("load", "load", optional={"warn": 1.5, "fail": 4}, worse="above")
def _load(check: Check, _run: Run) -> Verdict:
    """Load average of the last five minutes, divided by the number of CPUs."""
    count = os.cpu_count() or 1
    value = os.getloadavg()[1] / count
    seen = f"the 5-minute load is {value:.2f} per CPU ({count} CPUs)"
    return _against_limits(check, value, "per CPU", seen, "Find what is busy with top, or add CPUs.")


@kind("file_age", "age of {path}", required=("path",), optional={"warn": None, "fail": None}, worse="above")
def _file_age(check: Check, _run: Run) -> Verdict:
    """A file exists, and its last change, of a glob's newest match, is no longer ago than the limits, in seconds."""
    changed: dict[Path, float] = {}
    for path in Path("/").glob(check["path"].lstrip("/")):
        with contextlib.suppress(FileNotFoundError):  # rotated away since it was listed
            if path.is_file():
                changed[path] = path.stat().st_mtime
    if not changed:
        message = f"{check['path']} matches no file; wanted at least one. See why it was not written."
        return Verdict(FAIL, "no file", "a file", message)
    newest = max(changed, key=changed.__getitem__)
    age = time.time() - changed[newest]
    return _against_limits(check, age, "s", f"{newest} was changed {age:.0f} s ago", "See why it is not renewed.")


@kind(
    "sqlite",
    "sqlite {path}",
    required=("path",),
    optional={"query": None, "min": None, "max": None, "max_age": None},
    needs=dict.fromkeys(("min", "max", "max_age"), ("query", None)),
)
def _sqlite(check: Check, run: Run) -> Verdict:
    """A SQLite database is sound (C(PRAGMA quick_check)) or, with a query, gives a value within limits. Only reads."""
    path, query = check["path"], check["query"]
    wanted = []
    if check["min"] is not None:
        wanted.append(f"at least {check['min']:g}")
    if check["max"] is not None:
        wanted.append(f"at most {check['max']:g}")
    if check["max_age"] is not None:
        wanted.append(f"a time at most {check['max_age']:g} s ago")
    threshold = (", ".join(wanted) or "a value") if query else "ok"
    try:
        value = _ask_sqlite(path, query or "PRAGMA quick_check(1)", run.timeout)
    except (DatabaseFileError, OSError, ValueError) as problem:
        fix = "Check path, permissions and query; if damaged, restore it."
        return Verdict(FAIL, "error", threshold, f"{problem}; wanted {threshold}. {fix}")
    if not query:
        if value == "ok":
            return Verdict(PASS, value, threshold, f"{path} is sound.")
        return Verdict(FAIL, value, threshold, f"{path} is damaged ({value}); wanted ok. Restore it from a backup.")
    seen = f"{path} answered {value!r} to {query!r}"
    if _is_within(check, value):
        return Verdict(PASS, value, threshold, f"{seen}.")
    return Verdict(FAIL, value, threshold, f"{seen}; wanted {threshold}. See why the data is not as it should be.")


def _ask_sqlite(path: str, query: str, timeout: float) -> t.Any:
    deadline = time.monotonic() + timeout
    with opened(Path(path), timeout) as database:
        database.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            rows = database.execute(query).fetchmany(2)
        except sqlite3.OperationalError as problem:
            if str(problem) == "interrupted":
                raise TimeoutError(f"{path} did not answer {query!r} in {timeout:g} s") from problem
            raise
    if len(rows) != 1 or len(rows[0]) != 1:
        raise ValueError(f"{path} did not answer {query!r} with exactly one value")
    return rows[0][0]


def _is_within(check: Check, value: t.Any) -> bool:
    try:
        return (
            value is not None
            and (check["min"] is None or float(value) >= check["min"])
            and (check["max"] is None or float(value) <= check["max"])
            and (check["max_age"] is None or time.time() - _epoch_seconds(value) <= check["max_age"])
        )
    except (TypeError, ValueError):  # neither a number nor a time
        return False


def _epoch_seconds(value: t.Any) -> float:
    if isinstance(value, (int, float)):
        return value
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
