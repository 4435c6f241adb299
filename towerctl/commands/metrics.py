"""`metrics`: figures for Prometheus."""

from __future__ import annotations

import click

from towerctl.app import App
from towerctl.options import command
from towerctl.output import Raw, Result


@command("metrics", examples=["towerctl metrics", "towerctl metrics > /run/tower.prom"])
@click.pass_obj
def metrics(app: App) -> Result:
    """Print the daemon's figures in the text form of Prometheus.

    No label names an account. The daemon writes them to a file by itself where metrics.textfile is set.
    """
    return Result(app.connect().call("daemon.metrics"), lambda document: [Raw(document["text"])])
