"""`status`, `release`, `version`, `rpc`: the daemon itself, and talking to it bare."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from towerctl import version as client_version
from towerctl import views
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import command, offers
from towerctl.output import Raw, Result, dump_json, is_terminal
from towerctl.status import page
from towerd.protocol.version import API_MAJOR, API_MINOR

_VERSION_TIMEOUT_SECONDS = 5.0


@command("status", examples=["towerctl status"])
@click.pass_obj
def status(app: App) -> Result:
    """Show the daemon at a glance."""
    return Result(app.connect().daemon_status(), page)


@command("release", examples=["towerctl release"])
@click.pass_obj
def release(app: App) -> Result:
    """Let accounts go on that are held back.

    When WhatsApp refuses many accounts at once, towerd lets one try and holds the others. This ends it by
    hand. Exits 0 also when nothing was held.
    """
    client = app.connect()
    # The answer tells how it is afterwards; who goes on is known before only.
    before = None if app.settings.as_json else client.daemon_status()["fleet"]
    return Result(client.daemon_release(), lambda _: views.released(before) if before else [])


@command(
    "version",
    timeout_help="give up after this long; 0 waits for ever  [default: 5]",
    examples=["towerctl version"],
)
@click.pass_obj
def version(app: App) -> Result:
    """Print the versions of towerctl and of the daemon.

    Prints its own also when the daemon is silent (exit 3).
    """
    own, api = client_version(), f"{API_MAJOR}.{API_MINOR}"
    try:
        answer = app.connect(default_timeout_seconds=_VERSION_TIMEOUT_SECONDS).daemon_version()
    except Failure as failure:
        failure.details = {"client": {"version": own, "api": {"major": API_MAJOR, "minor": API_MINOR}}}
        return Result({}, lambda _: views.versions(own, api, None), failures=[failure], summary=failure)
    return Result(answer, lambda document: views.versions(own, api, document))


@command(
    "rpc",
    examples=[
        "towerctl rpc rpc.discover",
        """towerctl rpc account.set '{"account": "shop", "display_name": "Shop Berlin"}'""",
    ],
)
@click.argument("method", shell_complete=offers("methods"))
@click.argument("params", metavar="[JSON]", required=False)
@click.pass_obj
def rpc(app: App, *, method: str, params: str | None) -> Result:
    """Call a method of the daemon and print its result as JSON.

    JSON is the object of parameters; - reads it from standard input.
    """
    given = _read_params(params)
    answer = app.connect().call(method, given)
    return Result(answer, lambda document: [Raw(dump_json(document, pretty=is_terminal(sys.stdout)))])


def _read_standard_input() -> bytes:
    return b"" if sys.stdin is None else sys.stdin.buffer.read()


def _read_params(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        params = json.loads(_read_standard_input() if text == "-" else text)
    except ValueError as error:
        where = "standard input" if text == "-" else "JSON"
        raise Failure("usage", f"{where} is not JSON: {error}") from None
    if not isinstance(params, dict):
        raise Failure(
            "usage", "JSON has to be an object: parameters go by name", hint="""like '{"account": "shop"}'"""
        )
    return params
