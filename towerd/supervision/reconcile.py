"""Registry and store after a worker's death: what they say together.

The one rule: the store decides, not the last event (a kill between the scan and our hearing of it leaves a
device that logs in on the next start).
"""

from __future__ import annotations

from enum import StrEnum

from sessions.store import StoreKind, StoreReport
from towerd.accounts.records import AccountRecord


class Finding(StrEnum):
    """What registry and store say together; a refused device is a new one that the account may not keep."""

    SAME_DEVICE = "same-device"
    NEW_DEVICE = "new-device"
    REFUSED_DEVICE = "refused-device"
    NOTHING = "nothing"
    DEVICE_GONE = "device-gone"
    DAMAGED = "store-damaged"
    MISMATCH = "store-mismatch"
    LOCKED = "store-locked"
    WRONG_KEY = "wrong-key"
    UNUSABLE = "store-unusable"


UNUSABLE = frozenset({Finding.DAMAGED, Finding.MISMATCH, Finding.LOCKED, Finding.WRONG_KEY, Finding.UNUSABLE})
"""Findings after which the store cannot be used; nothing is wiped because of them."""

_LINKED = {
    StoreKind.MISSING: Finding.DAMAGED,
    StoreKind.DAMAGED: Finding.DAMAGED,
    StoreKind.NO_DEVICE: Finding.DEVICE_GONE,
    StoreKind.LOCKED: Finding.LOCKED,
    StoreKind.WRONG_KEY: Finding.WRONG_KEY,
    StoreKind.UNUSABLE: Finding.UNUSABLE,
}
_UNLINKED = {
    StoreKind.MISSING: Finding.NOTHING,
    StoreKind.DAMAGED: Finding.NOTHING,
    StoreKind.NO_DEVICE: Finding.NOTHING,
    StoreKind.LOCKED: Finding.LOCKED,
    StoreKind.WRONG_KEY: Finding.WRONG_KEY,
    StoreKind.UNUSABLE: Finding.UNUSABLE,
}


def reconcile(record: AccountRecord, report: StoreReport) -> Finding:
    """Return what the registry's account and its store say together."""
    if report.kind is not StoreKind.DEVICE or report.identity is None:
        return (_LINKED if record.is_linked else _UNLINKED)[report.kind]
    if not record.is_linked:
        return Finding.NEW_DEVICE
    known = (record.jid, record.device_number)
    if known != (report.identity.jid, report.identity.device_number):
        return Finding.MISMATCH
    return Finding.SAME_DEVICE
