# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.ballast.trading.plugins.module_utils import commands
from ansible_collections.ballast.trading.plugins.module_utils.commands import CommandError

Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a program of this name on PATH that says this, ends so, and writes its arguments to the returned file."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(name: str, output: str = "", error: str = "", status: int = 0) -> Path:
        for stream, text in (("out", output), ("err", error)):
            (tmp_path / f"{name}.{stream}").write_text(text)
        heard = tmp_path / f"{name}.heard"
        here = f"{tmp_path}/{name}"
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\necho "$*" >>{heard}\ncat {here}.out\ncat {here}.err >&2\nexit {status}\n')
        path.chmod(0o755)
        return heard

    return make


def message(call: Callable[..., object], *arguments: object, **options: object) -> str:
    with pytest.raises(CommandError) as failed:
        call(*arguments, **options)
    return str(failed.value)


# ---- running ----


def test_a_command_returns_what_it_says() -> None:
    assert commands.run(["sh", "-c", "echo one; echo two >&2; echo $WORD"], env={"WORD": "three"}) == "one\nthree\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo out; echo broken >&2; exit 3", "status 3: broken"),
        ("echo broken; exit 4", "status 4: broken"),
        ("exit 5", "status 5: no output"),
        ("kill -9 $$", "status -9: no output"),
    ],
)
def test_a_failure_names_command_status_and_output(script: str, said: str) -> None:
    assert message(commands.run, ["sh", "-c", script]) == f"`sh -c {script}` failed with {said}"


def test_of_a_long_complaint_the_end_is_quoted() -> None:
    text = message(commands.run, ["sh", "-c", "yes no | head -n 3000; echo end; exit 1"])
    assert text.endswith("no\nno\nend")
    assert len(text) < 2200


def test_a_missing_program_is_named() -> None:
    assert message(commands.run, ["no-such-program", "--now"]) == (
        "`no-such-program --now`: no-such-program is not installed"
    )


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "program").mkdir()
    path = f"{tmp_path}/program"
    assert message(commands.run, [path]) == (f"`{path}`: {path} cannot be run ([Errno 13] Permission denied: {path!r})")


def test_a_program_that_hangs_is_ended() -> None:
    assert message(commands.run, ["sleep", "60"], timeout=0.1) == "`sleep 60` did not finish within 0.1 s"


def test_any_byte_may_be_said() -> None:
    assert commands.run(["printf", r"caf\351 \303\251"]) == "caf\ufffd é"


# ---- docker ----


def test_a_container_is_what_docker_knows_of_it(program: Program) -> None:
    heard = program("docker", '[{"State": {"Running": true}}]')
    assert commands.container("one") == {"State": {"Running": True}}
    assert heard.read_text() == "container inspect one\n"


@pytest.mark.parametrize("prefix", ["Error: ", "Error response from daemon: "])
def test_no_such_container_is_an_answer_and_nothing_to_stop(program: Program, prefix: str) -> None:
    program("docker", "[]", f"{prefix}No such container: one", 1)
    assert commands.container("one") is None
    commands.stop_container("one", 5)


@pytest.mark.parametrize("call", [commands.container, lambda name: commands.stop_container(name, 5)])
def test_a_docker_that_does_not_answer_is_not_taken_for_a_container_that_is_not_there(
    program: Program, call: Callable[[str], object]
) -> None:
    program("docker", "", "Cannot connect to the Docker daemon", 1)
    assert message(call, "one").endswith(" failed with status 1: Cannot connect to the Docker daemon")


def test_a_container_gets_its_grace_to_stop(program: Program) -> None:
    heard = program("docker")
    commands.stop_container("one", 30.0)
    assert heard.read_text() == "stop -t 30 one\n"


def test_compose_runs_on_the_folder_of_a_release(program: Program, tmp_path: Path) -> None:
    heard = program("docker")
    commands.compose(tmp_path, "project", "config", "--quiet")
    base = f"compose --project-name project --project-directory {tmp_path} --file {tmp_path}/compose.yaml"
    assert heard.read_text() == f"{base} config --quiet\n"


DIGESTS = ["registry:5000/team/engine@sha256:aa", "engine@sha256:bb"]


@pytest.mark.parametrize(
    ("reference", "digests", "pinned"),
    [
        ("engine:1", DIGESTS, "engine@sha256:bb"),
        ("engine", DIGESTS, "engine@sha256:bb"),
        ("registry:5000/team/engine:1", DIGESTS, "registry:5000/team/engine@sha256:aa"),
        ("registry:5000/team/engine", DIGESTS, "registry:5000/team/engine@sha256:aa"),
        ("engine:1@sha256:cc", DIGESTS, "engine@sha256:cc"),
        ("local:1", DIGESTS, "sha256:id"),
        ("local:1", [], "sha256:id"),
        ("local:1", None, "sha256:id"),
        ("sha256:id", [], "sha256:id"),
    ],
)
def test_an_image_is_pinned_by_the_digest_of_its_repository_or_by_its_id(
    program: Program, reference: str, digests: list[str] | None, pinned: str
) -> None:
    program("docker", json.dumps([{"Id": "sha256:id", "RepoDigests": digests}]))
    assert commands.image_digest(reference) == pinned


def test_an_image_that_is_not_here_has_no_digest(program: Program) -> None:
    program("docker", "[]", "Error: No such image: engine:1", 1)
    assert commands.image_digest("engine:1") is None


def test_a_docker_that_does_not_answer_is_not_taken_for_a_missing_image(program: Program) -> None:
    program("docker", "", "Cannot connect to the Docker daemon", 1)
    assert message(commands.image_digest, "engine:1") == (
        "`docker image inspect engine:1` failed with status 1: Cannot connect to the Docker daemon"
    )


@pytest.mark.parametrize(("listed", "removed"), [("4f2a\n", "network rm net\n"), ("", "")])
def test_a_network_is_removed_when_there_is_one(program: Program, listed: str, removed: str) -> None:
    heard = program("docker", listed)
    commands.remove_network("net")
    assert heard.read_text() == f"network ls --quiet --filter name=^net$\n{removed}"


# ---- systemd ----


def test_a_units_properties_may_contain_anything(program: Program) -> None:
    heard = program("systemctl", "ActiveState=active\nStatusText=engine is trading: a=b\nResult=\n")
    assert commands.unit("one.service") == {
        "ActiveState": "active",
        "StatusText": "engine is trading: a=b",
        "Result": "",
    }
    # Every property that is asked for by name is answered, even with nothing.
    wanted = "ActiveState,SubState,Job,Result,NRestarts,ExecMainStatus,StatusText,UnitFileState"
    assert heard.read_text() == f"show --property {wanted} one.service\n"


def test_a_unit_that_systemd_does_not_know_has_no_failures_to_forget(program: Program) -> None:
    heard = program(
        "systemctl", "", "Failed to reset failed state of unit one.service: Unit one.service not loaded.", 1
    )
    commands.forget_failures("one.service")
    assert heard.read_text() == "reset-failed one.service\n"


def test_other_troubles_with_systemd_are_told(program: Program) -> None:
    program("systemctl", "", "Failed to connect to bus", 1)
    assert message(commands.forget_failures, "one.service") == (
        "`systemctl reset-failed one.service` failed with status 1: Failed to connect to bus"
    )


def test_the_journal_is_that_of_a_units_own_processes(program: Program) -> None:
    heard = program("journalctl", "one\ntwo\n")
    assert commands.journal("one.service", 12.5, 3) == ["one", "two"]
    assert heard.read_text() == (
        "_SYSTEMD_UNIT=one.service --since @12.500 --lines 3 --output cat --no-pager --quiet\n"
    )


def test_the_log_of_a_container_is_the_newest_of_both_its_streams(program: Program) -> None:
    heard = program("docker", output="to the one\n", error="to the other\n")
    assert commands.container_log("engine-1", "2026-11-22T18:46:40.5Z", 200) == "to the one\nto the other\n"
    assert heard.read_text() == "logs --since 2026-11-22T18:46:40.5Z --tail 200 engine-1\n"


def test_the_log_of_a_container_that_cannot_be_read_is_an_error_with_the_reason(program: Program) -> None:
    program("docker", error="No such container\n", status=1)
    assert message(commands.container_log, "engine-1", "now", 1).endswith("failed with status 1: No such container")
