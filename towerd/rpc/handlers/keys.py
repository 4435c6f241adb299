"""The methods `key.*`."""

from __future__ import annotations

import base64
import binascii

from sessions.keys import KEY_BYTES, StoreKey
from towerd.protocol import keys as wire
from towerd.protocol.errors import Field
from towerd.rpc.call import Call
from towerd.supervision.supervisor import invalid


async def rotate(call: Call, params: wire.RotateKey) -> wire.RotateResult:
    """Seal all stores with another key."""
    key = key_of(params.key) if params.key is not None else None
    done = await call.services.stores.rotate(key)
    call.notes.append(f"key {done.key}")
    return wire.RotateResult(
        key=done.key,
        sealed=done.sealed,
        kept=[wire.KeptStore(account=name, why=why) for name, why in sorted(done.failed.items())],
        found_at_start=done.is_given,
    )


def key_of(text: str) -> StoreKey:
    """Return the key that a caller gave.

    Raises:
        TowerError: `invalid-field`, without what was given.
    """
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise invalid([Field(field="key", why=f"must be {KEY_BYTES} bytes in base64")])
    return StoreKey(secret)
