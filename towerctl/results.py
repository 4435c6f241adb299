"""The shapes of what towerd answers, as a type checker sees them.

The one rule: nothing here is loaded at run time by the command line, because msgspec's structures in
`towerd.protocol.types` would cost more than a whole `towerctl list`; a test holds the two equal.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Pairing(TypedDict):
    """A pairing attempt under way."""

    method: str
    round: int
    number: int
    count: int
    issued_at: str | None
    expires_at: str | None
    expires_in_seconds: float | None
    deadline_at: str


class Reconnect(TypedDict):
    """Where the reconnect schedule stands."""

    attempt: int
    next_attempt_at: str | None


class Worker(TypedDict):
    """The process that carries the session."""

    state: str
    pid: int | None
    restarts: int
    memory_bytes: int | None
    since: str


class Declaration(TypedDict):
    """The drop-in file that declares an account."""

    file: str
    desired: str | None
    is_gone: bool


class Limits(TypedDict):
    """Limits of an account's own."""

    daily: int | None
    per_minute: int | None


class Account(TypedDict):
    """One account."""

    id: str
    name: str
    display_name: str | None
    owner: str
    owner_uid: int
    primary: bool
    state: str
    reason: str | None
    detail: str | None
    action: str | None
    since: str
    desired: str
    health: str
    health_reasons: list[str]
    jid: str | None
    lid: str | None
    phone: str | None
    expected_phone: str | None
    device_number: int | None
    push_name: str | None
    business_name: str | None
    platform: str | None
    pairing: Pairing | None
    reconnect: Reconnect | None
    declaration: Declaration | None
    limits: Limits
    proxy_file: str | None
    worker: NotRequired[Worker | None]
    sent_today: int
    received_today: int
    daily_limit: int
    waiting: int
    created_at: str
    updated_at: str
    last_connected_at: str | None
    last_disconnected_at: str | None
    last_seen_at: str | None
    last_activity_at: str | None


class Qr(TypedDict):
    """One QR, rendered; `data` is the secret itself."""

    id: str
    format: str
    media_type: str
    encoding: str
    data: str
    round: int
    number: int
    count: int
    issued_at: str
    expires_at: str
    expires_in_seconds: float


class AccountRef(TypedDict):
    """How an event names its account."""

    id: str
    name: str


class Event(TypedDict):
    """Something that happened."""

    id: int
    time: str
    type: str
    account: AccountRef | None
    data: dict[str, Any]


class Transition(TypedDict):
    """One change of state."""

    time: str
    old: str | None
    new: str
    reason: str | None


class Audit(TypedDict):
    """Who did what to which account, and how it went."""

    id: int
    time: str
    user: str
    uid: int | None
    pid: int | None
    source: str
    action: str
    account: AccountRef | None
    result: str
    detail: str | None


class ApiVersion(TypedDict):
    """Version of the RPC contract."""

    major: int
    minor: int


class VersionResult(TypedDict):
    """What runs."""

    version: str
    api: ApiVersion
    neonize: str
    whatsapp_version: str | None
    pid: int
    started_at: str


class Starting(TypedDict):
    """Progress of the start."""

    done: int
    total: int


class WorkerSummary(TypedDict):
    """One worker process at a glance."""

    account: str
    pid: int | None
    state: str
    restarts: int
    memory_bytes: int | None


class FleetStatus(TypedDict):
    """The breaker over all accounts: closed, or why it is open, who tries, and who waits."""

    state: str
    cause: str | None
    canary: str | None
    held: int
    since: str | None


class ConfigStatus(TypedDict):
    """What the configuration files say beside what runs."""

    state: str
    keys: list[str]
    mistakes: list[str]
    reload: str
    watched_by: str


class StoresStatus(TypedDict):
    """How stores lie on the disk."""

    sealed: bool
    key: str | None
    plain_dir: str | None
    trouble: str | None


class MessagesToday(TypedDict):
    """Messages of the present day, and texts that wait to be sent."""

    sent: int
    received: int
    waiting: int


class Memory(TypedDict):
    """Resident memory, that of the workers in sum."""

    daemon_bytes: int | None
    workers_bytes: int


class StatusResult(TypedDict):
    """The daemon at a glance."""

    version: str
    pid: int
    started_at: str
    uptime_seconds: float
    state_dir: str
    accounts: dict[str, int]
    health: dict[str, int]
    messages: MessagesToday
    starting: Starting
    workers: list[WorkerSummary]
    memory: Memory
    registry: str
    stores: StoresStatus
    fleet: FleetStatus
    config: ConfigStatus | None
    problems: list[str]


class Setting(TypedDict):
    """One key of the configuration as it runs."""

    key: str
    value: Any
    default: Any
    source: str | None
    needs_restart: bool


class ConfigResult(TypedDict):
    """Every key of the configuration."""

    settings: list[Setting]


class Change(TypedDict):
    """One key that has another value."""

    key: str
    old: Any
    new: Any
    needs_restart: bool


class ReloadedAccounts(TypedDict):
    """What became of the accounts that files declare."""

    created: list[str]
    changed: list[str]
    stopped: list[str]
    mistakes: list[str]


class ReloadResult(TypedDict):
    """What the files changed."""

    changed: list[Change]
    accounts: ReloadedAccounts


class Finding(TypedDict):
    """What one check of the doctor found about one thing."""

    check: str
    level: str
    line: str
    command: str | None
    account: str | None


class DoctorResult(TypedDict):
    """What the doctor found."""

    findings: list[Finding]
    complete: bool


class NotifyChannel(TypedDict):
    """A way to tell people of incidents."""

    name: str
    program: str


class NotifyResult(TypedDict):
    """The channels that took the message."""

    channels: list[NotifyChannel]


class AccountResult(TypedDict):
    """One account."""

    account: Account


class AccountsResult(TypedDict):
    """Accounts by creation time, then id."""

    accounts: list[Account]


class HealthResult(TypedDict):
    """How accounts are."""

    status: str
    accounts: list[Account]


class AccountHistoryResult(TypedDict):
    """One account and its last transitions, newest first."""

    account: Account
    history: list[Transition]


class AddResult(TypedDict):
    """The account; `created` is false when it was there already."""

    account: Account
    created: bool
    code: NotRequired[str | None]
    code_expires_at: NotRequired[str | None]


class ImportedAccount(TypedDict):
    """One account of an import."""

    name: str
    owner: str
    outcome: str
    id: str | None


class ImportResult(TypedDict):
    """The accounts of an import, in its order."""

    accounts: list[ImportedAccount]
    dry_run: bool


class PairResult(TypedDict):
    """The account with its new attempt."""

    account: Account
    code: NotRequired[str | None]
    code_expires_at: NotRequired[str | None]


class QrResult(TypedDict):
    """The QR that is current, or null."""

    account: Account
    qr: Qr | None


class LogoutResult(TypedDict):
    """How the logout at WhatsApp went."""

    account: Account
    logout: str


class RemoveResult(TypedDict):
    """Whether the account was removed, and how the logout at WhatsApp went."""

    removed: bool
    logout: str
    detail: str | None


class WaitResult(TypedDict):
    """How the wait ended."""

    account: Account
    outcome: str


class SubscribeResult(TypedDict):
    """The subscription's id."""

    subscription: str


class EventsResult(TypedDict):
    """Events, oldest first."""

    events: list[Event]


class AuditResult(TypedDict):
    """Audit rows, oldest first."""

    audits: list[Audit]
