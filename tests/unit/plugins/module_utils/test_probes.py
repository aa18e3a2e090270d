# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import probe_kinds, probes, unix_http
from tests.unit.plugins.module_utils.fake_servers import (
    ACCOUNTS,
    NEXT_ID,
    Handler,
    closing,
    frame,
    free_port,
    gateway,
    http,
    saying,
    serving,
    silent,
)

ROOT = Path(__file__).parents[4]
KINDS = "tcp, http, ib_api, container, systemd, process, disk, memory, load, file_age, sqlite"


def one(check: dict[str, t.Any], timeout: float = 5.0) -> dict[str, t.Any]:
    (result,) = probes.run_checks([check], timeout)
    return result


def essence(result: dict[str, t.Any]) -> tuple[t.Any, ...]:
    return result["status"], result["value"], result["threshold"], result["message"]


# --- validation


@pytest.mark.parametrize(
    ("check", "problems"),
    [
        ({"kind": "memory"}, []),
        ({"kind": "memory", "name": "memory", "warn": None, "port": None}, []),
        ({"kind": "ib_api", "port": 4002, "level": "session", "account": "DU1"}, []),
        ({"kind": "sqlite", "path": "/x", "query": "SELECT 1", "min": -1}, []),
        ({"kind": "http", "url": "http://[::1]:8080/health?full=1"}, []),
        ("memory", ["checks[1] is 'memory'; wanted a mapping with 'kind' and its parameters"]),
        ({}, [f"checks[1].kind is missing; wanted one of {KINDS}"]),
        ({"kind": "tpc", "port": 1}, [f"checks[1].kind is 'tpc'; wanted one of {KINDS}"]),
        ({"kind": []}, [f"checks[1].kind is []; wanted one of {KINDS}"]),
        ({"kind": "memory", "name": 3}, ["checks[1].name is 3; wanted a text"]),
        ({"kind": "tcp"}, ["checks[1].port is missing from kind tcp; wanted a whole number from 1 to 65535"]),
        (
            {"kind": "tcp", "port": 0, "hots": "x"},
            [
                "checks[1].port is 0; wanted a whole number from 1 to 65535",
                "checks[1].hots is unknown to kind tcp; wanted one of name, port, host",
            ],
        ),
        ({"kind": "tcp", "port": "22"}, ["checks[1].port is '22'; wanted a whole number from 1 to 65535"]),
        ({"kind": "tcp", "port": True}, ["checks[1].port is True; wanted a whole number from 1 to 65535"]),
        (
            {"kind": "http", "url": "ftp://x/", "status": [200, "204"], "json": {}, "body": "("},
            [
                "checks[1].url is 'ftp://x/'; wanted an address like http://host:port/path, without a user",
                "checks[1].status is [200, '204']; wanted a list of whole numbers from 100 to 599",
                "checks[1].json is {}; wanted paths with their values",
                "checks[1].body is '('; wanted a regular expression of Python",
            ],
        ),
        (
            {"kind": "http", "url": "http://user@host/", "socket": "x.sock", "validate_certs": "no"},
            [
                "checks[1].url is 'http://user@host/'; wanted an address like http://host:port/path, without a user",
                "checks[1].socket is 'x.sock'; wanted an absolute path",
                "checks[1].validate_certs is 'no'; wanted true or false",
            ],
        ),
        (
            {"kind": "ib_api", "port": 4002, "level": "deep", "client_id": -1},
            [
                "checks[1].level is 'deep'; wanted one of handshake, session",
                "checks[1].client_id is -1; wanted a whole number, 0 or more",
            ],
        ),
        (
            {"kind": "ib_api", "port": 4002, "account": "DU1"},
            ["checks[1].account is 'DU1' without level: session; wanted level: session beside it, or no account"],
        ),
        (
            {"kind": "sqlite", "path": "/x", "min": 1},
            ["checks[1].min is 1 without query; wanted query beside it, or no min"],
        ),
        (
            {"kind": "systemd", "unit": "ssh*"},
            ["checks[1].unit is 'ssh*'; wanted the name of one unit, without wildcards"],
        ),
        (
            {"kind": "disk", "path": "/", "warn": 5, "fail": 10},
            ["checks[1].warn is 5 with fail 10; wanted fail below warn, or equal to it"],
        ),
        (
            {"kind": "load", "warn": 5, "fail": 1.5},
            ["checks[1].warn is 5 with fail 1.5; wanted fail above warn, or equal to it"],
        ),
        ({"kind": "load", "fail": -1}, ["checks[1].fail is -1; wanted a number, 0 or more"]),
    ],
)
def test_validation_names_every_problem(check: t.Any, problems: list[str]) -> None:
    assert [str(problem) for problem in probes.validate([{"kind": "load"}, check])] == problems


def test_wrongly_written_checks_run_nothing_and_name_the_problems_of_all() -> None:
    with pytest.raises(probes.InvalidChecksError) as failure:
        probes.run_checks([{"kind": "tcp"}, {"kind": "load"}, {"kind": "nothing"}])
    assert str(failure.value) == (
        "checks[0].port is missing from kind tcp; wanted a whole number from 1 to 65535\n"
        f"checks[2].kind is 'nothing'; wanted one of {KINDS}"
    )


def test_every_parameter_is_described_once_and_used() -> None:
    used = {name for found in probe_kinds.KINDS.values() for name in (*found.required, *found.optional)}
    assert used == set(probe_kinds.PARAMETERS)
    for name, found in probe_kinds.KINDS.items():
        for parameter, default in found.optional.items():
            check: dict[str, t.Any] = {**dict.fromkeys(found.required), "kind": name, parameter: default}
            problems = [problem for problem in probes.validate([check]) if problem.key == parameter]
            assert parameter in found.needs or not problems, f"the default of {name}.{parameter} is not valid"


# --- running


def test_results_have_the_same_shape_and_the_order_of_the_checks(tmp_path: Path) -> None:
    results = probes.run_checks([{"kind": "file_age", "path": str(tmp_path / "x")}, {"kind": "load", "name": "CPU"}])
    assert [(result["name"], result["kind"]) for result in results] == [
        (f"age of {tmp_path}/x", "file_age"),
        ("CPU", "load"),
    ]
    for result in results:
        assert list(result) == ["name", "kind", "status", "value", "threshold", "unit", "latency_ms", "message"]
        assert json.loads(json.dumps(result)) == result
        assert result["latency_ms"] >= 0


def test_no_checks_pass() -> None:
    assert probes.run_checks([]) == []
    assert probes.overall([]) == "pass"


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [(["pass", "pass"], "pass"), (["pass", "warn", "pass"], "warn"), (["warn", "fail", "pass"], "fail")],
)
def test_overall_is_the_worst_status(statuses: list[str], worst: str) -> None:
    assert probes.overall([{"status": status} for status in statuses]) == worst


def test_the_table_is_aligned() -> None:
    results: list[dict[str, t.Any]] = [
        {"status": "pass", "name": "disk /", "value": 40.5, "unit": "percent", "threshold": "fail below 5"},
        {"status": "fail", "name": "gateway", "value": "silent", "unit": "", "threshold": "a session"},
    ]
    assert probes.table([{**result, "latency_ms": 0.25} for result in results]) == (
        "STATUS  CHECK    VALUE         WANTED        TIME\n"
        "pass    disk /   40.5 percent  fail below 5  0.2 ms\n"
        "fail    gateway  silent        a session     0.2 ms"
    )


def test_checks_run_at_once() -> None:
    started = time.monotonic()
    with serving(silent) as port:
        results = probes.run_checks([{"kind": "ib_api", "port": port}] * 20, timeout=0.3)
    assert time.monotonic() - started < 3
    assert {result["value"] for result in results} == {"no_handshake"}


def test_a_check_that_hangs_is_given_up_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "GRACE_SECONDS", 0.1)
    released = threading.Event()

    def hanging(_check: t.Any, _run: t.Any) -> probe_kinds.Verdict:
        released.wait()
        return probe_kinds.Verdict("pass", "late", "", "")

    monkeypatch.setitem(probe_kinds.KINDS, "memory", probe_kinds.KINDS["memory"]._replace(function=hanging))
    try:
        hung, other = probes.run_checks([{"kind": "memory"}, {"kind": "load", "warn": 1e6, "fail": 1e6}], timeout=0.1)
    finally:
        released.set()
    assert essence(hung) == (
        "fail",
        "no answer",
        "an answer",
        "memory gave no answer in 0.1 s; wanted one. What it asks hangs, or needs more time.",
    )
    assert other["status"] == "pass"


def test_a_check_that_breaks_fails_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_check: t.Any, _run: t.Any) -> t.Any:
        raise KeyError("MemAvailable:")

    monkeypatch.setitem(probe_kinds.KINDS, "memory", probe_kinds.KINDS["memory"]._replace(function=broken))
    broke, other = probes.run_checks([{"kind": "memory"}, {"kind": "load", "warn": 1e6, "fail": 1e6}])
    assert essence(broke) == ("fail", "error", "an answer", "memory broke: KeyError: 'MemAvailable:'")
    assert other["status"] == "pass"


def test_waiting_repeats_what_fails_until_it_passes_and_then_all_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"load": 0, "file_age": 0}
    awaited = tmp_path / "ready"

    def counting(name: str) -> probe_kinds.Kind:
        original = probe_kinds.KINDS[name]

        def function(check: t.Any, run: t.Any) -> probe_kinds.Verdict:
            counts[name] += 1
            if counts["file_age"] == 3:
                awaited.touch()
            return original.function(check, run)

        return original._replace(function=function)

    for name in counts:
        monkeypatch.setitem(probe_kinds.KINDS, name, counting(name))
    checks: list[dict[str, t.Any]] = [
        {"kind": "load", "warn": 0, "fail": 1e6},
        {"kind": "file_age", "path": str(awaited)},
    ]
    results = probes.run_checks(checks, wait=30, interval=0.01)
    assert [result["status"] for result in results][1] == "pass"
    assert counts == {"load": 2, "file_age": 4}


def test_a_check_that_fails_while_another_is_awaited_is_not_reported_as_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, awaited = tmp_path / "early", tmp_path / "awaited"
    early.touch()

    def swap(_seconds: float) -> None:
        early.unlink(missing_ok=True)
        awaited.touch()

    monkeypatch.setattr(probes.time, "sleep", swap)
    results = probes.run_checks([{"kind": "file_age", "path": str(path)} for path in (early, awaited)], wait=0.2)
    assert [result["status"] for result in results] == ["fail", "pass"]


def test_waiting_ends_in_time(tmp_path: Path) -> None:
    started = time.monotonic()
    results = probes.run_checks([{"kind": "file_age", "path": str(tmp_path / "x")}], wait=0.2, interval=60)
    assert 0.2 <= time.monotonic() - started < 2
    assert probes.overall(results) == "fail"


# --- tcp


def test_tcp_passes_when_the_port_accepts() -> None:
    with serving(closing) as port:
        result = one({"kind": "tcp", "port": port})
    assert essence(result) == ("pass", "open", "open", f"127.0.0.1:{port} accepts connections.")


def test_tcp_fails_when_the_port_is_closed() -> None:
    port = free_port()
    assert essence(one({"kind": "tcp", "port": port})) == (
        "fail",
        "closed",
        "open",
        f"127.0.0.1:{port} cannot be reached ([Errno 111] Connection refused); wanted a listening port. "
        "Start what listens there.",
    )


# --- http


HEALTH = "application/health+json"


@pytest.mark.parametrize(
    ("handler", "wishes", "expected"),
    [
        pytest.param(http("hello"), {}, ("pass", 200, "status 200", "{} answered 200."), id="plain"),
        pytest.param(
            http("hello"),
            {"body": "^h.l+o$"},
            ("pass", 200, "status 200, a body with '^h.l+o$'", "{} answered 200."),
            id="body",
        ),
        pytest.param(
            http("", "302 Found"),
            {"status": [200, 302]},
            ("pass", 302, "status 200 or 302", "{} answered 302."),
            id="redirect",
        ),
        pytest.param(
            http('{"role": "trading", "gateway": {"state": "ready"}}'),
            {"json": {"role": "trading", "gateway.state": "ready"}},
            ("pass", 200, "status 200, role 'trading', gateway.state 'ready'", "{} answered 200."),
            id="json",
        ),
        pytest.param(
            http("gone", "404 Not Found"),
            {"body": "hello", "json": {"a.b": 1}},
            (
                "fail",
                404,
                "status 200, a.b 1, a body with 'hello'",
                "{} answered status 404, a.b None, the body 'gone'; wanted status 200, a.b 1, a body with 'hello'. "
                "Look at its log.",
            ),
            id="all wrong",
        ),
        pytest.param(
            http('{"status": "warn", "output": "data is 3 s old"}', content_type=HEALTH),
            {},
            ("warn", 200, "status 200", "{} answered 200. It says warn: data is 3 s old."),
            id="health warns",
        ),
        pytest.param(
            http('{"status": "fail"}', content_type=f"{HEALTH}; charset=utf-8"),
            {},
            ("fail", 200, "status 200", "{} answered 200. It says fail: no reason given."),
            id="health fails",
        ),
        pytest.param(
            http('{"status": "fail", "output": "the gateway is not logged in"}', "503 Unavailable", HEALTH),
            {},
            (
                "fail",
                503,
                "status 200",
                "{} answered status 503; wanted status 200. It says fail: the gateway is not logged in.",
            ),
            id="health fails with 503",
        ),
        pytest.param(
            http('{"status": "pass", "role": "standby"}', content_type=HEALTH),
            {"json": {"role": "trading"}},
            (
                "fail",
                200,
                "status 200, role 'trading'",
                "{} answered role 'standby'; wanted status 200, role 'trading'. Look at its log.",
            ),
            id="healthy but in another role",
        ),
        pytest.param(
            silent,
            {},
            (
                "fail",
                "no answer",
                "status 200",
                "{} gave no answer (timed out); wanted status 200. Start the service, or look at its log.",
            ),
            id="silent",
        ),
        pytest.param(
            saying(b"\0\0\0\x05hello\r\n"),
            {},
            (
                "fail",
                "no answer",
                "status 200",
                "{} gave no answer (\0\0\0\x05hello\r\n); wanted status 200. Start the service, or look at its log.",
            ),
            id="not http",
        ),
    ],
)
def test_http(handler: Handler, wishes: dict[str, t.Any], expected: tuple[t.Any, ...]) -> None:
    with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/health"
        result = one({"kind": "http", "url": url, **wishes}, timeout=0.3 if handler is silent else 5)
    assert essence(result) == (*expected[:3], expected[3].format(url))


def test_http_gets_the_path_and_query_through_a_unix_socket(tmp_path: Path) -> None:
    requests: list[str] = []
    path = tmp_path / "engine.sock"
    with serving(http("fine", requests=requests), path):
        result = one({"kind": "http", "url": "http://localhost/health?full=1", "socket": str(path)})
    assert essence(result) == (
        "pass",
        200,
        "status 200",
        f"http://localhost/health?full=1 through {path} answered 200.",
    )
    assert requests[0].splitlines()[:2] == ["GET /health?full=1 HTTP/1.1", "Host: localhost"]


def test_http_fails_without_the_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    assert one({"kind": "http", "url": "http://localhost/", "socket": str(path)})["message"] == (
        f"http://localhost/ through {path} gave no answer ([Errno 2] No such file or directory); wanted status 200. "
        "Start the service, or look at its log."
    )


def test_http_refuses_a_server_that_does_not_speak_tls() -> None:
    with serving(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        result = one({"kind": "http", "url": f"https://127.0.0.1:{port}/", "validate_certs": False})
    assert (result["status"], result["value"]) == ("fail", "no answer")
    assert "WRONG_VERSION_NUMBER" in result["message"]


def test_one_deadline_holds_against_a_web_server_that_drips(tmp_path: Path) -> None:
    def drip(connection: socket.socket, ending: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not ending.wait(0.002):
            connection.sendall(b"x")

    path = tmp_path / "engine.sock"
    started = time.monotonic()
    with serving(drip, path), pytest.raises(TimeoutError, match=r"^timed out$"):
        unix_http.get(str(path), "/health", 0.2)
    assert time.monotonic() - started < 2


# --- ib_api


def test_ib_api_handshake() -> None:
    with serving(gateway()) as port:
        result = one({"kind": "ib_api", "port": port})
    assert essence(result) == (
        "pass",
        178,
        "a handshake",
        f"127.0.0.1:{port} speaks the API, server version 178.",
    )


def test_ib_api_failures_keep_their_cause() -> None:
    port = free_port()
    assert essence(one({"kind": "ib_api", "port": port, "level": "session"})) == (
        "fail",
        "unreachable",
        "a session",
        f"127.0.0.1:{port} cannot be reached ([Errno 111] Connection refused); wanted the API port of an IB gateway. "
        "Start the gateway, or correct host and port.",
    )


def said(code: int, text: str) -> bytes:
    return frame(4, 2, -1, code, text, "")


@pytest.mark.parametrize(
    ("accounts", "notices", "wishes", "expected"),
    [
        ("DU1,DU2", b"", {}, ("pass", "DU1, DU2", "a session", "{} serves DU1, DU2.")),
        (
            "DU1,DU2",
            b"",
            {"account": "DU2", "account_prefix": "DU"},
            ("pass", "DU1, DU2", "a session, account DU2, accounts DU*", "{} serves DU1, DU2."),
        ),
        (
            "U1,DU2",
            b"",
            {"account": "DU1", "account_prefix": "DU"},
            (
                "fail",
                "U1, DU2",
                "a session, account DU1, accounts DU*",
                "{} serves U1, DU2; wanted account DU1 and wanted only accounts that begin with DU. "
                "Correct host and port, or the gateway's login: trade on no other account.",
            ),
        ),
        (
            "DU1",
            said(1100, "Connectivity has been lost."),
            {},
            (
                "fail",
                "broker_link_lost",
                "a session",
                "{} serves DU1 but its link to the broker is down (1100: Connectivity has been lost.); wanted it up. "
                "Check the host's network and the broker's system status; the gateway reconnects by itself.",
            ),
        ),
        ("DU1", said(1100, "lost") + said(1102, "restored"), {}, ("pass", "DU1", "a session", "{} serves DU1.")),
        (
            "DU1",
            said(2103, "Market data farm connection is broken:usfarm"),
            {},
            (
                "warn",
                "DU1",
                "a session",
                "{} serves DU1 with broken data farms (2103: Market data farm connection is broken:usfarm); "
                "wanted all of them up. Check the broker's system status.",
            ),
        ),
    ],
)
def test_ib_api_session(accounts: str, notices: bytes, wishes: dict[str, t.Any], expected: tuple[t.Any, ...]) -> None:
    with serving(gateway(frame(15, 1, accounts) + NEXT_ID + notices)) as port:
        result = one({"kind": "ib_api", "port": port, "level": "session", **wishes})
    assert essence(result) == (*expected[:3], expected[3].format(f"127.0.0.1:{port}"))


def test_ib_api_session_uses_the_client_id_of_probes_unless_told() -> None:
    heard: list[bytes] = []
    with serving(gateway(ACCOUNTS + NEXT_ID, heard=heard)) as port:
        check = {"kind": "ib_api", "port": port, "level": "session"}
        one(check)
        one({**check, "client_id": 12})
    assert [said for said in heard if b"71\0" in said] == [frame(71, 2, 999, ""), frame(71, 2, 12, "")]


def test_ib_api_session_with_the_simulator() -> None:
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "images/gateway_simulator/src"),
        "SIMULATOR_PORT": str(port),
        "SIMULATOR_ACCOUNT": "DU7654321",
    }
    command = [sys.executable, "-m", "gateway_simulator"]
    check = {"kind": "ib_api", "port": port, "level": "session", "account": "DU7654321", "account_prefix": "DU"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as simulator:
        try:
            (result,) = probes.run_checks([check], wait=15, interval=0.05)
            again = one(check)
        finally:
            simulator.terminate()
        assert simulator.stdout is not None
        log = simulator.stdout.read().decode()
    assert essence(result)[3] == f"127.0.0.1:{port} serves DU7654321.", log
    assert again["status"] == "pass", "the client id must be free again at once"


# --- container


def engine_of(**changes: t.Any) -> Handler:
    container = {
        "Image": "sha256:0123",
        "Config": {"Image": "ballast/reference-engine:1"},
        "RestartCount": 0,
        "State": {"Status": "running", "ExitCode": 0, "OOMKilled": False, "Health": {"Status": "healthy"}},
    }
    container.update(changes)
    return http(json.dumps(container), content_type="application/json")


RUNNING = "running, healthy if it has a health check"


@pytest.mark.parametrize(
    ("engine", "wishes", "expected"),
    [
        (engine_of(), {}, ("pass", "running, healthy", RUNNING, "container engine is running, healthy.")),
        (engine_of(State={"Status": "running"}), {}, ("pass", "running", RUNNING, "container engine is running.")),
        (
            engine_of(RestartCount=2),
            {"image": "sha256:0123", "max_restarts": 2},
            (
                "pass",
                "running, healthy",
                f"{RUNNING}, image sha256:0123, at most 2 restarts",
                "container engine is running, healthy.",
            ),
        ),
        (
            engine_of(RestartCount=3),
            {"image": "ballast/reference-engine:2", "max_restarts": 2},
            (
                "fail",
                "running, healthy",
                f"{RUNNING}, image ballast/reference-engine:2, at most 2 restarts",
                "container engine is running, healthy, image ballast/reference-engine:1, 3 restarts; wanted "
                f"{RUNNING}, image ballast/reference-engine:2, at most 2 restarts. See its log: docker logs engine.",
            ),
        ),
        (
            engine_of(State={"Status": "running", "Health": {"Status": "starting"}}),
            {},
            (
                "fail",
                "running, starting",
                RUNNING,
                f"container engine is running, starting; wanted {RUNNING}. See its log: docker logs engine.",
            ),
        ),
        (
            engine_of(State={"Status": "exited", "ExitCode": 137, "OOMKilled": True}),
            {},
            (
                "fail",
                "exited",
                RUNNING,
                f"container engine is exited, exit code 137, out of memory; wanted {RUNNING}. "
                "See its log: docker logs engine.",
            ),
        ),
        (
            http('{"message": "No such container: engine"}', "404 Not Found"),
            {},
            (
                "fail",
                "absent",
                RUNNING,
                f"container engine does not exist; wanted it {RUNNING}. Start the service that owns it.",
            ),
        ),
        (
            http('{"message": "busy"}', "500 Internal Server Error"),
            {},
            (
                "fail",
                "unknown",
                RUNNING,
                "container engine: the Docker Engine at {socket} gave no answer (the Docker Engine at {socket} "
                'answered 500 for container \'engine\'; wanted 200: {{"message": "busy"}}); wanted one. '
                "Start docker, or run as a user who may use its socket.",
            ),
        ),
    ],
)
def test_container(tmp_path: Path, engine: Handler, wishes: dict[str, t.Any], expected: tuple[t.Any, ...]) -> None:
    path = tmp_path / "docker.sock"
    with serving(engine, path):
        result = one({"kind": "container", "container": "engine", "socket": str(path), **wishes})
    assert essence(result) == (*expected[:3], expected[3].format(socket=path))


def test_container_fails_without_docker(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    assert one({"kind": "container", "container": "engine", "socket": str(path)})["message"] == (
        f"container engine: the Docker Engine at {path} gave no answer ([Errno 2] No such file or directory); "
        "wanted one. Start docker, or run as a user who may use its socket."
    )


def test_container_names_are_quoted(tmp_path: Path) -> None:
    requests: list[str] = []
    path = tmp_path / "docker.sock"
    with serving(http("{}", "404 Not Found", requests=requests), path):
        assert unix_http.docker_inspect("../images?x", 5, str(path)) is None
    assert requests[0].splitlines()[0] == "GET /containers/..%2Fimages%3Fx/json HTTP/1.1"


# --- systemd


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str], Path]:
    """Put a systemctl on PATH that logs its calls and then runs the given shell script."""

    def install(script: str) -> Path:
        calls = tmp_path / "calls"
        program = tmp_path / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return calls

    return install


def block(load: str = "loaded", active: str = "active", sub: str = "running", **more: str) -> str:
    state = {"LoadState": load, "ActiveState": active, "SubState": sub, **more}
    return "\n".join(f"{key}={value}" for key, value in state.items())


def printing(*blocks: str) -> str:
    return "cat <<'EOF'\n" + "\n\n".join(blocks) + "\nEOF"


@pytest.mark.parametrize(
    ("state", "wishes", "expected"),
    [
        (block(), {}, ("pass", "active (running)", "active", "x.service is active (running).")),
        (
            block(active="active", sub="waiting"),
            {"sub_state": "waiting"},
            ("pass", "active (waiting)", "active (waiting)", "x.service is active (waiting)."),
        ),
        (
            block(active="inactive", sub="dead", Result="success"),
            {"active_state": "inactive"},
            ("pass", "inactive (dead)", "inactive", "x.service is inactive (dead)."),
        ),
        (
            block(active="failed", sub="failed", Result="exit-code", NRestarts="5"),
            {"max_restarts": 3},
            (
                "fail",
                "failed (failed)",
                "active, at most 3 restarts",
                "x.service is failed (failed), result exit-code, 5 restarts; wanted active, at most 3 restarts. "
                "See its log: journalctl -u x.service.",
            ),
        ),
        (
            block(sub="exited"),
            {"sub_state": "running"},
            (
                "fail",
                "active (exited)",
                "active (running)",
                "x.service is active (exited); wanted active (running). See its log: journalctl -u x.service.",
            ),
        ),
        (
            block(load="not-found", active="inactive", sub="dead"),
            {},
            (
                "fail",
                "not-found",
                "active",
                "x.service is not-found in systemd; wanted it active. Correct its name, or install it.",
            ),
        ),
    ],
)
def test_systemd(
    systemctl: t.Callable[[str], Path], state: str, wishes: dict[str, t.Any], expected: tuple[t.Any, ...]
) -> None:
    systemctl(printing(state))
    assert essence(one({"kind": "systemd", "unit": "x.service", **wishes})) == expected


def test_systemd_looks_up_all_units_with_one_call(systemctl: t.Callable[[str], Path]) -> None:
    calls = systemctl(printing(block(sub="a"), block(sub="b"), block(sub="c")))
    units = ["c@1.service", "a.timer", "b.service", "a.timer"]
    results = probes.run_checks([{"kind": "systemd", "unit": unit} for unit in units])
    assert [result["value"] for result in results] == ["active (c)", "active (a)", "active (b)", "active (a)"]
    assert calls.read_text() == (
        "show --property=LoadState,ActiveState,SubState,Result,NRestarts -- a.timer b.service c@1.service\n"
    )


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo 'Failed to connect to bus' >&2; exit 1",
            "systemctl show answered 'Failed to connect to bus' with exit code 1",
        ),
        ("echo nonsense; echo; echo more", r"systemctl show answered 'nonsense\n\nmore' with exit code 0"),
    ],
)
def test_systemd_fails_when_systemctl_does(systemctl: t.Callable[[str], Path], script: str, reason: str) -> None:
    systemctl(script)
    assert essence(one({"kind": "systemd", "unit": "x.service"})) == (
        "fail",
        "unknown",
        "active",
        f"x.service could not be looked up ({reason}); wanted it active. Does systemd run this host?",
    )


def test_systemd_fails_in_time_when_systemctl_hangs(systemctl: t.Callable[[str], Path]) -> None:
    systemctl("exec sleep 60")
    result = one({"kind": "systemd", "unit": "x.service"}, timeout=0.3)
    assert re.fullmatch(
        r"x\.service could not be looked up \(Command .* timed out after 0\.3 seconds\); wanted it active\. "
        r"Does systemd run this host\?",
        result["message"],
    )


def test_systemd_fails_without_systemctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert one({"kind": "systemd", "unit": "x.service"})["message"] == (
        "x.service could not be looked up ([Errno 2] No such file or directory: 'systemctl'); wanted it active. "
        "Does systemd run this host?"
    )


# --- process


@pytest.fixture
def sleeper() -> t.Iterator[str]:
    """A process whose command line holds the yielded word."""
    word = f"sleeper-{os.getpid()}-{time.monotonic_ns()}"
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", word]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield word
        process.terminate()


def test_process_counts_what_matches(sleeper: str) -> None:
    assert essence(one({"kind": "process", "pattern": f"{sleeper}$"})) == (
        "pass",
        1,
        "1 or more",
        f"processes that match '{sleeper}$': 1.",
    )


def test_process_fails_outside_the_wanted_count(sleeper: str) -> None:
    assert essence(one({"kind": "process", "pattern": sleeper, "min": 2, "max": 3})) == (
        "fail",
        1,
        "2 to 3",
        f"processes that match '{sleeper}': 1; wanted 2 to 3. Start or stop them, or correct the pattern.",
    )


def test_process_finds_neither_the_probe_itself_nor_its_parents() -> None:
    word = f"probe-{os.getpid()}-{time.monotonic_ns()}"
    program = (
        "import sys; from ansible_collections.ballast.trading.plugins.module_utils import probes; "
        "print(probes.run_checks([{'kind': 'process', 'pattern': sys.argv[1]}])[0]['value'])"
    )
    command = ["sh", "-c", '"$0" -c "$1" "$2"; exit $?', sys.executable, program, word]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout == "0\n"


def test_process_memory_is_held_against_its_limits(sleeper: str) -> None:
    result = one({"kind": "process", "pattern": sleeper, "warn": 1, "fail": 100000})
    assert (result["status"], result["unit"], result["threshold"]) == ("warn", "MiB", "warn above 1, fail above 100000")
    assert re.fullmatch(
        rf"processes that match '{sleeper}': 1, holding \d+ MiB; wanted no value above 1 MiB\. "
        r"Look for a leak, or restart them\.",
        result["message"],
    )


def test_process_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert essence(one({"kind": "process", "pattern": "x"})) == (
        "fail",
        "unknown",
        "1 or more",
        "process checks need psutil for the target's Python; it is not there. Install python3-psutil.",
    )


# --- disk, memory, load


class Usage(t.NamedTuple):
    total: int
    free: int


@pytest.mark.parametrize(
    ("free_mib", "wishes", "expected"),
    [
        (400, {}, ("pass", 40.0, "warn below 15, fail below 5", "{}.")),
        (150, {}, ("pass", 15.0, "warn below 15, fail below 5", "{}.")),
        (149, {}, ("warn", 14.9, "warn below 15, fail below 5", "{}; wanted no value below 15 percent. {fix}")),
        (49, {}, ("fail", 4.9, "warn below 15, fail below 5", "{}; wanted no value below 5 percent. {fix}")),
        (
            400,
            {"measured_in": "MiB", "warn": 600, "fail": 401},
            ("fail", 400.0, "warn below 600, fail below 401", "{}; wanted no value below 401 MiB. {fix}"),
        ),
    ],
)
def test_disk(
    monkeypatch: pytest.MonkeyPatch, free_mib: int, wishes: dict[str, t.Any], expected: tuple[t.Any, ...]
) -> None:
    usage = Usage(1000 * probe_kinds.MIB, free_mib * probe_kinds.MIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    seen = f"disk /data has {free_mib / 10:.1f} percent free ({free_mib} MiB of 1000 MiB)"
    message = expected[3].format(seen, fix="Remove what is not needed, or grow it.")
    assert essence(one({"kind": "disk", "path": "/data", **wishes})) == (*expected[:3], message)


def test_disk_fails_for_a_path_that_is_not_there() -> None:
    assert essence(one({"kind": "disk", "path": "/nowhere/at/all"})) == (
        "fail",
        "unknown",
        "a path that exists",
        "disk /nowhere/at/all could not be measured ([Errno 2] No such file or directory: '/nowhere/at/all'); "
        "wanted a path that exists. Correct it.",
    )


def test_memory_reads_what_linux_says() -> None:
    result = one({"kind": "memory", "warn": 100, "fail": 0})
    assert result["status"] == "warn"
    assert 0 < result["value"] < 100
    assert re.fullmatch(
        r"memory has [\d.]+ percent free \(\d+ MiB of \d+ MiB\); wanted no value below 100 percent\. "
        r"Stop what is not needed, or add memory\.",
        result["message"],
    )


@pytest.mark.parametrize(
    ("load", "status", "message"),
    [
        (1.5, "pass", "the 5-minute load is 0.75 per CPU (2 CPUs)."),
        (
            6.0,
            "warn",
            "the 5-minute load is 3.00 per CPU (2 CPUs); wanted no value above 1.5 per CPU. "
            "Find what is busy with top, or add CPUs.",
        ),
        (
            9.0,
            "fail",
            "the 5-minute load is 4.50 per CPU (2 CPUs); wanted no value above 4 per CPU. "
            "Find what is busy with top, or add CPUs.",
        ),
    ],
)
def test_load(monkeypatch: pytest.MonkeyPatch, load: float, status: str, message: str) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, load, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert essence(one({"kind": "load"})) == (status, load / 2, "warn above 1.5, fail above 4", message)


# --- file_age


def test_file_age_takes_the_newest_match(tmp_path: Path) -> None:
    for name, age in (("a.tar", 5000), ("b.tar", 100), ("c.log", 1)):
        file = tmp_path / name
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    (tmp_path / "folder.tar").mkdir()
    check = {"kind": "file_age", "path": f"{tmp_path}/*.tar"}
    assert one({**check, "warn": 1000, "fail": 2000})["message"] == f"{tmp_path}/b.tar was changed 100 s ago."
    warning = one({**check, "warn": 50, "fail": 2000})
    assert (warning["status"], warning["unit"], round(warning["value"])) == ("warn", "s", 100)
    assert one({**check, "fail": 50})["message"] == (
        f"{tmp_path}/b.tar was changed 100 s ago; wanted no value above 50 s. See why it is not renewed."
    )


def test_file_age_without_limits_wants_a_file(tmp_path: Path) -> None:
    check = {"kind": "file_age", "path": f"{tmp_path}/x"}
    assert essence(one(check)) == (
        "fail",
        "no file",
        "a file",
        f"{tmp_path}/x matches no file; wanted at least one. See why it was not written.",
    )
    (tmp_path / "x").touch()
    assert (one(check)["status"], one(check)["threshold"]) == ("pass", "any")


# --- sqlite


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "trades?#.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = wal")
    database.execute("CREATE TABLE events (at TEXT, net REAL)")
    at = time.strftime("%Y-%m-%dT%H:%M:%S.123Z", time.gmtime(time.time() - 100))
    database.executemany("INSERT INTO events VALUES (?, ?)", [(at, -3.5)] * 1000)
    database.commit()
    database.close()
    return path


def test_sqlite_checks_that_the_database_is_sound(ledger: Path) -> None:
    assert essence(one({"kind": "sqlite", "path": str(ledger)})) == ("pass", "ok", "ok", f"{ledger} is sound.")
    assert list(ledger.parent.iterdir()) == [ledger], "nothing may be left beside it"


def test_sqlite_finds_a_row_that_breaks_its_constraint(ledger: Path) -> None:
    with contextlib.closing(sqlite3.connect(ledger, isolation_level=None)) as database:
        database.execute("CREATE TABLE orders (quantity REAL CHECK (quantity > 0))")
        database.execute("PRAGMA ignore_check_constraints = 1")
        database.execute("INSERT INTO orders VALUES (-5)")
    assert essence(one({"kind": "sqlite", "path": str(ledger)})) == (
        "fail",
        "CHECK constraint failed in orders",
        "ok",
        f"{ledger} is damaged (CHECK constraint failed in orders); wanted ok. Restore it from a backup.",
    )


QUERY_FAULT = "See why the data is not as it should be."


@pytest.mark.parametrize(
    ("query", "wishes", "expected"),
    [
        ("SELECT 'x'", {}, ("pass", "x", "a value", "{} answered 'x' to \"SELECT 'x'\".")),
        (
            "SELECT min(net) FROM events",
            {"min": -4, "max": -3.5},
            ("pass", -3.5, "at least -4, at most -3.5", "{} answered -3.5 to 'SELECT min(net) FROM events'."),
        ),
        (
            "SELECT count(*) FROM events",
            {"max": 999},
            (
                "fail",
                1000,
                "at most 999",
                "{} answered 1000 to 'SELECT count(*) FROM events'; wanted at most 999. {fault}",
            ),
        ),
        (
            "SELECT max(at) FROM events WHERE net > 0",
            {},
            (
                "fail",
                None,
                "a value",
                "{} answered None to 'SELECT max(at) FROM events WHERE net > 0'; wanted a value. {fault}",
            ),
        ),
        (
            "SELECT 'x'",
            {"min": 1},
            ("fail", "x", "at least 1", "{} answered 'x' to \"SELECT 'x'\"; wanted at least 1. {fault}"),
        ),
        (
            "SELECT net FROM events",
            {},
            (
                "fail",
                "error",
                "a value",
                "{} did not answer 'SELECT net FROM events' with exactly one value; wanted a value. "
                "Check path, permissions and query; if damaged, restore it.",
            ),
        ),
        (
            "DELETE FROM events",
            {},
            (
                "fail",
                "error",
                "a value",
                "{} cannot be used: attempt to write a readonly database; wanted a value. "
                "Check path, permissions and query; if damaged, restore it.",
            ),
        ),
    ],
)
def test_sqlite_query(ledger: Path, query: str, wishes: dict[str, t.Any], expected: tuple[t.Any, ...]) -> None:
    result = one({"kind": "sqlite", "path": str(ledger), "query": query, **wishes})
    assert essence(result) == (*expected[:3], expected[3].format(ledger, fault=QUERY_FAULT))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT max(at) FROM events",
        "SELECT strftime('%Y-%m-%d %H:%M:%S', 'now', '-100 seconds')",
        "SELECT strftime('%Y-%m-%dT%H:%M:%S', 'now', '-100 seconds', '+2 hours') || '+02:00'",
        "SELECT CAST(strftime('%s', 'now') AS INTEGER) - 100",
    ],
)
def test_sqlite_ages_are_counted_from_any_common_time(ledger: Path, query: str) -> None:
    check = {"kind": "sqlite", "path": str(ledger), "query": query}
    assert one({**check, "max_age": 110})["status"] == "pass"
    result = one({**check, "max_age": 90})
    assert (result["status"], result["threshold"]) == ("fail", "a time at most 90 s ago")


def test_sqlite_fails_for_a_file_that_is_not_there_and_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "no.db"
    assert essence(one({"kind": "sqlite", "path": str(path)})) == (
        "fail",
        "error",
        "ok",
        f"{path} does not exist; wanted ok. Check path, permissions and query; if damaged, restore it.",
    )
    assert not path.exists()


def test_sqlite_fails_for_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "no.db"
    path.write_text("no database" * 100)
    assert one({"kind": "sqlite", "path": str(path)})["message"] == (
        f"{path} is not a SQLite database (file is not a database); wanted ok. "
        "Check path, permissions and query; if damaged, restore it."
    )


def test_sqlite_fails_for_a_damaged_database(ledger: Path) -> None:
    with sqlite3.connect(ledger) as database:
        (root_page,) = database.execute("SELECT rootpage FROM sqlite_schema").fetchone()
        (page_size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    with ledger.open("r+b") as file:
        file.seek((root_page - 1) * page_size + 5)
        file.write(b"\xff" * 3)
    result = one({"kind": "sqlite", "path": str(ledger)})
    assert (result["status"], result["threshold"]) == ("fail", "ok")


def test_sqlite_fails_in_time(ledger: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    started = time.monotonic()
    result = one({"kind": "sqlite", "path": str(ledger), "query": endless}, timeout=0.2)
    assert time.monotonic() - started < 2
    assert result["message"] == (
        f"{ledger} did not answer {endless!r} in 0.2 s; wanted a value. "
        "Check path, permissions and query; if damaged, restore it."
    )
