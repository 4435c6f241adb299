"""XEdDSA: signatures with Curve25519 keys, as WhatsApp uses them for its certificates and devices.

One rule: a signature is made with the key whose Edwards point has sign bit 0, so every verifier accepts it.
"""

from __future__ import annotations

import hashlib
import os

from nacl import bindings
from nacl.exceptions import BadSignatureError

_FIELD = 2**255 - 19
_HASH1_PREFIX = b"\xfe" + b"\xff" * 31


def _reduced(data: bytes) -> bytes:
    return bindings.crypto_core_ed25519_scalar_reduce(data.ljust(64, b"\0"))


def _signing_pair(private: bytes) -> tuple[bytes, bytes]:
    clamped = bytearray(private)
    clamped[0] &= 248
    clamped[31] = (clamped[31] & 127) | 64
    scalar = _reduced(bytes(clamped))
    point = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)
    if point[31] & 128:
        scalar = bindings.crypto_core_ed25519_scalar_negate(scalar)
        point = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)
    return scalar, point


def sign(private: bytes, message: bytes) -> bytes:
    """Sign `message` with a 32-byte Curve25519 private key; returns 64 bytes."""
    scalar, point = _signing_pair(private)
    nonce = _reduced(hashlib.sha512(_HASH1_PREFIX + scalar + message + os.urandom(64)).digest())
    commitment = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
    challenge = _reduced(hashlib.sha512(commitment + point + message).digest())
    product = bindings.crypto_core_ed25519_scalar_mul(challenge, scalar)
    return commitment + bindings.crypto_core_ed25519_scalar_add(nonce, product)


def is_valid(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the owner of the Curve25519 key `public` made `signature` over `message`."""
    if len(public) != 32 or len(signature) != 64:
        return False
    u = int.from_bytes(public, "little") & (2**255 - 1)
    y = (u - 1) * pow(u + 1, -1, _FIELD) % _FIELD if (u + 1) % _FIELD else 0
    # Older signers keep the sign of their Edwards point in the signature's top bit.
    point = y.to_bytes(32, "little")[:31] + bytes([(y >> 248) | (signature[63] & 128)])
    plain = signature[:63] + bytes([signature[63] & 127])
    try:
        bindings.crypto_sign_open(plain + message, point)
    except (BadSignatureError, ValueError):
        return False
    return True
