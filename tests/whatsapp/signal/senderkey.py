"""Sender keys: one chain per sender and group, told to each member once, good for all its messages.

One rule: a message that cannot be read changes nothing; what is returned is a new state to keep instead.
"""

from __future__ import annotations

import copy
import secrets
from dataclasses import dataclass, field

from tests.whatsapp import xeddsa
from tests.whatsapp.signal import wire
from tests.whatsapp.signal.curve import KeyPair, SignalError, typed, untyped
from tests.whatsapp.signal.ratchet import Chain, decrypt, derive, encrypt


@dataclass(kw_only=True, slots=True)
class OwnKey:
    """A sender's own key of a group, and the devices that were told of it."""

    id: int = field(default_factory=lambda: secrets.randbits(31))
    chain: Chain = field(default_factory=lambda: Chain(secrets.token_bytes(32)))
    signing_private: bytes = field(default_factory=lambda: KeyPair().private)
    told: set[str] = field(default_factory=set)

    def distribution(self) -> bytes:
        """Return what tells a member of it, as it is now: earlier messages stay unreadable."""
        return wire.written(
            wire.SenderKeyDistributionMessage(
                id=self.id,
                iteration=self.chain.index,
                chain_key=self.chain.key,
                signing_key=typed(KeyPair(self.signing_private).public),
            )
        )

    def write(self, plaintext: bytes) -> bytes:
        """Encrypt for all who were told; returns a `skmsg`. The chain moves on."""
        iteration, seed = self.chain.step()
        key, iv = _message_keys(seed)
        message = wire.written(
            wire.SenderKeyMessage(
                id=self.id, iteration=iteration, ciphertext=encrypt(plaintext, key=key, iv=iv)
            )
        )
        return message + xeddsa.sign(self.signing_private, message)


@dataclass(kw_only=True, slots=True)
class TheirKey:
    """Somebody else's sender key, as it was told."""

    id: int
    chain: Chain
    signing_key: bytes

    @classmethod
    def told(cls, distribution: bytes) -> TheirKey:
        """Read what tells of a sender key.

        Raises:
            SignalError: it tells of none.
        """
        read = wire.read(wire.SenderKeyDistributionMessage, distribution, "chain_key", "signing_key")
        return cls(
            id=read.id, chain=Chain(read.chain_key, read.iteration), signing_key=untyped(read.signing_key)
        )


def read(keys: list[TheirKey], data: bytes) -> tuple[bytes, list[TheirKey]]:
    """Decrypt a `skmsg`; returns the plaintext and the keys to keep from now on.

    Raises:
        SignalError: `no-key` when the sender has told of no such key, else `old`, `malformed`, ….
    """
    message = wire.read(wire.SenderKeyMessage, data, "ciphertext", behind=wire.SIGNATURE_BYTES)
    changed = copy.deepcopy(keys)
    found = next((key for key in changed if key.id == message.id), None)
    if found is None:
        raise SignalError("no-key", "the sender has told of no such key")
    body, signature = data[: -wire.SIGNATURE_BYTES], data[-wire.SIGNATURE_BYTES :]
    if not xeddsa.is_valid(found.signing_key, body, signature):
        raise SignalError("undecryptable", "the signature is wrong")
    key, iv = _message_keys(found.chain.seed_of(message.iteration))
    return decrypt(message.ciphertext, key=key, iv=iv), changed


def _message_keys(seed: bytes) -> tuple[bytes, bytes]:
    derived = derive(seed, b"WhisperGroup", 48)
    return derived[16:], derived[:16]
