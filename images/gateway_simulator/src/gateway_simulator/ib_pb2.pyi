# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Made of ib.proto by `make protobuf`; do not edit.
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Contract(_message.Message):
    __slots__ = ("conId", "symbol", "secType", "lastTradeDateOrContractMonth", "strike", "right", "multiplier", "exchange", "primaryExch", "currency", "localSymbol", "tradingClass", "secIdType", "secId", "description", "issuerId", "deltaNeutralContract", "includeExpired", "comboLegsDescrip", "comboLegs", "lastTradeDate")
    CONID_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SECTYPE_FIELD_NUMBER: _ClassVar[int]
    LASTTRADEDATEORCONTRACTMONTH_FIELD_NUMBER: _ClassVar[int]
    STRIKE_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    PRIMARYEXCH_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    LOCALSYMBOL_FIELD_NUMBER: _ClassVar[int]
    TRADINGCLASS_FIELD_NUMBER: _ClassVar[int]
    SECIDTYPE_FIELD_NUMBER: _ClassVar[int]
    SECID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ISSUERID_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALCONTRACT_FIELD_NUMBER: _ClassVar[int]
    INCLUDEEXPIRED_FIELD_NUMBER: _ClassVar[int]
    COMBOLEGSDESCRIP_FIELD_NUMBER: _ClassVar[int]
    COMBOLEGS_FIELD_NUMBER: _ClassVar[int]
    LASTTRADEDATE_FIELD_NUMBER: _ClassVar[int]
    conId: int
    symbol: str
    secType: str
    lastTradeDateOrContractMonth: str
    strike: float
    right: str
    multiplier: float
    exchange: str
    primaryExch: str
    currency: str
    localSymbol: str
    tradingClass: str
    secIdType: str
    secId: str
    description: str
    issuerId: str
    deltaNeutralContract: DeltaNeutralContract
    includeExpired: bool
    comboLegsDescrip: str
    comboLegs: _containers.RepeatedCompositeFieldContainer[ComboLeg]
    lastTradeDate: str
    def __init__(self, conId: _Optional[int] = ..., symbol: _Optional[str] = ..., secType: _Optional[str] = ..., lastTradeDateOrContractMonth: _Optional[str] = ..., strike: _Optional[float] = ..., right: _Optional[str] = ..., multiplier: _Optional[float] = ..., exchange: _Optional[str] = ..., primaryExch: _Optional[str] = ..., currency: _Optional[str] = ..., localSymbol: _Optional[str] = ..., tradingClass: _Optional[str] = ..., secIdType: _Optional[str] = ..., secId: _Optional[str] = ..., description: _Optional[str] = ..., issuerId: _Optional[str] = ..., deltaNeutralContract: _Optional[_Union[DeltaNeutralContract, _Mapping]] = ..., includeExpired: _Optional[bool] = ..., comboLegsDescrip: _Optional[str] = ..., comboLegs: _Optional[_Iterable[_Union[ComboLeg, _Mapping]]] = ..., lastTradeDate: _Optional[str] = ...) -> None: ...

class ComboLeg(_message.Message):
    __slots__ = ("conId", "ratio", "action", "exchange", "openClose", "shortSalesSlot", "designatedLocation", "exemptCode", "perLegPrice")
    CONID_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    OPENCLOSE_FIELD_NUMBER: _ClassVar[int]
    SHORTSALESSLOT_FIELD_NUMBER: _ClassVar[int]
    DESIGNATEDLOCATION_FIELD_NUMBER: _ClassVar[int]
    EXEMPTCODE_FIELD_NUMBER: _ClassVar[int]
    PERLEGPRICE_FIELD_NUMBER: _ClassVar[int]
    conId: int
    ratio: int
    action: str
    exchange: str
    openClose: int
    shortSalesSlot: int
    designatedLocation: str
    exemptCode: int
    perLegPrice: float
    def __init__(self, conId: _Optional[int] = ..., ratio: _Optional[int] = ..., action: _Optional[str] = ..., exchange: _Optional[str] = ..., openClose: _Optional[int] = ..., shortSalesSlot: _Optional[int] = ..., designatedLocation: _Optional[str] = ..., exemptCode: _Optional[int] = ..., perLegPrice: _Optional[float] = ...) -> None: ...

class DeltaNeutralContract(_message.Message):
    __slots__ = ("conId", "delta", "price")
    CONID_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    conId: int
    delta: float
    price: float
    def __init__(self, conId: _Optional[int] = ..., delta: _Optional[float] = ..., price: _Optional[float] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("clientId", "orderId", "permId", "parentId", "action", "totalQuantity", "displaySize", "orderType", "lmtPrice", "auxPrice", "tif", "account", "settlingFirm", "clearingAccount", "clearingIntent", "allOrNone", "blockOrder", "hidden", "outsideRth", "sweepToFill", "percentOffset", "trailingPercent", "trailStopPrice", "minQty", "goodAfterTime", "goodTillDate", "ocaGroup", "orderRef", "rule80A", "ocaType", "triggerMethod", "activeStartTime", "activeStopTime", "faGroup", "faMethod", "faPercentage", "volatility", "volatilityType", "continuousUpdate", "referencePriceType", "deltaNeutralOrderType", "deltaNeutralAuxPrice", "deltaNeutralConId", "deltaNeutralOpenClose", "deltaNeutralShortSale", "deltaNeutralShortSaleSlot", "deltaNeutralDesignatedLocation", "scaleInitLevelSize", "scaleSubsLevelSize", "scalePriceIncrement", "scalePriceAdjustValue", "scalePriceAdjustInterval", "scaleProfitOffset", "scaleAutoReset", "scaleInitPosition", "scaleInitFillQty", "scaleRandomPercent", "scaleTable", "hedgeType", "hedgeParam", "algoStrategy", "algoParams", "algoId", "smartComboRoutingParams", "whatIf", "transmit", "overridePercentageConstraints", "openClose", "origin", "shortSaleSlot", "designatedLocation", "exemptCode", "deltaNeutralSettlingFirm", "deltaNeutralClearingAccount", "deltaNeutralClearingIntent", "discretionaryAmt", "optOutSmartRouting", "startingPrice", "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper", "notHeld", "orderMiscOptions", "solicited", "randomizeSize", "randomizePrice", "referenceContractId", "peggedChangeAmount", "isPeggedChangeAmountDecrease", "referenceChangeAmount", "referenceExchangeId", "adjustedOrderType", "triggerPrice", "adjustedStopPrice", "adjustedStopLimitPrice", "adjustedTrailingAmount", "adjustableTrailingUnit", "lmtPriceOffset", "conditions", "conditionsCancelOrder", "conditionsIgnoreRth", "modelCode", "extOperator", "softDollarTier", "cashQty", "mifid2DecisionMaker", "mifid2DecisionAlgo", "mifid2ExecutionTrader", "mifid2ExecutionAlgo", "dontUseAutoPriceForHedge", "isOmsContainer", "discretionaryUpToLimitPrice", "autoCancelDate", "filledQuantity", "refFuturesConId", "autoCancelParent", "shareholder", "imbalanceOnly", "routeMarketableToBbo", "parentPermId", "usePriceMgmtAlgo", "duration", "postToAts", "advancedErrorOverride", "manualOrderTime", "minTradeQty", "minCompeteSize", "competeAgainstBestOffset", "midOffsetAtWhole", "midOffsetAtHalf", "customerAccount", "professionalCustomer", "bondAccruedInterest", "includeOvernight", "manualOrderIndicator", "submitter", "deactivate", "postOnly", "allowPreOpen", "ignoreOpenAuction", "seekPriceImprovement", "whatIfType", "hedgeMaxSize")
    class AlgoParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SmartComboRoutingParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class OrderMiscOptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CLIENTID_FIELD_NUMBER: _ClassVar[int]
    ORDERID_FIELD_NUMBER: _ClassVar[int]
    PERMID_FIELD_NUMBER: _ClassVar[int]
    PARENTID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TOTALQUANTITY_FIELD_NUMBER: _ClassVar[int]
    DISPLAYSIZE_FIELD_NUMBER: _ClassVar[int]
    ORDERTYPE_FIELD_NUMBER: _ClassVar[int]
    LMTPRICE_FIELD_NUMBER: _ClassVar[int]
    AUXPRICE_FIELD_NUMBER: _ClassVar[int]
    TIF_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    SETTLINGFIRM_FIELD_NUMBER: _ClassVar[int]
    CLEARINGACCOUNT_FIELD_NUMBER: _ClassVar[int]
    CLEARINGINTENT_FIELD_NUMBER: _ClassVar[int]
    ALLORNONE_FIELD_NUMBER: _ClassVar[int]
    BLOCKORDER_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    OUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    SWEEPTOFILL_FIELD_NUMBER: _ClassVar[int]
    PERCENTOFFSET_FIELD_NUMBER: _ClassVar[int]
    TRAILINGPERCENT_FIELD_NUMBER: _ClassVar[int]
    TRAILSTOPPRICE_FIELD_NUMBER: _ClassVar[int]
    MINQTY_FIELD_NUMBER: _ClassVar[int]
    GOODAFTERTIME_FIELD_NUMBER: _ClassVar[int]
    GOODTILLDATE_FIELD_NUMBER: _ClassVar[int]
    OCAGROUP_FIELD_NUMBER: _ClassVar[int]
    ORDERREF_FIELD_NUMBER: _ClassVar[int]
    RULE80A_FIELD_NUMBER: _ClassVar[int]
    OCATYPE_FIELD_NUMBER: _ClassVar[int]
    TRIGGERMETHOD_FIELD_NUMBER: _ClassVar[int]
    ACTIVESTARTTIME_FIELD_NUMBER: _ClassVar[int]
    ACTIVESTOPTIME_FIELD_NUMBER: _ClassVar[int]
    FAGROUP_FIELD_NUMBER: _ClassVar[int]
    FAMETHOD_FIELD_NUMBER: _ClassVar[int]
    FAPERCENTAGE_FIELD_NUMBER: _ClassVar[int]
    VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    VOLATILITYTYPE_FIELD_NUMBER: _ClassVar[int]
    CONTINUOUSUPDATE_FIELD_NUMBER: _ClassVar[int]
    REFERENCEPRICETYPE_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALORDERTYPE_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALAUXPRICE_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALCONID_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALOPENCLOSE_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALSHORTSALE_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALSHORTSALESLOT_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALDESIGNATEDLOCATION_FIELD_NUMBER: _ClassVar[int]
    SCALEINITLEVELSIZE_FIELD_NUMBER: _ClassVar[int]
    SCALESUBSLEVELSIZE_FIELD_NUMBER: _ClassVar[int]
    SCALEPRICEINCREMENT_FIELD_NUMBER: _ClassVar[int]
    SCALEPRICEADJUSTVALUE_FIELD_NUMBER: _ClassVar[int]
    SCALEPRICEADJUSTINTERVAL_FIELD_NUMBER: _ClassVar[int]
    SCALEPROFITOFFSET_FIELD_NUMBER: _ClassVar[int]
    SCALEAUTORESET_FIELD_NUMBER: _ClassVar[int]
    SCALEINITPOSITION_FIELD_NUMBER: _ClassVar[int]
    SCALEINITFILLQTY_FIELD_NUMBER: _ClassVar[int]
    SCALERANDOMPERCENT_FIELD_NUMBER: _ClassVar[int]
    SCALETABLE_FIELD_NUMBER: _ClassVar[int]
    HEDGETYPE_FIELD_NUMBER: _ClassVar[int]
    HEDGEPARAM_FIELD_NUMBER: _ClassVar[int]
    ALGOSTRATEGY_FIELD_NUMBER: _ClassVar[int]
    ALGOPARAMS_FIELD_NUMBER: _ClassVar[int]
    ALGOID_FIELD_NUMBER: _ClassVar[int]
    SMARTCOMBOROUTINGPARAMS_FIELD_NUMBER: _ClassVar[int]
    WHATIF_FIELD_NUMBER: _ClassVar[int]
    TRANSMIT_FIELD_NUMBER: _ClassVar[int]
    OVERRIDEPERCENTAGECONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    OPENCLOSE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    SHORTSALESLOT_FIELD_NUMBER: _ClassVar[int]
    DESIGNATEDLOCATION_FIELD_NUMBER: _ClassVar[int]
    EXEMPTCODE_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALSETTLINGFIRM_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALCLEARINGACCOUNT_FIELD_NUMBER: _ClassVar[int]
    DELTANEUTRALCLEARINGINTENT_FIELD_NUMBER: _ClassVar[int]
    DISCRETIONARYAMT_FIELD_NUMBER: _ClassVar[int]
    OPTOUTSMARTROUTING_FIELD_NUMBER: _ClassVar[int]
    STARTINGPRICE_FIELD_NUMBER: _ClassVar[int]
    STOCKREFPRICE_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    STOCKRANGELOWER_FIELD_NUMBER: _ClassVar[int]
    STOCKRANGEUPPER_FIELD_NUMBER: _ClassVar[int]
    NOTHELD_FIELD_NUMBER: _ClassVar[int]
    ORDERMISCOPTIONS_FIELD_NUMBER: _ClassVar[int]
    SOLICITED_FIELD_NUMBER: _ClassVar[int]
    RANDOMIZESIZE_FIELD_NUMBER: _ClassVar[int]
    RANDOMIZEPRICE_FIELD_NUMBER: _ClassVar[int]
    REFERENCECONTRACTID_FIELD_NUMBER: _ClassVar[int]
    PEGGEDCHANGEAMOUNT_FIELD_NUMBER: _ClassVar[int]
    ISPEGGEDCHANGEAMOUNTDECREASE_FIELD_NUMBER: _ClassVar[int]
    REFERENCECHANGEAMOUNT_FIELD_NUMBER: _ClassVar[int]
    REFERENCEEXCHANGEID_FIELD_NUMBER: _ClassVar[int]
    ADJUSTEDORDERTYPE_FIELD_NUMBER: _ClassVar[int]
    TRIGGERPRICE_FIELD_NUMBER: _ClassVar[int]
    ADJUSTEDSTOPPRICE_FIELD_NUMBER: _ClassVar[int]
    ADJUSTEDSTOPLIMITPRICE_FIELD_NUMBER: _ClassVar[int]
    ADJUSTEDTRAILINGAMOUNT_FIELD_NUMBER: _ClassVar[int]
    ADJUSTABLETRAILINGUNIT_FIELD_NUMBER: _ClassVar[int]
    LMTPRICEOFFSET_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    CONDITIONSCANCELORDER_FIELD_NUMBER: _ClassVar[int]
    CONDITIONSIGNORERTH_FIELD_NUMBER: _ClassVar[int]
    MODELCODE_FIELD_NUMBER: _ClassVar[int]
    EXTOPERATOR_FIELD_NUMBER: _ClassVar[int]
    SOFTDOLLARTIER_FIELD_NUMBER: _ClassVar[int]
    CASHQTY_FIELD_NUMBER: _ClassVar[int]
    MIFID2DECISIONMAKER_FIELD_NUMBER: _ClassVar[int]
    MIFID2DECISIONALGO_FIELD_NUMBER: _ClassVar[int]
    MIFID2EXECUTIONTRADER_FIELD_NUMBER: _ClassVar[int]
    MIFID2EXECUTIONALGO_FIELD_NUMBER: _ClassVar[int]
    DONTUSEAUTOPRICEFORHEDGE_FIELD_NUMBER: _ClassVar[int]
    ISOMSCONTAINER_FIELD_NUMBER: _ClassVar[int]
    DISCRETIONARYUPTOLIMITPRICE_FIELD_NUMBER: _ClassVar[int]
    AUTOCANCELDATE_FIELD_NUMBER: _ClassVar[int]
    FILLEDQUANTITY_FIELD_NUMBER: _ClassVar[int]
    REFFUTURESCONID_FIELD_NUMBER: _ClassVar[int]
    AUTOCANCELPARENT_FIELD_NUMBER: _ClassVar[int]
    SHAREHOLDER_FIELD_NUMBER: _ClassVar[int]
    IMBALANCEONLY_FIELD_NUMBER: _ClassVar[int]
    ROUTEMARKETABLETOBBO_FIELD_NUMBER: _ClassVar[int]
    PARENTPERMID_FIELD_NUMBER: _ClassVar[int]
    USEPRICEMGMTALGO_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    POSTTOATS_FIELD_NUMBER: _ClassVar[int]
    ADVANCEDERROROVERRIDE_FIELD_NUMBER: _ClassVar[int]
    MANUALORDERTIME_FIELD_NUMBER: _ClassVar[int]
    MINTRADEQTY_FIELD_NUMBER: _ClassVar[int]
    MINCOMPETESIZE_FIELD_NUMBER: _ClassVar[int]
    COMPETEAGAINSTBESTOFFSET_FIELD_NUMBER: _ClassVar[int]
    MIDOFFSETATWHOLE_FIELD_NUMBER: _ClassVar[int]
    MIDOFFSETATHALF_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERACCOUNT_FIELD_NUMBER: _ClassVar[int]
    PROFESSIONALCUSTOMER_FIELD_NUMBER: _ClassVar[int]
    BONDACCRUEDINTEREST_FIELD_NUMBER: _ClassVar[int]
    INCLUDEOVERNIGHT_FIELD_NUMBER: _ClassVar[int]
    MANUALORDERINDICATOR_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    DEACTIVATE_FIELD_NUMBER: _ClassVar[int]
    POSTONLY_FIELD_NUMBER: _ClassVar[int]
    ALLOWPREOPEN_FIELD_NUMBER: _ClassVar[int]
    IGNOREOPENAUCTION_FIELD_NUMBER: _ClassVar[int]
    SEEKPRICEIMPROVEMENT_FIELD_NUMBER: _ClassVar[int]
    WHATIFTYPE_FIELD_NUMBER: _ClassVar[int]
    HEDGEMAXSIZE_FIELD_NUMBER: _ClassVar[int]
    clientId: int
    orderId: int
    permId: int
    parentId: int
    action: str
    totalQuantity: str
    displaySize: int
    orderType: str
    lmtPrice: float
    auxPrice: float
    tif: str
    account: str
    settlingFirm: str
    clearingAccount: str
    clearingIntent: str
    allOrNone: bool
    blockOrder: bool
    hidden: bool
    outsideRth: bool
    sweepToFill: bool
    percentOffset: float
    trailingPercent: float
    trailStopPrice: float
    minQty: int
    goodAfterTime: str
    goodTillDate: str
    ocaGroup: str
    orderRef: str
    rule80A: str
    ocaType: int
    triggerMethod: int
    activeStartTime: str
    activeStopTime: str
    faGroup: str
    faMethod: str
    faPercentage: str
    volatility: float
    volatilityType: int
    continuousUpdate: bool
    referencePriceType: int
    deltaNeutralOrderType: str
    deltaNeutralAuxPrice: float
    deltaNeutralConId: int
    deltaNeutralOpenClose: str
    deltaNeutralShortSale: bool
    deltaNeutralShortSaleSlot: int
    deltaNeutralDesignatedLocation: str
    scaleInitLevelSize: int
    scaleSubsLevelSize: int
    scalePriceIncrement: float
    scalePriceAdjustValue: float
    scalePriceAdjustInterval: int
    scaleProfitOffset: float
    scaleAutoReset: bool
    scaleInitPosition: int
    scaleInitFillQty: int
    scaleRandomPercent: bool
    scaleTable: str
    hedgeType: str
    hedgeParam: str
    algoStrategy: str
    algoParams: _containers.ScalarMap[str, str]
    algoId: str
    smartComboRoutingParams: _containers.ScalarMap[str, str]
    whatIf: bool
    transmit: bool
    overridePercentageConstraints: bool
    openClose: str
    origin: int
    shortSaleSlot: int
    designatedLocation: str
    exemptCode: int
    deltaNeutralSettlingFirm: str
    deltaNeutralClearingAccount: str
    deltaNeutralClearingIntent: str
    discretionaryAmt: float
    optOutSmartRouting: bool
    startingPrice: float
    stockRefPrice: float
    delta: float
    stockRangeLower: float
    stockRangeUpper: float
    notHeld: bool
    orderMiscOptions: _containers.ScalarMap[str, str]
    solicited: bool
    randomizeSize: bool
    randomizePrice: bool
    referenceContractId: int
    peggedChangeAmount: float
    isPeggedChangeAmountDecrease: bool
    referenceChangeAmount: float
    referenceExchangeId: str
    adjustedOrderType: str
    triggerPrice: float
    adjustedStopPrice: float
    adjustedStopLimitPrice: float
    adjustedTrailingAmount: float
    adjustableTrailingUnit: int
    lmtPriceOffset: float
    conditions: _containers.RepeatedCompositeFieldContainer[OrderCondition]
    conditionsCancelOrder: bool
    conditionsIgnoreRth: bool
    modelCode: str
    extOperator: str
    softDollarTier: SoftDollarTier
    cashQty: float
    mifid2DecisionMaker: str
    mifid2DecisionAlgo: str
    mifid2ExecutionTrader: str
    mifid2ExecutionAlgo: str
    dontUseAutoPriceForHedge: bool
    isOmsContainer: bool
    discretionaryUpToLimitPrice: bool
    autoCancelDate: str
    filledQuantity: str
    refFuturesConId: int
    autoCancelParent: bool
    shareholder: str
    imbalanceOnly: bool
    routeMarketableToBbo: int
    parentPermId: int
    usePriceMgmtAlgo: int
    duration: int
    postToAts: int
    advancedErrorOverride: str
    manualOrderTime: str
    minTradeQty: int
    minCompeteSize: int
    competeAgainstBestOffset: float
    midOffsetAtWhole: float
    midOffsetAtHalf: float
    customerAccount: str
    professionalCustomer: bool
    bondAccruedInterest: str
    includeOvernight: bool
    manualOrderIndicator: int
    submitter: str
    deactivate: bool
    postOnly: bool
    allowPreOpen: bool
    ignoreOpenAuction: bool
    seekPriceImprovement: int
    whatIfType: int
    hedgeMaxSize: int
    def __init__(self, clientId: _Optional[int] = ..., orderId: _Optional[int] = ..., permId: _Optional[int] = ..., parentId: _Optional[int] = ..., action: _Optional[str] = ..., totalQuantity: _Optional[str] = ..., displaySize: _Optional[int] = ..., orderType: _Optional[str] = ..., lmtPrice: _Optional[float] = ..., auxPrice: _Optional[float] = ..., tif: _Optional[str] = ..., account: _Optional[str] = ..., settlingFirm: _Optional[str] = ..., clearingAccount: _Optional[str] = ..., clearingIntent: _Optional[str] = ..., allOrNone: _Optional[bool] = ..., blockOrder: _Optional[bool] = ..., hidden: _Optional[bool] = ..., outsideRth: _Optional[bool] = ..., sweepToFill: _Optional[bool] = ..., percentOffset: _Optional[float] = ..., trailingPercent: _Optional[float] = ..., trailStopPrice: _Optional[float] = ..., minQty: _Optional[int] = ..., goodAfterTime: _Optional[str] = ..., goodTillDate: _Optional[str] = ..., ocaGroup: _Optional[str] = ..., orderRef: _Optional[str] = ..., rule80A: _Optional[str] = ..., ocaType: _Optional[int] = ..., triggerMethod: _Optional[int] = ..., activeStartTime: _Optional[str] = ..., activeStopTime: _Optional[str] = ..., faGroup: _Optional[str] = ..., faMethod: _Optional[str] = ..., faPercentage: _Optional[str] = ..., volatility: _Optional[float] = ..., volatilityType: _Optional[int] = ..., continuousUpdate: _Optional[bool] = ..., referencePriceType: _Optional[int] = ..., deltaNeutralOrderType: _Optional[str] = ..., deltaNeutralAuxPrice: _Optional[float] = ..., deltaNeutralConId: _Optional[int] = ..., deltaNeutralOpenClose: _Optional[str] = ..., deltaNeutralShortSale: _Optional[bool] = ..., deltaNeutralShortSaleSlot: _Optional[int] = ..., deltaNeutralDesignatedLocation: _Optional[str] = ..., scaleInitLevelSize: _Optional[int] = ..., scaleSubsLevelSize: _Optional[int] = ..., scalePriceIncrement: _Optional[float] = ..., scalePriceAdjustValue: _Optional[float] = ..., scalePriceAdjustInterval: _Optional[int] = ..., scaleProfitOffset: _Optional[float] = ..., scaleAutoReset: _Optional[bool] = ..., scaleInitPosition: _Optional[int] = ..., scaleInitFillQty: _Optional[int] = ..., scaleRandomPercent: _Optional[bool] = ..., scaleTable: _Optional[str] = ..., hedgeType: _Optional[str] = ..., hedgeParam: _Optional[str] = ..., algoStrategy: _Optional[str] = ..., algoParams: _Optional[_Mapping[str, str]] = ..., algoId: _Optional[str] = ..., smartComboRoutingParams: _Optional[_Mapping[str, str]] = ..., whatIf: _Optional[bool] = ..., transmit: _Optional[bool] = ..., overridePercentageConstraints: _Optional[bool] = ..., openClose: _Optional[str] = ..., origin: _Optional[int] = ..., shortSaleSlot: _Optional[int] = ..., designatedLocation: _Optional[str] = ..., exemptCode: _Optional[int] = ..., deltaNeutralSettlingFirm: _Optional[str] = ..., deltaNeutralClearingAccount: _Optional[str] = ..., deltaNeutralClearingIntent: _Optional[str] = ..., discretionaryAmt: _Optional[float] = ..., optOutSmartRouting: _Optional[bool] = ..., startingPrice: _Optional[float] = ..., stockRefPrice: _Optional[float] = ..., delta: _Optional[float] = ..., stockRangeLower: _Optional[float] = ..., stockRangeUpper: _Optional[float] = ..., notHeld: _Optional[bool] = ..., orderMiscOptions: _Optional[_Mapping[str, str]] = ..., solicited: _Optional[bool] = ..., randomizeSize: _Optional[bool] = ..., randomizePrice: _Optional[bool] = ..., referenceContractId: _Optional[int] = ..., peggedChangeAmount: _Optional[float] = ..., isPeggedChangeAmountDecrease: _Optional[bool] = ..., referenceChangeAmount: _Optional[float] = ..., referenceExchangeId: _Optional[str] = ..., adjustedOrderType: _Optional[str] = ..., triggerPrice: _Optional[float] = ..., adjustedStopPrice: _Optional[float] = ..., adjustedStopLimitPrice: _Optional[float] = ..., adjustedTrailingAmount: _Optional[float] = ..., adjustableTrailingUnit: _Optional[int] = ..., lmtPriceOffset: _Optional[float] = ..., conditions: _Optional[_Iterable[_Union[OrderCondition, _Mapping]]] = ..., conditionsCancelOrder: _Optional[bool] = ..., conditionsIgnoreRth: _Optional[bool] = ..., modelCode: _Optional[str] = ..., extOperator: _Optional[str] = ..., softDollarTier: _Optional[_Union[SoftDollarTier, _Mapping]] = ..., cashQty: _Optional[float] = ..., mifid2DecisionMaker: _Optional[str] = ..., mifid2DecisionAlgo: _Optional[str] = ..., mifid2ExecutionTrader: _Optional[str] = ..., mifid2ExecutionAlgo: _Optional[str] = ..., dontUseAutoPriceForHedge: _Optional[bool] = ..., isOmsContainer: _Optional[bool] = ..., discretionaryUpToLimitPrice: _Optional[bool] = ..., autoCancelDate: _Optional[str] = ..., filledQuantity: _Optional[str] = ..., refFuturesConId: _Optional[int] = ..., autoCancelParent: _Optional[bool] = ..., shareholder: _Optional[str] = ..., imbalanceOnly: _Optional[bool] = ..., routeMarketableToBbo: _Optional[int] = ..., parentPermId: _Optional[int] = ..., usePriceMgmtAlgo: _Optional[int] = ..., duration: _Optional[int] = ..., postToAts: _Optional[int] = ..., advancedErrorOverride: _Optional[str] = ..., manualOrderTime: _Optional[str] = ..., minTradeQty: _Optional[int] = ..., minCompeteSize: _Optional[int] = ..., competeAgainstBestOffset: _Optional[float] = ..., midOffsetAtWhole: _Optional[float] = ..., midOffsetAtHalf: _Optional[float] = ..., customerAccount: _Optional[str] = ..., professionalCustomer: _Optional[bool] = ..., bondAccruedInterest: _Optional[str] = ..., includeOvernight: _Optional[bool] = ..., manualOrderIndicator: _Optional[int] = ..., submitter: _Optional[str] = ..., deactivate: _Optional[bool] = ..., postOnly: _Optional[bool] = ..., allowPreOpen: _Optional[bool] = ..., ignoreOpenAuction: _Optional[bool] = ..., seekPriceImprovement: _Optional[int] = ..., whatIfType: _Optional[int] = ..., hedgeMaxSize: _Optional[int] = ...) -> None: ...

class OrderCondition(_message.Message):
    __slots__ = ("type", "isConjunctionConnection", "isMore", "conId", "exchange", "symbol", "secType", "percent", "changePercent", "price", "triggerMethod", "time", "volume")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ISCONJUNCTIONCONNECTION_FIELD_NUMBER: _ClassVar[int]
    ISMORE_FIELD_NUMBER: _ClassVar[int]
    CONID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SECTYPE_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    CHANGEPERCENT_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    TRIGGERMETHOD_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    type: int
    isConjunctionConnection: bool
    isMore: bool
    conId: int
    exchange: str
    symbol: str
    secType: str
    percent: int
    changePercent: float
    price: float
    triggerMethod: int
    time: str
    volume: int
    def __init__(self, type: _Optional[int] = ..., isConjunctionConnection: _Optional[bool] = ..., isMore: _Optional[bool] = ..., conId: _Optional[int] = ..., exchange: _Optional[str] = ..., symbol: _Optional[str] = ..., secType: _Optional[str] = ..., percent: _Optional[int] = ..., changePercent: _Optional[float] = ..., price: _Optional[float] = ..., triggerMethod: _Optional[int] = ..., time: _Optional[str] = ..., volume: _Optional[int] = ...) -> None: ...

class SoftDollarTier(_message.Message):
    __slots__ = ("name", "value", "displayName")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DISPLAYNAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    displayName: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., displayName: _Optional[str] = ...) -> None: ...

class OrderState(_message.Message):
    __slots__ = ("status", "initMarginBefore", "maintMarginBefore", "equityWithLoanBefore", "initMarginChange", "maintMarginChange", "equityWithLoanChange", "initMarginAfter", "maintMarginAfter", "equityWithLoanAfter", "commissionAndFees", "minCommissionAndFees", "maxCommissionAndFees", "commissionAndFeesCurrency", "marginCurrency", "initMarginBeforeOutsideRTH", "maintMarginBeforeOutsideRTH", "equityWithLoanBeforeOutsideRTH", "initMarginChangeOutsideRTH", "maintMarginChangeOutsideRTH", "equityWithLoanChangeOutsideRTH", "initMarginAfterOutsideRTH", "maintMarginAfterOutsideRTH", "equityWithLoanAfterOutsideRTH", "suggestedSize", "rejectReason", "orderAllocations", "warningText", "completedTime", "completedStatus")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    INITMARGINBEFORE_FIELD_NUMBER: _ClassVar[int]
    MAINTMARGINBEFORE_FIELD_NUMBER: _ClassVar[int]
    EQUITYWITHLOANBEFORE_FIELD_NUMBER: _ClassVar[int]
    INITMARGINCHANGE_FIELD_NUMBER: _ClassVar[int]
    MAINTMARGINCHANGE_FIELD_NUMBER: _ClassVar[int]
    EQUITYWITHLOANCHANGE_FIELD_NUMBER: _ClassVar[int]
    INITMARGINAFTER_FIELD_NUMBER: _ClassVar[int]
    MAINTMARGINAFTER_FIELD_NUMBER: _ClassVar[int]
    EQUITYWITHLOANAFTER_FIELD_NUMBER: _ClassVar[int]
    COMMISSIONANDFEES_FIELD_NUMBER: _ClassVar[int]
    MINCOMMISSIONANDFEES_FIELD_NUMBER: _ClassVar[int]
    MAXCOMMISSIONANDFEES_FIELD_NUMBER: _ClassVar[int]
    COMMISSIONANDFEESCURRENCY_FIELD_NUMBER: _ClassVar[int]
    MARGINCURRENCY_FIELD_NUMBER: _ClassVar[int]
    INITMARGINBEFOREOUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    MAINTMARGINBEFOREOUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    EQUITYWITHLOANBEFOREOUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    INITMARGINCHANGEOUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    MAINTMARGINCHANGEOUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    EQUITYWITHLOANCHANGEOUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    INITMARGINAFTEROUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    MAINTMARGINAFTEROUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    EQUITYWITHLOANAFTEROUTSIDERTH_FIELD_NUMBER: _ClassVar[int]
    SUGGESTEDSIZE_FIELD_NUMBER: _ClassVar[int]
    REJECTREASON_FIELD_NUMBER: _ClassVar[int]
    ORDERALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    WARNINGTEXT_FIELD_NUMBER: _ClassVar[int]
    COMPLETEDTIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETEDSTATUS_FIELD_NUMBER: _ClassVar[int]
    status: str
    initMarginBefore: float
    maintMarginBefore: float
    equityWithLoanBefore: float
    initMarginChange: float
    maintMarginChange: float
    equityWithLoanChange: float
    initMarginAfter: float
    maintMarginAfter: float
    equityWithLoanAfter: float
    commissionAndFees: float
    minCommissionAndFees: float
    maxCommissionAndFees: float
    commissionAndFeesCurrency: str
    marginCurrency: str
    initMarginBeforeOutsideRTH: float
    maintMarginBeforeOutsideRTH: float
    equityWithLoanBeforeOutsideRTH: float
    initMarginChangeOutsideRTH: float
    maintMarginChangeOutsideRTH: float
    equityWithLoanChangeOutsideRTH: float
    initMarginAfterOutsideRTH: float
    maintMarginAfterOutsideRTH: float
    equityWithLoanAfterOutsideRTH: float
    suggestedSize: str
    rejectReason: str
    orderAllocations: _containers.RepeatedCompositeFieldContainer[OrderAllocation]
    warningText: str
    completedTime: str
    completedStatus: str
    def __init__(self, status: _Optional[str] = ..., initMarginBefore: _Optional[float] = ..., maintMarginBefore: _Optional[float] = ..., equityWithLoanBefore: _Optional[float] = ..., initMarginChange: _Optional[float] = ..., maintMarginChange: _Optional[float] = ..., equityWithLoanChange: _Optional[float] = ..., initMarginAfter: _Optional[float] = ..., maintMarginAfter: _Optional[float] = ..., equityWithLoanAfter: _Optional[float] = ..., commissionAndFees: _Optional[float] = ..., minCommissionAndFees: _Optional[float] = ..., maxCommissionAndFees: _Optional[float] = ..., commissionAndFeesCurrency: _Optional[str] = ..., marginCurrency: _Optional[str] = ..., initMarginBeforeOutsideRTH: _Optional[float] = ..., maintMarginBeforeOutsideRTH: _Optional[float] = ..., equityWithLoanBeforeOutsideRTH: _Optional[float] = ..., initMarginChangeOutsideRTH: _Optional[float] = ..., maintMarginChangeOutsideRTH: _Optional[float] = ..., equityWithLoanChangeOutsideRTH: _Optional[float] = ..., initMarginAfterOutsideRTH: _Optional[float] = ..., maintMarginAfterOutsideRTH: _Optional[float] = ..., equityWithLoanAfterOutsideRTH: _Optional[float] = ..., suggestedSize: _Optional[str] = ..., rejectReason: _Optional[str] = ..., orderAllocations: _Optional[_Iterable[_Union[OrderAllocation, _Mapping]]] = ..., warningText: _Optional[str] = ..., completedTime: _Optional[str] = ..., completedStatus: _Optional[str] = ...) -> None: ...

class OrderAllocation(_message.Message):
    __slots__ = ("account", "position", "positionDesired", "positionAfter", "desiredAllocQty", "allowedAllocQty", "isMonetary")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    POSITIONDESIRED_FIELD_NUMBER: _ClassVar[int]
    POSITIONAFTER_FIELD_NUMBER: _ClassVar[int]
    DESIREDALLOCQTY_FIELD_NUMBER: _ClassVar[int]
    ALLOWEDALLOCQTY_FIELD_NUMBER: _ClassVar[int]
    ISMONETARY_FIELD_NUMBER: _ClassVar[int]
    account: str
    position: str
    positionDesired: str
    positionAfter: str
    desiredAllocQty: str
    allowedAllocQty: str
    isMonetary: bool
    def __init__(self, account: _Optional[str] = ..., position: _Optional[str] = ..., positionDesired: _Optional[str] = ..., positionAfter: _Optional[str] = ..., desiredAllocQty: _Optional[str] = ..., allowedAllocQty: _Optional[str] = ..., isMonetary: _Optional[bool] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("orderId", "execId", "time", "acctNumber", "exchange", "side", "shares", "price", "permId", "clientId", "isLiquidation", "cumQty", "avgPrice", "orderRef", "evRule", "evMultiplier", "modelCode", "lastLiquidity", "isPriceRevisionPending", "submitter", "optExerciseOrLapseType")
    ORDERID_FIELD_NUMBER: _ClassVar[int]
    EXECID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ACCTNUMBER_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    PERMID_FIELD_NUMBER: _ClassVar[int]
    CLIENTID_FIELD_NUMBER: _ClassVar[int]
    ISLIQUIDATION_FIELD_NUMBER: _ClassVar[int]
    CUMQTY_FIELD_NUMBER: _ClassVar[int]
    AVGPRICE_FIELD_NUMBER: _ClassVar[int]
    ORDERREF_FIELD_NUMBER: _ClassVar[int]
    EVRULE_FIELD_NUMBER: _ClassVar[int]
    EVMULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    MODELCODE_FIELD_NUMBER: _ClassVar[int]
    LASTLIQUIDITY_FIELD_NUMBER: _ClassVar[int]
    ISPRICEREVISIONPENDING_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    OPTEXERCISEORLAPSETYPE_FIELD_NUMBER: _ClassVar[int]
    orderId: int
    execId: str
    time: str
    acctNumber: str
    exchange: str
    side: str
    shares: str
    price: float
    permId: int
    clientId: int
    isLiquidation: bool
    cumQty: str
    avgPrice: float
    orderRef: str
    evRule: str
    evMultiplier: float
    modelCode: str
    lastLiquidity: int
    isPriceRevisionPending: bool
    submitter: str
    optExerciseOrLapseType: int
    def __init__(self, orderId: _Optional[int] = ..., execId: _Optional[str] = ..., time: _Optional[str] = ..., acctNumber: _Optional[str] = ..., exchange: _Optional[str] = ..., side: _Optional[str] = ..., shares: _Optional[str] = ..., price: _Optional[float] = ..., permId: _Optional[int] = ..., clientId: _Optional[int] = ..., isLiquidation: _Optional[bool] = ..., cumQty: _Optional[str] = ..., avgPrice: _Optional[float] = ..., orderRef: _Optional[str] = ..., evRule: _Optional[str] = ..., evMultiplier: _Optional[float] = ..., modelCode: _Optional[str] = ..., lastLiquidity: _Optional[int] = ..., isPriceRevisionPending: _Optional[bool] = ..., submitter: _Optional[str] = ..., optExerciseOrLapseType: _Optional[int] = ...) -> None: ...

class OrderCancel(_message.Message):
    __slots__ = ("manualOrderCancelTime", "extOperator", "manualOrderIndicator")
    MANUALORDERCANCELTIME_FIELD_NUMBER: _ClassVar[int]
    EXTOPERATOR_FIELD_NUMBER: _ClassVar[int]
    MANUALORDERINDICATOR_FIELD_NUMBER: _ClassVar[int]
    manualOrderCancelTime: str
    extOperator: str
    manualOrderIndicator: int
    def __init__(self, manualOrderCancelTime: _Optional[str] = ..., extOperator: _Optional[str] = ..., manualOrderIndicator: _Optional[int] = ...) -> None: ...

class AttachedOrders(_message.Message):
    __slots__ = ("slOrderId", "slOrderType", "ptOrderId", "ptOrderType")
    SLORDERID_FIELD_NUMBER: _ClassVar[int]
    SLORDERTYPE_FIELD_NUMBER: _ClassVar[int]
    PTORDERID_FIELD_NUMBER: _ClassVar[int]
    PTORDERTYPE_FIELD_NUMBER: _ClassVar[int]
    slOrderId: int
    slOrderType: str
    ptOrderId: int
    ptOrderType: str
    def __init__(self, slOrderId: _Optional[int] = ..., slOrderType: _Optional[str] = ..., ptOrderId: _Optional[int] = ..., ptOrderType: _Optional[str] = ...) -> None: ...

class StartApiRequest(_message.Message):
    __slots__ = ("clientId", "optionalCapabilities")
    CLIENTID_FIELD_NUMBER: _ClassVar[int]
    OPTIONALCAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    clientId: int
    optionalCapabilities: str
    def __init__(self, clientId: _Optional[int] = ..., optionalCapabilities: _Optional[str] = ...) -> None: ...

class SetServerLogLevelRequest(_message.Message):
    __slots__ = ("logLevel",)
    LOGLEVEL_FIELD_NUMBER: _ClassVar[int]
    logLevel: int
    def __init__(self, logLevel: _Optional[int] = ...) -> None: ...

class IdsRequest(_message.Message):
    __slots__ = ("numIds",)
    NUMIDS_FIELD_NUMBER: _ClassVar[int]
    numIds: int
    def __init__(self, numIds: _Optional[int] = ...) -> None: ...

class CurrentTimeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CurrentTimeInMillisRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ManagedAccountsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UserInfoRequest(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class FamilyCodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SoftDollarTiersRequest(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class NewsProvidersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NewsBulletinsRequest(_message.Message):
    __slots__ = ("allMessages",)
    ALLMESSAGES_FIELD_NUMBER: _ClassVar[int]
    allMessages: bool
    def __init__(self, allMessages: _Optional[bool] = ...) -> None: ...

class CancelNewsBulletins(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MarketDepthExchangesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryDisplayGroupsRequest(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class NextValidId(_message.Message):
    __slots__ = ("orderId",)
    ORDERID_FIELD_NUMBER: _ClassVar[int]
    orderId: int
    def __init__(self, orderId: _Optional[int] = ...) -> None: ...

class CurrentTime(_message.Message):
    __slots__ = ("currentTime",)
    CURRENTTIME_FIELD_NUMBER: _ClassVar[int]
    currentTime: int
    def __init__(self, currentTime: _Optional[int] = ...) -> None: ...

class CurrentTimeInMillis(_message.Message):
    __slots__ = ("currentTimeInMillis",)
    CURRENTTIMEINMILLIS_FIELD_NUMBER: _ClassVar[int]
    currentTimeInMillis: int
    def __init__(self, currentTimeInMillis: _Optional[int] = ...) -> None: ...

class ManagedAccounts(_message.Message):
    __slots__ = ("accountsList",)
    ACCOUNTSLIST_FIELD_NUMBER: _ClassVar[int]
    accountsList: str
    def __init__(self, accountsList: _Optional[str] = ...) -> None: ...

class ErrorMessage(_message.Message):
    __slots__ = ("id", "errorTime", "errorCode", "errorMsg", "advancedOrderRejectJson")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERRORTIME_FIELD_NUMBER: _ClassVar[int]
    ERRORCODE_FIELD_NUMBER: _ClassVar[int]
    ERRORMSG_FIELD_NUMBER: _ClassVar[int]
    ADVANCEDORDERREJECTJSON_FIELD_NUMBER: _ClassVar[int]
    id: int
    errorTime: int
    errorCode: int
    errorMsg: str
    advancedOrderRejectJson: str
    def __init__(self, id: _Optional[int] = ..., errorTime: _Optional[int] = ..., errorCode: _Optional[int] = ..., errorMsg: _Optional[str] = ..., advancedOrderRejectJson: _Optional[str] = ...) -> None: ...

class UserInfo(_message.Message):
    __slots__ = ("reqId", "whiteBrandingId")
    REQID_FIELD_NUMBER: _ClassVar[int]
    WHITEBRANDINGID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    whiteBrandingId: str
    def __init__(self, reqId: _Optional[int] = ..., whiteBrandingId: _Optional[str] = ...) -> None: ...

class FamilyCodes(_message.Message):
    __slots__ = ("familyCodes",)
    FAMILYCODES_FIELD_NUMBER: _ClassVar[int]
    familyCodes: _containers.RepeatedCompositeFieldContainer[FamilyCode]
    def __init__(self, familyCodes: _Optional[_Iterable[_Union[FamilyCode, _Mapping]]] = ...) -> None: ...

class FamilyCode(_message.Message):
    __slots__ = ("accountId", "familyCode")
    ACCOUNTID_FIELD_NUMBER: _ClassVar[int]
    FAMILYCODE_FIELD_NUMBER: _ClassVar[int]
    accountId: str
    familyCode: str
    def __init__(self, accountId: _Optional[str] = ..., familyCode: _Optional[str] = ...) -> None: ...

class SoftDollarTiers(_message.Message):
    __slots__ = ("reqId", "softDollarTiers")
    REQID_FIELD_NUMBER: _ClassVar[int]
    SOFTDOLLARTIERS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    softDollarTiers: _containers.RepeatedCompositeFieldContainer[SoftDollarTier]
    def __init__(self, reqId: _Optional[int] = ..., softDollarTiers: _Optional[_Iterable[_Union[SoftDollarTier, _Mapping]]] = ...) -> None: ...

class NewsProviders(_message.Message):
    __slots__ = ("newsProviders",)
    NEWSPROVIDERS_FIELD_NUMBER: _ClassVar[int]
    newsProviders: _containers.RepeatedCompositeFieldContainer[NewsProvider]
    def __init__(self, newsProviders: _Optional[_Iterable[_Union[NewsProvider, _Mapping]]] = ...) -> None: ...

class NewsProvider(_message.Message):
    __slots__ = ("providerCode", "providerName")
    PROVIDERCODE_FIELD_NUMBER: _ClassVar[int]
    PROVIDERNAME_FIELD_NUMBER: _ClassVar[int]
    providerCode: str
    providerName: str
    def __init__(self, providerCode: _Optional[str] = ..., providerName: _Optional[str] = ...) -> None: ...

class MarketDepthExchanges(_message.Message):
    __slots__ = ("depthMarketDataDescriptions",)
    DEPTHMARKETDATADESCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    depthMarketDataDescriptions: _containers.RepeatedCompositeFieldContainer[DepthMarketDataDescription]
    def __init__(self, depthMarketDataDescriptions: _Optional[_Iterable[_Union[DepthMarketDataDescription, _Mapping]]] = ...) -> None: ...

class DepthMarketDataDescription(_message.Message):
    __slots__ = ("exchange", "secType", "listingExch", "serviceDataType", "aggGroup")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SECTYPE_FIELD_NUMBER: _ClassVar[int]
    LISTINGEXCH_FIELD_NUMBER: _ClassVar[int]
    SERVICEDATATYPE_FIELD_NUMBER: _ClassVar[int]
    AGGGROUP_FIELD_NUMBER: _ClassVar[int]
    exchange: str
    secType: str
    listingExch: str
    serviceDataType: str
    aggGroup: int
    def __init__(self, exchange: _Optional[str] = ..., secType: _Optional[str] = ..., listingExch: _Optional[str] = ..., serviceDataType: _Optional[str] = ..., aggGroup: _Optional[int] = ...) -> None: ...

class DisplayGroupList(_message.Message):
    __slots__ = ("reqId", "groups")
    REQID_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    groups: str
    def __init__(self, reqId: _Optional[int] = ..., groups: _Optional[str] = ...) -> None: ...

class AccountDataRequest(_message.Message):
    __slots__ = ("subscribe", "acctCode")
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    ACCTCODE_FIELD_NUMBER: _ClassVar[int]
    subscribe: bool
    acctCode: str
    def __init__(self, subscribe: _Optional[bool] = ..., acctCode: _Optional[str] = ...) -> None: ...

class AccountSummaryRequest(_message.Message):
    __slots__ = ("reqId", "group", "tags")
    REQID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    group: str
    tags: str
    def __init__(self, reqId: _Optional[int] = ..., group: _Optional[str] = ..., tags: _Optional[str] = ...) -> None: ...

class CancelAccountSummary(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class AccountUpdatesMultiRequest(_message.Message):
    __slots__ = ("reqId", "account", "modelCode", "ledgerAndNLV")
    REQID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    MODELCODE_FIELD_NUMBER: _ClassVar[int]
    LEDGERANDNLV_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    account: str
    modelCode: str
    ledgerAndNLV: bool
    def __init__(self, reqId: _Optional[int] = ..., account: _Optional[str] = ..., modelCode: _Optional[str] = ..., ledgerAndNLV: _Optional[bool] = ...) -> None: ...

class CancelAccountUpdatesMulti(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class PositionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelPositions(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PositionsMultiRequest(_message.Message):
    __slots__ = ("reqId", "account", "modelCode")
    REQID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    MODELCODE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    account: str
    modelCode: str
    def __init__(self, reqId: _Optional[int] = ..., account: _Optional[str] = ..., modelCode: _Optional[str] = ...) -> None: ...

class CancelPositionsMulti(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class PnLRequest(_message.Message):
    __slots__ = ("reqId", "account", "modelCode")
    REQID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    MODELCODE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    account: str
    modelCode: str
    def __init__(self, reqId: _Optional[int] = ..., account: _Optional[str] = ..., modelCode: _Optional[str] = ...) -> None: ...

class CancelPnL(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class PnLSingleRequest(_message.Message):
    __slots__ = ("reqId", "account", "modelCode", "conId")
    REQID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    MODELCODE_FIELD_NUMBER: _ClassVar[int]
    CONID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    account: str
    modelCode: str
    conId: int
    def __init__(self, reqId: _Optional[int] = ..., account: _Optional[str] = ..., modelCode: _Optional[str] = ..., conId: _Optional[int] = ...) -> None: ...

class CancelPnLSingle(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class AccountValue(_message.Message):
    __slots__ = ("key", "value", "currency", "accountName")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTNAME_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    currency: str
    accountName: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., currency: _Optional[str] = ..., accountName: _Optional[str] = ...) -> None: ...

class PortfolioValue(_message.Message):
    __slots__ = ("contract", "position", "marketPrice", "marketValue", "averageCost", "unrealizedPNL", "realizedPNL", "accountName")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    MARKETPRICE_FIELD_NUMBER: _ClassVar[int]
    MARKETVALUE_FIELD_NUMBER: _ClassVar[int]
    AVERAGECOST_FIELD_NUMBER: _ClassVar[int]
    UNREALIZEDPNL_FIELD_NUMBER: _ClassVar[int]
    REALIZEDPNL_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTNAME_FIELD_NUMBER: _ClassVar[int]
    contract: Contract
    position: str
    marketPrice: float
    marketValue: float
    averageCost: float
    unrealizedPNL: float
    realizedPNL: float
    accountName: str
    def __init__(self, contract: _Optional[_Union[Contract, _Mapping]] = ..., position: _Optional[str] = ..., marketPrice: _Optional[float] = ..., marketValue: _Optional[float] = ..., averageCost: _Optional[float] = ..., unrealizedPNL: _Optional[float] = ..., realizedPNL: _Optional[float] = ..., accountName: _Optional[str] = ...) -> None: ...

class AccountUpdateTime(_message.Message):
    __slots__ = ("timeStamp",)
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    timeStamp: str
    def __init__(self, timeStamp: _Optional[str] = ...) -> None: ...

class AccountDataEnd(_message.Message):
    __slots__ = ("accountName",)
    ACCOUNTNAME_FIELD_NUMBER: _ClassVar[int]
    accountName: str
    def __init__(self, accountName: _Optional[str] = ...) -> None: ...

class AccountSummary(_message.Message):
    __slots__ = ("reqId", "account", "tag", "value", "currency")
    REQID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    account: str
    tag: str
    value: str
    currency: str
    def __init__(self, reqId: _Optional[int] = ..., account: _Optional[str] = ..., tag: _Optional[str] = ..., value: _Optional[str] = ..., currency: _Optional[str] = ...) -> None: ...

class AccountSummaryEnd(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class AccountUpdateMulti(_message.Message):
    __slots__ = ("reqId", "account", "modelCode", "key", "value", "currency")
    REQID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    MODELCODE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    account: str
    modelCode: str
    key: str
    value: str
    currency: str
    def __init__(self, reqId: _Optional[int] = ..., account: _Optional[str] = ..., modelCode: _Optional[str] = ..., key: _Optional[str] = ..., value: _Optional[str] = ..., currency: _Optional[str] = ...) -> None: ...

class AccountUpdateMultiEnd(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("account", "contract", "position", "avgCost")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    AVGCOST_FIELD_NUMBER: _ClassVar[int]
    account: str
    contract: Contract
    position: str
    avgCost: float
    def __init__(self, account: _Optional[str] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., position: _Optional[str] = ..., avgCost: _Optional[float] = ...) -> None: ...

class PositionEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PositionMulti(_message.Message):
    __slots__ = ("reqId", "account", "contract", "position", "avgCost", "modelCode")
    REQID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    AVGCOST_FIELD_NUMBER: _ClassVar[int]
    MODELCODE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    account: str
    contract: Contract
    position: str
    avgCost: float
    modelCode: str
    def __init__(self, reqId: _Optional[int] = ..., account: _Optional[str] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., position: _Optional[str] = ..., avgCost: _Optional[float] = ..., modelCode: _Optional[str] = ...) -> None: ...

class PositionMultiEnd(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class PnL(_message.Message):
    __slots__ = ("reqId", "dailyPnL", "unrealizedPnL", "realizedPnL")
    REQID_FIELD_NUMBER: _ClassVar[int]
    DAILYPNL_FIELD_NUMBER: _ClassVar[int]
    UNREALIZEDPNL_FIELD_NUMBER: _ClassVar[int]
    REALIZEDPNL_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    dailyPnL: float
    unrealizedPnL: float
    realizedPnL: float
    def __init__(self, reqId: _Optional[int] = ..., dailyPnL: _Optional[float] = ..., unrealizedPnL: _Optional[float] = ..., realizedPnL: _Optional[float] = ...) -> None: ...

class PnLSingle(_message.Message):
    __slots__ = ("reqId", "position", "dailyPnL", "unrealizedPnL", "realizedPnL", "value")
    REQID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DAILYPNL_FIELD_NUMBER: _ClassVar[int]
    UNREALIZEDPNL_FIELD_NUMBER: _ClassVar[int]
    REALIZEDPNL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    position: str
    dailyPnL: float
    unrealizedPnL: float
    realizedPnL: float
    value: float
    def __init__(self, reqId: _Optional[int] = ..., position: _Optional[str] = ..., dailyPnL: _Optional[float] = ..., unrealizedPnL: _Optional[float] = ..., realizedPnL: _Optional[float] = ..., value: _Optional[float] = ...) -> None: ...

class ContractDataRequest(_message.Message):
    __slots__ = ("reqId", "contract")
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contract: Contract
    def __init__(self, reqId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ...) -> None: ...

class CancelContractData(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class MatchingSymbolsRequest(_message.Message):
    __slots__ = ("reqId", "pattern")
    REQID_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    pattern: str
    def __init__(self, reqId: _Optional[int] = ..., pattern: _Optional[str] = ...) -> None: ...

class SecDefOptParamsRequest(_message.Message):
    __slots__ = ("reqId", "underlyingSymbol", "futFopExchange", "underlyingSecType", "underlyingConId")
    REQID_FIELD_NUMBER: _ClassVar[int]
    UNDERLYINGSYMBOL_FIELD_NUMBER: _ClassVar[int]
    FUTFOPEXCHANGE_FIELD_NUMBER: _ClassVar[int]
    UNDERLYINGSECTYPE_FIELD_NUMBER: _ClassVar[int]
    UNDERLYINGCONID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    underlyingSymbol: str
    futFopExchange: str
    underlyingSecType: str
    underlyingConId: int
    def __init__(self, reqId: _Optional[int] = ..., underlyingSymbol: _Optional[str] = ..., futFopExchange: _Optional[str] = ..., underlyingSecType: _Optional[str] = ..., underlyingConId: _Optional[int] = ...) -> None: ...

class MarketRuleRequest(_message.Message):
    __slots__ = ("marketRuleId",)
    MARKETRULEID_FIELD_NUMBER: _ClassVar[int]
    marketRuleId: int
    def __init__(self, marketRuleId: _Optional[int] = ...) -> None: ...

class SmartComponentsRequest(_message.Message):
    __slots__ = ("reqId", "bboExchange")
    REQID_FIELD_NUMBER: _ClassVar[int]
    BBOEXCHANGE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    bboExchange: str
    def __init__(self, reqId: _Optional[int] = ..., bboExchange: _Optional[str] = ...) -> None: ...

class ContractDetails(_message.Message):
    __slots__ = ("marketName", "minTick", "orderTypes", "validExchanges", "priceMagnifier", "underConId", "longName", "contractMonth", "industry", "category", "subcategory", "timeZoneId", "tradingHours", "liquidHours", "evRule", "evMultiplier", "secIdList", "aggGroup", "underSymbol", "underSecType", "marketRuleIds", "realExpirationDate", "stockType", "minSize", "sizeIncrement", "suggestedSizeIncrement", "minAlgoSize", "lastPricePrecision", "lastSizePrecision")
    class SecIdListEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MARKETNAME_FIELD_NUMBER: _ClassVar[int]
    MINTICK_FIELD_NUMBER: _ClassVar[int]
    ORDERTYPES_FIELD_NUMBER: _ClassVar[int]
    VALIDEXCHANGES_FIELD_NUMBER: _ClassVar[int]
    PRICEMAGNIFIER_FIELD_NUMBER: _ClassVar[int]
    UNDERCONID_FIELD_NUMBER: _ClassVar[int]
    LONGNAME_FIELD_NUMBER: _ClassVar[int]
    CONTRACTMONTH_FIELD_NUMBER: _ClassVar[int]
    INDUSTRY_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SUBCATEGORY_FIELD_NUMBER: _ClassVar[int]
    TIMEZONEID_FIELD_NUMBER: _ClassVar[int]
    TRADINGHOURS_FIELD_NUMBER: _ClassVar[int]
    LIQUIDHOURS_FIELD_NUMBER: _ClassVar[int]
    EVRULE_FIELD_NUMBER: _ClassVar[int]
    EVMULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    SECIDLIST_FIELD_NUMBER: _ClassVar[int]
    AGGGROUP_FIELD_NUMBER: _ClassVar[int]
    UNDERSYMBOL_FIELD_NUMBER: _ClassVar[int]
    UNDERSECTYPE_FIELD_NUMBER: _ClassVar[int]
    MARKETRULEIDS_FIELD_NUMBER: _ClassVar[int]
    REALEXPIRATIONDATE_FIELD_NUMBER: _ClassVar[int]
    STOCKTYPE_FIELD_NUMBER: _ClassVar[int]
    MINSIZE_FIELD_NUMBER: _ClassVar[int]
    SIZEINCREMENT_FIELD_NUMBER: _ClassVar[int]
    SUGGESTEDSIZEINCREMENT_FIELD_NUMBER: _ClassVar[int]
    MINALGOSIZE_FIELD_NUMBER: _ClassVar[int]
    LASTPRICEPRECISION_FIELD_NUMBER: _ClassVar[int]
    LASTSIZEPRECISION_FIELD_NUMBER: _ClassVar[int]
    marketName: str
    minTick: str
    orderTypes: str
    validExchanges: str
    priceMagnifier: int
    underConId: int
    longName: str
    contractMonth: str
    industry: str
    category: str
    subcategory: str
    timeZoneId: str
    tradingHours: str
    liquidHours: str
    evRule: str
    evMultiplier: float
    secIdList: _containers.ScalarMap[str, str]
    aggGroup: int
    underSymbol: str
    underSecType: str
    marketRuleIds: str
    realExpirationDate: str
    stockType: str
    minSize: str
    sizeIncrement: str
    suggestedSizeIncrement: str
    minAlgoSize: str
    lastPricePrecision: str
    lastSizePrecision: str
    def __init__(self, marketName: _Optional[str] = ..., minTick: _Optional[str] = ..., orderTypes: _Optional[str] = ..., validExchanges: _Optional[str] = ..., priceMagnifier: _Optional[int] = ..., underConId: _Optional[int] = ..., longName: _Optional[str] = ..., contractMonth: _Optional[str] = ..., industry: _Optional[str] = ..., category: _Optional[str] = ..., subcategory: _Optional[str] = ..., timeZoneId: _Optional[str] = ..., tradingHours: _Optional[str] = ..., liquidHours: _Optional[str] = ..., evRule: _Optional[str] = ..., evMultiplier: _Optional[float] = ..., secIdList: _Optional[_Mapping[str, str]] = ..., aggGroup: _Optional[int] = ..., underSymbol: _Optional[str] = ..., underSecType: _Optional[str] = ..., marketRuleIds: _Optional[str] = ..., realExpirationDate: _Optional[str] = ..., stockType: _Optional[str] = ..., minSize: _Optional[str] = ..., sizeIncrement: _Optional[str] = ..., suggestedSizeIncrement: _Optional[str] = ..., minAlgoSize: _Optional[str] = ..., lastPricePrecision: _Optional[str] = ..., lastSizePrecision: _Optional[str] = ...) -> None: ...

class ContractData(_message.Message):
    __slots__ = ("reqId", "contract", "contractDetails")
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    CONTRACTDETAILS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contract: Contract
    contractDetails: ContractDetails
    def __init__(self, reqId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., contractDetails: _Optional[_Union[ContractDetails, _Mapping]] = ...) -> None: ...

class ContractDataEnd(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class SymbolSamples(_message.Message):
    __slots__ = ("reqId", "contractDescriptions")
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACTDESCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contractDescriptions: _containers.RepeatedCompositeFieldContainer[ContractDescription]
    def __init__(self, reqId: _Optional[int] = ..., contractDescriptions: _Optional[_Iterable[_Union[ContractDescription, _Mapping]]] = ...) -> None: ...

class ContractDescription(_message.Message):
    __slots__ = ("contract", "derivativeSecTypes")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    DERIVATIVESECTYPES_FIELD_NUMBER: _ClassVar[int]
    contract: Contract
    derivativeSecTypes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, contract: _Optional[_Union[Contract, _Mapping]] = ..., derivativeSecTypes: _Optional[_Iterable[str]] = ...) -> None: ...

class SecDefOptParameter(_message.Message):
    __slots__ = ("reqId", "exchange", "underlyingConId", "tradingClass", "multiplier", "expirations", "strikes")
    REQID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    UNDERLYINGCONID_FIELD_NUMBER: _ClassVar[int]
    TRADINGCLASS_FIELD_NUMBER: _ClassVar[int]
    MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    EXPIRATIONS_FIELD_NUMBER: _ClassVar[int]
    STRIKES_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    exchange: str
    underlyingConId: int
    tradingClass: str
    multiplier: str
    expirations: _containers.RepeatedScalarFieldContainer[str]
    strikes: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, reqId: _Optional[int] = ..., exchange: _Optional[str] = ..., underlyingConId: _Optional[int] = ..., tradingClass: _Optional[str] = ..., multiplier: _Optional[str] = ..., expirations: _Optional[_Iterable[str]] = ..., strikes: _Optional[_Iterable[float]] = ...) -> None: ...

class SecDefOptParameterEnd(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class MarketRule(_message.Message):
    __slots__ = ("marketRuleId", "priceIncrements")
    MARKETRULEID_FIELD_NUMBER: _ClassVar[int]
    PRICEINCREMENTS_FIELD_NUMBER: _ClassVar[int]
    marketRuleId: int
    priceIncrements: _containers.RepeatedCompositeFieldContainer[PriceIncrement]
    def __init__(self, marketRuleId: _Optional[int] = ..., priceIncrements: _Optional[_Iterable[_Union[PriceIncrement, _Mapping]]] = ...) -> None: ...

class PriceIncrement(_message.Message):
    __slots__ = ("lowEdge", "increment")
    LOWEDGE_FIELD_NUMBER: _ClassVar[int]
    INCREMENT_FIELD_NUMBER: _ClassVar[int]
    lowEdge: float
    increment: float
    def __init__(self, lowEdge: _Optional[float] = ..., increment: _Optional[float] = ...) -> None: ...

class SmartComponents(_message.Message):
    __slots__ = ("reqId", "smartComponents")
    REQID_FIELD_NUMBER: _ClassVar[int]
    SMARTCOMPONENTS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    smartComponents: _containers.RepeatedCompositeFieldContainer[SmartComponent]
    def __init__(self, reqId: _Optional[int] = ..., smartComponents: _Optional[_Iterable[_Union[SmartComponent, _Mapping]]] = ...) -> None: ...

class SmartComponent(_message.Message):
    __slots__ = ("bitNumber", "exchange", "exchangeLetter")
    BITNUMBER_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    EXCHANGELETTER_FIELD_NUMBER: _ClassVar[int]
    bitNumber: int
    exchange: str
    exchangeLetter: str
    def __init__(self, bitNumber: _Optional[int] = ..., exchange: _Optional[str] = ..., exchangeLetter: _Optional[str] = ...) -> None: ...

class MarketDataRequest(_message.Message):
    __slots__ = ("reqId", "contract", "genericTickList", "snapshot", "regulatorySnapshot", "marketDataOptions")
    class MarketDataOptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    GENERICTICKLIST_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    REGULATORYSNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    MARKETDATAOPTIONS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contract: Contract
    genericTickList: str
    snapshot: bool
    regulatorySnapshot: bool
    marketDataOptions: _containers.ScalarMap[str, str]
    def __init__(self, reqId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., genericTickList: _Optional[str] = ..., snapshot: _Optional[bool] = ..., regulatorySnapshot: _Optional[bool] = ..., marketDataOptions: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CancelMarketData(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class MarketDataTypeRequest(_message.Message):
    __slots__ = ("marketDataType",)
    MARKETDATATYPE_FIELD_NUMBER: _ClassVar[int]
    marketDataType: int
    def __init__(self, marketDataType: _Optional[int] = ...) -> None: ...

class TickByTickRequest(_message.Message):
    __slots__ = ("reqId", "contract", "tickType", "numberOfTicks", "ignoreSize")
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    TICKTYPE_FIELD_NUMBER: _ClassVar[int]
    NUMBEROFTICKS_FIELD_NUMBER: _ClassVar[int]
    IGNORESIZE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contract: Contract
    tickType: str
    numberOfTicks: int
    ignoreSize: bool
    def __init__(self, reqId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., tickType: _Optional[str] = ..., numberOfTicks: _Optional[int] = ..., ignoreSize: _Optional[bool] = ...) -> None: ...

class CancelTickByTick(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class TickPrice(_message.Message):
    __slots__ = ("reqId", "tickType", "price", "size", "attrMask")
    REQID_FIELD_NUMBER: _ClassVar[int]
    TICKTYPE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ATTRMASK_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    tickType: int
    price: float
    size: str
    attrMask: int
    def __init__(self, reqId: _Optional[int] = ..., tickType: _Optional[int] = ..., price: _Optional[float] = ..., size: _Optional[str] = ..., attrMask: _Optional[int] = ...) -> None: ...

class TickSize(_message.Message):
    __slots__ = ("reqId", "tickType", "size")
    REQID_FIELD_NUMBER: _ClassVar[int]
    TICKTYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    tickType: int
    size: str
    def __init__(self, reqId: _Optional[int] = ..., tickType: _Optional[int] = ..., size: _Optional[str] = ...) -> None: ...

class TickGeneric(_message.Message):
    __slots__ = ("reqId", "tickType", "value")
    REQID_FIELD_NUMBER: _ClassVar[int]
    TICKTYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    tickType: int
    value: float
    def __init__(self, reqId: _Optional[int] = ..., tickType: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...

class TickString(_message.Message):
    __slots__ = ("reqId", "tickType", "value")
    REQID_FIELD_NUMBER: _ClassVar[int]
    TICKTYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    tickType: int
    value: str
    def __init__(self, reqId: _Optional[int] = ..., tickType: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...

class TickSnapshotEnd(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class TickReqParams(_message.Message):
    __slots__ = ("reqId", "minTick", "bboExchange", "snapshotPermissions", "lastPricePrecision", "lastSizePrecision")
    REQID_FIELD_NUMBER: _ClassVar[int]
    MINTICK_FIELD_NUMBER: _ClassVar[int]
    BBOEXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTPERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    LASTPRICEPRECISION_FIELD_NUMBER: _ClassVar[int]
    LASTSIZEPRECISION_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    minTick: str
    bboExchange: str
    snapshotPermissions: int
    lastPricePrecision: str
    lastSizePrecision: str
    def __init__(self, reqId: _Optional[int] = ..., minTick: _Optional[str] = ..., bboExchange: _Optional[str] = ..., snapshotPermissions: _Optional[int] = ..., lastPricePrecision: _Optional[str] = ..., lastSizePrecision: _Optional[str] = ...) -> None: ...

class MarketDataType(_message.Message):
    __slots__ = ("reqId", "marketDataType")
    REQID_FIELD_NUMBER: _ClassVar[int]
    MARKETDATATYPE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    marketDataType: int
    def __init__(self, reqId: _Optional[int] = ..., marketDataType: _Optional[int] = ...) -> None: ...

class TickByTickData(_message.Message):
    __slots__ = ("reqId", "tickType", "historicalTickLast", "historicalTickBidAsk", "historicalTickMidPoint")
    REQID_FIELD_NUMBER: _ClassVar[int]
    TICKTYPE_FIELD_NUMBER: _ClassVar[int]
    HISTORICALTICKLAST_FIELD_NUMBER: _ClassVar[int]
    HISTORICALTICKBIDASK_FIELD_NUMBER: _ClassVar[int]
    HISTORICALTICKMIDPOINT_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    tickType: int
    historicalTickLast: HistoricalTickLast
    historicalTickBidAsk: HistoricalTickBidAsk
    historicalTickMidPoint: HistoricalTick
    def __init__(self, reqId: _Optional[int] = ..., tickType: _Optional[int] = ..., historicalTickLast: _Optional[_Union[HistoricalTickLast, _Mapping]] = ..., historicalTickBidAsk: _Optional[_Union[HistoricalTickBidAsk, _Mapping]] = ..., historicalTickMidPoint: _Optional[_Union[HistoricalTick, _Mapping]] = ...) -> None: ...

class HistoricalTick(_message.Message):
    __slots__ = ("time", "price", "size")
    TIME_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    time: int
    price: float
    size: str
    def __init__(self, time: _Optional[int] = ..., price: _Optional[float] = ..., size: _Optional[str] = ...) -> None: ...

class HistoricalTickBidAsk(_message.Message):
    __slots__ = ("time", "tickAttribBidAsk", "priceBid", "priceAsk", "sizeBid", "sizeAsk")
    TIME_FIELD_NUMBER: _ClassVar[int]
    TICKATTRIBBIDASK_FIELD_NUMBER: _ClassVar[int]
    PRICEBID_FIELD_NUMBER: _ClassVar[int]
    PRICEASK_FIELD_NUMBER: _ClassVar[int]
    SIZEBID_FIELD_NUMBER: _ClassVar[int]
    SIZEASK_FIELD_NUMBER: _ClassVar[int]
    time: int
    tickAttribBidAsk: TickAttribBidAsk
    priceBid: float
    priceAsk: float
    sizeBid: str
    sizeAsk: str
    def __init__(self, time: _Optional[int] = ..., tickAttribBidAsk: _Optional[_Union[TickAttribBidAsk, _Mapping]] = ..., priceBid: _Optional[float] = ..., priceAsk: _Optional[float] = ..., sizeBid: _Optional[str] = ..., sizeAsk: _Optional[str] = ...) -> None: ...

class HistoricalTickLast(_message.Message):
    __slots__ = ("time", "tickAttribLast", "price", "size", "exchange", "specialConditions")
    TIME_FIELD_NUMBER: _ClassVar[int]
    TICKATTRIBLAST_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SPECIALCONDITIONS_FIELD_NUMBER: _ClassVar[int]
    time: int
    tickAttribLast: TickAttribLast
    price: float
    size: str
    exchange: str
    specialConditions: str
    def __init__(self, time: _Optional[int] = ..., tickAttribLast: _Optional[_Union[TickAttribLast, _Mapping]] = ..., price: _Optional[float] = ..., size: _Optional[str] = ..., exchange: _Optional[str] = ..., specialConditions: _Optional[str] = ...) -> None: ...

class TickAttribBidAsk(_message.Message):
    __slots__ = ("bidPastLow", "askPastHigh")
    BIDPASTLOW_FIELD_NUMBER: _ClassVar[int]
    ASKPASTHIGH_FIELD_NUMBER: _ClassVar[int]
    bidPastLow: bool
    askPastHigh: bool
    def __init__(self, bidPastLow: _Optional[bool] = ..., askPastHigh: _Optional[bool] = ...) -> None: ...

class TickAttribLast(_message.Message):
    __slots__ = ("pastLimit", "unreported")
    PASTLIMIT_FIELD_NUMBER: _ClassVar[int]
    UNREPORTED_FIELD_NUMBER: _ClassVar[int]
    pastLimit: bool
    unreported: bool
    def __init__(self, pastLimit: _Optional[bool] = ..., unreported: _Optional[bool] = ...) -> None: ...

class HistoricalDataRequest(_message.Message):
    __slots__ = ("reqId", "contract", "endDateTime", "barSizeSetting", "duration", "useRTH", "whatToShow", "formatDate", "keepUpToDate", "chartOptions")
    class ChartOptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ENDDATETIME_FIELD_NUMBER: _ClassVar[int]
    BARSIZESETTING_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    USERTH_FIELD_NUMBER: _ClassVar[int]
    WHATTOSHOW_FIELD_NUMBER: _ClassVar[int]
    FORMATDATE_FIELD_NUMBER: _ClassVar[int]
    KEEPUPTODATE_FIELD_NUMBER: _ClassVar[int]
    CHARTOPTIONS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contract: Contract
    endDateTime: str
    barSizeSetting: str
    duration: str
    useRTH: bool
    whatToShow: str
    formatDate: int
    keepUpToDate: bool
    chartOptions: _containers.ScalarMap[str, str]
    def __init__(self, reqId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., endDateTime: _Optional[str] = ..., barSizeSetting: _Optional[str] = ..., duration: _Optional[str] = ..., useRTH: _Optional[bool] = ..., whatToShow: _Optional[str] = ..., formatDate: _Optional[int] = ..., keepUpToDate: _Optional[bool] = ..., chartOptions: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CancelHistoricalData(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class RealTimeBarsRequest(_message.Message):
    __slots__ = ("reqId", "contract", "barSize", "whatToShow", "useRTH", "realTimeBarsOptions")
    class RealTimeBarsOptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    BARSIZE_FIELD_NUMBER: _ClassVar[int]
    WHATTOSHOW_FIELD_NUMBER: _ClassVar[int]
    USERTH_FIELD_NUMBER: _ClassVar[int]
    REALTIMEBARSOPTIONS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contract: Contract
    barSize: int
    whatToShow: str
    useRTH: bool
    realTimeBarsOptions: _containers.ScalarMap[str, str]
    def __init__(self, reqId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., barSize: _Optional[int] = ..., whatToShow: _Optional[str] = ..., useRTH: _Optional[bool] = ..., realTimeBarsOptions: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CancelRealTimeBars(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class HeadTimestampRequest(_message.Message):
    __slots__ = ("reqId", "contract", "useRTH", "whatToShow", "formatDate")
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    USERTH_FIELD_NUMBER: _ClassVar[int]
    WHATTOSHOW_FIELD_NUMBER: _ClassVar[int]
    FORMATDATE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contract: Contract
    useRTH: bool
    whatToShow: str
    formatDate: int
    def __init__(self, reqId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., useRTH: _Optional[bool] = ..., whatToShow: _Optional[str] = ..., formatDate: _Optional[int] = ...) -> None: ...

class CancelHeadTimestamp(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class HistoricalTicksRequest(_message.Message):
    __slots__ = ("reqId", "contract", "startDateTime", "endDateTime", "numberOfTicks", "whatToShow", "useRTH", "ignoreSize", "miscOptions")
    class MiscOptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    STARTDATETIME_FIELD_NUMBER: _ClassVar[int]
    ENDDATETIME_FIELD_NUMBER: _ClassVar[int]
    NUMBEROFTICKS_FIELD_NUMBER: _ClassVar[int]
    WHATTOSHOW_FIELD_NUMBER: _ClassVar[int]
    USERTH_FIELD_NUMBER: _ClassVar[int]
    IGNORESIZE_FIELD_NUMBER: _ClassVar[int]
    MISCOPTIONS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contract: Contract
    startDateTime: str
    endDateTime: str
    numberOfTicks: int
    whatToShow: str
    useRTH: bool
    ignoreSize: bool
    miscOptions: _containers.ScalarMap[str, str]
    def __init__(self, reqId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., startDateTime: _Optional[str] = ..., endDateTime: _Optional[str] = ..., numberOfTicks: _Optional[int] = ..., whatToShow: _Optional[str] = ..., useRTH: _Optional[bool] = ..., ignoreSize: _Optional[bool] = ..., miscOptions: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CancelHistoricalTicks(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class HistoricalData(_message.Message):
    __slots__ = ("reqId", "historicalDataBars")
    REQID_FIELD_NUMBER: _ClassVar[int]
    HISTORICALDATABARS_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    historicalDataBars: _containers.RepeatedCompositeFieldContainer[HistoricalDataBar]
    def __init__(self, reqId: _Optional[int] = ..., historicalDataBars: _Optional[_Iterable[_Union[HistoricalDataBar, _Mapping]]] = ...) -> None: ...

class HistoricalDataBar(_message.Message):
    __slots__ = ("date", "open", "high", "low", "close", "volume", "WAP", "barCount")
    DATE_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    WAP_FIELD_NUMBER: _ClassVar[int]
    BARCOUNT_FIELD_NUMBER: _ClassVar[int]
    date: str
    open: float
    high: float
    low: float
    close: float
    volume: str
    WAP: str
    barCount: int
    def __init__(self, date: _Optional[str] = ..., open: _Optional[float] = ..., high: _Optional[float] = ..., low: _Optional[float] = ..., close: _Optional[float] = ..., volume: _Optional[str] = ..., WAP: _Optional[str] = ..., barCount: _Optional[int] = ...) -> None: ...

class HistoricalDataEnd(_message.Message):
    __slots__ = ("reqId", "startDateStr", "endDateStr")
    REQID_FIELD_NUMBER: _ClassVar[int]
    STARTDATESTR_FIELD_NUMBER: _ClassVar[int]
    ENDDATESTR_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    startDateStr: str
    endDateStr: str
    def __init__(self, reqId: _Optional[int] = ..., startDateStr: _Optional[str] = ..., endDateStr: _Optional[str] = ...) -> None: ...

class HistoricalDataUpdate(_message.Message):
    __slots__ = ("reqId", "historicalDataBar")
    REQID_FIELD_NUMBER: _ClassVar[int]
    HISTORICALDATABAR_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    historicalDataBar: HistoricalDataBar
    def __init__(self, reqId: _Optional[int] = ..., historicalDataBar: _Optional[_Union[HistoricalDataBar, _Mapping]] = ...) -> None: ...

class RealTimeBarTick(_message.Message):
    __slots__ = ("reqId", "time", "open", "high", "low", "close", "volume", "WAP", "count")
    REQID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    WAP_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    time: int
    open: float
    high: float
    low: float
    close: float
    volume: str
    WAP: str
    count: int
    def __init__(self, reqId: _Optional[int] = ..., time: _Optional[int] = ..., open: _Optional[float] = ..., high: _Optional[float] = ..., low: _Optional[float] = ..., close: _Optional[float] = ..., volume: _Optional[str] = ..., WAP: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class HeadTimestamp(_message.Message):
    __slots__ = ("reqId", "headTimestamp")
    REQID_FIELD_NUMBER: _ClassVar[int]
    HEADTIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    headTimestamp: str
    def __init__(self, reqId: _Optional[int] = ..., headTimestamp: _Optional[str] = ...) -> None: ...

class HistoricalTicks(_message.Message):
    __slots__ = ("reqId", "historicalTicks", "isDone")
    REQID_FIELD_NUMBER: _ClassVar[int]
    HISTORICALTICKS_FIELD_NUMBER: _ClassVar[int]
    ISDONE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    historicalTicks: _containers.RepeatedCompositeFieldContainer[HistoricalTick]
    isDone: bool
    def __init__(self, reqId: _Optional[int] = ..., historicalTicks: _Optional[_Iterable[_Union[HistoricalTick, _Mapping]]] = ..., isDone: _Optional[bool] = ...) -> None: ...

class HistoricalTicksBidAsk(_message.Message):
    __slots__ = ("reqId", "historicalTicksBidAsk", "isDone")
    REQID_FIELD_NUMBER: _ClassVar[int]
    HISTORICALTICKSBIDASK_FIELD_NUMBER: _ClassVar[int]
    ISDONE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    historicalTicksBidAsk: _containers.RepeatedCompositeFieldContainer[HistoricalTickBidAsk]
    isDone: bool
    def __init__(self, reqId: _Optional[int] = ..., historicalTicksBidAsk: _Optional[_Iterable[_Union[HistoricalTickBidAsk, _Mapping]]] = ..., isDone: _Optional[bool] = ...) -> None: ...

class HistoricalTicksLast(_message.Message):
    __slots__ = ("reqId", "historicalTicksLast", "isDone")
    REQID_FIELD_NUMBER: _ClassVar[int]
    HISTORICALTICKSLAST_FIELD_NUMBER: _ClassVar[int]
    ISDONE_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    historicalTicksLast: _containers.RepeatedCompositeFieldContainer[HistoricalTickLast]
    isDone: bool
    def __init__(self, reqId: _Optional[int] = ..., historicalTicksLast: _Optional[_Iterable[_Union[HistoricalTickLast, _Mapping]]] = ..., isDone: _Optional[bool] = ...) -> None: ...

class PlaceOrderRequest(_message.Message):
    __slots__ = ("orderId", "contract", "order", "attachedOrders")
    ORDERID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    ATTACHEDORDERS_FIELD_NUMBER: _ClassVar[int]
    orderId: int
    contract: Contract
    order: Order
    attachedOrders: AttachedOrders
    def __init__(self, orderId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., order: _Optional[_Union[Order, _Mapping]] = ..., attachedOrders: _Optional[_Union[AttachedOrders, _Mapping]] = ...) -> None: ...

class CancelOrderRequest(_message.Message):
    __slots__ = ("orderId", "orderCancel")
    ORDERID_FIELD_NUMBER: _ClassVar[int]
    ORDERCANCEL_FIELD_NUMBER: _ClassVar[int]
    orderId: int
    orderCancel: OrderCancel
    def __init__(self, orderId: _Optional[int] = ..., orderCancel: _Optional[_Union[OrderCancel, _Mapping]] = ...) -> None: ...

class GlobalCancelRequest(_message.Message):
    __slots__ = ("orderCancel",)
    ORDERCANCEL_FIELD_NUMBER: _ClassVar[int]
    orderCancel: OrderCancel
    def __init__(self, orderCancel: _Optional[_Union[OrderCancel, _Mapping]] = ...) -> None: ...

class OpenOrdersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AllOpenOrdersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AutoOpenOrdersRequest(_message.Message):
    __slots__ = ("autoBind",)
    AUTOBIND_FIELD_NUMBER: _ClassVar[int]
    autoBind: bool
    def __init__(self, autoBind: _Optional[bool] = ...) -> None: ...

class CompletedOrdersRequest(_message.Message):
    __slots__ = ("apiOnly",)
    APIONLY_FIELD_NUMBER: _ClassVar[int]
    apiOnly: bool
    def __init__(self, apiOnly: _Optional[bool] = ...) -> None: ...

class ExecutionRequest(_message.Message):
    __slots__ = ("reqId", "executionFilter")
    REQID_FIELD_NUMBER: _ClassVar[int]
    EXECUTIONFILTER_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    executionFilter: ExecutionFilter
    def __init__(self, reqId: _Optional[int] = ..., executionFilter: _Optional[_Union[ExecutionFilter, _Mapping]] = ...) -> None: ...

class ExecutionFilter(_message.Message):
    __slots__ = ("clientId", "acctCode", "time", "symbol", "secType", "exchange", "side", "lastNDays", "specificDates")
    CLIENTID_FIELD_NUMBER: _ClassVar[int]
    ACCTCODE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SECTYPE_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    LASTNDAYS_FIELD_NUMBER: _ClassVar[int]
    SPECIFICDATES_FIELD_NUMBER: _ClassVar[int]
    clientId: int
    acctCode: str
    time: str
    symbol: str
    secType: str
    exchange: str
    side: str
    lastNDays: int
    specificDates: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, clientId: _Optional[int] = ..., acctCode: _Optional[str] = ..., time: _Optional[str] = ..., symbol: _Optional[str] = ..., secType: _Optional[str] = ..., exchange: _Optional[str] = ..., side: _Optional[str] = ..., lastNDays: _Optional[int] = ..., specificDates: _Optional[_Iterable[int]] = ...) -> None: ...

class OpenOrder(_message.Message):
    __slots__ = ("orderId", "contract", "order", "orderState")
    ORDERID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    ORDERSTATE_FIELD_NUMBER: _ClassVar[int]
    orderId: int
    contract: Contract
    order: Order
    orderState: OrderState
    def __init__(self, orderId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., order: _Optional[_Union[Order, _Mapping]] = ..., orderState: _Optional[_Union[OrderState, _Mapping]] = ...) -> None: ...

class OpenOrdersEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OrderStatus(_message.Message):
    __slots__ = ("orderId", "status", "filled", "remaining", "avgFillPrice", "permId", "parentId", "lastFillPrice", "clientId", "whyHeld", "mktCapPrice")
    ORDERID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FILLED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    AVGFILLPRICE_FIELD_NUMBER: _ClassVar[int]
    PERMID_FIELD_NUMBER: _ClassVar[int]
    PARENTID_FIELD_NUMBER: _ClassVar[int]
    LASTFILLPRICE_FIELD_NUMBER: _ClassVar[int]
    CLIENTID_FIELD_NUMBER: _ClassVar[int]
    WHYHELD_FIELD_NUMBER: _ClassVar[int]
    MKTCAPPRICE_FIELD_NUMBER: _ClassVar[int]
    orderId: int
    status: str
    filled: str
    remaining: str
    avgFillPrice: float
    permId: int
    parentId: int
    lastFillPrice: float
    clientId: int
    whyHeld: str
    mktCapPrice: float
    def __init__(self, orderId: _Optional[int] = ..., status: _Optional[str] = ..., filled: _Optional[str] = ..., remaining: _Optional[str] = ..., avgFillPrice: _Optional[float] = ..., permId: _Optional[int] = ..., parentId: _Optional[int] = ..., lastFillPrice: _Optional[float] = ..., clientId: _Optional[int] = ..., whyHeld: _Optional[str] = ..., mktCapPrice: _Optional[float] = ...) -> None: ...

class OrderBound(_message.Message):
    __slots__ = ("permId", "clientId", "orderId")
    PERMID_FIELD_NUMBER: _ClassVar[int]
    CLIENTID_FIELD_NUMBER: _ClassVar[int]
    ORDERID_FIELD_NUMBER: _ClassVar[int]
    permId: int
    clientId: int
    orderId: int
    def __init__(self, permId: _Optional[int] = ..., clientId: _Optional[int] = ..., orderId: _Optional[int] = ...) -> None: ...

class CompletedOrder(_message.Message):
    __slots__ = ("contract", "order", "orderState")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    ORDERSTATE_FIELD_NUMBER: _ClassVar[int]
    contract: Contract
    order: Order
    orderState: OrderState
    def __init__(self, contract: _Optional[_Union[Contract, _Mapping]] = ..., order: _Optional[_Union[Order, _Mapping]] = ..., orderState: _Optional[_Union[OrderState, _Mapping]] = ...) -> None: ...

class CompletedOrdersEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExecutionDetails(_message.Message):
    __slots__ = ("reqId", "contract", "execution")
    REQID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    contract: Contract
    execution: Execution
    def __init__(self, reqId: _Optional[int] = ..., contract: _Optional[_Union[Contract, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class ExecutionDetailsEnd(_message.Message):
    __slots__ = ("reqId",)
    REQID_FIELD_NUMBER: _ClassVar[int]
    reqId: int
    def __init__(self, reqId: _Optional[int] = ...) -> None: ...

class CommissionAndFeesReport(_message.Message):
    __slots__ = ("execId", "commissionAndFees", "currency", "realizedPNL", "bondYield", "yieldRedemptionDate")
    EXECID_FIELD_NUMBER: _ClassVar[int]
    COMMISSIONANDFEES_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    REALIZEDPNL_FIELD_NUMBER: _ClassVar[int]
    BONDYIELD_FIELD_NUMBER: _ClassVar[int]
    YIELDREDEMPTIONDATE_FIELD_NUMBER: _ClassVar[int]
    execId: str
    commissionAndFees: float
    currency: str
    realizedPNL: float
    bondYield: float
    yieldRedemptionDate: str
    def __init__(self, execId: _Optional[str] = ..., commissionAndFees: _Optional[float] = ..., currency: _Optional[str] = ..., realizedPNL: _Optional[float] = ..., bondYield: _Optional[float] = ..., yieldRedemptionDate: _Optional[str] = ...) -> None: ...
