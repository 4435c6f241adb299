"""The daemon's log: lines on stderr, with the journal's priorities when stderr is the journal.

The one rule: JIDs, phone numbers, payloads and keys do not get through above debug, whoever logged them.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

from sessions.redactor import redact

LEVELS = ("debug", "info", "warning", "error")

# sd-daemon(3): `<N>` at the beginning of a line sets its priority.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Formatter(logging.Formatter):
    def __init__(self, *, is_journal: bool) -> None:
        super().__init__("%(message)s" if is_journal else "%(asctime)s %(levelname)s %(message)s")
        self._is_journal = is_journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as lines fit for the log."""
        text = super().format(record)
        if record.levelno > logging.DEBUG:
            text = redact(text)
        if not self._is_journal:
            return text
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in text.splitlines())


def is_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether stderr goes to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        device, inode = (int(number) for number in environment.get("JOURNAL_STREAM", "").split(":"))
        status = os.fstat(sys.stderr.fileno())
    except (ValueError, OSError):
        return False
    return (status.st_dev, status.st_ino) == (device, inode)


def configure(level: str) -> None:
    """Send the log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(is_journal=is_journal()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # They speak of what is no news here; and watchdog's every word, in a log that lies in a directory that is
    # watched, would be the next thing to speak of.
    for chatty in ("asyncio", "peewee", "watchdog"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
