"""`events`: what happened, and what happens."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import click

from towerctl import views
from towerctl.app import App
from towerctl.client import Client, Disconnected
from towerctl.exits import Failure
from towerctl.options import command, complete_accounts
from towerctl.output import Result, Stream
from towerctl.text import format_time, now, parse_since

if TYPE_CHECKING:
    from towerctl import results

_PAGE = 10000
"""As many events as one answer of `event.list` holds at most."""

_RECONNECT_SECONDS = 1.0


def read_since(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | str | None:
    """Read --since."""
    if value is None:
        return None
    try:
        return parse_since(value, at=now())
    except ValueError:
        hint = "an event id (4711), how long ago (10m, 2h, 3d), or a time (2026-01-31T12:00:00Z)"
        raise Failure("usage", f"--since cannot be {value!r}", hint=hint) from None


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
@click.option(
    "--since", metavar="TIME|ID", callback=read_since, help="only later ones: an id, a time, or 10m, 2h, 3d"
)
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
        return Stream(_follow(app, client, since, account, types), views.event_line)
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


def _follow(
    app: App, client: Client, since: int | str | None, account: str | None, types: Sequence[str]
) -> Generator[results.Event]:
    # Where a new connection goes on; this machine's clock is the daemon's.
    resume: int | str = since if since is not None else format_time(now())
    client.event_subscribe(account=account, types=types, since=since)
    while True:
        try:
            for method, params in client.notifications():
                if method == "event":
                    event: results.Event = params["event"]
                    resume = event["id"]
                    yield event
                elif method == "event.ended":
                    # We read too slowly and were cut off; what was missed is still kept.
                    client.event_subscribe(account=account, types=types, since=resume)
        except Disconnected:
            client.close()
            app.screen.note("towerd closed the connection; connecting again")
            client = _subscribe_again(app, resume, account, types)
            app.screen.note("connected again")


def _subscribe_again(app: App, since: int | str, account: str | None, types: Sequence[str]) -> Client:
    while True:
        try:
            client = app.connect()
            client.event_subscribe(account=account, types=types, since=since)
        except Failure as failure:
            if failure.slug not in {"unreachable", "shutting-down"}:
                raise
            time.sleep(_RECONNECT_SECONDS)
        else:
            return client
