"""An exported device never logs in from here again, whoever asks for it; what has come back does."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sessions.fence import Fence, lift_fence, raise_fence, read_fence
from sessions.keys import ring
from sessions.parcel import Facts, Parcel, pack
from sessions.seal import SealDamagedError
from sessions.states import State
from tests.unit.sessions.sealing import KEY, Memory
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.supervision.world import ALICE, World, a_linked_account_at_rest, a_world
from tests.unit.towerd.waiting import run, until
from towerd.protocol.errors import TowerError
from towerd.supervision.keeper import Keeper
from towerd.supervision.moving import facts_of
from towerd.supervision.supervisor import Supervisor


class Watched(io.BytesIO):
    """A file that sees the fence when the first byte comes."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.home = home
        self.fences: set[Fence | None] = set()

    def write(self, data: Any) -> int:
        self.fences.add(read_fence(self.home))
        return super().write(data)


def home_of(keeper: Keeper) -> Path:
    return keeper.carrier.store.home


async def exported(keeper: Keeper) -> io.BytesIO:
    file = io.BytesIO()
    await keeper.moving.export(KEY, file)
    file.seek(0)
    return file


def opened(file: io.BytesIO) -> Parcel:
    return Parcel(file, ring(KEY))


def assert_is_elsewhere(keeper: Keeper) -> None:
    record = keeper.account.record
    assert (record.state, record.reason, record.desired) == (State.STOPPED, "exported", "stopped")
    assert record.is_linked
    assert not keeper.carrier.is_running
    assert read_fence(home_of(keeper)) is Fence.EXPORTED


def test_fence_is_there_before_the_first_byte_and_the_worker_is_not(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, worker = await world.keep_connected()
            image = world.store_of(keeper).read_bytes()
            file = Watched(home_of(keeper))
            await keeper.moving.export(KEY, file)
            await worker.gone()
            assert file.fences == {Fence.EXPORTED}
            assert_is_elsewhere(keeper)
            file.seek(0)
            parcel, memory = opened(file), Memory()
            parcel.unpack(memory)
            assert bytes(memory.image) == image
            facts, record = parcel.facts, keeper.account.record
            assert (facts.id, facts.name, facts.created_at) == (record.id, record.name, record.created_at)
            assert (facts.identity.jid, facts.identity.device_number) == (ALICE.jid, ALICE.device_number)
            assert [event["key"] for event in await world.events("account.exported")] == [KEY.name]

    run(scene())


def test_export_is_repeated_with_the_same_store_and_told_once(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            first, second = Memory(), Memory()
            opened(await exported(keeper)).unpack(first)
            opened(await exported(keeper)).unpack(second)
            assert first.image == second.image
            assert_is_elsewhere(keeper)
            assert len(await world.events("account.exported")) == 1

    run(scene())


@pytest.mark.parametrize("verb", ["start", "restart", "pair", "logout"])
def test_command_that_would_log_in_is_refused_and_says_what_helps(short_directory: Path, verb: str) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            await exported(keeper)
            with pytest.raises(TowerError) as refused:
                await getattr(keeper, verb)()
            assert refused.value.slug == "wrong-state"
            assert "towerctl adopt" in (refused.value.hint or "")
            assert_is_elsewhere(keeper)
            assert world.workers.spawner.count == 1

    run(scene())


def test_file_that_declares_the_account_does_not_start_it(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            await exported(keeper)
            await keeper.declare(lambda: None, desired="running", declared_in="alpha.toml")
            record = keeper.account.record
            assert (record.state, record.reason) == (State.STOPPED, "exported")
            assert world.workers.spawner.count == 1

    run(scene())


@pytest.mark.parametrize(
    "fields",
    [
        {"state": State.CONNECTED, "desired": "running"},
        {"state": State.STOPPED, "reason": "exported", "desired": "stopped"},
        {"state": State.FAILED, "reason": "worker-crash-loop", "desired": "running"},
        {"state": State.STOPPED, "is_linked": False, "is_confirmed": False, "desired": "running"},
    ],
)
def test_whatever_the_registry_says_a_start_of_the_daemon_logs_nobody_in(
    short_directory: Path, fields: dict[str, Any]
) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper = await world.keep(a_linked_account_at_rest(**fields))
            make_store(world.root)
            raise_fence(home_of(keeper), Fence.EXPORTED)
            await keeper.resume()
            record = keeper.account.record
            assert (record.state, record.reason) == (State.STOPPED, "exported")
            assert world.workers.spawner.count == 0
            # Nor does anything that finds its way past the commands.
            await keeper._life.launch()
            assert world.workers.spawner.count == 0

    run(scene())


def test_arrival_that_was_cut_short_after_its_account_was_added_is_finished(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            record = a_linked_account_at_rest(state=State.STOPPED, reason="stopped-by-operator")
            keeper = await world.keep(record)
            make_store(world.root)
            raise_fence(home_of(keeper), Fence.ARRIVING)
            await keeper.resume()
            await world.workers.next()
            assert keeper.account.state is State.CONNECTING
            assert read_fence(home_of(keeper)) is None

    run(scene())


def test_what_has_no_device_cannot_go_elsewhere(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_pairing()
            with pytest.raises(TowerError) as refused:
                await exported(keeper)
            assert refused.value.slug == "wrong-state"
            assert (keeper.account.state, keeper.account.record.desired) == (State.PAIRING, "running")
            assert read_fence(home_of(keeper)) is None

    run(scene())


def test_store_that_is_damaged_is_not_fenced(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, worker = await world.keep_connected()
            world.store_of(keeper).write_bytes(b"no database" * 1000)
            with pytest.raises(TowerError) as refused:
                await exported(keeper)
            await worker.gone()
            assert refused.value.slug == "store-damaged"
            assert read_fence(home_of(keeper)) is None
            assert keeper.account.record.reason == "stopped-by-operator"

    run(scene())


def test_client_that_hangs_up_does_not_leave_half_an_export(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            file = io.BytesIO()
            asking = asyncio.create_task(keeper.moving.export(KEY, file))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await until(lambda: keeper.account.record.reason == "exported", "the fence")
            async with keeper._life.lock:
                assert_is_elsewhere(keeper)

    run(scene())


def test_removal_does_not_log_a_device_out_that_is_elsewhere(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            await exported(keeper)
            with pytest.raises(TowerError) as refused:
                await keeper.remove(require_logout=True)
            assert refused.value.slug == "wrong-state"
            assert keeper.account.record.intent is None
            report = await keeper.remove(require_logout=False)
            assert report.outcome == "not-linked"
            assert "stays linked there" in (report.detail or "")
            assert world.workers.spawner.count == 1
            assert list(world.root.iterdir()) == []

    run(scene())


def test_unpair_forgets_the_device_and_with_it_the_fence(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            await exported(keeper)
            await keeper.unpair()
            assert keeper.account.record.reason == "never-paired"
            # To remove it on the phone would take it from who has it now.
            action = keeper.action("alpha") or ""
            assert "stays linked there" in action
            assert "remove" not in action
            assert read_fence(home_of(keeper)) is None
            await keeper.pair()
            await world.workers.next()

    run(scene())


@pytest.mark.parametrize("start", [True, False])
def test_device_that_comes_back_brings_its_store_and_lifts_the_fence(
    short_directory: Path, start: bool
) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            file = await exported(keeper)
            store = world.store_of(keeper)
            image = store.read_bytes()
            make_store(world.root, padding_pages=3)
            await keeper.moving.take_back(opened(file), start=start)
            assert read_fence(home_of(keeper)) is None
            assert store.read_bytes() == image
            record = keeper.account.record
            if start:
                (await world.workers.next()).connected()
                await until(lambda: keeper.account.state is State.CONNECTED, "the login")
            else:
                assert (record.state, record.reason) == (State.STOPPED, "stopped-by-operator")
            assert record.desired == ("running" if start else "stopped")
            (event,) = await world.events("account.adopted")
            assert event == {"from": record.id, "outcome": "returned"}

    run(scene())


def test_damaged_file_brings_nothing_back(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            content = bytearray((await exported(keeper)).getvalue())
            image = world.store_of(keeper).read_bytes()
            content[-40] ^= 1
            with pytest.raises(SealDamagedError):
                await keeper.moving.take_back(opened(io.BytesIO(content)), start=True)
            assert_is_elsewhere(keeper)
            assert world.store_of(keeper).read_bytes() == image
            assert not keeper.carrier.store.arrival.exists()

    run(scene())


def test_device_that_is_here_is_not_replaced(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            file = await exported(keeper)
            lift_fence(home_of(keeper))
            with pytest.raises(TowerError, match="is here already"):
                await keeper.moving.take_back(opened(file), start=True)

    run(scene())


def a_parcel(world: World, keeper: Keeper, **changes: Any) -> Parcel:
    """Return a parcel of the account's store, with facts that are others."""
    facts: Facts = msgspec.structs.replace(facts_of(keeper.account.record, now=1.0), **changes)
    file, image = io.BytesIO(), world.store_of(keeper).read_bytes()
    pack(file, KEY, facts, [image], len(image))
    file.seek(0)
    return opened(file)


def test_new_account_has_the_facts_of_the_file_and_the_owner_of_who_takes_it(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected(display_name="Alpha", daily_limit=7)
            parcel = a_parcel(world, keeper)
            await exported(keeper)
            await keeper.remove(require_logout=False)
            supervisor = Supervisor(world.around)
            new = await supervisor.adopt(parcel, owner_uid=4242, name="beta", start=True)
            world.keepers.append(new)
            record = new.account.record
            assert record.id != keeper.account.record.id
            assert (record.owner_uid, record.name, record.display_name) == (4242, "beta", "Alpha")
            assert (record.daily_limit, record.created_at) == (7, keeper.account.record.created_at)
            assert (record.jid, record.device_number) == (ALICE.jid, ALICE.device_number)
            assert read_fence(home_of(new)) is None
            (await world.workers.next()).connected()
            await until(lambda: new.account.state is State.CONNECTED, "the login")

    run(scene())


def test_file_with_another_device_than_it_says_leaves_nothing(short_directory: Path) -> None:
    async def scene() -> None:
        async with a_world(short_directory) as world:
            keeper, _ = await world.keep_connected()
            other = msgspec.structs.replace(ALICE, device_number=99)
            parcel = a_parcel(world, keeper, identity=other)
            await exported(keeper)
            await keeper.remove(require_logout=False)
            supervisor = Supervisor(world.around)
            with pytest.raises(SealDamagedError, match="another device"):
                await supervisor.adopt(parcel, owner_uid=4242, name="beta", start=True)
            assert supervisor.keepers == []
            assert list(world.root.iterdir()) == []

    run(scene())
