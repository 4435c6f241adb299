"""Chains of keys, and what is encrypted with one of their links.

One rule: a chain never turns back; what it has passed is only what was put aside for late messages.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.whatsapp.signal.curve import SignalError

# How far a message may be ahead of its chain: as in libsignal.
MAX_AHEAD = 2000
_BLOCK_BITS = 128


def derive(secret: bytes, info: bytes, length: int, *, salt: bytes | None = None) -> bytes:
    """Return `length` bytes derived from a secret."""
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


def encrypt(plaintext: bytes, *, key: bytes, iv: bytes) -> bytes:
    """Encrypt with AES-CBC and PKCS 7 padding."""
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return cipher.update(padder.update(plaintext) + padder.finalize()) + cipher.finalize()


def decrypt(ciphertext: bytes, *, key: bytes, iv: bytes) -> bytes:
    """Decrypt what `encrypt` made.

    Raises:
        SignalError: it was made with another key.
    """
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
    try:
        return unpadder.update(cipher.update(ciphertext) + cipher.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise SignalError("undecryptable", "the padding is wrong") from error


@dataclass(slots=True)
class Chain:
    """A chain key, how far it has come, and the seeds put aside for messages that are still to come."""

    key: bytes
    index: int = 0
    skipped: dict[int, bytes] = field(default_factory=dict)

    def step(self) -> tuple[int, bytes]:
        """Return the present index with its seed, and go on."""
        seed = hmac.digest(self.key, b"\x01", "sha256")
        self.key = hmac.digest(self.key, b"\x02", "sha256")
        self.index += 1
        return self.index - 1, seed

    def seed_of(self, index: int) -> bytes:
        """Return the seed of a message's index, which can be had once.

        Raises:
            SignalError: `old` when it was had before, `future` when it is too far ahead.
        """
        if index < self.index:
            if index not in self.skipped:
                raise SignalError("old", f"message {index} was read before: the chain is at {self.index}")
            return self.skipped.pop(index)
        if index - self.index > MAX_AHEAD:
            raise SignalError("future", f"message {index} is too far ahead of {self.index}")
        while self.index < index:
            passed, seed = self.step()
            self.skipped[passed] = seed
            if len(self.skipped) > MAX_AHEAD:
                del self.skipped[min(self.skipped)]
        return self.step()[1]
