# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it gains that writes share transactions: `python -m tests.bench.ledger`.

Forty orders a second for ten seconds, each with the news a broker sends of it: two acknowledgements in one packet; the
fill, its status, commission and position in another.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "images/reference_engine/src"), str(ROOT / "images/gateway_simulator/src")]

from reference_engine.ledger import Ledger  # noqa: E402
from reference_engine.model import OrderRequest  # noqa: E402
from tests.engine.support import AAPL, Place, execution, position, report  # noqa: E402

SECONDS, PER_SECOND = 10, 40
_NETWORK_SECONDS = 0.001


class _Stopwatch:
    """Counts the time of the engine's own work, not that in which it waits for the network."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.go_on()

    def go_on(self) -> None:
        self._since = time.perf_counter()

    def pause(self) -> None:
        self.seconds += time.perf_counter() - self._since


async def measure(batched: bool) -> str:
    place = Place()
    place.make_ledger()
    ledger = Ledger(place.load()[0], batched=batched)
    busy = []
    started = time.perf_counter()
    for number in range(SECONDS * PER_SECOND):
        order_ref = f"dev-main:{number}"
        work = _Stopwatch()
        ledger.record_intent(
            order_ref, OrderRequest(AAPL, "BUY", 1), strategy="bench", client_id=1, broker_order_id=number
        )
        ledger.mark_sent(order_ref)
        work.pause()
        await asyncio.sleep(_NETWORK_SECONDS)
        work.go_on()
        for status in ("PreSubmitted", "Submitted"):
            ledger.record_order(report(order_ref, status, perm_id=number + 1))
        work.pause()
        await asyncio.sleep(_NETWORK_SECONDS)
        work.go_on()
        fill = execution(f"{number:08x}.01.01", "BUY", 1, 100.0, order_ref=order_ref)
        ledger.record_execution(fill)
        ledger.record_order(report(order_ref, "Filled", perm_id=number + 1, filled=1))
        ledger.record_commission(replace(fill, commission=1.0, commission_currency="USD"))
        ledger.record_position(position(number + 1))
        work.pause()
        await asyncio.sleep(_NETWORK_SECONDS)
        work.go_on()
        busy.append(work.seconds)
        await asyncio.sleep(max(0.0, started + (number + 1) / PER_SECOND - time.perf_counter()))
    commits, waited = ledger.commits, ledger.commit_seconds
    ledger.close()
    place.close()
    busy.sort()
    half, most = (1000 * busy[int(len(busy) * share)] for share in (0.5, 0.99))
    return (
        f"{'shared transactions' if batched else 'one for each write':20} {commits / len(busy):5.2f} commits an order, "
        f"{1000 * waited / len(busy):6.2f} ms of disk an order; news and intent p50 {half:.2f} ms, p99 {most:.2f} ms"
    )


async def main() -> None:
    for batched in (False, True):
        print(await measure(batched))


if __name__ == "__main__":
    asyncio.run(main())
