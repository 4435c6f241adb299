"""The daemon itself: configuration, held accounts, problems, telling people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerd.builders import NOW
from tests.unit.towerd.doctor.patients import a_patient, found, levels, only
from towerd.config_files import Mistake
from towerd.configuration import Difference
from towerd.doctor.patient import ChannelSight
from towerd.doctor.service import configuration, fleet, notify, problems
from towerd.settings import Change

FILE = Path("/etc/tower/tower.toml")


def changed(key: str, *, needs_restart: bool) -> Difference:
    return Difference(changes=(Change(key=key, old=1, new=2, needs_restart=needs_restart),))


def test_files_that_run_are_well() -> None:
    assert found(configuration, a_patient(config_files=(FILE,))) == [
        ("ok", f"what is written in {FILE} is what runs")
    ]
    assert found(configuration, a_patient()) == [("ok", "no file, so the defaults run")]


def test_files_that_wait_are_a_warning_with_the_command_that_takes_them() -> None:
    pending = only(configuration, a_patient(difference=changed("truth.probe_seconds", needs_restart=False)))
    assert (pending.level, pending.command) == ("warning", "towerctl reload")
    assert pending.line.endswith("truth.probe_seconds")
    waiting = only(configuration, a_patient(difference=changed("start.spread_seconds", needs_restart=True)))
    assert (waiting.level, waiting.command) == ("warning", "systemctl restart towerd")


def test_each_mistake_is_a_failure_with_the_command_that_checks_these_files(tmp_path: Path) -> None:
    mistakes = (Mistake(file=FILE, key="a.b", why="unknown key"), Mistake(file=FILE, key="", why="not TOML"))
    patient = a_patient(tmp_path, difference=Difference(mistakes=mistakes))
    assert [line for _, line in found(configuration, patient)] == [
        f"the next start would refuse {FILE}: a.b: unknown key",
        f"the next start would refuse {FILE}: not TOML",
    ]
    assert next(configuration(patient)).command == (f"STATE_DIRECTORY={tmp_path}/state towerd --check-config")
    patient.paths.config.parent.mkdir()
    patient.paths.config.touch()
    assert next(configuration(patient)).command == (f"towerd --check-config --config {patient.paths.config}")


def test_accounts_that_are_held_are_a_warning() -> None:
    assert levels(fleet, a_patient()) == ["ok"]
    finding = only(fleet, a_patient(fleet_cause="unlink-wave", fleet_held=3))
    assert (finding.level, finding.line) == ("warning", "3 accounts held back: unlink-wave")
    assert finding.command == "towerctl release"


def test_each_problem_is_a_warning() -> None:
    assert levels(problems, a_patient()) == ["ok"]
    assert found(problems, a_patient(problems=("one", "two"))) == [("warning", "one"), ("warning", "two")]


def test_a_declared_account_that_is_not_right_comes_with_the_command_that_checks_it(tmp_path: Path) -> None:
    config = tmp_path / "etc/tower.toml"
    config.parent.mkdir()
    config.touch()
    broken = f"{tmp_path}/etc/accounts.d/shop.toml: owner: no such user"
    finding = only(problems, a_patient(tmp_path, problems=(broken,)))
    assert (finding.level, finding.line) == ("warning", broken)
    assert finding.command == f"towerd --check-config --config {config}"


# --- telling people --------------------------------------------------------------------------------------


def channel(program: str = "/bin/true", **parts: Any) -> ChannelSight:
    defaults: dict[str, Any] = {"name": "command", "trouble": None, "delivered_at": None}
    return ChannelSight(program=program, **(defaults | parts))


def test_nobody_to_tell_is_nothing_to_look_at() -> None:
    assert levels(notify, a_patient()) == ["skipped"]


def test_a_way_that_works_is_well() -> None:
    patient = a_patient(channels=(channel(), channel("/bin/true", delivered_at=NOW)), open_incidents=1)
    assert found(notify, patient) == [
        ("ok", "by command: /bin/true, has told nothing yet; 1 incident open"),
        ("ok", "by command: /bin/true, last told 2026-09-21T14:13:20.000Z; 1 incident open"),
    ]


def test_a_program_that_cannot_be_run_is_a_failure(tmp_path: Path) -> None:
    for name in ("missing", "text"):
        path = tmp_path / name
        if name == "text":
            path.touch()
        finding = only(notify, a_patient(channels=(channel(str(path)),)))
        assert (finding.level, finding.command) == ("failure", f"ls -lL {path}")
        assert finding.line == f"by command: {path} is no program that can be run"


def test_a_program_without_a_slash_is_looked_for_in_the_search_path(tmp_path: Path) -> None:
    program = tmp_path / "alert"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert levels(notify, a_patient(channels=(channel("alert"),), environment={"PATH": "/nowhere"})) == [
        "failure"
    ]
    assert levels(notify, a_patient(channels=(channel("alert"),), environment={"PATH": str(tmp_path)})) == [
        "ok"
    ]


def test_a_message_that_was_not_taken_is_a_failure() -> None:
    finding = only(notify, a_patient(channels=(channel(trouble="ended with status 1"),)))
    assert (finding.level, finding.command) == ("failure", "towerctl notify --test")
    assert finding.line == "by command: /bin/true ended with status 1"


LOOK = """
import sys
from tests.unit.towerd.doctor.patients import a_patient, found
from tests.unit.towerd.doctor.test_service import channel
from towerd.doctor.service import notify
print(found(notify, a_patient(channels=(channel(sys.argv[1], name="mail"),))))
"""


@pytest.mark.parametrize("helper", ["sendmail", "postdrop"])
def test_a_sendmail_that_needs_rights_which_the_unit_takes_is_a_failure(tmp_path: Path, helper: str) -> None:
    sendmail = tmp_path / "sendmail"
    for name in {"sendmail", helper}:
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o755)
    (tmp_path / helper).chmod(0o2755)

    def look(*limits: str) -> str:
        return subprocess.run(
            [*limits, sys.executable, "-c", LOOK, sendmail],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[4],
        ).stdout

    assert "cannot work under this unit" not in look()
    forbidden = look("setpriv", "--no-new-privs", "--")
    assert f"cannot work under this unit: {tmp_path}/{helper} is setuid or setgid" in forbidden
    (tmp_path / helper).chmod(0o755)
    assert "has told nothing yet" in look("setpriv", "--no-new-privs", "--")
