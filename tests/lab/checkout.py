# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to this checkout: names, files, locks. Two checkouts on one machine share nothing but images."""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
REGISTRY = "registry"
REGISTRY_PORT = 5000
# Far from the ranges Docker itself gives out (172.16.0.0/12 and 192.168.0.0/16), which the hosts' own engines use.
SUBNETS = tuple(ipaddress.IPv4Network("10.213.0.0/16").subnets(new_prefix=24))
REGISTRY_INDEX = 2
FIRST_HOST_INDEX = 10

_started = time.monotonic()


class LabError(Exception):
    """Something the user must know or repair; the message says what and how."""


def say(text: str) -> None:
    """Print one line of progress, with the seconds since the command began, to standard error."""
    print(f"lab {time.monotonic() - _started:6.1f}s  {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Checkout:
    """One working copy of the repository and the names of everything the lab makes for it."""

    root: Path

    @property
    def identity(self) -> str:
        """Eight hexadecimal digits that tell this checkout from any other on the machine."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def state(self) -> Path:
        """The folder of the files that the lab generates."""
        return self.root / ".lab"

    @property
    def dev_inventory(self) -> Path:
        """The generated part of the dev inventory."""
        return self.root / "inventories" / "dev" / "lab.yml"

    @property
    def network(self) -> str:
        """The name of the Docker network that connects this checkout's hosts."""
        return f"ballast-{self.identity}"

    def container(self, name: str) -> str:
        """The name of the container that is the host ``name``."""
        return f"ballast-{self.identity}-{name}"


def check_host_name(name: str) -> str:
    """Return ``name`` if a host may have it; raises LabError otherwise."""
    if not HOST_NAME.fullmatch(name):
        raise LabError(f"host name {name!r} must match {HOST_NAME.pattern}, such as dev1")
    if name == REGISTRY:
        raise LabError(f"host name {name!r} is the lab's own registry; choose another")
    return name


def cache_directory() -> Path:
    """Where files that all checkouts of this user share are kept: wheels, locks, a build's scratch space."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ballast-lab"


def content_key(parts: Iterable[str | bytes]) -> str:
    """Twelve hexadecimal digits over the parts and their borders, so that ["ab", "c"] differs from ["a", "bc"]."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:12]


def free_subnets(identity: str, taken: Collection[ipaddress.IPv4Network]) -> list[ipaddress.IPv4Network]:
    """The lab's subnets that overlap none of ``taken``, each checkout beginning its search at its own place."""
    start = int(identity, 16) % len(SUBNETS)
    ordered = SUBNETS[start:] + SUBNETS[:start]
    return [subnet for subnet in ordered if not any(subnet.overlaps(other) for other in taken)]


def routed_subnets(table: str) -> list[ipaddress.IPv4Network]:
    """The networks in the kernel's routing table (the text of /proc/net/route), the default route left out."""
    networks = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        # Addresses stand there as little-endian hexadecimal numbers: field 1 the destination, field 7 the mask.
        destination, mask = (int.from_bytes(bytes.fromhex(fields[i]), "little") for i in (1, 7))
        if mask:
            networks.append(ipaddress.IPv4Network((destination, mask.bit_count()), strict=False))
    return networks


def free_address(subnet: ipaddress.IPv4Network, taken: Collection[str]) -> str:
    """The lowest address for a host in ``subnet`` that is not in ``taken``."""
    for index in range(FIRST_HOST_INDEX, subnet.num_addresses - 1):
        address = str(subnet[index])
        if address not in taken:
            return address
    raise LabError(f"no address is left in {subnet}; remove hosts with 'down NAME'")


@contextmanager
def locked(name: str) -> Iterator[int]:
    """Hold a lock that all lab commands of this user share; gives its descriptor.

    A child that inherits the descriptor keeps the lock for as long as it lives, even when its parent was killed.
    """
    path = cache_directory() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another lab command ({path})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()


def run(command: Sequence[str | Path], lock: int | None = None) -> None:
    """Run a program to its end, its output kept for the message of the LabError that a failure raises.

    With ``lock`` the program holds that lock too: what goes on after we were killed must end before another may begin.
    """
    text = " ".join(str(part) for part in command)
    descriptors = () if lock is None else (lock,)
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=descriptors
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not on PATH and is needed; install it. Wanted to run: {text}") from error
    if done.returncode != 0:
        raise LabError(f"failed with exit code {done.returncode}: {text}\n{done.stdout[-3000:]}")


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
