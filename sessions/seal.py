"""The format of the sealed form of a store: a header, then frames, each encrypted with AES-256-GCM.

A file is sealed with a key of its own, made of the store key and the salt in its header. A frame has a fresh
nonce and is bound to what the file is for, to its place and to the frame before it. Some frames in a row are
one seal: the first seal is a whole image, each further one what has changed since.

The one rule: a frame opens where it was written and nowhere else. That frames were exchanged between files,
dropped in the middle, repeated or put in another order is noticed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sessions.keys import KEY_ID_BYTES, StoreKey

BLOCK_BYTES = 4096
"""What changes are counted in; as large as a page of SQLite."""
PIECE_BYTES = 256 * BLOCK_BYTES
"""How much of an image one frame carries at most."""
COPY_BYTES = 16
SALT_BYTES = 32

_MAGIC = b"TOWERSTO"
_VERSION = 1
# Magic, version, how the key came to be, its id, salt.
_HEADER = struct.Struct(f">8sHH{KEY_ID_BYTES}s{SALT_BYTES}s")
# Length of the ciphertext, nonce, CRC of both: a damaged length must not pass for a write that was cut short.
_FRAME = struct.Struct(">I12sI")
_NONCE_BYTES = 12
_TAG_BYTES = 16
# Flags, sequence, copy, size of the image, number of runs, length of the note.
_BODY = struct.Struct(f">BQ{COPY_BYTES}sQII")
# First block, length in bytes.
_RUN = struct.Struct(">QI")
_COMMIT = 1
_MAX_FRAME_BYTES = 2 * PIECE_BYTES


class SealDamagedError(Exception):
    """A sealed file is not what was written; the message says how."""


class WrongKeyError(Exception):
    """A sealed file needs a key that is not there.

    Args:
        key_id: the key that it needs.
    """

    def __init__(self, key_id: bytes) -> None:
        super().__init__(f"it was sealed with the key {key_id.hex()}")
        self.key_id = key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Which seal this is, and of which copy of the store.

    Attributes:
        sequence: rises with every seal of an account, as long as the account is there.
        copy: the plain copy that was sealed; a new one whenever the store is unsealed.
    """

    sequence: int
    copy: bytes = bytes(COPY_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a frame says.

    Attributes:
        mark: the seal that it is a part of.
        size_bytes: how large the image is after that seal.
        runs: parts of the image and where they lie.
        note: something that is kept beside the image.
        is_last: the seal is complete with this frame.
    """

    mark: Mark
    size_bytes: int
    runs: Sequence[tuple[int, bytes]] = ()
    note: bytes = b""
    is_last: bool = False

    def encode(self) -> bytes:
        """Return it as bytes."""
        flags = _COMMIT if self.is_last else 0
        counts = len(self.runs), len(self.note)
        return b"".join(
            [
                _BODY.pack(flags, self.mark.sequence, self.mark.copy, self.size_bytes, *counts),
                *(_RUN.pack(offset, len(data)) for offset, data in self.runs),
                self.note,
                *(data for _, data in self.runs),
            ]
        )

    @classmethod
    def decode(cls, plain: bytes) -> Self:
        """Return what was encoded."""
        flags, sequence, copy, size_bytes, count, note_bytes = _BODY.unpack_from(plain)
        places = [_RUN.unpack_from(plain, _BODY.size + number * _RUN.size) for number in range(count)]
        at = _BODY.size + count * _RUN.size
        note, at = plain[at : at + note_bytes], at + note_bytes
        runs = []
        for offset, length in places:
            runs.append((offset, plain[at : at + length]))
            at += length
        mark = Mark(sequence=sequence, copy=copy)
        return cls(mark=mark, size_bytes=size_bytes, runs=runs, note=note, is_last=bool(flags & _COMMIT))


class Chain:
    """Seals and opens the frames of one file, one after the other.

    Args:
        key: the store key.
        header: how the file begins.
        context: what the file is for, such as an account's id.
    """

    def __init__(self, key: StoreKey, header: Header, context: bytes) -> None:
        self._cipher = AESGCM(_file_key(key, header.salt, context))
        self._prefix = header.raw + len(context).to_bytes(2, "big") + context
        self._number = 0
        self._tag = bytes(_TAG_BYTES)

    def copy(self) -> Chain:
        """Return a chain that goes on from the same place."""
        other = object.__new__(Chain)
        other.__dict__.update(self.__dict__)
        return other

    def seal(self, body: Body) -> bytes:
        """Return the next frame."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, body.encode(), self._place())
        self._follow(sealed)
        length = len(sealed)
        return _FRAME.pack(length, nonce, _check(length, nonce)) + sealed

    def open(self, nonce: bytes, sealed: bytes) -> Body:
        """Return what the next frame says.

        Raises:
            SealDamagedError: this is not the frame that was written here.
        """
        try:
            plain = self._cipher.decrypt(nonce, sealed, self._place())
        except InvalidTag:
            msg = f"frame {self._number} is not the one that was written"
            raise SealDamagedError(msg) from None
        self._follow(sealed)
        return Body.decode(plain)

    def _place(self) -> bytes:
        return self._prefix + self._number.to_bytes(8, "big") + self._tag

    def _follow(self, sealed: bytes) -> None:
        self._number += 1
        self._tag = sealed[-_TAG_BYTES:]


def _file_key(key: StoreKey, salt: bytes, context: bytes) -> bytes:
    """Derive the key of one file (HKDF, RFC 5869): no two files share one, so no nonce can meet another's."""
    extracted = hmac.digest(salt, key.secret, hashlib.sha256)
    return hmac.digest(extracted, b"tower: sealed file" + context + b"\x01", hashlib.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """How a file begins.

    Attributes:
        raw: the bytes of it.
        kind: how the key came to be.
        key_id: which key it is.
        salt: makes the file's own key of it.
    """

    raw: bytes
    kind: int
    key_id: bytes
    salt: bytes


def new_header(key: StoreKey, *, kind: int = 0, salt: bytes | None = None) -> Header:
    """Return the beginning of a new file.

    Args:
        key: seals it.
        kind: how the key came to be; 0: as it is.
        salt: random bytes; None makes new ones.
    """
    salt = salt or os.urandom(SALT_BYTES)
    raw = _HEADER.pack(_MAGIC, _VERSION, kind, key.id, salt)
    return Header(raw=raw, kind=kind, key_id=key.id, salt=salt)


def read_header(file: BinaryIO) -> Header:
    """Read the beginning of a file.

    Raises:
        SealDamagedError: it is no sealed file, or one of a later version.
    """
    raw = file.read(_HEADER.size)
    if len(raw) < _HEADER.size:
        msg = "it is cut off"
        raise SealDamagedError(msg)
    magic, version, kind, key_id, salt = _HEADER.unpack(raw)
    if magic != _MAGIC:
        msg = "it is not a sealed file"
        raise SealDamagedError(msg)
    if version != _VERSION:
        msg = f"it is of version {version}, which this towerd does not know"
        raise SealDamagedError(msg)
    return Header(raw=raw, kind=kind, key_id=key_id, salt=salt)


def read_frame(file: BinaryIO) -> tuple[bytes, bytes] | None:
    """Read the next frame: its nonce and what is sealed.

    Returns:
        None at the end, and for a frame that was cut short there.

    Raises:
        SealDamagedError: it is none.
    """
    start = file.read(_FRAME.size)
    if len(start) < _FRAME.size:
        return None
    length, nonce, check = _FRAME.unpack(start)
    if check != _check(length, nonce) or not _TAG_BYTES <= length <= _MAX_FRAME_BYTES:
        if _is_empty(start, file):
            # What some file systems leave of a write that a loss of power cut short.
            return None
        msg = "something that is no frame stands between the frames"
        raise SealDamagedError(msg)
    sealed = file.read(length)
    return (nonce, sealed) if len(sealed) == length else None


def _check(length: int, nonce: bytes) -> int:
    return zlib.crc32(nonce, length)


def _is_empty(start: bytes, file: BinaryIO) -> bool:
    """Tell whether there is nothing but zeros to the end."""
    if any(start):
        return False
    while data := file.read(PIECE_BYTES):
        if any(data):
            return False
    return True
