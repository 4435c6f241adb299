"""The methods `daemon.*` and `rpc.discover`."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from sessions.library import library_version, whatsapp_version
from towerd import __version__
from towerd.clock import rfc3339, rfc3339_or_none
from towerd.config import NEEDS_RESTART
from towerd.protocol import methods as m
from towerd.protocol.version import API_MAJOR, API_MINOR
from towerd.rpc import openrpc
from towerd.rpc.call import Call


async def version(call: Call, _params: m.Nothing) -> m.VersionResult:
    """Say what runs."""
    return m.VersionResult(
        version=__version__,
        api=m.ApiVersion(major=API_MAJOR, minor=API_MINOR),
        neonize=library_version(),
        whatsapp_version=whatsapp_version(),
        pid=os.getpid(),
        started_at=rfc3339(call.services.started_at),
    )


async def status(call: Call, _params: m.Nothing) -> m.StatusResult:
    """Say how the daemon is."""
    services = call.services
    supervisor = services.supervisor
    trouble = services.ledger.trouble
    states = Counter(one.account.state.value for one in supervisor.keepers)
    workers = [
        m.WorkerSummary(
            account=one.account.name,
            pid=one.carrier.worker.pid,
            state=one.carrier.worker.state.value,
            restarts=one.carrier.starts - 1,
            memory_bytes=one.carrier.worker.memory_bytes(),
        )
        for one in supervisor.keepers
        if one.carrier.worker is not None
    ]
    return m.StatusResult(
        version=__version__,
        pid=os.getpid(),
        started_at=rfc3339(services.started_at),
        uptime_seconds=round(services.clock.now() - services.started_at, 3),
        state_dir=str(services.state_dir),
        accounts=dict(states),
        starting=m.Starting(done=supervisor.start_done, total=supervisor.start_total),
        workers=workers,
        fleet=_fleet(call),
        registry=f"cannot be written: {trouble}" if trouble else "ok",
        problems=[*services.problems, *_contradictions(call)],
    )


def _contradictions(call: Call) -> list[str]:
    """Say which accounts claim what another row of the database holds."""
    refused = call.services.ledger.refused
    return [
        f"the account database gives the phone of {one.account.name} to another account"
        for one in call.services.supervisor.keepers
        if one.account.record.id in refused
    ]


def _fleet(call: Call) -> m.FleetStatus:
    fleet = call.services.fleet
    names = {one.account.record.id: one.account.name for one in call.services.supervisor.keepers}
    return m.FleetStatus(
        state="open" if fleet.is_open else "closed",
        cause=fleet.cause,
        canary=names.get(fleet.canary) if fleet.canary else None,
        held=len(fleet.held),
        since=rfc3339_or_none(fleet.since),
    )


async def config(call: Call, _params: m.Nothing) -> m.ConfigResult:
    """Show the configuration that runs, and where each value comes from."""
    return m.ConfigResult(
        settings=[
            m.Setting(
                key=one.key,
                value=one.value,
                default=one.default,
                source=str(one.source) if one.source else None,
                needs_restart=one.key in NEEDS_RESTART,
            )
            for one in call.services.settings.all()
        ]
    )


async def release(call: Call, params: m.Nothing) -> m.StatusResult:
    """Let accounts that the fleet breaker holds go on."""
    call.services.fleet.close("released by command", by_command=True)
    return await status(call, params)


async def reload(call: Call, _params: m.Nothing) -> m.ReloadResult:
    """Take over the configuration files, all of it or nothing."""
    changes = await call.services.reload.run()
    call.notes.append(", ".join(change.key for change in changes) or "nothing changed")
    return m.ReloadResult(
        changed=[
            m.Change(key=one.key, old=one.old, new=one.new, needs_restart=one.needs_restart)
            for one in changes
        ]
    )


async def discover(_call: Call, _params: m.Nothing) -> dict[str, Any]:
    """Return the OpenRPC document."""
    return openrpc.document()
