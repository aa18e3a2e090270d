# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three text messages with a whole order in them: their fields one after another, at every server version.

A field is the name of what it holds, or a name with the server versions that have it. A name without a value is an
empty field, which clients read as nothing, or as a number that is not set. Source: the official clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from .wire import UNSET_DOUBLE, Fields, Value, parse_decimal

MODELS = 103
ALWAYS = 1 << 31


# Compared and hashed by identity, for layouts are looked up with every order.
@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A field that only some server versions have: from ``since`` on, and no more from ``until`` on."""

    name: str
    since: int = 0
    until: int = ALWAYS


Layout = tuple[str | Slot, ...]

CONTRACT: Layout = (
    "conId", "symbol", "secType", "lastTradeDateOrContractMonth", "strike", "right", "multiplier", "exchange",
    "currency", "localSymbol", "tradingClass",
)  # fmt: skip

_MARGINS: Layout = (
    Slot("initMarginBefore", 142), Slot("maintMarginBefore", 142), Slot("equityWithLoanBefore", 142),
    Slot("initMarginChange", 142), Slot("maintMarginChange", 142), Slot("equityWithLoanChange", 142),
    "initMarginAfter", "maintMarginAfter", "equityWithLoanAfter",
)  # fmt: skip

_MARGINS_OUTSIDE_RTH: Layout = tuple(
    Slot(f"{name}{when}OutsideRTH", 195)
    for when in ("Before", "Change", "After")
    for name in ("initMargin", "maintMargin", "equityWithLoan")
)

_PEG_BEST: Layout = tuple(
    Slot(name, 170)
    for name in ("minTradeQty", "minCompeteSize", "competeAgainstBestOffset", "midOffsetAtWhole", "midOffsetAtHalf")
)

OPEN_ORDER: Layout = (
    Slot("version", until=145), "orderId", *CONTRACT, "action", "totalQuantity", "orderType", "lmtPrice", "auxPrice",
    "tif", "ocaGroup", "account", "openClose", "origin", "orderRef", "clientId", "permId", "outsideRth", "hidden",
    "discretionaryAmt", "goodAfterTime", "sharesAllocation", "faGroup", "faMethod", "faPercentage",
    Slot("faProfile", until=177), Slot("modelCode", MODELS), "goodTillDate", "rule80A", "percentOffset", "settlingFirm",
    "shortSaleSlot", "designatedLocation", "exemptCode", "auctionStrategy", "startingPrice", "stockRefPrice", "delta",
    "stockRangeLower", "stockRangeUpper", "displaySize", "blockOrder", "sweepToFill", "allOrNone", "minQty", "ocaType",
    "eTradeOnly", "firmQuoteOnly", "nbboPriceCap", "parentId", "triggerMethod", "volatility", "volatilityType",
    "deltaNeutralOrderType", "deltaNeutralAuxPrice", "continuousUpdate", "referencePriceType", "trailStopPrice",
    "trailingPercent", "basisPoints", "basisPointsType", "comboLegsDescription", "comboLegsCount",
    "orderComboLegsCount", "smartComboRoutingParamsCount", "scaleInitLevelSize", "scaleSubsLevelSize",
    "scalePriceIncrement", "hedgeType", "optOutSmartRouting", "clearingAccount", "clearingIntent", "notHeld",
    "deltaNeutralContract", "algoStrategy", "solicited", "whatIf", "status", *_MARGINS, "commissionAndFees",
    "minCommissionAndFees", "maxCommissionAndFees", "commissionAndFeesCurrency", Slot("marginCurrency", 195),
    *_MARGINS_OUTSIDE_RTH, Slot("suggestedSize", 195), Slot("rejectReason", 195), Slot("allocationsCount", 195),
    "warningText", "randomizeSize", "randomizePrice", Slot("conditionsCount", 102), Slot("adjustedOrderType", 102),
    Slot("triggerPrice", 102), Slot("setTrailStopPrice", 102), Slot("setLmtPriceOffset", 102),
    Slot("adjustedStopPrice", 102), Slot("adjustedStopLimitPrice", 102), Slot("adjustedTrailingAmount", 102),
    Slot("adjustableTrailingUnit", 102), Slot("softDollarTierName", 106), Slot("softDollarTierValue", 106),
    Slot("softDollarTierDisplayName", 106), Slot("cashQty", 111), Slot("dontUseAutoPriceForHedge", 141),
    Slot("isOmsContainer", 145), Slot("discretionaryUpToLimitPrice", 148), Slot("usePriceMgmtAlgo", 151),
    Slot("duration", 158), Slot("postToAts", 160), Slot("autoCancelParent", 162), *_PEG_BEST,
    Slot("customerAccount", 183), Slot("professionalCustomer", 184), Slot("bondAccruedInterest", 185),
    Slot("includeOvernight", 189), Slot("extOperator", 193), Slot("manualOrderIndicator", 193),
    Slot("submitter", 198), Slot("imbalanceOnly", 199),
)  # fmt: skip

COMPLETED_ORDER: Layout = (
    *CONTRACT, "action", "totalQuantity", "orderType", "lmtPrice", "auxPrice", "tif", "ocaGroup", "account",
    "openClose", "origin", "orderRef", "permId", "outsideRth", "hidden", "discretionaryAmt", "goodAfterTime",
    "faGroup", "faMethod", "faPercentage", Slot("faProfile", until=177), "modelCode", "goodTillDate", "rule80A",
    "percentOffset", "settlingFirm", "shortSaleSlot", "designatedLocation", "exemptCode", "startingPrice",
    "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper", "displaySize", "sweepToFill", "allOrNone",
    "minQty", "ocaType", "triggerMethod", "volatility", "volatilityType", "deltaNeutralOrderType",
    "deltaNeutralAuxPrice", "continuousUpdate", "referencePriceType", "trailStopPrice", "trailingPercent",
    "comboLegsDescription", "comboLegsCount", "orderComboLegsCount", "smartComboRoutingParamsCount",
    "scaleInitLevelSize", "scaleSubsLevelSize", "scalePriceIncrement", "hedgeType", "clearingAccount",
    "clearingIntent", "notHeld", "deltaNeutralContract", "algoStrategy", "solicited", "status", "randomizeSize",
    "randomizePrice", "conditionsCount", "setTrailStopPrice", "setLmtPriceOffset", "cashQty",
    "dontUseAutoPriceForHedge", "isOmsContainer", "autoCancelDate", "filledQuantity", "refFuturesConId",
    "autoCancelParent", "shareholder", "imbalanceOnly", "routeMarketableToBbo", "parentPermId", "completedTime",
    "completedStatus", *_PEG_BEST, Slot("customerAccount", 183), Slot("professionalCustomer", 184),
    Slot("submitter", 198),
)  # fmt: skip

# Up to the fields that only a combination has, and from there on.
_PLACE_ORDER_HEAD: Layout = (
    "secIdType", "secId", "action", "totalQuantity", "orderType", "lmtPrice", "auxPrice", "tif", "ocaGroup", "account",
    "openClose", "origin", "orderRef", "transmit", "parentId", "blockOrder", "sweepToFill", "displaySize",
    "triggerMethod", "outsideRth", "hidden",
)  # fmt: skip
_PLACE_ORDER_TERMS: Layout = (
    "sharesAllocation", "discretionaryAmt", "goodAfterTime", "goodTillDate", "faGroup", "faMethod", "faPercentage",
    Slot("faProfile", until=177), Slot("modelCode", MODELS), "shortSaleSlot", "designatedLocation", "exemptCode",
    "ocaType", "rule80A", "settlingFirm", "allOrNone", "minQty", "percentOffset", "eTradeOnly", "firmQuoteOnly",
    "nbboPriceCap", "auctionStrategy", "startingPrice", "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper",
    "overridePercentageConstraints", "volatility", "volatilityType", "deltaNeutralOrderType", "deltaNeutralAuxPrice",
)  # fmt: skip
_PLACE_ORDER_TRAIL: Layout = (
    "continuousUpdate", "referencePriceType", "trailStopPrice", "trailingPercent", "scaleInitLevelSize",
    "scaleSubsLevelSize", "scalePriceIncrement",
)  # fmt: skip
_PLACE_ORDER_TAIL: Layout = (
    "adjustedOrderType", "triggerPrice", "lmtPriceOffset", "adjustedStopPrice", "adjustedStopLimitPrice",
    "adjustedTrailingAmount", "adjustableTrailingUnit",
)  # fmt: skip
_PLACE_ORDER_LAST: Layout = (
    Slot("extOperator", 105), Slot("softDollarTierName", 106), Slot("softDollarTierValue", 106), Slot("cashQty", 111),
    Slot("mifid2DecisionMaker", 138), Slot("mifid2DecisionAlgo", 138), Slot("mifid2ExecutionTrader", 139),
    Slot("mifid2ExecutionAlgo", 139), Slot("dontUseAutoPriceForHedge", 141), Slot("isOmsContainer", 145),
    Slot("discretionaryUpToLimitPrice", 148), Slot("usePriceMgmtAlgo", 151), Slot("duration", 158),
    Slot("postToAts", 160), Slot("autoCancelParent", 162), Slot("advancedErrorOverride", 166),
    Slot("manualOrderTime", 169),
)  # fmt: skip
_PLACE_ORDER_NEWEST: Layout = (
    Slot("customerAccount", 183), Slot("professionalCustomer", 184), Slot("requestForQuote", 187, 190),
    Slot("requestForQuoteDuration", 187, 190), Slot("includeOvernight", 189), Slot("manualOrderIndicator", 192),
    Slot("imbalanceOnly", 199),
)  # fmt: skip

# Order types, none of them played, that have fields of their own.
_PEGGED_TO_BENCHMARK = ("PEG BENCH", "PEGBENCH")
_PEGGED_TO_BEST = ("PEG BEST", "PEGBEST", "PEG MID", "PEGMID")

# Fields of these messages that are the same for every order that is played.
_CONSTANT: Mapping[str, Value] = {
    "version": 34,
    "eTradeOnly": False,
    "firmQuoteOnly": False,
    "comboLegsCount": 0,
    "orderComboLegsCount": 0,
    "smartComboRoutingParamsCount": 0,
    "deltaNeutralContract": False,
    "conditionsCount": 0,
    "allocationsCount": 0,
    "refFuturesConId": 0,
    "routeMarketableToBbo": False,
    "parentPermId": 0,
}


@cache
def names_of(layout: Layout, version: int) -> tuple[str, ...]:
    """Return the names of a layout's fields at a server version."""
    slots = (slot if isinstance(slot, Slot) else Slot(slot) for slot in layout)
    return tuple(slot.name for slot in slots if slot.since <= version < slot.until)


_DEFAULTS: dict[str, Value] = {**_CONSTANT, **dict.fromkeys(names_of(_MARGINS, 142), UNSET_DOUBLE)}


def lay_out(layout: Layout, version: int, values: Mapping[str, Value]) -> list[Value]:
    """Return the values of a layout's fields at a server version."""
    known = {**_DEFAULTS, **values}
    for name in ("trailStopPrice", "lmtPriceOffset"):
        # Clients take an empty field for 0 the second time, but not the first.
        known[f"set{name[0].upper()}{name[1:]}"] = UNSET_DOUBLE if known.get(name) is None else known[name]
    return list(map(known.get, names_of(layout, version)))


def read_fields(layout: Layout, version: int, fields: Fields) -> dict[str, str]:
    """Read a layout's fields at a server version, by name. Raises FieldError."""
    names = names_of(layout, version)
    return dict(zip(names, fields.texts(len(names)), strict=True))


def read_order_fields(version: int, sec_type: str, exchange: str, fields: Fields) -> dict[str, str]:
    """Read a placeOrder message from behind its contract to its end, by name. Raises FieldError.

    Where an order has more fields than most (a combination's legs, an algorithm's parameters), how many is told by
    fields before them; such an order is not played, and what is behind them is not looked at.
    """
    order = read_fields(_PLACE_ORDER_HEAD, version, fields)
    if sec_type == "BAG":
        return order | {"comboLegs": "1"}
    order |= read_fields(_PLACE_ORDER_TERMS, version, fields)
    if order["deltaNeutralOrderType"]:
        if order["deltaNeutralOrderType"] != "None":
            return order
        fields.skip(8)
    order |= read_fields(_PLACE_ORDER_TRAIL, version, fields)
    if parse_decimal(order["scalePriceIncrement"], "scalePriceIncrement"):
        return order
    order |= read_fields(("scaleTable", "activeStartTime", "activeStopTime", "hedgeType"), version, fields)
    if order["hedgeType"]:
        return order
    clearing = ("optOutSmartRouting", "clearingAccount", "clearingIntent", "notHeld", "deltaNeutralContract")
    order |= read_fields(clearing, version, fields)
    if order["deltaNeutralContract"] not in ("", "0"):
        return order
    order |= read_fields(("algoStrategy",), version, fields)
    if order["algoStrategy"]:
        return order
    flags = ("algoId", "whatIf", "miscOptions", "solicited", "randomizeSize", "randomizePrice")
    order |= read_fields(flags, version, fields)
    if version >= 102:
        if order["orderType"] in _PEGGED_TO_BENCHMARK:
            return order
        order |= read_fields(("conditions",), version, fields)
        if order["conditions"] not in ("", "0"):
            return order
        order |= read_fields(_PLACE_ORDER_TAIL, version, fields)
    order |= read_fields(_PLACE_ORDER_LAST, version, fields)
    if version >= 170:
        if order["orderType"] in _PEGGED_TO_BEST:
            return order
        if exchange == "IBKRATS":
            order |= read_fields(("minTradeQty",), version, fields)
    return order | read_fields(_PLACE_ORDER_NEWEST, version, fields)
