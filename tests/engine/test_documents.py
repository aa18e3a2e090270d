# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents show is what the engine does: every default, every key, and the strategy of the guide."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from reference_engine.config import (
    BreakerSettings,
    ContainmentSettings,
    DeadManSettings,
    EngineConfig,
    LinkSettings,
)
from reference_engine.hours import HoursSettings
from reference_engine.risk import InstrumentLimits, RiskLimits
from tests.engine.support import ROOT, Place

README = (ROOT / "images/reference_engine/README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs/strategies.md").read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document, re.DOTALL)


def keys(document: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from keys(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def fields(settings: type[Any], path: str) -> set[str]:
    return {f"{path}{field.name}" for field in dataclasses.fields(settings)} - {f"{path}each", f"{path}given"}


def test_engine_yaml_of_the_readme_has_every_key_with_its_default(place: Place) -> None:
    (text,) = blocks(README, "yaml")
    assert set(keys(yaml.safe_load(text))) == {
        "strategy.name",
        "strategy.parameters",
        *fields(ContainmentSettings, "strategy."),
        *fields(RiskLimits, "risk."),
        *fields(InstrumentLimits, "risk."),
        *fields(HoursSettings, "trading_hours."),
        *fields(LinkSettings, "link."),
        *fields(BreakerSettings, "breaker."),
        *fields(DeadManSettings, "dead_man."),
        "on_stop.working_orders",
        "health.max_tick_age_seconds",
        "log_level",
    }
    place.config.write_text(text, encoding="utf-8")
    _, told = place.load()
    place.config.write_text("strategy: {name: demo}", encoding="utf-8")
    _, silent = place.load()
    same: dict[str, Any] = {"strategy": None}
    assert dataclasses.replace(told, **same) == dataclasses.replace(silent, **same)
    assert dataclasses.replace(silent, **same, instruments=()) == EngineConfig("demo", None)  # type: ignore[arg-type]


def rows(document: str) -> Iterator[list[str]]:
    """Yield the cells of every row of every table that has an example."""
    table = False
    for line in document.splitlines():
        if not line.startswith("|"):
            table = False
        elif line.endswith("| Example |"):
            table = True
        elif table and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_every_key_of_engine_yaml_is_explained_and_its_example_is_accepted(place: Place) -> None:
    (text,) = blocks(README, "yaml")
    sections = {
        name: section
        for section, settings in yaml.safe_load(text).items()
        if isinstance(settings, dict)
        for name in (*settings, *(f"{section}.{key}" for key in settings))
    }
    explained = set()
    for cells in rows(README):
        names = re.findall(r"`([a-z_.]+)`", cells[0])
        examples = re.findall(r"`([^`]+)`", cells[-1])
        for name, example in zip(names, examples or [""] * len(names), strict=True):
            section, _, key = name.rpartition(".")
            explained.add(f"{section}.{key}" if section else key)
            if not example or "my_strategy" in example:
                continue
            document = {"strategy": {"name": "none"}}
            where = section or sections.get(name)
            if where:
                document.setdefault(where, {})[key] = yaml.safe_load(example)
            else:
                document[key] = yaml.safe_load(example)
            place.config.write_text(yaml.safe_dump(document), encoding="utf-8")
            place.load()
    wanted = {
        name.split(".", 1)[1] if name.split(".")[0] in ("strategy", "risk", "trading_hours") else name
        for name in keys(yaml.safe_load(text))
    }
    assert explained == wanted


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The two files of the guide, imported."""
    strategy, test = blocks(GUIDE, "python")
    modules = {}
    for name, text in (("dip_buyer", strategy), ("test_dip_buyer", test)):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        found = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        assert found
        assert found.loader
        modules[name] = importlib.util.module_from_spec(found)
        monkeypatch.setitem(sys.modules, name, modules[name])
        found.loader.exec_module(modules[name])
    return modules


def test_test_of_the_guide_passes(guide: dict[str, ModuleType]) -> None:
    guide["test_dip_buyer"].test_bids_one_percent_below_the_market()


def test_strategy_of_the_guide_is_loaded_as_the_guide_deploys_it(place: Place) -> None:
    (place.path / "dip_buyer.py").write_text(blocks(GUIDE, "python")[0], encoding="utf-8")
    (text,) = blocks(GUIDE, "yaml")
    place.config.write_text(yaml.safe_dump(yaml.safe_load(text)["trading_engine_config"]), encoding="utf-8")
    _, config = place.load()
    assert (type(config.strategy).__name__, [i.symbol for i in config.instruments]) == ("DipBuyer", ["SPY"])
    assert config.risk.each.max_position == 10


@pytest.mark.parametrize("environment", ["dev", "paper", "live"])
def test_engine_configuration_of_every_inventory_is_accepted(place: Place, environment: str) -> None:
    variables: dict[str, Any] = {}
    for path in sorted((ROOT / "inventories" / environment / "group_vars").rglob("*.yml")):
        variables |= yaml.safe_load(path.read_text(encoding="utf-8"))
    place.config.write_text(yaml.safe_dump(variables["trading_engine_config"]), encoding="utf-8")
    _, config = place.load()
    assert config.trading_hours.session == "liquid"
    assert config.risk.long_only
    if environment != "dev":
        limits = (config.risk.max_daily_loss, config.risk.max_drawdown_percent, config.risk.max_losing_streak)
        assert None not in limits
