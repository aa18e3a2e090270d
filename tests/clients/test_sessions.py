# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real clients are told in one whole session, step by step, and what the simulator's witness has seen of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.clients.sessions import Case, Outcome, play

ACCOUNT = "DU1234567"
CASES = (
    Case("ib_async", "event_client.py", offered=178, agreed=178),
    Case("ib_insync", "event_client.py", offered=178, agreed=176),
    Case("ibapi", "callback_client.py", offered=178, agreed=157),
    Case("nautilus_ibapi", "callback_client.py", offered=178, agreed=178),
    Case("nautilus_ibapi", "callback_client.py", offered=200, agreed=200),
    # Half of the messages are protobuf.
    Case("nautilus_ibapi", "callback_client.py", offered=207, agreed=207),
    Case("nautilus_ibapi", "callback_client.py", offered=225, agreed=225),
)
OFFICIAL = tuple(case for case in CASES if case.script == "callback_client.py")
# A session mostly waits.
AT_ONCE = 3


@pytest.fixture(scope="session")
def sessions(
    pythons: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Case], Future[Outcome]]]:
    """Every session once; all begin when the first is wanted."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {
            case: pool.submit(play, case, pythons[case.client], tmp_path_factory.mktemp(str(case))) for case in CASES
        }
        yield running.__getitem__
        for session in running.values():
            session.cancel()


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    wanted: Case = request.param
    return wanted


@pytest.fixture
def outcome(case: Case, sessions: Callable[[Case], Future[Outcome]], request: pytest.FixtureRequest) -> Outcome:
    """The outcome of a session; a test that fails shows what the client and the simulator wrote."""
    finished = sessions(case).result()
    request.node.add_report_section("call", "the client's stderr", finished.errors[-8000:])
    request.node.add_report_section("call", "the simulator's log", finished.log[-8000:])
    return finished


@pytest.fixture
def told(outcome: Outcome) -> dict[str, Any]:
    return outcome.told


def test_the_whole_session_goes_through(case: Case, outcome: Outcome, record_property: Callable[..., None]) -> None:
    record_property("seconds", outcome.seconds)
    assert outcome.status == 0
    assert '"level": "ERROR"' not in outcome.log


def test_the_client_is_connected_at_once(
    case: Case, told: dict[str, Any], record_property: Callable[..., None]
) -> None:
    connect = told["connect"]
    record_property("connect_seconds", connect["seconds"])
    # It takes milliseconds, but for a machine that does much else.
    assert connect["seconds"] < 3
    assert connect["version"] == case.agreed
    assert connect["accounts"] == [ACCOUNT]
    assert connect["notices"] == [2104, 2106, 2158]
    assert abs(told["time"]["server"] - told["time"]["here"]) < 3


def test_stocks_futures_options_and_currencies_are_found(told: dict[str, Any]) -> None:
    stock, future = told["contracts"]["stock"], told["contracts"]["future"]
    option, currency = told["contracts"]["option"], told["contracts"]["currency"]
    assert (stock["conId"], stock["longName"], stock["primaryExchange"]) == (265598, "APPLE INC", "NASDAQ")
    assert (stock["minTick"], stock["stockType"], stock["tradingClass"]) == (0.01, "COMMON", "NMS")
    assert stock["tradingHours"].count(";") >= 4
    assert {"MKT", "LMT", "STP", "STPLMT", "TRAIL"} <= set(stock["orderTypes"].split(","))
    futures = told["contracts"]["futures"]
    assert len({one["conId"] for one in futures}) == len(futures) == 4
    assert (future["symbol"], future["multiplier"], future["minTick"]) == ("ES", "50", 0.25)
    assert (future["underSymbol"], future["exchange"]) == ("SPX", "CME")
    assert future["expiry"] == min(one["expiry"] for one in futures)
    assert (option["right"], option["multiplier"], option["underConId"]) == ("C", "100", 265598)
    assert option["strike"] in told["chain"]["strikes"]
    assert option["expiry"] == told["chain"]["expirations"][0]
    assert (currency["localSymbol"], currency["exchange"], currency["minTick"]) == ("EUR.USD", "IDEALPRO", 0.00005)
    assert told["contracts"]["qualified"] == [265598, future["conId"], currency["conId"]]


def test_chains_symbols_and_rules_are_found(told: dict[str, Any]) -> None:
    assert (told["chain"]["conId"], told["chain"]["multiplier"]) == (265598, "100")
    assert len(told["chain"]["expirations"]) == 3
    assert len(told["chain"]["strikes"]) == 21
    assert told["matching"] == [["AAPL", ["OPT"]]]
    assert told["rule"] == [0, 0.01]


def test_an_unknown_symbol_is_error_200(told: dict[str, Any]) -> None:
    text = "No security definition has been found for the request"
    assert told["unknown"] == {"found": 0, "errors": [[200, text]]}


def test_ticks_stream_until_cancelled(told: dict[str, Any]) -> None:
    stream = told["stream"]
    assert 0 < stream["bid"] < stream["ask"]
    assert stream["bid"] <= stream["last"] <= stream["ask"]
    assert min(stream["bidSize"], stream["askSize"], stream["lastSize"], stream["close"]) > 0
    assert stream["volume"] >= stream["rtVolume"] > 0
    assert stream["type"] == 1
    assert told["cancelled"] == 0
    assert 0.5 < told["snapshot"]["bid"] < told["snapshot"]["ask"] < 2
    assert told["generic_refused"].startswith("Error validating request: Incorrect generic tick list of 9999.")


def test_every_tick_of_each_kind_comes(told: dict[str, Any]) -> None:
    assert set(told["tick_by_tick"]) == {"Last", "AllLast", "BidAsk", "MidPoint"}
    assert all(abs(price / told["stream"]["bid"] - 1) < 0.05 for price in told["tick_by_tick"].values())


def test_bars_come_from_history_and_as_they_come_into_being(told: dict[str, Any]) -> None:
    history = told["history"]
    assert len(history["hours"]) == 24
    every = [*history["hours"], told["real_time_bar"], told["kept_up_to_date"]["last"]]
    assert all(0 < bar["low"] <= min(bar["open"], bar["close"]) for bar in every)
    assert all(bar["high"] >= max(bar["open"], bar["close"]) for bar in every)
    assert all(bar["volume"] > 0 for bar in every)
    assert history["days"] == [f"202605{day}" for day in range(25, 32)]
    assert history["head"] == "20150102"
    assert history["ticks"] == [20, 20, 20]
    assert told["real_time_bar"]["time"] % 5 == 0
    assert told["kept_up_to_date"]["at_first"] == 120
    assert told["kept_up_to_date"]["later"] > 120


def test_a_market_order_fills_in_parts_with_commissions(outcome: Outcome) -> None:
    bought, sale = outcome.told["market_order"], outcome.told["sale"]
    assert bought["statuses"] == ["PendingSubmit", "PreSubmitted", "Submitted", "Submitted", "Filled"]
    assert [fill["shares"] for fill in bought["fills"]] == [150, 150]
    assert [fill["cumQty"] for fill in bought["fills"]] == [150, 300]
    assert [fill["commission"] for fill in bought["fills"]] == [1, 0.5]
    assert {fill["orderRef"] for fill in bought["fills"]} == {"suite:1"}
    assert {fill["permId"] for fill in bought["fills"]} == {bought["permId"]}
    assert bought["average"] == pytest.approx(sum(fill["price"] for fill in bought["fills"]) / 2, abs=1e-6)
    gained = (sale["price"] - bought["average"]) * 50 - sale["commission"] - 1.5 * 50 / 300
    assert sale["realizedPNL"] == pytest.approx(gained, abs=0.011)
    # The witness knows the same fills.
    fills = [entry for entry in outcome.seen("fill") if entry["order_ref"] in ("suite:1", "suite:2")]
    for fill, entry in zip([*bought["fills"], sale], fills, strict=True):
        assert (fill["execId"], fill["orderRef"]) == (entry["execution_id"], entry["order_ref"])
        assert (fill["side"], fill["symbol"], fill["acctNumber"]) == (entry["side"], "AAPL", ACCOUNT)
        numbers = {"shares": "quantity", "price": "price", "commission": "commission"}
        assert all(Decimal(str(fill[here])) == Decimal(entry[there]) for here, there in numbers.items())


def test_the_account_follows_to_the_cent(outcome: Outcome) -> None:
    account = outcome.told["account"]
    values = {tag: Decimal(value) for tag, value in account["values"].items() if tag != "Currency"}
    portfolio = {
        name: Decimal(str(value)) for name, value in account["portfolio"].items() if name not in ("symbol", "account")
    }
    fills = [entry for entry in outcome.seen("fill") if entry["order_ref"] in ("suite:1", "suite:2")]
    spent = sum(
        Decimal(entry["price"]) * Decimal(entry["quantity"]) * (1 if entry["side"] == "BOT" else -1)
        + Decimal(entry["commission"])
        for entry in fills
    )
    assert values["CashBalance"] == Decimal(1_000_000) - spent
    assert values["NetLiquidation"] == values["CashBalance"] + portfolio["marketValue"]
    assert values["NetLiquidation"] == 1_000_000 + values["RealizedPnL"] + values["UnrealizedPnL"]
    assert portfolio["position"] == 250
    assert portfolio["marketValue"] == 250 * portfolio["marketPrice"]
    assert portfolio["realized"] == values["RealizedPnL"]
    assert account["portfolio"]["account"] == account["position"]["account"] == ACCOUNT
    assert account["position"]["position"] == 250
    assert account["position"]["avgCost"] == pytest.approx(float(portfolio["averageCost"]))
    assert Decimal(account["summary"]["TotalCashValue"]) == values["CashBalance"]


# The other clients ask for it when they connect, and do not keep it apart.
@pytest.mark.parametrize("case", OFFICIAL, ids=str)
def test_the_account_is_told_by_request_as_well(told: dict[str, Any]) -> None:
    multi = told["account_multi"]
    assert multi["positions"] == [250]
    assert multi["values"]["TotalCashValue"] == told["account"]["values"]["TotalCashValue"]
    assert multi["values"]["CashBalance"] == told["account"]["values"]["CashBalance"]


def test_an_order_is_modified_by_what_was_told_of_it(told: dict[str, Any]) -> None:
    order, changed = told["limit_order"], told["modified_order"]
    assert (order["action"], order["orderType"], order["totalQuantity"], order["lmtPrice"]) == ("BUY", "LMT", 10, 1.25)
    assert (order["tif"], order["orderRef"], order["outsideRth"]) == ("GTC", "suite:3", True)
    # These have no effect on the simulated exchange, and are not lost for that.
    assert (order["displaySize"], order["rule80A"]) == (5, "I")
    assert changed == order | {"lmtPrice": 2.5, "totalQuantity": 20}
    assert told["cancelled_order"] == [202, "Order Canceled - reason:"]


def test_orders_of_every_type_are_kept_as_they_were_given(told: dict[str, Any]) -> None:
    orders, price, far = told["order_types"], told["order_types_at"]["price"], told["order_types_at"]["far"]
    shown = {
        name: (order["orderType"], order["tif"], order["auxPrice"], order["lmtPrice"])
        for name, order in orders.items()
        if "orderType" in order
    }
    assert shown == {
        "STP": ("STP", "DAY", far, 0),
        "STP LMT": ("STP LMT", "DAY", far, far - 1),
        "TRAIL": ("TRAIL", "DAY", far, 0),
        "TRAIL %": ("TRAIL", "DAY", 0, 0),
        "GTC": ("LMT", "GTC", 0, far),
        "GTD": ("LMT", "GTD", 0, far),
    }
    assert {name: order["status"] for name, order in orders.items()} == {
        "STP": "PreSubmitted", "STP LMT": "PreSubmitted", "TRAIL": "PreSubmitted", "TRAIL %": "PreSubmitted",
        "GTC": "Submitted", "GTD": "Submitted", "IOC": "Cancelled", "FOK": "Cancelled",
    }  # fmt: skip
    assert orders["GTD"]["goodTillDate"] == "20291231 23:59:59 UTC"
    assert orders["TRAIL %"]["trailingPercent"] == 50
    # Both trail by about half the price.
    assert orders["TRAIL"]["trailStopPrice"] == pytest.approx(price - far, rel=0.05)
    assert orders["TRAIL %"]["trailStopPrice"] == pytest.approx(price / 2, rel=0.05)
    assert {order["account"] for order in orders.values() if "account" in order} == {ACCOUNT}


def test_a_bracket_lives_and_ends_as_one(outcome: Outcome) -> None:
    assert outcome.told["bracket"] == {
        "parents": [True, True],
        "children": ["Submitted", "PreSubmitted"],
        "ends": ["Filled", "Filled", "Cancelled"],
        "filled": [10, 10, 0],
    }
    family = [order for order in outcome.seen("order") if order["parent_id"]]
    assert [(order["order_type"], order["transmit"], order["as"]) for order in family] == [
        ("LMT", False, "new"),
        ("STP", True, "new"),
        ("LMT", True, "modification"),
    ]


def test_of_a_group_one_fill_cancels_the_rest(told: dict[str, Any]) -> None:
    assert told["oca"] == ["Cancelled", "Filled"]


def test_what_an_order_would_do_is_told_without_placing_it(outcome: Outcome) -> None:
    what_if = outcome.told["what_if"]
    assert what_if["initMarginChange"] > 0
    assert what_if["initMarginAfter"] == pytest.approx(what_if["initMarginBefore"] + what_if["initMarginChange"])
    assert what_if["equityWithLoanAfter"] > what_if["initMarginAfter"] >= what_if["maintMarginAfter"]
    assert (what_if["commission"], what_if["currency"], what_if["orders"]) == (1, "USD", 0)
    (asked,) = [order for order in outcome.seen("order") if order["what_if"]]
    assert asked["order_id"] not in {fill["order_id"] for fill in outcome.seen("fill") if fill["client_id"] == 0}


def test_what_cannot_be_done_is_refused_with_its_reason(told: dict[str, Any]) -> None:
    refusals = told["refusals"]
    ours, code, text = refusals["too much"]
    assert (ours, code) == (True, 201)
    assert text.startswith("Order rejected - reason:")
    not_found = "No security definition has been found for the request"
    assert refusals["unknown symbol"] == [True, 200, not_found]
    off_the_tick = "The price does not conform to the minimum price variation for this contract."
    assert refusals["off the tick"] == [True, 110, off_the_tick]
    assert refusals["not there"] == [10147, "OrderId 999999 that needs to be cancelled is not found."]


def test_open_orders_are_those_of_this_or_of_every_client(told: dict[str, Any]) -> None:
    assert told["order_lists"]["own"] == ["suite:theirs"]
    assert told["order_lists"]["all"] == ["suite:mine", "suite:theirs"]


def test_executions_are_told_by_filter_with_their_commissions(outcome: Outcome) -> None:
    lists = outcome.told["order_lists"]
    fills = outcome.seen("fill")
    for told, side in ((lists["bought"], "BOT"), (lists["sold"], "SLD")):
        wanted = [entry for entry in fills if entry["side"] == side]
        assert [fill["execId"] for fill in told] == [entry["execution_id"] for entry in wanted]
        assert [Decimal(str(fill["commission"])) for fill in told] == [Decimal(entry["commission"]) for entry in wanted]
    assert lists["none"] == 0


def test_completed_orders_are_told_as_they_ended(outcome: Outcome) -> None:
    completed = {ref: status for ref, _perm_id, status in outcome.told["order_lists"]["completed"] if ref}
    assert completed["suite:1"] == completed["suite:2"] == "Filled"
    assert completed["suite:3"] == completed["suite:IOC"] == completed["suite:STP"] == "Cancelled"
    assert not {"suite:mine", "suite:theirs"} & completed.keys()


def test_profit_and_loss_follow_the_account(told: dict[str, Any]) -> None:
    whole, single = told["pnl"], told["pnl_single"]
    assert whole["daily"] == pytest.approx(whole["unrealized"] + whole["realized"], abs=0.011)
    assert single["position"] == 260
    assert single["value"] == pytest.approx(260 * told["stream"]["bid"], rel=0.05)
    assert single["realized"] == pytest.approx(whole["realized"], abs=0.011)


def test_client_0_owns_orders_that_were_made_by_hand(outcome: Outcome) -> None:
    order = outcome.told["order_by_hand"]
    assert (order["clientId"], order["permId"], order["lmtPrice"]) == (0, order["perm_id"], 1.75)
    assert order["orderId"] < 0
    assert order["end"] == "Cancelled"
    (made,) = [entry for entry in outcome.seen("order") if entry["connection"] is None]
    assert (made["order_id"], made["quantity"]) == (order["orderId"], "3")


def test_odds_and_ends_are_answered(told: dict[str, Any]) -> None:
    odds = told["odds_and_ends"]
    assert odds["smart_components"] >= 3
    assert odds["news_providers"] == odds["depth_exchanges"] == 0
    assert odds["user_info"] == ""


@pytest.mark.parametrize("case", OFFICIAL, ids=str)
def test_family_codes_and_soft_dollar_tiers_are_answered(told: dict[str, Any]) -> None:
    assert told["family"] == [[ACCOUNT, ""]]
    assert told["tiers"] == 0


def test_a_client_id_in_use_is_refused(outcome: Outcome) -> None:
    text = "Unable to connect as the client id is already in use. Retry with a unique client id."
    assert outcome.told["twin"] == [[326, text]]
    assert "client id 0 is in use" in {entry["why"] for entry in outcome.seen("disconnected")}
    assert [entry["client_id"] for entry in outcome.seen("started")].count(0) == 1


def test_a_read_only_gateway_refuses_orders(told: dict[str, Any]) -> None:
    ours, code, text = told["read_only"]
    assert (ours, code) == (True, 321)
    assert "The API interface is currently in Read-Only mode." in text


def test_who_sends_too_fast_is_told_and_loses_only_what_was_too_much(told: dict[str, Any]) -> None:
    text = "Max rate of messages per second has been exceeded:max=50 rec=51 (1)"
    assert told["too_fast"] == {"text": text, "connected": True}


def test_a_global_cancel_ends_every_clients_orders(told: dict[str, Any]) -> None:
    assert told["global_cancel"] == {"before": ["suite:mine", "suite:theirs"], "after": 0}
