"""The queries about deliveries to webhooks.

The one rule: what is queued is never deleted while its endpoint is configured; of what is over the newest are
kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from peewee import SqliteDatabase, fn

from towerd.accounts.models import Delivery
from towerd.accounts.records import DeliveryRecord
from towerd.accounts.transactions import Transaction, reading

KEPT = {"delivered": 1000, "dead": 10_000}
"""Deliveries that are over, kept for each endpoint."""

_PRUNED_EVERY = 100


class Postbox:
    """Deliveries in the account database.

    Args:
        database: the registry's; all calls come from its thread.
    """

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def insert(self, records: Iterable[DeliveryRecord]) -> None:
        """Add deliveries; inside a transaction of the registry."""
        for record in records:
            row = msgspec.structs.asdict(record)
            del row["id"]
            Delivery.insert(**row).execute()

    def heads(self, endpoint: str, *, busy: Sequence[str], limit: int) -> list[DeliveryRecord]:
        """Return what each lane of an endpoint waits with, the soonest due first.

        Args:
            endpoint: its name.
            busy: lanes that are left out.
            limit: how many at most.

        Raises:
            RegistryError: the database cannot be read.
        """
        firsts = (
            Delivery.select(fn.MIN(Delivery.id))
            .where((Delivery.endpoint == endpoint) & (Delivery.state == "queued"))
            .group_by(Delivery.lane)
        )
        rows = Delivery.select().where(Delivery.id.in_(firsts) & Delivery.lane.not_in(list(busy)))
        with reading():
            return _records(rows.order_by(Delivery.next_attempt_at, Delivery.id).limit(limit))

    def write(self, record: DeliveryRecord) -> DeliveryRecord | None:
        """Write what has become of a delivery; return what its lane waits with now, None when with nothing.

        Raises:
            RegistryError: nothing was written.
        """
        with Transaction(self._database):
            Delivery.update(**msgspec.structs.asdict(record)).where(Delivery.id == record.id).execute()
            if record.id % _PRUNED_EVERY == 0:
                self._prune(record.endpoint)
            following = (
                Delivery.select()
                .where(
                    (Delivery.endpoint == record.endpoint)
                    & (Delivery.state == "queued")
                    & (Delivery.lane == record.lane)
                )
                .order_by(Delivery.id)
                .limit(1)
            )
            return next(iter(_records(following)), None)

    def again(self, endpoint: str, row_id: int | None, *, now: float) -> int:
        """Let deliveries be tried anew, at once: one, or all that are dead or waiting; return how many.

        Raises:
            RegistryError: nothing was written.
        """
        chosen = Delivery.state.in_(("dead", "queued")) if row_id is None else Delivery.id == row_id
        with Transaction(self._database):
            changed: int = (
                Delivery.update(state="queued", attempts=0, created_at=now, next_attempt_at=now)
                .where((Delivery.endpoint == endpoint) & chosen)
                .execute()
            )
            return changed

    def last(self, endpoints: Sequence[str], state: str | None, limit: int) -> list[DeliveryRecord]:
        """Return the last deliveries to some endpoints, oldest first.

        Raises:
            RegistryError: the database cannot be read.
        """
        rows = Delivery.select().where(Delivery.endpoint.in_(list(endpoints)))
        if state is not None:
            rows = rows.where(Delivery.state == state)
        with reading():
            return _records(rows.order_by(Delivery.id.desc()).limit(limit))[::-1]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many deliveries there are by endpoint and state.

        Raises:
            RegistryError: the database cannot be read.
        """
        rows: Any = Delivery.select(
            Delivery.endpoint, Delivery.state, fn.COUNT(Delivery.id).alias("number")
        ).group_by(Delivery.endpoint, Delivery.state)
        with reading():
            return {(row["endpoint"], row["state"]): row["number"] for row in rows.dicts()}

    def forget(self, *, but: Sequence[str], before: float) -> None:
        """Delete what is from before a time and for other endpoints than these.

        Raises:
            RegistryError: nothing was deleted.
        """
        with Transaction(self._database):
            Delivery.delete().where(
                Delivery.endpoint.not_in(list(but)) & (Delivery.created_at < before)
            ).execute()

    def _prune(self, endpoint: str) -> None:
        for state, kept in KEPT.items():
            over = (Delivery.endpoint == endpoint) & (Delivery.state == state)
            newest_to_go = (
                Delivery.select(Delivery.id).where(over).order_by(Delivery.id.desc()).offset(kept).limit(1)
            )
            Delivery.delete().where(over & (Delivery.id <= newest_to_go)).execute()


def _records(rows: Any) -> list[DeliveryRecord]:
    return [DeliveryRecord(**row) for row in rows.dicts()]
