"""Sealed stores: when they are taken out, sealed and put away, and what is told of it.

A store is sealed soon after every change, before a pairing or a login is reported, after each worker, and
when its account comes to rest; then nothing of it stays in memory.

The one rule: only towerd seals, never a worker, and a store is put away only while no worker has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sessions.image import ImageError
from sessions.keyring import KeyRingFile
from sessions.keys import KeyRing, Keys, StoreKey
from sessions.sealed_store import SealedStore
from sessions.states import State
from sessions.store import StoreLockedError, StoreReport
from towerd.clock import Clock
from towerd.key_source import KeySource
from towerd.supervision.account_state import AccountState
from towerd.supervision.rotation import Rotation
from towerd.supervision.stores import Rotated, Shelf, Stores

log = logging.getLogger(__name__)

Result = TypeVar("Result")

POLL_SECONDS = 0.2
"""How often one looks whether a store has changed; a loss of power may cost what is younger than this."""

_RETRY_SECONDS = 1.0
# Of the time that a worker may want to write in, sealing takes at most a fifth.
_PAUSES = 4
_NOTE_SECONDS = 1.0
_THREADS = 2
_RESTING = frozenset({State.STOPPED, State.FAILED, State.UNPAIRED})


def ring_file(sessions_dir: Path) -> KeyRingFile:
    """Return where a rotation writes its keys down, in the state directory."""
    return KeyRingFile(sessions_dir.with_name("keyring"))


class SealedShelf(Shelf):
    """One account's sealed store.

    Args:
        account: whose it is.
        store: the store.
        threads: where it is sealed.
        clock: times the pauses.

    Attributes:
        trouble: why it is not sealed at present.
    """

    store: SealedStore

    def __init__(
        self, account: AccountState, store: SealedStore, *, threads: ThreadPoolExecutor, clock: Clock
    ) -> None:
        super().__init__(store)
        self.account = account
        self.trouble: str | None = None
        self._threads = threads
        self._clock = clock
        self._turn = asyncio.Lock()
        self._is_lent = False
        self._task: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._noted_at: float | None = None

    async def take_out(self) -> None:
        """Unseal the store for a worker, unless it is out.

        Raises:
            OSError: that is not possible now.
        """
        async with self._turn:
            try:
                await self._on_thread(self.store.take_out)
            except StoreLockedError as error:
                raise OSError(str(error)) from error
            self._is_lent = True

    def take_back(self) -> None:
        """Take note that no worker runs on it any more."""
        self._is_lent = False

    async def settle(self, *, strictly: bool = False) -> None:
        """Seal what there is.

        Args:
            strictly: however long the disk takes; else only a new device waits for a disk that fails.
        """
        is_sealed = await self._seal()
        while not is_sealed and (strictly or not self.account.record.is_confirmed):
            await asyncio.sleep(_RETRY_SECONDS)
            is_sealed = await self._seal()
        self._note(at_once=True)
        await self.account.written()

    async def put_away(self) -> None:
        """Seal the store and leave nothing plain, unless a worker has it."""
        async with self._turn:
            if self._is_lent or not self.store.is_out:
                return
            if await self._try(self.store.put_away):
                self._note(at_once=True)

    async def sealed_with(self) -> bytes | None:
        """Return the id of the key that sealed the store; None when nothing is sealed."""
        return await self._on_thread(self.store.sealed_with)

    async def reseal(self) -> None:
        """Seal the store with the present key.

        Raises:
            WrongKeyError: none of the keys sealed it.
            SealDamagedError: it is not what was sealed last.
            ImageError: its plain copy cannot be read as one image.
            OSError: the disk, or the memory, does not let us.
            StoreLockedError: a process that could not be ended runs on it.
        """
        async with self._turn:
            await self._on_thread(self.store.seal if self._is_lent else self.store.reseal)
        self._note(at_once=True)

    def tend(self) -> None:
        """Do what is due, in the background; what is under way is let go on."""
        is_busy = self._task is not None and not self._task.done()
        if is_busy or self._clock.monotonic() < self._not_before:
            return
        if self._rests:
            self._task = asyncio.create_task(self.put_away(), name=f"put away {self.account.name}")
        elif self.store.looks_changed():
            self._task = asyncio.create_task(self._keep_up(), name=f"seal {self.account.name}")
        else:
            self._note()

    @property
    def _rests(self) -> bool:
        return self.account.state in _RESTING and not self._is_lent and self.store.is_out

    async def _keep_up(self) -> None:
        if await self._seal():
            self._note()
            await self._try(self.store.compact)

    async def _seal(self) -> bool:
        began = self._clock.monotonic()
        is_done = await self._try(self.store.seal)
        now = self._clock.monotonic()
        self._not_before = max(self._not_before, now + _PAUSES * (now - began))
        return is_done

    async def _try(self, work: Callable[[], object]) -> bool:
        """Do something to the store; return False when the disk, or the store itself, does not let us."""
        try:
            await self._on_thread(work)
        except (ImageError, OSError, StoreLockedError) as error:
            words = (error.strerror if isinstance(error, OSError) else None) or str(error)
            if words != self.trouble:
                log.error("%s: its store cannot be sealed, trying again: %s", self.account.name, words)
            self.trouble = words
            self._not_before = self._clock.monotonic() + _RETRY_SECONDS
            return False
        if self.trouble is not None:
            log.warning("%s: its store is sealed again", self.account.name)
        self.trouble = None
        return True

    def _note(self, *, at_once: bool = False) -> None:
        """Let the registry know the last seal, so that an older one is known from it; not at every seal.

        It is always told after the seal is on the disk: the last seal is never taken for an older one.
        """
        if self.store.sequence <= self.account.record.sealed_sequence:
            return
        now = self._clock.monotonic()
        if at_once or self._noted_at is None or now - self._noted_at >= _NOTE_SECONDS:
            self._noted_at = now
            self.account.note_seal(self.store.sequence)

    async def _on_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class SealedStores(Stores):
    """All stores, sealed.

    Args:
        sessions_dir: where the sealed ones lie, in the state directory.
        plain_dir: where plain copies lie, in memory.
        keys: seal and open.
        source: where a start of towerd finds its key.
        clock: times the pauses.
    """

    def __init__(
        self, sessions_dir: Path, *, plain_dir: Path, keys: Keys, source: KeySource, clock: Clock
    ) -> None:
        super().__init__(sessions_dir)
        self.plain_dir = plain_dir
        self._keys = keys
        self._clock = clock
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="seal")
        self._shelves: list[SealedShelf] = []
        self._rotation = Rotation(self, keys=keys, file=ring_file(sessions_dir), source=source)

    @property
    def key(self) -> StoreKey:
        """The key that seals."""
        return self._keys.current

    @property
    def ring(self) -> KeyRing:
        """All keys that there are: two while stores go from one to the other."""
        return self._keys.ring

    @property
    def trouble(self) -> str | None:
        """Why something is not sealed that should be."""
        found = [f"{one.account.name}: {one.trouble}" for one in self._shelves if one.trouble is not None]
        return "; ".join(found) or None

    def shelf(self, account: AccountState) -> SealedShelf:
        """Return the place of an account's store."""
        store = self._store(account.record.id, least=lambda: account.record.sealed_sequence)
        shelf = SealedShelf(account, store, threads=self._threads, clock=self._clock)
        self._shelves.append(shelf)
        return shelf

    def place(self, account_id: str) -> SealedStore:
        """Return the store of an account that nobody keeps."""
        return self._store(account_id, least=lambda: 0)

    async def look(self, account_id: str) -> StoreReport:
        """Say what the store of an account holds that nobody keeps.

        Raises:
            StoreLockedError: a process that could not be ended runs on it.
            OSError: it cannot be sealed.
        """
        store = self.place(account_id)
        report = await asyncio.to_thread(store.classify)
        try:
            await asyncio.to_thread(store.put_away)
        except ImageError as error:
            log.error("%s: its store cannot be sealed: %s", account_id, error)
        return report

    async def run(self) -> None:
        """Seal what has changed, and put away what rests."""
        await self._rotation.resume()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._shelves = [one for one in self._shelves if not one.account.is_removed]
            for shelf in self._shelves:
                shelf.tend()

    async def rotate(self, key: StoreKey | None) -> Rotated:
        """Seal all stores with another key.

        Args:
            key: the key; None reads it from where a start of towerd would.

        Raises:
            TowerError: `wrong-state`, there is no key to be read, or an earlier rotation is not finished.
            OSError: the disk failed; nothing has changed.
        """
        return await self._rotation.run(key)

    def everything(self) -> list[SealedShelf]:
        """Return the places of all stores that there are."""
        return [one for one in self._shelves if not one.account.is_removed]

    async def close(self) -> None:
        """Put all stores away; what cannot be sealed stays, and is sealed by the next start."""
        await asyncio.gather(*(shelf.put_away() for shelf in self._shelves))
        self._threads.shutdown()

    def _store(self, account_id: str, *, least: Callable[[], int]) -> SealedStore:
        assert self.plain_dir is not None
        return SealedStore(
            self.plain_dir, account_id, sealed_root=self.sessions_dir, keys=self._keys, least=least
        )
