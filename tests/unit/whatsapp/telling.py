"""What a bare neonize tells of messages, taken apart for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.whatsapp.bare import BareClient


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a message event, empty when it only brings keys."""
    content = message["Message"]
    return str(content.get("conversation") or content.get("extendedTextMessage", {}).get("text", ""))


def address_of(jid: dict[str, Any]) -> str:
    """Return an address as it is written."""
    return f"{jid['User']}@{jid['Server']}"


def messages_with_text(client: BareClient, count: int) -> list[dict[str, Any]]:
    """Return the next message events that say something."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        message = client.wait("Message")["data"]
        if text_of(message):
            found.append(message)
    return found


def send(client: BareClient, to: str, text: str) -> dict[str, Any]:
    """Have a client send a text; returns what it says of it, `sent` or `error`."""
    client.tell(f"send {to} {text}")
    return client.wait("sent", "error")
