"""The encrypted line: Noise_XX_25519_AESGCM_SHA256 as responder, and the 3-byte length frames it travels in.

One rule: no I/O here; bytes go in, bytes come out, and anything a client sends wrongly raises NoiseError.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError

from tests.whatsapp.protobufs import HandshakeMessage

PATTERN = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
MAGIC = b"WA\x06\x03"
_ROUTING_MAGIC = b"ED\x00\x01"
_MAX_FRAME_BYTES = 1 << 24


class NoiseError(Exception):
    """The client broke the handshake, the framing or the encryption."""


def _expand(salt: bytes, secret: bytes) -> tuple[bytes, bytes]:
    prk = hmac.digest(salt, secret, "sha256")
    first = hmac.digest(prk, b"\x01", "sha256")
    return first, hmac.digest(prk, first + b"\x02", "sha256")


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")


class SymmetricState:
    """Hash, salt and key of a handshake, the same for both ends."""

    def __init__(self, prologue: bytes = MAGIC) -> None:
        self._hash = self._salt = PATTERN
        self._key = AESGCM(PATTERN)
        self._counter = 0
        self.authenticate(prologue)

    def authenticate(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix(self, private: X25519PrivateKey, public: bytes) -> None:
        try:
            secret = private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise NoiseError("unusable public key") from error
        self._salt, key = _expand(self._salt, secret)
        self._key = AESGCM(key)
        self._counter = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        ciphertext = self._key.encrypt(_nonce(self._counter), plaintext, self._hash)
        self._counter += 1
        self.authenticate(ciphertext)
        return ciphertext

    def decrypt(self, ciphertext: bytes) -> bytes:
        try:
            plaintext = self._key.decrypt(_nonce(self._counter), ciphertext, self._hash)
        except InvalidTag as error:
            raise NoiseError("handshake message does not decrypt") from error
        self._counter += 1
        self.authenticate(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """Return the key the initiator writes with, then the one the responder writes with."""
        return _expand(self._salt, b"")


class Transport:
    """Encryption of whole frames once the handshake is over."""

    def __init__(self, *, read_key: bytes, write_key: bytes) -> None:
        self._read_key = AESGCM(read_key)
        self._write_key = AESGCM(write_key)
        self._read_counter = self._write_counter = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        ciphertext = self._write_key.encrypt(_nonce(self._write_counter), plaintext, None)
        self._write_counter += 1
        return ciphertext

    def decrypt(self, ciphertext: bytes) -> bytes:
        try:
            plaintext = self._read_key.decrypt(_nonce(self._read_counter), ciphertext, None)
        except InvalidTag as error:
            raise NoiseError("frame does not decrypt") from error
        self._read_counter += 1
        return plaintext


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What the client's last handshake message told: its static key and its payload."""

    client_static: bytes
    payload: bytes
    transport: Transport


class Responder:
    """The server's side of one handshake."""

    def __init__(self, static: X25519PrivateKey, certificate: bytes) -> None:
        self._static = static
        self._certificate = certificate
        self._ephemeral = X25519PrivateKey.generate()
        self._state = SymmetricState()

    def answer_hello(self, frame: bytes) -> bytes:
        """Take the client hello and return the server hello."""
        client_ephemeral = _parsed(frame).clientHello.ephemeral
        if len(client_ephemeral) != 32:
            raise NoiseError("client hello without an ephemeral key")
        state, ours = self._state, self._ephemeral.public_key().public_bytes_raw()
        state.authenticate(client_ephemeral)
        state.authenticate(ours)
        state.mix(self._ephemeral, client_ephemeral)
        static = state.encrypt(self._static.public_key().public_bytes_raw())
        state.mix(self._static, client_ephemeral)
        hello = HandshakeMessage.ServerHello(
            ephemeral=ours, static=static, payload=state.encrypt(self._certificate)
        )
        return bytes(HandshakeMessage(serverHello=hello).SerializeToString())

    def take_finish(self, frame: bytes) -> Finished:
        """Take the client finish; the handshake is over then."""
        finish = _parsed(frame).clientFinish
        client_static = self._state.decrypt(finish.static)
        self._state.mix(self._ephemeral, client_static)
        payload = self._state.decrypt(finish.payload)
        read_key, write_key = self._state.split()
        return Finished(
            client_static=client_static,
            payload=payload,
            transport=Transport(read_key=read_key, write_key=write_key),
        )


def _parsed(frame: bytes) -> HandshakeMessage:
    try:
        return HandshakeMessage.FromString(frame)
    except DecodeError as error:
        raise NoiseError("handshake message is not a protobuf") from error


def framed(data: bytes) -> bytes:
    """Put the 3-byte length in front of a frame."""
    if len(data) >= _MAX_FRAME_BYTES:
        raise NoiseError(f"frame of {len(data)} bytes is too long")
    return len(data).to_bytes(3, "big") + data


@dataclass(slots=True)
class FrameBuffer:
    """Cuts a stream of bytes into frames; the first bytes of a connection are WhatsApp's magic."""

    _data: bytearray = field(default_factory=bytearray)
    _is_past_magic: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        """Add received bytes and return the frames that are complete now."""
        self._data += data
        if not self._is_past_magic and not self._skip_magic():
            return []
        frames = []
        while len(self._data) >= 3:
            end = 3 + int.from_bytes(self._data[:3], "big")
            if len(self._data) < end:
                break
            frames.append(bytes(self._data[3:end]))
            del self._data[:end]
        return frames

    def _skip_magic(self) -> bool:
        if self._data.startswith(_ROUTING_MAGIC):
            # A client that was told an edge to come back to names it first: length and routing information.
            end = 7 + int.from_bytes(self._data[4:7], "big")
            if len(self._data) < max(end, 7):
                return False
            del self._data[:end]
        if len(self._data) < len(MAGIC):
            return False
        if not self._data.startswith(MAGIC):
            raise NoiseError("the connection does not begin with WhatsApp's magic")
        del self._data[: len(MAGIC)]
        self._is_past_magic = True
        return True
