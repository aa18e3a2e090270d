# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rule is shown on: a venue, a ledger, a lease directory, and engines that are started on them.

The engines are containers of an image or processes of a command; the rules see no difference. The venue is the gateway
simulator, a process of this machine, whose witness is the judge.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.engine.support import ACCOUNT, new_ledger
from tests.engine.venue import SOURCES, Venue

CLIENT_ID, STANDBY_CLIENT_ID, FLATTEN_CLIENT_ID = 1, 2, 911
RELEASE = "20261122T204501Z-c0ffee00"
# The reference engine's own configuration: it orders as soon as it may and goes on with it.
CONFIG = """\
strategy: {name: demo, parameters: {symbol: AAPL, quantity: 5, interval_seconds: 0.05, max_position: 20}}
risk: {max_orders_per_second: null, max_orders_per_minute: null}
"""
_UID = 10001


class WaitedInVainError(AssertionError):
    """A condition did not come to hold in time; the text says which, and what was seen instead."""


class Answer(NamedTuple):
    """An HTTP answer on the control socket; status 0: nobody answered, and ``text`` says why."""

    status: int
    content_type: str
    text: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object in the body; empty when there is none."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    output: str
    errors: str


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0, seen: Callable[[], object] = str) -> None:
    """Wait until the condition holds; raises `WaitedInVainError` with what was waited for and ``seen()``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            text = str(seen())
            raise WaitedInVainError(f"waited {seconds:g} s for {what}" + (f"; saw {text}" if text else ""))
        time.sleep(0.02)


class Engine(ABC):
    """An engine that was started, in whichever way."""

    def __init__(self, slot: str, path: Path) -> None:
        self.slot = slot
        self.socket = path

    @abstractmethod
    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""

    @abstractmethod
    def exit_code(self) -> int | None:
        """Return the exit code (minus the signal's number, if killed by one); None while it runs."""

    @abstractmethod
    def output(self) -> str:
        """Return what it has written to standard output and standard error."""

    @abstractmethod
    def remove(self) -> None:
        """Kill it, if it lives, and leave nothing."""

    def ask(self, method: str, path: str, body: object = None, timeout: float = 10.0) -> Answer:
        """Do one call on the control socket."""
        connection = http.client.HTTPConnection("engine", timeout=timeout)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(timeout)
            connection.sock.connect(str(self.socket))
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return Answer(response.status, response.headers.get_content_type(), response.read().decode())
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, "", f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    def health(self) -> Answer:
        return self.ask("GET", "/health", timeout=5.0)

    def wait_for(self, status: int, role: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait until health answers with that HTTP status and role; return the document."""
        seen = [self.health()]

        def arrived() -> bool:
            seen[0] = self.health()
            if self.exit_code() is not None:
                raise WaitedInVainError(f"engine {self.slot} ended with {self.exit_code()}: {self.output()[-2000:]}")
            return (seen[0].status, seen[0].document.get("role")) == (status, role)

        until(arrived, f"health {status}, role {role}", seconds, lambda: f"{seen[0].status} {seen[0].text[:1000]}")
        return seen[0].document

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for its end and return the exit code."""
        until(lambda: self.exit_code() is not None, f"the end of engine {self.slot}", seconds)
        code = self.exit_code()
        assert code is not None  # noqa: S101 just waited for
        return code

    def stop(self) -> int:
        """Stop it as the supervisor does, and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(35.0)


class Stage(ABC):
    """One venue, one ledger, one lease directory. Use as a context: what was started ends with it."""

    def __init__(self, config: Path | None = None, ticks_per_second: float = 20.0) -> None:
        # Its path must leave room for a socket's name; see unix(7).
        self._directory = tempfile.TemporaryDirectory(prefix="stage")
        self.path = Path(self._directory.name)
        self.ledger_dir, self.lease_dir = self.path / "ledger", self.path / "lease"
        self.socket_dir, self.config_dir = self.path / "run", self.path / "etc"
        for folder in (self.ledger_dir, self.lease_dir, self.socket_dir):
            folder.mkdir()
        if config is None:
            self.config_dir.mkdir()
            (self.config_dir / "engine.yaml").write_text(CONFIG, encoding="utf-8")
        else:
            self.config_dir = config
        self.ledger = self.ledger_dir / "trades.db"
        self.engines: list[Engine] = []
        self.make_ledger()
        self.venue = self._make_venue(ticks_per_second)

    def __enter__(self) -> Self:
        self.venue.start()
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self.engines:
            engine.remove()
        self.venue.kill()
        self._directory.cleanup()

    # -- what a backend does

    def _make_venue(self, ticks_per_second: float) -> Venue:
        return Venue(self.path, ticks_per_second=ticks_per_second)

    @abstractmethod
    def start(self, slot: str = "blue", role: str = "", **environment: str) -> Engine:
        """Start an engine in the slot; ``role`` empty leaves BALLAST_ROLE away. Variables override the stage's."""

    @abstractmethod
    def run(self, *arguments: str, timeout: float = 60.0, **environment: str) -> Ended:
        """Run one of the engine's commands to its end."""

    # -- what a rule looks at

    def make_ledger(self) -> None:
        """Make the ledger as the ledger role's migrator does."""
        self.ledger.write_bytes(new_ledger())

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the ledger from outside, as an operator would."""
        connection = sqlite3.connect(f"{self.ledger.as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def execute(self, sql: str, *values: object) -> None:
        """Change the ledger from outside."""
        connection = sqlite3.connect(self.ledger, timeout=10)
        with connection:
            connection.execute(sql, values)
        connection.close()

    def orders(self) -> list[dict[str, Any]]:
        """Return every order that the venue was sent, as its witness has it."""
        return [e for e in self.venue.witness() if e["kind"] == "order" and e["as"] != "modification"]

    def sent_by(self, client_id: int) -> int:
        """Return how many orders the venue was sent by a client."""
        return sum(order["client_id"] == client_id for order in self.orders())

    def connections(self, client_id: int) -> int:
        """Return how many sessions a client has at the venue now."""
        return sum(c["client_id"] == client_id and c["to"] is None for c in self.sessions())

    def sessions(self) -> list[dict[str, Any]]:
        """Return every session the venue has had."""
        return list(self.venue.call("GET", "witness/summary")["connections"])

    def positions(self) -> dict[str, float]:
        """Return what the venue says is held."""
        held: dict[str, float] = {}
        for fill in (e for e in self.venue.witness() if e["kind"] == "fill"):
            signed = float(fill["quantity"]) * (1 if fill["side"] == "BOT" else -1)
            held[fill["symbol"]] = round(held.get(fill["symbol"], 0.0) + signed, 9)
        return {symbol: quantity for symbol, quantity in held.items() if quantity}

    def wait_for_orders(self, more: int, client_id: int = CLIENT_ID, seconds: float = 30.0) -> None:
        """Wait until the venue was sent so many orders more than now."""
        before = self.sent_by(client_id)
        until(
            lambda: self.sent_by(client_id) >= before + more,
            f"{more} more orders of client {client_id} at the venue",
            seconds,
            lambda: f"{self.sent_by(client_id) - before} more",
        )

    def environment(self, slot: str, role: str, folders: Mapping[str, str], host: str, port: int) -> dict[str, str]:
        """Return the contract's variables; ``folders``: where the engine sees ledger, lease and run."""
        variables = {
            "BALLAST_STACK": "dev-main",
            "BALLAST_SLOT": slot,
            "BALLAST_RELEASE": RELEASE,
            "BALLAST_ENVIRONMENT": "dev",
            "BALLAST_ACCOUNT": ACCOUNT,
            "BALLAST_GATEWAY_HOST": host,
            "BALLAST_GATEWAY_PORT": str(port),
            "BALLAST_CLIENT_ID": str(CLIENT_ID),
            "BALLAST_STANDBY_CLIENT_ID": str(STANDBY_CLIENT_ID),
            "BALLAST_FLATTEN_CLIENT_ID": str(FLATTEN_CLIENT_ID),
            "BALLAST_LEDGER": f"{folders['ledger']}/trades.db",
            "BALLAST_LEASE_DIR": folders["lease"],
            "BALLAST_SOCKET": f"{folders['run']}/{slot}.sock",
        }
        return variables | ({"BALLAST_ROLE": role} if role else {})


class _Process(Engine):
    def __init__(
        self, slot: str, path: Path, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        super().__init__(slot, path)
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self) -> int | None:
        return self._process.poll()

    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def remove(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


class ProcessStage(Stage):
    """Engines as processes of a command of this machine; Python's own path has the engine's sources."""

    def __init__(self, command: Sequence[str], config: Path | None = None, ticks_per_second: float = 20.0) -> None:
        super().__init__(config, ticks_per_second)
        self._command = list(command)
        self._started = 0

    def variables(self, slot: str, role: str = "", more: Mapping[str, str] | None = None) -> dict[str, str]:
        folders = {"ledger": str(self.ledger_dir), "lease": str(self.lease_dir), "run": str(self.socket_dir)}
        variables = self.environment(slot, role, folders, "127.0.0.1", self.venue.port)
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES, "BALLAST_CONFIG": f"{self.config_dir}/engine.yaml"}
        return own | variables | dict(more or {})

    def start(self, slot: str = "blue", role: str = "", **environment: str) -> Engine:
        self._started += 1
        variables = self.variables(slot, role, environment)
        log = self.path / f"{self._started}-{slot}.log"
        self.engines.append(_Process(slot, Path(variables["BALLAST_SOCKET"]), self._command, variables, log))
        return self.engines[-1]

    def run(self, *arguments: str, timeout: float = 60.0, **environment: str) -> Ended:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self.variables("blue", "", environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


class _Container(Engine):
    def __init__(self, slot: str, path: Path, name: str) -> None:
        super().__init__(slot, path)
        self.name = name

    def signal(self, number: signal.Signals) -> None:
        _docker("kill", "--signal", number.name, self.name)

    def exit_code(self) -> int | None:
        state = json.loads(_docker("inspect", "--format", "{{json .State}}", self.name).output)
        if state["Running"] or state["Status"] == "created":
            return None
        code = int(state["ExitCode"])
        return code if code < 128 else 128 - code

    def output(self) -> str:
        done = _docker("logs", self.name)
        return done.output + done.errors

    def remove(self) -> None:
        _docker("rm", "--force", self.name)


class ContainerStage(Stage):
    """Engines as containers of an image, run as the contract says; in a network with the venue and nothing else."""

    def __init__(
        self, image: str, command: Sequence[str] = (), config: Path | None = None, ticks_per_second: float = 20.0
    ) -> None:
        self._image = image
        self._command = list(command)
        self._started = 0
        super().__init__(config, ticks_per_second)
        self._network = f"contract-{self.path.name}"
        _docker("network", "create", "--internal", self._network, check=True)
        found = json.loads(_docker("network", "inspect", self._network, check=True).output)
        # The venue is a process of this machine: the engines meet it at the network's own address.
        self._gateway = str(found[0]["IPAM"]["Config"][0]["Gateway"])
        self.venue = Venue(self.path, ticks_per_second=ticks_per_second, host=self._gateway)
        self._give_to_engine()

    def make_ledger(self) -> None:
        super().make_ledger()
        self._give_to_engine()

    def _give_to_engine(self) -> None:
        self.path.chmod(0o755)
        for folder in (self.ledger_dir, self.lease_dir, self.socket_dir):
            for path in (folder, *folder.iterdir()):
                os.chown(path, _UID, _UID)

    def __exit__(self, *details: object) -> None:
        try:
            super().__exit__(*details)
        finally:
            _docker("network", "rm", self._network)

    def arguments(self, slot: str, role: str, more: Mapping[str, str]) -> list[str]:
        """Return the options of ``docker run`` that the contract describes."""
        folders = {"ledger": "/var/lib/engine/ledger", "lease": "/var/lib/engine/lease", "run": "/run/engine"}
        variables = self.environment(slot, role, folders, "gateway", self.venue.port) | dict(more)
        mounts = {
            f"{self.config_dir}": "/etc/engine:ro",
            f"{self.ledger_dir}": folders["ledger"],
            f"{self.lease_dir}": folders["lease"],
            f"{self.socket_dir}": folders["run"],
        }
        return [
            f"--network={self._network}",
            f"--add-host=gateway:{self._gateway}",
            f"--user={_UID}:{_UID}",
            "--read-only",
            "--tmpfs=/tmp",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges:true",
            "--pids-limit=128",
            *(f"--volume={source}:{target}" for source, target in mounts.items()),
            *(f"--env={name}={value}" for name, value in variables.items()),
        ]

    def start(self, slot: str = "blue", role: str = "", **environment: str) -> Engine:
        self._started += 1
        name = f"{self._network}-{self._started}-{slot}"
        socket_path = self.socket_dir / f"{slot}.sock"
        self.engines.append(_Container(slot, socket_path, name))
        options = self.arguments(slot, role, environment)
        _docker("run", "--detach", f"--name={name}", *options, self._image, *self._command, check=True)
        return self.engines[-1]

    def run(self, *arguments: str, timeout: float = 60.0, **environment: str) -> Ended:
        options = self.arguments("blue", "", environment)
        command = self._command or shlex.split("python -m reference_engine")
        return _docker("run", "--rm", *options, self._image, *command, *arguments, timeout=timeout)

    def listening(self, engine: Engine) -> list[int]:
        """Return the TCP ports that the container listens on (proc(5): state 0A)."""
        assert isinstance(engine, _Container)  # noqa: S101 its own
        found = _docker("inspect", "--format", "{{.State.Pid}}", engine.name, check=True)
        ports = set()
        for name in ("tcp", "tcp6"):
            lines = Path(f"/proc/{found.output.strip()}/net/{name}").read_text(encoding="ascii").splitlines()[1:]
            ports |= {int(fields[1].rpartition(":")[2], 16) for line in lines if (fields := line.split())[3] == "0A"}
        # Docker's own name server listens inside every container of a network that is not the default one.
        return sorted(ports - self._name_server_ports(found.output.strip()))

    def _name_server_ports(self, pid: str) -> set[int]:
        lines = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        return {
            int(local.rpartition(":")[2], 16) for line in lines if (local := line.split()[1]).startswith("0B00007F")
        }

    def exposed(self) -> list[str]:
        """Return the ports that the image says it would publish."""
        found = _docker("image", "inspect", "--format", "{{json .Config.ExposedPorts}}", self._image, check=True)
        return sorted(json.loads(found.output) or {})

    def try_to_write(self, engine: Engine) -> list[str]:
        """Return which of some folders of the root can be written in the container."""
        assert isinstance(engine, _Container)  # noqa: S101 its own
        found = _docker("inspect", "--format", "{{.State.Pid}}", engine.name, check=True)
        mounts = Path(f"/proc/{found.output.strip()}/mounts").read_text(encoding="utf-8").splitlines()
        root = [fields[3].split(",") for line in mounts if (fields := line.split())[1] == "/"]
        return [] if all("ro" in options for options in root) else ["/"]


def _docker(*arguments: str, check: bool = False, timeout: float = 60.0) -> Ended:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise RuntimeError(f"docker {shlex.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return Ended(done.returncode, done.stdout, done.stderr)
