# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of the host that we drive: docker, docker compose, systemctl and journalctl."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


class CommandError(Exception):
    """A command failed, could not be run, or took too long. The text names the command, its status and its output."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended; whether its status is a failure is for the caller to say."""

    status: int
    output: str
    complaints: str


def outcome(
    command: list[str], timeout: float = 60, env: dict[str, str] | None = None, *, with_errors: bool = False
) -> Outcome:
    """Run ``command`` to its end; ``with_errors``: its complaints are part of its output.

    Raises CommandError when it cannot be run, or does not end within ``timeout`` seconds.
    """
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if with_errors else subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
        )
    except FileNotFoundError:
        raise CommandError(f"`{shown}`: {command[0]} is not installed") from None
    except OSError as error:
        raise CommandError(f"`{shown}`: {command[0]} cannot be run ({error})") from error
    except subprocess.TimeoutExpired:
        raise CommandError(f"`{shown}` did not finish within {timeout:g} s") from None
    return Outcome(done.returncode, done.stdout, done.stderr or "")


def run(
    command: list[str], timeout: float = 60, env: dict[str, str] | None = None, *, with_errors: bool = False
) -> str:
    """Standard output of ``command``, ``with_errors`` what it wrote to standard error as well.

    Raises CommandError when it fails; ``timeout`` is in seconds.
    """
    done = outcome(command, timeout, env, with_errors=with_errors)
    if done.status:
        output = (done.complaints.strip() or done.output.strip() or "no output")[-2000:]
        raise CommandError(f"`{' '.join(command)}` failed with status {done.status}: {output}")
    return done.output


# ---- containers ------------------------------------------------------------------------------------------------------


def container(name: str) -> dict[str, Any] | None:
    """`docker inspect` of a container, or None when there is none of that name."""
    try:
        documents: list[dict[str, Any]] = json.loads(run(["docker", "container", "inspect", name]))
    except CommandError as error:
        if "No such container" in str(error):
            return None
        raise
    return documents[0]


def stop_container(name: str, grace_seconds: float) -> None:
    """Stop a container with its own stop signal; returns once docker reports it stopped, or it never existed."""
    try:
        run(["docker", "stop", "-t", str(int(grace_seconds)), name], timeout=grace_seconds + 30)
    except CommandError as error:
        if "No such container" not in str(error):
            raise


def container_log(name: str, since: str, lines: int) -> str:
    """The newest ``lines`` lines that a container has written, to either stream, since a moment (RFC 3339)."""
    return run(["docker", "logs", "--since", since, "--tail", str(lines), name], with_errors=True)


def started_at(state: dict[str, Any]) -> float:
    """The epoch second at which a container in this state (its part of `docker inspect`) was started."""
    # RFC 3339 with nanoseconds, which Python 3.9 does not read.
    return datetime.strptime(state["StartedAt"][:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z").timestamp()


def remove_network(name: str) -> None:
    """Remove a docker network; one that does not exist is fine."""
    if run(["docker", "network", "ls", "--quiet", "--filter", f"name=^{name}$"]).strip():
        run(["docker", "network", "rm", name])


def compose(
    directory: Path, project: str, *arguments: str, env: dict[str, str] | None = None, timeout: float = 120
) -> str:
    """Run `docker compose` on ``directory``/compose.yaml (with the .env beside it)."""
    return run([*compose_command(directory, project), *arguments], timeout=timeout, env=env)


def compose_command(directory: Path, project: str) -> list[str]:
    base = ["docker", "compose", "--project-name", project, "--project-directory", str(directory)]
    return [*base, "--file", str(directory / "compose.yaml")]


def image_digest(reference: str) -> str | None:
    """What pins ``reference`` on this host: repository@sha256:..., or the id of an image that has no digest.

    None when the image is not here.
    """
    try:
        document = json.loads(run(["docker", "image", "inspect", reference]))[0]
    except CommandError as error:
        if "No such image" in str(error):
            return None
        raise
    repository, _at, digest = reference.partition("@")
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    if digest:
        return f"{repository}@{digest}"
    digests = [known for known in document.get("RepoDigests") or [] if known.split("@")[0] == repository]
    return str(digests[0] if digests else document["Id"])


def pull_image(reference: str) -> None:
    run(["docker", "pull", "--quiet", reference], timeout=1800)


# ---- units -----------------------------------------------------------------------------------------------------------


def unit(name: str) -> dict[str, str]:
    """Properties of a systemd unit that say whether it runs, or is about to, and how it last ended."""
    properties = "ActiveState,SubState,Job,Result,NRestarts,ExecMainStatus,StatusText,UnitFileState"
    output = run(["systemctl", "show", "--property", properties, name])
    return dict(line.partition("=")[::2] for line in output.splitlines())


def systemctl(*arguments: str, timeout: float = 60) -> None:
    run(["systemctl", *arguments], timeout=timeout)


def forget_failures(unit_name: str) -> None:
    """Clear what a unit's earlier runs left: its failed state, its count of restarts, and the limit on its starts."""
    try:
        systemctl("reset-failed", unit_name)
    except CommandError as error:
        if "not loaded" not in str(error):
            raise


def journal(unit_name: str, since: float, lines: int = 15) -> list[str]:
    """The last ``lines`` lines that the processes of a unit wrote since the epoch second ``since``."""
    command = [
        "journalctl",
        f"_SYSTEMD_UNIT={unit_name}",
        "--since",
        f"@{since:.3f}",
        "--lines",
        str(lines),
        "--output",
        "cat",
        "--no-pager",
        "--quiet",
    ]
    return run(command).splitlines()
