# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategies that ship with the engine, and the loader of others."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from ..strategy import Strategy
from .buy_and_hold import BuyAndHold
from .demo import DemoStrategy
from .moving_average_cross import MovingAverageCross
from .nothing import NoStrategy

BUILT_IN: Mapping[str, type[Strategy]] = {
    "buy_and_hold": BuyAndHold,
    "demo": DemoStrategy,
    "moving_average_cross": MovingAverageCross,
    "none": NoStrategy,
}


WANTED = f"{', '.join(BUILT_IN)} or module:Class"


class StrategyNotFoundError(LookupError):
    """No strategy of that name; the text says what was wanted."""


def load_strategy(name: str, folder: Path) -> type[Strategy]:
    """Return the strategy class of that name: a built-in one, or `module:Class` with `module.py` in the folder.

    Modules beside it can be imported by it. Raises `StrategyNotFoundError` with the reason when there is none.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    match = re.fullmatch(r"([A-Za-z_]\w*):([A-Za-z_]\w*)", name)
    if match is None:
        raise StrategyNotFoundError(WANTED)
    module_name, class_name = match.groups()
    path = folder / f"{module_name}.py"
    if not path.is_file():
        raise StrategyNotFoundError(f"a module at {path}")
    found = getattr(_imported(module_name, path), class_name, None)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise StrategyNotFoundError(f"a class {class_name} derived from Strategy in {path}")
    return found


def _imported(name: str, path: Path) -> object:
    """Import the very file: never another module that has the same name."""
    # Appended, so that a user's file never hides one of the engine's own modules or Python's.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    specification = importlib.util.spec_from_file_location(f"strategy_of_user.{name}", path)
    assert specification is not None  # noqa: S101 a path that ends in .py has a loader
    assert specification.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(specification)
    # Data classes and pickles look their module up there.
    sys.modules[specification.name] = module
    try:
        specification.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    # SystemExit too: a file that calls exit() is no strategy.
    except BaseException as error:
        del sys.modules[specification.name]
        raise StrategyNotFoundError(f"a module that imports ({path}: {type(error).__name__}: {error})") from error
    return module
