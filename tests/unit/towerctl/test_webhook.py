"""`towerctl webhook`: what it asks, what it shows, what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.towerctl.conftest import Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon

DELIVERY: dict[str, Any] = {
    "id": 7, "endpoint": "crm", "event_id": 4711, "type": "session.qr", "message_id": "evt_4711_1",
    "account": None, "state": "dead", "attempts": 18, "created_at": "2026-01-31T12:00:00.000Z",
    "next_attempt_at": None, "attempted_at": None, "status": None, "error": "no \x1b[31m answer",
}  # fmt: skip


def test_deliveries_are_a_table_and_nothing_in_it_is_obeyed(daemon: FakeDaemon, tower: Tower) -> None:
    daemon.prepare("webhook.deliveries", {"deliveries": [DELIVERY]})
    ran = tower("webhook", "deliveries", "crm", "--state", "dead", "--limit", "5")
    assert "session.qr" in ran.out
    assert "\x1b" not in ran.out
    assert daemon.asked("webhook.deliveries") == [{"endpoint": "crm", "state": "dead", "limit": 5}]


def test_retry_says_how_many(daemon: FakeDaemon, tower: Tower) -> None:
    daemon.prepare("webhook.retry", {"endpoint": "crm", "queued": 3})
    assert tower("webhook", "retry", "crm").out == "crm: 3 deliveries are tried again\n"
    tower("webhook", "retry", "crm", "--delivery", "7")
    assert daemon.asked("webhook.retry") == [{"endpoint": "crm"}, {"endpoint": "crm", "delivery": 7}]


@pytest.mark.parametrize(
    "words",
    [
        "test",
        "retry",
        "list crm",
        "list --state dead",
        "retry crm --limit 5",
        "test crm --delivery 7",
        "send",
    ],
)
def test_what_does_not_belong_to_the_verb_is_refused(daemon: FakeDaemon, tower: Tower, words: str) -> None:
    assert tower("webhook", *words.split()).status == 2
