# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prices are a function of seed and time, look like a market, and agree with their history."""

from __future__ import annotations

import statistics
from itertools import pairwise

import pytest

from gateway_simulator.contracts import LISTED
from gateway_simulator.market import TRADING_SECONDS_PER_YEAR, Market
from gateway_simulator.model import Instrument

NOON = 1_795_348_800.0
AAPL = LISTED[265598]


def test_two_markets_with_one_seed_quote_the_same_and_others_do_not() -> None:
    quotes = [[Market(seed).quote(AAPL, NOON + second) for second in range(10)] for seed in (1, 1, 2)]
    assert quotes[0] == quotes[1]
    assert quotes[0] != quotes[2]


def test_a_quote_changes_with_the_tick_and_not_between() -> None:
    market = Market(1, ticks_per_second=2)
    assert market.quote(AAPL, NOON) == market.quote(AAPL, NOON + 0.49)
    quotes = [market.quote(AAPL, NOON + half / 2) for half in range(20)]
    assert all(one != other for one, other in pairwise(quotes))


@pytest.mark.parametrize("instrument", list(LISTED), ids=lambda instrument: instrument.local_symbol)
def test_every_instrument_stays_near_its_reference_with_whole_ticks_and_a_spread(instrument: Instrument) -> None:
    market = Market(7)
    for day in range(0, 365, 7):
        quote = market.quote(instrument, NOON + day * 86_400)
        assert 0.3 < float(quote.bid / instrument.reference_price) < 3
        assert quote.ask - quote.bid == instrument.spread * instrument.min_tick
        assert quote.bid % instrument.min_tick == quote.close % instrument.min_tick == 0
        assert quote.last in (quote.bid, quote.ask)


def test_prices_move_by_their_volatility() -> None:
    prices = [Market(3).price(AAPL, NOON + second) for second in range(2000)]
    moves = [after / before - 1 for before, after in pairwise(prices)]
    expected = AAPL.volatility / TRADING_SECONDS_PER_YEAR**0.5
    assert 0.6 < statistics.stdev(moves) / expected < 1.6


def test_history_agrees_with_the_quotes_of_its_time() -> None:
    market = Market(1)
    bars = list(market.bars(AAPL, NOON, 3600, 60))
    assert [bar.start for bar in bars] == list(range(int(NOON) - 3600, int(NOON), 60))
    assert [bar.open for bar in bars] == [market.quote(AAPL, bar.start).bid for bar in bars]
    assert [bar.close for bar in bars[:-1]] == [bar.open for bar in bars[1:]]
