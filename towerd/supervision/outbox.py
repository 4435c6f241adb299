"""One account's texts on their way out: accepted, sent one after the other, settled.

The one rule: accepted means stored, and a text is handed to WhatsApp at most once. When nobody can say what
became of it (the worker died over it, the server never answered) it has failed, and says so; sending it again
is for whoever sent it to decide.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from sessions import messages
from sessions.states import LINKED_STATES, State
from towerd.accounts.records import EventDraft, EventRecord, OutgoingRecord
from towerd.accounts.registry import Registry
from towerd.protocol.errors import ACCOUNT, Field, TowerError
from towerd.supervision.account_state import AccountState
from towerd.supervision.carrier import Carrier
from towerd.supervision.process import OrderFailedError, WorkerEndedError
from towerd.supervision.surroundings import Surroundings
from towerd.supervision.tally import Tally

log = logging.getLogger(__name__)

ANSWER_SECONDS = 90.0
"""What the library is given: it waits 75 s itself for the server's acknowledgement (whatsmeow request.go)."""
MAX_ATTEMPTS = 5
_BACKOFF_CAP_SECONDS = 60.0
_LOOK_SECONDS = 30.0
"""How often it is looked whether a new day has begun: the clock may be set meanwhile."""
_RETRY_SECONDS = 1.0
_MINUTE_SECONDS = 60.0

_End = Literal["sent", "failed"]

# What the library says of a text that was certainly not sent and never will be, and the reason to show.
_FINAL = {"not-on-whatsapp": "not-on-whatsapp", "refused": "refused-by-whatsapp"}


class Outbox:
    """Sends one account's texts.

    Args:
        account: whose texts they are.
        carrier: its worker sends them.
        tally: counts them.
        around: the daemon's parts.
    """

    def __init__(self, account: AccountState, carrier: Carrier, tally: Tally, around: Surroundings) -> None:
        self._account = account
        self._carrier = carrier
        self._tally = tally
        self._around = around
        self._queue: dict[int, OutgoingRecord] = {}
        self._being_stored = 0
        self._sent_at: deque[float] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._is_closed = False
        self._watchers: set[Callable[[OutgoingRecord], None]] = set()
        account.watch(self._look)

    @property
    def waiting(self) -> int:
        """How many texts wait or are under way."""
        return len(self._queue)

    async def load(self) -> None:
        """Take over what the last run of the daemon left.

        Raises:
            TowerError: `registry-unavailable`.
        """
        account_id, now = self._account.record.id, self._now()
        await self._tally.look()
        left = await self._around.ledger.read(lambda registry: registry.unsettled(account_id))
        sent = await self._around.ledger.read(
            lambda registry: registry.sent_since(account_id, now - _MINUTE_SECONDS)
        )
        self._sent_at.extend(moment for moment in sent if moment <= now)
        for record in left:
            self._queue[record.id] = record
            if record.state == "sending":
                # The daemon ended over it.
                await self._end(record, "failed", "outcome-unknown")
        self._look()

    async def accept(self, *, target: str, text: str, key: str | None) -> OutgoingRecord:
        """Store a text to be sent; a key that is known already changes nothing.

        Raises:
            TowerError: `not-connected`, `limit-reached`, `queue-full`, `invalid-field`: the key names another
                text; `registry-unavailable`. Nothing was stored.
        """
        account_id, now = self._account.record.id, self._now()
        record = OutgoingRecord(
            account_id=account_id, key=key, target=target, text=text, created_at=now, next_attempt_at=now
        )
        if key is not None:
            known = await self._around.ledger.read(lambda registry: registry.outgoing_by_key(account_id, key))
            if known is not None:
                return _the_same(known, record)
        await self._tally.look()
        self._require_room()
        # From here to the queue it has a place in the count: others ask while it is being written.
        self._being_stored += 1
        try:
            stored = _the_same(await self._store(record), record)
            if stored.state == "queued" and stored.id not in self._queue:
                self._queue[stored.id] = stored
        finally:
            self._being_stored -= 1
        self._look()
        return stored

    async def _store(self, record: OutgoingRecord) -> OutgoingRecord:
        accepted: list[OutgoingRecord] = []

        def write(registry: Registry) -> list[EventRecord]:
            accepted.append(registry.accept(record))
            return []

        await self._around.ledger.commit(write)
        return accepted[0]

    async def settled(self, record: OutgoingRecord, timeout_seconds: float) -> OutgoingRecord:
        """Wait until a text is sent or has failed; return how it stands when the time is over."""
        done: asyncio.Future[OutgoingRecord] = asyncio.get_running_loop().create_future()

        def look(changed: OutgoingRecord) -> None:
            if changed.id == record.id and changed.state in ("sent", "failed") and not done.done():
                done.set_result(changed)

        self._watchers.add(look)
        try:
            if record.id not in self._queue:
                return await self._read(record)
            async with asyncio.timeout(timeout_seconds):
                return await done
        except TimeoutError:
            return self._queue.get(record.id) or await self._read(record)
        finally:
            self._watchers.discard(look)

    async def fail_all(self, reason: str) -> None:
        """Give up what waits, as far as the database lets: the device that was to send it is gone."""
        await self._stop()
        for record in list(self._queue.values()):
            try:
                await self._end(record, "failed", "outcome-unknown" if record.state == "sending" else reason)
            except TowerError as error:
                log.error("%s: texts that wait could not be given up: %s", self._account.name, error.message)
                return

    def close(self) -> None:
        """Stop sending for good; what waits goes on after the next start."""
        self._is_closed = True
        if self._sender is not None:
            self._sender.cancel()

    async def _stop(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _require_room(self) -> None:
        """Insist that a text can be taken.

        Raises:
            TowerError: `not-connected`, `queue-full`, `limit-reached`.
        """
        record, limits = self._account.record, self._around.config.limits
        if record.state not in LINKED_STATES:
            raise TowerError(
                "not-connected",
                f"{record.name} is {record.state.value}, so it sends nothing",
                hint=_VERBS.get(record.state, _QR),
            )
        waiting = len(self._queue) + self._being_stored
        if waiting >= limits.queue:
            raise TowerError(
                "queue-full",
                f"{waiting} texts of {record.name} wait already",
                hint="try again when some are sent; limits.queue says how many may wait",
            )
        daily = self._tally.daily_limit
        if self._tally.sent + waiting >= daily:
            raise TowerError(
                "limit-reached",
                f"{record.name} has sent or is to send {daily} texts today, which is its daily limit",
                hint="try again tomorrow, or raise limits.daily in tower.toml(5)",
            )

    # Sending.

    def _look(self) -> None:
        """Send when there is something to send and a connection to send it through."""
        self._changed.set()
        is_idle = not self._is_closed and (self._sender is None or self._sender.done())
        if self._queue and is_idle and self._account.state is State.CONNECTED:
            self._sender = asyncio.create_task(self._send_all(), name=f"outbox {self._account.name}")

    async def _send_all(self) -> None:
        """Send what waits, as long as the account is connected."""
        while self._queue and self._account.state is State.CONNECTED:
            try:
                delay, record = await self._next()
                if record is None:
                    await self._pause(delay)
                else:
                    await self._send(record)
            except TowerError as error:
                log.error("%s: texts wait for the account database: %s", self._account.name, error.message)
                await self._pause(_RETRY_SECONDS)

    async def _next(self) -> tuple[float, OutgoingRecord | None]:
        """Return the text to send now, or None and for how long there is none."""
        now = self._now()
        await self._tally.look()
        if self._tally.sent >= self._tally.daily_limit:
            return _LOOK_SECONDS, None
        while self._sent_at and not now - _MINUTE_SECONDS < self._sent_at[0] <= now:
            self._sent_at.popleft()
        if len(self._sent_at) >= self._tally.per_minute_limit:
            return self._sent_at[0] + _MINUTE_SECONDS - now, None
        delay, chats = _LOOK_SECONDS, set[str]()
        for record in self._queue.values():
            # What waits for another try holds back what follows it in its chat, and nothing else.
            chat = _chat(record)
            if chat not in chats and _is_due(record, now):
                return 0.0, record
            if chat not in chats:
                delay = min(delay, record.next_attempt_at - now)
            chats.add(chat)
        return delay, None

    async def _pause(self, seconds: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(max(0.01, min(seconds, _LOOK_SECONDS))):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _send(self, record: OutgoingRecord) -> None:
        record = msgspec.structs.replace(record, state="sending", attempts=record.attempts + 1, reason=None)
        await self._write(record)
        try:
            answer = await self._carrier.ask(
                lambda order_id: messages.Send(id=order_id, to=record.target, text=record.text),
                ANSWER_SECONDS,
            )
        except OrderFailedError as error:
            await self._after_failure(record, error)
            return
        chat, _, message_id = (answer or "").partition(" ")
        self._sent_at.append(self._now())
        record = msgspec.structs.replace(record, chat=chat, message_id=message_id)
        # Whoever was told of it may rely on it that the encryption never goes back behind it.
        await self._carrier.seal()
        await self._settle(record, "sent", None)

    async def _after_failure(self, record: OutgoingRecord, error: OrderFailedError) -> None:
        cause = str(error).partition(":")[0]
        if isinstance(error, WorkerEndedError) or error.timed_out or cause == "timeout":
            await self._settle(record, "failed", "outcome-unknown")
        elif cause in _FINAL:
            await self._settle(record, "failed", _FINAL[cause])
        elif cause == "not-connected":
            # It never left; that is no attempt.
            await self._write(
                msgspec.structs.replace(record, state="queued", reason=cause, attempts=record.attempts - 1)
            )
            await self._pause(_RETRY_SECONDS)
        elif record.attempts >= MAX_ATTEMPTS:
            await self._settle(record, "failed", "send-failed")
        else:
            delay = min(2.0**record.attempts, _BACKOFF_CAP_SECONDS)
            await self._write(
                msgspec.structs.replace(
                    record, state="queued", reason=cause, next_attempt_at=self._now() + delay
                )
            )

    async def _settle(self, record: OutgoingRecord, state: _End, reason: str | None) -> None:
        """Write the end of a text, however long it takes: what is sent must not be sent again."""
        while True:
            try:
                await self._end(record, state, reason)
            except TowerError as error:
                log.error("%s: the end of a text is not written yet: %s", self._account.name, error.message)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _end(self, record: OutgoingRecord, state: _End, reason: str | None) -> None:
        """Write the end of a text, and tell.

        Raises:
            TowerError: `registry-unavailable`.
        """
        record = msgspec.structs.replace(record, state=state, reason=reason, settled_at=self._now())
        if state == "sent":
            await self._tally.look()
        day = self._tally.day if state == "sent" else None
        event = self._event(record)
        await self._around.ledger.commit(lambda registry: registry.write_outgoing(record, [event], day=day))
        if day is not None:
            self._tally.count(day, sent=1)
            self._account.note(last_activity_at=self._now())
        self._queue.pop(record.id, None)
        for watcher in list(self._watchers):
            watcher(record)

    async def _write(self, record: OutgoingRecord) -> None:
        await self._around.ledger.commit(lambda registry: registry.write_outgoing(record))
        self._queue[record.id] = record

    async def _read(self, record: OutgoingRecord) -> OutgoingRecord:
        found = await self._around.ledger.read(
            lambda registry: registry.outgoing_by_id(record.account_id, record.id)
        )
        return found or record

    def _event(self, record: OutgoingRecord) -> EventDraft:
        """Make the event of a text's end: whom it was for and how it went, never what it says."""
        if record.state == "sent":
            facts = {"message": record.id, "chat": record.chat, "key": record.key}
            return self._account.draft("message.sent", facts)
        facts = {"message": record.id, "to": record.target, "key": record.key, "reason": record.reason}
        return self._account.draft("message.failed", facts)

    def _now(self) -> float:
        return self._around.clock.now()


_QR = f"link it first: towerctl qr {ACCOUNT}"
_VERBS = {
    State.STOPPED: f"run: towerctl start {ACCOUNT}",
    State.FAILED: f"see why: towerctl show {ACCOUNT}",
}


def _chat(record: OutgoingRecord) -> str:
    """Return what a text's chat is called, whether its person was named by number or by the JID of it."""
    return record.target.removesuffix("@s.whatsapp.net")


def _is_due(record: OutgoingRecord, now: float) -> bool:
    # Later than any delay of ours: the clock was set back since.
    return record.next_attempt_at <= now or record.next_attempt_at > now + _BACKOFF_CAP_SECONDS


def _the_same(known: OutgoingRecord, wanted: OutgoingRecord) -> OutgoingRecord:
    """Return the text that a key names, when it is the one that is wanted.

    Raises:
        TowerError: `invalid-field`, it is another.
    """
    if (known.target, known.text) != (wanted.target, wanted.text):
        why = "names another text already; take a new key for each"
        raise TowerError("invalid-field", f"key: {why}", fields=(Field(field="key", why=why),))
    return known
