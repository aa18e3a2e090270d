# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host is read from its files and its Docker socket, and judged with one problem for each thing it lacks."""

from __future__ import annotations

import copy
import json
import os
import platform
import socketserver
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import host_facts
from ansible_collections.ballast.trading.plugins.module_utils.host_facts import (
    GIBIBYTE,
    MEBIBYTE,
    Problem,
    Requirements,
    WantedPort,
    judge,
)

OS_RELEASE = """\
PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
VERSION_ID="13"
VERSION_CODENAME=trixie
ID=debian
"""
MEMINFO = "MemTotal:        4026532 kB\nMemFree:          100000 kB\nMemAvailable:    2097152 kB\n"
ANYWHERE = "0.0.0.0"  # noqa: S104 -- read, not listened on


def sockets(*rows: tuple[str, str, int]) -> str:
    """A table of (local address, state, inode) as /proc/net/tcp has it."""
    lines = (
        f"  {number}: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0"
        for number, (address, state, inode) in enumerate(rows)
    )
    return "\n".join(["  sl  local_address rem_address   st tx_queue rx_queue tr ... inode", *lines, ""])


SOCKETS = sockets(("0100007F:0FA2", "0A", 777), ("00000000:0016", "0A", 778), ("0100007F:0FA3", "01", 779))
SOCKETS_6 = sockets(
    ("0000000000000000FFFF00000100007F:1F90", "0A", 880), ("00000000000000000000000001000000:1F91", "0A", 881)
)
CONTAINERS = [
    {
        "Names": ["/ballast-paper-main-gateway"],
        "Ports": [
            {"IP": "127.0.0.1", "PrivatePort": 4004, "PublicPort": 4002, "Type": "tcp"},
            {"IP": ANYWHERE, "PrivatePort": 53, "PublicPort": 53, "Type": "udp"},
            {"PrivatePort": 5900, "Type": "tcp"},
        ],
    },
    # Docker forwards this one in the kernel: nothing in /proc listens.
    {"Names": ["/web"], "Ports": [{"IP": ANYWHERE, "PrivatePort": 80, "PublicPort": 8088, "Type": "tcp"}]},
]


# What the engine says of the containers of a stack that has both engines.
LIMITS = {
    "ballast-paper-main-gateway": {
        "Memory": 2 * GIBIBYTE,
        "NanoCpus": 2_000_000_000,
        "PortBindings": {"4004/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4002"}], "5900/tcp": None},
    },
    "ballast-paper-main-engine-blue": {"Memory": 1 * GIBIBYTE, "NanoCpus": 500_000_000, "PortBindings": {}},
    "ballast-paper-main-engine-green": {"Memory": 0, "NanoCpus": 1_000_000_000, "PortBindings": None},
}


def write(root: Path, path: str, text: str) -> Path:
    """Write a file of the host that ``root`` stands for."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


@pytest.fixture(name="root")
def host_folder(tmp_path: Path) -> Path:
    """A folder that looks like a Debian 13 host booted with systemd, with two listening processes."""
    write(tmp_path, "etc/os-release", OS_RELEASE)
    write(tmp_path, "etc/passwd", f"root:x:0:0::/root:/bin/bash\nme:x:{os.geteuid() or 1000}:1::/:/bin/sh\n")
    write(tmp_path, "proc/meminfo", MEMINFO)
    write(tmp_path, "proc/1/comm", "systemd\n")
    write(tmp_path, "proc/net/tcp", SOCKETS)
    write(tmp_path, "proc/net/tcp6", SOCKETS_6)
    for pid, name, inode in ((812, "docker-proxy", 777), (90, "sshd", 778)):
        write(tmp_path, f"proc/{pid}/comm", f"{name}\n")
        (tmp_path / f"proc/{pid}/fd").mkdir()
        (tmp_path / f"proc/{pid}/fd/3").symlink_to(f"socket:[{inode}]")
        (tmp_path / f"proc/{pid}/fd/4").symlink_to("/dev/null")
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "var/lib").mkdir(parents=True)
    return tmp_path


class DockerApi(BaseHTTPRequestHandler):
    """The answers of the Docker Engine that are asked for."""

    def address_string(self) -> str:
        """Nothing to say of a client on a unix socket."""
        return ""

    def do_GET(self) -> None:
        """Answer /version, /containers/json and /containers/<name>/json."""
        answer: Any = {"/version": {"Version": "26.1.5"}, "/containers/json": CONTAINERS}.get(self.path)
        if answer is None and (limits := LIMITS.get(self.path.split("/")[2])):
            answer = {"HostConfig": limits}
        body = json.dumps(answer).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""


@pytest.fixture(name="docker")
def docker_engine(root: Path) -> Iterator[None]:
    """A Docker Engine and a Compose plugin on that host."""
    write(root, "usr/libexec/docker/cli-plugins/docker-compose", "").chmod(0o755)
    server = socketserver.ThreadingUnixStreamServer(str(root / host_facts.DOCKER_SOCKET), DockerApi)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("docker")
def test_the_facts_of_a_host(root: Path) -> None:
    facts = host_facts.gather(["/var/lib", "/var/lib/not/yet/there"], root)
    assert facts["os"] == {
        "id": "debian",
        "version": "13",
        "codename": "trixie",
        "name": "Debian GNU/Linux 13 (trixie)",
    }
    assert facts["kernel"] == platform.release()
    assert facts["init"] == {"name": "systemd", "systemd": True}
    assert facts["memory"] == {"total_bytes": 4026532 * 1024, "available_bytes": 2 * GIBIBYTE}
    assert facts["user"] == {"uid": os.geteuid(), "name": "me" if os.geteuid() else "root"}
    assert facts["docker"]["version"] == "26.1.5"
    assert facts["docker"]["compose"] == "/usr/libexec/docker/cli-plugins/docker-compose"
    assert facts["disks"].keys() == {"/var/lib", "/var/lib/not/yet/there"}
    assert facts["disks"]["/var/lib"]["mount"] == facts["disks"]["/var/lib/not/yet/there"]["mount"] == "/"
    assert 0 < facts["disks"]["/var/lib"]["free_bytes"] <= facts["disks"]["/var/lib"]["total_bytes"]
    assert facts["ports"] == [
        {"port": 22, "address": ANYWHERE, "pid": 90, "process": "sshd", "container": ""},
        {
            "port": 4002,
            "address": "127.0.0.1",
            "pid": 812,
            "process": "docker-proxy",
            "container": "ballast-paper-main-gateway",
        },
        {"port": 8080, "address": "127.0.0.1", "pid": 0, "process": "", "container": ""},
        {"port": 8081, "address": "::1", "pid": 0, "process": "", "container": ""},
        {"port": 8088, "address": ANYWHERE, "pid": 0, "process": "", "container": "web"},
    ]


def test_only_installed_packages_are_facts(tmp_path: Path) -> None:
    record = tmp_path / "var/lib/dpkg/status"
    record.parent.mkdir(parents=True)
    record.write_text(
        "Package: zstd\nStatus: install ok installed\nVersion: 1.5.7\nDescription: fast\n Version: no\n\n"
        "Package: cron\nStatus: deinstall ok config-files\nVersion: 3.0\n\n"
        "Package: gpg\nStatus: install ok half-installed\nVersion: 2.4\n\n"
        "Package: docker-ce\nStatus: hold ok installed\nVersion: 5:28.0.1\n\n"
        "Package: age\nStatus: install ok installed\nVersion: 1.2.1\n"
    )
    expected = {"zstd": "1.5.7", "docker-ce": "5:28.0.1", "age": "1.2.1"}
    assert host_facts.gather([], tmp_path)["packages"] == expected


def test_a_stack_has_a_backup_when_it_has_one_that_is_whole(root: Path) -> None:
    write(root, f"{host_facts.BACKUPS}/paper-main/20261122T204501.123Z-trades.db.zst.manifest.json", "{}")
    write(root, f"{host_facts.BACKUPS}/paper-next/20261122T204501.123Z-trades.db.zst", "")
    assert host_facts.gather([], root)["backups"] == ["paper-main"]


@pytest.mark.usefixtures("docker")
def test_a_stack_of_the_host_says_what_it_takes(root: Path) -> None:
    write(root, "etc/ballast/paper-main/stack.json", '{"stack": "paper-main", "environment": "paper"}')
    home = root / "opt/ballast/paper-main"
    write(home, "releases/20261122T204501Z-3fa9c1d2/gateway/service.json", '{"probe": {"account": "DU1234567"}}')
    (home / "active").mkdir()
    (home / "active/gateway").symlink_to("../releases/20261122T204501Z-3fa9c1d2")
    (home / "current").symlink_to("releases/20261122T204501Z-3fa9c1d2")
    write(root, "var/lib/ballast/paper-main/control/lock.json", '{"user": "jane"}')
    write(root, "etc/ballast/damaged/stack.json", "{")
    assert host_facts.gather([], root)["stacks"] == {
        "paper-main": {
            "release": "20261122T204501Z-3fa9c1d2",
            "environment": "paper",
            "account": "DU1234567",
            "lock": {"user": "jane"},
            "ports": [4002],
            # Two engines of the larger size: a switch runs both.
            "memory_bytes": 4 * GIBIBYTE,
            "cpus": 4.0,
        },
        "damaged": {
            "release": None,
            "environment": "",
            "account": "",
            "lock": {},
            "ports": [],
            "memory_bytes": 0,
            "cpus": 0.0,
        },
    }


def test_two_names_of_a_server_have_one_identity_and_copies_of_a_server_have_their_own(root: Path) -> None:
    boot = "proc/sys/kernel/random/boot_id"
    write(root, "etc/machine-id", "0123456789abcdef\n")
    write(root, boot, "11111111-2222\n")
    first = host_facts.gather([], root)["server"]
    assert first == host_facts.gather([], root)["server"] != "/"
    write(root, boot, "33333333-4444\n")
    assert host_facts.gather([], root)["server"] != first


def test_a_host_that_has_nothing_yields_empty_facts(tmp_path: Path) -> None:
    facts = host_facts.gather(["/opt"], tmp_path)
    assert facts["os"] == {"id": "", "version": "", "codename": "", "name": ""}
    assert facts["user"]["name"] == str(os.geteuid())
    assert facts["init"] == {"name": "", "systemd": False}
    assert facts["memory"] == {"total_bytes": 0, "available_bytes": 0}
    assert (facts["docker"]["version"], facts["docker"]["compose"]) == ("", "")
    assert facts["ports"] == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"data-root": "/srv/docker", "bip": "10.9.0.1/24"}', "bip, data-root"),
        ("{broken", "something that is not JSON"),
    ],
)
def test_settings_of_docker_that_somebody_else_made_are_not_replaced(root: Path, text: str, names: str) -> None:
    write(root, host_facts.DAEMON_SETTINGS, text)
    assert list(host_facts.judge_docker({"docker": host_facts.docker(root)})) == [
        Problem(
            where="host: /etc/docker/daemon.json",
            seen=f"not written by this collection, sets {names}",
            wanted="settings that docker_host_daemon_options knows",
            fix="Copy what you need into docker_host_daemon_options, then move the file away.",
        )
    ]
    write(root, host_facts.DOCKER_HOST_MANIFEST, "{}")
    assert list(host_facts.judge_docker({"docker": host_facts.docker(root)})) == []


@pytest.mark.parametrize(
    ("written", "started", "outdated"),
    [(-20, -10, False), (-10, -20, True), (-10, None, False), (None, -10, False), (3600, -10, False)],
    ids=["settings before start", "start before settings", "not running", "no settings", "settings of a wrong clock"],
)
def test_an_engine_is_outdated_when_it_was_started_before_its_settings_were_written(
    root: Path, written: int | None, started: int | None, outdated: bool
) -> None:
    for name, seconds in ((host_facts.DAEMON_SETTINGS, written), (host_facts.DAEMON_PID, started)):
        if seconds is not None:
            moment = time.time() + seconds
            os.utime(write(root, name, "{}"), (moment, moment))
    assert host_facts.docker(root)["outdated"] is outdated


def test_a_compose_plugin_that_cannot_be_run_counts_as_none(root: Path) -> None:
    write(root, "usr/libexec/docker/cli-plugins/docker-compose", "").chmod(0o644)
    assert host_facts.docker(root)["compose"] == ""


@pytest.mark.parametrize(("machine", "name"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")])
def test_architectures_have_their_debian_name(
    root: Path, monkeypatch: pytest.MonkeyPatch, machine: str, name: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert host_facts.gather([], root)["architecture"] == name


def test_this_machine_can_be_read() -> None:
    facts = host_facts.gather(["/"])
    assert facts["memory"]["total_bytes"] > 0
    assert facts["disks"]["/"]["mount"] == "/"
    assert facts["disks"]["/"]["total_bytes"] > 0


GATEWAY = "ballast-paper-main-gateway"
FACTS: dict[str, Any] = {
    "os": {"id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"},
    "architecture": "amd64",
    "user": {"uid": 0, "name": "root"},
    "init": {"name": "systemd", "systemd": True},
    "memory": {"total_bytes": 2048 * MEBIBYTE, "available_bytes": 0},
    "disks": {
        "/var/lib": {"mount": "/", "total_bytes": 9 * GIBIBYTE, "free_bytes": 2 * GIBIBYTE},
        "/opt": {"mount": "/", "total_bytes": 9 * GIBIBYTE, "free_bytes": 2 * GIBIBYTE},
        "/var/backups": {"mount": "/var/backups", "total_bytes": 9 * GIBIBYTE, "free_bytes": 5 * GIBIBYTE},
    },
    "ports": [],
    "docker": {"foreign_settings": []},
}
REQUIREMENTS = Requirements(
    paths=("/var/lib", "/opt", "/var/backups"),
    min_free_gb=2,
    min_memory_mb=2048,
    ports=(WantedPort(4002, variable="ib_gateway_api_port", containers=(GATEWAY,)),),
)


def holder(address: str = "127.0.0.1", port: int = 4002, process: str = "", container: str = "") -> dict[str, Any]:
    """A listening port as the facts have it."""
    return {"port": port, "address": address, "pid": 7 if process else 0, "process": process, "container": container}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"os": {"id": "debian", "version": "12", "codename": "bookworm", "name": "Debian GNU/Linux 12 (bookworm)"}},
        {"architecture": "arm64"},
        {"ports": [holder(container=GATEWAY, process="docker-proxy")]},
        {"ports": [holder(port=4003, process="java")]},
        {"ports": [holder(address="10.0.0.5", process="java")]},
        {"ports": [holder(address="::1", process="java")]},
    ],
    ids=str,
)
def test_a_good_host_has_no_problem(changes: dict[str, Any]) -> None:
    assert judge({**FACTS, **changes}, REQUIREMENTS) == []


PORT = "host: port 127.0.0.1:4002"
FREE = f"free, or held by {GATEWAY}"
STOP = "Stop that program, or choose another port with ib_gateway_api_port."
DEBIAN = "Debian 12 or Debian 13"
SUPPORTED_RELEASE = "Deploy to a host that runs a supported release, or upgrade this one."


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"os": {"id": "ubuntu", "version": "24.04", "codename": "noble", "name": "Ubuntu 24.04.1 LTS"}},
            ("host: operating system", "Ubuntu 24.04.1 LTS", DEBIAN, SUPPORTED_RELEASE),
        ),
        (
            {"os": {"id": "debian", "version": "11", "codename": "bullseye", "name": "Debian GNU/Linux 11 (bullseye)"}},
            ("host: operating system", "Debian GNU/Linux 11 (bullseye)", DEBIAN, SUPPORTED_RELEASE),
        ),
        (
            {"os": {"id": "", "version": "", "codename": "", "name": ""}},
            ("host: operating system", "no /etc/os-release", DEBIAN, SUPPORTED_RELEASE),
        ),
        (
            {"architecture": "riscv64"},
            (
                "host: architecture",
                "riscv64",
                "amd64 or arm64",
                "Deploy to a 64-bit x86 or ARM host: the gateway image is built for no other.",
            ),
        ),
        (
            {"init": {"name": "init", "systemd": False}},
            (
                "host: service manager",
                "process 1 is init",
                "systemd",
                "Boot the host with systemd: every container of the stack is owned by a systemd unit.",
            ),
        ),
        (
            {"user": {"uid": 1000, "name": "admin"}, "ports": [holder()]},  # whose port it is, only root can tell
            (
                "host: privileges",
                "user admin (uid 1000)",
                "root",
                "Set 'become: true' in the play, or 'ansible_become: true' in the inventory.",
            ),
        ),
        (
            {"memory": {"total_bytes": 512 * MEBIBYTE, "available_bytes": 0}},
            (
                "host: memory",
                "512 MiB",
                "at least 2048 MiB",
                "Use a larger host, or lower preflight_min_memory_mb and the containers' memory limits.",
            ),
        ),
        ({"ports": [holder(process="java")]}, (PORT, "taken by process java (pid 7)", FREE, STOP)),
        (
            {"ports": [holder(address=ANYWHERE, process="docker-proxy", container="ib")]},
            (PORT, "taken by container ib", FREE, STOP),
        ),
        (
            {"ports": [holder(address="::", process="java"), holder(process="java")]},
            (PORT, "taken by process java (pid 7)", FREE, STOP),
        ),
        (
            {"ports": [holder()]},
            (PORT, "taken by a program that cannot be named: no process has the socket open", FREE, STOP),
        ),
    ],
    ids=str,
)
def test_what_a_host_lacks_is_one_problem_with_its_fix(
    changes: dict[str, Any], expected: tuple[str, str, str, str]
) -> None:
    assert judge({**FACTS, **changes}, REQUIREMENTS) == [Problem(*expected)]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", ANYWHERE, "::"])
def test_a_port_that_is_wanted_on_every_address_must_be_free_on_each(address: str) -> None:
    wanted = Requirements(ports=(WantedPort(4002, ANYWHERE, "x_port"),))
    problems = judge({**FACTS, "ports": [holder(address, process="java")]}, wanted)
    assert [problem.where for problem in problems] == [f"host: port {ANYWHERE}:4002"]


def test_a_full_file_system_is_one_problem_for_all_it_holds() -> None:
    facts = copy.deepcopy(FACTS)
    for path in ("/var/lib", "/opt"):
        facts["disks"][path]["free_bytes"] = GIBIBYTE // 2
    assert judge(facts, REQUIREMENTS) == [
        Problem(
            "host: disk space on / (holds /var/lib, /opt)",
            "0.5 GiB free",
            "at least 2 GiB free",
            "Free or add space ('docker system df' shows what images hold), or lower preflight_min_free_gb.",
        )
    ]


def test_all_problems_of_a_host_are_reported_at_once() -> None:
    facts = {
        **FACTS,
        "architecture": "i686",
        "memory": {"total_bytes": 0, "available_bytes": 0},
        "ports": [holder(process="java")],
    }
    assert [problem.where for problem in judge(facts, REQUIREMENTS)] == ["host: architecture", "host: memory", PORT]
