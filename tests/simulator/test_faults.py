# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault: what a real client sees of it, and that the world is whole afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ib_async import LimitOrder, MarketOrder, Stock, Trade

from gateway_simulator.control import ControlError
from gateway_simulator.faults import FAULTS, FaultError
from gateway_simulator.server import Simulator
from tests.simulator.support import AAPL, ACCOUNT, Client, connected, running, until
from tests.simulator.witness import Venue, venue

MSFT = Stock(conId=272093, symbol="MSFT", exchange="SMART", currency="USD")
# What a fault needs at least, for those that need something.
NEEDED: dict[str, dict[str, Any]] = {
    "latency": {"seconds": 0.01},
    "slow_reader": {"bytes_per_second": 1000},
    "slow_writer": {"bytes_per_second": 1000},
    "freeze": {"symbols": ["AAPL"]},
    "clock_skew": {"seconds": -1.5},
    "delay_acknowledgements": {"seconds": 0.01},
}
EVERY = [{"fault": name, **NEEDED.get(name, {})} for name in FAULTS]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator whose books add up at the end, and which serves a new client as if nothing had happened."""
    async with running() as simulator:
        yield simulator
        simulator.faults.remove_all()
        async with connected(simulator.port, 99) as client:
            await done(client.placeOrder(AAPL, MarketOrder("BUY", 1)))
            await done(client.placeOrder(AAPL, MarketOrder("SELL", 1)))
            assert not client.openTrades()
        fills = [entry["execution_id"] for entry in simulator.witness.entries if entry["kind"] == "fill"]
        told = [execution.execution_id for execution in simulator.broker.executions]
        assert [fill[:-3] for fill in fills] == [execution[:-3] for execution in told]
        valuation = simulator.broker.valuation()
        assert valuation.net_liquidation == 1_000_000 + valuation.realized + valuation.unrealized


async def done(trade: Trade) -> None:
    await until(trade.isDone)
    assert trade.orderStatus.status == "Filled"


def played(simulator: Simulator, name: str) -> list[dict[str, Any]]:
    """The cases of a fault that are on record."""
    entries = [entry for entry in simulator.witness.entries if entry["kind"] == "fault" and entry["fault"] == name]
    return [entry for entry in entries if entry["event"] == "played"]


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


# --- the port and the connections -------------------------------------------------------------------------------------


async def test_refused_connections_fail_while_those_that_exist_go_on(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "refuse", "for": 0.1})
        assert await refused(simulator.port)
        await done(client.placeOrder(AAPL, MarketOrder("BUY", 1)))
        await until(lambda: not list(simulator.faults))
        async with connected(simulator.port, 2):
            pass


async def test_a_gateway_silent_from_the_handshake_on_accepts_and_never_answers(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        fault = simulator.faults.add({"fault": "silent"})
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(b"API\0\x00\x00\x00\x09v157..178")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        await client.reqCurrentTimeAsync()
        simulator.faults.remove(fault)
        assert b"178" in await asyncio.wait_for(reader.read(100), 2)
        writer.close()


async def test_a_gateway_silent_from_start_on_shakes_hands_and_sends_no_account(simulator: Simulator) -> None:
    simulator.faults.add({"fault": "silent", "from": "start", "clients": [1]})
    client = Client()
    with pytest.raises(TimeoutError):
        await client.connectAsync("127.0.0.1", simulator.port, 1, timeout=0.2)
    async with connected(simulator.port, 2):
        pass


async def test_a_gateway_that_hangs_answers_all_at_once_when_it_comes_back(simulator: Simulator) -> None:
    async with connected(simulator.port) as client, connected(simulator.port, 2) as other:
        fault = simulator.faults.add({"fault": "silent", "from": "now", "clients": [1]})
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await done(other.placeOrder(AAPL, MarketOrder("BUY", 1)))
        assert trade.orderStatus.status == "PendingSubmit"
        assert not [
            entry for entry in simulator.witness.entries if entry["kind"] == "order" and entry["client_id"] == 1
        ]
        simulator.faults.remove(fault)
        await done(trade)


@pytest.mark.parametrize("how", ["clean", "reset"])
async def test_a_client_tells_a_closed_connection_from_a_reset_one(simulator: Simulator, how: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    await until(lambda: any(True for _ in simulator.lines()))
    simulator.faults.add({"fault": "close", "how": how})
    with pytest.raises(ConnectionResetError) if how == "reset" else contextlib.nullcontext():
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


@pytest.mark.parametrize(("how", "why"), [("clean", "closed on demand"), ("reset", "reset on demand")])
async def test_a_closed_connection_is_noticed_and_can_be_made_again(simulator: Simulator, how: str, why: str) -> None:
    async with connected(simulator.port) as client, connected(simulator.port, 2) as other:
        resting = client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00, orderRef="a"))
        await until(lambda: resting.orderStatus.status == "Submitted")
        simulator.faults.add({"fault": "close", "how": how, "clients": [1]})
        await until(lambda: not client.isConnected())
        await other.reqCurrentTimeAsync()
    assert simulator.witness.entries[-2]["why"] == why or simulator.witness.entries[-1]["why"] == why
    async with connected(simulator.port) as client:
        (trade,) = client.openTrades()
        assert trade.order.orderRef == "a"
        client.cancelOrder(trade.order)
        await until(trade.isDone)


async def test_a_connection_closed_in_the_middle_of_a_frame_leaves_half_a_message(simulator: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(b"API\0\x00\x00\x00\x09v157..178")
    await reader.readuntil(b"GMT\0")
    simulator.faults.add({"fault": "close", "how": "mid-frame"})
    writer.write(b"\x00\x00\x00\x0871\x002\x007\x00\x00")
    rest = await asyncio.wait_for(reader.read(), 2)
    assert 4 < len(rest) < 4 + int.from_bytes(rest[:4], "big")
    writer.close()
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "close", "how": "mid-frame"})
        client.reqCurrentTimeAsync()
        await until(lambda: not client.isConnected())


async def test_latency_holds_up_both_ways_and_keeps_the_order(simulator: Simulator) -> None:
    async with connected(simulator.port) as client, connected(simulator.port, 2) as other:
        simulator.faults.add({"fault": "latency", "seconds": 0.1, "jitter": 0.05, "clients": [1]})
        began = time.monotonic()
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 100))
        await other.reqCurrentTimeAsync()
        assert time.monotonic() - began < 0.1
        await done(trade)
        assert time.monotonic() - began > 0.2
        statuses = [entry.status for entry in trade.log if not entry.message]
        assert statuses == ["PendingSubmit", "PreSubmitted", "Submitted", "Submitted", "Filled"]


@pytest.mark.parametrize(("way", "late"), [("in", (True, False)), ("out", (False, True))])
async def test_latency_may_be_one_way_only(simulator: Simulator, way: str, late: tuple[bool, bool]) -> None:
    async with connected(simulator.port) as client:
        ticker = client.reqMktData(AAPL)
        await until(lambda: ticker.bid > 0)
        simulator.faults.add({"fault": "latency", "seconds": 30, "way": way})
        seen, trade = ticker.time, client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00))
        if late[0]:
            await until(lambda: ticker.time != seen)
        else:
            await until(lambda: list(simulator.broker.working_orders()))
        # Some ticks of the market later what is late has still not come.
        await asyncio.sleep(0.15)
        assert (not list(simulator.broker.working_orders()), ticker.time == seen) == late
        assert trade.orderStatus.status == "PendingSubmit"


async def test_jitter_makes_answers_late_by_different_times(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "latency", "seconds": 0.0, "jitter": 0.1, "way": "out"})
        waits = []
        for _ in range(8):
            began = time.monotonic()
            await client.reqCurrentTimeAsync()
            waits.append(time.monotonic() - began)
        assert max(waits) - min(waits) > 0.03


@pytest.mark.parametrize("name", ["slow_reader", "slow_writer"])
async def test_a_slow_gateway_is_slow_for_its_client_only(simulator: Simulator, name: str) -> None:
    async with connected(simulator.port) as client, connected(simulator.port, 2) as other:
        fault = simulator.faults.add({"fault": name, "bytes_per_second": 1000, "clients": [1]})
        began = time.monotonic()
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))  # 250 bytes there, more back
        await done(other.placeOrder(AAPL, MarketOrder("BUY", 1)))
        assert not trade.isDone()
        await done(trade)
        assert time.monotonic() - began > 0.15
        simulator.faults.remove(fault)
        await done(client.placeOrder(AAPL, MarketOrder("SELL", 2)))


async def test_requests_beyond_the_pace_are_lost_with_error_100(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "pacing", "count": 3})
        resting = client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00))
        client.reqMktData(AAPL)
        client.reqMktData(MSFT)
        await until(lambda: client.codes.count(100) == 3)
        await client.reqCurrentTimeAsync()
        assert resting.orderStatus.status == "PendingSubmit"
        assert not list(simulator.broker.working_orders())


# --- the gateway and its broker ---------------------------------------------------------------------------------------


async def test_a_restart_closes_refuses_and_comes_back_with_the_same_orders(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        resting = client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00, orderRef="blue:1"))
        await until(lambda: resting.orderStatus.status == "Submitted")
        simulator.faults.add({"fault": "restart", "for": 0.2})
        await until(lambda: not client.isConnected())
        assert await refused(simulator.port)
    await until(lambda: not list(simulator.faults))
    async with connected(simulator.port) as client:
        (trade,) = client.openTrades()
        assert trade.order.orderRef == "blue:1"
        client.cancelOrder(trade.order)
        await until(trade.isDone)


async def test_a_port_is_open_again_when_nothing_closes_it_any_more(simulator: Simulator) -> None:
    faults = [simulator.faults.add(document) for document in ({"fault": "refuse"}, {"fault": "restart", "for": 60})]
    for fault in faults:
        await asyncio.sleep(0.1)  # many times as long as it takes to open
        assert await refused(simulator.port)
        simulator.faults.remove(fault)
    await until(lambda: simulator.is_listening)
    assert not await refused(simulator.port)


async def test_after_a_logout_there_is_no_account_until_a_human_logs_in(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "logout"})
        await until(lambda: not client.isConnected())
    waiting = Client()
    connecting = asyncio.create_task(waiting.connectAsync("127.0.0.1", simulator.port, 3, timeout=5))
    await until(lambda: 504 in waiting.codes)
    assert waiting.wrapper.accounts in ([], [""])
    assert not connecting.done()
    simulator.faults.remove_all("logout")
    await connecting
    assert waiting.managedAccounts() == [ACCOUNT]
    waiting.disconnect()


@pytest.mark.parametrize(("data", "code"), [("maintained", 1102), ("lost", 1101)])
async def test_the_link_comes_back_with_data_maintained_or_lost(simulator: Simulator, data: str, code: int) -> None:
    async with connected(simulator.port) as client:
        ticker = client.reqMktData(AAPL)
        await until(lambda: ticker.bid > 0)
        fault = simulator.faults.add({"fault": "link", "data": data})
        await until(lambda: 1100 in client.codes)
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await client.reqCurrentTimeAsync()
        assert trade.orderStatus.status == "PendingSubmit"
        simulator.faults.remove(fault)
        await until(lambda: code in client.codes)
        await done(trade)
        seen = ticker.time
        if data == "maintained":
            await until(lambda: ticker.time != seen)
        else:
            await client.reqCurrentTimeAsync()
            await until(lambda: not simulator._sessions[1].instruments)
            before = ticker.time
            await asyncio.sleep(0.15)  # three ticks of the market
            assert ticker.time == before
            client.ticketd = client.reqMktData(MSFT)
            await until(lambda: client.ticketd.bid > 0)


@pytest.mark.parametrize(("farm", "broken", "well"), [("market", 2103, 2104), ("history", 2105, 2106)])
async def test_a_broken_farm_delivers_nothing_until_it_is_well_again(
    simulator: Simulator, farm: str, broken: int, well: int
) -> None:
    async with connected(simulator.port) as client:
        ticker = client.reqMktData(AAPL)
        await until(lambda: ticker.bid > 0)
        client.errors.clear()
        fault = simulator.faults.add({"fault": "farm", "farm": farm})
        await until(lambda: client.codes == [broken])
        async with connected(simulator.port, 2) as late:
            assert broken in late.codes
            assert well not in late.codes
        bars = await client.reqHistoricalDataAsync(AAPL, "", "1 D", "1 hour", "TRADES", useRTH=False)
        before = ticker.time
        await asyncio.sleep(0.15)  # three ticks of the market
        if farm == "market":
            assert (ticker.time, len(bars)) == (before, 24)
        else:
            assert ticker.time != before
            assert not bars
            assert 162 in client.codes
        simulator.faults.remove(fault)
        await until(lambda: well in client.codes and ticker.time != before)
        assert await client.reqHistoricalDataAsync(AAPL, "", "1 D", "1 hour", "TRADES", useRTH=False)


async def test_a_frozen_instrument_ticks_no_more_while_others_do(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        frozen, alive = client.reqMktData(AAPL), client.reqMktData(MSFT)
        await until(lambda: frozen.bid > 0 and alive.bid > 0)
        fault = simulator.faults.add({"fault": "freeze", "symbols": ["AAPL"]})
        await client.reqCurrentTimeAsync()
        before = frozen.time, alive.time
        await asyncio.sleep(0.15)  # three ticks of the market
        assert frozen.time == before[0]
        assert alive.time != before[1]
        simulator.faults.remove(fault)
        await until(lambda: frozen.time != before[0])


async def test_a_skewed_clock_is_the_gateways_own(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "clock_skew", "seconds": -3600})
        told = await client.reqCurrentTimeAsync()
        assert abs(datetime.now(UTC) - timedelta(hours=1) - told) < timedelta(seconds=5)
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await done(trade)
        assert abs(datetime.now(UTC) - trade.fills[0].execution.time) < timedelta(seconds=5)


# --- orders -----------------------------------------------------------------------------------------------------------


async def test_orders_are_rejected_by_symbol_as_often_as_was_said(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add(
            {"fault": "reject", "code": 201, "text": "Order rejected - reason:no", "count": 2, "symbols": ["AAPL"]}
        )
        spared = client.placeOrder(MSFT, MarketOrder("BUY", 1))
        rejected = [client.placeOrder(AAPL, MarketOrder("BUY", 1)) for _ in range(3)]
        await done(spared)
        await until(lambda: all(trade.isDone() for trade in rejected))
        assert client.codes[-2:] == [201, 201]
        assert client.errors[-1][2] == "Order rejected - reason:no"
        assert [trade.filled() for trade in rejected] == [0, 0, 1]
        ends = [entry for entry in simulator.witness.entries if entry["kind"] == "order_end"]
        assert [entry["status"] for entry in ends if entry.get("code") == 201] == ["Rejected", "Rejected"]
        assert len(played(simulator, "reject")) == 2


async def test_a_share_of_the_orders_is_rejected_and_the_seed_says_which() -> None:
    outcomes = []
    for _ in range(2):
        async with running(SIMULATOR_SEED="7") as simulator, connected(simulator.port) as client:
            simulator.faults.add({"fault": "reject", "share": 0.5})
            trades = [client.placeOrder(AAPL, MarketOrder("BUY", 1)) for _ in range(20)]
            await until(lambda trades=trades: all(trade.isDone() for trade in trades))
            outcomes.append([trade.orderStatus.status for trade in trades])
    assert outcomes[0] == outcomes[1]
    assert 2 < outcomes[0].count("Filled") < 18


async def test_a_rejected_modification_leaves_the_order_as_it_was(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        resting = client.placeOrder(AAPL, LimitOrder("BUY", 5, 1.00))
        await until(lambda: resting.orderStatus.status == "Submitted")
        simulator.faults.add({"fault": "reject", "code": 105, "text": "no", "count": 1})
        resting.order.lmtPrice = 2.00
        client.placeOrder(AAPL, resting.order)
        await until(lambda: 105 in client.codes and resting.order.lmtPrice == 1.00)
        client.cancelOrder(resting.order)
        await until(resting.isDone)


async def test_delayed_acknowledgements_come_late_and_in_order(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "delay_acknowledgements", "seconds": 0.2, "count": 1})
        began = time.monotonic()
        late = client.placeOrder(AAPL, MarketOrder("BUY", 100))
        await done(client.placeOrder(AAPL, MarketOrder("BUY", 1)))
        assert time.monotonic() - began < 0.2
        assert late.orderStatus.status == "PendingSubmit"
        await done(late)
        statuses = [entry.status for entry in late.log if not entry.message]
        assert statuses == ["PendingSubmit", "PreSubmitted", "Submitted", "Submitted", "Filled"]


async def test_an_order_whose_acknowledgement_is_lost_is_filled_all_the_same(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "lose_acknowledgement", "count": 1})
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await done(trade)
        statuses = [entry.status for entry in trade.log if not entry.message]
        assert statuses == ["PendingSubmit", "Filled"]


async def test_an_order_of_which_nothing_is_told_is_found_by_asking(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "lose_acknowledgement", "what": "everything", "count": 2})
        filled = client.placeOrder(AAPL, MarketOrder("BUY", 1, orderRef="a"))
        resting = client.placeOrder(AAPL, LimitOrder("BUY", 1, 1.00, orderRef="b"))
        await until(lambda: any(entry["kind"] == "fill" for entry in simulator.witness.entries))
        await client.reqCurrentTimeAsync()
        assert [filled.orderStatus.status, resting.orderStatus.status] == ["PendingSubmit"] * 2
        (fill,) = await client.reqExecutionsAsync()
        assert fill.execution.orderRef == "a"
        await client.reqOpenOrdersAsync()
        assert resting.orderStatus.status == "Submitted"


async def test_a_connection_that_closes_before_the_acknowledgement_has_placed_the_order(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "lose_acknowledgement", "then": "close", "count": 1})
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1, orderRef="a"))
        await until(lambda: not client.isConnected())
        assert trade.orderStatus.status == "PendingSubmit"
    async with connected(simulator.port) as client:
        assert [fill.execution.orderRef for fill in client.fills()] == ["a"]


async def test_an_execution_report_comes_twice_and_the_fill_is_one(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        reports: list[str] = []
        decode = client.wrapper.execDetails

        def count(request_id: int, contract: Any, execution: Any) -> None:
            reports.append(execution.execId)
            decode(request_id, contract, execution)

        client.wrapper.execDetails = count
        simulator.faults.add({"fault": "duplicate_execution", "count": 1})
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await done(trade)
        await until(lambda: len(reports) == 2)
        assert reports[0] == reports[1]
        assert [position.position for position in await client.reqPositionsAsync()] == [1]


async def test_a_correction_replaces_an_execution_and_the_books_follow(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "correct_execution", "ticks": 5, "seconds": 0.05, "count": 1})
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 10))
        await done(trade)
        (first,) = trade.fills
        (bought,) = await client.reqPositionsAsync()
        await until(lambda: len(trade.fills) == 2)
        second = trade.fills[1]
        assert second.execution.execId == f"{first.execution.execId[:-3]}.02"
        assert second.execution.price == pytest.approx(first.execution.price + 0.05)
        (corrected,) = await client.reqPositionsAsync()
        assert corrected.position == bought.position
        assert corrected.avgCost == pytest.approx(bought.avgCost + 0.05)
        kinds = [entry["kind"] for entry in simulator.witness.entries if entry["kind"] in ("fill", "correction")]
        assert kinds == ["fill", "correction"]


@pytest.mark.parametrize("seconds", [0.1, None])
async def test_a_commission_report_comes_late_or_when_it_is_asked_for(
    simulator: Simulator, seconds: float | None
) -> None:
    async with connected(simulator.port) as client:
        simulator.faults.add({"fault": "late_commission", "count": 1} | ({"seconds": seconds} if seconds else {}))
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await done(trade)
        await client.reqCurrentTimeAsync()
        (fill,) = trade.fills
        assert not fill.commissionReport.execId
        if seconds is None:
            await client.reqExecutionsAsync()
        await until(lambda: fill.commissionReport.execId == fill.execution.execId)
        assert fill.commissionReport.commission > 0


async def test_a_status_is_repeated_after_it_is_no_longer_true(simulator: Simulator) -> None:
    async with connected(simulator.port) as client:
        statuses: list[str] = []
        client.orderStatusEvent += lambda trade: statuses.append(trade.orderStatus.status)
        simulator.faults.add({"fault": "repeat_status", "seconds": 0.1, "count": 2})
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1))
        await until(lambda: "Filled" in statuses and statuses.index("Filled") < len(statuses) - 1)
        assert statuses[statuses.index("Filled") + 1] in ("PreSubmitted", "Submitted")
        assert trade.filled() == 1


# --- when, and who ----------------------------------------------------------------------------------------------------


async def test_a_fault_happens_after_a_while_and_every_so_often(simulator: Simulator) -> None:
    def begun() -> int:
        return len([entry for entry in simulator.witness.entries if entry.get("event") == "begins"])

    fault = simulator.faults.add({"fault": "clock_skew", "seconds": 60, "after": 0.1, "every": 0.1, "for": 0.05})
    assert (fault.state, simulator.faults.clock_skew) == ("waiting", timedelta(0))
    await until(lambda: begun() == 3)
    assert simulator.faults.clock_skew == timedelta(seconds=60)
    await until(lambda: fault.state == "waiting")
    simulator.faults.remove(fault)
    assert (fault.state, simulator.faults.clock_skew) == ("over", timedelta(0))


async def test_a_fault_happens_at_a_moment_of_the_worlds_clock() -> None:
    offset = timedelta()
    async with running() as simulator:
        simulator.now = lambda: datetime(2026, 11, 24, 23, 44, tzinfo=UTC) + offset
        nightly = simulator.faults.add(
            {"fault": "freeze", "symbols": ["AAPL"], "at": "23:45", "every": 86400, "for": 60}
        )
        once = simulator.faults.add({"fault": "freeze", "symbols": ["MSFT"], "at": "2026-11-25T00:00:00Z"})
        await asyncio.sleep(0.1)
        assert (nightly.state, once.state) == ("waiting", "waiting")
        offset = timedelta(minutes=2)
        await until(lambda: nightly.state == "active")
        assert once.state == "waiting"
        offset = timedelta(minutes=20)
        await until(lambda: once.state == "active")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "fault []: wanted an object"),
        ({}, "fault None: wanted one of refuse, silent, close, "),
        ({"fault": "flood"}, "fault 'flood': wanted one of refuse, silent, close, "),
        ({"fault": "refuse", "for": "long"}, "fault refuse: for='long': wanted seconds, 0 or more"),
        (
            {"fault": "refuse", "clients": [1]},
            "fault refuse: 'clients' is not its parameter, wanted one of at, after, ",
        ),
        ({"fault": "latency"}, "fault latency: seconds is missing: wanted seconds, 0 or more"),
        ({"fault": "link", "data": "none"}, "fault link: data='none': wanted one of maintained, lost"),
        ({"fault": "reject", "share": 2}, "fault reject: share=2: wanted a share of the cases, 0 to 1"),
        ({"fault": "reject", "clients": []}, "fault reject: clients=[]: wanted a list of client ids"),
        (
            {"fault": "refuse", "at": "noon"},
            "fault refuse: at='noon': wanted a moment of the world's clock, ISO 8601, or ",
        ),
        ({"fault": "refuse", "at": "12:00", "after": 3}, "fault refuse: at and after: wanted one of them"),
        ({"fault": "refuse", "every": 5}, "fault refuse: for=None: wanted less than every=5"),
        (
            {"fault": "silent", "clients": [1]},
            "fault silent: clients: a handshake does not tell the client id, wanted ",
        ),
    ],
)
async def test_a_fault_that_cannot_be_played_is_refused_with_what_is_wanted(document: Any, text: str) -> None:
    async with running() as simulator:
        with pytest.raises(FaultError) as raised:
            simulator.faults.add(document)
        assert str(raised.value).startswith(text)
        assert not list(simulator.faults)


# --- over the control API ---------------------------------------------------------------------------------------------


async def test_faults_are_posted_listed_and_ended_over_the_control_api(tmp_path: Path) -> None:
    with venue() as running:
        async with connected(running.port) as client:
            fault = await asyncio.to_thread(running.call, "POST", "faults", {"fault": "link", "data": "lost"})
            assert (fault["id"], fault["state"]) == (1, "active")
            await until(lambda: 1100 in client.codes)
            assert await asyncio.to_thread(running.call, "GET", "faults") == [fault]
            ended = await asyncio.to_thread(running.call, "DELETE", "faults/1")
            assert ended["state"] == "over"
            await until(lambda: 1101 in client.codes)
            assert await asyncio.to_thread(running.call, "GET", "faults") == []
        entries = await asyncio.to_thread(running.witness, "fault")
        assert [(entry["fault"], entry["event"]) for entry in entries] == [("link", "begins"), ("link", "ends")]


@pytest.mark.parametrize("document", EVERY, ids=lambda document: str(document["fault"]))
def test_every_fault_is_begun_by_a_post_and_ended_by_a_delete(shared: Venue, document: dict[str, Any]) -> None:
    since = shared.call("GET", "witness")["last"]
    fault = shared.call("POST", "faults", document)
    assert {name: fault[name] for name in document} == document
    assert fault["state"] == "active"
    if fault["fault"] == "close":  # over as soon as it has begun
        shared.wait_for(lambda venue: not venue.call("GET", "faults"))
    else:
        assert shared.call("GET", f"faults/{fault['id']}") == fault
        assert shared.call("DELETE", f"faults/{fault['id']}")["state"] == "over"
    told = [(entry["fault"], entry["event"]) for entry in shared.witness("fault", since=since)]
    assert told == [(fault["fault"], "begins"), (fault["fault"], "ends")]


def test_every_fault_can_stand_in_a_scenario(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yml"
    documents = [{**document, "after": 3600} for document in EVERY]
    scenario.write_text(yaml.safe_dump({"faults": documents}))
    with venue(SIMULATOR_SCENARIO=str(scenario)) as running:
        told = running.call("GET", "faults")
    state = {"state": "waiting", "played": 0}
    assert told == [{**document, "id": number, **state} for number, document in enumerate(documents, 1)]


async def test_the_faults_of_a_scenario_happen_by_themselves(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yml"
    scenario.write_text(
        "faults: [{fault: link, after: 0.5, for: 0.2, data: lost, every: 1}, {fault: reject, count: 1}]"
    )
    with venue(SIMULATOR_SCENARIO=str(scenario)) as running:
        async with connected(running.port) as client:
            await until(lambda: {1100, 1101} <= set(client.codes))
            rejected = client.placeOrder(AAPL, MarketOrder("BUY", 1))
            await until(rejected.isDone)
            assert 201 in client.codes
            await done(client.placeOrder(AAPL, MarketOrder("BUY", 1)))


async def test_an_order_made_by_hand_moves_the_account_and_belongs_to_no_connection() -> None:
    with venue() as running:
        async with connected(running.port) as client:
            order = {"symbol": "AAPL", "action": "BUY", "quantity": 7}
            placed = await asyncio.to_thread(running.call, "POST", "orders", order)
            assert (placed["client_id"], placed["status"]) == (0, "Filled")
            await until(lambda: [position.position for position in client.positions()] == [7])
            assert client.fills() == []
        resting = running.call("POST", "orders", {**order, "limit_price": 1.5})
        assert [order["perm_id"] for order in running.state()["working_orders"]] == [resting["perm_id"]]
        running.call("DELETE", f"orders/{resting['perm_id']}")
        assert running.state()["working_orders"] == []
        (entry, _) = running.witness("order")
        assert (entry["connection"], entry["client_id"], entry["quantity"]) == (None, 0, "7")
        assert running.summary()["connections"][0]["orders"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "text"),
    [
        ("POST", "faults", {"fault": "flood"}, "fault 'flood': wanted one of refuse, silent, "),
        ("GET", "faults/7", None, "fault 7: there is none, there are: none"),
        ("DELETE", "faults/x", None, "fault x: there is none, there are: none"),
        ("POST", "login", None, "login: the gateway is logged in"),
        ("POST", "restart", {"for": -1}, "fault restart: for=-1: wanted seconds, 0 or more"),
        ("POST", "orders", None, "body None: wanted an object"),
        ("POST", "orders", {"symbol": "NOPE"}, "order: 0 instruments fit 'NOPE', wanted one"),
        ("POST", "orders", {"ticker": "AAPL"}, "order: ticker: wanted some of action, con_id, "),
        ("POST", "orders", {"symbol": "AAPL", "quantity": "x"}, "order: quantity='x': wanted a number"),
        ("DELETE", "orders/1", None, "order 1: wanted the perm id of a working order"),
    ],
)
def test_a_control_call_that_cannot_be_done_says_why(
    shared: Venue, method: str, path: str, body: object, text: str
) -> None:
    with pytest.raises(ControlError) as raised:
        shared.call(method, path, body)
    assert str(raised.value).startswith(text)


@pytest.fixture(scope="module")
def shared() -> Iterator[Venue]:
    with venue() as running:
        yield running
