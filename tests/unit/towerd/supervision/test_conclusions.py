"""What follows from what happened is carried out although the disk is full, and written when it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sessions import messages
from sessions.states import State
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.supervision.world import World, config
from tests.unit.towerd.waiting import until
from towerd.protocol.errors import TowerError
from towerd.supervision import conclusions
from towerd.supervision import logout as logout_module
from towerd.supervision import reports as reports_module

Play = Callable[..., None]


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conclusions, "_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(reports_module, "_REPAIR_SECONDS", 0.02)


class Disk:
    """The disk under the registry, which the test fills."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        commit, settle = world.ledger.commit, world.ledger.settle

        async def commit_if_room(write: object) -> None:
            self._require_room()
            await commit(write)

        async def settle_if_room() -> None:
            self._require_room()
            await settle()

        monkeypatch.setattr(world.ledger, "commit", commit_if_room)
        monkeypatch.setattr(world.ledger, "settle", settle_if_room)

    def _require_room(self) -> None:
        if self.is_full:
            raise TowerError("registry-unavailable", "no space left on device")


@pytest.mark.parametrize(("code", "reason"), [(403, "locked"), (406, "banned")])
def test_account_that_whatsapp_locks_while_the_disk_is_full_is_failed(
    play: Play, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        disk = Disk(world, monkeypatch)
        disk.is_full = True
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=code, on_connect=True))
        await until(lambda: keeper.account.state is State.FAILED)
        assert (keeper.account.record.reason, keeper.account.record.is_linked) == (reason, False)
        assert keeper.account.record.expected_phone == "+491701234567"
        assert world.kept(keeper)["expected_phone"] is None
        disk.is_full = False
        await until(lambda: world.kept(keeper)["expected_phone"] == "+491701234567", "it is written")

    play(act)


def test_account_that_the_phone_unlinks_while_the_disk_is_full_pairs_anew(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_connected()
        disk = Disk(world, monkeypatch)
        disk.is_full = True
        world.lose_device(keeper)
        worker.report(messages.LoggedOut(code=401, on_connect=False))
        await until(lambda: keeper.account.state is State.PAIRING)
        disk.is_full = False

    play(act)


def test_stopped_account_whose_logout_fails_on_a_full_disk_is_stopped_again(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logout_module, "LOGOUT_SECONDS", 0.3)

    async def act(world: World) -> None:
        keeper, _ = await world.keep_connected()
        await keeper.stop()
        disk = Disk(world, monkeypatch)
        launch = keeper.carrier.launch

        async def launch_and_fill(**how: object) -> None:
            disk.is_full = True
            await launch(**how)

        monkeypatch.setattr(keeper.carrier, "launch", launch_and_fill)
        with pytest.raises(TowerError):
            await keeper.logout()
        assert (keeper.account.state, keeper.account.record.intent) == (State.STOPPED, None)
        assert not keeper.carrier.is_running
        assert world.kept(keeper)["intent"] == "logout"
        disk.is_full = False
        await until(lambda: world.kept(keeper)["intent"] is None, "the end of the logout is written")

    play(act)


def test_device_of_a_store_that_the_disk_kept_is_linked_when_its_logout_fails(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal finds a device that nobody has heard of, and cannot log it out."""
    monkeypatch.setattr(logout_module, "LOGOUT_SECONDS", 0.3)

    async def act(world: World) -> None:
        keeper = await world.keep()
        make_store(world.root, keeper.account.record.id)
        with pytest.raises(TowerError) as caught:
            await keeper.remove(require_logout=True)
        assert caught.value.slug == "logout-failed"
        record = keeper.account.record
        assert (record.state, record.is_linked) == (State.CONNECTING, True)
        assert keeper.carrier.is_running

    play(act, config())


def test_who_is_connected_as_nobody_is_not_connected(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        worker.report(messages.Connected(identity=None))
        worker.report(messages.QrShown(payload="next", number=2, issued_at=world.clock.monotonic()))
        await until(lambda: keeper.account.attempt and keeper.account.attempt.number == 2)
        assert (keeper.account.state, keeper.account.record.is_linked) == (State.PAIRING, False)

    play(act)
