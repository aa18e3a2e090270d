# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prices: ticks that stream or come once, every tick, bars of five seconds, and history."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from . import requests
from .hours import parse_time
from .market import SECONDS_PER_DAY
from .messages import DELAYED, LIVE
from .model import Bar, Instrument, Quote, TickKind
from .requests import NumberedRequest, Request
from .service import Service

if TYPE_CHECKING:
    from .session import Session

MOST_BARS = 5000
MOST_TICKS = 1000
# As many as a gateway lets one client have.
MOST_TICK_BY_TICK = 5
REAL_TIME_BAR_SECONDS = 5
HISTORY_BEGINS = int(datetime(2015, 1, 2, tzinfo=UTC).timestamp())

# What history and bars can show. There is one price for all of them, but no trades in currencies.
SHOWN = frozenset({"TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST"})
TICK_BY_TICK_KINDS = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}
# Ticks beyond the usual ones that a client may ask for; those of them that are not played stay silent, as with a
# gateway on a quiet day. RTVolume and its kin repeat every trade as a text.
TRADE_TICKS = {233: TickKind.RT_VOLUME, 375: TickKind.RT_TRADE_VOLUME}
GENERIC_TICKS = frozenset(
    {100, 101, 104, 105, 106, 107, 125, 165, 166, 225, 232, 233, 236, 258, 292, 293, 294, 295, 318, 375, 411, 456}
    | {460, 499, 506, 511, 512, 513, 576, 577, 578, 586, 587, 588, 595, 614, 619, 623, 645, 787}
)
# The kinds of ticks when data are delayed.
_DELAYED_KINDS = {
    TickKind.BID: 66,
    TickKind.ASK: 67,
    TickKind.LAST: 68,
    TickKind.BID_SIZE: 69,
    TickKind.ASK_SIZE: 70,
    TickKind.LAST_SIZE: 71,
    TickKind.VOLUME: 74,
    TickKind.CLOSE: 75,
    TickKind.LAST_TIME: 88,
}
_HISTORY_ERROR = "Historical Market Data Service error message:"


@dataclass(slots=True)
class Subscription:
    """Ticks of one instrument; ``told`` is the last quote that was sent."""

    instrument: Instrument
    delayed: bool
    trade_ticks: tuple[TickKind, ...]
    told: Quote | None = None


@dataclass(slots=True)
class TickStream:
    """Every tick of one kind (1 Last, 2 AllLast, 3 BidAsk, 4 MidPoint)."""

    instrument: Instrument
    kind: int
    ignore_size: bool
    told: Quote


@dataclass(slots=True)
class BarStream:
    """Bars of an instrument while they come into being; ``due`` is when the next one is sent."""

    instrument: Instrument
    seconds: int
    regular_hours: bool
    due: float
    as_epoch: bool = False


class PriceService(Service):
    """Tells a client of prices."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._delayed_allowed = False
        self._subscriptions: dict[int, Subscription] = {}
        self._tick_streams: dict[int, TickStream] = {}
        self._real_time_bars: dict[int, BarStream] = {}
        self._bars_kept_up: dict[int, BarStream] = {}

    @property
    def handlers(self) -> Mapping[type[Request], Callable[[Any], None]]:
        """What is done at each kind of request."""
        return {
            requests.RequestMarketDataType: self._request_market_data_type,
            requests.RequestMarketData: self._request_market_data,
            requests.CancelMarketData: self._cancel_market_data,
            requests.RequestTickByTick: self._request_tick_by_tick,
            requests.CancelTickByTick: self._cancel_tick_by_tick,
            requests.RequestRealTimeBars: self._request_real_time_bars,
            requests.CancelRealTimeBars: self._cancel_real_time_bars,
            requests.RequestHistoricalData: self._request_historical_data,
            requests.CancelHistoricalData: self._cancel_historical_data,
            requests.RequestHeadTimestamp: self._request_head_timestamp,
            requests.CancelHeadTimestamp: lambda _request: None,  # it is sent at once
            requests.RequestHistoricalTicks: self._request_historical_ticks,
            requests.CancelHistoricalTicks: lambda _request: None,  # they are sent at once
        }

    def tick(self) -> list[bytes]:
        """Tell of every quote that changed, and of the bars that are due."""
        frames: list[bytes] = []
        hides = self._simulator.faults.hides_ticks
        for request_id, subscription in self._subscriptions.items():
            if not hides(subscription.instrument.symbol):
                frames += self._changes(request_id, subscription)
        for request_id, stream in self._tick_streams.items():
            if not hides(stream.instrument.symbol):
                frames += self._tick_by_tick(request_id, stream)
        if self._real_time_bars or self._bars_kept_up:
            frames += self._due_bars()
        return frames

    @property
    def instruments(self) -> set[Instrument]:
        """The instruments whose ticks stream."""
        quotes = {subscription.instrument for subscription in self._subscriptions.values()}
        return quotes | {stream.instrument for stream in self._tick_streams.values()}

    def forget_subscriptions(self) -> None:
        """Forget what streams, as a gateway does that lost its data: the client has to ask again."""
        self._subscriptions.clear()
        self._tick_streams.clear()
        self._real_time_bars.clear()
        self._bars_kept_up.clear()

    # --- ticks ------------------------------------------------------------------------------------------------------

    def _request_market_data_type(self, request: requests.RequestMarketDataType) -> None:
        self._delayed_allowed = request.kind in (3, 4)

    def _request_market_data(self, request: requests.RequestMarketData) -> None:
        request_id = request.request_id
        instrument = self._find_one(request_id, request.contract)
        if instrument is None:
            return
        if request_id in self._subscriptions:
            self._fail(request_id, 322, "Error processing request: Duplicate ticker id")
            return
        try:
            generic = _parse_generic_ticks(request.generic_ticks, instrument.sec_type)
        except ValueError as error:
            self._fail(request_id, 321, f"Error validating request: {error}")
            return
        if generic and request.snapshot:
            text = "Snapshot market data subscription is not applicable to generic ticks"
            self._fail(request_id, 321, f"Error validating request: {text}")
            return
        delayed = self._simulator.settings.market_data == "delayed"
        if delayed and not self._delayed_allowed:
            self._fail(request_id, 354, "Requested market data is not subscribed. Delayed market data is available.")
            return
        trade_ticks = tuple(TRADE_TICKS[tick] for tick in generic if tick in TRADE_TICKS)
        subscription = Subscription(instrument, delayed, trade_ticks)
        frames = [
            self._dialect.tick_parameters(request_id, instrument),
            self._dialect.market_data_type(request_id, DELAYED if delayed else LIVE),
            *self._changes(request_id, subscription),
        ]
        if delayed:
            text = "Requested market data is not subscribed. Displaying delayed market data."
            frames.insert(0, self._dialect.error(request_id, 10167, text))
        if request.snapshot or request.regulatory_snapshot:
            frames.append(self._dialect.snapshot_end(request_id))
        else:
            self._subscriptions[request_id] = subscription
        self._send(*frames)

    def _cancel_market_data(self, request: NumberedRequest) -> None:
        if self._subscriptions.pop(request.request_id, None) is None:
            self._fail(request.request_id, 300, f"Can't find EId with tickerId:{request.request_id}")

    def _changes(self, request_id: int, subscription: Subscription) -> list[bytes]:
        """Return what changed since the last quote that was sent, and take note of it as sent."""
        instrument, told = subscription.instrument, subscription.told
        quote = self._simulator.quote(instrument)
        if quote is told or quote == told:
            return []
        subscription.told = quote
        dialect = self._dialect
        kinds: Mapping[TickKind, int] = _DELAYED_KINDS if subscription.delayed else _LIVE_KINDS
        frames = []
        for side, old in zip(_sides(quote), _sides(told) if told else _NO_SIDES, strict=True):
            price_kind, size_kind, price, size = side
            if price != old[2]:
                executable = 0 if price_kind is TickKind.LAST else 1
                frames.append(dialect.tick_price(request_id, kinds[price_kind], price, size, executable))
            elif size != old[3]:
                frames.append(dialect.tick_size(request_id, kinds[size_kind], size))
        if told is None or told.time != quote.time:
            frames.append(dialect.tick_string(request_id, kinds[TickKind.LAST_TIME], str(quote.time)))
        if told is None or told.volume != quote.volume:
            frames.append(dialect.tick_size(request_id, kinds[TickKind.VOLUME], quote.volume))
        if told is None or told.close != quote.close:
            frames.append(dialect.tick_price(request_id, kinds[TickKind.CLOSE], quote.close, 0))
        for kind in subscription.trade_ticks:
            trade = (quote.last, quote.last_size, quote.time * 1000, quote.volume, quote.last, "true")
            frames.append(dialect.tick_string(request_id, kind, ";".join(map(str, trade))))
        return frames

    # --- every tick -------------------------------------------------------------------------------------------------

    def _request_tick_by_tick(self, request: requests.RequestTickByTick) -> None:
        request_id = request.request_id
        instrument = self._find_one(request_id, request.contract)
        if instrument is None:
            return
        kind = TICK_BY_TICK_KINDS.get(request.kind)
        problem = ""
        if kind is None:
            problem = f"tick type {request.kind!r} is none of {', '.join(TICK_BY_TICK_KINDS)}"
        elif kind < 3 and instrument.sec_type == "CASH":
            problem = f"there are no trades of {instrument.local_symbol}"
        elif not 0 <= request.history <= MOST_TICKS:
            problem = f"{request.history} past ticks, wanted 0 to {MOST_TICKS}"
        elif request_id in self._tick_streams:
            problem = "Duplicate ticker id"
        if kind is None or problem:
            self._fail(request_id, 10189, f"Failed to request tick-by-tick data:{problem}")
            return
        if len(self._tick_streams) >= MOST_TICK_BY_TICK:
            self._fail(request_id, 10190, "Max number of tick-by-tick requests has been reached")
            return
        quote = self._simulator.quote(instrument)
        self._tick_streams[request_id] = TickStream(instrument, kind, request.ignore_size, quote)
        if request.history:
            past = self._past_quotes(instrument, self._now - request.history, self._now, request.history)
            self._send(self._past_ticks(request_id, kind, instrument, past))
        self._send(self._one_tick(request_id, kind, instrument, quote))

    def _cancel_tick_by_tick(self, request: NumberedRequest) -> None:
        if self._tick_streams.pop(request.request_id, None) is None:
            self._fail(request.request_id, 300, f"Can't find EId with tickerId:{request.request_id}")

    def _tick_by_tick(self, request_id: int, stream: TickStream) -> list[bytes]:
        quote, told = self._simulator.quote(stream.instrument), stream.told
        if quote is told or quote == told:
            return []
        stream.told = quote
        if stream.kind == 3:
            sizes = not stream.ignore_size and (quote.bid_size, quote.ask_size) != (told.bid_size, told.ask_size)
            if (quote.bid, quote.ask) == (told.bid, told.ask) and not sizes:
                return []
        elif stream.kind == 4:
            if quote.bid + quote.ask == told.bid + told.ask:
                return []
        elif quote.volume == told.volume and quote.time == told.time:
            # No trade between two ticks of the market leaves the day's volume as it was.
            return []
        return [self._one_tick(request_id, stream.kind, stream.instrument, quote)]

    def _one_tick(self, request_id: int, kind: int, instrument: Instrument, quote: Quote) -> bytes:
        if kind == 3:
            return self._dialect.tick_by_tick_bid_ask(request_id, quote)
        if kind == 4:
            return self._dialect.tick_by_tick_midpoint(request_id, quote)
        return self._dialect.tick_by_tick_last(request_id, kind, quote, instrument.primary_exchange)

    # --- bars -------------------------------------------------------------------------------------------------------

    def _request_real_time_bars(self, request: requests.RequestRealTimeBars) -> None:
        request_id = request.request_id
        instrument = self._find_one(request_id, request.contract)
        if instrument is None:
            return
        problem = _shown_problem(instrument, request.what_to_show)
        if request.bar_seconds != REAL_TIME_BAR_SECONDS:
            problem = f"bars of {request.bar_seconds} seconds, wanted {REAL_TIME_BAR_SECONDS}"
        elif request_id in self._real_time_bars:
            problem = "Duplicate ticker id"
        if problem:
            self._fail(request_id, 420, f"Invalid Real-time Query:{problem}")
            return
        due = (math.floor(self._now / REAL_TIME_BAR_SECONDS) + 1) * REAL_TIME_BAR_SECONDS
        self._real_time_bars[request_id] = BarStream(instrument, REAL_TIME_BAR_SECONDS, request.regular_hours, due)

    def _cancel_real_time_bars(self, request: NumberedRequest) -> None:
        if self._real_time_bars.pop(request.request_id, None) is None:
            self._fail(request.request_id, 300, f"Can't find EId with tickerId:{request.request_id}")

    def _due_bars(self) -> list[bytes]:
        now, faults = self._now, self._simulator.faults
        frames: list[bytes] = []
        for request_id, stream in self._real_time_bars.items():
            if now >= stream.due and not faults.hides_ticks(stream.instrument.symbol):
                # After a stall the bars in between are not made up for, like ticks.
                end = math.floor(now / stream.seconds) * stream.seconds
                stream.due = end + stream.seconds
                bars = self._simulator.bars(
                    stream.instrument, end, stream.seconds, stream.seconds, stream.regular_hours
                )
                frames += [self._dialect.real_time_bar(request_id, bar) for bar in bars]
        for request_id, stream in self._bars_kept_up.items():
            if now >= stream.due and not faults.hides_history:
                stream.due = now + REAL_TIME_BAR_SECONDS
                # The bar before the present one has its last state now.
                start = math.floor(now / stream.seconds) * stream.seconds
                span = int(now - start) + (stream.seconds if now - start < REAL_TIME_BAR_SECONDS else 1)
                bars = self._simulator.bars(stream.instrument, now, span, stream.seconds, stream.regular_hours)
                for bar in bars:
                    date = _date(bar.start, stream.as_epoch, stream.seconds >= SECONDS_PER_DAY)
                    frames.append(self._dialect.historical_data_update(request_id, date, bar))
        return frames

    # --- history ----------------------------------------------------------------------------------------------------

    def _request_historical_data(self, request: requests.RequestHistoricalData) -> None:
        request_id = request.request_id
        instrument = self._find_one(request_id, request.contract)
        if instrument is None:
            return
        if self._simulator.faults.hides_history:
            self._fail(request_id, 162, f"{_HISTORY_ERROR}HMDS connection is broken")
            return
        now = self._simulator.now()
        try:
            end = min(parse_time(request.end), now) if request.end else now
            bar_seconds, duration = parse_bar_size(request.bar_size), parse_duration(request.duration)
            if problem := _shown_problem(instrument, request.what_to_show):
                raise ValueError(problem)
            if request.keep_up_to_date and request.end:
                raise ValueError("bars that are kept up to date end now, the end must be empty")
            if request.keep_up_to_date and bar_seconds < REAL_TIME_BAR_SECONDS:
                raise ValueError(f"bars that are kept up to date have {REAL_TIME_BAR_SECONDS} seconds or more")
            if request_id in self._bars_kept_up:
                raise ValueError("Duplicate ticker id")
            if duration > MOST_BARS * bar_seconds:
                raise ValueError(f"{duration // bar_seconds} bars, at most {MOST_BARS} are served at once")
            if end.timestamp() <= HISTORY_BEGINS:
                raise ValueError("HMDS query returned no data")
        except ValueError as error:
            self._fail(request_id, 162, f"{_HISTORY_ERROR}{error}")
            return
        as_epoch = request.date_format == 2
        if request.keep_up_to_date:
            due = self._now + REAL_TIME_BAR_SECONDS
            stream = BarStream(instrument, bar_seconds, request.regular_hours, due, as_epoch)
            self._bars_kept_up[request_id] = stream

        def send(bars: list[Bar]) -> None:
            stop = int(end.timestamp())
            rows = [(_date(bar.start, as_epoch, bar_seconds >= SECONDS_PER_DAY), bar) for bar in bars]
            limits = (_date(stop - duration, False, False), _date(stop, False, False))
            self._send(*self._dialect.historical_data(request_id, rows, *limits))

        self._simulator.compute_bars(instrument, end.timestamp(), duration, bar_seconds, request.regular_hours, send)

    def _cancel_historical_data(self, request: NumberedRequest) -> None:
        # What is not kept up to date was sent at once.
        self._bars_kept_up.pop(request.request_id, None)

    def _request_head_timestamp(self, request: requests.RequestHeadTimestamp) -> None:
        instrument = self._find_one(request.request_id, request.contract)
        if instrument is None:
            return
        if problem := _shown_problem(instrument, request.what_to_show):
            self._fail(request.request_id, 162, f"{_HISTORY_ERROR}{problem}")
            return
        moment = datetime.fromtimestamp(HISTORY_BEGINS, UTC)
        text = str(HISTORY_BEGINS) if request.date_format == 2 else f"{moment:%Y%m%d-%H:%M:%S}"
        self._send(self._dialect.head_timestamp(request.request_id, text))

    def _request_historical_ticks(self, request: requests.RequestHistoricalTicks) -> None:
        request_id = request.request_id
        instrument = self._find_one(request_id, request.contract)
        if instrument is None:
            return
        kind = {"TRADES": 1, "BID_ASK": 3, "MIDPOINT": 4}.get(request.what_to_show)
        now = self._now
        try:
            if kind is None:
                raise ValueError(f"{request.what_to_show!r} is none of TRADES, BID_ASK, MIDPOINT")
            if problem := _shown_problem(instrument, request.what_to_show):
                raise ValueError(problem)
            if not 1 <= request.count <= MOST_TICKS:
                raise ValueError(f"{request.count} ticks, wanted 1 to {MOST_TICKS}")
            if bool(request.start) == bool(request.end):
                raise ValueError("either a start or an end is wanted")
            if request.start:
                start = parse_time(request.start).timestamp()
                end = min(now, start + request.count)
            else:
                end = min(now, parse_time(request.end).timestamp())
                start = end - request.count
            if end <= HISTORY_BEGINS or start > now:
                raise ValueError("HMDS query returned no data")
        except ValueError as error:
            self._fail(request_id, 10187, f"Failed to request historical ticks:{error}")
            return
        past = self._past_quotes(instrument, start, end, request.count)
        self._send(self._past_ticks(request_id, kind, instrument, past))

    def _past_quotes(self, instrument: Instrument, start: float, end: float, count: int) -> list[Quote]:
        """Return one quote for each second from ``start`` until before ``end``, at most ``count``."""
        first = math.ceil(start)
        return [self._simulator.quote_at(instrument, second) for second in range(first, math.ceil(end))][:count]

    def _past_ticks(self, request_id: int, kind: int, instrument: Instrument, past: list[Quote]) -> bytes:
        if kind == 3:
            return self._dialect.historical_ticks_bid_ask(request_id, past)
        if kind == 4:
            return self._dialect.historical_ticks_midpoint(request_id, past)
        return self._dialect.historical_ticks_last(request_id, past, instrument.primary_exchange)


_Side = tuple[TickKind, TickKind, Decimal | None, int]
_NO_SIDES: tuple[_Side, ...] = (
    (TickKind.BID, TickKind.BID_SIZE, None, 0),
    (TickKind.ASK, TickKind.ASK_SIZE, None, 0),
    (TickKind.LAST, TickKind.LAST_SIZE, None, 0),
)


def _sides(quote: Quote) -> tuple[tuple[TickKind, TickKind, Decimal, int], ...]:
    return (
        (TickKind.BID, TickKind.BID_SIZE, quote.bid, quote.bid_size),
        (TickKind.ASK, TickKind.ASK_SIZE, quote.ask, quote.ask_size),
        (TickKind.LAST, TickKind.LAST_SIZE, quote.last, quote.last_size),
    )


_LIVE_KINDS = {kind: int(kind) for kind in TickKind}


def _parse_generic_ticks(text: str, sec_type: str) -> list[int]:
    """Return the numbers of the generic ticks that a client wants. Raises ValueError that names the wrong ones."""
    # "mdoff" turns the usual ticks off, and ":" begins a news source's name.
    wanted = [part.strip().partition(":")[0] for part in text.split(",") if part.strip()]
    wrong = [part for part in wanted if part != "mdoff" and not (part.isdecimal() and int(part) in GENERIC_TICKS)]
    if wrong:
        legal = ",".join(map(str, sorted(GENERIC_TICKS)))
        raise ValueError(f"Incorrect generic tick list of {','.join(wrong)}. Legal ones for ({sec_type}) are: {legal}")
    return [int(part) for part in wanted if part != "mdoff"]


def _shown_problem(instrument: Instrument, what_to_show: str) -> str:
    """Say why an instrument's prices cannot be shown as that, or return an empty text."""
    if what_to_show not in SHOWN:
        return f"{what_to_show!r} is none of {', '.join(sorted(SHOWN))}"
    if what_to_show in ("TRADES", "ADJUSTED_LAST") and instrument.sec_type == "CASH":
        return f"No historical market data for {instrument.symbol}/CASH@{instrument.primary_exchange} Last"
    return ""


def _date(seconds: int, as_epoch: bool, daily: bool) -> str:
    """Return a bar's date: bars of days are dated by day whatever the format."""
    moment = datetime.fromtimestamp(seconds, UTC)
    if daily:
        return f"{moment:%Y%m%d}"
    return str(seconds) if as_epoch else f"{moment:%Y%m%d %H:%M:%S} UTC"


def parse_bar_size(text: str) -> int:
    """Return the seconds of a bar size such as ``1 min`` or ``5 mins``. Raises ValueError."""
    units = {"sec": 1, "secs": 1, "min": 60, "mins": 60, "hour": 3600, "hours": 3600, "day": SECONDS_PER_DAY}
    return _parse_span(text, units, "bar size")


def parse_duration(text: str) -> int:
    """Return the seconds of a duration such as ``3600 S``, ``2 D``, ``1 W``, ``1 M`` or ``1 Y``. Raises ValueError."""
    days = {"D": 1, "W": 7, "M": 30, "Y": 365}
    units = {"S": 1, **{unit: count * SECONDS_PER_DAY for unit, count in days.items()}}
    return _parse_span(text, units, "duration")


def _parse_span(text: str, units: dict[str, int], what: str) -> int:
    match = re.fullmatch(r"([0-9]{1,6}) (\w+)", text)
    if match is None or match[2] not in units or not int(match[1]):
        raise ValueError(f"{what} {text!r} is not a number and one of {', '.join(units)}")
    return int(match[1]) * units[match[2]]
