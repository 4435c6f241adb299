"""All keepers: restored at the start, added and removed, closed at the end.

The one rule: one account that cannot start never keeps another from starting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from sessions.messages import Identity
from sessions.states import State
from towerd.accounts.records import AccountRecord, account_event
from towerd.accounts.transactions import NameTakenError
from towerd.protocol.errors import Field, TowerError
from towerd.supervision.declared import reason_to_rest
from towerd.supervision.keeper import Keeper
from towerd.supervision.logout import LogoutReport
from towerd.supervision.moving import bring_new
from towerd.supervision.names import check_display_name, check_name
from towerd.supervision.surroundings import Surroundings
from towerd.supervision.uninterrupted import uninterrupted

if TYPE_CHECKING:
    from sessions.parcel import Facts, Parcel

log = logging.getLogger(__name__)

_SETTLED_SECONDS = 30.0
PATROL_SECONDS = 5.0
_DAY_SECONDS = 5.0


class Supervisor:
    """The pool of accounts.

    Args:
        around: the daemon's parts, handed to every keeper.
        randomness: spreads the starts.

    Attributes:
        is_taken_up: of each account of the last run, by id, whether it has been taken up again.
    """

    def __init__(self, around: Surroundings, randomness: random.Random | None = None) -> None:
        self._around = around
        self._randomness = randomness or random.Random()  # noqa: S311 - jitter
        self._keepers: dict[str, Keeper] = {}
        self._adding = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.patrolled_at = around.clock.monotonic()
        self.is_taken_up: dict[str, bool] = {}
        around.fleet.watch(self._pass_on_fleet)

    @property
    def start_total(self) -> int:
        """How many accounts the last run left."""
        return len(self.is_taken_up)

    @property
    def start_done(self) -> int:
        """How many of them have been taken up again."""
        return sum(self.is_taken_up.values())

    @property
    def keepers(self) -> list[Keeper]:
        """All keepers by creation time, then id."""
        return sorted(
            self._keepers.values(), key=lambda one: (one.account.record.created_at, one.account.record.id)
        )

    def restore(self, records: Sequence[AccountRecord]) -> None:
        """Take over the accounts of the registry; nothing starts yet."""
        for keeper in [Keeper(record, self._around) for record in records]:
            self._keepers[keeper.account.record.id] = keeper
            self.is_taken_up[keeper.account.record.id] = False
            keeper.announce()

    def resume(self) -> None:
        """Start what should run of the accounts that were restored.

        The starts are spread over a window that grows with the fleet; the gate bounds those under way.
        """
        keepers = [self._keepers[account_id] for account_id in self.is_taken_up]
        starting = [
            keeper.account.record.desired == "running" and keeper.account.record.is_linked
            for keeper in keepers
        ]
        window = self._around.config.start.spread_seconds * max(0, sum(starting) - 1)
        for keeper, is_starting in zip(keepers, starting, strict=True):
            delay = self._randomness.uniform(0, window) if is_starting else 0.0
            self._run(self._resume(keeper, delay), f"resume {keeper.account.name}")
        self._run(self._patrol(), "patrol")
        self._run(self._turn_days(), "days")

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _resume(self, keeper: Keeper, delay_seconds: float) -> None:
        try:
            await asyncio.sleep(delay_seconds)
            if keeper.account.record.intent == "remove":
                await self.remove(keeper, require_logout=False)
                return
            await keeper.resume()
            await keeper.account.until(lambda: keeper.account.state is not State.CONNECTING, _SETTLED_SECONDS)
        except (TowerError, OSError) as error:
            log.error("%s could not be restored: %s", keeper.account.name, error)
        except Exception:
            # One account that cannot start never keeps another from starting.
            log.exception("%s could not be restored", keeper.account.name)
        finally:
            self.is_taken_up[keeper.account.record.id] = True

    def _pass_on_fleet(self) -> None:
        for keeper in self._keepers.values():
            keeper.heed_fleet()

    async def _patrol(self) -> None:
        """Replace workers that have grown beyond their memory."""
        while True:
            await asyncio.sleep(PATROL_SECONDS)
            limit_bytes = self._around.config.workers.memory_max_mb * 1024 * 1024
            self.patrolled_at = self._around.clock.monotonic()
            for keeper in self._keepers.values():
                worker = keeper.carrier.worker
                used = worker.memory_bytes() if worker is not None else None
                if used is not None and used > limit_bytes:
                    log.warning("%s: its worker uses %d MB; replacing it", keeper.account.name, used >> 20)
                    keeper.carrier.kill("worker-memory")

    async def _turn_days(self) -> None:
        """Have the counts of a day at hand when it begins or the clock was set; health follows them."""
        while True:
            await asyncio.sleep(_DAY_SECONDS)
            for keeper in self.keepers:
                # A database that cannot be read is told of elsewhere.
                with contextlib.suppress(TowerError):
                    await keeper.tally.look()

    @uninterrupted
    async def add(
        self,
        *,
        owner_uid: int,
        name: str | None,
        if_absent: bool = False,
        at_most: int | None = None,
        **columns: Any,
    ) -> tuple[Keeper, bool]:
        """Add an account; it is durable when this returns. The caller has checked the fields.

        Args:
            owner_uid: who owns it.
            name: None picks a free one.
            if_absent: one that is there is returned as it is.
            at_most: so many accounts may the owner have; None: any number.
            columns: further intent columns.

        Returns:
            The account, and whether it was created (False when `if_absent` found it).

        Raises:
            TowerError: `account-exists`, `limit-reached`, `registry-unavailable`.
        """
        async with self._adding:
            if name is None:
                numbers = range(1, len(self._keepers) + 2)
                name = next(free for n in numbers if self.owned(owner_uid, free := f"account-{n}") is None)
            if (known := self.owned(owner_uid, name)) is not None:
                if if_absent:
                    return known, False
                raise name_taken(name)
            self._require_room(owner_uid, at_most)
            (keeper,) = await self._insert([{"owner_uid": owner_uid, "name": name, **columns}])
            return keeper, True

    @uninterrupted
    async def add_all(self, accounts: Sequence[dict[str, Any]]) -> list[Keeper]:
        """Add accounts in one step, all of them or none; they are listed in this order.

        Args:
            accounts: owner_uid, name, and further intent columns of each.

        Raises:
            TowerError: `account-exists`, `registry-unavailable`; nothing was added.
        """
        async with self._adding:
            return await self._insert(accounts)

    def _require_room(self, owner_uid: int, at_most: int | None) -> None:
        """Insist that an owner may have one more account.

        Raises:
            TowerError: `limit-reached`.
        """
        count = sum(one.account.record.owner_uid == owner_uid for one in self._keepers.values())
        if at_most is not None and count >= at_most:
            raise TowerError(
                "limit-reached",
                f"you have {count} accounts, and may have {at_most}",
                hint="remove one, or ask an admin to raise limits.accounts_per_owner",
            )

    def owned(self, owner_uid: int, name: str) -> Keeper | None:
        """Return the account that an owner calls so, None when there is none."""
        wanted = (owner_uid, name)
        return next(
            (
                one
                for one in self._keepers.values()
                if (one.account.record.owner_uid, one.account.record.name) == wanted
            ),
            None,
        )

    async def _insert(self, accounts: Sequence[dict[str, Any]]) -> list[Keeper]:
        now = self._around.clock.now()
        records = [
            # A microsecond apart: lists go by the time of creation.
            _new_account(columns, id=self._new_id(), created_at=now + 1e-6 * place)
            for place, columns in enumerate(accounts)
        ]
        added = [account_event(record, "account.added", {}, time=now) for record in records]
        try:
            await self._around.ledger.commit(lambda registry: registry.insert_all(records, added))
        except NameTakenError:
            raise name_taken(records[0].name if len(records) == 1 else "of one of these names") from None
        keepers = [Keeper(record, self._around) for record in records]
        for keeper in keepers:
            keeper.take_up()
            self._keepers[keeper.account.record.id] = keeper
        return keepers

    def _new_id(self) -> str:
        """Return a new id: `a-` and 10 characters of base 32, 50 bits."""
        while True:
            bits = secrets.randbits(50)
            new = "a-" + "".join(_BASE32[bits >> shift & 31] for shift in range(0, 50, 5))
            if new not in self._keepers:
                return new

    @uninterrupted
    async def remove(self, keeper: Keeper, *, require_logout: bool) -> LogoutReport:
        """Remove an account; return how the logout went.

        Raises:
            TowerError: `logout-failed`, `registry-unavailable`.
        """
        report = await keeper.remove(require_logout=require_logout)
        self._keepers.pop(keeper.account.record.id, None)
        return report

    def exported(self, identity: Identity) -> Keeper | None:
        """Return the account whose device this is, and which was exported from here."""
        wanted = (identity.jid, identity.device_number)
        return next(
            (
                one
                for one in self._keepers.values()
                if one.account.record.is_linked
                and (one.account.record.jid, one.account.record.device_number) == wanted
                and one.moving.is_exported
            ),
            None,
        )

    def require_unclaimed(self, identity: Identity, owner_uid: int) -> None:
        """Insist that nobody here holds a device, nor the owner another one of the same phone.

        Raises:
            TowerError: `duplicate-phone`.
        """
        for keeper in self._keepers.values():
            record = keeper.account.record
            is_same_device = (record.jid, record.device_number) == (identity.jid, identity.device_number)
            is_same_phone = record.owner_uid == owner_uid and record.jid == identity.jid
            if record.is_linked and (is_same_device or is_same_phone):
                raise TowerError(
                    "duplicate-phone",
                    f"{record.phone or record.jid} is linked here already, as {record.name}",
                    hint=f"look at it: towerctl show {record.id}",
                )

    @uninterrupted
    async def adopt(self, parcel: Parcel, *, owner_uid: int, name: str, start: bool) -> Keeper:
        """Add an account with the device that a parcel holds; all of it or nothing, whatever is killed.

        Args:
            parcel: opened; the caller has checked that nobody here holds its device.
            owner_uid: who owns the account.
            name: what it is called.
            start: log in.

        Raises:
            TowerError: `account-exists`, `registry-unavailable`.
            SealDamagedError: the parcel is damaged.
            OSError: the disk does not let us.
        """
        async with self._adding:
            if self.owned(owner_uid, name) is not None:
                raise name_taken(name, who="its owner has")
            now = self._around.clock.now()
            record = _moved_account(
                parcel.facts, id=self._new_id(), owner_uid=owner_uid, name=name, start=start, now=now
            )
            store = self._around.stores.place(record.id)
            await asyncio.to_thread(bring_new, store, parcel)
            facts = {"from": parcel.facts.id, "outcome": "created"}
            event = account_event(record, "account.adopted", facts, time=now)
            try:
                await self._around.ledger.commit(lambda registry: registry.insert(record, [event]))
            except BaseException as error:
                await asyncio.to_thread(store.remove)
                if isinstance(error, NameTakenError):
                    # The name was free: somebody has linked the phone meanwhile.
                    raise TowerError("duplicate-phone", f"{record.phone} is linked here already") from None
                raise
            keeper = Keeper(record, self._around)
            self._keepers[record.id] = keeper
        # From here on a start of the daemon would do the rest.
        await keeper.resume()
        return keeper

    async def rename(self, keeper: Keeper, name: str | None, display_name: str | None) -> None:
        """Change names.

        Raises:
            TowerError: `invalid-field`, `account-exists`, `registry-unavailable`.
        """
        mistakes = check_name(name) if name is not None else []
        mistakes += check_display_name(display_name)
        if mistakes:
            raise invalid(mistakes)
        columns: dict[str, str | None] = {}
        if name is not None:
            columns["name"] = name
        if display_name is not None:
            columns["display_name"] = display_name.strip() or None
        try:
            await keeper.set(**columns)
        except NameTakenError:
            raise name_taken(name or "", who="its owner has") from None

    async def close(self) -> None:
        """End all workers; nothing is logged out and nothing is forgotten."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(keeper.close() for keeper in self._keepers.values()))


_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def _new_account(columns: dict[str, Any], *, id: str, created_at: float) -> AccountRecord:  # noqa: A002
    """Return the record of an account that was never linked."""
    display_name = (columns.get("display_name") or "").strip() or None
    record = AccountRecord(
        **columns | {"display_name": display_name},
        id=id,
        created_at=created_at,
        reason="never-paired",
        since=created_at,
        updated_at=created_at,
    )
    if record.desired == "running":
        return record
    return msgspec.structs.replace(record, state=State.STOPPED, reason=reason_to_rest(record))


def _moved_account(
    facts: Facts,
    *,
    id: str,  # noqa: A002
    owner_uid: int,
    name: str,
    start: bool,
    now: float,
) -> AccountRecord:
    """Return the record of an account that was linked elsewhere."""
    return AccountRecord(
        id=id,
        owner_uid=owner_uid,
        name=name,
        created_at=facts.created_at,
        display_name=facts.display_name,
        expected_phone=facts.expected_phone,
        daily_limit=facts.daily_limit,
        per_minute_limit=facts.per_minute_limit,
        last_connected_at=facts.last_connected_at,
        desired="running" if start else "stopped",
        state=State.STOPPED,
        reason="stopped-by-operator",
        since=now,
        updated_at=now,
        is_linked=True,
        is_confirmed=True,
        **msgspec.structs.asdict(facts.identity),
    )


def invalid(mistakes: list[Field]) -> TowerError:
    """Return the error that names every bad field."""
    words = "; ".join(f"{bad.field}: {bad.why}" for bad in mistakes)
    return TowerError("invalid-field", words, fields=tuple(mistakes))


def name_taken(name: str, *, who: str = "you have") -> TowerError:
    """Return the error for a name that the owner uses already."""
    return TowerError("account-exists", f"{who} an account {name} already", hint="choose another name")
