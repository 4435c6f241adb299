"""The daemon: the only place that joins the parts, starts them in order and stops them in the reverse.

The one rule: the socket answers only when the registry is open and the accounts are known; the sessions are
closed before the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sessions.fence import Fence, read_fence
from sessions.states import State
from sessions.store import StoreKind, StoreLockedError
from towerd import __version__
from towerd.access import Access
from towerd.accounts import rescue
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord, account_event, daemon_event
from towerd.accounts.registry import Registry
from towerd.accounts.transactions import NameTakenError
from towerd.audit import Auditor
from towerd.clock import Clock
from towerd.configuration import Configuration
from towerd.declarations import DIRECTORY, Reader
from towerd.doctor.doctor import Doctor
from towerd.dropins import DropIns
from towerd.events import EventStream
from towerd.housekeeping import Housekeeping
from towerd.incidents import Incidents, Outlook, outlook
from towerd.metrics import Metrics
from towerd.notify import Notifier, Programs, wanted
from towerd.paths import Paths, shared_environment
from towerd.protocol.errors import TowerError
from towerd.reload import Reload
from towerd.rpc.call import Services
from towerd.rpc.server import Server, bind
from towerd.settings import Settings
from towerd.supervision.fleet import Fleet
from towerd.supervision.gate import StartGate
from towerd.supervision.names import ID_PATTERN
from towerd.supervision.roster import Roster
from towerd.supervision.spawn import Spawner
from towerd.supervision.stores import Stores
from towerd.supervision.supervisor import PATROL_SECONDS, Supervisor
from towerd.supervision.surroundings import Surroundings
from towerd.systemd import Systemd
from towerd.textfile import Textfile
from towerd.transfers import Transfers
from towerd.watch import Watch
from towerd.webhooks.courier import Courier
from towerd.webhooks.outbox import Outbox

log = logging.getLogger(__name__)

STATUS_SECONDS = 2.0
_STARTING: dict[str, Any] = {"state": State.CONNECTING, "reason": "start-queued"}
_EXPORTED: dict[str, Any] = {"state": State.STOPPED, "reason": "exported", "desired": "stopped"}
CLOSING_SECONDS = 9.0
"""Everything must be closed within this, so that SIGTERM takes less than 10 s."""


class Daemon:
    """All parts of a running towerd.

    Args:
        paths: where things lie; the state directory is held by the caller.
        settings: the configuration, checked already.
        clock: where time comes from.
        spawner: starts workers.
        stores: sealed or plain.
        systemd: the service manager, or nobody.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        *,
        clock: Clock,
        spawner: Spawner,
        stores: Stores,
        systemd: Systemd,
    ) -> None:
        self._systemd = systemd
        self._paths = paths
        self._settings = settings
        self._clock = clock
        self._spawner = spawner
        self._stores = stores
        # One list: what is wrong with the stores may change while towerd runs.
        self._problems = stores.problems
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then close everything in order.

        Raises:
            RegistryError: the account database cannot be opened.
            OSError: the state directory or the socket cannot be used.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloading.set)
        self._systemd.tell(STATUS="checking the account database")
        events = EventStream()
        rescued = self._prepare()
        registry = Registry(
            self._paths.database,
            kept_events=lambda: self._settings.current.events.kept,
            deliveries=Outbox(self._settings).deliveries,
        )
        ledger = Ledger(registry, events.publish)
        await ledger.open()
        try:
            await self._after_rescue(ledger, rescued)
            await self._serve(ledger, events)
        finally:
            await ledger.close()

    def _prepare(self) -> str | None:
        """Put a sound database in place; return what had to be done."""
        rescued = rescue.repair(self._paths.database)
        if rescued is None and not self._paths.database.exists() and self._stray_stores(set()):
            rescued = f"{self._paths.database.name} was missing and was rebuilt from the stores"
        if rescued is None:
            # Before the tables are brought up to date: an upgrade can be taken back.
            self._back_up()
        return rescued

    def _back_up(self) -> None:
        if not self._paths.database.exists():
            return
        try:
            rescue.take_backup(self._paths.database)
        except (OSError, sqlite3.Error) as error:
            log.error("no backup of the account database could be taken: %s", error)
            self._problems.append(f"no backup of the account database could be taken: {error}")

    async def _after_rescue(self, ledger: Ledger, rescued: str | None) -> None:
        if rescued is not None:
            log.error("%s", rescued)
            self._problems.append(rescued)
            # The clock in milliseconds is above any id that was ever given.
            floor = int(self._clock.now() * 1000)
            await ledger.read(lambda registry: registry.skip_event_ids(floor))
        known = {record.id for record in await ledger.read(lambda registry: registry.accounts())}
        for account_id in self._stray_stores(known):
            await self._adopt(ledger, account_id)
        if rescued is not None or not rescue.backup_path(self._paths.database).exists():
            await asyncio.to_thread(self._back_up)

    def _stray_stores(self, known: set[str]) -> list[str]:
        """Return the account ids that have a store and no row in the registry."""
        return sorted(
            entry.name
            for entry in self._paths.sessions_dir.iterdir()
            if ID_PATTERN.fullmatch(entry.name) and entry.name not in known and entry.is_dir()
        )

    async def _adopt(self, ledger: Ledger, account_id: str) -> None:
        """Give a store without an account one, when it holds a device; it belongs to the daemon's user."""
        with contextlib.suppress(StoreLockedError, OSError):
            directory = self._paths.sessions_dir / account_id
            fence = read_fence(directory)
            if fence is Fence.ARRIVING or not any(directory.glob("[!.]*")):
                # Its account was never added: nobody has been told of it.
                await asyncio.to_thread(self._stores.place(account_id).remove)
                return
            report = await self._stores.look(account_id)
            if report.kind is StoreKind.WRONG_KEY:
                self._problems.append(f"{account_id} has no account and cannot be opened: {report.detail}")
            if report.kind is not StoreKind.DEVICE or report.identity is None:
                return
            now = self._clock.now()
            record = AccountRecord(
                id=account_id,
                owner_uid=os.getuid(),
                created_at=now,
                name=f"recovered{account_id[1:]}",
                **(_EXPORTED if fence is not None else _STARTING),
                since=now,
                updated_at=now,
                is_linked=True,
                is_confirmed=True,
                **msgspec.structs.asdict(report.identity),
            )
            adopted = account_event(record, "account.recovered", {}, time=now)
            # Two stray stores of one phone: the second stays a stray, and the start goes on.
            with contextlib.suppress(NameTakenError, TowerError):
                await ledger.commit(lambda registry: registry.insert(record, [adopted]))
                words = f"account {record.name} was recovered from its store"
                log.warning("%s", words)
                self._problems.append(words)

    async def _serve(self, ledger: Ledger, events: EventStream) -> None:
        auditor = Auditor(ledger, self._clock)
        fleet = Fleet(self._settings, clock=self._clock, ledger=ledger)
        supervisor = Supervisor(
            Surroundings(
                settings=self._settings,
                clock=self._clock,
                ledger=ledger,
                auditor=auditor,
                roster=Roster(),
                fleet=fleet,
                gate=StartGate(lambda: self._settings.current.start.parallel or 4 * (os.cpu_count() or 1)),
                spawner=self._spawner,
                stores=self._stores,
            )
        )
        configuration = Configuration(
            self._paths.config,
            is_named=self._paths.is_config_named,
            settings=self._settings,
            clock=self._clock,
            ledger=ledger,
        )
        drop_ins = DropIns(
            configuration.path.parent / DIRECTORY,
            reader=Reader(owner_uid=os.getuid()),
            supervisor=supervisor,
            auditor=auditor,
            ledger=ledger,
            clock=self._clock,
        )
        reload = Reload(configuration, drop_ins, auditor=auditor, systemd=self._systemd, clock=self._clock)
        access = await asyncio.to_thread(Access, self._settings, own_uid=os.getuid())
        watch = Watch(
            files=[configuration.path],
            directories=[*configuration.directories, drop_ins.directory],
            on_change=reload.look,
        )

        metrics = Metrics(supervisor, self._clock.now())
        events.tap(metrics.take)
        courier = Courier(self._settings, ledger=ledger, clock=self._clock, count=metrics.attempted)
        events.tap(courier.wake)
        textfile = Textfile(metrics, self._settings)
        housekeeping = Housekeeping(self._settings, ledger=ledger, clock=self._clock)

        def problems() -> list[str]:
            asides = [one for one in (watch.problem, textfile.problem) if one]
            return [*self._problems, *access.unknown, *asides, *courier.problems]

        incidents, notifier = self._watch_over(
            ledger, lambda: outlook(supervisor, fleet, ledger, configuration, drop_ins, problems())
        )
        await incidents.load()
        doctor = Doctor(
            paths=self._paths,
            settings=self._settings,
            configuration=configuration,
            ledger=ledger,
            fleet=fleet,
            stores=self._stores,
            incidents=incidents,
            notifier=notifier,
            clock=self._clock,
            problems=lambda: [*problems(), *drop_ins.problems],
            environment=shared_environment(),
        )
        transfers = Transfers(self._paths.sessions_dir, self._clock)
        services = Services(
            metrics=metrics,
            textfile=textfile,
            courier=courier,
            supervisor=supervisor,
            access=access,
            ledger=ledger,
            auditor=auditor,
            fleet=fleet,
            notifier=notifier,
            doctor=doctor,
            events=events,
            clock=self._clock,
            settings=self._settings,
            stores=self._stores,
            transfers=transfers,
            configuration=configuration,
            drop_ins=drop_ins,
            reload=reload,
            watch=watch,
            state_dir=self._paths.state_dir,
            started_at=self._clock.now(),
            problems=self._problems,
        )
        records = await ledger.read(lambda registry: registry.accounts())
        server = Server(services)
        listening, remove_socket = self._listening()
        self._emit(ledger, "daemon.started", {"version": __version__, "accounts": len(records)})
        supervisor.restore(records)
        await drop_ins.apply()
        supervisor.resume()
        await server.listen(listening)
        log.info("towerd %s serves %d accounts on %s", __version__, len(records), listening.getsockname())
        self._systemd.tell(READY="1", STATUS=_status_of(supervisor))
        tasks = [
            asyncio.create_task(self._beat(supervisor), name="heartbeat"),
            asyncio.create_task(self._obey_hangups(reload), name="SIGHUP"),
            asyncio.create_task(access.watch(), name="access"),
            asyncio.create_task(watch.run(), name="watch"),
            asyncio.create_task(incidents.run(), name="incidents"),
            asyncio.create_task(notifier.run(), name="notifier"),
            asyncio.create_task(textfile.run(), name="textfile"),
            asyncio.create_task(courier.run(), name="webhooks"),
            asyncio.create_task(housekeeping.run(), name="housekeeping"),
            asyncio.create_task(self._stores.run(), name="stores"),
        ]
        try:
            await self._stopping.wait()
            log.info("stopping")
            self._systemd.tell(STOPPING="1", STATUS="closing the sessions")
            self._emit(ledger, "daemon.stopping", {})
        finally:
            for task in tasks:
                task.cancel()
            await self._close(server, supervisor)
            remove_socket()

    def _watch_over(self, ledger: Ledger, look: Callable[[], Outlook]) -> tuple[Incidents, Notifier]:
        """Return who sees what needs a human, and who tells people."""
        environment = shared_environment() | {"TOWER_SOCKET": str(self._paths.socket)}
        ways = Programs(self._settings, environment).channels(self._clock)
        incidents = Incidents(
            look,
            ledger=ledger,
            clock=self._clock,
            well_seconds=lambda: self._settings.current.notify.well_seconds,
            channels=lambda: [way.name for way in wanted(ways)],
        )
        notifier = Notifier(
            ways,
            incidents,
            ledger=ledger,
            clock=self._clock,
            retry_seconds=lambda: self._settings.current.notify.retry_seconds,
        )
        return incidents, notifier

    def _listening(self) -> tuple[socket.socket, Callable[[], None]]:
        """Return the listening socket, systemd's or our own, and what removes it at the end."""
        if self._systemd.listening is not None:
            return self._systemd.listening, lambda: None
        path = self._paths.socket
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        listening = bind(path, mode=self._paths.socket_mode)
        inode = path.stat().st_ino
        return listening, lambda: _unlink(path, inode)

    async def _beat(self, supervisor: Supervisor) -> None:
        """Tell systemd how things are, and that the event loop and the supervision pass run in time."""
        period = min(STATUS_SECONDS, (self._systemd.watchdog_seconds or math.inf) / 3)
        told = ""
        while True:
            await asyncio.sleep(period)
            if self._clock.monotonic() - supervisor.patrolled_at < 3 * PATROL_SECONDS + period:
                self._systemd.tell(WATCHDOG="1")
            if (line := _status_of(supervisor)) != told and self._systemd.tell(STATUS=line):
                told = line

    async def _obey_hangups(self, reload: Reload) -> None:
        """Reload at each SIGHUP; those that come meanwhile are one."""
        while True:
            await self._reloading.wait()
            self._reloading.clear()
            await reload.run_unasked("SIGHUP")

    async def _close(self, server: Server, supervisor: Supervisor) -> None:
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await asyncio.gather(server.close(), supervisor.close())
                await self._stores.close()
        except TimeoutError:
            log.error("not everything could be closed within %g s", CLOSING_SECONDS)

    def _emit(self, ledger: Ledger, event_type: str, data: dict[str, Any]) -> None:
        ledger.post(events=[daemon_event(event_type, data, time=self._clock.now())])


def status_line(states: Sequence[State], *, start_done: int, start_total: int) -> str:
    """Return the daemon at a glance, for `systemctl status`: the accounts, and how far the start is."""
    counts = Counter(state.value for state in states)
    up = counts.pop(State.CONNECTED.value, 0)
    rest = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    line = f"{up}/{len(states)} connected" + (f"; {rest}" if rest else "")
    return f"starting, {start_done}/{start_total} done: {line}" if start_done < start_total else line


def _status_of(supervisor: Supervisor) -> str:
    states = [keeper.account.state for keeper in supervisor.keepers]
    return status_line(states, start_done=supervisor.start_done, start_total=supervisor.start_total)


def _unlink(path: Path, inode: int) -> None:
    """Remove our socket, not one that somebody else has put there since."""
    with contextlib.suppress(OSError):
        if path.stat().st_ino == inode:
            path.unlink()
