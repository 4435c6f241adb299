"""The configuration files beside what runs: compared at every look, taken over by a reload.

The one rule: all or nothing. One mistake in any file, and a reload changes nothing and tells them all.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from towerd.accounts.ledger import Ledger
from towerd.accounts.records import daemon_event
from towerd.clock import Clock
from towerd.config_files import ConfigError, Mistake, Reading, drop_in_directory, read_config
from towerd.settings import Change, Settings

log = logging.getLogger(__name__)

Standing = Literal["current", "pending", "needs-restart", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What the files say beside what runs; without changes and mistakes they say the same."""

    changes: tuple[Change, ...] = ()
    mistakes: tuple[Mistake, ...] = ()

    @property
    def state(self) -> Standing:
        """In a word: whether a reload would take something, or could not, or would not."""
        if self.mistakes:
            return "broken"
        if not self.changes:
            return "current"
        return "needs-restart" if all(change.needs_restart for change in self.changes) else "pending"

    @property
    def keys(self) -> list[str]:
        """The keys that differ."""
        return [change.key for change in self.changes]


class Configuration:
    """The files of one configuration, and what runs of them.

    Args:
        path: the main file.
        is_named: somebody named it, so its absence is a mistake.
        settings: what runs.
        clock: gives the times of events.
        ledger: takes events.

    Attributes:
        path: the main file.
        directories: where drop-ins of it lie.
        difference: how it was at the last look.
    """

    def __init__(
        self, path: Path, *, is_named: bool, settings: Settings, clock: Clock, ledger: Ledger
    ) -> None:
        self.path = path
        self.directories = [drop_in_directory(path)]
        self.difference = Difference()
        self._is_named = is_named
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._turn = asyncio.Lock()

    @property
    def is_to_be_taken(self) -> bool:
        """True when a reload would change something, and is not to wait for a command."""
        is_automatic = self._settings.current.config.reload == "automatic"
        return is_automatic and self.difference.state == "pending"

    async def look(self) -> None:
        """Compare the files with what runs, and tell when that is another than at the last look."""
        async with self._turn:
            was = self.difference
            await self._compare()
            if self.difference != was:
                self._log()

    async def reload(self) -> list[Change]:
        """Let what the files say run; return what is another by it, or by the next start.

        Raises:
            ConfigError: with every mistake; nothing was changed.
        """
        async with self._turn:
            reading = await self._compare()
            if reading is None:
                raise ConfigError(list(self.difference.mistakes))
            changes = self._settings.take(reading)
            taken = [change.key for change in changes if not change.needs_restart]
            waiting = [change.key for change in changes if change.needs_restart]
            log.info("the configuration was read again; changed: %s", ", ".join(taken) or "nothing")
            if waiting:
                log.warning("waiting for a restart of towerd: %s", ", ".join(waiting))
            self._emit("config.reloaded", {"changed": taken, "needs_restart": waiting})
            self._note(Difference(changes=tuple(self._settings.changes(reading))))
        return changes

    async def _compare(self) -> Reading | None:
        """Read the files and note how they differ from what runs; None when they are not valid."""
        try:
            reading = await asyncio.to_thread(read_config, self.path, must_exist=self._is_named)
        except ConfigError as error:
            self._note(Difference(mistakes=tuple(error.mistakes)))
            return None
        self._note(Difference(changes=tuple(self._settings.changes(reading))))
        return reading

    def _note(self, difference: Difference) -> None:
        was, self.difference = self.difference, difference
        if difference != was:
            mistakes = [str(mistake) for mistake in difference.mistakes]
            data = {"state": difference.state, "keys": difference.keys, "mistakes": mistakes}
            self._emit("config.changed", data)

    def _log(self) -> None:
        keys = ", ".join(self.difference.keys)
        match self.difference.state:
            case "broken":
                for mistake in self.difference.mistakes:
                    log.error("the configuration on the disk is not valid: %s", mistake)
            case "pending" if self._settings.current.config.reload == "manual":
                log.warning("the configuration on the disk is not what runs (towerctl reload): %s", keys)
            case "needs-restart":
                log.warning("the configuration on the disk waits for a restart of towerd: %s", keys)
            case "current":
                log.info("the configuration on the disk is what runs")

    def _emit(self, event_type: str, data: dict[str, Any]) -> None:
        self._ledger.post(events=[daemon_event(event_type, data, time=self._clock.now())])
