# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests with real clients."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.environments import CLIENTS, python_of


@pytest.fixture(scope="session")
def pythons() -> Mapping[str, Path]:
    """The Python of every client's environment; those that are not there yet are made at once."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(CLIENTS, pool.map(python_of, CLIENTS), strict=True))
