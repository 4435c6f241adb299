"""Linking a device: the refs a client shows as QR codes, the scan, and the pair-success it has to confirm.

One rule: a device stays in the handset only if its client confirmed it; a ref is good only while on show.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.whatsapp.binary_xml import SERVER, Attributes, Node
from tests.whatsapp.handset import Handset, LinkedDevice, Qr, Refused, read_qr
from tests.whatsapp.protobufs import ClientPairingProps
from tests.whatsapp.record import describe_props

if TYPE_CHECKING:
    from tests.whatsapp.connection import Connection
    from tests.whatsapp.linkcode import PendingCode
    from tests.whatsapp.server import Server

log = logging.getLogger(__name__)

# WhatsApp hands out six refs; clients show the first for a minute, the others for twenty seconds each.
USUAL_REFS = 6
_CONFIRM_SECONDS = 15.0
_PASSKEY_OPTIONS = {
    "challenge": "c2ltdWxhdG9yLWNoYWxsZW5nZQ",
    "timeout": 60000,
    "rpId": "web.whatsapp.com",
    "allowCredentials": [],
    "userVerification": "required",
    "extensions": {},
}


@dataclass(kw_only=True, slots=True)
class QrClock:
    """How long each QR is on show, in seconds, and how late a scan may still come."""

    refs: int = USUAL_REFS
    first_seconds: float = 60.0
    next_seconds: float = 20.0
    grace_seconds: float = 5.0

    def window_seconds(self, remaining: int) -> float:
        """Return how long whatsmeow shows a ref when this many are left: only the sixth last is long."""
        return self.first_seconds if remaining == USUAL_REFS else self.next_seconds


@dataclass(kw_only=True, slots=True)
class Companion:
    """An unpaired client: the keys it registered with and the refs it was handed."""

    noise_key: bytes
    identity_key: bytes
    props: dict[str, Any]
    refs: list[str] = field(default_factory=list)
    windows: list[tuple[float, float]] = field(default_factory=list)
    code: PendingCode | None = None
    is_pairing: bool = False

    def hand_out(self, clock: QrClock, now: float) -> None:
        """Make new refs, on show from `now`."""
        # As long as WhatsApp's own, so that the QR has its real size.
        self.refs = [f"2@{secrets.token_urlsafe(75)}" for _ in range(clock.refs)]
        begin = now
        for number in range(clock.refs):
            end = begin + clock.window_seconds(clock.refs - number)
            self.windows.append((begin, end + clock.grace_seconds))
            begin = end

    @property
    def ends_at(self) -> float:
        return self.windows[-1][1] if self.windows else 0.0

    def check(self, qr: Qr, now: float) -> None:
        """Raise Refused unless this QR is this client's and on show now."""
        begin, end = self.windows[self.refs.index(qr.ref)]
        if now < begin:
            raise Refused("stale", "this QR is not the current one: it is not on show yet")
        if now > end:
            raise Refused("stale", "this QR is no longer current: scan the one that is on show now")
        if (qr.noise_key, qr.identity_key) != (self.noise_key, self.identity_key):
            raise Refused("mismatch", "the keys in this QR are not those of the client that shows it")


@dataclass(frozen=True, kw_only=True, slots=True)
class Phone:
    """What the user of a handset set up before linking; None leaves it as it is."""

    push_name: str | None = None
    platform: str | None = None
    business_name: str | None = None

    def apply(self, handset: Handset) -> None:
        if self.push_name is not None:
            handset.push_name = self.push_name
        if self.platform is not None:
            handset.platform = self.platform
        if self.business_name is not None:
            handset.business_name = self.business_name


class Pairing:
    """Links unpaired clients of `server` with handsets."""

    def __init__(self, server: Server, clock: QrClock) -> None:
        self._server = server
        self.clock = clock

    def begin(self, connection: Connection, *, noise_key: bytes, payload: Any) -> None:
        """Hand refs to a client that registered."""
        data = payload.devicePairingData
        companion = Companion(
            noise_key=noise_key, identity_key=data.eIdent, props=describe_props(data.deviceProps)
        )
        loop = asyncio.get_running_loop()
        companion.hand_out(self.clock, loop.time())
        connection.companion = companion
        refs = [Node("ref", {}, ref.encode()) for ref in companion.refs]
        connection.send(connection.iq([Node("pair-device", {}, refs)]))
        loop.call_at(companion.ends_at, self._out_of_refs, connection, companion)

    async def scan(
        self, text: str, handset: Handset, phone: Phone, *, is_restarting: bool = True
    ) -> dict[str, Any]:
        """Scan a QR with a handset; returns when the client has confirmed its new device.

        Raises:
            Refused: malformed, unknown or stale QR, full handset, or a client that does not confirm.
        """
        qr = read_qr(text)
        connection = self._showing(qr.ref)
        companion = connection.companion
        assert companion is not None
        companion.check(qr, asyncio.get_running_loop().time())
        phone.apply(handset)
        self._server.app_state.tell_push_name(handset)
        if self._server.faults.wants_passkey:
            connection.send(_passkey_request())
            return {"phone": handset.phone, "device": None, "passkey": "requested"}
        return await self.link(connection, handset, qr.adv_secret, is_restarting=is_restarting)

    async def link(
        self, connection: Connection, handset: Handset, adv_secret: bytes, *, is_restarting: bool = True
    ) -> dict[str, Any]:
        """Make a client a device of a handset and have it log in.

        Raises:
            Refused: it is being linked already, the handset is full, the client did not confirm.
        """
        companion = connection.companion
        if companion is None or companion.is_pairing:
            raise Refused("used", "this QR or code was used already")
        device = handset.add_device(
            noise_key=companion.noise_key,
            identity_key=companion.identity_key,
            os=companion.props["os"],
            platform=companion.props["platform"],
        )
        companion.is_pairing = True
        try:
            await self._confirmed(connection, handset, device, adv_secret)
        except Refused:
            del handset.devices[device.number]
            companion.is_pairing = False
            raise
        self._server.ledger.save()
        connection.companion = None
        self._server.record.count("registrations", handset.phone)
        connection.entry |= {"phone": handset.phone, "device": device.number, "outcome": "paired"}
        if is_restarting:
            connection.end(Node("stream:error", {"code": "515"}), "paired", after_seconds=1.0)
        return {
            "phone": handset.phone,
            "device": device.number,
            "jid": str(handset.jid(device.number)),
            "lid": str(handset.lid_jid(device.number)),
        }

    async def _confirmed(
        self, connection: Connection, handset: Handset, device: LinkedDevice, adv_secret: bytes
    ) -> None:
        success = _pair_success(handset, device, adv_secret)
        try:
            reply = await connection.query([success], timeout_seconds=_CONFIRM_SECONDS)
        except (TimeoutError, ConnectionError):
            raise Refused("unconfirmed", "the client did not confirm the pairing") from None
        confirmation = reply.child("pair-device-sign", "device-identity")
        if reply.get("type") == "error":
            error = reply.child("error")
            text = error.get("text") if error else "no reason given"
            raise Refused("unconfirmed", f"the client refused the pairing: {text}")
        if confirmation is None or not handset.has_signed(device, confirmation.data):
            raise Refused("unconfirmed", "the client's confirmation carries no valid signature")

    def _showing(self, ref: str) -> Connection:
        for connection in self._server.connections.values():
            if connection.companion is not None and ref in connection.companion.refs:
                return connection
        raise Refused("unknown", "nobody shows this QR: its ref was never handed out, or its client is gone")

    def _out_of_refs(self, connection: Connection, companion: Companion) -> None:
        if connection.companion is companion and not companion.is_pairing:
            connection.close()


def _pair_success(handset: Handset, device: LinkedDevice, adv_secret: bytes) -> Node:
    props = ClientPairingProps(isChatDbLidMigrated=True, isSyncdPureLidSession=True).SerializeToString()
    content = [
        Node("device-identity", {}, handset.identity_of(device, adv_secret)),
        Node("device", {"jid": handset.jid(device.number), "lid": handset.lid_jid(device.number)}),
        Node("platform", {"name": handset.platform}),
        Node("client-props", {}, props),
    ]
    if handset.business_name:
        content.insert(1, Node("biz", {"name": handset.business_name}))
    return Node("pair-success", {}, content)


def passkey_options() -> Node:
    """Return the WebAuthn request a client has to answer when a passkey is wanted."""
    return Node("passkey_request_options", {}, json.dumps(_PASSKEY_OPTIONS).encode())


def _passkey_request() -> Node:
    attrs: Attributes = {"from": SERVER, "type": "passkey_prologue_request", "id": secrets.token_hex(8)}
    return Node("notification", attrs, [passkey_options()])
