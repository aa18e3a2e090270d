# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of templates renders to the files of a host, or to the list of everything wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.ballast.trading.plugins.plugin_utils import tree


class Role:
    """As much of an action plugin as rendering needs, over a role's `templates/` folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loader = DataLoader()
        self._templar = Templar(loader=self._loader)

    def write(self, path: str, content: str | bytes = "x\n") -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    def render(self, dest: str = "/", **variables: Any) -> dict[str, tree.TreeFile]:
        return tree.render_trees(self, variables, [{"src": "host", "dest": dest}], "managed by x")

    def problems(self, **variables: Any) -> list[str]:
        with pytest.raises(AnsibleActionFail) as failed:
            self.render(**variables)
        first, *problems = failed.value.message.replace(f"{self.folder}/host", "").split("\n- ")
        assert first == "nothing was sent to the host, because"
        return list(problems)

    def _find_needle(self, folder: str, name: str) -> str:
        found: str = self._loader.path_dwim_relative_stack([str(self.folder.parent)], folder, name)
        return found


@pytest.fixture
def role(tmp_path: Path) -> Role:
    (tmp_path / "templates/host").mkdir(parents=True)
    return Role(tmp_path / "templates")


def texts(files: dict[str, tree.TreeFile]) -> dict[str, str]:
    return {path: file.content.decode() for path, file in files.items()}


def test_templates_are_rendered_and_other_files_copied(role: Role) -> None:
    role.write("host/etc/a.conf.j2", "{% if on %}\nkey={{ value }}\n{% endif %}\nend\n")
    role.write("host/etc/b.conf", "{{ not a template }}")
    role.write("host/bin/c", b"\x00\xff").chmod(0o755)
    files = role.render(on=True, value=5)
    assert {path: file.content for path, file in files.items()} == {
        "/bin/c": b"\x00\xff",
        "/etc/a.conf": b"key=5\nend\n",
        "/etc/b.conf": b"{{ not a template }}",
    }
    assert [path for path, file in files.items() if file.executable] == ["/bin/c"]
    assert files["/etc/a.conf"].source == str(role.folder / "host/etc/a.conf.j2")


@pytest.mark.parametrize(("dest", "path"), [("/", "/x"), ("/opt/y", "/opt/y/x"), ("/opt/y/", "/opt/y/x")])
def test_a_folder_goes_where_it_is_sent(role: Role, dest: str, path: str) -> None:
    role.write("host/x")
    assert list(role.render(dest)) == [path]


def test_names_are_rendered_and_an_empty_one_switches_off_what_is_below(role: Role) -> None:
    role.write("host/{{ home }}/{{ stack }}/{{ stack }}.service.j2")
    role.write("host/{{ 'debug' if debug else '' }}/x")
    role.write("host/{{ name if named else none }}.j2")
    files = role.render(home="/opt//ballast/", stack="dev-main", debug=False, named=False)
    assert list(files) == ["/opt/ballast/dev-main/dev-main.service"]


def test_a_name_may_not_leave_its_folder(role: Role) -> None:
    role.write("host/{{ name }}/x")
    assert role.problems(name="a/../..") == ["name of /{{ name }} renders to 'a/../..', which leaves its folder"]


def test_a_template_that_renders_to_nothing_is_left_out_but_an_empty_file_is_not(role: Role) -> None:
    role.write("host/off.j2", "{% if off is defined %}\non\n{% endif %}\n \n")
    role.write("host/none.j2", "{{ none }}\n")
    role.write("host/empty", "")
    assert texts(role.render(none=None)) == {"/empty": ""}


def test_what_tools_leave_in_a_folder_is_not_shipped(role: Role) -> None:
    for name in ("__pycache__/a.pyc", "b.pyc", "c~", ".d.swp", ".gitkeep", ".DS_Store", "kept"):
        role.write(f"host/{name}")
    assert list(role.render()) == ["/kept"]


def test_ansible_managed_names_the_tree_unless_the_user_has_set_it(role: Role) -> None:
    role.write("host/x.j2", "# {{ ansible_managed }}\n")
    assert texts(role.render()) == {"/x": "# managed by x\n"}
    assert texts(role.render(ansible_managed="mine")) == {"/x": "# mine\n"}


def test_templates_may_include_files_of_the_templates_folder(role: Role) -> None:
    role.write("header.j2", "# {{ stack }}")
    role.write("host/x.j2", "{% include 'header.j2' %}\n")
    assert texts(role.render(stack="dev", ansible_search_path=[str(role.folder.parent)])) == {"/x": "# dev\n"}


def test_backslashes_and_the_last_line_end_stay_as_they_are(role: Role) -> None:
    role.write("host/x.j2", "a\\n{{ '\\\\n' }}\n")
    role.write("host/y.j2", "{{ 1 }}")
    assert texts(role.render()) == {"/x": "a\\n\\n\n", "/y": "1\n"}


def test_variables_are_templates_of_their_own(role: Role) -> None:
    role.write("host/x.j2", "{{ outer }}\n")
    assert texts(role.render(outer=trust_as_template("<{{ inner }}>"), inner=1)) == {"/x": "<1>\n"}


def test_text_that_is_not_trusted_is_never_rendered(role: Role) -> None:
    role.write("host/x.j2", "{{ text }}!\n")
    assert texts(role.render(text="{{ 1 + 1 }}")) == {"/x": "{{ 1 + 1 }}!\n"}


def test_everything_wrong_with_all_templates_is_told_at_once_with_file_and_line(role: Role) -> None:
    role.write("host/a.j2", "one\n{{ first }}\n{% for n in second %}{% endfor %}{{ first.deep }}\n")
    role.write("host/b.j2", "{{ known.missing }}\n")
    role.write("host/c.j2", "\n{% if known %}\n")
    role.write("host/d.j2", "\n\n{{ 1 // 0 }}\n")
    role.write("host/e.j2", "{{ known }}\n")
    role.write("host/f.j2", "{{ known | no_such_filter }}\n")
    role.write("host/g.j2", "{{ indirect }}\n")
    role.write("host/{{ unnamed }}/x.j2", "{{ never_seen }}")
    known = {"known": {"k": 1}, "indirect": trust_as_template("{{ behind }}")}
    assert role.problems(**known) == [
        "/a.j2 line 2: 'first' is undefined",
        "/a.j2 line 3: 'second' is undefined",
        "/b.j2 line 1: object of type 'dict' has no attribute 'missing'",
        "/c.j2 line 2: Syntax error in template: Unexpected end of template. Jinja was looking for the following tags:"
        " 'elif' or 'else' or 'endif'. The innermost block that needs to be closed is 'if'.",
        "/d.j2 line 3: Error rendering template: integer division or modulo by zero",
        "/e.j2: renders to a dict, not to text; add | to_nice_json or | to_nice_yaml",
        "/f.j2 line 1: Syntax error in template: No filter named 'no_such_filter'.",
        "/g.j2: 'behind' is undefined",
        "name of /{{ unnamed }} line 1: 'unnamed' is undefined",
    ]


def test_two_sources_of_one_file_are_refused(role: Role) -> None:
    role.write("host/x")
    role.write("host/x.j2")
    assert role.problems() == ["/x has two sources: /x and /x.j2"]


def test_a_folder_that_is_not_there_is_named(role: Role) -> None:
    role.write("plain")
    trees = [{"src": "nowhere", "dest": "/"}, {"src": "plain", "dest": "/"}]
    with pytest.raises(AnsibleActionFail) as failed:
        tree.render_trees(role, {}, trees, "managed by x")
    _first, missing, plain = failed.value.message.split("\n- ")
    assert missing.startswith("folder 'nowhere' was not found: ")
    assert plain == f"{role.folder}/plain is not a folder"
