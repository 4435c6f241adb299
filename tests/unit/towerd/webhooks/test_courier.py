"""What becomes of a delivery after an attempt."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from tests.unit.towerd.builders import ACCOUNT_ID, NOW, FakeClock, an_event_record, settings_of
from towerd.accounts.records import DeliveryRecord
from towerd.config import Endpoint, WebhookConfig
from towerd.webhooks.courier import GIVE_UP_SECONDS, LONGEST_DELAY_SECONDS, Courier, Outcome
from towerd.webhooks.outbox import Outbox

FAILED = Outcome(status=500, error="answered with status 500")
ENDPOINT = Endpoint(name="crm", url="https://example.org/", secret_file="/nowhere")


@pytest.fixture
def counted() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def courier(counted: list[tuple[str, str]]) -> Courier:
    settings = settings_of(webhook=WebhookConfig(endpoints=(ENDPOINT,)))
    return Courier(
        settings,
        ledger=cast("Any", None),
        clock=FakeClock(),
        count=lambda name, how: counted.append((name, how)),
    )


def a_delivery(**fields: Any) -> DeliveryRecord:
    outbox = Outbox(settings_of(webhook=WebhookConfig(endpoints=(ENDPOINT,))))
    (delivery,) = outbox.deliveries(an_event_record(time=NOW))
    return msgspec.structs.replace(delivery, **fields)


def test_each_failure_doubles_the_delay_up_to_a_day(courier: Courier) -> None:
    for attempts in range(17):
        tried = courier._settled(a_delivery(attempts=attempts), FAILED)
        longest = min(5.0 * 2**attempts, LONGEST_DELAY_SECONDS)
        assert tried.state == "queued"
        assert longest * 0.8 <= tried.next_attempt_at - NOW <= longest


def test_it_is_given_up_after_so_many_attempts(courier: Courier, counted: list[tuple[str, str]]) -> None:
    assert courier._settled(a_delivery(attempts=17), FAILED).state == "dead"
    assert counted == [("crm", "dead")]


def test_what_is_older_than_a_week_is_given_up_at_its_first_failure(courier: Courier) -> None:
    old = a_delivery(created_at=NOW - GIVE_UP_SECONDS - 1)
    assert courier._settled(old, FAILED).state == "dead"
    assert courier._settled(old, Outcome(status=200, error=None)).state == "delivered"


def test_three_failures_in_a_row_are_a_problem_until_one_is_taken(courier: Courier) -> None:
    for _ in range(2):
        courier._settled(a_delivery(), FAILED)
    assert courier.problems == []
    courier._settled(a_delivery(), FAILED)
    assert courier.problems == ["the webhook crm takes no events: answered with status 500"]
    courier._settled(a_delivery(), Outcome(status=204, error=None))
    assert courier.problems == []


@pytest.mark.parametrize(
    ("limits", "fits"),
    [
        ({}, True),
        ({"events": ("session.*",)}, True),
        ({"events": ("worker.*", "session.stat?")}, True),
        ({"events": ("worker.*",)}, False),
        ({"accounts": ("alpha",)}, True),
        ({"accounts": (ACCOUNT_ID,)}, True),
        ({"accounts": ("beta",)}, False),
        ({"owners": ("1000",)}, True),
        ({"owners": ("1001",)}, False),
        ({"owners": ("no-such-user",)}, False),
    ],
)
def test_an_event_goes_to_whom_it_fits(limits: dict[str, Any], fits: bool) -> None:
    endpoint = msgspec.structs.replace(ENDPOINT, **limits)
    outbox = Outbox(settings_of(webhook=WebhookConfig(endpoints=(endpoint,))))
    assert bool(outbox.deliveries(an_event_record())) is fits
