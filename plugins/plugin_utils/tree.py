# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render whole folders of templates on the controller, with the variables of a task."""

from __future__ import annotations

import fnmatch
import re
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from jinja2 import TemplateSyntaxError

TEMPLATE_ENDING = ".j2"
TEMPLATE_SYNTAX = {"trim_blocks": True, "lstrip_blocks": False}  # as ansible.builtin.template has them
# What tools leave behind in a folder, never meant for a host.
IGNORED = ("__pycache__", "*.pyc", "*~", ".*.sw?", ".DS_Store", ".gitkeep")


@dataclass(frozen=True)
class TreeFile:
    """A rendered file: where it goes, its bytes, whether its source is executable, and the source itself."""

    path: str
    content: bytes
    executable: bool
    source: str


def render_trees(
    action: ActionBase, task_vars: dict[str, Any], trees: Iterable[dict[str, str]], managed: str
) -> dict[str, TreeFile]:
    """Files of several trees, each `{"src": folder, "dest": path}`, by destination.

    A folder is looked for in the role's `templates/`, then beside the playbook. Names ending in `.j2` are rendered,
    names of files and folders may contain expressions, and what renders to white space is left out. `managed` is the
    value of `ansible_managed`, unless the user has set it. Raises AnsibleActionFail with the problems of all templates.
    """
    problems: list[str] = []
    files: dict[str, TreeFile] = {}
    for tree in trees:
        try:
            folder = Path(action._find_needle("templates", tree["src"]))
        except AnsibleError as error:
            problems.append(f"folder {tree['src']!r} was not found: {error.message}")
            continue
        if not folder.is_dir():
            problems.append(f"{folder} is not a folder")
            continue
        renderer = _Renderer(action, task_vars, folder, managed, problems)
        for file in renderer.files(folder, tree["dest"].rstrip("/")):
            if file.path in files:
                problems.append(f"{file.path} has two sources: {files[file.path].source} and {file.source}")
            files[file.path] = file
    if problems:
        raise AnsibleActionFail("\n- ".join(["nothing was sent to the host, because", *problems]))
    return files


def plain_files(action: ActionBase, folder: str, destination: str) -> dict[str, TreeFile]:
    """Every file below a folder as it is, by destination: nothing is rendered, whatever its name or content.

    A relative folder is looked for beside the playbook. Raises AnsibleActionFail when it is not there or holds nothing.
    """
    root = Path(action._loader.path_dwim(folder))
    files = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_file() and not any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in IGNORED):
            place = "/".join((destination.rstrip("/"), *parts))
            files[place] = TreeFile(place, path.read_bytes(), bool(path.stat().st_mode & 0o100), str(path))
    if not files:
        seen = "it holds no file" if root.is_dir() else "it is not a folder"
        raise AnsibleActionFail(f"folder {root} cannot become part of the release: {seen}")
    return files


class _Renderer:
    def __init__(
        self, action: ActionBase, task_vars: dict[str, Any], folder: Path, managed: str, problems: list[str]
    ) -> None:
        self.loader = action._loader
        self.problems = problems
        self.variables = {"ansible_managed": managed, **task_vars}
        roots = [*task_vars.get("ansible_search_path", []), self.loader.get_basedir(), str(folder)]
        self.search_path = [path for root in roots for path in (f"{root}/templates", root)]
        self.templar = action._templar.copy_with_new_env(
            searchpath=self.search_path, available_variables=self.variables
        )

    def files(self, folder: Path, destination: str) -> Iterator[TreeFile]:
        """Every file below a folder that renders to something, in the order of their names."""
        for entry in sorted(folder.iterdir()):
            if any(fnmatch.fnmatch(entry.name, pattern) for pattern in IGNORED):
                continue
            name = self._name(entry)
            if name.removesuffix(TEMPLATE_ENDING) == "":
                continue
            if entry.is_dir():
                yield from self.files(entry, f"{destination}/{name}")
                continue
            content = self._content(entry)
            if content is not None:
                path = f"{destination}/{name.removesuffix(TEMPLATE_ENDING)}"
                yield TreeFile(path, content, bool(entry.stat().st_mode & 0o100), str(entry))

    def _name(self, entry: Path) -> str:
        """The name on the host; it may span several folders. Empty when it is switched off or cannot be rendered."""
        if "{" not in entry.name:
            return entry.name
        name = self._render(entry.name, f"name of {entry}").strip().strip("/")
        if ".." in name.split("/"):
            self.problems.append(f"name of {entry} renders to {name!r}, which leaves its folder")
            return ""
        return re.sub("/+", "/", name)

    def _content(self, entry: Path) -> bytes | None:
        """The bytes to install, None for a template that is switched off or cannot be rendered."""
        if not entry.name.endswith(TEMPLATE_ENDING):
            plain = self.loader.get_real_file(str(entry))  # a temporary copy if ansible-vault has encrypted it
            content = Path(plain).read_bytes()
            self.loader.cleanup_tmp_file(plain)
            return content
        try:
            source = self.loader.get_text_file_contents(str(entry))
        except AnsibleError as error:
            self.problems.append(f"{entry}: {error.message}")
            return None
        text = self._render(source, str(entry))
        return text.encode() if text.strip() else None

    def _render(self, source: str, origin: str) -> str:
        """The rendered text, empty when that is not possible. Finds all undefined variables, not only the first."""
        guesses: dict[str, str] = {}
        templar = self.templar
        while True:
            try:
                # We read it, so it is for us to say that it comes from the role's author.
                result = templar.template(
                    trust_as_template(source), escape_backslashes=False, overrides=TEMPLATE_SYNTAX
                )
            except AnsibleError as error:
                undefined = re.fullmatch(r"'(\w+)' is undefined", error.message)
                if undefined or not guesses:  # with a guess in place other errors may be its fault
                    self.problems.append(f"{origin}{_line(error, source)}: {error.message}")
                if not undefined or undefined[1] in guesses:
                    return ""
                guesses[undefined[1]] = ""
                templar = self.templar.copy_with_new_env(
                    searchpath=self.search_path, available_variables={**self.variables, **guesses}
                )
                continue
            if guesses or result is None:
                return ""
            if isinstance(result, (dict, list)):
                kind = type(result).__name__.removeprefix("_AnsibleTagged").lower()
                self.problems.append(
                    f"{origin}: renders to a {kind}, not to text; add | to_nice_json or | to_nice_yaml"
                )
                return ""
            # A text of a single expression yields that value itself, without the line end behind it.
            return result if isinstance(result, str) else f"{result}\n"


def _line(error: AnsibleError, source: str) -> str:
    """Where in the template an error is, as far as it can be told: " line 3" or nothing."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, TemplateSyntaxError):
            return f" line {cause.lineno}"
        for frame, number in traceback.walk_tb(cause.__traceback__):
            if template := frame.f_globals.get("__jinja_template__"):
                return f" line {template.get_corresponding_lineno(number)}"
        cause = cause.__cause__
    # An undefined variable is noticed after rendering, when there is no frame left: look for its name.
    for name in re.findall(r"'(\w+)'", error.message)[-1:]:
        for number, line in enumerate(source.splitlines(), start=1):
            if re.search(rf"\b{name}\b", line):
                return f" line {number}"
    return ""
