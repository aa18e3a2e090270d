# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in memory: its units, containers, images and clock, for the tests of releases and their activation."""

from __future__ import annotations

import base64
import functools
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import (
    activation,
    commands,
    control,
    handover,
    ib_api,
    readiness,
    releases,
    services,
    supervisor,
    unix_http,
)
from ansible_collections.ballast.trading.plugins.module_utils.readiness import Readiness
from ansible_collections.ballast.trading.plugins.module_utils.releases import Release, ReleaseStore
from ansible_collections.ballast.trading.plugins.module_utils.stack import SLOTS, Stack, load_stack

ACCOUNT = "DU1234567"
STOPPED = {"ActiveState": "inactive", "SubState": "dead", "Result": "success", "NRestarts": "0"}
STOPPED |= {"Job": "", "ExecMainStatus": "0", "StatusText": "", "UnitFileState": "disabled"}
ACTIVE = {"ActiveState": "active", "SubState": "running"}
STARTING = {"ActiveState": "activating", "SubState": "start"}


def deployed(root: Path, name: str = "dev-main") -> Stack:
    """A stack that is described below ``root``, and has no release yet."""
    path = root / "etc/ballast" / name / "stack.json"
    path.parent.mkdir(parents=True)
    document = {"schema": 1, "stack": name, "environment": "dev", "releases": {"keep": 5}}
    path.write_text(json.dumps(document))
    return load_stack(name, root)


def rendered(engine: str = "one", gateway: str = "one", **engine_settings: Any) -> dict[str, bytes]:
    """The files of a release; the words go into the services' configuration, so that they tell releases apart."""
    settings = {"ready_timeout_seconds": 60, "stable_seconds": 3, "stop_grace_seconds": 30}
    gateway_probe = {"kind": "ib_api", "port": 4002, "client_id": 990, "account": ACCOUNT}
    services = {
        "gateway": {**settings, "stable_seconds": 0, "image": "ballast/gateway:1", "probe": gateway_probe},
        "engine": {**settings, "image": "ballast/engine:1", "probe": {"kind": "contract"}, **engine_settings},
    }
    files = {f"{kind}/service.json": json.dumps(service).encode() for kind, service in services.items()}
    files |= {f"{kind}/compose.yaml": b"services: {}\n" for kind in services}
    return files | {"engine/config/engine.yaml": engine.encode(), "gateway/config/word": gateway.encode()}


ORIGIN = {"user": "alice", "controller": "desk", "commit": "abc"}


def trees(engine: str = "one", gateway: str = "one", **settings: Any) -> dict[str, Any]:
    """The arguments with which the action plugin sends a release."""
    files = {path: data.decode() for path, data in rendered(engine, gateway, **settings).items()}
    document = json.dumps({"files": files, "origin": ORIGIN}).encode()
    return {"trees": ["release"], "payload": base64.b64encode(zlib.compress(document)).decode()}


class Killed(BaseException):
    """What SIGKILL does to the tool, as far as a test can: nothing that it has for its end is run."""


class FakeHost:
    """What docker, systemd, the gateway and the engines of one stack would do. Keeps a clock that only sleeping moves.

    ``engines`` says how the engine of a release behaves: healthy (unless told), crashes, hangs, waits, gives up, dies
    soon; of those that keep the contract also: is deaf (answers no call), is not promoted, dies promoted, cannot trade,
    sees something else. ``events`` lists what was done to units and asked of engines, ``two_engines`` every moment in
    which two traded.
    """

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.now = 1_000.0
        self.units: dict[str, dict[str, str]] = {}
        self.running: set[str] = set()
        self.unstoppable: set[str] = set()
        self.images = {"ballast/gateway:1": "ballast/gateway@sha256:aa", "ballast/engine:1": "ballast/engine@sha256:bb"}
        self.pullable: set[str] = set()
        self.engines: dict[str, str] = {}
        self.silent: set[str] = set()
        self.account = ACCOUNT
        self.session_problem: ib_api.IbApiError | None = None
        self.events: list[str] = []
        self.two_engines: list[str] = []
        self.roles: dict[str, str] = {}
        self.positions: dict[str, float] = {"AAPL": 3.0}
        self.halted = False
        self.promoted_at: dict[str, float] = {}
        self.on_post: Callable[[str, str], None] = lambda _slot, _what: None
        self.effects_left: int | None = None
        self.failing: dict[str, str] = {}
        self.on_start: Callable[[str], None] = lambda _unit: None
        self.commands: list[list[str]] = []
        self.command_ends: list[commands.Outcome | commands.CommandError] = []
        self.flatten_wishes: list[dict[str, Any]] = []
        self.flatten_answer: dict[str, Any] = {"flat": False}
        self.started_at: dict[str, float] = {}
        for name in (
            "unit",
            "container",
            "systemctl",
            "forget_failures",
            "stop_container",
            "remove_network",
            "journal",
        ):
            monkeypatch.setattr(commands, name, getattr(self, name))
        monkeypatch.setattr(commands, "run", self.run)
        monkeypatch.setattr(commands, "outcome", self.outcome)
        for module in (commands, releases):
            for name in ("image_digest", "pull_image", "compose"):
                monkeypatch.setattr(module, name, getattr(self, name))
        monkeypatch.setattr(releases.os, "sync", lambda: None)  # it would wait for the disk of the whole machine
        monkeypatch.setattr(releases, "sync_directory", lambda _folder: None)
        monkeypatch.setattr(services, "probe_service", self.probe)
        monkeypatch.setattr(unix_http, "post", self.post)
        for module in (activation, handover, readiness, releases, services):
            monkeypatch.setattr(module, "time", self)
        monkeypatch.setattr(ib_api, "session", self.session)
        point = ReleaseStore._point
        monkeypatch.setattr(ReleaseStore, "_point", staticmethod(lambda *arguments: self._effect(point, *arguments)))
        for name in ("_write", "_remove"):
            change = getattr(control, name)
            monkeypatch.setattr(control, name, functools.partial(self._effect, change))

    # ---- the clock, in place of module time ----

    strftime, gmtime = staticmethod(time.strftime), staticmethod(time.gmtime)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    # ---- docker ----

    def container(self, name: str) -> dict[str, Any] | None:
        self._fail("docker inspect")
        started = time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(self.now))
        return {"State": {"Running": True, "StartedAt": started}} if name in self.running else None

    def stop_container(self, name: str, grace_seconds: float) -> None:
        self._count()
        self.events.append(f"docker stop {name} within {grace_seconds:g} s")
        self.running -= {name} - self.unstoppable

    def remove_network(self, name: str) -> None:
        self.events.append(f"remove network {name}")

    def run(self, command: list[str], **_options: Any) -> str:
        self._count()
        if command[:3] == ["docker", "image", "inspect"]:
            self._fail("docker image inspect")
            return json.dumps([{"Config": {"Cmd": ["engine", "run"]}}])
        self._fail(" ".join(command))
        self.events.append(" ".join(command))
        if command[:2] == ["docker", "kill"]:
            self._fail("docker kill")
            self.running.discard(command[2])
        return ""

    def outcome(self, command: list[str], **options: Any) -> commands.Outcome:
        """A command of an engine, in a container of its own; ``command_ends`` says how they end, one after another."""
        self.commands.append(command)
        self.command_options = options
        end = self.command_ends.pop(0)
        if isinstance(end, commands.CommandError):
            raise end
        return end

    def image_digest(self, reference: str) -> str | None:
        known = {**self.images, **{digest: digest for digest in self.images.values()}}
        return known.get(reference)

    def pull_image(self, reference: str) -> None:
        if reference not in self.pullable:
            raise commands.CommandError(f"`docker pull --quiet {reference}` failed with status 1: not found")
        self.images[reference] = f"{reference.partition(':')[0]}@sha256:cc"

    def compose(self, directory: Path, _project: str, *arguments: str, **_options: Any) -> str:
        self._fail(f"compose {directory.name}")
        return json.dumps({"services": {"engine": {}, "emergency": {}}}) if "json" in arguments else ""

    # ---- systemd ----

    def unit(self, name: str) -> dict[str, str]:
        self._fail("systemctl show")
        self._live(name)
        return {**STOPPED, **self.units.get(name, {})}

    def systemctl(self, verb: str, *arguments: str, **_options: Any) -> None:
        names = [name for name in arguments if not name.startswith("--") and "-recover@" not in name]
        if not names:
            return
        self._count()
        self.events.append(f"{verb} {' '.join(name.removesuffix('.service') for name in names)}")
        self._fail(f"systemctl {verb}")
        for name in names:
            {"start": self._start, "stop": self._stop}.get(verb, self._mark(verb))(name)

    def forget_failures(self, name: str) -> None:
        if name in self.units:
            self.units[name] |= {"Result": "success", "NRestarts": "0", "ExecMainStatus": "0"}

    def journal(self, unit_name: str, _since: float, _lines: int) -> list[str]:
        self._fail("journalctl")
        return [f"last words of {unit_name}"]

    def _mark(self, verb: str) -> Callable[[str], None]:
        def mark(name: str) -> None:
            self.units.setdefault(name, {})["UnitFileState"] = f"{verb}d"

        return mark

    def _start(self, name: str) -> None:
        self.on_start(name)
        if name in self.started_at:
            return  # systemd starts nothing that runs
        slot = self._slot(name)
        if slot and ReleaseStore(self.stack).link(f"active/{slot}") is None:
            self.units.setdefault(name, {}).update(ActiveState="failed", Result="exit-code", ExecMainStatus="78")
            return
        self.started_at[name] = self.now
        if self._behaviour(name) != "crashes":
            self.running.add(self._container(name))
        if slot:
            trading = ReleaseStore(self.stack).trading_slot()
            standby = self._keeps_contract(slot) and trading not in (None, slot)
            self._become(slot, "standby" if standby else "trading")
        self.units.setdefault(name, {}).update(STARTING)
        self._live(name)

    def _stop(self, name: str) -> None:
        self.started_at.pop(name, None)
        self.running -= {self._container(name)} - self.unstoppable
        self.promoted_at.pop(self._slot(name) or "", None)
        self.units.setdefault(name, {}).update(ActiveState="inactive", SubState="dead", Job="")

    def _live(self, name: str) -> None:
        """Let a unit become what time makes of it."""
        if name not in self.started_at:
            return
        age, behaviour = self.now - self.started_at[name], self._behaviour(name)
        unit = self.units[name]
        promoted_at = self.promoted_at.get(self._slot(name) or "", self.now)
        dies = (behaviour == "dies soon" and age >= 2) or (behaviour == "dies promoted" and self.now - promoted_at >= 1)
        if behaviour == "crashes" or dies:
            self.running.discard(self._container(name))
            unit.update(ActiveState="failed", SubState="failed", Result="exit-code", ExecMainStatus="64")
        elif behaviour == "hangs":
            unit["StatusText"] = "engine does not answer"
        elif behaviour == "gives up" and age < 5:
            unit["StatusText"] = "engine is starting"
        elif behaviour == "gives up":
            self.running.discard(self._container(name))
            unit.update(SubState="auto-restart", Result="exit-code", ExecMainStatus="75", NRestarts="1")
        elif age >= 1:
            unit.update(ACTIVE)

    def _become(self, slot: str, role: str) -> None:
        """Note who trades, and when two do."""
        self.roles[slot] = role
        if role == "trading" and self._other_trades(slot):
            self.two_engines.append(f"{slot} trades while the other slot does")

    def _other_trades(self, slot: str) -> bool:
        other = next(each for each in SLOTS if each != slot)
        return self.roles.get(other) == "trading" and self._container(self.stack.engine_unit(other)) in self.running

    def _keeps_contract(self, slot: str) -> bool:
        release = ReleaseStore(self.stack).linked(f"active/{slot}")
        return release is not None and release.service("engine").get("strategy") == "blue_green"

    def _slot(self, unit: str) -> str | None:
        return next((slot for slot in SLOTS if unit.endswith(f"-{slot}.service")), None)

    def _behaviour(self, name: str) -> str:
        slot = self._slot(name) or "gateway"
        return self.engines.get(f"{slot} {ReleaseStore(self.stack).link(f'active/{slot}')}", "healthy")

    def _container(self, unit: str) -> str:
        if unit.endswith(".timer"):
            return unit
        slot = self._slot(unit)
        return supervisor.container_name(self.stack.name, "engine" if slot else "gateway", slot)

    # ---- the services ----

    def probe(self, probe: dict[str, Any], socket: Path | None) -> Readiness:
        if probe["kind"] == "ib_api" or socket is None:
            return Readiness(alive=True, ready=True, message="gateway speaks the API")
        slot, unit = socket.stem, self.stack.engine_unit(socket.stem)
        behaviour = self._behaviour(unit)
        self.unit(unit)
        if slot in self.silent:
            return Readiness(alive=False, ready=False, message="engine does not answer")
        if self._container(unit) not in self.running:
            return Readiness(alive=False, ready=False, message=f"engine does not answer on {socket}")
        if probe["kind"] != "contract":
            return Readiness(alive=True, ready=True, message="engine is running")
        if behaviour == "waits":
            return Readiness(alive=True, ready=False, message="engine is starting", role="starting")
        role = self.roles[slot]
        positions = {"AAPL": 99.0} if behaviour == "sees something else" else self.positions
        blocked = {"halt": "trading is halted"} if self.halted else {}
        if behaviour == "cannot trade" and role == "trading":
            blocked = {**blocked, "circuit_breaker": "open"}
        document = {"role": role, "account": self.account, "positions": positions, "trading": {"blocked_by": blocked}}
        return Readiness(alive=True, ready=True, message=f"engine is {role}", document=document, role=role)

    def post(self, path: str, what: str, document: dict[str, Any], timeout: float) -> unix_http.Response:
        slot, word = Path(path).stem, what.rpartition("/")[2]
        unit = self.stack.engine_unit(slot)
        behaviour = self._behaviour(unit)
        self.unit(unit)
        if self._container(unit) not in self.running:
            raise ConnectionRefusedError(111, "Connection refused")
        if word == "flatten":
            self.flatten_wishes.append(document)
            if behaviour == "is deaf":
                raise TimeoutError("timed out")
            return unix_http.Response(
                200 if self.flatten_answer["flat"] else 503, json.dumps(self.flatten_answer).encode()
            )
        self._count()
        self.events.append(f"{word} {slot}")
        self.on_post(slot, word)
        if behaviour == "is deaf":
            self.now += timeout
            raise TimeoutError("timed out")
        self.now += 0.05
        if word == "promote" and behaviour == "is not promoted":
            return unix_http.Response(503, b'{"role": "standby", "reason": "it does not trade yet: gateway"}')
        if word == "promote" and self._other_trades(slot):
            return unix_http.Response(409, b'{"role": "standby", "reason": "the lease is held"}')
        if word == "promote":
            self.promoted_at.setdefault(slot, self.now)
        self._become(slot, {"demote": "standby", "promote": "trading"}[word])
        return unix_http.Response(200, json.dumps({"role": self.roles[slot]}).encode())

    def session(self, _host: str, _port: int, _client_id: int, _timeout: float) -> ib_api.Session:
        if self.session_problem:
            raise self.session_problem
        return ib_api.Session(178, [self.account], 1, 1_795_373_223, [], 0.1)

    # ---- for tests ----

    def stage(self, engine: str = "one", gateway: str = "one", engine_is: str = "healthy", **settings: Any) -> Release:
        self.now += 1
        release = ReleaseStore(self.stack).stage(rendered(engine, gateway, **settings), {"user": "alice"})
        self.engines |= {f"{slot} {release.id}": engine_is for slot in SLOTS}
        return release

    def reboot(self) -> None:
        """Lose all that runs, and start what is enabled."""
        self.running.clear()
        self.roles.clear()
        self.promoted_at.clear()
        self.started_at.clear()
        for unit in self.units.values():
            unit.update(ActiveState="inactive", SubState="dead", Result="success", NRestarts="0", Job="")
        for name in [name for name, unit in self.units.items() if unit.get("UnitFileState") == "enabled"]:
            self._start(name)

    def _effect(self, change: Callable[..., None], *arguments: Any) -> None:
        self._count()
        change(*arguments)

    def _count(self) -> None:
        """Be killed before the effect after the last of ``effects_left``."""
        if self.effects_left is not None:
            if self.effects_left <= 0:
                raise Killed
            self.effects_left -= 1

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise commands.CommandError(f"`{what}` failed with status 1: {self.failing[what]}")
