# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness and the control API of a simulator process: what clients did, told without them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from http import HTTPStatus
from io import FileIO
from pathlib import Path

import pytest
from ib_async import LimitOrder, MarketOrder

from gateway_simulator.control import ControlError
from gateway_simulator.witness import Witness, WitnessError, summarize
from tests.simulator.support import AAPL, connected, running, until
from tests.simulator.witness import SOURCE, Venue, venue


@pytest.fixture(scope="module")
def shared() -> Iterator[Venue]:
    with venue() as running:
        yield running


async def test_connection_order_and_fill_are_on_record_with_client_id_and_order_ref(shared: Venue) -> None:
    since = shared.call("GET", "witness")["last"]
    async with connected(shared.port, 7) as client:
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 100, orderRef="blue:1"))
        resting = client.placeOrder(AAPL, LimitOrder("BUY", 3, 1.00, orderRef="blue:2"))
        await until(lambda: trade.isDone() and resting.orderStatus.status == "Submitted")
        resting.order.lmtPrice = 1.25
        client.placeOrder(AAPL, resting.order)
        client.cancelOrder(resting.order)
        await until(resting.isDone)
    entries = await asyncio.to_thread(
        shared.wait_for, lambda venue: (got := venue.witness(since=since))[-1]["kind"] == "disconnected" and got
    )

    kinds = [entry["kind"] for entry in entries]
    assert [kind for kind in kinds if kind not in ("fill", "order_end")] == [
        "connected", "started", "order", "order", "order", "cancel", "disconnected",
    ]  # fmt: skip
    started, ended = entries[1], entries[-1]
    assert (started["client_id"], started["version"]) == (7, 178)
    assert (ended["client_id"], ended["why"]) == (7, "closed by the client")
    orders = [entry for entry in entries if entry["kind"] == "order"]
    terms = ("client_id", "order_ref", "as", "action", "quantity", "order_type", "limit_price", "symbol", "con_id")
    assert [[order[name] for name in terms] for order in orders] == [
        [7, "blue:1", "new", "BUY", "100", "MKT", None, "AAPL", 265598],
        [7, "blue:2", "new", "BUY", "3", "LMT", "1", "AAPL", 265598],
        [7, "blue:2", "modification", "BUY", "3", "LMT", "1.25", "AAPL", 265598],
    ]
    fills = [entry for entry in entries if entry["kind"] == "fill"]
    assert [(fill["order_ref"], fill["client_id"], fill["side"], fill["quantity"]) for fill in fills] == [
        ("blue:1", 7, "BOT", "50"),
        ("blue:1", 7, "BOT", "50"),
    ]
    told = [(fill.execution.execId, fill.execution.permId, fill.execution.price) for fill in trade.fills]
    assert [(fill["execution_id"], fill["perm_id"], float(fill["price"])) for fill in fills] == told
    assert [Decimal(fill["commission"]) for fill in fills] == [
        Decimal(str(fill.commissionReport.commission)) for fill in trade.fills
    ]
    ends = [(entry["order_id"], entry["status"]) for entry in entries if entry["kind"] == "order_end"]
    assert sorted(ends) == sorted([(trade.order.orderId, "Filled"), (resting.order.orderId, "Cancelled")])


async def test_a_refused_client_id_and_a_duplicate_order_id_are_on_record(shared: Venue) -> None:
    since = shared.call("GET", "witness")["last"]
    async with connected(shared.port, 8) as client:
        trade = client.placeOrder(AAPL, MarketOrder("BUY", 1, orderRef="a"))
        await until(trade.isDone)
        again = MarketOrder("BUY", 1, orderId=trade.order.orderId, orderRef="a")
        client.client.placeOrder(trade.order.orderId, AAPL, again)
        await until(lambda: 103 in client.codes)
        with pytest.raises(TimeoutError):
            async with connected(shared.port, 8):
                pass
    entries = shared.witness(since=since)
    assert [entry["as"] for entry in entries if entry["kind"] == "order"] == ["new", "duplicate"]
    assert "client id 8 is in use" in [entry["why"] for entry in entries if entry["kind"] == "disconnected"]


async def test_the_summary_tells_overlaps_gaps_and_order_refs_that_were_placed_twice() -> None:
    with venue() as running:
        async with connected(running.port, 1) as blue:
            await until(blue.placeOrder(AAPL, MarketOrder("BUY", 1, orderRef="x:1")).isDone)
            async with connected(running.port, 2) as green:
                await until(green.placeOrder(AAPL, MarketOrder("BUY", 1, orderRef="x:1")).isDone)
                await until(blue.placeOrder(AAPL, MarketOrder("BUY", 1, orderRef="x:2")).isDone)
        async with connected(running.port, 1) as after, connected(running.port, 3):
            await until(after.placeOrder(AAPL, MarketOrder("SELL", 1, orderRef="x:3")).isDone)
        running.wait_for(lambda venue: len(venue.witness("disconnected")) == 4)
        summary = running.summary()

    assert [(each["client_id"], each["orders"]) for each in summary["connections"]] == [(1, 2), (2, 1), (1, 1), (3, 0)]
    assert [(each["client_ids"], each["interleaved"]) for each in summary["overlaps"]] == [([1, 2], True)]
    assert [each["client_ids"] for each in summary["gaps"]] == [[1, 2], [2, 1]]
    assert summary["gaps"][1]["seconds"] > 0 > summary["gaps"][0]["seconds"]
    assert list(summary["repeated_order_refs"]) == ["x:1"]
    assert [client for client, _ in summary["repeated_order_refs"]["x:1"]] == [1, 2]
    assert summary["counts"]["fill"] == 4


async def test_a_kill_forgets_nothing(tmp_path: Path) -> None:
    with venue(SIMULATOR_STATE=str(tmp_path / "state.json")) as running:
        async with connected(running.port) as client:
            await until(client.placeOrder(AAPL, MarketOrder("BUY", 1)).isDone)
            before = running.witness()
            running.kill()
            await until(lambda: not client.isConnected())
        running.start()
        after = running.witness()
        assert after[: len(before)] == before
        assert [entry["kind"] for entry in after[len(before) :]] == ["simulator"]
        (connection,) = running.summary()["connections"]
        assert connection["why"] == "the simulator ended"
        async with connected(running.port):
            assert running.witness("connected")[-1]["connection"] == 2
    lines = (tmp_path / "state.witness.jsonl").read_text().splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_line_that_a_kill_left_unfinished_is_dropped_and_a_damaged_record_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "witness.jsonl"
    witness = Witness(path)
    witness.record("simulator", event="started")
    witness.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"sequence": 2, "ti')
    witness = Witness(path)
    witness.close()
    assert path.read_bytes() == whole
    path.write_bytes(b"{}\n" + whole)
    with pytest.raises(WitnessError) as raised:
        Witness(path)
    assert str(raised.value).startswith(f"{path}: line 1 cannot be read (KeyError('kind')); move it away")
    assert path.read_bytes() == b"{}\n" + whole


async def test_a_fill_that_was_saved_but_not_yet_on_record_is_on_record_after_a_restart(tmp_path: Path) -> None:
    state, record = tmp_path / "state.json", tmp_path / "state.witness.jsonl"
    async with running(state) as simulator, connected(simulator.port) as client:
        await until(client.placeOrder(AAPL, MarketOrder("BUY", 1, orderRef="a")).isDone)
    # What a kill leaves between the broker's books and the record.
    lines = record.read_text().splitlines(keepends=True)
    kinds = [json.loads(line)["kind"] for line in lines]
    record.write_text("".join(lines[: kinds.index("fill")]))
    for _ in range(2):
        async with running(state) as simulator:
            fills = [entry for entry in simulator.witness.entries if entry["kind"] == "fill"]
            assert [(fill["order_ref"], fill["quantity"]) for fill in fills] == [("a", "1")]


def test_an_entry_that_does_not_fit_the_disk_leaves_the_record_whole(tmp_path: Path) -> None:
    class Full(FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            return super().write(data[:7])

    witness = Witness(tmp_path / "witness.jsonl")
    witness.record("simulator", event="started")
    whole = (tmp_path / "witness.jsonl").read_bytes()
    witness._file = Full(tmp_path / "witness.jsonl", "ab")
    with pytest.raises(WitnessError, match="cannot be written"):
        witness.record("simulator", event="stopped")
    assert (tmp_path / "witness.jsonl").read_bytes() == whole


def test_an_order_that_is_only_asked_about_is_new_when_it_is_placed() -> None:
    witness = Witness()
    for what_if in (True, False, False):
        witness.order(1, 7, 12, what_if=what_if)
    assert [entry["as"] for entry in witness.entries] == ["new", "new", "modification"]


def test_an_empty_record_has_an_empty_summary() -> None:
    assert summarize([]) == {"connections": [], "overlaps": [], "gaps": [], "repeated_order_refs": {}, "counts": {}}


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "nowhere", 404, "/nowhere: no such path, wanted one of "),
        ("GET", "witness/all", 400, "/witness/all: no such path, wanted /witness or /witness/summary"),
        ("POST", "witness", 405, "POST /witness: wanted GET"),
        ("GET", "witness?since=x", 400, "since='x': wanted the sequence number of an entry, or 0"),
    ],
)
def test_a_call_that_cannot_be_done_says_why(shared: Venue, method: str, path: str, status: int, text: str) -> None:
    with pytest.raises(ControlError) as raised:
        shared.call(method, path)
    assert raised.value.status is HTTPStatus(status)
    assert str(raised.value).startswith(text)


def test_the_calls_can_be_made_by_a_command_beside_the_simulator(shared: Venue) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gateway_simulator.control", *arguments]
        environment = os.environ | {"PYTHONPATH": str(SOURCE), "SIMULATOR_CONTROL_PORT": str(shared.control_port)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)

    done = run("get", "state")
    assert (done.returncode, json.loads(done.stdout)["account"]) == (0, "DU1234567")
    refused = run("get", "nowhere")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("/nowhere: no such path")


@pytest.mark.parametrize(
    ("request_bytes", "status", "text"),
    [
        (b"\x00\xff\r\n\r\n", 400, "Bad request syntax"),
        (b"PATCH /faults HTTP/1.1\r\n\r\n", 501, "Unsupported method ('PATCH')"),
        (b'POST /faults HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"fault":', 400, "body b'{\"fault\":': wanted JSON"),
        (b"POST /faults HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length '-1': wanted 0 to 1048576"),
        (b"POST /faults HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 400, "Content-Length '9999999': wanted 0 to "),
        (b"GET http://[/ HTTP/1.1\r\n\r\n", 400, "'http://[/': wanted a path"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414, ""),
    ],
)
def test_what_is_no_call_is_refused_in_json(shared: Venue, request_bytes: bytes, status: int, text: str) -> None:
    with socket.create_connection(("127.0.0.1", shared.control_port), timeout=10) as connection:
        connection.sendall(request_bytes)
        answer = b""
        while b"\n" not in answer.partition(b"\r\n\r\n")[2]:
            more = connection.recv(65536)
            assert more, answer
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"%d" % status
    assert json.loads(body)["error"].startswith(text)
    assert shared.state()["account"] == "DU1234567"
    assert "Traceback" not in shared.text()
