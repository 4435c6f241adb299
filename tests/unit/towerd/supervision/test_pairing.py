"""One pairing attempt: how long a code is good for, and that an expired one is never handed out."""

from __future__ import annotations

import pytest

from tests.unit.towerd.builders import NOW
from towerd.supervision.pairing import CODES_PER_ROUND, PairingAttempt


@pytest.fixture
def attempt() -> PairingAttempt:
    return PairingAttempt(started_at=NOW, deadline_at=NOW + 300)


def test_nothing_is_on_offer_at_first(attempt: PairingAttempt) -> None:
    assert attempt.current(NOW) is None
    assert (attempt.round, attempt.number, attempt.has_offered) == (1, 0, False)


@pytest.mark.parametrize(("number", "lasts"), [(1, 60), *((number, 20) for number in range(2, 7))])
def test_code_is_handed_out_until_it_expires_and_not_after(
    attempt: PairingAttempt, number: int, lasts: float
) -> None:
    assert attempt.show("secret", number, NOW)
    offer = attempt.current(NOW + lasts - 0.001)
    assert offer is not None
    assert (offer.payload, offer.number, offer.issued_at, offer.expires_at) == (
        "secret",
        number,
        NOW,
        NOW + lasts,
    )
    assert attempt.current(NOW + lasts) is None
    assert attempt.current(NOW + lasts + 1) is None


def test_six_codes_last_a_hundred_and_sixty_seconds(attempt: PairingAttempt) -> None:
    at = NOW
    for number in range(1, CODES_PER_ROUND + 1):
        attempt.show(f"secret {number}", number, at)
        assert attempt.offer is not None
        at = attempt.offer.expires_at
    assert at - NOW == 160


def test_new_code_replaces_the_old_one_and_has_another_id(attempt: PairingAttempt) -> None:
    attempt.show("one", 1, NOW)
    first = attempt.current(NOW)
    attempt.show("two", 2, NOW + 5)
    second = attempt.current(NOW + 5)
    assert first is not None
    assert second is not None
    assert second.payload == "two"
    assert first.id != second.id


def test_code_that_comes_twice_is_one_and_keeps_its_time(attempt: PairingAttempt) -> None:
    assert attempt.show("one", 1, NOW)
    assert not attempt.show("one", 2, NOW + 1)
    offer = attempt.current(NOW)
    assert offer is not None
    assert (offer.number, offer.expires_at) == (1, NOW + 60)
    assert attempt.number == 1


def test_ids_never_repeat_over_rounds_and_attempts() -> None:
    seen = []
    for started_at in (NOW, NOW + 0.002):
        attempt = PairingAttempt(started_at=started_at, deadline_at=NOW + 300)
        for _ in range(3):
            for number in range(1, CODES_PER_ROUND + 1):
                attempt.show(f"{len(seen)}", number, NOW)
                assert attempt.offer is not None
                seen.append(attempt.offer.id)
            attempt.next_round()
    assert len(seen) == len(set(seen))


def test_next_round_counts_and_takes_the_code_off_offer(attempt: PairingAttempt) -> None:
    attempt.show("one", 1, NOW)
    attempt.next_round()
    assert (attempt.round, attempt.number, attempt.current(NOW)) == (2, 0, None)
    assert attempt.has_offered


def test_round_that_never_got_a_code_does_not_count(attempt: PairingAttempt) -> None:
    attempt.next_round()
    attempt.next_round()
    assert attempt.round == 1


def test_withdrawn_code_is_not_handed_out(attempt: PairingAttempt) -> None:
    attempt.show("one", 1, NOW)
    attempt.withdraw()
    assert attempt.current(NOW) is None


def test_secret_does_not_stand_in_the_representation(attempt: PairingAttempt) -> None:
    attempt.show("the-secret", 1, NOW)
    assert "the-secret" not in repr(attempt)
    assert "the-secret" not in repr(attempt.offer)
