"""Builders of patients, and what is found of them in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.unit.towerd.builders import NOW, FakeClock, a_linked_account
from towerd.clock import SystemClock
from towerd.doctor.findings import Finding
from towerd.doctor.patient import AccountSight, Patient
from towerd.paths import Paths

Check = Callable[[Patient], Iterator[Finding]]


def paths_in(directory: Path) -> Paths:
    """Return the paths of a daemon whose whole world is a directory."""
    return Paths(
        socket=directory / "tower.sock",
        state_dir=directory / "state",
        config=directory / "etc/tower.toml",
        is_config_named=True,
        socket_mode=0o600,
    )


def a_patient(directory: Path = Path("/nowhere"), **parts: Any) -> Patient:
    """Return a daemon that lacks nothing, as far as the test does not say otherwise."""
    defaults: dict[str, Any] = {
        "clock": FakeClock(),
        "now": NOW,
        "own_uid": os.getuid(),
        "paths": paths_in(directory),
        "environment": {},
    }
    return Patient(**(defaults | parts))


def a_patient_now(directory: Path = Path("/nowhere"), **parts: Any) -> Patient:
    """Return a daemon that lives by this machine's clock."""
    clock = SystemClock()
    return a_patient(directory, clock=clock, now=clock.now(), **parts)


def a_sight(address: str = "alpha", *, record: dict[str, Any] | None = None, **parts: Any) -> AccountSight:
    """Return a connected account."""
    fields = {"name": address, "last_seen_at": NOW - 3} | (record or {})
    return AccountSight(**({"record": a_linked_account(**fields), "address": address} | parts))


def found(check: Check, patient: Patient) -> list[tuple[str, str]]:
    """Return level and line of each finding; the worst come with a command."""
    findings = list(check(patient))
    assert findings, "a check always says something"
    assert all(one.command for one in findings if one.level == "failure")
    return [(one.level, one.line) for one in findings]


def levels(check: Check, patient: Patient) -> list[str]:
    """Return the levels of the findings."""
    return [level for level, _ in found(check, patient)]


def only(check: Check, patient: Patient) -> Finding:
    """Return the one finding that there is."""
    (finding,) = check(patient)
    return finding
