"""A model of one account's life: random commands, reports, deaths and timers, and what must hold after each.

Real keeper, reports, lifecycle, roster, fleet and gate; worker, disk and time are played by the test.
Commands come alone, two at once, and with news in the middle; the daemon is killed and started again.

No trap: from everywhere `unpair` and `pair` lead to a linked account. No contradiction between `state`,
`desired`, `pairing` and `reconnect`. What was acknowledged is on the disk; what was removed has left nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sessions import messages
from sessions.messages import Identity
from sessions.states import LINKED_STATES, State
from sessions.store import StoreKind, StoreReport
from tests.unit.towerd.builders import account_id, an_account, settings_of
from tests.unit.towerd.supervision.played_world import (
    TAKEN_NAME,
    PlayedCarrier,
    PlayedClock,
    PlayedLedger,
    PlayedLoop,
    PlayedTimers,
)
from towerd.accounts.records import INTENT_COLUMNS
from towerd.accounts.transactions import NameTakenError
from towerd.audit import Auditor
from towerd.config import PairingConfig
from towerd.protocol.errors import TowerError
from towerd.supervision import aftermaths, lifecycle, truth
from towerd.supervision.fleet import Fleet
from towerd.supervision.gate import StartGate
from towerd.supervision.keeper import Keeper
from towerd.supervision.roster import Roster
from towerd.supervision.stores import Stores
from towerd.supervision.surroundings import Surroundings

PHONES = ("491701234567", "491707654321")
OTHER = "a-bbbbbbbbbb"
"""Another account of the same owner, which holds the second phone."""
STRANGERS = [account_id(n) for n in range(100, 103)]
"""Accounts of which only the fleet and the gate know."""
COMMANDS: dict[str, Callable[[Keeper], Coroutine[Any, Any, Any]]] = {
    "pair": lambda keeper: keeper.pair(),
    "pair --new-phone": lambda keeper: keeper.pair(new_phone=True),
    "pair --phone": lambda keeper: keeper.pair(phone=PHONES[0]),
    "start": lambda keeper: keeper.start(),
    "stop": lambda keeper: keeper.stop(),
    "restart": lambda keeper: keeper.restart(),
    "unpair": lambda keeper: keeper.unpair(),
    "logout": lambda keeper: keeper.logout(),
    "remove": lambda keeper: keeper.remove(require_logout=False),
    "remove --require-logout": lambda keeper: keeper.remove(require_logout=True),
    "rename": lambda keeper: keeper.set(name=f"{keeper.account.name[:8]}-{keeper.carrier.starts}"),
    "rename to a taken name": lambda keeper: keeper.set(name=TAKEN_NAME),
    "set --display-name": lambda keeper: keeper.set(display_name=f"Sales {keeper.carrier.starts}"),
}
REPORTS = {
    "disconnected": messages.Disconnected(),
    "codes over": messages.PairingOver(status="timeout"),
    "passkey": messages.PairingOver(status="passkey-request"),
    "pairing outdated": messages.PairingOver(status="err-client-outdated"),
    "outdated": messages.Outdated(),
    "replaced": messages.Replaced(),
    "refused": messages.ConnectFailed(code=409),
    "banned for a while": messages.Banned(code=101, expires_in_seconds=60),
    "banned": messages.Banned(code=101, expires_in_seconds=0),
    "store locked": messages.StoreLocked(holder_pid=1),
    "keepalive missed": messages.KeepaliveMissed(error_count=1),
    "keepalive restored": messages.KeepaliveRestored(),
}
DEVICE_GONE = StoreReport(kind=StoreKind.NO_DEVICE)
# Far beyond every deadline of a command, two removals one after the other included.
STUCK_SECONDS = 600.0

News = dict[str, Callable[[], object]]


def identity(phone: str) -> Identity:
    return Identity(jid=f"{phone}@s.whatsapp.net", device_number=1, platform="android")


def device(phone: str) -> StoreReport:
    return StoreReport(kind=StoreKind.DEVICE, identity=identity(phone))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class AccountLife(RuleBasedStateMachine):
    """One account, and a second one of the same owner that holds the other phone."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(lifecycle, "Carrier", PlayedCarrier)
        self.patch.setattr(aftermaths, "Timers", PlayedTimers)
        self.patch.setattr(truth, "Timers", PlayedTimers)

        async def in_a_thread(function: Callable[..., Any], *arguments: Any) -> Any:
            await asyncio.sleep(0)
            return function(*arguments)

        self.patch.setattr(asyncio, "to_thread", in_a_thread)
        self.loop = PlayedLoop()
        self.tasks: list[asyncio.Task[Any]] = []
        self.loop.set_task_factory(self.make_task)
        self.clock = PlayedClock(self.loop)
        self.ledger = PlayedLedger()
        self.count = 0

    @initialize(automatic=st.booleans())
    def begin(self, *, automatic: bool) -> None:
        self.settings = settings_of(pairing=PairingConfig(automatic=automatic))
        self.build_daemon()
        self.add()

    # The daemon and its accounts.

    def build_daemon(self) -> None:
        ledger: Any = self.ledger
        self.fleet = Fleet(self.settings, clock=self.clock, ledger=ledger)
        self.gate = StartGate(lambda: 1)
        self.roster = Roster()
        spawner: Any = None
        self.around = Surroundings(
            settings=self.settings,
            clock=self.clock,
            ledger=ledger,
            auditor=Auditor(ledger, self.clock),
            roster=self.roster,
            fleet=self.fleet,
            gate=self.gate,
            spawner=spawner,
            stores=Stores(Path("/nowhere")),
        )
        other = an_account(id=OTHER, name=TAKEN_NAME, is_linked=True, jid=f"{PHONES[1]}@s.whatsapp.net")
        self.other = Keeper(other, self.around)
        self.fleet.watch(lambda: self.keeper.heed_fleet())

    def add(self) -> None:
        """Add an account that was never paired."""
        self.count += 1
        record = an_account(id=account_id(self.count), name=f"sales-{self.count}")
        self.ledger.insert(record)
        self.keep(Keeper(record, self.around))
        self.keeper.take_up()

    def keep(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.life: Any = keeper._life
        self.worker: Any = keeper.carrier
        self.worker.may_log_in = lambda: (
            self.fleet.admits(keeper.account.record.id)
            or keeper.account.record.intent in ("logout", "remove")
        )

    @property
    def record(self) -> Any:
        return self.keeper.account.record

    # Running it.

    def make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **names: Any) -> asyncio.Task[Any]:
        """Make a task, and keep it: a bug in one that nobody waits for is found all the same."""
        task = asyncio.Task(work, loop=loop, **names)
        self.tasks.append(task)
        return task

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run one step and all that follows from it."""

        async def step() -> Any:
            result = await work
            await self.come_to_rest()
            return result

        result = self.loop.run_until_complete(step())
        if self.keeper.account.is_removed:
            self.check_nothing_is_left()
            self.add()
        return result

    def check_nothing_is_left(self) -> None:
        """What was removed has left nothing."""
        gone = self.record.id
        assert not self.worker.is_running
        assert self.timers() == {}
        assert self.worker.store.report.kind is StoreKind.MISSING
        assert gone not in self.ledger.disk
        assert gone not in self.fleet.held
        assert gone != self.fleet.canary
        assert gone not in self.gate._waiting
        assert gone not in self.gate._inside
        assert gone not in self.roster._accounts

    async def come_to_rest(self) -> None:
        """Wait until nothing is under way any more."""
        async with asyncio.timeout(STUCK_SECONDS):
            await turns(3)
            while under_way := self.under_way():
                await asyncio.wait(under_way)
                await turns(3)
        for task in self.tasks:
            if task.done() and not task.cancelled() and isinstance(task.exception(), AssertionError):
                raise task.exception() or AssertionError
        self.tasks = [task for task in self.tasks if not task.done()]

    def under_way(self) -> set[asyncio.Task[Any]]:
        """Return what will come to an end; what waits for the disk does not as long as that is full."""
        # The list of groups is asked for again and again, and has nothing to do with all this.
        others = {task for task in asyncio.all_tasks() if not task.get_name().startswith("groups ")}
        waiting = self.life.conclusions._writer if self.ledger.is_stuck else None
        return others - {asyncio.current_task(), waiting}

    async def together(self, commands: list[Coroutine[Any, Any, Any]], data: st.DataObject) -> None:
        """Give commands one shortly after the other; news come in while they are under way."""
        tasks = []
        for command in commands:
            tasks.append(asyncio.ensure_future(command))
            await turns(data.draw(st.integers(0, 9), label="turns"))
        for _ in range(4):
            if all(task.done() for task in tasks):
                break
            await self.hear_something(data)
        await asyncio.wait_for(asyncio.gather(*tasks), STUCK_SECONDS)

    async def hear_something(self, data: st.DataObject) -> None:
        news = self.progress() | self.trouble() | self.deaths() | self.timers() | self.fleet_news()
        nothing = {"nothing": lambda: None}
        news = nothing | news
        news[data.draw(st.sampled_from(sorted(news)), label="news")]()
        await turns(data.draw(st.sampled_from([1, 5, 50]), label="turns"))

    async def command(self, name: str) -> None:
        """Give a command; what it says when it is refused is looked at, and what it did is not."""
        keeper = self.keeper
        try:
            await COMMANDS[name](keeper)
        except (TowerError, NameTakenError, OSError) as error:
            self.check_refusal(name, keeper, error)
        else:
            self.last_done = name

    def check_refusal(self, name: str, keeper: Keeper, error: Exception) -> None:
        """A command is refused for a reason that holds."""
        is_full = self.ledger.is_stuck or self.worker.store.is_stuck
        reasons = {
            "wrong-state": True,
            "pairing-timeout": name == "pair --phone",
            "logout-failed": name in ("logout", "remove --require-logout"),
            "registry-unavailable": is_full,
            "account-not-found": keeper.account.is_removed,
            "NameTakenError": name == "rename to a taken name",
            "OSError": is_full,
        }
        assert reasons[error.slug if isinstance(error, TowerError) else type(error).__name__]

    def hear(self, news: News, data: st.DataObject) -> None:
        """Let one of the news happen, and all that follows from it."""

        async def happen() -> None:
            news[data.draw(st.sampled_from(sorted(news)), label="news")]()

        self.run(happen())

    def teardown(self) -> None:
        self.patch.undo()
        if hasattr(self, "keeper"):
            self.kill_everything()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def kill_everything(self) -> None:
        self.life.is_closing = True
        self.worker.generation += 1

        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await turns(20)

        self.loop.run_until_complete(end())

    # What can happen.

    def progress(self) -> News:
        """What a pairing or a login does next, when all goes well."""
        worker = self.worker
        if not worker.is_running:
            return {}
        if worker.store.report.kind is StoreKind.DEVICE:
            known = worker.store.report.identity
            return {
                "connected": lambda: worker.on_report(messages.Connected(identity=known)),
                "connected, identity unknown": lambda: worker.on_report(messages.Connected(identity=None)),
                "identity learned": lambda: worker.on_report(messages.IdentityLearned(identity=known)),
            }
        if self.record.state is not State.PAIRING:
            return {}
        news: News = {f"qr {number}": partial(self.show_qr, number) for number in (1, 2, 6)}
        for phone in PHONES:
            news[f"scan by {phone}"] = partial(self.scan, phone, is_heard=True)
            news[f"unheard scan by {phone}"] = partial(self.scan, phone, is_heard=False)
        return news

    def show_qr(self, number: int) -> None:
        payload = f"qr-{self.worker.generation}-{number}"
        now = self.clock.monotonic()
        self.worker.on_report(messages.QrShown(payload=payload, number=number, issued_at=now))

    def scan(self, phone: str, *, is_heard: bool) -> None:
        self.worker.store.report = device(phone)
        if is_heard:
            self.worker.on_report(messages.PairingOver(status="success"))
            self.worker.on_report(messages.Scanned(identity=identity(phone)))

    def trouble(self) -> News:
        """What WhatsApp says."""
        worker = self.worker
        if not worker.is_running:
            return {}
        news: News = {name: partial(worker.on_report, report) for name, report in REPORTS.items()}
        if worker.store.report.kind is StoreKind.DEVICE:
            for code in (401, 403, 406):
                news[f"unlinked {code}"] = partial(self.unlink, code, row_is_gone=True)
                news[f"unlinked {code}, row left"] = partial(self.unlink, code, row_is_gone=False)
        return news

    def unlink(self, code: int, *, row_is_gone: bool) -> None:
        if row_is_gone:
            self.worker.store.report = DEVICE_GONE
        self.worker.on_report(messages.LoggedOut(code=code, on_connect=True))

    def deaths(self) -> News:
        if not self.worker.is_running:
            return {}
        return {
            f"{cause} after {lived:g} s": partial(self.worker.die, lived, cause=cause)
            for cause in ("worker-lost", "refused", "dns")
            for lived in (0.5, 60.0)
        }

    def timers(self) -> News:
        named = {name: (self.life.timers, name) for name in self.life.timers.pending}
        named |= {
            f"{name} of the pulse": (self.life.pulse._timers, name)
            for name in self.life.pulse._timers.pending
        }
        return {f"timer {label}": partial(self.run_out, *timer) for label, timer in named.items()}

    def run_out(self, timers: PlayedTimers, name: str) -> None:
        self.loop.pass_over(400.0 if name == "pairing" else 1.0)
        timers.hurry(name)

    def fleet_news(self) -> News:
        """What other accounts do to the fleet and the gate."""
        fleet, first = self.fleet, STRANGERS[0]
        news: News = {
            "released by command": lambda: fleet.close("by command", by_command=True),
            "a stranger starts": lambda: self.gate.enter(first, lambda: None),
            "a stranger has started": lambda: self.gate.leave(first),
        }
        if fleet.is_open:
            news["a stranger is held"] = lambda: fleet.hold(first, lambda: None, can_test=True)
            if fleet.canary in STRANGERS:
                news["the canary is in"] = lambda: fleet.report_connected(fleet.canary or "")
                news["the canary is gone"] = lambda: fleet.forget(fleet.canary or "")
        else:
            news["a stranger is outdated"] = lambda: fleet.report_outdated(first)
            news["a wave of unlinks"] = lambda: [fleet.report_unlinked(one) for one in STRANGERS]
        return news

    # Rules.

    @rule(data=st.data(), name=st.sampled_from(sorted(COMMANDS)))
    def give(self, data: st.DataObject, name: str) -> None:
        self.last_done = ""
        keeper = self.keeper
        self.run(self.together([self.command(name)], data))
        if self.last_done == name:
            self.check_outcome(name, keeper)

    @rule(data=st.data(), names=st.lists(st.sampled_from(sorted(COMMANDS)), min_size=2, max_size=2))
    def give_two_at_once(self, data: st.DataObject, names: list[str]) -> None:
        self.run(self.together([self.command(name) for name in names], data))

    @rule(data=st.data(), name=st.sampled_from(sorted(COMMANDS)))
    def give_and_hang_up(self, data: st.DataObject, name: str) -> None:
        """The client goes away in the middle; the command is finished all the same."""

        async def hang_up() -> None:
            client = asyncio.ensure_future(self.command(name))
            await turns(data.draw(st.integers(0, 9), label="turns"))
            client.cancel()
            await asyncio.wait([client])

        self.run(hang_up())

    def check_outcome(self, name: str, keeper: Keeper) -> None:
        """What one command alone leads to, whatever came in between."""
        record = keeper.account.record
        state, desired = record.state, record.desired
        match name.split():
            case ["stop"]:
                assert (state, desired) == (State.STOPPED, "stopped")
            case ["start" | "restart" | "pair", *_]:
                assert desired == "running"
            case ["unpair"]:
                assert (state, record.is_linked) == (State.UNPAIRED, False)
            case ["remove", *_]:
                assert keeper.account.is_removed

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        if news := self.progress():
            self.hear(news, data)

    @precondition(lambda self: self.worker.is_running)
    @rule(data=st.data())
    def whatsapp_speaks(self, data: st.DataObject) -> None:
        self.hear(self.trouble(), data)

    @precondition(lambda self: self.worker.is_running)
    @rule(data=st.data())
    def the_worker_dies(self, data: st.DataObject) -> None:
        self.hear(self.deaths(), data)

    @precondition(lambda self: self.timers())
    @rule(data=st.data())
    def a_timer_runs_out(self, data: st.DataObject) -> None:
        self.hear(self.timers(), data)

    @rule(data=st.data())
    def the_fleet_changes(self, data: st.DataObject) -> None:
        self.hear(self.fleet_news(), data)

    @rule(seconds=st.sampled_from([1.0, 30.0, 400.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(seconds=st.sampled_from([7200.0, -7200.0, 31536000.0, -31536000.0]))
    def the_wall_clock_jumps(self, seconds: float) -> None:
        self.clock.shift_seconds += seconds

    @rule(answer=st.sampled_from(["yes", "no", "silence", "late"]))
    def whatsapp_answers(self, answer: str) -> None:
        self.worker.answer = answer

    @precondition(lambda self: not self.worker.is_running)
    @rule(kind=st.sampled_from([StoreKind.DAMAGED, StoreKind.LOCKED, StoreKind.NO_DEVICE]))
    def harm_the_store(self, kind: StoreKind) -> None:
        if self.worker.store.report.kind is StoreKind.DEVICE:
            self.worker.store.report = StoreReport(kind=kind)

    @rule(store=st.booleans(), registry=st.booleans())
    def the_disk_is_full(self, *, store: bool, registry: bool) -> None:
        self.worker.store.is_stuck, self.ledger.is_stuck = store, registry
        self.run(asyncio.sleep(0))

    @rule(
        data=st.data(),
        first=st.sampled_from(["", *sorted(COMMANDS)]),
        then=st.sampled_from(["", "pair", "stop"]),
    )
    def the_daemon_is_killed(self, data: st.DataObject, first: str, then: str) -> None:
        """Killed while a command is under way; another comes while the next daemon starts."""

        async def until_the_kill() -> None:
            if first:
                task = asyncio.ensure_future(self.command(first))
                await turns(data.draw(st.integers(0, 30), label="turns"))
                task.cancel()

        self.loop.run_until_complete(until_the_kill())
        self.kill_everything()
        self.ledger.die(data.draw(st.integers(0, self.ledger.unwritten), label="written"))
        before, store = self.record.id, self.worker.store
        self.build_daemon()
        if before not in self.ledger.disk:
            self.add()
            return
        self.keep(Keeper(self.ledger.disk[before], self.around))
        self.worker.store = store
        self.keeper.announce()
        commands = [self.resume()] + ([self.command(then)] if then else [])
        self.run(self.together(commands, data))

    async def resume(self) -> None:
        try:
            if self.record.intent == "remove":
                await self.keeper.remove(require_logout=False)
            else:
                await self.keeper.resume()
        except (TowerError, OSError):
            assert self.worker.store.is_stuck or self.ledger.is_stuck or self.keeper.account.is_removed

    @rule()
    def there_is_a_way_out(self) -> None:
        """With a disk, a fleet and a WhatsApp that are well, an unpair, a pair and a scan link it."""
        self.worker.store.is_stuck = self.ledger.is_stuck = False
        self.worker.answer = "yes"

        async def out() -> None:
            self.fleet.close("by command", by_command=True)
            self.gate.leave(STRANGERS[0])
            await asyncio.sleep(60)
            await self.keeper.unpair()
            assert not self.record.is_linked
            await self.keeper.pair(new_phone=True)
            if self.record.state is State.CONNECTING:
                # A disk that was full kept a device that WhatsApp has removed; it says so at the login.
                self.unlink(401, row_is_gone=True)
                await turns(50)
                await self.keeper.pair(new_phone=True)
            assert self.record.state is State.PAIRING
            assert self.worker.is_running
            self.show_qr(1)
            assert self.keeper.account.attempt.current(self.clock.monotonic()) is not None
            self.scan(PHONES[0], is_heard=True)
            await turns(50)
            self.worker.on_report(messages.Connected(identity=identity(PHONES[0])))
            await turns(50)
            assert self.record.state is State.CONNECTED

        self.run(out())

    # What must hold whenever nothing is under way.

    @invariant()
    def what_was_acknowledged_is_on_the_disk(self) -> None:
        if not self.life.conclusions.are_written:
            assert self.ledger.is_stuck
            return
        kept = self.ledger.disk[self.record.id]
        for column in INTENT_COLUMNS:
            assert getattr(kept, column) == getattr(self.record, column), column

    @invariant()
    def nothing_contradicts(self) -> None:
        account, record = self.keeper.account, self.record
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
        if self.record.state in (State.UNPAIRED, State.STOPPED, State.FAILED) or self.goes_on():
            return
        # Those that were held go on one after the other.
        self.run(asyncio.sleep(60))
        state = self.record.state
        assert state in (State.UNPAIRED, State.STOPPED, State.FAILED) or self.goes_on(), (
            f"{state} with {sorted(self.timers())}"
        )

    def goes_on(self) -> bool:
        return bool(
            self.worker.is_running
            or self.life.timers.is_running("retry")
            or self.record.id in self.fleet.held
            or self.record.id in self.gate._waiting
            or self.is_next_canary()
        )

    def is_next_canary(self) -> bool:
        """True while the fleet lets some time pass before it sends this account ahead."""
        timer = self.fleet._timer
        is_waiting = timer is not None and not timer.cancelled() and timer.when() > self.loop.time()
        return is_waiting and self.fleet.canary == self.record.id

    @invariant()
    def whatever_goes_on_has_an_end(self) -> None:
        state, timers = self.record.state, self.life.timers
        if state is State.PAIRING:
            assert timers.is_running("pairing")
        if state is State.AUTHENTICATED:
            assert timers.is_running("authenticated")
        if state is State.CONNECTED:
            assert self.life.pulse._timers.is_running("quiet")
        if state in (State.CONNECTING, State.RECONNECTING) and self.worker.is_running:
            assert timers.is_running("connect") or timers.is_running("library")

    @invariant()
    def who_is_held_does_not_log_in(self) -> None:
        if not self.fleet.admits(self.record.id) and self.worker.is_running:
            assert self.record.state not in (State.CONNECTING, State.RECONNECTING)

    @invariant()
    def a_code_on_offer_is_short_lived(self) -> None:
        attempt, now = self.keeper.account.attempt, self.clock.monotonic()
        offer = attempt.current(now) if attempt is not None else None
        assert offer is None or 0 < offer.expires_at - now <= 60
        code = attempt.current_code(now) if attempt is not None else None
        assert code is None or 0 < code.expires_at - now <= 160

    @invariant()
    def a_phone_has_one_account(self) -> None:
        mine, other = self.record, self.other.account.record
        assert not (mine.is_linked and mine.phone == other.phone)


AccountLife.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    # Commands end on threads, so no life is played twice alike: what fails is shown as it was, not smaller.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestAccountLife = AccountLife.TestCase
