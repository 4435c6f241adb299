"""At most one worker per account; every start has a number, and late news of an earlier one never arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from sessions import messages
from sessions.messages import Reports
from sessions.store import Store, StoreKind
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.builders import ACCOUNT_ID
from tests.unit.towerd.supervision.workers import Workers
from tests.unit.towerd.waiting import run, turns, until
from towerd.supervision.carrier import Carrier, Death
from towerd.supervision.process import OrderFailedError, WorkerEndedError
from towerd.supervision.stores import Shelf

Workshop = Callable[[], AbstractAsyncContextManager[Workers]]


class Desk:
    """A carrier and what it told."""

    def __init__(self, workers: Workers, root: Path) -> None:
        self.workers = workers
        self.reports: list[Reports] = []
        self.deaths: list[Death] = []
        self.carrier = Carrier(
            ACCOUNT_ID,
            label=lambda: "alpha",
            shelf=Shelf(Store(root, ACCOUNT_ID)),
            device_name=lambda: "TOWER",
            spawner=workers.spawner,
            on_report=self.reports.append,
            on_death=self.deaths.append,
        )


@pytest.fixture
def scene_of(workshop: Workshop, root: Path) -> Callable[[], AbstractAsyncContextManager[Desk]]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Desk]:
        async with workshop() as workers:
            desk = Desk(workers, root)
            try:
                yield desk
            finally:
                await desk.carrier.end()

    return opened


Opened = Callable[[], AbstractAsyncContextManager[Desk]]


def test_launch_starts_a_worker_for_the_account(scene_of: Opened, root: Path) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            assert not desk.carrier.is_running
            await desk.carrier.launch()
            worker = await desk.workers.next()
            assert (worker.account, worker.generation) == (ACCOUNT_ID, desk.carrier.generation)
            assert (worker.begin["sessions_dir"], worker.begin["device_name"]) == (str(root), "TOWER")
            assert desk.carrier.is_running
            assert desk.carrier.starts == 1

    run(scene())


def test_every_start_and_every_end_has_a_number_of_its_own(scene_of: Opened) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            seen = []
            for _ in range(3):
                await desk.carrier.launch()
                seen.append((await desk.workers.next()).generation)
                await desk.carrier.end()
                seen.append(desk.carrier.generation)
            assert seen == sorted(set(seen))

    run(scene())


def test_report_of_the_present_worker_arrives(scene_of: Opened) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            await desk.carrier.launch()
            (await desk.workers.next()).report(messages.Disconnected())
            await until(lambda: desk.reports == [messages.Disconnected()])

    run(scene())


@pytest.mark.parametrize("change", [{"generation": 0}, {"generation": 99}, {"account": "a-bbbbbbbbbb"}])
def test_report_of_another_attempt_or_account_is_dropped(scene_of: Opened, change: dict[str, object]) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            await desk.carrier.launch()
            worker = await desk.workers.next()
            worker.report(messages.Outdated(), **change)
            worker.report(messages.Disconnected())
            await until(lambda: desk.reports)
            assert desk.reports == [messages.Disconnected()]

    run(scene())


def test_nothing_arrives_after_the_end_was_asked_for(scene_of: Opened) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            await desk.carrier.launch()
            worker = await desk.workers.next()
            worker.tell(stubborn=True)
            worker.begun()
            await until(lambda: desk.reports)
            ending = asyncio.create_task(desk.carrier.end(grace_seconds=0.3))
            await worker.next_order()
            worker.report(messages.LoggedOut(code=401, on_connect=False))
            await ending
            await turns()
            assert desk.reports == [messages.Begun(neonize_version="0.5.2")]
            assert desk.deaths == []
            assert not desk.carrier.is_running

    run(scene())


@pytest.mark.parametrize(("said", "cause"), [(None, "worker-lost"), ("dns", "dns")])
def test_death_is_told_with_its_cause(scene_of: Opened, said: str | None, cause: str) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            await desk.carrier.launch()
            worker = await desk.workers.next()
            worker.die(said)
            await until(lambda: desk.deaths)
            (death,) = desk.deaths
            assert (death.cause, death.generation) == (cause, worker.generation)
            assert 0 < death.lived_seconds < 20
            assert desk.carrier.worker is None

    run(scene())


def test_kill_of_ours_is_a_death_like_any_other_with_its_cause(scene_of: Opened) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            await desk.carrier.launch()
            await desk.workers.next()
            desk.carrier.kill("server-silent")
            await until(lambda: desk.deaths)
            assert desk.deaths[0].cause == "server-silent"

    run(scene())


def test_cause_of_one_worker_is_not_told_of_the_next(scene_of: Opened) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            for said in ("dns", None):
                await desk.carrier.launch()
                (await desk.workers.next()).die(said)
                await until(lambda: not desk.carrier.is_running)
            await until(lambda: len(desk.deaths) == 2)
            assert [death.cause for death in desk.deaths] == ["dns", "worker-lost"]

    run(scene())


def test_launch_that_finds_no_room_raises_and_the_next_works(scene_of: Opened) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            desk.workers.spawner.failures = 1
            with pytest.raises(OSError, match="unavailable"):
                await desk.carrier.launch()
            assert not desk.carrier.is_running
            await desk.carrier.launch()
            await desk.workers.next()

    run(scene())


def test_order_without_a_worker_fails(scene_of: Opened) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            with pytest.raises(WorkerEndedError):
                await desk.carrier.ask(lambda n: messages.Probe(id=n), 1)

    run(scene())


def test_order_reaches_the_worker(scene_of: Opened) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            await desk.carrier.launch()
            worker = await desk.workers.next()
            asking = asyncio.create_task(desk.carrier.ask(lambda n: messages.Logout(id=n), 10))
            order = await worker.next_order()
            worker.report(messages.Answer(id=order["id"], error="no"))
            with pytest.raises(OrderFailedError, match="no"):
                await asking

    run(scene())


def test_look_says_what_the_store_holds(scene_of: Opened, root: Path) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            assert (await desk.carrier.look()).kind is StoreKind.MISSING
            make_store(root, ACCOUNT_ID)
            assert (await desk.carrier.look()).kind is StoreKind.DEVICE

    run(scene())


def test_look_into_a_directory_that_cannot_be_used_is_damage(scene_of: Opened, root: Path) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            root.rmdir()  # noqa: ASYNC240
            report = await desk.carrier.look()
            assert report.kind is StoreKind.DAMAGED
            assert "No such file" in report.detail

    run(scene())


def test_end_without_a_worker_is_done(scene_of: Opened) -> None:
    async def scene() -> None:
        async with scene_of() as desk:
            await desk.carrier.end()
            desk.carrier.kill("nothing")
            assert not desk.carrier.is_running

    run(scene())
