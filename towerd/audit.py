"""The audit log: who did what to which account, and how it went.

The one rule: an audit row that cannot be written stops nothing; the ledger keeps it, says so, tries again.
"""

from __future__ import annotations

import os
from typing import Literal

from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord, AuditRecord
from towerd.clock import Clock
from towerd.users import user_name

Source = Literal["cli", "drop-in", "daemon", "phone"]


class Auditor:
    """Writes audit rows.

    Args:
        ledger: takes them.
        clock: gives their time.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def by_peer(
        self,
        uid: int,
        pid: int,
        action: str,
        account: AccountRecord | None,
        *,
        result: str,
        detail: str | None = None,
    ) -> None:
        """Note what somebody did through the socket."""
        self._write("cli", (uid, pid), action, account, result, detail)

    def by_itself(
        self,
        action: str,
        account: AccountRecord | None,
        *,
        source: Source = "daemon",
        result: str = "done",
        detail: str | None = None,
    ) -> None:
        """Note what happened without anybody's command: the daemon did it, or the phone."""
        who = None if source == "phone" else (os.getuid(), os.getpid())
        self._write(source, who, action, account, result, detail)

    def _write(
        self,
        source: Source,
        who: tuple[int, int] | None,
        action: str,
        account: AccountRecord | None,
        result: str,
        detail: str | None,
    ) -> None:
        uid, pid = who if who is not None else (None, None)
        # Nobody on this machine unlinked a phone; the phone itself is who did it.
        phone = (account.phone if account else None) or "phone"
        self._ledger.post(
            audit=AuditRecord(
                time=self._clock.now(),
                uid=uid,
                user=user_name(uid) if uid is not None else phone,
                pid=pid,
                source=source,
                action=action,
                account_id=account.id if account else None,
                account_label=account.name if account else None,
                owner_uid=account.owner_uid if account else None,
                result=result,
                detail=detail,
            )
        )
