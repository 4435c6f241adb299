"""The methods `daemon.*` and `rpc.discover`."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from sessions.library import library_version, whatsapp_version
from towerd import __version__
from towerd.clock import rfc3339, rfc3339_or_none
from towerd.config import NEEDS_RESTART
from towerd.memory import resident_bytes
from towerd.protocol import daemon_types as wire
from towerd.protocol import methods as m
from towerd.protocol.version import API_MAJOR, API_MINOR
from towerd.rpc import openrpc
from towerd.rpc.call import Call
from towerd.supervision.health import health
from towerd.supervision.keeper import Keeper


async def version(call: Call, _params: m.Nothing) -> wire.VersionResult:
    """Say what runs."""
    return wire.VersionResult(
        version=__version__,
        api=wire.ApiVersion(major=API_MAJOR, minor=API_MINOR),
        neonize=library_version(),
        whatsapp_version=whatsapp_version(),
        pid=os.getpid(),
        started_at=rfc3339(call.services.started_at),
    )


async def status(call: Call, _params: m.Nothing) -> wire.StatusResult:
    """Say how the daemon is, as far as the caller's accounts go."""
    services = call.services
    seen = call.visible()
    trouble = services.ledger.trouble
    taken_up = services.supervisor.is_taken_up
    starting = [taken_up[one.account.record.id] for one in seen if one.account.record.id in taken_up]
    workers = _workers(call, seen)
    return wire.StatusResult(
        version=__version__,
        pid=os.getpid(),
        started_at=rfc3339(services.started_at),
        uptime_seconds=round(services.clock.now() - services.started_at, 3),
        state_dir=str(services.state_dir),
        accounts=dict(Counter(one.account.state.value for one in seen)),
        health=dict(Counter(health(one.condition)[0] for one in seen)),
        messages=wire.MessagesToday(
            sent=sum(one.tally.sent for one in seen),
            received=sum(one.tally.received for one in seen),
            waiting=sum(one.waiting for one in seen),
        ),
        starting=wire.Starting(done=sum(starting), total=len(starting)),
        workers=workers,
        memory=wire.Memory(
            daemon_bytes=resident_bytes(os.getpid()),
            workers_bytes=sum(one.memory_bytes or 0 for one in workers),
        ),
        fleet=_fleet(call, seen),
        registry=f"cannot be written: {trouble}" if trouble else "ok",
        stores=_stores(call),
        config=_config(call) if call.caller.sees_all else None,
        problems=[*_own_problems(call), *_contradictions(call, seen)],
    )


def _workers(call: Call, seen: list[Keeper]) -> list[wire.WorkerSummary]:
    return [
        wire.WorkerSummary(
            account=call.address(one.account.record),
            pid=one.carrier.worker.pid,
            state=one.carrier.worker.state.value,
            restarts=one.carrier.starts - 1,
            memory_bytes=one.carrier.worker.memory_bytes(),
        )
        for one in seen
        if one.carrier.worker is not None
    ]


def _stores(call: Call) -> wire.StoresStatus:
    stores = call.services.stores
    return wire.StoresStatus(
        sealed=stores.key_name is not None,
        key=stores.key_name,
        plain_dir=str(stores.plain_dir) if stores.plain_dir is not None else None,
        # It may name any account.
        trouble=stores.trouble if call.caller.sees_all else None,
    )


def _own_problems(call: Call) -> list[str]:
    """Say what is wrong with the daemon itself, which may name any account."""
    if not call.caller.sees_all:
        return []
    services = call.services
    blindness = [one for one in (services.watch.problem, services.textfile.problem) if one]
    asides = [
        *services.drop_ins.problems,
        *blindness,
        *services.notifier.problems,
        *services.courier.problems,
    ]
    return [*services.problems, *services.access.unknown, *asides]


def _contradictions(call: Call, seen: list[Keeper]) -> list[str]:
    """Say which accounts claim what another row of the database holds."""
    refused = call.services.ledger.refused
    return [
        f"the account database gives the phone of {call.address(one.account.record)} to another account"
        for one in seen
        if one.account.record.id in refused
    ]


def _config(call: Call) -> wire.ConfigStatus:
    services = call.services
    difference = services.configuration.difference
    return wire.ConfigStatus(
        state=difference.state,
        keys=difference.keys,
        mistakes=[str(mistake) for mistake in difference.mistakes],
        reload=services.settings.current.config.reload,
        watched_by=services.watch.kind,
    )


def _fleet(call: Call, seen: list[Keeper]) -> wire.FleetStatus:
    """Say whether the breaker is open; who has no account in it is not told that others have."""
    fleet = call.services.fleet
    names = {one.account.record.id: call.address(one.account.record) for one in seen}
    held = [one for one in fleet.held if one in names]
    if not (call.caller.sees_all or held or fleet.canary in names):
        return wire.FleetStatus(state="closed", cause=None, canary=None, held=0, since=None)
    return wire.FleetStatus(
        state="open" if fleet.is_open else "closed",
        cause=fleet.cause,
        canary=names.get(fleet.canary) if fleet.canary else None,
        held=len(held),
        since=rfc3339_or_none(fleet.since),
    )


async def metrics(call: Call, _params: m.Nothing) -> wire.MetricsResult:
    """Return the figures for Prometheus."""
    return wire.MetricsResult(text=call.services.metrics.text())


async def config(call: Call, _params: m.Nothing) -> wire.ConfigResult:
    """Show the configuration that runs, and where each value comes from."""
    return wire.ConfigResult(
        settings=[
            wire.Setting(
                key=one.key,
                value=one.value,
                default=one.default,
                source=str(one.source) if one.source else None,
                needs_restart=one.key in NEEDS_RESTART,
            )
            for one in call.services.settings.all()
        ]
    )


async def release(call: Call, params: m.Nothing) -> wire.StatusResult:
    """Let accounts that the fleet breaker holds go on."""
    call.services.fleet.close("released by command", by_command=True)
    return await status(call, params)


async def reload(call: Call, _params: m.Nothing) -> wire.ReloadResult:
    """Take over the configuration files, all of it or nothing."""
    changes, accounts = await call.services.reload.run()
    call.notes.append(", ".join(change.key for change in changes) or "nothing changed")
    return wire.ReloadResult(
        changed=[
            wire.Change(key=one.key, old=one.old, new=one.new, needs_restart=one.needs_restart)
            for one in changes
        ],
        accounts=wire.ReloadedAccounts(
            created=accounts.created,
            changed=accounts.changed,
            stopped=accounts.stopped,
            mistakes=[str(one) for one in accounts.mistakes],
        ),
    )


async def doctor(call: Call, _params: m.Nothing) -> wire.DoctorResult:
    """Look whether all is well, and say what helps."""
    is_admin = call.caller.may("admin", None)
    found = await call.services.doctor.examine(call.visible(), call.address, is_admin=is_admin)
    return wire.DoctorResult(
        findings=[
            wire.Finding(
                check=one.check, level=one.level, line=one.line, command=one.command, account=one.account
            )
            for one in found
        ],
        complete=is_admin,
    )


async def discover(_call: Call, _params: m.Nothing) -> dict[str, Any]:
    """Return the OpenRPC document."""
    return openrpc.document()
