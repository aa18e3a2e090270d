# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab decides before it speaks to Docker. That its hosts work is shown by the molecule scenarios."""

from __future__ import annotations

import fcntl
import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.lab import access, checkout, images
from tests.lab.access import HostAccess
from tests.lab.checkout import SUBNETS, Checkout, LabError
from tests.lab.hosts import CHECKOUT_LABEL, PATH_LABEL, Lab

HERE = Checkout(Path("/home/me/ballast"))
DEV = HostAccess("dev1", "10.213.9.10", "ssh-ed25519 AAAA")
WEB = HostAccess("web", "10.213.9.11", "ssh-ed25519 BBBB")


@pytest.fixture
def tree(tmp_path: Path) -> Checkout:
    """A checkout with the folders that images are built from."""
    for name in ("base", "lab_host", "registry", "reference_engine"):
        folder = tmp_path / "images" / name
        (folder / "src").mkdir(parents=True)
        (folder / "Dockerfile").write_text("FROM scratch\n")
        (folder / "src" / "main.py").write_text("print()\n")
    (tmp_path / "galaxy.yml").write_text("name: trading\nversion: 1.2.3\n")
    return Checkout(tmp_path)


def test_two_checkouts_share_no_name() -> None:
    other = Checkout(Path("/home/me/ballast2"))
    assert HERE.container("dev1") == f"ballast-{HERE.identity}-dev1"
    assert HERE.container("dev1") != other.container("dev1")
    assert HERE.network != other.network


@pytest.mark.parametrize("name", ["dev1", "a", "molecule-default", "a" + "b" * 30])
def test_a_good_host_name_is_taken(name: str) -> None:
    assert checkout.check_host_name(name) == name


@pytest.mark.parametrize("name", ["", "1dev", "Dev", "dev_1", "-dev", "dev.lab", "a" + "b" * 31, "dev1\n"])
def test_a_bad_host_name_is_refused(name: str) -> None:
    with pytest.raises(LabError) as error:
        checkout.check_host_name(name)
    assert str(error.value) == f"host name {name!r} must match [a-z][a-z0-9-]{{0,30}}, such as dev1"


def test_no_host_may_be_called_registry() -> None:
    with pytest.raises(LabError) as error:
        checkout.check_host_name("registry")
    assert str(error.value) == "host name 'registry' is the lab's own registry; choose another"


def test_the_subnet_search_begins_at_the_checkouts_own_place() -> None:
    assert checkout.free_subnets("000000ff", [])[0] == SUBNETS[255]
    assert checkout.free_subnets("00000100", [])[0] == SUBNETS[0]


def test_subnets_that_overlap_what_is_taken_are_left_out() -> None:
    taken = [IPv4Network("10.213.0.0/17"), IPv4Network("10.213.128.64/26"), IPv4Network("172.17.0.0/16")]
    found = checkout.free_subnets("00000000", taken)
    assert found[0] == IPv4Network("10.213.129.0/24")
    assert len(found) == 127


def test_no_subnet_is_free_where_all_is_taken() -> None:
    assert checkout.free_subnets("00000000", [IPv4Network("10.0.0.0/8")]) == []


def test_routes_are_read_from_the_kernels_table() -> None:
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "br-1\t0009D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert checkout.routed_subnets(table) == [IPv4Network("172.17.0.0/16"), IPv4Network("10.213.9.0/24")]


def test_a_host_gets_the_lowest_free_address() -> None:
    subnet = IPv4Network("10.213.9.0/24")
    assert checkout.free_address(subnet, []) == "10.213.9.10"
    assert checkout.free_address(subnet, ["10.213.9.10", "10.213.9.12"]) == "10.213.9.11"


def test_a_full_subnet_is_an_error_that_names_it() -> None:
    subnet = IPv4Network("10.213.9.0/24")
    with pytest.raises(LabError) as error:
        checkout.free_address(subnet, [str(address) for address in subnet])
    assert str(error.value) == "no address is left in 10.213.9.0/24; remove hosts with 'down NAME'"


def test_a_content_key_depends_on_the_parts_and_their_borders() -> None:
    assert checkout.content_key(["ab", "c"]) == checkout.content_key([b"ab", b"c"])
    assert checkout.content_key(["ab", "c"]) != checkout.content_key(["a", "bc"])


def test_a_child_keeps_the_lock_when_its_parent_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with checkout.locked("build") as lock:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock,))
    with (tmp_path / "ballast-lab" / "build.lock").open("a") as handle:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child.communicate()
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_other_checkouts_are_known_by_whatever_is_left_of_them() -> None:
    def listing(*objects: SimpleNamespace) -> SimpleNamespace:
        return SimpleNamespace(list=lambda **_filters: list(objects))

    def labels(identity: str) -> dict[str, str]:
        return {CHECKOUT_LABEL: identity, PATH_LABEL: f"/{identity}"}

    client: Any = SimpleNamespace(
        containers=listing(SimpleNamespace(labels=labels("a")), SimpleNamespace(labels=labels(HERE.identity))),
        volumes=listing(SimpleNamespace(attrs={"Labels": labels("b")})),
        networks=listing(SimpleNamespace(attrs={"Labels": labels("c")})),
    )
    assert Lab(client, HERE)._other_checkouts() == {"a": Path("/a"), "b": Path("/b"), "c": Path("/c")}


def test_ssh_finds_a_host_by_name_and_address_and_trusts_only_its_own_key() -> None:
    assert access.ssh_config(HERE, [DEV]) == (
        "# Generated by the lab: ssh -F FILE NAME\n"
        "\n"
        "Host dev1 10.213.9.10\n"
        "    HostName 10.213.9.10\n"
        "    HostKeyAlias dev1\n"
        "    User deploy\n"
        '    IdentityFile "/home/me/ballast/.lab/id_ed25519"\n'
        "    IdentitiesOnly yes\n"
        '    UserKnownHostsFile "/home/me/ballast/.lab/known_hosts"\n'
        "    StrictHostKeyChecking yes\n"
        "    ServerAliveInterval 5\n"
    )
    assert access.known_hosts([DEV, WEB]) == "dev1 ssh-ed25519 AAAA\nweb ssh-ed25519 BBBB\n"


def test_ssh_itself_reads_the_configuration_as_it_is_meant(tmp_path: Path) -> None:
    home = Checkout(tmp_path / "with a space")
    file = tmp_path / "ssh_config"
    file.write_text(access.ssh_config(home, [DEV, WEB]))
    done = subprocess.run(["ssh", "-G", "-F", file, "10.213.9.11"], capture_output=True, text=True, check=True)
    settings = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert settings["hostname"] == "10.213.9.11"
    assert settings["user"] == "deploy"
    assert settings["hostkeyalias"] == "web"
    assert settings["stricthostkeychecking"] == "true"
    assert settings["identityfile"] == str(home.root / ".lab" / "id_ed25519")
    assert settings["userknownhostsfile"] == str(home.root / ".lab" / "known_hosts")


def test_an_inventory_holds_hosts_and_images() -> None:
    images = {"ib_gateway_image": "registry:5000/ballast/gateway-simulator:1-0"}
    text = access.inventory(HERE, [DEV], images)
    assert yaml.safe_load(text) == {
        "all": {
            "children": {
                "trading_hosts": {
                    "hosts": {
                        "dev1": {
                            "ansible_host": "10.213.9.10",
                            "ansible_user": "deploy",
                            "ansible_ssh_common_args": "-F /home/me/ballast/.lab/ssh_config",
                            "ansible_python_interpreter": "/usr/bin/python3",
                            "docker_host_daemon_options": {"insecure-registries": ["registry:5000"]},
                        }
                    },
                    "vars": images,
                }
            }
        }
    }
    group = yaml.safe_load(access.inventory(HERE, [DEV], images, overriding=True))["all"]["children"]["trading_hosts"]
    assert images.items() <= group["hosts"]["dev1"].items()
    assert group["vars"] == {}


def test_an_inventory_quotes_a_path_with_a_space() -> None:
    text = access.inventory(Checkout(Path("/home/me/my ballast")), [DEV], {})
    hosts = yaml.safe_load(text)["all"]["children"]["trading_hosts"]["hosts"]
    assert hosts["dev1"]["ansible_ssh_common_args"] == "-F '/home/me/my ballast/.lab/ssh_config'"


def test_only_the_product_images_that_the_checkout_has_are_named(tree: Checkout) -> None:
    products = images.product_images(tree)
    assert list(products) == ["trading_engine_image"]
    repository, tag = products["trading_engine_image"].reference.split(":")
    version, _, key = tag.partition("-")
    assert (repository, version, len(key)) == ("ballast/reference-engine", "1.2.3", 12)


def _product(tree: Checkout) -> str:
    return images.product_images(tree)["trading_engine_image"].reference


@pytest.mark.parametrize(
    "path", ["reference_engine/src/main.py", "reference_engine/requirements.txt", "base/Dockerfile"]
)
def test_a_change_of_what_goes_into_an_image_changes_its_name(tree: Checkout, path: str) -> None:
    before = _product(tree)
    (tree.root / "images" / path).write_text("changed\n")
    assert _product(tree) != before


def test_making_a_file_executable_changes_the_images_name(tree: Checkout) -> None:
    before = _product(tree)
    (tree.root / "images" / "reference_engine" / "src" / "main.py").chmod(0o755)
    assert _product(tree) != before


@pytest.mark.parametrize(
    "path", ["src/__pycache__/main.pyc", "src/x.egg-info/PKG-INFO", "tests/test_main.py", ".mypy_cache/x"]
)
def test_what_tools_leave_behind_does_not_change_an_images_name(tree: Checkout, path: str) -> None:
    before = _product(tree)
    file = tree.root / "images" / "reference_engine" / path
    file.parent.mkdir(parents=True)
    file.write_text("left behind\n")
    assert _product(tree) == before


def test_every_suite_and_flavour_has_an_image_of_its_own(tree: Checkout) -> None:
    references = {
        images.host_image(tree, suite, flavour).reference for suite in images.SUITES for flavour in images.FLAVOURS
    }
    assert len(references) == len(images.SUITES) * len(images.FLAVOURS)
