"""Another key, tampering, and a store of a time without a key: named, healed or taken over, never guessed."""

from __future__ import annotations

import os
import shutil

import pytest

from sessions.keys import Keys
from sessions.sealed_store import SealedStore
from sessions.spool import SPOOL_NAME, Spool
from sessions.store import SEALED_NAME, Store, StoreKind
from tests.unit.sessions.machine import Machine
from tests.unit.sessions.sealing import KEY, OTHER_KEY
from tests.unit.sessions.stores import ACCOUNT_ID, kill_in_transaction, make_store
from tests.unit.sessions.test_spool import a_message

# --- keys and tampering ----------------------------------------------------------------------------------


def test_another_key_is_named_and_wipes_nothing(machine: Machine, paired: SealedStore) -> None:
    paired.put_away()
    before = machine.sealed.read_bytes()
    store = machine.daemon(OTHER_KEY)
    report = store.classify()
    assert report.kind is StoreKind.WRONG_KEY
    assert KEY.name in report.detail
    with pytest.raises(OSError, match="cannot be unsealed"):
        store.take_out()
    store.put_away()
    assert machine.sealed.read_bytes() == before
    assert machine.daemon().classify().kind is StoreKind.DEVICE


def test_another_key_leaves_the_plain_copy_of_a_crash_where_it_is(
    machine: Machine, paired: SealedStore
) -> None:
    machine.write("not sealed")
    store = machine.daemon(OTHER_KEY)
    assert store.classify().kind is StoreKind.WRONG_KEY
    store.put_away()
    store.seal()
    machine.daemon().take_out()
    assert machine.words() == ["not sealed"]


def test_without_a_key_a_sealed_store_is_no_store_that_was_never_paired(
    machine: Machine, paired: SealedStore
) -> None:
    paired.put_away()
    report = Store(machine.disk, ACCOUNT_ID).classify()
    assert (report.kind, report.detail) == (StoreKind.WRONG_KEY, "it is sealed, and towerd was given no key")


def test_a_former_key_opens_and_the_present_one_seals(machine: Machine, paired: SealedStore) -> None:
    paired.put_away()
    store = machine.daemon(OTHER_KEY, KEY)
    assert store.classify().kind is StoreKind.DEVICE
    store.put_away()
    assert machine.daemon(OTHER_KEY).classify().kind is StoreKind.DEVICE
    assert machine.daemon(KEY).classify().kind is StoreKind.WRONG_KEY


@pytest.mark.parametrize("damage", ["flip", "garbage", "empty", "cut"])
def test_tampering_is_damage_and_wipes_nothing(machine: Machine, paired: SealedStore, damage: str) -> None:
    paired.put_away()
    content = bytearray(machine.sealed.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "garbage":
        content = bytearray(os.urandom(len(content)))
    else:
        del content[0 if damage == "empty" else len(content) // 2 :]
    machine.sealed.write_bytes(content)
    assert machine.daemon().classify().kind is StoreKind.DAMAGED
    assert machine.sealed.read_bytes() == bytes(content)
    assert list(machine.memory.iterdir()) == []


def test_store_of_another_account_in_its_place_is_damage(machine: Machine, paired: SealedStore) -> None:
    paired.put_away()
    other = SealedStore(
        machine.memory, "a-bbbbbbbbbb", sealed_root=machine.disk, keys=Keys(current=KEY), least=lambda: 0
    )
    other.ensure()
    shutil.copy(machine.sealed, machine.disk / "a-bbbbbbbbbb" / SEALED_NAME)
    assert other.classify().kind is StoreKind.DAMAGED


def test_an_older_sealed_store_is_known_by_its_number(machine: Machine, paired: SealedStore) -> None:
    old = machine.sealed.read_bytes()
    machine.write("one")
    paired.seal()
    machine.least = paired.sequence
    paired.put_away()
    machine.sealed.write_bytes(old)
    report = machine.daemon().classify()
    assert report.kind is StoreKind.DAMAGED
    assert f"in the place of seal {machine.least}" in report.detail


def test_a_damaged_or_older_sealed_store_is_healed_by_the_plain_copy_of_a_crash(
    machine: Machine, paired: SealedStore
) -> None:
    old = machine.sealed.read_bytes()
    for content in (b"garbage", old):
        machine.write("one")
        paired.seal()
        paired.seal()
        machine.least = paired.sequence
        machine.sealed.write_bytes(content)
        paired = machine.daemon()
        assert paired.classify().kind is StoreKind.DEVICE
        machine.lose_power()
        paired = machine.daemon()
        assert paired.classify().kind is StoreKind.DEVICE
    assert machine.words() == ["one", "one"]


# --- from plain to sealed --------------------------------------------------------------------------------


def test_first_start_with_a_key_seals_the_plain_store_and_deletes_it(machine: Machine) -> None:
    make_store(machine.disk, padding_pages=40)
    kill_in_transaction(machine.old_plain)
    assert machine.daemon().classify().kind is StoreKind.DEVICE
    left = {path.name for path in machine.disk.rglob("*")}
    assert left == {ACCOUNT_ID, SEALED_NAME, f"{ACCOUNT_ID}.lock"}
    machine.lose_power()
    assert machine.daemon().classify().kind is StoreKind.DEVICE


def test_messages_that_a_worker_left_in_a_time_without_a_key_are_found_and_cleared(machine: Machine) -> None:
    make_store(machine.disk)
    spool = machine.old_plain.with_name(SPOOL_NAME)
    Spool(machine.old_plain.parent).append(a_message())
    store = machine.daemon()
    assert store.classify().kind is StoreKind.DEVICE
    assert [one.message for one in store.spooled()] == [a_message()]
    store.clear_spool()
    assert store.spooled() == []
    assert not spool.exists()


def test_empty_spool_of_a_time_without_a_key_goes_with_the_plain_store(machine: Machine) -> None:
    make_store(machine.disk)
    machine.old_plain.with_name(SPOOL_NAME).touch()
    machine.daemon().take_out()
    assert {path.name for path in machine.sealed.parent.iterdir()} == {SEALED_NAME}


def test_messages_that_nobody_has_taken_yet_keep_a_store_from_being_put_away(
    machine: Machine, paired: SealedStore
) -> None:
    Spool(machine.plain.parent).append(a_message())
    paired.put_away()
    assert [one.message for one in paired.spooled()] == [a_message()]
    paired.clear_spool()
    paired.put_away()
    assert list(machine.memory.iterdir()) == []


def test_crash_before_the_plain_store_was_deleted_is_finished(machine: Machine) -> None:
    make_store(machine.disk)
    before = machine.old_plain.read_bytes()
    machine.daemon().take_out()
    machine.lose_power()
    machine.old_plain.write_bytes(before)
    assert machine.daemon().classify().kind is StoreKind.DEVICE
    assert not machine.old_plain.exists()


def test_another_plain_store_beside_the_sealed_one_is_damage_and_both_stay(
    machine: Machine, paired: SealedStore
) -> None:
    paired.put_away()
    make_store(machine.disk, jid="491707654321:1@s.whatsapp.net")
    report = machine.daemon().classify()
    assert report.kind is StoreKind.DAMAGED
    assert str(machine.old_plain) in report.detail
    assert machine.old_plain.exists()
    assert machine.sealed.exists()


def test_plain_store_that_cannot_be_read_stays(machine: Machine) -> None:
    path = make_store(machine.disk)
    path.write_bytes(b"garbage" * 1000)
    assert machine.daemon().classify().kind is StoreKind.DAMAGED
    assert path.exists()


def test_plain_copy_of_a_time_before_the_key_was_turned_off_is_dropped(
    machine: Machine, paired: SealedStore
) -> None:
    machine.sealed.unlink()
    make_store(machine.disk, jid="491707654321:1@s.whatsapp.net")
    report = machine.daemon().classify()
    assert report.identity is not None
    assert report.identity.jid == "491707654321@s.whatsapp.net"
