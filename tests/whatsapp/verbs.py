"""The verbs as the command takes them.

One rule: what a verb needs is read here and decided elsewhere: the simulator refuses what makes no sense.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_SWITCHES = {
    "refuse": "refuse new connections",
    "mute": "answer no query and no keepalive",
    "outdated": "call every client outdated (405)",
    "compress": "send compressed frames",
    "passkey": "ask for a passkey after a scan",
    "hold-success": "hold every login back before its success",
    "withhold": "pass messages on but keep their acks back until `off`",
    "lose": "lose the messages that clients send",
    "receipts": "have contacts tell that messages reached them (it is on)",
}
_PLAIN = {
    "sessions": "logged-in connections",
    "connections": "all open connections",
    "phones": "all handsets",
    "log": "what the server saw: connections and counters",
    "groups": "all groups",
    "drop-unpaired": "break the connections of clients that are not logged in",
    "environment": "variables for a client, as JSON",
    "shutdown": "end the simulator",
}
_OF_PHONE = {
    "devices": "linked devices of a phone",
    "halfopen": "have the phone's connections swallow everything",
    "unban": "lift a ban",
    "replace": "end the phone's sessions with a conflict",
    "reset": "unlink everything and forget the handset",
    "outbox": "what others decrypted of what the phone's devices sent",
    "unread": "what others could not read of it",
    "acknowledged": "messages to the phone's devices that these acknowledged",
    "backlog": "messages to the phone's devices that these did not acknowledge",
}


def _setup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--phone", required=True)
    parser.add_argument("--push-name")
    parser.add_argument("--platform", choices=["android", "iphone"])
    parser.add_argument("--business-name")


def verb_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; its result has the names of the verb's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.whatsapp",
        description="Have the simulator that serves DIRECTORY do a verb; the result is JSON.",
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
    _add_message_verbs(verbs)
    _add_group_verbs(verbs)
    return parser


def _message_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="?", help="the text, or - for standard input")
    parser.add_argument("--kind", default="text", help="image, video, audio, document, sticker, …")
    parser.add_argument("--caption")
    parser.add_argument("--quoted", metavar="ID", help="the message that is answered")
    parser.add_argument("--message", metavar="JSON", help="any message in protobuf's JSON, or -")
    parser.add_argument("--id", dest="message_id")
    parser.add_argument("--at", type=float, metavar="TIME", help="when it was written, in seconds since 1970")


def _add_message_verbs(verbs: Verbs) -> None:
    contact = verbs.add_parser("contact", help="another person's phone, with a push name")
    contact.add_argument("phone")
    contact.add_argument("name")
    deliver = verbs.add_parser("deliver", help="have somebody write to the phone's linked devices")
    deliver.add_argument("phone")
    deliver.add_argument("sender")
    _message_arguments(deliver)
    deliver.add_argument("--addressing", choices=["lid", "pn"], default="lid")
    deliver.add_argument("--one-address", action="store_true", help="do not name the sender's other address")
    echo = verbs.add_parser("echo", help="have the phone itself write to somebody")
    echo.add_argument("phone")
    echo.add_argument("to")
    echo.add_argument("text")
    echo.add_argument("--addressing", choices=["lid", "pn"], default="lid")
    react = verbs.add_parser("react", help="have somebody react to a message")
    for name in ("phone", "sender", "target", "emoji"):
        react.add_argument(name)
    react.add_argument("--group")
    read = verbs.add_parser("read", help="have somebody see what the phone's devices sent")
    read.add_argument("phone")
    read.add_argument("reader")
    read.add_argument("ids", nargs="+", metavar="ID")
    read.add_argument("--played", action="store_true")
    forget = verbs.add_parser(
        "forget-sessions", help="have a contact lose its sessions with the phone's devices"
    )
    forget.add_argument("phone")
    forget.add_argument("contact")
    nack = verbs.add_parser("nack", help="answer the next messages with an error")
    nack.add_argument("code", type=int)
    nack.add_argument("--times", type=int, default=1)
    verbs.add_parser("delay-acks", help="acknowledge messages late").add_argument("milliseconds", type=float)
    hold = verbs.add_parser("hold", help="send the phone's devices nothing until `off`")
    hold.add_argument("phone")
    hold.add_argument("on", choices=["on", "off"])
    hold.add_argument("--order", choices=["posted", "reversed", "shuffled"], default="posted")
    redeliver = verbs.add_parser("redeliver", help="send a message once more as it was")
    redeliver.add_argument("phone")
    redeliver.add_argument("message_id", metavar="ID")


def _add_group_verbs(verbs: Verbs) -> None:
    create = verbs.add_parser("group-create", help="make a group; the first member makes it")
    create.add_argument("subject")
    create.add_argument("members", nargs="+", metavar="PHONE")
    create.add_argument("--addressing", choices=["lid", "pn"], default="lid")
    for name, text, argument in (
        ("group-add", "take a number into a group", "phone"),
        ("group-remove", "take a number out of a group", "phone"),
        ("group-rename", "give a group another subject", "subject"),
    ):
        change = verbs.add_parser(name, help=text)
        change.add_argument("group")
        change.add_argument(argument)
    send = verbs.add_parser("group-send", help="have a member write to a group")
    send.add_argument("group")
    send.add_argument("sender")
    _message_arguments(send)
    send.add_argument("--author", metavar="PHONE", help="who wrote what is quoted")
