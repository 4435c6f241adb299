"""A sealed store is plain in memory only while it is used; no crash and no disk makes it lose or invent."""

from __future__ import annotations

import errno
import random
import shutil
import subprocess
import sys

import pytest

from sessions import sealed_file, vault
from sessions.image import ImageError
from sessions.sealed_store import SealedStore
from sessions.store import DATABASE_NAME, Store, StoreKind, sweep
from tests.unit.sessions.machine import Machine
from tests.unit.sessions.stores import ACCOUNT_ID, delete_device, kill_in_transaction, make_store

# --- out and away ----------------------------------------------------------------------------------------


def test_a_fresh_store_is_an_empty_directory_in_memory_and_one_on_the_disk(machine: Machine) -> None:
    store = machine.daemon()
    store.renew()
    assert store.classify().kind is StoreKind.MISSING
    assert not machine.sealed.exists()
    for directory in (machine.plain.parent, machine.sealed.parent):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_what_lies_on_the_disk_says_nothing_of_the_device(machine: Machine, paired: SealedStore) -> None:
    content = b"".join(path.read_bytes() for path in machine.disk.rglob("*") if path.is_file())
    assert b"491701234567" in machine.plain.read_bytes()
    assert b"491701234567" not in content
    assert b"SQLite" not in content
    assert not machine.old_plain.exists()


def test_put_away_leaves_nothing_in_memory_and_take_out_brings_it_back(
    machine: Machine, paired: SealedStore
) -> None:
    machine.write("one")
    before = machine.plain.read_bytes()
    paired.put_away()
    assert list(machine.memory.iterdir()) == []
    paired.take_out()
    assert machine.plain.read_bytes() == before
    assert machine.plain.stat().st_mode & 0o077 == 0


def test_look_at_a_store_that_was_put_away_sees_the_device(machine: Machine, paired: SealedStore) -> None:
    paired.put_away()
    for store in (paired, machine.daemon()):
        report = store.classify()
        assert report.kind is StoreKind.DEVICE
        assert report.identity is not None
        assert report.identity.jid == "491701234567@s.whatsapp.net"


def test_put_away_twice_is_put_away(machine: Machine, paired: SealedStore) -> None:
    paired.put_away()
    paired.put_away()
    assert paired.classify().kind is StoreKind.DEVICE


def test_lock_lies_on_the_disk_whatever_memory_is_used(machine: Machine, paired: SealedStore) -> None:
    assert paired.lock_path == Store(machine.disk, ACCOUNT_ID).lock_path


def test_wipe_takes_both(machine: Machine, paired: SealedStore) -> None:
    paired.snapshot()
    paired.wipe()
    assert list(machine.memory.iterdir()) == []
    assert [path.name for path in machine.disk.iterdir()] == [f"{ACCOUNT_ID}.lock"]
    assert machine.daemon().classify().kind is StoreKind.MISSING


def test_remove_takes_the_lock_as_well(machine: Machine, paired: SealedStore) -> None:
    paired.remove()
    assert list(machine.memory.iterdir()) == list(machine.disk.iterdir()) == []


def test_renewed_store_holds_nothing_of_the_old_device_after_a_loss_of_power(
    machine: Machine, paired: SealedStore
) -> None:
    paired.renew()
    machine.lose_power()
    assert machine.daemon().classify().kind is StoreKind.MISSING


def test_kept_copy_is_put_back_and_sealed(machine: Machine, paired: SealedStore) -> None:
    paired.snapshot()
    delete_device(machine.plain)
    paired.seal()
    paired.restore()
    assert paired.classify().kind is StoreKind.DEVICE
    machine.lose_power()
    assert machine.daemon().classify().kind is StoreKind.DEVICE


# --- sealing ---------------------------------------------------------------------------------------------


def test_every_seal_has_a_higher_number_over_restarts_and_wipes(
    machine: Machine, paired: SealedStore
) -> None:
    numbers = [paired.sequence]
    for word in "abc":
        machine.write(word)
        paired.seal()
        numbers.append(paired.sequence)
    paired.put_away()
    store = machine.daemon()
    store.take_out()
    machine.write("d")
    store.seal()
    numbers.append(store.sequence)
    machine.least = numbers[-1]
    store.renew()
    make_store(machine.memory)
    store.seal()
    numbers.append(store.sequence)
    assert numbers == sorted(set(numbers))


def test_nothing_is_written_when_nothing_has_changed(machine: Machine, paired: SealedStore) -> None:
    before = machine.sealed.stat()
    paired.seal()
    assert machine.sealed.stat() == before


def test_a_change_costs_what_changed_and_not_the_whole_store(machine: Machine) -> None:
    store = machine.daemon()
    store.renew()
    make_store(machine.memory, padding_pages=1000)
    store.seal()
    machine.write("first")
    store.seal()
    before = machine.sealed.stat().st_size
    machine.write("second")
    store.seal()
    assert 0 < machine.sealed.stat().st_size - before < 20_000 < machine.plain.stat().st_size / 100


def test_a_change_as_large_as_the_store_makes_a_new_base(machine: Machine, paired: SealedStore) -> None:
    make_store(machine.memory, padding_pages=3000)
    paired.seal()
    assert machine.sealed.stat().st_size < machine.plain.stat().st_size * 1.1
    machine.lose_power()
    assert machine.daemon().classify().kind is StoreKind.DEVICE


def test_a_log_that_has_grown_is_folded_and_one_that_has_not_is_not(
    machine: Machine, paired: SealedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "LOG_BYTES", 50_000)
    sizes = []
    for number in range(30):
        machine.write(f"word {number}")
        paired.seal()
        paired.compact()
        sizes.append(machine.sealed.stat().st_size)
    assert max(sizes) < 100_000
    assert sizes != sorted(sizes)
    machine.lose_power()
    machine.daemon().take_out()
    assert machine.words() == [f"word {number}" for number in range(30)]


def test_change_is_seen_from_outside(machine: Machine, paired: SealedStore) -> None:
    assert paired.looks_changed()
    paired.seal()
    assert not paired.looks_changed()
    machine.write("one")
    assert paired.looks_changed()
    paired.put_away()
    assert not paired.looks_changed()


def test_store_that_is_no_database_any_more_is_not_sealed_over_the_good_one(
    machine: Machine, paired: SealedStore
) -> None:
    before = machine.sealed.read_bytes()
    machine.plain.write_bytes(b"garbage" * 1000)
    with pytest.raises(ImageError):
        paired.seal()
    assert paired.classify().kind is StoreKind.DAMAGED
    with pytest.raises(ImageError):
        paired.put_away()
    assert machine.plain.exists()
    assert machine.sealed.read_bytes() == before


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("failing", ["writing", "syncing"])
def test_a_full_disk_keeps_the_plain_copy_and_what_is_sealed(
    machine: Machine, paired: SealedStore, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    machine.write("one")
    with monkeypatch.context() as patch:
        if failing == "writing":
            patch.setattr(sealed_file, "_write", full)
        else:
            patch.setattr(sealed_file.os, "fsync", full)
            patch.setattr(sealed_file.os, "fdatasync", full)
        for attempt in (paired.seal, paired.put_away):
            with pytest.raises(OSError, match="No space"):
                attempt()
        # What the store says does not depend on it.
        assert paired.classify().kind is StoreKind.DEVICE
    assert machine.words() == ["one"]
    paired.put_away()
    paired.take_out()
    assert machine.words() == ["one"]


def test_no_room_in_memory_is_no_damage(
    machine: Machine, paired: SealedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    paired.put_away()
    with monkeypatch.context() as patch:
        patch.setattr(sealed_file.SealedFile, "read", full)
        report = paired.classify()
        assert (report.kind, report.detail) == (
            StoreKind.UNUSABLE,
            "it cannot be unsealed: No space left on device",
        )
        with pytest.raises(OSError, match="No space"):
            paired.take_out()
    assert list(machine.memory.iterdir()) == []
    assert paired.classify().kind is StoreKind.DEVICE


# --- crashes ---------------------------------------------------------------------------------------------


def test_after_a_kill_of_the_daemon_the_plain_copy_counts(machine: Machine, paired: SealedStore) -> None:
    machine.write("not sealed")
    store = machine.daemon()
    assert store.classify().kind is StoreKind.DEVICE
    assert machine.words() == ["not sealed"]
    machine.lose_power()
    machine.daemon().take_out()
    assert machine.words() == ["not sealed"]


def test_after_a_kill_in_a_transaction_the_sealed_store_has_the_state_before(machine: Machine) -> None:
    store = machine.daemon()
    store.renew()
    make_store(machine.memory, padding_pages=40)
    store.seal()
    kill_in_transaction(machine.plain)
    assert store.classify().kind is StoreKind.DEVICE
    machine.lose_power()
    assert machine.daemon().classify().kind is StoreKind.DEVICE


def test_after_a_loss_of_power_the_last_seal_counts(machine: Machine, paired: SealedStore) -> None:
    machine.write("sealed")
    paired.seal()
    machine.write("lost")
    machine.lose_power()
    machine.daemon().take_out()
    assert machine.words() == ["sealed"]


def test_memory_that_somebody_emptied_under_a_running_daemon_is_filled_again(
    machine: Machine, paired: SealedStore
) -> None:
    machine.lose_power()
    paired.take_out()
    assert paired.classify().kind is StoreKind.DEVICE


def test_plain_copy_of_a_daemon_that_others_have_followed_is_dropped(
    machine: Machine, paired: SealedStore
) -> None:
    machine.write("before")
    paired.seal()
    left = machine.memory.with_name("left")
    shutil.copytree(machine.memory, left)
    machine.lose_power()
    other = machine.daemon()
    other.take_out()
    machine.write("after")
    other.put_away()
    shutil.rmtree(machine.memory)
    left.rename(machine.memory)
    machine.daemon().take_out()
    assert machine.words() == ["before", "after"]


def test_half_an_unsealing_is_dropped_and_done_again(machine: Machine, paired: SealedStore) -> None:
    paired.put_away()
    half = machine.memory / f".{ACCOUNT_ID}.unsealing"
    half.mkdir()
    (half / DATABASE_NAME).write_bytes(b"half")
    assert machine.daemon().classify().kind is StoreKind.DEVICE
    half.mkdir()
    sweep(machine.memory)
    assert not half.exists()


def test_crash_between_a_seal_and_its_mark_is_no_fork(machine: Machine, paired: SealedStore) -> None:
    mark = (machine.plain.parent / "copy").read_bytes()
    machine.write("one")
    paired.seal()
    (machine.plain.parent / "copy").write_bytes(mark)
    machine.write("two")
    machine.daemon().take_out()
    assert machine.words() == ["one", "two"]


_WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")
number = connection.execute("SELECT count(*) FROM words").fetchone()[0]
while True:
    number += 1
    connection.execute("INSERT INTO words VALUES (?)", (str(number),))
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", range(5))
def test_kills_of_a_writer_at_random_moments_under_a_sealing_daemon_lose_no_commit(
    machine: Machine, paired: SealedStore, seed: int
) -> None:
    dice, committed, store = random.Random(seed), 0, paired
    for _ in range(6):
        command = [sys.executable, "-c", _WRITER, str(machine.plain)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(dice.randrange(1, 25)):
                committed = int(writer.stdout.readline())
                if dice.random() < 0.5:
                    store.seal()
            writer.kill()
            rest = writer.stdout.read().split()
        committed = int(rest[-1]) if rest else committed
        if dice.random() < 0.5:
            # The daemon too.
            store = machine.daemon()
        assert store.classify().kind is StoreKind.DEVICE
        if dice.random() < 0.5:
            machine.lose_power()
            store = machine.daemon()
            store.take_out()
        # The last one may have been committed and not told.
        assert len(machine.words()) in (committed, committed + 1)
        committed = len(machine.words())


def test_store_that_is_only_looked_at_is_not_written(machine: Machine, paired: SealedStore) -> None:
    paired.put_away()
    before = machine.sealed.stat()
    for _ in range(3):
        store = machine.daemon()
        assert store.classify().kind is StoreKind.DEVICE
        store.put_away()
    assert machine.sealed.stat().st_mtime_ns == before.st_mtime_ns
    assert machine.sealed.stat().st_size == before.st_size
