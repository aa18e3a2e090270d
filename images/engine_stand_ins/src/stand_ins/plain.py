# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine of one's own, whose image has a health check: healthy while /tmp/healthy is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .link import Link
from .service import serve

HEALTHY = Path("/tmp/healthy")  # noqa: S108 -- where the image's health check looks


def main() -> int:
    host, port = os.environ["BALLAST_GATEWAY_HOST"], int(os.environ["BALLAST_GATEWAY_PORT"])
    link = Link(host, port, int(os.environ["BALLAST_CLIENT_ID"]))
    HEALTHY.touch()
    return serve(link, lambda: None, 1.0, print)


if __name__ == "__main__":
    sys.exit(main())
