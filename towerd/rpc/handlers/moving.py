"""The methods that move an account: `account.export`, `account.adopt` and `transfer.*`.

The one rule: what goes through the socket is sealed, and only the user who began a transfer gets at it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Literal

from sessions.keys import KeyRing, StoreKey, ring
from towerd.clock import rfc3339
from towerd.protocol import moving as wire
from towerd.protocol.errors import Field, TowerError
from towerd.protocol.methods import Nothing
from towerd.rpc.call import Call
from towerd.rpc.handlers.keys import key_of
from towerd.supervision.keeper import Keeper
from towerd.supervision.names import check_name
from towerd.supervision.supervisor import invalid
from towerd.supervision.uninterrupted import uninterrupted
from towerd.supervision.view import account_to_wire
from towerd.transfers import Transfer
from towerd.users import Users

if TYPE_CHECKING:
    from sessions.parcel import Parcel

_MAX_UID = 2**32 - 2
_NO_KEY = "make one, and name it: towerctl key generate -o FILE, then --key-file FILE"


async def export(call: Call, params: wire.Export) -> wire.ExportResult:
    """Stop an account for good, and hand it out as a sealed file."""
    keeper = call.find(params.account)
    key = key_of(params.key) if params.key is not None else call.services.stores.key
    if key is None:
        raise TowerError("wrong-state", "towerd has no key that could seal the file", hint=_NO_KEY)
    call.notes.append(f"key {key.name}")
    transfer = call.services.transfers.begin(call.peer.uid)
    await _pack(call, keeper, key, transfer)
    address = call.address(keeper.account.record)
    return wire.ExportResult(
        account=account_to_wire(keeper, call.services.clock, address=address),
        transfer=transfer.id,
        size_bytes=transfer.size_bytes,
        key=key.name,
    )


@uninterrupted
async def _pack(call: Call, keeper: Keeper, key: StoreKey, transfer: Transfer) -> None:
    """Pack the account, whoever waits for it; nobody closes the file meanwhile."""
    async with transfer.turn:
        try:
            await keeper.moving.export(key, transfer.file)
        except BaseException:
            call.services.transfers.end(transfer)
            raise


async def adopt(call: Call, params: wire.Adopt) -> wire.AdoptResult:
    """Take over an account that was exported, with its device."""
    keys = ring(key_of(params.key)) if params.key is not None else call.services.stores.ring
    if not keys:
        raise TowerError("wrong-state", "towerd has no key that could open the file", hint=_NO_KEY)
    owner_uid = await _owner(call, params.owner)
    return await _adopt(call, params, keys, owner_uid)


@uninterrupted
async def _adopt(call: Call, params: wire.Adopt, keys: KeyRing, owner_uid: int) -> wire.AdoptResult:
    from sessions.seal import SealDamagedError, WrongKeyError

    transfers = call.services.transfers
    async with transfers.use(params.transfer, call.peer.uid) as transfer:
        try:
            parcel = await asyncio.to_thread(_opened, transfer, keys)
            outcome, keeper = await _settle_in(call, params, parcel, owner_uid)
        except WrongKeyError as error:
            hint = "name the key that it was exported with: --key-file FILE"
            raise TowerError("export-invalid", f"the file cannot be opened: {error}", hint=hint) from error
        except SealDamagedError as error:
            hint = "export the account once more, or take another copy of the file"
            raise TowerError("export-invalid", f"the file cannot be used: {error}", hint=hint) from error
        finally:
            transfers.end(transfer)
    facts, record = parcel.facts, keeper.account.record
    call.about.append(record)
    call.notes.append(f"{outcome}, from {facts.id}")
    return wire.AdoptResult(
        account=account_to_wire(keeper, call.services.clock, address=call.address(record)),
        outcome=outcome,
        origin=wire.Origin(
            id=facts.id, name=facts.name, owner=facts.owner, exported_at=rfc3339(facts.exported_at)
        ),
    )


def _opened(transfer: Transfer, keys: KeyRing) -> Parcel:
    from sessions.parcel import Parcel

    transfer.file.seek(0)
    return Parcel(transfer.file, keys)


async def _settle_in(
    call: Call, params: wire.Adopt, parcel: Parcel, owner_uid: int
) -> tuple[Literal["created", "returned"], Keeper]:
    """Give a parcel's store to the account that it was taken from, or to a new one."""
    supervisor, identity = call.services.supervisor, parcel.facts.identity
    former = supervisor.exported(identity)
    if former is not None:
        await former.moving.take_back(parcel, start=params.start)
        return "returned", former
    supervisor.require_unclaimed(identity, owner_uid)
    name = params.name or parcel.facts.name
    if mistakes := check_name(name):
        raise invalid(mistakes)
    return "created", await supervisor.adopt(parcel, owner_uid=owner_uid, name=name, start=params.start)


async def _owner(call: Call, owner: str | None) -> int:
    """Return who is to own the account.

    Raises:
        TowerError: `invalid-field`, there is no such user.
    """
    if owner is None:
        return call.peer.uid
    uid = await asyncio.to_thread(Users().uid_of, owner)
    if uid is None or uid > _MAX_UID:
        raise invalid([Field(field="owner", why=f"there is no user {owner}")])
    return uid


async def begin(call: Call, params: Nothing) -> wire.TransferResult:  # noqa: ARG001
    """Begin to hand a file in."""
    transfer = call.services.transfers.begin(call.peer.uid)
    return wire.TransferResult(transfer=transfer.id, size_bytes=0)


async def write(call: Call, params: wire.WriteTransfer) -> wire.TransferResult:
    """Hand a piece of a file in."""
    try:
        data = base64.b64decode(params.data, validate=True)
    except (binascii.Error, ValueError):
        raise invalid([Field(field="data", why="must be base64")]) from None
    async with call.services.transfers.use(params.transfer, call.peer.uid) as transfer:
        await transfer.write(params.offset, data)
        return wire.TransferResult(transfer=transfer.id, size_bytes=transfer.size_bytes)


async def read(call: Call, params: wire.ReadTransfer) -> wire.PieceResult:
    """Hand a piece of a file out; with the last one the transfer is over."""
    async with call.services.transfers.use(params.transfer, call.peer.uid) as transfer:
        data = await transfer.read(params.offset)
        end = params.offset + len(data)
        is_over = end >= transfer.size_bytes
        if is_over:
            call.services.transfers.end(transfer)
    return wire.PieceResult(data=base64.b64encode(data).decode(), next_offset=None if is_over else end)
