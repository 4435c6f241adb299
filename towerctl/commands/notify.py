"""`notify`: trying out how people are told of incidents."""

from __future__ import annotations

import click

from towerctl import views
from towerctl.app import App
from towerctl.options import command
from towerctl.output import Result


@command("notify", examples=["towerctl notify --test"])
@click.option("--test", is_flag=True, required=True, help="send a test message by every channel now")
@click.pass_obj
def notify(app: App, *, test: bool) -> Result:  # noqa: ARG001 - there is nothing else that it could do
    """Try out how people are told of incidents.

    The message goes at once, whatever else waits; how it went is said when all programs have ended.
    """
    client = app.connect()
    with app.waiting(client, "telling"):
        answer = client.notify_test()
    return Result(answer, views.tested)
