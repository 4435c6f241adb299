"""A small daemon without its socket: a real registry, real keepers, and scripted workers."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sessions import messages
from sessions.messages import Identity
from sessions.states import State
from sessions.store import DATABASE_NAME
from tests.unit.sessions.stores import delete_device, make_store
from tests.unit.towerd.builders import JID, an_account, settings_of
from tests.unit.towerd.supervision.workers import ScriptedWorker, Workers
from tests.unit.towerd.waiting import until
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord, EventRecord, TransitionRecord
from towerd.accounts.registry import Registry
from towerd.audit import Auditor
from towerd.clock import SystemClock
from towerd.config import Config, ReconnectConfig, WorkersConfig
from towerd.supervision.fleet import Fleet
from towerd.supervision.gate import StartGate
from towerd.supervision.keeper import Keeper
from towerd.supervision.roster import Roster
from towerd.supervision.stores import Stores
from towerd.supervision.surroundings import Surroundings

ALICE = Identity(jid=JID, device_number=12, push_name="Alice", platform="android")
"""Who the device of `stores.make_store` is."""

QUICK = Config(
    reconnect=ReconnectConfig(base_seconds=0.02, cap_seconds=0.05, jitter=0.0, critical_after=1000),
    workers=WorkersConfig(crash_loop_exits=3),
)
"""The schedule of the tests; what a test is about it sets itself."""


def config(**sections: Any) -> Config:
    """Return the quick configuration with keys of its sections changed: `pairing={"automatic": False}`."""
    changed = {name: msgspec.structs.replace(getattr(QUICK, name), **keys) for name, keys in sections.items()}
    return msgspec.structs.replace(QUICK, **changed)


class World:
    """All that a keeper needs, and eyes on what comes of it."""

    def __init__(self, directory: Path, workers: Workers, settings: Config, stores: Stores) -> None:
        self.workers = workers
        self.database = directory / "tower.db"
        self.root = directory / "sessions"
        self.published: list[EventRecord] = []
        self.keepers: list[Keeper] = []
        self.clock = SystemClock()
        self.ledger = Ledger(Registry(self.database), self._publish)
        self.settings = settings_of(settings)
        self.around = Surroundings(
            settings=self.settings,
            clock=self.clock,
            ledger=self.ledger,
            auditor=Auditor(self.ledger, self.clock),
            roster=Roster(),
            fleet=Fleet(self.settings, clock=self.clock, ledger=self.ledger),
            gate=StartGate(lambda: 4),
            spawner=workers.spawner,
            stores=stores,
        )

    def _publish(self, events: Sequence[EventRecord]) -> None:
        self.published.extend(events)

    async def keep(self, record: AccountRecord | None = None) -> Keeper:
        """Add an account to the registry and keep it."""
        record = record or an_account()
        await self.ledger.commit(lambda registry: registry.insert(record))
        keeper = Keeper(record, self.around)
        self.keepers.append(keeper)
        return keeper

    async def keep_connected(self, **fields: Any) -> tuple[Keeper, ScriptedWorker]:
        """Keep an account that is linked and connected."""
        keeper = await self.keep(a_linked_account_at_rest(**fields))
        make_store(self.root, keeper.account.record.id)
        await keeper.resume()
        worker = await self.workers.next()
        worker.connected()
        await until(lambda: keeper.account.state is State.CONNECTED, "the login")
        return keeper, worker

    async def keep_pairing(self, **fields: Any) -> tuple[Keeper, ScriptedWorker]:
        """Keep an account that is pairing and has a QR on offer."""
        keeper = await self.keep(an_account(**fields))
        await keeper.pair()
        worker = await self.workers.next()
        worker.begun()
        self.show_qr(worker)
        await until(lambda: keeper.account.attempt and keeper.account.attempt.number, "the QR")
        return keeper, worker

    def show_qr(self, worker: ScriptedWorker, number: int = 1) -> None:
        """Let a worker show a QR."""
        payload = f"secret-{worker.generation}-{number}"
        worker.report(messages.QrShown(payload=payload, number=number, issued_at=self.clock.monotonic()))

    def lose_device(self, keeper: Keeper) -> None:
        """Let WhatsApp's library delete the device row."""
        delete_device(self.store_of(keeper))

    def store_of(self, keeper: Keeper) -> Path:
        """Return the store's file."""
        return self.root / keeper.account.record.id / DATABASE_NAME

    def kept(self, keeper: Keeper) -> AccountRecord | None:
        """Return the account as the registry has it now, seen from outside."""
        registry_rows = self._rows("SELECT * FROM account WHERE id = ?", keeper.account.record.id)
        return registry_rows[0] if registry_rows else None

    def states_kept(self, keeper: Keeper) -> list[str]:
        """Return the states of the account's history, oldest first."""
        rows = self._rows(
            "SELECT new FROM transition WHERE account_id = ? ORDER BY id", keeper.account.record.id
        )
        return [row["new"] for row in rows]

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(statement, values).fetchall()

    async def events(self, event_type: str) -> list[dict[str, Any]]:
        """Return the data of all events of a type."""
        await self.ledger.settle()
        return [event.data for event in self.published if event.type == event_type]

    async def until_event(self, event_type: str) -> None:
        """Wait for an event of a type."""
        await until(lambda: any(event.type == event_type for event in self.published), event_type)

    async def history(self, keeper: Keeper) -> list[TransitionRecord]:
        """Return the account's history, newest first."""
        await self.ledger.settle()
        return await self.ledger.read(lambda registry: registry.history(keeper.account.record.id, 100))

    async def close(self) -> None:
        """End it all."""
        for keeper in self.keepers:
            await keeper.close()
        await self.ledger.close()


def a_linked_account_at_rest(**fields: Any) -> AccountRecord:
    """Return a linked account as the registry has it after an orderly end of the daemon."""
    defaults: dict[str, Any] = {
        "state": State.CONNECTED,
        "reason": None,
        "is_linked": True,
        "is_confirmed": True,
        "jid": ALICE.jid,
        "device_number": ALICE.device_number,
        "push_name": "Alice",
        "platform": "android",
    }
    return an_account(**(defaults | fields))


@contextlib.asynccontextmanager
async def a_world(
    directory: Path, settings: Config = QUICK, *, stores: Stores | None = None
) -> AsyncIterator[World]:
    """Open a world in a directory."""
    workers = Workers(directory)
    (directory / "sessions").mkdir(exist_ok=True)
    await workers.open()
    world = World(directory, workers, settings, stores or Stores(directory / "sessions"))
    await world.ledger.open()
    try:
        yield world
    finally:
        await world.close()
        await workers.close()
