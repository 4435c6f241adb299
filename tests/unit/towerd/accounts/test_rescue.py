"""What becomes of a damaged account database; nothing is ever thrown away."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.towerd.builders import account_id, an_account, an_event
from towerd.accounts import rescue
from towerd.accounts.registry import Registry
from towerd.accounts.transactions import RegistryError


def names_in(database: Path) -> list[str]:
    registry = Registry(database)
    registry.open()
    try:
        return [one.name for one in registry.accounts()]
    finally:
        registry.close()


def add(database: Path, name: str, number: int) -> None:
    registry = Registry(database)
    registry.open()
    registry.insert(an_account(id=account_id(number), name=name), [an_event()])
    registry.close()


@pytest.fixture
def filled(database: Path) -> Path:
    """Return a database whose backup knows alpha, and which itself knows beta too."""
    add(database, "alpha", 1)
    rescue.take_backup(database)
    add(database, "beta", 2)
    return database


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xa5" * 20_000)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


def _page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _few_bytes(path: Path) -> None:
    os.truncate(path, 50)


DAMAGES = [_garbage, _cut, _header, _page, _empty, _few_bytes]


def aside(database: Path) -> list[Path]:
    return sorted(database.parent.glob("tower.db.damaged-*"))


# --- the backup ------------------------------------------------------------------------------------------


def test_backup_holds_what_was_committed_and_is_sound(filled: Path) -> None:
    backup = rescue.backup_path(filled)
    assert rescue.is_sound(backup)
    assert names_in(backup) == ["alpha"]


def test_backup_is_taken_while_the_database_is_open_and_not_folded(database: Path) -> None:
    registry = Registry(database)
    registry.open()
    registry.insert(an_account())
    assert database.with_name("tower.db-wal").stat().st_size > 0
    rescue.take_backup(database)
    registry.close()
    assert names_in(rescue.backup_path(database)) == ["alpha"]


def test_backup_needs_no_side_files(filled: Path) -> None:
    backup = rescue.backup_path(filled)
    assert [path.name for path in backup.parent.glob("tower.db.backup*")] == ["tower.db.backup"]


@pytest.mark.parametrize("damage", [_garbage, _page])
def test_backup_of_a_damaged_database_fails_and_keeps_the_old_one(
    filled: Path, damage: Callable[[Path], None]
) -> None:
    damage(filled)
    for suffix in ("-wal", "-shm"):
        filled.with_name(filled.name + suffix).unlink(missing_ok=True)
    with pytest.raises(sqlite3.Error):
        rescue.take_backup(filled)
    assert names_in(rescue.backup_path(filled)) == ["alpha"]
    assert not filled.with_name("tower.db.backup.new").exists()


def test_leftover_of_an_interrupted_backup_is_no_hindrance(filled: Path) -> None:
    _garbage(filled.with_name("tower.db.backup.new"))
    rescue.take_backup(filled)
    assert names_in(rescue.backup_path(filled)) == ["alpha", "beta"]


# --- the repair ------------------------------------------------------------------------------------------


def test_sound_database_is_left_alone(filled: Path) -> None:
    before = filled.read_bytes()
    assert rescue.repair(filled) is None
    assert filled.read_bytes() == before
    assert aside(filled) == []


def test_nothing_at_all_is_nothing_to_repair(database: Path) -> None:
    assert rescue.repair(database) is None
    assert list(database.parent.iterdir()) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_database_is_replaced_from_the_backup_and_kept_aside(
    filled: Path, damage: Callable[[Path], None]
) -> None:
    damage(filled)
    damaged = filled.read_bytes()
    words = rescue.repair(filled)
    assert words is not None
    assert "damaged" in words
    assert "backup" in words
    (kept,) = aside(filled)
    assert kept.name in words
    assert kept.read_bytes() == damaged
    assert names_in(filled) == ["alpha"]


@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if damage is not _empty])
def test_damaged_database_without_a_backup_is_set_aside(
    database: Path, damage: Callable[[Path], None]
) -> None:
    add(database, "alpha", 1)
    damage(database)
    words = rescue.repair(database)
    assert words is not None
    assert "stores" in words
    assert len(aside(database)) == 1
    assert not database.exists()


def test_both_damaged_leaves_both_to_be_looked_at(filled: Path) -> None:
    _garbage(filled)
    _garbage(rescue.backup_path(filled))
    words = rescue.repair(filled)
    assert words is not None
    assert "stores" in words
    assert not filled.exists()
    assert len(aside(filled)) == 1
    assert rescue.backup_path(filled).exists()


def test_empty_backup_is_not_taken_for_one(filled: Path) -> None:
    _garbage(filled)
    _empty(rescue.backup_path(filled))
    words = rescue.repair(filled)
    assert words is not None
    assert "stores" in words


def test_missing_database_comes_back_from_the_backup(filled: Path) -> None:
    filled.unlink()
    words = rescue.repair(filled)
    assert words is not None
    assert "missing" in words
    assert names_in(filled) == ["alpha"]


def test_database_of_no_bytes_without_a_backup_is_a_first_start_cut_short(database: Path) -> None:
    database.touch()
    assert rescue.repair(database) is None
    assert names_in(database) == []


def test_committed_changes_that_lie_in_the_log_alone_are_not_lost(database: Path, tmp_path: Path) -> None:
    """As after kill -9: the write-ahead log is not folded into the file."""
    registry = Registry(database)
    registry.open()
    registry.insert(an_account())
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for path in tmp_path.glob("tower.db*"):
        shutil.copy(path, crashed / path.name)
    registry.close()
    assert (crashed / "tower.db-wal").stat().st_size > 0
    assert rescue.repair(crashed / "tower.db") is None
    assert names_in(crashed / "tower.db") == ["alpha"]


@pytest.mark.parametrize("main", ["damaged", "missing"])
def test_log_of_the_damaged_database_is_not_played_into_the_backup(filled: Path, main: str) -> None:
    registry = Registry(filled)
    registry.open()
    registry.insert(an_account(id=account_id(3), name="gamma"))
    log = filled.with_name("tower.db-wal").read_bytes()
    registry.close()
    if main == "damaged":
        _garbage(filled)
    else:
        filled.unlink()
    filled.with_name("tower.db-wal").write_bytes(log)
    assert rescue.repair(filled) is not None
    assert not filled.with_name("tower.db-wal").exists()
    assert any(path.read_bytes() == log for path in aside(filled))
    assert rescue.is_sound(filled)
    assert names_in(filled) == ["alpha"]


def test_restored_database_is_private(filled: Path) -> None:
    rescue.backup_path(filled).chmod(0o600)
    _garbage(filled)
    before = os.umask(0o077)
    try:
        rescue.repair(filled)
    finally:
        os.umask(before)
    assert stat.S_IMODE(filled.stat().st_mode) == 0o600


def test_second_repair_in_one_second_overwrites_nothing(filled: Path) -> None:
    for number in range(3):
        filled.write_bytes(bytes([0xA0 + number]) * 20_000)
        rescue.repair(filled)
    assert len(aside(filled)) == 3


# --- what is no damage -----------------------------------------------------------------------------------


def test_database_locked_by_another_program_is_refused_and_not_taken_for_damaged(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue, "_BUSY_SECONDS", 0.05)
    with contextlib.closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = exclusive")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RegistryError, match="locked"):
            rescue.repair(filled)
        other.execute("ROLLBACK")
    assert aside(filled) == []
    assert names_in(filled) == ["alpha", "beta"]


def test_database_that_cannot_be_opened_is_refused_and_not_taken_for_damaged(filled: Path) -> None:
    filled.rename(filled.with_name("moved"))
    filled.mkdir()
    with pytest.raises(RegistryError):
        rescue.repair(filled)
    assert filled.is_dir()
    assert aside(filled) == []
