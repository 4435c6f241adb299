"""The one writer of the registry.

What operators ask for is committed before it is acknowledged; what happens is written behind.

The one rule: writing behind never fails its caller. A full disk or a locked database leaves sessions up; the
ledger keeps what is unwritten, says so in `trouble`, and tries again until it is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from towerd.accounts.records import (
    AccountRecord,
    AuditRecord,
    Batch,
    EventDraft,
    EventRecord,
    IncidentRecord,
    TransitionRecord,
)
from towerd.accounts.registry import Registry
from towerd.accounts.transactions import RegistryError
from towerd.protocol.errors import TowerError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_RETRY_SECONDS = 1.0
# What is kept in memory while the disk is full; beyond it the oldest events go, with a word in the log.
_MAX_UNWRITTEN_EVENTS = 100_000


class Ledger:
    """The registry on its thread.

    Args:
        registry: opened on that thread by `open`.
        publish: takes events once they are durable, in the order of their ids, on the event loop.

    Attributes:
        trouble: why the database cannot be written at present.
        refused: ids of accounts whose phone or first place another row of the database holds.
    """

    def __init__(self, registry: Registry, publish: Callable[[Sequence[EventRecord]], None]) -> None:
        self._registry = registry
        self._publish = publish
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        self._accounts: dict[str, AccountRecord] = {}
        self._transitions: list[TransitionRecord] = []
        self._events: list[EventDraft] = []
        self._audits: list[AuditRecord] = []
        self._incidents: dict[str, IncidentRecord] = {}
        self._posted = 0
        self._durable = 0
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._writer: asyncio.Task[None] | None = None
        self.trouble: str | None = None
        self.refused: set[str] = set()

    async def open(self) -> None:
        """Open the registry and begin writing behind.

        Raises:
            RegistryError: the database cannot be opened, or it is damaged.
        """
        await self._on_thread(self._registry.open)
        self._writer = asyncio.create_task(self._write_behind(), name="ledger")

    async def close(self) -> None:
        """Write what is left, as far as the disk lets, and close."""
        if self._writer is not None:
            try:
                await self.settle()
            except TowerError as error:
                log.error("closing with unwritten changes: %s", error.message)
            self._writer.cancel()
        await self._on_thread(self._registry.close)
        self._executor.shutdown()

    async def read(self, query: Callable[[Registry], Result]) -> Result:
        """Return what a query finds.

        Raises:
            TowerError: `registry-unavailable`.
        """
        try:
            return await self._on_thread(lambda: query(self._registry))
        except RegistryError as error:
            raise _unavailable(str(error)) from error

    async def commit(self, write: Callable[[Registry], list[EventRecord]]) -> None:
        """Carry out a write that must be durable before anybody is told of it.

        Raises:
            TowerError: `registry-unavailable`; nothing was changed.
            NameTakenError: from the write itself; nothing was changed.
        """
        loop = asyncio.get_running_loop()

        def work() -> None:
            events = write(self._registry)
            if events:
                loop.call_soon_threadsafe(self._publish, events)

        try:
            await self._on_thread(work)
        except RegistryError as error:
            raise _unavailable(str(error)) from error

    def post(
        self,
        record: AccountRecord | None = None,
        *,
        transition: TransitionRecord | None = None,
        events: Sequence[EventDraft] = (),
        audit: AuditRecord | None = None,
        incident: IncidentRecord | None = None,
    ) -> None:
        """Write behind: the account as it is now, a transition, events, an audit row, an incident."""
        if record is not None:
            self._accounts[record.id] = record
        if transition is not None:
            self._transitions.append(transition)
        self._events.extend(events)
        if audit is not None:
            self._audits.append(audit)
        if incident is not None:
            self._incidents[incident.id] = incident
        self._posted += 1
        self._wake.set()

    def forget(self, account_id: str) -> None:
        """Drop what is unwritten of an account that is deleted."""
        self._accounts.pop(account_id, None)
        self._transitions = [one for one in self._transitions if one.account_id != account_id]

    async def settle(self) -> None:
        """Wait until all that was posted is durable.

        Raises:
            TowerError: `registry-unavailable`; it stays queued and is tried again.
        """
        target = self._posted
        async with self._progress:
            while self._durable < target:
                await self._progress.wait()
                if self.trouble is not None and self._durable < target:
                    raise _unavailable(self.trouble)

    async def _write_behind(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            posted = self._posted
            batch = Batch(
                accounts=list(self._accounts.values()),
                transitions=self._transitions,
                events=self._events,
                audits=self._audits,
                incidents=list(self._incidents.values()),
            )
            self._accounts, self._transitions, self._events, self._audits = {}, [], [], []
            self._incidents = {}

            def work(batch: Batch = batch) -> None:
                written = self._registry.write_behind(batch)
                self.refused.update(written.refused)
                for account_id in written.refused:
                    log.error("the account database refuses what %s claims: another row holds it", account_id)
                if written.events:
                    loop.call_soon_threadsafe(self._publish, written.events)

            try:
                await self._on_thread(work)
            except Exception as error:
                self._keep(batch)
                if self.trouble is None:
                    bug = None if isinstance(error, RegistryError) else error
                    log.error("the account database cannot be written, trying again: %s", error, exc_info=bug)
                self.trouble = str(error)
                loop.call_later(_RETRY_SECONDS, self._wake.set)
            else:
                if self.trouble is not None:
                    log.warning("the account database is written again")
                self.trouble = None
                self._durable = posted
            async with self._progress:
                self._progress.notify_all()

    def _keep(self, batch: Batch) -> None:
        """Put an unwritten batch back, under what was posted since."""
        self._accounts = {record.id: record for record in batch.accounts} | self._accounts
        self._transitions = batch.transitions + self._transitions
        self._events = batch.events + self._events
        self._audits = batch.audits + self._audits
        self._incidents = {one.id: one for one in batch.incidents} | self._incidents
        lost = len(self._events) - _MAX_UNWRITTEN_EVENTS
        if lost > 0:
            log.error("%d events are lost: the account database has been unwritable for too long", lost)
            del self._events[:lost]

    async def _on_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _unavailable(detail: str) -> TowerError:
    return TowerError(
        "registry-unavailable",
        f"the account database cannot be used: {detail}",
        hint="look at the disk and the permissions of the state directory, then try again",
    )
