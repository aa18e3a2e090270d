# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..model import Instrument
from ..strategy import Parameters, Strategy


class NoStrategy(Strategy):
    """Trades nothing; with `symbol` it still watches that stock, so that the health of the data feed shows."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        taken = Parameters(parameters)
        self._symbol = taken.text("symbol", default="")
        taken.finish()

    def instruments(self) -> Sequence[Instrument]:
        return (Instrument(self._symbol),) if self._symbol else ()
