"""`events`: what happened, and what happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from towerctl import views
from towerctl.app import App
from towerctl.client import Client
from towerctl.following import Following
from towerctl.options import command, complete_accounts, since_option
from towerctl.output import Result, Stream

if TYPE_CHECKING:
    from towerctl import results

_PAGE = 10000
"""As many events as one answer of `event.list` holds at most."""


@command(
    "events",
    examples=[
        "towerctl events --since 1h",
        "towerctl events --follow --account shop --type session.state",
        "towerctl events --follow --json",
    ],
)
@click.option(
    "--follow",
    "-f",
    "follows",
    is_flag=True,
    help="print events as they happen, over restarts of the daemon too",
)
@since_option()
@click.option(
    "--account", metavar="ACCOUNT", shell_complete=complete_accounts, help="only those of one account"
)
@click.option("--type", "types", metavar="TYPE", multiple=True, help="only of this type; repeatable")
@click.pass_obj
def events(
    app: App, *, follows: bool, since: int | str | None, account: str | None, types: Sequence[str]
) -> Result | Stream:
    """List events, or follow them."""
    client = app.connect()
    if follows:
        following = Following(app, client, account=account, types=types, since=since)
        following.subscribe()
        return Stream(following.events(), views.event_line)
    return Result(_list(client, since, account, types), views.events)


def _list(
    client: Client, since: int | str | None, account: str | None, types: Sequence[str]
) -> results.EventsResult:
    """Get all events since then, or all there are, page by page."""
    answer = client.event_list(account=account, types=types, since=since, limit=_PAGE)
    page = answer["events"]
    while len(page) == _PAGE:
        page = client.event_list(account=account, types=types, since=answer["events"][-1]["id"], limit=_PAGE)[
            "events"
        ]
        answer["events"].extend(page)
    return answer
