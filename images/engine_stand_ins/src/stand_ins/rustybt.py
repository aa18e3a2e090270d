# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As a RustyBT strategy: its settings in the environment, and a checkpoint of its state below its home."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from .link import Link
from .service import serve


def main() -> int:
    link = Link(os.environ["IB_HOST"], int(os.environ["IB_PORT"]), int(os.environ["IB_CLIENT_ID"]))
    checkpoint = Path.home() / ".rustybt/state/mean_checkpoint.json"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"account": os.environ["IB_ACCOUNT"]})
    return serve(link, lambda: checkpoint.write_text(text) and None, 1.0, print)


if __name__ == "__main__":
    sys.exit(main())
