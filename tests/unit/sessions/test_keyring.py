"""Whoever has one of the two keys has both, and whoever has neither has nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sessions.keyring import KeyRingError, KeyRingFile
from sessions.keys import StoreKey, ring
from tests.unit.sessions.sealing import KEY, OTHER_KEY

THIRD_KEY = StoreKey(b"3" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring"


@pytest.fixture
def file(path: Path) -> KeyRingFile:
    found = KeyRingFile(path)
    found.write(KEY, OTHER_KEY)
    return found


@pytest.mark.parametrize("mine", [(KEY,), (OTHER_KEY,), (KEY, OTHER_KEY), (THIRD_KEY, KEY)])
def test_one_of_the_keys_opens_both(file: KeyRingFile, mine: tuple[StoreKey, ...]) -> None:
    assert file.read(ring(*mine)) == (KEY, OTHER_KEY)


def test_another_key_opens_nothing_and_both_are_named(file: KeyRingFile) -> None:
    with pytest.raises(KeyRingError, match=f"{KEY.name} to {OTHER_KEY.name}; this is neither"):
        file.read(ring(THIRD_KEY))


def test_no_file_is_no_rotation(path: Path) -> None:
    assert KeyRingFile(path).read(ring(KEY)) is None


def test_file_is_for_its_owner_alone_and_shows_no_key(file: KeyRingFile, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    for key in (KEY, OTHER_KEY):
        assert key.secret not in content
        assert key.secret.hex().encode() not in content


def test_later_rotation_takes_the_place_of_the_earlier_one(file: KeyRingFile, path: Path) -> None:
    file.write(OTHER_KEY, THIRD_KEY)
    assert file.read(ring(THIRD_KEY)) == (OTHER_KEY, THIRD_KEY)
    assert [entry.name for entry in path.parent.iterdir()] == ["keyring"]


def test_removed_file_is_gone_and_may_be_removed_again(file: KeyRingFile, path: Path) -> None:
    file.remove()
    file.remove()
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"not json", b'{"from": 1}', b"\xff\xfe"])
def test_garbage_is_damage(file: KeyRingFile, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(KeyRingError, match="is damaged"):
        file.read(ring(KEY))


@pytest.mark.parametrize("name", ["from_under_to", "to_under_from"])
def test_keys_that_were_exchanged_are_damage(file: KeyRingFile, path: Path, name: str) -> None:
    document = json.loads(path.read_text())
    other = "to_under_from" if name == "from_under_to" else "from_under_to"
    document[name] = document[other]
    path.write_text(json.dumps(document))
    mine = OTHER_KEY if name == "from_under_to" else KEY
    with pytest.raises(KeyRingError, match="is damaged"):
        file.read(ring(mine))
