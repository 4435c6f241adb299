"""A world that the test plays: disk, store, worker, timers and time, each as far as a keeper sees it.

Nothing here waits for the machine: time goes on when all wait for it, and whatever the real thing does in a
thread or a process takes a turn of the loop, so that two that are under way at once really mix.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from sessions import messages
from sessions.store import StoreKind, StoreReport
from tests.unit.towerd.builders import NOW
from towerd.accounts.records import ACTUAL_COLUMNS, INTENT_COLUMNS, AccountRecord, TrafficRecord
from towerd.accounts.transactions import NameTakenError
from towerd.protocol.errors import TowerError
from towerd.supervision.carrier import Death
from towerd.supervision.process import OrderFailedError, WorkerEndedError

TAKEN_NAME = "other"
_TOO_MANY_TURNS = 20_000


class _Waiting(selectors.DefaultSelector):
    """Does not wait: counts how long it should have."""

    passed_seconds = 0.0
    _turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            raise AssertionError("all wait, and nothing is going to happen")
        self._turns = 0 if timeout else self._turns + 1
        if self._turns > _TOO_MANY_TURNS:
            raise AssertionError("it turns and turns, and gets nowhere")
        if not found and timeout is not None:
            self.passed_seconds += max(0.0, timeout)
        return found


class PlayedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time goes on when nothing else is left to do."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        return 1000.0 + self._waiting.passed_seconds

    def pass_over(self, seconds: float) -> None:
        """Let time go on although something is left to do."""
        self._waiting.passed_seconds += seconds


class PlayedClock:
    """The loop's time, and a wall clock that somebody may set."""

    def __init__(self, loop: PlayedLoop) -> None:
        self._loop = loop
        self.shift_seconds = 0.0

    def now(self) -> float:
        return NOW + self._loop.time() + self.shift_seconds

    def monotonic(self) -> float:
        return self._loop.time()


class PlayedLedger:
    """What is on the disk, and what is still to be written behind.

    Attributes:
        disk: the accounts, as a daemon that starts now would find them.
        is_stuck: the disk is full.
    """

    def __init__(self) -> None:
        self.disk: dict[str, AccountRecord] = {}
        self.is_stuck = False
        self._behind: list[AccountRecord] = []

    trouble = None

    def insert(self, record: AccountRecord) -> None:
        self.disk[record.id] = record

    def post(self, record: AccountRecord | None = None, **_: Any) -> None:
        if record is not None:
            self._behind.append(record)

    async def commit(self, write: Callable[[Any], Any]) -> None:
        await asyncio.sleep(0)
        self._require_room()
        write(self)

    async def read(self, query: Callable[[Any], Any]) -> Any:
        await asyncio.sleep(0)
        return query(self)

    async def settle(self) -> None:
        await asyncio.sleep(0)
        self._require_room()
        self.write_behind(len(self._behind))

    def forget(self, account_id: str) -> None:
        self._behind = [one for one in self._behind if one.id != account_id]

    def write_behind(self, count: int) -> None:
        """Write the oldest of what waits; what is dropped afterwards a kill has taken."""
        for record in self._behind[:count]:
            if record.id in self.disk:
                facts = {name: getattr(record, name) for name in ACTUAL_COLUMNS}
                self.disk[record.id] = msgspec.structs.replace(self.disk[record.id], **facts)
        del self._behind[:count]

    def die(self, written: int) -> None:
        """Take with a kill what was not written yet."""
        if not self.is_stuck:
            self.write_behind(written)
        self._behind.clear()

    @property
    def unwritten(self) -> int:
        return len(self._behind)

    def _require_room(self) -> None:
        if self.is_stuck:
            raise TowerError("registry-unavailable", "no space left on device")

    # What `commit` is given does one of these.

    def write_intent(self, record: AccountRecord, _events: Any) -> list[Any]:
        if record.name == TAKEN_NAME:
            raise NameTakenError(record.name)
        intent = {name: getattr(record, name) for name in INTENT_COLUMNS}
        self.disk[record.id] = msgspec.structs.replace(self.disk[record.id], **intent)
        return []

    def delete(self, account_id: str, _events: Any) -> list[Any]:
        del self.disk[account_id]
        return []

    def replace_groups(self, *_: Any, **__: Any) -> list[Any]:
        return []

    # Nothing was ever sent or received.

    def unsettled(self, _account_id: str) -> list[Any]:
        return []

    def sent_since(self, _account_id: str, _moment: float) -> list[float]:
        return []

    def traffic(self, account_id: str, day: str) -> TrafficRecord:
        return TrafficRecord(account_id=account_id, day=day, received=0, sent=0)


class PlayedStore:
    """A store that holds a device, or not; nobody ever took one elsewhere."""

    home = Path("/nowhere")

    def __init__(self) -> None:
        self.report = StoreReport(kind=StoreKind.MISSING)
        self.is_stuck = False
        self._copy: StoreReport | None = None

    def renew(self) -> None:
        if self.is_stuck:
            raise OSError(28, "No space left on device")
        self.report, self._copy = StoreReport(kind=StoreKind.MISSING), None

    remove = renew

    def spooled(self) -> list[Any]:
        return []

    def snapshot(self) -> None:
        if self.is_stuck:
            raise OSError(28, "No space left on device")
        self._copy = self.report

    def restore(self) -> None:
        if self._copy is not None:
            self.report, self._copy = self._copy, None

    def drop_snapshot(self) -> None:
        self._copy = None


class PlayedCarrier:
    """Plays the worker: what it says and when it dies is up to the test.

    Attributes:
        answer: what WhatsApp makes of orders: `yes`, `no`, `silence`, or `late` (done, but never answered).
        may_log_in: asked at every start.
    """

    may_log_in: Callable[[], bool] = staticmethod(lambda: True)

    def __init__(self, _account_id: str, **parts: Any) -> None:
        self.store = PlayedStore()
        self.generation = 0
        self.starts = 0
        self.since = 0.0
        self.worker: str | None = None
        self.answer = "yes"
        self.on_report = parts["on_report"]
        self._on_death = parts["on_death"]
        self._cause = "worker-lost"
        self._is_dead = asyncio.Event()

    @property
    def is_running(self) -> bool:
        return self.worker is not None

    async def launch(self, *, proxy: str | None = None) -> None:
        await self.end()
        assert self.worker is None, "two workers for one account"
        assert self.may_log_in(), "a login while the fleet is held"
        self.generation += 1
        self.starts += 1
        self.worker = f"worker {self.starts}"
        self._cause = "worker-lost"
        self._is_dead = asyncio.Event()
        await asyncio.sleep(0)

    async def end(self, *, grace_seconds: float = 0.0) -> None:
        self.generation += 1
        had_worker, self.worker = self.worker, None
        self._is_dead.set()
        for _ in range(2 if had_worker else 0):
            await asyncio.sleep(0)

    async def ask(self, order: Callable[[int], Any], deadline_seconds: float) -> str | None:
        if self.worker is None:
            raise WorkerEndedError("no worker")
        wanted, dead, answer = order(1), self._is_dead, self.answer
        await asyncio.sleep(0)
        if isinstance(wanted, messages.Logout) and answer in ("yes", "late") and not dead.is_set():
            self.store.report = StoreReport(kind=StoreKind.NO_DEVICE)
        if answer in ("silence", "late"):
            try:
                await asyncio.wait_for(dead.wait(), deadline_seconds)
            except TimeoutError:
                raise OrderFailedError("no answer", timed_out=True) from None
        if dead.is_set():
            raise WorkerEndedError("the worker ended")
        if answer == "no":
            raise OrderFailedError("refused")
        return {messages.PairPhone: "ABCD-1234", messages.ListGroups: "0"}.get(type(wanted))

    def tell(self, _order: Any) -> None: ...

    async def look(self) -> StoreReport:
        assert self.worker is None, "the store is looked into while a worker runs"
        await asyncio.sleep(0)
        return self.store.report

    def kill(self, cause: str) -> None:
        if self.worker is not None:
            self._cause = cause
            worker = self.worker
            asyncio.get_running_loop().call_soon(lambda: self.die(60.0, worker=worker))

    def die(self, lived_seconds: float, *, cause: str | None = None, worker: str | None = None) -> None:
        """End the present worker by itself."""
        if self.worker is None or (worker is not None and worker != self.worker):
            return
        self.worker = None
        self._is_dead.set()
        self._on_death(
            Death(generation=self.generation, lived_seconds=lived_seconds, cause=cause or self._cause)
        )


class PlayedTimers:
    """Timers that run out when the test says so."""

    def __init__(self) -> None:
        self.pending: dict[str, Callable[[], object]] = {}

    def start(self, name: str, delay_seconds: float, call: Callable[[], object]) -> None:
        self.pending[name] = call
        if delay_seconds <= 0:
            asyncio.get_running_loop().call_soon(lambda: self.pending.get(name) is call and self.hurry(name))

    def hurry(self, name: str) -> None:
        call = self.pending.pop(name, None)
        if call is not None:
            call()

    def stop(self, *names: str) -> None:
        for name in names:
            self.pending.pop(name, None)

    def is_running(self, name: str) -> bool:
        return name in self.pending

    def clear(self) -> None:
        self.pending.clear()
