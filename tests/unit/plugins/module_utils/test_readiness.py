# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import commands, ib_api, readiness
from ansible_collections.ballast.trading.plugins.module_utils.readiness import (
    Readiness,
    gateway_session,
    probe_mistakes,
    probe_service,
)
from tests.unit.plugins.module_utils.fake_servers import (
    closing,
    frame,
    free_port,
    gateway,
    http,
    saying,
    serving,
    silent,
)

CONTRACT = {"kind": "contract"}


@pytest.fixture
def path() -> Iterator[Path]:
    # Not tmp_path: the path of a Unix socket has room for a hundred characters.
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        yield Path(folder) / "blue.sock"


# ---- engines ----


@pytest.mark.parametrize(
    ("status", "document", "ready", "message"),
    [
        ("200 OK", {"role": "trading"}, True, "engine is trading"),
        ("200 OK", {"role": "trading", "output": "slow data"}, True, "engine is trading: slow data"),
        ("200 OK", {"role": "standby"}, True, "engine is standby"),
        ("503 Down", {"role": "trading", "output": None}, False, "engine is trading"),
        ("503 Down", {"role": "starting", "output": "no\ntick\tyet"}, False, "engine is starting: no tick yet"),
        ("503 Down", {"role": "starting", "output": "\ud800"}, False, "engine is starting: ?"),
    ],
)
def test_an_engine_that_answers_is_alive_and_is_ready_when_it_says_200_in_a_role(
    path: Path, status: str, document: dict[str, Any], ready: bool, message: str
) -> None:
    requests: list[str] = []
    with serving(http(json.dumps(document), status, requests=requests), path):
        assert probe_service(CONTRACT, path) == Readiness(True, ready, message, document, role=document["role"])
    assert requests[0].startswith("GET /health HTTP/1.1\r\n")


@pytest.mark.parametrize("body", ["OK", "[]", "{}", '"trading"', "null"])
def test_an_engine_that_says_something_else_is_alive_but_not_ready(path: Path, body: str) -> None:
    with serving(http(body), path):
        assert probe_service(CONTRACT, path) == Readiness(
            alive=True, ready=False, message=f"engine answered 200 with no health document: {body!r}"
        )


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (silent, "timed out"),
        (closing, "Remote end closed connection without response"),
        (saying(b"SSH-2.0-OpenSSH\r\n"), "SSH-2.0-OpenSSH"),
    ],
    ids=["hangs", "hangs up", "is something else"],
)
def test_an_engine_that_does_not_answer_is_neither(
    path: Path, handler: object, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "PROBE_TIMEOUT_SECONDS", 0.1)
    with serving(handler, path):  # type: ignore[arg-type]
        answer = probe_service(CONTRACT, path)
    assert (answer.alive, answer.ready, answer.document) == (False, False, {})
    assert answer.message == f"engine does not answer on {path} ({problem})"


def test_an_engine_without_a_socket_is_neither(path: Path) -> None:
    assert probe_service(CONTRACT, path) == Readiness(
        alive=False,
        ready=False,
        message=f"engine does not answer on {path} ([Errno 2] No such file or directory)",
    )


# ---- gateways ----


def test_a_gateway_that_shakes_hands_is_ready_and_keeps_its_client_ids() -> None:
    heard: list[bytes] = []
    with serving(gateway(heard=heard)) as port:
        answer = probe_service({"kind": "ib_api", "port": port}, None)
    assert answer == Readiness(True, True, "gateway speaks the API at server version 178")
    assert heard == [b"API\0\0\0\0\x09v100..178", b""], "it may start no session"


def test_a_gateway_that_does_not_is_neither() -> None:
    port = free_port()
    answer = probe_service({"kind": "ib_api", "port": port}, None)
    assert (answer.alive, answer.ready) == (False, False)
    assert answer.message == (
        f"127.0.0.1:{port} cannot be reached ([Errno 111] Connection refused); wanted the API port of an IB gateway."
        " Start the gateway, or correct host and port."
    )


@pytest.mark.parametrize(("kind", "socket"), [("tcp", Path("blue.sock")), ("contract", None)])
def test_an_unknown_kind_of_probe_is_refused(kind: str, socket: Path | None) -> None:
    with pytest.raises(ValueError, match=f"^probe kind '{kind}' is not known; wanted ib_api, contract, container,"):
        probe_service({"kind": kind}, socket)


# ---- engines that only can be observed ----

STARTED = 1_795_373_200
RUNS: dict[str, Any] = {"Running": True, "Status": "running", "StartedAt": "2026-11-22T18:46:40.123456789Z"}
LOG = {"kind": "log", "ready": "TradingNode: RUNNING", "fatal": r"^\[FATAL\]"}
FILE = {"kind": "file_age", "path": "state/*.json", "max_age_seconds": 60}


class Observed:
    """An engine's container, output and folder; `ask` probes it at a second after its start."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.state: dict[str, Any] | None = dict(RUNS)
        self.output = ""
        self.asked: list[tuple[str, str, int]] = []
        self.second = 100.0
        (folder / "state").mkdir()
        monkeypatch.setattr(commands, "container", lambda _name: self.state and {"State": self.state})
        monkeypatch.setattr(commands, "container_log", self.log)
        monkeypatch.setattr(readiness, "time", self)

    def log(self, *asked: Any) -> str:
        self.asked.append(asked)
        return self.output

    def time(self) -> float:
        return STARTED + self.second

    def write(self, second: float, name: str = "state/mean_checkpoint.json") -> None:
        (self.folder / name).touch()
        os.utime(self.folder / name, (STARTED + second, STARTED + second))

    def ask(self, probe: dict[str, Any], *, started: bool = True) -> Readiness:
        return probe_service(
            {**probe, "container": "engine-1", "folder": str(self.folder)}, Path("blue.sock"), started=started
        )


@pytest.fixture
def observed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Observed:
    return Observed(tmp_path, monkeypatch)


@pytest.mark.parametrize("probe", [{"kind": "container"}, LOG, FILE, {"kind": "all", "probes": [LOG, FILE]}])
@pytest.mark.parametrize(("state", "seen"), [(None, "missing"), ({"Running": False, "Status": "exited"}, "exited")])
def test_an_engine_without_a_running_container_is_neither(
    observed: Observed, probe: dict[str, Any], state: dict[str, Any] | None, seen: str
) -> None:
    observed.state = state
    assert observed.ask(probe) == Readiness(False, False, f"container engine-1 is {seen}; wanted running")


@pytest.mark.parametrize(
    ("health", "alive", "ready", "says"),
    [
        (None, True, True, "it has no health check"),
        ("starting", True, False, "its health check says starting (no link)"),
        ("healthy", True, True, "its health check says healthy"),
        ("unhealthy", False, False, "its health check says unhealthy (no link)"),
    ],
)
def test_a_container_is_as_healthy_as_its_own_check_says(
    observed: Observed, health: str | None, alive: bool, ready: bool, says: str
) -> None:
    log = [{"Output": "all well"}, {"Output": "no link\n"}]
    observed.state = RUNS | ({"Health": {"Status": health, "Log": log}} if health else {})
    answer = observed.ask({"kind": "container"})
    assert answer == Readiness(alive, ready, f"engine is running: {says}", {"role": "running"})


@pytest.mark.parametrize(
    ("output", "started", "alive", "ready", "says"),
    [
        ("BUILDING\n", False, True, False, "its output has not matched 'TradingNode: RUNNING' since the start"),
        ("x\n[INFO] TradingNode: RUNNING\n", False, True, True, "its output has matched 'TradingNode: RUNNING'"),
        ("a tick\n", True, True, True, "its output says nothing fatal"),
        (
            "TradingNode: RUNNING\n[FATAL] out  of luck\nbye\n",
            True,
            False,
            False,
            "its output says '[FATAL] out of luck', which matches '^\\[FATAL\\]'",
        ),
        ("said [FATAL] within\n", True, True, True, "its output says nothing fatal"),
    ],
    ids=["not yet", "ready", "ready long ago", "fatal", "not the pattern"],
)
def test_an_engine_is_what_its_output_says(
    observed: Observed, output: str, started: bool, alive: bool, ready: bool, says: str
) -> None:
    observed.output = output
    answer = observed.ask(LOG, started=started)
    assert answer == Readiness(alive, ready, f"engine is running: {says}", {"role": "running"})
    # Only what it has said since it was started, and of a running one only the newest.
    assert observed.asked == [("engine-1", RUNS["StartedAt"], 200 if started else 5000)]


@pytest.mark.parametrize(
    ("written", "started", "alive", "ready", "says"),
    [
        (None, False, True, False, "it has written no state/*.json since the start; wanted one every 60 s"),
        (-5, False, True, False, "it has written no state/*.json since the start; wanted one every 60 s"),
        (-5, True, False, False, "it has written no state/*.json since the start; wanted one every 60 s"),
        (40, False, True, True, "it wrote state/*.json at most 60 s ago"),
        (30, False, True, False, "it wrote state/*.json 70 s ago; wanted at most 60 s"),
        (30, True, False, False, "it wrote state/*.json 70 s ago; wanted at most 60 s"),
    ],
    ids=["nothing yet", "of an earlier engine", "of an earlier engine, later", "fresh", "old at start", "old"],
)
def test_an_engine_that_stops_writing_its_file_is_not_alive(
    observed: Observed, written: float | None, started: bool, alive: bool, ready: bool, says: str
) -> None:
    if written is not None:
        observed.write(written)
    answer = observed.ask(FILE, started=started)
    assert answer == Readiness(alive, ready, f"engine is running: {says}", {"role": "running"})


def test_the_newest_of_several_files_counts(observed: Observed) -> None:
    observed.write(10, "state/old.json")
    observed.write(90)
    assert observed.ask(FILE).ready


def test_all_of_several_probes_must_agree_and_only_what_is_wrong_is_told(observed: Observed) -> None:
    both = {"kind": "all", "probes": [{"kind": "container"}, FILE]}
    observed.write(90)
    assert observed.ask(both).message == (
        "engine is running: it has no health check; it wrote state/*.json at most 60 s ago"
    )
    observed.second = 300
    answer = observed.ask(both)
    assert (answer.alive, answer.ready) == (False, False)
    assert answer.message == "engine is running: it wrote state/*.json 210 s ago; wanted at most 60 s"


def test_an_engine_is_not_given_up_while_docker_cannot_tell(
    observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restarting(_name: str) -> None:
        raise commands.CommandError("`docker container inspect` failed with status 1: no daemon")

    monkeypatch.setattr(commands, "container", restarting)
    answer = observed.ask({"kind": "container"})
    assert (answer.alive, answer.ready) == (True, False)
    assert answer.message.startswith("docker does not say how the engine is: `docker container inspect` failed")


@pytest.mark.parametrize(
    ("probe", "mistakes"),
    [
        (LOG, []),
        (FILE, []),
        ({"kind": "all", "probes": [{"kind": "container"}, LOG, FILE]}, []),
        ({"kind": "tcp"}, [("probe.kind", "'tcp'", "one of container, log, file_age, all")]),
        ("log", [("probe.kind", "None", "one of container, log, file_age, all")]),
        ({"kind": "log"}, [("probe.ready", "not set", "a value, because the kind is log")]),
        ({"kind": "container", "redy": "x"}, [("probe.redy", "an unknown key", "one of none")]),
        (
            {"kind": "log", "ready": "(", "fatal": 5},
            [
                ("probe.fatal", "5", "a regular expression (first argument must be string or compiled pattern)"),
                (
                    "probe.ready",
                    "'('",
                    "a regular expression (missing ), unterminated subpattern at position 0)",
                ),
            ],
        ),
        (
            {"kind": "file_age", "path": "../x", "max_age_seconds": 0},
            [
                ("probe.path", "'../x'", "a path below the engine's folder, such as results/*"),
                ("probe.max_age_seconds", "0", "a number of seconds above 0"),
            ],
        ),
        ({"kind": "all", "probes": []}, [("probe.probes", "[]", "a list of probes")]),
        (
            {"kind": "all", "probes": [{"kind": "container"}, {"kind": "all", "probes": []}]},
            [("probe.probes[1].kind", "'all'", "one of container, log, file_age")],
        ),
    ],
)
def test_every_mistake_of_a_probe_is_told(probe: Any, mistakes: list[tuple[str, str, str]]) -> None:
    assert list(probe_mistakes(probe)) == mistakes


CLIENT_ID_IN_USE = frame(4, 2, -1, 326, "Unable to connect as the client id is already in use", "")


def test_a_session_waits_until_another_probe_gives_the_client_id_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "RETRY_SECONDS", 0.01)
    answers = [gateway(opening=CLIENT_ID_IN_USE), gateway(opening=CLIENT_ID_IN_USE), gateway()]
    with serving(lambda connection, ending: answers.pop(0)(connection, ending)) as port:
        session = gateway_session({"port": port, "client_id": 990}, 5)
    assert session.accounts == ["DU1234567"]
    assert answers == []


def test_a_client_id_that_is_never_given_back_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "RETRY_SECONDS", 0.01)
    with serving(gateway(opening=CLIENT_ID_IN_USE)) as port, pytest.raises(ib_api.ClientIdInUse) as refused:
        gateway_session({"port": port, "client_id": 990}, 0.3)
    assert str(refused.value) == (
        f"127.0.0.1:{port} refused client id 990 (326: Unable to connect as the client id is already in use);"
        " wanted a free client id. Stop the client that holds it, or use another id."
    )
