# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a unit: owns one service's container from creation to exit, and tells systemd the truth about it.

systemd (Type=notify) hears READY=1 only when the service's own probe has passed and WATCHDOG=1 only while it still
answers, so a started unit is a healthy one and a hung engine is restarted. The container's output becomes the unit's
journal.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from . import commands
from .alerts import alert
from .hold import held
from .readiness import probe_service
from .releases import Release, ReleaseError, ReleaseStore
from .session_watch import ALERT_SECONDS, SessionWatch
from .stack import SLOTS, Stack, StackError, load_stack

# Seconds between probes, while starting and while running. A gateway is probed rarely: every connection costs it.
PROBE_SECONDS = {"ib_api": (1.0, 60.0), "contract": (0.25, 5.0)}
OBSERVE_SECONDS = (1.0, 10.0)
# A gateway that has not become ready in its time waits for somebody, and is not asked as often.
WAITING_SECONDS = 10.0
START_SECONDS = 30.0

EXIT_NO_CONTAINER = 71
EXIT_NEVER_HEALTHY = 75


@dataclass(frozen=True)
class Service:
    """One service of a stack, as its release describes it."""

    stack: Stack
    kind: str
    slot: str | None
    release: Release
    settings: dict[str, Any]

    @property
    def container(self) -> str:
        return container_name(self.stack.name, self.kind, self.slot)

    @property
    def project(self) -> str:
        return self.container

    @property
    def folder(self) -> Path:
        return self.release.path / self.kind

    @property
    def environment(self) -> dict[str, str]:
        """What compose.yaml interpolates beside its .env. An engine begins in the role that its slot has by now."""
        trading = ReleaseStore(self.stack).trading_slot()
        role = "trading" if trading in (None, self.slot) else "standby"
        return {"BALLAST_SLOT": self.slot or "", "BALLAST_RELEASE": self.release.id, "BALLAST_ROLE": role}


def container_name(stack: str, kind: str, slot: str | None) -> str:
    return f"ballast-{stack}-{kind}" + (f"-{slot}" if slot else "")


def service_of(instance: str, kind: str, root: Path = Path("/")) -> Service:
    """The service behind a unit instance: ``<stack>`` for the gateway, ``<stack>-<slot>`` for an engine.

    Raises StackError when the slot holds no release, or one that somebody has edited, or no engine may start after an
    emergency stop: then it has no right to run.
    """
    name, slot = instance, None
    if kind == "engine":
        name, _dash, slot = instance.rpartition("-")
        if slot not in SLOTS:
            raise StackError(
                f"engine instance {instance!r} does not end in a slot; wanted <stack>-blue or <stack>-green"
            )
    stack = load_stack(name, root)
    if slot and (reason := held(stack)):
        raise StackError(reason)
    service = open_service(stack, kind, slot)
    try:
        ReleaseStore(stack).verify(service.release)
    except (ReleaseError, OSError) as error:
        raise StackError(str(error)) from error
    return service


def open_service(stack: Stack, kind: str, slot: str | None) -> Service:
    """The service as its active release describes it; raises StackError when no release is active there."""
    store = ReleaseStore(stack)
    link = f"active/{slot or kind}"
    release_id = store.link(link)
    if release_id is None:
        raise StackError(
            f"{stack.opt / link} does not exist:"
            f" no release has the right to run as {slot or kind} of stack {stack.name}"
        )
    try:
        release = store.get(release_id)
        settings = release.service(kind)
        # Where a probe that observes the service finds it.
        settings["probe"] |= {"container": container_name(stack.name, kind, slot), "folder": str(stack.engine)}
        return Service(stack, kind, slot, release, settings)
    except (ReleaseError, OSError, ValueError, KeyError, TypeError) as error:
        raise StackError(f"release {release_id} of stack {stack.name} cannot be run: {error}") from error


def notify(message: str) -> None:
    """Tell systemd; see sd_notify(3). Silent outside a unit."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)


class Supervisor:
    """Runs one service until its container exits or systemd says stop."""

    def __init__(self, service: Service) -> None:
        self.service = service
        # Unlike an Event, a SimpleQueue may be used by a signal handler that interrupts another use of it.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._stop = False
        self._reader: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """The exit status of the container, or why there is none (EXIT_*)."""
        # SIGABRT is the watchdog's. The container is not left to the next start: perhaps there is none.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGABRT):
            signal.signal(number, self._on_stop)
        self._delay(float(self.service.settings.get("start_delay_seconds", 0)))
        if self._stop:
            return 0
        self._create()
        if self._stop:
            return 0
        self._attach("start", "--attach")
        try:
            return self._follow()
        except BaseException:
            # Whatever went wrong: a container without its supervisor is one that nobody stops.
            with suppress(commands.CommandError):
                self._stop_container()
            raise

    def _follow(self) -> int:
        ready, outcome = False, None
        began = started = time.monotonic()
        limit = float(self.service.settings["ready_timeout_seconds"])
        watch = self._session_watch()
        probe = self.service.settings["probe"]
        while_starting, while_running = PROBE_SECONDS.get(probe["kind"], OBSERVE_SECONDS)
        while not self._stop and (outcome := self._exit_status()) is None:
            result = probe_service(probe, self._socket(), started=ready)
            notify(f"STATUS={result.message}")
            if result.waits:
                # A login may take a human and hours; the limit is for what a start of its own could mend.
                started = time.monotonic()
            if result.alive:
                notify("WATCHDOG=1")
            if result.ready and not ready:
                ready = True
                self._say(f"healthy after {time.monotonic() - started:.1f} s: {result.message}")
                notify("READY=1")
            if watch:
                watch.look(result)
            if not ready and limit and time.monotonic() - started > limit:
                self._say(f"was not healthy within {limit:g} s: {result.message}")
                self._stop_container()
                return EXIT_NEVER_HEALTHY
            with suppress(Empty):
                if watch and limit and time.monotonic() - began > limit:
                    while_starting = WAITING_SECONDS
                self._wake.get(timeout=while_running if ready else while_starting)
        if outcome is None:
            notify("STOPPING=1")
            self._stop_container()
            outcome = self._exit_status()
        return EXIT_NO_CONTAINER if outcome is None else outcome

    # ---- the container ----

    def _create(self) -> None:
        service = self.service
        service.stack.run.mkdir(parents=True, exist_ok=True)
        uid, gid = service.settings.get("uid", 0), service.settings.get("gid", 0)
        if service.slot:
            os.chown(service.stack.run, uid, gid)
            service.stack.run.chmod(0o750)
            service.stack.socket(service.slot).unlink(missing_ok=True)
        if service.settings.get("secret_settings"):
            self._join_secrets(service.settings["secret_settings"], uid, gid)
        leftover = commands.container(service.container)
        if leftover and leftover["State"]["Running"]:
            # An earlier supervisor was killed and could not stop its container.
            self._say("stopping a container that outlived its supervisor")
            self._stop_container()
        commands.compose(
            service.folder,
            service.project,
            "create",
            "--force-recreate",
            "--pull",
            "never",
            env=service.environment,
        )

    def _join_secrets(self, name: str, uid: int, gid: int) -> None:
        """Settings as the release has them with those that are secret: for an engine that reads both from one file."""
        stack, slot = self.service.stack, self.service.slot
        settings = json.loads((self.service.folder / "config" / name).read_text(encoding="utf-8"))
        secret = stack.etc / "secrets/engine" / name
        if secret.exists():
            settings |= json.loads(secret.read_text(encoding="utf-8"))
        stack.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = stack.secrets / f"{slot}.json"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w", encoding="utf-8") as file:
            os.fchown(file.fileno(), uid, gid)
            json.dump(settings, file)

    def _attach(self, *arguments: str) -> None:
        self._reader = subprocess.Popen(["docker", *arguments, self.service.container], stdin=subprocess.DEVNULL)
        threading.Thread(target=self._wake_on_exit, args=(self._reader,), daemon=True).start()

    def _wake_on_exit(self, reader: subprocess.Popen[bytes]) -> None:
        reader.wait()
        self._wake.put(None)

    def _exit_status(self) -> int | None:
        """None while the container runs, or while the docker daemon, which may be restarting, cannot tell."""
        if self._reader is None or self._reader.poll() is None:
            return None
        try:
            container = commands.container(self.service.container)
        except commands.CommandError:
            # With live-restore the container lives on without the daemon, and must not be left without its supervisor.
            return None
        if container is None:
            self._say("somebody removed the container")
            return EXIT_NO_CONTAINER
        state = container["State"]
        if state["Running"]:
            self._attach("attach", "--no-stdin", "--sig-proxy=false")
            return None
        if state["Status"] == "created":
            self._say("docker could not start the container")
            return EXIT_NO_CONTAINER
        if state.get("OOMKilled"):
            self._say("the container was killed because it used more memory than its limit")
        self._say(f"the container exited with status {state['ExitCode']}")
        return int(state["ExitCode"])

    def _stop_container(self) -> None:
        grace = float(self.service.settings["stop_grace_seconds"])
        notify(f"EXTEND_TIMEOUT_USEC={int((grace + START_SECONDS + 30) * 1e6)}")
        self._await_start()
        commands.stop_container(self.service.container, grace)
        if self._reader is not None:
            # The last lines of the log are still on their way; the reader ends when it has them all.
            try:
                self._reader.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._reader.kill()

    def _await_start(self) -> None:
        """Let a `docker start` that is under way finish: stopped before it, the container would start all the same."""
        deadline = time.monotonic() + START_SECONDS
        while self._reader is not None and self._reader.poll() is None and time.monotonic() < deadline:
            container = commands.container(self.service.container)
            if container is None or container["State"]["Status"] != "created":
                return
            with suppress(subprocess.TimeoutExpired):
                self._reader.wait(timeout=0.1)

    def _socket(self) -> Path | None:
        return self.service.stack.socket(self.service.slot) if self.service.slot else None

    # ---- the rest ----

    def _delay(self, seconds: float) -> None:
        """Give the other side time before a start: a broker may still hold the session that has just ended."""
        deadline = time.monotonic() + seconds
        while not self._stop and (left := deadline - time.monotonic()) > 0:
            notify(f"STATUS=starts in {left:.0f} s, as its release wants it")
            with suppress(Empty):
                self._wake.get(timeout=min(left, 1.0))

    def _session_watch(self) -> SessionWatch | None:
        settings = self.service.settings
        after = float(settings.get("session_alert_seconds", ALERT_SECONDS))
        if settings["probe"]["kind"] != "ib_api" or not after:
            return None
        return SessionWatch(self.service.stack, settings["probe"], after, self._report)

    def _report(self, text: str) -> None:
        self._say(text)
        for problem in alert(self.service.stack, text):
            self._say(problem)

    def _on_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop = True
        self._wake.put(None)

    def _say(self, text: str) -> None:
        sys.stdout.write(f"ballast: {self.service.kind} {self.service.release.id}: {text}\n")
        sys.stdout.flush()
