"""The test's side of scripted workers: a spawner that starts them, and a hand on each."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from sessions import messages
from sessions.messages import Identity, Reports
from tests.unit.towerd.waiting import DEADLINE_SECONDS
from towerd.supervision.spawn import Spawned

_SCRIPT = Path(__file__).with_name("scripted_worker.py")


class ScriptedSpawner:
    """Starts scripted workers; the next start fails when the test says so."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self.failures = 0
        self.count = 0

    async def spawn(self) -> Spawned:
        """Start a worker.

        Raises:
            OSError: the test wants it so.
        """
        self.count += 1
        if self.failures > 0:
            self.failures -= 1
            raise OSError(11, "Resource temporarily unavailable")
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        pid = self._start(theirs, writer)
        theirs.close()
        os.close(writer)
        return Spawned(
            pid=pid,
            pidfd=os.pidfd_open(pid),
            wire=ours,
            output=reader,
            status=asyncio.get_running_loop().create_future(),
        )

    def _start(self, wire: socket.socket, output: int) -> int:
        process = subprocess.Popen(
            # Neither site packages nor the environment: it starts in a few milliseconds.
            [sys.executable, "-I", "-S", str(_SCRIPT), str(wire.fileno()), str(self._control)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(wire.fileno(),),
        )
        # It is waited for by its pidfd.
        process.returncode = 0
        return process.pid


class ScriptedWorker:
    """A hand on one worker."""

    def __init__(self, started: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.account: str = started["started"]["account"]
        self.generation: int = started["started"]["generation"]
        self.pid: int = started["pid"]
        self.begin: dict[str, Any] = started["begin"]
        self.is_gone = asyncio.Event()
        self.orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._writer = writer

    def tell(self, **command: Any) -> None:
        """Give the worker a command of the script."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(command).encode() + b"\n")

    def report(self, *bodies: Reports, **changes: Any) -> None:
        """Let it send reports to the daemon; `changes` falsify the envelope."""
        for body in bodies:
            self.tell(report=json.loads(msgspec.json.encode(body)), **changes)

    def begun(self) -> None:
        """Let it say that it has begun."""
        self.report(messages.Begun(neonize_version="0.5.2"))

    def connected(self, identity: Identity | None = None) -> None:
        """Let it begin and log in."""
        self.begun()
        self.report(messages.Connected(identity=identity))

    def die(self, cause: str | None = None, *, status: int = 1) -> None:
        """Let it end, saying why if there is a cause."""
        if cause is not None:
            self.report(messages.ClientEnded(cause=cause, detail="as the test says"))
        self.tell(exit=status)

    async def next_order(self) -> dict[str, Any]:
        """Wait for the next order."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.orders.get()

    async def gone(self) -> None:
        """Wait until the process has ended."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.is_gone.wait()


class Workers:
    """All scripted workers of a test, in the order of their starts."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "control"
        self._arrivals: asyncio.Queue[ScriptedWorker] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self.all: list[ScriptedWorker] = []
        self.spawner = ScriptedSpawner(self._path)

    async def open(self) -> None:
        """Begin to listen for workers."""
        self._server = await asyncio.start_unix_server(self._serve, str(self._path))

    async def close(self) -> None:
        """End what is left of the workers."""
        for worker in self.all:
            worker._writer.close()
        if self._server is not None:
            self._server.close()

    async def next(self) -> ScriptedWorker:
        """Wait for the next worker to start."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._arrivals.get()

    @property
    def are_quiet(self) -> bool:
        """True when no started worker waits to be looked at."""
        return self._arrivals.empty()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            worker: ScriptedWorker | None = None
            while line := await reader.readline():
                fact = json.loads(line)
                if "started" in fact:
                    worker = ScriptedWorker(fact, writer)
                    self.all.append(worker)
                    self._arrivals.put_nowait(worker)
                elif worker is not None:
                    worker.orders.put_nowait(fact["order"])
        except ConnectionError:
            pass
        finally:
            if worker is not None:
                worker.is_gone.set()
            writer.close()
