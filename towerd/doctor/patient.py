"""What the checks look at: the daemon's state at one moment, as plain values.

The one rule: checks run on threads of their own, so nothing in here belongs to the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from towerd.accounts.records import AccountRecord
from towerd.clock import Clock
from towerd.configuration import Difference
from towerd.doctor.route import Target
from towerd.incidents import Trouble
from towerd.paths import Paths


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSight:
    """A worker process."""

    pid: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingSight:
    """A pairing attempt.

    Attributes:
        is_on_offer: a QR or a code can be had now.
        without_seconds: for so long, at least, there has been none.
    """

    is_on_offer: bool
    without_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSight:
    """One account.

    Attributes:
        address: how the caller names it.
        trouble: why it needs somebody, if it does.
        is_doubtful: it is connected and owes a sign of life.
    """

    record: AccountRecord
    address: str
    trouble: Trouble | None = None
    is_doubtful: bool = False
    worker: WorkerSight | None = None
    pairing: PairingSight | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSight:
    """A way to tell people of incidents."""

    name: str
    program: str
    trouble: str | None
    delivered_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The daemon at one moment.

    Attributes:
        clock: this machine's, which any thread may ask.
        now: seconds since the epoch at that moment.
        environment: what it has of proxies, certificates and the search path.
        config_files: those that are read.
        key_name: id of the key that seals stores, None without one.
        seal_trouble: why something is not sealed that should be.
        registry_trouble: why the account database cannot be written.
        fleet_cause: why accounts are held back.
        problems: what the start had to repair, and what does not work as it should.
        target: where WhatsApp is.
        is_admin: so is who asks.
    """

    clock: Clock
    now: float
    own_uid: int
    paths: Paths
    environment: Mapping[str, str]
    config_files: tuple[Path, ...] = ()
    difference: Difference = field(default_factory=Difference)
    accounts: tuple[AccountSight, ...] = ()
    key_name: str | None = None
    seal_trouble: str | None = None
    registry_trouble: str | None = None
    fleet_cause: str | None = None
    fleet_held: int = 0
    problems: tuple[str, ...] = ()
    channels: tuple[ChannelSight, ...] = ()
    open_incidents: int = 0
    memory_max_mb: int = 1024
    alive_seconds: float = 30.0
    target: Target = field(default_factory=Target)
    is_admin: bool = True
