# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Round trips: how fills become trades with a profit, by average cost. Plain arithmetic, without a database.

A trade opens when a position leaves zero and closes when it is back at zero. Quantities are signed where a position is
meant (short < 0) and in units; prices are per unit of the instrument's multiplier; profit is before commission.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

# Quantities of an instrument that differ by less are the same: sums of binary fractions never meet exactly.
DECIMALS = 9


@dataclass
class RoundTrip:
    """One trade, while it is open and after. Times are the ledger's texts."""

    direction: Literal["long", "short"]
    open_quantity: float
    entry_quantity: float
    average_entry_price: float
    opened_at: str
    exit_quantity: float = 0.0
    average_exit_price: float | None = None
    realized_pnl: float = 0.0
    adjusted: bool = False
    closed_at: str | None = None

    @classmethod
    def opened(cls, signed: float, price: float, at: str, *, adjusted: bool = False) -> RoundTrip:
        """Return the trade that a fill (or the broker's word on a position) opens."""
        return cls("long" if signed > 0 else "short", signed, abs(signed), price, at, adjusted=adjusted)

    def enter(self, signed: float, price: float) -> None:
        """Add to the position. The average is that of what is held now: what was left has had its profit."""
        held = abs(self.open_quantity)
        self.average_entry_price = (self.average_entry_price * held + price * abs(signed)) / (held + abs(signed))
        self.open_quantity = round(self.open_quantity + signed, DECIMALS)
        self.entry_quantity += abs(signed)

    def leave(self, quantity: float, price: float, multiplier: float, at: str) -> float:
        """Take ``quantity`` (without sign, at most what is held) from the position; return the profit."""
        direction = 1 if self.open_quantity > 0 else -1
        profit = (price - self.average_entry_price) * quantity * direction * multiplier
        left = self.exit_quantity + quantity
        self.average_exit_price = ((self.average_exit_price or 0.0) * self.exit_quantity + price * quantity) / left
        self.exit_quantity = left
        self.realized_pnl += profit
        self.open_quantity = round(self.open_quantity - direction * quantity, DECIMALS)
        self.closed_at = None if self.open_quantity else at
        return profit


class Applied(NamedTuple):
    """What a fill did: the trade it belongs to, the one that its rest opened, what it closed and made."""

    trade: RoundTrip
    following: RoundTrip | None
    closed_quantity: float
    realized_pnl: float


def apply_fill(held: RoundTrip | None, signed: float, price: float, multiplier: float, at: str) -> Applied:
    """Carry a fill into the open trade, changing it. A fill that turns the position closes one and opens the next."""
    if held is None:
        return Applied(RoundTrip.opened(signed, price, at), None, 0.0, 0.0)
    if (held.open_quantity > 0) == (signed > 0):
        held.enter(signed, price)
        return Applied(held, None, 0.0, 0.0)
    closing = min(abs(signed), abs(held.open_quantity))
    profit = held.leave(closing, price, multiplier, at)
    beyond = round(abs(signed) - closing, DECIMALS)
    following = RoundTrip.opened(beyond if signed > 0 else -beyond, price, at) if beyond else None
    return Applied(held, following, closing, profit)


def adjust(held: RoundTrip | None, quantity: float, price: float, at: str) -> RoundTrip | None:
    """Let the broker's quantity win, changing the open trade; return the trade that is open then."""
    if held and quantity and (held.open_quantity > 0) == (quantity > 0):
        held.open_quantity, held.average_entry_price, held.adjusted = quantity, price, True
        return held
    if held:
        held.open_quantity, held.adjusted, held.closed_at = 0.0, True, at
    return RoundTrip.opened(quantity, price, at, adjusted=True) if quantity else None
