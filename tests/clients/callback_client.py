# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole session of an official client, ibapi or nautilus_ibapi; runs in its environment, prints what it was told.

    python callback_client.py ibapi PORT CONTROL_PORT READ_ONLY_PORT

It does the same as event_client.py, step by step, and prints the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import terminal
from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.execution import ExecutionFilter
from ibapi.order import Order
from ibapi.wrapper import EWrapper
from terminal import HOST, PATIENCE_SECONDS

# What a gateway takes from one client, and a little less; ib_async and ib_insync hold themselves to it.
MESSAGES_PER_SECOND = 45

port, control_port, read_only_port = (int(argument) for argument in sys.argv[2:5])
try:
    from ibapi.order_cancel import OrderCancel

    cancellation: tuple[Any, ...] = (OrderCancel(),)
except ImportError:
    cancellation = ()


class Client(EWrapper, EClient):  # type: ignore[misc]  # the client comes without types
    """A client that keeps every call it gets, as (name, arguments)."""

    def __init__(self) -> None:
        EWrapper.__init__(self)
        EClient.__init__(self, self)
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._called = threading.Condition()
        self.paced = True
        self._sent: deque[float] = deque(maxlen=MESSAGES_PER_SECOND)
        self._last_id = 1000
        self._last_order_id = 0

    def keep(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Keep a call; orders and fills are as they were when it came."""
        with self._called:
            self.calls.append((name, arguments))
            self._called.notify_all()

    def sendMsg(self, *message: Any) -> None:  # noqa: N802 - the client's own name
        """Send a message, when it is not one too many."""
        self._pace()
        super().sendMsg(*message)

    def sendMsgProtoBuf(self, *message: Any) -> None:  # noqa: N802 - the client's own name
        """Send a message of the newer protocol, when it is not one too many."""
        self._pace()
        super().sendMsgProtoBuf(*message)

    def _pace(self) -> None:
        if self.paced and len(self._sent) == MESSAGES_PER_SECOND:
            time.sleep(max(0.0, self._sent[0] + 1 - time.monotonic()))
        self._sent.append(time.monotonic())

    def start(self, to: int, client_id: int) -> float:
        """Connect, and return the seconds until the first order id came."""
        began = time.perf_counter()
        self.connect(HOST, to, client_id)
        threading.Thread(target=self.run, daemon=True).start()
        self._last_order_id = self.wait("nextValidId")[0] - 1
        return time.perf_counter() - began

    def wait(self, name: str, condition: Callable[..., Any] = lambda *_: True, since: int = 0) -> tuple[Any, ...]:
        """Return the arguments of the first call after ``since`` that fits; fail when there is none in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        seen = since
        with self._called:
            while True:
                for called, arguments in self.calls[seen:]:
                    if called == name and condition(*arguments):
                        return arguments
                seen = len(self.calls)
                if not self._called.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    latest = self.calls[since:][-10:]
                    raise TimeoutError(f"waited {PATIENCE_SECONDS:g} s for {name}; the latest of the calls: {latest}")

    def all(self, name: str, request_id: int | None = None, since: int = 0) -> list[tuple[Any, ...]]:
        """Return the arguments of every such call, of one request if given."""
        calls = list(self.calls[since:])
        return [
            arguments
            for called, arguments in calls
            if called == name and request_id in (None, next(iter(arguments), None))
        ]

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Return when ``condition`` holds; fail when it does not in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._called:
            while not condition():
                if not self._called.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise TimeoutError(f"waited {PATIENCE_SECONDS:g} s for {what}; calls: {self.calls[-10:]}")

    def ask(self, name: str, *arguments: Any) -> int:
        """Send a request with a new request id, and return that."""
        self._last_id += 1
        getattr(self, name)(self._last_id, *arguments)
        return self._last_id

    @property
    def errors(self) -> list[tuple[int, int, str]]:
        """Every error, as (request id, code, text)."""
        return [error_of(arguments) for arguments in self.all("error")]

    def error_for(self, code: int, request_id: int | None = None, since: int = 0) -> tuple[int, int, str]:
        """Return the first error of a code after ``since``, of one request if given."""
        arguments = self.wait(
            "error",
            lambda *given: error_of(given)[1] == code and request_id in (None, given[0]),
            since,
        )
        return error_of(arguments)

    def place(self, contract: Any, order: Any) -> int:
        """Place an order under a new order id, and return that."""
        self._last_order_id += 1
        self.placeOrder(self._last_order_id, contract, order)
        return self._last_order_id

    def reach(self, order_id: int, *statuses: str, since: int = 0) -> str:
        """Wait until an order has one of these statuses, and return it."""
        found = self.wait("orderStatus", lambda told, status, *_: told == order_id and status in statuses, since)
        return str(found[1])

    def status(self, order_id: int) -> str:
        """Return an order's latest status."""
        return str(self.all("orderStatus", order_id)[-1][1])

    def told_order(self, order_id: int, since: int = 0) -> dict[str, Any]:
        """Return what an order was last told to be."""
        return order_of(self.all("openOrder", order_id, since)[-1])


def _recorder(name: str) -> Callable[..., None]:
    def record(self: Client, *arguments: Any, **named: Any) -> None:
        self.keep(name, (*arguments, *named.values()))

    return record


for _name in vars(EWrapper):
    if not _name.startswith(("_", "log")) and not _name.endswith("ProtoBuf"):
        setattr(Client, _name, _recorder(_name))


def error_of(arguments: tuple[Any, ...]) -> tuple[int, int, str]:
    """Return an error as (request id, code, text): newer clients have its time in between."""
    text = next(position for position, argument in enumerate(arguments) if isinstance(argument, str))
    return arguments[0], arguments[text - 1], arguments[text]


def number(value: Any) -> Any:
    """Return a number that JSON can hold: newer clients have decimals."""
    return float(value) if isinstance(value, Decimal) else value


def contract(symbol: str, kind: str, exchange: str, currency: str = "USD", **terms: Any) -> Any:
    """Return a contract."""
    made = Contract()
    made.symbol, made.secType, made.exchange, made.currency = symbol, kind, exchange, currency
    for name, value in terms.items():
        setattr(made, name, value)
    return made


def order(action: str, quantity: int, kind: str, **terms: Any) -> Any:
    """Return an order."""
    made = Order()
    made.action, made.totalQuantity, made.orderType = action, Decimal(quantity) if cancellation else quantity, kind
    # The older client asks for these two by default, and brokers have stopped to know them.
    made.eTradeOnly = made.firmQuoteOnly = False
    for name, value in terms.items():
        setattr(made, name, value)
    return made


AAPL = contract("AAPL", "STK", "SMART")


def contract_of(told: Any) -> dict[str, Any]:
    """Return what a contract says."""
    names = ["conId", "symbol", "secType", "strike", "right", "multiplier", "exchange", "currency", "localSymbol"]
    names += ["tradingClass"]
    return {**{name: getattr(told, name) for name in names}, "expiry": told.lastTradeDateOrContractMonth}


def details_of(details: Any) -> dict[str, Any]:
    """Return what contract details say."""
    names = ["longName", "minTick", "validExchanges", "orderTypes", "timeZoneId", "tradingHours", "liquidHours"]
    names += ["marketRuleIds", "underSymbol", "underConId", "stockType"]
    primary = details.contract.primaryExchange
    told = {name: getattr(details, name) for name in names}
    return contract_of(details.contract) | told | {"primaryExchange": primary}


def order_of(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Return an order's terms and state, as the client was told."""
    order_id, _, terms, state = arguments
    names = ["clientId", "permId", "parentId", "action", "totalQuantity", "orderType", "lmtPrice"]
    names += ["auxPrice", "tif", "goodTillDate", "ocaGroup", "orderRef", "trailStopPrice", "trailingPercent"]
    names += ["outsideRth", "hidden", "account", "displaySize", "rule80A"]
    return {**{name: number(getattr(terms, name)) for name in names}, "orderId": order_id, "status": state.status}


def bar_of(bar: Any) -> dict[str, Any]:
    """Return one bar."""
    return {name: number(getattr(bar, name)) for name in ("open", "high", "low", "close", "volume")}


def moment_of(text: str) -> float:
    """Return the seconds of a time such as ``20261125 09:30:00 UTC``."""
    return datetime.strptime(text, "%Y%m%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()


class Session:
    """The session, step by step; ``told`` is what the client was told at each."""

    def __init__(self) -> None:
        self.main = Client()
        self.told: dict[str, Any] = {}

    def run(self) -> None:
        """Run every step."""
        main = self.main
        seconds = main.start(port, 0)
        main.until(lambda: len(main.errors) >= 3, "three notices")
        self.told["connect"] = {
            "seconds": seconds,
            "version": main.serverVersion(),
            "accounts": main.wait("managedAccounts")[0].split(","),
            "notices": [error[1] for error in main.errors],
        }
        main.reqCurrentTime()
        self.told["time"] = {"server": main.wait("currentTime")[0], "here": time.time()}
        main.setServerLogLevel(5)
        self.contracts()
        self.begin_bars()
        self.ticks()
        self.history()
        self.market_order()
        self.account()
        self.limit_order()
        self.order_types()
        self.bracket()
        self.one_cancels_all()
        self.what_if()
        self.refusals()
        self.order_lists()
        self.profit_and_loss()
        self.order_by_hand()
        self.odds_and_ends()
        self.other_connections()
        self.global_cancel()
        self.end_bars()
        main.disconnect()

    def details(self, wanted: Any) -> list[Any]:
        """Return the details of every contract that fits."""
        request_id = self.main.ask("reqContractDetails", wanted)
        self.main.wait("contractDetailsEnd", lambda told: told == request_id)
        return [arguments[1] for arguments in self.main.all("contractDetails", request_id)]

    def contracts(self) -> None:
        """Find stocks, futures, options and currencies."""
        main = self.main
        (stock,) = self.details(AAPL)
        futures = self.details(contract("ES", "FUT", "CME"))
        month = min(details.contract.lastTradeDateOrContractMonth for details in futures)[:6]
        (future,) = self.details(contract("ES", "FUT", "CME", lastTradeDateOrContractMonth=month))
        (pair,) = self.details(contract("EUR", "CASH", "IDEALPRO"))
        request_id = main.ask("reqSecDefOptParams", "AAPL", "", "STK", stock.contract.conId)
        main.wait("securityDefinitionOptionParameterEnd", lambda told: told == request_id)
        chains = main.all("securityDefinitionOptionParameter", request_id)
        _, _, under_con_id, _, multiplier, expirations, strikes = next(one for one in chains if one[1] == "SMART")
        expiry, strike = min(expirations), sorted(strikes)[len(strikes) // 2]
        wanted = contract("AAPL", "OPT", "SMART", lastTradeDateOrContractMonth=expiry, strike=strike, right="C")
        wanted.multiplier = "100"
        (option,) = self.details(wanted)
        self.told["contracts"] = {
            "stock": details_of(stock),
            "futures": [details_of(details) for details in futures],
            "future": details_of(future),
            "option": details_of(option),
            "currency": details_of(pair),
            "qualified": [details.contract.conId for details in (stock, future, pair)],
        }
        self.told["chain"] = {
            "conId": under_con_id,
            "expirations": sorted(expirations),
            "strikes": sorted(strikes),
            "multiplier": multiplier,
        }
        request_id = main.ask("reqMatchingSymbols", "APPLE")
        found = main.wait("symbolSamples", lambda told, _: told == request_id)[1]
        self.told["matching"] = [[one.contract.symbol, sorted(one.derivativeSecTypes)] for one in found]
        main.reqMarketRule(int(stock.marketRuleIds.split(",")[0]))
        (rule,) = main.wait("marketRule")[1]
        self.told["rule"] = [rule.lowEdge, rule.increment]
        request_id = main.ask("reqContractDetails", contract("NOPE", "STK", "SMART"))
        error = main.error_for(200, request_id)
        self.told["unknown"] = {"found": len(main.all("contractDetails", request_id)), "errors": [list(error[1:])]}
        self.future, self.pair = future.contract, pair.contract

    def begin_bars(self) -> None:
        """Ask for bars that come into being, beside everything else."""
        main = self.main
        self.real_time = main.ask("reqRealTimeBars", AAPL, 5, "TRADES", False, [])
        self.kept = main.ask("reqHistoricalData", AAPL, "", "600 S", "5 secs", "TRADES", 0, 2, True, [])

    def end_bars(self) -> None:
        """Wait for those bars."""
        main = self.main
        real_time = main.wait("realtimeBar", lambda told, *_: told == self.real_time)
        main.wait("historicalDataUpdate", lambda told, _: told == self.kept)
        at_first = [bar.date for _, bar in main.all("historicalData", self.kept)]
        updates = [bar for _, bar in main.all("historicalDataUpdate", self.kept)]
        names = ("open", "high", "low", "close", "volume")
        told = dict(zip(names, map(number, real_time[2:7]), strict=True))
        self.told["real_time_bar"] = {"time": real_time[1], **told}
        self.told["kept_up_to_date"] = {
            "at_first": len(at_first),
            "later": len({*at_first, *(bar.date for bar in updates)}),
            "last": bar_of(updates[-1]),
        }
        main.cancelRealTimeBars(self.real_time)
        main.cancelHistoricalData(self.kept)

    def ticks(self) -> None:
        """Stream ticks, take a snapshot, and every tick of each kind."""
        main = self.main
        stream = main.ask("reqMktData", AAPL, "233", False, False, [])

        def latest(name: str, kind: int) -> Any:
            return next((told[2] for told in reversed(main.all(name, stream)) if told[1] == kind), None)

        wanted = {
            "bid": ("tickPrice", 1),
            "ask": ("tickPrice", 2),
            "last": ("tickPrice", 4),
            "bidSize": ("tickSize", 0),
        }
        wanted |= {"askSize": ("tickSize", 3), "lastSize": ("tickSize", 5), "volume": ("tickSize", 8)}
        wanted |= {"close": ("tickPrice", 9)}
        main.until(lambda: len(main.all("tickString", stream)) >= 5, "five updates")
        main.until(lambda: all(latest(*what) is not None for what in wanted.values()), "every kind of tick")
        self.told["stream"] = {
            **{name: number(latest(*what)) for name, what in wanted.items()},
            "type": main.wait("marketDataType", lambda told, _: told == stream)[1],
            "rtVolume": float(latest("tickString", 48).split(";")[3]),
        }
        main.cancelMktData(stream)
        since = len(main.calls)
        main.reqCurrentTime()
        main.wait("currentTime", since=since)
        since = len(main.calls)
        time.sleep(0.2)
        self.told["cancelled"] = len(main.all("tickPrice", stream, since)) + len(main.all("tickString", stream, since))
        self.told["snapshot"] = self.snapshot(self.pair)
        refused = main.ask("reqMktData", self.future, "9999", False, False, [])
        self.told["generic_refused"] = main.error_for(321, refused)[2]
        told = {}
        for kind, name in (
            ("Last", "tickByTickAllLast"), ("AllLast", "tickByTickAllLast"), ("BidAsk", "tickByTickBidAsk"),
            ("MidPoint", "tickByTickMidPoint"),
        ):  # fmt: skip
            every = main.ask("reqTickByTickData", AAPL, kind, 0, False)
            main.until(
                lambda name=name, every=every: len(main.all(name, every)) >= 3,  # type: ignore[misc]
                f"three ticks of {kind}",
            )
            main.cancelTickByTickData(every)
            position = {"tickByTickAllLast": 3}.get(name, 2)
            told[kind] = min(arguments[position] for arguments in main.all(name, every))
        self.told["tick_by_tick"] = told

    def snapshot(self, wanted: Any) -> dict[str, Any]:
        """Return bid and ask of one moment."""
        request_id = self.main.ask("reqMktData", wanted, "", True, False, [])
        self.main.wait("tickSnapshotEnd", lambda told: told == request_id)
        prices = {kind: price for _, kind, price, *_ in self.main.all("tickPrice", request_id)}
        return {"bid": prices[1], "ask": prices[2]}

    def history(self) -> None:
        """Ask for bars, the beginning of history, and past ticks."""
        main = self.main

        def bars(*arguments: Any) -> list[Any]:
            request_id = main.ask("reqHistoricalData", AAPL, *arguments, False, [])
            main.wait("historicalDataEnd", lambda told, *_: told == request_id)
            return [bar for _, bar in main.all("historicalData", request_id)]

        hours = bars("", "1 D", "1 hour", "TRADES", 0, 1)
        days = bars("20260601 00:00:00 UTC", "1 W", "1 day", "MIDPOINT", 1, 1)
        head = main.ask("reqHeadTimeStamp", AAPL, "TRADES", 0, 1)
        end = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())
        ticks = []
        for what, name in (
            ("TRADES", "historicalTicksLast"), ("BID_ASK", "historicalTicksBidAsk"), ("MIDPOINT", "historicalTicks"),
        ):  # fmt: skip
            request_id = main.ask("reqHistoricalTicks", AAPL, "", end, 20, what, 0, False, [])
            ticks.append(main.wait(name, lambda told, *_, wanted=request_id: told == wanted)[1])
        trades, quotes, middles = ticks
        self.told["history"] = {
            "hours": [bar_of(bar) for bar in hours],
            "days": [bar.date for bar in days],
            "head": main.wait("headTimestamp", lambda told, _: told == head)[1][:8],
            "ticks": [len(past) for past in ticks],
            "prices": [trades[-1].price, quotes[-1].priceBid, middles[-1].price],
        }

    def fills(self, order_id: int, count: int, request_id: int = -1) -> list[dict[str, Any]]:
        """Return an order's executions with their commissions, once there are so many."""
        main = self.main
        main.until(
            lambda: len([one for one in main.all("execDetails", request_id) if one[2].orderId == order_id]) >= count,
            f"{count} fills of order {order_id}",
        )
        return [self.fill_of(*one[1:]) for one in main.all("execDetails", request_id) if one[2].orderId == order_id]

    def fill_of(self, bought: Any, execution: Any) -> dict[str, Any]:
        """Return an execution and its commission."""
        names = ["execId", "orderId", "clientId", "permId", "side", "shares", "price", "cumQty", "avgPrice", "orderRef"]
        names += ["acctNumber", "exchange"]
        report_name = "commissionAndFeesReport" if cancellation else "commissionReport"
        (report,) = self.main.wait(report_name, lambda told: told.execId == execution.execId)
        realized = report.realizedPNL
        return {
            **{name: number(getattr(execution, name)) for name in names},
            "symbol": bought.symbol,
            "time": moment_of(execution.time),
            "commission": report.commissionAndFees if cancellation else report.commission,
            "currency": report.currency,
            "realizedPNL": 0.0 if realized == sys.float_info.max else realized,
        }

    def market_order(self) -> None:
        """Buy 300 in two fills and sell 100 of them."""
        main = self.main
        # A client that wants to hear of its positions and its account says so.
        main.reqPositions()
        main.reqAccountUpdates(True, "")
        main.wait("accountDownloadEnd")
        bought = main.place(AAPL, order("BUY", 300, "MKT", orderRef="suite:1"))
        main.reach(bought, "Filled")
        fills = self.fills(bought, 2)
        statuses = ["PendingSubmit", *(told[1] for told in main.all("orderStatus", bought))]
        final = main.all("orderStatus", bought)[-1]
        self.told["market_order"] = {
            "statuses": statuses, "fills": fills, "average": final[4], "permId": final[5],
        }  # fmt: skip
        sold = main.place(AAPL, order("SELL", 50, "MKT", orderRef="suite:2"))
        self.told["sale"] = self.fills(sold, 1)[0]

    def account(self) -> None:
        """See what the account has become."""
        main = self.main
        main.wait("updatePortfolio", lambda held, position, *_: held.symbol == "AAPL" and position == 250)
        # The time comes last of what is told at once.
        since = max(place for place, call in enumerate(main.calls) if call[0] == "updatePortfolio")
        main.wait("updateAccountTime", since=since)
        values = {(key, currency): value for key, value, currency, _ in main.all("updateAccountValue")}
        held = main.all("updatePortfolio")[-1]
        names = ["position", "marketPrice", "marketValue", "averageCost", "unrealized", "realized", "account"]
        position = main.wait("position", lambda _account, _contract, units, _cost: units == 250)
        tags = "NetLiquidation,TotalCashValue,GrossPositionValue,BuyingPower"
        request_id = main.ask("reqAccountSummary", "All", tags)
        main.wait("accountSummaryEnd", lambda told: told == request_id)
        summary = main.all("accountSummary", request_id)
        main.cancelAccountSummary(request_id)
        multi = main.ask("reqPositionsMulti", "", "")
        main.wait("positionMultiEnd", lambda told: told == multi)
        main.cancelPositionsMulti(multi)
        updates = main.ask("reqAccountUpdatesMulti", "", "", False)
        main.wait("accountUpdateMultiEnd", lambda told: told == updates)
        main.cancelAccountUpdatesMulti(updates)
        self.told["account"] = {
            "values": {tag: value for (tag, currency), value in values.items() if currency == "USD"},
            "portfolio": {"symbol": held[0].symbol, **dict(zip(names, map(number, held[1:]), strict=True))},
            "position": {"position": number(position[2]), "avgCost": position[3], "account": position[0]},
            "summary": {tag: value for _, _, tag, value, currency in summary if currency == "USD"},
        }
        told_multi = [
            (tag, value) for *_, tag, value, currency in main.all("accountUpdateMulti", updates) if currency == "USD"
        ]
        self.told["account_multi"] = {
            "values": dict(told_multi),
            "positions": [number(told[4]) for told in main.all("positionMulti", multi)],
        }

    def limit_order(self) -> None:
        """Place a limit order, modify it by what was told, and cancel it."""
        main = self.main
        terms = order("BUY", 10, "LMT", lmtPrice=1.25, tif="GTC", orderRef="suite:3", outsideRth=True)
        terms.displaySize, terms.rule80A = 5, "I"
        order_id = main.place(AAPL, terms)
        main.reach(order_id, "Submitted")
        since = self.open_orders()
        self.told["limit_order"] = main.told_order(order_id, since)
        _, held, again, _ = main.all("openOrder", order_id, since)[-1]
        again.lmtPrice, again.totalQuantity = 2.5, again.totalQuantity * 2
        main.placeOrder(order_id, held, again)
        main.wait("orderStatus", lambda told, _status, _filled, remaining, *_: told == order_id and remaining == 20)
        self.told["modified_order"] = main.told_order(order_id, self.open_orders())
        main.cancelOrder(order_id, *cancellation)
        main.reach(order_id, "Cancelled")
        self.told["cancelled_order"] = list(main.error_for(202, order_id)[1:])

    def open_orders(self, client: Client | None = None, everyone: bool = False) -> int:
        """Ask for open orders; return where the answer begins among the calls."""
        client = client or self.main
        since = len(client.calls)
        client.reqAllOpenOrders() if everyone else client.reqOpenOrders()
        client.wait("openOrderEnd", since=since)
        return since

    def order_types(self) -> None:
        """Place an order of every type and time in force; see them with the eyes of another client."""
        main = self.main
        price = self.snapshot(AAPL)["bid"]
        far = round(price / 2)
        orders = {
            "STP": order("SELL", 10, "STP", auxPrice=far),
            "STP LMT": order("SELL", 10, "STP LMT", auxPrice=far, lmtPrice=far - 1),
            "TRAIL": order("SELL", 10, "TRAIL", auxPrice=far),
            "TRAIL %": order("SELL", 10, "TRAIL", trailingPercent=50),
            "GTC": order("BUY", 10, "LMT", lmtPrice=far, tif="GTC"),
            "GTD": order("BUY", 10, "LMT", lmtPrice=far, tif="GTD", goodTillDate="20291231 23:59:59 UTC"),
            "IOC": order("BUY", 10, "LMT", lmtPrice=far, tif="IOC"),
            "FOK": order("BUY", 10, "LMT", lmtPrice=far, tif="FOK"),
        }
        ids = {}
        for name, terms in orders.items():
            terms.orderRef = f"suite:{name}"
            ids[name] = main.place(AAPL, terms)
        resting = {"STP": "PreSubmitted", "STP LMT": "PreSubmitted", "TRAIL": "PreSubmitted", "TRAIL %": "PreSubmitted"}
        resting |= {"GTC": "Submitted", "GTD": "Submitted", "IOC": "Cancelled", "FOK": "Cancelled"}
        for name, status in resting.items():
            main.reach(ids[name], status)
        other = Client()
        other.start(port, 7)
        self.open_orders(other, everyone=True)
        seen = {one[2].orderRef: order_of(one) for one in other.all("openOrder")}
        other.disconnect()
        self.told["order_types"] = {
            name: seen.get(f"suite:{name}") or {"status": main.status(order_id)} for name, order_id in ids.items()
        }
        self.told["order_types_at"] = {"price": price, "far": far}
        for name, order_id in ids.items():
            if resting[name] != "Cancelled":
                main.cancelOrder(order_id, *cancellation)
                main.reach(order_id, "Cancelled")

    def bracket(self) -> None:
        """Enter with a bracket, take the profit, and see the stop go."""
        main = self.main
        price = self.snapshot(AAPL)["bid"]
        far = round(price / 2)
        entry = main.place(AAPL, order("BUY", 10, "LMT", lmtPrice=round(price * 1.1), transmit=False))
        target = order("SELL", 10, "LMT", lmtPrice=round(price * 2), parentId=entry, transmit=False)
        profit = main.place(AAPL, target)
        stop = main.place(AAPL, order("SELL", 10, "STP", auxPrice=far, parentId=entry, transmit=True))
        main.reach(entry, "Filled")
        main.reach(profit, "Submitted")
        main.until(lambda: main.all("orderStatus", stop), "the stop of a bracket")
        children = [main.status(order_id) for order_id in (profit, stop)]
        target.lmtPrice, target.transmit = round(price * 0.9), True
        main.placeOrder(profit, AAPL, target)
        main.reach(profit, "Filled")
        main.reach(stop, "Cancelled")
        ids = (entry, profit, stop)
        self.told["bracket"] = {
            "parents": [main.told_order(order_id)["parentId"] == entry for order_id in (profit, stop)],
            "children": children,
            "ends": [main.status(order_id) for order_id in ids],
            "filled": [number(main.all("orderStatus", order_id)[-1][2]) for order_id in ids],
        }

    def one_cancels_all(self) -> None:
        """Place a group of which one fill cancels the rest."""
        main = self.main
        price = self.snapshot(AAPL)["bid"]
        group = f"group:{time.time()}"
        orders = [order("BUY", 10, "LMT", lmtPrice=round(price / one), ocaGroup=group, ocaType=1) for one in (2, 3)]
        ids = [main.place(AAPL, terms) for terms in orders]
        for order_id in ids:
            main.reach(order_id, "Submitted")
        orders[1].lmtPrice = round(price * 1.1)
        main.placeOrder(ids[1], AAPL, orders[1])
        main.reach(ids[1], "Filled")
        main.reach(ids[0], "Cancelled")
        self.told["oca"] = [main.status(order_id) for order_id in ids]

    def what_if(self) -> None:
        """Ask what an order would do."""
        main = self.main
        before = len(main.all("openOrder", since=self.open_orders(everyone=True)))
        order_id = main.place(AAPL, order("BUY", 100, "MKT", whatIf=True))
        state = main.wait("openOrder", lambda told, *_: told == order_id)[3]
        names = ["initMarginBefore", "initMarginChange", "initMarginAfter", "maintMarginAfter", "equityWithLoanAfter"]
        self.told["what_if"] = {name: float(getattr(state, name)) for name in names} | {
            "commission": state.commissionAndFees if cancellation else state.commission,
            "currency": state.commissionAndFeesCurrency if cancellation else state.commissionCurrency,
            "orders": len(main.all("openOrder", since=self.open_orders(everyone=True))) - before,
        }

    def refusals(self) -> None:
        """Place what is refused."""
        main = self.main
        told = {}
        for name, wanted, terms, code in (
            ("too much", AAPL, order("BUY", 1_000_000, "LMT", lmtPrice=500), 201),
            ("unknown symbol", contract("NOPE", "STK", "SMART"), order("BUY", 1, "MKT"), 200),
            ("off the tick", AAPL, order("BUY", 1, "LMT", lmtPrice=1.001), 110),
        ):
            since = len(main.calls)
            order_id = main.place(wanted, terms)
            error = main.error_for(code, since=since)
            told[name] = [error[0] == order_id, *error[1:]]
        main.cancelOrder(999_999, *cancellation)
        told["not there"] = list(main.error_for(10147, 999_999)[1:])
        self.told["refusals"] = told

    def order_lists(self) -> None:
        """List orders and executions, of this client and of another one."""
        main = self.main
        mine = main.place(AAPL, order("BUY", 1, "LMT", lmtPrice=1.5, orderRef="suite:mine"))
        other = Client()
        other.start(port, 8)
        theirs = other.place(AAPL, order("BUY", 1, "LMT", lmtPrice=1.5, orderRef="suite:theirs"))
        main.reach(mine, "Submitted")
        other.reach(theirs, "Submitted")
        own = [one[2].orderRef for one in other.all("openOrder", since=self.open_orders(other))]
        everyone = [one[2].orderRef for one in other.all("openOrder", since=self.open_orders(other, everyone=True))]

        def executions(**restriction: Any) -> list[dict[str, Any]]:
            wanted = ExecutionFilter()
            for name, value in restriction.items():
                setattr(wanted, name, value)
            request_id = main.ask("reqExecutions", wanted)
            main.wait("execDetailsEnd", lambda told: told == request_id)
            return [self.fill_of(*one[1:]) for one in main.all("execDetails", request_id)]

        bought, sold = executions(side="BUY", symbol="AAPL"), executions(side="SELL")
        none = executions(symbol="MSFT")
        main.reqCompletedOrders(False)
        main.wait("completedOrdersEnd")
        self.told["order_lists"] = {
            "own": own,
            "all": sorted(everyone),
            "bought": bought,
            "sold": sold,
            "none": len(none),
            "completed": [
                [terms.orderRef, terms.permId, state.status] for _, terms, state in main.all("completedOrder")
            ],
        }
        other.disconnect()

    def profit_and_loss(self) -> None:
        """Follow profit and loss of the account and of one position."""
        main = self.main
        account = main.wait("managedAccounts")[0]
        con_id = self.told["contracts"]["stock"]["conId"]
        whole = main.ask("reqPnL", account, "")
        single = main.ask("reqPnLSingle", account, "", con_id)
        _, daily, unrealized, realized = main.wait("pnl", lambda told, *_: told == whole)
        self.told["pnl"] = {"daily": daily, "unrealized": unrealized, "realized": realized}
        told = main.wait("pnlSingle", lambda told, *_: told == single)
        names = ["position", "daily", "unrealized", "realized", "value"]
        self.told["pnl_single"] = dict(zip(names, map(number, told[1:]), strict=True))
        main.cancelPnL(whole)
        main.cancelPnLSingle(single)

    def order_by_hand(self) -> None:
        """See an order that was made at the broker's terminal, own it, and cancel it."""
        main = self.main
        main.reqAutoOpenOrders(True)
        since = len(main.calls)
        main.reqCurrentTime()
        main.wait("currentTime", since=since)
        terms = {"symbol": "AAPL", "action": "BUY", "quantity": 3, "limit_price": "1.75"}
        made = terminal.call(control_port, "POST", "/orders", terms)
        told = main.wait(
            "openOrder",
            lambda _id, _contract, told, state: told.permId == made["perm_id"] and state.status == "Submitted",
        )
        order_id = told[0]
        self.told["order_by_hand"] = {**order_of(told), "perm_id": made["perm_id"]}
        main.cancelOrder(order_id, *cancellation)
        self.told["order_by_hand"]["end"] = main.reach(order_id, "Cancelled")

    def odds_and_ends(self) -> None:
        """Ask what a client may ask for at its start."""
        main = self.main
        main.reqNewsProviders()
        main.reqMktDepthExchanges()
        main.reqFamilyCodes()
        main.reqManagedAccts()
        components = main.ask("reqSmartComponents", "9c0001")
        tiers = main.ask("reqSoftDollarTiers")
        self.told["odds_and_ends"] = {
            "news_providers": len(main.wait("newsProviders")[0]),
            "smart_components": len(main.wait("smartComponents", lambda told, _: told == components)[1]),
            "depth_exchanges": len(main.wait("mktDepthExchanges")[0]),
            "user_info": main.wait("userInfo")[1] if cancellation and main.ask("reqUserInfo") else "",
        }
        (codes,) = main.wait("familyCodes")
        self.told["family"] = [[code.accountID, code.familyCodeStr] for code in codes]
        self.told["tiers"] = len(main.wait("softDollarTiers", lambda told, _: told == tiers)[1])

    def other_connections(self) -> None:
        """Come with a client id in use, to a read-only gateway, and too fast."""
        twin = Client()
        twin.connect(HOST, port, 0)
        threading.Thread(target=twin.run, daemon=True).start()
        self.told["twin"] = [list(twin.error_for(326)[1:])]
        twin.wait("connectionClosed")
        reader = Client()
        reader.start(read_only_port, 1)
        order_id = reader.place(AAPL, order("BUY", 1, "MKT"))
        error = reader.error_for(321)
        self.told["read_only"] = [error[0] == order_id, *error[1:]]
        reader.disconnect()
        hasty = Client()
        hasty.start(port, 9)
        hasty.paced = False
        for _ in range(200):
            hasty.reqCurrentTime()
        self.told["too_fast"] = {"text": hasty.error_for(100)[2], "connected": hasty.isConnected()}
        hasty.disconnect()

    def global_cancel(self) -> None:
        """Cancel everything of everyone."""
        main = self.main
        before = [one[2].orderRef for one in main.all("openOrder", since=self.open_orders(everyone=True))]
        main.reqGlobalCancel(*cancellation)
        mine = next(one[0] for one in main.all("openOrder") if one[2].orderRef == "suite:mine")
        main.reach(mine, "Cancelled")
        after = main.all("openOrder", since=self.open_orders(everyone=True))
        self.told["global_cancel"] = {"before": sorted(before), "after": len(after)}


@contextlib.contextmanager
def exiting(session: Session) -> Iterator[None]:
    """Print what was told, and exit: the client's own threads would keep a failed session alive."""
    failed = True
    try:
        yield
        failed = False
    finally:
        if failed:
            traceback.print_exc()
        print(json.dumps(session.told), flush=True)
        os._exit(failed)


whole = Session()
with exiting(whole):
    whole.run()
