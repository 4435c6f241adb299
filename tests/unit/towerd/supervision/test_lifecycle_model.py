"""A model of one account's life: random commands, reports, deaths and timers, and what must hold after each.

Real keeper, reports, lifecycle, roster, fleet and gate; the worker, its store and the clock are played by the
test. No trap: from everywhere `unpair` and `pair` lead to a pairing. No contradiction between `state`,
`desired`, `pairing` and `reconnect`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sessions import messages
from sessions.messages import Identity
from sessions.states import LINKED_STATES, State
from sessions.store import StoreKind, StoreReport
from tests.unit.towerd.builders import FakeClock, an_account, settings_of
from towerd.accounts.records import TrafficRecord
from towerd.audit import Auditor
from towerd.protocol.errors import TowerError
from towerd.supervision import lifecycle
from towerd.supervision.carrier import Death
from towerd.supervision.fleet import Fleet
from towerd.supervision.gate import StartGate
from towerd.supervision.keeper import Keeper
from towerd.supervision.process import OrderFailedError, WorkerEndedError
from towerd.supervision.roster import Roster
from towerd.supervision.surroundings import Surroundings

PHONES = ("491701234567", "491707654321")


def identity(phone: str) -> Identity:
    return Identity(jid=f"{phone}@s.whatsapp.net", device_number=1, platform="android")


class EmptyRegistry:
    """Nothing was ever sent or received."""

    def unsettled(self, _account_id: str) -> list[Any]:
        return []

    def sent_since(self, _account_id: str, _moment: float) -> list[float]:
        return []

    def traffic(self, account_id: str, day: str) -> TrafficRecord:
        return TrafficRecord(account_id=account_id, day=day, received=0, sent=0)


class Ledger:
    """Takes everything, at once."""

    trouble = None

    def post(self, *_: Any, **__: Any) -> None: ...

    async def commit(self, *_: Any) -> None: ...

    async def read(self, query: Callable[[Any], Any]) -> Any:
        return query(EmptyRegistry())

    async def settle(self) -> None: ...

    def forget(self, _account_id: str) -> None: ...


class Store:
    """A store that holds a device, or not."""

    def __init__(self) -> None:
        self.report = StoreReport(kind=StoreKind.MISSING)
        self._kept = self.report
        self.is_stuck = False

    def renew(self) -> None:
        if self.is_stuck:
            raise OSError(28, "No space left on device")
        self.report = StoreReport(kind=StoreKind.MISSING)

    remove = renew

    def spooled(self) -> list[Any]:
        return []

    def snapshot(self) -> None:
        self._kept = self.report

    def restore(self) -> None:
        self.report = self._kept


class Carrier:
    """Plays the worker: what it says and when it dies is up to the test."""

    def __init__(self, _account_id: str, **parts: Any) -> None:
        self.store = Store()
        self.generation = 0
        self.starts = 0
        self.worker: str | None = None
        self.on_report = parts["on_report"]
        self.on_death = parts["on_death"]
        self.logout_works = True
        self.cause = "worker-lost"

    @property
    def is_running(self) -> bool:
        return self.worker is not None

    async def launch(self, *, proxy: str | None = None) -> None:
        assert self.worker is None, "two workers for one account"
        self.generation += 1
        self.starts += 1
        self.worker = "running"
        self.cause = "worker-lost"

    async def end(self, *, grace_seconds: float = 0.0) -> None:
        self.generation += 1
        self.worker = None

    async def ask(self, order: Callable[[int], Any], _deadline_seconds: float) -> str | None:
        if self.worker is None:
            raise WorkerEndedError("no worker")
        if isinstance(order(1), messages.PairPhone):
            return "ABCD-1234"
        if isinstance(order(1), messages.Logout):
            if not self.logout_works:
                raise OrderFailedError("no answer", timed_out=True)
            self.store.report = StoreReport(kind=StoreKind.NO_DEVICE)
        return None

    async def look(self) -> StoreReport:
        assert self.worker is None, "the store is looked into while a worker runs"
        return self.store.report

    def kill(self, cause: str) -> None:
        if self.worker is not None:
            self.cause = cause
            self.die(60.0)

    def die(self, lived_seconds: float) -> None:
        self.worker = None
        self.on_death(Death(generation=self.generation, lived_seconds=lived_seconds, cause=self.cause))


class Timers:
    """Timers that run out when the test says so."""

    def __init__(self) -> None:
        self.pending: dict[str, Callable[[], object]] = {}

    def start(self, name: str, _delay_seconds: float, call: Callable[[], object]) -> None:
        self.pending[name] = call

    def stop(self, *names: str) -> None:
        for name in names:
            self.pending.pop(name, None)

    def is_running(self, name: str) -> bool:
        return name in self.pending

    def clear(self) -> None:
        self.pending.clear()


class AccountLife(RuleBasedStateMachine):
    """One account, and a second one of the same owner that holds the other phone now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(lifecycle, "Carrier", Carrier)
        self.patch.setattr(lifecycle, "Timers", Timers)

        async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
            return function(*arguments)

        self.patch.setattr(asyncio, "to_thread", inline)
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.keeper = self.run(self.build())
        self.life: Any = self.keeper._life
        self.worker: Any = self.keeper.carrier
        self.scanned = PHONES[0]

    async def build(self) -> Keeper:
        ledger: Any = Ledger()
        settings = settings_of()
        self.fleet = Fleet(settings, clock=self.clock, ledger=ledger)
        spawner: Any = None
        around = Surroundings(
            settings=settings,
            clock=self.clock,
            ledger=ledger,
            auditor=Auditor(ledger, self.clock),
            roster=Roster(),
            fleet=self.fleet,
            gate=StartGate(lambda: 1),
            spawner=spawner,
            sessions_dir=Path("/nowhere"),
        )
        other = an_account(id="a-bbbbbbbbbb", name="other", is_linked=True, jid=f"{PHONES[1]}@s.whatsapp.net")
        self.other = Keeper(other, around)
        return Keeper(an_account(), around)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run one step and all that follows from it at once."""

        async def step() -> Any:
            task = asyncio.ensure_future(work)
            for _ in range(200):
                await asyncio.sleep(0)
                if task.done() and len(asyncio.all_tasks()) == 1:
                    break
                # A command that waits for the worker gives up here, as it would after its deadline.
                for waiting in self.waits():
                    waiting()
            return await task

        return self.loop.run_until_complete(step())

    def waits(self) -> list[Callable[[], None]]:
        """What an outer world would do while a command waits: the worker connects, or dies in the end."""
        if self.keeper.account.state is State.CONNECTING and self.worker.is_running:
            return [lambda: self.worker.die(60.0)]
        return []

    def command(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self.run(work)
        except TowerError as error:
            refusals = ("wrong-state", "logout-failed", "pairing-timeout", "registry-unavailable")
            if error.slug not in refusals:
                raise
        except OSError:
            assert self.worker.store.is_stuck

    def report(self, *reports: Any) -> None:
        async def tell() -> None:
            for one in reports:
                if self.worker.worker is not None:
                    self.worker.on_report(one)

        self.run(tell())

    def teardown(self) -> None:
        self.patch.undo()
        self.loop.run_until_complete(self.keeper.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    # Commands.

    @rule(new_phone=st.booleans())
    def pair(self, *, new_phone: bool) -> None:
        self.command(self.keeper.pair(new_phone=new_phone))

    @rule()
    def start(self) -> None:
        self.command(self.keeper.start())

    @rule()
    def stop(self) -> None:
        self.command(self.keeper.stop())
        assert self.keeper.account.state is State.STOPPED

    @rule()
    def restart(self) -> None:
        self.command(self.keeper.restart())

    @rule()
    def unpair(self) -> None:
        self.command(self.keeper.unpair())
        assert self.keeper.account.state is State.UNPAIRED
        assert not self.keeper.account.record.is_linked

    @rule(works=st.booleans())
    def logout(self, *, works: bool) -> None:
        self.worker.logout_works = works
        self.command(self.keeper.logout())
        self.worker.logout_works = True

    # Reports.

    @precondition(lambda self: self.worker.is_running)
    @rule(number=st.integers(1, 6))
    def show_qr(self, number: int) -> None:
        self.report(
            messages.QrShown(payload=f"qr-{self.worker.generation}-{number}", number=number, issued_at=0)
        )

    @precondition(lambda self: self.worker.is_running and self.keeper.account.state is State.PAIRING)
    @rule(phone=st.sampled_from(PHONES), heard=st.booleans())
    def scan(self, phone: str, *, heard: bool) -> None:
        self.worker.store.report = StoreReport(kind=StoreKind.DEVICE, identity=identity(phone))
        if heard:
            self.report(messages.PairingOver(status="success"), messages.Scanned(identity=identity(phone)))

    @precondition(lambda self: self.worker.is_running and self.worker.store.report.kind is StoreKind.DEVICE)
    @rule()
    def connect(self) -> None:
        self.report(messages.Connected(identity=self.worker.store.report.identity))

    @precondition(lambda self: self.worker.is_running)
    @rule(
        report=st.sampled_from(
            [
                messages.Disconnected(),
                messages.PairingOver(status="timeout"),
                messages.PairingOver(status="passkey-request"),
                messages.PairingOver(status="err-client-outdated"),
                messages.Outdated(),
                messages.Replaced(),
                messages.ConnectFailed(code=409),
                messages.Banned(code=101, expires_in_seconds=60),
                messages.Banned(code=101, expires_in_seconds=0),
                messages.StoreLocked(holder_pid=1),
                messages.KeepaliveMissed(error_count=1),
                messages.KeepaliveRestored(),
            ]
        )
    )
    def hear(self, report: Any) -> None:
        self.report(report)

    @precondition(lambda self: self.worker.is_running and self.worker.store.report.kind is StoreKind.DEVICE)
    @rule(code=st.sampled_from([401, 403, 406]), row_is_gone=st.booleans())
    def unlink(self, code: int, *, row_is_gone: bool) -> None:
        if row_is_gone:
            self.worker.store.report = StoreReport(kind=StoreKind.NO_DEVICE)
        self.report(messages.LoggedOut(code=code, on_connect=True))

    @precondition(lambda self: self.worker.is_running)
    @rule(lived=st.sampled_from([0.5, 60.0]), cause=st.sampled_from(["worker-lost", "refused", "dns"]))
    def die(self, lived: float, cause: str) -> None:
        async def death() -> None:
            self.worker.cause = cause
            self.worker.die(lived)

        self.run(death())

    @precondition(lambda self: not self.worker.is_running)
    @rule(kind=st.sampled_from([StoreKind.DAMAGED, StoreKind.LOCKED, StoreKind.NO_DEVICE]))
    def harm_the_store(self, kind: StoreKind) -> None:
        if self.worker.store.report.kind is StoreKind.DEVICE:
            self.worker.store.report = StoreReport(kind=kind)

    @rule(stuck=st.booleans())
    def let_the_disk_be_stuck(self, *, stuck: bool) -> None:
        self.worker.store.is_stuck = stuck

    @precondition(lambda self: self.life.timers.pending)
    @rule(data=st.data())
    def run_out(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.life.timers.pending)))

        async def fire() -> None:
            self.clock.time += 400 if name == "pairing" else 1
            self.life.timers.pending.pop(name)()

        self.run(fire())

    @rule()
    def release_the_fleet(self) -> None:
        async def release() -> None:
            self.fleet.close("by command")

        self.run(release())

    # What must hold whenever nothing is under way.

    @invariant()
    def nothing_contradicts(self) -> None:
        account, record = self.keeper.account, self.keeper.account.record
        state = record.state
        assert state is not State.LOGGED_OUT, "a wipe was forgotten"
        assert (state is State.STOPPED) <= (record.desired == "stopped")
        if record.desired == "stopped":
            assert state in (State.STOPPED, State.UNPAIRED, State.FAILED)
        assert (state is State.PAIRING) <= (account.attempt is not None)
        if state not in (State.PAIRING, State.AUTHENTICATED):
            assert account.attempt is None
            assert record.pairing_started_at is None
        assert (account.retry is not None) <= (state is State.RECONNECTING)
        if state is State.CONNECTED:
            assert record.is_linked
            assert record.jid is not None
            assert self.worker.is_running
            assert record.reason is None
        if state in LINKED_STATES:
            assert record.is_linked
        if state is State.UNPAIRED:
            assert not record.is_linked
            assert record.reason is not None
        if state is State.FAILED:
            assert record.reason is not None
        if state in (State.UNPAIRED, State.STOPPED, State.FAILED):
            assert not self.worker.is_running

    @invariant()
    def nothing_is_stuck(self) -> None:
        """What is not at rest has a worker, a timer, or waits at the fleet or the gate."""
        state = self.keeper.account.state
        if state in (State.UNPAIRED, State.STOPPED, State.FAILED):
            return
        account_id = self.keeper.account.record.id
        goes_on = (
            self.worker.is_running
            or self.life.timers.is_running("retry")
            or account_id in self.fleet.held
            or account_id in self.life.around.gate._waiting
        )
        assert goes_on, f"{state} with {sorted(self.life.timers.pending)}"

    @invariant()
    def a_phone_has_one_account(self) -> None:
        mine, other = self.keeper.account.record, self.other.account.record
        assert not (mine.is_linked and mine.phone == other.phone)


AccountLife.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestAccountLife = AccountLife.TestCase
