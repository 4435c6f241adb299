"""Asking for a pairing code, which WhatsApp may take its time for.

The one rule: a time that is over before the code came ends the command and not the pairing, and says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towerctl.exits import Failure
from towerctl.sockets import Mute

if TYPE_CHECKING:
    from towerctl import results
    from towerctl.app import App
    from towerctl.client import Client


def begin_with_code(
    app: App, client: Client, account: str | None, *, phone: str, new_phone: bool = False
) -> results.PairResult:
    """Begin a pairing by code and return it with its code, or with the one that is on offer.

    Raises:
        Failure: `timed-out` when --timeout was over first.
    """
    try:
        with app.waiting(client, "waiting for the code"):
            return client.account_pair(account, phone=phone, new_phone=new_phone)
    except Mute as mute:
        name = f"{account} " if account else ""
        raise Failure(
            "timed-out",
            f"no pairing code came within {mute.timeout_seconds:g} s; the pairing goes on",
            hint=f"to get the code: towerctl pair {name}--phone {phone}",
        ) from None
