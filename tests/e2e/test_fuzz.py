"""Whatever comes through the socket: it is answered as it should be, and harms neither daemon nor others.

`TOWER_TEST_FUZZ=N` sends N lines instead of 100,000, `TOWER_TEST_FUZZ_SEED=N` others. A run is its seed: what
is found is told with the line that brought it about.
"""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tower import Tower
from tests.fuzz.lines import Lines, Targets
from tests.fuzz.volleys import Bystander, Report, Shooter
from tests.whatsapp.simulator import Simulator, wait_for

CASES = int(os.environ.get("TOWER_TEST_FUZZ", "100000"))
SEED = int(os.environ.get("TOWER_TEST_FUZZ_SEED", "1"))
PHONE = "491701234567"
CLIENTS = 4
CONFIG = """
[pairing]
timeout_seconds = 86400
[events]
kept = 1000
[notify]
command = ["/bin/true"]
"""
LARGEST_GROWTH_BYTES = 12 * 1024 * 1024
"""Between the first quarter and the end. The heap is not still: it keeps room for the largest answers."""
LARGEST_GAP = 5000
MOST_ACCOUNTS = 60

pytestmark = pytest.mark.timeout(300 + CASES / 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the daemon holds at a moment."""

    resident_bytes: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A daemon after all lines were sent."""

    tower: Tower
    simulator: Simulator
    methods: list[str]
    report: Report
    bystander: Bystander
    before: list[dict[str, Any]]
    warm: Moment
    end: Moment


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with (
        Simulator.start(tmp_path_factory.mktemp("simulator")) as simulator,
        Tower(simulator, config=CONFIG) as tower,
    ):
        tower.link(simulator, "linked", PHONE)
        tower.rpc("account.add", name="pairing")
        idle = [f"idle-{number}" for number in range(3)]
        for name in idle:
            tower.rpc("account.add", name=name, pair=False)
        targets = Targets(linked=("linked",), pairing=("pairing",), idle=tuple(idle))
        yield fire(tower, simulator, targets)


def fire(tower: Tower, simulator: Simulator, targets: Targets) -> Run:
    """Send all lines, with another client beside."""
    document = tower.rpc("rpc.discover")
    lines = Lines(document=document, targets=targets, seed=SEED)
    report = Report(secrets=keys_of(tower, "linked") | offered(tower))
    before = tower.rpc("account.list")["accounts"]
    bystander = Bystander(tower.socket, "linked", report)
    bystander.start()
    shoot(tower, lines, range(CASES // 4), report)
    warm = moment(tower)
    shoot(tower, lines, range(CASES // 4, CASES), report)
    bystander.end()
    # The daemon hears of the last hang-up a moment later.
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: moment(tower).descriptors <= warm.descriptors)
    return Run(
        tower=tower,
        simulator=simulator,
        methods=[one["name"] for one in document["methods"]],
        report=report,
        bystander=bystander,
        before=before,
        warm=warm,
        end=moment(tower),
    )


def shoot(tower: Tower, lines: Lines, numbers: range, report: Report) -> None:
    shooters = [Shooter(tower.socket, lines, numbers[first::CLIENTS], report) for first in range(CLIENTS)]
    for shooter in shooters:
        shooter.start()
    while any(shooter.is_alive() for shooter in shooters):
        # QRs rotate meanwhile, and each is a secret.
        report.secrets |= offered(tower)
        shooters[0].join(1.0)


def offered(tower: Tower) -> set[bytes]:
    """Return what is secret about the QR on offer."""
    answer = tower.rpc("account.qr", account="pairing", wait_seconds=30)
    return {part.encode() for part in answer["qr"]["data"].split(",") if len(part) > 20}


def keys_of(tower: Tower, name: str) -> set[bytes]:
    """Return the private keys of a linked device, in every spelling that an answer could have."""
    path = tower.state / "sessions" / tower.account(name)["id"] / "store.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        (keys,) = store.execute("SELECT noise_key, identity_key, adv_key FROM whatsmeow_device").fetchall()
    return {spelt for key in keys for spelt in (base64.b64encode(key).rstrip(b"="), key.hex().encode())}


def moment(tower: Tower) -> Moment:
    assert tower.process is not None
    process = Path(f"/proc/{tower.process.pid}")
    pages = int((process / "statm").read_text().split()[1])
    return Moment(
        resident_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
    )


def test_every_line_is_answered_as_it_should_be_and_with_no_secret(run: Run) -> None:
    assert not run.report.findings, f"seed {SEED}:\n" + "\n".join(run.report.findings)
    assert run.report.cases >= CASES


def test_nothing_went_wrong_inside_and_the_log_has_no_secret(run: Run) -> None:
    log = run.tower.log()
    assert "Traceback" not in log, f"seed {SEED}: {log[log.index('Traceback') - 500 :][:3000]}"
    assert "internal error" not in log
    assert "Exception" not in log
    assert [secret for secret in run.report.secrets if secret.decode() in log] == []


def test_every_method_was_asked_rightly_and_wrongly(run: Run) -> None:
    """What was sent reached what there is: the run would be worth nothing otherwise."""
    answered = {method for method, how in run.report.answers if how == "result"}
    # These need an id that another answer has given, a webhook that is not there, or the linked account.
    needy = {"event.unsubscribe", "webhook.retry", "webhook.test"}
    needy |= {"account.adopt", "account.export", "transfer.read", "transfer.write"}
    # The stores of this daemon are not sealed.
    assert ("key.rotate", "wrong-state") in run.report.answers
    assert answered >= set(run.methods) - needy - {"key.rotate"}
    refused = {method for method, how in run.report.answers if how == "invalid-params"}
    assert refused >= set(run.methods)
    assert run.report.shown > 0, "no QR was handed out"


def test_another_client_is_served_all_the_while(run: Run) -> None:
    assert run.bystander.longest_gap(CASES) < LARGEST_GAP


def test_it_grows_neither_in_memory_nor_in_descriptors(run: Run) -> None:
    assert run.end.resident_bytes - run.warm.resident_bytes < LARGEST_GROWTH_BYTES
    workers = len(run.tower.workers())
    assert run.end.descriptors <= run.warm.descriptors + 3 * workers
    assert run.end.threads <= run.warm.threads + 3


def test_accounts_are_there_and_no_session_was_disturbed(run: Run) -> None:
    after = {account["id"]: account for account in run.tower.rpc("account.list")["accounts"]}
    assert len(after) < MOST_ACCOUNTS
    for account in run.before:
        assert after[account["id"]]["name"] == account["name"]
    (linked,) = (account for account in run.before if account["name"] == "linked")
    now = after[linked["id"]]
    assert (now["state"], now["since"]) == ("connected", linked["since"])
    assert len(run.simulator.devices(PHONE)) == 1
    assert run.tower.account("pairing")["state"] == "pairing"
