"""The client library behind the seam: the only module that imports neonize.

The one rule: nothing of neonize gets out of here but reports, `Identity` and `ClientError`. Callbacks run on
threads of the Go runtime; they hand a report on and return.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import logging
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

# Brings libmagic, which neonize's python-magic looks for when it is imported; so this goes first.
import pylibmagic  # noqa: F401

from sessions.late_imports import defer

defer()

# neonize calls basicConfig(INFO) when imported and then logs phone numbers; the first caller wins.
logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")

from neonize._binder import ProxySettings  # noqa: E402
from neonize.client import NewClient  # noqa: E402
from neonize.proto import Neonize_pb2 as pb  # noqa: E402
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps  # noqa: E402
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message  # noqa: E402
from neonize.utils.enum import ClientType  # noqa: E402
from neonize.utils.jid import build_jid  # noqa: E402

from sessions import messages  # noqa: E402
from sessions.incoming import addresses, incoming  # noqa: E402
from sessions.messages import Identity  # noqa: E402
from sessions.redactor import redact  # noqa: E402
from sessions.whatsapp import ClientError, Listener  # noqa: E402

# neonize's enum to WhatsApp's numbers (whatsmeow types/events/events.go, ConnectFailureReason).
_FAILURE_CODES = {
    pb.GENERIC: 400,
    pb.LOGGED_OUT: 401,
    pb.TEMP_BANNED: 402,
    pb.MAIN_DEVICE_GONE: 403,
    pb.UNKNOWN_LOGOUT: 406,
    pb.CLIENT_OUTDATED: 405,
    pb.BAD_USER_AGENT: 409,
    pb.INTERNAL_SERVER_ERROR: 500,
    pb.EXPERIMENTAL: 501,
    pb.SERVICE_UNAVAILABLE: 503,
}

# Fragments of Go's error texts, most telling first.
_CAUSES = (
    ("no such host", "dns"),
    ("server misbehaving", "dns"),
    ("lookup ", "dns"),
    ("proxyconnect", "proxy"),
    ("socks connect", "proxy"),
    ("x509", "tls"),
    ("tls:", "tls"),
    ("certificate", "tls"),
    ("connection refused", "refused"),
    ("i/o timeout", "timeout"),
    ("timed out", "timeout"),
    ("deadline exceeded", "timeout"),
    ("network is unreachable", "network"),
    ("no route to host", "network"),
    ("not a database", "store-damaged"),
    ("malformed", "store-damaged"),
    ("disk i/o error", "store-damaged"),
    ("database or disk is full", "disk-full"),
    ("database is locked", "store-locked"),
    ("unable to open database", "store-damaged"),
    ("not connected", "not-connected"),
)


# Of a proxy that refuses Go tells only the words of the answer: `Get "https://…": Forbidden`.
_REFUSALS = frozenset(status.phrase.lower() for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST)


def cause_of(error: str) -> str:
    """Return a stable slug for an error text of the library, `client-error` when none is known."""
    lowered = error.lower()
    if lowered.rpartition('": ')[2] in _REFUSALS:
        return "proxy"
    return next((slug for fragment, slug in _CAUSES if fragment in lowered), "client-error")


def _send_cause(error: str) -> str:
    """Return what became of a message that could not be sent (whatsmeow send.go and errors.go)."""
    lowered = error.lower()
    if "server returned error" in lowered:
        return "refused"
    if "no lid found" in lowered:
        return "not-on-whatsapp"
    # While it waits for the server's word; the stanza may have got there.
    if "timed out" in lowered or "timeout" in lowered or "disconnected" in lowered:
        return "timeout"
    return cause_of(error)


def _identity(device: Any) -> Identity | None:
    """Turn neonize's Device into an identity, None while no device is linked."""
    if not device.JID.User:
        return None
    return Identity(
        jid=f"{device.JID.User}@{device.JID.Server}",
        device_number=device.JID.Device,
        lid=f"{device.LID.User}@{device.LID.Server}" if device.LID.User else None,
        push_name=device.PushName or None,
        business_name=device.BussinessName or None,
        platform=device.Platform or None,
    )


def _group(info: Any) -> messages.Group:
    return messages.Group(
        jid=f"{info.JID.User}@{info.JID.Server}",
        name=info.GroupName.Name,
        members=[_member(one) for one in info.Participants],
    )


def _member(participant: Any) -> messages.Member:
    phone, lid = addresses(participant.PhoneNumber, participant.JID, participant.LID)
    return messages.Member(jid=phone, lid=lid, is_admin=participant.IsAdmin or participant.IsSuperAdmin)


class _Client(NewClient):  # type: ignore[misc]
    """neonize's client with its private hook for the end of the QR phase."""

    listener: Listener

    def _NewClient__onLoginStatus(self, uuid: int, status: int) -> None:  # noqa: ARG002, N802
        """Report what neonize would only print: timeout, client outdated, passkey request."""
        self.listener(messages.PairingOver(status=ctypes.string_at(status).decode("utf-8", "replace")))


class NeonizeClient:
    """One whatsmeow client on one store.

    Args:
        database: path of the store; an absolute path of plain characters, for it goes into a SQLite URI.
        device_name: what the phone shows in its list of linked devices.
        listener: takes the reports, on any thread.
        proxy: URL to connect through, never empty; None goes by HTTPS_PROXY.
    """

    version = importlib.metadata.version("neonize")

    def __init__(
        self, database: Path, device_name: str, listener: Listener, *, proxy: str | None = None
    ) -> None:
        # An empty address would be a direct connection (whatsmeow client.go, SetProxyAddress).
        self._proxy = ProxySettings(proxy_address=proxy) if proxy is not None else None
        props = DeviceProps(os=device_name, platformType=DeviceProps.CHROME)
        self._client = _Client(str(database), props=props, uuid="session")
        self._client.listener = listener
        self._listener = listener
        self._qr_number = 0
        self._last_qr = ""
        self._client.qr(self._on_qr)
        for event, handler in (
            (pb.PairStatus, self._on_pair_status),
            (pb.Connected, self._on_connected),
            (pb.KeepAliveTimeout, self._on_keepalive_timeout),
            (pb.KeepAliveRestored, self._on_keepalive_restored),
            (pb.LoggedOut, self._on_logged_out),
            (pb.StreamReplaced, self._on_replaced),
            (pb.TemporaryBan, self._on_banned),
            (pb.ConnectFailure, self._on_connect_failure),
            (pb.ClientOutdated, self._on_outdated),
            (pb.StreamError, self._on_stream_error),
            (pb.Disconnected, self._on_disconnected),
            (pb.Message, self._on_message),
            (pb.JoinedGroup, self._on_groups_changed),
            (pb.GroupInfoEvent, self._on_groups_changed),
        ):
            self._client.event(event)(handler)

    def connect(self) -> None:
        """Connect, and stay until the client ends.

        Raises:
            ClientError: it could not connect, or the library gave up.
        """
        try:
            self._client.connect(self._proxy)
        except Exception as error:  # noqa: BLE001 - the library raises its own and plain ones
            raise ClientError(cause_of(str(error)), redact(str(error))) from None

    def identity(self) -> Identity | None:
        """Return who the linked device is, None when there is none."""
        return _identity(self._client.get_me())

    def logout(self) -> None:
        """Log the device out at WhatsApp.

        Raises:
            ClientError: not confirmed; the device may be gone all the same.
        """
        self._call(self._client.logout)

    def pair_phone(self, phone: str) -> str:
        """Ask for a pairing code; the client must be connected and unpaired.

        Args:
            phone: international, digits only.

        Raises:
            ClientError: WhatsApp gave none.
        """
        # WhatsApp takes only names of browsers it knows; neonize's own helper would say "CHROME (LINUX)".
        params = pb.PairPhoneParams(
            phone=phone,
            clientDisplayName="Chrome (Linux)",
            clientType=ClientType.CHROME.value,
            showPushNotification=True,
        ).SerializeToString()
        library = self._client._NewClient__client  # noqa: SLF001
        answer = pb.PairPhoneReturnFunction.FromString(
            library.PairPhone(self._client.uuid, params, len(params))
        )
        if answer.Error:
            raise ClientError(cause_of(answer.Error), redact(answer.Error))
        return str(answer.Code)

    def send(self, to: str, text: str) -> str:
        """Send a text and return the chat's JID and the message's id, with a space between.

        Args:
            to: a JID, or the digits of a phone number.
            text: what to say.

        Raises:
            ClientError: `not-on-whatsapp`, `not-connected`, `refused`: it was not sent; `timeout`: it may
                have been; another cause: it was not.
        """
        jid = self._resolve(to)
        try:
            # Not a plain text: the library would look for mentions in it.
            answer = self._client.send_message(jid, Message(conversation=text))
        except Exception as error:  # noqa: BLE001 - the library raises its own and plain ones
            raise ClientError(_send_cause(str(error)), redact(str(error))) from None
        return f"{jid.User}@{jid.Server} {answer.ID}"

    def _resolve(self, to: str) -> Any:
        """Return the JID of a target.

        Raises:
            ClientError: nobody has this number at WhatsApp, or it cannot be asked.
        """
        user, at, server = to.partition("@")
        if at:
            return build_jid(user, server)
        try:
            found = self._client.is_on_whatsapp(f"+{to}")
        except Exception as error:  # noqa: BLE001 - the library raises its own and plain ones
            cause = cause_of(str(error))
            raise ClientError("not-connected" if cause == "timeout" else cause, redact(str(error))) from None
        if not found or not found[0].IsIn:
            raise ClientError("not-on-whatsapp", "nobody has this number")
        return found[0].JID

    def groups(self) -> list[messages.Group]:
        """Return the groups that the account is in.

        Raises:
            ClientError: no answer.
        """
        try:
            found = self._client.get_joined_groups()
        except Exception as error:  # noqa: BLE001 - the library raises its own and plain ones
            raise ClientError(cause_of(str(error)), redact(str(error))) from None
        return [_group(one) for one in found]

    def probe(self) -> None:
        """Make one round trip to the server: `passive` is the smallest query that changes nothing.

        Raises:
            ClientError: no answer.
        """
        self._call(lambda: self._client.set_passive(passive=False))

    def disconnect(self) -> None:
        """Close the connection; the device stays linked."""
        self._client.disconnect()

    def _call(self, function: Any) -> None:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - the library raises its own and plain ones
            raise ClientError(cause_of(str(error)), redact(str(error))) from None

    def _on_qr(self, _client: NewClient, payload: bytes) -> None:
        text = payload.decode()
        # The library may hand out one payload more than once in a burst.
        if text == self._last_qr:
            return
        self._last_qr = text
        self._qr_number += 1
        self._listener(messages.QrShown(payload=text, number=self._qr_number, issued_at=time.monotonic()))

    def _on_pair_status(self, _client: NewClient, event: Any) -> None:
        if event.Status != pb.PairStatus.SUCCESS:
            self._listener(messages.PairFailed(error=redact(event.Error)))
            return
        self._listener(
            messages.Scanned(
                identity=Identity(
                    jid=f"{event.ID.User}@{event.ID.Server}",
                    device_number=event.ID.Device,
                    business_name=event.BusinessName or None,
                    platform=event.Platform or None,
                )
            )
        )

    def _on_connected(self, _client: NewClient, _event: Any) -> None:
        self._listener(messages.Connected(identity=self.identity()))

    def _on_keepalive_timeout(self, _client: NewClient, event: Any) -> None:
        self._listener(messages.KeepaliveMissed(error_count=event.ErrorCount))

    def _on_keepalive_restored(self, _client: NewClient, _event: Any) -> None:
        self._listener(messages.KeepaliveRestored())

    def _on_logged_out(self, _client: NewClient, event: Any) -> None:
        code = _FAILURE_CODES.get(event.Reason, 0) if event.HasField("Reason") else 0
        self._listener(messages.LoggedOut(code=code, on_connect=event.OnConnect))

    def _on_replaced(self, _client: NewClient, _event: Any) -> None:
        self._listener(messages.Replaced())

    def _on_banned(self, _client: NewClient, event: Any) -> None:
        self._listener(messages.Banned(code=event.Code, expires_in_seconds=event.Expire))

    def _on_connect_failure(self, _client: NewClient, event: Any) -> None:
        raw = {attr.name: attr for attr in event.Raw.Attrs}
        code = _FAILURE_CODES.get(event.Reason, 0)
        if "reason" in raw and raw["reason"].text.isdigit():
            code = int(raw["reason"].text)
        self._listener(messages.ConnectFailed(code=code))

    def _on_outdated(self, _client: NewClient, _event: Any) -> None:
        self._listener(messages.Outdated())

    def _on_stream_error(self, _client: NewClient, event: Any) -> None:
        self._listener(messages.StreamFailed(code=event.Code))

    def _on_disconnected(self, _client: NewClient, _event: Any) -> None:
        self._listener(messages.Disconnected())

    def _on_groups_changed(self, _client: NewClient, _event: Any) -> None:
        self._listener(messages.GroupsChanged())

    def _on_message(self, _client: NewClient, event: Any) -> None:
        message = incoming(event)
        if message is not None:
            self._listener(messages.MessageCame(number=0, message=message))
