# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the simulator's dialects read and write: microseconds per message on one core, the best of some rounds.

PYTHONPATH=images/gateway_simulator/src python -m tests.bench.dialects
"""

from __future__ import annotations

import struct
import timeit
from collections.abc import Callable
from decimal import Decimal

from gateway_simulator import ib_pb2 as ib
from gateway_simulator.messages import TextDialect, dialect_for
from gateway_simulator.model import TickKind
from gateway_simulator.wire import Value, frame
from tests.clients.wire import EXECUTION, LIMIT_ORDER, NOW, STOCK

VERSIONS = (178, 225)
ROUNDS, REPETITIONS = 7, 2000

# A limit order as ib_async writes it at 178, from the order id on, up to the first of its empty fields' long tail.
ORDER_178: list[Value] = [12, 265598, "AAPL", "STK", "", "0.0", "", "", "SMART", "NASDAQ", "USD", "AAPL", "NMS", "", ""]
ORDER_178 += ["BUY", 100, "LMT", "225.5", "", "DAY", "", "", "", 0, "key:1", 1, 0, 0, 0, 0, 0, 0, 0]


def placed_at(version: int) -> bytes:
    """The body of a request to place a limit order."""
    if version < 201:
        return frame(3, *ORDER_178, *[""] * 80)[4:]
    request = ib.PlaceOrderRequest(orderId=12)
    request.contract.CopyFrom(ib.Contract(conId=265598, symbol="AAPL", secType="STK", exchange="SMART", currency="USD"))
    request.order.CopyFrom(
        ib.Order(action="BUY", totalQuantity="100", orderType="LMT", lmtPrice=225.5, tif="DAY", transmit=True)
    )
    request.order.orderRef = "key:1"
    return struct.pack(">i", 203) + request.SerializeToString()


def microseconds(work: Callable[[], object]) -> float:
    """Return what one call takes."""
    return min(timeit.repeat(work, number=REPETITIONS, repeat=ROUNDS)) / REPETITIONS * 1e6


def main() -> None:
    """Print a table."""
    rows: dict[str, Callable[[TextDialect], Callable[[], object]]] = {
        "write tickPrice": lambda dialect: lambda: dialect.tick_price(5, TickKind.BID, Decimal("229.99"), 300, 1),
        "write accountValue": lambda dialect: lambda: dialect.account_value("Cushion", "1", "USD", "DU1234567"),
        "write orderStatus": lambda dialect: lambda: dialect.order_status(LIMIT_ORDER),
        "write openOrder": lambda dialect: lambda: dialect.open_order("DU1234567", STOCK, LIMIT_ORDER),
        "write execDetails": lambda dialect: lambda: dialect.execution_details(-1, "DU1234567", STOCK, EXECUTION),
        "read placeOrder": lambda dialect: lambda: dialect.decode(placed[dialect.version]),
    }
    placed = {version: placed_at(version) for version in VERSIONS}
    dialects = [dialect_for(version, lambda: NOW) for version in VERSIONS]
    print(f"{'us per message':<20}" + "".join(f"{dialect.version:>8}" for dialect in dialects))
    for name, work in rows.items():
        print(f"{name:<20}" + "".join(f"{microseconds(work(dialect)):>8.1f}" for dialect in dialects))


if __name__ == "__main__":
    main()
