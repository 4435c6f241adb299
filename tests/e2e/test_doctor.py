"""`towerctl doctor` where accounts are linked: what ails an account is seen, and mended by its command."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.sealed_tower import SealedTower
from tests.e2e.tower import BIN, Tower
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
# A worker that is gone stays so, and one that says nothing is let be, for as long as a test takes.
CONFIG = """
[reconnect]
base_seconds = 300
cap_seconds = 300
[truth]
quiet_seconds = 600
"""


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    with Tower(simulator, config=CONFIG) as started:
        started.config.chmod(0o600)
        started.link(simulator, "sales", PHONE)
        yield started


def examine(tower: Tower) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status and the findings."""
    done = tower.run("doctor", "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)["findings"]


def wrong(tower: Tower) -> list[dict[str, Any]]:
    """Return what is wrong, but for the key that is not there."""
    findings = [one for one in examine(tower)[1] if one["check"] != "key"]
    return [one for one in findings if one["level"] in ("warning", "failure")]


def mend(tower: Tower, finding: dict[str, Any]) -> None:
    """Do what a finding says."""
    environment = tower.client_environment | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    command = ["sh", "-c", finding["command"]]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


def of_account(tower: Tower) -> dict[str, Any]:
    """Return what is said of the account, by whatever check says it is not well."""
    (finding,) = wrong(tower)
    assert finding["account"] == "sales"
    return finding


def test_an_account_that_failed_is_a_failure_and_its_command_pairs_it_anew(
    tower: Tower, simulator: Simulator
) -> None:
    assert wrong(tower) == []
    simulator.ban(PHONE, code=406)
    tower.wait_for_state("sales", "failed")
    finding = of_account(tower)
    assert (finding["check"], finding["level"]) == ("account", "failure")
    assert finding["line"].startswith("sales: failed (banned), last sign of life ")
    simulator.unban(PHONE)
    mend(tower, finding)
    answer = tower.rpc("account.qr", account="sales", format="raw", wait_seconds=30)
    simulator.scan(answer["qr"]["data"], PHONE)
    tower.wait_for_state("sales", "connected")
    assert wrong(tower) == []


def test_a_worker_that_is_gone_is_a_warning_until_another_one_runs(tower: Tower) -> None:
    (pid,) = tower.workers()
    os.kill(pid, signal.SIGKILL)
    tower.wait_for_state("sales", "reconnecting")
    finding = of_account(tower)
    assert (finding["check"], finding["level"]) == ("account", "warning")
    assert finding["line"].startswith("sales: reconnecting (worker-lost), last sign of life ")
    shown = tower.run("show", "sales").stdout
    assert finding["command"] == "towerctl show sales"
    assert "towerd tries again by itself" in shown
    tower.ctl("restart", "sales")
    tower.wait_for_state("sales", "connected")
    assert wrong(tower) == []


def test_a_worker_that_somebody_stopped_is_a_failure_and_its_command_lets_it_go_on(tower: Tower) -> None:
    (pid,) = tower.workers()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: wrong(tower), seconds=30, what="it is stopped")
    finding = of_account(tower)
    assert (finding["check"], finding["command"]) == ("workers", f"kill -CONT {pid}")
    mend(tower, finding)
    wait_for(lambda: wrong(tower) == [], seconds=30, what="nothing is wrong any more")
    assert tower.workers() == [pid]


def test_a_pairing_without_a_qr_is_a_failure_until_there_is_one(tower: Tower, simulator: Simulator) -> None:
    simulator.stall("hello")
    tower.rpc("account.add", name="late")

    def overdue() -> dict[str, Any] | None:
        return next((one for one in wrong(tower) if one["check"] == "qr"), None)

    finding = wait_for(overdue, seconds=60, what="the QR is overdue")
    assert finding is not None
    assert (finding["level"], finding["command"]) == ("failure", "towerctl restart late")
    simulator.stall("off")
    mend(tower, finding)
    tower.rpc("account.qr", account="late", format="raw", wait_seconds=60)
    assert [one for one in wrong(tower) if one["check"] == "qr"] == []


def test_where_nothing_is_lacking_the_status_is_0(simulator: Simulator) -> None:
    with SealedTower(simulator) as tower:
        tower.config.chmod(0o600)
        tower.link(simulator, "sales", PHONE)
        status, findings = examine(tower)
        assert {one["level"] for one in findings} == {"ok", "skipped"}
        assert status == 0
        done = tower.run("doctor")
        assert (done.returncode, done.stderr) == (0, "all is well\n")


def on_a_terminal(tower: Tower) -> tuple[int, list[str]]:
    """Return the exit status of `doctor`, and the lines that somebody sees."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 400, 0, 0))
    doctor = subprocess.Popen(
        [BIN / "towerctl", "doctor"],
        env=tower.client_environment | {"TERM": "xterm", "LANG": "C.UTF-8"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    # Linux says by an error that the last one has closed the other end.
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65536):
            seen += chunk
    os.close(ours)
    return doctor.wait(60), seen.decode().splitlines()


def sign(lines: list[str], check: str) -> str:
    """Return the sign of the last line of a check."""
    return [line[0] for line in lines if line[2:].startswith(check)][-1]


def test_on_a_terminal_there_are_signs_and_the_status_is_that_of_the_worst(
    tower: Tower, simulator: Simulator
) -> None:
    status, lines = on_a_terminal(tower)
    assert (status, sign(lines, "account"), sign(lines, "key")) == (1, "\u2713", "!")
    key = next(number for number, line in enumerate(lines) if line.startswith("! key"))
    assert lines[key + 1].split() == ["man", "8", "towerd"]
    simulator.stop()
    status, lines = on_a_terminal(tower)
    assert (status, sign(lines, "reach")) == (2, "\u2717")
