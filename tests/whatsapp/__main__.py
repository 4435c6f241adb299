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

_SWITCHES = {
    "refuse": "refuse new connections",
    "mute": "answer no query and no keepalive",
    "outdated": "call every client outdated (405)",
    "compress": "send compressed frames",
    "passkey": "ask for a passkey after a scan",
    "hold-success": "hold every login back before its success",
}
_PLAIN = {
    "sessions": "logged-in connections",
    "connections": "all open connections",
    "phones": "all handsets",
    "log": "what the server saw: connections and counters",
    "environment": "variables for a client, as JSON",
    "shutdown": "end the simulator",
}
_OF_PHONE = {
    "devices": "linked devices of a phone",
    "halfopen": "have the phone's connections swallow everything",
    "unban": "lift a ban",
    "replace": "end the phone's sessions with a conflict",
    "reset": "unlink everything and forget the handset",
}


def _setup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--phone", required=True)
    parser.add_argument("--push-name")
    parser.add_argument("--platform", choices=["android", "iphone"])
    parser.add_argument("--business-name")


def _verb_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.whatsapp",
        description=__doc__,
        epilog="Also: `serve DIRECTORY` runs a simulator, `env DIRECTORY` prints a client's environment.",
    )
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, text in _PLAIN.items():
        verbs.add_parser(name, help=text)
    for name, text in _OF_PHONE.items():
        verbs.add_parser(name, help=text).add_argument("phone")
    for name, text in _SWITCHES.items():
        verbs.add_parser(name, help=text).add_argument("on", choices=["on", "off"])

    scan = verbs.add_parser("scan", help="scan a QR: its text, - for standard input, or --image")
    scan.add_argument("qr", nargs="?")
    scan.add_argument("--image", type=Path, help="a PNG with the QR in it")
    scan.add_argument("--no-515", dest="restart", action="store_false", help="do not have it restart")
    _setup_arguments(scan)
    code = verbs.add_parser("link-code", help="type a pairing code on a phone")
    code.add_argument("code", help="the code, or - for standard input")
    _setup_arguments(code)
    logout = verbs.add_parser("logout", help="unlink the phone's devices")
    logout.add_argument("phone")
    logout.add_argument("--device", type=int)
    verbs.add_parser("drop", help="break connections").add_argument("phone", nargs="?")
    stall = verbs.add_parser("stall", help="leave new connections without an answer")
    stall.add_argument("stage", choices=["connect", "upgrade", "hello", "off"])
    ban = verbs.add_parser("ban", help="ban an account")
    ban.add_argument("phone")
    ban.add_argument("--code", type=int, choices=[402, 403, 406], required=True)
    ban.add_argument("--expire", type=float, metavar="SECONDS")
    ban.add_argument("--temporary-code", type=int, default=101)
    failure = verbs.add_parser("failure", help="have logins fail with a reason")
    failure.add_argument("code", metavar="CODE|off")
    failure.add_argument("--phone")
    fail_login = verbs.add_parser("fail-login", help="have the next logins of a phone fail")
    fail_login.add_argument("phone")
    fail_login.add_argument("--code", type=int, required=True)
    fail_login.add_argument("--times", type=int, default=1)
    verbs.add_parser("slow", help="delay all the server says").add_argument("milliseconds", type=float)
    verbs.add_parser("refs", help="refs handed to a client that registers").add_argument("count", type=int)
    stanza = verbs.add_parser("stanza", help="send the phone's sessions a stanza")
    stanza.add_argument("phone")
    stanza.add_argument("stanza", help='JSON {"tag", "attrs", "content"}, or - for standard input')
    return parser


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
        found = zxingcpp.read_barcodes(picture.convert("L"))
    if not found:
        raise SimulatorError(f"no QR in {image}", "malformed")
    return str(found[0].text)


def _do(arguments: list[str]) -> None:
    given = vars(_verb_parser().parse_args(arguments))
    directory, verb = given.pop("directory"), given.pop("verb")
    if verb == "scan":
        given["qr"] = _qr_text(given)
    elif verb == "link-code" and given["code"] == "-":
        given["code"] = sys.stdin.read().strip()
    elif verb == "failure" and given["code"] == "off":
        given["code"] = None
    elif verb == "stanza":
        given["stanza"] = json.loads(sys.stdin.read() if given["stanza"] == "-" else given["stanza"])
    elif verb in _SWITCHES:
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
