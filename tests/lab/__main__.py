# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line: ``python -m tests.lab VERB``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from docker.errors import DockerException

from . import access, engine, images
from .checkout import Checkout, LabError, locked
from .hosts import Lab


def main() -> int:
    """Run one verb; returns the exit code."""
    arguments = _parser().parse_args()
    checkout = Checkout(Path(__file__).resolve().parents[2])
    try:
        if arguments.verb == "ssh":
            _ssh(checkout, arguments.name, arguments.command)
        if arguments.verb == "engine":
            engine.ensure()
            return 0
        if arguments.verb in ("up", "down", "images"):  # down too: an engine that stopped kept its containers
            engine.ensure()
        if arguments.verb in ("clean", "distclean") and not checkout.state.exists() and not engine.answers():
            return 0  # nothing was ever made here
        lab = Lab(engine.connect(), checkout)
        if arguments.verb in ("ls", "inventory"):
            _show(lab, arguments)
            return 0
        with locked(f"checkout-{checkout.identity}"):
            _change(lab, arguments)
    except (LabError, DockerException) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


def _show(lab: Lab, arguments: argparse.Namespace) -> None:
    if arguments.verb == "inventory":
        # For scenarios, whose inventories name images of the world outside.
        print(lab.inventory(arguments.names, overriding=True), end="")
        return
    print(f"{'NAME':<20} {'SUITE':<10} {'FLAVOUR':<8} {'ADDRESS':<16} STATUS")
    for host in lab.hosts():
        print(f"{host.name:<20} {host.suite:<10} {host.flavour:<8} {host.address:<16} {host.status}")


def _change(lab: Lab, arguments: argparse.Namespace) -> None:
    match arguments.verb:
        case "images":
            for suite in arguments.suite or [images.DEFAULT_SUITE]:
                for flavour in arguments.flavour or [images.DEFAULT_FLAVOUR]:
                    images.build(lab.client, images.host_image(lab.checkout, suite, flavour))
            lab.publish_products()
        case "up":
            lab.up(arguments.names, arguments.suite, arguments.flavour)
        case "down":
            lab.down(arguments.names)
        case "restart":
            lab.restart(arguments.name)
        case "clean":
            lab.clean()
        case "distclean":
            lab.distclean()


def _ssh(checkout: Checkout, name: str, command: list[str]) -> None:
    configuration = access.ssh_config_file(checkout)
    if not configuration.exists():
        raise LabError(f"this lab has no hosts yet; make one with 'up {name}'")
    os.execvp("ssh", ["ssh", "-F", str(configuration), name, *command])  # noqa: S606


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="Debian servers as containers.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("engine", help="make a Docker Engine answer; as root, install and start one where none does")
    verb = verbs.add_parser("images", help="build the host images and publish the product images in the registry")
    verb.add_argument("--suite", action="append", choices=images.SUITES, help="may be repeated (default: trixie)")
    verb.add_argument("--flavour", action="append", choices=images.FLAVOURS, help="may be repeated (default: docker)")
    verb = verbs.add_parser("up", help="make hosts and wait until they have booted")
    verb.add_argument("names", nargs="+", metavar="NAME")
    verb.add_argument("--suite", choices=images.SUITES, help="the Debian of a new host (default: trixie)")
    verb.add_argument("--flavour", choices=images.FLAVOURS, help="with Docker or without (default: docker)")
    verb = verbs.add_parser("down", help="remove hosts and all that was on them")
    verb.add_argument("names", nargs="+", metavar="NAME")
    verb = verbs.add_parser("restart", help="shut a host down, start it, and wait until it has booted")
    verb.add_argument("name", metavar="NAME")
    verb = verbs.add_parser("ssh", help="log in, or run a command")
    verb.add_argument("name", metavar="NAME")
    verb.add_argument("command", nargs=argparse.REMAINDER)
    verbs.add_parser("ls", help="list the hosts")
    verb = verbs.add_parser("inventory", help="print an Ansible inventory of the named hosts (default: all)")
    verb.add_argument("names", nargs="*", metavar="NAME")
    verbs.add_parser("clean", help="remove all hosts, their network and the generated files of this checkout")
    verbs.add_parser("distclean", help="also remove the images, the caches and the engine, if the lab started it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
