# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of both dialects share: one of each reply, and what nautilus_ibapi makes of bytes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway_simulator.contracts import LISTED
from gateway_simulator.messages import TextDialect
from gateway_simulator.model import (
    Bar,
    Execution,
    MarginChange,
    OptionParameters,
    Order,
    Position,
    PositionValue,
    Quote,
    TickKind,
)

NOW = datetime(2026, 11, 25, 15, 30, tzinfo=UTC)
STOCK = LISTED[265598]
OPTION = replace(
    STOCK,
    con_id=700000001,
    sec_type="OPT",
    expiry="20261218",
    strike=Decimal("250.5"),
    right="C",
    multiplier=100,
    local_symbol="AAPL  261218C00250500",
    under_con_id=265598,
    under_symbol="AAPL",
    under_sec_type="STK",
    contract_month="202612",
)
QUOTE = Quote(
    bid=Decimal("229.99"),
    ask=Decimal("230.01"),
    last=Decimal("230.00"),
    bid_size=300,
    ask_size=400,
    last_size=100,
    volume=123456,
    close=Decimal("228.5"),
    time=1795620600,
)
BAR = Bar(
    start=1795620600,
    open=Decimal("230.00"),
    high=Decimal("230.5"),
    low=Decimal("229.75"),
    close=Decimal("230.25"),
    volume=1200,
    average=Decimal("230.125"),
    count=12,
)
# Just sent, and as plain as can be.
LIMIT_ORDER = Order(
    order_type="LMT",
    limit_price=Decimal("225.5"),
    tif="DAY",
    open_close="O",
    origin=0,
    order_ref="key:1",
    outside_rth=False,
    hidden=False,
    client_id=7,
    order_id=12,
    perm_id=1000000012,
    con_id=265598,
    exchange="SMART",
    action="SELL",
    quantity=200,
    placed_at="2026-11-25T15:29:00Z",
)
# With everything that an order can have, and half filled.
ORDER = replace(
    LIMIT_ORDER,
    order_type="STP LMT",
    aux_price=Decimal(226),
    tif="GTD",
    good_till_date="20261231-23:00:00",
    oca_group="group",
    oca_type=1,
    parent_id=11,
    outside_rth=True,
    hidden=True,
    all_or_none=True,
    status="Submitted",
    filled=100,
    filled_value=Decimal("22550.00"),
    last_fill_price=Decimal("225.5"),
    why_held="trigger",
    given_back={"triggerMethod": "2", "rule80A": "I", "sweepToFill": "1", "softDollarTierName": "tier"},
)
DONE = replace(
    ORDER,
    given_back={"rule80A": "I"},
    status="Cancelled",
    completed_at="20261125 15:30:00 UTC",
    completed_status="Cancelled by Trader",
)
MARGIN = MarginChange(
    initial_before=Decimal("1000.00"),
    initial_after=Decimal("1500.00"),
    maintenance_before=Decimal("900.00"),
    maintenance_after=Decimal("1300.00"),
    equity_before=Decimal("1000000.00"),
    equity_after=Decimal("999999.00"),
    commission=Decimal("1.00"),
    commission_currency="USD",
)
EXECUTION = Execution(
    execution_id="20261125.00000001.01.01",
    client_id=7,
    order_id=12,
    perm_id=1000000012,
    con_id=265598,
    exchange="NASDAQ",
    side="SLD",
    quantity=100,
    price=Decimal("225.5"),
    cumulative_quantity=100,
    average_price=Decimal("225.5"),
    order_ref="key:1",
    time="2026-11-25T15:30:00Z",
    commission=Decimal("1.00"),
    realized=None,
)
POSITION = Position(265598, -100, Decimal("-22550.00"), Decimal("12.34"))
VALUE = PositionValue(POSITION, Decimal(226), Decimal("-22600.00"), Decimal("-50.00"))
CHAIN = OptionParameters("SMART", 265598, "AAPL", "100", ("20261218", "20270115"), (Decimal(250), Decimal("250.5")))
HOURS = ("20261125:0930-20261125:1600", "20261125:0930-20261125:1600")

# One of each reply: how it is asked of a dialect, by the name of the method.
REPLIES: dict[str, Callable[[TextDialect], bytes | list[bytes]]] = {
    "error": lambda dialect: dialect.error(12, 201, "Order rejected - reason: caf\u00e9", '{"reason": "x"}'),
    "managed_accounts": lambda dialect: dialect.managed_accounts("DU1234567"),
    "next_valid_id": lambda dialect: dialect.next_valid_id(12),
    "current_time": lambda dialect: dialect.current_time(1795620600),
    "current_time_in_milliseconds": lambda dialect: dialect.current_time_in_milliseconds(1795620600123),
    "family_codes": lambda dialect: dialect.family_codes(["DU1234567"]),
    "user_info": lambda dialect: dialect.user_info(5),
    "soft_dollar_tiers": lambda dialect: dialect.soft_dollar_tiers(5),
    "news_providers": lambda dialect: dialect.news_providers(),
    "market_depth_exchanges": lambda dialect: dialect.market_depth_exchanges(),
    "display_groups": lambda dialect: dialect.display_groups(5),
    "position": lambda dialect: dialect.position("DU1234567", STOCK, POSITION),
    "position of an option": lambda dialect: dialect.position("DU1234567", OPTION, POSITION),
    "position_end": lambda dialect: dialect.position_end(),
    "position_multi": lambda dialect: dialect.position_multi(5, "DU1234567", STOCK, POSITION),
    "position_multi_end": lambda dialect: dialect.position_multi_end(5),
    "account_value": lambda dialect: dialect.account_value("NetLiquidation", "1000000.00", "USD", "DU1234567"),
    "account_value of no currency": lambda dialect: dialect.account_value("AccountType", "LLC", "", "DU1234567"),
    "portfolio_value": lambda dialect: dialect.portfolio_value("DU1234567", STOCK, VALUE),
    "account_time": lambda dialect: dialect.account_time(NOW),
    "account_download_end": lambda dialect: dialect.account_download_end("DU1234567"),
    "account_update_multi": lambda dialect: dialect.account_update_multi(5, "DU1234567", "Cushion", "1", ""),
    "account_update_multi_end": lambda dialect: dialect.account_update_multi_end(5),
    "account_summary": lambda dialect: dialect.account_summary(5, "DU1234567", "NetLiquidation", "1.00", "USD"),
    "account_summary_end": lambda dialect: dialect.account_summary_end(5),
    "pnl": lambda dialect: dialect.pnl(5, VALUE.pnl),
    "pnl_single": lambda dialect: dialect.pnl_single(5, VALUE),
    "contract_details": lambda dialect: dialect.contract_details(5, STOCK, "LMT,MKT", "26", HOURS),
    "contract_details of an option": lambda dialect: dialect.contract_details(5, OPTION, "LMT", "26", HOURS),
    "contract_details_end": lambda dialect: dialect.contract_details_end(5),
    "symbol_samples": lambda dialect: dialect.symbol_samples(5, [(STOCK, ["OPT"])]),
    "option_parameters": lambda dialect: dialect.option_parameters(5, CHAIN),
    "option_parameters_end": lambda dialect: dialect.option_parameters_end(5),
    "market_rule": lambda dialect: dialect.market_rule(26, [(Decimal(0), Decimal("0.01"))]),
    "smart_components": lambda dialect: dialect.smart_components(5, ["NASDAQ", "ARCA"]),
    "market_data_type": lambda dialect: dialect.market_data_type(5, 3),
    "tick_parameters": lambda dialect: dialect.tick_parameters(5, STOCK),
    "tick_price": lambda dialect: dialect.tick_price(5, TickKind.BID, QUOTE.bid, QUOTE.bid_size, 1),
    "tick_size": lambda dialect: dialect.tick_size(5, TickKind.VOLUME, QUOTE.volume),
    "tick_string": lambda dialect: dialect.tick_string(5, TickKind.LAST_TIME, "1795620600"),
    "tick_generic": lambda dialect: dialect.tick_generic(5, TickKind.HALTED, Decimal(0)),
    "snapshot_end": lambda dialect: dialect.snapshot_end(5),
    "tick_by_tick_last": lambda dialect: dialect.tick_by_tick_last(5, 2, QUOTE, "NASDAQ"),
    "tick_by_tick_bid_ask": lambda dialect: dialect.tick_by_tick_bid_ask(5, QUOTE),
    "tick_by_tick_midpoint": lambda dialect: dialect.tick_by_tick_midpoint(5, QUOTE),
    "historical_ticks_last": lambda dialect: dialect.historical_ticks_last(5, [QUOTE, QUOTE], "NASDAQ"),
    "historical_ticks_bid_ask": lambda dialect: dialect.historical_ticks_bid_ask(5, [QUOTE, QUOTE]),
    "historical_ticks_midpoint": lambda dialect: dialect.historical_ticks_midpoint(5, [QUOTE, QUOTE]),
    "real_time_bar": lambda dialect: dialect.real_time_bar(5, BAR),
    "historical_data": lambda dialect: dialect.historical_data(5, [("20261125", BAR)], "first", "last"),
    "historical_data_update": lambda dialect: dialect.historical_data_update(5, "20261125", BAR),
    "head_timestamp": lambda dialect: dialect.head_timestamp(5, "20200102-14:30:00"),
    "order_status": lambda dialect: dialect.order_status(ORDER),
    "open_order": lambda dialect: dialect.open_order("DU1234567", STOCK, ORDER),
    "open_order of an option": lambda dialect: dialect.open_order("DU1234567", OPTION, ORDER),
    "open_order of a preview": lambda dialect: dialect.open_order("DU1234567", STOCK, ORDER, MARGIN),
    "open_order_end": lambda dialect: dialect.open_order_end(),
    "order_bound": lambda dialect: dialect.order_bound(ORDER),
    "completed_order": lambda dialect: dialect.completed_order("DU1234567", STOCK, DONE),
    "completed_orders_end": lambda dialect: dialect.completed_orders_end(),
    "execution_details": lambda dialect: dialect.execution_details(5, "DU1234567", STOCK, EXECUTION),
    "execution_end": lambda dialect: dialect.execution_end(5),
    "commission_report": lambda dialect: dialect.commission_report(STOCK, EXECUTION),
}


def ask(python: Path, *arguments: object, given: object = None) -> Any:
    """Return what the client's own code answers in its environment."""
    command = [str(python), str(Path(__file__).with_name("nautilus_wire.py")), *map(str, arguments)]
    done = subprocess.run(command, input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def in_common(value: Any, name: str = "") -> Any:
    """Return what the client tells its user without what it tells differently by itself, according to the edition."""
    if isinstance(value, dict):
        if value.keys() == {"bitNumber", "exchange", "exchangeLetter"}:
            return list(value.values())
        return {key: in_common(entry, key) for key, entry in value.items()}
    if isinstance(value, list):
        return [in_common(entry) for entry in value] or None
    if name.startswith(("initMargin", "maintMargin", "equityWithLoan")):
        return Decimal(value) if value and Decimal(value) < 10**300 else None
    if name in ("strike", "adjustedOrderType", "usePriceMgmtAlgo", "routeMarketableToBbo"):
        return value if value not in ("0", "None", "", False) else None
    return value
