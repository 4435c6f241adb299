"""The table of incidents: what is unsettled comes back, what is settled is kept for a while."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.towerd.builders import ACCOUNT_ID, NOW
from towerd.accounts import casebook
from towerd.accounts.models import Incident
from towerd.accounts.records import Batch, IncidentRecord
from towerd.accounts.registry import Registry


def an_incident(number: int = 1, **fields: Any) -> IncidentRecord:
    defaults: dict[str, Any] = {
        "id": f"i-{number}",
        "subject": ACCOUNT_ID,
        "kind": "banned",
        "line": "alpha: banned",
        "action": None,
        "opened_at": NOW + number,
    }
    return IncidentRecord(**(defaults | fields))


def write(registry: Registry, *incidents: IncidentRecord) -> None:
    registry.write_behind(Batch(accounts=[], transitions=[], events=[], incidents=list(incidents)))


def test_models_hold_every_column_of_a_record() -> None:
    assert set(Incident._meta.fields) == set(IncidentRecord.__struct_fields__)


def test_incident_comes_out_as_it_went_in_and_as_it_is_now(registry: Registry) -> None:
    full = an_incident(
        action="act",
        account_id=ACCOUNT_ID,
        account_name="alpha",
        owner_uid=1000,
        told={"command": ["banned", "locked"], "mail": []},
    )
    write(registry, full)
    assert registry.unsettled_incidents() == [full]
    over = msgspec.structs.replace(full, closed_at=NOW + 9, outcome="connected")
    write(registry, over)
    assert registry.unsettled_incidents() == [over]


def test_unsettled_ones_come_oldest_first_and_settled_ones_do_not(registry: Registry) -> None:
    write(registry, an_incident(2), an_incident(1), an_incident(3, closed_at=NOW, is_settled=True))
    assert [one.id for one in registry.unsettled_incidents()] == ["i-1", "i-2"]


def test_of_the_settled_ones_the_newest_are_kept(
    registry: Registry, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(casebook, "KEPT_INCIDENTS", 2)
    write(registry, an_incident(0))
    for number in range(1, 6):
        write(registry, an_incident(number, closed_at=NOW + number, is_settled=True))
    with contextlib.closing(sqlite3.connect(database)) as connection:
        kept = [row[0] for row in connection.execute("SELECT id FROM incident ORDER BY id")]
    assert kept == ["i-0", "i-4", "i-5"]
