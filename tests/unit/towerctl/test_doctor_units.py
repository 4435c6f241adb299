"""The units as `towerctl doctor` sees them: what is wrong with each, and the command that helps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.towerctl.service_manager import REVIVE, START, Systemd
from towerctl.doctor import machine


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "SYSTEMD_RUNS", tmp_path)
    monkeypatch.setattr(machine, "as_root", str)
    return Systemd(tmp_path)


def units(*, is_by_hand: bool = False) -> list[tuple[str, str]]:
    found = machine.units(machine.shown_units(), is_by_hand=is_by_hand)
    return [(one["level"], one["line"]) for one in found]


def test_units_that_run_are_well(systemd: Systemd) -> None:
    assert units() == [("ok", "towerd.socket active, towerd.service active")]
    systemd.change("towerd.service", NRestarts="3")
    assert units() == [("ok", "towerd.socket active, towerd.service active, restarted 3 times")]
    systemd.change("towerd.service", ActiveState="inactive")
    assert units()[0][0] == "ok"


def test_a_unit_that_is_masked_is_a_failure_with_unmask(systemd: Systemd) -> None:
    systemd.change("towerd.service", LoadState="masked", ActiveState="inactive")
    (found,) = machine.units(machine.shown_units(), is_by_hand=False)
    assert (found["level"], found["line"]) == (
        "failure",
        "masked, so that nothing can start it: towerd.service",
    )
    assert found["command"] == f"systemctl unmask towerd.socket towerd.service && {REVIVE}"
    assert units(is_by_hand=True)[0][0] == "skipped"


def test_a_service_that_ends_again_and_again_is_a_failure_with_its_journal(systemd: Systemd) -> None:
    systemd.journal = "towerd: no luck\n"
    systemd.change("towerd.service", ActiveState="activating", SubState="auto-restart", Result="signal")
    (found,) = machine.units(machine.shown_units(), is_by_hand=False)
    assert (found["level"], found["line"]) == (
        "failure",
        "towerd.service ends and is started again: signal; it said: towerd: no luck",
    )
    assert found["command"] == "journalctl --unit=towerd --lines=20"


def test_a_credential_that_is_missing_is_named_as_such(systemd: Systemd) -> None:
    systemd.change("towerd.service", ActiveState="failed", Result="exit-code", ExecMainStatus="243")
    (found,) = machine.units(machine.shown_units(), is_by_hand=False)
    assert found["line"] == (
        "towerd.service has failed: a credential cannot be loaded that its unit names "
        "(systemctl cat towerd.service)"
    )
    assert found["command"] == REVIVE


def test_a_unit_that_failed_is_a_failure_with_reset_failed_and_its_last_words(systemd: Systemd) -> None:
    systemd.journal = "towerd: /var/lib/tower: Permission denied\n"
    systemd.change("towerd.service", ActiveState="failed", Result="exit-code", ExecMainStatus="1")
    (found,) = machine.units(machine.shown_units(), is_by_hand=False)
    assert found["level"] == "failure"
    assert found["line"] == (
        "towerd.service has failed: exit-code, status 1; it said: towerd: /var/lib/tower: Permission denied"
    )
    assert found["command"] == REVIVE


def test_a_unit_that_failed_for_its_configuration_says_so(systemd: Systemd) -> None:
    systemd.change("towerd.service", ActiveState="failed", Result="exit-code", ExecMainStatus="78")
    systemd.change("towerd.socket", ActiveState="failed", Result="service-start-limit-hit")
    assert units() == [
        ("failure", "towerd.socket has failed: service-start-limit-hit"),
        ("failure", "towerd.service has failed: the configuration is not valid"),
    ]


def test_a_service_that_is_not_started_or_not_enabled_is_said(systemd: Systemd) -> None:
    for unit in systemd.states:
        systemd.change(unit, UnitFileState="disabled")
    assert units() == [("warning", "the service does not start with the machine")]
    for unit in systemd.states:
        systemd.change(unit, ActiveState="inactive")
    assert units() == [("failure", "the service is not started")]
    assert units(is_by_hand=True) == [("skipped", "this daemon is not the service of the system")]


def test_a_service_that_is_not_installed_is_nothing_to_look_at(systemd: Systemd) -> None:
    systemd.change("towerd.service", LoadState="not-found")
    assert units() == [("skipped", "not installed as a service: towerd.service")]


def test_a_systemctl_that_says_nothing_or_hangs_is_told(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = systemd.directory / "systemctl"
    program.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2; exit 1\n")
    assert units() == [("skipped", "systemctl says nothing: Failed to connect to bus")]
    monkeypatch.setattr(machine, "_PROGRAM_SECONDS", 0.3)
    program.write_text("#!/bin/sh\nexec sleep 100\n")
    assert units() == [("skipped", f"{program} does not end within 0.3 s")]


def test_what_brings_a_socket_back_depends_on_the_units(systemd: Systemd) -> None:
    assert machine.start_command("no systemd runs here") == START
    assert machine.start_command(machine.shown_units()) == "systemctl restart towerd.socket"
    systemd.change("towerd.socket", ActiveState="inactive")
    assert machine.start_command(machine.shown_units()) == START
    systemd.change("towerd.service", ActiveState="failed")
    assert machine.start_command(machine.shown_units()) == REVIVE
    systemd.change("towerd.service", ActiveState="inactive", LoadState="masked")
    assert machine.start_command(machine.shown_units()) == (
        f"systemctl unmask towerd.socket towerd.service && {REVIVE}"
    )


def test_who_is_not_root_is_told_to_become_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert machine.start_command("no systemd runs here") == f"sudo {START}"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.start_command("no systemd runs here") == START
