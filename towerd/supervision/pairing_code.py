"""Asking WhatsApp for a pairing code over the line of an unpaired client.

The one rule: a code belongs to the line that asked for it; a line that is gone takes its code with it.
"""

from __future__ import annotations

import logging

from sessions import messages
from towerd.clock import wall_time
from towerd.supervision.lifecycle import Lifecycle
from towerd.supervision.pairing import ROUND_SECONDS, PairingAttempt
from towerd.supervision.process import OrderFailedError

log = logging.getLogger(__name__)

CODE_SECONDS = 20.0
"""What WhatsApp is given to hand out a pairing code."""


async def ask_for_code(life: Lifecycle, attempt: PairingAttempt, phone: str) -> None:
    """Ask for a code and put it on offer; without one the worker is replaced and the next line asks again."""
    clock, generation = life.around.clock, life.carrier.generation
    issued_at = attempt.offer.issued_at if attempt.offer else clock.monotonic()
    try:
        code = await life.carrier.ask(
            lambda order_id: messages.PairPhone(id=order_id, phone=phone), CODE_SECONDS
        )
    except OrderFailedError as error:
        if generation == life.carrier.generation:
            log.warning("%s: WhatsApp gave no pairing code: %s", life.account.name, error)
            life.carrier.kill("code-refused")
        return
    if generation != life.carrier.generation or life.account.attempt is not attempt or not code:
        return
    expires_at = issued_at + ROUND_SECONDS
    attempt.show_code(code, issued_at=clock.monotonic(), expires_at=expires_at)
    life.account.emit("session.code", {"round": attempt.round, "expires_at": wall_time(expires_at, clock)})
    life.account.changed()
