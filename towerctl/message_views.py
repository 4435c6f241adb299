"""How messages look.

The one rule: text from outside is data; it is printed on one line, with nothing in it that a terminal obeys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towerctl.output import Block, Line, Note
from towerd.protocol.characters import printable

if TYPE_CHECKING:
    from towerctl import results

_NOBODY = "?"


def message_line(message: results.Message) -> list[Block]:
    """`messages`: a line each."""
    who = "me" if message["from_me"] else _sender(message)
    where = f" in {message['chat']}" if message["is_group"] else ""
    text = " ".join(printable(message["text"] or "").split())
    what = text if message["kind"] == "text" else f"[{message['kind']}] {text}".rstrip()
    return [Line(f"{message['received_at']}  {message['id']:>6}  {who}{where}: {what}")]


def messages(answer: results.MessagesResult) -> list[Block]:
    """`messages` without --follow: the oldest first."""
    lines = [block for message in answer["messages"] for block in message_line(message)]
    return lines or [Note(f"{answer['account']['name']} has received no messages")]


def _sender(message: results.Message) -> str:
    address = message["sender"] or message["sender_lid"] or _NOBODY
    number = f"+{address.partition('@')[0]}" if message["sender"] else address
    name = printable(message["push_name"] or "").strip()
    return f"{name} ({number})" if name else number
