# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process holds the lease; who cannot have it learns who does."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from reference_engine.lease import Lease, LeaseHeldError
from tests.engine.support import RELEASE, Place


def test_holder_is_named_to_whoever_comes_second(place: Place) -> None:
    deployment, _ = place.load()
    with Lease(deployment):
        holder = json.loads((place.path / "lease/lock").read_text())
        assert (holder["slot"], holder["release"], holder["pid"]) == ("blue", RELEASE, os.getpid())
        with pytest.raises(LeaseHeldError) as caught:
            Lease(replace(deployment, slot="green", release="other")).acquire()
    assert str(caught.value) == (
        f"the lease {place.path}/lease/lock is held by slot blue, release {RELEASE}, pid {os.getpid()}, "
        f"since {holder['since']}; stop that engine first: two engines must never trade one account"
    )


def test_lease_can_be_had_again_after_it_was_given_back(place: Place) -> None:
    deployment, _ = place.load()
    with Lease(deployment):
        pass
    assert (place.path / "lease/lock").read_text() == ""
    with Lease(deployment):
        pass


def test_text_left_by_a_killed_holder_holds_nothing(place: Place) -> None:
    deployment, _ = place.load()
    (place.path / "lease/lock").write_text('{"slot": "green", "release": "old", "pid": 1, "since": "long ago"}' * 3)
    with Lease(deployment):
        assert json.loads((place.path / "lease/lock").read_text())["slot"] == "blue"


def test_holder_without_a_name_is_reported_as_such(place: Place) -> None:
    deployment, _ = place.load()
    with Lease(deployment):
        (place.path / "lease/lock").write_text("someone")
        with pytest.raises(
            LeaseHeldError, match=r"is held by a process that left no name \(the file says 'someone'\);"
        ):
            Lease(deployment).acquire()
