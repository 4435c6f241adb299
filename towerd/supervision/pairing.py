"""One pairing attempt: its rounds of codes, its clock, and the QR or pairing code on offer.

The one rule: payload and code live here, in memory, until they expire or are replaced; an expired one is
never handed out. Expiry runs on the monotonic clock, so nobody who sets the machine's time can lengthen it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sessions.states import State
from towerd.accounts.records import AccountRecord
from towerd.protocol.errors import ACCOUNT, TowerError

CODES_PER_ROUND = 6
"""WhatsApp sends six refs (seen on the wire; whatsmeow qrchan.go counts on it)."""
FIRST_CODE_SECONDS = 60.0
NEXT_CODE_SECONDS = 20.0
"""How long each QR is on show (whatsmeow qrchan.go)."""
ROUND_SECONDS = FIRST_CODE_SECONDS + (CODES_PER_ROUND - 1) * NEXT_CODE_SECONDS
"""After this the library closes the line, and with it ends a pairing code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QrOffer:
    """A QR on offer; times on the monotonic clock."""

    id: str
    payload: str = field(repr=False)
    round: int
    number: int
    issued_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOffer:
    """A pairing code on offer; times on the monotonic clock."""

    code: str = field(repr=False)
    round: int
    issued_at: float
    expires_at: float


@dataclass(slots=True, kw_only=True)
class PairingAttempt:
    """An attempt under way.

    Args:
        started_at: when it began, seconds since the epoch; its age counts from here.
        deadline_at: when it ends without a scan.
        phone: digits of the number that asked for a code; None pairs by QR.
        offered_until: when what was on offer last expires, or has; on the monotonic clock.
    """

    started_at: float
    deadline_at: float
    phone: str | None = None
    round: int = 1
    number: int = 0
    offer: QrOffer | None = None
    code_offer: CodeOffer | None = None
    has_offered: bool = False
    offered_until: float | None = None

    def show(self, payload: str, number: int, issued_at: float) -> bool:
        """Put a new QR on offer; return False when it is the one on offer already."""
        if self.offer is not None and self.offer.payload == payload:
            return False
        lasts = FIRST_CODE_SECONDS if number == 1 else NEXT_CODE_SECONDS
        self.number = number
        self.has_offered = True
        self.offer = QrOffer(
            id=f"{int(self.started_at * 1000)}-{self.round}-{number}",
            payload=payload,
            round=self.round,
            number=number,
            issued_at=issued_at,
            expires_at=issued_at + lasts,
        )
        self.offered_until = self.offer.expires_at
        return True

    def show_code(self, code: str, *, issued_at: float, expires_at: float) -> None:
        """Put a pairing code on offer."""
        self.has_offered = True
        self.code_offer = CodeOffer(code=code, round=self.round, issued_at=issued_at, expires_at=expires_at)
        self.offered_until = expires_at

    def current(self, now: float) -> QrOffer | None:
        """Return the QR on offer, None when there is none that is still valid."""
        if self.phone is not None or self.offer is None or now >= self.offer.expires_at:
            return None
        return self.offer

    def current_code(self, now: float) -> CodeOffer | None:
        """Return the pairing code on offer, None when there is none that is still valid."""
        if self.code_offer is None or now >= self.code_offer.expires_at:
            return None
        return self.code_offer

    def next_round(self) -> None:
        """Drop the codes of a round that is over; the next one asks WhatsApp for new ones."""
        # A round that never got as far as a code is not a round.
        if self.number > 0:
            self.round += 1
        self.withdraw()

    def withdraw(self) -> None:
        """Take QR and code off offer."""
        self.number = 0
        self.offer = None
        self.code_offer = None


def require_unlinked(record: AccountRecord) -> None:
    """Insist that no device is linked.

    Raises:
        TowerError: `wrong-state`, one is.
    """
    if record.is_linked and record.state is not State.PAIRING:
        verb = "unpair" if record.state is State.FAILED else "logout"
        raise TowerError(
            "wrong-state",
            f"{record.name} is {record.state.value}: a device is linked"
            + (f" ({record.phone})" if record.phone else ""),
            hint=f"to link another phone run: towerctl {verb} {ACCOUNT} --yes "
            f"&& towerctl pair {ACCOUNT} --new-phone",
        )
