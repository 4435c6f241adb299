"""What the server saw: one entry for every connection, and counters.

One rule: entries and counters describe this run of the simulator; they begin empty when it starts.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from tests.whatsapp.protobufs import DeviceProps

if TYPE_CHECKING:
    from tests.whatsapp.protobufs import ClientPayload

_MAX_ENTRIES = 5000


def _version(version: Any) -> str:
    return f"{version.primary}.{version.secondary}.{version.tertiary}"


def describe_props(data: bytes) -> dict[str, Any]:
    """Return the device properties of a registration: what the phone will show as the device's name."""
    try:
        props = DeviceProps.FromString(data)
    except DecodeError:
        return {"os": "", "platform": "UNKNOWN", "version": "0.0.0", "full_sync": False}
    return {
        "os": props.os,
        "platform": DeviceProps.PlatformType.Name(props.platformType),
        "version": _version(props.version),
        "full_sync": props.requireFullSync,
    }


def describe_payload(payload: ClientPayload) -> dict[str, Any]:
    """Return what a client told about itself in its handshake."""
    agent = payload.userAgent
    described = {
        "kind": "registration" if payload.HasField("devicePairingData") else "login",
        "version": _version(agent.appVersion),
        "tertiary": agent.appVersion.tertiary,
        "user_agent": {
            "platform": agent.Platform.Name(agent.platform),
            "os_version": agent.osVersion,
            "device": agent.device,
        },
        "passive": payload.passive,
        "pull": payload.pull,
    }
    if payload.HasField("devicePairingData"):
        pairing = payload.devicePairingData
        described["device_props"] = describe_props(pairing.deviceProps)
        described["build_hash"] = pairing.buildHash.hex()
    else:
        described |= {"username": str(payload.username), "device": payload.device}
        described["lid_migrated"] = payload.lidDbMigrated
    return described


class Record:
    """Entries of the latest connections, and counters by name and by `phone:device`."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=_MAX_ENTRIES)
        self._counters: dict[str, Counter[str]] = {
            name: Counter()
            for name in ("registrations", "logins", "failures", "logouts", "prekeys", "keepalives")
        }

    def open_entry(self, number: int) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "connection": number,
            "opened_at": time.time(),
            "closed_at": None,
            "kind": None,
            "outcome": None,
            "stanzas": 0,
        }
        self._entries.append(entry)
        return entry

    def count(self, name: str, key: str = "all", amount: int = 1) -> None:
        self._counters[name][key] += amount

    def as_json(self) -> dict[str, Any]:
        return {
            "connections": list(self._entries),
            "counters": {name: dict(counter) for name, counter in self._counters.items()},
        }
