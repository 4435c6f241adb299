"""The command: serve a directory, print the environment for a client, or have a running simulator do a verb.

One rule: the result is JSON on standard output; an error is one line of JSON and exit status 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

from tests.whatsapp.client import SimulatorError, call
from tests.whatsapp.verbs import verb_parser


def _serve_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.whatsapp serve")
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    parser.add_argument("--refs", type=int, default=6, help="refs a registering client gets")
    parser.add_argument("--qr-first", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--qr-next", type=float, default=20.0, metavar="SECONDS")
    parser.add_argument("--qr-grace", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--until-eof", action="store_true", help="end when the standard input ends")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="log to stderr; -vv: stanzas")
    return parser


def _serve(arguments: list[str]) -> None:
    # Only this part needs the server's libraries; verbs should answer fast.
    from tests.whatsapp.pairing import QrClock
    from tests.whatsapp.serving import AlreadyServing, serve

    given = _serve_parser().parse_args(arguments)
    level = {0: logging.CRITICAL, 1: logging.INFO}.get(given.verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    clock = QrClock(
        refs=given.refs,
        first_seconds=given.qr_first,
        next_seconds=given.qr_next,
        grace_seconds=given.qr_grace,
    )
    try:
        serve(given.directory, clock, ends_with_input=given.until_eof)
    except (AlreadyServing, OSError) as error:
        raise SimulatorError(str(error)) from error


def _print_environment(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.whatsapp env")
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    for name, value in call(parser.parse_args(arguments).directory, "environment").items():
        print(f"export {name}={shlex.quote(value)}")


def _qr_text(given: dict[str, Any]) -> str:
    image, text = given.pop("image"), given.pop("qr")
    if (image is None) == (text is None):
        raise SimulatorError("scan takes either the QR's text (- for standard input) or --image", "malformed")
    if image is None:
        return sys.stdin.read().strip() if text == "-" else str(text)
    import zxingcpp
    from PIL import Image

    with Image.open(image) as picture:
        found = zxingcpp.read_barcodes(picture.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
    if not found:
        raise SimulatorError(f"no QR in {image}", "malformed")
    return str(found[0].text)


def _do(arguments: list[str]) -> None:
    given = vars(verb_parser().parse_args(arguments))
    directory, verb = given.pop("directory"), given.pop("verb")
    if verb == "scan":
        given["qr"] = _qr_text(given)
    elif verb == "link-code" and given["code"] == "-":
        given["code"] = sys.stdin.read().strip()
    elif verb == "failure" and given["code"] == "off":
        given["code"] = None
    for name in ("stanza", "message"):
        if given.get(name) is not None:
            given[name] = json.loads(sys.stdin.read() if given[name] == "-" else given[name])
    if given.get("text") == "-":
        given["text"] = sys.stdin.read().removesuffix("\n")
    if "on" in given:
        given["on"] = given["on"] == "on"
    print(json.dumps(call(directory, verb, **given), indent=2))


def main(arguments: list[str]) -> int:
    """Run the command and return its exit status."""
    commands = {"serve": _serve, "env": _print_environment}
    try:
        if arguments and arguments[0] in commands:
            commands[arguments[0]](arguments[1:])
        else:
            _do(arguments)
    except SimulatorError as error:
        # What `env` prints is evaluated by a shell: an error there must not look like an environment.
        stream = sys.stderr if arguments[:1] == ["env"] else sys.stdout
        print(json.dumps({"error": str(error), "reason": error.reason}), file=stream)
        return 1
    except (OSError, ValueError) as error:
        print(json.dumps({"error": str(error), "reason": "malformed"}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
