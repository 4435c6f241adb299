"""What travels between towerd and a session worker: one JSON object per line on an inherited socketpair.

The one rule: every message names the account and the generation (the number of the worker's start), so that
news of an attempt that is over is recognised and dropped. QR payloads travel here and nowhere else.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from sessions.incoming import Incoming

WIRE_VERSION = 2
"""Raised with every change of these messages: a worker is started from the files on disk, and an upgrade may
have replaced them under a running daemon."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a linked device is. `jid` and `lid` carry no device part."""

    jid: str
    device_number: int
    lid: str | None = None
    push_name: str | None = None
    business_name: str | None = None
    platform: str | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in a group; at least one of the addresses is known."""

    jid: str | None
    lid: str | None
    is_admin: bool


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group that the account is in."""

    jid: str
    name: str
    members: list[Member]


class Order(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=lambda name: name.lower()):
    """Something the daemon tells a worker."""


class Begin(Order, frozen=True, kw_only=True):
    """First order of all: take the store's lock and connect.

    `proxy` is the URL to connect through, which may hold a password; None goes by the environment.
    """

    sessions_dir: str
    locks_dir: str
    device_name: str
    proxy: str | None = None
    wire: int = WIRE_VERSION


class Logout(Order, frozen=True, kw_only=True):
    """Log this device out at WhatsApp; answered."""

    id: int


class PairPhone(Order, frozen=True, kw_only=True):
    """Ask WhatsApp for a pairing code for a phone number; answered with the code."""

    id: int
    phone: str


class Probe(Order, frozen=True, kw_only=True):
    """Make one round trip to the server; answered."""

    id: int


class Send(Order, frozen=True, kw_only=True):
    """Send a text; answered with `<JID of the chat> <WhatsApp's message id>`.

    `to` is a JID, or the digits of a phone number, which is looked up first.
    """

    id: int
    to: str
    text: str


class ListGroups(Order, frozen=True, kw_only=True):
    """Tell every group, one `GroupTold` each; then answered with how many there are."""

    id: int


class Hold(Order, frozen=True, kw_only=True):
    """While on, a line that is lost ends this worker at once: the library would log in again by itself."""

    on: bool


class Committed(Order, frozen=True, kw_only=True):
    """The daemon has committed the messages up to a number: the spool need not hold them any more."""

    number: int


class Quit(Order, frozen=True, kw_only=True):
    """Disconnect and end; answered by ending."""


class Report(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=lambda name: name.lower()):
    """Something a worker tells the daemon."""


class Begun(Report, frozen=True, kw_only=True):
    """The lock is held and the library is loaded; connecting."""

    neonize_version: str


class StoreLocked(Report, frozen=True, kw_only=True):
    """Another process holds the store and could not be ended."""

    holder_pid: int | None


class QrShown(Report, frozen=True, kw_only=True):
    """A new QR is on offer; `number` counts from 1 within this worker's start.

    `issued_at` is on the machine's monotonic clock, which both processes share and nobody sets.
    """

    payload: str
    number: int
    issued_at: float


class PairingOver(Report, frozen=True, kw_only=True):
    """The library's QR phase ended.

    `status` is whatsmeow's word (qrchan.go): success, timeout, err-client-outdated, err-unexpected-state,
    err-scanned-without-multidevice, error, passkey-request and relatives.
    """

    status: str


class Scanned(Report, frozen=True, kw_only=True):
    """The phone accepted this device (PairSuccess); the 515 restart follows."""

    identity: Identity


class PairFailed(Report, frozen=True, kw_only=True):
    """The phone scanned, and the library could not finish (PairError)."""

    error: str


class Connected(Report, frozen=True, kw_only=True):
    """Logged in."""

    identity: Identity | None


class IdentityLearned(Report, frozen=True, kw_only=True):
    """The library knows more about the device than at Connected, usually the push name."""

    identity: Identity


class Disconnected(Report, frozen=True, kw_only=True):
    """The connection is lost; the library tries by itself."""


class LoggedOut(Report, frozen=True, kw_only=True):
    """WhatsApp removed the device; `code` is 401, 403 or 406 (0: unknown). The device row is gone."""

    code: int
    on_connect: bool


class Banned(Report, frozen=True, kw_only=True):
    """Temporary ban (402)."""

    code: int
    expires_in_seconds: int


class Outdated(Report, frozen=True, kw_only=True):
    """WhatsApp refuses this version of the client (405)."""


class Replaced(Report, frozen=True, kw_only=True):
    """Somebody else opened a connection with the same device."""


class ConnectFailed(Report, frozen=True, kw_only=True):
    """Login refused with a code that has no report of its own."""

    code: int


class StreamFailed(Report, frozen=True, kw_only=True):
    """A stream error with a code that the library does not handle itself."""

    code: str


class GroupTold(Report, frozen=True, kw_only=True):
    """One group of the list that an order asked for; `order` is its id."""

    order: int
    group: Group


class GroupsChanged(Report, frozen=True, kw_only=True):
    """A group, or who is in it, is not what it was."""


class MessageCame(Report, frozen=True, kw_only=True):
    """A message or reaction; `number` is its number in the spool, 0 when it could not be written there."""

    number: int
    message: Incoming


class KeepaliveMissed(Report, frozen=True, kw_only=True):
    """The server did not answer a keepalive."""

    error_count: int


class KeepaliveRestored(Report, frozen=True, kw_only=True):
    """The server answers keepalives again."""


class ClientEnded(Report, frozen=True, kw_only=True):
    """`connect()` returned or raised: this worker is of no more use and ends.

    `cause` is a stable slug made from the library's error text, `detail` the text, redacted.
    """

    cause: str
    detail: str


class Answer(Report, frozen=True, kw_only=True):
    """Result of an order that is answered; `error` is None when it worked.

    `value` is the pairing code where one was asked for: a secret, kept in memory only.
    """

    id: int
    error: str | None
    value: str | None = None


Orders = Begin | Logout | PairPhone | Probe | Send | ListGroups | Hold | Committed | Quit
Reports = (
    Begun
    | StoreLocked
    | QrShown
    | PairingOver
    | Scanned
    | PairFailed
    | Connected
    | IdentityLearned
    | Disconnected
    | LoggedOut
    | Banned
    | Outdated
    | Replaced
    | ConnectFailed
    | StreamFailed
    | GroupTold
    | GroupsChanged
    | MessageCame
    | KeepaliveMissed
    | KeepaliveRestored
    | ClientEnded
    | Answer
)


class OrderEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """An order on the wire."""

    account: str
    generation: int
    body: Orders


class ReportEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """A report on the wire."""

    account: str
    generation: int
    body: Reports


_Envelope = TypeVar("_Envelope", OrderEnvelope, ReportEnvelope)

_encoder = msgspec.json.Encoder()
_order_decoder = msgspec.json.Decoder(OrderEnvelope)
_report_decoder = msgspec.json.Decoder(ReportEnvelope)


def encode(envelope: OrderEnvelope | ReportEnvelope) -> bytes:
    """Return one line."""
    return _encoder.encode(envelope) + b"\n"


def decode_order(line: bytes) -> OrderEnvelope:
    """Return the order on one line.

    Raises:
        msgspec.DecodeError: the line is not an order.
    """
    return _decode(_order_decoder, line)


def decode_report(line: bytes) -> ReportEnvelope:
    """Return the report on one line.

    Raises:
        msgspec.DecodeError: the line is not a report.
    """
    return _decode(_report_decoder, line)


def _decode(decoder: msgspec.json.Decoder[_Envelope], line: bytes) -> _Envelope:
    try:
        return decoder.decode(line)
    except (UnicodeDecodeError, RecursionError) as error:
        # The library's own errors do not cover bytes that are not UTF-8 and nests of thousands of levels.
        raise msgspec.DecodeError(str(error)) from error
