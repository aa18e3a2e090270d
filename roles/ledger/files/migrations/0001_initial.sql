-- Copyright: (c) 2026, Ballast contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- The ledger of one stack. Times are TEXT, ISO 8601 UTC with milliseconds: 2026-11-22T20:45:01.123Z.
-- Quantities are in units of the instrument; prices and money are in the currency of the row.
-- A day is the UTC date of the execution. Quantities of positions and trades are signed: long > 0, short < 0.

-- What the engine wants from the broker. A row exists in status 'intent' before any byte leaves the engine, and its
-- order_ref travels with the order: it is the idempotency key by which the order is found again after a crash.
CREATE TABLE orders (
    id                 INTEGER PRIMARY KEY,
    order_ref          TEXT NOT NULL UNIQUE CHECK (order_ref <> ''),
    account            TEXT NOT NULL,
    strategy           TEXT NOT NULL,
    slot               TEXT NOT NULL CHECK (slot IN ('blue', 'green')),
    release_id         TEXT NOT NULL,
    con_id             INTEGER,
    symbol             TEXT NOT NULL,
    security_type      TEXT NOT NULL,
    exchange           TEXT NOT NULL,
    currency           TEXT NOT NULL,
    side               TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity           REAL NOT NULL CHECK (quantity > 0),
    order_type         TEXT NOT NULL CHECK (order_type <> ''),
    limit_price        REAL,
    stop_price         REAL,
    time_in_force      TEXT NOT NULL DEFAULT 'DAY',
    -- intent: recorded, not yet sent.  sent: handed to the gateway, no answer yet.  submitted: the broker has it.
    -- cancelling: a cancel is under way.  filled, cancelled, rejected: final.  not_sent: final, the broker never had it.
    -- unresolved: the broker had it and no longer knows it; a risk event asks a person to look.
    status             TEXT NOT NULL DEFAULT 'intent' CHECK (status IN ('intent', 'sent', 'submitted', 'cancelling',
                           'filled', 'cancelled', 'rejected', 'not_sent', 'unresolved')),
    broker_status      TEXT,
    broker_message     TEXT,
    client_id          INTEGER,
    broker_order_id    INTEGER,
    perm_id            INTEGER,
    filled_quantity    REAL NOT NULL DEFAULT 0 CHECK (filled_quantity >= 0),
    average_fill_price REAL,
    created_at         TEXT NOT NULL CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    sent_at            TEXT CHECK (sent_at LIKE '____-__-__T__:__:__.___Z'),
    updated_at         TEXT NOT NULL CHECK (updated_at LIKE '____-__-__T__:__:__.___Z'),
    CHECK (status <> 'intent' OR sent_at IS NULL),
    CHECK (status NOT IN ('sent', 'submitted', 'cancelling') OR sent_at IS NOT NULL)
) STRICT;

CREATE INDEX orders_open ON orders (created_at) WHERE status IN ('intent', 'sent', 'submitted', 'cancelling');
CREATE INDEX orders_created ON orders (created_at);
CREATE INDEX orders_symbol ON orders (symbol, created_at);
CREATE INDEX orders_perm ON orders (perm_id) WHERE perm_id IS NOT NULL;

-- Round trips: a trade opens when a position leaves zero and closes when it is back at zero. open_quantity is what the
-- ledger believes is still held; adjusted = 1 says that a reconciliation with the broker changed it.
CREATE TABLE trades (
    id                  INTEGER PRIMARY KEY,
    account             TEXT NOT NULL,
    con_id              INTEGER NOT NULL,
    symbol              TEXT NOT NULL,
    currency            TEXT NOT NULL,
    direction           TEXT NOT NULL CHECK (direction IN ('long', 'short')),
    open_quantity       REAL NOT NULL,
    entry_quantity      REAL NOT NULL CHECK (entry_quantity > 0),
    average_entry_price REAL NOT NULL,
    exit_quantity       REAL NOT NULL DEFAULT 0 CHECK (exit_quantity >= 0),
    average_exit_price  REAL,
    realized_pnl        REAL NOT NULL DEFAULT 0,
    commission          REAL NOT NULL DEFAULT 0,
    adjusted            INTEGER NOT NULL DEFAULT 0 CHECK (adjusted IN (0, 1)),
    opened_at           TEXT NOT NULL CHECK (opened_at LIKE '____-__-__T__:__:__.___Z'),
    closed_at           TEXT CHECK (closed_at LIKE '____-__-__T__:__:__.___Z'),
    CHECK ((closed_at IS NULL) = (open_quantity <> 0)),
    CHECK (open_quantity = 0 OR (direction = 'long') = (open_quantity > 0))
) STRICT;

CREATE UNIQUE INDEX trades_open ON trades (account, con_id) WHERE closed_at IS NULL;
CREATE INDEX trades_closed ON trades (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX trades_symbol ON trades (symbol, opened_at);

-- Fills as the broker reports them, each exactly once by exec_id. order_id is empty for fills of orders that were not
-- ours (placed by hand). realized_pnl is ours, by average cost and before commission; broker_realized_pnl is the broker's.
CREATE TABLE executions (
    id                  INTEGER PRIMARY KEY,
    exec_id             TEXT NOT NULL UNIQUE CHECK (exec_id <> ''),
    order_id            INTEGER REFERENCES orders (id),
    trade_id            INTEGER NOT NULL REFERENCES trades (id),
    order_ref           TEXT,
    perm_id             INTEGER,
    client_id           INTEGER,
    broker_order_id     INTEGER,
    account             TEXT NOT NULL,
    con_id              INTEGER NOT NULL,
    symbol              TEXT NOT NULL,
    security_type       TEXT NOT NULL,
    exchange            TEXT NOT NULL,
    currency            TEXT NOT NULL,
    multiplier          REAL NOT NULL DEFAULT 1 CHECK (multiplier > 0),
    side                TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity            REAL NOT NULL CHECK (quantity > 0),
    price               REAL NOT NULL,
    realized_pnl        REAL NOT NULL DEFAULT 0,
    commission          REAL,
    commission_currency TEXT,
    broker_realized_pnl REAL,
    executed_at         TEXT NOT NULL CHECK (executed_at LIKE '____-__-__T__:__:__.___Z'),
    recorded_at         TEXT NOT NULL CHECK (recorded_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

CREATE INDEX executions_executed ON executions (executed_at);
CREATE INDEX executions_symbol ON executions (symbol, executed_at);
CREATE INDEX executions_order ON executions (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX executions_trade ON executions (trade_id);

-- What the account holds now, as the broker last said it. A closed position has no row.
CREATE TABLE positions (
    account      TEXT NOT NULL,
    con_id       INTEGER NOT NULL,
    symbol       TEXT NOT NULL,
    currency     TEXT NOT NULL,
    quantity     REAL NOT NULL CHECK (quantity <> 0),
    average_cost REAL NOT NULL,
    updated_at   TEXT NOT NULL CHECK (updated_at LIKE '____-__-__T__:__:__.___Z'),
    PRIMARY KEY (account, con_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX positions_symbol ON positions (symbol);

-- Every change of a position, so that the holdings of any moment can be told. quantity is the one after the change.
CREATE TABLE position_history (
    id           INTEGER PRIMARY KEY,
    at           TEXT NOT NULL CHECK (at LIKE '____-__-__T__:__:__.___Z'),
    account      TEXT NOT NULL,
    con_id       INTEGER NOT NULL,
    symbol       TEXT NOT NULL,
    quantity     REAL NOT NULL,
    average_cost REAL NOT NULL,
    source       TEXT NOT NULL CHECK (source IN ('broker', 'reconciliation'))
) STRICT;

CREATE INDEX position_history_symbol ON position_history (symbol, at);
CREATE INDEX position_history_at ON position_history (at);

-- Profit and loss by day, account and currency, kept up to date with every fill. realized_pnl is before commission.
CREATE TABLE daily_summaries (
    day           TEXT NOT NULL CHECK (day LIKE '____-__-__'),
    account       TEXT NOT NULL,
    currency      TEXT NOT NULL,
    executions    INTEGER NOT NULL DEFAULT 0 CHECK (executions >= 0),
    volume        REAL NOT NULL DEFAULT 0 CHECK (volume >= 0),
    turnover      REAL NOT NULL DEFAULT 0,
    trades_closed INTEGER NOT NULL DEFAULT 0 CHECK (trades_closed >= 0),
    realized_pnl  REAL NOT NULL DEFAULT 0,
    commission    REAL NOT NULL DEFAULT 0,
    updated_at    TEXT NOT NULL CHECK (updated_at LIKE '____-__-__T__:__:__.___Z'),
    PRIMARY KEY (day, account, currency)
) STRICT, WITHOUT ROWID;

-- Things that happened to the account's safety and that a person may have to resolve.
CREATE TABLE risk_events (
    id          INTEGER PRIMARY KEY,
    at          TEXT NOT NULL CHECK (at LIKE '____-__-__T__:__:__.___Z'),
    kind        TEXT NOT NULL CHECK (kind <> ''),
    severity    TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    account     TEXT NOT NULL,
    symbol      TEXT,
    order_ref   TEXT REFERENCES orders (order_ref),
    message     TEXT NOT NULL,
    details     TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(details)),
    resolved_at TEXT CHECK (resolved_at LIKE '____-__-__T__:__:__.___Z'),
    resolved_by TEXT,
    resolution  TEXT,
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
) STRICT;

CREATE INDEX risk_events_unresolved ON risk_events (severity, at) WHERE resolved_at IS NULL;
CREATE INDEX risk_events_at ON risk_events (at);
CREATE INDEX risk_events_order ON risk_events (order_ref) WHERE order_ref IS NOT NULL;

-- Measured risk over time (exposure, drawdown, ...): one value per account, name and moment.
CREATE TABLE risk_metrics (
    account TEXT NOT NULL,
    name    TEXT NOT NULL CHECK (name <> ''),
    at      TEXT NOT NULL CHECK (at LIKE '____-__-__T__:__:__.___Z'),
    value   REAL NOT NULL,
    unit    TEXT NOT NULL,
    PRIMARY KEY (account, name, at)
) STRICT, WITHOUT ROWID;

CREATE INDEX risk_metrics_at ON risk_metrics (at);

-- Every emergency stop: who asked and why, what was done, how it ended.
CREATE TABLE emergency_stops (
    id               INTEGER PRIMARY KEY,
    requested_at     TEXT NOT NULL CHECK (requested_at LIKE '____-__-__T__:__:__.___Z'),
    requested_by     TEXT NOT NULL CHECK (requested_by <> ''),
    reason           TEXT NOT NULL CHECK (reason <> ''),
    account          TEXT NOT NULL,
    status           TEXT NOT NULL DEFAULT 'requested' CHECK (status IN ('requested', 'completed', 'failed')),
    orders_cancelled INTEGER NOT NULL DEFAULT 0 CHECK (orders_cancelled >= 0),
    positions_closed INTEGER NOT NULL DEFAULT 0 CHECK (positions_closed >= 0),
    outcome          TEXT,
    finished_at      TEXT CHECK (finished_at LIKE '____-__-__T__:__:__.___Z'),
    CHECK ((status = 'requested') = (finished_at IS NULL))
) STRICT;

CREATE INDEX emergency_stops_requested ON emergency_stops (requested_at);

-- May this account trade, and who last said so. An engine that finds 'halted' sends no order until that is lifted.
CREATE TABLE trading_state (
    account    TEXT PRIMARY KEY,
    state      TEXT NOT NULL CHECK (state IN ('trading', 'stopped', 'halted')),
    reason     TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at TEXT NOT NULL CHECK (changed_at LIKE '____-__-__T__:__:__.___Z')
) STRICT, WITHOUT ROWID;

-- The story of the stack, one line per event, never rewritten: updates, deletes and replacements are refused.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    at         TEXT NOT NULL CHECK (at LIKE '____-__-__T__:__:__.___Z'),
    kind       TEXT NOT NULL CHECK (kind <> ''),
    source     TEXT NOT NULL CHECK (source <> ''),
    release_id TEXT NOT NULL,
    message    TEXT NOT NULL,
    data       TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(data))
) STRICT;

CREATE INDEX events_at ON events (at);
CREATE INDEX events_kind ON events (kind, at);

CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events is append-only: rows cannot be updated');
END;

CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events is append-only: rows cannot be deleted');
END;

-- INSERT OR REPLACE deletes without firing the trigger above.
CREATE TRIGGER events_refuse_replace BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'events is append-only: rows cannot be replaced');
END;
