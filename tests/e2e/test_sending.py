"""Texts that go out: what is refused and why, order, limits, and a key that sends once over any kill."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bystander import comes_back
from tests.e2e.tower import Tower
from tests.rules.source import ROOT
from tests.whatsapp.simulator import Simulator, wait_for

PHONE = "491701234567"
GRACE = "491511111111"
ADA = "491522222222"
CONFIG = """
[reconnect]
base_seconds = 0.2
cap_seconds = 1
"""


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    with Tower(simulator, config=CONFIG) as started:
        started.link(simulator, "sales", PHONE)
        for phone, name in ((GRACE, "Grace"), (ADA, "Ada")):
            simulator.contact(phone, name)
        yield started


def outbox(tower: Tower) -> list[dict[str, Any]]:
    return list(tower.rpc("message.outbox", account="sales", limit=10000)["messages"])


def read_by(simulator: Simulator) -> list[str]:
    return [one["text"] for one in simulator.outbox(PHONE)]


def refused(tower: Tower, *arguments: str, stdin: str | None = None) -> tuple[int, str]:
    """Return the exit status and the slug of a send that is refused."""
    ran = tower.run("send", "sales", "--json", "--to", f"+{GRACE}", *arguments, stdin=stdin)
    assert ran.stdout == ""
    return ran.returncode, json.loads(ran.stderr)["error"]["slug"]


def test_each_refusal_has_an_error_of_its_own(tower: Tower, simulator: Simulator, untouched: None) -> None:
    tower.config.write_text(CONFIG + "[limits]\ndaily = 3\nqueue = 2\n")
    tower.ctl("reload")
    assert refused(tower, "-", stdin="x" * 65537) == (9, "text-too-long")
    assert refused(tower, "-", stdin="x" * 300_000) == (9, "text-too-long")
    assert refused(tower, "-", stdin="") == (2, "usage")
    tower.ctl("send", "sales", "--to", f"+{GRACE}", "--wait", "-", stdin="\u2b50" * 65536)
    assert read_by(simulator) == ["\u2b50" * 65536]
    simulator.refuse()
    simulator.drop(PHONE)
    tower.wait_for_state("sales", "reconnecting")
    for text in ("two", "three"):
        tower.ctl("send", "sales", "--to", f"+{GRACE}", text)
    assert refused(tower, "four") == (9, "queue-full")
    simulator.refuse(on=False)
    wait_for(lambda: len(read_by(simulator)) == 3, seconds=40, what="all three are read")
    wait_for(lambda: {one["state"] for one in outbox(tower)} == {"sent"}, what="all three are settled")
    assert refused(tower, "four") == (9, "limit-reached")
    health = json.loads(tower.run("health", "--check", "--json").stdout)
    assert (health["status"], health["accounts"][0]["health_reasons"]) == ("critical", ["daily-limit"])
    (*_, changed) = tower.events("health.changed")
    assert changed["data"] == {"old": "healthy", "new": "critical", "reasons": ["daily-limit"]}
    tower.ctl("stop", "sales")
    assert refused(tower, "four") == (6, "not-connected")
    assert len(outbox(tower)) == 3


def test_what_waits_keeps_its_order_over_kills(tower: Tower, simulator: Simulator, touched: None) -> None:
    simulator.refuse()
    simulator.drop()
    tower.wait_for_state("sales", "reconnecting")
    asked = [(GRACE if number % 2 else ADA, f"text {number}") for number in range(12)]
    for number, (phone, text) in enumerate(asked):
        tower.ctl("send", "sales", "--to", f"+{phone}", text)
        if number % 5 == 4:
            tower.kill()
            tower.start()
    simulator.refuse(on=False)
    wait_for(lambda: len(read_by(simulator)) == 12, seconds=60, what="all are read")
    assert read_by(simulator) == [text for _, text in asked]


def test_a_key_sends_once_over_kills_at_any_moment(tower: Tower, simulator: Simulator, touched: None) -> None:
    rng = random.Random(20261121)
    for number in range(5):
        asked = (
            "send",
            "sales",
            "--to",
            f"+{GRACE}",
            "--key",
            f"report-{number}",
            "--wait",
            f"report {number}",
        )
        tower.wait_for_state("sales", "connected")
        if number % 2:
            simulator.withhold()
        with tower.spawn_ctl(*asked) as script:
            # What is withheld is surely under way when it is read; otherwise anywhere.
            if number % 2:
                wait_for(lambda n=number: f"report {n}" in read_by(simulator), what="it is read")
            else:
                time.sleep(rng.uniform(0, 0.5))
            tower.kill()
            simulator.withhold(on=False)
            tower.start()
            script.kill()
        tower.wait_for_state("sales", "connected")
        again = tower.run(*asked)
        (row,) = [one for one in outbox(tower) if one["key"] == f"report-{number}"]
        assert (again.returncode, row["state"]) in ((0, "sent"), (1, "failed"))
        assert row["reason"] in (None, "outcome-unknown")
        assert read_by(simulator).count(f"report {number}") <= 1
        if row["state"] == "sent":
            assert read_by(simulator).count(f"report {number}") == 1


def test_the_day_ends_at_midnight_of_the_zone_also_while_away_and_when_the_clock_is_set(
    simulator: Simulator, tmp_path: Path
) -> None:
    config = f'{CONFIG}[messages]\nzone = "Europe/Berlin"\n[limits]\ndaily = 1\n'
    one = Tower(simulator, config=config, command=(sys.executable, "-m", "tests.e2e.shifted_towerd"))
    shift = tmp_path / "shift"
    one.environment |= {
        "TOWER_TEST_CLOCK_SHIFT": str(shift),
        "PYTHONPATH": f"{one.environment['PYTHONPATH']}:{ROOT}",
    }

    def be(moment: str) -> None:
        shift.write_text(str(datetime.fromisoformat(moment).timestamp() - time.time()))

    # The clocks go forward in that night, so this day has 23 hours.
    be("2027-03-27T23:50:00+01:00")
    with one as tower, comes_back(tower, simulator):
        tower.link(simulator, "sales", PHONE)
        simulator.contact(GRACE, "Grace")

        def sends(text: str) -> bool:
            return tower.run("send", "sales", "--to", f"+{GRACE}", "--wait", text).returncode == 0

        assert sends("Saturday")
        assert not sends("Saturday again")
        tower.terminate()
        be("2027-03-28T00:05:00+01:00")
        tower.start()
        tower.wait_for_state("sales", "connected")
        assert sends("Sunday")
        be("2027-03-28T23:55:00+02:00")
        assert not sends("Sunday again")
        assert tower.account("sales")["health"] == "critical"
        be("2027-03-29T00:05:00+02:00")
        wait_for(
            lambda: tower.events("health.changed")[-1]["data"]["new"] == "healthy",
            what="the new day is noticed",
        )
        assert tower.account("sales")["sent_today"] == 0
        assert sends("Monday")
        # Set back: that day is known.
        be("2027-03-28T12:00:00+02:00")
        wait_for(lambda: tower.account("sales")["sent_today"] == 1, what="the former day is noticed")
        assert refused(tower, "Sunday once more") == (9, "limit-reached")
    assert read_by(simulator) == ["Saturday", "Sunday", "Monday"]
