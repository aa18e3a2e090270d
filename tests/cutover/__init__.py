# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a release under load on a lab host, disturbed at any step, and judged by the venue's own record.

``rig.py`` runs here and serves the scenario ``cutover`` and the benchmark; ``on_host.py`` runs on the host.
"""
