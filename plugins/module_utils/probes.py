# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of a trading host: described as data, run all at once, answered as data.

A check is a dict: ``kind``, perhaps ``name``, and the parameters of its kind (see `probe_kinds`). A result is a dict:

``name``, ``kind``; ``status`` pass, warn or fail; ``value`` what was observed, counted in ``unit``; ``threshold`` what
was wanted, in words; ``latency_ms`` how long the check took; ``message`` a sentence with value, wish and fix.

The words are those of application/health+json (draft-inadarei-api-health-check-06), to which results map one to one.
"""

from __future__ import annotations

import threading
import time
import typing as t

from .probe_kinds import FAIL, KINDS, PARAMETERS, PASS, WARN, Parameter, Run, Verdict, is_beyond

if t.TYPE_CHECKING:
    from .probe_kinds import Check

    Result = dict[str, t.Any]

# A check limits itself to the timeout and says what it waited for; this much later it is given up from outside.
GRACE_SECONDS = 1.0

TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "list": (list,),
    "dict": (dict,),
}


class Problem(t.NamedTuple):
    """A mistake in a list of checks: in the check at `position`, what was `seen` at `key` and what was `wanted`."""

    position: int
    key: str
    seen: str
    wanted: str

    def __str__(self) -> str:
        return f"checks[{self.position}]{'.' if self.key else ''}{self.key} is {self.seen}; wanted {self.wanted}"


class InvalidChecksError(ValueError):
    """The list of checks is wrongly written; the text has every problem, a line each."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def validate(checks: list[Check]) -> list[Problem]:
    """Every problem of a list of checks; a parameter that is None counts as not given."""
    return [problem for position, check in enumerate(checks) for problem in _problems(position, check)]


def run_checks(checks: list[Check], timeout: float = 5.0, wait: float = 0.0, interval: float = 1.0) -> list[Result]:
    """Run all checks at once and return their results in the order of `checks`.

    `timeout` limits each check, in seconds. Failing ones are repeated every `interval` seconds until they no longer
    fail or `wait` seconds are over; when they have recovered, all are run once more, so that results without a failure
    are those of one round. Raises InvalidChecksError, with every problem, before anything runs.
    """
    problems = validate(checks)
    if problems:
        raise InvalidChecksError(problems)
    deadline = time.monotonic() + wait
    everything = list(range(len(checks)))
    round_of = everything
    results = _run_once(checks, timeout)
    while True:
        failing = [index for index, result in enumerate(results) if result["status"] == FAIL]
        left = deadline - time.monotonic()
        if (failing and left <= 0) or (not failing and round_of == everything):
            return results
        if failing:
            time.sleep(min(interval, left))
        round_of = failing or everything
        for index, result in zip(round_of, _run_once([checks[index] for index in round_of], timeout)):
            results[index] = result


def overall(results: list[Result]) -> str:
    """The worst status among the results; pass if there are none."""
    return max((result["status"] for result in results), key=(PASS, WARN, FAIL).index, default=PASS)


def table(results: list[Result]) -> str:
    """The results as a text table, a line each."""
    rows = [("STATUS", "CHECK", "VALUE", "WANTED", "TIME")]
    for result in results:
        value = f"{result['value']} {result['unit']}".strip()
        rows.append((result["status"], result["name"], value, result["threshold"], f"{result['latency_ms']:.1f} ms"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _problems(position: int, check: t.Any) -> t.Iterator[Problem]:
    if not isinstance(check, dict):
        yield Problem(position, "", repr(check), "a mapping with 'kind' and its parameters")
        return
    given = {key: value for key, value in check.items() if value is not None}
    name = given.pop("name", "-")
    if not isinstance(name, str) or not name:
        yield Problem(position, "name", repr(name), "a text")
    kind_name = given.pop("kind", None)
    found = KINDS.get(kind_name) if isinstance(kind_name, str) else None
    if found is None:
        seen = "missing" if kind_name is None else repr(kind_name)
        yield Problem(position, "kind", seen, f"one of {', '.join(KINDS)}")
        return
    known = (*found.required, *found.optional)
    for key in found.required:
        if key not in given:
            yield Problem(position, key, f"missing from kind {kind_name}", PARAMETERS[key].wanted)
    for key, value in given.items():
        if key not in known:
            yield Problem(position, str(key), f"unknown to kind {kind_name}", f"one of name, {', '.join(known)}")
        elif not _is_good(value, PARAMETERS[key]):
            yield Problem(position, key, repr(value), PARAMETERS[key].wanted)
        elif key in found.needs:
            other, needed = found.needs[key]
            if given.get(other) is None or needed not in (None, given[other]):
                wanted = other if needed is None else f"{other}: {needed}"
                yield Problem(position, key, f"{value!r} without {wanted}", f"{wanted} beside it, or no {key}")
    warn, fail = given.get(WARN, "-"), given.get(FAIL, "-")
    if found.worse and _is_a("float", warn) and _is_a("float", fail) and is_beyond(warn, fail, found.worse):
        yield Problem(position, WARN, f"{warn:g} with fail {fail:g}", f"fail {found.worse} warn, or equal to it")


def _is_good(value: t.Any, parameter: Parameter) -> bool:
    if not _is_a(parameter.type, value):
        return False
    if parameter.elements and not all(_is_a(parameter.elements, element) for element in value):
        return False
    return parameter.accepts(value)


def _is_a(type_name: str, value: t.Any) -> bool:
    # Python counts a bool among the numbers.
    return isinstance(value, TYPES[type_name]) and isinstance(value, bool) == (type_name == "bool")


def _run_once(checks: list[Check], timeout: float) -> list[Result]:
    complete = [
        {**KINDS[check["kind"]].optional, **{key: value for key, value in check.items() if value is not None}}
        for check in checks
    ]
    run = Run(complete, timeout)
    results: list[Result | None] = [None] * len(complete)

    def work(index: int) -> None:
        results[index] = _result(complete[index], run)

    # Daemons: a check that hangs for ever must hold up neither its caller nor the end of the process.
    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(len(complete))]
    deadline = time.monotonic() + timeout + GRACE_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [result or _given_up(check, timeout) for result, check in zip(results, complete)]


def _result(check: Check, run: Run) -> Result:
    started = time.monotonic()
    try:
        verdict = KINDS[check["kind"]].function(check, run)
    except Exception as problem:  # noqa: BLE001 -- whatever breaks one check must not hide the others
        verdict = Verdict(FAIL, "error", "an answer", f"{_name(check)} broke: {type(problem).__name__}: {problem}")
    return _as_result(check, verdict, time.monotonic() - started)


def _given_up(check: Check, timeout: float) -> Result:
    message = f"{_name(check)} gave no answer in {timeout:g} s; wanted one. What it asks hangs, or needs more time."
    return _as_result(check, Verdict(FAIL, "no answer", "an answer", message), timeout + GRACE_SECONDS)


def _as_result(check: Check, verdict: Verdict, seconds: float) -> Result:
    return {
        "name": _name(check),
        "kind": check["kind"],
        "status": verdict.status,
        "value": verdict.value,
        "threshold": verdict.threshold,
        "unit": verdict.unit,
        "latency_ms": round(seconds * 1000, 1),
        "message": verdict.message,
    }


def _name(check: Check) -> str:
    return check.get("name") or KINDS[check["kind"]].label.format_map(check)
