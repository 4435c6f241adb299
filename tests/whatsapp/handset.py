"""The phone: its account key, its linked devices, what it reads from a QR and what it signs.

One rule: a handset never has more than four linked devices, and whatever it will not do raises Refused.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from google.protobuf.message import DecodeError

from tests.whatsapp import xeddsa
from tests.whatsapp.binary_xml import Jid
from tests.whatsapp.protobufs import ADVDeviceIdentity, ADVSignedDeviceIdentity, ADVSignedDeviceIdentityHMAC

MAX_DEVICES = 4
PLATFORMS = ("android", "iphone")
_QR_ADDRESS = "https://wa.me/settings/linked_devices#"
_ACCOUNT_SIGNATURE, _DEVICE_SIGNATURE = b"\x06\x00", b"\x06\x01"
_HIGHEST_DEVICE = 255


class Refused(Exception):
    """What was asked is not done; `reason` is a word for programs, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Qr:
    """What a phone reads from a QR."""

    ref: str
    noise_key: bytes
    identity_key: bytes
    adv_secret: bytes


def read_qr(text: str) -> Qr:
    """Read the text of a pairing QR, with or without WhatsApp's address in front.

    Raises:
        Refused: it is no pairing QR.
    """
    fields = text.strip().removeprefix(_QR_ADDRESS).split(",")
    if len(fields) not in (4, 5) or not fields[0]:
        raise Refused(
            "malformed", "this is no pairing QR: four or five fields with commas between are expected"
        )
    try:
        noise_key, identity_key, adv_secret = (base64.b64decode(part, validate=True) for part in fields[1:4])
    except (binascii.Error, ValueError):
        raise Refused("malformed", "this is no pairing QR: its keys are not base64") from None
    if not len(noise_key) == len(identity_key) == len(adv_secret) == 32:
        raise Refused("malformed", "this is no pairing QR: its keys do not have 32 bytes")
    return Qr(ref=fields[0], noise_key=noise_key, identity_key=identity_key, adv_secret=adv_secret)


def phone_number(text: str) -> str:
    """Return a phone number as its digits.

    Raises:
        Refused: it is no international number.
    """
    digits = "".join(text.split()).replace("-", "").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15) or digits.startswith("0"):
        raise Refused("malformed", "a phone number is 7 to 15 digits with the country code first")
    return digits


@dataclass(kw_only=True, slots=True)
class LinkedDevice:
    """One companion, as the phone lists it."""

    number: int
    key_index: int
    noise_key: bytes
    identity_key: bytes
    os: str = ""
    platform: str = ""
    linked_at: float = field(default_factory=time.time)


@dataclass(kw_only=True, slots=True)
class Ban:
    """Why the account may not log in: failure reason, reason code of a temporary one, and its end."""

    code: int
    temporary_code: int = 101
    ends_at: float | None = None

    @classmethod
    def lasting(cls, code: int, *, seconds: float | None, temporary_code: int = 101) -> Ban:
        """Make a ban that begins now and, with `seconds`, ends by itself."""
        ends_at = None if seconds is None else time.time() + seconds
        return cls(code=code, temporary_code=temporary_code, ends_at=ends_at)


@dataclass(kw_only=True, slots=True)
class Handset:
    """One phone with its account."""

    phone: str
    account_private: bytes = field(default_factory=lambda: X25519PrivateKey.generate().private_bytes_raw())
    lid: str = field(default_factory=lambda: str(secrets.randbelow(9 * 10**14) + 10**14))
    raw_id: int = field(default_factory=lambda: secrets.randbits(31))
    platform: str = "android"
    push_name: str = ""
    business_name: str = ""
    next_device: int = 1
    next_key_index: int = 1
    devices: dict[int, LinkedDevice] = field(default_factory=dict)
    ban: Ban | None = None

    @property
    def account_public(self) -> bytes:
        return X25519PrivateKey.from_private_bytes(self.account_private).public_key().public_bytes_raw()

    def jid(self, device: int = 0) -> Jid:
        return Jid(self.phone, "s.whatsapp.net", device)

    def lid_jid(self, device: int = 0) -> Jid:
        return Jid(self.lid, "lid", device)

    def add_device(self, *, noise_key: bytes, identity_key: bytes, os: str, platform: str) -> LinkedDevice:
        """Give a companion the next device number.

        Raises:
            Refused: the handset is full.
        """
        if len(self.devices) >= MAX_DEVICES:
            raise Refused("full", f"{self.phone} already has {MAX_DEVICES} linked devices: unlink one first")
        while self.next_device in self.devices or self.next_device > _HIGHEST_DEVICE:
            self.next_device = 1 if self.next_device > _HIGHEST_DEVICE else self.next_device + 1
        device = LinkedDevice(
            number=self.next_device,
            key_index=self.next_key_index,
            noise_key=noise_key,
            identity_key=identity_key,
            os=os,
            platform=platform,
        )
        self.devices[device.number] = device
        self.next_device += 1
        self.next_key_index += 1
        return device

    def device(self, number: int) -> LinkedDevice:
        """Return a linked device.

        Raises:
            Refused: there is none with that number.
        """
        if number not in self.devices:
            raise Refused("unknown-device", f"{self.phone} has no linked device {number}")
        return self.devices[number]

    def identity_of(self, device: LinkedDevice, adv_secret: bytes) -> bytes:
        """Sign a device's identity and seal it with the secret from the QR; returns the protobuf."""
        details = ADVDeviceIdentity(
            rawID=self.raw_id, timestamp=int(device.linked_at), keyIndex=device.key_index
        ).SerializeToString()
        signature = xeddsa.sign(self.account_private, _ACCOUNT_SIGNATURE + details + device.identity_key)
        signed = ADVSignedDeviceIdentity(
            details=details, accountSignatureKey=self.account_public, accountSignature=signature
        ).SerializeToString()
        seal = hmac.digest(adv_secret, signed, "sha256")
        return bytes(ADVSignedDeviceIdentityHMAC(details=signed, HMAC=seal).SerializeToString())

    def has_signed(self, device: LinkedDevice, confirmation: bytes) -> bool:
        """Tell whether the client's confirmation carries the device's own valid signature."""
        try:
            signed = ADVSignedDeviceIdentity.FromString(confirmation)
        except DecodeError:
            return False
        message = _DEVICE_SIGNATURE + signed.details + device.identity_key + self.account_public
        return xeddsa.is_valid(device.identity_key, message, signed.deviceSignature)

    def current_ban(self) -> Ban | None:
        """Return the ban in force; one whose end has passed is lifted."""
        if self.ban is not None and self.ban.ends_at is not None and self.ban.ends_at <= time.time():
            self.ban = None
        return self.ban

    def as_json(self) -> dict[str, Any]:
        ban = self.current_ban()
        return {
            "phone": self.phone,
            "lid": str(self.lid_jid()),
            "platform": self.platform,
            "push_name": self.push_name,
            "business_name": self.business_name,
            "devices": sorted(self.devices),
            "ban": ban.code if ban else None,
        }
