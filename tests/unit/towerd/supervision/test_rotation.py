"""All stores go from one key to another, and whatever ends in the middle, a start with either key goes on."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sessions import keyring
from sessions.keys import Keys, StoreKey
from sessions.sealed_store import SealedStore
from sessions.states import State
from sessions.store import SEALED_NAME, StoreKind
from tests.unit.sessions.sealing import KEY, OTHER_KEY
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.builders import FakeClock, account_id, an_account
from tests.unit.towerd.waiting import run
from towerd.accounts.records import AccountRecord
from towerd.key_source import KeySource
from towerd.paths import Paths
from towerd.protocol.errors import TowerError
from towerd.sealed import SealingError, open_stores
from towerd.supervision.account_state import AccountState
from towerd.supervision.sealing import SealedShelf, SealedStores
from towerd.supervision.stores import Stores

THIRD_KEY = StoreKey(b"3" * 32)
ACCOUNTS = 3


class Ledger:
    """Takes everything."""

    trouble = None

    def post(self, *_: object, **__: object) -> None: ...


class Machine:
    """A state directory, a memory, and a file with the key."""

    def __init__(self, directory: Path, memory: Path) -> None:
        self.state = directory
        self.memory = memory
        self.key_file = directory / "key"
        self.give(KEY)
        self.paths = Paths(
            socket=directory / "s",
            state_dir=directory,
            config=directory / "c",
            is_config_named=False,
            socket_mode=0o600,
            plain_dir=memory,
        )

    def give(self, key: StoreKey) -> None:
        self.key_file.write_bytes(key.secret)
        self.key_file.chmod(0o600)

    @contextlib.asynccontextmanager
    async def daemon(self, *, is_killed: bool = False) -> AsyncIterator[SealedStores]:
        """Start a daemon with all accounts at rest; end it, or let it vanish."""
        source = KeySource(file=self.key_file, credentials=None)
        stores = open_stores(self.paths, source, clock=FakeClock())
        assert isinstance(stores, SealedStores)
        for number in range(ACCOUNTS):
            stores.shelf(AccountState(record(number), ledger=Ledger(), clock=FakeClock()))
        yield stores
        if not is_killed:
            await stores.close()

    def keys_used(self) -> set[str]:
        """Return the ids of the keys that stores are sealed with."""
        files = [self.state / "sessions" / account_id(number) / SEALED_NAME for number in range(ACCOUNTS)]
        return {file.read_bytes()[12:20].hex() for file in files}

    @property
    def is_under_way(self) -> bool:
        return (self.state / "keyring").exists()


def record(number: int) -> AccountRecord:
    return an_account(id=account_id(number), name=f"account-{number}", state=State.STOPPED, desired="stopped")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="tower-", dir="/dev/shm") as name:
        found = Machine(tmp_path, Path(name))
        sessions = tmp_path / "sessions"
        sessions.mkdir(mode=0o700)
        for number in range(ACCOUNTS):
            make_store(sessions, account_id(number))
            store = SealedStore(
                found.memory,
                account_id(number),
                sealed_root=sessions,
                keys=Keys(current=KEY),
                least=lambda: 0,
            )
            assert store.classify().kind is StoreKind.DEVICE
            store.put_away()
        yield found


async def assert_all_open(stores: SealedStores) -> None:
    for number in range(ACCOUNTS):
        assert (await stores.look(account_id(number))).kind is StoreKind.DEVICE


def test_new_key_in_its_place_and_a_rotation_is_all_it_takes(machine: Machine) -> None:
    async def scene() -> None:
        async with machine.daemon() as stores:
            machine.give(OTHER_KEY)
            done = await stores.rotate(None)
            assert (done.key, done.sealed, done.failed, done.is_given) == (OTHER_KEY.name, ACCOUNTS, {}, True)
            assert stores.key_name == OTHER_KEY.name
            assert machine.keys_used() == {OTHER_KEY.name}
            assert not machine.is_under_way
            assert list(machine.memory.iterdir()) == []
            assert stores.problems == []
        async with machine.daemon() as stores:
            await assert_all_open(stores)

    run(scene())


def test_key_that_was_sent_is_asked_for_until_the_next_start_finds_it(machine: Machine) -> None:
    async def scene() -> None:
        async with machine.daemon() as stores:
            done = await stores.rotate(OTHER_KEY)
            assert (done.sealed, done.is_given) == (ACCOUNTS, False)
            (problem,) = stores.problems
            assert OTHER_KEY.name in problem
            assert machine.is_under_way
        async with machine.daemon() as stores:
            # The old key is still given, and opens the new one.
            await stores._rotation.resume()
            assert stores.key_name == OTHER_KEY.name
            assert len(stores.problems) == 1
            await assert_all_open(stores)
        machine.give(OTHER_KEY)
        async with machine.daemon() as stores:
            await stores._rotation.resume()
            assert stores.problems == []
            assert not machine.is_under_way
            await assert_all_open(stores)

    run(scene())


def test_key_that_is_put_in_its_place_afterwards_ends_the_problem_by_the_same_command(
    machine: Machine,
) -> None:
    async def scene() -> None:
        async with machine.daemon() as stores:
            await stores.rotate(OTHER_KEY)
            machine.give(OTHER_KEY)
            done = await stores.rotate(None)
            assert (done.sealed, done.is_given) == (ACCOUNTS, True)
            assert stores.problems == []
            assert not machine.is_under_way

    run(scene())


def test_rotation_to_the_present_key_changes_nothing(machine: Machine) -> None:
    async def scene() -> None:
        async with machine.daemon() as stores:
            before = [path.read_bytes() for path in sorted(machine.state.rglob(SEALED_NAME))]
            for key in (None, KEY):
                done = await stores.rotate(key)
                assert (done.key, done.sealed, done.failed) == (KEY.name, ACCOUNTS, {})
            assert [path.read_bytes() for path in sorted(machine.state.rglob(SEALED_NAME))] == before

    run(scene())


@pytest.mark.parametrize("given", [KEY, OTHER_KEY])
@pytest.mark.parametrize("resealed", range(ACCOUNTS + 1))
def test_daemon_that_is_killed_in_the_middle_is_followed_by_one_that_goes_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, resealed: int, given: StoreKey
) -> None:
    class Killed(BaseException):
        pass

    async def scene() -> None:
        count = 0
        whole = SealedShelf.reseal

        async def reseal(shelf: SealedShelf) -> None:
            nonlocal count
            if count == resealed:
                raise Killed
            count += 1
            await whole(shelf)

        async with machine.daemon(is_killed=True) as stores:
            monkeypatch.setattr(SealedShelf, "reseal", reseal)
            with contextlib.suppress(Killed):
                await stores.rotate(OTHER_KEY)
            monkeypatch.undo()
        machine.give(given)
        async with machine.daemon() as stores:
            await assert_all_open(stores)
            await stores._rotation.resume()
            assert machine.keys_used() == {OTHER_KEY.name}
            assert machine.is_under_way is (given is KEY)

    run(scene())


def test_store_that_cannot_be_sealed_anew_keeps_the_old_key_in_reach(machine: Machine) -> None:
    async def scene() -> None:
        path = machine.state / "sessions" / account_id(1) / SEALED_NAME
        content = path.read_bytes()
        path.write_bytes(content[:-100])
        async with machine.daemon() as stores:
            machine.give(OTHER_KEY)
            done = await stores.rotate(None)
            assert (done.sealed, list(done.failed)) == (ACCOUNTS - 1, ["account-1"])
            assert "account-1" in stores.problems[0]
            assert machine.is_under_way
            with pytest.raises(TowerError, match="not finished") as refused:
                await stores.rotate(THIRD_KEY)
            assert refused.value.slug == "wrong-state"
            # Whatever made it whole again: the old key is still there for it.
            path.write_bytes(content)
            assert (await stores.rotate(None)).failed == {}
            assert not machine.is_under_way
            assert (await stores.rotate(THIRD_KEY)).sealed == ACCOUNTS

    run(scene())


def test_disk_that_does_not_take_the_keys_changes_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def scene() -> None:
        async with machine.daemon() as stores:
            monkeypatch.setattr(keyring.os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                await stores.rotate(OTHER_KEY)
            monkeypatch.undo()
            assert stores.key_name == KEY.name
            assert machine.keys_used() == {KEY.name}
            assert not machine.is_under_way

    run(scene())


@pytest.mark.parametrize("content", [b"", b"short"])
def test_key_that_cannot_be_read_is_named_and_nothing_changes(machine: Machine, content: bytes) -> None:
    async def scene() -> None:
        async with machine.daemon() as stores:
            machine.key_file.write_bytes(content)
            with pytest.raises(TowerError, match="exactly 32 bytes"):
                await stores.rotate(None)
            assert stores.key_name == KEY.name

    run(scene())


def test_start_with_a_third_key_in_the_middle_of_a_rotation_is_refused(machine: Machine) -> None:
    async def scene() -> None:
        async with machine.daemon() as stores:
            await stores.rotate(OTHER_KEY)
        machine.give(THIRD_KEY)
        with pytest.raises(SealingError, match="this is neither"):
            async with machine.daemon():
                pass

    run(scene())


def test_without_a_key_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    async def scene() -> None:
        with pytest.raises(TowerError, match="stores are not sealed"):
            await Stores(tmp_path).rotate(KEY)

    run(scene())
