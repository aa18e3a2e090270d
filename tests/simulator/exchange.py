# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker whose prices and time are set by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from gateway_simulator.account import AccountRules
from gateway_simulator.broker import Broker
from gateway_simulator.contracts import FUTURES, LISTED, Catalogue, listed_future, option
from gateway_simulator.hours import EarlyClose, ExchangeHours, WeeklySession
from gateway_simulator.model import (
    Event,
    Executed,
    Instrument,
    Order,
    OrderChanged,
    OrderFailed,
    OrderRequest,
    Quote,
)

AAPL, IBM, EURUSD = LISTED[265598], LISTED[8314], LISTED[12087792]
SAP, USDJPY, EURGBP, GBPUSD = LISTED[14204], LISTED[15016059], LISTED[12087807], LISTED[12087797]
SPX = LISTED[416904]
ES = listed_future(LISTED, "ES", "20261218", FUTURES["ES"])
CALL = option(AAPL, "20261218", Decimal(230), "C")
PUT = option(AAPL, "20261218", Decimal(230), "P")

# New York's stock exchanges around Thanksgiving 2026.
US_STOCKS = ExchangeHours(
    name="us_stocks",
    time_zone="America/New_York",
    trading=tuple(WeeklySession(day, 4 * 60, 20 * 60) for day in range(5)),
    liquid=tuple(WeeklySession(day, 9 * 60 + 30, 16 * 60) for day in range(5)),
    holidays=frozenset({date(2026, 11, 26)}),
    early_closes={date(2026, 11, 27): EarlyClose(17 * 60, 13 * 60)},
)
# Sunday to Friday, from 17:00 to 16:00 of the next day.
CME = ExchangeHours(
    name="cme",
    time_zone="America/Chicago",
    trading=tuple(WeeklySession(day, 17 * 60, 40 * 60) for day in (6, 0, 1, 2, 3)),
    liquid=tuple(WeeklySession(day, 8 * 60 + 30, 15 * 60) for day in range(5)),
)
HOURS = {hours.name: hours for hours in (US_STOCKS, CME)}
MONDAY_NOON = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


class Exchange:
    """A broker and everything that its methods returned; prices are whole ticks."""

    def __init__(
        self,
        instruments: Iterable[Instrument] = (AAPL, IBM, EURUSD),
        now: datetime = MONDAY_NOON,
        rules: AccountRules | None = None,
    ) -> None:
        self.instruments = list(instruments)
        self.now = now
        self.ticks: dict[int, int] = {}
        self.closes: dict[int, int] = {}
        for instrument in self.instruments:
            price = {AAPL.con_id: 230, IBM.con_id: 220, CALL.con_id: 7, PUT.con_id: 6}.get(instrument.con_id)
            self.ticks[instrument.con_id] = int((price or instrument.reference_price) / instrument.min_tick)
        self.rules = rules
        self.broker = self.new_broker()
        self.events: list[Event] = []

    def new_broker(self) -> Broker:
        """Return a broker in the same world that knows nothing of the other."""
        catalogue = Catalogue(self.instruments)
        return Broker("DU1", catalogue, self.quote, lambda: self.now, self.rules, HOURS)

    def restart(self) -> None:
        """Let another broker take over the state of this one."""
        saved = self.broker.to_state()
        self.broker = self.new_broker()
        self.broker.restore_state(saved)

    def quote(self, instrument: Instrument) -> Quote:
        """Return the quote set: the bid and the last price, and the price asked one tick above."""
        bid = self.ticks[instrument.con_id] * instrument.min_tick
        close = self.closes.get(instrument.con_id, self.ticks[instrument.con_id]) * instrument.min_tick
        return Quote(bid, bid + instrument.min_tick, bid, 100, 100, 100, 1000, close, int(self.now.timestamp()))

    def place(
        self,
        order_id: int,
        action: str,
        quantity: int,
        limit: str = "",
        instrument: Instrument | None = AAPL,
        client: int = 1,
        **terms: Any,
    ) -> list[Event]:
        """Place an order: a market order, or a limit order when there is a limit, unless ``terms`` say otherwise."""
        events = self.broker.place(request(order_id, action, quantity, limit, instrument, client, **terms))
        self.events += events
        return events

    def tick(self, instrument: Instrument, change: int) -> list[Event]:
        """Move a price and match."""
        self.ticks[instrument.con_id] = max(1, self.ticks[instrument.con_id] + change)
        return self.match()

    def match(self) -> list[Event]:
        """Let the market's clock tick."""
        events = self.broker.match()
        self.events += events
        return events

    def at(self, hour: int, minute: int = 0, day: int = 25) -> list[Event]:
        """Go to a moment of November 2026, in UTC, and match."""
        self.now = datetime(2026, 11, day, hour, minute, tzinfo=UTC)
        return self.match()

    def order(self, order_id: int, client: int = 1) -> Order:
        """Return an order as the broker knows it."""
        return self.broker.orders[client, order_id]

    def status(self, *order_ids: int) -> list[str]:
        """Return the states of client 1's orders."""
        return [self.order(order_id).status for order_id in order_ids]

    def executions(self) -> list[Decimal]:
        """Return the prices of the executions that were told."""
        return [event.execution.price for event in self.events if isinstance(event, Executed)]


def request(
    order_id: int,
    action: str,
    quantity: int,
    limit: str = "",
    instrument: Instrument | None = AAPL,
    client: int = 1,
    **terms: Any,
) -> OrderRequest:
    """Return an order request; prices among ``terms`` may be texts."""
    prices = ("aux_price", "trail_stop_price", "trailing_percent", "limit_price_offset")
    terms |= {name: Decimal(terms[name]) for name in prices if terms.get(name) is not None}
    return OrderRequest(
        **{
            "client_id": client,
            "order_id": order_id,
            "instrument": instrument,
            "exchange": "SMART",
            "action": action,
            "quantity": Decimal(quantity),
            "order_type": "LMT" if limit else "MKT",
            "limit_price": Decimal(limit) if limit else None,
            "tif": "DAY",
            "account": "DU1",
            "open_close": "O",
            "origin": 0,
            "order_ref": f"ref:{order_id}",
            "outside_rth": False,
            "hidden": False,
            **terms,
        }
    )


def statuses(events: list[Event]) -> list[tuple[int, str]]:
    """Return the order ids and states that the events tell, in order."""
    return [(event.order.order_id, event.order.status) for event in events if isinstance(event, OrderChanged)]


def codes(events: list[Event]) -> list[tuple[int, int]]:
    """Return the order ids and error codes that the events tell, in order."""
    return [(event.order_id, event.code) for event in events if isinstance(event, OrderFailed)]
