# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's Docker Engine: used where it answers; where not, root gets one installed and started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import docker
from docker.errors import DockerException

from .checkout import LabError, locked, run, say

PID_FILE = Path("/run/ballast-lab/dockerd.pid")
LOG_FILE = Path("/var/log/ballast-lab/dockerd.log")
START_SECONDS = 60


def connect() -> docker.DockerClient:
    """A client of the engine that answers; raises LabError if none does."""
    client = _answering()
    if client is None:
        raise LabError("no Docker Engine answers; run 'python -m tests.lab engine' as root, or start yours")
    return client


def answers() -> bool:
    """Whether an engine answers."""
    return _answering() is not None


def ensure() -> None:
    """Make an engine answer: nothing to do where one does, else (as root, on Debian) install and start it."""
    with locked("engine"):
        if _answering() is not None:
            return
        if os.geteuid() != 0:
            raise LabError("no Docker Engine answers and only root can start one; start yours, or join group docker")
        if shutil.which("dockerd") is None:
            install_packages("docker.io", "iptables")
        if Path("/run/systemd/system").exists():
            run(["systemctl", "start", "docker"])
        else:
            _start()


def stop() -> None:
    """Stop the engine if it is one that we started."""
    pid = _pid_of("dockerd", PID_FILE)
    if pid is None:
        return
    say(f"stopping the engine that the lab started (process {pid})")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + START_SECONDS
    while _pid_of("dockerd", PID_FILE) == pid:
        if time.monotonic() > deadline:
            raise LabError(f"dockerd (process {pid}) did not stop within {START_SECONDS} s; see {LOG_FILE}")
        time.sleep(0.1)


def install_packages(*names: str) -> None:
    """Install Debian packages on this machine."""
    if shutil.which("apt-get") is None:
        raise LabError(f"install these yourself, as there is no apt-get here: {' '.join(names)}")
    say(f"installing {' '.join(names)}")
    run(["apt-get", "--quiet", "update"])
    noninteractive = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run([*noninteractive, "apt-get", "--quiet", "install", "--yes", "--no-install-recommends", *names])


def _answering() -> docker.DockerClient | None:
    try:
        # Long, because a step of a build may say nothing for minutes.
        client = docker.from_env(timeout=900)
        client.ping()
    except DockerException:
        return None
    return client


def _start() -> None:
    for pid_file, program in ((PID_FILE, "dockerd"), (Path("/run/docker/containerd/containerd.pid"), "containerd")):
        # Left by a machine that went down; by now the number may be another process's, which would stop dockerd.
        if _pid_of(program, pid_file) is None:
            pid_file.unlink(missing_ok=True)
    _ensure_systemd_hierarchy()
    PID_FILE.parent.mkdir(parents=True, exist_ok=True)
    LOG_FILE.parent.mkdir(parents=True, exist_ok=True)
    say(f"starting dockerd (log: {LOG_FILE})")
    with LOG_FILE.open("ab") as log:
        process = subprocess.Popen(
            ["dockerd", "--pidfile", str(PID_FILE)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",  # it outlives the checkout that started it
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while _answering() is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"dockerd did not start; the end of {LOG_FILE}:\n{LOG_FILE.read_text()[-2000:]}")
        time.sleep(0.1)


def _ensure_systemd_hierarchy() -> None:
    # On cgroup v1 systemd in a container needs the hierarchy that systemd on the machine would have made.
    version_two = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    if not version_two and "name=systemd" not in Path("/proc/self/cgroup").read_text():
        directory = Path("/sys/fs/cgroup/systemd")
        directory.mkdir(exist_ok=True)
        run(["mount", "-t", "cgroup", "-o", "none,name=systemd", "cgroup", directory])


def _pid_of(program: str, pid_file: Path) -> int | None:
    # The number in the file, if that process exists and is the program.
    try:
        pid = int(pid_file.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if name == program else None
