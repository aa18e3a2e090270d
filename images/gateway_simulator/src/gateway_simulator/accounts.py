# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account's values under the keys by which clients know them."""

from __future__ import annotations

from .model import Valuation


def account_values(valuation: Valuation) -> list[tuple[str, str, str]]:
    """Return the account as (key, value, currency); what a currency's ledger holds comes for USD and for BASE."""
    general = {
        "AvailableFunds": valuation.available_funds,
        "BuyingPower": valuation.buying_power,
        "EquityWithLoanValue": valuation.net_liquidation,
        "ExcessLiquidity": valuation.available_funds,
        "FullAvailableFunds": valuation.available_funds,
        "FullInitMarginReq": valuation.initial_margin,
        "GrossPositionValue": valuation.gross_value,
        "InitMarginReq": valuation.initial_margin,
        "MaintMarginReq": valuation.maintenance_margin,
        "NetLiquidation": valuation.net_liquidation,
        "TotalCashValue": valuation.cash,
    }
    return [
        ("AccountType", "INDIVIDUAL", ""),
        *((key, str(amount), "USD") for key, amount in general.items()),
        *ledger_values(valuation),
    ]


def ledger_values(valuation: Valuation) -> list[tuple[str, str, str]]:
    """Return the one currency's ledger as (key, value, currency), for USD and for BASE."""
    ledger = {
        "CashBalance": valuation.cash,
        "NetLiquidationByCurrency": valuation.net_liquidation,
        "RealizedPnL": valuation.realized,
        "StockMarketValue": valuation.market_value,
        "TotalCashBalance": valuation.cash,
        "UnrealizedPnL": valuation.unrealized,
    }
    return [(key, str(amount), currency) for currency in ("USD", "BASE") for key, amount in ledger.items()]
