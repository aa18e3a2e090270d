# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a stack run a release: deploy, rollback, recovery and the end of a soak are this one code path.

Strategy ``blue_green``, for engines that keep the engine contract: the new engine starts as a standby in the other
slot, must be healthy and see what the old one sees; then the lease is handed over, and the old engine stays as a hot
standby for a while. Strategy ``recreate``, for all others and wherever the gateway is replaced: stop the old engine
with its own grace, prove that it stopped, start the new one in the other slot, gate on its health. When either fails,
the release that ran before is put back. Never two traders; when in doubt, none.

The commit point of a switch is ``active/trading``: whatever interrupts it before is undone, after it is finished.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from . import commands
from .alerts import alert
from .change import ORDINARY, ChangeRefused, Permit, change, deploy_lock, in_good_order
from .control import (
    Soak,
    Switch,
    forget_soak,
    forget_switch,
    read_soak,
    read_switch,
    write_soak,
    write_switch,
)
from .handover import Handover, NotPromoted
from .journal import Act, Journal, Operator, operator
from .ledger_schema import misfit
from .readiness import Readiness
from .releases import LINKS, Release, ReleaseError, ReleaseStore
from .services import NotHealthy, NotStopped, Services, is_down
from .stack import SLOTS, Stack, StackError

BLUE_GREEN, RECREATE = "blue_green", "recreate"
# A promoted engine trades already: it must soon be as well as the old one was, or that one gets the lease back.
WATCH_SECONDS = 30.0
STANDBY_SECONDS = 10.0
# Longer than for a new engine: the other way to have the old one trade again is to start it anew.
HAND_BACK_SECONDS = 45.0
POLL_SECONDS = 0.2
HOST_TOOL = "/usr/local/bin/ballast"


class ActivationError(Exception):
    """A release could not be made to run. The text says why, what the log said last, and what runs now."""


@dataclass
class Activation:
    """What an activation did. ``gap_ms`` is how long no engine traded, None where none had been trading before."""

    changed: bool
    release: str
    previous: str | None
    slot: str | None
    strategy: str | None = None
    gap_ms: int | None = None
    steps: list[str] = field(default_factory=list)


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
        self.services = Services(stack, self.store, self._note)
        self._handover = Handover(stack, self.services, self._note)
        self._by = by
        self._permit = permit
        self._say = say
        self._steps: list[str] = []

    # ---- what runs ----

    def active_slot(self) -> str | None:
        """The slot with the right to trade, or None."""
        slots = [slot for slot in SLOTS if self.store.link(f"active/{slot}")]
        trading = self.store.trading_slot()
        if trading in slots:
            return trading
        # In the middle of a switch of strategy recreate: the one it came from counts, a reboot brings that back.
        current = self.store.link("current")
        return min(slots, key=lambda slot: self.store.link(f"active/{slot}") != current, default=None)

    def exists(self) -> bool:
        """Whether anything that remove() would remove is there."""
        if self.stack.opt.exists():
            return True
        try:
            return any(commands.container(name) for name in self.services.containers())
        except commands.CommandError:
            return False  # no docker, no containers

    def is_running(self, release: Release) -> bool:
        """Whether both services run this release, would run it after a reboot, and the engine answers right now."""
        slot = self.active_slot()
        if slot is None or any(self.store.link(name) != release.id for name in ("current", f"active/{slot}")):
            return False
        if read_switch(self.stack) is not None or not self.services.keeps_gateway(release):
            return False
        units = [commands.unit(name) for name in (self.stack.gateway_unit, self.stack.engine_unit(slot))]
        if any(unit["ActiveState"] != "active" or unit["UnitFileState"] != "enabled" for unit in units):
            return False
        if self.services.has_new_secrets("engine", slot):
            return False
        answer = self.services.probe_engine(slot)
        return answer.alive and answer.role != "standby"

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
        self._need_schema(target)
        with self._changing("activate", target.id, deploys=True, any_time=self._is_hot(target)) as act:
            self._put_in_order()
            self._need_images(target)
            done = self._switch(target, self._is_hot(target))
            act.text = f"runs in slot {done.slot}{told(done)}"
            return done

    def move(self) -> Activation:
        """Hand the lease to the hot standby of the soak. Raises ChangeRefused when there is none that could trade."""
        with self._changing("move", deploys=True, any_time=True) as act:
            self._put_in_order()
            soak = read_soak(self.stack)
            target = self.store.linked(f"active/{soak.slot}") if soak else None
            if target is None or not self._is_hot(target):
                raise ChangeRefused(
                    f"stack {self.stack.name} has no hot standby that could trade: there is one only for a while after"
                    f" a deploy; `ballast rollback {self.stack.name}` starts the previous release"
                )
            done = self._switch(target, hot=True)
            act.text = f"slot {done.slot} with release {done.release} trades{told(done)}"
            return done

    def _switch(self, target: Release, hot: bool) -> Activation:
        """``hot``: the other slot runs the target already, as a standby."""
        old = self.active_slot()
        new = next(slot for slot in SLOTS if slot != old)
        keeps_gateway = self.services.keeps_gateway(target)
        if keeps_gateway:
            self._guard_untouched(target)
        if not hot:
            self._clear(new, target)
        strategy = BLUE_GREEN if hot or self._can_hand_over(target, old) else RECREATE
        units = [self.stack.gateway_unit, *([self.stack.engine_unit(old)] if old else [])]
        switch = Switch(
            target=target.id,
            strategy=strategy,
            old=old,
            new=new,
            links={name: self.store.link(name) for name in LINKS},
            stopped=[unit for unit in units if is_down(commands.unit(unit), "inactive")],
            keeps_gateway=keeps_gateway,
            began_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            step="begin",
        )
        if old and self.stack.engine_unit(old) in switch.stopped:
            self._note(f"the engine in slot {old} had been stopped; release {target.id} is started")
        # It waits for the end of this process, whatever that is, and looks whether anything was left half-way.
        commands.systemctl("start", "--no-block", self.stack.recover_unit)
        try:
            gap = self._blue_green(switch, target, hot) if strategy == BLUE_GREEN else self._recreate(switch, target)
            self._settle(write_switch(self.stack, switch, "settle"))
        except NotStopped as error:
            text = (
                f"release {target.id} of stack {self.stack.name} was not started: {error}."
                f" Nothing was started in its place; {self.stack.recover_unit} puts back what ran as soon as that can"
                " be proven"
            )
            alert(self.stack, text)
            raise ActivationError(text) from error
        except (Exception, KeyboardInterrupt) as error:
            raise self._restore(target, error, switch) from error
        forget_switch(self.stack)
        self._note(f"release {target.id} runs in slot {new}")
        return Activation(True, target.id, self.store.link("previous"), new, strategy, gap, self._steps)

    def _clear(self, slot: str, target: Release) -> None:
        """Empty the idle slot. Should something linger there that does not stop, then nothing has been touched yet."""
        try:
            self.end_soak()
            self.services.stop_engine(slot)
        except NotStopped as error:
            raise ActivationError(
                f"release {target.id} of stack {self.stack.name} was not started: {error}."
                f" Nothing was started in its place; when it has stopped, deploy again or activate another release"
            ) from error
        self.store.set_link(f"active/{slot}", None)

    def _blue_green(self, switch: Switch, target: Release, hot: bool) -> int:
        """Hand the lease over; returns how many milliseconds no engine traded."""
        old, new, began = str(switch.old), switch.new, time.time()
        if hot:
            commands.forget_failures(self.stack.engine_unit(new))  # of earlier, which are not the switch's
        else:
            switch = write_switch(self.stack, switch, "start standby")
            self.store.set_trading(old)
            self.store.set_link(f"active/{new}", target.id)
            self.services.launch_engine(new)
            self.services.await_engine(new, "standby", began)
        switch = write_switch(self.stack, switch, "compare")
        self._handover.compare(old, new)
        known = _reasons(self.services.probe_engine(old))

        def judge(answer: Readiness) -> str | None:
            worse = {name: text for name, text in _reasons(answer).items() if name not in known}
            reasons = "; ".join(f"{name}: {text}" for name, text in sorted(worse.items()))
            return f"the engine answers, but cannot trade: {reasons}" if worse else None

        switch = write_switch(self.stack, switch, "demote")
        taken = self._handover.take(old)
        switch = write_switch(self.stack, switch, "promote")
        given = self._handover.give(new)
        write_switch(self.stack, switch, "watch")
        self.services.await_engine(new, "trading", began, judge=judge, limit=WATCH_SECONDS)
        return round((given - taken) * 1000)

    def _recreate(self, switch: Switch, target: Release) -> int | None:
        """Stop the old engine, start the new one; returns the gap in milliseconds, None where no engine traded."""
        began = time.time()
        traded = switch.old and commands.unit(self.stack.engine_unit(switch.old))["ActiveState"] == "active"
        switch = write_switch(self.stack, switch, "stop")
        stopping_at = time.monotonic()
        if switch.old:
            self.services.stop_engine(switch.old)
        if not switch.keeps_gateway:
            switch = write_switch(self.stack, switch, "gateway")
            self.services.replace_gateway(target)
            self.services.guard_account(target)
        write_switch(self.stack, switch, "start")
        # Both are stopped. Whichever is started may trade: the new one by us, the old one by a reboot.
        self.store.set_trading(None)
        self.store.set_link(f"active/{switch.new}", target.id)
        self.services.launch_engine(switch.new)
        trading_at = self.services.await_engine(switch.new, "trading", began)
        return round((trading_at - stopping_at) * 1000) if traded else None

    def _settle(self, switch: Switch) -> None:
        """Make the switch what a reboot brings back. Done again, it does the same."""
        self.store.set_trading(switch.new)
        before = switch.links["current"]
        if before != switch.target:
            self.store.set_link("previous", before)
            self.store.set_link("current", switch.target)
        if switch.old:
            self._begin_soak(switch.old, switch.strategy)
        self._enable(switch.new, instead_of=switch.old)

    def _enable(self, slot: str, instead_of: str | None) -> None:
        units = [self.stack.gateway_unit, self.stack.engine_unit(slot), self.stack.recover_unit]
        commands.systemctl("enable", "--quiet", *units)
        if instead_of:
            commands.systemctl("disable", "--quiet", self.stack.engine_unit(instead_of))

    def _can_hand_over(self, target: Release, old: str | None) -> bool:
        """Whether the lease can go from the engine that runs to one of ``target`` while both run."""
        running = self.store.linked(f"active/{old}") if old else None
        if running is None or not _keeps_contract(running) or not _keeps_contract(target):
            return False
        return self.services.keeps_gateway(target) and self._trades(str(old))

    def _is_hot(self, target: Release) -> bool:
        """Whether the soak's standby runs ``target`` and could be promoted: it gets a moment to become healthy."""
        soak, old = read_soak(self.stack), self.active_slot()
        if soak is None or soak.slot == old or self.store.link(f"active/{soak.slot}") != target.id:
            return False
        if not self._can_hand_over(target, old):
            return False
        deadline = time.monotonic() + STANDBY_SECONDS
        while True:
            answer = self.services.probe_engine(soak.slot)
            if answer.ready and answer.role == "standby":
                return True
            if not answer.alive or time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)

    def _trades(self, slot: str) -> bool:
        answer = self.services.probe_engine(slot)
        return answer.ready and answer.role == "trading"

    # ---- undoing ----

    def _restore(self, target: Release, error: BaseException, switch: Switch) -> ActivationError:
        """Put back what ran before; the returned error tells the whole story."""
        log = error.log if isinstance(error, NotHealthy) else []
        reason = "it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or repr(error)
        try:
            now = self._put_back(switch)
        except NotStopped as worse:
            now = f"nothing was started in its place: {worse}"
            alert(self.stack, f"release {target.id} failed: {reason}; {now}")
        except (NotHealthy, commands.CommandError, ReleaseError, StackError, OSError) as worse:
            now = f"NOTHING TRADES: the release that ran before could not be restored either ({worse})"
            alert(self.stack, f"release {target.id} failed: {reason}; {now}")
        except KeyboardInterrupt:
            now = (
                "perhaps nothing trades: putting back the release that ran before was interrupted as well;"
                f" {self.stack.recover_unit} goes on with that, look with `ballast status {self.stack.name}`"
            )
        quoted = "\n".join(f"  | {line}" for line in log) or "  | (no output)"
        return ActivationError(
            f"release {target.id} of stack {self.stack.name} failed: {reason}\n"
            f"its last log lines:\n{quoted}\nnow: {now}"
        )

    def _put_back(self, switch: Switch) -> str:
        """Undo a switch as far as it got; returns what runs now, in words. Done again, it does the same."""
        began = time.time()
        old, new = switch.old, switch.new
        handed_back = switch.strategy == BLUE_GREEN and self._hand_back(str(old), new)
        self.services.stop_engine(new)
        commands.forget_failures(self.stack.engine_unit(new))  # it is told with the error, not for ever
        self._forget_soak(new)
        self.store.set_link(f"active/{new}", None)
        for name in ("current", "previous"):
            self.store.set_link(name, switch.links[name])
        self._put_back_gateway(switch)
        release_id = switch.links[f"active/{old}"] if old else None
        if old is None or release_id is None:
            self.store.set_trading(None)
            forget_switch(self.stack)
            return "nothing runs: there was no release before it"
        self.store.set_link(f"active/{old}", release_id)
        self.store.set_trading(old)
        if self.stack.engine_unit(old) in switch.stopped:
            forget_switch(self.stack)
            return f"nothing trades: the engine of release {release_id} had been stopped before, and was left so"
        self._enable(old, instead_of=new)
        if handed_back:
            forget_switch(self.stack)
            return f"release {release_id} trades in slot {old}, where it had stayed"
        try:
            release = self.store.get(release_id)
            self.store.verify(release)
            problem = misfit(self.stack, release)
            if problem:
                raise ReleaseError(problem)
            if not switch.keeps_gateway:
                # Its login may be another than before: the secrets on the host are those of the deploy that failed.
                self.services.guard_account(release)
            if commands.unit(self.stack.engine_unit(old))["ActiveState"] == "active" and not self._goes_on(old):
                self.services.stop_engine(old)  # a frozen one, or a standby that was not promoted
            self.services.launch_engine(old)
        except (NotHealthy, ReleaseError, StackError):
            forget_switch(self.stack)  # there is nothing more to undo, and a person must mend this
            raise
        forget_switch(self.stack)
        self.services.await_engine(old, "trading", began)
        return f"release {release_id} was started again in slot {old} and is healthy"

    def _hand_back(self, old: str, new: str) -> bool:
        """Take the lease from the new slot and have the old engine, which never left, trade; False when it does not."""
        self._handover.take(new)
        self.store.set_trading(old)
        try:
            if self.services.probe_engine(old).role == "trading":
                return True
            if commands.unit(self.stack.engine_unit(old))["ActiveState"] != "active":
                return False
            self._handover.give(old, timeout=HAND_BACK_SECONDS)
        except NotPromoted as error:
            self._note(str(error))
            return False
        return True

    def _goes_on(self, slot: str) -> bool:
        answer = self.services.probe_engine(slot)
        return answer.alive and answer.role != "standby"

    def _put_back_gateway(self, switch: Switch) -> None:
        gateway = switch.links["active/gateway"]
        if switch.keeps_gateway:
            return
        if gateway is None or self.stack.gateway_unit in switch.stopped:
            self.services.stop_gateway()
            self.store.set_link("active/gateway", gateway)
        elif not self.services.keeps_gateway(self.store.get(gateway)):
            self.services.replace_gateway(self.store.get(gateway))

    # ---- recovery ----

    def recover(self) -> list[str]:
        """Finish or undo what an interrupted switch left, and end a soak whose standby is gone; returns the steps.

        Waits for whoever changes the stack. Raises NotStopped, CommandError: nothing is proven then, try again.
        """
        with deploy_lock(self.stack, doing="recover", wait_seconds=math.inf), in_good_order():
            if read_switch(self.stack):
                commands.run(["docker", "version"])  # without it nothing could be proven
            self._put_in_order()
            soak = read_soak(self.stack)
            if soak and is_down(commands.unit(self.stack.engine_unit(soak.slot)), "inactive", "failed"):
                self.end_soak()
        return self._steps

    def _put_in_order(self) -> None:
        """What recover() does about a switch, for whoever has the deploy lock."""
        switch = read_switch(self.stack)
        if switch is None:
            return
        found = f"a switch to release {switch.target} was interrupted at step {switch.step!r}"
        self._note(found)
        by = self._by or operator()
        with Journal(self.stack).act("recover", by, complain=self._note, text=found, release=switch.target) as act:
            try:
                act.text = f"{found}: {self._finish(switch) if self._is_committed(switch) else self._put_back(switch)}"
            except NotHealthy as error:
                # Everything is in its place, but for what keeps it from being healthy.
                act.text = f"{found}: what ran before has its place again, but {error}"
                alert(self.stack, act.text)
        self._note(act.text)

    def _is_committed(self, switch: Switch) -> bool:
        """A new engine that was watched to the end and still trades is not stopped for a link that was not written."""
        if switch.strategy == BLUE_GREEN and switch.step == "settle" and self._trades(switch.new):
            return True
        return self.store.trading_slot() == switch.new

    def _finish(self, switch: Switch) -> str:
        if switch.old and switch.strategy == BLUE_GREEN:
            self._handover.take(switch.old)
        elif switch.old:
            self.services.stop_engine(switch.old)
        if self.services.probe_engine(switch.new).role == "standby":
            try:
                self._handover.give(switch.new)
            except NotPromoted as error:
                self._note(str(error))
                self.services.stop_engine(switch.new)
        self._settle(switch)
        self.services.launch_engine(switch.new)
        forget_switch(self.stack)
        return f"finished, release {switch.target} runs in slot {switch.new}"

    # ---- the soak ----

    def settle(self) -> bool:
        """End a soak that is over; whether there was one. Waits for whoever changes the stack."""
        with deploy_lock(self.stack, doing="settle", wait_seconds=math.inf), in_good_order():
            soak = read_soak(self.stack)
            if soak is None or soak.until > time.time() + 1:
                return False
            with Journal(self.stack).act(
                "settle", self._by or operator(), complain=self._note, release=soak.release
            ) as act:
                self.end_soak()
                act.text = f"the soak is over, slot {soak.slot} was stopped"
        return True

    def _begin_soak(self, slot: str, strategy: str) -> None:
        """Let the old engine stay as a hot standby for a while. What cannot be is stopped now."""
        seconds = self.stack.soak_seconds
        release = self.store.link(f"active/{slot}")
        if strategy == BLUE_GREEN and seconds and release and self.services.probe_engine(slot).role == "standby":
            self._stop_timer()
            write_soak(self.stack, Soak(slot, release, round(time.time() + seconds, 3)))
            timer = ["--unit", self.stack.soak_unit, "--timer-property", "AccuracySec=1s"]
            command = [HOST_TOOL, "settle", self.stack.name]
            commands.run(["systemd-run", "--quiet", "--collect", f"--on-active={seconds:d}", *timer, *command])
            self._note(f"slot {slot} stays as a hot standby of release {release} for {seconds:d} s")
            return
        self._forget_soak(slot)
        try:
            self.services.stop_engine(slot)
        except NotStopped as error:
            self._note(f"slot {slot} has no right to trade, but {error}")
        else:
            self.store.set_link(f"active/{slot}", None)

    def end_soak(self) -> None:
        """Stop the hot standby, if there is one. Raises NotStopped."""
        soak = read_soak(self.stack)
        if soak is None:
            return
        if soak.slot != self.active_slot():
            self.services.stop_engine(soak.slot)
            self.store.set_link(f"active/{soak.slot}", None)
        self._forget_soak(soak.slot)

    def _forget_soak(self, slot: str) -> None:
        soak = read_soak(self.stack)
        if soak and soak.slot == slot:
            self._stop_timer()
            forget_soak(self.stack)

    def _stop_timer(self) -> None:
        with suppress(commands.CommandError):  # there is none
            commands.systemctl("stop", f"{self.stack.soak_unit}.timer")

    # ---- removing ----

    def remove(self) -> list[str]:
        """Stop every service for good and remove containers, networks and releases; returns the steps taken.

        The ledger, backups and secrets are not touched. Raises ActivationError when a service cannot be stopped.
        """
        with self._changing("remove"):
            try:
                for slot in SLOTS:
                    self.services.stop_engine(slot)
                self.services.stop_gateway()
            except NotStopped as error:
                raise ActivationError(f"stack {self.stack.name} was not removed: {error}") from error
            if read_soak(self.stack):
                self._stop_timer()
            for unit in (*self.services.units(), self.stack.recover_unit):
                if commands.unit(unit)["UnitFileState"] == "enabled":
                    commands.systemctl("disable", "--quiet", unit)
            for container in filter(commands.container, self.services.containers()):
                commands.run(["docker", "container", "rm", container])
            for network in ("trading", "egress"):
                commands.remove_network(f"ballast-{self.stack.name}-{network}")
            for folder in (self.stack.opt, self.stack.run, self.stack.secrets, self.stack.control):
                shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # the last stack of the host takes the folder with it
                self.stack.opt.parent.rmdir()
            self._note(f"removed every release of stack {self.stack.name}")
        return self._steps

    # ---- inside ----

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

    def _need_schema(self, release: Release) -> None:
        problem = misfit(self.stack, release)
        if problem:
            running = self.store.link("current")
            kept = f"release {running} was left as it is" if running else "nothing was started"
            raise ActivationError(
                f"release {release.id} of stack {self.stack.name} was not activated: {problem}; {kept}"
            )

    def _guard_untouched(self, release: Release) -> None:
        """The account guard before anything is touched: without a session no new engine could become healthy anyway."""
        try:
            self.services.guard_account(release)
        except NotHealthy as error:
            running = self.store.link("current")
            kept = f"release {running} was left as it is" if running else "nothing was started"
            raise ActivationError(
                f"release {release.id} of stack {self.stack.name} was not activated: {error}; {kept}"
            ) from error

    def _changing(
        self, act: str, release: str | None = None, *, deploys: bool = False, any_time: bool = False
    ) -> AbstractContextManager[Act]:
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
            any_time=any_time,
        )

    def _note(self, text: str) -> None:
        self._steps.append(text)
        self._say(text)


def told(done: Activation) -> str:
    """The gap of an activation, as the end of a sentence."""
    return "" if done.gap_ms is None else f", no engine traded for {done.gap_ms} ms"


def _keeps_contract(release: Release) -> bool:
    """Whether the engine of a release can be a standby, and hands the lease over when it is asked to."""
    try:
        return release.service("engine").get("strategy") == BLUE_GREEN
    except (OSError, ValueError):
        return False


def _reasons(answer: Readiness) -> dict[str, str]:
    """Why an engine sends no orders now, by its own word. A halt of the account is no fault of a release's."""
    trading = answer.document.get("trading")
    blocked = trading.get("blocked_by") if isinstance(trading, dict) else None
    reasons = blocked.items() if isinstance(blocked, dict) else ()
    return {str(name): str(text) for name, text in reasons if name != "halt"}
