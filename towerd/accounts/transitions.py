"""The queries about changes of state; they run inside the registry's transactions.

The one rule: of each account the newest are kept, and every one with a lasting cause.
"""

from __future__ import annotations

from typing import Any

from sessions.states import State
from towerd.accounts.models import Transition
from towerd.accounts.records import TransitionRecord
from towerd.reasons import LASTING, REASONS

KEPT_TRANSITIONS = 200
"""Transitions kept per account."""

LASTING_CAUSES = tuple(sorted(slug for slug, reason in REASONS.items() if reason.strength >= LASTING))


def write(transition: TransitionRecord) -> None:
    """Add a change, and let go of the oldest."""
    Transition.insert(
        account_id=transition.account_id,
        time=transition.time,
        old=transition.old.value if transition.old else None,
        new=transition.new.value,
        reason=transition.reason,
    ).execute()
    keep = (
        Transition.select(Transition.id)
        .where(
            (Transition.account_id == transition.account_id)
            # A lasting cause is not pushed out by a line that flaps.
            & (Transition.reason.is_null() | Transition.reason.not_in(LASTING_CAUSES))
        )
        .order_by(Transition.id.desc())
        .offset(KEPT_TRANSITIONS)
        .limit(-1)
    )
    Transition.delete().where(Transition.id.in_(keep)).execute()


def last(account_id: str, limit: int) -> list[TransitionRecord]:
    """Return an account's last changes, newest first."""
    rows: Any = (
        Transition.select()
        .where(Transition.account_id == account_id)
        .order_by(Transition.id.desc())
        .limit(limit)
        .dicts()
    )
    return [
        TransitionRecord(
            account_id=row["account_id"],
            time=row["time"],
            old=State(row["old"]) if row["old"] else None,
            new=State(row["new"]),
            reason=row["reason"],
        )
        for row in rows
    ]


def delete(account_id: str) -> None:
    """Delete everything of an account."""
    Transition.delete().where(Transition.account_id == account_id).execute()
