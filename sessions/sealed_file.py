"""A sealed file on the disk: opened, appended to, and replaced by a new one.

The one rule: what is read is exactly what an append or a new file had completed, or it is an error. That the
end was cut off, or that an older file was put back, is all that the file itself cannot tell.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from sessions.keys import KeyRing, StoreKey
from sessions.seal import (
    PIECE_BYTES,
    Body,
    Chain,
    Header,
    Mark,
    SealDamagedError,
    WrongKeyError,
    new_header,
    read_frame,
    read_header,
)
from sessions.store import sync_directory


class Sink(Protocol):
    """Takes an image as it is read."""

    def write(self, offset: int, data: bytes) -> None:
        """Take a part of the image."""

    def resize(self, size_bytes: int) -> None:
        """Take note of how large the image is; what lies behind is gone."""


class SealedFile:
    """An open sealed file.

    Args:
        descriptor: owned from now on.
        header: how the file begins.
        chain: seals its next frame.

    Attributes:
        mark: the last seal.
        size_bytes: how large the image is.
        note: what is kept beside the image.
        base_bytes: how much of the file is its first seal, the base.
        end: where the last seal ends.
        is_broken: an append failed; only a new file may follow.
    """

    def __init__(self, descriptor: int, header: Header, chain: Chain) -> None:
        self.header = header
        self.mark = Mark(sequence=0)
        self.size_bytes = 0
        self.note = b""
        self.base_bytes = 0
        self.end = 0
        self.is_broken = False
        self._descriptor = descriptor
        self._chain = chain

    @property
    def log_bytes(self) -> int:
        """How much of the file was appended to its base."""
        return self.end - self.base_bytes

    def append(self, mark: Mark, size_bytes: int, runs: Sequence[tuple[int, bytes]]) -> None:
        """Add what has changed; it is on the disk when this returns.

        Args:
            mark: which seal this is.
            size_bytes: how large the image is now.
            runs: what has changed and where it lies.

        Raises:
            OSError: it could not be written; the seal before is still the last one.
        """
        chain = self._chain.copy()
        frames = b"".join(chain.seal(body) for body in _bodies(mark, size_bytes, runs))
        try:
            # What an append has left half done: nobody was told that it was sealed.
            os.ftruncate(self._descriptor, self.end)
            _write(self._descriptor, frames, self.end)
            os.fdatasync(self._descriptor)
        except OSError:
            self.is_broken = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.end)
            raise
        self._chain = chain
        self.mark, self.size_bytes, self.end = mark, size_bytes, self.end + len(frames)

    def read(self, sink: Sink) -> None:
        """Read all that is complete, from the beginning; nothing is changed by it.

        Raises:
            SealDamagedError: it is not what was written.
            OSError: it cannot be read.
        """
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(len(self.header.raw))
            self._read_base(file, sink)
            while seal := self._next_seal(file):
                for body in seal:
                    _hand(body, sink)
                self._take(seal[-1], file.tell(), sink)

    def close(self) -> None:
        """Close the file; nothing may be done with it any more."""
        os.close(self._descriptor)

    def _read_base(self, file: BinaryIO, sink: Sink) -> None:
        """Read the base frame by frame: it is as large as the image, and there is none without it."""
        while (frame := read_frame(file)) is not None:
            body = self._chain.open(*frame)
            self.note += body.note
            _hand(body, sink)
            if body.is_last:
                self._take(body, file.tell(), sink)
                self.base_bytes = self.end
                return
        msg = "its base is cut off"
        raise SealDamagedError(msg)

    def _next_seal(self, file: BinaryIO) -> list[Body]:
        """Return the frames of the next seal; none when no complete one follows."""
        chain, seal = self._chain.copy(), list[Body]()
        while (frame := read_frame(file)) is not None:
            seal.append(chain.open(*frame))
            if seal[-1].is_last:
                self._chain = chain
                return seal
        return []

    def _take(self, last: Body, end: int, sink: Sink) -> None:
        sink.resize(last.size_bytes)
        self.mark, self.size_bytes, self.end = last.mark, last.size_bytes, end


def open_sealed(path: Path, keys: KeyRing, context: bytes, sink: Sink) -> SealedFile:
    """Open a file, hand its image to a sink, and be ready to append.

    Args:
        path: the file.
        keys: one of them sealed it.
        context: what it is for.
        sink: takes the image.

    Raises:
        WrongKeyError: none of the keys sealed it.
        SealDamagedError: it is not what was written.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        with open(descriptor, "rb", closefd=False) as file:
            header = read_header(file)
        sealed = SealedFile(descriptor, header, Chain(_key_for(header, keys), header, context))
        sealed.read(sink)
    except BaseException:
        os.close(descriptor)
        raise
    return sealed


def _key_for(header: Header, keys: KeyRing) -> StoreKey:
    if header.key_id not in keys:
        raise WrongKeyError(header.key_id)
    return keys[header.key_id]


class Draft:
    """A sealed file that is written beside the one that it is going to replace.

    Args:
        path: where it goes.
        key: seals it.
        context: what it is for; nothing else opens it.
        header: how it begins; None: as a store does.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, key: StoreKey, context: bytes, *, header: Header | None = None) -> None:
        self._path = path
        self._beside = path.with_name(f"{path.name}.new")
        self._header = header or new_header(key)
        self._chain = Chain(key, self._header, context)
        self._last = Body(mark=Mark(sequence=0), size_bytes=0)
        self._end = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._descriptor = os.open(self._beside, flags, 0o600)

    def write(self, pieces: Iterable[bytes], *, mark: Mark, size_bytes: int, note: bytes = b"") -> None:
        """Write the whole image; it need not be on the disk yet.

        Args:
            pieces: the image in order, none of them over PIECE_BYTES.
            mark: which seal this is.
            size_bytes: how large the image is.
            note: is kept beside it.

        Raises:
            OSError: it could not be written.
        """
        self._add(self._header.raw)
        offset = 0
        for piece in pieces:
            self._add(self._chain.seal(Body(mark=mark, size_bytes=size_bytes, runs=[(offset, piece)])))
            offset += len(piece)
        self._last = Body(mark=mark, size_bytes=size_bytes, note=note, is_last=True)
        self._add(self._chain.seal(self._last))

    def finish(self) -> SealedFile:
        """Bring it to the disk and put it into its place.

        Raises:
            OSError: the disk failed; in its place is the old file or the new one, complete either way.
        """
        os.fsync(self._descriptor)
        self._beside.rename(self._path)
        sync_directory(self._path.parent)
        sealed = SealedFile(self._descriptor, self._header, self._chain)
        sealed.mark, sealed.size_bytes, sealed.note = self._last.mark, self._last.size_bytes, self._last.note
        sealed.base_bytes = sealed.end = self._end
        return sealed

    def drop(self) -> None:
        """Give it up; what it was going to replace stays."""
        os.close(self._descriptor)
        self._beside.unlink(missing_ok=True)

    def _add(self, data: bytes) -> None:
        _write(self._descriptor, data, self._end)
        self._end += len(data)


def _hand(body: Body, sink: Sink) -> None:
    for offset, data in body.runs:
        sink.write(offset, data)


def _bodies(mark: Mark, size_bytes: int, runs: Sequence[tuple[int, bytes]]) -> Iterator[Body]:
    """Spread runs over frames; at least one, the last of which completes the seal."""
    part, part_bytes = list[tuple[int, bytes]](), 0
    for offset, data in runs:
        if part_bytes + len(data) > PIECE_BYTES:
            yield Body(mark=mark, size_bytes=size_bytes, runs=part)
            part, part_bytes = [], 0
        part.append((offset, data))
        part_bytes += len(data)
    yield Body(mark=mark, size_bytes=size_bytes, runs=part, is_last=True)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of it; the kernel may take less at a time."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written
