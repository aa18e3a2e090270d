# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emergency stop: nothing trades any more, no order works, nothing is held; and the way back from it.

It waits for nobody, not even for a switch that is under way: that goes on with an account that is halted. What fails is
noted and the rest is still done; whatever is left then is told, and what a person must do about it.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from . import books, commands, hold, unix_http
from .activation import Activator
from .alerts import alert
from .books import spoken
from .change import ORDINARY, ChangeFailed, Permit, change, in_good_order
from .engine_command import has_commands, keeps_contract, run_command
from .journal import Journal, Operator
from .lease import fence
from .readiness import probe_service
from .releases import Release, ReleaseStore
from .services import NotStopped
from .stack import SLOTS, Stack
from .supervisor import container_name

TIMEOUT_SECONDS = 60.0
# How long the flatten command has, however long the engine itself has tried.
LEAST_SECONDS = 15.0
MARGIN_SECONDS = 10.0
RESUME_SECONDS = 30.0
NO_REASON = "no reason was given"
HALTED, STOPPED, NOT_STOPPED = "halted", "stopped", "not stopped"


@dataclass
class Report:
    """What an emergency stop did, and what is left.

    ``trading``: ``halted`` (the ledger refuses every order until a resume), ``stopped`` (no engine runs, none starts
    before a resume) or ``not stopped``. ``flat``: the broker said that no order works and nothing is held. What is left
    is None where it could not be learned; ``last_known`` is then the ledger's last word.
    """

    stack: str
    account: str | None
    reason: str
    requested_by: str
    trading: str = NOT_STOPPED
    flat: bool = False
    orders_cancelled: int | None = None
    positions_closed: int | None = None
    orders_left: list[str] | None = None
    positions_left: dict[str, float] | None = None
    last_known: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        """Whether nobody needs to do anything more."""
        return self.flat and self.trading != NOT_STOPPED

    @property
    def todo(self) -> list[str]:
        """What a person must do by hand, first things first."""
        whose = f"account {self.account}" if self.account else "the account"
        again = f"ballast emergency-stop {self.stack} --reason TEXT"
        steps = []
        if not self.flat:
            steps.append(
                f"in the broker's app, or by telephone with its trade desk, for {whose}:"
                " cancel every order, close every position"
            )
        if self.trading == NOT_STOPPED:
            steps.append("an engine may still trade: cut the server off from its network, or switch it off")
        if not self.done:
            steps.append(f"when what is named above is mended: `{again}` again, until it says FLAT")
        return steps

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "done": self.done, "todo": self.todo}

    def text(self) -> str:
        """The report for people, a line for each thing."""
        lines = [
            f"emergency stop of stack {self.stack}: {'FLAT' if self.flat else 'NOT KNOWN TO BE FLAT'}"
            f" after {self.seconds:.1f} s"
        ]
        lines.append(
            {
                HALTED: "trading is halted: every order is refused",
                STOPPED: "trading is stopped: no engine runs, and none is started",
                NOT_STOPPED: "TRADING COULD NOT BE STOPPED",
            }[self.trading]
            + (f", until `ballast resume {self.stack} --reason TEXT`" if self.trading != NOT_STOPPED else "")
        )
        lines.append(
            f"orders cancelled: {_count(self.orders_cancelled)}, positions closed: {_count(self.positions_closed)}"
        )
        if not self.flat:
            last = self.last_known or {}
            for what, left in (("orders", self.orders_left), ("positions", self.positions_left)):
                known = f"; the ledger's last word: {spoken(last[what])}" if left is None and what in last else ""
                lines.append(f"{what} left: {spoken(left)}{known}")
        lines += [f"problem: {problem}" for problem in self.problems]
        lines += [f"DO NOW {number}: {step}" for number, step in enumerate(self.todo, start=1)]
        return "\n".join(lines)

    @property
    def line(self) -> str:
        return "; ".join(self.text().splitlines())


class EmergencyError(Exception):
    """An emergency stop left something for a person to do; ``report``, which the text is, has all of it."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.line)
        self.report = report


def emergency_stop(
    stack: Stack, reason: str, by: Operator, *, say: Callable[[str], None], timeout: float = TIMEOUT_SECONDS
) -> Report:
    """Stop everything now; ``timeout`` is how many seconds the broker has for cancels and fills.

    Raises EmergencyError when anything is left. Needs no lock and asks nobody.
    """
    with in_good_order(), Journal(stack).act("emergency-stop", by, complain=say, text=reason) as act:
        report = _EmergencyStop(stack, reason, by, say, timeout).run()
        say(report.text())
        alert(stack, report.line, by)  # its hooks may take their time
        if not report.done:
            raise EmergencyError(report)
        act.text = f"{reason}: {report.line}"
    return report


def halt_of(stack: Stack) -> str | None:
    """Why nothing may trade, in words, or None; as the host and the ledger have it."""
    known = books.last_known(stack)
    return hold.held(stack) or (known.halt if known else None)


def resume(stack: Stack, reason: str, by: Operator, *, say: Callable[[str], None], permit: Permit = ORDINARY) -> str:
    """Lift what an emergency stop or a limit has halted; returns what was done, in words.

    Raises ChangeFailed, ChangeRefused, CommandError. An engine that runs goes on trading at once.
    """
    release, slot = next(iter(_candidates(stack)), (None, SLOTS[0]))
    wanted = release.id if release else None
    with change(stack, "resume", by, say=say, text=reason, release=wanted, permit=permit) as act:
        if release is None:
            raise ChangeFailed(f"stack {stack.name} has no release, so nothing trades: deploy it")
        done = []
        if has_commands(release):
            words = ["resume", "--reason", reason, "--requested-by", _whom(by)]
            ended = run_command(stack, release, slot, words, RESUME_SECONDS)
            if ended.status:
                said = (ended.complaints.strip() or ended.output.strip())[-500:] or "it said nothing"
                raise ChangeFailed(
                    f"the halt of stack {stack.name} was not lifted: resume ended with status {ended.status}: {said}"
                )
            done.append(ended.output.strip())
        # Last: what could not be lifted must go on being held.
        if hold.lift(stack):
            done.append("engines may start again")
        if commands.unit(stack.engine_unit(slot))["ActiveState"] != "active":
            done.append(f"no engine runs: `ballast start {stack.name}` starts it")
        act.text = f"{reason}: {'; '.join(done)}"
    return "; ".join(done)


def _candidates(stack: Stack) -> Iterator[tuple[Release, str]]:
    """Releases whose image may do it, with a slot: what has the right to trade first, then whatever else is here."""
    activator = Activator(stack)
    active = activator.active_slot()
    slots = sorted(SLOTS, key=lambda slot: slot != active)
    places = [(f"active/{slot}", slot) for slot in slots] + [(link, slots[0]) for link in ("current", "previous")]
    seen = set()
    for link, slot in places:
        release = activator.store.linked(link)
        if release is not None and release.id not in seen:
            seen.add(release.id)
            yield release, slot


def _may(question: Callable[[Release], bool], release: Release) -> bool:
    """A release that cannot be read may; it is to be tried."""
    try:
        return question(release)
    except (OSError, ValueError, KeyError):
        return True


def _whom(by: Operator) -> str:
    return f"{by.user} from {by.origin}"


def _count(number: int | None) -> str:
    return "unknown" if number is None else str(number)


class _EmergencyStop:
    """One emergency stop, step by step; the report grows with it."""

    def __init__(self, stack: Stack, reason: str, by: Operator, say: Callable[[str], None], timeout: float) -> None:
        self.stack = stack
        self.by = by
        self.timeout = timeout
        self.say = say
        self.report = Report(stack.name, None, reason, _whom(by))

    def run(self) -> Report:
        began = time.monotonic()
        releases: list[tuple[Release, str]] = []
        with self._trying("the releases cannot be read"):
            releases = list(_candidates(self.stack))
        if not releases:
            self._note("no release is on this host: there is nothing to ask the broker with")
        else:
            with self._trying("the account is not known"):
                self.report.account = releases[0][0].service("gateway")["probe"]["account"]
        able = [(release, slot) for release, slot in releases if _may(has_commands, release)]
        strangers = [release.id for release in self._active() if not _may(keeps_contract, release)]
        if strangers:
            self._note(
                f"the engine of release {', '.join(strangers)} cannot be told to halt: engines are stopped instead"
            )
            self._stop_engines()
        if able:
            with self._trying("the gateway could not be started"):
                self._start_gateway()
        elif releases:
            self._note("no engine image of this stack can cancel orders and close positions")
        trading = [slot for slot in SLOTS if self._trades(slot)]
        self._take(self._flatten(able, trading))
        if self.report.trading == NOT_STOPPED:
            self._stop_engines()
        if not self.report.flat:
            known = books.last_known(self.stack)
            self.report.last_known = asdict(known) if known else None
        self.report.seconds = round(time.monotonic() - began, 1)
        return self.report

    # ---- at the broker ----

    def _flatten(self, able: list[tuple[Release, str]], trading: list[str]) -> dict[str, Any]:
        """The report of an engine that trades, if it is flat; else of the flatten command; empty, if that cannot be."""
        document: dict[str, Any] = {}
        began = time.monotonic()
        for slot in trading:
            self.say(f"cancelling every order and closing every position, by the engine in slot {slot}")
            with self._trying(f"the engine in slot {slot} did not do it"):
                document = self._ask_engine(slot)
            if document.get("flat") is True:
                return document
        # No engine, or none to rely on: what it says of itself counts only where the command cannot be run.
        seconds = max(min(LEAST_SECONDS, self.timeout), self.timeout - (time.monotonic() - began))
        return self._run_flatten(able, seconds) or document

    def _ask_engine(self, slot: str) -> dict[str, Any]:
        """An engine that trades is halted at once; a container first has to be started."""
        wish = {"reason": self.report.reason, "requested_by": self.report.requested_by, "timeout": self.timeout}
        try:
            answer = unix_http.post(str(self.stack.socket(slot)), "/flatten", wish, self.timeout + MARGIN_SECONDS)
            document = json.loads(answer.body)
        except (OSError, http.client.HTTPException, ValueError):
            # It may be at it still, and hold the client id that the command needs.
            self._kill(slot)
            raise
        return document if isinstance(document, dict) and "flat" in document else {}

    def _run_flatten(self, able: list[tuple[Release, str]], seconds: float) -> dict[str, Any]:
        words = ["flatten", "--reason", self.report.reason, "--requested-by", self.report.requested_by]
        words += ["--timeout", f"{seconds:.0f}", "--json"]
        for release, slot in able:
            self.say(f"cancelling every order and closing every position, with the engine of release {release.id}")
            with self._trying(f"the engine of release {release.id} could not be used"):
                ended = run_command(self.stack, release, slot, words, seconds)
                try:
                    document = json.loads(ended.output)
                    if isinstance(document, dict):
                        return document
                except ValueError:
                    pass
                said = (ended.complaints.strip() or ended.output.strip())[-500:] or "it said nothing"
                self._note(f"flatten of release {release.id} ended with status {ended.status} and no report: {said}")
        return {}

    def _take(self, document: dict[str, Any]) -> None:
        report = self.report
        report.flat = document.get("flat") is True
        if document.get("halted") is True and report.trading == NOT_STOPPED:
            report.trading = HALTED
        report.orders_cancelled = document.get("orders_cancelled")
        report.positions_closed = document.get("positions_closed")
        report.orders_left = document.get("orders_left")
        report.positions_left = document.get("positions_left")
        report.problems += [str(problem) for problem in document.get("problems") or []]

    # ---- on this host ----

    def _active(self) -> list[Release]:
        store = ReleaseStore(self.stack)
        return [release for slot in SLOTS for release in [store.linked(f"active/{slot}")] if release]

    def _start_gateway(self) -> None:
        """Nothing can be closed without it; a person who wants it down wants the account flat first."""
        unit = self.stack.gateway_unit
        state = commands.unit(unit)
        if state["ActiveState"] in ("inactive", "failed") and not state["Job"]:
            self._note(f"the gateway did not run (it was {state['ActiveState']}) and was started")
            commands.forget_failures(unit)
            commands.systemctl("start", "--no-block", unit)

    def _trades(self, slot: str) -> bool:
        """Whether an engine says that it trades. One that is frozen is ended: it may have an order under way."""
        with self._trying(f"the engine in slot {slot} could not be looked at"):
            answer = probe_service({"kind": "contract"}, self.stack.socket(slot))
            if answer.alive:
                return answer.role == "trading"
            state = commands.container(container_name(self.stack.name, "engine", slot))
            if state and state["State"]["Running"]:
                self._kill(slot)
        return False

    def _kill(self, slot: str) -> None:
        with self._trying(f"the engine in slot {slot} could not be killed"):
            commands.run(["docker", "kill", container_name(self.stack.name, "engine", slot)])
            self._note(f"the engine in slot {slot} did not answer and was killed; systemd starts it again")

    def _stop_engines(self) -> None:
        """The last resort: none runs, and none starts before a person resumes."""
        self.say("stopping every engine of the stack")
        with self._trying("the hold could not be written: a switch or a reboot may start an engine"):
            hold.place(self.stack, self.by, self.report.reason)
        activator = Activator(self.stack, say=self.say)
        stopped = 0
        for slot in SLOTS:
            with self._trying(f"{self.stack.engine_unit(slot)} could not be disabled"):
                commands.systemctl("disable", "--quiet", self.stack.engine_unit(slot))
            try:
                activator.services.stop_engine(slot)
                stopped += 1
            except (NotStopped, commands.CommandError) as error:
                self._note(str(error))
                with self._trying("the engines could not be fenced out"):
                    token = fence(self.stack, "emergency stop", self.report.reason).token
                    self._note(
                        f"whatever runs there was fenced out with token {token}: an engine that heeds it is harmless"
                    )
        if stopped == len(SLOTS) and hold.held(self.stack):
            self.report.trading = STOPPED

    # ---- the rest ----

    @contextmanager
    def _trying(self, what: str) -> Iterator[None]:
        """Whatever goes wrong, the rest is still to be done."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self._note(f"{what}: {str(error) or repr(error)}")

    def _note(self, problem: str) -> None:
        self.say(problem)
        self.report.problems.append(problem)
