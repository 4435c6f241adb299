"""The account database: what goes in comes out, and a write is whole or it is not."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sessions.states import State
from tests.unit.towerd.builders import (
    ACCOUNT_ID,
    NOW,
    a_batch,
    a_linked_account,
    a_transition,
    account_id,
    an_account,
    an_event,
)
from towerd.accounts import registry as registry_module
from towerd.accounts.models import Account
from towerd.accounts.records import AccountRecord, Batch, EventQuery, EventRecord
from towerd.accounts.registry import Registry
from towerd.accounts.transactions import NameTakenError, RegistryError
from towerd.accounts.transitions import KEPT_TRANSITIONS


def ids(events: list[EventRecord]) -> list[int]:
    return [event.id for event in events]


def all_events(registry: Registry) -> list[EventRecord]:
    return registry.events(EventQuery(limit=1_000_000))


def dump(database: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


# --- accounts --------------------------------------------------------------------------------------------


def test_account_comes_out_as_it_went_in(registry: Registry) -> None:
    full = a_linked_account(
        display_name="Älpha",
        desired="stopped",
        expected_phone="+491701234567",
        intent="logout",
        is_primary=True,
        business_name="Shop",
        pairing_started_at=NOW + 0.125,
        last_connected_at=NOW + 1,
        last_disconnected_at=NOW + 2,
        last_seen_at=NOW + 3,
        last_activity_at=NOW + 4,
    )
    registry.insert(full)
    assert registry.accounts() == [full]


def test_models_hold_every_column_of_a_record() -> None:
    # The phone is kept beside the JID that it comes from, for the index that lets nobody claim it twice.
    assert set(Account._meta.fields) == {*AccountRecord.__struct_fields__, "phone"}


def test_accounts_come_by_creation_then_id(registry: Registry) -> None:
    created = {account_id(3): NOW, account_id(1): NOW + 1, account_id(2): NOW + 1, account_id(9): NOW - 1}
    for number, (one, created_at) in enumerate(created.items()):
        registry.insert(an_account(id=one, name=f"n{number}", created_at=created_at))
    assert [one.id for one in registry.accounts()] == [
        account_id(9),
        account_id(3),
        account_id(1),
        account_id(2),
    ]


def test_insert_begins_the_history(registry: Registry) -> None:
    registry.insert(an_account())
    first = registry.history(ACCOUNT_ID, 10)
    assert [(one.old, one.new, one.reason, one.time) for one in first] == [
        (None, State.UNPAIRED, "never-paired", NOW)
    ]


def test_name_is_taken_once_per_owner_and_nothing_is_written(registry: Registry, database: Path) -> None:
    registry.insert(an_account())
    before = dump(database)
    with pytest.raises(NameTakenError):
        registry.insert(an_account(id=account_id(1)), [an_event()])
    assert dump(database) == before


def test_another_owner_may_use_the_same_name(registry: Registry) -> None:
    registry.insert(an_account())
    registry.insert(an_account(id=account_id(1), owner_uid=1001))
    assert {(one.owner_uid, one.name) for one in registry.accounts()} == {(1000, "alpha"), (1001, "alpha")}


def test_rename_to_a_taken_name_changes_nothing(registry: Registry, database: Path) -> None:
    registry.insert(an_account())
    beta = an_account(id=account_id(1), name="beta")
    registry.insert(beta)
    before = dump(database)
    with pytest.raises(NameTakenError):
        registry.write_intent(
            msgspec.structs.replace(beta, name="alpha", desired="stopped"), [an_event(type="account.renamed")]
        )
    assert dump(database) == before


def test_second_account_with_one_id_is_an_error_but_not_a_taken_name(registry: Registry) -> None:
    registry.insert(an_account())
    with pytest.raises(RegistryError):
        registry.insert(an_account(name="beta"))


def test_intent_and_actual_never_overwrite_each_other(registry: Registry) -> None:
    registry.insert(an_account())
    asked = an_account(
        name="renamed", display_name="d", desired="stopped", expected_phone="+1", intent="unpair"
    )
    happened = a_linked_account(last_seen_at=NOW + 9)
    registry.write_intent(asked)
    registry.write_behind(Batch(accounts=[happened], transitions=[], events=[]))
    both = msgspec.structs.replace(
        happened, name="renamed", display_name="d", desired="stopped", expected_phone="+1", intent="unpair"
    )
    assert registry.accounts() == [both]
    registry.write_intent(an_account())
    assert registry.accounts() == [happened]


def test_owner_and_creation_never_change(registry: Registry) -> None:
    registry.insert(an_account())
    other = an_account(owner_uid=0, created_at=0.0)
    registry.write_intent(other)
    registry.write_behind(Batch(accounts=[other], transitions=[], events=[]))
    (kept,) = registry.accounts()
    assert (kept.owner_uid, kept.created_at) == (1000, NOW)


def test_claim_that_another_row_holds_is_refused_and_stops_nothing_else(registry: Registry) -> None:
    registry.insert(an_account())
    registry.insert(an_account(id=account_id(1), name="beta"))
    registry.write_behind(Batch(accounts=[a_linked_account()], transitions=[], events=[]))
    rival = a_linked_account(id=account_id(1), name="beta", reason="rival", is_primary=False)
    written = registry.write_behind(
        Batch(accounts=[rival], transitions=[a_transition(1)], events=[an_event(1)])
    )
    assert written.refused == [account_id(1)]
    assert [one.type for one in written.events] == ["session.state"]
    assert {one.id: one.reason for one in registry.accounts()}[account_id(1)] == "rival"
    held = registry._database.execute_sql("SELECT id FROM account WHERE phone IS NOT NULL").fetchall()
    assert held == [(ACCOUNT_ID,)]


def test_delete_takes_the_history_and_leaves_the_events(registry: Registry) -> None:
    registry.insert(an_account(), [an_event(1)])
    registry.insert(an_account(id=account_id(1), name="beta"))
    registry.delete(ACCOUNT_ID, [an_event(2, type="account.removed")])
    assert [one.id for one in registry.accounts()] == [account_id(1)]
    assert registry.history(ACCOUNT_ID, 10) == []
    assert len(registry.history(account_id(1), 10)) == 1
    assert [one.type for one in all_events(registry)] == ["session.state", "account.removed"]


def test_name_of_a_deleted_account_is_free(registry: Registry) -> None:
    registry.insert(an_account())
    registry.delete(ACCOUNT_ID)
    registry.insert(an_account(id=account_id(1)))
    assert [one.name for one in registry.accounts()] == ["alpha"]


def test_news_of_a_deleted_account_brings_nothing_back(registry: Registry) -> None:
    registry.insert(an_account())
    registry.delete(ACCOUNT_ID)
    registry.write_behind(Batch(accounts=[a_linked_account()], transitions=[], events=[]))
    assert registry.accounts() == []


# --- history ---------------------------------------------------------------------------------------------


def test_history_is_newest_first_and_as_long_as_asked(registry: Registry) -> None:
    registry.insert(an_account())
    registry.write_behind(
        Batch(accounts=[], transitions=[a_transition(number) for number in range(1, 6)], events=[])
    )
    assert [one.reason for one in registry.history(ACCOUNT_ID, 3)] == ["reason-5", "reason-4", "reason-3"]


def test_history_is_bounded_per_account(registry: Registry) -> None:
    registry.insert(an_account())
    registry.insert(an_account(id=account_id(1), name="beta"))
    many = [a_transition(number) for number in range(KEPT_TRANSITIONS + 50)]
    registry.write_behind(Batch(accounts=[], transitions=many, events=[]))
    kept = registry.history(ACCOUNT_ID, 10_000)
    assert len(kept) == KEPT_TRANSITIONS
    assert kept[0].reason == f"reason-{KEPT_TRANSITIONS + 49}"
    assert len(registry.history(account_id(1), 10)) == 1


# --- events ----------------------------------------------------------------------------------------------


def test_event_comes_out_as_it_went_in_with_its_id(registry: Registry) -> None:
    written = registry.write_behind(a_batch(an_event(data={"ä": [1, None, {"b": True}]})))
    assert written.events == all_events(registry)
    assert written.events[0].data == {"ä": [1, None, {"b": True}]}


def test_event_ids_rise_over_all_kinds_of_writes(registry: Registry) -> None:
    written = [
        *registry.insert(an_account(), [an_event(1), an_event(2)]),
        *registry.write_intent(an_account(), [an_event(3)]),
        *registry.write_behind(a_batch(an_event(4))).events,
        *registry.delete(ACCOUNT_ID, [an_event(5)]),
    ]
    assert ids(written) == sorted(set(ids(written)))
    assert len(written) == 5


def test_event_ids_do_not_repeat_after_all_events_are_gone(registry: Registry, database: Path) -> None:
    last = ids(registry.write_behind(a_batch(an_event(1), an_event(2))).events)[-1]
    registry.close()
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM event")
    registry.open()
    assert registry.event_bounds() == (last, last)
    assert ids(registry.write_behind(a_batch(an_event(3))).events) == [last + 1]


def test_event_ids_of_a_write_that_failed_leave_no_doubt(registry: Registry) -> None:
    registry.insert(an_account(), [an_event(1)])
    with pytest.raises(NameTakenError):
        registry.insert(an_account(id=account_id(1)), [an_event(2)])
    registry.write_behind(a_batch(an_event(3)))
    found = ids(all_events(registry))
    assert found == sorted(set(found))


@pytest.mark.parametrize("floor", [0, 10, 1_790_000_000_000])
def test_event_ids_go_on_above_a_floor_and_never_below_what_was_given(registry: Registry, floor: int) -> None:
    given = ids(registry.write_behind(a_batch(*(an_event(number) for number in range(20)))).events)
    registry.skip_event_ids(floor)
    assert registry.event_bounds()[1] == max(floor, given[-1])
    assert ids(registry.write_behind(a_batch(an_event())).events) == [max(floor, given[-1]) + 1]


def test_floor_holds_in_a_registry_without_events(registry: Registry) -> None:
    registry.skip_event_ids(500)
    assert registry.event_bounds() == (500, 500)
    assert ids(registry.write_behind(a_batch(an_event())).events) == [501]


def test_bounds_of_a_new_registry_are_zero(registry: Registry) -> None:
    assert registry.event_bounds() == (0, 0)


def test_bounds_name_the_id_before_the_oldest_and_the_newest(registry: Registry) -> None:
    registry.write_behind(a_batch(*(an_event(number) for number in range(5))))
    assert registry.event_bounds() == (0, 5)


QUERIES: list[tuple[EventQuery, list[int]]] = [
    (EventQuery(), [1, 2, 3, 4, 5, 6]),
    (EventQuery(after_id=2), [3, 4, 5, 6]),
    (EventQuery(until_id=2), [1, 2]),
    (EventQuery(after_id=2, until_id=4), [3, 4]),
    (EventQuery(from_time=NOW + 4), [4, 5, 6]),
    (EventQuery(until_time=NOW + 4), [1, 2, 3, 4]),
    (EventQuery(account_id=ACCOUNT_ID), [1, 2, 3]),
    (EventQuery(account_id="a-unknownnnn"), []),
    (EventQuery(types=("account.added",)), [2, 4]),
    (EventQuery(types=("account.added", "daemon.started")), [2, 4, 6]),
    (EventQuery(account_id=ACCOUNT_ID, types=("account.added",)), [2]),
    (EventQuery(limit=2), [1, 2]),
    (EventQuery(after_id=3, limit=2), [4, 5]),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_query_finds_what_fits_oldest_first(
    registry: Registry, query: EventQuery, expected: list[int]
) -> None:
    other: dict[str, Any] = {"account_id": account_id(1), "account_name": "beta"}
    registry.write_behind(
        a_batch(
            an_event(1),
            an_event(2, type="account.added"),
            an_event(3),
            an_event(4, type="account.added", **other),
            an_event(5, **other),
            an_event(6, type="daemon.started", account_id=None, account_name=None),
        )
    )
    assert ids(registry.events(query)) == expected


def test_oldest_events_go_and_as_many_as_configured_stay(database: Path) -> None:
    registry = Registry(database, kept_events=lambda: 1000)
    registry.open()
    for start in range(0, 3500, 500):
        registry.write_behind(a_batch(*(an_event(number) for number in range(start, start + 500))))
    kept = ids(all_events(registry))
    assert 1000 <= len(kept) <= 2000
    assert kept[-1] == 3500
    assert registry.event_bounds() == (kept[0] - 1, 3500)
    registry.close()


def test_jump_of_the_ids_after_a_restore_costs_no_event(database: Path) -> None:
    registry = Registry(database, kept_events=lambda: 5000)
    registry.open()
    registry.write_behind(a_batch(*(an_event(number) for number in range(500))))
    registry.skip_event_ids(1_790_000_000_000)
    registry.write_behind(a_batch(*(an_event(number) for number in range(2000))))
    assert len(all_events(registry)) == 2500
    registry.close()


# --- the file --------------------------------------------------------------------------------------------


def test_everything_is_there_after_opening_again(database: Path) -> None:
    first = Registry(database)
    first.open()
    first.insert(a_linked_account(), [an_event()])
    first.close()
    second = Registry(database)
    second.open()
    assert second.accounts() == [a_linked_account()]
    assert len(all_events(second)) == 1
    second.close()


def test_migrations_run_once(registry: Registry, database: Path) -> None:
    registry.insert(an_account())
    before = dump(database)
    registry.close()
    for _ in range(3):
        registry.open()
        registry.close()
    assert dump(database) == before
    registry.open()


def test_every_migration_has_a_number_of_its_own() -> None:
    names = [path.name for path in registry_module.MIGRATIONS.glob("[0-9]*.py")]
    assert names
    assert sorted(int(name[:4]) for name in names) == list(range(1, len(names) + 1))


def test_commits_are_full_and_nobody_waits_for_readers(registry: Registry) -> None:
    pragma = registry._database.pragma
    assert (pragma("synchronous"), pragma("journal_mode")) == (2, "wal")


def test_database_is_not_made_more_open_than_the_umask(database: Path, registry: Registry) -> None:
    assert stat.S_IMODE(database.stat().st_mode) & 0o022 == 0


# --- failures --------------------------------------------------------------------------------------------

WRITES: dict[str, Callable[[Registry], object]] = {
    "insert": lambda registry: registry.insert(an_account(id=account_id(1), name="beta"), [an_event()]),
    "intent": lambda registry: registry.write_intent(an_account(name="renamed"), [an_event()]),
    "behind": lambda registry: registry.write_behind(
        Batch(accounts=[a_linked_account()], transitions=[a_transition()], events=[an_event()])
    ),
    "delete": lambda registry: registry.delete(ACCOUNT_ID, [an_event()]),
    "skip": lambda registry: registry.skip_event_ids(99),
}
READS: dict[str, Callable[[Registry], object]] = {
    "accounts": lambda registry: registry.accounts(),
    "history": lambda registry: registry.history(ACCOUNT_ID, 1),
    "events": lambda registry: registry.events(EventQuery()),
    "bounds": lambda registry: registry.event_bounds(),
}


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("write", WRITES)
def test_write_to_a_locked_database_is_an_error_and_changes_nothing(
    registry: Registry, database: Path, write: str
) -> None:
    registry.insert(an_account(), [an_event()])
    before = dump(database)
    registry._database.execute_sql("PRAGMA busy_timeout = 50")
    with locked(database), pytest.raises(RegistryError):
        WRITES[write](registry)
    assert dump(database) == before
    WRITES[write](registry)
    assert dump(database) != before


@pytest.mark.parametrize("write", [name for name in WRITES if name != "skip"])
def test_write_that_fails_at_its_last_step_changes_nothing(
    registry: Registry, database: Path, write: str
) -> None:
    registry.insert(an_account(), [an_event()])
    registry._database.execute_sql(
        "CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    )
    before = dump(database)
    with pytest.raises(RegistryError, match="disk is full"):
        WRITES[write](registry)
    assert dump(database) == before
    registry._database.execute_sql("DROP TRIGGER full")
    WRITES[write](registry)
    assert dump(database) != before


@pytest.mark.parametrize("read", READS)
def test_read_from_a_damaged_table_is_the_registrys_own_error(registry: Registry, read: str) -> None:
    for table in ("account", "transition", "event"):
        registry._database.execute_sql(f'ALTER TABLE "{table}" RENAME TO "gone_{table}"')
    with pytest.raises(RegistryError):
        READS[read](registry)


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_damaged_file_cannot_be_opened(database: Path, content: bytes) -> None:
    database.write_bytes(content)
    with pytest.raises(RegistryError):
        Registry(database).open()


def test_directory_in_the_way_cannot_be_opened(database: Path) -> None:
    database.mkdir()
    with pytest.raises(RegistryError):
        Registry(database).open()


# --- claims ----------------------------------------------------------------------------------------------


def two_accounts(registry: Registry, **fields: Any) -> tuple[AccountRecord, AccountRecord]:
    """Insert two accounts of one owner, the first with a linked device."""
    first = a_linked_account(id=account_id(1), name="first", **fields)
    second = an_account(id=account_id(2), name="second")
    for one in (first, second):
        registry.insert(one)
    return first, second


def behind(*accounts: AccountRecord) -> Batch:
    return Batch(accounts=list(accounts), transitions=[], events=[])


def test_phone_is_linked_once_per_owner(registry: Registry) -> None:
    first, second = two_accounts(registry)
    registry.write_behind(behind(first))
    claiming = msgspec.structs.replace(second, is_linked=True, jid=first.jid)
    assert registry.write_behind(behind(claiming)).refused == [second.id]


def test_another_owner_may_link_the_same_phone(registry: Registry) -> None:
    registry.insert(a_linked_account(id=account_id(1)))
    registry.insert(a_linked_account(id=account_id(2), owner_uid=1001))
    assert len(registry.accounts()) == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_phone_that_moves_within_one_batch_is_written_in_any_order(
    registry: Registry, order: tuple[int, int]
) -> None:
    first, second = two_accounts(registry, is_primary=True)
    moved = (
        msgspec.structs.replace(first, is_linked=False, is_primary=False, jid=None, state=State.UNPAIRED),
        msgspec.structs.replace(second, is_linked=True, is_primary=True, jid=first.jid),
    )
    registry.write_behind(behind(*(moved[index] for index in order)))
    assert registry.accounts() == list(moved)


def test_phones_that_are_swapped_within_one_batch_are_written(registry: Registry) -> None:
    first = a_linked_account(id=account_id(1), name="first")
    second = a_linked_account(id=account_id(2), name="second", jid="491709999999@s.whatsapp.net")
    for one in (first, second):
        registry.insert(one)
    swapped = (
        msgspec.structs.replace(first, jid=second.jid),
        msgspec.structs.replace(second, jid=first.jid),
    )
    registry.write_behind(behind(*swapped))
    assert registry.accounts() == list(swapped)
