# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's figures in the Prometheus text exposition format 0.0.4."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GATEWAY_STATES = (
    "unreachable",
    "no_handshake",
    "not_logged_in",
    "client_id_in_use",
    "broker_link_lost",
    "data_stale",
    "ready",
)
_ROLES = ("starting", "trading", "standby", "stopping")
_BREAKER_STATES = ("closed", "half_open", "open")
_STATUSES = ("pass", "warn", "fail")
# Money in the account's base currency.
_RISK = {
    "net_liquidation": "What the account is worth.",
    "peak_net_liquidation": "The most it was worth since a halt was last lifted.",
    "drawdown_percent": "How far it is below that peak.",
    "daily_pnl": "Profit or loss of the day, realized and not.",
    "gross_exposure": "Value of all positions and open orders, without sign.",
    "losing_streak": "Closed trades that lost money, in a row; 100 or more are told as 100.",
}


@dataclass
class Metrics:
    """Counters that only grow while the engine lives."""

    ticks: int = 0
    orders_sent: int = 0
    executions: int = 0
    reconciliations: int = 0
    acknowledgements: int = 0
    acknowledgement_seconds: float = 0.0
    cancels_sent: int = 0
    changes_sent: int = 0
    changes_refused: int = 0
    orders_held: int = 0
    corrections: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    gateway_attempts: int = 0
    gateway_codes: Mapping[int, int] = field(default_factory=dict)
    gateway_clock_skew_seconds: float | None = None
    breaker_state: str = "closed"
    breaker_opened: int = 0
    dead_man_tripped: bool = False
    dead_man_trips: int = 0
    strategy_calls: int = 0
    strategy_call_seconds: float = 0.0
    strategy_slow_calls: int = 0
    strategy_errors: int = 0
    strategy_values: Mapping[str, float] = field(default_factory=dict)
    ledger_commits: int = 0
    ledger_commit_seconds: float = 0.0
    started: float = field(default_factory=time.time)

    def render(self, health: Mapping[str, Any], sessions: int, sessions_not_understood: int) -> str:
        """Return the exposition of the counters and of what the health document says."""
        page = _Page()
        page.add(
            "info",
            "gauge",
            "Who this engine is.",
            [({"stack": health["stack"], "slot": health["slot"], "release": health["releaseId"]}, 1)],
        )
        page.add(
            "health",
            "gauge",
            "1 for the status the health document has.",
            _one_of(_STATUSES, health["status"], "status"),
        )
        page.add("role", "gauge", "1 for the role the engine has.", _one_of(_ROLES, health["role"], "role"))
        page.add(
            "gateway_state",
            "gauge",
            "1 for the state the gateway link is in.",
            _one_of(_GATEWAY_STATES, health["gateway"]["state"], "state"),
        )
        page.add("gateway_sessions_total", "counter", "Sessions made with the gateway.", [({}, sessions)])
        page.add(
            "gateway_sessions_not_understood_total",
            "counter",
            "Sessions ended because of a message that could not be understood.",
            [({}, sessions_not_understood)],
        )
        page.add("gateway_attempts_total", "counter", "Sessions tried for.", [({}, self.gateway_attempts)])
        page.add(
            "gateway_messages_total",
            "counter",
            "Messages with a code (IB API, message codes) that the gateway sent.",
            [({"code": str(code)}, count) for code, count in sorted(self.gateway_codes.items())],
        )
        skew = self.gateway_clock_skew_seconds
        page.add(
            "gateway_clock_skew_seconds",
            "gauge",
            "How far the gateway's clock is ahead; it has whole seconds.",
            [({}, skew)] if skew is not None else [],
        )
        page.add("dead_man_tripped", "gauge", "1 while trading stays stopped.", [({}, int(self.dead_man_tripped))])
        page.add("dead_man_trips_total", "counter", "Losses of the link that tripped it.", [({}, self.dead_man_trips)])
        page.add(
            "circuit_breaker",
            "gauge",
            "1 for the state of the circuit breaker.",
            _one_of(_BREAKER_STATES, self.breaker_state, "state"),
        )
        page.add("circuit_breaker_opened_total", "counter", "How often it opened.", [({}, self.breaker_opened)])
        page.add("ticks_total", "counter", "Ticks received.", [({}, self.ticks)])
        age = health["data"]["last_tick_age_seconds"]
        page.add("last_tick_age_seconds", "gauge", "Age of the newest tick.", [({}, age)] if age is not None else [])
        page.add("orders_sent_total", "counter", "Orders handed to the gateway.", [({}, self.orders_sent)])
        page.add(
            "orders_refused_total",
            "counter",
            "Orders that a guard refused.",
            [({"kind": kind}, count) for kind, count in sorted(self.refusals.items())],
        )
        page.add(
            "trading_blocked",
            "gauge",
            "1 for every reason why no order is sent now.",
            [({"by": name}, 1) for name in sorted(health["trading"]["blocked_by"])],
        )
        page.add(
            "trading_restricted",
            "gauge",
            "1 for every reason why positions may only be closed now.",
            [({"by": name}, 1) for name in sorted(health["trading"].get("restricted_by", ()))],
        )
        for name, text in _RISK.items():
            value = health.get("risk", {}).get(name)
            page.add(name, "gauge", text, [({}, value)] if value is not None else [])
        page.add_summary(
            "strategy_call_seconds",
            "Time the strategy took for a call.",
            self.strategy_calls,
            self.strategy_call_seconds,
        )
        page.add("strategy_slow_calls_total", "counter", "Calls beyond the limit.", [({}, self.strategy_slow_calls)])
        page.add("strategy_errors_total", "counter", "Exceptions of the strategy's.", [({}, self.strategy_errors)])
        page.add(
            "strategy_value",
            "gauge",
            "What the strategy tells of itself.",
            [({"name": name}, value) for name, value in sorted(self.strategy_values.items())],
        )
        page.add("orders_open", "gauge", "Orders without a final status.", [({}, health["orders"]["open"])])
        for name, text, count in (
            ("orders_held_total", "Orders that waited for the pace of messages.", self.orders_held),
            ("cancels_sent_total", "Orders that were asked to be cancelled.", self.cancels_sent),
            ("changes_sent_total", "Working orders that were asked to be changed.", self.changes_sent),
            ("changes_refused_total", "Cancels and changes that the broker refused.", self.changes_refused),
            ("execution_corrections_total", "Fills that the broker corrected.", self.corrections),
        ):
            page.add(name, "counter", text, [({}, count)])
        page.add_summary(
            "ledger_commit_seconds", "Time the disk took for a commit.", self.ledger_commits, self.ledger_commit_seconds
        )
        page.add("executions_total", "counter", "Fills received live.", [({}, self.executions)])
        page.add_summary(
            "order_acknowledgement_seconds",
            "Time from sending an order to the broker's first answer.",
            self.acknowledgements,
            self.acknowledgement_seconds,
        )
        page.add(
            "position",
            "gauge",
            "Quantity held, short is negative.",
            [({"symbol": symbol}, quantity) for symbol, quantity in sorted(health["positions"].items())],
        )
        page.add("reconciliations_total", "counter", "Completed reconciliations.", [({}, self.reconciliations)])
        reconciled = health["last_reconciliation"]
        page.add(
            "last_reconciliation_timestamp_seconds",
            "gauge",
            "When the ledger last agreed with the broker.",
            [({}, datetime.fromisoformat(reconciled).timestamp())] if reconciled else [],
        )
        page.add(
            "ledger_rows",
            "gauge",
            "Rows in the ledger.",
            [({"table": table}, count) for table, count in health["ledger"]["rows"].items()],
        )
        lease = health.get("lease", {"held": False, "token": None})
        page.add("lease_held", "gauge", "1 while this engine holds the lease.", [({}, int(lease["held"]))])
        page.add("lease_token", "gauge", "The newest fencing token.", [({}, lease["token"])] if lease["token"] else [])
        usage = resource.getrusage(resource.RUSAGE_SELF)
        resident_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        page.add(
            "process_resident_memory_bytes",
            "gauge",
            "Memory in use.",
            [({}, resident_pages * resource.getpagesize())],
            prefix="",
        )
        page.add(
            "process_cpu_seconds_total",
            "counter",
            "Processor time used.",
            [({}, usage.ru_utime + usage.ru_stime)],
            prefix="",
        )
        page.add("process_start_time_seconds", "gauge", "When the engine started.", [({}, self.started)], prefix="")
        return page.text()


class _Page:
    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(
        self,
        name: str,
        kind: str,
        text: str,
        samples: Iterable[tuple[Mapping[str, str], float]],
        prefix: str = "ballast_engine_",
    ) -> None:
        self._lines += [f"# HELP {prefix}{name} {text}", f"# TYPE {prefix}{name} {kind}"]
        self._lines += [f"{prefix}{name}{_labels(labels)} {value!r}" for labels, value in samples]

    def add_summary(self, name: str, text: str, count: int, total: float) -> None:
        name = f"ballast_engine_{name}"
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} summary"]
        self._lines += [f"{name}_count {count}", f"{name}_sum {total!r}"]

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{key}="{escaped(value)}"' for key, value in labels.items()) + "}" if labels else ""


def _one_of(values: Iterable[str], current: str, label: str) -> list[tuple[dict[str, str], float]]:
    return [({label: value}, int(value == current)) for value in values]
