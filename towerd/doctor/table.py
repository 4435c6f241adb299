"""The checks that the daemon makes, in the order in which they are told.

The one rule: a check that is not here does not exist; towerctl(1) has the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from towerd.doctor import accounts, files, network, service, stores
from towerd.doctor.findings import Finding
from towerd.doctor.network import LINE_SECONDS
from towerd.doctor.patient import Patient


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the table.

    Attributes:
        look: looks, and yields what it found; it may block, and runs on a thread of its own.
        deadline_seconds: after this the finding is that it does not end.
        late_command: what helps then.
        is_about_accounts: it tells of nothing but the accounts that it is shown, so it is for everybody.
    """

    name: str
    look: Callable[[Patient], Iterator[Finding]]
    deadline_seconds: float = 5.0
    late_command: str = "journalctl --unit=towerd --lines=50"
    is_about_accounts: bool = False


_ON_THE_WIRE = LINE_SECONDS + 2.0

_HANGING_DISK = "dmesg --level=err,warn | tail"

CHECKS: tuple[Check, ...] = (
    Check(name="configuration", look=service.configuration),
    Check(name="permissions", look=files.permissions, late_command=_HANGING_DISK),
    Check(name="disk", look=files.disk, late_command=_HANGING_DISK),
    Check(name="database", look=stores.database, deadline_seconds=10.0),
    Check(
        name="dns",
        look=network.dns,
        deadline_seconds=_ON_THE_WIRE,
        late_command="getent ahosts web.whatsapp.com; cat /etc/resolv.conf",
    ),
    Check(name="reach", look=network.reach, deadline_seconds=_ON_THE_WIRE),
    Check(name="certificates", look=network.certificates, deadline_seconds=_ON_THE_WIRE),
    Check(name="clock", look=network.clock, deadline_seconds=_ON_THE_WIRE),
    Check(name="key", look=stores.key),
    Check(name="stores", look=stores.stores, deadline_seconds=10.0),
    Check(name="owners", look=accounts.owners),
    Check(name="problems", look=service.problems),
    Check(name="notify", look=service.notify),
    Check(name="fleet", look=service.fleet),
    Check(name="workers", look=accounts.workers, is_about_accounts=True),
    Check(name="qr", look=accounts.qr, is_about_accounts=True),
    Check(name="account", look=accounts.evidence, is_about_accounts=True),
)
