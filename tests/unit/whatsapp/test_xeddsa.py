"""Signatures with Curve25519 keys."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.whatsapp import xeddsa


@pytest.mark.parametrize("_", range(20))
def test_signature_holds_for_key_and_message_only(_: int) -> None:
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    signature = xeddsa.sign(private.private_bytes_raw(), b"message")
    assert xeddsa.is_valid(public, b"message", signature)
    assert signature[63] & 128 == 0
    assert not xeddsa.is_valid(public, b"another", signature)
    assert not xeddsa.is_valid(public, b"message", bytes([signature[0] ^ 1]) + signature[1:])
    other = X25519PrivateKey.generate().public_key().public_bytes_raw()
    assert not xeddsa.is_valid(other, b"message", signature)


@pytest.mark.parametrize(
    ("public", "signature"), [(b"", bytes(64)), (bytes(32), b""), (b"\xff" * 32, bytes(64))]
)
def test_nonsense_is_no_signature(public: bytes, signature: bytes) -> None:
    assert not xeddsa.is_valid(public, b"message", signature)
