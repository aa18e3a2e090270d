# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything a client can ask for, whatever the dialect in which it asked.

A ``request_id`` is the client's own number for its request; answers and errors carry it. Texts are as the client wrote
them: what they mean, and whether they mean anything, is for whoever serves the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .model import ContractQuery, OrderTerms


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for."""


@dataclass(frozen=True, slots=True)
class NumberedRequest(Request):
    """A request that its answers name."""

    request_id: int


# --- session ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartApi(Request):
    """The first request of every connection."""

    client_id: int


@dataclass(frozen=True, slots=True)
class SetServerLogLevel(Request):
    """How much the gateway logs of this client, 1 (system) to 5 (detail)."""

    level: int


@dataclass(frozen=True, slots=True)
class RequestIds(Request):
    """The lowest order id to use."""


@dataclass(frozen=True, slots=True)
class RequestManagedAccounts(Request):
    """The accounts of this login."""


@dataclass(frozen=True, slots=True)
class RequestCurrentTime(Request):
    """The server's time in seconds."""


@dataclass(frozen=True, slots=True)
class RequestCurrentTimeInMilliseconds(Request):
    """The server's time in milliseconds."""


@dataclass(frozen=True, slots=True)
class RequestFamilyCodes(Request):
    """The family codes of the accounts."""


@dataclass(frozen=True, slots=True)
class RequestUserInfo(NumberedRequest):
    """The user's white branding."""


@dataclass(frozen=True, slots=True)
class RequestSoftDollarTiers(NumberedRequest):
    """The soft dollar tiers of the login."""


@dataclass(frozen=True, slots=True)
class RequestNewsProviders(Request):
    """The news providers subscribed to."""


@dataclass(frozen=True, slots=True)
class RequestNewsBulletins(Request):
    """The exchange's bulletins; there are none."""


@dataclass(frozen=True, slots=True)
class CancelNewsBulletins(Request):
    """No more bulletins."""


@dataclass(frozen=True, slots=True)
class RequestMarketDepthExchanges(Request):
    """The exchanges that offer market depth."""


@dataclass(frozen=True, slots=True)
class QueryDisplayGroups(NumberedRequest):
    """The display groups of the terminal; a gateway has none."""


@dataclass(frozen=True, slots=True)
class NotServed(NumberedRequest):
    """A request that is understood but not played; ``request_id`` is -1 when it has none."""

    what: str


@dataclass(frozen=True, slots=True)
class Ignored(Request):
    """A request with neither an answer nor an effect, such as ending what was never begun."""


# --- account ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestAccountUpdates(Request):
    """Values and portfolio of an account, now and at every change; or no more of them."""

    subscribe: bool
    account: str


@dataclass(frozen=True, slots=True)
class RequestAccountUpdatesMulti(NumberedRequest):
    """Values of an account, now and at every change."""

    account: str
    model: str
    ledger_and_nlv: bool


@dataclass(frozen=True, slots=True)
class CancelAccountUpdatesMulti(NumberedRequest):
    """No more values."""


@dataclass(frozen=True, slots=True)
class RequestAccountSummary(NumberedRequest):
    """The wanted tags (comma separated) of all accounts of a group, now and at every change."""

    group: str
    tags: str


@dataclass(frozen=True, slots=True)
class CancelAccountSummary(NumberedRequest):
    """No more of the summary."""


@dataclass(frozen=True, slots=True)
class RequestPositions(Request):
    """All positions, now and at every change."""


@dataclass(frozen=True, slots=True)
class CancelPositions(Request):
    """No more positions."""


@dataclass(frozen=True, slots=True)
class RequestPositionsMulti(NumberedRequest):
    """The positions of one account and model, now and at every change."""

    account: str
    model: str


@dataclass(frozen=True, slots=True)
class CancelPositionsMulti(NumberedRequest):
    """No more positions."""


@dataclass(frozen=True, slots=True)
class RequestPnl(NumberedRequest):
    """Profit and loss of an account, now and at every change."""

    account: str
    model: str


@dataclass(frozen=True, slots=True)
class CancelPnl(NumberedRequest):
    """No more profit and loss."""


@dataclass(frozen=True, slots=True)
class RequestPnlSingle(NumberedRequest):
    """Profit and loss of one position, now and at every change."""

    account: str
    model: str
    con_id: int


@dataclass(frozen=True, slots=True)
class CancelPnlSingle(NumberedRequest):
    """No more profit and loss of one position."""


# --- instruments -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestContractDetails(NumberedRequest):
    """Everything about every instrument that fits."""

    contract: ContractQuery


@dataclass(frozen=True, slots=True)
class CancelContractDetails(NumberedRequest):
    """No more instruments."""


@dataclass(frozen=True, slots=True)
class RequestMatchingSymbols(NumberedRequest):
    """Instruments whose symbol or name begins with ``pattern``."""

    pattern: str


@dataclass(frozen=True, slots=True)
class RequestOptionParameters(NumberedRequest):
    """Expirations and strikes of the options on an underlying."""

    symbol: str
    exchange: str
    sec_type: str
    con_id: int


@dataclass(frozen=True, slots=True)
class RequestMarketRule(Request):
    """The price increments of a market rule; answers carry the rule's own number."""

    rule_id: int


@dataclass(frozen=True, slots=True)
class RequestSmartComponents(NumberedRequest):
    """The exchanges behind the letters of a best-bid-and-offer exchange."""

    bbo_exchange: str


# --- prices ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestMarketDataType(Request):
    """Which data to send from now on: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""

    kind: int


@dataclass(frozen=True, slots=True)
class RequestMarketData(NumberedRequest):
    """Ticks of an instrument, once (``snapshot``) or until cancelled; ``generic_ticks`` is comma separated."""

    contract: ContractQuery
    generic_ticks: str
    snapshot: bool
    regulatory_snapshot: bool


@dataclass(frozen=True, slots=True)
class CancelMarketData(NumberedRequest):
    """No more ticks."""


@dataclass(frozen=True, slots=True)
class RequestTickByTick(NumberedRequest):
    """Every tick of one ``kind`` (Last, AllLast, BidAsk, MidPoint), after ``history`` past ones."""

    contract: ContractQuery
    kind: str
    history: int
    ignore_size: bool


@dataclass(frozen=True, slots=True)
class CancelTickByTick(NumberedRequest):
    """No more ticks."""


@dataclass(frozen=True, slots=True)
class RequestRealTimeBars(NumberedRequest):
    """A bar of five seconds, every five seconds."""

    contract: ContractQuery
    bar_seconds: int
    what_to_show: str
    regular_hours: bool


@dataclass(frozen=True, slots=True)
class CancelRealTimeBars(NumberedRequest):
    """No more bars."""


@dataclass(frozen=True, slots=True)
class RequestHistoricalData(NumberedRequest):
    """Bars up to ``end`` (empty: now). ``date_format`` is 1 for text, 2 for seconds since the epoch."""

    contract: ContractQuery
    end: str
    bar_size: str
    duration: str
    regular_hours: bool
    what_to_show: str
    date_format: int
    keep_up_to_date: bool


@dataclass(frozen=True, slots=True)
class CancelHistoricalData(NumberedRequest):
    """No more updates of the bars."""


@dataclass(frozen=True, slots=True)
class RequestHeadTimestamp(NumberedRequest):
    """The moment at which an instrument's history begins."""

    contract: ContractQuery
    regular_hours: bool
    what_to_show: str
    date_format: int


@dataclass(frozen=True, slots=True)
class CancelHeadTimestamp(NumberedRequest):
    """The answer is not wanted any more."""


@dataclass(frozen=True, slots=True)
class RequestHistoricalTicks(NumberedRequest):
    """Up to ``count`` past ticks after ``start`` or before ``end`` (one of them is empty)."""

    contract: ContractQuery
    start: str
    end: str
    count: int
    what_to_show: str
    regular_hours: bool
    ignore_size: bool


@dataclass(frozen=True, slots=True)
class CancelHistoricalTicks(NumberedRequest):
    """The answer is not wanted any more."""


# --- orders ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlaceOrder(Request):
    """Place an order, or modify the working order of that id; ``what_if`` only asks what it would do.

    ``unsupported`` names what the order uses that the simulator does not play: it is rejected rather than played wrong.
    """

    order_id: int
    contract: ContractQuery
    action: str
    quantity: Decimal
    account: str
    what_if: bool
    terms: OrderTerms
    unsupported: str = ""


@dataclass(frozen=True, slots=True)
class CancelOrder(Request):
    """Cancel this client's order; ``manual_time`` is when a human decided so, mostly empty."""

    order_id: int
    manual_time: str = ""


@dataclass(frozen=True, slots=True)
class CancelAllOrders(Request):
    """Cancel every working order of every client."""


@dataclass(frozen=True, slots=True)
class RequestOpenOrders(Request):
    """This client's working orders."""


@dataclass(frozen=True, slots=True)
class RequestAllOpenOrders(Request):
    """The working orders of every client."""


@dataclass(frozen=True, slots=True)
class RequestAutoOpenOrders(Request):
    """Whether client 0 is told of orders that were placed by hand, and owns them (``bind``)."""

    bind: bool


@dataclass(frozen=True, slots=True)
class RequestCompletedOrders(Request):
    """The orders that were done today, of every client (``api_only`` False: and those placed by hand)."""

    api_only: bool


@dataclass(frozen=True, slots=True)
class RequestExecutions(NumberedRequest):
    """The executions that fit; an empty field, or client id 0, does not restrict.

    ``last_days`` counts days back from today, None for today alone; ``dates`` are YYYYMMDD.
    """

    client_id: int
    account: str
    since: str
    symbol: str
    sec_type: str
    exchange: str
    side: str
    last_days: int | None = None
    dates: tuple[str, ...] = ()
