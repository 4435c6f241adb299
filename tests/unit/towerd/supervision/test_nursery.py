"""The fork server and the daemon's handle on it, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sessions.worker import EXIT_USAGE
from tests.unit.towerd.waiting import run, until
from towerd.supervision import nursery as nursery_module
from towerd.supervision.nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from towerd.supervision.spawn import Spawned


@contextlib.contextmanager
def opened() -> Iterator[Nursery]:
    with contextlib.closing(Nursery()) as nursery:
        yield nursery


def let_go(spawned: Spawned) -> None:
    spawned.discard()


def runs(spawned: Spawned) -> bool:
    """Tell whether a worker is there and has not ended."""
    stat = Path(f"/proc/{spawned.pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def links(pid: int) -> dict[int, str]:
    """Return what a process has open."""
    directory = Path(f"/proc/{pid}/fd")
    return {int(entry.name): str(entry.readlink()) for entry in directory.iterdir()}


def test_a_worker_is_born_with_its_wire_its_output_and_nothing_else() -> None:
    async def scene() -> None:
        with opened() as nursery:
            elder = await nursery.spawn()
            worker = await nursery.spawn()
            comm = Path(f"/proc/{worker.pid}/comm")
            await until(lambda: comm.read_text() == "tower-worker\n", "the worker has its name")
            has = links(worker.pid)
            assert os.getsid(worker.pid) == worker.pid
            assert has[0] == "/dev/null"
            assert has[1] == has[2] == os.readlink(f"/proc/self/fd/{worker.output}")  # noqa: PTH115
            assert max(has.values()).startswith("socket:")
            assert len(has) == 4
            let_go(elder)
            let_go(worker)

    run(scene())


def test_a_worker_ends_with_its_wire_and_how_it_ended_is_told() -> None:
    async def scene() -> None:
        with opened() as nursery:
            worker, other = await nursery.spawn(), await nursery.spawn()
            worker.wire.close()
            assert await worker.status == EXIT_USAGE
            os.kill(other.pid, signal.SIGTERM)
            assert await other.status == -signal.SIGTERM
            assert not runs(worker)
            let_go(worker)
            let_go(other)

    run(scene())


def test_what_a_worker_writes_arrives() -> None:
    async def scene() -> None:
        with opened() as nursery:
            worker = await nursery.spawn()
            # Not JSON: the worker ends without a word; a line that breaks it says why.
            worker.wire.sendall(b"garbage\n")
            await worker.status
            assert os.read(worker.output, 100) == b""
            let_go(worker)

    run(scene())


def test_a_killed_fork_server_harms_no_worker_and_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        with opened() as nursery:
            worker = await nursery.spawn()
            first = nursery.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            assert await worker.status is None
            assert runs(worker)
            other = await nursery.spawn()
            assert nursery.pid not in (None, first)
            assert runs(worker)
            assert runs(other)
            worker.wire.close()
            await until(lambda: not runs(worker), "it still ends with its wire")
            let_go(worker)
            let_go(other)

    with caplog.at_level(logging.ERROR):
        run(scene())
    (record,) = caplog.records
    assert "status -9" in record.getMessage()


def test_a_fork_server_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        with opened() as nursery:
            worker = await nursery.spawn()
            first = nursery.pid
            assert first is not None
            os.kill(first, signal.SIGSTOP)
            monkeypatch.setattr(nursery_module, "_FORK_SECONDS", 0.2)
            with pytest.raises(OSError, match="does not answer"):
                await nursery.spawn()
            monkeypatch.undo()
            other = await nursery.spawn()
            assert nursery.pid != first
            assert runs(worker)
            let_go(worker)
            let_go(other)

    run(scene())


def sabotage(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the fork server run a line of Python before it begins."""
    lines = f"import sys; from sessions import fork_server, preload; {code}; sys.exit(fork_server.main())"
    monkeypatch.setattr(nursery_module, "COMMAND", (sys.executable, "-P", "-c", lines))


def test_what_cannot_be_loaded_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        with opened() as nursery:
            with pytest.raises(OSError, match="No module named 'no_such_module'"):
                await nursery.spawn()
            monkeypatch.undo()
            let_go(await nursery.spawn())

    sabotage(monkeypatch, "preload.DEPENDENCIES = ('no_such_module',)")
    run(scene())


def test_a_machine_without_room_is_an_error_and_the_next_try_is_welcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        with opened() as nursery:
            before = nursery.pid
            with pytest.raises(OSError, match="Resource temporarily unavailable"):
                await nursery.spawn()
            worker = await nursery.spawn()
            assert before is None
            assert runs(worker)
            let_go(worker)

    sabotage(
        monkeypatch,
        "import os; fork = os.fork; "
        "os.fork = lambda: (setattr(os, 'fork', fork), (_ for _ in ()).throw(OSError(11, 'no room')))",
    )
    run(scene())


def test_what_makes_no_sense_ends_the_fork_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        with opened() as nursery, pytest.raises(OSError, match="makes no sense"):
            await nursery.spawn()

    sabotage(monkeypatch, "fork_server.births.encode = lambda packet: b'garbage'")
    run(scene())


def test_a_worker_that_nobody_waits_for_any_more_ends_by_itself() -> None:
    async def scene() -> None:
        with opened() as nursery:
            let_go(await nursery.spawn())
            assert nursery.pid is not None
            open_before = descriptors()
            os.kill(nursery.pid, signal.SIGSTOP)
            asking = asyncio.create_task(nursery.spawn())
            await until(lambda: descriptors() > open_before, "the request is on its way")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            os.kill(nursery.pid, signal.SIGCONT)
            children = Path(f"/proc/{nursery.pid}/task/{nursery.pid}/children")
            # Behind the forgotten one comes another; so that one is over.
            let_go(await nursery.spawn())
            await until(lambda: children.read_text() == "", "no worker is left")
            assert descriptors() == open_before

    run(scene())


def test_the_end_of_the_fork_server_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> int:
        with opened() as nursery:
            nursery.prepare()
            pid = nursery.pid
            assert pid is not None
            let_go(await nursery.spawn())
        assert nursery.pid is None
        return pid

    pid = run(scene())
    assert not Path(f"/proc/{pid}").exists()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_fork_server_whose_daemon_is_gone_ends() -> None:
    async def scene() -> None:
        with opened() as nursery:
            nursery.prepare()
            server = nursery._server
            assert server is not None
            await server._ready
            server._loop.remove_reader(server._control)
            server._control.close()
            assert await asyncio.to_thread(server.process.wait) == 0
            server.is_over = True

    run(scene())
