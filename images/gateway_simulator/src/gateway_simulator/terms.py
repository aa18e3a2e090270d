# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An order's fields under the names that the protocol gives them, which are the same in every dialect.

An order has more than a hundred fields. Some are terms that the broker plays; some would change what the order does and
are not played, so an order that uses one is refused; the others are kept and given back, for a client that modifies an
order sends what it was told.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from .model import ContractQuery, MarginChange, Order, OrderTerms
from .requests import PlaceOrder
from .wire import UNSET_DOUBLE, Value, encode_field, parse_decimal, parse_integer

# Fields that would change what an order does -> what to call them when an order is refused.
_NOT_PLAYED = {
    "comboLegs": "a combination",
    "goodAfterTime": "good after time",
    "activeStartTime": "an activity window",
    "activeStopTime": "an activity window",
    "faGroup": "an advisor's allocation",
    "faMethod": "an advisor's allocation",
    "faPercentage": "an advisor's allocation",
    "minQty": "a minimum quantity",
    "discretionaryAmt": "a discretionary amount",
    "deltaNeutralOrderType": "delta neutral",
    "deltaNeutralContract": "delta neutral",
    "scalePriceIncrement": "scale",
    "hedgeType": "a hedge",
    "algoStrategy": "an algorithm",
    "conditions": "a condition",
    "adjustedOrderType": "an adjusted order type",
    "cashQty": "a quantity of cash",
    "slOrderId": "an attached order",
    "ptOrderId": "an attached order",
    "deactivate": "deactivation",
    "postOnly": "post only",
    "unknownField": "an unknown field",
}

# Fields without an effect on the simulated exchange -> what they are when a client leaves them alone.
_GIVEN_BACK: dict[str, Value] = {
    "modelCode": "",
    "rule80A": "",
    "percentOffset": None,
    "settlingFirm": "",
    "shortSaleSlot": 0,
    "designatedLocation": "",
    "exemptCode": -1,
    "auctionStrategy": 0,
    "startingPrice": None,
    "stockRefPrice": None,
    "delta": None,
    "stockRangeLower": None,
    "stockRangeUpper": None,
    "displaySize": 0,
    "blockOrder": False,
    "sweepToFill": False,
    "triggerMethod": 0,
    "volatility": None,
    "volatilityType": 0,
    "deltaNeutralAuxPrice": None,
    "continuousUpdate": False,
    "referencePriceType": 0,
    "scaleInitLevelSize": None,
    "scaleSubsLevelSize": None,
    "optOutSmartRouting": False,
    "clearingAccount": "",
    "clearingIntent": "IB",
    "notHeld": False,
    "solicited": False,
    "randomizeSize": False,
    "randomizePrice": False,
    "triggerPrice": UNSET_DOUBLE,
    "adjustedStopPrice": UNSET_DOUBLE,
    "adjustedStopLimitPrice": UNSET_DOUBLE,
    "adjustedTrailingAmount": UNSET_DOUBLE,
    "adjustableTrailingUnit": 0,
    "softDollarTierName": "",
    "softDollarTierValue": "",
    "softDollarTierDisplayName": "",
    "dontUseAutoPriceForHedge": False,
    "isOmsContainer": False,
    "discretionaryUpToLimitPrice": False,
    "usePriceMgmtAlgo": None,
    "duration": None,
    "postToAts": None,
    "autoCancelParent": False,
    "minTradeQty": None,
    "minCompeteSize": None,
    "competeAgainstBestOffset": None,
    "midOffsetAtWhole": None,
    "midOffsetAtHalf": None,
    "customerAccount": "",
    "professionalCustomer": False,
    "bondAccruedInterest": "",
    "includeOvernight": False,
    "extOperator": "",
    "manualOrderIndicator": None,
    "submitter": "",
    "imbalanceOnly": False,
}

# Those of them that are numbers with a fraction; what is no text either is a whole number or a flag.
_GIVEN_BACK_NUMBERS = frozenset(
    {"percentOffset", "startingPrice", "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper", "volatility"}
    | {"deltaNeutralAuxPrice", "triggerPrice", "adjustedStopPrice", "adjustedStopLimitPrice", "adjustedTrailingAmount"}
    | {"competeAgainstBestOffset", "midOffsetAtWhole", "midOffsetAtHalf"}
)

# Fields that say who and where, or are leftovers of protocols long gone.
_WITHOUT_EFFECT = frozenset(
    {"advancedErrorOverride", "algoId", "clientId", "conditionsCancelOrder", "conditionsIgnoreRth", "eTradeOnly"}
    | {"faProfile", "firmQuoteOnly", "manualOrderTime", "mifid2DecisionAlgo", "mifid2DecisionMaker"}
    | {"mifid2ExecutionAlgo", "mifid2ExecutionTrader", "miscOptions", "nbboPriceCap", "orderId"}
    | {"overridePercentageConstraints", "permId", "requestForQuote", "requestForQuoteDuration", "secId", "secIdType"}
    | {"sharesAllocation", "softDollarTier"}
)
_PLAYED = frozenset(
    {"account", "action", "allOrNone", "auxPrice", "goodTillDate", "hidden", "lmtPrice", "lmtPriceOffset", "ocaGroup"}
    | {"ocaType", "openClose", "orderRef", "orderType", "origin", "outsideRth", "parentId", "tif", "totalQuantity"}
    | {"trailStopPrice", "trailingPercent", "transmit", "whatIf"}
)
_KNOWN = _PLAYED | _WITHOUT_EFFECT | _GIVEN_BACK.keys()

# What clients write for a number or a name that they do not give.
_UNSET = frozenset({"", "None", "1.7976931348623157E308", "1.7976931348623157e+308", "2147483647"})


def read_order(order_id: int, contract: ContractQuery, given: Mapping[str, str]) -> PlaceOrder:
    """Return the request to place an order of the fields in ``given``, by name. Raises FieldError that names one."""

    def number(name: str) -> Decimal | None:
        return parse_decimal(given.get(name, ""), name)

    def integer(name: str) -> int:
        return parse_integer(given.get(name, ""), name)

    # What is not known at all is refused like what is not played: it may change anything.
    unsupported = {
        _NOT_PLAYED.get(name, name)
        for name, text in given.items()
        if name not in _KNOWN and text not in _UNSET and text.strip("-+0.") not in ("", "False")
    }
    terms = OrderTerms(
        order_type=given.get("orderType", ""),
        limit_price=number("lmtPrice"),
        aux_price=number("auxPrice"),
        trail_stop_price=number("trailStopPrice"),
        trailing_percent=number("trailingPercent"),
        limit_price_offset=number("lmtPriceOffset"),
        tif=given.get("tif") or "DAY",
        good_till_date=given.get("goodTillDate", ""),
        oca_group=given.get("ocaGroup", ""),
        oca_type=integer("ocaType"),
        parent_id=integer("parentId"),
        transmit=bool(integer("transmit")),
        open_close=given.get("openClose", ""),
        origin=integer("origin"),
        order_ref=given.get("orderRef", ""),
        outside_rth=bool(integer("outsideRth")),
        hidden=bool(integer("hidden")),
        all_or_none=bool(integer("allOrNone")),
        given_back=_read_given_back(given),
    )
    return PlaceOrder(
        order_id=order_id,
        contract=contract,
        action=given.get("action", ""),
        quantity=number("totalQuantity") or Decimal(0),
        account=given.get("account", ""),
        what_if=bool(integer("whatIf")),
        terms=terms,
        unsupported=", ".join(sorted(unsupported)),
    )


def _read_given_back(given: Mapping[str, str]) -> dict[str, str]:
    """Return what an order's owner set of the fields that are given back. Raises FieldError.

    What is no number is refused here: another dialect than the owner's could not give it back.
    """
    kept: dict[str, str] = {}
    for name, default in _GIVEN_BACK.items():
        text = given.get(name, "")
        if text in _UNSET or text == encode_field(default):
            continue
        if name in _GIVEN_BACK_NUMBERS:
            parse_decimal(text, name)
        elif not isinstance(default, str) and not (isinstance(default, bool) and text in ("True", "False")):
            parse_integer(text, name)
        kept[name] = text
    return kept


def order_fields(order: Order, account: str, margin: MarginChange | None = None) -> dict[str, Value]:
    """Return an order's fields, with those of its state, by name; ``margin`` is for the answer to a what-if."""
    return {
        **_GIVEN_BACK,
        **order.given_back,
        "orderId": order.visible_id,
        "clientId": order.client_id,
        "permId": order.perm_id,
        "parentId": order.parent_id,
        "transmit": order.transmit,
        "action": order.action,
        "totalQuantity": order.quantity,
        "orderType": order.order_type,
        "lmtPrice": order.limit_price or 0,
        "auxPrice": order.aux_price or 0,
        "trailStopPrice": order.trail_stop_price if order.stop_price is None else order.stop_price,
        "trailingPercent": order.trailing_percent,
        "lmtPriceOffset": order.limit_price_offset,
        "tif": order.tif,
        "goodTillDate": order.good_till_date,
        "ocaGroup": order.oca_group,
        "ocaType": order.oca_type,
        "account": account,
        "openClose": order.open_close,
        "origin": order.origin,
        "orderRef": order.order_ref,
        "outsideRth": order.outside_rth,
        "hidden": order.hidden,
        "allOrNone": order.all_or_none,
        "adjustedOrderType": "None",
        "cashQty": 0,
        "discretionaryAmt": 0,
        "filledQuantity": order.filled,
        "whatIf": margin is not None,
        "status": order.status,
        "completedTime": order.completed_at,
        "completedStatus": order.completed_status,
        **(_margin_fields(margin) if margin is not None else {}),
    }


def _margin_fields(margin: MarginChange) -> dict[str, Value]:
    return {
        "initMarginBefore": margin.initial_before,
        "maintMarginBefore": margin.maintenance_before,
        "equityWithLoanBefore": margin.equity_before,
        "initMarginChange": margin.initial_change,
        "maintMarginChange": margin.maintenance_change,
        "equityWithLoanChange": margin.equity_change,
        "initMarginAfter": margin.initial_after,
        "maintMarginAfter": margin.maintenance_after,
        "equityWithLoanAfter": margin.equity_after,
        "commissionAndFees": margin.commission,
        "commissionAndFeesCurrency": margin.commission_currency,
        "marginCurrency": margin.commission_currency,
        "warningText": margin.warning,
    }
