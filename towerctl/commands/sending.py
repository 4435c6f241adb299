"""`send` and `outbox`: what an account is to say, and what became of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from towerctl import mail, message_views
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import account_argument, command
from towerctl.output import Result

if TYPE_CHECKING:
    from towerctl import mail_results as results

DEFAULT_WAIT_SECONDS = 120.0
_MAX_BYTES = 4 * 65536


@command(
    "send",
    timeout_help="with --wait: give up after this long (exit 7)  [default: 120]",
    examples=[
        "towerctl send shop --to +491701234567 'The tower is open.'",
        "towerctl send shop --to 120363000000000001@g.us - < report.txt",
        "towerctl send shop --to +491701234567 --key backup-2026-01-31 --wait 'Backup failed'",
    ],
)
@account_argument(required=True)
@click.option("--to", metavar="TARGET", required=True, help="a phone number, a JID, or the JID of a group")
@click.option("--key", metavar="KEY", help="names this text: the same key again sends nothing more")
@click.option("--wait", "waits", is_flag=True, help="wait for WhatsApp's acknowledgement")
@click.argument("text")
@click.pass_obj
def send(app: App, *, account: str, to: str, key: str | None, waits: bool, text: str) -> Result:
    """Have an account send a text; - reads it from standard input.

    Exits 0 when the text is stored: it is sent when its turn has come, over restarts of towerd too. With
    --wait exits 0 when WhatsApp has acknowledged it, 6 when nobody has that number, 7 when the time is over,
    1 when it failed. Exits 9 when the text is too long, a limit is reached, or too many wait.
    """
    said = _from_stdin() if text == "-" else text
    if not said:
        raise Failure("usage", "there is nothing to send: the text is empty")
    limit = app.timeout_seconds(DEFAULT_WAIT_SECONDS) if waits else 0
    client = app.connect()
    with app.waiting(client, "waiting for WhatsApp's acknowledgement"):
        answer = mail.send(client, account, to=to, text=said, key=key, wait_seconds=limit)
    if waits:
        _require_sent(answer, limit)
    return Result(answer, message_views.sent)


@command("outbox", examples=["towerctl outbox shop", "towerctl outbox shop --json"])
@account_argument()
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10000), help="at most the last N  [default: 100]"
)
@click.pass_obj
def outbox(app: App, *, account: str | None, limit: int | None) -> Result:
    """List texts to be sent and what became of them.

    The oldest come first; those that wait are among them.
    """
    return Result(mail.outbox(app.connect(), account, limit=limit), message_views.outbox)


def _from_stdin() -> str:
    data = sys.stdin.buffer.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise Failure("text-too-long", "the text on standard input has more than 65536 characters")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise Failure("usage", "the text on standard input is not UTF-8") from None


def _require_sent(answer: results.SendResult, limit_seconds: float) -> None:
    message, name = answer["message"], answer["account"]["name"]
    if message["state"] == "sent":
        return
    look, what = f"towerctl outbox {name}", f"message {message['id']}"
    if message["state"] != "failed":
        why = f" ({message['reason']})" if message["reason"] else ""
        text = f"{what} is {message['state']}{why} after {limit_seconds:g} s; it is sent later"
        raise Failure("timed-out", text, hint=look)
    if message["reason"] == "not-on-whatsapp":
        raise Failure("not-on-whatsapp", f"nobody at WhatsApp has the number {message['to']}")
    raise Failure("send-failed", f"{what} was not sent: {message['reason']}", hint=look)
