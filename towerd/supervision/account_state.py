"""What is true of one account right now, and the only hand that writes it.

The one rule: a state is assigned in `move` and nowhere else; that one place consults the table, logs
`old -> new (reason)`, posts the transition and the event, and wakes whoever waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from sessions.messages import Identity
from sessions.states import ATTEMPT_STATES, IllegalTransition, State, Trigger, next_state
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord, EventDraft, TransitionRecord, account_event
from towerd.clock import Clock
from towerd.protocol.errors import TowerError
from towerd.supervision.pairing import PairingAttempt

log = logging.getLogger(__name__)

_TOUCH_SECONDS = 60.0

NO_DEVICE: dict[str, Any] = {
    "is_linked": False,
    "is_confirmed": False,
    "is_primary": False,
    "jid": None,
    "lid": None,
    "device_number": None,
    "push_name": None,
    "business_name": None,
    "platform": None,
    "pairing_started_at": None,
    "pairing_phone": None,
}
"""The facts of an account without a linked device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Where the reconnect schedule stands; attempt 0 is the library's own retry."""

    attempt: int
    next_attempt_at: float | None


class AccountState:
    """One account's record, pairing attempt and retry, with those who wait for a change.

    Args:
        record: as loaded, or as just inserted.
        ledger: writes behind what happens.
        clock: gives the time of transitions.
    """

    def __init__(self, record: AccountRecord, *, ledger: Ledger, clock: Clock) -> None:
        self.record = record
        self.attempt: PairingAttempt | None = None
        self.retry: Retry | None = None
        self.is_removed = False
        self._touched_at = 0.0
        self._ledger = ledger
        self._clock = clock
        self._watchers: set[Callable[[], None]] = set()

    @property
    def name(self) -> str:
        """The account's name, for logs and hints."""
        return self.record.name

    @property
    def state(self) -> State:
        """The session's state."""
        return self.record.state

    def move(self, trigger: Trigger, reason: str | None, **facts: Any) -> bool:
        """Carry out a transition, together with facts that become true by it.

        Returns:
            False when the table has no such transition: late news, logged and dropped.
        """
        old = self.record.state
        try:
            new = next_state(old, trigger)
        except IllegalTransition as error:
            log.info("%s: dropped: %s", self.name, error)
            return False
        self._assign(new, reason, facts)
        return True

    def reconnecting(self, reason: str, retry: Retry, **facts: Any) -> bool:
        """Say that the connection is lost, and when the next try is; return False when that is late news."""
        if not self.move(Trigger.DISCONNECTED, reason, **facts):
            return False
        self.retry = retry
        self.changed()
        return True

    def trying(self) -> None:
        """Say that the next try is now."""
        if self.retry is not None:
            self.retry = replace(self.retry, next_attempt_at=None)

    def restore(self, state: State, reason: str | None) -> None:
        """Assign where a start of the daemon finds the account, whatever the last one left."""
        if (state, reason) != (self.record.state, self.record.reason):
            self._assign(state, reason, {})

    def note(self, **facts: Any) -> None:
        """Record facts that change no state."""
        now = self._clock.now()
        self.record = msgspec.structs.replace(self.record, updated_at=now, **facts)
        self._ledger.post(self.record)
        self.changed()

    def touch(self) -> None:
        """Note a sign of life; it goes to disk at most once a minute."""
        now = self._clock.now()
        self.record = msgspec.structs.replace(self.record, last_seen_at=now)
        if now - self._touched_at >= _TOUCH_SECONDS or now < self._touched_at:
            self._touched_at = now
            self._ledger.post(self.record)

    def note_seal(self, sequence: int) -> None:
        """Note the last seal of the store; it changes nothing that anybody sees."""
        if sequence > self.record.sealed_sequence:
            self.record = msgspec.structs.replace(self.record, sealed_sequence=sequence)
            self._ledger.post(self.record)

    async def written(self) -> None:
        """Wait until what was noted is durable; a disk that cannot be written is no reason to wait on."""
        try:
            await self._ledger.settle()
        except TowerError as error:
            log.error("%s: going on although %s", self.name, error.message)

    def identify(self, identity: Identity) -> dict[str, Any]:
        """Return the facts of an identity, keeping what the library does not know this time."""
        facts = {
            "jid": identity.jid,
            "device_number": identity.device_number,
            "lid": identity.lid,
            "push_name": identity.push_name,
            "business_name": identity.business_name,
            "platform": identity.platform,
        }
        same = identity.jid == self.record.jid
        return {
            key: getattr(self.record, key) if value is None and same else value
            for key, value in facts.items()
        }

    async def intend(self, *, always: bool = False, **columns: Any) -> None:
        """Commit what an operator asked for, before anything is done about it.

        Args:
            always: commit also what stands there already, so that a disk that cannot be written is noticed.
            columns: the intent columns.

        Raises:
            TowerError: `registry-unavailable`; nothing was changed.
            NameTakenError: the name is taken; nothing was changed.
        """
        if not always and all(getattr(self.record, key) == value for key, value in columns.items()):
            return
        wanted = msgspec.structs.replace(self.record, **columns)
        events = []
        if wanted.name != self.record.name:
            events.append(
                self.draft("account.renamed", {"old": self.record.name, "new": wanted.name}, name=wanted.name)
            )
        await self._ledger.commit(lambda registry: registry.write_intent(wanted, events))
        # Not `wanted`: the actual columns may have moved on while the disk was busy.
        self.record = msgspec.structs.replace(self.record, **columns)
        self.changed()

    def presume(self, **columns: Any) -> None:
        """Set intent columns that could not be committed; whoever does commits them later."""
        self.record = msgspec.structs.replace(self.record, **columns)
        self.changed()

    def emit(self, event_type: str, data: dict[str, Any]) -> None:
        """Post an event of this account."""
        self._ledger.post(events=[self.draft(event_type, data)])

    def draft(self, event_type: str, data: dict[str, Any], *, name: str | None = None) -> EventDraft:
        """Return an event of this account for the ledger."""
        return account_event(self.record, event_type, data, time=self._clock.now(), name=name)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call a function at every change, for as long as the account is there."""
        self._watchers.add(watcher)

    def changed(self) -> None:
        """Let everybody who waits look again, at once: a state may pass within one turn of the loop."""
        for watcher in list(self._watchers):
            watcher()

    def mark_removed(self) -> None:
        """Say to all who wait that the account is gone."""
        self.is_removed = True
        self._ledger.forget(self.record.id)
        self.changed()

    async def until(self, predicate: Callable[[], bool], timeout_seconds: float | None) -> bool:
        """Wait until something holds of this account; it is asked at every change.

        Args:
            predicate: asked now and at every change.
            timeout_seconds: None waits for ever.

        Returns:
            False when the time was over first.

        Raises:
            TowerError: `account-not-found`, the account was removed meanwhile.
        """
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def look() -> None:
            if not reached.done() and (self.is_removed or predicate()):
                reached.set_result(None)

        self._watchers.add(look)
        try:
            look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await reached
        finally:
            self._watchers.discard(look)
        if self.is_removed:
            raise TowerError("account-not-found", f"account {self.name} was removed")
        return reached.done() and not reached.cancelled()

    def _assign(self, new: State, reason: str | None, facts: dict[str, Any]) -> None:
        old, now = self.record.state, self._clock.now()
        since = self.record.since if new is old else now
        was = (old, self.record.reason)
        # A retry belongs to one state, an attempt to two; neither outlives them.
        if new is not State.RECONNECTING:
            self.retry = None
        if new not in ATTEMPT_STATES:
            self.attempt = None
            facts = {"pairing_started_at": None, "pairing_phone": None} | facts
        if new is State.UNPAIRED:
            facts = {"cause": reason} | facts
        elif new is State.CONNECTED:
            facts = {"cause": None, "banned_until": None} | facts
        if old is State.CONNECTED and new is not State.CONNECTED:
            facts = {"last_disconnected_at": now} | facts
        self.record = msgspec.structs.replace(
            self.record, **facts, state=new, reason=reason, since=since, updated_at=now
        )
        if was == (new, reason):
            self._ledger.post(self.record)
        else:
            log.info("%s: %s -> %s%s", self.name, old, new, f" ({reason})" if reason else "")
            self._ledger.post(
                self.record,
                transition=TransitionRecord(
                    account_id=self.record.id, time=now, old=old, new=new, reason=reason
                ),
                events=[self.draft("session.state", {"old": old.value, "new": new.value, "reason": reason})],
            )
        self.changed()
