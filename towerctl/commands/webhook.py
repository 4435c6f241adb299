"""`webhook`: other programs that are sent events, and what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from towerctl import webhook_views, webhooks
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import command
from towerctl.output import Result

if TYPE_CHECKING:
    from towerctl.client import Client

VERBS = ("list", "test", "deliveries", "retry")


@command(
    "webhook",
    examples=[
        "towerctl webhook list",
        "towerctl webhook test crm",
        "towerctl webhook deliveries crm --state dead",
        "towerctl webhook retry crm",
    ],
)
@click.option(
    "--state",
    type=click.Choice(["queued", "delivered", "dead"]),
    help="with deliveries: only those in this state",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 10000),
    help="with deliveries: at most the last N  [default: 100]",
)
@click.option(
    "--delivery",
    metavar="ID",
    type=click.IntRange(0, 2**63 - 1),
    help="with retry: only this one, in whatever state it is",
)
@click.argument("verb", metavar="VERB", type=click.Choice(VERBS))
@click.argument("name", metavar="[NAME]", required=False)
@click.pass_obj
def webhook(
    app: App, *, verb: str, name: str | None, state: str | None, limit: int | None, delivery: int | None
) -> Result:
    """Look after webhooks: list, test, deliveries, retry.

    list shows how each does; test sends an event of the type webhook.test and says how that went; deliveries
    lists what was and is to be delivered, the oldest first; retry tries what is dead or waits again, at once.
    NAME is the name of a webhook in the configuration.
    """
    _require_order(verb, name, listing=(state, limit), delivery=delivery)
    client = app.connect()
    match verb:
        case "list":
            return Result(webhooks.list_webhooks(client), webhook_views.webhooks)
        case "deliveries":
            listed = webhooks.deliveries(client, name, state=state, limit=limit)
            return Result(listed, webhook_views.deliveries)
        case "retry":
            return Result(webhooks.retry(client, name or "", delivery=delivery), webhook_views.queued)
        case _:
            return _test(app, client, name or "")


def _test(app: App, client: Client, name: str) -> Result:
    with app.waiting(client, "delivering"):
        return Result(webhooks.test(client, name), webhook_views.tested)


def _require_order(
    verb: str, name: str | None, *, listing: tuple[str | None, int | None], delivery: int | None
) -> None:
    """Insist that what is given belongs to the verb.

    Raises:
        Failure: `usage`.
    """
    if verb in ("test", "retry") and name is None:
        raise Failure("usage", f"webhook {verb} needs the name of a webhook", hint="towerctl webhook list")
    if verb == "list" and name is not None:
        raise Failure("usage", "webhook list takes no name: it lists all")
    if verb != "deliveries" and listing != (None, None):
        raise Failure("usage", "--state and --limit go with webhook deliveries")
    if verb != "retry" and delivery is not None:
        raise Failure("usage", "--delivery goes with webhook retry")
