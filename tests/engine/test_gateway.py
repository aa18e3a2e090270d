# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a snapshot of the broker's word contains, and what it must not take for the broker's word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from ib_async import IB, CommissionReport, Contract, Execution, Fill, Order, OrderStatus, Trade

from gateway_simulator.wire import frame, read_frame
from reference_engine.config import LinkSettings
from reference_engine.gateway import GatewayAddress, IbLink, QuietListener, _order_report
from tests.engine.support import ACCOUNT, NOON, eventually


class FakeIb:
    """The part of the library that a snapshot uses. ``meanwhile`` happens while executions are asked for."""

    def __init__(self, *trades: Trade, listed: tuple[Trade, ...] = ()) -> None:
        self._trades = list(trades)
        self._listed = list(listed)
        self.asked_for_executions = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def isConnected(self) -> bool:  # noqa: N802 the library's name
        return True

    def trades(self) -> list[Trade]:
        return self._trades

    def openTrades(self) -> list[Trade]:  # noqa: N802 the library's name
        return [trade for trade in self._trades if not trade.isDone()]

    async def reqOpenOrdersAsync(self) -> list[Trade]:  # noqa: N802 the library's name
        return self._listed

    async def reqExecutionsAsync(self) -> None:  # noqa: N802 the library's name
        self.asked_for_executions += 1
        self.meanwhile()

    async def reqCompletedOrdersAsync(self, api_only: bool) -> list[Trade]:  # noqa: ARG002, N802
        return []

    async def reqPositionsAsync(self) -> None:  # noqa: N802 the library's name
        pass

    def fills(self) -> list[object]:
        return []

    def positions(self, account: str) -> list[object]:  # noqa: ARG002 the library's interface
        return []


def trade(status: str, perm_id: int = 0) -> Trade:
    order = Order(orderId=1, clientId=1, permId=perm_id, orderRef="dev-main:1")
    return Trade(Contract(), order, OrderStatus(orderId=1, status=status), [], [])


def link_to(ib: FakeIb, monkeypatch: pytest.MonkeyPatch) -> IbLink:
    link = IbLink(GatewayAddress("127.0.0.1", 4004), 1, ACCOUNT)
    monkeypatch.setattr(link, "_ib", ib)
    return link


@pytest.mark.parametrize(
    ("status", "perm_id", "listed", "told"),
    [
        ("PendingSubmit", 0, False, False),
        ("ValidationError", 0, False, False),
        ("PendingSubmit", 0, True, True),
        ("Submitted", 900, True, True),
        ("Submitted", 900, False, False),
        ("Cancelled", 0, False, True),
    ],
)
async def test_snapshot_has_only_orders_that_the_broker_vouches_for(
    monkeypatch: pytest.MonkeyPatch, status: str, perm_id: int, listed: bool, told: bool
) -> None:
    known = trade(status, perm_id)
    link = link_to(FakeIb(known, listed=(known,) if listed else ()), monkeypatch)
    snapshot = await link.snapshot(["dev-main:1"])
    assert [report.order_ref for report in snapshot.orders] == ["dev-main:1"] * told


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        (399, "Order Message: your order will not be placed at the exchange until 09:30", ("Cancelled", 0)),
        (201, "Order rejected - reason:margin", ("Cancelled", 201)),
    ],
)
def test_warning_of_the_broker_is_not_why_an_order_ended_later(code: int, text: str, told: tuple[str, int]) -> None:
    ib = IB()
    ib.wrapper.clientId, ib.wrapper.lastTime = 1, NOON
    working = trade("Submitted", 900)
    ib.wrapper.trades[1, 1] = working
    ib.wrapper.error(1, code, text, "")
    ib.wrapper.orderStatus(1, "Cancelled", 0, 5, 0.0, 900, 0, 0.0, 1, "")
    report = _order_report(working)
    assert (report.status, report.error_code) == told
    assert text in report.message


async def test_gateway_that_hangs_up_as_soon_as_a_session_is_made_is_tried_again() -> None:
    sessions = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sessions
        await reader.readexactly(4)
        # What comes after the client's versions, startApi and reqPositions.
        for answer in (frame(178, "20261123 12:00:00 GMT"), frame(15, 1, ACCOUNT) + frame(9, 1, 1), frame(62, 1)):
            await read_frame(reader)
            writer.write(answer)
        # A turn of the event loop later each time, so that the end comes at every step of the client's.
        for _ in range(sessions % 8):
            await asyncio.sleep(0)
        sessions += 1
        writer.close()

    settings = LinkSettings(backoff_first_seconds=0.01, backoff_limit_seconds=0.01, attempts_per_minute=1000)
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        link = IbLink(GatewayAddress("127.0.0.1", port), 1, ACCOUNT, settings)
        running = asyncio.create_task(link.run(QuietListener()))
        await eventually(lambda: sessions >= 16 or running.done())
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_executions_are_asked_for_again_when_the_broker_was_away_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ib = FakeIb()
    link = link_to(ib, monkeypatch)
    monkeypatch.setattr(link, "_listener", QuietListener())

    def leave_and_return() -> None:
        link._on_error(-1, 1100, "gone", None)
        link._on_error(-1, 1102, "back", None)

    ib.meanwhile = leave_and_return
    await link.snapshot([])
    ib.meanwhile = lambda: None
    await link.snapshot([])
    await link.snapshot([])
    assert ib.asked_for_executions == 2


def test_old_fill_is_remembered_until_its_commission_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    ib = IB()
    link = IbLink(GatewayAddress("127.0.0.1", 4004), 1, ACCOUNT)
    monkeypatch.setattr(link, "_ib", ib)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    ib.wrapper.fills["e1"] = Fill(Contract(), Execution(execId="e1"), CommissionReport(), long_ago)
    link.forget_finished()
    ib.wrapper.commissionReport(CommissionReport(execId="e1", commission=1.25))
    assert [fill.commissionReport.commission for fill in ib.fills()] == [1.25]
    link.forget_finished()
    assert ib.fills() == []


@pytest.mark.parametrize(("request_id", "told"), [(4, ["gateway_message"]), (-1, [])])
def test_broker_that_refuses_a_request_is_heard_at_the_usual_log_level(
    caplog: pytest.LogCaptureFixture, request_id: int, told: list[str]
) -> None:
    link = IbLink(GatewayAddress("127.0.0.1", 4004), 1, ACCOUNT)
    with caplog.at_level("INFO", "reference_engine"):
        link._on_error(request_id, 354, "Requested market data is not subscribed", None)
    assert caplog.messages == told
