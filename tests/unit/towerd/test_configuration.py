"""The files beside what runs: compared, taken over whole or not at all, and told about once."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerd.builders import FakeClock, settings_of
from tests.unit.towerd.waiting import run
from towerd.config_files import ConfigError
from towerd.configuration import Configuration


class Ledger:
    """Keeps the events that are posted."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def post(self, *, events: list[Any]) -> None:
        self.told += [(event.type, event.data) for event in events]


class Desk:
    """A configuration file, and the daemon's eye on it."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "tower.toml"
        self.settings = settings_of()
        self.ledger: Any = Ledger()
        self.configuration = Configuration(
            self.file, is_named=False, settings=self.settings, clock=FakeClock(), ledger=self.ledger
        )

    def look(self) -> str:
        self.do(self.configuration.look())
        return self.configuration.difference.state

    def reload(self) -> list[str]:
        return [change.key for change in self.do(self.configuration.reload())]

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return run(work)

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        told, self.ledger.told = self.ledger.told, []
        return told


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def changed(state: str, *keys: str) -> tuple[str, dict[str, Any]]:
    return "config.changed", {"state": state, "keys": list(keys), "mistakes": []}


def test_a_look_at_what_runs_says_nothing(desk: Desk) -> None:
    desk.file.write_text("[pairing]\ntimeout_seconds = 300\n")
    assert desk.look() == "current"
    assert desk.told() == []


def test_a_difference_is_told_once_and_again_when_it_is_over(desk: Desk) -> None:
    desk.file.write_text("[pairing]\ntimeout_seconds = 60\n")
    assert [desk.look(), desk.look()] == ["pending", "pending"]
    assert desk.told() == [changed("pending", "pairing.timeout_seconds")]
    assert desk.settings.current.pairing.timeout_seconds == 300
    desk.file.unlink()
    assert desk.look() == "current"
    assert desk.told() == [changed("current")]


def test_mistakes_are_told_with_their_files_and_logged_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.file.write_text("[pairing]\ntimeout_seconds = 0\nnonsense = 1\n")
    with caplog.at_level(logging.ERROR):
        assert [desk.look(), desk.look()] == ["broken", "broken"]
    ((kind, data),) = desk.told()
    assert (kind, data["state"], data["keys"]) == ("config.changed", "broken", [])
    assert len(data["mistakes"]) == len(caplog.records) == 2
    assert all(str(desk.file) in mistake for mistake in data["mistakes"])


def test_a_reload_takes_over_and_says_so(desk: Desk) -> None:
    desk.file.write_text("[pairing]\ntimeout_seconds = 60\n[workers]\nmemory_max_mb = 99\n")
    desk.look()
    desk.told()
    keys = ["pairing.timeout_seconds", "workers.memory_max_mb"]
    assert desk.reload() == keys
    assert desk.settings.current.workers.memory_max_mb == 99
    assert desk.told() == [("config.reloaded", {"changed": keys, "needs_restart": []}), changed("current")]


def test_a_reload_with_one_mistake_changes_nothing(desk: Desk) -> None:
    desk.file.write_text("[pairing]\ntimeout_seconds = 60\n[workers]\nmemory_max_mb = 1\n")
    with pytest.raises(ConfigError) as caught:
        desk.reload()
    assert [one.key for one in caught.value.mistakes] == ["workers.memory_max_mb"]
    assert desk.settings.current.pairing.timeout_seconds == 300
    assert desk.configuration.difference.state == "broken"
    assert [kind for kind, _ in desk.told()] == ["config.changed"]


def test_what_needs_a_restart_stays_a_difference_after_the_reload(desk: Desk) -> None:
    desk.file.write_text("[start]\nspread_seconds = 1\nparallel = 3\n")
    assert desk.look() == "pending"
    assert set(desk.reload()) == {"start.spread_seconds", "start.parallel"}
    assert desk.configuration.difference.state == "needs-restart"
    assert desk.configuration.difference.keys == ["start.spread_seconds"]
    assert desk.settings.current.start.parallel == 3
    assert desk.settings.current.start.spread_seconds == 0.2
