"""`config`: the configuration that runs."""

from __future__ import annotations

import click

from towerctl import config_views
from towerctl.app import App
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
