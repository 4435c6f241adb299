"""Accounts kept as their files say: what a file may do to its account, and to no other."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sessions.states import State
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.supervision.world import ALICE, World, a_world
from tests.unit.towerd.waiting import run, until
from towerd.accounts.records import EventQuery
from towerd.declarations import Reader
from towerd.dropins import Applied, DropIns
from towerd.supervision.keeper import Keeper
from towerd.supervision.supervisor import Supervisor

OWNER = 1000


class Desk:
    """A directory of files, and the accounts of a world without a socket."""

    def __init__(self, directory: Path, world: World) -> None:
        self.directory = directory
        self.world = world
        self.supervisor = Supervisor(world.around)
        self.drop_ins = DropIns(
            directory,
            reader=Reader(owner_uid=OWNER),
            supervisor=self.supervisor,
            auditor=world.around.auditor,
            ledger=world.ledger,
            clock=world.clock,
        )

    def put(self, name: str, content: str) -> Path:
        file = self.directory / f"{name}.toml"
        file.write_text(content)
        return file

    async def apply(self) -> Applied:
        return await self.drop_ins.apply()

    async def declared(self, content: str = 'display_name = "Shop"\n') -> tuple[Keeper, Path]:
        """Return the account `shop` of a file, and the file."""
        file = self.put("shop", content)
        await self.apply()
        return self.account("shop"), file

    def account(self, name: str, owner: int = OWNER) -> Keeper:
        keeper = self.supervisor.owned(owner, name)
        assert keeper is not None
        return keeper

    async def audits(self) -> list[tuple[str, str, str]]:
        await self.world.ledger.settle()
        rows = await self.world.ledger.read(lambda registry: registry.audits(EventQuery()))
        return [(row.source, row.action, (row.detail or "").partition(":")[0]) for row in rows]

    async def connect(self, keeper: Keeper) -> Any:
        """Link an account by a scan, as far as a scripted worker goes."""
        await keeper.pair()
        worker = await self.world.workers.next()
        make_store(self.world.root, keeper.account.record.id)
        worker.connected(ALICE)
        await until(lambda: keeper.account.state is State.CONNECTED, "the login")
        return worker


@contextlib.asynccontextmanager
async def a_desk(root: Path) -> AsyncIterator[Desk]:
    directory = root / "accounts.d"
    directory.mkdir()
    async with a_world(root) as world:
        desk = Desk(directory, world)
        try:
            yield desk
        finally:
            await desk.supervisor.close()


def test_accounts_are_created_in_the_order_of_their_files_and_none_twice(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            for name in ("b", "a", "c"):
                desk.put(name, 'desired = "running"\n')
            assert (await desk.apply()).created == ["a", "b", "c"]
            assert [one.account.name for one in desk.supervisor.keepers] == ["a", "b", "c"]
            again = await desk.apply()
            assert (again.created, again.changed, again.stopped) == ([], [], [])
            assert await desk.audits() == [("drop-in", "account.add", "created")] * 3

    run(scene())


def test_what_is_stopped_by_its_file_from_the_beginning_does_not_start(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            keeper, _ = await desk.declared('desired = "stopped"\n')
            record = keeper.account.record
            assert (record.state, record.reason) == (State.STOPPED, "stopped-by-declaration")

    run(scene())


def test_a_running_account_whose_file_goes_is_stopped_and_stays_linked(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            keeper, file = await desk.declared()
            worker = await desk.connect(keeper)
            file.unlink()
            assert (await desk.apply()).stopped == ["shop"]
            record = keeper.account.record
            assert (record.state, record.reason, record.desired) == (
                State.STOPPED,
                "declaration-gone",
                "stopped",
            )
            assert worker.is_gone.is_set()
            orders = [worker.orders.get_nowait()["type"] for _ in range(worker.orders.qsize())]
            assert "logout" not in orders
            assert (await desk.apply()).stopped == []

    run(scene())


def test_coming_back_does_not_undo_an_operators_stop(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            keeper, file = await desk.declared()
            await keeper.stop()
            content = file.read_text()
            file.unlink()
            await desk.apply()
            assert keeper.account.record.reason == "declaration-gone"
            file.write_text(content)
            assert (await desk.apply()).changed == ["shop"]
            record = keeper.account.record
            assert (record.state, record.reason) == (State.STOPPED, "stopped-by-operator")

    run(scene())


def test_coming_back_with_another_wish_is_news(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            keeper, file = await desk.declared('desired = "stopped"\n')
            file.unlink()
            await desk.apply()
            file.write_text('desired = "running"\n')
            await desk.apply()
            assert keeper.account.state is State.UNPAIRED

    run(scene())


def test_an_expectation_is_set_by_the_file_and_not_taken_back_by_its_silence(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            keeper, file = await desk.declared('expected_phone = "+49 170 1234567"\n')
            assert keeper.account.record.expected_phone == "+49 170 1234567"
            assert (await desk.apply()).changed == []
            file.write_text('expected_phone = "+491701234567"\n')
            assert (await desk.apply()).changed == []
            file.write_text('display_name = "Shop"\n')
            await desk.apply()
            assert keeper.account.record.expected_phone == "+49 170 1234567"

    run(scene())


def test_a_name_that_the_owner_uses_elsewhere_is_a_mistake_and_changes_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            await desk.supervisor.add(owner_uid=OWNER, name="store")
            keeper, file = await desk.declared()
            file.write_text('name = "store"\ndisplay_name = "Other"\n')
            applied = await desk.apply()
            assert [(one.key, one.why) for one in applied.mistakes] == [
                ("name", "its owner has another account of this name")
            ]
            assert (keeper.account.name, keeper.account.record.display_name) == ("shop", "Shop")
            assert len(desk.drop_ins.problems) == 1

    run(scene())


def test_the_same_name_of_another_owner_is_another_account(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            await desk.supervisor.add(owner_uid=1, name="shop")
            keeper, _ = await desk.declared()
            assert keeper is not desk.account("shop", owner=1)
            assert desk.account("shop", owner=1).account.record.declared_in is None

    run(scene())


def test_a_proxy_that_changes_takes_effect_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            keeper, file = await desk.declared()
            worker = await desk.connect(keeper)
            assert worker.begin.get("proxy") is None
            proxy = tmp_path / "proxy"
            proxy.write_text("http://proxy.example:3128\n")
            file.write_text(f'proxy_file = "{proxy}"\n')
            await desk.apply()
            assert worker.is_gone.is_set()
            assert (await desk.world.workers.next()).begin["proxy"] == "http://proxy.example:3128"

    run(scene())


def test_a_file_that_meets_a_bug_keeps_no_other_from_its_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            add = desk.supervisor.add

            async def fails_for_a(**columns: Any) -> Any:
                if columns["name"] == "a":
                    raise RuntimeError("a bug")
                return await add(**columns)

            monkeypatch.setattr(desk.supervisor, "add", fails_for_a)
            desk.put("a", 'name = "a"\n')
            desk.put("b", 'name = "b"\n')
            applied = await desk.apply()
            assert applied.created == ["b"]
            assert [one.file.name for one in applied.mistakes] == ["a.toml"]

    with caplog.at_level(logging.ERROR):
        run(scene())
    assert any("could not be taken over" in record.message for record in caplog.records)


def test_a_directory_that_cannot_be_read_lets_nothing_go_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            keeper, _ = await desk.declared()
            desk.directory.rename(tmp_path / "away")
            desk.directory.write_text("a file now")
            for _ in range(2):
                assert (await desk.apply()).stopped == []
            assert [problem.endswith("Not a directory") for problem in desk.drop_ins.problems] == [True]
            assert keeper.account.record.is_declared

    with caplog.at_level(logging.ERROR):
        run(scene())
    assert len(caplog.records) == 1


def test_a_file_that_is_just_being_written_is_no_mistake(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            file = desk.put("shop", "")
            read = desk.drop_ins._reader.read_directory

            def then_it_is_written(directory: Path) -> Any:
                found = read(directory)
                file.write_text('display_name = "Shop"\n')
                return found

            desk.drop_ins._reader.read_directory = then_it_is_written  # type: ignore[method-assign]
            applied = await desk.apply()
            assert (applied.created, applied.mistakes) == (["shop"], [])

    run(scene())


def test_a_file_that_is_replaced_in_two_steps_is_not_gone(tmp_path: Path) -> None:
    """Between the steps of an editor or of rsync the name is free for a moment."""

    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            keeper, file = await desk.declared()
            read = desk.drop_ins._reader.read_directory
            looks = []

            def first_without_the_file(directory: Path) -> Any:
                looks.append(directory)
                if len(looks) == 1:
                    file.rename(tmp_path / "draft")
                    found = read(directory)
                    (tmp_path / "draft").rename(file)
                    return found
                return read(directory)

            desk.drop_ins._reader.read_directory = first_without_the_file  # type: ignore[method-assign]
            assert (await desk.apply()).stopped == []
            assert len(looks) == 2
            assert keeper.account.record.is_declared

    run(scene())
