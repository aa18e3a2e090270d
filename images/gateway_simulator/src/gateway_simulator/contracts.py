# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instruments that the simulated broker lists, and how a client's description finds one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal

from .model import ContractQuery, Instrument, OptionParameters

# The contract ids of the broker's own listings end below this; those of derivatives are derived from their names.
_DERIVED_IDS_FROM = 1_500_000_000
_DERIVED_IDS = 1 << 29
_MOST_MATCHES = 16
_MONTH_CODES = "FGHJKMNQUVXZ"


class Catalogue:
    """The instruments, by contract id."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._by_con_id: dict[int, Instrument] = {}
        self._by_symbol: dict[str, list[Instrument]] = {}
        self._by_local_symbol: dict[str, list[Instrument]] = {}
        for instrument in instruments:
            self.add(instrument)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_con_id.values())

    def __len__(self) -> int:
        return len(self._by_con_id)

    def __getitem__(self, con_id: int) -> Instrument:
        return self._by_con_id[con_id]

    def __contains__(self, con_id: int) -> bool:
        return con_id in self._by_con_id

    def add(self, instrument: Instrument) -> None:
        """List one more instrument. Raises ValueError when its contract id is taken by another."""
        taken = self._by_con_id.setdefault(instrument.con_id, instrument)
        if taken is not instrument:
            raise ValueError(
                f"contract id {instrument.con_id} is given to {taken.local_symbol} and to {instrument.local_symbol}"
            )
        self._by_symbol.setdefault(instrument.symbol, []).append(instrument)
        self._by_local_symbol.setdefault(instrument.local_symbol, []).append(instrument)

    def find(self, query: ContractQuery) -> list[Instrument]:
        """Return the instruments that fit; an empty list is the broker's error 200."""
        if query.con_id:
            one = self._by_con_id.get(query.con_id)
            candidates = [] if one is None else [one]
        elif query.symbol:
            candidates = self._by_symbol.get(query.symbol, [])
        else:
            candidates = self._by_local_symbol.get(query.local_symbol, [])
        return [instrument for instrument in candidates if query.matches(instrument)]

    def search(self, pattern: str) -> list[Instrument]:
        """Return the instruments, but for derivatives, whose symbol begins with ``pattern`` or whose name has it."""
        wanted = pattern.upper()
        listed = [instrument for instrument in self if not instrument.is_derivative]
        by_symbol = [instrument for instrument in listed if instrument.symbol.startswith(wanted)]
        by_name = [one for one in listed if one not in by_symbol and wanted in one.long_name.upper()]
        return [*by_symbol, *by_name][:_MOST_MATCHES] if wanted else []

    def derivatives_of(self, con_id: int) -> list[str]:
        """Return the types of security derived from an instrument, sorted."""
        return sorted({instrument.sec_type for instrument in self if instrument.under_con_id == con_id})

    def option_parameters(self, under_con_id: int) -> list[OptionParameters]:
        """Return the option chains on an underlying, one for each exchange, trading class and multiplier."""
        chains: dict[tuple[str, str, str], tuple[set[str], set[Decimal]]] = {}
        for option in self:
            if option.sec_type == "OPT" and option.under_con_id == under_con_id:
                for exchange in option.valid_exchanges:
                    key = exchange, option.trading_class, option.multiplier_text
                    expirations, strikes = chains.setdefault(key, (set(), set()))
                    expirations.add(option.expiry)
                    strikes.add(option.strike)
        return [
            OptionParameters(exchange, under_con_id, name, multiplier, tuple(sorted(days)), tuple(sorted(strikes)))
            for (exchange, name, multiplier), (days, strikes) in chains.items()
        ]


# --- making instruments ----------------------------------------------------------------------------------------------


def derived_con_id(*name: str) -> int:
    """Return the contract id of a derivative: the same for the same name, whatever else is listed."""
    digest = hashlib.sha256(":".join(name).encode()).digest()
    return _DERIVED_IDS_FROM + int.from_bytes(digest[:4], "big") % _DERIVED_IDS


def stock(
    con_id: int,
    symbol: str,
    exchange: str,
    name: str,
    price: str,
    volatility: float,
    stock_type: str = "COMMON",
    currency: str = "USD",
) -> Instrument:
    """Return a stock or a fund."""
    trading_class = {"NASDAQ": "NMS", "IBIS": "XETRA"}.get(exchange, symbol)
    return Instrument(
        con_id=con_id,
        symbol=symbol,
        sec_type="STK",
        currency=currency,
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


def currency_pair(con_id: int, base: str, quote: str, price: str, min_tick: str = "0.00005") -> Instrument:
    """Return a pair of currencies: the price in ``quote`` of one unit of ``base``."""
    pair = f"{base}.{quote}"
    return Instrument(
        con_id=con_id,
        symbol=base,
        sec_type="CASH",
        currency=quote,
        primary_exchange="IDEALPRO",
        valid_exchanges=("IDEALPRO", "SMART"),
        long_name=f"{base} to {quote}",
        min_tick=Decimal(min_tick),
        reference_price=Decimal(price),
        volatility=0.08,
        local_symbol=pair,
        trading_class=pair,
        market_name=pair,
    )


def index(con_id: int, symbol: str, exchange: str, name: str, price: str, volatility: float) -> Instrument:
    """Return an index, which has prices but cannot be traded."""
    return Instrument(
        con_id=con_id,
        symbol=symbol,
        sec_type="IND",
        currency="USD",
        primary_exchange=exchange,
        valid_exchanges=(exchange,),
        long_name=name,
        min_tick=Decimal("0.01"),
        reference_price=Decimal(price),
        volatility=volatility,
        local_symbol=symbol,
        trading_class=symbol,
        market_name=symbol,
    )


def future(
    underlying: Instrument,
    symbol: str,
    expiry: str,
    *,
    exchange: str,
    name: str,
    multiplier: int,
    min_tick: Decimal,
    initial_margin: Decimal,
    maintenance_margin: Decimal,
    commission: Decimal = Decimal("0.85"),
    hours: str = "",
) -> Instrument:
    """Return the future on ``underlying`` that expires on ``expiry`` (YYYYMMDD)."""
    return Instrument(
        con_id=derived_con_id("FUT", symbol, exchange, expiry),
        symbol=symbol,
        sec_type="FUT",
        currency=underlying.currency,
        primary_exchange=exchange,
        valid_exchanges=(exchange,),
        long_name=name,
        min_tick=min_tick,
        reference_price=underlying.reference_price,
        volatility=underlying.volatility,
        local_symbol=f"{symbol}{_MONTH_CODES[int(expiry[4:6]) - 1]}{expiry[3]}",
        trading_class=symbol,
        market_name=symbol,
        expiry=expiry,
        multiplier=multiplier,
        under_con_id=underlying.con_id,
        under_symbol=underlying.symbol,
        under_sec_type=underlying.sec_type,
        contract_month=expiry[:6],
        hours=hours,
        initial_margin=initial_margin,
        maintenance_margin=maintenance_margin,
        commission=commission,
    )


def option(underlying: Instrument, expiry: str, strike: Decimal, right: str, hours: str = "") -> Instrument:
    """Return the option on 100 of ``underlying`` with this expiry (YYYYMMDD), strike and right (C or P)."""
    local_symbol = f"{underlying.symbol:<6}{expiry[2:]}{right}{int(strike * 1000):08d}"
    return Instrument(
        con_id=derived_con_id("OPT", local_symbol, underlying.currency),
        symbol=underlying.symbol,
        sec_type="OPT",
        currency=underlying.currency,
        primary_exchange="CBOE",
        valid_exchanges=("SMART", "CBOE"),
        long_name=underlying.long_name,
        min_tick=Decimal("0.01"),
        reference_price=underlying.reference_price,
        volatility=underlying.volatility,
        local_symbol=local_symbol,
        trading_class=underlying.symbol,
        market_name=underlying.symbol,
        spread=2,
        expiry=expiry,
        strike=strike,
        right=right,
        multiplier=100,
        under_con_id=underlying.con_id,
        under_symbol=underlying.symbol,
        under_sec_type=underlying.sec_type,
        contract_month=expiry[:6],
        hours=hours,
    )


def expiries(today: date, cycle: str, count: int) -> list[str]:
    """Return the next ``count`` expiries from ``today`` on, as YYYYMMDD.

    They are the third Fridays of the quarter's last months (``quarterly``) or of every month (``monthly``), or every
    Friday (``weekly``).
    """
    found: list[str] = []
    day = today
    while len(found) < count:
        third = 15 <= day.day <= 21
        if day.weekday() == 4 and (cycle == "weekly" or (third and (cycle == "monthly" or day.month % 3 == 0))):
            found.append(f"{day:%Y%m%d}")
        day += timedelta(days=1)
    return found


def strikes_around(price: Decimal, step: Decimal, each_side: int) -> list[Decimal]:
    """Return the multiples of ``step`` nearest to ``price`` and as many on each side, above 0."""
    middle = int(price / step + Decimal("0.5"))
    return [number * step for number in range(middle - each_side, middle + each_side + 1) if number > 0]


# --- the broker's own listings ---------------------------------------------------------------------------------------

# Contract ids are the broker's own, so that an engine's configuration needs no change between dev and paper.
LISTED = Catalogue(
    [
        stock(265598, "AAPL", "NASDAQ", "APPLE INC", "230.00", 0.28),
        stock(272093, "MSFT", "NASDAQ", "MICROSOFT CORP", "420.00", 0.25),
        stock(3691937, "AMZN", "NASDAQ", "AMAZON.COM INC", "200.00", 0.32),
        stock(208813719, "GOOGL", "NASDAQ", "ALPHABET INC-CL A", "180.00", 0.30),
        stock(107113386, "META", "NASDAQ", "META PLATFORMS INC-CLASS A", "580.00", 0.35),
        stock(4815747, "NVDA", "NASDAQ", "NVIDIA CORP", "140.00", 0.50),
        stock(76792991, "TSLA", "NASDAQ", "TESLA INC", "330.00", 0.60),
        stock(8314, "IBM", "NYSE", "INTL BUSINESS MACHINES CORP", "220.00", 0.22),
        stock(1520593, "JPM", "NYSE", "JPMORGAN CHASE & CO", "245.00", 0.24),
        stock(756733, "SPY", "ARCA", "STATE STREET SPDR S&P 500 ETF", "590.00", 0.15, "ETF"),
        stock(9579970, "IWM", "ARCA", "ISHARES RUSSELL 2000 ETF", "235.00", 0.21, "ETF"),
        stock(320227571, "QQQ", "NASDAQ", "INVESCO QQQ TRUST SERIES 1", "500.00", 0.20, "ETF"),
        stock(14204, "SAP", "IBIS", "SAP SE", "220.00", 0.27, currency="EUR"),
        currency_pair(12087792, "EUR", "USD", "1.05000"),
        currency_pair(12087797, "GBP", "USD", "1.26000"),
        currency_pair(15016059, "USD", "JPY", "154.000", "0.005"),
        currency_pair(12087807, "EUR", "GBP", "0.83300"),
        index(416904, "SPX", "CBOE", "S&P 500 STOCK INDEX", "5900.00", 0.15),
        index(416843, "NDX", "NASDAQ", "NASDAQ 100 STOCK INDEX", "20700.00", 0.20),
        index(17340715, "CL", "NYMEX", "LIGHT SWEET CRUDE OIL", "70.00", 0.35),
    ]
)
# symbol -> what its underlying is and how it is traded; margins are amounts per contract
FUTURES: dict[str, dict[str, object]] = {
    "ES": {"underlying": "SPX", "exchange": "CME", "name": "E-MINI S&P 500", "multiplier": 50, "min_tick": "0.25",
           "initial_margin": "18000", "maintenance_margin": "16000", "commission": "0.85"},
    "MES": {"underlying": "SPX", "exchange": "CME", "name": "MICRO E-MINI S&P 500", "multiplier": 5, "min_tick": "0.25",
            "initial_margin": "1800", "maintenance_margin": "1600", "commission": "0.25"},
    "NQ": {"underlying": "NDX", "exchange": "CME", "name": "E-MINI NASDAQ 100", "multiplier": 20, "min_tick": "0.25",
           "initial_margin": "26000", "maintenance_margin": "24000", "commission": "0.85"},
    "CL": {"underlying": "CL", "exchange": "NYMEX", "name": "LIGHT SWEET CRUDE OIL", "multiplier": 1000,
           "min_tick": "0.01", "initial_margin": "7000", "maintenance_margin": "6400", "commission": "0.85"},
}  # fmt: skip
# underlying -> distance of strikes
OPTIONS = {"AAPL": "5", "SPY": "10"}


def listed(today: date) -> Catalogue:
    """Return the broker's own listings with the futures and options that exist on ``today``."""
    catalogue = Catalogue(LISTED)
    for symbol, terms in FUTURES.items():
        for expiry in expiries(today, "monthly" if symbol == "CL" else "quarterly", 4):
            catalogue.add(listed_future(catalogue, symbol, expiry, terms))
    for symbol, step in OPTIONS.items():
        underlying = catalogue.find(ContractQuery(symbol=symbol, sec_type="STK"))[0]
        for expiry in expiries(today, "monthly", 3):
            for strike in strikes_around(underlying.reference_price, Decimal(step), 10):
                for right in "CP":
                    catalogue.add(option(underlying, expiry, strike, right))
    return catalogue


def listed_future(catalogue: Catalogue, symbol: str, expiry: str, terms: Mapping[str, object]) -> Instrument:
    """Return one future by its ``terms``, which are those of FUTURES."""
    underlying = catalogue.find(ContractQuery(symbol=str(terms["underlying"]), sec_type="IND"))[0]
    return future(
        underlying,
        symbol,
        expiry,
        exchange=str(terms["exchange"]),
        name=str(terms["name"]),
        multiplier=int(str(terms["multiplier"])),
        min_tick=Decimal(str(terms["min_tick"])),
        initial_margin=Decimal(str(terms["initial_margin"])),
        maintenance_margin=Decimal(str(terms["maintenance_margin"])),
        commission=Decimal(str(terms["commission"])),
    )
