# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a stack run a release: deploy and rollback are this one code path.

Strategy ``recreate``: stop the old engine with its own grace, prove that it stopped, start the new one in the other
slot, gate on its health. When that fails the old release is started again. Never two traders; when in doubt, none.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from . import commands, ib_api
from .change import ORDINARY, Permit, change
from .journal import Act, Operator, operator
from .readiness import gateway_session, probe_service
from .releases import LINKS, Release, ReleaseError, ReleaseStore
from .stack import SLOTS, Stack, StackError
from .supervisor import EXIT_NEVER_HEALTHY, Service, container_name, open_service

POLL_SECONDS = 0.2
UNIT_STOP_MARGIN_SECONDS = 45.0
SESSION_TIMEOUT_SECONDS = 10.0
# The grace of a service whose own release can no longer be read.
GRACE_SECONDS = {"gateway": 90.0, "engine": 30.0}
LOG_LINES = 15


class ActivationError(Exception):
    """A release could not be made to run. The text says why, what the log said last, and what runs now."""


class NotHealthy(Exception):
    """A service did not become healthy; ``log`` holds its last lines."""

    def __init__(self, reason: str, log: list[str]) -> None:
        super().__init__(reason)
        self.log = log


class NotStopped(Exception):
    """It could not be proven that a service has stopped. Then nothing else may start."""


@dataclass
class Activation:
    """What an activation did. ``gap_seconds`` is the time without a trading engine, None without one before."""

    changed: bool
    release: str
    previous: str | None
    slot: str | None
    gap_seconds: float | None = None
    steps: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Before:
    """What there was before a switch: the links, the slot with the right to run, and the units that were stopped.

    ``keeps_gateway``: the switch leaves the gateway's session alone, and its account was seen before anything stopped.
    """

    links: dict[str, str | None]
    slot: str | None
    stopped: frozenset[str]
    keeps_gateway: bool


class Activator:
    """Switches one stack between its releases, and notes it in the stack's journal.

    ``say`` receives one line per step, for progress; ``by`` is who wants it, and ``permit`` what they say to what is in
    the way.
    """

    def __init__(
        self,
        stack: Stack,
        say: Callable[[str], None] = lambda _text: None,
        by: Operator | None = None,
        permit: Permit = ORDINARY,
    ) -> None:
        self.stack = stack
        self.store = ReleaseStore(stack)
        self._by = by
        self._permit = permit
        self._say = say
        self._steps: list[str] = []

    # ---- what runs ----

    def active_slot(self) -> str | None:
        """The slot whose engine has the right to run, or None."""
        slots = [slot for slot in SLOTS if self.store.link(f"active/{slot}")]
        # A switch that was killed half-way leaves two: the one it came from counts, since a reboot brings that back.
        current = self.store.link("current")
        return min(slots, key=lambda slot: self.store.link(f"active/{slot}") != current, default=None)

    def exists(self) -> bool:
        """Whether anything that remove() would remove is there."""
        if self.stack.opt.exists():
            return True
        try:
            return any(commands.container(name) for name in self._containers())
        except commands.CommandError:
            return False  # no docker, no containers

    def is_running(self, release: Release) -> bool:
        """Whether both services run this release, would run it after a reboot, and the engine answers right now."""
        slot = self.active_slot()
        if slot is None or any(self.store.link(name) != release.id for name in ("current", f"active/{slot}")):
            return False
        if not self._keeps_gateway(release):
            return False
        units = [commands.unit(name) for name in (self.stack.gateway_unit, self.stack.engine_unit(slot))]
        if any(unit["ActiveState"] != "active" or unit["UnitFileState"] != "enabled" for unit in units):
            return False
        service = open_service(self.stack, "engine", slot)
        return probe_service(service.settings["probe"], self.stack.socket(slot)).alive

    def resolve(self, wanted: str) -> Release:
        """A release by id, or the one named ``previous``. Verified: nobody has edited it."""
        if wanted == "previous":
            previous = self.store.link("previous")
            if previous is None:
                known = ", ".join(reversed(self.store.ids())) or "none"
                raise ReleaseError(
                    f"stack {self.stack.name} has no previous release to return to;"
                    f" releases here, newest first: {known}"
                )
            wanted = previous
        release = self.store.get(wanted)
        self.store.verify(release)
        return release

    # ---- switching ----

    def activate(self, target: Release) -> Activation:
        """Run ``target``. Raises ActivationError after having put the release that ran before back in place."""
        self.store.verify(target)
        if self.is_running(target):
            return Activation(False, target.id, self.store.link("previous"), self.active_slot())
        with self._changing("activate", target.id, deploys=True) as act:
            self._need_images(target)
            done = self._switch(target)
            gap = "" if done.gap_seconds is None else f", no engine traded for {done.gap_seconds:.1f} s"
            act.text = f"runs in slot {done.slot}{gap}"
            return done

    def _switch(self, target: Release) -> Activation:
        before = self._before(target)
        new_slot = next(slot for slot in SLOTS if slot != before.slot)
        traded = before.slot and commands.unit(self.stack.engine_unit(before.slot))["ActiveState"] == "active"
        if before.keeps_gateway:
            self._guard_untouched(target)
        began = time.time()
        try:
            # The idle slot first: should something linger there that does not stop, then nothing has been touched yet.
            for slot in sorted(SLOTS, key=lambda slot: slot == before.slot):
                stopping_at = time.monotonic()
                self._stop_engine(slot)
            if not before.keeps_gateway:
                self._replace_gateway(target)
                self._guard_account(target)
            trading_at = self._start_engine(target, new_slot, began)
            gap = trading_at - stopping_at if traded else None
            self._settle(target, new_slot, before.slot)
        except NotStopped as error:
            raise ActivationError(
                f"release {target.id} of stack {self.stack.name} was not started: {error}."
                f" Nothing was started in its place; when it has stopped, deploy again or activate another release"
            ) from error
        except (Exception, KeyboardInterrupt) as error:
            raise self._restore(target, error, new_slot, before) from error
        return Activation(True, target.id, self.store.link("previous"), new_slot, gap, self._steps)

    def _before(self, target: Release) -> Before:
        slot = self.active_slot()
        units = [self.stack.gateway_unit, *([self.stack.engine_unit(slot)] if slot else [])]
        return Before(
            links={name: self.store.link(name) for name in LINKS},
            slot=slot,
            stopped=frozenset(unit for unit in units if _is_down(commands.unit(unit), "inactive")),
            keeps_gateway=self._keeps_gateway(target),
        )

    def _settle(self, target: Release, new_slot: str, old_slot: str | None) -> None:
        """Make the switch what a reboot brings back."""
        # First of all the old slot loses its right: a crash anywhere below must not let a reboot start both.
        if old_slot:
            self.store.set_link(f"active/{old_slot}", None)
        running = self.store.link("current")
        if running != target.id:
            self.store.set_link("previous", running)
            self.store.set_link("current", target.id)
        self._enable(new_slot, instead_of=old_slot)
        self._note(f"release {target.id} runs in slot {new_slot}")

    def _enable(self, slot: str, instead_of: str | None) -> None:
        commands.systemctl("enable", "--quiet", self.stack.gateway_unit, self.stack.engine_unit(slot))
        if instead_of:
            commands.systemctl("disable", "--quiet", self.stack.engine_unit(instead_of))

    def _restore(self, target: Release, error: BaseException, new_slot: str, before: Before) -> ActivationError:
        """Put back what ran before; the returned error tells the whole story."""
        log = error.log if isinstance(error, NotHealthy) else []
        reason = "it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or repr(error)
        try:
            now = self._put_back(new_slot, before)
        except NotStopped as worse:
            now = f"nothing was started in its place: {worse}"
        except (NotHealthy, commands.CommandError, ReleaseError, StackError, OSError) as worse:
            now = f"NOTHING TRADES: the release that ran before could not be restored either ({worse})"
        except KeyboardInterrupt:
            now = (
                "perhaps nothing trades: putting back the release that ran before was interrupted as well;"
                f" look with `ballast status {self.stack.name}` and activate the release that is to run"
            )
        quoted = "\n".join(f"  | {line}" for line in log) or "  | (no output)"
        return ActivationError(
            f"release {target.id} of stack {self.stack.name} failed: {reason}\n"
            f"its last log lines:\n{quoted}\nnow: {now}"
        )

    def _put_back(self, new_slot: str, before: Before) -> str:
        """Undo a switch as far as it got; returns what runs now, in words."""
        began = time.time()
        self._stop_engine(new_slot)
        commands.forget_failures(self.stack.engine_unit(new_slot))  # it is told with the error, not for ever
        self.store.set_link(f"active/{new_slot}", None)
        for name in ("current", "previous"):
            self.store.set_link(name, before.links[name])
        gateway = before.links["active/gateway"]
        if gateway is None or self.stack.gateway_unit in before.stopped:
            self._stop_gateway()
            self.store.set_link("active/gateway", gateway)
        elif not self._keeps_gateway(self.store.get(gateway)):
            self._replace_gateway(self.store.get(gateway))
        release_id = before.links[f"active/{before.slot}"] if before.slot else None
        if before.slot is None or release_id is None:
            return "nothing runs: there was no release before it"
        if self.stack.engine_unit(before.slot) in before.stopped:
            self.store.set_link(f"active/{before.slot}", release_id)
            return f"nothing trades: the engine of release {release_id} had been stopped before, and was left so"
        release = self.store.get(release_id)
        self.store.verify(release)
        if not before.keeps_gateway:
            # Its login may be another than before: the secrets on the host are those of the deploy that failed.
            self._guard_account(release)
        self._start_engine(release, before.slot, began)
        self._enable(before.slot, instead_of=new_slot)
        return f"release {release_id} was started again in slot {before.slot} and is healthy"

    def remove(self) -> list[str]:
        """Stop every service for good and remove containers, networks and releases; returns the steps taken.

        The ledger, backups and secrets are not touched. Raises ActivationError when a service cannot be stopped.
        """
        units = [self.stack.gateway_unit, *(self.stack.engine_unit(slot) for slot in SLOTS)]
        with self._changing("remove"):
            try:
                for slot in SLOTS:
                    self._stop_engine(slot)
                self._stop_gateway()
            except NotStopped as error:
                raise ActivationError(f"stack {self.stack.name} was not removed: {error}") from error
            for unit in units:
                if commands.unit(unit)["UnitFileState"] == "enabled":
                    commands.systemctl("disable", "--quiet", unit)
            for container in filter(commands.container, self._containers()):
                commands.run(["docker", "container", "rm", container])
            for network in ("trading", "egress"):
                commands.remove_network(f"ballast-{self.stack.name}-{network}")
            shutil.rmtree(self.stack.opt, ignore_errors=True)
            shutil.rmtree(self.stack.run, ignore_errors=True)
            with suppress(OSError):  # the last stack of the host takes the folder with it
                self.stack.opt.parent.rmdir()
            self._note(f"removed every release of stack {self.stack.name}")
        return self._steps

    def _containers(self) -> list[str]:
        engines = (container_name(self.stack.name, "engine", slot) for slot in SLOTS)
        return [container_name(self.stack.name, "gateway", None), *engines]

    # ---- services ----

    def _need_images(self, release: Release) -> None:
        for image in release.manifest["images"].values():
            if commands.image_digest(image["pinned"]) is None:
                try:
                    commands.pull_image(image["pinned"])
                except commands.CommandError as error:
                    raise ReleaseError(
                        f"image {image['pinned']} of release {release.id} is gone from this host"
                        f" and cannot be pulled: {error}"
                    ) from error

    def _stop_engine(self, slot: str) -> None:
        self._stop_unit(
            self.stack.engine_unit(slot),
            container_name(self.stack.name, "engine", slot),
            self._grace("engine", f"active/{slot}"),
        )

    def _stop_gateway(self) -> None:
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
            if _is_down(commands.unit(unit), "inactive", "failed") and not _runs(container):
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

    def _keeps_gateway(self, release: Release) -> bool:
        """Whether the gateway that runs is what ``release`` wants: a restart would cost its session with the broker."""
        active = self.store.linked("active/gateway")
        if active is None or active.fingerprint("gateway") != release.fingerprint("gateway"):
            return False
        return commands.unit(self.stack.gateway_unit)["ActiveState"] == "active" and not self._has_new_secrets()

    def _has_new_secrets(self) -> bool:
        """Whether a secret of the gateway was written after its container had started: it does not know it yet."""
        secrets = list((self.stack.etc / "secrets/gateway").glob("*"))
        container = commands.container(container_name(self.stack.name, "gateway", None)) if secrets else None
        if container is None:
            return False
        started = commands.started_at(container["State"])
        return any(secret.stat().st_mtime > started + 1 for secret in secrets)

    def _replace_gateway(self, release: Release) -> None:
        began = time.time()
        self._stop_gateway()
        self.store.set_link("active/gateway", release.id)
        self._start(open_service(self.stack, "gateway", None), self.stack.gateway_unit, began)

    def _start_engine(self, release: Release, slot: str, began: float) -> float:
        self.store.set_link(f"active/{slot}", release.id)
        return self._start(open_service(self.stack, "engine", slot), self.stack.engine_unit(slot), began)

    def _start(self, service: Service, unit: str, began: float) -> float:
        """Start a unit and wait until the service has been healthy for its ``stable_seconds``. Raises NotHealthy.

        Returns the moment since which it is healthy, on the clock of time.monotonic().
        """
        started = time.monotonic()
        limit = float(service.settings["ready_timeout_seconds"])
        stable = float(service.settings["stable_seconds"])
        socket = self.stack.socket(service.slot) if service.slot else None
        commands.forget_failures(unit)
        commands.systemctl("start", "--no-block", unit)
        healthy_since: float | None = None
        last = "it has not answered yet"
        while True:
            state = commands.unit(unit)
            ended = _ended(state)
            if ended and state["ExecMainStatus"] == str(EXIT_NEVER_HEALTHY):
                # Its supervisor has the same limit, and was the first to give up.
                raise NotHealthy(
                    f"the {service.kind} was not healthy within {limit:g} s: {last}", self._log(unit, began)
                )
            if ended:
                when = "before it was healthy" if healthy_since is None else "soon after it became healthy"
                raise NotHealthy(f"the {service.kind} {ended} {when}", self._log(unit, began))
            now = time.monotonic()
            if state["ActiveState"] == "active":
                answer = probe_service(service.settings["probe"], socket)
                last = answer.message
                healthy_since = (healthy_since or now) if answer.ready else None
                if healthy_since is not None and now - healthy_since >= stable:
                    self._note(f"{unit} is healthy after {healthy_since - started:.1f} s")
                    return healthy_since
            elif state["StatusText"]:
                last = state["StatusText"]
            if limit and now - started > limit + stable:
                raise NotHealthy(
                    f"the {service.kind} was not healthy within {limit:g} s: {last}", self._log(unit, began)
                )
            time.sleep(POLL_SECONDS)

    def _guard_account(self, release: Release) -> None:
        """The session must be the one of the release's account before any engine may start."""
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

    def _guard_untouched(self, release: Release) -> None:
        """The same guard before anything is stopped: without a session a new engine could not become healthy anyway."""
        try:
            self._guard_account(release)
        except NotHealthy as error:
            running = self.store.link("current")
            kept = f"release {running} was left as it is" if running else "nothing was started"
            raise ActivationError(
                f"release {release.id} of stack {self.stack.name} was not activated: {error}; {kept}"
            ) from error

    def _log(self, unit: str, since: float) -> list[str]:
        try:
            return commands.journal(unit, since, LOG_LINES)
        except commands.CommandError as error:
            # The reason for which the log is wanted matters more.
            return [str(error)]

    def _changing(self, act: str, release: str | None = None, *, deploys: bool = False) -> AbstractContextManager[Act]:
        running = self.store.link("current")
        text = f"instead of {running}" if running and running != release else ""
        return change(
            self.stack,
            act,
            self._by or operator(),
            say=self._note,
            text=text,
            release=release,
            permit=self._permit,
            deploys=deploys,
        )

    def _note(self, text: str) -> None:
        self._steps.append(text)
        self._say(text)


def _runs(container: str) -> bool:
    state = commands.container(container)
    return bool(state and state["State"]["Running"])


def _is_down(state: dict[str, str], *words: str) -> bool:
    """Whether a unit is in one of these states and will stay so: a start that waits its turn has a job, as at boot."""
    return state["ActiveState"] in words and not state["Job"]


def _ended(state: dict[str, str]) -> str | None:
    """How a unit that should be starting has ended, in words, or None while it has not."""
    restarted = int(state["NRestarts"] or 0) > 0
    if state["ActiveState"] == "failed" or restarted or state["SubState"] == "auto-restart":
        status = state["ExecMainStatus"]
        return f"exited (result {state['Result']}" + (f", status {status})" if status not in ("", "0") else ")")
    if state["ActiveState"] == "inactive" and state["Result"] != "success":
        return f"ended with result {state['Result']}"
    return None
