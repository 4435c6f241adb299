"""Stores that no account has: what a start of the daemon does with each."""

from __future__ import annotations

import pytest

from sessions.fence import Fence, raise_fence
from tests.integration.towerd import Towerd
from tests.unit.sessions.stores import ACCOUNT_ID, make_store


def test_store_that_was_exported_is_recovered_as_one_that_does_not_run(towerd: Towerd) -> None:
    directory = make_store(towerd.state / "sessions").parent
    raise_fence(directory, Fence.EXPORTED)
    towerd.start()
    (account,) = towerd.ask("account.list")["accounts"]
    assert (account["id"], account["state"], account["reason"]) == (ACCOUNT_ID, "stopped", "exported")
    assert account["desired"] == "stopped"


@pytest.mark.parametrize("has_store", [True, False])
def test_arrival_whose_account_was_never_added_is_deleted(towerd: Towerd, has_store: bool) -> None:
    directory = towerd.state / "sessions" / ACCOUNT_ID
    directory.mkdir(parents=True, mode=0o700)
    raise_fence(directory, Fence.ARRIVING)
    if has_store:
        make_store(towerd.state / "sessions")
    towerd.start()
    assert towerd.ask("account.list")["accounts"] == []
    assert list((towerd.state / "sessions").iterdir()) == []


@pytest.mark.parametrize("name", [None, ".fence"])
def test_directory_with_nothing_in_it_is_deleted(towerd: Towerd, name: str | None) -> None:
    directory = towerd.state / "sessions" / ACCOUNT_ID
    directory.mkdir(parents=True, mode=0o700)
    if name is not None:
        (directory / name).write_text("arr")
    towerd.start()
    assert towerd.ask("account.list")["accounts"] == []
    assert list((towerd.state / "sessions").iterdir()) == []
