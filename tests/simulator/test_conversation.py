# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real client, ib_async, sees of a simulator in the same process."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ib_async import (
    Contract,
    ExecutionFilter,
    Forex,
    LimitOrder,
    MarketOrder,
    Order,
    SoftDollarTier,
    Stock,
    util,
)

from tests.simulator.support import AAPL, ACCOUNT, Client, connected, running, until


def values(client: Client) -> dict[str, Decimal]:
    """Return the account's amounts in dollars."""
    told = client.accountValues(ACCOUNT)
    return {value.tag: Decimal(value.value) for value in told if value.currency == "USD" and value.tag != "Currency"}


async def test_a_client_is_ready_within_a_second_and_told_of_the_farms() -> None:
    async with running() as simulator:
        started = time.monotonic()
        async with connected(simulator.port) as client:
            assert time.monotonic() - started < 1
            assert client.client.serverVersion() == 178
            assert client.managedAccounts() == [ACCOUNT]
            assert client.codes == [2104, 2106, 2158]
            assert values(client)["NetLiquidation"] == Decimal("1000000.00")


async def test_the_server_version_is_the_lower_of_both_sides() -> None:
    async with running(SIMULATOR_SERVER_VERSION="170") as simulator, connected(simulator.port) as client:
        assert client.client.serverVersion() == 170


@pytest.mark.parametrize("version", [157, 158, 163, 164, 166, 170, 176, 177, 178])
async def test_a_whole_order_is_understood_at_every_version(version: int) -> None:
    async with running() as simulator, connected(simulator.port, version=version) as client:
        (details,) = await client.reqContractDetailsAsync(AAPL)
        order = LimitOrder("BUY", 300, 1000, orderRef="blue:1", tif="GTC", outsideRth=True)
        trade = client.placeOrder(AAPL, order)
        await until(lambda: trade.orderStatus.status == "Filled" and trade.fills[-1].commissionReport.execId)
        resting = client.placeOrder(AAPL, LimitOrder("BUY", 7, 1.25, orderRef="blue:2", tif="GTC", outsideRth=True))
        await until(lambda: resting.orderStatus.status == "Submitted")
        async with connected(simulator.port, 2, version=version) as other:
            (seen,) = await other.reqAllOpenOrdersAsync()

        assert details.longName == "APPLE INC"
        assert details.contract is not None
        assert details.contract.primaryExchange == "NASDAQ"
        assert (details.minTick, details.stockType) == (0.01, "COMMON")
        assert [fill.execution.shares for fill in trade.fills] == [150, 150]
        assert [fill.execution.cumQty for fill in trade.fills] == [150, 300]
        assert [fill.execution.orderRef for fill in trade.fills] == ["blue:1", "blue:1"]
        terms = {
            "action": "BUY", "totalQuantity": 7, "orderType": "LMT", "lmtPrice": 1.25, "tif": "GTC", "account": ACCOUNT,
            "orderRef": "blue:2", "clientId": 1, "permId": resting.order.permId, "orderId": resting.order.orderId,
            "outsideRth": True,
        }  # fmt: skip
        told = {
            "auxPrice": 0, "cashQty": 0, "clearingIntent": "IB", "adjustedOrderType": "None", "referencePriceType": 0,
            "volatilityType": 0, "softDollarTier": SoftDollarTier(),
        }  # fmt: skip
        assert util.dataclassNonDefaults(seen.order) == terms | told
        assert (seen.contract.conId, seen.contract.exchange) == (265598, "SMART")
        assert (seen.orderStatus.status, seen.orderStatus.remaining) == ("Submitted", 7)


async def test_ticks_stream_until_they_are_cancelled() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        ticker = client.reqMktData(AAPL)
        updates: list[float] = []
        ticker.updateEvent += lambda updated: updates.append(updated.bid)
        await until(lambda: len(updates) >= 5)
        assert 0 < ticker.bid < ticker.ask
        assert ticker.last in (ticker.bid, ticker.ask)
        assert min(ticker.bidSize, ticker.askSize, ticker.lastSize, ticker.volume, ticker.close) > 0
        assert (ticker.marketDataType, ticker.minTick) == (1, 0.01)

        client.cancelMktData(AAPL)
        await client.reqCurrentTimeAsync()
        updates.clear()
        await asyncio.sleep(0.15)  # three ticks of the market
        assert updates == []


async def test_a_snapshot_is_one_quote_and_an_end() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        (pair,) = await client.qualifyContractsAsync(Forex("EURUSD"))
        assert isinstance(pair, Contract)
        apple, euro = await client.reqTickersAsync(AAPL, pair)
        assert 0 < apple.bid < apple.ask
        assert 0.5 < euro.bid < euro.ask < 2


@pytest.mark.parametrize(
    ("contract", "found"),
    [
        (Stock("AAPL", "SMART", "USD"), ["AAPL"]),
        (Stock("SPY", "ARCA"), ["SPY"]),
        (Contract(conId=272093), ["MSFT"]),
        (Forex("EURUSD"), ["EUR"]),
        (Stock("NOPE", "SMART", "USD"), []),
        (Stock("AAPL", "SMART", "EUR"), []),
        (Stock("AAPL", "LSE", "USD"), []),
        (Contract(conId=1), []),
        (Contract(secType="STK"), []),
    ],
)
async def test_contracts_are_found_by_what_the_client_filled_in(contract: Contract, found: list[str]) -> None:
    async with running() as simulator, connected(simulator.port) as client:
        client.errors.clear()
        details = await client.reqContractDetailsAsync(contract)
        assert [detail.contract.symbol for detail in details if detail.contract] == found
        text = "No security definition has been found for the request"
        assert [error[1:] for error in client.errors] == ([] if found else [(200, text)])


async def test_bars_cover_what_was_asked_and_end_now() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        bars = await client.reqHistoricalDataAsync(AAPL, "", "2 D", "1 hour", "TRADES", useRTH=False)
        days = await client.reqHistoricalDataAsync(
            AAPL, "20261120 12:00:00 UTC", "1 W", "1 day", "MIDPOINT", useRTH=True
        )
        quote = simulator.quote(simulator.catalogue[265598])
        assert len(bars) == 48
        assert abs(bars[-1].close - float(quote.bid)) < 0.5
        assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
        assert f"{days[-1].date:%Y%m%d}" == "20261120"
        assert len(days) == 7


@pytest.mark.parametrize(
    ("end", "duration", "bar_size", "reason"),
    [
        ("", "1 D", "1 tick", "bar size '1 tick' is not a number and one of sec, secs, min, mins, hour, hours, day"),
        ("", "1 X", "1 min", "duration '1 X' is not a number and one of S, D, W, M, Y"),
        ("", "1 Y", "1 secs", "31536000 bars, at most 5000 are served at once"),
        ("yesterday", "1 D", "1 min", "time 'yesterday' is not YYYYMMDD-HH:MM:SS in UTC or with a time zone"),
        (
            "20261399 12:00:00",
            "1 D",
            "1 min",
            "time '20261399 12:00:00' is not YYYYMMDD-HH:MM:SS in UTC or with a time zone",
        ),
    ],
)
async def test_history_that_cannot_be_served_is_refused(end: str, duration: str, bar_size: str, reason: str) -> None:
    async with running() as simulator, connected(simulator.port) as client:
        client.errors.clear()
        assert not await client.reqHistoricalDataAsync(AAPL, end, duration, bar_size, "TRADES", useRTH=False)
        assert [error[1:] for error in client.errors] == [
            (162, f"Historical Market Data Service error message:{reason}")
        ]


async def test_a_market_order_fills_in_two_parts_and_the_account_follows_to_the_cent() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1000, orderRef="x"))
        await until(lambda: trade.orderStatus.status == "Filled")
        await until(lambda: values(client)["GrossPositionValue"] and client.portfolio()[0].position == 1000)

        statuses = [entry.status for entry in trade.log if not entry.message]
        assert statuses == ["PendingSubmit", "PreSubmitted", "Submitted", "Submitted", "Filled"]
        assert [fill.execution.shares for fill in trade.fills] == [500, 500]
        assert [fill.commissionReport.commission for fill in trade.fills] == [2.5, 2.5]
        assert len({fill.execution.execId for fill in trade.fills}) == 2
        spent = sum(Decimal(str(fill.execution.price)) * 500 for fill in trade.fills)
        account = values(client)
        assert account["CashBalance"] == Decimal(1_000_000) - spent - 5
        (position,) = client.positions()
        assert (position.position, position.contract.symbol) == (1000, "AAPL")
        assert Decimal(str(position.avgCost)) * 1000 == spent + 5
        (held,) = client.portfolio()
        assert Decimal(str(held.marketValue)) == 1000 * Decimal(str(held.marketPrice))
        assert account["NetLiquidation"] == account["CashBalance"] + Decimal(str(held.marketValue))
        assert account["NetLiquidation"] == 1_000_000 + account["RealizedPnL"] + account["UnrealizedPnL"]

        closing = client.placeOrder(AAPL, MarketOrder("SELL", 1000))
        await until(lambda: closing.orderStatus.status == "Filled" and client.positions() == [])
        await until(lambda: values(client)["GrossPositionValue"] == 0)
        account = values(client)
        realized = sum(Decimal(str(fill.commissionReport.realizedPNL)) for fill in closing.fills)
        assert account["CashBalance"] == account["NetLiquidation"] == 1_000_000 + realized
        assert account["RealizedPnL"] == realized
        assert client.portfolio() == []


async def test_a_limit_order_rests_is_modified_and_is_cancelled() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        order = LimitOrder("BUY", 10, 1.00)
        trade = client.placeOrder(AAPL, order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        order.lmtPrice, order.totalQuantity = 2.00, 20
        client.placeOrder(AAPL, order)
        await until(lambda: trade.orderStatus.remaining == 20)
        (seen,) = await client.reqAllOpenOrdersAsync()
        assert (seen.order.lmtPrice, seen.order.totalQuantity, seen.orderStatus.filled) == (2.00, 20, 0)

        client.cancelOrder(order)
        await until(trade.isDone)
        assert trade.orderStatus.status == "Cancelled"
        await until(lambda: client.errors[-1] == (order.orderId, 202, "Order Canceled - reason:"))
        assert await client.reqAllOpenOrdersAsync() == []


async def test_a_resting_order_fills_when_it_is_crossed() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        order = LimitOrder("SELL", 10, 9999.00)
        trade = client.placeOrder(AAPL, order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        order.lmtPrice = 10.00
        client.placeOrder(AAPL, order)
        await until(lambda: trade.orderStatus.status == "Filled")
        (fill,) = trade.fills
        assert fill.execution.side == "SLD"
        assert fill.execution.price > 10


@pytest.mark.parametrize(
    ("order", "code", "text"),
    [
        (MarketOrder("BUY", 0), 201, "Order rejected - reason:quantity 0 is not a whole number of 1 to 1000000000"),
        (MarketOrder("BUY", 1.5), 201, "Order rejected - reason:quantity 1.5 is not a whole number of 1 to 1000000000"),
        (MarketOrder("HOLD", 1), 201, "Order rejected - reason:action 'HOLD' is neither BUY nor SELL"),
        (LimitOrder("BUY", 1, -5), 201, "Order rejected - reason:limit price -5 is not between 0 and 1000000000"),
        (
            LimitOrder("BUY", 1, 1.005),
            110,
            "The price does not conform to the minimum price variation for this contract.",
        ),
        (
            LimitOrder("BUY", 1_000_000, 5.00),
            201,
            "Order rejected - reason:order adds 5000000.00 to positions, buying power is 4000000.00",
        ),
        (MarketOrder("BUY", 1, account="DU9"), 201, "Order rejected - reason:account DU9 is not DU1234567"),
        (MarketOrder("BUY", 1, algoStrategy="Twap"), 201, "Order rejected - reason:an algorithm is not simulated"),
    ],
)
async def test_nonsense_and_what_is_not_simulated_are_rejected(order: Order, code: int, text: str) -> None:
    async with running() as simulator, connected(simulator.port) as client:
        trade = client.placeOrder(AAPL, order)
        await until(lambda: client.errors[-1][1] == code)
        assert client.errors[-1] == (trade.order.orderId, code, text)
        assert trade.orderStatus.status in ("Cancelled", "Inactive")
        assert client.fills() == []
        assert await client.reqAllOpenOrdersAsync() == []


async def test_an_order_for_an_unknown_symbol_is_error_200() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        trade = client.placeOrder(Stock("NOPE", "SMART", "USD"), MarketOrder("BUY", 1))
        await until(trade.isDone)
        wanted = (trade.order.orderId, 200, "No security definition has been found for the request")
        assert client.errors[-1] == wanted


async def test_a_used_order_id_is_refused_and_the_next_one_is_offered() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await until(lambda: trade.orderStatus.status == "Filled")
        client.client.placeOrder(trade.order.orderId, AAPL, MarketOrder("BUY", 1))
        await until(lambda: client.errors[-1] == (trade.order.orderId, 103, "Duplicate order id"))
        await until(lambda: [position.position for position in client.positions()] == [1])
        async with connected(simulator.port, 2) as other:
            assert other.client.getReqId() > trade.order.orderId


async def test_a_bad_modification_leaves_the_order_alive_and_its_owner_informed() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        order = LimitOrder("BUY", 10, 1.00)
        trade = client.placeOrder(AAPL, order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        order.totalQuantity = -3
        client.placeOrder(AAPL, order)
        await until(lambda: client.errors[-1][1] == 105)
        await until(lambda: trade.orderStatus.status == "Submitted")
        text = "Order rejected - reason:quantity -3 is not a whole number of 1 to 1000000000"
        assert client.errors[-1] == (order.orderId, 105, text)
        assert order.totalQuantity == 10


async def test_a_change_that_is_not_to_be_transmitted_is_refused_and_the_order_goes_on() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        order = LimitOrder("BUY", 10, 1.00)
        trade = client.placeOrder(AAPL, order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        order.lmtPrice, order.transmit = 2.00, False
        client.placeOrder(AAPL, order)
        text = "a change that is not to be transmitted is not simulated"
        await until(lambda: client.errors[-1] == (order.orderId, 105, text))
        await until(lambda: trade.order.lmtPrice == 1.00)
        await until(lambda: trade.orderStatus.status == "Submitted")


async def test_an_order_that_is_done_or_foreign_cannot_be_cancelled() -> None:
    async with running() as simulator, connected(simulator.port) as client, connected(simulator.port, 2) as other:
        done = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await until(lambda: done.orderStatus.status == "Filled")
        client.client.cancelOrder(done.order.orderId)
        await until(lambda: client.errors[-1][1] == 161)
        text = (
            "Cancel attempted when order is not in a cancellable state. Order permId = 1000000001, its state is Filled."
        )
        assert client.errors[-1] == (done.order.orderId, 161, text)
        other.client.cancelOrder(done.order.orderId)
        await until(lambda: other.errors[-1][1] == 10147)
        assert other.errors[-1][2] == f"OrderId {done.order.orderId} that needs to be cancelled is not found."


async def test_a_global_cancel_reaches_every_clients_orders() -> None:
    async with running() as simulator, connected(simulator.port) as client, connected(simulator.port, 2) as other:
        mine = client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00))
        theirs = other.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00))
        await until(lambda: "Submitted" == mine.orderStatus.status == theirs.orderStatus.status)
        client.reqGlobalCancel()
        await until(lambda: "Cancelled" == mine.orderStatus.status == theirs.orderStatus.status)


async def test_a_client_id_in_use_is_refused_until_it_is_free() -> None:
    async with running() as simulator:
        second = Client()
        async with connected(simulator.port, 7):
            with pytest.raises(TimeoutError):
                await second.connectAsync("127.0.0.1", simulator.port, 7, timeout=0.3)
            text = "Unable to connect as the client id is already in use. Retry with a unique client id."
            assert second.errors == [(-1, 326, text)]
        async with connected(simulator.port, 7) as third:
            assert third.isConnected()


async def test_a_read_only_client_sees_the_other_ones_orders_and_positions() -> None:
    async with running() as simulator, connected(simulator.port) as trader:
        bought = trader.placeOrder(AAPL, MarketOrder("BUY", 3))
        resting = trader.placeOrder(AAPL, LimitOrder("BUY", 4, 1.00, orderRef="blue:9"))
        await until(lambda: bought.isDone() and resting.orderStatus.status == "Submitted")
        async with connected(simulator.port, 2, readonly=True) as standby:
            assert [position.position for position in standby.positions()] == [3]
            assert standby.openTrades() == []
            (seen,) = await standby.reqAllOpenOrdersAsync()
            assert (seen.order.clientId, seen.order.orderRef, seen.order.orderId) == (
                1,
                "blue:9",
                resting.order.orderId,
            )
            assert [fill.execution.clientId for fill in await standby.reqExecutionsAsync()] == [1]

            sold = trader.placeOrder(AAPL, MarketOrder("SELL", 3))
            await until(lambda: sold.isDone() and standby.positions() == [])


async def test_executions_are_told_by_filter() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        microsoft = Stock(conId=272093, symbol="MSFT", exchange="SMART", currency="USD")
        trades = [client.placeOrder(AAPL, MarketOrder("BUY", 1)), client.placeOrder(microsoft, MarketOrder("SELL", 2))]
        await until(lambda: all(trade.isDone() for trade in trades))

        async def symbols(**restriction: Any) -> list[str]:
            fills = await client.reqExecutionsAsync(ExecutionFilter(**restriction))
            return [fill.contract.symbol for fill in fills]

        assert await symbols() == ["AAPL", "MSFT"]
        assert await symbols(symbol="MSFT") == ["MSFT"]
        assert await symbols(side="BUY") == ["AAPL"]
        assert await symbols(clientId=1, acctCode=ACCOUNT) == ["AAPL", "MSFT"]
        assert await symbols(clientId=2) == []
        assert await symbols(time="29990101-00:00:00") == []


async def test_the_account_summary_holds_the_tags_that_were_asked_for() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        summary = {(value.tag, value.currency): value.value for value in await client.accountSummaryAsync()}
        assert summary["NetLiquidation", "USD"] == "1000000.00"
        assert summary["CashBalance", "BASE"] == "1000000.00"
        assert summary["AccountType", ""] == "INDIVIDUAL"


async def test_a_lost_link_stops_ticks_and_fills_and_orders_go_through_when_it_returns() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        ticker = client.reqMktData(AAPL)
        doomed = client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00))
        await until(lambda: ticker.bid > 0 and doomed.orderStatus.status == "Submitted")
        simulator.lose_link()
        await until(lambda: 1100 in client.codes)
        assert client.errors[-1] == (-1, 1100, "Connectivity between IBKR and Trader Workstation has been lost.")
        seen = ticker.time
        waiting = client.placeOrder(AAPL, MarketOrder("BUY", 5))
        client.cancelOrder(doomed.order)
        async with connected(simulator.port, 2) as late:
            assert late.codes == [2110]
            statuses = {trade.orderStatus.status for trade in await late.reqAllOpenOrdersAsync()}
            assert statuses == {"PendingSubmit", "PendingCancel"}
        await asyncio.sleep(0.15)  # three ticks of the market
        assert client.isConnected()
        assert (ticker.time, waiting.fills) == (seen, [])

        simulator.restore_link()
        await until(lambda: waiting.orderStatus.status == "Filled" and doomed.orderStatus.status == "Cancelled")
        await until(lambda: ticker.time != seen)
        assert 1102 in client.codes


async def test_a_restarted_simulator_knows_orders_positions_and_executions(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    async with running(state) as simulator, connected(simulator.port) as client:
        bought = client.placeOrder(AAPL, MarketOrder("BUY", 200, orderRef="blue:1"))
        resting = client.placeOrder(AAPL, LimitOrder("SELL", 5, 9999.00, orderRef="blue:2"))
        await until(lambda: bought.isDone() and resting.orderStatus.status == "Submitted")
        await until(lambda: values(client)["GrossPositionValue"])
        cash, fills = values(client)["CashBalance"], [fill.execution.execId for fill in bought.fills]
    async with running(state) as simulator, connected(simulator.port) as client:
        assert [position.position for position in client.positions()] == [200]
        assert values(client)["CashBalance"] == cash
        assert [fill.execution.execId for fill in client.fills()] == fills
        assert [fill.commissionReport.commission for fill in client.fills()] == [1, 0]
        (trade,) = client.openTrades()
        assert (trade.order.orderId, trade.order.permId) == (resting.order.orderId, resting.order.permId)
        client.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        another = client.placeOrder(AAPL, MarketOrder("SELL", 1))
        await until(another.isDone)
        assert another.fills[0].execution.execId not in fills


async def test_clients_learn_at_once_that_the_simulator_stops() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        gone = asyncio.Event()
        client.disconnectedEvent += gone.set
        await simulator.stop()
        await asyncio.wait_for(gone.wait(), 1)


async def test_delayed_data_are_sent_to_who_takes_them_and_refused_to_who_does_not() -> None:
    async with running(SIMULATOR_MARKET_DATA="delayed") as simulator, connected(simulator.port) as client:
        client.reqMktData(AAPL)
        await until(lambda: 354 in client.codes)
        client.reqMarketDataType(3)
        ticker = client.reqMktData(AAPL, snapshot=True)
        await until(lambda: ticker.bid > 0 and ticker.close > 0)
        assert (ticker.marketDataType, ticker.bid < ticker.ask, ticker.volume > 0) == (3, True, True)
        assert 10167 in client.codes


async def test_the_account_is_told_now_and_then_without_a_change() -> None:
    async with running(SIMULATOR_ACCOUNT_UPDATE_SECONDS="0.2") as simulator, connected(simulator.port) as client:
        told: list[str] = []
        client.accountValueEvent += lambda value: told.append(value.tag)
        await until(lambda: told.count("NetLiquidation") >= 2)


async def test_profit_and_loss_follow_a_position_from_nothing() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        whole = client.reqPnL(ACCOUNT)
        single = client.reqPnLSingle(ACCOUNT, "", 265598)
        await until(lambda: single.value == 0 and whole.dailyPnL == 0)
        assert (single.position, single.dailyPnL) == (0, 0)
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 10))
        await until(lambda: trade.isDone() and single.position == 10)
        assert single.value == pytest.approx(10 * trade.orderStatus.avgFillPrice, rel=0.01)
        # Bought at the ask with a commission of one dollar.
        await until(lambda: -2 < whole.dailyPnL < 0 and -2 < single.unrealizedPnL < 0)


async def test_a_read_only_gateway_tells_of_everything_but_orders() -> None:
    async with running(READ_ONLY_API="yes") as simulator, connected(simulator.port, readonly=True) as client:
        assert values(client)["NetLiquidation"] == Decimal("1000000.00")
        assert await client.reqExecutionsAsync() == []
        assert len(await client.reqContractDetailsAsync(AAPL)) == 1
        client.errors.clear()
        placed = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        client.cancelOrder(placed.order)
        client.reqGlobalCancel()
        client.client.reqOpenOrders()
        client.client.reqAllOpenOrders()
        client.client.reqCompletedOrders(apiOnly=False)
        await until(lambda: len(client.errors) == 6)
        assert {code for _, code, _ in client.errors} == {321}
        assert [request_id for request_id, _, _ in client.errors[:2]] == [placed.order.orderId] * 2
        assert client.fills() == []


async def test_who_goes_on_sending_too_fast_is_cut_off() -> None:
    limits = {"SIMULATOR_MESSAGES_PER_SECOND": "20", "SIMULATOR_DISCONNECT_AFTER": "30"}
    async with running(**limits) as simulator, connected(simulator.port, readonly=True) as client:
        client.client.MaxRequests = 0
        gone = asyncio.Event()
        client.disconnectedEvent += gone.set
        for _ in range(60):
            client.client.reqCurrentTime()
        await asyncio.wait_for(gone.wait(), 5)
        assert client.codes.count(100) == 30
        async with connected(simulator.port, readonly=True) as again:
            assert again.isConnected()


async def test_a_second_summary_of_a_kind_is_served_and_a_third_one_refused() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        for request_id in (9001, 9002, 9003):
            client.client.reqAccountSummary(request_id, "All", "NetLiquidation,$LEDGER:ALL")
        await until(lambda: 322 in client.codes)
        text = "Error processing request: Maximum number of account summary requests exceeded"
        assert client.errors[-1] == (9003, 322, text)


@pytest.mark.parametrize("moment", ["00010101 00:00:00 Asia/Tokyo", "99991231", "20261122 10:00:00 America"])
async def test_moments_at_the_ends_of_the_calendar_are_refused(moment: str) -> None:
    async with running() as simulator, connected(simulator.port) as client:
        client.errors.clear()
        assert not await client.reqHistoricalDataAsync(AAPL, moment, "1 D", "1 hour", "TRADES", useRTH=False)
        assert not await client.reqHistoricalTicksAsync(AAPL, moment, "", 10, "TRADES", useRth=False)
        assert not await client.reqExecutionsAsync(ExecutionFilter(time=moment))
        reason = f"time {moment!r} is not YYYYMMDD-HH:MM:SS in UTC or with a time zone"
        assert [(error[1], error[2].endswith(reason)) for error in client.errors] == [
            (162, True),
            (10187, True),
            (322, True),
        ]


async def test_history_before_its_beginning_is_empty() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        client.errors.clear()
        before = "19700102 00:00:00"
        assert not await client.reqHistoricalDataAsync(AAPL, before, "1 D", "1 hour", "TRADES", useRTH=False)
        assert not await client.reqHistoricalTicksAsync(AAPL, "", before, 10, "BID_ASK", useRth=False)
        assert {error[2].rpartition(":")[2] for error in client.errors} == {"HMDS query returned no data"}


async def test_a_request_that_is_not_simulated_is_refused_by_its_id() -> None:
    async with running() as simulator, connected(simulator.port) as client:
        client.errors.clear()
        client.reqMktDepth(AAPL)
        await until(lambda: client.errors)
        assert [error[1:] for error in client.errors] == [
            (322, "Error processing request: message 10 is not simulated")
        ]
