"""`config` and `reload`: the configuration that runs, as a person and as a script sees it."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon
from towerd.protocol.errors import Field, TowerError


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


def change(key: str, old: Any, new: Any, *, needs_restart: bool = False) -> dict[str, Any]:
    return {"key": key, "old": old, "new": new, "needs_restart": needs_restart}


def reload_answer(*changes: dict[str, Any], **accounts: list[str]) -> dict[str, Any]:
    nothing: dict[str, list[str]] = {"created": [], "changed": [], "stopped": [], "mistakes": []}
    return {"changed": list(changes), "accounts": nothing | accounts}


def test_reload_says_what_changed_and_what_waits(tower: Tower, daemon: FakeDaemon) -> None:
    changes = [
        change("pairing.timeout_seconds", 300.0, 60.0),
        change("start.spread_seconds", 0.2, 1.0, needs_restart=True),
    ]
    daemon.prepare("daemon.reload", reload_answer(*changes))
    ran = tower("reload")
    assert ran.out.splitlines() == [
        "pairing.timeout_seconds: 300.0 -> 60.0",
        "start.spread_seconds: 0.2 -> 1.0 (with the next start of towerd)",
    ]
    assert "systemctl restart towerd" in ran.err


def test_reload_of_what_runs_already_says_so(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("daemon.reload", reload_answer())
    ran = tower("reload")
    assert (ran.status, ran.out, ran.err) == (0, "nothing changed\n", "")


INVALID = TowerError(
    "config-invalid",
    "the configuration on the disk is not valid, so nothing was changed",
    hint="correct it",
    fields=(Field(field="/etc/tower/a.toml: x.y", why="unknown key"), Field(field="/b.toml", why="not TOML")),
)


def test_reload_tells_every_mistake_in_a_line_of_its_own(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("daemon.reload", INVALID)
    ran = tower("reload")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "towerctl: /etc/tower/a.toml: x.y: unknown key",
        "towerctl: /b.toml: not TOML",
        "towerctl: the configuration on the disk is not valid, so nothing was changed",
    ]


def test_reload_with_mistakes_is_one_error_as_json(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("daemon.reload", INVALID)
    ran = tower("reload", "--json")
    assert (ran.status, ran.error["slug"], len(ran.error["fields"])) == (2, "config-invalid", 2)
    assert json.dumps(ran.error["hint"]) == '"correct it"'


def test_reload_says_what_became_of_declared_accounts(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("daemon.reload", reload_answer(created=["a"], changed=["b"], stopped=["c"]))
    ran = tower("reload")
    assert (ran.status, ran.out.splitlines()) == (
        0,
        ["account a: created", "account b: changed", "account c: stopped"],
    )


def test_reload_with_a_mistake_in_an_accounts_file_does_the_rest_and_fails(
    tower: Tower, daemon: FakeDaemon
) -> None:
    mistakes = ["/etc/tower/accounts.d/x.toml: nme: unknown key"]
    daemon.prepare("daemon.reload", reload_answer(created=["a"], mistakes=mistakes))
    ran = tower("reload")
    assert (ran.status, ran.out) == (2, "account a: created\n")
    assert ran.err == f"towerctl: {mistakes[0]}\n"
    error = tower("reload", "--json").error
    assert (error["slug"], error["exit"]) == ("config-invalid", 2)
    assert error["result"]["accounts"]["created"] == ["a"]
