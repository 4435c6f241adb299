"""What becomes of a daemon whose account database was damaged."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from peewee import SqliteDatabase
from playhouse.migrations import run as run_migrations

from tests.integration.towerd import Towerd
from tests.unit.sessions.stores import make_store
from towerd.accounts.registry import MIGRATIONS


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xa5" * 20_000)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _missing(path: Path) -> None:
    path.unlink()


DAMAGES = [_garbage, _empty, _missing]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_database_is_replaced_from_the_backup_and_said(
    towerd: Towerd, damage: Callable[[Path], None]
) -> None:
    towerd.start()
    towerd.add("alpha")
    before = [event["id"] for event in towerd.ask("event.list")["events"]]
    towerd.restart()
    assert towerd.ask("daemon.status")["problems"] == []
    towerd.end()
    damage(towerd.database)
    towerd.start()
    assert towerd.names() == ["alpha"]
    (problem,) = towerd.ask("daemon.status")["problems"]
    assert "tower.db" in problem
    assert "backup" in problem
    assert problem in towerd.said()
    towerd.add("beta")
    newest = towerd.ask("event.list")["events"][-1]["id"]
    assert newest > max(before) + 1000, "ids that were given must not come again"
    kept = list(towerd.state.glob("tower.db.damaged-*"))
    assert len(kept) == (0 if damage is _missing else 1)
    towerd.restart()
    assert towerd.ask("daemon.status")["problems"] == [], "it is said until the next start"
    assert towerd.names() == ["alpha", "beta"]


def test_backup_is_taken_before_the_tables_are_changed(towerd: Towerd) -> None:
    former = towerd.directory / "former"
    former.mkdir()
    shutil.copy(MIGRATIONS / "0001_initial.py", former)
    towerd.state.mkdir(mode=0o700)
    database = SqliteDatabase(str(towerd.database))
    run_migrations(database, str(former))
    database.close()
    towerd.start()
    towerd.end()
    assert "audit" in _tables(towerd.database)
    assert "account" in _tables(towerd.state / "tower.db.backup")
    assert "audit" not in _tables(towerd.state / "tower.db.backup")


def _tables(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_backup_accounts_are_recovered_from_their_stores(
    towerd: Towerd, damage: Callable[[Path], None]
) -> None:
    towerd.start()
    towerd.end()
    make_store(towerd.state / "sessions", "a-abcdefghij")
    make_store(towerd.state / "sessions", "a-bbbbbbbbbb", jid=None)
    damage(towerd.database)
    damage(towerd.database.with_name("tower.db.backup"))
    towerd.start()
    (account,) = towerd.ask("account.list")["accounts"]
    assert account["id"] == "a-abcdefghij"
    problems = towerd.ask("daemon.status")["problems"]
    assert any("rebuilt from the stores" in problem for problem in problems)
    assert any(account["name"] in problem for problem in problems)


def test_store_that_nobody_knows_becomes_an_account(towerd: Towerd) -> None:
    towerd.start()
    towerd.add("alpha")
    towerd.end()
    make_store(towerd.state / "sessions", "a-abcdefghij")
    towerd.start()
    assert len(towerd.names()) == 2
    assert len(towerd.ask("daemon.status")["problems"]) == 1


def test_damaged_store_of_one_account_leaves_the_others_alone(towerd: Towerd) -> None:
    towerd.start()
    bad, good = towerd.add("bad"), towerd.add("good")
    towerd.end()
    make_store(towerd.state / "sessions", bad["id"]).write_bytes(b"\xa5" * 9000)
    make_store(towerd.state / "sessions", good["id"])
    towerd.start()
    # The store decides, as soon as the account has been taken up.
    towerd.ask("account.wait", account="good", states=["connecting", "reconnecting"], timeout_seconds=20)
    states = {one["name"]: one["state"] for one in towerd.ask("account.list")["accounts"]}
    assert states["bad"] == "unpaired", "nothing was ever linked there"
    assert states["good"] in ("connecting", "reconnecting")


def test_unfinished_wipe_is_finished(towerd: Towerd) -> None:
    doomed = towerd.state / "sessions" / ".a-abcdefghij.wiped-1"
    doomed.mkdir(parents=True)
    (doomed / "store.db").touch()
    towerd.start()
    assert not doomed.exists()
