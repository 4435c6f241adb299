"""Checks of what is kept: the account database, the stores, their key.

The one rule: a store that somebody uses is left alone; what a doctor opens is opened for reading.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from sessions.store import Store, StoreKind
from towerd.accounts import rescue
from towerd.accounts.transactions import RegistryError
from towerd.clock import rfc3339
from towerd.doctor.findings import Finding, counted, failure, ok, warning
from towerd.doctor.patient import AccountSight, Patient
from towerd.supervision.names import ID_PATTERN

_RESTART = "systemctl restart towerd"


def database(patient: Patient) -> Iterator[Finding]:
    """Look whether the account database can be written, is sound, and has a backup."""
    path = patient.paths.database
    where = shlex.quote(str(patient.paths.state_dir))
    if patient.registry_trouble is not None:
        yield failure(
            f"{path.name} cannot be written: {patient.registry_trouble}", f"df -h {where}; ls -la {where}"
        )
        return
    try:
        is_sound = rescue.is_sound(path)
    except RegistryError as error:
        yield warning(f"{path.name} cannot be looked into: {error}", f"ls -la {where}")
        return
    backup = rescue.backup_path(path)
    if not is_sound:
        words = f"{path.name} is damaged; the next start repairs it from its backup, or from the stores"
        yield failure(words, _RESTART)
    elif not backup.exists():
        yield warning(f"{path.name} is sound, and has no backup; a start takes one", _RESTART)
    else:
        yield ok(f"{path.name} is sound; backup of {rfc3339(backup.stat().st_mtime)}")


def stores(patient: Patient) -> Iterator[Finding]:
    """Look whether each store is what its account needs."""
    in_use = sound = 0
    for account in patient.accounts:
        finding = _store(patient, account)
        if finding is not None:
            yield finding
        elif account.worker is not None:
            in_use += 1
        else:
            sound += 1
    for account_id in _strays(patient):
        path = patient.paths.sessions_dir / account_id
        words = f"{path} belongs to no account; a start of towerd takes it up when it holds a device"
        yield warning(words, _RESTART)
    yield ok(f"{counted(in_use + sound, 'store')} without a fault, {in_use} in use")


def _store(patient: Patient, account: AccountSight) -> Finding | None:
    """Return what is wrong with an account's store, None when nothing is."""
    record = account.record
    relink = f"towerctl unpair {account.address} --yes && towerctl qr {account.address}"
    if record.reason in ("store-damaged", "store-mismatch"):
        return failure(f"{account.address}: {record.reason}", relink, account=account.address)
    store = Store(patient.paths.sessions_dir, record.id)
    report = store.peek()
    if report is None:
        return None
    match report.kind:
        case StoreKind.DAMAGED:
            words = f"{account.address}: the store is damaged: {report.detail}"
            return failure(words, relink, account=account.address)
        case StoreKind.MISSING | StoreKind.NO_DEVICE if record.is_linked:
            words = f"{account.address}: the store holds no linked device: {report.detail}"
            return failure(words, relink, account=account.address)
    return None


def _strays(patient: Patient) -> list[str]:
    """Return the ids that have a store and no account."""
    known = {account.record.id for account in patient.accounts}
    return sorted(
        entry.name
        for entry in patient.paths.sessions_dir.iterdir()
        if ID_PATTERN.fullmatch(entry.name) and entry.name not in known
    )


def key(patient: Patient) -> Iterator[Finding]:
    """Say whether stores are sealed."""
    if patient.key_name is None:
        yield warning("stores are not sealed: no key configured", "man 8 towerd")
    elif patient.seal_trouble is not None:
        yield failure(f"not everything is sealed: {patient.seal_trouble}", "df -h")
    else:
        yield ok(f"stores are sealed with the key {patient.key_name}")
