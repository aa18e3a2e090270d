# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The link against the venue: what it says of the session, what it does about it, and how orders come to the venue."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from ib_async import CommissionReport, Contract, Fill, Order, OrderStatus, Trade
from ib_async import Execution as IbExecution

from gateway_simulator.server import Simulator
from reference_engine.config import LinkSettings
from reference_engine.gateway import GatewayAddress, IbLink, SessionState, _execution, _order_report
from reference_engine.ib import UNSET, IbSession
from reference_engine.model import AccountValues, Execution, Instrument, OrderReport, OrderRequest, Position, Tick
from reference_engine.pacing import Backoff, Pacer
from tests.engine.support import ACCOUNT, NOON
from tests.engine.support import eventually as soon
from tests.simulator import support

HASTY = LinkSettings(
    connect_timeout_seconds=0.5,
    request_timeout_seconds=0.3,
    heartbeat_seconds=0.1,
    backoff_first_seconds=0.02,
    backoff_limit_seconds=0.05,
    login_wait_seconds=0.1,
    attempts_per_minute=1000,
)
APPLE = Instrument("AAPL")


async def eventually(condition: Callable[[], bool]) -> None:
    await soon(condition, 15.0)


class Told:
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.states: list[tuple[SessionState, str]] = []
        self.sessions = 0
        self.ticks: list[Tick] = []
        self.orders: list[OrderReport] = []
        self.refused: list[tuple[str, int, str]] = []
        self.executions: list[Execution] = []
        self.commissions: list[Execution] = []
        self.positions: list[Position] = []
        self.values = AccountValues()

    def on_state(self, state: SessionState, reason: str) -> None:
        self.states.append((state, reason))

    def on_session(self) -> None:
        self.sessions += 1

    def on_tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def on_order(self, report: OrderReport) -> None:
        self.orders.append(report)

    def on_refused(self, order_ref: str, code: int, text: str) -> None:
        self.refused.append((order_ref, code, text))

    def on_execution(self, execution: Execution) -> None:
        self.executions.append(execution)

    def on_commission(self, execution: Execution) -> None:
        self.commissions.append(execution)

    def on_position(self, position: Position) -> None:
        self.positions.append(position)

    def on_account(self, values: AccountValues) -> None:
        self.values = values

    def status(self, order_ref: str) -> str:
        return next((report.status for report in reversed(self.orders) if report.order_ref == order_ref), "")


class World:
    """A venue and a link to it."""

    def __init__(self, simulator: Simulator, link: IbLink, told: Told) -> None:
        self.simulator, self.link, self.told = simulator, link, told

    def fault(self, name: str, **parameters: object) -> Any:
        return self.simulator.faults.add({"fault": name, **parameters})

    def end(self, fault: Any) -> None:
        self.simulator.faults.remove(fault)

    async def until(self, state: SessionState) -> str:
        """Wait for a state of the session; return its reason."""
        await eventually(lambda: self.link.state == state)
        return self.link.reason

    async def place(self, order_ref: str, request: OrderRequest) -> None:
        known = await self.link.subscribe(request.instrument)
        self.link.place(order_ref, self.link.next_order_id(), replace(request, instrument=known))

    def entries(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in self.simulator.witness.entries if entry["kind"] == kind]


@contextlib.asynccontextmanager
async def linked(settings: LinkSettings = HASTY) -> AsyncIterator[World]:
    async with support.running() as simulator:
        link, told = IbLink(GatewayAddress("127.0.0.1", simulator.port), 1, ACCOUNT, settings), Told()
        running = asyncio.create_task(link.run(told))
        try:
            world = World(simulator, link, told)
            await world.until("ready")
            yield world
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


# -- the session's states


async def test_gateway_that_refuses_connections_is_unreachable_and_found_again() -> None:
    async with linked() as world:
        fault = world.fault("refuse")
        world.fault("close")
        await eventually(lambda: "nothing accepts connections" in world.link.reason)
        assert world.link.state == "unreachable"
        world.end(fault)
        await world.until("ready")
        assert world.told.sessions == 2


async def test_gateway_that_accepts_and_is_silent_does_not_speak_the_api() -> None:
    async with linked() as world:
        fault = world.fault("silent", **{"from": "handshake"})
        world.fault("close")
        assert "does not speak the IB API" in await world.until("no_handshake")
        world.end(fault)
        await world.until("ready")


async def test_gateway_that_waits_for_a_log_in_is_told_from_one_that_is_down() -> None:
    async with linked() as world:
        fault = world.fault("logout")
        assert "is it logged in?" in await world.until("not_logged_in")
        world.end(fault)
        await world.until("ready")


async def test_client_id_of_another_is_told() -> None:
    async with linked() as world:
        other = IbLink(GatewayAddress("127.0.0.1", world.simulator.port), 1, ACCOUNT, HASTY)
        running = asyncio.create_task(other.run(Told()))
        await eventually(lambda: other.state == "client_id_in_use")
        assert "refuses client id 1" in other.reason
        assert world.link.state == "ready"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_gateway_that_falls_silent_in_mid_session_is_left() -> None:
    async with linked() as world:
        fault = world.fault("silent", **{"from": "now"})
        await eventually(lambda: world.link.state != "ready")
        world.end(fault)
        await world.until("ready")
        assert world.told.sessions == 2


@pytest.mark.parametrize("how", ["clean", "mid-frame", "reset"])
async def test_connection_that_ends_in_any_way_is_made_again_with_its_subscriptions_asked_for(how: str) -> None:
    async with linked() as world:
        await world.link.subscribe(APPLE)
        await eventually(lambda: bool(world.told.ticks))
        world.fault("close", how=how)
        await eventually(lambda: world.told.sessions == 2)
        await world.until("ready")
        world.told.ticks.clear()
        await world.link.subscribe(APPLE)
        await eventually(lambda: bool(world.told.ticks))


@pytest.mark.parametrize("data", ["maintained", "lost"])
async def test_broker_that_is_lost_is_known_while_the_socket_stays_open(data: str) -> None:
    async with linked() as world:
        await world.link.subscribe(APPLE)
        fault = world.fault("link", data=data)
        assert "1100" in await world.until("broker_link_lost")
        world.told.ticks.clear()
        world.end(fault)
        await world.until("ready")
        assert (world.link.sessions, world.told.sessions) == (1, 2), "the same connection, and everything is asked anew"
        await eventually(lambda: bool(world.told.ticks))


async def test_broken_market_data_farm_makes_the_data_stale_with_a_reason() -> None:
    async with linked() as world:
        fault = world.fault("farm", farm="market")
        assert (await world.until("data_stale")).startswith("2103: ")
        world.end(fault)
        await world.until("ready")
        assert world.told.sessions == 1


async def test_broken_history_farm_is_no_reason_not_to_trade_on_live_ticks() -> None:
    async with linked() as world:
        await world.link.subscribe(APPLE)
        world.fault("farm", farm="history")
        await eventually(lambda: world.link.codes[2105] == 1)
        seen = len(world.told.ticks)
        await eventually(lambda: len(world.told.ticks) > seen)
        assert world.link.state == "ready"
        await world.place("dev-main:1", OrderRequest(APPLE, "BUY", 1))
        await eventually(lambda: len(world.entries("order")) == 1)


@pytest.mark.parametrize(
    ("name", "state", "code"), [("link", "broker_link_lost", "2110"), ("farm", "data_stale", "2103")]
)
async def test_session_that_begins_without_the_broker_or_its_data_says_so(
    name: str, state: SessionState, code: str
) -> None:
    async with linked() as world:
        fault = world.fault(name)
        world.fault("close")
        await eventually(lambda: world.told.sessions >= 2)
        assert code in await world.until(state)
        world.end(fault)
        await world.until("ready")


async def test_socket_that_the_gateway_resets_is_left_for_a_new_session() -> None:
    async with linked() as world:
        world.simulator.notify(1300, "TWS socket port has been reset and this connection is being dropped.")
        await eventually(lambda: world.told.sessions == 2)
        await world.until("ready")
        assert world.link.sessions == 2


async def test_clock_of_the_gateway_is_compared() -> None:
    async with linked() as world:
        world.fault("clock_skew", seconds=3600)
        await eventually(lambda: (world.link.clock_skew_seconds or 0) > 3590)
        assert world.link.state == "ready"


# -- knocking


async def test_no_storm_of_attempts_however_long_the_gateway_is_away() -> None:
    limited = replace(HASTY, attempts_per_minute=5)
    async with linked(limited) as world:
        world.fault("refuse")
        world.fault("close")
        await eventually(lambda: world.link.attempts == 5)
        await asyncio.sleep(0.5)  # ten times the ceiling of the pauses
        assert world.link.attempts == 5


@pytest.mark.parametrize(("steady_seconds", "ceilings"), [(0.0, [0.02, 0.02, 0.02]), (60.0, [0.02, 0.04, 0.08])])
async def test_pauses_begin_short_again_only_after_a_session_that_lasted(
    monkeypatch: pytest.MonkeyPatch, steady_seconds: float, ceilings: list[float]
) -> None:
    asked: list[float] = []

    def at_once(low: float, high: float) -> float:
        asked.append(high)
        return low

    monkeypatch.setattr("reference_engine.gateway._STEADY_SECONDS", steady_seconds)
    monkeypatch.setattr("reference_engine.pacing.random.uniform", at_once)
    async with linked(replace(HASTY, backoff_limit_seconds=10.0)) as world:
        for sessions in (2, 3, 4):
            world.fault("close")
            await eventually(lambda sessions=sessions: world.told.sessions == sessions)  # type: ignore[misc]
    assert asked[:3] == ceilings


async def test_port_that_opens_is_noticed_long_before_the_pause_is_over() -> None:
    patient = replace(HASTY, backoff_first_seconds=1000.0, backoff_limit_seconds=1000.0)
    async with support.running() as simulator:
        fault = simulator.faults.add({"fault": "refuse"})
        link, told = IbLink(GatewayAddress("127.0.0.1", simulator.port), 1, ACCOUNT, patient), Told()
        running = asyncio.create_task(link.run(told))
        try:
            await eventually(lambda: bool(told.states))
            assert told.states[0][0] == "unreachable"
            simulator.faults.remove(fault)
            await eventually(lambda: link.state == "ready")
            assert link.attempts == 2
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_port_that_opens_is_not_tried_before_the_limit_of_a_minute_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []

    def least(backoff: Backoff) -> float:
        asked.append(really_least(backoff))
        return asked[-1]

    really_least = Backoff.least
    monkeypatch.setattr(Backoff, "least", least)
    monkeypatch.setattr("reference_engine.gateway._KNOCK_SECONDS", 0.02)
    async with linked(replace(HASTY, attempts_per_minute=3)) as world:
        fault = world.fault("refuse")
        world.fault("close")
        # The third attempt has failed when the limit keeps it from knocking.
        await eventually(lambda: len(asked) > 5 and min(asked[-3:]) > 0)
        world.end(fault)
        looked = len(asked)
        await eventually(lambda: len(asked) > looked + 10)
        assert (world.link.attempts, world.link.state) == (3, "unreachable")


async def test_log_in_is_asked_for_rarely() -> None:
    patient = replace(HASTY, login_wait_seconds=3600.0, backoff_first_seconds=1000.0)
    async with linked(patient) as world:
        world.fault("logout")
        await world.until("not_logged_in")
        attempts = world.link.attempts
        await asyncio.sleep(0.3)  # six times the ceiling for a gateway that is down
        assert world.link.attempts == attempts


# -- pacing


async def test_orders_leave_before_data_requests_and_the_gateway_never_complains() -> None:
    async with linked(replace(HASTY, heartbeat_seconds=10.0)) as world, asyncio.timeout(30):
        known = await world.link.subscribe(APPLE)
        ib = world.link._session_or_fail
        asked = [asyncio.ensure_future(ib.reqContractDetailsAsync(Contract(conId=known.con_id))) for _ in range(120)]
        assert world.link.order_wait() < 0.1
        for number in range(5):
            request = OrderRequest(known, "BUY", 1, "LMT", 1.0)
            world.link.place(f"order {number}", world.link.next_order_id(), request)
        assert world.link.order_wait() > 0, "the engine is told to wait before it writes one more intent"
        await eventually(lambda: len(world.entries("order")) == 5)
        assert sum(request.done() for request in asked) < 60, "most of the data requests still wait"
        await asyncio.gather(*asked)
        assert (world.link.codes[100], world.link.sessions) == (0, 1)


async def test_pace_is_the_one_that_is_configured() -> None:
    slow = replace(HASTY, messages_per_second=5, heartbeat_seconds=10.0, request_timeout_seconds=10.0)
    async with linked(slow) as world:
        known = await world.link.subscribe(APPLE)
        for number in range(8):
            request = OrderRequest(known, "BUY", 1, "LMT", 1.0)
            world.link.place(f"order {number}", world.link.next_order_id(), request)
        assert world.link.order_wait() > 0.5, "at 45 a second it would be less than 0.2"


# -- orders


@pytest.mark.parametrize(
    ("request_", "terms"),
    [
        (OrderRequest(APPLE, "BUY", 1, "LMT", 1.0), {"order_type": "LMT", "limit_price": "1"}),
        (OrderRequest(APPLE, "SELL", 1, "STP", stop_price=1.0), {"order_type": "STP", "aux_price": "1"}),
        (
            OrderRequest(APPLE, "SELL", 1, "STP LMT", limit_price=1.0, stop_price=1.5),
            {"order_type": "STP LMT", "limit_price": "1", "aux_price": "1.5"},
        ),
        (
            OrderRequest(APPLE, "SELL", 1, "TRAIL", trail_amount=50.0),
            {"order_type": "TRAIL", "aux_price": "50"},
        ),
        (OrderRequest(APPLE, "SELL", 1, "TRAIL", trail_percent=20.0), {"order_type": "TRAIL"}),
    ],
)
async def test_order_of_each_type_comes_to_the_venue_as_it_was_wished(
    request_: OrderRequest, terms: dict[str, str]
) -> None:
    async with linked() as world:
        await world.place("dev-main:1", request_)
        await eventually(lambda: world.told.status("dev-main:1") in ("PreSubmitted", "Submitted"))
        (entry,) = world.entries("order")
        assert entry["order_ref"] == "dev-main:1"
        assert {name: entry[name] for name in terms} == terms


async def test_working_order_is_changed_and_cancelled_and_the_venue_has_one() -> None:
    async with linked() as world:
        await world.place("dev-main:1", OrderRequest(APPLE, "BUY", 1, "LMT", 1.0))
        await eventually(lambda: world.told.status("dev-main:1") == "Submitted")
        known = await world.link.subscribe(APPLE)
        assert world.link.change("dev-main:1", OrderRequest(known, "BUY", 3, "LMT", 2.0))
        await eventually(lambda: (world.told.orders[-1].quantity, world.told.orders[-1].limit_price) == (3.0, 2.0))
        assert world.link.cancel("dev-main:1")
        await eventually(lambda: world.told.status("dev-main:1") == "Cancelled")
        assert [entry["as"] for entry in world.entries("order")] == ["new", "modification"]
        assert world.link.change("dev-main:1", OrderRequest(known, "BUY", 3, "LMT", 2.0)) is False
        assert world.link.cancel("dev-main:1") is False


async def test_correction_of_a_fill_is_told_as_a_fill_of_its_own_id() -> None:
    async with linked() as world:
        world.fault("correct_execution", ticks=2)
        await world.place("dev-main:1", OrderRequest(APPLE, "BUY", 1))
        await eventually(lambda: len(world.told.executions) == 2)
        first, second = world.told.executions
        assert (first.exec_id[:-2], first.exec_id[-2:], second.exec_id[-2:]) == (second.exec_id[:-2], "01", "02")
        assert first.price != second.price


async def test_fill_that_is_told_twice_is_told_on_once() -> None:
    async with linked() as world:
        fault = world.fault("duplicate_execution")
        await world.place("dev-main:1", OrderRequest(APPLE, "BUY", 1))
        await eventually(lambda: fault.played > 0 and bool(world.told.commissions))
        snapshot = await world.link.snapshot(["dev-main:1"])
        assert len(world.told.executions) == len(snapshot.executions) == 1


async def test_account_is_told_what_it_is_worth() -> None:
    async with linked() as world:
        await eventually(lambda: world.told.values.net_liquidation == 1_000_000 and world.told.values.daily_pnl == 0)
        assert world.told.values.currency == "USD"
        await world.place("dev-main:1", OrderRequest(APPLE, "BUY", 100))
        await eventually(lambda: world.told.values.unrealized_pnl not in (None, 0.0))


# -- what the library would make of it


def acknowledged(status: str = "Submitted") -> tuple[IbSession, Trade, list[tuple[int, str]]]:
    """Return a session with an order that the broker has, and what its wishes were refused with."""
    refused: list[tuple[int, str]] = []
    ib = IbSession(Pacer(45), lambda _, code, text: refused.append((code, text)), lambda _: None)
    ib.wrapper.clientId, ib.wrapper.lastTime = 1, NOON
    order = Order(
        orderId=1, clientId=1, permId=900, orderRef="dev-main:1", orderType="LMT", totalQuantity=5, lmtPrice=9
    )
    trade = Trade(Contract(), order, OrderStatus(orderId=1, status=status), [], [])
    ib.wrapper.trades[1, 1] = trade
    return ib, trade, refused


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (161, "Cancel attempted when order is not in a cancellable state"),
        (10147, "OrderId 1 that needs to be cancelled is not found"),
        (10148, "OrderId 1 that needs to be cancelled cannot be cancelled, state: Submitted"),
        (201, "Order rejected - reason: the change is too large"),
        (329, "Order modify failed. Cannot change to the new order type"),
    ],
)
async def test_refused_cancel_or_change_leaves_the_order_as_the_broker_has_it(code: int, text: str) -> None:
    ib, trade, refused = acknowledged()
    ib.wrapper.error(1, code, text, "")
    assert (trade.orderStatus.status, refused) == ("Submitted", [(code, text)])
    report = _order_report(trade)
    assert (report.status, report.error_code, report.message) == ("Submitted", 0, f"{code}: {text}")
    ib.wrapper.orderStatus(1, "Cancelled", 0, 5, 0.0, 900, 0, 0.0, 1, "")
    assert _order_report(trade).error_code == 0, "that is not why it ended"


async def test_warning_about_a_working_order_leaves_its_status() -> None:
    ib, trade, refused = acknowledged("PreSubmitted")
    ib.wrapper.error(1, 399, "Order Message: your order will not be placed at the exchange until 09:30", "")
    assert (trade.orderStatus.status, refused) == ("PreSubmitted", [])


async def test_order_that_the_broker_never_had_is_ended_by_an_error() -> None:
    ib, trade, refused = acknowledged("PendingSubmit")
    trade.order.permId = 0
    ib.wrapper.error(1, 201, "Order rejected - reason: no margin", "")
    assert (_order_report(trade).status, _order_report(trade).error_code, refused) == ("Cancelled", 201, [])


@pytest.mark.parametrize(("told", "kept"), [(UNSET, None), (0.0, 0.0), (-1.5, -1.5)])
async def test_profit_that_the_broker_does_not_name_is_none(told: float, kept: float | None) -> None:
    ib, trade, _ = acknowledged()
    execution = IbExecution(execId="e1", permId=900, shares=1, side="BOT", acctNumber=ACCOUNT, time=NOON)
    ib.wrapper.permId2Trade[900] = trade
    ib.wrapper.fills["e1"] = fill = Fill(Contract(conId=1), execution, CommissionReport(), NOON)
    ib.wrapper.commissionReport(CommissionReport(execId="e1", commission=1.0, currency="USD", realizedPNL=told))
    assert _execution(fill).realized_pnl == kept
    assert not math.isnan(_execution(fill).commission or 0.0)
