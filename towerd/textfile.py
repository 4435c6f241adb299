"""The figures in a file, for the textfile collector of node_exporter.

The one rule: a reader sees the old file or the new one, never half of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from towerd.metrics import Metrics
from towerd.settings import Settings

log = logging.getLogger(__name__)

_MODE = 0o644
"""node_exporter runs as a user of its own; the figures name nobody."""


class Textfile:
    """Writes the figures again and again, when the configuration names a file.

    Args:
        metrics: the figures.
        settings: name the file and the interval.
    """

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self._metrics = metrics
        self._settings = settings
        self.problem: str | None = None

    async def run(self) -> None:
        """Write for ever."""
        while True:
            config = self._settings.current.metrics
            if config.textfile:
                await self._write(Path(config.textfile))
            else:
                self.problem = None
            await asyncio.sleep(config.interval_seconds)

    async def _write(self, path: Path) -> None:
        try:
            await asyncio.to_thread(replace, path, self._metrics.text)
        except OSError as error:
            if self.problem is None:
                log.error("the metrics cannot be written to %s: %s", path, error.strerror)
            self.problem = f"the metrics cannot be written to {path}: {error.strerror}"
        else:
            self.problem = None


def replace(path: Path, text: Callable[[], str]) -> None:
    """Write a file beside and put it in the place.

    Raises:
        OSError: it cannot be written; the old file is still there.
    """
    # The collector reads files that end in .prom; this one does not.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text())
        draft.chmod(_MODE)
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
