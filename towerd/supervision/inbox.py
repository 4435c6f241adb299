"""One account's messages on their way from the worker to the registry.

The one rule: the worker is told to forget a message only after the commit; what a worker left in its spool is
taken before anything else happens to its directory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from sessions import messages
from sessions.incoming import Incoming
from towerd.accounts.records import AccountRecord, Arrival, EventDraft, EventRecord, MessageRecord
from towerd.accounts.registry import Registry
from towerd.protocol.errors import TowerError
from towerd.supervision.account_state import AccountState
from towerd.supervision.carrier import Carrier
from towerd.supervision.surroundings import Surroundings
from towerd.supervision.tally import Tally

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_BATCH = 500
_MAX_WAITING = 5000
"""Beyond this the spool alone holds what waits for the database."""


class Inbox:
    """Takes messages in.

    Args:
        account: whose messages they are.
        carrier: its worker is told what is committed.
        tally: counts them.
        around: the daemon's parts.
    """

    def __init__(self, account: AccountState, carrier: Carrier, tally: Tally, around: Surroundings) -> None:
        self._account = account
        self._carrier = carrier
        self._tally = tally
        self._around = around
        # With the generation of the worker that said it: the numbers are that worker's.
        self._waiting: list[tuple[int, messages.MessageCame]] = []
        self._writer: asyncio.Task[None] | None = None
        self._has_skipped = False

    def take(self, report: messages.MessageCame) -> None:
        """Take a message from the worker."""
        if len(self._waiting) < _MAX_WAITING or report.number == 0:
            self._waiting.append((self._carrier.generation, report))
        else:
            # It stays in the spool until this worker ends, and so do all that come behind it.
            self._has_skipped = True
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name=f"inbox {self._account.name}")

    async def take_spool(self) -> None:
        """Commit what a worker has left, as far as database and disk let; no worker may be running."""
        store = self._carrier.store
        try:
            left = await asyncio.to_thread(store.spooled)
            if left:
                log.info("%s: %d messages were still in the spool", self._account.name, len(left))
                await self._commit([one.message for one in left])
                await asyncio.to_thread(store.clear_spool)
        except TowerError as error:
            log.error("%s: messages stay in the spool: %s", self._account.name, error.message)
        except OSError as error:
            log.error("%s: the spool cannot be taken: %s", self._account.name, error)
        else:
            # All the others are committed now.
            self._waiting = [one for one in self._waiting if one[1].number == 0]
            self._has_skipped = False

    def close(self) -> None:
        """Stop; what is not committed is in the spool."""
        if self._writer is not None:
            self._writer.cancel()

    async def _write(self) -> None:
        """Commit what waits, as long as something does."""
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            try:
                await self._commit([report.message for _, report in batch])
            except TowerError as error:
                log.error("%s: messages wait for the account database: %s", self._account.name, error)
                self._waiting = batch + self._waiting
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            generation, last = batch[-1]
            if generation == self._carrier.generation and not self._has_skipped:
                self._carrier.tell(messages.Committed(number=last.number))

    async def _commit(self, incoming: Sequence[Incoming]) -> None:
        await self._tally.look()
        now, config = self._around.clock.now(), self._around.config.messages
        record = self._account.record
        arrival = Arrival(
            account_id=record.id,
            messages=[_record(record, one, now) for one in incoming],
            day=self._tally.day,
            kept=config.kept,
            kept_since=now - config.kept_days * 86400.0,
            event=self._event,
        )
        counted: list[int] = []

        def write(registry: Registry) -> list[EventRecord]:
            received, events = registry.keep_messages(arrival)
            counted.append(received)
            return events

        await self._around.ledger.commit(write)
        self._tally.count(arrival.day, received=counted[0])
        self._account.note(last_activity_at=now)

    def _event(self, message: MessageRecord) -> EventDraft:
        """Make the event of a message: what it is about, never what it says."""
        is_reaction = message.kind == "reaction"
        return self._account.draft(
            "reaction.received" if is_reaction else "message.received",
            {
                "message": message.id,
                "chat": message.chat,
                "sender": message.sender or message.sender_lid,
                "kind": message.kind,
            },
        )


def _record(account: AccountRecord, message: Incoming, now: float) -> MessageRecord:
    facts = msgspec.structs.asdict(message)
    message_id = facts.pop("id")
    return MessageRecord(account_id=account.id, message_id=message_id, received_at=now, **facts)
