"""The client's half of the Noise handshake, for tests of the server's half."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.whatsapp.noise import SymmetricState, Transport
from tests.whatsapp.protobufs import HandshakeMessage


class Initiator:
    """A client with a static key of its own."""

    def __init__(self) -> None:
        self.static = X25519PrivateKey.generate()
        self.certificate = b""
        self._ephemeral = X25519PrivateKey.generate()
        self._state = SymmetricState()

    def hello(self) -> bytes:
        ephemeral = self._ephemeral.public_key().public_bytes_raw()
        self._state.authenticate(ephemeral)
        return bytes(HandshakeMessage(clientHello={"ephemeral": ephemeral}).SerializeToString())

    def finish(self, server_hello: bytes, payload: bytes) -> tuple[bytes, Transport]:
        hello = HandshakeMessage.FromString(server_hello).serverHello
        state = self._state
        state.authenticate(hello.ephemeral)
        state.mix(self._ephemeral, hello.ephemeral)
        state.mix(self._ephemeral, state.decrypt(hello.static))
        self.certificate = state.decrypt(hello.payload)
        static = state.encrypt(self.static.public_key().public_bytes_raw())
        state.mix(self.static, hello.ephemeral)
        finish = HandshakeMessage(clientFinish={"static": static, "payload": state.encrypt(payload)})
        write_key, read_key = state.split()
        return bytes(finish.SerializeToString()), Transport(read_key=read_key, write_key=write_key)
