# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text dialect at every server version, judged by what nautilus_ibapi writes and understands at that version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway_simulator.messages import HIGHEST_VERSION, LOWEST_VERSION, dialect_for
from gateway_simulator.requests import RequestHistoricalData
from tests.clients.wire import NOW, REPLIES, ask, in_common

VERSIONS = range(LOWEST_VERSION, HIGHEST_VERSION + 1)
# Clients do not ask for completed orders before.
COMPLETED_ORDERS = 150
KEEP_UP_TO_DATE = 124

# What a message did not have before a server version, by its place in what the client tells its user.
ABSENT_BEFORE = {
    "error": {"[0][2]": 194, "[0][5]": 166},
    "pnl": {"[0][3]": 129, "[0][4]": 135},
    "pnl_single": {"[0][4]": 129, "[0][5]": 135},
    "contract_details": {
        "[0][2].contract.lastTradeDate": 182,
        "[0][2].aggGroup": 121,
        "[0][2].underSymbol": 122,
        "[0][2].underSecType": 122,
        "[0][2].marketRuleIds": 126,
        "[0][2].realExpirationDate": 134,
        "[0][2].stockType": 152,
        "[0][2].minSize": 164,
        "[0][2].sizeIncrement": 164,
        "[0][2].suggestedSizeIncrement": 164,
    },
    "symbol_samples": {"[0][2][0].contract.description": 176},
    "order_status": {"[0][11]": 131},
    "open_order": {
        "[0][3].softDollarTier.name": 106,
        "[0][3].cashQty": 111,
        "[0][4].initMarginBefore": 142,
        "[0][4].maintMarginBefore": 142,
        "[0][4].equityWithLoanBefore": 142,
        "[0][4].initMarginChange": 142,
        "[0][4].maintMarginChange": 142,
        "[0][4].equityWithLoanChange": 142,
        "[0][4].marginCurrency": 195,
    },
    "execution_details": {"[0][3].lastLiquidity": 136},
}


@pytest.fixture(scope="module")
def python(pythons: Mapping[str, Path]) -> Path:
    """The client's Python."""
    return pythons["nautilus_ibapi"]


@pytest.fixture(scope="module")
def told(python: Path) -> dict[int, dict[str, Any]]:
    """What the client tells its user of each reply, by server version and case."""
    cases = {version: [case for case in REPLIES if has(case, version)] for version in VERSIONS}
    bodies = {}
    for version in VERSIONS:
        dialect = dialect_for(version, lambda: NOW)
        written = [REPLIES[case](dialect) for case in cases[version]]
        frames = [[reply] if isinstance(reply, bytes) else reply for reply in written]
        bodies[version] = [[frame[4:].hex() for frame in reply] for reply in frames]
    heard = ask(python, "replies", given=bodies)
    return {version: dict(zip(cases[version], heard[str(version)], strict=True)) for version in VERSIONS}


def has(case: str, version: int) -> bool:
    """Tell whether a server of this version ever sends a reply."""
    return version >= COMPLETED_ORDERS or not case.startswith("completed_order")


def differences(older: Any, newest: Any, place: str = "") -> dict[str, tuple[Any, Any]]:
    """Return where two versions' meanings differ, and how."""
    if isinstance(older, dict) and isinstance(newest, dict):
        inner = [differences(older.get(name), newest[name], f"{place}.{name}") for name in newest]
    elif isinstance(older, list) and isinstance(newest, list) and len(older) == len(newest):
        pairs = zip(older, newest, strict=True)
        inner = [differences(one, other, f"{place}[{number}]") for number, (one, other) in enumerate(pairs)]
    else:
        return {} if older == newest else {place: (older, newest)}
    return {where: what for found in inner for where, what in found.items()}


@pytest.mark.parametrize("case", REPLIES)
def test_a_reply_means_the_same_at_every_version_but_for_what_came_later(
    case: str, told: dict[int, dict[str, Any]]
) -> None:
    newest = in_common(told[HIGHEST_VERSION][case])
    later = ABSENT_BEFORE.get(case.split(" ")[0], {})
    for version in VERSIONS:
        if has(case, version):
            found = differences(in_common(told[version][case]), newest)
            unexpected = {where: what for where, what in found.items() if version >= later.get(where, 0)}
            assert not unexpected, f"at {version}"
            # What is not there yet says nothing, rather than something else.
            assert {older for older, _ in found.values()} <= {None, "", "0"}, f"at {version}"


def test_a_request_means_the_same_at_every_version_that_has_it(python: Path) -> None:
    recorded = ask(python, "requests", *VERSIONS)
    sent = {version: recorded[str(version)] for version in VERSIONS}
    for case, newest in sent[HIGHEST_VERSION].items():
        meaning = dialect_for(HIGHEST_VERSION).decode(bytes.fromhex(newest))
        had = [version for version in VERSIONS if case in sent[version]]
        assert had == list(range(had[0], HIGHEST_VERSION + 1)), case
        for version in had:
            wanted = meaning
            if isinstance(wanted, RequestHistoricalData) and version < KEEP_UP_TO_DATE:
                wanted = replace(wanted, keep_up_to_date=False)
            assert dialect_for(version).decode(bytes.fromhex(sent[version][case])) == wanted, f"{case} at {version}"
