"""`messages` and `groups`: what an account has received, and where it is."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

import click

from towerctl import mail, message_views
from towerctl.app import App
from towerctl.client import Client
from towerctl.options import FOLLOW_TIMEOUT_HELP, account_argument, command, since_option
from towerctl.output import Result, Stream

if TYPE_CHECKING:
    from towerctl import mail_results, results

_NEWS = ("message.received", "reaction.received")
_PAGE = 1000


@command(
    "messages",
    examples=[
        "towerctl messages shop --limit 20",
        "towerctl messages shop --since 1h --json",
        "towerctl messages shop --follow",
    ],
    timeout_help=FOLLOW_TIMEOUT_HELP,
)
@account_argument()
@click.option("--follow", "-f", "follows", is_flag=True, help="print messages as they come in")
@since_option()
@click.option("--chat", metavar="JID", help="only those of one person or group")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10000), help="at most the last N  [default: 100]"
)
@click.pass_obj
def messages(
    app: App,
    *,
    account: str | None,
    follows: bool,
    since: int | str | None,
    chat: str | None,
    limit: int | None,
) -> Result | Stream:
    """List the messages that an account has received, or follow them.

    Reactions and what other devices of the account have written are listed, too. Of pictures and other media
    there is the kind and the caption.
    """
    client = app.connect()
    if follows:
        return Stream(_follow(app, client, account, since, chat), message_views.message_line)
    answer = mail.list_messages(client, account, chat=chat, since=since, limit=limit)
    return Result(answer, message_views.messages)


@command("groups", examples=["towerctl groups shop", "towerctl groups shop --json"])
@account_argument()
@click.pass_obj
def groups(app: App, *, account: str | None) -> Result:
    """List the groups that an account is in.

    They are as they were when they were last synchronised: at the login, and after each change.
    """
    return Result(mail.groups(app.connect(), account), message_views.groups)


def _follow(
    app: App, client: Client, account: str | None, since: int | str | None, chat: str | None
) -> Generator[mail_results.Message]:
    """Yield messages for ever; those that events tell of are fetched, for events do not say the text."""
    from towerctl.following import Following
    from towerctl.steady import Steady

    steady = Steady(app, client)
    first = mail.list_messages(
        client, account, chat=chat, since=since, limit=_PAGE if since is not None else 1
    )
    account_id = first["account"]["id"]
    last = first["messages"][-1]["id"] if first["messages"] else 0
    following = Following(app, app.connect(), account=account_id, types=_NEWS)
    following.subscribe()
    if since is not None:
        yield from first["messages"]
    # What came between the list and the subscription.
    for _ in _before_and_at_each(following.events()):
        while page := steady.ask(partial(_behind, account_id, chat, last)):
            yield from page
            last = page[-1]["id"]


def _behind(account: str, chat: str | None, last: int, client: Client) -> list[mail_results.Message]:
    return mail.list_messages(client, account, chat=chat, since=last, limit=_PAGE)["messages"]


def _before_and_at_each(events: Generator[results.Event]) -> Generator[None]:
    yield None
    for _ in events:
        yield None
