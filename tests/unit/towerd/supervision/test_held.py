"""One account while the fleet is held, and when it goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sessions import messages
from sessions.states import State
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.builders import account_id, an_account
from tests.unit.towerd.supervision.world import ALICE, World, a_linked_account_at_rest, config
from tests.unit.towerd.waiting import turns, until
from towerd.protocol.errors import TowerError
from towerd.supervision import logout as logout_module
from towerd.supervision.keeper import Keeper

Play = Callable[..., None]
STRANGER = account_id(7)
NEVER = config(fleet={"canary_seconds": 3600.0, "release_seconds": 0.0})


async def hold_all(world: World, keeper: Keeper) -> None:
    """Let another account be the canary of an outdated fleet."""
    world.around.fleet.watch(keeper.heed_fleet)
    world.around.fleet.report_outdated(STRANGER)


async def until_held(world: World, keeper: Keeper) -> None:
    await until(lambda: keeper.account.record.id in world.around.fleet.held, "the account holds")


def test_logout_that_fails_while_the_fleet_is_held_leaves_nobody_logging_in(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logout_module, "LOGOUT_SECONDS", 0.3)

    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        await hold_all(world, keeper)
        worker.die("connection-lost")
        await until_held(world, keeper)
        with pytest.raises(TowerError):
            await keeper.logout()
        assert (keeper.account.state, keeper.account.record.reason) == (State.RECONNECTING, "fleet-held")
        assert not keeper.carrier.is_running
        assert world.around.fleet.held == [keeper.account.record.id]

    play(act, NEVER)


def test_worker_that_is_let_past_the_fleet_for_a_logout_does_not_take_a_lost_line_up_again(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logout_module, "LOGOUT_SECONDS", 0.3)

    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        await hold_all(world, keeper)
        worker.die("connection-lost")
        await until_held(world, keeper)
        with pytest.raises(TowerError):
            await keeper.logout()
        successor = await world.workers.next()
        assert await successor.next_order() == {"type": "hold", "on": True}

    play(act, NEVER)


def test_removed_account_does_not_go_on_with_those_that_were_held(play: Play) -> None:
    async def act(world: World) -> None:
        fleet = world.around.fleet
        keeper = await world.keep()
        await hold_all(world, keeper)
        await keeper.pair()
        fleet.hold(account_id(8), lambda: None, can_test=False)
        released = fleet._held[keeper.account.record.id].release
        await keeper.remove(require_logout=False)
        # Those that were held go on over a window of time; this one had been let go and not gone on yet.
        released()
        await turns()
        assert world.workers.spawner.count == 0

    play(act, NEVER)


def test_device_that_may_not_stay_is_logged_out_when_the_fleet_goes_on(play: Play) -> None:
    async def act(world: World) -> None:
        fleet = world.around.fleet
        await world.keep(a_linked_account_at_rest(id=account_id(2), name="first"))
        keeper, worker = await world.keep_pairing()
        worker.report(messages.Scanned(identity=ALICE))
        await until(lambda: keeper.account.state is State.AUTHENTICATED)
        make_store(world.root, keeper.account.record.id)
        fleet.report_outdated(STRANGER)
        worker.die()
        await until_held(world, keeper)
        fleet.close("by command", by_command=True)
        successor = await world.workers.next()
        successor.connected(ALICE)
        assert (await successor.next_order())["type"] == "logout"

    play(act, NEVER)


def test_canary_at_work_is_not_disturbed_when_the_breaker_is_closed_by_command(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.report(messages.Outdated())
        await until(lambda: keeper.account.state is State.FAILED)
        keeper._timers.hurry("retry")
        canary = await world.workers.next()
        canary.begun()
        world.around.fleet.close("by command", by_command=True)
        await turns()
        assert not canary.is_gone.is_set()
        canary.report(messages.Connected(identity=ALICE))
        await until(lambda: keeper.account.state is State.CONNECTED)
        assert world.workers.are_quiet

    play(act, NEVER)


def test_canary_that_waits_tries_at_once_when_the_breaker_is_closed_by_command(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        worker.report(messages.Outdated())
        await until(lambda: keeper.account.state is State.FAILED)
        world.around.fleet.close("by command", by_command=True)
        (await world.workers.next()).connected(ALICE)
        await until(lambda: keeper.account.state is State.CONNECTED)

    play(act, NEVER)


def test_canary_that_was_stopped_stays_stopped_when_the_breaker_is_closed_by_command(play: Play) -> None:
    async def act(world: World) -> None:
        fleet = world.around.fleet
        keeper, worker = await world.keep_connected()
        worker.report(messages.Outdated())
        await until(lambda: keeper.account.state is State.FAILED)
        fleet.hold(STRANGER, lambda: None, can_test=True)
        await keeper.stop()
        assert fleet.canary == STRANGER
        fleet.close("by command", by_command=True)
        await turns()
        assert keeper.account.state is State.STOPPED
        assert world.workers.spawner.count == 1

    play(act, NEVER)


def test_pairing_is_held_and_goes_on(play: Play) -> None:
    async def act(world: World) -> None:
        keeper = await world.keep(an_account())
        await hold_all(world, keeper)
        await keeper.pair()
        assert (keeper.account.state, keeper.account.record.reason) == (State.PAIRING, "fleet-held")
        assert world.workers.spawner.count == 0
        world.around.fleet.close("by command", by_command=True)
        worker = await world.workers.next()
        worker.begun()
        world.show_qr(worker)
        await until(lambda: keeper.account.attempt and keeper.account.attempt.number, "the QR")

    play(act, NEVER)


def test_canary_whose_store_cannot_be_copied_tries_again(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        world.around.fleet.watch(keeper.heed_fleet)
        store = keeper.carrier.store
        room: list[bool] = []

        def snapshot_if_room() -> None:
            if not room:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(store, "snapshot", snapshot_if_room)
        for number in range(3):
            world.around.fleet.report_unlinked(account_id(100 + number))
        await keeper.restart()
        assert world.around.fleet.canary == keeper.account.record.id
        assert not keeper.carrier.is_running
        room.append(True)
        (await world.workers.next()).connected(ALICE)
        await until(lambda: keeper.account.state is State.CONNECTED)

    play(act, NEVER)
