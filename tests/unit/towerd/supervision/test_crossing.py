"""News that come while other news are still being dealt with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sessions import messages
from sessions.states import State
from tests.unit.towerd.supervision.world import World, config
from tests.unit.towerd.waiting import until
from towerd.supervision import reports as reports_module

Play = Callable[..., None]


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "_REPAIR_SECONDS", 0.02)


@pytest.mark.parametrize("first", [messages.Replaced(), messages.Banned(code=101, expires_in_seconds=60)])
def test_unlink_behind_other_news_that_end_the_worker_is_wiped_and_paired_anew(
    play: Play, first: messages.Reports
) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        world.lose_device(keeper)
        worker.report(first, messages.LoggedOut(code=401, on_connect=False))
        await until(lambda: keeper.account.state is State.PAIRING, "the pairing")
        assert not keeper.account.record.is_linked
        assert keeper.account.record.cause == "logged-out-by-phone"

    play(act)


def test_pairing_whose_time_is_over_while_another_worker_starts_ends_all_the_same(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        worker.die("refused")
        await until(lambda: keeper._timers.is_running("retry"))
        keeper._timers.hurry("retry")
        keeper._timers.hurry("pairing")
        await until(lambda: keeper.account.state is State.UNPAIRED, "the end of the pairing")
        assert keeper.account.record.reason == "pairing-timeout"
        assert not keeper.carrier.is_running

    play(act, config(reconnect={"base_seconds": 3600.0, "cap_seconds": 3600.0}))


@pytest.mark.parametrize("is_row_left", [False, True])
def test_logout_of_a_device_that_the_phone_has_removed_is_done(play: Play, is_row_left: bool) -> None:
    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        await keeper.stop()
        logout = asyncio.create_task(keeper.logout())
        worker = await world.workers.next()
        if not is_row_left:
            world.lose_device(keeper)
        worker.begun()
        worker.report(messages.LoggedOut(code=401, on_connect=True))
        assert (await logout).outcome == "done"
        record = keeper.account.record
        assert (record.state, record.reason) == (State.UNPAIRED, "logged-out-by-operator")
        assert not record.is_linked
        assert not keeper.carrier.is_running

    play(act)
