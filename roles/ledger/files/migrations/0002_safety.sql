-- Copyright: (c) 2026, Ballast contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- The token of the newest lease that has traded the account. An intent is refused when this is above the engine's own.
ALTER TABLE trading_state ADD COLUMN fencing_token INTEGER NOT NULL DEFAULT 0 CHECK (fencing_token >= 0);

-- Trailing stops: the distance in the currency of the row, or in percent of the price. stop_price is where it begins.
ALTER TABLE orders ADD COLUMN trail_amount REAL CHECK (trail_amount > 0);
ALTER TABLE orders ADD COLUMN trail_percent REAL CHECK (trail_percent > 0 AND trail_percent < 100);

-- How much of a fill took from a position; 0 for a fill that only opened or added, and then broker_realized_pnl is NULL:
-- the broker names no profit there. NULL for fills of schema version 1.
ALTER TABLE executions ADD COLUMN closed_quantity REAL CHECK (closed_quantity >= 0 AND closed_quantity <= quantity);

UPDATE executions SET broker_realized_pnl = NULL WHERE broker_realized_pnl = 0 AND realized_pnl = 0;

-- What the broker took back: an execution id whose last part is higher replaces the one before it. `executions` has what
-- counts now; a row here has what counted until then, and the id that replaced it.
CREATE TABLE execution_corrections (
    id           INTEGER PRIMARY KEY,
    at           TEXT NOT NULL CHECK (at LIKE '____-__-__T__:__:__.___Z'),
    execution_id INTEGER NOT NULL REFERENCES executions (id),
    exec_id      TEXT NOT NULL UNIQUE CHECK (exec_id <> ''),
    replaced_by  TEXT NOT NULL CHECK (replaced_by <> exec_id),
    side         TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity     REAL NOT NULL CHECK (quantity > 0),
    price        REAL NOT NULL,
    commission   REAL,
    executed_at  TEXT NOT NULL CHECK (executed_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

CREATE INDEX execution_corrections_at ON execution_corrections (at);
CREATE INDEX execution_corrections_execution ON execution_corrections (execution_id);

-- Where the broker's quantity won over the fills: from here on the round trips of the instrument go on with this quantity
-- and price per unit. after_execution is the newest row of executions at that time, 0 when there was none.
CREATE TABLE trade_adjustments (
    id              INTEGER PRIMARY KEY,
    at              TEXT NOT NULL CHECK (at LIKE '____-__-__T__:__:__.___Z'),
    account         TEXT NOT NULL,
    con_id          INTEGER NOT NULL,
    symbol          TEXT NOT NULL,
    quantity        REAL NOT NULL,
    price           REAL NOT NULL,
    after_execution INTEGER NOT NULL CHECK (after_execution >= 0)
) STRICT;

CREATE INDEX trade_adjustments_instrument ON trade_adjustments (account, con_id, after_execution);

-- For ledgers of schema version 1: where adjusted trades stand now.
INSERT INTO trade_adjustments (at, account, con_id, symbol, quantity, price, after_execution)
SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), account, con_id, max(symbol), sum(open_quantity),
       COALESCE(max(CASE WHEN closed_at IS NULL THEN average_entry_price END), 0),
       (SELECT COALESCE(max(id), 0) FROM executions)
FROM trades GROUP BY account, con_id HAVING max(adjusted) = 1;

CREATE INDEX executions_instrument ON executions (account, con_id);

-- The close of a day, in the row of the account's base currency: its net liquidation, the unrealized profit of what was
-- still held, and how many positions that were. NULL until closed_at, the exchange's close or, where that never closes,
-- the end of the day; fills that come later still count in the columns above.
ALTER TABLE daily_summaries ADD COLUMN unrealized_pnl REAL;
ALTER TABLE daily_summaries ADD COLUMN net_liquidation REAL;
ALTER TABLE daily_summaries ADD COLUMN positions INTEGER CHECK (positions >= 0);
ALTER TABLE daily_summaries ADD COLUMN closed_at TEXT CHECK (closed_at LIKE '____-__-__T__:__:__.___Z');

-- What an emergency stop could not end.
ALTER TABLE emergency_stops ADD COLUMN orders_left INTEGER CHECK (orders_left >= 0);
ALTER TABLE emergency_stops ADD COLUMN positions_left INTEGER CHECK (positions_left >= 0);
