# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nautilus_ibapi puts on the wire and how it describes its messages, as JSON; runs in that client's environment.

    python nautilus_wire.py descriptors
    python nautilus_wire.py requests VERSION ...
    python nautilus_wire.py replies < {version: [[frame, ...], ...]}

The first tells of every message each field's name, number, type and whether it repeats; the second what the client
sends for each of a list of requests, once for every server version that is named; the third what it tells its user of
each frame that it is given. Bytes are in hex, and frames without their length.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
import sys
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any

import ibapi.protobuf
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from ibapi.client import EClient
from ibapi.comm import read_fields
from ibapi.common import PROTOBUF_MSG_ID
from ibapi.const import UNSET_DECIMAL, UNSET_DOUBLE, UNSET_INTEGER, UNSET_LONG
from ibapi.contract import Contract
from ibapi.decoder import Decoder
from ibapi.execution import ExecutionFilter
from ibapi.order import Order
from ibapi.order_cancel import OrderCancel
from ibapi.server_versions import MIN_SERVER_VER_PROTOBUF
from ibapi.wrapper import EWrapper

UNSET = (UNSET_INTEGER, UNSET_LONG, UNSET_DOUBLE, UNSET_DECIMAL)


class Recorder:
    """In place of the connection: it keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def isConnected(self) -> bool:  # noqa: N802 - the client's name for it
        return True

    def sendMsg(self, message: bytes) -> int:  # noqa: N802 - the client's name for it
        self.sent.append(message)
        return len(message)


class Complaint(Exception):
    """What the client refuses to send."""


class Complaints(EWrapper):  # type: ignore[misc]  # untyped
    """Turns what the client refuses to send into an exception."""

    def error(self, *details: Any) -> None:
        raise Complaint(details)


def stock() -> Contract:
    """AAPL on SMART, with every field that identifies a stock."""
    contract = Contract()
    contract.conId, contract.symbol, contract.secType, contract.currency = 265598, "AAPL", "STK", "USD"
    contract.exchange, contract.primaryExchange = "SMART", "NASDAQ"
    contract.localSymbol, contract.tradingClass = "AAPL", "NMS"
    return contract


def option() -> Contract:
    """An option by its description."""
    contract = Contract()
    contract.symbol, contract.secType, contract.currency, contract.exchange = "AAPL", "OPT", "USD", "SMART"
    contract.lastTradeDateOrContractMonth, contract.strike, contract.right = "20261218", 250.5, "C"
    contract.multiplier = "100"
    return contract


def order(**terms: Any) -> Order:
    """A limit order to buy 100, changed by ``terms``."""
    made = Order()
    made.action, made.totalQuantity, made.orderType, made.lmtPrice, made.tif = "BUY", Decimal(100), "LMT", 229.55, "DAY"
    for name, value in terms.items():
        if not hasattr(made, name):
            raise AttributeError(name)
        setattr(made, name, value)
    return made


def orders() -> dict[str, Order]:
    """Orders of every kind, by the name of their case."""
    return {
        "limit": order(orderRef="key:1", account="DU1234567", outsideRth=True, hidden=True, openClose="O"),
        "market": order(orderType="MKT", lmtPrice=sys.float_info.max, action="SELL", totalQuantity=Decimal("0.5")),
        "stop": order(orderType="STP", lmtPrice=sys.float_info.max, auxPrice=225.0, tif="GTC", triggerMethod=2),
        "stop limit": order(orderType="STP LMT", auxPrice=225.0),
        "trailing amount": order(orderType="TRAIL", lmtPrice=sys.float_info.max, auxPrice=1.5, trailStopPrice=228.0),
        "trailing percent": order(orderType="TRAIL", lmtPrice=sys.float_info.max, trailingPercent=2.0),
        "good till date": order(tif="GTD", goodTillDate="20261231-23:00:00"),
        "parent": order(transmit=False),
        "child": order(parentId=11, action="SELL"),
        "one cancels all": order(ocaGroup="group", ocaType=1),
        "what if": order(whatIf=True),
        "all or none": order(allOrNone=True),
        "algorithm": order(algoStrategy="Adaptive"),
    }


def execution_filter() -> ExecutionFilter:
    """A filter with every field of its first edition."""
    wanted = ExecutionFilter()
    wanted.clientId, wanted.acctCode, wanted.time = 7, "DU1234567", "20261123-00:00:00"
    wanted.symbol, wanted.secType, wanted.exchange, wanted.side = "AAPL", "STK", "SMART", "BUY"
    return wanted


def requests() -> dict[str, Callable[[EClient], object]]:
    """What is asked of the client, by the name of its case."""
    cases: dict[str, Callable[[EClient], object]] = {
        "startApi": lambda client: client.startApi(),
        "setServerLogLevel": lambda client: client.setServerLogLevel(3),
        "reqCurrentTime": lambda client: client.reqCurrentTime(),
        "reqCurrentTimeInMillis": lambda client: client.reqCurrentTimeInMillis(),
        "reqIds": lambda client: client.reqIds(1),
        "reqManagedAccts": lambda client: client.reqManagedAccts(),
        "reqAccountUpdates": lambda client: client.reqAccountUpdates(True, "DU1234567"),
        "reqAccountUpdates off": lambda client: client.reqAccountUpdates(False, "DU1234567"),
        "reqAccountSummary": lambda client: client.reqAccountSummary(21, "All", "NetLiquidation,TotalCashValue"),
        "cancelAccountSummary": lambda client: client.cancelAccountSummary(21),
        "reqAccountUpdatesMulti": lambda client: client.reqAccountUpdatesMulti(22, "DU1234567", "", True),
        "cancelAccountUpdatesMulti": lambda client: client.cancelAccountUpdatesMulti(22),
        "reqPositions": lambda client: client.reqPositions(),
        "cancelPositions": lambda client: client.cancelPositions(),
        "reqPositionsMulti": lambda client: client.reqPositionsMulti(23, "DU1234567", ""),
        "cancelPositionsMulti": lambda client: client.cancelPositionsMulti(23),
        "reqPnL": lambda client: client.reqPnL(24, "DU1234567", ""),
        "cancelPnL": lambda client: client.cancelPnL(24),
        "reqPnLSingle": lambda client: client.reqPnLSingle(25, "DU1234567", "", 265598),
        "cancelPnLSingle": lambda client: client.cancelPnLSingle(25),
        "reqContractDetails": lambda client: client.reqContractDetails(31, stock()),
        "reqContractDetails of an option": lambda client: client.reqContractDetails(32, option()),
        "reqMatchingSymbols": lambda client: client.reqMatchingSymbols(33, "AAP"),
        "reqSecDefOptParams": lambda client: client.reqSecDefOptParams(34, "AAPL", "", "STK", 265598),
        "reqMarketRule": lambda client: client.reqMarketRule(26),
        "reqMktData": lambda client: client.reqMktData(41, stock(), "233", False, False, []),
        "reqMktData of a snapshot": lambda client: client.reqMktData(42, stock(), "", True, False, []),
        "cancelMktData": lambda client: client.cancelMktData(41),
        "reqMarketDataType": lambda client: client.reqMarketDataType(1),
        "reqTickByTickData": lambda client: client.reqTickByTickData(43, stock(), "AllLast", 0, False),
        "cancelTickByTickData": lambda client: client.cancelTickByTickData(43),
        "reqHistoricalData": lambda client: client.reqHistoricalData(
            51, stock(), "20261120-20:00:00", "2 D", "5 mins", "TRADES", 1, 2, False, []
        ),
        "reqHistoricalData kept up to date": lambda client: client.reqHistoricalData(
            52, stock(), "", "1800 S", "1 min", "MIDPOINT", 0, 1, True, []
        ),
        "cancelHistoricalData": lambda client: client.cancelHistoricalData(51),
        "reqRealTimeBars": lambda client: client.reqRealTimeBars(53, stock(), 5, "TRADES", True, []),
        "cancelRealTimeBars": lambda client: client.cancelRealTimeBars(53),
        "reqHeadTimeStamp": lambda client: client.reqHeadTimeStamp(54, stock(), "TRADES", 1, 1),
        "cancelHeadTimeStamp": lambda client: client.cancelHeadTimeStamp(54),
        "cancelOrder": lambda client: client.cancelOrder(12, OrderCancel()),
        "reqGlobalCancel": lambda client: client.reqGlobalCancel(OrderCancel()),
        "reqOpenOrders": lambda client: client.reqOpenOrders(),
        "reqAllOpenOrders": lambda client: client.reqAllOpenOrders(),
        "reqAutoOpenOrders": lambda client: client.reqAutoOpenOrders(True),
        "reqCompletedOrders": lambda client: client.reqCompletedOrders(True),
        "reqExecutions": lambda client: client.reqExecutions(61, execution_filter()),
    }
    for name, terms in orders().items():
        cases[f"placeOrder {name}"] = lambda client, terms=terms: client.placeOrder(  # type: ignore[misc]
            12, stock(), terms
        )
    return cases


def sent_at(version: int) -> dict[str, str]:
    """Return the frame, without its length, that the client sends for each case to a server of ``version``, in hex."""
    sent = {}
    for name, ask in requests().items():
        client = EClient(Complaints())
        client.conn = recorder = Recorder()
        client.serverVersion_, client.clientId = version, 7
        client.setConnState(EClient.CONNECTED)
        # A client does not ask an old server for what only newer ones know.
        with contextlib.suppress(Complaint):
            ask(client)
            (frame,) = recorder.sent
            sent[name] = frame[4:].hex()
    return sent


class Listener(EWrapper):  # type: ignore[misc]  # untyped
    """Keeps what the client tells its user: the method's name and its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[list[object]] = []

    def __getattribute__(self, name: str) -> Any:
        known = super().__getattribute__(name)
        if name.startswith("_") or name == "told" or not callable(known):
            return known
        # The client hands on the bare protobuf message, too.
        return (lambda *_message: None) if name.endswith("ProtoBuf") else partial(self._tell, name)

    def _tell(self, name: str, *arguments: object) -> None:
        self.told.append([name, *map(plain, arguments)])


def plain(value: Any) -> object:
    """Return a value as JSON: objects as their fields, numbers as decimals of one form, unset ones as None."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float, Decimal)):
        number = Decimal(repr(value) if isinstance(value, float) else value)
        return None if value in UNSET else f"{number.normalize():f}"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, set)):
        return sorted(map(plain, value), key=repr) if isinstance(value, set) else [plain(entry) for entry in value]
    if isinstance(value, dict):
        return [[plain(name), *map(plain, entry)] for name, entry in value.items()]
    if hasattr(value, "__dict__") and not isinstance(value, Enum):
        return {name: plain(entry) for name, entry in vars(value).items()}
    return str(value)


def told_of(version: int, replies: list[list[str]]) -> list[list[list[object]]]:
    """Return what a user is told of each reply, which are one or more frames, of a server of ``version``."""
    told = []
    listener = Listener()
    # Making one takes the client longer than reading a hundred messages.
    decoder = Decoder(listener, version)
    for frames in replies:
        listener.told = []
        for frame in map(bytes.fromhex, frames):
            if version < MIN_SERVER_VER_PROTOBUF:
                name, _, body = frame.partition(b"\0")
                number = int(name)
            else:
                number, body = int.from_bytes(frame[:4], "big"), frame[4:]
            if number > PROTOBUF_MSG_ID:
                decoder.processProtoBuf(body, number - PROTOBUF_MSG_ID)
            else:
                decoder.interpret(read_fields(body), number)
        told.append(listener.told)
    return told


def described(message: DescriptorProto) -> dict[str, list[object]]:
    """Return of each field, by name: its number, type, and whether it repeats; a map's type is ``map``."""
    maps = {nested.name for nested in message.nested_type if nested.options.map_entry}
    fields: dict[str, list[object]] = {}
    for field in message.field:
        type_name = field.type_name.rsplit(".", 1)[-1]
        kind = "map" if type_name in maps else type_name or field.Type.Name(field.type)
        fields[field.name] = [field.number, kind, field.label == field.LABEL_REPEATED]
    return fields


def descriptors() -> dict[str, dict[str, list[object]]]:
    """Return every message of the client, by name."""
    messages = {}
    for module in pkgutil.iter_modules(ibapi.protobuf.__path__):
        if module.name.endswith("_pb2"):
            file = FileDescriptorProto()
            importlib.import_module(f"ibapi.protobuf.{module.name}").DESCRIPTOR.CopyToProto(file)
            messages.update({message.name: described(message) for message in file.message_type})
    return messages


def main(arguments: list[str]) -> None:
    """Print what the first argument names."""
    if arguments[0] == "descriptors":
        answer: object = descriptors()
    elif arguments[0] == "requests":
        answer = {version: sent_at(int(version)) for version in arguments[1:]}
    else:
        answer = {version: told_of(int(version), replies) for version, replies in json.load(sys.stdin).items()}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
