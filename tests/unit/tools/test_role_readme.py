# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's README says what its argument specification says, and a check tells when it no longer does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools import role_readme

SPECIFICATION = """\
argument_specs:
  main:
    short_description: The gateway of a stack
    description:
      - Puts V(files) in place, see L(the manual, https://example.org/manual) and U(https://example.org).
      - B(Never) starts
        C(anything).
    options:
      gateway_state:
        description: V(absent) removes the secrets.
        type: str
        choices: [present, absent]
        default: present
      gateway_image:
        description: [Image of the gateway., "An exact tag: no C(a|b)."]
        type: str
        required: true
      gateway_kind:
        description: The kind.
        type: str
        required: true
        choices: [real, simulated]
      gateway_password:
        description: Password at the broker.
        type: str
        no_log: true
        default: ""
      gateway_port:
        description: Port, used with O(gateway_kind=real).
        type: int
        default: "{{ 4001 if live else 4002 }}"
      gateway_hosts:
        description: Hosts.
        type: list
        elements: dict
        options:
          name:
            description: Name of the host.
            type: str
            required: true
      gateway_limits:
        description: Limits.
        type: dict
        default: {}
        options:
          cpus:
            description: CPUs.
            type: float
            default: 2
"""
META = """\
galaxy_info:
  description: The gateway
  min_ansible_version: "2.19"
  platforms:
    - name: Debian
      versions: [bookworm, trixie]
dependencies: [ballast.trading.host_tools]
"""
TASKS = """\
- name: Configure
  ansible.builtin.import_tasks: configure.yml
  tags: [gateway, gateway_configure]
- name: Remove
  ansible.builtin.import_tasks: remove.yml
  tags: gateway_remove
"""
EXPECTED = (
    role_readme.HEADER
    + """
# gateway

The gateway of a stack.

Puts `files` in place, see [the manual](https://example.org/manual) and <https://example.org>.

**Never** starts `anything`.

Runs on Debian (bookworm, trixie) with ansible-core 2.19 or newer.
Brings in: `ballast.trading.host_tools`.

## Variables

The variables that all roles share, `ballast_*`, are in [preflight](../preflight/README.md).

| Variable | Type | Default | Description |
|---|---|---|---|
| `gateway_image` | str | **required** | Image of the gateway. An exact tag: no `a\\|b`. |
| `gateway_kind` | str | **required** | The kind. One of `real`, `simulated`. |
| `gateway_state` | str | `present` | `absent` removes the secrets. One of `present`, `absent`. |
| `gateway_password` | str | `""` | Password at the broker. Secret: never shown, keep it encrypted. |
| `gateway_port` | int | `{{ 4001 if live else 4002 }}` | Port, used with `gateway_kind=real`. |
| `gateway_hosts` | list of dict |  | Hosts. |
| `gateway_hosts[].name` | str | **required** | Name of the host. |
| `gateway_limits` | dict | `{}` | Limits. |
| `gateway_limits.cpus` | float | `2` | CPUs. |

## Example

```yaml
- hosts: trading_hosts
  gather_facts: false
  become: true
  roles:
    - role: ballast.trading.gateway
      vars:
        gateway_image: ...  # str
        gateway_kind: real
```

## Tags

`gateway`, `gateway_configure`, `gateway_remove`.

## Support

- Check mode: full, also on a host that has nothing yet.
- A second run changes nothing.
- Removal: `gateway_state: absent`. `absent` removes the secrets.
"""
)


@pytest.fixture(name="role")
def role_folder(tmp_path: Path) -> Path:
    """A role in a collection of its own."""
    role = tmp_path / "roles" / "gateway"
    for name, text in (("meta/argument_specs.yml", SPECIFICATION), ("meta/main.yml", META), ("tasks/main.yml", TASKS)):
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(text, encoding="utf-8")
    return role


def test_the_readme_says_all_that_the_specification_says(role: Path) -> None:
    assert role_readme.readme(role) == EXPECTED


def test_an_example_in_the_specification_is_taken_as_it_is(role: Path) -> None:
    text = f"{SPECIFICATION}    examples: |\n      - name: My own\n        hosts: all\n"
    (role / "meta" / "argument_specs.yml").write_text(text, encoding="utf-8")
    assert "\n```yaml\n- name: My own\n  hosts: all\n```\n" in role_readme.readme(role)


def test_a_role_without_variables_and_tags_says_so(role: Path) -> None:
    text = "argument_specs: {main: {short_description: It looks}}"
    (role / "meta" / "argument_specs.yml").write_text(text, encoding="utf-8")
    (role / "tasks" / "main.yml").write_text("", encoding="utf-8")
    readme = role_readme.readme(role)
    assert "README.md).\n\nNone.\n\n## Example" in readme
    assert "## Tags\n\nNone.\n" in readme
    assert "- Removal: it leaves nothing on the host.\n" in readme


def test_a_stale_readme_fails_the_check_and_writing_it_mends_that(
    role: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roles = role.parent
    assert role_readme.main(["--check"], roles) == 1
    assert not (role / "README.md").exists()
    assert role_readme.main([], roles) == 0
    assert role_readme.main(["--check"], roles) == 0
    assert role_readme.main([], roles) == 0
    assert capsys.readouterr().out == (
        "roles/gateway/README.md: out of date; run python tests/tools/role_readme.py\n"
        "roles/gateway/README.md: written\n"
    )


def test_the_readmes_of_this_collection_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert role_readme.main(["--check"]) == 0, capsys.readouterr().out
