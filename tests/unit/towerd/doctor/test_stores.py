"""Database, stores and key: what is damaged or missing is seen, and what is in use is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sessions.store import Store
from tests.unit.sessions.stores import delete_device, make_store
from tests.unit.towerd.builders import ACCOUNT_ID, account_id, an_account
from tests.unit.towerd.doctor.patients import a_patient, a_sight, found, levels, only, paths_in
from towerd.accounts import rescue
from towerd.accounts.registry import Registry
from towerd.doctor.patient import AccountSight, WorkerSight
from towerd.doctor.stores import database, key, stores

RELINK = "towerctl unpair alpha --yes && towerctl qr alpha"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return where a sound database with a backup lies."""
    path = paths_in(tmp_path).database
    path.parent.mkdir(parents=True)
    registry = Registry(path)
    registry.open()
    registry.close()
    rescue.take_backup(path)
    return path


def test_a_database_that_is_sound_says_of_when_its_backup_is(tmp_path: Path, kept: Path) -> None:
    assert only(database, a_patient(tmp_path)).line.startswith("tower.db is sound; backup of 20")


def test_a_database_that_is_damaged_is_a_failure(tmp_path: Path, kept: Path) -> None:
    content = bytearray(kept.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    kept.write_bytes(content)
    finding = only(database, a_patient(tmp_path))
    assert (finding.level, finding.command) == ("failure", "systemctl restart towerd")
    assert finding.line.startswith("tower.db is damaged")


def test_a_database_without_a_backup_is_a_warning(tmp_path: Path, kept: Path) -> None:
    rescue.backup_path(kept).unlink()
    assert levels(database, a_patient(tmp_path)) == ["warning"]


def test_a_database_that_cannot_be_written_is_a_failure(tmp_path: Path, kept: Path) -> None:
    finding = only(database, a_patient(tmp_path, registry_trouble="database or disk is full"))
    assert (finding.level, finding.line) == (
        "failure",
        "tower.db cannot be written: database or disk is full",
    )


def test_a_database_that_cannot_be_looked_into_is_a_warning(tmp_path: Path, kept: Path) -> None:
    kept.unlink()
    kept.mkdir()
    assert levels(database, a_patient(tmp_path)) == ["warning"]


# --- the stores ------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the directory of the stores, with that of the account in it."""
    root = paths_in(tmp_path).sessions_dir
    make_store(root, ACCOUNT_ID)
    return root


def examined(directory: Path, *accounts: AccountSight) -> list[tuple[str, str]]:
    return found(stores, a_patient(directory, accounts=accounts or (a_sight(),)))


def test_a_store_with_its_device_is_well(tmp_path: Path, root: Path) -> None:
    assert examined(tmp_path) == [("ok", "1 store without a fault, 0 in use")]


def test_a_store_that_is_damaged_is_a_failure(tmp_path: Path, root: Path) -> None:
    (root / ACCOUNT_ID / "store.db").write_bytes(b"no database" * 1000)
    worst, _ = stores(a_patient(tmp_path, accounts=(a_sight(),)))
    assert (worst.level, worst.command, worst.account) == ("failure", RELINK, "alpha")
    assert worst.line.startswith("alpha: the store is damaged: ")


def test_a_store_without_the_device_that_the_account_has_is_a_failure(tmp_path: Path, root: Path) -> None:
    delete_device(root / ACCOUNT_ID / "store.db")
    assert examined(tmp_path)[0] == (
        "failure",
        "alpha: the store holds no linked device: no device row",
    )
    (root / ACCOUNT_ID / "store.db").unlink()
    assert examined(tmp_path)[0][0] == "failure"


def test_a_store_that_an_unlinked_account_does_not_have_is_no_fault(tmp_path: Path, root: Path) -> None:
    unlinked = AccountSight(record=an_account(id=account_id(7)), address="beta")
    assert examined(tmp_path, a_sight(), unlinked)[0][0] == "ok"


def test_what_the_account_says_of_its_store_is_repeated(tmp_path: Path, root: Path) -> None:
    assert examined(tmp_path, a_sight(record={"reason": "store-mismatch"}))[0] == (
        "failure",
        "alpha: store-mismatch",
    )


def test_a_store_that_a_worker_uses_is_neither_opened_nor_its_worker_ended(
    tmp_path: Path, root: Path
) -> None:
    store = Store(root, ACCOUNT_ID)
    with store.lock(killable=True):
        holder = store.lock_path.read_bytes()
        # It would be damaged, if somebody looked.
        (root / ACCOUNT_ID / "store.db").write_bytes(b"x" * 5000)
        account = a_sight(worker=WorkerSight(pid=1, memory_bytes=1))
        assert examined(tmp_path, account) == [("ok", "1 store without a fault, 1 in use")]
        assert store.lock_path.read_bytes() == holder


def test_a_look_leaves_no_mark_that_lets_a_successor_end_anybody(tmp_path: Path, root: Path) -> None:
    with Store(root, ACCOUNT_ID).lock(killable=True):
        pass
    examined(tmp_path)
    assert json.loads(Store(root, ACCOUNT_ID).lock_path.read_text())["killable"] is False


def test_a_look_makes_no_file(tmp_path: Path, root: Path) -> None:
    before = sorted(root.rglob("*"))
    examined(tmp_path)
    assert sorted(root.rglob("*")) == before


def test_a_store_that_belongs_to_no_account_is_a_warning(tmp_path: Path, root: Path) -> None:
    make_store(root, account_id(9))
    (root / "README").touch()
    warning, _ = examined(tmp_path)
    assert warning[0] == "warning"
    assert f"{root / account_id(9)} belongs to no account" in warning[1]


def test_stores_without_a_key_are_not_sealed() -> None:
    assert found(key, a_patient()) == [("warning", "stores are not sealed: no key configured")]


def test_stores_with_a_key_are_sealed_unless_something_is_in_the_way() -> None:
    assert found(key, a_patient(key_name="abcd")) == [("ok", "stores are sealed with the key abcd")]
    in_the_way = a_patient(key_name="abcd", seal_trouble="the disk is full")
    assert found(key, in_the_way) == [("failure", "not everything is sealed: the disk is full")]
