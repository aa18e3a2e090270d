# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs: one line per event on stdout, ``<UTC time> <level> <event> key=value ...``."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from .model import iso

_logger = logging.getLogger("reference_engine")


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = dict(getattr(record, "fields", {}))
        event = record.getMessage()
        if record.name != _logger.name:
            event, fields = "library", {"logger": record.name, "message": event}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        words = [iso(datetime.fromtimestamp(record.created, UTC)), record.levelname.lower(), event]
        words += [f"{key}={_quoted(value)}" for key, value in fields.items()]
        return " ".join(words)


def _quoted(value: object) -> str:
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    text = text.replace("\n", "\\n")
    return '"' + text.replace('"', "'") + '"' if not text or any(c in text for c in ' "=') else text


def configure(level: str, stream: TextIO = sys.stdout) -> None:
    """Send everything of the level and above to the stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The link logs what matters of the library's doings in its own words; at debug the library speaks too.
    logging.getLogger("ib_async").setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)


def debug(event: str, **fields: object) -> None:
    _logger.debug(event, extra={"fields": fields})


def info(event: str, **fields: object) -> None:
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    _logger.warning(event, extra={"fields": fields})


def error(event: str, *, traceback: bool = False, **fields: object) -> None:
    _logger.error(event, extra={"fields": fields}, exc_info=traceback)
