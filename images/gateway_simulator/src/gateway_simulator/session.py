# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One client's conversation: the handshake, requests to the services that answer them, and the news they have."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import requests
from .accounts import AccountService
from .faults import PACING
from .line import Line
from .listings import ListingService
from .messages import LOWEST_VERSION, NO_REQUEST, TextDialect, dialect_for, handshake
from .model import Event, Instrument
from .orders import OrderService
from .prices import PriceService
from .requests import NumberedRequest, Request
from .wire import FieldError, WireError, parse_version_range

if TYPE_CHECKING:
    from .server import Simulator

LINK_DOWN = (2110, "Connectivity between Trader Workstation and server is broken. It will be restored automatically.")
LOGGED_OUT = (504, "Not connected: the gateway is not logged in")

_logger = logging.getLogger(__name__)


class Session:
    """One connection. ``client_id`` is None until the client has started the API."""

    def __init__(self, simulator: Simulator, line: Line) -> None:
        self.client_id: int | None = None
        self.version = 0
        self.dialect = TextDialect(LOWEST_VERSION, simulator.gateway_time)
        self.line = line
        self.simulator = simulator
        self._accounts = AccountService(self)
        self._prices = PriceService(self)
        self._services = (self._accounts, ListingService(self), OrderService(self), self._prices)
        self._handlers: dict[type[Request], Callable[[Any], None]] = {
            requests.CancelNewsBulletins: self._ignore,
            requests.Ignored: self._ignore,
            requests.QueryDisplayGroups: self._query_display_groups,
            requests.RequestCurrentTime: self._request_current_time,
            requests.RequestCurrentTimeInMilliseconds: self._request_current_time_in_milliseconds,
            requests.RequestFamilyCodes: self._request_family_codes,
            requests.RequestIds: self._request_ids,
            requests.RequestManagedAccounts: self._request_managed_accounts,
            requests.RequestMarketDepthExchanges: self._request_market_depth_exchanges,
            requests.RequestNewsBulletins: self._ignore,  # there are none
            requests.RequestNewsProviders: self._request_news_providers,
            requests.RequestSoftDollarTiers: self._request_soft_dollar_tiers,
            requests.RequestUserInfo: self._request_user_info,
            requests.SetServerLogLevel: self._ignore,
        }
        for service in self._services:
            self._handlers.update(service.handlers)
        self._pace = _Pace(simulator.settings.messages_per_second)

    def receive(self, body: bytes) -> None:
        """Take one frame: the range of versions first, then messages. Raises WireError when it is not the protocol."""
        if self.version:
            self._receive(body)
        else:
            self._shake_hands(body)

    def ended(self, why: str) -> None:
        """Learn that the connection is over."""
        self._log(logging.INFO, "connection ended", reason=why)
        self.simulator.forget(self, why)

    @property
    def instruments(self) -> set[Instrument]:
        """The instruments whose ticks stream to the client."""
        return self._prices.instruments

    @property
    def follows_account(self) -> bool:
        """Tell whether the client wants to know what becomes of the account."""
        return self._accounts.is_followed

    # --- news -------------------------------------------------------------------------------------------------------

    def notice(self, code: int, text: str) -> None:
        """Tell the client something that belongs to no request."""
        self.send(self.dialect.error(NO_REQUEST, code, text))

    def tick(self) -> None:
        """Tell the client what it wants to know at a tick of the market."""
        self.send(*(frame for service in self._services for frame in service.tick()))

    def tell(self, events: Sequence[Event]) -> None:
        """Tell the client what of ``events`` concerns it: its own orders, and the account if it follows that.

        An order's news come in their order; the account's follow.
        """
        self.send(*(frame for service in reversed(self._services) for frame in service.news(events)))

    def lose_data(self) -> None:
        """Forget the subscriptions to market data, as after 1101: the client has to ask again."""
        self._prices.forget_subscriptions()

    # --- for services -----------------------------------------------------------------------------------------------

    def send(self, *frames: bytes) -> None:
        """Send frames, in one piece."""
        if frames:
            self.line.write(b"".join(frames))

    def fail(self, request_id: int, code: int, text: str) -> None:
        """Refuse a request."""
        self._log(logging.INFO, "request refused", request_id=request_id, code=code, reason=text)
        self.send(self.dialect.error(request_id, code, text))

    # --- conversation -----------------------------------------------------------------------------------------------

    def _shake_hands(self, body: bytes) -> None:
        lowest, highest = parse_version_range(body)
        version = min(highest, self.simulator.server_version)
        if version < max(lowest, LOWEST_VERSION):
            wanted = f"{LOWEST_VERSION} to {self.simulator.server_version}"
            self.line.close(f"no common version: the client has {lowest} to {highest}, wanted {wanted}")
            return
        self.version = version
        self.dialect = dialect_for(version, self.simulator.gateway_time)
        self.send(handshake(version, self.simulator.gateway_time()))
        self._log(logging.DEBUG, "handshake", lowest=lowest, highest=highest, version=version)

    def _receive(self, body: bytes) -> None:
        if self._is_too_fast():
            return
        try:
            request = self.dialect.decode(body)
        except FieldError as error:
            self._log(logging.WARNING, "request cannot be read", reason=str(error), body=repr(body[:80]))
            self.notice(320, f"Server error when reading an API client request: {error}")
            return
        if _logger.isEnabledFor(logging.DEBUG):
            self._log(logging.DEBUG, "received", request=repr(request))
        if self.client_id is not None:
            if self.simulator.faults.is_logged_out and not isinstance(request, requests.RequestCurrentTime):
                self.notice(*LOGGED_OUT)
            else:
                self._handlers.get(type(request), self._refuse)(request)
        elif isinstance(request, requests.StartApi):
            self._start(request)
        else:
            raise WireError(f"{type(request).__name__} before StartApi")

    def _start(self, request: requests.StartApi) -> None:
        client_id = request.client_id
        if not self.simulator.admit(client_id, self):
            self.notice(326, "Unable to connect as the client id is already in use. Retry with a unique client id.")
            self.line.close(f"client id {client_id} is in use")
            return
        self.client_id = client_id
        self._log(logging.INFO, "client connected", version=self.version)
        if self.simulator.faults.is_logged_out:
            self.send(self.dialect.managed_accounts(""))
            self.notice(*LOGGED_OUT)
        else:
            self.welcome()

    def welcome(self) -> None:
        """Send what a client that has started the API waits for: its accounts and the first order id."""
        broker = self.simulator.broker
        notices = self.simulator.faults.farm_notices if broker.linked else [LINK_DOWN]
        self.send(
            self.dialect.managed_accounts(broker.account),
            self.dialect.next_valid_id(broker.next_order_id),
            *(self.dialect.error(NO_REQUEST, code, text) for code, text in notices),
        )

    def _is_too_fast(self) -> bool:
        """Tell whether a message is one too many, and tell the client; one that goes on is cut off if so set."""
        if self.client_id is not None and self.simulator.faults.refuses_request(self.client_id):
            self.notice(*PACING)
            return True
        if self._pace.allows(time.monotonic()):
            return False
        limit, most = self.simulator.settings.messages_per_second, self.simulator.settings.disconnect_after
        received = self._pace.received
        self.notice(100, f"Max rate of messages per second has been exceeded:max={limit} rec={received} (1)")
        if most and self._pace.refused >= most:
            self.line.close(f"{self._pace.refused} messages beyond {limit} per second")
        return True

    def _refuse(self, request: Request) -> None:
        request_id = request.request_id if isinstance(request, NumberedRequest) else NO_REQUEST
        what = request.what if isinstance(request, requests.NotServed) else type(request).__name__
        self.fail(request_id, 322, f"Error processing request: {what} is not simulated")

    # --- requests about the session ---------------------------------------------------------------------------------

    def _ignore(self, _request: Request) -> None:
        """Accept a request that has no answer and no effect here."""

    def _request_ids(self, _request: Request) -> None:
        self.send(self.dialect.next_valid_id(self.simulator.broker.next_order_id))

    def _request_managed_accounts(self, _request: Request) -> None:
        self.send(self.dialect.managed_accounts(self.simulator.broker.account))

    def _request_current_time(self, _request: Request) -> None:
        self.send(self.dialect.current_time(int(self.simulator.gateway_time().timestamp())))

    def _request_current_time_in_milliseconds(self, _request: Request) -> None:
        self.send(self.dialect.current_time_in_milliseconds(int(self.simulator.gateway_time().timestamp() * 1000)))

    def _request_family_codes(self, _request: Request) -> None:
        self.send(self.dialect.family_codes([self.simulator.broker.account]))

    def _request_user_info(self, request: NumberedRequest) -> None:
        self.send(self.dialect.user_info(request.request_id))

    def _request_soft_dollar_tiers(self, request: NumberedRequest) -> None:
        self.send(self.dialect.soft_dollar_tiers(request.request_id))

    def _request_news_providers(self, _request: Request) -> None:
        self.send(self.dialect.news_providers())

    def _request_market_depth_exchanges(self, _request: Request) -> None:
        self.send(self.dialect.market_depth_exchanges())

    def _query_display_groups(self, request: NumberedRequest) -> None:
        self.send(self.dialect.display_groups(request.request_id))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _log(self, level: int, text: str, **details: object) -> None:
        _logger.log(level, text, extra={"peer": self.line.peer, "client_id": self.client_id, **details})


class _Pace:
    """Counts a client's messages: no more than ``limit`` in any second, 0 for as many as it likes."""

    def __init__(self, limit: int) -> None:
        self.refused = 0
        self.received = 0
        self._limit = limit
        self._second: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Count a message at ``now`` (seconds, rising) and tell whether it is within the limit."""
        if not self._limit:
            return True
        recent = self._second
        while recent and recent[0] <= now - 1:
            recent.popleft()
        recent.append(now)
        self.received = len(recent)
        if self.received <= self._limit:
            return True
        recent.pop()
        self.refused += 1
        return False
