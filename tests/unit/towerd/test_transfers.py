"""A file on its way has no name on the disk, belongs to one user, and does not stay for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.towerd.builders import FakeClock
from tests.unit.towerd.waiting import run
from towerd.protocol.errors import TowerError
from towerd.transfers import IDLE_SECONDS, MOST, PIECE_BYTES, Transfers


def test_what_was_written_is_read_and_leaves_no_name(tmp_path: Path) -> None:
    async def scene() -> None:
        transfers = Transfers(tmp_path, FakeClock())
        transfer = transfers.begin(1000)
        content = bytes(range(256)) * (PIECE_BYTES // 200)
        async with transfers.use(transfer.id, 1000) as mine:
            await mine.write(0, content[:1000])
            await mine.write(1000, content[1000:])
            # A piece that comes twice is no harm.
            await mine.write(0, content[:1000])
            assert mine.size_bytes == len(content)
            assert await mine.read(0) + await mine.read(PIECE_BYTES) == content
            assert names_in(tmp_path) == []
        transfers.close()

    run(scene())


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_gap_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        transfers = Transfers(tmp_path, FakeClock())
        transfer = transfers.begin(1000)
        with pytest.raises(TowerError, match="offset: must be at most 0"):
            await transfer.write(1, b"x")
        transfers.close()

    run(scene())


def test_nobody_else_gets_at_it(tmp_path: Path) -> None:
    async def scene() -> None:
        transfers = Transfers(tmp_path, FakeClock())
        transfer = transfers.begin(1000)
        for name, uid in ((transfer.id, 1001), ("another", 1000)):
            with pytest.raises(TowerError, match="there is none"):
                async with transfers.use(name, uid):
                    raise AssertionError
        transfers.close()

    run(scene())


def test_one_that_has_ended_is_none_also_for_who_waited_for_it(tmp_path: Path) -> None:
    async def scene() -> None:
        transfers = Transfers(tmp_path, FakeClock())
        transfer = transfers.begin(1000)

        async def use() -> None:
            async with transfers.use(transfer.id, 1000):
                raise AssertionError

        async with transfers.use(transfer.id, 1000):
            waiting = asyncio.create_task(use())
            await asyncio.sleep(0)
            transfers.end(transfer)
        with pytest.raises(TowerError, match="there is none"):
            await waiting

    run(scene())


def test_too_many_are_refused_until_one_has_ended(tmp_path: Path) -> None:
    async def scene() -> None:
        transfers = Transfers(tmp_path, FakeClock())
        begun = [transfers.begin(1000) for _ in range(MOST)]
        with pytest.raises(TowerError) as refused:
            transfers.begin(1001)
        assert refused.value.slug == "too-busy"
        transfers.end(begun[0])
        transfers.begin(1001)
        transfers.close()

    run(scene())


def test_one_that_nobody_asks_for_is_given_up_and_one_in_use_is_not(tmp_path: Path) -> None:
    async def scene() -> None:
        clock = FakeClock()
        transfers = Transfers(tmp_path, clock)
        idle, used, held = (transfers.begin(1000) for _ in range(3))
        clock.time += IDLE_SECONDS / 2
        async with transfers.use(used.id, 1000):
            pass
        async with held.turn:
            clock.time += IDLE_SECONDS / 2
            for transfer in (idle, used, held):
                transfers._expire(transfer)
            assert [one.file.closed for one in (idle, used, held)] == [True, False, False]
        transfers.close()

    run(scene())
