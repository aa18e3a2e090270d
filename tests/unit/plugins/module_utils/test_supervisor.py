# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor as systemd runs it: a process of its own, with a notify socket, and a docker that tests play."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from hashlib import sha256
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import supervisor
from ansible_collections.ballast.trading.plugins.module_utils.releases import Release, ReleaseStore
from ansible_collections.ballast.trading.plugins.module_utils.stack import Stack, StackError
from ansible_collections.ballast.trading.plugins.module_utils.supervisor import notify, open_service, service_of
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed
from tests.unit.plugins.module_utils.fake_servers import closing as hanging_up
from tests.unit.plugins.module_utils.fake_servers import free_port, gateway, http, serving

COLLECTIONS = Path(__file__).parents[4] / "collections"
CONTAINER = "ballast-dev-engine-blue"
DEADLINE = 20.0

# File state is what `docker inspect` says. Clients of `start` and `attach` live until a line comes through pipe `end`.
DOCKER = r"""#!/bin/sh
cd "$(dirname "$0")" || exit
become() {
  printf '[{"State": {"Status": "%s", "Running": %s, "ExitCode": %s, "StartedAt": "now"}}]' "$1" "$2" "$3" >state.new
  mv state.new state
}
follow() {
  read -r line <&3
  [ ! -e last_words ] || cat last_words
}
case "$1" in start | attach) exec 3<>end ;; esac
echo "$*" >>calls
[ ! -e down ] || { echo "Cannot connect to the Docker daemon" >&2; exit 1; }
case "$1" in
container)
  [ -e state ] || { echo "Error: No such container: $3" >&2; exit 1; }
  cat state
  ;;
compose)
  echo "$BALLAST_SLOT $BALLAST_RELEASE" >variables
  [ ! -e compose_hook ] || . ./compose_hook
  become created false 0
  ;;
start)
  [ ! -e broken ] || { echo "port is already allocated" >&2; exit 1; }
  while [ -e slow ]; do sleep 0.02; done
  echo "the engine says hello"
  become running true 0
  echo started >>calls
  follow
  ;;
attach) follow ;;
logs) cat output ;;
stop)
  become exited false "$(cat stop_status)"
  echo 1<>end
  ;;
*) exit 99 ;;
esac
"""

PROGRAM = """
import sys
from pathlib import Path
from ansible_collections.ballast.trading.plugins.module_utils import supervisor
supervisor.WAITING_SECONDS = 0.05
supervisor.PROBE_SECONDS = {}
supervisor.OBSERVE_SECONDS = (0.05, 0.05)
sys.exit(supervisor.Supervisor(supervisor.service_of(sys.argv[1], sys.argv[2], Path(sys.argv[3]))).run())
"""


def health(role: str = "trading", status: str = "200 OK", **parts: object) -> Callable[..., None]:
    return http(json.dumps({"status": "pass", "role": role, **parts}), status)


def restage(release: Release, service: str, **settings: object) -> None:
    """Change how a service is described, as if the release had been staged so."""
    path = release.path / service / "service.json"
    path.write_text(json.dumps({**release.service(service), **settings}))
    files = {**release.manifest["files"], f"{service}/service.json": sha256(path.read_bytes()).hexdigest()}
    (release.path / "release.json").write_text(json.dumps({**release.manifest, "files": files}))


class Unit:
    """A supervisor under a systemd that listens, with docker in tests' hands."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.stack = deployed(root, "dev")
        self.docker = root / "docker"
        self.docker.mkdir()
        (self.docker / "docker").write_text(DOCKER)
        (self.docker / "docker").chmod(0o755)
        os.mkfifo(self.docker / "end")
        self.set("stop_status", "0")
        self.release = self.stage()
        monkeypatch.setenv("PATH", f"{self.docker}:{os.environ['PATH']}")
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(root / "notify"))
        self.notified.settimeout(DEADLINE)
        self.process: subprocess.Popen[str] | None = None

    def stage(self, **settings: object) -> Release:
        defaults = {"uid": os.getuid(), "gid": os.getgid(), "stop_grace_seconds": 7}
        with pytest.MonkeyPatch.context() as staging:
            release = FakeHost(self.stack, staging).stage(**{**defaults, **settings})
        store = ReleaseStore(self.stack)
        for slot in ("gateway", "blue"):
            store.set_link(f"active/{slot}", release.id)
        return release

    def set(self, name: str, text: str = "") -> None:
        (self.docker / name).write_text(text)

    def clear(self, name: str) -> None:
        (self.docker / name).unlink()

    def calls(self) -> list[str]:
        return (self.docker / "calls").read_text().splitlines()

    def verbs(self) -> list[str]:
        """What was asked of docker, without the looks at the container."""
        return [call.split()[0] for call in self.calls() if not call.startswith("container inspect")]

    def run(self, instance: str = "dev-blue", kind: str = "engine", *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", PROGRAM, instance, kind, str(self.root), *options],
            env={
                **os.environ,
                "BALLAST_SANDBOXED": "1",
                "PYTHONPATH": str(COLLECTIONS),
                "NOTIFY_SOCKET": str(self.root / "notify"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def runs(self, *arguments: str) -> None:
        """Run it until its container has started."""
        self.run(*arguments)
        self.hears("STATUS=")
        self.eventually_calls("started")

    def engine(self, handler: Callable[..., None] | None = None) -> AbstractContextManager[int]:
        """An engine that answers from now on; its container runs."""
        self.hears("STATUS=engine does not answer on ")
        return serving(handler or health(), self.stack.socket("blue"))

    def hears(self, start: str) -> str:
        """The next message to systemd that starts so."""
        while True:
            message = self.notified.recv(65536).decode()
            if message.startswith(start):
                return message

    def heard(self) -> list[str]:
        """All messages to systemd that nobody has read yet."""
        self.notified.setblocking(False)
        messages = []
        try:
            while True:
                messages.append(self.notified.recv(65536).decode())
        except BlockingIOError:
            self.notified.settimeout(DEADLINE)
        return messages

    def eventually_calls(self, call: str) -> None:
        """Wait until docker was called so; every probe says something to systemd, which paces this."""
        while call not in self.calls():
            self.notified.recv(65536)

    def terminate(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)

    def container_exits(self, status: int, detail: str = "") -> None:
        state = f'[{{"State": {{"Status": "exited", "Running": false, {detail} "ExitCode": {status}}}}}]'
        self.set("state", state)
        self.detach()

    def detach(self) -> None:
        pipe = os.open(self.docker / "end", os.O_RDWR)
        os.write(pipe, b"\n")
        os.close(pipe)

    def ends(self) -> tuple[int, str]:
        """Exit status and output."""
        assert self.process
        output, _none = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, output

    def says(self, text: str) -> str:
        return f"ballast: engine {self.release.id}: {text}\n"


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    # Not tmp_path: the path of a Unix socket has room for a hundred characters.
    with tempfile.TemporaryDirectory(prefix="unit-") as folder:
        one = Unit(Path(folder), monkeypatch)
        with closing(one.notified):
            yield one
            if one.process and one.process.returncode is None:
                os.killpg(one.process.pid, signal.SIGKILL)
                one.process.communicate()


# ---- starting ----


def test_it_is_ready_only_once_the_engine_trades(unit: Unit) -> None:
    unit.run()
    with unit.engine(health("standby", "503 Service Unavailable", output="no tick yet")):
        status = unit.hears("STATUS=engine is ")
        unit.hears("WATCHDOG=1")
        assert "READY=1" not in unit.heard()
    assert status == "STATUS=engine is standby: no tick yet"
    (unit.stack.socket("blue")).unlink()
    with unit.engine():
        unit.hears("READY=1")
        unit.terminate()
        status_code, output = unit.ends()
    assert status_code == 0
    assert output.startswith("the engine says hello\n" + unit.says("healthy after ")[:-1])
    assert output.endswith(" s: engine is trading\n" + unit.says("the container exited with status 0"))


def test_it_creates_the_container_of_its_release_in_its_slot(unit: Unit) -> None:
    unit.runs()
    unit.terminate()
    unit.ends()
    folder = unit.release.path / "engine"
    assert unit.calls()[1] == (
        f"compose --project-name {CONTAINER} --project-directory {folder} --file {folder}/compose.yaml"
        " create --force-recreate --pull never"
    )
    assert (unit.docker / "variables").read_text() == f"blue {unit.release.id}\n"
    assert unit.verbs() == ["compose", "start", "started", "stop"]
    assert unit.stack.run.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("secrets", [{"api-access-token": "s3cret", "port": 2}, None])
def test_settings_are_joined_with_the_secrets_in_a_file_that_only_the_engine_reads(
    unit: Unit, secrets: dict[str, object] | None
) -> None:
    settings = unit.release.path / "engine/config/engine.json"
    settings.write_text(json.dumps({"host": "gateway", "port": 1}))
    restage(unit.release, "engine", secret_settings="engine.json")
    files = json.loads((unit.release.path / "release.json").read_text())
    files["files"]["engine/config/engine.json"] = sha256(settings.read_bytes()).hexdigest()
    (unit.release.path / "release.json").write_text(json.dumps(files))
    joined = unit.root / "run/ballast/dev.secrets/blue.json"
    if secrets:
        secret = unit.stack.etc / "secrets/engine/engine.json"
        secret.parent.mkdir(parents=True)
        secret.write_text(json.dumps(secrets))
        joined.parent.mkdir(parents=True)
        joined.write_text("of an earlier start")
    unit.runs()
    assert json.loads(joined.read_text()) == {"host": "gateway", "port": 1, **(secrets or {})}
    assert joined.stat().st_mode & 0o777 == 0o400
    unit.terminate()
    unit.ends()


def test_an_answer_keeps_the_watchdog_fed_and_silence_does_not(unit: Unit) -> None:
    unit.run()
    unit.hears("STATUS=engine does not answer on ")
    assert "WATCHDOG=1" not in unit.heard()
    with serving(health(), unit.stack.socket("blue")):
        unit.hears("READY=1")
        unit.hears("WATCHDOG=1")
    unit.hears("STATUS=engine does not answer on ")
    unit.hears("STATUS=engine does not answer on ")
    assert not {"WATCHDOG=1", "READY=1"} & set(unit.heard())
    unit.terminate()
    assert unit.ends()[0] == 0


def test_an_engine_that_cannot_be_asked_is_ready_once_its_output_says_so_and_hangs_when_it_says_that(
    unit: Unit,
) -> None:
    unit.set("output", "BUILDING\n")
    restage(unit.release, "engine", probe={"kind": "log", "ready": "RUNNING", "fatal": "^FATAL"})
    unit.run()
    assert unit.hears("STATUS=engine") == (
        "STATUS=engine is running: its output has not matched 'RUNNING' since the start"
    )
    unit.hears("WATCHDOG=1")
    assert "READY=1" not in unit.heard()
    unit.set("output", "RUNNING\n")
    unit.hears("READY=1")
    unit.set("output", "an hour of ticks\n")
    assert unit.hears("STATUS=engine is running: its output says nothing fatal")
    unit.hears("WATCHDOG=1")
    unit.set("output", "FATAL\n")
    unit.hears("STATUS=engine is running: its output says 'FATAL'")
    unit.hears("STATUS=engine is running: its output says 'FATAL'")
    assert "WATCHDOG=1" not in unit.heard()
    unit.terminate()
    assert unit.ends()[0] == 0


def test_a_gateway_is_ready_when_it_speaks_the_api(unit: Unit) -> None:
    with serving(gateway()) as port:
        restage(unit.release, "gateway", probe={**unit.release.service("gateway")["probe"], "port": port})
        unit.run("dev", "gateway")
        assert unit.hears("STATUS=") == "STATUS=gateway speaks the API at server version 178"
        unit.hears("READY=1")
        unit.terminate()
        status, output = unit.ends()
    assert (status, unit.calls()[-2]) == (0, "stop -t 30 ballast-dev-gateway")
    assert f"ballast: gateway {unit.release.id}: the container exited with status 0\n" in output


def test_a_gateway_that_waits_for_its_login_is_not_given_up_and_is_reported_once(unit: Unit) -> None:
    path = unit.docker / "systemd-run"
    path.write_text(f'#!/bin/sh\nfor word; do :; done\necho "$word" >>{unit.docker}/reports\n')
    path.chmod(0o755)
    settings = {"ready_timeout_seconds": 0.2, "session_alert_seconds": 0.4}
    with serving(hanging_up) as port:
        probe = {**unit.release.service("gateway")["probe"], "port": port}
        restage(unit.release, "gateway", probe=probe, **settings)
        unit.run("dev", "gateway")
        unit.hears("STATUS=127.0.0.1:")
        deadline = time.monotonic() + DEADLINE
        while not (unit.docker / "reports").exists() and time.monotonic() < deadline:
            unit.hears("STATUS=127.0.0.1:")
        unit.hears("STATUS=127.0.0.1:")
        unit.terminate()
        status, output = unit.ends()
    assert status == 0
    assert "READY=1" not in unit.heard()
    (report,) = (unit.docker / "reports").read_text().splitlines()
    assert report.startswith("the gateway has had no session with the broker for 0 s: 127.0.0.1:")
    assert report.endswith(". It is not restarted: a login may wait for its second factor")
    assert f"{report}\n" in output


def test_a_gateway_whose_port_is_closed_is_given_up(unit: Unit) -> None:
    probe = {**unit.release.service("gateway")["probe"], "port": free_port()}
    restage(unit.release, "gateway", probe=probe, ready_timeout_seconds=0.3)
    unit.run("dev", "gateway")
    assert unit.ends()[0] == supervisor.EXIT_NEVER_HEALTHY


def test_a_start_is_delayed_as_its_release_wants_it(unit: Unit) -> None:
    unit.release = unit.stage(start_delay_seconds=0.5)
    unit.run()
    assert unit.hears("STATUS=") == "STATUS=starts in 0 s, as its release wants it"
    unit.hears("STATUS=engine")
    unit.terminate()
    assert unit.ends()[0] == 0


def test_a_stop_in_the_delay_starts_nothing(unit: Unit) -> None:
    unit.release = unit.stage(start_delay_seconds=300)
    unit.run()
    assert unit.hears("STATUS=").startswith("STATUS=starts in ")
    unit.terminate()
    assert unit.ends()[0] == 0
    assert not (unit.docker / "calls").exists()


def test_an_engine_that_never_gets_healthy_is_stopped_and_reported(unit: Unit) -> None:
    unit.release = unit.stage(ready_timeout_seconds=0.3)
    unit.run()
    status, output = unit.ends()
    assert status == supervisor.EXIT_NEVER_HEALTHY == 75
    silence = f"engine does not answer on {unit.stack.socket('blue')} ([Errno 2] No such file or directory)"
    assert output == "the engine says hello\n" + unit.says(f"was not healthy within 0.3 s: {silence}")
    assert unit.verbs()[-1] == "stop"
    assert "READY=1" not in unit.heard()


def test_an_engine_that_waits_for_its_gateway_has_all_the_time_it_needs(unit: Unit) -> None:
    unit.release = unit.stage(ready_timeout_seconds=1)
    unit.run()
    unit.hears("STATUS=engine does not answer on ")
    with serving(health("starting", "503 Down", gateway={"state": "not_logged_in"}), unit.stack.socket("blue")):
        unit.hears("STATUS=engine is starting")
        began = time.monotonic()
        while time.monotonic() < began + 1.5:
            unit.hears("STATUS=")
        assert "READY=1" not in unit.heard()
    unit.stack.socket("blue").unlink(missing_ok=True)
    with serving(health(gateway={"state": "ready"}), unit.stack.socket("blue")):
        unit.hears("READY=1")
        unit.terminate()
        assert unit.ends()[0] == 0


def test_a_container_that_docker_cannot_start_is_reported_with_dockers_reason(unit: Unit) -> None:
    unit.set("broken")
    unit.run()
    status, output = unit.ends()
    assert status == supervisor.EXIT_NO_CONTAINER == 71
    assert output == "port is already allocated\n" + unit.says("docker could not start the container")


def test_a_container_that_outlived_its_supervisor_is_stopped_before_another_is_made(unit: Unit) -> None:
    unit.set("state", '[{"State": {"Status": "running", "Running": true, "ExitCode": 0}}]')
    unit.runs()
    unit.terminate()
    status, output = unit.ends()
    assert status == 0
    assert unit.verbs() == ["stop", "compose", "start", "started", "stop"]
    assert output.startswith(unit.says("stopping a container that outlived its supervisor"))


def test_an_engines_words_cannot_speak_to_systemd(unit: Unit) -> None:
    unit.run()
    with unit.engine(health("starting", "503 Service Unavailable", output="no\nREADY=1\n\ud800")):
        assert unit.hears("STATUS=engine is ") == "STATUS=engine is starting: no READY=1 ?"
    unit.terminate()
    assert unit.ends()[0] == 0


# ---- running ----


@pytest.mark.parametrize("status", [0, 64, 137])
def test_it_ends_with_its_container_and_passes_the_exit_status_on(unit: Unit, status: int) -> None:
    unit.runs()
    unit.set("last_words", "the engine says goodbye\n")
    unit.container_exits(status)
    assert unit.ends() == (
        status,
        "the engine says hello\nthe engine says goodbye\n" + unit.says(f"the container exited with status {status}"),
    )
    assert "stop" not in unit.verbs()


def test_it_says_when_memory_ran_out(unit: Unit) -> None:
    unit.runs()
    unit.container_exits(137, '"OOMKilled": true,')
    assert unit.ends() == (
        137,
        "the engine says hello\n"
        + unit.says("the container was killed because it used more memory than its limit")
        + unit.says("the container exited with status 137"),
    )


def test_it_says_when_somebody_removes_its_container(unit: Unit) -> None:
    unit.runs()
    unit.clear("state")
    unit.detach()
    assert unit.ends() == (71, "the engine says hello\n" + unit.says("somebody removed the container"))


def test_a_restart_of_docker_is_outlived(unit: Unit) -> None:
    unit.runs()
    with unit.engine():
        unit.hears("READY=1")
        unit.set("down")
        looks = unit.calls().count(f"container inspect {CONTAINER}")
        unit.detach()
        while unit.calls().count(f"container inspect {CONTAINER}") <= looks + 1:
            unit.hears("WATCHDOG=1")
        unit.clear("down")
        unit.eventually_calls(f"attach --no-stdin --sig-proxy=false {CONTAINER}")
        unit.hears("WATCHDOG=1")
        assert "READY=1" not in unit.heard()
        unit.terminate()
        assert unit.ends()[0] == 0
    assert unit.verbs() == ["compose", "start", "started", "attach", "stop"]


# ---- stopping ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("status", [0, 3])
def test_a_stop_gives_the_engine_its_grace_and_passes_its_exit_status_on(
    unit: Unit, number: signal.Signals, status: int
) -> None:
    unit.set("stop_status", str(status))
    unit.set("last_words", "the engine has drained\n")
    unit.runs()
    assert unit.process
    unit.process.send_signal(number)
    unit.hears("STOPPING=1")
    assert int(unit.hears("EXTEND_TIMEOUT_USEC=").partition("=")[2]) >= 37_000_000
    code, output = unit.ends()
    assert code == status
    assert f"stop -t 7 {CONTAINER}" in unit.calls()
    assert output.endswith("the engine has drained\n" + unit.says(f"the container exited with status {status}"))


def test_a_hung_engine_is_stopped_when_the_watchdog_barks_whether_or_not_it_starts_again(unit: Unit) -> None:
    unit.set("stop_status", "137")
    unit.runs()
    assert unit.process
    unit.process.send_signal(signal.SIGABRT)
    status, output = unit.ends()
    assert status == 137
    assert output.endswith(unit.says("the container exited with status 137"))
    assert unit.verbs() == ["compose", "start", "started", "stop"]


def test_a_stop_before_the_container_starts_keeps_it_from_starting(unit: Unit) -> None:
    unit.set("compose_hook", "kill -TERM $PPID\n")
    unit.run()
    assert unit.ends() == (0, "")
    assert unit.verbs() == ["compose"]


def test_a_stop_while_docker_starts_the_container_still_stops_it(unit: Unit) -> None:
    unit.set("slow")
    unit.run()
    unit.hears("STATUS=")
    unit.terminate()
    unit.hears("EXTEND_TIMEOUT_USEC=")
    unit.clear("slow")
    status, output = unit.ends()
    assert status == 0
    assert output.endswith(unit.says("the container exited with status 0"))
    assert unit.verbs() == ["compose", "start", "started", "stop"]


def test_a_supervisor_that_fails_takes_its_container_along(unit: Unit) -> None:
    restage(unit.release, "engine", probe={"kind": "telepathy"})
    unit.run()
    status, output = unit.ends()
    assert status == 1
    assert "ValueError: probe kind 'telepathy' is not known; wanted ib_api, contract, container" in output
    assert unit.verbs() == ["compose", "start", "started", "stop"]


# ---- the right to run ----


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return deployed(tmp_path)


@pytest.mark.parametrize(
    ("instance", "kind", "name"), [("dev-main-green", "engine", "green"), ("dev-main", "gateway", "gateway")]
)
def test_without_an_active_release_nothing_has_the_right_to_run(
    stack: Stack, instance: str, kind: str, name: str
) -> None:
    with pytest.raises(StackError) as refused:
        service_of(instance, kind, stack.root)
    assert str(refused.value) == (
        f"{stack.opt}/active/{name} does not exist: no release has the right to run as {name} of stack dev-main"
    )


def test_an_engines_instance_ends_in_its_slot(stack: Stack) -> None:
    with pytest.raises(StackError) as refused:
        service_of("dev-main", "engine", stack.root)
    assert str(refused.value) == (
        "engine instance 'dev-main' does not end in a slot; wanted <stack>-blue or <stack>-green"
    )


def test_a_service_is_what_its_active_release_says(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    release = FakeHost(stack, monkeypatch).stage(stop_grace_seconds=12)
    ReleaseStore(stack).set_link("active/green", release.id)
    service = service_of("dev-main-green", "engine", stack.root)
    assert service.settings["stop_grace_seconds"] == 12
    assert service.folder == release.path / "engine"
    assert service.container == service.project == "ballast-dev-main-engine-green"
    common = {"BALLAST_SLOT": "green", "BALLAST_RELEASE": release.id}
    for trading, role in ((None, "trading"), ("green", "trading"), ("blue", "standby")):
        ReleaseStore(stack).set_trading(trading)
        assert service.environment == {**common, "BALLAST_ROLE": role}
    # With all that a probe needs to know.
    folder = stack.root / "var/lib/ballast/dev-main/engine"
    assert service.settings["probe"] == {"kind": "contract", "container": service.container, "folder": str(folder)}


def test_a_service_whose_release_is_gone_or_broken_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    release = FakeHost(stack, monkeypatch).stage()
    ReleaseStore(stack).set_link("active/blue", release.id)
    (release.path / "engine/service.json").write_text("{")
    with pytest.raises(StackError) as refused:
        open_service(stack, "engine", "blue")
    assert str(refused.value) == (
        f"release {release.id} of stack dev-main cannot be run:"
        " Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    )


def test_a_release_that_was_edited_by_hand_has_no_right_to_run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    release = FakeHost(stack, monkeypatch).stage()
    ReleaseStore(stack).set_link("active/blue", release.id)
    assert service_of("dev-main-blue", "engine", stack.root).release == release
    with (release.path / "engine/config/engine.yaml").open("a") as configuration:
        configuration.write("quantity: 100000\n")
    with pytest.raises(StackError) as refused:
        service_of("dev-main-blue", "engine", stack.root)
    assert str(refused.value).startswith(
        f"release {release.id} of stack dev-main is damaged: engine/config/engine.yaml was changed."
    )


# ---- systemd's socket ----


def test_outside_a_unit_there_is_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


def test_an_abstract_notify_socket_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"ballast-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(DEADLINE)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1")
        assert listener.recv(100) == b"READY=1"
