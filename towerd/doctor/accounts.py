"""Checks of the accounts: their state with its evidence, their workers, their QRs, their owners.

The one rule: they go by what the daemon itself knows and the kernel says, and ask nobody else.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path

from sessions.states import State
from towerd.doctor.findings import Finding, counted, failure, ok, skipped, warning
from towerd.doctor.patient import AccountSight, Patient
from towerd.reasons import action_for, action_while_pairing, needs_admin
from towerd.supervision.names import international

_QR_SECONDS = 20.0
"""A pairing without a QR for longer is overdue: one takes a worker's start and an answer of WhatsApp."""
_NEARLY_FULL = 0.9


def evidence(patient: Patient) -> Iterator[Finding]:
    """Say how each account is, and when it last showed a sign of life."""
    if not patient.accounts:
        yield skipped("there are no accounts")
    for account in patient.accounts:
        yield _account(patient, account)


def _account(patient: Patient, account: AccountSight) -> Finding:
    record = account.record
    seen = _ago(patient.now, record.last_seen_at)
    reason = f" ({record.reason})" if record.reason else ""
    line = f"{account.address}: {record.state.value}{reason}, last sign of life {seen}"
    command = _command(account, is_admin=patient.is_admin)
    if record.state is State.STOPPED:
        return ok(f"{account.address}: stopped by an operator", account=account.address)
    if account.trouble is not None:
        return failure(line, command, account=account.address)
    if record.state is not State.CONNECTED:
        return warning(line, command, account=account.address)
    silence = patient.now - (record.last_seen_at or record.since)
    if account.is_doubtful or silence > patient.alive_seconds:
        restart = f"towerctl restart {account.address}"
        return warning(f"{line}, which is overdue", restart, account=account.address)
    return ok(line, account=account.address)


def _command(account: AccountSight, *, is_admin: bool) -> str:
    """Return the command out of what this human can do, or the one that shows more."""
    record = account.record
    if needs_admin(record.reason) and not is_admin:
        return f"towerctl show {account.address}"
    if record.state is State.PAIRING:
        phone = international(record.pairing_phone)
        action = action_while_pairing(record.reason, account.address, phone=phone)
    else:
        action = action_for(record.reason, account.address)
    _, found, command = (action or "").partition("towerctl ")
    if not found:
        return f"towerctl show {account.address}"
    return f"towerctl {command.partition(';')[0]}"


def _ago(now: float, then: float | None) -> str:
    if then is None:
        return "never"
    seconds = max(0, int(now - then))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit} ago"
    return f"{seconds}s ago"


def workers(patient: Patient) -> Iterator[Finding]:
    """Look whether workers run that should, and go on running."""
    count = 0
    for account in patient.accounts:
        if account.worker is None:
            if account.record.state is State.CONNECTED:
                words = f"{account.address} is connected without a worker"
                restart = f"towerctl restart {account.address}"
                yield failure(words, restart, account=account.address)
            continue
        count += 1
        yield from _worker(patient, account)
    memory = sum(one.worker.memory_bytes or 0 for one in patient.accounts if one.worker)
    yield ok(f"{counted(count, 'worker')}, {memory / 1e6:.0f} MB in all")


def _worker(patient: Patient, account: AccountSight) -> Iterator[Finding]:
    assert account.worker is not None
    pid = account.worker.pid
    if _is_halted(pid):
        words = f"{account.address}: worker {pid} was stopped by a signal"
        yield failure(words, f"kill -CONT {pid}", account=account.address)
    limit = patient.memory_max_mb * 1024 * 1024
    if (account.worker.memory_bytes or 0) > _NEARLY_FULL * limit:
        used = (account.worker.memory_bytes or 0) >> 20
        words = f"{account.address}: worker {pid} uses {used} of {patient.memory_max_mb} MB"
        yield warning(words, f"towerctl restart {account.address}", account=account.address)


def _is_halted(pid: int) -> bool:
    """Tell whether a process is stopped, or traced (proc(5), stat)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def qr(patient: Patient) -> Iterator[Finding]:
    """Look whether accounts that pair have a QR, or a code, to show."""
    overdue = count = 0
    for account in patient.accounts:
        if account.record.state is not State.PAIRING or account.pairing is None:
            continue
        count += 1
        if not account.pairing.is_on_offer and account.pairing.without_seconds > _QR_SECONDS:
            overdue += 1
            reason = f" ({account.record.reason})" if account.record.reason else ""
            words = f"{account.address}: no QR for {account.pairing.without_seconds:.0f} s{reason}"
            yield failure(words, f"towerctl restart {account.address}", account=account.address)
    if not count:
        yield skipped("no account is pairing")
    elif overdue < count:
        yield ok(f"{counted(count - overdue, 'pairing')} with a QR on offer or about to be")


def owners(patient: Patient) -> Iterator[Finding]:
    """Look whether all owners still exist."""
    owned: dict[int, list[str]] = {}
    for account in patient.accounts:
        owned.setdefault(account.record.owner_uid, []).append(account.address)
    lost = 0
    for uid, accounts in owned.items():
        try:
            pwd.getpwuid(uid)
        except KeyError:
            lost += 1
            words = f"no user has the number {uid}, which owns {', '.join(accounts)}"
            yield warning(
                words, f"useradd --uid {uid} --no-create-home --shell /usr/sbin/nologin tower-{uid}"
            )
    if not lost:
        yield ok(f"{counted(len(owned), 'owner')} of accounts, all of them known")
