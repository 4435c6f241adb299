"""What the configuration may say: sections, keys, types, bounds and defaults, as one frozen structure.

The one rule: what does not stand here is no key, and each key is explained in its section's docstring.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

import msgspec

from towerd.webhooks.secrets import SecretError, read_secret
from towerd.webhooks.urls import wrong_url
from towerd.wording import RECIPIENT

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Rate = Annotated[int, msgspec.Meta(ge=1, le=600)]
Word = Annotated[str, msgspec.Meta(min_length=1)]
Recipient = Annotated[str, msgspec.Meta(pattern=RECIPIENT)]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all sections."""

    def unfit(self) -> dict[str, str]:
        """Return by key what cannot be used although its type is right, and why."""
        return {}


EVERYBODY = "*"
"""Among users and groups: everybody who reaches the socket; among owners: all."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]


class Grant(Section, frozen=True, kw_only=True):
    """One of `[[access.grants]]`.

    Attributes:
        role: what may be done.
        to: users and `@groups`, by name or number, or everybody.
        owners: users whose accounts it is about, by name or number, or all.
    """

    role: Literal["viewer", "operator", "admin"]
    to: Names
    owners: Names = (EVERYBODY,)


class AccessConfig(Section, frozen=True, kw_only=True):
    """`[access]`.

    Attributes:
        may_add: users and `@groups` who may add accounts, besides admins.
        grants: roles over accounts of others.
    """

    may_add: tuple[Name, ...] = (EVERYBODY,)
    grants: tuple[Grant, ...] = ()


class PairingConfig(Section, frozen=True, kw_only=True):
    """`[pairing]`.

    Attributes:
        timeout_seconds: how long one attempt waits for a scan.
        authenticated_seconds: how long the restart after a scan may take.
        automatic: begin a new pairing when WhatsApp removed the device.
        device_name: what the phone shows for this linked device.
    """

    timeout_seconds: Seconds = 300.0
    authenticated_seconds: Seconds = 60.0
    automatic: bool = True
    device_name: Annotated[str, msgspec.Meta(min_length=1, max_length=50)] = "TOWER"


class ReconnectConfig(Section, frozen=True, kw_only=True):
    """`[reconnect]`.

    Attributes:
        library_seconds: what the library's own retry gets first.
        base_seconds: delay before the first try of ours; doubled each time.
        cap_seconds: the longest such delay.
        jitter: spread of each delay, as a fraction.
        stable_seconds: a connection that holds this long resets the schedule.
        critical_after: failures after which the tries become slow and health critical.
        slow_seconds: delay between slow tries.
    """

    library_seconds: Seconds = 10.0
    base_seconds: Seconds = 1.0
    cap_seconds: Seconds = 30.0
    jitter: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    stable_seconds: Seconds = 60.0
    critical_after: Count = 5
    slow_seconds: Seconds = 300.0


class WorkersConfig(Section, frozen=True, kw_only=True):
    """`[workers]`.

    Attributes:
        connect_seconds: how long a worker may take from its start to a login or a QR.
        takeovers: so often within `takeover_seconds` a session that was replaced is taken back.
        takeover_seconds: see there.
        crash_loop_exits: this many exits in a row, each soon after the start, are a crash loop.
        crash_loop_seconds: what "soon" means.
        memory_max_mb: a worker that grows beyond is replaced.
    """

    connect_seconds: Seconds = 45.0
    takeovers: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3
    takeover_seconds: Seconds = 600.0
    crash_loop_exits: Count = 10
    crash_loop_seconds: Seconds = 10.0
    memory_max_mb: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] = 1024


class StartConfig(Section, frozen=True, kw_only=True):
    """`[start]`.

    Attributes:
        parallel: how many workers may be starting at once; 0 means four per core.
        spread_seconds: the starts of a fleet are spread over a window of this much per account.
    """

    parallel: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    spread_seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.2


class TruthConfig(Section, frozen=True, kw_only=True):
    """`[truth]`.

    Attributes:
        quiet_seconds: after so long without a sign of life the worker makes a round trip of its own.
        probe_seconds: how long that may take before the worker is replaced.
    """

    quiet_seconds: Seconds = 20.0
    probe_seconds: Seconds = 10.0


class FleetConfig(Section, frozen=True, kw_only=True):
    """`[fleet]`.

    Attributes:
        wave_accounts: so many accounts unlinked within `wave_seconds` are a wave.
        wave_seconds: see there.
        canary_seconds: how long the canary waits before it tries again; doubled up to an hour.
        release_seconds: the others are let go over a window of this much per account.
    """

    wave_accounts: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 3
    wave_seconds: Seconds = 60.0
    canary_seconds: Seconds = 300.0
    release_seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.2


class EventsConfig(Section, frozen=True, kw_only=True):
    """`[events]`.

    Attributes:
        kept: how many events are kept.
    """

    kept: Annotated[int, msgspec.Meta(ge=1000, le=10_000_000)] = 100_000


class FilesConfig(Section, frozen=True, kw_only=True):
    """`[config]`.

    Attributes:
        reload: whether a change of the configuration files waits for a command, or is taken over by itself.
    """

    reload: Literal["manual", "automatic"] = "manual"


class MessagesConfig(Section, frozen=True, kw_only=True):
    """`[messages]`.

    Attributes:
        kept: how many messages are kept for each account.
        kept_days: for how long.
        zone: the time zone in which a day begins and ends, such as Europe/Berlin; empty: the machine's.
    """

    kept: Annotated[int, msgspec.Meta(ge=100, le=10_000_000)] = 10_000
    kept_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 90
    zone: str = ""


class NotifyConfig(Section, frozen=True, kw_only=True):
    """`[notify]`.

    Attributes:
        command: program and arguments that are run for each message.
        mail_to: who gets each message by mail.
        sendmail: what takes a mail.
        well_seconds: an incident is over when all has been well for so long.
        burst: so many messages may go one after the other.
        refill_seconds: after these, one more for each time that this has passed.
        deadline_seconds: how long the program may take.
        retry_seconds: delay before a message that failed is tried again; doubled up to an hour.
    """

    command: list[Word] = msgspec.field(default_factory=list)
    mail_to: list[Recipient] = msgspec.field(default_factory=list)
    sendmail: Word = "/usr/sbin/sendmail"
    well_seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 60.0
    burst: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    refill_seconds: Seconds = 300.0
    deadline_seconds: Seconds = 30.0
    retry_seconds: Seconds = 10.0


class MetricsConfig(Section, frozen=True, kw_only=True):
    """`[metrics]`.

    Attributes:
        textfile: where the figures are written for node_exporter, a file that ends in .prom; empty: nowhere.
        interval_seconds: how often.
    """

    textfile: str = ""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 15.0


class LimitsConfig(Section, frozen=True, kw_only=True):
    """`[limits]`.

    Attributes:
        daily: how many texts an account may send in a day.
        per_minute: how many in any 60 seconds.
        queue: how many may wait.
        accounts_per_owner: how many accounts a user who is no admin may come to own by adding them.
    """

    daily: Count = 1000
    per_minute: Rate = 20
    queue: Count = 1000
    accounts_per_owner: Count = 10


class Endpoint(Section, frozen=True, kw_only=True):
    """One of `[[webhook.endpoints]]`.

    Attributes:
        name: what it is called here, in lists and figures.
        url: where events are posted.
        secret_file: the file that holds the secret, or the name of a credential of the service.
        events: types of events that it gets, with `*` and `?`.
        accounts: only events of these accounts, by name or id; empty: of all.
        owners: only events of accounts of these users, by name or number; empty: of all.
        allow_private: the address may be one of this machine or of a private network.
        timeout_seconds: how long one delivery may take.
    """

    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    secret_file: Word
    events: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)] = ("*",)
    accounts: tuple[Name, ...] = ()
    owners: tuple[Name, ...] = ()
    allow_private: bool = False
    timeout_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 5.0

    def unfit(self) -> dict[str, str]:
        """Return what keeps the endpoint from being served."""
        found = {}
        if why := wrong_url(self.url, allow_private=self.allow_private):
            found["url"] = why
        try:
            read_secret(self.secret_file)
        except SecretError as error:
            found["secret_file"] = str(error)
        return found


class WebhookConfig(Section, frozen=True, kw_only=True):
    """`[webhook]`.

    Attributes:
        endpoints: who gets events.
        attempts: after so many failures in a row a delivery is given up.
        retry_seconds: delay before a delivery that failed is tried again; doubled up to a day.
    """

    endpoints: tuple[Endpoint, ...] = ()
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 18
    retry_seconds: Seconds = 5.0

    def unfit(self) -> dict[str, str]:
        """Return which names are not one endpoint's alone."""
        twice = [name for name, count in Counter(one.name for one in self.endpoints).items() if count > 1]
        return {"endpoints": f"more than one is called {', '.join(twice)}"} if twice else {}


class StoresConfig(Section, frozen=True, kw_only=True):
    """`[stores]`.

    Attributes:
        key_file: the key that seals stores; empty: the credential, or none.
    """

    key_file: str = ""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    pairing: PairingConfig = PairingConfig()
    reconnect: ReconnectConfig = ReconnectConfig()
    workers: WorkersConfig = WorkersConfig()
    start: StartConfig = StartConfig()
    truth: TruthConfig = TruthConfig()
    fleet: FleetConfig = FleetConfig()
    events: EventsConfig = EventsConfig()
    access: AccessConfig = AccessConfig()
    config: FilesConfig = FilesConfig()
    messages: MessagesConfig = MessagesConfig()
    notify: NotifyConfig = NotifyConfig()
    limits: LimitsConfig = LimitsConfig()
    metrics: MetricsConfig = MetricsConfig()
    webhook: WebhookConfig = WebhookConfig()
    stores: StoresConfig = StoresConfig()


NEEDS_RESTART: dict[str, str] = {
    "start.spread_seconds": "only a start of towerd spreads logins",
    "stores.key_file": "a start of towerd reads the key; to another one stores go by towerctl key rotate",
}
"""Keys that a reload does not take, and why; all others hold from their next use on."""


def values_of(config: Config) -> dict[str, Any]:
    """Return all values by their key paths, such as `pairing.timeout_seconds`."""
    return {
        f"{section}.{key}": value
        for section in Config.__struct_fields__
        for key, value in msgspec.structs.asdict(getattr(config, section)).items()
    }
