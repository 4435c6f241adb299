"""`import`: lists of accounts, taken apart here and judged by the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon
from towerd.protocol.errors import Field, TowerError

MANY = '[[account]]\nname = "shop"\n[account.limits]\ndaily = 3\n[[account]]\nname = "office"\nowner = 1000\n'


def answer(*rows: tuple[str, str], dry_run: bool = False) -> dict[str, Any]:
    made = [
        {"name": name, "owner": "anna", "outcome": outcome, "id": "a-bbbbbbbbbb"} for name, outcome in rows
    ]
    return {"accounts": made, "dry_run": dry_run}


def write(directory: Path, name: str, content: str) -> str:
    (directory / name).write_text(content)
    return str(directory / name)


def test_every_account_of_every_file_is_sent_in_order_with_its_place(
    tower: Tower, daemon: FakeDaemon, tmp_path: Path
) -> None:
    daemon.prepare("account.import", answer(("shop", "created"), ("office", "existing"), ("one", "created")))
    many, one = write(tmp_path, "many.toml", MANY), write(tmp_path, "one.toml", 'display_name = "One"\n')
    ran = tower("import", many, one)
    (asked,) = daemon.asked("account.import")
    assert asked == {
        "accounts": [
            {"table": {"name": "shop", "limits": {"daily": 3}}, "file": many, "key": "account[0]"},
            {"table": {"name": "office", "owner": 1000}, "file": many, "key": "account[1]"},
            {"table": {"display_name": "One"}, "file": one, "name": "one"},
        ]
    }
    assert [line.split()[:3] for line in ran.out.splitlines()] == [
        ["NAME", "OWNER", "OUTCOME"],
        ["shop", "anna", "created"],
        ["office", "anna", "existing"],
        ["one", "anna", "created"],
    ]


def test_standard_input_has_no_name_to_give(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.import", answer(("shop", "created"), dry_run=True))
    ran = tower("import", "--dry-run", "-", stdin='name = "shop"\n')
    (asked,) = daemon.asked("account.import")
    assert asked == {"accounts": [{"table": {"name": "shop"}, "file": "standard input"}], "dry_run": True}
    assert "nothing was done" in ran.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no account"),
        ("name =", "not TOML"),
        ('surprise = 1\n[[account]]\nname = "a"\n', "surprise: beside [[account]]"),
        ("account = 3\n", "array of tables"),
        ("name = 1979-05-27\n", "the time 1979-05-27 has no place"),
        ("limits = { daily = [inf] }\n", "the number inf has no place"),
    ],
)
def test_what_is_no_list_is_refused_before_the_daemon_is_asked(
    tower: Tower, daemon: FakeDaemon, tmp_path: Path, content: str, words: str
) -> None:
    ran = tower("import", write(tmp_path, "list.toml", content))
    assert (ran.status, ran.out) == (2, "")
    assert words in ran.err
    assert f"{tmp_path / 'list.toml'}" in ran.err
    assert daemon.requests == []


def test_a_file_that_is_not_there_is_named(tower: Tower, daemon: FakeDaemon, tmp_path: Path) -> None:
    ran = tower("import", str(tmp_path / "none.toml"))
    assert (ran.status, daemon.requests) == (2, [])
    assert "none.toml: cannot be read: No such file" in ran.err


def test_every_mistake_is_a_line(tower: Tower, daemon: FakeDaemon, tmp_path: Path) -> None:
    fields = (Field(field="f: account[0].name", why="is missing"), Field(field="f: owner", why="nobody"))
    daemon.prepare("account.import", TowerError("config-invalid", "not valid", fields=fields))
    file = write(tmp_path, "f", MANY)
    ran = tower("import", file)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "towerctl: f: account[0].name: is missing",
        "towerctl: f: owner: nobody",
        "towerctl: not valid",
    ]
    assert tower("import", file, "--json").error["slug"] == "config-invalid"
