# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of one stack: stopped with proof, started and watched until they are proven healthy."""

from __future__ import annotations

import time
from collections.abc import Callable

from . import commands, ib_api
from .readiness import Readiness, gateway_session, probe_service
from .releases import Release, ReleaseStore
from .stack import SLOTS, Stack, StackError
from .supervisor import EXIT_NEVER_HEALTHY, Service, container_name, open_service

POLL_SECONDS = 0.2
UNIT_STOP_MARGIN_SECONDS = 45.0
SESSION_TIMEOUT_SECONDS = 10.0
# The grace of a service whose own release can no longer be read.
GRACE_SECONDS = {"gateway": 90.0, "engine": 30.0}
LOG_LINES = 15

Judge = Callable[[Readiness], "str | None"]
"""Says why an answer that is ready is not enough, or None when it is."""


class ServiceError(Exception):
    """A service is not as it must be."""


class NotHealthy(ServiceError):
    """A service did not become healthy; ``log`` holds its last lines."""

    def __init__(self, reason: str, log: list[str]) -> None:
        super().__init__(reason)
        self.log = log


class NotStopped(ServiceError):
    """It could not be proven that a service has stopped. Then nothing else may start."""


class Services:
    """The gateway and the two engines of a stack, by their units. ``note`` receives a line for what was done."""

    def __init__(self, stack: Stack, store: ReleaseStore, note: Callable[[str], None]) -> None:
        self.stack = stack
        self.store = store
        self._note = note

    def containers(self) -> list[str]:
        engines = (container_name(self.stack.name, "engine", slot) for slot in SLOTS)
        return [container_name(self.stack.name, "gateway", None), *engines]

    def units(self) -> list[str]:
        return [self.stack.gateway_unit, *(self.stack.engine_unit(slot) for slot in SLOTS)]

    # ---- stopping ----

    def stop_engine(self, slot: str) -> None:
        """Stop the engine of a slot and prove it. Raises NotStopped."""
        self._stop_unit(
            self.stack.engine_unit(slot),
            container_name(self.stack.name, "engine", slot),
            self._grace("engine", f"active/{slot}"),
        )

    def stop_gateway(self) -> None:
        """Stop the gateway and prove it. Raises NotStopped."""
        self._stop_unit(
            self.stack.gateway_unit,
            container_name(self.stack.name, "gateway", None),
            self._grace("gateway", "active/gateway"),
        )

    def _grace(self, kind: str, link: str) -> float:
        """Seconds that a service may take to stop. A damaged release must still be possible to stop."""
        release = self.store.linked(link)
        try:
            return float(release.service(kind)["stop_grace_seconds"]) if release else GRACE_SECONDS[kind]
        except (OSError, ValueError, KeyError):
            return GRACE_SECONDS[kind]

    def _stop_unit(self, unit: str, container: str, grace: float) -> None:
        """Stop a unit and prove it: systemd says that it is stopped and docker that its container does not run."""
        try:
            if is_down(commands.unit(unit), "inactive", "failed") and not _runs(container):
                return
            commands.systemctl("stop", unit, timeout=grace + UNIT_STOP_MARGIN_SECONDS)
            if _runs(container):
                # Its supervisor was killed and left it behind.
                commands.stop_container(container, grace)
            runs = _runs(container)
        except commands.CommandError as error:
            raise NotStopped(f"it cannot be proven that {unit} has stopped ({error})") from error
        if runs:
            raise NotStopped(f"container {container} still runs after its unit {unit} was stopped")
        self._note(f"stopped {unit}")

    # ---- the gateway ----

    def keeps_gateway(self, release: Release) -> bool:
        """Whether the gateway that runs is what ``release`` wants: a restart would cost its session with the broker."""
        active = self.store.linked("active/gateway")
        if active is None or active.fingerprint("gateway") != release.fingerprint("gateway"):
            return False
        runs = commands.unit(self.stack.gateway_unit)["ActiveState"] == "active"
        return runs and not self.has_new_secrets("gateway", None)

    def has_new_secrets(self, kind: str, slot: str | None) -> bool:
        """Whether a secret of a service was written after its container had started: it does not know it yet."""
        secrets = list((self.stack.etc / "secrets" / kind).glob("*"))
        container = commands.container(container_name(self.stack.name, kind, slot)) if secrets else None
        if container is None:
            return False
        started = commands.started_at(container["State"])
        return any(secret.stat().st_mtime > started + 1 for secret in secrets)

    def replace_gateway(self, release: Release) -> None:
        """Run the gateway of ``release`` instead of the one before. Raises NotStopped, NotHealthy."""
        began = time.time()
        self.stop_gateway()
        self.store.set_link("active/gateway", release.id)
        service = open_service(self.stack, "gateway", None)
        self._launch(self.stack.gateway_unit)
        self._await_healthy(service, self.stack.gateway_unit, began)

    def guard_account(self, release: Release) -> None:
        """The session must be the one of the release's account before any engine may start. Raises NotHealthy."""
        began = time.time()
        probe = release.service("gateway")["probe"]
        try:
            session = gateway_session(probe, SESSION_TIMEOUT_SECONDS)
        except ib_api.IbApiError as error:
            raise NotHealthy(
                f"the gateway has no session with the broker: {error}", self._log(self.stack.gateway_unit, began - 60)
            ) from error
        if probe["account"] not in session.accounts:
            seen = ", ".join(session.accounts)
            raise NotHealthy(
                f"the gateway's session is for account {seen}, but the release is for {probe['account']};"
                " correct ballast_account or the gateway's login",
                [],
            )

    # ---- engines ----

    def launch_engine(self, slot: str) -> None:
        """Tell systemd to start the engine of a slot, and wait for nothing."""
        self._launch(self.stack.engine_unit(slot))

    def await_engine(
        self,
        slot: str,
        role: str,
        since: float,
        *,
        judge: Judge = lambda _answer: None,
        limit: float | None = None,
    ) -> float:
        """Wait until the engine of a slot has been healthy in ``role`` for its ``stable_seconds``. Raises NotHealthy.

        An engine that knows no roles is healthy when its probe says so. Returns the moment since which it is, on the
        clock of time.monotonic(); log lines from the epoch second ``since`` on go with an error. ``limit``: seconds,
        instead of the service's own for a start.
        """

        def verdict(answer: Readiness) -> str | None:
            return answer.message if answer.role not in (None, role) else judge(answer)

        service = open_service(self.stack, "engine", slot)
        return self._await_healthy(service, self.stack.engine_unit(slot), since, verdict, limit)

    def probe_engine(self, slot: str) -> Readiness:
        """What the engine of a slot answers right now; where there is none, its release's absence says so."""
        try:
            service = open_service(self.stack, "engine", slot)
        except StackError as error:
            return Readiness(alive=False, ready=False, message=str(error))
        return probe_service(service.settings["probe"], self.stack.socket(slot))

    # ---- inside ----

    def _launch(self, unit: str) -> None:
        commands.forget_failures(unit)
        commands.systemctl("start", "--no-block", unit)

    def _await_healthy(
        self,
        service: Service,
        unit: str,
        since: float,
        judge: Judge = lambda _answer: None,
        limit: float | None = None,
    ) -> float:
        started = time.monotonic()
        if limit is None:
            limit = float(service.settings["ready_timeout_seconds"])
            limit += float(service.settings.get("start_delay_seconds", 0)) if limit else 0
        stable = float(service.settings["stable_seconds"])
        socket = self.stack.socket(service.slot) if service.slot else None
        healthy_since: float | None = None
        last = "it has not answered yet"
        while True:
            state = commands.unit(unit)
            ended = _ended(state)
            if ended and state["ExecMainStatus"] == str(EXIT_NEVER_HEALTHY):
                # Its supervisor has the same limit, and was the first to give up.
                raise NotHealthy(
                    f"the {service.kind} was not healthy within {limit:g} s: {last}", self._log(unit, since)
                )
            if ended:
                when = "before it was healthy" if healthy_since is None else "soon after it became healthy"
                raise NotHealthy(f"the {service.kind} {ended} {when}", self._log(unit, since))
            now = time.monotonic()
            if state["ActiveState"] == "active":
                answer = probe_service(service.settings["probe"], socket)
                problem = judge(answer) if answer.ready else answer.message
                last = problem or answer.message
                healthy_since = (healthy_since or now) if problem is None else None
                if healthy_since is not None and now - healthy_since >= stable:
                    self._note(f"{unit} is healthy after {healthy_since - started:.1f} s")
                    return healthy_since
            elif state["StatusText"]:
                last = state["StatusText"]
            # What became healthy at the last moment, as on a busy host, may show that it stays so.
            if limit and healthy_since is None and now - started > limit + stable:
                raise NotHealthy(
                    f"the {service.kind} was not healthy within {limit:g} s: {last}", self._log(unit, since)
                )
            time.sleep(POLL_SECONDS)

    def _log(self, unit: str, since: float) -> list[str]:
        try:
            return commands.journal(unit, since, LOG_LINES)
        except commands.CommandError as error:
            # The reason for which the log is wanted matters more.
            return [str(error)]


def is_down(state: dict[str, str], *words: str) -> bool:
    """Whether a unit is in one of these states and will stay so: a start that waits its turn has a job, as at boot."""
    return state["ActiveState"] in words and not state["Job"]


def _runs(container: str) -> bool:
    state = commands.container(container)
    return bool(state and state["State"]["Running"])


def _ended(state: dict[str, str]) -> str | None:
    """How a unit that should be starting has ended, in words, or None while it has not."""
    restarted = int(state["NRestarts"] or 0) > 0
    if state["ActiveState"] == "failed" or restarted or state["SubState"] == "auto-restart":
        status = state["ExecMainStatus"]
        return f"exited (result {state['Result']}" + (f", status {status})" if status not in ("", "0") else ")")
    if state["ActiveState"] == "inactive" and state["Result"] != "success":
        return f"ended with result {state['Result']}"
    return None
