# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is, and whether it can carry a stack.

Two halves: ``gather`` reads the host (files of /proc and /etc, the Docker socket, one short command) and ``judge``
compares what was read with what is required. Everything is read below ``root``, so a folder can stand in for a host.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import unix_http
from .host_files import sealed_trees
from .manifest import MANIFEST_SUFFIX
from .stack import SLOTS, stack_names

SUPPORTED_OS: Mapping[str, tuple[str, ...]] = {"debian": ("12", "13")}
SUPPORTED_ARCHITECTURES = ("amd64", "arm64")
ARCHITECTURE_NAMES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}

DOCKER_SOCKET = "run/docker.sock"
DAEMON_SETTINGS = "etc/docker/daemon.json"
DAEMON_PID = "run/docker.pid"
DAEMON_ENABLED = "etc/systemd/system/multi-user.target.wants/docker.service"
MANIFESTS = "var/lib/ballast/host_tree"
DOCKER_HOST_MANIFEST = f"{MANIFESTS}/docker_host.json"
BACKUPS = "var/backups/ballast"
DOCKER_TIMEOUT_SECONDS = 10.0
COMPOSE_PLUGINS = (
    "usr/local/lib/docker/cli-plugins/docker-compose",
    "usr/local/libexec/docker/cli-plugins/docker-compose",
    "usr/lib/docker/cli-plugins/docker-compose",
    "usr/libexec/docker/cli-plugins/docker-compose",
)
TCP_LISTEN = "0A"
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 -- compared with, not listened on
GIBIBYTE = 1024**3
MEBIBYTE = 1024**2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, the value seen, the value wanted, what to do, and the file that set the value."""

    where: str
    seen: str
    wanted: str
    fix: str
    source: str = ""


@dataclass(frozen=True)
class WantedPort:
    """A TCP port this stack will publish, the variable that sets it, and the containers that may already hold it."""

    port: int
    address: str = "127.0.0.1"
    variable: str = ""
    containers: Sequence[str] = ()


@dataclass(frozen=True)
class Requirements:
    """What the host must offer. ``paths`` need not exist: the file system that will hold them is looked at."""

    paths: Sequence[str] = ()
    min_free_gb: float = 0
    min_memory_mb: int = 0
    ports: Sequence[WantedPort] = field(default_factory=tuple)


# ---------------------------------------------------------------------------------------------------------------- facts


def gather(paths: Sequence[str], root: Path = Path("/")) -> dict[str, Any]:
    """Facts of the host as plain data; the keys are documented in the RETURN section of the module ``preflight``."""
    return {
        "os": os_release(root),
        "architecture": ARCHITECTURE_NAMES.get(platform.machine(), platform.machine()),
        "kernel": platform.release(),
        "user": {"uid": os.geteuid(), "name": user_name(os.geteuid(), root)},
        "init": {"name": read_text(root / "proc/1/comm").strip(), "systemd": (root / "run/systemd/system").is_dir()},
        "cpus": os.cpu_count() or 1,
        "memory": memory(root),
        "disks": {path: disk(path, root) for path in paths},
        "docker": docker(root),
        "ports": listening_ports(root),
        "server": server(root),
        "stacks": {name: stack(name, root) for name in stack_names(root)},
        "packages": installed_packages(root),
        "trees": sealed_trees(root / MANIFESTS),
        "backups": sorted({path.parent.name for path in (root / BACKUPS).glob(f"*/*{MANIFEST_SUFFIX}")}),
    }


def read_text(path: Path) -> str:
    """The text of a file, or an empty string when it cannot be read: a missing fact is judged, not raised."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def os_release(root: Path) -> dict[str, str]:
    """Identity of the distribution, from os-release(5)."""
    lines = re.findall(r"^([A-Z_]+)=(.*)$", read_text(root / "etc/os-release"), re.MULTILINE)
    fields = {key: value.strip("\"'") for key, value in lines}
    return {
        "id": fields.get("ID", ""),
        "version": fields.get("VERSION_ID", ""),
        "codename": fields.get("VERSION_CODENAME", ""),
        "name": fields.get("PRETTY_NAME", ""),
    }


def user_name(uid: int, root: Path) -> str:
    """The name of a uid in passwd(5), or the number itself."""
    match = re.search(rf"^([^:]+):[^:]*:{uid}:", read_text(root / "etc/passwd"), re.MULTILINE)
    return match.group(1) if match else str(uid)


def memory(root: Path) -> dict[str, int]:
    """Total and available memory in bytes, from /proc/meminfo (which counts in KiB)."""
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB$", read_text(root / "proc/meminfo"), re.MULTILINE))
    return {
        "total_bytes": int(fields.get("MemTotal", 0)) * 1024,
        "available_bytes": int(fields.get("MemAvailable", 0)) * 1024,
    }


def disk(path: str, root: Path) -> dict[str, Any]:
    """Mount point, size and free bytes (for an ordinary user) of the file system that holds, or will hold, ``path``."""
    existing = root / path.lstrip("/")
    while not existing.exists():
        existing = existing.parent
    mount = existing
    while not os.path.ismount(mount) and mount != root:
        mount = mount.parent
    status = os.statvfs(existing)
    return {
        "mount": "/" + str(mount.relative_to(root)).lstrip("."),
        "total_bytes": status.f_blocks * status.f_frsize,
        "free_bytes": status.f_bavail * status.f_frsize,
    }


def docker_get(root: Path, path: str) -> Any:
    """The JSON answer of the Docker Engine API to a GET, or None when no engine answers."""
    try:
        response = unix_http.get(str(root / DOCKER_SOCKET), path, DOCKER_TIMEOUT_SECONDS)
        return json.loads(response.body) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def docker(root: Path) -> dict[str, Any]:
    """The engine and what it is driven with; an empty string for what is not there."""
    plugins = (path for path in COMPOSE_PLUGINS if os.access(root / path, os.X_OK))
    return {
        "client": shutil.which("docker") or "",
        "version": (docker_get(root, "/version") or {}).get("Version", ""),
        "enabled": (root / DAEMON_ENABLED).exists(),
        # Settings of the future, written while the clock was wrong, would be newer than every start.
        "outdated": 0 < modified(root / DAEMON_PID) < modified(root / DAEMON_SETTINGS) <= time.time(),
        "compose": next((f"/{path}" for path in plugins), ""),
        "foreign_settings": foreign_settings(root),
    }


def modified(path: Path) -> float:
    """When a file was last written, in seconds since the epoch; 0 for one that is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0


def foreign_settings(root: Path) -> list[str]:
    """Names of the settings in a daemon.json that the role ``docker_host`` has not written."""
    text = read_text(root / DAEMON_SETTINGS)
    if not text.strip() or (root / DOCKER_HOST_MANIFEST).exists():
        return []
    try:
        return sorted(json.loads(text))
    except ValueError:
        return ["something that is not JSON"]


def installed_packages(root: Path) -> dict[str, str]:
    """Version of every installed Debian package, from dpkg's own record (dpkg-query(1), status file)."""
    stanzas = read_text(root / "var/lib/dpkg/status").split("\n\n")
    # Installed is the last of the three words; the first is "hold" where upgrades are kept away, as Docker often is.
    installed = (stanza for stanza in stanzas if re.search(r"^Status: \S+ \S+ installed$", stanza, re.MULTILINE))
    return {
        fields["Package"]: fields["Version"]
        for fields in (dict(re.findall(r"^(Package|Version): (.*)$", stanza, re.MULTILINE)) for stanza in installed)
    }


def server(root: Path) -> str:
    """What tells this server from every other: copies of one image may share the id, and containers the boot."""
    parts = (read_text(root / path).strip() for path in ("etc/machine-id", "proc/sys/kernel/random/boot_id"))
    return "/".join(parts)


def stack(name: str, root: Path) -> dict[str, Any]:
    """What a stack of this host runs, and what its containers, running or not, take: ports, bytes, processors.

    While a release is switched two engines run side by side, so the larger engine counts twice.
    """
    home = root / "opt/ballast" / name
    settings = read_json(home / "active/gateway/gateway/service.json")
    found: dict[str, Any] = {
        "release": link_name(home / "current"),
        "environment": read_json(root / "etc/ballast" / name / "stack.json").get("environment", ""),
        "account": (settings.get("probe") or {}).get("account", ""),
        "lock": read_json(root / "var/lib/ballast" / name / "control/lock.json"),
        "ports": [],
        "memory_bytes": 0,
        "cpus": 0.0,
    }
    for service in ("gateway", "engine"):
        slots = ("",) if service == "gateway" else tuple(f"-{slot}" for slot in SLOTS)
        answers = (docker_get(root, f"/containers/ballast-{name}-{service}{slot}/json") for slot in slots)
        limits = [answer["HostConfig"] for answer in answers if answer]
        found["memory_bytes"] += len(slots) * max((limit["Memory"] for limit in limits), default=0)
        found["cpus"] += len(slots) * max((limit["NanoCpus"] for limit in limits), default=0) / 1e9
        bindings = (each for limit in limits for each in (limit.get("PortBindings") or {}).values())
        found["ports"] += [int(one["HostPort"]) for some in bindings for one in some or () if one.get("HostPort")]
    return found


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one: what is missing or damaged is judged elsewhere."""
    try:
        document = json.loads(read_text(path))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def link_name(path: Path) -> str | None:
    """The name of what a symbolic link points at, or None."""
    try:
        return path.readlink().name
    except OSError:
        return None


def listening_ports(root: Path) -> list[dict[str, Any]]:
    """Every listening TCP port with the process and the container that own it, as far as either can be told.

    A port that Docker forwards in the kernel has no listening socket, so the engine's own list is read as well.
    """
    owners = socket_owners(root)
    containers = published_ports(root)
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for address, port, inode in listening_sockets(root):
        pid, process = owners.get(inode, (0, ""))
        found[(port, address)] = {"port": port, "address": address, "pid": pid, "process": process, "container": ""}
    for (port, address), container in containers.items():
        entry = {"port": port, "address": address, "pid": 0, "process": "", "container": ""}
        found.setdefault((port, address), entry)["container"] = container
    return [found[key] for key in sorted(found)]


def listening_sockets(root: Path) -> Iterator[tuple[str, int, str]]:
    """(address, port, inode) of each listening socket, from /proc/net/tcp and tcp6 (proc_net_tcp.rst)."""
    for name in ("tcp", "tcp6"):
        for line in read_text(root / "proc/net" / name).splitlines()[1:]:
            fields = line.split()
            if fields[3] == TCP_LISTEN:
                address, port = fields[1].split(":")
                yield decode_address(address), int(port, 16), fields[9]


def decode_address(text: str) -> str:
    """An address as the kernel prints it (32-bit words in host order, little-endian here) in its usual notation."""
    packed = b"".join(bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8))
    address = ipaddress.ip_address(packed)
    return str(getattr(address, "ipv4_mapped", None) or address)


def socket_owners(root: Path) -> dict[str, tuple[int, str]]:
    """(pid, command) by socket inode, for every process that we may look into."""
    return {
        inode: (int(process.name), read_text(process / "comm").strip())
        for process in (root / "proc").glob("[0-9]*")
        for inode in socket_inodes(process)
    }


def socket_inodes(process: Path) -> list[str]:
    """The inodes of a process's sockets; none when it has ended, or belongs to somebody else."""
    try:
        targets = [os.readlink(descriptor.path) for descriptor in os.scandir(process / "fd")]  # noqa: PTH115 -- thousands
    except OSError:
        return []
    return [target[len("socket:[") : -1] for target in targets if target.startswith("socket:[")]


def published_ports(root: Path) -> dict[tuple[int, str], str]:
    """Name of the running container by the (port, address) it publishes on the host."""
    return {
        (port["PublicPort"], port["IP"]): container["Names"][0].lstrip("/")
        for container in docker_get(root, "/containers/json") or ()
        for port in container["Ports"]
        if port["Type"] == "tcp" and "PublicPort" in port
    }


# ---------------------------------------------------------------------------------------------------------------- judge


def judge(facts: Mapping[str, Any], requirements: Requirements) -> list[Problem]:
    """Everything about the host that would make a deploy fail, in the order an operator would look."""
    return [
        *judge_system(facts),
        *judge_disks(facts, requirements),
        *judge_memory(facts, requirements),
        *judge_ports(facts, requirements),
        *judge_docker(facts),
    ]


def judge_system(facts: Mapping[str, Any]) -> Iterator[Problem]:
    """Distribution, architecture, service manager and rights."""
    found = facts["os"]
    if found["version"] not in SUPPORTED_OS.get(found["id"], ()):
        yield Problem(
            where="host: operating system",
            seen=found["name"] or "no /etc/os-release",
            wanted="Debian 12 or Debian 13",
            fix="Deploy to a host that runs a supported release, or upgrade this one.",
        )
    if facts["architecture"] not in SUPPORTED_ARCHITECTURES:
        yield Problem(
            where="host: architecture",
            seen=facts["architecture"],
            wanted="amd64 or arm64",
            fix="Deploy to a 64-bit x86 or ARM host: the gateway image is built for no other.",
        )
    if not facts["init"]["systemd"]:
        yield Problem(
            where="host: service manager",
            seen=f"process 1 is {facts['init']['name'] or 'unknown'}",
            wanted="systemd",
            fix="Boot the host with systemd: every container of the stack is owned by a systemd unit.",
        )
    if facts["user"]["uid"] != 0:
        yield Problem(
            where="host: privileges",
            seen=f"user {facts['user']['name']} (uid {facts['user']['uid']})",
            wanted="root",
            fix="Set 'become: true' in the play, or 'ansible_become: true' in the inventory.",
        )


def judge_disks(facts: Mapping[str, Any], requirements: Requirements) -> Iterator[Problem]:
    """Free space, once per file system however many of the paths it holds."""
    by_mount: dict[str, list[str]] = {}
    for path in requirements.paths:
        by_mount.setdefault(facts["disks"][path]["mount"], []).append(path)
    for mount, paths in by_mount.items():
        free = facts["disks"][paths[0]]["free_bytes"]
        if free < requirements.min_free_gb * GIBIBYTE:
            yield Problem(
                where=f"host: disk space on {mount} (holds {', '.join(paths)})",
                seen=f"{free / GIBIBYTE:.1f} GiB free",
                wanted=f"at least {requirements.min_free_gb:g} GiB free",
                fix="Free or add space ('docker system df' shows what images hold), or lower preflight_min_free_gb.",
            )


def judge_memory(facts: Mapping[str, Any], requirements: Requirements) -> Iterator[Problem]:
    """Installed memory: what is free at the moment says nothing about a host that already runs the stack."""
    total = facts["memory"]["total_bytes"]
    if total < requirements.min_memory_mb * MEBIBYTE:
        yield Problem(
            where="host: memory",
            seen=f"{total // MEBIBYTE} MiB",
            wanted=f"at least {requirements.min_memory_mb} MiB",
            fix="Use a larger host, or lower preflight_min_memory_mb and the containers' memory limits.",
        )


def judge_docker(facts: Mapping[str, Any]) -> Iterator[Problem]:
    """Settings of the Docker Engine that somebody else made and the role ``docker_host`` would replace."""
    foreign = facts["docker"]["foreign_settings"]
    if foreign:
        yield Problem(
            where=f"host: /{DAEMON_SETTINGS}",
            seen=f"not written by this collection, sets {', '.join(foreign)}",
            wanted="settings that docker_host_daemon_options knows",
            fix="Copy what you need into docker_host_daemon_options, then move the file away.",
        )


def judge_ports(facts: Mapping[str, Any], requirements: Requirements) -> Iterator[Problem]:
    """Ports that somebody else holds on an address which the stack wants to publish; only root can tell who does."""
    if facts["user"]["uid"] != 0:
        return
    for wanted in requirements.ports:
        for holder in facts["ports"]:
            conflicts = holder["address"] in (wanted.address, *WILDCARDS) or wanted.address in WILDCARDS
            if holder["port"] == wanted.port and conflicts and holder["container"] not in wanted.containers:
                yield Problem(
                    where=f"host: port {wanted.address}:{wanted.port}",
                    seen=f"taken by {describe_holder(holder)}",
                    wanted=f"free, or held by {' or '.join(wanted.containers) or 'nobody'}",
                    fix=f"Stop that program, or choose another port with {wanted.variable}.",
                )
                break


def describe_holder(holder: Mapping[str, Any]) -> str:
    """Who listens, in the words an operator would use to find it."""
    if holder["container"]:
        ours = re.fullmatch(r"ballast-(.+)-gateway", holder["container"])
        return f"stack {ours[1]} (container {ours[0]})" if ours else f"container {holder['container']}"
    if holder["process"]:
        return f"process {holder['process']} (pid {holder['pid']})"
    return "a program that cannot be named: no process has the socket open"
