"""Accounts: state with its evidence, halted workers, overdue QRs, owners that are gone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sessions.states import State
from tests.unit.towerd.builders import NOW
from tests.unit.towerd.doctor.patients import a_patient, a_sight, found, levels, only
from tests.whatsapp.simulator import wait_for
from towerd.doctor.accounts import evidence, owners, qr, workers
from towerd.doctor.findings import Finding
from towerd.doctor.patient import AccountSight, PairingSight, WorkerSight
from towerd.incidents import account_trouble
from towerd.supervision.health import Condition

NOBODYS_UID = 54321


def seen(**fields: Any) -> Finding:
    """Return what is found of one account."""
    account = a_sight(record=fields)
    condition = Condition(
        state=account.record.state, reason=account.record.reason, is_doubtful=False, is_tired=False
    )
    trouble = account_trouble(account.record, condition)
    return only(evidence, a_patient(accounts=(a_sight(record=fields, trouble=trouble),)))


def test_without_accounts_there_is_nothing_to_say() -> None:
    assert levels(evidence, a_patient()) == ["skipped"]


def test_a_connected_account_is_well_with_its_last_sign_of_life() -> None:
    finding = seen()
    assert (finding.level, finding.line) == ("ok", "alpha: connected, last sign of life 3s ago")
    assert finding.account == "alpha"


@pytest.mark.parametrize("last_seen_at", [NOW - 31, None])
def test_a_connected_account_whose_sign_of_life_is_overdue_is_a_warning(last_seen_at: float | None) -> None:
    finding = seen(last_seen_at=last_seen_at, since=NOW - 120)
    assert (finding.level, finding.command) == ("warning", "towerctl restart alpha")
    assert finding.line.endswith("which is overdue")
    doubtful = only(evidence, a_patient(accounts=(a_sight(is_doubtful=True),)))
    assert doubtful.level == "warning"


def test_what_only_admins_may_do_is_told_to_admins_alone() -> None:
    held = a_sight(record={"state": State.RECONNECTING, "reason": "fleet-held"})
    assert only(evidence, a_patient(accounts=(held,))).command == "towerctl release"
    assert only(evidence, a_patient(accounts=(held,), is_admin=False)).command == "towerctl show alpha"


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({"state": State.FAILED, "reason": "banned"}, "towerctl pair alpha"),
        ({"state": State.FAILED, "reason": "stream-replaced"}, "towerctl start alpha"),
        (
            {"state": State.FAILED, "reason": "store-damaged"},
            "towerctl unpair alpha --yes && towerctl qr alpha",
        ),
        ({"state": State.FAILED, "reason": "worker-crash-loop"}, "towerctl show alpha"),
        ({"state": State.UNPAIRED, "reason": "logged-out-by-phone", "is_linked": False}, "towerctl qr alpha"),
    ],
)
def test_an_account_that_needs_somebody_is_a_failure_with_the_command(
    fields: dict[str, Any], command: str
) -> None:
    finding = seen(**fields)
    assert (finding.level, finding.command) == ("failure", command)
    assert finding.line.startswith(f"alpha: {fields['state'].value} ({fields['reason']})")


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({"state": State.RECONNECTING, "reason": "dns"}, "towerctl show alpha"),
        ({"state": State.UNPAIRED, "reason": "never-paired", "is_linked": False}, "towerctl qr alpha"),
        ({"state": State.PAIRING, "reason": None, "is_linked": False}, "towerctl qr alpha"),
    ],
)
def test_an_account_that_is_not_connected_is_a_warning(fields: dict[str, Any], command: str) -> None:
    finding = seen(**fields)
    assert (finding.level, finding.command) == ("warning", command)


def test_an_account_that_an_operator_stopped_is_as_it_should_be() -> None:
    finding = seen(state=State.STOPPED, reason="stopped-by-operator", desired="stopped")
    assert (finding.level, finding.line) == ("ok", "alpha: stopped by an operator")


@pytest.mark.parametrize(("ago", "words"), [(90, "1m ago"), (7300, "2h ago"), (200_000, "2d ago")])
def test_how_long_ago_is_said_in_the_largest_unit(ago: float, words: str) -> None:
    finding = seen(state=State.RECONNECTING, reason="dns", last_seen_at=NOW - ago)
    assert finding.line.endswith(words)


# --- workers ---------------------------------------------------------------------------------------------


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as started:
        yield started
        started.kill()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_workers_are_counted_with_their_memory(process: subprocess.Popen[bytes]) -> None:
    worker = WorkerSight(pid=process.pid, memory_bytes=50_000_000)
    accounts = (a_sight(worker=worker), a_sight("beta", worker=worker))
    assert found(workers, a_patient(accounts=accounts)) == [("ok", "2 workers, 100 MB in all")]


def test_a_worker_that_a_signal_stopped_is_a_failure_until_it_goes_on(
    process: subprocess.Popen[bytes],
) -> None:
    patient = a_patient(accounts=(a_sight(worker=WorkerSight(pid=process.pid, memory_bytes=1)),))
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: state_of(process.pid) == "T", what="the stop")
    finding, _ = workers(patient)
    assert finding.level == "failure"
    assert finding.command is not None
    subprocess.run(finding.command, shell=True, check=True)
    wait_for(lambda: state_of(process.pid) == "S", what="the end of the stop")
    assert levels(workers, patient) == ["ok"]


def test_a_worker_that_has_nearly_grown_too_large_is_a_warning(process: subprocess.Popen[bytes]) -> None:
    worker = WorkerSight(pid=process.pid, memory_bytes=95 * 1024 * 1024)
    warning, _ = found(workers, a_patient(accounts=(a_sight(worker=worker),), memory_max_mb=100))
    assert warning == ("warning", f"alpha: worker {process.pid} uses 95 of 100 MB")


def test_a_connected_account_without_a_worker_is_a_failure() -> None:
    assert levels(workers, a_patient(accounts=(a_sight(),))) == ["failure", "ok"]


# --- QRs -------------------------------------------------------------------------------------------------


def pairing(name: str = "alpha", *, without_seconds: float, **fields: Any) -> AccountSight:
    record = {"state": State.PAIRING, "reason": None, "is_linked": False} | fields
    sight = PairingSight(is_on_offer=without_seconds == 0, without_seconds=without_seconds)
    return a_sight(name, record=record, pairing=sight)


def test_a_pairing_with_a_qr_or_on_its_way_to_one_is_well() -> None:
    accounts = (pairing(without_seconds=0), pairing("beta", without_seconds=19))
    assert found(qr, a_patient(accounts=accounts)) == [("ok", "2 pairings with a QR on offer or about to be")]
    assert levels(qr, a_patient(accounts=(a_sight(),))) == ["skipped"]


def test_a_qr_that_is_overdue_is_a_failure_with_the_reason() -> None:
    (finding,) = qr(a_patient(accounts=(pairing(without_seconds=40, reason="dns"),)))
    assert (finding.level, finding.line) == ("failure", "alpha: no QR for 40 s (dns)")
    assert finding.command == "towerctl restart alpha"
    both = (pairing(without_seconds=0), pairing("beta", without_seconds=40))
    assert levels(qr, a_patient(accounts=both)) == ["failure", "ok"]


# --- owners ----------------------------------------------------------------------------------------------


def test_owners_that_exist_are_well() -> None:
    account = a_sight(record={"owner_uid": os.getuid()})
    assert found(owners, a_patient(accounts=(account,))) == [("ok", "1 owner of accounts, all of them known")]


def test_an_owner_whom_nobody_knows_any_more_is_a_warning() -> None:
    accounts = tuple(a_sight(name, record={"owner_uid": NOBODYS_UID}) for name in ("alpha", "beta"))
    finding = only(owners, a_patient(accounts=accounts))
    assert (finding.level, finding.line) == (
        "warning",
        f"no user has the number {NOBODYS_UID}, which owns alpha, beta",
    )
    assert (finding.command or "").startswith(f"useradd --uid {NOBODYS_UID} ")
