# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the simulated broker costs, in microseconds of one core's time.

PYTHONPATH=images/gateway_simulator/src python -m tests.bench.broker
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from gateway_simulator.broker import Broker
from gateway_simulator.model import Instrument, Quote
from gateway_simulator.store import Store
from gateway_simulator.world import World
from tests.simulator.exchange import request

ORDERS = 5000
ROUNDS = 3


def each(work: Callable[[int], object], times: int, first: int = 0) -> float:
    """Return the microseconds of processor time that one of ``times`` calls takes, on average."""
    began = time.process_time()
    for number in range(first, first + times):
        work(number)
    return (time.process_time() - began) / times * 1e6


def measure(directory: Path) -> dict[str, float]:
    """Return what each thing costs, by its description."""
    world = World.default("DU1", 1, 2.0, datetime.now(UTC))
    market, now = world.market(), time.time()
    stocks = [instrument for instrument in world.catalogue if instrument.sec_type == "STK"]
    options = [instrument for instrument in world.catalogue if instrument.sec_type == "OPT"]

    def quote(instrument: Instrument) -> Quote:
        return market.quote(instrument, now)

    broker = Broker("DU1", world.catalogue, quote, lambda: datetime.now(UTC))
    store = Store(directory / "state.json", "DU1")
    store.save(broker.to_state())

    def place(number: int, limit: str = "", quantity: int = 10) -> None:
        instrument = stocks[number % 10]
        broker.place(request(number, "BUY" if number // 10 % 2 else "SELL", quantity, limit, instrument))
        broker.forget_finished()
        store.save(broker.changes())

    figures = {
        "a new quote of a stock": each(lambda tick: market.quote(stocks[tick % 10], now + tick // 10), ORDERS),
        "a new quote of an option": each(lambda tick: market.quote(options[tick % 100], now + tick // 100), ORDERS),
        "the same quote again": each(lambda _: quote(stocks[0]), 20 * ORDERS),
        "a market order, filled and saved": each(place, ORDERS, 1),
        "a market order after as many": each(place, ORDERS, 1 + ORDERS),
        "a limit order that rests, saved": each(lambda number: place(number, "100000.00", 1) if number // 10 % 2 == 0
                                               else place(number, "1.00", 1), ORDERS, 1 + 2 * ORDERS),
        "a match without a fill, per resting order": each(lambda _: broker.match(), 20) / ORDERS,
        "the account's worth, prices unchanged": each(lambda _: broker.valuation(), ORDERS),
    }  # fmt: skip
    store.close()
    assert sum(order.status == "Filled" for order in broker.orders.values()) == 2 * ORDERS  # noqa: S101 - else it measures refusals
    assert len(list(broker.working_orders())) == ORDERS  # noqa: S101
    return figures


def main() -> int:
    """Print the best of some rounds; return 0."""
    rounds = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as directory:
            rounds.append(measure(Path(directory)))
    for name in rounds[0]:
        print(f"{name:45} {min(figures[name] for figures in rounds):8.2f} us")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
