# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Risk limits: what an order must not do to the account. Pure: everything they judge comes in as a value.

An order that only reduces a position is never refused by a limit on opening one; a limit that cannot be judged, because
a figure is missing, refuses what would open.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class InstrumentLimits:
    """Limits of one instrument; None: no limit. ``given`` names the ones that were written down, None included.

    Positions and sizes in units of the instrument, values in its currency (units x price x multiplier), the collar in
    percent of the last price.
    """

    max_position: float | None = None
    max_position_value: float | None = None
    max_order_size: float | None = None
    max_order_value: float | None = None
    price_collar_percent: float | None = 5.0
    given: frozenset[str] = frozenset()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(name for name in cls.__dataclass_fields__ if name != "given")


@dataclass(frozen=True)
class RiskLimits:
    """Section ``risk`` of engine.yaml; None: no limit. Money is in the account's base currency.

    ``each`` holds for every instrument, ``instruments`` (by symbol) says otherwise for one.
    """

    each: InstrumentLimits = field(default_factory=InstrumentLimits)
    instruments: dict[str, InstrumentLimits] = field(default_factory=dict)
    allowed_instruments: frozenset[str] | None = None
    long_only: bool = False
    max_open_orders: int | None = 50
    max_orders_per_second: int | None = 10
    max_orders_per_minute: int | None = 120
    max_gross_exposure: float | None = None
    max_concentration_percent: float | None = None
    max_daily_loss: float | None = None
    max_drawdown_percent: float | None = None
    max_losing_streak: int | None = None
