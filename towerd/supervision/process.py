"""One worker process: the handle that speaks with it and ends it.

The one rule: every order has a deadline, and a process is over only when it was waited for and everything it
had said was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
from collections.abc import Awaitable, Callable

import msgspec

from sessions import messages
from sessions.messages import Begin, OrderEnvelope, Orders, Quit, ReportEnvelope
from sessions.redactor import redact
from towerd.memory import resident_bytes
from towerd.supervision.process_states import ProcessState, ProcessTrigger, next_process_state
from towerd.supervision.spawn import Spawned

log = logging.getLogger(__name__)


_MAX_LINE_BYTES = 1024 * 1024
_DRAIN_SECONDS = 1.0
_STATUS_SECONDS = 1.0


class OrderFailedError(Exception):
    """The worker answered an order with an error, or not at all.

    Args:
        message: what it said.
        timed_out: it did not answer in time; the order may have been carried out all the same.
    """

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class WorkerEndedError(OrderFailedError):
    """The worker ended over an order."""


class WorkerProcess:
    """A handle on one worker.

    Args:
        spawned: the started process.
        account_id: whose session it carries.
        generation: number of this start; every message carries it.
        label: the account's name, for the log.
        on_report: takes reports on the event loop.
        on_exit: called once, when the process is over and all it said was handed on.
        before_report: waited for before a report is handed on; those behind it wait as well.
    """

    def __init__(
        self,
        spawned: Spawned,
        *,
        account_id: str,
        generation: int,
        label: str,
        on_report: Callable[[ReportEnvelope], None],
        on_exit: Callable[[WorkerProcess], None],
        before_report: Callable[[ReportEnvelope], Awaitable[None]] | None = None,
    ) -> None:
        self.pid = spawned.pid
        self.generation = generation
        self.state = ProcessState.STARTING
        self.exit_status: int | None = None
        self._spawned = spawned
        self._account_id = account_id
        self._label = label
        self._on_report = on_report
        self._on_exit = on_exit
        self._before_report = before_report
        self._order_ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[messages.Answer]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"worker {label}")

    async def begin(self, order: Begin) -> None:
        """Give the first order of all."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_MAX_LINE_BYTES, loop=loop)
        transport, protocol = await loop.create_connection(
            lambda: asyncio.StreamReaderProtocol(reader, loop=loop), sock=self._spawned.wire
        )
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._reading = asyncio.create_task(self._read(reader), name=f"reports {self._label}")
        self._send(order)

    async def ask(self, order: Callable[[int], Orders], deadline_seconds: float) -> str | None:
        """Give an order that is answered, wait for the answer, and return its value.

        Args:
            order: builds the order around its id.
            deadline_seconds: how long the worker may take.

        Raises:
            OrderFailedError: it failed, or no answer came in time.
        """
        order_id = next(self._order_ids)
        answer: asyncio.Future[messages.Answer] = asyncio.get_running_loop().create_future()
        self._answers[order_id] = answer
        try:
            self._send(order(order_id))
            async with asyncio.timeout(deadline_seconds):
                result = await answer
        except TimeoutError:
            msg = f"no answer within {deadline_seconds:g} s"
            raise OrderFailedError(msg, timed_out=True) from None
        finally:
            self._answers.pop(order_id, None)
        if result.error is not None:
            raise OrderFailedError(result.error, timed_out="timeout" in result.error)
        return result.value

    def tell(self, order: Orders) -> None:
        """Give an order that is not answered."""
        self._send(order)

    async def end(self, *, grace_seconds: float = 0.0) -> None:
        """End the process and wait until it is over.

        Args:
            grace_seconds: let it disconnect first; without grace it is killed.
        """
        if self.state is ProcessState.EXITED:
            return
        self._move(ProcessTrigger.END)
        if grace_seconds > 0:
            self._send(Quit())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await self._over.wait()
        self.kill()
        await self._over.wait()

    def kill(self) -> None:
        """Send SIGKILL; the pidfd names this very process and no successor of its number."""
        if self.state is not ProcessState.EXITED:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._spawned.pidfd, signal.SIGKILL)

    def memory_bytes(self) -> int | None:
        """Return the resident memory, None when the process is gone."""
        return resident_bytes(self.pid)

    def _move(self, trigger: ProcessTrigger) -> None:
        self.state = next_process_state(self.state, trigger)

    def _send(self, order: Orders) -> None:
        if self._writer is None or self._writer.is_closing():
            return
        envelope = OrderEnvelope(account=self._account_id, generation=self.generation, body=order)
        self._writer.write(messages.encode(envelope))

    async def _run(self) -> None:
        """Wait for the process, hand on what it still had said, then tell of its end."""
        output = asyncio.create_task(self._log_output(), name=f"output {self._label}")
        await self._exited()
        self.exit_status = await self._status()
        for task in (self._reading, output):
            if task is not None:
                await asyncio.wait({task}, timeout=_DRAIN_SECONDS)
                task.cancel()
        if self._writer is not None:
            self._writer.close()
        else:
            self._spawned.wire.close()
        os.close(self._spawned.pidfd)
        self._move(ProcessTrigger.EXIT)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(WorkerEndedError("the worker ended"))
        self._over.set()
        self._on_exit(self)

    async def _exited(self) -> None:
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(self._spawned.pidfd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(self._spawned.pidfd)

    async def _status(self) -> int | None:
        """Return how the process ended; None when nobody tells."""
        own = _buried(self._spawned.pidfd)
        if own is not None:
            return own
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STATUS_SECONDS):
                return await asyncio.shield(self._spawned.status)
        return None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Hand on reports until there are no more; a worker that cannot be heard is of no use."""
        try:
            while line := await reader.readline():
                envelope = messages.decode_report(line)
                if self._before_report is not None:
                    await self._before_report(envelope)
                self._take(envelope)
        except ConnectionError:
            log.debug("%s: the worker hung up", self._label)
        except (msgspec.DecodeError, ValueError):
            log.error("%s: the worker sent something that is not a report; ending it", self._label)
        except Exception:
            log.exception("%s: internal error over a report; ending the worker", self._label)
        finally:
            self.kill()

    def _take(self, envelope: ReportEnvelope) -> None:
        match envelope.body:
            case messages.Answer() as answer:
                waiting = self._answers.get(answer.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
            case messages.Begun():
                self._move(ProcessTrigger.BEGUN)
                self._on_report(envelope)
            case _:
                self._on_report(envelope)

    async def _log_output(self) -> None:
        """Pass the worker's output through the redactor to the log."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=64 * 1024, loop=loop)
        pipe = os.fdopen(self._spawned.output, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader, loop=loop), pipe
        )
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:
                    continue
                if not line:
                    return
                text = redact(line.decode("utf-8", "replace").rstrip())
                if text:
                    log.debug("%s worker: %s", self._label, text)
        finally:
            transport.close()


def _buried(pidfd: int) -> int | None:
    """Wait for an ended process that is our own child, and return how it ended; None when it is not ours.

    A worker is the fork server's child, and ours when that is gone and towerd is a container's first process.
    """
    try:
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
