#!/usr/bin/python
# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: health_probe
short_description: Check the health of a trading host and of what runs on it
version_added: 0.1.0
description:
  - Runs any number of checks on the target at once, in one call, and returns each result and a table of all.
  - Only reads. Nothing is sent to a gateway that could trade.
  - If the checks are wrongly written, every problem is named and nothing is checked.
author:
  - Ballast contributors (@ballast-trading)
requirements:
  - psutil on the target, for checks of kind V(process) only
attributes:
  check_mode:
    description: Can run in check mode and return what it would return otherwise.
    support: full
  diff_mode:
    description: Returns what has changed, or would change in check mode.
    support: none
    details:
      - Nothing is ever changed.
  idempotent:
    description: Changes nothing when run a second time.
    support: full
    details:
      - Nothing is ever changed.
options:
  checks:
    description:
      - The checks. An option that is not of a check's kind is an error.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the check in results and messages.
          - Made from the kind and what it looks at if not given.
        type: str
      kind:
        description:
          - What to check.
          - 'V(tcp) - A TCP port accepts connections. For a gateway use V(ib_api): its port may be open while
            nothing answers.'
          - V(http) - A GET answers as wanted. If it answers C(application/health+json), the status in there counts
            as well.
          - V(ib_api) - An IB gateway or TWS answers on its API port. Warns when one of the broker's data farms
            is broken.
          - V(container) - A Docker container runs and, if it has a health check, is healthy.
          - V(systemd) - A systemd unit is in the wanted state. All units of a call are looked up with one C(systemctl).
          - V(process) - Processes run, as many as wanted. O(checks[].warn) and O(checks[].fail) limit their resident
            memory, in MiB. Needs the Python package psutil on the target.
          - V(disk) - Free space of the file system that holds a path, as an unprivileged user sees it.
          - V(memory) - Memory that can be had without swapping (MemAvailable of Linux).
          - V(load) - Load average of the last five minutes, divided by the number of CPUs.
          - V(file_age) - A file exists, and its last change, of a glob's newest match, is no longer ago than
            the limits, in seconds.
          - V(sqlite) - A SQLite database is sound (C(PRAGMA quick_check)) or, with a query, gives a value within
            limits. Only reads.
        type: str
        required: true
        choices:
          - tcp
          - http
          - ib_api
          - container
          - systemd
          - process
          - disk
          - memory
          - load
          - file_age
          - sqlite
      account:
        description:
          - Account that the session must serve.
          - Optional for V(ib_api).
          - For V(ib_api) only together with O(checks[].level=session).
        type: str
      account_prefix:
        description:
          - What every account of the session must begin with. Paper accounts begin with V(DU).
          - Optional for V(ib_api).
          - For V(ib_api) only together with O(checks[].level=session).
        type: str
      active_state:
        description:
          - State that the unit must be in, as C(systemctl show --property=ActiveState) names it.
          - Optional for V(systemd) (default V(active)).
        type: str
      body:
        description:
          - Regular expression that must be found in the body.
          - Optional for V(http).
        type: str
      client_id:
        description:
          - Client id of the session. It must be free.
          - Optional for V(ib_api) (default V(999)).
          - For V(ib_api) only together with O(checks[].level=session).
        type: int
      container:
        description:
          - Name or id of the container.
          - Required for V(container).
        type: str
      fail:
        description:
          - Limit beyond which the check fails.
          - Optional for V(process), V(disk) (default V(5)), V(memory) (default V(5)), V(load) (default V(4)),
            V(file_age).
        type: float
      host:
        description:
          - Name or address of the host to connect to.
          - Optional for V(tcp) (default V(127.0.0.1)), V(ib_api) (default V(127.0.0.1)).
        type: str
      image:
        description:
          - Image reference, or image id, that the container must have been made from.
          - Optional for V(container).
        type: str
      json:
        description:
          - Values that the JSON body must have, by dotted path.
          - Optional for V(http).
        type: dict
      level:
        description:
          - How deep to ask. V(handshake) takes no client id. V(session) takes one for a moment, and shows whether
            the gateway is logged in and its link to the broker is up.
          - Optional for V(ib_api) (default V(handshake)).
        type: str
        choices:
          - handshake
          - session
      max:
        description:
          - Largest value that passes.
          - Optional for V(process), V(sqlite).
          - For V(sqlite) only together with O(checks[].query).
        type: float
      max_age:
        description:
          - Largest age that passes, in seconds, of the time that O(checks[].query) returns. The time is ISO 8601,
            in UTC if it names no zone, or epoch seconds.
          - Optional for V(sqlite).
          - For V(sqlite) only together with O(checks[].query).
        type: float
      max_restarts:
        description:
          - Largest number of automatic restarts that passes.
          - Optional for V(container), V(systemd).
        type: int
      measured_in:
        description:
          - What O(checks[].warn) and O(checks[].fail) count.
          - Optional for V(disk) (default V(percent)), V(memory) (default V(percent)).
        type: str
        choices:
          - percent
          - MiB
      min:
        description:
          - Smallest value that passes.
          - Optional for V(process) (default V(1)), V(sqlite).
          - For V(sqlite) only together with O(checks[].query).
        type: float
      path:
        description:
          - Absolute path. Of a glob of V(file_age) the newest match counts.
          - Required for V(disk), V(file_age), V(sqlite).
        type: str
      pattern:
        description:
          - Regular expression that must be found in the command line of a process.
          - Required for V(process).
        type: str
      port:
        description:
          - TCP port.
          - Required for V(tcp), V(ib_api).
        type: int
      query:
        description:
          - SQL that returns one value.
          - Optional for V(sqlite).
        type: str
      socket:
        description:
          - Unix socket to connect through, as with C(curl --unix-socket).
          - Optional for V(http), V(container) (default V(/var/run/docker.sock)).
        type: str
      status:
        description:
          - HTTP status codes that pass.
          - Optional for V(http) (default V(200)).
        type: list
        elements: int
      sub_state:
        description:
          - Sub-state that the unit must be in, for example V(running) or V(waiting).
          - Optional for V(systemd).
        type: str
      unit:
        description:
          - Name of a systemd unit.
          - Required for V(systemd).
        type: str
      url:
        description:
          - Address to get. Redirects are not followed.
          - Required for V(http).
        type: str
      validate_certs:
        description:
          - Whether the certificate of an https address must be valid.
          - Optional for V(http) (default V(true)).
        type: bool
      warn:
        description:
          - Limit beyond which the check warns.
          - Optional for V(process), V(disk) (default V(15)), V(memory) (default V(10)), V(load) (default V(1.5)),
            V(file_age).
        type: float
  timeout:
    description:
      - Seconds that each check may take.
      - With O(wait=true), seconds to wait in all.
    type: float
    default: 5
  wait:
    description:
      - Whether to repeat the checks that fail until they no longer do. Then all run once more, so that none that passed
        early is reported without another look.
      - A number says for how many seconds. V(true) means for O(timeout) seconds, of which each attempt may take
        10.
      - An attempt that has begun is not cut short, so that the call may take one attempt longer.
    type: raw
    default: false
  interval:
    description:
      - Seconds between two attempts.
    type: float
    default: 1
  fail:
    description:
      - Whether the task fails when a check fails. A warning never fails it.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: The stack is ready to trade
  ballast.trading.health_probe:
    checks:
      - name: gateway
        kind: ib_api
        port: 4002
        level: session
        account: "{{ ballast_account }}"
        account_prefix: DU
      - name: engine
        kind: http
        url: http://localhost/health
        socket: /run/ballast/paper-main/blue.sock
        json:
          role: trading
          gateway.state: ready
      - kind: systemd
        unit: ballast-gateway@paper-main.service
      - kind: systemd
        unit: ballast-engine@paper-main-blue.service
        max_restarts: 0
      - kind: container
        container: ballast-paper-main-engine-blue
      - kind: sqlite
        path: /var/lib/ballast/paper-main/ledger/trades.db
      - name: newest backup
        kind: file_age
        path: /var/backups/ballast/paper-main/*.tar.zst
        warn: 18000
        fail: 90000
      - kind: disk
        path: /var/lib
        warn: 4096
        fail: 1024
        measured_in: MiB
      - kind: memory
      - kind: load
    # Wait up to three minutes for what does not pass yet.
    wait: 180
  register: health

- name: Show the table
  ansible.builtin.debug:
    var: health.summary

- name: Look, and decide later
  ballast.trading.health_probe:
    checks:
      - kind: sqlite
        path: /var/lib/ballast/paper-main/ledger/trades.db
        query: SELECT max(occurred_at) FROM events
        max_age: 600
    fail: false
  register: ledger

# Ad hoc. A check may be written as key=value pairs, and several are separated by commas:
#   ansible dev1 -m ballast.trading.health_probe -a 'checks="kind=ib_api port=4002,kind=disk path=/,kind=memory"'
# With lists and mappings in it, the argument is JSON:
#   ansible dev1 -m ballast.trading.health_probe -a '{"checks": [
#     {"kind": "http", "url": "http://localhost/health", "socket": "/run/ballast/dev-main/blue.sock",
#      "json": {"role": "trading"}}]}'
"""

RETURN = r"""
checks:
  description: The result of each check, in the order they were given.
  returned: when the checks are rightly written
  type: list
  elements: dict
  contains:
    name:
      description: Name of the check.
      type: str
      sample: disk /
    kind:
      description: Kind of the check.
      type: str
      sample: disk
    status:
      description: V(pass), V(warn) or V(fail).
      type: str
      sample: warn
    value:
      description: What was observed.
      type: raw
      sample: 12.4
    unit:
      description: What RV(checks[].value) counts. Empty for a value that is no measure.
      type: str
      sample: percent
    threshold:
      description: What was wanted, in words.
      type: str
      sample: warn below 15, fail below 5
    latency_ms:
      description: How long the check took, in milliseconds.
      type: float
      sample: 0.3
    message:
      description: What was observed and, unless the check passed, what was wanted and what to do.
      type: str
      sample: >-
        disk / has 12.4 percent free (6349 MiB of 51200 MiB); wanted no value below 15 percent.
        Remove what is not needed, or grow it.
status:
  description: The worst status of all checks.
  returned: when the checks are rightly written
  type: str
  sample: warn
failing:
  description: Names of the checks that failed.
  returned: when the checks are rightly written
  type: list
  elements: str
  sample: []
summary:
  description: The results as a text table, a line each.
  returned: when the checks are rightly written
  type: str
  sample: |-
    STATUS  CHECK   VALUE         WANTED                       TIME
    warn    disk /  12.4 percent  warn below 15, fail below 5  0.3 ms
seconds:
  description: How long all of it took, in seconds.
  returned: when the checks are rightly written
  type: float
  sample: 0.04
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.ballast.trading.plugins.module_utils import probes
from ansible_collections.ballast.trading.plugins.module_utils.probe_kinds import FAIL, KINDS, PARAMETERS

# With `wait: true` the timeout is for the whole wait. A connection that stays silent will not speak later: each attempt
# gets this much of it, so that there is another.
ATTEMPT_SECONDS = 10.0


def argument_spec() -> dict[str, t.Any]:
    """The module's arguments; the suboptions of `checks` are the parameters of all kinds.

    Which of them a kind requires is left to probes.validate, which names every problem at once.
    """
    suboptions: dict[str, t.Any] = {
        "name": {"type": "str"},
        "kind": {"type": "str", "required": True, "choices": list(KINDS)},
    }
    for name, parameter in PARAMETERS.items():
        option = {"type": parameter.type, "elements": parameter.elements, "choices": parameter.choices}
        suboptions[name] = {key: value for key, value in option.items() if value is not None}
    return {
        "checks": {"type": "list", "elements": "dict", "required": True, "options": suboptions},
        "timeout": {"type": "float", "default": 5},
        "wait": {"type": "raw", "default": False},
        "interval": {"type": "float", "default": 1},
        "fail": {"type": "bool", "default": True},
    }


def waiting_time(wait: t.Any, timeout: float) -> tuple[float, float]:
    """Seconds to go on repeating, and seconds for each attempt. Raises ValueError."""
    try:
        seconds = float(wait) if not isinstance(wait, bool) else None
    except (TypeError, ValueError):
        seconds = None
    if seconds is not None and seconds >= 0:
        return seconds, timeout
    try:
        wanted = boolean(wait)
    except TypeError:
        raise ValueError(f"wait is {wait!r}; wanted true, false or a number of seconds, 0 or more") from None
    return (timeout, min(timeout, ATTEMPT_SECONDS)) if wanted else (0.0, timeout)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    problems = [str(problem) for problem in probes.validate(params["checks"])]
    problems += [
        f"{name} is {params[name]:g}; wanted a number of seconds above 0"
        for name in ("timeout", "interval")
        if params[name] <= 0
    ]
    wait = timeout = 0.0
    try:
        wait, timeout = waiting_time(params["wait"], params["timeout"])
    except ValueError as problem:
        problems.append(str(problem))
    if problems:
        module.fail_json(msg="\n".join(["nothing was checked, for the arguments are wrong:", *problems]))

    started = time.monotonic()
    results = probes.run_checks(params["checks"], timeout, wait, params["interval"])
    failing = [result for result in results if result["status"] == FAIL]
    answer = {
        "changed": False,
        "checks": results,
        "status": probes.overall(results),
        "failing": [result["name"] for result in failing],
        "summary": probes.table(results),
        "seconds": round(time.monotonic() - started, 3),
    }
    if failing and params["fail"]:
        lines = [f"{len(failing)} of {len(results)} checks failed:"]
        lines += [f"{result['name']}: {result['message']}" for result in failing]
        module.fail_json(msg="\n".join(lines), **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
