"""`qr`: the picture that the person with the phone scans."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from towerctl.app import App
from towerctl.exits import Failure
from towerctl.files import ReplacedFile
from towerctl.options import account_argument, command, offers
from towerctl.output import Result, Stream, is_terminal
from towerctl.scan import Picture, follow, show_once

FORMATS = ("terminal", "png", "svg", "html", "raw", "datauri")
ENDINGS = {".png": "png", ".svg": "svg", ".html": "html", ".htm": "html", ".txt": "raw"}
BINARY_FORMATS = frozenset({"png"})
_DEFAULT_MODE = 0o600


def parse_mode(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Read permissions in octal, at most 0777."""
    if value is None:
        return None
    if not 3 <= len(value) <= 4 or any(digit not in "01234567" for digit in value) or int(value, 8) > 0o777:
        raise Failure("usage", f"--mode takes permissions in octal, like 0600 or 0644, not {value!r}")
    return int(value, 8)


@command(
    "qr",
    timeout_help="how long to wait for the first QR; 0 waits for ever  [default: 30]",
    examples=[
        "towerctl qr shop",
        "towerctl qr shop -o qr.png",
        "towerctl qr shop -o /srv/www/qr.svg --mode 0644 --follow",
    ],
)
@account_argument()
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=offers("files"),
    help="save to this file; - is standard output",
)
@click.option(
    "--format",
    "picture_format",
    type=click.Choice(FORMATS),
    help="what to make of it  [default: by the file's ending, or terminal]",
)
@click.option("--scale", type=click.IntRange(1, 64), help="pixels per module of an image")
@click.option("--border", type=click.IntRange(0, 32), help="quiet zone in modules")
@click.option("--invert", is_flag=True, help="light on dark, for a terminal with a light background")
@click.option("--follow", "follows", is_flag=True, help="show every new QR until the account is connected")
@click.option("--keep", is_flag=True, help="with --follow: leave the file at the end")
@click.option("--mode", metavar="OCTAL", callback=parse_mode, help="permissions of FILE  [default: 0600]")
@click.pass_obj
def qr(
    app: App,
    *,
    account: str | None,
    output: str | None,
    picture_format: str | None,
    scale: int | None,
    border: int | None,
    invert: bool,
    follows: bool,
    keep: bool,
    mode: int | None,
) -> Result | Stream:
    """Show or save the QR to scan.

    An account that is not linked begins pairing. A linked or stopped account is left alone (exit 6).

    With -o the file is replaced atomically, and its ending decides the format: .png, .svg, .html, .txt (the
    bare text). With --follow the file is replaced at each rotation and removed at the end.
    """
    _check_together(app, output=output, follows=follows, keep=keep, mode=mode)
    file = None
    if output is not None and output != "-":
        # Before the format: that it is a directory is said rather than that it has no ending.
        file = ReplacedFile(output, mode=_DEFAULT_MODE if mode is None else mode)
        file.check()
    chosen = picture_format or _default_format(app, output)
    is_drawing = output is None and chosen not in BINARY_FORMATS
    if file is None:
        _check_stdout(app, chosen)
    rendering: dict[str, Any] = {"format": chosen, "scale": scale, "border": border, "invert": invert or None}
    picture = Picture(rendering, file=file, is_drawing=is_drawing, keep=keep)
    run = follow if follows else show_once
    return run(app, app.connect(), account, picture)


def _check_together(app: App, *, output: str | None, follows: bool, keep: bool, mode: int | None) -> None:
    is_file = output not in {None, "-"}
    if output is not None and (not output or output.endswith("/")):
        raise Failure("usage", "-o needs the name of a file")
    if output == "-" and follows:
        raise Failure("usage", "-o - and --follow exclude each other", hint="give --follow a file: -o FILE")
    if output == "-" and app.settings.as_json:
        raise Failure("usage", "-o - and --json both want standard output", hint="leave out one of them")
    if keep and not (follows and is_file):
        raise Failure("usage", "--keep is for --follow with -o FILE")
    if mode is not None and not is_file:
        raise Failure("usage", "--mode is for -o FILE")


def _default_format(app: App, output: str | None) -> str:
    if output is None:
        return "raw" if app.settings.as_json else "terminal"
    if output == "-":
        return "png"
    ending = Path(output).suffix.lower()
    if ending not in ENDINGS:
        known = ", ".join(ENDINGS)
        raise Failure(
            "usage",
            f"cannot tell the format from {output!r}: its ending is none of {known}",
            hint=f"name it with --format: {', '.join(FORMATS)}",
        )
    return ENDINGS[ending]


def _check_stdout(app: App, chosen: str) -> None:
    if chosen in BINARY_FORMATS and is_terminal(sys.stdout) and not app.settings.as_json:
        raise Failure("usage", f"{chosen} is not for a terminal", hint=f"save it: -o qr.{chosen}")
