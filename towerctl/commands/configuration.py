"""`config`, `reload`: the configuration that runs, and taking over what lies on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from towerctl import config_views
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import command
from towerctl.output import Result

if TYPE_CHECKING:
    from towerctl import results


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

    All of it or nothing: when there is a mistake in any of them, all mistakes are told and nothing changes
    (exit 2). Says what changed, and what waits for a restart of the daemon. The files that declare accounts
    are looked at as well, each by itself; a mistake in one of them is exit 2, too.
    """
    try:
        answer = app.connect().daemon_reload()
    except Failure as failure:
        if not failure.fields:
            raise
        return config_views.every_mistake(failure)
    wrong = answer["accounts"]["mistakes"]
    return Result(
        answer,
        config_views.reloaded,
        failures=[Failure("config-invalid", mistake) for mistake in wrong],
        summary=_incomplete(answer) if wrong else None,
    )


def _incomplete(answer: results.ReloadResult) -> Failure:
    """Return what --json says when files that declare accounts were left alone."""
    wrong = answer["accounts"]["mistakes"]
    return Failure(
        "config-invalid",
        f"taken over, but for files that declare accounts: {'; '.join(wrong)}",
        hint="correct them; they are looked at again by themselves",
        details={"result": answer},
    )
