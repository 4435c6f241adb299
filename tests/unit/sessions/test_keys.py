"""A key comes from a file that nobody else can read, and says no more of itself than its id."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from sessions.keys import KEY_BYTES, KeyFileError, StoreKey, read_key, ring
from tests.unit.privileges import as_nobody

SECRET = bytes(range(KEY_BYTES))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_bytes(SECRET)
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_key_is_read_from_a_private_file(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert read_key(path) == StoreKey(SECRET)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_key_that_others_can_reach_is_refused_with_the_remedy(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 0600 {path}"):
        read_key(path)


def test_what_systemd_guards_need_not_have_a_private_mode(path: Path) -> None:
    path.chmod(0o440)
    assert read_key(path, is_guarded=True) == StoreKey(SECRET)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_key_of_another_user_is_refused(path: Path) -> None:
    os.chown(path, 12345, -1)
    with pytest.raises(KeyFileError, match="belongs to user 12345"):
        read_key(path)


@pytest.mark.parametrize("content", [b"", SECRET[:-1], SECRET + b"\n", SECRET.hex().encode()])
def test_key_of_another_length_is_refused_with_the_remedy(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=r"exactly 32 bytes.*towerctl key generate"):
        read_key(path)


def test_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        read_key(tmp_path / "missing")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: object) -> None:
    path = tmp_path / "key"
    make(path)  # type: ignore[operator]
    with pytest.raises(KeyFileError):
        read_key(path)


def test_unreadable_key_is_named() -> None:
    with tempfile.TemporaryDirectory(prefix="tower-") as name:
        path = Path(name) / "key"
        path.write_bytes(SECRET)
        path.chmod(0o000)
        with as_nobody(Path(name)), pytest.raises(KeyFileError, match="Permission denied"):
            read_key(path)


def test_a_key_never_shows_its_secret() -> None:
    key = StoreKey(SECRET)
    for shown in (repr(key), str(key), f"{key}", key.name):
        assert SECRET.hex() not in shown
        assert repr(SECRET) not in shown


def test_id_is_of_the_key_and_no_part_of_it() -> None:
    ids = {StoreKey(os.urandom(KEY_BYTES)).id for _ in range(100)}
    assert len(ids) == 100
    assert StoreKey(SECRET).id == StoreKey(SECRET).id
    assert StoreKey(SECRET).id not in SECRET


def test_ring_finds_keys_by_their_ids() -> None:
    one, two = StoreKey(SECRET), StoreKey(bytes(KEY_BYTES))
    assert ring(one, two) == {one.id: one, two.id: two}
