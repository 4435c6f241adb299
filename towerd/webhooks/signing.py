"""Signatures of requests, in two ways at once.

The one rule: what is signed are the very bytes that are sent, and the time of this attempt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from towerd.webhooks.secrets import standard_key


def headers(secret: str, *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove who sends.

    Args:
        secret: as `read_secret` returns it.
        message_id: names the event; the same at each retry. Has no full stop in it.
        timestamp: of this attempt, in seconds since the epoch.
        body: what is sent.
    """
    stamp = str(timestamp)
    own = hmac.new(secret.encode(), stamp.encode() + body, hashlib.sha256)
    # Standard Webhooks 1.0.0, "Signature scheme".
    standard = hmac.new(standard_key(secret), f"{message_id}.{stamp}.".encode() + body, hashlib.sha256)
    return {
        "X-Timestamp": stamp,
        "X-HMAC-Signature": own.hexdigest(),
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(standard.digest()).decode()}",
    }
