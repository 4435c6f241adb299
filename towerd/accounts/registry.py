"""Every query of the account database, in one place.

The one rule: values in, values out, and each write is one transaction. All calls come from the ledger's one
thread; none of them waits for anything but the disk.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from peewee import IntegrityError, PeeweeException, SqliteDatabase, fn
from playhouse.migrations import run as run_migrations

from sessions.messages import Group
from sessions.states import State
from towerd.accounts import casebook, mailbox, models, outgoing, transitions
from towerd.accounts.models import Account, Audit, Event
from towerd.accounts.postbox import Postbox
from towerd.accounts.records import (
    ACTUAL_COLUMNS,
    INTENT_COLUMNS,
    AccountRecord,
    Arrival,
    AuditRecord,
    Batch,
    DeliveryRecord,
    EventDraft,
    EventQuery,
    EventRecord,
    GroupRecord,
    IncidentRecord,
    MessageQuery,
    MessageRecord,
    OutgoingRecord,
    TrafficRecord,
    TransitionRecord,
    Written,
)
from towerd.accounts.transactions import RegistryError, Transaction, reading

MIGRATIONS = Path(__file__).parent / "migrations"
_PRUNED_EVERY = 100
"""So many messages come in between two looks for those that are too many or too old."""

_NEWEST_EVENT_ID = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"


class Registry:
    """The account database.

    Args:
        path: the SQLite file.
        kept_events: says how many events are kept before the oldest go.
        deliveries: says what is to be delivered of an event; it is queued together with the event.

    Attributes:
        postbox: the deliveries.
    """

    def __init__(
        self,
        path: Path,
        *,
        kept_events: Callable[[], int] = lambda: 100_000,
        deliveries: Callable[[EventRecord], list[DeliveryRecord]] = lambda _: [],
    ) -> None:
        self._path = path
        self._kept_events = kept_events
        self._deliveries = deliveries
        self._written_events = 0
        # FULL: what was acknowledged survives a power cut; WAL: one fsync a commit, readers never wait.
        self._database = SqliteDatabase(
            str(path), pragmas={"journal_mode": "wal", "synchronous": "full", "busy_timeout": 5000}
        )
        models.database.initialize(self._database)
        self.postbox = Postbox(self._database)

    def open(self) -> None:
        """Open the database and bring its tables up to date.

        Raises:
            RegistryError: it cannot be opened, or it is damaged.
        """
        try:
            self._database.connect(reuse_if_open=True)
            run_migrations(self._database, str(MIGRATIONS))
        except (PeeweeException, OSError) as error:
            self._database.close()
            raise RegistryError(str(error)) from error

    def close(self) -> None:
        """Close the database, folding the write-ahead log into it."""
        self._database.close()

    def accounts(self) -> list[AccountRecord]:
        """Return all accounts by creation time, then id.

        Raises:
            RegistryError: the database cannot be read.
        """
        rows: Any = Account.select().order_by(Account.created_at, Account.id).dicts()
        with reading():
            return [_account(row) for row in rows]

    def insert(self, record: AccountRecord, events: Iterable[EventDraft] = ()) -> list[EventRecord]:
        """Add an account.

        Raises:
            NameTakenError: the owner has an account of this name.
            RegistryError: nothing was written.
        """
        return self.insert_all([record], events)

    def insert_all(
        self, records: Iterable[AccountRecord], events: Iterable[EventDraft] = ()
    ) -> list[EventRecord]:
        """Add accounts, all of them or none.

        Raises:
            NameTakenError: an owner has an account of such a name.
            RegistryError: nothing was written.
        """
        with Transaction(self._database):
            for record in records:
                Account.insert(**_row(record, record.__struct_fields__)).execute()
                transitions.write(
                    TransitionRecord(
                        account_id=record.id,
                        time=record.since,
                        old=None,
                        new=record.state,
                        reason=record.reason,
                    )
                )
            return self._write_events(events)

    def write_intent(self, record: AccountRecord, events: Iterable[EventDraft] = ()) -> list[EventRecord]:
        """Write the intent columns of an account.

        Raises:
            NameTakenError: the owner has another account of this name.
            RegistryError: nothing was written.
        """
        with Transaction(self._database):
            Account.update(**_row(record, INTENT_COLUMNS)).where(Account.id == record.id).execute()
            return self._write_events(events)

    def write_behind(self, batch: Batch) -> Written:
        """Write what happened: the actual columns, transitions and events.

        A phone or a first place that another row holds stays with that row; the rest is written.

        Raises:
            RegistryError: nothing was written.
        """
        with Transaction(self._database):
            # First all give their unique places up: within one batch two accounts may change places.
            changing = [record.id for record in batch.accounts]
            Account.update(phone=None, is_primary=False).where(Account.id.in_(changing)).execute()
            refused = [record.id for record in batch.accounts if not self._write_actual(record)]
            for transition in batch.transitions:
                transitions.write(transition)
            for audit in batch.audits:
                Audit.insert(**_audit_row(audit)).execute()
            casebook.write(batch.incidents)
            return Written(events=self._write_events(batch.events), refused=refused)

    def _write_actual(self, record: AccountRecord) -> bool:
        """Write the actual columns of an account; return False when an index refused what it claims."""
        row, mine = _row(record, ACTUAL_COLUMNS), Account.id == record.id
        try:
            with self._database.savepoint():
                Account.update(**row).where(mine).execute()
        except IntegrityError:
            Account.update(**row | {"phone": None, "is_primary": False}).where(mine).execute()
            return False
        return True

    def delete(self, account_id: str, events: Iterable[EventDraft] = ()) -> list[EventRecord]:
        """Delete an account and its history; its events stay.

        Raises:
            RegistryError: nothing was written.
        """
        with Transaction(self._database):
            Account.delete().where(Account.id == account_id).execute()
            transitions.delete(account_id)
            mailbox.delete(account_id)
            outgoing.delete(account_id)
            return self._write_events(events)

    def keep_messages(self, arrival: Arrival) -> tuple[int, list[EventRecord]]:
        """Keep messages of one account that came in; those that are known already change nothing.

        Returns:
            How many count as received, and the events.

        Raises:
            RegistryError: nothing was written.
        """
        with Transaction(self._database):
            added = mailbox.insert(arrival.messages)
            received = sum(one.is_counted for one in added)
            if received:
                mailbox.count(arrival.account_id, arrival.day, received=received)
            if added and added[-1].id % _PRUNED_EVERY < len(added):
                mailbox.prune(arrival.account_id, kept=arrival.kept, before=arrival.kept_since)
            return received, self._write_events(arrival.event(one) for one in added if not one.from_me)

    def replace_groups(
        self, account_id: str, groups: Iterable[Group], *, synced_at: float, events: Iterable[EventDraft]
    ) -> list[EventRecord]:
        """Put another list of groups in the place of an account's last one.

        Raises:
            RegistryError: nothing was written.
        """
        with Transaction(self._database):
            mailbox.replace_groups(account_id, groups, synced_at)
            return self._write_events(events)

    def groups(self, account_id: str) -> list[GroupRecord]:
        """Return an account's groups by name.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return mailbox.groups(account_id)

    def messages(self, query: MessageQuery) -> list[MessageRecord]:
        """Return the messages that fit, oldest first.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return mailbox.select(query)

    def traffic(self, account_id: str, day: str) -> TrafficRecord:
        """Return what an account has received and sent on a day.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return mailbox.traffic(account_id, day)

    def accept(self, record: OutgoingRecord) -> OutgoingRecord:
        """Add a text to be sent, or return the one that its key names already.

        Raises:
            RegistryError: nothing was written.
        """
        with Transaction(self._database):
            known = outgoing.by_key(record.account_id, record.key) if record.key is not None else None
            return known or outgoing.insert(record)

    def write_outgoing(
        self, record: OutgoingRecord, events: Iterable[EventDraft] = (), *, day: str | None = None
    ) -> list[EventRecord]:
        """Write what has become of a text; with a day it counts as sent on it.

        Raises:
            RegistryError: nothing was written.
        """
        with Transaction(self._database):
            outgoing.update(record)
            if day is not None:
                mailbox.count(record.account_id, day, sent=1)
            return self._write_events(events)

    def prune(self, account_id: str, *, kept: int, before: float) -> None:
        """Delete an account's messages and settled texts that are too many or too old.

        Raises:
            RegistryError: nothing was deleted.
        """
        with Transaction(self._database):
            mailbox.prune(account_id, kept=kept, before=before)
            outgoing.prune(account_id, kept=kept, before=before)

    def outgoing_by_key(self, account_id: str, key: str) -> OutgoingRecord | None:
        """Return the text that a key names.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return outgoing.by_key(account_id, key)

    def outgoing_by_id(self, account_id: str, row_id: int) -> OutgoingRecord | None:
        """Return a text by its id.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return outgoing.by_id(account_id, row_id)

    def unsettled(self, account_id: str) -> list[OutgoingRecord]:
        """Return the texts of an account that wait or are under way, in their order.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return outgoing.unsettled(account_id)

    def outgoing(self, account_id: str, limit: int) -> list[OutgoingRecord]:
        """Return an account's last texts, oldest first.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return outgoing.last(account_id, limit)

    def sent_since(self, account_id: str, moment: float) -> list[float]:
        """Return when an account's texts were sent after a moment, the earliest first.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return outgoing.sent_since(account_id, moment)

    def history(self, account_id: str, limit: int) -> list[TransitionRecord]:
        """Return an account's last transitions, newest first.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return transitions.last(account_id, limit)

    def events(self, query: EventQuery) -> list[EventRecord]:
        """Return the events that fit, oldest first.

        Raises:
            RegistryError: the database cannot be read.
        """
        rows = _fitting(Event, Event.type, query)
        if query.owners is not None:
            rows = rows.where(Event.owner_uid.in_(query.owners))
        with reading():
            return [_event(row) for row in rows.order_by(Event.id).limit(query.limit).dicts()]

    def audits(self, query: EventQuery) -> list[AuditRecord]:
        """Return the last audit rows that fit, oldest first; `types` are actions.

        Raises:
            RegistryError: the database cannot be read.
        """
        rows = _fitting(Audit, Audit.action, query)
        if query.owners is not None:
            is_own = Audit.account_id.is_null() & (Audit.uid == query.by_uid)
            rows = rows.where(Audit.owner_uid.in_(query.owners) | is_own)
        with reading():
            found = [AuditRecord(**row) for row in rows.order_by(Audit.id.desc()).limit(query.limit).dicts()]
        return found[::-1]

    def unsettled_incidents(self) -> list[IncidentRecord]:
        """Return the incidents that are open, or of whose end somebody has not been told, oldest first.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            return casebook.unsettled()

    def event_bounds(self) -> tuple[int, int]:
        """Return the id before the oldest event kept, and the newest id ever given; (0, 0) at first.

        Raises:
            RegistryError: the database cannot be read.
        """
        with reading():
            newest = self._database.execute_sql(_NEWEST_EVENT_ID).fetchone()
            oldest = Event.select(fn.MIN(Event.id)).scalar()
        newest_id = newest[0] if newest else 0
        return (oldest - 1 if oldest is not None else newest_id), newest_id

    def skip_event_ids(self, floor: int) -> None:
        """Let event ids continue above `floor`: after a restored backup, ids that were given must not repeat.

        Raises:
            RegistryError: nothing was written.
        """
        _, newest = self.event_bounds()
        with Transaction(self._database):
            self._database.execute_sql("DELETE FROM sqlite_sequence WHERE name = 'event'")
            self._database.execute_sql(
                "INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?)", (max(newest, floor),)
            )

    def _write_events(self, drafts: Iterable[EventDraft]) -> list[EventRecord]:
        records: list[EventRecord] = []
        for draft in drafts:
            event_id = Event.insert(
                time=draft.time,
                type=draft.type,
                account_id=draft.account_id,
                account_name=draft.account_name,
                owner_uid=draft.owner_uid,
                data=json.dumps(draft.data),
            ).execute()
            record = EventRecord(id=event_id, **msgspec.structs.asdict(draft))
            self.postbox.insert(self._deliveries(record))
            records.append(record)
        self._prune_events(len(records))
        return records

    def _prune_events(self, written: int) -> None:
        self._written_events += written
        if self._written_events < 1000:
            return
        self._written_events = 0
        # Counted, not reckoned from the newest id: after a restored backup the ids jump.
        newest_to_go = Event.select(Event.id).order_by(Event.id.desc()).offset(self._kept_events()).limit(1)
        Event.delete().where(Event.id <= newest_to_go).execute()


def _fitting(table: Any, kind: Any, query: EventQuery) -> Any:
    """Select the rows of a log that fit; `kind` is the column that the query's types are about."""
    rows = table.select()
    for bound, column, compare in (
        (query.after_id, table.id, operator.gt),
        (query.until_id, table.id, operator.le),
        (query.from_time, table.time, operator.ge),
        (query.until_time, table.time, operator.le),
        (query.account_id, table.account_id, operator.eq),
    ):
        if bound is not None:
            rows = rows.where(compare(column, bound))
    return rows.where(kind.in_(query.types)) if query.types else rows


def _account(row: dict[str, Any]) -> AccountRecord:
    # The phone is a column only for the index; the record knows it from the JID.
    del row["phone"]
    return AccountRecord(**row | {"state": State(row["state"])})


def _audit_row(audit: AuditRecord) -> dict[str, Any]:
    return {name: getattr(audit, name) for name in audit.__struct_fields__ if name != "id"}


def _row(record: AccountRecord, columns: Iterable[str]) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in columns}
    if "jid" in row:
        row["phone"] = record.phone
    if "state" in row:
        row["state"] = record.state.value
    return row


def _event(row: dict[str, Any]) -> EventRecord:
    return EventRecord(**row | {"data": json.loads(row["data"])})
