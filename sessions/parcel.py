"""The file that an account travels in: a line that says what it is, then facts and store, sealed.

The one rule: what opens is the whole of one account as it was packed, and nothing else opens. The line in the
clear names format and account, and is bound into every frame, as is the purpose: a sealed store is no parcel,
and a parcel no sealed store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import BinaryIO

import msgspec

from sessions.keys import KeyRing, StoreKey
from sessions.messages import Identity
from sessions.seal import (
    Body,
    Chain,
    Mark,
    SealDamagedError,
    WrongKeyError,
    new_header,
    read_frame,
    read_header,
)
from sessions.sealed_file import Sink

FORMAT = 1
_KIND = 1
_LINE = re.compile(rb"TOWER-ACCOUNT ([0-9]{1,6}) (a-[a-z2-7]{10})\n")
_MAX_LINE_BYTES = 64
# One whole image, never appended to.
_MARK = Mark(sequence=1)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an account beside its store. Times are seconds since the epoch.

    Attributes:
        id: what the account was called inside of where it was packed.
        owner: who owned it there, for humans; who owns it next is not for a file to say.
    """

    id: str
    name: str
    owner: str
    exported_at: float
    created_at: float
    identity: Identity
    display_name: str | None = None
    expected_phone: str | None = None
    daily_limit: int | None = None
    per_minute_limit: int | None = None
    last_connected_at: float | None = None


def pack(file: BinaryIO, key: StoreKey, facts: Facts, pieces: Iterable[bytes], size_bytes: int) -> None:
    """Write an account to a file.

    Args:
        file: taken from where it stands.
        key: seals it.
        facts: beside the store.
        pieces: the store's image in order, none of them over PIECE_BYTES.
        size_bytes: how large the image is.

    Raises:
        OSError: it could not be written.
    """
    line = f"TOWER-ACCOUNT {FORMAT} {facts.id}\n".encode()
    header = new_header(key, kind=_KIND)
    chain = Chain(key, header, line)
    file.write(line + header.raw)
    note = msgspec.json.encode(facts)
    file.write(chain.seal(Body(mark=_MARK, size_bytes=size_bytes, note=note)))
    offset = 0
    for piece in pieces:
        file.write(chain.seal(Body(mark=_MARK, size_bytes=size_bytes, runs=[(offset, piece)])))
        offset += len(piece)
    file.write(chain.seal(Body(mark=_MARK, size_bytes=size_bytes, is_last=True)))
    file.flush()


class Parcel:
    """A file with an account in it, opened.

    Args:
        file: taken from where it stands.
        keys: one of them sealed it.

    Attributes:
        facts: what is known of the account.

    Raises:
        WrongKeyError: none of the keys sealed it.
        SealDamagedError: it is not what was packed, or of a later format.
        OSError: it cannot be read.
    """

    def __init__(self, file: BinaryIO, keys: KeyRing) -> None:
        line = file.readline(_MAX_LINE_BYTES)
        found = _LINE.fullmatch(line)
        if found is None:
            msg = "it is no exported account"
            raise SealDamagedError(msg)
        if int(found[1]) != FORMAT:
            msg = f"it is of format {int(found[1])}, which this towerd does not know: upgrade tower"
            raise SealDamagedError(msg)
        header = read_header(file)
        if header.kind != _KIND:
            msg = "it is no exported account"
            raise SealDamagedError(msg)
        if header.key_id not in keys:
            raise WrongKeyError(header.key_id)
        self._file = file
        self._chain = Chain(keys[header.key_id], header, line)
        self.facts = _facts(self._next().note)
        if self.facts.id.encode() != found[2]:
            msg = "it is of another account than it says"
            raise SealDamagedError(msg)

    def unpack(self, sink: Sink) -> None:
        """Hand the store's image to a sink; once.

        Raises:
            SealDamagedError: it is not what was packed, and what the sink has is of no use.
            OSError: it cannot be read, or the sink cannot take it.
        """
        body = self._next()
        while not body.is_last:
            for offset, piece in body.runs:
                sink.write(offset, piece)
            body = self._next()
        sink.resize(body.size_bytes)
        if self._file.read(1):
            msg = "something follows its end"
            raise SealDamagedError(msg)

    def _next(self) -> Body:
        frame = read_frame(self._file)
        if frame is None:
            msg = "it is cut off"
            raise SealDamagedError(msg)
        return self._chain.open(*frame)


def _facts(note: bytes) -> Facts:
    try:
        return msgspec.json.decode(note, type=Facts)
    except msgspec.MsgspecError as error:
        msg = f"what it says of the account cannot be read: {error}"
        raise SealDamagedError(msg) from error
