# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import ib_api, readiness
from ansible_collections.ballast.trading.plugins.module_utils.readiness import (
    Readiness,
    gateway_session,
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
        ("200 OK", {"role": "standby"}, False, "engine is standby"),
        ("503 Down", {"role": "trading", "output": None}, False, "engine is trading"),
        ("503 Down", {"role": "starting", "output": "no\ntick\tyet"}, False, "engine is starting: no tick yet"),
        ("503 Down", {"role": "starting", "output": "\ud800"}, False, "engine is starting: ?"),
    ],
)
def test_an_engine_that_answers_is_alive_and_is_ready_when_it_trades_and_says_200(
    path: Path, status: str, document: dict[str, object], ready: bool, message: str
) -> None:
    requests: list[str] = []
    with serving(http(json.dumps(document), status, requests=requests), path):
        assert probe_service(CONTRACT, path) == Readiness(True, ready, message, document)
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
    with pytest.raises(ValueError, match=f"^probe kind '{kind}' is not known; wanted ib_api or contract$"):
        probe_service({"kind": kind}, socket)


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
