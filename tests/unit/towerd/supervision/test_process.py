"""The handle on one worker process: real processes, with a script in place of the library."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sessions import messages
from sessions.messages import Begin, ReportEnvelope
from tests.unit.towerd.builders import ACCOUNT_ID
from tests.unit.towerd.supervision.workers import ScriptedWorker, Workers
from tests.unit.towerd.waiting import run, turns, until
from towerd.supervision.process import OrderFailedError, WorkerEndedError, WorkerProcess
from towerd.supervision.process_states import ProcessState

Workshop = Callable[[], AbstractAsyncContextManager[Workers]]
BEGIN = Begin(sessions_dir="/nowhere", locks_dir="/nowhere/locks", device_name="TOWER")


class Desk:
    """A handle with the scripted worker at its other end, and all that it told."""

    def __init__(self) -> None:
        self.reports: list[ReportEnvelope] = []
        self.exits: list[tuple[int | None, int]] = []
        self.process: WorkerProcess
        self.worker: ScriptedWorker

    def take(self, envelope: ReportEnvelope) -> None:
        self.reports.append(envelope)

    def exited(self, process: WorkerProcess) -> None:
        self.exits.append((process.exit_status, len(self.reports)))

    async def until_exited(self) -> None:
        await until(lambda: self.exits, "the exit")

    @property
    def bodies(self) -> list[messages.Reports]:
        return [one.body for one in self.reports]


@asynccontextmanager
async def a_desk(
    workshop: Workshop, *, on_report: Callable[[Any], None] | None = None
) -> AsyncIterator[Desk]:
    async with workshop() as workers:
        desk = Desk()
        desk.process = WorkerProcess(
            await workers.spawner.spawn(),
            account_id=ACCOUNT_ID,
            generation=7,
            label="alpha",
            on_report=on_report or desk.take,
            on_exit=desk.exited,
        )
        await desk.process.begin(BEGIN)
        desk.worker = await workers.next()
        try:
            yield desk
        finally:
            await desk.process.end()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_first_order_names_account_generation_and_stores(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            assert (desk.worker.account, desk.worker.generation) == (ACCOUNT_ID, 7)
            expected = {"type": "begin", "sessions_dir": "/nowhere", "device_name": "TOWER"}
            assert expected.items() <= desk.worker.begin.items()
            assert desk.worker.pid == desk.process.pid
            assert desk.process.state is ProcessState.STARTING

    run(scene())


def test_worker_runs_once_it_has_begun(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            desk.worker.begun()
            await until(lambda: desk.process.state is ProcessState.RUNNING)
            assert desk.process.memory_bytes() > 1_000_000

    run(scene())


def test_reports_arrive_in_their_order(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            sent = [messages.KeepaliveMissed(error_count=number) for number in range(200)]
            desk.worker.report(*sent)
            await until(lambda: len(desk.reports) == 200)
            assert desk.bodies == sent
            assert {one.generation for one in desk.reports} == {7}

    run(scene())


@pytest.mark.parametrize(
    "raw",
    [
        "hello\n",
        "{}\n",
        '{"account":"a-abcdefghij","generation":7,"body":{"type":"unheard-of"}}\n',
        "\n",
        "x" * (3 * 1024 * 1024) + "\n",
        "x" * (3 * 1024 * 1024),
    ],
    ids=["words", "object", "unknown report", "empty", "long line", "endless line"],
)
def test_worker_that_talks_nonsense_is_killed(workshop: Workshop, raw: str) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            desk.worker.report(messages.Disconnected())
            desk.worker.tell(raw=raw)
            await desk.until_exited()
            assert desk.exits == [(-9, 1)]
            assert desk.bodies == [messages.Disconnected()]

    run(scene())


def test_worker_that_cannot_be_heard_any_more_is_killed(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            desk.worker.tell(close=True)
            await desk.until_exited()
            assert desk.process.exit_status == -9

    run(scene())


def test_bug_over_a_report_ends_the_worker_and_is_logged(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_envelope: object) -> None:
        raise ZeroDivisionError

    async def scene() -> None:
        async with a_desk(workshop, on_report=fail) as desk:
            desk.worker.report(messages.Disconnected())
            await desk.until_exited()

    run(scene())
    assert "ZeroDivisionError" in caplog.text


def test_second_begun_of_one_worker_ends_it(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            desk.worker.begun()
            desk.worker.begun()
            await desk.until_exited()

    run(scene())


def test_order_is_answered_with_its_value(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            asking = asyncio.create_task(desk.process.ask(lambda n: messages.PairPhone(id=n, phone="49"), 10))
            order = await desk.worker.next_order()
            assert (order["type"], order["phone"]) == ("pairphone", "49")
            desk.worker.report(messages.Answer(id=order["id"], error=None, value="ABCD-1234"))
            assert await asking == "ABCD-1234"
            assert desk.reports == [], "an answer, a secret perhaps, goes to who asked and nowhere else"

    run(scene())


@pytest.mark.parametrize(
    ("error", "timed_out"), [("not-connected: no", False), ("timeout: websocket timed out", True)]
)
def test_order_that_failed_raises_and_says_whether_it_may_have_happened(
    workshop: Workshop, error: str, timed_out: bool
) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            asking = asyncio.create_task(desk.process.ask(lambda n: messages.Logout(id=n), 10))
            order = await desk.worker.next_order()
            desk.worker.report(messages.Answer(id=order["id"], error=error))
            with pytest.raises(OrderFailedError) as caught:
                await asking
            assert (str(caught.value), caught.value.timed_out) == (error, timed_out)

    run(scene())


def test_order_has_a_deadline(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            with pytest.raises(OrderFailedError) as caught:
                await desk.process.ask(lambda n: messages.Probe(id=n), 0.05)
            assert caught.value.timed_out
            order = await desk.worker.next_order()
            # The answer comes all the same, to nobody.
            desk.worker.report(messages.Answer(id=order["id"], error=None), messages.Disconnected())
            await until(lambda: desk.reports)
            assert desk.process.state is ProcessState.STARTING

    run(scene())


def test_orders_are_answered_by_their_number(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            asking = [
                asyncio.create_task(desk.process.ask(lambda n: messages.Probe(id=n), 10)) for _ in range(3)
            ]
            numbers = [(await desk.worker.next_order())["id"] for _ in asking]
            for number in reversed(numbers):
                desk.worker.report(messages.Answer(id=number, error=None, value=str(number)))
            assert [await one for one in asking] == [str(number) for number in numbers]
            assert len(set(numbers)) == 3

    run(scene())


def test_order_of_a_worker_that_dies_fails_at_once(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            asking = asyncio.create_task(desk.process.ask(lambda n: messages.Logout(id=n), 600))
            await desk.worker.next_order()
            desk.worker.die()
            with pytest.raises(WorkerEndedError):
                await asking

    run(scene())


def test_exit_is_told_once_after_all_that_was_said(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            desk.worker.report(*(messages.KeepaliveMissed(error_count=number) for number in range(300)))
            desk.worker.die("dns", status=5)
            await desk.until_exited()
            assert desk.exits == [(5, 301)]
            assert desk.bodies[-1] == messages.ClientEnded(cause="dns", detail="as the test says")
            assert desk.process.state is ProcessState.EXITED
            await turns()
            assert len(desk.exits) == 1

    run(scene())


def test_end_with_grace_lets_it_quit(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            await desk.process.end(grace_seconds=10)
            assert (await desk.worker.next_order())["type"] == "quit"
            assert desk.process.exit_status == 0

    run(scene())


def test_end_kills_a_worker_that_does_not_quit_in_time(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            desk.worker.tell(stubborn=True)
            desk.worker.report(messages.Disconnected())
            await until(lambda: desk.reports)
            await desk.process.end(grace_seconds=0.05)
            assert desk.process.exit_status == -9

    run(scene())


def test_end_without_grace_kills_at_once_and_twice_is_once(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            await asyncio.gather(desk.process.end(), desk.process.end())
            await desk.process.end(grace_seconds=5)
            desk.process.kill()
            assert desk.exits == [(-9, 0)]
            assert desk.process.memory_bytes() is None

    run(scene())


def test_no_descriptor_is_left_open(workshop: Workshop) -> None:
    async def scene() -> None:
        async with a_desk(workshop):
            pass
        async with workshop() as workers:
            await turns()
            before = open_descriptors()
            for _ in range(3):
                desk = Desk()
                process = WorkerProcess(
                    await workers.spawner.spawn(),
                    account_id=ACCOUNT_ID,
                    generation=1,
                    label="alpha",
                    on_report=desk.take,
                    on_exit=desk.exited,
                )
                await process.begin(BEGIN)
                worker = await workers.next()
                await process.end()
                await worker.gone()
            await until(lambda: open_descriptors() <= before)

    run(scene())


def test_output_of_the_worker_goes_redacted_to_the_log(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with a_desk(workshop) as desk:
            desk.worker.tell(say="hello of 491701234567@s.whatsapp.net\n\n" + "x" * 200_000 + "\nlast words")
            desk.worker.die()
            await desk.until_exited()

    with caplog.at_level(logging.DEBUG, logger="towerd.supervision.process"):
        run(scene())
    said = [record.getMessage() for record in caplog.records if " worker: " in record.getMessage()]
    assert said[0] == "alpha worker: hello of [jid]"
    assert said[-1] == "alpha worker: last words"
    assert "491701234567" not in caplog.text


def test_worker_ends_when_its_daemon_is_gone(workshop: Workshop) -> None:
    async def scene() -> None:
        async with workshop() as workers:
            spawned = await workers.spawner.spawn()
            spawned.wire.close()
            ended = await asyncio.to_thread(os.waitid, os.P_PIDFD, spawned.pidfd, os.WEXITED)
            assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
            os.close(spawned.pidfd)
            os.close(spawned.output)

    run(scene())
