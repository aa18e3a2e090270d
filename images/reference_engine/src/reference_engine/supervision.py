# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches over an engine: judges its orders by limits and hours, stops it, ends its day, and keeps the figures.

The rules themselves are pure and live in risk.py and hours.py; here they meet the account.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from . import log
from .config import EngineConfig
from .engine import Engine
from .gateway import BrokerWatch, LinkError, UnknownInstrumentError
from .guard import Refusal
from .hours import Calendar, HoursError
from .ledger import Ledger
from .model import Instrument, OpenOrder, OrderRequest, iso
from .risk import Book, Figures, Line, OrderRate, Stop, gross_exposure, is_above, refusal, stops

# Daily at the least; more often, for an early close that is announced on the day itself.
_HOURS_REFRESH_SECONDS = 6 * 3600.0
_HOURS_RETRY_SECONDS = 30.0
_HOURS_LOOK_SECONDS = 5.0
_RECORD_EVERY = timedelta(seconds=60)
_LIQUIDATE_AGAIN = timedelta(seconds=5)
# The gateway's clock is told in whole seconds; below this it is the same as ours.
_CLOCK_TOLERANCE_SECONDS = 2.0
_FILLS_CHECKED = 1000
_TRADES_LOOKED_AT = 100
# Reasons not to ask the strategy, which are none not to close what it left.
_STRATEGY_ONLY = frozenset({"strategy"})


class Supervision:
    """A `Guard` and a duty of one engine; `attach` makes it both."""

    def __init__(self, config: EngineConfig, ledger: Ledger, engine: Engine, link: BrokerWatch) -> None:
        self.figures = Figures()
        self.exposure: float | None = 0.0
        self._limits = config.risk
        self._settings = config.trading_hours
        self._ledger = ledger
        self._engine = engine
        self._link = link
        self._calendar = Calendar(config.trading_hours)
        self._rate = OrderRate(config.risk)
        self._ask_hours_at: dict[int, float] = {}
        self._halted = ledger.halt() is not None
        self._since = ledger.resumed_at()
        self._trades_looked_at = max(config.risk.max_losing_streak or 0, _TRADES_LOOKED_AT)
        self._peak = ledger.newest_risk_metric("peak_net_liquidation", self._since)
        self._day = ""
        self._daily_loss: Refusal | None = None
        self._stopped_on = ""
        self._recorded: dict[str, float] = {}
        self._recorded_at: datetime | None = None
        self._liquidating: set[str] = set()
        self._liquidate_at: dict[int, datetime] = {}
        self._told_kept: set[tuple[int, datetime]] = set()
        self._closed_at: datetime | None = None

    def attach(self) -> None:
        """Become part of the engine."""
        self._engine.guards.append(self)
        self._engine.duties.append(self.watch)
        self._engine.companions.append(self.keep_hours)
        self._engine.on_known = self.learn_hours
        self._engine.figures = lambda: self.values
        if self._settings.session != "always":
            self._engine.ticks_due_since = self._calendar.ticks_due_since

    # -- the exchange's hours

    async def learn_hours(self, instrument: Instrument) -> None:
        """Ask for the hours of an instrument, unless that was done of late."""
        now = asyncio.get_running_loop().time()
        if self._ask_hours_at.get(instrument.con_id, now) > now:
            return
        pause = _HOURS_REFRESH_SECONDS
        try:
            told = await self._link.exchange_hours(instrument)
            self._calendar.learn(instrument.con_id, told)
        except (LinkError, UnknownInstrumentError, HoursError) as error:
            log.warning("exchange_hours_unknown", symbol=instrument.symbol, reason=error)
            pause = _HOURS_RETRY_SECONDS
        else:
            log.info("exchange_hours", symbol=instrument.symbol, zone=told.zone, liquid=told.liquid)
        self._ask_hours_at[instrument.con_id] = now + pause

    async def keep_hours(self) -> None:
        """Keep the hours of every instrument fresh until cancelled."""
        while True:
            for instrument in list(self._engine.known.values()):
                await self.learn_hours(instrument)
            await asyncio.sleep(_HOURS_LOOK_SECONDS)

    def _note_hours(self, now: datetime) -> None:
        """Let /health show hours that are not known; before the first answer that is no news."""
        asked = [instrument for con_id, instrument in self._engine.known.items() if con_id in self._ask_hours_at]
        unknown = (self._calendar.unknown(instrument.con_id, instrument.symbol, now) for instrument in asked)
        if problem := next(filter(None, unknown), ""):
            self._engine.restrict("trading_hours", problem)
        else:
            self._engine.unrestrict("trading_hours")

    def _moments(self, now: datetime) -> tuple[datetime, ...]:
        """Return what time it is, by our clock and, where they differ, by the gateway's: both must agree to trade."""
        skew = self._link.clock_skew_seconds
        if skew is None or abs(skew) < _CLOCK_TOLERANCE_SECONDS:
            return (now,)
        return (now, now + timedelta(seconds=skew))

    # -- judging orders

    def refusal(self, request: OrderRequest, now: datetime) -> Refusal | None:
        """Judge an order (`Guard`); one that passes counts for the order rate."""
        orders = [order for order in self._engine.open if order.order_ref != request.replaces]
        if request.replaces:
            replaced = next((order for order in self._engine.open if order.order_ref == request.replaces), None)
            left = request.quantity - (replaced.filled if replaced else 0.0)
            if left <= 0:
                return None
            request = replace(request, quantity=left)
        if self._limits.stops_trading:
            # With the losses of this moment: a second is long for a strategy that runs wild.
            self._judge_losses(now)
        found = refusal(self._limits, request, self._book(request.instrument, orders, now))
        if found is None:
            moment = time.monotonic()
            found = self._rate.refusal(moment)
            if found is None:
                self._rate.count(moment)
        return found

    def _book(self, instrument: Instrument, orders: Sequence[OpenOrder], now: datetime) -> Book:
        con_id, symbol = instrument.con_id, instrument.symbol
        moments = self._moments(now)
        return Book(
            lines=self._lines(orders, instrument),
            open_orders=len(orders),
            net_liquidation=self._engine.account_values.net_liquidation,
            closed=next(filter(None, (self._calendar.closed(con_id, symbol, moment) for moment in moments)), ""),
            reduce_only=self._daily_loss
            or next(filter(None, (self._end_of_day(instrument, moment) for moment in moments)), None),
        )

    def _lines(self, orders: Sequence[OpenOrder], *more: Instrument) -> dict[int, Line]:
        """Return every instrument that is held, ordered or asked for."""
        engine, values = self._engine, self._engine.account_values
        symbols = {order.con_id or 0: order.symbol for order in orders}
        symbols |= {con_id: symbol for con_id, (symbol, quantity) in engine.positions.items() if quantity}
        symbols |= {instrument.con_id: instrument.symbol for instrument in more}
        lines = {}
        for con_id, symbol in symbols.items():
            instrument, tick = engine.known.get(con_id), engine.ticks.get(con_id)
            currency = instrument.currency if instrument else ""
            lines[con_id] = Line(
                symbol=symbol,
                quantity=engine.positions.get(con_id, ("", 0.0))[1],
                buying=sum(o.remaining for o in orders if o.con_id == con_id and o.side == "BUY"),
                selling=sum(o.remaining for o in orders if o.con_id == con_id and o.side == "SELL"),
                price=tick.price if tick else None,
                bid=tick.bid if tick else None,
                ask=tick.ask if tick else None,
                multiplier=instrument.multiplier if instrument else 1.0,
                rate=1.0 if currency and currency == values.currency else values.rates.get(currency),
            )
        return lines

    def _end_of_day(self, instrument: Instrument, now: datetime) -> Refusal | None:
        """Say why nothing may be opened so late in the day, nor, where that is set, outside the regular session."""
        minutes = self._settings.close_positions_minutes_before_close
        if minutes is None:
            return None
        hours = self._calendar.liquid(instrument.con_id)
        if hours is None or not hours.is_open(now):
            return Refusal("end_of_day", f"the regular session of {instrument.symbol} is closed")
        closes = hours.closes_at(now)
        if closes is None or now < closes - timedelta(minutes=minutes):
            return None
        return Refusal("end_of_day", f"positions in {instrument.symbol} are closed before the close at {iso(closes)}")

    # -- every second

    def watch(self, now: datetime) -> None:
        """Measure, stop what must be stopped, end the day, and keep the figures."""
        self._note_hours(now)
        self._judge_losses(now)
        self._liquidate(now)
        self._close_day(now)
        if self._engine.reconciled and (self._recorded_at is None or now - self._recorded_at >= _RECORD_EVERY):
            self._cross_check()
            self._record(now)

    def _judge_losses(self, now: datetime) -> None:
        if (day := iso(now)[:10]) != self._day:
            self._begin_day(day, now)
        self._note_halt()
        self._measure()
        found = stops(self._limits, self.figures)
        # The broker's day may end hours after ours: a stop is over when both have.
        if self._daily_loss and day != self._stopped_on and all(stop.kind != "daily_loss" for stop in found):
            self._daily_loss = None
            self._engine.unrestrict("daily_loss")
            self._ledger.resolve_risk_events("daily_loss", "another day has begun")
        if self._engine.role == "trading" and not self._halted:
            for stop in found:
                self._stop(stop)

    def _begin_day(self, day: str, now: datetime) -> None:
        first, self._day = not self._day, day
        self._liquidating.clear()
        self._told_kept.clear()
        if not first:
            self._recorded.clear()
            self._record(now)
        elif stop := self._ledger.standing_stop("daily_loss"):
            # It outlives a restart of the engine.
            self._stop_opening(*stop)

    def _stop_opening(self, day: str, message: str) -> None:
        self._stopped_on = day
        self._daily_loss = Refusal("daily_loss", f"{message}; nothing is opened before the next day")
        self._engine.restrict("daily_loss", self._daily_loss.message)

    def _note_halt(self) -> None:
        halted = self._ledger.halt() is not None
        if self._halted and not halted:
            # Who lifts a halt has seen the loss: streak and drawdown begin anew.
            self._since = self._ledger.resumed_at()
            self._peak = None
            if self._engine.role == "trading":
                self._ledger.set_trading_state("trading", "the halt was lifted")
            log.info("trading_resumed")
        self._halted = halted

    def _measure(self) -> None:
        values = self._engine.account_values
        worth, profit = values.net_liquidation, values.daily_pnl
        # An account that is worth nothing is one of which the broker has told nothing yet.
        if worth is not None and worth > 0:
            self._peak = max(self._peak or worth, worth)
        if profit is None and values.currency:
            profit = self._ledger.profit_of_day(self._day, values.currency)
        self.figures = Figures(
            worth, self._peak, profit, self._ledger.losing_streak(self._since, self._trades_looked_at)
        )
        self.exposure = gross_exposure(self._lines(self._engine.open).values())

    def _stop(self, stop: Stop) -> None:
        if stop.kind == "daily_loss":
            if self._daily_loss:
                return
            self._ledger.record_event("daily_loss", stop.message)
            self._ledger.record_risk_event("daily_loss", "critical", stop.message)
            self._stop_opening(self._day, stop.message)
        else:
            self._ledger.halt_trading(stop.kind, stop.message)
            self._halted = True
        log.error("trading_stopped", kind=stop.kind, reason=stop.message)
        self._engine.cancel(self._opening())

    def _opening(self) -> list[str]:
        """Return the open orders that could do more than close a position, oldest first."""
        opening = []
        lines = self._lines([])
        for order in self._engine.open:
            con_id = order.con_id or 0
            line = lines.get(con_id, Line())
            if not line.only_reduces(order.side, order.remaining):
                opening.append(order.order_ref)
            elif order.side == "BUY":
                lines[con_id] = replace(line, buying=line.buying + order.remaining)
            else:
                lines[con_id] = replace(line, selling=line.selling + order.remaining)
        return opening

    # -- the end of the day

    def _liquidate(self, now: datetime) -> None:
        minutes = self._settings.close_positions_minutes_before_close
        if minutes is None:
            return
        for con_id, instrument in self._engine.known.items():
            hours = self._calendar.liquid(con_id)
            if hours is None:
                continue
            if closed_at := hours.closed_at(now):
                self._tell_kept(instrument, closed_at, now)
            closes = min(filter(None, (hours.closes_at(moment) for moment in self._moments(now))), default=None)
            if closes is not None and any(m >= closes - timedelta(minutes=minutes) for m in self._moments(now)):
                self._close_position(instrument, now)

    def _close_position(self, instrument: Instrument, now: datetime) -> None:
        """Cancel what works, then sell or buy back what is held."""
        orders = self._engine.orders(instrument)
        self._engine.cancel([order.order_ref for order in orders if order.order_ref not in self._liquidating])
        held = self._engine.position(instrument)
        if orders or not held or now < self._liquidate_at.get(instrument.con_id, now):
            return
        self._liquidate_at[instrument.con_id] = now + _LIQUIDATE_AGAIN
        blocked = {name: text for name, text in self._engine.blockers() if name not in _STRATEGY_ONLY}
        if blocked:
            log.error("end_of_day_blocked", symbol=instrument.symbol, quantity=held, reason="; ".join(blocked.values()))
            return
        request = OrderRequest(instrument, "SELL" if held > 0 else "BUY", abs(held))
        if order_ref := self._engine.submit(request, by="end_of_day"):
            self._liquidating.add(order_ref)
            self._ledger.record_event(
                "end_of_day", f"closing {held:g} {instrument.symbol}", {"order_ref": order_ref, "quantity": held}
            )

    def _tell_kept(self, instrument: Instrument, closed_at: datetime, now: datetime) -> None:
        """Tell a person when the exchange closed and something is still held."""
        key = (instrument.con_id, closed_at)
        if key in self._told_kept or now - closed_at > _RECORD_EVERY:
            return
        self._told_kept.add(key)
        if held := self._engine.position(instrument):
            self._ledger.record_risk_event(
                "end_of_day_incomplete",
                "critical",
                f"{held:g} {instrument.symbol} are still held after the close at {iso(closed_at)}",
                symbol=instrument.symbol,
            )

    def _close_day(self, now: datetime) -> None:
        """Note what the account was worth at the newest close; where nothing closes, the day ends at midnight."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        closed_at = self._calendar.closed_at(now)
        if (closed_at is None or closed_at < midnight) and self._calendar.never_closes(now):
            closed_at = midnight
        values = self._engine.account_values
        if closed_at is None or closed_at == self._closed_at or self._engine.role != "trading":
            return
        if values.net_liquidation is None or not self._engine.reconciled:
            return
        self._closed_at = closed_at
        day = iso(closed_at - timedelta(milliseconds=1))[:10]
        # What the account was worth at the close of another day is not known any more.
        if day != self._day and now - closed_at > _RECORD_EVERY:
            return
        noted = self._ledger.close_day(
            day,
            values.currency,
            closed_at,
            net_liquidation=values.net_liquidation,
            unrealized=values.unrealized_pnl or 0.0,
            positions=sum(1 for _, quantity in self._engine.positions.values() if quantity),
        )
        if noted:
            log.info("day_closed", day=day, closed_at=iso(closed_at), net_liquidation=values.net_liquidation)

    # -- the figures

    def _cross_check(self) -> None:
        """Compare what broker and ledger say that the same fills made; the broker's figure is the one that counts."""
        theirs, ours, commission = self._ledger.profits_of_fills(self._day, _FILLS_CHECKED)
        tolerance = 1.0 + 2.0 * commission + 0.01 * abs(theirs)
        if is_above(abs(theirs - ours), tolerance):
            self._ledger.record_risk_event(
                "pnl_mismatch",
                "warning",
                f"{self._day}: the broker and the ledger differ in what the day's fills made",
                details={"broker": theirs, "ledger": ours, "commission": commission, "tolerance": tolerance},
            )

    @property
    def values(self) -> dict[str, tuple[float, str]]:
        """The figures that are known, by name: value and unit."""
        figures, currency = self.figures, self._engine.account_values.currency
        found = {
            "net_liquidation": (figures.net_liquidation, currency),
            "peak_net_liquidation": (figures.peak, currency),
            "drawdown_percent": (figures.drawdown_percent, "percent"),
            "daily_pnl": (figures.daily_pnl, currency),
            "gross_exposure": (self.exposure, currency),
            "losing_streak": (float(figures.losing_streak), "trades"),
        }
        return {name: (value, unit) for name, (value, unit) in found.items() if value is not None}

    def _record(self, now: datetime) -> None:
        """Write the figures that are others than at the last time: a value holds until the next one."""
        self._recorded_at = now
        changed = {name: told for name, told in self.values.items() if self._recorded.get(name) != told[0]}
        if changed:
            self._ledger.record_risk_metrics(now, changed)
            self._recorded |= {name: value for name, (value, _) in changed.items()}
