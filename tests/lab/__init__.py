# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: Debian servers with systemd, Docker and ssh, as containers on one machine.

``python -m tests.lab up dev1`` makes one. They serve the dev inventory and molecule alike; nothing on them knows that
they are containers. See ``python -m tests.lab --help``.
"""
