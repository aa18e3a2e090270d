# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session with a gateway through ib_async, without the library's guesses and at the engine's own pace.

The library ends an order on any error about it, also when only a cancel or a change was refused; it makes no profit a
profit of zero; and it throttles first in, first out, so that data requests would go before orders. It logs a message
that it cannot decode, and an exception of whoever is told of it, and goes on as if nothing had come: a fill would be
passed over. Here that ends the session, and the next one begins with a reconciliation, which asks for everything again.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from ib_async import IB, CommissionReport, OrderStatus, Trade, TradeLogEntry
from ib_async.client import Client
from ib_async.decoder import Decoder
from ib_async.objects import IBDefaults
from ib_async.wrapper import Wrapper

from . import log
from .pacing import Pacer

OnRefused = Callable[[Trade, int, str], None]
OnBroken = Callable[[str], None]

UNSET: Final = 1.7976931348623157e308
# Ids of the messages that must not wait behind data requests: placeOrder, cancelOrder, reqGlobalCancel, and
# reqCurrentTime, by which a session is known to live.
_URGENT: Final = frozenset({"3", "4", "58", "49"})
# The API's own clients take no longer message (ibapi, MAX_MSG_LEN); to gather one would fill the memory (bytes).
_LONGEST_FRAME: Final = 0xFFFFFF
_MOUTHFUL: Final = 16384
_SHOWN: Final = 200
# Codes about an order that are no refusal: it goes on as the broker has it (TWS API, "Message Codes").
_NOTES: Final = frozenset({165, 399, 404, 492, 10167})
_ORDER_CANCELLED: Final = 202


class MessageError(Exception):
    """A message of the gateway cannot be understood."""


class IbSession(IB):
    """The library's IB object. ``on_refused`` gets (trade, code, text) when a wish about a working order is refused.

    ``on_broken`` is told once, with the reason, when something came that makes no sense; nothing is taken after that.
    """

    def __init__(self, pacer: Pacer, on_refused: OnRefused, on_broken: OnBroken) -> None:
        super().__init__()
        self.wrapper = _Wrapper(self, defaults=IBDefaults())
        self.wrapper.on_refused = on_refused
        self.client = _Client(self.wrapper, pacer, self)
        self.client.apiEnd += self.disconnectedEvent
        self.broken = ""
        """Why the session must end, empty while all is understood."""
        self._on_broken = on_broken
        for name in self.events:
            getattr(self, name).error_event += self._listener_failed

    def fail(self, reason: str) -> None:
        """Take nothing more of this session: what came makes no sense."""
        if not self.broken:
            self.broken = reason
            self._on_broken(reason)

    def _listener_failed(self, event: Any, error: Exception) -> None:
        self.fail(f"{event.name()}: {type(error).__name__}: {error}")


def perm_id(trade: Any) -> int:
    """Return the broker's own number of an order, 0 while it has not acknowledged it."""
    return int(trade.order.permId or trade.orderStatus.permId)


class _Client(Client):
    def __init__(self, wrapper: Wrapper, pacer: Pacer, session: IbSession) -> None:
        super().__init__(wrapper)  # type: ignore[no-untyped-call]
        self.decoder = _Decoder(wrapper)
        self._pacer = pacer
        self._session = session

    def sendMsg(self, msg: str) -> None:  # noqa: N802 the library's name
        urgent = msg.partition("\0")[0] in _URGENT
        data = msg.encode()
        frame = struct.pack(">I", len(data)) + data
        self._pacer.send(lambda: self.conn.sendMsg(frame), urgent=urgent)

    def _onSocketHasData(self, data: bytes) -> None:  # noqa: N802 the library's name
        # The library copies all that is left for each message: of a burst, it gets a little at a time.
        for start in range(0, len(data), _MOUTHFUL):
            if not self._session.broken:
                self._take(data[start : start + _MOUTHFUL])

    def _take(self, data: bytes) -> None:
        try:
            super()._onSocketHasData(data)  # type: ignore[no-untyped-call]
        except MessageError as error:
            self._session.fail(str(error))
        except Exception as error:  # noqa: BLE001 bytes from outside may raise anything in the library
            self._session.fail(f"bytes that are no message of the IB API: {type(error).__name__}: {error}")
        # What is left is the beginning of a message. The library would gather one of any length.
        if len(self._data) >= 4 and (length := struct.unpack(">I", self._data[:4])[0]) > _LONGEST_FRAME:
            self._session.fail(f"a message of {length} bytes, wanted at most {_LONGEST_FRAME}")


class _Decoder(Decoder):
    """Raises `MessageError` where the library's only logs. A message of an unknown kind is no news for us."""

    def __init__(self, wrapper: Wrapper) -> None:
        super().__init__(wrapper, 0)
        self._unknown: set[int] = set()

    def interpret(self, fields: Sequence[str]) -> None:
        try:
            number = int(fields[0])
            handler = self.handlers.get(number)
            if handler is not None:
                handler(fields)
            elif number not in self._unknown:
                self._unknown.add(number)
                log.warning("gateway_message_unknown", number=number, fields=_show(fields))
        except Exception as error:
            raise MessageError(f"message {_show(fields)}: {type(error).__name__}: {error}") from error

    def wrap(self, method_name: str, types: Sequence[type], skip: int = 2) -> Callable[[Sequence[str]], None]:
        method = getattr(self.wrapper, method_name, None)

        def handler(fields: Sequence[str]) -> None:
            if method:
                method(*(_READERS[kind](field) for kind, field in zip(types, fields[skip:], strict=False)))

        return handler


# As the library reads them: an empty field is 0.
_READERS: Final[dict[type, Callable[[str], object]]] = {
    str: str,
    int: lambda field: int(field or 0),
    float: lambda field: float(field or 0),
    bool: lambda field: bool(int(field or 0)),
}


def _show(fields: Sequence[str]) -> str:
    text = ",".join(fields)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


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
