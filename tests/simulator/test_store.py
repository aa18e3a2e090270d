# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state on disk: whole after any kill, as large as what is kept, and as quick as what changes."""

from __future__ import annotations

import json
import resource
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_simulator.store import StateError, Store
from tests.simulator.exchange import AAPL, Exchange


def reopened(path: Path, account: str = "DU1") -> dict[str, Any] | None:
    store = Store(path, account)
    try:
        return store.load()
    finally:
        store.close()


def test_nothing_was_saved_before_the_first_change(tmp_path: Path) -> None:
    assert reopened(tmp_path / "state.json") is None


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), st.integers())), max_size=20))
def test_the_latest_of_every_record_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, changes: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    store = Store(path, "DU1")
    wanted: dict[str, Any] = {}
    for change in changes:
        store.save(change)
        wanted |= change
    store.close()
    assert (reopened(path) or {}) == {key: value for key, value in wanted.items() if value is not None}


def test_a_change_that_was_cut_short_is_dropped_whole_and_the_file_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    store = Store(path, "DU1")
    store.save({"a": 1})
    store.save({"b": 2})
    store.save({"a": 3, "b": 4, "c": "ü"})
    store.close()
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for length in range(last, len(whole)):
        path.write_bytes(whole[:length])
        assert reopened(path) == {"a": 1, "b": 2}
    assert [record.message for record in caplog.records] == ["half-written change dropped"] * (len(whole) - last - 1)
    path.write_bytes(whole)
    assert reopened(path) == {"a": 3, "b": 4, "c": "ü"}


def test_the_file_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway_simulator.store.COMPACT_FROM", 100)
    path = tmp_path / "state.json"
    store = Store(path, "DU1")
    for number in range(10_000):
        store.save({"a": number, f"b{number % 10}": number})
    store.close()
    assert path.stat().st_size < 5_000
    assert reopened(path) == {"a": 9_999, **{f"b{digit}": 9_990 + digit for digit in range(10)}}
    assert list(tmp_path.iterdir()) == [path]


SCHEMA_1_ORDER = {
    "client_id": 1, "con_id": 265598, "exchange": "SMART", "action": "BUY", "quantity": 10, "order_type": "MKT",
    "limit_price": None, "tif": "DAY", "open_close": "O", "origin": 0, "outside_rth": False, "hidden": False,
    "placed_at": "2026-11-23T15:00:00Z", "status": "Filled", "filled": 10, "filled_value": "2300.10",
    "last_fill_price": "230.01", "commission": "1.00", "order_id": 1, "perm_id": 1_000_000_001, "order_ref": "ref:1",
}  # fmt: skip
SCHEMA_1 = {
    "schema": 1, "account": "DU1", "cash": "997698.90", "next_perm_id": 1_000_000_003, "next_execution": 2,
    "last_order_id": {"1": 2},
    "positions": [{"con_id": 265598, "quantity": 10, "cost": "2301.10", "realized": "0.00"}],
    "orders": [
        SCHEMA_1_ORDER,
        {**SCHEMA_1_ORDER, "order_id": 2, "perm_id": 1_000_000_002, "order_ref": "ref:2", "status": "Submitted",
         "order_type": "LMT", "limit_price": "229.00", "filled": 0, "filled_value": "0", "last_fill_price": "0",
         "commission": "0.00"},
    ],
    "executions": [
        {"execution_id": "20261123.00000001.01.01", "client_id": 1, "order_id": 1, "perm_id": 1_000_000_001,
         "con_id": 265598, "exchange": "NASDAQ", "side": "BOT", "quantity": 10, "price": "230.01",
         "cumulative_quantity": 10, "average_price": "230.01", "order_ref": "ref:1", "time": "2026-11-23T15:00:00Z",
         "commission": "1.00", "realized": None}
    ],
}  # fmt: skip


def test_a_state_of_the_first_schema_is_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(SCHEMA_1))
    exchange = Exchange()
    exchange.broker.restore_state(reopened(path) or {})
    assert [record.message for record in caplog.records] == ["state of an earlier schema taken over"]
    assert exchange.broker.cash == Decimal("997698.90")
    valuation = exchange.broker.valuation()
    assert (valuation.net_liquidation, valuation.unrealized) == (Decimal("999998.90"), Decimal("-1.10"))
    assert exchange.broker.executions[0].price == Decimal("230.01")
    assert exchange.status(1, 2) == ["Filled", "Submitted"]
    exchange.tick(AAPL, -101)
    assert (exchange.status(2), exchange.broker.next_order_id) == (["Filled"], 3)
    assert json.loads(path.read_bytes().partition(b"\n")[0]) == {"schema": 2, "account": "DU1"}
    assert reopened(path) is not None


def test_a_full_disk_is_an_error_that_leaves_the_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    store = Store(path, "DU1")
    store.save({"a": 1})
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
    try:
        for key in "bc":  # the first is cut short in the journal, the second in the file that is written anew
            with pytest.raises(StateError, match=rf"{path}: cannot be written \(.*\)"):
                store.save({key: "x" * 50})
            assert path.read_bytes() == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [path]
    store.save({"d": 4})
    store.close()
    assert reopened(path) == {"a": 1, "b": "x" * 50, "c": "x" * 50, "d": 4}


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"schema": 2, "account": "DU1"}\n{"a": 1}\n{"b"\n{"c": 3}\n')
    with pytest.raises(StateError, match=r"line 3 cannot be read .*; move it away to start afresh"):
        reopened(path)
    with pytest.raises(StateError, match="it belongs to account DU1, wanted DU2"):
        reopened(path, "DU2")


def test_a_broker_is_the_same_after_any_change_from_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    exchange = Exchange()
    store = Store(path, "DU1")
    store.save(exchange.broker.to_state())
    for order_id in range(1, 40):
        match order_id % 4:
            case 0:
                exchange.place(order_id, "BUY", 150)
            case 1:
                exchange.place(order_id, "SELL", 10, order_type="TRAIL", aux_price="0.05", oca_group="g")
            case 2:
                exchange.broker.cancel(1, order_id - 1)
            case 3:
                exchange.place(order_id, "BUY", 5, "229.95", tif="GTC")
        exchange.tick(AAPL, order_id % 7 - 3)
        store.save(exchange.broker.changes())
        # As a reader finds it at this moment.
        copy = tmp_path / "copy.json"
        copy.write_bytes(path.read_bytes())
        assert reopened(copy) == json.loads(json.dumps(exchange.broker.to_state()))
    store.close()
