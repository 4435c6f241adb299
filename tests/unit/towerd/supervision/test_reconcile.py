"""Registry and store after a worker's death: the full table of the contract."""

from __future__ import annotations

import pytest

from sessions.messages import Identity
from sessions.store import StoreKind, StoreReport
from tests.unit.towerd.builders import JID, a_linked_account, an_account
from towerd.supervision.reconcile import Finding, reconcile

SAME = Identity(jid=JID, device_number=12, push_name="another push name")
OTHER_DEVICE = Identity(jid=JID, device_number=13)
OTHER_PHONE = Identity(jid="491709999999@s.whatsapp.net", device_number=12)

MISSING, NO_DEVICE, DAMAGED, LOCKED, WRONG_KEY, UNUSABLE = (
    StoreReport(kind=StoreKind.MISSING),
    StoreReport(kind=StoreKind.NO_DEVICE),
    StoreReport(kind=StoreKind.DAMAGED),
    StoreReport(kind=StoreKind.LOCKED),
    StoreReport(kind=StoreKind.WRONG_KEY),
    StoreReport(kind=StoreKind.UNUSABLE),
)


def device(identity: Identity) -> StoreReport:
    return StoreReport(kind=StoreKind.DEVICE, identity=identity)


TABLE = [
    # linked in the registry, store, finding
    (False, device(SAME), Finding.NEW_DEVICE),
    (True, device(SAME), Finding.SAME_DEVICE),
    (True, NO_DEVICE, Finding.DEVICE_GONE),
    (True, MISSING, Finding.DAMAGED),
    (True, DAMAGED, Finding.DAMAGED),
    (True, LOCKED, Finding.LOCKED),
    (True, device(OTHER_DEVICE), Finding.MISMATCH),
    (True, device(OTHER_PHONE), Finding.MISMATCH),
    (False, NO_DEVICE, Finding.NOTHING),
    (False, MISSING, Finding.NOTHING),
    (False, DAMAGED, Finding.NOTHING),
    (False, LOCKED, Finding.LOCKED),
    (True, WRONG_KEY, Finding.WRONG_KEY),
    (False, WRONG_KEY, Finding.WRONG_KEY),
    (True, UNUSABLE, Finding.UNUSABLE),
    (False, UNUSABLE, Finding.UNUSABLE),
]


@pytest.mark.parametrize(("is_linked", "report", "finding"), TABLE)
def test_registry_and_store_together_say(is_linked: bool, report: StoreReport, finding: Finding) -> None:
    record = a_linked_account() if is_linked else an_account()
    assert reconcile(record, report) is finding


def test_the_table_is_whole() -> None:
    assert {(linked, report.kind) for linked, report, _ in TABLE} == {
        (linked, kind) for linked in (False, True) for kind in StoreKind
    }
    # Whose device it may not keep, the account's lifecycle says, which knows the others.
    assert {finding for _, _, finding in TABLE} == set(Finding) - {Finding.REFUSED_DEVICE}


def test_account_that_was_linked_once_and_is_not_now_takes_any_device_that_is_found() -> None:
    record = an_account(expected_phone="+491700000000")
    assert reconcile(record, device(OTHER_PHONE)) is Finding.NEW_DEVICE
