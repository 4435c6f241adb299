"""Losses of power under sealed stores: what they cost messages, and that no older store goes unnoticed."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.sealed_tower import SealedTower
from tests.e2e.victim import CONFIG
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
GRACE = "491511111111"
SEED = 20261124
LOSSES = int(os.environ.get("TOWER_TEST_LOSSES", "4"))


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[SealedTower]:
    with SealedTower(simulator, config=CONFIG) as started:
        simulator.contact(GRACE, "Grace")
        yield started


def received(tower: SealedTower) -> list[dict[str, Any]]:
    return list(tower.rpc("message.list", account="sales", limit=1000)["messages"])


def send(tower: SealedTower, text: str) -> None:
    tower.ctl("send", "sales", "--to", f"+{GRACE}", "--wait", "--timeout", "60", text)


def test_an_older_store_is_noticed_right_after_a_message_was_reported_as_sent(
    tower: SealedTower, simulator: Simulator
) -> None:
    account = tower.link(simulator, "sales", PHONE)
    send(tower, "one")
    old = tower.sealed(account).read_bytes()
    send(tower, "two")
    # At once: what the daemon would have done in a while it does not do any more.
    tower.lose_power()
    sealed = tower.sealed(account).read_bytes()
    assert sealed != old
    tower.sealed(account).write_bytes(old)
    tower.start()
    shown = tower.wait_for_state("sales", "failed")
    assert shown["reason"] == "store-damaged"
    assert tower.sealed(account).read_bytes() == old
    tower.kill()
    tower.sealed(account).write_bytes(sealed)
    tower.start()
    tower.wait_for_state("sales", "connected")
    send(tower, "three")
    assert [one["text"] for one in simulator.outbox(PHONE)] == ["one", "two", "three"]
    assert len(tower.events("session.qr")) == 1


@pytest.mark.timeout(400)
def test_losses_of_power_cost_no_message_that_was_reported(
    tower: SealedTower, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    dice, sent, told = random.Random(SEED), list[str](), set[str]()
    tower.link(simulator, "sales", PHONE)
    for loss in range(LOSSES):
        sent.append(f"out {loss}")
        send(tower, sent[-1])
        # Some of them are taken, some are just being, when the power goes.
        for number in range(dice.randint(10, 40)):
            simulator.deliver(PHONE, GRACE, f"in {loss}-{number}")
        told |= {one["message_id"] for one in received(tower)}
        tower.lose_power()
        tower.start()
        tower.wait_for_state("sales", "connected", seconds=60)
        assert told <= {one["message_id"] for one in received(tower)}
    # Encryption goes on both ways from where it was, or makes a new beginning by itself.
    sent.append("last")
    send(tower, "last")
    assert [one["text"] for one in simulator.outbox(PHONE)] == sent
    last = simulator.deliver(PHONE, GRACE, "last")["id"]
    wait_for(
        lambda: last in {one["message_id"] for one in received(tower)}, seconds=60, what="the last message"
    )
    wait_for(lambda: not simulator.backlog(PHONE), seconds=60, what="everything is acknowledged")
    kept = {one["message_id"] for one in received(tower)}
    lost = {one["id"] for one in simulator.acknowledged(PHONE)} - kept
    with capsys.disabled():
        print(f"\n{LOSSES} losses of power among {len(kept | lost)} messages that came in: {len(lost)} lost")
