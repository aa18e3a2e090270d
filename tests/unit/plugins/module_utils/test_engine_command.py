# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command of an engine's image, run in a container of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import commands
from ansible_collections.ballast.trading.plugins.module_utils.commands import CommandError, Outcome
from ansible_collections.ballast.trading.plugins.module_utils.engine_command import (
    has_commands,
    keeps_contract,
    run_command,
)
from tests.unit.plugins.module_utils.fake_host import FakeHost, deployed

CONTAINER = f"ballast-dev-main-command-{os.getpid()}"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(deployed(tmp_path), monkeypatch)


def test_the_words_follow_the_images_own_command_in_the_releases_setting(host: FakeHost) -> None:
    release = host.stage()
    host.command_ends = [Outcome(75, "report", "")]
    assert run_command(host.stack, release, "green", ["flatten", "--json"], 60) == Outcome(75, "report", "")
    folder = release.path / "engine"
    (command,) = host.commands
    assert command == [
        *("docker", "compose", "--project-name", CONTAINER, "--project-directory", str(folder)),
        *("--file", str(folder / "compose.yaml")),
        *("run", "--rm", "--no-deps", "--no-TTY", "--name", CONTAINER, "engine"),
        *("engine", "run", "flatten", "--json"),
    ]
    assert host.command_options == {
        "timeout": 90,
        "env": {"BALLAST_SLOT": "green", "BALLAST_RELEASE": release.id, "BALLAST_ROLE": "standby"},
    }


def test_a_command_of_the_compose_file_counts_instead_of_the_images(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = host.stage()
    document = '{"services": {"engine": {"command": ["my-engine", "--pay=$$5"]}}}'
    monkeypatch.setattr(commands, "compose", lambda *_arguments, **_options: document)
    host.command_ends = [Outcome(0, "", "")]
    run_command(host.stack, release, "blue", ["resume"], 30)
    assert host.commands[0][-3:] == ["my-engine", "--pay=$5", "resume"]


def test_a_command_that_does_not_end_leaves_no_container(host: FakeHost) -> None:
    host.command_ends = [CommandError("`docker compose run` did not finish within 90 s")]
    with pytest.raises(CommandError, match="did not finish within 90 s"):
        run_command(host.stack, host.stage(), "blue", ["flatten"], 60)
    assert host.events[-1] == f"docker container rm --force {CONTAINER}"


def test_an_image_that_is_gone_is_not_pulled(host: FakeHost) -> None:
    host.failing["docker image inspect"] = "No such image"
    with pytest.raises(CommandError, match="No such image"):
        run_command(host.stack, host.stage(), "blue", ["flatten"], 60)
    assert host.commands == []


def test_an_image_for_emergencies_does_it_in_the_place_of_an_engine_that_cannot(host: FakeHost) -> None:
    release = host.stage(probe={"kind": "container"}, emergency_image="ballast/gateway:1")
    assert release.manifest["images"]["emergency"] == {
        "reference": "ballast/gateway:1",
        "pinned": "ballast/gateway@sha256:aa",
    }
    assert "BALLAST_EMERGENCY_IMAGE=ballast/gateway@sha256:aa\n" in (release.path / "engine/.env").read_text()
    assert has_commands(release)
    assert not keeps_contract(release)
    host.command_ends = [Outcome(0, "", "")]
    run_command(host.stack, release, "blue", ["flatten"], 60)
    assert host.commands[0][-4:] == ["emergency", "engine", "run", "flatten"]


def test_only_an_engine_that_is_probed_by_the_contract_has_its_commands(host: FakeHost) -> None:
    assert keeps_contract(host.stage())
    assert not keeps_contract(host.stage("two", probe={"kind": "container"}))
