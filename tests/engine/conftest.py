# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place to run an engine in, with a ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.support import Place


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    place.make_ledger()
    yield place
    place.close()
