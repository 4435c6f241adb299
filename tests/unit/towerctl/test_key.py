"""`towerctl key`: a key goes into a file or to the daemon, and is never shown."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon

SECRET = bytes(range(32))


def answer(**changes: Any) -> dict[str, Any]:
    return {"key": "0011223344556677", "sealed": 3, "kept": [], "found_at_start": True} | changes


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "new.key"
    file.write_bytes(SECRET)
    return file


def test_new_key_is_written_for_its_owner_alone(tower: Tower, tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        ran = tower("key", "generate", "-o", str(file))
        assert (ran.status, ran.out) == (0, f"wrote a new key to {file}\n")
        assert len(file.read_bytes()) == 32
        assert file.stat().st_mode & 0o777 == 0o600
    assert files[0].read_bytes() != files[1].read_bytes()


def test_key_is_never_written_over(tower: Tower, key_file: Path) -> None:
    ran = tower("key", "generate", "-o", str(key_file))
    assert (ran.status, ran.out) == (2, "")
    assert "is there already" in ran.err
    assert key_file.read_bytes() == SECRET


def test_directory_that_is_not_there_is_named(tower: Tower, tmp_path: Path) -> None:
    ran = tower("key", "generate", "-o", str(tmp_path / "missing" / "key"))
    assert ran.status == 1
    assert "missing" in ran.err


def test_rotation_without_a_file_lets_the_daemon_look(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("key.rotate", answer())
    ran = tower("key", "rotate")
    assert (ran.status, ran.out, ran.err) == (0, "3 stores sealed with the key 0011223344556677\n", "")
    assert daemon.asked("key.rotate") == [{}]


def test_key_of_a_file_is_sent_and_not_shown(tower: Tower, daemon: FakeDaemon, key_file: Path) -> None:
    daemon.prepare("key.rotate", answer(sealed=1, found_at_start=False))
    ran = tower("key", "rotate", "--new-key", str(key_file))
    assert ran.status == 0
    assert ran.out.startswith("1 store sealed")
    assert "does not find this key at its next start" in ran.err
    sent = base64.b64encode(SECRET).decode()
    assert daemon.asked("key.rotate") == [{"key": sent}]
    for secret in (sent, SECRET.hex()):
        assert secret not in ran.out + ran.err


def test_stores_that_keep_their_key_are_named(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("key.rotate", answer(kept=[{"account": "sales", "why": "it is cut off"}]))
    ran = tower("key", "rotate")
    assert ran.status == 8
    assert "sales: its store keeps its key: it is cut off" in ran.err
    assert tower("key", "rotate", "--json").status == 8


@pytest.mark.parametrize("content", [b"", SECRET[:-1], SECRET + b"\n"])
def test_file_that_holds_no_key_is_not_sent(
    tower: Tower, daemon: FakeDaemon, key_file: Path, content: bytes
) -> None:
    key_file.write_bytes(content)
    ran = tower("key", "rotate", "--new-key", str(key_file))
    assert ran.status == 2
    assert "exactly 32 bytes" in ran.err
    assert daemon.asked("key.rotate") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate",),
        ("generate", "-o", "x", "--new-key", "y"),
        ("rotate", "-o", "x"),
        ("rotate", "--new-key", "/nowhere/key"),
        ("show",),
    ],
)
def test_what_does_not_belong_together_is_usage(tower: Tower, arguments: tuple[str, ...]) -> None:
    assert tower("key", *arguments).status == 2
