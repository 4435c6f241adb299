"""The queries about incidents; they run inside the registry's transactions.

The one rule: an incident that is open, or of whose end somebody has not been told, is never forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from towerd.accounts.models import Incident
from towerd.accounts.records import IncidentRecord

KEPT_INCIDENTS = 1000
"""Incidents kept that are over and of which everybody was told."""


def write(incidents: Sequence[IncidentRecord]) -> None:
    """Write incidents as they are now, and let go of the oldest that are settled."""
    for incident in incidents:
        row = msgspec.structs.asdict(incident) | {"told": json.dumps(incident.told)}
        Incident.insert(**row).on_conflict("REPLACE").execute()
    if any(incident.is_settled for incident in incidents):
        old = (
            Incident.select(Incident.id)
            .where(Incident.is_settled)
            .order_by(Incident.closed_at.desc(), Incident.id)
            .offset(KEPT_INCIDENTS)
            .limit(-1)
        )
        Incident.delete().where(Incident.id.in_(old)).execute()


def unsettled() -> list[IncidentRecord]:
    """Return those that are not settled, oldest first."""
    rows: Any = Incident.select().where(~Incident.is_settled).order_by(Incident.opened_at, Incident.id)
    return [IncidentRecord(**row | {"told": json.loads(row["told"])}) for row in rows.dicts()]
