"""An account that goes elsewhere with its device, and one that comes back.

The one rule: the fence is on the disk before the first byte of the store leaves, and goes only when all of a
store has come back; what is killed in between leaves a device that nobody logs in with from here.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, BinaryIO

from sessions.fence import Fence, lift_fence, raise_fence, read_fence
from sessions.keys import StoreKey
from sessions.messages import Identity
from sessions.states import State
from sessions.store import Store, StoreLockedError, delete, private
from towerd.accounts.records import AccountRecord
from towerd.protocol.errors import ACCOUNT, TowerError
from towerd.supervision.declared import columns_to_run
from towerd.supervision.lifecycle import Lifecycle
from towerd.supervision.reconcile import Finding, reconcile
from towerd.supervision.uninterrupted import uninterrupted
from towerd.users import user_name

if TYPE_CHECKING:
    from sessions.parcel import Facts, Parcel

ELSEWHERE = "its device went elsewhere with an export and stays linked there"
"""What is told of an account whose device is forgotten here and nowhere else."""

_UNSETTLED = frozenset({State.PAIRING, State.AUTHENTICATED, State.LOGGED_OUT})


class Moving:
    """Takes one account away, and back.

    Args:
        life: the account's lifecycle.
        turn: waits for the account's turn.
        stop: takes it offline.
    """

    def __init__(
        self,
        life: Lifecycle,
        *,
        turn: Callable[[], AbstractAsyncContextManager[None]],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        self._life = life
        self._account = life.account
        self._carrier = life.carrier
        self._turn = turn
        self._stop = stop

    @property
    def is_exported(self) -> bool:
        """True while somebody else holds the device."""
        return self._life.is_fenced

    def require_here(self) -> None:
        """Insist that the device is here.

        Raises:
            TowerError: `wrong-state`, it went elsewhere.
        """
        if self.is_exported:
            raise TowerError(
                "wrong-state",
                f"{self._account.name} was exported: its device is elsewhere, and must not run twice",
                hint="take it back with a file: towerctl adopt FILE, or forget the device here: "
                f"towerctl unpair {ACCOUNT} --yes",
            )

    async def settle(self) -> bool:
        """Finish an arrival that was cut short; return whether the device is elsewhere."""
        if read_fence(self._carrier.store.home) is Fence.ARRIVING:
            # The account is in the registry, so its store was complete.
            await asyncio.to_thread(lift_fence, self._carrier.store.home)
        return self.is_exported

    @uninterrupted
    async def export(self, key: StoreKey, file: BinaryIO) -> None:
        """Stop the account for good, fence its device, and pack both; may be repeated.

        Args:
            key: seals the file.
            file: takes it.

        Raises:
            TowerError: `wrong-state`, there is no device to take; `store-damaged`; `registry-unavailable`.
            OSError: the fence or the file could not be written.
        """
        async with self._turn():
            self._require_movable()
            await self._account.intend(desired="stopped")
            await self._stop()
            await self._require_device()
            if not self.is_exported:
                await asyncio.to_thread(raise_fence, self._carrier.store.home, Fence.EXPORTED)
                self._account.emit("account.exported", {"key": key.name})
            self._life.rest()
            await self._life.around.ledger.settle()
            facts = facts_of(self._account.record, now=self._life.around.clock.now())
            await self._carrier.lend(lambda store: _pack(store, key, facts, file))

    @uninterrupted
    async def take_back(self, parcel: Parcel, *, start: bool) -> None:
        """Put the store of a parcel in the place of the one that was exported, and lift the fence.

        Args:
            parcel: with the same device.
            start: log in again.

        Raises:
            TowerError: `wrong-state`, it is here; `store-damaged`, the parcel holds another device.
            SealDamagedError: the parcel is damaged; nothing has changed.
            OSError: the disk does not let us; the fence stands.
        """
        async with self._turn():
            if not self.is_exported:
                raise TowerError("wrong-state", f"{self._account.name} is here already")
            await asyncio.to_thread(bring, self._carrier.store, parcel)
            await self._require_device()
            record = self._account.record
            await self._account.intend(**(columns_to_run(record) if start else {"desired": "stopped"}))
            await asyncio.to_thread(lift_fence, self._carrier.store.home)
            self._account.emit("account.adopted", {"from": parcel.facts.id, "outcome": "returned"})
            if start:
                await self._life.start()
            else:
                self._life.rest()
            await self._life.around.ledger.settle()

    def _require_movable(self) -> None:
        record = self._account.record
        if not (record.is_linked and record.is_confirmed) or record.state in _UNSETTLED or record.intent:
            raise TowerError(
                "wrong-state",
                f"{record.name} is {record.state.value}: there is no device that could go elsewhere",
                hint=f"see how it is: towerctl show {ACCOUNT}",
            )

    async def _require_device(self) -> None:
        """Insist that the store holds the account's device, and can be read."""
        report = await self._carrier.look()
        finding = reconcile(self._account.record, report)
        if finding is not Finding.SAME_DEVICE:
            raise TowerError(
                "store-damaged",
                f"the store of {self._account.name} cannot be used ({finding.value}): "
                f"{report.detail or 'it holds another device, or none'}",
                hint=f"see what helps: towerctl start {ACCOUNT}; towerctl show {ACCOUNT}",
            )


def facts_of(record: AccountRecord, *, now: float) -> Facts:
    """Return what travels of an account beside its store."""
    # Only now: with it comes what encrypts, 8 MB that a daemon without a key need not have.
    from sessions.parcel import Facts

    assert record.jid is not None
    assert record.device_number is not None
    return Facts(
        id=record.id,
        name=record.name,
        owner=user_name(record.owner_uid),
        exported_at=now,
        created_at=record.created_at,
        identity=Identity(
            jid=record.jid,
            device_number=record.device_number,
            lid=record.lid,
            push_name=record.push_name,
            business_name=record.business_name,
            platform=record.platform,
        ),
        display_name=record.display_name,
        expected_phone=record.expected_phone,
        daily_limit=record.daily_limit,
        per_minute_limit=record.per_minute_limit,
        last_connected_at=record.last_connected_at,
    )


def bring(store: Store, parcel: Parcel) -> None:
    """Put the store of a parcel into its place; its fence, if there is one, stays.

    Raises:
        SealDamagedError: the parcel is damaged; what was there is there still.
        OSError: the disk does not let us.
    """
    from sessions.image import PlainFile

    delete(store.arrival)
    try:
        with open(store.arrival, "xb", opener=private) as file:
            parcel.unpack(PlainFile(file.fileno()))
        store.install(store.arrival)
    finally:
        delete(store.arrival)


def bring_new(store: Store, parcel: Parcel) -> None:
    """Put the store of a parcel where there was none, behind a fence.

    Raises:
        SealDamagedError: the parcel is damaged, or holds another device than it says; nothing is left.
        OSError: the disk does not let us; nothing is left.
    """
    try:
        store.ensure()
        raise_fence(store.home, Fence.ARRIVING)
        bring(store, parcel)
        _require_held(store, parcel.facts.identity)
        store.put_away()
    except BaseException:
        store.remove()
        raise


def _require_held(store: Store, identity: Identity) -> None:
    """Insist that a store holds a device.

    Raises:
        SealDamagedError: it holds another, or none, or cannot be used.
    """
    from sessions.seal import SealDamagedError

    report = store.classify()
    held = report.identity
    if held is None:
        msg = f"its store cannot be used: {report.detail or report.kind.value}"
        raise SealDamagedError(msg)
    if (held.jid, held.device_number) != (identity.jid, identity.device_number):
        msg = "its store holds another device than it says"
        raise SealDamagedError(msg)


def _pack(store: Store, key: StoreKey, facts: Facts, file: BinaryIO) -> None:
    from sessions.image import ImageError, settled
    from sessions.parcel import pack

    try:
        with store.lock(), settled(store.database) as image:
            pack(file, key, facts, image.pieces(), image.size_bytes)
    except (ImageError, StoreLockedError) as error:
        raise OSError(errno.EIO, f"the store cannot be read: {error}") from error
