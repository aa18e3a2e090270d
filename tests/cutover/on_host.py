# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the lab host, as root, with the installed host tool: it changes releases, strikes, and judges.

``python3 -m tests.cutover.on_host VERB ...`` prints one JSON document. ``rig.py`` puts it there, with what it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine.books import Record, differences

sys.path.insert(0, "/usr/local/lib/ballast")  # the host tool, as installed

STACK = "dev-main"
LEDGER = Path(f"/var/lib/ballast/{STACK}/ledger/trades.db")
CONTROL_PORT = 7000
SLOTS = ("blue", "green")
GATEWAY = f"ballast-{STACK}-gateway"
POLL_SECONDS = 0.1


def run(*command: str, check: bool = True) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if check and done.returncode:
        raise RuntimeError(f"{command} exited with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def engine(slot: str) -> str:
    """The container of a slot."""
    return f"ballast-{STACK}-engine-{slot}"


# ---- releases --------------------------------------------------------------------------------------------------------


def stage(changes: dict[str, str], settings: dict[str, Any]) -> str:
    """Stage a copy of the release that runs; returns its id.

    ``changes`` are files to change or add (path -> text), ``settings`` replace those of the engine's service.json.
    """
    from ballast.releases import ReleaseStore
    from ballast.stack import load_stack

    store = ReleaseStore(load_stack(STACK))
    current = store.linked("current")
    if current is None:
        raise RuntimeError("no release runs that could be changed")
    paths = [path for path in current.manifest["files"] if not path.endswith("/.env")]
    files = {path: (current.path / path).read_bytes() for path in paths}
    files |= {path: text.encode() for path, text in changes.items()}
    files["engine/service.json"] = json.dumps(current.service("engine") | settings).encode()
    return str(store.stage(files, {"user": "test", "controller": "test"}).id)


# ---- the host tool, step by step -------------------------------------------------------------------------------------


def tool(link: int, arguments: list[str]) -> int:
    """Be the host tool, which tells every step on the socket ``link`` and goes on when it is told to.

    The same code as /usr/local/bin/ballast runs. A step is what it writes down before it does it, for whoever must go
    on after it was killed, and every line of progress.
    """
    from ballast import activation, control
    from ballast.cli import main

    peer = socket.socket(fileno=link)
    noted, written = activation.Activator._note, control._write

    def tell(step: str) -> None:
        peer.sendall(f"{' '.join(step.split())}\n".encode())
        peer.recv(1)

    def note(self: activation.Activator, text: str) -> None:
        noted(self, text)
        tell(text)

    def write(path: Path, document: dict[str, Any]) -> None:
        written(path, document)
        if "step" in document:
            tell(f"step {document['step']}")

    activation.Activator._note, control._write = note, write
    return int(main(arguments))


@dataclass(frozen=True)
class Scene:
    """Where a fault strikes: the tool's process, and the slots that traded before and are to trade."""

    tool: int
    old: str
    new: str


class NothingThere(Exception):
    """What a fault is to strike does not exist at this step."""


def change(arguments: list[str], at: str, fault: str, seconds: float) -> dict[str, Any]:
    """Run the host tool with ``arguments``, and at the first step that ``at`` (a pattern) fits, strike.

    The fault ends ``seconds`` later, whether or not the tool has ended; with 0, when it has. Returns ``status``
    (negative: the signal that killed the tool), ``output``, ``steps``, ``struck`` (the step, or null) and the
    ``seconds`` that the tool took.
    """
    old = _trading_slot()
    here, there = socket.socketpair()
    output = Path("output")
    steps: list[str] = []
    struck = None
    ending: threading.Timer | None = None
    started = time.monotonic()
    with output.open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, "tool", "--link", str(there.fileno()), "--", *arguments],
            pass_fds=(there.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
        )
        there.close()
        scene = Scene(process.pid, old, next(slot for slot in SLOTS if slot != old))
        # A tool that is killed leaves the socket with our last word unread: that is a reset, not an end.
        with here.makefile() as told, suppress(ConnectionResetError):
            for line in told:
                steps.append(step := line.strip())
                if fault and struck is None and re.search(at, step):
                    with suppress(NothingThere):
                        ending = threading.Timer(seconds or threading.TIMEOUT_MAX, FAULTS[fault](scene))
                        ending.start()
                        struck = step
                with suppress(BrokenPipeError):
                    here.sendall(b"\n")
        status = process.wait()
    took = time.monotonic() - started
    if ending and not seconds:
        ending.cancel()
        ending.function()
    if ending:
        ending.join()
    return {"status": status, "output": output.read_text(), "steps": steps, "struck": struck, "seconds": took}


def _trading_slot() -> str:
    from ballast.activation import Activator
    from ballast.stack import load_stack

    return Activator(load_stack(STACK)).active_slot() or SLOTS[0]


# ---- faults ----------------------------------------------------------------------------------------------------------


def _process(container: str) -> int:
    process = int(run("docker", "inspect", "--format", "{{.State.Pid}}", container, check=False) or 0)
    if not process:
        raise NothingThere(container)
    return process


def _nothing() -> None:
    pass


def _kill(container: str) -> Callable[[], object]:
    os.kill(_process(container), signal.SIGKILL)
    return _nothing


def _freeze(container: str) -> Callable[[], object]:
    process = _process(container)
    os.kill(process, signal.SIGSTOP)

    def wake() -> None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)

    return wake


def _kill_tool(scene: Scene) -> Callable[[], object]:
    os.kill(scene.tool, signal.SIGKILL)
    return _nothing


def _kill_docker(_scene: Scene) -> Callable[[], object]:
    os.kill(int(run("systemctl", "show", "--property=MainPID", "--value", "docker")), signal.SIGKILL)
    return _nothing


def _partition(_scene: Scene) -> Callable[[], object]:
    """No packet between gateway and engines; they share a bridge, so only its own hook sees them all."""
    address = _gateway_address()
    table = "bridge partition"
    rules = "; ".join(f"add rule {table} forward ip {end} {address} drop" for end in ("saddr", "daddr"))
    chain = f"add chain {table} forward {{ type filter hook forward priority 0; }}"
    run("nft", f"add table {table}; {chain}; {rules}")
    return lambda: run("nft", f"delete table {table}")


def _restart_gateway(_scene: Scene) -> Callable[[], object]:
    run("systemctl", "restart", "--no-block", f"ballast-gateway@{STACK}")
    return _nothing


def _fill_disk(_scene: Scene) -> Callable[[], object]:
    """Fill the small file system that holds the state of the stack (see ``small_disk``)."""
    ballast = LEDGER.parents[1] / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return ballast.unlink


def _reboot(*options: str) -> Callable[[Scene], Callable[[], object]]:
    def strike(_scene: Scene) -> Callable[[], object]:
        run("systemctl", "reboot", *options)
        return _nothing

    return strike


FAULTS: dict[str, Callable[[Scene], Callable[[], object]]] = {
    "old engine killed": lambda scene: _kill(engine(scene.old)),
    "new engine killed": lambda scene: _kill(engine(scene.new)),
    "old engine frozen": lambda scene: _freeze(engine(scene.old)),
    "new engine frozen": lambda scene: _freeze(engine(scene.new)),
    "tool killed": _kill_tool,
    "dockerd killed": _kill_docker,
    "partition": _partition,
    "gateway restarted": _restart_gateway,
    "disk full": _fill_disk,
    "reboot": _reboot(),
    "power cut": _reboot("--force", "--force"),
}


def small_disk(mebibytes: int) -> None:
    """Move the stack's state onto a file system of its own, in memory, or back to where it was (0)."""
    home = LEDGER.parents[1]
    aside = home.with_name("aside")
    units = [f"ballast-engine@{STACK}-{_trading_slot()}", f"ballast-gateway@{STACK}"]
    run("systemctl", "stop", *units)
    if mebibytes:
        home.rename(aside)
        home.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "tmpfs", str(home))
        run("cp", "--archive", f"{aside}/.", str(home))
        shutil.rmtree(aside)
    else:
        run("cp", "--archive", str(home), str(aside))
        run("umount", str(home))
        home.rmdir()
        aside.rename(home)
    run("systemctl", "start", *reversed(units))


# ---- the judge -------------------------------------------------------------------------------------------------------


def _gateway_address() -> str:
    """Where the gateway is on the network that it shares with the engines."""
    networks = json.loads(run("docker", "inspect", "--format", "{{json .NetworkSettings.Networks}}", GATEWAY))
    return str(networks[f"ballast-{STACK}-trading"]["IPAddress"])


def venue(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Call the simulator's control API."""
    request = urllib.request.Request(
        f"http://{_gateway_address()}:{CONTROL_PORT}/{path}",
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def await_order(seconds: float) -> dict[str, Any]:
    """Wait until the stack is healthy and no switch is under way; returns its last status, whether or not it is."""
    deadline = time.monotonic() + seconds
    while True:
        status = _status()
        if (status.get("healthy") and status["switch"] is None) or time.monotonic() > deadline:
            return status
        time.sleep(POLL_SECONDS)


def _status() -> dict[str, Any]:
    try:
        (document,) = json.loads(run("ballast", "status", STACK, "--json", check=False))
    except ValueError:
        return {}
    return dict(document)


def judge(seconds: float) -> dict[str, Any]:
    """What the venue saw since the beginning, and every ``problems`` with it, in words; none: all is well.

    The market is held for the moment in which the books of venue and ledger are compared, for at most ``seconds``.
    """
    hold = venue("POST", "faults", {"fault": "freeze", "symbols": ["AAPL"]})
    try:
        # An order may have been on its way. On a busy machine one look takes long: there are some in any case.
        deadline, looks = time.monotonic() + seconds, 0
        while True:
            found = differences(Record.of(venue("GET", "witness")["entries"]), LEDGER, settled=True)
            looks += 1
            if not found or (looks > 3 and time.monotonic() > deadline):
                break
            time.sleep(POLL_SECONDS)
        summary = venue("GET", "witness/summary")
    finally:
        venue("DELETE", f"faults/{hold['id']}")
    traders = {each["client_id"] for each in summary["connections"] if each["orders"]}
    found += [f"two connections traded at once: {overlap}" for overlap in summary["overlaps"]]
    found += [f"order {ref} was sent again: {ids}" for ref, ids in summary["repeated_order_refs"].items()]
    found += [f"client {client} traded" for client in traders - {1}]
    found += [f"{slot} trades besides" for slot in SLOTS if slot != _trading_slot() and _role(slot) == "trading"]
    journal = subprocess.run(["ballast", "journal", STACK, "verify"], check=False, capture_output=True, text=True)
    if journal.returncode:
        found.append(f"the journal: {journal.stdout}{journal.stderr}")
    return {"problems": found, "gaps": summary["gaps"], "orders": summary["counts"].get("order", 0)}


def _role(slot: str) -> str | None:
    from ballast.unix_http import get

    with suppress(OSError, ValueError):
        return str(json.loads(get(f"/run/ballast/{STACK}/{slot}.sock", "/health", 3).body)["role"])
    return None


def supervisors(seconds: float) -> dict[str, dict[str, float]]:
    """What each process of our units costs: ``memory`` in bytes, ``cpu_seconds`` in so many ``seconds``."""
    import psutil

    units = json.loads(run("systemctl", "list-units", "--output=json", "--state=active", "ballast-*@*"))
    found = {}
    for unit in units:
        main = int(run("systemctl", "show", "--property=MainPID", "--value", unit["unit"]))
        for process in [psutil.Process(main), *psutil.Process(main).children()] if main else []:
            found[f"{unit['unit'].removesuffix('.service')}, {process.name()}"] = process

    def used(process: psutil.Process) -> float:
        # With the commands that it has run: they are most of it.
        return float(sum(process.cpu_times()[:4]))

    before = {name: used(process) for name, process in found.items()}
    time.sleep(seconds)
    return {
        name: {"memory": process.memory_info().rss, "cpu_seconds": used(process) - before[name]}
        for name, process in found.items()
    }


def main() -> int:
    """Run one verb."""
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("stage")
    verb = verbs.add_parser("tool")
    verb.add_argument("--link", type=int)
    verb.add_argument("arguments", nargs="+")
    verb = verbs.add_parser("change")
    verb.add_argument("--at", default="")
    verb.add_argument("--fault", default="", choices=["", *FAULTS])
    verb.add_argument("--seconds", type=float, default=0)
    verb.add_argument("arguments", nargs="+")
    for name, default in (("await", 60), ("judge", 8), ("disk", 0), ("supervisors", 60)):
        verbs.add_parser(name).add_argument("--amount", type=float, default=default)
    options = parser.parse_args()
    if options.verb == "tool":
        return tool(options.link, options.arguments)
    result: object = None
    if options.verb == "stage":
        result = stage(**json.load(sys.stdin))
    elif options.verb == "change":
        result = change(options.arguments, options.at, options.fault, options.seconds)
    elif options.verb == "await":
        result = await_order(options.amount)
    elif options.verb == "judge":
        result = judge(options.amount)
    elif options.verb == "supervisors":
        result = supervisors(options.amount)
    elif options.verb == "disk":
        small_disk(int(options.amount))
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
