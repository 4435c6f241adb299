"""Every RPC method: its parameters, its result, the right it needs, and one sentence.

The one rule: dispatch, validation and `rpc.discover` all read this table; a method that is not here does not
exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from sessions.states import State
from towerd.protocol import moving
from towerd.protocol.daemon_types import (
    ConfigResult,
    DoctorResult,
    MetricsResult,
    NotifyResult,
    ReloadResult,
    StatusResult,
    VersionResult,
)
from towerd.protocol.health import AskHealth, HealthResult
from towerd.protocol.importing import Import, ImportResult
from towerd.protocol.keys import RotateKey, RotateResult
from towerd.protocol.mail import (
    GroupsResult,
    ListMessages,
    ListOutgoing,
    MessagesResult,
    OutboxResult,
    SendMessage,
    SendResult,
)
from towerd.protocol.parameters import OptionalSelector, Params, RowId, Selector, Text, WaitSeconds
from towerd.protocol.types import (
    Account,
    Audit,
    Event,
    LogoutOutcome,
    Qr,
    QrFormat,
    Transition,
    Wire,
)
from towerd.protocol.webhooks import (
    DeliveriesResult,
    ListDeliveries,
    OneEndpoint,
    RetryDeliveries,
    RetryResult,
    WebhooksResult,
    WebhookTestResult,
)

Right = Literal["everybody", "read", "connect", "disconnect", "update", "delete", "admin"]
"""What a caller needs over the account that a method is about; `admin` is over the daemon itself."""


class Nothing(Params, frozen=True, kw_only=True):
    """No parameters."""


class OneAccount(Params, frozen=True, kw_only=True):
    """An account; left out it means the only one that the caller sees."""

    account: OptionalSelector = None


class NamedAccount(Params, frozen=True, kw_only=True):
    """An account that must be named: the verb destroys something."""

    account: Selector


class Add(Params, frozen=True, kw_only=True):
    """What `account.add` takes."""

    name: Text | None = None
    display_name: Text | None = None
    pair: bool = True
    phone: Text | None = None
    expect_phone: Text | None = None
    if_absent: bool = False


class Set(Params, frozen=True, kw_only=True):
    """What `account.set` takes."""

    account: OptionalSelector = None
    name: Text | None = None
    display_name: Text | None = None
    primary: Literal[True] | None = None


class Pair(Params, frozen=True, kw_only=True):
    """What `account.pair` takes."""

    account: OptionalSelector = None
    phone: Text | None = None
    new_phone: bool = False


class GetQr(Params, frozen=True, kw_only=True):
    """What `account.qr` takes.

    `newer_than` is the id of the last QR seen: the answer waits for another one, and is null rather than an
    error when the attempt is over.
    """

    account: OptionalSelector = None
    format: QrFormat = "raw"
    scale: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    border: Annotated[int, msgspec.Meta(ge=0, le=32)] = 4
    invert: bool = False
    wait_seconds: WaitSeconds = 0.0
    newer_than: Text | None = None
    start: bool = False


class List(Params, frozen=True, kw_only=True):
    """What `account.list` takes."""

    state: list[State] | None = None


class Remove(Params, frozen=True, kw_only=True):
    """What `account.remove` takes."""

    account: Selector
    require_logout: bool = False
    if_present: bool = False


class Wait(Params, frozen=True, kw_only=True):
    """What `account.wait` takes; a timeout of 0 means for ever."""

    account: OptionalSelector = None
    states: Annotated[list[State], msgspec.Meta(min_length=1)]
    timeout_seconds: WaitSeconds = 300.0


class Subscribe(Params, frozen=True, kw_only=True):
    """What `event.subscribe` takes; `since` is an event id or an RFC 3339 time."""

    account: OptionalSelector = None
    types: list[Text] | None = None
    since: RowId | Text | None = None


class Unsubscribe(Params, frozen=True, kw_only=True):
    """What `event.unsubscribe` takes."""

    subscription: str


class ListEvents(Params, frozen=True, kw_only=True):
    """What `event.list` takes; `since` and `until` are event ids or RFC 3339 times."""

    account: OptionalSelector = None
    types: list[Text] | None = None
    since: RowId | Text | None = None
    until: RowId | Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 1000


class ListAudit(Params, frozen=True, kw_only=True):
    """What `audit.list` takes: the last rows that fit; `since` and `until` as for events."""

    account: OptionalSelector = None
    actions: list[Text] | None = None
    since: RowId | Text | None = None
    until: RowId | Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 1000


class AccountResult(Wire, frozen=True, kw_only=True):
    """One account."""

    account: Account


class AccountsResult(Wire, frozen=True, kw_only=True):
    """Accounts by creation time, then id."""

    accounts: list[Account]


class AccountHistoryResult(Wire, frozen=True, kw_only=True):
    """One account and its last transitions, newest first."""

    account: Account
    history: list[Transition]


class AddResult(Wire, frozen=True, kw_only=True):
    """The account; `created` is false when `if_absent` found it."""

    account: Account
    created: bool
    code: str | msgspec.UnsetType | None = msgspec.UNSET
    code_expires_at: str | msgspec.UnsetType | None = msgspec.UNSET


class PairResult(Wire, frozen=True, kw_only=True):
    """The account with its new attempt."""

    account: Account
    code: str | msgspec.UnsetType | None = msgspec.UNSET
    code_expires_at: str | msgspec.UnsetType | None = msgspec.UNSET


class QrResult(Wire, frozen=True, kw_only=True):
    """The QR that is current, or null."""

    account: Account
    qr: Qr | None


class LogoutResult(Wire, frozen=True, kw_only=True):
    """How the logout at WhatsApp went."""

    account: Account
    logout: LogoutOutcome


class RemoveResult(Wire, frozen=True, kw_only=True):
    """Whether the account was removed, and how the logout at WhatsApp went."""

    removed: bool
    logout: LogoutOutcome
    detail: str | None = None


class WaitResult(Wire, frozen=True, kw_only=True):
    """How the wait ended."""

    account: Account
    outcome: Literal["reached", "timeout", "needs-human"]


class SubscribeResult(Wire, frozen=True, kw_only=True):
    """The subscription's id; notifications `event` {subscription, event} follow."""

    subscription: str


class Empty(Wire, frozen=True, kw_only=True):
    """Nothing to say but that it was done."""


class AuditResult(Wire, frozen=True, kw_only=True):
    """Audit rows, oldest first."""

    audits: list[Audit]


class EventsResult(Wire, frozen=True, kw_only=True):
    """Events, oldest first."""

    events: list[Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One row of the table.

    Attributes:
        right: what the caller needs. A method that only reads and is about no account in particular may be
            called by everybody, and tells of the accounts that the caller may read.
        is_audited: a call is noted in the audit log. A method that only reads never is; `account.qr` notes
            each QR that it hands out itself, not each time that somebody asked.
    """

    params: type[Params]
    result: type[Wire] | type[dict[str, Any]]
    right: Right
    summary: str
    is_audited: bool = True

    @property
    def names_in_full(self) -> bool:
        """True when the account cannot be left out: the verb destroys something, so nothing is guessed."""
        return any(
            field.name == "account" and field.required for field in msgspec.structs.fields(self.params)
        )


METHODS: dict[str, Method] = {
    "group.list": Method(
        params=OneAccount, result=GroupsResult, right="read", summary="List the groups that an account is in."
    ),
    "message.outbox": Method(
        params=ListOutgoing,
        result=OutboxResult,
        right="read",
        summary="List the texts that an account was to send, and what became of them.",
    ),
    "message.send": Method(
        params=SendMessage, result=SendResult, right="update", summary="Have an account send a text."
    ),
    "message.list": Method(
        params=ListMessages,
        result=MessagesResult,
        right="read",
        summary="List an account's messages, oldest first.",
    ),
    "audit.list": Method(
        params=ListAudit, result=AuditResult, right="read", summary="List who did what, oldest first."
    ),
    "daemon.release": Method(
        params=Nothing,
        result=StatusResult,
        right="admin",
        summary="Let accounts that the fleet breaker holds go on.",
    ),
    "daemon.version": Method(
        params=Nothing, result=VersionResult, right="everybody", summary="Say what runs."
    ),
    "daemon.status": Method(
        params=Nothing, result=StatusResult, right="read", summary="Say how the daemon is."
    ),
    "daemon.metrics": Method(
        params=Nothing,
        result=MetricsResult,
        right="admin",
        summary="Return the figures for Prometheus.",
        is_audited=False,
    ),
    "daemon.config": Method(
        params=Nothing,
        result=ConfigResult,
        right="admin",
        summary="Show the configuration that runs, and where each value comes from.",
        is_audited=False,
    ),
    "daemon.doctor": Method(
        params=Nothing,
        result=DoctorResult,
        right="read",
        summary="Look whether all is well, and say what helps.",
    ),
    "daemon.reload": Method(
        params=Nothing,
        result=ReloadResult,
        right="admin",
        summary="Take over the configuration files, all of it or nothing.",
    ),
    "account.list": Method(
        params=List, result=AccountsResult, right="read", summary="List accounts in order of creation."
    ),
    "account.get": Method(
        params=OneAccount,
        result=AccountHistoryResult,
        right="read",
        summary="Show one account with its last transitions.",
    ),
    "account.health": Method(
        params=AskHealth, result=HealthResult, right="read", summary="Say how well accounts are, and why."
    ),
    "account.add": Method(
        params=Add, result=AddResult, right="connect", summary="Add an account and begin pairing."
    ),
    "account.import": Method(
        params=Import,
        result=ImportResult,
        right="admin",
        summary="Add accounts from a list, all of them or none; those that are there stay as they are.",
    ),
    "account.export": Method(
        params=moving.Export,
        result=moving.ExportResult,
        right="admin",
        summary="Stop an account for good, and hand it out with its device as a sealed file.",
    ),
    "account.adopt": Method(
        params=moving.Adopt,
        result=moving.AdoptResult,
        right="admin",
        summary="Take over an exported account with its device; it connects without a QR.",
    ),
    "transfer.begin": Method(
        params=Nothing,
        result=moving.TransferResult,
        right="admin",
        summary="Begin to hand a file in, for account.adopt.",
        is_audited=False,
    ),
    "transfer.write": Method(
        params=moving.WriteTransfer,
        result=moving.TransferResult,
        right="admin",
        summary="Hand a piece of a file in.",
        is_audited=False,
    ),
    "transfer.read": Method(
        params=moving.ReadTransfer,
        result=moving.PieceResult,
        right="admin",
        summary="Hand a piece of a file out, after account.export.",
        is_audited=False,
    ),
    "account.set": Method(
        params=Set, result=AccountResult, right="update", summary="Change an account's names."
    ),
    "account.pair": Method(
        params=Pair, result=PairResult, right="connect", summary="Begin a new pairing attempt."
    ),
    "account.qr": Method(
        params=GetQr,
        result=QrResult,
        right="connect",
        summary="Hand out the current QR, rendered.",
        is_audited=False,
    ),
    "account.start": Method(
        params=OneAccount, result=AccountResult, right="connect", summary="Let the account run."
    ),
    "account.stop": Method(
        params=OneAccount, result=AccountResult, right="disconnect", summary="Take the account offline."
    ),
    "account.restart": Method(
        params=OneAccount, result=AccountResult, right="connect", summary="Stop and start the session."
    ),
    "account.unpair": Method(
        params=NamedAccount,
        result=AccountResult,
        right="disconnect",
        summary="Forget the linked device here, without telling WhatsApp.",
    ),
    "account.logout": Method(
        params=NamedAccount,
        result=LogoutResult,
        right="disconnect",
        summary="Log out at WhatsApp and keep the account.",
    ),
    "account.remove": Method(
        params=Remove, result=RemoveResult, right="delete", summary="Log out and delete the account."
    ),
    "account.wait": Method(
        params=Wait, result=WaitResult, right="read", summary="Wait until the account is in a state."
    ),
    "event.subscribe": Method(
        params=Subscribe, result=SubscribeResult, right="read", summary="Send events as they happen."
    ),
    "event.unsubscribe": Method(
        params=Unsubscribe, result=Empty, right="everybody", summary="End a subscription."
    ),
    "event.list": Method(
        params=ListEvents, result=EventsResult, right="read", summary="List past events, oldest first."
    ),
    "notify.test": Method(
        params=Nothing,
        result=NotifyResult,
        right="admin",
        summary="Send a test message by every channel that tells people of incidents.",
    ),
    "webhook.list": Method(
        params=Nothing,
        result=WebhooksResult,
        right="admin",
        summary="List the webhooks and how they do.",
        is_audited=False,
    ),
    "webhook.test": Method(
        params=OneEndpoint,
        result=WebhookTestResult,
        right="admin",
        summary="Send a test event to a webhook, once.",
    ),
    "webhook.deliveries": Method(
        params=ListDeliveries,
        result=DeliveriesResult,
        right="admin",
        summary="List deliveries to webhooks, oldest first.",
        is_audited=False,
    ),
    "webhook.retry": Method(
        params=RetryDeliveries,
        result=RetryResult,
        right="admin",
        summary="Try deliveries to a webhook again, at once.",
    ),
    "key.rotate": Method(
        params=RotateKey, result=RotateResult, right="admin", summary="Seal all stores with another key."
    ),
    "rpc.discover": Method(
        params=Nothing,
        result=dict[str, Any],
        right="everybody",
        summary="Return the OpenRPC document of all this.",
    ),
}
