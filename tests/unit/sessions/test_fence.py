"""A fence stands until it is lifted, and goes with the store that it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from sessions.fence import FENCE_NAME, Fence, lift_fence, raise_fence, read_fence
from sessions.store import Store
from tests.unit.sessions.stores import ACCOUNT_ID, make_store


@pytest.mark.parametrize("fence", list(Fence))
def test_fence_is_read_as_it_was_raised_until_it_is_lifted(tmp_path: Path, fence: Fence) -> None:
    assert read_fence(tmp_path) is None
    raise_fence(tmp_path, fence)
    assert read_fence(tmp_path) is fence
    lift_fence(tmp_path)
    assert read_fence(tmp_path) is None
    lift_fence(tmp_path)


def test_later_fence_takes_the_place_of_the_former(tmp_path: Path) -> None:
    raise_fence(tmp_path, Fence.ARRIVING)
    raise_fence(tmp_path, Fence.EXPORTED)
    assert read_fence(tmp_path) is Fence.EXPORTED
    assert [path.name for path in tmp_path.iterdir()] == [FENCE_NAME]


def test_store_that_does_not_exist_has_no_fence(tmp_path: Path) -> None:
    assert read_fence(tmp_path / "missing") is None


@pytest.mark.parametrize("words", [b"", b"\xff\xfe", b"something else"])
def test_fence_that_says_nothing_known_stands(tmp_path: Path, words: bytes) -> None:
    (tmp_path / FENCE_NAME).write_bytes(words)
    assert read_fence(tmp_path) is Fence.EXPORTED


def test_fence_that_cannot_be_read_stands(tmp_path: Path) -> None:
    (tmp_path / FENCE_NAME).mkdir()
    assert read_fence(tmp_path) is Fence.EXPORTED


def test_fence_is_for_its_owner_alone(tmp_path: Path) -> None:
    raise_fence(tmp_path, Fence.EXPORTED)
    assert (tmp_path / FENCE_NAME).stat().st_mode & 0o777 == 0o600


def test_fence_goes_with_the_store_that_is_wiped_and_stays_when_another_is_installed(tmp_path: Path) -> None:
    store = Store(tmp_path, ACCOUNT_ID)
    make_store(tmp_path)
    raise_fence(store.home, Fence.EXPORTED)
    store.arrival.write_bytes(store.database.read_bytes())
    store.install(store.arrival)
    assert read_fence(store.home) is Fence.EXPORTED
    store.renew()
    assert read_fence(store.home) is None
