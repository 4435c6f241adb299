"""From one key to another: all stores are sealed anew, whatever is killed in the middle.

The one rule: both keys are written down, each under the other, before the first store is sealed with the new
one, and until nothing needs the old one and the next start of towerd would find the new one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sessions.image import ImageError
from sessions.keyring import KeyRingFile
from sessions.keys import KeyFileError, Keys, StoreKey
from sessions.seal import SealDamagedError, WrongKeyError
from sessions.store import StoreLockedError
from towerd.key_source import KeySource
from towerd.protocol.errors import TowerError
from towerd.supervision.stores import Rotated

if TYPE_CHECKING:
    from towerd.supervision.sealing import SealedShelf, SealedStores

log = logging.getLogger(__name__)


class Rotation:
    """Takes all stores from one key to another.

    Args:
        stores: all of them.
        keys: what seals and opens; the current one is replaced.
        file: where both keys are written down.
        source: where the next start of towerd finds its key.
    """

    def __init__(self, stores: SealedStores, *, keys: Keys, file: KeyRingFile, source: KeySource) -> None:
        self._stores = stores
        self._keys = keys
        self._file = file
        self._source = source
        self._turn = asyncio.Lock()
        self._problem: str | None = None

    async def run(self, given: StoreKey | None) -> Rotated:
        """Seal all stores with another key; with the present one, do what is left to do.

        Args:
            given: the key; None reads it from where a start of towerd would.

        Raises:
            TowerError: `wrong-state`, there is no key to be read, or an earlier rotation is not finished.
            OSError: the keys could not be written down; nothing has changed.
        """
        async with self._turn:
            key = given or await self._read()
            if key.id != self._keys.current.id:
                self._require_finished(key)
                await asyncio.to_thread(self._file.write, self._keys.current, key)
                log.warning("stores are sealed with the key %s from now on", key.name)
                self._keys.current, self._keys.former = key, (self._keys.current,)
            return await self._finish()

    async def resume(self) -> None:
        """Finish what an earlier run of the daemon has begun, if it has."""
        if self._keys.former:
            async with self._turn:
                await self._finish()

    async def _finish(self) -> Rotated:
        sealed, failed = 0, {}
        for shelf in self._stores.everything():
            try:
                sealed += await self._reseal(shelf)
            except (ImageError, WrongKeyError, SealDamagedError, StoreLockedError, OSError) as error:
                why = (error.strerror if isinstance(error, OSError) else None) or str(error)
                failed[shelf.account.name] = why
                log.error("%s: its store keeps its key: %s", shelf.account.name, why)
        is_given = await self._is_given()
        if not failed and is_given:
            await asyncio.to_thread(self._file.remove)
            self._keys.former = ()
        self._tell(failed, is_given=is_given)
        return Rotated(key=self._keys.current.name, sealed=sealed, failed=failed, is_given=is_given)

    async def _reseal(self, shelf: SealedShelf) -> bool:
        """Seal one store with the present key, unless it is; return whether there is a store at all."""
        key_id = await shelf.sealed_with()
        if key_id not in (None, self._keys.current.id):
            await shelf.reseal()
        return key_id is not None

    async def _read(self) -> StoreKey:
        try:
            key = await asyncio.to_thread(self._source.read)
        except KeyFileError as error:
            raise TowerError("wrong-state", str(error)) from error
        if key is None:
            raise TowerError(
                "wrong-state",
                "there is no key where towerd looks for it",
                hint="name the new one: towerctl key rotate --new-key FILE",
            )
        return key

    async def _is_given(self) -> bool:
        try:
            key = await asyncio.to_thread(self._source.read)
        except KeyFileError:
            return False
        return key is not None and key.id == self._keys.current.id

    def _require_finished(self, key: StoreKey) -> None:
        """Insist that no store needs a third key.

        Raises:
            TowerError: `wrong-state`.
        """
        if self._keys.former and key.id not in self._keys.ring:
            raise TowerError(
                "wrong-state",
                f"the rotation to the key {self._keys.current.name} is not finished",
                hint=f"give towerd that key at {self._source}, restart it, and run: towerctl key rotate",
            )

    def _tell(self, failed: dict[str, str], *, is_given: bool) -> None:
        """Say as a problem of the daemon what a human has to do yet."""
        problems = self._stores.problems
        if self._problem in problems:
            problems.remove(self._problem)
        self._problem = None
        if failed:
            self._problem = f"some stores are still sealed with a former key: {', '.join(sorted(failed))}"
        elif not is_given:
            self._problem = (
                f"the next start needs the key {self._keys.current.name}, which is not at {self._source}"
            )
        if self._problem is not None:
            problems.append(self._problem)
