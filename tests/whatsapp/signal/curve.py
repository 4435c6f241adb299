"""Curve25519 keys, in the form that libsignal writes them.

One rule: a public key is 32 bytes in here; the type byte in front belongs to the wire and to what is signed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

_DJB_TYPE = 5


class SignalError(Exception):
    """A message that cannot be read, or cannot be written yet; `reason` is a word for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key with its public one."""

    private: bytes = field(default_factory=lambda: X25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> bytes:
        return X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()

    def agree(self, public: bytes) -> bytes:
        """Return the secret shared with the owner of `public`.

        Raises:
            SignalError: it is no usable key.
        """
        try:
            theirs = X25519PublicKey.from_public_bytes(public)
            return X25519PrivateKey.from_private_bytes(self.private).exchange(theirs)
        except ValueError as error:
            raise SignalError("malformed", "unusable public key") from error


def typed(public: bytes) -> bytes:
    """Put the type byte in front of a public key."""
    return bytes([_DJB_TYPE]) + public


def untyped(data: bytes) -> bytes:
    """Read a public key with its type byte.

    Raises:
        SignalError: it is something else.
    """
    if len(data) != 33 or data[0] != _DJB_TYPE:
        raise SignalError("malformed", "no Curve25519 key with its type byte")
    return data[1:]
