"""Permissions and room: each file that is open to the wrong people is seen, and so is a disk that is full."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.privileges import NOBODY
from tests.unit.towerd.doctor.patients import a_patient, a_sight, found, levels, only, paths_in
from towerd.doctor.files import disk, permissions
from towerd.doctor.patient import ChannelSight, Patient

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away and mounts")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return the world of a daemon in which all is as it should be."""
    paths = paths_in(tmp_path)
    store = paths.sessions_dir / "a-abcdefghij"
    store.mkdir(parents=True)
    paths.config.parent.mkdir()
    for file, mode in ((paths.database, 0o600), (store / "store.db", 0o600), (paths.config, 0o644)):
        file.touch()
        file.chmod(mode)
    for one in (paths.state_dir, paths.sessions_dir, store):
        one.chmod(0o700)
    paths.config.parent.chmod(0o755)
    return tmp_path


@pytest.fixture
def patient(directory: Path) -> Iterator[Patient]:
    paths = paths_in(directory)
    # pytest's directories have paths too long for a socket.
    here = os.open(directory, os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{here}/tower.sock")
        paths.socket.chmod(0o600)
        yield a_patient(directory, config_files=(paths.config,))
    os.close(here)


def wrong(patient: Patient) -> tuple[str, str | None]:
    """Return line and command of the one finding that is not well."""
    (finding,) = [one for one in permissions(patient) if one.level != "ok"]
    return finding.line, finding.command


def test_what_is_as_it_should_be_is_well(patient: Patient) -> None:
    assert levels(permissions, patient) == ["ok", "ok", "ok"]


@pytest.mark.parametrize("name", ["state", "state/sessions/a-abcdefghij", "state/tower.db"])
def test_a_file_of_the_state_that_others_may_open_is_a_failure(
    directory: Path, patient: Patient, name: str
) -> None:
    path = directory / name
    path.chmod(path.stat().st_mode | 0o044)
    assert wrong(patient) == (f"{path} may be opened by others", f"chmod -R go= {directory}/state")
    subprocess.run(["chmod", "-R", "go=", directory / "state"], check=True)
    assert levels(permissions, patient) == ["ok", "ok", "ok"]


def test_several_are_one_line_that_counts_them(directory: Path, patient: Patient) -> None:
    for file in (directory / "state").rglob("*.db"):
        file.chmod(0o640)
    assert wrong(patient)[0].endswith(" (and 1 more) may be opened by others")


@as_root
def test_a_file_of_the_state_that_belongs_to_another_is_a_failure(directory: Path, patient: Patient) -> None:
    os.chown(directory / "state/tower.db", NOBODY, NOBODY)
    line, command = wrong(patient)
    assert line == f"{directory}/state/tower.db does not belong to root"
    assert command == f"chown -R root: {directory}/state"


@pytest.mark.parametrize("name", ["etc/tower.toml", "etc"])
def test_a_configuration_that_others_may_change_is_a_failure(
    directory: Path, patient: Patient, name: str
) -> None:
    path = directory / name
    path.chmod(path.stat().st_mode | 0o002)
    assert wrong(patient) == (f"{path} may be changed by others", f"chmod go-w {path}")


@as_root
def test_a_configuration_that_belongs_to_somebody_is_a_warning(directory: Path, patient: Patient) -> None:
    os.chown(directory / "etc/tower.toml", NOBODY, NOBODY)
    line, command = wrong(patient)
    assert "belongs to nobody" in line
    assert command == f"chown root {directory}/etc/tower.toml"


def with_parts(patient: Patient, **parts: Any) -> Patient:
    return dataclasses.replace(patient, **parts)


def test_a_program_that_tells_people_and_that_others_may_change_is_a_failure(
    directory: Path, patient: Patient
) -> None:
    alert = directory / "alert"
    alert.touch()
    alert.chmod(0o757)
    channel = ChannelSight(name="command", program=str(alert), trouble=None, delivered_at=None)
    assert wrong(with_parts(patient, channels=(channel,)))[0] == f"{alert} may be changed by others"


def test_a_proxy_file_that_everybody_may_read_is_a_failure(directory: Path, patient: Patient) -> None:
    proxy = directory / "proxy"
    proxy.write_text("http://ann:secret@proxy:1")
    proxy.chmod(0o644)
    account = a_sight(record={"proxy_file": str(proxy)})
    line, command = wrong(with_parts(patient, accounts=(account,)))
    assert line == f"{proxy} may hold a password and may be read by everybody"
    assert command == f"chmod o= {proxy}"


def test_a_socket_that_everybody_reaches_is_a_warning(directory: Path, patient: Patient) -> None:
    (directory / "tower.sock").chmod(0o666)
    line, command = wrong(patient)
    assert line == f"everybody on this machine reaches {directory}/tower.sock (mode 0666)"
    assert command == f"chmod o= {directory}/tower.sock"


def test_a_socket_that_is_gone_is_no_finding(directory: Path, patient: Patient) -> None:
    (directory / "tower.sock").unlink()
    assert levels(permissions, patient) == ["ok", "ok", "skipped"]


# --- the disk --------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 64 MB on the state directory."""
    state = paths_in(tmp_path).state_dir
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=2000", "tmpfs", state], check=True)
    try:
        yield state
    finally:
        subprocess.run(["umount", state], check=True)


def test_a_disk_with_room_says_how_much(tmp_path: Path) -> None:
    paths_in(tmp_path).state_dir.mkdir()
    assert [line.endswith(f"free in {tmp_path}/state") for _, line in found(disk, a_patient(tmp_path))] == [
        True
    ]


@as_root
def test_a_disk_that_fills_is_a_warning_then_a_failure_and_a_full_one_cannot_be_written(
    tmp_path: Path, small_disk: Path
) -> None:
    patient = a_patient(tmp_path)
    assert only(disk, patient).level == "warning"
    (small_disk / "most").write_bytes(bytes(50 * 1024 * 1024))
    finding = only(disk, patient)
    assert (finding.level, finding.command) == ("failure", f"df -h {small_disk}")
    with pytest.raises(OSError):
        (small_disk / "rest").write_bytes(bytes(50 * 1024 * 1024))
    assert only(disk, patient).line == f"{small_disk} cannot be written: No space left on device"


@as_root
def test_a_disk_that_has_room_for_few_files_is_a_warning(tmp_path: Path, small_disk: Path) -> None:
    for number in range(1200):
        (small_disk / str(number)).touch()
    finding = only(disk, a_patient(tmp_path))
    assert finding.level == "warning"
    assert "more files" in finding.line
    assert finding.command == f"df -i {small_disk}"


@as_root
def test_a_disk_that_is_read_only_cannot_be_written(tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    finding = only(disk, a_patient(tmp_path))
    assert (finding.level, finding.line) == (
        "failure",
        f"{small_disk} cannot be written: Read-only file system",
    )


def test_a_disk_that_is_gone_cannot_be_written(tmp_path: Path) -> None:
    assert "cannot be written: No such file or directory" in only(disk, a_patient(tmp_path)).line
