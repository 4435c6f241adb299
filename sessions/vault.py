"""What is sealed of one store, on the disk: opened, compared with an image, and brought up to it.

The one rule: the number of a seal rises as long as the account is there, so that whoever remembers the number
knows an older sealed store from the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sessions.image import Fingerprints, Image
from sessions.keys import Keys
from sessions.seal import PIECE_BYTES, Mark, SealDamagedError, read_header
from sessions.sealed_file import Draft, SealedFile, Sink, open_sealed

LOG_BYTES = 1024 * 1024
"""A log that is larger than this, and than its base, is folded into a new base."""
# More than this goes into a new base, so that what is held in memory stays small.
_MAX_CHANGES_BYTES = 4 * PIECE_BYTES


@dataclass(slots=True, kw_only=True)
class Seal:
    """A seal that was begun: all that had to be read of the image is read.

    Attributes:
        changes: the blocks to append; None: `draft` is a new base.
        known: the image, when a new base holds all of it.
    """

    mark: Mark
    size_bytes: int
    changes: list[tuple[int, bytes]] | None = None
    draft: Draft | None = None
    known: Fingerprints = field(default_factory=Fingerprints)


class Vault:
    """The sealed form of one store.

    Args:
        path: the sealed file.
        account_id: bound into it.
        keys: seal and open.
        least: says which seal is known to have been made; an older one is not the last.
    """

    def __init__(self, path: Path, account_id: str, *, keys: Keys, least: Callable[[], int]) -> None:
        self.path = path
        self._context = f"store {account_id}".encode()
        self._keys = keys
        self._least = least
        self._sealed: SealedFile | None = None
        self._known = Fingerprints()
        self._last = 0

    @property
    def sequence(self) -> int:
        """The number of the last seal that is known of."""
        return max(self._least(), self._last)

    @property
    def can_append(self) -> bool:
        """False when the next seal has to be a new base."""
        return (
            self._sealed is not None
            and not self._sealed.is_broken
            and self._sealed.header.key_id == self._keys.current.id
        )

    @property
    def is_overgrown(self) -> bool:
        """True when the log should be folded into a new base."""
        sealed = self._sealed
        return sealed is not None and sealed.log_bytes > max(LOG_BYTES, sealed.base_bytes)

    def open(self, *sinks: Sink) -> Mark:
        """Read what is sealed, and be ready to append.

        Args:
            sinks: take the image.

        Returns:
            The last seal.

        Raises:
            FileNotFoundError: nothing is sealed.
            WrongKeyError: none of the keys sealed it.
            SealDamagedError: it is not what was written, or a later seal is known to have been made.
            OSError: it cannot be read.
        """
        self.close()
        known = Fingerprints()
        sealed = open_sealed(self.path, self._keys.ring, self._context, _All(known, *sinks))
        if sealed.mark.sequence < self._least():
            sealed.close()
            msg = f"seal {sealed.mark.sequence} stands in the place of seal {self._least()}"
            raise SealDamagedError(msg)
        self._sealed, self._known, self._last = sealed, known, sealed.mark.sequence
        return sealed.mark

    def key_id(self) -> bytes | None:
        """Return the id of the key that the file was sealed with; None when there is no file.

        Raises:
            SealDamagedError: it is no sealed file.
            OSError: it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return read_header(file).key_id
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Forget what is sealed; the file stays."""
        if self._sealed is not None:
            self._sealed.close()
        self._sealed, self._known = None, Fingerprints()

    def holds(self, image: Image) -> bool:
        """Tell whether an image is what is sealed."""
        return self._known.size_bytes == image.size_bytes and not any(image.changes(self._known))

    def begin(self, image: Image, copy: Mark, *, anew: bool = False) -> Seal | None:
        """Read of an image what has to be sealed; when this returns, the image may change.

        Args:
            image: the image.
            copy: the plain copy that it is of, and the last seal that was made of that.
            anew: make a new base in any case.

        Returns:
            None when the image is what is sealed.

        Raises:
            OSError: it could not be read, or a new base could not be written.
        """
        mark = Mark(sequence=max(self.sequence, copy.sequence) + 1, copy=copy.copy)
        seal = Seal(mark=mark, size_bytes=image.size_bytes)
        if self.can_append and not anew:
            seal.changes = _few(image.changes(self._known))
            if not seal.changes and seal.changes is not None and image.size_bytes == self._known.size_bytes:
                return None
        if seal.changes is None:
            seal.draft = Draft(self.path, self._keys.current, self._context)
            try:
                seal.draft.write(_noted(image, seal.known), mark=seal.mark, size_bytes=seal.size_bytes)
            except BaseException:
                seal.draft.drop()
                raise
        return seal

    def complete(self, seal: Seal) -> None:
        """Bring a seal to the disk.

        Raises:
            OSError: that failed; the next seal is a new base.
        """
        if seal.draft is not None:
            self.close()
            try:
                self._sealed = seal.draft.finish()
            except BaseException:
                seal.draft.drop()
                raise
            self._known = seal.known
        elif self._sealed is not None and seal.changes is not None:
            self._sealed.append(seal.mark, seal.size_bytes, seal.changes)
            for change in seal.changes:
                self._known.write(*change)
            self._known.resize(seal.size_bytes)
        self._last = seal.mark.sequence


class _All:
    """Hands an image to several sinks."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def write(self, offset: int, data: bytes) -> None:
        for sink in self._sinks:
            sink.write(offset, data)

    def resize(self, size_bytes: int) -> None:
        for sink in self._sinks:
            sink.resize(size_bytes)


def _few(changes: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]] | None:
    """Return all changes, None when they are too many to be held."""
    held, held_bytes = [], 0
    for change in changes:
        held.append(change)
        held_bytes += len(change[1])
        if held_bytes > _MAX_CHANGES_BYTES:
            return None
    return held


def _noted(image: Image, known: Fingerprints) -> Iterator[bytes]:
    """Yield an image and take note of it."""
    for number, piece in enumerate(image.pieces()):
        known.write(number * PIECE_BYTES, piece)
        yield piece
    known.resize(image.size_bytes)
