"""A store whose plain file lives in memory while its account runs; what lies on the disk is sealed.

Which of two is the newer one: a plain copy has a name, given when it is unsealed, which stands in every seal
that is made of it; beside the copy lie that name and the number of the last such seal. After a crash of
daemon or worker the copy is what counts, unless the sealed store has gone on without it.

The one rule: a plain copy goes only when it is sealed, or when the whole store is wiped. While a worker runs,
this is the only other process that opens the file, and one thread at a time does so.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sessions.image import ImageError, PlainFile, settled
from sessions.keys import Keys
from sessions.seal import COPY_BYTES, Mark, SealDamagedError, WrongKeyError
from sessions.spool import SpooledMessage
from sessions.store import (
    DATABASE_NAME,
    HOLDER_PATIENCE_SECONDS,
    SEALED_NAME,
    Store,
    StoreKind,
    StoreReport,
    delete,
    private,
    sync_directory,
)
from sessions.vault import Vault

log = logging.getLogger(__name__)

_COPY_NAME = "copy"


class SealedStore(Store):
    """The store of one account.

    Args:
        root: directory of all plain stores, in memory.
        account_id: the immutable id.
        sealed_root: directory of all sealed stores, `sessions/` in the state directory.
        keys: seal and open.
        least: says which seal is known to have been made; an older one is not the last.

    Attributes:
        is_out: a plain copy lies in memory, and is sealed.
    """

    def __init__(
        self, root: Path, account_id: str, *, sealed_root: Path, keys: Keys, least: Callable[[], int]
    ) -> None:
        super().__init__(root, account_id, locks=sealed_root)
        # Where the sealed file lies, and where the plain one lay in a time without a key.
        self._place = Store(sealed_root, account_id)
        self.home = self._place.directory
        self._vault = Vault(self._place.directory / SEALED_NAME, account_id, keys=keys, least=least)
        self._mutex = threading.RLock()
        self.is_out = False
        # The image as it was sealed, and how its file looked from outside then.
        self._state: tuple[Any, ...] | None = None
        self._outside: tuple[int, ...] | None = None
        self._is_confirmed = False

    # What every store does.

    @contextlib.contextmanager
    def lock(
        self, *, patience_seconds: float = HOLDER_PATIENCE_SECONDS, killable: bool = False
    ) -> Iterator[None]:
        """Hold the store's lock, and keep other threads of this process from the file."""
        with super().lock(patience_seconds=patience_seconds, killable=killable), self._mutex:
            yield

    def ensure(self) -> None:
        """Create both directories when they are missing."""
        with self._mutex:
            super().ensure()
            self._place.ensure()
            sync_directory(self._place.root)
            _write_mark(self.directory, _new_copy(self._vault.sequence))
            self.is_out = True

    def spooled(self) -> list[SpooledMessage]:
        """Return the messages that a worker has left, now or in a time without a key."""
        return self._place.spooled() + super().spooled()

    def clear_spool(self) -> None:
        """Remove the spool."""
        super().clear_spool()
        self._place.clear_spool()

    def wipe(self) -> None:
        """Remove both, the sealed one first: what a crash then leaves is the newer one."""
        with self._mutex:
            self._let_go()
            self._place.wipe()
            super().wipe()

    def restore(self) -> None:
        """Put the kept copy back."""
        with self._mutex:
            super().restore()

    def install(self, image: Path) -> None:
        """Put another store in the place of this one, and seal it."""
        with self._mutex:
            self._let_go()
            self.wipe_directory()
            super().install(image)
            self._seal(anew=True)

    def _look(self) -> StoreReport:
        """Take the store out, seal what is new, and say what it holds."""
        try:
            self._take_out()
        except WrongKeyError as error:
            return StoreReport(kind=StoreKind.WRONG_KEY, detail=str(error))
        except (SealDamagedError, ImageError) as error:
            return StoreReport(kind=StoreKind.DAMAGED, detail=f"the sealed store cannot be used: {error}")
        except OSError as error:
            return StoreReport(kind=StoreKind.UNUSABLE, detail=f"it cannot be unsealed: {error.strerror}")
        try:
            self._seal()
        except (ImageError, OSError) as error:
            # What the store says does not depend on it, and whoever seals in time tries again.
            log.error("%s: its store could not be sealed: %s", self.account_id, error)
        return super()._look()

    # Out and away.

    def take_out(self) -> None:
        """Unseal the store, unless a plain copy is there; a store that never was is an empty one.

        Raises:
            OSError: that is not possible now.
            StoreLockedError: a process that could not be ended runs on it.
        """
        if self.is_out and self.database.exists():
            return
        with self.lock():
            try:
                self._take_out()
            except (WrongKeyError, SealDamagedError, ImageError) as error:
                raise OSError(errno.EIO, f"the store cannot be unsealed: {error}") from error
            if not self.is_out:
                self.ensure()

    def put_away(self) -> None:
        """Seal the plain copy and remove it; no worker may be running.

        A directory in which something else lies stays until that is gone.

        Raises:
            ImageError: it cannot be read; it stays.
            OSError: it could not be sealed; it stays.
            StoreLockedError: a process that could not be ended runs on it.
        """
        with self.lock():
            if self.is_out:
                self._seal()
            if self.is_out and not self._others():
                self._let_go()
                self.wipe_directory()

    def _others(self) -> list[Path]:
        """Return what lies beside the plain copy and is not empty."""
        own = {DATABASE_NAME, f"{DATABASE_NAME}-journal", _COPY_NAME}
        there = self.directory.iterdir() if self.directory.exists() else ()
        return [path for path in there if path.name not in own and path.stat().st_size]

    def _take_out(self) -> None:
        if self._place.database.exists():
            self._seal_old_plain()
        if self.database.exists() and not self.is_out:
            self._adopt()
        if not self.database.exists() and self._vault.path.exists():
            self._unseal()
        self.is_out = self.directory.exists()

    def _adopt(self) -> None:
        """Go on with a plain copy that a crash has left, unless the sealed store has gone on without it.

        Raises:
            WrongKeyError: none of the keys sealed what lies on the disk.
        """
        copy = _read_mark(self.directory)
        try:
            mark = self._vault.open()
        except FileNotFoundError:
            return
        except SealDamagedError as error:
            log.error(
                "%s: %s; the plain copy that was left is newer, it is sealed anew", self.account_id, error
            )
            return
        if copy.copy != mark.copy and copy.sequence < mark.sequence:
            log.warning("%s: dropped a plain copy that is older than the sealed store", self.account_id)
            self.wipe_directory()

    def _unseal(self) -> None:
        """Make a plain copy; it is in its place when it is complete.

        Raises:
            WrongKeyError: none of the keys sealed it.
            SealDamagedError: it is not what was sealed last.
            OSError: it cannot be read, or there is no room for it.
        """
        beside = self.root / f".{self.account_id}.unsealing"
        delete(beside)
        beside.mkdir(mode=0o700)
        try:
            with open(beside / DATABASE_NAME, "xb", opener=private) as file:
                mark = self._vault.open(PlainFile(file.fileno()))
            _write_mark(beside, _new_copy(mark.sequence))
            delete(self.directory)
            beside.rename(self.directory)
        finally:
            delete(beside)

    def _seal_old_plain(self) -> None:
        """Seal the store of a time without a key, and delete the plain file from the disk.

        Raises:
            WrongKeyError: none of the keys sealed what lies beside it.
            SealDamagedError: what is sealed beside it is another store.
            ImageError: it cannot be read.
            OSError: it could not be sealed.
        """
        with settled(self._place.database) as image:
            if not self._vault.path.exists():
                # What is left in memory is of an older time still.
                self.wipe_directory()
                if (seal := self._vault.begin(image, _new_copy(0))) is not None:
                    self._vault.complete(seal)
            # Read back, before what it was made of goes.
            self._vault.open()
            is_sealed = self._vault.holds(image)
            self._let_go()
        if not is_sealed:
            msg = f"beside it lies a plain store that is another one: {self._place.database}"
            raise SealDamagedError(msg)
        self._place.database.unlink()
        self._place.drop_snapshot()
        if not self._place.spooled():
            self._place.clear_spool()
        sync_directory(self._place.directory)
        log.warning("%s: its store is sealed now; the plain one was deleted", self.account_id)

    def _let_go(self) -> None:
        """Know nothing of the store any more; the files stay."""
        self._vault.close()
        self._state = self._outside = None
        self.is_out = self._is_confirmed = False

    # Sealing.

    @property
    def sequence(self) -> int:
        """The number of the last seal that is known of."""
        return self._vault.sequence

    def seal(self) -> None:
        """Seal what has changed; it is on the disk when this returns.

        Raises:
            ImageError: the plain copy cannot be read as one image.
            OSError: it could not be sealed.
        """
        with self._mutex:
            self._seal()

    def sealed_with(self) -> bytes | None:
        """Return the id of the key that sealed the store; None when nothing is sealed.

        Raises:
            SealDamagedError: what lies there is no sealed store.
            OSError: it cannot be read.
        """
        with self._mutex:
            return self._vault.key_id()

    def reseal(self) -> None:
        """Seal a store anew that no worker has; it lies afterwards where it lay before.

        Raises:
            WrongKeyError: none of the keys sealed it.
            SealDamagedError: it is not what was sealed last.
            ImageError: its plain copy cannot be read as one image.
            OSError: it could not be unsealed, or not be sealed.
            StoreLockedError: a process that could not be ended runs on it.
        """
        with self.lock():
            was_out = self.is_out
            self._take_out()
            self._seal()
        if not was_out:
            self.put_away()

    def compact(self) -> None:
        """Fold a log that has grown large into a new base.

        Raises:
            ImageError: the plain copy cannot be read as one image.
            OSError: it could not be written; all stays as it was.
        """
        with self._mutex:
            if self._vault.is_overgrown:
                self._seal(anew=True)

    def looks_changed(self) -> bool:
        """Tell, cheaply and at times wrongly, whether there is something to seal."""
        outside = self._look_from_outside()
        return self.is_out and outside is not None and not (self._is_confirmed and outside == self._outside)

    def _seal(self, *, anew: bool = False) -> None:
        if not self.is_out or not self.database.exists():
            return
        outside, copy = self._look_from_outside(), _read_mark(self.directory)
        with settled(self.database) as image:
            state = image.state
            if state == self._state and self._vault.can_append and not anew:
                # The clock of a file system stands still for some milliseconds; the second look is sure.
                self._is_confirmed, self._outside = True, outside
                return
            seal = self._vault.begin(image, copy, anew=anew)
        # From here on the worker goes on.
        if seal is not None:
            self._vault.complete(seal)
            _write_mark(self.directory, seal.mark)
        self._state, self._outside, self._is_confirmed = state, outside, False

    def _look_from_outside(self) -> tuple[int, ...] | None:
        try:
            found = self.database.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def _new_copy(sequence: int) -> Mark:
    """Return a name for a new plain copy of what a seal holds."""
    return Mark(sequence=sequence, copy=os.urandom(COPY_BYTES))


def _read_mark(directory: Path) -> Mark:
    """Return which copy lies in a directory; one that nobody has named is older than any other."""
    try:
        known = json.loads((directory / _COPY_NAME).read_bytes())
        return Mark(sequence=int(known["sequence"]), copy=bytes.fromhex(known["copy"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Mark(sequence=-1)


def _write_mark(directory: Path, mark: Mark) -> None:
    beside = directory / f".{_COPY_NAME}"
    beside.write_text(json.dumps({"sequence": mark.sequence, "copy": mark.copy.hex()}))
    beside.rename(directory / _COPY_NAME)
