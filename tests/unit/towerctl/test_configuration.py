"""`config`: the configuration that runs, as a person and as a script sees it."""

from __future__ import annotations

from typing import Any

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon


def setting(key: str, value: Any, source: str | None = None) -> dict[str, Any]:
    return {"key": key, "value": value, "default": value, "source": source, "needs_restart": False}


SETTINGS = {
    "settings": [
        setting("pairing.automatic", value=True),
        setting("pairing.device_name", "TOWER Köln", "/etc/tower/tower.d/a.toml"),
    ]
}


def test_config_shows_each_key_with_its_value_and_where_that_comes_from(
    tower: Tower, daemon: FakeDaemon
) -> None:
    daemon.prepare("daemon.config", SETTINGS)
    header, *rows = (line.split(maxsplit=2) for line in tower("config").out.splitlines())
    assert header == ["KEY", "SOURCE", "VALUE"]
    assert rows == [
        ["pairing.automatic", "default", "true"],
        ["pairing.device_name", "/etc/tower/tower.d/a.toml", '"TOWER Köln"'],
    ]


def test_config_as_json_is_the_answer(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("daemon.config", SETTINGS)
    assert tower("config", "--json").json == SETTINGS
