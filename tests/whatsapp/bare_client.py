"""A bare neonize, as its users write it, in a process of its own: what it sees goes out as JSON lines.

One rule: nothing here works around the library; it is the yardstick that the simulator is held to.
Run it as `python bare_client.py STORE` with the simulator's environment. Commands on its standard input:
`logout`, `active`, `code NUMBER`, `send ADDRESS TEXT`, `react CHAT AUTHOR ID EMOJI`, `read CHAT AUTHOR ID…`,
`available`, `groups`, `on NUMBER`, and `slow SECONDS`, which is how long it looks at each message from then.
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
from google.protobuf import json_format
from neonize.client import NewClient
from neonize.events import (
    ClientOutdatedEv,
    ConnectedEv,
    ConnectFailureEv,
    DisconnectedEv,
    GroupInfoEv,
    JoinedGroupEv,
    KeepAliveTimeoutEv,
    LoggedOutEv,
    MessageEv,
    OfflineSyncCompletedEv,
    OfflineSyncPreviewEv,
    PairStatusEv,
    ReceiptEv,
    StreamErrorEv,
    StreamReplacedEv,
    TemporaryBanEv,
    UndecryptableMessageEv,
)
from neonize.utils.enum import ClientName, ClientType, Presence, ReceiptType
from neonize.utils.jid import build_jid

_EVENTS = (
    ClientOutdatedEv,
    ConnectFailureEv,
    ConnectedEv,
    DisconnectedEv,
    GroupInfoEv,
    JoinedGroupEv,
    KeepAliveTimeoutEv,
    LoggedOutEv,
    MessageEv,
    OfflineSyncCompletedEv,
    OfflineSyncPreviewEv,
    PairStatusEv,
    ReceiptEv,
    StreamErrorEv,
    StreamReplacedEv,
    TemporaryBanEv,
    UndecryptableMessageEv,
)
_lock = threading.Lock()
# How long it looks at each message.
_patience = {"seconds": 0.0}


def say(event: str, **more: Any) -> None:
    """Write one line; the descriptor is the one the process was started with, away from what Go prints."""
    line = json.dumps({"event": event, "at": time.time(), **more}) + "\n"
    with _lock:
        os.write(_OUTPUT, line.encode())


def _address(text: str) -> Any:
    user, _, server = text.partition("@")
    return build_jid(user, server or "s.whatsapp.net")


def _as_json(message: Any) -> dict[str, Any]:
    return dict(json_format.MessageToDict(message))


def _do(client: NewClient, verb: str, *given: str) -> None:
    match verb:
        case "logout":
            client.logout()
            say("logout")
        case "code":
            say("code", code=client.PairPhone(given[0], True, ClientName.LINUX, ClientType.CHROME))
        case "active":
            client.set_passive(False)
            say("active")
        case "available":
            client.send_presence(Presence.AVAILABLE)
            say("available")
        case "slow":
            _patience["seconds"] = float(given[0])
            say("slow")
        case _:
            _talk(client, verb, *given)


def _talk(client: NewClient, verb: str, *given: str) -> None:
    match verb:
        case "send":
            sent = client.send_message(_address(given[0]), " ".join(given[1:]))
            say("sent", id=sent.ID, timestamp=sent.Timestamp)
        case "react":
            chat, author, target, emoji = given
            content = client.build_reaction(_address(chat), _address(author), target, emoji)
            say("sent", id=client.send_message(_address(chat), content).ID)
        case "read":
            chat, author, *ids = given
            client.mark_read(*ids, chat=_address(chat), sender=_address(author), receipt=ReceiptType.READ)
            say("read")
        case "groups":
            say("groups", groups=[_as_json(group) for group in client.get_joined_groups()])
        case "on":
            say("on", found=[_as_json(one) for one in client.is_on_whatsapp(given[0])])


def _commands(client: NewClient) -> None:
    for line in sys.stdin:
        try:
            _do(client, *line.split())
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
            say(name.removesuffix("Ev"), text=str(event), data=_as_json(event))
            if name == "Message":
                time.sleep(_patience["seconds"])

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
