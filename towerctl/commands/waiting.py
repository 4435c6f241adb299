"""`wait`: until an account is where it should be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import account_argument, command, offers
from towerctl.output import Result
from towerctl.states import check_states
from towerctl.views import account_line, address, state_words

if TYPE_CHECKING:
    from towerctl import results
    from towerctl.client import Client

DEFAULT_TIMEOUT_SECONDS = 300.0
_LEAST_SECONDS = 0.1
"""What the daemon is given to look when it comes back as the time is over; 0 would be for ever."""


@command(
    "wait",
    timeout_help="give up after this long (exit 7); 0 waits for ever  [default: 300]",
    examples=["towerctl wait shop --for connected", "towerctl wait shop --for connected,failed --timeout 60"],
)
@account_argument()
@click.option(
    "--for",
    "states",
    metavar="STATE[,STATE]",
    required=True,
    multiple=True,
    shell_complete=offers("several_states"),
    help="what to wait for; any of them",
)
@click.pass_obj
def wait(app: App, *, account: str | None, states: tuple[str, ...]) -> Result:
    """Wait until an account is in a state.

    Exits 0 at once when it is already; 7 when the time is over; 8 when the state cannot come without a human;
    5 when the account is gone. A restart of towerd is waited out.

    States: unpaired, pairing, authenticated, connecting, connected, reconnecting, logged_out, stopped,
    failed.
    """
    wanted = check_states(name.strip() for given in states for name in given.split(","))
    limit = app.timeout_seconds(DEFAULT_TIMEOUT_SECONDS)
    words = " or ".join(wanted)
    answer = _wait(app, account, wanted, limit_seconds=limit)
    found = answer["account"]
    match answer["outcome"]:
        case "timeout":
            raise Failure(
                "timed-out",
                f"{address(found)} is {state_words(found)}, not {words}, after {limit:g} s",
                hint=found["action"] or f"towerctl show {address(found)}",
            )
        case "needs-human":
            raise Failure(
                "needs-human",
                f"{address(found)} is {state_words(found)}; {words} cannot come by itself",
                hint=found["action"] or f"towerctl show {address(found)}",
            )
        case "reached":
            return Result(answer, account_line)
        case other:
            raise Failure(
                "bad-answer",
                f"towerd knows an outcome that this towerctl does not: {other}",
                hint="update towerctl",
            )


def _wait(
    app: App, account: str | None, states: Sequence[str], *, limit_seconds: float
) -> results.WaitResult:
    # Only here: it is not on the path of the other commands.
    from towerctl.steady import Steady

    steady = Steady(app, app.connect())
    give_up_at = time.monotonic() + limit_seconds

    def question(client: Client) -> results.WaitResult:
        left = limit_seconds
        if steady.restarts and limit_seconds:
            left = max(_LEAST_SECONDS, give_up_at - time.monotonic())
        with app.waiting(client, f"waiting for {' or '.join(states)}"):
            return client.account_wait(account, states, timeout_seconds=left)

    return steady.ask(question)
