"""The switches that make the server misbehave.

One rule: a switch says what is wrong and nothing else; who serves a connection asks it at the right moment.
Switches are forgotten when the simulator restarts (bans are not: they belong to the handset).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

STAGES = ("connect", "upgrade", "hello")


@dataclass(kw_only=True, slots=True)
class Faults:
    """All switches, every one off at the start."""

    is_refusing: bool = False
    is_mute: bool = False
    is_outdated: bool = False
    is_compressing: bool = False
    wants_passkey: bool = False
    delay_seconds: float = 0.0
    failure: int | None = None
    failures_by_phone: dict[str, int] = field(default_factory=dict)
    # What the next logins of a phone get: the failure's reason, and how many of them.
    next_logins: dict[str, tuple[int, int]] = field(default_factory=dict)
    stalled_at: str | None = None
    is_success_held: bool = False
    # What becomes of the messages that clients send, and of their acks.
    loses_messages: bool = False
    withholds_acks: bool = False
    ack_delay_seconds: float = 0.0
    nack: tuple[int, int] | None = None
    gives_receipts: bool = True
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def stall(self, stage: str | None) -> None:
        self.stalled_at = stage
        self._wake()

    def hold_success(self, *, is_held: bool) -> None:
        self.is_success_held = is_held
        self._wake()

    async def past(self, stage: str) -> None:
        """Return when connections may go on past a stage: at once, unless it stalls there."""
        while self.stalled_at == stage:
            await self._changed.wait()

    async def until_success(self) -> None:
        """Return when logins may succeed: at once, unless they are held."""
        while self.is_success_held:
            await self._changed.wait()

    def take_failure(self, phone: str) -> int | None:
        """Return the failure reason a login of this phone gets now; a counted one is used up by it."""
        if phone in self.next_logins:
            code, times = self.next_logins.pop(phone)
            if times > 1:
                self.next_logins[phone] = (code, times - 1)
            return code
        return self.failures_by_phone.get(phone, self.failure)

    def take_nack(self) -> int | None:
        """Return the error that the message a client sends now gets; it is counted."""
        if self.nack is None:
            return None
        code, times = self.nack
        self.nack = (code, times - 1) if times > 1 else None
        return code

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
