"""What accounts know of each other: whose phone is whose, and which account of an owner is the primary one.

The one rule: a phone is claimed in one step on the event loop, between two reports; of two pairings that race
for one phone exactly one wins. The database holds the same by a unique index.
"""

from __future__ import annotations

from dataclasses import dataclass

from sessions.messages import Identity
from sessions.states import State
from towerd.protocol.errors import ACCOUNT, TowerError
from towerd.supervision.account_state import AccountState
from towerd.supervision.names import digits_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an account may not keep a device that a phone has linked to it.

    Attributes:
        reason: duplicate-phone or wrong-phone.
        detail: what stands beside the reason, for humans.
        phone: the number that scanned.
        existing: the account that has the phone already.
    """

    reason: str
    phone: str
    detail: str
    existing: AccountState | None = None


class Roster:
    """All accounts."""

    def __init__(self) -> None:
        self._accounts: dict[str, AccountState] = {}

    def join(self, account: AccountState) -> None:
        """Take an account in."""
        self._accounts[account.record.id] = account

    def leave(self, account: AccountState) -> None:
        """Let an account go."""
        self._accounts.pop(account.record.id, None)

    def refusal(self, account: AccountState, identity: Identity) -> Refusal | None:
        """Return why an account may not keep a device, None when it may."""
        phone = phone_digits(identity.jid)
        if not phone:
            return None
        expected = digits_of(account.record.expected_phone)
        if expected and expected != phone:
            return Refusal(
                reason="wrong-phone", phone=f"+{phone}", detail=f"scanned by +{phone}, expected +{expected}"
            )
        existing = self._holder(account, phone)
        if existing is not None:
            return Refusal(
                reason="duplicate-phone",
                phone=f"+{phone}",
                detail=f"+{phone} is linked as {existing.name}",
                existing=existing,
            )
        return None

    def elect_primary(self, owner_uid: int) -> None:
        """Make the oldest linked account of an owner the primary one, when the owner has none."""
        # One that is being wiped still holds its phone, but it leads nobody.
        linked = [one for one in self._linked(owner_uid) if one.state is not State.LOGGED_OUT]
        if linked and not any(one.record.is_primary for one in linked):
            linked[0].note(is_primary=True)

    def set_primary(self, account: AccountState) -> None:
        """Make an account the primary one of its owner.

        Raises:
            TowerError: `wrong-state`, no device is linked.
        """
        if not account.record.is_linked:
            raise TowerError(
                "wrong-state",
                f"{account.name} has no linked device, so it cannot be the primary account",
                hint=f"link it first: towerctl qr {ACCOUNT}",
            )
        for one in self._linked(account.record.owner_uid):
            if one is not account and one.record.is_primary:
                one.note(is_primary=False)
        account.note(is_primary=True)

    def _holder(self, account: AccountState, phone: str) -> AccountState | None:
        """Return the oldest other account of the same owner that holds a device of a phone."""
        return next(
            (
                one
                for one in self._linked(account.record.owner_uid)
                if one is not account and digits_of(one.record.phone) == phone
            ),
            None,
        )

    def _linked(self, owner_uid: int) -> list[AccountState]:
        accounts = (
            one
            for one in self._accounts.values()
            if one.record.owner_uid == owner_uid and one.record.is_linked
        )
        return sorted(accounts, key=lambda one: (one.record.created_at, one.record.id))


def phone_digits(jid: str) -> str:
    """Return the digits of a JID's phone number, nothing for a JID without one."""
    return jid.partition("@")[0] if jid.endswith("@s.whatsapp.net") else ""
