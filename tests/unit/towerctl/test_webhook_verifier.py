"""The verifier: what it refuses, one by one."""

from __future__ import annotations

import pytest

from towerctl.webhook_verifier import (
    BadSignature,
    HeaderMissing,
    Refused,
    TooOld,
    parse_request,
    verify,
    verify_standard,
)
from towerd.webhooks.signing import headers

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_790_000_000
BODY = b'{"type":"x"}'
CHECKS = pytest.mark.parametrize("check", [verify, verify_standard])


def signed(**changes: str) -> dict[str, str]:
    return headers(SECRET, message_id="evt_1_2", timestamp=NOW, body=BODY) | changes


@CHECKS
@pytest.mark.parametrize("age", [-300, 0, 300])
def test_what_was_signed_lately_is_proven(check: object, age: int) -> None:
    assert callable(check)
    check(SECRET, {key.upper(): value for key, value in signed().items()}, BODY, now=NOW + age)


@CHECKS
@pytest.mark.parametrize("age", [-301, 301])
def test_what_was_signed_long_ago_or_ahead_is_refused(check: object, age: int) -> None:
    assert callable(check)
    with pytest.raises(TooOld):
        check(SECRET, signed(), BODY, now=NOW + age)


@CHECKS
def test_another_body_or_secret_is_refused(check: object) -> None:
    assert callable(check)
    with pytest.raises(BadSignature):
        check(SECRET, signed(), BODY + b" ", now=NOW)
    with pytest.raises(BadSignature):
        check(SECRET + "x", signed(), BODY, now=NOW)


@pytest.mark.parametrize("name", list(signed()))
def test_each_missing_header_is_named(name: str) -> None:
    given = {key: value for key, value in signed().items() if key != name}
    check = verify if name.startswith("X-") else verify_standard
    with pytest.raises(HeaderMissing, match=name):
        check(SECRET, given, BODY, now=NOW)


@pytest.mark.parametrize("stamp", ["soon", "-1", "1e9", "9" * 16, "\u0661"])
def test_a_time_that_is_none_is_refused(stamp: str) -> None:
    with pytest.raises(HeaderMissing):
        verify(SECRET, signed(**{"X-Timestamp": stamp}), BODY, now=NOW)


def test_one_of_several_signatures_is_enough() -> None:
    both = f"v1a,abc v1,xyz {signed()['webhook-signature']}"
    verify_standard(SECRET, signed(**{"webhook-signature": both}), BODY, now=NOW)


def test_what_is_no_request_is_refused() -> None:
    for junk in (b"", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nno colon\r\n\r\n"):
        with pytest.raises(Refused):
            parse_request(junk)
