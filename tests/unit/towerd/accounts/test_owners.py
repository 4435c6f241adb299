"""Whose accounts events and audit rows are about: it outlives the accounts, and says who may read them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerd.builders import NOW, a_batch, account_id, an_account, an_event
from towerd.accounts import registry as registry_module
from towerd.accounts.records import AuditRecord, Batch, EventQuery, account_event, daemon_event
from towerd.accounts.registry import MIGRATIONS, Registry

ALICE, BOB = 1001, 1002


def an_audit(**fields: Any) -> AuditRecord:
    defaults: dict[str, Any] = {
        "time": NOW,
        "uid": ALICE,
        "user": "alice",
        "pid": 1,
        "source": "cli",
        "action": "account.stop",
        "account_id": account_id(1),
        "account_label": "alpha",
        "owner_uid": ALICE,
        "result": "done",
    }
    return AuditRecord(**(defaults | fields))


def audited(registry: Registry, *audits: AuditRecord) -> None:
    registry.write_behind(Batch(accounts=[], transitions=[], events=[], audits=list(audits)))


def actions(registry: Registry, owners: frozenset[int] | None, by_uid: int | None = None) -> list[str]:
    return [row.action for row in registry.audits(EventQuery(owners=owners, by_uid=by_uid))]


def types(registry: Registry, owners: frozenset[int] | None, **query: Any) -> list[str]:
    return [event.type for event in registry.events(EventQuery(owners=owners, **query))]


def test_event_of_an_account_has_its_owner_and_one_of_the_daemon_none() -> None:
    record = an_account(owner_uid=BOB, name="old")
    event = account_event(record, "account.renamed", {"new": "new"}, time=NOW, name="new")
    assert (event.account_id, event.account_name, event.owner_uid) == (record.id, "new", BOB)
    own = daemon_event("daemon.started", {}, time=NOW)
    assert (own.account_id, own.account_name, own.owner_uid) == (None, None, None)


@pytest.fixture
def told(registry: Registry) -> Registry:
    registry.write_behind(
        a_batch(
            an_event(1, type="of.alice", owner_uid=ALICE),
            an_event(2, type="of.bob", account_id=account_id(2), owner_uid=BOB),
            an_event(3, type="of.nobody", account_id=None, account_name=None, owner_uid=None),
            an_event(4, type="of.alice.too", account_id=account_id(3), owner_uid=ALICE),
        )
    )
    return registry


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        (None, ["of.alice", "of.bob", "of.nobody", "of.alice.too"]),
        (frozenset({ALICE}), ["of.alice", "of.alice.too"]),
        (frozenset({ALICE, BOB}), ["of.alice", "of.bob", "of.alice.too"]),
        (frozenset({7}), []),
        (frozenset(), []),
    ],
)
def test_events_are_those_of_the_owners(
    told: Registry, owners: frozenset[int] | None, expected: list[str]
) -> None:
    assert types(told, owners) == expected


def test_limit_counts_what_may_be_read_and_the_filters_add_up(told: Registry) -> None:
    assert types(told, frozenset({BOB}), limit=1) == ["of.bob"]
    assert types(told, frozenset({ALICE}), account_id=account_id(3)) == ["of.alice.too"]
    assert types(told, frozenset({ALICE}), account_id=account_id(2)) == []


def test_events_of_a_removed_account_stay_with_its_owner(registry: Registry) -> None:
    record = an_account(owner_uid=BOB)
    registry.insert(record, [account_event(record, "account.added", {}, time=NOW)])
    registry.delete(record.id, [account_event(record, "account.removed", {}, time=NOW)])
    assert types(registry, frozenset({BOB})) == ["account.added", "account.removed"]
    assert types(registry, frozenset({ALICE})) == []


def test_audit_rows_are_those_of_the_owners_and_what_one_did_to_no_account(registry: Registry) -> None:
    none: dict[str, Any] = {"account_id": None, "account_label": None, "owner_uid": None}
    audited(
        registry,
        an_audit(action="alice.on.alice"),
        an_audit(action="bob.on.alice", uid=BOB),
        an_audit(action="alice.on.bob", account_id=account_id(2), owner_uid=BOB),
        an_audit(action="alice.on.none", **none),
        an_audit(action="bob.on.none", uid=BOB, **none),
        an_audit(action="daemon.on.none", uid=None, source="daemon", **none),
    )
    assert actions(registry, frozenset({ALICE}), ALICE) == ["alice.on.alice", "bob.on.alice", "alice.on.none"]
    assert actions(registry, frozenset({BOB}), BOB) == ["alice.on.bob", "bob.on.none"]
    assert len(actions(registry, None, ALICE)) == 6


def test_migration_finds_the_owners_of_what_happened_before(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, earlier, ignore=lambda _place, names: [one for one in names if one >= "0003"])
    with monkeypatch.context() as before:
        before.setattr(registry_module, "MIGRATIONS", earlier)
        opened_and_closed(database)
    owners = {"a": ALICE, "gone": BOB, "lost": None, None: None}
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.executescript(BEFORE)
    opened_and_closed(database)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for table in ("event", "audit"):
            assert dict(connection.execute(f"SELECT account_id, owner_uid FROM {table}")) == owners


BEFORE = """
    INSERT INTO account (id, owner_uid, created_at, name, desired, state, since, is_linked, is_confirmed,
                         is_primary, updated_at)
    VALUES ('a', 1001, 1, 'a', 'running', 'unpaired', 1, 0, 0, 0, 1);
    INSERT INTO event (time, type, account_id, data)
    VALUES (1, 't', 'a', '{}'), (1, 't', 'gone', '{}'), (1, 't', 'lost', '{}'), (1, 't', NULL, '{}');
    INSERT INTO audit (time, uid, user, source, action, account_id, result)
    VALUES (1, 9, 'u', 'cli', 'account.stop', 'gone', 'done'),
           (1, 1002, 'u', 'cli', 'account.add', 'gone', 'done'),
           (1, 8, 'u', 'cli', 'account.add', 'gone', 'done'),
           (1, 9, 'u', 'cli', 'account.stop', 'lost', 'done'),
           (1, 9, 'u', 'cli', 'account.add', NULL, 'invalid-field'),
           (1, 9, 'u', 'cli', 'account.stop', 'a', 'done');
"""


def opened_and_closed(database: Path) -> None:
    registry = Registry(database)
    registry.open()
    registry.close()
