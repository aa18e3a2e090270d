# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account: values under the keys by which clients know them, portfolio, positions, profit and loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from . import requests
from .messages import NO_REQUEST
from .model import NO_CENTS, CurrencyLedger, Event, Pnl, Position, PositionChanged, PositionValue, Valuation
from .requests import NumberedRequest, Request
from .service import Service

if TYPE_CHECKING:
    from .session import Session

# As many summaries as a gateway lets one client have.
MOST_SUMMARIES = 2
PNL_SECONDS = 1.0

AccountValue = tuple[str, str, str]


def general_values(valuation: Valuation) -> list[AccountValue]:
    """Return the account in its base currency as (key, value, currency)."""
    amounts = {
        "AccruedCash": Decimal("0.00"),
        "AvailableFunds": valuation.available_funds,
        "BuyingPower": valuation.buying_power,
        "EquityWithLoanValue": valuation.net_liquidation,
        "ExcessLiquidity": valuation.excess_liquidity,
        "FullAvailableFunds": valuation.available_funds,
        "FullExcessLiquidity": valuation.excess_liquidity,
        "FullInitMarginReq": valuation.initial_margin,
        "FullMaintMarginReq": valuation.maintenance_margin,
        "GrossPositionValue": valuation.gross_value,
        "InitMarginReq": valuation.initial_margin,
        "LookAheadAvailableFunds": valuation.available_funds,
        "LookAheadExcessLiquidity": valuation.excess_liquidity,
        "LookAheadInitMarginReq": valuation.initial_margin,
        "LookAheadMaintMarginReq": valuation.maintenance_margin,
        "MaintMarginReq": valuation.maintenance_margin,
        "NetLiquidation": valuation.net_liquidation,
        "PreviousDayEquityWithLoanValue": valuation.net_liquidation - valuation.pnl.daily,
        "TotalCashValue": valuation.cash,
    }
    worth = valuation.net_liquidation
    cushion = (valuation.excess_liquidity / worth).quantize(Decimal("0.000001")) if worth > 0 else Decimal(0)
    leverage = (valuation.gross_value / worth).quantize(Decimal("0.01")) if worth > 0 else Decimal(0)
    return [
        ("AccountReady", "true", ""),
        ("AccountType", "INDIVIDUAL", ""),
        ("Cushion", str(cushion), ""),
        ("DayTradesRemaining", "-1", ""),
        ("Leverage", str(leverage), ""),
        *((key, str(amount), valuation.base_currency) for key, amount in amounts.items()),
    ]


def ledger_values(valuation: Valuation) -> list[AccountValue]:
    """Return the ledger of every currency, and that of all in the base currency (BASE), as (key, value, currency)."""
    values = [value for ledger in valuation.ledgers for value in _ledger(ledger)]
    # The sum of all is written as one more ledger, whose positions have their worth in the base currency.
    base = {
        "CashBalance": valuation.cash,
        "ExchangeRate": Decimal("1.00"),
        "NetLiquidationByCurrency": valuation.net_liquidation,
        "RealizedPnL": valuation.realized,
        "TotalCashBalance": valuation.cash,
        "UnrealizedPnL": valuation.unrealized,
    }
    return [*values, ("Currency", "BASE", "BASE"), *((key, str(amount), "BASE") for key, amount in base.items())]


def _ledger(ledger: CurrencyLedger) -> list[AccountValue]:
    amounts = {
        "CashBalance": ledger.cash,
        "ExchangeRate": ledger.rate,
        "FuturesPNL": ledger.value_of("FUT"),
        "NetLiquidationByCurrency": ledger.net_liquidation,
        "OptionMarketValue": ledger.value_of("OPT"),
        "RealizedPnL": ledger.realized,
        "StockMarketValue": ledger.value_of("STK"),
        "TotalCashBalance": ledger.cash,
        "UnrealizedPnL": ledger.unrealized,
    }
    currency = ledger.currency
    return [("Currency", currency, currency), *((key, str(amount), currency) for key, amount in amounts.items())]


class AccountService(Service):
    """Tells a client of the account, once or until it has heard enough."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._follows_account = False
        self._follows_positions = False
        self._updates: dict[int, bool] = {}
        self._summaries: dict[int, frozenset[str]] = {}
        self._positions: set[int] = set()
        self._pnl: dict[int, Pnl | None] = {}
        self._pnl_single: dict[int, tuple[int, PositionValue | None]] = {}
        self._next_update = 0.0
        self._next_pnl = 0.0

    @property
    def handlers(self) -> Mapping[type[Request], Callable[[Any], None]]:
        """What is done at each kind of request."""
        return {
            requests.RequestPositions: self._request_positions,
            requests.CancelPositions: self._cancel_positions,
            requests.RequestPositionsMulti: self._request_positions_multi,
            requests.CancelPositionsMulti: self._cancel_positions_multi,
            requests.RequestAccountUpdates: self._request_account_updates,
            requests.RequestAccountUpdatesMulti: self._request_account_updates_multi,
            requests.CancelAccountUpdatesMulti: self._cancel_account_updates_multi,
            requests.RequestAccountSummary: self._request_account_summary,
            requests.CancelAccountSummary: self._cancel_account_summary,
            requests.RequestPnl: self._request_pnl,
            requests.CancelPnl: self._cancel_pnl,
            requests.RequestPnlSingle: self._request_pnl_single,
            requests.CancelPnlSingle: self._cancel_pnl_single,
        }

    def news(self, events: Sequence[Event]) -> list[bytes]:
        """Tell of positions that changed, and of the account when one did."""
        frames: list[bytes] = []
        changed = False
        for event in events:
            if isinstance(event, PositionChanged):
                changed = True
                instrument = self._simulator.catalogue[event.position.con_id]
                if self._follows_positions:
                    frames.append(self._dialect.position(self._account, instrument, event.position))
                frames += [
                    self._dialect.position_multi(request_id, self._account, instrument, event.position)
                    for request_id in self._positions
                ]
        if changed and self._follows_values:
            frames += self._values()
        return frames

    def tick(self) -> list[bytes]:
        """Tell of the account as often as a gateway does without a reason, and of profit and loss every second."""
        frames: list[bytes] = []
        now = self._now
        if self._follows_values and now >= self._next_update:
            frames += self._values()
        if (self._pnl or self._pnl_single) and now >= self._next_pnl:
            self._next_pnl = now + PNL_SECONDS
            valuation = self._simulator.broker.valuation()
            for request_id in self._pnl:
                frames += self._pnl_news(request_id, valuation)
            for request_id in self._pnl_single:
                frames += self._pnl_single_news(request_id, valuation)
        return frames

    # --- positions --------------------------------------------------------------------------------------------------

    def _request_positions(self, _request: Request) -> None:
        self._follows_positions = True
        catalogue = self._simulator.catalogue
        held = (position for position in self._simulator.broker.positions.values() if position.quantity)
        self._send(
            *(self._dialect.position(self._account, catalogue[position.con_id], position) for position in held),
            self._dialect.position_end(),
        )

    def _cancel_positions(self, _request: Request) -> None:
        self._follows_positions = False

    def _request_positions_multi(self, request: requests.RequestPositionsMulti) -> None:
        request_id = request.request_id
        if not self._is_ours(request_id, request.account, request.model):
            return
        self._positions.add(request_id)
        catalogue = self._simulator.catalogue
        held = (position for position in self._simulator.broker.positions.values() if position.quantity)
        self._send(
            *(
                self._dialect.position_multi(request_id, self._account, catalogue[position.con_id], position)
                for position in held
            ),
            self._dialect.position_multi_end(request_id),
        )

    def _cancel_positions_multi(self, request: NumberedRequest) -> None:
        self._positions.discard(request.request_id)

    # --- values -----------------------------------------------------------------------------------------------------

    def _request_account_updates(self, request: requests.RequestAccountUpdates) -> None:
        if not self._is_ours(NO_REQUEST, request.account):
            return
        self._follows_account = request.subscribe
        if request.subscribe:
            valuation = self._simulator.broker.valuation()
            self._send(*self._download(valuation), self._dialect.account_download_end(self._account))
            self._put_off()

    def _request_account_updates_multi(self, request: requests.RequestAccountUpdatesMulti) -> None:
        request_id = request.request_id
        if not self._is_ours(request_id, request.account, request.model):
            return
        self._updates[request_id] = request.ledger_and_nlv
        valuation = self._simulator.broker.valuation()
        self._send(*self._updates_of(request_id, valuation), self._dialect.account_update_multi_end(request_id))
        self._put_off()

    def _cancel_account_updates_multi(self, request: NumberedRequest) -> None:
        self._updates.pop(request.request_id, None)

    def _request_account_summary(self, request: requests.RequestAccountSummary) -> None:
        # The one account is in every group.
        request_id = request.request_id
        if request_id not in self._summaries and len(self._summaries) >= MOST_SUMMARIES:
            text = "Error processing request: Maximum number of account summary requests exceeded"
            self._fail(request_id, 322, text)
            return
        self._summaries[request_id] = frozenset(request.tags.split(","))
        valuation = self._simulator.broker.valuation()
        self._send(*self._summary_of(request_id, valuation), self._dialect.account_summary_end(request_id))
        self._put_off()

    def _cancel_account_summary(self, request: NumberedRequest) -> None:
        self._summaries.pop(request.request_id, None)

    @property
    def is_followed(self) -> bool:
        """Tell whether the client wants to know of changes."""
        return self._follows_values or self._follows_positions or bool(self._positions)

    @property
    def _follows_values(self) -> bool:
        return bool(self._follows_account or self._updates or self._summaries)

    def _put_off(self) -> None:
        self._next_update = self._now + self._simulator.settings.account_update_seconds

    def _values(self) -> list[bytes]:
        self._put_off()
        valuation = self._simulator.broker.valuation()
        frames = self._download(valuation) if self._follows_account else []
        for request_id in self._updates:
            frames += self._updates_of(request_id, valuation)
        for request_id in self._summaries:
            frames += self._summary_of(request_id, valuation)
        return frames

    def _download(self, valuation: Valuation) -> list[bytes]:
        values = [("AccountCode", self._account, ""), *general_values(valuation), *ledger_values(valuation)]
        catalogue = self._simulator.catalogue
        return [
            *(self._dialect.account_value(*value, self._account) for value in values),
            *(
                self._dialect.portfolio_value(self._account, catalogue[value.position.con_id], value)
                for value in valuation.positions
                if value.position.is_current
            ),
            self._dialect.account_time(self._simulator.gateway_time()),
        ]

    def _updates_of(self, request_id: int, valuation: Valuation) -> list[bytes]:
        values = ledger_values(valuation)
        if not self._updates[request_id]:
            values = [*general_values(valuation), *values]
        return [self._dialect.account_update_multi(request_id, self._account, *value) for value in values]

    def _summary_of(self, request_id: int, valuation: Valuation) -> list[bytes]:
        tags = self._summaries[request_id]
        values = [value for value in general_values(valuation) if value[0] in tags]
        for ledger in (tag for tag in tags if tag.startswith("$LEDGER")):
            # $LEDGER alone is the base currency's, $LEDGER:ALL has all, $LEDGER:EUR one.
            wanted = ledger.partition(":")[2] or "BASE"
            values += [value for value in ledger_values(valuation) if wanted in ("ALL", value[2])]
        return [self._dialect.account_summary(request_id, self._account, *value) for value in values]

    # --- profit and loss --------------------------------------------------------------------------------------------

    def _request_pnl(self, request: requests.RequestPnl) -> None:
        if self._is_ours(request.request_id, request.account, request.model):
            self._pnl[request.request_id] = None
            self._send(*self._pnl_news(request.request_id, self._simulator.broker.valuation()))

    def _cancel_pnl(self, request: NumberedRequest) -> None:
        self._pnl.pop(request.request_id, None)

    def _request_pnl_single(self, request: requests.RequestPnlSingle) -> None:
        if not self._is_ours(request.request_id, request.account, request.model):
            return
        if request.con_id not in self._simulator.catalogue:
            self._fail(request.request_id, 321, f"Error validating request: Invalid conId {request.con_id}")
            return
        self._pnl_single[request.request_id] = request.con_id, None
        self._send(*self._pnl_single_news(request.request_id, self._simulator.broker.valuation()))

    def _cancel_pnl_single(self, request: NumberedRequest) -> None:
        self._pnl_single.pop(request.request_id, None)

    def _pnl_news(self, request_id: int, valuation: Valuation) -> list[bytes]:
        if self._pnl[request_id] == valuation.pnl:
            return []
        self._pnl[request_id] = valuation.pnl
        return [self._dialect.pnl(request_id, valuation.pnl)]

    def _pnl_single_news(self, request_id: int, valuation: Valuation) -> list[bytes]:
        con_id, told = self._pnl_single[request_id]
        held = next((value for value in valuation.positions if value.position.con_id == con_id), None)
        if held is None:
            price = self._simulator.quote(self._simulator.catalogue[con_id]).last
            held = PositionValue(Position(con_id), price, NO_CENTS, NO_CENTS)
            # Nothing is held: the price alone is no news.
            if told is not None and not told.position.quantity:
                return []
        if held == told:
            return []
        self._pnl_single[request_id] = con_id, held
        return [self._dialect.pnl_single(request_id, held)]

    # --- inside -----------------------------------------------------------------------------------------------------

    def _is_ours(self, request_id: int, account: str, model: str = "") -> bool:
        """Tell whether the request is for this login's account; fail it when it is not."""
        if account not in ("", "All", self._account):
            self._fail(request_id, 321, f"Error validating request: Invalid account code {account!r}")
            return False
        if model:
            self._fail(request_id, 321, f"Error validating request: there is no model {model!r}")
            return False
        return True
