# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be traded, and by which rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from . import requests
from .model import ORDER_TYPES, Instrument
from .requests import Request
from .service import NOT_FOUND, Service

# The order types as contract details name them.
ORDER_TYPE_NAMES = ",".join(sorted(name.replace(" ", "") for name in ORDER_TYPES))
_RULES_PER_UNIT = 100_000


def market_rule_of(instrument: Instrument) -> int:
    """Return the number of the market rule with the instrument's one price increment."""
    return int(instrument.min_tick * _RULES_PER_UNIT)


class ListingService(Service):
    """Tells a client of instruments."""

    @property
    def handlers(self) -> Mapping[type[Request], Callable[[Any], None]]:
        """What is done at each kind of request."""
        return {
            requests.RequestContractDetails: self._request_contract_details,
            requests.RequestMatchingSymbols: self._request_matching_symbols,
            requests.RequestOptionParameters: self._request_option_parameters,
            requests.RequestMarketRule: self._request_market_rule,
            requests.RequestSmartComponents: self._request_smart_components,
            requests.CancelContractDetails: lambda _request: None,  # they are sent at once
        }

    def _request_contract_details(self, request: requests.RequestContractDetails) -> None:
        found = self._simulator.catalogue.find(request.contract)
        if not found:
            self._fail(request.request_id, 200, NOT_FOUND)
            return
        self._send(
            *(self._details(request.request_id, instrument) for instrument in found),
            self._dialect.contract_details_end(request.request_id),
        )

    def _details(self, request_id: int, instrument: Instrument) -> bytes:
        rules = ",".join([str(market_rule_of(instrument))] * len(instrument.valid_exchanges))
        hours = self._simulator.world.trading_hours(instrument, self._now)
        return self._dialect.contract_details(request_id, instrument, ORDER_TYPE_NAMES, rules, hours)

    def _request_matching_symbols(self, request: requests.RequestMatchingSymbols) -> None:
        catalogue = self._simulator.catalogue
        found = [(one, catalogue.derivatives_of(one.con_id)) for one in catalogue.search(request.pattern)]
        self._send(self._dialect.symbol_samples(request.request_id, found))

    def _request_option_parameters(self, request: requests.RequestOptionParameters) -> None:
        chains = self._simulator.catalogue.option_parameters(request.con_id)
        self._send(
            *(
                self._dialect.option_parameters(request.request_id, chain)
                for chain in chains
                if request.exchange in ("", chain.exchange)
            ),
            self._dialect.option_parameters_end(request.request_id),
        )

    def _request_market_rule(self, request: requests.RequestMarketRule) -> None:
        increments = {market_rule_of(instrument): instrument.min_tick for instrument in self._simulator.catalogue}
        if request.rule_id not in increments:
            self._fail(-1, 321, f"Error validating request: there is no market rule {request.rule_id}")
            return
        self._send(self._dialect.market_rule(request.rule_id, [(Decimal(0), increments[request.rule_id])]))

    def _request_smart_components(self, request: requests.RequestSmartComponents) -> None:
        exchanges = sorted({exchange for one in self._simulator.catalogue for exchange in one.valid_exchanges})
        routed = [exchange for exchange in exchanges if exchange != "SMART"]
        self._send(self._dialect.smart_components(request.request_id, routed))
