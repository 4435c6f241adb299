"""What runs: taken over key by key, but for what a start alone can take."""

from __future__ import annotations

from pathlib import Path

from tests.unit.towerd.builders import settings_of
from towerd.config import Config, PairingConfig, StartConfig, WorkersConfig
from towerd.config_files import Reading
from towerd.settings import Change, Settings

FILE, OTHER = Path("/etc/tower/tower.toml"), Path("/etc/tower/tower.d/a.toml")


def a_reading(config: Config, **sources: Path) -> Reading:
    return Reading(config=config, sources={key.replace("__", "."): file for key, file in sources.items()})


def test_files_that_say_what_runs_change_nothing() -> None:
    settings = settings_of()
    assert settings.changes(a_reading(Config())) == []
    assert settings.take(a_reading(Config(), pairing__automatic=FILE)) == []
    (automatic,) = [one for one in settings.all() if one.key == "pairing.automatic"]
    assert automatic.source == FILE


def test_a_change_is_told_before_and_taken_then() -> None:
    settings = settings_of()
    reading = a_reading(Config(pairing=PairingConfig(timeout_seconds=60)), pairing__timeout_seconds=FILE)
    expected = [Change(key="pairing.timeout_seconds", old=300, new=60, needs_restart=False)]
    assert settings.changes(reading) == expected
    assert settings.current.pairing.timeout_seconds == 300
    assert settings.take(reading) == expected
    assert settings.current.pairing.timeout_seconds == 60
    assert settings.changes(reading) == []


def test_what_needs_a_restart_keeps_its_value_and_its_source_and_stays_a_change() -> None:
    start, later = StartConfig(spread_seconds=1), StartConfig(spread_seconds=2, parallel=7)
    settings = Settings(a_reading(Config(start=start), start__spread_seconds=FILE))
    reading = a_reading(Config(start=later), start__spread_seconds=OTHER, start__parallel=OTHER)
    changes = {change.key: change.needs_restart for change in settings.take(reading)}
    assert changes == {"start.spread_seconds": True, "start.parallel": False}
    assert settings.current.start == StartConfig(spread_seconds=1, parallel=7)
    sources = {one.key: one.source for one in settings.all() if one.source}
    assert sources == {"start.spread_seconds": FILE, "start.parallel": OTHER}
    assert [change.key for change in settings.changes(reading)] == ["start.spread_seconds"]


def test_a_key_that_left_the_files_has_its_default_again() -> None:
    settings = Settings(
        a_reading(Config(workers=WorkersConfig(memory_max_mb=99)), workers__memory_max_mb=FILE)
    )
    settings.take(a_reading(Config()))
    assert all(one.value == one.default and one.source is None for one in settings.all())
