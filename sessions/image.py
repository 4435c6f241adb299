"""The plain image of a store: read while nothing can change it, and held against what is sealed already.

The one rule: nothing of an image is kept but fingerprints of its blocks, 16 bytes for each 4 KiB, and they
mean nothing outside of this process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sessions.seal import BLOCK_BYTES, PIECE_BYTES

_CHUNK_BYTES = 16 * BLOCK_BYTES
_FINGERPRINT_BYTES = 16
_NONCE = bytes(12)
# Offsets in the header of a SQLite file: read and write version (2: write-ahead log), and the change counter.
_VERSIONS = slice(18, 20)
_COUNTER = slice(24, 28)
_HEADER_BYTES = 100
# Longer than any transaction of the client library.
_BUSY_SECONDS = 5.0
# SQLite's own waiting asks ever less often, and a worker that writes without a pause would shut us out.
_ASK_SECONDS = 0.001


class ImageError(Exception):
    """The plain store cannot be read as one image; the message says why."""


class Fingerprints:
    """What the sealed form of a store holds, block by block. Takes an image as it is read (`Sink`).

    A fingerprint is the tag of AES-GCM over a block: a keyed hash at the speed of memory. Tags under one
    nonce would help somebody who forges them; here nobody else ever sees one, and the key is as old as the
    object.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._blocks = bytearray()
        # Of sixteen blocks at once: most of an image is found unchanged by these. None: look at the blocks.
        self._chunks: list[bytes | None] = []

    def write(self, offset: int, data: bytes) -> None:
        """Take note that a part of the image is sealed; it begins at a block."""
        self._grow(offset + len(data))
        for start in range(0, len(data), BLOCK_BYTES):
            self._blocks[self._place(offset + start)] = self._fingerprint(data[start : start + BLOCK_BYTES])
        first, last = offset // _CHUNK_BYTES, (offset + max(len(data), 1) - 1) // _CHUNK_BYTES
        self._chunks[first : last + 1] = [None] * (last + 1 - first)

    def resize(self, size_bytes: int) -> None:
        """Take note of how large the sealed image is."""
        self._grow(size_bytes)
        del self._blocks[-(-size_bytes // BLOCK_BYTES) * _FINGERPRINT_BYTES :]
        del self._chunks[-(-size_bytes // _CHUNK_BYTES) :]
        if size_bytes % _CHUNK_BYTES and self._chunks:
            self._chunks[-1] = None
        self.size_bytes = size_bytes

    def changes(self, offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the blocks of a part of the image that are not sealed like this, with where they lie."""
        for start in range(0, len(data), _CHUNK_BYTES):
            yield from self._changes(offset + start, data[start : start + _CHUNK_BYTES])

    def _changes(self, offset: int, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        number, fingerprint = offset // _CHUNK_BYTES, self._fingerprint(chunk)
        if number < len(self._chunks) and self._chunks[number] == fingerprint:
            return
        is_same = number < len(self._chunks)
        for start in range(0, len(chunk), BLOCK_BYTES):
            block = chunk[start : start + BLOCK_BYTES]
            if self._blocks[self._place(offset + start)] != self._fingerprint(block):
                is_same = False
                yield offset + start, block
        if is_same:
            self._chunks[number] = fingerprint

    def _grow(self, size_bytes: int) -> None:
        lacking = -(-size_bytes // BLOCK_BYTES) * _FINGERPRINT_BYTES - len(self._blocks)
        self._blocks.extend(bytes(max(0, lacking)))
        self._chunks.extend([None] * (-(-size_bytes // _CHUNK_BYTES) - len(self._chunks)))

    def _place(self, offset: int) -> slice:
        start = offset // BLOCK_BYTES * _FINGERPRINT_BYTES
        return slice(start, start + _FINGERPRINT_BYTES)

    def _fingerprint(self, data: bytes) -> bytes:
        return self._cipher.encrypt(_NONCE, b"", data)


class PlainFile:
    """A sink that writes the image to a file.

    Args:
        descriptor: the file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, offset: int, data: bytes) -> None:
        """Write a part."""
        os.pwrite(self._descriptor, data, offset)

    def resize(self, size_bytes: int) -> None:
        """Give the file its size."""
        os.ftruncate(self._descriptor, size_bytes)


class Image:
    """A store's file while nothing can change it.

    Args:
        descriptor: the file, open for reading.
    """

    def __init__(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self.size_bytes = found.st_size
        self._descriptor = descriptor
        self._inode = found.st_ino
        self._header = os.pread(descriptor, _HEADER_BYTES, 0)

    @property
    def state(self) -> tuple[int, int, bytes]:
        """What is another one after each transaction: SQLite counts them in the file."""
        return self._inode, self.size_bytes, self._header[_COUNTER]

    def pieces(self) -> Iterator[bytes]:
        """Yield the image in order, in pieces of PIECE_BYTES.

        Raises:
            OSError: it cannot be read.
        """
        for offset in range(0, self.size_bytes, PIECE_BYTES):
            wanted = min(PIECE_BYTES, self.size_bytes - offset)
            piece = os.pread(self._descriptor, wanted, offset)
            if len(piece) != wanted:
                raise OSError(errno.EIO, "the store shrank while it was read")
            yield piece

    def changes(self, known: Fingerprints) -> Iterator[tuple[int, bytes]]:
        """Yield the blocks that are others than those that are known, with where they lie.

        Raises:
            OSError: it cannot be read.
        """
        for number, piece in enumerate(self.pieces()):
            yield from known.changes(number * PIECE_BYTES, piece)

    def require_whole(self) -> None:
        """See that the file alone is the image.

        Raises:
            ImageError: a write-ahead log belongs to it.
        """
        if b"\x02" in (self._header[_VERSIONS][:1], self._header[_VERSIONS][1:]):
            msg = "the store has a write-ahead log, which cannot be sealed"
            raise ImageError(msg)


@contextlib.contextmanager
def settled(database: Path) -> Iterator[Image]:
    """Yield the image of a store that others may be writing to: they wait for us, and we for them.

    No other connection of this process may be open on the file: the kernel drops all locks of a process on a
    file as soon as it closes any descriptor of it.

    Raises:
        ImageError: SQLite cannot read the store, or a transaction took too long.
        OSError: the file cannot be read.
    """
    uri = f"file:{urllib.parse.quote(str(database))}?mode=rw"
    descriptor = os.open(database, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
            connection.isolation_level = None
            _share(connection)
            image = Image(descriptor)
            image.require_whole()
            yield image
    except sqlite3.Error as error:
        raise ImageError(str(error)) from error
    finally:
        os.close(descriptor)


def _share(connection: sqlite3.Connection) -> None:
    """Take the shared lock, which also rolls back what a kill has left half done."""
    connection.execute("BEGIN")
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(_ASK_SECONDS)
        else:
            return
