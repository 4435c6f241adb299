"""`export`, `adopt`: an account goes from one machine to another, with its device."""

from __future__ import annotations

import click

from towerctl import keys, moving
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import account_argument, command
from towerctl.output import Result

_TIMEOUT_SECONDS = 300.0

_key_file = click.option(
    "--key-file", metavar="FILE", help="the key of the file, 32 bytes  [default: that of the stores]"
)


@command(
    "export",
    examples=[
        "towerctl key generate -o transfer.key",
        "towerctl export shop -o shop.tower --key-file transfer.key",
    ],
)
@account_argument(required=True)
@click.option("-o", "--output", metavar="FILE", required=True, help="the file to write; not there yet")
@_key_file
@click.pass_obj
def export(app: App, *, account: str, output: str, key_file: str | None) -> Result:
    """Move an account away, with its device.

    It is stopped here for good and written to a sealed file. It runs where `towerctl adopt` takes it over,
    without a QR, and no longer here: start, pair and restart are refused. Whoever has the file and its key
    can act as the account.
    """
    if output == "-":
        raise Failure("usage", "an export is written to a file, not to standard output")
    file = moving.NewFile(output)
    file.check()
    secret = keys.read(key_file) if key_file is not None else None
    client = app.connect(default_timeout_seconds=_TIMEOUT_SECONDS)
    with app.waiting(client, "exporting"):
        answer = moving.export(client, account, file, secret)
    return Result(answer, moving.exported)


@command(
    "adopt",
    examples=["towerctl adopt shop.tower --key-file transfer.key", "towerctl adopt shop.tower --name shop-2"],
)
@click.argument("file", metavar="FILE")
@_key_file
@click.option("--name", metavar="NAME", help="call it so  [default: as where it comes from]")
@click.option("--owner", metavar="USER", help="who is to own it  [default: you]")
@click.option("--no-start", is_flag=True, help="leave it stopped")
@click.pass_obj
def adopt(
    app: App, *, file: str, key_file: str | None, name: str | None, owner: str | None, no_start: bool
) -> Result:
    """Take over an account that was exported.

    It comes with its device and connects without a QR. One that was exported from here returns to its place.
    All of it arrives or, when the file is damaged or another key is needed, nothing (exit 2).
    """
    secret = keys.read(key_file) if key_file is not None else None
    client = app.connect(default_timeout_seconds=_TIMEOUT_SECONDS)
    with app.waiting(client, "taking over"):
        answer = moving.adopt(client, file, secret, name=name, owner=owner, start=False if no_start else None)
    return Result(answer, moving.adopted)
