"""`watch`: all accounts at a glance, as they change."""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from towerctl.app import App
from towerctl.exits import Signalled
from towerctl.options import command, offers
from towerctl.output import Block, Line, Stream

if TYPE_CHECKING:
    from towerctl import results
    from towerctl.client import Client

_INTERVAL_SECONDS = 5.0
# What no event tells is the age of the evidence; that much patience there is.
_LEAST_INTERVAL_SECONDS = 2.0


@command(
    "watch",
    examples=[
        "towerctl watch",
        "towerctl watch --state failed --state reconnecting",
        "towerctl watch --timeout 3600 | tee changes.txt",
    ],
    timeout_help="end after this long (exit 0)  [default: never]",
)
@click.option(
    "--state",
    "states",
    metavar="STATE",
    multiple=True,
    shell_complete=offers("states"),
    help="only accounts in this state; repeatable",
)
@click.option(
    "--interval",
    "interval_seconds",
    metavar="SECONDS",
    type=click.FloatRange(_LEAST_INTERVAL_SECONDS, 3600),
    default=_INTERVAL_SECONDS,
    help="how often to ask for what no event tells, at least 2  [default: 5]",
)
@click.pass_obj
def watch(app: App, *, states: Sequence[str], interval_seconds: float) -> None:
    """Show all accounts, live, until q, Ctrl-C or --timeout.

    On a terminal a table: state, age of the last sign of life, next retry, QR countdown, health. In a pipe a
    line per account, then a line per change; with --json an event per line.
    """
    from towerctl.signals import ending_signals_raise
    from towerctl.states import check_states

    wanted = check_states(states)
    client = app.connect()
    try:
        with ending_signals_raise():
            if app.screen.can_draw and not app.settings.as_json:
                _watch_live(app, client, wanted, interval_seconds)
            else:
                app.screen.render(Stream(_changes(app, client, wanted), _line))
    except Signalled as signalled:
        # Ctrl-C is one of its two regular ends.
        if signalled.number != signal.SIGINT:
            raise


def _watch_live(app: App, client: Client, states: Sequence[str], interval_seconds: float) -> None:
    from towerctl.terminal import Terminal
    from towerctl.watching import Watch

    # Asked before the terminal is taken over: what goes wrong here is an ordinary failure.
    watching = Watch(app, client, states=states, interval_seconds=interval_seconds)
    with app.screen.silence(), Terminal(app.screen).shown() as terminal:
        watching.run(terminal)


def _changes(app: App, client: Client, states: Sequence[str]) -> Generator[Mapping[str, Any]]:
    """Yield every account as it is, then every event that changes one; with --json the events alone."""
    from towerctl.dashboard import CHANGE_TYPES, concerns, is_in
    from towerctl.following import Following

    following = Following(app, client, types=CHANGE_TYPES)
    following.subscribe()
    accounts: dict[str, results.Account] = {}
    if not app.settings.as_json:
        accounts = {account["id"]: account for account in client.account_list()["accounts"]}
        yield from (one for one in accounts.values() if not states or one["state"] in states)
    for event in following.events():
        known = accounts.get(event["account"]["id"]) if event["account"] else None
        # What happened before the accounts were listed has been told.
        if concerns(event, states) and not (known and is_in(event, known)):
            yield event


def _line(document: Any) -> Sequence[Block]:
    from towerctl.dashboard import account_now, change

    return [Line(account_now(document))] if "state" in document else change(document)
