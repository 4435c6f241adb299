"""A thousand messages come in while workers and daemons are killed: what that costs."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.tower import Tower
from tests.whatsapp.simulator import Simulator, wait_for

PHONE = "491701234567"
GRACE = "491511111111"
CONFIG = """
[reconnect]
base_seconds = 0.2
cap_seconds = 1
"""
MESSAGES = 1000
KILLS = int(os.environ.get("TOWER_TEST_MESSAGE_KILLS", "8"))
"""More of them for a measurement; each comes with its share of the messages."""
CHANNEL = 100
"""What the library's channel holds: it acknowledges a message when it enters."""


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    with Tower(simulator, config=CONFIG) as started:
        started.link(simulator, "sales", PHONE)
        simulator.contact(GRACE, "Grace")
        yield started


def kept(tower: Tower) -> list[dict[str, Any]]:
    return list(tower.rpc("message.list", account="sales", limit=10000)["messages"])


def kill_something(tower: Tower, rng: random.Random) -> None:
    if rng.random() < 0.5:
        tower.kill()
        tower.start()
    else:
        for worker in tower.workers():
            os.kill(worker, 9)


def in_a_row(simulator: Simulator, count: int, rng: random.Random, kill: Callable[[], None]) -> set[str]:
    """Deliver messages one after the other; kill after some of them."""
    at, ids = rng.randrange(count), set()
    for number in range(count):
        ids.add(simulator.deliver(PHONE, GRACE, f"in a row {number}")["id"])
        if number == at:
            kill()
    return ids


def at_once(simulator: Simulator, count: int, rng: random.Random, kill: Callable[[], None]) -> set[str]:
    """Deliver messages all at once; kill when some of them are acknowledged."""
    simulator.hold(PHONE)
    ids = {simulator.deliver(PHONE, GRACE, f"at once {number}")["id"] for number in range(count)}
    enough = len(simulator.acknowledged(PHONE)) + rng.randrange(1, count)
    simulator.hold(PHONE, on=False)
    wait_for(lambda: len(simulator.acknowledged(PHONE)) >= enough, seconds=60, what="some are acknowledged")
    kill()
    return ids


def lost_of(tower: Tower, simulator: Simulator, ids: set[str]) -> set[str]:
    """Return which messages were acknowledged and are not here, when all are acknowledged."""
    tower.wait_for_state("sales", "connected", seconds=60)
    wait_for(lambda: not simulator.backlog(PHONE), seconds=60, what="everything is acknowledged")
    # What was acknowledged last may still be on its way to the database; what comes behind it is not earlier.
    last = simulator.deliver(PHONE, GRACE, "the last one")["id"]
    wait_for(lambda: last in {one["message_id"] for one in kept(tower)}, seconds=60, what="the last message")
    assert ids <= {one["id"] for one in simulator.acknowledged(PHONE)}
    return ids - {one["message_id"] for one in kept(tower)}


def test_a_thousand_messages_under_kills_lose_no_more_than_the_library_holds(
    tower: Tower, simulator: Simulator, touched: None
) -> None:
    rng = random.Random(20261121)
    simulator.deliver(PHONE, GRACE, "first contact")
    lost = []
    for number in range(KILLS):
        send = at_once if number % 2 else in_a_row
        ids = send(simulator, MESSAGES // KILLS, rng, lambda: kill_something(tower, rng))
        assert len(ids) == MESSAGES // KILLS
        lost.append(len(lost_of(tower, simulator, ids)))
    print(f"{KILLS} kills, {MESSAGES} messages, lost at each kill: {lost}")
    assert max(lost) <= CHANNEL
    found = kept(tower)
    assert len({one["message_id"] for one in found}) == len(found), "nothing comes twice"
    assert tower.account("sales")["received_today"] == len(found)
