"""`health`: how well accounts are."""

from __future__ import annotations

from collections.abc import Sequence

import click

from towerctl import health as levels
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import command, offers
from towerctl.output import Line, Result


@command(
    "health",
    examples=[
        "towerctl health",
        "towerctl health shop office --check",
        "towerctl health --check --timeout 5",
    ],
)
@click.argument("accounts", metavar="[ACCOUNT]…", nargs=-1, shell_complete=offers("accounts"))
@click.option("--check", "checks", is_flag=True, help="a plugin's line and exit status, for monitoring")
@click.pass_obj
def health(app: App, *, accounts: Sequence[str], checks: bool) -> Result:
    """Show how well accounts are, and why.

    With --check the output is that of a monitoring plugin, with performance data, and the exit status is 0
    (healthy or inactive), 1 (warning), 2 (critical) or 3: towerd does not answer, or there is nothing to look
    at.
    """
    if not checks:
        return Result(app.connect().account_health(accounts), levels.table)
    try:
        found = app.connect().account_health(accounts)
    except Failure as failure:
        text = " ".join(f"TOWER UNKNOWN - {failure.message}".split()).replace("|", "/")
        document = {"status": "unknown", "accounts": []}
        return Result(document, lambda _: [Line(text)], status=levels.UNKNOWN)
    return Result(found, levels.plugin_lines, status=levels.status_of(found))
