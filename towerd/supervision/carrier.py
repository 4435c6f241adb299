"""The worker that carries one account's session: started, spoken with, ended, and accounted for.

The one rule: at most one worker per account, each with a generation of its own; after each one's death the
store is looked into before anything else happens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sessions import messages
from sessions.messages import Begin, Orders, ReportEnvelope, Reports
from sessions.store import Store, StoreKind, StoreLockedError, StoreReport
from towerd.supervision.process import WorkerEndedError, WorkerProcess
from towerd.supervision.process_states import ProcessState
from towerd.supervision.spawn import Spawned, Spawner
from towerd.supervision.stores import Shelf

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_NEWS_OF_A_DEVICE = (messages.Scanned, messages.Connected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a worker ended without being asked to."""

    generation: int
    lived_seconds: float
    cause: str


class Carrier:
    """Starts and ends the workers of one account.

    Args:
        account_id: names the store.
        shelf: where the store is taken from.
        device_name: says what the phone shows.
        spawner: starts processes.
        on_report: takes the reports of the present worker; late ones of earlier workers never arrive.
        on_death: called when the present worker ended by itself.
    """

    def __init__(
        self,
        account_id: str,
        *,
        label: Callable[[], str],
        shelf: Shelf,
        device_name: Callable[[], str],
        spawner: Spawner,
        on_report: Callable[[Reports], None],
        on_death: Callable[[Death], None],
    ) -> None:
        self.store = shelf.store
        self.generation = 0
        self.starts = 0
        self.worker: WorkerProcess | None = None
        self.since = time.time()
        self._account_id = account_id
        self._label = label
        self._shelf = shelf
        self._device_name = device_name
        self._spawner = spawner
        self._on_report = on_report
        self._on_death = on_death
        self._started_at = 0.0
        self._last_cause = "worker-lost"

    async def launch(self, *, proxy: str | None = None) -> None:
        """Start a worker and let it connect; a predecessor is ended first.

        Args:
            proxy: URL to connect through, when the account has one of its own.

        Raises:
            OSError: the machine has no room for another process, or none for the store.
        """
        await self.end()
        ended = self.generation
        await self._shelf.take_out()
        if self.generation != ended:
            # Whoever ended this meanwhile wants no worker.
            self._shelf.take_back()
            return
        spawned = await self._spawn()
        if self.generation != ended:
            spawned.discard()
            self._shelf.take_back()
            return
        self.generation += 1
        self.starts += 1
        self.since, self._started_at = time.time(), time.monotonic()
        self._last_cause = "worker-lost"
        worker = WorkerProcess(
            spawned,
            account_id=self._account_id,
            generation=self.generation,
            label=self._label(),
            on_report=self._take,
            on_exit=self._exited,
            before_report=self._hold_back,
        )
        self.worker = worker
        await worker.begin(
            Begin(
                sessions_dir=str(self.store.root),
                locks_dir=str(self.store.lock_path.parent),
                device_name=self._device_name(),
                proxy=proxy,
            )
        )

    async def end(self, *, grace_seconds: float = 0.0) -> None:
        """End the worker, if there is one, and wait until it is over; nothing it still says arrives."""
        self.generation += 1
        worker, self.worker = self.worker, None
        if worker is None:
            return
        try:
            await worker.end(grace_seconds=grace_seconds)
        finally:
            # Whoever waited may have been cancelled; the process is not left behind for that.
            worker.kill()
        self.since = time.time()

    async def ask(self, order: Callable[[int], Orders], deadline_seconds: float) -> str | None:
        """Give the worker an order that is answered, and return the answer's value.

        Raises:
            OrderFailedError: it failed, or it did not answer in time.
            WorkerEndedError: there is no worker, or it ended.
        """
        if self.worker is None:
            msg = "no worker"
            raise WorkerEndedError(msg)
        return await self.worker.ask(order, deadline_seconds)

    async def seal(self) -> None:
        """Wait, however long it takes, until what the worker has written would outlive a loss of power."""
        await self._shelf.settle(strictly=True)

    def tell(self, order: Orders) -> None:
        """Give the worker, if there is one, an order that is not answered."""
        if self.worker is not None:
            self.worker.tell(order)

    def kill(self, cause: str) -> None:
        """Kill the worker; its death is then reported like any other, with this cause."""
        if self.worker is not None:
            self._last_cause = cause
            self.worker.kill()

    async def look(self) -> StoreReport:
        """Say what the store holds; no worker may be running."""
        try:
            return await asyncio.to_thread(self.store.classify)
        except StoreLockedError as error:
            return StoreReport(kind=StoreKind.LOCKED, detail=str(error))
        except OSError as error:
            return StoreReport(kind=StoreKind.DAMAGED, detail=f"unreadable: {error.strerror}")

    async def lend(self, work: Callable[[Store], Result]) -> Result:
        """Do something with the store's file in its place; no worker may be running.

        Raises:
            OSError: the store cannot be taken out.
        """
        await self._shelf.take_out()
        try:
            return await asyncio.to_thread(work, self.store)
        finally:
            self._shelf.take_back()

    @property
    def is_running(self) -> bool:
        """True while there is a worker that has not ended."""
        return self.worker is not None and self.worker.state is not ProcessState.EXITED

    async def _spawn(self) -> Spawned:
        try:
            return await self._spawner.spawn()
        except BaseException:
            self._shelf.take_back()
            raise

    async def _hold_back(self, envelope: ReportEnvelope) -> None:
        """Let news of a device wait until the store that holds it would outlive a loss of power."""
        if isinstance(envelope.body, _NEWS_OF_A_DEVICE):
            await self._shelf.settle()

    def _take(self, envelope: ReportEnvelope) -> None:
        if envelope.generation != self.generation or envelope.account != self._account_id:
            log.info("%s: dropped a late report of an earlier worker", self._label())
            return
        if isinstance(envelope.body, messages.ClientEnded):
            self._last_cause = envelope.body.cause
            log.info("%s: the client ended: %s", self._label(), envelope.body.detail)
        self._on_report(envelope.body)

    def _exited(self, worker: WorkerProcess) -> None:
        if self.worker in (None, worker):
            self._shelf.take_back()
        if worker is not self.worker:
            return
        self.worker = None
        self.since = time.time()
        lived = time.monotonic() - self._started_at
        log.info("%s: worker %d ended with status %s", self._label(), worker.pid, worker.exit_status)
        self._on_death(Death(generation=self.generation, lived_seconds=lived, cause=self._last_cause))
