"""When stores are sealed and put away, and that no pairing is told of before its device is on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sessions import messages, sealed_file
from sessions.keys import Keys, StoreKey
from sessions.states import State
from sessions.store import SEALED_NAME, StoreKind
from tests.unit.sessions.sealing import KEY, OTHER_KEY
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.builders import ACCOUNT_ID, an_account
from tests.unit.towerd.supervision.world import (
    ALICE,
    QUICK,
    World,
    a_linked_account_at_rest,
    a_world,
    config,
)
from tests.unit.towerd.waiting import run, turns, until
from towerd.clock import SystemClock
from towerd.config import Config
from towerd.key_source import KeySource
from towerd.supervision.keeper import Keeper
from towerd.supervision.sealing import SealedStores


class Machine:
    """A disk, a memory and what becomes of them."""

    def __init__(self, directory: Path, memory: Path) -> None:
        self.directory = directory
        self.memory = memory
        self.plain = memory / ACCOUNT_ID / "store.db"
        self.sealed = directory / "sessions" / ACCOUNT_ID / SEALED_NAME

    @contextlib.asynccontextmanager
    async def world(self, *, key: StoreKey = KEY, settings: Config = QUICK) -> AsyncIterator[World]:
        """Run a daemon with sealed stores, and end it in order."""
        stores = self.stores(key)
        async with a_world(self.directory, settings, stores=stores) as world:
            tending = asyncio.create_task(stores.run())
            try:
                yield world
            finally:
                tending.cancel()
                for keeper in world.keepers:
                    await keeper.close()
                await stores.close()

    def stores(self, key: StoreKey = KEY) -> SealedStores:
        return SealedStores(
            self.directory / "sessions",
            plain_dir=self.memory,
            keys=Keys(current=key),
            source=KeySource(file=None, credentials=None),
            clock=SystemClock(),
        )

    def write(self) -> None:
        """Commit something, as a worker would."""
        with contextlib.closing(sqlite3.connect(self.plain)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")
            connection.execute("INSERT INTO words VALUES ('word')")

    def lose_power(self) -> None:
        shutil.rmtree(self.memory)
        self.memory.mkdir(mode=0o700)

    async def kind_after_a_loss_of_power(self) -> StoreKind:
        self.lose_power()
        return (await self.stores().look(ACCOUNT_ID)).kind


@pytest.fixture
def machine(short_directory: Path) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="tower-", dir="/dev/shm") as name:
        (short_directory / "sessions").mkdir(mode=0o700)
        yield Machine(short_directory, Path(name))


@pytest.fixture
def linked(machine: Machine) -> Machine:
    """A machine with the sealed store of a linked account, and no daemon."""
    make_store(machine.directory / "sessions")

    async def seal() -> None:
        assert (await machine.stores().look(ACCOUNT_ID)).kind is StoreKind.DEVICE

    run(seal())
    assert machine.sealed.exists()
    assert list(machine.memory.iterdir()) == []
    return machine


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def connected(world: World) -> Keeper:
    """Return an account that has logged in."""
    keeper = await world.keep(a_linked_account_at_rest())
    await keeper.resume()
    (await world.workers.next()).connected(ALICE)
    await until(lambda: keeper.account.state is State.CONNECTED, "the login")
    return keeper


def test_worker_finds_its_store_in_memory_and_its_lock_on_the_disk(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            keeper = await world.keep(a_linked_account_at_rest())
            await keeper.resume()
            begin = (await world.workers.next()).begin
            assert begin["sessions_dir"] == str(linked.memory)
            assert begin["locks_dir"] == str(linked.directory / "sessions")
            assert linked.plain.exists()

    run(scene())


def test_scan_is_not_told_before_its_device_is_on_the_disk(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with machine.world() as world:
            keeper, worker = await world.keep_pairing()
            with monkeypatch.context() as patch:
                patch.setattr(sealed_file, "_write", full)
                make_store(machine.memory)
                worker.report(messages.Scanned(identity=ALICE))
                stores = world.around.stores
                await until(lambda: stores.trouble, "the trouble")
                assert stores.trouble == "alpha: No space left on device"
                await turns()
                assert keeper.account.state is State.PAIRING
                assert not keeper.account.record.is_linked
            await until(lambda: keeper.account.state is State.AUTHENTICATED, "the scan")
            assert stores.trouble is None
            assert await machine.kind_after_a_loss_of_power() is StoreKind.DEVICE

    run(scene())


def test_reports_behind_one_that_is_held_back_keep_their_order(machine: Machine) -> None:
    async def scene() -> None:
        async with machine.world() as world:
            keeper, worker = await world.keep_pairing()
            make_store(machine.memory)
            worker.report(messages.Scanned(identity=ALICE), messages.Disconnected())
            worker.report(messages.Connected(identity=ALICE), messages.Disconnected())
            await until(lambda: keeper.account.state is State.RECONNECTING, "the last of them")
            states = [step.new for step in reversed(await world.history(keeper))]
            assert states[-3:] == [State.AUTHENTICATED, State.CONNECTED, State.RECONNECTING]

    run(scene())


def test_session_on_a_disk_that_cannot_be_written_goes_on(
    linked: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            monkeypatch.setattr(sealed_file, "_write", full)
            keeper = await world.keep(a_linked_account_at_rest())
            await keeper.resume()
            worker = await world.workers.next()
            linked.write()
            worker.connected(ALICE)
            await until(lambda: keeper.account.state is State.CONNECTED, "the login")
            await until(lambda: world.around.stores.trouble, "the trouble")
            monkeypatch.undo()
            await until(lambda: world.around.stores.trouble is None, "its end")

    run(scene())


def test_change_is_sealed_soon_and_its_number_is_remembered(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            keeper = await connected(world)
            before = linked.sealed.stat().st_size
            linked.write()
            await until(lambda: linked.sealed.stat().st_size > before, "the seal")
            await keeper.stop()
            await until(lambda: keeper.account.record.sealed_sequence > 1, "the number")
            await world.ledger.settle()
            kept = world.kept(keeper)
            assert kept is not None
            assert kept["sealed_sequence"] == keeper.account.record.sealed_sequence

    run(scene())


def test_last_seal_of_a_burst_is_remembered_although_nothing_follows_it(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            keeper = await connected(world)
            noted = keeper.account.record.sealed_sequence
            for _ in range(3):
                last = linked.sealed.stat().st_size
                linked.write()
                await until(lambda last=last: linked.sealed.stat().st_size > last, "a seal")
            await until(lambda: the_number_kept(world, keeper) >= noted + 3, "the last number")

    run(scene())


def test_number_is_on_the_disk_before_anybody_is_told_of_what_was_sealed(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            keeper = await connected(world)
            for _ in range(5):
                before = the_number_kept(world, keeper)
                linked.write()
                await keeper.carrier.seal()
                assert the_number_kept(world, keeper) == before + 1

    run(scene())


def test_seal_that_was_not_numbered_yet_is_no_older_one_after_a_kill(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            keeper = await connected(world)
            behind = the_number_kept(world, keeper)
            linked.write()
            await keeper.carrier.seal()
            assert the_number_kept(world, keeper) > behind
        async with linked.world() as world:
            record = a_linked_account_at_rest(sealed_sequence=behind)
            keeper = Keeper(record, world.around)
            world.keepers.append(keeper)
            await keeper.resume()
            assert keeper.account.state is State.CONNECTING
            await world.workers.next()

    run(scene())


def the_number_kept(world: World, keeper: Keeper) -> int:
    """Return the number of the last seal as the disk has it."""
    kept = world.kept(keeper)
    assert kept is not None
    return int(kept["sealed_sequence"])


def test_number_that_is_remembered_changes_nothing_that_anybody_sees(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            keeper = await world.keep(an_account())
            before = keeper.account.record
            keeper.account.note_seal(7)
            keeper.account.note_seal(3)
            assert keeper.account.record.sealed_sequence == 7
            assert keeper.account.record.updated_at == before.updated_at

    run(scene())


def test_account_at_rest_has_nothing_in_memory_and_gets_it_back(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            keeper = await connected(world)
            linked.write()
            await keeper.stop()
            await until(lambda: list(linked.memory.iterdir()) == [], "the store is put away")
            await keeper.start()
            await world.workers.next()
            with contextlib.closing(sqlite3.connect(linked.plain)) as connection:
                assert connection.execute("SELECT word FROM words").fetchall() == [("word",)]

    run(scene())


def test_store_that_a_worker_has_is_not_put_away_whatever_the_state_says(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            keeper = await world.keep(a_linked_account_at_rest(state=State.FAILED))
            await keeper.carrier.launch()
            worker = await world.workers.next()
            shelf = keeper.carrier._shelf
            await shelf.put_away()
            assert linked.plain.exists()
            worker.die()
            await until(lambda: not keeper.carrier.is_running, "the death")
            await shelf.put_away()
            assert not linked.plain.exists()

    run(scene())


def test_end_of_the_daemon_leaves_nothing_in_memory(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            await connected(world)
            linked.write()
        assert list(linked.memory.iterdir()) == []
        assert (await linked.stores().look(ACCOUNT_ID)).kind is StoreKind.DEVICE

    run(scene())


def test_what_cannot_be_sealed_at_the_end_stays_for_the_next_start(
    linked: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            await connected(world)
            linked.write()
            monkeypatch.setattr(sealed_file, "_write", full)
        assert linked.plain.exists()
        monkeypatch.undo()
        assert (await linked.stores().look(ACCOUNT_ID)).kind is StoreKind.DEVICE
        assert not linked.plain.exists()

    run(scene())


def test_launch_that_was_ended_while_the_store_was_taken_out_starts_nothing(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world() as world:
            keeper = await world.keep(a_linked_account_at_rest())
            launching = asyncio.create_task(keeper.carrier.launch())
            await asyncio.sleep(0)
            await keeper.carrier.end()
            await launching
            assert world.workers.spawner.count == 0
            assert not keeper.carrier.is_running

    run(scene())


def test_wrong_key_fails_the_account_and_the_right_one_brings_it_back(linked: Machine) -> None:
    async def scene() -> None:
        async with linked.world(key=OTHER_KEY) as world:
            keeper = await world.keep(a_linked_account_at_rest())
            await keeper.resume()
            assert (keeper.account.state, keeper.account.record.reason) == (State.FAILED, "wrong-key")
            assert world.workers.spawner.count == 0
            assert keeper.account.record.is_linked
        async with linked.world() as world:
            record = a_linked_account_at_rest(id=ACCOUNT_ID, state=State.FAILED, reason="wrong-key")
            keeper = Keeper(record, world.around)
            world.keepers.append(keeper)
            await keeper.resume()
            await world.workers.next()

    run(scene())


def test_store_that_finds_no_room_is_tried_again_by_itself(
    linked: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with linked.world(settings=config(reconnect={"slow_seconds": 0.05})) as world:
            monkeypatch.setattr(sealed_file.SealedFile, "read", full)
            keeper = await world.keep(a_linked_account_at_rest())
            await keeper.resume()
            assert (keeper.account.state, keeper.account.record.reason) == (State.FAILED, "store-unusable")
            monkeypatch.undo()
            await world.workers.next()

    run(scene())


def test_stopped_account_whose_store_finds_no_room_is_not_started_by_that(
    linked: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with linked.world(settings=config(reconnect={"slow_seconds": 0.01})) as world:
            monkeypatch.setattr(sealed_file.SealedFile, "read", full)
            keeper = await world.keep(a_linked_account_at_rest(state=State.STOPPED, desired="stopped"))
            await keeper.resume()
            monkeypatch.undo()
            await asyncio.sleep(0.05)
            assert world.workers.spawner.count == 0

    run(scene())


def test_removed_account_leaves_nothing_anywhere(machine: Machine) -> None:
    async def scene() -> None:
        async with machine.world() as world:
            keeper, _ = await world.keep_pairing()
            make_store(machine.memory, jid=None)
            await until(machine.sealed.exists, "the seal of a store without a device")
            await keeper.remove(require_logout=False)
            assert list(machine.memory.iterdir()) == []
            assert list((machine.directory / "sessions").iterdir()) == []

    run(scene())
