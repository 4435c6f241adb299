"""The daemon's handle on the fork server, which starts workers (sessions/fork_server.py).

The one rule: a fork server that is gone, hangs or talks nonsense is replaced at the next start of a worker,
and costs no living worker more than the knowledge of how it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import socket
import subprocess
import sys
from typing import Any, NamedTuple

import msgspec

from sessions import births
from sessions.births import Born, Died, Fork, News, Ready, Refused, Unready
from sessions.redactor import redact
from towerd.supervision.spawn import Spawned

log = logging.getLogger(__name__)

# -P: a directory `sessions` where towerd happens to be started must not be taken for ours.
COMMAND = (sys.executable, "-P", "-m", "sessions.fork_server")

# The imports take a tenth of a second of one core; a machine may have a hundred others to serve.
_READY_SECONDS = 60.0
_FORK_SECONDS = 20.0


class _Birth(NamedTuple):
    """A worker as the fork server tells of it."""

    pid: int
    pidfd: int
    status: asyncio.Future[int | None]


class Nursery:
    """Starts workers by a fork server, and a fork server when there is none."""

    def __init__(self) -> None:
        self._server: _Server | None = None

    async def spawn(self) -> Spawned:
        """Start a worker.

        Raises:
            OSError: the machine has no room for another process, the fork server did not answer in time, or
                what workers need cannot be loaded.
        """
        server = self._present()
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                reader, writer = os.pipe()
                undo.callback(os.close, reader)
                try:
                    birth = await server.fork(theirs.fileno(), writer)
                finally:
                    os.close(writer)
            undo.pop_all()
        return Spawned(pid=birth.pid, pidfd=birth.pidfd, wire=ours, output=reader, status=birth.status)

    def prepare(self) -> None:
        """Start the fork server, so that the first worker need not wait for it.

        Raises:
            OSError: the machine has no room for another process.
        """
        self._present()

    def close(self) -> None:
        """End the fork server; workers that still run go on without it."""
        if self._server is not None:
            self._server.end()
            self._server = None

    @property
    def pid(self) -> int | None:
        """The fork server's number, None while there is none."""
        return self._server.process.pid if self._server is not None else None

    def _present(self) -> _Server:
        if self._server is None or self._server.is_over:
            self._server = _Server()
        return self._server


class _Server:
    """One run of the fork server."""

    def __init__(self) -> None:
        self.is_over = False
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        # Whoever waits for it raises what it holds; nobody may be waiting.
        self._ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self._ids = itertools.count(1)
        self._births: dict[int, asyncio.Future[_Birth]] = {}
        self._deaths: dict[int, asyncio.Future[int | None]] = {}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self.process = subprocess.Popen(
                    [*COMMAND, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError:
                self._control.close()
                raise
        self._control.settimeout(0)
        self._loop.add_reader(self._control, self._hear)

    async def fork(self, wire: int, output: int) -> _Birth:
        """Have a worker forked that has these descriptors.

        Raises:
            OSError: it could not be, or there was no answer in time.
        """
        request = Fork(id=next(self._ids))
        birth: asyncio.Future[_Birth] = self._loop.create_future()
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await asyncio.shield(self._ready)
            self._births[request.id] = birth
            socket.send_fds(self._control, [births.encode(request)], [wire, output])
            async with asyncio.timeout(_FORK_SECONDS):
                return await birth
        except TimeoutError:
            self.end("it does not answer")
            raise OSError(errno.ETIMEDOUT, "the fork server does not answer") from None
        finally:
            self._births.pop(request.id, None)

    def end(self, why: str | None = None) -> None:
        """End it, if it has not ended, and tell everybody who waits for it.

        Args:
            why: what is wrong with it; None when nothing is.
        """
        if self.is_over:
            return
        self.is_over = True
        self._loop.remove_reader(self._control)
        self._control.close()
        self.process.kill()
        # Killed: this does not take longer than the kernel.
        status = self.process.wait()
        if why is not None:
            log.error("the fork server (pid %d, status %d) is over: %s", self.process.pid, status, why)
        lost = OSError(errno.ECHILD, f"the fork server is over: {why or 'towerd is stopping'}")
        unanswered: list[asyncio.Future[Any]] = [self._ready, *self._births.values()]
        for waiting in unanswered:
            if not waiting.done():
                waiting.set_exception(lost)
        for death in self._deaths.values():
            if not death.done():
                death.set_result(None)
        self._deaths.clear()

    def _hear(self) -> None:
        """Take one packet; there is another call for the next."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, births.MAX_PACKET_BYTES, 1)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(error.strerror)
            return
        if not packet:
            self.end("it ended")
            return
        try:
            self._take(births.decode_news(packet), descriptors)
        except msgspec.DecodeError:
            self.end("it sent something that makes no sense")
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _take(self, news: News, descriptors: list[int]) -> None:
        match news:
            case Ready():
                self._ready.set_result(None)
            case Unready(detail=detail):
                self.end(f"what workers need cannot be loaded: {redact(detail)}")
            case Born(id=request_id, pid=pid):
                self._take_birth(request_id, pid, descriptors)
            case Refused(id=request_id, errno=number):
                waiting = self._births.get(request_id)
                if waiting is not None and not waiting.done():
                    waiting.set_exception(OSError(number, os.strerror(number)))
            case Died(pid=pid, status=status):
                death = self._deaths.pop(pid, None)
                if death is not None and not death.done():
                    death.set_result(status)

    def _take_birth(self, request_id: int, pid: int, descriptors: list[int]) -> None:
        """Hand a worker to whoever asked; one that nobody waits for ends by itself: its wire is closed."""
        waiting = self._births.get(request_id)
        if waiting is None or waiting.done():
            return
        status: asyncio.Future[int | None] = self._loop.create_future()
        self._deaths[pid] = status
        waiting.set_result(_Birth(pid=pid, pidfd=descriptors.pop(), status=status))
