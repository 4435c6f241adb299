"""The seam between a session and the client library.

The one rule: what stands here is all that the rest of the project knows of WhatsApp's client; the library's
own types, errors and threads stay behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sessions.messages import Group, Identity, Reports

Listener = Callable[[Reports], None]
"""Called on any thread, never to do work in."""


class ClientError(Exception):
    """The library said no.

    Args:
        cause: a stable slug, see `neonize_client.cause_of`.
        detail: the library's text, redacted.
    """

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail


class WhatsApp(Protocol):
    """One client on one store. Every call may block for a minute; deadlines are the caller's."""

    version: str

    def connect(self) -> None:
        """Connect, and stay until the client ends.

        Raises:
            ClientError: it could not connect, or the library gave up.
        """

    def identity(self) -> Identity | None:
        """Return who the linked device is, None when there is none."""

    def logout(self) -> None:
        """Log the device out at WhatsApp.

        Raises:
            ClientError: not confirmed; the device may be gone all the same.
        """

    def pair_phone(self, phone: str) -> str:
        """Return a pairing code for a phone number (international, digits only).

        Raises:
            ClientError: WhatsApp gave none.
        """

    def send(self, to: str, text: str) -> str:
        """Send a text and return the chat's JID and the message's id, with a space between.

        Args:
            to: a JID, or the digits of a phone number.
            text: what to say.

        Raises:
            ClientError: `not-on-whatsapp`, `not-connected`, `refused`: it was not sent; `timeout`: it may
                have been; another cause: it was not.
        """

    def groups(self) -> list[Group]:
        """Return the groups that the account is in.

        Raises:
            ClientError: no answer.
        """

    def probe(self) -> None:
        """Make one round trip to the server.

        Raises:
            ClientError: no answer.
        """

    def disconnect(self) -> None:
        """Close the connection; the device stays linked."""


ClientFactory = Callable[[Path, str, Listener], WhatsApp]
"""Builds a client: database path, device name shown on the phone, listener."""
