# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole session of an ib_async or ib_insync client; runs in that client's environment, prints what it was told.

python event_client.py ib_async PORT CONTROL_PORT READ_ONLY_PORT
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sys
import time
from typing import Any

import terminal
from terminal import HOST, PATIENCE_SECONDS

api: Any = importlib.import_module(sys.argv[1])
port, control_port, read_only_port = (int(argument) for argument in sys.argv[2:5])

AAPL = api.Stock("AAPL", "SMART", "USD")


async def until(condition: Any, what: str) -> None:
    """Return when ``condition`` holds; fail when it does not in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS:g} s for {what}")
        await asyncio.sleep(0.005)


class Client:
    """A connected client and the errors that it was sent."""

    def __init__(self) -> None:
        self.ib = api.IB()
        self.errors: list[tuple[int, int, str]] = []
        self.ib.errorEvent += lambda request_id, code, text, _contract: self.errors.append((request_id, code, text))

    async def connect(self, to: int, client_id: int, **options: Any) -> float:
        """Connect and return the seconds that it took."""
        began = time.perf_counter()
        await self.ib.connectAsync(HOST, to, clientId=client_id, timeout=10, **options)
        return time.perf_counter() - began

    async def error(self, code: int) -> tuple[int, int, str]:
        """Return the latest error of a code, once there is one."""
        await until(lambda: any(error[1] == code for error in self.errors), f"error {code} among {self.errors}")
        return next(error for error in reversed(self.errors) if error[1] == code)


def contract_of(contract: Any) -> dict[str, Any]:
    """Return what a contract says."""
    names = ["conId", "symbol", "secType", "strike", "right", "multiplier", "exchange", "currency", "localSymbol"]
    names += ["tradingClass"]
    return {**{name: getattr(contract, name) for name in names}, "expiry": contract.lastTradeDateOrContractMonth}


def details_of(details: Any) -> dict[str, Any]:
    """Return what contract details say."""
    names = ["longName", "minTick", "validExchanges", "orderTypes", "timeZoneId", "tradingHours", "liquidHours"]
    names += ["marketRuleIds", "underSymbol", "underConId", "stockType"]
    primary = details.contract.primaryExchange
    told = {name: getattr(details, name) for name in names}
    return contract_of(details.contract) | told | {"primaryExchange": primary}


def order_of(trade: Any) -> dict[str, Any]:
    """Return an order's terms and state, as the client was told."""
    order = trade.order
    names = ["orderId", "clientId", "permId", "parentId", "action", "totalQuantity", "orderType", "lmtPrice"]
    names += ["auxPrice", "tif", "goodTillDate", "ocaGroup", "orderRef", "trailStopPrice", "trailingPercent"]
    names += ["outsideRth", "hidden", "account", "displaySize", "rule80A"]
    return {**{name: getattr(order, name) for name in names}, "status": trade.orderStatus.status}


def fill_of(fill: Any) -> dict[str, Any]:
    """Return an execution and its commission."""
    names = ["execId", "orderId", "clientId", "permId", "side", "shares", "price", "cumQty", "avgPrice", "orderRef"]
    names += ["acctNumber", "exchange"]
    report = fill.commissionReport
    return {
        **{name: getattr(fill.execution, name) for name in names},
        "symbol": fill.contract.symbol,
        "time": fill.execution.time.timestamp(),
        "commission": report.commission,
        "currency": report.currency,
        "realizedPNL": report.realizedPNL,
    }


def bar_of(bar: Any) -> dict[str, Any]:
    """Return one bar."""
    opening = bar.open if hasattr(bar, "open") else bar.open_
    return {"open": opening, "high": bar.high, "low": bar.low, "close": bar.close, "volume": bar.volume}


class Session:
    """The session, step by step; ``told`` is what the client was told at each."""

    def __init__(self) -> None:
        self.main = Client()
        self.ib = self.main.ib
        self.told: dict[str, Any] = {}

    async def run(self) -> None:
        """Run every step."""
        seconds = await self.main.connect(port, 0)
        self.told["connect"] = {
            "seconds": seconds,
            "version": self.ib.client.serverVersion(),
            "accounts": self.ib.managedAccounts(),
            "notices": [error[1] for error in self.main.errors],
        }
        now = await self.ib.reqCurrentTimeAsync()
        self.told["time"] = {"server": now.timestamp(), "here": time.time()}
        self.ib.client.setServerLogLevel(5)
        await self.contracts()
        slow = asyncio.create_task(self.bars_over_time())
        await self.ticks()
        await self.history()
        await self.market_order()
        await self.account()
        await self.limit_order()
        await self.order_types()
        await self.bracket()
        await self.one_cancels_all()
        await self.what_if()
        await self.refusals()
        await self.order_lists()
        await self.profit_and_loss()
        await self.order_by_hand()
        await self.odds_and_ends()
        await self.other_connections()
        await self.global_cancel()
        await slow
        self.ib.disconnect()

    async def contracts(self) -> None:
        """Find stocks, futures, options and currencies."""
        ib = self.ib
        (stock,) = await ib.reqContractDetailsAsync(AAPL)
        futures = await ib.reqContractDetailsAsync(api.Future("ES", exchange="CME"))
        month = min(details.contract.lastTradeDateOrContractMonth for details in futures)[:6]
        (future,) = await ib.reqContractDetailsAsync(api.Future("ES", month, "CME"))
        (pair,) = await ib.reqContractDetailsAsync(api.Forex("EURUSD"))
        chains = await ib.reqSecDefOptParamsAsync("AAPL", "", "STK", stock.contract.conId)
        chain = next(chain for chain in chains if chain.exchange == "SMART")
        expiry, strike = min(chain.expirations), sorted(chain.strikes)[len(chain.strikes) // 2]
        (option,) = await ib.reqContractDetailsAsync(api.Option("AAPL", expiry, strike, "C", "SMART", "100", "USD"))
        qualified = await ib.qualifyContractsAsync(AAPL, api.Future("ES", month, "CME"), api.Forex("EURUSD"))
        self.told["contracts"] = {
            "stock": details_of(stock),
            "futures": [details_of(details) for details in futures],
            "future": details_of(future),
            "option": details_of(option),
            "currency": details_of(pair),
            "qualified": [contract.conId for contract in qualified],
        }
        self.told["chain"] = {
            "conId": int(chain.underlyingConId),
            "expirations": sorted(chain.expirations),
            "strikes": sorted(chain.strikes),
            "multiplier": chain.multiplier,
        }
        found = await ib.reqMatchingSymbolsAsync("APPLE")
        self.told["matching"] = [[one.contract.symbol, sorted(one.derivativeSecTypes)] for one in found]
        (rule,) = await ib.reqMarketRuleAsync(int(stock.marketRuleIds.split(",")[0]))
        self.told["rule"] = [rule.lowEdge, rule.increment]
        self.main.errors.clear()
        nothing = await ib.reqContractDetailsAsync(api.Stock("NOPE", "SMART", "USD"))
        self.told["unknown"] = {"found": len(nothing), "errors": [error[1:] for error in self.main.errors]}
        self.future = future.contract
        self.pair = pair.contract

    async def bars_over_time(self) -> None:
        """Wait for bars that come into being, beside everything else."""
        real_time = self.ib.reqRealTimeBars(AAPL, 5, "TRADES", False)
        kept = await self.ib.reqHistoricalDataAsync(AAPL, "", "600 S", "5 secs", "TRADES", False, keepUpToDate=True)
        at_first = len(kept)
        updates: list[bool] = []
        kept.updateEvent += lambda _bars, has_new: updates.append(has_new)
        await until(lambda: real_time and updates, "a bar of five seconds and an update")
        self.told["real_time_bar"] = {"time": real_time[0].time.timestamp(), **bar_of(real_time[0])}
        self.told["kept_up_to_date"] = {"at_first": at_first, "later": len(kept), "last": bar_of(kept[-1])}
        self.ib.cancelRealTimeBars(real_time)
        self.ib.cancelHistoricalData(kept)

    async def ticks(self) -> None:
        """Stream ticks, take a snapshot, and every tick of each kind."""
        ib = self.ib
        ticker = ib.reqMktData(AAPL, "233")
        updates: list[float] = []
        ticker.updateEvent += lambda changed: updates.append(changed.bid)
        await until(lambda: len(updates) >= 5 and ticker.close > 0, "five updates")
        self.told["stream"] = {
            "bid": ticker.bid, "ask": ticker.ask, "last": ticker.last, "bidSize": ticker.bidSize,
            "askSize": ticker.askSize, "lastSize": ticker.lastSize, "volume": ticker.volume, "close": ticker.close,
            "type": ticker.marketDataType, "rtVolume": ticker.rtVolume,
        }  # fmt: skip
        ib.cancelMktData(AAPL)
        await ib.reqCurrentTimeAsync()
        updates.clear()
        await asyncio.sleep(0.2)
        self.told["cancelled"] = len(updates)
        (snapshot,) = await ib.reqTickersAsync(self.pair)
        self.told["snapshot"] = {"bid": snapshot.bid, "ask": snapshot.ask}
        self.main.errors.clear()
        ib.reqMktData(self.future, "9999")
        self.told["generic_refused"] = (await self.main.error(321))[2]
        told: dict[str, int] = {}
        for kind in ("Last", "AllLast", "BidAsk", "MidPoint"):
            stream = ib.reqTickByTickData(AAPL, kind)
            seen: list[Any] = []

            def keep(changed: Any, seen: list[Any] = seen) -> None:
                seen.extend(changed.tickByTicks)

            stream.updateEvent += keep
            await until(lambda seen=seen: len(seen) >= 3, f"three ticks of {kind}")
            stream.updateEvent -= keep
            ib.cancelTickByTickData(AAPL, kind)
            told[kind] = min(
                getattr(tick, "midPoint", 0) or getattr(tick, "price", 0) or tick.bidPrice for tick in seen
            )
        self.told["tick_by_tick"] = told

    async def history(self) -> None:
        """Ask for bars, the beginning of history, and past ticks."""
        ib = self.ib
        hours = await ib.reqHistoricalDataAsync(AAPL, "", "1 D", "1 hour", "TRADES", False)
        days = await ib.reqHistoricalDataAsync(AAPL, "20260601 00:00:00 UTC", "1 W", "1 day", "MIDPOINT", True)
        head = await ib.reqHeadTimeStampAsync(AAPL, "TRADES", False, 1)
        end = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())
        trades = await ib.reqHistoricalTicksAsync(AAPL, "", end, 20, "TRADES", False)
        quotes = await ib.reqHistoricalTicksAsync(AAPL, "", end, 20, "BID_ASK", False)
        middles = await ib.reqHistoricalTicksAsync(AAPL, "", end, 20, "MIDPOINT", False)
        self.told["history"] = {
            "hours": [bar_of(bar) for bar in hours],
            "days": [f"{bar.date:%Y%m%d}" for bar in days],
            "head": f"{head:%Y%m%d}",
            "ticks": [len(trades), len(quotes), len(middles)],
            "prices": [trades[-1].price, quotes[-1].priceBid, middles[-1].price],
        }

    async def market_order(self) -> None:
        """Buy 300 in two fills and sell 100 of them."""
        ib = self.ib
        trade = ib.placeOrder(AAPL, api.MarketOrder("BUY", 300, orderRef="suite:1"))
        await until(lambda: trade.orderStatus.status == "Filled", "the fill of a market order")
        await until(lambda: all(fill.commissionReport.execId for fill in trade.fills), "its commissions")
        self.told["market_order"] = {
            "statuses": [entry.status for entry in trade.log if not entry.message],
            "fills": [fill_of(fill) for fill in trade.fills],
            "average": trade.orderStatus.avgFillPrice,
            "permId": trade.order.permId,
        }
        sale = ib.placeOrder(AAPL, api.MarketOrder("SELL", 50, orderRef="suite:2"))
        await until(lambda: sale.fills and sale.fills[-1].commissionReport.execId, "the sale")
        self.told["sale"] = fill_of(sale.fills[0])

    async def account(self) -> None:
        """See what the account has become."""
        ib = self.ib
        await until(lambda: [held.position for held in ib.portfolio()] == [250], "the portfolio to follow")
        values = {(value.tag, value.currency): value.value for value in ib.accountValues()}
        (held,) = ib.portfolio()
        (position,) = ib.positions()
        summary = await ib.accountSummaryAsync()
        self.told["account"] = {
            "values": {tag: value for (tag, currency), value in values.items() if currency == "USD"},
            "portfolio": {
                "symbol": held.contract.symbol, "position": held.position, "marketPrice": held.marketPrice,
                "marketValue": held.marketValue, "averageCost": held.averageCost, "unrealized": held.unrealizedPNL,
                "realized": held.realizedPNL, "account": held.account,
            },
            "position": {"position": position.position, "avgCost": position.avgCost, "account": position.account},
            "summary": {value.tag: value.value for value in summary if value.currency == "USD"},
        }  # fmt: skip

    async def limit_order(self) -> None:
        """Place a limit order, modify it by what was told, and cancel it."""
        ib = self.ib
        order = api.LimitOrder("BUY", 10, 1.25, tif="GTC", orderRef="suite:3", outsideRth=True)
        order.displaySize, order.rule80A = 5, "I"
        trade = ib.placeOrder(AAPL, order)
        await until(lambda: trade.orderStatus.status == "Submitted", "a resting order")
        (told,) = [one for one in await ib.reqOpenOrdersAsync() if one.order.permId == order.permId]
        self.told["limit_order"] = order_of(told)
        again = told.order
        again.lmtPrice, again.totalQuantity = 2.5, 20
        trade = ib.placeOrder(told.contract, again)
        await until(lambda: trade.orderStatus.remaining == 20, "the modification")
        (told,) = [one for one in await ib.reqOpenOrdersAsync() if one.order.permId == order.permId]
        self.told["modified_order"] = order_of(told)
        ib.cancelOrder(again)
        await until(lambda: trade.orderStatus.status == "Cancelled", "the cancellation")
        self.told["cancelled_order"] = (await self.main.error(202))[1:]

    async def order_types(self) -> None:
        """Place an order of every type and time in force; see them with the eyes of another client."""
        ib = self.ib
        price = (await ib.reqTickersAsync(AAPL))[0].bid
        far = round(price / 2)
        orders = {
            "STP": api.Order(action="SELL", totalQuantity=10, orderType="STP", auxPrice=far),
            "STP LMT": api.Order(action="SELL", totalQuantity=10, orderType="STP LMT", auxPrice=far, lmtPrice=far - 1),
            "TRAIL": api.Order(action="SELL", totalQuantity=10, orderType="TRAIL", auxPrice=far),
            "TRAIL %": api.Order(action="SELL", totalQuantity=10, orderType="TRAIL", trailingPercent=50),
            "GTC": api.LimitOrder("BUY", 10, far, tif="GTC"),
            "GTD": api.LimitOrder("BUY", 10, far, tif="GTD", goodTillDate="20291231 23:59:59 UTC"),
            "IOC": api.LimitOrder("BUY", 10, far, tif="IOC"),
            "FOK": api.LimitOrder("BUY", 10, far, tif="FOK"),
        }
        trades = {}
        for name, order in orders.items():
            order.orderRef = f"suite:{name}"
            trades[name] = ib.placeOrder(AAPL, order)
        resting = {"STP": "PreSubmitted", "STP LMT": "PreSubmitted", "TRAIL": "PreSubmitted", "TRAIL %": "PreSubmitted"}
        resting |= {"GTC": "Submitted", "GTD": "Submitted", "IOC": "Cancelled", "FOK": "Cancelled"}
        for name, status in resting.items():
            trade = trades[name]
            await until(lambda trade=trade, status=status: trade.orderStatus.status == status, f"{name} {status}")
        other = Client()
        await other.connect(port, 7)
        seen = {trade.order.permId: order_of(trade) for trade in await other.ib.reqAllOpenOrdersAsync()}
        other.ib.disconnect()
        self.told["order_types"] = {
            name: seen.get(trade.order.permId) or {"status": trade.orderStatus.status} for name, trade in trades.items()
        }
        self.told["order_types_at"] = {"price": price, "far": far}
        for trade in trades.values():
            if not trade.isDone():
                ib.cancelOrder(trade.order)
        await until(lambda: all(trade.isDone() for trade in trades.values()), "the end of every type of order")

    async def bracket(self) -> None:
        """Enter with a bracket, take the profit, and see the stop go."""
        ib = self.ib
        price = (await ib.reqTickersAsync(AAPL))[0].bid
        far = round(price / 2)
        entry, profit, stop = ib.bracketOrder("BUY", 10, round(price * 1.1), round(price * 2), far)
        trades = [ib.placeOrder(AAPL, order) for order in (entry, profit, stop)]
        await until(lambda: trades[0].orderStatus.status == "Filled", "the entry of a bracket")
        await until(lambda: trades[1].orderStatus.status == "Submitted", "the target of a bracket")
        children = [trade.orderStatus.status for trade in trades[1:]]
        profit.lmtPrice, profit.transmit = round(price * 0.9), True
        ib.placeOrder(AAPL, profit)
        await until(lambda: all(trade.isDone() for trade in trades), "the end of a bracket")
        self.told["bracket"] = {
            "parents": [order.parentId == entry.orderId for order in (profit, stop)],
            "children": children,
            "ends": [trade.orderStatus.status for trade in trades],
            "filled": [trade.orderStatus.filled for trade in trades],
        }

    async def one_cancels_all(self) -> None:
        """Place a group of which one fill cancels the rest."""
        ib = self.ib
        price = (await ib.reqTickersAsync(AAPL))[0].bid
        orders = [api.LimitOrder("BUY", 10, round(price / number)) for number in (2, 3)]
        ib.oneCancelsAll(orders, f"group:{time.time()}", 1)
        trades = [ib.placeOrder(AAPL, order) for order in orders]
        await until(lambda: all(trade.orderStatus.status == "Submitted" for trade in trades), "a group")
        orders[1].lmtPrice = round(price * 1.1)
        ib.placeOrder(AAPL, orders[1])
        await until(lambda: all(trade.isDone() for trade in trades), "the end of a group")
        self.told["oca"] = [trade.orderStatus.status for trade in trades]

    async def what_if(self) -> None:
        """Ask what an order would do."""
        before = len(await self.ib.reqAllOpenOrdersAsync())
        state = await self.ib.whatIfOrderAsync(AAPL, api.MarketOrder("BUY", 100))
        names = ["initMarginBefore", "initMarginChange", "initMarginAfter", "maintMarginAfter", "equityWithLoanAfter"]
        self.told["what_if"] = {name: float(getattr(state, name)) for name in names} | {
            "commission": state.commission,
            "currency": state.commissionCurrency,
            "orders": len(await self.ib.reqAllOpenOrdersAsync()) - before,
        }

    async def refusals(self) -> None:
        """Place what is refused."""
        ib = self.ib
        told = {}
        for name, contract, order, code in (
            ("too much", AAPL, api.LimitOrder("BUY", 1_000_000, 500), 201),
            ("unknown symbol", api.Stock("NOPE", "SMART", "USD"), api.MarketOrder("BUY", 1), 200),
            ("off the tick", AAPL, api.LimitOrder("BUY", 1, 1.001), 110),
        ):
            self.main.errors.clear()
            trade = ib.placeOrder(contract, order)
            error = await self.main.error(code)
            told[name] = [error[0] == trade.order.orderId, *error[1:]]
        self.main.errors.clear()
        ib.client.cancelOrder(999_999, *([""] if sys.argv[1] == "ib_async" else []))
        told["not there"] = list((await self.main.error(10147))[1:])
        self.told["refusals"] = told

    async def order_lists(self) -> None:
        """List orders and executions, of this client and of another one."""
        ib = self.ib
        mine = ib.placeOrder(AAPL, api.LimitOrder("BUY", 1, 1.5, orderRef="suite:mine"))
        other = Client()
        await other.connect(port, 8)
        theirs = other.ib.placeOrder(AAPL, api.LimitOrder("BUY", 1, 1.5, orderRef="suite:theirs"))
        await until(lambda: {mine.orderStatus.status, theirs.orderStatus.status} == {"Submitted"}, "two orders")
        own = [trade.order.orderRef for trade in await other.ib.reqOpenOrdersAsync()]
        everyone = [trade.order.orderRef for trade in await other.ib.reqAllOpenOrdersAsync()]
        bought = await ib.reqExecutionsAsync(api.ExecutionFilter(side="BUY", symbol="AAPL"))
        sold = await ib.reqExecutionsAsync(api.ExecutionFilter(side="SELL"))
        none = await ib.reqExecutionsAsync(api.ExecutionFilter(symbol="MSFT"))
        completed = await ib.reqCompletedOrdersAsync(False)
        # A client that knows a fill does not take note of its commission again; a new one has asked for both.
        fills = {fill.execution.execId: fill_of(fill) for fill in other.ib.fills()}
        self.told["order_lists"] = {
            "own": own,
            "all": sorted(everyone),
            "bought": [fills[fill.execution.execId] for fill in bought],
            "sold": [fills[fill.execution.execId] for fill in sold],
            "none": len(none),
            "completed": [[trade.order.orderRef, trade.order.permId, trade.orderStatus.status] for trade in completed],
        }
        other.ib.disconnect()

    async def profit_and_loss(self) -> None:
        """Follow profit and loss of the account and of one position."""
        ib = self.ib
        account = ib.managedAccounts()[0]
        (position,) = [held for held in ib.positions() if held.contract.symbol == "AAPL"]
        whole = ib.reqPnL(account, "")
        single = ib.reqPnLSingle(account, "", position.contract.conId)
        await until(lambda: whole.dailyPnL == whole.dailyPnL and single.position, "profit and loss")
        self.told["pnl"] = {
            "daily": whole.dailyPnL, "unrealized": whole.unrealizedPnL, "realized": whole.realizedPnL,
        }  # fmt: skip
        self.told["pnl_single"] = {
            "position": single.position, "daily": single.dailyPnL, "unrealized": single.unrealizedPnL,
            "realized": single.realizedPnL, "value": single.value,
        }  # fmt: skip
        ib.cancelPnL(account, "")
        ib.cancelPnLSingle(account, "", position.contract.conId)

    async def order_by_hand(self) -> None:
        """See an order that was made at the broker's terminal, own it, and cancel it."""
        ib = self.ib
        ib.reqAutoOpenOrders(True)
        await ib.reqCurrentTimeAsync()
        order = {"symbol": "AAPL", "action": "BUY", "quantity": 3, "limit_price": "1.75"}
        made = await asyncio.to_thread(terminal.call, control_port, "POST", "/orders", order)

        def found() -> Any:
            return next((trade for trade in ib.trades() if trade.order.permId == made["perm_id"]), None)

        await until(lambda: found() and found().orderStatus.status == "Submitted", "an order made by hand")
        self.told["order_by_hand"] = {**order_of(found()), "perm_id": made["perm_id"]}
        ib.cancelOrder(found().order)
        await until(lambda: found().orderStatus.status == "Cancelled", "its cancellation")
        self.told["order_by_hand"]["end"] = found().orderStatus.status

    async def odds_and_ends(self) -> None:
        """Ask what a client may ask for at its start."""
        ib = self.ib
        details, rates = await ib.reqContractDetailsAsync(AAPL), await ib.reqNewsProvidersAsync()
        self.told["odds_and_ends"] = {
            "news_providers": len(rates),
            "smart_components": len(await ib.reqSmartComponentsAsync("9c0001")) if details else 0,
            "depth_exchanges": len(await ib.reqMktDepthExchangesAsync()),
            "user_info": await ib.reqUserInfoAsync() or "",
        }

    async def other_connections(self) -> None:
        """Come with a client id in use, to a read-only gateway, and too fast."""
        twin = Client()
        # The refusal ends no call of these clients before its time is over.
        attempt = asyncio.create_task(twin.connect(port, 0))
        self.told["twin"] = [(await twin.error(326))[1:]]
        attempt.cancel()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError, ConnectionError):
            await attempt
        reader = Client()
        await reader.connect(read_only_port, 1, readonly=True)
        trade = reader.ib.placeOrder(AAPL, api.MarketOrder("BUY", 1))
        error = await reader.error(321)
        self.told["read_only"] = [error[0] == trade.order.orderId, *error[1:]]
        reader.ib.disconnect()
        hasty = Client()
        await hasty.connect(port, 9, readonly=True)
        hasty.ib.client.MaxRequests = 0
        for _ in range(200):
            hasty.ib.client.reqCurrentTime()
        self.told["too_fast"] = {"text": (await hasty.error(100))[2], "connected": hasty.ib.isConnected()}
        hasty.ib.disconnect()

    async def global_cancel(self) -> None:
        """Cancel everything of everyone."""
        ib = self.ib
        before = [trade.order.orderRef for trade in await ib.reqAllOpenOrdersAsync()]
        ib.reqGlobalCancel()
        mine = [trade for trade in ib.trades() if trade.order.orderRef == "suite:mine"]
        await until(lambda: all(trade.isDone() for trade in mine), "the end of every order")
        self.told["global_cancel"] = {"before": sorted(before), "after": len(await ib.reqAllOpenOrdersAsync())}


async def main() -> None:
    """Run the session and print what the client was told."""
    session = Session()
    try:
        await session.run()
    finally:
        json.dump(session.told, sys.stdout)


api.util.logToConsole("WARNING")
asyncio.run(main())
