"""`export` and `adopt`: the file is there whole, for its owner alone, or not at all."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon, account
from towerd.protocol.errors import TowerError

SECRET = bytes(range(32))
CONTENT = bytes(range(256)) * 4000
PIECE_BYTES = 300_000


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "transfer.key"
    file.write_bytes(SECRET)
    return file


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    return tmp_path / "shop.tower"


def pieces(content: bytes = CONTENT) -> Callable[..., dict[str, Any]]:
    """Hand a file out as the daemon does."""

    def read(_connection: object, params: dict[str, Any]) -> dict[str, Any]:
        start = params["offset"]
        end = start + PIECE_BYTES
        data = base64.b64encode(content[start:end]).decode()
        return {"data": data, "next_offset": end if end < len(content) else None}

    return read


def prepare_export(daemon: FakeDaemon, size_bytes: int = len(CONTENT)) -> None:
    shown = account(state="stopped", reason="exported")
    answer = {"account": shown, "transfer": "t1", "size_bytes": size_bytes, "key": "0011223344556677"}
    daemon.prepare("account.export", answer)
    daemon.prepare("transfer.read", pieces())


def prepare_adopt(daemon: FakeDaemon, outcome: str = "created") -> list[bytes]:
    """Take a file in; return where its pieces go."""
    come: list[bytes] = []

    def write(_connection: object, params: dict[str, Any]) -> dict[str, Any]:
        assert params["offset"] == sum(map(len, come))
        come.append(base64.b64decode(params["data"]))
        return {"transfer": "t1", "size_bytes": sum(map(len, come))}

    origin = {
        "id": "a-cccccccccc",
        "name": "shop",
        "owner": "anna",
        "exported_at": "2026-01-31T12:00:00.000Z",
    }
    daemon.prepare("transfer.begin", {"transfer": "t1", "size_bytes": 0})
    daemon.prepare("transfer.write", write)
    daemon.prepare("account.adopt", {"account": account(), "outcome": outcome, "origin": origin})
    return come


def test_file_is_what_the_daemon_hands_out_and_for_its_owner_alone(
    tower: Tower, daemon: FakeDaemon, parcel: Path, key_file: Path
) -> None:
    prepare_export(daemon)
    ran = tower("export", "shop", "-o", str(parcel), "--key-file", str(key_file))
    assert ran.status == 0
    assert f"exported to {parcel}" in ran.out
    assert "0011223344556677" in ran.out
    assert "does not run here any more" in ran.err
    assert parcel.read_bytes() == CONTENT
    assert parcel.stat().st_mode & 0o777 == 0o600
    (asked,) = daemon.asked("account.export")
    assert asked == {"account": "shop", "key": base64.b64encode(SECRET).decode()}
    assert {path.name for path in parcel.parent.iterdir()} == {parcel.name, key_file.name}


def test_without_a_key_that_of_the_daemon_is_taken(tower: Tower, daemon: FakeDaemon, parcel: Path) -> None:
    prepare_export(daemon)
    assert tower("export", "shop", "-o", str(parcel)).status == 0
    assert daemon.asked("account.export") == [{"account": "shop"}]


def test_export_is_never_written_over_anything(tower: Tower, daemon: FakeDaemon, parcel: Path) -> None:
    parcel.write_bytes(b"the only copy")
    ran = tower("export", "shop", "-o", str(parcel))
    assert (ran.status, ran.out) == (2, "")
    assert "is there already" in ran.err
    assert parcel.read_bytes() == b"the only copy"
    assert daemon.asked("account.export") == []


@pytest.mark.parametrize(("output", "status"), [("-", 2), ("/nowhere/at/all", 1)])
def test_place_that_takes_no_file_is_refused_before_anything_is_done(
    tower: Tower, daemon: FakeDaemon, output: str, status: int
) -> None:
    assert tower("export", "shop", "-o", output).status == status
    assert daemon.asked("account.export") == []


def test_output_and_account_have_to_be_named(tower: Tower, daemon: FakeDaemon, parcel: Path) -> None:
    assert tower("export", "shop").status == 2
    assert tower("export", "-o", str(parcel)).status == 2
    assert daemon.asked("account.export") == []


@pytest.mark.parametrize("announced", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_file_that_did_not_come_whole_is_not_there_and_the_way_on_is_named(
    tower: Tower, daemon: FakeDaemon, parcel: Path, announced: int
) -> None:
    prepare_export(daemon, announced)
    ran = tower("export", "shop", "-o", str(parcel))
    assert (ran.status, ran.out) == (1, "")
    assert "run the same command again" in ran.err
    assert list(parcel.parent.iterdir()) == []


def test_daemon_that_goes_away_in_the_middle_leaves_no_file(
    tower: Tower, daemon: FakeDaemon, parcel: Path
) -> None:
    prepare_export(daemon)
    daemon.prepare("transfer.read", TowerError("invalid-field", "transfer: there is none"))
    ran = tower("export", "shop", "-o", str(parcel))
    assert ran.status == 2
    assert "run the same command again" in ran.err
    assert list(parcel.parent.iterdir()) == []


def test_file_is_handed_in_whole_and_in_order(
    tower: Tower, daemon: FakeDaemon, parcel: Path, key_file: Path
) -> None:
    come = prepare_adopt(daemon)
    parcel.write_bytes(CONTENT)
    ran = tower(
        "adopt", str(parcel), "--key-file", str(key_file), "--name", "x", "--owner", "bob", "--no-start"
    )
    assert ran.status == 0
    assert "was shop of anna" in ran.out
    assert b"".join(come) == CONTENT
    assert len(come) > 1
    assert daemon.asked("account.adopt") == [
        {
            "transfer": "t1",
            "key": base64.b64encode(SECRET).decode(),
            "name": "x",
            "owner": "bob",
            "start": False,
        }
    ]


def test_what_is_not_wished_is_left_to_the_daemon(tower: Tower, daemon: FakeDaemon, parcel: Path) -> None:
    prepare_adopt(daemon, "returned")
    parcel.write_bytes(b"content")
    ran = tower("adopt", str(parcel))
    assert "has returned" in ran.out
    assert daemon.asked("account.adopt") == [{"transfer": "t1"}]


def test_file_that_cannot_be_read_or_is_empty_is_named(
    tower: Tower, daemon: FakeDaemon, parcel: Path
) -> None:
    prepare_adopt(daemon)
    ran = tower("adopt", str(parcel))
    assert (ran.status, str(parcel) in ran.err) == (2, True)
    parcel.write_bytes(b"")
    assert "is empty" in tower("adopt", str(parcel)).err
    assert daemon.asked("account.adopt") == []


def test_file_that_the_daemon_refuses_is_a_matter_of_usage(
    tower: Tower, daemon: FakeDaemon, parcel: Path
) -> None:
    prepare_adopt(daemon)
    daemon.prepare("account.adopt", TowerError("export-invalid", "the file cannot be used: it is cut off"))
    parcel.write_bytes(b"content")
    ran = tower("adopt", str(parcel))
    assert (ran.status, "it is cut off" in ran.err) == (2, True)


@pytest.mark.parametrize("arguments", [("export", "shop", "-o", "file"), ("adopt", "file")])
def test_key_that_is_none_is_refused_before_anything_is_done(
    tower: Tower, daemon: FakeDaemon, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "short").write_bytes(SECRET[:31])
    ran = tower(*arguments, "--key-file", str(tmp_path / "short"))
    assert (ran.status, "exactly 32 bytes" in ran.err) == (2, True)
    assert daemon.requests == []
