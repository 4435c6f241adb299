"""The handshake, the frames and the certificate chain, without a network."""

from __future__ import annotations

import time

import pytest

from tests.unit.whatsapp.initiator import Initiator
from tests.whatsapp import xeddsa
from tests.whatsapp.authority import NoiseAuthority
from tests.whatsapp.noise import MAGIC, FrameBuffer, NoiseError, Responder, framed
from tests.whatsapp.protobufs import CertChain

ROOT = bytes(range(32))


def test_both_ends_agree_and_talk() -> None:
    authority = NoiseAuthority(ROOT)
    client, server = Initiator(), Responder(authority.static, authority.chain)
    finish, transport = client.finish(server.answer_hello(client.hello()), b"payload")
    finished = server.take_finish(finish)
    assert finished.payload == b"payload"
    assert client.static.public_key().public_bytes_raw() == finished.client_static
    assert authority.chain == client.certificate
    for text in (b"first", b"second"):
        assert text == finished.transport.decrypt(transport.encrypt(text))
        assert text == transport.decrypt(finished.transport.encrypt(text))


def test_certificate_chain_is_what_clients_check() -> None:
    authority = NoiseAuthority(ROOT)
    chain = CertChain.FromString(authority.chain)
    intermediate = CertChain.NoiseCertificate.Details.FromString(chain.intermediate.details)
    leaf = CertChain.NoiseCertificate.Details.FromString(chain.leaf.details)
    assert xeddsa.is_valid(authority.root_public, chain.intermediate.details, chain.intermediate.signature)
    assert xeddsa.is_valid(intermediate.key, chain.leaf.details, chain.leaf.signature)
    assert (0, intermediate.serial) == (intermediate.issuerSerial, leaf.issuerSerial)
    assert authority.static.public_key().public_bytes_raw() == leaf.key
    assert intermediate.notBefore < time.time() < leaf.notAfter


@pytest.mark.parametrize("hello", [b"", b"\xff\xff", b"\x12\x02\x0a\x00"])
def test_bad_hello_is_refused(hello: bytes) -> None:
    authority = NoiseAuthority(ROOT)
    with pytest.raises(NoiseError):
        Responder(authority.static, authority.chain).answer_hello(hello)


def test_changed_frames_do_not_decrypt() -> None:
    authority = NoiseAuthority(ROOT)
    client, server = Initiator(), Responder(authority.static, authority.chain)
    finish, transport = client.finish(server.answer_hello(client.hello()), b"payload")
    with pytest.raises(NoiseError):
        server.take_finish(finish[:-1] + bytes([finish[-1] ^ 1]))
    with pytest.raises(NoiseError):
        transport.decrypt(bytes(32))


def test_frames_are_cut_wherever_the_bytes_are_split() -> None:
    stream = MAGIC + framed(b"one") + framed(b"") + framed(b"three" * 100)
    for size in (1, 2, 3, 7, len(stream)):
        buffer = FrameBuffer()
        parts = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [frame for part in parts for frame in buffer.feed(part)] == [b"one", b"", b"three" * 100]


def test_routing_information_before_the_magic_is_skipped() -> None:
    buffer = FrameBuffer()
    assert buffer.feed(b"ED\x00\x01\x00\x00\x04ab") == []
    assert buffer.feed(b"cd" + MAGIC + framed(b"one")) == [b"one"]


def test_other_protocols_are_refused() -> None:
    with pytest.raises(NoiseError):
        FrameBuffer().feed(b"GET / HTTP/1.1\r\n")
