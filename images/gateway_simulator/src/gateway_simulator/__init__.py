# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An IB API server for development and tests: a simulated broker behind the gateway's own socket protocol.

Layers, each knowing only those above it in this list:

    model               the plain data that all share
    hours, contracts    when and what can be traded (pure)
    market, replay      at what price at any moment: a seeded process, or recorded bars
    account             the books: cash, positions, margin, commissions, profit and loss (pure)
    rules, orderbook    which orders are taken, and the day's orders and executions (pure)
    broker              the orders' way, and their matching (pure)
    world, scenario     all of the above as one file describes it
    store               the broker's state on disk
    wire                frames and fields
    requests            everything a client can ask for
    terms               an order's fields under the names that the protocol gives them
    order_layout        the text messages with a whole order in them, by server version
    messages            the text dialect: the layout of every message, by server version
    protobuf            the dialect of newer versions, with the messages that ib.proto defines
    accounts, listings, prices, orders   what answers a client's requests, whatever the dialect
    session             one client's conversation: handshake, pace, and the services that answer
    server              all clients, the market's clock, the broker link
"""
