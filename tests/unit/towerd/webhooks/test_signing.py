"""Signatures as others make them: the library of Standard Webhooks, and arithmetic from RFC 2104."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from towerd.webhooks.signing import headers

NOW = 1_790_000_000
BODY = '{"type":"account.added","data":{"name":"Zürich"}}'.encode()


def hmac_sha256(key: bytes, message: bytes) -> str:
    """RFC 2104, section 2, word by word."""
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(one ^ 0x36 for one in key) + message).digest()
    return hashlib.sha256(bytes(one ^ 0x5C for one in key) + inner).hexdigest()


@pytest.mark.parametrize("secret", ["0123456789abcdef" * 2, "x" * 200, "whsec_" + "c2VjcmV0" * 5])
def test_the_own_signature_is_that_of_the_rfc(secret: str) -> None:
    signed = headers(secret, message_id="evt_1", timestamp=NOW, body=BODY)
    assert signed["X-Timestamp"] == str(NOW)
    assert signed["X-HMAC-Signature"] == hmac_sha256(secret.encode(), str(NOW).encode() + BODY)


def test_the_example_of_standard_webhooks() -> None:
    # The example of the specification's own libraries.
    signed = headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_library_of_standard_webhooks_signs_alike() -> None:
    secret = "whsec_" + "c2VjcmV0" * 5
    signed = headers(secret, message_id="evt_1", timestamp=NOW, body=BODY)
    theirs = Webhook(secret).sign("evt_1", datetime.fromtimestamp(NOW, UTC), BODY.decode())
    assert signed["webhook-signature"] == theirs
