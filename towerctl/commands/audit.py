"""`audit`: who did what to which account."""

from __future__ import annotations

from collections.abc import Sequence

import click

from towerctl import views
from towerctl.app import App
from towerctl.options import command, offers, since_option, until_option
from towerctl.output import Result


@command(
    "audit",
    examples=[
        "towerctl audit --since 1d",
        "towerctl audit --account shop --action account.logout --action account.remove",
        "towerctl audit --limit 20 --json",
    ],
)
@since_option()
@until_option()
@click.option(
    "--account",
    metavar="ACCOUNT",
    shell_complete=offers("accounts"),
    help="only what was done to one account; one that is gone goes by its id",
)
@click.option(
    "--action",
    "actions",
    metavar="ACTION",
    multiple=True,
    shell_complete=offers("actions"),
    help="only this, like account.logout; repeatable",
)
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10000), help="at most the last N  [default: 1000]"
)
@click.pass_obj
def audit(
    app: App,
    *,
    since: int | str | None,
    until: int | str | None,
    account: str | None,
    actions: Sequence[str],
    limit: int | None,
) -> Result:
    """List who did what, and how it went, the oldest first.

    Has every command that changes something, every QR handed out, and what the daemon and the phones did by
    themselves.
    """
    answer = app.connect().audit_list(account=account, actions=actions, since=since, until=until, limit=limit)
    return Result(answer, views.audit_table)
