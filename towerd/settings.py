"""The configuration that runs: read by everybody at the moment of use, replaced by a reload.

The one rule: nobody keeps a section or a value of it beyond the moment, so that what a reload changes is so
everywhere at once. A key that only a start can take keeps its value until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from towerd.config import NEEDS_RESTART, Config, values_of
from towerd.config_files import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key whose value in the files is another than the one that runs.

    Attributes:
        needs_restart: a reload does not take it; the next start does.
    """

    key: str
    old: Any
    new: Any
    needs_restart: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key as it runs; `source` is the file that set it, None for a default."""

    key: str
    value: Any
    default: Any
    source: Path | None


class Settings:
    """What runs.

    Args:
        reading: what the files said at the start.

    Attributes:
        current: the configuration; frozen, another object after each reload.
    """

    def __init__(self, reading: Reading) -> None:
        self.current = reading.config
        self._sources = dict(reading.sources)

    def changes(self, reading: Reading) -> list[Change]:
        """Return the keys whose values are others in a reading than in what runs."""
        running, read = values_of(self.current), values_of(reading.config)
        return [
            Change(key=key, old=running[key], new=new, needs_restart=key in NEEDS_RESTART)
            for key, new in read.items()
            if new != running[key]
        ]

    def take(self, reading: Reading) -> list[Change]:
        """Let a reading run, but for the keys that need a restart; return what is another in it."""
        changes = self.changes(reading)
        kept = {change.key for change in changes if change.needs_restart}
        self.current = _with(reading.config, {key: values_of(self.current)[key] for key in kept})
        old_sources = {key: self._sources[key] for key in kept if key in self._sources}
        self._sources = {key: file for key, file in reading.sources.items() if key not in kept} | old_sources
        return changes

    def all(self) -> list[Setting]:
        """Return every key with its value and where that comes from, in the order of the manual."""
        defaults = values_of(Config())
        return [
            Setting(key=key, value=value, default=defaults[key], source=self._sources.get(key))
            for key, value in values_of(self.current).items()
        ]


def _with(config: Config, values: dict[str, Any]) -> Config:
    for key, value in values.items():
        section, _, name = key.partition(".")
        changed = msgspec.structs.replace(getattr(config, section), **{name: value})
        config = msgspec.structs.replace(config, **{section: changed})
    return config
