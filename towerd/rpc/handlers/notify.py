"""The method `notify.test`."""

from __future__ import annotations

import msgspec

from towerd.protocol import daemon_types as wire
from towerd.protocol import methods as m
from towerd.protocol.errors import TowerError
from towerd.rpc.call import Call


async def test(call: Call, _params: m.Nothing) -> wire.NotifyResult:
    """Send a test message by every channel that tells people of incidents."""
    notifier = call.services.notifier
    ways = notifier.channels
    if not ways:
        raise TowerError(
            "wrong-state",
            "nobody is told of incidents: neither a command nor a recipient of mail is configured",
            hint="set notify.command or notify.mail_to, see tower.toml(5), then: towerctl reload",
        )
    failures = [f"{name}: {why}" for name, why in (await notifier.test()).items() if why is not None]
    if failures:
        raise TowerError(
            "notify-failed",
            "; ".join(failures),
            hint="run the program by hand as the user of towerd; its unit may forbid what it needs, "
            "see NOTES in tower.toml(5)",
        )
    found = [{"name": way.name, "program": way.program()} for way in ways]
    return wire.NotifyResult(channels=msgspec.convert(found, list[wire.NotifyChannel]))
