"""`towerctl doctor`: what it sees by itself, also when the daemon is silent, and how it tells all of it."""

from __future__ import annotations

import grp
import json
import os
import pwd
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.privileges import as_nobody
from tests.unit.towerctl.conftest import Terminal, Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon, HangUp, Silence, error
from towerctl import sockets, version
from towerctl.doctor import machine
from towerctl.doctor.findings import finding


def daemon_finding(check: str = "disk", level: str = "ok", **changes: Any) -> dict[str, Any]:
    """Return a finding as the wire has it."""
    return {"check": check, "level": level, "line": "80 GB free", "command": None, "account": None} | changes


@pytest.fixture(autouse=True)
def _no_systemd(monkeypatch: pytest.MonkeyPatch, short_directory: Path) -> None:
    monkeypatch.setattr(machine, "SYSTEMD_RUNS", short_directory / "no-systemd")
    monkeypatch.setattr(machine, "as_root", str)


@pytest.fixture
def well(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon that finds nothing wrong with itself, and is of our version."""
    daemon.prepare("daemon.version", daemon.version() | {"version": version()})
    daemon.prepare("daemon.doctor", {"findings": [daemon_finding()], "complete": True})
    return daemon


@pytest.fixture
def system_daemon(well: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    """The same, as the daemon of the system."""
    monkeypatch.setattr(sockets, "SYSTEM_SOCKET", str(well.path))
    return well


def told(tower: Tower, *options: str, status: int) -> dict[str, dict[str, Any]]:
    """Return the findings by their check, the last of each."""
    ran = tower("doctor", "--json", *options)
    assert (ran.status, ran.err) == (status, "")
    assert ran.json["level"] == {0: "ok", 1: "warning", 2: "failure"}[status]
    return {one["check"]: one for one in ran.json["findings"]}


# --- how it is told --------------------------------------------------------------------------------------


def test_when_all_is_well_that_is_exit_0_and_a_line_each(well: FakeDaemon, tower: Tower) -> None:
    ran = tower("doctor")
    assert (ran.status, ran.err) == (0, "all is well\n")
    assert ran.out.splitlines() == [
        f"ok       socket         {well.path} answers",
        f"ok       daemon         towerd {version()}, pid 4711, since 2026-01-01T00:00:00.000Z",
        f"ok       version        both are {version()}",
        "skipped  group          only the socket of the system is for group tower",
        "skipped  units          no systemd runs here",
        "ok       disk           80 GB free",
    ]
    assert tower("doctor", "-q").err == ""


def test_the_version_that_whatsapp_is_told_stands_with_the_versions(
    well: FakeDaemon, daemon: FakeDaemon, tower: Tower
) -> None:
    daemon.prepare(
        "daemon.version", daemon.version() | {"version": version(), "whatsapp_version": "2.3000.1"}
    )
    assert told(tower, status=0)["version"]["line"] == f"both are {version()}; WhatsApp is told 2.3000.1"


@pytest.mark.parametrize(("level", "status"), [("warning", 1), ("failure", 2)])
def test_the_worst_finding_decides_the_exit_status_and_has_its_command(
    well: FakeDaemon, tower: Tower, level: str, status: int
) -> None:
    worst = daemon_finding(level=level, line="8 MB free", command="df -h")
    warning = daemon_finding("clock", "warning", command="date")
    well.prepare("daemon.doctor", {"findings": [worst, warning, daemon_finding("dns")], "complete": True})
    ran = tower("doctor")
    assert ran.status == status
    assert f"{level:7}  disk           8 MB free; run: df -h\n" in ran.out
    assert ran.err == ("1 failure, 1 warning\n" if status == 2 else "2 warnings\n")
    assert told(tower, status=status)["disk"] == worst


def test_what_was_skipped_counts_neither_way(well: FakeDaemon, tower: Tower) -> None:
    well.prepare("daemon.doctor", {"findings": [daemon_finding(level="skipped")], "complete": True})
    assert tower("doctor").status == 0


def test_on_a_terminal_there_are_signs_and_the_command_stands_by_itself(
    well: FakeDaemon, terminal: Callable[..., Terminal]
) -> None:
    levels = [
        daemon_finding(level=level, command="df -h") for level in ("ok", "warning", "failure", "skipped")
    ]
    well.prepare("daemon.doctor", {"findings": levels, "complete": True})
    seen = terminal("doctor").read_all()
    for sign in ("\u2713", "!", "\u2717", "-"):
        assert f"{sign} disk          80 GB free\r\n                df -h\r\n" in seen


def test_progress_is_shown_when_it_takes_longer_than_a_second(
    well: FakeDaemon, terminal: Callable[..., Terminal]
) -> None:
    def wait(_connection: object, _params: object) -> dict[str, Any]:
        assert may_end.wait(20)
        return {"findings": [], "complete": True}

    may_end = threading.Event()
    well.prepare("daemon.doctor", wait)
    shown = terminal("doctor")
    try:
        shown.read_until("looking … 1 s")
    finally:
        may_end.set()
    assert shown.read_all().endswith("all is well\r\n")


def test_many_accounts_that_are_well_are_one_line(well: FakeDaemon, tower: Tower) -> None:
    accounts = [daemon_finding("account", line=f"n{number}: connected") for number in range(50)]
    accounts.insert(40, daemon_finding("account", "failure", line="bad: failed", command="towerctl show bad"))
    well.prepare("daemon.doctor", {"findings": accounts, "complete": True})
    out = tower("doctor").out
    assert out.count("connected") == 10
    assert "bad: failed" in out
    assert "40 more accounts are well (-v shows them)" in out
    assert tower("doctor", "-v").out.count("connected") == 50


def test_control_characters_of_strangers_stay_off_the_terminal(well: FakeDaemon, tower: Tower) -> None:
    well.prepare("daemon.doctor", {"findings": [daemon_finding(line="a\x1b[31mb")], "complete": True})
    assert "a\\x1b[31mb" in tower("doctor").out


# --- the daemon ------------------------------------------------------------------------------------------


def test_a_caller_who_is_no_admin_is_told_what_needs_one(well: FakeDaemon, tower: Tower) -> None:
    well.prepare("daemon.doctor", {"findings": [daemon_finding("account")], "complete": False})
    findings = told(tower, status=0)
    assert findings["daemon"] == finding(
        "daemon", "skipped", "what is about the daemon itself is for admins", "sudo towerctl doctor"
    )
    assert "configuration" in findings


def test_another_version_of_the_daemon_is_a_warning_and_another_api_a_failure(
    well: FakeDaemon, tower: Tower
) -> None:
    well.prepare("daemon.version", well.version())
    skew = told(tower, status=1)["version"]
    assert skew["line"] == f"towerd 9.9.9 runs, towerctl is {version()}"
    assert skew["command"] == "kill 4711    # then start towerd again"
    well.api_major = 7
    well.prepare("daemon.version", well.version())
    assert "speaks API 7" in tower("doctor").out


def test_a_daemon_that_is_too_old_for_it_is_a_warning(well: FakeDaemon, tower: Tower) -> None:
    well.prepare("daemon.doctor", error("method-not-found"))
    assert told(tower, status=1)["daemon"]["command"] == "kill 4711    # then start towerd again"


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        ("systemctl restart towerd", "sudo systemctl restart towerd"),
        ("chmod -R go= /var/lib/tower", "sudo chmod -R go= /var/lib/tower"),
        ("towerctl reload", "towerctl reload"),
        ("df -h", "df -h"),
        (None, None),
    ],
)
def test_what_is_for_root_an_admin_who_is_not_types_with_sudo(
    system_daemon: FakeDaemon,
    tower: Tower,
    monkeypatch: pytest.MonkeyPatch,
    command: str | None,
    typed: str | None,
) -> None:
    monkeypatch.setattr(machine, "as_root", lambda command: f"sudo {command}")
    monkeypatch.setattr(machine, "group", lambda **_: [])
    answer = {"findings": [daemon_finding(level="warning", command=command)], "complete": True}
    system_daemon.prepare("daemon.doctor", answer)
    assert told(tower, status=1)["disk"]["command"] == typed


def test_a_daemon_that_hangs_up_is_a_failure(well: FakeDaemon, tower: Tower) -> None:
    def hang_up(*_: object) -> None:
        raise HangUp

    well.prepare("daemon.version", hang_up)
    assert "closed the connection" in told(tower, status=2)["daemon"]["line"]


def test_a_daemon_that_is_mute_is_a_failure(well: FakeDaemon, tower: Tower) -> None:
    def say_nothing(*_: object) -> None:
        raise Silence

    well.prepare("daemon.doctor", say_nothing)
    findings = told(tower, "--timeout", "0.3", status=2)
    assert "is mute" in findings["daemon"]["line"]
    assert "configuration" in findings


# --- the socket ------------------------------------------------------------------------------------------


def test_a_socket_that_is_absent_is_a_failure_with_the_command_that_starts_it(
    environment: dict[str, str], tower: Tower, short_directory: Path
) -> None:
    path = short_directory / "own.sock"
    own = told(tower, "--socket", str(path), status=2)["socket"]
    assert own["line"] == f"towerd cannot be reached: {path} is absent"
    assert own["command"] == f"towerd --socket {path}"
    system = told(tower, "--system", status=2)["socket"]
    assert system["command"] == "systemctl start towerd.socket towerd.service"


def test_a_socket_on_which_nobody_listens_is_refused(
    daemon: FakeDaemon, tower: Tower, short_directory: Path
) -> None:
    path = short_directory / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert "is refused" in told(tower, "--socket", str(path), status=2)["socket"]["line"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody whom permissions stop")
def test_a_socket_that_is_forbidden_is_a_failure_of_the_group(
    system_daemon: FakeDaemon, tower: Tower, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower_group = grp.struct_group(("tower", "x", 99999, []))
    monkeypatch.setattr(grp, "getgrnam", lambda _name: tower_group)
    (short_directory / "home").mkdir()
    short_directory.chmod(0o755)
    system_daemon.path.chmod(0o600)
    with as_nobody(short_directory / "home"):
        findings = told(tower, status=2)
    assert findings["socket"]["line"].endswith("is forbidden to you")
    assert findings["group"]["level"] == "failure"
    assert findings["group"]["command"] == "sudo usermod -aG tower nobody    # then log in again"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other groups")
@pytest.mark.parametrize(("mode", "gid"), [(0o660, 0), (0o600, 777), (0o640, 777)])
def test_a_socket_that_is_not_for_the_group_is_a_failure_for_everybody(
    system_daemon: FakeDaemon, tower: Tower, monkeypatch: pytest.MonkeyPatch, mode: int, gid: int
) -> None:
    monkeypatch.setattr(grp, "getgrnam", lambda _name: grp.struct_group(("tower", "x", 777, [])))
    path = system_daemon.path
    path.parent.chmod(0o755)
    os.chown(path, 0, 777)
    path.chmod(0o660)
    assert told(tower, status=0)["group"]["level"] == "ok"
    os.chown(path, 0, gid)
    path.chmod(mode)
    found = [one for one in tower("doctor", "--json").json["findings"] if one["level"] == "failure"]
    assert [one["command"] for one in found] == [f"chown root:tower {path} && chmod 0660 {path}"]
    assert f"{path} is not for group tower" in found[0]["line"]


@pytest.mark.skipif(os.geteuid() != 0, reason="others may not own the directory of a socket of root's")
def test_a_directory_that_keeps_the_group_out_is_a_failure(
    system_daemon: FakeDaemon, tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grp, "getgrnam", lambda _name: grp.struct_group(("tower", "x", 777, [])))
    way = system_daemon.path.parent
    way.chmod(0o700)
    (found,) = [one for one in tower("doctor", "--json").json["findings"] if one["level"] == "failure"]
    assert found["line"] == f"{way} keeps group tower out (root:root, mode 0700)"
    assert found["command"] == f"chmod 0755 {way}"


# --- the group -------------------------------------------------------------------------------------------


def of_group(monkeypatch: pytest.MonkeyPatch, *, members: list[str], groups: list[int]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: groups)
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_name="ann"))
    monkeypatch.setattr(grp, "getgrnam", lambda _name: grp.struct_group(("tower", "x", 777, members)))


@pytest.mark.parametrize(
    ("members", "groups", "level", "forbidden_level"),
    [
        (["ann"], [777], "ok", "ok"),
        # Put into it, and not logged in again.
        (["ann"], [], "warning", "failure"),
        ([], [], "ok", "failure"),
    ],
)
def test_membership_counts_in_this_very_login(
    monkeypatch: pytest.MonkeyPatch, members: list[str], groups: list[int], level: str, forbidden_level: str
) -> None:
    of_group(monkeypatch, members=members, groups=groups)
    *_, found = machine.group(is_by_hand=False, is_forbidden=False)
    assert found["level"] == level
    *_, found = machine.group(is_by_hand=False, is_forbidden=True)
    assert found["level"] == forbidden_level
    assert (found["command"] is None) is (forbidden_level == "ok")


def test_a_machine_without_the_group_has_nothing_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_name: str) -> None:
        raise KeyError

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(grp, "getgrnam", nobody)
    (found,) = machine.group(is_by_hand=False, is_forbidden=False)
    assert found["level"] == "skipped"


# --- the configuration -----------------------------------------------------------------------------------


def checked(environment: dict[str, str], shown: Any = "no systemd", *, is_by_hand: bool = True) -> Any:
    return machine.configuration(os.environ | environment, shown, is_by_hand=is_by_hand)


def test_files_are_checked_by_towerd_itself(tmp_path: Path) -> None:
    config = tmp_path / "tower.toml"
    config.write_text("[pairing]\n")
    (found,) = checked({"TOWER_CONFIG": str(config)})
    assert (found["level"], found["line"]) == ("ok", f"{config}: ok")
    config.write_text("[pairing]\nnonsense = 1\n[other]\n")
    first, second = checked({"TOWER_CONFIG": str(config)})
    assert (first["level"], first["command"]) == ("failure", "towerd --check-config")
    assert "pairing.nonsense: unknown key" in first["line"]
    assert "other: unknown key" in second["line"]


def test_those_of_the_service_are_the_ones_that_its_unit_names(tmp_path: Path) -> None:
    config = tmp_path / "tower.toml"
    config.write_text("nonsense = 1")
    shown = {"towerd.service": {"Environment": f"HTTPS_PROXY=http://x TOWER_CONFIG={config}"}}
    (found,) = checked({"TOWER_CONFIG": "/nowhere/mine.toml"}, shown, is_by_hand=False)
    assert f"{config}: nonsense: unknown key" in found["line"]
    assert found["command"] == f"STATE_DIRECTORY=/var/lib/tower TOWER_CONFIG={config} towerd --check-config"


def test_files_that_the_caller_may_not_read_are_nothing_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    towerd = tmp_path / "towerd"
    line = "/etc/tower/tower.toml: cannot be read: Permission denied"
    towerd.write_text(f"#!/bin/sh\necho 'towerd: {line}' >&2; exit 78\n")
    towerd.chmod(0o755)
    monkeypatch.setattr(machine, "_towerd", lambda: [str(towerd)])
    assert checked({}) == [finding("configuration", "skipped", line, "sudo towerctl doctor")]


def test_json_is_one_document_whatever_the_status(well: FakeDaemon, tower: Tower) -> None:
    well.prepare("daemon.doctor", {"findings": [daemon_finding(level="failure")], "complete": True})
    ran = tower("doctor", "--json")
    assert ran.status == 2
    assert json.loads(ran.out)["complete"] is True
