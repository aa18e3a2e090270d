# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session with a gateway through ib_async, without the library's guesses and at the engine's own pace.

The library ends an order on any error about it, also when only a cancel or a change was refused; it makes no profit a
profit of zero; and it throttles first in, first out, so that data requests would go before orders.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, Final

from ib_async import IB, CommissionReport, OrderStatus, Trade, TradeLogEntry
from ib_async.client import Client
from ib_async.objects import IBDefaults
from ib_async.wrapper import Wrapper

from .pacing import Pacer

OnRefused = Callable[[Trade, int, str], None]

UNSET: Final = 1.7976931348623157e308
# Ids of the messages that must not wait behind data requests: placeOrder, cancelOrder, reqGlobalCancel.
_URGENT: Final = frozenset({"3", "4", "58"})
# No message of the API is that long; a length beyond it is not a message of the API (bytes).
_LONGEST_FRAME: Final = 1 << 24
# Codes about an order that are no refusal: it goes on as the broker has it (TWS API, "Message Codes").
_NOTES: Final = frozenset({165, 399, 404, 492, 10167})
_ORDER_CANCELLED: Final = 202


class IbSession(IB):
    """The library's IB object. ``on_refused`` gets (trade, code, text) when a wish about a working order is refused."""

    def __init__(self, pacer: Pacer, on_refused: OnRefused) -> None:
        super().__init__()
        self.wrapper = _Wrapper(self, defaults=IBDefaults())
        self.wrapper.on_refused = on_refused
        self.client = _Client(self.wrapper, pacer)
        self.client.apiEnd += self.disconnectedEvent


def perm_id(trade: Any) -> int:
    """Return the broker's own number of an order, 0 while it has not acknowledged it."""
    return int(trade.order.permId or trade.orderStatus.permId)


class _Client(Client):
    def __init__(self, wrapper: Wrapper, pacer: Pacer) -> None:
        super().__init__(wrapper)  # type: ignore[no-untyped-call]
        self._pacer = pacer

    def sendMsg(self, msg: str) -> None:  # noqa: N802 the library's name
        urgent = msg.partition("\0")[0] in _URGENT
        data = msg.encode()
        frame = struct.pack(">I", len(data)) + data
        self._pacer.send(lambda: self.conn.sendMsg(frame), urgent=urgent)

    def _onSocketHasData(self, data: bytes) -> None:  # noqa: N802 the library's name
        super()._onSocketHasData(data)  # type: ignore[no-untyped-call]
        # The library would gather a frame of any length.
        if len(self._data) >= 4 and struct.unpack(">I", self._data[:4])[0] > _LONGEST_FRAME:
            self._data = b""
            self.conn.disconnect()


class _Wrapper(Wrapper):
    on_refused: OnRefused

    def error(self, reqId: int, errorCode: int, errorString: str, advancedOrderRejectJson: str) -> None:  # noqa: N803
        trade = self.trades.get((self.clientId, reqId)) if reqId != -1 and reqId not in self._futures else None
        if trade is None or trade.isDone() or not perm_id(trade) or errorCode == _ORDER_CANCELLED:
            super().error(reqId, errorCode, errorString, advancedOrderRejectJson)
            return
        # The broker has the order, and it alone says when the order ends: by a status. The log entry bears a status
        # that marks it as not being why.
        text = f"{errorCode}: {errorString}"
        trade.log.append(TradeLogEntry(self.lastTime, OrderStatus.ValidationError, text, errorCode))
        self.ib.orderStatusEvent.emit(trade)
        if errorCode not in _NOTES and not 2100 <= errorCode < 2200:
            self.on_refused(trade, errorCode, errorString)
        self.ib.errorEvent.emit(reqId, errorCode, errorString, trade.contract)

    def commissionReport(self, commissionReport: CommissionReport) -> None:  # noqa: N802, N803
        # A fill that only opened has no profit; the library would make it one of zero.
        if commissionReport.realizedPNL == UNSET:
            commissionReport.realizedPNL = math.nan
        super().commissionReport(commissionReport)
