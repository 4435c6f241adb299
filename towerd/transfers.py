"""Files on their way through the socket, piece by piece.

The one rule: what lies on the disk meanwhile is sealed, has no name there, and belongs to the user who began;
nobody else can name it, and it is gone when it has arrived, when nobody asks for it any more, or with towerd.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from towerd.clock import Clock
from towerd.protocol.errors import Field, TowerError

PIECE_BYTES = 384 * 1024
"""As much as fits into a line of the protocol in base64."""
MOST = 4
"""Transfers at a time."""
IDLE_SECONDS = 120.0
"""One that nobody asks for as long as this is given up."""


@dataclass(slots=True, kw_only=True, eq=False)
class Transfer:
    """A file on its way.

    Attributes:
        id: names it to whoever began it.
        uid: who that is.
        file: takes and gives the bytes.
        turn: one asks at a time.
        used_at: on the monotonic clock.
    """

    id: str
    uid: int
    file: BinaryIO
    used_at: float
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def size_bytes(self) -> int:
        """How much of it is here."""
        return os.fstat(self.file.fileno()).st_size

    async def read(self, offset: int) -> bytes:
        """Return a piece.

        Raises:
            OSError: it cannot be read.
        """
        return await asyncio.to_thread(os.pread, self.file.fileno(), PIECE_BYTES, offset)

    async def write(self, offset: int, data: bytes) -> None:
        """Take a piece.

        Raises:
            TowerError: `invalid-field`, it would leave a gap.
            OSError: it cannot be written.
        """
        if offset > self.size_bytes:
            why = f"must be at most {self.size_bytes}: so much is here"
            raise TowerError("invalid-field", f"offset: {why}", fields=(Field(field="offset", why=why),))
        await asyncio.to_thread(_write, self.file.fileno(), data, offset)


class Transfers:
    """All files that are on their way.

    Args:
        directory: where they lie; on its file system.
        clock: times them out.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._transfers: dict[str, Transfer] = {}

    def begin(self, uid: int) -> Transfer:
        """Begin a transfer.

        Raises:
            TowerError: `too-busy`.
            OSError: there is no room for it.
        """
        if len(self._transfers) >= MOST:
            raise TowerError(
                "too-busy",
                f"{MOST} files are on their way already",
                hint=f"try again when they have arrived, or in {IDLE_SECONDS:.0f} seconds",
            )
        file = cast("BinaryIO", tempfile.TemporaryFile(dir=self._directory))  # noqa: SIM115 - outlives us
        transfer = Transfer(id=secrets.token_hex(16), uid=uid, file=file, used_at=self._clock.monotonic())
        self._transfers[transfer.id] = transfer
        self._look_again(transfer)
        return transfer

    @contextlib.asynccontextmanager
    async def use(self, transfer_id: str, uid: int) -> AsyncIterator[Transfer]:
        """Yield a transfer to the user who began it, and to nobody else meanwhile.

        Raises:
            TowerError: `invalid-field`, there is none.
        """
        transfer = self._transfers.get(transfer_id)
        if transfer is not None and transfer.uid == uid:
            async with transfer.turn:
                if not transfer.file.closed:
                    yield transfer
                    transfer.used_at = self._clock.monotonic()
                    return
        why = "there is none, or it was given up"
        raise TowerError("invalid-field", f"transfer: {why}", fields=(Field(field="transfer", why=why),))

    def end(self, transfer: Transfer) -> None:
        """Let a file go; whoever calls has its turn, or nobody has."""
        self._transfers.pop(transfer.id, None)
        transfer.file.close()

    def close(self) -> None:
        """Let all files go."""
        for transfer in list(self._transfers.values()):
            self.end(transfer)

    def _look_again(self, transfer: Transfer) -> None:
        asyncio.get_running_loop().call_later(IDLE_SECONDS / 2, self._expire, transfer)

    def _expire(self, transfer: Transfer) -> None:
        if transfer.file.closed:
            return
        is_idle = self._clock.monotonic() - transfer.used_at >= IDLE_SECONDS
        if is_idle and not transfer.turn.locked():
            self.end(transfer)
        else:
            self._look_again(transfer)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written
