"""Builders of keys, images and sealed files."""

from __future__ import annotations

from pathlib import Path

from sessions.keys import StoreKey, ring
from sessions.seal import PIECE_BYTES, Mark
from sessions.sealed_file import Draft, SealedFile, open_sealed

KEY = StoreKey(bytes(range(32)))
OTHER_KEY = StoreKey(bytes(range(1, 33)))
CONTEXT = b"a-abcdefghij"


class Memory:
    """A sink that keeps the image."""

    def __init__(self) -> None:
        self.image = bytearray()

    def write(self, offset: int, data: bytes) -> None:
        self.image.extend(bytes(max(0, offset + len(data) - len(self.image))))
        self.image[offset : offset + len(data)] = data

    def resize(self, size_bytes: int) -> None:
        self.image.extend(bytes(max(0, size_bytes - len(self.image))))
        del self.image[size_bytes:]


def pieces_of(image: bytes) -> list[bytes]:
    """Return an image in pieces."""
    return [image[start : start + PIECE_BYTES] for start in range(0, len(image), PIECE_BYTES)]


def seal_image(path: Path, image: bytes, *, sequence: int = 1, key: StoreKey = KEY) -> SealedFile:
    """Seal an image as a new file."""
    draft = Draft(path, key, CONTEXT)
    draft.write(pieces_of(image), mark=Mark(sequence=sequence), size_bytes=len(image))
    return draft.finish()


def opened(path: Path, *keys: StoreKey, context: bytes = CONTEXT) -> tuple[SealedFile, bytes]:
    """Open a sealed file and return it with its image."""
    memory = Memory()
    sealed = open_sealed(path, ring(*(keys or (KEY,))), context, memory)
    return sealed, bytes(memory.image)


def append_to(path: Path, image: bytes) -> None:
    """Append a whole image as the next seal."""
    sealed, _ = opened(path)
    runs = [(number * PIECE_BYTES, piece) for number, piece in enumerate(pieces_of(image))]
    sealed.append(Mark(sequence=sealed.mark.sequence + 1), len(image), runs)
    sealed.close()


def image_of(path: Path) -> tuple[int, bytes]:
    """Return the sequence of the last seal and the image."""
    sealed, image = opened(path)
    sealed.close()
    return sealed.mark.sequence, image
