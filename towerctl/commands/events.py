"""`events`: what happened, and what happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from towerctl import views
from towerctl.app import App
from towerctl.client import Client
from towerctl.exits import Failure
from towerctl.following import Following
from towerctl.options import FOLLOW_TIMEOUT_HELP, command, offers, since_option, until_option
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
        "towerctl events --follow --json --timeout 60",
    ],
    timeout_help=FOLLOW_TIMEOUT_HELP,
)
@click.option(
    "--follow",
    "-f",
    "follows",
    is_flag=True,
    help="print events as they happen, over restarts of the daemon too",
)
@since_option()
@until_option()
@click.option(
    "--account", metavar="ACCOUNT", shell_complete=offers("accounts"), help="only those of one account"
)
@click.option(
    "--type",
    "types",
    metavar="TYPE",
    multiple=True,
    shell_complete=offers("event_types"),
    help="only of this type; repeatable",
)
@click.pass_obj
def events(
    app: App,
    *,
    follows: bool,
    since: int | str | None,
    until: int | str | None,
    account: str | None,
    types: Sequence[str],
) -> Result | Stream:
    """List events, or follow them."""
    if follows and until is not None:
        raise Failure(
            "usage", "--follow and --until exclude each other", hint="--timeout SECONDS ends --follow"
        )
    client = app.connect()
    if follows:
        following = Following(app, client, account=account, types=types, since=since)
        following.subscribe()
        return Stream(following.events(), views.event_line)
    wanted: dict[str, Any] = {"account": account, "types": types, "until": until}
    return Result(_list(client, since, wanted), views.events)


def _list(client: Client, since: int | str | None, wanted: Mapping[str, Any]) -> results.EventsResult:
    """Get all events since then, or all there are, page by page."""
    answer = client.event_list(since=since, limit=_PAGE, **wanted)
    page = answer["events"]
    while len(page) == _PAGE:
        page = client.event_list(since=answer["events"][-1]["id"], limit=_PAGE, **wanted)["events"]
        answer["events"].extend(page)
    return answer
