"""Showing a QR until somebody has scanned it: once, or at each rotation.

The one rule: a QR is shown only while it can be scanned; the payload goes to the file or to standard output
that was asked for, and nowhere else.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from towerctl.exits import Failure
from towerctl.options import MAX_TIMEOUT_SECONDS
from towerctl.output import Block, Clear, Note, Raw, Result, Stream, is_terminal
from towerctl.signals import ending_signals_raise
from towerctl.steady import Steady
from towerctl.views import address, state_words

if TYPE_CHECKING:
    from towerctl import results
    from towerctl.app import App
    from towerctl.client import Client
    from towerctl.files import ReplacedFile

DEFAULT_TIMEOUT_SECONDS = 30.0
STEPS = "on the phone: WhatsApp > Linked devices > Link a device > scan"

# How long one question to the daemon lasts while following: a scan is noticed after as much at the latest.
_LOOK_SECONDS = 2.0
# The next QR comes as the last one expires; a file is taken away only when it does not come.
_ROTATION_GRACE_SECONDS = 1.0
_LEAST_LOOK_SECONDS = 0.2
_NO_QR_YET = "none"

_SCANNED_STATES = frozenset({"authenticated", "connecting", "connected", "reconnecting"})
_WAITING_STATES = frozenset({"pairing", "authenticated"})
_FINISHING_STATES = frozenset({"connecting", "reconnecting"})
_WAITED_FOR = ("connected", "failed", "pairing", "stopped", "unpaired")

_WAITING_PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Link this phone</title>
<meta http-equiv="refresh" content="1"></head>
<body><p>The next QR is on its way.</p></body></html>
"""


class Picture:
    """What is wanted of a QR.

    Args:
        rendering: format, scale, border, invert, as the daemon takes them.
        file: where it goes; None is standard output.
        is_drawing: whether it is drawn for the eye, and not written for another program.
        keep: leave the file when the QR in it is of no use any more.
    """

    def __init__(
        self,
        rendering: Mapping[str, Any],
        *,
        file: ReplacedFile | None = None,
        is_drawing: bool = False,
        keep: bool = False,
    ) -> None:
        self.rendering = rendering
        self.file = file
        self.is_drawing = is_drawing
        self._keep = keep
        self._steps_are_said = False

    def steps(self) -> list[Note]:
        """Return what the person with the phone has to do, once."""
        is_first, self._steps_are_said = not self._steps_are_said, True
        return [Note(STEPS)] if is_first else []

    def save(self, qr: results.Qr) -> None:
        """Write the file, if one is wanted."""
        if self.file is not None:
            self.file.write(payload(qr))

    def pause(self) -> None:
        """Take an expired QR away while the attempt goes on."""
        if self.file is None or self._keep:
            return
        if self.rendering["format"] == "html":
            # A browser that finds no page does not come back by itself.
            self.file.write(_WAITING_PAGE)
        else:
            self.file.remove()

    def withdraw(self) -> None:
        """Remove the file, unless it is to be kept."""
        if self.file is not None and not self._keep:
            self.file.remove()


def payload(qr: results.Qr) -> bytes:
    """Return the QR as the bytes that were asked for."""
    if qr["encoding"] == "base64":
        from binascii import a2b_base64

        return a2b_base64(qr["data"])
    return qr["data"].encode()


def show_once(app: App, client: Client, account: str | None, picture: Picture) -> Result:
    """Get the current QR, waiting for the first, and save it or hand it back."""
    answer = _first(app, client, account, picture)
    if answer["qr"] is not None:
        picture.save(answer["qr"])
    return Result(answer, lambda document: _blocks(document, picture))


def follow(app: App, client: Client, account: str | None, picture: Picture) -> Stream:
    """Save or hand back every QR until the account is connected or the attempt is over."""
    return Stream(
        _follow(app, client, account, picture), lambda document: _blocks(document, picture, follows=True)
    )


def _first(app: App, client: Client, account: str | None, picture: Picture) -> results.QrResult:
    limit = app.timeout_seconds(DEFAULT_TIMEOUT_SECONDS)
    with app.waiting(client, "waiting for the first QR"):
        answer = client.account_qr(
            account, wait_seconds=limit or MAX_TIMEOUT_SECONDS, rendering=picture.rendering
        )
    found = answer["account"]
    if answer["qr"] is None and found["state"] not in _SCANNED_STATES:
        if found["state"] == "failed":
            raise _ended(found)
        message = f"{address(found)}: no QR came within {limit:g} s; it is {state_words(found)}"
        raise Failure("timed-out", message, hint=f"towerctl show {address(found)}")
    return answer


def _follow(app: App, client: Client, account: str | None, picture: Picture) -> Generator[results.QrResult]:
    with ending_signals_raise():
        try:
            yield from _rotations(app, client, account, picture)
        finally:
            picture.withdraw()


def _rotations(
    app: App, client: Client, account: str | None, picture: Picture
) -> Generator[results.QrResult]:
    answer = _first(app, client, account, picture)
    steady = Steady(app, client, lost=picture.pause)
    account_id = answer["account"]["id"]
    seen = _NO_QR_YET
    valid_until: float | None = None
    is_scanned = False
    while True:
        qr, state = answer["qr"], answer["account"]["state"]
        if qr is not None and qr["id"] != seen:
            seen = qr["id"]
            valid_until = time.monotonic() + qr["expires_in_seconds"] + _ROTATION_GRACE_SECONDS
            picture.save(qr)
            yield answer
        elif state == "pairing":
            if valid_until is not None and time.monotonic() >= valid_until:
                valid_until = None
                picture.pause()
                app.screen.note("the QR has expired; waiting for the next")
        elif state == "authenticated" or state in _FINISHING_STATES:
            valid_until = None
            picture.withdraw()
            if not is_scanned:
                is_scanned = True
                yield answer
        else:
            picture.withdraw()
            yield answer
            if state != "connected":
                raise _ended(answer["account"])
            return
        if state in _FINISHING_STATES:
            waited = steady.ask(lambda line: line.account_wait(account_id, _WAITED_FOR, timeout_seconds=0))
            answer = {"account": waited["account"], "qr": None}
        else:
            question = partial(_next, account_id, picture, seen=seen, valid_until=valid_until)
            restarts = steady.restarts
            answer = steady.ask(question)
            if steady.restarts > restarts:
                # The codes of a daemon that was restarted are others, and counted from one again.
                seen, valid_until = _NO_QR_YET, None


def _next(
    account_id: str, picture: Picture, client: Client, *, seen: str, valid_until: float | None
) -> results.QrResult:
    asked_at = time.monotonic()
    look_seconds = _LOOK_SECONDS
    if valid_until is not None:
        look_seconds = min(_LOOK_SECONDS, max(_LEAST_LOOK_SECONDS, valid_until - asked_at))
    answer = client.account_qr(
        account_id, wait_seconds=look_seconds, newer_than=seen, rendering=picture.rendering
    )
    is_waiting = answer["qr"] is None and answer["account"]["state"] in _WAITING_STATES
    if is_waiting and time.monotonic() - asked_at < _LEAST_LOOK_SECONDS:
        time.sleep(_LEAST_LOOK_SECONDS)  # a daemon that answers at once is not asked in a circle
    return answer


def _ended(account: results.Account) -> Failure:
    name = address(account)
    if account["state"] == "failed":
        return Failure("needs-human", f"{name} is {state_words(account)}", hint=account["action"])
    return Failure(
        "pairing-timeout",
        f"{name}: the pairing ended without a linked device: {state_words(account)}",
        hint=account["action"] or f"towerctl qr {name}",
    )


def _blocks(answer: results.QrResult, picture: Picture, *, follows: bool = False) -> Sequence[Block]:
    account, qr = answer["account"], answer["qr"]
    if qr is None:
        return _news(account, follows=follows)
    where = f" → {picture.file.path}" if picture.file else ""
    validity = f"QR {qr['number']} of {qr['count']}, valid for {qr['expires_in_seconds']:.0f} s{where}"
    if picture.file is not None:
        return [*picture.steps(), Note(validity)]
    if not picture.is_drawing:
        return [Raw(payload(qr)), *picture.steps(), Note(validity)]
    drawing = qr["data"] if qr["data"].endswith("\n") else qr["data"] + "\n"
    blocks: list[Block] = [*([Clear()] if follows else []), Raw(drawing), Note(STEPS), Note(validity)]
    lines = drawing.splitlines()
    if (small := too_small(columns=len(lines[0]), rows=len(lines))) is not None:
        blocks.append(Note(small))
    return blocks


def too_small(*, columns: int, rows: int) -> str | None:
    """Return what to do when a drawing does not fit into the terminal, None when it does or there is none."""
    if not is_terminal(sys.stdout):
        return None
    size = os.get_terminal_size(sys.stdout.fileno())
    # The notes below the drawing take rows of their own.
    if size.columns >= columns and size.lines >= rows + 3:
        return None
    return (
        f"the QR takes {columns}x{rows + 3}, this terminal is {size.columns}x{size.lines}: "
        "make it larger, or save a picture: -o qr.png"
    )


def _news(account: results.Account, *, follows: bool) -> Sequence[Block]:
    if account["state"] == "connected":
        return [Note(f"connected as {account['phone'] or account['jid'] or account['name']}")]
    if account["state"] not in _SCANNED_STATES:
        return []
    if follows:
        return [Note("scanned, finishing …")]
    return [
        Note(f"already scanned, {account['state']}; next: towerctl wait {address(account)} --for connected")
    ]
