"""`config`, `reload`: the configuration that runs, and taking over what lies on the disk."""

from __future__ import annotations

import click

from towerctl import config_views
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import command
from towerctl.output import Result


@command(
    "config", examples=["towerctl config", "towerctl config --json | jq '.settings[] | select(.source)'"]
)
@click.pass_obj
def config(app: App) -> Result:
    """Show the configuration that runs.

    Every key with its value, and where that comes from: a file, or the default.
    """
    return Result(app.connect().daemon_config(), config_views.settings_table)


@command("reload", examples=["towerctl reload"])
@click.pass_obj
def reload(app: App) -> Result:
    """Let the daemon take over its configuration files.

    All of it or nothing: when there is a mistake in any file, all mistakes are told and nothing changes (exit
    2). Says what changed, and what waits for a restart of the daemon.
    """
    try:
        return Result(app.connect().daemon_reload(), config_views.reloaded)
    except Failure as failure:
        if not failure.fields:
            raise
        mistakes = [Failure(failure.slug, f"{bad['field']}: {bad['why']}") for bad in failure.fields]
        told = Failure(failure.slug, failure.message, hint=failure.hint)
        return Result({}, lambda _: [], failures=[*mistakes, told], summary=failure)
