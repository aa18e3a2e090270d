# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As a NautilusTrader node: it takes another client id when its own is in use, and says in its log what it is."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from .link import ClientIdInUseError, Link
from .service import serve


def say(text: str) -> None:
    print(f"[INFO] TRADER-001.TradingNode: {text}")


def main() -> int:
    say("BUILDING")
    host, port = os.environ["BALLAST_GATEWAY_HOST"], int(os.environ["BALLAST_GATEWAY_PORT"])
    client_id = int(os.environ["BALLAST_CLIENT_ID"])
    try:
        link = Link(host, port, client_id)
    except ClientIdInUseError:
        link = Link(host, port, random.randrange(1000, 10000))  # noqa: S311
    Path(os.environ["HOME"], "account").write_text(os.environ["TWS_ACCOUNT"])
    say("RUNNING")
    status = serve(link, lambda: None, 1.0, say)
    say("DISPOSED")
    return status


if __name__ == "__main__":
    sys.exit(main())
