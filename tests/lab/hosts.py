# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's hosts: containers that boot systemd, in a network of the checkout's own, with a registry among them.

Docker keeps the state: each command looks at what is there and adds what lacks; after an interruption, run it again.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from . import access, engine, images
from .access import HostAccess
from .checkout import (
    REGISTRY,
    REGISTRY_INDEX,
    REGISTRY_PORT,
    Checkout,
    LabError,
    check_host_name,
    free_address,
    free_subnets,
    routed_subnets,
    run,
    say,
    write_atomically,
)

CHECKOUT_LABEL = "ballast.lab.checkout"
PATH_LABEL = "ballast.lab.path"
NAME_LABEL = "ballast.lab.name"
SUITE_LABEL = "ballast.lab.suite"
FLAVOUR_LABEL = "ballast.lab.flavour"
REGISTRY_VOLUME = "ballast-lab-registry"
DEV_HOST = "dev1"
BOOT_SECONDS = 120

# What systemd and a nested engine need beyond Docker's usual ones. Not all there are: a host must not set the machine's
# clock or load its modules, and a machine that itself lacks some (SYS_RESOURCE) refuses what it cannot give.
CAPABILITIES = (
    "AUDIT_CONTROL",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "LINUX_IMMUTABLE",
    "NET_ADMIN",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_PTRACE",
    "SYSLOG",
)

# Docker cannot stack its file systems on a container's own: these folders must be volumes.
VOLUMES = {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd"}

_SOME_LOCAL_PORT: Any = {f"{REGISTRY_PORT}/tcp": ("127.0.0.1", None)}


@dataclass(frozen=True)
class HostState:
    """One line of ``ls``."""

    name: str
    suite: str
    flavour: str
    address: str
    status: str


class Lab:
    """The lab of one checkout."""

    def __init__(self, client: docker.DockerClient, checkout: Checkout) -> None:
        """``client`` talks to the machine's engine."""
        self.client = client
        self.checkout = checkout
        self.labels = {CHECKOUT_LABEL: checkout.identity, PATH_LABEL: str(checkout.root)}

    # Hosts

    def up(self, names: Iterable[str], suite: str | None, flavour: str | None) -> None:
        """Make the hosts exist and run; returns when all have booted and answer on ssh.

        A host that exists stays as it is; one that was made of another suite or flavour than is asked for is an error.
        """
        names = [check_host_name(name) for name in names]
        self.publish_products()
        fresh = []
        for name in names:
            container = self._find(name)
            if container is not None and container.status in ("removing", "dead"):
                self.down([name])  # was interrupted
                container = None
            if container is None:
                container = self._create(name, suite or images.DEFAULT_SUITE, flavour or images.DEFAULT_FLAVOUR)
                fresh.append(name)
            else:
                self._check_kind(container, suite, flavour)
            self._install_identity(container)
            if container.status != "running":
                say(f"starting {name}")
                container.start()
        self.write_files()
        for name in names:
            self._wait_until_ready(name, strictly=name in fresh)

    def down(self, names: Iterable[str]) -> None:
        """Remove the hosts and all that was on them."""
        for name in names:
            container = self._find(name)
            if container is not None:
                say(f"removing {name}")
                container.remove(force=True, v=True)
            self._remove_volumes(name)
            shutil.rmtree(self._identity_directory(name), ignore_errors=True)
        self.write_files()

    def restart(self, name: str) -> None:
        """Shut the host down in order, start it, and wait until it has booted."""
        container = self._get(name)
        say(f"restarting {name}")
        container.restart(timeout=BOOT_SECONDS)
        self._wait_until_ready(name, strictly=False)

    def hosts(self) -> list[HostState]:
        """The hosts of this checkout, by name."""
        return [
            HostState(
                container.labels[NAME_LABEL],
                container.labels[SUITE_LABEL],
                container.labels[FLAVOUR_LABEL],
                self._address(container),
                container.status,
            )
            for container in self._containers()
        ]

    def clean(self) -> None:
        """Remove all that was made for this checkout and for those that are gone; the registry's data with the last."""
        for identity, path in self._other_checkouts().items():
            if _is_gone(path):
                say(f"{path} is gone, so its lab goes too")
                self._remove_objects(identity)
        self._remove_objects(self.checkout.identity)
        self._remove_registry_data()
        shutil.rmtree(self.checkout.state, ignore_errors=True)
        self.checkout.dev_inventory.unlink(missing_ok=True)

    def distclean(self) -> None:
        """Also remove what all checkouts share: images, caches, an engine that the lab started."""
        self.clean()
        others = self._other_checkouts()
        if others:
            paths = ", ".join(sorted(str(path) for path in others.values()))
            raise LabError(f"other checkouts still have a lab, so what all share is kept; 'clean' there first: {paths}")
        images.remove_all(self.client)
        engine.stop()

    def _other_checkouts(self) -> dict[str, Path]:
        # Their paths by their identities. An interrupted removal leaves volumes and networks without a container.
        filters: dict[str, Any] = {"label": PATH_LABEL}
        containers = self.client.containers.list(all=True, filters=filters, ignore_removed=True)
        others = [*self.client.volumes.list(filters=filters), *self.client.networks.list(filters=filters)]
        labels = [container.labels for container in containers] + [other.attrs["Labels"] for other in others]
        paths = {found[CHECKOUT_LABEL]: Path(found[PATH_LABEL]) for found in labels}
        return {identity: path for identity, path in paths.items() if identity != self.checkout.identity}

    def _remove_registry_data(self) -> None:
        try:
            self._remove_volume(REGISTRY_VOLUME)
        except APIError as error:
            if error.status_code != http.HTTPStatus.CONFLICT:  # in use by another checkout's registry
                raise

    def _remove_objects(self, identity: str) -> None:
        of_checkout: dict[str, Any] = {"label": f"{CHECKOUT_LABEL}={identity}"}
        for container in self.client.containers.list(all=True, filters=of_checkout, ignore_removed=True):
            say(f"removing container {container.name}")
            container.remove(force=True, v=True)
        for volume in self.client.volumes.list(filters=of_checkout):
            volume.remove(force=True)
        for network in self.client.networks.list(filters=of_checkout):
            network.remove()

    # Files

    def write_files(self) -> None:
        """Write the ssh configuration of all hosts, and the dev inventory while its host exists."""
        hosts = self._accesses()
        write_atomically(access.known_hosts_file(self.checkout), access.known_hosts(hosts))
        write_atomically(access.ssh_config_file(self.checkout), access.ssh_config(self.checkout, hosts))
        if any(host.name == DEV_HOST for host in hosts):
            write_atomically(self.checkout.dev_inventory, self.inventory([DEV_HOST]))
        else:
            self.checkout.dev_inventory.unlink(missing_ok=True)

    def inventory(self, names: Iterable[str], *, overriding: bool = False) -> str:
        """An inventory of the named hosts; of all where none is named."""
        hosts = {host.name: host for host in self._accesses()}
        for name in names:
            if name not in hosts:
                raise self._absent(name)
        references = {
            variable: f"{access.REGISTRY_ADDRESS}/{image.reference}"
            for variable, image in images.product_images(self.checkout).items()
        }
        wanted = [hosts[name] for name in names or hosts]
        return access.inventory(self.checkout, wanted, references, overriding=overriding)

    # Registry

    def publish_products(self) -> None:
        """Run the registry and have in it the product images as this checkout has them."""
        products = images.product_images(self.checkout)
        port = self._registry_port()
        for image in products.values():
            if self._is_published(port, image):
                continue
            images.build(self.client, image)
            repository, tag = image.reference.split(":")
            address = f"127.0.0.1:{port}/{repository}"
            say(f"pushing {image.reference}")
            self.client.images.get(image.reference).tag(address, tag)
            try:
                for event in self.client.api.push(address, tag, stream=True, decode=True):
                    if "error" in event:
                        raise LabError(f"pushing {image.reference} to the lab's registry failed: {event['error']}")
            finally:
                self.client.images.remove(f"{address}:{tag}")

    def _is_published(self, port: int, image: images.Image) -> bool:
        repository, tag = image.reference.split(":")
        return _registry_has(port, f"/v2/{repository}/manifests/{tag}")

    def _registry_port(self) -> int:
        # The port of this machine at which the running registry takes pushes.
        image = images.registry_image(self.checkout)
        container = self._find(REGISTRY)
        if container is not None and container.attrs["Config"]["Image"] != image.reference:
            container.remove(force=True)
            container = None
        if container is None:
            images.build(self.client, image)
            network = self._network()
            self.client.volumes.create(REGISTRY_VOLUME, labels={NAME_LABEL: REGISTRY})  # of no checkout: all share it
            container = self.client.containers.create(
                image.reference,
                volumes={REGISTRY_VOLUME: {"bind": "/var/lib/docker-registry"}},
                ports=_SOME_LOCAL_PORT,
                **self._common_options(REGISTRY, network, str(_subnet(network)[REGISTRY_INDEX]), {}),
            )
        if container.status != "running":
            container.start()
        container.reload()
        port = int(container.attrs["NetworkSettings"]["Ports"][f"{REGISTRY_PORT}/tcp"][0]["HostPort"])
        deadline = time.monotonic() + BOOT_SECONDS
        while not _registry_has(port, "/v2/"):
            if time.monotonic() > deadline:
                raise LabError(
                    f"the registry did not answer within {BOOT_SECONDS} s; its log ends with:\n{_log(container)}"
                )
            time.sleep(0.05)
        return port

    # Containers

    def _containers(self) -> list[Container]:
        filters: dict[str, Any] = {"label": [f"{CHECKOUT_LABEL}={self.checkout.identity}", FLAVOUR_LABEL]}
        found = self.client.containers.list(all=True, filters=filters, ignore_removed=True)
        return sorted(found, key=lambda container: str(container.labels[NAME_LABEL]))

    def _find(self, name: str) -> Container | None:
        try:
            return self.client.containers.get(self.checkout.container(name))
        except NotFound:
            return None

    def _get(self, name: str) -> Container:
        container = self._find(name)
        if container is None:
            raise self._absent(name)
        return container

    def _absent(self, name: str) -> LabError:
        present = ", ".join(host.labels[NAME_LABEL] for host in self._containers()) or "none"
        return LabError(f"no host {name!r} in this lab (there are: {present}); make it with 'up {name}'")

    def _check_kind(self, container: Container, suite: str | None, flavour: str | None) -> None:
        name = container.labels[NAME_LABEL]
        has = (container.labels[SUITE_LABEL], container.labels[FLAVOUR_LABEL])
        wanted = (suite or has[0], flavour or has[1])
        if has != wanted:
            raise LabError(f"host {name} is {'/'.join(has)}, not {'/'.join(wanted)}; remove it first: 'down {name}'")
        if container.attrs["Config"]["Image"] != images.host_image(self.checkout, *has).reference:
            say(f"{name} was made from an older image; 'down {name}' and 'up {name}' would renew it")

    def _create(self, name: str, suite: str, flavour: str) -> Container:
        image = images.host_image(self.checkout, suite, flavour)
        images.build(self.client, image)
        network = self._network()
        address = free_address(_subnet(network), [self._address(host) for host in self._containers()])
        self._remove_volumes(name)  # of a host whose removal was interrupted
        volumes = {}
        for suffix, path in VOLUMES.items():
            volume = self.client.volumes.create(f"{self.checkout.container(name)}-{suffix}", labels=self.labels)
            volumes[volume.name] = {"bind": path}
        say(f"creating {name} ({suite}, {flavour}, {address})")
        return self.client.containers.create(
            image.reference,
            hostname=name,
            cap_add=list(CAPABILITIES),
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            cgroupns="private",
            tmpfs={"/run": "exec,mode=0755", "/run/lock": "mode=1777", "/tmp": "exec,mode=1777"},  # noqa: S108
            volumes=volumes,
            extra_hosts={REGISTRY: str(_subnet(network)[REGISTRY_INDEX])},
            **self._common_options(name, network, address, {SUITE_LABEL: suite, FLAVOUR_LABEL: flavour}),
        )

    def _remove_volumes(self, name: str) -> None:
        for suffix in VOLUMES:
            self._remove_volume(f"{self.checkout.container(name)}-{suffix}")

    def _remove_volume(self, name: str) -> None:
        try:
            self.client.volumes.get(name).remove(force=True)
        except NotFound:
            return

    def _wait_until_ready(self, name: str, *, strictly: bool) -> None:
        container = self._get(name)
        deadline = time.monotonic() + BOOT_SECONDS
        state = ""
        while state not in ("running", "degraded"):
            container.reload()
            # A host that is new has no reason to reboot: it fails again and again.
            if time.monotonic() > deadline or (strictly and container.attrs["RestartCount"]):
                raise LabError(f"{name} did not boot (state: {state!r}); its log ends with:\n{_log(container)}")
            time.sleep(0.05)
            try:
                # Fails at once while systemd is not there yet, then waits until the boot is over.
                state = _output(container, "systemctl", "is-system-running", "--wait")
            except APIError as error:
                state = error.explanation or str(error)
        if state == "degraded":
            failed = _output(container, "systemctl", "--failed", "--plain", "--no-legend")
            if strictly:
                raise LabError(f"{name} booted, but some of its services failed:\n{failed}")
            say(f"{name} runs, but some of its services failed:\n{failed}")
        command = [
            "ssh",
            "-F",
            str(access.ssh_config_file(self.checkout)),
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=5",
        ]
        while (login := subprocess.run([*command, name, "true"], capture_output=True, text=True)).returncode != 0:
            if time.monotonic() > deadline:
                raise LabError(f"{name} booted, but did not let us in over ssh:\n{login.stderr.strip()}")
            time.sleep(0.05)
        say(f"{name} is ready: python -m tests.lab ssh {name}")

    # Network

    def _network(self) -> Network:
        for network in self.client.networks.list(names=[self.checkout.network]):
            if network.name == self.checkout.network:
                network.reload()
                return network
        taken = routed_subnets(Path("/proc/net/route").read_text())
        for network in self.client.networks.list():
            for pool in network.attrs["IPAM"]["Config"] or []:
                subnet = ipaddress.ip_network(pool["Subnet"])
                if isinstance(subnet, ipaddress.IPv4Network):
                    taken.append(subnet)
        for subnet in free_subnets(self.checkout.identity, taken):
            try:
                return self.client.networks.create(
                    self.checkout.network,
                    ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet), gateway=str(subnet[1]))]),
                    labels=self.labels,
                )
            except APIError as error:
                # Another checkout took it since we looked.
                if "overlap" not in str(error):
                    raise
        raise LabError("no free subnet is left for the lab's network; 'clean' in checkouts that are no longer used")

    def _common_options(self, name: str, network: Network, address: str, labels: Mapping[str, str]) -> dict[str, Any]:
        endpoint = self.client.api.create_endpoint_config(ipv4_address=address, aliases=[name])
        return {
            "name": self.checkout.container(name),
            "labels": {**self.labels, NAME_LABEL: name, **labels},
            "network": network.name,
            "networking_config": {network.name: endpoint},
            # A reboot ends a host's first process: this is the power button. It also serves when the machine reboots.
            "restart_policy": {"Name": "unless-stopped"},
        }

    def _address(self, container: Container) -> str:
        # As it was given, so that it is known of a stopped host too.
        endpoint = container.attrs["NetworkSettings"]["Networks"][self.checkout.network]
        return str(endpoint["IPAMConfig"]["IPv4Address"])

    # Keys

    def _accesses(self) -> list[HostAccess]:
        result = []
        for container in self._containers():
            name = container.labels[NAME_LABEL]
            _, public_key = self._host_key(name)
            result.append(HostAccess(name, self._address(container), public_key))
        return result

    def _identity_directory(self, name: str) -> Path:
        return self.checkout.state / "hosts" / name

    def _host_key(self, name: str) -> tuple[str, str]:
        return _key_pair(self._identity_directory(name) / "ssh_host_ed25519_key", name)

    def _install_identity(self, container: Container) -> None:
        # The host's key and the user's, made here: so the host is known before it is first spoken to.
        name = container.labels[NAME_LABEL]
        private_key, public_key = self._host_key(name)
        _, user_key = _key_pair(access.key_file(self.checkout), "lab")
        files = (
            ("etc/ssh/ssh_host_ed25519_key", private_key, 0o600, 0),
            ("etc/ssh/ssh_host_ed25519_key.pub", f"{public_key} {name}\n", 0o644, 0),
            (f"home/{access.USER}/.ssh/authorized_keys", f"{user_key} lab\n", 0o600, 1000),
        )
        running = container.status == "running"
        wanted = "".join(text for _, text, _, _ in files).strip()
        if running and _output(container, "cat", *(f"/{path}" for path, _, _, _ in files)) == wanted:
            return
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, text, mode, owner in files:
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode, entry.uid, entry.gid = len(text), mode, owner, owner
                archive.addfile(entry, io.BytesIO(text.encode()))
        container.put_archive("/", buffer.getvalue())
        if running:
            _output(container, "systemctl", "try-restart", "ssh")


def _key_pair(path: Path, comment: str) -> tuple[str, str]:
    # The private key's text and the public key (type and key), made where they are not there yet.
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", partial])
        partial.with_name(f"{partial.name}.pub").replace(path.with_name(f"{path.name}.pub"))
        partial.replace(path)
    kind, key = path.with_name(f"{path.name}.pub").read_text().split()[:2]
    return path.read_text(), f"{kind} {key}"


def _output(container: Container, *command: str) -> str:
    output = cast("bytes", container.exec_run(list(command)).output)  # no stream was asked for
    return output.decode().strip()


def _log(container: Container) -> str:
    return cast("bytes", container.logs(tail=20)).decode()


def _is_gone(path: Path) -> bool:
    try:
        return not path.exists()
    except PermissionError:  # another user's
        return False


def _subnet(network: Network) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"])


def _registry_has(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("HEAD", path, headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
