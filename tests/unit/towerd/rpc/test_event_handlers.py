"""What `since` and `until` may be, and how many subscriptions a connection may have."""

from __future__ import annotations

import pytest

from tests.unit.towerd.rpc.calls import a_call
from tests.unit.towerd.waiting import run
from towerd.protocol.errors import TowerError
from towerd.protocol.methods import Subscribe, Unsubscribe
from towerd.protocol.parameters import MAX_ROW_ID
from towerd.rpc.handlers.events import moment, subscribe, unsubscribe


@pytest.mark.parametrize("value", [0, 4711, "4711", MAX_ROW_ID, str(MAX_ROW_ID), "007"])
def test_digits_are_an_id(value: int | str) -> None:
    assert moment("since", value) == (int(value), None)


def test_a_time_is_a_time_and_nothing_is_nothing() -> None:
    assert moment("since", "1970-01-01T00:01:00Z") == (None, 60.0)
    assert moment("since", None) == (None, None)


# Digits to str.isdigit and not to int; digits of other scripts; more than SQLite counts to.
HOSTILE = ["²", "１２３", "٣", "9" * 200, str(MAX_ROW_ID + 1), "", " ", "-1", "1e3", "2026-01-31T12:00:00"]


@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_neither_is_refused_by_name(value: str) -> None:
    with pytest.raises(TowerError) as caught:
        moment("until", value)
    assert caught.value.slug == "invalid-field"
    assert [bad.field for bad in caught.value.fields] == ["until"]


def test_a_connection_has_so_many_subscriptions_and_no_more() -> None:
    async def scene() -> None:
        call = a_call()
        for _ in range(64):
            first = await subscribe(call, Subscribe())
        with pytest.raises(TowerError) as caught:
            await subscribe(call, Subscribe())
        assert caught.value.slug == "too-busy"
        await unsubscribe(call, Unsubscribe(subscription=first.subscription))
        await subscribe(call, Subscribe())
        for end in call.subscriptions.values():
            end()

    run(scene())
