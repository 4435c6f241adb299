"""Parameters and results of `account.export`, `account.adopt` and the methods `transfer.*`.

The one rule: a key goes in and never comes out, and what travels is sealed.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from towerd.protocol.parameters import Params, RowId, Selector, Text
from towerd.protocol.types import Account, Wire

_Key = Annotated[str, msgspec.Meta(max_length=100)]
_TransferId = Annotated[str, msgspec.Meta(max_length=64)]
# Room for PIECE_BYTES of towerd/transfers.py in base64.
_Piece = Annotated[str, msgspec.Meta(max_length=600_000)]


class Export(Params, frozen=True, kw_only=True):
    """What `account.export` takes: the account, and 32 bytes in base64; without, the key of the stores."""

    account: Selector
    key: _Key | None = None


class Adopt(Params, frozen=True, kw_only=True):
    """What `account.adopt` takes; `owner` is a user by name or number, without it the caller."""

    transfer: _TransferId
    key: _Key | None = None
    name: Text | None = None
    owner: Text | None = None
    start: bool = True


class ReadTransfer(Params, frozen=True, kw_only=True):
    """What `transfer.read` takes."""

    transfer: _TransferId
    offset: RowId = 0


class WriteTransfer(Params, frozen=True, kw_only=True):
    """What `transfer.write` takes: a piece in base64, and where it goes."""

    transfer: _TransferId
    data: _Piece
    offset: RowId = 0


class ExportResult(Wire, frozen=True, kw_only=True):
    """The account, exported now, and the transfer that hands the file out; `key` is the id of its key."""

    account: Account
    transfer: str
    size_bytes: int
    key: str


class Origin(Wire, frozen=True, kw_only=True):
    """Where an account comes from."""

    id: str
    name: str
    owner: str
    exported_at: str


class AdoptResult(Wire, frozen=True, kw_only=True):
    """The account: created, or one that was exported from here and has returned."""

    account: Account
    outcome: Literal["created", "returned"]
    origin: Origin


class TransferResult(Wire, frozen=True, kw_only=True):
    """A transfer, and how much of its file is here."""

    transfer: str
    size_bytes: int


class PieceResult(Wire, frozen=True, kw_only=True):
    """A piece in base64, and where the next one begins; null at the end, and the transfer is over."""

    data: str
    next_offset: int | None
