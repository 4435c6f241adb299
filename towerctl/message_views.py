"""How messages look.

The one rule: text from outside is data; it is printed on one line, with nothing in it that a terminal obeys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towerctl.output import Block, Cell, Line, Note, Table
from towerctl.views import NONE
from towerd.protocol.characters import printable

if TYPE_CHECKING:
    from towerctl import mail_results as results

_NOBODY = "?"
_COLOURS = {"sent": "green", "failed": "red"}


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


def sent(answer: results.SendResult) -> list[Block]:
    """`send`: what became of it so far."""
    message = answer["message"]
    to = message["chat"] or message["to"]
    return [Line(f"{answer['account']['name']}: message {message['id']} to {to}: {message['state']}")]


def outbox(answer: results.OutboxResult) -> list[Block]:
    """`outbox`: a row each, the oldest first."""
    if not answer["messages"]:
        return [Note(f"{answer['account']['name']} was asked to send nothing")]
    rows = [
        [
            Cell(message["created_at"]),
            Cell(str(message["id"])),
            Cell(message["chat"] or message["to"]),
            Cell(message["state"], _COLOURS.get(message["state"], "")),
            Cell(message["reason"] or NONE),
            Cell(" ".join(printable(message["text"]).split())),
        ]
        for message in answer["messages"]
    ]
    return [Table(["TIME", "ID", "TO", "STATE", "REASON", "TEXT"], rows, shrinkable=["TEXT", "TO"])]


def groups(answer: results.GroupsResult) -> list[Block]:
    """`groups`: a row each, by name."""
    if not answer["groups"]:
        return [Note(f"{answer['account']['name']} is in no group")]
    rows = [
        [
            Cell(printable(group["name"]) or NONE, "bold"),
            Cell(group["jid"]),
            Cell(str(len(group["participants"]))),
            Cell(group["synced_at"]),
        ]
        for group in answer["groups"]
    ]
    return [Table(["NAME", "JID", "MEMBERS", "SYNCED"], rows, shrinkable=["NAME"])]
