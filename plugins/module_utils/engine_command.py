# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command of an engine's image in a container of its own (docs/engine-contract.md, Commands).

It has the image, environment and mounts of the release, and needs neither the engine's container nor its process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from . import commands
from .releases import EMERGENCY, Release
from .stack import Stack

# Docker takes a second or two to make the container; on a busy host more.
START_SECONDS = 30.0


def keeps_contract(release: Release) -> bool:
    """Whether the engine of a release has the contract's commands. Raises OSError, ValueError, KeyError."""
    return bool(release.service("engine")["probe"]["kind"] == "contract")


def has_commands(release: Release) -> bool:
    """Whether the release has an image with the contract's commands: the engine's, or one for emergencies."""
    return EMERGENCY in release.manifest["images"] or keeps_contract(release)


def run_command(stack: Stack, release: Release, slot: str, words: Sequence[str], timeout: float) -> commands.Outcome:
    """Run ``words``, such as ``flatten --reason ...``, to their end; ``timeout`` is what they may take themselves.

    Raises CommandError when docker cannot do it, or the image is not on this host: nothing is pulled.
    """
    folder = release.path / "engine"
    service = EMERGENCY if EMERGENCY in release.manifest["images"] else "engine"
    environment = {"BALLAST_SLOT": slot, "BALLAST_RELEASE": release.id, "BALLAST_ROLE": "standby"}
    program = _program(folder, service, release.manifest["images"][service]["pinned"], environment)
    container = f"ballast-{stack.name}-command-{os.getpid()}"
    compose = ["run", "--rm", "--no-deps", "--no-TTY", "--name", container, service]
    try:
        return commands.outcome(
            [*commands.compose_command(folder, container), *compose, *program, *words],
            timeout=timeout + START_SECONDS,
            env=environment,
        )
    except BaseException:
        # The client is gone, its container is not.
        with suppress(commands.CommandError):
            commands.run(["docker", "container", "rm", "--force", container])
        raise


def _program(folder: Path, service: str, image: str, environment: dict[str, str]) -> list[str]:
    """What the service's container runs, without its entrypoint: that of the compose file, else the image's own."""
    (inspected,) = json.loads(commands.run(["docker", "image", "inspect", image]))
    words = ["--profile", EMERGENCY, "config", "--format", "json"]
    document = json.loads(commands.compose(folder, "ballast-check", *words, env=environment))
    command = document["services"][service].get("command") or inspected["Config"].get("Cmd")
    # What is printed could be read as a compose file again, where a dollar stands for itself only when doubled.
    return [word.replace("$$", "$") for word in command or []]
