"""`import`: accounts from a list."""

from __future__ import annotations

from collections.abc import Sequence

import click

from towerctl import config_views
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.lists import read_list
from towerctl.options import command
from towerctl.output import Result


@command("import", examples=["towerctl import accounts.toml", "towerctl import --dry-run - < accounts.toml"])
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="only say what would be done")
@click.pass_obj
def import_accounts(app: App, *, files: Sequence[str], dry_run: bool) -> Result:
    """Add accounts from files: names, owners, order.

    A file declares one account, as those in accounts.d do, or several in tables [[account]]; - is standard
    input. All are added or, when there is a mistake anywhere, none (exit 2). Accounts that are there are left
    as they are. They are then paired as any others.
    """
    rows = [row for file in files for row in read_list(file)]
    try:
        answer = app.connect().account_import(rows, dry_run=dry_run)
    except Failure as failure:
        if not failure.fields:
            raise
        return config_views.every_mistake(failure)
    return Result(answer, config_views.imported)
