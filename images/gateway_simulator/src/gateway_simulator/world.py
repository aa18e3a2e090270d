# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world that is simulated: what is listed, when it is traded, at what prices, and how the account begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from .account import AccountRules
from .contracts import Catalogue, listed
from .hours import ExchangeHours, always_open_text
from .market import Market, PriceSource
from .model import Instrument


@dataclass(frozen=True)
class World:
    """One world. ``faults`` is the scenario's timeline of faults, as it is in the file."""

    account: str
    seed: int
    ticks_per_second: float
    catalogue: Catalogue
    hours: Mapping[str, ExchangeHours] = field(default_factory=dict)
    sources: Mapping[int, PriceSource] = field(default_factory=dict)
    rules: AccountRules = field(default_factory=AccountRules)
    zone: tzinfo = UTC
    faults: tuple[Any, ...] = ()

    @classmethod
    def default(cls, account: str, seed: int, ticks_per_second: float, now: datetime) -> World:
        """Return the world without a scenario: the broker's own listings on exchanges that never close."""
        return cls(account, seed, ticks_per_second, listed(now.date()))

    def market(self) -> Market:
        """Return the world's market."""
        return Market(self.seed, self.ticks_per_second, self.catalogue, self.hours, self.sources)

    def trading_hours(self, instrument: Instrument, moment: float) -> tuple[str, str]:
        """Return an instrument's trading and liquid hours from the day of ``moment`` on, in the protocol's form."""
        if not instrument.hours:
            return always_open_text(moment), always_open_text(moment)
        hours = self.hours[instrument.hours]
        return hours.text(moment, liquid=False), hours.text(moment, liquid=True)
