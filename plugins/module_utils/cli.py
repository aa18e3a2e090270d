# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host tool `ballast`: what units, cron jobs and operators run. It needs no controller and no Ansible."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

from . import stack_lock
from .activation import ActivationError, Activator, told
from .archive import CLASSES, archive, verify_backup
from .backup_settings import load_settings
from .change import ChangeFailed, ChangeRefused, Permit
from .commands import CommandError
from .content import scratch
from .emergency import NO_REASON
from .journal import Journal, JournalError, describe, operator
from .logs import SERVICES
from .manifest import BackupError, expired, kind_of, list_backups, pruned
from .releases import ReleaseError
from .services import ServiceError
from .sqlite_snapshot import snapshot
from .sqlite_verify import MODES, SCRATCH
from .stack import StackError, load_stack, stack_names
from .stores import StoreError, copies, copy_to_stores, fetch, find_store, open_stores, stored_names

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIGURATION = 78
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed (standard error says why), 2 wrong usage, 78 the stack is not configured."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        _complain(f"ballast needs root: run sudo ballast {shlex.join(arguments)}")
        return EXIT_FAILED
    try:
        return int(options.verb(options))
    except StackError as error:
        _complain(f"ballast: {error}")
        return EXIT_CONFIGURATION
    except (
        ActivationError,
        BackupError,
        ChangeFailed,
        ChangeRefused,
        CommandError,
        JournalError,
        ReleaseError,
        ServiceError,
        StoreError,
        stack_lock.StackLocked,
        OSError,
    ) as error:
        _complain(f"ballast: {error}")
        return EXIT_FAILED
    except KeyboardInterrupt:
        _complain("ballast: interrupted")
        return EXIT_FAILED


def _say(text: str) -> None:
    # A switch goes on when the terminal that began it is gone.
    with suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ballast", description="Operate the trading stacks of this host.")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    status = verbs.add_parser("status", help="what every stack, or one, is doing")
    status.add_argument("stack", nargs="?")
    status.add_argument("--json", action="store_true", help="print a JSON list of status documents")
    status.set_defaults(verb=_status)

    releases = verbs.add_parser("releases", help="the releases of a stack, newest first")
    releases.add_argument("stack")
    releases.set_defaults(verb=_releases)

    activate = verbs.add_parser("activate", help="make a stack run one of its releases")
    activate.add_argument("stack")
    activate.add_argument("release")
    _add_permit(activate)
    activate.set_defaults(verb=_activate)

    rollback = verbs.add_parser("rollback", help="return to the previous release, or to a given one")
    rollback.add_argument("stack")
    rollback.add_argument("release", nargs="?", default="previous")
    _add_permit(rollback)
    rollback.set_defaults(verb=_activate)

    start = verbs.add_parser("start", help="start a stack that was stopped: the gateway, then the engine")
    start.add_argument("stack")
    _add_wait(start)
    start.set_defaults(verb=_start)

    stop = verbs.add_parser("stop", help="stop the engine in good order; positions stay open")
    stop.add_argument("stack")
    stop.add_argument("--gateway", action="store_true", help="the gateway too; its next start costs a login")
    _add_wait(stop)
    stop.set_defaults(verb=_stop)

    lock = verbs.add_parser("lock", help="let nobody change a stack until it is unlocked")
    lock.add_argument("stack")
    lock.add_argument("--reason", type=_text, required=True, help="why; whoever is refused reads it")
    lock.set_defaults(verb=_lock)

    unlock = verbs.add_parser("unlock", help="take the lock on a stack away")
    unlock.add_argument("stack")
    unlock.set_defaults(verb=_unlock)
    lease = verbs.add_parser("lease", help="who has the right to trade; or hand it to the hot standby")
    lease.add_argument("stack")
    lease.add_argument("move", nargs="?", choices=["move"], help="hand it to the engine that stands by")
    lease.add_argument("--json", action="store_true", help="print it as a JSON document")
    lease.set_defaults(verb=_lease)

    emergency = verbs.add_parser("emergency-stop", help="cancel every order, close every position, halt trading: now")
    emergency.add_argument("stack")
    emergency.add_argument("--reason", type=_text, default=NO_REASON, help="why; it is recorded")
    emergency.add_argument("--timeout", type=_seconds, default=60.0, help="seconds that the broker has for it (60)")
    emergency.set_defaults(verb=_emergency_stop)

    resume = verbs.add_parser("resume", help="lift the halt of an emergency stop or of a limit")
    resume.add_argument("stack")
    resume.add_argument("--reason", type=_text, required=True, help="why; it is recorded")
    _add_wait(resume)
    resume.set_defaults(verb=_resume)

    logs = verbs.add_parser("logs", help="what all services of a stack wrote, merged by time")
    logs.add_argument("stack")
    logs.add_argument("--follow", "-f", action="store_true", help="go on with what comes; Ctrl-C ends it")
    logs.add_argument("--since", default="", type=_since, help="a span or a time: 15min, 2h, today, '2026-11-22 20:45'")
    logs.add_argument("--grep", type=_pattern, default="", help="only messages that hold this regular expression")
    logs.add_argument("--lines", "-n", type=_count, help="so many of the newest; 0 for all (100, with --since all)")
    logs.add_argument("--service", action="append", choices=SERVICES, help="only this service; may be repeated")
    logs.set_defaults(verb=_logs)

    backup = verbs.add_parser("backup", help="make a verified archive of a stack, which may run; remove old ones")
    backup.add_argument("stack")
    backup.add_argument("--ledger", action="store_true", help="a snapshot of the ledger alone")
    backup.add_argument(
        "--class",
        dest="retention_class",
        choices=CLASSES,
        help="how long an archive is kept (the first of a quarter is audit, of a month monthly, every other one daily)",
    )
    backup.add_argument("--if-older", type=_count, metavar="HOURS", help="only when the newest one is older")
    backup.add_argument(
        "--delay", type=_count, default=0, metavar="SECONDS", help="begin at random up to so much later"
    )
    backup.set_defaults(verb=_backup)

    backups = verbs.add_parser("backups", help="the backups of a stack, newest first")
    backups.add_argument("stack")
    backups.add_argument("--json", action="store_true", help="print a JSON list")
    backups.add_argument("--expired", action="store_true", help="only those that the next run would remove")
    backups.set_defaults(verb=_backups)

    verify = verbs.add_parser("verify", help="prove that a backup is what it was")
    verify.add_argument("stack")
    verify.add_argument("backup", nargs="?", default="newest", help="a file name, all, or newest (of each kind)")
    verify.add_argument("--mode", choices=MODES, default="standard", help="how deep to look at the ledger (standard)")
    verify.add_argument("--store", metavar="NAME", help="the copy in a store, which is read as a whole")
    verify.add_argument("--identity", type=Path, help="the private key, to look into encrypted ones")
    verify.add_argument(
        "--delay", type=_count, default=0, metavar="SECONDS", help="begin at random up to so much later"
    )
    verify.set_defaults(verb=_verify)

    restore = verbs.add_parser("restore", help="put the ledger of a backup in place, while the stack is stopped")
    restore.add_argument("stack")
    restore.add_argument("backup", nargs="?", default="newest", help="a file name, or newest (of both kinds)")
    restore.add_argument("--store", metavar="NAME", help="from a store, in place of the host's own backups")
    restore.add_argument("--identity", type=Path, help="the private key of an encrypted one")
    restore.add_argument("--beside", type=Path, metavar="FILE", help="only write the ledger to this new file")
    restore.add_argument("--wait", type=_count, default=0, metavar="SECONDS", help="for another change to end")
    restore.set_defaults(verb=_restore)

    journal = verbs.add_parser("journal", help="what was done to a stack, by whom and how it ended")
    journal.add_argument("stack")
    journal.add_argument("verify", nargs="?", choices=["verify"], help="check that no line was changed or removed")
    journal.add_argument("--lines", type=_count, default=20, help="how many of the newest entries; 0 for all (20)")
    journal.add_argument("--json", action="store_true", help="print the entries as they are")
    journal.add_argument("--head", help="with verify: a hash that was the journal's head before")
    journal.set_defaults(verb=_journal)

    alert = verbs.add_parser("alert", help="note and report that something is wrong with a unit (used by systemd)")
    alert.add_argument("unit", help="the unit, such as ballast-gateway@<stack>.service")
    alert.add_argument("text", nargs="?", help="what is wrong; how the unit has failed when omitted")
    alert.set_defaults(verb=_alert)

    recover = verbs.add_parser("recover", help="finish or undo an interrupted switch (used by systemd)")
    recover.add_argument("stack")
    recover.set_defaults(verb=_recover)

    settle = verbs.add_parser("settle", help="stop the hot standby of a soak that is over (used by systemd)")
    settle.add_argument("stack")
    settle.set_defaults(verb=_settle)

    run = verbs.add_parser("run", help="be the process of a unit (used by systemd)")
    run.add_argument("instance", help="<stack> for the gateway, <stack>-<slot> for an engine")
    run.add_argument("service", choices=["gateway", "engine"])
    run.set_defaults(verb=_run)
    return parser


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        type=_count,
        default=0,
        metavar="SECONDS",
        help="how long to wait while somebody else changes the stack (0: do not)",
    )


def _add_permit(parser: argparse.ArgumentParser) -> None:
    _add_wait(parser)
    parser.add_argument("--force", action="store_true", help="do it in a closed window too; wants --reason")
    parser.add_argument("--reason", type=_text, help="with --force: why it cannot wait, for the journal")


def _permit(options: argparse.Namespace) -> Permit:
    if options.force != bool(options.reason):
        _complain("ballast: --force and --reason go together: say why it cannot wait")
        raise SystemExit(EXIT_USAGE)
    return Permit(wait_seconds=options.wait, force_reason=options.reason or "")


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; say why in a few words")
    return text.strip()


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r}: wanted seconds above 0, at most 3600")
    return seconds


def _since(text: str) -> str:
    """As journalctl takes it, where a span that begins with a minus would look like an option here."""
    return f"-{text}" if re.fullmatch(r"[0-9]+ ?[a-z]+", text) else text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
    return text


def _status(options: argparse.Namespace) -> int:
    from .status import stack_status, status_table

    documents, unknown = [], False
    for name in [options.stack] if options.stack else stack_names():
        try:
            documents.append(stack_status(load_stack(name)))
        except StackError as error:  # noqa: PERF203 - one that is damaged must not hide the others
            if options.stack:
                raise
            unknown = True
            _complain(f"ballast: {error}")
    if options.json:
        _say(json.dumps(documents, indent=2))
    elif documents or not unknown:
        _say(status_table(documents) or "no stack is deployed on this host")
    return 0 if all(document["healthy"] for document in documents) and not unknown else EXIT_FAILED


def _releases(options: argparse.Namespace) -> int:
    store = Activator(load_stack(options.stack)).store
    current, previous = store.link("current"), store.link("previous")
    for release_id in reversed(store.ids()):
        mark = "current" if release_id == current else "previous" if release_id == previous else ""
        try:
            store.verify(release := store.get(release_id))
            images = ", ".join(image["reference"] for image in release.manifest["images"].values())
        except ReleaseError:
            images = "damaged"
        _say(f"{release_id}  {mark:8}  {images}")
    return 0


def _activate(options: argparse.Namespace) -> int:
    activator = Activator(load_stack(options.stack), say=_say, permit=_permit(options))
    done = activator.activate(activator.resolve(options.release))
    if not done.changed:
        _say(f"release {done.release} runs already; nothing was changed")
    elif done.gap_ms is not None:
        _say(f"no engine traded for {done.gap_ms} ms")
    return 0


def _lease(options: argparse.Namespace) -> int:
    from .status import lease_status, lease_table

    stack = load_stack(options.stack)
    if options.move:
        _say(f"slot {(done := Activator(stack, say=_say).move()).slot} trades{told(done)}")
        return 0
    document = lease_status(stack)
    _say(json.dumps(document, indent=2) if options.json else lease_table(document))
    return 0


def _recover(options: argparse.Namespace) -> int:
    stack = load_stack(options.stack)
    pause = RETRY_SECONDS
    while True:
        try:
            Activator(stack, say=_say).recover()
        except (ServiceError, CommandError) as error:  # noqa: PERF203 - it is tried until it works
            # Docker restarts, perhaps, or something hangs: what cannot be proven now can be later.
            _complain(f"ballast: {error}; trying again in {pause:g} s")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY_SECONDS)
        else:
            return 0


def _settle(options: argparse.Namespace) -> int:
    if not Activator(load_stack(options.stack), say=_say).settle():
        _say("no soak is over; nothing was changed")
    return 0


def _start(options: argparse.Namespace) -> int:
    from .operate import start

    permit = Permit(wait_seconds=options.wait)
    done = start(load_stack(options.stack), operator(), say=_say, permit=permit)
    if not done.changed:
        _say("it runs already; nothing was changed")
    return 0


def _stop(options: argparse.Namespace) -> int:
    from .operate import stop

    permit = Permit(wait_seconds=options.wait)
    done = stop(load_stack(options.stack), operator(), say=_say, permit=permit, gateway=options.gateway)
    if not done.changed:
        _say("it is stopped already; nothing was changed")
    return 0


def _lock(options: argparse.Namespace) -> int:
    held = stack_lock.lock(load_stack(options.stack), operator(), options.reason)
    _say(f"locked by {held}. To unlock it: ballast unlock {options.stack}")
    return 0


def _unlock(options: argparse.Namespace) -> int:
    held = stack_lock.unlock(load_stack(options.stack), operator())
    _say(f"unlocked; it was locked by {held}" if held else "it was not locked; nothing was changed")
    return 0


def _emergency_stop(options: argparse.Namespace) -> int:
    from .emergency import EmergencyError, emergency_stop

    try:
        emergency_stop(load_stack(options.stack), options.reason, operator(), say=_say, timeout=options.timeout)
    except EmergencyError:
        return EXIT_FAILED  # all of it was said
    return 0


def _resume(options: argparse.Namespace) -> int:
    from .emergency import resume

    permit = Permit(wait_seconds=options.wait)
    _say(resume(load_stack(options.stack), options.reason, operator(), say=_say, permit=permit))
    return 0


def _logs(options: argparse.Namespace) -> int:
    from .logs import read

    lines = options.lines if options.lines is not None else (0 if options.since else 100)
    entries = read(
        load_stack(options.stack),
        services=options.service or SERVICES,
        lines=lines or None,
        since=options.since,
        pattern=options.grep,
        follow=options.follow,
    )
    try:
        for line in entries:
            sys.stdout.write(f"{line}\n")
            if options.follow:
                sys.stdout.flush()
    except BrokenPipeError:  # as with `| head`; the interpreter's own last flush must not meet it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _backup(options: argparse.Namespace) -> int:
    stack = load_stack(options.stack)
    settings = load_settings(stack)
    what = "ledger" if options.ledger else "archive"
    if options.if_older is not None:
        kind = "snapshot" if options.ledger else "archive"
        newest = next((one for one in list_backups(stack.backups) if one.kind == kind and one.problem is None), None)
        if newest and datetime.now(timezone.utc) - newest.created_at < timedelta(hours=options.if_older):
            return 0
        what += f", because the newest is {newest.created_at:%Y-%m-%d %H:%M}Z" if newest else ", because there is none"
    _delay(options.delay)
    with Journal(stack).act("backup", operator(), complain=_complain, text=what) as act:
        if options.ledger:
            taken = snapshot(stack.ledger, stack.backups, stack=stack.name, recipient=settings.recipient)
        else:
            taken = archive(
                stack,
                parts=settings.parts,
                paths=settings.paths,
                recipient=settings.recipient,
                retention_class=options.retention_class,
            )
        pruned(taken, settings.keep_days)
        act.text = f"{taken.path}: {taken.size_bytes} bytes, {taken.retention_class}, verified"
        _say(act.text)
        for left in taken.manifest.get("left_out", []):
            _say(f"left out: {left['file']}: {left['reason']}")
        copied, problems = copy_to_stores(stack, settings)
        for line in copied:
            _say(line)
        if problems:
            # The backup is good and stays; that its copies lag behind must be seen.
            raise BackupError("; ".join([act.text, *problems]))
        act.text = "; ".join([act.text, *copied])
    return 0


def _restore(options: argparse.Namespace) -> int:
    from .restore import restore, restore_beside

    stack = load_stack(options.stack)
    with ExitStack() as place:
        if options.store:
            store = find_store(load_settings(stack).stores, stack.name, options.store)
            names = stored_names(store)
        else:
            known = {one.path.name: one for one in list_backups(stack.backups) if one.problem is None}
            names = list(known)
        name = next((name for name in names if options.backup in ("newest", name)), None)
        if name is None:
            where = f"store {options.store}" if options.store else str(stack.backups)
            raise BackupError(f"there is no backup {options.backup!r} in {where}; ballast backups lists them")
        if options.store:
            backup = fetch(store, name, place.enter_context(scratch(SCRATCH, stack.backups)))
        else:
            backup = known[name]
        if options.beside:
            done = restore_beside(backup, options.beside, options.identity)
            _say(f"{done.ledger} is the ledger of {name}")
        else:
            permit = Permit(wait_seconds=options.wait)
            done = restore(stack, backup, operator(), say=_say, identity=options.identity, permit=permit)
            _say(f"sudo ballast start {stack.name} starts it: the engine first reconciles with the broker")
    _say(f"done in {done.seconds:.1f} s")
    return 0


def _delay(seconds: int) -> None:
    time.sleep(random.uniform(0, seconds))  # noqa: S311 - to spread the load, no secret


def _backups(options: argparse.Namespace) -> int:
    stack = load_stack(options.stack)
    settings = load_settings(stack)
    found = list_backups(stack.backups)
    if options.expired:
        found = expired(found, settings.keep_days, datetime.now(timezone.utc))
    listings = [copies(store, found) for store in open_stores(settings.stores, stack.name)]
    documents = []
    for one in found:
        there = [listing[one.path.name] for listing in listings]
        documents.append({**one.as_dict(), "copies": {copy.store: asdict(copy) for copy in there}})
        if not options.json:
            at = one.created_at.strftime("%Y-%m-%d %H:%M:%SZ")
            where = "".join(f"  {copy.store}: {copy.state}" for copy in there)
            _say(f"{at}  {one.retention_class:8}  {one.size_bytes:>12}  {one.problem or one.path.name}{where}")
    if options.json:
        _say(json.dumps(documents, indent=2))
    for problem in {copy.detail for listing in listings for copy in listing.values() if copy.state == "unreachable"}:
        _complain(f"ballast: {problem}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    stack = load_stack(options.stack)
    _delay(options.delay)
    bad = []
    with ExitStack() as place:
        if options.store:
            store = find_store(load_settings(stack).stores, stack.name, options.store)
            folder = place.enter_context(scratch(SCRATCH, stack.backups))
            wanted = [fetch(store, name, folder) for name in _wanted(stored_names(store), options.backup)]
        else:
            known = {one.path.name: one for one in list_backups(stack.backups)}
            wanted = [known[name] for name in _wanted(list(known), options.backup)]
        if not wanted:
            where = f"store {options.store}" if options.store else str(stack.backups)
            _complain(f"ballast: there is no backup {options.backup!r} in {where}; ballast backups lists them")
            return EXIT_FAILED
        names = ", ".join(one.path.name for one in wanted)
        names += f" in store {options.store}" if options.store else ""
        act = place.enter_context(Journal(stack).act("verify", operator(), complain=_complain, text=names))
        for one in wanted:
            result = verify_backup(one, mode=options.mode, identity=options.identity, scratch_directory=stack.backups)
            seconds = f"{result.duration_seconds:.1f} s"
            _say(f"{one.path.name}: {result.status}, {len(result.checks)} checks, {options.mode}, {seconds}")
            for check in result.problems:
                _say(f"  {check.status}: {check.name}: {check.detail}")
            # Where its key is not, an encrypted one can be known by its checksum alone: nothing is wrong with that.
            sealed = one.path.suffix == ".age" and options.identity is None
            if result.status != "ok" and not (sealed and result.status == "inconclusive"):
                bad.append(f"{one.path.name} is {result.status}")
        act.text = f"{names}: {'; '.join(bad) or 'ok'}"
        if bad:
            raise BackupError("; ".join(bad))
    return 0


def _wanted(names: list[str], wanted: str) -> list[str]:
    """Of the names of backups, newest first, those that are meant."""
    if wanted == "newest":
        newest = [next((name for name in names if kind_of(name) == kind), None) for kind in ("archive", "snapshot")]
        return [name for name in newest if name is not None]
    return [name for name in names if wanted in ("all", name)]


def _journal(options: argparse.Namespace) -> int:
    journal = Journal(load_stack(options.stack))
    if options.verify:
        found = journal.verify(options.head)
        for note in found.notes:
            _say(f"note: {note}")
        for problem in found.problems:
            _complain(f"ballast: {journal.path}: {problem}")
        if found.problems:
            return EXIT_FAILED
        _say(f"{journal.path}: {found.lines} lines, the chain is whole, head {found.head or 'none yet'}")
        return 0
    for entry in journal.entries()[-options.lines :]:
        _say(json.dumps(entry, ensure_ascii=False) if options.json else describe(entry))
    return 0


def _alert(options: argparse.Namespace) -> int:
    from .alerts import alert, failure_of_unit, stack_of_unit

    for problem in alert(stack_of_unit(options.unit), options.text or failure_of_unit(options.unit)):
        _complain(f"ballast: {problem}")
    return 0


def _run(options: argparse.Namespace) -> int:
    from .supervisor import Supervisor, service_of

    return Supervisor(service_of(options.instance, options.service)).run()


if __name__ == "__main__":
    raise SystemExit(main())
