"""A phone whose number the pairing did not tell: the account connects without it, and says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sessions import messages
from sessions.messages import Identity
from sessions.states import State
from tests.unit.sessions.stores import make_store
from tests.unit.towerd.builders import account_id
from tests.unit.towerd.supervision.world import ALICE, World
from tests.unit.towerd.waiting import until

Play = Callable[..., None]

UNKNOWN = Identity(jid="501239907274358@lid", device_number=13, lid="501239907274358@lid")


def late(identity: Identity) -> Identity:
    return Identity(jid=identity.jid, device_number=13, lid=UNKNOWN.lid)


def test_account_whose_phone_is_not_told_connects_and_says_so(play: Play) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        worker.report(messages.Scanned(identity=UNKNOWN), messages.Connected(identity=UNKNOWN))
        await until(lambda: keeper.account.state is State.CONNECTED, "the login")
        assert keeper.account.record.phone is None
        keeper._timers.hurry("phone")
        assert len(await world.events("session.phone_unknown")) == 1
        assert keeper.account.state is State.CONNECTED

    play(act)


@pytest.mark.parametrize("is_connected", [False, True])
def test_phone_that_becomes_known_in_time_is_nothing_to_speak_of(play: Play, is_connected: bool) -> None:
    async def act(world: World) -> None:
        keeper, worker = await world.keep_pairing()
        worker.report(messages.Scanned(identity=UNKNOWN))
        if is_connected:
            worker.report(messages.Connected(identity=UNKNOWN))
        worker.report(messages.IdentityLearned(identity=late(ALICE)))
        await until(lambda: keeper.account.record.phone == "+491701234567", "the number")
        keeper._timers.hurry("phone")
        assert await world.events("session.phone_unknown") == []

    play(act)


def test_phone_that_becomes_known_late_is_claimed_then(play: Play) -> None:
    async def act(world: World) -> None:
        first, _ = await world.keep_connected(id=account_id(1), name="first")
        second, worker = await world.keep_pairing(id=account_id(2), name="second")
        make_store(world.root, account_id(2), jid="491701234567:13@s.whatsapp.net")
        worker.report(messages.Scanned(identity=UNKNOWN), messages.Connected(identity=UNKNOWN))
        await until(lambda: second.account.state is State.CONNECTED, "the login")
        worker.report(messages.IdentityLearned(identity=late(ALICE)))
        order = await worker.next_order()
        while order["type"] != "logout":
            order = await worker.next_order()
        worker.report(messages.Answer(id=order["id"], error=None))
        await until(lambda: second.account.record.reason == "duplicate-phone", "the end of the newcomer")
        await until(lambda: second.account.state is State.UNPAIRED, "the scrub")
        assert first.account.state is State.CONNECTED
        assert not second.account.record.is_linked

    play(act)
