"""The replaced file: whole, private, gone when it should be, and nothing else left behind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from towerctl.exits import Failure
from towerctl.files import ReplacedFile


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_content_is_replaced_and_private(tmp_path: Path) -> None:
    path = tmp_path / "qr.png"
    path.write_bytes(b"old")
    path.chmod(0o644)
    ReplacedFile(str(path), mode=0o600).write(b"new")
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o600
    assert names(tmp_path) == ["qr.png"]


def test_the_mode_is_as_asked_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        ReplacedFile(str(tmp_path / "qr.png"), mode=0o644).write(b"")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "qr.png") == 0o644


def test_it_is_never_readable_by_others_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    write = os.write

    def look(handle: int, data: bytes) -> int:
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return write(handle, data)

    monkeypatch.setattr(os, "write", look)
    before = os.umask(0)
    try:
        ReplacedFile(str(tmp_path / "qr.png"), mode=0o644).write(b"secret")
    finally:
        os.umask(before)
    assert modes == [0o600]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:3]))
    ReplacedFile(str(tmp_path / "qr.png"), mode=0o600).write(b"0123456789")
    assert (tmp_path / "qr.png").read_bytes() == b"0123456789"


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "qr.png"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(Failure, match="No space left on device") as failed:
        ReplacedFile(str(path), mode=0o600).write(b"new")
    assert (failed.value.slug, failed.value.exit_status) == ("cannot-write", 1)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["qr.png"]


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    link = tmp_path / "qr.png"
    link.symlink_to(target)
    file = ReplacedFile(str(link), mode=0o600)
    file.check()
    file.write(b"new")
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"precious", b"new", False)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("{}", "it is a directory"),
        ("{}/missing/qr.png", "missing does not exist"),
        ("{}/file/qr.png", "file is not a directory"),
        ("/dev/null", "it is not a regular file"),
        ("/dev/stdout", "it is not a regular file"),
    ],
)
def test_what_cannot_be_written_is_seen_early(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "file").touch()
    if path == "/dev/stdout":
        path = str(tmp_path / "stdout")
        Path(path).symlink_to("/dev/null")
    with pytest.raises(Failure, match=why):
        ReplacedFile(path.format(tmp_path), mode=0o600).check()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become nobody")
def test_a_directory_of_somebody_else_is_seen_early(tmp_path: Path) -> None:
    # access(2) asks for the real user.
    pid = os.fork()
    if pid == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            ReplacedFile("/qr.png", mode=0o600).check()
        except Failure:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_only_what_was_written_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "qr.png"
    file = ReplacedFile(str(path), mode=0o600)
    path.write_bytes(b"was there")
    file.remove()
    assert path.exists()
    file.write(b"ours")
    path.unlink()
    file.remove()  # somebody was faster
    file.write(b"ours")
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    other.rename(path)
    file.remove()
    assert path.read_bytes() == b"theirs"
    file.write(b"ours")
    file.remove()
    assert names(tmp_path) == []
