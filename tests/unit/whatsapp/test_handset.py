"""What the phone accepts, signs and refuses."""

from __future__ import annotations

import base64
import hmac
import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.whatsapp import xeddsa
from tests.whatsapp.handset import Ban, Handset, LinkedDevice, Qr, Refused, phone_number, read_qr
from tests.whatsapp.ledger import Ledger
from tests.whatsapp.pairing import Companion, QrClock
from tests.whatsapp.protobufs import ADVSignedDeviceIdentity, ADVSignedDeviceIdentityHMAC

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [bytes([number]) * 32 for number in (1, 2, 3)]
FIELDS = ",".join(["2@ref", *(base64.b64encode(key).decode() for key in KEYS), "1"])


def device_of(handset: Handset, identity_key: bytes = KEYS[1]) -> LinkedDevice:
    return handset.add_device(noise_key=KEYS[0], identity_key=identity_key, os="Linux", platform="CHROME")


@pytest.mark.parametrize(
    "text", [FIELDS, f"https://wa.me/settings/linked_devices#{FIELDS}\n", FIELDS.removesuffix(",1")]
)
def test_qr_is_read_with_and_without_address(text: str) -> None:
    assert Qr(ref="2@ref", noise_key=KEYS[0], identity_key=KEYS[1], adv_secret=KEYS[2]) == read_qr(text)


@pytest.mark.parametrize(
    "text", ["", "hello", "a,b,c", "2@ref,!,!,!,1", "2@ref,AAAA,AAAA,AAAA", "," + FIELDS[6:]]
)
def test_other_qr_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        read_qr(text)
    assert refused.value.reason == "malformed"


def test_number_is_read_as_people_write_it() -> None:
    assert phone_number("+49 170-1234567") == "491701234567"


@pytest.mark.parametrize("text", ["", "012345678", "12345", "49170x", "1" * 16])
def test_other_number_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        phone_number(text)


def test_device_numbers_count_upwards_and_are_not_used_again() -> None:
    handset = Handset(phone="491701234567")
    assert [device_of(handset).number for _ in range(4)] == [1, 2, 3, 4]
    with pytest.raises(Refused) as refused:
        device_of(handset)
    assert refused.value.reason == "full"
    del handset.devices[2]
    assert device_of(handset).number == 5


def test_device_numbers_begin_again_after_the_highest() -> None:
    handset = Handset(phone="491701234567", next_device=255)
    assert [device_of(handset).number for _ in range(2)] == [255, 1]


def test_identity_is_signed_and_sealed() -> None:
    handset, companion = Handset(phone="491701234567"), X25519PrivateKey.generate()
    identity = companion.public_key().public_bytes_raw()
    device = device_of(handset, identity)
    sealed = ADVSignedDeviceIdentityHMAC.FromString(handset.identity_of(device, KEYS[2]))
    assert hmac.digest(KEYS[2], sealed.details, "sha256") == sealed.HMAC
    signed = ADVSignedDeviceIdentity.FromString(sealed.details)
    assert xeddsa.is_valid(
        signed.accountSignatureKey, b"\6\0" + signed.details + identity, signed.accountSignature
    )
    message = b"\6\1" + signed.details + identity + signed.accountSignatureKey
    signed.deviceSignature = xeddsa.sign(companion.private_bytes_raw(), message)
    assert handset.has_signed(device, signed.SerializeToString())
    signed.deviceSignature = os.urandom(64)
    assert not handset.has_signed(device, signed.SerializeToString())
    assert not handset.has_signed(device, b"\xff")


def test_ban_with_an_end_lifts_itself() -> None:
    handset = Handset(phone="491701234567", ban=Ban.lasting(402, seconds=-1))
    assert handset.current_ban() is None
    handset.ban = Ban.lasting(402, seconds=60)
    assert handset.current_ban() is handset.ban


def test_ref_is_good_only_in_its_window() -> None:
    companion = Companion(noise_key=KEYS[0], identity_key=KEYS[1], props={})
    companion.hand_out(QrClock(), now=1000.0)
    assert (len(companion.refs), companion.ends_at) == (6, 1165.0)
    # What a client shows when: the first for 60 s, the others for 20 s, and 5 s of grace.
    for number, begin in enumerate([1000, 1060, 1080, 1100, 1120, 1140]):
        qr = Qr(ref=companion.refs[number], noise_key=KEYS[0], identity_key=KEYS[1], adv_secret=KEYS[2])
        end = begin + (60 if number == 0 else 20) + 5
        companion.check(qr, begin)
        companion.check(qr, end)
        for late in (begin - 0.1, end + 0.1):
            with pytest.raises(Refused) as refused:
                companion.check(qr, late)
            assert refused.value.reason == "stale"


def test_qr_with_other_keys_is_refused() -> None:
    companion = Companion(noise_key=KEYS[0], identity_key=KEYS[1], props={})
    companion.hand_out(QrClock(), now=0.0)
    with pytest.raises(Refused) as refused:
        companion.check(
            Qr(ref=companion.refs[0], noise_key=KEYS[1], identity_key=KEYS[1], adv_secret=KEYS[2]), 1.0
        )
    assert refused.value.reason == "mismatch"


def test_ledger_comes_back_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    device = device_of(ledger.handset("491701234567"))
    ledger.keep_port(20001)
    again = Ledger(tmp_path)
    assert (ledger.root_private, 20001) == (again.root_private, again.port)
    assert device == again.handset("491701234567").devices[1]
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
