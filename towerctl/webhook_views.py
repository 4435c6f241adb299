"""How webhooks and deliveries look.

The one rule: what a receiver made us say is data; it is printed on one line, with nothing in it that a
terminal obeys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from towerctl.output import Block, Cell, Line, Note, Table
from towerctl.views import NONE
from towerd.protocol.characters import printable

if TYPE_CHECKING:
    from towerctl import webhook_results as results

_COLOURS = {"delivered": "green", "dead": "red"}


def webhooks(answer: results.WebhooksResult) -> list[Block]:
    """`webhook list`: a row each."""
    if not answer["webhooks"]:
        return [Note("there are no webhooks; see [webhook] in tower.toml(5)")]
    rows = [
        [
            Cell(one["name"], "bold"),
            Cell(one["url"]),
            Cell(", ".join(one["events"])),
            Cell(str(one["queued"])),
            Cell(str(one["dead"]), "red" if one["dead"] else ""),
            Cell(one["last_delivered_at"] or NONE),
            Cell(printable(one["trouble"] or NONE), "red" if one["trouble"] else ""),
        ]
        for one in answer["webhooks"]
    ]
    head = ["NAME", "URL", "EVENTS", "QUEUED", "DEAD", "LAST DELIVERED", "TROUBLE"]
    return [Table(head, rows, shrinkable=["TROUBLE", "URL"])]


def tested(answer: results.WebhookTestResult) -> list[Block]:
    """`webhook test`: who took it."""
    return [Line(f"{answer['endpoint']} took the event with status {answer['status']}")]


def deliveries(answer: results.DeliveriesResult) -> list[Block]:
    """`webhook deliveries`: a row each, the oldest first."""
    if not answer["deliveries"]:
        return [Note("nothing was to be delivered")]
    rows = [
        [
            Cell(one["created_at"]),
            Cell(str(one["id"])),
            Cell(one["endpoint"], "bold"),
            Cell(one["type"]),
            Cell(one["account"]["name"] if one["account"] else NONE),
            Cell(one["state"], _COLOURS.get(one["state"], "")),
            Cell(str(one["attempts"])),
            Cell(one["next_attempt_at"] or NONE),
            Cell(printable(one["error"] or NONE)),
        ]
        for one in answer["deliveries"]
    ]
    head = ["TIME", "ID", "WEBHOOK", "EVENT", "ACCOUNT", "STATE", "TRIES", "NEXT", "ERROR"]
    return [Table(head, rows, shrinkable=["ERROR", "NEXT"])]


def queued(answer: results.RetryResult) -> list[Block]:
    """`webhook retry`: how many."""
    return [Line(f"{answer['endpoint']}: {answer['queued']} deliveries are tried again")]
