"""The objects on the wire that are about the daemon itself, as frozen structures.

The one rule: as in `types`: times are RFC 3339 UTC with milliseconds, names carry their unit, nothing secret.
"""

from __future__ import annotations

from typing import Any, Literal

from towerd.protocol.types import Wire


class ApiVersion(Wire, frozen=True, kw_only=True):
    """Version of the RPC contract."""

    major: int
    minor: int


class VersionResult(Wire, frozen=True, kw_only=True):
    """What runs."""

    version: str
    api: ApiVersion
    neonize: str
    whatsapp_version: str | None
    pid: int
    started_at: str


class Starting(Wire, frozen=True, kw_only=True):
    """Progress of the start: how many of the accounts have been taken up again."""

    done: int
    total: int


class WorkerSummary(Wire, frozen=True, kw_only=True):
    """One worker process at a glance."""

    account: str
    pid: int | None
    state: str
    restarts: int
    memory_bytes: int | None


class FleetStatus(Wire, frozen=True, kw_only=True):
    """The breaker over all accounts: closed, or why it is open, who tries, and who waits."""

    state: Literal["closed", "open"]
    cause: Literal["client-outdated", "unlink-wave"] | None
    canary: str | None
    held: int
    since: str | None


class ConfigStatus(Wire, frozen=True, kw_only=True):
    """What the configuration files say beside what runs, and how changes of them become known."""

    state: Literal["current", "pending", "needs-restart", "broken"]
    keys: list[str]
    mistakes: list[str]
    reload: Literal["manual", "automatic"]
    watched_by: Literal["inotify", "polling", "nothing"]


class StoresStatus(Wire, frozen=True, kw_only=True):
    """How stores lie on the disk.

    Attributes:
        sealed: they are encrypted there.
        key: id of the key that seals them; it tells nothing of the key.
        plain_dir: where they lie plain, in memory, while accounts run.
        trouble: why something is not sealed that should be.
    """

    sealed: bool
    key: str | None
    plain_dir: str | None
    trouble: str | None


class MessagesToday(Wire, frozen=True, kw_only=True):
    """Messages of the present day, and texts that wait to be sent, of whatever day."""

    sent: int
    received: int
    waiting: int


class Memory(Wire, frozen=True, kw_only=True):
    """Resident memory, that of the workers in sum; null where the system does not tell."""

    daemon_bytes: int | None
    workers_bytes: int


class StatusResult(Wire, frozen=True, kw_only=True):
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


class Setting(Wire, frozen=True, kw_only=True):
    """One key of the configuration as it runs; `source` is the file that set it, null for a default."""

    key: str
    value: Any
    default: Any
    source: str | None
    needs_restart: bool


class ConfigResult(Wire, frozen=True, kw_only=True):
    """Every key of the configuration, in the order of the manual."""

    settings: list[Setting]


class Change(Wire, frozen=True, kw_only=True):
    """One key that has another value; with `needs_restart` only from the next start on."""

    key: str
    old: Any
    new: Any
    needs_restart: bool


class ReloadedAccounts(Wire, frozen=True, kw_only=True):
    """What became of the accounts that files declare, by name; a file with a mistake touches none."""

    created: list[str]
    changed: list[str]
    stopped: list[str]
    mistakes: list[str]


class ReloadResult(Wire, frozen=True, kw_only=True):
    """What the files changed."""

    changed: list[Change]
    accounts: ReloadedAccounts


class MetricsResult(Wire, frozen=True, kw_only=True):
    """Figures in the text exposition format of Prometheus."""

    text: str


class NotifyChannel(Wire, frozen=True, kw_only=True):
    """A way to tell people of incidents, and the program that takes the message."""

    name: Literal["command", "mail"]
    program: str


class NotifyResult(Wire, frozen=True, kw_only=True):
    """The channels that took the message: all of them."""

    channels: list[NotifyChannel]


class Finding(Wire, frozen=True, kw_only=True):
    """What one check of the doctor found about one thing, and the command that helps.

    `skipped`: there was nothing to look at. `account` is null when it is about none.
    """

    check: str
    level: Literal["ok", "warning", "failure", "skipped"]
    line: str
    command: str | None
    account: str | None


class DoctorResult(Wire, frozen=True, kw_only=True):
    """What the doctor found; not `complete` for callers who may not know of the daemon itself."""

    findings: list[Finding]
    complete: bool
