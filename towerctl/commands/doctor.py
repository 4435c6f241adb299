"""`doctor`: whether all is well, and what helps."""

from __future__ import annotations

import click

from towerctl.app import App
from towerctl.doctor import views
from towerctl.doctor.examination import Examination
from towerctl.options import command
from towerctl.output import Result

EXITS = {"ok": 0, "warning": 1, "failure": 2}
"""The exit statuses of this command alone, as monitoring plugins have them."""


@command(
    "doctor",
    timeout_help="give up on the daemon after this long; 0 waits for ever  [default: 30]",
    examples=["towerctl doctor", "towerctl doctor --json | jq '.findings[] | select(.level == \"failure\")'"],
)
@click.pass_obj
def doctor(app: App) -> Result:
    """Look whether all is well, and say what helps.

    Works also when the daemon does not. Its exit statuses are its own: 0 all is well, 1 there are warnings, 2
    something does not work.
    """
    with app.patience("looking"):
        document = Examination(app).carry_out()
    has_marks, is_verbose = app.screen.has_marks, bool(app.settings.verbose)
    return Result(
        document,
        lambda found: views.examination(found, has_marks=has_marks, is_verbose=is_verbose),
        status=EXITS[document["level"]],
    )
