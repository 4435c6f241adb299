"""A bare neonize, as its users write it, in a process of its own: what it sees goes out as JSON lines.

One rule: nothing here works around the library; it is the yardstick that the simulator is held to.
Run it as `python bare_client.py STORE` with the simulator's environment; it takes the commands `logout`,
`active` and `code NUMBER` on its standard input.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
import time
from typing import Any

# Brings libmagic, which neonize needs.
import pylibmagic  # noqa: F401
from neonize.client import NewClient
from neonize.events import (
    ClientOutdatedEv,
    ConnectedEv,
    ConnectFailureEv,
    DisconnectedEv,
    KeepAliveTimeoutEv,
    LoggedOutEv,
    OfflineSyncCompletedEv,
    PairStatusEv,
    StreamErrorEv,
    StreamReplacedEv,
    TemporaryBanEv,
)
from neonize.utils.enum import ClientName, ClientType

_EVENTS = (
    ClientOutdatedEv,
    ConnectFailureEv,
    ConnectedEv,
    DisconnectedEv,
    KeepAliveTimeoutEv,
    LoggedOutEv,
    OfflineSyncCompletedEv,
    PairStatusEv,
    StreamErrorEv,
    StreamReplacedEv,
    TemporaryBanEv,
)
_lock = threading.Lock()


def say(event: str, **more: Any) -> None:
    """Write one line; the descriptor is the one the process was started with, away from what Go prints."""
    line = json.dumps({"event": event, "at": time.time(), **more}) + "\n"
    with _lock:
        os.write(_OUTPUT, line.encode())


def _commands(client: NewClient) -> None:
    for line in sys.stdin:
        verb, *arguments = line.split()
        try:
            if verb == "logout":
                client.logout()
                say("logout")
            elif verb == "code":
                say("code", code=client.PairPhone(arguments[0], True, ClientName.LINUX, ClientType.CHROME))
            elif verb == "active":
                client.set_passive(False)
                say("active")
        except Exception as error:
            say("error", error=f"{type(error).__name__}: {error}")


def main(store: str) -> None:
    """Connect the account in `store` and stay until killed."""
    os.umask(0o077)
    client = NewClient(store, uuid="bare")

    @client.qr  # type: ignore[untyped-decorator]
    def on_qr(_: NewClient, data: bytes) -> None:
        say("QR", qr=data.decode())

    def on_status(_: int, status: int) -> None:
        say("status", status=ctypes.string_at(status).decode())

    client._NewClient__onLoginStatus = on_status

    for kind in _EVENTS:

        def on_event(_: NewClient, event: Any, name: str = kind.__name__) -> None:
            say(name.removesuffix("Ev"), text=str(event))

        client.event(kind)(on_event)

    threading.Thread(target=_commands, args=[client], daemon=True).start()
    say("start")
    try:
        client.connect()
    except Exception as error:
        say("end", error=f"{type(error).__name__}: {error}")
    else:
        say("end")


if __name__ == "__main__":
    _OUTPUT = os.dup(1)
    os.dup2(2, 1)
    main(sys.argv[1])
