"""A human is told: one message when somebody has to act, one when it is over, over restarts too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.tower import Tower
from tests.whatsapp.simulator import Simulator, wait_for

PHONE = "491701234567"
CONFIG = """
[notify]
command = ["{directory}/alert"]
well_seconds = 1
retry_seconds = 0.2
[reconnect]
library_seconds = 1
base_seconds = 0.3
[fleet]
canary_seconds = 2
"""


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    tower = Tower(simulator)
    tower.config.write_text(CONFIG.format(directory=tower.directory))
    program = tower.directory / "alert"
    program.write_text(f"#!/bin/sh\ncat >> {tower.directory}/told\n")
    program.chmod(0o755)
    with tower:
        yield tower


def messages(tower: Tower) -> list[dict[str, Any]]:
    told = tower.directory / "told"
    return [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []


def told(tower: Tower) -> list[tuple[str, str]]:
    """Return event and kind of every incident that was told, in order."""
    return [(one["event"], one["kind"]) for message in messages(tower) for one in message["incidents"]]


def wait_told(tower: Tower, *expected: tuple[str, str]) -> None:
    wait_for(lambda: told(tower) == list(expected), seconds=30, what=f"{expected} is told, not {told(tower)}")


def scan(tower: Tower, simulator: Simulator) -> None:
    answer = tower.rpc("account.qr", account="sales", wait_seconds=30, start=True)
    simulator.scan(answer["qr"]["data"], PHONE)
    tower.wait_for_state("sales", "connected")


def test_an_unlink_is_one_message_and_the_scan_one_that_it_is_over(
    tower: Tower, simulator: Simulator
) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.logout(PHONE)
    wait_told(tower, ("opened", "logged-out-by-phone"))
    message = messages(tower)[0]
    assert message["incidents"][0]["account"]["name"] == "sales"
    assert "towerctl qr sales" in message["text"]
    assert PHONE not in json.dumps(message)
    # The pairing that waits for the scan is no news, nor is a restart, orderly or not.
    tower.wait_for_state("sales", "pairing")
    tower.terminate()
    tower.start()
    tower.wait_for_state("sales", "pairing")
    tower.kill()
    tower.start()
    scan(tower, simulator)
    wait_told(tower, ("opened", "logged-out-by-phone"), ("closed", "logged-out-by-phone"))
    assert messages(tower)[1]["incidents"][0]["outcome"] == "connected"
    assert [one["data"]["kind"] for one in tower.events("incident.opened")] == ["logged-out-by-phone"]
    assert len(tower.events("incident.closed")) == 1


def test_a_ban_is_told_until_the_number_is_linked_again(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.ban(PHONE, 406)
    wait_told(tower, ("opened", "banned"))
    simulator.unban(PHONE)
    tower.ctl("pair", "sales")
    scan(tower, simulator)
    wait_told(tower, ("opened", "banned"), ("closed", "banned"))


def test_what_an_operator_does_is_no_incident_and_ends_one(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    tower.ctl("stop", "sales")
    tower.ctl("start", "sales")
    tower.wait_for_state("sales", "connected")
    tower.ctl("logout", "sales", "--yes")
    scan(tower, simulator)
    simulator.logout(PHONE)
    wait_told(tower, ("opened", "logged-out-by-phone"))
    tower.ctl("remove", "sales", "--yes")
    wait_told(tower, ("opened", "logged-out-by-phone"), ("closed", "logged-out-by-phone"))
    assert messages(tower)[1]["incidents"][0]["outcome"] == "removed"


def test_accounts_that_are_held_are_one_incident_of_the_fleet(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    tower.link(simulator, "office", "491707654321")
    simulator.outdated()
    simulator.drop()
    wait_for(lambda: len(told(tower)) == 2, seconds=30, what="both are told")
    assert sorted(told(tower)) == [("opened", "client-outdated"), ("opened", "fleet-held")]
    simulator.outdated(on=False)
    for name in ("sales", "office"):
        wait_for(lambda name=name: tower.account(name)["state"] == "connected", seconds=40)
    wait_for(lambda: len(told(tower)) == 4, seconds=30, what="both ends are told")
    assert sorted(told(tower)[2:]) == [("closed", "client-outdated"), ("closed", "fleet-held")]
