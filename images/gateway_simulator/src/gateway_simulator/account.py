# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account's books: cash, positions, margin, commissions, and profit and loss.

Money is whole cents (of any currency). The cost of a position includes the commissions paid to open it, as at the real
broker, and is kept as a total. The price of a future is never paid: it is kept beside the cost as ``unpaid``, and what
a future gains or loses comes to the cash when it is closed. So that, at any moment, to the cent, in every currency,

    cash + sum of (cost - unpaid) == starting cash and holdings + realized profit and loss
    net liquidation == cash + sum of (market value - unpaid)

with the cost of a short position negative. Whatever an average price is rounded to on the wire, the books hold.

A position in a pair of currencies is one in its symbol, paid for in its currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import is_not

from .contracts import Catalogue
from .model import (
    NO_CENTS,
    ContractQuery,
    CurrencyLedger,
    Execution,
    Instrument,
    MarginChange,
    Position,
    PositionValue,
    Quote,
    Valuation,
    cents,
)

BASE_CURRENCY = "USD"
STARTING_CASH = Decimal("1000000.00")
# An order this large is filled in two executions, at two ticks of the market.
PARTIAL_FILL_FROM = 100

# A short option binds this much of its underlying's value, less what it is out of the money, and at least that much.
_SHORT_OPTION = Decimal("0.20")
_SHORT_OPTION_LEAST = Decimal("0.10")


@dataclass(frozen=True, slots=True)
class StartingPosition:
    """What the account holds when it begins; ``average_cost`` is the price paid, None for the present one."""

    con_id: int
    quantity: int
    average_cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccountRules:
    """How the account begins and what binds it.

    The margin rates are parts of the value of stocks and currencies. ``exchange_rates`` has the worth in the base
    currency of a unit of the currencies that no listed pair prices.
    """

    cash: Mapping[str, Decimal] = field(default_factory=lambda: {BASE_CURRENCY: STARTING_CASH})
    positions: tuple[StartingPosition, ...] = ()
    initial_margin: Decimal = Decimal("0.25")
    maintenance_margin: Decimal = Decimal("0.25")
    exchange_rates: Mapping[str, Decimal] = field(default_factory=dict)
    partial_fill_from: int = PARTIAL_FILL_FROM


def commission_of(instrument: Instrument, quantity: int, value: Decimal, rate: Decimal = Decimal(1)) -> Decimal:
    """Return the commission in the instrument's currency for ``quantity`` units worth ``value`` of one order.

    Interactive Brokers' fixed schedule: stocks 0.005 per share, at least 1.00, at most 1 % of the value; stocks in
    other currencies 5 basis points of the value, at least 3.00; options 0.65 per contract, at least 1.00; futures by
    contract; currencies 0.2 basis points of the value, at least 2.00 dollars, of which one unit is worth ``rate``.
    """
    if instrument.sec_type == "CASH":
        return cents(max(Decimal("2.00") / rate, value * Decimal("0.00002")))
    if instrument.sec_type == "OPT":
        return cents(max(Decimal("1.00"), quantity * Decimal("0.65")))
    if instrument.sec_type == "FUT":
        return cents(quantity * instrument.commission)
    if instrument.currency != BASE_CURRENCY:
        return cents(max(Decimal("3.00"), value * Decimal("0.0005")))
    return cents(min(max(Decimal("1.00"), quantity * Decimal("0.005")), value * Decimal("0.01")))


class Account:
    """Cash by currency and positions by contract id, valued by ``quote``."""

    def __init__(self, catalogue: Catalogue, quote: Callable[[Instrument], Quote], rules: AccountRules) -> None:
        self.rules = rules
        self.balances: dict[str, Decimal] = {BASE_CURRENCY: NO_CENTS, **rules.cash}
        self.positions: dict[int, Position] = {}
        self._catalogue = catalogue
        self._quote = quote
        self._pairs: dict[str, tuple[Instrument, bool] | None] = {}
        # What the worth of the books depends on, and the last valuation with the quotes that it was made from.
        self._priced_by: list[Instrument] | None = None
        self._valued: tuple[list[Quote], Valuation] | None = None
        for start in rules.positions:
            instrument = catalogue[start.con_id]
            price = quote(instrument).last if start.average_cost is None else start.average_cost
            cost = cents(price * start.quantity * instrument.multiplier)
            unpaid = cost if instrument.sec_type == "FUT" else NO_CENTS
            position = Position(start.con_id, start.quantity, cost, unpaid=unpaid)
            self.positions[start.con_id] = replace(position, day_profit=self._profit_at_close(position))

    def restore(self, balances: Mapping[str, Decimal], positions: dict[int, Position]) -> None:
        """Take over saved books."""
        self.balances = {BASE_CURRENCY: NO_CENTS, **balances}
        self.positions = positions
        self._priced_by = self._valued = None

    def held(self, instrument: Instrument) -> int:
        """Return the units held, negative when short."""
        position = self.positions.get(instrument.con_id)
        return 0 if position is None else position.quantity

    # --- worth ------------------------------------------------------------------------------------------------------

    def rate(self, currency: str) -> Decimal:
        """Return what a unit of ``currency`` is worth in the base currency. Raises KeyError when nothing says so."""
        if currency == BASE_CURRENCY:
            return Decimal(1)
        known = self._pair(currency)
        if known is None:
            return self.rules.exchange_rates[currency]
        pair, inverse = known
        price = self._quote(pair).last
        return 1 / price if inverse else price

    def valuation(self) -> Valuation:
        """Return the account at the current prices; market values are whole cents at the last price."""
        if self._priced_by is None:
            self._priced_by = self._pricing()
        quotes = [self._quote(instrument) for instrument in self._priced_by]
        if self._valued is None or any(map(is_not, quotes, self._valued[0])):
            self._valued = quotes, self._valuation()
        return self._valued[1]

    def _pricing(self) -> list[Instrument]:
        """Return the instruments of current positions, what options are derived from, and the currency pairs."""
        held = [self._catalogue[one.con_id] for one in self.positions.values() if one.is_current]
        underlyings = [self._catalogue[one.under_con_id] for one in held if one.sec_type == "OPT"]
        currencies = {self._catalogue[con_id].currency for con_id in self.positions} | set(self.balances)
        pairs = [pair[0] for currency in currencies if (pair := self._pair(currency)) is not None]
        return list({one.con_id: one for one in (*held, *underlyings, *pairs)}.values())

    def _valuation(self) -> Valuation:
        by_currency: dict[str, list[PositionValue]] = {currency: [] for currency in self.balances}
        rates: dict[str, Decimal] = {}
        initial = maintenance = NO_CENTS
        for position in self.positions.values():
            instrument = self._catalogue[position.con_id]
            currency = instrument.currency
            rate = rates.get(currency)
            if rate is None:
                rate = rates[currency] = self.rate(currency)
            price = self._quote(instrument).last if position.is_current else Decimal(0)
            market_value = cents(price * position.quantity * instrument.multiplier)
            unrealized = market_value - position.cost
            by_currency.setdefault(currency, []).append(
                PositionValue(position, price, market_value, unrealized, currency, instrument.sec_type, rate)
            )
            if position.quantity:
                bound = self._margin(instrument, position.quantity, price)
                initial += cents(bound[0] * rate)
                maintenance += cents(bound[1] * rate)
        ledgers = tuple(
            CurrencyLedger(
                currency,
                rates[currency] if currency in rates else self.rate(currency),
                self.balances.get(currency, NO_CENTS),
                tuple(values),
            )
            for currency, values in by_currency.items()
        )
        return Valuation(
            BASE_CURRENCY,
            ledgers,
            initial,
            maintenance,
            1 / self.rules.initial_margin,
            tuple(value for values in by_currency.values() for value in values),
        )

    def settlement_price(self, instrument: Instrument) -> Decimal:
        """Return the price at which an expired derivative is settled in cash."""
        if instrument.sec_type != "OPT":
            return self._quote(instrument).last
        underlying = self._quote(self._catalogue[instrument.under_con_id]).last
        value = underlying - instrument.strike if instrument.right == "C" else instrument.strike - underlying
        return max(value, Decimal(0))

    def lacks(self, instrument: Instrument, signed: int, price: Decimal) -> str:
        """Return what the account lacks to trade ``signed`` units more at ``price``, empty when it lacks nothing."""
        rate = self.rate(instrument.currency)
        held = self.held(instrument)
        valuation = self.valuation()
        if instrument.sec_type in ("STK", "CASH"):
            added = cents((abs(held + signed) - abs(held)) * price * rate)
            power = valuation.buying_power
            if added > max(power, NO_CENTS):
                return f"order adds {added} to positions, buying power is {cents(power)}"
            return ""
        before, after = (self._initial(instrument, units, price) for units in (held, held + signed))
        needed = cents((after - before) * rate)
        available = valuation.available_funds
        if needed > max(available, NO_CENTS):
            return f"order needs {needed} of initial margin, available funds are {available}"
        return ""

    def preview(self, instrument: Instrument, signed: int, price: Decimal) -> MarginChange:
        """Return what trading ``signed`` units more at ``price`` would do."""
        rate = self.rate(instrument.currency)
        held = self.held(instrument)
        before, after = (self._margin(instrument, units, price) if units else (NO_CENTS, NO_CENTS)
                         for units in (held, held + signed))  # fmt: skip
        valuation = self.valuation()
        value = abs(signed) * price * instrument.multiplier
        commission = commission_of(instrument, abs(signed), value, rate)
        equity = valuation.net_liquidation
        lacking = self.lacks(instrument, signed, price) if abs(held + signed) > abs(held) else ""
        return MarginChange(
            initial_before=valuation.initial_margin,
            initial_after=valuation.initial_margin + cents((after[0] - before[0]) * rate),
            maintenance_before=valuation.maintenance_margin,
            maintenance_after=valuation.maintenance_margin + cents((after[1] - before[1]) * rate),
            equity_before=equity,
            equity_after=equity - cents(commission * rate),
            commission=commission,
            commission_currency=instrument.currency,
            warning=lacking,
        )

    def _initial(self, instrument: Instrument, quantity: int, price: Decimal) -> Decimal:
        return self._margin(instrument, quantity, price)[0] if quantity else NO_CENTS

    def _margin(self, instrument: Instrument, quantity: int, price: Decimal) -> tuple[Decimal, Decimal]:
        """Return the initial and the maintenance margin of a position, in the instrument's currency, not rounded."""
        size = abs(quantity)
        if instrument.sec_type == "FUT":
            return size * instrument.initial_margin, size * instrument.maintenance_margin
        value = size * price * instrument.multiplier
        if instrument.sec_type != "OPT":
            return value * self.rules.initial_margin, value * self.rules.maintenance_margin
        if quantity > 0:
            # A long option is paid for and nothing can be borrowed on it.
            return value, value
        underlying = self._quote(self._catalogue[instrument.under_con_id]).last
        distance = instrument.strike - underlying if instrument.right == "C" else underlying - instrument.strike
        per_unit = max(
            _SHORT_OPTION * underlying - max(distance, Decimal(0)),
            _SHORT_OPTION_LEAST * (underlying if instrument.right == "C" else instrument.strike),
        )
        bound = size * instrument.multiplier * per_unit
        return bound, bound

    def _pair(self, currency: str) -> tuple[Instrument, bool] | None:
        """Return the pair that prices a currency, and whether it does so upside down; None when there is none."""
        if currency not in self._pairs:
            self._pairs[currency] = None
            for symbol, other, inverse in ((BASE_CURRENCY, currency, True), (currency, BASE_CURRENCY, False)):
                found = self._catalogue.find(ContractQuery(symbol=symbol, sec_type="CASH", currency=other))
                if found:
                    self._pairs[currency] = found[0], inverse
        return self._pairs[currency]

    # --- booking ----------------------------------------------------------------------------------------------------

    def book(
        self, instrument: Instrument, signed: int, price: Decimal, commission: Decimal
    ) -> tuple[Position, Decimal | None]:
        """Book a fill of ``signed`` units; return the position and what was realized, None if nothing was closed."""
        old = self.positions.get(instrument.con_id, Position(instrument.con_id))
        amount = cents(signed * price * instrument.multiplier)
        closing = 0 if old.quantity * signed >= 0 else min(abs(signed), abs(old.quantity))
        share = Decimal(closing) / abs(signed)
        closing_amount, closing_commission = cents(amount * share), cents(commission * share)
        quantity, cost, unpaid, realized = old.quantity, old.cost, old.unpaid, None
        if closing:
            part = Decimal(closing) / abs(quantity)
            released = cost if closing == abs(quantity) else cents(cost * part)
            realized = -closing_amount - closing_commission - released
            quantity += closing if signed > 0 else -closing
            cost -= released
            unpaid -= unpaid if closing == abs(old.quantity) else cents(unpaid * part)
        opening = abs(signed) - closing
        if opening:
            quantity += opening if signed > 0 else -opening
            cost += amount - closing_amount + commission - closing_commission
            if instrument.sec_type == "FUT":
                unpaid += amount - closing_amount
        self._pay(instrument.currency, amount + commission - (unpaid - old.unpaid))
        position = replace(
            old, quantity=quantity, cost=cost, unpaid=unpaid, realized=old.realized + (realized or NO_CENTS)
        )
        self._keep(position)
        return position, realized

    def correct(self, instrument: Instrument, execution: Execution, price: Decimal) -> tuple[Position, Decimal | None]:
        """Book the difference that another price of an execution makes: to the cost of what it opened while that is
        held, to what was realized otherwise. Return the position and what the execution realized.
        """
        old = self.positions[instrument.con_id]
        signed = execution.signed_quantity * instrument.multiplier
        difference = cents(signed * price) - cents(signed * execution.price)
        realized = execution.realized
        if realized is None and old.quantity * execution.signed_quantity > 0:
            unpaid = difference if instrument.sec_type == "FUT" else NO_CENTS
            position = replace(old, cost=old.cost + difference, unpaid=old.unpaid + unpaid)
            self._pay(instrument.currency, difference - unpaid)
        else:
            realized = (realized or NO_CENTS) - difference
            position = replace(old, realized=old.realized - difference)
            self._pay(instrument.currency, difference)
        self._keep(position)
        return position, realized

    def begin_day(self) -> list[int]:
        """Let the day's profit and loss begin at nothing; return the contract ids of the positions this concerns."""
        for position in list(self.positions.values()):
            profit = self._profit_at_close(position)
            self._keep(replace(position, realized_before=position.realized, day_profit=profit))
        return list(self.positions)

    def _keep(self, position: Position) -> None:
        old = self.positions.get(position.con_id)
        if old is None or old.is_current != position.is_current:
            self._priced_by = None
        self.positions[position.con_id] = position
        self._valued = None

    def _pay(self, currency: str, amount: Decimal) -> None:
        self.balances[currency] = self.balances.get(currency, NO_CENTS) - amount

    def _profit_at_close(self, position: Position) -> Decimal:
        """Return what was realized on a position and what is unrealized at the close of the day before."""
        if not position.quantity:
            return position.realized
        instrument = self._catalogue[position.con_id]
        value = cents(self._quote(instrument).close * position.quantity * instrument.multiplier)
        return value - position.cost + position.realized
