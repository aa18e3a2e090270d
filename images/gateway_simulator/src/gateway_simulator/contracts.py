# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instruments that the simulated broker lists, and how a client's description finds one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from .model import ContractQuery, Instrument


class Catalogue:
    """The instruments, by contract id."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._by_con_id = {instrument.con_id: instrument for instrument in instruments}

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_con_id.values())

    def __getitem__(self, con_id: int) -> Instrument:
        return self._by_con_id[con_id]

    def __contains__(self, con_id: int) -> bool:
        return con_id in self._by_con_id

    def find(self, query: ContractQuery) -> list[Instrument]:
        """Return the instruments that fit; an empty list is the broker's error 200."""
        return [instrument for instrument in self if query.matches(instrument)]


def _stock(
    con_id: int, symbol: str, exchange: str, name: str, price: str, volatility: float, stock_type: str = "COMMON"
) -> Instrument:
    trading_class = {"NASDAQ": "NMS"}.get(exchange, symbol)
    return Instrument(
        con_id=con_id,
        symbol=symbol,
        sec_type="STK",
        currency="USD",
        primary_exchange=exchange,
        valid_exchanges=("SMART", exchange),
        long_name=name,
        min_tick=Decimal("0.01"),
        reference_price=Decimal(price),
        volatility=volatility,
        local_symbol=symbol,
        trading_class=trading_class,
        market_name=trading_class,
        stock_type=stock_type,
    )


def _currency_pair(con_id: int, base: str, quote: str, price: str) -> Instrument:
    pair = f"{base}.{quote}"
    return Instrument(
        con_id=con_id,
        symbol=base,
        sec_type="CASH",
        currency=quote,
        primary_exchange="IDEALPRO",
        valid_exchanges=("IDEALPRO", "SMART"),
        long_name=f"{base} to {quote}",
        min_tick=Decimal("0.00005"),
        reference_price=Decimal(price),
        volatility=0.08,
        local_symbol=pair,
        trading_class=pair,
        market_name=pair,
    )


# Contract ids are the broker's own, so that an engine's configuration needs no change between dev and paper.
LISTED = Catalogue(
    [
        _stock(265598, "AAPL", "NASDAQ", "APPLE INC", "230.00", 0.28),
        _stock(272093, "MSFT", "NASDAQ", "MICROSOFT CORP", "420.00", 0.25),
        _stock(3691937, "AMZN", "NASDAQ", "AMAZON.COM INC", "200.00", 0.32),
        _stock(208813719, "GOOGL", "NASDAQ", "ALPHABET INC-CL A", "180.00", 0.30),
        _stock(107113386, "META", "NASDAQ", "META PLATFORMS INC-CLASS A", "580.00", 0.35),
        _stock(4815747, "NVDA", "NASDAQ", "NVIDIA CORP", "140.00", 0.50),
        _stock(76792991, "TSLA", "NASDAQ", "TESLA INC", "330.00", 0.60),
        _stock(8314, "IBM", "NYSE", "INTL BUSINESS MACHINES CORP", "220.00", 0.22),
        _stock(1520593, "JPM", "NYSE", "JPMORGAN CHASE & CO", "245.00", 0.24),
        _stock(756733, "SPY", "ARCA", "STATE STREET SPDR S&P 500 ETF", "590.00", 0.15, "ETF"),
        _stock(9579970, "IWM", "ARCA", "ISHARES RUSSELL 2000 ETF", "235.00", 0.21, "ETF"),
        _stock(320227571, "QQQ", "NASDAQ", "INVESCO QQQ TRUST SERIES 1", "500.00", 0.20, "ETF"),
        _currency_pair(12087792, "EUR", "USD", "1.05000"),
        _currency_pair(12087797, "GBP", "USD", "1.26000"),
    ]
)
