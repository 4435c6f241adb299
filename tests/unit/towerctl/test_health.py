"""`health`: levels for people, and a plugin's line and exit status for monitoring."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon, error
from tests.unit.towerctl.test_commands import account


def an_account(name: str, health: str, *reasons: str, **changes: Any) -> dict[str, Any]:
    return account(name=name, health=health, health_reasons=list(reasons), **changes)


WELL = an_account("well", "healthy", sent_today=3, received_today=5)
NEAR = an_account("near", "warning", "daily-limit", sent_today=800)
ILL = an_account("ill", "critical", "banned", state="failed")
OFF = an_account("off", "inactive", "stopped-by-operator", state="stopped")


def shown(daemon: FakeDaemon, *accounts: dict[str, Any], status: str = "critical") -> None:
    daemon.prepare("account.health", {"status": status, "accounts": list(accounts)})


def test_table_says_why(tower: Tower, daemon: FakeDaemon) -> None:
    shown(daemon, WELL, ILL)
    ran = tower("health")
    assert ran.status == 0
    assert "critical  banned" in ran.out
    assert "3/1000" in ran.out


LEVELS = [
    ([WELL, OFF], "ok", 0, "OK"),
    ([WELL, NEAR], "warning", 1, "WARNING"),
    ([WELL, NEAR, ILL], "critical", 2, "CRITICAL"),
    ([an_account("new", "splendid"), WELL], "splendid", 3, "UNKNOWN"),
    ([], "unknown", 3, "UNKNOWN"),
]


@pytest.mark.parametrize(("accounts", "told", "status", "word"), LEVELS)
def test_check_is_a_plugin(
    tower: Tower, daemon: FakeDaemon, accounts: list[dict[str, Any]], told: str, status: int, word: str
) -> None:
    shown(daemon, *accounts, status=told)
    ran = tower("health", "--check")
    assert (ran.status, ran.err) == (status, "")
    assert ran.out.startswith(f"TOWER {word} - ")


def test_performance_data_and_a_line_for_each_that_is_not_well(tower: Tower, daemon: FakeDaemon) -> None:
    shown(daemon, WELL, NEAR, ILL, OFF)
    first, *rest = tower("health", "--check").out.splitlines()
    text, _, data = first.partition(" | ")
    assert text == "TOWER CRITICAL - 1 healthy, 1 warning, 1 critical, 1 inactive"
    assert data.split() == [
        "healthy=1;;;0;4",
        "warning=1;;;0;4",
        "critical=1;;;0;4",
        "inactive=1;;;0;4",
        "sent=803;;;0",
        "received=5;;;0",
        "waiting=0;;;0",
    ]
    assert rest == ["near: warning (daily-limit)", "ill: critical (banned)"]


def test_named_accounts_alone_are_looked_at(tower: Tower, daemon: FakeDaemon) -> None:
    shown(daemon, WELL, NEAR, status="warning")
    assert tower("health", "well", "near", "--check").status == 1
    assert daemon.asked("account.health") == [{"accounts": ["well", "near"]}]


def test_what_cannot_be_looked_at_is_unknown(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.health", error("account-not-found", "no account gone"))
    ran = tower("health", "gone", "--check")
    assert (ran.status, ran.out) == (3, "TOWER UNKNOWN - no account gone\n")
    assert tower("health", "gone").status == 5


def test_silent_daemon_and_wrong_usage_are_unknown(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.close()
    ran = tower("health", "--check")
    assert ran.status == 3
    assert ran.out.startswith("TOWER UNKNOWN - ")
    assert tower("health", "--check", "--nope").status == 3
    assert tower("health", "--nope").status == 2
